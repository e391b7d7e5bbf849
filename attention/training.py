"""How a head learns what "it" means: one attention head, its gradients written out, and Adam.

The word vectors and the positions stay as they are; only W_q, W_k, W_v and W_o learn. The head is
never told where to look. It is asked to *name* a word: its output, times W_o, is compared with the
vectors of the words in the batch, and the right one is the word itself, or for a pronoun its
antecedent. Looking at that word is the only way to name it, so that is what the head learns.

`python -m attention.training` writes the shipped presets again and prints how well they do.
"""

from dataclasses import dataclass

import numpy as np

from attention.corpus import Example, draw_examples
from attention.embeddings import word_embeddings
from attention.functions import softmax
from attention.positions import sinusoidal_positions
from attention.projections import Projections
from attention.randomness import stable_rng
from attention.text import tokenize

D_MODEL = 50
NAMES = ("W_q", "W_k", "W_v", "W_o")


@dataclass(frozen=True)
class TrainingConfig:
    """What a training run depends on, and nothing else: the same config gives the same weights."""

    positions: bool = True
    seed: int = 0
    steps: int = 2500
    batch: int = 32
    d_k: int = 32
    learning_rate: float = 5e-3
    weight_decay: float = 0.05
    noise: float = 0.15
    pronoun_weight: float = 4.0
    look: float = 0.0
    max_offset: int = 30
    max_gap: int = 40
    p_offset: float = 0.5
    p_gap: float = 0.5


@dataclass(frozen=True, eq=False)
class Batch:
    """Labelled sentences as arrays, shorter ones padded.

    X (B, T, D) embeddings, `named` (B, T) the candidate each token should name, `candidates`
    (M, D) the vectors to choose from, `weights` (B, T) how much each row counts (sum 1; padding 0),
    `real` (B, T) False where there is padding.
    """

    X: np.ndarray
    named: np.ndarray
    candidates: np.ndarray
    weights: np.ndarray
    real: np.ndarray
    means: np.ndarray = None


def loss_and_gradients(
    W: dict[str, np.ndarray], batch: Batch, look: float = 0.0
) -> tuple[float, dict[str, np.ndarray]]:
    """Return the cross-entropy of the named words and its gradient for W_q, W_k, W_v and W_o."""
    X, C = batch.X, batch.candidates
    scale = X.dtype.type(W["W_q"].shape[1] ** -0.5)

    Q, K, V = X @ W["W_q"], X @ W["W_k"], X @ W["W_v"]  # (B, T, d_k)
    scaled = (Q @ K.swapaxes(-1, -2)) * scale  # (B, T, T)
    A = softmax(np.where(batch.real[:, None, :], scaled, -np.inf))
    H = A @ V  # (B, T, d_v)
    Y = H @ W["W_o"]  # (B, T, D)
    P = softmax(Y @ C.T)  # (B, T, M)

    right = np.take_along_axis(P, batch.named[..., None], -1)  # (B, T, 1)
    loss = -float(np.sum(batch.weights * np.log(np.maximum(right[..., 0], 1e-30))))

    d_logits = P  # (B, T, M): softmax minus the one-hot target, times the row's weight
    np.put_along_axis(d_logits, batch.named[..., None], right - 1, -1)
    d_logits *= batch.weights[..., None]
    d_Y = d_logits @ C  # (B, T, D)
    d_H = d_Y @ W["W_o"].T  # (B, T, d_v)
    d_A = d_H @ V.swapaxes(-1, -2)  # (B, T, T)
    d_scaled = A * (d_A - np.sum(A * d_A, -1, keepdims=True))
    if look:
        d_look = A.copy()
        np.put_along_axis(
            d_look,
            batch.means[..., None],
            np.take_along_axis(A, batch.means[..., None], -1) - 1,
            -1,
        )
        d_scaled += look * d_look * batch.weights[..., None]
    d_scaled *= scale
    d_Q = d_scaled @ K  # (B, T, d_k)
    d_K = d_scaled.swapaxes(-1, -2) @ Q
    d_V = A.swapaxes(-1, -2) @ d_H
    gradients = {
        "W_q": _outer(X, d_Q),
        "W_k": _outer(X, d_K),
        "W_v": _outer(X, d_V),
        "W_o": _outer(H, d_Y),
    }
    return loss, gradients


def _outer(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Sum left_i rightᵢᵀ over every row of every sentence: (D, E)."""
    return left.reshape(-1, left.shape[-1]).T @ right.reshape(-1, right.shape[-1])


class Trainer:
    """One training run, taken step by step; it shares nothing with any other."""

    def __init__(self, config: TrainingConfig | None = None) -> None:
        self.config = config or TrainingConfig()
        c = self.config
        self._rng = stable_rng("training", c.seed)
        self._vocabulary = _Vocabulary()
        shapes = [(D_MODEL, c.d_k)] * 3 + [(c.d_k, D_MODEL)]
        self._flat = np.concatenate(
            [self._rng.standard_normal(a * b) * a**-0.5 for a, b in shapes]
        ).astype(np.float32)
        self._W = _split(self._flat, shapes)
        self._shapes = shapes
        self._mean = np.zeros_like(self._flat)
        self._square = np.zeros_like(self._flat)
        self._noise = (self._rng.standard_normal(1 << 20) * c.noise).astype(np.float32)
        self._waiting = []
        self.step_count = 0
        self.loss = float("nan")

    @property
    def projections(self) -> Projections:
        """The weight matrices as they are now."""
        return Projections(**{name: W.copy() for name, W in self._W.items()})

    def step(self, n: int = 1) -> float:
        """Take n steps and return the loss of the last."""
        for _ in range(n):
            if not self._waiting:
                self._draw()
            batch = self._make_batch(self._waiting.pop())
            self.loss, gradients = loss_and_gradients(self._W, batch, self.config.look)
            self._adam(np.concatenate([gradients[name].ravel() for name in NAMES]))
        return self.loss

    def accuracy_held_out(self, n: int = 100) -> float:
        """How often a pronoun looks most at its antecedent, in sentences of held-out words."""
        right = []
        for example in draw_examples(stable_rng("held out", 0), n, held_out=True):
            X = word_embeddings(tokenize(" ".join(example.words))).X  # (T, D)
            X = X + _POSITIONS[: len(X)] if self.config.positions else X
            scaled = (X @ self._W["W_q"]) @ (X @ self._W["W_k"]).T  # (T, T), up to a factor
            right += [int(scaled[q].argmax()) == example.means[q] for q in example.pronouns]
        return float(np.mean(right))

    def _draw(self) -> None:
        """Draw sentences for 16 steps, those of like length together, so that little is padding."""
        size = self.config.batch
        examples = sorted(draw_examples(self._rng, 16 * size), key=lambda e: len(e.words))
        batches = [examples[i : i + size] for i in range(0, len(examples), size)]
        self._waiting = [batches[i] for i in self._rng.permutation(16)]

    def _adam(self, gradient: np.ndarray) -> None:
        """Kingma and Ba 2015 with the decay of Loshchilov and Hutter 2019, and a cosine rate."""
        c = self.config
        self.step_count += 1
        t = self.step_count
        rate = c.learning_rate * 0.5 * (1 + np.cos(np.pi * min(t / c.steps, 1)))
        rate *= min(1, t / 50)
        self._mean += 0.1 * (gradient - self._mean)
        self._square += 0.01 * (gradient * gradient - self._square)
        mean = self._mean / np.float32(1 - 0.9**t)
        square = self._square / np.float32(1 - 0.99**t)
        self._flat *= np.float32(1 - rate * c.weight_decay)
        self._flat -= np.float32(rate) * mean / (np.sqrt(square) + np.float32(1e-8))

    def _make_batch(self, examples: list[Example]) -> Batch:
        c, rng = self.config, self._rng
        T = max(len(e.words) for e in examples)
        B = len(examples)
        ids = np.zeros((B, T), np.int64)
        means = np.tile(np.arange(T), (B, 1))
        at = np.tile(np.arange(T), (B, 1))
        weights = np.zeros((B, T), np.float32)
        draws = rng.random_sample((B, 4))
        for b, e in enumerate(examples):
            n = len(e.words)
            ids[b, :n] = self._vocabulary.ids(e.words)
            means[b, :n] = e.means
            weights[b, :n] = 1
            weights[b, list(e.pronouns)] = c.pronoun_weight
            if draws[b, 0] < c.p_offset:
                at[b] += int(draws[b, 1] * (c.max_offset + 1))
            if draws[b, 2] < c.p_gap and e.gap_at:
                at[b, e.gap_at :] += int(draws[b, 3] * (c.max_gap + 1))
        real = weights > 0
        weights /= weights.sum()
        named, where = np.unique(ids[real], return_inverse=True)
        full = np.zeros((B, T), np.int64)
        full[real] = where
        vectors = self._vocabulary.vectors()
        X = vectors[ids]
        size = X.size
        start = int(rng.random_sample() * (len(self._noise) - size))
        X = X + self._noise[start : start + size].reshape(X.shape)
        if c.positions:
            X = X + _POSITIONS[at]
        return Batch(
            X=X,
            named=np.take_along_axis(full, means, 1),
            candidates=vectors[named],
            weights=weights,
            real=real,
            means=means,
        )


_POSITIONS = sinusoidal_positions(256, D_MODEL).astype(np.float32)


def _split(flat: np.ndarray, shapes: list[tuple[int, int]]) -> dict[str, np.ndarray]:
    views, start = {}, 0
    for name, (a, b) in zip(NAMES, shapes, strict=True):
        views[name] = flat[start : start + a * b].reshape(a, b)
        start += a * b
    return views


class _Vocabulary:
    """Word vectors of the words seen so far, looked up once each."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._rows: list[np.ndarray] = []
        self._matrix = None

    def ids(self, words: tuple[str, ...]) -> list[int]:
        new = [word for word in dict.fromkeys(words) if word not in self._ids]
        if new:
            vectors = word_embeddings(tokenize(" ".join(new))).X
            for word, vector in zip(new, vectors, strict=True):
                self._ids[word] = len(self._rows)
                self._rows.append(vector)
            self._matrix = None
        return [self._ids[word] for word in words]

    def vectors(self) -> np.ndarray:
        if self._matrix is None:
            self._matrix = np.array(self._rows, np.float32)
        return self._matrix
