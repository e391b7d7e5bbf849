"""The parts of the playground: the insight and its bars, the eight stages, the arithmetic."""

from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st

from attention.forward import ForwardPass
from attention.scenario import NONE_SELECTED, STAGES, selection
from pages.shared import arithmetic, explain, figures, matrices, stages
from pages.shared.clicks import on_cell_click
from pages.shared.frame import acted, bound, change
from pages.shared.wording import distinct

BANDS = (STAGES[:4], STAGES[4:])


def chosen(result: ForwardPass) -> tuple[int, int | None]:
    """The selected query and key of what is on screen."""
    return selection(result.scenario, result.tokens, result.attention.weights[0])


def telling(result: ForwardPass) -> tuple[int, int | None]:
    """The selected query and key; until a word is chosen, the row that shares its weight visibly,
    whose largest is nearest to one half."""
    scenario, weights = result.scenario, result.attention.weights[0]
    if scenario.query is None:
        query = int(np.abs(weights.max(axis=-1) - 0.5).argmin())
        scenario = scenario.replace(query=query)
    return selection(scenario, result.tokens, weights)


def word_box(
    label: str,
    names: Sequence[str],
    field: str,
    value: int | None,
    *,
    places: Sequence[int] | None = None,
    width: int = 130,
    labelled: bool = False,
    placeholder: str | None = None,
    take: Callable | None = None,
) -> None:
    """Let the reader choose a word by its place, for a field of the scenario.

    names: the words as they are shown. places: those to choose from, by default all. placeholder:
    what stands there while none is chosen; without it one always is. take: see `frame.bound`.
    """
    may_be_empty = {} if placeholder is None else {"index": None, "placeholder": placeholder}
    st.selectbox(
        label,
        list(range(len(names))) if places is None else places,
        format_func=names.__getitem__,
        label_visibility="visible" if labelled else "collapsed",
        width=width,
        **may_be_empty,
        **bound(field, value, take, labels=names),
    )


def charts(result: ForwardPass) -> dict:
    """Draw the bars and the eight stages; return the places left for the words around them.

    The charts are sent before anything else on the page, because they are what a browser takes
    longest to draw, and what a person waits for.
    """
    query, key = chosen(result)
    limits, colours = stages.limits(result), stages.palette()
    left, right = st.columns(2, gap="small", vertical_alignment="bottom")
    rows = [st.columns(4, gap="small") for _ in BANDS]
    with right:
        _bars(result, query, key)
    places = {"insight": left}
    for columns, band in zip(rows, BANDS, strict=True):
        for column, stage in zip(columns, band, strict=True):
            with column, st.container(gap="xxsmall"):
                places[stage] = _header_place(result, stage)
                st.plotly_chart(
                    stages.stage_figure(result, stage, query, key, limits[stage], colours),
                    key=stage,
                    theme=None,
                    config=figures.CONFIG,
                    alt=explain.alt(result, stage),
                )
    return places


def _bars(result: ForwardPass, query: int, key: int | None) -> None:
    texts = result.tokens.texts
    row = result.attention.weights[0, query]
    height = 94 if len(texts) <= 14 else 122
    st.plotly_chart(
        figures.bars(row, stages.palette(), texts=texts, chosen=key, height=height),
        key="row",
        theme=None,
        config=figures.CONFIG,
        alt=explain.row_alt(result, query),
    )


def words(result: ForwardPass, places: dict) -> None:
    """Write what stands around the charts: the insight beside the bars, the stages' headers."""
    with places["insight"]:
        _insight(result)
    limits = stages.limits(result)
    for stage in STAGES:
        with places[stage]:
            _header(result, stage, limits[stage])


def _insight(result: ForwardPass) -> None:
    query, key = chosen(result)
    names = distinct(result.tokens.texts)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        word_box("Query: the word that looks", names, "query", query, width=140)
        st.subheader(explain.claim(result, query, key), anchor=False, width="content")
        word_box(
            "Key: the word that is looked at",
            names,
            "key",
            key,
            width=140,
            placeholder="a word",
            take=_take_key,
        )
    st.markdown(f":small[:gray[{explain.insight(result, query, key)}]]")


def _take_key(key: int | None) -> None:
    change(key=NONE_SELECTED if key is None else key)


def _has_button(result: ForwardPass, stage: str) -> bool:
    return bool(stages.FORMULAS[stage][3]) and "matrices" not in result.scenario.hide


def _header_place(result: ForwardPass, stage: str):
    if not _has_button(result, stage):
        return st.empty()
    return st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    )


def _header(result: ForwardPass, stage: str, limit: float) -> None:
    st.markdown(stages.title(result, stage, limit), width="content")
    if _has_button(result, stage):
        matrices.edit_button(result, stage, stages.FORMULAS[stage][3])


def clicks(result: ForwardPass) -> None:
    """Let a click on a cell open its arithmetic, and a second one let go."""
    query, key = chosen(result)
    by_column = result.scenario.convention == "columns"
    cell = arithmetic.opened(result)

    def take(stage: str, x: int, y: int) -> None:
        if stage in stages.MAPS:
            let_go = (y, x) == (query, key)
            change(query=y, key=NONE_SELECTED if let_go else x, cell="")
            return
        row, column = (x, y) if by_column else (y, x)
        held = query if stage in ("embeddings", "Q", "output") else key
        if cell == (stage, column) and row == held:
            change(cell="")
        elif stage in ("K", "V"):
            change(key=row, cell=f"{stage}.{column}")
        else:
            change(query=row, cell=f"{stage}.{column}", **({"key": None} if key is None else {}))

    on_cell_click(STAGES, take)


def show_arithmetic(result: ForwardPass) -> None:
    """Open the selected cells into their arithmetic, each sum under its stage."""
    if "arithmetic" in result.scenario.hide:
        return
    query, key = chosen(result)
    cell = arithmetic.opened(result)
    with st.container(border=True, key="arithmetic"):
        if cell and cell[0] != "output":
            row = key if cell[0] in ("K", "V") else query
            if row is not None:
                _vector_section(result, cell[0], row, cell[1])
                return
        if key is None:
            st.markdown(
                ":gray[Nothing is open. Click a cell of any chart, or choose a word above.]"
            )
            return
        score, scaling, weight, output = st.columns(4, gap="small")
        with score, st.container(gap="xxsmall"):
            _score_section(result, query, key)
        with scaling, st.container(gap="xxsmall"):
            _scaling_section(result, query, key)
        with weight, st.container(gap="xxsmall"):
            _weight_section(result, query, key)
        with output, st.container(gap="xxsmall"):
            _output_section(result, query, cell and cell[1])


def _telling_column(result: ForwardPass, query: int) -> int:
    """The output's largest column in this row."""
    return int(np.argmax(np.abs(arithmetic.stage_array(result, "output")[query])))


def _score_section(result: ForwardPass, query: int, key: int) -> None:
    total = arithmetic.score(result, query, key)
    q, k = explain.quoted(result, query), explain.quoted(result, key)
    _heading(f":violet[q {q}] · :green[k {k}] = {total.result}", total, "score", ("q", "k"), None)
    st.markdown(_lines(total, "violet", "green", shown=4))


def _scaling_section(result: ForwardPass, query: int, key: int) -> None:
    line = arithmetic.scaling(result, query, key)
    d_k = result.attention.K.shape[-1]
    if not result.scenario.scaling:
        st.markdown(f"**÷ 1 = {line.result}**")
        st.markdown(":gray[Scaling is off: the scores go into the softmax as they are.]")
        return
    st.markdown(
        f"**÷ $\\sqrt{{{d_k}}}$ = {line.result}**\n\n"
        + _small(
            f"{line.dividend} ÷ {line.divisor} = {line.result}",
            f":gray[If numbers spread by 1, {d_k} products add up to a spread of √{d_k}; "
            "dividing brings that back to 1.]",
        )
    )


def _weight_section(result: ForwardPass, query: int, key: int) -> None:
    opened = arithmetic.weight(result, query, key)
    if opened is None:
        st.markdown("**masked: weight 0**")
        st.markdown(
            ":gray[The mask sets this score to −∞ before the softmax, and $e^{-\\infty}=0$.]"
        )
        return
    shown, more, rest = opened.others(key, 1)
    parts = [f"{opened.power} {explain.quoted(result, key)}"]
    parts += [f"{power} {explain.quoted(result, place)}" for place, power in shown]
    if more:
        parts.append(f"{rest} :gray[({more} more)]")
    exponent = opened.exponent if opened.exponent.strip(".0") else "0"
    st.markdown(
        f"**$e^{{{exponent}}}$ ÷ sum of powers = {opened.result}**\n\n"
        + _small(
            f"{' + '.join(parts)} = {opened.total}",
            f"{opened.power} ÷ {opened.total} = {opened.result}",
            f":gray[exponent: {opened.scaled} − {opened.largest}, the row’s largest]",
        )
    )


def _output_section(result: ForwardPass, query: int, column: int | None) -> None:
    """One output cell; the row's largest until one is opened."""
    opened = column is not None
    column = column if opened else _telling_column(result, query)
    total = arithmetic.output(result, query, column)
    names = distinct(result.tokens.texts)
    what, why = ("Σ weight × :orange[v]", "") if opened else ("Output", " (largest)")
    _heading(
        f"{what}, {_side(result)} {column}{why} = {total.result}",
        total,
        "output",
        ("weight", "v"),
        names,
    )
    st.markdown(_lines(total, None, "orange", lambda place: explain.quoted(result, place), 2, 1))


def _vector_section(result: ForwardPass, stage: str, row: int, column: int) -> None:
    total = arithmetic.vector_cell(result, stage, row, column)
    word = explain.quoted(result, row)
    if stage == "embeddings":
        _embedding_section(result, total, row, column)
        return
    hue = {"Q": "violet", "K": "green", "V": "orange"}[stage]
    letter = stage.lower()
    side = _side(result)
    parts = [f"x {word}", f"{side} {column} of $W_{letter}$"]
    product = " · ".join(parts if side == "column" else parts[::-1])
    _heading(
        f":{hue}[{letter} {word}], {side} {column} = {product} = {total.result}",
        total,
        letter,
        ("x", f"W_{letter}"),
        None,
        closes=True,
    )
    st.markdown(_lines(total, None, hue, shown=14, per_line=5))


def _side(result: ForwardPass) -> str:
    """How the components of a vector are called: columns of x·W, rows of W·x."""
    return "row" if result.scenario.convention == "columns" else "column"


def _embedding_section(result: ForwardPass, total, row: int, column: int) -> None:
    word = explain.quoted(result, row)
    left, right = st.columns([4, 1])
    with right:
        _close_button()
    with left:
        st.markdown(f"**x {word}, {_side(result)} {column} = {total.result}**")
        names = {
            "word": "the word’s vector",
            "training": "what training added",
            "position": f"its position, {_position(result, column)}",
        }
        kinds = arithmetic.embedding_parts(result, row, column)
        parts = [
            f"{term.product} ({names[kind]})" for kind, term in zip(kinds, total.terms, strict=True)
        ]
        rounded = "" if total.exact == total.result else f" → {total.result}"
        st.markdown(f"{' + '.join(parts)} = {total.exact}{rounded}")


def _position(result: ForwardPass, column: int) -> str:
    wave = "cos" if column % 2 else "sin"
    return f"{wave} of its place ÷ 10000^({column - column % 2}/{result.X.shape[1]})"


def _heading(text: str, total, name: str, sides, labels, closes: bool = False) -> None:
    """A section's heading, with a button that lists all terms, and one that lets go."""
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.markdown(f"**{text}**", width="content")
        with st.container(horizontal=True, width="content", gap="medium"):
            if len(total.terms) > arithmetic.SHOWN and st.button(
                "All terms",
                key=f"all_terms_{name}",
                type="tertiary",
                on_click=acted,
                help=f"All {len(total.terms)} terms of this sum",
            ):
                _all_terms(text, total, sides, labels)
            if closes:
                _close_button()


def _close_button() -> None:
    st.button("Close", key="close_cell", type="tertiary", on_click=change, kwargs={"cell": ""})


@st.dialog("All terms", width="medium")
def _all_terms(text: str, total, sides: tuple[str, str], labels: list[str] | None) -> None:
    st.markdown(f"**{text}**")
    rows = {
        "": [labels[t.place] if labels else str(t.place) for t in total.terms],
        sides[0]: [t.left for t in total.terms],
        sides[1]: [t.right for t in total.terms],
        "product": [t.product for t in total.terms],
    }
    st.dataframe(rows, hide_index=True, height=420)
    st.text(
        f"The {len(total.terms)} products add up to {total.exact}"
        + (f", which rounds to {total.result}." if total.exact != total.result else ".")
    )


def _lines(total, left, right, name=None, shown: int = arithmetic.SHOWN, per_line: int = 2) -> str:
    """Print a sum's largest terms, a few a line, the rest as one, and what they add up to."""
    parts = []
    for term in total.largest(shown):
        a = f":{left}[{term.left}]" if left else term.left
        label = f" {name(term.place)}" if name else ""
        parts.append(f"{a} × :{right}[{term.right}]{label} = {term.product}")
    more, rest = total.rest(shown)
    rounded = "" if total.exact == total.result else f" → {total.result}"
    end = [f":gray[{more} more] = {rest}"] if more else []
    end.append(f":gray[sum] {total.exact}{rounded}")
    lines = [parts[i : i + per_line] for i in range(0, len(parts), per_line)]
    if len(lines[-1]) + len(end) <= per_line:
        lines[-1] += end
    else:
        lines.append(end)
    return _small(*(" &emsp; ".join(line) for line in lines))


def _small(*lines: str) -> str:
    return "  \n".join(f":small[{line}]" for line in lines)
