"""Scaled dot-product attention: scores → scaled → weights → output, with every step kept.

softmax(QKᵀ/√d_k)·V, Vaswani et al. 2017, eq. 1. Queries run down the rows, keys along the columns.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from attention.functions import as_floats, read_only, softmax
from attention.masks import band, check_window

# `memory_efficient_attention` holds the scores of so many queries and keys of one head at a time
# (or as many of several heads): 512 KiB in float32, which stay in the processor's cache.
BLOCK_QUERIES = 256
BLOCK_KEYS = 512


@dataclass(frozen=True, eq=False)
class AttentionTrace:
    """Every stage of one attention, in the order it happens; the arrays are read-only views.

    Q (..., H, T, d_k), K (..., H_kv, S, d_k), V (..., H_kv, S, d_v): as given.
    scores (..., H, T, S): QKᵀ.
    scaled (..., H, T, S): scores·scale, after softcap and float bias, before masking.
    mask (T, S) or (..., T, S): True = may attend; None where nothing is masked.
    weights (..., H, T, S): softmax of `scaled` where the mask allows; rows sum to 1, or to 0 where
        there is nothing to attend to.
    heads (..., H, T, d_v): weights·V.
    output: the heads merged and passed through W_o where there is one, else equal to `heads`.
    """

    Q: np.ndarray
    K: np.ndarray
    V: np.ndarray
    scores: np.ndarray
    scaled: np.ndarray
    mask: np.ndarray | None
    weights: np.ndarray
    heads: np.ndarray
    output: np.ndarray

    def __post_init__(self) -> None:
        stages = vars(self)
        for name, array in stages.items():
            if array is not None:
                stages[name] = read_only(array)


def scaled_dot_product_attention(
    Q, K, V, *, mask=None, is_causal=False, scale=None, softcap=None, window=None
) -> AttentionTrace:
    """Let each query look at the keys, and take the mean of their values weighted by what it sees.

    Q (..., H, T, d_k), K (..., H_kv, S, d_k), V (..., H_kv, S, d_v), or without heads Q (T, d_k),
    K (S, d_k), V (S, d_v). H is a multiple of H_kv: H/H_kv consecutive query heads share each head
    of keys and values (grouped-query attention, Ainslie et al. 2023).

    mask: bool, True = may attend, or a float bias added to the scaled scores, in which -inf masks;
        broadcastable to (..., H, T, S).
    is_causal: query i attends to no key after it, j <= i, counted from the start.
    scale: factor on the scores; 1/√d_k unless given.
    softcap: c > 0 turns a scaled score s into c·tanh(s/c), before bias and mask.
    window: (left, right): keys at most so many positions before and after; -1 leaves a side open.

    A query that may attend to nothing gets zero weights and a zero output. float32 and float64 are
    kept; a score beyond the range of its type is held at the largest number there is. Raises
    ValueError where a shape does not fit or a number is not finite, TypeError for wrong types.
    """
    Q, K, V, rules = _check(Q, K, V, mask, is_causal, scale, softcap, window)
    allowed, bias = _allowed_and_bias(rules, slice(0, Q.shape[-2]), slice(0, K.shape[-2]))
    with np.errstate(all="ignore"):
        scores = _per_head(rules.product, Q, K.swapaxes(-1, -2))  # (..., H, T, S)
        scaled = _scaled(scores, rules, bias)
        weights = softmax(scaled, where=allowed)
        heads = _per_head(rules.product, weights, V)  # (..., H, T, d_v)
    return AttentionTrace(Q, K, V, scores, scaled, allowed, weights, heads, output=heads)


def memory_efficient_attention(
    Q, K, V, *, mask=None, is_causal=False, scale=None, softcap=None, window=None
) -> np.ndarray:
    """Return the output of `scaled_dot_product_attention` without ever holding all T×S scores.

    Takes the same arguments, returns (..., H, T, d_v). Each block of queries meets the keys block
    by block; blocks that lie outside the window, or ahead where attention is causal, are skipped.
    Rabe and Staats 2021.
    """
    Q, K, V, rules = _check(Q, K, V, mask, is_causal, scale, softcap, window)
    T, S = Q.shape[-2], K.shape[-2]
    # Sums of up to S values come before the division; where they might overflow, V is made smaller.
    bits = S.bit_length() if rules.product is _held_product else 0
    V = np.ldexp(V, -bits) if bits else V
    output = np.empty((*_leading_axes(Q, K), T, V.shape[-1]), Q.dtype)
    with np.errstate(all="ignore"):
        for index, q, k, v, mask in _portions(Q, K, V, rules.mask):
            own_rules = rules._replace(mask=mask)
            for queries in _blocks(0, T, BLOCK_QUERIES):
                keys = _keys_in_sight(queries, S, rules)
                mixed = _attend_in_blocks(q[..., queries, :], k, v, queries, keys, own_rules)
                output[index][..., queries, :] = mixed
        return _held(np.ldexp(output, bits)) if bits else output


def _attend_in_blocks(
    Q: np.ndarray, K: np.ndarray, V: np.ndarray, queries: slice, keys: slice, rules: "_Rules"
) -> np.ndarray:
    """Attend from one block of queries (t, d_k), with a running maximum and a running sum.

    When a larger score turns up, what was summed before shrinks by e^(old maximum - new maximum).
    Returns (t, d_v). Milakov and Gimelshein 2018, algorithm 3.
    """
    peak, total, mixed = np.finfo(Q.dtype).min, 0, 0
    for block in _blocks(keys.start, keys.stop, BLOCK_KEYS):
        allowed, bias = _allowed_and_bias(rules, queries, block)
        scores = _per_head(rules.product, Q, K[..., block, :].swapaxes(-1, -2))  # (t, s)
        scaled = _scaled(scores, rules, bias, out=scores)
        masked = scaled if allowed is None else np.where(allowed, scaled, -np.inf)
        new_peak = np.maximum(peak, masked.max(axis=-1, keepdims=True))  # (t, 1)
        fade = np.exp(peak - new_peak)
        terms = np.exp(np.subtract(masked, new_peak, out=masked), out=masked)
        total = total * fade + terms.sum(axis=-1, keepdims=True)  # (t, 1)
        mixed = mixed * fade + _per_head(rules.product, terms, V[..., block, :])  # (t, d_v)
        peak = new_peak
    return mixed / np.maximum(total, 1)  # below 1 only if there is nothing, as in `softmax`


class _Rules(NamedTuple):
    """How scores become weights, once checked."""

    mask: np.ndarray | None  # (..., T, S), bool or float
    left: int  # keys before the query; -1: all
    right: int  # keys after it; -1: all
    scale: float
    softcap: float | None
    product: Callable  # np.matmul, or `_held_product` where a number might leave its range


# ---- the steps


def _per_head(product: Callable, A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Multiply A (..., H, T, a) with B (..., H_kv, a, b): H/H_kv heads of A share one of B."""
    H, H_kv = _count_heads(A), _count_heads(B)
    if H_kv in (1, H):
        return product(A, B)
    A = A.reshape(*A.shape[:-3], H_kv, H // H_kv, *A.shape[-2:])
    C = product(A, B[..., None, :, :])  # (..., H_kv, H/H_kv, T, b)
    return C.reshape(*C.shape[:-4], H, *C.shape[-2:])


def _scaled(
    scores: np.ndarray,
    rules: _Rules,
    bias: np.ndarray | None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Scale the scores, cap them and add the bias; `out` as in NumPy."""
    scaled = np.multiply(scores, rules.scale, out=out)
    if rules.softcap is not None:
        scaled = rules.softcap * np.tanh(scaled / rules.softcap)
    if bias is not None:
        scaled += bias
    return _held(scaled) if bias is not None or abs(rules.scale) > 1 else scaled


def _allowed_and_bias(
    rules: _Rules, queries: slice, keys: slice
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return which of these keys the queries may attend to, and the bias; None stands for none.

    What is -inf in a float mask is not added but forbidden.
    """
    allowed = bias = None
    if rules.mask is not None:
        part = rules.mask[..., queries, keys]
        if part.dtype == bool:
            allowed = part
        else:
            closed = np.isneginf(part)
            allowed, bias = (~closed, np.where(closed, 0, part)) if closed.any() else (None, part)
    if rules.left >= 0 or rules.right >= 0:
        i, j = np.arange(queries.start, queries.stop), np.arange(keys.start, keys.stop)
        near = band(i, j, rules.left, rules.right)
        allowed = near if allowed is None else allowed & near
    return allowed, bias


def _held_product(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Return A @ B, with what leaves the range of the type held at its largest number.

    Rows of A and columns of B are first brought to a size of about 1 by powers of two.
    """
    _, a = np.frexp(np.abs(A).max(axis=-1, keepdims=True, initial=0))
    _, b = np.frexp(np.abs(B).max(axis=-2, keepdims=True, initial=0))
    return _held(np.ldexp(np.ldexp(A, -a) @ np.ldexp(B, -b), a + b))


def _held(x: np.ndarray) -> np.ndarray:
    top = np.finfo(x.dtype).max
    return np.clip(x, -top, top, out=x)


# ---- heads and blocks


def _count_heads(array: np.ndarray) -> int:
    return array.shape[-3] if array.ndim > 2 else 1


def _leading_axes(Q: np.ndarray, K: np.ndarray) -> tuple[int, ...]:
    """Return the axes of the scores before T and S: (..., H), or () without heads."""
    if Q.ndim == K.ndim == 2:
        return ()
    return (*np.broadcast_shapes(Q.shape[:-3], K.shape[:-3]), _count_heads(Q))


def _portions(Q, K, V, mask) -> Iterator[tuple]:
    """Yield (index, Q, K, V, mask) for all heads at once or, where that is much, for parts of them.

    A part is what one index, or several, into the leading axes select: at the least, one head.
    """
    lead, T, S = _leading_axes(Q, K), Q.shape[-2], K.shape[-2]
    depth = 0
    while depth < len(lead) and math.prod(lead[depth:]) * T * S > BLOCK_QUERIES * BLOCK_KEYS:
        depth += 1
    if depth == 0:
        yield ..., Q, K, V, mask
        return
    H, H_kv = _count_heads(Q), _count_heads(K)
    Q = np.broadcast_to(Q, (*lead, *Q.shape[-2:]))
    K, V = (np.broadcast_to(x, (*lead[:-1], H_kv, *x.shape[-2:])) for x in (K, V))
    mask = None if mask is None else np.broadcast_to(mask, (*lead, T, S))
    for index in np.ndindex(lead[:depth]):
        kv = index if depth < len(lead) else (*index[:-1], index[-1] * H_kv // H)
        yield index, Q[index], K[kv], V[kv], None if mask is None else mask[index]


def _blocks(start: int, stop: int, size: int) -> Iterator[slice]:
    return (slice(i, min(i + size, stop)) for i in range(start, stop, size))


def _keys_in_sight(queries: slice, S: int, rules: _Rules) -> slice:
    """Return the keys that lie within the window of any of these queries."""
    first = max(0, queries.start - rules.left) if rules.left >= 0 else 0
    last = min(S, queries.stop + rules.right) if rules.right >= 0 else S
    return slice(first, last)


# ---- checks


def _check(Q, K, V, mask, is_causal, scale, softcap, window):
    """Return Q, K and V in one type of floats, and the `_Rules`; raise where something is wrong."""
    Q, K, V = as_floats(Q, K, V)
    _check_shapes(Q, K, V)
    left, right = (-1, -1) if window is None else check_window(window)
    if is_causal:
        right = 0
    scale = 1 / math.sqrt(Q.shape[-1]) if scale is None else _check_scale(scale, Q.dtype)
    softcap = None if softcap is None else _check_softcap(softcap, Q.dtype)
    if mask is not None:
        mask = _check_mask(np.asarray(mask), (*_leading_axes(Q, K), Q.shape[-2], K.shape[-2]))
    return Q, K, V, _Rules(mask, left, right, scale, softcap, _product_for(Q, K, V))


def _check_shapes(Q: np.ndarray, K: np.ndarray, V: np.ndarray) -> None:
    for name, array in (("Q", Q), ("K", K), ("V", V)):
        if array.ndim < 2 or not array.shape[-1]:
            raise ValueError(
                f"{name} is {array.shape}; it must be (T, d) or (..., H, T, d), with one row a "
                f"token and at least one column."
            )
    if Q.shape[-1] != K.shape[-1]:
        raise ValueError(
            f"Q is {Q.shape} and K {K.shape}: queries and keys must be equally wide (d_k), so K "
            f"must end in {Q.shape[-1]}.{_transposed(K.shape[-2] == Q.shape[-1])}"
        )
    if K.shape[:-1] != V.shape[:-1]:
        swapped = (*V.shape[:-2], V.shape[-1]) == K.shape[:-1]
        raise ValueError(
            f"K is {K.shape} and V {V.shape}: every key needs one value, so V must be "
            f"({', '.join(map(str, K.shape[:-1]))}, d_v).{_transposed(swapped)}"
        )
    H, H_kv = _count_heads(Q), _count_heads(K)
    if not H_kv or H % H_kv:
        raise ValueError(
            f"Q is {Q.shape}, {H} head(s), and K {K.shape}, {H_kv} head(s): the heads of Q must be "
            f"a multiple of those of K and V, so that each of these serves equally many."
        )
    try:
        _leading_axes(Q, K)
    except ValueError:
        raise ValueError(
            f"Q is {Q.shape} and K {K.shape}: the axes before the heads must be the same, or 1."
        ) from None


def _check_mask(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the mask as (..., T, S), a view."""
    if mask.dtype.kind not in "bf":
        raise TypeError(
            f"mask is {mask.dtype}; it must be bool (True = may attend) or a float bias. If its "
            f"numbers mean yes and no, give mask.astype(bool)."
        )
    while mask.ndim > len(shape) and mask.shape[0] == 1:
        mask = mask[0]
    try:
        np.broadcast_to(mask, shape)
    except ValueError:
        raise ValueError(
            f"mask is {mask.shape}; it must be broadcastable to the scores, {shape}."
        ) from None
    if mask.dtype.kind == "f" and not mask.max(initial=-np.inf) < np.inf:  # NaN is not below it
        raise ValueError("mask has NaN or +inf in it; a bias must be finite, or -inf to mask.")
    return np.broadcast_to(mask, (*mask.shape[:-2], *shape[-2:]))


def _check_scale(scale, dtype: np.dtype) -> float:
    if not math.isfinite(scale):
        raise ValueError(f"scale must be a finite number; got {scale}.")
    top = float(np.finfo(dtype).max)
    return min(max(float(scale), -top), top)


def _check_softcap(softcap, dtype: np.dtype) -> float | None:
    least, top = float(np.finfo(dtype).smallest_normal), float(np.finfo(dtype).max)
    if not least <= softcap < math.inf:  # NaN is neither
        raise ValueError(
            f"softcap must be a finite number of at least {least:.1g}, or None for no cap; "
            f"got {softcap}."
        )
    return None if softcap > top else float(softcap)  # a cap that no score can reach is none


def _product_for(Q: np.ndarray, K: np.ndarray, V: np.ndarray) -> Callable:
    """Return np.matmul, or `_held_product` where numbers are so large that it might overflow.

    (q·k)² <= (q·q)(k·k), so no score is too large while the sums of all squares are not; these are
    much quicker to get than the largest score.
    """
    squares = sum(float(np.vdot(array, array)) for array in (Q, K, V))
    if math.isfinite(squares):
        return np.matmul
    for name, array in (("Q", Q), ("K", K), ("V", V)):
        finite = np.isfinite(array)
        if not finite.all():
            cell = tuple(int(index) for index in np.argwhere(~finite)[0])
            raise ValueError(
                f"{name} has {array[cell]} at {list(cell)}; every number must be finite."
            )
    return _held_product


def _transposed(it_is: bool) -> str:
    return " It looks transposed: transpose it?" if it_is else ""
