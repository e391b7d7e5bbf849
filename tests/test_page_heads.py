"""The page on several heads: parts and shares by hand, by their laws, and on the page."""

import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from attention import Scenario, forward, multi_head_attention
from attention.projections import load_preset
from attention.scenario import Edit
from pages.shared.colours import LIGHT
from pages.shared.parts import heads
from pages.shared.wording import number

APP = Path(__file__).parents[1] / "app.py"
IT, CAT = 7, 1  # places in the default sentence
LONG = "The cat sat on the mat and it saw the dog . " * 6
SENTENCES = {
    "default": {},
    "one token": {"sentence": "a"},
    "64 tokens": {"sentence": LONG, "n_heads": "3"},
    "right to left": {"sentence": "القطة جلست على الحصير. هي تأكل الآن.", "silenced": "1"},
    "emoji": {"sentence": "👩\u200d👩\u200d👧 love 🍕🏽", "n_heads": "8", "n_kv_heads": "2"},
    "hostile": {"sentence": ":red[a] $x$ **b** <b>c</b> [d](https://e.org) `f` :material/home: a"},
}


@pytest.fixture(autouse=True)
def warm_server(monkeypatch):
    """As on a server that has shown a page: the first run on a fresh one swallows a click."""
    create = PagesManager.__init__

    def create_warm(self, *args, **kwargs):
        create(self, *args, **kwargs)
        PagesManager.uses_pages_directory = False

    monkeypatch.setattr(PagesManager, "__init__", create_warm)


def open_page(**link: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=60)
    for name, text in link.items():
        app.query_params[name] = text
    return app.switch_page("pages/heads.py").run()


def group(app: AppTest, label: str):
    return next(g for g in app.get("button_group") if g.label == label)


def answer(app: AppTest, option: str = "the output alone") -> AppTest:
    return group(app, "Your prediction").set_value(option).run()


def array(z) -> np.ndarray:
    if isinstance(z, dict):
        flat = np.frombuffer(base64.b64decode(z["bdata"]), z["dtype"])
        z = flat.reshape([int(n) for n in z["shape"].split(",")])
    return np.array(z, float)


def drawn(app: AppTest) -> dict[str, list[np.ndarray]]:
    """The arrays of each chart's heatmaps."""
    return {
        chart.key.removeprefix("heads_").removesuffix("_chart"): [
            array(trace["z"]) for trace in json.loads(chart.proto.spec)["data"] if "z" in trace
        ]
        for chart in app.get("plotly_chart")
    }


def said(app: AppTest) -> str:
    return "\n".join(markdown.value for markdown in app.markdown)


def by_loops(X: np.ndarray, p, causal: bool, scaling: bool):
    """Weights and parts head by head, from slices of the matrices, in float64."""
    X = X.astype(np.float64)
    weights, parts = [], []
    for h in range(p.n_heads):
        g = h // (p.n_heads // p.n_kv_heads)
        Q = X @ p.W_q[:, h * p.d_k : (h + 1) * p.d_k]
        K = X @ p.W_k[:, g * p.d_k : (g + 1) * p.d_k]
        V = X @ p.W_v[:, g * p.d_v : (g + 1) * p.d_v]
        S = Q @ K.T / (p.d_k**0.5 if scaling else 1)
        if causal:
            S[np.triu_indices(len(S), 1)] = -np.inf
        powers = np.exp(S - S.max(axis=1, keepdims=True))
        weights.append(powers / powers.sum(axis=1, keepdims=True))
        parts.append(weights[-1] @ V @ p.W_o[h * p.d_v : (h + 1) * p.d_v])
    return np.array(weights), np.array(parts)


# ---- by hand


def test_parts_and_shares_worked_by_hand():
    # two heads, one word, d_v = 1: 2·(1, 0) + 3·(1, 2) = (5, 6)
    parts = heads.parts(np.array([[[2.0]], [[3.0]]]), np.array([[1.0, 0], [1, 2]]))
    np.testing.assert_array_equal(parts, [[[2, 0]], [[3, 6]]])
    np.testing.assert_allclose(heads.shares(parts), [[10 / 61], [51 / 61]])
    # a part against the rest has a negative share: (3, 0) + (−1, 0)
    against = heads.shares(np.array([[[3.0, 0]], [[-1.0, 0]]]))
    np.testing.assert_allclose(against, [[1.5], [-0.5]])
    np.testing.assert_array_equal(heads.shares(np.zeros((2, 3, 5))), np.zeros((2, 3)))


@pytest.mark.parametrize(
    "asked, given_", [((6, 4), 3), ((5, 4), 1), ((4, 4), 4), ((1, 8), 1), ((8, 3), 2), ((2, 1), 1)]
)
def test_key_heads_are_brought_to_what_divides(asked, given_):
    assert heads.head_counts(*asked) == (asked[0], given_)


def test_shares_that_round_badly_say_so():
    assert heads.sum_of(np.array([0.25, 0.75])) == "they add up to 1"
    assert heads.sum_of(np.array([1 / 3] * 3)) == "they add up to 1 before they are rounded"
    assert "nothing to share" in heads.sum_of(np.zeros(3))
    assert [heads.bracketed(number(x)) for x in (0.5, -0.5)] == [".50", "(−.50)"]


# ---- the heads


def test_the_first_head_is_the_reader_s_and_more_leave_the_others_as_they_are():
    scenario = Scenario(edits=(Edit("W_q", 0, 0, 9.0),), seed=5)
    result = forward(scenario)
    three, eight = heads.several(result, 3, 3), heads.several(result, 8, 8)
    unedited = heads.several(forward(Scenario(seed=5)), 3, 3)
    for name in ("W_q", "W_k", "W_v"):
        three_, eight_ = getattr(three, name), getattr(eight, name)
        np.testing.assert_array_equal(three_[:, :32], getattr(result.projections, name))
        np.testing.assert_array_equal(eight_[:, : 3 * 32], three_)
        np.testing.assert_array_equal(getattr(unedited, name)[:, 32:], three_[:, 32:])
        spread = three_[:, 32:].std() / getattr(forward(Scenario()).projections, name).std()
        assert 0.95 < spread < 1.05
    np.testing.assert_array_equal(three.W_o[:32], load_preset("coreference").W_o)
    np.testing.assert_array_equal(eight.W_o[:96], three.W_o)
    other = heads.several(forward(Scenario(seed=6)), 3, 3)
    np.testing.assert_array_equal(other.W_q[:, :32], load_preset("coreference").W_q)
    assert not np.allclose(other.W_q[:, 32:], three.W_q[:, 32:])
    assert not np.allclose(three.W_q[:, 32:64], three.W_q[:, 64:])


@settings(max_examples=15, deadline=None)
@given(
    seed=some.integers(0, 99),
    words=some.lists(some.sampled_from("the cat it sat on mat we".split()), min_size=1),  # noqa: SIM905
    n_heads=some.integers(1, 8),
    n_kv_heads=some.integers(1, 8),
    widths=some.sampled_from([(1, 2), (3, 2), (5, 7)]),
    causal=some.booleans(),
    scaling=some.booleans(),
    silenced=some.integers(0, 7),
)
@example(3, ["the", "cat", "it"], 4, 2, (3, 2), False, True, 1)  # grouped-query
@example(3, ["the", "cat", "it"], 6, 3, (5, 7), True, False, 7)
def test_the_output_is_the_sum_of_what_each_head_adds(
    seed, words, n_heads, n_kv_heads, widths, causal, scaling, silenced
):
    scenario = Scenario(
        matrices="random",
        sentence=" ".join(words[:11]),
        seed=seed,
        causal=causal,
        scaling=scaling,
        d_k=widths[0],
        d_v=widths[1],
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        silenced=silenced,
    )
    result = forward(scenario)
    many = heads.run(result)
    weights, parts = by_loops(result.X, many.projections, causal, scaling)
    close = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(many.trace.weights, weights, **close)
    np.testing.assert_allclose(many.trace.weights[0], result.attention.weights[0], **close)
    np.testing.assert_allclose(many.head_parts, parts, **close)
    np.testing.assert_allclose(many.output, many.trace.output, **close)
    np.testing.assert_allclose(heads.shares(many.head_parts).sum(axis=0), 1, **close)
    if silenced < n_heads:
        np.testing.assert_allclose(heads.silence(many), many.output - parts[silenced], **close)
        moved = np.linalg.norm(many.output - heads.silence(many), axis=-1)
        np.testing.assert_allclose(many.moves[silenced], moved, **close)
    else:
        assert many.silenced is None
    mean, output = heads.mean_map(many)
    np.testing.assert_allclose(mean, weights.mean(axis=0), **close)
    p, X, size = many.projections, result.X.astype(np.float64), n_heads // many.n_kv_heads
    V = [X @ p.W_v[:, h // size * p.d_v : (h // size + 1) * p.d_v] for h in range(n_heads)]
    mixed = np.concatenate([mean @ v for v in V], axis=1) @ p.W_o
    np.testing.assert_allclose(output, mixed, **close)


def test_a_map_names_the_keys_and_values_it_uses():
    many = heads.run(forward(Scenario(n_heads=6, n_kv_heads=3, silenced=5)))
    assert [many.group(head) for head in range(6)] == [0, 0, 1, 1, 2, 2]
    title = heads._map_title(many, 5, "x", "y", LIGHT)["text"]
    assert title == "<b>Head 6</b>, keys and values 3 · silenced"
    for head in range(6):  # as the trace has it
        Q, K = many.trace.Q[head], many.trace.K[many.group(head)]
        np.testing.assert_allclose(many.trace.scores[head], Q @ K.T, rtol=1e-4, atol=1e-4)


# ---- the prediction and what is said


@pytest.mark.parametrize(
    "setting",
    [
        {},
        {"seed": 4, "n_heads": 8, "n_kv_heads": 2},
        {"matrices": "random", "causal": True, "query": 0},
        {"matrices": "random", "spread": 0.0},
        {"sentence": LONG, "n_heads": 2},
        {"sentence": "a", "n_heads": 3, "n_kv_heads": 1},
    ],
)
def test_the_prediction_knows_what_a_silence_changes(setting):
    result = forward(Scenario(**setting), max_tokens=64)
    many, query = heads.run(result), heads.in_hand(result)
    question, options, answers, why = heads.question(result, many, query)
    _, parts = by_loops(result.X, many.projections, result.scenario.causal, True)
    moves = np.sqrt(np.square(parts[:, query]).sum(axis=1))
    assert answers == (options[1] if moves.max() > 0 else options[2],)
    asked = int(re.search(r"Silence head (\d+)", question)[1]) - 1
    assert moves[asked] == pytest.approx(moves.max(), abs=0.01)
    p, d_v = many.projections, result.projections.d_v
    W_o = p.W_o.copy()
    W_o[asked * d_v : (asked + 1) * d_v] = 0
    scenario = result.scenario
    without = multi_head_attention(result.X, replace(p, W_o=W_o), is_causal=scenario.causal)
    np.testing.assert_array_equal(without.weights, many.trace.weights)
    expected = heads.silence(replace(many, silenced=asked))
    np.testing.assert_allclose(without.output, expected, rtol=1e-4, atol=1e-4)
    for head, move in enumerate(moves):
        assert f"head {head + 1} by {number(float(np.float32(move)))}" in why or move > 100


def test_an_average_is_met_with_this_sentence_s_numbers():
    result = forward(Scenario())
    many = heads.run(result)
    weights, parts = by_loops(result.X, many.projections, False, True)
    text = heads.about_averages(result, many)
    assert number(float(weights.mean(axis=0)[IT].max())) in text
    assert number(float(weights[:, IT].max())) in text
    p = many.projections
    mixed = [weights.mean(axis=0) @ (result.X @ p.W_v[:, 32 * h : 32 * (h + 1)]) for h in range(4)]
    moved = np.concatenate(mixed, axis=1) @ p.W_o - parts.sum(axis=0)
    assert f"would move by {number(float(np.linalg.norm(moved[IT])))}" in text
    alone = forward(Scenario(n_heads=1))
    assert heads.about_averages(alone, heads.run(alone)).startswith("With one head it is")


def test_a_finding_names_the_silenced_head_s_share():
    result = forward(Scenario(silenced=2))
    many = heads.run(result)
    _, parts = by_loops(result.X, many.projections, False, True)
    whole = parts.sum(axis=0)[IT]
    text = heads.finding(result, many, IT)
    assert f"moves by **{number(float(np.linalg.norm(parts[2, IT])))}**" in text
    assert f"was **{number(float(parts[2, IT] @ whole / (whole @ whole)))}**" in text
    assert "largest difference: 0" in text


# ---- the cache


def test_the_cache_of_a_real_model():
    text = heads.cache_text(*both(Scenario()))
    # 2 · 32 layers · 131,072 tokens · 32 heads · 128 numbers · 2 bytes = 64 GiB
    assert 2 * 32 * 131_072 * 32 * 128 * 2 == 64 * 2**30
    assert "would need 64 GiB with multi-head" in text
    assert "it needs 16; multi-query would need 2." in text
    assert f"**{12 * 4 * 64 * 2:,} bytes**" in text
    grouped = heads.cache_text(*both(Scenario(n_kv_heads=2)))
    assert "**3,072 bytes**, instead of 6,144 with multi-head" in grouped
    assert "grouped-query" in grouped
    one = heads.cache_text(*both(Scenario(n_kv_heads=1)))
    assert "**1,536 bytes**" in one
    assert "multi-query** attention" in one


def both(scenario: Scenario):
    result = forward(scenario)
    return result, heads.run(result)


@pytest.mark.parametrize(
    "counts, kv",
    [((4, 4), 32), ((4, 2), 16), ((4, 1), 1), ((8, 2), 8), ((6, 2), None), ((1, 1), 32)],
)
def test_the_real_model_that_shares_likewise(counts, kv):
    scenario = Scenario(n_heads=counts[0], n_kv_heads=counts[1])
    assert heads.like_llama(heads.run(forward(scenario))) == kv


# ---- the page


def test_the_page_shows_every_head_and_its_part():
    app = answer(open_page(seed="3", n_kv_heads="2", silenced="2", causal="1"))
    assert not app.exception
    result, many = both(Scenario(seed=3, n_kv_heads=2, silenced=2, causal=True))
    weights, parts = by_loops(result.X, many.projections, True, True)
    Z = drawn(app)
    close = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose([*Z["1"], *Z["3"]], weights, **close)
    np.testing.assert_allclose(Z["output"][0], parts.sum(axis=0) - parts[2], **close)
    np.testing.assert_allclose(Z["part"][0], parts[2], **close)
    whole = parts.sum(axis=0)
    shares = (parts * whole).sum(axis=-1) / np.square(whole).sum(axis=-1)
    np.testing.assert_allclose(Z["shares"][0], shares.T, **close)
    assert Z["merged"][0].shape == (12, 4 * 32)
    assert not Z["merged"][0][:, 64:96].any()
    assert Z["merged"][0][:, :64].any()


def test_controls_change_the_page_and_the_link():
    app = open_page()
    assert set(drawn(app)) == {"1", "3", "cache"}  # what is predicted is not shown
    group(app, "Heads").set_value(6).run()
    assert app.query_params["n_heads"] == "6"
    assert app.query_params["n_kv_heads"] == "6"  # multi-head stays multi-head
    assert set(drawn(app)) == {"1", "3", "5", "cache"}
    group(app, "Heads of keys and values").set_value(2).run()
    assert "**grouped-query** attention" in said(app)
    answer(app)
    whole = drawn(app)["output"][0]
    group(app, "Silence a head").set_value(4).run()
    assert app.query_params["silenced"] == "4"
    Z = drawn(app)
    np.testing.assert_allclose(Z["output"][0] + Z["part"][0], whole, rtol=1e-4, atol=1e-4)
    before = drawn(app)
    app.button(key="other_heads").click().run()
    assert app.query_params["seed"] == "2"
    np.testing.assert_array_equal(drawn(app)["1"][0], before["1"][0])  # the learned head
    assert not np.allclose(drawn(app)["1"][1], before["1"][1])
    group(app, "Heads").set_value(3).run()  # head 5 is gone, and three heads share one or three
    assert not app.exception
    assert app.query_params["n_kv_heads"] == "1"


def test_one_head_is_the_playground_s():
    app = open_page(n_heads="1")
    assert "One head alone makes the whole output." in said(app)
    weights = forward(Scenario()).attention.weights[0]
    np.testing.assert_allclose(drawn(app)["1"][0], weights, atol=1e-6)
    assert weights[IT].argmax() == CAT


@pytest.mark.parametrize("link", SENTENCES.values(), ids=SENTENCES)
def test_every_sentence_opens(link):
    app = open_page(**link)
    assert not app.exception
    assert not answer(app).exception
    assert "shares" in drawn(app)


@pytest.mark.parametrize(
    "link",
    [
        {"sentence": ""},
        {"n_heads": "9", "n_kv_heads": "0", "silenced": "-1"},
        {"n_heads": "5", "n_kv_heads": "4", "silenced": "7"},
        {"matrices": "random", "d_k": "1", "d_v": "3", "spread": "0"},
        {"matrices": "identity", "positions": "none", "query": "99"},
    ],
)
def test_hostile_and_unusual_links_open(link):
    assert not open_page(**link).exception
