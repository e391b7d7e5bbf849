"""attention/files.py: what it reads, what it writes, and what it refuses at what cost."""

import hashlib
import io
import json
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load as safetensors_load
from safetensors.numpy import save as safetensors_save

from attention.files import (
    MAX_BYTES,
    MAX_ELEMENTS,
    READABLE,
    FileProblem,
    fit_matrix,
    read_matrices,
    read_tensor,
    safetensors_header,
    write_matrices,
)

W = np.array([[0.1, -2.0, 3.5], [1e-7, 5.0, -6.25]], np.float32)
b = np.array([1.0, 2.0, 4.0, 8.0, 16.0], np.float32)


def problem(name: str, data: bytes, **limits) -> str:
    """The message that reading gives."""
    with pytest.raises(FileProblem) as caught:
        read_matrices(name, data, **limits)
    return str(caught.value)


def same(found: dict, expected: dict) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], array, strict=True)


def npy(array: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npz(_save=np.savez, /, **arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    _save(file, **arrays)
    return file.getvalue()


def npy_saying(header: str, numbers: bytes = b"", version: bytes = b"\1\0") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header.encode() + numbers


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return file.getvalue()


def safetensors(header: object, numbers: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def tensor(dtype: str, shape: list, start: int, end: int) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


# --- worked by hand ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "matrix"),
    [
        ("1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("1;2\r\n3;4", [[1, 2], [3, 4]]),
        ("1\t2\n\n3\t4\n", [[1, 2], [3, 4]]),
        ("1.0e+00 2.0e+00\n3.0e+00 4.0e+00\n", [[1, 2], [3, 4]]),
        ("\ufeff1,5;2\n3;-4,25\n", [[1.5, 2], [3, -4.25]]),
        ("1,5\t2\n", [[1.5, 2]]),
        ("7\n8\n9\n", [[7], [8], [9]]),
        ("a,b\n1,2\n", [[1, 2]]),
        ("token,a,b\nthe,1,2\ncat,3,4\n", [[1, 2], [3, 4]]),
        ("the,1,2\n[SEP],3,4\n", [[1, 2], [3, 4]]),
        ("[CLS],1,2\n", [[1, 2]]),
        (",0,1\n0,1.5,2\n1,3,4\n", [[1.5, 2], [3, 4]]),  # pandas: an index under a corner
        ('"a;b",1,"2"\n"c ""d""",3,4\n', [[1, 2], [3, 4]]),
        ("+.5, 1. \n-1E2,0\n", [[0.5, 1], [-100, 0]]),
    ],
)
def test_csv_by_hand(text, matrix):
    same(read_matrices("W_q.csv", text.encode()), {"W_q": np.array(matrix, np.float32)})


def test_csv_label_that_is_not_utf8():
    found = read_matrices("x.csv", "f\u00fcr;1,5\nwas;2\n".encode("cp1252"))
    same(found, {"x": np.array([[1.5], [2]], np.float32)})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[1, 2], [3, 4]]", {"file": [[1, 2], [3, 4]]}),
        (" [1,2.5e1,-3] ", {"file": [1, 25, -3]}),
        ('\ufeff{"W_q": [[1], [2]],\n "b_q": [true, false]}', {"W_q": [[1], [2]], "b_q": [1, 0]}),
        ('{"caf\\u00e9": [[0.5]]}', {"caf\u00e9": [[0.5]]}),
    ],
)
def test_json_by_hand(text, expected):
    arrays = {name: np.array(value, np.float32) for name, value in expected.items()}
    same(read_matrices("file.json", text.encode()), arrays)


def test_bfloat16_by_hand():
    numbers = struct.pack("<4H", 0x3FC0, 0xC000, 0x0000, 0x4049)  # 1.5, -2, 0, 3.140625
    data = safetensors({"W": tensor("BF16", [2, 2], 0, 8)}, numbers)
    same(read_matrices("w.safetensors", data), {"W": np.float32([[1.5, -2], [0, 3.140625]])})


# --- files that other programs wrote ----------------------------------------------------------


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_reads_what_numpy_zips(save):
    found = read_matrices("w.npz", npz(save, W_q=W, b_q=b.astype(np.float64)))
    same(found, {"W_q": W, "b_q": b})


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", ">f8", "|i1", "<i2", ">i8", "<u8", "|b1"])
def test_reads_every_real_dtype_of_numpy(dtype):
    array = np.array([[0, 1, 2], [3, 4, 5]]).astype(dtype)
    same(read_matrices("w.npy", npy(array)), {"w": array.astype(np.float32)})
    same(read_matrices("w.npy", npy(np.asfortranarray(array))), {"w": array.astype(np.float32)})


def test_reads_old_and_new_headers_of_numpy():
    for version in ((1, 0), (2, 0), (3, 0)):
        file = io.BytesIO()
        np.lib.format.write_array(file, W, version=version)
        same(read_matrices("W.npy", file.getvalue()), {"W": W})
    python2 = npy_saying("{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }")
    same(read_matrices("W.npy", python2 + W.tobytes()), {"W": W})


def test_reads_what_safetensors_writes():
    data = safetensors_save({"W_q": W, "b_q": b.astype(np.float16)}, metadata={"format": "np"})
    found = read_matrices("w.safetensors", data)
    same(dict(sorted(found.items())), {"W_q": W, "b_q": b})
    ours = safetensors_load(write_matrices(".safetensors", {"W_q": W, "b_q": b}))
    same(dict(sorted(ours.items())), {"W_q": W, "b_q": b})


@pytest.mark.parametrize("options", [{}, {"index": False}, {"sep": ";", "decimal": ","}])
def test_reads_what_pandas_writes(options):
    frame = pd.DataFrame(W, columns=["a", "b", "c"], index=["the", "cat"])
    same(read_matrices("w.csv", frame.to_csv(**options).encode()), {"w": W})
    numbered = pd.DataFrame(W).to_csv(**{**options, "index": True})  # header and index are numbers
    same(read_matrices("w.csv", numbered.encode()), {"w": W})


def test_reads_what_json_writes():
    data = json.dumps({"W_q": W.tolist(), "b_q": b.tolist()}, indent=2).encode()
    same(read_matrices("w.json", data), {"W_q": W, "b_q": b})


def test_numpy_and_json_read_what_we_write():
    with np.load(io.BytesIO(write_matrices(".npz", {"W_q": W, "b_q": b}))) as file:
        same(dict(file), {"W_q": W, "b_q": b})
    np.testing.assert_array_equal(np.load(io.BytesIO(write_matrices(".npy", {"W": W}))), W)
    text = json.loads(write_matrices(".json", {"W_q": W}))
    np.testing.assert_array_equal(np.float32(text["W_q"]), W)
    assert write_matrices(".csv", {"W": W}) == b"0.1,-2.0,3.5\n1e-07,5.0,-6.25\n"


# --- laws -------------------------------------------------------------------------------------

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
MATRIX = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=7), elements=FLOATS
)
VECTOR = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=1, max_dims=1, max_side=7), elements=FLOATS
)
NAMES = st.text("aWq_0.-/ \\\"':,[{}é中🙂Ωא", min_size=1, max_size=30).filter(str.strip)
MATRICES = st.dictionaries(NAMES, MATRIX | VECTOR, min_size=1, max_size=5)


@pytest.mark.parametrize("extension", [".npz", ".json", ".safetensors"])
@given(matrices=MATRICES)
@settings(max_examples=60, deadline=None)
def test_round_trip_of_names_and_numbers(extension, matrices):
    data = write_matrices(extension, matrices)
    same(read_matrices(f"file{extension}", data), matrices)
    assert write_matrices(extension, {name: a.copy() for name, a in matrices.items()}) == data


@pytest.mark.parametrize("extension", [".npy", ".csv"])
@given(matrix=MATRIX)
@settings(max_examples=60, deadline=None)
def test_round_trip_of_one_matrix(extension, matrix):
    same(read_matrices(f"W{extension}", write_matrices(extension, {"W": matrix})), {"W": matrix})


@pytest.mark.parametrize("extension", [".csv", ".json"])
def test_text_is_exact_for_float32_of_every_size(extension):
    bits = np.random.default_rng(0).integers(0, 2**32, 20_000, dtype=np.uint32)
    numbers = bits.view(np.float32)
    matrix = numbers[np.isfinite(numbers)][:15_000].reshape(-1, 5)
    found = read_matrices(f"W{extension}", write_matrices(extension, {"W": matrix}))["W"]
    np.testing.assert_array_equal(found.view(np.uint32), matrix.view(np.uint32))


@pytest.mark.parametrize(
    ("extension", "digest"),
    [
        (".npz", "680e29939a7cd986"),
        (".json", "0f08879710477f0c"),
        (".safetensors", "0c84f70af0bbb430"),
    ],
)
def test_the_same_matrices_give_the_same_bytes_for_years(extension, digest):
    data = write_matrices(extension, {"W_q": W, "b_q": b})
    assert hashlib.sha256(data).hexdigest()[:16] == digest


def test_a_vector_is_one_row_of_csv():
    same(read_matrices("b.csv", write_matrices(".csv", {"b": b})), {"b": b[None]})


def test_read_tensor_takes_rows_and_columns_only():
    data = write_matrices(".safetensors", {"b": b, "W": W, "V": np.ones((2, 2))})
    found = safetensors_header(io.BytesIO(data))
    assert found["W"][:2] == ("F32", (2, 3))
    assert found["W"].end - found["W"].start == 24
    assert data[found["W"].start : found["W"].end] == W.tobytes()
    file = io.BytesIO(data)
    for rows in (None, slice(1, 2), slice(0, 1), slice(1, 1)):
        for columns in (None, slice(1, 3), slice(2, None), slice(2, 1)):
            part = read_tensor(file, "W", found["W"], rows=rows, columns=columns)
            np.testing.assert_array_equal(part, W[rows or slice(None), columns or slice(None)])
    np.testing.assert_array_equal(read_tensor(file, "b", found["b"], rows=slice(1, 4)), b[1:4])


def test_read_tensor_windows_a_matrix_of_many_pieces():
    big = np.random.default_rng(1).normal(size=(700, 311)).astype(np.float32)
    data = safetensors_save({"big": big})
    found = safetensors_header(data)["big"]
    part = read_tensor(data, "big", found, rows=slice(11, 667), columns=slice(5, 17))
    np.testing.assert_array_equal(part, big[11:667, 5:17])
    big[500, 7] = np.nan
    with pytest.raises(FileProblem, match=r"nan in row 501, column 8, counting from 1"):
        read_tensor(safetensors_save({"big": big}), "big", found, rows=slice(400, 667))
    with pytest.raises(FileProblem, match=r"nan in row 501, column 8, counting from 1"):
        read_tensor(safetensors_save({"big": big}), "big", found, columns=slice(0, 20))


# --- shapes -----------------------------------------------------------------------------------


def test_a_matrix_that_fits():
    fit = fit_matrix("W_q", W, (2, None))
    assert fit.problem is None and fit.transposed is None
    np.testing.assert_array_equal(fit.array, W)
    assert not fit.array.flags.writeable


def test_a_square_matrix_fits_as_it_is():
    square = np.arange(9, dtype=np.float32).reshape(3, 3)
    fit = fit_matrix("W_q", square, (3, 3))
    assert fit.problem is None
    np.testing.assert_array_equal(fit.array, square)


def test_the_transpose_is_offered_where_it_fits():
    fit = fit_matrix("W_q", W, (3, None))
    assert fit.array is None
    np.testing.assert_array_equal(fit.transposed, W.T)
    assert fit.problem == (
        "W_q is (2, 3), and (3, any) is needed. It looks transposed: transpose it?"
    )


@pytest.mark.parametrize(
    ("array", "shape", "said"),
    [
        (W, (5, 7), "the wrong number of rows (2 instead of 5) and of columns (3 instead of 7)"),
        (W, (2, 7), "the wrong number of columns (3 instead of 7)."),
        (b, (5, 7), "W is (5,), and (5, 7) is needed: it has 1 dimension, not 2."),
        (b, (3,), "the wrong number of entries (5 instead of 3)"),
        (W, (6,), "it has 2 dimensions, not 1"),
    ],
)
def test_a_matrix_that_does_not_fit(array, shape, said):
    fit = fit_matrix("W", array, shape)
    assert fit.array is None and fit.transposed is None
    assert said in fit.problem


def test_one_row_or_column_fits_where_a_vector_is_needed():
    for array in (b, b[None], b[:, None]):
        np.testing.assert_array_equal(fit_matrix("b_q", array, (5,)).array, b)


# --- refused, in a sentence -------------------------------------------------------------------

HALF = npy(W)[:-4]
NPY = "{'descr': '%s', 'fortran_order': False, 'shape': (2, 3), }"


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        (
            "w.txt",
            b"1,2",
            "w.txt ends in .txt; the files read here are .npz, .npy, .csv, .json and",
        ),
        ("w", b"1,2", "w ends in nothing"),
        ("w.pt", zipped({"archive/data.pkl": b""}), "It looks like a PyTorch checkpoint"),
        ("w.bin", b"\x80\x02}q\0.", "It looks like a Python pickle, which is never opened"),
        ("w.npy", b"", "w.npy is empty."),
        ("w.npy", npz(W=W), "w.npy is not a .npy file: it looks like a zip archive, as .npz is."),
        ("w.npz", npy(W), "it looks like a NumPy array, .npy. Give it the ending"),
        ("w.npz", zipped({"archive/data.pkl": b""}), "looks like a PyTorch checkpoint"),
        ("w.csv", b"[[1, 2], [3, 4]]", "w.csv is not a .csv file: it looks like JSON."),
        ("w.csv", "1;2".encode("utf-16"), "text in UTF-16 (save it as UTF-8)"),
        ("w.csv", b"\x89PNG\r\n\x1a\n\0\0", "a PNG picture"),
        ("w.json", b"1,2\n3,4", "w.json is not a .json file: it looks like plain text"),
        ("w.json", b"GGUF\3\0\0\0", "a GGUF model"),
        ("w.safetensors", b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        ("w.npz", safetensors({}), "a .safetensors file"),
    ],
)
def test_content_that_is_not_what_the_name_says(name, data, said):
    assert said in problem(name, data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            npy(np.array([[None]]), allow_pickle=True),
            "w holds Python objects (a pickle), which are",
        ),
        (npy(np.array([["a"]])), "w holds text."),
        (npy(np.array([[b"a"]])), "w holds text."),
        (npy(W.astype(complex)), "w holds complex numbers."),
        (npy(np.zeros((2, 2), "M8[D]")), "w holds dates."),
        (npy(np.zeros(2, [("a", "f4"), ("b", "f4")])), "w holds records with named fields"),
        (npy(np.zeros((2, 2), "V2")), "w holds raw bytes."),
        (npy(np.float32(3)), "w is a single number; a matrix has two dimensions"),
        (npy(np.zeros((2, 3, 5))), "w is (2, 3, 5), 3 dimensions; a matrix has two"),
        (npy(np.zeros((0, 3))), "w is (0, 3): it is empty."),
        (HALF, "w says that it is (2, 3) of <f4, which takes 152 bytes, but it has 148."),
        (npy(W) + npy(W), "but it has 304."),
        (npy(W)[:40], "cut short"),
        (npy(W)[:9], "cut short"),
        (b"\x93NUMPY", "not a .npy array"),
        (npy_saying(NPY % "<f4", version=b"\7\0"), "a .npy of version 7.0, unknown here"),
        (npy_saying(NPY % "<f16"), "numbers of a type that is not read here, “<f16”"),
        (npy_saying(NPY % "<f4" + "+ 1"), "a .npy header that cannot be understood"),
        (npy_saying("{'descr': '<f4', 'shape': (2, 3)}"), "cannot be understood"),
        (npy_saying("[" * 9000), "cannot be understood"),
        (npy_saying((NPY % "<f4").replace("(2, 3)", "(-2, 3)")), "cannot be understood"),
        (npy_saying((NPY % "<f4").replace("(2, 3)", "(2 3,)")), "a shape that cannot be"),
        (npy_saying((NPY % "<f4").replace("2,", "9" * 15 + ",")), "2,999,999,999,999,997 numbers"),
        (b"\x93NUMPY\2\0\xff\xff\xff\x7f", "a .npy header of 2.15 GB, far too long"),
    ],
)
def test_npy_refused(data, said):
    assert said in problem("w.npy", data)


def cell(value: float, row: int = 2, column: int = 4, dtype: type = np.float64) -> np.ndarray:
    array = np.zeros((3, 5), dtype)
    array[row, column] = value
    return array


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (cell(np.nan), "W_q has nan in row 3, column 5, counting from 1."),
        (cell(np.nan, 1, 3).copy("F"), "W_q has nan in row 2, column 4, counting from 1."),
        (cell(np.inf, 0, 1, np.float32), "W_q has infinity in row 1, column 2"),
        (cell(-np.inf, 1, 0, np.float16), "W_q has -infinity in row 2, column 1"),
        (cell(1e60), "W_q has 1e+60, too large for float32, in row 3, column 5"),
        (cell(np.nan)[:, 4], "W_q has nan in position 3"),
    ],
)
def test_numbers_refused_by_cell(array, said):
    assert said in problem("w.npz", npz(W_q=array))
    assert said in problem("W_q.npy", npy(array))
    with pytest.raises(FileProblem) as caught:
        write_matrices(".csv", {"W_q": array})
    assert said in str(caught.value)
    if array.dtype != np.float64 or np.isnan(array).any():
        assert said in problem("w.safetensors", safetensors_save({"W_q": array.copy("C")}))


def encrypted() -> bytes:
    data = bytearray(npz(W=W))
    data[6] |= 1  # in the entry
    data[data.rfind(b"PK\1\2") + 8] |= 1  # and in the directory
    return bytes(data)


def twice() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("a.npy", "b.npy"):
            archive.writestr(name, npy(W))
    return file.getvalue().replace(b"b.npy", b"a.npy")


def damaged(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (npz(), "w.npz holds no matrix."),
        (npz(W_q=np.array([object()])), "W_q holds Python objects (a pickle)"),
        (npz(d=np.int64(8)), "d is a single number"),
        (encrypted(), "“W.npy” in w.npz is encrypted"),
        (twice(), "The name “a” is in this file twice."),
        (zipped({"a.npy": npy(W), "inner.npz": npz(W=W)}), "holds “inner.npz”, which is not a"),
        (zipped({"a.npy": npy(W)}, zipfile.ZIP_BZIP2), "compressed in a way that is not read"),
        (zipped({"a.npy": npy(W)}, zipfile.ZIP_LZMA), "compressed in a way that is not read"),
        (zipped({"a.npy": npy(W) + b"more"}), "a says that it is (2, 3) of <f4"),
        (zipped({f"{i}.npy": b"" for i in range(300)}), "more than 256 entries"),
        (zipped({"a.npy": bytes(10**8)}), "w.npz would unpack to 100 MB; at most 34.6 MB are read"),
        (zipped({"x" * 300 + ".npy": npy(W)}), "a name of 300 letters"),
        (zipped({"a\nb.npy": npy(W)}), "The name “a·b” has letters that cannot be shown."),
        (zipped({".npy": npy(W)}), "A matrix in this file has no name."),
        (npz(W=W)[:-30], "w.npz is damaged"),
        (damaged(npz(W=W), 200), "w.npz is damaged"),  # the checksum
        (b"PK\3\4" + bytes(50), "w.npz is damaged"),
    ],
)
def test_npz_refused(data, said):
    assert said in problem("w.npz", data)


def test_a_path_is_only_a_name():
    data = zipped({"../../etc/W_q.npy": npy(W), "/W_k.npy": npy(W), "C:\\W_v.npy": npy(W)})
    same(read_matrices("../../w.npz", data), {"../../etc/W_q": W, "/W_k": W, "C:\\W_v": W})
    assert list(read_matrices("../x/W_q.npy", npy(W))) == ["W_q"]
    assert list(read_matrices("C:\\x\\W_q.NPY", npy(W))) == ["W_q"]
    assert list(read_matrices("\u202e\n .npy", npy(W))) == ["matrix"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,2\n3\n", "w: line 2 has 1 cell, not 2 as in the first line."),
        ("a,b\n1,2\n\n3,4,5\n", "w: line 4 has 3 cells, not 2"),
        ("1,2\n3,\n", "w has an empty cell in line 2, column 2, counting from 1."),
        ("nan,2\n", "w has “nan”, not a number, in line 1, column 1"),
        ("x,1,NaN\n", "w has “NaN”, not a number, in line 1, column 3"),
        ("1,-inf\n", "w has -infinity in line 1, column 2"),
        ("1,0x1F\n", "w has “0x1F”, a hexadecimal number, in line 1, column 2"),
        ("1,1e999\n", "w has “1e999”, too large for float32, in line 1, column 2"),
        ("1,1e39\n", "w has 1e+39, too large for float32, in line 1, column 2"),
        ("1,1_000\n", "w has “1_000”, not a number,"),
        ("1,O.5\n", "w has “O.5”, not a number, in line 1, column 2"),
        ("O.5,1\n0.6,1\n", "line 2 begins with “0.6”, a number, where the lines before"),
        ("1,2\nx,4\n", "w has “x”, not a number, in line 2, column 1"),
        ("1,5;2\n1.5;2\n", "decimals with a comma in line 1 and with a point in line 2"),
        ("1;1.234,5\n", "with a comma in line 1 and with a point in line 1"),
        ("a,b\n", "w.csv has no row of numbers."),
        ("\n \n", "w.csv has no row of numbers."),
        ('1,"2\n3",4\n', "line 1 has a quotation mark out of place"),
        ("1," + "[" * 100, "w has a list or object, not a number, in line 1"),
        ("1\n" * 60_000, "w has more than 50,000 lines"),
        ("1," * 200_000, "line 1 has more than 100,000 cells"),
        ("1" * 3_000_000, "line 1 is too long"),
    ],
)
def test_csv_refused(text, said):
    assert said in problem("w.csv", text.encode())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"W_q": [[1, 2], [3]]}', "W_q: row 2 has 1 cell, not 2 as before."),
        ('{"W_q": [[1, 2], 3]}', "W_q: row 2 is not a list of numbers."),
        ('{"W_q": [[1, NaN]]}', "W_q has “NaN”, not a number, in row 1, column 2"),
        ('{"W_q": [[1, -Infinity]]}', "W_q has -infinity in row 1, column 2"),
        ('{"W_q": [[1, 1e999]]}', "W_q has “1e999”, too large for float32, in row 1, column 2"),
        ('{"W_q": [[1, null]]}', "W_q has “null”, not a number, in row 1, column 2"),
        ('{"W_q": [[1, "2"]]}', 'W_q has “"2"”, not a number, in row 1, column 2'),
        ('{"W_q": [1, [2]]}', "W_q has a list or object, not a number, in position 2"),
        ('{"W_q": [[1, 2,]]}', "W_q has an empty cell in row 1, column 3"),
        ('{"W_q": [[]]}', "W_q has an empty list at row 1, column 1."),
        ('{"W_q": []}', "W_q has an empty list at position 1."),
        ('{"W_q": {"0": [1]}}', "W_q is an object; needed is a list of rows"),
        ('{"d_k": 8}', "d_k is a single number; needed is a list of rows"),
        ('{"note": "hello"}', "note is a text; needed"),
        ('{"a": [1], "a": [2]}', "The name “a” is in this file twice."),
        ('{"a": [1], "\\u0061": [2]}', "The name “a” is in this file twice."),
        ('{"\\ud800": [1]}', "has letters that cannot be shown"),
        ('{"": [1]}', "A matrix in this file has no name."),
        ('{"%s": [1]}' % ("x" * 300), "a name of 300 letters"),
        ("{}", "w.json holds no matrix."),
        ("[[1], [2]", "after row 2 of w a , is missing before the end of the file"),
        ("[[1], [2", "w is cut short: a ] is missing."),
        ('{"a": [1]', "after a a , is missing before the end of the file"),
        ('{"a" [1]}', "after a a : is missing before “[1]}”"),
        ("{a: [1]}", "damaged where the name of a matrix should stand: “a: [1]}”"),
        ("[1] [2]", "w.json goes on after the end of its JSON."),
        ("[" + "9" * 5000 + "]", "…”, too large for float32, in position 1"),
        ("[1, " + "9" * 100_000 + "]", "a cell that is too long to be a number"),
        ("[" * 1_000_000, "w is cut short"),
        ("[" * 1_000 + "1" + "]" * 1000, "w has a list or object, not a number, in row 1"),
        ('{"a":' * 100_000, "a is an object"),
        ("[" + "[1]," * 60_000 + "[1]]", "w has more than 50,000 rows"),
    ],
)
def test_json_refused(text, said):
    assert said in problem("w.json", text.encode())


GOOD = {"a": tensor("F32", [1, 2], 0, 8), "b": tensor("F32", [2], 8, 16)}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\2\0\0\0\0\0\0\0{", "too short"),
        (struct.pack("<Q", 2**63) + b"{}", "says that its header has over 999 GB, but 2 bytes"),
        (struct.pack("<Q", 5_000_000) + b"{" + bytes(5_000_000), "at most 1.05 MB are read here"),
        (safetensors(b"{" + b"\xff" * 20), "is not JSON"),
        (safetensors(b'{"a": ' + b"[" * 5000), "is not JSON"),
        (safetensors(b'{"a": ' + b"[" * 100_000), "longer than 10,000 tensors would need"),
        (safetensors(b'{"a": [' + b"9," * 150_000), "longer than 10,000 tensors would need"),
        (safetensors(b'{"a": ' + b"9" * 5000 + b"}"), "is not JSON"),
        (safetensors(b'{"a": 1, "a": 2}'), "The name “a” is in this file twice."),
        (safetensors({"__metadata__": {"a": 1}}), "__metadata__"),
        (safetensors({"__metadata__": {"a": "b"}}), "holds no matrix"),
        (safetensors({"a": [1]}), "a is not described by dtype, shape and data_offsets"),
        (safetensors({"a": tensor("F31", [1], 0, 4)}, bytes(4)), "a dtype unknown here, “F31”"),
        (safetensors({"a": tensor([], [1], 0, 4)}, bytes(4)), "a dtype unknown here"),
        (safetensors({"a": tensor("F32", [-1], 0, 4)}, bytes(4)), "not a list of lengths"),
        (safetensors({"a": tensor("F32", [True], 0, 4)}, bytes(4)), "not a list of lengths"),
        (safetensors({"a": tensor("F32", [2**62, 2**62], 0, 4)}, bytes(4)), "not a list of"),
        (safetensors({"a": tensor("F32", [2**40] * 9, 0, 4)}, bytes(4)), "over 999 GB, but its"),
        (safetensors({"a": tensor("F32", [2], 0, 4)}, bytes(4)), "takes 8 bytes, but its place"),
        (safetensors({"a": tensor("F32", [1], 4, 0)}, bytes(4)), "is 0 bytes long"),
        (safetensors({"a": tensor("F32", [1], 0.0, 4)}, bytes(4)), "data_offsets that are not"),
        (safetensors({"a": tensor("F4", [1], 0, 1)}, bytes(1)), "takes 1 byte, but its place"),
        (safetensors(GOOD, bytes(12)), "b ends 4 bytes after the end of the file"),
        (safetensors(GOOD, bytes(20)), "4 bytes of no tensor"),
        (
            safetensors({**GOOD, "b": tensor("F32", [2], 4, 12)}, bytes(12)),
            "b overlaps a in the file",
        ),
        (
            safetensors({**GOOD, "b": tensor("F32", [2], 12, 20)}, bytes(20)),
            "Before b there are bytes that belong to no tensor.",
        ),
        (safetensors({"a": tensor("F8_E4M3", [2], 0, 2)}, bytes(2)), "a holds F8_E4M3, which is"),
        (safetensors({"a": tensor("C64", [1], 0, 8)}, bytes(8)), "a holds C64, which is not read"),
        (safetensors({"a": tensor("F32", [], 0, 4)}, bytes(4)), "a is a single number"),
    ],
)
def test_safetensors_refused(data, said):
    assert said in problem("w.safetensors", data)


def test_safetensors_header_reads_nothing_but_the_header(tmp_path):
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:  # a sparse file of 4 GB
        file.write(safetensors({"a": tensor("F32", [1000, 1000, 1000], 0, 4 * 10**9)}))
        file.truncate(file.tell() + 4 * 10**9)
    with path.open("rb") as file:
        assert safetensors_header(file)["a"].shape == (1000, 1000, 1000)
        assert file.tell() < 200


def test_limits_can_be_set():
    assert "w.npy has 152 bytes; at most 100 bytes are read" in problem(
        "w.npy", npy(W), max_bytes=100
    )
    for extension in READABLE:
        data = write_matrices(extension, {"w": W})
        said = problem(f"w{extension}", data, max_elements=5)
        assert said.endswith("; use a smaller matrix, or one file for each.")
        read_matrices(f"w{extension}", data, max_elements=6)
    for extension in (".npz", ".json", ".safetensors"):
        data = write_matrices(extension, {"W": W, "b": b})
        assert "b " in problem(f"w{extension}", data, max_elements=10)


@pytest.mark.parametrize(
    ("extension", "matrices", "said"),
    [
        (".pt", {"W": W}, "'.pt' is not written here; choose .npz"),
        (
            ".npy",
            {"W_q": W, "W_k": W},
            "A .npy file holds one matrix, and these are 2 (W_q and W_k)",
        ),
        (".csv", {"W_q": W, "W_k": W}, "A .csv file holds one matrix"),
        (".npz", {}, "There is no matrix to write."),
        (".npz", {"a\0": W}, "letters that cannot be shown"),
        (".npz", {"a": np.array([["x"]])}, "a holds <U1, which is not written here."),
        (".npz", {"a": np.zeros((2, 2, 2))}, "3 dimensions"),
    ],
)
def test_what_is_not_written(extension, matrices, said):
    with pytest.raises(FileProblem) as caught:
        write_matrices(extension, matrices)
    assert said in str(caught.value)


# --- bombs ------------------------------------------------------------------------------------


def lying_zip() -> bytes:
    """40 MB of zeros behind a directory that says 16 MB, as the matrix would have."""
    header = npy(np.zeros((1, 1), np.float32))[:128].replace(b"(1, 1), }    ", b"(4, 1000000)}")
    data = bytearray(zipped({"a.npy": header + bytes(40_000_000)}))
    said = struct.pack("<I", 16_000_128)
    directory = data.rfind(b"PK\1\2")
    data[22:26] = data[directory + 24 : directory + 28] = said
    return bytes(data)


def many_entries() -> bytes:
    """One entry, listed 100,000 times."""
    data = zipped({"a.npy": npy(W)})
    at = data.rfind(b"PK\1\2")
    end = data.rfind(b"PK\5\6")
    directory = data[at:end] * 100_000
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 65535, 65535, len(directory), at, 0)
    return data[:at] + directory + tail


BOMBS = {
    "deflated zeros.npz": lambda: zipped({"a.npy": npy(np.zeros((20_000, 5_000), np.float16))}),
    "lying.npz": lying_zip,
    "entries.npz": many_entries,
    "shared.npz": lambda: zipped(
        {f"{i}.npy": npy(np.zeros((1000, 1000), np.float16)) for i in range(40)}
    ),
    "claim.npy": lambda: npy_saying(
        f"{{'descr': '<f8', 'fortran_order': True, 'shape': ({10**17}, 7), }}"
    ),
    "pieces.npy": lambda: npy(np.zeros((1999, 2000), np.float64, "F")),
    "header.safetensors": lambda: safetensors(b"{" + b'"":"",' * 149_000 + b"}"),
    "lists.safetensors": lambda: safetensors(b'{"a":[' + b"[]," * 300_000 + b"[]]}"),
    "numbers.safetensors": lambda: safetensors(b'{"a":[' + b"999," * 98_000 + b"9]}"),
    "notes.safetensors": lambda: safetensors(
        b'{"__metadata__":{' + b",".join(b'"%d":"x"' % i for i in range(70_000)) + b"}}"
    ),
    "shape.safetensors": lambda: safetensors({"a": tensor("F32", [2**61] * 32, 0, 8)}, bytes(8)),
    "deep.json": lambda: b"[" * 16_000_000,
    "objects.json": lambda: b'{"a":' * 3_000_000,
    "blank.json": lambda: b"[" + b" " * 30_000_000,
    "rows.json": lambda: b"[" + b"[1]," * 4_000_000 + b"[1]]",
    "row.json": lambda: b"[" + b"1," * 5_000_000 + b"1]",
    "digits.json": lambda: b"[" + (b"0." + b"1" * 60_000 + b",") * 500 + b"1]",
    "name.json": lambda: b'{"' + b"\\u00e9" * 3_000_000,
    "lines.csv": lambda: b"1\n" * 10_000_000,
    "blank.csv": lambda: b"\n" * 30_000_000,
    "line.csv": lambda: b"10," * 10_000_000,
    "emoji.csv": lambda: "\U0001f600".encode() * 8_000_000,
    "quotes.csv": lambda: b'"' * 30_000_000,
    "quoted.csv": lambda: b'"1","2"\n' * 3_000_000,
}


# Tracing memory makes Python's own allocations slow: of these the first part stands for the whole.
TRACED = {"rows.json": 40_000, "row.json": 2_000_000, "lines.csv": 20_000, "quoted.csv": 80_000}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_cost_little(name):
    data = BOMBS[name]()
    assert len(data) <= MAX_BYTES
    begin = time.process_time()
    try_to_read(name, data)
    assert time.process_time() - begin < 1.0
    data = data[: TRACED.get(name)]
    tracemalloc.start()
    try:
        try_to_read(name, data)
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()


def try_to_read(name: str, data: bytes) -> None:
    try:
        total = sum(matrix.size for matrix in read_matrices(name, data).values())
    except FileProblem as found:
        assert 10 < len(str(found)) < 400
        assert str(found).isprintable()
    else:
        assert total <= MAX_ELEMENTS


# --- anything at all --------------------------------------------------------------------------


INTERESTING = b"\0\xff\x01\x7f\x80 \n,;\"'[]{}()<>|\\-+.eELNxO019PK"


@pytest.mark.parametrize("extension", READABLE)
@given(data=st.binary(max_size=400), text=st.text(INTERESTING.decode("latin-1"), max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_read_or_refused(extension, data, text):
    starts = {
        ".npz": b"PK\3\4",
        ".npy": b"\x93NUMPY\1\0",
        ".csv": b"1,2\n",
        ".json": b"[[",
        ".safetensors": struct.pack("<Q", len(data)) + b"{",
    }
    name = data[:12].decode("latin-1") + extension
    for content in (data, starts[extension] + data, text.encode(), text.encode("latin-1")):
        try_to_read(name, content)


SEEDS = {
    ".npz": [npz(W=W, b=b), npz(np.savez_compressed, W=W.astype(np.float16))],
    ".npy": [npy(W), npy(b.astype(">i2"))],
    ".csv": [b"token;a;b\nthe;1,5;2\ncat;3;4\n", write_matrices(".csv", {"W": W})],
    ".json": [write_matrices(".json", {"W": W, "b": b}), b"[[1, 2], [3, 4]]"],
    ".safetensors": [safetensors_save({"W": W, "b": b.astype(np.float16)})],
}


@pytest.mark.parametrize("extension", READABLE)
def test_any_mutation_is_read_or_refused(extension):
    rng = np.random.default_rng(5)
    for round in range(1500):
        data = bytearray(SEEDS[extension][round % len(SEEDS[extension])])
        for _ in range(rng.integers(1, 5)):
            at, what = int(rng.integers(len(data))), rng.integers(4)
            if what == 0:
                data[at] = rng.integers(256)
            elif what == 1:
                data[at] = INTERESTING[rng.integers(len(INTERESTING))]
            elif what == 2:
                del data[at : at + int(rng.integers(1, 9))]
            else:
                piece = data[at : at + int(rng.integers(1, 40))]
                to = int(rng.integers(len(data)))
                data[to:to] = piece
            if not data:
                break
        try_to_read(f"w{extension}", bytes(data))
