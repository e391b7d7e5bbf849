"""The reader's sentence under a mask: set before the softmax, and wrongly after it."""

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from attention.dot_product import AttentionTrace
from attention.forward import ForwardPass, embed, position_vectors
from attention.functions import softmax
from attention.masks import causal_mask, padding_mask, sliding_window_mask
from attention.multi_head import multi_head_attention
from attention.scenario import OF_WORDS, Scenario, selection
from attention.text import Tokens
from pages.shared import explain, figures, lesson, stages
from pages.shared.colours import Palette
from pages.shared.controls import MAX_TOKENS
from pages.shared.frame import bound
from pages.shared.panels import word_box
from pages.shared.parts.qkv import gap
from pages.shared.wording import distinct, number, plural, portion, round_up

FILL = "[pad]"
CHOICES = {
    "none": "No mask",
    "causal": "Causal",
    "padding": "Padding",
    "window": "Sliding window",
}
LESS, ONE, MORE = "less than 1", "1", "more than 1"
SUMS_UP_TO = 24  # words up to which the sums are printed; beyond, their colour and hover tell
FAR_BELOW = -1e9  # what is often added to a score to mask it


@dataclass(frozen=True, eq=False)
class Masked:
    """One sentence through the head without a mask and with one; S words, filling included.

    allowed (S, S): True = may look. open, before: the traces without the mask and with it.
    """

    texts: tuple[str, ...]
    allowed: np.ndarray
    open: AttentionTrace
    before: AttentionTrace

    @property
    def after(self) -> np.ndarray:
        """The weights masked after the softmax, (S, S): wrong."""
        return masked_after(self.open.weights[0], self.allowed)

    @property
    def lost(self) -> np.ndarray:
        """What each row loses when it is masked after the softmax, (S,)."""
        return np.where(self.allowed, 0, self.open.weights[0].astype(np.float64)).sum(axis=1)

    @property
    def mended(self) -> np.ndarray:
        """`after`, each row divided by its sum; a row without any sum stays zeros, (S, S)."""
        sums = self.after.sum(axis=1, keepdims=True)
        return np.divide(self.after, sums, out=np.zeros_like(self.after), where=sums > 0)


def masked_after(weights: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Set finished weights to 0 where the mask forbids: rows no longer sum to 1."""
    return np.where(allowed, weights, 0)


def rule(scenario: Scenario, T: int, filling: int = 0) -> np.ndarray:
    """Return the mask that the scenario asks for, over T words and the filling behind, (S, S)."""
    S = T + filling
    if scenario.mask == "causal":
        return causal_mask(S)
    if scenario.mask == "window":
        return sliding_window_mask(S, left=scenario.window, right=scenario.window)
    if scenario.mask == "padding":
        return np.broadcast_to(padding_mask(T, S)[0], (S, S))
    return np.ones((S, S), bool)


def filling(result: ForwardPass) -> int:
    """How many fillings follow the sentence: as many as asked for, if there is room."""
    scenario = result.scenario
    room = MAX_TOKENS - len(result.tokens)
    return max(min(scenario.padding, room), 0) if scenario.mask == "padding" else 0


def filled(result: ForwardPass, front: int = 0, behind: int = 0) -> np.ndarray:
    """The sentence's vectors with filling around them: zeros, and their place, (S, D)."""
    X = np.pad(result.embeddings, ((front, behind), (0, 0)))
    positions = position_vectors(X.shape, result.scenario)
    return X if positions is None else X + positions


def attend(result: ForwardPass, X: np.ndarray, mask: np.ndarray | None = None) -> AttentionTrace:
    """Carry vectors X (S, D) through the reader's head under a mask."""
    scale = None if result.scenario.scaling else 1.0
    return multi_head_attention(X, result.projections, mask=mask, scale=scale)


def compare(result: ForwardPass) -> Masked:
    """The sentence without a mask, and with the one that the scenario asks for."""
    behind = filling(result)
    allowed = rule(result.scenario, len(result.tokens), behind)
    X = filled(result, behind=behind)
    texts = (*result.tokens.texts, *(FILL,) * behind)
    return Masked(texts, allowed, attend(result, X), attend(result, X, allowed))


def in_hand(result: ForwardPass) -> int:
    """The row in hand: that of every other page."""
    return selection(result.scenario, result.tokens, result.attention.weights[0])[0]


# ---- before and after the softmax


def laboratory(result: ForwardPass) -> None:
    """The choice of mask, a prediction, and the maps with their row sums."""
    query = in_hand(result)
    _controls(result, query)
    now = compare(result)
    st.markdown(_does(result))
    palette, limit = stages.palette(), round_up(float(np.abs(now.open.scaled).max()))
    columns = st.columns(3, gap="small")
    with columns[0]:
        _chart(
            f"**Scaled scores**, the masked ones closed :small[{stages.legend('scaled', limit)}]",
            "masks_scaled",
            scores_figure(result, now, query, limit, palette),
            f"Scaled scores; {_open_words(now, query)} open in the row of "
            f"“{result.tokens.texts[query]}”",
        )
    with columns[1]:
        _weights_map(result, now, now.before.weights[0], query, "before", palette)
    seen = lesson.predict("masks", *question(result, now, query))
    with columns[2]:
        if not seen:
            st.markdown(":gray[Masked after the softmax: shown here once you have predicted.]")
            return
        _weights_map(result, now, now.after, query, "after", palette)
    lesson.misconception(
        "Set the masked weights to 0 after the softmax: it comes to the same.",
        finding(result, now, query),
    )


def _controls(result: ForwardPass, query: int) -> None:
    names, scenario = distinct(result.tokens.texts), result.scenario
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.segmented_control(
            "Mask",
            list(CHOICES),
            format_func=CHOICES.__getitem__,
            required=True,
            label_visibility="collapsed",
            **bound("mask"),
        )
        word_box("Query: the word that looks", names, "query", query)
        if scenario.mask == "window" and len(names) > 1:
            most = len(names) - 1
            st.slider(
                "Words to either side",
                0,
                most,
                width=220,
                **bound("window", min(scenario.window, most)),
            )
        room = MAX_TOKENS - len(names)
        if scenario.mask == "padding" and room > 0:
            asked = filling(result)
            st.slider(
                f"{FILL} behind the sentence",
                0,
                min(room, max(12, asked)),
                width=220,
                **bound("padding", asked),
            )


def _does(result: ForwardPass) -> str:
    """What the chosen mask is for."""
    scenario = result.scenario
    text = {
        "none": "Every word may look at every word, before it and behind it, as in BERT.",
        "causal": (
            "A word may look at itself and at what stands before it, never ahead: as in GPT, which "
            "writes from left to right."
        ),
        "padding": (
            "Sentences that are computed together are filled up to one length. The filling means "
            "nothing, so no word may look at it; what its own rows hold is thrown away."
        ),
        "window": (
            "A word may look only so many words to either side. The work then grows with the "
            "length of a text, not with its square."
        ),
    }[scenario.mask]
    if scenario.mask == "padding" and len(result.tokens) == MAX_TOKENS:
        text += f" Your sentence takes all {MAX_TOKENS} places: there is no room for filling."
    if scenario.causal:
        text += " (The playground’s own causal mask is left aside on this page.)"
    return text


def question(
    result: ForwardPass, now: Masked, query: int
) -> tuple[str, tuple[str, str, str], tuple[str, ...], str]:
    """What a row sums to when the mask comes too late: question, options, answers and why."""
    q, lost = explain.quoted(result, query), float(now.lost[query])
    kept = number(1 - lost)
    if not now.allowed[query].all() and lost > 0:
        answers = (LESS, ONE) if kept == "1.00" else (LESS,)
        kept = "a little less than 1, rounded 1.00" if kept == "1.00" else kept
        why = (
            f"It adds up to {kept}: {small(lost)} lay on words that are masked, and is gone. The "
            "softmax had shared out the whole 1 among all words, the masked ones too."
        )
    elif now.allowed[query].all():
        answers = (ONE,)
        why = f"This mask hides nothing from {q}, so nothing of its row can be lost."
    else:
        answers = (ONE,)
        why = f"{q} gave nothing at all to the words that are masked."
    asked = (
        f"Suppose the mask came after the softmax: masked weights are set to 0 then. What does the "
        f"row of {q} add up to?"
    )
    return asked, (LESS, ONE, MORE), answers, why


def finding(result: ForwardPass, now: Masked, query: int) -> str:
    """Before and after in this sentence's numbers."""
    q = explain.quoted(result, query)
    before, after = now.before.weights[0], now.after
    top = int(before[query].argmax())
    word = quoted(result, now, top)
    sums = after.sum(axis=1)
    least = int(sums.argmin())
    text = (
        f"Masked before, {q} gives {word} {portion(before[query, top])} and its row adds up to "
        f"{number(before[query].sum())}; masked after, {number(after[query, top])} and "
        f"{number(sums[query])}. "
    )
    if now.lost.max() == 0:
        return text + "This mask takes nothing away here: choose another to see a difference."
    apart = gap(float(np.abs(now.mended - before)[sums > 0].max(initial=0)), 1)
    if least != query:
        text += f"The least is left to {quoted(result, now, least)}: {number(sums[least])}. "
    return text + (
        "The output loses what is gone, and still depends on words that should not have been "
        "seen: they took their part of the sum that every weight is divided by. To divide each row "
        f"again, by what is left, would mend it (largest difference: {apart}); masking before the "
        "softmax does just that."
    )


def small(value: float) -> str:
    """Write a share that may be very small."""
    return number(value) if value >= 0.005 else "less than .01"


def quoted(result: ForwardPass, now: Masked, place: int) -> str:
    """Write a word of the filled sentence for Markdown."""
    if place < len(result.tokens):
        return explain.quoted(result, place)
    return "a filling"


def _open_words(now: Masked, query: int) -> str:
    return plural(int(now.allowed[query].sum()), "word")


def _weights_map(result, now: Masked, W: np.ndarray, query: int, when: str, palette) -> None:
    title = {"before": "masked **before** the softmax", "after": "masked **after** it: wrong"}
    _chart(
        f"**Weights** {title[when]} :small[{stages.legend('weights', 1)}]",
        f"masks_{when}",
        weights_figure(result, now, W, query, palette),
        f"Weights {title[when].replace('*', '')}; the row of “{result.tokens.texts[query]}” adds "
        f"up to {number(float(W[query].sum()))}",
    )


# ---- a row with nothing left


@dataclass(frozen=True, eq=False)
class EmptyRow:
    """A filling before the sentence under a causal mask: it may look at nothing, itself included.

    Each is one way to compute its weights (S,), the filling first.
    """

    minus_infinity: np.ndarray
    far_below: np.ndarray
    zeros: np.ndarray


def empty_row(result: ForwardPass) -> EmptyRow:
    """Compute a row that may look at nothing, in three ways."""
    X = filled(result, front=1)
    allowed = causal_mask(len(X))
    allowed[:, 0] = False
    trace = attend(result, X, allowed)
    scaled = trace.scaled[0, 0]
    below = scaled + scaled.dtype.type(FAR_BELOW)
    return EmptyRow(
        plain_softmax(np.where(allowed[0], scaled, -np.inf)), softmax(below), trace.weights[0, 0]
    )


def plain_softmax(row: np.ndarray) -> np.ndarray:
    """Softmax as its formula stands, without a care for a row of −∞."""
    with np.errstate(invalid="ignore"):
        powers = np.exp(row - row.max())
        return powers / powers.sum()


def nothing_left(result: ForwardPass) -> None:
    """What becomes of a row that may look at nothing."""
    rows = empty_row(result)
    st.markdown(
        f"**A row with nothing left.** Put one {FILL} *before* your sentence, as programs do when "
        "they write several texts at once, and use both masks: causal, and none may look at "
        "filling. "
        f"The row of {FILL} may look neither ahead nor at itself. What are its weights?"
    )
    st.markdown(empty_table(result, rows))
    st.markdown(f":small[:gray[{_about_empty(rows)}]]")


def empty_table(result: ForwardPass, rows: EmptyRow) -> str:
    """The three ways as a Markdown table."""
    last = last_word(result)
    table = [
        [
            "What the code does",
            f"weight on {FILL}",
            f"weight on {explain.quoted(result, last)}",
            "row sum",
        ],
        ["---"] * 4,
    ]
    ways = (
        ("−∞ for every score, then the formula as it stands", rows.minus_infinity),
        ("adds −1,000,000,000 to every score instead", rows.far_below),
        ("here: a row without any score gets zeros", rows.zeros),
    )
    for name, row in ways:
        cells = (row[0], row[last + 1], row.sum())
        table.append([name, *map(written, cells)])
    return "\n".join(f"| {' | '.join(row)} |" for row in table)


def written(value: float) -> str:
    """Write a number that may be none, or exactly 0."""
    if np.isnan(value):
        return "NaN"
    return "0" if value == 0 else number(float(value))


def last_word(result: ForwardPass) -> int:
    """The last token that is a word, not a sign; of signs alone, the last."""
    words = result.tokens.words
    places = (place for place in range(len(words) - 1, -1, -1) if words[place].isalnum())
    return next(places, len(words) - 1)


def _about_empty(rows: EmptyRow) -> str:
    T = len(rows.zeros) - 1
    shared = (
        "so all scores became the same and"
        if np.ptp(rows.far_below) < 1e-6
        else "which blurs the scores; all the same"
    )
    return (
        "NaN, “not a number”, is 0 ÷ 0 here; whatever it meets becomes NaN too, layer by layer. "
        f"Numbers of 32 bits near −10⁹ are {np.spacing(np.float32(-FAR_BELOW)):.0f} apart, "
        f"{shared} the weights went to what was masked: the filling, and "
        f"{plural(T, 'word')} not written yet. Zeros hand on nothing."
    )


# ---- all predictions in one pass


@dataclass(frozen=True, eq=False)
class Moved:
    """How far each output (T,) moves when the word at `place` becomes another, with the causal
    mask and without: the length of the difference."""

    place: int
    word: str | None  # what it becomes; None: a vector of another word of the sentence
    causal: np.ndarray
    open: np.ndarray


def moved(result: ForwardPass, place: int) -> Moved:
    """Change one word and measure every output."""
    word, vector = another(result, place)
    X = np.array(result.embeddings)
    X[place] = vector
    if result.positions is not None:
        X += result.positions
    causal = causal_mask(len(X))
    distances = [
        np.linalg.norm(
            attend(result, X, mask).output[0].astype(np.float64)
            - attend(result, result.X, mask).output[0],
            axis=1,
        )
        for mask in (causal, None)
    ]
    return Moved(place, word, *distances)


def another(result: ForwardPass, place: int) -> tuple[str | None, np.ndarray]:
    """Another word for a place, and its vector (D,): “dog”, or “cat” where “dog” stands.

    One-hot and uploaded vectors know no other word; there the vector is turned round.
    """
    if result.scenario.embedding not in (*OF_WORDS, "random"):
        return None, -result.embeddings[place]
    word = "cat" if result.tokens.words[place] == "dog" else "dog"
    return word, embed(Tokens((word,), (word,)), result.scenario).X[0]


def changed_place(result: ForwardPass) -> int:
    """The word to change: the selected key, else the last word of the first half."""
    T, key = len(result.tokens), result.scenario.key
    if key is not None and 0 <= key < T:
        return key
    words = (p for p in range(T // 2, -1, -1) if result.tokens.words[p].isalnum())
    return next(words, T // 2)


def one_by_one(result: ForwardPass) -> float:
    """The largest difference between one causal pass over all T words and T passes over the first
    1, 2, ... words, of each of which the last output counts."""
    T = len(result.tokens)
    whole = attend(result, result.X, causal_mask(T)).output[0]
    last = [attend(result, result.X[: t + 1]).output[0, -1] for t in range(T)]
    return float(np.abs(whole - last).max())


def in_parallel(result: ForwardPass) -> None:
    """Why the causal mask makes training parallel: change a word and see which rows move."""
    T, place = len(result.tokens), changed_place(result)
    st.markdown(
        "**Why the causal mask makes training parallel.** A model learns to write by guessing each "
        f"next word. No row knows what comes after it, so one pass over your {plural(T, 'word')} "
        f"makes {T} {'guess' if T == 1 else 'guesses'} at once. Each word but the first is the "
        "right answer for the row before it."
    )
    if T == 1:
        st.markdown("One word has no other to depend on. Type a second word to see.")
        return
    names = distinct(result.tokens.texts)
    now = moved(result, place)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("See for yourself: change", width="content")
        word_box("The word that is changed", names, "key", place)
        to = f"to “{now.word}”" if now.word else "by turning its vector round"
        st.markdown(
            f"{to}. How far does each output move? Bars: with the causal mask. Lines: without.",
            width="content",
        )
    with st.container(key="masks_moved"):
        st.plotly_chart(
            moved_figure(result, now, stages.palette()),
            key="masks_moved_chart",
            theme=None,
            config=figures.CONFIG,
            alt=f"How far each output moves when “{names[place]}” changes: nothing before it with "
            f"the causal mask, up to {number(float(now.open.max()))} without",
        )
    st.markdown(about_moving(result, now))


def about_moving(result: ForwardPass, now: Moved) -> str:
    """What moved, and that one pass is as good as many."""
    T, word = len(result.tokens), explain.quoted(result, now.place)
    size = float(np.abs(result.attention.output).max())
    still = float(now.causal[: now.place].max(initial=0))
    first = int(now.open[: now.place].argmax()) if now.place else 0
    if now.place:
        before = (
            f"With the causal mask the {plural(now.place, 'output')} before {word} moved by "
            f"**{gap(still, size)}**. Without it, they move by up to "
            f"{number(float(now.open[first]))} ({explain.quoted(result, first)}): each would be "
            "moved by a word that it must not see yet. "
        )
    else:
        before = f"{word} is the first word: no row comes before it. Choose a later one. "
    apart = gap(one_by_one(result), size)
    return before + (
        f"One pass over {T} words and {T} passes over the first 1, 2, … words give the same "
        f"outputs (largest difference: {apart}). Writing is another matter: there the next word "
        "does not exist yet, and the model goes word by word."
    )


def about_deleting(result: ForwardPass) -> str:
    """Meet “a masked word is deleted”, with the sentence's last word under a causal mask."""
    T, place = len(result.tokens), last_word(result)
    closes = "It closes scores, each for one query; the word keeps its place, its vector and its "
    if place == 0:
        return f"{closes}own row."
    row = attend(result, result.X, causal_mask(T)).weights[0, place]
    top, last = int(row.argmax()), explain.quoted(result, place)
    where = "itself" if top == place else explain.quoted(result, top)
    return (
        f"{closes}own row. Under a causal mask {last} is hidden from {place} of {T} words, and in "
        f"its own row it gives {where} {portion(float(row[top]))}. The scores left open stay as "
        "they are, and so does the ratio of any two weights left in a row."
    )


# ---- figures: arrays in, Plotly figures out


def scores_figure(
    result: ForwardPass, now: Masked, query: int, limit: float, palette: Palette
) -> go.Figure:
    """Draw the scaled scores (S, S), the masked ones veiled; −∞ in the row in hand."""
    Z = now.open.scaled[0]
    cells = None
    if len(Z) <= stages.NUMBERED_TOKENS:
        cells = figures.number_cells(Z, only_row=query)
        cells[query] = [
            text if open_ else "−∞"
            for text, open_ in zip(cells[query], now.allowed[query], strict=True)
        ]
    rows, columns = _axes(result, now, query, palette)
    return figures.heatmap(
        Z,
        palette,
        rows=rows,
        columns=columns,
        limit=limit,
        cells=cells,
        outlines=[figures.Outline((query, query), (0, len(Z) - 1), palette.query)],
        masked=~now.allowed,
        veil=0.75,
        hover="%{y} → %{x}: %{z:.2f}",
        height=figures.map_height(len(Z)) + figures.label_height(columns),
    )


def weights_figure(
    result: ForwardPass, now: Masked, W: np.ndarray, query: int, palette: Palette
) -> go.Figure:
    """Draw weights (S, S), a gap, and a column with the sum of each row."""
    S = len(W)
    sums = W.sum(axis=1, keepdims=True)
    Z = np.concatenate([W, np.full_like(sums, np.nan), sums], axis=1)  # (S, S + 2)
    cells = None
    if S <= SUMS_UP_TO:
        cells = [[""] * (S + 1) + [number(total)] for total in sums[:, 0].tolist()]
        if S <= stages.NUMBERED_TOKENS:
            cells[query][:S] = figures.number_cells(W, only_row=query, decimals=2)[query]
    rows, columns = _axes(result, now, query, palette)
    columns = figures.Axis((*columns.texts, "", "sum"), columns.unknown + (False, False))
    return figures.heatmap(
        Z,
        palette,
        rows=rows,
        columns=columns,
        limit=1.0,
        weights=True,
        cells=cells,
        outlines=[figures.Outline((query, query), (0, S - 1), palette.query)],
        masked=np.concatenate([~now.allowed, np.zeros((S, 2), bool)], axis=1),
        veil=1.0,
        hover="%{y} → %{x}: %{z:.3f}",
        height=figures.map_height(S) + figures.label_height(columns),
    )


def _axes(result: ForwardPass, now: Masked, query: int, palette: Palette):
    unknown = (*~result.known, *(False,) * (len(now.texts) - len(result.known)))
    rows = figures.Axis(now.texts, unknown, ((query, palette.query),))
    return rows, figures.Axis(now.texts, unknown)


def moved_figure(result: ForwardPass, now: Moved, palette: Palette) -> go.Figure:
    """Draw how far each output moves: bars with the causal mask, lines without."""
    texts = result.tokens.texts
    return figures.bars(
        now.causal,
        palette,
        texts=texts,
        chosen=now.place,
        height=110 if len(texts) <= 14 else 134,
        reference=now.open,
    )


def _chart(title: str, key: str, figure: go.Figure, alt: str) -> None:
    with st.container(gap="xxsmall", key=key):
        st.markdown(title)
        st.plotly_chart(figure, key=f"{key}_chart", theme=None, config=figures.CONFIG, alt=alt)
