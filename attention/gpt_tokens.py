"""Text to the ids of a GPT's vocabulary and back: whole words, or byte-level pairs.

Both tokenizers offer the same: `encode(text)` to ids, `decode(ids)` to a text, `texts(ids)` with
each token alone as it should be shown, `len()` of the vocabulary, and `end_ids`, which end a text.
"""

import json
from collections.abc import Iterable, Sequence
from functools import cache

from attention.files import FileProblem
from attention.text import tokenize

NO_SPACE_BEFORE = frozenset(".,;:!?)'…”%")
MAX_WORDS = 300_000


class WordTokenizer:
    """One id for each whole word of a list; all other words share the id of <unknown>.

    Words are those of `attention.text.tokenize`, in lower case.
    """

    UNKNOWN, END = "<unknown>", "<end>"

    def __init__(self, words: Sequence[str]):
        self.words = tuple(words)
        self._ids = {word: i for i, word in enumerate(self.words)}
        if len(self._ids) != len(self.words) or self.UNKNOWN not in self._ids:
            raise FileProblem(
                f"A list of words must have {self.UNKNOWN} in it and no word twice; this one has "
                f"{len(self.words)} lines and {len(self._ids)} different words."
            )
        self.end_ids = frozenset({self._ids[self.END]} if self.END in self._ids else ())

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, text: str) -> tuple[int, ...]:
        """Return one id a word; words not in the list get that of <unknown>."""
        unknown = self._ids[self.UNKNOWN]
        return tuple(self._ids.get(word, unknown) for word in tokenize(text).words)

    def texts(self, ids: Iterable[int]) -> tuple[str, ...]:
        """Return the word of each id."""
        return tuple(self.words[i] for i in ids)

    def decode(self, ids: Iterable[int]) -> str:
        """Join the words to sentences: no space before punctuation, capitals after a full stop."""
        text, start = "", True
        for word in self.texts(ids):
            gap = "" if not text or word[0] in NO_SPACE_BEFORE else " "
            text += gap + (word[0].upper() + word[1:] if start else word)
            start = word in (".", "!", "?", self.END)
        return text


class BytePairTokenizer:
    """Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019, section 2.2).

    A text's bytes are joined to longer and longer pieces, so that every text has ids. Needs the
    package `tokenizers`, an instance of whose Tokenizer is given.
    """

    def __init__(self, tokenizer, end_ids: Iterable[int] = ()):
        self._tokenizer = tokenizer
        self.end_ids = frozenset(end_ids)

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size()

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids of the pieces of a text."""
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return tuple(self._tokenizer.encode(whole, add_special_tokens=False).ids)

    def texts(self, ids: Iterable[int]) -> tuple[str, ...]:
        """Return each piece as it stands in the text, space included.

        A piece that is part of a character is shown as its bytes, e.g. "<F0 9F>".
        """
        return tuple(self._text(int(i)) for i in ids)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text that the pieces make together."""
        return self._tokenizer.decode([int(i) for i in ids], skip_special_tokens=False)

    def _text(self, i: int) -> str:
        text = self._tokenizer.decode([i], skip_special_tokens=False)
        if "\ufffd" not in text:
            return text
        letters = byte_letters()
        return f"<{' '.join(f'{letters[c]:02X}' for c in self._tokenizer.id_to_token(i))}>"


@cache
def byte_letters() -> dict[str, int]:
    """Return the byte for which each letter stands in a byte-level vocabulary.

    Bytes that print are their own letter of Latin-1; the 68 others follow from U+0100 on, in order.
    """
    prints = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in prints]
    return {chr(b): b for b in prints} | {chr(0x100 + i): b for i, b in enumerate(others)}


def read_words(text: str) -> WordTokenizer:
    """Return the tokenizer of a list of words, one a line. Raises FileProblem."""
    words = text.splitlines()
    if not 2 <= len(words) <= MAX_WORDS or not all(word.strip() for word in words):
        raise FileProblem(
            f"This list of words has {len(words)} lines; needed is one word a line, 2 to "
            f"{MAX_WORDS:,} of them, and no empty line."
        )
    return WordTokenizer(words)


def read_tokenizer_json(text: str, end_ids: Iterable[int] = ()) -> BytePairTokenizer:
    """Return the tokenizer of a published tokenizer.json, if it is byte-level pairs.

    Only vocabulary, merges, added words and the cutting of digits are taken from it. Raises
    FileProblem for what is damaged, and for any other kind of tokenizer.
    """
    try:
        found = json.loads(text)
        model, cut = found["model"], found["pre_tokenizer"]
        steps = cut["pretokenizers"] if cut["type"] == "Sequence" else [cut]
        kinds = [step["type"] for step in steps]
        known = kinds in (["ByteLevel"], ["Digits", "ByteLevel"]) and found["normalizer"] is None
        usual = {"add_prefix_space": False, "use_regex": True, "individual_digits": True}
        odd = any(
            step.get(name, value) is not value for step in steps for name, value in usual.items()
        )
        if model["type"] != "BPE" or not known or odd:
            raise FileProblem(
                f"tokenizer.json is of the kind {model['type']} with {', '.join(map(str, kinds))}; "
                f"only byte-level BPE is read here."
            )
        added = {word["content"]: word["id"] for word in found["added_tokens"]}
        words = _in_order({**model["vocab"], **added})
        merges = [
            merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]
        ]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, FileProblem):
            raise
        raise FileProblem("tokenizer.json is damaged: its vocabulary cannot be read.") from error
    return byte_pairs(words, merges, special=added, end_ids=end_ids, single_digits=len(kinds) == 2)


def byte_pairs(
    words: Sequence[str],
    merges: Sequence[Sequence[str]],
    *,
    special: Iterable[str] = (),
    end_ids: Iterable[int] = (),
    single_digits: bool = False,
) -> BytePairTokenizer:
    """Build the tokenizer from its vocabulary, in order of ids, and its merges, in order of rank.

    special: words of the vocabulary that are never cut, such as <|endoftext|>.
    single_digits: cut numbers into single digits first.
    Raises FileProblem where a merge joins or makes a piece that is not in the vocabulary.
    """
    library = _tokenizers()
    ids = {word: i for i, word in enumerate(words)}
    if len(ids) != len(words) or len(words) > MAX_WORDS:
        raise FileProblem(
            f"The vocabulary of this file has {len(words):,} words, {len(ids):,} of them "
            f"different; at most {MAX_WORDS:,} different ones are read here."
        )
    _check_merges(merges, ids)
    tokenizer = library.Tokenizer(library.models.BPE(ids, [tuple(pair) for pair in merges]))
    tokenizer.add_special_tokens([word for word in special if word in ids])
    cut = library.pre_tokenizers
    byte_level = cut.ByteLevel(add_prefix_space=False)
    digits = [cut.Digits(individual_digits=True)] if single_digits else []
    tokenizer.pre_tokenizer = cut.Sequence([*digits, byte_level])
    tokenizer.decoder = library.decoders.ByteLevel()
    return BytePairTokenizer(tokenizer, end_ids)


def _check_merges(merges: Sequence[Sequence[str]], ids: dict[str, int]) -> None:
    """Refuse merges that the package tokenizers would stumble over."""
    for pair in merges:
        if len(pair) != 2 or not all(isinstance(part, str) and part in ids for part in pair):
            raise FileProblem("A merge of this vocabulary does not join two of its pieces.")
        if "".join(pair) not in ids:
            raise FileProblem("A merge of this vocabulary makes a piece that is not in it.")


def read_vocab_and_merges(vocab: str, merges: str, end_ids: Iterable[int] = ()):
    """Return the tokenizer of GPT-2's two published files, vocab.json and merges.txt.

    Raises FileProblem.
    """
    try:
        words = _in_order(json.loads(vocab))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise FileProblem(
            "vocab.json must give every word one id, counting from 0 without a gap."
        ) from error
    lines = [line for line in merges.splitlines() if line and not line.startswith("#version")]
    pairs = [line.split(" ") for line in lines]
    return byte_pairs(words, pairs, special=["<|endoftext|>"], end_ids=end_ids)


def _in_order(ids: dict[str, int]) -> list[str]:
    """Return the words in the order of their ids; raise ValueError unless they are 0, 1, 2, ..."""
    words = sorted(ids, key=ids.get)
    if [ids[word] for word in words] != list(range(len(words))):
        raise ValueError("The ids have gaps.")
    return words


def _tokenizers():
    try:
        import tokenizers
    except ImportError as error:
        raise FileProblem(
            "This model's vocabulary needs the package tokenizers: pip install tokenizers"
        ) from error
    return tokenizers
