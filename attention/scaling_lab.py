"""The laboratory of √d_k: what the width of queries and keys does to the softmax.

q·k is a sum of d products. Where the numbers in q and k are independent, with mean 0 and variance
1, so is each product, and the sum's variance is d: the scores of a wide model spread out, the
softmax puts nearly all weight on one key, and its gradient dies. Dividing by √d brings the variance
back to 1. Vaswani et al. 2017, section 3.2.1 and footnote 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from attention.functions import as_floats, softmax
from attention.randomness import stable_rng


@dataclass(frozen=True)
class RowStatistics:
    """What became of many rows of scores, each number a mean over all rows.

    variance: of the scores. top: the largest weight, 1/n_keys to 1.
    entropy: of the weights in nats, -Σ p·ln p, from 0 (all on one key) to ln n_keys (all equal).
    slope: Σ p·(1 - p), the softmax's own derivatives ∂p_j/∂s_j added up; 0 where it is saturated.
    """

    variance: float
    entropy: float
    top: float
    slope: float


@dataclass(frozen=True)
class ScalingLab:
    """The same scores as they come (`unscaled`) and divided by √d (`scaled`)."""

    d: int
    n_keys: int
    rows: int
    unscaled: RowStatistics
    scaled: RowStatistics


def scaling_lab(d: int, n_keys: int = 10, draws: int = 50, seed: int = 0) -> ScalingLab:
    """Let random queries meet random keys of width d, and measure with and without 1/√d.

    All numbers are standard normal. `draws` queries each meet `draws` sets of keys: draws² rows
    from draws·(1 + n_keys)·d numbers. The measured variance is d to within about √(2/(draws·d)) of
    itself, so small widths deserve more draws. The peak of memory is some 12 bytes for each number
    drawn: 7 MB at d = 1,024 with 10 keys and 50 draws. Raises ValueError for
    a size below 1.
    """
    return scaling_curve([d], n_keys, draws, seed)[0]


def scaling_curve(
    widths: Sequence[int], n_keys: int = 10, draws: int = 50, seed: int = 0
) -> tuple[ScalingLab, ...]:
    """Return the laboratory at several widths: one drawing, cut to each of them.

    A wider query keeps the numbers of a narrower one and adds to them, so neighbouring widths are
    comparable, and each result equals `scaling_lab` at that width.
    """
    sizes = [("d", d) for d in widths] + [("n_keys", n_keys), ("draws", draws)]
    for name, size in sizes:
        if size < 1:
            raise ValueError(f"{name} must be 1 or more; got {size}.")
    queries, keys = random_vectors(max(widths, default=1), n_keys, draws, seed)
    labs = []
    for d in widths:
        scores = (queries[:d].T @ keys[:d]).reshape(draws**2, n_keys)  # a row: one query, one set
        scaled = row_statistics(scores / np.float32(d**0.5))
        labs.append(ScalingLab(d, n_keys, draws**2, row_statistics(scores), scaled))
    return tuple(labs)


def random_vectors(d: int, n_keys: int, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw queries (d, draws) and keys (d, draws·n_keys), one a column, float32.

    The stream runs along the rows, so a larger d keeps the first coordinates.
    """
    numbers = stable_rng("scaling lab", seed).standard_normal((d, draws * (1 + n_keys)))
    numbers = numbers.astype(np.float32)
    return numbers[:, :draws], numbers[:, draws:]


def row_statistics(scores) -> RowStatistics:
    """Pass rows of finite scores (..., n_keys) through the softmax and measure what comes out.

    A variance beyond the range of float64 is inf.
    """
    (scores,) = as_floats(scores)
    weights = softmax(scores)
    tiny = np.finfo(weights.dtype).tiny  # 0·ln 0 counts as 0
    with np.errstate(over="ignore"):
        variance = float(scores.var(dtype=np.float64))
    return RowStatistics(
        variance=variance,
        entropy=float(-(weights * np.log(np.maximum(weights, tiny))).sum(-1).mean()),
        top=float(weights.max(-1).mean()),
        slope=float(1 - np.square(weights).sum(-1).mean()),  # Σ p - Σ p², and Σ p = 1
    )


def softmax_at_temperature(scores, temperature: float) -> np.ndarray:
    """Return softmax(scores / temperature) over the last axis, temperature > 0.

    Below 1 the largest score takes more, above 1 the weights draw level; √d_k is a temperature.
    Scores are shifted by their largest before the division, so none overflows; -inf keeps the
    weight 0. Raises ValueError unless the temperature is a finite number above 0.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be a finite number above 0; got {temperature}.")
    (scores,) = as_floats(scores)
    range_of = np.finfo(scores.dtype)
    temperature = np.clip(temperature, range_of.tiny, range_of.max).astype(scores.dtype)
    with np.errstate(over="ignore", under="ignore"):
        top = scores.max(axis=-1, keepdims=True, initial=range_of.min)
        return softmax((scores - top) / temperature)
