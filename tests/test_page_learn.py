"""The page on which a head learns: steps, pause, reset, and the way to the playground."""

import dataclasses
import re
import threading
import time

import numpy as np
import pytest
from test_browser import numbers, settle
from test_pages import (
    open_app,
    run,
    scenario,
    warm_server,  # noqa: F401  a fixture for every test here, too
)

from attention.scenario import MATRIX_NAMES
from attention.training import Trainer
from pages.shared.parts import learn


def button(app, key: str):
    return next(b for b in app.button if b.key == key)


def test_one_step_is_a_step_of_the_trainer_and_reset_forgets_it():
    app = open_app(page="learn")
    assert button(app, "learn_take").disabled and button(app, "learn_reset").disabled
    button(app, "learn_step").click()
    run(app)
    here, alone = app.session_state["_things"]["training"], Trainer()
    alone.step()
    assert here.trainer.step_count == 1 and here.losses == [alone.loss]
    np.testing.assert_array_equal(here.trainer.projections.W_q, alone.projections.W_q)
    button(app, "learn_reset").click()
    run(app)
    assert app.session_state["_things"]["training"].trainer.step_count == 0


def test_the_end_of_the_run_judges_the_guess():
    app = open_app(page="learn")
    held_out = app.session_state["_things"]["training"]
    held_out.trainer = Trainer(dataclasses.replace(held_out.trainer.config, steps=2))
    run(app)
    group = next(g for g in app.get("button_group") if g.key.startswith("predict_learn"))
    group.set_value("all")
    run(app)
    assert any("end of the run" in m.value for m in app.markdown)
    for _ in range(2):
        button(app, "learn_step").click()
        run(app)
    share = f"{held_out.accuracies[-1]:.0%}"
    assert any(re.match(rf"\*\*No: .*\*\* It is {share}\.", m.value) for m in app.markdown)


def test_the_matrices_can_be_taken_and_two_people_do_not_mix():
    one, other = open_app(page="learn"), open_app(page="learn")
    for _ in range(3):
        button(one, "learn_step").click()
        run(one)
    button(other, "learn_step").click()
    run(other)
    assert one.session_state["_things"]["training"].trainer.step_count == 3
    assert other.session_state["_things"]["training"].trainer.step_count == 1
    W = one.session_state["_things"]["training"].trainer.projections
    button(one, "learn_take").click()
    run(one)
    for name in MATRIX_NAMES:
        np.testing.assert_array_equal(getattr(scenario(one), name).array, getattr(W, name))


def test_a_turn_ends_in_time_and_a_run_ends_at_its_last_step():
    here = learn.Run()
    here.turn(60)
    assert here.trainer.step_count == 0  # not started
    here.running = True
    for steps in (5, 10, 20, 40):  # most is learned early
        here.turn(60)
        assert here.trainer.step_count == steps
    here.step()
    here.turn(0.02)
    assert 41 < here.trainer.step_count < 82
    while not here.done:
        here.turn(60)
    assert here.done and here.accuracies[-1] >= 0.9
    here.turn(60)
    assert here.trainer.step_count == here.trainer.config.steps


def test_a_pause_from_another_thread_ends_the_turn_between_two_steps():
    here = learn.Run(running=True)
    for _ in range(1000):
        here.trainer.step()
    worker = threading.Thread(target=here.turn, args=(60,))
    worker.start()
    while here.trainer.step_count < 1020:
        time.sleep(0.001)
    here.pause()
    taken, steps = here.matrices(), here.trainer.step_count
    worker.join(5)
    assert not worker.is_alive() and here.trainer.step_count == steps
    np.testing.assert_array_equal(here.matrices().W_q, taken.W_q)


# The different rows drawn so far and the steps they are said to belong to; how often fewer than
# the three charts stood there.
WATCH = """() => {
  window.seen = new Set(); window.progress = new Set(); window.missing = 0;
  setInterval(() => {
    const charts = ["learn_row", "learn_map", "learn_curve"].map(
      (key) => document.querySelector(`.st-key-${key} .js-plotly-plot`));
    if (!charts.every((chart) => chart?._fullData?.[0])) return (window.missing += 1);
    window.seen.add(Array.from(charts[0]._fullData[0].y).join());
    window.progress.add(document.querySelector(".stProgress").innerText.split(",")[0]);
  }, 20);
}"""


@pytest.mark.browser
def test_the_row_changes_stops_on_pause_and_goes_to_the_playground(page, server):
    def row() -> list[float]:
        read = """() => { const y = document.querySelector('.st-key-learn_row .js-plotly-plot')
                            ?._fullData?.[0]?.y; return y && Array.from(y) }"""
        return page.wait_for_function(read).json_value()  # the chart may be on its way

    page.goto(f"{server}/learn")
    page.wait_for_selector(".st-key-learn_row .js-plotly-plot", timeout=60_000)
    settle(page)
    start = row()
    assert np.argmax(start) != 1  # not “cat”
    page.evaluate(WATCH)
    page.locator(".st-key-learn_start button").first.click()
    page.wait_for_function(
        "() => window.seen.size >= 6 && window.seen.size === window.progress.size",
        timeout=60_000,
    )
    assert page.evaluate("() => window.missing") <= 10  # a fifth of a second in all
    page.wait_for_function(
        """() => { const y = document.querySelector('.st-key-learn_row .js-plotly-plot')
                   ?._fullData?.[0]?.y; return y && y[1] > 0.8 }""",
        timeout=60_000,
    )
    page.locator(".st-key-learn_start button").first.click()
    page.get_by_role("button", name="Go on").or_(
        page.get_by_role("button", name="Start again")
    ).first.wait_for()
    settle(page)
    paused = row()
    for _ in range(10):  # the turn in hand when the pause came may still be drawn
        page.wait_for_timeout(700)
        before, paused = paused, row()
        if before == paused:
            break
    page.wait_for_timeout(1500)
    assert row() == paused and paused != start
    page.locator(".st-key-learn_take button").first.click()
    page.wait_for_selector(".st-key-weights .js-plotly-plot", timeout=30_000)
    settle(page)
    np.testing.assert_allclose(numbers(page, "weights")[7], paused, atol=1e-5)
