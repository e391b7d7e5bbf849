"""Embeddings: published and pinned numbers, and their laws."""

import hashlib
import importlib.util
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention import embeddings
from attention.embeddings import (
    DATA,
    Tuning,
    one_hot_embeddings,
    random_embeddings,
    reduce_width,
    uploaded_embeddings,
    vocabulary,
    word_components,
    word_embeddings,
    word_vectors,
)
from attention.text import tokenize

SENTENCE = tokenize("The cat sat on the mat. It is eating now.")
WORDS = st.lists(st.sampled_from(["the", "Cat", "zorple", "猫", "It", "👍🏽", "."]), max_size=7)


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


# Word vectors


def test_word_vectors_are_the_published_ones():
    # The first five numbers of "the" and "cat" in glove.6B.50d.txt; float16 keeps 11 bits.
    X = word_embeddings(tokenize("the cat")).X
    assert X.shape == (2, 50) and X.dtype == np.float32
    np.testing.assert_allclose(X[0, :5], [0.418, 0.24968, -0.41242, 0.1217, 0.34527], rtol=5e-4)
    np.testing.assert_allclose(X[1, :4], [0.45281, -0.50108, -0.53714, -0.015697], rtol=5e-4)


def test_a_small_width_keeps_the_first_principal_components():
    X = word_embeddings(tokenize("the cat"), 4).X
    expected = [
        [0.9746778, -0.0705132, -0.4182675, 0.9763531],
        [-0.4689032, 1.7434840, 0.9445873, -1.0824202],
    ]
    np.testing.assert_allclose(X, expected, atol=2e-6)


def test_an_unknown_word_gets_a_stable_vector_and_is_marked():
    result = word_embeddings(tokenize("The Zorple sat. zorple!"))
    np.testing.assert_array_equal(result.known, [True, False, True, True, False, True])
    pinned = [-0.46413293, 0.6673572, 0.3379002, -0.08603707]
    np.testing.assert_allclose(result.X[1, :4], pinned, atol=1e-6)
    np.testing.assert_array_equal(result.X[1], result.X[4])


def test_every_token_of_the_first_screen_is_known():
    assert word_embeddings(SENTENCE).known.all()
    assert word_embeddings(tokenize("Don’t say it isn't; the cat's wasn't, they'll...")).known.all()


def test_unknown_words_fit_the_picture():
    # 4,000 stand-ins: their mean, and the covariance that they share with the known words.
    words = tokenize(" ".join(f"zorple{i}" for i in range(4000)))
    result = word_embeddings(words)
    assert not result.known.any()
    known = word_vectors()[:20_000].astype(np.float32)
    np.testing.assert_allclose(result.X.mean(0), known.mean(0), atol=0.07)
    difference = np.cov(result.X.T) - np.cov(known.T)
    assert np.abs(difference).max() < 0.07
    lengths, known_lengths = (np.linalg.norm(X, axis=1).mean() for X in (result.X, known))
    assert lengths == pytest.approx(known_lengths, rel=0.03)


def test_related_words_are_near_each_other_at_every_width():
    for d_model in (8, 16, 32, 50):
        cat, dog, cabinet = word_embeddings(tokenize("cat dog cabinet"), d_model).X
        assert cosine(cat, dog) > cosine(cat, cabinet) + 0.3


def test_narrow_entries_are_of_order_one():
    everything = tokenize(" ".join(list(vocabulary())[:3000]))
    spread = word_embeddings(everything, 16).X.std(axis=0)
    assert spread.min() > 0.5 and spread.max() < 1.6


@settings(max_examples=30, deadline=None)
@given(WORDS, st.integers(1, 49), st.integers(1, 49))
def test_widths_share_their_first_columns(words, d, e):
    tokens = tokenize(" ".join(words))
    narrow, wide = word_embeddings(tokens, min(d, e)).X, word_embeddings(tokens, max(d, e)).X
    np.testing.assert_array_equal(wide[:, : min(d, e)], narrow)


def test_forty_nine_components_keep_almost_all_distances():
    full, reduced = (
        np.linalg.norm(X[:, None] - X[None], axis=-1)  # (T, T)
        for X in (word_embeddings(SENTENCE, 50).X, word_embeddings(SENTENCE, 49).X)
    )
    np.testing.assert_allclose(reduced, full, atol=0.02)


@pytest.mark.parametrize("d_model", [0, -3, 51])
def test_other_widths_are_refused(d_model):
    with pytest.raises(ValueError, match=rf"d_model is {d_model}.* must be"):
        word_embeddings(SENTENCE, d_model)


def test_a_tuning_moves_the_words_it_names_and_no_other():
    rows = np.array([vocabulary()[word] for word in ("the", "dog")])
    tuning = Tuning(rows, np.array([[1.0, 0], [2, -1]], np.float32), np.eye(2, 50, dtype="f4"))
    tokens = tokenize("the dog cat zorple the")
    difference = word_embeddings(tokens, tuning=tuning).X - word_embeddings(tokens).X
    expected = np.zeros((5, 50))
    expected[:, :2] = [[1, 0], [2, -1], [0, 0], [0, 0], [1, 0]]
    np.testing.assert_allclose(difference, expected, atol=1e-6)
    # A narrower embedding is cut from the moved vectors.
    narrow = word_embeddings(tokens, 8, tuning).X
    whole = reduce_width(word_embeddings(tokens, tuning=tuning).X, 8)
    np.testing.assert_allclose(narrow, whole, atol=1e-6)


# The shipped files


def test_the_vocabulary_is_28_566_words_in_look_up_form():
    words = vocabulary()
    assert len(words) == len(word_vectors()) == 28_566
    assert list(words.values()) == list(range(28_566))
    assert list(words)[:5] == ["the", ",", ".", "of", "to"]
    everyday = (DATA / "everyday.txt").read_text("utf-8").split()
    assert list(words)[20_000:] == everyday
    assert {"puppy", "kitten", "toaster", "chewed"} <= set(everyday)
    # Each word by itself: one it is looked up under, or pieces if this project cuts it further.
    for word in words:
        assert "".join(tokenize(word).words) == word.replace("’", "'")


def test_the_vocabulary_cannot_be_changed():
    with pytest.raises(TypeError):
        vocabulary()["zorple"] = 0
    with pytest.raises(ValueError, match="read-only"):
        word_vectors()[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        word_components()[1][0, 0] = 1


def test_word_vectors_stay_in_the_file():
    assert isinstance(word_vectors(), np.memmap)
    assert word_vectors().dtype == np.float16


def test_the_readme_has_the_files_digests():
    readme = (DATA / "README.md").read_text("utf-8")
    digests = dict(re.findall(r"^([0-9a-f]{64})  (\S+)$", readme, re.MULTILINE))
    assert set(digests.values()) == {"words.txt", "word_vectors.npy", "word_components.npz"}
    for digest, name in digests.items():
        content = (DATA / name).read_bytes()
        if name.endswith(".txt"):
            content = content.replace(b"\r\n", b"\n")  # as git may write it on Windows
        assert hashlib.sha256(content).hexdigest() == digest, name


def test_the_script_makes_these_components():
    spec = importlib.util.spec_from_file_location("made", DATA / "make_word_vectors.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for made, shipped in zip(
        script.principal_components(word_vectors()[:20_000]), word_components(), strict=True
    ):
        np.testing.assert_allclose(made, shipped, atol=1e-6)


def test_components_are_orthonormal_and_ordered():
    _, components, spread = word_components()
    np.testing.assert_allclose(components @ components.T, np.eye(50), atol=1e-6)
    assert (np.diff(spread) < 0).all() and spread[-1] > 0
    largest = components[np.arange(50), np.abs(components).argmax(1)]
    assert (largest > 0).all()


# Random by word


def test_a_seed_means_these_numbers():
    np.testing.assert_allclose(
        random_embeddings(tokenize("the cat"), 3).X,
        [[-0.97249717, -1.0389704, 0.22339368], [-0.22947553, 0.19066532, 1.0528095]],
        atol=1e-7,
    )
    np.testing.assert_allclose(
        random_embeddings(tokenize("Cat"), 3, seed=7).X,
        [[0.6223884, 1.283612, 0.40216124]],
        atol=1e-7,
    )


@settings(max_examples=30, deadline=None)
@given(WORDS, st.integers(1, 70), st.integers(-5, 2**40))
def test_random_vectors_belong_to_the_word_and_the_seed(words, d_model, seed):
    tokens = tokenize(" ".join(words))
    result = random_embeddings(tokens, d_model, seed)
    assert result.X.shape == (len(tokens), d_model) and result.known.all()
    wider = random_embeddings(tokens, d_model + 11, seed).X
    np.testing.assert_array_equal(wider[:, :d_model], result.X)
    for i, word in enumerate(tokens.words):
        alone = random_embeddings(tokenize(word), d_model, seed).X
        np.testing.assert_array_equal(alone[0], result.X[i])


def test_random_vectors_are_standard_normal_and_unrelated():
    tokens = tokenize(" ".join(f"w{i}" for i in range(2000)))
    X = random_embeddings(tokens, 5).X
    assert np.abs(X.mean(0)).max() < 0.1 and np.abs(X.std(0) - 1).max() < 0.06
    assert (
        np.abs(np.corrcoef(X.T, random_embeddings(tokens, 5, seed=1).X.T) - np.eye(10)).max() < 0.1
    )


# One-hot


def test_one_hot_columns_are_words_in_order_of_appearance():
    result = one_hot_embeddings(tokenize("The cat, the dog"))
    expected = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(result.X, expected)
    assert result.X.dtype == np.float32 and result.known.all()


# Uploaded


def test_uploaded_rows_are_kept():
    X = np.arange(24.0).reshape(12, 2)
    result = uploaded_embeddings(SENTENCE, X)
    np.testing.assert_array_equal(result.X, X)
    assert result.X.dtype == np.float32 and result.known.all()
    X[0, 0] = 5
    assert result.X[0, 0] == 0
    as_given = np.ones((12, 3), np.float32)
    uploaded_embeddings(SENTENCE, as_given)
    as_given[0, 0] = 5  # not frozen


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((3, 5)), r"have 3 rows and the sentence has 12 tokens\. Give one row for each"),
        (np.ones((5, 12)), r"have 5 rows.*The table is 5 × 12: it looks transposed"),
        (np.ones(12), r"have shape \(12,\)\. They must be a table with one row for each of.* 12"),
        (np.ones((12, 0)), r"have shape \(12, 0\).*at least one column"),
        (np.full((12, 2), 1j), "are complex128. They must be real numbers"),
        (np.full((12, 2), "a"), "are <U1. They must be real numbers"),
        (np.diag([1.0] * 4 + [np.nan] + [1.0] * 7), r"have nan in row 4, column 4"),
        (np.full((12, 2), 1e300), r"have inf in row 0, column 0 .*as float32"),
    ],
)
def test_what_does_not_fit_is_refused(X, message):
    with pytest.raises(ValueError, match=message):
        uploaded_embeddings(SENTENCE, X)


# All of them

KINDS = {
    "word": lambda tokens: word_embeddings(tokens),
    "reduced": lambda tokens: word_embeddings(tokens, 7),
    "random": lambda tokens: random_embeddings(tokens, 11),
    "one-hot": one_hot_embeddings,
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_word_has_the_same_row(kind):
    X = KINDS[kind](tokenize("The zorple saw the ZORPLE in the café, the cafe\u0301")).X
    for i, j in [(0, 3), (0, 6), (1, 4), (7, 10)]:
        np.testing.assert_array_equal(X[i], X[j])
    assert not np.array_equal(X[0], X[1])


@pytest.mark.parametrize("kind", KINDS)
def test_no_tokens_give_no_rows(kind):
    result = KINDS[kind](tokenize(" "))
    assert len(result.X) == len(result.known) == 0
    assert result.X.ndim == 2 and result.X.dtype == np.float32 and result.known.dtype == bool


@pytest.mark.parametrize("kind", KINDS)
def test_results_are_read_only_and_finite(kind):
    result = KINDS[kind](SENTENCE)
    assert np.isfinite(result.X).all()
    for array in (result.X, result.known):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize("kind", ["word", "random"])
def test_hostile_tokens_have_vectors_too(kind):
    tokens = tokenize("<b>x</b> \x00 \u200b \ud800 \U0001f3f4\u200d☠ [a](b) " + "z" * 5000)
    assert np.isfinite(KINDS[kind](tokens).X).all()


def test_random_width_must_be_positive():
    with pytest.raises(ValueError, match="d_model is 0; it must be at least 1"):
        random_embeddings(SENTENCE, 0)


def test_nothing_is_read_before_it_is_needed():
    for cached in (vocabulary, word_vectors, word_components):
        cached.cache_clear()
    random_embeddings(SENTENCE, 8)
    one_hot_embeddings(SENTENCE)
    assert embeddings.word_vectors.cache_info().currsize == 0
    word_embeddings(SENTENCE)
    assert embeddings.word_components.cache_info().currsize == 0
