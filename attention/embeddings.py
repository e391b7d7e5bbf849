"""`Tokens` -> `Embeddings`: one row of D numbers for each token.

Five kinds: real word vectors, the same tuned by training, random by word, one-hot, and uploaded. In
all but the last, the same
word has the same row wherever it stands, whatever its capitals.

The word vectors are 28,566 of GloVe 6B, 50 wide (Pennington et al. 2014): the 20,000 most frequent
and everyday words. The files in `attention/data/` and where they come from are described in the
README there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np

from attention.randomness import stable_rng
from attention.text import Tokens

DATA = Path(__file__).with_name("data")
TUNING = "tuning.npz"
MAX_WORD_WIDTH = 50


@dataclass(frozen=True, eq=False)
class Embeddings:
    """The embeddings of one sentence.

    `X` (T, D) float32 has one row for each token; `known` (T,) bool is False where a random vector
    stands in for a word that has none. Both are read-only.
    """

    X: np.ndarray
    known: np.ndarray

    def __post_init__(self) -> None:
        self.X.flags.writeable = False
        self.known.flags.writeable = False


@dataclass(frozen=True, eq=False)
class Tuning:
    """What training added to the vectors of the words that it met.

    `rows` (M,) are those words' rows in `word_vectors()`, ascending; `steps` (M, R) is how far each
    was moved along each of the `directions` (R, 50). Read-only.
    """

    rows: np.ndarray
    steps: np.ndarray
    directions: np.ndarray

    def __post_init__(self) -> None:
        for array in (self.rows, self.steps, self.directions):
            array.flags.writeable = False

    def added(self, rows: np.ndarray) -> np.ndarray:
        """Return what is added to the word vectors at `rows` (n,): (n, 50), 0 for other words."""
        place = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        met = (self.rows[place] == rows)[:, None]
        return np.where(met, self.steps[place] @ self.directions, np.float32(0))


def word_embeddings(
    tokens: Tokens, d_model: int = MAX_WORD_WIDTH, tuning: Tuning | None = None
) -> Embeddings:
    """Return the word vectors of `tokens`, (T, d_model), d_model from 1 to 50.

    At 50 they are GloVe's own numbers, and with `tuning` what training added to them. Below, each
    is the word's first d_model coordinates along the principal components of the 20,000 most
    frequent vectors: the mean vector is subtracted and the axes are turned, nothing is rescaled.
    Coordinates spread by 1.2 (the first) to 0.8 (the eighth), and a narrower reduction is the
    beginning of a wider one.

    A word outside the list gets a random vector that depends on the word alone and is drawn with
    the mean and covariance of those; `known` is False for it.
    """
    check_width(d_model, MAX_WORD_WIDTH)
    words, place = distinct_words(tokens)
    row_of = vocabulary()
    known = np.array([word in row_of for word in words], dtype=bool)
    vectors = np.empty((len(words), MAX_WORD_WIDTH), dtype=np.float32)
    rows = np.array([row_of[word] for word in words if word in row_of], dtype=np.intp)
    vectors[known] = word_vectors()[rows]
    if tuning is not None:
        vectors[known] += tuning.added(rows)
    for i in np.flatnonzero(~known):
        vectors[i] = stand_in(words[i])
    if d_model < MAX_WORD_WIDTH:
        vectors = reduce_width(vectors, d_model)
    return Embeddings(X=vectors[place], known=known[place])


def random_embeddings(tokens: Tokens, d_model: int, seed: int = 0) -> Embeddings:
    """Return a standard normal vector for each word and seed, (T, d_model).

    The same word has the same vector in every sentence, and a wider d_model keeps the numbers of a
    narrower one. Nothing is known about any word, so `known` is True throughout: no row is a
    stand-in.
    """
    check_width(d_model)
    words, place = distinct_words(tokens)
    vectors = np.empty((len(words), d_model), dtype=np.float32)
    for i, word in enumerate(words):
        vectors[i] = stable_rng("random embedding", seed, word).standard_normal(d_model)
    return Embeddings(X=vectors[place], known=np.ones(len(tokens), dtype=bool))


def one_hot_embeddings(tokens: Tokens) -> Embeddings:
    """Return (T, D) with a single 1 a row, D the number of distinct words in the sentence.

    Column j belongs to the word that is the j-th to appear for the first time.
    """
    words, place = distinct_words(tokens)
    one_hot = np.eye(len(words), dtype=np.float32)[place]
    return Embeddings(X=one_hot, known=np.ones(len(tokens), dtype=bool))


def uploaded_embeddings(tokens: Tokens, X: np.ndarray) -> Embeddings:
    """Return a float32 copy of `X` (T, D), which must have one row of real numbers for each token.

    Raises ValueError for another shape and for a cell that is not a finite float32.
    """
    X = np.asarray(X)
    T = len(tokens)
    if X.ndim != 2 or X.shape[1] == 0:
        raise ValueError(
            f"The embeddings have shape {X.shape}. They must be a table with one row for each of "
            f"the sentence's {T} tokens and at least one column."
        )
    if X.dtype.kind not in "fiub":
        raise ValueError(f"The embeddings are {X.dtype}. They must be real numbers.")
    if len(X) != T:
        message = (
            f"The embeddings have {len(X)} rows and the sentence has {T} tokens. "
            f"Give one row for each token, in the sentence's order."
        )
        if X.shape[1] == T:
            message += f" The table is {len(X)} × {T}: it looks transposed."
        raise ValueError(message)
    with np.errstate(over="ignore"):
        X = X.astype(np.float32)
    if not np.isfinite(X).all():
        i, j = np.argwhere(~np.isfinite(X))[0]
        raise ValueError(
            f"The embeddings have {X[i, j]} in row {i}, column {j} (counted from 0, as float32). "
            f"Every cell must be a finite number."
        )
    return Embeddings(X=X, known=np.ones(T, dtype=bool))


@cache
def vocabulary() -> Mapping[str, int]:
    """Return each known word's row in `word_vectors()`: the most frequent, then everyday ones."""
    words = (DATA / "words.txt").read_text(encoding="utf-8").split("\n")
    return MappingProxyType({word: row for row, word in enumerate(words[:-1])})


@cache
def word_vectors() -> np.ndarray:
    """Return the word vectors (28,566, 50) in float16, mapped from the file and read-only."""
    return np.load(DATA / "word_vectors.npy", mmap_mode="r", allow_pickle=False)


@cache
def load_tuning() -> Tuning:
    """Return the shipped tuning, made together with the shipped heads by `attention.training`."""
    with np.load(DATA / TUNING, allow_pickle=False) as file:
        steps, directions = (file[name].astype(np.float32) for name in ("steps", "directions"))
        return Tuning(file["rows"].astype(np.intp), steps, directions)


@cache
def word_components() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the word vectors' mean (50,), components (50, 50), one a row, and spread (50,).

    Largest variance first; float32 as shipped, computed by `attention/data/make_word_vectors.py`.
    """
    with np.load(DATA / "word_components.npz", allow_pickle=False) as file:
        arrays = (file["mean"], file["components"], file["spread"])
    for array in arrays:
        array.flags.writeable = False
    return arrays


def reduce_width(vectors: np.ndarray, d_model: int) -> np.ndarray:
    """Return the first `d_model` principal coordinates, (..., d_model), of vectors (..., 50).

    All 50 are computed, in float64, so that a width does not change the columns it shares.
    """
    mean, components, _ = word_components()
    coordinates = (vectors.astype(np.float64) - mean) @ components.T.astype(np.float64)
    return coordinates[..., :d_model].astype(np.float32)


def stand_in(word: str) -> np.ndarray:
    """Return a random vector (50,) for `word`: normal, with the word vectors' mean and spread."""
    mean, components, spread = word_components()
    coordinates = stable_rng("word vector", word).standard_normal(MAX_WORD_WIDTH) * spread
    return mean + coordinates @ components


def distinct_words(tokens: Tokens) -> tuple[list[str], np.ndarray]:
    """Return the words in order of first appearance, and for each token its word's place (T,)."""
    place_of: dict[str, int] = {}
    place = [place_of.setdefault(word, len(place_of)) for word in tokens.words]
    return list(place_of), np.array(place, dtype=np.intp)


def check_width(d_model: int, widest: int | None = None) -> None:
    """Raise ValueError unless `d_model` is at least 1 and at most `widest`."""
    if d_model < 1:
        raise ValueError(f"d_model is {d_model}; it must be at least 1.")
    if widest is not None and d_model > widest:
        raise ValueError(
            f"d_model is {d_model}; word vectors are {widest} wide, so it must be 1 to {widest}. "
            f"Random embeddings can be wider."
        )
