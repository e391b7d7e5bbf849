"""What the head of the first screen gets wrong, computed anew for each visit."""

import zlib

import numpy as np
import streamlit as st

from attention.exercises import POST_ROW
from attention.forward import ForwardPass, forward
from attention.scenario import Scenario
from attention.text import DEFAULT_SENTENCE
from attention.training import PAIRS, Pair
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
    st.markdown(
        f"A second layer could do it: there “{a}” and “{b}” have already looked at “{first}”. No "
        "such model was trained for this page, so it makes no claim that one would get adjectives "
        "right that it never saw. BERT has many layers; see what its heads do with the sentence."
    )
    lesson.see("bert", "The sentence in BERT →", sentence=PAIRS[0].sentence.format(first))


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
    name = f"fails_{zlib.crc32(sentence.encode()):08x}"
    with st.container(key=name):
        st.plotly_chart(
            figures.bars(
                row, stages.palette(), texts=result.tokens.texts, chosen=key, height=120, scale=1.0
            ),
            key=f"{name}_chart",
            theme=None,
            config=figures.CONFIG,
            alt=f"{sentence} “{pronoun}” gives “{meant}” {portion(row[key])}.",
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
