"""Makes training.npz: the training loss and its gradients by PyTorch's autograd.

pip install torch==2.13.0 && python tests/golden/make_training.py
"""

from pathlib import Path

import numpy as np
import torch

B, T, D, D_K, M = 2, 5, 7, 3, 4
LOOKING = 3.0
rng = np.random.default_rng(11)
target = rng.integers(0, 3, (B, T))  # within both sentences
real = np.array([[True] * 5, [True] * 3 + [False] * 2])
counts = np.where(real, rng.uniform(0.5, 2.0, (B, T)), 0.0)
counts /= counts.sum()
arrays = {
    "X": rng.normal(size=(B, T, D)),
    "target": target,
    "named": rng.integers(0, M, (B, T)),
    "candidates": rng.normal(size=(M, D)),
    "counts": counts,
    "real": real,
}
shapes = {"W_q": (D, D_K), "W_k": (D, D_K), "W_v": (D, D_K), "W_o": (D_K, D)}
weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}

W = {name: torch.tensor(value, requires_grad=True) for name, value in weights.items()}
X, C = torch.tensor(arrays["X"], requires_grad=True), torch.tensor(arrays["candidates"])
mask = torch.tensor(real)[:, None, :]
scaled = (X @ W["W_q"]) @ (X @ W["W_k"]).transpose(1, 2) / D_K**0.5
A = torch.softmax(scaled.masked_fill(~mask, -torch.inf), -1)
logits = (A @ (X @ W["W_v"])) @ W["W_o"] @ C.T
naming = torch.nn.functional.cross_entropy(
    logits.reshape(-1, M), torch.tensor(arrays["named"]).reshape(-1), reduction="none"
).reshape(B, T)
looked = A.gather(-1, torch.tensor(target)[..., None])[..., 0]
loss = (torch.tensor(counts) * (naming + LOOKING * (1 - looked))).sum()
loss.backward()

np.savez(
    Path(__file__).with_name("training.npz"),
    **arrays,
    **weights,
    **{f"d_{name}": tensor.grad.numpy() for name, tensor in W.items()},
    d_X=X.grad.numpy(),
    loss=loss.item(),
    looking=LOOKING,
    versions=f"torch {torch.__version__}, numpy {np.__version__}",
)
