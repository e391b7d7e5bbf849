"""Q, K and V: why each word has three vectors, shown by making them one and by swapping two."""

from attention.dot_product import scaled_dot_product_attention
from attention.multi_head import multi_head_attention
from pages.shared import lesson
from pages.shared.parts import qkv

result = lesson.start(
    "Q, K and V",
    "To look, to be looked at, and to hand something over are three jobs. Three weight matrices "
    "make a vector for each of them. Make two of them one, or swap them, and see what is lost.",
)
qkv.laboratory(result)
lesson.misconception(qkv.symmetric_claim(result), qkv.about_symmetry(result))
lesson.misconception("Q, K and V are three different inputs.", qkv.about_inputs(result))
lesson.symbols(
    r"S_{ij} = q_i \cdot k_j, \qquad S = Q K^\top = X\,W_q W_k^\top X^\top",
    {
        "S_{ij}": "score that word i gives word j",
        "q_i": "query of word i, row i of Q",
        "k_j": "key of word j, row j of K",
        "X": "the words’ vectors, one a row",
        "S^\\top": "the mirror: rows and columns exchanged",
    },
)
lesson.code(qkv.shared, multi_head_attention, scaled_dot_product_attention)
lesson.sources(
    "Vaswani et al. 2017, *Attention is all you need*, sections 3.2.1 to 3.2.3",
    "Kitaev et al. 2020, *Reformer*, section 2, which makes queries and keys by one matrix, gives "
    "all keys the same length, and lets a word look at itself only where there is no other",
)
lesson.foot()
