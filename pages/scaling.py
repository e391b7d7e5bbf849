"""The score and √d_k: why scores are divided by the root of the width."""

from attention.scaling_lab import row_statistics, scaling_curve, softmax_at_temperature
from pages.shared import lesson
from pages.shared.parts import scaling

result = lesson.start(
    "The score and $\\sqrt{d_k}$",
    "A score is a sum of $d_k$ products, one for each number in :violet[q] and :green[k]. The "
    f"wider the vectors, the further apart the scores, and the more the {lesson.term('softmax')} "
    "gives to one word. Dividing by $\\sqrt{d_k}$ takes that back: for random vectors, entirely.",
)
scaling.your_row(result)
scaling.laboratory(result)
scaling.mistakes(result)
lesson.symbols(
    r"\begin{gathered}\mathrm{score}=q\cdot k=\sum_{c=1}^{d_k}q_c\,k_c=|q|\,|k|\cos\theta\\"
    r"w=\mathrm{softmax}\!\left(\frac{q\cdot k}{\sqrt{d_k}\;\tau}\right)\end{gathered}",
    {
        "q": "query of the word that looks",
        "k": "key of the word looked at",
        "d_k": "width: how many numbers a query or key has",
        "c": "counts through them",
        "|q|,\\,|k|": "lengths of the vectors",
        "\\theta": "angle between them",
        "\\tau": "temperature, 1 in the Transformer",
        "w": "weights",
    },
)
lesson.code(scaling_curve, row_statistics, softmax_at_temperature)
lesson.sources(
    "[Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), section 3.2.1 and footnote 4",
    "temperature: [Hinton, Vinyals, Dean 2015](https://arxiv.org/abs/1503.02531), section 2",
)
lesson.foot()
