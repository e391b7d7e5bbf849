"""A head's matrices, where they stand in the file, and how strongly they compare. No Streamlit."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import plotly.graph_objects as go

from attention.checkpoints import AttentionLayer, Part, stands_in
from attention.files import Tensor
from attention.heads import score_strengths
from attention.projections import random_projections
from pages.shared import figures
from pages.shared.colours import Palette
from pages.shared.wording import in_plotly

MAX_CELLS = 1 << 14  # drawn of one matrix
HEIGHT = 236
MATRICES = ("W_q", "W_k", "W_v", "W_o")
MAX_LINES = 64  # heads whose borders are drawn


def hue(name: str, palette: Palette) -> str:
    return {"q": palette.query, "k": palette.key, "v": palette.value, "o": palette.text}[name[-1]]


# ---- one matrix


def pooled(W: np.ndarray, most: int = MAX_CELLS) -> tuple[np.ndarray, int]:
    """Shorten a matrix along its longer side: of each `step` numbers the largest, with its sign.

    Returns what is drawn and `step`, 1 where all of W is.
    """
    step = pool_step(W.shape, most)
    if step == 1:
        return W, 1
    if W.shape[0] < W.shape[1]:
        Z, step = pooled(W.T, most)
        return Z.T, step
    padded = np.pad(W, ((0, -len(W) % step), (0, 0)))
    blocks = padded.reshape(-1, step, W.shape[1])
    largest = np.abs(blocks).argmax(axis=1)[:, None]
    return np.take_along_axis(blocks, largest, axis=1)[:, 0], step


def pool_step(shape: tuple[int, int], most: int = MAX_CELLS) -> int:
    """How many numbers one drawn number stands for."""
    return -(-shape[0] * shape[1] // most)


def matrix_figure(W: np.ndarray, palette: Palette, limit: float) -> go.Figure:
    """Draw a weight matrix, shortened where it is larger than a screen can show."""
    Z, step = pooled(W)
    hover = "row %{y}, column %{x}: %{z:.3f}"
    if step > 1:
        hover = f"the largest of {step}: %{{z:.3f}}"
    return figures.heatmap(
        Z,
        palette,
        rows=figures.Axis(),
        columns=figures.Axis(),
        limit=limit,
        hover=hover,
        height=HEIGHT,
    )


# ---- where the head stands


def storage_figure(
    layer: AttentionLayer,
    parts: Mapping[str, Part],
    tensors: Mapping[str, Tensor],
    palette: Palette,
) -> go.Figure:
    """Draw the layer's tensors to scale, as they stand in the file, with the head's part in each.

    Rows run down and columns across; thin lines part the heads.
    """
    names = [name for name in MATRICES if name in parts]
    stored = list(dict.fromkeys(parts[name].tensor for name in names))
    shapes, notes = [], []
    gap = 0.12 * max(max(tensors[tensor].shape) for tensor in stored)
    tallest = max(tensors[tensor].shape[0] for tensor in stored)
    left = 0.0
    for tensor in stored:
        rows, columns = tensors[tensor].shape
        shapes.append(_box(left, 0, columns, rows, fill=palette.masked, line=palette.border))
        for name in (name for name in names if parts[name].tensor == tensor):
            whole, part = layer.parts[name], parts[name]
            shapes.append(_borders(name, whole, part, left, (rows, columns), palette))
            shapes.append(_window(name, part, left, (rows, columns), palette))
        short = tensor.removeprefix(layer.name).strip(".").removesuffix(".weight")
        notes.append(_note(left, rows, _cut(short), palette.text, "top"))
        notes.append(_note(left, 0, f"{rows:,} × {columns:,}", palette.muted, "bottom"))
        left += columns + gap
    layout = {
        "template": figures.BLANK,
        "height": 210,
        "margin": {"l": 2, "r": 2, "t": 16, "b": 18},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": figures.FONT, "size": 11},
        "dragmode": False,
        "shapes": shapes,
        "annotations": notes,
        "xaxis": {"visible": False, "fixedrange": True, "range": [0, left - gap]},
        "yaxis": {
            "visible": False,
            "fixedrange": True,
            "range": [tallest, 0],
            "scaleanchor": "x",
            "constrain": "domain",
            "constraintoward": "top",
        },
    }
    blank = go.Scatter(x=[0], y=[0], mode="markers", marker={"opacity": 0}, hoverinfo="skip")
    return go.Figure(data=[blank], layout=layout)


def _box(left: float, top: float, wide: float, high: float, fill: str, line: str) -> dict:
    return {
        "type": "rect",
        "x0": left,
        "x1": left + wide,
        "y0": top,
        "y1": top + high,
        "fillcolor": fill,
        "line": {"color": line, "width": 1},
    }


def _window(name: str, part: Part, left: float, shape: tuple[int, int], palette: Palette) -> dict:
    colour = hue(name, palette)
    if stands_in(name, part) == "rows":
        return _box(left, part.start, shape[1], part.width, colour, colour)
    return _box(left + part.start, 0, part.width, shape[0], colour, colour)


def _borders(
    name: str, whole: Part, part: Part, left: float, shape: tuple[int, int], palette: Palette
) -> dict:
    """One path of thin lines between the heads of a matrix."""
    heads = whole.width // part.width
    at = [whole.start + i * part.width for i in range(heads + 1)] if heads <= MAX_LINES else []
    at = at or [whole.start, whole.stop]
    if stands_in(name, part) == "rows":
        path = "".join(f"M{left},{y}H{left + shape[1]}" for y in at)
    else:
        path = "".join(f"M{left + x},0V{shape[0]}" for x in at)
    return {"type": "path", "path": path, "line": {"color": palette.background, "width": 1}}


def _note(x: float, y: float, text: str, colour: str, anchor: str) -> dict:
    return {
        "x": x,
        "y": y,
        "text": in_plotly(text),
        "showarrow": False,
        "xanchor": "left",
        "yanchor": anchor,
        "font": {"color": colour, "size": 11},
    }


def _cut(name: str, most: int = 22) -> str:
    return name if len(name) <= most else "…" + name[1 - most :]


# ---- how strongly it compares


def half_of(strengths: np.ndarray) -> int:
    """How many directions, strongest first, hold half of the squares of all."""
    squares = np.cumsum(np.square(strengths, dtype=np.float64))
    return int(np.searchsorted(squares, squares[-1] / 2)) + 1


@lru_cache(maxsize=64)
def random_strengths(d_model: int, d_k: int) -> np.ndarray:
    """The strengths of random matrices of a head's shape, whose squares add up to 1: (d_k,)."""
    drawn = random_projections(d_model, d_k, seed=1)
    strengths = score_strengths(drawn.W_q, drawn.W_k)
    strengths = strengths / np.sqrt(np.square(strengths).sum())
    strengths.flags.writeable = False
    return strengths


def strengths_figure(strengths: np.ndarray, random: np.ndarray, palette: Palette) -> go.Figure:
    """Draw the strengths as bars, and as short lines those of random matrices as strong in all."""
    places = np.arange(1, len(strengths) + 1, dtype=np.float32)
    bar = go.Bar(
        x=places,
        y=strengths,
        marker={"color": palette.bar},
        hovertemplate="direction %{x}: %{y:.3g}<extra></extra>",
    )
    line = go.Scatter(
        x=places,
        y=random,
        mode="markers" if len(places) == 1 else "lines",
        line={"color": palette.text, "width": 1.5, "dash": "dot"},
        hovertemplate="random, direction %{x}: %{y:.3g}<extra></extra>",
    )
    layout = {
        "template": figures.BLANK,
        "height": 180,
        "margin": {"l": 30, "r": 2, "t": 4, "b": 22},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": figures.FONT, "color": palette.muted, "size": 10.5},
        "hoverlabel": {"font": {"family": figures.FONT, "size": 12}},
        "dragmode": False,
        "showlegend": False,
        "bargap": 0.15,
        "xaxis": {
            "fixedrange": True,
            "showgrid": False,
            "range": [0.4, len(places) + 0.6],
            "showline": True,
            "linecolor": palette.border,
            "nticks": 8,
        },
        "yaxis": {
            "fixedrange": True,
            "gridcolor": palette.border,
            "zeroline": False,
            "nticks": 4,
            "rangemode": "tozero",
        },
    }
    return go.Figure(data=[bar, line], layout=layout)
