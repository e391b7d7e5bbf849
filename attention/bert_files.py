"""A BERT from a folder: `model.safetensors`, `config.json` and `tokenizer.json`, as published.

Nothing in a file is trusted: names and shapes are checked against each other before any number is
read, and a setting that is not known here is refused rather than passed over, since passing it over
would compute something else. The only error is `FileProblem`.
"""

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

from attention.block import BlockWeights
from attention.encoder import Bert, BertEmbeddings, Layer
from attention.files import FileProblem, Tensor, read_tensor, safetensors_header
from attention.functions import read_only
from attention.projections import Projections

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
MAX_PARAMETERS = 400_000_000  # outside the word embeddings; 1.6 GB in float32
MAX_TEXT_FILE = 20_000_000  # bytes of a config or vocabulary
MAPPED = {"F32": "<f4", "F16": "<f2"}  # types of word embeddings that can be used in place

EMBEDDINGS = "embeddings."
LAYER = "encoder.layer.{}."
QKV = tuple(f"attention.self.{part}" for part in ("query", "key", "value"))
MATRICES = (*QKV, "attention.output.dense", "intermediate.dense", "output.dense")
# What a config may say without changing the mathematics here.
KNOWN_SETTINGS = {
    "model_type": ("bert",),
    "hidden_act": ("gelu",),
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
}


def read_bert(folder: Path, *, source: str, description: str) -> Bert:
    """Read a model; `{precision}`, `{layers}` and `{heads}` in the description are filled in.

    The word embeddings stay in the file, which is mapped; everything else is read into 4 bytes a
    number. Raises FileProblem, whose message is written for a person.
    """
    try:
        config = _read_config(folder / CONFIG)
        tokenizer = _read_tokenizer(folder / TOKENIZER)
        with (folder / WEIGHTS).open("rb") as file:
            tensors = _Tensors(file, safetensors_header(file))
            n_layers, n_heads = _check_sizes(tensors, config)
            embeddings = _read_embeddings(folder / WEIGHTS, tensors, config)
            room = _Room(sum(_matrix_sizes(tensors, i) for i in range(n_layers)))
            layers = tuple(_read_layer(tensors, i, n_heads, config, room) for i in range(n_layers))
    except OSError as error:
        name = Path(error.filename or folder).name
        raise FileProblem(f"{name} cannot be read: {error.strerror}.") from error
    precision = embeddings.words.dtype.name
    said = description.format(
        precision="full precision" if precision == "float32" else precision,
        layers=n_layers,
        heads=n_heads,
    )
    return Bert(said, source, precision, tokenizer, embeddings, layers)


# ---- config and vocabulary


def _read_config(path: Path) -> dict:
    try:
        config = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise FileProblem(f"{path.name} is not JSON.") from error
    if not isinstance(config, dict):
        raise FileProblem(f"{path.name} does not describe a model.")
    for name, known in KNOWN_SETTINGS.items():
        value = config.get(name, known[0])
        if value not in known:
            raise FileProblem(
                f"{path.name} says {name} = {str(value)[:40]!r}; only {known[0]!r} is known here."
            )
    return config


def _read_text(path: Path) -> bytes:
    if path.stat().st_size > MAX_TEXT_FILE:
        raise FileProblem(f"{path.name} has more than {MAX_TEXT_FILE:,} bytes.")
    return path.read_bytes()


def _read_tokenizer(path: Path):
    """Return a `tokenizers.Tokenizer` that neither pads nor cuts."""
    try:
        import tokenizers
    except ImportError as error:
        raise FileProblem(
            "This model's word pieces need the package tokenizers: pip install tokenizers"
        ) from error
    data = _read_text(path)
    try:
        tokenizer = tokenizers.Tokenizer.from_buffer(data)
    except Exception as error:  # the package raises nothing narrower
        raise FileProblem(f"{path.name} is not a tokenizer: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


# ---- numbers


class _Tensors:
    """The tensors of one file by their published names, each checked and then read."""

    def __init__(self, file: BinaryIO, header: Mapping[str, Tensor]) -> None:
        self._file = file
        prefixed = f"bert.{EMBEDDINGS}word_embeddings.weight" in header  # a model with a head
        self._prefix = "bert." if prefixed else ""
        self._header = header

    def find(self, name: str) -> Tensor:
        """Return where a tensor is; older files say gamma and beta for a norm's weight and bias."""
        older = name.replace("LayerNorm.weight", "LayerNorm.gamma")
        older = older.replace("LayerNorm.bias", "LayerNorm.beta")
        for candidate in (name, older):
            if self._prefix + candidate in self._header:
                return self._header[self._prefix + candidate]
        raise FileProblem(f"This is not a BERT that is known here: it has no {name}.")

    def has(self, name: str) -> bool:
        return self._prefix + name in self._header

    def check(self, name: str, shape: tuple[int, ...]) -> int:
        """Return the number of elements; raise FileProblem unless the shape is this one."""
        found = self.find(name).shape
        if found != shape:
            raise FileProblem(f"{name} is {found}; with the other tensors it must be {shape}.")
        return prod(shape)

    def read(self, name: str) -> np.ndarray:
        """Return the numbers as float32, read-only; nan and infinity are refused."""
        return read_only(read_tensor(self._file, name, self.find(name)))


def _check_sizes(tensors: _Tensors, config: Mapping) -> tuple[int, int]:
    """Return the numbers of layers and heads, once every shape fits every other."""
    words = tensors.find(f"{EMBEDDINGS}word_embeddings.weight")
    if len(words.shape) != 2 or 0 in words.shape:
        raise FileProblem(f"The word embeddings are {words.shape}; they must be a table.")
    if words.dtype not in MAPPED:
        raise FileProblem(
            f"The word embeddings are {words.dtype}; they must be {' or '.join(MAPPED)}."
        )
    D = words.shape[1]
    n_heads = config.get("num_attention_heads")
    if type(n_heads) is not int or n_heads < 1 or D % n_heads:
        raise FileProblem(
            f"{CONFIG} says num_attention_heads = {str(n_heads)[:40]}; it must be a whole number "
            f"that divides the width, {D}."
        )
    n_layers = 0
    while tensors.has(f"{LAYER.format(n_layers)}attention.self.query.weight"):
        n_layers += 1
    if not n_layers:
        raise FileProblem("This is not a BERT that is known here: it has no encoder.layer.0.")
    if config.get("num_hidden_layers", n_layers) != n_layers:
        raise FileProblem(
            f"{CONFIG} says num_hidden_layers = {str(config['num_hidden_layers'])[:40]}; "
            f"{WEIGHTS} has {n_layers}."
        )
    count = _check_embeddings(tensors, D)
    count += sum(_check_layer(tensors, LAYER.format(i), D) for i in range(n_layers))
    if count > MAX_PARAMETERS:
        raise FileProblem(
            f"This model has {count:,} numbers besides its word embeddings; at most "
            f"{MAX_PARAMETERS:,} are read here."
        )
    return n_layers, n_heads


def _check_embeddings(tensors: _Tensors, D: int) -> int:
    tables = ("position_embeddings.weight", "token_type_embeddings.weight")
    heights = [tensors.find(EMBEDDINGS + name).shape[:1] for name in tables]
    count = sum(
        tensors.check(EMBEDDINGS + name, (*height, D))
        for name, height in zip(tables, heights, strict=True)
    )
    if (0,) in heights:
        raise FileProblem("This model has no positions or no segments.")
    norm = ("LayerNorm.weight", "LayerNorm.bias")
    return count + sum(tensors.check(EMBEDDINGS + name, (D,)) for name in norm)


def _check_layer(tensors: _Tensors, prefix: str, D: int) -> int:
    F = tensors.find(f"{prefix}intermediate.dense.bias").shape
    if len(F) != 1 or not F[0]:
        raise FileProblem(f"{prefix}intermediate.dense.bias is {F}; it must be (F,).")
    shapes = {"intermediate.dense.weight": (*F, D), "output.dense.weight": (D, *F)}
    shapes |= {"intermediate.dense.bias": F, "output.dense.bias": (D,)}
    for name in (*QKV, "attention.output.dense"):
        shapes |= {f"{name}.weight": (D, D), f"{name}.bias": (D,)}
    for part in ("attention.output", "output"):
        shapes |= {f"{part}.LayerNorm.weight": (D,), f"{part}.LayerNorm.bias": (D,)}
    return sum(tensors.check(prefix + name, shape) for name, shape in shapes.items())


def _read_embeddings(path: Path, tensors: _Tensors, config: Mapping) -> BertEmbeddings:
    """Map the word embeddings and read the rest."""
    words = tensors.find(f"{EMBEDDINGS}word_embeddings.weight")
    table = np.memmap(path, MAPPED[words.dtype], "r", offset=words.start, shape=words.shape)
    return BertEmbeddings(
        words=table,
        positions=tensors.read(f"{EMBEDDINGS}position_embeddings.weight"),
        segment=tensors.read(f"{EMBEDDINGS}token_type_embeddings.weight")[0],
        gain=tensors.read(f"{EMBEDDINGS}LayerNorm.weight"),
        bias=tensors.read(f"{EMBEDDINGS}LayerNorm.bias"),
        eps=_eps(config),
    )


class _Room:
    """One piece of memory for all matrices: in large pages it is read faster than in many pieces.

    A pass over a short sentence takes nine tenths of the time: it is bound by reading the matrices.
    """

    def __init__(self, count: int) -> None:
        self._numbers = np.empty(count, np.float32)
        self._used = 0

    def hold(self, *matrices: np.ndarray) -> np.ndarray:
        """Copy matrices (d_out, d_in) below each other and return the copy, read-only."""
        shape = (sum(map(len, matrices)), matrices[0].shape[1])
        end = self._used + prod(shape)
        held = self._numbers[self._used : end].reshape(shape)
        self._used = end
        np.concatenate(matrices, out=held)
        return read_only(held)


def _matrix_sizes(tensors: _Tensors, index: int) -> int:
    prefix = LAYER.format(index)
    return sum(prod(tensors.find(f"{prefix}{name}.weight").shape) for name in MATRICES)


def _read_layer(tensors: _Tensors, index: int, n_heads: int, config: Mapping, room: _Room) -> Layer:
    """Read a layer's matrices, stored (outputs, inputs), and name them both ways round."""

    def read(name: str) -> np.ndarray:
        return tensors.read(LAYER.format(index) + name)

    W_qkv = room.hold(*(read(f"{name}.weight") for name in QKV))
    b_qkv = read_only(np.concatenate([read(f"{name}.bias") for name in QKV]))
    W_o, W_in, W_out = (room.hold(read(f"{name}.weight")) for name in MATRICES[3:])
    W_q, W_k, W_v = (W.T for W in np.split(W_qkv, 3))
    b_q, b_k, b_v = np.split(b_qkv, 3)
    b_o = read("attention.output.dense.bias")
    weights = BlockWeights(
        attention=Projections(W_q, W_k, W_v, W_o.T, b_q, b_k, b_v, b_o, n_heads=n_heads),
        W_in=W_in.T,
        b_in=read("intermediate.dense.bias"),
        W_out=W_out.T,
        b_out=read("output.dense.bias"),
        gain_1=read("attention.output.LayerNorm.weight"),
        bias_1=read("attention.output.LayerNorm.bias"),
        gain_2=read("output.LayerNorm.weight"),
        bias_2=read("output.LayerNorm.bias"),
        activation="gelu",
        norm_first=False,
        eps=_eps(config),
    )
    return Layer(weights, W_qkv, b_qkv)


def _eps(config: Mapping) -> float:
    eps = config.get("layer_norm_eps", 1e-12)
    if not isinstance(eps, float) or not 0 < eps < 1:
        raise FileProblem(f"{CONFIG} says layer_norm_eps = {str(eps)[:40]}; it must be in 0 to 1.")
    return eps
