"""Order: shuffle the words, with and without positions, and see what attention notices."""

from attention.positions import alibi_bias, rotary, sinusoidal_positions
from pages.shared import lesson
from pages.shared.parts import order

result = lesson.start(
    "Order",
    "Attention compares every word with every word; where they stand plays no part in it. Order "
    "has to be brought in: by **positions**. Shuffle your sentence and see.",
)
if order.laboratory(result):
    lesson.misconception("Attention knows the word order.", order.about_order(result))
lesson.symbols(
    r"\begin{gathered}"
    r"A(PX)=P\,A(X)\,P^\top \qquad O(PX)=P\,O(X)\\"
    r"\text{sinusoidal: } x_i+p_i\\"
    r"\text{rotary: } (R_i q_i)\cdot(R_j k_j)=q_i\cdot R_{j-i}k_j\\"
    r"\text{ALiBi: } \tfrac{q_i\cdot k_j}{\sqrt{d_k}}-m\,|i-j|"
    r"\end{gathered}",
    {
        "X": "the words’ vectors, one a row",
        "P": "a shuffle of rows",
        "A, O": "weights and outputs, without positions or mask",
        "i, j": "places of query and key",
        "p_i": "position vector: sines and cosines of $i$, slower from column to column",
        "R_i": "turns each pair of numbers by $i$ times an angle of its own",
        "m": "how much a step costs, ½ here: the steepest of eight heads",
    },
)
lesson.code(order.attend, sinusoidal_positions, rotary, alibi_bias)
lesson.sources(
    "sinusoidal: [Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), section 3.5",
    "rotary: [Su et al. 2021](https://arxiv.org/abs/2104.09864), section 3.2.2",
    "ALiBi: [Press et al. 2022](https://arxiv.org/abs/2108.12409), section 3",
    "shuffled in, shuffled out: [Lee et al. 2019](https://arxiv.org/abs/1810.00825), section 3",
    "order through the causal mask: [Haviv et al. 2022](https://arxiv.org/abs/2203.16634)",
)
lesson.foot()
