"""Practice: thirty exercises from one seed, from one dot product to a whole row of attention."""

from attention.exercises import KINDS, judge, readings
from pages.shared import frame, lesson
from pages.shared.parts import practice

scenario = frame.begin()
lesson.heading(
    "Practice",
    "Work the numbers out by hand or with a pocket calculator. Every sheet asks the same "
    f"{len(KINDS)} questions with other numbers; a link gives everyone the same sheet.",
)
practice.choose(scenario)
if scenario.exercise:
    practice.one(scenario)
else:
    practice.whole_sheet(scenario)
practice.share(scenario)
if practice.is_open(scenario):
    made = (KINDS[scenario.exercise - 1].make,) if scenario.exercise else ()
    lesson.code(*made, judge, readings)
lesson.sources(
    "the formulas: [Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), eq. 1 and section 3.2",
    "windows: [Beltagy et al. 2020](https://arxiv.org/abs/2004.05150)",
    "shared heads: [Ainslie et al. 2023](https://arxiv.org/abs/2305.13245), "
    "[Shazeer 2019](https://arxiv.org/abs/1911.02150)",
)
lesson.foot()
