"""The lesson "Softmax": its numbers computed again, its answers judged."""

import base64
import json
import math
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from attention import Scenario, forward
from attention.exercises import softmax_row
from pages.shared.colours import DARK, LIGHT
from pages.shared.parts import softmax as parts

APP = Path(__file__).parents[1] / "app.py"
LONG = "The cat sat on the mat and it saw the dog . " * 6
HOSTILE = ":red[a] $x$ **b** <b>c</b> [d](https://e.org) `f` \\n :material/home: ![g](h) a\u202eb"
SENTENCES = {
    "default": None,
    "one token": "a",
    "64 tokens": LONG,
    "right to left": "القطة جلست على الحصير. هي تأكل الآن.",
    "emoji": "👩\u200d👩\u200d👧 love 🍕🏽",
    "hostile": HOSTILE,
}


def open_page(**link: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=60)
    for name, text in link.items():
        app.query_params[name] = text
    return app.switch_page("pages/softmax.py").run()


def charts(app: AppTest) -> dict[str, list[dict]]:
    return {
        chart.key.removesuffix("_chart"): json.loads(chart.proto.spec)["data"]
        for chart in app.get("plotly_chart")
    }


def decoded(array) -> np.ndarray:
    if isinstance(array, dict):
        flat = np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"])
        return flat.reshape([int(n) for n in str(array.get("shape", flat.size)).split(",")])
    return np.array(array, float)


def said(app: AppTest) -> str:
    return "\n".join(markdown.value for markdown in app.markdown)


def answer(app: AppTest, key: str, place: int) -> AppTest:
    """Choose the option at `place` of the question whose key begins so."""
    group = next(g for g in app.get("button_group") if g.key.startswith(key))
    return group.set_value(group.options[place]).run()


def rows_of(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("sentence", SENTENCES.values(), ids=SENTENCES)
def test_every_sentence_opens(sentence):
    link = {} if sentence is None else {"sentence": sentence, "matrices": "random"}
    app = open_page(**link)
    assert not app.exception
    assert set(charts(app)) >= {"softmax_steps", "softmax_by_row", "gets", "post_row"}
    answer(app, "predict_shift", 1)
    assert not app.exception
    assert "**Right.**" in said(app)


@pytest.mark.parametrize(
    "link",
    [
        {"causal": "1", "query": "0", "matrices": "random"},
        {"causal": "1", "query": "0", "key": "5", "matrices": "random"},
        {"key": "-1"},
        {"shift": "77.25", "scaling": "0", "matrices": "random"},
        {"shift": "nan", "sheet": "0", "query": "999"},
        {"matrices": "random", "spread": "0", "positions": "none", "sheet": "999999999"},
    ],
)
def test_hostile_and_unusual_links_open(link):
    app = open_page(**link)
    assert not app.exception
    assert not answer(app, "predict_shift", 0).exception


def test_an_empty_sentence_is_asked_for():
    app = open_page(sentence="")
    assert not app.exception
    assert [info.value for info in app.info] == ["Type a sentence, or take one of these:"]


def test_one_row_step_by_step_and_shifted():
    app = open_page(matrices="random", seed="3", query="2")
    scaled = forward(Scenario(matrices="random", seed=3)).attention.scaled[0, 2].astype(float)

    def drawn():
        return [decoded(trace["y"]) for trace in charts(app)["softmax_steps"]]

    powers = np.exp(scaled - scaled.max())
    for found, expected in zip(drawn(), (scaled, powers, rows_of(scaled)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    before = drawn()
    assert not app.slider
    answer(app, "predict_shift", 1)
    app.slider(key="shift").set_value(-7.5).run()
    assert app.query_params["shift"] == "-7.5"
    after = drawn()
    np.testing.assert_allclose(after[0], before[0] - 7.5, rtol=1e-5)
    np.testing.assert_allclose(after[1:], before[1:], atol=1e-6)


def test_a_masked_word_has_no_score():
    result = forward(Scenario(matrices="random", causal=True))
    scores, powers, weights = parts.steps(result, 3, 2.0)
    assert np.isnan(scores[4:]).all() and np.isfinite(scores[:4]).all()
    assert not powers[4:].any() and not weights[4:].any()
    np.testing.assert_allclose(weights, result.attention.weights[0, 3], atol=1e-6)
    figure = parts.steps_figure("score", (scores, powers, weights), ("a",) * 12, 0, LIGHT)
    assert figure.data[0].text[3:6] == (parts.short(scores[3]), "−∞", "−∞")
    assert "masked" in parts._arithmetic(result, 3, 5, 0.0)


def test_the_three_maps_and_what_is_given_and_received():
    app = open_page(matrices="random", seed="5")
    scaled = forward(Scenario(matrices="random", seed=5)).attention.scaled[0].astype(float)
    by_row, by_column = rows_of(scaled), rows_of(scaled.T).T
    expected = {"by_row": by_row, "by_column": by_column, "twice": rows_of(by_row)}
    for name, weights in expected.items():
        found = decoded(charts(app)[f"softmax_{name}"][0]["z"])
        np.testing.assert_allclose(found, weights, atol=1e-5)
    bars, gives, _ = charts(app)["gets"]
    np.testing.assert_allclose(decoded(bars["y"]), by_row.sum(axis=0), atol=1e-5)
    np.testing.assert_allclose(decoded(gives["y"]), np.ones(12), atol=1e-5)
    text = said(app)
    row = app.session_state["query"]
    assert abs(by_row[row].max() - 0.5) == np.abs(by_row.max(axis=1) - 0.5).min()
    assert f"adds up to **{parts.number(by_column[row].sum())}**" in text
    low, high = by_row.sum(axis=0).min(), by_row.sum(axis=0).max()
    assert f"anything from {parts.number(low)} to {parts.number(high)}" in text


def test_the_second_softmax_is_nearly_flat_and_forgets_the_mask():
    result = forward(Scenario(matrices="random", causal=True))
    twice = parts.three_maps(result)["twice"]
    assert (twice > 0).all()
    assert (twice.max(axis=1) / twice.min(axis=1) <= math.e + 1e-5).all()
    caption = parts._caption(result, "twice", twice, 3)
    assert "Masked words get weight again" in caption


@pytest.mark.parametrize("difference", [0.0, 1e-9, 0.01, 0.5, 1.294, 2.974, 3.2109, 9.99, 13.7])
def test_a_ratio_recomputes_from_its_printed_difference(difference):
    printed, ratio = parts.ratio_of(difference)
    assert ratio == f"about {parts._two_digits(math.exp(float(printed)))}"
    value = float(ratio.removeprefix("about ").replace(",", ""))
    assert value == pytest.approx(math.exp(difference), rel=0.051)


def test_ratios_written_out():
    assert parts.ratio_of(0.0) == (".00", "about 1.0")
    assert parts.ratio_of(math.log(2)) == (".69", "about 2.0")
    assert parts.ratio_of(2.974) == ("2.974", "about 20")  # e^2.97 = 19.49 would be 19
    assert parts.ratio_of(2.974, "2.98") == ("2.98", "about 20")
    assert parts.ratio_of(7.0) == ("7.00", "about 1,100")
    assert parts.ratio_of(99.0)[1] == "more than a million"


# ---- the quiz


def test_the_post_s_row_comes_first_and_is_explained():
    app = open_page(matrices="random")
    np.testing.assert_allclose(
        decoded(charts(app)["post_row"][0]["y"]), [0.01, 0.87, 0.52, 0.03, 0.32, 0.98]
    )
    assert "2.73" not in said(app)
    answer(app, "softmax_row_post", 0)
    assert "**Not quite.** It cannot: it adds up to 2.73" in said(app)
    assert "cat .319" in said(app)
    answer(app, "softmax_row_post", 1)
    assert "**Right.** It cannot" in said(app)


def test_every_generated_row_is_judged_rightly():
    app = open_page(matrices="random", sheet="7")
    rows = parts.sheet(7)
    for place, question in enumerate(rows):
        key = f"softmax_row_7_{place}"
        assert f"{place} of {place} right" in said(app) or place == 0
        answer(app, key, 1 if question.flaw else 0)
    assert f"{parts.QUESTIONS} of {parts.QUESTIONS} right" in said(app)
    answer(app, "softmax_row_7_0", 0 if rows[0].flaw else 1)
    assert f"{parts.QUESTIONS - 1} of {parts.QUESTIONS} right" in said(app)


def test_answers_last_through_other_pages_and_sheets():
    app = open_page(matrices="random")
    answer(app, "softmax_row_1_2", 1)
    app.button(key="new_rows").click().run()
    assert app.query_params["sheet"] == "2"
    assert "right**" not in said(app)
    app.query_params["sheet"] = "1"
    app.switch_page("pages/playground.py").run()
    app.switch_page("pages/softmax.py").run()
    assert "of 1 right" in said(app)


def test_verdicts_name_what_is_wrong():
    for row, words in (
        ((0.7, 0.5, -0.2), "−.20 is negative"),
        ((0.7, 0.5), "1.20, more than the 1"),
        ((0.2, 0.5), ".70, less than the 1"),
        ((0.5, 0.5), "It can: nothing is negative, and it adds up to 1.00"),
    ):
        assert words in parts._verdict(softmax_row(row), True)


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_figures_hold_their_height_for_any_number_of_words(palette):
    for n in (1, 14, 15, 64):
        row = np.linspace(-3, 3, n)
        figure = parts.steps_figure("score", (row, row, row), ("w",) * n, None, palette)
        assert 330 <= figure.layout.height <= 400
        assert (figure.data[0].text is None) == (n > 14)
