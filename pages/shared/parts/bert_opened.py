"""The chosen head of BERT from near: its arithmetic, its links, a token left out, what it means."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import streamlit as st

from attention.heads import sink_share, strongest_links
from pages.shared import arithmetic, explain, frame, lesson, stages
from pages.shared.frame import bound, change
from pages.shared.parts import bert_figures, bert_model, bert_view
from pages.shared.parts.bert import about_view, chart
from pages.shared.parts.bert_figures import head_map
from pages.shared.parts.bert_view import View
from pages.shared.parts.start import sum_lines
from pages.shared.wording import distinct, number, plural, round_up

# ---- the arithmetic


def arithmetic_panel(now: View) -> None:
    """One weight opened: q·k number by number, then the way to the weight and the output."""
    with st.container(border=True, key="bert_arithmetic"):
        pair = now.pair
        if pair is None:
            st.markdown(":gray[Nothing is open. Click a cell of the map.]")
            return
        query, key = pair
        opened = bert_view.cell(now, query, key, frame.scenario().component)
        q, k = explain.quoted(now.trace, query), explain.quoted(now.trace, key)
        left, right = st.columns([3, 8], gap="small")
        with left, st.container(gap="xxsmall"):
            a, h = now.attention, now.head
            st.markdown(f"**:violet[q {q}] and :green[k {k}]**, and their {a.Q.shape[-1]} products")
            chart(
                "bert_products",
                bert_figures.products(
                    a.Q[h, query], a.K[h, key], stages.palette(), component=opened.component
                ),
                f"The products of query and key, which add up to {opened.score.result}.",
            )
            _pieces_note(now, query, key)
        with right:
            _sums(now, opened, query, key)


def _pieces_note(now: View, query: int, key: int) -> None:
    if len(now.pieces[now.queries[0]]) > 1 or len(now.pieces[now.key]) > 1:
        q, k = explain.quoted(now.trace, query), explain.quoted(now.trace, key)
        st.markdown(f":small[:gray[Computed for word pieces: {q} and {k}.]]")


def _sums(now: View, opened: bert_view.Cell, query: int, key: int) -> None:
    """Score, scaled, weight and output; then one number of query and key with its bias."""
    q, k = explain.quoted(now.trace, query), explain.quoted(now.trace, key)
    d_k = now.attention.Q.shape[-1]
    one, two, three = st.columns(3, gap="small")
    with one:
        st.markdown(
            f"**:violet[q] · :green[k] = {opened.score.result}**  \n"
            + sum_lines(opened.score, "violet", "green")
        )
        line = opened.scaled
        st.markdown(
            f"**÷ $\\sqrt{{{d_k}}}$ = {line.result}**  \n"
            f":small[{line.dividend} ÷ {line.divisor} = {line.result}]"
        )
    with two:
        st.markdown(_weight_lines(now, opened.weight, query, key))
        st.markdown(
            f"**Σ weight × :orange[v], column {opened.column} = {opened.output.result}**  \n"
            + sum_lines(opened.output, None, "orange", now.trace)
        )
    with three:
        for letter, hue, word, total in (
            ("q", "violet", q, opened.q),
            ("k", "green", k, opened.k),
        ):
            st.markdown(
                f"**:{hue}[{letter} {word}], number {opened.component} = {total.result}**  \n"
                + _projection_lines(total, hue)
            )


def _weight_lines(now: View, opened: arithmetic.Softmax, query: int, key: int) -> str:
    shown, more, rest = opened.others(key, 1)
    parts = [f"{opened.power} {explain.quoted(now.trace, key)}"]
    parts += [f"{power} {explain.quoted(now.trace, place)}" for place, power in shown]
    if more:
        parts.append(f"{rest} :gray[({more} more)]")
    exponent = opened.exponent if opened.exponent.strip("−.0") else "0"
    lines = [
        f"{' + '.join(parts)} = {opened.total}",
        f"{opened.power} ÷ {opened.total} = {opened.result}",
    ]
    row = now.trace.weights[now.layer, now.head, query]
    if now.specials == "renormalised" and not now.by_word:
        left = float(row[[p for group in now.pieces for p in group]].sum())
        line = arithmetic.quotient(float(row[key]), left)
        lines.append(f":gray[shown:] {line.dividend} ÷ {line.divisor} = {line.result}")
    text = "  \n".join(f":small[{line}]" for line in lines)
    return f"**$e^{{{exponent}}}$ ÷ sum of powers = {opened.result}**  \n{text}"


def _projection_lines(total: arithmetic.Sum, hue: str) -> str:
    """The largest products of x and a column of W, the rest as one, and the bias by itself."""
    *terms, bias = total.terms
    products = replace(total, terms=tuple(terms))
    more, rest = products.rest(2)
    parts = [f"{t.left} × :{hue}[{t.right}] = {t.product}" for t in products.largest(2)]
    parts += [f":gray[{more} more] = {rest}", f":gray[bias] = {bias.product}"]
    rounded = "" if total.exact == total.result else f" → {total.result}"
    parts.append(f":gray[sum] {total.exact}{rounded}")
    lines = [" &emsp; ".join(parts[i : i + 2]) for i in range(0, len(parts), 2)]
    return "  \n".join(f":small[{line}]" for line in lines)


# ---- links, and the mean of all heads


def links_and_mean(now: View) -> None:
    """The strongest links of the chosen head, and beside it the mean of all heads."""
    left, right = st.columns(2, gap="medium")
    with left, st.container(gap="xxsmall"):
        share = frame.scenario().link_share
        found = strongest_links(now.map, share)
        st.markdown(f"**{now.name} as links**: who looks, left, at whom, right")
        st.slider(
            "Of each row, the strongest links that together hold at least",
            5,
            100,
            step=5,
            format="%d %%",
            **bound("link_share", round(share * 20) * 5, take=lambda n: change(link_share=n / 100)),
        )
        palette = stages.palette()
        chart(
            "bert_links",
            bert_figures.links(now.tokens.texts, found, palette, queries=now.queries),
            f"{plural(len(found), 'link')} of {now.name}, out of {len(now.tokens) ** 2}.",
        )
        st.markdown(
            f":small[:gray[{len(found)} of {len(now.tokens) ** 2} links. Thicker: more weight. "
            f"Point at a token for its numbers. {about_view(now)}]]"
        )
    with right, st.container(gap="xxsmall"):
        _mean(now)


def _mean(now: View) -> None:
    if not lesson.predict("bert_mean", *mean_question(now)):
        return
    count = now.weights.shape[0] * now.weights.shape[1]
    st.markdown(f"**Mean of all {count} heads**: what no head does")
    chart(
        "bert_mean",
        head_map(now, now.mean, stages.palette(), numbers=True),
        f"The mean of all {count} maps; the largest weight is {number(float(now.mean.max()))}.",
    )
    st.markdown(f":small[:gray[{about_view(now)}]]")


def mean_question(now: View) -> tuple[str, list[str], tuple[str, ...], str]:
    """Where a token looks in the mean of all heads: question, options, answers and why."""
    query = now.queries[0]
    row, mine = now.mean[query], now.map[query]
    top = int(np.argmax(row))
    places = sorted({top, int(np.argmax(mine)), query, len(row) - 1, 0})
    names = {place: explain.quoted(now, place) for place in places}
    L, H = now.weights.shape[:2]
    q = explain.quoted(now, query)
    answers = tuple(
        names[place] for place in places if number(float(row[place])) == number(float(row[top]))
    )
    best = int(np.argmax(mine))
    why = (
        f"On average over {L * H} heads {q} gives {names[top]} {number(float(row[top]))}"
        + (f" and {names[best]} only {number(float(row[best]))}" if best != top else "")
        + f"; {now.name} alone gives {names[best]} {number(float(mine[best]))}. The mean blurs "
        "what heads do differently: it is no head’s attention, and not “the” attention."
    )
    asked = f"Average all {L * H} maps. Where does {q} look most?"
    return asked, [names[place] for place in places], answers, why


# ---- leave a word out


def leaving_out(now: View) -> None:
    """Mask tokens, run again, and show the difference."""
    labels = distinct(now.tokens.texts)
    place_of = {piece: place for place, group in enumerate(now.pieces) for piece in group}
    chosen = sorted({place_of[p] for p in frame.scenario().masked if p in place_of})
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("**Leave a token out and run again.** Nobody may look at", width="content")
        st.multiselect(
            "Tokens that nobody may look at",
            range(len(labels)),
            format_func=labels.__getitem__,
            label_visibility="collapsed",
            placeholder="choose",
            width=280,
            **bound("masked", chosen, take=lambda places: _take_masked(now, places), labels=labels),
        )
        st.markdown(":gray[in any layer. It may still look at others.]", width="content")
    if not chosen:
        return
    masked = tuple(sorted(piece for place in chosen for piece in now.pieces[place]))
    bert, _ = bert_model.model()
    sentence, _ = bert_view.beginning(frame.scenario().sentence, bert)
    after = bert_model.trace(sentence, masked, bert.source, bert)
    other = bert_view.view(after, frame.scenario())
    difference = other.map.astype(np.float64) - now.map
    limit = round_up(float(np.abs(difference).max()))
    veil = np.zeros(now.map.shape, bool)
    veil[:, chosen] = True
    palette = stages.palette()
    shown = (
        ("bert_before", f"**{now.name} before**", head_map(now, now.map, palette)),
        ("bert_after", "**Without**", head_map(now, other.map, palette, masked=veil)),
        (
            "bert_difference",
            f"**Difference** :small[{stages.legend('difference', limit)}]",
            head_map(now, difference, palette, limit=limit),
        ),
    )
    for column, (key, title, figure) in zip(st.columns(3, gap="small"), shown, strict=True):
        with column, st.container(gap="xxsmall"):
            st.markdown(title)
            chart(key, figure, title.replace("*", ""))
    st.markdown(f":small[:gray[{about_view(now)}]]")
    st.markdown(about_change(now, other))


def _take_masked(now: View, places: Sequence[int]) -> None:
    change(masked=tuple(piece for place in places for piece in now.pieces[place]))


def about_change(now: View, other: View) -> str:
    """What masking moved: the row in hand, the head that changed most, the vector in the end."""
    query = now.queries[0]
    q = explain.quoted(now, query)
    row = other.map[query]
    top = int(np.argmax(row))
    if not other.trace.mask.any():
        return "Nothing is left to look at: every weight is 0."
    text = (
        f"In {now.name} {q} now gives most to {explain.quoted(now, top)}: "
        f"{number(float(row[top]))}, before {number(float(now.map[query, top]))}. "
    )
    moved = np.abs(other.trace.weights - now.trace.weights).sum(axis=-1).mean(axis=-1) / 2
    layer, head = np.unravel_index(int(moved.argmax()), moved.shape)
    angle = _angle(now.trace.hidden[now.pieces[query][0]], other.trace.hidden[now.pieces[query][0]])
    return text + (
        f"L{layer}H{head} changed most: {number(float(moved[layer, head]))} of an average row went "
        f"elsewhere. After the last layer the vector of {q} has turned by **{angle:.0f}°**: that, "
        "not a map, says how much was lost to it."
    )


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    """Between two vectors, in degrees."""
    cos = float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
    return float(np.degrees(np.arccos(np.clip(cos, -1, 1))))


# ---- mistakes


def about_sinks(now: View) -> str:
    """Why so much goes to [CLS], with this sentence's numbers."""
    W = now.trace.weights
    named = next(n for n in bert_view.NAMED_HEADS if n.measure == "sink_share")
    lengths = bert_view.value_lengths(now, named.layer, named.head)
    everywhere, share = float(sink_share(W).mean()), float(sink_share(W[named.layer, named.head]))
    return (
        f"Heads rest there. On average over all heads [CLS] gets {number(everywhere)} of each row "
        f"here, in L{named.layer}H{named.head} {number(share)}. But what it hands over there, its "
        f"value through $W_o$, is {number(float(lengths[0]))} long, the others’ "
        f"{number(float(lengths[1:].mean()))} on average: a head that looks at [CLS] adds little. "
        "Such a *sink* is no bug."
    )


def about_explaining(now: View) -> str:
    """Why a weight is not an explanation, with this sentence's numbers."""
    query, key = now.queries[0], int(np.argmax(now.map[now.queries[0]]))
    q, k = explain.quoted(now, query), explain.quoted(now, key)
    L, H = now.weights.shape[:2]
    firsts = int((now.weights[:, :, query].argmax(axis=-1) == key).sum())
    others = f"{firsts - 1} of the other {L * H - 1} heads"
    aside = "" if now.specials == "shown" else ", [CLS] and [SEP] left aside"
    return (
        f"In the row of {q}, {now.name} gives {k} the largest weight{aside}; so "
        f"{'does' if firsts == 2 else 'do'} {others}, and "
        "after each layer the vectors are mixed anew. Jain and Wallace found quite other "
        "weights with the same answers; Wiegreffe and Pinter replied that it depends on what "
        "counts as an explanation. Test it: leave the word out, above, and see what changes."
    )
