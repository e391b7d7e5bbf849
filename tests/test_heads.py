import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention.functions import softmax
from attention.heads import (
    NAMED_HEADS,
    Link,
    column_share,
    coreference_share,
    join_words,
    kept_tokens,
    next_share,
    previous_share,
    pronoun_places,
    score_strengths,
    sink_share,
    strongest_links,
    sum_of_queries,
    without,
)

# Rows sum to 1; four pieces, of which 1 and 2 make up one word.
WEIGHTS = np.array([[1, 2, 3, 4], [4, 3, 2, 1], [0, 2, 8, 0], [1, 1, 1, 7]]) / 10


def maps(T: int, *leading: int, seed: int = 0) -> np.ndarray:
    return softmax(3 * np.random.default_rng(seed).standard_normal((*leading, T, T)))


word_lengths = st.lists(st.integers(1, 4), min_size=1, max_size=7)

# ---- words


def test_words_by_hand():
    joined = join_words(WEIGHTS, (0, 1, 1, 2))
    # Columns 1 and 2 added, rows 1 and 2 averaged.
    np.testing.assert_allclose(joined, [[0.1, 0.5, 0.4], [0.2, 0.75, 0.05], [0.1, 0.2, 0.7]])


@settings(max_examples=40, deadline=None)
@given(lengths=word_lengths, seed=st.integers(0, 1000))
def test_rows_of_words_sum_to_one_and_nothing_but_words_is_mixed(lengths, seed):
    word_of = np.repeat(np.arange(len(lengths)), lengths)
    weights = maps(len(word_of), 2, seed=seed)
    joined = join_words(weights, word_of)
    W = len(lengths)
    assert joined.shape == (2, W, W)
    np.testing.assert_allclose(joined.sum(-1), 1)
    for i, j in np.ndindex(W, W):
        block = weights[:, word_of == i][..., word_of == j]
        np.testing.assert_allclose(joined[:, i, j], block.sum(-1).mean(-1))


def test_words_of_one_piece_each_change_nothing_and_floats_are_kept():
    weights = maps(5).astype(np.float32)
    joined = join_words(weights, range(5))
    assert joined.dtype == np.float32
    np.testing.assert_array_equal(joined, weights)


@pytest.mark.parametrize("word_of", [(0, 1, 2), (1, 2, 3, 4), (0, 2, 3, 4), (0, 1, 0, 1), ()])
def test_words_that_do_not_fit_are_refused(word_of):
    with pytest.raises(ValueError, match="each of the 4 pieces its word"):
        join_words(WEIGHTS, word_of)


# ---- hiding


def test_hiding_by_hand():
    np.testing.assert_allclose(
        without(WEIGHTS, [0]), [[0.3, 0.2, 0.1], [0.2, 0.8, 0], [0.1, 0.1, 0.7]]
    )
    renormalised = without(WEIGHTS, [0, 3], renormalise=True)
    np.testing.assert_allclose(renormalised, [[0.6, 0.4], [0.2, 0.8]])
    np.testing.assert_array_equal(kept_tokens(4, [3, 0]), [1, 2])


def test_a_row_with_nothing_left_stays_zeros():
    weights = np.array([[1.0, 0, 0], [0.5, 0.25, 0.25], [1, 0, 0]])
    renormalised = without(weights, [0], renormalise=True)
    np.testing.assert_array_equal(renormalised, [[0.5, 0.5], [0, 0]])


@settings(max_examples=30, deadline=None)
@given(T=st.integers(1, 8), hidden=st.sets(st.integers(0, 7)), seed=st.integers(0, 1000))
def test_renormalised_rows_sum_to_one_and_keep_their_proportions(T, hidden, seed):
    hidden = {place for place in hidden if place < T}
    weights = maps(T, 3, seed=seed)
    plain, scaled = without(weights, hidden), without(weights, hidden, renormalise=True)
    assert plain.shape == (3, T - len(hidden), T - len(hidden))
    np.testing.assert_allclose(scaled.sum(-1), 1)
    np.testing.assert_allclose(scaled * plain.sum(-1, keepdims=True), plain)


def test_a_token_that_is_not_there_cannot_be_hidden():
    with pytest.raises(ValueError, match="no token 4 to hide; there are the tokens 0 to 3"):
        without(WEIGHTS, [1, 4])
    with pytest.raises(ValueError, match="no token -1"):
        without(WEIGHTS, [-1])


# ---- links and sums


def test_links_by_hand():
    assert strongest_links(WEIGHTS, 0.7) == (
        *(Link(0, 3, 0.4), Link(0, 2, 0.3)),  # exactly 0.7
        *(Link(1, 0, 0.4), Link(1, 1, 0.3)),
        *(Link(2, 2, 0.8), Link(3, 3, 0.7)),
    )
    assert [link[:2] for link in strongest_links(WEIGHTS, 0.71)][:3] == [(0, 3), (0, 2), (0, 1)]


def test_links_count_from_what_a_row_has():
    assert strongest_links(np.array([[0.1, 0.3, 0], [0, 0, 0]]), 0.7) == (Link(0, 1, 0.3),)
    assert len(strongest_links(WEIGHTS, 1)) == 14  # two of the sixteen are zero
    assert [link.key for link in strongest_links(np.full((1, 99), 1 / 99), 0.5)] == list(range(50))


def test_rounding_to_float32_costs_no_link():
    row = np.array([[0.35, 0.35, 0.3]], np.float32)  # 0.35 is a little less in float32
    assert len(strongest_links(row, 0.7)) == 2


@settings(max_examples=30, deadline=None)
@given(T=st.integers(1, 9), share=st.floats(0.01, 0.99), seed=st.integers(0, 1000))
def test_links_are_enough_and_one_fewer_is_not(T, share, seed):
    weights = maps(T, seed=seed)
    links = strongest_links(weights, share)
    for query in range(T):
        found = [link.weight for link in links if link.query == query]
        assert found == sorted(weights[query], reverse=True)[: len(found)]
        assert sum(found) >= share * (1 - 1e-5)
        assert sum(found[:-1]) < share


@pytest.mark.parametrize("share", [0, -0.1, 1.1, np.nan])
def test_a_share_that_cannot_be_is_refused(share):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        strongest_links(WEIGHTS, share)


def test_links_are_of_one_head():
    with pytest.raises(ValueError, match="of one head"):
        strongest_links(maps(3, 2))


def test_queries_are_added():
    np.testing.assert_allclose(sum_of_queries(WEIGHTS, [0, 2]), [0.1, 0.4, 1.1, 0.4])
    np.testing.assert_allclose(sum_of_queries(maps(5, 2, 3), [4, 1, 0]).sum(-1), np.full((2, 3), 3))
    np.testing.assert_array_equal(sum_of_queries(WEIGHTS, []), np.zeros(4))
    with pytest.raises(ValueError, match="no token 9 to add"):
        sum_of_queries(WEIGHTS, [9])


# ---- measures


def test_measures_by_hand():
    assert previous_share(WEIGHTS) == pytest.approx((0.4 + 0.2 + 0.1) / 3)
    assert next_share(WEIGHTS) == pytest.approx((0.2 + 0.2 + 0) / 3)
    assert sink_share(WEIGHTS) == pytest.approx((0.1 + 0.4 + 0 + 0.1) / 4)
    assert column_share(WEIGHTS, 2) == pytest.approx((0.3 + 0.2 + 0.8 + 0.1) / 4)
    assert column_share(WEIGHTS, 2, except_queries=[2, 3]) == pytest.approx(0.25)
    assert coreference_share(WEIGHTS, [(3, 1), (0, 2)]) == pytest.approx((0.1 + 0.3) / 2)


@pytest.mark.parametrize("step, measure", [(-1, previous_share), (1, next_share)])
def test_a_head_that_only_looks_one_way_has_all_of_its_share(step, measure):
    weights = np.eye(6, k=step)
    other = next_share if step == -1 else previous_share
    assert measure(weights) == 1
    assert other(weights) == 0


def test_measures_take_all_heads_at_once():
    weights = maps(5, 2, 3)
    for measure in (
        previous_share,
        next_share,
        sink_share,
        lambda w: column_share(w, 3, except_queries=[1]),
        lambda w: coreference_share(w, [(4, 1), (2, 0)]),
    ):
        values = measure(weights)
        assert values.shape == (2, 3)
        assert values[1, 2] == pytest.approx(measure(weights[1, 2]))


def test_measures_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"weights is \(2, 3\); it must be \(\.\.\., T, T\)"):
        sink_share(np.ones((2, 3)))
    with pytest.raises(ValueError, match="at least 2 tokens"):
        previous_share(np.ones((1, 1)))
    with pytest.raises(ValueError, match="at least one pair"):
        coreference_share(WEIGHTS, [])
    with pytest.raises(ValueError, match="no token 4 to measure"):
        coreference_share(WEIGHTS, [(4, 1)])
    with pytest.raises(ValueError, match="leave at least one"):
        column_share(WEIGHTS, 0, except_queries=range(4))


def test_pronouns_are_found_however_they_are_written():
    assert pronoun_places(["It", "said", "THEY", "saw", "his", "item"]) == (0, 2, 4)


def test_named_heads_name_measures_of_this_module():
    import attention.heads

    assert all(callable(getattr(attention.heads, head.measure)) for head in NAMED_HEADS)


# ---- what a head's matrices alone say


def test_score_strengths_by_hand():
    # W_q W_kᵀ = diag(6, 5, 0): one direction with itself, another, and none for the third
    W_q, W_k = np.array([[0, 2], [1, 0], [0, 0]]), np.array([[0, 3], [5, 0], [0, 0]])
    np.testing.assert_allclose(score_strengths(W_q, W_k), [6, 5], rtol=1e-12)


@pytest.mark.parametrize("shape", [(7, 3), (3, 3), (2, 5)])
def test_score_strengths_are_those_of_the_whole_product(shape):
    rng = np.random.default_rng(1)
    W_q, W_k = rng.standard_normal((2, *shape)).astype(np.float32)
    found = score_strengths(W_q, W_k)
    assert found.dtype == np.float32
    whole = np.linalg.svd(W_q @ W_k.T, compute_uv=False)[: len(found)]
    np.testing.assert_allclose(found, whole, rtol=1e-4, atol=1e-5)


def test_score_strengths_refuse_other_shapes():
    with pytest.raises(ValueError, match=r"got \(3, 2\) and \(2, 3\)"):
        score_strengths(np.ones((3, 2)), np.ones((2, 3)))
