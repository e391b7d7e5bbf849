"""What three vectors are for: the head as it is, with W_k = W_q, and with Q and K swapped."""

from dataclasses import dataclass, replace

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from attention.dot_product import AttentionTrace
from attention.forward import ForwardPass
from attention.multi_head import multi_head_attention
from attention.projections import Projections
from attention.scenario import selection
from pages.shared import explain, figures, lesson, stages
from pages.shared.clicks import on_cell_click
from pages.shared.colours import Palette
from pages.shared.frame import bound, change
from pages.shared.panels import word_box
from pages.shared.wording import distinct, number, portion, round_up

CHOICES = {
    "separate": "Three matrices",
    "one": "$W_k = W_q$",
    "swapped": "Q and K swapped",
}
FORMULAS = {  # choice -> the matrices that make Q and K
    "separate": ("W_q", "W_k"),
    "one": ("W_q", "W_q"),
    "swapped": ("W_k", "W_q"),
}
ROLES = {
    "separate": (
        "Each word plays three parts: its :violet[**query**] asks, its :green[**key**] is what "
        "other words’ queries meet, its :orange[**value**] is what it hands over."
    ),
    "one": (
        "Now one matrix makes both: each word’s :green[**key**] *is* its :violet[**query**]. "
        "The charts of Q and K are the same."
    ),
    "swapped": (
        "Now the two matrices have changed places: what was each word’s :green[key] asks, and "
        "what was its :violet[query] is met."
    ),
}
MAPS = ("qkv_scores", "qkv_mirror", "qkv_weights")  # keys of the charts that can be clicked
SAME, LARGER, SMALLER = "the same score", "a larger one", "a smaller one"
ROUNDING = 1e-5  # of the largest score: less than that is the rounding of float32


@dataclass(frozen=True)
class Comparison:
    """One sentence through the head as it is (`before`) and as chosen (`now`), with one head."""

    choice: str
    before: AttentionTrace
    now: AttentionTrace

    @property
    def S(self) -> np.ndarray:
        """The scores as chosen, (T, T)."""
        return self.now.scores[0]

    @property
    def asymmetry(self) -> float:
        """max|S − Sᵀ|: how far a score and its mirror are apart at most."""
        return float(np.abs(mirror(self.S)).max())

    @property
    def from_transposed(self) -> float:
        """max|S − S_beforeᵀ|: how far the scores are from the old ones mirrored."""
        return float(np.abs(self.S - self.before.scores[0].T).max())

    @property
    def weights_from_transposed(self) -> float:
        """The same of the weights."""
        return float(np.abs(self.now.weights[0] - self.before.weights[0].T).max())


def shared(projections: Projections, sharing: str) -> Projections:
    """Return the matrices with W_k made equal to W_q ("one"), or the two exchanged ("swapped")."""
    W_q, W_k = projections.W_q, projections.W_k
    if sharing == "one":
        return replace(projections, W_k=W_q)
    if sharing == "swapped":
        return replace(projections, W_q=W_k, W_k=W_q)
    return projections


def compare(result: ForwardPass) -> Comparison:
    """Carry the sentence through the matrices that the scenario's `sharing` asks for."""
    scenario = result.scenario
    if scenario.sharing == "separate":
        return Comparison("separate", result.attention, result.attention)
    now = multi_head_attention(
        result.X,
        shared(result.projections, scenario.sharing),
        is_causal=scenario.causal,
        scale=None if scenario.scaling else 1.0,
    )
    return Comparison(scenario.sharing, result.attention, now)


def mirror(S: np.ndarray) -> np.ndarray:
    """Return S − Sᵀ: 0 where a score equals its mirror."""
    return S - S.T


def own_best(S: np.ndarray) -> int:
    """Count the words whose score with themselves is larger than with any other."""
    others = np.where(np.eye(len(S), dtype=bool), -np.inf, S).max(axis=1)
    return int((np.diagonal(S) > others).sum())


def pair(result: ForwardPass, chosen: bool = True) -> tuple[int, int] | None:
    """The selected query and another word as key, by weight where none is selected; None where
    the sentence has no other. chosen: False leaves what is selected aside."""
    T, weights = len(result.tokens), result.attention.weights[0]
    if T == 1:
        return None
    scenario = result.scenario if chosen else result.scenario.replace(query=None, key=None)
    query, key = selection(scenario, result.tokens, weights)
    if key is None or key == query:
        key = max((place for place in range(T) if place != query), key=lambda j: weights[query, j])
    return query, key


# ---- the page


def laboratory(result: ForwardPass) -> None:
    """The choice, a prediction, the maps that follow, and the vectors they come from."""
    compared, at = compare(result), pair(result)
    _controls(result, at)
    st.markdown(ROLES[compared.choice])
    if at is None:
        st.markdown("One word has only one score, with itself. Type a second word to compare.")
    # asked of the sentence's own pair, so that the maps stay while others are chosen
    elif lesson.predict("mirror", *question(result, *pair(result, chosen=False))):
        st.markdown(finding(result, compared, *at))
        _maps(result, compared, at)
    _vectors(result, compared, at)


def _controls(result: ForwardPass, at: tuple[int, int] | None) -> None:
    names = distinct(result.tokens.texts)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="choice"):
        st.segmented_control(
            "Matrices for queries and keys",
            list(CHOICES),
            format_func=CHOICES.__getitem__,
            required=True,
            label_visibility="collapsed",
            **bound("sharing"),
        )
        if at is None:
            return
        query, key = at
        word_box("Query: the word that looks", names, "query", query)
        st.markdown("and", width="content")
        word_box(
            "Key: the word that is looked at",
            names,
            "key",
            key,
            places=[place for place in range(len(names)) if place != query],
        )


def _vectors(result: ForwardPass, compared: Comparison, at: tuple[int, int] | None) -> None:
    colours, limit = stages.palette(), stages.limits(result)["Q"]
    makers = (*FORMULAS[compared.choice], "W_v")
    kinds = (
        ("Q", ":violet[**Queries** ${}$]", colours.query),
        ("K", ":green[**Keys** ${}$]", colours.key),
        ("V", ":orange[**Values** ${}$]", colours.value),
    )
    for column, (name, title, hue), maker in zip(st.columns(3), kinds, makers, strict=True):
        Z = getattr(compared.now, name)[0]
        formula = f"{name} = X\\,{maker}"
        with column:
            _chart(
                f"{title.format(formula)} :small[{stages.legend(name, limit)}]",
                f"qkv_{name}",
                vectors_figure(Z, result, at or (0, 0), limit, colours, hue),
                f"{explain.NAMES[name]}: {len(Z)} rows of {Z.shape[1]} numbers, "
                f"the largest {number(float(np.abs(Z).max()))}.",
            )


def _maps(result: ForwardPass, compared: Comparison, at: tuple[int, int]) -> None:
    colours = stages.palette()
    S, D, A = compared.S, mirror(compared.S), compared.now.weights[0]
    limit = round_up(float(np.abs(S).max()))
    limit_D = round_up(float(np.abs(mirror(compared.before.scores[0])).max()))
    shown = (
        (
            f"**Scores** $S = Q K^\\top$ :small[{stages.legend('scores', limit)}]",
            map_figure(S, result, at, limit, colours),
            f"Scores; score and mirror differ by at most {number(compared.asymmetry)}.",
        ),
        (
            "**Score minus the reverse score** $S - S^\\top$ "
            f":small[{stages.legend('scores', limit_D)}]",
            map_figure(D, result, at, limit_D, colours),
            f"Scores minus the scores transposed, at most {number(compared.asymmetry)}.",
        ),
        (
            f"**Weights** softmax by row :small[{stages.legend('weights', 1)}]",
            map_figure(A, result, at, 1.0, colours, compared.now.mask, weights=True),
            "Attention weights, each row adding up to 1.",
        ),
    )
    for column, key, (title, figure, alt) in zip(st.columns(3), MAPS, shown, strict=True):
        with column:
            _chart(title, key, figure, alt)
    on_cell_click(MAPS, lambda stage, x, y: change(query=y, key=x))


# ---- what is said


def question(
    result: ForwardPass, query: int, key: int
) -> tuple[str, tuple[str, str, str], str, str]:
    """The question about one pair and its mirror in the head as it is: the question, the options,
    the right one and why."""
    S = result.attention.scores[0]
    q, k = explain.quoted(result, query), explain.quoted(result, key)
    there, back = number(S[query, key]), number(S[key, query])
    if there == back:
        answer = SAME
    else:
        answer = LARGER if S[key, query] > S[query, key] else SMALLER
    if np.array_equal(result.projections.W_q, result.projections.W_k):
        why = "$W_q$ and $W_k$ are equal here."
    else:
        why = (
            f"One is :violet[q {q}] · :green[k {k}], the other :violet[q {k}] · :green[k {q}]: "
            "four different vectors."
        )
    asked = f"With three matrices {q} gives {k} a score of {there}. What does {k} give {q}?"
    return asked, (SAME, LARGER, SMALLER), answer, f"{k} gives {q} {back}. {why}"


def finding(result: ForwardPass, compared: Comparison, query: int, key: int) -> str:
    """What the maps show, in this sentence's numbers."""
    q, k = explain.quoted(result, query), explain.quoted(result, key)
    S, before, T = compared.S, compared.before.scores[0], len(compared.S)
    there, back = number(S[query, key]), number(S[key, query])
    size = float(np.abs(S).max())
    old, new = (portion(trace.weights[0, query, key]) for trace in (compared.before, compared.now))
    lost = f"The weight of {q} on {k} goes from {old} to **{new}**. "
    if compared.choice == "one":
        return (
            f"{q} → {k} is {there} and {k} → {q} is {back}. Over all pairs, score and mirror "
            f"differ by at most **{gap(compared.asymmetry, size)}**: the map is its own mirror. "
            f"{lost}One matrix can say “alike”, not “looks for”, and nothing is more alike than a "
            f"word and itself: {own_best(S)} of {T} words score themselves highest (with three "
            f"matrices {own_best(before)})."
        )
    if compared.choice == "swapped":
        return (
            f"{k} → {q} is now {back}, which was {q} → {k}. Over all pairs, the scores differ from "
            f"the old ones {lesson.term('transposed')} by at most "
            f"**{gap(compared.from_transposed, size)}**. {lost}But the weights are not the old "
            f"ones transposed (up to {number(compared.weights_from_transposed)} apart): softmax "
            "works by row, and the new rows are the old columns."
        )
    apart = gap(compared.asymmetry, size)
    found = (
        f"{q} → {k} is {there}, {k} → {q} is {back}. Over all pairs, score and mirror differ by up "
        f"to **{apart}**. "
    )
    if apart.startswith("0"):
        return found + "The matrices you have now say “alike” and no more."
    return found + (
        "Two matrices can say “looks for”: a pronoun needs its noun, but the noun does not need "
        "the pronoun."
    )


def gap(value: float, size: float) -> str:
    """Write a difference between numbers of this size; what float32 cannot tell from 0 says so."""
    if value == 0:
        return "0"
    if value <= ROUNDING * size:
        return f"0 but for rounding ({value:.0e})".replace("e-0", "e−").replace("e-", "e−")
    return number(value)


def symmetric_claim(result: ForwardPass) -> str:
    """What is often believed, said of the pair in hand."""
    text = "Attention must be symmetric"
    if (at := pair(result)) is None:
        return f"{text}."
    q, k = (explain.quoted(result, place) for place in at)
    return f"{text}: {k} must look at {q} as much as {q} looks at {k}."


def about_symmetry(result: ForwardPass) -> str:
    """Meet “attention must be symmetric” with this sentence's numbers."""
    S = result.attention.scores[0]
    gap_text = gap(float(np.abs(mirror(S)).max()), float(np.abs(S).max()))
    if len(S) == 1:
        found = "One word alone cannot show it."
    elif gap_text.startswith("0"):
        found = "With the matrices you have now it happens to be."
    else:
        found = f"In your sentence a score and its mirror differ by up to {gap_text}."
    return (
        f"Nothing makes it so. {found} Even where scores are symmetric, weights need not be: "
        "each row is divided by its own sum."
    )


def about_inputs(result: ForwardPass) -> str:
    """Meet “three different inputs”: the same vector, times three matrices."""
    query, _ = selection(result.scenario, result.tokens, result.attention.weights[0])
    word, trace = explain.quoted(result, query), result.attention
    q, k, v = (number(getattr(trace, name)[0, query, 0]) for name in ("Q", "K", "V"))
    return (
        f"All three are made from the same vector of each word. From the {result.X.shape[1]} "
        f"numbers of {word}, $W_q$ makes a query that begins with :violet[{q}], $W_k$ a key with "
        f":green[{k}], $W_v$ a value with :orange[{v}]. That is the *self* in self-attention. (In "
        "cross-attention, as in translation, queries come from one text, keys and values from "
        "another.)"
    )


# ---- figures: arrays in, Plotly figures out


def vectors_figure(
    Z: np.ndarray,
    result: ForwardPass,
    at: tuple[int, int],
    limit: float,
    colours: Palette,
    hue: str,
) -> go.Figure:
    """Draw vectors (T, d), one row a word, with the rows of both words marked."""
    T, width = Z.shape
    numbered = width <= stages.NUMBERED_WIDTH and T <= stages.NUMBERED_TOKENS
    return figures.heatmap(
        Z,
        colours,
        rows=figures.Axis(
            result.tokens.texts, tuple(~result.known), tuple((place, hue) for place in at)
        ),
        columns=figures.Axis(),
        limit=limit,
        cells=figures.number_cells(Z, decimals=2) if numbered else None,
        outlines=[figures.Outline((place, place), (0, width - 1), hue) for place in set(at)],
        hover="%{y}, column %{x}: %{z:.3f}",
    )


def map_figure(
    Z: np.ndarray,
    result: ForwardPass,
    at: tuple[int, int],
    limit: float,
    colours: Palette,
    mask: np.ndarray | None = None,
    weights: bool = False,
) -> go.Figure:
    """Draw a map (T, T) with a cell and its mirror marked, and numbers along the query's row and
    its column."""
    T, (query, key) = len(Z), at
    cells = None
    if T <= stages.NUMBERED_TOKENS:
        every = figures.number_cells(Z, decimals=2 if weights else None)
        cells = [
            [text if query in (i, j) else "" for j, text in enumerate(row)]
            for i, row in enumerate(every)
        ]
    unknown = tuple(~result.known)
    columns = figures.Axis(result.tokens.texts, unknown, ((key, colours.key),))
    return figures.heatmap(
        Z,
        colours,
        rows=figures.Axis(result.tokens.texts, unknown, ((query, colours.query),)),
        columns=columns,
        limit=limit,
        weights=weights,
        cells=cells,
        outlines=[
            figures.Outline((i, i), (j, j), colours.text, width=2, halo=5)
            for i, j in (at, at[::-1])
        ],
        masked=None if mask is None else ~np.broadcast_to(mask, (1, T, T))[0],
        veil=1.0,
        hover=f"%{{y}} → %{{x}}: %{{z:.{3 if weights else 2}f}}",
        height=figures.map_height(T) + min(round(14 + 4.6 * columns.longest), 56),
    )


def _chart(title: str, key: str, figure: go.Figure, alt: str) -> None:
    with st.container(gap="xxsmall", key=key):
        st.markdown(title)
        st.plotly_chart(figure, key=f"{key}_chart", theme=None, config=figures.CONFIG, alt=alt)
