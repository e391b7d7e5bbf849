"""The playground: one sentence through one attention head, every number in sight."""

import streamlit as st

from pages.shared import controls, frame, panels

scenario = frame.begin()
with st.container(gap="xsmall"):
    controls.sentence_and_buttons(scenario)
    result = controls.run(scenario)
    panels.insight(result)
    panels.all_stages(result)
    panels.show_arithmetic(result)
    panels.clicks(result)
