"""Softmax: what it does to one row of scores."""

from pages.shared import lesson

result = lesson.start("Softmax", "Softmax turns a row of scores into weights that add up to 1.")
lesson.foot()
