"""The page on one's own model: open a file, choose one of its heads, look at it, take it along."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from attention.checkpoints import (
    AttentionLayer,
    Part,
    heads_in_config,
    likely_heads,
    pick_layer,
    possible_heads,
    stands_in,
)
from attention.files import READABLE, FileProblem, write_matrices
from attention.scenario import CHECKPOINTS, MATRIX_NAMES, Matrix, Scenario
from attention.text import tokenize
from pages.shared import controls, figures, frame, lesson, stages
from pages.shared.frame import acted, bound, change, kept
from pages.shared.matrices import MAX_UPLOAD
from pages.shared.parts import yours_figures, yours_model
from pages.shared.parts.yours_carry import carried
from pages.shared.parts.yours_model import Head, Model
from pages.shared.settings import drop_matrices
from pages.shared.uploads import read_upload
from pages.shared.wording import in_markdown, number, plural, round_up

MAX_MODEL = 200  # MB; also in .streamlit/config.toml, which the server obeys
MAX_CHOICES = 100  # layers to choose from, and tensors to pick from at once
MAX_HEADS = 200  # to choose from
FIRST = {"minilm": {"layer": 3, "head": 1}}  # the head that the page on BERT opens with
CHECKPOINT_TEXTS = {
    "minilm": "Example: MiniLM, a trained BERT",
    "gpt": "Example: tiny GPT, trained, GPT-2 names",
    "llama": "Example: Llama names, random numbers",
    "multihead": "Example: nn.MultiheadAttention, random numbers",
    "unknown": "Example: names nobody knows, random numbers",
}
HUES = {"W_q": "violet", "W_k": "green", "W_v": "orange"}
PICKS = {
    "W_q": "W_q: makes queries",
    "W_k": "W_k: makes keys",
    "W_v": "W_v: makes values",
    "W_o": "W_o: after the heads",
    "b_q": "b_q: bias of queries",
    "b_k": "b_k: bias of keys",
    "b_v": "b_v: bias of values",
}
CUT_DOWN = """\
from safetensors import safe_open
from safetensors.torch import save_file

keep = "layer.3."  # as the model names it: "h.3.", "layers.3."
with safe_open("model.safetensors", "pt") as model:
    names = [name for name in model.keys() if keep in name]
    layer = {name: model.get_tensor(name) for name in names}
save_file(layer, "layer-3.safetensors")"""


@dataclass
class Desk:
    """What this session has on the page: its own file, what was confirmed, what went wrong."""

    own: Model | None = None
    opened: int = 0  # files so far; sets the pickers of one file apart from those of the next
    problem: str = ""  # a file or path that was not taken
    n_heads: dict[tuple, int] = field(default_factory=dict)  # confirmed, by file and widths
    X: Matrix | None = None
    said_of_X: str = ""
    read: tuple[tuple, Head] | None = None  # the head that was read last
    version: int = 0  # raised to empty an uploader


def desk() -> Desk:
    return frame.session("yours", Desk)


# ---- opening a file


def start(name: str, idea: str) -> Model | None:
    """Begin the page: its name, how to open a file, and the file that is open, if there is one."""
    scenario = frame.begin()
    lesson.heading(name, idea)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        key = f"model_{desk().version}"
        st.file_uploader(
            f"Your model: a .safetensors file of up to {MAX_MODEL} MB, and its config.json if you "
            "have it",
            type=["safetensors", "json"],
            accept_multiple_files=True,
            max_upload_size=MAX_MODEL,
            key=key,
            on_change=lambda: _take_files(st.session_state[key]),
        )
    with right:
        model, larger = st.columns([5, 2], gap="small", vertical_alignment="bottom")
        with model:
            texts = _checkpoint_texts()
            st.selectbox(
                "Open now",
                [name for name in CHECKPOINTS if name != "own" or _has_own(scenario)],
                format_func=texts.__getitem__,
                **bound("checkpoint", take=_open, labels=texts.values()),
            )
        with larger:
            _popover("A larger file", _larger)
        if desk().own is not None:
            st.button("Let go of my file", key="let_go", type="tertiary", on_click=_let_go)
    if desk().problem:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key="refused"):
            st.text(desk().problem, width="stretch")
            st.button("Dismiss", key="dismiss_refused", type="tertiary", on_click=_forgive)
    try:
        model = desk().own if scenario.checkpoint == "own" else example(scenario.checkpoint)
    except FileProblem as problem:
        st.text(str(problem))
        return None
    if model is None:
        st.info("The file of this link is on another machine. Open yours above, or an example.")
        return None
    _about(model)
    return model


def _has_own(scenario: Scenario) -> bool:
    return desk().own is not None or scenario.checkpoint == "own"


def _checkpoint_texts() -> dict[str, str]:
    own = desk().own
    return CHECKPOINT_TEXTS | {"own": f"Yours: {own.name}" if own else "A file of one’s own"}


@st.cache_resource(show_spinner=False)
def example(name: str) -> Model:
    """An example, opened once for everybody; nothing in it changes."""
    return yours_model.example(name)


def _about(model: Model) -> None:
    tensors = plural(len(model.tensors), "tensor")
    kinds = list(dict.fromkeys(layer.family for layer in model.layers))
    if kinds:
        found = f"{', '.join(kinds)}: {plural(len(model.layers), 'attention layer')} recognised."
    else:
        found = "No attention layer recognised by its names."
    size = f"{model.size / 1e6:,.1f} MB" if model.size >= 1e5 else f"{model.size / 1e3:,.1f} kB"
    st.markdown(
        f"**{in_markdown(model.name)}** {size}, {tensors}. {found} :small[:gray[{model.about}]]"
    )


def _open(checkpoint: str) -> None:
    desk().problem = ""
    change(checkpoint=checkpoint, **FIRST.get(checkpoint, {"layer": 0, "head": 0}))


def _use(model: Model) -> None:
    now = desk()
    now.own, now.opened, now.read = model, now.opened + 1, None
    now.n_heads = {key: n for key, n in now.n_heads.items() if key[0] != "own"}
    _open("own")


def _let_go() -> None:
    desk().own = desk().read = None
    _open("minilm")


def _forgive() -> None:
    acted()
    desk().problem = ""


def _take_files(uploaded) -> None:
    """Open what was uploaded; what was open before stays where a file is refused."""
    acted()
    now = desk()
    now.problem, now.version = "", now.version + 1
    configs = [file for file in uploaded if file.name.lower().endswith(".json")]
    models = [file for file in uploaded if file not in configs]
    try:
        for file in models[-1:]:
            _use(yours_model.open_stream(file.name, file))
        for file in configs[-1:]:
            _take_config(file.getvalue())
    except FileProblem as problem:
        names = ", ".join(yours_model.shown_name(file.name) for file in uploaded)
        now.problem = f"{names}: {problem}"
    finally:
        for file in uploaded:
            _forget(file)


def _take_config(data: bytes) -> None:
    """Give the file that is open the number of heads that its config.json names."""
    now = desk()
    if now.own is None or frame.scenario().checkpoint != "own":
        raise FileProblem("Open the model of this config.json first, or give both at once.")
    heads = heads_in_config(data)
    now.own = Model(**(vars(now.own) | {"n_heads": heads}))
    now.n_heads = {key: n for key, n in now.n_heads.items() if key[0] != "own"}
    fitting = [layer for layer in now.own.layers if heads in possible_heads(layer)]
    if now.own.layers and not fitting:
        raise FileProblem(f"It names {plural(heads, 'head')}, which do not fit the model’s shapes.")


def _forget(uploaded) -> None:
    """Let the server drop its copy of an upload: what is needed was taken from it."""
    context = get_script_run_ctx()
    if context is not None:
        context.uploaded_file_mgr.remove_file(context.session_id, uploaded.file_id)


def _larger() -> None:
    """What to do with a file that is too large: cut it down, or point to it."""
    st.markdown("Cut it down on your machine. These lines keep one layer:")
    st.code(CUT_DOWN, language="python")
    if _paths_allowed():
        path = kept("model_path", "")
        st.text_input(
            "Or open it where it is: a path on this machine",
            placeholder="~/models/gpt2/model.safetensors",
            key=path["key"],
            on_change=lambda: _take_path(path),
        )
    else:
        st.markdown(
            "Or run this app on your own machine, told that files may be opened by their path:"
        )
        st.code(f"{yours_model.LOCAL_FILES}=1 streamlit run app.py", language="bash")


def _paths_allowed() -> bool:
    if os.environ.get(yours_model.LOCAL_FILES) != "1":
        return False
    context = st.context
    return yours_model.paths_allowed(os.environ, context.ip_address, context.url, context.headers)


def _take_path(widget: dict) -> None:
    widget["on_change"]()  # the path is kept
    desk().problem = ""
    if not _paths_allowed():  # asked again: a widget's value can be sent from anywhere
        return
    try:
        _use(yours_model.open_path(frame.recall(widget["key"], "")))
    except FileProblem as problem:
        desk().problem = str(problem)


def _popover(label: str, fill) -> None:
    popover = st.popover(label, key=f"{label.lower().replace(' ', '_')}_popover", on_change=acted)
    if popover.open:
        with popover:
            fill()


# ---- which head


def choose(model: Model) -> Head | None:
    """Choose layer and head, and read that head; None while something is still asked."""
    scenario = frame.scenario()
    layer = _layer(model, scenario) if model.layers else _pick(model)
    if layer is None:
        return None
    n_heads = _heads(model, layer, scenario)
    if n_heads is None:
        return None
    place = min(scenario.head, n_heads - 1)
    try:
        return _read(model, layer, n_heads, place)
    except FileProblem as problem:
        st.text(str(problem))
        return None


def _layer(model: Model, scenario: Scenario) -> AttentionLayer:
    return model.layers[_layer_place(model, scenario)]


def _layer_place(model: Model, scenario: Scenario) -> int:
    return min(scenario.layer, len(model.layers) - 1, MAX_CHOICES - 1)


def _file_key(scenario: Scenario) -> tuple:
    opened = desk().opened if scenario.checkpoint == "own" else 0
    return scenario.checkpoint, opened


def _read(model: Model, layer: AttentionLayer, n_heads: int, place: int) -> Head:
    """Read a head, unless it is the one that was read last."""
    now = desk()
    key = (model, layer.name, tuple(layer.parts.values()), n_heads, place)
    if now.read is None or now.read[0] != key:
        now.read = (key, yours_model.read_head(model, layer, n_heads, place))
    return now.read[1]


def _heads(model: Model, layer: AttentionLayer, scenario: Scenario) -> int | None:
    """Choose the layer and the head of it, where the number of heads is known; else ask for it."""
    key = (*_file_key(scenario), yours_model.widths(layer))
    n_heads = yours_model.known_heads(model, layer, desk().n_heads.get(key))
    q = layer.parts["W_q"].width
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="chooser"):
        if model.layers:
            place = _layer_place(model, scenario)
            st.selectbox(
                "Layer",
                range(min(len(model.layers), MAX_CHOICES)),
                format_func="Layer {}".format,
                label_visibility="collapsed",
                width=115,
                **bound("layer", place),
            )
        if n_heads is not None:
            st.selectbox(
                "Head",
                range(min(n_heads, MAX_HEADS)),
                format_func="Head {}".format,
                label_visibility="collapsed",
                width=115,
                **bound("head", min(scenario.head, n_heads - 1)),
            )
            source = model.told_by if key not in desk().n_heads else "you"
            st.markdown(
                f"of {plural(n_heads, 'head')}, each {q // n_heads} wide "
                f":small[:gray[({source} said so)]]",
                width="content",
            )
            _popover("Change", lambda: _ask_heads(layer, key, n_heads))
    if n_heads is None:
        with st.container(border=True, key="ask_heads"):
            if model.n_heads is not None:
                st.text(f"config.json names {model.n_heads} heads, which this layer cannot have.")
            _ask_heads(layer, key, likely_heads(layer))
    return n_heads


def _ask_heads(layer: AttentionLayer, key: tuple, likely: int) -> None:
    """Ask how many heads there are; a likely number is only a suggestion."""
    q = layer.parts["W_q"].width
    st.markdown(
        "**How many heads has it?** The shapes allow every number below; config.json knows "
        "(num_attention_heads or n_head). Upload it above, or confirm one."
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        picked = st.selectbox(
            "Heads",
            possible_heads(layer),
            format_func=lambda n: f"{plural(n, 'head')}, each {q // n} wide",
            label_visibility="collapsed",
            width=240,
            **kept("n_heads_" + "_".join(map(str, (*key[:2], *key[2]))), likely),
        )
        st.button(
            f"It has {picked}",
            key="confirm_heads",
            type="primary",
            on_click=_confirm,
            args=(key, picked),
        )


def _confirm(key: tuple, n_heads: int) -> None:
    acted()
    desk().n_heads[key] = n_heads


# ---- a file of an unknown layout


def _pick(model: Model) -> AttentionLayer | None:
    """Let the reader say which tensor is which, and which way round they are stored."""
    st.markdown(
        "**Which tensor is which?** Choose at least $W_q$, $W_k$ and $W_v$; the same one three "
        "times if it packs them in this order."
    )
    scenario = frame.scenario()
    of = "_".join(map(str, _file_key(scenario)))
    names = list(model.tensors)
    if len(names) > MAX_CHOICES:
        text = st.text_input(
            f"Only names with (the first {MAX_CHOICES} are offered)", **kept(f"filter_{of}", "")
        )
        names = [name for name in names if text.lower() in name.lower()]
    picked = {}
    for row in (list(PICKS)[:4], list(PICKS)[4:]):
        for column, matrix in zip(st.columns(4, gap="small"), row, strict=False):
            with column:
                picked[matrix] = _picker(model, matrix, names, of)
    turned = st.toggle(
        "Stored as (outputs, inputs), as nn.Linear does",
        help="Off: (inputs, outputs), as GPT-2 does and as the formula Q = X W writes it.",
        **kept(f"turned_{of}", True),
    )
    _tensor_table(model)
    given = {matrix: name for matrix, name in picked.items() if name is not None}
    if not {"W_q", "W_k", "W_v"} <= set(given):
        return None
    try:
        return pick_layer(model.tensors, given, turned=turned)
    except FileProblem as problem:
        st.text(_with_a_way_out(model, given, turned, problem))
        return None


def _with_a_way_out(
    model: Model, given: Mapping[str, str], turned: bool, problem: FileProblem
) -> str:
    try:
        pick_layer(model.tensors, given, turned=not turned)
    except FileProblem:
        return str(problem)
    return f"{problem} Stored the other way round they fit: use the switch."


def _picker(model: Model, matrix: str, names: list[str], of: str) -> str | None:
    dimensions = 1 if matrix[0] == "b" else 2
    fitting = [
        name
        for name in names
        if len(model.tensors[name].shape) == dimensions and 0 not in model.tensors[name].shape
    ]
    key = f"pick_{of}_{matrix}"
    options = fitting[:MAX_CHOICES]
    chosen = frame.recall(key)
    if chosen in model.tensors and chosen not in options:
        options = [chosen, *options]
    return st.selectbox(
        PICKS[matrix],
        options,
        index=None,
        format_func=lambda name: f"{name}  {_shape(model.tensors[name].shape)}",
        placeholder="choose" if matrix in MATRIX_NAMES else "none",
        **kept(key),
    )


def _tensor_table(model: Model) -> None:
    """Every tensor by name and shape. A grid draws its text, so a name can hold anything."""
    rows = [(name, _shape(t.shape), t.dtype) for name, t in model.tensors.items()]
    table = pd.DataFrame(rows, columns=["name", "shape", "stored as"])
    st.dataframe(table, hide_index=True, height=min(36 * len(rows) + 38, 300), key="tensors")


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(f"{n:,}" for n in shape) if shape else "one number"


# ---- what the head is made of


def matrices(head: Head) -> None:
    """The four matrices of the head, the right way round, and what the model does besides."""
    p, palette = head.projections, stages.palette()
    by_column = frame.scenario().convention == "columns"
    given = {name: getattr(p, name) for name in yours_figures.MATRICES}
    given = {name: W.T if by_column else W for name, W in given.items() if W is not None}
    limit = round_up(max(float(np.abs(W).max()) for W in given.values()))
    for column, (name, W) in zip(st.columns(4, gap="small"), given.items(), strict=False):
        with column, st.container(gap="xxsmall"):
            st.markdown(matrix_title(name, W, limit))
            figure = yours_figures.matrix_figure(W, palette, limit)
            _chart(f"yours_{name}", figure, explain_matrix(name, W))
    st.markdown(f":small[:gray[{' '.join(notes(head))}]]")


def matrix_title(name: str, W: np.ndarray, limit: float) -> str:
    """A matrix's name, shape and legend; how many numbers a drawn one stands for."""
    written = f"${name}$"
    if name in HUES:
        written = f":{HUES[name]}[**${name}$**]"
    step = yours_figures.pool_step(W.shape)
    drawn = f", drawn: the largest of {step}" if step > 1 else ""
    return f"{written} {_shape(W.shape)} :small[{stages.legend(name, limit)}:gray[{drawn}]]"


def explain_matrix(name: str, W: np.ndarray) -> str:
    row, column = np.unravel_index(int(np.argmax(np.abs(W))), W.shape)
    return (
        f"{name}: {W.shape[0]} rows, {W.shape[1]} columns; largest {number(W[row, column], 3)} in "
        f"row {row}, column {column}."
    )


def notes(head: Head) -> list[str]:
    """What the model does besides these matrices, and what this head shares."""
    said = list(head.layer.notes)
    if len(head.shared_by) > 1:
        first, last = head.shared_by[0], head.shared_by[-1]
        said.append(f"Heads {first} to {last} share these keys and values.")
    p = head.projections
    biases = [name for name in ("b_q", "b_k", "b_v") if getattr(p, name) is not None]
    if biases:
        said.append(f"Biases, not drawn: {', '.join(biases)}.")
    if p.W_o is None:
        said.append("The file gives no W_o for it.")
    return said


def formula(head: Head) -> tuple[str, dict[str, str]]:
    """The layer's formula with the biases that this file has, and its symbols."""
    p = head.projections
    b_q, b_k, b_v = (
        f"+b_{letter}" if getattr(p, f"b_{letter}") is not None else "" for letter in "qkv"
    )
    b_o = "+b_o" if "b_o" in head.layer.parts else ""
    symbols = {
        "X": "what goes into the layer, one row a token",
        "W_q, W_k, W_v": "the head’s own columns of the layer’s matrices",
        "W_o": "its rows of the layer’s last matrix",
    }
    if any((b_q, b_k, b_v, b_o)):
        symbols["b"] = "biases"
    lines = (
        rf"Q=X\,W_q{b_q}\quad K=X\,W_k{b_k}",
        rf"V=X\,W_v{b_v}",
        rf"\mathrm{{output}}=\sum_{{\mathrm{{heads}}}}\mathrm{{weights}}\cdot V\,W_o{b_o}",
    )
    return r"\begin{gathered}" + r"\\".join(lines) + r"\end{gathered}", symbols


# ---- where it stands, and how strongly it compares


def place_and_strength(model: Model, head: Head) -> None:
    """Predict where the keys' matrix stands in the file, then see it; and the strengths."""
    left, right = st.columns(2, gap="medium")
    with left:
        question, options, answer = place_question(model, head)
        key = f"yours_place_{frame.scenario().checkpoint}"
        if lesson.predict(key, question, options, answer, place_why(head)):
            figure = yours_figures.storage_figure(
                head.layer, head.parts, model.tensors, stages.palette()
            )
            st.markdown(
                ":small[As stored, to scale: :violet[■ $W_q$] :green[■ $W_k$] :orange[■ $W_v$] "
                f"{'■ $W_o$' if 'W_o' in head.parts else ''} of head {head.head}; thin lines part "
                "the heads]"
            )
            _chart("yours_place", figure, explain_place(head))
    with right:
        _strength(head)


def _strength(head: Head) -> None:
    """The singular values of W_q W_kᵀ, where they are cheap."""
    strengths = head.strengths
    if strengths is None:
        st.markdown(
            "**How many ways it compares** is not computed for a head this large: "
            f"{_shape(head.projections.W_q.shape)}."
        )
        return
    random = yours_figures.random_strengths(*head.projections.W_q.shape)
    random = random * np.sqrt(np.square(strengths, dtype=np.float64).sum())
    said = strengths_said(strengths, random)
    st.markdown(
        "**How many ways it compares.** A score is $x_i\\,W_q W_k^\\top x_j^\\top$; these are "
        f"the singular values of $W_q W_k^\\top$, one for each direction. {said}"
    )
    figure = yours_figures.strengths_figure(strengths, random, stages.palette())
    _chart("yours_strengths", figure, in_plain(said))


def place_question(model: Model, head: Head) -> tuple[str, list[str], str]:
    """Where does this head's W_k stand? The question, its options, and the right one."""
    part = head.parts["W_k"]
    shape = model.tensors[part.tensor].shape
    question = (
        f"In this file “{in_markdown(_short(part.tensor))}” is {_shape(shape)}. Where does $W_k$ "
        f"of head {head.head} stand in it, counted from 0?"
    )
    side = stands_in("W_k", part)
    other = "columns" if side == "rows" else "rows"
    places = [(side, part.start), (other, part.start)]
    neighbours = (part.start + part.width, part.start - part.width, head.parts["W_q"].start)
    places += [(s, start) for start in neighbours for s in (side, other)]
    fits = [
        (s, start)
        for s, start in dict.fromkeys(places)
        if start >= 0 and start + part.width <= shape[0 if s == "rows" else 1]
    ]
    options = [_place(s, start, part.width) for s, start in sorted(fits[:4])]
    return question, options, _place(side, part.start, part.width)


def _place(side: str, start: int, width: int) -> str:
    if width == 1:
        return f"{side[:-1]} {start}"
    return f"{side} {start}–{start + width - 1}"


def place_why(head: Head) -> str:
    """How the file keeps its matrices, and that the page turned them."""
    part, whole = head.parts["W_k"], head.layer.parts["W_k"]
    if part.turned:
        said = (
            "It is stored (outputs, inputs), so a head is rows; the page turned them for $Q=XW_q$."
        )
    else:
        said = "It is stored (inputs, outputs), as $Q=XW_q$ is written, so a head is columns."
    if yours_model.layout(head.layer.parts) == "packed":
        said += f" q, k and v follow one another: the keys begin at {whole.start:,}."
    if len(head.shared_by) > 1:
        said += f" {len(head.shared_by)} query heads share one of the keys."
    return said


def explain_place(head: Head) -> str:
    listed = ", ".join(
        f"{name} {_place(stands_in(name, part), part.start, part.width)}"
        for name, part in head.parts.items()
        if name in yours_figures.MATRICES
    )
    return f"Where head {head.head} stands in the layer’s tensors: {listed}."


def strengths_said(strengths: np.ndarray, random: np.ndarray) -> str:
    """How many directions carry half of it, and how many would by chance."""
    d = len(strengths)
    if not strengths.any():
        return "All are 0: every score is 0."
    return (
        f"**{yours_figures.half_of(strengths)} of {d}** hold half of their squares; of random "
        f"matrices as large (dotted) {yours_figures.half_of(random)}."
    )


def in_plain(markdown: str) -> str:
    return f"Singular values of W_q times W_k transposed: {markdown.replace('**', '')}"


def _short(name: str, most: int = 60) -> str:
    return name if len(name) <= most else "…" + name[1 - most :]


# ---- all layers


def table(model: Model) -> None:
    """Every layer with its heads; a picked layer has no table."""
    if not model.layers:
        return
    scenario = frame.scenario()
    here = _layer_place(model, scenario)
    lines = [
        "| Layer | Name | Kind | Width | Heads | $d_k$ | q, k, v stored | Biases |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for place, layer in enumerate(model.layers[:MAX_CHOICES]):
        key = (*_file_key(scenario), yours_model.widths(layer))
        n_heads = yours_model.known_heads(model, layer, desk().n_heads.get(key))
        lines.append(layer_line(place, layer, n_heads, chosen=place == here))
    title = f"**{plural(len(model.layers), 'layer')}**"
    if len(model.layers) > MAX_CHOICES:
        title += f", the first {MAX_CHOICES} of them"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(title, width="content")
        _popover("All tensors", lambda: _tensor_table(model))
    # A fixed height makes the container scroll by itself, sideways too on a phone.
    height = min(37 * (len(lines) - 1) + 12, 340)
    with st.container(height=height, border=False, key="layers"):
        st.markdown("\n".join(lines))


def layer_line(place: int, layer: AttentionLayer, n_heads: int | None, *, chosen: bool) -> str:
    """One row of the table, in Markdown."""
    heads, d_k = "not known yet", ""
    if n_heads is not None:
        q, k = layer.parts["W_q"].width, layer.parts["W_k"].width
        heads = str(n_heads) if q == k else f"{n_heads}, keys {n_heads * k // q}"
        d_k = str(q // n_heads)
    cells = [
        f"**{place}**" if chosen else str(place),
        in_markdown(_short(layer.name)) or "–",
        layer.family,
        f"{layer.d_model:,}",
        heads,
        d_k,
        stored_as(layer.parts),
        "yes" if "b_q" in layer.parts else "no",
    ]
    return f"| {' | '.join(cells)} |"


def stored_as(parts: Mapping[str, Part]) -> str:
    one = "one tensor" if yours_model.layout(parts) == "packed" else "three tensors"
    return f"{one}, {'(outputs, inputs)' if parts['W_q'].turned else '(inputs, outputs)'}"


# ---- into the playground


def take_along(model: Model, head: Head) -> None:
    """Take the head to the playground, or download it."""
    now, scenario = desk(), frame.scenario()
    n_tokens = min(len(tokenize(scenario.sentence)), controls.MAX_TOKENS)
    with st.container(border=True, gap="xsmall", key="take"):
        st.markdown(f"**Head {head.head} on your own sentence**")
        left, right = st.columns([3, 2], gap="small", vertical_alignment="center")
        with left:
            controls.sentence_input()
        going = carried(head, scenario, n_tokens, now.X or scenario.X)
        with right, st.container(horizontal=True, vertical_alignment="center", gap="small"):
            if st.button(
                "Take it to the playground",
                key="take_yours",
                type="primary",
                disabled=bool(going.problem),
                on_click=lambda: _take(model, head, going.fields),
            ):
                frame.go_to("playground")
            _popover("Give X", lambda: _give_X(n_tokens, head.layer.d_model))
            st.download_button(
                "Download",
                lambda: download(head),
                file_name=f"head-{head.head}.npz",
                mime="application/octet-stream",
                on_click="ignore",
                key="download_head",
                help="W_q, W_k, W_v, W_o and biases as float32, for rows: Q = X W_q",
            )
        if going.problem:
            st.text(going.problem)
        else:
            st.markdown(f":small[:gray[{' '.join(going.sentences)}]]")


def _take(model: Model, head: Head, fields: dict[str, object]) -> None:
    change(**drop_matrices() | fields)
    where = f"layer {head.layer.name}" if head.layer.name else "the tensors you picked"
    frame.say(f"W_q, W_k and W_v are those of head {head.head}, {where}, of {model.name}.")
    if fields.get("X") is None:
        frame.say("The vectors of the words are not: read the map for its mechanics alone.")


def download(head: Head) -> bytes:
    """The head's matrices and biases as a .npz."""
    p = head.projections
    names = (*yours_figures.MATRICES, "b_q", "b_k", "b_v")
    given = {name: getattr(p, name) for name in names}
    return write_matrices(".npz", {name: W for name, W in given.items() if W is not None})


def _give_X(n_tokens: int, d_model: int) -> None:
    """Take the vectors that go into this layer for the reader's sentence."""
    now = desk()
    st.markdown(
        f"What goes into this layer for the sentence: {plural(n_tokens, 'row')}, one for each "
        f"word, {d_model:,} columns. With it the head computes what the model computes."
    )
    key = f"yours_X_{now.version}"
    st.file_uploader(
        "X",
        type=[extension[1:] for extension in READABLE],
        max_upload_size=MAX_UPLOAD,
        label_visibility="collapsed",
        key=key,
        on_change=lambda: _take_X(st.session_state[key], (n_tokens, d_model)),
    )
    if now.said_of_X:
        st.text(now.said_of_X)
    if now.X is not None:
        st.button("Take X back", key="take_back_yours_X", on_click=_drop_X)


def _take_X(uploaded, shape: tuple[int, int]) -> None:
    acted()
    if uploaded is None:
        return
    now = desk()
    now.version += 1
    offer = read_upload(uploaded.name, uploaded.getvalue(), "X", {"X": shape})
    _forget(uploaded)
    given = offer.changes or offer.transposed
    now.X = given.get("X", now.X)
    turned = " It was turned." if offer.transposed else ""
    now.said_of_X = f"X is {_shape(now.X.shape)}.{turned}" if given else offer.sentence


def _drop_X() -> None:
    acted()
    desk().X, desk().said_of_X = None, ""


def about_heads(head: Head) -> str:
    """The misconception, with this layer's own numbers."""
    q = head.layer.parts["W_q"].width
    possible = possible_heads(head.layer)
    shape = f"$W_q$ of this layer is {head.layer.d_model:,} × {q:,}"
    if len(possible) == 1:
        return f"{shape}, and another tensor tells the width of a head; most files have none."
    others = [n for n in possible if n != head.n_heads]
    near = min(others, key=lambda n: abs(n - head.n_heads))
    return (
        f"{shape}: {plural(head.n_heads, 'head')} of {q // head.n_heads} would fit, and so would "
        f"{near} of {q // near}; {len(possible)} numbers are possible. config.json says which. A "
        "wrong one raises no error: it cuts the matrices in the wrong places, and every map made "
        "of them is wrong."
    )


def _chart(key: str, figure: go.Figure, alt: str) -> None:
    with st.container(key=key):
        st.plotly_chart(figure, key=f"{key}_chart", theme=None, config=figures.CONFIG, alt=alt)
