"""Masks say which query may attend to which key: True = may attend.

Positions are counted from the start for queries and keys alike (top-left aligned), also where
there are more keys than queries or fewer, as in PyTorch and ONNX.
"""

import numpy as np


def causal_mask(T: int, S: int | None = None) -> np.ndarray:
    """Let each query attend to itself and to what stands before it: key j <= query i. (T, S) bool.

    S defaults to T. Vaswani et al. 2017, section 3.2.3.
    """
    return sliding_window_mask(T, S, left=-1, right=0)


def sliding_window_mask(T: int, S: int | None = None, *, left: int, right: int) -> np.ndarray:
    """Let each query attend to `left` keys before it, itself, and `right` keys after. (T, S) bool.

    -1 leaves a side open. S defaults to T. Beltagy, Peters and Cohan 2020 (Longformer), section 3.
    """
    T = check_length("T", T)
    S = T if S is None else check_length("S", S)
    left, right = check_window((left, right))
    return band(np.arange(T), np.arange(S), left, right)


def padding_mask(lengths, S: int) -> np.ndarray:
    """Let every query attend to the first `lengths` keys of its sequence. (..., 1, 1, S) bool.

    `lengths` (...) holds one length a sequence, from 0 to S; the two axes of length 1 stand for
    the heads and the queries, so that the mask fits scores (..., H, T, S).
    """
    lengths, S = np.asarray(lengths), check_length("S", S)
    if lengths.dtype.kind not in "iu":
        raise TypeError(f"lengths must be whole numbers; got {lengths.dtype}.")
    if lengths.size and (lengths.min() < 0 or lengths.max() > S):
        raise ValueError(
            f"lengths must lie between 0 and S = {S}; "
            f"they run from {lengths.min()} to {lengths.max()}."
        )
    return np.arange(S) < lengths[..., None, None, None]  # (..., 1, 1, S)


def band(queries: np.ndarray, keys: np.ndarray, left: int, right: int) -> np.ndarray:
    """Compare positions: query i may attend to key j if i - left <= j <= i + right.

    queries (T,) and keys (S,) hold positions, so that any block of a larger mask can be made alone;
    -1 leaves a side open. Returns (T, S) bool.
    """
    queries = queries[:, None]  # (T, 1)
    allowed = np.ones((len(queries), len(keys)), bool) if right < 0 else keys <= queries + right
    if left >= 0:
        allowed &= keys >= queries - left
    return allowed


def check_length(name: str, length: int) -> int:
    """Return `length` as an int; raise if it is not a whole number of at least 0."""
    if isinstance(length, bool) or not isinstance(length, int | np.integer):
        raise TypeError(f"{name} must be a whole number; got {length!r}.")
    if length < 0:
        raise ValueError(f"{name} must be 0 or more; got {length}.")
    return int(length)


def check_window(window: tuple[int, int]) -> tuple[int, int]:
    """Return (left, right) as ints; raise if they are not two whole numbers of at least -1."""
    try:
        left, right = window
    except (TypeError, ValueError):
        raise TypeError(
            f"window must be two whole numbers, (left, right); got {window!r}."
        ) from None
    for name, width in (("left", left), ("right", right)):
        if isinstance(width, bool) or not isinstance(width, int | np.integer):
            raise TypeError(f"window's {name} must be a whole number; got {width!r}.")
        if width < -1:
            raise ValueError(
                f"window's {name} must be -1 (that side stays open), 0 or more; got {width}."
            )
    return int(left), int(right)
