"""The arithmetic as printed: every line is read back and computed again from what stands on it.

Printed numbers are read as `Decimal`, so nothing here depends on binary rounding: a product, sum
or quotient must round to what is printed, a tie either way.
"""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from attention.embeddings import word_embeddings
from attention.forward import forward
from attention.functions import softmax
from attention.scenario import Edit, Matrix, Scenario
from pages.shared import arithmetic
from pages.shared.arithmetic import (
    Softmax,
    Sum,
    opened,
    quotient,
    softmax_cell,
    stage_array,
    sum_of_products,
    vector_cell,
)

many = settings(max_examples=250, deadline=None)
EPS = 2.0**-23  # of float32


def read(text: str) -> Decimal:
    """A printed number: true minus sign, no leading zero, and nothing else."""
    body = text.removeprefix("−")
    assert "-" not in text and "e" not in text and not body.startswith("0.")
    assert body.replace(".", "", 1).isdecimal(), text
    return Decimal(text.replace("−", "-"))


def half_unit(text: str) -> Decimal:
    """Half a unit of the last decimal printed."""
    return Decimal("0.5").scaleb(-decimals(text))


def decimals(text: str) -> int:
    return len(text.partition(".")[2])


def rounds_to(value: Decimal, text: str) -> bool:
    return abs(value - read(text)) <= half_unit(text)


def is_printed_as(value: float, text: str, slack: float = 0.0) -> bool:
    return abs(Decimal(float(value)) - read(text)) <= half_unit(text) + Decimal(float(slack))


def check_sum(total: Sum, left, right, cell=None) -> None:
    """Every term, the rest, the sum and the result recompute from their printed parts."""
    assert [term.place for term in total.terms] == list(range(len(left)))
    for term in total.terms:
        assert rounds_to(read(term.left) * read(term.right), term.product), term
        assert is_printed_as(left[term.place], term.left)
        assert is_printed_as(right[term.place], term.right)
    assert len({decimals(term.product) for term in total.terms} | {decimals(total.exact)}) == 1
    assert sum(read(term.product) for term in total.terms) == read(total.exact)
    assert rounds_to(read(total.exact), total.result)
    for count in (0, 1, 5, len(left)):
        shown, (more, rest) = total.largest(count), total.rest(count)
        assert len(shown) + more == len(left)
        assert sum(read(term.product) for term in shown) + read(rest) == read(total.exact)
        sizes = [abs(read(term.product)) for term in shown]
        assert sizes == sorted(sizes, reverse=True)
        others = [abs(read(t.product)) for t in total.terms if t not in shown]
        assert not sizes or max(others, default=0) <= sizes[-1]
    if cell is not None:  # float32 adds in another order
        bound = float(np.abs(np.float64(left) * np.float64(right)).sum())
        assert is_printed_as(cell, total.result, slack=len(left) * EPS * bound)


def check_softmax(printed: Softmax, row, allowed, key: int, cell: float) -> None:
    places = [place for place, _ in printed.terms]
    assert places == list(np.flatnonzero(allowed))
    assert read(printed.scaled) - read(printed.largest) == read(printed.exponent)
    assert is_printed_as(row[key], printed.scaled)
    assert is_printed_as(np.max(row[allowed]), printed.largest)
    assert rounds_to(exp(read(printed.exponent)), printed.power)
    assert dict(printed.terms)[key] == printed.power
    assert sum(read(power) for _, power in printed.terms) == read(printed.total)
    assert rounds_to(read(printed.power) / read(printed.total), printed.result)
    assert decimals(printed.result) == 3
    assert is_printed_as(cell, printed.result, slack=1e-6)
    for count in (0, 1, 2, len(places)):
        shown, more, rest = printed.others(key, count)
        assert len(shown) + more + 1 == len(places)
        added = read(printed.power) + sum(read(power) for _, power in shown) + read(rest)
        assert added == read(printed.total)


def exp(x: Decimal) -> Decimal:
    with localcontext() as context:
        context.prec = 40
        context.Emin = -999_999_999
        return x.exp()


# ---- vectors of every size


def vectors(size: float) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    number = st.floats(-size, size, width=32)
    pairs = st.lists(st.tuples(number, number), min_size=1, max_size=40)
    return pairs.map(lambda pairs: tuple(np.array(pairs, np.float32).T))


@st.composite
def normal(draw, n: int = 64, low: int = -6, high: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Numbers without a pattern, of one size or of sizes far apart."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, n))
    power = draw(st.integers(low, high))
    spread = draw(st.sampled_from([0, 0, 3]))
    scale = 10.0 ** (power - rng.uniform(0, 1, (2, n)) * spread)
    return tuple((rng.normal(size=(2, n)) * scale).astype(np.float32))


@many
@given(st.one_of(vectors(1), vectors(100), vectors(2.0**13), normal()))
@example((np.float32([0]), np.float32([0])))
@example((np.float32([-0.0]), np.float32([1])))
@example((np.float32([1e-45]), np.float32([1e-45])))
@example((np.float32([0.125, 0.25]), np.float32([0.02, 0.02])))
@example((np.float32([1e4]), np.float32([1e4])))
@example((np.float32([1e4, -1e4]), np.float32([1e4, 1e4])))
@example((np.float32([2.5, 0.005]), np.float32([0.01, 1])))
def test_every_printed_sum_recomputes(pair):
    left, right = pair
    check_sum(sum_of_products(left, right, float(left @ right)), left, right, left @ right)
    check_sum(sum_of_products(left, right), left, right)


@many
@given(st.floats(-1e8, 1e8, width=32), st.integers(1, 128))
@example(0.0, 1)
@example(-0.001, 128)
@example(1e8, 3)
def test_every_printed_quotient_recomputes(score, d_k):
    cell = float(np.float32(score) * np.float32(1 / math.sqrt(d_k)))
    line = quotient(score, math.sqrt(d_k), cell)
    assert rounds_to(read(line.dividend) / read(line.divisor), line.result)
    assert is_printed_as(score, line.dividend)
    assert is_printed_as(math.sqrt(d_k), line.divisor)
    assert is_printed_as(cell, line.result, slack=2 * EPS * abs(cell))


@many
@given(
    st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=64)
    | st.lists(st.floats(-1e8, 1e8, width=32), min_size=1, max_size=12),
    st.data(),
)
def test_every_printed_weight_recomputes(row, data):
    row = np.array(row, np.float32)
    key = data.draw(st.integers(0, len(row) - 1))
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=len(row), max_size=len(row))))
    printed = softmax_cell(row, allowed, key)
    if not allowed[key]:
        assert printed is None
        return
    weights = softmax(row, where=allowed)
    check_softmax(printed, row, allowed, key, weights[key])


@many
@given(st.integers(0, 2**32 - 1), st.integers(1, 64), st.sampled_from([0.1, 1, 3, 10]))
def test_weights_of_rows_without_a_pattern(seed, n, scale):
    row = (np.random.default_rng(seed).normal(size=n) * scale).astype(np.float32)
    key = seed % n
    allowed = np.ones(n, bool)
    check_softmax(softmax_cell(row, None, key), row, allowed, key, softmax(row)[key])


# ---- by hand


def test_a_sum_by_hand():
    total = sum_of_products(np.array([1.5, -2.0, 0.25]), np.array([2.0, 0.5, 4.0]))
    assert [(t.left, t.right, t.product) for t in total.terms] == [
        ("1.500", "2.000", "3.00"),
        ("−2.000", ".500", "−1.00"),
        (".250", "4.000", "1.00"),
    ]
    assert (total.exact, total.result) == ("3.00", "3.00")
    assert [term.place for term in total.largest(1)] == [0]
    assert total.rest(1) == (2, ".00")


def test_terms_printed_as_zero_stand_with_the_rest():
    total = sum_of_products(np.array([0.001, 1.0, 0.002]), np.array([1.0, 3.0, 0.5]))
    assert [term.place for term in total.largest(3)] == [1]
    assert total.rest(3) == (2, ".00")
    nothing = sum_of_products(np.zeros(2), np.ones(2))
    assert [term.place for term in nothing.largest(2)] == [0]


def test_the_two_lines_of_the_trial_that_did_not_recompute():
    (term,) = sum_of_products(np.array([1.6921]), np.array([3.9335])).terms
    assert (term.left, term.right, term.product) == ("1.692", "3.9335", "6.66")
    printed = softmax_cell(np.array([4.5763, 0.0, 1.0]), None, 1)
    assert rounds_to(exp(read(printed.exponent)), printed.power)


def test_terms_get_more_decimals_until_they_add_up():
    thirds = np.full(3, 1 / 3)
    total = sum_of_products(thirds, np.ones(3))  # .33 + .33 + .33 is .99
    assert {t.product for t in total.terms} == {".333"}
    assert (total.exact, total.result) == (".999", "1.00")


def test_a_result_has_no_more_decimals_than_float32():
    total = sum_of_products(np.array([1e4]), np.array([1e4]), 1e8 + 8)
    assert total.result == "100000000"
    total = sum_of_products(np.array([2.0]), np.array([3.00501]), 6.00999)
    assert total.result == "6.01"
    total = sum_of_products(np.array([1.0]), np.array([3.00501]), 3.00499)  # 3.01 and 3.00
    assert total.result == "3.0"


def test_a_weight_by_hand():
    printed = softmax_cell(np.array([0.0, math.log(3), math.log(4)]), None, 1)  # 1 : 3 : 4
    assert [power for _, power in printed.terms] == [".250", ".750", "1.000"]
    assert (printed.power, printed.total, printed.result) == (".750", "2.000", ".375")
    assert printed.others(1, 1) == ([(2, "1.000")], 1, ".250")


def test_a_single_key_gets_everything_and_a_masked_one_has_no_arithmetic():
    alone = softmax_cell(np.array([-7.5]), None, 0)
    assert (alone.exponent, alone.power, alone.total, alone.result) == (
        ".00",
        "1.000",
        "1.000",
        "1.000",
    )
    assert softmax_cell(np.array([1.0, 2.0]), np.array([True, False]), 1) is None
    hidden = softmax_cell(np.array([1.0, 1e30]), np.array([True, False]), 0)
    assert (hidden.largest, hidden.result) == ("1.00", "1.000")


def test_a_power_too_small_to_print_is_zero_and_still_recomputes():
    row = np.array([0.0, 50.0, -3e4])
    for key in (0, 2):
        printed = softmax_cell(row, None, key)
        assert (printed.power, printed.result) == (".000", ".000")
        check_softmax(printed, row, np.ones(3, bool), key, 0.0)


# ---- few decimals


@pytest.mark.parametrize(("n", "scale", "often"), [(4, 1, 0.03), (32, 1, 0.05), (50, 0.3, 0.05)])
def test_more_than_four_decimals_are_rare(n, scale, often):
    """At the sizes that queries, keys and word vectors have; measured .01, .03 and .03."""
    rng = np.random.default_rng(0)
    factors, products = [], []
    for _ in range(60):
        total = sum_of_products(rng.normal(size=n), rng.normal(size=n) * scale)
        factors += [decimals(side) for t in total.terms for side in (t.left, t.right)]
        products += [decimals(t.product) for t in total.terms]
    assert np.mean(np.array(factors) > 4) <= often
    assert np.mean(np.array(products) > 3) <= 0.15
    assert max(factors) <= 8 and max(products) <= 6


# ---- the cells of the playground

SCENARIOS = (
    Scenario(matrices="random", d_model=8, d_k=4, d_v=3),
    Scenario(matrices="random"),
    Scenario(matrices="random", causal=True, scaling=False, sentence="one two three"),
    Scenario(matrices="identity", embedding="one-hot", positions="none", d_k=7, d_v=7),
    Scenario(matrices="random", sentence="cat"),
    Scenario(matrices="random", sentence="the cat " * 32, d_model=11, d_k=5, d_v=2, spread=10.0),
    Scenario(matrices="random", embedding="random", d_model=300, d_k=64, d_v=7),
    Scenario(matrices="random", spread=0.0, d_model=3, d_k=2, d_v=2),
    Scenario(
        matrices="random",
        d_model=5,
        d_k=3,
        d_v=2,
        edits=(Edit("W_q", 0, 0, 1e4), Edit("W_k", 1, 1, -1e4), Edit("W_v", 2, 1, 1e-6)),
    ),
    Scenario(sentence="a b", matrices="random", d_k=2, positions="none").replace(
        X=Matrix.of(np.array([[1e4, -1e4, 0], [1e-4, 3, 1e4]]))
    ),
)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_stage_opens_into_numbers_that_give_the_cell(scenario):
    result = forward(scenario)
    head, T = result.attention, len(result.tokens)
    rng = np.random.default_rng(0)
    for query, key in rng.integers(0, T, (6, 2)).tolist():
        Q, K, V = head.Q[0], head.K[0], head.V[0]
        check_sum(
            arithmetic.score(result, query, key), Q[query], K[key], head.scores[0, query, key]
        )
        line = arithmetic.scaling(result, query, key)
        assert rounds_to(read(line.dividend) / read(line.divisor), line.result)
        scaled = head.scaled[0, query, key]
        assert is_printed_as(scaled, line.result, slack=2 * EPS * abs(scaled))
        allowed = np.ones(T, bool) if head.mask is None else head.mask[query]
        weight = arithmetic.weight(result, query, key)
        if allowed[key]:
            weights = head.weights[0, query]
            check_softmax(weight, head.scaled[0, query], allowed, key, weights[key])
        else:
            assert weight is None
        column = key % V.shape[1]
        check_sum(
            arithmetic.output(result, query, column),
            head.weights[0, query],
            V[:, column],
            head.output[0, query, column],
        )
        for stage in ("Q", "K", "V"):
            W = getattr(result.projections, f"W_{stage.lower()}")
            column = query % W.shape[1]
            cell = stage_array(result, stage)[key, column]
            check_sum(vector_cell(result, stage, key, column), result.X[key], W[:, column], cell)


@pytest.mark.parametrize("positions", ["none", "sinusoidal"])
def test_an_embedding_is_its_word_plus_its_position(positions):
    result = forward(Scenario(matrices="random", positions=positions))
    total = vector_cell(result, "embeddings", 3, 7)
    own = word_embeddings(result.tokens).X[3, 7]
    parts = [own, result.embeddings[3, 7] - own]  # the word "on" was moved by training
    parts += [] if positions == "none" else [result.positions[3, 7]]
    assert len(total.terms) == len(parts)
    for term, part in zip(total.terms, parts, strict=True):
        assert is_printed_as(part, term.product)
        assert term.right == "1.000"
    assert sum(read(term.product) for term in total.terms) == read(total.exact)
    assert is_printed_as(result.X[3, 7], total.result, slack=1e-6)
    names = ["word", "training"] + ["position"] * (positions != "none")
    assert list(arithmetic.embedding_parts(result, 3, 7)) == names
    assert "training" not in arithmetic.embedding_parts(result, 1, 7)  # "cat" never was


def test_vector_cell_of_the_output_is_the_weighted_sum():
    result = forward(SCENARIOS[0])
    assert vector_cell(result, "output", 4, 1) == arithmetic.output(result, 4, 1)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [("", None), ("Q.3", ("Q", 3)), ("Q.4", None), ("V.2", ("V", 2)), ("V.3", None)]
    + [("embeddings.7", ("embeddings", 7)), ("embeddings.8", None), ("output.9999", None)],
)
def test_a_cell_beyond_the_edge_is_not_open(cell, expected):
    assert (
        opened(forward(Scenario(matrices="random", d_model=8, d_k=4, d_v=3, cell=cell))) == expected
    )


def test_stages_are_the_numbers_of_the_forward_pass():
    result = forward(SCENARIOS[0])
    shapes = {stage: stage_array(result, stage).shape for stage in ("embeddings", "Q", "V")}
    assert shapes == {"embeddings": (12, 8), "Q": (12, 4), "V": (12, 3)}
    for stage in ("scores", "scaled", "weights"):
        np.testing.assert_array_equal(
            stage_array(result, stage), getattr(result.attention, stage)[0]
        )
