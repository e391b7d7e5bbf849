"""Parts of the page on softmax: one row step by step, rows against columns, and a quiz."""

import math

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from attention.exercises import (
    NEGATIVE,
    POST_ROW,
    TOO_MUCH,
    SoftmaxRow,
    softmax_row,
    softmax_row_question,
)
from attention.forward import ForwardPass
from attention.functions import softmax
from attention.randomness import stable_rng
from pages.shared import arithmetic, explain, figures, lesson, panels, stages
from pages.shared.colours import Palette
from pages.shared.frame import bound, change, kept
from pages.shared.wording import number, portion, short

QUESTIONS = 6  # generated rows of a sheet
CAN, CANNOT = "It can", "It cannot"


def allowed(result: ForwardPass, query: int) -> np.ndarray:
    """True for each key (T,) that the query may look at."""
    mask, T = result.attention.mask, len(result.tokens)
    return np.ones(T, bool) if mask is None else np.broadcast_to(mask, (1, T, T))[0, query]


# ---- one row


def steps(result: ForwardPass, query: int, shift: float) -> tuple[np.ndarray, ...]:
    """One row's way through the softmax: shifted scores, e^(score − max), weights, each (T,).

    The shift is added to every score. Masked keys have no score (NaN), power 0 and weight 0.
    """
    keys = allowed(result, query)
    scores = np.where(keys, result.attention.scaled[0, query].astype(np.float64) + shift, np.nan)
    powers = np.where(keys, np.exp(np.nan_to_num(scores - scores[keys].max())), 0)
    return scores, powers, softmax(scores, where=keys)


def one_row(result: ForwardPass) -> None:
    """The chosen row from scores to weights; once predicted, with a number added to every score."""
    query, key = lesson.choose_row(result, panels.telling)
    chart = st.container(key="softmax_steps", gap="xxsmall")
    shift = result.scenario.shift if _predict_shift(result, query) else 0.0
    scores, powers, weights = steps(result, query, shift)
    with chart:
        st.plotly_chart(
            steps_figure(
                "scaled score" if result.scenario.scaling else "score, not divided",
                (scores, powers, weights),
                result.tokens.texts,
                key,
                stages.palette(),
            ),
            key="softmax_steps_chart",
            theme=None,
            config=figures.CONFIG,
            alt=f"Scores, powers and weights of a row. {explain.row_alt(result, query)}",
        )
        st.markdown(_in_words(result, query, key, shift))


def _predict_shift(result: ForwardPass, query: int) -> bool:
    before, after = (steps(result, query, shift)[2] for shift in (0.0, 5.0))
    top = int(before.argmax())
    options = ("all weights grow", "nothing changes", "the largest grows most")
    if np.allclose(before, after, atol=1e-6):
        answer = options[1]
    else:
        answer = options[0] if (after > before).all() else options[2]
    seen = lesson.predict(
        "shift",
        "Add 5 to every score of this row. What happens to the weights?",
        options,
        answer,
        f"$e^{{s+5}}=e^s\\cdot e^5$: the factor $e^5$ stands above and below the line, and "
        f"{explain.quoted(result, top)} keeps {number(after[top], 3)}. That is why the largest "
        "score may be subtracted first, so that $e^s$ never gets too large for the computer.",
    )
    if seen:
        most = 20.0 if abs(result.scenario.shift) <= 20 else 100.0
        st.slider("Added to every score", -most, most, step=0.5, format="%g", **bound("shift"))
    return seen


def ranking(result: ForwardPass, query: int) -> np.ndarray:
    """The keys that the query may look at, largest score first."""
    keys = np.flatnonzero(allowed(result, query))
    return keys[np.argsort(-result.attention.scaled[0, query, keys], kind="stable")]


def _in_words(result: ForwardPass, query: int, key: int | None, shift: float) -> str:
    """The arithmetic of the key in hand and of the row's two largest scores, and their ratio."""
    first, *others = ranking(result, query)[:2].tolist()
    places = [first, *others, *([key] if key not in (None, first, *others) else [])]
    lines = [_arithmetic(result, query, place, shift) for place in places]
    if others:
        lines.append(f":gray[{_ratio(result, query, first, others[0], shift)}]")
    else:
        lines.append(":gray[One word only: it takes the whole weight, whatever its score.]")
    return "  \n".join(lines)


def _ratio(result: ForwardPass, query: int, first: int, second: int, shift: float) -> str:
    scaled = result.attention.scaled[0, query].astype(np.float64)
    opened = _opened(result, query, second, shift)
    difference, ratio = ratio_of(float(scaled[first] - scaled[second]), opened.exponent.strip("−"))
    a, b = (explain.quoted(result, place) for place in (first, second))
    return (
        f"{a} scores {difference} more than {b}, so its weight is $e^{{{difference}}}$, {ratio} "
        "times as large."
    )


def _opened(result: ForwardPass, query: int, key: int, shift: float) -> arithmetic.Softmax | None:
    scaled = result.attention.scaled[0, query].astype(np.float64) + shift
    return arithmetic.softmax_cell(scaled, allowed(result, query), key)


def _arithmetic(result: ForwardPass, query: int, key: int, shift: float) -> str:
    opened = _opened(result, query, key, shift)
    word = explain.quoted(result, key)
    if opened is None:
        return f"{word} is masked: no score, $e^{{-\\infty}}=0$, weight 0."
    exponent = opened.exponent if opened.exponent.strip("−.0") else "0"
    largest = f"({opened.largest})" if opened.largest.startswith("−") else opened.largest
    return (
        f"{word}: {opened.scaled} − {largest} = {exponent} &ensp;→&ensp; "
        f"$e^{{{exponent}}}$ = {opened.power} &ensp;→&ensp; "
        f"{opened.power} ÷ sum of powers {opened.total} = **{opened.result}**"
    )


def ratio_of(difference: float, printed: str = "") -> tuple[str, str]:
    """Print a difference of scores ≥ 0, and e to it in two digits that recompute from the print.

    printed: how the difference stands elsewhere on the page; taken when it serves.
    """
    if difference > math.log(1e6):
        return printed or number(difference), "more than a million"
    goal = _two_digits(math.exp(difference))
    for text in (printed, *(number(difference, decimals) for decimals in range(2, 12))):
        if text and _two_digits(math.exp(float(text))) == goal:
            break
    return text, f"about {goal}"


def _two_digits(value: float) -> str:
    decimals = 1 - math.floor(math.log10(value))
    return f"{round(value, decimals):,.{max(decimals, 0)}f}"


def steps_figure(
    name: str,
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    texts: tuple[str, ...],
    chosen: int | None,
    palette: Palette,
) -> go.Figure:
    """Draw one row three times above each other: scores, powers, weights; a column is a word.

    name: what the scores are called. A score of NaN is masked and drawn as −∞ without a bar.
    """
    scores, powers, weights = rows
    T = len(texts)
    numbered = T <= 14
    axis = figures.Axis(texts, marked=() if chosen is None else ((chosen, palette.key),))
    panels_ = (
        (name, scores, "", (0.68, 0.90)),
        ("e to the power (score − largest)", powers, "2", (0.36, 0.58)),
        ("divided by their sum: <b>weight</b>", weights, "3", (0.04, 0.26)),
    )
    known = scores[np.isfinite(scores)]
    low, high = min(0.0, known.min()), max(0.0, known.max())
    room = 0.3 * max(high - low, 0.1)
    layout: dict = {
        "height": 340 + (0 if numbered else figures.label_height(axis) - 20),
        "margin": {"l": 4, "r": 4, "t": 4, "b": 20 if numbered else figures.label_height(axis)},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": figures.FONT, "color": palette.muted, "size": 10.5},
        "hoverlabel": {"font": {"family": figures.FONT, "size": 12}},
        "showlegend": False,
        "dragmode": False,
        "bargap": 0.22,
        "annotations": [],
        "xaxis": {
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
            "range": [-0.5, T - 0.5],
            "tickmode": "array",
            "tickvals": list(range(T)),
            "ticktext": axis.ticks(),
            "tickfont": {"size": 10.5 if T <= 24 else 8},
            "tickangle": 0 if numbered else -55,
            "ticks": "",
            "anchor": "y3",
        },
    }
    bars = []
    for title, row, suffix, domain in panels_:
        signed = suffix == ""
        colours = [palette.bar] * T
        if chosen is not None:
            colours[chosen] = palette.key
        written = [_cell(value, signed) for value in row.tolist()]
        bars.append(
            go.Bar(
                x=np.arange(T, dtype=np.float32),
                y=np.nan_to_num(row),
                yaxis=f"y{suffix}",
                marker={"color": colours},
                text=written if numbered else None,
                textposition="outside",
                textfont={"size": 10.5, "color": palette.text},
                cliponaxis=False,
                customdata=written,
                hovertemplate="%{x}: %{customdata}<extra></extra>",
            )
        )
        layout[f"yaxis{suffix}"] = {
            "domain": domain,
            "fixedrange": True,
            "showgrid": False,
            "showticklabels": False,
            "zeroline": True,
            "zerolinecolor": palette.border,
            "range": [low - (room if low < 0 else 0), high + room] if signed else [0, 1.0],
        }
        layout["annotations"].append(
            {
                "text": title,
                "xref": "paper",
                "yref": "paper",
                "x": 0,
                "y": domain[1] + 0.07,
                "xanchor": "left",
                "yanchor": "middle",
                "showarrow": False,
                "font": {"size": 12, "color": palette.text},
            }
        )
    return go.Figure(data=bars, layout=layout)


def _cell(value: float, signed: bool) -> str:
    if math.isnan(value):
        return "−∞"
    if not signed and 0 < value < 0.005:
        return "<.01"
    return short(value) if signed else portion(value)


# ---- rows and columns


def rows_and_columns(result: ForwardPass) -> None:
    """The whole map: softmax by row, and two mistakes beside it on the same scale."""
    query, key = panels.telling(result)
    maps = three_maps(result)
    st.markdown(
        "**Every row by itself**, and two mistakes often made, on the same scale from 0 to 1"
    )
    for column, (name, weights) in zip(st.columns(3, gap="small"), maps.items(), strict=True):
        with column, st.container(gap="xxsmall", key=f"softmax_{name}"):
            st.markdown(TITLES[name])
            st.plotly_chart(
                map_figure(result, weights, query, stages.palette()),
                key=f"softmax_{name}_chart",
                theme=None,
                config=figures.CONFIG,
                alt=f"{TITLES[name]}: {_sums(weights)}",
            )
            st.markdown(f":small[{_caption(result, name, weights, query)}]")
    _gives_and_gets(result)


TITLES = {
    "by_row": "**Softmax by row**: right",
    "by_column": "**Softmax by column**: a mistake",
    "twice": "**Softmax twice**: a mistake",
}


def three_maps(result: ForwardPass) -> dict[str, np.ndarray]:
    """The weights (T, T), a softmax down the columns instead, and a second softmax on top."""
    attention = result.attention
    weights = attention.weights[0]
    mask = None if attention.mask is None else np.broadcast_to(attention.mask, (1, *weights.shape))
    by_column = softmax(attention.scaled[0], axis=0, where=None if mask is None else mask[0])
    return {"by_row": weights, "by_column": by_column, "twice": softmax(weights)}


def map_figure(result: ForwardPass, weights: np.ndarray, query: int, palette: Palette) -> go.Figure:
    """Draw one of the maps with the chosen row outlined."""
    tokens, T = result.tokens.texts, len(weights)
    cells = None
    if T <= stages.NUMBERED_TOKENS:
        cells = figures.number_cells(weights, only_row=query, decimals=2)
    step = -(-T // 24)  # labels across need some room each
    columns = figures.Axis(tuple("" if place % step else t for place, t in enumerate(tokens)))
    return figures.heatmap(
        weights,
        palette,
        rows=figures.Axis(tokens, marked=((query, palette.query),)),
        columns=columns,
        limit=1.0,
        weights=True,
        cells=cells,
        outlines=(figures.Outline((query, query), (0, T - 1), palette.query),),
        hover="%{y} → %{x}: %{z:.3f}",
        height=figures.map_height(T) + figures.label_height(columns),
    )


def _sums(weights: np.ndarray) -> str:
    rows, columns = (np.sort(weights.sum(axis)) for axis in (1, 0))
    return f"Rows add up to {_from_to(rows)}, columns to {_from_to(columns)}"


def _from_to(sums: np.ndarray) -> str:
    low, high = number(sums[0]), number(sums[-1])
    return low if low == high else f"anything from {low} to {high}"


def _caption(result: ForwardPass, name: str, weights: np.ndarray, query: int) -> str:
    word, row = explain.quoted(result, query), weights[query]
    sums = _sums(weights)
    if len(row) == 1:
        return "One word only: its weight is 1, rightly or wrongly done."
    if name == "by_row":
        return f"{sums}. Each row is one word’s attention, shared out whole."
    if name == "by_column":
        total = number(row.sum())
        size = (
            "just right here" if total == "1.00" else "too small" if row.sum() < 1 else "too large"
        )
        return f"{sums}. The row of {word} adds up to **{total}**, so its output is {size}."
    low, high = number(row.min(), 3), number(row.max(), 3)
    spread = f"everywhere **{low}**" if low == high else f"between **{low}** and **{high}**"
    T = len(row)
    leak = " Masked words get weight again." if not allowed(result, query).all() else ""
    return (
        f"Rows add up to 1, but the row of {word} is {spread}; all alike would be "
        f"{number(1 / T, 3)}. Weights differ by 1 at most, so a second softmax makes ratios of "
        f"$e$ = 2.72 at most.{leak}"
    )


def _gives_and_gets(result: ForwardPass) -> None:
    weights, texts = result.attention.weights[0], result.tokens.texts
    gets, gives = weights.sum(axis=0), weights.sum(axis=1)
    most, least = int(gets.argmax()), int(gets.argmin())
    st.markdown(
        "**What each word gets**: its column’s sum. The short lines: what it gives, its row’s sum"
    )
    with st.container(key="gets"):
        st.plotly_chart(
            figures.bars(
                gets,
                stages.palette(),
                texts=texts,
                chosen=most,
                height=110 if len(texts) <= 14 else 134,
                reference=gives,
            ),
            key="gets_chart",
            theme=None,
            config=figures.CONFIG,
            alt="What each word gets, its column’s sum: "
            + ", ".join(f"{t} {number(g)}" for t, g in zip(texts, gets.tolist(), strict=True)),
        )
    received = (
        f"{explain.quoted(result, most)} gets {number(gets[most])}, "
        f"{explain.quoted(result, least)} gets {number(gets[least])}"
        if len(texts) > 1
        else "one word alone gives and gets 1"
    )
    lesson.misconception(
        "softmax runs over the columns: a word that is looked at shares itself out.",
        f"A row is shared out, a column is whatever comes together: {received}, and no word gives "
        f"more than {number(gives.max())}.",
    )


# ---- can this be a softmax row?


def sheet(seed: int) -> tuple[SoftmaxRow, ...]:
    """The generated rows of one sheet: the same for everyone with the same link."""
    return tuple(
        softmax_row_question(stable_rng("softmax row", seed, place)) for place in range(QUESTIONS)
    )


def quiz(result: ForwardPass) -> None:
    """Rows to judge: the post's own first, then generated ones; answers last for the session."""
    seed = result.scenario.sheet
    st.markdown("**Can this be a softmax row?** First the post’s own row for “it”:")
    answers = [_post_row()]
    rows = sheet(seed)
    for start in range(0, QUESTIONS, 3):
        for place, column in enumerate(st.columns(3, gap="small"), start):
            with column:
                answers.append(_one_question(seed, place, rows[place]))
    right, given = sum(a is True for a in answers), sum(a is not None for a in answers)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button("New rows", key="new_rows", on_click=change, kwargs={"sheet": seed % 999_999 + 1})
        if given:
            st.markdown(f"**{right} of {given} right**", width="content")
        st.markdown(f":gray[sheet {seed}]", width="content")


def _post_row() -> bool | None:
    question = softmax_row(tuple(POST_ROW.values()))
    left, right = st.columns(2, gap="medium", vertical_alignment="center")
    with left, st.container(key="post_row"):
        st.plotly_chart(
            figures.bars(
                np.array(question.row),
                stages.palette(),
                texts=tuple(POST_ROW),
                chosen=None,
                height=120,
            ),
            key="post_row_chart",
            theme=None,
            config=figures.CONFIG,
            alt="The post’s row: "
            + ", ".join(f"{word} {number(value)}" for word, value in POST_ROW.items()),
        )
    with right:
        answer = _judge("softmax_row_post", question)
        if answer is not None:
            shares = ", ".join(
                f"{word} {number(share, 3)}"
                for word, share in zip(POST_ROW, question.shares, strict=True)
            )
            st.markdown(
                f"{_verdict(question, answer)} The story holds: “it” needs “cat”. As shares of one "
                f"whole, each divided by {number(question.total)}, the numbers would be {shares}. "
                "Four of the ten words are left out, too: the second “the”, “is”, “eating” and "
                "“now” get a share as well. A true row stands at the top of this page."
            )
    return answer


def _one_question(seed: int, place: int, question: SoftmaxRow) -> bool | None:
    with st.container(border=True, gap="xsmall", key=f"softmax_row_{place}"):
        st.markdown(" &ensp; ".join(f"**{number(value)}**" for value in question.row))
        answer = _judge(f"softmax_row_{seed}_{place}", question)
        if answer is not None:
            st.markdown(_verdict(question, answer))
    return answer


def _judge(key: str, question: SoftmaxRow) -> bool | None:
    """Ask for a verdict; return whether it is right, None before there is one."""
    picked = st.segmented_control(
        "Can a softmax give this row?", (CAN, CANNOT), label_visibility="collapsed", **kept(key)
    )
    return None if picked is None else (picked == CAN) == (not question.flaw)


def _verdict(question: SoftmaxRow, right: bool) -> str:
    opening = "**Right.**" if right else "**Not quite.**"
    total = number(question.total)
    if question.flaw == NEGATIVE:
        return (
            f"{opening} It cannot: it adds up to {total}, but {number(min(question.row))} is "
            "negative, and $e$ to any power is above 0."
        )
    if question.flaw:
        way = "more" if question.flaw == TOO_MUCH else "less"
        return f"{opening} It cannot: it adds up to {total}, {way} than the 1 there is to share."
    return f"{opening} It can: nothing is negative, and it adds up to {total}."
