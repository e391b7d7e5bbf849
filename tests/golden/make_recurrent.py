"""Make tests/golden/recurrent.npz: PyTorch's recurrent networks and their derivatives.

Run from the project's root, with PyTorch installed: python tests/golden/make_recurrent.py
"""

from pathlib import Path

import numpy as np
import torch
from torch.autograd.functional import jacobian

T, D, N = 7, 5, 3
LONG = 61
AT = 4  # a state in the middle, beside the last
HEADS, KV_HEADS, D_K, D_V = 4, 2, 3, 11

MODULES = {
    "RNN": lambda: torch.nn.RNN(D, N),
    "RNN relu": lambda: torch.nn.RNN(D, N, nonlinearity="relu"),
    "LSTM": lambda: torch.nn.LSTM(D, N),
    "GRU": lambda: torch.nn.GRU(D, N),
}
TORCH_NAMES = {
    "W_ih": "weight_ih_l0",
    "W_hh": "weight_hh_l0",
    "b_ih": "bias_ih_l0",
    "b_hh": "bias_hh_l0",
}


def recurrent_case(name: str, dtype: torch.dtype) -> dict[str, np.ndarray]:
    torch.manual_seed(11)
    module = MODULES[name]().to(dtype)
    X = 2 * torch.randn(T, D, dtype=dtype)
    X_long = torch.randn(LONG, D, dtype=dtype)
    arrays = {ours: getattr(module, theirs) for ours, theirs in TORCH_NAMES.items()}
    arrays |= {"X": X, "X_long": X_long, "hidden": module(X)[0]}
    if name == "LSTM":  # the module only returns the last cell state, so feed it ever more words
        arrays["cell"] = torch.stack([module(X[: t + 1])[1][1][0] for t in range(T)])
    for key, inputs, at in (("J", X, -1), ("J_at", X, AT), ("J_long", X_long, -1)):
        derivative = jacobian(lambda inputs, at=at: module(inputs)[0][at], inputs)  # (N, T, D)
        arrays[key] = derivative.swapaxes(0, 1)
    return {key: array.detach().numpy() for key, array in arrays.items()}


def attention_case(dtype: torch.dtype) -> dict[str, np.ndarray]:
    torch.manual_seed(12)
    shapes = {"q": (HEADS, D_K), "k": (KV_HEADS, D_K), "v": (KV_HEADS, D_V)}
    X = torch.randn(T, D, dtype=dtype)
    W = {name: torch.randn(D, H * d, dtype=dtype) / D**0.5 for name, (H, d) in shapes.items()}
    b = {name: torch.randn(H * d, dtype=dtype) for name, (H, d) in shapes.items()}

    def heads(X, is_causal):
        Q, K, V = (
            (X @ W[name] + b[name]).reshape(T, H, d).transpose(0, 1)
            for name, (H, d) in shapes.items()
        )
        return torch.nn.functional.scaled_dot_product_attention(
            Q[None], K[None], V[None], is_causal=is_causal, enable_gqa=True
        )[0]  # (H, T, d_v)

    arrays = {"X": X, "output": heads(X, False)}
    arrays |= {f"W_{name}": array for name, array in W.items()}
    arrays |= {f"b_{name}": array for name, array in b.items()}
    for key, is_causal in (("J", False), ("J_causal", True)):
        derivative = jacobian(lambda X, c=is_causal: heads(X, c)[:, AT], X)  # (H, d_v, T, D)
        arrays[key] = derivative.swapaxes(1, 2)  # (H, T, d_v, D)
    return {key: array.numpy() for key, array in arrays.items()}


def main() -> None:
    golden = {"versions": np.array(f"torch {torch.__version__}, numpy {np.__version__}")}
    for dtype in (torch.float32, torch.float64):
        precision = str(dtype).removeprefix("torch.")
        cases = {name: recurrent_case(name, dtype) for name in MODULES}
        cases["attention"] = attention_case(dtype)
        for name, arrays in cases.items():
            golden |= {f"{name}/{precision}/{key}": array for key, array in arrays.items()}
    np.savez_compressed(Path(__file__).with_name("recurrent.npz"), **golden)


if __name__ == "__main__":
    main()
