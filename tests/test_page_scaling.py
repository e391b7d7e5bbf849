"""The lesson on the score and √d_k: its numbers computed again, its prediction judged."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from attention import Scenario, forward
from attention.scaling_lab import scaling_lab
from attention.scenario import Matrix
from pages.shared.parts import scaling
from pages.shared.wording import number, portion

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
    return app.switch_page("pages/scaling.py").run()


def charts(app: AppTest) -> dict[str, list[dict]]:
    return {
        chart.key.removesuffix("_chart"): json.loads(chart.proto.spec)["data"]
        for chart in app.get("plotly_chart")
    }


def decoded(array) -> np.ndarray:
    if isinstance(array, dict):
        return np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"]).astype(float)
    return np.array(array, float)


def said(app: AppTest) -> str:
    return "\n".join(markdown.value for markdown in app.markdown)


def predict(app: AppTest, answer: str) -> AppTest:
    group = next(g for g in app.get("button_group") if g.key.startswith("predict_undivided"))
    return group.set_value(answer).run()


def row_of(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


@pytest.mark.parametrize("sentence", SENTENCES.values(), ids=SENTENCES)
def test_every_sentence_opens(sentence):
    link = {} if sentence is None else {"sentence": sentence, "matrices": "random"}
    app = open_page(**link)
    assert not app.exception
    assert {"temperature_row", "lab_row", "lab_variance"} <= set(charts(app))
    assert not predict(app, "larger").exception
    right = "No: the same." if sentence == "a" else "Right."
    assert f"**{right}**" in said(app)


@pytest.mark.parametrize(
    "link",
    [
        {"causal": "1", "query": "0", "matrices": "random"},
        {"causal": "1", "query": "0", "key": "5", "matrices": "random"},
        {"key": "-1", "temperature": "0.333333", "lab_d": "1000"},
        {"temperature": "inf", "lab_d": "1025", "lab_seed": "0"},
        {"scaling": "0", "matrices": "random", "d_k": "128"},
        {"matrices": "random", "spread": "0", "positions": "none", "d_k": "1"},
    ],
)
def test_hostile_and_unusual_links_open(link):
    app = open_page(**link)
    assert not app.exception
    assert not predict(app, "the same").exception


def test_an_empty_sentence_is_asked_for():
    app = open_page(sentence="")
    assert not app.exception
    assert [info.value for info in app.info] == ["Type a sentence, or take one of these:"]


# ---- the reader's row


@pytest.mark.parametrize("on", ["1", "0"])
def test_the_row_at_every_temperature(on):
    app = open_page(matrices="random", seed="3", query="2", scaling=on)
    attention = forward(Scenario(matrices="random", seed=3)).attention
    scores = attention.scores[0, 2].astype(float)
    root = 32**0.5

    def drawn():
        return decoded(charts(app)["temperature_row"][0]["y"])

    close = {"rtol": 1e-3, "atol": 1e-5}
    np.testing.assert_allclose(drawn(), row_of(scores / root), **close)
    assert not any(slider.key == "temperature" for slider in app.select_slider)
    predict(app, "larger")
    app.button(key="undivided").click().run()
    np.testing.assert_allclose(drawn(), row_of(scores), **close)
    app.button(key="divided").click().run()
    np.testing.assert_allclose(drawn(), row_of(scores / root), **close)
    app.select_slider(key="temperature").set_value(3.0).run()
    assert app.query_params["temperature"] == "3"
    head = root if on == "1" else 1.0
    expected = row_of(scores / head / 3)
    np.testing.assert_allclose(drawn(), expected, **close)
    assert f"Largest weight **{number(expected.max())}**" in said(app)
    assert f"gradient **{number((expected * (1 - expected)).sum())}**" in said(app)
    shared = np.exp(-(expected * np.log(expected)).sum())
    assert f"as if by **{number(shared, 1)}** of 12 words" in said(app)
    reference = decoded(charts(app)["temperature_row"][1]["y"])
    np.testing.assert_allclose(reference, row_of(scores / head), **close)


def test_a_temperature_between_the_marks_comes_from_a_link_and_can_be_left():
    app = predict(open_page(matrices="random", temperature="0.3333"), "larger")
    assert app.select_slider(key="temperature").value == 0.3333
    app.select_slider(key="temperature").set_value(0.5).run()
    assert app.query_params["temperature"] == "0.5"
    assert app.select_slider(key="temperature").value == 0.5


@pytest.mark.parametrize(
    ("settings", "answer"),
    [
        ({"matrices": "random", "seed": 4}, "larger"),
        ({"matrices": "random", "seed": 4, "scaling": False}, "larger"),
        ({"matrices": "random", "sentence": LONG}, "larger"),
        ({"matrices": "random", "sentence": "a"}, "the same"),
        ({"matrices": "random", "causal": True, "query": 0}, "the same"),
        ({"matrices": "random", "spread": 0.0}, "the same"),
        ({"matrices": "random", "d_k": 1, "d_v": 3}, "the same"),
    ],
)
def test_the_prediction_s_answer_is_this_row_s(settings, answer):
    link = {name: str(int(v) if isinstance(v, bool) else v) for name, v in settings.items()}
    app = predict(open_page(**link), answer)
    assert "**Right.**" in said(app)
    attention = forward(Scenario().replace(**settings), max_tokens=64).attention
    query = app.session_state["query"]
    seen = np.arange(attention.scores.shape[-1]) <= (query if settings.get("causal") else 99)
    scores = attention.scores[0, query].astype(float)[seen]
    a, b = (portion(row_of(scores / root).max()) for root in (attention.K.shape[-1] ** 0.5, 1.0))
    assert f"It is {a} with the division and {b} without, where" in said(app)


# ---- the laboratory


def test_the_laboratory_shows_what_is_measured():
    app = open_page(matrices="random")
    assert app.select_slider(key="lab_d").value == 64
    for d, seed in ((64, 1), (256, 1), (256, 2)):
        if d != 64 and seed == 1:
            app.select_slider(key="lab_d").set_value(d).run()
        if seed == 2:
            app.button(key="draw_again").click().run()
        lab = scaling_lab(d, 10, 50, seed)
        for measure in scaling.MEASURES:
            without, scaled = charts(app)[f"lab_{measure.name}"]
            place = list(decoded(without["x"])).index(d)
            for line, found in ((without, lab.unscaled), (scaled, lab.scaled)):
                expected = getattr(found, measure.name)
                assert decoded(line["y"])[place] == pytest.approx(expected, rel=1e-4)
                assert line["marker"]["size"][place] > max(
                    size for at, size in enumerate(line["marker"]["size"]) if at != place
                )
        assert lab.unscaled.variance == pytest.approx(d, rel=0.1)
        assert f":red[{scaling._lab_number(lab.unscaled.variance)}]" in said(app)
    assert (app.query_params["lab_d"], app.query_params["lab_seed"]) == ("256", "2")


def test_any_width_of_a_link_is_measured():
    app = open_page(matrices="random", lab_d="100")
    assert app.select_slider(key="lab_d").value == 100
    assert "a sum of 100 products" in said(app)
    app.select_slider(key="lab_d").set_value(1).run()
    assert "a sum of 1 product," in said(app)
    assert app.query_params["lab_d"] == "1"


def test_one_row_of_ten_keys():
    for d in (1, 64, 1024):
        without, scaled = scaling.one_row(d, 1)
        assert without.shape == scaled.shape == (10,)
        np.testing.assert_allclose([without.sum(), scaled.sum()], 1, rtol=1e-5)
        np.testing.assert_array_equal(np.argsort(without), np.argsort(scaled))
        ratio = np.log(scaled[0] / scaled[1]) * d**0.5  # differences of the scores themselves
        if without.min() > 1e-30:
            assert np.log(without[0] / without[1]) == pytest.approx(ratio, rel=1e-3)


def test_the_sentence_s_own_variance_is_told():
    app = open_page(matrices="random", seed="3")
    scores = forward(Scenario(matrices="random", seed=3)).attention.scores[0].astype(float)
    assert f"variance of {scaling._lab_number(scores.var())} at $d_k$ = 32" in said(app)
    assert "one score only" in said(open_page(matrices="random", sentence="a"))


# ---- what is often believed


def by_hand():
    """q = (1, 0); keys (1, 0) and (3, 3): the second turns away by 45° and yet scores 3."""
    X = Matrix.of(np.array([[1.0, 0.0], [3.0, 3.0]]))
    settings = {"matrices": "identity", "embedding": "uploaded", "positions": "none", "X": X}
    return forward(Scenario().replace(sentence="a b", query=0, **settings))


def test_a_score_taken_apart_by_hand():
    parts = scaling.score_parts(by_hand(), 0)
    assert parts.query_length == 1
    np.testing.assert_allclose(parts.key_lengths, [1, 18**0.5])
    np.testing.assert_allclose(parts.cosines, [1, 0.5**0.5])
    np.testing.assert_allclose(parts.scores, [1, 3])
    assert scaling.overtaken(parts, np.array([True, True])) == (0, 1)
    assert scaling.overtaken(parts, np.array([True, False])) is None
    assert scaling.overtaken(parts, np.array([False, False])) is None


def test_a_vector_without_length_points_nowhere():
    result = forward(Scenario().replace(matrices="random", spread=0.0))
    parts = scaling.score_parts(result, 0)
    assert not parts.cosines.any()
    assert scaling.overtaken(parts, np.ones(12, bool)) is None


@pytest.mark.parametrize("seed", range(1, 7))
def test_lengths_and_angle_multiply_to_the_score_as_printed(seed):
    app = open_page(matrices="random", seed=str(seed))
    products = re.findall(r":violet\[(.*?)\] × :green\[(.*?)\] × (\S+) = (−?[\d.]+)", said(app))
    assert products
    for *factors, product in products:
        a, b, c = (float(factor.replace("−", "-")) for factor in factors)
        assert number(a * b * c, 1) == product


def test_a_pair_on_the_page_is_one_where_length_wins():
    result = forward(Scenario(matrices="random", seed=2))
    for query in range(12):
        parts = scaling.score_parts(result, query)
        pair = scaling.overtaken(parts, np.ones(12, bool))
        if pair:
            a, b = pair
            assert parts.cosines[a] > parts.cosines[b] > 0
            assert parts.scores[b] > parts.scores[a]
            assert parts.key_lengths[b] > parts.key_lengths[a]
