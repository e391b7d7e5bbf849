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
  const listening = new Map();
  // A press comes before Plotly's click, so a chart is listened to when it is first pressed:
  // watching for new charts would cost time on every change of the page.
  const onPress = (event) => {
    const chart = event.target.closest && event.target.closest(".js-plotly-plot");
    const key = chart && data.keys.find((name) => chart.closest(`.st-key-${name}`));
    if (!key || !chart.on || listening.has(chart)) return;
    const onClick = (click) => {
      const point = click.points && click.points[0];
      if (point) setTriggerValue("cell", { key, x: point.x, y: point.y, at: Date.now() });
    };
    chart.on("plotly_click", onClick);
    listening.set(chart, onClick);
  };
  document.addEventListener("pointerdown", onPress, true);
  return () => {
    document.removeEventListener("pointerdown", onPress, true);
    for (const [chart, onClick] of listening) {
      if (chart.removeListener) chart.removeListener("plotly_click", onClick);
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
