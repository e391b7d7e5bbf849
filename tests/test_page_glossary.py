"""The glossary: every term in order, used where it says, found and linked; every source named."""

import ast
import re
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from attention.scenario import MAX_FIND, Scenario, from_link
from pages.shared import frame, lesson
from pages.shared.parts import glossary
from pages.shared.parts.glossary import TERMS, TRAIL

ROOT = Path(__file__).parents[1]
TITLES = {name.file: name.title for names in frame.PAGES.values() for name in names}
PLAYGROUND = ("panels", "explain", "stages", "controls", "settings", "matrices", "uploads")
SURNAME = re.compile(r"([A-Z]\w+)(?: et al\.|(?:(?:,| and| &) [A-Z]\w+)*) (\d{4})\b")


@cache
def words_of(page: str) -> str:
    """All that a page's own files can say, without their comments, docstrings and Markdown."""
    parts = ROOT / "pages/shared/parts"
    files = [ROOT / f"pages/{page}.py", parts / f"{page}.py", *parts.glob(f"{page}_*.py")]
    if page == "playground":
        files += [ROOT / f"pages/shared/{name}.py" for name in PLAYGROUND]
    said = [text for file in files if file.exists() for text in strings(file.read_text("utf-8"))]
    return re.sub(r"\s+", " ", re.sub(r":[a-z]+\[|[*\[\]]", "", "\n".join(said)))


def strings(source: str) -> list[str]:
    """The strings of a module, those that stand side by side as one, docstrings left out."""
    tree = ast.parse(source)
    passed = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
        and isinstance(node.body[0], ast.Expr)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [v.value if isinstance(v, ast.Constant) else "…" for v in node.values]
            found.append("".join(parts))
            passed |= {id(value) for value in node.values}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += [node.value] if id(node) not in passed else []
    return found


def open_page(page: str = "glossary", **link: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for name, text in link.items():
        app.query_params[name] = text
    app.switch_page(f"pages/{page}.py").run()
    assert not app.exception, app.exception[0].message
    return app


def said(app: AppTest) -> str:
    return "\n".join(markdown.value for markdown in app.markdown)


# ---- the records


def test_terms_stand_in_order_and_once():
    names = [term.name.casefold() for term in TERMS]
    assert names == sorted(names)
    forms = [form for term in TERMS for form in {f.casefold() for f in (term.name, *term.words)}]
    assert len(forms) == len(set(forms))
    assert max(map(len, names)) <= MAX_FIND


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)
def test_a_term_is_one_sentence_and_used_where_it_says(term):
    assert term.meaning.endswith(".")
    assert ". " not in term.meaning
    assert term.meaning[0] in "“" or term.meaning[0].isupper()
    assert term.pages and len(set(term.pages)) == len(term.pages)
    forms = "|".join(map(re.escape, (term.name, *term.words)))
    pattern = re.compile(rf"(?<!\w)(?:{forms})s?(?!\w)", re.IGNORECASE)
    for page in term.pages:
        assert page in TITLES, f"{page} is not a page of the menu"
        assert pattern.search(words_of(page)), f"“{term.name}” is not used on the page {page}"


def test_every_lesson_has_terms():
    lessons = [name.file for name in frame.PAGES["Understand"]]
    assert all(len(glossary.of_page(page)) >= 5 for page in lessons)
    assert all(page in {p for term in TERMS for p in term.pages[:3]} for page in lessons)


def test_sources_stand_in_order_and_once():
    order = [(source.year, source.authors.casefold()) for source in TRAIL]
    assert order == sorted(order)
    assert len(set(order)) == len(order)
    for source in TRAIL:
        assert source.brought and not source.brought.endswith(".")
        assert not source.url or source.url.startswith("https://")
        assert source.title or source.authors.startswith("“")


@pytest.mark.parametrize("page", [page for page in TITLES if page != "glossary"])
def test_every_source_that_a_page_cites_is_in_the_trail(page):
    known = {(re.split(r"[ ,]", source.authors)[0], source.year) for source in TRAIL}
    for text in strings((ROOT / f"pages/{page}.py").read_text("utf-8")):
        for name, year in SURNAME.findall(text):
            assert (name, int(year)) in known, f"add {name} {year} to TRAIL"


def test_the_sources_are_looked_for_in_every_form():
    text = "Elman 1990 (RNN); [Kingma & Ba 2015](x) Hinton, Vinyals, Dean 2015, Gers et al. 2000"
    found = [("Elman", "1990"), ("Kingma", "2015"), ("Hinton", "2015"), ("Gers", "2000")]
    assert SURNAME.findall(text) == found


# ---- finding


def test_finding():
    assert glossary.find("") == TERMS
    assert glossary.find("softmax")[0].name == "Softmax"
    assert glossary.find("KEYS")[0].name == "Key"
    assert [term.name for term in glossary.find("weight decay")] == ["Weight decay"]
    assert [term.name for term in glossary.find("causal mask")][0] == "Causal mask"
    assert [term.name for term in glossary.find("gate")][:3] == [
        "Gate",
        "Forget gate",
        "Update gate",
    ]
    assert glossary.find("no such thing") == ()
    by_title = glossary.find("several heads", TITLES)
    assert {"Layer", "Multi-query attention"} < {term.name for term in by_title}
    assert [source.year for source in glossary.find_sources("radford")] == [2018, 2019]
    assert glossary.find_sources("attention is all you need 2017")[0].authors == "Vaswani et al."
    assert glossary.find_sources("") == TRAIL


@given(st.text(max_size=MAX_FIND))
def test_any_text_finds_some_terms_or_none(text):
    found = glossary.find(text, TITLES)
    assert set(found) <= set(TERMS)
    assert set(glossary.find_sources(text)) <= set(TRAIL)


def test_a_source_is_written_with_its_link():
    source = glossary.Source("A and B", 1990, "T", "what", "https://e.org/x")
    assert glossary.written(source) == "[A and B 1990](https://e.org/x), *T*: what"
    assert glossary.written(source._replace(url="", title="")) == "A and B 1990: what"


# ---- links to a term


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)
def test_a_link_leads_to_its_term_and_says_it(term):
    link = lesson.term(term.name, "here")
    address, meaning = re.fullmatch(r'\[here\]\((\S+) "([^"$*\\]+)"\)', link).groups()
    parts = urlsplit(address)
    assert parts.path == "glossary"  # beside every page, so that it holds under any root
    scenario, notes = from_link(dict(parse_qsl(parts.query)))
    assert (scenario, notes) == (Scenario(find=term.name), ())
    assert glossary.find(scenario.find)[0] == term
    assert meaning == glossary.plain(term.meaning)


def test_a_term_is_known_by_its_forms_and_only_by_them():
    assert lesson.term("tokens").startswith("[tokens](glossary?find=Token&")
    with pytest.raises(KeyError, match="add it to TERMS"):
        lesson.term("tokenz")


def test_a_link_takes_the_sentence_along():
    text = said(open_page("softmax", sentence="red & blue", matrices="random"))
    address = re.search(r"\[scaled scores\]\((\S+) ", text)[1]
    scenario, notes = from_link(dict(parse_qsl(urlsplit(address).query)))
    assert not notes
    assert (scenario.sentence, scenario.find) == ("red & blue", "Scaled score")


# ---- the pages


def test_the_page_shows_all_terms_and_sources():
    app = open_page()
    text = said(app)
    assert f":gray[{len(TERMS)} terms]" in text
    for term in TERMS:
        assert f"**{term.name}** &ensp; {term.meaning}" in text
    for source in TRAIL:
        assert f"- {glossary.written(source)}" in text
    links = [link.proto for link in app.get("page_link")]
    assert len(links) == sum(len(term.pages[: glossary.LINKS]) for term in TERMS) + 1  # one back


def test_the_page_finds_what_is_typed():
    app = open_page(matrices="random")
    app.text_input(key="find").set_value("entropy").run()
    assert ":gray[1 term]" in said(app)
    assert app.session_state[frame.SCENARIO] == Scenario(matrices="random", find="entropy")
    (to, _) = (link.proto for link in app.get("page_link"))
    assert to.label == "→ The score and √d_k"
    assert dict(parse_qsl(to.query_string)) == dict(app.query_params.items())


@pytest.mark.parametrize("find", ["**x** :red[y] $z$", "<b>", "no such thing", "\u202e"])
def test_what_is_not_found_is_not_said_again(find):
    app = open_page(find=find)
    assert ":gray[0 terms]" in said(app)
    assert find not in said(app)


def test_a_search_that_is_too_long_is_named():
    app = open_page(find="x" * (MAX_FIND + 1))
    assert any("find=" in text.value for text in app.text)
    assert f":gray[{len(TERMS)} terms]" in said(app)


@pytest.mark.parametrize("page", ["start", "block"])
def test_a_lesson_lists_its_terms(page):
    app = open_page(page)
    (terms,) = (box for box in app.expander if box.label == "Terms on this page")
    listed = terms.markdown[0].value.splitlines()
    expected = [f"- **{t.name}**: {t.meaning}" for t in glossary.of_page(page)]
    assert listed == expected


def test_all_terms_are_all_of_them():
    """The way to the glossary at a page's foot forgets an earlier search, and nothing else."""
    app = open_page("block", find="entropy", n_layers="3")
    (to,) = (p.proto for p in app.get("page_link") if p.proto.label.startswith("All terms"))
    scenario, _ = from_link(dict(parse_qsl(to.query_string)))
    assert scenario == Scenario(n_layers=3)
