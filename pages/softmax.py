"""Softmax: what it does to one row of scores."""

from attention.exercises import softmax_row, softmax_row_question
from attention.functions import softmax
from pages.shared import lesson
from pages.shared.parts import softmax as parts

result = lesson.start(
    "Softmax",
    f"Softmax turns one row of {lesson.term('scaled scores')} into weights: all above 0, adding up "
    "to 1. **Differences** between scores become **ratios** between weights.",
)
parts.one_row(result)
parts.rows_and_columns(result)
parts.quiz(result)
lesson.symbols(
    r"\begin{gathered}w_j=\frac{e^{s_j-\max(s)}}{\sum_i e^{s_i-\max(s)}}\qquad"
    r"\frac{w_j}{w_i}=e^{s_j-s_i}\\"
    r"\mathrm{softmax}(s+c)=\mathrm{softmax}(s)\end{gathered}",
    {
        "s": "one row of scaled scores",
        "s_j": "the score of word $j$",
        "w_j": "its weight",
        "\\max(s)": "the row’s largest score",
        "e": "2.718…",
        "c": "any number, the same for the whole row",
    },
)
lesson.code(softmax, softmax_row, softmax_row_question)
lesson.sources(
    "[Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), eq. 1",
    "Bridle 1990, which named the softmax",
    "subtracting the largest: [Goodfellow, Bengio, Courville 2016]"
    "(https://www.deeplearningbook.org/contents/numerical.html), section 4.1",
)
lesson.foot()
