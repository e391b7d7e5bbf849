"""The lesson on the Transformer block: by hand, against the block written out, and on the page."""

import base64
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from attention import Scenario, forward
from attention.block import random_block
from attention.scenario import Matrix
from pages.shared.colours import DARK, LIGHT
from pages.shared.frame import SCENARIO
from pages.shared.parts import block

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
READERS = [  # what a reader could have set
    {},
    {"seed": 4},
    {"seed": 7, "causal": True, "n_layers": 5},
    {"sentence": "a"},
    {"sentence": "no no no", "positions": "none", "norm_first": False},
    {"sentence": "one hot and two hot", "embedding": "one-hot", "n_heads": 8},
    {"sentence": LONG, "n_layers": 6, "norm_first": False},
    {"d_model": 7, "query": 3},
]


def reader(**setting):
    return forward(Scenario(matrices="random").replace(**setting), max_tokens=64)


def open_page(**link: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=60)
    for name, text in link.items():
        app.query_params[name] = text
    app.switch_page("pages/block.py").run()
    assert not app.exception, app.exception[0].message
    return app


def group(app: AppTest, key: str):
    return next(g for g in app.get("button_group") if g.key.startswith(key))


def answer(app: AppTest) -> AppTest:
    group(app, "predict_block").set_value("about half").run()
    assert not app.exception, app.exception[0].message
    return app


def decoded(array) -> np.ndarray:
    if isinstance(array, dict):
        flat = np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"])
        return flat.reshape([int(n) for n in str(array.get("shape", flat.size)).split(",")])
    return np.array(array, float)


def drawn(app: AppTest) -> dict[str, dict]:
    return {
        chart.key.removesuffix("_chart"): json.loads(chart.proto.spec)["data"]
        for chart in app.get("plotly_chart")
    }


def said(app: AppTest) -> str:
    return "\n".join(markdown.value for markdown in app.markdown)


def value(text: str) -> float:
    return float(text.replace("−", "-"))


# ---- the block written out, in loops over heads, from the weights alone


def norm(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def attend(X, w, causal):
    outputs, p = [], w.attention
    d = p.W_q.shape[1] // p.n_heads
    for h in range(p.n_heads):
        Q, K, V = (X @ W.astype(float)[:, h * d : (h + 1) * d] for W in (p.W_q, p.W_k, p.W_v))
        powers = np.exp(Q @ K.T / math.sqrt(d))
        if causal:
            powers = np.tril(powers)
        outputs.append(powers / powers.sum(-1, keepdims=True) @ V)
    return np.concatenate(outputs, axis=1) @ p.W_o


def feed(x, w):
    inner = x @ w.W_in.astype(float)
    normal = np.vectorize(lambda z: (1 + math.erf(z / math.sqrt(2))) / 2)
    return (inner * normal(inner)) @ w.W_out.astype(float)


def added_by_hand(result, query, count, norm_first, causal):
    """What each step adds to one word, written out after Vaswani et al. 2017, section 3.1."""
    X, rows = result.X.astype(float), []
    heads = max(h for h in range(1, result.scenario.n_heads + 1) if X.shape[1] % h == 0)
    for place in range(1, count + 1):
        w = random_block(X.shape[1], heads, seed=result.scenario.seed * 10 + place)
        sequence = [norm, lambda x, w=w: attend(x, w, causal), lambda x, w=w: feed(x, w)]
        for part in sequence[1:]:
            made = part(norm(X)) if norm_first else part(X)
            rows.append(made[query])
            X = X + made
            if not norm_first:
                rows.append((norm(X) - X)[query])
                X = norm(X)
    return np.array(rows), X[query]


@pytest.mark.parametrize("setting", READERS[:7], ids=str)
def test_each_part_adds_what_the_block_written_out_adds(setting):
    result = reader(**setting)
    s, query = result.scenario, block.panels.chosen(result)[0]
    now = block.way(block.run(result), query)
    rows, output = added_by_hand(result, query, s.n_layers, s.norm_first, s.causal)
    np.testing.assert_allclose(now.added, rows, atol=1e-5)
    np.testing.assert_allclose(now.output, output, atol=1e-5)
    parts = ["attention", "feed-forward"]
    if not s.norm_first:
        parts = ["attention", "norm", "feed-forward", "norm"]
    assert [step.part for step in now.steps] == parts * s.n_layers
    assert [step.block for step in now.steps[:: len(parts)]] == [*range(1, s.n_layers + 1)]


# ---- a way worked by hand: (3, 4), then attention (0, 1), feed-forward (-3, 0), attention (4, 0)


def by_hand() -> block.Way:
    steps = [(1, "attention"), (1, "feed-forward"), (2, "attention")]
    added = np.array([[0.0, 1], [-3, 0], [4, 0]])
    return block.Way(np.array([3.0, 4]), tuple(block.Step(*step) for step in steps), added)


def test_a_way_worked_by_hand():
    now = by_hand()
    np.testing.assert_array_equal(now.vectors, [[3, 4], [3, 5], [0, 5], [4, 5]])
    np.testing.assert_array_equal(now.output, [4, 5])
    assert {kind: v.tolist() for kind, v in now.parts.items()} == {
        "own": [3, 4],
        "attention": [4, 1],
        "feed-forward": [-3, 0],
    }
    # along (4, 5), whose square is 41: 12 + 20, 16 + 5, -12
    expected = {"own": 32 / 41, "attention": 21 / 41, "feed-forward": -12 / 41}
    assert now.shares == pytest.approx(expected)
    assert block.sum_line(now, 0) == "own 3.00 + attention 4.00 + feed-forward (−3.00) = **4.00**"


def test_a_way_that_ends_in_nothing_has_no_shares():
    now = block.Way(np.ones(2), (block.Step(1, "attention"),), -np.ones((1, 2)))
    assert set(now.shares.values()) == {0.0}
    result = reader()
    assert "all zeros" in block.finding(result, now, 7)


# ---- laws


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 999), st.integers(1, 6), st.booleans(), st.booleans(), st.integers(0, 11))
def test_shares_sum_to_one_and_sums_lead_to_the_output(seed, count, norm_first, causal, query):
    result = reader(seed=seed, d_model=8)
    traces = block.run(result, count=count, norm_first=norm_first, causal=causal)
    now = block.way(traces, query)
    assert sum(now.shares.values()) == pytest.approx(1)
    np.testing.assert_allclose(now.output, traces[-1].output[query], atol=1e-9)
    np.testing.assert_allclose(sum(now.parts.values()), now.output, atol=1e-9)
    if not norm_first:
        lengths = np.linalg.norm(now.vectors, axis=1)
        np.testing.assert_allclose(lengths[2::2], math.sqrt(8), rtol=1e-3)


def test_both_orders_have_the_same_numbers_and_other_seeds_others():
    result = reader()
    first, last = (block.blocks(result, 2, norm_first) for norm_first in (True, False))
    for a, b in zip(first, last, strict=True):
        np.testing.assert_array_equal(a.W_in, b.W_in)
        assert (a.norm_first, b.norm_first) == (True, False)
    assert (first[0].W_in != first[1].W_in).any()
    other = block.blocks(reader(seed=2), 2, True)
    assert all((a.W_in != b.W_in).any() for a in first for b in other)


def test_how_many_heads_and_blocks_fit():
    assert block.n_heads(reader(n_heads=4)) == 2  # 50 is no multiple of 3 or 4
    assert block.n_heads(reader(n_heads=8, d_model=16)) == 8
    assert block.n_heads(reader(d_model=7)) == 1
    assert block.n_blocks(reader(n_layers=6)) == 6
    wide = reader(n_layers=6, embedding="random", d_model=256)
    assert block.n_blocks(wide) == 1
    assert "no more than 1" in block.about_weights(wide)


# ---- what is said


@pytest.mark.parametrize("setting", READERS, ids=str)
def test_the_prediction_s_answer_is_what_happens(setting):
    result = reader(**setting)
    asked, options, right, why = block.question(result)
    own = reader(**{**setting, "query": None})
    query = block.panels.chosen(own)[0]
    rows, _ = added_by_hand(result, query, 1, True, False)
    x, made = result.X[query].astype(float), rows[0]

    def cosine(v):
        return x @ v / np.linalg.norm(x) / np.linalg.norm(v)

    left = abs(cosine(made))
    assert right == [options[0 if left < 0.25 else 1 if left < 0.75 else 2]]
    for found in (cosine(made), cosine(x + made)):
        assert block.number(found) in why
    assert f"“{block.in_plotly(result.tokens.texts[query])}" in asked


def test_the_question_stays_while_the_controls_move():
    asked = block.question(reader())
    for setting in ({"n_layers": 6}, {"norm_first": False}, {"causal": True}, {"query": 2}):
        assert block.question(reader(**setting)) == asked
    assert block.question(reader(seed=2))[3] != asked[3]


@pytest.mark.parametrize("norm_first", [True, False])
def test_the_finding_tells_what_was_computed(norm_first):
    result = reader(norm_first=norm_first, n_layers=3)
    rows, output = added_by_hand(result, 7, 3, norm_first, False)
    x = result.X[7].astype(float)
    text = block.finding(result, block.way(block.run(result), 7), 7)
    cosine = x @ output / np.linalg.norm(x) / np.linalg.norm(output)
    assert f"begins {block.number(np.linalg.norm(x))} long" in text
    assert f"it is **{block.number(np.linalg.norm(output))}** long" in text
    assert f"a cosine of **{block.number(cosine)}**" in text
    assert ("No norm stands on its way" in text) == norm_first
    assert ("norm −" in text) != norm_first  # what the norms take back
    shares = re.search(r"Shares of it: (.*), together (\S+)\. ", text)
    printed = [value(part.split()[-1]) for part in shares[1].split(", ")]
    assert sum(printed) == pytest.approx(value(shares[2])) == pytest.approx(1, abs=0.005)


@pytest.mark.parametrize("setting", READERS, ids=str)
def test_a_column_adds_up_as_printed(setting):
    result = reader(**setting)
    now = block.way(block.run(result), block.panels.chosen(result)[0])
    for column in range(0, len(now.x), 3):
        left, right = block.sum_line(now, column).split(" = ")
        terms = [value(n) for n in re.findall(r"−?\d*\.\d+", left)]
        assert len(terms) == len(now.parts)
        assert sum(terms) == pytest.approx(value(right.strip("*")), abs=1e-9)
        assert value(right.strip("*")) == pytest.approx(now.output[column], abs=0.0051)


def test_sizes_are_those_of_a_block():
    weights = random_block(7)
    p = weights.attention
    attention, feed_forward, small = block.sizes(7)
    assert attention == sum(W.size for W in (p.W_q, p.W_k, p.W_v, p.W_o)) == 196
    assert feed_forward == weights.W_in.size + weights.W_out.size == 2 * attention
    others = ("b_in", "b_out", "gain_1", "bias_1", "gain_2", "bias_2")
    assert small == sum(getattr(weights, name).size for name in others)
    text = block.about_size(reader())
    assert "**10,000**" in text and "**20,000**" in text


def test_what_attention_would_leave_if_it_replaced_the_vector():
    result = reader()
    x, made = result.X[7].astype(float), added_by_hand(result, 7, 1, True, False)[0][0]
    text = block.about_replacing(result)

    def cosine(v):
        return block.number(x @ v / np.linalg.norm(x) / np.linalg.norm(v))

    assert f"a cosine of **{cosine(x + made)}**" in text
    assert f"by itself a cosine of **{cosine(made)}**" in text


def test_words_cut_off_move_a_vector_only_if_it_saw_them():
    result = reader(n_layers=2)
    text = block.shortened(result, 7)
    assert "the 4 words after" in text and "only back, **not at all**" in text
    whole = added_by_hand(result, 7, 2, True, False)[1]
    cut = reader(n_layers=2, sentence="The cat sat on the mat. It")
    moved = np.linalg.norm(whole - added_by_hand(cut, 7, 2, True, False)[1])
    assert f"a length of **{block.number(moved)}**" in text
    assert moved > 0.1
    assert block.shortened(result, 11) == ""


def test_the_line_follows_the_order():
    first, last = (block.line(reader(norm_first=n), 7) for n in (True, False))
    plain = [re.sub(r":\w+-badge\[|[*\]]|&nbsp;", "", text).split("→") for text in (first, last)]
    parts = [[part.strip() for part in text] for text in plain]
    assert parts[0][1:3] == ["+ attention(norm)", "+ feed-forward(norm)"]
    assert parts[1][1:5] == ["+ attention", "norm", "+ feed-forward", "norm"]
    assert block.formula(True) != block.formula(False)


# ---- figures


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_figures_carry_their_numbers(palette):
    now, names = by_hand(), ["w", "1 attention", "1 feed-forward", "2 attention"]
    steps = block.steps_figure(now.rows, names, 5, 1, palette)
    np.testing.assert_array_equal(steps.data[0].z, now.rows)
    assert list(steps.layout.yaxis.ticktext) == names
    added, after = np.array([1, -2.0, 0, 1]), np.array([1, 0.5, -0.25, 1])
    figure = block.measures_figure(names, added, after, (-1, 1), palette)
    bars, marks = figure.data
    np.testing.assert_array_equal(bars.x, added)
    assert bars.marker.color[0] == palette.query
    assert [text.strip() for text in marks.text] == ["1.00", ".50", "−.25", "1.00"]
    assert marks.textposition[2] == "middle left"
    low, high = figure.layout.xaxis.range
    assert low <= -2 and high > 1
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # the first row on top


# ---- the page


@pytest.mark.parametrize("sentence", SENTENCES.values(), ids=SENTENCES)
def test_every_sentence_opens(sentence):
    link = {} if sentence is None else {"sentence": sentence}
    app = open_page(**link, norm_first="0", n_layers="3")
    assert set(drawn(app)) == {"block_added", "block_after"}
    assert {"block_lengths", "block_cosines"} < set(drawn(answer(app)))


@pytest.mark.parametrize(
    "link",
    [
        {"n_layers": "7", "norm_first": "2", "n_heads": "-1", "query": "999"},
        {"matrices": "random", "d_model": "1", "norm_first": "0", "n_layers": "6"},
        {"matrices": "random", "embedding": "random", "d_model": "256", "n_layers": "6"},
        {"matrices": "identity", "embedding": "one-hot", "causal": "1", "seed": "999999999"},
        {"matrices": "random", "spread": "0", "scaling": "0"},
    ],
)
def test_hostile_and_unusual_links_open(link):
    answer(open_page(**link))


def test_vectors_too_wide_are_said_to_be():
    app = open_page(matrices="random", embedding="random", d_model="768")
    assert "768 numbers wide" in app.info[0].value
    assert not drawn(app)
    assert "2,359,296" in said(app)  # 4 · 768²


def test_an_uploaded_zero_vector_is_no_error():
    X = Matrix.of(np.zeros((12, 4)))
    result = reader(embedding="uploaded", X=X, positions="none", norm_first=False)
    now = block.way(block.run(result), 7)
    assert "all zeros" in block.finding(result, now, 7)
    assert block.question(result)[2]
    block.measures_figure(["w"] * 9, np.zeros(9), np.zeros(9), (0, 1), LIGHT)


def test_an_empty_sentence_is_asked_for():
    app = open_page(sentence="")
    assert [info.value for info in app.info] == ["Type a sentence, or take one of these:"]


def test_every_control_changes_what_is_drawn():
    app = answer(open_page(matrices="random"))

    def check(setting):
        result = reader(**setting)
        s, query = result.scenario, block.panels.chosen(result)[0]
        rows, _ = added_by_hand(result, query, s.n_layers, s.norm_first, s.causal)
        rows = np.concatenate([result.X[query][None], rows])
        charts = drawn(app)
        np.testing.assert_allclose(decoded(charts["block_added"][0]["z"]), rows, atol=1e-4)
        vectors = rows.cumsum(axis=0)
        np.testing.assert_allclose(decoded(charts["block_after"][0]["z"]), vectors, atol=1e-4)
        bars, marks = charts["block_lengths"]
        np.testing.assert_allclose(decoded(bars["x"]), np.linalg.norm(rows, axis=1), atol=1e-4)
        np.testing.assert_allclose(decoded(marks["x"]), np.linalg.norm(vectors, axis=1), atol=1e-4)
        cosines = rows @ rows[0] / np.linalg.norm(rows, axis=1) / np.linalg.norm(rows[0])
        np.testing.assert_allclose(decoded(charts["block_cosines"][0]["x"]), cosines, atol=1e-4)

    check({})
    group(app, "n_layers").set_value(3).run()
    check({"n_layers": 3})
    group(app, "norm_first").set_value(False).run()
    check({"n_layers": 3, "norm_first": False})
    group(app, "causal").set_value(True).run()
    check({"n_layers": 3, "norm_first": False, "causal": True})
    app.selectbox(key="query").set_value(1).run()
    check({"n_layers": 3, "norm_first": False, "causal": True, "query": 1})
    app.button("draw_blocks").click().run()
    check({"n_layers": 3, "norm_first": False, "causal": True, "query": 1, "seed": 2})


@pytest.mark.parametrize(("model", "causal"), [("bert", False), ("gpt", True)])
def test_the_blocks_can_be_set_like_a_model_s(model, causal):
    app = open_page(causal="0" if causal else "1", norm_first="0" if causal else "1")
    app.button(f"set_as_{model}").click().run()
    scenario = app.session_state[SCENARIO]
    assert (scenario.causal, scenario.norm_first) == (causal, causal)
