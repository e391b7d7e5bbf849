"""Your own model: one head out of a file of one's own, the right way round."""

from attention.checkpoints import find_layers, head_parts, read_projections
from attention.heads import score_strengths
from pages.shared import lesson
from pages.shared.parts import yours

model = yours.start(
    "Your own model",
    "Every Transformer keeps the same four matrices, each under names and a way round of its own. "
    "Open a file, choose a head, and take it to the playground.",
)
head = yours.choose(model) if model else None
if head:
    yours.matrices(head)
    yours.take_along(model, head)
    yours.place_and_strength(model, head)
if model:
    yours.table(model)
if head:
    lesson.misconception("The file says how many heads there are.", yours.about_heads(head))
    lesson.symbols(
        r"\begin{gathered}Q=X\,W_q+b_q\quad K=X\,W_k+b_k\\V=X\,W_v+b_v\\"
        r"\mathrm{output}=\sum_{\mathrm{heads}}\mathrm{weights}\cdot V\,W_o+b_o\end{gathered}",
        {
            "X": "what goes into the layer, one row a token",
            "W_q, W_k, W_v": "the head’s own columns of the layer’s matrices",
            "W_o": "its rows of the layer’s last matrix",
            "b": "biases",
        },
    )
    lesson.code(find_layers, head_parts, read_projections, score_strengths)
    lesson.sources(
        "[the .safetensors format](https://huggingface.co/docs/safetensors)",
        "[nn.MultiheadAttention](https://docs.pytorch.org/docs/stable/generated/torch.nn.MultiheadAttention.html)",
        "[Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), section 3.2.2",
        "shared keys: [Ainslie et al. 2023](https://arxiv.org/abs/2305.13245)",
    )
lesson.foot()
