"""How long each page's script takes when the sentence, of 12 tokens, changes.

    python benchmarks/page_scripts.py [RUNS]

The script runs without a browser, Streamlit's own work in it included, so every figure is an upper
bound of the page's own time. Every prediction has been made, so that all of a page is there. Prints
the median and the longest, in milliseconds.
"""

import logging
import statistics
import sys
import time

from page_latency import ROOT, SENTENCES
from streamlit.testing.v1 import AppTest

from attention import tokenize
from pages.shared.frame import PAGES


def main(runs: int) -> None:
    logging.disable(logging.WARNING)
    assert all(len(tokenize(sentence)) == 12 for sentence in SENTENCES)
    print(f"{'page':12}{'median':>8}{'longest':>9}")
    for page in (page for group in PAGES.values() for page in group):
        times = _times(page.file, runs)
        print(f"{page.file:12}{statistics.median(times):8.0f}{max(times):9.0f}", flush=True)


def _times(page: str, runs: int) -> list[float]:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.switch_page(f"pages/{page}.py").run()
    times = []
    for run in range(runs + 2):
        app.query_params.clear()
        app.query_params["sentence"] = SENTENCES[run % 2]
        app.run()
        _predict(app)
        app.query_params["sentence"] = SENTENCES[1 - run % 2]
        start = time.perf_counter()
        app.run()
        if run >= 2:  # the first ones warm up
            times.append(1e3 * (time.perf_counter() - start))
        if app.exception:
            sys.exit(f"{page}: {app.exception[0].message}")
    return times


def _predict(app: AppTest) -> None:
    """Choose an answer wherever a page asks for one, until it asks no more."""
    while asked := [g for g in app.get("button_group") if "predict_" in g.key and not g.value]:
        asked[0].set_value(asked[0].options[0])
        app.run()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
