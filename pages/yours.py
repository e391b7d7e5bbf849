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
    lesson.symbols(*yours.formula(head))
    lesson.code(find_layers, head_parts, read_projections, score_strengths)
    lesson.sources(
        "[the .safetensors format](https://huggingface.co/docs/safetensors)",
        "[nn.MultiheadAttention](https://docs.pytorch.org/docs/stable/generated/torch.nn.MultiheadAttention.html)",
        "[Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), section 3.2.2",
        "shared keys: [Ainslie et al. 2023](https://arxiv.org/abs/2305.13245)",
    )
lesson.foot()
