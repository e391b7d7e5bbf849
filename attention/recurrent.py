"""X -> the states of an RNN, LSTM or GRU, and how far back each still feels its inputs.

The equations and the layout of the weights are those of `torch.nn.RNN`, `LSTM` and `GRU`: the
matrices of all gates stand on top of each other, W_ih (G·N, D) and W_hh (G·N, N), in the order of
`GATES`. They act on columns, so a row x passes as x @ W_ih.T. A network starts from zeros.

How much the last state h_T still feels word j is its exact derivative ∂h_T/∂x_j, found by the
chain rule from the end backwards: ∂h_T/∂h_(t-1) = ∂h_T/∂h_t · ∂h_t/∂h_(t-1). The same derivative of
one attention head's output lets attention stand in the same plot.

Elman 1990 (RNN); Hochreiter and Schmidhuber 1997 and Gers et al. 2000 (LSTM); Cho et al. 2014
(GRU); Pascanu, Mikolov and Bengio 2013 (why the derivative vanishes or explodes).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from attention.dot_product import scaled_dot_product_attention
from attention.functions import as_floats, read_only
from attention.projections import Projections
from attention.randomness import stable_rng

# The gates in PyTorch's order; the plain RNN has none, only its new state.
GATES = {
    "RNN": (),
    "LSTM": ("input", "forget", "candidate", "output"),
    "GRU": ("reset", "update", "candidate"),
}
KINDS = tuple(GATES)

# The ways to begin that `recurrent_weights` knows, PyTorch's own first.
INITIALISATIONS = {
    "RNN": ("default", "orthogonal", "identity"),
    "LSTM": ("default", "orthogonal", "forget bias 1", "forget bias 3"),
    "GRU": ("default", "orthogonal", "update bias 1", "update bias 3"),
}

SHARE_FLOOR = 1e-12  # so that a share has a place on a log axis

# Larger numbers are held here, in inputs, weights and the ReLU's states. Every gate is saturated
# long before, and no product of two leaves the range of float32.
HELD = 1e12


@dataclass(frozen=True, eq=False)
class RecurrentWeights:
    """The weights of one recurrent network, laid out as in PyTorch, read-only.

    kind: "RNN", "LSTM" or "GRU", with G = 1, 4 or 3 matrices on top of each other.
    W_ih (G·N, D) and b_ih (G·N,) take the input in; W_hh (G·N, N) and b_hh (G·N,) the last state.
    activation: "tanh", or "relu" for a plain RNN only.

    Raises ValueError where shapes do not fit or a number is not finite.
    """

    kind: str
    W_ih: np.ndarray
    W_hh: np.ndarray
    b_ih: np.ndarray
    b_hh: np.ndarray
    activation: str = "tanh"

    def __post_init__(self) -> None:
        _check_kind(self.kind)
        arrays = as_floats(self.W_ih, self.W_hh, self.b_ih, self.b_hh)
        for name, array in zip(_ARRAYS, arrays, strict=True):
            object.__setattr__(self, name, read_only(array))
        _check_weights(self)

    @property
    def n_state(self) -> int:
        """N, the width of the state."""
        return self.W_hh.shape[1]

    @property
    def d_model(self) -> int:
        """D, the width of an input."""
        return self.W_ih.shape[1]


_ARRAYS = ("W_ih", "W_hh", "b_ih", "b_hh")


@dataclass(frozen=True, eq=False)
class RecurrentTrace:
    """Every step of one pass through a recurrent network; the arrays are read-only views.

    X (T, D): the inputs. hidden (T, N): the states h_1 to h_T. cell (T, N): the LSTM's c_1 to c_T,
    None for the others. gate_values (G, T, N): the gates in the order of `GATES`.
    """

    weights: RecurrentWeights
    X: np.ndarray
    hidden: np.ndarray
    cell: np.ndarray | None
    gate_values: np.ndarray

    def __post_init__(self) -> None:
        for name in ("X", "hidden", "cell", "gate_values"):
            array = getattr(self, name)
            if array is not None:
                object.__setattr__(self, name, read_only(array))

    @property
    def gates(self) -> dict[str, np.ndarray]:
        """The gates by name, each (T, N), between 0 and 1 but for the candidate (-1 to 1)."""
        return dict(zip(GATES[self.weights.kind], self.gate_values, strict=True))


def recurrent_weights(
    kind: str, d_model: int, n_state: int = 32, *, init: str = "default", seed: int = 0
) -> RecurrentWeights:
    """Draw the untrained weights of an RNN, LSTM or GRU, float32, by a named initialisation.

    "default": everything uniform in ±1/√N, as PyTorch does.
    "orthogonal": as default, but each gate's (N, N) block of W_hh keeps lengths (Saxe et al. 2014).
    "identity" (RNN): W_hh = I, ReLU, biases 0, W_ih normal with deviation .001 (Le et al. 2015).
    "forget bias b" (LSTM, b = 1 or 3): as default, but the forget gate's biases sum to b, so that
        it begins at σ(b) = .73 or .95 (Gers et al. 2000, Jozefowicz et al. 2015).
    "update bias b" (GRU, b = 1 or 3): the same for the update gate, which keeps the old state.

    The stream depends on kind and seed, so initialisations that share a matrix share its numbers.
    Raises ValueError for an unknown name or a size below 1.
    """
    _check_kind(kind)
    if init not in INITIALISATIONS[kind]:
        names = ", ".join(INITIALISATIONS[kind])
        raise ValueError(f"There is no initialisation {init!r} for the {kind}; there are: {names}.")
    for name, size in (("d_model", d_model), ("n_state", n_state)):
        if size < 1:
            raise ValueError(f"{name} must be 1 or more; got {size}.")

    N, rows = n_state, n_matrices(kind) * n_state
    shapes = {"W_ih": (rows, d_model), "W_hh": (rows, N), "b_ih": (rows,), "b_hh": (rows,)}
    drawn = {
        name: stable_rng(kind, name, seed).uniform(-(N**-0.5), N**-0.5, shape)
        for name, shape in shapes.items()
    }
    activation = "tanh"
    if init == "orthogonal":
        drawn["W_hh"] = np.concatenate(
            [orthogonal(N, kind, "orthogonal", gate, seed) for gate in range(n_matrices(kind))]
        )
    elif init == "identity":
        activation = "relu"
        drawn["W_ih"] = 0.001 * stable_rng(kind, "identity", seed).standard_normal(shapes["W_ih"])
        drawn |= {"W_hh": np.eye(N), "b_ih": np.zeros(N), "b_hh": np.zeros(N)}
    elif init != "default":
        gate, bias = init.split(" bias ")
        start = GATES[kind].index(gate) * N
        drawn["b_ih"][start : start + N] = float(bias)
        drawn["b_hh"][start : start + N] = 0
    arrays = {name: array.astype(np.float32) for name, array in drawn.items()}
    return RecurrentWeights(kind, **arrays, activation=activation)


def n_matrices(kind: str) -> int:
    """Return G, how many matrices stand on top of each other in W_ih and W_hh."""
    return len(GATES[kind]) or 1


def orthogonal(N: int, *key: int | str) -> np.ndarray:
    """Draw a rotation or reflection (N, N) evenly from all of them (Mezzadri 2007)."""
    Q, R = np.linalg.qr(stable_rng(*key).standard_normal((N, N)))
    return Q * np.where(np.diagonal(R) < 0, -1, 1)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return σ(x) = 1/(1 + e^-x), written with tanh, which cannot overflow."""
    return (1 + np.tanh(x / 2)) / 2


def recurrent(X, weights: RecurrentWeights) -> RecurrentTrace:
    """Read X (T, D) word by word, starting from zeros, and keep every state and gate.

    float32 and float64 are kept; where they meet the result is float64. Numbers beyond ±1e12 are
    held there. Raises ValueError if X is not (T, D) or not finite.
    """
    X, W_ih, W_hh, b_ih, b_hh = as_floats(X, *_arrays(weights))
    if X.ndim != 2 or X.shape[1] != weights.d_model:
        raise ValueError(
            f"X is {X.shape}; W_ih takes inputs of width {weights.d_model}, so X must be "
            f"(T, {weights.d_model})."
        )
    if not np.isfinite(X).all():
        raise ValueError("X has a number that is not finite; every number must be.")
    X, W_ih, W_hh, b_ih, b_hh = (held(array) for array in (X, W_ih, W_hh, b_ih, b_hh))
    inputs = X @ W_ih.T + b_ih  # (T, G·N)
    if weights.kind == "RNN":
        return RecurrentTrace(weights, X, *_read_rnn(inputs, W_hh, b_hh, weights.activation))
    read = _read_lstm if weights.kind == "LSTM" else _read_gru
    return RecurrentTrace(weights, X, *read(inputs, W_hh, b_hh))


def _read_rnn(inputs, W, b, activation):
    """Run h_t = tanh(W_ih·x_t + b_ih + W_hh·h_(t-1) + b_hh); return hidden, no cell, no gates."""
    hidden = np.zeros_like(inputs)  # (T, N)
    h = np.zeros_like(b)
    for t, x in enumerate(inputs):
        a = x + W @ h + b
        h = np.tanh(a) if activation == "tanh" else a.clip(0, HELD)
        hidden[t] = h
    return hidden, None, np.zeros((0, *hidden.shape), hidden.dtype)


def _read_lstm(inputs, W, b):
    """Run c_t = f·c_(t-1) + i·g and h_t = o·tanh(c_t); return hidden, cell and i, f, g, o."""
    T, N = len(inputs), len(b) // 4
    hidden, cell = np.zeros((2, T, N), inputs.dtype)
    gates = np.zeros((4, T, N), inputs.dtype)
    h, c = np.zeros((2, N), inputs.dtype)
    for t, x in enumerate(inputs):
        a = (x + W @ h + b).reshape(4, N)
        i, f, _, o = sigmoid(a)
        g = np.tanh(a[2])
        c = f * c + i * g
        h = o * np.tanh(c)
        hidden[t], cell[t], gates[:, t] = h, c, (i, f, g, o)
    return hidden, cell, gates


def _read_gru(inputs, W, b):
    """Run n = tanh(x_n + r·(W_hn·h + b_hn)) and h_t = (1 - z)·n + z·h; return hidden and r, z, n.

    x_n is the input's part, W_in·x + b_in. The reset gate r acts after the product, as in PyTorch.
    """
    T, N = len(inputs), len(b) // 3
    hidden = np.zeros((T, N), inputs.dtype)
    gates = np.zeros((3, T, N), inputs.dtype)
    h = np.zeros(N, inputs.dtype)
    for t, x in enumerate(inputs):
        x, m = x.reshape(3, N), (W @ h + b).reshape(3, N)
        r, z = sigmoid(x[:2] + m[:2])
        n = np.tanh(x[2] + r * m[2])
        h = (1 - z) * n + z * h
        hidden[t], gates[:, t] = h, (r, z, n)
    return hidden, None, gates


def jacobians(trace: RecurrentTrace, at: int = -1) -> np.ndarray:
    """Return ∂h_at/∂x_j for every word j, (T, N, D), exactly; zeros for words after `at`.

    Entry [j, n, d] says by how much number n of state `at` (the last unless given) changes for
    each unit that number d of word j does. Beyond the range of its type it is held at the end.
    """
    J, exponents = _scaled_jacobians(trace, at)
    limit = np.finfo(J.dtype).max
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(J, exponents[:, None, None]).clip(-limit, limit)


def influence(trace: RecurrentTrace, at: int = -1) -> np.ndarray:
    """Return how strongly state `at` feels each word: ‖∂h_at/∂x_j‖ (Frobenius), (T,) float64.

    Zeros for words after `at`. float64 whatever the inputs, since it spans so many sizes.
    """
    J, exponents = _scaled_jacobians(trace, at)
    with np.errstate(over="ignore", under="ignore"):
        return np.minimum(np.ldexp(frobenius(J), exponents), np.finfo(np.float64).max)


def share(felt: np.ndarray, floor: float = SHARE_FLOOR) -> np.ndarray:
    """Return each word's share of the total influence (T,), no smaller than `floor`.

    The shares sum to 1 but for what the floor adds. Where nothing is felt all are at the floor.
    """
    felt = np.asarray(felt, np.float64)
    largest = felt.max(initial=0)
    if largest == 0:
        return np.full(felt.shape, floor)
    with np.errstate(under="ignore"):
        felt = felt / largest  # so that the sum stays in range
        return np.maximum(felt / felt.sum(), floor)


def half_life(felt: np.ndarray) -> float:
    """Return how many steps back halve the influence, by the line that fits its logarithm best.

    The fit (least squares over all words that are felt at all) speaks for the whole sequence; the
    first few steps can fall faster or slower. inf where the influence does not fade, nan where
    fewer than two words are felt.
    """
    felt = np.asarray(felt, np.float64)[::-1]
    steps = np.flatnonzero(felt > 0)  # back from the last word
    if len(steps) < 2:
        return float("nan")
    halvings, off = -np.log2(felt[steps]), steps - steps.mean()
    slope = float(off @ halvings / (off @ off))
    return 1 / slope if slope > 0 else float("inf")


def frobenius(J: np.ndarray) -> np.ndarray:
    """Return the length √(sum of squares) of each matrix of J (T, n, D), float64, no overflow."""
    J = np.asarray(J, np.float64)
    J = J.reshape(len(J), J.shape[1] * J.shape[2])
    largest = np.maximum(J.max(axis=-1, initial=0), -J.min(axis=-1, initial=0))  # (T,)
    with np.errstate(under="ignore"):
        J = J / np.where(largest > 0, largest, 1)[:, None]
        return largest * np.sqrt(np.vecdot(J, J))


def _scaled_jacobians(trace: RecurrentTrace, at: int) -> tuple[np.ndarray, np.ndarray]:
    """Return J (T, N, D) and exponents (T,), such that ∂h_at/∂x_j = J[j]·2^exponents[j].

    The exponents keep the accumulated product near 1, however far it vanishes or explodes.
    """
    W_ih = held(trace.weights.W_ih.astype(trace.hidden.dtype))
    W_hh = held(trace.weights.W_hh.astype(trace.hidden.dtype))
    T, N = trace.hidden.shape
    exponents = np.zeros(T, np.int32)
    felt = np.zeros((T, N, len(W_ih)), W_ih.dtype)  # ∂h_at/∂(the input's part of the gates)
    if T:
        step, P = _STEP_BACK[trace.weights.kind](trace, W_hh)
        exponent = 0
        for t in range(position(at, T), -1, -1):
            exponents[t] = exponent
            felt[t], P = step(P, t)
            shift = int(np.frexp(np.abs(P).max())[1])
            P = np.ldexp(P, -shift)
            exponent += shift
    rows, D = W_ih.shape
    J = (felt.reshape(T * N, rows) @ W_ih).reshape(T, N, D)  # one large product, not T small ones
    return J, exponents


# One step of the chain rule: ∂h_at/∂(state t) (N, S) and t -> ∂h_at/∂(the input's part of the
# gates at t) (N, G·N) and ∂h_at/∂(state t-1) (N, S). S is N, or 2N for the LSTM's h and c together.
StepBack = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def _rnn_back(trace: RecurrentTrace, W: np.ndarray) -> tuple[StepBack, np.ndarray]:
    h = trace.hidden
    if trace.weights.activation == "tanh":
        slope = 1 - h * h  # tanh' = 1 - tanh²
    else:
        slope = ((h > 0) & (h < HELD)).astype(h.dtype)

    def step(P, t):
        felt = P * slope[t]
        return felt, felt @ W

    return step, np.eye(h.shape[1], dtype=h.dtype)


def _lstm_back(trace: RecurrentTrace, W: np.ndarray) -> tuple[StepBack, np.ndarray]:
    i, f, g, o = trace.gate_values  # each (T, N)
    N = trace.hidden.shape[1]
    tanh_c = np.tanh(trace.cell)
    cell_in_hidden = o * (1 - tanh_c**2)  # ∂h_t/∂c_t
    gates_in_cell = np.stack(  # ∂c_t/∂(i, f, g before σ and tanh), (T, 3, N)
        [g * i * (1 - i), before(trace.cell) * f * (1 - f), i * (1 - g**2)], axis=1
    )
    output_in_hidden = tanh_c * o * (1 - o)

    def step(P, t):
        from_h, from_c = P[:, :N], P[:, N:]
        from_c = from_c + from_h * cell_in_hidden[t]
        cell_gates = (from_c[:, None] * gates_in_cell[t]).reshape(N, -1)  # (N, 3N)
        felt = np.concatenate([cell_gates, from_h * output_in_hidden[t]], axis=1)  # (N, 4N)
        return felt, np.concatenate([felt @ W, from_c * f[t]], axis=1)

    return step, np.eye(N, 2 * N, dtype=i.dtype)


def _gru_back(trace: RecurrentTrace, W: np.ndarray) -> tuple[StepBack, np.ndarray]:
    r, z, n = trace.gate_values  # each (T, N)
    h = before(trace.hidden)
    N = h.shape[1]
    m = h @ W[2 * N :].T + held(trace.weights.b_hh[2 * N :].astype(h.dtype))  # W_hn·h + b_hn
    candidate_slope = (1 - z) * (1 - n**2)
    update_slope = (h - n) * z * (1 - z)
    reset_slope = candidate_slope * m * r * (1 - r)
    slopes = np.stack([reset_slope, update_slope, candidate_slope], axis=1)  # (T, 3, N)
    ones = np.ones_like(r)
    to_hidden = np.stack([ones, ones, r], axis=1)  # r stands before the state's part of n

    def step(P, t):
        felt = P[:, None] * slopes[t]  # (N, 3, N)
        through_gates = (felt * to_hidden[t]).reshape(N, -1) @ W
        return felt.reshape(N, -1), through_gates + P * z[t]

    return step, np.eye(N, dtype=h.dtype)


_STEP_BACK = {"RNN": _rnn_back, "LSTM": _lstm_back, "GRU": _gru_back}


def attention_jacobians(
    X, projections: Projections, *, head: int = 0, at: int = -1, is_causal: bool = False
) -> np.ndarray:
    """Return ∂o_at/∂x_j for every word j, (T, d_v, D): the same question put to self-attention.

    o_at is the output of one head (before W_o) for the query `at`, Σ_j w_j·v_j. Word j acts on it
    through its value, through its key, and, where it is the query itself, through that:
    w_j·W_vᵀ + scale·w_j·(v_j - o)·(W_k·q)ᵀ + [j = at]·scale·Σ_i w_i·(v_i - o)·(W_q·k_i)ᵀ.
    """
    (X,) = as_floats(X)
    dtype = as_floats(X[:0], projections.W_q[:0])[0].dtype
    J = _attention_jacobians(X, projections, head, at, is_causal)
    limit = np.finfo(dtype).max
    with np.errstate(under="ignore"):
        return J.clip(-limit, limit).astype(dtype)


def attention_influence(
    X, projections: Projections, *, head: int = 0, at: int = -1, is_causal: bool = False
) -> np.ndarray:
    """Return how strongly a head's output for `at` feels each word, ‖∂o_at/∂x_j‖, (T,) float64."""
    return frobenius(_attention_jacobians(as_floats(X)[0], projections, head, at, is_causal))


def _attention_jacobians(X, projections, head, at, is_causal):
    """Work in float64, so that the product of three large float32 stays in range."""
    if X.ndim != 2 or X.shape[1] != projections.d_model:
        raise ValueError(
            f"X is {X.shape}; the projections take inputs of width {projections.d_model}, so X "
            f"must be (T, {projections.d_model})."
        )
    X = held(X.astype(np.float64))
    T, D = X.shape
    W_q, W_k, W_v, b_q, b_k, b_v = _one_head(projections, head)
    if T == 0:
        return np.zeros((0, W_v.shape[1], D))
    Q, K, V = X @ W_q + b_q, X @ W_k + b_k, X @ W_v + b_v
    trace = scaled_dot_product_attention(Q, K, V, is_causal=is_causal)
    at, scale = position(at, T), W_q.shape[1] ** -0.5
    w, o = trace.weights[at], trace.output[at]  # (T,), (d_v,)
    score_felt = scale * w[:, None] * (V - o)  # ∂o/∂(q·k_j), (T, d_v)
    J = w[:, None, None] * W_v.T  # through the value, (T, d_v, D)
    J += score_felt[:, :, None] * (W_k @ Q[at])  # through the key
    J[at] += score_felt.T @ (K @ W_q.T)  # through the query
    return J


def _one_head(p: Projections, head: int):
    """Return W_q (D, d_k), W_k (D, d_k), W_v (D, d_v) and their biases for one query head."""
    head = position(head, p.n_heads, "head")
    kv_head = head // (p.n_heads // p.n_kv_heads)
    matrices, biases = [], []
    for name, h, width in (("q", head, p.d_k), ("k", kv_head, p.d_k), ("v", kv_head, p.d_v)):
        own = slice(h * width, (h + 1) * width)
        bias = getattr(p, f"b_{name}")
        matrices.append(held(getattr(p, f"W_{name}")[:, own].astype(np.float64)))
        biases.append(0.0 if bias is None else held(bias[own].astype(np.float64)))
    return *matrices, *biases


def before(states: np.ndarray) -> np.ndarray:
    """Return the states each step started from: zeros first, the last one left out."""
    return np.concatenate([np.zeros_like(states[:1]), states[:-1]])


def held(array: np.ndarray) -> np.ndarray:
    """Return the array with numbers beyond ±HELD held there."""
    return array.clip(-HELD, HELD)


def position(at: int, T: int, name: str = "at") -> int:
    """Return `at` counted from the start; negative ones count from the end. Raises IndexError."""
    if not -T <= at < T:
        raise IndexError(f"{name} is {at}; it must lie between {-T} and {T - 1}.")
    return at % T


def _arrays(weights: RecurrentWeights) -> list[np.ndarray]:
    return [getattr(weights, name) for name in _ARRAYS]


def _check_kind(kind: str) -> None:
    if kind not in GATES:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}.")


def _check_weights(w: RecurrentWeights) -> None:
    """Raise ValueError with what was given, what was expected and what to do."""
    if w.activation not in ("tanh", "relu"):
        raise ValueError(f'activation must be "tanh" or "relu"; got {w.activation!r}.')
    if w.activation == "relu" and w.kind != "RNN":
        raise ValueError(f'Only the plain RNN can have activation "relu"; this is the {w.kind}.')
    for name in ("W_ih", "W_hh"):
        W = getattr(w, name)
        if W.ndim != 2 or 0 in W.shape:
            raise ValueError(f"{name} must be a matrix of rows and columns; it is {W.shape}.")
    G, N, D = n_matrices(w.kind), w.n_state, w.d_model
    if len(w.W_hh) != G * N:
        hint = " It looks transposed: transpose it?" if G * len(w.W_hh) == N and G > 1 else ""
        raise ValueError(
            f"W_hh is {w.W_hh.shape}; the {w.kind} stacks {G} square matrices, so with N = {N} "
            f"columns it must be ({G * N}, {N}).{hint}"
        )
    for name, shape in (("W_ih", (G * N, D)), ("b_ih", (G * N,)), ("b_hh", (G * N,))):
        array = getattr(w, name)
        if array.shape != shape:
            hint = " It looks transposed: transpose it?" if array.shape[1:] == (G * N,) else ""
            expected = f"({G * N}, D)" if name == "W_ih" else f"({G * N},)"
            raise ValueError(
                f"{name} is {array.shape}; the {w.kind} with N = {N} needs {expected}.{hint}"
            )
    for name in _ARRAYS:
        if not np.isfinite(getattr(w, name)).all():
            raise ValueError(f"{name} has a number that is not finite; every number must be.")
