"""Exercises from a seed: every answer worked out again, every line of a solution recomputed."""

import ast
import math
import operator
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention.cache_size import cache_bytes
from attention.exercises import (
    FLAWS,
    KINDS,
    MISTAKES,
    NEGATIVE,
    POST_ROW,
    TOO_LITTLE,
    TOO_MUCH,
    Blank,
    Pick,
    Verdict,
    exercise,
    exercise_sheet,
    is_solved,
    judge,
    readings,
    sheet_html,
    softmax_row,
    softmax_row_question,
    typeset,
    written,
)
from attention.functions import softmax
from attention.randomness import stable_rng
from attention.scenario import FIELDS


def test_the_post_s_row_by_hand():
    found = softmax_row(tuple(POST_ROW.values()))
    assert found.flaw == TOO_MUCH
    assert found.total == 2.73  # .01 + .87 + .52 + .03 + .32 + .98
    assert found.shares[1] == pytest.approx(87 / 273)
    assert sum(found.shares) == pytest.approx(1)


@pytest.mark.parametrize(
    ("row", "flaw"),
    [
        ((0.33, 0.05, 0.62), ""),
        ((0.25,) * 4, ""),
        ((0.33, 0.33, 0.33), ""),  # three thirds, rounded
        ((0.333, 0.333, 0.334), ""),
        ((1.0, 0.0), ""),  # a very small weight prints as .00
        ((1.0,), ""),
        ((0.5, 0.52), TOO_MUCH),
        ((0.5, 0.48), TOO_LITTLE),
        ((0.0, 0.0), TOO_LITTLE),
        ((0.7, 0.5, -0.2), NEGATIVE),
        ((1.2, 0.5, -0.2), TOO_MUCH),
    ],
)
def test_rows_judged_by_hand(row, flaw):
    assert softmax_row(row).flaw == flaw


@given(scores=st.lists(st.floats(-50, 50), min_size=1, max_size=11))
@settings(max_examples=100, deadline=None)
def test_every_softmax_row_is_possible_as_printed(scores):
    assert softmax_row(np.round(softmax(np.array(scores)), 2)).flaw == ""


@pytest.mark.parametrize("row", [(), (np.nan, 1.0), (np.inf,), ((0.5, 0.5),)])
def test_errors_say_what_a_row_needs(row):
    with pytest.raises(ValueError, match="at least one finite number; got"):
        softmax_row(row)


def test_questions_are_what_they_say():
    drawn = [softmax_row_question(stable_rng("test", seed)) for seed in range(400)]
    for question in drawn:
        row = np.array(question.row)
        assert 3 <= len(row) <= 6
        np.testing.assert_allclose(np.round(row, 2), row)
        total = round(float(row.sum()), 2)
        assert question.total == total
        if question.flaw in ("", NEGATIVE):
            assert total == 1.0
            assert (row.min() < 0) == (question.flaw == NEGATIVE)
        else:
            assert row.min() > 0
            assert total >= 1.15 if question.flaw == TOO_MUCH else total <= 0.85
    counts = [sum(question.flaw == flaw for question in drawn) for flaw in ("", *FLAWS)]
    assert counts == pytest.approx([160, 80, 80, 80], abs=40)


def test_the_numbers_of_a_seed_are_pinned():
    question = softmax_row_question(stable_rng("softmax row", 1, 0))
    assert question.row == (0.06, 0.17, 0.19, 0.15, 0.24)
    assert question.flaw == TOO_LITTLE


# ---- the exercises: every answer is worked out again from what a reader sees

SEEDS = range(1, 201)
SHEETS = {seed: exercise_sheet(seed) for seed in SEEDS}
WORDS = ("cat", "sat", "mat")
CHECKS = {}  # a kind's key -> how a reader would work its answers out


def check(key):
    def register(work_out):
        CHECKS[key] = work_out
        return work_out

    return register


def value(text: str) -> float:
    return float(text.replace("−", "-").replace(",", ""))


def in_text(made) -> list[float]:
    """The numbers of the question, in order."""
    return [value(n) for n in re.findall(r"(?<![\w.])−?(?:\d[\d,]*\d|\d*)\.?\d+", made.question)]


def vector(made, name: str) -> list[float]:
    found = re.search(rf"\${name} = \(([^)]*)\)\$", made.question)
    return [value(number) for number in found[1].split(", ")]


def table(made, place: int = 0) -> list[list[float]]:
    return [[value(cell) for cell in row] for row in made.givens[place].cells]


def dot(a, b) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def columns(rows):
    return list(zip(*rows, strict=True))


def shares(scores) -> list[float]:
    powers = [math.exp(score) for score in scores]
    return [power / sum(powers) for power in powers]


@check("dot product")
def _(made):
    return [dot(vector(made, "q"), vector(made, "k"))]


@check("projection")
def _(made):
    return [dot(table(made)[0], column) for column in columns(table(made, 1))]


@check("row of scores")
def _(made):
    return [dot(vector(made, "q"), k) for k in table(made)]


@check("both ways")
def _(made):
    (q_it, q_cat), (k_it, k_cat) = table(made), table(made, 1)
    assert made.givens[0].rows == made.givens[1].rows == ("it", "cat")
    return [dot(q_it, k_cat), dot(q_cat, k_it)]


@check("scaled score")
def _(made):
    q, k = vector(made, "q"), vector(made, "k")
    return [dot(q, k) / math.sqrt(len(q))]


@check("spread")
def _(made):
    d_k = in_text(made)[0]
    return [d_k, math.sqrt(d_k), 1]


@check("ratio")
def _(made):
    high, low = in_text(made)
    return [math.exp(high) / math.exp(low)]


@check("softmax of two")
@check("softmax of three")
def _(made):
    return shares(table(made)[0])


@check("missing weight")
def _(made):
    return [1 - sum(value(cell) for cell in made.givens[0].cells[0] if cell != "?")]


@check("possible row")
def _(made):
    row = table(made)[0]
    can = all(number >= 0 for number in row) and abs(sum(row) - 1) < 0.005 * len(row) + 1e-9
    return [sum(row), "can give it" if can else "cannot give it"]


@check("shift")
def _(made):
    shift = in_text(made)[0] * (1 if "added to" in made.question else -1)
    weights = shares([score + shift for score in table(made)[0]])
    assert table(made)[1] == [round(w, 3) for w in shares(table(made)[0])]
    return [weights[0], weights[0] / weights[1]]


@check("sharper")
def _(made):
    cat, parts, one, same = in_text(made)
    assert (one, same) == (1, parts)
    factor = next(
        f
        for word, f in {"doubled": 2, "tripled": 3, "halved": 0.5}.items()
        if word in made.question
    )
    return [shares([factor * math.log(cat / parts), factor * math.log(one / parts)])[0]]


@check("logarithm")
def _(made):
    ratio, d_k = in_text(made)
    return [math.log(ratio), math.log(ratio) * math.sqrt(d_k)]


@check("masked row")
def _(made):
    (word,), words = made.givens[0].rows, made.givens[0].columns
    seen = table(made)[0][: words.index(word) + 1]
    return [*shares(seen), *[0] * (4 - len(seen))]


@check("causal cells")
def _(made):
    T, place, *_ = (int(n) for n in in_text(made))
    left = sum(key <= query for query in range(T) for key in range(T))
    return [place, left, T * T - left]


@check("window cells")
def _(made):
    numbers = [int(n) for n in in_text(made)]
    T, before, place = numbers if len(numbers) == 3 else (numbers[0], 1, numbers[1])

    def seen(query):
        return sum(query - before <= key <= query for key in range(1, T + 1))

    return [seen(place), sum(map(seen, range(1, T + 1)))]


@check("masked too late")
def _(made):
    the, cat, _, _ = table(made)[0]
    return [the + cat, the / (the + cat)]


@check("weighted sum")
def _(made):
    (weights,), V = table(made), table(made, 1)
    assert sum(weights) == pytest.approx(1)
    return [dot(weights, column) for column in columns(V)]


@check("equal scores")
def _(made):
    V = table(made)
    weights = shares([in_text(made)[-1]] * len(V))  # “All 4 scores … are 3”, “Both scores … are 3”
    return [weights[0], *(dot(weights, column) for column in columns(V))]


@check("shuffled words")
def _(made):
    old, new = (words.split() for words in re.findall(r"“([^”]*)”", made.question))
    assert sorted(new) == sorted(old) and new != old
    weight = {
        (a, b): w
        for a, row in zip(old, table(made), strict=True)
        for b, w in zip(old, row, strict=True)
    }
    return [weight[new[0], word] for word in new]


@check("merged heads")
def _(made):
    _, a, b, _, c, d = in_text(made)
    return [dot((a, b, c, d), column) for column in columns(table(made))]


@check("shapes")
def _(made):
    T, d_k, d_v = (int(n) for n in in_text(made)[:3])
    Q, V = np.zeros((T, d_k)), np.zeros((T, d_v))
    return [*(Q @ Q.T).shape, *((Q @ Q.T) @ V).shape]


@check("parameters")
def _(made):
    D, H, rows, d_k, *_ = (int(n) for n in in_text(made))
    assert rows == D == H * d_k
    one = sum(np.zeros((D, d_k)).size for _ in "qkv")
    return [one, H * one + np.zeros((D, D)).size]


@check("cost")
def _(made):
    T, d_k, times = in_text(made)
    return [T * T, T * T * d_k, (times * T) ** 2 / T**2]


@check("cache")
def _(made):
    L, H_kv, d_k, n, size, *_ = (int(n) for n in in_text(made))
    whole = cache_bytes(n, H_kv, d_k, n_layers=L, bytes_per_number=size)
    return [whole / size / n, whole / 1024]


@check("shared heads")
def _(made):
    H, whole, H_kv = in_text(made)[:3]
    return [whole / H * H_kv, whole / H]


@check("whole row")
def _(made):
    q, K, V = vector(made, "q"), table(made), table(made, 1)
    weights = shares([dot(q, k) / 2 for k in K])
    return [*weights, *(dot(weights, column) for column in columns(V))]


@check("words to output")
def _(made):
    X, *matrices = (table(made, place) for place in range(4))
    Q, K, V = ([[dot(x, column) for column in columns(W)] for x in X] for W in matrices)
    weights = shares([dot(Q[1], k) / math.sqrt(2) for k in K])
    return [*Q[1], *weights, dot(weights, [v for (v,) in V])]


@check("which mistake")
def _(made):
    S, A = table(made), table(made, 1)
    halves = [[score / 2 for score in row] for row in S]
    open_to = [[key <= query for key in range(3)] for query in range(3)]

    def masked(rows, late=False):
        made = []
        for row, may in zip(rows, open_to, strict=True):
            powers = [math.exp(s) if ok or late else 0 for s, ok in zip(row, may, strict=True)]
            made.append([p / sum(powers) * ok for p, ok in zip(powers, may, strict=True)])
        return made

    down = [
        [math.exp(s) * ok for s, ok in zip(*pair, strict=True)]
        for pair in zip(halves, open_to, strict=True)
    ]
    sums = [sum(column) for column in columns(down)]
    down = [[p / total for p, total in zip(row, sums, strict=True)] for row in down]
    maps = (masked(halves), down, masked(S), masked(halves, late=True))
    same = [
        mistake
        for mistake, found in zip(MISTAKES, maps, strict=True)
        if all(
            abs(x - y) <= 0.005 + 1e-9
            for a, b in zip(A, found, strict=True)
            for x, y in zip(a, b, strict=True)
        )
    ]
    assert len(same) == 1
    return [same[0], maps[0][1][0]]


def test_every_kind_is_checked():
    assert list(CHECKS) and set(CHECKS) == {kind.key for kind in KINDS}
    assert len(KINDS) >= 20 and len({kind.key for kind in KINDS}) == len(KINDS)
    assert FIELDS["exercise"].high == len(KINDS)


@pytest.mark.parametrize("place", range(len(KINDS)), ids=[kind.key for kind in KINDS])
def test_answers_are_those_that_the_printed_question_has(place):
    for made in (SHEETS[seed][place] for seed in SEEDS):
        expected = CHECKS[KINDS[place].key](made)
        for blank, answer in zip(made.blanks, expected, strict=True):
            if isinstance(blank, Pick):
                assert blank.value == answer and answer in blank.options
            else:
                assert blank.value == pytest.approx(answer, abs=1e-9), made


# ---- the lines of a solution recompute

OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
}
NAMES = {"ln": math.log, "sqrt": math.sqrt}


def evaluate(side: str) -> float | None:
    """The value of one side of an equation, None where it is not made of numbers alone."""
    side = re.sub(r"(?<=\d),(?=\d{3})", "", side.strip())
    side = re.sub(r"√([\d.]*\d)", r"sqrt(\1)", side)
    for sign, python in {"×": "*", "÷": "/", "−": "-", "^": "**", "√(": "sqrt("}.items():
        side = side.replace(sign, python)
    try:
        return _evaluate(ast.parse(side, mode="eval").body)
    except (SyntaxError, KeyError, TypeError, AttributeError):
        return None


def _evaluate(node) -> float:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name():
            return {"e": math.e}[node.id]
        case ast.BinOp():
            return OPERATORS[type(node.op)](_evaluate(node.left), _evaluate(node.right))
        case ast.UnaryOp():
            return OPERATORS[type(node.op)](_evaluate(node.operand))
        case ast.Call():
            return NAMES[node.func.id](*map(_evaluate, node.args))
    raise TypeError


def check_formula(formula: str) -> int:
    """Check every = and ≈ between numbers; return how many there were."""
    sides = re.split("([=≈])", formula)
    values = [evaluate(side) for side in sides[::2]]
    assert all(v is not None for v in values[1:]), formula
    checked = 0
    for place in range(1, len(values)):
        left, sign, right = values[place - 1], sides[2 * place - 1], values[place]
        if left is None:
            continue
        decimals = len(sides[2 * place].strip().partition(".")[2])
        allowed = 0.5 * 10**-decimals if sign == "≈" else 0
        assert abs(left - right) <= allowed + 1e-9, formula
        checked += 1
    return checked


def test_the_check_of_formulas_finds_mistakes():
    assert check_formula("q · k = 2 × 3 + (−1) × 4 = 6 − 4 = 2") == 2
    assert check_formula("e^(2.5 − .5) = e^2 ≈ 7.389") == 2
    assert check_formula("√16 = 4") == check_formula("1,024 × 2 = 2,048") == 1
    for wrong in ("2 × 3 = 5", "e^2 = 7.389", "e^2 ≈ 7.388", "e^−.5 ≈ .60"):
        with pytest.raises(AssertionError):
            check_formula(wrong)


@pytest.mark.parametrize("place", range(len(KINDS)), ids=[kind.key for kind in KINDS])
def test_solutions_recompute_line_by_line_and_end_in_the_answers(place):
    for made in (SHEETS[seed][place] for seed in SEEDS):
        formulas = [f for line in made.solution for f in line.split("$")[1::2]]
        assert sum(check_formula(f) for f in formulas if "=" in f or "≈" in f) >= 1
        text = " ".join(made.solution)
        numbers = re.findall(r"−?(?:\d[\d,]*\d|\d*)\.?\d+", text)
        for blank in made.blanks:
            if isinstance(blank, Blank):
                assert any(judge(blank, number).right for number in numbers), (made, blank)


# ---- answers


def test_what_a_reader_would_type_is_right_and_slips_are_named():
    for blank in (b for sheet in SHEETS.values() for made in sheet for b in made.blanks):
        if isinstance(blank, Pick):
            assert all(judge(blank, o).right == (o == blank.value) for o in blank.options)
            continue
        assert judge(blank, f"{blank.value:.2f}").right, blank
        assert judge(blank, written(blank.value)).right
        assert judge(blank, f"{blank.value:.3f}".replace(".", ",")).right
        off = blank.value + 2 * blank.within + 0.01
        assert judge(blank, f"{off:.4f}").right is False
        for wrong, why in blank.slips:
            assert judge(blank, f"{wrong:.6f}") == Verdict(False, why), blank


def test_an_output_from_weights_of_two_decimals_is_right():
    for key, n_weights in (("whole row", 3), ("words to output", 2)):
        place = [kind.key for kind in KINDS].index(key)
        for made in (SHEETS[seed][place] for seed in SEEDS):
            weights = [b for b in made.blanks if b.label.startswith("weight of")]
            outputs = [b for b in made.blanks if b.label.startswith("$o")]
            rounded = [round(blank.value, 2) for blank in weights]
            assert len(weights) == n_weights
            if key == "whole row":
                values = columns(table(made, 1))
            else:
                W_v = [w for (w,) in table(made, 3)]
                values = [[dot(x, W_v) for x in table(made)]]
            for blank, column in zip(outputs, values, strict=True):
                assert judge(blank, f"{dot(rounded, column):.2f}").right


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0.25", [0.25]),
        (".25", [0.25]),
        ("0,25", [0.25]),
        (" ,25 ", [0.25]),
        ("−3", [-3]),
        ("- 3", [-3]),
        ("–.5", [-0.5]),
        ("+2", [2]),
        ("7.", [7]),
        ("1/3", [1 / 3]),
        ("-2 / 4", [-0.5]),
        ("½", [0.5]),
        ("1½", [1.5]),
        ("1 1/2", [1.5]),
        ("25%", [0.25]),
        ("12,5 %", [0.125]),
        ("1,024", [1.024, 1024]),
        ("1.024", [1.024, 1024]),
        ("98 304", [98304]),
        ("98\u202f304", [98304]),
        ("1'048'576", [1048576]),
        ("-1’024", [-1024]),
        ("0,125", [0.125]),
        ("٣٫٥", [3.5]),
        ("\u200f−٣", [-3]),
        ("１２", [12]),
    ],
)
def test_answers_are_read(text, numbers):
    assert list(readings(text)) == pytest.approx(numbers)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "e^2",
        "√2",
        "2 5",
        "1.2.3",
        "1/2/3",
        "nan",
        "inf",
        "1e3",
        "two",
        "$x$",
        "--1",
        "%",
        "0x1",
        "9" * 31,
        "1,02,4",
    ],
)
def test_what_cannot_be_read_is_said_plainly(text):
    with pytest.raises(ValueError, match="is not read as a number. Write it like 0.25"):
        readings(text)
    assert judge(Blank("x", 1.0), text).right is None


def test_a_division_by_zero_is_said_plainly():
    with pytest.raises(ValueError, match="A number cannot be divided by 0"):
        readings("1/0")


@given(st.decimals(-999, 999, places=3, allow_nan=False))
@settings(max_examples=100, deadline=None)
def test_every_way_to_write_a_number_is_read(number):
    plain = f"{number:f}"
    for text in (plain, plain.replace(".", ","), plain.replace("-", "−"), f"{plain}/1"):
        assert float(number) in readings(text)
    assert float(number) in readings(plain.replace("0.", ".", 1) if plain[:2] == "0." else plain)


def test_signs_and_shares_of_a_hundred_are_named():
    assert judge(Blank("x", 3.0), "-3") == Verdict(False, "Mind the sign.")
    assert judge(Blank("x", 0.25, 0.01), "25") == Verdict(False, "As a share of 1, not of 100.")
    assert judge(Blank("x", 0.25, 0.01), "25%").right
    assert (
        judge(Blank("x", 1024.0), "1,024").right and judge(Blank("x", 1.024, 0.001), "1,024").right
    )


def test_an_exercise_is_solved_when_every_blank_is_right():
    made = SHEETS[1][10]
    number, pick = made.blanks
    right = (written(number.value), pick.value)
    assert is_solved(made, right) is True
    assert is_solved(made, (right[0], None)) is None
    assert is_solved(made, ("", right[1])) is None
    assert is_solved(made, ("9", right[1])) is False
    assert is_solved(made, ("e", right[1])) is False


# ---- sheets


def test_an_exercise_stands_alone_and_has_a_number():
    assert exercise(7, 9) == exercise_sheet(7)[8] == SHEETS[7][8]
    for number in (0, len(KINDS) + 1):
        with pytest.raises(IndexError, match=f"exercises 1 to {len(KINDS)}; got {number}"):
            exercise(1, number)


def test_sheets_differ():
    for place, kind in enumerate(KINDS):
        drawn = {repr(SHEETS[seed][place]) for seed in SEEDS}
        assert len(drawn) >= 10, kind.key  # the fewest: a root, or a ratio from a short list


def test_titles_are_plain_and_different():
    titles = [made.title for made in SHEETS[1]]
    assert len(set(titles)) == len(titles) and not any("$" in title for title in titles)


def test_formulas_are_closed():
    for made in SHEETS[3]:
        for text in (made.question, *made.hint, *made.solution, *(b.label for b in made.blanks)):
            assert text.count("$") % 2 == 0
            assert not re.search("[\\\\<>&{}*_]", re.sub(r"\$[^$]*\$", "", text)), text


def numbers_of(seed: int) -> list:
    """All answers of a sheet; numbers as printed with four decimals."""
    return [
        [b.value if isinstance(b, Pick) else round(b.value, 4) for b in made.blanks]
        for made in exercise_sheet(seed)
    ]


def test_the_numbers_of_a_link_are_pinned():
    """Never change these: they are on somebody's paper."""
    assert numbers_of(1) == [
        [-5],
        [-2, 11],
        [-7, -8, -1],
        [-6, 1],
        [-2],
        [4, 2, 1],
        [1.8221],
        [0.5987, 0.4013],
        [0.042, 0.8438, 0.1142],
        [0.51],
        [1, "cannot give it"],
        [0.0466, 2.7183],
        [0.9643],
        [2.0794, 4.1589],
        [0.6652, 0.2447, 0.09, 0],
        [8, 45, 36],
        [2, 23],
        [0.46, 0.587],
        [1.8, 0.2],
        [0.5, 3, 0.5],
        [0.11, 0.3, 0.59],
        [7, 6],
        [9, 9, 9, 7],
        [150, 400],
        [144, 576, 25],
        [384, 96],
        [24, 6],
        [0.1863, 0.3072, 0.5065, 1.6798, -0.5194],
        [0, 1, 0.3302, 0.6698, -1.3302],
        ["not divided by $√(d_k)$", 0.7311],
    ]
    assert exercise(1, 2).givens[1].cells == (("−2", "3"), ("2", "1"), ("2", "−1"))
    assert exercise(1, 28).givens[1].cells == (("3", "1"), ("2", "1"), ("1", "−2"))
    assert numbers_of(999_999_999)[::7] == [
        [4],
        [0.3543, 0.6457],
        [0.7311, 0.2689, 0, 0],
        [-1, -3],
        [0, -1, 0.3302, 0.6698, -1.0093],
    ]


# ---- the sheet on paper


class Tags(HTMLParser):
    """Reads a page: its open tags must close, its words are kept."""

    VOID = ("meta",)
    CLOSED_BY_THE_END = ("html",)

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


def test_a_sheet_on_paper_is_one_page_that_needs_nothing_else():
    link = "https://example.org/practice?sheet=3&hide=<b>"
    for solutions in (False, True):
        text = sheet_html(3, solutions=solutions, link=link)
        page = Tags(text)
        assert not page.open
        names = {tag for tag, _ in page.seen}
        assert not names & {"script", "img", "link", "iframe", "a", "b" if not solutions else "i"}
        assert not any(key in ("src", "href") for _, given in page.seen for key in given)
        assert text.count("http") == 1 and "hide=&lt;b&gt;" in text and link in page.words
        assert "$" not in page.words and "^" not in page.words and "√(" not in page.words
        for number, made in enumerate(exercise_sheet(3), 1):
            assert f"{number}. {made.title}" in page.words
        assert [("Add up" in page.words), ("☐" in page.words)] == [solutions, not solutions]
    assert sheet_html(3) == sheet_html(3) != sheet_html(4)


def test_formulas_on_paper():
    def paper(formula):
        return typeset(formula, "√[{}]", "<{}>", "({})")

    assert paper("e^−1.5 ÷ √(d_k) = q_it · K^T") == "e<−1.5> ÷ √[d(k)] = q(it) · K<T>"
    assert paper("e^(2.5 − .5) + √16 + 4^2") == "e<2.5 − .5> + √[16] + 4<2>"
    text = sheet_html(1)
    assert "√<u>d<sub>k</sub></u>" in text and 'td class="l">3<' in text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.5, ".5"),
        (-0.25, "−.25"),
        (3, "3"),
        (0, "0"),
        (-0.0, "0"),
        (1024, "1,024"),
        (20, "20"),
        (1 / 3, ".3333"),
        (-1.5, "−1.5"),
    ],
)
def test_numbers_are_written_without_a_leading_zero(number, text):
    assert written(number) == text


def test_fixed_decimals():
    assert written(0.4, 2) == ".40" and written(1, 2) == "1.00" and written(-0.001, 2) == ".00"
