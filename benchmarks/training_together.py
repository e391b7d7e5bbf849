"""Training on the page: one person alone, two at once, and what is left running when both leave.

    python benchmarks/training_together.py

Starts the app, presses Start in real tabs, and reads the seconds until the page itself says that
every step was taken, the held-out accuracy it ends at, and the server's processor time before and
after the people go to another page.
"""

import os
import re
import time
from pathlib import Path

from page_latency import browser, serve

DONE = "2,500 steps of 2,500"


def main() -> None:
    with serve(["app.py"]) as (process, address), browser() as chromium:
        alone, accuracy = _train([_tab(chromium, address)])
        print(f"alone: {alone[0]:.1f} s to {DONE}, right on {accuracy[0]} of held-out")
        both, accuracy = _train([_tab(chromium, address) for _ in range(2)])
        print(f"two at once: {both[0]:.1f} and {both[1]:.1f} s, right on {' and '.join(accuracy)}")
        tabs = [_tab(chromium, address) for _ in range(2)]
        for tab in tabs:
            _start(tab)
        tabs[0].wait_for_timeout(2_000)
        busy = _share(process.pid)
        for tab in tabs:
            tab.get_by_role("link", name="Where it fails").first.click()
            tab.locator("[class*=st-key-predict_pairs]").first.wait_for()
        tabs[0].wait_for_timeout(2_000)
        print(f"processor while two train: {busy:.0%}; after both left: {_share(process.pid):.0%}")


def _tab(chromium, address: str):
    tab = chromium.new_context(viewport={"width": 1440, "height": 900}).new_page()
    tab.goto(f"{address}/learn")
    tab.wait_for_selector(".st-key-learn_row .js-plotly-plot", timeout=60_000)
    tab.wait_for_timeout(1_500)
    return tab


def _start(tab) -> None:
    tab.locator(".st-key-learn_start button").first.click()


def _train(tabs: list) -> tuple[list[float], list[str]]:
    """Start training in each tab; return the seconds each took, and the accuracies at the end."""
    begin = time.perf_counter()
    for tab in tabs:
        _start(tab)
    seconds = dict.fromkeys(tabs, 0.0)
    while not all(seconds.values()):
        for tab in tabs:
            if not seconds[tab] and DONE in tab.inner_text(".stProgress"):
                seconds[tab] = time.perf_counter() - begin
        tabs[0].wait_for_timeout(100)
    ends = [re.search(r"right on (\d+%)", tab.inner_text(".stProgress"))[1] for tab in tabs]
    for tab in tabs:
        tab.context.close()
    return list(seconds.values()), ends


def _share(pid: int, seconds: float = 3.0) -> float:
    """The share of one processor that a process uses, over some seconds."""
    used = lambda: sum(map(int, Path(f"/proc/{pid}/stat").read_text().split()[13:15]))  # noqa: E731
    before = used()
    time.sleep(seconds)
    return (used() - before) / os.sysconf("SC_CLK_TCK") / seconds


if __name__ == "__main__":
    main()
