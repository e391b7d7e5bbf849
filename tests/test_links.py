"""Links through AppTest: read before the first run, written after every change, hostile or not."""

import json
from urllib.parse import urlencode

import numpy as np
import pytest
from test_pages import (
    SMALL,
    all_numbers,
    changed,
    charts,
    check_charts,
    link,
    open_app,
    open_popover,
    press,
    run,
    scenario,
    texts,
    warm_server,  # noqa: F401  a fixture for every test here, too
)

from attention.scenario import FIELDS, MAX_LINK, Edit, Matrix, Scenario, from_link, to_link
from pages.shared import controls, frame

PAGES = [name.file for names in frame.PAGES.values() for name in names]
rng = np.random.default_rng(0)


def matrix(rows: int, columns: int) -> Matrix:
    return Matrix.of(rng.normal(size=(rows, columns)))


SCENARIOS = {
    "first screen": {},
    "sentence": {"sentence": "A bird sings & 50% <b>+</b> «ça» 猫 שלום 😀?"},
    "preset": {"matrices": "coreference-no-positions", "positions": "none"},
    "unlocked": {"unlocked": True, "positions": "none", "embedding": "random"},
    "random": {
        "matrices": "random",
        "seed": 77,
        "seed_v": 5,
        "distribution": "uniform",
        "d_v": 2,
        "causal": True,
    },
    "identity": {"matrices": "identity", "embedding": "one-hot", "scaling": False},
    "columns": {"matrices": "random", "convention": "columns", "query": 2, "key": 3},
    "open cell": {"matrices": "random", "d_model": 8, "d_k": 4, "cell": "Q.3", "query": 4},
    "edits": {
        "edits": (Edit("W_q", 0, 31, -1.5), Edit("W_v", 49, 0, 0.1), Edit("W_k", 3, 3, 1e-5))
    },
    "uploads": {
        "matrices": "random",
        "sentence": "one two three",
        "W_q": matrix(5, 3),
        "W_k": matrix(5, 3),
        "X": matrix(3, 5),
    },
}


@pytest.mark.parametrize("fields", SCENARIOS.values(), ids=SCENARIOS)
def test_the_written_link_restores_the_same_charts_in_a_fresh_session(fields):
    wanted = Scenario().replace(**fields)
    first = open_app()
    first.session_state[frame.SCENARIO] = wanted  # as a widget's callback does
    first.session_state[frame.ACTED] = True
    run(first)
    assert scenario(first) == wanted and link(first) == to_link(wanted)[0]
    second = open_app(link(first))
    assert scenario(second) == wanted
    assert link(second) == link(first)  # and is not written again in other words
    assert charts(second) == charts(first)  # numbers, labels, marks and sizes
    assert "ignored" not in texts(second)
    check_charts(second)


def test_links_are_read_before_the_first_run_and_reach_the_widgets():
    params = SMALL | {
        "sentence": "one two three",
        "causal": "1",
        "scaling": "0",
        "seed": "12",
        "query": "1",
        "key": "2",
        "distribution": "uniform",
        "spread": "0.5",
        "positions": "none",
    }
    app = open_popover(open_popover(open_app(params), "settings"), "matrices")
    assert app.text_input(key="sentence").value == "one two three"
    numbers = {name: app.number_input(key=name).value for name in ("seed", "d_model", "d_k", "d_v")}
    assert numbers == {"seed": 12, "d_model": 8, "d_k": 4, "d_v": 3}
    assert app.toggle(key="causal").value and not app.toggle(key="scaling").value
    assert app.number_input(key="spread").value == 0.5
    assert app.selectbox(key="distribution").value == "uniform"
    assert (app.selectbox(key="query").value, app.selectbox(key="key").value) == (1, 2)
    assert app.radio(key="matrices").value == "random"
    assert link(app) == params | {"version": "2"}
    check_charts(app)


def test_the_shared_address_is_the_link():
    app = open_popover(open_app({"sentence": "a & b", "causal": "1"}), "share")
    assert app.code[0].value.partition("?")[2] == urlencode(link(app))


def test_a_link_that_comes_later_is_followed():
    app = open_app(SMALL)
    app.query_params.clear()
    for name, text in (SMALL | {"seed": "5", "sentence": "new words"}).items():
        app.query_params[name] = text
    run(app)
    assert scenario(app).seed == 5 and scenario(app).sentence == "new words"
    check_charts(app)


def test_the_first_screen_has_a_bare_address_again_after_a_reset():
    app = open_popover(open_app(SMALL), "settings")
    press("reset")(app)
    assert link(run(app)) == {}


def test_what_cannot_stand_in_a_link_stays_in_the_session():
    app = open_app()
    big = Matrix.of(np.ones((64, 64)))
    app.session_state[frame.SCENARIO] = Scenario().replace(matrices="random", W_v=big)
    app.session_state[frame.ACTED] = True
    run(app)
    assert scenario(app).W_v == big and "W_v" not in link(app)
    app.text_input(key="sentence").set_value("still here")
    run(app)
    assert scenario(app).W_v == big
    run(app)  # a run that no widget started
    assert scenario(app).W_v == big and len(urlencode(link(app))) < MAX_LINK


# ---- links that mean harm

HOSTILE = {
    "wrong types": {name: "%%" for name in FIELDS if name != "sentence"},
    "empty": dict.fromkeys(FIELDS, ""),
    "numbers beyond all": dict.fromkeys(FIELDS, "1e999"),
    "a hundred kilobytes": {"spread": "1" * 100_000 + "x", "edits": "~" * 100_000},
    "a long sentence": {"sentence": "x" * 100_000},
    "many names": {f"p{i}": "<b>" for i in range(900)},
    "markup": {"seed": "<script>alert(1)</script>", "[x](http://evil.example)": "![y](z)"},
    "turned text": {"seed": "\u202e1", "\u202efoo": "x"},
    "widths without end": {"matrices": "identity", "embedding": "random", "d_model": "1024"},
    "contradictions": {"d_model": "8", "d_k": "4", "embedding": "uploaded", "positions": "none"},
    "matrices that disagree": {"matrices": "random", "W_q": "1x1.AACAPw", "W_k": "1x2.AACAPwAAgD8"},
    "a matrix that is none": {"W_q": "2x2.AAAA", "X": "0x0.AAAA"},
    "a head beside trained weights": {"W_q": "1x1.AACAPw"},
    "infinite matrix": {"matrices": "random", "W_v": "1x1.AACAfw"},
    "cells that are nowhere": {"query": "9999", "key": "9999", "cell": "output.9999"},
    "edits that are nowhere": {"edits": "W_q.1023.127.10000~W_k.9.9.-10000"},
    "another version": {"matrices": "random", "version": "9999"},
    "names of Python": {"__class__": "x", "_scenario": "x", "replace": "x"},
}
SAID = {  # hostile links that are in order, if strange
    "cells that are nowhere",
    "edits that are nowhere",
    "widths without end",
}


@pytest.mark.parametrize("params", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_link_falls_back_and_says_so(params):
    app = open_app(params)
    wanted, notes = from_link(dict(sorted(params.items())))
    assert scenario(app) == wanted
    assert all(note in texts(app) for note in notes)
    if params not in [HOSTILE[name] for name in SAID]:
        assert notes
    assert link(app) == to_link(wanted)[0]  # what was wrong is out of the address
    if wanted.sentence:
        check_charts(app)
        app.text_input(key="sentence").set_value("and it goes on")  # the page is alive
        run(app)
        check_charts(app)


def test_notes_are_text_and_never_markup():
    app = open_app(HOSTILE["markup"])
    (note,) = (text.value for text in app.text if "ignored" in text.value)
    assert "<script>alert(1)</script>" in note and "[x](http://evil.example)" in note
    assert not any("script" in m.value or "evil" in m.value for m in app.markdown)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"embedding": "one-hot", "unlocked": "1"}, "W_q is (50, 32)"),
        ({"matrices": "random", "W_q": "1x1.AACAPw", "X": "2x1.AACAPwAAgD8"}, "2 rows"),
    ],
)
def test_a_link_that_cannot_be_computed_says_why_and_has_a_way_back(fields, says):
    app = open_app(fields)
    assert not charts(app) and says in texts(app)
    press("reset_problem")(app)
    assert scenario(run(app)) == Scenario()
    check_charts(app)


# ---- every page


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_with_a_link_and_keeps_it(page):
    params = SMALL | {"sentence": "The bird <b>sings</b>. It is small.", "causal": "1", "seed": "3"}
    app = open_app(params, page=page)
    assert scenario(app) == from_link(params)[0]
    assert link(app) == params | {"version": "2"}
    assert texts(app)


def test_charts_are_the_same_whichever_way_one_came():
    """By link, by controls, and by another page."""
    by_link = open_app(SMALL | {"sentence": controls.EXAMPLES[1], "causal": "1"})
    by_hand = open_popover(open_app(SMALL), "settings")
    by_hand.text_input(key="sentence").set_value(controls.EXAMPLES[1])
    run(by_hand)
    by_hand.toggle(key="causal").set_value(True)
    run(by_hand)
    assert changed(all_numbers(by_link), all_numbers(by_hand)) == set()
    assert json.dumps(charts(by_link)) == json.dumps(charts(by_hand))
    over = open_app(link(by_hand), page=PAGES[1])
    over.switch_page(f"pages/{PAGES[0]}.py")
    assert charts(run(over)) == charts(by_link)
