"""One sentence through one attention head: the whole way from a `Scenario` to the output.

sentence -> tokens -> embeddings (+ positions) -> Q, K, V -> scores -> scaled -> weights -> output.
"""

from dataclasses import dataclass

import numpy as np

from attention.dot_product import AttentionTrace
from attention.embeddings import (
    Embeddings,
    load_tuning,
    one_hot_embeddings,
    random_embeddings,
    uploaded_embeddings,
    word_embeddings,
)
from attention.multi_head import multi_head_attention
from attention.positions import sinusoidal_positions
from attention.projections import (
    Projections,
    identity_projections,
    load_preset,
    random_matrix,
)
from attention.scenario import MATRIX_NAMES, PRESETS, Scenario
from attention.text import Tokens, tokenize


@dataclass(frozen=True)
class ForwardPass:
    """Everything computed for one scenario; arrays are read-only.

    tokens: the T tokens computed; n_left_out: tokens beyond `max_tokens`.
    embeddings: (T, D) vectors of the words; known: (T,) False where a random vector stands in.
    positions: (T, D) added to them, or None.  X: (T, D) their sum.
    projections: W_q, W_k, W_v.  attention: the trace, with one head: weights (1, T, T).
    """

    scenario: Scenario
    tokens: Tokens
    n_left_out: int
    embeddings: np.ndarray
    known: np.ndarray
    positions: np.ndarray | None
    X: np.ndarray
    projections: Projections
    attention: AttentionTrace


def forward(scenario: Scenario, *, max_tokens: int | None = None) -> ForwardPass:
    """Compute every stage of self-attention for a scenario (Vaswani et al. 2017, eq. 1).

    max_tokens: compute the first so many tokens only.
    Raises ValueError where shapes cannot fit, e.g. uploaded X with another number of rows.
    """
    tokens, n_left_out = _first(tokenize(scenario.sentence), max_tokens)
    vectors = embed(tokens, scenario)
    positions = position_vectors(vectors.X.shape, scenario)
    X = vectors.X if positions is None else vectors.X + positions  # (T, D)
    X.flags.writeable = False
    projections = project(scenario, d_model=X.shape[1])
    scale = None if scenario.scaling else 1.0
    attention = multi_head_attention(X, projections, is_causal=scenario.causal, scale=scale)
    return ForwardPass(
        scenario, tokens, n_left_out, vectors.X, vectors.known, positions, X, projections, attention
    )


def _first(tokens: Tokens, most: int | None) -> tuple[Tokens, int]:
    if most is None or len(tokens) <= most:
        return tokens, 0
    return Tokens(tokens.texts[:most], tokens.words[:most]), len(tokens) - most


def embed(tokens: Tokens, scenario: Scenario) -> Embeddings:
    """Turn tokens into the (T, D) vectors that the scenario asks for."""
    if scenario.embedding == "random":
        return random_embeddings(tokens, scenario.d_model, scenario.embedding_seed)
    if scenario.embedding == "one-hot":
        return one_hot_embeddings(tokens)
    if scenario.embedding == "uploaded" and scenario.X is not None:
        return uploaded_embeddings(tokens, scenario.X.array)
    tuning = load_tuning() if scenario.embedding == "tuned" else None
    return word_embeddings(tokens, scenario.d_model, tuning)


def position_vectors(shape: tuple[int, int], scenario: Scenario) -> np.ndarray | None:
    """Return the (T, D) position vectors that the scenario adds, or None."""
    if scenario.positions == "none":
        return None
    positions = sinusoidal_positions(*shape)
    positions.flags.writeable = False
    return positions


def base_matrix(name: str, scenario: Scenario, d_model: int) -> np.ndarray:
    """Return W_q, W_k or W_v of a scenario before any cell of it was edited."""
    uploaded = getattr(scenario, name)
    if uploaded is not None:
        return uploaded.array
    own_seed = getattr(scenario, f"seed_{name[-1]}")
    if own_seed is None and scenario.matrices in PRESETS:
        return getattr(load_preset(scenario.matrices), name)
    if own_seed is None and scenario.matrices == "identity":
        return getattr(identity_projections(d_model, scenario.d_k, scenario.d_v), name)
    width = scenario.d_v if name == "W_v" else scenario.d_k
    return random_matrix(
        name,
        d_model,
        width,
        seed=scenario.seed if own_seed is None else own_seed,
        distribution=scenario.distribution,
        spread=scenario.spread,
    )


def project(scenario: Scenario, d_model: int) -> Projections:
    """Return the scenario's matrices, edited cells included, for vectors `d_model` wide.

    Edits beyond a matrix's edge are passed over (see `edits_outside`).
    """
    matrices = {name: np.array(base_matrix(name, scenario, d_model)) for name in MATRIX_NAMES}
    for edit in scenario.edits:
        matrix = matrices[edit.matrix]
        if edit.row < matrix.shape[0] and edit.column < matrix.shape[1]:
            matrix[edit.row, edit.column] = edit.value
    return Projections(**matrices)


def edits_outside(scenario: Scenario, projections: Projections) -> int:
    """Count edited cells that lie beyond the edge of their matrix as it is now."""
    shapes = {name: getattr(projections, name).shape for name in MATRIX_NAMES}
    return sum(
        edit.row >= shapes[edit.matrix][0] or edit.column >= shapes[edit.matrix][1]
        for edit in scenario.edits
    )
