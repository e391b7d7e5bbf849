import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention.masks import band, causal_mask, padding_mask, sliding_window_mask

laws = settings(max_examples=80, deadline=None)
lengths = st.integers(0, 9)
sides = st.integers(-1, 10)


def drawn(mask):
    return ["".join("x" if allowed else "." for allowed in row) for row in mask]


def test_causal_mask_by_hand():
    assert causal_mask(3).dtype == bool
    assert drawn(causal_mask(3)) == ["x..", "xx.", "xxx"]


def test_causal_mask_is_aligned_at_the_top_left():
    assert drawn(causal_mask(2, 5)) == ["x....", "xx..."]
    assert drawn(causal_mask(5, 2)) == ["x.", "xx", "xx", "xx", "xx"]


def test_sliding_window_mask_by_hand():
    assert drawn(sliding_window_mask(5, left=1, right=0)) == [
        "x....",
        "xx...",
        ".xx..",
        "..xx.",
        "...xx",
    ]
    assert drawn(sliding_window_mask(3, 5, left=0, right=2)) == ["xxx..", ".xxx.", "..xxx"]
    assert drawn(sliding_window_mask(3, left=-1, right=-1)) == ["xxx", "xxx", "xxx"]
    assert drawn(sliding_window_mask(3, left=-1, right=1)) == ["xx.", "xxx", "xxx"]


def test_padding_mask_by_hand():
    assert drawn(padding_mask([2, 0, 3], 3)[:, 0, 0]) == ["xx.", "...", "xxx"]
    assert padding_mask([[2, 0, 3]], 5).shape == (1, 3, 1, 1, 5)
    assert padding_mask(2, 3).shape == (1, 1, 3)


@laws
@given(lengths, lengths, sides, sides)
def test_window_means_distance(T, S, left, right):
    mask = sliding_window_mask(T, S, left=left, right=right)
    assert mask.shape == (T, S)
    for i in range(T):
        for j in range(S):
            near = (left < 0 or i - j <= left) and (right < 0 or j - i <= right)
            assert mask[i, j] == near


@laws
@given(lengths, lengths, sides, sides, st.data())
def test_a_block_of_the_band_is_the_band_of_a_block(T, S, left, right, data):
    t, s = data.draw(st.integers(0, T)), data.draw(st.integers(0, S))
    whole = band(np.arange(T), np.arange(S), left, right)
    np.testing.assert_array_equal(
        band(np.arange(t, T), np.arange(s, S), left, right), whole[t:, s:]
    )


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: causal_mask(2.5), TypeError, "T must be a whole number; got 2.5"),
        (lambda: causal_mask(2, -3), ValueError, "S must be 0 or more; got -3"),
        (lambda: causal_mask(True), TypeError, "T must be a whole number; got True"),
        (
            lambda: sliding_window_mask(3, left=-2, right=0),
            ValueError,
            "window's left must be -1 .that side stays open., 0 or more; got -2",
        ),
        (
            lambda: sliding_window_mask(3, left=0, right=1.5),
            TypeError,
            "window's right must be a whole number; got 1.5",
        ),
        (lambda: padding_mask([1, 4], 3), ValueError, "between 0 and S = 3; they run from 1 to 4"),
        (lambda: padding_mask([-1], 3), ValueError, "they run from -1 to -1"),
        (lambda: padding_mask([0.5], 3), TypeError, "lengths must be whole numbers; got float64"),
    ],
)
def test_errors_say_what_was_given_and_expected(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
