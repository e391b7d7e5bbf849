"""MiniLM for the page on BERT: loaded once for everybody, and full precision on request."""

import threading

import streamlit as st

from attention.bert import FLOAT16_WEIGHTS, HOW_TO_GET, BertTrace, load_bert
from attention.encoder import Bert
from attention.files import FileProblem
from pages.shared.frame import acted
from pages.shared.parts import bert_view
from pages.shared.wording import in_markdown, number

WAIT = 0.2  # seconds between two looks at a download
SENTENCES = 46  # that the rounding was measured on


@st.cache_resource(show_spinner="Loading MiniLM …")
def model() -> tuple[Bert, str]:
    """The best MiniLM that is here, and why it is not a better one, if that one is damaged."""
    try:
        return load_bert(), ""
    except FileProblem as problem:
        return load_bert("bundled"), str(problem)


@st.cache_resource(max_entries=16, show_spinner=False)
def trace(sentence: str, masked: tuple[int, ...], source: str, _model: Bert) -> BertTrace:
    """A sentence's trace, kept for whoever asks next; its arrays are read-only.

    source: of the model, so that another model's trace is not taken for it.
    """
    return bert_view.trace_of(sentence, _model, masked)


def about(bert: Bert) -> str:
    """What was loaded, and what its rounding costs, in Markdown."""
    text = bert.description
    if bert.precision != "float32":
        text += (
            f" Measured over {SENTENCES} sentences, rounding moves no attention weight by more "
            f"than {number(FLOAT16_WEIGHTS, 4)}."
        )
    return in_markdown(text)


def full_precision(bert: Bert, problem: str) -> None:
    """How to get full precision, where it is not here yet."""
    if bert.precision == "float32":
        return
    popover = st.popover("Full precision", key="precision_popover", on_change=acted)
    if popover.open:
        with popover:
            st.markdown("Install the published file beside the app, in one line:")
            st.code(HOW_TO_GET, language="bash")
            if problem:
                st.text(f"A better copy is here, but cannot be used. {problem}")
            st.markdown("or download it once, for everybody who uses this server:")
            if st.button("Download 91 MB from the Hugging Face hub", key="hub", on_click=acted):
                download()


def download() -> None:
    """Download full precision with a bar, and load it for everybody; say plainly what fails.

    It goes on in a thread of its own, because the hub's library reports from other threads, which
    may not draw on the page.
    """
    seen, outcome = [0, 1], []
    worker = threading.Thread(target=_download, args=(seen, outcome), daemon=True)
    worker.start()
    bar = st.progress(0.0, "Asking the hub …")
    while worker.is_alive():
        worker.join(WAIT)
        if seen[0]:
            bar.progress(min(seen[0] / seen[1], 1.0), f"{seen[0] / 1e6:.0f} of 91 MB")
    bar.empty()
    if outcome:
        st.text(f"{outcome[0]} The copy that comes with the project stays in use.")
        return
    model.clear()
    trace.clear()
    st.rerun()


def _download(seen: list[int], outcome: list[str]) -> None:
    """Load the hub's copy; `seen` follows its bytes, `outcome` gets what went wrong."""

    def progress(done: int, total: int) -> None:
        seen[:] = done, total

    try:
        load_bert("hub", progress=progress)
    except FileProblem as problem:
        outcome.append(str(problem))
