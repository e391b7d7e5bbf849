"""The lesson "Why attention": its eight steps against numbers computed here from X and W alone."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from attention import Scenario, forward
from attention.recurrent import influence, recurrent, recurrent_weights, share
from attention.scenario import Matrix
from pages.shared.parts import start

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
# What a reader could have set: (sentence, other settings).
READERS = [
    (None, {}),
    (None, {"matrices": "random", "seed": 4}),
    (None, {"matrices": "random", "seed": 2, "causal": True}),
    ("a", {"matrices": "random"}),
    ("no no no no", {"matrices": "random", "positions": "none"}),  # all weights equal
    ("It is it", {"matrices": "random", "spread": 0.0}),
    (LONG, {"matrices": "random", "seed": 3}),
    ("now she is here", {"matrices": "identity", "d_model": 7, "query": 3, "key": 0}),
    ("a b", {"matrices": "random", "query": 0, "causal": True}),
    ("one hot and two hot", {"matrices": "random", "embedding": "one-hot", "scaling": False}),
]


def scenario(sentence, settings) -> Scenario:
    given = dict(settings) if sentence is None else {"sentence": sentence, **settings}
    return Scenario().replace(**given)


def open_page(**link: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=60)
    for name, text in link.items():
        app.query_params[name] = text
    return app.switch_page("pages/start.py").run()


def charts(app: AppTest) -> dict[str, dict]:
    return {
        chart.key.removeprefix("start_").removesuffix("_chart"): json.loads(chart.proto.spec)
        for chart in app.get("plotly_chart")
    }


def decoded(array) -> np.ndarray:
    if isinstance(array, dict):
        flat = np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"])
        return flat.reshape([int(n) for n in str(array.get("shape", flat.size)).split(",")])
    return np.array(array, float)


def drawn(app: AppTest, key: str, field: str = "z") -> np.ndarray:
    return decoded(charts(app)[key]["data"][0][field])


def said(app: AppTest) -> str:
    return "\n".join(markdown.value for markdown in app.markdown)


def softmax_rows(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


# ---- worked by hand: x_a = (1, 0), x_b = (0, ⁴√2), Q = K = V = X, so b·b = √2, and ÷√2 = 1


def by_hand():
    X = Matrix.of(np.array([[1, 0], [0, 2**0.25]]))
    settings = {"matrices": "identity", "embedding": "uploaded", "positions": "none", "X": X}
    return forward(Scenario().replace(sentence="a b", **settings))


def test_the_steps_of_a_sentence_worked_by_hand():
    result, at = by_hand(), start.Pair(1, 1)
    colours = start.stages.LIGHT
    both, products = start.score_figures(result, at, 2, colours)
    np.testing.assert_allclose(both.data[0].z, [[0, 2**0.25]] * 2, rtol=1e-6)
    np.testing.assert_allclose(products.data[0].z, [[0, 2**0.5]], rtol=1e-6)
    scaled = start.scaled_figure(result, at, 2, colours)
    np.testing.assert_allclose(scaled.data[0].z, [[0, 2**0.5], [0, 1]], rtol=1e-6)
    a, b = 1 / (1 + np.e), np.e / (1 + np.e)  # .269 and .731
    output = start.output_figure(result, at, 2, colours, column=1)
    expected = [[a, 0], [0, b * 2**0.25], [a, b * 2**0.25]]
    np.testing.assert_allclose(output.data[0].z, expected, rtol=1e-6)
    assert start.shares(result, 1) == ".73 of “b”, .27 of “a”"
    assert start._largest(result, 1) == ["“b”"]


def test_the_row_of_the_post_is_no_softmax_row():
    assert sum([0.01, 0.87, 0.52, 0.03, 0.32, 0.98]) == pytest.approx(2.73)
    assert "2.73" in start.honest(forward(Scenario(matrices="random")))
    assert "2.73" not in start.honest(forward(Scenario(sentence="a b", matrices="random")))


# ---- each step on the page, computed again


@pytest.mark.parametrize("causal", ["0", "1"])
def test_each_step_shows_this_sentence_s_numbers(causal):
    app = open_page(matrices="random", seed="4", causal=causal, query="7", key="1")
    result = forward(Scenario(matrices="random", seed=4))
    X, p = result.X.astype(float), result.projections
    Q, K, V = X @ p.W_q, X @ p.W_k, X @ p.W_v
    close = {"rtol": 1e-4, "atol": 1e-4}
    i, j = 7, 1
    seen = {}
    for _ in start.STEPS:
        seen |= {key: figure for key, figure in charts(app).items() if key != "weights"}
        step = app.session_state["step"]
        if step == 7:
            guess = app.get("button_group")[-1]
            guess.set_value(guess.options[0]).run()
            weights = drawn(app, "weights", "y")
        if step < 8:
            app.button(key="step_next").click().run()
        assert not app.exception
    Z = {key: decoded(figure["data"][0]["z"]) for key, figure in seen.items()}

    np.testing.assert_allclose(Z["words"], result.embeddings, **close)
    np.testing.assert_allclose(Z["vectors"], result.embeddings, **close)
    np.testing.assert_allclose(Z["positions"], X - result.embeddings, **close)
    np.testing.assert_allclose(Z["sum"], X, **close)
    np.testing.assert_allclose(Z["Q"], Q, **close)
    np.testing.assert_allclose(Z["K"], K, **close)
    np.testing.assert_allclose(Z["both"], [Q[i], K[j]], **close)
    np.testing.assert_allclose(Z["products"], [Q[i] * K[j]], **close)
    row = Q[i] @ K.T
    np.testing.assert_allclose(Z["scaled"], [row, row / 32**0.5], **close)
    allowed = np.arange(12) <= 7 if causal == "1" else np.ones(12, bool)
    expected = softmax_rows(np.where(allowed, row / 32**0.5, -np.inf))
    np.testing.assert_allclose(weights, expected, **close)
    np.testing.assert_allclose(Z["V"], V, **close)
    np.testing.assert_allclose(Z["output"][:-1], expected[:, None] * V, **close)
    np.testing.assert_allclose(Z["output"][-1], expected @ V, **close)
    np.testing.assert_allclose(Z["output"][:-1].sum(axis=0), Z["output"][-1], **close)


def test_each_step_marks_the_word_that_is_followed():
    for step, key, row in ((2, "words", 7), (4, "K", 1), (8, "V", 1), (8, "output", 12)):
        app = open_page(matrices="random", step=str(step), query="7", key="1")
        shapes = charts(app)[key]["layout"]["shapes"]
        assert (shapes[1]["y0"], shapes[1]["y1"]) == (row - 0.5, row + 0.5), key


@pytest.mark.parametrize("sentence", SENTENCES.values(), ids=SENTENCES)
def test_every_sentence_goes_all_the_way_and_back(sentence):
    link = {} if sentence is None else {"sentence": sentence}
    app = open_page(**link)
    assert not app.exception
    assert app.button(key="step_back").disabled
    for step in range(2, 9):
        app.button(key="step_next").click().run()
        assert not app.exception
        assert app.query_params["step"] == str(step)
        assert f"Step {step} of 8" in said(app)
        assert charts(app) or step == 7
    assert app.button(key="step_next").disabled
    app.button(key="step_back").click().run()
    assert app.session_state["step"] == 7


def test_an_empty_sentence_is_asked_for():
    app = open_page(sentence="")
    assert not app.exception
    assert [info.value for info in app.info] == ["Type a sentence, or take one of these:"]


@pytest.mark.parametrize(
    "link",
    [
        {"step": "9"},
        {"step": "-1"},
        {"step": "<script>"},
        {"query": "99", "key": "99", "step": "5"},
        {"key": "-1", "step": "5"},
        {"convention": "columns", "step": "4"},
        {"d_k": "3", "d_v": "5", "d_model": "7", "matrices": "random", "step": "8"},
        {"matrices": "random", "scaling": "0", "positions": "none", "step": "3"},
        {"hide": "sentence.examples.settings", "step": "1"},
    ],
)
def test_hostile_and_unusual_links_open(link):
    assert not open_page(**link).exception


def test_words_reach_markdown_letter_by_letter():
    app = open_page(sentence=HOSTILE, matrices="random")
    chips = next(m.value for m in app.markdown if "violet-badge" in m.value)
    assert chips.count("-badge[") == len(forward(scenario(HOSTILE, {"matrices": "random"})).tokens)
    for raw in ("$x$", "<b>", "**b**", "](", "`"):
        assert raw not in chips.replace("-badge[", "")


def test_the_followed_word_can_be_chosen_and_compared():
    app = open_page(matrices="random")
    app.selectbox(key="query").set_value(4).run()
    assert app.query_params["query"] == "4"
    for _ in range(4):
        app.button(key="step_next").click().run()
    app.selectbox(key="key").set_value(2).run()
    result = forward(Scenario(matrices="random"))
    expected = result.attention.Q[0, 4] * result.attention.K[0, 2]
    np.testing.assert_allclose(drawn(app, "products")[0], expected, rtol=1e-5)
    assert f"= {start.number(float(expected.sum()))}**" in said(app)


# ---- the guess


@pytest.mark.parametrize(("sentence", "settings"), READERS)
def test_the_guess_offers_what_may_be_seen_and_knows_the_largest_weight(sentence, settings):
    result = forward(scenario(sentence, settings), max_tokens=64)
    query, _ = start.pair(result)
    row = result.attention.weights[0, query].astype(float)
    offered = start.guesses(result, query)
    assert 1 <= len(offered) <= start.FEW
    assert offered == sorted(set(offered))
    if settings.get("causal"):
        assert max(offered) <= query
    assert int(np.argmax(row)) in offered
    question, options = start._question(result, query)
    assert len(set(options)) == len(options)
    largest = start._largest(result, query)
    equal = [place for place in offered if row.max() - row[place] <= 1e-6]
    assert largest == [options[offered.index(place)] for place in equal]


def test_a_guess_is_kept_until_the_weights_are_shown():
    for seed in ("1", "4"):
        app = open_page(matrices="random", seed=seed)
        result = forward(Scenario(matrices="random", seed=int(seed)))
        right = start._largest(result, 7)[0]
        guess = app.get("button_group")[-1]
        wrong = next(option for option in guess.options if option != right)
        guess.set_value(wrong).run()
        assert "Step 7 shows" in said(app)
        assert "No:" not in said(app)
        for _ in range(6):
            app.button(key="step_next").click().run()
        assert f"**No: {right}.**" in said(app)
        app.get("button_group")[-1].set_value(right).run()
        assert "**Right.**" in said(app)
        assert "weights" in charts(app)


def test_the_weights_wait_for_the_guess():
    app = open_page(matrices="random", step="7")
    assert "weights" not in charts(app)
    assert "weights" in charts(open_page(matrices="random", step="7", sentence="a"))


# ---- the network that fades


@pytest.mark.parametrize(("sentence", "settings"), READERS)
def test_fading_is_what_the_lstm_feels(sentence, settings):
    result = forward(scenario(sentence, settings), max_tokens=64)
    found = start.fading(result)
    text = start.about_fading(result)
    assert "forget" not in text
    if len(result.tokens) == 1:
        assert found is None
        return
    assert 0 <= found.word < found.at < len(result.tokens)
    X = result.embeddings
    felt = share(influence(recurrent(X, recurrent_weights("LSTM", X.shape[1])), found.at))
    assert (found.share, found.own) == (felt[found.word], felt[found.at])
    assert felt.sum() == pytest.approx(1)
    assert start.number(found.own, 3) in text


def test_fading_names_an_early_word_whatever_the_weights_are():
    for key in (None, 5):
        result = forward(Scenario(matrices="random", key=key))
        assert start.fading(result)[:2] == (7, 1)  # "It" and "cat", past the article
        assert "6 steps back" in start.about_fading(result)
    for query in (0, 1, 2):
        assert start.fading(forward(Scenario(matrices="random", query=query)))[:2] == (11, 1)
    two = forward(Scenario(matrices="random", sentence="the cat"))
    assert start.fading(two)[:2] == (1, 0)
