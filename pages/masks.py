"""Masks: which word may look at which, and why the mask comes before the softmax."""

from attention.functions import softmax
from attention.masks import causal_mask, padding_mask, sliding_window_mask
from pages.shared import lesson
from pages.shared.parts import masks

result = lesson.start(
    "Masks",
    "A mask says which words a word may look at. It closes scores **before** the softmax, so that "
    "the words left open still share a whole 1.",
)
masks.laboratory(result)
masks.nothing_left(result)
masks.in_parallel(result)
lesson.misconception("Masking a word deletes it from the sentence.", masks.about_deleting(result))
lesson.symbols(
    r"\begin{gathered}w_{ij}=\frac{m_{ij}\,e^{s_{ij}}}{\sum_{l} m_{il}\,e^{s_{il}}}\\"
    r"\text{causal: } m_{ij}=1 \text{ where } j\le i\\"
    r"\text{window: } m_{ij}=1 \text{ where } |i-j|\le r\end{gathered}",
    {
        "i, j": "places of the word that looks and the word looked at",
        "l": "counts through all words",
        "s_{ij}": "scaled score",
        "m_{ij}": "mask: 1 may look, 0 may not (a score of −∞, as $e^{-\\infty}=0$)",
        "w_{ij}": "weight",
        "r": "words to either side",
    },
)
lesson.code(causal_mask, sliding_window_mask, padding_mask, softmax, masks.masked_after)
lesson.sources(
    "[Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), sections 3.1 and 3.2.3: “setting to "
    "−∞” before the softmax",
    "sliding window: [Beltagy et al. 2020](https://arxiv.org/abs/2004.05150), section 3; looking "
    "back only: [Jiang et al. 2023](https://arxiv.org/abs/2310.06825), section 2",
    "every next word at once: [Radford et al. 2018](https://cdn.openai.com/research-covers/"
    "language-unsupervised/language_understanding_paper.pdf), section 3.1",
)
lesson.foot()
