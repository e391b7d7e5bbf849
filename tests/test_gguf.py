import os
import struct
import tracemalloc
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention.files import FileProblem
from attention.gguf import BLOCK_TYPES, GgufTensor, read_header, read_tensor

LLAMA = Path(__file__).parent / "golden" / "llama_random.gguf"
BLOCKS = {kind.name: kind for kind in BLOCK_TYPES.values()}
F32, Q8_0 = 0, 8
INT, FLOAT, TEXT, LIST = 4, 6, 8, 9

# ---- a small file, put together by hand


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def setting(name: str, kind: int, raw: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + raw


SETTINGS = [
    setting("general.architecture", TEXT, text("llama")),
    setting("a.number", INT, struct.pack("<I", 7)),
    setting("a.fraction", FLOAT, struct.pack("<f", 0.25)),
    setting("some.words", LIST, struct.pack("<IQ", TEXT, 2) + text("Ġcat") + text("日")),
    setting("some.numbers", LIST, struct.pack("<IQ", 5, 3) + struct.pack("<3i", 1, -2, 3)),
]


def tensor(name: str, shape: tuple, kind: int, offset: int) -> bytes:
    """Describe a tensor; shape is NumPy's, the file has it the other way round."""
    return (
        text(name)
        + struct.pack("<I", len(shape))
        + struct.pack(f"<{len(shape)}Q", *shape[::-1])
        + struct.pack("<IQ", kind, offset)
    )


MATRIX = np.arange(6, dtype="<f4").reshape(2, 3)
TENSORS = [tensor("matrix", (2, 3), F32, 0), tensor("row", (32,), Q8_0, 32)]
NUMBERS = MATRIX.tobytes() + b"\0" * 8 + struct.pack("<e", 0.5) + bytes(range(32))


def gguf(settings=SETTINGS, tensors=TENSORS, numbers=NUMBERS, version=3, counts=None) -> bytes:
    n_tensors, n_settings = counts or (len(tensors), len(settings))
    head = b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_settings)
    head += b"".join(settings) + b"".join(tensors)
    return head + b"\0" * (-len(head) % 32) + numbers


@pytest.fixture
def written(tmp_path):
    """Write bytes to a file and return its path."""

    def write(data: bytes) -> Path:
        file = tmp_path / "model.gguf"
        file.write_bytes(data)
        return file

    return write


def read_all(file: Path) -> dict[str, np.ndarray]:
    header = read_header(file)
    with open(file, "rb") as stream:
        return {name: read_tensor(stream, name, t) for name, t in header.tensors.items()}


def test_settings_and_tensors_of_a_small_file(written):
    file = written(gguf())
    header = read_header(file)
    assert header.settings == {
        "general.architecture": "llama",
        "a.number": 7,
        "a.fraction": 0.25,
        "some.words": ("Ġcat", "日"),
        "some.numbers": (1, -2, 3),
    }
    found = read_all(file)
    np.testing.assert_array_equal(found["matrix"], MATRIX)
    np.testing.assert_array_equal(found["row"], 0.5 * np.arange(32))
    assert found["matrix"].dtype == found["row"].dtype == np.float32


# ---- blocks worked by hand


def test_plain_numbers():
    raw = np.frombuffer(struct.pack("<2e", 1.5, -2), np.uint8).reshape(-1, 2)
    np.testing.assert_array_equal(BLOCKS["F16"].decode(raw).ravel(), [1.5, -2])
    raw = np.frombuffer(b"\xc0\x3f\x00\xc0", np.uint8).reshape(-1, 2)  # 0x3fc00000 is 1.5
    np.testing.assert_array_equal(BLOCKS["BF16"].decode(raw).ravel(), [1.5, -2])


def test_four_bits_low_halves_first():
    # Each byte holds 3 in its low half and 15 in its high half.
    quarter = struct.pack("<e", 0.25)
    raw = np.frombuffer(quarter + b"\xf3" * 16, np.uint8)[None]
    np.testing.assert_array_equal(BLOCKS["Q4_0"].decode(raw)[0], [-1.25] * 16 + [1.75] * 16)
    raw = np.frombuffer(quarter + struct.pack("<e", 10) + b"\xf3" * 16, np.uint8)[None]
    np.testing.assert_array_equal(BLOCKS["Q4_1"].decode(raw)[0], [10.75] * 16 + [13.75] * 16)


def test_eight_bits_are_signed():
    raw = np.frombuffer(struct.pack("<e32b", 0.5, *range(-16, 16)), np.uint8)[None]
    np.testing.assert_array_equal(BLOCKS["Q8_0"].decode(raw)[0], 0.5 * np.arange(-16, 16))


def test_blocks_are_those_of_the_gguf_package():
    """The package that llama.cpp publishes; the numbers of test_decoder.py come from it as well."""
    if find_spec("gguf") is None and os.environ.get("CI") != "true":
        pytest.skip("the package gguf is not installed: pip install --no-deps gguf")
    from gguf import quants

    rng = np.random.RandomState(0)
    for code, kind in BLOCK_TYPES.items():
        values = rng.standard_normal((7, 64)).astype(np.float32)
        raw = np.ascontiguousarray(quants.quantize(values, code)).view(np.uint8)
        found = kind.decode(raw.reshape(-1, kind.bytes)).reshape(7, 64)
        np.testing.assert_array_equal(found, quants.dequantize(raw, code).reshape(7, 64))


# ---- hostile files: only FileProblem, and no memory


@pytest.mark.parametrize("length", range(len(gguf())))
def test_a_file_cut_short_anywhere(written, length):
    with pytest.raises(FileProblem):
        read_all(written(gguf()[:length]))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(gguf()) - 1), st.binary(min_size=1, max_size=9))
def test_a_file_with_a_few_other_bytes(tmp_path_factory, at, other):
    data = bytearray(gguf())
    data[at : at + len(other)] = other
    file = tmp_path_factory.getbasetemp() / "changed.gguf"
    file.write_bytes(data)
    try:
        found = read_all(file)
    except FileProblem as problem:
        assert str(problem)
    else:
        assert all(np.isfinite(array).all() for array in found.values())


LARGE = 2**63
LIES = {
    "counts": gguf(counts=(LARGE, LARGE)),
    "settings": gguf(counts=(2, 1000)),
    "a text": gguf([text("name") + struct.pack("<IQ", TEXT, LARGE)]),
    "a name": gguf([struct.pack("<Q", 900_000)]),
    "a list": gguf([setting("list", LIST, struct.pack("<IQ", INT, LARGE))]),
    "a list of texts": gguf([setting("list", LIST, struct.pack("<IQ", TEXT, 1_400_000))]),
    "a shape": gguf(tensors=[tensor("t", (2**39, 2**39), F32, 0)]),
    "a product that overflows": gguf(tensors=[tensor("t", (2**32, 2**32), F32, 0)]),
    "an offset": gguf(tensors=[tensor("t", (2, 3), F32, LARGE)]),
    "many dimensions": gguf(tensors=[text("t") + struct.pack("<I", 2**31)]),
}


@pytest.mark.parametrize("what", LIES)
def test_lies_cost_no_memory(written, what):
    file = written(LIES[what])
    tracemalloc.start()
    try:
        with pytest.raises(FileProblem):
            read_header(file)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


WRONG = {
    "does not begin with GGUF": b"PK\3\4" + gguf()[4:],
    "version 1": gguf(version=1),
    "version 50331648": gguf(version=3 << 24),  # big-endian
    "the name a.number twice": gguf([*SETTINGS, SETTINGS[1]]),
    "a name that is empty": gguf([setting("", INT, struct.pack("<I", 7))]),
    "unknown type 13": gguf([setting("odd", 13, b"\0" * 8)]),
    "nested is a list of lists": gguf([setting("nested", LIST, struct.pack("<IQ", LIST, 1))]),
    "alignment is 0": gguf([setting("general.alignment", INT, struct.pack("<I", 0))]),
    "alignment is '32'": gguf([setting("general.alignment", TEXT, text("32"))]),
    "t is held in a way that is not read here .type 14.; read are F32, F16": gguf(
        tensors=[tensor("t", (256,), 14, 0)]
    ),
    "t has a shape that cannot be: .33,. of Q8_0": gguf(tensors=[tensor("t", (33,), Q8_0, 0)]),
    "t has a shape that cannot be: .0, 3.": gguf(tensors=[tensor("t", (0, 3), F32, 0)]),
    "t says that it has 0 dimensions": gguf(tensors=[tensor("t", (), F32, 0)]),
    "row ends 3 bytes behind the end": gguf()[:-3],
    "second overlaps first": gguf(
        tensors=[tensor("first", (2, 3), F32, 0), tensor("second", (5,), F32, 4)]
    ),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_is_said(written, message):
    with pytest.raises(FileProblem, match=message):
        read_header(written(WRONG[message]))


def test_numbers_that_are_not_finite(written):
    bad = MATRIX.copy()
    bad[1, 2] = np.inf
    with pytest.raises(FileProblem, match="matrix has a number that is not finite"):
        read_all(written(gguf(numbers=bad.tobytes() + NUMBERS[24:])))
    endless = NUMBERS[:32] + struct.pack("<e", np.inf) + NUMBERS[34:]
    with pytest.raises(FileProblem, match="row has a number that is not finite"):
        read_all(written(gguf(numbers=endless)))


def test_a_file_that_shrank_after_its_header_was_read(written):
    file = written(gguf())
    header = read_header(file)
    file.write_bytes(gguf()[:-8])
    with open(file, "rb") as stream, pytest.raises(FileProblem, match="row is cut short"):
        read_tensor(stream, "row", header.tensors["row"])


def test_a_tensor_is_read_in_pieces(tmp_path):
    """Larger than one piece, and the last piece is a shorter one."""
    rng = np.random.RandomState(0)
    values = rng.standard_normal((1100, 1024)).astype("<f4")
    file = tmp_path / "large.bin"
    file.write_bytes(b"before" + values.tobytes())
    place = GgufTensor(BLOCK_TYPES[F32], values.shape, 6, 6 + values.nbytes)
    with open(file, "rb") as stream:
        np.testing.assert_array_equal(read_tensor(stream, "large", place), values)


def test_the_golden_file_holds_every_kind():
    assert {t.kind.name for t in read_header(LLAMA).tensors.values()} == set(BLOCKS)
