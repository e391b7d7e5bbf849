import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from attention.functions import as_floats, erfc, gelu, layer_norm, read_only, softmax

laws = settings(max_examples=60, deadline=None)


def finite(dtype, size=1e4):
    elements = st.floats(-size, size, width=np.dtype(dtype).itemsize * 8)
    shapes = array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=7)
    return arrays(dtype, shapes, elements=elements)


any_floats = st.sampled_from([np.float32, np.float64]).flatmap(finite)


# ---- softmax


def test_softmax_by_hand():
    weights = softmax([[0.0, math.log(3)], [5.0, 5.0]])
    np.testing.assert_allclose(weights, [[0.25, 0.75], [0.5, 0.5]], atol=1e-15)


def test_softmax_of_the_posts_row_sums_to_1():
    post = np.log([0.01, 0.87, 0.52, 0.03, 0.32, 0.98])  # e^x gives the post's row: it sums to 2.73
    weights = softmax(post)
    np.testing.assert_allclose(weights, np.array([1, 87, 52, 3, 32, 98]) / 273, atol=1e-15)


def test_softmax_along_another_axis():
    x = np.arange(30.0).reshape(2, 3, 5) ** 1.5
    for axis in (0, 1, 2, -3, -2, -1):
        expected = np.exp(x - x.max()) / np.exp(x - x.max()).sum(axis, keepdims=True)
        np.testing.assert_allclose(softmax(x, axis), expected, rtol=1e-13)


def test_softmax_of_nothing_but_minus_infinity_is_zero():
    x = np.array([[-np.inf, -np.inf], [-np.inf, 2.0]])
    np.testing.assert_array_equal(softmax(x), [[0, 0], [0, 1]])
    np.testing.assert_array_equal(softmax(x, axis=0), [[0, 0], [0, 1]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_holds_over_the_whole_range(dtype):
    top = np.finfo(dtype).max
    np.testing.assert_array_equal(softmax(np.array([top, -top, 0], dtype)), [1, 0, 0])
    np.testing.assert_array_equal(softmax(np.array([-top, -top], dtype)), [0.5, 0.5])
    assert softmax(np.zeros((2, 0), dtype)).shape == (2, 0)


def test_softmax_leaves_out_what_is_masked():
    x = np.array([[math.log(3), 99.0, 0.0], [1.0, 2.0, 3.0]])
    kept = x.copy()
    where = np.array([[True, False, True], [False, False, False]])
    np.testing.assert_allclose(softmax(x, where=where), [[0.75, 0, 0.25], [0, 0, 0]], atol=1e-15)
    np.testing.assert_allclose(softmax(x, where=where[0])[1], softmax([1.0, -np.inf, 3.0]))
    np.testing.assert_array_equal(x, kept)


@laws
@given(any_floats)
def test_softmax_rows_are_positive_and_sum_to_1(x):
    weights = softmax(x)
    assert weights.dtype == x.dtype
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(-1), 1, atol=4 * np.finfo(x.dtype).eps)


@laws
@given(finite(np.float64, size=50), st.floats(-1e3, 1e3))
def test_adding_a_constant_to_a_row_changes_nothing(x, constant):
    np.testing.assert_allclose(softmax(x + constant), softmax(x), atol=1e-12)


# ---- layer norm and GELU


def test_layer_norm_by_hand():
    x = [[1.0, 3.0], [7.0, 7.0]]  # means 2 and 7, variances 1 and 0
    np.testing.assert_allclose(
        layer_norm(x, [1.0, 10.0], [0.0, 5.0], eps=0.0 + 1e-30), [[-1, 15], [0, 5]]
    )
    np.testing.assert_allclose(layer_norm(x, 1.0, 0.0, eps=3.0), [[-0.5, 0.5], [0, 0]])


@laws
@given(finite(np.float32, size=100))
def test_layer_norm_keeps_the_type_and_centres_each_row(x):
    normed = layer_norm(x, np.ones(x.shape[-1], np.float32), np.zeros(x.shape[-1], np.float32))
    assert normed.dtype == np.float32
    assert np.abs(normed.mean(-1)).max() < 1e-2
    assert normed.std(-1).max() < 1.001


def test_gelu_by_hand():
    one = 0.8413447460685429  # Φ(1), from a table of the normal distribution
    np.testing.assert_allclose(gelu([0.0, 1.0, -1.0]), [0, one, one - 1], atol=1e-15)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 2e-15), (np.float32, 2.5e-7)])
def test_gelu_is_the_exact_one(dtype, tolerance):
    x = np.linspace(-8, 8, 4001).astype(dtype)
    exact = np.array([v * math.erfc(-v / math.sqrt(2)) / 2 for v in x.tolist()])
    assert gelu(x).dtype == dtype
    np.testing.assert_allclose(gelu(x), exact, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 2e-5)])
def test_erfc_keeps_its_relative_precision_far_into_the_tail(dtype, tolerance):
    z = np.linspace(0, 9, 1001).astype(dtype)
    exact = np.array([math.erfc(v) for v in z.tolist()])
    np.testing.assert_allclose(erfc(z), exact, rtol=tolerance)


def test_gelu_of_extreme_numbers():
    np.testing.assert_array_equal(gelu(np.float32([3e38, -3e38])), np.float32([3e38, 0]))


# ---- floats


def test_floats_are_kept_and_integers_follow_them():
    f16, f32, f64, i64 = (np.ones(2, name) for name in ("f2", "f4", "f8", "i8"))
    for given_arrays, expected in [
        ((f32, f32), np.float32),
        ((f64, f64), np.float64),
        ((f32, i64), np.float32),
        ((f32, f64), np.float64),
        ((f16, f16), np.float32),
        ((i64, i64), np.float64),
        ((f32, np.ones(2, ">f4")), np.float32),
        (([1.5], [True]), np.float64),
    ]:
        assert {a.dtype for a in as_floats(*given_arrays)} == {np.dtype(expected)}


def test_arrays_that_fit_are_not_copied():
    x = np.ones(3, np.float32)
    assert as_floats(x)[0] is x


@pytest.mark.parametrize("wrong", [np.ones(2, complex), np.array(["cat"]), np.array([None])])
def test_what_is_not_a_real_number_is_refused(wrong):
    with pytest.raises(TypeError, match="real numbers.*got"):
        softmax(wrong)


def test_read_only_leaves_the_array_itself_writable():
    x = np.zeros(3)
    view = read_only(x)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    x[0] = 1
    assert view[0] == 1
