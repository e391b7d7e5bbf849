"""Clicks on heatmap cells, by an invisible component that listens to Plotly's own click event.

Streamlit reports no selection for heatmaps. A layer of invisible markers would do it too, but
costs seconds on large maps; this costs nothing at any size. It finds a chart by the class name
that Streamlit gives a keyed element, which is why requirements.txt holds Streamlit to one minor
version.
"""

from collections.abc import Callable, Sequence

import streamlit as st

JS = """
export default function (component) {
  const { data, setTriggerValue } = component;
  const listening = new Set();
  const listen = () => {
    for (const key of data.keys) {
      const chart = document.querySelector(`.st-key-${key} .js-plotly-plot`);
      if (!chart || !chart.on || listening.has(chart)) continue;
      const onClick = (event) => {
        const point = event.points && event.points[0];
        if (point) setTriggerValue("cell", { key, x: point.x, y: point.y, at: Date.now() });
      };
      chart.on("plotly_click", onClick);
      listening.add(chart);
      chart.__cellListener = onClick;
    }
  };
  listen();
  const observer = new MutationObserver(listen);
  observer.observe(document.body, { childList: true, subtree: true });
  return () => {
    observer.disconnect();
    for (const chart of listening) {
      if (chart.removeListener) chart.removeListener("plotly_click", chart.__cellListener);
    }
  };
}
"""

_listener = st.components.v2.component("cell_clicks", js=JS)


def on_cell_click(keys: Sequence[str], take: Callable[[str, int, int], None]) -> None:
    """Call `take(key, x, y)` when a cell of a keyed chart is clicked; x and y count from 0."""

    def on_cell_change():
        cell = st.session_state["cell_clicks"].get("cell")
        if cell and cell.get("key") in keys:
            take(cell["key"], int(cell["x"]), int(cell["y"]))

    _listener(key="cell_clicks", data={"keys": list(keys)}, on_cell_change=on_cell_change, height=1)
