"""A bare page with the playground's nine charts, built beforehand: what Streamlit itself costs."""

import pickle
import sys

import streamlit as st

st.set_page_config(layout="wide")


@st.cache_resource
def charts(path):
    with open(path, "rb") as file:
        return pickle.load(file)  # written by page_latency.py a moment ago


figures = charts(sys.argv[1])
sentence = st.text_input("Sentence", next(iter(figures)))
for place, column in enumerate(st.columns(4) * 2 + [st.container()]):
    name, figure = figures[sentence][place]
    with column:
        st.plotly_chart(figure, key=name, theme=None, config={"displayModeBar": False})
