"""Opens a cell into its arithmetic, with the numbers as they are printed.

Every line recomputes from what stands on it: factors get the fewest decimals at which their printed
product is the printed term, terms the fewest at which they add up to the printed result. Pure
functions from a `ForwardPass`; the pages only show what comes out.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from attention.embeddings import word_embeddings
from attention.forward import ForwardPass
from attention.scenario import VECTOR_STAGES
from pages.shared.wording import number

DECIMALS = 2  # of a result; fewer where float32 does not hold so many
SHOWN = 5  # the largest terms that stand on the page; the rest on request
MOST = 17  # decimals that a line may need, rarely more than five


@dataclass(frozen=True)
class Term:
    """One product of a sum, printed: left x right = product; `place` is its index in the sum."""

    place: int
    left: str
    right: str
    product: str


@dataclass(frozen=True)
class Sum:
    """A sum of products, printed. The terms' printed products add up to `exact`, which rounds to
    `result`. `terms` are in the order of the sum."""

    terms: tuple[Term, ...]
    exact: str
    result: str

    def largest(self, count: int = SHOWN) -> tuple[Term, ...]:
        """The terms that contribute most, largest first; of those printed as zero none but a first.

        Such a term would show nothing, and which of them is larger cannot be told from the print.
        """
        size = lambda term: -abs(_value(term.product))  # noqa: E731
        ordered = sorted(self.terms, key=size)[:count]
        return tuple(ordered[:1] + [term for term in ordered[1:] if size(term)])

    def rest(self, count: int = SHOWN) -> tuple[int, str]:
        """How many terms are not among the `count` largest, and what those add up to."""
        shown = {term.place for term in self.largest(count)}
        others = [term.product for term in self.terms if term.place not in shown]
        return len(others), _add(others)


@dataclass(frozen=True)
class Quotient:
    """dividend ÷ divisor = result, as printed."""

    dividend: str
    divisor: str
    result: str


@dataclass(frozen=True)
class Softmax:
    """One weight: e^(score − max) ÷ the row's sum, as printed.

    terms: e^(score − max) of each key that the query may look at, (place, power); `total` is the
    sum of the printed powers. exponent = scaled − largest; power ÷ total = result.
    """

    terms: tuple[tuple[int, str], ...]
    scaled: str
    largest: str
    exponent: str
    power: str
    total: str
    result: str

    def others(self, key: int, count: int = 2) -> tuple[list[tuple[int, str]], int, str]:
        """The largest powers besides `key`, how many more there are, and their sum."""
        rest = sorted((t for t in self.terms if t[0] != key), key=lambda term: -_value(term[1]))
        return rest[:count], len(rest[count:]), _add([power for _, power in rest[count:]])


def sum_of_products(left: np.ndarray, right: np.ndarray, total: float | None = None) -> Sum:
    """Print Σ left·right, both (n,), so that the terms add up to the printed result.

    total: the cell's own number. float32 adds in another order, so the result is printed with as
    many decimals, at most two, as cell and sum have in common.
    """
    left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
    products = left * right
    goal, places = _agreed(math.fsum(products), total)
    for decimals in range(places, MOST):
        exact = sum(_units(product, decimals) for product in products.tolist())
        unit = 10 ** (decimals - places)  # of the result, in units of the terms
        if 2 * abs(exact - _units(goal, places) * unit) <= unit:
            break
    terms = tuple(
        _term(place, a, b, decimals)
        for place, (a, b) in enumerate(zip(left.tolist(), right.tolist(), strict=True))
    )
    return Sum(terms, _from_units(exact, decimals), number(goal, places))


def quotient(dividend: float, divisor: float, total: float | None = None) -> Quotient:
    """Print dividend ÷ divisor with the fewest decimals at which the line recomputes.

    total: the cell's own number, as in `sum_of_products`.
    """
    goal, places = _agreed(dividend / divisor, total)
    wanted = round(goal, places)
    a, b = _fewest(
        (dividend, divisor), lambda p, q: q != 0 and round(p / q, places) == wanted, start=DECIMALS
    )
    return Quotient(a, b, number(goal, places))


def softmax_cell(scaled: np.ndarray, mask: np.ndarray | None, key: int) -> Softmax | None:
    """Print the weight of `key` in one row of scaled scores (S,); None where it may not look.

    mask: (S,) True = may attend. The row's largest score is subtracted first, which changes
    nothing in the quotient and keeps every power at most 1.
    """
    scaled = np.asarray(scaled, np.float64)
    allowed = np.ones(len(scaled), bool) if mask is None else np.asarray(mask, bool)
    if not allowed[key]:
        return None
    largest = float(scaled[allowed].max())
    places = np.flatnonzero(allowed)
    powers = np.exp(np.where(allowed, scaled - largest, -np.inf))
    goal = round(float(powers[key] / powers.sum()), 3)
    for decimals in range(3, MOST):
        units = [_units(power, decimals) for power in powers.tolist()]
        if round(units[key] / sum(units), 3) == goal:
            break
    terms = tuple((int(j), number(powers[j], decimals)) for j in places)
    exponent, scaled_text, largest_text = _exponent(float(scaled[key]), largest, decimals)
    return Softmax(
        terms,
        scaled_text,
        largest_text,
        exponent,
        number(powers[key], decimals),
        _add([power for _, power in terms]),
        number(goal, 3),
    )


# ---- the cells of the playground


def score(result: ForwardPass, query: int, key: int) -> Sum:
    """q·k of one query and key."""
    Q, K, scores = (_head(getattr(result.attention, name)) for name in ("Q", "K", "scores"))
    return sum_of_products(Q[query], K[key], scores[query, key])


def scaling(result: ForwardPass, query: int, key: int) -> Quotient:
    """The score divided by the root of d_k."""
    score, scaled = (
        float(_head(stage)[query, key])
        for stage in (result.attention.scores, result.attention.scaled)
    )
    divisor = math.sqrt(result.attention.K.shape[-1]) if result.scenario.scaling else 1.0
    return quotient(score, divisor, scaled)


def weight(result: ForwardPass, query: int, key: int) -> Softmax | None:
    """The softmax of one row at one key; None where the query may not look."""
    mask = result.attention.mask
    T = len(result.tokens)
    row = None if mask is None else np.broadcast_to(mask, (1, T, T))[0, query]
    return softmax_cell(_head(result.attention.scaled)[query], row, key)


def output(result: ForwardPass, query: int, column: int) -> Sum:
    """Σ weight · v of one output cell: one term for each key."""
    weights, V = _head(result.attention.weights), _head(result.attention.V)
    return sum_of_products(
        weights[query], V[:, column], _head(result.attention.output)[query, column]
    )


def vector_cell(result: ForwardPass, stage: str, row: int, column: int) -> Sum:
    """The cell of an embedding, Q, K, V or output.

    For Q, K and V the dot product of x with a column of W; for an embedding its parts, each times 1
    (`embedding_parts`).
    """
    if stage == "output":
        return output(result, row, column)
    if stage == "embeddings":
        parts = list(embedding_parts(result, row, column).values())
        return sum_of_products(np.array(parts), np.ones(len(parts)), result.X[row, column])
    W = getattr(result.projections, f"W_{stage.lower()}")
    cell = _head(getattr(result.attention, stage))[row, column]
    return sum_of_products(result.X[row], W[:, column], cell)


def embedding_parts(result: ForwardPass, row: int, column: int) -> dict[str, float]:
    """What one cell of X is made of: "word", "training" where it moved the word, "position"."""
    parts = {"word": result.embeddings[row, column]}
    if result.scenario.embedding == "tuned":
        own = word_embeddings(result.tokens, result.scenario.d_model).X[row, column]
        if parts["word"] != own:
            parts = {"word": own, "training": parts["word"] - own}
    if result.positions is not None:
        parts["position"] = result.positions[row, column]
    return parts


def opened(result: ForwardPass) -> tuple[str, int] | None:
    """The stage and column of the opened vector cell, when the scenario names one that exists."""
    if not result.scenario.cell:
        return None
    stage, column = result.scenario.cell.split(".")
    width = stage_array(result, stage).shape[1]
    return (stage, int(column)) if stage in VECTOR_STAGES and int(column) < width else None


def stage_array(result: ForwardPass, stage: str) -> np.ndarray:
    """The numbers of one stage: (T, D), (T, d_k), (T, d_v) or (T, T)."""
    return result.X if stage == "embeddings" else _head(getattr(result.attention, stage))


def _head(array: np.ndarray) -> np.ndarray:
    return array[0] if array.ndim == 3 else array


# ---- printing


def _term(place: int, left: float, right: float, decimals: int) -> Term:
    goal = round(left * right, decimals) + 0.0
    a, b = _fewest((left, right), lambda p, q: round(p * q, decimals) + 0.0 == goal, start=3)
    return Term(place, a, b, number(goal, decimals))


def _agreed(goal: float, total: float | None) -> tuple[float, int]:
    """Return the number to print and how many decimals it has in common with the cell's own."""
    for places in range(DECIMALS, 0, -1):
        if total is None or round(goal, places) == round(total, places):
            return goal, places
    return goal, 0


def _fewest(
    values: tuple[float, float], recomputes: Callable[[float, float], bool], start: int
) -> tuple[str, str]:
    """Print two numbers with the fewest decimals, from `start`, at which the line recomputes."""
    p, q = values
    left = right = next(
        (d for d in range(start, MOST) if recomputes(round(p, d), round(q, d))), MOST
    )
    while left > start and recomputes(round(p, left - 1), round(q, right)):
        left -= 1
    while right > start and recomputes(round(p, left), round(q, right - 1)):
        right -= 1
    return number(p, left), number(q, right)


def _exponent(scaled: float, largest: float, decimals: int) -> tuple[str, str, str]:
    """Print scaled − largest with the fewest decimals at which e to it gives the printed power."""
    goal = round(math.exp(scaled - largest), decimals)
    for places in range(DECIMALS, MOST + 3):
        exponent = round(scaled, places) - round(largest, places)
        if round(math.exp(exponent), decimals) == goal:
            break
    return number(exponent, places), number(scaled, places), number(largest, places)


def _value(text: str) -> float:
    return float(text.replace("−", "-"))


def _units(value: float, decimals: int) -> int:
    """The number as printed, in whole units of its last decimal."""
    return int(f"{value:.{decimals}f}".replace(".", ""))


def _from_units(units: int, decimals: int) -> str:
    return number(Decimal(units).scaleb(-decimals), decimals)


def _add(texts: list[str]) -> str:
    """Add printed numbers of equally many decimals exactly."""
    decimals = len(texts[0].partition(".")[2]) if texts else DECIMALS
    units = sum(int(text.replace("−", "-").replace(".", "")) for text in texts)
    return _from_units(units, decimals)
