"""Untrusted bytes in, named float32 arrays out, and back: all hostile input stops here.

Every reader keeps three promises.

- Whatever the bytes are, the only error is `FileProblem`, whose message is written for a person.
- Nothing in a file is ever run or unpickled. A `.npy` header is matched by a regular expression,
  not evaluated: `numpy.load` and `numpy.lib.format` hand it to `ast.literal_eval`, which is safe
  but can warn, and a warning filter is shared by all threads of a server.
- What a header claims is compared with what is really there before anything is allocated, numbers
  are converted in small pieces, and text is parsed without building a tree. Reading costs the
  result (4 bytes an element) and less than 20 MB besides, whatever the file says of itself.

All numbers come back as float32, which is what the playground computes in: other floats, integers
and booleans are converted; nan, infinity and what is too large for float32 are refused by cell.
"""

import csv
import io
import json
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple

import numpy as np

READABLE = (".npz", ".npy", ".csv", ".json", ".safetensors")

MAX_BYTES = 32_000_000  # of the file itself
MAX_ELEMENTS = 4_000_000  # of all its matrices together: 16 MB in float32
MAX_ENTRIES = 256  # matrices in one file to upload
MAX_NAME = 200  # letters in the name of a matrix
MAX_ROWS = 50_000  # of a matrix in text; each costs microseconds, however short
MAX_COLUMNS = 100_000  # of a .csv
MAX_LINE = 2_000_000  # letters in one line of a .csv
MAX_NPY_HEADER = 10_000  # bytes; NumPy's own limit
MAX_SAFETENSORS_HEADER = 1 << 20  # bytes; a checkpoint of 200 tensors needs about 20,000
MAX_TENSORS = 10_000  # in a .safetensors file of which only the header is read

PIECE = 1 << 16  # elements converted, or letters of text parsed, at a time


class FileProblem(ValueError):
    """A file or matrix that cannot be used; the message is a sentence or two for a person."""


# ---------------------------------------------------------------------------------------------
# The public surface
# ---------------------------------------------------------------------------------------------


def read_matrices(
    name: str, data: bytes, *, max_bytes: int = MAX_BYTES, max_elements: int = MAX_ELEMENTS
) -> dict[str, np.ndarray]:
    """Return the matrices in a file as float32 arrays of one or two dimensions.

    `name` is the file's name, whose ending (one of `READABLE`) says how `data` is read. Names and
    order of the matrices are those of the file; a `.npy`, a `.csv` and a bare JSON list hold one
    matrix, named by the file's stem. A `.csv` has commas, semicolons, tabs or spaces between its
    cells, may have a header row and a first column of labels (both left out of the result), and
    may write decimals with a comma where commas do not separate cells; it is always (rows,
    columns), so a vector is one row or one column there, and a header row of nothing but numbers
    counts as numbers. `max_elements` counts all matrices of the file.

    Raises FileProblem, and nothing else, for whatever is wrong with the name or the bytes.
    """
    shown, stem, extension = _split_name(name)
    if extension not in READERS:
        raise FileProblem(
            f"{shown} ends in {extension or 'nothing'}; the files read here are "
            f"{_listed(READABLE)}. It looks like {_looks_like(data)}."
        )
    if not data:
        raise FileProblem(f"{shown} is empty.")
    if len(data) > max_bytes:
        raise FileProblem(
            f"{shown} has {_bytes_said(len(data))}; at most {_bytes_said(max_bytes)} are read here."
        )
    if not _begins_as(extension, data):
        raise FileProblem(
            f"{shown} is not a {extension} file: it looks like {_looks_like(data)}. "
            f"Give it the ending it should have, or save it again as {extension}."
        )
    matrices = READERS[extension](shown, stem, data, max_elements)
    if not matrices:
        raise FileProblem(f"{shown} holds no matrix.")
    return matrices


def write_matrices(extension: str, matrices: Mapping[str, np.ndarray]) -> bytes:
    """Return the bytes of a file that `read_matrices` turns into the same float32 arrays.

    The bytes depend on names, order and numbers alone. `.npy` and `.csv` hold exactly one matrix
    and no name; a one-dimensional array becomes one row of a `.csv`. Text formats write the
    shortest decimals that give the same float32. Raises FileProblem for an unknown extension, a
    name or array that could not be read back, and more matrices than the format holds.
    """
    if extension not in WRITERS:
        raise FileProblem(f"{extension!r} is not written here; choose {_listed(READABLE)}.")
    checked: dict[str, np.ndarray] = {}
    for name, array in matrices.items():
        _check_name(name, checked)
        checked[name] = _writable(name, np.asarray(array))
    if not checked:
        raise FileProblem("There is no matrix to write.")
    if extension in (".npy", ".csv") and len(checked) > 1:
        raise FileProblem(
            f"A {extension} file holds one matrix, and these are {len(checked)} "
            f"({_listed(checked)}). Write one at a time, or use .npz."
        )
    return WRITERS[extension](checked)


@dataclass(frozen=True)
class Fit:
    """Whether an array has the shape that is needed, and what can be done if it has not."""

    array: np.ndarray | None  # the array as needed, read-only; None where it does not fit
    transposed: np.ndarray | None  # its transpose, where only that fits
    problem: str | None  # a sentence: what was found, what is needed, what to do


def fit_matrix(name: str, array: np.ndarray, shape: tuple[int | None, ...]) -> Fit:
    """Compare an array with the shape it must have; a None in `shape` stands for any length.

    A square matrix fits as it is: whether it is meant transposed cannot be seen. Where a vector
    is needed, one row or one column is as good.
    """
    if len(shape) == 1 and array.ndim == 2 and 1 in array.shape:
        array = array.reshape(-1)
    if _has_shape(array, shape):
        return Fit(_read_only(array), None, None)
    needed = f"{name} is {_shape_said(array.shape)}, and {_shape_said(shape)} is needed"
    if array.ndim == 2 and _has_shape(array.T, shape):
        turned = _read_only(np.ascontiguousarray(array.T))
        return Fit(None, turned, f"{needed}. It looks transposed: transpose it?")
    return Fit(None, None, f"{needed}: {_difference_said(array.shape, shape)}.")


def _has_shape(array: np.ndarray, shape: tuple[int | None, ...]) -> bool:
    return array.ndim == len(shape) and all(
        want is None or have == want for have, want in zip(array.shape, shape, strict=True)
    )


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


# ---------------------------------------------------------------------------------------------
# Names, shapes and numbers: what holds for every format
# ---------------------------------------------------------------------------------------------


def _split_name(name: str) -> tuple[str, str, str]:
    """Return a file's name fit to be shown, the stem that names its matrix, and its extension."""
    tidy = "".join(letter for letter in name[-1000:] if letter.isprintable())
    path = PurePosixPath(tidy.replace("\\", "/"))
    shown = path.name if len(path.name) <= 60 else "…" + path.name[-59:]
    return shown or "The file", path.stem[:MAX_NAME].strip() or "matrix", path.suffix.lower()


def _check_name(name: str, taken: Mapping[str, object], most: int = MAX_ENTRIES) -> None:
    if not isinstance(name, str) or not name.strip():
        raise FileProblem("A matrix in this file has no name.")
    if len(name) > MAX_NAME:
        raise FileProblem(
            f"A matrix in this file has a name of {len(name):,} letters, beginning "
            f"{_quoted(name[:MAX_NAME])}; at most {MAX_NAME} are read here."
        )
    if not name.isprintable():
        raise FileProblem(f"The name {_quoted(name)} has letters that cannot be shown.")
    if name in taken:
        raise FileProblem(f"The name {_quoted(name)} is in this file twice.")
    if len(taken) >= most:
        raise FileProblem(f"This file has more than {most} matrices, the most that are read here.")


def _count(name: str, shape: tuple[int, ...], room: int) -> int:
    """Return the number of elements, having refused what is no matrix or too large."""
    if len(shape) not in (1, 2):
        what = "a single number" if not shape else f"{_shape_said(shape)}, {len(shape)} dimensions"
        raise FileProblem(f"{name} is {what}; a matrix has two dimensions and a vector one.")
    size = math.prod(shape)
    if size == 0:
        raise FileProblem(f"{name} is {_shape_said(shape)}: it is empty.")
    if size > room:
        raise FileProblem(
            f"{name} is {_shape_said(shape)}, {size:,} numbers, and there is room for {room:,}; "
            f"{TOO_LARGE}"
        )
    return size


TOO_LARGE = "use a smaller matrix, or one file for each."


def _room(max_elements: int, matrices: Mapping[str, np.ndarray]) -> int:
    return max_elements - sum(matrix.size for matrix in matrices.values())


def _float32(name: str, values: np.ndarray, place: Callable[[int], str]) -> np.ndarray:
    """Return `values` as float32; `place(i)` says where element i stands, should it be refused."""
    with np.errstate(all="ignore"):
        rounded = values.astype(np.float32)
    finite = np.isfinite(rounded)
    if not finite.all():
        first = int(np.argmin(finite))
        raise _bad_cell(name, _number_said(float(values[first])), place(first))
    return rounded


def _number_said(value: float) -> str:
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "infinity" if value > 0 else "-infinity"
    return f"{value:g}, too large for float32,"


def _bad_cell(name: str, found: str, place: str) -> FileProblem:
    return FileProblem(
        f"{name} has {found} in {place}, counting from 1. Every cell must be a finite number."
    )


def _cell_place(index: int, shape: tuple[int, ...], order: str = "C", first_row: int = 0) -> str:
    where = np.unravel_index(index, shape, order=order)
    if len(shape) == 1:
        return f"position {first_row + int(where[0]) + 1}"
    if len(shape) == 2:
        return f"row {first_row + int(where[0]) + 1}, column {int(where[1]) + 1}"
    return "cell " + ", ".join(str(int(i) + 1) for i in where)


def _quoted(text: str, most: int = 40) -> str:
    tidy = "".join(letter if letter.isprintable() else "·" for letter in text[: most + 1])
    return f"“{tidy}”" if len(text) <= most else f"“{tidy[:most]}…”"


def _shape_said(shape: tuple[int | None, ...]) -> str:
    if len(shape) > 8:
        return f"an array of {len(shape)} dimensions"
    inner = ", ".join("any" if n is None else str(n) for n in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def _difference_said(found: tuple[int, ...], needed: tuple[int | None, ...]) -> str:
    if len(found) != len(needed):
        return f"it has {_many(len(found), 'dimension')}, not {len(needed)}"
    words = {1: ("entries",), 2: ("rows", "columns")}.get(len(needed), ("cells",) * len(needed))
    wrong = [
        f"{word} ({have} instead of {want})"
        for have, want, word in zip(found, needed, words, strict=True)
        if want is not None and have != want
    ]
    return "it has the wrong number of " + " and of ".join(wrong)


def _bytes_said(number: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= size:
            return f"{number / size:.3g} {unit}" if number < 999 * 10**9 else "over 999 GB"
    return _many(number, "byte")


def _many(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def _listed(words: tuple[str, ...] | Mapping[str, object]) -> str:
    words = list(words)
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else words[0]


# ---------------------------------------------------------------------------------------------
# What the bytes look like, whatever the name says
# ---------------------------------------------------------------------------------------------

SIGNATURES = (
    (b"\x93NUMPY", "a NumPy array, .npy"),
    (b"GGUF", "a GGUF model"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"%PDF", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"PAR1", "a Parquet table"),
    (b"\xff\xfe", "text in UTF-16 (save it as UTF-8)"),
    (b"\xfe\xff", "text in UTF-16 (save it as UTF-8)"),
)
ANY_ZIP = "a zip archive, as .npz is"
BOM = b"\xef\xbb\xbf"
TEXT_START = 4096  # bytes looked at to tell text from numbers


def _looks_like(data: bytes) -> str:
    if not data:
        return "an empty file"
    if data.startswith((b"PK\3\4", b"PK\5\6")):
        return _which_zip(data)
    if data[:1] == b"\x80" and data[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return "a Python pickle, which is never opened here because opening one runs its code"
    for signature, words in SIGNATURES:
        if data.startswith(signature):
            return words
    if data[8:9] == b"{" and data[5:8] == b"\0\0\0":
        return "a .safetensors file"
    if not _is_text(data):
        return "no format known here"
    return "JSON" if _json_begins(data) else "plain text, perhaps .csv"


def _which_zip(data: bytes) -> str:
    start = data[:TEXT_START]
    if b"data.pkl" in start:
        return "a PyTorch checkpoint (save its matrices with safetensors or numpy.savez instead)"
    if b"[Content_Types].xml" in start:
        return "an Office document (save the sheet as .csv)"
    return ANY_ZIP


def _is_text(data: bytes) -> bool:
    start = data[:TEXT_START]
    odd = sum(byte < 32 and byte not in b"\t\n\r\f" for byte in start)
    return odd == 0 and not data.startswith((b"\xff\xfe", b"\xfe\xff"))


def _json_begins(data: bytes) -> bool:
    """A list of lists or numbers, or an object; not a label such as [CLS]."""
    return (
        re.match(rb'\s*(?:\[\s*[-\[\d]|\{\s*["}])', data[:TEXT_START].removeprefix(BOM)) is not None
    )


def _begins_as(extension: str, data: bytes) -> bool:
    if extension == ".npy":
        return data.startswith(b"\x93NUMPY")
    if extension == ".npz":
        return data.startswith((b"PK\3\4", b"PK\5\6")) and _which_zip(data) == ANY_ZIP
    if extension == ".safetensors":
        return data[8:9] == b"{"
    if extension == ".json":
        return data[:TEXT_START].removeprefix(BOM).lstrip()[:1] in (b"[", b"{")
    return _is_text(data) and not _json_begins(data)


# ---------------------------------------------------------------------------------------------
# Numbers in binary
# ---------------------------------------------------------------------------------------------


def _read_values(
    name: str,
    stream: BinaryIO,
    code: str,
    shape: tuple[int, ...],
    *,
    order: str = "C",
    first_row: int = 0,
) -> np.ndarray:
    """Read an array piece by piece from where the stream stands; `first_row` is for messages."""
    length = math.prod(shape)
    array = np.empty(shape, np.float32)
    target = array.T.flat if order == "F" else array.reshape(-1)
    for start in range(0, length, PIECE):
        size = min(PIECE, length - start)
        values = _decode(_read_exactly(name, stream, size * _itemsize(code)), code)
        target[start : start + size] = _float32(
            name, values, lambda i, start=start: _cell_place(start + i, shape, order, first_row)
        )
    return array


def _read_exactly(name: str, stream: BinaryIO, size: int) -> bytes:
    raw = stream.read(size)
    if len(raw) != size:
        raise FileProblem(f"{name} is cut short: numbers are missing at its end.")
    return raw


def _decode(raw: bytes, code: str) -> np.ndarray:
    """Turn bytes into numbers; `code` is a NumPy type such as "<f4", or "bfloat16"."""
    if code == "bfloat16":  # the upper half of a float32
        return (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
    if code == "bool":
        return np.frombuffer(raw, np.uint8) != 0
    return np.frombuffer(raw, code)


def _itemsize(code: str) -> int:
    return {"bfloat16": 2, "bool": 1}.get(code) or np.dtype(code).itemsize


# ---------------------------------------------------------------------------------------------
# .npy: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
# ---------------------------------------------------------------------------------------------

NPY_PAIR = re.compile(
    r"""\s*['"](descr|fortran_order|shape)['"]\s*:\s*"""
    r"""('[^']*'|"[^"]*"|True|False|\([\dL,\s]*\)|\[.*\])\s*(?:,|$)\s*""",
    re.DOTALL,
)
NPY_NUMBER = re.compile(r"[<>|][fiu][1248]|[<>|]b1")
NPY_REFUSED = {
    "O": "Python objects (a pickle), which are never opened here",
    "U": "text",
    "S": "text",
    "a": "text",
    "c": "complex numbers",
    "M": "dates",
    "m": "time spans",
    "V": "raw bytes",
    "[": "records with named fields (a structured type)",
}


class NpyHeader(NamedTuple):
    code: str
    shape: tuple[int, ...]
    order: str
    size: int  # of the header itself, in bytes


def _read_npy(shown: str, stem: str, data: bytes, room: int) -> dict[str, np.ndarray]:
    return {stem: _npy_array(stem, io.BytesIO(data), len(data), room)}


def _npy_array(name: str, stream: BinaryIO, size: int, room: int) -> np.ndarray:
    """Read one `.npy` of `size` bytes from a stream, having compared its header with that size."""
    header = _npy_header(name, stream)
    needed = header.size + _count(name, header.shape, room) * _itemsize(header.code)
    if size != needed:
        raise FileProblem(
            f"{name} says that it is {_shape_said(header.shape)} of {header.code}, which takes "
            f"{needed:,} bytes, but it has {size:,}."
        )
    return _read_values(name, stream, header.code, header.shape, order=header.order)


def _npy_header(name: str, stream: BinaryIO) -> NpyHeader:
    start = stream.read(8)
    if len(start) < 8 or start[:6] != b"\x93NUMPY":
        raise FileProblem(f"{name} is not a .npy array.")
    if start[6:] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise FileProblem(f"{name} is a .npy of version {start[6]}.{start[7]}, unknown here.")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(_read_exactly(name, stream, width), "little")
    if length > MAX_NPY_HEADER:
        raise FileProblem(f"{name} has a .npy header of {_bytes_said(length)}, far too long.")
    text = _read_exactly(name, stream, length).decode("utf-8", "replace")
    fields = _npy_fields(name, text)
    order = "F" if fields["fortran_order"] == "True" else "C"
    return NpyHeader(
        _npy_code(name, fields["descr"]),
        _npy_shape(name, fields["shape"]),
        order,
        8 + width + length,
    )


def _npy_fields(name: str, text: str) -> dict[str, str]:
    """Split {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } without evaluating it."""
    text = text.strip()
    body, at, fields = text[1:-1], 0, {}
    while pair := NPY_PAIR.match(body, at):
        fields[pair[1]] = pair[2]
        at = pair.end()
    whole = text[:1] + text[-1:] == "{}" and at == len(body)
    if not whole or len(fields) != 3 or fields["fortran_order"] not in ("True", "False"):
        raise FileProblem(f"{name} has a .npy header that cannot be understood.")
    return fields


def _npy_code(name: str, descr: str) -> str:
    code = descr.strip("'\"")
    if NPY_NUMBER.fullmatch(code) and code[1:] != "f1":
        return "bool" if code[1:] == "b1" else code
    kind = code.lstrip("<>|=")[:1]
    what = NPY_REFUSED.get(kind, f"numbers of a type that is not read here, {_quoted(code)}")
    raise FileProblem(f"{name} holds {what}. Save it as float32.")


def _npy_shape(name: str, text: str) -> tuple[int, ...]:
    parts = [part.strip().rstrip("L") for part in text.strip("()").split(",")]
    if parts and parts[-1] == "":
        parts.pop()
    if not all(part.isdecimal() and len(part) <= 18 for part in parts):
        raise FileProblem(f"{name} has a .npy header with a shape that cannot be: {_quoted(text)}.")
    return tuple(int(part) for part in parts)


def _write_npy(matrices: Mapping[str, np.ndarray]) -> bytes:
    (matrix,) = matrices.values()
    file = io.BytesIO()
    np.save(file, matrix, allow_pickle=False)
    return file.getvalue()


# ---------------------------------------------------------------------------------------------
# .npz: a zip archive of .npy
# ---------------------------------------------------------------------------------------------

# What zipfile raises for a broken archive; a FileProblem is a ValueError and is passed on as it is.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)
ENCRYPTED = 0x1


def _read_npz(shown: str, stem: str, data: bytes, room: int) -> dict[str, np.ndarray]:
    # Each entry of the directory bears this mark, so the list zipfile builds is bounded.
    if data.count(b"PK\1\2") > MAX_ENTRIES:
        raise FileProblem(f"{shown} has more than {MAX_ENTRIES} entries, the most read here.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_directory(shown, archive.infolist(), room)
            return _npz_arrays(archive, room)
    except FileProblem:
        raise
    except ZIP_ERRORS as error:
        raise FileProblem(f"{shown} is damaged: its zip archive cannot be read.") from error


def _check_directory(shown: str, entries: list[zipfile.ZipInfo], room: int) -> None:
    """Refuse by what the archive's directory says, before anything is unpacked."""
    for entry in entries:
        name = _quoted(entry.filename)
        if entry.flag_bits & ENCRYPTED:
            raise FileProblem(f"{name} in {shown} is encrypted; save the file without a password.")
        if not entry.filename.endswith(".npy"):
            raise FileProblem(f"{shown} holds {name}, which is not a .npy array.")
        # zipfile unpacks the other methods without a limit; NumPy writes only these.
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FileProblem(f"{name} in {shown} is compressed in a way that is not read here.")
    unpacked = sum(entry.file_size for entry in entries)
    limit = room * 8 + MAX_ENTRIES * MAX_NPY_HEADER
    if unpacked > limit:
        raise FileProblem(
            f"{shown} would unpack to {_bytes_said(unpacked)}; "
            f"at most {_bytes_said(limit)} are read here."
        )


def _npz_arrays(archive: zipfile.ZipFile, max_elements: int) -> dict[str, np.ndarray]:
    matrices: dict[str, np.ndarray] = {}
    for entry in archive.infolist():
        name = entry.filename.removesuffix(".npy")
        _check_name(name, matrices)
        with archive.open(entry) as stream:
            room = _room(max_elements, matrices)
            matrices[name] = _npy_array(name, stream, entry.file_size, room)
    return matrices


def _write_npz(matrices: Mapping[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, matrix in matrices.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # else it differs between systems
            entry.external_attr = 0o600 << 16
            archive.writestr(entry, _write_npy({name: matrix}))
    return file.getvalue()


# ---------------------------------------------------------------------------------------------
# .safetensors: https://huggingface.co/docs/safetensors
# ---------------------------------------------------------------------------------------------

SAFETENSORS_BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8"), 8),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}
SAFETENSORS_CODES = {
    "BOOL": "bool",
    "BF16": "bfloat16",
    **{f"{kind.upper()}{8 * n}": f"<{kind}{n}" for kind in "iu" for n in (1, 2, 4, 8)},
    **{f"F{8 * n}": f"<f{n}" for n in (2, 4, 8)},
}


class Tensor(NamedTuple):
    """One line of a `.safetensors` header; its bytes are file[start:end]."""

    dtype: str  # as the format names it: F32, BF16, I64, ...
    shape: tuple[int, ...]
    start: int
    end: int


def safetensors_header(source: BinaryIO | bytes) -> dict[str, Tensor]:
    """Read and check the header of a `.safetensors` file, and nothing but the header.

    `source` is an open, seekable, buffered binary file (or bytes) of any size. The result maps
    each tensor's name to its dtype, shape and place in the file, counted from the file's start.
    Everything the header claims is compared with the file's size: the tensors must follow one
    another without gap or overlap to the very end, and each must be as long as dtype and shape
    say, so a `Tensor` from here can be read without further checks. Raises FileProblem.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes | bytearray) else source
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    length = int.from_bytes(stream.read(8), "little")
    if size < 10 or length < 2:
        raise FileProblem("This is not a .safetensors file: it is too short.")
    if length > size - 8:
        raise FileProblem(
            f"This .safetensors file is cut short or damaged: it says that its header has "
            f"{_bytes_said(length)}, but {_bytes_said(size - 8)} follow."
        )
    if length > MAX_SAFETENSORS_HEADER:
        raise FileProblem(
            f"This .safetensors file says that its header has {_bytes_said(length)}; "
            f"at most {_bytes_said(MAX_SAFETENSORS_HEADER)} are read here."
        )
    header = _header_object(stream.read(length))
    data_start = 8 + length
    tensors: dict[str, Tensor] = {}
    for name, entry in header.items():
        _check_name(name, tensors, most=MAX_TENSORS)
        tensors[name] = _tensor(name, entry, data_start)
    _check_places(tensors, data_start, size)
    return tensors


def read_tensor(
    source: BinaryIO | bytes,
    name: str,
    tensor: Tensor,
    *,
    rows: slice | None = None,
    columns: slice | None = None,
) -> np.ndarray:
    """Read one tensor, or some rows and columns of one, as float32 from a `.safetensors` file.

    Give what `safetensors_header` found under `name`. `rows` and `columns` are plain slices of a
    tensor of one (rows only) or two dimensions; only the rows asked for are read from the file,
    and only the cells asked for are kept. Raises FileProblem for a dtype that is not converted
    (8-bit floats, complex) and for nan, infinity and numbers too large for float32.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes | bytearray) else source
    code = SAFETENSORS_CODES.get(tensor.dtype)
    if code is None:
        raise FileProblem(f"{name} holds {tensor.dtype}, which is not read here; save it as F32.")
    height, *rest = tensor.shape or (1,)
    first, last, _ = (rows or slice(None)).indices(height)
    last = max(first, last)
    width = math.prod(rest)
    stream.seek(tensor.start + first * width * _itemsize(code))
    if columns is None:
        shape = (last - first, *rest) if tensor.shape else ()
        return _read_values(name, stream, code, shape, first_row=first)
    left, right, _ = columns.indices(width)
    window = np.empty((last - first, max(right - left, 0)), np.float32)
    step = max(1, PIECE // max(width, 1))
    for row in range(first, last, step):
        many = min(step, last - row)
        block = _read_values(name, stream, code, (many, width), first_row=row)
        window[row - first : row - first + many] = block[:, left:right]
    return window


def _header_object(raw: bytes) -> dict[str, object]:
    """Parse the header's JSON; counting brackets and commas first keeps the tree small."""
    damaged = "This .safetensors file is damaged: its header "
    most = 5 * MAX_TENSORS
    if raw.count(b"{") + raw.count(b"[") > most or raw.count(b",") > 2 * most:
        raise FileProblem(f"{damaged}is longer than {MAX_TENSORS:,} tensors would need.")
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_no_name_twice)
    except FileProblem:
        raise
    except (ValueError, RecursionError) as error:
        raise FileProblem(f"{damaged}is not JSON.") from error
    if not isinstance(header, dict):
        raise FileProblem(f"{damaged}is not a JSON object.")
    notes = header.pop("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        raise FileProblem(f"{damaged}has a __metadata__ that is not names and texts.")
    return header


def _no_name_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    known: dict[str, object] = {}
    for name, value in pairs:
        if name in known:
            raise FileProblem(f"The name {_quoted(name)} is in this file twice.")
        known[name] = value
    return known


def _tensor(name: str, entry: object, data_start: int) -> Tensor:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise FileProblem(f"{name} is not described by dtype, shape and data_offsets.")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in SAFETENSORS_BITS:
        what = _quoted(dtype) if isinstance(dtype, str) else "that is no text"
        raise FileProblem(f"{name} has a dtype unknown here, {what}.")
    if not _are_sizes(shape) or len(shape) > 32:
        raise FileProblem(f"{name} has a shape that is not a list of lengths.")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise FileProblem(f"{name} has data_offsets that are not two places in the file.")
    start, end = offsets
    bits = math.prod(shape) * SAFETENSORS_BITS[dtype]
    if bits % 8 or bits // 8 != end - start:
        raise FileProblem(
            f"{name} says that it is {_shape_said(tuple(shape))} of {dtype}, which takes "
            f"{_bytes_said(-(-bits // 8))}, but its place in the file is "
            f"{_many(max(end - start, 0), 'byte')} long."
        )
    return Tensor(dtype, tuple(shape), data_start + start, data_start + end)


def _are_sizes(values: object) -> bool:
    return isinstance(values, list) and all(type(n) is int and 0 <= n < 2**62 for n in values)


def _check_places(tensors: Mapping[str, Tensor], data_start: int, size: int) -> None:
    """Each tensor begins where the one before it ends, and the last ends with the file."""
    at, before = data_start, None
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if tensor.end > size:
            raise FileProblem(
                f"{name} ends {_bytes_said(tensor.end - size)} after the end of the file: "
                f"the file is cut short or damaged."
            )
        if tensor.start < at:
            raise FileProblem(f"{name} overlaps {before} in the file: the file is damaged.")
        if tensor.start > at:
            raise FileProblem(f"Before {name} there are bytes that belong to no tensor.")
        at, before = tensor.end, name
    if at != size:
        raise FileProblem(f"At the file's end there are {_bytes_said(size - at)} of no tensor.")


def _read_safetensors(shown: str, stem: str, data: bytes, room: int) -> dict[str, np.ndarray]:
    header = safetensors_header(data)
    if len(header) > MAX_ENTRIES:
        raise FileProblem(f"{shown} has {len(header):,} tensors; at most {MAX_ENTRIES} are read.")
    matrices: dict[str, np.ndarray] = {}
    for name, tensor in header.items():
        _count(name, tensor.shape, _room(room, matrices))
        matrices[name] = read_tensor(data, name, tensor)
    return matrices


def _write_safetensors(matrices: Mapping[str, np.ndarray]) -> bytes:
    header, end = {}, 0
    for name, matrix in matrices.items():
        start, end = end, end + matrix.nbytes
        header[name] = {"dtype": "F32", "shape": list(matrix.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)  # the numbers begin at a multiple of 8
    numbers = [matrix.astype("<f4").tobytes() for matrix in matrices.values()]
    return b"".join([len(text).to_bytes(8, "little"), text, *numbers])


# ---------------------------------------------------------------------------------------------
# Numbers in text
# ---------------------------------------------------------------------------------------------

NUMBER = re.compile(r"\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?\s*", re.ASCII | re.IGNORECASE)
ONLY_NUMBERS = re.compile(r"[-+.\deE\s]*", re.ASCII)
NOT_WORDS = re.compile(r"[-+]?(?:nan|n/?a|null|none|inf|infinity|0x[\da-f.p]+)|", re.IGNORECASE)


def _floats(name: str, cells: list[str], place: Callable[[int], str]) -> np.ndarray:
    """Return the cells' numbers as float32, or refuse the first cell that is not one."""
    # The two expressions agree: what the fast one lets through float() takes, or a cell is bad.
    try:
        values = list(map(float, cells)) if ONLY_NUMBERS.fullmatch(" ".join(cells)) else None
    except ValueError:
        values = None
    if values is None:
        bad = next(i for i, cell in enumerate(cells) if not NUMBER.fullmatch(cell))
        raise _bad_cell(name, _cell_said(cells[bad].strip()), place(bad))
    numbers = np.array(values, np.float64)
    if np.isinf(numbers).any():  # 1e999
        bad = int(np.isinf(numbers).argmax())
        raise _bad_cell(name, f"{_quoted(cells[bad].strip())}, too large for float32,", place(bad))
    return _float32(name, numbers, place)


def _cell_said(cell: str) -> str:
    if not cell:
        return "an empty cell"
    if cell[0] in "[{":
        return "a list or object, not a number,"
    if re.fullmatch(r"[-+]?inf(?:inity)?", cell, re.IGNORECASE):
        return "infinity" if cell[0] != "-" else "-infinity"
    if cell.lower().startswith(("0x", "-0x", "+0x")):
        return f"{_quoted(cell)}, a hexadecimal number,"
    return f"{_quoted(cell)}, not a number,"


def _decimal(value: np.float32) -> str:
    """The shortest decimals that, read as float64 and rounded, are this float32 again."""
    short = str(value)
    return short if np.float32(float(short)) == value else repr(float(value))


def _row_text(row: np.ndarray, separator: str) -> str:
    return separator.join(map(_decimal, row))


# ---------------------------------------------------------------------------------------------
# .csv
# ---------------------------------------------------------------------------------------------


class CsvLayout(NamedTuple):
    width: int  # cells in every line
    labels: str  # what the first column holds: "none" (numbers), "words", or "any" labels


def _read_csv(shown: str, stem: str, data: bytes, room: int) -> dict[str, np.ndarray]:
    rows = _csv_rows(stem, data)
    first = next(rows, (1, []))
    corner = _has_corner(first[1])
    begin = next(rows, (1, [])) if corner or all(map(_is_word, first[1])) else first
    if not begin[1]:
        raise FileProblem(f"{shown} has no row of numbers.")
    labelled = "words" if len(begin[1]) > 1 and _is_word(begin[1][0]) else "none"
    layout = CsvLayout(len(first[1]), "any" if corner else labelled)
    return {stem: _csv_matrix(stem, chain([begin], rows), layout, room)}


def _csv_matrix(
    stem: str, rows: Iterable[tuple[int, list[str]]], layout: CsvLayout, room: int
) -> np.ndarray:
    numbers, marks = bytearray(), {}
    skip = 0 if layout.labels == "none" else 1
    for line, cells in rows:
        _check_line(stem, line, cells, layout)
        values = _with_points(stem, line, cells[skip:], marks)
        place = partial(_line_place, line, skip + 1)
        if len(numbers) // 4 + len(values) > room:
            raise FileProblem(f"{stem} has more numbers than there is room for; {TOO_LARGE}")
        numbers += _floats(stem, values, place).tobytes()
    return np.frombuffer(numbers, np.float32).reshape(-1, layout.width - skip)


def _line_place(line: int, first_column: int, index: int) -> str:
    return f"line {line}, column {first_column + index}"


def _check_line(stem: str, line: int, cells: list[str], layout: CsvLayout) -> None:
    if len(cells) != layout.width:
        raise FileProblem(
            f"{stem}: line {line} has {_many(len(cells), 'cell')}, "
            f"not {layout.width} as in the first line."
        )
    if layout.labels == "words" and NUMBER.fullmatch(cells[0]):
        raise FileProblem(
            f"{stem}: line {line} begins with {_quoted(cells[0])}, a number, where the lines "
            f"before begin with a label. Give every line a label, or none."
        )


def _with_points(stem: str, line: int, cells: list[str], marks: dict[str, int]) -> list[str]:
    """Turn the decimal commas of a line into points; `marks` keeps which of both were seen where.

    A file that uses both is refused: one of them would stand for thousands.
    """
    together = " ".join(cells)
    if not ONLY_NUMBERS.fullmatch(together.replace(",", "")):
        return cells  # a cell is no number and will be refused
    for mark in ",.":
        if mark in together:
            marks.setdefault(mark, line)
    if len(marks) == 2:
        raise FileProblem(
            f"{stem} writes decimals with a comma in line {marks[',']} and with a point in line "
            f"{marks['.']}. Use one of them."
        )
    return [cell.replace(",", ".") for cell in cells]


def _csv_rows(stem: str, data: bytes) -> Iterator[tuple[int, list[str]]]:
    """Yield each line that is not blank as its number, from 1, and its cells."""
    # A byte that is not UTF-8 can only be in a label (and labels are left out) or be refused.
    lines = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", errors="replace", newline=None)
    separator, number = None, 0
    while line := lines.readline(MAX_LINE):
        number += 1
        if number > MAX_ROWS:
            raise FileProblem(f"{stem} has more than {MAX_ROWS:,} lines, the most read here.")
        if len(line) == MAX_LINE:
            raise FileProblem(f"{stem}: line {number} is too long to be read.")
        if not line.strip():
            continue
        separator = separator or _separator(line)
        if line.count(separator) >= MAX_COLUMNS:
            raise FileProblem(f"{stem}: line {number} has more than {MAX_COLUMNS:,} cells.")
        yield number, _cells(stem, number, line.rstrip("\n"), separator)


def _separator(line: str) -> str:
    """Tab, semicolon, comma or space: the first of them that the first line has unquoted."""
    bare = re.sub(r'"[^"]*"', "", line).strip(" \n")
    return next((mark for mark in "\t;, " if mark in bare), ",")


def _cells(stem: str, number: int, line: str, separator: str) -> list[str]:
    if separator == " " and '"' not in line:
        return line.split()
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator, strict=True, skipinitialspace=True))
    except csv.Error as error:
        raise FileProblem(f"{stem}: line {number} has a quotation mark out of place.") from error


def _has_corner(cells: list[str]) -> bool:
    """An empty first cell and no other: a header over a column of labels, as pandas writes it."""
    return len(cells) > 1 and not cells[0].strip() and all(cell.strip() for cell in cells[1:])


def _is_word(cell: str) -> bool:
    """A label, and not a number or an attempt at one (nan, inf, hexadecimal, nothing)."""
    cell = cell.strip()
    return not NUMBER.fullmatch(cell.replace(",", ".")) and not NOT_WORDS.fullmatch(cell)


def _write_csv(matrices: Mapping[str, np.ndarray]) -> bytes:
    (matrix,) = matrices.values()
    return "".join(_row_text(row, ",") + "\n" for row in np.atleast_2d(matrix)).encode("ascii")


# ---------------------------------------------------------------------------------------------
# .json: {"W_q": [[...], ...], ...}, or one bare list
#
# The json module would build 32 bytes or more for every number and go as deep as the file wants.
# The shapes read here are so few that three small functions walk over the bytes instead.
# ---------------------------------------------------------------------------------------------

BLANKS = re.compile(rb"[ \t\r\n]*")
JSON_KEY = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\.)*"')
JSON_KINDS = {b'"': "a text", b"{": "an object", b"t": "true", b"f": "false", b"n": "null"}


def _read_json(shown: str, stem: str, data: bytes, room: int) -> dict[str, np.ndarray]:
    at = _skip_blanks(data, len(BOM) if data.startswith(BOM) else 0)
    if data[at : at + 1] == b"[":
        matrix, at = _json_matrix(stem, data, at, room)
        matrices = {stem: matrix}
    else:
        matrices, at = _json_object(data, at, room)
    if _skip_blanks(data, at) != len(data):
        raise FileProblem(f"{shown} goes on after the end of its JSON.")
    return matrices


def _json_object(data: bytes, at: int, max_elements: int) -> tuple[dict[str, np.ndarray], int]:
    matrices: dict[str, np.ndarray] = {}
    at = _skip_blanks(data, at + 1)
    if data[at : at + 1] == b"}":
        return matrices, at + 1
    while True:
        name, at = _json_name(data, at)
        _check_name(name, matrices)
        at = _skip_blanks(data, _expected(data, _skip_blanks(data, at), b":", name) + 1)
        if (found := data[at : at + 1]) != b"[":
            what = JSON_KINDS.get(found, "a single number")
            raise FileProblem(f"{name} is {what}; needed is a list of rows, [[1, 2], [3, 4]].")
        matrices[name], at = _json_matrix(name, data, at, _room(max_elements, matrices))
        at = _skip_blanks(data, at)
        if data[at : at + 1] == b"}":
            return matrices, at + 1
        at = _skip_blanks(data, _expected(data, at, b",", name) + 1)


def _json_name(data: bytes, at: int) -> tuple[str, int]:
    # At most 12 bytes a letter (a pair of \uXXXX) and the quotation marks.
    key = JSON_KEY.match(data[at : at + 12 * MAX_NAME + 2])
    if not key:
        raise FileProblem(
            "This JSON is damaged where the name of a matrix should stand: "
            f"{_quoted(data[at : at + 40].decode('utf-8', 'replace'))}."
        )
    try:
        return json.loads(key[0].decode("utf-8")), at + key.end()
    except ValueError as error:
        raise FileProblem("A matrix in this JSON has a name that cannot be read.") from error


def _json_matrix(name: str, data: bytes, at: int, room: int) -> tuple[np.ndarray, int]:
    """Read [1, 2] or [[1, 2], [3, 4]] from the bracket at `at`; also return where it ends."""
    inner = _skip_blanks(data, at + 1)
    if data[inner : inner + 1] != b"[":
        return _json_row(name, data, at, room, _position)
    rows, width = bytearray(), None
    for number in count(1):
        if number > MAX_ROWS:
            raise FileProblem(f"{name} has more than {MAX_ROWS:,} rows, the most read of text.")
        if data[inner : inner + 1] != b"[":
            raise FileProblem(f"{name}: row {number} is not a list of numbers.")
        left = room - len(rows) // 4
        row, at = _json_row(name, data, inner, left, partial(_row_place, number))
        width = width or row.size
        if row.size != width:
            raise FileProblem(
                f"{name}: row {number} has {_many(row.size, 'cell')}, not {width} as before."
            )
        rows += row.tobytes()
        at = _skip_blanks(data, at)
        if data[at : at + 1] == b"]":
            break
        inner = _skip_blanks(data, _expected(data, at, b",", f"row {number} of {name}") + 1)
    return np.frombuffer(rows, np.float32).reshape(-1, width), at + 1


def _json_row(
    name: str, data: bytes, at: int, room: int, place: Callable[[int], str]
) -> tuple[np.ndarray, int]:
    end = data.find(b"]", at)
    if end < 0:
        raise FileProblem(f"{name} is cut short: a ] is missing.")
    if _skip_blanks(data, at + 1) == end:
        raise FileProblem(f"{name} has an empty list at {place(0)}.")
    numbers, start = bytearray(), at + 1
    while start <= end:
        stop = end if end - start <= PIECE else data.rfind(b",", start, start + PIECE)
        if stop < 0:
            raise FileProblem(f"{name} has a cell that is too long to be a number.")
        cells = _json_cells(data[start:stop])
        read = len(numbers) // 4
        if read + len(cells) > room:
            raise FileProblem(f"{name} has more numbers than there is room for; {TOO_LARGE}")
        numbers += _floats(name, cells, lambda i, read=read: place(read + i)).tobytes()
        start = stop + 1
    return np.frombuffer(numbers, np.float32), end + 1


def _row_place(row: int, index: int) -> str:
    return f"row {row}, column {index + 1}"


def _position(index: int) -> str:
    return f"position {index + 1}"


def _json_cells(raw: bytes) -> list[str]:
    cells = raw.decode("utf-8", "replace").split(",")
    if b"u" in raw or b"a" in raw:  # true, false
        cells = [{"true": "1", "false": "0"}.get(cell.strip(), cell) for cell in cells]
    return cells


def _skip_blanks(data: bytes, at: int) -> int:
    return BLANKS.match(data, at).end()


def _expected(data: bytes, at: int, mark: bytes, after: str) -> int:
    if data[at : at + 1] != mark:
        found = data[at : at + 20].decode("utf-8", "replace")
        what = _quoted(found) if found else "the end of the file"
        raise FileProblem(
            f"This JSON is damaged: after {after} a {mark.decode()} is missing before {what}."
        )
    return at


def _write_json(matrices: Mapping[str, np.ndarray]) -> bytes:
    entries = [f"{json.dumps(name)}: {_json_text(matrix)}" for name, matrix in matrices.items()]
    return ("{" + ",\n ".join(entries) + "}\n").encode("ascii")


def _json_text(matrix: np.ndarray) -> str:
    if matrix.ndim == 1:
        return f"[{_row_text(matrix, ', ')}]"
    return "[" + ",\n  ".join(f"[{_row_text(row, ', ')}]" for row in matrix) + "]"


# ---------------------------------------------------------------------------------------------


def _writable(name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiub":
        raise FileProblem(f"{name} holds {array.dtype}, which is not written here.")
    _count(name, array.shape, array.size)
    flat = _float32(name, array.reshape(-1), lambda i: _cell_place(i, array.shape))
    return flat.reshape(array.shape)


READERS = {
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".csv": _read_csv,
    ".json": _read_json,
    ".safetensors": _read_safetensors,
}
WRITERS = {
    ".npz": _write_npz,
    ".npy": _write_npy,
    ".csv": _write_csv,
    ".json": _write_json,
    ".safetensors": _write_safetensors,
}
