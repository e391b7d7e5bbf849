"""Positions: by hand, against Hugging Face Transformers, and by their laws."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention.positions import alibi_bias, alibi_slopes, rotary, sinusoidal_positions

GOLDEN = np.load(Path(__file__).parent / "golden" / "positions.npz", allow_pickle=False)


# By hand


def test_sinusoidal_positions_by_hand():
    # D = 4: the two frequencies are 1 and 10000^(-2/4) = 1/100.
    expected = [
        [0, 1, 0, 1],
        [0.8414710, 0.5403023, 0.0099998, 0.9999500],
        [0.9092974, -0.4161468, 0.0199987, 0.9998000],
    ]
    positions = sinusoidal_positions(3, 4)
    assert positions.dtype == np.float32
    np.testing.assert_allclose(positions, expected, atol=1e-7)


def test_an_odd_width_ends_with_a_sine_that_has_no_cosine():
    positions = sinusoidal_positions(2, 3)
    assert positions.shape == (2, 3)
    np.testing.assert_allclose(positions[1], [np.sin(1), np.cos(1), np.sin(10000 ** (-2 / 3))])


def test_rotary_turns_a_quarter():
    # With base 1 every pair turns by p; at p = π/2, (1, 0) becomes (0, 1) and (0, 1) (-1, 0).
    x = np.array([[1.0, 2.0, 3.0, 4.0]])
    turned = rotary(x, [np.pi / 2], base=1.0)
    np.testing.assert_allclose(turned, [[-3, -4, 1, 2]], atol=1e-15)
    turned = rotary(x, [np.pi / 2], base=1.0, interleaved=True)
    np.testing.assert_allclose(turned, [[-2, 1, -4, 3]], atol=1e-15)


def test_rotary_turns_later_pairs_more_slowly():
    # d = 4, base 10000: the pairs turn by 1 and by 1/100 a position.
    turned = rotary(np.array([[1.0, 1.0, 0.0, 0.0]]), [2])
    np.testing.assert_allclose(turned, [[np.cos(2), np.cos(0.02), np.sin(2), np.sin(0.02)]])


def test_alibi_slopes_by_hand():
    np.testing.assert_array_equal(alibi_slopes(8), 1 / np.array([2, 4, 8, 16, 32, 64, 128, 256]))
    np.testing.assert_array_equal(alibi_slopes(1), [1 / 256])
    # Not a power of two: those of 2 heads, then the first of 4.
    np.testing.assert_array_equal(alibi_slopes(3), [1 / 16, 1 / 256, 1 / 4])


def test_alibi_bias_by_hand():
    inf = np.inf
    first, second = alibi_bias(2, 3)  # slopes 1/16 and 1/256
    np.testing.assert_array_equal(first * 16, [[0, -inf, -inf], [-1, 0, -inf], [-2, -1, 0]])
    np.testing.assert_array_equal(second, first / 16)
    both_sides = alibi_bias(2, 2, 3, causal=False)
    assert both_sides.dtype == np.float32
    np.testing.assert_array_equal(both_sides[0] * 16, [[0, -1, -2], [-1, 0, -1]])


# Against Hugging Face Transformers (float32; XLM, Llama, GPT-J, BLOOM)


@pytest.mark.parametrize("D", [2, 7, 50])
def test_sinusoidal_positions_agree_with_xlm(D):
    np.testing.assert_allclose(sinusoidal_positions(101, D), GOLDEN[f"sinusoidal_{D}"], atol=1e-7)


def test_rotary_agrees_with_llama_and_gpt_j():
    x = GOLDEN["x"]
    np.testing.assert_allclose(rotary(x), GOLDEN["halves"], atol=2e-6)
    np.testing.assert_allclose(rotary(x, base=5e5), GOLDEN["halves_base"], atol=2e-6)
    np.testing.assert_allclose(rotary(x, interleaved=True), GOLDEN["interleaved"], atol=2e-6)
    # At position 999 the angle itself, a float32 there, is only good to 3e-5.
    far = rotary(x, GOLDEN["positions"])
    np.testing.assert_allclose(far, GOLDEN["halves_positions"], atol=2e-4)


@pytest.mark.parametrize("H", [1, 2, 3, 5, 6, 7, 8, 11, 12, 16, 112])
def test_alibi_agrees_with_bloom(H):
    slope_times_key = GOLDEN[f"alibi_{H}"]  # (H, T)
    expected = slope_times_key[:, None, :] - slope_times_key[:, :, None]
    causal = np.tril(np.ones((11, 11), dtype=bool))
    np.testing.assert_allclose(alibi_bias(H, 11)[:, causal], expected[:, causal], atol=1e-6)


# Laws


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 300), st.integers(0, 300), st.sampled_from([2, 6, 22]))
def test_a_shift_turns_every_sinusoidal_pair_by_a_fixed_angle(shift, offset, D):
    here = sinusoidal_positions(5, D, offset=offset)
    there = sinusoidal_positions(5, D, offset=offset + shift)
    angle = shift / 10000 ** (np.arange(0, D, 2) / D)
    sine = here[:, 0::2] * np.cos(angle) + here[:, 1::2] * np.sin(angle)
    cosine = here[:, 1::2] * np.cos(angle) - here[:, 0::2] * np.sin(angle)
    np.testing.assert_allclose(there[:, 0::2], sine, atol=1e-6)
    np.testing.assert_allclose(there[:, 1::2], cosine, atol=1e-6)


def test_an_offset_continues_the_positions():
    whole = sinusoidal_positions(11, 5)
    np.testing.assert_array_equal(sinusoidal_positions(7, 5, offset=4), whole[4:])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(-500, 500), st.booleans())
def test_rotary_scores_depend_on_distance_only(seed, shift, interleaved):
    rng = np.random.default_rng(seed)
    q, k = rng.standard_normal((2, 3, 5, 14))
    q_positions, k_positions = rng.integers(0, 50, (2, 5))

    def scores(shift):
        Q = rotary(q, q_positions + shift, interleaved=interleaved)
        K = rotary(k, k_positions + shift, interleaved=interleaved)
        return Q @ K.swapaxes(-1, -2)

    np.testing.assert_allclose(scores(shift), scores(0), atol=1e-10)
    assert not np.allclose(scores(0), q @ k.swapaxes(-1, -2))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_rotary_keeps_length_and_undoes_itself(seed, interleaved):
    x = np.random.default_rng(seed).standard_normal((2, 7, 6))
    turned = rotary(x, interleaved=interleaved)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=-1), np.linalg.norm(x, axis=-1))
    np.testing.assert_allclose(rotary(turned, -np.arange(7), interleaved=interleaved), x)
    np.testing.assert_array_equal(turned[:, 0], x[:, 0])


def test_the_two_layouts_are_the_same_up_to_the_order_of_features():
    x = np.random.default_rng(0).standard_normal((3, 5, 14))
    pairs_to_halves = np.r_[0:14:2, 1:14:2]
    np.testing.assert_allclose(
        rotary(x, interleaved=True)[..., pairs_to_halves], rotary(x[..., pairs_to_halves])
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rotary_keeps_the_type_and_leaves_its_input_alone(dtype):
    x = np.ones((2, 3, 4), dtype)
    assert rotary(x).dtype == dtype
    np.testing.assert_array_equal(x, 1)


def test_rotary_takes_positions_of_each_sentence():
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 4))  # (B, H, T, d)
    positions = np.array([np.arange(5), np.arange(5) + 11])[:, None]  # (B, 1, T)
    turned = rotary(x, positions)
    assert turned.shape == x.shape
    np.testing.assert_allclose(turned[1], rotary(x[1], np.arange(5) + 11))


def test_alibi_slopes_fall_within_each_family_and_lie_between_0_and_1():
    for H in range(1, 65):
        slopes = alibi_slopes(H)
        assert slopes.shape == (H,)
        assert len(set(slopes)) == H
        assert (slopes > 0).all() and (slopes < 1).all()


def test_the_causal_bias_differs_only_after_the_query():
    causal, both_sides = alibi_bias(5, 7, 11), alibi_bias(5, 7, 11, causal=False)
    after = np.arange(11) > np.arange(7)[:, None]
    assert np.isneginf(causal[:, after]).all() and np.isfinite(both_sides).all()
    np.testing.assert_array_equal(causal[:, ~after], both_sides[:, ~after])


def test_nothing_has_positions_too():
    assert sinusoidal_positions(0, 5).shape == (0, 5)
    assert sinusoidal_positions(5, 0).shape == (5, 0)
    assert rotary(np.ones((3, 0, 4))).shape == (3, 0, 4)
    assert alibi_bias(2, 0).shape == (2, 0, 0)


# Errors


def test_errors_say_what_was_given_and_what_is_needed():
    with pytest.raises(ValueError, match=r"T is -1; it must not be negative"):
        sinusoidal_positions(-1, 4)
    with pytest.raises(ValueError, match=r"x has shape \(2, 5\).*\(\.\.\., T, d\) with an even d"):
        rotary(np.ones((2, 5)))
    with pytest.raises(ValueError, match=r"positions have shape \(4,\) and x has 3 rows"):
        rotary(np.ones((3, 2)), np.arange(4))
    with pytest.raises(ValueError, match="H is 0; there must be at least one head"):
        alibi_slopes(0)
    with pytest.raises(ValueError, match="S is -2; it must not be negative"):
        alibi_bias(1, 2, -2)
