"""Train the tiny GPT on the little stories beside this file and write model.safetensors.

    pip install torch==2.13.0 safetensors
    python -m attention.data.tiny_gpt.train

Takes a few minutes on one core. PyTorch is needed here and nowhere else. The architecture is
GPT-2's (Radford et al. 2019), under GPT-2's published tensor names, so the app reads the result
as it reads any GPT-2.
"""

import json
import math
import random
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

from attention.data.tiny_gpt.stories import is_held_out, meals, owners, places, story, vocabulary
from attention.text import tokenize

HERE = Path(__file__).parent
END, UNKNOWN = "<end>", "<unknown>"
N_LAYER, N_HEAD, D, N_POSITIONS = 3, 4, 64, 64
STEPS, BATCH, RATE = 8000, 24, 3e-3
UNKNOWN_SHARE = 0.01  # of the words read in training
ANSWER_WEIGHT = 10  # an answer counts so often: few words can be known for sure, and these are


def initial_weights(n_words: int) -> dict[str, torch.Tensor]:
    """Draw the weights as GPT-2 does: normal, 0.02, and smaller where a residual is added to."""

    def normal(*shape, spread=0.02):
        return (torch.randn(*shape) * spread).requires_grad_()

    def full(value, *shape):
        return torch.full(shape, float(value), requires_grad=True)

    small = 0.02 / math.sqrt(2 * N_LAYER)
    weights = {"wte.weight": normal(n_words, D), "wpe.weight": normal(N_POSITIONS, D)}
    for layer in range(N_LAYER):
        weights |= {
            f"h.{layer}.ln_1.weight": full(1, D),
            f"h.{layer}.ln_1.bias": full(0, D),
            f"h.{layer}.attn.c_attn.weight": normal(D, 3 * D),
            f"h.{layer}.attn.c_attn.bias": full(0, 3 * D),
            f"h.{layer}.attn.c_proj.weight": normal(D, D, spread=small),
            f"h.{layer}.attn.c_proj.bias": full(0, D),
            f"h.{layer}.ln_2.weight": full(1, D),
            f"h.{layer}.ln_2.bias": full(0, D),
            f"h.{layer}.mlp.c_fc.weight": normal(D, 4 * D),
            f"h.{layer}.mlp.c_fc.bias": full(0, 4 * D),
            f"h.{layer}.mlp.c_proj.weight": normal(4 * D, D, spread=small),
            f"h.{layer}.mlp.c_proj.bias": full(0, D),
        }
    return weights | {"ln_f.weight": full(1, D), "ln_f.bias": full(0, D)}


def logits(ids: torch.Tensor, w: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the logits (B, T, words) of ids (B, T)."""
    B, T = ids.shape
    x = w["wte.weight"][ids] + w["wpe.weight"][:T]
    for layer in range(N_LAYER):
        p = f"h.{layer}."
        y = F.layer_norm(x, (D,), w[p + "ln_1.weight"], w[p + "ln_1.bias"])
        y = y @ w[p + "attn.c_attn.weight"] + w[p + "attn.c_attn.bias"]
        q, k, v = (part.view(B, T, N_HEAD, -1).transpose(1, 2) for part in y.split(D, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        y = y.transpose(1, 2).reshape(B, T, D)
        x = x + y @ w[p + "attn.c_proj.weight"] + w[p + "attn.c_proj.bias"]
        y = F.layer_norm(x, (D,), w[p + "ln_2.weight"], w[p + "ln_2.bias"])
        y = F.gelu(y @ w[p + "mlp.c_fc.weight"] + w[p + "mlp.c_fc.bias"], approximate="tanh")
        x = x + y @ w[p + "mlp.c_proj.weight"] + w[p + "mlp.c_proj.bias"]
    x = F.layer_norm(x, (D,), w["ln_f.weight"], w["ln_f.bias"])
    return x @ w["wte.weight"].T


def window(rng: random.Random, ids: dict[str, int]) -> list[int]:
    """Return N_POSITIONS + 1 word ids: stories one after the other, each ended by END."""
    row: list[int] = []
    while len(row) <= N_POSITIONS:
        row += [ids[word] for word in tokenize(story(rng)).words] + [ids[END]]
    return row[: N_POSITIONS + 1]


def before_answer(rows: torch.Tensor, ids: dict[str, int]) -> torch.Tensor:
    """Say where "? the" has just been read (B, T): the next word answers the question."""
    asked = F.pad(rows[:, :-1] == ids["?"], (1, 0))
    return (asked & (rows == ids["the"])).float()


def train(words: list[str]) -> dict[str, torch.Tensor]:
    """Run AdamW for STEPS steps, the rate falling along a cosine after a warm-up."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rng, ids = random.Random(0), {word: i for i, word in enumerate(words)}
    weights = initial_weights(len(words))
    matrices = [w for w in weights.values() if w.ndim == 2]
    vectors = [w for w in weights.values() if w.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98))
    start = time.perf_counter()
    for step in range(STEPS):
        rate = RATE * min(1, step / 200) * (0.5 + 0.5 * math.cos(math.pi * step / STEPS))
        for group in optimiser.param_groups:
            group["lr"] = rate
        rows = torch.tensor([window(rng, ids) for _ in range(BATCH)])
        read = torch.where(torch.rand(rows.shape) < UNKNOWN_SHARE, ids[UNKNOWN], rows)
        guess = logits(read[:, :-1], weights)
        losses = F.cross_entropy(guess.flatten(0, 1), rows[:, 1:].flatten(), reduction="none")
        counts = 1 + (ANSWER_WEIGHT - 1) * before_answer(rows[:, :-1], ids).flatten()
        loss = (losses * counts).sum() / counts.sum()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(matrices + vectors, 1.0)
        optimiser.step()
        if step % 500 == 0 or step == STEPS - 1:
            seconds = time.perf_counter() - start
            right = answers_right(words, weights, held_out=False, n=100)
            print(
                f"step {step:5d}  loss {loss:.3f}  right {right:.2f}  {seconds:5.0f} s", flush=True
            )
    return {name: w.detach() for name, w in weights.items()}


@torch.no_grad()
def answers_right(words: list[str], weights, held_out: bool, n: int = 600) -> float:
    """Return the share of questions whose answer is the likeliest next word.

    `held_out` asks only for pairs that training never asked for.
    """
    rng, ids = random.Random("test"), {word: i for i, word in enumerate(words)}
    right = asked = 0
    while asked < n:
        kind = rng.choice((meals, places, owners))
        text = kind(rng)
        facts = [line.strip().split() for line in text.split("?")[0].split(".")[:-1]]
        first, second = rng.choice([(fact[1], fact[-1]) for fact in facts])
        if is_held_out(first, second) != held_out:
            continue
        asked += 1
        told = " ".join(" ".join(fact) + "." for fact in facts)
        verb = {meals: "ate", places: "is in", owners: "has"}[kind]
        prompt = f"{told} who {verb} the {second}? the"
        row = torch.tensor([[ids[word] for word in tokenize(prompt).words]])
        right += int(logits(row, weights)[0, -1].argmax()) == ids[first]
    return right / n


def main() -> None:
    """Train, measure what the rounded weights can do, and write the three files."""
    words = [UNKNOWN, END, *vocabulary()]
    weights = train(words)
    stored = {name: w.numpy().astype(np.float16) for name, w in weights.items()}
    rounded = {name: torch.tensor(w.astype(np.float32)) for name, w in stored.items()}
    rng, ids = random.Random("test"), {word: i for i, word in enumerate(words)}
    rows = torch.tensor([window(rng, ids) for _ in range(256)])
    for name, model in (("float32", weights), ("float16", rounded)):
        loss = F.cross_entropy(logits(rows[:, :-1], model).flatten(0, 1), rows[:, 1:].flatten())
        known, new = (answers_right(words, model, held_out) for held_out in (False, True))
        print(f"{name}: loss {loss:.4f}; answers right: {known:.3f}, pairs never asked: {new:.3f}")
    (HERE / "words.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    config = {
        "model_type": "gpt2",
        "name": "tiny GPT",
        "trained_on": f"our own little stories, which have {len(words) - 2} different words",
        "vocab_size": len(words),
        "n_positions": N_POSITIONS,
        "n_embd": D,
        "n_layer": N_LAYER,
        "n_head": N_HEAD,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "eos_token_id": words.index(END),
    }
    (HERE / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    save_file(stored, HERE / "model.safetensors")
    print(f"{len(words)} words, {sum(w.size for w in stored.values()):,} numbers")


if __name__ == "__main__":
    sys.exit(main())
