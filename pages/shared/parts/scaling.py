"""Parts of the page on the score and √d_k: the reader's row at a temperature, the laboratory, and
what a dot product is made of."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from attention.forward import ForwardPass
from attention.functions import softmax
from attention.scaling_lab import (
    RowStatistics,
    ScalingLab,
    random_vectors,
    row_statistics,
    scaling_curve,
    softmax_at_temperature,
)
from pages.shared import explain, figures, lesson, panels, stages
from pages.shared.colours import Palette
from pages.shared.frame import bound, change
from pages.shared.parts.softmax import allowed
from pages.shared.wording import number, plural, portion

TEMPERATURES = (0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0)
WIDTHS = tuple(2**power for power in range(11))  # 1 to 1,024
N_KEYS, DRAWS = 10, 50


# ---- the reader's row


def temperatures(result: ForwardPass) -> tuple[float, float]:
    """The temperatures at which this head's softmax sees scores divided by √d_k, and as they come.

    A temperature divides what the head feeds its softmax; that is divided already when scaling is
    on.
    """
    root = result.attention.K.shape[-1] ** 0.5
    return (1.0, round(1 / root, 6)) if result.scenario.scaling else (round(root, 6), 1.0)


def row_at(result: ForwardPass, query: int, temperature: float) -> np.ndarray:
    """One query's weights (T,) at a temperature; masked keys keep the weight 0."""
    scaled = np.where(allowed(result, query), result.attention.scaled[0, query], -np.inf)
    return softmax_at_temperature(scaled.astype(np.float32), temperature)


def statistics_at(result: ForwardPass, query: int, temperature: float) -> RowStatistics:
    """What the softmax makes of one query's row at a temperature."""
    scaled = result.attention.scaled[0, query][allowed(result, query)]
    return row_statistics(scaled.astype(np.float64)[None] / temperature)


def your_row(result: ForwardPass) -> None:
    """The chosen row with the division and, once predicted, without it and at any temperature."""
    left, right = st.columns(2, gap="medium", vertical_alignment="top")
    with left:
        query, key = lesson.choose_row(result, panels.telling)
        seen = _predict(result, query)
        temperature = result.scenario.temperature if seen else temperatures(result)[0]
        if seen:
            _temperature_slider(result)
    with right:
        _row_chart(result, query, key, temperature, seen)


def _predict(result: ForwardPass, query: int) -> bool:
    d_k = result.attention.K.shape[-1]
    with_root, without = (
        float(row_at(result, query, temperature).max()) for temperature in temperatures(result)
    )
    a, b = portion(with_root), portion(without)
    answer = "the same" if a == b else "larger" if without > with_root else "smaller"
    return lesson.predict(
        "undivided",
        f"The bars show this row with its scores divided by $\\sqrt{{{d_k}}}$. Without the "
        "division, its largest weight would be:",
        ("smaller", "the same", "larger"),
        answer,
        f"It is {a} with the division and {b} without, where scores lie {number(d_k**0.5)} times "
        "as far apart. Move the temperature to see what lies between and beyond.",
    )


def _temperature_slider(result: ForwardPass) -> None:
    divided, undivided = temperatures(result)
    now = result.scenario.temperature
    choices = {_written(t): t for t in (*TEMPERATURES, divided, undivided)} | {_written(now): now}
    st.select_slider(
        "Temperature: divides the scores before the softmax",
        sorted(choices.values()),
        format_func=_written,
        **bound("temperature"),
    )
    d_k = result.attention.K.shape[-1]
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.button(
            f"Divided by $\\sqrt{{{d_k}}}$: {_written(divided)}",
            key="divided",
            on_click=change,
            kwargs={"temperature": divided},
        )
        st.button(
            f"Not divided: {_written(undivided)}"
            + (f" $= 1/\\sqrt{{{d_k}}}$" if result.scenario.scaling else ""),
            key="undivided",
            on_click=change,
            kwargs={"temperature": undivided},
        )


def _written(temperature: float) -> str:
    text = f"{temperature:.3g}"
    return text[1:] if text.startswith("0.") else text


def _row_chart(
    result: ForwardPass, query: int, key: int | None, temperature: float, seen: bool
) -> None:
    row, reference = row_at(result, query, temperature), row_at(result, query, 1.0)
    tops = [row_at(result, query, each).max() for each in (*temperatures(result), temperature)]
    texts = result.tokens.texts
    crowded = len(texts) > 14
    figure = figures.bars(
        row,
        stages.palette(),
        texts=texts,
        chosen=key,
        height=240 if crowded else 190,
        reference=reference if seen else None,
        scale=float(max(tops)),
    )
    with st.container(key="temperature_row", gap="xxsmall"):
        st.plotly_chart(
            figure,
            key="temperature_row_chart",
            theme=None,
            config=figures.CONFIG,
            alt=_row_alt(texts, query, row, temperature),
        )
        found = statistics_at(result, query, temperature)
        words = float(np.exp(found.entropy))
        st.markdown(
            f"Largest weight **{portion(found.top)}** · shared as if by **{number(words, 1)}** "
            f"of {plural(int(allowed(result, query).sum()), 'word')} · "
            f"gradient **{number(found.slope)}**"
        )
        st.markdown(f":small[:gray[{_about_row(seen)}]]")


def _row_alt(texts: tuple[str, ...], query: int, row: np.ndarray, temperature: float) -> str:
    each = ", ".join(f"{text} {number(w)}" for text, w in zip(texts, row.tolist(), strict=True))
    return f"Weights of “{texts[query]}” at temperature {_written(temperature)}: {each}"


def _about_row(seen: bool) -> str:
    text = (
        "Shared as if by: $e$ to the entropy, 1 when one word has it all. Gradient: Σ w(1 − w), "
        "how far the weights move when a score moves a little; at 0 training has nothing to push."
    )
    return text + (" The short lines are the head as it is." if seen else "")


# ---- the laboratory


@lru_cache(maxsize=8)
def curve(widths: tuple[int, ...], seed: int) -> tuple[ScalingLab, ...]:
    """The laboratory at each width: the same drawing, so a slider only chooses among them."""
    return scaling_curve(widths, N_KEYS, DRAWS, seed)


def one_row(d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One more query and its ten keys of width d: weights without and with the division, (10,)."""
    queries, keys = random_vectors(d, N_KEYS, 1, seed)
    scores = queries[:, 0] @ keys  # (10,)
    return softmax(scores), softmax(scores / np.float32(d**0.5))


def laboratory(result: ForwardPass) -> None:
    """Random vectors of any width: what the division keeps steady, and what happens without."""
    d, seed = result.scenario.lab_d, result.scenario.lab_seed
    widths = tuple(sorted({*WIDTHS, d}))
    labs = curve(widths, seed)
    here = labs[widths.index(d)]
    palette = stages.palette()
    left, right = st.columns(2, gap="medium", vertical_alignment="top")
    with left, st.container(gap="xxsmall"):
        with st.container(
            horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
        ):
            st.markdown(
                f"**The laboratory: {here.rows:,} random rows of {N_KEYS} keys**", width="content"
            )
            st.button(
                "Draw again",
                key="draw_again",
                type="tertiary",
                on_click=change,
                kwargs={"lab_seed": seed % 999_999 + 1},
            )
        st.select_slider(
            "Width d of queries and keys", widths, format_func="{:,}".format, **bound("lab_d")
        )
        st.markdown(_lab_sentence(here))
    with right, st.container(gap="xxsmall", key="lab_row"):
        st.markdown(f"**One query, {N_KEYS} keys: the weights** {LEGEND}")
        without, scaled = one_row(d, seed)
        st.plotly_chart(
            pair_of_bars(without, scaled, palette),
            key="lab_row_chart",
            theme=None,
            config=figures.CONFIG,
            alt=f"Ten weights at d = {d}: largest {number(without.max())} without the division, "
            f"{number(scaled.max())} with it",
        )
    for column, measure in zip(st.columns(4, gap="small"), MEASURES, strict=True):
        without, with_root = (getattr(lab, measure.name) for lab in (here.unscaled, here.scaled))
        with column, st.container(gap="xxsmall", key=f"lab_{measure.name}"):
            numbers = f":red[{_lab_number(without)}] :blue[{_lab_number(with_root)}]"
            st.markdown(f"**{measure.title}** {numbers}")
            st.plotly_chart(
                curve_figure(labs, measure, d, palette),
                key=f"lab_{measure.name}_chart",
                theme=None,
                config=figures.CONFIG,
                alt=f"{measure.title} by width; at d = {d}: {_lab_number(without)} without the "
                f"division, {_lab_number(with_root)} with it",
            )
            st.markdown(f":small[:gray[{measure.meaning}]]")
    st.markdown(_honest(result))


LEGEND = ":small[:red[■] as they come &ensp; :blue[■] divided by √d]"


@dataclass(frozen=True)
class Measure:
    """One thing measured in the laboratory: a field of `RowStatistics`, and how it is shown."""

    name: str
    title: str
    meaning: str
    low: float
    high: float
    logarithmic: bool = False


MEASURES = (
    Measure(
        "variance",
        "Variance of the scores",
        "How far apart the scores lie: their mean squared distance from their mean.",
        0.4,
        2e3,
        True,
    ),
    Measure("top", "Largest weight", "Mean over all rows. At 1 one key takes everything.", 0, 1),
    Measure(
        "entropy",
        "Entropy",
        f"How evenly the weight is shared. ln {N_KEYS} = 2.3: all alike; 0: one key alone.",
        0,
        2.35,
    ),
    Measure(
        "slope",
        "Gradient Σ w(1 − w)",
        "How far weights move when scores move. At 0 nothing is learned.",
        0,
        0.9,
    ),
)


def _lab_sentence(here: ScalingLab) -> str:
    without, scaled = here.unscaled, here.scaled
    return (
        f"All numbers in q and k are random, with variance 1. A score is a sum of "
        f"{plural(here.d, 'product')}, so its variance is about {here.d:,}: "
        f":red[{_lab_number(without.variance)}]. The largest of ten weights takes "
        f":red[{number(without.top)}] on average. Divide the scores by √{here.d:,} = "
        f"{number(here.d**0.5)}, and their variance is divided by {here.d:,}: "
        f":blue[{_lab_number(scaled.variance)}]. The largest weight is then "
        f":blue[{number(scaled.top)}], nearly the same at every width."
    )


def _honest(result: ForwardPass) -> str:
    attention = result.attention
    d_k = attention.K.shape[-1]
    count = attention.scores[0].size
    if count == 1:
        return f":gray[This sentence has one score only: nothing to compare with $d_k$ = {d_k}.]"
    found = float(attention.scores[0].var(dtype=np.float64))
    return (
        f":gray[And your sentence? Its {count:,} scores have a variance of {_lab_number(found)} at "
        f"$d_k$ = {d_k}; once they are divided by √{d_k}, it is {_lab_number(found)} ÷ {d_k} = "
        f"{_lab_number(found / d_k)}. It comes out as 1 for "
        "independent numbers of variance 1, as drawn here. Queries and keys of real words share "
        "patterns, and training may push the scores as far apart as it likes.]"
    )


def _lab_number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else number(value, 1 if abs(value) >= 10 else 2)


def pair_of_bars(without: np.ndarray, scaled: np.ndarray, palette: Palette) -> go.Figure:
    """Ten weights twice: as they come and divided by √d, on one scale from 0 to 1."""
    colours = {"as they come": palette.signed[-1][1], "divided by √d": palette.signed[0][1]}
    traces = [
        go.Bar(
            x=np.arange(1, len(row) + 1),
            y=row,
            name=name,
            marker={"color": colours[name]},
            text=[number(weight) if weight >= 0.095 else "" for weight in row.tolist()],
            textposition="outside",
            textfont={"size": 10.5, "color": palette.text},
            cliponaxis=False,
            hovertemplate=f"key %{{x}}, {name}: %{{y:.3f}}<extra></extra>",
        )
        for name, row in zip(colours, (without, scaled), strict=True)
    ]
    ticks = {"tickvals": list(range(1, len(scaled) + 1)), "ticktext": ["key 1", *"23456789", "10"]}
    layout = _layout(palette, 150) | {
        "barmode": "group",
        "bargap": 0.25,
        "xaxis": _plain_axis(palette) | ticks | {"showgrid": False},
        "yaxis": {"visible": False, "range": [0, 1.08], "fixedrange": True},
    }
    return go.Figure(data=traces, layout=layout)


def curve_figure(
    labs: tuple[ScalingLab, ...], measure: Measure, d: int, palette: Palette
) -> go.Figure:
    """One measure over the widths, as the scores come and divided; the chosen width is marked."""
    x = [lab.d for lab in labs]
    here = x.index(d)
    lines = []
    for name, colour in (("unscaled", palette.signed[-1][1]), ("scaled", palette.signed[0][1])):
        y = [getattr(getattr(lab, name), measure.name) for lab in labs]
        sizes = [11 if place == here else 4 for place in range(len(x))]
        said = "as they come" if name == "unscaled" else "divided by √d"
        lines.append(
            go.Scatter(
                x=x,
                y=y,
                name=said,
                mode="lines+markers",
                line={"color": colour, "width": 2},
                marker={"color": colour, "size": sizes, "opacity": 1},
                cliponaxis=False,
                hovertemplate=f"d = %{{x}}, {said}: %{{y:.3g}}<extra></extra>",
            )
        )
    y_axis = {"range": [measure.low, measure.high], "nticks": 4}
    if measure.logarithmic:
        y_axis = {
            "type": "log",
            "range": np.log10([measure.low, measure.high]).tolist(),
            "tickvals": [1, 10, 100, 1000],
            "ticktext": ["1", "10", "100", "1,000"],
        }
    x_axis = {
        "type": "log",
        "range": [-0.08, np.log10(1024) + 0.08],
        "tickvals": [1, 4, 16, 64, 256, 1024],
        "ticktext": ["d = 1", "4", "16", "64", "256", "1,024"],
    }
    stem = {"type": "line", "x0": d, "x1": d, "y0": 0, "y1": 1, "yref": "paper"}
    layout = _layout(palette, 160) | {
        "xaxis": _plain_axis(palette) | x_axis,
        "yaxis": _plain_axis(palette) | y_axis,
        "shapes": [stem | {"line": {"color": palette.muted, "width": 1, "dash": "dot"}}],
    }
    return go.Figure(data=lines, layout=layout)


def _layout(palette: Palette, height: int) -> dict:
    return {
        "height": height,
        "margin": {"l": 34, "r": 14, "t": 10, "b": 22},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": figures.FONT, "color": palette.muted, "size": 10.5},
        "hoverlabel": {"font": {"family": figures.FONT, "size": 12}},
        "showlegend": False,
        "dragmode": False,
    }


def _plain_axis(palette: Palette) -> dict:
    return {"fixedrange": True, "gridcolor": palette.border, "zeroline": False, "ticks": ""}


# ---- what is often believed


@dataclass(frozen=True)
class ScoreParts:
    """One query against every key: |q|·|k|·cos = score."""

    query_length: float
    key_lengths: np.ndarray  # (T,)
    cosines: np.ndarray  # (T,), 0 where a vector has no length
    scores: np.ndarray  # (T,)


def score_parts(result: ForwardPass, query: int) -> ScoreParts:
    """Take one query's dot products apart into lengths and directions."""
    q = result.attention.Q[0, query].astype(np.float64)
    K = result.attention.K[0].astype(np.float64)
    lengths, own = np.linalg.norm(K, axis=-1), float(np.linalg.norm(q))
    scores = K @ q
    product = own * lengths
    cosines = np.divide(scores, product, out=np.zeros_like(scores), where=product > 0)
    return ScoreParts(own, lengths, cosines, scores)


def overtaken(parts: ScoreParts, keys: np.ndarray) -> tuple[int, int] | None:
    """Find (a, b): key a points more along the query than b, and yet b scores higher.

    keys: (T,) True where the query may look. Both point forward, at less than a right angle; the
    pair that differs most in direction, or None.
    """
    places = np.flatnonzero(keys & (parts.cosines > 0))
    if not places.size:
        return None
    turn = parts.cosines[places, None] - parts.cosines[None, places]  # (a, b)
    higher = parts.scores[None, places] > parts.scores[places, None]
    gap = np.where(higher, turn, 0)
    a, b = np.unravel_index(int(gap.argmax()), gap.shape)
    return (int(places[a]), int(places[b])) if gap[a, b] >= 0.01 else None


def recomputable(factors: tuple[float, ...], product: float) -> list[str]:
    """Print factors with the fewest decimals at which their product, to one decimal, comes out."""
    for decimals in range(2, 9):
        rounded = math.prod(round(factor, decimals) for factor in factors)
        if number(rounded, 1) == number(product, 1):
            break
    return [number(factor, decimals) for factor in factors]


def mistakes(result: ForwardPass) -> None:
    """Two things often believed, met with this sentence's numbers."""
    query, key = panels.telling(result)
    left, right = st.columns(2, gap="small")
    with left:
        _not_normalising(result, query)
    with right:
        _not_meaning(result, query, key)


def _not_normalising(result: ForwardPass, query: int) -> None:
    rows = [row_at(result, query, temperature) for temperature in temperatures(result)]
    sums, tops = ([portion(f(row)) for row in rows] for f in (np.sum, np.max))
    lesson.misconception(
        "we divide to make the numbers smaller, or to normalise them.",
        f"The row of {explain.quoted(result, query)} adds up to {sums[0]} with the division and to "
        f"{sums[1]} without it: the softmax sees to that. The order of the words stays too. What "
        f"changes is how sharply it picks: largest weight {tops[0]} and {tops[1]}. No fixed number "
        "would do for all widths; $\\sqrt{d_k}$ grows as the scores’ spread does.",
    )


def _not_meaning(result: ForwardPass, query: int, key: int | None) -> None:
    parts = score_parts(result, query)
    pair = overtaken(parts, allowed(result, query))
    word = explain.quoted(result, query)

    def product(place: int) -> str:
        factors = (parts.query_length, parts.key_lengths[place], parts.cosines[place])
        a, b, cos = recomputable(factors, parts.scores[place])
        return f":violet[{a}] × :green[{b}] × {cos} = {number(parts.scores[place], 1)}"

    if pair:
        a, b = (explain.quoted(result, place) for place in pair)
        truth = (
            f"Length counts too. {word} points more along {a} than along {b}, and yet {b} scores "
            f"higher:  \n{a}: {product(pair[0])}  \n{b}: {product(pair[1])}  \n"
        )
    else:
        place = query if key is None else key
        truth = (
            f"Length counts too: {word} with {explain.quoted(result, place)} is {product(place)}, "
            "the lengths of q and k times the cosine of their angle. "
        )
    lesson.misconception(
        "the dot product measures how alike two words are in meaning.",
        truth + "And q and k are not the words’ vectors: $W_q$ and $W_k$ decide what is compared.",
    )
