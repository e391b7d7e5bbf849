"""How fast the attention functions are, against a textbook and, if installed, PyTorch.

    python benchmarks/attention_speed.py [--threads 1] [--seconds 1] [--memory]

Each line times every contender once a round, in random order, and prints the median of the rounds'
ratios: the other's time divided by ours, so above 1 ours is faster. Other work on the machine then
slows all contenders alike, and nobody always inherits the memory another has just given back.
More than one thread needs a machine with nothing else to do. `--memory` measures the peak memory
at 8,192 tokens instead.
"""

import argparse
import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[1]))

from attention.dot_product import memory_efficient_attention, scaled_dot_product_attention
from attention.multi_head import multi_head_attention
from attention.projections import random_projections

try:
    import torch
except ImportError:
    torch = None

SIZES = [(12, 8, 1), (8, 16, 1), (64, 64, 8), (128, 768, 12), (1024, 64, 8), (1024, 768, 12)]


def textbook(Q: np.ndarray, K: np.ndarray, V: np.ndarray) -> tuple[np.ndarray, ...]:
    """Attention as tutorials write it."""
    scores = np.einsum("hid,hjd->hij", Q, K)
    scaled = scores / np.sqrt(np.float32(Q.shape[-1]))
    terms = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    weights = terms / terms.sum(axis=-1, keepdims=True)
    return scores, scaled, weights, np.einsum("hij,hjd->hid", weights, V)


def torch_eager(Q, K, V):
    scores = Q @ K.transpose(-1, -2)
    scaled = scores / Q.shape[-1] ** 0.5
    weights = torch.softmax(scaled, dim=-1)
    return scores, scaled, weights, weights @ V


def contenders(n: int, d: int, n_heads: int) -> dict[str, dict[str, Callable]]:
    """Return, for each comparison, ours and the others, ready to be called without arguments."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d)).astype(np.float32)
    p = random_projections(d, d // n_heads, n_heads=n_heads, with_output=True)
    trace = multi_head_attention(X, p)
    Q, K, V = (np.array(x) for x in (trace.Q, trace.K, trace.V))  # (H, n, d / H)
    races = {
        "full trace": {
            "ours": lambda: scaled_dot_product_attention(Q, K, V),
            "textbook": lambda: textbook(Q, K, V),
        },
        "multi-head": {"ours": lambda: multi_head_attention(X, p)},
        "output only": {
            "ours": lambda: memory_efficient_attention(Q, K, V),
            "full trace": lambda: scaled_dot_product_attention(Q, K, V),
        },
    }
    if torch is not None:
        q, k, v = (torch.from_numpy(x) for x in (Q, K, V))
        attend = torch.nn.functional.scaled_dot_product_attention
        layer = torch.nn.MultiheadAttention(d, n_heads, bias=False, batch_first=True).eval()
        x = torch.from_numpy(X)[None]
        per_head = {"need_weights": True, "average_attn_weights": False}
        races["full trace"]["PyTorch"] = lambda: torch_eager(q, k, v)
        races["multi-head"]["PyTorch"] = lambda: layer(x, x, x, **per_head)
        races["output only"]["PyTorch"] = lambda: attend(q[None], k[None], v[None])
    return races


def race(runners: dict[str, Callable], seconds: float) -> dict[str, float]:
    """Return each one's median time in seconds and, as `<other>/ours`, the median of the ratios."""
    times = {name: [] for name in runners}
    for run in runners.values():
        run()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times["ours"]) < 5:
        for name in random.sample(list(runners), len(runners)):
            start = time.perf_counter()
            result = runners[name]()
            times[name].append(time.perf_counter() - start)
            del result
    ours = times.pop("ours")
    ratios = {
        f"{name}/ours": statistics.median(t / o for t, o in zip(other, ours, strict=True))
        for name, other in times.items()
    }
    return {"ours": statistics.median(ours)} | ratios


def print_speed(seconds: float) -> None:
    for n, d, n_heads in SIZES:
        for name, runners in contenders(n, d, n_heads).items():
            result = race(runners, seconds)
            ours = result.pop("ours")
            ratios = "   ".join(f"{key} {ratio:5.2f}" for key, ratio in result.items())
            print(f"n={n:<5} d={d:<4} H={n_heads:<3} {name:<12} {ours * 1e6:>9.0f} µs   {ratios}")


def print_memory(n: int = 8192, d: int = 768, n_heads: int = 12) -> None:
    rng = np.random.default_rng(0)
    shape = (n_heads, n, d // n_heads)
    Q, K, V = (rng.standard_normal(shape).astype(np.float32) for _ in range(3))
    mask = rng.standard_normal(n).astype(np.float32)
    for rules in ({}, {"is_causal": True}, {"mask": mask}, {"window": (128, 128)}):
        tracemalloc.start()
        start = time.perf_counter()
        memory_efficient_attention(Q, K, V, **rules)
        seconds = time.perf_counter() - start
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(
            f"n={n} d={d} H={n_heads} {', '.join(rules) or 'no mask':<10} {seconds:5.1f} s   "
            f"peak {peak / 2**20:.0f} MiB, output included, beside {3 * Q.nbytes / 2**20:.0f} MiB "
            f"of Q, K, V; all scores would be {n_heads * n * n * 4 / 2**20:.0f} MiB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="for BLAS and PyTorch (1)")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each line (1)")
    parser.add_argument("--memory", action="store_true", help="measure memory, not time")
    options = parser.parse_args()
    with threadpool_limits(options.threads):
        if torch is not None:
            torch.set_num_threads(options.threads)
            torch.set_grad_enabled(False)
        print_memory() if options.memory else print_speed(options.seconds)


if __name__ == "__main__":
    main()
