"""Self-attention in NumPy, every intermediate kept.

    from attention import Scenario, forward

    result = forward(Scenario(sentence="The cat sat on the mat. It is eating now."))
    result.tokens.texts             # the tokens, as typed
    result.attention.weights[0]     # (T, T), rows sum to 1

Letters of shapes, the same everywhere: T queries, S keys, H heads, H_kv heads of keys and values,
D model width, d_k width of a query or key, d_v width of a value, F feed-forward width, N recurrent
state. Leading axes are free. Arrays act on rows: Q = X @ W_q.
"""

from attention.dot_product import (
    AttentionTrace,
    memory_efficient_attention,
    scaled_dot_product_attention,
)
from attention.forward import ForwardPass, forward
from attention.functions import softmax
from attention.masks import causal_mask, sliding_window_mask
from attention.multi_head import multi_head_attention
from attention.projections import Projections, random_projections
from attention.scenario import Scenario
from attention.text import tokenize

__all__ = [
    "AttentionTrace",
    "ForwardPass",
    "Projections",
    "Scenario",
    "causal_mask",
    "forward",
    "memory_efficient_attention",
    "multi_head_attention",
    "random_projections",
    "scaled_dot_product_attention",
    "sliding_window_mask",
    "softmax",
    "tokenize",
]
