"""The page on GPT: a sentence goes on, word by word, under the eyes of every head.

Everything on the page follows from the scenario: the sentence, the settings, the seed, and how many
words have been written. The same link writes the same words.
"""

from dataclasses import dataclass

import plotly.graph_objects as go
import streamlit as st

from attention.decoder import GPT
from attention.files import FileProblem
from attention.gpt import HOW_TO_GET, decode, load_gpt
from attention.sampling import next_probabilities
from attention.scenario import MAX_SEED, Scenario
from attention.text import DEFAULT_SENTENCE
from pages.shared import controls, explain, figures, frame, lesson, stages
from pages.shared.clicks import on_cell_click
from pages.shared.frame import acted, bound, change
from pages.shared.panels import word_box
from pages.shared.parts import bert_figures, gpt_figures, gpt_view
from pages.shared.parts.gpt_view import END, NAMES, VARIABLE, Candidates, View
from pages.shared.wording import distinct, in_markdown, number, plural

PAUSE = "0.4s"  # between two words while it writes by itself
SEEN = "gpt_seen"  # the prompt whose next word was shown without a guess
NO_IDEA = "no idea"
EXAMPLES = (
    DEFAULT_SENTENCE,
    "The cat ate the fish. The dog ate the bread. The king ate the soup. Who ate the bread? The",
    "The girl lost the key in the garden. She was sad. The fox went to the",
    "The queen gave the apple to the horse because",
)
LARGER = "The capital of France is"


@dataclass
class Run:
    """Whether this session's GPT writes by itself, and what it has written."""

    writing: gpt_view.Writing
    running: bool = False


def current() -> Run:
    """This session's run; arriving from another page pauses it."""
    run = frame.session("gpt", lambda: Run(gpt_view.Writing()))
    if frame.arrived():
        run.running = False
    return run


# ---- the model and the sentence


@st.cache_resource(max_entries=3, show_spinner="Loading the model …")
def _load(source: str) -> GPT:
    """One copy of a model for everybody; it is read-only."""
    return load_gpt(source)


def start(name: str, idea: str, scenario: Scenario) -> View:
    """Begin the page: its name, the sentence, the model; return what is to be shown."""
    lesson.heading(name, idea)
    left, right = st.columns([3, 2], gap="small", vertical_alignment="center")
    with left:
        controls.sentence_input()
    with right, st.container(horizontal=True, vertical_alignment="center", gap="small"):
        source, model, problem = _model(scenario)
        _examples(scenario, source)
        _choose_model(source)
        _ways_to_larger(source)
    _about(source, model, problem)
    try:
        now = gpt_view.view(scenario, source, model, current().writing)
    except ValueError as refused:
        st.text(str(refused))
        st.stop()
    if now is None:
        st.info("Type a sentence, or take one under Examples.")
        st.stop()
    _about_prompt(now)
    return now


def _model(scenario: Scenario) -> tuple[str, GPT, str]:
    """The model that the scenario asks for, or the shipped one and why it is not that."""
    found = gpt_view.models()
    if scenario.gpt not in found:
        return "tiny", _load("tiny"), f"{NAMES[scenario.gpt]} is not on this machine."
    try:
        return scenario.gpt, _load(str(found[scenario.gpt])), ""
    except FileProblem as problem:
        return "tiny", _load("tiny"), f"{NAMES[scenario.gpt]} cannot be used. {problem}"


def _examples(scenario: Scenario, source: str) -> None:
    if "examples" not in scenario.hide:
        st.menu_button(
            "Examples",
            EXAMPLES if source == "tiny" else (*EXAMPLES, LARGER),
            format_func=in_markdown,
            key="gpt_examples",
            on_click=lambda: controls.take_sentence(st.session_state["gpt_examples"]),
        )


def _choose_model(source: str) -> None:
    found = gpt_view.models()
    if len(found) > 1:
        st.selectbox(
            "Model",
            list(found),
            format_func=NAMES.__getitem__,
            label_visibility="collapsed",
            width=175,
            **bound("gpt", source, take=lambda new: change(gpt=new, gpt_row=None)),
        )


def _ways_to_larger(source: str) -> None:
    """How to have a larger GPT on one's own machine."""
    popover = st.popover("A larger GPT", key="larger_popover", on_change=acted)
    if popover.open:
        with popover:
            st.markdown(
                "On your own machine. **SmolLM2**, 135 million numbers; then start the app again:"
            )
            st.code(HOW_TO_GET["smollm2"], language="bash", wrap_lines=True)
            st.markdown("**GPT-2**, 124 million numbers, into the folder of the app:")
            st.code(HOW_TO_GET["gpt2"], language="bash", wrap_lines=True)
            st.markdown(
                "**Any other** GPT-2 folder, or a Llama-type model in GGUF: name it as you start."
            )
            st.code(f"{VARIABLE}=path/to/model streamlit run app.py", language="bash")


def _about(source: str, model: GPT, problem: str) -> None:
    """What the model is, what it was trained on, and how to have a larger one."""
    if problem:
        st.text(f"{problem} The tiny GPT, which is shipped, stands in.")
    trained = "its file does not say on what it was trained"
    if model.trained_on:
        trained = f"trained on {model.trained_on}"
    text = in_markdown(
        f"{model.name}: {plural(len(model.layers), 'layer')} of {plural(model.n_heads, 'head')}, "
        f"{gpt_view.parameters(model):,} numbers, {trained}."
    )
    if source == "tiny":
        text += " It writes such stories and nothing else."
        if len(gpt_view.models()) == 1:
            text += f" For a larger one: `{HOW_TO_GET['smollm2']}`, then start the app again."
    st.markdown(f":small[:gray[{text}]]")


def _about_prompt(now: View) -> None:
    """What of the sentence the model cannot read."""
    notes = []
    if unknown := sum(now.prompt.unknown):
        notes.append(
            f"\\* {plural(unknown, 'word')} not among the {len(now.model.tokenizer):,} that it "
            "knows: it reads “unknown” there."
        )
    if now.prompt.n_left_out:
        kept = plural(len(now.prompt.ids), "token")
        notes.append(f"It reads the first {kept}, as if the rest were not there.")
    if notes:
        st.markdown(f":small[:gray[{' '.join(notes)}]]")


# ---- writing


def write_controls(now: View) -> None:
    """One word, go on or pause, undo, start over; and the seed of the draws."""
    run, n = current(), len(now.written)
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        over = bool(now.ending)
        st.button(
            "One word",
            key="gpt_one",
            type="primary",
            disabled=over or run.running,
            on_click=_write,
            args=(n + 1, now.prompt.ids),
        )
        label = "Pause" if run.running else "Go on"
        st.button(label, key="gpt_run", disabled=over, on_click=_toggle, args=(now.prompt.ids,))
        st.button(
            "Undo one word",
            key="gpt_undo",
            disabled=not n or run.running,
            on_click=_write,
            args=(n - 1, now.prompt.ids),
        )
        st.button(
            "Start over",
            key="gpt_reset",
            disabled=not n or run.running,
            on_click=_write,
            args=(0, now.prompt.ids),
        )
        st.markdown(":small[:gray[seed]]", width="content")
        st.number_input(
            "Seed of the draws",
            0,
            MAX_SEED,
            label_visibility="collapsed",
            width=110,
            help="Each draw depends on the seed and the place alone: the same seed, sentence and "
            "settings write the same text",
            **bound("gpt_seed"),
        )
        seed = now.scenario.gpt_seed
        st.button(
            "Another seed",
            key="gpt_other",
            type="tertiary",
            on_click=change,
            kwargs={"gpt_seed": seed + 1 if seed < MAX_SEED else 0, "gpt_row": None},
        )


def _write(count: int, prompt: tuple[int, ...]) -> None:
    frame.remember(SEEN, prompt)
    change(written=count, gpt_row=None)


def _toggle(prompt: tuple[int, ...]) -> None:
    frame.remember(SEEN, prompt)
    run = current()
    run.running = not run.running


def settings(now: View) -> None:
    """What bends the probabilities; beside it which head is open, and which token looks."""
    left, right = st.columns([2, 3], gap="medium", vertical_alignment="bottom")
    with left:
        _sampling()
    with right:
        _choose_head(now)


def _predicted(now: View) -> bool:
    """True once the reader has guessed, or has let the model write."""
    if now.written or frame.recall(SEEN) == now.prompt.ids:
        return True
    asked = gpt_view.question(now)
    last = explain.quoted(now, len(now.prompt.ids) - 1)
    found = gpt_view.candidates(now)
    first = " and ".join(f"“{option}”" for option in asked.right)
    second = in_markdown(found.texts[1])
    why = (
        f"{first} gets {number(float(found.plain[0]))}, then comes “{second}” with "
        f"{number(float(found.plain[1]))}."
    )
    if in_markdown(END) in asked.options:
        why += f" {END} ends the text."
    return lesson.predict(
        "gpt",
        f"Your sentence goes on after {last}. Which word does this model hold likeliest?",
        (*asked.options, NO_IDEA),
        asked.right,
        why,
    )


def _sampling() -> None:
    """Temperature, top-k and top-p."""
    one, two, three = st.columns(3, gap="small")
    with one:
        st.slider(
            "Temperature",
            0.0,
            2.0,
            step=0.05,
            format="%g",
            help="The logits are divided by it: below 1 the likely gain, above 1 the unlikely; at "
            "0 only the likeliest is left",
            **bound("gpt_temperature"),
        )
    with two:
        k = frame.scenario().top_k
        options = sorted({1, 2, 3, 5, 10, 20, 50, 100, k} - {0})
        st.select_slider(
            "Top-k",
            [*options, 0],
            format_func=lambda k: str(k) if k else "all",
            help="Then only the k likeliest stay (Fan et al. 2018)",
            **bound("top_k"),
        )
    with three:
        st.slider(
            "Top-p",
            0.05,
            1.0,
            step=0.05,
            format="%g",
            help="Then only the fewest of the likeliest stay that together reach p (Holtzman et "
            "al. 2020)",
            **bound("top_p"),
        )


def _choose_head(now: View) -> None:
    L, H = len(now.model.layers), now.model.n_heads
    names = distinct(now.tokens.texts)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for field, word, count, value in (
            ("gpt_layer", "Layer", L, now.layer),
            ("gpt_head", "Head", H, now.head),
        ):
            st.selectbox(
                word,
                range(count),
                format_func=f"{word} {{}}".format,
                label_visibility="collapsed",
                width=110,
                **bound(field, value),
            )
        word_box(
            "The token that looks",
            names,
            "gpt_row",
            now.row,
            width=140,
            take=lambda row: _take_row(now, row),
        )
        st.markdown(":small[:gray[who looks, and whose next word is shown]]", width="content")


def _take_row(now: View, row: int) -> None:
    change(gpt_row=None if row == len(now.tokens) - 1 else row)


# ---- what grows


def live(now: View) -> None:
    """The text, the next word, and the maps, drawn again with every word while it writes."""
    run = current()
    st.fragment(_turn, run_every=PAUSE if run.running else None)(now.source, now.model)


def _turn(source: str, model: GPT) -> None:
    run = current()
    now = gpt_view.view(frame.scenario(), source, model, run.writing)
    if run.running:
        if now.ending:
            run.running = False
            st.rerun()
        change(written=len(now.written) + 1, gpt_row=None)
        now = gpt_view.view(frame.scenario(), source, model, run.writing)
    _text(now)
    left, right = st.columns([2, 3], gap="medium")
    with left, st.container(gap="xxsmall"):
        if _predicted(now):
            _next_word(now)
    with right:
        _maps(now)


def _text(now: View) -> None:
    """The sentence and what was written behind it, and how the last word was drawn."""
    prompt = now.scenario.sentence.strip()
    if now.prompt.n_left_out:
        prompt = decode(now.prompt.ids, now.model)
    new = now.continuation
    gap = " " if new[:1].isspace() else ""
    text = f":gray[{in_markdown(prompt)}]"
    if new.strip():
        text += f"{gap}**{in_markdown(new.strip())}**"
    if now.written and now.written[-1].is_end:
        text += f" :gray[{END}]"
    with st.container(border=True, gap="xxsmall", key="gpt_text"):
        st.markdown(text)
        st.markdown(f":small[:gray[{_drawn(now)}]]")


def _drawn(now: View) -> str:
    """How the last word came about."""
    if not now.written:
        return "Press “One word”: it is drawn from the probabilities below and joined to the text."
    last, before = now.written[-1], now.written[:-1]
    ahead = before[-1].text if before else now.model.tokenizer.texts(now.prompt.ids[-1:])[0]
    word = in_markdown(gpt_view.pieces([last.id], now.model, ahead)[0])
    if now.scenario.gpt_temperature == 0 or now.scenario.top_k == 1:
        how = f"“{word}” was the likeliest; nothing is drawn."
    else:
        how = f"“{word}” was drawn at probability {number(last.probability)}."
    again = "Another setting writes the same number of words anew."
    return f"{how} {now.ending or again}"


def _next_word(now: View) -> None:
    """The probabilities of the next word as bars, what the settings do to them, and the sum."""
    found = gpt_view.candidates(now)
    last = explain.quoted(now, now.row)
    follows = ""
    if now.row + 1 < len(now.tokens):
        follows = f" :small[:green[■] what does come: {explain.quoted(now, now.row + 1)}]"
    st.markdown(f"**After {last}: the next word**{follows}")
    chart(
        "gpt_next",
        gpt_figures.next_words(found, stages.palette(), follower=now.follower),
        explain_next(now, found),
    )
    st.markdown(f":gray[{about_settings(now, found)}]")
    st.markdown(arithmetic(now, found))


def explain_next(now: View, found: Candidates) -> str:
    """The bars as a sentence for a screen reader."""
    each = ", ".join(
        f"“{text}” {number(float(p))}" for text, p in zip(found.texts, found.final, strict=True)
    )
    return f"Probabilities of the word after “{now.tokens.texts[now.row]}”: {each}"


def about_settings(now: View, found: Candidates) -> str:
    """What temperature, top-k and top-p do to these probabilities."""
    temperature = now.scenario.gpt_temperature
    words, first = found.n_rest + len(found.ids), in_markdown(found.texts[0])
    parts = []
    if temperature == 0:
        return f"Temperature 0: “{first}” alone is left, and nothing is random any more."
    if temperature != 1:
        cooled = next_probabilities(now.logits, temperature=temperature)[found.ids[0]]
        parts.append(
            f"Temperature {temperature:g} takes “{first}” from {number(float(found.plain[0]))} to "
            f"{number(float(cooled))}."
        )
    for setting, (count, held) in found.dropped.items():
        name = "Top-k" if setting == "top-k" else "Top-p"
        parts.append(f"{name} leaves out {plural(count, 'word')}, which had {number(held)}.")
    if not parts:
        return f"Any of the {words:,} tokens can be drawn, each as often as its bar says."
    if found.dropped:
        parts.append("What is left is divided by its sum.")
    return " ".join(parts) + " Strokes: before that."


def arithmetic(now: View, found: Candidates) -> str:
    """The probabilities of the two likeliest words, from their logits."""
    lines = []
    for i, text in list(zip(found.ids, found.texts, strict=True))[:2]:
        opened = gpt_view.share(now, i)
        if opened is None or (lines and float(opened.result) == 0):
            continue
        largest = f"({opened.largest})" if opened.largest.startswith("−") else opened.largest
        divided = f"({opened.logit} − {largest}) ÷ {now.scenario.gpt_temperature:g}"
        lines.append(
            f"“{in_markdown(text)}”: {divided} = {opened.exponent} → $e^{{{opened.exponent}}}$ = "
            f"{opened.power}, ÷ {opened.total} = **{opened.result}**"
        )
    if not lines:
        return ""
    note = f":gray[(logit − largest) ÷ temperature; the sum is that of all {found.n_kept:,} kept.]"
    return ":small[" + "  \n".join((*lines, note)) + "]"


def _maps(now: View) -> None:
    """All heads as one mosaic, beside it the open one."""
    L, H = len(now.model.layers), now.model.n_heads
    left, right = st.columns(2, gap="small")
    with left, st.container(gap="xxsmall"):
        st.markdown(f"**All {L * H} heads**: click one to open it :small[□ 0 ■ 1]")
        weights, joined = gpt_figures.coarser(now.weights)
        chart(
            "gpt_mosaic",
            bert_figures.mosaic(
                weights,
                stages.palette(),
                chosen=(now.layer, now.head),
                height=min(max(110 * L, 330), 620),
            ),
            f"The attention maps of all {L * H} heads, {L} layers by {H} heads; {now.name} is "
            "framed.",
        )
        note = f" Of {joined} × {joined} cells the largest is drawn." if joined > 1 else ""
        st.markdown(
            f":small[:gray[Layers down, heads across, counted from 0. Each word adds a row.{note}]]"
        )
    with right, st.container(gap="xxsmall"):
        row = now.map[now.row]
        top = int(row.argmax())
        st.markdown(
            f"**{now.name}: {explain.quoted(now, now.row)} looks most at "
            f"{explain.quoted(now, top)}: {number(float(row[top]))}**"
        )
        figure = gpt_figures.head_map(now, stages.palette())
        chart("gpt_map", figure, explain_map(now))
        st.markdown(f":small[:gray[{_about_row(now)}]]")
        if steps := gpt_view.two_steps(now):
            st.markdown(about_two_steps(now, steps))


def _about_row(now: View) -> str:
    hidden = len(now.tokens) - 1 - now.row
    text = f"The row adds up to {number(float(now.map[now.row].sum()))}"
    text += f"; {plural(hidden, 'later token')} closed to it." if hidden else "."
    return text + " It shows where this head looks, not why."


def explain_map(now: View) -> str:
    """The map as a sentence for a screen reader."""
    names = distinct(now.tokens.texts)
    row = now.map[now.row]
    top = int(row.argmax())
    return (
        f"Attention map of {now.name}: {len(names)} tokens, each looking at itself and those "
        f"before; “{names[now.row]}” looks most at “{names[top]}”, {number(float(row[top]))}."
    )


def about_two_steps(now: View, steps: gpt_view.TwoSteps) -> str:
    """How the tiny model finds an answer, in this sentence's numbers."""
    asks, sign, word = (
        explain.quoted(now, place) for place in (steps.asks, steps.sign, steps.word)
    )
    return (
        f"**How it finds “{in_markdown(now.tokens.texts[steps.word])}”**, two heads one after the "
        f"other: in L0H1 {sign} had looked at {word} ({number(steps.gathers)}); in "
        f"L1H1 {asks} now looks at that full stop ({number(steps.finds)}). Nobody told them to."
    )


def chart(key: str, figure: go.Figure, alt: str) -> None:
    with st.container(key=key):
        st.plotly_chart(figure, key=f"{key}_chart", theme=None, config=figures.CONFIG, alt=alt)


def clicks(now: View) -> None:
    """Let a click open a head, or choose the token that looks."""

    def took(key: str, x: int, y: int) -> None:
        run = current()
        then = gpt_view.view(frame.scenario(), now.source, now.model, run.writing)
        if key == "gpt_map":
            _take_row(then, min(y, len(then.tokens) - 1))
        else:
            tile = bert_figures.stride(gpt_figures.coarser(then.weights)[0].shape[-1])
            change(gpt_layer=y // tile, gpt_head=x // tile)

    on_cell_click(("gpt_mosaic", "gpt_map"), took)


# ---- the cache


def cache(now: View) -> None:
    """What the key/value cache is, how large, and how much time it saves, measured here."""
    st.markdown("**The cache of keys and values**")
    left, right = st.columns([2, 3], gap="medium")
    with left:
        st.markdown(about_cache(now))
    with right, st.container(gap="xsmall"):
        _speed(now)


def about_cache(now: View) -> str:
    """What is kept, and its bytes as a product."""
    model = now.model
    T, L = len(now.ids), len(model.layers)
    H, H_kv = model.n_heads, model.n_kv_heads
    p = model.layers[0].projections
    d_k, d_v = p.W_k.shape[1] // H_kv, p.W_v.shape[1] // H_kv
    bytes_ = gpt_view.size_of_cache(model, T)
    text = (
        "No token looks ahead, so a new word changes nothing in the rows before it: their "
        ":green[keys] and :orange[values] are kept. The new word then costs **one row** of each "
        f"map instead of all {T + 1}.  \n"
        f"{plural(T, 'token')} × {plural(L, 'layer')} × {plural(H_kv, 'head')} × ({d_k} + {d_v}) "
        f"numbers × {p.W_k.dtype.itemsize} bytes = **{bytes_:,} bytes**; at {model.max_tokens:,} "
        f"tokens, the most it takes, {gpt_view.size_of_cache(model, model.max_tokens):,}."
    )
    if H_kv < H:
        text += (
            f" {H // H_kv} heads of queries share one head of keys and values; without that it "
            f"would be {H // H_kv} times as much."
        )
    return text


def _speed(now: View) -> None:
    """The time of one more word with and without a cache, once asked for."""
    measured = frame.session("gpt_speed", dict)
    st.button(
        "Measure it again" if now.source in measured else "Measure it here",
        key="gpt_measure",
        on_click=_measure,
        args=(now, measured),
    )
    if now.source not in measured:
        st.markdown(":gray[Times one more word with the cache and without, at several lengths.]")
        return
    speed = measured[now.source]
    chart("gpt_speed", gpt_figures.speed(speed, stages.palette()), explain_speed(speed))
    st.markdown(f":gray[{explain_speed(speed)}]")


def _measure(now: View, measured: dict) -> None:
    acted()
    with st.spinner("Measuring …"):
        measured[now.source] = gpt_view.measure(now.ids, now.model)


def explain_speed(speed: gpt_view.Speed) -> str:
    """What was measured, in words."""
    return (
        f"Word {speed.lengths[-1]} took {number(speed.with_cache[-1])} ms with the cache and "
        f"{number(speed.without[-1])} ms without, {speed.gain:.1f} times as long. Measured just "
        "now where this app runs, which may be busy with other things."
    )


# ---- mistakes


def about_what_follows(now: View) -> str:
    """That no token sees what comes after it, with this text's numbers."""
    T = len(now.ids)
    if T < 2:
        return "No token can look ahead: the mask closes all that comes after it."
    row = gpt_view.later_row(now)
    moved = gpt_view.moved_by_what_follows(now, row)
    heads = len(now.model.layers) * now.model.n_heads
    if moved == 0:
        difference = "not one of its weights differs"
    elif moved < 1e-5:
        difference = "its weights are the same but for rounding"
    else:
        difference = f"its weights differ by up to {moved:.0e}"
    return (
        f"{explain.quoted(now, row)} gives exactly 0 to {_later(T - 1 - row)} after it, in all "
        f"{heads} heads. Computed again with the text cut off behind it, {difference}. That is how "
        "GPT could be trained on every word of a text at once, none seeing its answer, and why a "
        "cache works."
    )


def _later(count: int) -> str:
    return "the one token" if count == 1 else f"the {count} tokens"


def about_first(now: View) -> str:
    """Why the first token gets so much, with this text's numbers."""
    found = gpt_view.sink(now)
    if found is None:
        return (
            "With one token there is nothing else to look at. In longer texts, too, trained heads "
            "rest on the first token when they find nothing: a *sink* (Xiao et al. 2023)."
        )
    first = explain.quoted(now, 0)
    name = f"L{found.layer}H{found.head}"
    if found.mean > 2 * found.even:
        much = f"far more than the {number(found.even)} of rows that spread evenly"
    else:
        much = f"rows that spread evenly would give it {number(found.even)}"
    shorter = "so it adds little" if found.length < found.others else "no shorter than they"
    return (
        "Early rows have little else to look at, and weights must add up to 1: a head that finds "
        "nothing rests where it does no harm. In large GPTs nearly all heads above the first two "
        "layers rest on the first token (Xiao et al. 2023): a *sink*, no bug. Here the later rows "
        f"give {first} {number(found.mean)} on average ({much}), most in {name}, "
        f"{number(found.most)}. What it hands over there, its value through $W_o$, is "
        f"{number(found.length)} long, the others’ {number(found.others)}: {shorter}."
    )
