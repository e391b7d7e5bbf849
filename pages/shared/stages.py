"""The eight stages of a forward pass as keyed, titled heatmaps: embeddings to output."""

import math

import numpy as np
import streamlit as st

from attention.forward import ForwardPass
from attention.scenario import VECTOR_STAGES
from pages.shared import figures
from pages.shared.arithmetic import opened, stage_array
from pages.shared.colours import DARK, LIGHT, Palette
from pages.shared.wording import number, round_up

MAPS = ("scores", "scaled", "weights")
NUMBERED_TOKENS, NUMBERED_WIDTH = 14, 8  # up to here cells carry their numbers


def palette() -> Palette:
    """The colours of the reader's theme."""
    return DARK if st.context.theme.type == "dark" else LIGHT


def limits(result: ForwardPass) -> dict[str, float]:
    """The end of each stage's colour scale; stages that are compared share one."""
    top = {stage: _largest(stage_array(result, stage)) for stage in VECTOR_STAGES}
    vectors = round_up(max(top[stage] for stage in ("Q", "K", "V", "output")))
    scores = round_up(max(_largest(getattr(result.attention, s)) for s in ("scores", "scaled")))
    return {
        "embeddings": round_up(top["embeddings"]),
        **dict.fromkeys(("Q", "K", "V", "output"), vectors),
        **dict.fromkeys(
            ("scores", "scaled"), max(scores, round_up(_largest(result.attention.scaled)))
        ),
        "weights": 1.0,
    }


def stage_figure(
    result: ForwardPass, stage: str, query: int, key: int | None, limit: float, colours: Palette
):
    """Draw one stage: exactly its numbers, with the row, column and cell in hand marked."""
    Z = stage_array(result, stage)
    tokens, unknown = result.tokens.texts, tuple(~result.known)
    marked = [(query, colours.query)] if stage not in ("K", "V") else []
    if key is not None and stage in (*MAPS, "K", "V", "embeddings"):
        hue = colours.value if stage == "V" else colours.key
        if stage in MAPS:
            columns = figures.Axis(tokens, unknown, ((key, hue),))
        elif stage != "embeddings" or key != query:
            marked.append((key, hue))
    rows = figures.Axis(tokens, unknown, tuple(marked))
    if stage in MAPS:
        if key is None:
            columns = figures.Axis(tokens, unknown)
        return _map_figure(result, stage, Z, query, key, limit, colours, rows, columns)
    return _vector_figure(result, stage, Z, rows, marked, limit, colours)


def _map_figure(result, stage, Z, query, key, limit, colours, rows, columns):
    T = len(Z)
    outlines = []
    if key is not None:
        outlines.append(figures.Outline((query, query), (key, key), colours.text, width=2, halo=5))
    cells = None
    if T <= NUMBERED_TOKENS:
        decimals = 2 if stage == "weights" else None
        cells = figures.number_cells(Z, only_row=query, decimals=decimals)
        cells = [["1.0" if text == "1.00" else text for text in row] for row in cells]  # narrow
    mask = result.attention.mask
    return figures.heatmap(
        Z,
        colours,
        rows=rows,
        columns=columns,
        limit=limit,
        weights=stage == "weights",
        cells=cells,
        outlines=outlines,
        masked=None if mask is None else ~np.broadcast_to(mask, (1, T, T))[0],
        veil={"scores": 0.0, "scaled": 0.75, "weights": 1.0}[stage],
        hover=f"%{{y}} → %{{x}}: %{{z:.{3 if stage == 'weights' else 2}f}}",
        height=figures.map_height(T) + figures.label_height(columns),
    )


def _vector_figure(result, stage, Z, rows, marked, limit, colours):
    T, width = Z.shape
    outlines = [figures.Outline((row, row), (0, width - 1), hue) for row, hue in marked]
    cell = opened(result)
    if cell and cell[0] == stage:
        row = marked[-1 if stage in ("K", "V") else 0][0] if marked else None
        if row is not None:
            outlines.append(
                figures.Outline((row, row), (cell[1], cell[1]), colours.text, width=2, halo=5)
            )
    numbered = width <= NUMBERED_WIDTH and T <= NUMBERED_TOKENS
    cells = figures.number_cells(Z, decimals=2) if numbered else None
    flipped = result.scenario.convention == "columns"
    if flipped:
        Z, cells = Z.T, cells and [list(column) for column in zip(*cells, strict=True)]
        outlines = [figures.Outline(o.columns, o.rows, o.colour, o.width, o.halo) for o in outlines]
    plain = figures.Axis()
    height = figures.map_height(T) if stage == "output" else figures.vector_height(T)
    return figures.heatmap(
        Z,
        colours,
        rows=plain if flipped else rows,
        columns=rows if flipped else plain,
        limit=limit,
        cells=cells,
        outlines=outlines,
        hover=("%{x}, row %{y}: %{z:.3f}" if flipped else "%{y}, column %{x}: %{z:.3f}"),
        height=height + (0 if flipped else 2),
    )


def _largest(array: np.ndarray) -> float:
    return float(np.abs(array).max()) if array.size else 1.0


FORMULAS = {  # stage -> (name with its colour, formula for rows, formula for columns, button)
    "embeddings": ("Embeddings", "X", "X", "Change"),
    "Q": (":violet[Queries]", "Q = X\\,W_q", "Q = W_q\\,X", "Edit"),
    "K": (":green[Keys]", "K = X\\,W_k", "K = W_k\\,X", "Edit"),
    "V": (":orange[Values]", "V = X\\,W_v", "V = W_v\\,X", "Edit"),
    "scores": ("Scores", "Q K^\\top", "Q^\\top K", ""),
    "scaled": ("Scaled", "", "", ""),
    "weights": ("Weights", "", "", ""),
    "output": ("Output", "", "", ""),
}


def title(result: ForwardPass, stage: str, limit: float) -> str:
    """Write a stage's name, formula and legend, e.g. Scores QKᵀ ■ −60 ■ 60."""
    name, by_rows, by_columns, _ = FORMULAS[stage]
    by_column = result.scenario.convention == "columns"
    formula = by_columns if by_column else by_rows
    d_k = result.attention.K.shape[-1]
    text = f"**{name}**"
    if stage in ("Q", "K", "V"):
        hue = name[1 : name.index("[")]
        text = f"**{name}** :{hue}[${formula}$]"
    elif stage == "scaled":
        text += f" scores $/\\sqrt{{{d_k}}}$" if result.scenario.scaling else " off: not divided"
    elif stage == "weights":
        text += " softmax by row"
    elif stage == "output":
        text += " $V\\,$weights$^\\top$" if by_column else " weights $\\cdot V$"
    else:
        text += f" ${formula}$"
    return f"{text} :small[{legend(stage, limit)}]"


def legend(stage: str, limit: float) -> str:
    """The two ends of a stage's colour scale, in their colours."""
    if stage == "weights":
        return "□ 0 ■ 1"
    exact = (d for d in range(30) if math.isclose(round(limit, d), limit))
    end = number(limit, next(exact, 2))
    return f":blue[■] −{end} :red[■] {end}"
