"""BERT's forward pass (Devlin et al. 2019): every attention weight at once, every layer on demand.

embeddings → layers of attention and feed-forward, each added to its input and normalised → hidden.

`run` is written for speed: within it a row of numbers belongs to a coordinate and a column to a
token, because BLAS multiplies W (outputs, inputs), as it is stored, with few columns faster than
few rows with its transpose (1.5 times, at 16 tokens). It keeps each layer's input and weights. The
other steps come from `attention.block`, computed again for the layer that somebody looks into: two
milliseconds at 16 tokens, where keeping them all would take 36 MB at 128.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from threading import Lock

import numpy as np
from threadpoolctl import ThreadpoolController

from attention.block import BlockTrace, BlockWeights, block
from attention.functions import layer_norm, read_only

BLOCK_SCORES = 65_536  # numbers that attention works on at a time: 256 kB stay in the cache
BLOCK_INNER = 32_768  # the same for the feed-forward, which needs four such arrays


# ---- the model


@dataclass(frozen=True, eq=False)
class BertEmbeddings:
    """words (V, D), positions (max_tokens, D), segment (D,), then the norm's gain and bias (D,).

    `words` is mapped from the file, float32 or float16: only the rows a sentence needs are read.
    """

    words: np.ndarray
    positions: np.ndarray
    segment: np.ndarray
    gain: np.ndarray
    bias: np.ndarray
    eps: float


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer's weights: `weights` as the mathematics writes them, the rest as `run` needs them.

    W_qkv (3D, D), W_o (D, D), W_in (F, D) and W_out (D, F) are the same memory, the other way
    round; their biases and the norms' gains and biases are columns.
    """

    weights: BlockWeights
    W_qkv: np.ndarray
    b_qkv: np.ndarray

    @cached_property
    def columns(self) -> dict[str, np.ndarray]:
        """The vectors of `weights` as columns, by name."""
        names = ("b_in", "b_out", "gain_1", "bias_1", "gain_2", "bias_2")
        vectors = {name: getattr(self.weights, name) for name in names}
        vectors |= {"b_qkv": self.b_qkv, "b_o": self.weights.attention.b_o}
        return {name: vector[:, None] for name, vector in vectors.items()}


@dataclass(frozen=True, eq=False)
class Bert:
    """A whole model, read-only, so that one copy serves everybody.

    description: one sentence on what was loaded and from where.  source: "bundled", "package",
    "hub" or "folder".  precision: "float16" or "float32", of the file; layers are held in float32.
    """

    description: str
    source: str
    precision: str
    tokenizer: object
    embeddings: BertEmbeddings
    layers: tuple[Layer, ...]

    @property
    def n_heads(self) -> int:
        """H, the number of heads in each layer."""
        return self.layers[0].weights.attention.n_heads

    @property
    def d_model(self) -> int:
        """D, the width of embeddings and hidden states."""
        return self.embeddings.words.shape[1]

    @property
    def max_tokens(self) -> int:
        """The number of positions, and so of word pieces with [CLS] and [SEP], that it can read."""
        return len(self.embeddings.positions)


# ---- the forward pass


@dataclass(frozen=True, eq=False)
class EmbeddingTrace:
    """What each token starts from, (T, D) each: word + position + segment = summed → normed."""

    word: np.ndarray
    position: np.ndarray
    segment: np.ndarray
    summed: np.ndarray
    normed: np.ndarray

    def __post_init__(self) -> None:
        for name, array in vars(self).items():
            object.__setattr__(self, name, read_only(array))


def embed(ids: Sequence[int], model: Bert) -> EmbeddingTrace:
    """Look up T word pieces and add what the model knows of their places. Devlin et al., fig. 2.

    All tokens are in the first segment; the second is for tasks with two sentences. Raises
    ValueError for an id outside the vocabulary and for a row that is not finite.
    """
    e = model.embeddings
    if not 0 <= min(ids) <= max(ids) < len(e.words):
        raise ValueError(f"There are token ids beyond the {len(e.words):,} that the model knows.")
    word = e.words[list(ids)].astype(np.float32)  # (T, D)
    if not np.isfinite(word).all():
        raise ValueError("The embeddings of this model have numbers that are not finite.")
    position = e.positions[: len(word)]
    segment = np.broadcast_to(e.segment, word.shape)
    summed = word + position + segment
    normed = layer_norm(summed, e.gain, e.bias, e.eps)
    return EmbeddingTrace(word, position, segment, summed, normed)


def run(X: np.ndarray, model: Bert, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Pass X (T, D) through all layers: what goes into each, and out of the last, and the weights.

    mask (T,) bool says which keys may be attended to; None, all. Returns inputs (L+1, T, D) and
    weights (L, H, T, T). Raises ValueError where numbers leave the range of float32.
    """
    T, D = X.shape
    L, H = len(model.layers), model.n_heads
    inputs = np.empty((L + 1, D, T), np.float32)
    weights = np.empty((L, H, T, T), np.float32)
    inputs[0] = X.T
    room = _Room.of(T, model)
    with one_blas_thread, np.errstate(all="ignore"):  # what leaves its range is refused below
        for layer, x, out, w in zip(model.layers, inputs[:-1], inputs[1:], weights, strict=True):
            _attend(x, layer, mask, room, w)
            _add_and_normalise(room.x, x, layer, "1", room.normed, room)
            _feed_forward(room.normed, layer, room)
            _add_and_normalise(room.x, room.normed, layer, "2", out, room)
    if not np.isfinite(inputs[-1]).all():
        raise ValueError("The numbers of this model leave the range of float32.")
    return read_only(inputs.swapaxes(-1, -2)), read_only(weights)


@dataclass(frozen=True, eq=False)
class _Room:
    """Arrays that all layers write to in turn: fresh memory costs more than the arithmetic."""

    qkv: np.ndarray  # (3D, T)
    scores: np.ndarray  # (some heads, T, T)
    heads: np.ndarray  # (D, T)
    x: np.ndarray  # (D, T), what a part of the layer returns
    square: np.ndarray  # (D, T)
    normed: np.ndarray  # (D, T)
    inner: np.ndarray  # (F, T)
    scratch: np.ndarray  # (2, rows of inner at a time, T)
    ones: np.ndarray  # (T, 1)
    mean: np.ndarray  # (1, D), 1/D each

    @classmethod
    def of(cls, T: int, model: Bert) -> "_Room":
        D, F = model.d_model, model.layers[0].weights.d_ff
        n_heads = min(model.n_heads, max(1, BLOCK_SCORES // T**2))
        rows = min(F, max(1, BLOCK_INNER // T))
        shapes = ((3 * D, T), (n_heads, T, T), *[(D, T)] * 4, (F, T), (2, rows, T))
        arrays = (np.empty(shape, np.float32) for shape in shapes)
        return cls(*arrays, np.ones((T, 1), np.float32), np.full((1, D), 1 / D, np.float32))


def _attend(
    x: np.ndarray, layer: Layer, mask: np.ndarray | None, room: _Room, weights: np.ndarray
) -> None:
    """Put the attention weights of x (D, T) into `weights` (H, T, T) and the output into room.x."""
    p = layer.weights.attention
    qkv = _affine(layer.W_qkv, x, layer.columns["b_qkv"], out=room.qkv)  # (3D, T)
    by_head = qkv.reshape(3, p.n_heads, p.d_k, -1)  # (3, H, d_k, T)
    Q, K, V = by_head[0].swapaxes(-1, -2), by_head[1], by_head[2].swapaxes(-1, -2)
    heads = room.heads.reshape(p.n_heads, p.d_v, -1).swapaxes(-1, -2)  # (H, T, d_v)
    scale = np.float32(1 / math.sqrt(p.d_k))
    for some in _blocks(p.n_heads, len(room.scores)):
        w = weights[some]
        scores = np.matmul(Q[some], K[some], out=room.scores[: len(w)])  # (some heads, T, T)
        scores *= scale
        if mask is not None:
            scores[..., ~mask] = -np.inf
        _softmax(scores, room.ones, out=w)
        np.matmul(w, V[some], out=heads[some])
    _affine(p.W_o.T, room.heads, layer.columns["b_o"], out=room.x)


def _affine(W: np.ndarray, x: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Put W·x + b into `out`, for x (d_in, T), W (d_out, d_in) and b (d_out, 1)."""
    np.matmul(W, x, out=out)
    out += b
    return out


def _softmax(scores: np.ndarray, ones: np.ndarray, out: np.ndarray) -> None:
    """`attention.functions.softmax` into memory that is there, half as long at 128 tokens."""
    lowest = np.finfo(scores.dtype).min  # the peak of a row that may look at nothing
    peak = np.maximum.reduce(scores, axis=-1, keepdims=True, initial=lowest)
    np.subtract(scores, peak, out=out)
    np.exp(out, out=out)
    total = out @ ones
    np.maximum(total, 1, out=total)  # below 1 only if there is nothing
    np.reciprocal(total, out=total)
    out *= total


def _feed_forward(x: np.ndarray, layer: Layer, room: _Room) -> None:
    """Put W_out·gelu(W_in·x + b_in) + b_out (D, T) into room.x, for x (D, T)."""
    W_in, b_in = layer.weights.W_in.T, layer.columns["b_in"]
    for rows in _blocks(len(room.inner), room.scratch.shape[1]):
        inner = _affine(W_in[rows], x, b_in[rows], out=room.inner[rows])
        _gelu(inner, room.scratch[:, : len(inner)])
    _affine(layer.weights.W_out.T, room.inner, layer.columns["b_out"], out=room.x)


def _gelu(x: np.ndarray, scratch: np.ndarray) -> None:
    """Turn x into x·Φ(x) in place, within 6e-7, five times as fast as `gelu`.

    The exact one, in the form that the tanh approximation has: Φ(x) = ½(1 + tanh(x·q(x²))), so
    q(x²) = artanh(2Φ(x) - 1)/x, here as the rational function a + b·s + c/(s + d + e/(s + f)) of
    s = x². Its numbers were fitted to the smallest largest error of x·Φ(x), 1.2e-7 before rounding.
    """
    s, y = scratch
    np.multiply(x, x, out=s)
    np.add(s, _F, out=y)
    np.divide(_E, y, out=y)
    y += s
    y += _D
    np.divide(_C, y, out=y)
    y += _A
    s *= _B
    y += s
    y *= x
    np.tanh(y, out=y)
    x *= _HALF
    y *= x
    x += y


_A, _B, _C = np.float32(1.24462257), np.float32(0.01725466), np.float32(-4.61414742)
_D, _E, _F = np.float32(-6.79554125), np.float32(524.478534), np.float32(30.6280178)
_HALF = np.float32(0.5)


def _add_and_normalise(
    x: np.ndarray, residual: np.ndarray, layer: Layer, which: str, out: np.ndarray, room: _Room
) -> None:
    """Put the layer norm of x + residual into `out`, all (D, T). Writes over x."""
    x += residual
    np.subtract(x, room.mean @ x, out=out)
    np.multiply(out, out, out=room.square)
    spread = room.mean @ room.square  # (1, T), the variance
    spread += np.float32(layer.weights.eps)
    np.sqrt(spread, out=spread)
    np.reciprocal(spread, out=spread)
    out *= spread
    out *= layer.columns[f"gain_{which}"]
    out += layer.columns[f"bias_{which}"]


def _blocks(length: int, size: int) -> Iterator[slice]:
    return (slice(i, min(i + size, length)) for i in range(0, length, size))


# ---- the layers, each on demand


class Layers(Sequence):
    """One `BlockTrace` a layer, computed when it is asked for; the last one asked for is kept."""

    def __init__(self, inputs: np.ndarray, model: Bert, mask: np.ndarray | None) -> None:
        self._n = len(model.layers)

        @lru_cache(maxsize=1)
        def trace(index: int) -> BlockTrace:
            with one_blas_thread:
                return block(inputs[index], model.layers[index].weights, mask=mask)

        self._trace = trace

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index):
        if isinstance(index, slice):
            return tuple(self[i] for i in range(self._n)[index])
        return self._trace(range(self._n)[index])


# ---- one thread


class _OneBlasThread:
    """While anybody is inside, BLAS has one thread in the whole process.

    A pass over a sentence is too short to share among threads: on a busy host with two cores their
    waiting for each other turned 17 ms into 280. The limit is that of the process, so the last one
    to leave lifts it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._limit = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._limit = _blas().limit(limits=1)
            self._inside += 1

    def __exit__(self, *_) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limit.restore_original_limits()


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


one_blas_thread = _OneBlasThread()
