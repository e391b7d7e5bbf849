"""Two layers of attention, trained on what one cannot do: "tired" means the animal, "wide" a road.

Layer 1 lets every word look at the others and adds what it found to the word's vector; layer 2
makes its queries and keys from that. So the adjective can reach the pronoun before that looks for
its noun. Word vectors are GloVe's own, and stay. In pairs of sentences that differ in the adjective
alone, W_q1, W_k1, W_v1, W_o1, W_q2 and W_k2 learn to look from the pronoun at the right noun.

A quarter of the adjectives and a fifth of the nouns are held out: only pairs of such words tell
whether the model has learned what an adjective goes with, or remembers a list.

`python -m attention.two_layers` trains it again, and writes its figures into the presets' README.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from attention.corpus import is_held_out, one_in, pick, read_lists, word_list
from attention.embeddings import word_embeddings
from attention.functions import softmax
from attention.positions import sinusoidal_positions
from attention.projections import PRESETS
from attention.randomness import stable_rng
from attention.text import tokenize
from attention.training import PAIRS, Adam, Pair, outer, put_figures

FOLDER = PRESETS / "two-layers"
D_MODEL, D_K = 50, 8
SHAPES = {
    "W_q1": (D_MODEL, D_K),
    "W_k1": (D_MODEL, D_K),
    "W_v1": (D_MODEL, D_K),
    "W_o1": (D_K, D_MODEL),
    "W_q2": (D_MODEL, D_K),
    "W_k2": (D_MODEL, D_K),
}
STEPS, PAIRS_A_STEP = 1000, 16
LEARNING_RATE, WEIGHT_DECAY, NOISE = 0.01, 0.5, 0.1
NEVER_TRAINED = frozenset(word for pair in PAIRS for word in pair.endings)  # adjectives


@dataclass(frozen=True)
class Kind:
    """A kind of pair: "the A did not VERB the B because it was too ..." means A, or B."""

    verbs: tuple[str, ...]
    nouns: tuple[str, str]  # the lists of A and of B
    adjectives: tuple[str, str]  # those that mean A, those that mean B


KINDS = {
    "animal and place": Kind(
        ("cross", "enter", "climb", "reach", "pass", "leave", "visit"),
        ("animals", "places"),
        ("of animals", "of places"),
    ),
    "content and container": Kind(
        ("fit into", "fit in", "go into", "squeeze into"),
        ("contents", "containers"),
        ("large", "small"),
    ),
}
TEMPLATES = (
    "the {a} did not {verb} the {b} because it was too {{}}",
    "the {a} could not {verb} the {b} because it was {{}}",
    "the {a} would not {verb} the {b} since it was so {{}}",
    "the {a} did not {verb} the {b} . it was very {{}}",
    "the {a} cannot {verb} the {b} as it is too {{}}",
)


@cache
def words_of(name: str, held_out: bool) -> tuple[str, ...]:
    """Return the words of a list that training draws, or with `held_out` those it never sees."""
    own = read_lists(FOLDER / "word-lists.txt")
    if name not in own:
        return word_list(name, held_out)
    adjectives = {side for kind in KINDS.values() for side in kind.adjectives}
    out = _adjective_held_out if name in adjectives else is_held_out
    return tuple(word for word in own[name] if out(word) == held_out)


def _adjective_held_out(word: str) -> bool:
    return word in NEVER_TRAINED or one_in(4, word)


def draw_pair(
    rng: np.random.RandomState,
    kind: str | None = None,
    *,
    held_out_nouns: bool = False,
    held_out_adjectives: bool = False,
) -> Pair:
    """Draw two sentences that differ in their adjective, of one of the `KINDS` or of any."""
    chosen = KINDS[kind or pick(rng, tuple(KINDS))]
    a, b = (pick(rng, words_of(name, held_out_nouns)) for name in chosen.nouns)
    endings = [pick(rng, words_of(name, held_out_adjectives)) for name in chosen.adjectives]
    sentence = pick(rng, TEMPLATES).format(a=a, b=b, verb=pick(rng, chosen.verbs))
    return Pair(sentence, (endings[0], endings[1]), "it", (a, b))


@dataclass(frozen=True, eq=False)
class Batch:
    """B sentences of up to T tokens: X (B, T, D), `real` (B, T) False for padding, and by sentence
    the places of the pronoun, `at` (B,), and of the noun that it means, `target` (B,)."""

    X: np.ndarray
    real: np.ndarray
    at: np.ndarray
    target: np.ndarray


def batch_of(pairs: Sequence[Pair]) -> Batch:
    """Lay both sentences of each pair out as arrays, the first ending's before the second's."""
    words = [tokenize(p.sentence.format(ending)).words for p in pairs for ending in p.endings]
    X = np.zeros((len(words), max(map(len, words)), D_MODEL), np.float32)
    real = np.zeros(X.shape[:2], bool)
    for i, sentence in enumerate(words):
        X[i, : len(sentence)] = inputs(sentence)
        real[i, : len(sentence)] = True
    meant = [(p.pronoun, noun) for p in pairs for noun in p.nouns]
    at = [(s.index(it), s.index(noun)) for s, (it, noun) in zip(words, meant, strict=True)]
    return Batch(X, real, *np.array(at).T)


def inputs(words: Sequence[str]) -> np.ndarray:
    """Return what the model reads, (T, 50) float32: GloVe's vectors and sinusoidal positions."""
    vectors = np.array([_vector(word) for word in words])
    return vectors + sinusoidal_positions(*vectors.shape)


@cache
def _vector(word: str) -> np.ndarray:
    return word_embeddings(tokenize(word)).X[0]


def two_layer_attention(
    X: np.ndarray, W: dict[str, np.ndarray], real: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the attention weights of both layers, (..., T, T), for vectors X (..., T, D).

    A1 = softmax(X W_q1 (X W_k1)ᵀ / √d_k), Y = X + A1 X W_v1 W_o1, and A2 likewise from Y W_q2 and
    Y W_k2. real: (..., T) False for keys that are padding.
    """
    first = _weights(X @ W["W_q1"], X @ W["W_k1"], real)
    Y = X + (first @ (X @ W["W_v1"])) @ W["W_o1"]
    return first, _weights(Y @ W["W_q2"], Y @ W["W_k2"], real)


def _weights(Q: np.ndarray, K: np.ndarray, real: np.ndarray | None) -> np.ndarray:
    scaled = (Q @ K.swapaxes(-1, -2)) * Q.dtype.type(Q.shape[-1] ** -0.5)
    return softmax(scaled if real is None else np.where(real[..., None, :], scaled, -np.inf))


def loss_and_gradients(
    W: dict[str, np.ndarray], batch: Batch
) -> tuple[float, dict[str, np.ndarray]]:
    """Return the mean of -log A2(pronoun, its noun) over a batch, and its gradients by name."""
    X, rows = batch.X, np.arange(len(batch.X))
    scale = X.dtype.type(W["W_q1"].shape[1] ** -0.5)

    Q1, K1, V1 = X @ W["W_q1"], X @ W["W_k1"], X @ W["W_v1"]  # (B, T, d_k)
    A1 = _weights(Q1, K1, batch.real)  # (B, T, T)
    H = A1 @ V1
    Y = X + H @ W["W_o1"]  # (B, T, D)
    Y_at = Y[rows, batch.at]  # (B, D), the pronoun's
    q, K2 = Y_at @ W["W_q2"], Y @ W["W_k2"]
    A2 = _weights(q[:, None], K2, batch.real)[:, 0]  # (B, T), the pronoun's row alone
    right = A2[rows, batch.target]
    loss = float(-np.log(np.maximum(right, np.finfo(X.dtype).tiny)).mean())

    d_scores = A2.copy()  # softmax and cross-entropy: A2 less 1 at the right noun
    d_scores[rows, batch.target] -= 1
    d_scores *= scale / X.dtype.type(len(X))
    d_q = (d_scores[:, None] @ K2)[:, 0]  # (B, d_k)
    d_K2 = d_scores[..., None] * q[:, None]  # (B, T, d_k)
    d_Y = d_K2 @ W["W_k2"].T
    d_Y[rows, batch.at] += d_q @ W["W_q2"].T
    d_H = d_Y @ W["W_o1"].T
    d_A1 = d_H @ V1.swapaxes(-1, -2)
    d_scores1 = A1 * (d_A1 - np.sum(A1 * d_A1, -1, keepdims=True)) * scale
    return loss, {
        "W_q1": outer(X, d_scores1 @ K1),
        "W_k1": outer(X, d_scores1.swapaxes(-1, -2) @ Q1),
        "W_v1": outer(X, A1.swapaxes(-1, -2) @ d_H),
        "W_o1": outer(H, d_Y),
        "W_q2": Y_at.T @ d_q,
        "W_k2": outer(Y, d_K2),
    }


def train(steps: int = STEPS, seed: int = 1) -> dict[str, np.ndarray]:
    """Train the model from random numbers and return its matrices by name, float32."""
    rng = stable_rng("two layers", seed)
    sizes = [rows * columns for rows, columns in SHAPES.values()]
    start = [rng.standard_normal(shape) * shape[0] ** -0.5 for shape in SHAPES.values()]
    flat = np.concatenate([matrix.ravel() for matrix in start]).astype(np.float32)
    parts = np.split(flat, np.cumsum(sizes)[:-1])  # views
    named = zip(SHAPES.items(), parts, strict=True)
    W = {name: part.reshape(shape) for (name, shape), part in named}
    adam = Adam(flat, LEARNING_RATE, WEIGHT_DECAY, steps)
    for _ in range(steps):
        batch = batch_of([draw_pair(rng) for _ in range(PAIRS_A_STEP)])
        noise = rng.standard_normal(batch.X.shape).astype(np.float32) * np.float32(NOISE)
        noisy = Batch(batch.X + noise, batch.real, batch.at, batch.target)
        _, gradients = loss_and_gradients(W, noisy)
        adam.step(np.concatenate([gradients[name].ravel() for name in SHAPES]))
    return W


def turned(W: dict[str, np.ndarray], pairs: Sequence[Pair]) -> float:
    """Return the share of pairs in which layer 2 looks first at the right noun both times."""
    batch = batch_of(pairs)
    _, second = two_layer_attention(batch.X, W, batch.real)
    found = second[np.arange(len(batch.X)), batch.at].argmax(-1) == batch.target
    return float(found.reshape(-1, 2).all(1).mean())


@cache
def load_two_layers() -> dict[str, np.ndarray]:
    """Return the shipped model's matrices by name, float32 and read-only."""
    with np.load(FOLDER / "weights.npz", allow_pickle=False) as file:
        W = {name: file[name] for name in SHAPES}
    for matrix in W.values():
        matrix.flags.writeable = False
    return W


def shares(W: dict[str, np.ndarray], n: int = 500) -> dict[str, tuple[float, float, float]]:
    """Return, by kind, how many of n pairs are right both times: with the words of the training,
    with held-out adjectives, and with held-out nouns as well."""
    found = {}
    for kind in KINDS:
        rng = stable_rng("two layers evaluated", kind)
        cases = ((False, False), (False, True), (True, True))
        drawn = [
            [draw_pair(rng, kind, held_out_nouns=nouns, held_out_adjectives=adjectives)
             for _ in range(n)]
            for nouns, adjectives in cases
        ]  # fmt: skip
        words, adjectives, both = (turned(W, pairs) for pairs in drawn)
        found[kind] = (words, adjectives, both)
    return found


@cache
def shipped_shares() -> dict[str, list[float]]:
    """Return the `shares` of the shipped model, as written when it was trained."""
    return json.loads((FOLDER / "shares.json").read_text(encoding="utf-8"))


def evaluation() -> str:
    """Return the figures of the presets' README as Markdown, from the shipped files."""
    W = load_two_layers()
    header = (
        "| right for both adjectives | words of the training | held-out adjectives | and nouns |"
    )
    lines = [header, "| --- | --- | --- | --- |"]
    lines += [
        f"| {kind} | {' | '.join(f'{share:.3f}' for share in found)} |"
        for kind, found in shipped_shares().items()
    ]
    lines += ["", "| the famous pairs | means | weights |", "| --- | --- | --- |"]
    for pair in PAIRS[:2]:
        for ending, meant in zip(pair.endings, pair.nouns, strict=True):
            sentence = pair.sentence.format(ending)
            words = tokenize(sentence).words
            row = two_layer_attention(inputs(words), W)[1][words.index(pair.pronoun)]
            found = ", ".join(f"{noun} {row[words.index(noun)]:.3f}" for noun in pair.nouns)
            lines.append(f"| {sentence} | {meant} | {found} |")
    return "\n".join(lines)


def main(folder: Path = FOLDER, presets: Path = PRESETS) -> None:
    """Train and write the model into `folder`, and its figures into the README of `presets`."""
    with threadpool_limits(limits=1, user_api="blas"):  # these products are small
        W = train()
        np.savez(folder / "weights.npz", **W)
        found = json.dumps(shares(W), indent=1)
        (folder / "shares.json").write_text(found + "\n", encoding="utf-8")
        figures = evaluation()
    print(figures)
    put_figures("two layers", figures, presets)


if __name__ == "__main__":
    main()
