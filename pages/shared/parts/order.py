"""The reader's sentence in its own order and shuffled, under each way to tell of order."""

from dataclasses import dataclass, replace

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from attention.dot_product import AttentionTrace, scaled_dot_product_attention
from attention.forward import ForwardPass
from attention.masks import causal_mask
from attention.multi_head import multi_head_attention
from attention.positions import alibi_bias, frequencies, rotary, sinusoidal_positions
from attention.projections import Projections
from attention.randomness import stable_rng
from attention.scenario import ENCODINGS, PRESETS
from pages.shared import explain, figures, lesson, panels, stages
from pages.shared.colours import Palette
from pages.shared.frame import bound, change
from pages.shared.parts.qkv import gap
from pages.shared.wording import distinct, in_markdown, number, plural, portion, round_up

HEADS = 8  # ALiBi gives each of so many heads a slope; this one takes the first, steepest
LATER = 10  # places later, when the whole sentence starts somewhere else
NAMES = {
    "none": "No positions",
    "sinusoidal": "Sinusoidal",
    "rotary": "Rotary",
    "alibi": "ALiBi",
}
WITH = {
    "none": "Without positions",
    "sinusoidal": "With sinusoidal positions",
    "rotary": "With rotary positions",
    "alibi": "With ALiBi",
}
DOES = {
    "none": "nothing",
    "sinusoidal": "adds waves to each word’s vector",
    "rotary": "turns queries and keys, further at each place",
    "alibi": "takes ½ off the scaled score for each step between two words",
}
WORD, PLACE, NEW = "each word keeps its weight", "each place keeps its weight", "all are new"
SAME = 1e-5  # weights no further apart than this are equal but for rounding


@dataclass(frozen=True, eq=False)
class Shuffled:
    """One sentence in its own order and shuffled, through one head, under one encoding.

    order (T,): which word stands at each place of the shuffled sentence.
    before, after: the traces, each in its own order of words.
    """

    encoding: str
    order: np.ndarray
    before: AttentionTrace
    after: AttentionTrace

    @property
    def weights_back(self) -> np.ndarray:
        """The shuffled sentence's weights, rows and columns put back in the sentence's order."""
        back = np.argsort(self.order)
        return self.after.weights[0][np.ix_(back, back)]

    @property
    def output_back(self) -> np.ndarray:
        """The shuffled sentence's outputs, put back in the sentence's order, (T, d_v)."""
        return self.after.output[0][np.argsort(self.order)]

    @property
    def change(self) -> np.ndarray:
        """How much each weight changed, (T, T), in the sentence's order."""
        return self.weights_back - self.before.weights[0]

    @property
    def largest_change(self) -> float:
        """The largest change of any weight."""
        return float(np.abs(self.change).max())

    @property
    def output_change(self) -> float:
        """The largest change of any output number."""
        return float(np.abs(self.output_back - self.before.output[0]).max())


def attend(
    X: np.ndarray,
    projections: Projections,
    encoding: str,
    *,
    start: int = 0,
    is_causal: bool = False,
    scale: float | None = None,
) -> AttentionTrace:
    """Let words X (T, D) attend to each other, told of their order by one encoding.

    "sinusoidal" adds positions to X, "rotary" turns queries and keys, "alibi" adds a bias to the
    scaled scores, "none" tells nothing. The first word stands at place `start`.
    """
    T, D = X.shape
    if encoding == "sinusoidal":
        X = X + sinusoidal_positions(T, D, offset=start)
    bias = None
    if encoding == "alibi":
        bias = alibi_bias(HEADS, T, causal=is_causal)[0]  # a complete mask where causal
        is_causal = False
    trace = multi_head_attention(X, projections, mask=bias, is_causal=is_causal, scale=scale)
    if encoding != "rotary":
        return trace
    Q, K = (turned(x, start + np.arange(T)) for x in (trace.Q, trace.K))
    return scaled_dot_product_attention(Q, K, trace.V, is_causal=is_causal, scale=scale)


def turned(x: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Turn pairs of features by `rotary`; of an odd number the last stays as it is."""
    pairs = x.shape[-1] // 2 * 2
    return np.concatenate([rotary(x[..., :pairs], places), x[..., pairs:]], axis=-1)


def shuffled_order(T: int, seed: int) -> np.ndarray:
    """Draw which word stands at each place, never all where they were, (T,)."""
    order = stable_rng("shuffle", seed, T).permutation(T)
    return np.roll(order, 1) if (order == np.arange(T)).all() else order


def run(result: ForwardPass, encoding: str, order=None, start: int = 0) -> AttentionTrace:
    """Carry the sentence through the head in a given order, in float64."""
    X = result.embeddings.astype(np.float64)
    p, scenario = result.projections, result.scenario
    exact = {name: getattr(p, name).astype(np.float64) for name in ("W_q", "W_k", "W_v")}
    return attend(
        X if order is None else X[order],
        replace(p, **exact),
        encoding,
        start=start,
        is_causal=scenario.causal,
        scale=None if scenario.scaling else 1.0,
    )


def shuffle(result: ForwardPass, encoding: str) -> Shuffled:
    """The sentence in its own order and in the scenario's shuffle."""
    order = shuffled_order(len(result.tokens), result.scenario.shuffle)
    return Shuffled(encoding, order, run(result, encoding), run(result, encoding, order))


# ---- the page


def laboratory(result: ForwardPass) -> bool:
    """The choice of encoding and shuffle, a prediction, and the maps that follow.

    Returns True where nothing is left to predict.
    """
    query, _ = panels.chosen(result)
    encoding = result.scenario.encoding
    _controls(result, query)
    now = shuffle(result, encoding)
    alone = len(result.tokens) == 1
    if alone:
        st.markdown("One word has only one order. Type a second word to shuffle.")
        seen = False
    else:
        bare = now if encoding == "none" else shuffle(result, "none")
        seen = lesson.predict("order", *question(result, bare, query))
    columns = st.columns(4, gap="small")
    with columns[0]:
        _encoding_map(result, encoding)
    with columns[1]:
        _map(result, now.before, "order_before", "**Weights** in your order", None, query)
    if not seen:
        return alone
    with columns[2]:
        _map(result, now.after, "order_after", "**Weights**, shuffled", now.order, query)
    with columns[3]:
        _change_map(result, now, query)
    st.markdown(finding(result, now, query))
    st.markdown(comparison(result))
    st.markdown(f":small[:gray[{_about_comparison(result)}]]")
    return True


def _controls(result: ForwardPass, query: int) -> None:
    names = distinct(result.tokens.texts)
    shuffle_now = result.scenario.shuffle
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.segmented_control(
            "How attention is told of order",
            list(ENCODINGS),
            format_func=NAMES.__getitem__,
            required=True,
            label_visibility="collapsed",
            **bound("encoding"),
        )
        st.button(
            "Shuffle again",
            key="shuffle_again",
            on_click=change,
            kwargs={"shuffle": shuffle_now % 999_999 + 1},
            disabled=len(names) == 1,
        )
        panels.word_box("Query: the word that looks", names, "query", query)
        if len(names) > 1:
            order = shuffled_order(len(names), shuffle_now)
            words = " ".join(in_markdown(result.tokens.texts[place]) for place in order)
            st.markdown(f":gray[Shuffled:] {words}")


def _chart(key: str, title: str, figure: go.Figure, alt: str) -> None:
    with st.container(gap="xxsmall", key=key):
        st.markdown(title)
        st.plotly_chart(figure, key=f"{key}_chart", theme=None, config=figures.CONFIG, alt=alt)


def _map(result, trace: AttentionTrace, key: str, title: str, order, query: int) -> None:
    figure = weights_figure(result, trace, order, query, stages.palette())
    row = query if order is None else int(np.flatnonzero(order == query)[0])
    texts = result.tokens.texts if order is None else [result.tokens.texts[i] for i in order]
    each = ", ".join(
        f"{text} {number(w)}" for text, w in zip(texts, trace.weights[0, row].tolist(), strict=True)
    )
    alt = f"Weights; the row of “{result.tokens.texts[query]}”: {each}"
    _chart(key, f"{title} :small[{stages.legend('weights', 1)}]", figure, alt)


def _change_map(result: ForwardPass, now: Shuffled, query: int) -> None:
    _chart(
        "order_change",
        f"**Change**, put back in order :small[{stages.legend('scores', 1)}]",
        change_figure(result, now, query, stages.palette()),
        "Shuffled weights less the original ones, word by word: at most "
        f"{gap(now.largest_change, 1)}",
    )


def _encoding_map(result: ForwardPass, encoding: str) -> None:
    """The encoding by itself."""
    if encoding == "none":
        with st.container(key="order_encoding", gap="xxsmall"):
            st.markdown("**No positions**")
            st.markdown(
                "Nothing tells where a word stands. The head gets the words’ vectors and no more: "
                "a bag of words. Choose an encoding above to see its map here."
            )
        return
    Z, limit = encoding_map(result, encoding)
    title, about = ABOUT[encoding]
    _chart(
        "order_encoding",
        f"{title} :small[{stages.legend('Q', limit)}]",
        encoding_figure(result, Z, encoding, limit, stages.palette()),
        f"{NAMES[encoding]}: {len(Z)} rows, {Z.shape[1]} columns, "
        f"from {number(float(Z.min()))} to {number(float(Z.max()))}",
    )
    st.markdown(f":small[:gray[{about}]]")


ABOUT = {
    "sinusoidal": (
        "**What is added**",
        "A row for each place: fast waves on the left, slow ones on the right.",
    ),
    "rotary": (
        "**Turns** of q and k",
        "A row for each place, a column for each pair of numbers in q and k, the fast ones on the "
        "left. 0: not turned, ±.5: half way round.",
    ),
    "alibi": (
        "**What is added to the scaled scores**",
        "The further apart two words, the less. In a model with eight heads the others take less "
        "off; this is the steepest.",
    ),
}


def encoding_map(result: ForwardPass, encoding: str) -> tuple[np.ndarray, float]:
    """An encoding's own numbers for this sentence's places, and the end of their colour scale.

    Sinusoidal: (T, D) what is added. Rotary: (T, pairs) how far each is turned, in whole turns from
    -½ to ½; one column of zeros where there is no pair. ALiBi: (T, T) what is added to the scaled
    scores.
    """
    T, D = result.embeddings.shape
    if encoding == "sinusoidal":
        return sinusoidal_positions(T, D), 1.0
    if encoding == "rotary":
        pairs = result.projections.d_k // 2
        turns = np.arange(T)[:, None] * frequencies(2 * pairs, 10000.0) / (2 * np.pi)
        return (turns - np.round(turns) if pairs else np.zeros((T, 1))), 0.5
    Z = alibi_bias(HEADS, T, causal=False)[0]
    return Z, round_up(float(np.abs(Z).max()))


# ---- what is said


def question(
    result: ForwardPass, bare: Shuffled, query: int
) -> tuple[str, tuple[str, str, str], tuple[str, ...], str]:
    """What becomes of a row without positions: the question, options, right answers and why."""
    before, after = bare.before.weights[0], bare.after.weights[0]
    place = int(np.flatnonzero(bare.order == query)[0])
    answers = []
    if np.abs(bare.change[query]).max() <= SAME:
        answers.append(WORD)
    if np.abs(after[place] - before[query]).max() <= SAME:
        answers.append(PLACE)
    q = explain.quoted(result, query)
    if WORD in answers and bare.largest_change > SAME:
        why = (
            f"{q} may still look at the same words. For others the causal mask has changed that: "
            "it knows the order."
        )
    elif WORD in answers:
        why = (
            f"{q} keeps its query and each word its own key, wherever it stands, so the scores and "
            "weights are the same. Rows and columns changed places, nothing else."
        )
    elif result.scenario.causal:
        why = (
            "The causal mask is on, and it knows the order: a word may look only at those before "
            f"it, and before {q} now stand others. Without it each word would keep its weight."
        )
    else:
        why = "These numbers are so large that rounding shows."
    asked = f"No positions: the words are shuffled. What becomes of the row of {q}?"
    return asked, (WORD, PLACE, NEW), tuple(answers) or (NEW,), why


def finding(result: ForwardPass, now: Shuffled, query: int) -> str:
    """What the maps show, in this sentence's numbers."""
    q, top = explain.quoted(result, query), int(now.before.weights[0, query].argmax())
    k = explain.quoted(result, top)
    old, new = (portion(w[query, top]) for w in (now.before.weights[0], now.weights_back))
    found = f"**{WITH[now.encoding]}** {q} gives {k} {old} in your order and {new} shuffled. "
    size = float(np.abs(now.before.output).max())
    outputs = gap(now.output_change, size)
    if now.largest_change <= SAME:
        return found + (
            f"Over the whole map no weight changes (largest change: {gap(now.largest_change, 1)}), "
            f"and so each word’s output is the same ({outputs}), wherever it stands."
        )
    return found + (
        f"Weights change by up to **{gap(now.largest_change, 1)}**, numbers of the output by up to "
        f"**{outputs}**: the same words, another sentence."
    )


def comparison(result: ForwardPass) -> str:
    """All encodings on this sentence, a Markdown table: what each does, and what it notices."""
    rows = [
        ["", "What it does", "Shuffled", f"Same order, {LATER} places later"],
        ["---"] * 4,
    ]
    for encoding in ENCODINGS:
        now = shuffle(result, encoding)
        later = run(result, encoding, start=LATER).weights[0] - now.before.weights[0]
        moved = gap(float(np.abs(later).max()), 1)
        rows.append([NAMES[encoding], DOES[encoding], gap(now.largest_change, 1), moved])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _about_comparison(result: ForwardPass) -> str:
    text = (
        "The last two columns: the largest change of any weight. Rotary and ALiBi notice only how "
        "far words are from each other, so a sentence that starts later looks the same to them; "
        "sinusoidal positions tell the place itself."
    )
    preset = result.scenario.preset
    if preset:
        trained = PRESETS[preset]["positions"]
        named = "without positions" if trained == "none" else f"with {trained} positions"
        text += f" This head was trained {named} and has met nothing else."
    if result.projections.d_k % 2:
        text += (
            f" Rotary needs pairs: of {plural(result.projections.d_k, 'number')} the last is not "
            "turned."
        )
    return text


def about_order(result: ForwardPass) -> str:
    """Meet “attention knows the word order” with this sentence's numbers."""
    T = len(result.tokens)
    if T == 1:
        return (
            "Without positions or a mask it cannot: shuffled words get the same outputs, only in "
            "another order. One word alone cannot show it."
        )
    bare = shuffle(result, "none")
    size = float(np.abs(bare.before.output).max())
    outputs = gap(bare.output_change, size)
    ends = (
        "To attention alone, “dog bites man” and “man bites dog” are the same three words. "
        "Order comes from positions, or from a causal mask, which lets a word look only at those "
        "before it."
    )
    if result.scenario.causal and bare.output_change > SAME * size:
        return (
            "Your causal mask is on, and the mask is what knows it: without positions the "
            f"outputs still change by up to {outputs}. Without the mask they would not. " + ends
        )
    return (
        f"Without positions, your {T} words shuffled give the same {T} outputs: the largest "
        f"change of any number is {outputs}. {ends}"
    )


# ---- figures: arrays in, Plotly figures out


def weights_figure(
    result: ForwardPass, trace: AttentionTrace, order, query: int, palette: Palette
) -> go.Figure:
    """Draw the weights of the sentence in an order (None: its own), the query's row outlined."""
    T = len(trace.weights[0])
    order = np.arange(T) if order is None else order
    row = int(np.flatnonzero(order == query)[0])
    return _square(
        result,
        trace.weights[0],
        order,
        row,
        palette,
        weights=True,
        masked=~causal_mask(T) if result.scenario.causal else None,
    )


def change_figure(result: ForwardPass, now: Shuffled, query: int, palette: Palette) -> go.Figure:
    """Draw how much each weight changed, in the sentence's own order."""
    rounded = np.where(np.abs(now.change) <= SAME, 0.0, now.change)
    return _square(result, rounded, np.arange(len(rounded)), query, palette, weights=False)


def _square(result, Z, order, row: int, palette: Palette, *, weights: bool, masked=None):
    T = len(Z)
    texts = tuple(result.tokens.texts[place] for place in order)
    unknown = tuple(bool(~result.known[place]) for place in order)
    columns = figures.Axis(texts, unknown)
    cells = None
    if T <= stages.NUMBERED_TOKENS:
        cells = figures.number_cells(Z, only_row=row, decimals=2)
    return figures.heatmap(
        Z,
        palette,
        rows=figures.Axis(texts, unknown, ((row, palette.query),)),
        columns=columns,
        limit=1.0,
        weights=weights,
        cells=cells,
        outlines=(figures.Outline((row, row), (0, T - 1), palette.query),),
        masked=masked,
        veil=1.0,
        hover="%{y} → %{x}: %{z:.3f}",
        height=figures.map_height(T) + figures.label_height(columns),
    )


def encoding_figure(
    result: ForwardPass, Z: np.ndarray, encoding: str, limit: float, palette: Palette
) -> go.Figure:
    """Draw an encoding's own numbers: a row for each word's place."""
    T = len(Z)
    tokens = figures.Axis(result.tokens.texts, tuple(~result.known))
    square = encoding == "alibi"
    return figures.heatmap(
        Z,
        palette,
        rows=tokens,
        columns=tokens if square else figures.Axis(),
        limit=limit,
        hover="%{y} → %{x}: %{z:.1f}" if square else "%{y}, column %{x}: %{z:.3f}",
        height=figures.map_height(T) + (figures.label_height(tokens) if square else 2),
    )
