"""Arrays in, Plotly figures out; no Streamlit here.

Every heatmap of the app is made by `heatmap`: rows from the top, queries down and keys across,
one palette, cells that can be marked. Figures are built by one constructor call, since each later
`update` costs several times as much; numbers in cells go through `texttemplate`, not annotations.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from pages.shared.colours import Palette
from pages.shared.wording import in_plotly, label, portion, short_cells

BLANK = go.layout.Template()  # Plotly's own is 7 kB a figure, and all of it is set here
FONT = '"Source Sans", sans-serif'
ROW, MAP_ROW = 13.2, 19.2  # pixels per row of a vector chart and of a T x T map
LABELLED = 40  # bars up to here have all their words below; beyond, those of some weight
CONFIG = {"displayModeBar": False, "doubleClick": False, "scrollZoom": False}


@dataclass(frozen=True)
class Axis:
    """Labels along one side of a heatmap: tokens, or plain column numbers when `texts` is None."""

    texts: tuple[str, ...] | None = None
    unknown: tuple[bool, ...] = ()  # tokens for which a random vector stands in
    marked: tuple[tuple[int, str], ...] = ()  # (place, colour) of the selected tokens

    def ticks(self) -> list[str]:
        colours = dict(self.marked)
        ticks = []
        for place, text in enumerate(self.texts or ()):
            written = in_plotly(label(text))
            if self.unknown and self.unknown[place]:
                written = f"<i>{written}*</i>"
            if place in colours:
                written = f'<b><span style="color:{colours[place]}">{written}</span></b>'
            ticks.append(written)
        return ticks

    @property
    def longest(self) -> int:
        return max((min(len(text), 9) for text in self.texts or ("",)), default=0)


@dataclass(frozen=True)
class Outline:
    """A frame around a row, a column or a cell: places are (first, last), counting from 0."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    colour: str
    width: float = 1.75
    halo: float = 3.5


def heatmap(
    Z: np.ndarray,
    palette: Palette,
    *,
    rows: Axis,
    columns: Axis,
    limit: float,
    weights: bool = False,
    cells: Sequence[Sequence[str]] | None = None,
    outlines: Sequence[Outline] = (),
    masked: np.ndarray | None = None,
    veil: float = 0.0,
    hover: str = "",
    height: int | None = None,
) -> go.Figure:
    """Draw Z (R, C): row 0 at the top, signed values centred on zero or weights from 0 to 1.

    limit: the value at both ends of the colour scale. cells: text for each cell. masked: (R, C)
    True where a query may not look, veiled with opacity `veil`. hover: Plotly's template.
    """
    R, C = Z.shape
    bottom = 2 if columns.texts is None else label_height(columns)
    left = 8 if rows.texts is None else min(max(8 + 6 * rows.longest, 22), 64)
    height = height or vector_height(R) + bottom
    row_pixels = (height - bottom - 2) / max(R, 1)
    shapes = [shape for outline in outlines for shape in _frame(outline, palette)]
    if masked is not None and veil:
        shapes.insert(0, _veil(masked, palette, veil))
    tick_size = max(min(10.5, row_pixels - 1), 6)
    heat = go.Heatmap(
        z=Z,
        zmin=0.0 if weights else -limit,
        zmax=limit,
        colorscale=palette.weights if weights else palette.signed,
        showscale=False,
        xgap=1 if C <= 16 or C == R <= 32 else 0,
        ygap=1 if row_pixels >= 6 else 0,
        hovertemplate=hover + "<extra></extra>",
        **_cell_text(cells, palette, weights, row_pixels),
    )
    layout = {
        "template": BLANK,
        "height": height,
        "margin": {"l": left, "r": 2, "t": 2, "b": bottom},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": palette.background,
        "font": {"family": FONT, "color": palette.muted, "size": 10.5},
        "hoverlabel": {"font": {"family": FONT, "size": 12}},
        "dragmode": False,
        "shapes": shapes,
        "xaxis": _axis(columns, C, 10.5 if C <= 40 else 8) | {"tickangle": -55},
        "yaxis": _axis(rows, R, tick_size) | {"range": [R - 0.5, -0.5]},  # row 0 on top
    }
    return go.Figure(data=[heat], layout=layout)


def label_height(axis: Axis) -> int:
    """Pixels for slanted labels below a chart."""
    return min(round(14 + 4.6 * axis.longest), 56)


def vector_height(rows: int) -> int:
    """Pixels for a chart of T vectors, without its labels."""
    return round(min(max(ROW * rows, 120), 240 if rows <= 24 else 10 * rows)) + 4


def map_height(rows: int) -> int:
    """Pixels for a T x T map, without its labels."""
    return round(min(max(MAP_ROW * rows, 130), 280 if rows <= 24 else 10 * rows)) + 2


def bars(
    row: np.ndarray,
    palette: Palette,
    *,
    texts: tuple[str, ...],
    chosen: int | None,
    height: int,
    reference: np.ndarray | None = None,
    scale: float | None = None,
) -> go.Figure:
    """Draw one query's weights (S,) as bars, tokens in the sentence's order.

    reference: (S,) what the bars are compared with, a short line across each. scale: the value at
    the top of the chart, by default the largest.
    """
    S = len(row)
    colours = [palette.bar] * S
    marked: tuple[tuple[int, str], ...] = ()
    if chosen is not None:
        colours[chosen] = palette.key
        marked = ((chosen, palette.key),)
    axis = Axis(texts, marked=marked)
    crowded = S > 14
    highest = row if reference is None else np.maximum(row, reference)
    top = max(scale or (float(highest.max()) if S else 1.0), 0.25)
    least = max(0.05, top / 5) if crowded else 0.005  # a number needs room
    shown = [portion(v) if v >= least else "" for v in row.tolist()]
    bar = go.Bar(
        x=np.arange(S, dtype=np.float32),
        y=row,
        marker={"color": colours},
        text=shown if reference is None else None,
        textposition="outside",
        textfont={"size": 10.5, "color": palette.text},
        constraintext="none",  # a narrow bar would shrink its number
        cliponaxis=False,
        customdata=[in_plotly(label(text)) for text in texts],
        hovertemplate="%{customdata}: %{y:.3f}<extra></extra>",
    )
    labelled = _axis(axis, S, 10.5 if S <= 24 else 8)
    if S > LABELLED:  # on a phone they would cover each other
        told = [place for place in range(S) if row[place] >= top / 20 or place == chosen]
        labelled |= {"tickvals": told, "ticktext": [labelled["ticktext"][p] for p in told]}
    bottom = label_height(axis) if crowded else 20
    lines = []
    if reference is not None:
        number_room = 16 * top / (height - 16 - bottom)
        cut = (reference > row) & (reference < row + number_room)  # a line would cross the number
        lines = _reference(reference, np.where(cut, reference, row), shown, palette)
    layout = {
        "template": BLANK,
        "height": height,
        "margin": {  # a slanted label reaches to the left of its bar
            "l": 16 if crowded else 4,
            "r": 4,
            "t": 16,
            "b": bottom,
        },
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "color": palette.muted, "size": 10.5},
        "dragmode": False,
        "showlegend": False,
        "bargap": 0.22,
        "xaxis": labelled
        | ({"tickangle": -55} if crowded else {"autotickangles": [0, -55], "automargin": True})
        | {"showline": True, "linecolor": palette.border},
        "yaxis": {"visible": False, "range": [0, top], "fixedrange": True},
    }
    return go.Figure(data=[bar, *lines], layout=layout)


def _reference(
    values: np.ndarray, under: np.ndarray, shown: list[str], palette: Palette
) -> list[go.Scatter]:
    """Short lines at the values, and the bars' numbers just above `under`."""
    common = {
        "x": np.arange(len(values), dtype=np.float32),
        "cliponaxis": False,
        "hoverinfo": "skip",
    }
    size = min(max(220 / max(len(values), 1), 5), 26)
    marker = {"symbol": "line-ew", "size": size, "line": {"width": 2, "color": palette.text}}
    font = {"size": 10.5, "color": palette.text}
    return [
        go.Scatter(y=values, mode="markers", marker=marker, **common),
        go.Scatter(
            y=under, mode="text", text=shown, textposition="top center", textfont=font, **common
        ),
    ]


def number_cells(
    Z: np.ndarray, *, only_row: int | None = None, decimals: int | None = None
) -> list[list[str]]:
    """Write numbers for the cells of Z (R, C), in one row alone when asked."""
    blank = [""] * Z.shape[1]
    return [
        short_cells(row, decimals) if only_row in (None, place) else blank
        for place, row in enumerate(Z)
    ]


def _cell_text(cells, palette: Palette, weights: bool, row_pixels: float) -> dict:
    if cells is None:
        return {}
    font: dict = {"size": max(min(10.5, row_pixels - 2), 7), "family": FONT}
    if palette.dark and not weights:
        font["color"] = "#FFFFFF"  # Plotly's own choice was illegible on the dark signed scale
    return {"text": cells, "texttemplate": "%{text}", "textfont": font}


def _axis(axis: Axis, length: int, size: float) -> dict:
    common = {
        "fixedrange": True,
        "showgrid": False,
        "zeroline": False,
        "range": [-0.5, length - 0.5],
    }
    if axis.texts is None:
        return common | {"showticklabels": False, "ticks": ""}
    return common | {
        "tickmode": "array",
        "tickvals": list(range(length)),
        "ticktext": axis.ticks(),
        "tickfont": {"size": size},
        "ticks": "",
        "ticklabelstandoff": 2,
    }


def _frame(outline: Outline, palette: Palette) -> list[dict]:
    box = {
        "type": "rect",
        "x0": outline.columns[0] - 0.5,
        "x1": outline.columns[1] + 0.5,
        "y0": outline.rows[0] - 0.5,
        "y1": outline.rows[1] + 0.5,
        "layer": "above",
    }
    halo = box | {"line": {"color": palette.background, "width": outline.halo}}
    return [halo, box | {"line": {"color": outline.colour, "width": outline.width}}]


def _veil(masked: np.ndarray, palette: Palette, opacity: float) -> dict:
    """One path over all masked cells: cheaper than a shape for each."""
    path = []
    for row, columns in enumerate(masked):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], columns.astype(np.int8), [0]))))
        path += [
            f"M{a - 0.5},{row - 0.5}H{b - 0.5}V{row + 0.5}H{a - 0.5}Z"
            for a, b in edges.reshape(-1, 2)
        ]
    return {
        "type": "path",
        "path": "".join(path),
        "fillcolor": palette.masked,
        "opacity": opacity,
        "line": {"width": 0},
        "layer": "above",
    }
