"""Exercises made from a seed: question, answer and what is wrong with a wrong one.

Every generator takes a `numpy.random.RandomState` (see `attention.randomness.stable_rng`), so one
seed gives one sheet to a whole class.
"""

from dataclasses import dataclass

import numpy as np

from attention.functions import softmax

TOO_MUCH, TOO_LITTLE, NEGATIVE = "above 1", "below 1", "negative"
FLAWS = (TOO_MUCH, TOO_LITTLE, NEGATIVE)
POST_ROW = {"The": 0.01, "cat": 0.87, "sat": 0.52, "on": 0.03, "mat": 0.32, "it": 0.98}


@dataclass(frozen=True)
class SoftmaxRow:
    """Can a softmax give this row? Numbers with two decimals, as they are printed.

    flaw: "" where it can; else one of `FLAWS`: the sum is above or below 1 by more than rounding
    explains, or a number is negative although the sum is 1.
    """

    row: tuple[float, ...]
    flaw: str

    @property
    def total(self) -> float:
        """The sum of the printed numbers."""
        return _hundredths(self.row).sum() / 100

    @property
    def shares(self) -> tuple[float, ...]:
        """Each number divided by the sum, which must not be 0: a row that adds up to 1."""
        units = _hundredths(self.row)
        return tuple((units / units.sum()).tolist())


def softmax_row(row) -> SoftmaxRow:
    """Judge a row of numbers that are printed with two decimals.

    A softmax gives numbers above 0 that add up to 1. A printed .00 can be a small number, and n
    printed numbers can miss the 1 by n/2 hundredths of rounding.
    Raises ValueError unless the row has at least one number and all are finite.
    """
    numbers = np.asarray(row, np.float64)
    if numbers.ndim != 1 or not numbers.size or not np.isfinite(numbers).all():
        raise ValueError(f"A row needs at least one finite number; got {row!r:.60}.")
    units = _hundredths(numbers)
    off = int(units.sum()) - 100
    flaw = ""
    if abs(off) > len(units) / 2:
        flaw = TOO_MUCH if off > 0 else TOO_LITTLE
    elif units.min() < 0:
        flaw = NEGATIVE
    return SoftmaxRow(tuple((units / 100).tolist()), flaw)


def softmax_row_question(rng: np.random.RandomState) -> SoftmaxRow:
    """Draw a row of 3 to 6 numbers that a softmax can give (2 in 5), or one that it cannot.

    Possible rows are the softmax of normal scores and add up to exactly 1.00 as printed.
    Impossible ones are such a row spoilt: numbers that were never made to share one whole, so that
    the sum is off by at least .15; or a sum of 1 with a negative number in it.
    """
    n = rng.randint(3, 7)
    flaw = ("", "", *FLAWS)[rng.randint(5)]
    units = _whole_row(rng, n)
    place = rng.randint(n)
    if flaw == NEGATIVE:
        give = units[place] + rng.randint(8, 30)  # from one below 0 to its neighbour
        units[place] -= give
        units[(place + 1) % n] += give
    elif flaw == TOO_MUCH:
        units[place] += rng.randint(15, 60)
    elif flaw == TOO_LITTLE:
        largest = int(units.argmax())
        units[largest] -= rng.randint(15, max(units[largest] - 1, 16))
    return softmax_row(units / 100)


def _whole_row(rng: np.random.RandomState, n: int) -> np.ndarray:
    """Draw a softmax row in hundredths, each at least 1, that add up to 100."""
    while True:
        units = _hundredths(softmax(rng.standard_normal(n) * rng.uniform(0.3, 1.5)))
        if units.sum() == 100 and units.min() >= 1:
            return units


def _hundredths(numbers) -> np.ndarray:
    return np.rint(np.asarray(numbers, np.float64) * 100).astype(np.int64)
