from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention.decoder import (
    GPT,
    FeedForward,
    GptTrace,
    Layer,
    Norm,
    activate,
    forward,
    gelu_tanh,
    normalise,
    silu,
)
from attention.gpt_files import load_gpt
from attention.gpt_tokens import WordTokenizer
from attention.projections import Projections
from attention.randomness import stable_rng

FOLDER = Path(__file__).parent / "golden"
GOLDEN = np.load(FOLDER / "gpt.npz")
WORDS = WordTokenizer(["<unknown>", "<end>", "a", "b", "c", "d", "e"])


def random_model(rotary: bool, dtype=np.float32) -> GPT:
    """A model of two layers, 6 heads on 2 or on 6, D = 11, d_k = 2, F = 5, 7 words."""
    rng = stable_rng("decoder", int(rotary))

    def draw(*shape):
        return (0.5 * rng.standard_normal(shape)).astype(dtype)

    def norm():
        return Norm(1 + draw(11), None if rotary else draw(11), 1e-5)

    kv = 2 if rotary else 6
    layers = tuple(
        Layer(
            norm(),
            Projections(draw(11, 12), draw(11, kv * 2), draw(11, kv * 2), draw(12, 11), n_heads=6)
            if not rotary
            else Projections(
                draw(11, 12), draw(11, 4), draw(11, 4), draw(12, 11), n_heads=6, n_kv_heads=2
            ),
            norm(),
            FeedForward(draw(11, 5), draw(5, 11), W_gate=draw(11, 5), activation="silu")
            if rotary
            else FeedForward(draw(11, 5), draw(5, 11), draw(5), draw(11)),
        )
        for _ in range(2)
    )
    positions = None if rotary else draw(200, 11)
    embeddings = draw(7, 11)
    return GPT(
        "random", None, WORDS, embeddings, positions, 100.0 if rotary else None, layers, norm(),
        embeddings, 200,
    )  # fmt: skip


MODELS = {rotary: random_model(rotary) for rotary in (False, True)}
both = pytest.mark.parametrize("rotary", [False, True], ids=["gpt-2", "llama"])
IDS = [2, 5, 3, 3, 6, 0, 4, 2, 5, 1, 6]

# ---- worked by hand


def test_root_mean_square_of_three_and_four():
    x = np.array([[3.0, 4.0]])
    np.testing.assert_allclose(  # √((9 + 16)/2) = 5/√2
        normalise(x, Norm(np.array([1.0, 2.0]), None, 0.0)), [[0.6 * 2**0.5, 1.6 * 2**0.5]]
    )


def test_layer_norm_of_three_and_five():
    x = np.array([[3.0, 5.0]])
    found = normalise(x, Norm(np.array([1.0, 2.0]), np.array([0.5, 0.0]), 0.0))
    np.testing.assert_allclose(found, [[-0.5, 2.0]])


def test_activations_at_known_points():
    np.testing.assert_allclose(silu(np.array([0.0, 1.0, -1.0])), [0, 0.73105858, -0.26894142])
    np.testing.assert_allclose(
        gelu_tanh(np.array([0.0, 1.0, -1.0])), [0, 0.84119199, -0.15880801], rtol=1e-7
    )  # ½(1 + tanh(√(2/π)·1.044715)) = 0.841192, the exact GELU would be 0.841345
    np.testing.assert_array_equal(silu(np.float32([-1000.0, 1000.0])), [0, 1000])
    np.testing.assert_array_equal(gelu_tanh(np.float32([-1000.0, 1000.0])), [0, 1000])


def test_a_gate_multiplies():
    x = np.array([[1.0, 2.0]])
    gated = FeedForward(
        W_in=np.array([[3.0], [1.0]]), W_out=np.ones((1, 2)),
        W_gate=np.array([[1.0], [0.0]]), activation="silu",
    )  # fmt: skip
    np.testing.assert_allclose(activate(x, gated), [[5 * 0.73105858]])


def test_one_layer_by_hand():
    """Equal scores, so each token takes the mean of itself and those before; the rest is zero."""
    one = np.eye(2)
    layer = Layer(
        Norm(np.ones(2), None, 0.0),
        Projections(np.zeros((2, 2)), np.zeros((2, 2)), one, one),
        Norm(np.ones(2), None, 0.0),
        FeedForward(np.zeros((2, 3)), np.zeros((3, 2))),
    )
    rows = np.array([[1.0, 1.0], [0.0, 3.0], [2.0, 0.0]])  # normalised: (1,1), (0,√2), (√2,0)
    model = GPT("by hand", None, WORDS, rows, None, None, (layer,), Norm(np.ones(2), None, 0.0),
                one, 9)  # fmt: skip
    trace = forward([0, 1, 2], model)
    root = 2**0.5
    (found,) = trace.layers
    np.testing.assert_allclose(
        found.attention.weights[0], [[1, 0, 0], [1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]]
    )
    means = np.array([[1, 1], [1 / 2, (1 + root) / 2], [(1 + root) / 3, (1 + root) / 3]])
    np.testing.assert_allclose(found.attention.output, means)
    np.testing.assert_allclose(found.hidden, rows + means)
    # Row 0 is (2, 2), normalised (1, 1); the unembedding is the identity.
    np.testing.assert_allclose(trace.logits[0], [1, 1])


# ---- against Transformers, in float64


@pytest.mark.parametrize(
    ("name", "source", "tolerance"),
    [("gpt2", "gpt2_random", 5e-6), ("llama", "llama_random.gguf", 5e-5)],
)
def test_every_head_and_logit_is_that_of_transformers(name, source, tolerance):
    trace = forward(GOLDEN[f"{name}_ids"], load_gpt(FOLDER / source))
    weights = np.stack([layer.attention.weights for layer in trace.layers])
    assert trace.logits.dtype == np.float32
    np.testing.assert_allclose(weights, GOLDEN[f"{name}_weights"], atol=2e-6)
    np.testing.assert_allclose(trace.embeddings[:, :32], GOLDEN[f"{name}_embeddings"], atol=1e-7)
    np.testing.assert_allclose(trace.hidden[:, :32], GOLDEN[f"{name}_hidden"], atol=1e-5)
    # Logits reach 4 in the one and 25 in the other; measured 1.3e-6 and 1.6e-5.
    np.testing.assert_allclose(trace.logits, GOLDEN[f"{name}_logits"], atol=tolerance)


# ---- laws


@both
def test_shapes_and_what_adds_up(rotary):
    model = MODELS[rotary]
    trace = forward(IDS, model)
    T, kv = len(IDS), model.n_kv_heads
    assert (model.n_heads, kv) == (6, 2 if rotary else 6)
    assert trace.embeddings.shape == trace.hidden.shape == (T, 11)
    assert trace.logits.shape == (T, 7)
    before = trace.embeddings
    for layer, weights in zip(trace.layers, model.layers, strict=True):
        attention, f = layer.attention, weights.feed_forward
        assert attention.Q.shape == (6, T, 2)
        assert attention.K.shape == attention.V.shape == (kv, T, 2)
        assert attention.weights.shape == (6, T, T)
        assert layer.inner.shape == (T, 5)
        np.testing.assert_allclose(attention.weights.sum(-1), 1, atol=1e-6)
        assert (np.triu(attention.weights, 1) == 0).all()
        np.testing.assert_array_equal(layer.middle, before + attention.output)
        added = layer.inner @ f.W_out + (0 if f.b_out is None else f.b_out)
        np.testing.assert_allclose(layer.hidden, layer.middle + added, atol=1e-6)
        before = layer.hidden
    np.testing.assert_allclose(trace.logits, trace.hidden @ model.embeddings.T, atol=1e-6)
    assert trace.tokens == trace.context
    assert trace.tokens.texts[:3] == ("a", "d", "b")


@both
@settings(max_examples=15, deadline=None)
@given(at=st.integers(1, 10), other=st.integers(0, 6))
def test_a_later_word_changes_nothing_before_it(rotary, at, other):
    changed = [*IDS[:at], other, *IDS[at + 1 :]]
    first, second = (forward(ids, MODELS[rotary]) for ids in (IDS, changed))
    np.testing.assert_allclose(first.logits[:at], second.logits[:at], atol=1e-6)
    for one, two in zip(first.layers, second.layers, strict=True):
        np.testing.assert_allclose(
            one.attention.weights[:, :at], two.attention.weights[:, :at], atol=1e-6
        )


def in_pieces(model: GPT, ids, cuts) -> list[GptTrace]:
    """Run ids through the model piece by piece, each with the cache of the one before."""
    traces, cache = [], None
    for start, end in zip([0, *cuts], [*cuts, len(ids)], strict=True):
        traces.append(forward(ids[start:end], model, cache))
        cache = traces[-1].cache
    return traces


@both
@settings(max_examples=25, deadline=None)
@given(cuts=st.sets(st.integers(1, 10)).map(sorted))
def test_with_a_cache_the_numbers_are_those_of_the_full_pass(rotary, cuts):
    whole = forward(IDS, MODELS[rotary])
    traces = in_pieces(MODELS[rotary], IDS, cuts)
    assert traces[-1].context == whole.context
    np.testing.assert_allclose(
        np.concatenate([trace.logits for trace in traces]), whole.logits, atol=1e-5
    )
    for i, layer in enumerate(whole.layers):
        last = traces[-1].layers[i].attention
        np.testing.assert_allclose(last.K, layer.attention.K, atol=1e-5)
        np.testing.assert_allclose(last.V, layer.attention.V, atol=1e-5)
        for trace in traces:
            S, T = len(trace.context), len(trace.tokens)
            np.testing.assert_allclose(
                trace.layers[i].attention.weights,
                layer.attention.weights[:, S - T : S, :S],
                atol=1e-5,
            )


def test_a_cache_outgrows_its_arrays_and_earlier_traces_keep_theirs():
    model = MODELS[True]
    ids = [int(i) for i in stable_rng("long").randint(0, 7, 199)]
    whole = forward(ids, model)
    traces = in_pieces(model, ids, list(range(3, 199)))
    for trace in traces[:: len(traces) // 7]:
        S = len(trace.context)
        K = trace.layers[1].attention.K
        assert K.shape == (2, S, 2)
        np.testing.assert_allclose(K, whole.layers[1].attention.K[:, :S], atol=1e-5)


def test_one_cache_can_be_continued_in_several_ways():
    model = MODELS[True]
    start = forward(IDS[:5], model)
    grown = forward(IDS[5:6], model, start.cache)  # from here on the arrays have room to spare
    first = forward([2, 3], model, grown.cache)
    kept = first.layers[0].attention.K.copy()
    second = forward([6, 6], model, grown.cache)
    np.testing.assert_array_equal(first.layers[0].attention.K, kept)
    for trace, end in ((first, [2, 3]), (second, [6, 6])):
        whole = forward([*IDS[:6], *end], model)
        np.testing.assert_allclose(trace.logits, whole.logits[-2:], atol=1e-5)
        np.testing.assert_allclose(
            trace.layers[1].attention.K, whole.layers[1].attention.K, atol=1e-5
        )


def test_threads_can_continue_one_cache():
    model = MODELS[True]
    grown = forward(IDS[1:2], model, forward(IDS[:1], model).cache)
    ends = [[i % 7, (3 * i) % 7, (5 * i) % 7] for i in range(60)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda end: in_threads(model, end, grown.cache), ends))
    for trace, end in zip(found, ends, strict=True):
        whole = forward([*IDS[:2], *end], model)
        np.testing.assert_allclose(trace.logits, whole.logits[-1:], atol=1e-5)
        np.testing.assert_allclose(
            trace.layers[0].attention.K, whole.layers[0].attention.K, atol=1e-5
        )


def in_threads(model, end, cache):
    for i in end:
        trace = forward([i], model, cache)
        cache = trace.cache
    return trace


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_type_of_the_weights_is_kept(dtype):
    trace = forward(IDS, random_model(True, dtype))
    assert trace.logits.dtype == trace.layers[0].attention.weights.dtype == dtype
    assert trace.layers[1].inner.dtype == trace.embeddings.dtype == dtype


@both
def test_nothing_in_a_trace_can_be_written_to(rotary):
    trace = forward(IDS, MODELS[rotary])
    layer = trace.layers[0]
    for array in (
        trace.embeddings, trace.hidden, trace.logits, layer.normed, layer.middle,
        layer.normed_middle, layer.inner, layer.hidden, layer.attention.K, layer.attention.weights,
    ):  # fmt: skip
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


# ---- errors


def test_ids_that_cannot_be():
    model = MODELS[False]
    with pytest.raises(ValueError, match="at least one token id"):
        forward([], model)
    with pytest.raises(ValueError, match=r"at least one token id; got the shape \(1, 2\)"):
        forward([[1, 2]], model)
    with pytest.raises(TypeError, match="whole numbers; got float64"):
        forward([1.0, 2.0], model)
    with pytest.raises(ValueError, match="no token 7; the vocabulary has the ids 0 to 6"):
        forward([1, 7], model)
    with pytest.raises(ValueError, match="no token -1"):
        forward([1, -1], model)


def test_a_text_that_is_too_long():
    model = MODELS[False]
    cache = forward([2] * 199, model).cache
    forward([2], model, cache)
    with pytest.raises(ValueError, match="201 tokens; random takes at most 200. Shorten it"):
        forward([2, 2], model, cache)


def test_weights_that_leave_the_range():
    model = MODELS[True]
    huge = replace(model, unembedding=np.full((7, 11), 3e38, np.float32))
    with pytest.raises(ValueError, match="The numbers of random leave the range of float32"):
        forward(IDS, huge)
