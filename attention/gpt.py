"""GPTs in NumPy: read one from files, run it, and let it write on, every head visible.

    from attention.gpt import encode, forward, generate, load_gpt

    model = load_gpt()                                # the tiny one that is shipped
    ids = encode("The cat sat on the mat.", model)
    trace = forward(ids, model)
    trace.layers[0].attention.weights                 # (H, T, T)
    for step in generate(ids, model, max_new=10, seed=1):
        print(step.text, step.probability)

`load_gpt` takes GPT-2's published files in any size, SmolLM2 from its Python package, and other
Llama-type models in GGUF. The mathematics stands in `attention.decoder`, the choice of the next
word in `attention.sampling`, the reading of files in `attention.gpt_files`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from attention.decoder import GPT, GptTokens, GptTrace, KeyValueCache, LayerTrace, forward
from attention.functions import read_only
from attention.gpt_files import HOW_TO_GET, load_gpt, smollm2_file
from attention.randomness import stable_rng
from attention.sampling import draw, likeliest, next_probabilities

__all__ = [
    "GPT",
    "HOW_TO_GET",
    "GptTokens",
    "GptTrace",
    "KeyValueCache",
    "LayerTrace",
    "Step",
    "decode",
    "encode",
    "forward",
    "generate",
    "joined_weights",
    "likeliest",
    "load_gpt",
    "next_probabilities",
    "smollm2_file",
]

# ---- text in, text out


def encode(text: str, model: GPT) -> tuple[int, ...]:
    """Return the ids of a text's tokens in the model's vocabulary; a blank text may give none."""
    return model.tokenizer.encode(text)


def decode(ids, model: GPT) -> str:
    """Return the text that token ids make together."""
    return model.tokenizer.decode(ids)


@dataclass(frozen=True, eq=False)
class Step:
    """One word that a GPT wrote, and what it was drawn from.

    probabilities (V,) are those after temperature, top-k and top-p; `probability` is that of the
    token drawn.  trace: the pass that led to them; in the first step it holds the whole prompt, in
    each later one the token before alone, so that every step adds one row to the maps.
    is_end: the token ends the text.
    """

    id: int
    text: str
    probability: float
    probabilities: np.ndarray
    trace: GptTrace
    is_end: bool


def generate(
    ids,
    model: GPT,
    *,
    max_new: int = 20,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    seed: int = 0,
    cache: KeyValueCache | None = None,
) -> Iterator[Step]:
    """Write on from token ids (T,), one token at a time, each yielded as soon as it is drawn.

    Ends after `max_new` tokens, after one that ends a text, or when the model has no position left.
    The draw at a position depends on the seed and the position alone, so that a seed repeats, also
    from any point on. With a cache, `ids` are the tokens after those in it. Raises what `forward`
    and `next_probabilities` raise, when the first step is asked for.
    """
    for _ in range(max_new):
        trace = forward(ids, model, cache)
        cache = trace.cache
        probabilities = next_probabilities(
            trace.logits[-1], temperature=temperature, top_k=top_k, top_p=top_p
        )
        new = draw(probabilities, stable_rng("next word", seed, len(cache)))
        is_end = new in model.tokenizer.end_ids
        (text,) = model.tokenizer.texts([new])
        yield Step(new, text, float(probabilities[new]), read_only(probabilities), trace, is_end)
        if is_end or len(cache) == model.max_tokens:
            return
        ids = [new]


def joined_weights(traces: Sequence[GptTrace], layer: int) -> np.ndarray:
    """Return one layer's weights (H, S, S) over traces that go on from one another.

    Query rows come from each trace in turn; keys that were not there yet have weight 0, as a
    causal mask would have given them. Raises ValueError where a trace does not go on from the one
    before it.
    """
    parts = [trace.layers[layer].attention.weights for trace in traces]
    S = len(traces[-1].context)
    joined = np.zeros((parts[0].shape[0], S, S), parts[0].dtype)
    row = 0
    for trace, part in zip(traces, parts, strict=True):
        _, T, n_keys = part.shape
        if row + T != n_keys or trace.context.ids != traces[-1].context.ids[:n_keys]:
            raise ValueError(
                f"A trace of {n_keys} keys does not go on from {row} tokens; give all the traces "
                f"of one text, from its first token on, in order."
            )
        joined[:, row : row + T, :n_keys] = part
        row += T
    return joined
