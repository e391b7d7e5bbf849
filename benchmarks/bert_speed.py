"""How fast MiniLM is in NumPy, against PyTorch eager with one thread each.

    pip install torch                  # and, for one more column, transformers
    python benchmarks/bert_speed.py [--rounds 60] [--processor-time]

From token ids to hidden states and all attention weights. Each line times every contender once a
round, in random order, and prints the median of the rounds' ratios: our time divided by theirs, so
below 1 ours is faster. "ops" is a forward pass written in PyTorch's functions and nothing else;
"Transformers" is `BertModel` with `attn_implementation="eager"`. With `--processor-time` the time
that a round waits for other programs is left out, for a machine that has other work. Without
PyTorch only our own times are printed.
"""

import argparse
import math
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from attention.bert import encode, load_bert
from attention.encoder import Bert, embed, one_blas_thread, run

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    torch = None
try:
    import transformers
except ImportError:
    transformers = None

LENGTHS = (8, 16, 32, 64, 128, 256)


def ours(ids: list[int], model: Bert) -> Callable:
    return lambda: run(embed(ids, model).normed, model, None)


def torch_ops(ids: list[int], model: Bert) -> Callable:
    """A BERT in PyTorch's functions, with our weights."""
    e, (D, H) = model.embeddings, (model.d_model, model.n_heads)
    ids = torch.tensor([ids])
    words, positions, segment, gain, bias = (
        torch.from_numpy(np.array(a, np.float32))
        for a in (e.words, e.positions, e.segment, e.gain, e.bias)
    )
    layers = [torch_weights(layer) for layer in model.layers]
    T = ids.shape[1]

    def forward():
        with torch.inference_mode():
            x = F.embedding(ids, words) + positions[:T] + segment
            x = F.layer_norm(x, (D,), gain, bias, e.eps)
            weights = []
            for w in layers:
                q, k, v = (
                    F.linear(x, w[f"W_{n}"], w[f"b_{n}"]).view(1, T, H, D // H).transpose(1, 2)
                    for n in "qkv"
                )
                a = F.softmax(q @ k.transpose(-1, -2) / math.sqrt(D // H), dim=-1)
                weights.append(a)
                heads = (a @ v).transpose(1, 2).reshape(1, T, D)
                x = x + F.linear(heads, w["W_o"], w["b_o"])
                x = F.layer_norm(x, (D,), w["gain_1"], w["bias_1"], w["eps"])
                inner = F.gelu(F.linear(x, w["W_in"], w["b_in"]))
                x = x + F.linear(inner, w["W_out"], w["b_out"])
                x = F.layer_norm(x, (D,), w["gain_2"], w["bias_2"], w["eps"])
            return x[0], torch.cat(weights)

    return forward


def torch_weights(layer) -> dict:
    """A layer's weights as `torch.nn.functional` takes them."""
    w, a = layer.weights, layer.weights.attention
    arrays = {f"{kind}_{part}": getattr(a, f"{kind}_{part}") for kind in "Wb" for part in "qkvo"}
    names = ("W_in", "b_in", "W_out", "b_out", "gain_1", "bias_1", "gain_2", "bias_2")
    arrays |= {name: getattr(w, name) for name in names}
    tensors = {n: torch.from_numpy(np.array(a.T, order="C")) for n, a in arrays.items()}
    return tensors | {"eps": w.eps}


def transformers_eager(ids: list[int], model: Bert) -> Callable:
    """Transformers' `BertModel` in the same sizes; its weights are random, which costs the same."""
    F_, V = model.layers[0].weights.d_ff, len(model.embeddings.words)
    config = transformers.BertConfig(
        vocab_size=V,
        hidden_size=model.d_model,
        num_hidden_layers=len(model.layers),
        num_attention_heads=model.n_heads,
        intermediate_size=F_,
        attn_implementation="eager",
    )
    bert = transformers.BertModel(config, add_pooling_layer=False).eval()
    ids = torch.tensor([ids])

    def forward():
        with torch.inference_mode():
            return bert(input_ids=ids, output_attentions=True)

    return forward


def compare(T: int, model: Bert, rounds: int, clock: Callable) -> None:
    """Print one line: our time at T tokens, and its ratio to each other contender's."""
    ids = np.random.RandomState(T).randint(1000, 20000, T).tolist()
    contenders = {"ours": ours(ids, model)}
    if torch is not None:
        contenders["ops"] = torch_ops(ids, model)
        difference = agreement(contenders["ours"](), contenders["ops"]())
    if transformers is not None and torch is not None:
        contenders["Transformers"] = transformers_eager(ids, model)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for name in contenders:
        contenders[name]()
    for _ in range(rounds):
        for name in random.sample(list(contenders), len(contenders)):
            start = clock()
            contenders[name]()
            times[name].append(clock() - start)
    line = f"{T:4} tokens: {statistics.median(times['ours']) * 1000:7.2f} ms"
    for name in list(contenders)[1:]:
        ratios = [a / b for a, b in zip(times["ours"], times[name], strict=True)]
        line += f"   ÷ {name}: {statistics.median(ratios):.2f}"
    if torch is not None:
        line += f"   (differs by {difference:.0e})"
    print(line, flush=True)


def agreement(a, b) -> float:
    """Return the largest difference of hidden states and weights, so that like is compared."""
    (inputs, weights), (x, torch_weights) = a, b
    hidden = np.abs(inputs[-1] - x.numpy()).max()
    return max(float(hidden), float(np.abs(weights - torch_weights.numpy()).max()))


START = """
import time
start = time.perf_counter()
import numpy
def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1000
before = resident()
from attention.bert import encode, load_bert
model = load_bert("bundled")
loaded = time.perf_counter()
encode("The cat sat on the mat. It is eating now.", model)
first = time.perf_counter()
print(f"imported and loaded in {loaded - start:.2f} s, first sentence {first - loaded:.3f} s later")
print(f"memory: {resident() - before:.0f} MB beyond NumPy alone, {resident():.0f} MB in all")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--processor-time", action="store_true")
    options = parser.parse_args()
    clock = time.thread_time if options.processor_time else time.perf_counter

    root = str(Path(__file__).parents[1])
    if Path("/proc/self/status").exists():
        subprocess.run([sys.executable, "-c", START], env={"PYTHONPATH": root}, check=True)
    model = load_bert("bundled")
    sentence = "The old grey cat sat on the mat. It is eating now."
    encode(sentence, model)
    times = []
    for _ in range(options.rounds):
        start = clock()
        encode(sentence, model)
        times.append(clock() - start)
    print(
        f"a sentence of 16 word pieces, cut and encoded: {statistics.median(times) * 1000:.1f} ms"
    )
    if torch is not None:
        torch.set_num_threads(1)
        print(f"NumPy {np.__version__}, PyTorch {torch.__version__}, one thread each")
    with one_blas_thread:
        for T in LENGTHS:
            compare(T, model, options.rounds, clock)


if __name__ == "__main__":
    main()
