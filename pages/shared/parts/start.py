"""The story of the first lesson: eight steps from words to the context-aware vector of one word."""

from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from attention.forward import ForwardPass
from attention.recurrent import influence, recurrent, recurrent_weights, share
from attention.scenario import selection
from attention.text import DEFAULT_SENTENCE
from pages.shared import arithmetic, explain, figures, lesson, stages
from pages.shared.arithmetic import Sum, stage_array
from pages.shared.colours import Palette
from pages.shared.frame import bound, change
from pages.shared.panels import word_box
from pages.shared.wording import distinct, in_markdown, number, plural, portion, round_up

STEPS = ("Words", "Vectors", "Positions", "Query, key", "Score", "Scaled", "Weights", "Output")
NAMES = (
    "the words",
    "each word as a vector",
    "where each word stands",
    "query and key",
    "one score",
    "all scores, scaled",
    "softmax makes weights",
    "the weighted sum",
)
ARTICLES = ("the", "a", "an")
FEW = 12  # words that a guess offers; of a longer sentence only some
LEARNED_VECTORS = (
    "They were learned from much text (GloVe), so that words which are used alike have similar "
    "numbers"
)
VECTORS = {
    "tuned": LEARNED_VECTORS + ", and then moved a little by training on sentences with pronouns.",
    "words": LEARNED_VECTORS + ".",
    "random": "Here they are random, so they know nothing about any word.",
    "one-hot": "Here that is a single 1, in a column that belongs to this word alone.",
    "uploaded": "Here they are the ones you uploaded.",
}
MATRICES = {
    "random": "Here they are random, so what a word looks for has no meaning yet.",
    "identity": "Here they leave the vector as it is, so every word looks for words like itself.",
    "uploaded": "Here they are the ones you uploaded.",
}
LEARNED = "Training chose them on example sentences; nobody wrote them by hand."


class Pair(NamedTuple):
    """The word that is followed and the one it is compared with, by their places."""

    query: int
    key: int


def pair(result: ForwardPass) -> Pair:
    """The selected query and key; where no key is selected, the one with the largest weight."""
    query, key = selection(result.scenario, result.tokens, result.attention.weights[0])
    return Pair(query, int(np.argmax(result.attention.weights[0, query])) if key is None else key)


def story(result: ForwardPass) -> None:
    """One step at a time, with the way back and forth."""
    step = result.scenario.step
    _navigation(step)
    _SHOW[step - 1](result, pair(result))


def _navigation(step: int) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="steps"):
        for label, key, to in (
            ("← Back", "step_back", step - 1),
            ("Next →", "step_next", step + 1),
        ):
            st.button(
                label,
                key=key,
                type="primary" if to > step else "secondary",
                disabled=not 1 <= to <= len(STEPS),
                on_click=change,
                kwargs={"step": to},
            )
        st.segmented_control(
            "Step",
            range(1, len(STEPS) + 1),
            format_func=lambda place: f"{place} {STEPS[place - 1]}",
            required=True,
            label_visibility="collapsed",
            **bound("step"),
        )


# ---- the eight steps: words on the left, what they speak of on the right


def _words(result: ForwardPass, at: Pair) -> None:
    left, right = _halves(1)
    names = distinct(result.tokens.texts)
    with left:
        st.markdown(
            f"Your sentence is cut into {plural(len(names), 'piece')}, words and signs, called "
            f"{lesson.term('tokens')}. We follow **{explain.quoted(result, at.query)}**. "
            + (
                "Alone that word says little; what it means here must come from the other words."
                if len(names) > 1
                else "There is no other word yet that it could look at: type some more."
            )
        )
        word_box("Follow another word", names, "query", at.query, width=200, labelled=True)
    before = ", ".join(map(lesson.term, ("RNN", "LSTM", "GRU")))
    with right, st.container(gap="small"):
        st.markdown(chips(result, at.query))
        if len(guesses(result, at.query)) > 1:
            question = _question(result, at.query)
            lesson.guess("largest", *question, "Step 7 shows whether you are right.")
        st.markdown(
            f"Networks before attention ({before}) read from left to right and carry one "
            "state along. What they read early does not vanish, but it *fades* on the way. "
            "Attention lets each word look at any other directly."
        )
        lesson.see("memory", "How far back they remember →")


def _vectors(result: ForwardPass, at: Pair) -> None:
    left, right = _halves(2)
    x = result.embeddings
    with left:
        st.markdown(
            f"A network computes with numbers. So each word becomes a *vector*, a row of "
            f"{plural(x.shape[1], 'number')}, the same wherever the word stands. "
            + VECTORS[result.scenario.embedding]
        )
        if not result.known.all():
            st.markdown(":gray[\\* This word is not in the list: a random vector stands in.]")
        st.markdown(f"{explain.quoted(result, at.query)} is {row_text(x[at.query])}")
    with right:
        limit = _limit(x)
        figure = vectors_figure(x, result, at.query, limit, stages.palette())
        _chart(f"**Word vectors** {_legend(limit)}", "words", figure, _alt(result, x, "Vectors"))


def _positions(result: ForwardPass, at: Pair) -> None:
    left, right = _halves(3)
    parts = position_parts(result)
    with left:
        if result.positions is None:
            st.markdown(
                "Attention by itself does not see order: to it a sentence is a bag of words. "
                "Usually each place gets a pattern of its own, which is added to the vector. "
                "Your settings add none, so the vectors stay as they were."
            )
        else:
            st.markdown(
                "Attention by itself does not see order: to it a sentence is a bag of words. So "
                "each place has a pattern of its own, made of waves, which is added to the vector. "
                "Now the same word at two places has two vectors."
            )
            total = arithmetic.vector_cell(result, "embeddings", at.query, 0)
            names = {
                "word": "the word",
                "training": "the training of its vector",
                "position": f"place {at.query + 1}",
            }
            kinds = arithmetic.embedding_parts(result, at.query, 0)
            parts_of_sum = " + ".join(
                f"{term.product} from {names[kind]}"
                for kind, term in zip(kinds, total.terms, strict=True)
            )
            st.markdown(
                f"{explain.quoted(result, at.query)}, first column: {parts_of_sum} = "
                f"**{total.exact}**"
            )
    with right:
        limit = _limit(*parts.values())
        for column, (name, Z) in zip(st.columns(len(parts)), parts.items(), strict=True):
            figure = vectors_figure(Z, result, at.query, limit, stages.palette())
            with column:
                key = name.split()[-1].lower()
                _chart(f"**{name}** {_legend(limit)}", key, figure, _alt(result, Z, name))


def _query_and_key(result: ForwardPass, at: Pair) -> None:
    left, right = _halves(4)
    word = explain.quoted(result, at.query)
    q = arithmetic.vector_cell(result, "Q", at.query, 0)
    k = arithmetic.vector_cell(result, "K", at.query, 0)
    with left:
        st.markdown(
            "Two *weight matrices*, $W_q$ and $W_k$, make two new vectors of each word: its "
            ":violet[**query**], what it looks for, and its :green[**key**], what it can be found "
            f"by. {_about_matrices(result)}"
        )
        st.markdown(
            f"First number of {word}: its vector times the first column of $W_q$ is "
            f":violet[{q.result}], times that of $W_k$ :green[{k.result}]."
        )
    with right:
        limit = _limit(stage_array(result, "Q"), stage_array(result, "K"))
        colours = stages.palette()
        kinds = (
            ("Q", ":violet[**Queries** $Q = X\\,W_q$]", at.query, colours.query),
            ("K", ":green[**Keys** $K = X\\,W_k$]", at.key, colours.key),
        )
        for column, (stage, title, marked, hue) in zip(st.columns(2), kinds, strict=True):
            figure = vectors_figure(stage_array(result, stage), result, marked, limit, colours, hue)
            with column:
                _chart(f"{title} {_legend(limit)}", stage, figure, explain.alt(result, stage))


def _score(result: ForwardPass, at: Pair) -> None:
    left, right = _halves(5)
    names = distinct(result.tokens.texts)
    q, k = explain.quoted(result, at.query), explain.quoted(result, at.key)
    total = arithmetic.score(result, at.query, at.key)
    with left:
        st.markdown(
            f"Does what :violet[{q}] looks for fit what :green[{k}] offers? Multiply query and key "
            "number by number and add up. This *dot product* is the **score**: large where the "
            "two point the same way."
        )
        word_box("Compare with another word", names, "key", at.key, width=200, labelled=True)
    with right:
        colours = stages.palette()
        limit = _limit(stage_array(result, "Q"), stage_array(result, "K"))
        both, products = score_figures(result, at, limit, colours)
        _chart(
            f":violet[**Query**] {q} and :green[**key**] {k} {_legend(limit)}",
            "both",
            both,
            f"Query and key, {plural(len(total.terms), 'number')} each.",
        )
        end = products.data[0].zmax
        _chart(
            f"**Their products** {_legend(end)}",
            "products",
            products,
            f"The products of query and key; they add up to {total.result}.",
        )
        st.markdown(f"**Score: :violet[q {q}] · :green[k {k}] = {total.result}**")
        st.markdown(sum_lines(total, "violet", "green"))


def _scaled(result: ForwardPass, at: Pair) -> None:
    left, right = _halves(6)
    d_k = result.attention.K.shape[-1]
    word, line = explain.quoted(result, at.query), arithmetic.scaling(result, at.query, at.key)
    with left:
        if result.scenario.scaling:
            st.markdown(
                f"{word} has a score with every word. Each is divided by $\\sqrt{{{d_k}}}$, the "
                f"root of the vectors’ width: a sum of {d_k} products spreads about "
                f"$\\sqrt{{{d_k}}}$ times as widely as one, and scores too far apart would leave "
                "one word everything. Which is larger than which stays as it was."
            )
            st.markdown(
                f"{explain.quoted(result, at.key)}: {line.dividend} ÷ {line.divisor} = "
                f"**{line.result}**"
            )
        else:
            st.markdown(
                f"{word} has a score with every word. Usually each is divided by "
                f"$\\sqrt{{{d_k}}}$, so that they do not spread too far. Your settings leave that "
                "out: the scores stay as they are."
            )
        if result.attention.mask is not None:
            st.markdown(":gray[Grey: words that come later, which the mask hides.]")
    with right:
        limit = stages.limits(result)["scores"]
        _chart(
            f"**Scores of** :violet[{word}], before and after {_legend(limit)}",
            "scaled",
            scaled_figure(result, at, limit, stages.palette()),
            row_alt(result, at.query),
        )


def _weights(result: ForwardPass, at: Pair) -> None:
    left, right = _halves(7)
    word, row = explain.quoted(result, at.query), result.attention.weights[0, at.query]
    with left:
        st.markdown(
            f"*Softmax* shares out the attention of {word}: $e$ to the power of each scaled score, "
            "divided by the sum of all of them. What comes out are the **weights**, none negative, "
            "together 1."
        )
    with right:
        asked = len(guesses(result, at.query)) > 1
        if asked and not lesson.predict(
            "largest", *_question(result, at.query), _largest(result, at.query), "The bars show it."
        ):
            return
        _chart(
            f"**Weights of** :violet[{word}], together {number(float(row.sum()), 3)}",
            "weights",
            figures.bars(
                row,
                stages.palette(),
                texts=result.tokens.texts,
                chosen=at.key,
                height=200,
            ),
            explain.row_alt(result, at.query),
        )
        opened = arithmetic.weight(result, at.query, at.key)
        if opened is None:
            st.markdown(f"{explain.quoted(result, at.key)} is hidden by the mask: weight 0.")
        else:
            st.markdown(
                f"{explain.quoted(result, at.key)}: $e^{{{_exponent(opened.exponent)}}}$ ÷ "
                f"sum of powers = {opened.power} ÷ {opened.total} = **{opened.result}**"
            )
            st.markdown(
                f":small[:gray[The exponent is {opened.scaled} − {opened.largest}: taking off the "
                "row’s largest first changes no weight.]]"
            )
        st.markdown(f":gray[{honest(result)}]")


def _output(result: ForwardPass, at: Pair) -> None:
    left, right = _halves(8)
    word, weights = explain.quoted(result, at.query), result.attention.weights[0, at.query]
    V, outputs = stage_array(result, "V"), stage_array(result, "output")
    output = outputs[at.query]
    column = int(np.argmax(np.abs(output)))
    total = arithmetic.output(result, at.query, column)
    with left:
        st.markdown(
            "A third matrix, $W_v$, makes each word’s :orange[**value**]: what it hands over. "
            f"{word} takes each value times its weight, {shares(result, at.query)}, and adds up. "
            "The sum is its new vector, the **output**."
        )
        others = float(weights.sum() - weights[at.query])
        meaning = "it now carries its context" if others >= 0.5 else "it stays mostly itself"
        st.markdown(f"**{portion(others)}** of it comes from other words: {meaning}.")
    with right:
        limit, colours = _limit(V, outputs), stages.palette()
        first, second = st.columns(2)
        with first:
            _chart(
                f":orange[**Values** $V = X\\,W_v$] {_legend(limit)}",
                "V",
                vectors_figure(V, result, at.key, limit, colours, colours.value),
                explain.alt(result, "V"),
            )
        with second:
            _chart(
                f"**Weight ×** :orange[**value**], and the sum {_legend(limit)}",
                "output",
                output_figure(result, at, limit, colours, column),
                f"Each value times its weight; the last row is their sum, the output. Largest: "
                f"{number(output[column])} in column {column}.",
            )
        st.markdown(f"The framed column, {column}, adds up to **{total.result}**:")
        st.markdown(sum_lines(total, None, "orange", result))
        st.markdown(
            "Every word does the same at the same time, with the same three matrices. That is "
            "self-attention."
        )
        lesson.see("playground", "See all words at once →")


_SHOW = (_words, _vectors, _positions, _query_and_key, _score, _scaled, _weights, _output)


# ---- what the steps say


def chips(result: ForwardPass, query: int) -> str:
    """The tokens as numbered chips in Markdown, the followed one in the colour of queries."""
    parts = []
    for place, (text, known) in enumerate(zip(result.tokens.texts, result.known, strict=True)):
        hue = "violet" if place == query else "gray"
        star = "" if known else "\\*"
        parts.append(f":{hue}-badge[{place + 1} {in_markdown(text)}{star}]")
    return " ".join(parts)


def guesses(result: ForwardPass, query: int) -> list[int]:
    """The places that a guess offers: all that the query may look at, or some of a long sentence,
    among them those with the three largest weights."""
    row = result.attention.weights[0, query]
    open_to = [key for key in range(len(row)) if explain.may_look(result, query, key)]
    if len(open_to) <= FEW:
        return open_to
    top = np.argsort(-row, kind="stable")[:3].tolist()
    others = [key for key in open_to if key not in top]
    return sorted(top + others[:: -(-len(others) // 5)])


def _question(result: ForwardPass, query: int) -> tuple[str, list[str]]:
    options = [explain.quoted(result, place) for place in guesses(result, query)]
    return f"Which word will {explain.quoted(result, query)} look at most?", options


def _largest(result: ForwardPass, query: int) -> list[str]:
    """The words with the largest weight: more than one only where they are equal."""
    row = result.attention.weights[0, query]
    places = [place for place in guesses(result, query) if row[place] >= row.max() - 1e-6]
    return [explain.quoted(result, place) for place in places]


def honest(result: ForwardPass) -> str:
    """What the weights do not say."""
    if result.scenario.preset is None and result.scenario.matrices == "random":
        text = "The matrices are random, so this pattern means nothing yet."
    else:
        text = "They show where this head looks, not why."
    if result.scenario.sentence == DEFAULT_SENTENCE:
        text += (
            " The row that introduces attention in “Self Attention for dummies” (.01, .87, .52, "
            ".03, .32, .98) adds up to 2.73, so read it as importance; a softmax row adds up to 1."
        )
    return text


def _about_matrices(result: ForwardPass) -> str:
    if all(name in result.scenario.uploads for name in ("W_q", "W_k")):
        return MATRICES["uploaded"]
    return MATRICES.get(result.scenario.matrices, LEARNED)


def shares(result: ForwardPass, query: int) -> str:
    """The two largest weights of a row, with their words: .87 of “cat”, .04 of “mat”."""
    row = result.attention.weights[0, query]
    top = [int(place) for place in np.argsort(-row, kind="stable")[:2] if row[place] >= 0.005]
    listed = ", ".join(f"{number(row[p])} of {explain.quoted(result, p)}" for p in top)
    return listed + (" and so on" if row.sum() - row[top].sum() >= 0.005 else "")


def row_text(row: np.ndarray, most: int = 4) -> str:
    """The first numbers of a vector, and how many more there are."""
    text = ", ".join(number(value) for value in row[:most].tolist())
    return f"({text}, … {len(row) - most} more)" if len(row) > most else f"({text})"


def row_alt(result: ForwardPass, query: int) -> str:
    """One query's scores before and after scaling, as a sentence for a screen reader."""
    scores, scaled = result.attention.scores[0, query], result.attention.scaled[0, query]
    texts = result.tokens.texts
    each = ", ".join(
        f"{text} {number(a)} becomes {number(b)}"
        for text, a, b in zip(texts, scores.tolist(), scaled.tolist(), strict=True)
    )
    return f"Scores of “{texts[query]}”: {each}."


def sum_lines(total: Sum, left: str | None, right: str, result: ForwardPass | None = None) -> str:
    """A sum's three largest products, the rest as one, and the total, in small print; with a
    `result` the terms are words and named."""
    parts = []
    for term in total.largest(3):
        factor = f":{left}[{term.left}]" if left else term.left
        name = "" if result is None else f" {explain.quoted(result, term.place)}"
        parts.append(f"{factor} × :{right}[{term.right}]{name} = {term.product}")
    more, rest = total.rest(3)
    if more:
        parts.append(f":gray[{more} more] = {rest}")
    rounded = "" if total.exact == total.result else f" → {total.result}"
    lines = [" &emsp; ".join(parts[i : i + 2]) for i in range(0, len(parts), 2)]
    lines.append(f":gray[sum] {total.exact}{rounded}")
    return "  \n".join(f":small[{line}]" for line in lines)


def _exponent(text: str) -> str:
    return text if text.strip("−.0") else "0"


def _limit(*arrays: np.ndarray) -> float:
    """The end of a colour scale on which arrays are compared."""
    return round_up(max(float(np.abs(array).max()) for array in arrays))


def _legend(limit: float) -> str:
    return f":small[{stages.legend('Q', limit)}]"


def _alt(result: ForwardPass, Z: np.ndarray, name: str) -> str:
    row, column = np.unravel_index(int(np.argmax(np.abs(Z))), Z.shape)
    word = result.tokens.texts[row]
    return (
        f"{name}: {len(Z)} rows of {Z.shape[1]}; largest {number(Z[row, column])}, in row “{word}”."
    )


# ---- a network that fades


class Fading(NamedTuple):
    """How much of what a recurrent state feels belongs to one word: `share`, `steps` back, and to
    the word it read last: `own`."""

    at: int
    word: int
    share: float
    own: float

    @property
    def steps(self) -> int:
        return self.at - self.word


def fading(result: ForwardPass) -> Fading | None:
    """What an untrained LSTM's state at the followed word still feels of the first word.

    An article gives way to the word after it, and a followed word at the start to the last one. The
    weights have no say in the choice, which would give the prediction away. None where the sentence
    is one word.
    """
    query = pair(result).query
    at = query if query >= 3 else len(result.tokens) - 1
    if at == 0:
        return None
    word = 1 if at > 1 and result.tokens.words[0] in ARTICLES else 0
    weights = recurrent_weights("LSTM", result.embeddings.shape[1])
    felt = share(influence(recurrent(result.embeddings, weights), at))
    return Fading(at, word, float(felt[word]), float(felt[at]))


def about_fading(result: ForwardPass) -> str:
    """The sentence that meets “they forget everything”."""
    start = "What came earlier fades; how fast depends on the network’s gates and its training. "
    end = "Attention pays nothing for distance: a word far away can have the largest weight."
    found = fading(result)
    if found is None:
        return start + end
    at, word = explain.quoted(result, found.at), explain.quoted(result, found.word)
    part = number(found.share, 3) if found.share >= 0.0005 else "less than .001"
    return start + (
        f"An untrained LSTM that has read your sentence as far as {at} still feels {word}, "
        f"{plural(found.steps, 'step')} back: of all that its state depends on, {part} is {word} "
        f"and {number(found.own, 3)} is {at} itself. {end}"
    )


# ---- figures: arrays in, Plotly figures out


def position_parts(result: ForwardPass) -> dict[str, np.ndarray]:
    """What is added and the sum, by name; without positions the vectors alone."""
    if result.positions is None:
        return {"Vectors": result.X}
    return {
        "Word vectors": result.embeddings,
        "+ Positions": np.asarray(result.positions),
        "= Sum": result.X,
    }


def vectors_figure(
    Z: np.ndarray,
    result: ForwardPass,
    marked: int,
    limit: float,
    colours: Palette,
    hue: str | None = None,
) -> go.Figure:
    """Draw vectors (T, d), one row a word, with one row marked."""
    T, width = Z.shape
    hue = hue or colours.query
    numbered = width <= stages.NUMBERED_WIDTH and T <= stages.NUMBERED_TOKENS
    return figures.heatmap(
        Z,
        colours,
        rows=figures.Axis(result.tokens.texts, tuple(~result.known), ((marked, hue),)),
        columns=figures.Axis(),
        limit=limit,
        cells=figures.number_cells(Z, decimals=2) if numbered else None,
        outlines=[figures.Outline((marked, marked), (0, width - 1), hue)],
        hover="%{y}, column %{x}: %{z:.3f}",
        height=figures.map_height(T),
    )


def score_figures(
    result: ForwardPass, at: Pair, limit: float, colours: Palette
) -> tuple[go.Figure, go.Figure]:
    """Draw query and key above each other (2, d_k), and their products (1, d_k)."""
    q, k = stage_array(result, "Q")[at.query], stage_array(result, "K")[at.key]
    products = (q * k)[None]
    numbered = len(q) <= 2 * stages.NUMBERED_WIDTH
    common = {"columns": figures.Axis(), "hover": "column %{x}: %{z:.3f}"}
    both = figures.heatmap(
        np.stack([q, k]),
        colours,
        rows=figures.Axis(("query", "key"), marked=((0, colours.query), (1, colours.key))),
        limit=limit,
        cells=figures.number_cells(np.stack([q, k])) if numbered else None,
        height=64,
        **common,
    )
    each = figures.heatmap(
        products,
        colours,
        rows=figures.Axis(("q × k",)),
        limit=_limit(products),
        cells=figures.number_cells(products) if numbered else None,
        height=34,
        **common,
    )
    return both, each


def scaled_figure(result: ForwardPass, at: Pair, limit: float, colours: Palette) -> go.Figure:
    """Draw one query's scores above its scaled scores (2, T), on one scale."""
    trace, T = result.attention, len(result.tokens)
    Z = np.stack([trace.scores[0, at.query], trace.scaled[0, at.query]])
    masked = None
    if trace.mask is not None:
        allowed = np.broadcast_to(trace.mask, (1, T, T))[0, at.query]
        masked = np.stack([np.zeros(T, bool), ~allowed])
    columns = figures.Axis(result.tokens.texts, tuple(~result.known), ((at.key, colours.key),))
    return figures.heatmap(
        Z,
        colours,
        rows=figures.Axis(("score", "scaled")),
        columns=columns,
        limit=limit,
        cells=figures.number_cells(Z) if T <= stages.NUMBERED_TOKENS else None,
        outlines=[figures.Outline((0, 1), (at.key, at.key), colours.key)],
        masked=masked,
        veil=0.75,
        hover="%{y} of %{x}: %{z:.2f}",
        height=80 + min(round(14 + 4.6 * columns.longest), 56),
    )


def output_figure(
    result: ForwardPass, at: Pair, limit: float, colours: Palette, column: int
) -> go.Figure:
    """Draw each value times its weight, and below them their sum, the output (T + 1, d_v)."""
    weights, V = result.attention.weights[0, at.query], stage_array(result, "V")
    Z = np.vstack([weights[:, None] * V, stage_array(result, "output")[at.query]])
    T, width = V.shape
    numbered = width <= stages.NUMBERED_WIDTH and T <= stages.NUMBERED_TOKENS
    marked = ((at.key, colours.value), (T, colours.query))
    return figures.heatmap(
        Z,
        colours,
        rows=figures.Axis(
            (*result.tokens.texts, "output"), (*(~result.known).tolist(), False), marked
        ),
        columns=figures.Axis(),
        limit=limit,
        cells=figures.number_cells(Z, decimals=2) if numbered else None,
        outlines=[
            figures.Outline((T, T), (0, width - 1), colours.query),
            figures.Outline((0, T), (column, column), colours.text),
        ],
        hover="%{y}, column %{x}: %{z:.3f}",
        height=figures.map_height(T + 1),
    )


# ---- layout


def _halves(step: int):
    """What is said on the left, under the step's name, and what is shown on the right."""
    left, right = st.columns([2, 3], gap="medium")
    left.markdown(f"**Step {step} of {len(STEPS)}: {NAMES[step - 1]}**")
    return left, right


def _chart(title: str, key: str, figure: go.Figure, alt: str) -> None:
    with st.container(gap="xxsmall", key=f"start_{key}"):
        st.markdown(title)
        st.plotly_chart(
            figure, key=f"start_{key}_chart", theme=None, config=figures.CONFIG, alt=alt
        )
