"""The lesson "Q, K and V": one matrix for two, and two exchanged, by hand and by their laws."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from streamlit.testing.v1 import AppTest

from attention import Projections, Scenario, forward
from attention.scenario import Matrix
from pages.shared import explain
from pages.shared.parts import qkv

APP = Path(__file__).parents[1] / "app.py"
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
    return app.switch_page("pages/qkv.py").run()


def answer(app: AppTest, option: str = qkv.SAME) -> AppTest:
    """Answer the page's question, so that the maps appear."""
    return app.get("button_group")[-1].set_value(option).run()


def drawn(app: AppTest) -> dict[str, np.ndarray]:
    arrays = {}
    for chart in app.get("plotly_chart"):
        z = json.loads(chart.proto.spec)["data"][0]["z"]
        if isinstance(z, dict):
            flat = np.frombuffer(base64.b64decode(z["bdata"]), z["dtype"])
            z = flat.reshape([int(n) for n in z["shape"].split(",")])
        arrays[chart.key.removeprefix("qkv_").removesuffix("_chart")] = np.array(z, float)
    return arrays


def said(app: AppTest) -> str:
    return "\n".join(markdown.value for markdown in app.markdown)


# ---- worked by hand: X = I, so Q = W_q, K = W_k and S = W_q·W_kᵀ

W_Q, W_K = [[1, 2, 0], [3, 4, 1]], [[1, 0, 0], [0, 1, 2]]
BY_HAND = {
    "separate": [[1, 2], [3, 6]],  # (1 2 0)·(1 0 0) = 1, (1 2 0)·(0 1 2) = 2, ...
    "one": [[5, 11], [11, 26]],
    "swapped": [[1, 3], [2, 6]],
}


def by_hand(sharing: str):
    W_q, W_k, X = (Matrix.of(np.array(array)) for array in (W_Q, W_K, np.eye(2)))
    W_v = Matrix.of(np.array([[1.0], [7.0]]))
    return forward(
        Scenario(matrices="random", positions="none", sentence="a b", sharing=sharing).replace(
            W_q=W_q, W_k=W_k, W_v=W_v, X=X, embedding="uploaded"
        )
    )


@pytest.mark.parametrize("sharing", BY_HAND)
def test_scores_worked_by_hand(sharing):
    result = by_hand(sharing)
    compared = qkv.compare(result)
    np.testing.assert_array_equal(compared.S, BY_HAND[sharing])
    np.testing.assert_array_equal(compared.before.scores[0], BY_HAND["separate"])
    assert compared.asymmetry == {"separate": 1, "one": 0, "swapped": 1}[sharing]
    assert compared.from_transposed == {"separate": 1, "one": 20, "swapped": 0}[sharing]
    assert qkv.own_best(compared.S) == {"separate": 1, "one": 1, "swapped": 1}[sharing]
    np.testing.assert_array_equal(compared.now.V[0], [[1], [7]])


def test_swapped_weights_are_not_the_old_ones_transposed():
    compared = qkv.compare(by_hand("swapped"))
    # rows of [[1, 2], [3, 6]]/√3 and of its transpose [[1, 3], [2, 6]]/√3
    logistic = lambda gap: 1 / (1 + np.exp(gap / 3**0.5))  # noqa: E731
    old = np.array([[logistic(1), logistic(-1)], [logistic(3), logistic(-3)]])
    new = np.array([[logistic(2), logistic(-2)], [logistic(4), logistic(-4)]])
    np.testing.assert_allclose(compared.before.weights[0], old, rtol=1e-5)
    np.testing.assert_allclose(compared.now.weights[0], new, rtol=1e-5)
    assert compared.weights_from_transposed == pytest.approx(np.abs(new - old.T).max(), rel=1e-5)


def test_sharing_changes_no_other_matrix():
    p = forward(Scenario(matrices="random")).projections
    assert qkv.shared(p, "separate") is p
    one, swapped = qkv.shared(p, "one"), qkv.shared(p, "swapped")
    for name, expected in (("W_q", p.W_q), ("W_k", p.W_q), ("W_v", p.W_v)):
        np.testing.assert_array_equal(getattr(one, name), expected)
    for name, expected in (("W_q", p.W_k), ("W_k", p.W_q), ("W_v", p.W_v)):
        np.testing.assert_array_equal(getattr(swapped, name), expected)
    assert isinstance(one, Projections)


def test_own_best_counts_only_a_clear_lead():
    assert qkv.own_best(np.array([[2.0, 1, 0], [3, 3, 0], [0, 0, 1]])) == 2
    assert qkv.own_best(np.zeros((3, 3))) == 0


# ---- laws


@settings(max_examples=25, deadline=None)
@given(
    seed=some.integers(0, 999),
    words=some.lists(
        some.sampled_from(["the", "cat", "it", "sat", "on", "mat", "dog", "we"]), min_size=1
    ),
    d_k=some.sampled_from([1, 2, 3, 7, 32]),
    causal=some.booleans(),
    scaling=some.booleans(),
)
def test_one_matrix_makes_scores_symmetric_and_swapping_transposes_them(
    seed, words, d_k, causal, scaling
):
    scenario = Scenario(
        matrices="random", sentence=" ".join(words[:11]), seed=seed, causal=causal, scaling=scaling
    ).replace(d_k=d_k)
    one = qkv.compare(forward(scenario.replace(sharing="one")))
    swapped = qkv.compare(forward(scenario.replace(sharing="swapped")))
    size = np.abs(one.S).max()
    assert one.asymmetry <= qkv.ROUNDING * size
    assert (np.diagonal(one.S) >= 0).all()  # q·q
    np.testing.assert_allclose(
        swapped.S, swapped.before.scores[0].T, rtol=1e-5, atol=1e-5 * np.abs(swapped.S).max()
    )
    scale = 1 / d_k**0.5 if scaling else 1.0
    np.testing.assert_allclose(swapped.now.scaled, swapped.S[None] * scale, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(swapped.now.weights.sum(-1), 1, rtol=1e-5)
    if causal:
        assert not np.triu(one.now.weights[0], 1).any()


# ---- the pair and the prediction


@pytest.mark.parametrize(
    "setting",
    [
        {},
        {"seed": 5, "query": 3, "key": 3},
        {"query": 0, "causal": True},
        {"query": 11, "key": -1},
        {"query": 99, "key": 99},
        {"sentence": LONG, "seed": 8},
        {"sentence": "no no", "positions": "none"},
        {"matrices": "identity", "d_model": 11},
        {"sentence": "It is it", "spread": 0.0},
        {"seed": 2, "sharing": "one"},
        {"seed": 3, "sharing": "swapped"},
    ],
)
def test_the_prediction_knows_the_mirror_s_score(setting):
    scenario = Scenario(matrices="random").replace(**setting)
    result = forward(scenario, max_tokens=64)
    query, key = qkv.pair(result)
    assert query != key
    if scenario.key not in (None, -1, 99, scenario.query):
        assert key == scenario.key
    X, p = result.X.astype(float), result.projections
    S = (X @ p.W_q) @ (X @ p.W_k).T
    asked, options, right, why = qkv.question(result, query, key)
    assert right in options
    a, b = S[query, key], S[key, query]
    assert {
        qkv.SAME: abs(a - b) < 0.0101,
        qkv.LARGER: b > a,
        qkv.SMALLER: b < a,
    }[right]
    if scenario.matrices == "identity":
        assert right == qkv.SAME
        assert "equal here" in why
    assert explain.number(float(result.attention.scores[0, query, key])) in asked
    assert explain.number(float(result.attention.scores[0, key, query])) in why


def test_one_word_has_no_pair():
    assert qkv.pair(forward(Scenario(matrices="random", sentence="a"))) is None


def test_a_gap_says_when_it_is_only_rounding():
    assert qkv.gap(0.0, 20) == "0"
    assert qkv.gap(2e-6, 20) == "0 but for rounding (2e−6)"
    assert qkv.gap(35.554, 20) == "35.55"


# ---- the page


@pytest.mark.parametrize("sharing", qkv.CHOICES)
def test_the_page_shows_what_the_choice_makes(sharing):
    app = answer(open_page(matrices="random", seed="4", sharing=sharing, causal="1"))
    assert not app.exception
    Z = drawn(app)
    result = forward(Scenario(matrices="random", seed=4))
    X, p = result.X.astype(float), result.projections
    Q, K = X @ p.W_q, X @ p.W_k
    Q, K = {"separate": (Q, K), "one": (Q, Q), "swapped": (K, Q)}[sharing]
    S = Q @ K.T
    close = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(Z["Q"], Q, **close)
    np.testing.assert_allclose(Z["K"], K, **close)
    np.testing.assert_allclose(Z["V"], X @ p.W_v, **close)
    np.testing.assert_allclose(Z["scores"], S, **close)
    np.testing.assert_allclose(Z["mirror"], S - S.T, **close)
    powers = np.where(np.tri(12, dtype=bool), np.exp(S / 32**0.5), 0)
    np.testing.assert_allclose(Z["weights"], powers / powers.sum(-1, keepdims=True), **close)


def test_the_choice_changes_the_page():
    app = answer(open_page(matrices="random", embedding="words"))
    before = drawn(app)
    assert "differ by up to **35.55**" in said(app)
    app.get("button_group")[0].set_value("swapped").run()
    swapped = drawn(app)
    np.testing.assert_allclose(swapped["scores"], before["scores"].T, rtol=1e-5, atol=1e-5)
    assert app.query_params["sharing"] == "swapped"
    app.get("button_group")[0].set_value("one").run()
    one = drawn(app)
    np.testing.assert_array_equal(one["Q"], one["K"])
    assert np.abs(one["mirror"]).max() < 1e-4
    assert "6 of 12 words score themselves highest (with three matrices 0)" in said(app)


def test_the_maps_wait_for_the_prediction():
    app = open_page(matrices="random", embedding="words")
    assert set(drawn(app)) == {"Q", "K", "V"}
    right = qkv.question(forward(Scenario(matrices="random", embedding="words")), *(7, 9))[2]
    assert "**Right.**" in said(answer(app, right))
    assert set(drawn(app)) == {"Q", "K", "V", "scores", "mirror", "weights"}


def test_the_pair_can_be_chosen():
    app = answer(open_page(matrices="random"))
    app.selectbox(key="query").set_value(1).run()
    app.selectbox(key="key").set_value(5).run()
    assert not app.exception
    scores = forward(Scenario(matrices="random")).attention.scores[0]
    assert explain.number(float(scores[1, 5])) in said(app)
    assert "scores" in drawn(app)  # and is not asked again
    assert "cat" in app.selectbox(key="query").options
    assert "cat" not in app.selectbox(key="key").options


@pytest.mark.parametrize("sharing", ["separate", "one", "swapped"])
@pytest.mark.parametrize("sentence", SENTENCES.values(), ids=SENTENCES)
def test_every_sentence_opens(sentence, sharing):
    link = {} if sentence is None else {"sentence": sentence}
    app = open_page(sharing=sharing, **link)
    assert not app.exception
    if sentence != "a":
        assert not answer(app).exception
        assert "scores" in drawn(app)


@pytest.mark.parametrize(
    "link",
    [
        {"sharing": "all"},
        {"sentence": ""},
        {"matrices": "random", "d_k": "1", "d_v": "3", "sharing": "one"},
        {"matrices": "random", "spread": "0", "sharing": "one"},
        {"query": "99999", "key": "-7"},
    ],
)
def test_hostile_and_unusual_links_open(link):
    assert not open_page(**link).exception


def test_three_roles_of_one_vector():
    result = forward(Scenario(matrices="random"))
    x, p = result.X[7].astype(float), result.projections
    text = qkv.about_inputs(result)
    for hue, W in (("violet", p.W_q), ("green", p.W_k), ("orange", p.W_v)):
        assert f":{hue}[{explain.number(float(x @ W[:, 0]))}]" in text


def test_symmetry_is_only_claimed_where_it_is_so():
    text = {
        name: qkv.about_symmetry(forward(Scenario(matrices=name).replace(d_model=11)))
        for name in ("random", "identity")
    }
    assert "differ by up to" in text["random"]
    assert "happens to be" in text["identity"]
    one_word = forward(Scenario(matrices="random", sentence="a"))
    assert "One word alone" in qkv.about_symmetry(one_word)
    assert qkv.symmetric_claim(one_word) == "Attention must be symmetric."
