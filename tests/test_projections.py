from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from attention import projections
from attention.embeddings import word_embeddings
from attention.multi_head import multi_head_attention
from attention.positions import sinusoidal_positions
from attention.projections import (
    Projections,
    identity_projections,
    load_preset,
    preset_names,
    random_matrix,
    random_projections,
)
from attention.text import tokenize

SENTENCES = (
    "The cat sat on the mat. It is eating now.",
    "The animal didn't cross the street because it was too tired.",
    "Anna thanked her teacher, and then she went home by train.",
)


def zeros(**shapes):
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


# ---- the record


def test_widths_of_grouped_heads():
    p = Projections(
        **zeros(W_q=(11, 6 * 2), W_k=(11, 3 * 2), W_v=(11, 3 * 5), W_o=(6 * 5, 11)),
        **zeros(b_q=12, b_k=6, b_v=15, b_o=11),
        n_heads=6,
        n_kv_heads=3,
    )
    assert (p.d_model, p.d_k, p.d_v) == (11, 2, 5)


def test_each_query_head_has_its_own_keys_unless_told_otherwise():
    assert Projections(**zeros(W_q=(7, 6), W_k=(7, 6), W_v=(7, 4)), n_heads=2).n_kv_heads == 2


def test_arrays_are_read_only_but_the_callers_are_not():
    W = np.ones((3, 2))
    p = Projections(W_q=W, W_k=W, W_v=W)
    with pytest.raises(ValueError, match="read-only"):
        p.W_q[0, 0] = 2
    with pytest.raises(FrozenInstanceError):
        p.W_q = W
    W[0, 0] = 2


def test_types_are_kept():
    assert random_projections(3, 2).W_q.dtype == np.float32
    W = np.ones((3, 2))
    assert Projections(W_q=W, W_k=W, W_v=W).W_q.dtype == np.float64


def test_one_matrix_can_be_replaced():
    p = random_projections(5, 3, seed=1)
    edited = np.array(p.W_q)
    edited[4, 2] = 7
    assert replace(p, W_q=edited).W_q[4, 2] == 7
    np.testing.assert_array_equal(replace(p, W_q=edited).W_k, p.W_k)


# ---- random


def test_the_first_numbers_of_a_seed_are_pinned():
    p = random_projections(3, 2, seed=0, with_output=True, spread=3**0.5)  # spread/√3 = 1
    np.testing.assert_allclose(p.W_q[0], [-1.0619055, -0.79567784], rtol=1e-6)
    np.testing.assert_allclose(p.W_k[0], [0.13851643, 0.7008829], rtol=1e-6)
    np.testing.assert_allclose(p.W_v[0], [-1.3359469, -1.3162076], rtol=1e-6)
    np.testing.assert_allclose(p.W_o[0], [-1.6237246, 1.140299, 1.1746236], rtol=1e-6)
    W = random_matrix("W_q", 3, 2, distribution="uniform", spread=3**0.5)
    np.testing.assert_allclose(W[0], [-0.6687732, -0.89253954], rtol=1e-6)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_entries_have_the_standard_deviation_asked_for(distribution, spread):
    W = random_matrix("W_q", 100, 200, seed=3, distribution=distribution, spread=spread)
    assert W.dtype == np.float32
    assert W.std() == pytest.approx(spread / 10, rel=0.02)
    assert abs(W.mean()) < 0.01 * spread
    if distribution == "uniform":
        assert np.abs(W).max() <= np.float32(spread / 10 * 3**0.5)


def test_every_matrix_and_seed_has_its_own_stream():
    drawn = [
        random_matrix(name, 3, 5, seed=seed) for name in ("W_q", "W_k", "W_v") for seed in (0, 1)
    ]
    assert len({W.tobytes() for W in drawn}) == 6


def test_one_matrix_drawn_alone_is_the_one_drawn_together():
    p = random_projections(7, 2, 3, n_heads=4, n_kv_heads=2, seed=5, with_output=True)
    for name in ("W_q", "W_k", "W_v", "W_o"):
        W = getattr(p, name)
        np.testing.assert_array_equal(W, random_matrix(name, *W.shape, seed=5))
    assert (p.n_heads, p.n_kv_heads, p.d_k, p.d_v) == (4, 2, 2, 3)


def test_more_rows_keep_the_direction_of_the_earlier_ones():
    small, large = random_matrix("W_k", 4, 3, seed=2), random_matrix("W_k", 9, 3, seed=2)
    np.testing.assert_allclose(small * 4**0.5, large[:4] * 9**0.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("d_model", "low", "high"), [(50, 1.3, 1.7), (16, 2.0, 2.6), (8, 2.6, 3.4)]
)
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_default_spread_gives_maps_that_can_be_read(d_model, low, high, distribution):
    spreads, largest = [], []
    for sentence in SENTENCES:
        vectors = word_embeddings(tokenize(sentence), d_model).X
        X = vectors + sinusoidal_positions(*vectors.shape)
        for seed in range(40):
            p = random_projections(d_model, 8, seed=seed, distribution=distribution)
            trace = multi_head_attention(X, p)
            spreads.append(trace.scaled.std(axis=-1).mean())
            largest.extend(trace.weights.max(axis=-1).ravel())
    assert low < np.mean(spreads) < high
    assert 0.35 < np.mean(largest) < 0.7  # flat would be about 0.1
    assert np.mean(np.array(largest) > 0.95) < 0.2


# ---- identity and presets


def test_identity_keeps_or_cuts_or_pads():
    p = identity_projections(3, 2, 5)
    np.testing.assert_array_equal(p.W_q, [[1, 0], [0, 1], [0, 0]])
    np.testing.assert_array_equal(p.W_k, p.W_q)
    np.testing.assert_array_equal(p.W_v, [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0]])
    np.testing.assert_array_equal(identity_projections(3).W_v, np.eye(3))


def test_a_preset_is_read_and_others_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(projections, "PRESETS", tmp_path)
    with pytest.raises(ValueError, match="no preset 'cats'; the presets are: none yet"):
        load_preset("cats")
    matrices = {"W_q": np.eye(3, 2), "W_k": np.eye(3, 2), "W_v": np.eye(3), "W_o": np.eye(3)}
    np.savez(tmp_path / "cats.npz", **matrices)
    np.savez(tmp_path / "ants.npz", **matrices, n_heads=2, b_q=np.ones(2))
    assert preset_names() == ["ants", "cats"]
    np.testing.assert_array_equal(load_preset("cats").W_q, np.eye(3, 2))
    with pytest.raises(ValueError, match="no preset '../cats'; the presets are: ants, cats"):
        load_preset("../cats")


def test_a_preset_may_have_heads_and_biases(tmp_path, monkeypatch):
    monkeypatch.setattr(projections, "PRESETS", tmp_path)
    p = random_projections(5, 3, 2, n_heads=4, n_kv_heads=2, seed=1)
    matrices = {"W_q": p.W_q, "W_k": p.W_k, "W_v": p.W_v, "b_q": np.ones(12)}
    np.savez(tmp_path / "heads.npz", **matrices, n_heads=4, n_kv_heads=2)
    loaded = load_preset("heads")
    assert (loaded.n_heads, loaded.n_kv_heads, loaded.d_k, loaded.d_v) == (4, 2, 3, 2)
    assert loaded.b_q.shape == (12,)


def test_a_preset_with_pickled_objects_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(projections, "PRESETS", tmp_path)
    np.savez(tmp_path / "pickled.npz", W_q=np.array([["cat", 1]], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_preset("pickled")


def test_shipped_presets_can_be_loaded():
    for name in preset_names():
        assert load_preset(name).d_model > 0


# ---- errors


GOOD = {"W_q": (5, 6), "W_k": (5, 6), "W_v": (5, 4), "W_o": (4, 5)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"W_q": (6, 5)}, r"W_q is \(6, 5\).*5 rows.*\(5, H·d_k\). It looks transposed: transpose"),
        ({"W_k": (6, 5)}, r"W_k is \(6, 5\).*\(5, H_kv·d_k\). It looks transposed: transpose it\?"),
        ({"W_v": (7, 4)}, r"W_v is \(7, 4\).*W_v must be \(5, H_kv·d_v\)\.$"),
        ({"W_k": (5, 8)}, r"W_k is \(5, 8\) and W_q \(5, 6\).*W_k with 2 head\(s\).*\(5, 6\)"),
        ({"W_o": (5, 4)}, r"W_o is \(5, 4\).*must be \(4, 5\). It looks transposed"),
        ({"W_o": (6, 5)}, r"W_o is \(6, 5\).*must be \(4, 5\)\.$"),
        ({"W_q": (5,)}, r"W_q must be a matrix of rows and columns; it is \(5,\)"),
        ({"W_q": (5, 7)}, "W_q has 7 columns, which n_heads = 2 heads cannot share"),
        ({"W_v": (5, 3)}, "W_v has 3 columns, which n_kv_heads = 2 heads cannot share"),
        ({"b_q": 5}, r"b_q is \(5,\); W_q has 6 columns, so it must be \(6,\)"),
        ({"b_o": 4}, r"b_o is \(4,\); W_o has 5 columns, so it must be \(5,\)"),
    ],
)
def test_shapes_that_do_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        Projections(**zeros(**(GOOD | change)), n_heads=2)


def test_b_o_needs_W_o():
    with pytest.raises(ValueError, match="b_o was given without W_o"):
        Projections(**zeros(W_q=(5, 6), W_k=(5, 6), W_v=(5, 4), b_o=5))


@pytest.mark.parametrize("heads", [{"n_heads": 0}, {"n_heads": 1.5}, {"n_kv_heads": True}])
def test_heads_are_counted_in_whole_numbers(heads):
    with pytest.raises(ValueError, match="must be a whole number, 1 or more; got"):
        Projections(**zeros(**GOOD), **heads)


def test_key_heads_must_divide_query_heads():
    with pytest.raises(ValueError, match="n_heads must be a multiple of n_kv_heads"):
        random_projections(5, 2, n_heads=3, n_kv_heads=2)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_named_with_their_cell(wrong):
    matrices = zeros(**GOOD)
    matrices["W_k"][3, 1] = wrong
    with pytest.raises(ValueError, match=rf"W_k has {wrong} at row 3, column 1; every number"):
        Projections(**matrices)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"d_in": 0}, "W_q: d_in must be 1 or more; got 0"),
        ({"d_out": -1}, "W_q: d_out must be 1 or more; got -1"),
        ({"spread": np.nan}, "spread must be a finite number, 0 or more; got nan"),
        ({"distribution": "cauchy"}, 'distribution must be "normal" or "uniform"; got \'cauchy\''),
    ],
)
def test_random_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        random_matrix(**({"name": "W_q", "d_in": 3, "d_out": 2} | arguments))
