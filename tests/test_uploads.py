"""What an uploaded file means: what fits is taken, what does not is said, nothing is guessed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention.files import READABLE, write_matrices
from attention.forward import forward
from attention.scenario import MATRIX_NAMES, Matrix, Scenario
from pages.shared.uploads import MAX_BYTES, Offer, read_upload

SHAPES = {"W_q": (8, 4), "W_k": (8, 4), "W_v": (8, 3), "X": (12, 8)}
ONLY_X = {"X": (12, 8)}  # in the dialog of the embeddings


def array(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)


def upload(wanted: str = "W_q", shapes=SHAPES, extension: str = ".npz", **matrices) -> Offer:
    return read_upload(f"file{extension}", write_matrices(extension, matrices), wanted, shapes)


def nothing_changes(offer: Offer) -> bool:
    return not offer.changes and not offer.transposed


# ---- what fits


@pytest.mark.parametrize("extension", READABLE)
def test_a_single_matrix_is_for_the_dialog_that_is_open(extension):
    W = array(8, 4)
    offer = upload("W_k", extension=extension, file=W)
    assert offer.changes == {"W_k": Matrix.of(W)}
    assert offer.sentence == "Loaded W_k (8 × 4)."


@pytest.mark.parametrize(
    ("name", "ours"),
    [("W_q", "W_q"), ("w_q", "W_q"), ("WQ", "W_q"), ("q", "W_q"), ("K", "W_k"), ("Wk", "W_k")],
)
def test_a_name_in_the_file_tells_which_matrix_it_is(name, ours):
    W = array(8, 4)
    assert upload("W_v", **{name: W}).changes == {ours: Matrix.of(W)}


def test_several_matrices_and_vectors_at_once():
    given_arrays = {name: array(*SHAPES[name], seed=i) for i, name in enumerate(SHAPES)}
    offer = upload(**given_arrays)
    assert offer.changes == {name: Matrix.of(a) for name, a in given_arrays.items()}
    assert "W_q (8 × 4), W_k (8 × 4), W_v (8 × 3), X (12 × 8)" in offer.sentence


def test_what_is_not_used_is_said():
    offer = upload(W_q=array(8, 4), b_q=np.ones(4, np.float32))
    assert list(offer.changes) == ["W_q"]
    assert offer.sentence == "Loaded W_q (8 × 4). Not used: b_q."


def test_a_whole_head_brings_its_own_widths():
    offer = upload(W_q=array(6, 5), W_k=array(6, 5), W_v=array(6, 2))
    assert list(offer.changes) == ["W_q", "W_k", "W_v"]
    assert "the widths are now d_model 6, d_k 5, d_v 2" in offer.sentence
    result = forward(Scenario().replace(**offer.changes))
    np.testing.assert_array_equal(result.projections.W_v, array(6, 2))


def test_vectors_have_their_dialog():
    X = array(12, 8)
    assert upload("X", ONLY_X, ".csv", file=X).changes == {"X": Matrix.of(X)}
    assert upload("X", ONLY_X, K=X).changes == {"X": Matrix.of(X)}  # whatever it is called


# ---- what fits when turned


def test_one_transposed_matrix_is_offered_turned():
    W = array(4, 8)
    offer = upload(file=W)
    assert not offer.changes and offer.transposed == {"W_q": Matrix.of(W.T)}
    assert "W_q is (4, 8), and (8, 4) is needed" in offer.sentence
    assert offer.sentence.endswith("transpose it?")


def test_of_several_only_the_transposed_are_turned():
    q, k = array(4, 8), array(8, 4)
    offer = upload(W_q=q, W_k=k)
    assert offer.transposed == {"W_q": Matrix.of(q.T), "W_k": Matrix.of(k)}


def test_a_head_as_pytorch_stores_it_is_offered_turned():
    """nn.Linear keeps (out, in): here d_model 6, d_k 5, d_v 2."""
    q, k, v = array(5, 6, 1), array(5, 6, 2), array(2, 6, 3)
    offer = upload(W_q=q, W_k=k, W_v=v)
    assert not offer.changes and "transpose" in offer.sentence
    assert offer.transposed == {n: Matrix.of(W.T) for n, W in (("W_q", q), ("W_k", k), ("W_v", v))}


# ---- what does not fit


@pytest.mark.parametrize(
    ("matrices", "says"),
    [
        ({"file": (7, 4)}, ("W_q is (7, 4)", "(8, 4) is needed", "7 instead of 8")),
        ({"W_q": (8, 5)}, ("W_q is (8, 5)", "(8, 4) is needed")),
        ({"W_q": (6, 5), "W_k": (6, 5)}, ("W_q is (6, 5)", "W_k is (6, 5)")),
        ({"W_q": (6, 5), "W_k": (6, 4), "W_v": (6, 2)}, ("W_q is (6, 5)",)),
        ({"W_q": (6, 5), "W_k": (6, 5), "W_v": (7, 2)}, ("W_v is (7, 2)",)),
        (
            {"W_q": (6, 5), "W_k": (6, 5), "W_v": (6, 2), "X": (3, 6)},
            ("X is (3, 6)", "(12, 8) is needed"),
        ),
        ({"a": (8, 4), "b": (8, 4)}, ("a 8 × 4, b 8 × 4", "none of them is called W_q, W_k, W_v")),
        ({"W_q": (8, 4), "Q": (8, 4)}, ("W_q, Q", "same matrix")),
    ],
)
def test_the_sentence_says_what_was_found_and_what_is_needed(matrices, says):
    offer = upload(**{name: array(*shape) for name, shape in matrices.items()})
    assert nothing_changes(offer)
    assert all(part in offer.sentence for part in says), offer.sentence


def test_weight_matrices_in_the_dialog_of_the_embeddings():
    offer = upload("X", ONLY_X, W_q=array(8, 4), W_k=array(8, 4))
    assert nothing_changes(offer) and offer.sentence.endswith("none of them is called X.")
    offer = upload("X", ONLY_X, W_q=array(8, 4))
    assert nothing_changes(offer) and "X is (8, 4), and (12, 8) is needed" in offer.sentence


def test_a_vector_is_no_matrix():
    offer = upload(W_q=np.ones(8, np.float32))
    assert nothing_changes(offer) and "two dimensions" in offer.sentence


def test_numbers_beyond_the_limit_are_refused_by_name_and_cell():
    W = array(8, 4)
    W[6, 2] = -1e5
    offer = upload(file=W)
    assert nothing_changes(offer)
    assert offer.sentence == (
        "W_q cannot be used: expected finite numbers from -10000 to 10000, "
        "found -100000 in row 6, column 2."
    )


def test_a_head_wider_than_the_page_can_show_is_refused():
    offer = upload(W_q=array(9, 129), W_k=array(9, 129), W_v=array(9, 2))
    assert nothing_changes(offer)
    assert "W_q cannot be used: expected at most 1024 rows and 128 columns" in offer.sentence


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("W.npz", b"", "W.npz is empty"),
        ("W.npz", b"junk", "not a .npz file"),
        ("W.txt", b"1,2", "the files read here are"),
        ("W.json", b'{"W_q": [[1, 2], [3, NaN]]}', "W_q"),
        ("W.csv", b"1,2\n3,nan\n", "nan"),
        ("W.csv", b"1,2\n3,inf\n", "inf"),
        ("W.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False", "W"),
        ("<b>.npy", b"x" * (MAX_BYTES + 1), "at most"),
    ],
)
def test_a_file_that_cannot_be_read_is_said_and_changes_nothing(name, data, says):
    offer = read_upload(name, data, "W_q", SHAPES)
    assert nothing_changes(offer)
    assert says in offer.sentence and len(offer.sentence) < 1000


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([*READABLE, ".txt", ""]), st.binary(max_size=200), st.sampled_from(list(SHAPES))
)
def test_no_bytes_raise(extension, data, wanted):
    for shapes in (SHAPES, ONLY_X):
        if wanted in shapes:
            offer = read_upload(f"file{extension}", data, wanted, shapes)
            assert offer.sentence


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["W_q", "q", "W_k", "W_v", "X", "b_q", "other"]),
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(list(SHAPES)),
)
def test_what_is_offered_can_be_used(shapes, wanted):
    """Every change that is offered makes a scenario that the forward pass can compute."""
    before = Scenario(matrices="random", d_model=8, d_k=4, d_v=3)
    offer = upload(wanted, **{name: array(*shape) for name, shape in shapes.items()})
    for changes in (offer.changes, offer.transposed):
        if changes:
            assert set(changes) <= {*MATRIX_NAMES, "X"}
            result = forward(before.replace(**changes))
            for name in set(changes) - {"X"}:
                np.testing.assert_array_equal(
                    getattr(result.projections, name), changes[name].array
                )
    assert offer.sentence.endswith((".", "?"))
    assert bool(offer.changes) == offer.sentence.startswith("Loaded ")
