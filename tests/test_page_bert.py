"""The page on BERT: tiles, views and names by hand, sums recomputed, the page through AppTest."""

import base64
import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from attention import Scenario, forward
from attention.bert import FLOAT16_WEIGHTS, HOW_TO_GET, load_bert
from attention.files import FileProblem
from attention.heads import Link, strongest_links
from attention.text import tokenize
from pages.shared import frame
from pages.shared.colours import DARK, LIGHT
from pages.shared.parts import bert, bert_figures, bert_model, bert_opened, bert_view
from pages.shared.wording import number

APP = Path(__file__).parents[1] / "app.py"
DEFAULT = Scenario().sentence
IT, CAT = 8, 2  # word pieces of the default sentence
PIECES = "Unbelievably the playful dogs lost their ball. They are sad."
LONG = "The cat sat on the mat and it saw the dog . " * 10
HOSTILE = ":red[a] $x$ **b** <b>c</b> [d](https://e.org) `f` :material/home: a\u202eb [SEP] [MASK]"
SENTENCES = {
    "default": {},
    "one token": {"sentence": "a"},
    "too many": {"sentence": LONG, "by_word": "1"},
    "no spaces": {"sentence": "한국어" * 333, "specials": "hidden"},
    "right to left": {"sentence": "القطة جلست على الحصير. هي تأكل الآن.", "by_word": "1"},
    "emoji": {"sentence": "👩\u200d👩\u200d👧 love 🍕🏽", "specials": "renormalised"},
    "hostile": {"sentence": HOSTILE, "masked": "1~2", "by_word": "1"},
    "far away": {"layer": "99", "head": "199", "looking": "9999", "looked_at": "5000"},
    "nothing chosen": {"looked_at": "-1", "masked": "900", "component": "127"},
    "all masked": {"sentence": "a b", "masked": "0~1~2~3", "looking": "0~3"},
    "rows that are hidden": {"specials": "hidden", "looking": "0~13", "looked_at": "0"},
}


@pytest.fixture(autouse=True)
def warm_server(monkeypatch):
    """As on a server that has shown a page: the first run on a fresh one swallows a click."""
    create = PagesManager.__init__

    def create_warm(self, *args, **kwargs):
        create(self, *args, **kwargs)
        PagesManager.uses_pages_directory = False

    monkeypatch.setattr(PagesManager, "__init__", create_warm)


@pytest.fixture(scope="module")
def model():
    return load_bert()  # what the page loads: full precision where its package is installed


def trace(sentence: str, masked=()):
    return bert_view.trace_of(sentence, load_bert(), masked)


def view(sentence: str = DEFAULT, **fields) -> bert_view.View:
    return bert_view.view(trace(sentence), Scenario(sentence=sentence, **fields))


def open_page(**link: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=60)
    for name, text in link.items():
        app.query_params[name] = text
    return run(app.switch_page("pages/bert.py"))


def run(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception, app.exception[0].message + "".join(app.exception[0].stack_trace[-3:])
    return app


def scenario(app: AppTest) -> Scenario:
    return app.session_state[frame.SCENARIO]


def array(z) -> np.ndarray:
    if isinstance(z, dict):
        flat = np.frombuffer(base64.b64decode(z["bdata"]), z["dtype"])
        z = flat.reshape([int(n) for n in z["shape"].split(",")]) if "shape" in z else flat
    return np.array(z, float)


def charts(app: AppTest) -> dict[str, list[dict]]:
    return {
        chart.key.removesuffix("_chart"): json.loads(chart.proto.spec)["data"]
        for chart in app.get("plotly_chart")
    }


def numbers(app: AppTest, name: str) -> np.ndarray:
    """The numbers of a chart's heatmap, or the heights of its bars."""
    first = charts(app)[name][0]
    return array(first["z"] if "z" in first else first["y"])


def said(app: AppTest) -> str:
    return "\n".join(element.value for kind in ("markdown", "text") for element in app.get(kind))


def widget(app: AppTest, kind: str, key: str):
    return next(w for w in app.get(kind) if w.key == key)


# ---- the mosaic


def test_tiles_by_hand():
    weights = np.zeros((2, 3, 2, 2), np.float32)
    weights[1, 2] = [[1, 0.5], [0.2, 0]]
    weights[0, 1, 1, 0] = 0.4
    figure = bert_figures.mosaic(weights, LIGHT, chosen=(1, 2), named=[(0, 0), (1, 2)])
    Z = figure.data[0].z
    assert bert_figures.stride(2) == 3 and Z.dtype == np.uint8 and Z.shape == (5, 8)
    assert Z[3:5, 6:8].tolist() == [[255, 128], [51, 0]]
    assert Z[1, 3] == 102 and Z.sum() == 255 + 128 + 51 + 102
    chosen = figure.layout.shapes[-1]
    assert (chosen.x0, chosen.x1, chosen.y0, chosen.y1) == (5, 8, 2, 5)
    assert len(figure.layout.shapes) == 3  # gaps, the other named head, the chosen one
    assert figure.layout.xaxis.ticktext[6] == "2" and figure.layout.yaxis.ticktext[3] == "1"


@pytest.mark.parametrize("N", [1, 2, 5, 14, 64])
def test_every_cell_of_a_tile_leads_back_to_its_head(N):
    weights = np.random.RandomState(N).rand(2, 3, N, N).astype(np.float32)
    Z = bert_figures.mosaic(weights, DARK, chosen=(0, 0)).data[0].z
    step = bert_figures.stride(N)
    for layer in range(2):
        for head in range(3):
            tile = Z[layer * step : layer * step + N, head * step : head * step + N]
            np.testing.assert_allclose(tile / 255, weights[layer, head], atol=0.5 / 255 + 1e-6)


# ---- what is shown


def test_the_default_view_is_the_head_that_finds_cat():
    now = view()
    assert now.name == "L3H1" and now.tokens.texts[IT] == "it" and now.tokens.texts[CAT] == "cat"
    assert now.queries == (IT,) and now.key == CAT == int(now.row.argmax())
    assert now.row[CAT] == pytest.approx(0.73, abs=0.01)
    np.testing.assert_array_equal(now.weights, now.trace.weights)
    assert bert.claim(now) == "puts .73 on" and "add up to 1.00." in bert.insight(now)


def test_words_average_rows_and_add_columns_and_hidden_ones_leave():
    whole = trace(PIECES)
    W, word_of = whole.weights[1, 8].astype(np.float64), np.array(whole.tokens.word_of)
    N = word_of[-1] + 1
    wanted = np.zeros((N, N))
    for i in range(N):
        for j in range(N):
            wanted[i, j] = W[word_of == i].mean(axis=0)[word_of == j].sum()
    shown = view(PIECES, layer=1, head=8, by_word=True)
    np.testing.assert_allclose(shown.map, wanted, atol=1e-6)
    assert shown.tokens.texts[:3] == ("[CLS]", "Unbelievably", "the")
    assert len(shown.pieces[1]) > 1 and sum(map(len, shown.pieces)) == len(whole.tokens)

    hidden = view(PIECES, layer=1, head=8, by_word=True, specials="hidden")
    np.testing.assert_allclose(hidden.map, wanted[1:-1, 1:-1], atol=1e-6)
    assert hidden.tokens.texts == shown.tokens.texts[1:-1]
    again = view(PIECES, layer=1, head=8, by_word=True, specials="renormalised")
    inner = wanted[1:-1, 1:-1]
    np.testing.assert_allclose(again.map, inner / inner.sum(axis=1, keepdims=True), atol=1e-6)
    np.testing.assert_allclose(again.total, inner.sum(axis=1), atol=1e-6)
    for now, words in ((shown, "adds up to 1"), (hidden, "gives the rest"), (again, "no longer")):
        assert "averaged, columns added" in bert.about_view(now) and words in bert.about_view(now)


def test_several_that_look_are_added():
    now = view(looking=(CAT, IT), looked_at=5)
    np.testing.assert_allclose(now.row, now.trace.weights[3, 1, [CAT, IT]].sum(axis=0))
    assert now.key == 5 and bert.claim(now) == f"put {number(float(now.row[5]))} of 2 on"
    assert "2 rows added: the bars sum to 2.00." in bert.insight(now)


def test_a_choice_that_is_not_there_falls_back_and_a_word_is_found_by_any_piece():
    last = view("Dogs bark", looking=(0,), looked_at=0, specials="hidden")
    assert last.tokens.texts == ("dogs", "bark") and last.queries == (1,)
    assert last.key == int(last.map[1].argmax())
    word = view(PIECES, looking=(3,), by_word=True)
    assert word.tokens.texts[word.queries[0]] == "Unbelievably"
    assert word.pair[0] == 1  # its first piece
    assert view(looked_at=-1).key is None and view(looked_at=-1).pair is None


@pytest.mark.parametrize(
    "sentence",
    [LONG, "한국어 " * 250, ("한" * 90 + " ") * 10, "a" * 1000, "👩" * 1000, ". " * 500, "é" * 999],
)
def test_the_beginning_fits(sentence, model):
    fits, left_out = bert_view.beginning(sentence, model)
    assert sentence.startswith(fits) and len(fits) + left_out == len(sentence)
    assert 1 <= len(trace(fits).tokens) <= bert_view.MAX_PIECES


def test_the_beginning_is_as_long_as_it_can_be(model):
    fits, _ = bert_view.beginning(LONG, model)
    assert len(trace(fits).tokens) == bert_view.MAX_PIECES
    assert bert_view.beginning(DEFAULT, model) == (DEFAULT, 0)


# ---- the arithmetic


def value(text: str) -> float:
    return float(text.replace("−", "-"))


@pytest.mark.parametrize("layer, head, query, key", [(3, 1, IT, CAT), (0, 2, 5, 4), (5, 11, 0, 13)])
def test_every_line_recomputes(layer, head, query, key):
    now = view(layer=layer, head=head)
    opened = bert_view.cell(now, query, key, None)
    p = now.trace.layers[layer].weights.attention
    x = now.trace.inputs[layer].astype(np.float64)
    columns = slice(head * 32, head * 32 + 32)
    Q = x @ p.W_q[:, columns] + p.b_q[columns]
    K = x @ p.W_k[:, columns] + p.b_k[columns]
    V = x @ p.W_v[:, columns] + p.b_v[columns]
    scores = Q @ K.T
    weights = np.exp(scores / np.sqrt(32))
    weights /= weights.sum(axis=1, keepdims=True)
    assert value(opened.score.result) == pytest.approx(scores[query, key], abs=0.006)
    assert value(opened.scaled.result) == pytest.approx(scores[query, key] / np.sqrt(32), abs=0.006)
    assert value(opened.weight.result) == pytest.approx(weights[query, key], abs=0.0006)
    assert value(opened.output.result) == pytest.approx(
        (weights @ V)[query, opened.column], abs=0.006
    )
    assert opened.component == int(np.abs(Q[query] * K[key]).argmax())
    assert opened.column == int(np.abs((weights @ V)[query]).argmax())
    for total, side, place in ((opened.q, Q, query), (opened.k, K, key)):
        assert value(total.result) == pytest.approx(side[place, opened.component], abs=0.006)
        assert len(total.terms) == 385  # the last one is the bias
        exact = sum(round(value(term.product) * 1e9) for term in total.terms)
        assert exact == round(value(total.exact) * 1e9)
    bias = value(opened.q.terms[-1].product)
    assert bias == pytest.approx(p.b_q[columns][opened.component], abs=0.006)


def test_another_number_of_query_and_key_can_be_opened():
    now = view()
    opened = bert_view.cell(now, IT, CAT, 7)
    a = now.attention
    assert value(opened.q.result) == pytest.approx(float(a.Q[1, IT, 7]), abs=0.006)
    assert (
        bert_view.cell(now, IT, CAT, 99).component == bert_view.cell(now, IT, CAT, None).component
    )


def test_products_are_drawn_and_add_up():
    q, k = np.array([1.0, -2, 3], np.float32), np.array([2.0, 0.5, -1], np.float32)
    bar, strip = bert_figures.products(q, k, LIGHT, component=1).data
    assert bar.y.tolist() == [2, -1, -3] and strip.z.tolist() == [q.tolist(), k.tolist()]
    assert bar.marker.color[0] != bar.marker.color[1] == bar.marker.color[2]


# ---- names


def test_every_name_is_earned_on_the_default_sentence():
    earned = {one.named.name: one for one in bert_view.names(trace(DEFAULT))}
    W = trace(DEFAULT).weights
    assert all(one.earned for one in earned.values())
    assert earned["previous word"].figure == pytest.approx(np.diag(W[0, 2], -1).mean(), abs=1e-6)
    assert earned["next word"].figure == pytest.approx(np.diag(W[1, 8], 1).mean(), abs=1e-6)
    assert earned["sink"].figure == pytest.approx(W[4, 5, :, 0].mean(), abs=1e-6)
    one = earned["coreference"]
    assert (one.query, one.key) == (IT, CAT) and one.figure == pytest.approx(W[3, 1, IT, CAT])
    others = [row for row in range(14) if row != IT]
    assert one.others == pytest.approx(W[3, 1, others, CAT].mean(), abs=1e-6)
    topic = earned["topic"]
    assert topic.key == CAT and topic.first_in == 14 > one.figure
    assert topic.figure == pytest.approx(W[5, 11, :, CAT].mean(), abs=1e-6)
    texts = [bert.about_name(one, trace(DEFAULT)) for one in earned.values()]
    assert "“it” gives “cat” **.73**, other rows .18." in texts[0]
    assert "14 of 14" in texts[-1] and not any("Not earned" in text for text in texts)


@pytest.mark.parametrize("sentence", ["Dogs bark.", "It rains."])
def test_without_a_pronoun_that_has_a_noun_there_is_nothing_to_measure(sentence):
    one = bert_view.names(trace(sentence))[0]
    assert one.figure is None and not one.earned
    assert "nothing to measure" in bert.about_name(one, trace(sentence))


def test_a_name_that_is_not_earned_says_so():
    found = {}
    for sentence in ("a", "My sister bought a piano. She is happy.", LONG):
        for one in bert_view.names(trace(sentence)):
            text = bert.about_name(one, trace(sentence))
            assert one.earned == (one.figure is not None and "Not earned" not in text)
            found[one.earned] = text
    assert set(found) == {True, False}


# ---- links, the mean, a token left out


def test_links_are_drawn_once_each_and_said():
    texts = ("<b>", "b", "c")
    found = (Link(0, 1, 0.9), Link(1, 1, 0.3), Link(2, 0, 0.31), Link(2, 2, 0.05))
    figure = bert_figures.links(texts, found, LIGHT, queries=(2,))
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    drawn = {(line.y[i], line.y[i + 1]) for line in lines for i in range(0, len(line.y), 3)}
    assert drawn == {link[:2] for link in found}
    mine = [line for line in lines if line.line.color == LIGHT.query]
    assert {y for line in mine for y in line.y[::3]} == {2}
    thick = {line.y[0]: line.line.width for line in lines if line.line.color == LIGHT.muted}
    assert thick[0] > thick[1]
    left, right = figure.data[-2:]
    assert left.text[0] == "&lt;b&gt;" and left.hovertext[0] == "&lt;b&gt; → b .90"
    assert right.hovertext[1] == "&lt;b&gt; .90, b .30 → b"
    assert right.hovertext[0] == "c .31 → &lt;b&gt;"


@pytest.mark.parametrize(
    "fields",
    [{}, {"looking": (0,)}, {"specials": "hidden"}, {"layer": 0, "head": 2, "by_word": True}],
)
@pytest.mark.parametrize("sentence", [DEFAULT, PIECES, "a", "x x x x"])
def test_the_prediction_about_the_mean_is_right(sentence, fields):
    now = view(sentence, **fields)
    asked, options, answers, why = bert_opened.mean_question(now)
    mean = now.weights.reshape(72, *now.map.shape).astype(np.float64).mean(axis=0)
    row = mean[now.queries[0]]
    names = [bert_opened.explain.quoted(now, place) for place in range(len(row))]
    best = {name for name, w in zip(names, row, strict=True) if number(w) == number(row.max())}
    assert set(answers) == best & set(options) and set(answers)
    assert len(set(options)) == len(options) <= 5
    assert number(float(row.max())) in why and names[now.queries[0]] in asked


def test_a_sink_hands_over_little():
    now = view()
    p, V = now.trace.layers[4].weights.attention, now.trace.layers[4].attention.V[5]
    lengths = np.linalg.norm(V.astype(np.float64) @ p.W_o[160:192], axis=1)
    np.testing.assert_allclose(bert_view.value_lengths(now, 4, 5), lengths, rtol=1e-4)
    text = bert_opened.about_sinks(now)
    everywhere = now.trace.weights[..., 0].mean()
    for figure in (
        everywhere,
        now.trace.weights[4, 5, :, 0].mean(),
        lengths[0],
        lengths[1:].mean(),
    ):
        assert number(float(figure)) in text


@pytest.mark.parametrize("specials", ["shown", "hidden", "renormalised"])
def test_the_largest_weight_is_said_of_the_tokens_that_are_shown(specials):
    now = view(layer=4, head=5, specials=specials)
    query = now.queries[0]
    firsts = now.weights[:, :, query].argmax(-1)
    same, text = int((firsts == firsts[4, 5]).sum()), bert_opened.about_explaining(now)
    word = now.tokens.texts[firsts[4, 5]]
    assert ("[CLS]" in word) == (specials == "shown")
    aside = "" if specials == "shown" else ", [CLS] and [SEP] left aside"
    verb = "does" if same == 2 else "do"
    assert f" the largest weight{aside}; so {verb} {same - 1} of the other 71 heads" in text
    assert bert_opened.explain.quoted(now, int(firsts[4, 5])) in text


def test_what_a_masked_token_changes():
    now, other = view(), bert_view.view(trace(DEFAULT, (CAT,)), Scenario())
    assert (other.trace.weights[..., CAT] == 0).all() and other.row.sum() == pytest.approx(1)
    text = bert_opened.about_change(now, other)
    a, b = now.trace.hidden[IT].astype(np.float64), other.trace.hidden[IT].astype(np.float64)
    angle = np.degrees(np.arccos(a @ b / np.sqrt(a @ a * (b @ b))))
    assert f"turned by **{angle:.0f}°**" in text
    moved = np.abs(other.trace.weights - now.trace.weights).sum(-1).mean(-1).reshape(-1) / 2
    assert f"L{moved.argmax() // 12}H{moved.argmax() % 12} changed most" in text


# ---- into the playground


@pytest.mark.parametrize("layer, head", [(3, 1), (0, 2), (5, 11), (2, 7)])
@pytest.mark.parametrize(
    "sentence", [DEFAULT, PIECES, "a", "naïve 猫 😀 [SEP] don't 3.5 ##x", LONG]
)
def test_the_playground_computes_the_same_head(sentence, layer, head, model):
    sentence = bert_view.beginning(sentence, model)[0]
    now = view(sentence, layer=layer, head=head)
    result = forward(Scenario().replace(**bert_view.carried(now)), max_tokens=64)
    assert len(result.tokens) == len(now.trace.tokens)
    assert result.X.shape[1] == result.projections.W_q.shape[0] == 385
    a = now.trace.layers[layer].attention
    np.testing.assert_allclose(
        result.attention.weights[0], now.trace.weights[layer, head], atol=1e-4
    )
    for name in ("Q", "K", "V"):
        np.testing.assert_allclose(
            getattr(result.attention, name)[0], getattr(a, name)[head], atol=1e-4
        )
    np.testing.assert_allclose(result.attention.output[0], a.heads[head], atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(some.data())
def test_word_pieces_become_as_many_tokens(data):
    vocabulary = _vocabulary()
    texts = data.draw(some.lists(some.sampled_from(vocabulary), min_size=1, max_size=64))
    sentence = bert_view.stand_in_sentence(FakePieces(tuple(texts)))
    assert len(tokenize(sentence)) == len(texts) and len(sentence) <= 1000


@cache
def _vocabulary() -> list[str]:
    return sorted(load_bert("bundled").tokenizer.get_vocab())


class FakePieces:
    """Only what `stand_in_sentence` asks of the word pieces."""

    def __init__(self, texts):
        self.texts = texts

    def __len__(self):
        return len(self.texts)


# ---- the page


@pytest.mark.parametrize("link", SENTENCES.values(), ids=SENTENCES)
def test_every_sentence_opens(link):
    app = open_page(**link)
    assert {"bert_mosaic", "bert_map", "bert_row", "bert_links"} <= set(charts(app))
    assert "ignored" not in said(app)
    everything = link.get("masked") == "0~1~2~3"
    assert ("every weight is 0" in said(app)) == everything


@pytest.mark.parametrize("sentence", ["", "   ", "\u200b"])
def test_an_empty_sentence_asks_for_one(sentence):
    app = open_page(sentence=sentence)
    assert app.info[0].value.startswith("Type a sentence") and not charts(app)


def test_the_page_says_what_was_loaded_and_what_rounding_costs():
    app = open_page()
    bert_here, _ = bert_model.model()
    words = bert_model.about(bert_here)
    assert words in said(app)
    rounded = bert_here.precision == "float16"
    assert (number(FLOAT16_WEIGHTS, 4).replace(".", "&#46;") in words) == rounded


def test_the_page_draws_exactly_the_weights():
    app = open_page(layer="1", head="8")
    W = trace(DEFAULT).weights
    N, step = 14, 15
    Z = numbers(app, "bert_mosaic")
    assert Z.shape == (6 * step - 1, 12 * step - 1)
    np.testing.assert_allclose(Z[2 * step : 2 * step + N, 0:N] / 255, W[2, 0], atol=0.002)
    np.testing.assert_allclose(numbers(app, "bert_map"), W[1, 8], atol=1e-6)
    np.testing.assert_allclose(numbers(app, "bert_row"), W[1, 8, IT], atol=1e-6)
    a = trace(DEFAULT).layers[1].attention
    key = int(W[1, 8, IT].argmax())
    np.testing.assert_allclose(numbers(app, "bert_products"), a.Q[8, IT] * a.K[8, key], atol=1e-5)


def test_each_control_does_what_it_says():
    app = open_page()
    W = trace(DEFAULT).weights
    widget(app, "selectbox", "layer").set_value(5)
    run(app)
    widget(app, "selectbox", "head").set_value(11)
    run(app)
    assert (scenario(app).layer, scenario(app).head) == (5, 11)
    np.testing.assert_allclose(numbers(app, "bert_map"), W[5, 11], atol=1e-6)
    widget(app, "button_group", "specials").set_value("hidden")
    run(app)
    np.testing.assert_allclose(numbers(app, "bert_map"), W[5, 11, 1:-1, 1:-1], atol=1e-6)
    assert "[CLS] and [SEP] hidden: each row" in said(app)
    widget(app, "button_group", "specials").set_value("renormalised")
    run(app)
    np.testing.assert_allclose(numbers(app, "bert_map").sum(axis=1), 1, atol=1e-5)
    assert "no longer attention weights" in said(app)
    widget(app, "multiselect", "looking").set_value([0, 3])  # the, on
    run(app)
    assert scenario(app).looking == (1, 4)
    np.testing.assert_allclose(
        numbers(app, "bert_row"), numbers(app, "bert_map")[[0, 3]].sum(axis=0), atol=1e-6
    )
    widget(app, "multiselect", "looking").set_value([])
    run(app)
    assert widget(app, "multiselect", "looking").value == [IT - 1]
    widget(app, "selectbox", "looked_at").set_value(4)
    run(app)
    assert scenario(app).looked_at == 5
    widget(app, "selectbox", "looked_at").set_value(None)
    run(app)
    assert scenario(app).looked_at == -1 and "Nothing is open." in said(app)
    assert "bert_products" not in charts(app)


def test_words_can_be_shown_for_pieces():
    app = open_page(sentence=PIECES)
    pieces = len(numbers(app, "bert_map"))
    widget(app, "toggle", "by_word").set_value(True)
    run(app)
    assert len(numbers(app, "bert_map")) < pieces
    assert "averaged, columns added" in said(app)
    widget(app, "multiselect", "looking").set_value([1])
    run(app)
    assert scenario(app).looking == (1,) and "Computed for word pieces" in said(app)


@pytest.mark.parametrize("layer, head", [(0, 2), (1, 8), (4, 5), (5, 11)])
def test_a_named_head_is_one_press_away(layer, head):
    app = open_page(component="5")
    widget(app, "button", f"named_{layer}_{head}").click()
    run(app)
    assert (scenario(app).layer, scenario(app).head) == (layer, head)
    assert scenario(app).component is None and app.query_params["head"] == str(head)


def test_links_follow_the_threshold():
    app = open_page()
    counts = []
    for share in (25, 70, 100):
        widget(app, "slider", "link_share").set_value(share)
        run(app)
        found = strongest_links(view().map, share / 100)
        assert scenario(app).link_share == share / 100
        assert f"{len(found)} of 196 links" in said(app)
        counts.append(len(found))
    assert counts == sorted(set(counts))


def test_masking_shows_before_after_and_the_difference():
    app = open_page()
    assert "bert_difference" not in charts(app)
    widget(app, "multiselect", "masked").set_value([CAT])
    run(app)
    before, after = trace(DEFAULT).weights[3, 1], trace(DEFAULT, (CAT,)).weights[3, 1]
    np.testing.assert_allclose(numbers(app, "bert_before"), before, atol=1e-6)
    np.testing.assert_allclose(numbers(app, "bert_after"), after, atol=1e-6)
    np.testing.assert_allclose(numbers(app, "bert_difference"), after - before, atol=1e-6)
    assert app.query_params["masked"] == str(CAT)
    (after,) = [c for c in app.get("plotly_chart") if c.key == "bert_after_chart"]
    veil = json.loads(after.proto.spec)["layout"]["shapes"][0]["path"]
    assert veil.count("M") == 14 and veil.startswith("M1.5,-0.5H2.5")  # the column of “cat”


def test_the_mean_is_shown_once_it_was_predicted():
    app = open_page()
    assert "bert_mean" not in charts(app)
    group = next(g for g in app.get("button_group") if g.key.startswith("predict_bert_mean"))
    group.set_value(bert_opened.mean_question(view())[1][0])
    run(app)
    mean = trace(DEFAULT).weights.astype(np.float64).mean(axis=(0, 1))
    np.testing.assert_allclose(numbers(app, "bert_mean"), mean, atol=1e-6)
    assert "what no head does" in said(app)


def test_a_link_restores_everything():
    link = {"layer": "2", "head": "3", "specials": "hidden", "by_word": "1", "looking": "2~5"}
    link |= {"looked_at": "4", "masked": "2~3", "component": "9", "link_share": "0.4"}
    first, second = open_page(**link), open_page(**link)
    assert dict(first.query_params.items()) == link | {"version": "2"}
    assert charts(first) == charts(second)
    assert "number 9 = " in said(first)


def test_another_sentence_lets_go_of_chosen_pieces():
    app = open_page(looking="2", looked_at="3", masked="2")
    widget(app, "text_input", "sentence").set_value("Dogs bark. They are loud.")
    run(app)
    now = scenario(app)
    assert (now.looking, now.looked_at, now.masked) == ((), None, ())
    assert "bert_difference" not in charts(app)


def test_a_head_goes_to_the_playground_and_the_sentence_comes_back():
    app = open_page(layer="1", head="8")
    widget(app, "button", "take_head").click()
    run(app)
    shown = {
        c.proto.id.rpartition("-")[2]: json.loads(c.proto.spec)["data"][0]["z"]
        for c in app.get("plotly_chart")
        if "z" in json.loads(c.proto.spec)["data"][0]
    }
    weights = next(array(z) for key, z in shown.items() if key.startswith("weights"))
    np.testing.assert_allclose(weights, trace(DEFAULT).weights[1, 8], atol=1e-4)
    assert "This is L1H8 of MiniLM-L6" in said(app) and scenario(app).sentence.startswith("CLS the")
    app.switch_page("pages/bert.py")
    run(app)
    widget(app, "button", "way_back").click()
    run(app)
    assert scenario(app) == Scenario(layer=1, head=8)
    assert not [b for b in app.button if b.key == "way_back"]


# ---- full precision


def open_popover(monkeypatch, load) -> AppTest:
    """The page with the bundled copy in use and `load` in the place of loading another."""
    bert_model.model.clear()
    monkeypatch.setattr(bert_model, "load_bert", lambda *a, **k: load_bert("bundled"))
    app = open_page()
    monkeypatch.setattr(bert_model, "load_bert", load)
    app.session_state["precision_popover"] = True
    return run(app)


def test_the_way_to_full_precision_is_one_line(monkeypatch):
    app = open_popover(monkeypatch, None)
    assert HOW_TO_GET in [code.value for code in app.code]


def test_no_network_is_said_plainly_and_the_copy_stays(monkeypatch):
    def load(source, *, progress):
        progress(0, 10)
        raise FileProblem("It could not be downloaded: there is no network.")

    app = open_popover(monkeypatch, load)
    widget(app, "button", "hub").click()
    run(app)
    assert "there is no network. The copy that comes with the project stays in use." in said(app)
    assert charts(app)


def test_a_download_serves_everybody(monkeypatch):
    calls = []

    def load(source=None, *, progress=None):
        calls.append(source)
        if progress:
            progress(45_000_000, 91_000_000)
        return load_bert("bundled")

    app = open_popover(monkeypatch, load)
    widget(app, "button", "hub").click()
    run(app)
    assert calls == ["hub", None]  # and what is best is looked for anew
    bert_model.model.clear()


def test_a_damaged_copy_is_named_and_the_bundled_one_used(monkeypatch):
    def load(source=None, **_):
        if source is None:
            raise FileProblem("model.safetensors is damaged.")
        return load_bert(source)

    bert_model.model.clear()
    monkeypatch.setattr(bert_model, "load_bert", load)
    app = open_page()
    app.session_state["precision_popover"] = True
    run(app)
    assert "cannot be used. model.safetensors is damaged." in said(app)
    bert_model.model.clear()


def test_a_model_that_cannot_be_had_stops_the_page_with_a_sentence(monkeypatch):
    def load(*_, **__):
        raise FileProblem("This model needs the package tokenizers: pip install tokenizers")

    bert_model.model.clear()
    monkeypatch.setattr(bert_model, "load_bert", load)
    app = open_page()
    assert "pip install tokenizers" in said(app) and not charts(app)
    bert_model.model.clear()


def test_hostile_words_do_not_reach_markdown():
    text = said(open_page(sentence=HOSTILE, looking="1", looked_at="3"))
    assert not re.search(
        r"“[^”]*[\[\]$*`<>][^”]*”", text.replace("“[CLS]”", "").replace("“[SEP]”", "")
    )
