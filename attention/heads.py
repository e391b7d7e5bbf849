"""Reading the maps of many heads: words for word pieces, what may be hidden, links, and measures.

Everything here turns attention weights (..., T, S), rows being queries, into fewer numbers, and
knows nothing of the model they came from.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from attention.functions import as_floats

PRONOUNS = frozenset(
    (
        *("he", "him", "his", "himself", "she", "her", "hers", "herself"),
        *("it", "its", "itself", "they", "them", "their", "theirs", "themselves"),
    )
)


class NamedHead(NamedTuple):
    """A head of MiniLM-L6 (counted from 0), and the measure that earns it the name or does not."""

    layer: int
    head: int
    name: str
    measure: str


NAMED_HEADS = (
    NamedHead(3, 1, "coreference", "coreference_share"),
    NamedHead(0, 2, "previous word", "previous_share"),
    NamedHead(1, 8, "next word", "next_share"),
    NamedHead(4, 5, "sink", "sink_share"),
    NamedHead(5, 11, "topic", "column_share"),
)

# ---- what a head's matrices alone say


def score_strengths(W_q, W_k) -> np.ndarray:
    """Return the singular values of W_q W_kᵀ (D, D), largest first: (d_k,).

    A score is x W_q W_kᵀ xᵀ, so they say how strongly the head compares along each of its d_k
    pairs of directions (Elhage et al. 2021, "A mathematical framework for Transformer circuits").
    The product itself is never made. W_q, W_k: (D, d_k) of one shape, ValueError otherwise.
    """
    W_q, W_k = as_floats(W_q, W_k)
    if W_q.ndim != 2 or W_q.shape != W_k.shape:
        raise ValueError(f"W_q and W_k must be (D, d_k), both; got {W_q.shape} and {W_k.shape}.")
    R_q, R_k = (np.linalg.qr(W, mode="r") for W in (W_q, W_k))  # W = Q R, QᵀQ = I: R has it all
    return np.linalg.svd(R_q @ R_k.T, compute_uv=False)


# ---- fewer rows and columns


def join_words(weights, word_of: Sequence[int]) -> np.ndarray:
    """Turn the weights of T pieces into those of W words, (..., T, T) → (..., W, W).

    word_of gives each piece's word: 0, then the same or one more, up to W-1. The rows of a word's
    pieces are averaged, the columns summed: the result says how much of its attention a word pays
    to all of another, and its rows sum to what they summed to before. Clark et al. 2019, section
    4.1. Raises ValueError where word_of does not fit.
    """
    (weights,) = as_floats(weights)
    _check_square(weights)
    word_of = np.asarray(word_of)
    steps = np.diff(word_of, prepend=0) if word_of.ndim == 1 and word_of.size else np.array([-1])
    if len(word_of) != weights.shape[-1] or not np.isin(steps, (0, 1)).all() or word_of[0] != 0:
        raise ValueError(
            f"word_of must give each of the {weights.shape[-1]} pieces its word, 0, 1, 2, ... in "
            f"order; got {word_of.tolist()}."
        )
    starts = np.flatnonzero(np.diff(word_of, prepend=-1))
    lengths = np.diff(starts, append=len(word_of)).astype(weights.dtype)
    rows = np.add.reduceat(weights, starts, axis=-2) / lengths[:, None]  # (..., W, T)
    return np.add.reduceat(rows, starts, axis=-1)  # (..., W, W)


def without(weights, hidden: Iterable[int], *, renormalise: bool = False) -> np.ndarray:
    """Drop the rows and columns of the hidden tokens, (..., T, T) → (..., T-h, T-h).

    The rows left sum to less than 1: the rest went to what is hidden. `renormalise` divides each
    by its sum, which shows proportions but no longer weights; a row with nothing left stays zeros.
    Raises ValueError for a token that is not there.
    """
    (weights,) = as_floats(weights)
    _check_square(weights)
    kept = kept_tokens(weights.shape[-1], hidden)
    rest = weights[..., kept, :][..., kept]
    if not renormalise:
        return rest
    total = rest.sum(axis=-1, keepdims=True)
    return np.divide(rest, total, out=np.zeros_like(rest), where=total > 0)


def kept_tokens(T: int, hidden: Iterable[int]) -> np.ndarray:
    """Return the places, in order, of those of T tokens that are not hidden."""
    hidden = _check_places(hidden, T, "hide")
    return np.setdiff1d(np.arange(T), hidden)


def sum_of_queries(weights, queries: Iterable[int]) -> np.ndarray:
    """Add up the rows of several queries, (..., T, S) → (..., S); n rows sum to n."""
    (weights,) = as_floats(weights)
    queries = _check_places(queries, weights.shape[-2], "add")
    return weights[..., queries, :].sum(axis=-2)


# ---- links


class Link(NamedTuple):
    """A line from a query to a key, both by place."""

    query: int
    key: int
    weight: float


def strongest_links(weights, share: float = 0.7) -> tuple[Link, ...]:
    """Return for each query the fewest keys that hold `share` of its row, the largest first.

    weights (T, S). Among equal weights the earlier key comes first. `share` counts from the row's
    own sum, which is less than 1 where tokens are hidden; a row of zeros has no link. Raises
    ValueError unless `share` is above 0 and at most 1.
    """
    (weights,) = as_floats(weights)
    if weights.ndim != 2:
        raise ValueError(f"weights is {weights.shape}; links are those of one head, (T, S).")
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}; it must be above 0 and at most 1.")
    links = []
    for query, row in enumerate(weights.astype(np.float64)):
        order = np.argsort(-row, kind="stable")
        reached = np.cumsum(row[order])
        # Rounding must not cost a key more: 0.7 + 1e-9 is 0.7 to float32.
        enough = np.searchsorted(reached, share * reached[-1] * (1 - 1e-6)) + 1
        links += [Link(query, int(key), float(row[key])) for key in order[:enough] if row[key] > 0]
    return tuple(links)


# ---- measures: each a share of attention between 0 and 1, for (..., T, T) an array (...)


def previous_share(weights) -> np.ndarray:
    """Return how much a token pays to the one before it, averaged over all that have one."""
    (weights,) = as_floats(weights)
    _check_square(weights, least=2)
    return np.diagonal(weights, offset=-1, axis1=-2, axis2=-1).mean(axis=-1)


def next_share(weights) -> np.ndarray:
    """Return how much a token pays to the one behind it, averaged over all that have one."""
    (weights,) = as_floats(weights)
    _check_square(weights, least=2)
    return np.diagonal(weights, offset=1, axis1=-2, axis2=-1).mean(axis=-1)


def sink_share(weights) -> np.ndarray:
    """Return how much a token pays to the first, averaged over all. Xiao et al. 2024."""
    return column_share(weights, 0)


def column_share(weights, key: int, *, except_queries: Iterable[int] = ()) -> np.ndarray:
    """Return how much a token pays to `key`, averaged over all but `except_queries`.

    Beside `coreference_share` it tells a head that links two words from one in which every row
    looks at the same word. Raises ValueError where no row is left.
    """
    (weights,) = as_floats(weights)
    _check_square(weights)
    T = weights.shape[-1]
    (key,) = _check_places([key], T, "measure")
    queries = np.setdiff1d(np.arange(T), _check_places(except_queries, T, "leave out"))
    if not queries.size:
        raise ValueError(f"All {T} tokens are left out; leave at least one.")
    return weights[..., queries, key].mean(axis=-1)


def coreference_share(weights, pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    """Return how much a pronoun pays to what it stands for, averaged over (pronoun, it) pairs."""
    (weights,) = as_floats(weights)
    _check_square(weights)
    pairs = np.array(list(pairs)).reshape(-1, 2)
    if not len(pairs):
        raise ValueError("pairs must hold at least one pair of a pronoun and what it stands for.")
    for place in pairs.ravel():
        _check_places([place], weights.shape[-1], "measure")
    return weights[..., pairs[:, 0], pairs[:, 1]].mean(axis=-1)


def pronoun_places(texts: Iterable[str]) -> tuple[int, ...]:
    """Return the places of the personal pronouns of the third person among English words."""
    return tuple(place for place, text in enumerate(texts) if text.casefold() in PRONOUNS)


# ---- checks


def _check_square(weights: np.ndarray, least: int = 1) -> None:
    if weights.ndim < 2 or weights.shape[-1] != weights.shape[-2] or weights.shape[-1] < least:
        raise ValueError(
            f"weights is {weights.shape}; it must be (..., T, T), the attention of at least "
            f"{least} tokens to each other."
        )


def _check_places(places: Iterable[int], T: int, what: str) -> np.ndarray:
    places = np.unique(np.array(list(places), dtype=np.intp))
    if places.size and not 0 <= places[0] <= places[-1] < T:
        wrong = places[0] if places[0] < 0 else places[-1]
        raise ValueError(f"There is no token {wrong} to {what}; there are the tokens 0 to {T - 1}.")
    return places
