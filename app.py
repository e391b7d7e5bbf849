"""The entry: `streamlit run app.py`. The frame routes, keeps the state and the link."""

from pages.shared import frame

frame.run()
