"""Where a token stands: sinusoidal, rotary and ALiBi positions.

Attention alone does not see order. Sinusoidal positions are added to the embeddings, rotary
positions turn the queries and keys, and ALiBi adds to the scores a penalty that grows with
distance.
"""

import math

import numpy as np


def sinusoidal_positions(T: int, D: int, *, offset: int = 0) -> np.ndarray:
    """Return sinusoidal positions (T, D) in float32 for positions offset ... offset + T - 1.

    PE(p, 2i) = sin(p / 10000^(2i/D)) and PE(p, 2i+1) = cos(p / 10000^(2i/D)) (Vaswani et al. 2017,
    section 3.5). If D is odd, the last column is a sine without its cosine.
    """
    check_not_negative(T=T, D=D)
    positions = np.arange(offset, offset + T, dtype=np.float64)
    angles = positions[:, None] * frequencies(D, 10000.0)  # (T, ⌈D/2⌉)
    encoding = np.empty((T, D), dtype=np.float32)
    encoding[:, 0::2] = np.sin(angles)
    encoding[:, 1::2] = np.cos(angles[:, : D // 2])
    return encoding


def rotary(
    x: np.ndarray,
    positions: np.ndarray | None = None,
    *,
    base: float = 10000.0,
    interleaved: bool = False,
) -> np.ndarray:
    """Return queries or keys (..., T, d) with each pair of features turned by an angle.

    At position p, pair i is turned by p · base^(-2i/d) (Su et al. 2021, section 3.2.2), so that the
    product of a turned query and a turned key depends on the distance between them only. Pair i is
    features i and i + d/2 (Llama's layout), or 2i and 2i + 1 if `interleaved` (the paper's).
    `positions` (T,), or any shape that broadcasts to (..., T), are 0 ... T - 1 unless given.
    float32 and float64 are kept. Raises ValueError if d is odd.
    """
    x = np.asarray(x)
    if x.ndim < 2 or x.shape[-1] % 2:
        raise ValueError(
            f"x has shape {x.shape}; rotary positions turn pairs of features, so it must be "
            f"(..., T, d) with an even d."
        )
    T, d = x.shape[-2:]
    positions = np.arange(T) if positions is None else np.asarray(positions)
    if positions.ndim == 0 or positions.shape[-1] not in (1, T):
        raise ValueError(
            f"positions have shape {positions.shape} and x has {T} rows; give one position a row."
        )
    dtype = x.dtype if x.dtype.kind == "f" else np.float64
    angles = positions[..., None] * frequencies(d, base)  # (..., T, d/2)
    cos, sin = np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)
    if interleaved:
        first, second = np.s_[..., 0::2], np.s_[..., 1::2]
    else:
        first, second = np.s_[..., : d // 2], np.s_[..., d // 2 :]
    turned = np.empty(np.broadcast_shapes(x.shape, (*angles.shape[:-1], d)), dtype)
    turned[first] = x[first] * cos - x[second] * sin
    turned[second] = x[first] * sin + x[second] * cos
    return turned


def alibi_slopes(H: int) -> np.ndarray:
    """Return the slope of each of `H` heads, (H,) float64 (Press et al. 2022, section 3).

    For a power of two they are 2^(-8/H), 2^(-16/H), ..., 2^(-8). For any other H, as in the
    authors' code, the slopes of the next smaller power of two come first, then every other slope
    of twice that power, as many as are missing.
    """
    if H < 1:
        raise ValueError(f"H is {H}; there must be at least one head.")
    power = 2 ** math.floor(math.log2(H))
    slopes = 2.0 ** (-8.0 / power * np.arange(1, power + 1))
    between = 2.0 ** (-4.0 / power * np.arange(1, 2 * power + 1, 2))
    return np.concatenate([slopes, between[: H - power]])


def alibi_bias(H: int, T: int, S: int | None = None, *, causal: bool = True) -> np.ndarray:
    """Return the bias (H, T, S) that ALiBi adds to the scaled scores, in float32.

    Head h adds -slope_h · |i - j| to the score of query i and key j (Press et al. 2022, section 3);
    S is T unless given. If `causal`, keys after the query get -inf, so that the bias is a complete
    mask; otherwise every entry is finite and distance counts on both sides.
    """
    S = T if S is None else S
    check_not_negative(T=T, S=S)
    ahead = np.arange(S) - np.arange(T)[:, None]  # (T, S): how far key j is ahead of query i
    bias = alibi_slopes(H)[:, None, None] * -np.abs(ahead)  # (H, T, S)
    if causal:
        bias = np.where(ahead > 0, -np.inf, bias)
    return bias.astype(np.float32)


def frequencies(d: int, base: float) -> np.ndarray:
    """Return base^(-2i/d) for each pair i of d features, (⌈d/2⌉,): radians a position."""
    return base ** (-np.arange(0, d, 2) / max(d, 1))


def check_not_negative(**lengths: int) -> None:
    """Raise ValueError if a length is below zero."""
    for name, length in lengths.items():
        if length < 0:
            raise ValueError(f"{name} is {length}; it must not be negative.")
