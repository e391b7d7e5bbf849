"""The live training of the learn page: one `Trainer` in each session, worked on in short turns.

A turn is one run of a Streamlit fragment: it trains for a fraction of a second and draws what came
out. No turn outlives the page by more than that: whoever leaves it gets no more. Two people have
two trainers and two sessions, so they share nothing but the processor. A click can be answered in
another thread than the turn it falls into, so whoever changes a run, or reads it, holds its lock.
"""

import threading
import time
from dataclasses import dataclass, field

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from attention.dot_product import scaled_dot_product_attention
from attention.forward import ForwardPass, embed
from attention.positions import sinusoidal_positions
from attention.projections import Projections
from attention.scenario import MATRIX_NAMES, PRESETS, Matrix, selection
from attention.training import Trainer
from pages.shared import explain, figures, frame, lesson, stages
from pages.shared.settings import drop_matrices
from pages.shared.wording import plural, portion

TURN = 0.35  # seconds of training between two pictures
# From one turn to the next. Longer than a turn and its drawing: the browser asks for the next turn
# at this pace whatever happens, and a turn that is asked for while one draws cuts its drawing off.
EVERY = "0.65s"
FIRST = 5  # steps in the first turn; each may double what came before, as most is learned early
GUESSES = {"half": 0.5, "nine in ten": 0.9, "all": 1.0}
MEASURE = 100  # steps between two looks at held-out sentences
# What the trained head reads: word vectors and positions, and nothing edited or uploaded.
TRAINED_SETTINGS = drop_matrices() | {
    "matrices": "coreference",
    "unlocked": False,
    "X": None,
    **PRESETS["coreference"],
}


@dataclass
class Run:
    """A training run of one session, and what it has shown so far."""

    trainer: Trainer = field(default_factory=Trainer)
    running: bool = False
    seconds: float = 0.0
    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    measured: list[int] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def done(self) -> bool:
        return self.trainer.step_count >= self.trainer.config.steps

    def turn(self, seconds: float) -> None:
        """Train for about so long, for few steps in the beginning, or until someone pauses."""
        end = time.perf_counter() + seconds
        most = max(FIRST, self.trainer.step_count)
        for _ in range(most):
            if not self.running or self.done or time.perf_counter() >= end:
                break
            self.step()

    def pause(self) -> None:
        """Take no more turns; a step under way is finished when this returns."""
        self.running = False
        with self.lock:
            pass

    def matrices(self) -> Projections:
        """The weight matrices between two steps."""
        with self.lock:
            return self.trainer.projections

    def step(self) -> None:
        """Take one step; every now and then look at held-out sentences."""
        with self.lock:
            self._step()

    def _step(self) -> None:
        start = time.perf_counter()
        loss = self.trainer.step()
        self.seconds += time.perf_counter() - start
        self.steps.append(self.trainer.step_count)
        self.losses.append(loss)
        if self.trainer.step_count % MEASURE == 0 or self.trainer.step_count == 1 or self.done:
            self.measured.append(self.trainer.step_count)
            self.accuracies.append(self.trainer.accuracy_held_out())


def current() -> Run:
    """This session's run; arriving from another page pauses it."""
    run = frame.session("training", Run)
    if frame.arrived():
        run.pause()
    return run


def controls() -> None:
    """What steers the run on the left, what it will come to as a question on the right."""
    run = current()
    left, right = st.columns([2, 3], gap="small")
    with left:
        _buttons(run)
    with right:
        _predict(run)


def _buttons(run: Run) -> None:
    """Start or pause, one step, reset, and the way to the playground."""
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        if run.done:
            st.button("Start again", key="learn_start", type="primary", on_click=_reset_and_start)
        else:
            label = "Pause" if run.running else "Start" if not run.steps else "Go on"
            st.button(label, key="learn_start", type="primary", on_click=_toggle)
        st.button("One step", key="learn_step", disabled=run.running or run.done, on_click=_step)
        st.button("Reset", key="learn_reset", disabled=not run.steps, on_click=_reset)
        if st.button(
            "Take it to the playground",
            key="learn_take",
            disabled=not run.steps,
            on_click=_take,
            help="Puts these matrices, as they are now, in the place of those on the first screen",
        ):
            frame.go_to("playground")


def _predict(run: Run) -> None:
    """Ask how good the head will be; the end of the run tells."""
    question = (
        "300 sentences are held out, with nouns and patterns that training never shows. In how "
        f"many does the pronoun look first at its noun after {run.trainer.config.steps:,} steps?"
    )
    if not run.done:
        later = "The end of the run shows whether you are right."
        lesson.guess("learn", question, tuple(GUESSES), later)
        return
    share = run.accuracies[-1]
    lesson.predict(
        "learn",
        question,
        tuple(GUESSES),
        min(GUESSES, key=lambda guess: abs(GUESSES[guess] - share)),
        f"It is {share:.0%}. A head reads each word’s numbers with one matrix: most nouns can be "
        "told from verbs and adjectives that way, some cannot.",
    )


def _toggle() -> None:
    frame.acted()
    run = current()
    if run.running:
        run.pause()
    else:
        run.running = True


def _step() -> None:
    frame.acted()
    current().step()


def _reset() -> None:
    frame.acted()
    current().pause()
    frame.session("training", Run, new=True)


def _reset_and_start() -> None:
    _reset()
    current().running = True


def _take() -> None:
    run = current()
    run.pause()
    W = run.matrices()
    matrices = {name: Matrix.of(getattr(W, name)) for name in MATRIX_NAMES}
    frame.change(**TRAINED_SETTINGS | matrices)


def live(result: ForwardPass) -> None:
    """The pictures, redrawn in turns while training goes on."""
    run = current()
    st.fragment(_turn, run_every=EVERY if run.running else None)(result)


def _turn(result: ForwardPass) -> None:
    run = current()
    if run.running:
        run.turn(TURN)
        if run.done:
            run.running = False
            st.rerun()
    X = trained_inputs(result)
    weights = attend(X, run.matrices())
    query, _ = selection(result.scenario, result.tokens, result.attention.weights[0])
    _progress(run)
    left, right = st.columns(2, gap="medium")
    colours = stages.palette()
    with left:
        key = int(np.argmax(weights[query]))
        word, most = explain.quoted(result, query), explain.quoted(result, key)
        st.markdown(f"**{word} gives most, {portion(weights[query, key])}, to {most}**")
        texts = result.tokens.texts
        with st.container(key="learn_row"):
            st.plotly_chart(
                figures.bars(weights[query], colours, texts=texts, chosen=key, height=130),
                key="learn_row_chart",
                theme=None,
                config=figures.CONFIG,
                alt=f"Weights of one word after {run.trainer.step_count} steps",
            )
        axis = figures.Axis(texts, tuple(~result.known), ((query, colours.query),))
        with st.container(key="learn_map"):
            st.plotly_chart(
                figures.heatmap(
                    weights,
                    colours,
                    rows=axis,
                    columns=figures.Axis(texts, tuple(~result.known), ((key, colours.key),)),
                    limit=1.0,
                    weights=True,
                    hover="%{y} → %{x}: %{z:.3f}",
                    height=figures.map_height(len(texts)) + figures.label_height(axis),
                ),
                key="learn_map_chart",
                theme=None,
                config=figures.CONFIG,
                alt="Attention weights of the sentence with the matrices as they are now",
            )
    with right:
        st.markdown(
            "**Loss**, falling, and **held-out sentences** in which the pronoun finds its noun"
            + ("" if run.steps else " :gray[(press Start)]")
        )
        with st.container(key="learn_curve"):
            st.plotly_chart(
                curves(run, colours),
                key="learn_curve_chart",
                theme=None,
                config=figures.CONFIG,
                alt=f"Loss and held-out accuracy over {run.trainer.step_count} steps",
            )


def _progress(run: Run) -> None:
    total, done = run.trainer.config.steps, run.trainer.step_count
    rate = f", {done / run.seconds:.0f} steps a second" if run.seconds else ""
    accuracy = f"; right on {run.accuracies[-1]:.0%} of held-out" if run.accuracies else ""
    st.progress(min(done / total, 1.0), text=f"{plural(done, 'step')} of {total:,}{rate}{accuracy}")


def trained_inputs(result: ForwardPass) -> np.ndarray:
    """The sentence as the trained heads read it, (T, 50): word vectors and positions."""
    scenario = result.scenario.replace(**TRAINED_SETTINGS)
    vectors = embed(result.tokens, scenario).X
    return vectors + sinusoidal_positions(*vectors.shape)


def attend(X: np.ndarray, W: Projections) -> np.ndarray:
    """The attention weights (T, T) of one head."""
    return scaled_dot_product_attention(X @ W.W_q, X @ W.W_k, X @ W.W_v).weights


def curves(run: Run, colours) -> go.Figure:
    """Loss (left axis) and held-out accuracy (right axis) over the steps."""
    every = max(1, len(run.steps) // 400)
    loss = go.Scatter(
        x=run.steps[::every],
        y=smoothed(run.losses)[::every],
        mode="lines",
        line={"color": colours.muted, "width": 1.5},
        name="loss",
        hovertemplate="step %{x}: loss %{y:.2f}<extra></extra>",
    )
    accuracy = go.Scatter(
        x=run.measured,
        y=run.accuracies,
        yaxis="y2",
        mode="lines+markers",
        line={"color": colours.key, "width": 2},
        marker={"size": 5},
        name="held-out accuracy",
        hovertemplate="step %{x}: %{y:.0%} right<extra></extra>",
    )
    plain = {"showgrid": False, "zeroline": False, "fixedrange": True}
    layout = {
        "template": figures.BLANK,
        "height": 360,
        "margin": {"l": 40, "r": 44, "t": 10, "b": 36},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": figures.FONT, "color": colours.muted, "size": 11},
        "dragmode": False,
        "showlegend": False,
        "xaxis": plain
        | {
            "range": [0, 1.03 * run.trainer.config.steps],
            "title": {"text": "steps", "standoff": 4},
        },
        "yaxis": plain | {"rangemode": "tozero", "title": {"text": "loss", "standoff": 4}},
        "yaxis2": plain
        | {
            "overlaying": "y",
            "side": "right",
            "range": [0, 1.02],
            "tickvals": [0, 0.25, 0.5, 0.75, 1],
            "ticktext": ["0", "25 %", "50 %", "75 %", "100 %"],
            "tickfont": {"color": colours.key},
        },
    }
    return go.Figure(data=[loss, accuracy], layout=layout)


def smoothed(losses: list[float], width: int = 20) -> np.ndarray:
    """Each loss as the mean of the last `width`, so that the line can be read."""
    if not losses:
        return np.zeros(0, np.float32)
    total = np.cumsum(np.concatenate(([0.0], losses)))
    ends = np.arange(1, len(losses) + 1)
    starts = np.maximum(ends - width, 0)
    return ((total[ends] - total[starts]) / (ends - starts)).astype(np.float32)
