"""Exercises made from a seed: question, answer and what is wrong with a wrong one.

Every generator takes a `numpy.random.RandomState` (see `attention.randomness.stable_rng`), so one
seed gives one sheet to a whole class. A sheet has one exercise of each of `KINDS`.
"""

import html
import itertools
import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from attention.functions import softmax
from attention.masks import causal_mask
from attention.randomness import stable_rng

TOO_MUCH, TOO_LITTLE, NEGATIVE = "above 1", "below 1", "negative"
FLAWS = (TOO_MUCH, TOO_LITTLE, NEGATIVE)
CAN, CANNOT = "can give it", "cannot give it"
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


# ---- what an exercise is made of
#
# Texts are plain English with formulas between dollar signs, in a notation that reads aloud and can
# be set in LaTeX, HTML or nothing: × · ÷ − =, ≈ for a rounded result, d_k, e^(−1.5), √(d_k).
# Every "=" and "≈" between numbers recomputes from the numbers as printed.


@dataclass(frozen=True)
class Given:
    """Numbers or words that a question gives: a vector, a matrix, or a table with its words."""

    name: str  # a formula; "" for none
    cells: tuple[tuple[str, ...], ...]
    rows: tuple[str, ...] = ()  # what stands beside each row
    columns: tuple[str, ...] = ()  # what stands above each column


@dataclass(frozen=True)
class Blank:
    """A number to find. An answer is right if it differs by `within` at most.

    slips: what common mistakes would give, with a sentence for whoever made one.
    """

    label: str
    value: float
    within: float = 0.0
    slips: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class Pick:
    """One of several options to choose."""

    label: str
    options: tuple[str, ...]
    value: str


@dataclass(frozen=True)
class Exercise:
    """A question, what it gives, what it asks for, a hint and a worked solution, line by line."""

    title: str
    question: str
    givens: tuple[Given, ...]
    blanks: tuple[Blank | Pick, ...]
    hint: tuple[str, ...]
    solution: tuple[str, ...]


WEIGHT = 0.011  # how far off a weight may be: one in the second decimal
OUTPUT = 0.05  # an output from weights that were rounded to two decimals
KEYS = ("cat", "sat", "mat")
FORGOT_ROOT = "That is without dividing by $√(d_k)$."


# ---- numbers and lines as they are written


def written(value: float, decimals: int | None = None) -> str:
    """Write a number: −.5, 1,024, 2.25. Without `decimals`, as few as it needs, four at most."""
    text = f"{value:,.{4 if decimals is None else decimals}f}"
    if decimals is None:
        text = text.rstrip("0").rstrip(".")
    if not text.strip("-0."):
        text = text.lstrip("-")
    sign, size = ("−", text[1:]) if text.startswith("-") else ("", text)
    return sign + (size[1:] if size.startswith("0.") else size)


def _factor(value: float) -> str:
    return f"({written(value)})" if value < 0 else written(value)


def _powered(value: float) -> str:
    return f"e^{written(value)}"


def _products(a, b, decimals: int | None = None) -> str:
    """Write a · b as its products: 2 × 3 + (−1) × 4. `decimals` are those of a."""
    pairs = zip(a, b, strict=True)
    firsts = (f"({written(x, decimals)})" if x < 0 else written(x, decimals) for x, _ in pairs)
    return " + ".join(f"{x} × {_factor(y)}" for x, y in zip(firsts, b, strict=True))


def _sum(values, decimals: int | None = None) -> str:
    """Write a sum: 6 − 4 + 1."""
    first, *others = values
    rest = "".join(f" {'−' if v < 0 else '+'} {written(abs(v), decimals)}" for v in others)
    return written(first, decimals) + rest


def _minus(a: float, b: float) -> str:
    return f"{written(a)} {'+' if b < 0 else '−'} {written(abs(b))}"


def _result(value: float, decimals: int = 3) -> tuple[str, float]:
    """Return "= 5" for a number that `decimals` can write, else "≈ .667", and it as printed."""
    printed = round(float(value), decimals) + 0.0
    if abs(printed - value) < 1e-9:
        return f"= {written(printed)}", printed
    return f"≈ {written(printed, decimals)}", printed


def _dot(name: str, a, b) -> str:
    """The line that works out a dot product of whole numbers."""
    products = [int(x) * int(y) for x, y in zip(a, b, strict=True)]
    return f"${name} = {_products(a, b)} = {_sum(products)} = {written(sum(products))}$"


def _weigh(name: str, weights, column, decimals: int | None = None) -> str:
    """The line that adds up printed weights times values."""
    total = sum(w * v for w, v in zip(weights, column, strict=True))
    return f"${name} = {_products(weights, column, decimals)} {_result(total)[0]}$"


def _softmax_lines(scores) -> tuple[list[str], list[float]]:
    """The lines of a softmax from printed scores, with three decimals, and the weights so found."""
    ends, powers = zip(*(_result(math.exp(score)) for score in scores), strict=True)
    shown = [end[2:] for end in ends]
    total = round(sum(powers), 3)
    shares = [_result(power / total) for power in powers]
    raised = (f"${_powered(s)} {end}$" for s, end in zip(scores, ends, strict=True))
    divided = (
        f"${power} ÷ {written(total)} {end}$" for power, (end, _) in zip(shown, shares, strict=True)
    )
    lines = [
        f"Raise $e$ to each score: {', '.join(raised)}",
        f"Add up: ${' + '.join(shown)} = {written(total)}$",
        f"Divide each by the sum: {', '.join(divided)}",
    ]
    return lines, [share for _, share in shares]


def _softmax_hint(scores, place: int = 0) -> str:
    powers = [_powered(score) for score in scores]
    return f"${powers[place]} ÷ ({' + '.join(powers)}) = ?$"


def _vector(values) -> str:
    return f"({', '.join(written(v) for v in values)})"


def _matrix(name: str, values, rows=(), columns=(), decimals: int | None = None) -> Given:
    cells = tuple(tuple(written(v, decimals) for v in row) for row in np.atleast_2d(values))
    return Given(name, cells, tuple(rows), tuple(columns))


def _blank(label: str, value: float, within: float = 0.0, *slips: tuple[float, str]) -> Blank:
    """A blank; slips that could pass for the right answer, or for an earlier slip, are left out."""
    kept: list[tuple[float, str]] = []
    for wrong, why in slips:
        taken = [value, *(other for other, _ in kept)]
        if all(abs(wrong - other) > 2 * within + 1e-6 for other in taken):
            kept.append((float(wrong), why))
    return Blank(label, float(value), within, tuple(kept))


# ---- draws


def _whole(rng: np.random.RandomState, low: int, high: int, *shape: int) -> np.ndarray:
    """Whole numbers from low to high."""
    return rng.randint(low, high + 1, shape)


def _until(draw: Callable, fits: Callable):
    """Draw until it fits."""
    while True:
        drawn = draw()
        if fits(drawn):
            return drawn


def _one_of(rng: np.random.RandomState, options):
    return options[rng.randint(len(options))]


def _tenths(rng: np.random.RandomState, low: int, high: int, n: int) -> list[float]:
    """Different numbers with one decimal, from low/10 to high/10."""
    drawn = _until(lambda: _whole(rng, low, high, n).tolist(), lambda x: len(set(x)) == n)
    return [x / 10 for x in drawn]


# ---- scores


def one_dot_product(rng: np.random.RandomState) -> Exercise:
    """The score q · k of three numbers each."""
    q, k = _until(
        lambda: _whole(rng, -3, 4, 2, 3),
        lambda v: (v[0] * v[1] != 0).sum() >= 2 and (v[0] * v[1]).min() < 0,
    )
    return Exercise(
        "One dot product",
        f"The query of “it” is $q = {_vector(q)}$, the key of “cat” is $k = {_vector(k)}$. "
        "What is their score $q · k$?",
        (),
        (
            _blank(
                "$q · k$",
                q @ k,
                0,
                ((q + k).sum(), "That adds the numbers. Multiply each pair, then add up."),
                (abs(q * k).sum(), "Mind the signs: plus times minus is minus."),
            ),
        ),
        ("Multiply pair by pair, then add the products up.", f"${_products(q, k)} = ?$"),
        (_dot("q · k", q, k),),
    )


def one_projection(rng: np.random.RandomState) -> Exercise:
    """A query from an embedding: q = x · W_q."""
    x = _until(lambda: _whole(rng, -2, 3, 3), lambda x: (x != 0).sum() >= 2)
    W = _until(lambda: _whole(rng, -2, 3, 3, 2), lambda W: (x @ W[:, 0]) != (x @ W[:, 1]))
    q = x @ W
    swapped = "That is the other number of q: one column of $W_q$ gives one number."
    return Exercise(
        "From a word to its query",
        "The embedding of “it” is the row x. Its query is $q = x W_q$. What are its two numbers?",
        (_matrix("x", x), _matrix("W_q", W)),
        (_blank("$q_1$", q[0], 0, (q[1], swapped)), _blank("$q_2$", q[1], 0, (q[0], swapped))),
        (
            "Each number of q is the dot product of x with one column of $W_q$.",
            f"$q_1 = {_products(x, W[:, 0])} = ?$",
        ),
        (
            _dot("q_1", x, W[:, 0]),
            _dot("q_2", x, W[:, 1]),
            "The post writes $W_q × x$: the same numbers, with x upright and $W_q$ turned.",
        ),
    )


def row_of_scores(rng: np.random.RandomState) -> Exercise:
    """One query against three keys."""
    q = _until(lambda: _whole(rng, -3, 3, 2), lambda q: (q != 0).all())
    K = _until(lambda: _whole(rng, -3, 3, 3, 2), lambda K: len(set((K @ q).tolist())) == 3)
    scores = K @ q
    best = KEYS[int(scores.argmax())]
    return Exercise(
        "A row of scores",
        f"The query of “it” is $q = {_vector(q)}$. The keys are the rows of K. What is the score "
        "of “it” with each word?",
        (_matrix("K", K, KEYS),),
        tuple(_blank(word, s, 0) for word, s in zip(KEYS, scores.tolist(), strict=True)),
        (
            "One dot product for each key, always with the same query.",
            f"{KEYS[0]}: ${_products(q, K[0])} = ?$",
        ),
        (
            *(f"{word}: {_dot('q · k', q, k)}" for word, k in zip(KEYS, K, strict=True)),
            f"The largest score is that of “{best}”: it will get the largest weight.",
        ),
    )


def both_ways(rng: np.random.RandomState) -> Exercise:
    """The score of “it” with “cat”, and of “cat” with “it”: not the same."""
    Q, K = _until(
        lambda: _whole(rng, -2, 3, 2, 2, 2), lambda v: v[0][0] @ v[1][1] != v[0][1] @ v[1][0]
    )
    there, back = Q[0] @ K[1], Q[1] @ K[0]
    swapped = "That is the other direction: the query belongs to the word that looks."
    return Exercise(
        "Looking, and being looked at",
        "Queries are the rows of Q, keys the rows of K. What is the score when “it” looks at "
        "“cat”, and when “cat” looks at “it”?",
        (_matrix("Q", Q, ("it", "cat")), _matrix("K", K, ("it", "cat"))),
        (
            _blank("“it” looks at “cat”", there, 0, (back, swapped)),
            _blank("“cat” looks at “it”", back, 0, (there, swapped)),
        ),
        (
            "The word that looks gives its query, the word looked at gives its key.",
            f"“it” looks at “cat”: ${_products(Q[0], K[1])} = ?$",
        ),
        (
            _dot("q_it · k_cat", Q[0], K[1]),
            _dot("q_cat · k_it", Q[1], K[0]),
            "Attention need not be symmetric: each direction has a query and a key of its own.",
        ),
    )


def scaled_score(rng: np.random.RandomState) -> Exercise:
    """A score divided by the root of d_k = 4."""
    q, k = _until(lambda: _whole(rng, -2, 3, 2, 4), lambda v: abs(v[0] @ v[1]) > 1)
    score = int(q @ k)
    return Exercise(
        "A scaled score",
        f"$q = {_vector(q)}$ and $k = {_vector(k)}$, so $d_k = 4$. What is the scaled score "
        "$q · k ÷ √(d_k)$?",
        (),
        (
            _blank(
                "scaled score",
                score / 2,
                0.005,
                (score, FORGOT_ROOT),
                (score / 4, "That divides by $d_k$ itself, not by its root."),
            ),
        ),
        ("First the dot product, then divide by $√4 = 2$.", f"${_products(q, k)} = ?$"),
        (
            _dot("q · k", q, k),
            f"${written(score)} ÷ √4 = {written(score)} ÷ 2 = {written(score / 2)}$",
        ),
    )


def spread_of_scores(rng: np.random.RandomState) -> Exercise:
    """How far random scores lie apart: variance d_k. Vaswani et al. 2017, footnote 4."""
    root = _one_of(rng, (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16))
    d_k = root**2
    return Exercise(
        "How far scores spread",
        f"The $d_k = {d_k}$ numbers in q and in k are drawn at random, independently, with mean 0 "
        "and variance 1. What is the variance of $q · k$? And the standard deviation (the root of "
        "the variance), before and after dividing by $√(d_k)$?",
        (),
        (
            _blank("variance", d_k, 0, (root, "That is its root, the standard deviation.")),
            _blank("standard deviation", root, 0, (d_k, "That is the variance. Take its root.")),
            _blank("standard deviation, scaled", 1, 0, (root, FORGOT_ROOT)),
        ),
        (
            f"A product of two such numbers has variance 1, and $q · k$ adds up {d_k} of them. "
            "Variances of independent numbers add up.",
            f"${d_k} × 1 = ?$",
        ),
        (
            f"Variance: ${d_k} × 1 = {d_k}$",
            f"Standard deviation: $√{d_k} = {root}$",
            f"Divided by the root: ${root} ÷ √{d_k} = 1$, whatever $d_k$ is.",
        ),
    )


# ---- softmax


def ratio_of_weights(rng: np.random.RandomState) -> Exercise:
    """A difference of scores is a ratio of weights: e^(s − t)."""
    low, gap = rng.randint(2, 21), rng.randint(5, 31)
    high, low, gap = (low + gap) / 10, low / 10, gap / 10
    end, _ = _result(math.exp(gap), 2)
    return Exercise(
        "Differences become ratios",
        f"In one row, “cat” has the scaled score {written(high)} and “mat” has {written(low)}. "
        "How many times the weight of “mat” does “cat” get?",
        (),
        (
            _blank(
                "times",
                math.exp(gap),
                max(0.011, 0.005 * math.exp(gap)),
                (
                    high / low,
                    "That divides the scores. Softmax turns their difference into a ratio.",
                ),
                (gap, "That is the difference. Raise $e$ to it."),
                (math.exp(-gap), "That is “mat” for one of “cat”: the other way round."),
            ),
        ),
        (
            "Both weights are divided by the same sum, so only $e$ to the difference is left.",
            f"$e^({written(high)} − {written(low)}) = ?$",
        ),
        (f"$e^({written(high)} − {written(low)}) = {_powered(gap)} {end}$",),
    )


def softmax_of_two(rng: np.random.RandomState) -> Exercise:
    """Two scores with one decimal."""
    scores = _until(lambda: _tenths(rng, -10, 25, 2), lambda s: 0.3 <= abs(s[0] - s[1]) <= 3)
    return _softmax_exercise("Softmax of two scores", scores, KEYS[:2])


def softmax_of_three(rng: np.random.RandomState) -> Exercise:
    """Three whole scores."""
    scores = _until(lambda: _whole(rng, -1, 3, 3).tolist(), lambda s: len(set(s)) > 1)
    return _softmax_exercise("Softmax of three scores", scores, KEYS)


def _softmax_exercise(title: str, scores: list, words: tuple[str, ...]) -> Exercise:
    lines, _ = _softmax_lines(scores)
    weights = softmax(np.array(scores, float)).tolist()
    total = sum(scores) or math.inf
    return Exercise(
        title,
        "The scaled scores of one row are given. What weights does softmax make of them?",
        (_matrix("", scores, columns=words),),
        tuple(
            _blank(
                word,
                w,
                WEIGHT,
                (s / total, "That shares out the scores themselves. Raise $e$ to each first."),
                (math.exp(s), "That is $e$ to the score; divide it by the sum of all powers."),
            )
            for word, w, s in zip(words, weights, scores, strict=True)
        ),
        (
            "Raise $e$ to each score, add the powers up, divide each by the sum.",
            f"{words[0]}: {_softmax_hint(scores)}",
        ),
        tuple(lines),
    )


def missing_weight(rng: np.random.RandomState) -> Exercise:
    """A row adds up to 1."""
    units = _whole_row(rng, 4)
    hidden = rng.randint(4)
    others = [unit / 100 for place, unit in enumerate(units) if place != hidden]
    cells = [written(unit / 100, 2) for unit in units]
    cells[hidden] = "?"
    total = round(sum(others), 2)
    return Exercise(
        "The missing weight",
        "One weight of this row is covered. What is it?",
        (Given("", (tuple(cells),), (), ("The", "cat", "sat", "mat")),),
        (_blank("?", units[hidden] / 100, 0.001, (total, "That is what the others add up to.")),),
        ("A softmax row adds up to 1.", f"$1 − ({_sum(others, 2)}) = ?$"),
        (
            f"The others: ${_sum(others, 2)} = {written(total, 2)}$",
            f"Left for it: $1 − {written(total, 2)} = {written(units[hidden] / 100, 2)}$",
        ),
    )


def possible_row(rng: np.random.RandomState) -> Exercise:
    """Can a softmax give this row?"""
    question = softmax_row_question(rng)
    total = f"${_sum(question.row, 2)} = {written(question.total, 2)}$"
    why = {
        "": "Nothing is negative and the sum is 1: it can.",
        TOO_MUCH: "There is only 1 to share: it cannot.",
        TOO_LITTLE: "A softmax shares out all of 1: it cannot.",
        NEGATIVE: f"The sum is right, but {written(min(question.row), 2)} is negative, and $e$ to "
        "any power is above 0: it cannot.",
    }
    return Exercise(
        "Can this be a softmax row?",
        "What do the numbers add up to, and can they come out of a softmax?",
        (_matrix("", question.row, decimals=2),),
        (
            _blank("sum", question.total, 0.005),
            Pick("A softmax", (CAN, CANNOT), CANNOT if question.flaw else CAN),
        ),
        (
            "Look for two things: a sum of 1, and no number below 0.",
            f"${_sum(question.row, 2)} = ?$",
        ),
        (total, why[question.flaw]),
    )


def shifted_scores(rng: np.random.RandomState) -> Exercise:
    """Adding one number to every score changes no weight."""
    scores = _until(lambda: _whole(rng, -1, 3, 3).tolist(), lambda s: s[0] != s[1])
    shift = int(_one_of(rng, (-5, -4, 4, 5, 10)))
    moved = [score + shift for score in scores]
    weights = softmax(np.array(scores, float)).tolist()
    gap = scores[0] - scores[1]
    end, _ = _result(math.exp(gap), 3)
    sign = "added to" if shift > 0 else "taken from"
    return Exercise(
        "The same added to every score",
        f"Softmax makes these weights of the scores. Now {abs(shift)} is {sign} every score. What "
        f"is the new weight of “{KEYS[0]}”, and how many times the weight of “{KEYS[1]}” is it?",
        (_shift_table(scores, weights),),
        (
            _blank(f"weight of “{KEYS[0]}”", weights[0], WEIGHT),
            _blank(
                "times",
                math.exp(gap),
                max(0.02, 0.02 * math.exp(gap)),
                (math.exp(-gap), "That is the other way round."),
            ),
        ),
        (
            "The ratio of two weights is $e$ to the difference of their scores. What becomes of "
            "the difference?",
            f"$e^({_minus(moved[0], moved[1])}) = ?$",
        ),
        (
            f"Before: $e^({_minus(scores[0], scores[1])}) {end}$",
            f"After: $e^({_minus(moved[0], moved[1])}) {end}$",
            f"All ratios stay, so all weights stay: {written(weights[0], 3)} for “{KEYS[0]}”.",
        ),
    )


def _shift_table(scores: list, weights: list) -> Given:
    cells = (tuple(map(written, scores)), tuple(written(w, 3) for w in weights))
    return Given("", cells, ("scores", "weights"), KEYS)


# A ratio of two weights, and what their scores are multiplied by.
SHARPER = (
    *((ratio, 2) for ratio in (2, 3, 4, 5)),
    *((ratio, 3) for ratio in (2, 3)),
    *((ratio, 0.5) for ratio in (4, 9, 16, 25)),
)


def sharper_scores(rng: np.random.RandomState) -> Exercise:
    """Multiplying every score raises the ratio of two weights to a power."""
    ratio, times = _one_of(rng, SHARPER)
    new = round(ratio**times)
    what = {2: "doubled", 3: "tripled", 0.5: "halved"}[times]
    end, _ = _result(new / (new + 1))
    power = f"√{ratio}" if times == 0.5 else f"{ratio}^{times}"
    return Exercise(
        "Sharper or flatter",
        f"“cat” and “mat” share the weight of a row: {ratio}/{ratio + 1} and 1/{ratio + 1}. Then "
        f"every scaled score is {what}. What is the weight of “cat” now? (A fraction will do.)",
        (),
        (
            _blank(
                "weight of “cat”",
                new / (new + 1),
                0.006,
                (ratio / (ratio + 1), "Adding to every score changes nothing; multiplying does."),
                (
                    ratio * times / (ratio * times + 1),
                    f"The difference of the scores is {what}, and the ratio is $e$ to it: what "
                    "happens to the ratio?",
                ),
            ),
        ),
        (
            f"The ratio was {ratio}, that is $e$ to the difference. Multiply the difference, and "
            "the ratio is raised to that power.",
            f"${power} = ?$",
        ),
        (
            f"The ratio becomes ${power} = {new}$",
            f"Of {new + 1} parts, “cat” gets {new}: ${new} ÷ {new + 1} {end}$",
        ),
    )


def difference_for_a_ratio(rng: np.random.RandomState) -> Exercise:
    """The way back: a ratio of weights is the logarithm of a difference."""
    ratio, root = int(_one_of(rng, (2, 3, 4, 5, 8, 10, 20))), int(_one_of(rng, (2, 4, 5, 8)))
    end, printed = _result(math.log(ratio))
    raw, _ = _result(printed * root)
    return Exercise(
        "Back from weights to scores",
        f"“cat” gets {ratio} times the weight of “mat”. By how much is its scaled score larger? "
        f"And its score before dividing by $√(d_k)$, with $d_k = {root**2}$?",
        (),
        (
            _blank(
                "scaled",
                math.log(ratio),
                WEIGHT,
                (math.log10(ratio), "That is the logarithm to base 10; softmax uses $e$."),
                (math.exp(ratio), "That is $e$ to the ratio; it is the other way round."),
            ),
            _blank(
                "before dividing",
                math.log(ratio) * root,
                0.011 * root,
                (math.log(ratio) / root, "That divides once more; undo the division."),
                (math.log(ratio), "That is still the scaled difference."),
            ),
        ),
        (
            f"$e$ to the difference is {ratio}; the natural logarithm undoes $e$ to the power.",
            f"$ln({ratio}) = ?$",
        ),
        (
            f"Scaled: $ln({ratio}) {end}$",
            f"Before dividing by $√{root**2} = {root}$: ${written(printed)} × {root} {raw}$",
        ),
    )


# ---- masks

FIRST_WORDS = ("The", "cat", "sat", "on")


def masked_row(rng: np.random.RandomState) -> Exercise:
    """A causal row: what comes later gets nothing, the rest shares 1."""
    query = rng.randint(1, 3)
    scores = _until(
        lambda: _whole(rng, -1, 3, 4).tolist(),
        lambda s: len(set(s[: query + 1])) > 1 and max(s[query + 1 :]) >= max(s[: query + 1]) - 1,
    )
    seen = scores[: query + 1]
    lines, _ = _softmax_lines(seen)
    weights = [*softmax(np.array(seen, float)).tolist(), *[0.0] * (3 - query)]
    unmasked = softmax(np.array(scores, float)).tolist()
    late = "That is without the mask. Masked words leave the row before the softmax."
    word = FIRST_WORDS[query]
    return Exercise(
        "A masked row",
        f"The scaled scores of “{word}” are given. The mask is causal: a word looks at itself and "
        "at what stands before it. What are the weights?",
        (_matrix("", scores, (word,), FIRST_WORDS),),
        tuple(
            _blank(word, w, WEIGHT if place <= query else 0.001, (wrong, late))
            for place, (word, w, wrong) in enumerate(
                zip(FIRST_WORDS, weights, unmasked, strict=True)
            )
        ),
        (
            f"Only {query + 1} words are left to share 1; a masked score counts as −∞, and $e$ to "
            "it is 0.",
            f"{FIRST_WORDS[0]}: {_softmax_hint(seen)}",
        ),
        (
            f"“{word}” may not look at {' and '.join(f'“{w}”' for w in FIRST_WORDS[query + 1 :])}: "
            "weight 0.",
            *lines,
        ),
    )


def causal_cells(rng: np.random.RandomState) -> Exercise:
    """How many cells of the map a causal mask leaves open."""
    T = int(rng.randint(4, 13))
    place = int(rng.randint(2, T))
    left = T * (T + 1) // 2
    return Exercise(
        "Counting a causal mask",
        f"A sentence has {T} words, and the mask is causal. How many words may word {place} look "
        f"at (itself too)? How many of the {T} × {T} cells are open, and how many are masked?",
        (),
        (
            _blank(
                f"seen by word {place}", place, 0, (place - 1, "A word may look at itself too.")
            ),
            _blank(
                "open",
                left,
                0,
                (T * T, "That is all cells."),
                (T * T / 2, "Nearly: the diagonal is open whole, so it is more than half."),
                (left - T, "The diagonal is open too: each word may look at itself."),
            ),
            _blank("masked", T * T - left, 0, (left, "That is what is open.")),
        ),
        ("The first row has one open cell, the second two, and so on.", f"$1 + 2 + … + {T} = ?$"),
        (
            f"Word {place} looks at those before it and at itself: ${place - 1} + 1 = {place}$",
            f"Open: ${' + '.join(map(str, range(1, T + 1)))} = {T} × {T + 1} ÷ 2 = {left}$",
            f"Masked: ${T} × {T} − {left} = {T * T - left}$",
        ),
    )


def window_cells(rng: np.random.RandomState) -> Exercise:
    """How many cells a causal sliding window leaves open. Beltagy, Peters and Cohan 2020."""
    T, before = int(rng.randint(6, 13)), int(rng.randint(1, 4))
    place = int(rng.randint(before + 2, T + 1))
    rows = [min(i, before + 1) for i in range(1, T + 1)]
    left = sum(rows)
    return Exercise(
        "Counting a sliding window",
        f"In a sentence of {T} words, each word may look back only: at itself and at "
        f"{'the word' if before == 1 else f'up to {before} words'} before it. How many words does "
        f"word {place} look at? How many cells of the map are open?",
        (),
        (
            _blank(
                f"seen by word {place}",
                before + 1,
                0,
                (before, "A word may look at itself too."),
                (place, "That is the causal mask without the window."),
            ),
            _blank(
                "open",
                left,
                0,
                (T * (before + 1), "The first words have fewer words before them."),
                (T * (T + 1) / 2, "That is the causal mask without the window."),
            ),
        ),
        (
            f"From word {before + 1} on, every row has {before + 1} open cells; the rows before "
            "have fewer.",
            "$1 + 2 + … = ?$",
        ),
        (
            f"Word {place}: ${before} + 1 = {before + 1}$",
            f"Row by row: ${' + '.join(map(str, rows))} = {left}$",
            f"The causal mask without a window leaves ${T} × {T + 1} ÷ 2 = {T * (T + 1) // 2}$",
        ),
    )


def masked_too_late(rng: np.random.RandomState) -> Exercise:
    """A mask after the softmax takes weight away and gives it to nobody."""
    units = _until(lambda: _whole_row(rng, 4), lambda u: 20 <= u[2] + u[3] <= 70)
    row = [int(unit) / 100 for unit in units]
    left = round(row[0] + row[1], 2)
    end, _ = _result(row[0] / left)
    return Exercise(
        "Masked after the softmax",
        "A program computes the softmax of a row first and then sets the weights of “sat” and “on” "
        "to 0. What does the row add up to? And what is the weight of “The” when the mask comes "
        "before the softmax, as it should?",
        (_matrix("", row, columns=FIRST_WORDS, decimals=2),),
        (
            _blank(
                "sum",
                left,
                0.001,
                (round(1 - left, 2), "That is what the mask took away."),
                (1, "It was 1 before the mask took something away."),
            ),
            _blank(
                "weight of “The”",
                row[0] / left,
                WEIGHT,
                (row[0], "That is what it had when all four shared; now two share 1."),
            ),
        ),
        (
            "Before the softmax, the words that are left share the whole 1, in the same ratio.",
            f"${written(row[0], 2)} ÷ ({_sum(row[:2], 2)}) = ?$",
        ),
        (
            f"Left: ${_sum(row[:2], 2)} = {written(left, 2)}$, less than 1.",
            f"Shared out whole: ${written(row[0], 2)} ÷ {written(left, 2)} {end}$",
        ),
    )


# ---- output


def weighted_sum(rng: np.random.RandomState) -> Exercise:
    """The output: values times weights, added up."""
    weights = _tenth_weights(rng)
    V = _until(lambda: _whole(rng, -3, 4, 3, 2), lambda V: len({*map(tuple, V.tolist())}) == 3)
    output = weights @ V
    lines = [_weigh(f"o_{c + 1}", weights, V[:, c]) for c in range(2)]
    return Exercise(
        "The output of one word",
        "“it” has these weights; the values are the rows of V. What is its output, two numbers?",
        (_matrix("weights", weights, columns=KEYS), _matrix("V", V, KEYS)),
        tuple(
            _blank(
                f"$o_{c + 1}$",
                output[c],
                0.011,
                (V[:, c].sum(), "That adds the values up without their weights."),
                (V[:, c].mean(), "That is the plain mean: every word weighs the same in it."),
            )
            for c in range(2)
        ),
        (
            "Multiply each value by its weight, then add up, column by column.",
            f"$o_1 = {_products(weights, V[:, 0])} = ?$",
        ),
        tuple(lines),
    )


def _tenth_weights(rng: np.random.RandomState) -> np.ndarray:
    """Three different weights in tenths, above 0, that add up to 1."""
    tenths = _until(
        lambda: _whole(rng, 1, 8, 3), lambda units: units.sum() == 10 and len(set(units)) == 3
    )
    return tenths / 10


def equal_scores(rng: np.random.RandomState) -> Exercise:
    """Equal scores make equal weights, and the output is the mean of the values."""
    T = int(_one_of(rng, (2, 4, 5)))
    words = ("The", "cat", "sat", "on", "mat")[:T]
    score = int(rng.randint(-3, 8))
    V = _until(lambda: _whole(rng, -3, 6, T, 2), lambda V: len({0, *V.sum(axis=0).tolist()}) == 3)
    end, _ = _result(1 / T)
    lines = [f"$({_sum(V[:, c].tolist())}) ÷ {T} {_result(V[:, c].mean())[0]}$" for c in range(2)]
    return Exercise(
        "When all scores are equal",
        f"{'Both' if T == 2 else f'All {T}'} scores of a row are {written(score)}. What weight "
        "does each word get, and what is the output? (Fractions will do.)",
        (_matrix("V", V, words),),
        (
            _blank("each weight", 1 / T, 0.005, (1, "The weights share 1 between them.")),
            *(
                _blank(
                    f"$o_{c + 1}$",
                    V[:, c].mean(),
                    0.011,
                    (V[:, c].sum(), "That adds the values up; each counts only by its weight."),
                )
                for c in range(2)
            ),
        ),
        (
            "Equal powers of $e$, whatever the score is, share 1 evenly.",
            f"$o_1 = ({_sum(V[:, 0].tolist())}) ÷ {T} = ?$",
        ),
        (f"Each weight: $1 ÷ {T} {end}$", *(f"Output: {line}" for line in lines)),
    )


def shuffled_words(rng: np.random.RandomState) -> Exercise:
    """Without positions, shuffled words keep their weights: rows and columns move along."""
    A = np.array([_whole_row(rng, 3) for _ in KEYS]) / 100
    order = _until(lambda: rng.permutation(3).tolist(), lambda order: order[0] != 0)
    row = A[order[0], order]
    words = tuple(KEYS[place] for place in order)
    stayed = "That word still stands at its old place: the columns move as well."
    return Exercise(
        "Shuffled words",
        f"Without positions, “{' '.join(KEYS)}” gives these weights: who looks stands beside, who "
        f"is looked at above. The same words come as “{' '.join(words)}”. What is the first row "
        "of the new map, from left to right?",
        (_matrix("", A, KEYS, KEYS, 2),),
        tuple(
            _blank(
                f"column {c + 1}",
                row[c],
                0.001,
                (A[order[0], c], stayed),
                (A[0, c], f"That is the row of “{KEYS[0]}”; who stands first now?"),
            )
            for c in range(3)
        ),
        (
            f"The first row now belongs to “{words[0]}”, the columns to "
            f"{', '.join(f'“{word}”' for word in words)}. Each word still gives each other word "
            "the same weight.",
            f"column 1: “{words[0]}” looks at “{words[0]}”",
        ),
        (
            f"The row of “{words[0]}”, in the new order: "
            + ", ".join(f"“{word}” {written(w, 2)}" for word, w in zip(words, row, strict=True)),
            f"It still shares 1: ${_sum(row.tolist(), 2)} = 1$",
            "Attention by itself does not know the order of words; positions must be added.",
        ),
    )


def merged_heads(rng: np.random.RandomState) -> Exercise:
    """Two heads side by side, mixed by W_o."""
    heads = _until(lambda: _whole(rng, -2, 3, 2, 2), lambda h: (h != 0).sum() >= 3)
    W_o = _whole(rng, -1, 2, 4, 2)
    merged = heads.reshape(-1)
    output = merged @ W_o
    return Exercise(
        "Two heads become one output",
        f"For “it”, head 1 gives {_vector(heads[0])} and head 2 gives {_vector(heads[1])}. They "
        "are put side by side, four numbers, and multiplied by $W_o$. What comes out?",
        (_matrix("W_o", W_o),),
        tuple(
            _blank(
                f"$o_{c + 1}$",
                output[c],
                0,
                (
                    heads[0] @ W_o[:2, c],
                    "That is what head 1 adds; head 2 meets the last two rows of $W_o$.",
                ),
                (heads[:, c].sum(), "That only adds the heads up; multiply by $W_o$."),
            )
            for c in range(2)
        ),
        (
            f"Side by side: {_vector(merged)}. Each output number takes one column of $W_o$.",
            f"$o_1 = {_products(merged, W_o[:, 0])} = ?$",
        ),
        tuple(_dot(f"o_{c + 1}", merged, W_o[:, c]) for c in range(2)),
    )


# ---- sizes


def shapes(rng: np.random.RandomState) -> Exercise:
    """The shapes of QKᵀ and of the output."""
    T, d_k, d_v = rng.choice((3, 4, 5, 6, 7, 8, 9, 11), 3, replace=False).tolist()
    inner = "That is $d_k$; it is summed over and disappears."
    return Exercise(
        "Shapes",
        f"A sentence of $T = {T}$ words, $d_k = {d_k}$, $d_v = {d_v}$: Q and K are {T} × {d_k}, V "
        f"is {T} × {d_v}. What is the shape of $Q K^T$, and of the output, softmax times V?",
        (),
        (
            _blank("$Q K^T$: rows", T, 0, (d_k, inner)),
            _blank("$Q K^T$: columns", T, 0, (d_k, inner)),
            _blank("output: rows", T, 0, (d_k, inner)),
            _blank(
                "output: columns",
                d_v,
                0,
                (d_k, "That is $d_k$; the values are $d_v$ wide."),
                (T, "The weights have a column for each word; the values bring their own width."),
            ),
        ),
        (
            "In a product of matrices the inner widths must agree, and go. A row for each word "
            "that looks, a column for each word looked at.",
            f"$({T} × {d_k}) · ({d_k} × {T})$",
        ),
        (
            f"$({T} × {d_k}) · ({d_k} × {T})$ is {T} × {T}: ${T} × {T} = {T * T}$ scores.",
            f"$({T} × {T}) · ({T} × {d_v})$ is {T} × {d_v}: ${T} × {d_v} = {T * d_v}$ numbers.",
        ),
    )


def parameters(rng: np.random.RandomState) -> Exercise:
    """How many numbers the weight matrices hold."""
    H, d_k = int(_one_of(rng, (2, 3, 4, 8))), int(_one_of(rng, (2, 4, 5, 8, 10)))
    D = H * d_k
    forgot = "That is one matrix; there are three: $W_q$, $W_k$, $W_v$."
    return Exercise(
        "Counting parameters",
        f"Words are $D = {D}$ wide. There are $H = {H}$ heads, each with $W_q$, $W_k$ and $W_v$ of "
        f"{D} × {d_k}, and one $W_o$ of {D} × {D}; no biases. How many numbers has one head "
        "(without $W_o$)? How many are there in all?",
        (),
        (
            _blank("one head", 3 * D * d_k, 0, (D * d_k, forgot)),
            _blank(
                "in all",
                4 * D * D,
                0,
                (3 * D * D, "$W_o$ is missing."),
                (3 * D * d_k + D * D, "That is one head with $W_o$; take all heads."),
            ),
        ),
        (
            "Each matrix holds rows times columns; a head has three of them.",
            f"$3 × {D} × {d_k} = ?$",
        ),
        (
            f"One head: $3 × {D} × {d_k} = {written(3 * D * d_k)}$",
            f"All heads: ${H} × {written(3 * D * d_k)} = {written(3 * D * D)}$",
            f"$W_o$: ${D} × {D} = {written(D * D)}$",
            f"In all: ${written(3 * D * D)} + {written(D * D)} = 4 × {D}^2 = {written(4 * D * D)}$",
            "More heads make each head narrower; the whole stays as large.",
        ),
    )


def cost_of_length(rng: np.random.RandomState) -> Exercise:
    """The scores grow with the square of the length."""
    T, times = int(_one_of(rng, (5, 8, 10, 12, 16, 20))), int(_one_of(rng, (2, 3, 4, 5, 10)))
    d_k = int(_one_of(rng, (4, 8, 16, 32)))
    return Exercise(
        "What a longer text costs",
        f"A text has {T} words, and $d_k = {d_k}$. How many scores does one head compute (no "
        f"mask), and how many multiplications do they take? With {times} times as many words, how "
        "many times as many scores?",
        (),
        (
            _blank("scores", T * T, 0, (T, "Every word looks at every word.")),
            _blank(
                "multiplications",
                T * T * d_k,
                0,
                (T * d_k, "That is one row; there are as many rows as words."),
                (T * T, "Each score takes $d_k$ of them."),
            ),
            _blank(
                "times as many scores",
                times**2,
                0,
                (times, "More words look, and each looks at more words: both grow."),
                (T * T * times**2, "That is the number of scores; how many times as many is it?"),
            ),
        ),
        (
            "Every word looks at every word, and each score is a sum of $d_k$ products.",
            f"${T} × {T} = ?$",
        ),
        (
            f"Scores: ${T} × {T} = {written(T * T)}$",
            f"Multiplications: ${written(T * T)} × {d_k} = {written(T * T * d_k)}$",
            f"With {T * times} words: ${T * times} × {T * times} = {written((T * times) ** 2)}$ "
            f"scores, ${times}^2 = {times**2}$ times as many.",
        ),
    )


def cache_size(rng: np.random.RandomState) -> Exercise:
    """The keys and values that a text-writing model keeps."""
    L, H_kv, d_k, n = (
        int(_one_of(rng, options))
        for options in ((2, 4, 6, 12), (2, 4, 8), (16, 32, 64), (128, 256, 512, 1024))
    )
    each = 2 * L * H_kv * d_k
    kib = 2 * each * n // 1024
    return Exercise(
        "The key/value cache",
        f"A model writes word by word and keeps the keys and values of all words so far: {L} "
        f"layers, {H_kv} key/value heads in each, $d_k = d_v = {d_k}$. How many numbers is that "
        f"for one word? How many KiB for {written(n)} words, at 2 bytes a number? (1 KiB is 1,024 "
        "bytes.)",
        (),
        (
            _blank(
                "numbers for one word",
                each,
                0,
                (each // 2, "Keys and values are both kept: twice as many."),
                (each // L, "That is one layer."),
            ),
            _blank(
                "KiB",
                kib,
                0,
                (kib / 2, "Half of it is missing: 2 bytes a number, keys and values."),
                (kib * 1024, "Those are bytes; divide by 1,024."),
            ),
        ),
        ("One key and one value for each head of each layer.", f"$2 × {L} × {H_kv} × {d_k} = ?$"),
        (
            f"One word: $2 × {L} × {H_kv} × {d_k} = {written(each)}$ numbers",
            f"All words: ${written(each)} × {written(n)} × 2 = {written(2 * each * n)}$ bytes",
            f"${written(2 * each * n)} ÷ 1,024 = {written(kib)}$ KiB",
        ),
    )


def shared_heads(rng: np.random.RandomState) -> Exercise:
    """What grouped-query and multi-query attention save. Ainslie et al. 2023, Shazeer 2019."""
    H, H_kv = _one_of(rng, ((8, 2), (8, 4), (12, 3), (12, 4), (16, 4), (32, 8)))
    each = int(_one_of(rng, (2, 3, 4, 6, 10)))
    whole, grouped = H * each, H_kv * each
    return Exercise(
        "Heads that share keys",
        f"With a key/value head for each of its {H} query heads, a model’s cache takes {whole} "
        f"MiB. How much with {H_kv} key/value heads (grouped-query), and with one for all "
        "(multi-query)?",
        (),
        (
            _blank(
                "grouped-query, MiB",
                grouped,
                0,
                (whole / H_kv, f"{H_kv} heads are kept, not 1 in {H_kv}."),
                (each, "That is multi-query: one head."),
            ),
            _blank("multi-query, MiB", each, 0, (whole, "Nothing is shared then.")),
        ),
        (
            "The cache grows with the number of key/value heads; queries are not kept.",
            f"${whole} ÷ {H} = ?$",
        ),
        (
            f"One key/value head: ${whole} ÷ {H} = {each}$ MiB, which is multi-query.",
            f"{H_kv} of them: ${each} × {H_kv} = {grouped}$ MiB",
            f"Each is shared by ${H} ÷ {H_kv} = {H // H_kv}$ query heads.",
        ),
    )


# ---- together


def whole_row(rng: np.random.RandomState) -> Exercise:
    """One row of attention from q, K and V: scores, scaled, weights, output."""
    q, K = _until(
        lambda: (_whole(rng, -2, 2, 4), _whole(rng, -2, 2, 3, 4)),
        lambda drawn: 2 <= np.ptp(drawn[1] @ drawn[0]) <= 5 and abs(drawn[1] @ drawn[0]).max() <= 6,
    )
    V = _whole(rng, -2, 3, 3, 2)
    scores = (K @ q).tolist()
    weights = softmax(K @ q / 2)
    return _attention_exercise(
        "A whole row of attention",
        f"The query of “it” is $q = {_vector(q)}$; keys and values are the rows of K and V. "
        "What are the weights, and what is the output?",
        (_matrix("K", K, KEYS), _matrix("V", V, KEYS)),
        _weight_blanks(KEYS, weights, softmax(K @ q.astype(float)), FORGOT_ROOT),
        [f"{word}: {_dot('q · k', q, k)}" for word, k in zip(KEYS, K, strict=True)],
        scores,
        4,
        V,
        (
            "Scores, divided by $√4$, softmax, weighted sum of the values.",
            f"{KEYS[0]}: ${_products(q, K[0])} = ?$",
        ),
    )


def words_to_output(rng: np.random.RandomState) -> Exercise:
    """Attention from the embeddings of two words to the output of the second."""
    words = ("cat", "it")
    X, W_q, W_k, W_v = _until(
        lambda: [_whole(rng, -1, 2, 2, n) for n in (2, 2, 2, 1)], lambda drawn: _friendly(*drawn)
    )
    q, K, V = X[1] @ W_q, X @ W_k, X @ W_v
    scores = (K @ q).tolist()
    weights = softmax(K @ q / math.sqrt(2))
    lines = [
        "Query of “it”: " + ", ".join(_dot(f"q_{c + 1}", X[1], W_q[:, c]) for c in range(2)),
        *(
            f"Key of “{word}”: " + ", ".join(_dot(f"k_{c + 1}", x, W_k[:, c]) for c in range(2))
            for word, x in zip(words, X, strict=True)
        ),
        *(
            f"Value of “{word}”: {_dot('v', x, W_v[:, 0])}"
            for word, x in zip(words, X, strict=True)
        ),
        *(f"Score with “{word}”: {_dot('q · k', q, k)}" for word, k in zip(words, K, strict=True)),
    ]
    blanks = (
        *(_blank(f"$q_{c + 1}$", q[c], 0) for c in range(2)),
        *_weight_blanks(words, weights, softmax(K @ q.astype(float)), FORGOT_ROOT),
    )
    return _attention_exercise(
        "From words to output",
        "The rows of X are the embeddings of “cat” and “it”. What is the query of “it”, its weight "
        "for each word, and its output (one number)?",
        (_matrix("X", X, words), _matrix("W_q", W_q), _matrix("W_k", W_k), _matrix("W_v", W_v)),
        blanks,
        lines,
        scores,
        2,
        V,
        (
            "Query of “it”, both keys, both values; then two scores, divided by $√2$, softmax, "
            "weighted sum.",
            f"$q_1 = {_products(X[1], W_q[:, 0])} = ?$",
        ),
    )


def _friendly(X, W_q, W_k, W_v) -> bool:
    """True where the two scores differ, but not by so much that one word takes all."""
    q, K, V = X[1] @ W_q, X @ W_k, X @ W_v
    scores = K @ q
    return (
        q.any() and 1 <= abs(scores[0] - scores[1]) <= 4 and abs(scores).max() <= 6 and V[0] != V[1]
    )


def _weight_blanks(words, weights, wrong, why: str) -> tuple[Blank, ...]:
    return tuple(
        _blank(f"weight of “{word}”", w, WEIGHT, (other, why))
        for word, w, other in zip(words, weights.tolist(), wrong.tolist(), strict=True)
    )


def _attention_exercise(title, question, givens, blanks, lines, scores, d_k, V, hint) -> Exercise:
    """The exercise that goes on from scores over √d_k to weights and output."""
    root_end, root = _result(math.sqrt(d_k))
    ends, scaled = zip(*(_result(score / root) for score in scores), strict=True)
    softmax_lines, printed = _softmax_lines(scaled)
    columns = range(V.shape[1])
    names = ["o"] if V.shape[1] == 1 else [f"o_{c + 1}" for c in columns]
    exact = softmax(np.array(scores) / math.sqrt(d_k)) @ V
    divided = [
        f"${written(score)} ÷ {written(root)} {end}$"
        for score, end in zip(scores, ends, strict=True)
    ]
    return Exercise(
        title,
        question,
        givens,
        (
            *blanks,
            *(
                _blank(f"${name}$", exact[c], OUTPUT, (V[:, c].sum(), "Without the weights."))
                for c, name in enumerate(names)
            ),
        ),
        hint,
        (
            *lines,
            f"Divide by $√{d_k} {root_end}$: {', '.join(divided)}",
            *softmax_lines,
            *(f"Output: {_weigh(name, printed, V[:, c], 3)}" for c, name in enumerate(names)),
        ),
    )


MISTAKES = (
    "none: it is right",
    "softmax over the columns",
    "not divided by $√(d_k)$",
    "masked after the softmax",
)


def which_mistake(rng: np.random.RandomState) -> Exercise:
    """Which mistake a program made between scores and weights."""
    scores, maps = _until(
        lambda: _mistaken_maps(_whole(rng, -3, 4, 3, 3)),
        lambda drawn: _tell_apart([*drawn[1].values()]),
    )
    mistake = _one_of(rng, MISTAKES)
    shown, right = maps[mistake], maps[MISTAKES[0]]
    seen = (scores[1, :2] / 2).tolist()
    lines, _ = _softmax_lines(seen)
    return Exercise(
        "Which mistake was made?",
        "A program made these weights A of the scores S, with $d_k = 4$ and a causal mask. Which "
        "mistake did it make? And what is the right weight in the second row, first column?",
        (_matrix("S", scores), _matrix("A", shown, decimals=2)),
        (
            Pick("The mistake", MISTAKES, mistake),
            _blank(
                "right weight",
                right[1, 0],
                WEIGHT,
                *((maps[name][1, 0], _MADE[name]) for name in MISTAKES[1:]),
            ),
        ),
        (
            "Add up the rows of A, then its columns. Then work out the second row: divide by "
            "$√4$, leave out what is masked, softmax.",
            f"Second row, first column: {_softmax_hint(seen)}",
        ),
        (
            "The second row, divided by $√4 = 2$: "
            f"${written(scores[1, 0])} ÷ 2 = {written(seen[0])}$, "
            f"${written(scores[1, 1])} ÷ 2 = {written(seen[1])}$; the third word is masked.",
            *lines,
            *_evidence(mistake, scores, shown),
        ),
    )


_MADE = {
    MISTAKES[1]: "That is the softmax of the column.",
    MISTAKES[2]: FORGOT_ROOT,
    MISTAKES[3]: "That is the softmax of all three, masked too late.",
}


def _mistaken_maps(scores: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The causal weights (3, 3) of scores with d_k = 4, right and with each mistake."""
    mask = causal_mask(3)
    scaled = scores / 2
    maps = (
        softmax(scaled, where=mask),
        softmax(scaled, axis=0, where=mask),
        softmax(scores.astype(float), where=mask),
        np.where(mask, softmax(scaled), 0),
    )
    return scores, dict(zip(MISTAKES, maps, strict=True))


def _tell_apart(maps: Sequence[np.ndarray]) -> bool:
    """True where each mistake shows: in the sums of rows or columns, or in the second row."""
    right, columns, raw, late = maps
    return (
        all(abs(a - b).max() >= 0.1 for a, b in itertools.combinations(maps, 2))
        and abs(columns[1].sum() - 1) >= 0.1
        and round(columns[:, 0].round(2).sum(), 2) == 1
        and abs(raw - right)[1].max() >= 0.1
        and late[1].sum() <= 0.9
    )


def _evidence(mistake: str, scores: np.ndarray, shown: np.ndarray) -> tuple[str, ...]:
    """The lines that give the mistake away."""
    printed = np.round(shown, 2)

    def adding(numbers) -> str:
        return f"${_sum(numbers.tolist(), 2)} = {written(numbers.sum(), 2)}$"

    if mistake == MISTAKES[1]:
        return (
            f"But the first column of A adds up to 1, {adding(printed[:, 0])}, and its second row "
            f"does not: {adding(printed[1, :2])}. The softmax ran down the columns.",
        )
    if mistake == MISTAKES[2]:
        return (
            "The rows of A add up to 1, yet the second row differs. Without dividing:",
            *_softmax_lines(scores[1, :2].tolist())[0],
            "That is the second row of A: it was not divided.",
        )
    if mistake == MISTAKES[3]:
        return (
            f"But the second row of A adds up to less than 1: {adding(printed[1, :2])}. The mask "
            "came after the softmax and took its share away.",
        )
    return ("That is the second row of A, and every row adds up to 1: there is no mistake.",)


# ---- sheets


class Kind(NamedTuple):
    """A kind of exercise. `key` goes into the seed: it never changes, so that links stay true."""

    key: str
    group: str
    make: Callable[[np.random.RandomState], Exercise]


# In the order of a sheet. An exercise keeps its number for good: a new kind goes to the end.
KINDS = (
    Kind("dot product", "Scores", one_dot_product),
    Kind("projection", "Scores", one_projection),
    Kind("row of scores", "Scores", row_of_scores),
    Kind("both ways", "Scores", both_ways),
    Kind("scaled score", "Scores", scaled_score),
    Kind("spread", "Scores", spread_of_scores),
    Kind("ratio", "Softmax", ratio_of_weights),
    Kind("softmax of two", "Softmax", softmax_of_two),
    Kind("softmax of three", "Softmax", softmax_of_three),
    Kind("missing weight", "Softmax", missing_weight),
    Kind("possible row", "Softmax", possible_row),
    Kind("shift", "Softmax", shifted_scores),
    Kind("sharper", "Softmax", sharper_scores),
    Kind("logarithm", "Softmax", difference_for_a_ratio),
    Kind("masked row", "Masks", masked_row),
    Kind("causal cells", "Masks", causal_cells),
    Kind("window cells", "Masks", window_cells),
    Kind("masked too late", "Masks", masked_too_late),
    Kind("weighted sum", "Output", weighted_sum),
    Kind("equal scores", "Output", equal_scores),
    Kind("shuffled words", "Output", shuffled_words),
    Kind("merged heads", "Output", merged_heads),
    Kind("shapes", "Sizes", shapes),
    Kind("parameters", "Sizes", parameters),
    Kind("cost", "Sizes", cost_of_length),
    Kind("cache", "Sizes", cache_size),
    Kind("shared heads", "Sizes", shared_heads),
    Kind("whole row", "Together", whole_row),
    Kind("words to output", "Together", words_to_output),
    Kind("which mistake", "Together", which_mistake),
)


def exercise(seed: int, number: int) -> Exercise:
    """Make exercise `number`, counting from 1, of the sheet with this seed.

    Each exercise has a stream of its own, so the others may change without it.
    Raises IndexError for a number that no exercise has.
    """
    if not 1 <= number <= len(KINDS):
        raise IndexError(f"A sheet has the exercises 1 to {len(KINDS)}; got {number}.")
    kind = KINDS[number - 1]
    return kind.make(stable_rng("exercise", kind.key, seed))


def exercise_sheet(seed: int) -> tuple[Exercise, ...]:
    """Make all exercises of the sheet with this seed: the same for everyone, for years."""
    return tuple(exercise(seed, number) for number in range(1, len(KINDS) + 1))


# ---- answers

MAX_ANSWER = 30  # characters
_DIGITS = r"(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)"
_ONE_NUMBER = re.compile(rf"([+-]?) ?(?:([0-9]+) )?({_DIGITS})(?: ?/ ?({_DIGITS}))? ?(%?)")
_THOUSANDS = re.compile(r"([+-]?) ?([1-9][0-9]{0,2}(?:([., '])[0-9]{3})(?:\3[0-9]{3})*)")


@dataclass(frozen=True)
class Verdict:
    """right: None where the answer cannot be read. said: a sentence about a wrong answer."""

    right: bool | None
    said: str = ""


def readings(text: str) -> tuple[float, ...]:
    """Return the numbers that a typed answer can mean.

    Read are 0.25, .25, 0,25 and ,25 with either decimal sign, −3 with any minus, 1/3, 1 1/2, 25 %,
    digits of any script, and groups of thousands: "1,024" can be 1.024 or 1024, so it gives both.
    Raises ValueError with a sentence for what cannot be read.
    """
    short = _in_ascii(text)
    found = []
    if len(text) <= MAX_ANSWER:
        if one := _ONE_NUMBER.fullmatch(short):
            found += _value(*one.groups())
        if grouped := _THOUSANDS.fullmatch(short):
            found.append(float(grouped[1] + re.sub(r"[., ']", "", grouped[2])))
    if not found:
        shown = " ".join(text.split())[:MAX_ANSWER]
        raise ValueError(
            f"“{shown}” is not read as a number. Write it like 0.25, .25, 0,25, −3 or 1/3."
        )
    return tuple(found)


def _value(sign: str, whole: str | None, number: str, below: str | None, percent: str) -> list:
    """The number that the parts of an answer make; none where "1 2" is two numbers."""
    if whole and not below:
        return []
    value = float(number.replace(",", "."))
    if below:
        divisor = float(below.replace(",", "."))
        if not divisor:
            raise ValueError("A number cannot be divided by 0.")
        value = float(whole or 0) + value / divisor
    value /= 100 if percent else 1
    return [-value if sign == "-" else value]


_SIGNS = str.maketrans("−–—‐‑⁄∕÷٫٬٪’", "-----///.,%'")


def _in_ascii(text: str) -> str:
    """Write digits, minus signs, fractions and decimal signs of any script in ASCII."""
    # ½ becomes " 1/2", so that 1½ is one and a half
    fractions = (f" {c}" if unicodedata.decomposition(c)[:10] == "<fraction>" else c for c in text)
    text = unicodedata.normalize("NFKC", "".join(fractions))
    seen = (c for c in text if unicodedata.category(c) != "Cf")  # no marks of direction
    digits = (str(unicodedata.decimal(c)) if c.isdecimal() else c for c in seen)
    return " ".join("".join(digits).translate(_SIGNS).split())


def judge(blank: Blank | Pick, answer: str) -> Verdict:
    """Judge an answer as typed or chosen; say what a known slip was."""
    if isinstance(blank, Pick):
        return Verdict(answer == blank.value)
    try:
        read = readings(answer)
    except ValueError as problem:
        return Verdict(None, str(problem))

    def near(value: float) -> bool:
        return any(abs(number - value) <= blank.within + 1e-9 for number in read)

    if near(blank.value):
        return Verdict(True)
    said = next((why for value, why in blank.slips if near(value)), "")
    if not said and near(-blank.value):
        said = "Mind the sign."
    if not said and 0 < blank.value < 1 and near(100 * blank.value):
        said = "As a share of 1, not of 100."
    return Verdict(False, said)


def is_solved(exercise: Exercise, answers: Sequence[str | None]) -> bool | None:
    """True if all answers are right, False if one is wrong, None while one is missing."""
    if any(not answer for answer in answers):
        return None
    verdicts = [judge(b, answer).right for b, answer in zip(exercise.blanks, answers, strict=True)]
    return all(verdicts)


# ---- the notation, and the sheet on paper

_ROOT = re.compile(r"√(?:\(([^()]*)\)|([\d.,]*\d|[A-Za-z]))")
_POWER = re.compile(r"\^(?:\(([^()]*)\)|(−?[\d.]*\d|[A-Za-z]))")
_BELOW = re.compile(r"_([A-Za-z0-9]+)")


def typeset(formula: str, root: str, power: str, below: str) -> str:
    """Write a formula of the notation above with templates for √x, ^x and _x, such as "^{{{}}}"."""
    for pattern, template in ((_ROOT, root), (_POWER, power), (_BELOW, below)):
        formula = pattern.sub(
            lambda found, template=template: template.format(next(filter(None, found.groups()))),
            formula,
        )
    return formula


def sheet_html(seed: int, *, solutions: bool = False, link: str = "") -> str:
    """Write a sheet as one HTML page for paper, which needs nothing else: no script, no network.

    solutions: the worked solution under each exercise; otherwise lines to write on.
    link: the address of the sheet, printed at its top.
    """
    title = f"Self-attention: exercises, sheet {seed}" + (", with solutions" if solutions else "")
    body = []
    group = ""
    for place, made in enumerate(exercise_sheet(seed)):
        if KINDS[place].group != group:
            group = KINDS[place].group
            body.append(f"<h2>{group}</h2>")
        body.append(_section(place + 1, made, solutions))
    where = f"<p>{html.escape(link)}</p>" if link else ""
    return _PAGE.format(title=title, where=where, body="\n".join(body))


def _section(number: int, made: Exercise, solutions: bool) -> str:
    parts = [f"<h3>{number}. {_prose(made.title)}</h3>", f"<p>{_prose(made.question)}</p>"]
    if made.givens:
        parts.append(f"<div class=givens>{''.join(map(_table, made.givens))}</div>")
    if solutions:
        lines = "".join(f"<li>{_prose(line)}</li>" for line in made.solution)
        answers = " &emsp; ".join(_prose(answer_text(blank)) for blank in made.blanks)
        parts.append(f"<ul>{lines}</ul><p><b>{answers}</b></p>")
    else:
        parts.append(f"<p class=blanks>{' '.join(map(_line_to_write_on, made.blanks))}</p>")
    return f"<section>{''.join(parts)}</section>"


def answer_text(blank: Blank | Pick) -> str:
    """Write a blank's label with the right answer, in the notation of the exercises."""
    if isinstance(blank, Pick):
        return f"{blank.label}: {blank.value}"
    return f"{blank.label} {_result(blank.value, 2)[0]}"  # two decimals are asked for


def _line_to_write_on(blank: Blank | Pick) -> str:
    if isinstance(blank, Pick):
        return f"<span>{' &emsp; '.join(f'☐ {_prose(option)}' for option in blank.options)}</span>"
    return f"<span>{_prose(blank.label)}: <i class=line></i></span>"


def _prose(text: str) -> str:
    """Text with formulas between dollar signs, as HTML."""
    pieces = html.escape(text, quote=False).split("$")
    return "".join(_formula(p) if place % 2 else p for place, p in enumerate(pieces))


def _formula(formula: str) -> str:
    set_out = typeset(formula, "√<u>{}</u>", "<sup>{}</sup>", "<sub>{}</sub>")
    return f"<span class=formula>{set_out}</span>"


def _table(given: Given) -> str:
    name = f"{_formula(given.name)} =" if given.name else ""
    kind = "table" if given.columns else "matrix"
    head = ""
    if given.columns:
        corner = "<th></th>" if given.rows else ""
        head = f"<tr>{corner}{''.join(f'<th>{word}</th>' for word in given.columns)}</tr>"
    rows = []
    for place, cells in enumerate(given.cells):
        beside = f"<th>{given.rows[place]}</th>" if given.rows else ""
        rows.append(f"<tr>{beside}{_cells(cells)}</tr>")
    return f"<div class=given>{name}<table class={kind}>{head}{''.join(rows)}</table></div>"


def _cells(cells: tuple[str, ...]) -> str:
    """The cells of a row; the outer ones carry the brackets of a matrix."""
    classes = [[] for _ in cells]
    classes[0].append("l")
    classes[-1].append("r")
    return "".join(
        f'<td class="{" ".join(names)}">{cell}</td>'
        for names, cell in zip(classes, cells, strict=True)
    )


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 11pt/1.45 Georgia, serif; max-width: 46rem; margin: 1.5rem auto; padding: 0 1rem;
  color: #111; background: #fff }}
h1 {{ font-size: 1.4rem; margin: 0 }} h2 {{ font-size: 1.1rem; border-bottom: 1px solid #999;
  margin: 1.6rem 0 .4rem; break-after: avoid }} h3 {{ font-size: 1rem; margin: 1rem 0 .2rem }}
p {{ margin: .3rem 0; overflow-wrap: anywhere }} section {{ break-inside: avoid }}
ul {{ margin: .3rem 0; padding-left: 1.2rem }} sup, sub {{ line-height: 0 }}
u {{ text-decoration: overline }} .givens {{ display: flex; flex-wrap: wrap; gap: .4rem 2rem }}
.given {{ display: flex; align-items: center; gap: .5rem }} table {{ border-collapse: collapse }}
td, th {{ padding: .05rem .5rem; text-align: right; font-weight: normal }} th {{ color: #555 }}
td {{ position: relative }} .matrix .l {{ border-left: 1.5px solid }}
.matrix .r {{ border-right: 1.5px solid }}
.matrix .l::before, .matrix .r::after {{ position: absolute; width: 5px }}
.matrix .l::before {{ left: 0 }} .matrix .r::after {{ right: 0 }}
.matrix tr:first-child .l::before, .matrix tr:first-child .r::after {{ content: ""; top: 0;
  border-top: 1.5px solid }}
.matrix tr:last-child .l::before, .matrix tr:last-child .r::after {{ content: ""; bottom: 0;
  border-bottom: 1.5px solid }}
.blanks {{ display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin-top: .6rem }}
.line {{ display: inline-block; width: 6rem; border-bottom: 1px solid #111 }}
@page {{ margin: 18mm }} @media print {{ body {{ margin: 0; max-width: none; padding: 0 }} }}
</style>
<h1>{title}</h1>
{where}
<p>Two decimals are enough. Q, K and V are queries, keys and values, one row for each word.</p>
{body}
</html>
"""
