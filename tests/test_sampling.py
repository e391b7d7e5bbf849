from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attention.randomness import stable_rng
from attention.sampling import (
    draw,
    keep_top_k,
    keep_top_p,
    likeliest,
    next_probabilities,
    with_temperature,
)

GOLDEN = np.load(Path(__file__).parent / "golden" / "gpt.npz")
SHARES = np.array([0.1, 0.2, 0.3, 0.4])
LOGITS = np.log(SHARES)

# ---- worked by hand


def test_without_settings_the_softmax_comes_out():
    np.testing.assert_allclose(next_probabilities(LOGITS), SHARES)


def test_temperature_one_half_squares_the_odds():
    cold = next_probabilities(LOGITS, temperature=0.5)
    np.testing.assert_allclose(cold, np.array([1, 4, 9, 16]) / 30)


def test_temperature_two_takes_their_root():
    roots = np.sqrt([1, 2, 3, 4])
    np.testing.assert_allclose(next_probabilities(LOGITS, temperature=2), roots / roots.sum())


@pytest.mark.parametrize("temperature", [0, 1e-300, 1e-30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_temperature_zero_leaves_the_likeliest(temperature, dtype):
    logits = np.array([[1, 3, 2], [7, 7, -np.inf]], dtype)
    only = next_probabilities(logits, temperature=temperature)
    assert only.dtype == dtype
    if temperature == 0:
        np.testing.assert_array_equal(only, [[0, 1, 0], [1, 0, 0]])  # of equals, the first
    else:
        np.testing.assert_array_equal(only[0], [0, 1, 0])


def test_an_endless_temperature_makes_all_equal_but_what_cannot_come():
    even = next_probabilities(np.array([1, 3, -np.inf], np.float32), temperature=1e300)
    np.testing.assert_array_equal(even, np.array([0.5, 0.5, 0], np.float32))


def test_top_k_keeps_k_words():
    np.testing.assert_allclose(next_probabilities(LOGITS, top_k=2), [0, 0, 3 / 7, 4 / 7])
    np.testing.assert_array_equal(next_probabilities(LOGITS, top_k=1), [0, 0, 0, 1])
    np.testing.assert_allclose(next_probabilities(LOGITS, top_k=100), SHARES)


def test_top_k_keeps_all_that_equal_the_last():
    np.testing.assert_array_equal(keep_top_k([5.0, 4.0, 4.0, 3.0], 2), [5, 4, 4, -np.inf])


def test_top_p_keeps_the_fewest_that_reach_p():
    np.testing.assert_allclose(next_probabilities(LOGITS, top_p=0.69), [0, 0, 3 / 7, 4 / 7])
    np.testing.assert_allclose(next_probabilities(LOGITS, top_p=0.71), [0, 2 / 9, 3 / 9, 4 / 9])
    np.testing.assert_array_equal(next_probabilities(LOGITS, top_p=0), [0, 0, 0, 1])
    np.testing.assert_allclose(next_probabilities(LOGITS, top_p=1), SHARES)


def test_top_p_keeps_the_first_of_equals():
    np.testing.assert_array_equal(keep_top_p(np.zeros(4), 0.5), [0, 0, -np.inf, -np.inf])


def test_temperature_comes_before_top_p():
    # Squared, the shares are 1, 4, 9, 16 thirtieths: 16/30 alone reaches one half. As they were,
    # .4 would not have.
    only = next_probabilities(LOGITS, temperature=0.5, top_p=0.5)
    np.testing.assert_array_equal(only, [0, 0, 0, 1])


def test_top_k_comes_before_top_p():
    # Of the two that are left, 4/7 alone reaches .5; of all four it would have taken two.
    only = next_probabilities(LOGITS, top_k=2, top_p=0.5)
    np.testing.assert_array_equal(only, [0, 0, 0, 1])


# ---- against Transformers


@pytest.mark.parametrize(
    "name", [name for name in GOLDEN.files if name.startswith("sampling_") and name[9].isdigit()]
)
def test_the_three_together_are_those_of_transformers(name):
    temperature, k, p = name.split("_")[1:]
    found = next_probabilities(
        GOLDEN["sampling_logits"], temperature=float(temperature), top_k=int(k), top_p=float(p)
    )
    np.testing.assert_allclose(found, GOLDEN[name], atol=3e-7)
    assert ((found == 0) == (GOLDEN[name] == 0)).all()


# ---- laws

rows = arrays(
    np.float32, st.integers(2, 23), elements=st.floats(-30, 30, width=32, allow_subnormal=False)
)


@settings(max_examples=60, deadline=None)
@given(rows, st.floats(0, 5), st.integers(1, 30), st.floats(0, 1))
def test_what_is_left_out_is_never_likelier_than_what_is_kept(logits, temperature, k, p):
    found = next_probabilities(logits, temperature=temperature, top_k=k, top_p=p)
    assert found.dtype == np.float32
    assert found.sum() == pytest.approx(1, abs=1e-5)
    assert found[logits.argmax()] > 0
    kept = logits[found > 0]
    cold = with_temperature(logits, temperature)
    out = logits[(found == 0) & (cold > cold.max() - 80)]  # not those too cold to be told from 0
    assert not len(out) or kept.min() >= out.max()


@settings(max_examples=30, deadline=None)
@given(rows, st.integers(0, 22), st.floats(0.05, 1))
def test_moving_all_logits_changes_nothing_and_rows_do_not_see_each_other(logits, shift, p):
    alone = next_probabilities(logits, top_p=p)
    both = next_probabilities(np.stack([logits, logits[::-1]]), top_p=p)
    np.testing.assert_array_equal(both[0], alone)
    moved = next_probabilities(logits.astype(np.float64) + shift, temperature=0.7)
    still = next_probabilities(logits.astype(np.float64), temperature=0.7)
    np.testing.assert_allclose(moved, still, atol=1e-12)


# ---- drawing


def test_draws_come_as_often_as_they_should():
    rng = stable_rng("test", 0)
    counts = np.bincount([draw(SHARES, rng) for _ in range(5000)], minlength=4) / 5000
    np.testing.assert_allclose(counts, SHARES, atol=0.02)


class Fixed:
    """Stands in for a generator, and gives one number."""

    def __init__(self, number):
        self.number = number

    def random_sample(self):
        return self.number


@pytest.mark.parametrize(("number", "word"), [(0.0, 1), (0.499, 1), (0.5, 3), (1 - 2**-53, 3)])
def test_a_word_of_probability_zero_is_never_drawn(number, word):
    assert draw(np.array([0, 0.5, 0, 0.5, 0], np.float32), Fixed(number)) == word


def test_a_draw_takes_one_number_and_a_seed_repeats():
    rng = stable_rng("test", 1)
    drawn = [draw(SHARES, rng) for _ in range(8)]
    numbers = stable_rng("test", 1).random_sample(8)
    assert drawn == list(np.searchsorted([0.1, 0.3, 0.6, 1.0], numbers, side="right"))


def test_the_likeliest_come_first():
    np.testing.assert_array_equal(likeliest(np.array([0.1, 0.3, 0.2, 0.3, 0.1]), 3), [1, 3, 2])
    np.testing.assert_array_equal(likeliest(SHARES, 9), [3, 2, 1, 0])


# ---- errors


@pytest.mark.parametrize("temperature", [-0.1, np.inf, np.nan])
def test_temperature_out_of_range(temperature):
    with pytest.raises(ValueError, match="temperature must be a finite number, 0 or more; got"):
        next_probabilities(LOGITS, temperature=temperature)


@pytest.mark.parametrize("k", [0, -3, 2.0, True])
def test_top_k_out_of_range(k):
    with pytest.raises(ValueError, match="top_k must be a whole number, 1 or more, or None"):
        next_probabilities(LOGITS, top_k=k)


@pytest.mark.parametrize("p", [-0.1, 1.01, np.nan])
def test_top_p_out_of_range(p):
    with pytest.raises(ValueError, match="top_p must lie between 0 and 1; got"):
        next_probabilities(LOGITS, top_p=p)


@pytest.mark.parametrize("bad", [np.zeros(3), np.full((2, 2), 0.25), np.array([0.5, np.nan])])
def test_only_one_row_that_sums_to_one_can_be_drawn_from(bad):
    with pytest.raises(ValueError, match="one row that sums to 1"):
        draw(bad, stable_rng("test", 2))
