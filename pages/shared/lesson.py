"""What the lesson pages share: heading and sentence, predict then reveal, a misconception, the code
that ran, sources, and the way to the next page."""

import inspect
import zlib
from collections.abc import Callable, Sequence
from urllib.parse import urlencode

import streamlit as st

from attention.forward import ForwardPass
from attention.scenario import MAX_FIND, Scenario, to_link
from pages.shared import controls, explain, frame, panels
from pages.shared.parts import glossary
from pages.shared.wording import distinct, plural


def start(name: str, idea: str, *, own_matrices: bool = False) -> ForwardPass:
    """Begin a lesson: its name, its one idea, and the reader's sentence carried through the head.

    The sentence and the matrices are those of every other page; an empty sentence stops here.
    own_matrices: the page shows others, so what made those of the scenario is not said.
    """
    scenario = frame.begin()
    heading(name, idea)
    sentence_line(scenario, own_matrices)
    result = controls.run(scenario)
    if unknown := int((~result.known).sum()):
        words = plural(unknown, "word")
        st.markdown(f":small[:gray[\\* {words} unknown: random vectors stand in.]]")
    return result


def heading(name: str, idea: str) -> None:
    """The page's name and its idea in one or two plain sentences."""
    with st.container(gap="xxsmall"):
        st.subheader(name, anchor=False)
        st.markdown(idea)


def sentence_line(scenario: Scenario, own_matrices: bool = False) -> None:
    """The sentence as live text, with examples and, unless the page has its own, what made the
    matrices."""
    left, right = st.columns([3, 2], gap="small", vertical_alignment="center")
    with left:
        controls.sentence_input()
    with right, st.container(horizontal=True, vertical_alignment="center", gap="small"):
        controls.example_menu()
        if not own_matrices:
            controls.summary(scenario)


def choose_row(
    result: ForwardPass, until_chosen: Callable = panels.chosen
) -> tuple[int, int | None]:
    """Let the reader choose whose row is shown; return the query and key in hand.

    They are those of the playground: the first pronoun, and where it looks most, until chosen; or
    what `until_chosen` (`panels.telling`) takes from the result.
    """
    query, key = until_chosen(result)
    names = distinct(result.tokens.texts)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        panels.word_box("Query: the word that looks", names, "query", query, width=140)
        if key is not None:
            word = explain.quoted(result, key)
            st.markdown(f"**{explain.claim(result, query, key)} {word}**", width="content")
    return query, key


def ask(key: str, question: str, options: Sequence[str]) -> str | None:
    """Let the reader choose one of the options; return the choice, None before there is one.

    options: plain Markdown, tokens through `in_markdown`. The choice is kept for the session; it
    asks again when the question or an option changes.
    """
    fingerprint = zlib.crc32("\n".join((question, *options)).encode())
    st.markdown(f"**Predict first.** {question}")
    return st.segmented_control(
        "Your prediction",
        options,
        label_visibility="collapsed",
        **frame.kept(f"predict_{key}_{fingerprint:08x}"),
    )


def guess(key: str, question: str, options: Sequence[str], later: str) -> None:
    """Ask (see `ask`) what the page answers only later; `later` says when, to who has chosen."""
    with st.container(border=True, key="guess", gap="xsmall"):
        if ask(key, question, options) is not None:
            st.markdown(f":gray[{later}]")


def predict(
    key: str, question: str, options: Sequence[str], answer: str | Sequence[str], why: str
) -> bool:
    """Ask before showing (see `ask`); return True once the reader has chosen, right or wrong.

    answer: the right option, or all of them where several are equally right.
    """
    answers = (answer,) if isinstance(answer, str) else tuple(answer)
    with st.container(border=True, key=f"predict_{key}_box", gap="xsmall"):
        picked = ask(key, question, options)
        if picked is None:
            return False
        verdict = "Right." if picked in answers else f"No: {' or '.join(answers)}."
        st.markdown(f"**{verdict}** {why}")
    return True


def misconception(claim: str, truth: str) -> None:
    """Meet a common mistake: what is often believed, and what is so."""
    with st.container(border=True, gap="xxsmall"):
        st.markdown(f"**Often believed:** {claim}")
        st.markdown(f"**In fact:** {truth}")


def symbols(formula: str, meanings: dict[str, str]) -> None:
    """A formula in LaTeX, and what each of its symbols means. No word of a reader belongs here."""
    st.latex(formula)
    st.markdown(" &ensp; ".join(f"${symbol}$ {meaning}" for symbol, meaning in meanings.items()))


def code(*functions: Callable) -> None:
    """Show the source of the functions that this page called."""
    with st.expander("The code that ran"):
        for function in functions:
            st.code(inspect.getsource(function), language="python")


def sources(*references: str) -> None:
    """Where the page's statements come from."""
    st.markdown(":small[:gray[Sources: " + " · ".join(references) + "]]")


def see(file: str, label: str, **fields) -> None:
    """A link to another page, by the name of its file, which takes everything along, with some
    fields of the scenario changed."""
    for name in (name for names in frame.PAGES.values() for name in names):
        if name.file == file:
            frame.link_to(name, label, **fields)


def term(name: str, text: str | None = None) -> str:
    """A term as a Markdown link to the glossary, its meaning shown under the pointer.

    text: the words that are linked, by default the name. Raises KeyError for an unknown term.
    """
    found = glossary.named(name)
    now = st.session_state.get(frame.SCENARIO, Scenario())  # a cold server has none yet
    params, _ = to_link(now.replace(find=found.name[:MAX_FIND]))
    return f'[{text or name}](glossary?{urlencode(params)} "{glossary.plain(found.meaning)}")'


def terms() -> None:
    """The terms that this page uses, one sentence each, and the way to all of them."""
    listed = glossary.of_page(st.session_state[frame.PAGE])
    if listed:
        with st.expander("Terms on this page"):
            st.markdown("\n".join(f"- **{name}**: {meaning}" for name, meaning, *_ in listed))
            see("glossary", "All terms, and the papers →", find="")


def foot() -> None:
    """The page's terms, and links to the pages before and after it, which take everything along."""
    terms()
    before, after = frame.neighbours()
    with st.container(horizontal=True, horizontal_alignment="distribute", key="foot"):
        if before:
            frame.link_to(before, f"← {before.title}")
        if after:
            frame.link_to(after, f"{after.title} →")
