"""The page on masks: before and after the softmax by hand, by its laws, and on the page."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from streamlit.testing.v1 import AppTest

from attention import Scenario, forward
from attention.scenario import Matrix
from pages.shared import explain
from pages.shared.parts import masks
from pages.shared.wording import number, portion

APP = Path(__file__).parents[1] / "app.py"
IT = 7  # its place in the default sentence
LONG = "The cat sat on the mat and it saw the dog . " * 6
SENTENCES = {
    "default": None,
    "one token": "a",
    "64 tokens": LONG,
    "right to left": "القطة جلست على الحصير. هي تأكل الآن.",
    "emoji": "👩\u200d👩\u200d👧 love 🍕🏽",
    "hostile": ":red[a] $x$ **b** <b>c</b> [d](https://e.org) `f` :material/home: a\u202eb",
}


def open_page(**link: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=60)
    for name, text in link.items():
        app.query_params[name] = text
    return app.switch_page("pages/masks.py").run()


def group(app: AppTest, label: str):
    return next(g for g in app.get("button_group") if g.label == label)


def answer(app: AppTest, option: str = masks.ONE) -> AppTest:
    return group(app, "Your prediction").set_value(option).run()


def drawn(app: AppTest) -> dict[str, np.ndarray]:
    arrays = {}
    for chart in app.get("plotly_chart"):
        data = json.loads(chart.proto.spec)["data"][0]
        z = data["z"] if "z" in data else data["y"]
        if isinstance(z, dict):
            flat = np.frombuffer(base64.b64decode(z["bdata"]), z["dtype"])
            z = flat.reshape([int(n) for n in z.get("shape", str(flat.size)).split(",")])
        arrays[chart.key.removeprefix("masks_").removesuffix("_chart")] = np.array(z, float)
    return arrays


def said(app: AppTest) -> str:
    return "\n".join(markdown.value for markdown in app.markdown)


def softmax(S: np.ndarray) -> np.ndarray:
    powers = np.exp(S - S.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


# ---- by hand: X = I, so the scores are W_q·W_kᵀ = W_q; scores ln 1, ln 3 make weights 1/4, 3/4


def by_hand(**setting):
    W_q = Matrix.of(np.log([[1.0, 3.0], [4.0, 1.0]]))
    eye = Matrix.of(np.eye(2))
    scenario = Scenario(
        matrices="random", positions="none", sentence="a b", scaling=False, **setting
    )
    return forward(scenario.replace(W_q=W_q, W_k=eye, W_v=eye, X=eye, embedding="uploaded"))


def test_before_and_after_worked_by_hand():
    now = masks.compare(by_hand(mask="causal"))
    np.testing.assert_allclose(now.open.weights[0], [[0.25, 0.75], [0.8, 0.2]], rtol=1e-6)
    np.testing.assert_allclose(now.before.weights[0], [[1, 0], [0.8, 0.2]], rtol=1e-6)
    np.testing.assert_allclose(now.after, [[0.25, 0], [0.8, 0.2]], rtol=1e-6)
    np.testing.assert_allclose(now.lost, [0.75, 0], rtol=1e-6)
    np.testing.assert_allclose(now.mended, now.before.weights[0], rtol=1e-6)


def test_filling_takes_its_share_unless_masked():
    # a filling of zeros has the key 0 and the score 0 = ln 1
    now = masks.compare(by_hand(mask="padding", padding=1))
    assert now.texts == ("a", "b", "[pad]")
    np.testing.assert_allclose(now.open.weights[0, 0], [1 / 5, 3 / 5, 1 / 5], rtol=1e-6)
    np.testing.assert_allclose(now.before.weights[0, 0], [1 / 4, 3 / 4, 0], rtol=1e-6)
    np.testing.assert_allclose(now.before.weights[0, 2], [1 / 2, 1 / 2, 0], rtol=1e-6)
    np.testing.assert_allclose(now.after[0], [1 / 5, 3 / 5, 0], rtol=1e-6)


def test_the_four_rules():
    rules = {
        mask: masks.rule(Scenario(mask=mask, window=1), 3, 2 if mask == "padding" else 0)
        for mask in masks.CHOICES
    }
    assert rules["none"].all()
    np.testing.assert_array_equal(rules["causal"], [[1, 0, 0], [1, 1, 0], [1, 1, 1]])
    np.testing.assert_array_equal(rules["window"], [[1, 1, 0], [1, 1, 1], [0, 1, 1]])
    np.testing.assert_array_equal(rules["padding"], [[1, 1, 1, 0, 0]] * 5)


def test_filling_keeps_within_the_page():
    assert masks.filling(forward(Scenario(mask="padding", padding=63))) == 64 - 12
    assert masks.filling(forward(Scenario(mask="padding", sentence=LONG), max_tokens=64)) == 0
    assert masks.filling(forward(Scenario(mask="causal"))) == 0


def test_filling_behind_leaves_the_words_as_they_are():
    result = forward(Scenario(mask="padding", padding=5))
    X = masks.filled(result, behind=5)
    np.testing.assert_array_equal(X[:12], result.X)
    assert X.shape == (17, 50)
    np.testing.assert_allclose(X[12, :2], [np.sin(12), np.cos(12)], rtol=1e-5)  # its place alone
    now = masks.compare(result)
    np.testing.assert_allclose(
        now.before.weights[0, :12, :12], result.attention.weights[0], atol=1e-6
    )


# ---- laws


@settings(max_examples=20, deadline=None)
@given(
    seed=some.integers(0, 99),
    words=some.lists(some.sampled_from("the cat it sat on mat we".split()), min_size=1),  # noqa: SIM905
    mask=some.sampled_from(list(masks.CHOICES)),
    width=some.integers(0, 5),
    scaling=some.booleans(),
)
def test_masking_before_keeps_rows_whole_and_ratios_as_they_are(seed, words, mask, width, scaling):
    scenario = Scenario(
        matrices="random",
        d_k=7,
        sentence=" ".join(words[:11]),
        seed=seed,
        mask=mask,
        window=width,
        padding=width,
        scaling=scaling,
    )
    result = forward(scenario)
    now = masks.compare(result)
    X = masks.filled(result, behind=masks.filling(result)).astype(np.float64)
    p = result.projections
    S = (X @ p.W_q) @ (X @ p.W_k).T / (7**0.5 if scaling else 1)
    masked = np.where(now.allowed, S, -np.inf)
    before = now.before.weights[0]
    np.testing.assert_allclose(before, softmax(masked), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(before.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(now.after, softmax(S) * now.allowed, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(now.after.sum(axis=1) + now.lost, 1, rtol=1e-5)
    whole = now.after.sum(axis=1) > 1e-4
    np.testing.assert_allclose(now.mended[whole], before[whole], rtol=1e-3, atol=1e-4)
    assert (now.lost == 0).all() == now.allowed.all() or np.isclose(now.lost, 0).any()


@settings(max_examples=20, deadline=None)
@given(
    seed=some.integers(0, 99),
    T=some.integers(1, 11),
    place=some.integers(0, 10),
    embedding=some.sampled_from(["words", "random", "one-hot"]),
)
def test_under_a_causal_mask_a_later_word_moves_nothing_before_it(seed, T, place, embedding):
    words = "the cat sat on a mat we saw it eat dog".split()[:T]  # noqa: SIM905
    result = forward(
        Scenario(matrices="random", seed=seed, sentence=" ".join(words), embedding=embedding)
    )
    place = min(place, T - 1)
    now = masks.moved(result, place)
    assert (now.causal[:place] == 0).all()  # exactly
    assert now.causal[place] > 0
    X, p = np.array(result.X, np.float64), result.projections
    changed = X.copy()
    _, vector = masks.another(result, place)
    changed[place] += vector - result.embeddings[place]
    outputs = [softmax((Z @ p.W_q) @ (Z @ p.W_k).T / 32**0.5) @ (Z @ p.W_v) for Z in (X, changed)]
    np.testing.assert_allclose(
        now.open, np.linalg.norm(outputs[1] - outputs[0], axis=1), rtol=1e-3, atol=1e-3
    )
    assert masks.one_by_one(result) < 1e-4


def test_a_row_with_nothing_left_in_three_ways():
    rows = masks.empty_row(forward(Scenario(matrices="random")))
    assert np.isnan(rows.minus_infinity).all()
    np.testing.assert_allclose(rows.far_below, 1 / 13, rtol=1e-6)  # the masked ones, all alike
    np.testing.assert_array_equal(rows.zeros, np.zeros(13))
    np.testing.assert_allclose(masks.plain_softmax(np.log([1.0, 3])), [0.25, 0.75])


# ---- the prediction and what is said


@pytest.mark.parametrize(
    "setting",
    [
        {},
        {"mask": "causal", "query": 0},
        {"mask": "causal", "query": 11},
        {"mask": "padding", "matrices": "random"},
        {"mask": "none"},
        {"mask": "window", "window": 0, "matrices": "random", "seed": 3},
        {"mask": "window", "window": 63},
        {"mask": "causal", "sentence": "a"},
        {"mask": "causal", "sentence": LONG, "matrices": "random"},
        {"mask": "causal", "query": 8},
    ],
)
def test_the_prediction_knows_what_the_row_adds_up_to(setting):
    result = forward(Scenario(**setting), max_tokens=64)
    now, query = masks.compare(result), masks.in_hand(result)
    _, options, answers, why = masks.question(result, now, query)
    X, p = now.open, result.projections
    S = X.Q[0, query].astype(np.float64) @ X.K[0].T / p.d_k**0.5
    total = softmax(S)[now.allowed[query]].sum()
    assert set(answers) <= set(options)
    if now.allowed[query].all():
        assert answers == (masks.ONE,)
        assert "hides nothing" in why
    else:
        assert masks.LESS in answers or total == 1
        assert (masks.ONE in answers) == (number(total) == "1.00")
        printed = number(total)
        if printed == "1.00" and total < 1:
            printed = "a little less than 1, rounded 1.00"
        assert f"adds up to {printed}" in why or "nothing at all" in why


def test_the_finding_reads_off_the_maps():
    result = forward(Scenario(matrices="random", mask="causal"))
    now = masks.compare(result)
    text = masks.finding(result, now, IT)
    before, after = now.before.weights[0, IT], now.after[IT]
    top = int(before.argmax())
    assert f"gives {explain.quoted(result, top)} {portion(before[top])} and" in text
    assert f"masked after, {number(after[top])} and {number(after.sum())}" in text
    free = forward(Scenario(mask="none"))
    assert "takes nothing away" in masks.finding(free, masks.compare(free), IT)


def test_a_masked_word_keeps_its_row():
    result = forward(Scenario())
    text = masks.about_deleting(result)
    w = masks.attend(result, result.X, np.tri(12, dtype=bool)).weights[0, 10]  # now
    assert "“now” is hidden from 10 of 12 words" in text
    top = int(w.argmax())
    whom = "itself" if top == 10 else explain.quoted(result, top)
    assert f"gives {whom} {number(w[top])}." in text
    assert w[~np.tri(12, dtype=bool)[10]].sum() == 0
    itself = masks.about_deleting(forward(Scenario(sentence="cat mat", matrices="identity")))
    assert "gives itself .77." in itself
    assert masks.about_deleting(forward(Scenario(sentence="a"))).endswith("its own row.")


def test_the_word_to_change():
    assert masks.changed_place(forward(Scenario())) == 5  # mat
    assert masks.changed_place(forward(Scenario(key=2))) == 2
    assert masks.changed_place(forward(Scenario(key=40))) == 5
    assert masks.changed_place(forward(Scenario(key=-1))) == 5
    assert masks.changed_place(forward(Scenario(sentence=". ! ?"))) == 1
    dog = forward(Scenario(sentence="a dog"))
    assert [masks.another(dog, place)[0] for place in (0, 1)] == ["dog", "cat"]


# ---- the page


@pytest.mark.parametrize(
    "link",
    [
        {"mask": "causal"},
        {"mask": "window", "window": "1", "causal": "1"},
        {"mask": "padding", "padding": "3"},
    ],
)
def test_the_page_shows_before_and_after(link):
    app = answer(open_page(matrices="random", seed="4", **link))
    assert not app.exception
    Z = drawn(app)
    result = forward(Scenario(matrices="random", seed=4))
    S = 15 if "padding" in link else 12
    X = np.pad(result.embeddings, ((0, S - 12), (0, 0))).astype(np.float64)
    places, waves = np.arange(S)[:, None], np.arange(50)[None] // 2 * 2 / 50
    angles = places / 10000**waves
    X += np.where(np.arange(50) % 2, np.cos(angles), np.sin(angles))
    p = result.projections
    scaled = (X @ p.W_q) @ (X @ p.W_k).T / 32**0.5
    i, j = np.indices((S, S))
    allowed = {"causal": j <= i, "window": abs(i - j) <= 1, "padding": j < 12}[link["mask"]]
    close = {"rtol": 1e-3, "atol": 1e-4}
    np.testing.assert_allclose(Z["scaled"], scaled, **close)
    before = softmax(np.where(allowed, scaled, -np.inf))
    after = np.where(allowed, softmax(scaled), 0)
    for name, W in (("before", before), ("after", after)):
        np.testing.assert_allclose(Z[name][:, :S], W, **close)
        assert np.isnan(Z[name][:, S]).all()
        np.testing.assert_allclose(Z[name][:, S + 1], W.sum(axis=1), **close)


def test_controls_change_the_page_and_the_link():
    app = open_page()
    assert set(drawn(app)) == {"scaled", "before", "moved"}  # the wrong way waits
    assert "**Right.**" in said(answer(app, masks.LESS))
    assert "after" in drawn(app)
    app.slider(key="window").set_value(9).run()
    assert app.query_params["window"] == "9"
    group(app, "Mask").set_value("causal").run()
    assert app.query_params["mask"] == "causal"
    assert not np.triu(drawn(app)["before"][:, :12], 1).any()
    group(app, "Mask").set_value("padding").run()
    app.slider(key="padding").set_value(4).run()
    assert drawn(app)["scaled"].shape == (16, 16)
    group(app, "Mask").set_value("none").run()
    assert drawn(app)["before"][:, :12].min() > 0
    app.selectbox(key="query").set_value(1).run()
    assert "row of “cat”" in said(app)
    app.selectbox(key="key").set_value(10).run()
    assert app.query_params["key"] == "10"
    moved = drawn(app)["moved"]
    assert not moved[:10].any()
    assert moved[10] > 0
    assert "the 10 outputs before “now” moved by **0**" in said(app)


@pytest.mark.parametrize("sentence", SENTENCES.values(), ids=SENTENCES)
def test_every_sentence_opens_under_every_mask(sentence):
    link = {} if sentence is None else {"sentence": sentence}
    app = answer(open_page(**link))
    for mask in masks.CHOICES:
        group(app, "Mask").set_value(mask).run()
        assert not app.exception
    assert "scaled" in drawn(app)


@pytest.mark.parametrize(
    "link",
    [
        {"sentence": ""},
        {"mask": "all", "window": "-1", "padding": "64"},
        {"mask": "window", "window": "63", "sentence": "a b"},
        {"mask": "padding", "padding": "63", "key": "-1"},
        {"matrices": "random", "embedding": "one-hot", "d_k": "1", "spread": "0"},
    ],
)
def test_hostile_and_unusual_links_open(link):
    assert not open_page(**link).exception
