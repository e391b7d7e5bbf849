"""Glossary and sources: every term that the pages use, and the paper trail."""

import streamlit as st

from attention.scenario import MAX_FIND
from pages.shared import frame, lesson
from pages.shared.parts import glossary
from pages.shared.wording import plural

TITLES = {name.file: name.title for names in frame.PAGES.values() for name in names}

scenario = frame.begin()
lesson.heading(
    "Glossary and sources",
    "Every term that these pages use, in one sentence, with the pages that use it; and the papers "
    "that it all rests on.",
)
st.text_input(
    "Find",
    max_chars=MAX_FIND,
    live=True,
    label_visibility="collapsed",
    placeholder="Find a term, a page or an author",
    **frame.bound("find"),
)
terms = glossary.find(scenario.find, TITLES)
sources = glossary.find_sources(scenario.find)

terms_tab, sources_tab = st.tabs(["Terms", "The paper trail"])
with terms_tab, st.container(gap="xsmall"):
    st.markdown(f":gray[{plural(len(terms), 'term')}]")
    for term in terms:
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            st.markdown(f"**{term.name}** &ensp; {term.meaning}", width="content")
            for page in term.pages[: glossary.LINKS]:
                lesson.see(page, f"→ {TITLES[page]}")
with sources_tab:
    st.markdown(f":gray[{plural(len(sources), 'source')}, the oldest first]")
    st.markdown("\n".join(f"- {glossary.written(source)}" for source in sources))
lesson.foot()
