"""From logits to the next word: temperature, top-k, top-p, and one draw.

Each of the three turns logits (..., V) into logits (..., V); what they leave out becomes -inf, so
that softmax gives it exactly 0. They come in this order, as is usual: temperature, top-k, top-p.
"""

import math

import numpy as np

from attention.functions import as_floats, softmax


def next_probabilities(
    logits, *, temperature: float = 1.0, top_k: int | None = None, top_p: float = 1.0
) -> np.ndarray:
    """Return the probability of every word to come next, (..., V) for logits (..., V).

    temperature: logits are divided by it; 0 leaves the likeliest word alone (of equals, the first).
    top_k: keep so many of the likeliest words; None keeps all.
    top_p: then keep the fewest of the likeliest words that together reach this probability.
    Raises ValueError, naming the setting, for one that is out of range.
    """
    logits = with_temperature(logits, temperature)
    return softmax(keep_top_p(keep_top_k(logits, top_k), top_p))


def with_temperature(logits, temperature: float) -> np.ndarray:
    """Divide logits (..., V) by a temperature: below 1 the likely gain, above 1 the unlikely.

    At 0, the limit, the likeliest word alone is left (of equals, the first). Raises ValueError for
    a temperature that is negative or not finite.
    """
    (logits,) = as_floats(logits)
    if not (math.isfinite(temperature) and temperature >= 0):
        raise ValueError(f"temperature must be a finite number, 0 or more; got {temperature!r}.")
    top = logits.max(axis=-1, keepdims=True)
    divisor = logits.dtype.type(min(temperature, float(np.finfo(logits.dtype).max)))
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        # From the top down, so that a tiny temperature leads to -inf and not to inf - inf.
        cooled = (logits - top) / divisor
    if np.isnan(cooled).any():  # 0/0 at the top: the temperature is 0, or as good as 0
        first = logits.argmax(axis=-1)[..., None] == np.arange(logits.shape[-1])
        return np.where(first, logits.dtype.type(0), -np.inf).astype(logits.dtype)
    return cooled


def keep_top_k(logits, k: int | None) -> np.ndarray:
    """Keep the k likeliest of logits (..., V), and whatever equals the last of them.

    The rest becomes -inf; None keeps all. Raises ValueError for k below 1. Fan, Lewis and Dauphin
    2018, section 5.
    """
    (logits,) = as_floats(logits)
    if k is None:
        return logits
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise ValueError(f"top_k must be a whole number, 1 or more, or None for all; got {k!r}.")
    if k >= logits.shape[-1]:
        return logits
    last_in = np.partition(logits, -k, axis=-1)[..., -k, None]  # (..., 1)
    return np.where(logits >= last_in, logits, -np.inf).astype(logits.dtype)


def keep_top_p(logits, p: float) -> np.ndarray:
    """Keep the fewest of the likeliest of logits (..., V) that together have probability p.

    The likeliest is always kept; of equals, the first. The rest becomes -inf; p = 1 keeps all.
    Raises ValueError for p outside 0 to 1. Holtzman et al. 2020, section 3.1 ("nucleus sampling").
    """
    (logits,) = as_floats(logits)
    if not 0 <= p <= 1:
        raise ValueError(f"top_p must lie between 0 and 1; got {p!r}.")
    if p == 1:
        return logits
    order = np.argsort(-logits, axis=-1, kind="stable")  # the likeliest first
    probabilities = np.take_along_axis(softmax(logits.astype(np.float64)), order, axis=-1)
    before = np.cumsum(probabilities, axis=-1) - probabilities  # of what is likelier
    kept = before < p
    kept[..., 0] = True
    inside = np.empty_like(kept)
    np.put_along_axis(inside, order, kept, axis=-1)
    return np.where(inside, logits, -np.inf).astype(logits.dtype)


def draw(probabilities: np.ndarray, rng: np.random.RandomState) -> int:
    """Draw one word id from probabilities (V,), using exactly one number of the generator.

    A word of probability 0 is never drawn. Raises ValueError where the probabilities do not sum
    to 1.
    """
    reached = np.cumsum(probabilities, dtype=np.float64)
    if np.ndim(probabilities) != 1 or not abs(reached[-1] - 1) < 1e-3:
        raise ValueError("probabilities must be one row that sums to 1.")
    return int(np.searchsorted(reached, rng.random_sample() * reached[-1], side="right"))


def likeliest(probabilities: np.ndarray, n: int) -> np.ndarray:
    """Return the ids of the n likeliest words of probabilities (V,), likeliest first.

    Of equals, the first comes first.
    """
    return np.argsort(-np.asarray(probabilities), kind="stable")[:n]
