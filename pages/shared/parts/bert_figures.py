"""Figures of many real heads: the mosaic, products number by number, links. No Streamlit here."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from attention.heads import Link
from pages.shared import figures
from pages.shared.colours import Palette
from pages.shared.parts.bert_view import View
from pages.shared.wording import in_plotly, label, number, round_up

NUMBERED = 14  # tokens up to which the rows in hand carry their numbers
LEVELS = 6  # of a link's thickness
LINK_ROW = 17.0  # pixels from one token to the next
COUNTS = 255  # of grey in the mosaic: a byte for each weight


def head_map(
    now: View,
    Z: np.ndarray,
    palette: Palette,
    *,
    numbers: bool = False,
    limit: float | None = None,
    masked: np.ndarray | None = None,
) -> go.Figure:
    """Draw a map (N, N): weights, or signed differences where a limit is given."""
    texts, N = now.tokens.texts, len(now.tokens)
    rows = figures.Axis(texts, marked=tuple((query, palette.query) for query in now.queries))
    marked = () if now.key is None else ((now.key, palette.key),)
    outlines = [figures.Outline((q, q), (0, N - 1), palette.query) for q in now.queries]
    if now.key is not None:
        outlines += [
            figures.Outline((q, q), (now.key, now.key), palette.text, width=2, halo=5)
            for q in now.queries
        ]
    columns = figures.Axis(texts, marked=marked)
    cells = None
    if numbers and N <= NUMBERED:
        every = figures.number_cells(Z, decimals=2)
        cells = [row if q in now.queries else [""] * N for q, row in enumerate(every)]
    return figures.heatmap(
        Z.astype(np.float32),
        palette,
        rows=rows,
        columns=columns,
        limit=1.0 if limit is None else limit,
        weights=limit is None,
        cells=cells,
        outlines=outlines,
        masked=masked,
        veil=1.0,
        hover="%{y} → %{x}: %{z:.3f}",
        height=figures.map_height(N) + figures.label_height(columns),
    )


def mosaic(
    weights: np.ndarray,
    palette: Palette,
    *,
    chosen: tuple[int, int],
    named: Sequence[tuple[int, int]] = (),
    height: int = 400,
) -> go.Figure:
    """Draw the maps of all heads (L, H, N, N) as one heatmap: layers down, heads across.

    A weight is a byte here, to the nearest 1/255. The chosen head is framed, named ones thinly.
    Tiles are `stride(N)` cells apart, the cells between them belonging to the one before.
    """
    L, H, N, _ = weights.shape
    step = stride(N)
    Z = np.zeros((L, step, H, step), np.uint8)
    Z[:, :N, :, :N] = np.rint(weights * COUNTS).swapaxes(1, 2)
    gap = step - N
    Z = Z.reshape(L * step, H * step)[:-gap, :-gap]
    heat = go.Heatmap(
        z=Z,
        zmin=0,
        zmax=COUNTS,
        colorscale=palette.weights,
        showscale=False,
        hovertemplate="L%{y}H%{x}<extra></extra>",
    )
    frames = [_tile(place, N, palette.muted, 1) for place in named if place != chosen]
    layout = {
        "template": figures.BLANK,
        "height": height,
        "margin": {"l": 22, "r": 3, "t": 18, "b": 3},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": palette.background,
        "font": {"family": figures.FONT, "color": palette.muted, "size": 10.5},
        "hoverlabel": {"font": {"family": figures.FONT, "size": 12}},
        "dragmode": False,
        "shapes": [_gaps(L, H, N, palette), *frames, _tile(chosen, N, palette.query, 2.5)],
        "annotations": [
            *(_mark(f"H{h}", x=h * step + (N - 1) / 2) for h in range(H)),
            *(_mark(f"L{layer}", y=layer * step + (N - 1) / 2) for layer in range(L)),
        ],
        "xaxis": _numbered(H, step) | {"range": [-0.5 - gap / 2, H * step - 0.5 - gap / 2]},
        "yaxis": _numbered(L, step) | {"range": [L * step - 0.5 - gap / 2, -0.5 - gap / 2]},
    }
    return go.Figure(data=[heat], layout=layout)


def stride(N: int) -> int:
    """Cells from one tile of the mosaic to the next: N and a gap."""
    return N + max(1, round(N / 12))


def _numbered(tiles: int, step: int) -> dict:
    """An axis without labels, on which the hover text still finds each row's layer or head."""
    numbers = [str(tile) for tile in range(tiles) for _ in range(step)]
    ticks = {"tickvals": list(range(tiles * step)), "ticktext": numbers}
    return _bare() | ticks | {"showticklabels": False}


def _mark(text: str, *, x: float | None = None, y: float | None = None) -> dict:
    """The number of a layer, left of its tiles, or of a head, above them."""
    if y is None:
        place = {"x": x, "yref": "paper", "y": 1, "yanchor": "bottom", "xanchor": "center"}
    else:
        place = {"xref": "paper", "x": 0, "xanchor": "right", "y": y, "yanchor": "middle"}
    return place | {"text": text, "showarrow": False}


def _tile(place: tuple[int, int], N: int, colour: str, width: float) -> dict:
    """A frame around a tile, in the middle of the gaps."""
    step = stride(N)
    room = (step - N) / 2
    (top, left) = (number * step - 0.5 - room for number in place)
    box = {"type": "rect", "x0": left, "x1": left + step, "y0": top, "y1": top + step}
    return box | {"layer": "above", "line": {"color": colour, "width": width}}


def _gaps(L: int, H: int, N: int, palette: Palette) -> dict:
    """One path over the cells between all tiles: cheaper than a shape for each."""
    step = stride(N)
    gap = step - N
    bottom, right = L * step - 0.5, H * step - 0.5
    across, down = [], []  # both clockwise, or crossings would stay empty
    for y in range(step, L * step, step):
        across.append(f"M-0.5,{y - 0.5}V{y - 0.5 - gap}H{right}V{y - 0.5}Z")
    for x in range(step, H * step, step):
        down.append(f"M{x - 0.5},-0.5V{bottom}H{x - 0.5 - gap}V-0.5Z")
    path = {"type": "path", "path": "".join(across + down), "fillcolor": palette.background}
    return path | {"line": {"width": 0}, "layer": "above", "fillrule": "nonzero"}


def products(
    q: np.ndarray, k: np.ndarray, palette: Palette, *, component: int, height: int = 190
) -> go.Figure:
    """Draw a query and a key (d_k,) as strips, and below them their products, which sum to q·k."""
    d = len(q)
    terms = q.astype(np.float64) * k
    places = np.arange(d, dtype=np.float32)
    limit = round_up(float(max(np.abs(q).max(), np.abs(k).max())))
    ends = palette.signed[-2][1], palette.signed[1][1]
    strip = go.Heatmap(
        x=places,
        y=[0, 1],
        z=np.stack([q, k]),
        zmin=-limit,
        zmax=limit,
        colorscale=palette.signed,
        showscale=False,
        xgap=1,
        ygap=1,
        yaxis="y2",
        hovertemplate="number %{x}: %{z:.3f}<extra></extra>",
    )
    bar = go.Bar(
        x=places,
        y=terms.astype(np.float32),
        marker={"color": [ends[0] if term >= 0 else ends[1] for term in terms]},
        hovertemplate="number %{x}: q × k = %{y:.3f}<extra></extra>",
    )
    low, high = min(terms.min(), 0.0), max(terms.max(), 0.0)
    room = (high - low) * 0.08 or 1.0
    chosen = {"type": "rect", "xref": "x", "yref": "paper", "x0": component - 0.5}
    chosen |= {"x1": component + 0.5, "y0": 0, "y1": 1, "layer": "above"}
    layout = {
        "template": figures.BLANK,
        "height": height,
        "margin": {"l": 22, "r": 2, "t": 2, "b": 18},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": figures.FONT, "color": palette.muted, "size": 10.5},
        "hoverlabel": {"font": {"family": figures.FONT, "size": 12}},
        "dragmode": False,
        "hovermode": "x",  # a click above or below a bar counts too
        "showlegend": False,
        "bargap": 0.2,
        "shapes": [chosen | {"line": {"color": palette.text, "width": 1.5}}],
        "xaxis": _bare() | {"range": [-0.5, d - 0.5], "dtick": 4, "tick0": 0, "anchor": "y"},
        "yaxis": _bare()
        | {"domain": [0, 0.72], "range": [low - room, high + room], "zeroline": True}
        | {"zerolinecolor": palette.border, "showticklabels": False},
        "yaxis2": _bare()
        | {"domain": [0.78, 1], "range": [1.5, -0.5], "tickvals": [0, 1]}
        | {"ticktext": [_hued("q", palette.query), _hued("k", palette.key)]},
    }
    return go.Figure(data=[bar, strip], layout=layout)


def _hued(letter: str, colour: str) -> str:
    return f'<b><span style="color:{colour}">{letter}</span></b>'


def _bare() -> dict:
    return {"fixedrange": True, "showgrid": False, "zeroline": False, "ticks": ""}


def links(
    texts: tuple[str, ...], found: Sequence[Link], palette: Palette, *, queries: Sequence[int]
) -> go.Figure:
    """Draw lines from tokens that look (left) to those they look at (right), as thick as the
    weight; those of `queries` in the queries' colour."""
    N = len(texts)
    lines = [
        _lines([link for link in found if _level(link.weight) == level and mine(link)], level, hue)
        for mine, hue in (
            (lambda link: link.query not in queries, palette.muted),
            (lambda link: link.query in queries, palette.query),
        )
        for level in range(LEVELS)
    ]
    reached = {link.key for link in found if link.query in queries}
    left = _names(texts, 0, "middle left", palette.query, queries, palette)
    right = _names(texts, 1, "middle right", palette.key, reached, palette)
    left.update(hovertext=[_said(texts, found, query=place) for place in range(N)])
    right.update(hovertext=[_said(texts, found, key=place) for place in range(N)])
    layout = {
        "template": figures.BLANK,
        "height": round(max(LINK_ROW * N, 60)) + 4,
        "margin": {"l": 2, "r": 2, "t": 2, "b": 2},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": figures.FONT, "color": palette.muted, "size": 11},
        "hoverlabel": {"font": {"family": figures.FONT, "size": 12}},
        "dragmode": False,
        "showlegend": False,
        "xaxis": _bare() | {"visible": False, "range": [-0.35, 1.35]},
        "yaxis": _bare() | {"visible": False, "range": [N - 0.5, -0.5]},
    }
    return go.Figure(data=[*filter(None, lines), left, right], layout=layout)


def _level(weight: float) -> int:
    return min(int(weight * LEVELS), LEVELS - 1)


def _lines(found: Sequence[Link], level: int, colour: str) -> go.Scatter | None:
    """All links of one thickness and colour, as one line with gaps."""
    if not found:
        return None
    ends = [value for link in found for value in (link.query, link.key, None)]
    return go.Scatter(
        x=[0.02, 0.98, None] * len(found),
        y=ends,
        mode="lines",
        line={"color": colour, "width": 0.6 + 4.4 * level / (LEVELS - 1)},
        opacity=0.3 + 0.6 * level / (LEVELS - 1),
        hoverinfo="skip",
    )


def _names(texts, x: float, side: str, hue: str, marked, palette: Palette) -> go.Scatter:
    N = len(texts)
    return go.Scatter(
        x=[x] * N,
        y=list(range(N)),
        mode="text",
        text=[in_plotly(label(text)) for text in texts],
        textposition=side,
        textfont={
            "size": 11,
            "color": [hue if place in marked else palette.muted for place in range(N)],
        },
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _said(texts, found: Sequence[Link], *, query: int | None = None, key: int | None = None) -> str:
    """What a token looks at, or who looks at it, with the weights."""
    if query is not None:
        parts = [
            f"{in_plotly(label(texts[f.key]))} {number(f.weight)}"
            for f in found
            if f.query == query
        ]
        return f"{in_plotly(label(texts[query]))} → " + (", ".join(parts) or "nothing")
    parts = [
        f"{in_plotly(label(texts[f.query]))} {number(f.weight)}" for f in found if f.key == key
    ]
    return (", ".join(parts) or "nobody") + f" → {in_plotly(label(texts[key]))}"
