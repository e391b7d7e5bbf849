"""Figures of a GPT: the words that may come next, the open head, the time of a word. No Streamlit
here."""

import numpy as np
import plotly.graph_objects as go

from pages.shared import figures
from pages.shared.colours import Palette
from pages.shared.parts.gpt_view import Candidates, Speed, View
from pages.shared.wording import in_plotly, label, number

BAR_ROW = 20  # pixels
NUMBERED = 14  # tokens up to which the row that looks carries its numbers
TALLEST = 420  # pixels of a map
LABELS = 26  # beside a map, at most
CELLS = 150_000  # of the mosaic; what has more is drawn coarser


def next_words(found: Candidates, palette: Palette, *, follower: int | None) -> go.Figure:
    """Draw the likeliest words as bars, the rest as one; a stroke where each stood in the logits.

    follower: the word that does come next in the text, in the keys' colour.
    """
    final, plain = np.append(found.final, found.rest[1]), np.append(found.plain, found.rest[0])
    n = len(final)
    names = [in_plotly(label(text)) for text in found.texts] + [f"<i>{found.n_rest:,} more</i>"]
    colours = [palette.key if i == follower else palette.bar for i in found.ids] + [palette.border]
    written = [
        number(float(p)) if not out else f"left out by {out}" if out != "temperature" else ".00"
        for p, out in zip(found.final, found.out, strict=True)
    ] + [number(found.rest[1])]
    top = max(float(final.max()), float(plain.max()), 0.1)
    places = np.arange(n, dtype=np.float32)
    bar = go.Bar(
        x=final.astype(np.float32),
        y=places,
        orientation="h",
        marker={"color": colours},
        text=written,
        textposition="outside",
        textfont={"size": 11, "color": palette.text},
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.4f}<extra></extra>",
    )
    stroke = go.Scatter(
        x=plain.astype(np.float32),
        y=places,
        mode="markers",
        marker={
            "symbol": "line-ns",
            "size": BAR_ROW - 6,
            "line": {"width": 2, "color": palette.text},
        },
        cliponaxis=False,
        hovertemplate="%{y}, before the settings: %{x:.4f}<extra></extra>",
    )
    moved = not np.allclose(final, plain, atol=1e-6)
    layout = {
        "template": figures.BLANK,
        "height": BAR_ROW * n + 6,
        "margin": {"l": 74, "r": 4, "t": 2, "b": 4},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": figures.FONT, "color": palette.text, "size": 11.5},
        "hoverlabel": {"font": {"family": figures.FONT, "size": 12}},
        "dragmode": False,
        "showlegend": False,
        "bargap": 0.25,
        "xaxis": _plain() | {"visible": False, "range": [0, top * 1.22]},
        "yaxis": _plain()
        | {"range": [n - 0.5, -0.5], "tickvals": list(range(n)), "ticktext": names, "ticks": ""}
        | {"ticklabelstandoff": 4, "showline": True, "linecolor": palette.border},
    }
    return go.Figure(data=[bar, stroke] if moved else [bar], layout=layout)


def head_map(now: View, palette: Palette) -> go.Figure:
    """Draw the open head's weights (T, T): what comes after a token is closed to it."""
    T = len(now.tokens)
    texts = thinned(now.tokens.texts, now.row)
    rows = figures.Axis(texts, now.unknown, ((now.row, palette.query),))
    columns = figures.Axis(texts, now.unknown)
    cells = None
    if T <= NUMBERED:
        cells = figures.number_cells(now.map, only_row=now.row, decimals=2)
        cells[now.row][now.row + 1 :] = [""] * (T - now.row - 1)
    bottom = figures.label_height(columns)
    return figures.heatmap(
        now.map.astype(np.float32),
        palette,
        rows=rows,
        columns=columns,
        limit=1.0,
        weights=True,
        cells=cells,
        outlines=(figures.Outline((now.row, now.row), (0, T - 1), palette.query),),
        masked=~np.tri(T, dtype=bool),
        veil=1.0,
        hover="%{z:.3f}" if "" in texts else "%{y} → %{x}: %{z:.3f}",
        height=min(figures.map_height(T), TALLEST) + bottom,
    )


def thinned(texts: tuple[str, ...], kept: int) -> tuple[str, ...]:
    """Leave out labels where there are too many to stand beside each other, but not `kept`."""
    step = -(-len(texts) // LABELS)
    close = {place for place in range(kept - step + 1, kept + step) if place != kept}
    return tuple(
        text if place == kept or (place % step == 0 and place not in close) else ""
        for place, text in enumerate(texts)
    )


def coarser(weights: np.ndarray, cells: int = CELLS) -> tuple[np.ndarray, int]:
    """Join cells of maps (L, H, T, T), b by b, until few enough are left; return them and b.

    Of the cells that are joined the largest weight is kept.
    """
    L, H, T, _ = weights.shape
    b = 1
    while L * H * (-(-T // b)) ** 2 > cells:
        b += 1
    if b == 1:
        return weights, 1
    n = -(-T // b)
    padded = np.zeros((L, H, n * b, n * b), weights.dtype)
    padded[:, :, :T, :T] = weights
    return padded.reshape(L, H, n, b, n, b).max(axis=(3, 5)), b


def speed(measured: Speed, palette: Palette) -> go.Figure:
    """Draw the milliseconds of one more word over the length of the text, with and without."""
    lines = [
        go.Scatter(
            x=list(measured.lengths),
            y=list(times),
            mode="lines+markers+text",
            text=[""] * (len(times) - 1) + [f"{name} {number(times[-1])} ms"],
            textposition="top left",
            textfont={"size": 11.5, "color": colour},
            line={"color": colour, "width": 2},
            marker={"size": 5},
            cliponaxis=False,
            hovertemplate=f"{name}, %{{x}} tokens: %{{y:.2f}} ms<extra></extra>",
        )
        for name, times, colour in (
            ("without", measured.without, palette.muted),
            ("with the cache", measured.with_cache, palette.key),
        )
    ]
    top = max(*measured.with_cache, *measured.without)
    axis = _plain() | {"tickfont": {"size": 10.5}, "linecolor": palette.border, "showline": True}
    layout = {
        "template": figures.BLANK,
        "height": 190,
        "margin": {"l": 46, "r": 12, "t": 14, "b": 34},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": figures.FONT, "color": palette.muted, "size": 11},
        "hoverlabel": {"font": {"family": figures.FONT, "size": 12}},
        "dragmode": False,
        "showlegend": False,
        "xaxis": axis
        | {"range": [0, measured.lengths[-1] * 1.02]}
        | {"title": {"text": "tokens in the text", "standoff": 4}},
        "yaxis": axis
        | {"range": [0, top * 1.15], "nticks": 5}
        | {"title": {"text": "ms for one word", "standoff": 4}},
    }
    return go.Figure(data=lines, layout=layout)


def _plain() -> dict:
    return {"fixedrange": True, "showgrid": False, "zeroline": False}
