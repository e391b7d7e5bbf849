"""Multi-head attention: split into heads, attend in each, merge, and pass through W_o.

Vaswani et al. 2017, section 3.2.2.
"""

from dataclasses import replace

import numpy as np

from attention.dot_product import AttentionTrace, scaled_dot_product_attention
from attention.functions import as_floats
from attention.projections import Projections


def multi_head_attention(
    X, projections: Projections, *, mask=None, is_causal=False, scale=None
) -> AttentionTrace:
    """Let the tokens X (..., T, D) attend to each other through every head.

    The trace has a head axis throughout, also with one head: Q (..., H, T, d_k), K (..., H_kv, T,
    d_k), V (..., H_kv, T, d_v), weights (..., H, T, T). Its `output` is (..., T, D) where there is
    a W_o, else the heads (..., H, T, d_v) themselves. mask, is_causal and scale are those of
    `scaled_dot_product_attention`. Raises ValueError where X is not as wide as the matrices have
    rows.
    """
    p = projections
    X, W_q, W_k, W_v = as_floats(X, p.W_q, p.W_k, p.W_v)
    _check_width(X, p)
    Q = split_heads(affine(X, W_q, p.b_q), p.n_heads)  # (..., H, T, d_k)
    K = split_heads(affine(X, W_k, p.b_k), p.n_kv_heads)  # (..., H_kv, T, d_k)
    V = split_heads(affine(X, W_v, p.b_v), p.n_kv_heads)  # (..., H_kv, T, d_v)
    trace = scaled_dot_product_attention(Q, K, V, mask=mask, is_causal=is_causal, scale=scale)
    if p.W_o is None:
        return trace
    return replace(trace, output=affine(merge_heads(trace.heads), p.W_o, p.b_o))  # (..., T, D)


def affine(x: np.ndarray, W: np.ndarray, b: np.ndarray | None) -> np.ndarray:
    """Return x @ W + b for rows x (..., d_in), in the type of x; b may be None."""
    with np.errstate(all="ignore"):  # attention names a cell that left its range
        y = x @ W.astype(x.dtype, copy=False)
        if b is not None:
            y += b
    return y


def split_heads(x: np.ndarray, n_heads: int) -> np.ndarray:
    """Give each head its columns: (..., T, H·d) → (..., H, T, d), a view."""
    *leading, T, width = x.shape
    return x.reshape(*leading, T, n_heads, width // n_heads).swapaxes(-2, -3)


def merge_heads(heads: np.ndarray) -> np.ndarray:
    """Put the heads' columns side by side again: (..., H, T, d) → (..., T, H·d)."""
    *leading, H, T, d = heads.shape
    return heads.swapaxes(-2, -3).reshape(*leading, T, H * d)


def _check_width(X: np.ndarray, p: Projections) -> None:
    if X.ndim < 2:
        raise ValueError(f"X is {X.shape}; it must be (T, D) or (..., T, D), one row a token.")
    if X.shape[-1] != p.d_model:
        swapped = p.W_q.shape[1] == X.shape[-1]
        raise ValueError(
            f"W_q is {p.W_q.shape}; X is {X.shape}, {X.shape[-1]} wide, so W_q must be "
            f"({X.shape[-1]}, H·d_k).{' It looks transposed: transpose it?' if swapped else ''}"
        )
