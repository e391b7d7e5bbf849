"""Make tests/golden/block.npz: PyTorch's Transformer encoder layer, norm first and last.

Run from the project's root, with PyTorch installed: python tests/golden/make_block.py
"""

import itertools
from pathlib import Path

import numpy as np
import torch

T, D, H, F = 5, 6, 3, 11
LAYERS = 2


def main() -> None:
    golden = {"versions": np.array(f"torch {torch.__version__}, numpy {np.__version__}")}
    dtypes = (torch.float32, torch.float64)
    for dtype, norm_first, activation in itertools.product(dtypes, (True, False), ("relu", "gelu")):
        torch.manual_seed(13)
        X = 2 * torch.randn(T, D, dtype=dtype)
        arrays = {"X": X}
        causal, output = X, X
        never = torch.ones(T, T, dtype=torch.bool).triu(1)  # True = may not attend
        for index in range(LAYERS):
            layer = torch.nn.TransformerEncoderLayer(
                D, H, F, activation=activation, norm_first=norm_first, batch_first=True, dtype=dtype
            ).eval()
            for name, parameter in layer.named_parameters():
                if parameter.ndim == 1:  # gains and biases that are all 1 or 0 would hide mistakes
                    parameter.data.add_(0.3 * torch.randn_like(parameter))
                arrays[f"{index}/{name}"] = parameter
            output = layer(output[None])[0]
            causal = layer(causal[None], src_mask=never)[0]
            arrays[f"{index}/output"], arrays[f"{index}/causal"] = output, causal
        case = f"{str(dtype).removeprefix('torch.')}/{norm_first}/{activation}"
        golden |= {f"{case}/{name}": array.detach().numpy() for name, array in arrays.items()}
    np.savez_compressed(Path(__file__).with_name("block.npz"), **golden)


if __name__ == "__main__":
    main()
