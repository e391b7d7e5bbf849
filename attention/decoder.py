"""The decoder-only transformer: a GPT's forward pass, every layer and head kept.

token ids → embeddings (+ positions) → layers of causal attention and feed-forward → logits.

Two families share this module. GPT-2 (Radford et al. 2019) adds learned positions to the
embeddings, normalises by layer norm and has biases and a GELU. Llama (Touvron et al. 2023) turns
queries and keys by rotary positions, normalises by root mean square, has no biases, lets several
query heads share one head of keys and values, and gates its feed-forward (SwiGLU). A part that a
model does not have is None.
"""

from dataclasses import dataclass, replace
from threading import Lock

import numpy as np

from attention.dot_product import AttentionTrace, scaled_dot_product_attention
from attention.functions import gelu, layer_norm, read_only
from attention.masks import band
from attention.multi_head import affine, merge_heads, split_heads
from attention.positions import rotary
from attention.projections import Projections

SPARE_ROWS = 64  # of a cache that has outgrown its arrays, at least


# ---- the model


@dataclass(frozen=True, eq=False)
class Norm:
    """gain (D,), and bias (D,) for layer norm or None for root mean square."""

    gain: np.ndarray
    bias: np.ndarray | None
    eps: float


@dataclass(frozen=True, eq=False)
class FeedForward:
    """W_in (D, F), W_out (F, D), their biases or None, and for SwiGLU W_gate (D, F).

    `activation` names the function in between: "gelu_tanh", "gelu" or "silu".
    """

    W_in: np.ndarray
    W_out: np.ndarray
    b_in: np.ndarray | None = None
    b_out: np.ndarray | None = None
    W_gate: np.ndarray | None = None
    activation: str = "gelu_tanh"


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer: normalise, attend, add; normalise, feed forward, add."""

    norm_1: Norm
    projections: Projections
    norm_2: Norm
    feed_forward: FeedForward


@dataclass(frozen=True, eq=False)
class GPT:
    """A whole model, read-only, so that one copy serves everybody.

    embeddings (V, D), one row for each id; positions (max_tokens, D) added to them, or None where
    queries and keys are turned with `rotary_base`; unembedding (V, D), often the embeddings again.
    `trained_on` says on what text, where that is known.
    """

    name: str
    trained_on: str | None
    tokenizer: object  # see `attention.gpt_tokens`
    embeddings: np.ndarray
    positions: np.ndarray | None
    rotary_base: float | None
    layers: tuple[Layer, ...]
    norm: Norm
    unembedding: np.ndarray
    max_tokens: int

    @property
    def n_heads(self) -> int:
        """H, the number of query heads in each layer."""
        return self.layers[0].projections.n_heads

    @property
    def n_kv_heads(self) -> int:
        """H_kv, the number of heads of keys and values in each layer."""
        return self.layers[0].projections.n_kv_heads


# ---- what a forward pass leaves behind


@dataclass(frozen=True)
class GptTokens:
    """The ids of tokens in the vocabulary, and each token's text as it is shown."""

    ids: tuple[int, ...]
    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """Everything one layer computes, in the order it happens; arrays are read-only.

    normed (T, D): what attention reads.  attention: its trace; weights (H, T, S), and Q and K
    (with rotary positions, after the turn) as they were scored.  middle (T, D): the layer's input
    plus attention's output.  normed_middle (T, D): what the feed-forward reads.  inner (T, F): its
    activations.  hidden (T, D): `middle` plus its output, which the next layer reads.
    """

    normed: np.ndarray
    attention: AttentionTrace
    middle: np.ndarray
    normed_middle: np.ndarray
    inner: np.ndarray
    hidden: np.ndarray

    def __post_init__(self) -> None:
        _protect(self)


@dataclass(frozen=True, eq=False)
class GptTrace:
    """Everything computed for T tokens; arrays are read-only.

    tokens: the T tokens, which are the queries.  context: the S tokens that are keys, those of the
    cache first; the last T of them are `tokens`.  embeddings (T, D), positions included.
    layers: one trace a layer.  hidden (T, D), normalised at the end.  logits (T, V): row i scores
    every word to come after token i.  cache: for going on from here.
    """

    tokens: GptTokens
    context: GptTokens
    embeddings: np.ndarray
    layers: tuple[LayerTrace, ...]
    hidden: np.ndarray
    logits: np.ndarray
    cache: "KeyValueCache"

    def __post_init__(self) -> None:
        _protect(self)


def _protect(trace) -> None:
    for name, value in vars(trace).items():
        if isinstance(value, np.ndarray):
            object.__setattr__(trace, name, read_only(value))


# ---- the forward pass


def forward(ids, model: GPT, cache: "KeyValueCache | None" = None) -> GptTrace:
    """Run token ids (T,) through the model, after the tokens in the cache if one is given.

    With the cache of an earlier trace only the new tokens are computed, and the numbers are those
    of a pass over all of them. A cache can be continued in several ways. Raises ValueError for no
    ids, ids outside the vocabulary, more tokens than the model has positions for, and weights so
    large that numbers leave their range.
    """
    before = cache.tokens if cache is not None else GptTokens((), ())
    tokens = _check_ids(ids, model, len(before))
    positions = np.arange(len(before), len(before) + len(tokens))
    mask = band(positions, np.arange(len(before) + len(tokens)), left=-1, right=0)  # (T, S)

    x = embeddings = embed(tokens.ids, positions, model)  # (T, D)
    layers, stores = [], []
    with np.errstate(all="ignore"):  # numbers that leave their range are refused below
        for i, layer in enumerate(model.layers):
            store = cache.stores[i] if cache is not None else _Store()
            trace, store = _layer(x, layer, positions, mask, store, model.rotary_base)
            layers.append(trace)
            stores.append(store)
            x = trace.hidden
        hidden = normalise(x, model.norm)
        logits = hidden @ model.unembedding.T  # (T, V)
    if not np.isfinite(logits).all():
        raise ValueError(f"The numbers of {model.name} leave the range of {logits.dtype}.")

    context = GptTokens(before.ids + tokens.ids, before.texts + tokens.texts)
    new_cache = KeyValueCache(context, tuple(stores))
    return GptTrace(tokens, context, embeddings, tuple(layers), hidden, logits, new_cache)


def embed(ids: tuple[int, ...], positions: np.ndarray, model: GPT) -> np.ndarray:
    """Look up the ids' embeddings, and add the learned positions where the model has some."""
    vectors = model.embeddings[list(ids)]
    return vectors if model.positions is None else vectors + model.positions[positions]


def _layer(
    x: np.ndarray,
    layer: Layer,
    positions: np.ndarray,
    mask: np.ndarray,
    store: "_Store",
    rotary_base: float | None,
) -> tuple[LayerTrace, "_Store"]:
    normed = normalise(x, layer.norm_1)
    attention, store = _attend(normed, layer.projections, positions, mask, store, rotary_base)
    middle = x + attention.output
    normed_middle = normalise(middle, layer.norm_2)
    inner = activate(normed_middle, layer.feed_forward)  # (T, F)
    hidden = middle + affine(inner, layer.feed_forward.W_out, layer.feed_forward.b_out)  # (T, D)
    return LayerTrace(normed, attention, middle, normed_middle, inner, hidden), store


def _attend(
    x: np.ndarray,
    p: Projections,
    positions: np.ndarray,
    mask: np.ndarray,
    store: "_Store",
    rotary_base: float | None,
) -> tuple[AttentionTrace, "_Store"]:
    """Attend from the new tokens x (T, D) to those in the store and to themselves."""
    Q = split_heads(affine(x, p.W_q, p.b_q), p.n_heads)  # (H, T, d_k)
    K = split_heads(affine(x, p.W_k, p.b_k), p.n_kv_heads)  # (H_kv, T, d_k)
    V = split_heads(affine(x, p.W_v, p.b_v), p.n_kv_heads)  # (H_kv, T, d_v)
    if rotary_base is not None:
        Q, K = (rotary(a, positions, base=rotary_base, interleaved=True) for a in (Q, K))
    store = store.appended(K, V, at=positions[0])
    K, V = store.rows(positions[-1] + 1)  # (H_kv, S, d)
    trace = scaled_dot_product_attention(Q, K, V, mask=mask)
    return replace(trace, output=affine(merge_heads(trace.heads), p.W_o, p.b_o)), store


def normalise(x: np.ndarray, norm: Norm) -> np.ndarray:
    """Apply layer norm, or without a bias root mean square: x/√(mean x² + eps) · gain.

    Zhang and Sennrich 2019, eq. 4.
    """
    if norm.bias is not None:
        return layer_norm(x, norm.gain, norm.bias, norm.eps)
    mean_square = np.square(x).mean(axis=-1, keepdims=True)
    return x / np.sqrt(mean_square + x.dtype.type(norm.eps)) * norm.gain


def activate(x: np.ndarray, f: FeedForward) -> np.ndarray:
    """Return the inner activations (T, F): f(x·W_in), or with a gate f(x·W_gate) · x·W_in.

    Shazeer 2020, eq. 5.
    """
    inner = affine(x, f.W_in, f.b_in)
    if f.W_gate is None:
        return ACTIVATIONS[f.activation](inner)
    return ACTIVATIONS[f.activation](affine(x, f.W_gate, None)) * inner


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    """Return GPT-2's GELU: ½x(1 + tanh(√(2/π)(x + 0.044715x³))), within 0.0005 of the exact one.

    Hendrycks and Gimpel 2016, section 2.
    """
    inner = x.dtype.type(np.sqrt(2 / np.pi)) * (x + x.dtype.type(0.044715) * x * x * x)
    return x * (x.dtype.type(0.5) * (1 + np.tanh(inner)))


def silu(x: np.ndarray) -> np.ndarray:
    """Return x/(1 + e^-x), also called swish. Elfwing, Uchibe and Doya 2018."""
    with np.errstate(over="ignore"):  # e^-x = ∞ gives 0, as it should
        return x / (1 + np.exp(-x))


ACTIVATIONS = {"gelu_tanh": gelu_tanh, "gelu": gelu, "silu": silu}


def _check_ids(ids, model: GPT, n_before: int) -> GptTokens:
    ids = np.asarray(ids)
    if ids.ndim != 1 or not ids.size:
        raise ValueError(f"ids must be a row of at least one token id; got the shape {ids.shape}.")
    if ids.dtype.kind not in "iu":
        raise TypeError(f"ids must be whole numbers; got {ids.dtype}.")
    V = len(model.embeddings)
    if ids.min() < 0 or ids.max() >= V:
        wrong = ids.min() if ids.min() < 0 else ids.max()
        raise ValueError(f"There is no token {wrong}; the vocabulary has the ids 0 to {V - 1}.")
    if n_before + len(ids) > model.max_tokens:
        raise ValueError(
            f"This text has {n_before + len(ids):,} tokens; {model.name} takes at most "
            f"{model.max_tokens:,}. Shorten it."
        )
    plain = tuple(int(i) for i in ids)
    return GptTokens(plain, model.tokenizer.texts(plain))


# ---- the cache


@dataclass(frozen=True, eq=False)
class KeyValueCache:
    """The keys and values that every layer computed for `tokens`, to attend to again.

    They are the K and V of the trace that the cache came with: a causal model never changes them.
    """

    tokens: GptTokens
    stores: tuple["_Store", ...]

    def __len__(self) -> int:
        return len(self.tokens)


class _Store:
    """Keys and values of one layer, in arrays with room to spare.

    Adding a token writes one row and copies none, and earlier traces go on seeing their own rows.
    Rows once claimed are never written again: whoever goes on from an earlier state, in this
    thread or another, gets arrays of their own.
    """

    def __init__(self) -> None:
        self._K = self._V = np.empty((0, 0, 0))
        self._used = 0
        self._lock = Lock()

    def rows(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the first n keys and values, (H_kv, n, d) each."""
        return self._K[:, :n], self._V[:, :n]

    def appended(self, K: np.ndarray, V: np.ndarray, at: int) -> "_Store":
        """Return a store with the rows (H_kv, T, d) behind the first `at`: itself if it can."""
        end = at + K.shape[-2]
        if at == 0:
            return _Store._of(K, V, end)
        with self._lock:
            claimed = self._used == at and end <= self._K.shape[-2]
            if claimed:
                self._used = end
        store = self if claimed else self._copy(at, end)
        store._K[:, at:end], store._V[:, at:end] = K, V
        return store

    def _copy(self, n: int, end: int) -> "_Store":
        arrays = []
        for rows in self.rows(n):
            H, _, d = rows.shape
            larger = np.empty((H, max(2 * n, end) + SPARE_ROWS, d), rows.dtype)
            larger[:, :n] = rows
            arrays.append(larger)
        return _Store._of(*arrays, end)

    @classmethod
    def _of(cls, K: np.ndarray, V: np.ndarray, used: int) -> "_Store":
        store = cls()
        store._K, store._V, store._used = K, V, used
        return store
