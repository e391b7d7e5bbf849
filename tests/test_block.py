"""The Transformer block, norm first and norm last.

`golden/block.npz` holds two of PyTorch's `nn.TransformerEncoderLayer` on top of each other, by
`golden/make_block.py`, where the version is recorded too.
"""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention.block import (
    BlockWeights,
    additions,
    block,
    cosines,
    lengths,
    random_block,
    stack,
)
from attention.functions import layer_norm
from attention.projections import Projections, identity_projections
from attention.randomness import stable_rng

GOLDEN = Path(__file__).with_name("golden") / "block.npz"
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
KINDS = list(itertools.product((True, False), ("relu", "gelu")))  # norm_first, activation
STEPS = ("X", "attended", "residual_1", "normed_1", "fed", "residual_2", "normed_2", "output")


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as stored:
        return dict(stored)


def normal(*shape, key="X", dtype=np.float64):
    return stable_rng(key, *shape).standard_normal(shape).astype(dtype)


def worked_block(norm_first):
    """One head that returns what it sees, three units of which one answers."""
    eye = np.eye(2)
    return BlockWeights(
        attention=Projections(eye, eye, eye, eye),
        W_in=[[1.0, 0, -1], [0, 1, 0]],
        b_in=[0.0, 0, 0],
        W_out=[[5.0, 7], [11, 13], [17, 19]],
        b_out=[0.0, -2],
        gain_1=[1.0, 1],
        bias_1=[0.0, 0],
        gain_2=[1.0, 1],
        bias_2=[0.0, 0],
        activation="relu",
        norm_first=norm_first,
        eps=0.0,
    )


# Worked by hand: a row of two numbers, the larger first, is (1, -1) after the norm. Then
# inner = (1, -1, -1), active = (1, 0, 0) and fed = (5, 7) + (0, -2) = (5, 5).


def test_norm_first_by_hand():
    trace = block([[3.0, 1.0]], worked_block(norm_first=True))
    assert trace.normed_1.tolist() == [[1, -1]]
    assert trace.attended.tolist() == [[1, -1]]
    assert trace.residual_1.tolist() == [[4, 0]]
    assert trace.normed_2.tolist() == [[1, -1]]
    assert trace.inner.tolist() == [[1, -1, -1]]
    assert trace.active.tolist() == [[1, 0, 0]]
    assert trace.fed.tolist() == [[5, 5]]
    assert trace.output.tolist() == trace.residual_2.tolist() == [[9, 5]]


def test_norm_last_by_hand():
    trace = block([[3.0, 1.0]], worked_block(norm_first=False))
    assert trace.attended.tolist() == [[3, 1]]
    assert trace.residual_1.tolist() == [[6, 2]]
    assert trace.normed_1.tolist() == [[1, -1]]
    assert trace.fed.tolist() == [[5, 5]]
    assert trace.residual_2.tolist() == [[6, 4]]
    assert trace.output.tolist() == trace.normed_2.tolist() == [[1, -1]]


def test_lengths_and_cosines_by_hand():
    assert lengths([[3, 4], [0, 0]]).tolist() == [5, 0]
    found = cosines([[3.0, 4], [1, 0], [1, 0], [0, 0]], [[6.0, 8], [0, 2], [-3, 0], [1, 1]])
    np.testing.assert_allclose(found, [1, 0, -1, 0])


# Against PyTorch


def golden_block(golden, case, index, *, norm_first, activation):
    """Translate the layer's own names; its matrices act on columns, ours on rows."""
    layer = f"{case}/{index}/"
    p = {name.removeprefix(layer): a for name, a in golden.items() if name.startswith(layer)}
    W_q, W_k, W_v = (W.T for W in np.split(p["self_attn.in_proj_weight"], 3))
    b_q, b_k, b_v = np.split(p["self_attn.in_proj_bias"], 3)
    W_o, b_o = p["self_attn.out_proj.weight"].T, p["self_attn.out_proj.bias"]
    return BlockWeights(
        attention=Projections(W_q, W_k, W_v, W_o, b_q, b_k, b_v, b_o, n_heads=3),
        W_in=p["linear1.weight"].T,
        b_in=p["linear1.bias"],
        W_out=p["linear2.weight"].T,
        b_out=p["linear2.bias"],
        gain_1=p["norm1.weight"],
        bias_1=p["norm1.bias"],
        gain_2=p["norm2.weight"],
        bias_2=p["norm2.bias"],
        activation=activation,
        norm_first=norm_first,
    )


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize(("norm_first", "activation"), KINDS)
def test_two_blocks_agree_with_pytorch(golden, norm_first, activation, precision):
    case = f"{precision}/{norm_first}/{activation}"
    kind = {"norm_first": norm_first, "activation": activation}
    blocks = [golden_block(golden, case, index, **kind) for index in range(2)]
    for is_causal, name in ((False, "output"), (True, "causal")):
        for index, trace in enumerate(stack(golden[f"{case}/X"], blocks, is_causal=is_causal)):
            assert trace.output.dtype == precision
            expected = golden[f"{case}/{index}/{name}"]
            np.testing.assert_allclose(
                trace.output, expected, rtol=0, atol=TOLERANCE[precision], err_msg=name
            )


# Laws


@pytest.mark.parametrize(("norm_first", "activation"), KINDS)
def test_every_step_is_kept_and_cannot_be_changed(norm_first, activation):
    weights = random_block(10, 5, 7, activation=activation, norm_first=norm_first)
    trace = block(normal(2, 3, 10, dtype=np.float32), weights)
    shapes = dict.fromkeys(STEPS, (2, 3, 10)) | {"inner": (2, 3, 7), "active": (2, 3, 7)}
    for name, shape in shapes.items():
        array = getattr(trace, name)
        assert (array.shape, array.dtype) == (shape, np.float32), name
        assert not array.flags.writeable, name
    assert trace.attention.weights.shape == (2, 5, 3, 3)
    np.testing.assert_array_equal(trace.attended, trace.attention.output)
    assert block(normal(3, 10), weights).output.dtype == np.float64


@given(
    kind=st.sampled_from(KINDS),
    T=st.integers(1, 7),
    heads=st.sampled_from([(1, 1), (5, 1), (10, 2)]),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_laws(kind, T, heads, seed):
    norm_first, activation = kind
    n_heads, n_kv_heads = heads
    weights = random_block(
        10,
        n_heads,
        11,
        n_kv_heads=n_kv_heads,
        activation=activation,
        norm_first=norm_first,
        seed=seed,
    )
    X = normal(T, 10)
    trace = block(X, weights)

    added = sum(additions(trace).values())
    np.testing.assert_allclose(X + added, trace.output, atol=1e-12)

    order = stable_rng("order", seed).permutation(T)
    np.testing.assert_allclose(block(X[order], weights).output, trace.output[order], atol=1e-12)

    causal = block(X, weights, is_causal=True).output
    shorter = block(X[: T - 1], weights, is_causal=True).output
    np.testing.assert_allclose(causal[: T - 1], shorter, atol=1e-12)


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_block_that_adds_nothing(norm_first):
    """Without W_o and W_out a block hands on what it got, as it is or normalised (twice)."""
    weights = random_block(10, 5, norm_first=norm_first)
    silent = np.zeros_like(weights.attention.W_o)
    weights = replace(
        weights,
        attention=replace(weights.attention, W_o=silent),
        W_out=np.zeros_like(weights.W_out),
        eps=0.0,
    )
    X = normal(7, 10)
    expected = X if norm_first else layer_norm(X, np.ones(10), np.zeros(10), 0)
    np.testing.assert_allclose(block(X, weights).output, expected, atol=1e-12)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_random_blocks_keep_the_size_of_what_passes_through(activation):
    blocks = [random_block(50, 5, activation=activation, seed=seed) for seed in range(12)]
    traces = stack(normal(11, 50), blocks)
    for trace in traces:
        for part in (trace.attended, trace.fed):
            assert 0.2 < np.sqrt(np.square(part).mean()) < 2
    growth = np.sqrt(np.square(traces[-1].output).mean())
    assert 2 < growth < 6  # 12 additions of about unit size, √(1 + 12) in the mean


def test_stack_hands_on_each_output():
    blocks = [random_block(10, seed=seed) for seed in range(3)]
    traces = stack(normal(2, 10), blocks)
    for earlier, later in itertools.pairwise(traces):
        np.testing.assert_array_equal(earlier.output, later.X)
    assert stack(normal(2, 10), []) == ()


def test_the_numbers_of_a_seed_are_pinned():
    weights = random_block(4, 2, seed=7)
    np.testing.assert_allclose(
        weights.W_in[0, :3], [0.80888397, -0.43790767, -0.15601099], rtol=1e-6
    )
    np.testing.assert_allclose(
        weights.W_out[0, :3], [-0.35312974, -0.14635131, -0.59492534], rtol=1e-6
    )
    assert weights.d_ff == 16


@pytest.mark.parametrize("norm_first", [True, False])
def test_an_empty_sentence_and_one_token(norm_first):
    weights = random_block(10, 5, norm_first=norm_first)
    assert block(np.zeros((0, 10)), weights).output.shape == (0, 10)
    assert block(np.zeros((1, 10)), weights).attention.weights.tolist() == [[[1.0]]] * 5


# Errors


def test_errors_say_what_was_given_and_what_to_do():
    good = random_block(10, 5, 7)
    cases = [
        ({"W_in": good.W_in.T}, r"W_in is \(7, 10\).*must be \(10, 10\)"),
        ({"W_out": good.W_out.T}, r"W_out is \(10, 7\).*must be \(7, 10\).*transpose it"),
        ({"gain_1": good.b_in}, r"gain_1 is \(7,\); with d_model = 10.*must be \(10,\)"),
        ({"b_in": good.b_in * np.nan}, "b_in has a number that is not finite"),
        ({"activation": "tanh"}, 'activation must be "relu" or "gelu"; got \'tanh\''),
        ({"attention": identity_projections(10)}, "no W_o"),
        ({"eps": -1.0}, "eps must be a finite number, 0 or more; got -1.0"),
    ]
    for changed, message in cases:
        with pytest.raises(ValueError, match=message):
            replace(good, **changed)
    with pytest.raises(ValueError, match=r"X is \(3, 7\); the block is 10 wide"):
        block(np.zeros((3, 7)), good)
    with pytest.raises(ValueError, match="X has a number that is not finite"):
        block(np.full((3, 10), np.nan), good)
    with pytest.raises(ValueError, match="d_model is 10, which n_heads = 3"):
        random_block(10, 3)


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_step_beyond_range_is_named(norm_first):
    weights = random_block(10, 5, norm_first=norm_first)
    with pytest.raises(ValueError, match=r"X has a number beyond 6e\+18.*float32; make X or the"):
        block(np.full((3, 10), 1e19, np.float32), weights)
    huge = replace(weights, W_out=np.float32(1e37) * np.sign(weights.W_out))
    with pytest.raises(ValueError, match="fed has a number beyond"):
        block(normal(3, 10, dtype=np.float32), huge)
    exact = block(1e17 * normal(3, 10), weights).output
    single = block(1e17 * normal(3, 10, dtype=np.float32), weights).output
    np.testing.assert_allclose(single, exact, rtol=1e-3, atol=1e12)
