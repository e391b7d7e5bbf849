"""What the head of the first screen gets wrong, computed anew for each visit."""

import zlib

import numpy as np
import streamlit as st

from attention.embeddings import word_embeddings
from attention.exercises import POST_ROW
from attention.forward import ForwardPass, forward
from attention.scenario import Scenario
from attention.text import DEFAULT_SENTENCE, Tokens, tokenize
from attention.training import PAIRS, Pair
from attention.two_layers import inputs, load_two_layers, shipped_shares, two_layer_attention
from pages.shared import arithmetic, figures, lesson, stages
from pages.shared.wording import number, portion

FILLER = "Then the people of the town talked about the weather for a long time. "


def read(sentence: str) -> ForwardPass:
    """The sentence through the head of the first screen."""
    return forward(Scenario(sentence=sentence))


def place(result: ForwardPass, word: str, last: bool = False) -> int:
    """Where a word stands, counting from 0; the first such place, or the last."""
    places = [i for i, found in enumerate(result.tokens.words) if found == word]
    return places[-1 if last else 0]


def weight(result: ForwardPass, query: str, key: str) -> float:
    """The weight from the last such query to the first such key."""
    row = result.attention.weights[0, place(result, query, last=True)]
    return float(row[place(result, key)])


def on_nouns(pair: Pair, ending: str) -> tuple[float, float]:
    """The pronoun's weights on the first noun and on the second."""
    result = read(pair.sentence.format(ending))
    first, second = (weight(result, pair.pronoun, noun) for noun in pair.nouns)
    return first, second


def ratio(pair: Pair, ending: str) -> float:
    """How many times more the pronoun looks at the first noun than at the second."""
    first, second = on_nouns(pair, ending)
    return first / second


def pairs() -> None:
    """The famous pairs: one word turns the meaning, and the head does not turn."""
    first, second = PAIRS[0].endings
    a, b = PAIRS[0].nouns
    on_a, on_b = on_nouns(PAIRS[0], first)
    before, after = on_a / on_b, ratio(PAIRS[0], second)
    line = arithmetic.quotient(on_a, on_b)
    seen = lesson.predict(
        "pairs",
        f"“The animal did not cross the street because it was too {first}.” Here “it” looks "
        f"{number(before, 1)} times as much at “{a}” as at “{b}” ({line.dividend} ÷ "
        f"{line.divisor}). With “{second}” in place of “{first}”, the number will be:",
        ("smaller", "the same", "larger"),
        _change(before, after),
        f"It is {number(after, 1)}: “it”, “{a}” and “{b}” have the vectors they had, as "
        "one layer makes queries and keys from a word and its place, before any word has looked at "
        f"another. Nothing that depends on “{second}” can reach them.",
    )
    if not seen:
        return
    for pair in PAIRS[:2]:  # a pair of people stands below
        for column, word, noun in zip(st.columns(2), pair.endings, pair.nouns, strict=True):
            with column:
                _row(pair.sentence.format(word), pair.pronoun, noun)
    _two_layers()
    lesson.see("bert", "The sentence in BERT →", sentence=PAIRS[0].sentence.format(first))


def _two_layers() -> None:
    """The same sentences through a model of two layers, and where that fails in turn."""
    st.markdown("**A second layer turns**")
    places, sizes = shipped_shares().values()
    st.markdown(
        "This model has two layers. In the first, “it” looks at the adjective and takes it in; in "
        "the second, it looks for a noun that goes with what it took in. It was trained on such "
        f"pairs without “{PAIRS[0].endings[0]}”, “{PAIRS[0].endings[1]}”, “animal” and “street”. "
        f"Of 500 pairs with adjectives and nouns that it never saw, {places[2]:.0%} come out right "
        "both times; looking always at the same noun gives 0%."
    )
    _turning(PAIRS[0])
    likeness = cosine(*word_embeddings(tokenize("large small")).X)
    st.markdown(
        f"With sizes it fails in turn: {sizes[0]:.1%} of pairs of the words it was trained on, but "
        f"{sizes[2]:.0%} of those with new words, and “{PAIRS[1].endings[0]}” and "
        f"“{PAIRS[1].endings[1]}” are new to it. Its word vectors come from what stands near a "
        "word, and “large” and “small” stand in the same places: their vectors have a cosine of "
        f"{number(likeness)}, so it can only learn such words one by one."
    )
    _turning(PAIRS[1])


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """The cosine of the angle between two vectors (D,)."""
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def two_rows(sentence: str, pronoun: str) -> tuple[Tokens, np.ndarray, np.ndarray]:
    """The tokens, and the pronoun's weights (T,) in the first layer and in the second."""
    tokens = tokenize(sentence)
    first, second = two_layer_attention(inputs(tokens.words), load_two_layers())
    at = tokens.words.index(pronoun)
    return tokens, first[at], second[at]


def _turning(pair: Pair) -> None:
    for column, ending, noun in zip(st.columns(2), pair.endings, pair.nouns, strict=True):
        sentence = pair.sentence.format(ending)
        tokens, first, second = two_rows(sentence, pair.pronoun)
        key, adjective = tokens.words.index(noun), tokens.words.index(ending)
        top = int(second.argmax())
        verdict = "right" if top == key else f"wrong: most goes to “{tokens.texts[top]}”"
        with column:
            st.markdown(f":small[{sentence}]")
            st.markdown(
                f":small[Layer 1: “{pair.pronoun}” gives “{ending}” {portion(first[adjective])}. "
                f"Layer 2: it means “{noun}”: **{portion(second[key])}**, {verdict}.]"
            )
            _bars("two_layers", sentence, second, tokens.texts, key)


def _change(before: float, after: float) -> str:
    if abs(after / before - 1) < 1e-3:
        return "the same"
    return "larger" if after > before else "smaller"


def others() -> None:
    """Two people of one gender, and a long way back."""
    st.markdown("**Two of a kind, and a long way back**")
    left, right = st.columns(2)
    with left:
        remark = "“she” fits both, and a reader cannot tell either."
        _row("Alice called Mary. She was late.", "she", "Alice", remark, clear=False)
    with right:
        sentence = f"The cat sat on the mat. {FILLER * 3}It is eating now."
        result = read(sentence)
        distance = place(result, "it", last=True) - place(result, "cat")
        _row(
            sentence,
            "it",
            "cat",
            f"“cat” stands {distance} words back: distance alone is no obstacle to attention.",
        )


def _row(sentence: str, pronoun: str, meant: str, remark: str = "", clear: bool = True) -> None:
    result = read(sentence)
    query, key = place(result, pronoun, last=True), place(result, meant.lower())
    row = result.attention.weights[0, query]
    top = int(np.argmax(row))
    verdict = "right" if top == key else f"wrong: most goes to “{result.tokens.texts[top]}”"
    shown = sentence if len(sentence) < 90 else f"{sentence[:60]} … {sentence[-17:]}"
    st.markdown(f":small[{shown}]")
    said = f"“{pronoun}” gives “{meant}” **{portion(row[key])}**."
    if clear:
        said = f"“{pronoun}” means “{meant}”: **{portion(row[key])}**, {verdict}."
    st.markdown(f":small[{said} :gray[{remark}]]")
    _bars("fails", sentence, row, result.tokens.texts, key)


def _bars(kind: str, sentence: str, row: np.ndarray, texts: tuple[str, ...], key: int) -> None:
    """One row of weights, the bar of the word that is meant marked."""
    name = f"{kind}_{zlib.crc32(sentence.encode()):08x}"
    with st.container(key=name):
        st.plotly_chart(
            figures.bars(row, stages.palette(), texts=texts, chosen=key, height=120, scale=1.0),
            key=f"{name}_chart",
            theme=None,
            config=figures.CONFIG,
            alt=f"{sentence} The pronoun gives “{texts[key]}” {portion(row[key])}.",
        )


def post_row() -> None:
    """The row of “it” as the post gives it, divided by its sum, and as the head gives it."""
    result = read(DEFAULT_SENTENCE)
    row = result.attention.weights[0, place(result, "it")]
    given = list(POST_ROW.values())
    total = sum(given)
    named = [place(result, word.lower()) for word in POST_ROW]
    st.markdown("**The row of the post**")
    st.markdown(
        "The post that this app grew from gives “it” the weights below. They cannot be weights of "
        f"a softmax, since they add up to {number(total)} and not to 1, and four of the ten words "
        "are missing. It is a fine sketch of the idea; here it stands beside a true row."
    )
    columns = {
        "word": list(POST_ROW),
        "in the post": [number(v) for v in given],
        f"divided by {number(total)}": [number(v / total) for v in given],
        "this head": [portion(row[i]) for i in named],
    }
    columns["word"].append("sum")
    columns["in the post"].append(number(total))
    columns[f"divided by {number(total)}"].append(number(1.0))
    columns["this head"].append(f"{portion(row[named].sum())} (whole row: {number(row.sum())})")
    st.table(columns)
