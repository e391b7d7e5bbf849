"""GGUF files: the settings and weight matrices of a language model, read without trusting them.

The layout is public: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Little-endian: the
letters GGUF, version, two counts, the settings, the tensors' names, shapes and places, and then
their numbers. Everything a header claims is compared with the size of the file before anything
is allocated; the only error is `FileProblem`, whose message is written for a person.

Many files hold their numbers in blocks of 32 that share a scale: a number is scale · q, or
scale · q + least, with q of 4 or 8 bits. They are turned back into float32.
"""

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from attention.files import FileProblem

MAX_SETTINGS = 1_000
MAX_TENSORS = 10_000
MAX_TEXT = 1_000_000  # bytes
MAX_HEADER = 50_000_000  # bytes; that of a vocabulary of 50,000 has 2,000,000
MAX_LISTED = 1_500_000  # values in all lists together; a vocabulary needs three for each word
MAX_DIMENSIONS = 4

BLOCK = 32  # numbers that share a scale
NUMBERS_AT_A_TIME = 1 << 20  # numbers turned into float32 at a time


class BlockType(NamedTuple):
    """How the file holds the numbers of a tensor."""

    name: str
    numbers: int  # in one block
    bytes: int  # of one block
    decode: Callable[[np.ndarray], np.ndarray]  # (n, bytes) uint8 → (n, numbers) float32


class GgufTensor(NamedTuple):
    """Where a tensor stands: file[start:end]. `shape` is NumPy's: rows first."""

    kind: BlockType
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class GgufHeader:
    """The settings (numbers, texts, and lists of either) and tensors of a GGUF file, by name."""

    settings: Mapping[str, object]
    tensors: Mapping[str, GgufTensor]


def read_header(path: Path) -> GgufHeader:
    """Read the header of a GGUF file and check that all it names lies within the file.

    Raises FileProblem.
    """
    with open(path, "rb") as stream:
        file = _Reader(stream)
        if file.take(4, "the beginning") != b"GGUF":
            raise FileProblem(f"{path.name} is not a GGUF file: it does not begin with GGUF.")
        version = file.number("I")
        if version not in (2, 3):
            raise FileProblem(
                f"{path.name} says that it is GGUF version {version}; versions 2 and 3 are read "
                f"here, little-endian."
            )
        n_tensors, n_settings = file.number("Q"), file.number("Q")
        if n_tensors > MAX_TENSORS or n_settings > MAX_SETTINGS:
            raise FileProblem(
                f"{path.name} says that it has {n_tensors:,} tensors and {n_settings:,} settings; "
                f"at most {MAX_TENSORS:,} and {MAX_SETTINGS:,} are read here."
            )
        settings: dict[str, object] = {}
        for _ in range(n_settings):
            name = _new_name(file, settings)
            settings[name] = _value(file, file.number("I"), name)
        described: dict[str, tuple[BlockType, tuple[int, ...], int]] = {}
        for _ in range(n_tensors):
            name = _new_name(file, described)
            described[name] = _tensor(file, name)
        return GgufHeader(settings, _places(described, settings, file))


def read_tensor(stream: BinaryIO, name: str, tensor: GgufTensor) -> np.ndarray:
    """Return one tensor as float32, in pieces, so that it costs little more than its result.

    Raises FileProblem if a number in it is not finite.
    """
    result = np.empty(math.prod(tensor.shape), np.float32)
    kind = tensor.kind
    stream.seek(tensor.start)
    for start in range(0, result.size, NUMBERS_AT_A_TIME):
        piece = result[start : start + NUMBERS_AT_A_TIME]
        raw = stream.read(len(piece) // kind.numbers * kind.bytes)
        if len(raw) * kind.numbers != piece.size * kind.bytes:
            raise FileProblem(f"{name} is cut short: numbers are missing at its end.")
        blocks = np.frombuffer(raw, np.uint8).reshape(-1, kind.bytes)
        with np.errstate(all="ignore"):
            piece[:] = kind.decode(blocks).reshape(-1)
        if not np.isfinite(piece).all():
            raise FileProblem(f"{name} has a number that is not finite: the file is damaged.")
    return result.reshape(tensor.shape)


# ---- how numbers are held


def _plain(code: str) -> Callable[[np.ndarray], np.ndarray]:
    return lambda blocks: blocks.view(code).astype(np.float32)


def _bfloat16(blocks: np.ndarray) -> np.ndarray:
    return (blocks.view("<u2").astype("<u4") << 16).view("<f4")  # the upper half of a float32


def _q4_0(blocks: np.ndarray) -> np.ndarray:
    """Scale (float16), 16 bytes of two numbers each: scale · (q - 8)."""
    return _half(blocks[:, :2]) * (_nibbles(blocks[:, 2:]) - np.float32(8))


def _q4_1(blocks: np.ndarray) -> np.ndarray:
    """Scale and least (float16), 16 bytes of two numbers each: scale · q + least."""
    return _half(blocks[:, :2]) * _nibbles(blocks[:, 4:]) + _half(blocks[:, 2:4])


def _q8_0(blocks: np.ndarray) -> np.ndarray:
    """Scale (float16), 32 signed bytes: scale · q."""
    return _half(blocks[:, :2]) * blocks[:, 2:].view(np.int8)


def _half(pairs: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pairs).view("<f2").astype(np.float32)  # (n, 1)


def _nibbles(halves: np.ndarray) -> np.ndarray:
    """Split (n, 16) bytes into (n, 32) numbers: first all low halves, then all high halves."""
    return np.concatenate([halves & 15, halves >> 4], axis=1).astype(np.float32)


BLOCK_TYPES = {
    0: BlockType("F32", 1, 4, _plain("<f4")),
    1: BlockType("F16", 1, 2, _plain("<f2")),
    2: BlockType("Q4_0", BLOCK, 18, _q4_0),
    3: BlockType("Q4_1", BLOCK, 20, _q4_1),
    8: BlockType("Q8_0", BLOCK, 34, _q8_0),
    30: BlockType("BF16", 1, 2, _bfloat16),
}

# ---- the header

NUMBERS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
TEXT, LIST = 8, 9


class _Reader:
    """Reads forward through a file and refuses to run over its end."""

    def __init__(self, stream: BinaryIO):
        self.stream = stream
        self.size = stream.seek(0, 2)
        stream.seek(0)
        self.at = 0
        self.listed = 0

    def take(self, count: int, what: str) -> bytes:
        if count > self.size - self.at:
            raise FileProblem(
                f"This GGUF file is cut short or damaged: {what} would take {count:,} bytes, "
                f"and {self.size - self.at:,} are left."
            )
        self.at += count
        if self.at > MAX_HEADER:
            raise FileProblem(
                f"The header of this GGUF file goes on beyond {MAX_HEADER:,} bytes, the most that "
                f"is read here."
            )
        return self.stream.read(count)

    def count(self, what: str) -> int:
        count = self.number("Q", what)
        self.listed += count
        if self.listed > MAX_LISTED:
            raise FileProblem(
                f"This GGUF file says that {what} lists {count:,} values; at most {MAX_LISTED:,} "
                f"in all are read here."
            )
        return count

    def number(self, code: str, what: str = "a number of the header"):
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code), what))[0]

    def text(self, what: str) -> str:
        length = self.number("Q", what)
        if length > MAX_TEXT:
            raise FileProblem(
                f"This GGUF file says that {what} is {length:,} bytes long; at most {MAX_TEXT:,} "
                f"are read here."
            )
        return self.take(length, what).decode("utf-8", "replace")


def _new_name(file: _Reader, taken: Mapping[str, object]) -> str:
    name = file.text("a name")
    if not (0 < len(name) <= 200 and name.isprintable()):
        raise FileProblem("This GGUF file has a name that is empty, too long or cannot be shown.")
    if name in taken:
        raise FileProblem(f"This GGUF file has the name {name} twice.")
    return name


def _value(file: _Reader, code: int, name: str):
    if code in NUMBERS:
        return file.number(NUMBERS[code], name)
    if code == TEXT:
        return file.text(name)
    if code != LIST:
        raise FileProblem(f"This GGUF file is damaged: {name} is of the unknown type {code}.")
    inner, count = file.number("I", name), file.count(name)
    if inner in NUMBERS:
        format = f"<{count}{NUMBERS[inner]}"
        return struct.unpack(format, file.take(struct.calcsize(format), name))
    if inner == TEXT:
        return tuple(file.text(name) for _ in range(count))
    raise FileProblem(f"{name} is a list of lists, or damaged; it is not read here.")


def _tensor(file: _Reader, name: str) -> tuple[BlockType, tuple[int, ...], int]:
    """Return the type, shape and place (counted from where the numbers begin) of a tensor."""
    n_dimensions = file.number("I", name)
    if not 1 <= n_dimensions <= MAX_DIMENSIONS:
        raise FileProblem(
            f"{name} says that it has {n_dimensions} dimensions: the file is damaged."
        )
    shape = tuple(file.number("Q", name) for _ in range(n_dimensions))[::-1]  # the row comes first
    code, offset = file.number("I", name), file.number("Q", name)
    if code not in BLOCK_TYPES:
        read = ", ".join(kind.name for kind in BLOCK_TYPES.values())
        raise FileProblem(
            f"{name} is held in a way that is not read here (type {code}); read are {read}."
        )
    kind = BLOCK_TYPES[code]
    if not all(0 < n < 2**40 for n in shape) or shape[-1] % kind.numbers:
        raise FileProblem(f"{name} has a shape that cannot be: {shape} of {kind.name}.")
    return kind, shape, offset


def _places(described, settings, file: _Reader) -> dict[str, GgufTensor]:
    """Check that the tensors follow one another within the file, none over another."""
    alignment = settings.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 16:
        raise FileProblem(f"This GGUF file says that its alignment is {alignment!r}.")
    begin = -(-file.at // alignment) * alignment
    tensors = {}
    for name, (kind, shape, offset) in described.items():
        start = begin + offset
        end = start + math.prod(shape) // kind.numbers * kind.bytes
        if end > file.size:
            raise FileProblem(
                f"{name} ends {end - file.size:,} bytes behind the end of the file: the file is "
                f"cut short or damaged."
            )
        tensors[name] = GgufTensor(kind, shape, start, end)
    ordered = sorted(tensors.items(), key=lambda item: item[1].start)
    for (before, first), (name, second) in zip(ordered, ordered[1:], strict=False):
        if second.start < first.end:
            raise FileProblem(f"{name} overlaps {before} in the file: the file is damaged.")
    return tensors
