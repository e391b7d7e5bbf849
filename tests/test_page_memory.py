"""The lesson "Memory": its shares against finite differences, its answers judged."""

import base64
import json
import math
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from attention import Scenario, forward, multi_head_attention, random_projections
from attention.recurrent import (
    INITIALISATIONS,
    KINDS,
    attention_influence,
    recurrent,
    recurrent_weights,
    share,
)
from attention.scenario import BEGINNINGS
from pages.shared.colours import DARK, LIGHT
from pages.shared.parts import memory

APP = Path(__file__).parents[1] / "app.py"
SENTENCES = {
    "default": None,
    "one token": "a",
    "64 tokens": "The cat sat on the mat and it saw the dog . " * 6,
    "right to left": "القطة جلست على الحصير. هي تأكل الآن.",
    "emoji": "👩\u200d👩\u200d👧 love 🍕🏽",
    "hostile": ":red[a] $x$ **b** <b>c</b> [d](https://e.org) `f` :material/home: a\u202eb",
}
SMALL = Scenario(matrices="random", embedding="random", d_model=3, d_k=2, d_v=5)


def open_page(**link: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=60)
    for name, text in link.items():
        app.query_params[name] = text
    return app.switch_page("pages/memory.py").run()


def answer(app: AppTest, option: str = memory.ATTENTION) -> AppTest:
    group = next(g for g in app.get("button_group") if g.key.startswith("predict_memory"))
    return group.set_value(option).run()


def decoded(array) -> np.ndarray:
    if isinstance(array, dict):
        flat = np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"])
        return flat.reshape([int(n) for n in str(array.get("shape", flat.size)).split(",")])
    return np.array(array, float)


def drawn(app: AppTest, chart: str) -> dict[str, np.ndarray]:
    """The numbers of a chart's lines, by name."""
    found = next(c for c in app.get("plotly_chart") if c.key == f"{chart}_chart")
    return {
        trace.get("name", "z"): decoded(trace.get("y", trace.get("z")))
        for trace in json.loads(found.proto.spec)["data"]
    }


def said(app: AppTest) -> str:
    return "\n".join(markdown.value for markdown in app.markdown)


def length_of_change(f, X: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """‖∂f/∂x_j‖ for every row j of X, by central differences."""
    sizes = np.zeros(X.shape)
    for place in np.ndindex(X.shape):
        up, down = X.copy(), X.copy()
        up[place] += step
        down[place] -= step
        sizes[place] = np.sum(((f(up) - f(down)) / (2 * step)) ** 2)
    return np.sqrt(sizes.sum(axis=1))


# ---- the numbers


@pytest.mark.parametrize(("initial", "query"), [("default", 7), ("keep", 4), ("orthogonal", 11)])
def test_shares_of_the_networks_by_finite_differences(initial, query):
    result = forward(SMALL.replace(query=query))
    felt = memory.felt_words(result, query, initial)
    X = result.embeddings.astype(float)
    for kind in KINDS:
        weights = recurrent_weights(kind, 3, memory.N, init=memory.STARTS[initial][kind])
        wide = type(weights)(
            kind,
            *(getattr(weights, name).astype(float) for name in ("W_ih", "W_hh", "b_ih", "b_hh")),
            weights.activation,
        )
        sizes = length_of_change(lambda Z, wide=wide: recurrent(Z, wide).hidden[query], X)
        assert not sizes[query + 1 :].any()  # not read yet
        expected = sizes[: query + 1] / sizes.sum()
        np.testing.assert_allclose(felt.shares[kind], expected, rtol=2e-3, atol=1e-7)


@pytest.mark.parametrize("setting", [{}, {"causal": True}, {"scaling": False}])
def test_shares_of_attention_by_finite_differences(setting):
    scenario, query = SMALL.replace(**setting), 7
    result = forward(scenario)
    shares = memory.felt_words(result, query, "default").shares[memory.ATTENTION]

    def output(X):
        scale = None if scenario.scaling else 1.0
        causal = scenario.causal
        p = result.projections
        return multi_head_attention(X, p, is_causal=causal, scale=scale).output[0, query]

    sizes = length_of_change(output, result.X.astype(float))
    read = sizes[: query + 1] if scenario.causal else sizes
    assert len(shares) == len(read)
    np.testing.assert_allclose(shares, read / sizes.sum(), rtol=1e-4, atol=1e-7)


def test_the_word_asked_about_stands_before_the_query():
    result = forward(Scenario(matrices="random"))
    assert memory.earlier_word(forward(Scenario(matrices="random", key=1)), 7) == 1
    weights = result.attention.weights[0, 7]
    later = forward(Scenario(matrices="random", key=9))
    assert memory.earlier_word(later, 7) == weights[:7].argmax()
    assert memory.earlier_word(result, 0) is None


def test_every_beginning_is_one_that_each_network_knows():
    assert tuple(memory.STARTS) == tuple(memory.NAMES) == BEGINNINGS
    assert set(memory.ABOUT_START) == set(BEGINNINGS)
    for starts in memory.STARTS.values():
        assert all(starts[kind] in INITIALISATIONS[kind] for kind in KINDS)


@pytest.mark.parametrize(("initial", "keeps"), [("default", 0.5), ("bias-1", 0.73), ("keep", 0.95)])
def test_the_gates_begin_where_it_is_said(initial, keeps):
    """σ(0), σ(1) and σ(3), give or take what the words do."""
    traces = memory.felt_words(forward(Scenario()), 7, initial).traces
    for kind in ("LSTM", "GRU"):
        assert memory.kept(traces[kind], 7) == pytest.approx(keeps, abs=0.04)
        assert f"**{memory.number(memory.kept(traces[kind], 7))}**" in memory.gates(traces[kind], 7)
    assert memory.kept(traces["RNN"], 7) is None


def test_what_is_left_is_measured_against_the_newest_word():
    felt = np.array([0.0, 1.0, 2.0, 8.0])
    assert [memory.left_after(felt, k) for k in (0, 1, 2, 3)] == [1, 0.25, 0.125, 0]
    assert memory.left_after(np.zeros(3), 1) == 0


def test_where_a_network_begins_matters_more_than_its_kind():
    """The page says so of 20 words back: no two kinds that begin alike are as far apart as any
    gated network is from itself begun otherwise."""
    left = {
        initial: {
            kind: memory.left_after(memory.felt_at_length(40, initial)[kind], 20) for kind in KINDS
        }
        for initial in ("default", "keep")
    }
    between_kinds = [left[i]["LSTM"] / left[i]["GRU"] for i in left]
    between_starts = [left["keep"][kind] / left["default"][kind] for kind in KINDS]
    assert max(abs(math.log(r)) for r in between_kinds) < 0.2 * math.log(min(between_starts))
    said_so = memory.beginnings()
    for starts in left.values():
        assert all(f"{kind} {memory.small(value)}" in said_so for kind, value in starts.items())


@pytest.mark.parametrize("T", [10, 40, 200])
def test_a_word_that_also_asks_has_a_quarter_to_a_third(T):
    own = []
    for seed in range(24):
        X = np.random.RandomState(seed).standard_normal((T, memory.D))
        own.append(share(attention_influence(X, random_projections(memory.D, 32, seed=seed)))[-1])
    assert 0.2 < np.mean(own) < 0.38


def test_attention_dilutes_and_does_not_fade():
    for T in (40, 200):
        shares = share(memory.felt_at_length(T, "default")[memory.ATTENTION])
        others = (1 - shares[-1]) / (T - 1)
        assert 0.6 / T < others < 1 / T
        assert memory.small(others) in memory._dilution({memory.ATTENTION: shares})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.00"),
        (0.234, ".23"),
        (0.0995, ".10"),
        (0.0994, ".099"),
        (0.00404, ".0040"),
        (0.000996, ".0010"),
        (0.00099, "1\u00a0×\u00a010⁻³"),
        (9.7e-5, "1\u00a0×\u00a010⁻⁴"),
        (3.2e-7, "3\u00a0×\u00a010⁻⁷"),
        (1e-12, "under 10⁻¹²"),
        (0.0, "under 10⁻¹²"),
    ],
)
def test_shares_as_they_are_written(value, text):
    assert memory.small(value) == text


# ---- what is drawn


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_the_scale_stays_as_the_beginning_changes(palette):
    result = forward(Scenario(matrices="random"))
    ranges = []
    for initial in BEGINNINGS:
        felt = memory.felt_words(result, 7, initial)
        figure = memory.sentence_figure(result, felt, list(felt.shares), palette)
        ranges.append(tuple(figure.layout.yaxis.range))
        low = 10 ** ranges[-1][0]
        assert all(low <= row.min() for row in felt.shares.values())
    assert len(set(ranges)) == 1


def test_no_share_is_drawn_below_the_floor():
    felt = memory.felt_at_length(200, "default")
    figure = memory.length_figure({k: share(row) for k, row in felt.items()}, LIGHT)
    rnn = figure.data[0]
    assert rnn.name == "RNN"
    assert min(rnn.y) == 1e-12
    assert 10 ** figure.layout.yaxis.range[0] < 1e-12
    assert rnn.x[0] == 199
    assert rnn.x[-1] == 0


# ---- the page


@pytest.mark.parametrize("sentence", SENTENCES.values(), ids=SENTENCES)
def test_every_sentence_opens(sentence):
    app = open_page(**({} if sentence is None else {"sentence": sentence, "matrices": "random"}))
    assert not app.exception
    assert {c.key for c in app.get("plotly_chart")} == {
        f"memory_{name}_chart" for name in ("sentence", *KINDS, "length")
    }
    if sentence != "a":
        assert set(drawn(app, "memory_sentence")) == {"RNN"}
        answer(app)
    assert not app.exception
    assert set(drawn(app, "memory_sentence")) == {*KINDS, memory.ATTENTION}


@pytest.mark.parametrize(
    "link",
    [
        {"initial": "forget bias 3", "length": "0", "query": "-4"},
        {"initial": "keep", "length": "nan", "query": "0"},
        {"length": "2", "causal": "1", "scaling": "0", "matrices": "random"},
        {"embedding": "one-hot", "matrices": "identity", "initial": "bias-1"},
        {"length": "201", "matrices": "random", "d_k": "1", "d_v": "3", "spread": "0"},
    ],
)
def test_hostile_and_unusual_links_open(link):
    app = open_page(**link)
    assert not app.exception
    assert "memory_length_chart" in {c.key for c in app.get("plotly_chart")}


def test_an_empty_sentence_is_asked_for():
    app = open_page(sentence="")
    assert not app.exception
    assert [info.value for info in app.info] == ["Type a sentence, or take one of these:"]


def test_the_controls_change_what_is_drawn():
    app = answer(open_page(matrices="random", query="3"))
    result = forward(Scenario(matrices="random"))

    def check(query, initial):
        felt = memory.felt_words(result, query, initial)
        for kind, row in drawn(app, "memory_sentence").items():
            np.testing.assert_allclose(row, felt.shares[kind], rtol=1e-6)
        for kind in KINDS:
            hidden = drawn(app, f"memory_{kind}")["z"]
            np.testing.assert_allclose(hidden, felt.traces[kind].hidden, rtol=1e-6)
        return felt

    check(3, "default")
    begun = next(g for g in app.get("button_group") if g.key == "initial")
    begun.set_value("keep").run()
    answer(app)
    check(3, "keep")
    app.selectbox("query").set_value(11).run()
    answer(app)
    felt = check(11, "keep")
    assert len(felt.shares["RNN"]) == 12


def test_the_length_changes_what_is_drawn():
    app = open_page(length="7", initial="bias-1")
    assert "| Felt, next to the last word, after | 1 word | 5 words |" in said(app)
    app.slider("length").set_value(130).run()
    felt = memory.felt_at_length(130, "bias-1")
    lines = drawn(app, "memory_length")
    for kind, row in felt.items():
        np.testing.assert_allclose(lines[kind], share(row), rtol=1e-6)
    rows = [line for line in said(app).splitlines() if line.startswith("| ")]
    cells = {row.split(" | ")[0][2:]: row[:-2].split(" | ")[1:] for row in rows}
    assert cells["Felt, next to the last word, after"] == [
        "1 word",
        "5 words",
        "20 words",
        "50 words",
        "100 words",
    ]
    for kind in KINDS:
        ks = (1, 5, 20, 50, 100)
        expected = [memory.small(felt[kind][129 - k] / felt[kind][129]) for k in ks]
        assert cells[kind] == expected


@pytest.mark.parametrize(
    "setting",
    [
        {},
        {"matrices": "random"},
        {"matrices": "random", "seed": 5, "query": 2},
        {"matrices": "random", "query": 1},
        {"matrices": "random", "spread": 0.0, "initial": "keep"},
        {"matrices": "random", "causal": True, "query": 11, "key": 0},
        {"matrices": "random", "sentence": "a a"},
    ],
)
def test_the_prediction_names_the_largest_share(setting):
    scenario = Scenario(**setting)
    result = forward(scenario)
    query = memory.panels.chosen(result)[0]
    felt = memory.felt_words(result, query, scenario.initial)
    asked, options, answers, why = memory.question(result, felt)
    at_key = {kind: felt.shares[kind][felt.key] for kind in ("LSTM", "GRU", "Attention")}
    assert options == list(at_key)
    best = max(at_key, key=at_key.__getitem__)
    assert best in answers
    assert all(at_key[kind] >= at_key[best] * 0.9 for kind in answers)
    head = "the attention head is trained" if scenario.preset else "so is the head"
    assert head in asked and memory.back(felt) in asked
    assert all(f"{kind} {memory.small(value)}" in why for kind, value in at_key.items())


def test_the_first_word_has_nothing_to_remember():
    app = open_page(query="0")
    assert "nothing before it to remember" in said(app)
    assert len(drawn(app, "memory_sentence")["LSTM"]) == 1
    assert len(drawn(app, "memory_sentence")[memory.ATTENTION]) == 12


def test_the_misconception_is_met_with_this_sentence_s_numbers():
    result = forward(Scenario())
    felt = memory.felt_words(result, 7, "default")
    assert felt.key == 1
    text = memory.about_forgetting(result, felt)
    assert "“cat”" in text
    assert all(memory.small(felt.shares[kind][1]) in text for kind in KINDS)
    far = forward(Scenario(sentence="a " * 60, matrices="random", query=59, key=0))
    lost = memory.about_forgetting(far, memory.felt_words(far, 59, "default"))
    assert "in effect lost" in lost
    assert "under 10⁻¹²" in lost


def test_a_trained_head_is_said_to_be_trained():
    app = answer(open_page())
    assert "This head was trained, the networks were not" in said(app)
    app = answer(open_page(matrices="random"))
    assert "This head was trained" not in said(app)
