"""Two layers: gradients against finite differences and PyTorch, what is kept out, what ships."""

import json
from pathlib import Path

import numpy as np
import pytest

from attention import two_layers
from attention.randomness import stable_rng
from attention.text import tokenize
from attention.training import PAIRS
from attention.two_layers import (
    FOLDER,
    KINDS,
    SHAPES,
    Batch,
    batch_of,
    draw_pair,
    inputs,
    load_two_layers,
    loss_and_gradients,
    shares,
    train,
    turned,
    two_layer_attention,
    words_of,
)

GOLDEN = np.load(Path(__file__).with_name("golden") / "two_layers.npz")


def golden(dtype=np.float64) -> tuple[dict[str, np.ndarray], Batch]:
    batch = Batch(GOLDEN["X"].astype(dtype), GOLDEN["real"], GOLDEN["at"], GOLDEN["target"])
    return {name: GOLDEN[name].astype(dtype) for name in SHAPES}, batch


@pytest.mark.parametrize(("dtype", "near"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_weights_loss_and_gradients_are_those_of_pytorch(dtype, near):
    W, batch = golden(dtype)
    loss, gradients = loss_and_gradients(W, batch)
    assert loss == pytest.approx(float(GOLDEN["loss"]), rel=near)
    for name in SHAPES:
        np.testing.assert_allclose(gradients[name], GOLDEN[f"d_{name}"], rtol=0, atol=near)
    for found, layer in zip(two_layer_attention(batch.X, W, batch.real), "12", strict=True):
        np.testing.assert_allclose(found, GOLDEN[f"A{layer}"], rtol=0, atol=near)


@pytest.mark.parametrize("name", SHAPES)
def test_gradients_are_the_slopes_of_the_loss(name):
    W, batch = golden()
    gradient, step = loss_and_gradients(W, batch)[1][name], 1e-6
    for place in np.ndindex(W[name].shape):
        losses = []
        for sign in (1, -1):
            moved = W | {name: W[name].copy()}
            moved[name][place] += sign * step
            losses.append(loss_and_gradients(moved, batch)[0])
        assert gradient[place] == pytest.approx(
            (losses[0] - losses[1]) / (2 * step), rel=1e-6, abs=1e-8
        )


def test_no_training_sentence_has_a_word_that_is_kept_out():
    rng = stable_rng("purity")
    pairs = [draw_pair(rng) for _ in range(5_000)]
    seen = {word for pair in pairs for word in (*pair.nouns, *pair.endings)}
    kept = {"tired", "wide", "big", "small", "animal", "street", "trophy", "suitcase"}
    lists = {name for kind in KINDS.values() for name in (*kind.nouns, *kind.adjectives)}
    out = {word for name in lists for word in words_of(name, held_out=True)}
    assert kept <= out | {"animal", "street"} and not seen & (out | kept)


def test_a_pair_is_two_sentences_with_the_noun_that_each_means():
    pair = draw_pair(stable_rng("one pair"), "content and container")
    batch = batch_of([pair, pair])
    assert len(batch.X) == 4
    words = tokenize(pair.sentence.format(pair.endings[1])).words
    np.testing.assert_array_equal(batch.X[1, : len(words)], inputs(words))
    assert words[batch.at[1]] == "it" and words[batch.target[1]] == pair.nouns[1]
    assert batch.real[1].sum() == len(words)


def test_always_the_same_noun_turns_no_pair():
    pairs = [draw_pair(stable_rng("blind", i)) for i in range(20)]
    nothing = {name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}
    assert turned(nothing, pairs) == 0


def test_a_run_repeats():
    for first, second in zip(train(20).values(), train(20).values(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_the_shipped_model_keeps_its_figures():
    found = shares(load_two_layers())
    for kind, shipped in json.loads((FOLDER / "shares.json").read_text("utf-8")).items():
        assert found[kind] == pytest.approx(shipped, abs=0.01)
    assert found["animal and place"][2] >= 0.85
    assert (FOLDER / "weights.npz").stat().st_size < 20_000


@pytest.mark.parametrize("which", [0, 1])
def test_tired_and_wide_turn_it(which):
    ending, noun = PAIRS[0].endings[which], PAIRS[0].nouns[which]
    words = tokenize(PAIRS[0].sentence.format(ending)).words
    first, second = two_layer_attention(inputs(words), load_two_layers())
    it = words.index("it")
    assert words[first[it].argmax()] == ending  # what layer 1 takes in
    assert words[second[it].argmax()] == noun
    np.testing.assert_allclose(second.sum(-1), 1, atol=1e-6)


def test_main_writes_the_files(tmp_path, capsys):
    (tmp_path / "README.md").write_text("a\n<!-- two layers -->\nold\n<!-- end of two layers -->\n")
    two_layers.main(tmp_path, tmp_path)
    text = (tmp_path / "README.md").read_text("utf-8")
    assert "old" not in text and "| animal and place |" in text and text.endswith("layers -->\n")
    assert json.loads((tmp_path / "shares.json").read_text("utf-8")).keys() == KINDS.keys()
    assert "animal and place" in capsys.readouterr().out
