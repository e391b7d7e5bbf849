"""The playground: one sentence through one attention head, every number in sight."""

import streamlit as st

from pages.shared import controls, frame, panels

scenario = frame.begin()
with st.container(gap="xsmall"):
    top = st.container()
    result = controls.run(scenario, top)
    places = panels.charts(result)
    with top:
        controls.sentence_and_buttons(scenario)
    panels.words(result, places)
    panels.show_arithmetic(result)
    panels.clicks(result)
