"""The page about BERT: how soon it opens, how soon the next sentence is there, and its memory.

    python benchmarks/bert_page.py [PEOPLE]

Starts the app and goes to the page from the first screen, in the first session of the server, which
loads the model, and in a second; types sentences of 16 word pieces; and then opens the page in
PEOPLE browsers (20) by its address, each with a sentence of its own. "Opens" ends when the mosaic
of heads is drawn. A browser that has never seen the app loads Streamlit and Plotly first; what that
takes is measured on the first screen beside it.
"""

import statistics
import sys
import time
from pathlib import Path

from page_latency import browser, enter, serve

from attention.bert import encode, load_bert

NOUNS = "dog cat girl boy king queen horse bird man woman child judge"
SENTENCES = [  # 16 word pieces each, [CLS] and [SEP] included
    f"The {noun} slept on the rug in the hall. It is tired." for noun in NOUNS.split()
]
FIRST_SCREEN = ".st-key-output .js-plotly-plot"
MOSAIC = ".st-key-bert_mosaic .js-plotly-plot"


def main(people: int) -> None:
    with serve(["app.py"]) as (process, address), browser() as chromium:
        print(f"server alone: {_memory(process.pid)} MB")
        print(f"opens from the menu, model not loaded: {_from_menu(chromium, address)[0]:.2f} s")
        seconds, tab = _from_menu(chromium, address)
        print(f"opens from the menu, in a second session: {seconds:.2f} s")
        times = [enter(tab, sentence, ["bert_mosaic"]) for sentence in SENTENCES][2:]
        print(f"next sentence, from Enter to the new mosaic: {statistics.median(times):.0f} ms")
        print(f"next sentence, forward pass alone: {_forward():.0f} ms")
        for page, ready in (("", FIRST_SCREEN), ("bert", MOSAIC)):
            seconds = [_open(chromium, f"{address}/{page}", ready)[0] for _ in range(3)]
            print(f"opens in a new browser: /{page} {statistics.median(seconds):.2f} s")
        for person in range(people):
            _open(chromium, f"{address}/bert?sentence=Person {person} saw it.", MOSAIC, stays=True)
        print(f"server with {people + 2} people: {_memory(process.pid)} MB")


def _open(chromium, address: str, ready: str, stays: bool = False):
    """Open an address in a browser that has never seen it: the seconds, and the tab."""
    tab = chromium.new_context(viewport={"width": 1440, "height": 900}).new_page()
    start = time.perf_counter()
    tab.goto(address)
    tab.wait_for_selector(ready, timeout=60_000)
    seconds = time.perf_counter() - start
    if stays:
        tab.wait_for_timeout(1_500)
    else:
        tab.context.close()
    return seconds, tab


def _from_menu(chromium, address: str):
    _, tab = _open(chromium, address, FIRST_SCREEN, stays=True)
    tab.locator("[data-testid=stTopNavSection]", has_text="Real models").click()
    start = time.perf_counter()
    tab.locator("[data-testid=stTopNavDropdownLink]", has_text="BERT").first.click()
    tab.wait_for_selector(MOSAIC, timeout=60_000)
    seconds = time.perf_counter() - start
    tab.wait_for_timeout(1_500)
    return seconds, tab


def _forward() -> float:
    model, times = load_bert(), []
    for sentence in SENTENCES:
        start = time.perf_counter()
        encode(sentence, model)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[2:])


def _memory(pid: int) -> int:
    """Resident memory in MB, shared files included."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return round(int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
