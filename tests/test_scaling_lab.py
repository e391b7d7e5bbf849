"""The laboratory of √d_k: by hand, against theory and against an earlier trial."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention.functions import softmax
from attention.scaling_lab import (
    random_vectors,
    row_statistics,
    scaling_curve,
    scaling_lab,
    softmax_at_temperature,
)


def test_row_statistics_by_hand():
    # Weights 1/4 and 3/4, twice: variance of (0, ln 3) is (ln 3)²/4, slope 2·(1/4)·(3/4) = 3/8.
    found = row_statistics([[0.0, np.log(3)], [np.log(3), 0.0]])
    assert found.variance == pytest.approx(np.log(3) ** 2 / 4)
    assert found.top == pytest.approx(3 / 4)
    assert found.slope == pytest.approx(3 / 8)
    assert found.entropy == pytest.approx(np.log(4) - 3 / 4 * np.log(3))


def test_row_statistics_at_the_ends():
    equal, certain = row_statistics(np.zeros((3, 7))), row_statistics([[0.0, 1e300]])
    assert (equal.top, equal.slope) == (pytest.approx(1 / 7), pytest.approx(6 / 7))
    assert equal.entropy == pytest.approx(np.log(7))
    assert (certain.top, certain.slope, certain.entropy) == (1, 0, 0)
    assert certain.variance == np.inf


def test_the_slope_is_the_trace_of_the_softmax_derivative():
    scores, step = np.array([0.3, -1.1, 0.8]), 1e-6
    ups = [softmax(scores + step * unit)[j] for j, unit in enumerate(np.eye(3))]
    downs = [softmax(scores - step * unit)[j] for j, unit in enumerate(np.eye(3))]
    derivatives = (np.array(ups) - downs) / (2 * step)
    assert row_statistics(scores[None]).slope == pytest.approx(derivatives.sum(), rel=1e-8)


@pytest.mark.parametrize(
    ("d", "top", "slope"), [(4, 0.49, 0.64), (64, 0.86, 0.20), (512, 0.96, 0.07)]
)
def test_figures_of_the_trial(d, top, slope):
    """Ten keys: measured before the project began, on other draws."""
    lab = scaling_lab(d, n_keys=10, draws=100)
    assert lab.rows == 10_000
    assert lab.unscaled.variance == pytest.approx(d, rel=0.2 if d == 4 else 0.05)
    assert lab.unscaled.top == pytest.approx(top, abs=0.02)
    assert lab.unscaled.slope == pytest.approx(slope, abs=0.03)
    assert lab.scaled.variance == pytest.approx(1, rel=0.2 if d == 4 else 0.05)
    assert lab.scaled.top == pytest.approx(0.31, abs=0.02)
    assert lab.scaled.slope == pytest.approx(0.81, abs=0.02)


def test_at_width_one_scaling_changes_nothing():
    lab = scaling_lab(1)
    assert lab.scaled == lab.unscaled


@given(d=st.integers(2, 300), n_keys=st.integers(1, 11), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_laws(d, n_keys, seed):
    lab = scaling_lab(d, n_keys, draws=5, seed=seed)
    assert lab == scaling_lab(d, n_keys, draws=5, seed=seed)
    for found in (lab.unscaled, lab.scaled):
        assert 1 / n_keys - 1e-6 <= found.top <= 1 + 1e-6
        assert -1e-6 <= found.slope <= 1 - 1 / n_keys + 1e-6
        assert -1e-6 <= found.entropy <= np.log(n_keys) + 1e-6
    assert lab.unscaled.variance == pytest.approx(d * lab.scaled.variance, rel=1e-3)
    assert lab.unscaled.top >= lab.scaled.top - 1e-6


def test_a_curve_is_its_widths_one_by_one():
    for lab, d in zip(scaling_curve([2, 7, 3], 5, 11, 1), [2, 7, 3], strict=True):
        alone = scaling_lab(d, 5, 11, 1)
        for name in ("variance", "entropy", "top", "slope"):
            expected = pytest.approx(getattr(alone.unscaled, name), rel=1e-5)
            assert getattr(lab.unscaled, name) == expected
    assert scaling_curve([]) == ()


def test_the_numbers_of_a_seed_are_pinned():
    queries, keys = random_vectors(3, 2, 5, seed=7)
    assert (queries.shape, keys.shape) == ((3, 5), (3, 10))
    np.testing.assert_allclose([queries[0, 0], keys[2, 9]], [1.41888249, 0.36222893], rtol=1e-6)


def test_temperature_by_hand():
    row = [0.0, np.log(2)]
    np.testing.assert_allclose(softmax_at_temperature(row, 1), [1 / 3, 2 / 3])
    np.testing.assert_allclose(softmax_at_temperature(row, 0.5), [1 / 5, 4 / 5])
    np.testing.assert_allclose(softmax_at_temperature(row, 1e9), [1 / 2, 1 / 2])
    assert softmax_at_temperature(row, 1e-9).tolist() == [0, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("temperature", [1e-320, 1e-40, 1e-3, 1, 1e40, 1e300])
def test_no_temperature_overflows(temperature, dtype):
    big = np.finfo(dtype).max
    rows = np.array([[-big, 0, big], [-np.inf, 1, 2], [-np.inf] * 3, [1, 1, 1]], dtype)
    weights = softmax_at_temperature(rows, temperature)
    assert weights.dtype == dtype
    np.testing.assert_allclose(weights.sum(-1), [1, 1, 0, 1], rtol=1e-6)
    np.testing.assert_allclose(weights[3], [1 / 3] * 3, rtol=1e-6)
    assert weights[1, 0] == 0


def test_errors_say_what_was_given():
    for arguments, message in (((0,), "d must"), ((1, 0), "n_keys"), ((1, 1, 0), "draws")):
        with pytest.raises(ValueError, match=f"{message}.*1 or more; got 0"):
            scaling_lab(*arguments)
    for temperature in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="temperature must be a finite number above 0; got"):
            softmax_at_temperature([1.0, 2.0], temperature)
