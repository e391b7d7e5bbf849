"""What of a model's head goes to the playground, and what that means. No Streamlit here."""

from dataclasses import dataclass, field

import numpy as np

from attention.embeddings import MAX_WORD_WIDTH
from attention.scenario import MATRIX_NAMES, MAX_HEAD, MAX_WIDTH, Matrix, Scenario
from pages.shared.parts.yours_model import Head

CAUSAL = {"GPT-2": True, "Llama": True, "BERT": False, "DistilBERT": False, "timm ViT": False}
LEFT_OUT = (
    "Without X the biases stay behind: $b_q$ would add $b_q\\cdot k$ to the scores, $b_v$ would be "
    "added to every output, $b_k$ changes no weight, since it adds the same to a whole row."
)


@dataclass(frozen=True)
class Carried:
    """Fields of a scenario that computes the head, and sentences on them; or why there are none."""

    fields: dict[str, object] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()  # Markdown, without a word of the reader's
    problem: str = ""


def carried(head: Head, scenario: Scenario, n_tokens: int, X: Matrix | None) -> Carried:
    """Take a head to the playground, biases included where X, what goes into the layer, is given.

    x W + b is (x, 1) (W over b): X gets a column of ones, and each matrix its bias as last row.
    X is used where it is (n_tokens, d_model); without it the words get vectors of the playground.
    """
    p = head.projections
    D, d_k = p.W_q.shape
    if D > MAX_WIDTH or max(d_k, p.d_v) > MAX_HEAD:
        return Carried(
            problem=f"The playground takes heads up to {MAX_WIDTH:,} × {MAX_HEAD}; this one is "
            f"{D:,} × {max(d_k, p.d_v)}. Download it instead."
        )
    if not n_tokens:
        return Carried(problem="Type a sentence for the head to work on.")
    used = X is not None and X.shape == (n_tokens, D)
    biased = any(bias is not None for bias in (p.b_q, p.b_k, p.b_v))
    folded = used and biased and D < MAX_WIDTH
    fields: dict[str, object] = {
        "matrices": "random",  # what comes back when the head is taken back
        "scaling": True,
        "causal": CAUSAL.get(head.layer.family, scenario.causal),
        "cell": "",
        "X": None,
    }
    if used:
        ones = np.ones((n_tokens, 1), np.float32)
        fields["X"] = Matrix.of(np.hstack([X.array, ones]) if folded else X.array)
        fields |= {"embedding": "uploaded", "positions": "none"}
    else:
        fields["embedding"] = "words" if D <= MAX_WORD_WIDTH else "random"
    for name in MATRIX_NAMES:
        bias = getattr(p, name.replace("W", "b"))
        try:
            fields[name] = _matrix(getattr(p, name), bias, folded)
        except ValueError as problem:
            return Carried(problem=f"{name} cannot go to the playground: {problem}.")
    return Carried(fields, _said(head, used, biased, folded, X))


def _matrix(W: np.ndarray, bias: np.ndarray | None, folded: bool) -> Matrix:
    if not folded:
        return Matrix.of(W)
    return Matrix.of(np.vstack([W, np.zeros(W.shape[1], W.dtype) if bias is None else bias]))


def _said(head: Head, used: bool, biased: bool, folded: bool, X: Matrix | None) -> tuple[str, ...]:
    D = head.layer.d_model
    said = []
    if used:
        said.append("X is yours.")
    elif D <= MAX_WORD_WIDTH:
        said.append(
            f"The words get the playground’s own vectors, cut to {D} numbers: the model has never "
            "seen them, so the map shows the mechanics, not what the model does."
        )
    else:
        said.append(
            f"X must be {D} wide and word vectors are {MAX_WORD_WIDTH} at most, so each word gets "
            "a random vector: the map shows the mechanics, not what the model does."
        )
    if X is not None and not used:
        rows, columns = X.shape
        said.append(f"Your X, {rows} × {columns}, does not fit this sentence and layer.")
    if folded:
        said.append("Biases go along: X gets a column of ones, each matrix its bias as last row.")
    elif used and biased:
        said.append(
            f"The biases stay behind: with them X would be {D + 1:,} wide, and the playground "
            f"takes {MAX_WIDTH:,}."
        )
    elif biased:
        said.append(LEFT_OUT)
    if CAUSAL.get(head.layer.family):
        said.append("The causal mask goes on, as in the model.")
    said.append("$W_o$ and the other heads stay here.")
    return tuple(said)
