"""The page on BERT: one sentence through MiniLM's heads, and everything about one of them."""

from collections.abc import Iterator, Sequence

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from attention.bert import BertTrace
from attention.files import FileProblem
from attention.scenario import FIELDS, NONE_SELECTED, SPECIALS, Scenario
from pages.shared import controls, explain, figures, frame, lesson, stages
from pages.shared.clicks import on_cell_click
from pages.shared.frame import bound, change
from pages.shared.panels import word_box
from pages.shared.parts import bert_figures, bert_model, bert_view
from pages.shared.parts.bert_figures import head_map
from pages.shared.parts.bert_view import Earned, View
from pages.shared.settings import drop_matrices
from pages.shared.wording import distinct, in_markdown, number, plural

TAKEN = "_head_taken"  # what was on screen before a head went to the playground
SPECIAL_TEXTS = {
    "shown": "[CLS], [SEP] shown",
    "hidden": "hidden",
    "renormalised": "hidden, renormalised",
}
NAME_TEXTS = {
    "coreference_share": "pronoun → noun",
    "previous_share": "previous word",
    "next_share": "next word",
    "sink_share": "sink",
    "column_share": "topic",
}


def start(name: str, idea: str, scenario: Scenario) -> View:
    """Begin the page: its name, the sentence, what was loaded; return what is to be shown."""
    lesson.heading(name, idea)
    try:
        bert, problem = bert_model.model()
    except FileProblem as missing:
        st.text(str(missing))
        st.stop()
    left, right = st.columns([3, 2], gap="small", vertical_alignment="center")
    with left:
        controls.sentence_input()
    with right, st.container(horizontal=True, vertical_alignment="center", gap="small"):
        controls.example_menu()
        bert_model.full_precision(bert, problem)
    st.markdown(f":small[:gray[{bert_model.about(bert)}]]")
    _way_back(scenario)
    sentence, left_out = bert_view.beginning(scenario.sentence, bert)
    now = bert_model.trace(sentence, (), bert.source, bert)
    if all(now.tokens.special):
        st.info("Type a sentence, or take one under Examples.")
        st.stop()
    if notes := list(_notes(now, left_out)):
        st.text(" ".join(notes))
    return bert_view.view(now, scenario)


def _notes(now: BertTrace, left_out: int) -> Iterator[str]:
    """What the reader should know of the word pieces."""
    if left_out:
        count = plural(len(now.tokens), "word piece")
        yield f"The page computes the first {count}, as if the rest were not there."
    if unknown := now.tokens.texts.count("[UNK]"):
        yield (
            f"{plural(unknown, 'word')} became [UNK]: MiniLM, which learned English, has no pieces "
            "for it and cannot tell such words apart."
        )


# ---- all heads, and the opened one


def options(now: View) -> None:
    """Which head, words or pieces, and what becomes of [CLS] and [SEP]."""
    L, H = now.weights.shape[:2]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for field, count, value in (("layer", L, now.layer), ("head", H, now.head)):
            st.selectbox(
                field.capitalize(),
                range(count),
                format_func=f"{field.capitalize()} {{}}".format,
                label_visibility="collapsed",
                width=115,
                **bound(field, value, take=lambda n, field=field: open_head(**{field: n})),
            )
        st.segmented_control(
            "[CLS] and [SEP]",
            SPECIALS,
            format_func=SPECIAL_TEXTS.__getitem__,
            label_visibility="collapsed",
            required=True,
            **bound("specials"),
        )
        st.toggle(
            "Words, not pieces",
            help="Rows of a word’s pieces are averaged, columns added (Clark et al. 2019)",
            **bound("by_word"),
        )
        label = f"Take {now.name} to the playground"
        help = "Its weight matrices, its biases and its input, number by number"
        if st.button(label, key="take_head", on_click=lambda: take(now), help=help):
            frame.go_to("playground")


def open_head(**place: int) -> None:
    """Open a head; the number of its queries and keys that was open is let go."""
    change(component=None, **place)


def overview(now: View) -> None:
    """All heads as one mosaic, and beside it the chosen one."""
    left, right = st.columns([4, 3], gap="medium")
    with left, st.container(gap="xxsmall"):
        L, H = now.weights.shape[:2]
        st.markdown(
            f"**All {L * H} heads**: layers down, heads across, counted from 0. Click one to open "
            "it. :small[□ 0 ■ 1]"
        )
        places = [(named.layer, named.head) for named in bert_view.NAMED_HEADS]
        chart(
            "bert_mosaic",
            bert_figures.mosaic(
                now.weights, stages.palette(), chosen=(now.layer, now.head), named=places
            ),
            f"The attention maps of all {L * H} heads, {L} layers by {H} heads; {now.name} is "
            "framed.",
        )
        st.markdown(f":small[:gray[{about_view(now)} Thin frames: the named heads below.]]")
    with right, st.container(gap="xxsmall"):
        _opened(now)


def about_view(now: View) -> str:
    """Say what was done to the weights before they were drawn."""
    parts = []
    if now.by_word:
        parts.append("Words: rows of a word’s pieces averaged, columns added.")
    if now.specials == "shown":
        parts.append("[CLS] and [SEP] shown: each row adds up to 1.")
    elif now.specials == "hidden":
        parts.append("[CLS] and [SEP] hidden: each row adds up to what it gives the rest.")
    else:
        parts.append(
            "[CLS] and [SEP] hidden and each row divided by what is left of it: proportions, no "
            "longer attention weights."
        )
    return " ".join(parts)


def _opened(now: View) -> None:
    """The chosen head: who looks, at whom, the map, and the rows in hand as bars."""
    texts = now.tokens.texts
    labels = distinct(texts)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{now.name}**", width="content")
        st.multiselect(
            "Queries: who looks",
            range(len(labels)),
            format_func=labels.__getitem__,
            label_visibility="collapsed",
            placeholder="who looks",
            width=210,
            **bound(
                "looking",
                list(now.queries),
                take=lambda places: _take_queries(now, places),
                labels=labels,
            ),
        )
        st.markdown(f"**{claim(now)}**", width="content")
        word_box(
            "Key: who is looked at",
            labels,
            "looked_at",
            now.key,
            width=120,
            placeholder="a token",
            take=lambda place: _take_key(now, place),
        )
    figure = head_map(now, now.map, stages.palette(), numbers=True)
    chart("bert_map", figure, explain_map(now))
    chart(
        "bert_row",
        figures.bars(
            now.row.astype(np.float32),
            stages.palette(),
            texts=texts,
            chosen=now.key,
            height=98 if len(texts) <= 14 else 118,
        ),
        explain_row(now),
    )
    st.markdown(f":gray[{insight(now)}]")


def _take_queries(now: View, places: Sequence[int]) -> None:
    change(looking=tuple(now.pieces[place][0] for place in places), looked_at=None, component=None)


def _take_key(now: View, place: int | None) -> None:
    change(looked_at=NONE_SELECTED if place is None else now.pieces[place][0], component=None)


def claim(now: View) -> str:
    """The words between the two selectors."""
    if now.key is None:
        return "looks at" if len(now.queries) == 1 else "look at"
    weight = number(float(now.row[now.key]))
    if len(now.queries) == 1:
        return f"puts {weight} on"
    return f"put {weight} of {len(now.queries)} on"


def insight(now: View) -> str:
    """What the bars add up to, and what they do not say."""
    total = float(now.row.sum())
    n = len(now.queries)
    written = number(total, 2)
    if n > 1:
        text = f"{n} rows added: the bars sum to {written}."
    else:
        text = f"The bars add up to {written}."
    if now.specials == "hidden":
        text += f" The other {number(n - total)} goes to [CLS] and [SEP], which are hidden."
    elif now.specials == "renormalised":
        kept = number(float(now.total[list(now.queries)].sum()))
        text += f" Without [CLS] and [SEP] {kept} of {n} was left, which is shown as a whole."
    top = int(np.argmax(now.row))
    if now.key is not None and top != now.key:
        text += f" Most goes to {explain.quoted(now, top)}: {number(float(now.row[top]))}."
    return text + " They show where this head looks, not why."


def explain_map(now: View) -> str:
    """The map as a sentence for a screen reader."""
    names = distinct(now.tokens.texts)
    query, key = np.unravel_index(int(np.argmax(now.map)), now.map.shape)
    return (
        f"Attention map of {now.name}: {len(names)} queries by {len(names)} keys; the largest "
        f"weight is {number(float(now.map[query, key]))}, of “{names[query]}” on “{names[key]}”."
    )


def explain_row(now: View) -> str:
    """The bars as a sentence for a screen reader."""
    names = distinct(now.tokens.texts)
    who = ", ".join(f"“{names[query]}”" for query in now.queries)
    each = ", ".join(
        f"{name} {number(float(weight))}" for name, weight in zip(names, now.row, strict=True)
    )
    return f"Where {who} looks in {now.name}: {each}"


def clicks(now: View) -> None:
    """Let a click open a head, a weight or a number of query and key."""
    step = bert_figures.stride(len(now.tokens))

    def took(key: str, x: int, y: int) -> None:
        if key == "bert_mosaic":
            open_head(layer=y // step, head=x // step)
        elif key == "bert_products":
            change(component=x)
        else:
            let_go = now.queries == (y,) and now.key == x
            looked_at = NONE_SELECTED if let_go else now.pieces[x][0]
            change(looking=(now.pieces[y][0],), looked_at=looked_at, component=None)

    on_cell_click(("bert_mosaic", "bert_map", "bert_products"), took)


# ---- names


def named_heads(now: View) -> None:
    """The heads with a name, and whether this sentence earns it."""
    st.markdown(
        "**Names, and what earns them on this sentence.** "
        ":gray[A figure from .5 on earns the name. Measured on word pieces, nothing hidden.]"
    )
    earned = bert_view.names(now.trace)
    for column, one in zip(st.columns(len(earned), gap="small"), earned, strict=True):
        layer, head = one.named.layer, one.named.head
        with column, st.container(border=True, gap="xxsmall", height="stretch"):
            st.button(
                f"L{layer}H{head} {NAME_TEXTS[one.named.measure]}",
                key=f"named_{layer}_{head}",
                type="primary" if (layer, head) == (now.layer, now.head) else "secondary",
                width="stretch",
                on_click=open_head,
                kwargs={"layer": layer, "head": head},
            )
            st.markdown(about_name(one, now.trace))


def about_name(one: Earned, of: BertTrace) -> str:
    """The figure of a named head, and what it says here."""
    if one.figure is None:
        return ":small[No pronoun with a word before it here: nothing to measure.]"
    figure = number(one.figure)
    verdict = "" if one.earned else " **Not earned here.**"
    if one.named.measure == "coreference_share":
        q, k = explain.quoted(of, one.query), explain.quoted(of, one.key)
        text = f"{q} gives {k} **{figure}**, other rows {number(one.others)}."
        if one.earned:
            text += " Earned if that is who is meant."
    elif one.named.measure == "column_share":
        k = explain.quoted(of, one.key)
        text = f"All rows give {k} **{figure}** on average, {one.first_in} of {len(of.tokens)} most"
        text += ": no coreference, whatever the pronoun’s row shows." if one.earned else "."
    else:
        where = {
            "previous_share": "the token before",
            "next_share": "the token after",
            "sink_share": "[CLS]",
        }[one.named.measure]
        text = f"**{figure}** of a row goes to {where}, on average."
    return f":small[{text}{verdict}]"


# ---- to the playground and back


def take(now: View) -> None:
    """Put the chosen head and its input in the place of the playground's."""
    before = frame.scenario()
    change(**drop_matrices() | bert_view.carried(now))
    frame.remember(TAKEN, (frame.scenario().sentence, before))
    frame.say(
        f"This is {now.name} of MiniLM-L6. X is what goes into layer {now.layer}, with a last "
        "column of ones, whose row in each matrix is the bias. W_o and the other heads stay behind."
    )


def _way_back(scenario: Scenario) -> None:
    """Offer the reader's own sentence after a head was taken to the playground."""
    sentence, before = frame.recall(TAKEN) or ("", None)
    if before is None or scenario.sentence != sentence:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.text("These are the word pieces that went to the playground.", width="content")
        st.button(
            f"Back to “{in_markdown(before.sentence[:60])}”",
            key="way_back",
            on_click=lambda: change(**{name: getattr(before, name) for name in FIELDS}),
        )


def chart(key: str, figure: go.Figure, alt: str) -> None:
    with st.container(key=key):
        st.plotly_chart(figure, key=f"{key}_chart", theme=None, config=figures.CONFIG, alt=alt)
