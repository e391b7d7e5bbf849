"""The practice page: answers judged, help counted, a score that lasts, the same sheet by link."""

import re
from html import unescape
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from test_browser import settle

from attention.exercises import KINDS, Blank, Given, Pick, exercise, exercise_sheet, written
from pages.shared.parts import practice

APP = Path(__file__).parents[1] / "app.py"
LONG = "The cat sat on the mat and it saw the dog . " * 6
HOSTILE = ":red[a] $x$ **b** <b>c</b> [d](https://e.org) `f` \\n :material/home: ![g](h) a\u202eb"
LAST = len(KINDS)


def open_page(**link: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=60)
    for name, text in link.items():
        app.query_params[name] = text
    return app.switch_page("pages/practice.py").run()


def said(app: AppTest) -> str:
    return "\n".join(markdown.value for markdown in app.markdown)


def score(app: AppTest) -> str:
    return app.get("progress")[0].proto.text


def fill(app: AppTest, seed: int, number: int, answers) -> AppTest:
    """Type or choose the answers of the exercise on screen."""
    for place, answer in enumerate(answers):
        key = practice.answer_key(seed, number, place)
        blank = exercise(seed, number).blanks[place]
        widget = app.radio(key=key) if isinstance(blank, Pick) else app.text_input(key=key)
        widget.set_value(answer).run()
        assert not app.exception
    return app


def right_answers(seed: int, number: int) -> list[str]:
    blanks = exercise(seed, number).blanks
    return [b.value if isinstance(b, Pick) else written(b.value) for b in blanks]


@pytest.mark.parametrize(
    "link",
    [
        {},
        {"sentence": "a"},
        {"sentence": LONG},
        {"sentence": "القطة جلست على الحصير."},
        {"sentence": "👩\u200d👩\u200d👧 love 🍕🏽"},
        {"sentence": HOSTILE},
        {"sentence": ""},
        {"sheet": "0", "exercise": "31"},
        {"sheet": "1e9", "exercise": "-1"},
        {"sheet": "999999999", "exercise": "30"},
        {"hide": "arithmetic.share"},
    ],
)
def test_every_link_opens(link):
    app = open_page(**link)
    assert not app.exception
    assert app.button(key="check") and "**0 of 30 right**" in score(app)


@pytest.mark.parametrize("number", range(1, LAST + 1))
def test_every_exercise_opens_is_answered_and_solved(number):
    app = open_page(exercise=str(number), sheet="5")
    made = exercise(5, number)
    assert not app.exception and practice.in_markdown_math(made.question) in said(app)
    assert len(app.text_input) == sum(isinstance(b, Blank) for b in made.blanks)
    fill(app, 5, number, right_answers(5, number))
    assert said(app).count("**✓ Right.**") == len(made.blanks)
    assert "**1 of 30 right**" in score(app)
    assert app.selectbox(key="exercise").options[number - 1] == f"{number}. {made.title}"


def test_the_sheet_is_the_same_for_everyone_with_the_link():
    texts = {said(open_page(sheet="17", exercise="9", sentence=s)) for s in ("one", "two words")}
    assert len({text.partition("**Sheet 17")[0] for text in texts}) == 1
    assert open_page(sheet="18", exercise="9").markdown[2].value not in texts


# ---- answers


@pytest.mark.parametrize("typed", [".5", "0,5", "1/2", "½", " 50 % "])
def test_an_answer_may_be_written_in_any_way(typed):
    seed = next(s for s in range(1, 99) if exercise(s, 20).blanks[0].value == 0.5)
    app = fill(open_page(exercise="20", sheet=str(seed)), seed, 20, [typed])
    assert "**✓ Right.**" in said(app)


def test_a_wrong_answer_names_the_slip_and_can_be_mended():
    app = open_page(exercise="5")  # q · k = −4, divided by √4
    fill(app, 1, 5, ["-4"])
    assert r"**Not yet.** That is without dividing by $\sqrt{d_{k}}$." in said(app)
    assert score(app) == "**0 of 30 right** · not right yet: 5"
    fill(app, 1, 5, ["2"])
    assert "**Not yet.** Mind the sign." in said(app)
    fill(app, 1, 5, ["−2"])
    assert "**✓ Right.**" in said(app) and "not right yet" not in score(app)


def test_what_cannot_be_read_is_shown_as_typed_and_said_plainly():
    app = fill(open_page(), 1, 1, ["**e** $x$ :red[2]"])
    assert "“**e** $x$ :red[2]” is not read as a number." in app.text[0].value
    assert "**e**" not in said(app)


def test_an_exercise_counts_when_all_of_it_is_answered():
    right = right_answers(1, 8)
    app = fill(open_page(exercise="8"), 1, 8, right[:1])
    assert score(app) == "**0 of 30 right**"
    fill(app, 1, 8, right)
    assert score(app) == "**1 of 30 right**"


# ---- help


def test_hint_and_solution_open_on_request():
    app = open_page(exercise="9")
    made = exercise(1, 9)
    hint, solution = practice.as_list(made.hint), practice.as_list(made.solution)
    assert hint not in said(app) and solution not in said(app)
    app.toggle(key="practice_1_9_hint").set_value(True).run()
    assert hint in said(app) and solution not in said(app)
    app.toggle(key="practice_1_9_solution").set_value(True).run()
    assert solution in said(app) and practice.answers_markdown(made) in said(app)


def test_the_score_tells_what_was_right_without_the_solution():
    app = open_page()
    app.toggle(key="practice_1_1_solution").set_value(True).run()
    fill(app, 1, 1, right_answers(1, 1))
    assert score(app) == "**0 of 30 right** · right with the solution: 1"
    assert app.get("progress")[0].proto.value == round(100 / LAST)
    app.button(key="next").click().run()
    fill(app, 1, 2, right_answers(1, 2))
    app.toggle(key="practice_1_2_solution").set_value(True).run()  # looking later takes nothing
    assert score(app) == "**1 of 30 right** · right with the solution: 1"


def test_a_link_can_hide_hints_and_solutions():
    app = open_page(exercise="4")
    app.button(key="hide_solutions").click().run()
    assert app.query_params["hide"] == "arithmetic" and not app.toggle
    assert [e.label for e in app.get("expander")] == [
        "Terms on this page"
    ]  # the code would tell, too
    assert "hide=arithmetic" in app.code[0].value
    app.selectbox(key="exercise").set_value(0).run()
    assert not app.toggle
    app.button(key="hide_solutions").click().run()
    assert "hide" not in app.query_params and app.toggle


# ---- moving about


def test_the_score_survives_other_pages_exercises_and_sheets():
    app = fill(open_page(sheet="3"), 3, 1, right_answers(3, 1))
    app.button(key="next").click().run()
    assert app.query_params["exercise"] == "2"
    fill(app, 3, 2, ["99", "98"])
    app.switch_page("pages/playground.py").run()
    app.switch_page("pages/practice.py").run()
    assert score(app) == "**1 of 30 right** · not right yet: 2"
    assert app.text_input(key=practice.answer_key(3, 2, 0)).value == "99"
    app.number_input(key="sheet").set_value(4).run()
    assert score(app) == "**0 of 30 right**" and app.text_input[0].value in (None, "")
    app.number_input(key="sheet").set_value(3).run()
    assert score(app) == "**1 of 30 right** · not right yet: 2"
    app.button(key="previous").click().run()
    assert "**✓ Right.**" in said(app)


def test_first_last_and_new_sheet():
    app = open_page()
    assert app.button(key="previous").disabled and not app.button(key="next").disabled
    app.selectbox(key="exercise").set_value(LAST).run()
    assert app.query_params["exercise"] == str(LAST) and app.button(key="next").disabled
    app.button(key="new_sheet").click().run()
    assert app.query_params["sheet"] != "1" and "exercise" not in app.query_params
    assert not app.exception


def test_the_whole_sheet_stands_on_one_page_with_solutions_when_asked():
    app = open_page(exercise="0", sheet="6")
    text = said(app)
    for number, made in enumerate(exercise_sheet(6), 1):
        assert f"**{number}. {made.title}** {practice.in_markdown_math(made.question)}" in text
        assert practice.as_list(made.solution) not in text
    app.toggle(key="practice_with_solutions").set_value(True).run()
    assert all(practice.as_list(made.solution) in said(app) for made in exercise_sheet(6))


def test_the_link_of_the_sheet_holds_the_sheet_alone():
    app = open_page(sheet="8", exercise="20", sentence="mine", seed="5")
    assert app.code[0].value.partition("?")[2] == "sheet=8&version=2"
    paper = practice._as_bytes(8, False, "https://example.org/practice?sheet=8&version=2").decode()
    assert "sheet=8&version=2" in unescape(paper) and "Add up" not in paper
    assert "Add up" in practice._as_bytes(8, True, "").decode()


# ---- formulas


def test_formulas_in_latex_by_hand():
    assert practice.in_latex("e^−1.5 ÷ √(d_k)") == r"e^{-1.5} \div  \sqrt{d_{k}}"
    assert (
        practice.in_latex("q_it · K^T ≈ 1,024") == r"q_{\mathrm{it}} \cdot  K^{T} \approx  1{,}024"
    )
    assert practice.in_latex("ln(10)") == r"\mathrm{ln}(10)"
    assert practice.in_markdown_math("the $d_k$ of 4") == "the $d_{k}$ of 4"


def test_every_formula_becomes_closed_latex():
    for made in (made for seed in range(1, 30) for made in exercise_sheet(seed)):
        texts = [made.question, *made.hint, *made.solution, *(b.label for b in made.blanks)]
        texts += [o for b in made.blanks if isinstance(b, Pick) for o in b.options]
        markdown = [
            *map(practice.in_markdown_math, texts),
            *map(practice.given_markdown, made.givens),
        ]
        for formula in (f for text in markdown for f in text.split("$")[1::2]):
            assert formula.isascii(), formula
            assert not re.search(r"\^(?![{])|_(?![{])", formula), formula
            assert formula.count("{") == formula.count("}") and formula.count("{}") == 0


def test_givens_are_coloured_as_everywhere():
    K = Given("K", (("1", "−2"),), ("cat",))
    assert practice.given_markdown(K) == (
        r":green[$K$] $= \begin{array}{r} \text{cat} \end{array} "
        r"\begin{bmatrix} 1 & -2 \end{bmatrix}$"
    )
    assert practice.given_markdown(Given("W_q", (("3",),))).startswith(":violet[$W_{q}$]")
    assert practice.given_markdown(Given("", ((".5", "?"),), ("it",), ("cat", "it"))) == (
        r"$\begin{array}{r|rr}  & \text{cat} & \text{it} \\ \hline \text{it} & .5 & ? \end{array}$"
    )


# ---- in a real browser


@pytest.mark.browser
def test_answers_help_and_the_file_in_a_browser(server, page, tmp_path):
    page.goto(f"{server}/practice?sheet=7&exercise=30&version=2")
    page.wait_for_selector(".st-key-share_sheet", timeout=60_000)
    settle(page)
    pick, blank = exercise(7, 30).blanks
    place = pick.options.index(pick.value)
    page.locator(".st-key-blanks label:has(input[type=radio])").nth(place).click()
    settle(page)
    box = page.locator(".st-key-blanks input[type=text]")
    box.fill("1/2")
    page.get_by_role("button", name="Check").click()
    settle(page)
    assert "not right yet: 30" in page.locator("[data-testid=stProgress]").inner_text()
    box.fill(f"{blank.value:.2f}".replace(".", ","))
    page.get_by_role("button", name="Check").click()
    settle(page)
    assert page.get_by_text("✓ Right.").count() == 2
    page.get_by_text("Worked solution", exact=True).click()
    settle(page)
    assert "1 of 30 right" in page.locator("[data-testid=stProgress]").inner_text()
    assert "with the solution" not in page.locator("[data-testid=stProgress]").inner_text()
    assert not page.locator(".st-key-notes").count() and "exercise=30" in page.url
    with page.expect_download() as download:
        page.get_by_role("button", name="Sheet to print").click()
    download.value.save_as(tmp_path / "sheet.html")
    assert download.value.suggested_filename == "attention-exercises-7.html"
    text = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert text == practice.paper(7, solutions=False, link=f"{server}/practice?sheet=7&version=2")
    page.goto(f"{server}/practice?sheet=7&exercise=0&version=2")
    page.wait_for_selector(".st-key-paper_30", timeout=60_000)
    settle(page)
    page.locator(".st-key-paper_1 .katex").first.wait_for()
    assert not page.locator(".katex-error").count()
