"""The page about BERT: how soon it opens, how soon the next sentence is there, and its memory.

    python benchmarks/bert_page.py [PEOPLE]

Starts the app, asks for the page as the server's first request and again in another tab, types
sentences of 16 word pieces, and then opens the page in PEOPLE tabs (20), each with a sentence of
its own. "Opens" ends when the mosaic of heads is drawn.
"""

import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from page_latency import ROOT, browser, serve

SENTENCES = (
    "The dog slept on the old rug in the hall. It is tired.",
    "The girl sang in the old car on the road. She is happy.",
)
MOSAIC = ".st-key-bert_mosaic .js-plotly-plot"
# From the key press until the mosaic shows other numbers.
WATCH = """(selector) => {
  const numbers = () => {
    const trace = document.querySelector(selector)?._fullData?.[0];
    return trace?.z ? Array.from(trace.z, (row) => row[1]).join() : "";
  };
  const before = numbers();
  window.changed = new Promise((resolve) => {
    document.addEventListener("keydown", async (event) => {
      if (event.key !== "Enter") return;
      const start = performance.now();
      while (numbers() === before && performance.now() - start < 20000)
        await new Promise(requestAnimationFrame);
      resolve(performance.now() - start);
    }, { capture: true, once: true });
  });
}"""


def main(people: int) -> None:
    with serve(["app.py"]) as (process, address), browser() as chromium:
        print(f"server alone: {_memory(process.pid)} MB")
        print(f"opens as the first page of a new server: {_open(chromium, address)[0]:.2f} s")
        print(f"opens in another tab: {_open(chromium, address)[0]:.2f} s")
        _, tab = _open(chromium, address)
        times = [_type(tab, SENTENCES[run % 2]) for run in range(12)][2:]
        print(f"next sentence, to the new mosaic: {statistics.median(times):.0f} ms")
        print(f"next sentence, forward pass alone: {_forward():.0f} ms")
        for person in range(people):
            _open(chromium, address, f"Person {person} saw a cat. It was small.")
        print(f"server with {people + 3} people: {_memory(process.pid)} MB")


def _open(chromium, address: str, sentence: str | None = None):
    tab = chromium.new_context(viewport={"width": 1440, "height": 900}).new_page()
    start = time.perf_counter()
    tab.goto(f"{address}/bert" + (f"?sentence={sentence}" if sentence else ""))
    tab.wait_for_selector(MOSAIC, timeout=60_000)
    seconds = time.perf_counter() - start
    tab.wait_for_timeout(1_500)
    return seconds, tab


def _type(tab, sentence: str) -> float:
    tab.evaluate(WATCH, MOSAIC)
    box = tab.get_by_label("Sentence")
    box.fill(sentence)
    box.press("Enter")
    milliseconds = tab.evaluate("() => window.changed")
    tab.wait_for_timeout(600)
    return milliseconds


def _forward() -> float:
    sys.path.insert(0, str(ROOT))
    from attention.bert import encode, load_bert

    model, times = load_bert(), []
    for run in range(12):
        start = time.perf_counter()
        encode(SENTENCES[run % 2], model)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[2:])


def _memory(pid: int) -> int:
    """Resident memory in MB, shared files included."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return round(int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
