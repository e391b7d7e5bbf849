"""Where it fails: sentences that this head cannot get right, and why; and the post's own row."""

from attention.dot_product import scaled_dot_product_attention
from attention.two_layers import two_layer_attention
from pages.shared import frame, lesson
from pages.shared.parts import fails

frame.begin()
lesson.heading(
    "Where it fails",
    "The head of the first screen was trained, and still it fails where one layer must fail. "
    "These are its real weights for other people’s sentences.",
)
fails.pairs()
fails.others()
fails.post_row()
lesson.misconception(
    "a head that finds “cat” has understood the sentence.",
    "it has learned which nouns go with which pronoun, and roughly where they stand. Attention "
    "shows where a head looks; whether that explains an answer is disputed.",
)
lesson.symbols(
    r"\frac{w_{\text{it}\to a}}{w_{\text{it}\to b}}=e^{\,q_{\text{it}}\cdot(k_a-k_b)/\sqrt{d_k}}",
    {
        "q_{\\text{it}}": "made from “it” and its place alone",
        "k_a,\\,k_b": "made from each noun and its place alone",
        "w": "weights; the words around change none of these three vectors",
    },
)
lesson.code(scaled_dot_product_attention, two_layer_attention)
lesson.sources(
    "the pairs: Winograd 1972; [Levesque, Davis & Morgenstern 2012]"
    "(https://cdn.aaai.org/ocs/4492/4492-21843-1-PB.pdf)",
    "[Jain & Wallace 2019](https://arxiv.org/abs/1902.10186)",
    "[Wiegreffe & Pinter 2019](https://arxiv.org/abs/1908.04626)",
)
lesson.foot()
