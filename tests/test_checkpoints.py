"""attention/checkpoints.py: every family's heads against what its own framework computes."""

import io
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from attention.checkpoints import (
    BIASES,
    find_layers,
    head_parts,
    heads_in_config,
    likely_heads,
    pick_layer,
    possible_heads,
    read_projections,
    stands_in,
)
from attention.files import FileProblem, Tensor, safetensors_header, write_matrices
from attention.multi_head import multi_head_attention

FOLDER = Path(__file__).parent / "golden"
GOLDEN = np.load(FOLDER / "checkpoints.npz")
FAMILIES = {
    "bert": ("BERT", "encoder.layer.1"),
    "gpt2": ("GPT-2", "h.1"),
    "llama": ("Llama", "layers.1.self_attn"),
    "multihead": ("nn.MultiheadAttention", "layers.1.self_attn"),
    "vit": ("timm ViT", "blocks.1"),
}


def model_file(family: str) -> Path:
    return FOLDER / "checkpoints" / f"{family}.safetensors"


def header(**shapes: tuple[int, ...]) -> dict[str, Tensor]:
    """Tensors of a file that is not there; __ stands for a dot."""
    return {name.replace("__", "."): Tensor("F32", shape, 0, 0) for name, shape in shapes.items()}


def close(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6 * max(1.0, abs(theirs).max()))


# --- worked by hand ---------------------------------------------------------------------------


def packed() -> tuple[bytes, dict[str, Tensor]]:
    """D = 2, two heads of width 1, packed as `nn.MultiheadAttention` does."""
    data = write_matrices(
        ".safetensors",
        {
            "in_proj_weight": np.arange(12).reshape(6, 2),
            "in_proj_bias": np.arange(6) / 2,
            "out_proj.weight": [[1, 2], [3, 4]],
            "out_proj.bias": [5, 6],
        },
    )
    return data, safetensors_header(data)


def test_a_packed_layer_by_hand():
    data, tensors = packed()
    (layer,) = find_layers(tensors)
    p = read_projections(data, tensors, layer, 2)
    np.testing.assert_array_equal(p.W_q, [[0, 2], [1, 3]])
    np.testing.assert_array_equal(p.W_k, [[4, 6], [5, 7]])
    np.testing.assert_array_equal(p.W_v, [[8, 10], [9, 11]])
    np.testing.assert_array_equal(p.W_o, [[1, 3], [2, 4]])
    np.testing.assert_array_equal([p.b_q, p.b_k, p.b_v], [[0, 0.5], [1, 1.5], [2, 2.5]])
    np.testing.assert_array_equal(p.b_o, [5, 6])
    assert (p.n_heads, p.n_kv_heads) == (2, 2)


def test_one_head_by_hand():
    data, tensors = packed()
    p = read_projections(data, tensors, find_layers(tensors)[0], 2, head=1)
    np.testing.assert_array_equal(p.W_q, [[2], [3]])
    np.testing.assert_array_equal(p.W_v, [[10], [11]])
    np.testing.assert_array_equal(p.W_o, [[2, 4]])
    np.testing.assert_array_equal([p.b_q, p.b_k, p.b_v], [[0.5], [1.5], [2.5]])
    assert p.b_o is None and p.n_heads == 1


def test_where_a_head_stands_by_hand():
    _, tensors = packed()
    parts = head_parts(find_layers(tensors)[0], 2, 1)
    places = {name: (part.tensor, part.start, part.stop) for name, part in parts.items()}
    assert places == {
        "W_q": ("in_proj_weight", 1, 2),
        "W_k": ("in_proj_weight", 3, 4),
        "W_v": ("in_proj_weight", 5, 6),
        "W_o": ("out_proj.weight", 1, 2),
        "b_q": ("in_proj_bias", 1, 2),
        "b_k": ("in_proj_bias", 3, 4),
        "b_v": ("in_proj_bias", 5, 6),
    }
    sides = {name: stands_in(name, parts[name]) for name in ("W_q", "W_k", "W_v", "W_o")}
    assert sides == {"W_q": "rows", "W_k": "rows", "W_v": "rows", "W_o": "columns"}


# --- against the frameworks -------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_layer_computes_what_its_framework_computes(family):
    heads = int(GOLDEN[f"{family}_heads"])
    with model_file(family).open("rb") as file:
        tensors = safetensors_header(file)
        layers = find_layers(tensors)
        assert [layer.family for layer in layers] == [FAMILIES[family][0]] * 2
        assert FAMILIES[family][1].startswith(layers[1].name)
        for number, layer in enumerate(layers):
            p = read_projections(file, tensors, layer, heads)
            trace = attend(GOLDEN[f"{family}_X_{number}"], p, family)
            close(trace.weights, GOLDEN[f"{family}_weights_{number}"])
            close(trace.output, GOLDEN[f"{family}_output_{number}"])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_head_computes_what_its_framework_computes(family):
    heads = int(GOLDEN[f"{family}_heads"])
    with model_file(family).open("rb") as file:
        tensors = safetensors_header(file)
        for number, layer in enumerate(find_layers(tensors)):
            total = 0
            for head in range(heads):
                p = read_projections(file, tensors, layer, heads, head)
                trace = attend(GOLDEN[f"{family}_X_{number}"], p, family)
                close(trace.weights[0], GOLDEN[f"{family}_weights_{number}"][head])
                total = total + trace.output
            b_o = read_projections(file, tensors, layer, heads).b_o
            close(total + (0 if b_o is None else b_o), GOLDEN[f"{family}_output_{number}"])


def attend(X, projections, family):
    return multi_head_attention(X, projections, is_causal=family in ("gpt2", "llama"))


def test_grouped_heads_share_keys_and_values():
    with model_file("llama").open("rb") as file:
        tensors = safetensors_header(file)
        layer = find_layers(tensors)[0]
        p = read_projections(file, tensors, layer, 6)
        assert (p.W_q.shape, p.W_k.shape, p.n_kv_heads) == ((12, 24), (12, 8), 2)
        for head, kv_head in enumerate((0, 0, 0, 1, 1, 1)):
            one = read_projections(file, tensors, layer, 6, head)
            np.testing.assert_array_equal(one.W_k, p.W_k[:, 4 * kv_head : 4 * kv_head + 4])
            np.testing.assert_array_equal(one.W_q, p.W_q[:, 4 * head : 4 * head + 4])


@pytest.mark.parametrize("family", FAMILIES)
def test_picked_names_give_the_recognised_layer(family):
    with model_file(family).open("rb") as file:
        tensors = safetensors_header(file)
        found = find_layers(tensors)[1]
        names = {name: part.tensor for name, part in found.parts.items()}
        picked = pick_layer(tensors, names, turned=family != "gpt2")
        assert picked.parts == found.parts
        assert picked.family == "picked by hand"


def test_matrices_that_are_not_turned_can_be_picked():
    W = np.arange(15, dtype=np.float32).reshape(5, 3)
    data = write_matrices(
        ".safetensors", {"wq": W, "wk": W + 1, "wv": W + 2, "wo": W.T, "bq": W[0]}
    )
    tensors = safetensors_header(data)
    assert find_layers(tensors) == ()
    names = {"W_q": "wq", "W_k": "wk", "W_v": "wv", "W_o": "wo", "b_q": "bq"}
    layer = pick_layer(tensors, names, turned=False)
    p = read_projections(data, tensors, layer, 3)
    np.testing.assert_array_equal(p.W_v, W + 2)
    np.testing.assert_array_equal(p.W_o, W.T)
    one = read_projections(data, tensors, layer, 3, head=2)
    np.testing.assert_array_equal(one.W_k, W[:, 2:] + 1)
    np.testing.assert_array_equal(one.W_o, W.T[2:])
    np.testing.assert_array_equal(one.b_q, W[0, 2:])


# --- recognising ------------------------------------------------------------------------------


def attention_of(prefix: str, stems: tuple[str, ...], q=(12, 12), k=(12, 12)) -> dict[str, Tensor]:
    shapes = (q, k, k, q[::-1])
    return {
        f"{prefix}{stem}.weight": Tensor("F32", shape, 0, 0)
        for stem, shape in zip(stems, shapes, strict=True)
    }


BERT = ("attention.self.query", "attention.self.key", "attention.self.value")
QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")


@pytest.mark.parametrize(
    ("stems", "family"),
    [
        ((*BERT, "attention.output.dense"), "BERT"),
        (
            ("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"),
            "DistilBERT",
        ),
        (
            ("attention.attention.query", "attention.attention.key", "attention.attention.value")
            + ("attention.output.dense",),
            "ViT of Transformers",
        ),
        ((*QKV, "self_attn.o_proj"), "Llama"),
        ((*QKV, "self_attn.out_proj"), "BART, OPT or CLIP"),
    ],
)
def test_families_by_their_published_names(stems, family):
    tensors = attention_of("model.layers.10.", stems) | attention_of("model.layers.9.", stems)
    assert [(layer.name, layer.family) for layer in find_layers(tensors)] == [
        ("model.layers.9", family),
        ("model.layers.10", family),
    ]


def test_gpt2_is_recognised_either_way_round():
    gpt2 = header(h__0__attn__c_attn__weight=(12, 36), h__0__attn__c_proj__weight=(12, 12))
    nano = header(h__0__attn__c_attn__weight=(36, 12), h__0__attn__c_proj__weight=(12, 12))
    assert not find_layers(gpt2)[0].parts["W_k"].turned
    assert find_layers(nano)[0].parts["W_k"].turned
    assert find_layers(nano)[0].parts["W_k"][1:3] == (12, 24)


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        header(conv__weight=(3, 3)),
        attention_of("x.cross", (*BERT, "attention.output.dense")),  # crossattention.self.query
        attention_of("", (*QKV, "self_attn.wo")),
        attention_of("", (*QKV, "self_attn.o_proj"), q=(12, 12), k=(5, 12)),
        attention_of("", (*QKV, "self_attn.o_proj"), q=(12, 12), k=(12, 5)),
        attention_of("", (*QKV, "self_attn.o_proj"), q=(12, 12, 1), k=(12, 12, 1)),
        attention_of("", (*QKV, "self_attn.o_proj"), q=(0, 12), k=(0, 12)),
        header(in_proj_weight=(36, 11), out_proj__weight=(12, 12)),
        header(in_proj_weight=(36, 12), out_proj__weight=(12, 12), bias_k=(1, 1, 12)),
    ],
)
def test_what_is_not_recognised(tensors):
    assert find_layers(tensors) == ()


def test_what_a_model_does_besides_is_said():
    tensors = attention_of("0.", (*QKV, "self_attn.o_proj"), q=(24, 12), k=(8, 12))
    (layer,) = find_layers(tensors)
    assert "rotates queries and keys" in " ".join(layer.notes)
    assert layer.head_width is None
    tensors["0.self_attn.q_norm.weight"] = Tensor("F32", (4,), 0, 0)
    (layer,) = find_layers(tensors)
    assert "normalises queries and keys" in " ".join(layer.notes)
    assert layer.head_width == 4
    assert possible_heads(layer) == (6,)
    tensors["0.self_attn.q_norm.weight"] = Tensor("F32", (24,), 0, 0)  # over all heads, as OLMo 2
    assert find_layers(tensors)[0].head_width is None
    tensors["0.self_attn.rotary_emb.inv_freq"] = Tensor("F32", (4,), 0, 0)  # one for two numbers
    assert possible_heads(find_layers(tensors)[0]) == (3,)


# --- how many heads ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("q", "k", "d_model", "stems", "heads"),
    [
        (768, 768, 768, "bert", 12),
        (384, 384, 384, "bert", 12),  # MiniLM
        (576, 192, 576, "llama", 9),  # SmolLM2
        (2048, 256, 2048, "llama", 32),  # TinyLlama
        (4096, 1024, 4096, "llama", 32),  # Llama 3 8B
        (12, 12, 12, "llama", 1),
        (5, 5, 7, "llama", 1),
    ],
)
def test_likely_heads_of_known_models(q, k, d_model, stems, heads):
    names = {
        "bert": (*BERT, "attention.output.dense"),
        "llama": (*QKV, "self_attn.o_proj"),
    }[stems]
    (layer,) = find_layers(attention_of("0.", names, q=(q, d_model), k=(k, d_model)))
    assert likely_heads(layer) == heads
    assert heads in possible_heads(layer)


def test_possible_heads_by_hand():
    (layer,) = find_layers(attention_of("0.", (*QKV, "self_attn.o_proj"), q=(24, 12), k=(8, 12)))
    assert possible_heads(layer) == (3, 6, 12, 24)  # d_k of 8, 4, 2, 1 with 1, 2, 4, 8 kv heads


def test_values_of_another_width_leave_fewer_possible_heads():
    tensors = header(q=(12, 5), k=(12, 5), v=(8, 5))
    layer = pick_layer(tensors, {"W_q": "q", "W_k": "k", "W_v": "v"}, turned=True)
    assert possible_heads(layer) == (1, 2, 4)  # three heads cannot share 8 columns


def test_heads_in_config():
    assert heads_in_config(b'{"num_attention_heads": 12, "hidden_size": 384}') == 12
    assert heads_in_config(b'{"n_head": 3}') == 3
    assert heads_in_config((FOLDER / "gpt2_random" / "config.json").read_bytes()) > 0


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b"[" * 50_000, b'{"n_head": true}', b'{"n_head": "3"}', b'{"n_head": 0}']
    + [b'{"n_head": 1e3}', b"\xff\xfe\0", b'{"n_head": ' + b"9" * 5000 + b"}", b" " * 200_000],
)
def test_heads_in_a_bad_config(data):
    with pytest.raises(FileProblem, match=r"config\.json"):
        heads_in_config(data)


# --- refused ----------------------------------------------------------------------------------

PICKS = {"W_q": "q", "W_k": "k", "W_v": "v", "W_o": "o", "b_q": "bq", "b_o": "bo"}
SHAPES = {"q": (12, 5), "k": (4, 5), "v": (4, 5), "o": (5, 12), "bq": (12,), "bo": (5,)}


@pytest.mark.parametrize(
    ("names", "shapes", "said"),
    [
        ({"W_v": None}, {}, "W_q, W_k and W_v are needed; W_v is missing."),
        ({"W_v": "x"}, {}, "There is no tensor x for W_v in this file."),
        ({"W_x": "q"}, {}, "W_x is none of W_q"),
        ({}, {"q": (12,)}, "q is (12,); a matrix of rows and columns is needed."),
        ({}, {"k": (5, 4)}, "k takes 4 numbers in and q takes 5: they belong to different layers"),
        ({}, {"k": (7, 5)}, "W_q has 12 columns and W_k 7."),
        ({}, {"o": (12, 5)}, "o turns 5 numbers into 12; as W_o it must turn the 12 of all heads"),
        ({}, {"bq": (5,)}, "bq is (5,); as b_q it must be (12,)."),
        ({}, {"bo": (12,)}, "bo is (12,); as b_o it must be (5,)."),
        ({"W_o": None}, {}, "b_o was given without W_o"),
        ({"W_k": "q", "W_v": "q", "W_o": None, "b_o": None}, {"q": (11, 5)}, "q has 11 outputs"),
    ],
)
def test_picks_that_do_not_fit(names, shapes, said):
    tensors = header(**(SHAPES | shapes))
    names = {name: tensor for name, tensor in (PICKS | names).items() if tensor}
    with pytest.raises(FileProblem) as caught:
        pick_layer(tensors, names, turned=True)
    assert said in str(caught.value)


def test_heads_that_are_not_there():
    data, tensors = packed()
    (layer,) = find_layers(tensors)
    with pytest.raises(FileProblem, match="cannot have 3 heads: W_q has 2 columns and W_k 2"):
        read_projections(data, tensors, layer, 3)
    for head in (-1, 2):
        with pytest.raises(FileProblem, match=f"no head {head}; the heads are 0 to 1"):
            read_projections(data, tensors, layer, 2, head)


def test_numbers_that_are_not_finite():
    data, tensors = packed()
    place = tensors["in_proj_weight"].start + 4 * (2 * 3 + 1)  # row 4, column 2: a key of head 1
    data = data[:place] + np.float32(np.nan).tobytes() + data[place + 4 :]
    (layer,) = find_layers(tensors)
    with pytest.raises(FileProblem, match="in_proj_weight has nan in row 4, column 2"):
        read_projections(data, tensors, layer, 2)
    with pytest.raises(FileProblem, match="in_proj_weight has nan in row 4, column 2"):
        read_projections(data, tensors, layer, 2, head=1)
    read_projections(data, tensors, layer, 2, head=0)  # does not read that row


def test_a_head_of_a_large_model_costs_little(tmp_path):
    """One layer of a 70-billion Llama, a sparse file of 336 MB: (8192, 8192) and grouped keys."""
    shapes = {"q": (8192, 8192), "k": (1024, 8192), "v": (1024, 8192), "o": (8192, 8192)}
    entries, end = {}, 0
    for name, (rows, columns) in shapes.items():
        start, end = end, end + 2 * rows * columns
        entries[f"layers.0.self_attn.{name}_proj.weight"] = {
            "dtype": "BF16",
            "shape": [rows, columns],
            "data_offsets": [start, end],
        }
    text = json.dumps(entries).encode()
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    with path.open("rb") as file:
        tracemalloc.start()
        try:
            tensors = safetensors_header(file)
            (layer,) = find_layers(tensors)
            p = read_projections(file, tensors, layer, 64, head=63)
            assert tracemalloc.get_traced_memory()[1] < 24e6  # the head itself is 16.8 MB
        finally:
            tracemalloc.stop()
        assert (p.W_q.shape, p.W_o.shape) == ((8192, 128), (128, 8192))
        for heads, head in ((64, None), (8, 0)):  # the whole layer, or too wide a head
            with pytest.raises(FileProblem, match="at most 16,000,000 are read at once. Take one"):
                read_projections(file, tensors, layer, heads, head)


def test_only_the_parts_needed_are_read():
    class Counting(io.BytesIO):
        read_bytes = 0

        def read(self, size=-1):
            data = super().read(size)
            self.read_bytes += len(data)
            return data

    data = model_file("bert").read_bytes()
    tensors = safetensors_header(data)
    file = Counting(data)
    layer = find_layers(tensors)[1]
    read_projections(file, tensors, layer, 3, head=2)
    d_k, D = 4, 12
    expected = 4 * (3 * d_k * D + 3 * d_k + D * D)  # of W_o the rows are spread over all columns
    assert file.read_bytes == expected
    assert not set(BIASES) - set(layer.parts)
