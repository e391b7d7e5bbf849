"""Sentences about what is on screen; every number in them is read off the forward pass."""

import json
from functools import cache

import numpy as np

from attention.forward import ForwardPass
from attention.projections import PRESETS
from attention.scenario import MATRIX_NAMES, Scenario
from pages.shared.arithmetic import stage_array
from pages.shared.wording import distinct, in_markdown, number, plural, portion

NAMES = {  # for a screen reader
    "embeddings": "Embeddings",
    "Q": "Queries",
    "K": "Keys",
    "V": "Values",
    "scores": "Scores",
    "scaled": "Scaled scores",
    "weights": "Attention weights",
    "output": "Output",
}
MATRIX_TEXTS = {  # matrices -> (in a word or two, title, caption)
    "coreference": (
        "learned",
        "Learned: pronoun → noun",
        "trained so that a pronoun finds its noun",
    ),
    "coreference-no-positions": (
        "learned, no positions",
        "Learned, without positions",
        "the same, blind to word order",
    ),
    "grammar": (
        "learned grammar",
        "Learned: a little grammar",
        "article → noun, verb → subject, pronoun → noun",
    ),
    "random": ("random", "Random", "drawn from a seed; the pattern means nothing yet"),
    "identity": ("identity", "Identity", "Q = K = V = X: similarity alone"),
}


def quoted(result: ForwardPass, place: int) -> str:
    """Write a token for Markdown, with its place where it occurs twice: “the” 5."""
    texts = result.tokens.texts
    name = f"“{in_markdown(texts[place])}”"
    return f"{name} {place + 1}" if texts.count(texts[place]) > 1 else name


def may_look(result: ForwardPass, query: int, key: int) -> bool:
    """True unless a mask hides the key from the query."""
    mask = result.attention.mask
    T = len(result.tokens)
    return mask is None or bool(np.broadcast_to(mask, (1, T, T))[0, query, key])


def claim(result: ForwardPass, query: int, key: int | None) -> str:
    """The heading between the two selectors."""
    if key is None:
        return "looks at"
    if not may_look(result, query, key):
        return "may not look at (masked)"
    weight = float(result.attention.weights[0, query, key])
    return f"puts {portion(weight)} of its attention on"


def insight(result: ForwardPass, query: int, key: int | None) -> str:
    """One or two sentences under the heading."""
    row = result.attention.weights[0, query]
    top = int(np.argmax(row))
    total = number(row.sum(), 3)
    sentences = [f"The bars add up to {total}."]
    if key != top:
        sentences.append(f"Most goes to {quoted(result, top)}: {portion(row[top])}.")
    if _looks_at_random(result.scenario):
        sentences.append("Random weights: the pattern means nothing yet.")
    else:
        sentences.append("They show where this head looks, not why.")
        if result.scenario == Scenario(query=result.scenario.query, key=result.scenario.key):
            sentences.append(_unlearned(result, query))
    unknown = int((~result.known).sum())
    if unknown:
        words = plural(len(result.known), "word")
        is_are = "is" if unknown == 1 else "are"
        sentences.append(f"\\* {unknown} of {words} {is_are} unknown: a random vector stands in.")
    return " ".join(sentences)


def _looks_at_random(scenario: Scenario) -> bool:
    """True where W_q or W_k, which make the weights, was drawn and neither learned nor given."""
    drawn = {"W_q": scenario.seed_q, "W_k": scenario.seed_k}
    return any(
        name not in scenario.uploads and (scenario.matrices == "random" or seed is not None)
        for name, seed in drawn.items()
    )


@cache
def _nothing_learned() -> dict[str, float]:
    return json.loads((PRESETS / "nothing_learned.json").read_text(encoding="utf-8"))


def _unlearned(result: ForwardPass, query: int) -> str:
    """On the first screen: what was never trained on, and what heads do that learned nothing."""
    if result.tokens.words[query] != "it":
        return ""
    figures = _nothing_learned()
    return (
        "It was trained without cat, mat, sat and eating. Of random heads, "
        f"{figures['random_first']:.0%} look at “cat” first; comparing the bare words gives it "
        f"{number(figures['identity_weight'])}."
    )


def summary(scenario: Scenario) -> str:
    """What made the matrices, and the widths: learned · 50 → 32."""
    uploads = [name for name in MATRIX_NAMES if name in scenario.uploads]
    drawn = [name for name in MATRIX_NAMES if getattr(scenario, f"seed_{name[-1]}") is not None]
    source = "uploaded" if len(uploads) == 3 else MATRIX_TEXTS[scenario.matrices][0]
    if source == "random":
        source += f", seed {scenario.seed}"
    if uploads and source != "uploaded":
        source += f", {' and '.join(uploads)} uploaded"
    if drawn:
        source += f", {' and '.join(drawn)} drawn alone"
    if scenario.edits:
        source += f", {plural(len(scenario.edits), 'cell')} edited"
    d_model = "one-hot" if scenario.embedding == "one-hot" else scenario.d_model
    widths = f"{d_model} → {scenario.d_k}"
    if scenario.d_v != scenario.d_k:
        widths += f" (values {scenario.d_v})"
    return f"{source} · {widths}"


def summary_help(scenario: Scenario) -> str:
    """The same in sentences."""
    uploads = [f"${name}$" for name in MATRIX_NAMES if name in scenario.uploads]
    _, title, caption = MATRIX_TEXTS[scenario.matrices]
    sentences = ["Uploaded." if len(uploads) == 3 else f"{title} ({caption})."]
    if 0 < len(uploads) < 3:
        sentences.append(f"Uploaded instead: {' and '.join(uploads)}.")
    given = "one-hot" if scenario.embedding == "one-hot" else plural(scenario.d_model, "number")
    sentences.append(
        f"A word comes in as {given}; its query and key have {scenario.d_k}, its value "
        f"{scenario.d_v}."
    )
    return " ".join(sentences)


def row_alt(result: ForwardPass, query: int) -> str:
    """One query's weights as a sentence for a screen reader."""
    row, texts = result.attention.weights[0, query], result.tokens.texts
    each = ", ".join(f"{text} {number(w)}" for text, w in zip(texts, row.tolist(), strict=True))
    return f"Attention weights of “{texts[query]}”, which add up to {number(row.sum(), 3)}: {each}"


def alt(result: ForwardPass, stage: str) -> str:
    """One sentence for a screen reader about a stage's heatmap."""
    Z = stage_array(result, stage)
    names = distinct(result.tokens.texts)
    row, column = np.unravel_index(int(np.argmax(np.abs(Z))), Z.shape)
    across = f"“{names[column]}”" if stage in ("scores", "scaled", "weights") else f"{column}"
    return (
        f"{NAMES[stage]}: {Z.shape[0]} rows, one for each word, {Z.shape[1]} columns; largest "
        f"{number(Z[row, column])} in row “{names[row]}”, column {across}."
    )
