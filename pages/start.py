"""Start: why attention, in eight steps from the words to the new vector of one of them."""

from attention.dot_product import scaled_dot_product_attention
from attention.forward import forward
from attention.functions import softmax
from pages.shared import lesson
from pages.shared.parts import start

result = lesson.start(
    "Why attention",
    "What a word means depends on the words around it. Attention lets each word look at all the "
    "others and take in what it needs. Eight steps, with your own sentence.",
)
start.story(result)
if result.scenario.step == 1:
    lesson.misconception(
        "Networks before attention forget everything that came earlier.", start.about_fading(result)
    )
lesson.symbols(
    r"\mathrm{output} = \mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt{d_k}}\right) V",
    {
        "Q": "queries, one row a word",
        "K": "keys",
        "V": "values",
        "Q K^\\top": "all scores",
        "d_k": "width of a query or key",
        r"\mathrm{softmax}": "turns each row into weights that add up to 1",
    },
)
lesson.code(forward, scaled_dot_product_attention, softmax)
lesson.sources(
    "“Self Attention for dummies”, 2025",
    "Vaswani et al. 2017, *Attention is all you need*, section 3.2",
    "Pennington et al. 2014, *GloVe*",
    "Hochreiter and Schmidhuber 1997, *Long short-term memory*",
)
lesson.foot()
