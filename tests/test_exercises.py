"""Exercises from a seed: rows that a softmax can give, and rows that it cannot."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention.exercises import (
    FLAWS,
    NEGATIVE,
    POST_ROW,
    TOO_LITTLE,
    TOO_MUCH,
    softmax_row,
    softmax_row_question,
)
from attention.functions import softmax
from attention.randomness import stable_rng


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
