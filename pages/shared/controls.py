"""The top of the playground: the sentence, its examples, and the buttons."""

import streamlit as st

from attention.forward import ForwardPass, edits_outside, forward
from attention.scenario import MAX_SENTENCE, Scenario
from attention.text import DEFAULT_SENTENCE, tokenize
from pages.shared import explain, frame, settings
from pages.shared.frame import acted, bound, change, reset
from pages.shared.wording import in_markdown, plural

MAX_TOKENS = 64  # on the page
EXAMPLES = (
    DEFAULT_SENTENCE,
    "The dog slept near the door. It is tired.",
    "My sister bought a piano. She is happy.",
    "The boys lost their ball. They are sad.",
    "The animal did not cross the street because it was too tired.",
)


def sentence_and_buttons(scenario: Scenario) -> None:
    """The sentence as live text on the left, what changes the rest on the right."""
    hide = scenario.hide
    left, right = st.columns(2, gap="small", vertical_alignment="center")
    with left:
        sentence_input()
    with right, st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        example_menu()
        if "matrices" not in hide:
            _popover("Matrices", settings.matrix_controls)
        if "randomize" not in hide:
            st.button(
                "Randomize",
                key="randomize",
                on_click=settings.randomize,
                help="Draw $W_q$, $W_k$ and $W_v$ anew; Back returns to the old ones",
            )
        if "settings" not in hide:
            _popover("Settings", settings.all_settings)
        if "share" not in hide:
            _popover("Share", settings.share)
        summary(scenario)
        if "settings" in hide:
            st.button("Reset", key="reset_hidden", type="tertiary", on_click=reset)


def sentence_input() -> None:
    """The sentence as live text: everything follows while one types."""
    if "sentence" in frame.scenario().hide:
        st.text(frame.scenario().sentence)
        return
    st.text_input(
        "Sentence",
        max_chars=MAX_SENTENCE,
        live=True,
        label_visibility="collapsed",
        placeholder="Type a sentence",
        **bound("sentence", take=take_sentence),
    )


def example_menu() -> None:
    """Ready sentences."""
    if "examples" not in frame.scenario().hide:
        st.menu_button(
            "Examples",
            EXAMPLES,
            format_func=in_markdown,
            key="examples",
            on_click=lambda: take_sentence(st.session_state["examples"]),
        )


def summary(scenario: Scenario) -> None:
    """What made the matrices, and the widths; a sentence about them under the question mark."""
    st.markdown(
        f":small[:gray[{explain.summary(scenario)}]]",
        width="content",
        help=explain.summary_help(scenario),
    )


def _popover(label: str, fill) -> None:
    """A popover that is filled only while it is open."""
    popover = st.popover(label, key=f"{label.lower()}_popover", on_change=acted)
    if popover.open:
        with popover:
            fill()


def take_sentence(sentence: str) -> None:
    """Change the sentence; the selected words stay selected while they stand where they were."""
    scenario = frame.scenario()
    before, after = tokenize(scenario.sentence).texts, tokenize(sentence).texts
    places = [place for place in (scenario.query, scenario.key) if place not in (None, -1)]
    same = all(before[: p + 1] == after[: p + 1] for p in places) and bool(after)
    open_again = {} if same else {"query": None, "key": None, "cell": ""}
    if not sentence.startswith(scenario.sentence):  # places of word pieces, on the page about BERT
        open_again |= {"looking": (), "looked_at": None, "masked": ()}
    if sentence != scenario.sentence:  # what a GPT has added to it
        open_again |= {"gpt_row": None, "written": 0}
    change(sentence=sentence, **open_again)


def _fill(top, scenario: Scenario) -> None:
    if top is not None:
        with top:
            sentence_and_buttons(scenario)


def run(scenario: Scenario, top=None) -> ForwardPass:
    """Compute what is on screen; an empty sentence and an impossible setting stop here, plainly.

    top: where the playground's controls go. It fills that place after its charts, unless it stops.
    """
    if not len(tokenize(scenario.sentence)):
        _fill(top, scenario)
        st.info("Type a sentence, or take one of these:")
        for place, example in enumerate(EXAMPLES[:3]):
            st.button(
                in_markdown(example),
                key=f"example_{place}",
                on_click=take_sentence,
                args=(example,),
            )
        st.stop()
    try:
        result = forward(scenario, max_tokens=MAX_TOKENS)
    except ValueError as problem:
        _fill(top, scenario)
        with st.container(border=True, key="problem"):
            st.text(str(problem))
            st.button("Back to the first screen", key="reset_problem", on_click=reset)
        st.stop()
    notes = []
    if result.n_left_out:
        total = len(result.tokens) + result.n_left_out
        notes.append(
            f"The sentence has {total} words and signs; the page computes the first {MAX_TOKENS}, "
            "as if the rest were not there."
        )
    outside = edits_outside(scenario, result.projections)
    if outside:
        notes.append(f"{plural(outside, 'edited cell')} beyond the edge of its matrix is not used.")
    if notes:
        st.text(" ".join(notes))
    return result
