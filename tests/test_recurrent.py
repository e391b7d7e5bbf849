"""RNN, LSTM, GRU and how far back each still feels its inputs.

`golden/recurrent.npz` holds the outputs and derivatives of PyTorch's own modules, by
`golden/make_recurrent.py`, where the version is recorded too.
"""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention.masks import causal_mask
from attention.multi_head import multi_head_attention
from attention.projections import Projections, identity_projections, random_projections
from attention.randomness import stable_rng
from attention.recurrent import (
    GATES,
    INITIALISATIONS,
    KINDS,
    SHARE_FLOOR,
    RecurrentWeights,
    attention_influence,
    attention_jacobians,
    half_life,
    influence,
    jacobians,
    recurrent,
    recurrent_weights,
    share,
    sigmoid,
)

GOLDEN = Path(__file__).with_name("golden") / "recurrent.npz"
TOLERANCE = {"float32": 1e-6, "float64": 1e-10}
MODULES = ("RNN", "RNN relu", "LSTM", "GRU")
EVERY_START = [(kind, init) for kind in KINDS for init in INITIALISATIONS[kind]]
ARRAYS = ("W_ih", "W_hh", "b_ih", "b_hh")
EYE = identity_projections(3)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as stored:
        return dict(stored)


def normal(*shape, key="X", dtype=np.float64):
    return stable_rng(key, *shape).standard_normal(shape).astype(dtype)


def one_unit(kind, W_ih, W_hh, b_ih, b_hh, **kw):
    """Weights with one state and one input."""
    W_ih, W_hh = np.array(W_ih, float)[:, None], np.array(W_hh, float)[:, None]
    return RecurrentWeights(kind, W_ih, W_hh, np.array(b_ih, float), np.array(b_hh, float), **kw)


# Worked by hand. σ(ln 3) = 3/4, tanh(ln 2) = 3/5, tanh(ln 3) = 4/5.


def test_rnn_by_hand():
    weights = one_unit("RNN", [np.log(2)], [0.0], [0.0], [np.log(1.5)])
    trace = recurrent([[1.0], [0.0]], weights)
    # tanh(ln 2 + ln 1.5) = tanh(ln 3) = 4/5, then tanh(ln 1.5) = (2.25 - 1)/(2.25 + 1) = 5/13
    np.testing.assert_allclose(trace.hidden, [[4 / 5], [5 / 13]], rtol=1e-14)
    assert trace.gates == {}
    assert trace.cell is None


def test_rnn_derivative_by_hand():
    weights = one_unit("RNN", [2.0], [3.0], [0.0], [0.0])
    # h_1 = h_2 = 0, where tanh' = 1: ∂h_2/∂x_2 = W_ih = 2, ∂h_2/∂x_1 = W_hh·W_ih = 6
    np.testing.assert_allclose(jacobians(recurrent(np.zeros((2, 1)), weights)), [[[6.0]], [[2.0]]])


def test_lstm_by_hand():
    # Every gate reads its bias alone: i = 3/4, f = 1/2, g = 3/5 and o = 3/4.
    weights = one_unit("LSTM", [0] * 4, [0] * 4, [np.log(3), 0, np.log(2), 0], [0, 0, 0, np.log(3)])
    trace = recurrent(np.zeros((2, 1)), weights)
    for name, value in (("input", 3 / 4), ("forget", 1 / 2), ("candidate", 3 / 5)):
        np.testing.assert_allclose(trace.gates[name], [[value], [value]], rtol=1e-14)
    np.testing.assert_allclose(trace.gates["output"], [[3 / 4]] * 2, rtol=1e-14)
    cell = [9 / 20, 9 / 20 + 9 / 40]  # i·g, then f·(i·g) + i·g
    np.testing.assert_allclose(trace.cell[:, 0], cell, rtol=1e-14)
    np.testing.assert_allclose(trace.hidden[:, 0], 0.75 * np.tanh(cell), rtol=1e-14)


def test_gru_by_hand():
    # r = 1/2, z = 1/4; the state's part of the candidate is ln 4, halved by r: n = tanh(ln 2) = 3/5
    weights = one_unit("GRU", [0] * 3, [0] * 3, [0, -np.log(3), 0], [0, 0, np.log(4)])
    trace = recurrent(np.zeros((2, 1)), weights)
    for name, value in (("reset", 1 / 2), ("update", 1 / 4), ("candidate", 3 / 5)):
        np.testing.assert_allclose(trace.gates[name], [[value], [value]], rtol=1e-14)
    # (1 - z)·n = 9/20, then 9/20 + z·9/20
    np.testing.assert_allclose(trace.hidden, [[9 / 20], [9 / 16]], rtol=1e-14)


def test_attention_derivative_by_hand():
    # Two words, d = 1, all projections 1: o_1 = Σ w_j·x_j with w = softmax(x_1·x). At x = (0, 1)
    # the scores are 0, so w = (1/2, 1/2) and o = 1/2. Through the values ∂o/∂x = (1/2, 1/2);
    # through the keys q·w_j·(v_j - o) = 0 as q = 0; through the query Σ w_j·(v_j - o)·k_j =
    # 1/2·(-1/2)·0 + 1/2·1/2·1 = 1/4, for the first word alone.
    J = attention_jacobians(np.array([[0.0], [1.0]]), identity_projections(1), at=0)
    np.testing.assert_allclose(J, [[[3 / 4]], [[1 / 2]]], rtol=1e-14)


def test_influence_share_and_half_life_by_hand():
    weights = one_unit("RNN", [2.0], [0.5], [0.0], [0.0])
    felt = influence(recurrent(np.zeros((4, 1)), weights))
    np.testing.assert_allclose(felt, [0.25, 0.5, 1, 2])
    np.testing.assert_allclose(share(felt), np.array([1, 2, 4, 8]) / 15)
    assert half_life(felt) == pytest.approx(1)
    assert half_life([1, 1, 1]) == half_life([3, 2, 1]) == float("inf")
    assert half_life([1, 0, 16]) == pytest.approx(0.5)  # a word that is not felt is left out
    assert np.isnan([half_life([]), half_life([0, 0]), half_life([0, 1])]).all()


def test_share_has_a_floor_and_survives_any_size():
    np.testing.assert_array_equal(share([0, 1e-30, 1e300]), [SHARE_FLOOR, SHARE_FLOOR, 1])
    np.testing.assert_allclose(share([1e308, 1e308, 1e308]), [1 / 3] * 3)
    np.testing.assert_allclose(share([5e-324, 5e-324]), [1 / 2] * 2)
    np.testing.assert_array_equal(share([0, 0]), [SHARE_FLOOR] * 2)
    assert share([]).shape == (0,)


# Against PyTorch


def golden_weights(golden, name, precision):
    arrays = {key: golden[f"{name}/{precision}/{key}"] for key in ARRAYS}
    activation = "relu" if name.endswith("relu") else "tanh"
    return RecurrentWeights(name.removesuffix(" relu"), **arrays, activation=activation)


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("name", MODULES)
def test_states_and_derivatives_agree_with_pytorch(golden, name, precision):
    weights = golden_weights(golden, name, precision)
    expected = {key: golden[f"{name}/{precision}/{key}"] for key in ("hidden", "J", "J_at")}
    trace = recurrent(golden[f"{name}/{precision}/X"], weights)
    given = {"hidden": trace.hidden, "J": jacobians(trace), "J_at": jacobians(trace, at=4)}
    if name == "LSTM":
        expected["cell"], given["cell"] = golden[f"LSTM/{precision}/cell"], trace.cell
    for key, array in given.items():
        assert array.dtype == precision, key
        np.testing.assert_allclose(
            array, expected[key], rtol=0, atol=TOLERANCE[precision], err_msg=key
        )


@pytest.mark.parametrize("name", MODULES)
def test_vanishing_derivatives_agree_in_relative_size(golden, name):
    """Sixty words back the derivative may be 1e-20, and must be right even so."""
    trace = recurrent(golden[f"{name}/float64/X_long"], golden_weights(golden, name, "float64"))
    expected = golden[f"{name}/float64/J_long"]
    norms = np.sqrt(np.square(expected).sum((1, 2)))  # (T,)
    difference = np.abs(jacobians(trace) - expected).max((1, 2))
    assert (difference <= 1e-10 * norms).all()
    np.testing.assert_allclose(influence(trace), norms, rtol=1e-10)


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("is_causal", [False, True])
def test_attention_derivatives_agree_with_pytorch(golden, precision, is_causal):
    case = {
        key: golden[f"attention/{precision}/{key}"]
        for key in ("X", "W_q", "W_k", "W_v", "b_q", "b_k", "b_v")
    }
    X = case.pop("X")
    projections = Projections(**case, n_heads=4, n_kv_heads=2)
    expected = golden[f"attention/{precision}/{'J_causal' if is_causal else 'J'}"]
    for head in range(4):
        J = attention_jacobians(X, projections, head=head, at=4, is_causal=is_causal)
        assert J.dtype == precision
        tolerance = {"float32": 3e-6, "float64": 1e-10}[precision]  # PyTorch's own float32 error
        np.testing.assert_allclose(J, expected[head], rtol=0, atol=tolerance)
        felt = attention_influence(X, projections, head=head, at=4, is_causal=is_causal)
        np.testing.assert_allclose(felt, np.sqrt(np.square(J).sum((1, 2))), rtol=1e-5)


# Against finite differences


def finite_differences(function, X, step=1e-5):
    """Return ∂function/∂X, (T, n, D), by central differences."""
    T, D = X.shape
    columns = []
    for nudge in step * np.eye(T * D).reshape(T * D, T, D):
        columns.append((function(X + nudge) - function(X - nudge)) / (2 * step))
    return np.array(columns).reshape(T, D, -1).swapaxes(1, 2)


@pytest.mark.parametrize("at", [-1, 0, 3])
@pytest.mark.parametrize(("kind", "init"), EVERY_START)
def test_derivatives_agree_with_finite_differences(kind, init, at):
    weights = recurrent_weights(kind, 3, 5, init=init, seed=2)
    X = normal(7, 3)
    numeric = finite_differences(lambda X: recurrent(X, weights).hidden[at], X)
    np.testing.assert_allclose(jacobians(recurrent(X, weights), at), numeric, atol=1e-8)


@pytest.mark.parametrize("is_causal", [False, True])
def test_attention_derivatives_agree_with_finite_differences(is_causal):
    projections = random_projections(5, 3, 2, n_heads=4, n_kv_heads=2, seed=3)
    X = normal(7, 5)
    mask = causal_mask(7) if is_causal else None

    def output(X):
        return multi_head_attention(X, projections, mask=mask).heads[3, 2]

    J = attention_jacobians(X, projections, head=3, at=2, is_causal=is_causal)
    np.testing.assert_allclose(J, finite_differences(output, X), atol=1e-8)


# Laws


@pytest.mark.parametrize(("kind", "init"), EVERY_START)
def test_the_trace_has_every_step_and_cannot_be_changed(kind, init):
    trace = recurrent(normal(7, 3, dtype=np.float32), recurrent_weights(kind, 3, 5, init=init))
    assert tuple(trace.gates) == GATES[kind]
    arrays = [trace.X, trace.hidden, *trace.gates.values()]
    if kind == "LSTM":
        arrays.append(trace.cell)
    for array in arrays:
        assert len(array) == 7
        assert array.dtype == np.float32
        assert not array.flags.writeable
    assert trace.hidden.shape == (7, 5)
    for name, gate in trace.gates.items():
        assert gate.shape == (7, 5)
        assert (gate > (-1 if name == "candidate" else 0)).all()
        assert (gate < 1).all()


@given(
    kind=st.sampled_from(KINDS), T=st.integers(1, 7), at=st.integers(0, 6), seed=st.integers(0, 99)
)
@settings(max_examples=40, deadline=None)
def test_later_words_are_not_felt_and_a_prefix_is_a_pass_of_its_own(kind, T, at, seed):
    at = min(at, T - 1)
    weights = recurrent_weights(kind, 3, 5, seed=seed)
    X = normal(T, 3)
    trace = recurrent(X, weights)
    prefix = recurrent(X[: at + 1], weights)
    np.testing.assert_allclose(trace.hidden[: at + 1], prefix.hidden, rtol=1e-12)
    np.testing.assert_allclose(
        jacobians(trace, at)[: at + 1], jacobians(prefix), rtol=1e-9, atol=1e-15
    )
    assert not jacobians(trace, at)[at + 1 :].any()
    assert not influence(trace, at)[at + 1 :].any()


@given(seed=st.integers(0, 99), T=st.integers(2, 11))
@settings(max_examples=20, deadline=None)
def test_attention_is_blind_to_order(seed, T):
    projections = random_projections(5, 3, 2, seed=seed)
    X = normal(T, 5)
    order = stable_rng("order", seed).permutation(T)
    felt = attention_influence(X, projections, at=int(order[-1]))
    np.testing.assert_allclose(attention_influence(X[order], projections), felt[order])


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_sentence(kind):
    trace = recurrent(np.zeros((0, 3)), recurrent_weights(kind, 3, 5))
    assert trace.hidden.shape == (0, 5)
    assert jacobians(trace).shape == (0, 5, 3)
    assert influence(trace).shape == attention_influence(np.zeros((0, 3)), EYE).shape == (0,)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-30, 1e3, 1e38])
@pytest.mark.parametrize(("kind", "init"), EVERY_START)
def test_no_size_overflows(kind, init, size, dtype):
    drawn = recurrent_weights(kind, 3, 5, init=init)
    large = {name: (getattr(drawn, name) * size).astype(dtype) for name in ARRAYS}
    for weights in (drawn, RecurrentWeights(kind, **large, activation=drawn.activation)):
        trace = recurrent((normal(200, 3) * min(size, 1e37)).astype(dtype), weights)
        felt = influence(trace)
        for array in (trace.hidden, jacobians(trace), felt, share(felt)):
            assert np.isfinite(array).all()
        assert not np.isnan(half_life(felt)) or (felt > 0).sum() < 2


def test_an_exploding_derivative_is_held_and_its_share_stays_true():
    """States near 0 and weights of 1e3: every step back multiplies by a thousand."""
    weights = one_unit("RNN", [1e-12], [1e3], [0.0], [0.0])
    felt = influence(recurrent(np.zeros((101, 1)), weights))
    np.testing.assert_allclose(felt[50], 1e138)
    assert share(felt)[0] == pytest.approx(0.999)
    felt = influence(recurrent(np.zeros((201, 1)), weights))
    assert felt[0] == np.finfo(np.float64).max


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-30, 1e3, 1e37])
def test_no_size_overflows_in_attention(size, dtype):
    drawn = random_projections(3, 5, 2)
    large = [(getattr(drawn, name) * size).astype(dtype) for name in ("W_q", "W_k", "W_v")]
    for projections in (drawn, Projections(*large)):
        X = (normal(11, 3) * size).astype(dtype)
        assert np.isfinite(attention_jacobians(X, projections)).all()
        assert np.isfinite(attention_influence(X, projections)).all()


# Initialisations


@pytest.mark.parametrize("kind", KINDS)
def test_initialisations_are_what_they_are_called(kind):
    N = 7
    for init in INITIALISATIONS[kind]:
        w = recurrent_weights(kind, 3, N, init=init, seed=5)
        again = recurrent_weights(kind, 3, N, init=init, seed=5)
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(w, name), getattr(again, name))
            assert getattr(w, name).dtype == np.float32
        assert w.activation == ("relu" if init == "identity" else "tanh")
        if init == "default":
            assert max(np.abs(getattr(w, name)).max() for name in ARRAYS) <= np.float32(N**-0.5)
            assert 0.5 < np.std(w.W_hh) / (N**-0.5 / 3**0.5) < 1.5
        if init == "orthogonal":
            for block in w.W_hh.reshape(-1, N, N):
                np.testing.assert_allclose(block @ block.T, np.eye(N), atol=1e-6)
        if init == "identity":
            np.testing.assert_array_equal(w.W_hh, np.eye(N))
            assert not w.b_ih.any()
        if "bias" in init:
            gate, bias = init.split(" bias ")
            own = GATES[kind].index(gate)
            biases = (w.b_ih + w.b_hh).reshape(-1, N)
            np.testing.assert_array_equal(biases[own], [float(bias)] * N)
            assert (np.abs(np.delete(biases, own, 0)) < 2 * N**-0.5).all()


def test_the_numbers_of_a_seed_are_pinned():
    weights = recurrent_weights("LSTM", 3, 5, seed=7)
    pinned = [0.35638243, 0.29004154, -0.06274932]
    np.testing.assert_allclose(weights.W_ih[0], pinned, rtol=1e-6)
    other = recurrent_weights("LSTM", 3, 5, seed=8)
    assert not np.isin(weights.W_ih, other.W_ih).any()


# How fast each forgets: d = 50, N = 32, standard normal words, untrained.


def measured_half_life(kind, init, T=101, draws=8):
    found = []
    for seed in range(draws):
        X = stable_rng("words", seed).standard_normal((T, 50))
        weights = recurrent_weights(kind, 50, init=init, seed=seed)
        found.append(half_life(influence(recurrent(X, weights))))
    return np.median(found)


@pytest.mark.parametrize(
    ("kind", "init", "shortest", "longest"),
    [
        ("RNN", "default", 0.75, 0.9),
        ("LSTM", "default", 1.3, 1.5),
        ("GRU", "default", 1.3, 1.5),
        ("RNN", "orthogonal", 1.7, 2.1),
        ("LSTM", "forget bias 1", 2.7, 3.4),
        ("GRU", "update bias 3", 12, 15),
        ("LSTM", "forget bias 3", 22, 80),
    ],
)
def test_half_lives(kind, init, shortest, longest):
    assert shortest < measured_half_life(kind, init) < longest


def test_attention_does_not_fade_but_dilutes():
    """The first half of the words is felt as much as the second; each by about 1/T of the total."""
    means = {}
    for T in (20, 200):
        shares = np.array(
            [
                share(
                    attention_influence(
                        stable_rng("words", seed).standard_normal((T, 50)),
                        random_projections(50, 32, seed=seed),
                    )
                )[:-1]
                for seed in range(40)
            ]
        )
        far, near = shares[:, : T // 2].mean(), shares[:, T // 2 :].mean()
        assert 0.6 < far / near < 1.6
        means[T] = shares.mean()
    assert 8 < means[20] / means[200] < 12


# Errors


def test_errors_say_what_was_given_and_what_to_do():
    good = recurrent_weights("LSTM", 3, 5)
    W_ih, W_hh, b_ih, b_hh = (getattr(good, name) for name in ARRAYS)
    cases = [
        (("RNNN", W_ih, W_hh, b_ih, b_hh), "one of RNN, LSTM, GRU; got 'RNNN'"),
        (("LSTM", W_ih.T, W_hh, b_ih, b_hh), r"W_ih is \(3, 20\).*needs \(20, D\).*transpose it"),
        (("LSTM", W_ih, W_hh.T, b_ih, b_hh), r"W_hh is \(5, 20\).*\(80, 20\).*transpose it"),
        (("GRU", W_ih, W_hh, b_ih, b_hh), r"W_hh is \(20, 5\); the GRU stacks 3.*\(15, 5\)"),
        (("LSTM", W_ih, W_hh, b_ih[:5], b_hh), r"b_ih is \(5,\).*needs \(20,\)"),
        (("LSTM", W_ih, W_hh, b_ih, b_hh * np.nan), "b_hh has a number that is not finite"),
        (("LSTM", W_ih[0], W_hh, b_ih, b_hh), "W_ih must be a matrix"),
        (("LSTM", W_ih, W_hh, b_ih, b_hh, "relu"), "Only the plain RNN"),
        (("RNN", W_ih, W_hh, b_ih, b_hh, "cosine"), 'must be "tanh" or "relu"; got \'cosine\''),
    ]
    for arguments, message in cases:
        with pytest.raises(ValueError, match=message):
            RecurrentWeights(*arguments)
    with pytest.raises(ValueError, match=r"X is \(7, 2\).*\(T, 3\)"):
        recurrent(np.zeros((7, 2)), good)
    with pytest.raises(ValueError, match="not finite"):
        recurrent(np.full((7, 3), np.inf), good)
    with pytest.raises(ValueError, match=r"X is \(7, 2\).*\(T, 3\)"):
        attention_influence(np.zeros((7, 2)), EYE)
    with pytest.raises(IndexError, match="at is 7; it must lie between -7 and 6"):
        jacobians(recurrent(np.zeros((7, 3)), good), at=7)
    with pytest.raises(IndexError, match="head is 1; it must lie between -1 and 0"):
        attention_influence(np.zeros((7, 3)), EYE, head=1)
    with pytest.raises(ValueError, match="no initialisation 'identity' for the GRU; there are: de"):
        recurrent_weights("GRU", 3, 5, init="identity")
    with pytest.raises(ValueError, match="n_state must be 1 or more; got 0"):
        recurrent_weights("GRU", 3, 0)
    with pytest.raises(TypeError, match="real numbers"):
        recurrent(np.zeros((7, 3), complex), good)


def test_sigmoid():
    np.testing.assert_allclose(sigmoid(np.log([1, 3, 1 / 3])), [1 / 2, 3 / 4, 1 / 4])
    np.testing.assert_array_equal(sigmoid(np.array([-1e30, 1e30], np.float32)), [0, 1])
