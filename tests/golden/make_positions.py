"""Make positions.npz: positions as Hugging Face Transformers computes them.

    pip install torch transformers numpy
    python tests/golden/make_positions.py

Sinusoidal from XLM, rotary from Llama (halves) and GPT-J (interleaved), ALiBi from BLOOM. The
versions used are stored in the file under `made_by`.
"""

from pathlib import Path

import numpy as np
import torch
import transformers
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.gptj import modeling_gptj as gptj
from transformers.models.llama import modeling_llama as llama
from transformers.models.xlm.modeling_xlm import create_sinusoidal_embeddings

B, H, T, d = 2, 3, 11, 14


def llama_rotary(x: torch.Tensor, positions: torch.Tensor, base: float) -> torch.Tensor:
    """Rotate x (B, H, T, d) as Llama does."""
    config = transformers.LlamaConfig(
        hidden_size=H * d,
        num_attention_heads=H,
        rope_parameters={"rope_type": "default", "rope_theta": base},
    )
    cos, sin = llama.LlamaRotaryEmbedding(config)(x, positions[None])
    return llama.apply_rotary_pos_emb(x, x, cos, sin)[0]


def gptj_rotary(x: torch.Tensor) -> torch.Tensor:
    """Rotate x (B, H, T, d) at positions 0 ... T - 1 as GPT-J does, on (B, T, H, d)."""
    sin, cos = gptj.create_sinusoidal_positions(T, d).chunk(2, dim=-1)
    rotated = gptj.apply_rotary_pos_emb(x.transpose(1, 2), sin[None], cos[None])
    return rotated.transpose(1, 2)


def main() -> None:
    """Compute and save."""
    x = torch.from_numpy(np.random.default_rng(7).standard_normal((B, H, T, d), dtype=np.float32))
    positions = torch.tensor([0, 1, 2, 3, 5, 7, 11, 100, 101, 500, 999])
    arrays = {"x": x, "positions": positions}
    for D in (2, 7, 50):
        arrays[f"sinusoidal_{D}"] = create_sinusoidal_embeddings(101, D, torch.zeros(101, D))
    arrays["halves"] = llama_rotary(x, torch.arange(T), 10000.0)
    arrays["halves_positions"] = llama_rotary(x, positions, 10000.0)
    arrays["halves_base"] = llama_rotary(x, torch.arange(T), 500000.0)
    arrays["interleaved"] = gptj_rotary(x)
    for heads in (1, 2, 3, 5, 6, 7, 8, 11, 12, 16, 112):
        alibi = build_alibi_tensor(torch.ones(1, T, dtype=torch.long), heads, torch.float32)
        arrays[f"alibi_{heads}"] = alibi[:, 0]  # (H, T): slope · j
    made_by = f"torch {torch.__version__}, transformers {transformers.__version__}"
    np.savez(
        Path(__file__).with_name("positions.npz"),
        made_by=made_by,
        **{name: np.asarray(array) for name, array in arrays.items()},
    )
    print(made_by)


if __name__ == "__main__":
    main()
