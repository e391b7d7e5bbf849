"""The playground through AppTest: every control changes what it says, and nothing else breaks.

A real browser's part (clicks, grids, history) is in test_browser.py; links are in test_links.py.
"""

import base64
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from attention.files import write_matrices
from attention.forward import forward
from attention.scenario import (
    HIDEABLE,
    MATRICES,
    PRESETS,
    STAGES,
    Edit,
    Matrix,
    Scenario,
    from_link,
    to_link,
)
from attention.text import tokenize
from pages.shared import controls, frame, matrices, panels
from pages.shared.arithmetic import stage_array
from pages.shared.wording import in_markdown

ROOT = Path(__file__).parents[1]
SMALL = {"matrices": "random", "d_model": "8", "d_k": "4", "d_v": "3"}
MAPS = ("scores", "scaled", "weights")


@pytest.fixture(autouse=True)
def warm_server(monkeypatch):
    """As on a server that has shown a page: AppTest makes each run the first of its server, which
    `frame.begin` answers with a second run, and that would swallow a button's click."""
    create = PagesManager.__init__

    def create_warm(self, *args, **kwargs):
        create(self, *args, **kwargs)
        PagesManager.uses_pages_directory = False

    monkeypatch.setattr(PagesManager, "__init__", create_warm)


def open_app(params: dict[str, str] | None = None, *, page: str = "") -> AppTest:
    """A fresh session that opens a link, on the playground or on another page."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=30)
    for name, text in (params or {}).items():
        app.query_params[name] = text
    if page:
        app.switch_page(f"pages/{page}.py")
    return run(app)


def run(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception, app.exception[0].message + app.exception[0].stack_trace[-1]
    return app


def scenario(app: AppTest) -> Scenario:
    return app.session_state[frame.SCENARIO]


def link(app: AppTest) -> dict[str, str]:
    return dict(app.query_params.items())


def charts(app: AppTest) -> dict[str, dict]:
    """The charts on the page by stage, as the browser gets them."""
    found = {
        c.proto.id.rpartition("-")[2]: json.loads(c.proto.spec) for c in app.get("plotly_chart")
    }
    return {key.removesuffix("_chart"): figure for key, figure in found.items()}


def numbers(app: AppTest, stage: str) -> np.ndarray:
    z = charts(app)[stage]["data"][0]["z"]
    array = np.frombuffer(base64.b64decode(z["bdata"]), z["dtype"])
    return array.reshape([int(n) for n in z["shape"].split(",")])


def all_numbers(app: AppTest) -> dict[str, np.ndarray]:
    return {stage: numbers(app, stage) for stage in STAGES}


def changed(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    return {s for s in STAGES if not np.array_equal(before[s], after[s])}


def texts(app: AppTest) -> str:
    """All words on the page that are not in charts or widgets."""
    return "\n".join(
        element.value
        for kind in ("markdown", "text", "subheader", "info")
        for element in app.get(kind)
    )


def blocks(node) -> Iterator:
    """All containers on the page, from the outside in."""
    inside = node._tree.children if isinstance(node, AppTest) else node.children
    for child in inside.values():
        if hasattr(child, "children"):
            yield child
            yield from blocks(child)


def open_popover(app: AppTest, name: str) -> AppTest:
    app.session_state[f"{name}_popover"] = True
    return run(app)


def check_charts(app: AppTest) -> None:
    """What the charts show is the forward pass of the scenario in the session."""
    result = forward(scenario(app), max_tokens=controls.MAX_TOKENS)
    by_column = scenario(app).convention == "columns"
    for stage in STAGES:
        Z = stage_array(result, stage)
        shown = numbers(app, stage)
        np.testing.assert_array_equal(shown, Z.T if by_column and stage not in MAPS else Z)


# ---- the first screen


def test_the_first_screen():
    app = open_app()
    assert link(app) == {}
    assert set(charts(app)) == {"row", *STAGES}
    check_charts(app)
    weights, tokens = numbers(app, "weights"), tokenize(scenario(app).sentence).texts
    it, cat = tokens.index("It"), tokens.index("cat")
    assert app.selectbox(key="query").value == it and app.selectbox(key="key").value == cat
    said = f"{weights[it, cat]:.3f}".removeprefix("0")  # three decimals, where two would say 1.00
    claim = f"puts {said} of its attention on"
    assert app.subheader[0].value == claim and weights[it, cat] >= 0.8
    assert "The bars add up to 1.000." in texts(app)
    assert "not why" in texts(app) and "without cat, mat, sat and eating" in texts(app)


def test_a_cold_server_shows_it_too(monkeypatch):
    monkeypatch.undo()
    app = open_app(SMALL)
    assert set(charts(app)) == {"row", *STAGES}
    app.selectbox(key="query").set_value(2)
    assert scenario(run(app)).query == 2


def test_each_chart_bears_its_stages_name_as_key():
    ids = [chart.proto.id for chart in open_app(SMALL).get("plotly_chart")]
    for stage in STAGES:
        assert sum(name.endswith(f"-{stage}") for name in ids) == 1


def test_charts_have_a_description_for_screen_readers():
    app = open_app(SMALL)
    alts = [chart.proto.alt for chart in app.get("plotly_chart")]
    assert all(alts) and len(set(alts)) == len(alts)
    assert any("add up to 1.000" in alt for alt in alts)


# ---- every control


def set_text(key, value):
    return lambda app: app.text_input(key=key).set_value(value)


def set_number(key, value):
    return lambda app: app.number_input(key=key).set_value(value)


def set_select(key, value):
    return lambda app: app.selectbox(key=key).set_value(value)


def set_toggle(key, value):
    return lambda app: app.toggle(key=key).set_value(value)


def set_radio(key, value):
    return lambda app: app.radio(key=key).set_value(value)


def set_segment(key, value):
    return lambda app: next(g for g in app.get("button_group") if g.key == key).set_value(value)


def press(key):
    return lambda app: app.button(key=key).click()


VECTORS = {"embeddings", "Q", "K", "V", "output"}
ALL = set(STAGES)
CONTROLS = [  # popover, what is done, fields after it, charts that change
    (
        "",
        set_text("sentence", "My sister bought a piano."),
        {"sentence": "My sister bought a piano."},
        ALL,
    ),
    ("", set_select("query", 2), {"query": 2}, set()),
    ("", set_select("key", 5), {"key": 5}, set()),
    ("", set_select("key", None), {"key": -1}, set()),
    ("settings", set_select("embedding", "random"), {"embedding": "random"}, ALL),
    ("settings", set_select("embedding", "one-hot"), {"embedding": "one-hot"}, ALL),
    ("settings", set_segment("positions", "none"), {"positions": "none"}, ALL),
    ("settings", set_number("d_model", 11), {"d_model": 11}, ALL),
    ("settings", set_number("d_k", 7), {"d_k": 7}, ALL - {"embeddings", "V"}),
    ("settings", set_number("d_v", 5), {"d_v": 5}, {"V", "output"}),
    ("settings", set_toggle("scaling", False), {"scaling": False}, {"scaled", "weights", "output"}),
    ("settings", set_toggle("causal", True), {"causal": True}, {"weights", "output"}),
    ("settings", set_segment("convention", "columns"), {"convention": "columns"}, VECTORS),
    ("settings", set_number("seed", 99), {"seed": 99}, ALL - {"embeddings"}),
    (
        "settings",
        set_select("distribution", "uniform"),
        {"distribution": "uniform"},
        ALL - {"embeddings"},
    ),
    ("settings", set_number("spread", 0.5), {"spread": 0.5}, ALL - {"embeddings"}),
    ("settings", press("small"), {"d_model": 8, "d_k": 4, "d_v": 4}, {"V", "output"}),
    (
        "matrices",
        set_radio("matrices", "identity"),
        {"matrices": "identity", "d_k": 8, "d_v": 8},
        ALL - {"embeddings"},
    ),
    (
        "matrices",
        set_radio("matrices", "coreference"),
        {"matrices": "coreference"} | PRESETS["coreference"],
        ALL,
    ),
]


@pytest.mark.parametrize(("popover", "act", "fields", "charts_changed"), CONTROLS)
def test_every_control_changes_the_scenario_the_charts_and_the_link(
    popover, act, fields, charts_changed
):
    app = open_app(SMALL)
    if popover:
        open_popover(app, popover)
    before, was = all_numbers(app), scenario(app)
    act(app)
    run(app)
    now = scenario(app)
    assert {name: getattr(now, name) for name in fields} == fields
    others = {n: v for n, v in vars(now).items() if n not in (*fields, "query", "key", "cell")}
    assert others == {name: getattr(was, name) for name in others}
    assert changed(before, all_numbers(app)) == charts_changed
    check_charts(app)
    assert link(app) == to_link(now)[0]
    assert from_link(link(app)) == (now, ())


def test_randomize_draws_all_three_anew_and_shows_the_seed():
    app = open_app()
    press("randomize")(app)
    first = all_numbers(run(app))
    assert scenario(app).matrices == "random" and 1 <= scenario(app).seed <= 9_999
    assert f"random, seed {scenario(app).seed}" in texts(app)
    assert "the pattern means nothing yet" in texts(app)
    press("randomize")(app)
    assert changed(first, all_numbers(run(app))) == ALL - {"embeddings"}


W = "1x1.AACAPw"  # a matrix of 1


@pytest.mark.parametrize(
    ("params", "random"),
    [
        ({}, False),
        ({"matrices": "identity"}, False),
        (SMALL, True),
        ({"seed_q": "3"}, True),  # beside a trained W_k
        ({"seed_v": "3"}, False),  # W_v plays no part in where a word looks
        ({"matrices": "random", "W_q": W}, True),
        ({"matrices": "random", "W_q": W, "W_k": W, "W_v": W}, False),
    ],
)
def test_what_is_random_says_so(params, random):
    text = texts(open_app(params))
    assert ("Random weights: the pattern means nothing yet." in text) == random
    assert ("They show where this head looks, not why." in text) != random


def test_random_embeddings_have_a_seed_of_their_own():
    app = open_popover(open_app(SMALL | {"embedding": "random"}), "settings")
    before = all_numbers(app)
    app.number_input(key="embedding_seed").set_value(7)
    run(app)
    assert scenario(app).embedding_seed == 7 and changed(before, all_numbers(app)) == ALL


def test_examples():
    place = 2
    app = open_app({"sentence": "x", "query": "0"})
    menu = app.get("menu_button")[0]
    assert menu.options == [in_markdown(example) for example in controls.EXAMPLES]
    menu.click(controls.EXAMPLES[place])
    run(app)
    assert scenario(app).sentence == controls.EXAMPLES[place]
    assert scenario(app).query is None  # the pronoun, not the first word
    assert app.text_input(key="sentence").value == controls.EXAMPLES[place]


@pytest.mark.parametrize("name", MATRICES)
def test_every_choice_of_matrices_opens(name):
    app = open_popover(open_app(), "matrices")
    app.radio(key="matrices").set_value(name)
    run(app)
    assert scenario(app).matrices == name
    check_charts(app)


def test_trained_weights_lock_their_settings_until_they_are_unlocked():
    app = open_popover(open_popover(open_app(), "settings"), "matrices")
    assert app.number_input(key="d_k").disabled and app.number_input(key="d_model").disabled
    assert app.selectbox(key="embedding").disabled
    app.toggle(key="unlocked").set_value(True)
    run(app)
    assert app.number_input(key="d_k").disabled and not app.selectbox(key="embedding").disabled
    set_segment("positions", "none")(app)
    assert scenario(run(app)).positions == "none"
    app.toggle(key="unlocked").set_value(False)
    assert scenario(run(app)).positions == "sinusoidal"


def test_reset_goes_back_to_the_first_screen():
    app = open_popover(open_app(SMALL | {"sentence": "a b", "causal": "1"}), "settings")
    press("reset")(app)
    run(app)
    assert scenario(app) == Scenario() and link(app) == {}
    assert app.text_input(key="sentence").value == Scenario().sentence


def test_edits_uploads_and_own_seeds_can_be_taken_back_together():
    app = open_app(SMALL | {"edits": "W_q.0.0.5", "seed_k": "9"})
    assert "W_k drawn alone" in texts(app) and "1 cell edited" in texts(app)
    press("take_back_all")(open_popover(app, "matrices"))
    run(app)
    assert scenario(app).edits == () and scenario(app).seed_k is None
    assert scenario(app) == from_link(SMALL)[0]


# ---- which words are selected


def test_the_selection_stays_while_its_words_stand_where_they_were():
    app = open_app(SMALL | {"query": "2", "key": "1"})
    app.text_input(key="sentence").set_value("The cat sat here")
    assert (scenario(run(app)).query, scenario(app).key) == (2, 1)
    app.text_input(key="sentence").set_value("A cat sat here")
    assert (scenario(run(app)).query, scenario(app).key) == (None, None)


@pytest.fixture
def clicks(monkeypatch):
    """Clicks as the browser reports them: put (stage, x, y) into `pending` and run."""
    pending: list[tuple[str, int, int]] = []

    def listen(keys, take):
        import streamlit as st

        if pending:
            stage, x, y = pending.pop()
            assert stage in keys
            take(stage, x, y)
            st.rerun()

    monkeypatch.setattr(panels, "on_cell_click", listen)
    return pending


@pytest.mark.parametrize("convention", ["rows", "columns"])
def test_clicks_open_cells_and_second_clicks_let_go(clicks, convention):
    app = open_app(SMALL | {"convention": convention})
    clicks.append(("scores", 5, 3))
    now = scenario(run(app))
    assert (now.query, now.key, now.cell) == (3, 5, "")
    assert "q “on” · k “mat” = " in arithmetic_of(app)
    clicks.append(("weights", 5, 3))
    assert scenario(run(app)).key == -1
    assert "Nothing is open" in texts(app)
    for stage, row in (("Q", 4), ("K", 6), ("V", 7), ("embeddings", 2), ("output", 1)):
        x, y = (2, row) if convention == "rows" else (row, 2)
        clicks.append((stage, x, y))
        now = scenario(run(app))
        assert now.cell == f"{stage}.2"
        assert (now.key if stage in ("K", "V") else now.query) == row
        clicks.append((stage, x, y))
        assert scenario(run(app)).cell == ""
    assert link(app) == to_link(scenario(app))[0]


# ---- the arithmetic as it stands on the page


def printed(text: str) -> Decimal:
    return Decimal(text.replace("−", "-"))


NUMBER = r"−?\d*\.?\d+"


def plain(markdown: str) -> str:
    """Markdown without colours and sizes."""
    return re.sub(r":\w+\[|\]", "", markdown)


def arithmetic_of(app: AppTest) -> str:
    panel = next(block for block in blocks(app) if block.key == "arithmetic")
    return plain("\n".join(m.value for m in panel.get("markdown")))


def check_products(text: str, result: str) -> None:
    """The products printed recompute, and with the rest they add up to the result."""
    products = re.findall(rf"({NUMBER}) × ({NUMBER})(?: “[^”]*”(?: \d+)?)? = ({NUMBER})", text)
    assert products
    for left, right, product in products:
        unit = Decimal(1).scaleb(printed(product).as_tuple().exponent)
        assert abs(printed(left) * printed(right) - printed(product)) <= unit / 2
    rest = re.search(rf"\d+ more = ({NUMBER})", text)
    total = sum(printed(p) for _, _, p in products) + (printed(rest[1]) if rest else 0)
    stated = re.search(rf"sum ({NUMBER})", text)
    assert printed(stated[1]) == total
    unit = Decimal(1).scaleb(printed(result).as_tuple().exponent)
    assert abs(total - printed(result)) <= unit / 2


@pytest.mark.parametrize(
    "params",
    [{}, SMALL, SMALL | {"seed": "3", "causal": "1", "key": "1"}, {"matrices": "identity"}]
    + [SMALL | {"sentence": "the the the", "query": "1", "key": "2"}, SMALL | {"spread": "10"}]
    + [SMALL | {"sentence": "cat"}, SMALL | {"scaling": "0"}, SMALL | {"spread": "0"}],
)
def test_the_sections_add_up_and_agree_with_the_charts(params):
    app = open_app(params)
    query, key = app.selectbox(key="query").value, app.selectbox(key="key").value
    text = arithmetic_of(app)
    before, after = re.split(r"\*\*÷", text, maxsplit=1)
    score = re.search(rf"q “.*” ?\d* · k “.*” ?\d* = ({NUMBER})\*\*", before)[1]
    check_products(before, score)
    assert abs(float(printed(score)) - numbers(app, "scores")[query, key]) <= 0.0051
    if "Scaling is off" not in after:
        a, b, c = re.search(rf"({NUMBER}) ÷ ({NUMBER}) = ({NUMBER})", after).groups()
        assert abs(printed(a) / printed(b) - printed(c)) <= Decimal("0.005")
        assert abs(float(printed(c)) - numbers(app, "scaled")[query, key]) <= 0.0051
    parts, total = re.search(rf"^(.*“.*) = ({NUMBER})\s*$", after, re.M).groups()
    powers = re.findall(rf"({NUMBER}) (?:“|\()", parts)
    assert sum(map(printed, powers)) == printed(total)
    power, same_total, weight = re.findall(rf"({NUMBER}) ÷ ({NUMBER}) = ({NUMBER})", after)[-1]
    assert same_total == total and power == powers[0]
    assert abs(printed(power) / printed(total) - printed(weight)) <= Decimal("0.0005")
    assert abs(float(printed(weight)) - numbers(app, "weights")[query, key]) <= 0.00051
    output = re.search(rf"Output, column (\d+) \(largest\) = ({NUMBER})\*\*(.*)", after, re.S)
    check_products(output[3], output[2])
    row = np.abs(numbers(app, "output")[query])
    assert row[int(output[1])] == row.max()
    assert abs(float(printed(output[2])) - numbers(app, "output")[query, int(output[1])]) <= 0.0051


@pytest.mark.parametrize("cell", ["Q.1", "K.3", "V.2", "output.1"])
def test_an_opened_vector_cell_adds_up(cell):
    stage, column = cell.split(".")
    app = open_app(SMALL | {"cell": cell, "query": "3", "key": "5"})
    text = arithmetic_of(app)
    if stage == "output":
        text = text[text.index("Σ weight") :]
    result = re.search(rf"= ({NUMBER})\*\*", text)[1]
    check_products(text, result)
    row = 5 if stage in ("K", "V") else 3
    assert abs(float(printed(result)) - numbers(app, stage)[row, int(column)]) <= 0.0051
    if stage != "output":
        press("close_cell")(app)
        assert scenario(run(app)).cell == ""


@pytest.mark.parametrize("positions", ["sinusoidal", "none"])
def test_an_opened_embedding_adds_up(positions):
    app = open_app(SMALL | {"cell": "embeddings.1", "query": "3", "positions": positions})
    text = arithmetic_of(app)
    result = re.search(rf"column 1 = ({NUMBER})\*\*", text)[1]
    parts = re.findall(rf"({NUMBER}) \((?:the word|what training|its position)", text)
    assert len(parts) == (3 if positions == "sinusoidal" else 2)
    stated = re.findall(rf"\) = ({NUMBER})", text)[-1]
    assert sum(map(printed, parts)) == printed(stated)
    assert abs(printed(stated) - printed(result)) <= Decimal("0.005")
    assert abs(float(printed(result)) - numbers(app, "embeddings")[3, 1]) <= 0.0051


def test_all_terms_are_listed_on_request():
    app = open_app({"query": "7", "key": "1"})
    press("all_terms_score")(app)
    run(app)
    table = app.dataframe[0].value
    assert len(table) == 32
    for _, row in table.iterrows():
        unit = Decimal(1).scaleb(printed(row["product"]).as_tuple().exponent)
        assert abs(printed(row["q"]) * printed(row["k"]) - printed(row["product"])) <= unit / 2
    total = sum(map(printed, table["product"]))
    said = next(t.value for t in app.text if "products add up to" in t.value)
    assert printed(re.search(rf"add up to ({NUMBER})[,.]", said)[1]) == total


def test_a_masked_cell_says_so():
    app = open_app(SMALL | {"causal": "1", "query": "2", "key": "5"})
    assert app.subheader[0].value == "may not look at (masked)"
    assert "masked: weight 0" in texts(app)


# ---- the dialogs behind the charts


def upload(app: AppTest, stage: str, name: str, data: bytes) -> AppTest:
    press(f"edit_{stage}")(app)
    run(app)
    app.get("file_uploader")[0].upload(name, data)
    return run(app)


def test_a_weight_matrix_can_be_seen_and_drawn_alone():
    app = open_app(SMALL)
    before = all_numbers(app)
    press("edit_K")(app)
    run(app)
    W = forward(scenario(app)).projections.W_k
    np.testing.assert_array_equal(app.dataframe[0].value.to_numpy(), W)
    assert app.button(key="take_back").disabled
    press("randomize_one")(app)
    run(app)
    assert scenario(app).seed_k is not None and scenario(app).seed == 1
    assert changed(before, all_numbers(app)) == {"K", "scores", "scaled", "weights", "output"}
    press("edit_K")(app)
    press("take_back")(run(app))
    assert scenario(run(app)) == from_link(SMALL)[0]


def test_the_grid_turns_with_the_convention():
    app = open_app(SMALL | {"convention": "columns"})
    press("edit_V")(app)
    run(app)
    W = forward(scenario(app)).projections.W_v
    np.testing.assert_array_equal(app.dataframe[0].value.to_numpy(), W.T)
    assert "$W_v$ is 3 × 8" in texts(app)


@pytest.mark.parametrize("extension", [".npz", ".csv"])
def test_an_uploaded_matrix_takes_the_place_of_the_other_and_of_its_edits(extension):
    app = open_app(SMALL | {"edits": "W_q.0.0.5~W_v.1.1.2", "seed_q": "4"})
    W = np.arange(32, dtype=np.float32).reshape(8, 4) / 10
    upload(app, "Q", f"mine{extension}", write_matrices(extension, {"mine": W}))
    now = scenario(app)
    assert now.W_q == Matrix.of(W) and now.seed_q is None
    assert now.edits == (Edit("W_v", 1, 1, 2.0),)
    np.testing.assert_allclose(numbers(app, "Q"), numbers(app, "embeddings") @ W, rtol=1e-5)
    assert from_link(link(app))[0] == now


def test_a_bad_upload_changes_nothing():
    app = open_app(SMALL)
    was = scenario(app)
    for name, data in (("x.npy", b"junk"), ("x.csv", b"1,2\n3,nan"), ("x.npz", b"")):
        upload(app, "V", name, data)
        assert scenario(app) == was


def test_uploaded_vectors_replace_the_words():
    app = open_app(SMALL | {"positions": "none"})
    X = np.arange(96, dtype=np.float32).reshape(12, 8) / 50
    upload(app, "embeddings", "X.csv", write_matrices(".csv", {"X": X}))
    assert scenario(app).embedding == "uploaded"
    np.testing.assert_array_equal(numbers(app, "embeddings"), X)
    upload(app, "embeddings", "W.npz", write_matrices(".npz", {"W_q": X[:8, :4], "W_k": X[:8, :4]}))
    np.testing.assert_array_equal(numbers(app, "embeddings"), X)


def take_edits(name: str, rows: dict, by_column: bool, params: dict) -> Scenario:
    """What the grid's report of edited cells makes of a scenario."""

    def script():
        import streamlit as st

        from pages.shared import frame, matrices

        if "report" in st.session_state:
            matrices._take_edits(*st.session_state.pop("report"))
        st.text(str(frame.scenario().edits))

    app = AppTest.from_function(script)
    app.session_state[frame.SCENARIO] = from_link(params)[0]
    app.session_state["report"] = (name, {"edited_rows": rows}, by_column)
    run(app)
    return scenario(app)


def test_edited_cells_are_merged_and_cleared_ones_dropped():
    first = take_edits("W_q", {0: {"1": 2.5}, 3: {"0": -1}}, False, SMALL)
    assert first.edits == (Edit("W_q", 0, 1, 2.5), Edit("W_q", 3, 0, -1.0))
    again = take_edits("W_q", {0: {"1": None}, 2: {"2": 7}}, False, to_link(first)[0])
    assert set(again.edits) == {Edit("W_q", 3, 0, -1.0), Edit("W_q", 2, 2, 7.0)}
    turned = take_edits("W_v", {2: {"7": 4.0}}, True, SMALL)
    assert turned.edits == (Edit("W_v", 7, 2, 4.0),)


@pytest.mark.parametrize("value", [1e9, float("inf"), float("nan")])
def test_a_cell_beyond_the_limit_is_refused(value):
    assert take_edits("W_q", {0: {"1": value}}, False, SMALL).edits == ()


def test_the_dialogs_hand_out_what_is_on_screen():
    app = open_app(SMALL | {"edits": "W_q.0.0.5"})
    press("edit_Q")(app)
    run(app)
    assert app.get("download_button")[0].label == "matrices.npz"
    assert matrices.VERSION in app.session_state


# ---- sentences of every kind

HOSTILE = (
    "<b>bold</b> <img src=http://evil.example/x.png> <script>alert(1)</script>",
    "![x](http://evil.example/y.png) [link](http://evil.example) www.evil.example a@b.example",
    ":red[danger] :material/home: :smile: $\\frac{1}{2}$ **bold** _it_ `code` ~~gone~~ # head",
    "&lt; &amp; &#65; | a | b | --- > quote 1. list - item",
    "שלום עולם مرحبا ab\u202ecd \u2069x",
    "👩‍👩‍👧 😀 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️ 🇩🇪 e\u0301 " + "z\u0301\u0302" * 40,
    "\x00 \x07 \u200b \ufeff \U0010ffff \ue000",
    "] [ ] ) ( } { \\ ` ``` $ $$ %{z} %s {0}",
    "x" * 1000,
    "a " * 500,
)


@pytest.mark.parametrize("sentence", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_sentence_opens_and_is_written_in_letters_and_references(sentence):
    tokens = tokenize(sentence).texts[: controls.MAX_TOKENS]
    app = open_app(SMALL | {"sentence": sentence, "query": "0", "key": str(len(tokens) - 1)})
    check_charts(app)
    assert scenario(app).sentence == sentence
    text = arithmetic_of(app)
    for place in {0, len(tokens) - 1}:
        assert f"“{plain(in_markdown(tokens[place]))}”" in text
    for markdown in app.markdown:  # nothing of the sentence is there as it was typed
        for part in (
            "<b>",
            "<img",
            "<script",
            "http",
            "![",
            ":material",
            "\\frac",
            "**bold",
            "```",
        ):
            assert part not in markdown.value


@pytest.mark.parametrize("sentence", ["", "   ", "\t"])
def test_an_empty_sentence_offers_examples(sentence):
    app = open_app({"sentence": sentence})
    assert not charts(app) and "Type a sentence" in app.info[0].value
    press("example_1")(app)
    run(app)
    assert scenario(app).sentence == controls.EXAMPLES[1]
    check_charts(app)


def test_emptying_the_sentence_and_typing_again():
    app = open_app(SMALL)
    app.text_input(key="sentence").set_value("")
    assert not charts(run(app))
    app.text_input(key="sentence").set_value("cat")
    assert numbers(run(app), "weights").shape == (1, 1)


@pytest.mark.parametrize("words", [64, 65, 200])
def test_beyond_sixty_four_words_the_page_says_what_it_does(words):
    app = open_app(SMALL | {"sentence": " ".join(["cat"] * words)})
    assert numbers(app, "weights").shape == (64, 64)
    assert (f"{words} words and signs; the page computes the first 64" in texts(app)) == (
        words > 64
    )
    check_charts(app)


def test_edits_beyond_the_edge_are_mentioned():
    app = open_app(SMALL | {"edits": "W_q.0.9.5~W_q.0.0.1"})
    assert "1 edited cell beyond the edge" in texts(app)


def test_what_cannot_be_computed_is_said_and_there_is_a_way_back():
    X = Matrix.of(np.ones((3, 8)))
    app = open_app(to_link(Scenario(sentence="a b c").replace(matrices="random", X=X))[0])
    check_charts(app)
    app.text_input(key="sentence").set_value("a b c d")
    run(app)
    assert not charts(app) and "3 rows and the sentence has 4 tokens" in texts(app)
    press("reset_problem")(app)
    run(app)
    assert scenario(app) == Scenario()


# ---- a teacher's link


@pytest.mark.parametrize("name", HIDEABLE)
def test_a_link_can_hide_every_control(name):
    def there(app: AppTest) -> dict[str, bool]:
        keys = {block.key for block in blocks(app)}
        return {
            "sentence": bool(app.text_input),
            "examples": bool(app.get("menu_button")),
            "matrices": "matrices_popover" in keys,
            "randomize": any(button.key == "randomize" for button in app.button),
            "settings": "settings_popover" in keys,
            "share": "share_popover" in keys,
            "arithmetic": "arithmetic" in keys,
        }

    app = open_app(SMALL | {"hide": name})
    assert there(app) == dict.fromkeys(HIDEABLE, True) | {name: False}
    check_charts(app)


def test_everything_hidden_still_opens_and_can_be_reset():
    app = open_app(SMALL | {"hide": ".".join(HIDEABLE)})
    check_charts(app)
    assert "The cat sat on the mat" in texts(app)  # the sentence as text
    press("reset_hidden")(app)
    assert scenario(run(app)) == Scenario()


def test_the_share_panel_shows_the_link_and_hides_on_request():
    app = open_popover(open_app(SMALL | {"query": "2"}), "share")
    code = app.code[0].value
    assert dict(p.split("=") for p in code.partition("?")[2].split("&")) == link(app)
    app.multiselect(key="hide").set_value(["settings", "share"])
    run(app)
    assert scenario(app).hide == ("settings", "share") and link(app)["hide"] == "settings.share"


def test_the_share_panel_says_what_is_too_large_for_a_link():
    app = open_popover(open_app(), "share")
    assert "This link opens exactly what is on screen." in texts(app)
    big = Matrix.of(np.ones((64, 64)))
    app.session_state[frame.SCENARIO] = Scenario().replace(matrices="random", W_q=big, W_k=big)
    app.session_state[frame.ACTED] = True
    open_popover(run(app), "share")
    assert "too large" in texts(app) and "W_q, W_k" in texts(app)
    assert "This link opens what is on screen, but not all of it." in texts(app)


def test_a_sentence_that_is_too_long_for_a_link_stays_on_the_page():
    app = open_app()
    app.text_input(key="sentence").set_value("😀" * 1000)  # twelve bytes each in a link
    open_popover(run(app), "share")
    assert "too large for one: sentence." in texts(app) and "matrices and send" not in texts(app)
    assert "sentence" not in link(app) and scenario(app).sentence == "😀" * 1000


# ---- notes


def test_what_is_refused_is_said_until_it_is_dismissed():
    app = open_app({"seed": "x", "foo": "1"})
    assert "seed=“x” in the link was ignored" in texts(app) and "“foo”" in texts(app)
    next(button for button in app.button if button.label == "Dismiss").click()
    assert "ignored" not in texts(run(app))


def test_notes_go_when_something_is_changed():
    app = open_app({"seed": "x"})
    app.text_input(key="sentence").set_value("cat")
    assert "ignored" not in texts(run(app))


# ---- between pages

OTHER_PAGES = [name.file for names in frame.PAGES.values() for name in names][1:]


@pytest.mark.parametrize("page", OTHER_PAGES[:2])
def test_the_scenario_goes_along_to_another_page_and_back(page):
    app = open_app(SMALL | {"sentence": "A bird sings.", "edits": "W_q.0.0.2"})
    before, was = all_numbers(app), scenario(app)
    app.switch_page(f"pages/{page}.py")
    run(app)
    assert scenario(app) == was and link(app) == to_link(was)[0]
    app.switch_page("pages/playground.py")
    run(app)
    assert changed(before, all_numbers(app)) == set()


def test_menu_clicks_arrive_without_a_link_and_keep_the_state():
    app = open_app(SMALL | {"seed": "12"})
    app.query_params.clear()
    app.switch_page(f"pages/{OTHER_PAGES[0]}.py")
    run(app)
    assert scenario(app).seed == 12 and link(app)["seed"] == "12"
