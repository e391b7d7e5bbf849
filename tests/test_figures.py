"""The charts: exactly the numbers given, row 0 on top, tokens as typed, marks where they belong."""

import base64
import json
import time

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention.forward import forward
from attention.scenario import STAGES, VECTOR_STAGES, Matrix, Scenario
from pages.shared import figures, stages
from pages.shared.arithmetic import stage_array
from pages.shared.colours import DARK, LIGHT
from pages.shared.figures import Axis, Outline, bars, heatmap, number_cells
from pages.shared.wording import round_up

MAPS = ("scores", "scaled", "weights")
some = settings(max_examples=40, deadline=None)


def sent(array) -> np.ndarray:
    """The numbers that reach the browser, from Plotly's base64."""
    numbers = np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"])
    shape = array.get("shape")
    return numbers if shape is None else numbers.reshape([int(n) for n in shape.split(",")])


def spec(figure: go.Figure) -> dict:
    """The figure as JSON, as Streamlit sends it."""
    return json.loads(figure.to_json())


def tokens(n: int) -> tuple[str, ...]:
    return tuple(f"word{i}" for i in range(n))


def draw(Z: np.ndarray, **options) -> dict:
    R, C = Z.shape
    options = {"rows": Axis(tokens(R)), "columns": Axis(tokens(C)), "limit": 3.0} | options
    return spec(heatmap(Z, LIGHT, **options))


# ---- the numbers


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (11, 7), (12, 50), (64, 64), (64, 1)])
@pytest.mark.parametrize("turned", [False, True])
def test_the_browser_gets_exactly_these_numbers(shape, turned):
    Z = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    Z.flags.writeable = False
    Z = Z.T if turned else Z
    found = sent(draw(Z)["data"][0]["z"])
    assert found.dtype == np.float32  # half of what float64 would cost
    np.testing.assert_array_equal(found, Z)


def test_row_0_is_on_top_and_column_0_on_the_left():
    layout = draw(np.zeros((3, 5), np.float32))["layout"]
    assert layout["yaxis"]["range"] == [2.5, -0.5]
    assert layout["xaxis"]["range"] == [-0.5, 4.5]


def test_one_heatmap_without_animation_menus_or_zoom():
    figure = draw(np.zeros((3, 5), np.float32))
    (heat,) = figure["data"]
    assert heat["type"] == "heatmap" and heat["showscale"] is False
    assert figure["layout"]["dragmode"] is False
    assert figure["layout"]["xaxis"]["fixedrange"] and figure["layout"]["yaxis"]["fixedrange"]
    assert figures.CONFIG["displayModeBar"] is False


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_signed_scales_are_centred_on_zero_and_weights_run_from_0_to_1(palette):
    Z = np.float32([[-7, 1], [0, 2]])
    heat = spec(heatmap(Z, palette, rows=Axis(), columns=Axis(), limit=8.0))["data"][0]
    assert (heat["zmin"], heat["zmax"]) == (-8, 8)
    assert heat["colorscale"] == [list(stop) for stop in palette.signed]
    assert heat["colorscale"][len(heat["colorscale"]) // 2][0] == 0.5
    heat = spec(heatmap(Z, palette, rows=Axis(), columns=Axis(), limit=1.0, weights=True))["data"][
        0
    ]
    assert (heat["zmin"], heat["zmax"]) == (0, 1)
    assert heat["colorscale"] == [list(stop) for stop in palette.weights]


def test_numbers_in_cells_stand_in_one_row_or_in_all():
    Z = np.float32([[0.25, -1], [10, 0.5]])
    assert number_cells(Z, decimals=2) == [[".25", "−1.00"], ["10.00", ".50"]]
    assert number_cells(Z, only_row=1) == [["", ""], ["10", ".5"]]
    heat = draw(Z, cells=number_cells(Z, only_row=0))["data"][0]
    assert heat["text"] == [[".2", "−1.0"], ["", ""]] and heat["texttemplate"] == "%{text}"
    assert "texttemplate" not in draw(Z)["data"][0]


# ---- the labels

HOSTILE = (
    "<b>x</b>",
    "&lt;",
    "<a href='https://evil.example'>",
    "<br>",
    "%{z}",
    "$x$",
    "</span>",
    '"',
    "שלום",
    "👩‍👩‍👧",
    "\u202e",
)


def test_hostile_labels_are_escaped_and_equal_ones_stay_apart():
    texts = (*HOSTILE, "the", "the")
    axis = draw(np.zeros((13, 13), np.float32), rows=Axis(texts), columns=Axis(texts))["layout"]
    for side in ("xaxis", "yaxis"):
        labels = axis[side]["ticktext"]
        assert axis[side]["tickvals"] == list(range(13))  # by place, so equal words stay apart
        assert labels[0] == "&lt;b&gt;x&lt;/b&gt;" and labels[1] == "&amp;lt;"
        assert labels[-2:] == ["the", "the"]
        assert not any("<" in written or ">" in written for written in labels)


def test_unknown_words_are_marked_and_selected_ones_are_bold_in_their_colour():
    axis = Axis(("cat", "<i>", "xyzzy"), unknown=(False, True, True), marked=((1, "#123456"),))
    assert axis.ticks() == [
        "cat",
        '<b><span style="color:#123456"><i>&lt;i&gt;*</i></span></b>',
        "<i>xyzzy*</i>",
    ]


def test_an_axis_without_tokens_has_no_labels():
    layout = draw(np.zeros((3, 4), np.float32), columns=Axis())["layout"]
    assert layout["xaxis"]["showticklabels"] is False and "ticktext" not in layout["xaxis"]


@pytest.mark.parametrize("T", [1, 2, 12, 24, 25, 40, 64])
def test_rows_can_be_read_at_every_length(T):
    for height in (figures.vector_height(T), figures.map_height(T)):
        assert 100 <= height <= 700
    layout = draw(np.zeros((T, T), np.float32))["layout"]
    assert layout["height"] - layout["margin"]["b"] - layout["margin"]["t"] >= 8 * T
    size = layout["yaxis"]["tickfont"]["size"]
    assert 6 <= size <= 10.5
    assert size <= max(layout["height"] / T, 6)  # labels do not run into each other


def test_long_labels_leave_room_for_the_chart():
    texts = ("x" * 1000, "y")
    margin = draw(np.zeros((2, 2), np.float32), rows=Axis(texts), columns=Axis(texts))["layout"][
        "margin"
    ]
    assert margin["l"] <= 64 and margin["b"] <= 56


# ---- marks and masks


def test_an_outline_runs_around_its_cells_over_a_halo():
    outline = Outline(rows=(2, 2), columns=(0, 4), colour="#6D28D9")
    halo, line = draw(np.zeros((3, 5), np.float32), outlines=[outline])["layout"]["shapes"]
    for shape in (halo, line):
        corners = [shape[corner] for corner in ("x0", "x1", "y0", "y1")]
        assert corners == [-0.5, 4.5, 1.5, 2.5] and shape["type"] == "rect"
    assert halo["line"] == {"color": LIGHT.background, "width": 3.5}
    assert line["line"] == {"color": "#6D28D9", "width": 1.75}


def covered(path: str, shape: tuple[int, int]) -> np.ndarray:
    """The cells that lie within the rectangles of an SVG path such as M0.5,-0.5H1.5V0.5H0.5Z."""
    inside = np.zeros(shape, bool)
    for rectangle in path.split("Z")[:-1]:
        corner, _, rest = rectangle.removeprefix("M").partition("H")
        left, top = map(float, corner.split(","))
        right, _, rest = rest.partition("V")
        bottom, _, back = rest.partition("H")
        assert float(back) == left
        rows = slice(int(top + 0.5), int(float(bottom) + 0.5))
        columns = slice(int(left + 0.5), int(float(right) + 0.5))
        assert not inside[rows, columns].any()  # no cell twice: it would be darker
        inside[rows, columns] = True
    return inside


@some
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**16))
def test_the_veil_covers_exactly_the_masked_cells(R, C, seed):
    masked = np.random.default_rng(seed).random((R, C)) < 0.5
    veil = draw(np.zeros((R, C), np.float32), masked=masked, veil=0.75)["layout"]["shapes"][0]
    np.testing.assert_array_equal(covered(veil["path"], (R, C)), masked)
    assert veil["opacity"] == 0.75 and veil["fillcolor"] == LIGHT.masked


def test_no_veil_where_nothing_is_asked_for():
    masked = np.eye(3, dtype=bool)
    assert "shapes" not in draw(np.zeros((3, 3), np.float32), masked=masked)["layout"]
    assert "shapes" not in draw(np.zeros((3, 3), np.float32))["layout"]


# ---- bars


def test_bars_stand_in_the_order_of_the_sentence():
    row = np.float32([0.5, 0.004, 0.496])
    figure = spec(bars(row, LIGHT, texts=("the", "<b>", "the"), chosen=2, height=98))
    (bar,) = figure["data"]
    np.testing.assert_array_equal(sent(bar["y"]), row)
    np.testing.assert_array_equal(sent(bar["x"]), [0, 1, 2])
    assert bar["text"] == [".50", "", ".50"]
    assert bar["marker"]["color"] == [LIGHT.bar, LIGHT.bar, LIGHT.key]
    ticks = figure["layout"]["xaxis"]["ticktext"]
    assert ticks[:2] == ["the", "&lt;b&gt;"] and LIGHT.key in ticks[2]
    assert figure["layout"]["yaxis"]["range"][0] == 0


@pytest.mark.parametrize("S", [1, 14, 15, 64])
def test_bars_of_every_length(S):
    row = np.full(S, 1 / S, np.float32)
    figure = spec(bars(row, DARK, texts=tokens(S), chosen=None, height=112))
    assert figure["layout"]["yaxis"]["range"][1] >= row.max()
    assert len(figure["layout"]["xaxis"]["tickvals"]) == S
    assert set(figure["data"][0]["marker"]["color"]) == {DARK.bar}


# ---- the eight stages of a forward pass

SMALL = {"matrices": "random", "d_model": 8, "d_k": 4, "d_v": 3}
SENTENCES = (
    "The cat sat on the mat. It is eating now.",
    "cat",
    "the the the",
    "<b> &lt; $x$ שלום 👩‍👩‍👧 xyzzy",
    "a " * 64,
)


def stage_figures(scenario: Scenario, query: int, key: int | None) -> dict[str, dict]:
    result = forward(scenario)
    limits = stages.limits(result)
    return {
        stage: spec(stages.stage_figure(result, stage, query, key, limits[stage], LIGHT))
        for stage in STAGES
    }


@pytest.mark.parametrize("sentence", SENTENCES, ids=range(5))
@pytest.mark.parametrize("convention", ["rows", "columns"])
@pytest.mark.parametrize("causal", [False, True])
def test_every_stage_shows_its_numbers_and_the_tokens(sentence, convention, causal):
    scenario = Scenario(sentence=sentence, convention=convention, causal=causal, **SMALL)
    result = forward(scenario)
    T = len(result.tokens)
    for stage, figure in stage_figures(scenario, T - 1, 0).items():
        (heat,) = figure["data"]
        Z = stage_array(result, stage)
        turned = convention == "columns" and stage not in MAPS
        np.testing.assert_array_equal(sent(heat["z"]), Z.T if turned else Z)
        assert np.abs(Z).max() <= heat["zmax"]
        layout = figure["layout"]
        assert layout["yaxis"]["range"][0] > layout["yaxis"]["range"][1]
        sides = ("xaxis", "yaxis") if stage in MAPS else ("xaxis",) if turned else ("yaxis",)
        for side in sides:
            assert len(layout[side]["ticktext"]) == T
        if "text" in heat:
            assert np.shape(heat["text"]) == (Z.T if turned else Z).shape


def test_stages_that_are_compared_share_one_scale():
    limits = stages.limits(forward(Scenario(**SMALL)))
    assert limits["Q"] == limits["K"] == limits["V"] == limits["output"]
    assert limits["scores"] == limits["scaled"] and limits["weights"] == 1
    assert limits["embeddings"] == round_up(limits["embeddings"])


def outlined(figure: dict) -> list[tuple]:
    """The outlined rows and columns, halos left out: (first row, last, first column, last)."""
    lines = [s for s in figure["layout"].get("shapes", []) if s["type"] == "rect"][1::2]
    return [
        tuple(round(x) for x in (s["y0"] + 0.5, s["y1"] - 0.5, s["x0"] + 0.5, s["x1"] - 0.5))
        for s in lines
    ]


def test_the_row_and_column_that_feed_a_cell_are_marked():
    found = stage_figures(Scenario(**SMALL), 7, 1)
    assert outlined(found["Q"]) == [(7, 7, 0, 3)]
    assert outlined(found["K"]) == [(1, 1, 0, 3)]
    assert outlined(found["V"]) == [(1, 1, 0, 2)]
    assert outlined(found["output"]) == [(7, 7, 0, 2)]
    assert outlined(found["embeddings"]) == [(7, 7, 0, 7), (1, 1, 0, 7)]
    for stage in MAPS:
        assert outlined(found[stage]) == [(7, 7, 1, 1)]
    turned = stage_figures(Scenario(**SMALL, convention="columns"), 7, 1)
    assert outlined(turned["Q"]) == [(0, 3, 7, 7)]
    assert outlined(turned["weights"]) == [(7, 7, 1, 1)]


def test_nothing_selected_marks_the_query_alone():
    found = stage_figures(Scenario(**SMALL), 2, None)
    assert outlined(found["Q"]) == [(2, 2, 0, 3)] and outlined(found["K"]) == []
    assert outlined(found["scores"]) == []


@pytest.mark.parametrize("stage", VECTOR_STAGES)
@pytest.mark.parametrize("convention", ["rows", "columns"])
def test_an_opened_cell_is_outlined_in_its_own_chart(stage, convention):
    scenario = Scenario(**SMALL, cell=f"{stage}.2", convention=convention)
    found = stage_figures(scenario, 7, 1)
    row = 1 if stage in ("K", "V") else 7
    cell = (row, row, 2, 2) if convention == "rows" else (2, 2, row, row)
    assert cell in outlined(found[stage])
    for other in set(STAGES) - {stage}:
        assert cell not in outlined(found[other]) or other in MAPS


def test_what_the_mask_hides_is_veiled_in_scaled_and_weights():
    found = stage_figures(Scenario(**SMALL, causal=True), 7, 1)
    hidden = ~np.tril(np.ones((12, 12), bool))
    for stage, opacity in (("scaled", 0.75), ("weights", 1.0)):
        veil = found[stage]["layout"]["shapes"][0]
        np.testing.assert_array_equal(covered(veil["path"], (12, 12)), hidden)
        assert veil["opacity"] == opacity
    assert all(shape["type"] == "rect" for shape in found["scores"]["layout"]["shapes"])


def test_unknown_words_are_marked_in_every_chart():
    found = stage_figures(Scenario(**SMALL | {"sentence": "xyzzy cat"}), 1, 1)
    for stage in STAGES:
        assert found[stage]["layout"]["yaxis"]["ticktext"][0] == "<i>xyzzy*</i>"
        assert "*" not in found[stage]["layout"]["yaxis"]["ticktext"][1]


def test_cells_carry_numbers_only_where_they_can_be_read():
    numbered = stage_figures(Scenario(**SMALL), 7, 1)
    assert all("text" in numbered[stage]["data"][0] for stage in STAGES)
    assert numbered["scores"]["data"][0]["text"][6] == [""] * 12
    assert all(numbered["scores"]["data"][0]["text"][7])
    wide = stage_figures(Scenario(matrices="random"), 7, 1)
    assert "text" not in wide["embeddings"]["data"][0] and "text" not in wide["Q"]["data"][0]
    long = stage_figures(Scenario(**SMALL, sentence="a " * 15), 7, 1)
    assert not any("text" in long[stage]["data"][0] for stage in STAGES)


def test_huge_and_vanishing_numbers_have_a_scale_and_a_legend():
    X = Matrix.of(np.full((2, 8), 1e4))
    huge = Scenario(**SMALL, sentence="a b").replace(X=X)
    tiny = Scenario(**SMALL, sentence="a b", spread=1e-9)
    flat = Scenario(**SMALL, sentence="a b", spread=0.0)
    for scenario in (huge, tiny, flat):
        result = forward(scenario)
        for stage, limit in stages.limits(result).items():
            assert limit > 0 and np.isfinite(limit)
            assert np.abs(stage_array(result, stage)).max() <= limit
            legend = stages.legend(stage, limit)
            assert len(legend) < 60 and "nan" not in legend


@pytest.mark.parametrize(
    ("limit", "end"),
    [(1.5, "1.5"), (3.0, "3"), (80.0, "80"), (0.8, ".8"), (0.15, ".15"), (0.015, ".015")]
    + [(0.004, ".004"), (1e-5, ".00001"), (1e5, "100000")],
)
def test_a_legend_says_where_its_scale_ends(limit, end):
    assert stages.legend("Q", limit) == f":blue[■] −{end} :red[■] {end}"


# ---- cost


@pytest.mark.parametrize("T", [12, 64])
def test_a_chart_costs_little_more_than_a_bare_one(T):
    """In the same run, as a ratio: about 4 here; a chain of updates would cost 20."""
    Z = np.random.default_rng(0).normal(size=(T, T)).astype(np.float32)
    axis = Axis(tokens(T), unknown=(False,) * T, marked=((0, "#123456"),))
    outline = Outline((0, 0), (1, 1), "#123456")
    ours = _seconds(
        lambda: heatmap(Z, LIGHT, rows=axis, columns=axis, limit=4.0, outlines=[outline])
    )
    bare = _seconds(lambda: go.Figure(data=[go.Heatmap(z=Z)]))
    assert ours < 10 * bare


def _seconds(build) -> float:
    times = []
    for _ in range(15):
        start = time.perf_counter()
        build()
        times.append(time.perf_counter() - start)
    return min(times)


def test_beyond_forty_bars_only_words_of_some_weight_stand_below_and_all_answer_the_pointer():
    row = np.full(41, 0.001)
    row[[7, 40]] = 0.6, 0.36
    figure = spec(bars(row, LIGHT, texts=tokens(41), chosen=3, height=120))
    assert figure["layout"]["xaxis"]["tickvals"] == [3, 7, 40]
    assert len(figure["layout"]["xaxis"]["ticktext"]) == 3
    assert figure["data"][0]["customdata"] == list(tokens(41))
    figure = spec(bars(row[:40], LIGHT, texts=tokens(40), chosen=3, height=120))
    assert len(figure["layout"]["xaxis"]["tickvals"]) == 40


def test_a_number_stands_on_its_bar_unless_a_line_would_cross_it():
    row, lines = np.array([0.02, 0.5, 0.1]), np.array([0.9, 0.55, 0.1])
    figure = spec(bars(row, LIGHT, texts=tokens(3), chosen=None, height=120, reference=lines))
    np.testing.assert_allclose(sent(figure["data"][2]["y"]), [0.02, 0.55, 0.1])
