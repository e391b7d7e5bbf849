import math
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention import dot_product
from attention.dot_product import memory_efficient_attention, scaled_dot_product_attention
from attention.functions import softmax
from attention.masks import causal_mask, sliding_window_mask

GOLDEN = np.load(Path(__file__).parent / "golden" / "attention.npz", allow_pickle=False)
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}

laws = settings(max_examples=60, deadline=None)


@pytest.fixture(params=["full", "blocks", "one block"])
def attend(request, monkeypatch):
    """Each way to the output: the full trace, blocks of 2 queries x 3 keys, all in one block."""
    if request.param == "full":
        return lambda *arrays, **rules: scaled_dot_product_attention(*arrays, **rules).output
    if request.param == "blocks":
        monkeypatch.setattr(dot_product, "BLOCK_QUERIES", 2)
        monkeypatch.setattr(dot_product, "BLOCK_KEYS", 3)
    return memory_efficient_attention


# ---- by hand


def test_two_keys_by_hand(attend):
    # q = (0, √2), K = I: scores 0 and √2, scaled 0 and 1, weights 1 : e.
    Q, K, V = [[0, 2**0.5]], np.eye(2), [[1.0, 0, 0], [0, 0, 1]]
    weights = np.array([[1, math.e]]) / (1 + math.e)
    np.testing.assert_allclose(attend(Q, K, V), weights @ V, atol=1e-15)


def test_every_stage_by_hand():
    trace = scaled_dot_product_attention([[0, 2**0.5]], np.eye(2), [[1.0], [5]])
    np.testing.assert_allclose(trace.scores, [[0, 2**0.5]], atol=1e-15)
    np.testing.assert_allclose(trace.scaled, [[0, 1]], atol=1e-15)
    np.testing.assert_allclose(trace.weights, [[0.2689414214, 0.7310585786]], atol=1e-10)
    np.testing.assert_allclose(trace.heads, [[0.2689414214 + 5 * 0.7310585786]], atol=1e-9)
    np.testing.assert_array_equal(trace.output, trace.heads)
    assert trace.mask is None


def test_float_mask_adds_and_forbids_by_hand(attend):
    # Scaled scores 0, 0, 0 and a bias of ln 2, 0, -inf: weights 2/3, 1/3, 0.
    output = attend([[1.0]], [[0.0]] * 3, np.eye(3), mask=[math.log(2), 0, -math.inf])
    np.testing.assert_allclose(output, [[2 / 3, 1 / 3, 0]], atol=1e-15)


def test_softcap_by_hand(attend):
    # Scores 0 and 3 under a cap of 2: 0 and 2·tanh(1.5), before the bias of 1 on the first.
    e = math.exp(2 * math.tanh(1.5) - 1)
    for scale, key in ((1, 3.0), (0.5, 6.0)):
        rules = {"scale": scale, "softcap": 2, "mask": [1.0, 0.0]}
        output = attend([[1.0]], [[0.0], [key]], np.eye(2), **rules)
        np.testing.assert_allclose(output, [[1 / (1 + e), e / (1 + e)]], atol=1e-15)


def test_window_by_hand(attend):
    # Equal scores: each query takes the mean of the keys in its window.
    V = [[1.0], [10], [100], [1000], [10000]]
    output = attend(np.zeros((4, 2)), np.zeros((5, 2)), V, window=(1, 0))
    np.testing.assert_allclose(output[:, 0], [1, 5.5, 55, 550])
    output = attend(np.zeros((4, 2)), np.zeros((5, 2)), V, window=(0, -1))
    np.testing.assert_allclose(output[:, 0], [11111 / 5, 11110 / 4, 11100 / 3, 5500])
    output = attend(np.zeros((4, 2)), np.zeros((5, 2)), V, window=(1, 3), is_causal=True)
    np.testing.assert_allclose(output[:, 0], [1, 5.5, 55, 550])


def test_nothing_to_attend_to_gives_zeros(attend):
    Q, K, V = np.ones((3, 2)), np.ones((5, 2)), np.ones((5, 7))
    mask = np.array([[True], [False], [True]])
    np.testing.assert_array_equal(attend(Q, K, V, mask=mask)[:, 0], [1, 0, 1])
    np.testing.assert_array_equal(attend(Q, K, V, mask=np.where(mask, 0, -np.inf))[:, 0], [1, 0, 1])
    np.testing.assert_array_equal(attend(Q, K[:0], V[:0]), np.zeros((3, 7)))
    np.testing.assert_array_equal(attend(Q, K[:1], V[:1], window=(1, 0))[:, 0], [1, 1, 0])
    assert attend(Q[:0], K, V).shape == (0, 7)


# ---- PyTorch


def golden(case, kind):
    def array(name):
        stored = GOLDEN[name]
        return stored.astype(kind) if stored.dtype.kind == "f" else stored

    Q, K, V, K_few, V_few = (array(name) for name in ("Q", "K", "V", "K_few", "V_few"))
    T = Q.shape[-2]
    bool_mask, float_mask = GOLDEN["bool_mask"], array("float_mask")
    arguments = {
        "plain": (Q, K, V, {}),
        "bool_mask": (Q, K, V, {"mask": bool_mask}),
        "float_mask": (Q, K, V, {"mask": float_mask}),
        "causal": (Q, K, V, {"is_causal": True}),
        "causal_more_queries": (K, Q, V[..., :T, :], {"is_causal": True}),
        "scale": (Q, K, V, {"scale": 0.3}),
        "grouped": (Q, K_few, V_few, {}),
        "grouped_bool_mask": (Q, K_few, V_few, {"mask": bool_mask}),
        "grouped_causal_scale": (Q, K_few, V_few, {"is_causal": True, "scale": -0.7}),
        "two_axes": (Q[1, 2], K[1, 2], V[1, 2], {}),
    }
    return arguments if case is None else (*arguments[case], GOLDEN[f"{case}.output.{kind}"])


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("case", golden(None, "float64"))
def test_agrees_with_pytorch(attend, case, kind):
    Q, K, V, rules, expected = golden(case, kind)
    output = attend(Q, K, V, **rules)
    assert output.dtype == kind
    np.testing.assert_allclose(output, expected, rtol=0, atol=TOLERANCE[kind])


# ---- the trace


def test_stages_follow_from_each_other():
    Q, K, V, _, _ = golden("plain", "float64")
    bias = np.where(np.arange(11) % 3, GOLDEN["float_mask"], -np.inf)
    trace = scaled_dot_product_attention(Q, K, V, mask=bias, window=(3, 5), softcap=3.0, scale=0.4)
    np.testing.assert_allclose(trace.scores, np.einsum("bhtd,bhsd->bhts", Q, K), atol=1e-12)
    open_bias = np.where(np.isneginf(bias), 0, bias)
    scaled = 3 * np.tanh(0.4 * trace.scores / 3) + open_bias
    np.testing.assert_allclose(trace.scaled, scaled, atol=1e-12)
    near = sliding_window_mask(7, 11, left=3, right=5)
    np.testing.assert_array_equal(trace.mask, near & ~np.isneginf(bias))
    masked = np.where(trace.mask, trace.scaled, -np.inf)
    np.testing.assert_array_equal(trace.weights, softmax(masked))
    np.testing.assert_allclose(trace.heads, np.einsum("bhts,bhsd->bhtd", trace.weights, V))
    np.testing.assert_array_equal(trace.output, trace.heads)


def test_mask_of_the_trace():
    Q, K, V = np.ones((3, 2)), np.ones((5, 2)), np.ones((5, 7))

    def mask_of(**rules):
        return scaled_dot_product_attention(Q, K, V, **rules).mask

    assert mask_of() is None
    assert mask_of(mask=np.zeros((3, 5))) is None
    np.testing.assert_array_equal(mask_of(is_causal=True), causal_mask(3, 5))
    keys = np.array([True, True, False, True, False])
    np.testing.assert_array_equal(mask_of(mask=keys), np.tile(keys, (3, 1)))
    np.testing.assert_array_equal(mask_of(mask=keys, is_causal=True), causal_mask(3, 5) & keys)
    np.testing.assert_array_equal(mask_of(mask=np.where(keys, 1.5, -np.inf))[2], keys)


def test_trace_is_frozen_and_the_callers_arrays_are_not():
    Q, K, V, mask = np.ones((3, 2)), np.ones((5, 2)), np.ones((5, 7)), np.ones((3, 5), bool)
    trace = scaled_dot_product_attention(Q, K, V, mask=mask)
    for field in fields(trace):
        with pytest.raises(ValueError, match="read-only"):
            getattr(trace, field.name)[...] = 0
    with pytest.raises(FrozenInstanceError):
        trace.weights = None
    for array in (Q, K, V, mask):
        array[0, 0] = 0
    assert memory_efficient_attention(Q, K, V).flags.writeable


def test_nothing_given_is_changed(attend):
    Q, K, V, rules, _ = golden("float_mask", "float64")
    kept = [array.copy() for array in (Q, K, V, rules["mask"])]
    attend(Q, K, V, **rules, softcap=2.0, window=(2, 2))
    for array, before in zip((Q, K, V, rules["mask"]), kept, strict=True):
        np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize(
    ("given_types", "expected"),
    [
        (("f4", "f4", "f4"), "float32"),
        (("f8", "f8", "f8"), "float64"),
        (("f2", "f2", "f2"), "float32"),
        (("f4", "i8", "f4"), "float32"),
        (("i8", "i8", "i8"), "float64"),
        (("f4", "f8", "f4"), "float64"),
    ],
)
def test_types_are_kept_and_never_raised_by_a_rule(attend, given_types, expected):
    arrays = [np.ones((3, 2), name) for name in given_types]
    rules = {"mask": np.zeros((3, 3)), "scale": np.float64(0.5), "softcap": np.float64(3)}
    for given_rules in ({}, rules, {"is_causal": True}):
        assert attend(*arrays, **given_rules).dtype == expected


# ---- laws


@st.composite
def problems(draw, kind=None):
    """Q, K, V and rules of every shape: T != S, d_v != d_k, grouped heads, masks, extremes."""
    kind = draw(st.sampled_from(["float32", "float64"])) if kind is None else kind
    T, S = draw(st.integers(1, 7)), draw(st.integers(1, 8))
    d_k, d_v = draw(st.sampled_from([1, 2, 5])), draw(st.sampled_from([1, 3]))
    H_kv, share, B = draw(st.sampled_from([(1, 1, 1), (1, 3, 1), (2, 1, 2), (2, 3, 1), (3, 2, 2)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = draw(st.sampled_from([0.0, 0.1, 1.0, 3.0, 100.0]))  # 100: scores of up to ±1e4 and more
    Q = (size * rng.standard_normal((B, H_kv * share, T, d_k))).astype(kind)
    K = (size * rng.standard_normal((B, H_kv, S, d_k))).astype(kind)
    V = rng.standard_normal((B, H_kv, S, d_v)).astype(kind)
    rules = {
        "is_causal": draw(st.booleans()),
        "scale": draw(st.sampled_from([None, 1.0, -0.5, 0.0])),
        "softcap": draw(st.sampled_from([None, 0.5, 30.0])),
        "window": draw(st.sampled_from([None, (0, 0), (1, 2), (-1, 1), (3, -1)])),
    }
    shape = draw(
        st.sampled_from(
            [(S,), (T, 1), (T, S), (B, 1, 1, S), (H_kv * share, T, S), Q.shape[:3] + (S,)]
        )
    )
    allowed = rng.random(shape) < draw(st.sampled_from([0, 0.5, 0.9]))
    bias = np.where(allowed, rng.standard_normal(shape), -np.inf).astype(kind)
    rules["mask"] = draw(st.sampled_from([None, allowed, bias]))
    return Q, K, V, rules


def textbook(Q, K, V, mask, is_causal, scale, softcap, window):
    """Straight from the definition, in float64, one head and one query at a time."""
    B, H, T, d_k = Q.shape
    S, share = K.shape[2], H // K.shape[1]
    mask = True if mask is None else mask
    mask = np.broadcast_to(mask, (B, H, T, S))
    left, right = window or (-1, -1)
    output = np.zeros((B, H, T, V.shape[3]))
    for b, h, i in np.ndindex(B, H, T):
        terms = {}
        for j in range(S):
            s = Q[b, h, i].astype(float) @ K[b, h // share, j].astype(float)
            s *= d_k**-0.5 if scale is None else scale
            s = s if softcap is None else softcap * math.tanh(s / softcap)
            s += 0 if mask.dtype == bool else mask[b, h, i, j]
            near = (left < 0 or j >= i - left) and (right < 0 or j <= i + right)
            causal = not is_causal or j <= i
            if near and causal and mask[b, h, i, j] is not np.False_ and s > -math.inf:
                terms[j] = s
        total = sum(math.exp(s - max(terms.values())) for s in terms.values())
        for j, s in terms.items():
            output[b, h, i] += math.exp(s - max(terms.values())) / total * V[b, h // share, j]
    return output


def rounding(Q, K, V, rules):
    """How far results may differ: a score s is off by s·eps, and e^s by as much of itself."""
    scaled = scaled_dot_product_attention(Q, K, V, **rules).scaled
    return 30 * np.finfo(Q.dtype).eps * (1 + np.abs(scaled).max()) * np.abs(V).max()


@laws
@given(problems(kind="float64"))
def test_equals_the_definition(problem):
    Q, K, V, rules = problem
    output = scaled_dot_product_attention(Q, K, V, **rules).output
    expected = textbook(Q, K, V, **rules)
    np.testing.assert_allclose(output, expected, rtol=0, atol=rounding(Q, K, V, rules))


@laws
@given(problems())
def test_rows_sum_to_1_or_to_0_where_there_is_nothing(problem):
    Q, K, V, rules = problem
    trace = scaled_dot_product_attention(Q, K, V, **rules)
    mask = np.broadcast_to(True if trace.mask is None else trace.mask, trace.weights.shape)
    sums = trace.weights.sum(-1)
    np.testing.assert_allclose(sums, mask.any(-1), atol=4 * np.finfo(Q.dtype).eps)
    assert (trace.weights >= 0).all()
    assert (trace.weights[~mask] == 0).all()
    assert np.isfinite(trace.scaled).all()
    for stage in (trace.scores, trace.scaled, trace.weights, trace.output):
        assert stage.dtype == Q.dtype
    np.testing.assert_array_equal(trace.weights, softmax(np.where(mask, trace.scaled, -np.inf)))


@laws
@given(problems(), st.integers(1, 4), st.integers(1, 4))
def test_blocks_change_nothing(problem, block_queries, block_keys):
    Q, K, V, rules = problem
    full = scaled_dot_product_attention(Q, K, V, **rules).output
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dot_product, "BLOCK_QUERIES", block_queries)
        patch.setattr(dot_product, "BLOCK_KEYS", block_keys)
        blocks = memory_efficient_attention(Q, K, V, **rules)
    assert blocks.dtype == full.dtype
    assert blocks.shape == full.shape
    np.testing.assert_allclose(blocks, full, rtol=0, atol=rounding(Q, K, V, rules))


@laws
@given(problems(kind="float64"), st.randoms(use_true_random=False))
def test_permuting_keys_changes_nothing_and_permuting_queries_permutes(problem, random):
    Q, K, V, rules = problem
    T, S = Q.shape[-2], K.shape[-2]
    rules |= {"mask": None, "is_causal": False, "window": None}
    queries, keys = random.sample(range(T), T), random.sample(range(S), S)
    output = scaled_dot_product_attention(Q, K, V, **rules).output
    permuted = scaled_dot_product_attention(
        Q[..., queries, :], K[..., keys, :], V[..., keys, :], **rules
    ).output
    np.testing.assert_allclose(permuted, output[..., queries, :], atol=1e-9)


@laws
@given(problems(), st.integers(0, 6))
def test_a_later_key_leaves_earlier_queries_alone(problem, cut):
    Q, K, V, rules = problem
    rules |= {"is_causal": True}
    before = scaled_dot_product_attention(Q, K, V, **rules).output
    K, V = K.copy(), V.copy()
    K[..., cut + 1 :, :] += 1
    V[..., cut + 1 :, :] -= 1
    after = scaled_dot_product_attention(Q, K, V, **rules).output
    np.testing.assert_array_equal(after[..., : cut + 1, :], before[..., : cut + 1, :])


@laws
@given(problems())
def test_float_mask_of_0_and_minus_infinity_is_a_bool_mask(problem):
    Q, K, V, rules = problem
    allowed = np.random.default_rng(0).random((Q.shape[-2], K.shape[-2])) < 0.5
    as_bool = scaled_dot_product_attention(Q, K, V, **(rules | {"mask": allowed}))
    bias = np.where(allowed, 0, -np.inf)
    as_float = scaled_dot_product_attention(Q, K, V, **(rules | {"mask": bias}))
    np.testing.assert_array_equal(as_float.weights, as_bool.weights)
    np.testing.assert_array_equal(as_float.mask, as_bool.mask)
    np.testing.assert_array_equal(as_float.scaled, as_bool.scaled)


@laws
@given(problems())
def test_window_and_causal_are_masks(problem):
    Q, K, V, rules = problem
    T, S = Q.shape[-2], K.shape[-2]
    plain = rules | {"window": None, "is_causal": False, "mask": None}
    for left, right in ((0, 0), (2, 1), (-1, 0), (1, -1)):
        mask = sliding_window_mask(T, S, left=left, right=right)
        np.testing.assert_array_equal(
            scaled_dot_product_attention(Q, K, V, **(plain | {"window": (left, right)})).weights,
            scaled_dot_product_attention(Q, K, V, **(plain | {"mask": mask})).weights,
        )
    np.testing.assert_array_equal(
        scaled_dot_product_attention(Q, K, V, **(plain | {"is_causal": True})).weights,
        scaled_dot_product_attention(Q, K, V, **(plain | {"mask": causal_mask(T, S)})).weights,
    )


@laws
@given(problems())
def test_a_wide_softcap_changes_little_and_no_score_passes_it(problem):
    Q, K, V, rules = problem
    rules |= {"mask": None}
    capped = scaled_dot_product_attention(Q, K, V, **(rules | {"softcap": 2.0})).scaled
    assert np.abs(capped).max() <= 2
    free = scaled_dot_product_attention(Q, K, V, **(rules | {"softcap": None})).scaled
    wide = scaled_dot_product_attention(Q, K, V, **(rules | {"softcap": 1e8})).scaled
    np.testing.assert_allclose(wide, free, rtol=1e-5)
    np.testing.assert_array_equal(np.sign(capped), np.sign(free))


@laws
@given(problems(kind="float64"))
def test_each_key_head_serves_consecutive_query_heads(problem):
    Q, K, V, rules = problem
    share = Q.shape[1] // K.shape[1]
    grouped = scaled_dot_product_attention(Q, K, V, **rules)
    repeated = scaled_dot_product_attention(
        Q, K.repeat(share, axis=1), V.repeat(share, axis=1), **rules
    )
    np.testing.assert_allclose(grouped.scores, repeated.scores, atol=1e-9)
    np.testing.assert_allclose(grouped.output, repeated.output, atol=1e-9)


# ---- shapes that broadcast


def test_shared_keys_and_leading_axes_broadcast(attend):
    rng = np.random.default_rng(1)
    Q = rng.standard_normal((2, 5, 4, 7, 3))
    K, V = rng.standard_normal((5, 2, 11, 3)), rng.standard_normal((5, 2, 11, 2))
    output = attend(Q, K, V)
    assert output.shape == (2, 5, 4, 7, 2)
    for a, b, h in np.ndindex(2, 5, 4):
        alone = attend(Q[a, b, h], K[b, h // 2], V[b, h // 2])
        np.testing.assert_allclose(output[a, b, h], alone, atol=1e-12)
    one_for_all = attend(Q, K[0, 0], V[0, 0])
    np.testing.assert_allclose(one_for_all[1, 3, 2], attend(Q[1, 3, 2], K[0, 0], V[0, 0]))


def test_a_mask_may_have_more_axes_of_1_than_the_scores(attend):
    Q, K, V = np.ones((3, 2)), np.ones((5, 2)), np.arange(5.0)[:, None]
    mask = np.array([[[[True, False, False, False, True]]]])
    np.testing.assert_allclose(attend(Q, K, V, mask=mask), np.full((3, 1), 2.0))


# ---- extremes


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("scale", [None, 1.0, 1e3])
def test_the_largest_numbers_give_neither_nan_nor_warning(attend, kind, scale):
    top = np.finfo(kind).max
    Q = np.array([[top, -top / 2], [1e-3, 1], [0, 0]], kind)
    K = np.array([[top, top], [1, 2], [1, 2], [-top, 0]], kind)
    V = np.array([[top, 1], [top, -top], [top, 0], [-top, -top]], kind)
    trace = scaled_dot_product_attention(Q, K, V, scale=scale)
    for stage in (trace.scores, trace.scaled, trace.weights):
        assert np.isfinite(stage).all()
    np.testing.assert_allclose(trace.weights.sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(trace.scores[0], [top, 0, 0, -top])  # held at the ends of the range
    np.testing.assert_allclose(trace.scores[1, 1:3], 2.001, rtol=1e-6)  # the others exact
    output = attend(Q, K, V, scale=scale)
    np.testing.assert_allclose(output[:2], [[top, 1], [top, 1]], rtol=1e-6)
    np.testing.assert_allclose(output[2] / top, [0.5, -0.5], rtol=1e-6)


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_the_lowest_number_as_a_bias_masks_nearly_everything(attend, kind):
    lowest = np.finfo(kind).min
    mask = np.array([[0, lowest], [lowest, lowest]], kind)
    Q = np.array([[-1e3], [1e4]], kind)
    output = attend(Q, np.array([[1.0], [-1]], kind), np.array([[1.0], [3]], kind), mask=mask)
    assert np.isfinite(output).all()
    np.testing.assert_array_equal(output[0], [1])
    assert np.isfinite(scaled_dot_product_attention(Q, Q, Q, mask=mask).scaled).all()


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_the_largest_and_smallest_rules_give_neither_nan_nor_warning(attend, kind):
    Q, K, V = (np.array(x, kind) for x in ([[2.0], [0.0]], [[1.0], [-1.0]], [[1.0], [3.0]]))
    for rules in (
        {"scale": 1e300},
        {"scale": 1e300, "softcap": 1e-30},
        {"softcap": 1e300},
        {"softcap": 1e38, "mask": np.array([1e300, -1e300])},
        {"scale": -1e300, "softcap": 1e300, "mask": np.array([-1e300, 0.0])},
    ):
        output = attend(Q, K, V, **rules)
        assert np.isfinite(scaled_dot_product_attention(Q, K, V, **rules).scaled).all()
        assert ((output >= 1) & (output <= 3)).all()
    free = attend(Q, K, V)
    np.testing.assert_allclose(attend(Q, K, V, softcap=1e300), free, rtol=1e-6)
    np.testing.assert_array_equal(attend(Q, K, V, scale=1e300), [[1], [2]])


def test_errors_of_floating_point_are_not_passed_on(attend):
    with np.errstate(all="raise"):
        attend(np.full((3, 2), 1e20, "f4"), np.full((3, 2), 1e30, "f4"), np.ones((3, 2), "f4"))
        attend(np.full((3, 2), 1e4), np.diag([1e4, 1.0]), np.ones((2, 2)))


# ---- memory


def test_memory_efficient_attention_never_holds_all_scores():
    import tracemalloc

    T = 2048
    Q = np.ones((2, T, 2), np.float32)
    mask = np.broadcast_to(np.zeros(T, np.float32), (T, T))
    for rules in ({}, {"is_causal": True}, {"mask": mask}, {"window": (5, 5)}):
        tracemalloc.start()
        memory_efficient_attention(Q, Q, Q, **rules)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < T * T  # a quarter of one head's scores


# ---- errors


def ones(*shape):
    return np.ones(shape)


@pytest.mark.parametrize(
    ("arrays", "rules", "message"),
    [
        (
            (ones(3, 2), ones(5, 7), ones(5, 2)),
            {},
            r"Q is \(3, 2\) and K \(5, 7\): .*equally wide \(d_k\), so K must end in 2\.$",
        ),
        (
            (ones(3, 2), ones(2, 5), ones(5, 2)),
            {},
            r"so K must end in 2. It looks transposed: transpose it\?",
        ),
        (
            (ones(3, 2), ones(5, 2), ones(7, 5)),
            {},
            r"V \(7, 5\): every key needs one value, so V must be \(5, d_v\). It looks transposed",
        ),
        (
            (ones(4, 3, 2), ones(3, 5, 2), ones(3, 5, 2)),
            {},
            r"4 head\(s\), and K \(3, 5, 2\), 3 head\(s\): .* must be a multiple",
        ),
        (
            (ones(2, 4, 3, 2), ones(3, 4, 5, 2), ones(3, 4, 5, 2)),
            {},
            "the axes before the heads must be the same, or 1",
        ),
        ((ones(2), ones(5, 2), ones(5, 2)), {}, r"Q is \(2,\); it must be \(T, d\)"),
        ((ones(3, 0), ones(5, 0), ones(5, 2)), {}, r"Q is \(3, 0\); .* at least one column"),
        (
            (ones(3, 2), ones(5, 2), ones(5, 2)),
            {"mask": ones(5, 3)},
            r"mask is \(5, 3\); it must be broadcastable to the scores, \(3, 5\)",
        ),
        (
            (ones(3, 2), ones(5, 2), ones(5, 2)),
            {"mask": ones(4, 3, 5) > 0},
            r"mask is \(4, 3, 5\); it must be broadcastable to the scores, \(3, 5\)",
        ),
        (
            (ones(3, 2), ones(5, 2), ones(5, 2)),
            {"mask": np.full((3, 5), np.nan)},
            "mask has NaN or .inf",
        ),
        ((ones(3, 2), ones(5, 2), ones(5, 2)), {"mask": [np.inf]}, "mask has NaN or .inf"),
        (
            (ones(3, 2), ones(5, 2), ones(5, 2)),
            {"scale": np.nan},
            "scale must be a finite number; got nan",
        ),
        (
            (ones(3, 2), ones(5, 2), ones(5, 2)),
            {"softcap": 0},
            "softcap must be .* at least .*; got 0",
        ),
        (
            (ones(3, 2), ones(5, 2), ones(5, 2)),
            {"softcap": np.inf},
            "softcap must be a finite number.*got inf",
        ),
        ((ones(3, 2), ones(5, 2), ones(5, 2)), {"window": (-2, 0)}, "window's left must be -1"),
        (
            (ones(3, 2), np.diag([1, np.nan]), ones(2, 2)),
            {},
            r"K has nan at \[1, 1\]; every number must be finite",
        ),
        (
            (ones(3, 2), ones(5, 2), np.where(np.eye(5), -np.inf, 0)),
            {},
            r"V has -inf at \[0, 0\]; every number must be finite",
        ),
    ],
)
def test_errors_say_what_was_given_and_expected(attend, arrays, rules, message):
    with pytest.raises(ValueError, match=message):
        attend(*arrays, **rules)


def test_types_that_mean_nothing_here(attend):
    Q, K, V = np.ones((3, 2)), np.ones((5, 2)), np.ones((5, 2))
    with pytest.raises(TypeError, match=r"mask is int64; it must be bool .*mask.astype\(bool\)"):
        attend(Q, K, V, mask=np.ones((3, 5), np.int64))
    with pytest.raises(TypeError, match="window must be two whole numbers, .left, right.; got 3"):
        attend(Q, K, V, window=3)
    with pytest.raises(TypeError, match="real numbers.*complex128"):
        attend(Q * 1j, K, V)
