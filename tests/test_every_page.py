"""What holds on every page: any sentence, any link, and one state for all."""

import pytest
from streamlit.testing.v1 import AppTest
from test_links import HOSTILE, PAGES
from test_pages import (
    SMALL,
    link,
    open_app,
    run,
    scenario,
    texts,
    warm_server,  # noqa: F401  a fixture for every test here, too
)

from attention.scenario import from_link

SENTENCES = {
    "one token": "cat",
    "64 tokens": "the cat sat on the mat and " * 9 + "slept",
    "right to left": "הכלב ישן ליד הדלת. הוא עייף.",
    "emoji": "The 👩‍🚀 saw a 🐈‍⬛ 🇫🇷. It was 😀!",
    "markup": "<b>x</b> ![y](http://evil.example) :red[z] $\\frac{1}{2}$ **it**",
    "nothing": "   ",
}


@pytest.mark.parametrize("page", PAGES)
def test_every_page_takes_any_sentence(page):
    app = open_app(page=page)
    for sentence in SENTENCES.values():
        app.query_params.clear()
        app.query_params["sentence"] = sentence
        run(app)
        assert scenario(app).sentence == sentence
        assert texts(app)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_survives_every_hostile_link(page):
    app = open_app(page=page)
    for params in HOSTILE.values():
        app.query_params.clear()
        for name, text in params.items():
            app.query_params[name] = text
        run(app)
        assert scenario(app) == from_link(dict(sorted(params.items())))[0]


def test_a_change_on_one_page_is_there_on_every_other():
    app = open_app(SMALL | {"sentence": "A bird sings. It is small."})
    for place, page in enumerate(PAGES[1:]):
        app.query_params.clear()  # as a click in the menu does
        app.switch_page(f"pages/{page}.py")
        before = scenario(app)
        run(app)
        assert scenario(app) == before and link(app)["sentence"] == before.sentence
        boxes = [box for box in app.text_input if box.key == "sentence"]
        if boxes:
            assert boxes[0].value == before.sentence
            boxes[0].set_value(f"A bird sings {place} songs. It is small.")
            run(app)
            assert f"sings {place} songs" in scenario(app).sentence


def _sends(field: str, value, sent, labels) -> None:
    import streamlit as st

    from attention.scenario import Scenario
    from pages.shared import frame

    st.session_state[frame.SCENARIO], st.session_state[frame.PAGE] = Scenario(), "order"
    tie = frame.bound(field, value, labels=labels)
    st.session_state[tie["key"]] = sent
    tie["on_change"]()
    st.text(repr(st.session_state[frame.SCENARIO] == Scenario()))
    st.text("".join(st.session_state.get(frame.NOTES, ())))


@pytest.mark.parametrize(
    ("field", "value", "sent", "labels"),
    [
        ("encoding", "none", None, ()),  # after quick clicks
        ("causal", False, None, ()),
        ("n_heads", 4, None, ()),
        ("query", 7, "It", ("The", "cat")),  # after the labels changed
        ("looking", [2], ["cat"], ("The", "dog")),
    ],
)
def test_what_no_reader_chose_changes_nothing_and_says_nothing(field, value, sent, labels):
    app = AppTest.from_function(_sends, args=(field, value, sent, labels)).run()
    assert not app.exception
    assert [text.value for text in app.text] == ["True", ""]
