"""The controls of the scenario: what the buttons above the playground open."""

import random

import streamlit as st

from attention.scenario import (
    CONVENTIONS,
    DISTRIBUTIONS,
    HIDEABLE,
    MATRICES,
    MATRIX_NAMES,
    MAX_SEED,
    POSITIONS,
    PRESETS,
    locked,
    to_link,
)
from pages.shared.explain import MATRIX_TEXTS
from pages.shared.frame import bound, change, reset, scenario, share_link

WIDEST = 64  # what the page offers; an uploaded head may be wider
EMBEDDING_NAMES = {
    "tuned": "Word vectors, tuned by training",
    "words": "Word vectors (GloVe)",
    "random": "Random, one vector for each word",
    "one-hot": "One-hot",
    "uploaded": "Uploaded",
}


def new_seed() -> int:
    """A seed that is short enough to read aloud."""
    return random.randint(1, 9_999)


def drop_matrices() -> dict[str, object]:
    """Fields that take back uploads, edits and own seeds of all three matrices."""
    own_seeds = {f"seed_{name[-1]}": None for name in MATRIX_NAMES}
    return dict.fromkeys(MATRIX_NAMES) | own_seeds | {"edits": ()}


def randomize() -> None:
    """Draw all three matrices anew, in the widths that are on screen."""
    change(matrices="random", seed=new_seed(), **drop_matrices())


def choose_matrices(name: str) -> None:
    """Take a set of matrices, and the settings that it needs."""
    changes = drop_matrices() | {"matrices": name, "unlocked": False}
    if name in PRESETS:
        changes |= {"X": None} | PRESETS[name]
    change(**changes)


def small() -> None:
    """Widths at which every number can be read in its cell."""
    current = scenario()
    matrices = current.matrices if current.matrices not in PRESETS else "random"
    widths = {"d_model": 8, "d_k": 4, "d_v": 4}
    change(matrices=matrices, X=None, **drop_matrices(), **widths)


def matrix_controls() -> None:
    """Choose where W_q, W_k and W_v come from."""
    current = scenario()
    st.radio(
        "Weight matrices $W_q$, $W_k$, $W_v$",
        MATRICES,
        format_func=lambda name: MATRIX_TEXTS[name][1],
        captions=[MATRIX_TEXTS[name][2] for name in MATRICES],
        **bound("matrices", take=choose_matrices),
    )
    if current.preset:
        st.toggle(
            "Unlock embeddings and positions",
            help="These weights were trained for these vectors; with others they mean nothing.",
            **bound("unlocked", take=_unlock),
        )
    if (
        current.uploads
        or current.edits
        or any(getattr(current, f"seed_{name[-1]}") is not None for name in MATRIX_NAMES)
    ):
        st.button(
            "Take back edits and uploads",
            key="take_back_all",
            on_click=lambda: change(**drop_matrices()),
        )


def _unlock(unlocked: bool) -> None:
    preset = scenario().preset
    change(unlocked=unlocked, **({} if unlocked or not preset else PRESETS[preset]))


def embedding_controls(suffix: str = "") -> None:
    """Choose the vectors of the words and of their places; `suffix` sets their keys apart."""
    current, fixed = scenario(), locked(scenario())
    kinds = [k for k in EMBEDDING_NAMES if k != "uploaded" or current.X is not None]
    st.selectbox(
        "Embeddings",
        kinds,
        format_func=EMBEDDING_NAMES.__getitem__,
        disabled="embedding" in fixed,
        help=_why(fixed, "embedding")
        or "Tuned: GloVe's word vectors, moved a little by the training that made the learned "
        "heads. Words that were kept out of it, cat and mat among them, have GloVe's own numbers.",
        **bound("embedding", suffix=suffix),
    )
    st.segmented_control(
        "Positions",
        POSITIONS,
        required=True,
        disabled="positions" in fixed,
        help=_why(fixed, "positions")
        or "Sinusoids added to the embeddings tell the head where a word stands.",
        **bound("positions", suffix=suffix),
    )
    if current.embedding == "random":
        st.number_input(
            "Seed of the embeddings", 0, MAX_SEED, **bound("embedding_seed", suffix=suffix)
        )


def all_settings() -> None:
    """Everything that is not a matrix: vectors, widths, scaling, mask, convention."""
    current, fixed = scenario(), locked(scenario())
    embedding_controls()
    for column, (field, name) in zip(
        st.columns(3), (("d_model", "d_model"), ("d_k", "d_k"), ("d_v", "d_v")), strict=True
    ):
        with column:
            st.number_input(
                name,
                1,
                max(WIDEST, getattr(current, field)),
                disabled=field in fixed or (field == "d_model" and current.embedding == "one-hot"),
                help=_why(fixed, field),
                **bound(field),
            )
    st.button("Small: every number in its cell", key="small", on_click=small)
    with st.container(horizontal=True):
        st.toggle("Scale by √d_k", **bound("scaling"))
        st.toggle("Causal mask", help="Each word sees itself and those before.", **bound("causal"))
    st.segmented_control(
        "Convention",
        CONVENTIONS,
        required=True,
        format_func={"rows": "rows: x·W", "columns": "columns: W·x"}.__getitem__,
        help="Code writes rows, the post and many papers write columns. Formulas and charts turn "
        "together; the numbers stay.",
        **bound("convention"),
    )
    if current.matrices == "random":
        left, right = st.columns(2)
        with left:
            st.number_input("Seed", 0, MAX_SEED, **bound("seed", take=_take_seed))
            st.selectbox("Distribution", DISTRIBUTIONS, **bound("distribution"))
        with right:
            st.number_input(
                "Spread",
                0.0,
                10.0,
                step=0.25,
                help="The entries' standard deviation times the root of d_model",
                **bound("spread"),
            )
    st.button("Reset everything", key="reset", on_click=reset)


def _take_seed(seed: int) -> None:
    change(seed=seed, **{f"seed_{name[-1]}": None for name in MATRIX_NAMES})


def _why(fixed: dict, field: str) -> str | None:
    if field not in fixed:
        return None
    if scenario().preset:
        return "These weights were trained for this. Unlock them under Matrices, or choose others."
    return "The matrices fix this."


def share() -> None:
    """The link, and what a teacher may hide in it."""
    _, left_out = to_link(scenario())
    what = "exactly what is on screen" if not left_out else "what is on screen, but not all of it"
    st.markdown(f"This link opens {what}.")
    st.code(share_link(), language=None, wrap_lines=True)
    if left_out:
        sentence = f"Not in the link, because too large for one: {', '.join(left_out)}."
        if set(left_out) - {"sentence"}:
            sentence += " Download the matrices and send the file along."
        st.text(sentence)
    st.multiselect(
        "Hide for your class",
        HIDEABLE,
        placeholder="nothing is hidden",
        help="Whoever opens the link does not see these. “Reset” in the page’s foot shows them.",
        **bound("hide", list(scenario().hide), take=lambda names: change(hide=tuple(names))),
    )
