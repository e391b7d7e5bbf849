"""The lesson "Order": encodings worked by hand, the laws of shuffling, and what the page shows."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from attention import Scenario, forward
from attention.projections import Projections, identity_projections
from attention.randomness import stable_rng
from attention.scenario import ENCODINGS
from pages.shared.colours import DARK, LIGHT
from pages.shared.parts import order

APP = Path(__file__).parents[1] / "app.py"
SENTENCES = {
    "default": None,
    "one token": "a",
    "64 tokens": "The cat sat on the mat and it saw the dog . " * 6,
    "right to left": "القطة جلست على الحصير. هي تأكل الآن.",
    "emoji": "👩\u200d👩\u200d👧 love 🍕🏽",
    "hostile": ":red[a] $x$ **b** <b>c</b> [d](https://e.org) `f` :material/home: a\u202eb",
}


def open_page(**link: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=60)
    for name, text in link.items():
        app.query_params[name] = text
    return app.switch_page("pages/order.py").run()


def answer(app: AppTest, option: str = order.WORD) -> AppTest:
    group = next(g for g in app.get("button_group") if g.key.startswith("predict_order"))
    return group.set_value(option).run()


def decoded(array) -> np.ndarray:
    if isinstance(array, dict):
        flat = np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"])
        return flat.reshape([int(n) for n in str(array.get("shape", flat.size)).split(",")])
    return np.array(array, float)


def drawn(app: AppTest) -> dict[str, np.ndarray]:
    return {
        chart.key.removesuffix("_chart"): decoded(json.loads(chart.proto.spec)["data"][0]["z"])
        for chart in app.get("plotly_chart")
    }


def said(app: AppTest) -> str:
    return "\n".join(markdown.value for markdown in app.markdown)


def rows_of(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def normal(*shape, key="order"):
    return stable_rng(key, *shape).standard_normal(shape)


def projections(D=5, d_k=4, d_v=3) -> Projections:
    return Projections(normal(D, d_k, key="q"), normal(D, d_k, key="k"), normal(D, d_v, key="v"))


# ---- the encodings, by hand


def test_alibi_by_hand():
    """All scores are 0, so two words apart cost e^-1 and one word e^-½."""
    weights = order.attend(np.zeros((3, 2)), identity_projections(2), "alibi").weights[0]
    near, far = np.exp(-0.5), np.exp(-1)
    total = 1 + near + far
    np.testing.assert_allclose(weights[0], [1 / total, near / total, far / total], rtol=1e-6)
    side = 1 + 2 * near
    np.testing.assert_allclose(weights[1], [near / side, 1 / side, near / side], rtol=1e-6)
    causal = order.attend(np.zeros((3, 2)), identity_projections(2), "alibi", is_causal=True)
    np.testing.assert_allclose(causal.weights[0][1], [near / (1 + near), 1 / (1 + near), 0])


def test_rotary_by_hand():
    """One pair turns by one radian a place: equal words score the cosine of their distance."""
    X = np.tile([1.0, 0.0], (4, 1))
    scores = order.attend(X, identity_projections(2), "rotary", start=3).scores[0]
    places = np.arange(4)
    np.testing.assert_allclose(scores, np.cos(places[:, None] - places), atol=1e-12)


def test_an_odd_number_stays_as_it_is():
    x, places = normal(1, 4, 3), np.arange(4)
    turned = order.turned(x, places)
    np.testing.assert_array_equal(turned[..., 2], x[..., 2])
    np.testing.assert_allclose(turned[0, 0], x[0, 0])
    assert np.abs(turned[0, 1:, :2] - x[0, 1:, :2]).max() > 0.1
    np.testing.assert_array_equal(order.turned(x[..., :1], places), x[..., :1])


@pytest.mark.parametrize("setting", [{}, {"causal": True}, {"scaling": False}])
def test_sinusoidal_is_the_playground_s_own(setting):
    result = forward(Scenario(matrices="random", **setting))
    trace = order.run(result, "sinusoidal")
    np.testing.assert_allclose(trace.weights, result.attention.weights, atol=1e-5)
    bare = forward(Scenario(matrices="random", positions="none", **setting))
    np.testing.assert_allclose(order.run(bare, "none").weights, bare.attention.weights, atol=1e-5)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_scores_against_a_formula_written_out(encoding):
    X, p, T, start = normal(7, 5), projections(), 7, 2
    weights = order.attend(X, p, encoding, start=start).weights[0]
    places = start + np.arange(T)
    if encoding == "sinusoidal":
        angles = places[:, None] / 10000 ** (np.arange(0, 5, 2) / 5)
        waves = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(T, 6)
        X = X + waves[:, :5]
    Q, K = X @ p.W_q, X @ p.W_k
    if encoding == "rotary":  # pairs as complex numbers: features i and i + 2
        turns = np.exp(1j * places[:, None] / 10000 ** (np.arange(2) / 2))
        q, k = ((x[:, :2] + 1j * x[:, 2:]) * turns for x in (Q, K))
        scaled = (q @ k.conj().T).real / 2
    else:
        scaled = Q @ K.T / 2
    if encoding == "alibi":
        scaled = scaled - np.abs(places[:, None] - places) / 2
    np.testing.assert_allclose(weights, rows_of(scaled), atol=1e-6)


# ---- laws


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 11), st.integers(1, 999), st.booleans())
def test_without_positions_nothing_but_the_order_changes(T, seed, causal):
    X, p = normal(T, 5, key=f"words {seed}"), projections()
    shuffled = order.shuffled_order(T, seed)
    before, after = (order.attend(x, p, "none", is_causal=causal) for x in (X, X[shuffled]))
    now = order.Shuffled("none", shuffled, before, after)
    if not causal:
        assert now.largest_change < 1e-12
        assert now.output_change < 1e-12
        i, j = T - 1, 0  # the same cell, found by hand
        places = [list(shuffled).index(word) for word in (i, j)]
        np.testing.assert_allclose(after.weights[0][tuple(places)], before.weights[0][i, j])
    else:
        assert now.largest_change > 1e-6  # the mask knows the order


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 11), st.integers(1, 50), st.sampled_from(ENCODINGS))
def test_only_sinusoidal_positions_notice_a_later_start(T, start, encoding):
    X, p = normal(T, 5), projections()
    here, later = (order.attend(X, p, encoding, start=s).weights for s in (0, start))
    moved = np.abs(here - later).max()
    assert moved > 1e-6 if encoding == "sinusoidal" else moved < 1e-9


@given(st.integers(2, 64), st.integers(1, 999_999_999))
def test_a_shuffle_moves_at_least_one_word_and_loses_none(T, seed):
    shuffled = order.shuffled_order(T, seed)
    assert sorted(shuffled) == list(range(T))
    assert (shuffled != np.arange(T)).any()


def test_the_shuffle_of_a_seed_is_pinned():
    assert order.shuffled_order(12, 1).tolist() == [7, 8, 5, 4, 2, 0, 11, 6, 1, 3, 10, 9]
    assert order.shuffled_order(1, 1).tolist() == [0]


# ---- what is said


@pytest.mark.parametrize(
    ("setting", "answers"),
    [
        ({}, (order.WORD,)),
        ({"matrices": "random", "seed": 4, "query": 0, "shuffle": 3}, (order.WORD,)),
        ({"matrices": "random", "sentence": "red blue", "query": 1}, (order.WORD,)),
        ({"matrices": "random", "sentence": "a a a"}, (order.WORD, order.PLACE)),
        ({"matrices": "random", "spread": 0.0}, (order.WORD, order.PLACE)),
        ({"matrices": "random", "causal": True}, (order.NEW,)),
        ({"matrices": "random", "sentence": "zzqx the cat sat", "causal": True}, (order.WORD,)),
        ({"matrices": "random", "positions": "none", "scaling": False}, (order.WORD,)),
    ],
)
def test_the_prediction_s_answer_is_what_happens(setting, answers):
    result = forward(Scenario(**setting))
    query = order.panels.chosen(result)[0]
    bare = order.shuffle(result, "none")
    _, options, right, why = order.question(result, bare, query)
    assert right == answers
    assert set(right) <= set(options)
    assert ("causal mask" in why) == ("causal" in setting)
    row, back = bare.before.weights[0][query], bare.weights_back[query]
    assert (order.WORD in right) == np.allclose(row, back, atol=1e-5)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("causal", [False, True])
def test_the_finding_tells_what_was_computed(encoding, causal):
    result = forward(Scenario(matrices="random", causal=causal, encoding=encoding))
    now = order.shuffle(result, encoding)
    text = order.finding(result, now, 7)
    assert text.startswith(f"**{order.WITH[encoding]}**")
    still = encoding == "none" and not causal
    assert ("no weight changes" in text) == still
    if not still:
        assert f"by up to **{order.number(np.abs(now.change).max())}**" in text


def test_the_comparison_tells_what_was_computed():
    result = forward(Scenario())
    lines = order.comparison(result).splitlines()
    assert len(lines) == 2 + len(ENCODINGS)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    for (name, _, shuffled, later), encoding in zip(cells, ENCODINGS, strict=True):
        assert name == order.NAMES[encoding]
        now = order.shuffle(result, encoding)
        assert shuffled == order.gap(now.largest_change, 1)
        assert shuffled.startswith("0") == (encoding == "none")
        assert later.startswith("0") == (encoding != "sinusoidal")


def test_what_is_so_is_told_after_the_prediction():
    app = open_page()
    assert "In fact" not in said(app)
    assert "In fact" in said(answer(app))
    assert "In fact" in said(open_page(sentence="cat"))  # nothing to predict


def test_the_misconception_knows_about_the_mask():
    assert "give the same 12 outputs" in order.about_order(forward(Scenario()))
    masked = order.about_order(forward(Scenario(causal=True)))
    assert "the mask is what knows it" in masked
    alike = forward(Scenario(sentence="a a a", matrices="random", positions="none", causal=True))
    assert "the mask is what knows it" not in order.about_order(alike)
    assert "One word alone" in order.about_order(forward(Scenario(sentence="a")))


# ---- figures


def test_the_maps_of_the_encodings():
    result = forward(Scenario(matrices="random"))
    waves, limit = order.encoding_map(result, "sinusoidal")
    np.testing.assert_allclose(waves + result.embeddings, result.X, atol=1e-6)
    assert limit == 1
    turns, limit = order.encoding_map(result, "rotary")
    assert turns.shape == (12, 16)
    assert np.abs(turns).max() <= limit == 0.5
    np.testing.assert_allclose(turns[:3, 0] * 2 * np.pi, [0, 1, 2])
    np.testing.assert_allclose(turns[4, 0] * 2 * np.pi, 4 - 2 * np.pi)
    bias, limit = order.encoding_map(result, "alibi")
    assert bias[0].tolist() == [-place / 2 for place in range(12)]
    assert limit == 6
    narrow = forward(Scenario(matrices="random", d_k=1, d_v=1))
    assert not order.encoding_map(narrow, "rotary")[0].any()


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_a_map_carries_its_own_order_of_words(palette):
    result = forward(Scenario(matrices="random", causal=True))
    now = order.shuffle(result, "none")
    figure = order.weights_figure(result, now.after, now.order, 7, palette)
    names = [result.tokens.texts[place] for place in now.order]
    assert list(figure.layout.xaxis.ticktext) == names
    row = names.index("It")
    assert "It" in figure.layout.yaxis.ticktext[row]
    assert palette.query in figure.layout.yaxis.ticktext[row]
    assert figure.layout.shapes[0].fillcolor == palette.masked
    np.testing.assert_array_equal(figure.data[0].z, now.after.weights[0])
    changed = order.change_figure(result, now, 7, palette)
    np.testing.assert_allclose(changed.data[0].z, now.change, atol=1e-5)


# ---- the page


@pytest.mark.parametrize("sentence", SENTENCES.values(), ids=SENTENCES)
def test_every_sentence_opens(sentence):
    link = {} if sentence is None else {"sentence": sentence, "matrices": "random"}
    app = open_page(**link, encoding="rotary")
    assert not app.exception
    assert set(drawn(app)) == {"order_encoding", "order_before"}
    if sentence != "a":
        answer(app)
        assert not app.exception
        assert {"order_after", "order_change"} < set(drawn(app))
        assert "**Right.**" in said(app)


@pytest.mark.parametrize(
    "link",
    [
        {"encoding": "none of these", "shuffle": "0", "query": "-4"},
        {"encoding": "alibi", "shuffle": "999999999", "causal": "1", "matrices": "random"},
        {"encoding": "rotary", "d_k": "1", "d_v": "3", "matrices": "random", "query": "0"},
        {"encoding": "sinusoidal", "embedding": "one-hot", "matrices": "identity"},
        {"encoding": "rotary", "spread": "0", "scaling": "0", "matrices": "random"},
    ],
)
def test_hostile_and_unusual_links_open(link):
    app = open_page(**link)
    assert not app.exception
    assert not answer(app).exception


def test_an_empty_sentence_is_asked_for():
    app = open_page(sentence="")
    assert not app.exception
    assert [info.value for info in app.info] == ["Type a sentence, or take one of these:"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_page_shows_what_the_choice_makes(encoding):
    app = answer(open_page(matrices="random"))
    next(g for g in app.get("button_group") if g.key == "encoding").set_value(encoding).run()
    result = forward(Scenario(matrices="random"))
    now, maps = order.shuffle(result, encoding), drawn(app)
    np.testing.assert_allclose(maps["order_before"], now.before.weights[0])
    np.testing.assert_allclose(maps["order_after"], now.after.weights[0])
    np.testing.assert_allclose(maps["order_change"], now.change, atol=1e-5)
    assert maps["order_change"].any() == (encoding != "none")
    assert ("order_encoding" in maps) == (encoding != "none")


def test_the_button_shuffles_again():
    app = answer(open_page(matrices="random", encoding="sinusoidal"))
    first = drawn(app)
    app.button("shuffle_again").click().run()
    second = drawn(app)
    np.testing.assert_array_equal(first["order_before"], second["order_before"])
    assert np.abs(first["order_after"] - second["order_after"]).max() > 0.01
    result = forward(Scenario(matrices="random", shuffle=2))
    expected = order.shuffle(result, "sinusoidal").after.weights[0]
    np.testing.assert_allclose(second["order_after"], expected)
    words = " ".join(result.tokens.texts[place] for place in order.shuffled_order(12, 2))
    assert words.replace(".", "&#46;") in said(app)


def test_one_word_has_only_one_order():
    app = open_page(sentence="cat", encoding="alibi")
    assert "only one order" in said(app)
    assert app.button("shuffle_again").disabled


def test_odd_widths_are_explained():
    app = answer(open_page(matrices="random", d_k="3", encoding="rotary"))
    assert "of 3 numbers the last is not turned" in said(app)
    assert "Rotary needs pairs" not in said(answer(open_page(matrices="random")))
