"""Parts of the practice page: choose, answer, check, and the sheet for a class or on paper."""

import re
from functools import lru_cache, partial

import streamlit as st

from attention.exercises import (
    KINDS,
    Blank,
    Exercise,
    Given,
    Pick,
    answer_text,
    exercise_sheet,
    is_solved,
    judge,
    sheet_html,
    typeset,
)
from attention.scenario import MAX_SEED, Scenario
from pages.shared import settings
from pages.shared.frame import acted, bound, change, kept, recall, remember, share_link

SOLVED, HELPED, WRONG, OPEN = "right", "right with the solution", "not right yet", "open"
LINE = r"\_" * 12  # to write on
HIDES = "arithmetic"  # a link that hides the arithmetic hides hints and solutions here

sheet = lru_cache(maxsize=64)(exercise_sheet)
paper = lru_cache(maxsize=16)(sheet_html)


def is_open(scenario: Scenario) -> bool:
    """True unless the link hides hints and solutions."""
    return HIDES not in scenario.hide


# ---- what has been answered


def answer_key(seed: int, number: int, place: int) -> str:
    """The name under which an answer is kept: sheet, exercise, blank."""
    return f"practice_{seed}_{number}_{place}"


def helped_key(seed: int, number: int) -> str:
    """The name under which it is kept that the solution was opened before the answer was right."""
    return f"practice_{seed}_{number}_helped"


def answers(seed: int, number: int) -> list[str | None]:
    """What has been answered to one exercise, None for each blank that is empty."""
    blanks = sheet(seed)[number - 1].blanks
    return [recall(answer_key(seed, number, place)) for place in range(len(blanks))]


def state(seed: int, number: int) -> str:
    """How far one exercise is: SOLVED, HELPED, WRONG or OPEN."""
    solved = is_solved(sheet(seed)[number - 1], answers(seed, number))
    if solved is None:
        return OPEN
    if not solved:
        return WRONG
    return HELPED if recall(helped_key(seed, number)) else SOLVED


# ---- the bar


def choose(scenario: Scenario) -> None:
    """Choose the exercise and the sheet; how much of it is done."""
    seed = scenario.sheet
    states = [state(seed, number) for number in range(1, len(KINDS) + 1)]
    # Plain titles: a label that changed with the answers would no longer be the option chosen.
    names = [f"{place}. {made.title}" for place, made in enumerate(sheet(seed), 1)]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="choose"):
        st.selectbox(
            "Exercise",
            (*range(1, len(KINDS) + 1), 0),
            format_func=lambda number: names[number - 1] if number else "The whole sheet, to print",
            width=330,
            **bound("exercise"),
        )
        st.number_input("Sheet", 1, MAX_SEED, width=130, **bound("sheet"))
        st.button("New sheet", key="new_sheet", on_click=_new_sheet)
    st.progress(sum(s in (SOLVED, HELPED) for s in states) / len(states), text=score(states))


def score(states: list[str]) -> str:
    """Write how much of a sheet is done, and which exercises to come back to."""
    parts = [f"**{states.count(SOLVED)} of {len(states)} right**"]
    for name in (HELPED, WRONG):
        places = [str(place) for place, each in enumerate(states, 1) if each == name]
        if places:
            parts.append(f"{name}: {', '.join(places)}")
    return " · ".join(parts)


def _new_sheet() -> None:
    change(sheet=settings.new_seed(), exercise=1)


# ---- one exercise


def one(scenario: Scenario) -> None:
    """The exercise in hand: question, answers, hint and solution."""
    seed, number = scenario.sheet, scenario.exercise
    made = sheet(seed)[number - 1]
    left, right = st.columns([5, 4], gap="small")
    with left, st.container(border=True, key="exercise_box"):
        kind = KINDS[number - 1]
        st.markdown(f"**{number}. {made.title}** :small[:gray[{kind.group}]]")
        st.markdown(in_markdown_math(made.question))
        _givens(made.givens)
        with st.container(horizontal=True, gap="small", key="blanks"):
            for place, blank in enumerate(made.blanks):
                _answer(answer_key(seed, number, place), blank)
        if any(isinstance(blank, Blank) and blank.within for blank in made.blanks):
            st.markdown(":small[:gray[Two decimals are enough. Write .25, 0,25 or 1/4.]]")
        _buttons(number, state(seed, number))
    with right:
        if is_open(scenario):
            _help(seed, number, made)


def _givens(givens: tuple[Given, ...]) -> None:
    if givens:
        with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="givens"):
            for given in givens:
                st.markdown(given_markdown(given), width="content")


def _answer(key: str, blank: Blank | Pick) -> None:
    """A field for one answer, and what there is to say about it."""
    wide = isinstance(blank, Pick)
    with st.container(gap="xxsmall", width=310 if wide else 150):
        label = in_markdown_math(blank.label)
        if isinstance(blank, Pick):
            answer = st.radio(label, blank.options, format_func=in_markdown_math, **kept(key))
        else:
            answer = st.text_input(label, max_chars=60, autocomplete="off", **kept(key))
        if answer:
            _say(blank, answer)


def _say(blank: Blank | Pick, answer: str) -> None:
    verdict = judge(blank, answer)
    if verdict.right is None:
        st.text(verdict.said)  # it quotes what was typed
    elif verdict.right:
        st.markdown("**✓ Right.**")
    else:
        st.markdown(f"**Not yet.** {in_markdown_math(verdict.said)}")


def _buttons(number: int, now: str) -> None:
    done = now in (SOLVED, HELPED)
    with st.container(horizontal=True, gap="small", key="exercise_buttons"):
        st.button("Check", key="check", on_click=acted, type="secondary" if done else "primary")
        st.button(
            "Previous",
            key="previous",
            on_click=change,
            kwargs={"exercise": number - 1},
            disabled=number == 1,
        )
        st.button(
            "Next",
            key="next",
            on_click=change,
            kwargs={"exercise": number % len(KINDS) + 1},
            type="primary" if done else "secondary",
            disabled=number == len(KINDS),
        )


def _help(seed: int, number: int, made: Exercise) -> None:
    """Hint and worked solution, each behind a switch of its own."""
    with st.container(border=True, key="help", gap="small"):
        if st.toggle("Hint", **kept(f"practice_{seed}_{number}_hint", False)):
            st.markdown(as_list(made.hint))
        tie = kept(f"practice_{seed}_{number}_solution", False)
        opened = partial(_open_solution, tie["on_change"], seed, number)
        if st.toggle("Worked solution", key=tie["key"], on_change=opened):
            st.markdown(as_list(made.solution))
            st.markdown(answers_markdown(made))


def _open_solution(keep, seed: int, number: int) -> None:
    if state(seed, number) != SOLVED:
        remember(helped_key(seed, number), True)
    keep()


# ---- the whole sheet


def whole_sheet(scenario: Scenario) -> None:
    """All exercises one below the other, for the browser's Print; with solutions when asked."""
    solutions = is_open(scenario) and st.toggle(
        "With solutions", **kept("practice_with_solutions", False)
    )
    group = ""
    for place, made in enumerate(sheet(scenario.sheet)):
        if KINDS[place].group != group:
            group = KINDS[place].group
            st.subheader(group, anchor=False)
        with st.container(gap="xsmall", key=f"paper_{place + 1}"):
            st.markdown(f"**{place + 1}. {made.title}** {in_markdown_math(made.question)}")
            if made.givens:
                st.markdown(" &emsp; ".join(map(given_markdown, made.givens)))
            if solutions:
                st.markdown(f"{as_list(made.solution)}\n\n{answers_markdown(made)}")
            else:
                st.markdown(" &emsp; ".join(map(_line_to_write_on, made.blanks)))


def _line_to_write_on(blank: Blank | Pick) -> str:
    if isinstance(blank, Pick):
        return " &ensp; ".join(f"☐ {in_markdown_math(option)}" for option in blank.options)
    return in_markdown_math(blank.label) + ": " + LINE


# ---- for a class, or on paper


def share(scenario: Scenario) -> None:
    """The link to this sheet, and the sheet as a file to print."""
    if "share" in scenario.hide:
        return
    seed = scenario.sheet
    link = share_link(Scenario(sheet=seed, hide=scenario.hide))
    with st.container(border=True, key="share_sheet", gap="small"):
        st.markdown(f"**Sheet {seed} for a class, or on paper.** This link gives the same numbers:")
        st.code(link, language=None, wrap_lines=True)
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            _download("Sheet to print", seed, False, link)
            if is_open(scenario):
                _download("With solutions", seed, True, link)
            hidden = tuple(name for name in scenario.hide if name != HIDES)
            show = not is_open(scenario)
            st.button(
                "Show hints and solutions" if show else "Hide hints and solutions in the link",
                key="hide_solutions",
                on_click=change,
                kwargs={"hide": hidden if show else (*hidden, HIDES)},
            )


def _download(label: str, seed: int, solutions: bool, link: str) -> None:
    st.download_button(
        label,
        partial(_as_bytes, seed, solutions, link),
        file_name=f"attention-exercises-{seed}{'-solutions' if solutions else ''}.html",
        mime="text/html",
        on_click="ignore",
        key=f"download_{'solutions' if solutions else 'sheet'}",
        help="One HTML file for any browser; print it from there",
    )


def _as_bytes(seed: int, solutions: bool, link: str) -> bytes:
    return paper(seed, solutions=solutions, link=link).encode()


# ---- the notation of `attention.exercises` in Streamlit's Markdown

_SIGNS = {
    "×": r"\times ",
    "·": r"\cdot ",
    "÷": r"\div ",
    "−": "-",
    "≈": r"\approx ",
    "…": r"\ldots ",
}
_HUES = {"q": "violet", "k": "green", "v": "orange"}


def in_latex(formula: str) -> str:
    """Write a formula of the exercises in LaTeX."""
    latex = typeset(formula, r"\sqrt{{{}}}", "^{{{}}}", "_{{{}}}")
    latex = re.sub(r"(?<![\\A-Za-z])[A-Za-z]{2,}", r"\\mathrm{\g<0>}", latex)
    latex = re.sub(r"(?<=\d),(?=\d{3})", "{,}", latex)
    return "".join(_SIGNS.get(sign, sign) for sign in latex)


def in_markdown_math(text: str) -> str:
    """Write a text of the exercises, formulas between dollar signs, for `st.markdown`."""
    pieces = text.split("$")
    return "".join(f"${in_latex(p)}$" if place % 2 else p for place, p in enumerate(pieces))


def given_markdown(given: Given) -> str:
    """Write a matrix or a table with its name, as one formula."""
    body = r" \\ ".join(" & ".join(map(in_latex, row)) for row in given.cells)
    matrix = rf"\begin{{bmatrix}} {body} \end{{bmatrix}}"
    if given.columns:
        matrix = _table(given)
    elif given.rows:
        beside = r" \\ ".join(rf"\text{{{word}}}" for word in given.rows)
        matrix = rf"\begin{{array}}{{r}} {beside} \end{{array}} {matrix}"
    if not given.name:
        return f"${matrix}$"
    name = f"${in_latex(given.name)}$"
    hue = _HUES.get(given.name.removeprefix("W_").lower())
    return f"{f':{hue}[{name}]' if hue else name} $= {matrix}$"


def _table(given: Given) -> str:
    rows = [[rf"\text{{{word}}}" for word in given.columns]]
    rows += [list(map(in_latex, cells)) for cells in given.cells]
    if given.rows:
        rows = [
            [head, *row]
            for head, row in zip(
                ("", *(rf"\text{{{word}}}" for word in given.rows)), rows, strict=True
            )
        ]
    head, *body = (" & ".join(row) for row in rows)
    columns = ("r|" if given.rows else "") + "r" * len(given.columns)
    lines = r" \\ ".join(body)
    return rf"\begin{{array}}{{{columns}}} {head} \\ \hline {lines} \end{{array}}"


def as_list(lines: tuple[str, ...]) -> str:
    """Write the lines of a hint or a solution as a list."""
    return "\n".join(f"- {in_markdown_math(line)}" for line in lines)


def answers_markdown(made: Exercise) -> str:
    """Write all answers of an exercise."""
    answers = (in_markdown_math(answer_text(blank)) for blank in made.blanks)
    return f"**{' &ensp; '.join(answers)}**"
