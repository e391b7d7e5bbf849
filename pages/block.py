"""The Transformer block: what attention and feed-forward add to a word's vector, block by block."""

from attention.block import additions, block, cosines, feed_forward, lengths, stack
from attention.functions import layer_norm
from pages.shared import lesson
from pages.shared.parts import block as parts

result = lesson.start(
    "The Transformer block",
    "A Transformer is a stack of blocks, built alike, each with numbers of its own. In each, "
    "**attention** lets the words look at each other and a **feed-forward** network works on each "
    "word alone. What they make is **added** to the word’s vector, which runs through all blocks.",
)
parts.word_through_blocks(result)
parts.to_bert_and_gpt(result)
lesson.misconception("Attention replaces the word’s vector.", parts.about_replacing(result))
lesson.misconception(
    "Most of a Transformer’s numbers are in its attention.", parts.about_size(result)
)
lesson.symbols(
    parts.formula(result.scenario.norm_first),
    {
        "x": "a word’s vector as it enters the block",
        "h": "after attention",
        "y": "as it leaves",
        r"\mathrm{FF}(u)=\mathrm{gelu}(u\,W_{in}+b_{in})\,W_{out}+b_{out}": "feed-forward",
        r"\mathrm{gelu}(z)": "keeps large numbers, turns negative ones to nearly 0",
        r"\mathrm{norm}(u)": "$u$ less its mean, divided by its standard deviation; then times a "
        "learned gain, plus a learned bias (here 1 and 0)",
    },
)
lesson.code(stack, block, feed_forward, layer_norm, additions, lengths, cosines)
lesson.sources(
    "[Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), sections 3.1 and 3.3",
    "residual connections: [He et al. 2016](https://arxiv.org/abs/1512.03385)",
    "layer norm: [Ba et al. 2016](https://arxiv.org/abs/1607.06450); first or last: "
    "[Xiong et al. 2020](https://arxiv.org/abs/2002.04745)",
    "GELU: [Hendrycks and Gimpel 2016](https://arxiv.org/abs/1606.08415)",
    "two thirds: [Geva et al. 2021](https://arxiv.org/abs/2012.14913)",
    "[Devlin et al. 2019](https://arxiv.org/abs/1810.04805) (BERT)",
    "Radford et al. 2018 (GPT) and 2019 (GPT-2)",
)
lesson.foot()
