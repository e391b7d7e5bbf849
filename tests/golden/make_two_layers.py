"""Makes two_layers.npz: both layers' weights, the loss and its gradients by PyTorch's autograd.

pip install torch==2.13.0 && python tests/golden/make_two_layers.py
"""

from pathlib import Path

import numpy as np
import torch

B, T, D, D_K = 3, 5, 7, 4
rng = np.random.default_rng(17)
real = np.array([[True] * 5, [True] * 4 + [False], [True] * 3 + [False] * 2])
arrays = {
    "X": rng.normal(size=(B, T, D)),
    "real": real,
    "at": np.array([4, 3, 0]),
    "target": np.array([1, 0, 2]),
}
square = dict.fromkeys(("W_q1", "W_k1", "W_v1", "W_q2", "W_k2"), (D, D_K))
weights = {n: rng.normal(size=shape) / 2 for n, shape in (square | {"W_o1": (D_K, D)}).items()}

W = {name: torch.tensor(value, requires_grad=True) for name, value in weights.items()}
X, at, target = (torch.tensor(arrays[name]) for name in ("X", "at", "target"))
mask = torch.tensor(real)[:, None, :]


def attend(Q, K):
    scaled = Q @ K.transpose(1, 2) / D_K**0.5
    return torch.softmax(scaled.masked_fill(~mask, -torch.inf), -1)


A1 = attend(X @ W["W_q1"], X @ W["W_k1"])
Y = X + A1 @ (X @ W["W_v1"]) @ W["W_o1"]
A2 = attend(Y @ W["W_q2"], Y @ W["W_k2"])
loss = -A2[torch.arange(B), at, target].log().mean()
loss.backward()

np.savez(
    Path(__file__).with_name("two_layers.npz"),
    **arrays,
    **weights,
    **{f"d_{name}": tensor.grad.numpy() for name, tensor in W.items()},
    A1=A1.detach().numpy(),
    A2=A2.detach().numpy(),
    loss=loss.item(),
    versions=f"torch {torch.__version__}, numpy {np.__version__}",
)
