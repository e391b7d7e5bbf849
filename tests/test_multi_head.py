from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention.dot_product import scaled_dot_product_attention
from attention.masks import padding_mask
from attention.multi_head import merge_heads, multi_head_attention, split_heads
from attention.projections import Projections, identity_projections, random_projections

GOLDEN = np.load(Path(__file__).parent / "golden" / "attention.npz", allow_pickle=False)
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}

laws = settings(max_examples=40, deadline=None)


# ---- by hand


def test_two_tokens_through_one_head_by_hand():
    # X = I, so Q = W_q and so on: token 0 scores 0 and 1 (scale 1), token 1 scores 0 and 0.
    p = Projections(W_q=[[1.0], [0]], W_k=[[0.0], [1]], W_v=[[1.0, 2], [3, 4]])
    trace = multi_head_attention(np.eye(2), p)
    e = np.e
    np.testing.assert_allclose(trace.Q, [[[1], [0]]])
    np.testing.assert_allclose(trace.scores, [[[0, 1], [0, 0]]])
    np.testing.assert_allclose(trace.weights, [[[1 / (1 + e), e / (1 + e)], [0.5, 0.5]]])
    first = [(1 + 3 * e) / (1 + e), (2 + 4 * e) / (1 + e)]
    np.testing.assert_allclose(trace.output, [[first, [2, 3]]])


def test_biases_by_hand():
    # Zero matrices: the biases alone make Q = 2, K = 1, V = (5, 7); one token looks at itself.
    p = Projections(
        W_q=np.zeros((3, 1)),
        W_k=np.zeros((3, 1)),
        W_v=np.zeros((3, 2)),
        b_q=[2.0],
        b_k=[1.0],
        b_v=[5.0, 7],
        W_o=[[1.0, 0, 2], [0, 1, 1]],
        b_o=[0.5, 0, 0],
    )
    trace = multi_head_attention(np.ones((1, 3)), p)
    np.testing.assert_array_equal(trace.scores, [[[2]]])
    np.testing.assert_array_equal(trace.heads, [[[5, 7]]])
    np.testing.assert_array_equal(trace.output, [[5.5, 7, 17]])


def test_split_gives_each_head_its_columns():
    x = np.array([[1, 2, 3, 4, 5, 6], [11, 12, 13, 14, 15, 16]])
    heads = split_heads(x, 3)
    np.testing.assert_array_equal(
        heads, [[[1, 2], [11, 12]], [[3, 4], [13, 14]], [[5, 6], [15, 16]]]
    )
    assert np.shares_memory(heads, x)


# ---- PyTorch


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("case", ["mha", "mha_bool_mask", "mha_float_mask", "mha_causal"])
def test_agrees_with_pytorch(case, kind):
    stored = {name: GOLDEN[name].astype(kind) for name in ("X", "W_in", "b_in", "W_out", "b_out")}
    W_q, W_k, W_v = np.split(stored["W_in"], 3)  # (d_out, d_in) each: nn.Linear computes x @ W.T
    b_q, b_k, b_v = np.split(stored["b_in"], 3)
    p = Projections(
        W_q=W_q.T,
        W_k=W_k.T,
        W_v=W_v.T,
        W_o=stored["W_out"].T,
        b_q=b_q,
        b_k=b_k,
        b_v=b_v,
        b_o=stored["b_out"],
        n_heads=3,
    )
    rules = {
        "mha": {},
        "mha_bool_mask": {"mask": GOLDEN["token_mask"]},
        "mha_float_mask": {"mask": GOLDEN["token_bias"]},
        "mha_causal": {"is_causal": True},
    }[case]
    trace = multi_head_attention(stored["X"], p, **rules)
    for stage in ("weights", "output"):
        expected = GOLDEN[f"{case}.{stage}.{kind}"]
        assert getattr(trace, stage).dtype == kind
        np.testing.assert_allclose(getattr(trace, stage), expected, rtol=0, atol=TOLERANCE[kind])


# ---- shapes and types


def test_shapes_of_every_stage():
    p = random_projections(11, 2, 3, n_heads=6, n_kv_heads=2, with_output=True)
    trace = multi_head_attention(np.ones((5, 7, 11), np.float32), p)
    assert {name: array.shape for name, array in vars(trace).items() if array is not None} == {
        "Q": (5, 6, 7, 2),
        "K": (5, 2, 7, 2),
        "V": (5, 2, 7, 3),
        "scores": (5, 6, 7, 7),
        "scaled": (5, 6, 7, 7),
        "weights": (5, 6, 7, 7),
        "heads": (5, 6, 7, 3),
        "output": (5, 7, 11),
    }


def test_one_head_keeps_its_axis_and_output_is_the_heads():
    trace = multi_head_attention(np.ones((7, 11)), random_projections(11, 2, 3))
    assert trace.weights.shape == (1, 7, 7)
    np.testing.assert_array_equal(trace.output, trace.heads)


@pytest.mark.parametrize(
    ("X", "W", "expected"),
    [("f4", "f4", "f4"), ("f8", "f8", "f8"), ("f8", "f4", "f8"), ("i8", "f4", "f4")],
)
def test_types_are_kept(X, W, expected):
    W = np.eye(3, dtype=W)
    p = Projections(W_q=W, W_k=W, W_v=W, W_o=W, b_q=[1, 2, 3], b_v=[1.5] * 3, b_o=[0.5] * 3)
    trace = multi_head_attention(np.ones((2, 3), X), p)
    assert {array.dtype for array in vars(trace).values() if array is not None} == {
        np.dtype(expected)
    }


def test_no_tokens_and_one_token():
    p = random_projections(5, 2, n_heads=3, with_output=True)
    assert multi_head_attention(np.ones((0, 5)), p).output.shape == (0, 5)
    np.testing.assert_array_equal(multi_head_attention(np.ones((1, 5)), p).weights, [[[1]]] * 3)


def test_padding_hides_the_tokens_beyond_each_length():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2, 5, 7))
    p = random_projections(7, 3, n_heads=2, seed=4, with_output=True)
    padded = multi_head_attention(X, p, mask=padding_mask([3, 5], 5))
    alone = multi_head_attention(X[0, :3], p)
    np.testing.assert_allclose(padded.output[0, :3], alone.output, atol=1e-12)
    np.testing.assert_allclose(padded.output[1], multi_head_attention(X[1], p).output, atol=1e-12)


def test_identity_projections_compare_the_tokens_themselves():
    X = np.random.default_rng(0).standard_normal((5, 3))
    trace = multi_head_attention(X, identity_projections(3))
    np.testing.assert_allclose(trace.scores[0], X @ X.T)
    np.testing.assert_allclose(trace.output[0], trace.weights[0] @ X)


# ---- laws


@st.composite
def layers(draw):
    H_kv, share = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    D, d_k, d_v, T = (draw(st.integers(1, 6)) for _ in range(4))
    seed = draw(st.integers(0, 10**6))
    p = random_projections(
        D, d_k, d_v, n_heads=H_kv * share, n_kv_heads=H_kv, seed=seed, with_output=True
    )
    return np.random.default_rng(seed).standard_normal((T, D)), p


@laws
@given(layers(), st.integers(1, 4))
def test_merging_undoes_splitting(layer, n_heads):
    X, _ = layer
    x = np.tile(X, (2, 1, n_heads))
    np.testing.assert_array_equal(merge_heads(split_heads(x, n_heads)), x)


@laws
@given(layers(), st.randoms(use_true_random=False))
def test_permuting_tokens_permutes_outputs(layer, random):
    X, p = layer
    order = random.sample(range(len(X)), len(X))
    np.testing.assert_allclose(
        multi_head_attention(X[order], p).output,
        multi_head_attention(X, p).output[order],
        atol=1e-9,
    )


@laws
@given(layers(), st.integers(0, 5))
def test_a_later_token_leaves_earlier_ones_alone(layer, cut):
    X, p = layer
    changed = X.copy()
    changed[cut + 1 :] += 1
    before = multi_head_attention(X, p, is_causal=True).output[: cut + 1]
    after = multi_head_attention(changed, p, is_causal=True).output[: cut + 1]
    np.testing.assert_allclose(after, before, atol=1e-12)


@laws
@given(layers())
def test_heads_work_alone_and_add_up_through_W_o(layer):
    X, p = layer
    trace = multi_head_attention(X, p, scale=0.3)
    added = 0
    for h in range(p.n_heads):
        kv = h * p.n_kv_heads // p.n_heads
        q, k = (slice(i * p.d_k, (i + 1) * p.d_k) for i in (h, kv))
        v, o = (slice(i * p.d_v, (i + 1) * p.d_v) for i in (kv, h))
        alone = scaled_dot_product_attention(
            X @ p.W_q[:, q], X @ p.W_k[:, k], X @ p.W_v[:, v], scale=0.3
        )
        np.testing.assert_allclose(trace.weights[h], alone.weights, atol=1e-9)
        added = added + alone.output @ p.W_o[o]
    np.testing.assert_allclose(trace.output, added, atol=1e-9)


# ---- errors


def test_a_width_that_does_not_fit_and_the_offer_to_transpose():
    p = random_projections(8, 50)
    message = r"W_q is \(8, 50\); X is \(12, 50\), 50 wide, so W_q must be \(50, H·d_k\)\. It looks"
    with pytest.raises(ValueError, match=message + r" transposed: transpose it\?"):
        multi_head_attention(np.ones((12, 50)), p)
    with pytest.raises(ValueError, match=r"so W_q must be \(7, H·d_k\)\.$"):
        multi_head_attention(np.ones((12, 7)), p)


def test_one_token_alone_needs_its_axis():
    with pytest.raises(ValueError, match=r"X is \(8,\); it must be \(T, D\)"):
        multi_head_attention(np.ones(8), random_projections(8, 2))


def test_what_leaves_the_range_of_float32_is_named():
    p = random_projections(3, 2, spread=1e10)
    with pytest.raises(
        ValueError, match=r"Q has .*inf at \[0, 0, 0\]; every number must be finite"
    ):
        multi_head_attention(np.full((2, 3), 1e35, np.float32), p)
