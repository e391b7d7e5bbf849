"""The reader's head beside others: every map, each head's part of the output, shared keys."""

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from attention.cache_size import cache_bytes, cache_sizes, sharing_name
from attention.dot_product import AttentionTrace
from attention.forward import ForwardPass, base_matrix
from attention.multi_head import merge_heads, multi_head_attention
from attention.projections import Projections, load_preset, random_matrix
from attention.scenario import MAX_SEED, selection
from pages.shared import explain, figures, lesson, stages
from pages.shared.clicks import on_cell_click
from pages.shared.colours import Palette
from pages.shared.frame import bound, change
from pages.shared.panels import word_box
from pages.shared.parts.qkv import gap
from pages.shared.wording import distinct, number, plural, round_up

MOST = 8
PER_CHART = 2  # maps side by side in one chart
LLAMA = {"n_heads": 32, "d_k": 128, "n_layers": 32}  # Llama 3.1 8B; Grattafiori et al. 2024, tab. 3
LLAMA_KV, LLAMA_TOKENS = 8, 131_072


@dataclass(frozen=True, eq=False)
class ManyHeads:
    """One sentence through H heads. head_parts (H, T, D): what each adds to every word's output."""

    projections: Projections
    trace: AttentionTrace
    head_parts: np.ndarray
    silenced: int | None

    @property
    def n_heads(self) -> int:
        """H."""
        return self.projections.n_heads

    @property
    def n_kv_heads(self) -> int:
        """H_kv."""
        return self.projections.n_kv_heads

    @property
    def output(self) -> np.ndarray:
        """The sum of all parts, (T, D)."""
        return self.head_parts.sum(axis=0)

    @property
    def moves(self) -> np.ndarray:
        """How far each output moves when a head is silenced, (H, T): the length of its part."""
        return np.linalg.norm(self.head_parts, axis=-1)

    def group(self, head: int) -> int:
        """Which head of keys and values a head uses."""
        return head * self.n_kv_heads // self.n_heads


def head_counts(n_heads: int, n_kv_heads: int) -> tuple[int, int]:
    """The heads asked for, and the most heads of keys and values, up to those asked for, that they
    can share evenly."""
    return n_heads, max(n for n in range(1, min(n_kv_heads, n_heads) + 1) if n_heads % n == 0)


def several(result: ForwardPass, n_heads: int, n_kv_heads: int) -> Projections:
    """Put random heads beside the reader's own, which comes first.

    Their numbers spread as much as those of the first head before any cell of it was edited. Head
    h has streams of its own, so more heads leave the earlier ones as they are. W_o is the trained
    one where there is one.
    """
    scenario, one = result.scenario, result.projections
    D, d_v = one.d_model, one.d_v
    if scenario.preset:
        W_o = load_preset(scenario.preset).W_o
    else:
        W_o = random_matrix("W_o, head 1", d_v, D, seed=scenario.seed, spread=1)
    base = {name: base_matrix(name, scenario, D) for name in ("W_q", "W_k", "W_v")} | {"W_o": W_o}

    def beside(name: str, first: np.ndarray, count: int, axis: int = 1) -> np.ndarray:
        size = float(np.sqrt(np.square(base[name], dtype=np.float64).mean()))
        drawn = [
            random_matrix(
                f"{name}, head {head}",
                *first.shape,
                seed=scenario.seed,
                distribution=scenario.distribution,
                spread=size * len(first) ** 0.5,
            )
            for head in range(2, count + 1)
        ]
        return np.concatenate([first, *drawn], axis=axis)

    return Projections(
        W_q=beside("W_q", one.W_q, n_heads),
        W_k=beside("W_k", one.W_k, n_kv_heads),
        W_v=beside("W_v", one.W_v, n_kv_heads),
        W_o=beside("W_o", W_o, n_heads, axis=0),
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
    )


def run(result: ForwardPass) -> ManyHeads:
    """Carry the sentence through the heads that the scenario asks for."""
    scenario = result.scenario
    projections = several(result, *head_counts(scenario.n_heads, scenario.n_kv_heads))
    trace = multi_head_attention(
        result.X,
        projections,
        is_causal=scenario.causal,
        scale=None if scenario.scaling else 1.0,
    )
    silenced = scenario.silenced
    if silenced is not None and silenced >= projections.n_heads:
        silenced = None
    return ManyHeads(projections, trace, parts(trace.heads, projections.W_o), silenced)


def parts(heads: np.ndarray, W_o: np.ndarray) -> np.ndarray:
    """What each head adds to the output: heads (H, T, d_v) by its own rows of W_o, (H, T, D).

    To merge heads and multiply by W_o is to add these up.
    """
    H, _, d_v = heads.shape
    return heads.astype(np.float64) @ W_o.reshape(H, d_v, -1)


def merged(many: ManyHeads) -> np.ndarray:
    """The heads' outputs side by side, (T, H·d_v), with the silenced head set to 0."""
    heads = np.array(many.trace.heads)
    if many.silenced is not None:
        heads[many.silenced] = 0
    return merge_heads(heads)


def silence(many: ManyHeads) -> np.ndarray:
    """The output (T, D) with one head set to 0 before all are merged and meet W_o."""
    return merged(many) @ many.projections.W_o


def shares(head_parts: np.ndarray) -> np.ndarray:
    """How much of each word's output comes from each head, (H, T): part·output ÷ output·output.

    They sum to 1 for each word, and one is negative where a part works against the rest; all 0
    where the output is 0.
    """
    output = head_parts.sum(axis=0)  # (T, D)
    along = (head_parts * output).sum(axis=-1)  # (H, T)
    whole = np.square(output).sum(axis=-1)  # (T,)
    return np.divide(along, whole, out=np.zeros_like(along), where=whole > 0)


def mean_map(many: ManyHeads) -> tuple[np.ndarray, np.ndarray]:
    """The mean of all maps (T, T), and the output (T, D) if every head used it."""
    p, trace = many.projections, many.trace
    mean = trace.weights.mean(axis=0, dtype=np.float64)
    V = np.repeat(trace.V, many.n_heads // many.n_kv_heads, axis=0)  # (H, T, d_v)
    return mean, parts(mean @ V, p.W_o).sum(axis=0)


def in_hand(result: ForwardPass) -> int:
    """The row in hand: that of every other page."""
    return selection(result.scenario, result.tokens, result.attention.weights[0])[0]


# ---- every head's map


def maps(result: ForwardPass) -> ManyHeads:
    """The controls, and the map of every head."""
    many, query = run(result), in_hand(result)
    _controls(result, many, query)
    charts = [
        range(first, min(first + PER_CHART, many.n_heads))
        for first in range(0, many.n_heads, PER_CHART)
    ]
    keys = [f"heads_{heads[0] + 1}" for heads in charts]
    for row in range(0, len(charts), 2):
        for column, key, heads in zip(
            st.columns(2, gap="small"), keys[row : row + 2], charts[row : row + 2], strict=False
        ):
            with column, st.container(key=key):
                _show(
                    key,
                    maps_figure(result, many, heads, query, stages.palette()),
                    _maps_alt(result, many, heads, query),
                )
    st.markdown(f":small[:gray[{_about_numbers(result, many)}]]")
    on_cell_click(keys, lambda key, x, y: change(query=y, key=x))
    return many


def _controls(result: ForwardPass, many: ManyHeads, query: int) -> None:
    names = distinct(result.tokens.texts)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.segmented_control(
            "Heads",
            range(1, MOST + 1),
            required=True,
            **bound("n_heads", take=lambda n: take_heads(many, n)),
        )
        options = [n for n in range(many.n_heads, 0, -1) if many.n_heads % n == 0]
        st.segmented_control(
            "Heads of keys and values",
            options,
            required=True,
            **bound("n_kv_heads", many.n_kv_heads),
        )
        word_box("Query", names, "query", query, labelled=True)
        seed = result.scenario.seed
        st.button(
            "Draw other random heads",
            key="other_heads",
            on_click=change,
            kwargs={"seed": seed % MAX_SEED + 1},
        )


def take_heads(many: ManyHeads, n_heads: int) -> None:
    """Change the number of heads; multi-head and multi-query stay what they are."""
    every = many.n_kv_heads == many.n_heads
    n_kv_heads = n_heads if every else head_counts(n_heads, many.n_kv_heads)[1]
    change(n_heads=n_heads, n_kv_heads=n_kv_heads)


def _about_numbers(result: ForwardPass, many: ManyHeads) -> str:
    """What the heads are made of, and how X is split."""
    p, scenario, H = many.projections, result.scenario, many.n_heads
    text = (
        f"$X W_q$ makes {p.W_q.shape[1]} numbers for each word"
        + (f", split into {H} times {p.d_k}. " if H > 1 else ". ")
        + "Head 1 is the head of the other pages"
    )
    if scenario.preset:
        text += ", learned"
    if H > 1:
        others = {2: "head 2 is", 3: "heads 2 and 3 are"}.get(H, f"heads 2 to {H} are")
        text += f"; {others} random, with numbers as large as its own (seed {scenario.seed})"
        text += ". In a real layer all heads are learned together"
    text += "."
    if not scenario.preset:
        text += " $W_o$ is random." if H > 1 else " $W_o$ is random, the rest as you set it."
    return text


def _maps_alt(result: ForwardPass, many: ManyHeads, heads: range, query: int) -> str:
    said = []
    for head in heads:
        row = many.trace.weights[head, query]
        top = int(row.argmax())
        said.append(f"head {head + 1} “{result.tokens.texts[top]}” {number(float(row[top]))}")
    return f"Where “{result.tokens.texts[query]}” looks most: {', '.join(said)}"


# ---- what each head adds


def silencing(result: ForwardPass, many: ManyHeads) -> None:
    """A prediction, then every head's share of every output, and one head silenced."""
    query = in_hand(result)
    if many.n_heads == 1:
        st.markdown("One head alone makes the whole output. Add a second to see shares.")
        return
    if not lesson.predict("heads", *question(result, many, query)):
        return
    st.segmented_control(
        "Silence a head",
        range(many.n_heads),
        format_func=lambda head: f"{head + 1}",
        **bound("silenced", many.silenced),
    )
    for column, draw in zip(
        st.columns([2, 1, 1] if many.silenced is None else [3, 2, 2, 2], gap="small"),
        (_merged, _output, _shares)
        if many.silenced is None
        else (_merged, _output, _part, _shares),
        strict=True,
    ):
        with column:
            draw(result, many, query)
    st.markdown(finding(result, many, query))


def _merged(result: ForwardPass, many: ManyHeads, query: int) -> None:
    Z = merged(many)
    limit = round_up(float(np.abs(many.trace.heads).max()))
    text = "**Merged**: the heads’ outputs side by side"
    if many.silenced is not None:
        text = f"**Merged**, head {many.silenced + 1} set to 0"
    _chart(
        f"{text} :small[{stages.legend('merged', limit)}]",
        "heads_merged",
        vectors_figure(result, Z, query, limit, stages.palette(), blocks=many.n_heads),
        _vectors_alt(Z),
    )


def _output(result: ForwardPass, many: ManyHeads, query: int) -> None:
    limit = output_limit(many)
    Z = many.trace.output if many.silenced is None else silence(many)
    text = "**Output**: merged $\\cdot\\,W_o$"
    if many.silenced is not None:
        text = f"**Output** without head {many.silenced + 1}"
    _chart(
        f"{text} :small[{stages.legend('output', limit)}]",
        "heads_output",
        vectors_figure(result, Z, query, limit, stages.palette()),
        _vectors_alt(Z),
    )


def _part(result: ForwardPass, many: ManyHeads, query: int) -> None:
    Z = many.head_parts[many.silenced]
    _chart(
        f"**Missing**: the part of head {many.silenced + 1}",
        "heads_part",
        vectors_figure(result, Z, query, output_limit(many), stages.palette()),
        _vectors_alt(Z),
    )


def _shares(result: ForwardPass, many: ManyHeads, query: int) -> None:
    each = ", ".join(
        f"head {head + 1} {number(float(share))}"
        for head, share in enumerate(shares(many.head_parts)[:, query])
    )
    _chart(
        f"**Share** of each head :small[{stages.legend('share', 1)}]",
        "heads_shares",
        shares_figure(result, many, query, stages.palette()),
        f"Shares of the output of “{result.tokens.texts[query]}”: {each}",
    )


def _vectors_alt(Z: np.ndarray) -> str:
    return (
        f"{Z.shape[0]} words by {Z.shape[1]} numbers, the largest {number(float(np.abs(Z).max()))}"
    )


def question(
    result: ForwardPass, many: ManyHeads, query: int
) -> tuple[str, list[str], tuple[str, ...], str]:
    """What changes when a head is silenced: question, options, answer and why."""
    q, moves = explain.quoted(result, query), many.moves[:, query]
    most = int(moves.argmax())
    options = ["the output and the other maps", "the output alone", "nothing"]
    answer = options[1] if moves[most] > 0 else options[2]
    each = ", ".join(
        f"without head {head + 1} by {number(move)}" for head, move in enumerate(moves.tolist())
    )
    asked = (
        f"Silence head {most + 1}: its part is left out of the sum. What changes for {q}: its "
        "output, and its rows in the maps of the other heads?"
    )
    why = (
        "No head reads another head’s map: all work from the same $X$, side by side. The output "
        f"of {q} moves {each}: how long each part is, as a vector. The maps cannot tell that: it "
        "is up to the values that a head mixes and to its rows of $W_o$."
    )
    return asked, options, (answer,), why


def finding(result: ForwardPass, many: ManyHeads, query: int) -> str:
    """What silencing did, in this sentence's numbers."""
    q, share = explain.quoted(result, query), shares(many.head_parts)
    if many.silenced is None:
        written = [number(float(s)) for s in share[:, query]]
        return (
            f"The output of {q} is the sum of {many.n_heads} parts, with shares "
            f"{' + '.join(map(bracketed, written))}; {sum_of(share[:, query])}. A share says how "
            "far a part points the way of the output; one below 0 pulls against it. Silence a head "
            "to see its part."
        )
    head, before = many.silenced, many.output
    after = silence(many)
    whole, move = float(np.linalg.norm(before[query])), float(many.moves[head, query])
    size = float(np.abs(before).max())
    apart = gap(float(np.abs(before - after - many.head_parts[head]).max()), size)
    most = int(share[head].argmax())
    text = (
        f"Without head {head + 1} the output of {q}, {number(whole)} long, moves by "
        f"**{number(move)}**; the head’s share of it was **{number(float(share[head, query]))}**. "
    )
    if len(result.tokens) > 1:
        text += (
            f"Its share is largest for {explain.quoted(result, most)}: "
            f"{number(float(share[head, most]))}. "
        )
    return text + (
        "The other heads’ maps and parts stay as they are: heads do not see each other. Output "
        f"less silenced output is the head’s part exactly (largest difference: {apart})."
    )


def bracketed(text: str) -> str:
    """A term of a sum; a negative one in brackets."""
    return f"({text})" if text.startswith("−") else text


def sum_of(share: np.ndarray) -> str:
    """Say what shares add up to, and that printed ones are rounded where it shows."""
    if not share.any():
        return "the output is 0, so there is nothing to share"
    printed = round(float(np.round(share, 2).sum()), 2)
    return "they add up to 1" + ("" if printed == 1 else " before they are rounded")


def output_limit(many: ManyHeads) -> float:
    """The end of the colour scale that the outputs share."""
    largest = [float(np.abs(many.output).max())]
    if many.silenced is not None:
        part = many.head_parts[many.silenced]
        largest += [float(np.abs(part).max()), float(np.abs(many.output - part).max())]
    return round_up(max(largest))


# ---- the cache


def cache(result: ForwardPass, many: ManyHeads) -> None:
    """What the keys and values of earlier words take, and what sharing them saves."""
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown(cache_text(result, many))
    sizes = cache_sizes(LLAMA_TOKENS, **LLAMA)
    with right, st.container(key="heads_cache", gap="xxsmall"):
        st.markdown(
            f"**Cache of Llama 3.1 8B** at {LLAMA_TOKENS:,} tokens, GiB, by heads of keys and "
            "values"
        )
        _show(
            "heads_cache",
            cache_figure(sizes, like_llama(many), stages.palette()),
            "Cache by heads of keys and values: "
            + ", ".join(f"{n}: {gib(size)} GiB" for n, size in sizes.items()),
        )


def like_llama(many: ManyHeads) -> int | None:
    """The heads of keys and values of a 32-head model that shares as the reader's heads do."""
    if many.n_kv_heads == 1 and many.n_heads > 1:
        return 1
    kv, rest = divmod(LLAMA["n_heads"] * many.n_kv_heads, many.n_heads)
    return None if rest else kv


def cache_text(result: ForwardPass, many: ManyHeads) -> str:
    """The cache of the reader's sentence as a product, and of a real model."""
    p, T, kv = many.projections, len(result.tokens), many.n_kv_heads
    name = sharing_name(many.n_heads, kv)
    size = cache_bytes(T, kv, p.d_k, p.d_v)
    every = cache_bytes(T, many.n_heads, p.d_k, p.d_v)
    if many.n_heads == 1:
        how = "One head has its own keys and values"
    elif kv == many.n_heads:
        how = "Each head has keys and values of its own"
    else:
        how = f"{many.n_heads // kv} heads share keys and values"
        how += f", {plural(kv, 'set')} in all" if kv > 1 else ": one set for all"
    less = f", instead of {every:,} with multi-head" if size != every else ""
    llama = {n: gib(bytes_) for n, bytes_ in cache_sizes(LLAMA_TOKENS, **LLAMA).items()}
    return (
        f"**Fewer keys and values.** A model that writes word by word keeps the keys and values of "
        f"all earlier words, and reads them again for every new one. {how}: **{name}** attention. "
        f"For your sentence:\n\n{plural(T, 'word')} × {plural(kv, 'head')} × ({p.d_k} + {p.d_v}) "
        f"numbers × 2 bytes (16 bits) = **{size:,} bytes**{less}.\n\n"
        "A real model has many layers and long texts. Llama 3.1 8B (32 layers of 32 heads, 128 + "
        f"128 numbers each) would need {llama[32]} GiB with multi-head; with {LLAMA_KV} sets for "
        f"its 32 heads it needs {llama[LLAMA_KV]}; multi-query would need {llama[1]}. Queries are "
        "not kept, so all heads still ask their own questions. Ainslie et al. found grouped-query "
        "nearly as good as multi-head, and multi-query less so."
    )


def gib(size: int) -> str:
    """Write bytes in GiB, as short as they are."""
    return f"{size / 2**30:g}"


# ---- misconceptions


def about_jobs(result: ForwardPass, many: ManyHeads) -> str:
    """Meet “told what to look for” with what a random head looks at."""
    query = in_hand(result)
    tops = many.trace.weights[:, query].argmax(axis=1)
    words = len({result.tokens.texts[top] for top in tops})
    text = (
        "Nobody tells it. Heads begin with different random numbers; training then moves all of "
        "them towards one goal, the right answer of the whole model. "
    )
    if many.n_heads > 1:
        row = many.trace.weights[1, query]
        q, k = (explain.quoted(result, place) for place in (query, int(row.argmax())))
        text += (
            f"Even head 2, random and trained for nothing, gives {k} {number(float(row.max()))} in "
            f"the row of {q}; your {many.n_heads} heads look most at {plural(words, 'word')} from "
            "there. A pattern is not yet a job. "
        )
    return text + (
        "In trained models some heads do come to be readable, and many can be silenced at little "
        "cost (Michel et al., Voita et al.)."
    )


def about_averages(result: ForwardPass, many: ManyHeads) -> str:
    """Meet “the average of the heads is the attention” with the output it would give."""
    query = in_hand(result)
    q = explain.quoted(result, query)
    if many.n_heads == 1:
        return "With one head it is. Choose two or more to see what an average hides."
    mean, output = mean_map(many)
    top = int(mean[query].argmax())
    most = float(many.trace.weights[:, query].max())
    whole = float(np.linalg.norm(many.output[query]))
    moved = float(np.linalg.norm(output[query] - many.output[query]))
    far = f", {moved / whole:.0%} of its length" if whole else ""
    return (
        f"No head has it. In the average the row of {q} gives at most "
        f"{number(float(mean[query, top]))} ({explain.quoted(result, top)}), while single heads "
        f"give up to {number(most)}. Each head mixes *its own* values by its own map: with the "
        f"average in every head the output of {q} would move by {number(moved)}{far}."
    )


# ---- figures: arrays in, Plotly figures out


def maps_figure(
    result: ForwardPass, many: ManyHeads, heads: range, query: int, palette: Palette
) -> go.Figure:
    """Draw the maps of up to two heads side by side, (T, T) each, with the row in hand marked and
    its largest weight written; a silenced head is veiled."""
    mask, T = many.trace.mask, len(result.tokens)
    masked = None if mask is None else ~np.broadcast_to(mask, (1, T, T))[0]
    texts, unknown = result.tokens.texts, tuple(~result.known)
    traces, shapes, notes, layout = [], [], [], {}
    for place, head in enumerate(heads):
        W = many.trace.weights[head]
        top = int(W[query].argmax())
        cells = [[""] * T for _ in range(T)]
        cells[query][top] = number(float(W[query, top]))
        columns = figures.Axis(texts, unknown)
        one = figures.heatmap(
            W,
            palette,
            rows=figures.Axis(texts, unknown, ((query, palette.query),)),
            columns=columns,
            limit=1.0,
            weights=True,
            cells=cells if T <= 24 else None,
            outlines=[figures.Outline((query, query), (0, T - 1), palette.query)],
            masked=masked,
            veil=1.0,
            hover="%{y} → %{x}: %{z:.3f}",
            height=figures.map_height(T) + figures.label_height(columns),
        )
        x, y = ("x", "y") if place == 0 else (f"x{place + 1}", f"y{place + 1}")
        (heat,) = one.data
        traces.append(heat.update(xaxis=x, yaxis=y))
        drawn = [shape.update(xref=x, yref=y) for shape in one.layout.shapes]
        if head == many.silenced:
            drawn.append(_veil_all(T, palette) | {"xref": x, "yref": y})
        shapes += drawn
        notes.append(_map_title(many, head, x, y, palette))
        layout |= {
            f"xaxis{x[1:]}": one.layout.xaxis.update(domain=_domain(place), anchor=y),
            f"yaxis{y[1:]}": one.layout.yaxis.update(anchor=x, showticklabels=place == 0),
        }
    common = one.layout
    return go.Figure(
        data=traces,
        layout={
            "height": common.height + 20,
            "margin": common.margin.update(t=22),
            "paper_bgcolor": common.paper_bgcolor,
            "plot_bgcolor": common.plot_bgcolor,
            "font": common.font,
            "hoverlabel": common.hoverlabel,
            "dragmode": False,
            "shapes": shapes,
            "annotations": notes,
            **layout,
        },
    )


def _domain(place: int) -> list[float]:
    width = (1 - 0.02 * (PER_CHART - 1)) / PER_CHART
    start = place * (width + 0.02)
    return [start, min(start + width, 1)]


def _veil_all(T: int, palette: Palette) -> dict:
    return {
        "type": "rect",
        "x0": -0.5,
        "x1": T - 0.5,
        "y0": -0.5,
        "y1": T - 0.5,
        "fillcolor": palette.background,
        "opacity": 0.75,
        "line": {"width": 0},
        "layer": "above",
    }


def _map_title(many: ManyHeads, head: int, x: str, y: str, palette: Palette) -> dict:
    text = f"<b>Head {head + 1}</b>"
    if many.n_kv_heads < many.n_heads:
        text += f", keys and values {many.group(head) + 1}"
    if head == many.silenced:
        text += " · silenced"
    return {
        "text": text,
        "xref": f"{x} domain",
        "yref": f"{y} domain",
        "x": 0,
        "y": 1,
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 12, "color": palette.text},
    }


def shares_figure(result: ForwardPass, many: ManyHeads, query: int, palette: Palette) -> go.Figure:
    """Draw each head's share of each word's output, (T, H)."""
    Z = shares(many.head_parts).T
    T, H = Z.shape
    marked = () if many.silenced is None else ((many.silenced, palette.text),)
    outlines = [figures.Outline((query, query), (0, H - 1), palette.query)]
    columns = figures.Axis(tuple(f"{head + 1}" for head in range(H)), marked=marked)
    figure = figures.heatmap(
        Z,
        palette,
        rows=_rows(result, query, palette),
        columns=columns,
        limit=1.0,
        cells=figures.number_cells(Z, decimals=2) if T <= stages.NUMBERED_TOKENS else None,
        outlines=outlines,
        hover="%{y}, head %{x}: %{z:.3f}",
        height=figures.map_height(T) + figures.label_height(columns),
    )
    figure.layout.xaxis.tickangle = 0
    return figure


def vectors_figure(
    result: ForwardPass,
    Z: np.ndarray,
    query: int,
    limit: float,
    palette: Palette,
    blocks: int = 1,
) -> go.Figure:
    """Draw one vector a word, (T, D), as tall as the shares beside it; frames around blocks of
    columns, if there are several."""
    T, width = Z.shape
    each = width // blocks
    frames = [
        figures.Outline((0, T - 1), (start, start + each - 1), palette.muted, width=1)
        for start in range(0, width if blocks > 1 else 0, each)
    ]
    numbered = width <= stages.NUMBERED_WIDTH and T <= stages.NUMBERED_TOKENS
    return figures.heatmap(
        Z.astype(np.float32),
        palette,
        rows=_rows(result, query, palette),
        columns=figures.Axis(),
        limit=limit,
        cells=figures.number_cells(Z, decimals=2) if numbered else None,
        outlines=[*frames, figures.Outline((query, query), (0, width - 1), palette.query)],
        hover="%{y}, column %{x}: %{z:.3f}",
        height=figures.map_height(T) + 2,
    )


def _rows(result: ForwardPass, query: int, palette: Palette) -> figures.Axis:
    return figures.Axis(result.tokens.texts, tuple(~result.known), ((query, palette.query),))


def cache_figure(sizes: dict[int, int], marked: int | None, palette: Palette) -> go.Figure:
    """Draw the cache's size for each number of key and value heads, the reader's kind marked."""
    counts = list(sizes)
    names = {counts[0]: "multi-head", counts[-1]: "multi-query", LLAMA_KV: "as built"}
    ticks = [f"{names[n]} · {n}" if n in names else f"{n}" for n in counts]
    bar = go.Bar(
        x=[size / 2**30 for size in sizes.values()],
        y=list(range(len(counts))),
        orientation="h",
        marker={"color": [palette.key if n == marked else palette.bar for n in counts]},
        text=[gib(size) for size in sizes.values()],
        textposition="outside",
        textfont={"size": 11, "color": palette.text},
        cliponaxis=False,
        hovertemplate="%{x:g} GiB<extra></extra>",
    )
    layout = {
        "height": 168,
        "margin": {"l": 96, "r": 30, "t": 2, "b": 2},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": figures.FONT, "color": palette.muted, "size": 11},
        "dragmode": False,
        "showlegend": False,
        "bargap": 0.25,
        "xaxis": {"visible": False, "fixedrange": True, "rangemode": "tozero"},
        "yaxis": {
            "tickmode": "array",
            "tickvals": list(range(len(counts))),
            "ticktext": ticks,
            "range": [len(counts) - 0.5, -0.5],
            "fixedrange": True,
            "showgrid": False,
            "ticks": "",
        },
    }
    return go.Figure(data=[bar], layout=layout)


def _chart(title: str, key: str, figure: go.Figure, alt: str) -> None:
    with st.container(gap="xxsmall", key=key):
        st.markdown(title)
        _show(key, figure, alt)


def _show(key: str, figure: go.Figure, alt: str) -> None:
    st.plotly_chart(figure, key=f"{key}_chart", theme=None, config=figures.CONFIG, alt=alt)
