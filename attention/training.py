"""How a head learns what "it" means: one attention head, its gradients written out, and Adam.

In every sentence it is known which word each token should look at: itself, or for a pronoun the
noun it stands for. The loss of a token is what its attention misses, 1 - a(token, that word), and
how badly its output, taken back to a word vector by W_o, names that word.

First the word vectors are tuned (`VectorTuner`): a head learns, and with it how far each word of
the training sentences moves along two directions. Some verbs look like nouns in GloVe's 50 numbers,
and a score, linear in them, cannot tell them apart. Then the vectors stay as they are, and heads
learn W_q, W_k, W_v and W_o from the start (`Trainer`).

`python -m attention.training` writes the tuning and the shipped presets again, and the figures in
their README.
"""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from attention.corpus import (
    Example,
    draw_examples,
    judged_sentences,
    training_words,
    without_punctuation,
)
from attention.dot_product import scaled_dot_product_attention
from attention.embeddings import (
    DATA,
    TUNING,
    Tuning,
    load_tuning,
    vocabulary,
    word_embeddings,
)
from attention.functions import softmax
from attention.positions import sinusoidal_positions
from attention.projections import (
    PRESETS,
    Projections,
    identity_projections,
    load_preset,
    random_projections,
)
from attention.randomness import stable_rng
from attention.text import DEFAULT_SENTENCE, tokenize

D_MODEL = 50
NAMES = ("W_q", "W_k", "W_v", "W_o")
UNLEARNED = "nothing_learned.json"  # beside the presets
RANK = 2  # directions along which words are moved
STEPS_RATE, STEPS_DECAY = 0.02, 0.3  # of Adam; without decay words move twice as far
DIRECTIONS_RATE, DIRECTIONS_DECAY = 0.006, 0.1
FAIR_SEED = 1  # its random start looks from "it" at something other than "cat"


@dataclass(frozen=True)
class TrainingConfig:
    """All that a training run depends on: the same config gives the same weights on one machine.

    `objective` is "coreference" (a pronoun looks at its antecedent, all else at itself) or
    "grammar" (`Example.leans`). `pronoun_weight` is how many other tokens one pronoun counts for;
    `looking` weighs the missed attention against the naming. `untuned_share` of the tokens come in
    with GloVe's own vector, so that the head reads words that were never tuned. Positions begin at
    a random offset in `offset_share` of the sentences, and `gap_share` have a random gap in them,
    so that the head cannot rely on distances it has seen. Raises ValueError for an unknown
    objective and for sizes below 1.
    """

    objective: str = "coreference"
    positions: bool = True
    seed: int = FAIR_SEED
    steps: int = 2500
    batch: int = 32
    d_k: int = 32
    learning_rate: float = 0.01
    weight_decay: float = 0.15
    noise: float = 0.05
    pronoun_weight: float = 100.0
    looking: float = 3.0
    untuned_share: float = 0.3
    offset_share: float = 0.1
    max_offset: int = 30
    gap_share: float = 0.3
    max_gap: int = 40

    def __post_init__(self) -> None:
        if self.objective not in ("coreference", "grammar"):
            raise ValueError(
                f'objective must be "coreference" or "grammar"; got {self.objective!r}.'
            )
        if min(self.steps, self.batch, self.d_k) < 1:
            raise ValueError(
                f"steps, batch and d_k must be 1 or more; got {self.steps}, {self.batch} and "
                f"{self.d_k}."
            )


# The presets that are shipped. The seed is the best of three on the development sentences.
SHIPPED = {
    "coreference": TrainingConfig(),
    "coreference-no-positions": TrainingConfig(positions=False),
    "grammar": TrainingConfig(
        objective="grammar", pronoun_weight=2.0, looking=10.0, offset_share=0.0, gap_share=0.0
    ),
}


@dataclass(frozen=True, eq=False)
class Batch:
    """B labelled sentences of up to T tokens as arrays, shorter ones padded.

    X (B, T, D) is what the head reads; `target` (B, T) the token that each should look at; `named`
    (B, T) the row of `candidates` (M, D) that it should name; `counts` (B, T) how much each token
    counts, 1 in all and 0 for padding; `real` (B, T) False for padding. `ids` (B, T) are the
    words' rows in a trainer's own table, and `tuned` (B, T) whether their vector is the tuned one.
    """

    X: np.ndarray
    target: np.ndarray
    named: np.ndarray
    candidates: np.ndarray
    counts: np.ndarray
    real: np.ndarray
    ids: np.ndarray | None = None
    tuned: np.ndarray | None = None


def loss_and_gradients(
    W: dict[str, np.ndarray], batch: Batch, looking: float, *, vectors: bool = False
) -> tuple[float, dict[str, np.ndarray]]:
    """Return a batch's loss and its gradients: W_q, W_k (D, d_k), W_v (D, d_v), W_o (d_v, D).

    With `vectors` also X (B, T, D).
    loss = Σ counts · (-log P(right word) + looking · (1 - a(token, target))).
    """
    X, C, counts = batch.X, batch.candidates, batch.counts[..., None]
    target, named = batch.target[..., None], batch.named[..., None]
    scale = X.dtype.type(W["W_q"].shape[1] ** -0.5)

    Q, K, V = X @ W["W_q"], X @ W["W_k"], X @ W["W_v"]  # (B, T, d_k) and (B, T, d_v)
    scaled = (Q @ K.swapaxes(-1, -2)) * scale  # (B, T, T)
    A = softmax(np.where(batch.real[:, None, :], scaled, -np.inf))
    H = A @ V  # (B, T, d_v)
    Y = H @ W["W_o"]  # (B, T, D)
    P = softmax(Y @ C.T)  # (B, T, M)

    looked = np.take_along_axis(A, target, -1)  # (B, T, 1)
    right = np.take_along_axis(P, named, -1)
    naming = -np.log(np.maximum(right, np.finfo(X.dtype).tiny))
    loss = float(np.sum(counts * (naming + looking * (1 - looked))))

    d_logits = P  # (B, T, M); for softmax and cross-entropy: P less 1 at the right word
    np.put_along_axis(d_logits, named, right - 1, -1)
    d_logits *= counts
    d_Y = d_logits @ C  # (B, T, D)
    d_H = d_Y @ W["W_o"].T  # (B, T, d_v)
    d_A = d_H @ V.swapaxes(-1, -2)  # (B, T, T)
    at_target = np.take_along_axis(d_A, target, -1) - X.dtype.type(looking) * counts
    np.put_along_axis(d_A, target, at_target, -1)
    d_scaled = A * (d_A - np.sum(A * d_A, -1, keepdims=True)) * scale
    d_Q, d_K, d_V = d_scaled @ K, d_scaled.swapaxes(-1, -2) @ Q, A.swapaxes(-1, -2) @ d_H
    gradients = {
        "W_q": outer(X, d_Q),
        "W_k": outer(X, d_K),
        "W_v": outer(X, d_V),
        "W_o": outer(H, d_Y),
    }
    if vectors:
        gradients["X"] = d_Q @ W["W_q"].T + d_K @ W["W_k"].T + d_V @ W["W_v"].T
    return loss, gradients


def outer(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Sum leftᵢᵀ rightᵢ over every token of every sentence."""
    return left.reshape(-1, left.shape[-1]).T @ right.reshape(-1, right.shape[-1])


class Adam:
    """Adam (Kingma and Ba 2015) with decoupled decay (Loshchilov and Hutter 2019).

    `step` changes `values` in place. The rate climbs for 50 steps and follows a cosine down to 0.
    """

    def __init__(self, values: np.ndarray, rate: float, decay: float, steps: int) -> None:
        self.values, self.rate, self.decay, self.steps = values, rate, decay, steps
        self.step_count = 0
        self._mean = np.zeros_like(values)
        self._square = np.zeros_like(values)

    def step(self, gradient: np.ndarray) -> None:
        self.step_count = t = self.step_count + 1
        rate = self.rate * min(1, t / 50) * (1 + np.cos(np.pi * min(1, t / self.steps))) / 2
        self._mean += np.float32(0.1) * (gradient - self._mean)
        self._square += np.float32(0.01) * (gradient * gradient - self._square)
        mean = self._mean / np.float32(1 - 0.9**t)
        square = self._square / np.float32(1 - 0.99**t)
        self.values *= np.float32(1 - rate * self.decay)
        self.values -= np.float32(rate) * mean / (np.sqrt(square) + np.float32(1e-8))


class Trainer:
    """One training run, taken step by step: `step(n)`, then look at `projections` and `loss`.

    Everything it changes is its own, so any number of runs can go on side by side. `loss` is that
    of the last batch and NaN before the first. `tuning` is the shipped one unless given.
    """

    def __init__(self, config: TrainingConfig | None = None, tuning: Tuning | None = None) -> None:
        self.config = config or TrainingConfig()
        self.loss = float("nan")
        d_k = self.config.d_k
        self._rng = stable_rng("training", self.config.seed)
        self._shapes = [(D_MODEL, d_k)] * 3 + [(d_k, D_MODEL)]
        start = [
            self._rng.standard_normal(rows * width) * rows**-0.5 for rows, width in self._shapes
        ]
        self._flat = np.concatenate(start).astype(np.float32)  # all weights in one row, for Adam
        self._W = self._matrices()
        c = self.config
        self._adam = Adam(self._flat, c.learning_rate, c.weight_decay, c.steps)
        self._noise = (self._rng.standard_normal(1 << 18) * self.config.noise).astype(np.float32)
        self._words = _WordTable(tuning or load_tuning())
        self._waiting: list[list[Example]] = []
        self._held_out: tuple[Batch, np.ndarray] | None = None

    @property
    def step_count(self) -> int:
        """How many steps were taken."""
        return self._adam.step_count

    @property
    def projections(self) -> Projections:
        """W_q, W_k, W_v (50, d_k) and W_o (d_k, 50) as they are now, float32; a copy."""
        return Projections(**{name: W.copy() for name, W in self._W.items()})

    def step(self, n: int = 1) -> float:
        """Take n steps and return the loss of the last batch."""
        for _ in range(n):
            batch = self._next_batch()
            self.loss, gradients = loss_and_gradients(self._W, batch, self.config.looking)
            self._learn(gradients)
        return self.loss

    def accuracy_held_out(self) -> float:
        """Return the share of pronouns that look first at their antecedent, in 300 sentences.

        Their templates and nouns never occur in training; they are the same for every run. Under
        the objective "grammar" it is the share of all tokens that look first where they should.
        """
        if self._held_out is None:
            examples = draw_examples(stable_rng("held out"), 300, held_out=True)
            batch = self._batch(examples, None)
            judged = batch.real
            if self.config.objective == "coreference":
                judged = batch.target != np.arange(batch.target.shape[1])  # the pronouns
            self._held_out = batch, judged
        batch, judged = self._held_out
        scores = (batch.X @ self._W["W_q"]) @ (batch.X @ self._W["W_k"]).swapaxes(-1, -2)
        first = np.where(batch.real[:, None, :], scores, -np.inf).argmax(-1)  # (B, T)
        return float((first == batch.target)[judged].mean())

    def _matrices(self) -> dict[str, np.ndarray]:
        ends = np.cumsum([rows * width for rows, width in self._shapes])
        parts = np.split(self._flat, ends[:-1])  # views
        return {
            name: part.reshape(shape)
            for name, part, shape in zip(NAMES, parts, self._shapes, strict=True)
        }

    def _learn(self, gradients: dict[str, np.ndarray]) -> None:
        self._adam.step(np.concatenate([gradients[name].ravel() for name in NAMES]))

    def _next_batch(self) -> Batch:
        """Draw sentences for 16 steps; those of like length together, so that little is padding."""
        if not self._waiting:
            size = self.config.batch
            examples = sorted(draw_examples(self._rng, 16 * size), key=lambda e: len(e.words))
            batches = [examples[i : i + size] for i in range(0, len(examples), size)]
            self._waiting = [batches[i] for i in self._rng.permutation(len(batches))]
        return self._batch(self._waiting.pop(), self._rng)

    def _batch(self, examples: list[Example], rng: np.random.RandomState | None) -> Batch:
        """Lay sentences out as arrays; `rng` adds noise, offsets, gaps, and untuned vectors."""
        c, B, T = self.config, len(examples), max(len(e.words) for e in examples)
        ids = np.zeros((B, T), np.intp)
        target = np.tile(np.arange(T), (B, 1))
        place = target.copy()
        counts = np.zeros((B, T), np.float32)
        chance = rng.random_sample((B, 4)) if rng else np.ones((B, 4))
        for b, example in enumerate(examples):
            length = len(example.words)
            ids[b, :length] = self._words.rows(example.words)
            target[b, :length] = example.leans if c.objective == "grammar" else example.means
            counts[b, :length] = 1
            counts[b, list(example.pronouns)] = c.pronoun_weight
            if chance[b, 0] < c.offset_share:
                place[b] += int(chance[b, 1] * (c.max_offset + 1))
            if chance[b, 2] < c.gap_share and example.gap_at:
                place[b, example.gap_at :] += int(chance[b, 3] * (c.max_gap + 1))
        tuned = rng.random_sample((B, T)) >= c.untuned_share if rng else np.ones((B, T), bool)
        X = self._words.vectors[ids] + self._words.added[ids] * tuned[..., None]  # (B, T, D)
        if rng and c.noise:
            X = X + self._noise_like(X, rng)
        if c.positions:
            X = X + sinusoidal_positions(int(place.max()) + 1, D_MODEL)[place]
        real = counts > 0
        used, column = np.unique(np.where(real, ids, ids[0, 0]), return_inverse=True)
        return Batch(
            X=X,
            target=target,
            named=np.take_along_axis(column.reshape(B, T), target, 1),
            candidates=self._words.vectors[used],
            counts=counts / counts.sum(),
            real=real,
            ids=ids,
            tuned=tuned,
        )

    def _noise_like(self, X: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        """Cut a stretch at random from noise drawn once: drawing anew would take half the time."""
        start = rng.randint(len(self._noise))
        return np.take(self._noise, np.arange(start, start + X.size), mode="wrap").reshape(X.shape)


NO_TUNING = Tuning(
    np.zeros(1, np.intp), np.zeros((1, 1), np.float32), np.zeros((1, D_MODEL), np.float32)
)


class _WordTable:
    """The words met so far, each looked up once: `vectors` (M, 50) and what is `added` (M, 50)."""

    def __init__(self, tuning: Tuning) -> None:
        self._tuning = tuning
        self._row_of: dict[str, int] = {}
        self.vectors = np.zeros((0, D_MODEL), np.float32)
        self.added = np.zeros((0, D_MODEL), np.float32)

    def rows(self, words: Sequence[str]) -> list[int]:
        new = [word for word in dict.fromkeys(words) if word not in self._row_of]
        if new:
            tokens = tokenize(" ".join(new))
            vectors = word_embeddings(tokens).X
            tuned = word_embeddings(tokens, tuning=self._tuning).X
            self.vectors = np.concatenate([self.vectors, vectors])
            self.added = np.concatenate([self.added, tuned - vectors])
            for word in new:
                self._row_of[word] = len(self._row_of)
        return [self._row_of[word] for word in words]


class VectorTuner(Trainer):
    """A training run in which the words' vectors learn, too: `step(n)`, then take `tuning`.

    Each word of the training sentences moves by its own steps along RANK directions that all share.
    """

    def __init__(self, config: TrainingConfig | None = None) -> None:
        super().__init__(config, NO_TUNING)
        row_of = vocabulary()
        words = sorted(training_words() & row_of.keys(), key=row_of.__getitem__)
        self._vocabulary_rows = np.array([row_of[word] for word in words])
        self._words.rows(words)  # from 0 to len(words) - 1 in the table
        directions = stable_rng("tuning", self.config.seed).standard_normal((RANK, D_MODEL))
        self._steps = np.zeros((len(words), RANK), np.float32)
        self._directions = (directions * D_MODEL**-0.5).astype(np.float32)
        c = self.config
        self._adam_steps = Adam(self._steps, STEPS_RATE, STEPS_DECAY, c.steps)
        self._adam_directions = Adam(self._directions, DIRECTIONS_RATE, DIRECTIONS_DECAY, c.steps)

    @property
    def tuning(self) -> Tuning:
        """What was added up to now, rounded as it is saved."""
        steps = self._steps.astype(np.float16).astype(np.float32)
        return Tuning(self._vocabulary_rows, steps, self._directions.copy())

    def step(self, n: int = 1) -> float:
        """Take n steps and return the loss of the last batch."""
        for _ in range(n):
            self._words.added[: len(self._steps)] = self._steps @ self._directions
            batch = self._next_batch()
            self.loss, gradients = loss_and_gradients(
                self._W, batch, self.config.looking, vectors=True
            )
            self._learn(gradients)
            moved = batch.tuned & batch.real & (batch.ids < len(self._steps))
            ids, d_X = batch.ids[moved], gradients["X"][moved]  # (n,) and (n, D)
            d_directions = self._steps[ids].T @ d_X
            d_steps = np.zeros_like(self._steps)
            np.add.at(d_steps, ids, d_X @ self._directions.T)
            self._adam_steps.step(d_steps)
            self._adam_directions.step(d_directions)
        return self.loss


def attention_weights(words: Sequence[str], W: Projections, *, positions: bool) -> np.ndarray:
    """Return the attention weights (T, T) of a sentence's words, as the app computes them."""
    X = word_embeddings(tokenize(" ".join(words)), tuning=load_tuning()).X
    if positions:
        X = X + sinusoidal_positions(*X.shape)
    return scaled_dot_product_attention(X @ W.W_q, X @ W.W_k, X @ W.W_v).weights


@dataclass(frozen=True)
class Score:
    """The share of pronouns that look first at their antecedent, and the mean weight on it."""

    share: float
    weight: float


def score(examples: Sequence[Example], W: Projections, *, positions: bool) -> Score:
    """Judge a head by the pronouns of some sentences; any token of the antecedent's word counts."""
    hits, on_target = [], []
    for example in examples:
        weights = attention_weights(example.words, W, positions=positions)
        for at in example.pronouns:
            first = example.words[int(weights[at].argmax())]
            hits.append(first == example.words[example.means[at]])
            on_target.append(weights[at, example.means[at]])
    return Score(float(np.mean(hits)), float(np.mean(on_target)))


def row_of(sentence: str, pronoun: str, W: Projections, *, positions: bool) -> dict[str, float]:
    """Return what the last `pronoun` of a sentence puts on each word; words said twice are added.

    Raises ValueError if the sentence has no such word.
    """
    words = tokenize(sentence).words
    if pronoun not in words:
        raise ValueError(f"There is no {pronoun!r} in {sentence!r}; its words are {words}.")
    at = len(words) - 1 - words[::-1].index(pronoun)
    row = attention_weights(words, W, positions=positions)[at]
    return {
        word: float(sum(row[i] for i, other in enumerate(words) if other == word))
        for word in dict.fromkeys(words)
    }


# What stands between in a long sentence, repeated as far as needed.
FILLERS = {
    "and then again and again": "and then again and again",
    "very": "very",
    "the weather was nice …": "the weather was nice and the sun was shining and we were happy "
    "because there was no wind and nobody had to work that day so we talked until late at night",
}


def distant_sentence(filler: str, distance: int = 40) -> str:
    """Return "The cat sat on the mat. <words>. It is eating now.", cat and it `distance` apart.

    `filler` is a key of `FILLERS`; its words are repeated as far as needed. Raises ValueError for a
    distance below 8.
    """
    between = distance - 7  # the rest is: sat on the mat . . It
    if between < 1:
        raise ValueError(f"distance must be 8 or more; got {distance}.")
    words = (FILLERS[filler].split() * between)[:between]
    return f"The cat sat on the mat. {' '.join(words)}. It is eating now."


@dataclass(frozen=True)
class Pair:
    """Two sentences that differ in their ending alone, which turns what the pronoun means."""

    sentence: str  # with {} for the ending
    endings: tuple[str, str]
    pronoun: str
    nouns: tuple[str, str]  # what the pronoun means with the first ending, and with the second


PAIRS = (
    Pair(
        "The animal did not cross the street because it was too {}.",
        ("tired", "wide"),
        "it",
        ("animal", "street"),
    ),
    Pair(
        "The trophy did not fit into the suitcase because it was too {}.",
        ("big", "small"),
        "it",
        ("trophy", "suitcase"),
    ),
    Pair(
        "Paul called George because he {}.",
        ("needed help", "knew the answer"),
        "he",
        ("paul", "george"),
    ),
)


@dataclass(frozen=True)
class Failure:
    """A sentence that one layer cannot read, and what the pronoun puts on the words in question.

    `meant` is the word that a person takes the pronoun to mean, `weights` that of it and its rival.
    """

    sentence: str
    meant: str
    weights: dict[str, float]


def failures(W: Projections, *, positions: bool = True) -> tuple[Failure, ...]:
    """Return pairs of sentences that differ only after the pronoun, with a head's weights.

    A weight compares the pronoun with one other word at a time, so a(animal)/a(street) is the same
    for "tired" and "wide". No training of one layer can change that.
    """
    found = []
    for pair in PAIRS:
        for ending, meant in zip(pair.endings, pair.nouns, strict=True):
            sentence = pair.sentence.format(ending)
            row = row_of(sentence, pair.pronoun, W, positions=positions)
            found.append(Failure(sentence, meant, {noun: row[noun] for noun in pair.nouns}))
    return tuple(found)


def chance(n: int = 1000, *, positions: bool = True) -> Score:
    """Return how often n random matrices look from "it" first at "cat", and the mean weight."""
    words = tokenize(DEFAULT_SENTENCE).words
    it, cat = words.index("it"), words.index("cat")
    heads = (random_projections(D_MODEL, 32, seed=seed) for seed in range(n))
    rows = np.array([attention_weights(words, W, positions=positions)[it] for W in heads])
    return Score(float(np.mean(rows.argmax(1) == cat)), float(rows[:, cat].mean()))


def nothing_learned() -> dict[str, float]:
    """Return what stands beside the first screen: how “it” looks at “cat” in heads that learned
    nothing. random_first and random_weight are those of `chance`, identity_weight of Q = K = X."""
    words = tokenize(DEFAULT_SENTENCE).words
    same = attention_weights(words, identity_projections(D_MODEL), positions=True)
    random = chance()
    return {
        "random_first": round(random.share, 4),
        "random_weight": round(random.weight, 4),
        "identity_weight": round(float(same[words.index("it"), words.index("cat")]), 4),
    }


def evaluation() -> str:
    """Return the figures of the presets' README as Markdown, from the files as they are."""
    heads = [(load_preset(name), config.positions) for name, config in SHIPPED.items()]
    names = [f"`{name}`" for name in SHIPPED]
    rows = [_row_lines(heads), _chance_lines(), _failure_lines(heads[0][0])]
    return "\n\n".join(
        [
            _table(["pronouns that look first at their antecedent (mean weight on it)", *names],
                   _score_lines(heads)),
            _table([f"“{DEFAULT_SENTENCE}”, weights of “it”", *names], rows[0]),
            _table(["nothing learned: weights of “it”", "“cat” first", "on “cat”"], rows[1]),
            _table(["where `coreference` fails", "means", "weights"], rows[2]),
        ]
    )  # fmt: skip


def _table(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join(
        "| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows]
    )


def _score_lines(heads: list[tuple[Projections, bool]]) -> list[list[str]]:
    rng = stable_rng("evaluation")
    trained, held_out = draw_examples(rng, 500), draw_examples(rng, 500, held_out=True)
    sets = [
        ("500 sentences like those of the training", trained),
        ("500 of held-out templates with held-out nouns", held_out),
    ]
    for name in ("plain", "unseen", "dev"):
        examples = judged_sentences(name)
        sets.append((f"the {len(examples)} of `{name}-sentences.txt`", examples))
        bare = [without_punctuation(example) for example in examples]
        sets.append(("the same without punctuation", bare))
    rows = []
    for title, examples in sets:
        scores = [score(examples, W, positions=positions) for W, positions in heads]
        rows.append([title, *(f"{s.share:.3f} ({s.weight:.2f})" for s in scores)])
    return rows


def _row_lines(heads: list[tuple[Projections, bool]]) -> list[list[str]]:
    post = [row_of(DEFAULT_SENTENCE, "it", W, positions=positions) for W, positions in heads]
    rows = [
        [f"on “{word}”", *(f"{row[word]:.3f}" for row in post)] for word in ("cat", "mat", "eating")
    ]
    for filler in FILLERS:
        far = [row_of(distant_sentence(filler), "it", W, positions=p)["cat"] for W, p in heads]
        title = f"on “cat” 40 tokens before, “{filler}” in between"
        rows.append([title, *(f"{weight:.3f}" for weight in far)])
    return rows


def _chance_lines() -> list[list[str]]:
    words = tokenize(DEFAULT_SENTENCE).words
    rows = []
    for title, positions in (("with", True), ("without", False)):
        random = chance(positions=positions)
        rows.append([f"1,000 random matrices, {title} positions", f"{random.share:.1%}",
                     f"{random.weight:.3f} on average"])  # fmt: skip
        weights = attention_weights(words, identity_projections(D_MODEL), positions=positions)
        it = weights[words.index("it")]
        first = words[int(it.argmax())]
        verdict = "yes" if first == "cat" else f"no, “{first}”: {it.max():.3f}"
        rows.append([f"Q = K = X, {title} positions", verdict, f"{it[words.index('cat')]:.3f}"])
    return rows


def _failure_lines(W: Projections) -> list[list[str]]:
    return [
        [
            failure.sentence,
            failure.meant,
            ", ".join(f"{word} {weight:.3f}" for word, weight in failure.weights.items()),
        ]
        for failure in failures(W)
    ]


def save(W: Projections, path: Path) -> None:
    """Write W_q, W_k, W_v and W_o as an npz file; the same weights give the same bytes."""
    np.savez(path, **{name: getattr(W, name) for name in NAMES})


def save_tuning(tuning: Tuning, path: Path) -> None:
    """Write a tuning as an npz file: rows as uint16, steps as float16, directions as float32."""
    rows, steps = tuning.rows.astype(np.uint16), tuning.steps.astype(np.float16)
    np.savez_compressed(path, rows=rows, steps=steps, directions=tuning.directions)


def put_figures(name: str, figures: str, folder: Path = PRESETS) -> None:
    """Write Markdown into the presets' README, between <!-- name --> and <!-- end of name -->."""
    readme = folder / "README.md"
    marked = re.compile(f"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    text = marked.sub(lambda m: m[1] + figures + "\n" + m[2], readme.read_text(encoding="utf-8"))
    readme.write_text(text, encoding="utf-8")


def main(folder: Path = PRESETS, data: Path = DATA) -> None:
    """Tune the vectors, train the shipped presets, write both, and their figures into the README.

    `folder` takes the presets and holds that README, `data` takes the tuning.
    """
    with threadpool_limits(limits=1, user_api="blas"):  # these products are small
        tuner = VectorTuner()
        tuner.step(tuner.config.steps)
        save_tuning(tuner.tuning, data / TUNING)
        print(f"{len(tuner.tuning.rows):,} word vectors tuned in {tuner.config.steps} steps")
        for name, config in SHIPPED.items():
            start = time.perf_counter()
            trainer = Trainer(config, tuner.tuning)
            trainer.step(config.steps)
            save(trainer.projections, folder / f"{name}.npz")
            print(f"{name}: {config.steps} steps in {time.perf_counter() - start:.1f} s")
        figures = evaluation()
        unlearned = json.dumps(nothing_learned(), indent=1)
    print(figures)
    (folder / UNLEARNED).write_text(unlearned + "\n", encoding="utf-8")
    put_figures("figures", figures, folder)


if __name__ == "__main__":
    main()
