"""The dialogs behind "Edit W" and "Change": edit cells, draw anew, upload, download."""

import numpy as np
import pandas as pd
import streamlit as st

from attention.files import READABLE, write_matrices
from attention.forward import ForwardPass, project
from attention.scenario import MATRIX_NAMES, MAX_EDIT, Edit
from pages.shared import figures, stages
from pages.shared.frame import acted, change, scenario
from pages.shared.settings import embedding_controls, new_seed
from pages.shared.uploads import Offer, read_upload
from pages.shared.wording import plural, round_up

VERSION = "_editor_version"  # raised whenever the grid must forget its own edits
OFFER = "_upload_offer"
MAX_UPLOAD = 5  # MB; a 64 x 64 matrix takes a few kB


def edit_button(result: ForwardPass, stage: str, label: str) -> None:
    """Show the button that opens a stage's dialog; open it when it was pressed."""
    if st.button(label, key=f"edit_{stage}", type="tertiary", on_click=_start):
        show, title = _matrix_dialog, f"Weight matrix $W_{stage.lower()}$"
        if stage == "embeddings":
            show, title = _embeddings_dialog, "Embeddings"
        st.dialog(title, width="large", on_dismiss="rerun")(show)(result, stage)


def _start() -> None:
    acted()
    st.session_state.pop(OFFER, None)
    _forget_grid()


def _forget_grid() -> None:
    st.session_state[VERSION] = st.session_state.get(VERSION, 0) + 1


def _set(**fields) -> bool:
    done = change(**fields)
    st.session_state.pop(OFFER, None)
    _forget_grid()
    return done


def _matrix_dialog(result: ForwardPass, stage: str) -> None:
    name = f"W_{stage.lower()}"
    current = project(scenario(), result.X.shape[1])
    W = getattr(current, name)
    by_column = scenario().convention == "columns"
    shown = W.T if by_column else W
    side = "d_v" if name == "W_v" else "d_k"
    sizes = (side, "d_model") if by_column else ("d_model", side)
    st.markdown(
        f"${name}$ is {shown.shape[0]} × {shown.shape[1]} "
        f":gray[({sizes[0]} rows, {sizes[1]} columns, counted from 0). Click a cell and type; "
        "clear a cell to take the change back. The charts follow when you close this window.]"
    )
    grid, picture = st.columns([3, 2], gap="medium")
    with grid:
        _grid(name, shown, by_column)
    with picture:
        limit = round_up(float(np.abs(W).max()))
        figure = figures.heatmap(
            shown,
            stages.palette(),
            rows=figures.Axis(),
            columns=figures.Axis(),
            limit=limit,
            hover="row %{y}, column %{x}: %{z:.3f}",
            height=240,
        )
        st.markdown(f":small[{stages.legend(stage, limit)}]")
        with st.container(key=name):
            st.plotly_chart(figure, key=f"{name}_chart", theme=None, config=figures.CONFIG)
        edits = sum(edit.matrix == name for edit in scenario().edits)
        with st.container(horizontal=True):
            st.button(
                "Randomize",
                key="randomize_one",
                on_click=lambda: _set(
                    **{f"seed_{name[-1]}": new_seed(), name: None, "edits": _without(name)}
                ),
                help=f"Draw {name} anew and leave the others",
            )
            st.button(
                "Take back" if not edits else f"Take back {plural(edits, 'edit')}",
                key="take_back",
                disabled=not _is_changed(name),
                on_click=lambda: _set(
                    **{f"seed_{name[-1]}": None, name: None, "edits": _without(name)}
                ),
                help=f"Return to {name} as it was chosen under Matrices",
            )
    _files(result, name, {n: getattr(current, n) for n in MATRIX_NAMES})
    if st.button("Done", type="primary", on_click=acted):
        st.rerun()


def _is_changed(name: str) -> bool:
    current = scenario()
    return (
        getattr(current, name) is not None
        or getattr(current, f"seed_{name[-1]}") is not None
        or any(edit.matrix == name for edit in current.edits)
    )


def _without(name: str) -> tuple[Edit, ...]:
    return tuple(edit for edit in scenario().edits if edit.matrix != name)


def _grid(name: str, shown: np.ndarray, by_column: bool) -> None:
    key = f"grid_{name}_{st.session_state.get(VERSION, 0)}"
    columns = [str(column) for column in range(shown.shape[1])]
    number = st.column_config.NumberColumn(
        format="%.3f", min_value=-MAX_EDIT, max_value=MAX_EDIT, width=64
    )
    st.data_editor(
        pd.DataFrame(shown, columns=columns),
        key=key,
        column_config=dict.fromkeys(columns, number),
        height=330,
        on_change=lambda: _take_edits(name, st.session_state[key], by_column),
        alt=f"{name}, {shown.shape[0]} rows and {shown.shape[1]} columns",
    )


def _take_edits(name: str, delta: dict, by_column: bool) -> None:
    """Merge what the grid reports as edited into the scenario; a cleared cell drops its edit."""
    edits = {(e.matrix, e.row, e.column): e for e in scenario().edits}
    cleared = False
    for row, cells in delta["edited_rows"].items():
        for column, value in cells.items():
            place = (int(column), int(row)) if by_column else (int(row), int(column))
            edits.pop((name, *place), None)
            if value is None:
                cleared = True
            else:
                edits[(name, *place)] = Edit(name, *place, float(np.float32(value)))
    change(edits=tuple(edits.values()))
    if cleared:
        _forget_grid()


def _files(result: ForwardPass, name: str, matrices: dict[str, np.ndarray]) -> None:
    """Upload and download, one below the other on a phone."""
    up, down = st.columns([3, 2], gap="medium")
    with up:
        key = f"upload_{name}_{st.session_state.get(VERSION, 0)}"
        shapes = {n: array.shape for n, array in matrices.items()} | {"X": result.X.shape}
        st.file_uploader(
            f"Upload {name}, or a file with W_q, W_k and W_v",
            type=[extension[1:] for extension in READABLE],
            max_upload_size=MAX_UPLOAD,
            key=key,
            on_change=lambda: _take_file(st.session_state[key], name, shapes),
            help="Matrices for rows, Q = X W: d_model rows. A transposed one is recognised.",
        )
        _show_offer()
    with down:
        st.text("Download")
        chosen = st.segmented_control(
            "Format",
            READABLE,
            default=".npz",
            required=True,
            label_visibility="collapsed",
            key="download_format",
            on_change=acted,
        )
        alone = chosen in (".npy", ".csv")
        bundle = {name: matrices[name]} if alone else matrices
        st.download_button(
            f"{name}{chosen}" if alone else f"matrices{chosen}",
            write_matrices(chosen, bundle),
            file_name=f"{name}{chosen}" if alone else f"matrices{chosen}",
            mime="application/octet-stream",
            on_click="ignore",
            key="download_matrices",
            help=f"{name} alone" if alone else "W_q, W_k and W_v as they are now, edits included",
        )


def _take_file(uploaded, name: str, shapes) -> None:
    if uploaded is None:
        st.session_state.pop(OFFER, None)
        return
    offer = read_upload(uploaded.name, uploaded.getvalue(), name, shapes)
    if offer.changes and not _use(offer.changes):
        offer = Offer("It could not be used; the top of the page says why.")
    st.session_state[OFFER] = offer


def _use(matrices: dict) -> bool:
    """Put uploaded matrices in the place of what was there, edits and own seeds included."""
    names = set(matrices)
    own_seeds = {f"seed_{name[-1]}": None for name in names & set(MATRIX_NAMES)}
    edits = tuple(edit for edit in scenario().edits if edit.matrix not in names)
    return _set(**matrices, **own_seeds, edits=edits)


def _show_offer() -> None:
    offer: Offer | None = st.session_state.get(OFFER)
    if offer is None:
        return
    with st.container(border=True):
        st.text(offer.sentence)
        if offer.transposed:
            st.button(
                "Transpose and use it",
                key="transpose_upload",
                type="primary",
                on_click=lambda: _use(offer.transposed),
            )


def _embeddings_dialog(result: ForwardPass, stage: str) -> None:
    T = len(result.tokens)
    embedding_controls("_here")
    key = f"upload_X_{st.session_state.get(VERSION, 0)}"
    shapes = {"X": (T, result.X.shape[1])}
    st.file_uploader(
        f"Upload vectors of your own: {T} rows, one for each word, {result.X.shape[1]} columns",
        type=[extension[1:] for extension in READABLE],
        max_upload_size=MAX_UPLOAD,
        key=key,
        on_change=lambda: _take_file(st.session_state[key], "X", shapes),
    )
    _show_offer()
    with st.container(horizontal=True):
        st.download_button(
            "X.csv",
            write_matrices(".csv", {"X": result.X}),
            file_name="X.csv",
            mime="text/csv",
            on_click="ignore",
            key="download_X",
            help="The vectors on screen, positions included",
        )
        st.button(
            "Take back the upload",
            key="take_back_X",
            disabled=scenario().X is None,
            on_click=lambda: _set(X=None, embedding="words"),
        )
        if st.button("Done", key="done_X", type="primary", on_click=acted):
            st.rerun()
