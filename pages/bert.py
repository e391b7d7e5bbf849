"""BERT: the heads of a real model on the reader's sentence, every number in sight."""

from attention.bert import encode
from attention.dot_product import scaled_dot_product_attention
from attention.heads import join_words, strongest_links, without
from pages.shared import frame, lesson
from pages.shared.parts import bert, bert_opened
from pages.shared.parts.bert_view import value_lengths

now = bert.start(
    "BERT: real heads",
    f"{lesson.term('MiniLM')} is a small {lesson.term('BERT')}, trained on much text. Each of its "
    f"72 {lesson.term('head', 'heads')} looks its own way. For a few, what they do has a name.",
    frame.begin(),
)
bert.options(now)
bert.overview(now)
bert.named_heads(now)
bert_opened.arithmetic_panel(now)
bert_opened.links_and_mean(now)
bert_opened.leaving_out(now)
lesson.misconception(
    "Everything looks at the first token, so the code is wrong.", bert_opened.about_sinks(now)
)
lesson.misconception(
    "The largest weight is the reason for the answer.", bert_opened.about_explaining(now)
)
lesson.symbols(
    r"w=\mathrm{softmax}\!\left(\frac{(X W_q+b_q)(X W_k+b_k)^\top}{\sqrt{32}}\right)",
    {
        "X": "what goes into the layer, 384 numbers for each token",
        "W_q, W_k": "the head’s own 32 columns of the layer’s matrices",
        "b_q, b_k": "biases: numbers added to every query and key",
        "w": "weights, rows being queries",
    },
)
lesson.code(
    encode, scaled_dot_product_attention, join_words, without, strongest_links, value_lengths
)
lesson.sources(
    "BERT: [Devlin et al. 2019](https://arxiv.org/abs/1810.04805)",
    "MiniLM: [Wang et al. 2020](https://arxiv.org/abs/2002.10957)",
    "heads with names, words for pieces: [Clark et al. 2019](https://arxiv.org/abs/1906.04341)",
    "sinks: [Xiao et al. 2023](https://arxiv.org/abs/2309.17453)",
    "lengths of values: [Kobayashi et al. 2020](https://arxiv.org/abs/2004.10102)",
    "[Jain and Wallace 2019](https://arxiv.org/abs/1902.10186)",
    "[Wiegreffe and Pinter 2019](https://arxiv.org/abs/1908.04626)",
)
bert.clicks(now)
lesson.foot()
