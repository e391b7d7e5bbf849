"""One word's way through a stack of Transformer blocks: what each part adds to its vector."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from attention.block import (
    BlockTrace,
    BlockWeights,
    additions,
    cosines,
    lengths,
    random_block,
    stack,
)
from attention.forward import ForwardPass
from attention.scenario import selection
from pages.shared import arithmetic, explain, figures, lesson, panels, stages
from pages.shared.arithmetic import Sum
from pages.shared.colours import Palette
from pages.shared.frame import bound, change
from pages.shared.wording import distinct, in_plotly, label, number, plural, round_up

WIDEST = 256  # vectors for which the page draws blocks
MOST_NUMBERS = 1_000_000  # in all blocks together
OWN, ATTENTION, FEED_FORWARD, NORM = "own", "attention", "feed-forward", "norm"


class Step(NamedTuple):
    """One part of one block: which block, counting from 1, and what kind of part."""

    block: int
    part: str


@dataclass(frozen=True, eq=False)
class Way:
    """One word's way: its own vector x (D,), and for each of S steps what it adds, (S, D)."""

    x: np.ndarray
    steps: tuple[Step, ...]
    added: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """The word's own vector, then what each step adds, (1 + S, D)."""
        return np.concatenate([self.x[None], self.added])

    @property
    def vectors(self) -> np.ndarray:
        """The vector at the start and after each step, (1 + S, D): the sums of `rows`."""
        return self.rows.cumsum(axis=0)

    @property
    def output(self) -> np.ndarray:
        """The vector as it leaves the last block, (D,)."""
        return self.vectors[-1]

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """What each kind of part added in all blocks together, each (D,); they sum to `output`."""
        kinds = dict.fromkeys(step.part for step in self.steps)
        mine = {kind: [step.part == kind for step in self.steps] for kind in kinds}
        return {OWN: self.x} | {kind: self.added[mine[kind]].sum(axis=0) for kind in kinds}

    @property
    def shares(self) -> dict[str, float]:
        """How much of the output each part makes, along the output's direction; they sum to 1.

        All 0 where the output is.
        """
        size = float(self.output @ self.output)
        return {
            kind: float(v @ self.output) / size if size else 0.0 for kind, v in self.parts.items()
        }


# ---- the blocks


def n_heads(result: ForwardPass) -> int:
    """The most heads, up to the scenario's number, that share the vectors' width evenly."""
    D = result.X.shape[1]
    return max(h for h in range(1, result.scenario.n_heads + 1) if D % h == 0)


def n_blocks(result: ForwardPass) -> int:
    """The scenario's number of blocks, or as many as stay below MOST_NUMBERS, at least one."""
    one = 12 * result.X.shape[1] ** 2
    return max(1, min(result.scenario.n_layers, MOST_NUMBERS // one))


@lru_cache(maxsize=24)
def _drawn(d_model: int, heads: int, seed: int, place: int) -> BlockWeights:
    return random_block(d_model, heads, seed=seed * 10 + place)


def blocks(result: ForwardPass, count: int, norm_first: bool) -> tuple[BlockWeights, ...]:
    """The first `count` untrained blocks of the scenario's seed; in either order of parts the same
    numbers."""
    width, heads = result.X.shape[1], n_heads(result)
    drawn = (_drawn(width, heads, result.scenario.seed, place) for place in range(1, count + 1))
    return tuple(replace(weights, norm_first=norm_first) for weights in drawn)


def run(
    result: ForwardPass,
    *,
    count: int | None = None,
    norm_first: bool | None = None,
    causal: bool | None = None,
    first: int | None = None,
) -> tuple[BlockTrace, ...]:
    """Pass the sentence, or its `first` words, through the blocks, in float64; what is not given is
    the scenario's."""
    scenario = result.scenario
    weights = blocks(
        result,
        n_blocks(result) if count is None else count,
        scenario.norm_first if norm_first is None else norm_first,
    )
    is_causal = scenario.causal if causal is None else causal
    return stack(result.X[:first].astype(np.float64), weights, is_causal=is_causal)


def way(traces: tuple[BlockTrace, ...], query: int) -> Way:
    """Follow one word through the blocks."""
    steps, added = [], []
    for place, trace in enumerate(traces, 1):
        for name, vectors in additions(trace).items():
            steps.append(Step(place, name.rstrip(" 12")))
            added.append(vectors[query])
    return Way(traces[0].X[query], tuple(steps), np.array(added))


# ---- the page


def word_through_blocks(result: ForwardPass) -> None:
    """The controls, the block as a line, and what each part adds; once predicted, how much."""
    query, _ = panels.chosen(result)
    width = result.X.shape[1]
    _controls(result, query)
    st.markdown(line(result, query))
    if width > WIDEST:
        st.markdown(_parts_in_words(result))
        st.info(
            f"Your vectors are {width:,} numbers wide; this page draws blocks for up to {WIDEST}. "
            "The sizes below are for yours."
        )
        return
    now = way(run(result), query)
    left, right = st.columns(2, gap="small")
    with left:
        _vectors(result, now, query)
    with right:
        if lesson.predict("block", *question(result)):
            _measures(result, now, query)
    st.markdown(f":small[:gray[{about_weights(result)}]]")


def _controls(result: ForwardPass, query: int) -> None:
    names = distinct(result.tokens.texts)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        panels.word_box("The word that is followed", names, "query", query)
        st.segmented_control(
            "How many blocks",
            range(1, 7),
            format_func=lambda count: plural(count, "block") if count == 1 else str(count),
            required=True,
            label_visibility="collapsed",
            **bound("n_layers"),
        )
        st.segmented_control(
            "Where the norms stand",
            [True, False],
            format_func={True: "Norm first", False: "Norm last"}.__getitem__,
            required=True,
            label_visibility="collapsed",
            **bound("norm_first"),
        )
        st.segmented_control(
            "Where the words may look",
            [False, True],
            format_func={False: "Looks both ways", True: "Only back"}.__getitem__,
            required=True,
            label_visibility="collapsed",
            **bound("causal"),
        )
        seed = result.scenario.seed
        st.button(
            "Draw again",
            key="draw_blocks",
            type="tertiary",
            on_click=change,
            kwargs={"seed": seed % 999_999 + 1},
        )


def line(result: ForwardPass, query: int) -> str:
    """The block's parts in their order, as a line of Markdown."""
    word = f":violet-badge[{explain.quoted(result, query)}]"
    if result.scenario.norm_first:
        attention, feed = "**+ attention**(norm)", "**+ feed-forward**(norm)"
        parts = (word, f":gray-badge[{attention}]", f":gray-badge[{feed}]")
    else:
        attention, feed = "**+ attention**", "**+ feed-forward**"
        parts = (word, f":gray-badge[{attention}]", "norm", f":gray-badge[{feed}]", "norm")
    count = n_blocks(result)
    if count > 1:
        parts = (*parts, f"the same again, {count} blocks in all")
    return " &nbsp;→&nbsp; ".join(parts)


def _parts_in_words(result: ForwardPass) -> str:
    D, heads = result.X.shape[1], n_heads(result)
    each = f"{plural(heads, 'head')}, {D // heads} wide" + (" each" if heads > 1 else "")
    norm = "a copy of each vector" if result.scenario.norm_first else "each vector"
    to = "0, as it has one number only" if D == 1 else f"one length, √{D} = {number(D**0.5)}"
    return (
        f"**Attention** brings in other words ({each}). **Feed-forward** works on each word alone "
        f"({D} → {4 * D} → {D} numbers). **+** adds what a part made to what came before it, the "
        f"*residual connection*. **Norm** brings {norm} to {to}."
    )


def _chart(key: str, title: str, figure: go.Figure, alt: str) -> None:
    with st.container(gap="xxsmall", key=key):
        st.markdown(title)
        st.plotly_chart(figure, key=f"{key}_chart", theme=None, config=figures.CONFIG, alt=alt)


def _vectors(result: ForwardPass, now: Way, query: int) -> None:
    """What each part adds, the vector after it, and one column's sum."""
    palette = stages.palette()
    limit = round_up(float(max(np.abs(now.rows).max(), np.abs(now.vectors).max())))
    column = int(np.abs(now.output).argmax())
    names = row_names(result, now, query)
    shown = (
        ("block_added", "**What each part adds**", now.rows, "adds"),
        ("block_after", "**The vector after it**", now.vectors, "after it"),
    )
    for place, (key, title, Z, _) in zip(st.columns(2, gap="small"), shown, strict=True):
        with place:
            largest = np.unravel_index(int(np.abs(Z).argmax()), Z.shape)
            _chart(
                key,
                f"{title} :small[{stages.legend('Q', limit)}]",
                steps_figure(Z, names, limit, column, palette),
                f"{title.strip('*')}: {len(Z)} rows of {Z.shape[1]} numbers; the largest, "
                f"{number(float(Z[largest]))}, in row {names[largest[0]]}.",
            )
    st.markdown(
        "Each row of the second chart is the sum of the rows of the first down to it. Framed "
        f"column, {column}, at the end: {sum_line(now, column)}"
    )
    st.markdown(_parts_in_words(result))


def _measures(result: ForwardPass, now: Way, query: int) -> None:
    """The lengths and directions of what is added and of the vector, and the shares."""
    palette, names = stages.palette(), row_names(result, now, query)
    q = explain.quoted(result, query)
    added, after = lengths(now.rows), lengths(now.vectors)
    along, direction = cosines(now.rows, now.x), cosines(now.vectors, now.x)
    first, second = st.columns(2, gap="small")
    with first:
        _chart(
            "block_lengths",
            "**Length** :small[:gray[■] what is added &ensp; ◆ the vector after it]",
            measures_figure(names, added, after, (0.0, 1.0), palette),
            f"Lengths of the vector, from {number(after[0])} to {number(after[-1])}.",
        )
    with second:
        _chart(
            "block_cosines",
            f"**Cosine** with {q} at the start",
            measures_figure(names, along, direction, (-1.0, 1.0), palette),
            f"Cosines with the word’s own vector, at the end {number(direction[-1])}.",
        )
    st.markdown(finding(result, now, query))


# ---- what is said


def question(result: ForwardPass) -> tuple[str, list[str], list[str], str]:
    """What would be left of a word if attention replaced its vector, in one block with the norm
    first, looking both ways: question, options, right answers and why.

    It is asked of the sentence's own word, so that the charts stay while others are chosen.
    """
    own = result.scenario.replace(query=None, key=None)
    query, _ = selection(own, result.tokens, result.attention.weights[0])
    now = way(run(result, count=1, norm_first=True, causal=False), query)
    alone, together = (float(cosines(v, now.x)) for v in (now.rows[1], now.vectors[1]))
    q = explain.quoted(result, query)
    asked = (
        f"One block of random numbers, looking both ways. If what attention makes **replaced** the "
        f"vector of {q}, how much of {q} would be left in it? (Cosine with it: 1 all, 0 nothing.)"
    )
    why = (
        f"Replaced, the cosine would be {number(alone)}; added, as a block does it, it is "
        f"{number(together)}. Random matrices turn a vector anywhere; only the sum still carries "
        "the word. Now change blocks and norms."
    )
    options = ["hardly anything", "about half", "almost all"]
    return asked, options, [options[min(int(abs(alone) * 4 + 1) // 2, 2)]], why


def finding(result: ForwardPass, now: Way, query: int) -> str:
    """What the charts show, in this word's numbers."""
    q, size = explain.quoted(result, query), lengths(now.vectors)
    count = plural(n_blocks(result), "block")
    if not size[-1]:
        return f"After {count} the vector of {q} is all zeros: there is nothing to compare."
    found = (
        f"{q} begins {number(size[0])} long; after {count} it is **{number(size[-1])}** long and "
        f"has a cosine of **{number(float(cosines(now.output, now.x)))}** with what it was. "
    )
    if result.scenario.norm_first:
        found += (
            "No norm stands on its way, only sums: mostly it grows, and what later blocks add "
            "weighs less. "
        )
    else:
        found += "Each norm on its way brings it back to one length, and turns it a little. "
    total = arithmetic.sum_of_products(
        np.array(list(now.shares.values())), np.ones(len(now.shares)), 1.0
    )
    named = {OWN: "own vector"}
    each = ", ".join(
        f"{named.get(kind, kind)} {term.product}"
        for kind, term in zip(now.shares, total.terms, strict=True)
    )
    return found + (
        f"Shares of it: {each}, together {total.exact}. :gray[Share: how long a part is along the "
        "result, out of the result’s length. Cosine: 1 same direction, 0 at right angles.]"
    )


def column_sum(now: Way, column: int) -> Sum:
    """One number of the output as the sum of what each kind of part added, as printed."""
    terms = np.array([vector[column] for vector in now.parts.values()])
    return arithmetic.sum_of_products(terms, np.ones(len(terms)), float(now.output[column]))


def sum_line(now: Way, column: int) -> str:
    """One number of the output, written as a sum: own −.31 + attention .52 + ... = .98."""
    total = column_sum(now, column)
    each = " + ".join(
        f"{kind} {_in_sum(term.product)}" for kind, term in zip(now.parts, total.terms, strict=True)
    )
    return f"{each} = **{total.exact}**"


def _in_sum(text: str) -> str:
    return f"({text})" if text.startswith("−") else text


def about_weights(result: ForwardPass) -> str:
    """Where the blocks' numbers come from."""
    count, asked = n_blocks(result), result.scenario.n_layers
    text = (
        f"Nothing here is trained: the blocks are drawn at random (seed {result.scenario.seed}). "
        "So what is added has no meaning; how it is added is as in every Transformer. The head of "
        "the other pages plays no part here."
    )
    if count < asked:
        text += f" For vectors of {result.X.shape[1]} numbers the page draws no more than {count}."
    return text


def about_replacing(result: ForwardPass) -> str:
    """Meet “attention replaces the word's vector” with this word's first block."""
    rest = (
        "What attention makes is added to the word’s vector; the *residual connection* keeps the "
        "vector itself."
    )
    if result.X.shape[1] > WIDEST:
        return rest
    query, _ = panels.chosen(result)
    trace = run(result, count=1)[0]
    x, attended, kept = (v[query] for v in (trace.X, trace.attended, trace.residual_1))
    with_it, without = (number(float(cosines(v, x))) for v in (kept, attended))
    length, adds = (number(float(lengths(v))) for v in (x, attended))
    return (
        f"{rest} In block 1 {explain.quoted(result, query)} comes in {length} long, attention adds "
        f"a vector {adds} long, and the sum has a cosine of **{with_it}** with what came in. What "
        f"attention made has by itself a cosine of **{without}** with it."
    )


def sizes(width: int) -> tuple[int, int, int]:
    """How many numbers one block has in the attention's matrices, in the feed-forward's, and in
    biases and norms."""
    inner = 4 * width
    return 4 * width * width, 2 * width * inner, inner + width + 4 * width


def about_size(result: ForwardPass) -> str:
    """Meet “most numbers are in the attention” by counting a block of this width."""
    D = result.X.shape[1]
    attention, feed, small = sizes(D)
    return (
        f"A block for your vectors has 4 × {D:,} × {D:,} = **{attention:,}** numbers in $W_q$, "
        f"$W_k$, $W_v$ and $W_o$, and 2 × {D:,} × {4 * D:,} = **{feed:,}** in the two matrices of "
        f"the feed-forward: twice as many. ({small:,} more are biases and norms.) So it is where "
        "the feed-forward is four times as wide as the vectors, as in BERT and GPT-2."
    )


def formula(norm_first: bool) -> str:
    """The block in LaTeX, in the order that is chosen."""
    if norm_first:
        return (
            r"\begin{gathered}h = x + \mathrm{Attention}(\mathrm{norm}(x))\\"
            r"y = h + \mathrm{FF}(\mathrm{norm}(h))\end{gathered}"
        )
    return (
        r"\begin{gathered}h = \mathrm{norm}(x + \mathrm{Attention}(x))\\"
        r"y = \mathrm{norm}(h + \mathrm{FF}(h))\end{gathered}"
    )


# ---- the way to BERT and GPT


def to_bert_and_gpt(result: ForwardPass) -> None:
    """Encoder and decoder: the same blocks, looking both ways or only back."""
    query, _ = panels.chosen(result)
    T, q = len(result.tokens), explain.quoted(result, query)
    st.markdown(
        "**From here to BERT and GPT.** The Transformer of 2017 had two stacks: an *encoder* read "
        "a sentence, a *decoder* wrote its translation. BERT kept the encoder, GPT the decoder. "
        + shortened(result, query)
    )
    left, right = st.columns(2, gap="small")
    with left, st.container(border=True, gap="xsmall", key="as_bert"):
        st.markdown(
            f"**BERT, an encoder, looks both ways.** {q} may look at {_all(T)}. Norm last. "
            "BERT-base has 12 blocks, 768 wide. It was trained to fill in hidden words, for which "
            "it may look at what follows."
        )
        _set_as("bert", "Set the blocks like this", causal=False, norm_first=False)
        lesson.see("bert", "Look into a real BERT →")
    with right, st.container(border=True, gap="xsmall", key="as_gpt"):
        st.markdown(
            f"**GPT, a decoder, looks only back** (causal mask). {q} may look at {_back(query)}. "
            "Norm first since GPT-2, which has 12 to 48 blocks, 768 to 1,600 wide. It was trained "
            "to say the next word, at every place at once: so no place may see what follows."
        )
        _set_as("gpt", "Set the blocks like this", causal=True, norm_first=True)
        lesson.see("gpt", "Watch a real GPT write →")


def _set_as(model: str, text: str, **fields) -> None:
    st.button(text, key=f"set_as_{model}", on_click=change, kwargs=fields)


def _all(T: int) -> str:
    return "its one word" if T == 1 else f"all {T} words"


def _back(query: int) -> str:
    return "itself alone" if query == 0 else f"{query + 1} words: those up to itself"


def shortened(result: ForwardPass, query: int) -> str:
    """What becomes of a word's vector when the words after it are cut off, looking both ways and
    only back."""
    after, q = len(result.tokens) - 1 - query, explain.quoted(result, query)
    if not after or result.X.shape[1] > WIDEST:
        return ""
    turned = {}
    for causal in (False, True):
        whole, cut = (
            run(result, causal=causal, first=first)[-1].output[query] for first in (None, query + 1)
        )
        turned[causal] = number(float(lengths(whole - cut))), number(float(cosines(whole, cut)))
    moved, cosine = turned[False]
    back = turned[True][0]
    return (
        f"Cut off the {plural(after, 'word')} after {q}: in your blocks, looking both ways, its "
        f"vector moves by a length of **{moved}** (cosine {cosine}); looking only back, "
        f"{'**not at all**' if back == '.00' else f'by {back}'}."
    )


# ---- figures: arrays in, Plotly figures out


@dataclass(frozen=True)
class StepAxis(figures.Axis):
    """Labels of the steps, longer than those of words."""

    def ticks(self) -> list[str]:
        return list(self.texts or ())


def row_names(result: ForwardPass, now: Way, query: int) -> list[str]:
    """The labels of the rows, for Plotly: the word, 1 attention, 1 feed-forward, ..."""
    word = in_plotly(label(result.tokens.texts[query]))
    return [word, *(f"{step.block} {step.part}" for step in now.steps)]


def height(rows: int) -> int:
    """Pixels for so many rows."""
    return round(min(max(figures.MAP_ROW * rows, 130), max(280, figures.ROW * rows))) + 2


LEFT = 82  # pixels for the longest label, "1 feed-forward"


def steps_figure(
    Z: np.ndarray, names: list[str], limit: float, column: int, palette: Palette
) -> go.Figure:
    """Draw one vector a step, (1 + S, D), a column framed."""
    figure = figures.heatmap(
        Z.astype(np.float32),
        palette,
        rows=StepAxis(tuple(names)),
        columns=figures.Axis(),
        limit=limit,
        outlines=(figures.Outline((0, len(Z) - 1), (column, column), palette.text),),
        hover="%{y}, column %{x}: %{z:.3f}",
        height=height(len(Z)),
    )
    figure.layout.margin.l = LEFT
    return figure


def measures_figure(
    names: list[str],
    added: np.ndarray,
    after: np.ndarray,
    least: tuple[float, float],
    palette: Palette,
) -> go.Figure:
    """Draw one number a step twice: bars for what is added, diamonds for the vector after it.

    least: what the axis spans at least.
    """
    rows = len(names)
    low = min(least[0], float(min(added.min(), after.min())))
    high = max(least[1], float(max(added.max(), after.max())))
    room = 0.18 * (high - low)
    places = np.arange(rows, dtype=np.float32)
    bar = go.Bar(
        x=added,
        y=places,
        orientation="h",
        marker={"color": [palette.query, *[palette.bar] * (rows - 1)]},
        hovertemplate="%{y}: adds %{x:.3f}<extra></extra>",
    )
    marks = go.Scatter(
        x=after,
        y=places,
        mode="markers+text",
        marker={"symbol": "diamond", "size": 8, "color": palette.text},
        text=[f" {number(value)} " for value in after.tolist()],
        textposition=[f"middle {'left' if value < 0 else 'right'}" for value in after.tolist()],
        textfont={"size": 10.5, "color": palette.text},
        cliponaxis=False,
        hovertemplate="%{y}, vector after it: %{x:.3f}<extra></extra>",
    )
    layout = {
        "template": figures.BLANK,
        "height": height(rows),
        "margin": {"l": LEFT, "r": 6, "t": 2, "b": 2},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": figures.FONT, "color": palette.muted, "size": 10.5},
        "hoverlabel": {"font": {"family": figures.FONT, "size": 12}},
        "showlegend": False,
        "dragmode": False,
        "bargap": 0.35,
        "xaxis": {
            "fixedrange": True,
            "showgrid": False,
            "showticklabels": False,
            "zeroline": True,
            "zerolinecolor": palette.border,
            "range": [low - (0.04 * room if low < 0 else 0), high + room],
        },
        "yaxis": {
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
            "range": [rows - 0.5, -0.5],
            "tickmode": "array",
            "tickvals": list(range(rows)),
            "ticktext": names,
            "ticks": "",
        },
    }
    return go.Figure(data=[bar, marks], layout=layout)
