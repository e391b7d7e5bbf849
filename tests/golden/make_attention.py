"""Make attention.npz: what PyTorch computes for the inputs stored beside its answers.

    python tests/golden/make_attention.py

needs `torch` (2.13.0 made the file in this directory; the versions are stored in it). Every case is
computed in float64 and, from the same inputs rounded, in float32. Names in the file:
inputs `Q`, `K`, ...; answers `<case>.<stage>.<type>`, e.g. `causal.output.float32`.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

B, H, H_KV, T, S, D_K, D_V = 2, 6, 3, 7, 11, 5, 3
EMBED, HEADS = 15, 3
TYPES = {"float32": torch.float32, "float64": torch.float64}


def draw_inputs() -> dict[str, np.ndarray]:
    rng = np.random.RandomState(20240607)
    inputs = {
        "Q": rng.standard_normal((B, H, T, D_K)),
        "K": rng.standard_normal((B, H, S, D_K)),
        "V": rng.standard_normal((B, H, S, D_V)),
        "K_few": rng.standard_normal((B, H_KV, S, D_K)),
        "V_few": rng.standard_normal((B, H_KV, S, D_V)),
        "bool_mask": rng.random_sample((B, 1, T, S)) < 0.6,
        "float_mask": rng.standard_normal((H, T, S)),
        "X": rng.standard_normal((B, T, EMBED)),
        "W_in": rng.standard_normal((3 * EMBED, EMBED)) * 1.5 / EMBED**0.5,
        "b_in": rng.standard_normal(3 * EMBED) / 2,
        "W_out": rng.standard_normal((EMBED, EMBED)) / EMBED**0.5,
        "b_out": rng.standard_normal(EMBED) / 2,
        "token_mask": rng.random_sample((T, T)) < 0.6,
        "token_bias": rng.standard_normal((T, T)),
    }
    inputs["bool_mask"][0, 0, 2] = False  # a query with nothing to attend to
    inputs["float_mask"][:, :, 4] = -np.inf
    inputs["token_mask"] |= np.eye(T, dtype=bool)  # nn.MultiheadAttention has no such query
    return inputs


def dot_product_cases(x: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    Q, K, V, few = x["Q"], x["K"], x["V"], (x["K_few"], x["V_few"])
    attend = F.scaled_dot_product_attention
    return {
        "plain": attend(Q, K, V),
        "bool_mask": attend(Q, K, V, attn_mask=x["bool_mask"]),
        "float_mask": attend(Q, K, V, attn_mask=x["float_mask"]),
        "causal": attend(Q, K, V, is_causal=True),
        "causal_more_queries": attend(K, Q, V[..., :T, :], is_causal=True),
        "scale": attend(Q, K, V, scale=0.3),
        "grouped": attend(Q, *few, enable_gqa=True),
        "grouped_bool_mask": attend(Q, *few, attn_mask=x["bool_mask"], enable_gqa=True),
        "grouped_causal_scale": attend(Q, *few, is_causal=True, scale=-0.7, enable_gqa=True),
        "two_axes": attend(Q[1, 2], K[1, 2], V[1, 2]),
    }


def multi_head_cases(x: dict[str, torch.Tensor]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    layer = torch.nn.MultiheadAttention(EMBED, HEADS, batch_first=True, dtype=x["X"].dtype)
    layer.eval()
    layer.in_proj_weight.copy_(x["W_in"])
    layer.in_proj_bias.copy_(x["b_in"])
    layer.out_proj.weight.copy_(x["W_out"])
    layer.out_proj.bias.copy_(x["b_out"])
    masks = {
        "mha": None,
        "mha_bool_mask": ~x["token_mask"],  # there, True = may not attend
        "mha_float_mask": x["token_bias"],
        "mha_causal": torch.ones(T, T, dtype=torch.bool).triu(1),
    }
    X = x["X"]
    return {
        case: layer(X, X, X, attn_mask=mask, need_weights=True, average_attn_weights=False)
        for case, mask in masks.items()
    }


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(1)
    inputs = draw_inputs()
    answers = {}
    for name, dtype in TYPES.items():
        x = {key: torch.from_numpy(array) for key, array in inputs.items()}
        x = {key: t.to(dtype) if t.is_floating_point() else t for key, t in x.items()}
        for case, output in dot_product_cases(x).items():
            answers[f"{case}.output.{name}"] = output.numpy()
        for case, (output, weights) in multi_head_cases(x).items():
            answers[f"{case}.output.{name}"] = output.numpy()
            answers[f"{case}.weights.{name}"] = weights.numpy()
    versions = np.array([f"torch {torch.__version__}", f"numpy {np.__version__}"])
    path = Path(__file__).with_name("attention.npz")
    np.savez_compressed(path, versions=versions, **inputs, **answers)
    print(f"{path.name}: {path.stat().st_size} bytes, {len(answers)} answers, {list(versions)}")


if __name__ == "__main__":
    main()
