"""One sentence through one head: hand-worked, pinned, reconciled, and at its edges."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention import ForwardPass, Scenario, forward
from attention.forward import base_matrix, edits_outside, project
from attention.projections import preset_names
from attention.scenario import MATRIX_NAMES, Edit, Matrix

SENTENCE = "The cat sat on the mat. It is eating now."
SMALL = {"matrices": "random", "d_model": 7, "d_k": 3, "d_v": 5}


def matrix(rows: int, columns: int, seed: int = 0) -> Matrix:
    return Matrix.of(np.random.default_rng(seed).normal(size=(rows, columns)))


# ---- by hand


def test_two_words_by_hand():
    X = Matrix.of(math.sqrt(2) * np.eye(2))
    asked = Scenario(sentence="left right", matrices="identity", positions="none", X=X)
    result = forward(Scenario().replace(**vars(asked)))
    head = result.attention
    e = math.exp(math.sqrt(2))
    near, far = e / (e + 1), 1 / (e + 1)
    np.testing.assert_allclose(head.scores[0], 2 * np.eye(2), rtol=1e-6)
    np.testing.assert_allclose(head.scaled[0], math.sqrt(2) * np.eye(2), rtol=1e-6)
    np.testing.assert_allclose(head.weights[0], [[near, far], [far, near]], rtol=1e-6)
    np.testing.assert_allclose(head.output[0], math.sqrt(2) * head.weights[0], rtol=1e-6)


def test_without_scaling_the_scores_go_on_as_they_are():
    unscaled = forward(Scenario(**SMALL, scaling=False)).attention
    np.testing.assert_array_equal(unscaled.scaled, unscaled.scores)
    scaled = forward(Scenario(**SMALL)).attention
    np.testing.assert_array_equal(scaled.scores, unscaled.scores)
    np.testing.assert_allclose(scaled.scaled * math.sqrt(3), scaled.scores, rtol=1e-6)


def test_a_causal_mask_hides_what_comes_later():
    free, causal = (forward(Scenario(**SMALL, causal=c)).attention for c in (False, True))
    assert free.mask is None
    np.testing.assert_array_equal(causal.mask, np.tril(np.ones((12, 12), bool)))
    np.testing.assert_array_equal(causal.weights[0][~causal.mask], 0)
    np.testing.assert_allclose(causal.weights[0, 0], [1] + [0] * 11)
    np.testing.assert_array_equal(causal.scaled, free.scaled)  # before the mask


# ---- the same numbers for years: version 1 of the link


SEED_7 = Scenario(
    matrices="random", seed=7, embedding="words", d_model=8, d_k=4, d_v=3, positions="none"
)


def test_the_first_numbers_of_a_seed_are_pinned():
    result = forward(SEED_7)
    close = {"rtol": 2e-5}
    W = result.projections
    np.testing.assert_allclose(W.W_q[0], [0.66974545, 0.6659428, -0.44383764, 0.5751076], **close)
    np.testing.assert_allclose(W.W_k[0], [-0.7964638, 1.0012683, -0.23845617, -0.475029], **close)
    np.testing.assert_allclose(W.W_v[0], [-0.25526628, 0.15133199, -1.4426136], **close)
    np.testing.assert_allclose(result.X[1, :3], [-0.46890324, 1.743484, 0.9445873], **close)
    np.testing.assert_allclose(
        result.attention.Q[0, 0], [1.1962214, 0.9531881, -0.2783004, 2.9260905], **close
    )
    np.testing.assert_allclose(
        result.attention.weights[0, 0, :3], [1.8046883e-05, 0.36450598, 0.0086674746], rtol=2e-4
    )


def test_the_first_numbers_of_other_settings_are_pinned():
    result = forward(
        Scenario(
            matrices="random",
            seed=7,
            seed_k=8,
            distribution="uniform",
            embedding="random",
            embedding_seed=5,
            d_model=8,
            d_k=4,
            d_v=3,
        )
    )
    W, close = result.projections, {"rtol": 2e-5}
    np.testing.assert_allclose(W.W_q[0, :2], [0.44811836, 0.45067725], **close)
    np.testing.assert_allclose(W.W_k[0, :2], [0.6894863, 0.9533105], **close)
    np.testing.assert_allclose(W.W_v[0, :2], [0.53237295, -0.89800495], **close)
    np.testing.assert_allclose(result.embeddings[1, :2], [0.44202197, 0.9042427], **close)
    np.testing.assert_allclose(result.X[1, :2], [1.2834929, 1.444545], **close)


def test_word_vectors_are_gloves_own():
    result = forward(Scenario(sentence="cat", matrices="random", positions="none"))
    published = [0.45281, -0.50108, -0.53714]  # glove.6B.50d.txt
    np.testing.assert_allclose(result.X[0, :3], published, rtol=1e-3)


# ---- every stage follows from the one before


@st.composite
def scenarios(draw) -> Scenario:
    """Small scenarios of every kind that `forward` can take."""
    words = ["cat", "The", "it", ".", "xyzzy", "don't", "猫", "😀", "שלום", "ﷺ", "é", "<b>", "42"]
    sentence = " ".join(draw(st.lists(st.sampled_from(words), min_size=1, max_size=9)))
    fields = {
        "sentence": sentence,
        "matrices": draw(st.sampled_from(["random", "identity"])),
        "distribution": draw(st.sampled_from(["normal", "uniform"])),
        "embedding": draw(st.sampled_from(["words", "random", "one-hot"])),
        "positions": draw(st.sampled_from(["none", "sinusoidal"])),
        "d_model": draw(st.integers(1, 11)),
        "d_k": draw(st.integers(1, 7)),
        "d_v": draw(st.integers(1, 7)),
        "seed": draw(st.integers(0, 99)),
        "seed_q": draw(st.none() | st.integers(0, 99)),
        "spread": draw(st.sampled_from([0.0, 0.3, 1.8, 10.0])),
        "scaling": draw(st.booleans()),
        "causal": draw(st.booleans()),
        "edits": draw(
            st.lists(
                st.builds(
                    Edit,
                    st.sampled_from(MATRIX_NAMES),
                    st.integers(0, 12),
                    st.integers(0, 8),
                    st.sampled_from([0.0, -1.5, 1e-6, 1e4, -1e4]),
                ),
                max_size=3,
            ).map(tuple)
        ),
    }
    return Scenario().replace(**fields)


@settings(max_examples=120, deadline=None)
@given(scenarios())
def test_every_stage_follows_from_the_one_before(scenario):
    result = forward(scenario)
    head, W, T = result.attention, result.projections, len(result.tokens)
    Q, K, V, scores, scaled, weights, output = (
        getattr(head, stage)[0].astype(np.float64)
        for stage in ("Q", "K", "V", "scores", "scaled", "weights", "output")
    )
    X = result.X.astype(np.float64)
    positions = 0 if result.positions is None else result.positions
    np.testing.assert_array_equal(result.X, result.embeddings + np.float32(positions))
    for name, Y in (("W_q", Q), ("W_k", K), ("W_v", V)):
        close(Y, X, getattr(W, name).astype(np.float64))
    close(scores, Q, K.T)
    np.testing.assert_allclose(
        scaled, scores / (math.sqrt(K.shape[1]) if scenario.scaling else 1), rtol=1e-6
    )
    allowed = np.tril(np.ones((T, T), bool)) if scenario.causal else np.ones((T, T), bool)
    hidden = np.where(allowed, scaled, -np.inf)
    powers = np.exp(hidden - hidden.max(1, keepdims=True))
    np.testing.assert_allclose(weights, powers / powers.sum(1, keepdims=True), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
    close(output, weights, V)
    np.testing.assert_array_equal(head.heads, head.output)  # there is no W_o


def close(Y: np.ndarray, A: np.ndarray, B: np.ndarray) -> None:
    """Y = A @ B, as exactly as float32 sums can be."""
    bound = np.abs(A) @ np.abs(B)
    assert (np.abs(Y - A @ B) <= 2e-6 * bound + 1e-30).all()


@settings(max_examples=60, deadline=None)
@given(scenarios())
def test_arrays_are_float32_and_read_only_and_the_shapes_are_as_documented(scenario):
    result = forward(scenario)
    T, D = len(result.tokens), result.X.shape[1]
    d_k, d_v = result.projections.d_k, result.projections.d_v
    assert (
        len(set(result.tokens.words)) if scenario.embedding == "one-hot" else scenario.d_model
    ) == D
    assert (d_k, d_v) == (scenario.d_k, scenario.d_v)
    shapes = {
        "Q": (1, T, d_k),
        "K": (1, T, d_k),
        "V": (1, T, d_v),
        **dict.fromkeys(("scores", "scaled", "weights"), (1, T, T)),
        "output": (1, T, d_v),
    }
    arrays = {name: getattr(result.attention, name) for name in shapes}
    assert {name: array.shape for name, array in arrays.items()} == shapes
    arrays |= {"X": result.X, "embeddings": result.embeddings, "W_q": result.projections.W_q}
    for name, array in arrays.items():
        assert array.dtype == np.float32, name
        assert not array.flags.writeable, name
    assert result.known.shape == (T,) and result.known.dtype == bool


@settings(max_examples=40, deadline=None)
@given(scenarios())
def test_the_same_scenario_gives_the_same_numbers(scenario):
    first, again = forward(scenario), forward(dataclasses.replace(scenario))
    np.testing.assert_array_equal(first.attention.output, again.attention.output)
    assert isinstance(first, ForwardPass) and first.scenario == scenario


@settings(max_examples=40, deadline=None)
@given(scenarios(), st.integers(1, 8))
def test_a_later_word_changes_nothing_before_it_under_a_causal_mask(scenario, place):
    scenario = scenario.replace(causal=True, embedding="words", d_model=min(scenario.d_model, 50))
    words = scenario.sentence.split()
    place = min(place, len(words))
    before = forward(scenario).attention.output[0]
    changed = " ".join([*words[: place - 1], "zebra", *words[place:]])
    after = forward(scenario.replace(sentence=changed)).attention.output[0]
    kept = len(forward(scenario.replace(sentence=" ".join(words[: place - 1]))).tokens)
    np.testing.assert_allclose(after[:kept], before[:kept], rtol=1e-4, atol=1e-4 * _size(before))


def test_equal_words_are_equal_without_positions_and_differ_with_them():
    asked = {"sentence": "cat dog Cat", **SMALL}
    plain = forward(Scenario(**asked, positions="none"))
    np.testing.assert_array_equal(plain.X[0], plain.X[2])
    np.testing.assert_allclose(
        plain.attention.weights[0, :, 0], plain.attention.weights[0, :, 2], rtol=1e-5
    )
    placed = forward(Scenario(**asked))
    np.testing.assert_array_equal(placed.embeddings[0], placed.embeddings[2])
    assert np.abs(placed.X[0] - placed.X[2]).max() > 0.1


def _size(array: np.ndarray) -> float:
    return float(np.abs(array).max(initial=1))


# ---- edges


@pytest.mark.parametrize("embedding", ["words", "random", "one-hot"])
def test_a_single_token_looks_at_itself(embedding):
    result = forward(Scenario(sentence="cat", embedding=embedding, **SMALL))
    np.testing.assert_array_equal(result.attention.weights, [[[1]]])
    np.testing.assert_array_equal(result.attention.output, result.attention.V)


def test_sixty_four_tokens_and_what_lies_beyond():
    scenario = Scenario(sentence="cat dog " * 40, **SMALL)
    full, cut = forward(scenario), forward(scenario, max_tokens=64)
    assert (len(full.tokens), full.n_left_out) == (80, 0)
    assert (len(cut.tokens), cut.n_left_out) == (64, 16)
    alone = forward(scenario.replace(sentence="cat dog " * 32), max_tokens=64)
    assert alone.n_left_out == 0
    np.testing.assert_array_equal(cut.attention.weights, alone.attention.weights)
    np.testing.assert_allclose(cut.attention.weights.sum(-1), 1, rtol=1e-6)


@pytest.mark.parametrize("sentence", ["", "   ", "\n\t"])
@pytest.mark.parametrize("embedding", ["words", "random"])
def test_an_empty_sentence_has_nothing_to_attend_to(sentence, embedding):
    result = forward(Scenario(sentence=sentence, embedding=embedding, **SMALL))
    assert len(result.tokens) == 0
    assert result.attention.weights.shape == (1, 0, 0)
    assert result.attention.output.shape == (1, 0, 5)


@pytest.mark.parametrize(
    "sentence",
    [
        "שלום עולם, מה שלומך?",
        "مرحبا بالعالم ﷺ",
        "👩‍👩‍👧 😀 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️ 🇩🇪",
        "猫は座った。",
        "a\u202eb\u0000c\ufffd \u200b",
        "<script>alert(1)</script> $x$ :red[y] &amp;",
        "é e\u0301 ẞ ß İ",
        "\U0010ffff \ue000",
    ],
)
def test_any_text_is_computed(sentence):
    result = forward(Scenario(sentence=sentence, **SMALL))
    assert "".join(result.tokens.texts) == "".join(sentence.split())
    assert np.isfinite(result.attention.output).all()
    again = forward(Scenario(sentence=sentence, **SMALL))
    np.testing.assert_array_equal(result.X, again.X)


def test_an_unknown_word_is_marked_and_always_has_the_same_vector():
    one = forward(Scenario(sentence="xyzzy cat", positions="none", **SMALL))
    assert one.known.tolist() == [False, True]
    two = forward(Scenario(sentence="the XYZZY", positions="none", **SMALL))
    np.testing.assert_array_equal(one.X[0], two.X[1])


def test_one_hot_vectors_are_as_wide_as_there_are_words():
    result = forward(
        Scenario(sentence="the cat The dog", embedding="one-hot", positions="none", **SMALL)
    )
    np.testing.assert_array_equal(result.X, [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]])
    assert result.projections.W_q.shape == (3, 3)
    np.testing.assert_array_equal(result.attention.Q[0], result.projections.W_q[[0, 1, 0, 2]])


# ---- matrices


def test_uploaded_vectors_and_matrices_are_used_as_they_are():
    given_matrices = {"W_q": matrix(7, 3, 1), "W_k": matrix(7, 3, 2), "W_v": matrix(7, 5, 3)}
    X = matrix(3, 7, 4)
    scenario = Scenario(sentence="one two three", matrices="random").replace(X=X, **given_matrices)
    result = forward(scenario.replace(positions="none"))
    np.testing.assert_array_equal(result.X, X.array)
    for name, uploaded in given_matrices.items():
        np.testing.assert_array_equal(getattr(result.projections, name), uploaded.array)
    placed = forward(scenario.replace(positions="sinusoidal"))
    np.testing.assert_allclose(placed.X[0], X.array[0] + [0, 1, 0, 1, 0, 1, 0], rtol=1e-6)


def test_uploaded_vectors_need_one_row_for_each_token():
    scenario = Scenario(sentence="one two", matrices="random").replace(X=matrix(3, 7))
    with pytest.raises(ValueError, match="3 rows and the sentence has 2 tokens"):
        forward(scenario)


def test_what_cannot_fit_is_said():
    with pytest.raises(ValueError, match="d_model is 64; word vectors are 50 wide"):
        forward(Scenario(matrices="random", d_model=64))
    with pytest.raises(ValueError, match="W_q is \\(7, 3\\)"):  # one-hot vectors are 2 wide here
        forward(
            Scenario(
                sentence="a b", embedding="one-hot", matrices="random", d_k=3, W_q=matrix(7, 3)
            )
        )


def test_an_edited_cell_replaces_one_number_and_no_other():
    plain = Scenario(**SMALL)
    edited = dataclasses.replace(plain, edits=(Edit("W_k", 6, 2, -4.5), Edit("W_v", 0, 4, 2.25)))
    before, after = (forward(s).projections for s in (plain, edited))
    np.testing.assert_array_equal(after.W_q, before.W_q)
    assert after.W_k[6, 2] == -4.5 and after.W_v[0, 4] == 2.25
    assert (after.W_k != before.W_k).sum() == 1 and (after.W_v != before.W_v).sum() == 1


def test_edits_apply_to_uploads_too_and_leave_the_upload_alone():
    uploaded = matrix(7, 3)
    scenario = Scenario(**SMALL, W_q=uploaded, edits=(Edit("W_q", 1, 1, 3.0),))
    assert forward(scenario).projections.W_q[1, 1] == 3
    np.testing.assert_array_equal(base_matrix("W_q", scenario, 7), uploaded.array)


def test_edits_beyond_the_edge_are_passed_over_and_counted():
    edits = (Edit("W_q", 7, 0, 1.0), Edit("W_q", 0, 3, 1.0), Edit("W_v", 6, 4, 1.0))
    scenario = Scenario(**SMALL, edits=edits)
    projections = project(scenario, 7)
    np.testing.assert_array_equal(projections.W_q, project(Scenario(**SMALL), 7).W_q)
    assert projections.W_v[6, 4] == 1
    assert edits_outside(scenario, projections) == 2


def test_one_matrix_can_be_drawn_alone():
    plain, other = (project(Scenario(**SMALL, seed=4, seed_k=s), 7) for s in (None, 9))
    np.testing.assert_array_equal(plain.W_q, other.W_q)
    np.testing.assert_array_equal(plain.W_v, other.W_v)
    assert (plain.W_k != other.W_k).all()
    np.testing.assert_array_equal(other.W_k, project(Scenario(**SMALL, seed=9), 7).W_k)


def test_extreme_numbers_stay_finite():
    huge = Matrix.of(np.full((7, 3), 1e4))
    scenario = Scenario(sentence="a b c", **SMALL).replace(
        W_q=huge, W_k=Matrix.of(-huge.array), X=Matrix.of(np.full((3, 7), 1e4))
    )
    head = forward(scenario).attention
    assert np.isfinite(head.scores).all() and np.abs(head.scores).max() > 1e15
    np.testing.assert_allclose(head.weights.sum(-1), 1, rtol=1e-6)
    flat = forward(Scenario(**SMALL, spread=0.0)).attention
    np.testing.assert_allclose(flat.weights, 1 / 12, rtol=1e-6)


# ---- the first screen: learned attention


@pytest.mark.parametrize("preset", ["coreference", "grammar"])
def test_it_looks_at_the_cat_by_weights_that_were_trained(preset):
    result = forward(Scenario().replace(matrices=preset))
    texts = result.tokens.texts
    assert texts == ("The", "cat", "sat", "on", "the", "mat", ".", "It", "is", "eating", "now", ".")
    weights = result.attention.weights[0]
    it, cat = texts.index("It"), texts.index("cat")
    assert weights.shape == (12, 12)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
    assert weights[it].argmax() == cat
    assert weights[it, cat] >= 0.8
    looking_at_cat = (weights.argmax(1) == cat).sum()
    assert looking_at_cat <= 4  # the rest of the sentence looks elsewhere
    assert result.known.all()


def test_every_promised_preset_is_there_and_fits_its_settings():
    from attention.scenario import PRESETS

    assert set(PRESETS) <= set(preset_names())
    for preset, needs in PRESETS.items():
        projections = forward(Scenario().replace(matrices=preset)).projections
        widths = {name: getattr(projections, name) for name in ("d_model", "d_k", "d_v")}
        assert widths == {name: needs[name] for name in widths}
        assert projections.n_heads == 1
