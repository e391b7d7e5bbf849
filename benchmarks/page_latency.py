"""From Enter to all nine charts changed: the playground against a bare page with the same charts.

    python benchmarks/page_latency.py [RUNS]

Both pages run side by side, each in a server and a tab of its own, and take turns, so that a noisy
machine slows both. Prints the median of each, and of the ratio pair by pair.
"""

import os
import pickle
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402

from attention import Scenario, forward  # noqa: E402
from attention.scenario import STAGES, selection  # noqa: E402
from pages.shared import figures, stages  # noqa: E402
from pages.shared.colours import LIGHT  # noqa: E402

SENTENCES = (
    "The dog slept on the rug. It is tired now.",
    "The girl sang in the car. She was happy then.",
)
CHARTS = (*STAGES, "row")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]

# Starts with the key press itself; waits, frame by frame, until every chart shows other numbers.
WATCH = """(keys) => {
  const numbers = (key) => {
    const trace = document.querySelector(`.st-key-${key} .js-plotly-plot`)?._fullData?.[0];
    const values = trace?.z ? Array.from(trace.z, (row) => row[1]) : trace?.y;
    return values ? Array.from(values).join() : "";
  };
  const before = keys.map(numbers);
  const frame = () => new Promise(requestAnimationFrame);
  window.changed = new Promise((resolve) => {
    document.addEventListener("keydown", async (event) => {
      if (event.key !== "Enter") return;
      const start = performance.now();
      while (keys.some((key, place) => numbers(key) === before[place])) {
        if (performance.now() - start > 20000) return resolve(NaN);
        await frame();
      }
      await frame();
      resolve(performance.now() - start);
    }, { capture: true, once: true });
  });
}"""


def main(runs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "charts.pickle"
        path.write_bytes(pickle.dumps({text: _figures(text) for text in SENTENCES}))
        with (
            serve(["app.py"]) as (_, ours),
            serve(["benchmarks/bare_page.py", "--", str(path)]) as (_, bare),
            browser() as chromium,
        ):
            _measure(chromium, [ours, bare], runs)


def _figures(sentence: str) -> list:
    result = forward(Scenario(sentence=sentence))
    query, key = selection(result.scenario, result.tokens, result.attention.weights[0])
    limits = stages.limits(result)
    built = [
        (stage, stages.stage_figure(result, stage, query, key, limits[stage], LIGHT))
        for stage in STAGES
    ]
    row = result.attention.weights[0, query]
    bars = figures.bars(row, LIGHT, texts=result.tokens.texts, chosen=key, height=94)
    return [*built, ("row", bars)]


@contextmanager
def serve(arguments: list[str]) -> Iterator[tuple[subprocess.Popen, str]]:
    """Run a Streamlit script on a free port: the process and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script, *rest = arguments
    options = ["--server.headless", "true", "--server.port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", script, *options, *rest],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=2)
            break
        except OSError:
            time.sleep(0.1)
    try:
        yield process, address
    finally:
        process.terminate()


@contextmanager
def browser() -> Iterator[Browser]:
    """A real Chromium, without a window."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=FLAGS)


def enter(tab: Page, sentence: str, charts: Sequence[str]) -> float:
    """Type a sentence; return the milliseconds from Enter until all the keyed charts changed."""
    tab.evaluate(WATCH, list(charts))
    box = tab.get_by_label("Sentence")
    box.fill(sentence)
    box.press("Enter")
    milliseconds = tab.evaluate("() => window.changed")
    tab.wait_for_timeout(400)
    return milliseconds


def _measure(chromium: Browser, addresses: list[str], runs: int) -> None:
    tabs = []
    for address in addresses:
        tab = chromium.new_page(viewport={"width": 1440, "height": 900})
        tab.goto(address)
        tab.wait_for_selector(".st-key-row .js-plotly-plot", timeout=60_000)
        tab.wait_for_timeout(2_000)
        tabs.append(tab)
    times: list[list[float]] = [[], []]
    for run in range(runs + 3):
        for which in (0, 1) if run % 2 else (1, 0):
            tabs[which].bring_to_front()
            milliseconds = enter(tabs[which], SENTENCES[1 - run % 2], CHARTS)
            if run >= 3:  # the first ones warm up
                times[which].append(milliseconds)
    ours, bare = map(statistics.median, times)
    ratio = statistics.median(a / b for a, b in zip(*times, strict=True))
    print(f"playground {ours:.0f} ms, bare page {bare:.0f} ms, ratio {ratio:.2f} ({runs} pairs)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
