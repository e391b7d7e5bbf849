"""What a state still feels of each word: RNN, LSTM and GRU against attention, on the reader's
sentence and on longer ones of random words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from attention.forward import ForwardPass
from attention.projections import Projections, random_projections
from attention.randomness import stable_rng
from attention.recurrent import (
    KINDS,
    SHARE_FLOOR,
    RecurrentTrace,
    attention_influence,
    influence,
    recurrent,
    recurrent_weights,
    share,
)
from pages.shared import explain, figures, lesson, panels, stages
from pages.shared.colours import Palette
from pages.shared.frame import bound
from pages.shared.wording import distinct, in_plotly, number, plural, round_up

N = 32  # width of every state
D = 50  # width of the random words
ATTENTION = "Attention"
LEFT_AFTER = (1, 5, 20, 50, 100)  # words back, in the table
STARTS = {  # scenario.initial -> the initialisation of each network
    "default": dict.fromkeys(KINDS, "default"),
    "orthogonal": dict.fromkeys(KINDS, "orthogonal"),
    "bias-1": {"RNN": "default", "LSTM": "forget bias 1", "GRU": "update bias 1"},
    "keep": {"RNN": "identity", "LSTM": "forget bias 3", "GRU": "update bias 3"},
}
NAMES = {
    "default": "At random",
    "orthogonal": "Orthogonal",
    "bias-1": "Keeping more",
    "keep": "Keeping most",
}
ABOUT_START = {
    "default": "all numbers small and random, as PyTorch draws them.",
    "orthogonal": "the matrix that carries the state on only turns it, and neither shrinks nor "
    "stretches it; the rest is random.",
    "bias-1": "at random, but the gates that keep begin at .73 instead of .5 (a bias of 1). The "
    "plain RNN has no gate and stays as it was.",
    "keep": "the gates that keep begin at .95 (a bias of 3), and the plain RNN begins by copying "
    "its state.",
}


@dataclass(frozen=True, eq=False)
class Felt:
    """How much the state (or the output) at word `query` feels each word.

    key: the word asked about, before the query; None where there is none before it.
    traces: each network's pass over the whole sentence. shares: by network, (query + 1,) as it has
    read no further; for attention (T,), or (query + 1,) under a causal mask. Each sums to 1.
    """

    query: int
    key: int | None
    traces: Mapping[str, RecurrentTrace]
    shares: Mapping[str, np.ndarray]

    @property
    def of_key(self) -> dict[str, float]:
        """The share of the word asked about, by network."""
        return {} if self.key is None else {k: float(s[self.key]) for k, s in self.shares.items()}


def felt_words(result: ForwardPass, query: int, initial: str) -> Felt:
    """Let the three networks read the sentence's word vectors, and ask the head the same."""
    traces, shares = {}, {}
    for kind in KINDS:
        weights = recurrent_weights(kind, result.X.shape[1], N, init=STARTS[initial][kind])
        traces[kind] = recurrent(result.embeddings, weights)
        shares[kind] = share(influence(traces[kind], query)[: query + 1])
    causal = result.scenario.causal
    felt = attention_influence(result.X, scaled(result), at=query, is_causal=causal)
    shares[ATTENTION] = share(felt[: query + 1] if causal else felt)
    return Felt(query, earlier_word(result, query), traces, shares)


def scaled(result: ForwardPass) -> Projections:
    """The head's matrices; where the scores are not divided by √d_k, W_q makes up for it."""
    p = result.projections
    return p if result.scenario.scaling else replace(p, W_q=p.W_q * np.float32(p.d_k**0.5))


def earlier_word(result: ForwardPass, query: int) -> int | None:
    """The word asked about: the selected one if it stands before the query, else the one before
    the query with the largest weight; None where there is none."""
    if query == 0:
        return None
    key = panels.chosen(result)[1]
    if key is not None and key < query:
        return key
    return int(result.attention.weights[0, query, :query].argmax())


# ---- the sentence


def your_sentence(result: ForwardPass) -> Felt:
    """The chosen word's memory of the sentence: the plain RNN's, and once predicted all four."""
    query, _ = panels.chosen(result)
    initial = result.scenario.initial
    _controls(result, query)
    felt = felt_words(result, query, initial)
    left, right = st.columns([3, 2], gap="medium")
    with right:
        st.markdown(f":small[**{NAMES[initial]}**: {ABOUT_START[initial]}]")
        seen = felt.key is None or lesson.predict("memory", *question(result, felt))
    shown = (*KINDS, ATTENTION) if seen else KINDS[:1]
    with left, st.container(key="memory_sentence", gap="xxsmall"):
        st.markdown("**Share of all that is felt**, by word")
        st.plotly_chart(
            sentence_figure(result, felt, shown, stages.palette()),
            key="memory_sentence_chart",
            theme=None,
            config=figures.CONFIG,
            alt=_sentence_alt(result, felt, shown),
        )
    with right:
        st.markdown(_finding(result, felt, seen))
        if seen and (text := _trained_head(result, felt)):
            st.markdown(text)
    return felt


def _controls(result: ForwardPass, query: int) -> None:
    names = distinct(result.tokens.texts)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("When the networks have read up to", width="content")
        panels.word_box("The word read last", names, "query", query)
        st.markdown("with starting numbers", width="content")
        st.segmented_control(
            "How the networks begin",
            list(STARTS),
            format_func=NAMES.__getitem__,
            required=True,
            label_visibility="collapsed",
            **bound("initial"),
        )


def question(result: ForwardPass, felt: Felt) -> tuple[str, list[str], tuple[str, ...], str]:
    """Which of the others feels the word asked about most: question, options, answers and why."""
    q, k = explain.quoted(result, felt.query), explain.quoted(result, felt.key)
    of_key, options = felt.of_key, [kind for kind in felt.shares if kind != "RNN"]
    written = {kind: small(of_key[kind]) for kind in options}
    top = max(options, key=of_key.__getitem__)
    trained = "the attention head is trained" if result.scenario.preset else "so is the head"
    asked = (
        f"When {q} has been read, which of these feels {k}, {back(felt)}, most? LSTM and GRU are "
        f"as untrained as the RNN in the chart, {trained}."
    )
    why = (
        f"{', '.join(f'{kind} {written[kind]}' for kind in options)}. What a network keeps of {k} "
        "has passed through every word since. To attention no word is further than another: where "
        "it looks is up to its weights."
    )
    return asked, options, tuple(kind for kind in options if written[kind] == written[top]), why


def back(felt: Felt) -> str:
    """How far back the word asked about stands: 6 words back."""
    return f"{plural(felt.query - felt.key, 'word')} back"


def _finding(result: ForwardPass, felt: Felt, seen: bool) -> str:
    q = explain.quoted(result, felt.query)
    about = (
        ":small[:gray[Share: how far the state would move if a word’s numbers moved a little, "
        f"out of the same for all words. The networks read left to right, up to {q}"
    )
    if felt.key is None:
        return f"{q} is the first word: nothing before it to remember. Choose a later one.\n\n" + (
            f"{about}.]]"
        )
    if not seen:
        return f"{about}.]]"
    sees = (
        "so does attention, with its causal mask"
        if result.scenario.causal
        else ("attention sees the whole sentence")
    )
    return f"{about}; {sees}.]]"


def _trained_head(result: ForwardPass, felt: Felt) -> str | None:
    """What an untrained head would give the word asked about, where the reader's is trained."""
    if result.scenario.preset is None or felt.key is None:
        return None
    random = random_projections(result.X.shape[1], N)
    shares = share(
        attention_influence(result.X, random, at=felt.query, is_causal=result.scenario.causal)
    )
    k = explain.quoted(result, felt.key)
    return (
        "This head was trained, the networks were not. A head of random matrices would have "
        f"{small(float(shares[felt.key]))} for {k}: it looks anywhere, near or far."
    )


def _sentence_alt(result: ForwardPass, felt: Felt, shown: Sequence[str]) -> str:
    texts = distinct(result.tokens.texts)
    if felt.key is None:
        return f"“{texts[felt.query]}” is the first word and feels only itself and what follows"
    each = ", ".join(f"{kind} {small(felt.of_key[kind])}" for kind in shown)
    q, k = texts[felt.query], texts[felt.key]
    return f"Share of what is felt at “{q}” that is owed to “{k}”: {each}"


# ---- the states


def states(result: ForwardPass, felt: Felt) -> None:
    """The state of each network after each word, and what its gates keep."""
    palette = stages.palette()
    for column, (kind, trace) in zip(st.columns(3, gap="small"), felt.traces.items(), strict=True):
        limit = state_limit(trace)
        with column, st.container(gap="xxsmall", key=f"memory_{kind}"):
            st.markdown(
                f"**{kind}** the state after each word :small[{stages.legend('hidden', limit)}]"
            )
            st.plotly_chart(
                states_figure(result, trace, felt.query, palette),
                key=f"memory_{kind}_chart",
                theme=None,
                config=figures.CONFIG,
                alt=f"{kind}: {len(trace.hidden)} states of {N} numbers, one row a word; "
                f"the largest is {number(float(np.abs(trace.hidden).max()))}",
            )
            st.markdown(f":small[:gray[{gates(trace, felt.query)}]]")


def state_limit(trace: RecurrentTrace) -> float:
    """The end of the colour scale: 1, the most a gate or tanh lets through; a ReLU's own."""
    if trace.weights.activation == "tanh":
        return 1.0
    return round_up(float(np.abs(trace.hidden).max()))


def kept(trace: RecurrentTrace, query: int) -> float | None:
    """What the gate that keeps lets stand at each word, on average up to the query; None without
    gates."""
    name = {"LSTM": "forget", "GRU": "update"}.get(trace.weights.kind)
    return None if name is None else float(trace.gates[name][: query + 1].mean())


def gates(trace: RecurrentTrace, query: int) -> str:
    """One sentence on how a network keeps its state."""
    keeps = kept(trace, query)
    if trace.weights.kind == "LSTM":
        return (
            "A second memory runs behind this state. At each word its **forget gate** keeps "
            f"**{number(keeps)}** of it on average."
        )
    if trace.weights.kind == "GRU":
        return (
            f"At each word its **update gate** keeps **{number(keeps)}** of the state on average."
        )
    if trace.weights.activation == "relu":
        return "No gate: it begins by copying its state and adding a little of the word."
    return "No gate: word and state are mixed anew at each word."


# ---- longer


@lru_cache(maxsize=32)
def felt_at_length(length: int, initial: str) -> Mapping[str, np.ndarray]:
    """How strongly the last of `length` random words feels each of them: by network, (length,).

    All untrained, the head too: D = 50 numbers a word, states and outputs of 32.
    """
    X = stable_rng("random words", 0).standard_normal((length, D)).astype(np.float32)
    felt = {
        kind: influence(recurrent(X, recurrent_weights(kind, D, N, init=STARTS[initial][kind])))
        for kind in KINDS
    }
    felt[ATTENTION] = attention_influence(X, random_projections(D, N))
    for row in felt.values():
        row.flags.writeable = False
    return felt


def left_after(felt: np.ndarray, k: int) -> float:
    """What is left of a word k words later: how strongly it is felt, next to the newest word."""
    newest = float(felt[-1])
    return float(felt[-1 - k]) / newest if newest > 0 else 0.0


def longer(result: ForwardPass) -> None:
    """The same for up to 200 random words, everything untrained."""
    scenario = result.scenario
    T = scenario.length
    felt = felt_at_length(T, scenario.initial)
    left, right = st.columns([3, 2], gap="medium")
    with left, st.container(key="memory_length", gap="xxsmall"):
        st.markdown(f"**{T} random words**: share of all that the last one feels")
        st.plotly_chart(
            length_figure({kind: share(row) for kind, row in felt.items()}, stages.palette()),
            key="memory_length_chart",
            theme=None,
            config=figures.CONFIG,
            alt=f"Share of what is felt after {T} words, by words back. {_dilution(felt)}",
        )
    with right, st.container(gap="xsmall"):
        st.slider("How many words", 2, 200, **bound("length"))
        st.markdown(table(felt))
        st.markdown(f":small[{_dilution(felt)}]")
        st.markdown(
            ":small[:gray[Everything is untrained here, the head too: random matrices, random "
            "words. The axis is logarithmic: the same step is the same factor. Shares below "
            "10⁻¹² are drawn there; dotted line: one word’s fair share.]]"
        )


def table(felt: Mapping[str, np.ndarray]) -> str:
    """What each network keeps of a word, a Markdown table: left after 1 word, 5, 20, ..."""
    ks = [k for k in LEFT_AFTER if k < len(felt["RNN"])]
    head = [f"{k} {'word' if k == 1 else 'words'}" for k in ks]
    rows = [["Felt, next to the last word, after", *head], ["---"] * (len(ks) + 1)]
    rows += [[kind, *(small(left_after(felt[kind], k)) for k in ks)] for kind in KINDS]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _dilution(felt: Mapping[str, np.ndarray]) -> str:
    """How attention shares itself out over all these words."""
    shares = share(felt[ATTENTION])
    T, own = len(shares), float(shares[-1])
    others = (1 - own) / (T - 1)
    return (
        f"**Attention** does not fade with distance, but it dilutes: each of the {T - 1} others "
        f"has {small(others)} on average (1/{T} = {small(1 / T)}). The last word, which also asks "
        f"(it acts through its query too), has {small(own)}; over many draws it has a quarter to a "
        "third."
        if T > 2
        else f"**Attention**: the other word has {small(others)}, the last, which also asks, "
        f"{small(own)}."
    )


# ---- what is said


def care(result: ForwardPass, felt: Felt) -> None:
    """How to read the lines, and what attention pays."""
    T = len(result.tokens)
    lines = [
        "**Nothing was trained** in these networks, and training changes the lines. A trained LSTM "
        "language model uses about 200 words of context, sharply only the last 50 "
        "(Khandelwal et al. 2018).",
        f"**Where they begin matters more than which kind they are.** {beginnings()}",
        f"**Attention pays for its reach**: {T} × {T} = {T * T:,} scores here, {200 * 200:,} for "
        "200 words, where a recurrent network takes one step a word. And without positions it does "
        "not know the order of the words.",
    ]
    with st.container(gap="xxsmall"):
        st.markdown("**Read these lines with care**\n" + "".join(f"\n- {line}" for line in lines))
        lesson.see("order", "See what it knows of order")


def beginnings(k: int = 20, T: int = 40) -> str:
    """What is left after k random words by the two beginnings furthest apart."""
    found = []
    for initial in ("default", "keep"):
        felt = felt_at_length(T, initial)
        each = ", ".join(f"{kind} {small(left_after(felt[kind], k))}" for kind in KINDS)
        found.append(f"{each} ({NAMES[initial].lower()})")
    return f"Felt after {k} of {T} random words, next to the last: {'; '.join(found)}."


def about_forgetting(result: ForwardPass, felt: Felt) -> str:
    """Meet “RNNs forget everything” with this sentence's numbers."""
    rest = (
        "It fades with distance; how fast depends on where the network begins, on its gates and "
        "on its training. Forget gates were made to be learned."
    )
    if felt.key is None:
        return f"Less and less is left of a word, never all at once. {rest}"
    q, k = explain.quoted(result, felt.query), explain.quoted(result, felt.key)
    of_key = felt.of_key
    rnn, lstm, gru = (small(of_key[kind]) for kind in KINDS)
    if of_key["RNN"] <= SHARE_FLOOR:
        first = f"the untrained RNN has in effect lost {k} ({rnn} of what it feels)"
    else:
        first = f"even in the untrained RNN {rnn} of what it feels comes from {k}"
    return f"When {q} has been read, {first}; in the LSTM {lstm}, in the GRU {gru}. {rest}"


def small(value: float) -> str:
    """Write a share from 1 down to the floor: .23, .0042, 3 × 10⁻⁷, under 10⁻¹²."""
    if value <= SHARE_FLOOR:
        return "under 10⁻¹²"
    rounded = float(f"{value:.1e}")  # two digits
    if rounded >= 0.1:
        return number(value)
    if rounded >= 0.001:
        return number(value, 1 - math.floor(math.log10(rounded) + 1e-9))
    digit, power = f"{value:.0e}".split("e-")
    return f"{digit}\u00a0×\u00a010{superscript(-int(power))}"  # never broken over two lines


def superscript(power: int) -> str:
    """Write a whole number raised: ⁻¹²."""
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


# ---- figures: arrays in, Plotly figures out


def line_styles(palette: Palette) -> dict[str, dict]:
    """One look for each network: colour, dash and marker all differ."""
    red, blue = palette.signed[-1][1], palette.signed[0][1]
    return {
        "RNN": {
            "line": {"color": red, "width": 2},
            "marker": {"symbol": "circle", "color": red},
        },
        "LSTM": {
            "line": {"color": blue, "width": 2},
            "marker": {"symbol": "square", "color": blue},
        },
        "GRU": {
            "line": {"color": palette.muted, "width": 2, "dash": "dash"},
            "marker": {"symbol": "diamond", "color": palette.muted},
        },
        ATTENTION: {"marker": {"symbol": "x", "color": palette.text}},
    }


def decades(shares: Mapping[str, np.ndarray], query: int) -> int:
    """How many powers of ten the sentence's chart spans: enough for its shares, and for an
    untrained RNN at this distance, so that the scale stays as the beginning changes."""
    least = min(float(row.min()) for row in shares.values())
    needed = max(-math.floor(math.log10(least) + 1e-9), math.ceil(0.45 * query), 3)
    return min(needed, 12)


def sentence_figure(
    result: ForwardPass, felt: Felt, shown: Sequence[str], palette: Palette
) -> go.Figure:
    """Draw the shares of each network over the words of the sentence, on a log axis."""
    texts, T = result.tokens.texts, len(result.tokens)
    marked = [(felt.query, palette.query)]
    if felt.key is not None:
        marked.append((felt.key, palette.key))
    axis = figures.Axis(texts, tuple(~result.known), tuple(marked))
    styles, names = line_styles(palette), [in_plotly(text) for text in texts]
    lines = [
        go.Scatter(
            x=np.arange(len(felt.shares[kind]), dtype=np.float32),
            y=felt.shares[kind],
            name=kind,
            mode="markers" if kind == ATTENTION else "lines+markers",
            line=styles[kind].get("line"),
            marker=styles[kind]["marker"] | {"size": 7 if T <= 24 else 4},
            customdata=names[: len(felt.shares[kind])],
            hovertemplate=f"{kind}, %{{customdata}}: %{{y:.2g}}<extra></extra>",
        )
        for kind in shown
    ]
    crowded = T > 14
    bottom = figures.label_height(axis) if crowded else 22
    stems = [] if felt.key is None else [_stem(felt.key, palette.key)]
    layout = _layout(palette, 250 + bottom, bottom) | {
        "shapes": [*stems, _stem(felt.query, palette.query)],
        "xaxis": {
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
            "range": [-0.5, T - 0.5],
            "tickmode": "array",
            "tickvals": list(range(T)),
            "ticktext": axis.ticks(),
            "tickfont": {"size": 10.5 if T <= 24 else 8},
            "tickangle": -55 if crowded else 0,
            "ticks": "",
        },
        "yaxis": _log_axis(decades(felt.shares, felt.query), palette),
    }
    return go.Figure(data=lines, layout=layout)


def length_figure(shares: Mapping[str, np.ndarray], palette: Palette) -> go.Figure:
    """Draw the shares over the words back from the last one, on a log axis down to the floor."""
    styles, T = line_styles(palette), len(shares["RNN"])
    x = np.arange(T - 1, -1, -1, dtype=np.float32)  # words back
    lines = [
        go.Scatter(
            x=x,
            y=row,
            name=kind,
            mode="markers" if kind == ATTENTION else "lines+markers" if T <= 10 else "lines",
            line=styles[kind].get("line"),
            marker=styles[kind]["marker"] | {"size": 7 if T <= 60 else 4},
            hovertemplate=f"{kind}, %{{x}} back: %{{y:.2g}}<extra></extra>",
        )
        for kind, row in shares.items()
    ]
    lines.append(
        go.Scatter(
            x=[T - 1, 0],
            y=[1 / T, 1 / T],
            name=f"1/{T}",
            mode="lines",
            line={"color": palette.text, "width": 1, "dash": "dot"},
            hoverinfo="skip",
        )
    )
    layout = _layout(palette, 300, 40) | {
        "xaxis": {
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
            "range": [T - 0.5, -0.5],
            "title": {"text": "words back from the last", "standoff": 4, "font": {"size": 11}},
            "ticks": "",
            "nticks": 9,
            "tickformat": "d",
        },
        "yaxis": _log_axis(12, palette),
    }
    return go.Figure(data=lines, layout=layout)


def states_figure(
    result: ForwardPass, trace: RecurrentTrace, query: int, palette: Palette
) -> go.Figure:
    """Draw the states (T, N), one row a word, with the chosen word's outlined."""
    rows = figures.Axis(result.tokens.texts, tuple(~result.known), ((query, palette.query),))
    return figures.heatmap(
        trace.hidden,
        palette,
        rows=rows,
        columns=figures.Axis(),
        limit=state_limit(trace),
        outlines=(figures.Outline((query, query), (0, N - 1), palette.query),),
        hover="after %{y}, number %{x} of the state: %{z:.3f}",
    )


def _stem(x: int, colour: str) -> dict:
    line = {"color": colour, "width": 1, "dash": "dot"}
    return {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": line}


def _layout(palette: Palette, height: int, bottom: int) -> dict:
    return {
        "height": height,
        "margin": {"l": 40, "r": 8, "t": 28, "b": bottom},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": figures.FONT, "color": palette.muted, "size": 10.5},
        "hoverlabel": {"font": {"family": figures.FONT, "size": 12}},
        "dragmode": False,
        "showlegend": True,
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.01,
            "yanchor": "bottom",
            "itemclick": False,
            "itemdoubleclick": False,
            "font": {"size": 12, "color": palette.text},
        },
    }


def _log_axis(decades: int, palette: Palette) -> dict:
    every = 1 if decades <= 6 else 2
    powers = range(0, -decades - 1, -every)
    return {
        "type": "log",
        "range": [-decades - 0.02 * decades, 0.15],
        "fixedrange": True,
        "gridcolor": palette.border,
        "zeroline": False,
        "ticks": "",
        "tickvals": [10.0**power for power in powers],
        "ticktext": [
            "1" if p == 0 else number(10.0**p, -p) if p >= -3 else f"10{superscript(p)}"
            for p in powers
        ],
    }
