"""Make the golden files of test_checkpoints.py: a small random model of each family, saved by its
own framework, and the attention that the framework computes in each of its layers.

    pip install torch==2.13.0 transformers==5.23.0 timm==1.0.31 safetensors==0.8.0
    python tests/golden/make_checkpoints.py

Writes checkpoints/<family>.safetensors and checkpoints.npz: for each family and layer the input X
of the attention, the weights of every head and the output after W_o, caught in the model's own
forward pass in float32, and the number of heads. Llama rotates queries and keys by their position
after W_q and W_k; its rotation is set to the identity, so that the heads can be compared. The
versions stand in checkpoints.npz.
"""

from pathlib import Path

import numpy as np
import safetensors
import torch

# timm imports torchvision, which may have been built for another PyTorch. None of its operators is
# used here, but they must have names.
for operator in ("nms", "qnms"):
    torch.library.define(f"torchvision::{operator}", "(Tensor a, Tensor b, float c) -> Tensor")

import timm  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from timm.models.vision_transformer import VisionTransformer  # noqa: E402
from torch import nn  # noqa: E402
from transformers import (  # noqa: E402
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    LlamaConfig,
    LlamaModel,
)

HERE = Path(__file__).parent
T, D, H, F, LAYERS = 5, 12, 3, 2, 2
IDS = torch.tensor([[3, 1, 4, 1, 5]])
TEXT = {"vocab_size": 7, "attn_implementation": "eager"}


def randomise(model: nn.Module) -> nn.Module:
    """Draw every weight anew, large enough that no attention is flat, and switch dropout off."""
    generator = torch.Generator().manual_seed(2)
    for weight in model.parameters():
        weight.data = 0.5 * torch.randn(weight.shape, generator=generator)
    return model.eval()


def caught(module: nn.Module, seen: dict, name: str) -> None:
    """Keep what goes into and comes out of a module."""
    module.register_forward_hook(
        lambda _, given, result: seen.update({f"{name} in": given[0], f"{name} out": result})
    )


def trace(model, ids_or_image, layers, weights=None, **options) -> dict[str, torch.Tensor]:
    """Run the model; `layers` are pairs of the modules that make the queries and the output."""
    seen = {}
    for number, (first, last) in enumerate(layers):
        caught(first, seen, f"first {number}")
        caught(last, seen, f"last {number}")
        if weights:
            caught(weights[number], seen, f"weights {number}")
    result = model(ids_or_image, **options)
    attentions = [seen.get(f"weights {n} out") for n in range(len(layers))]
    if not weights:
        attentions = result.attentions
    return {
        f"{name}_{n}": array.detach()[0].float()
        for n in range(len(layers))
        for name, array in (
            ("X", seen[f"first {n} in"]),
            ("weights", attentions[n]),
            ("output", seen[f"last {n} out"]),
        )
    }


def bert() -> tuple[nn.Module, dict]:
    config = BertConfig(
        hidden_size=D,
        num_hidden_layers=LAYERS,
        num_attention_heads=H,
        intermediate_size=F,
        max_position_embeddings=T,
        **TEXT,
    )
    model = randomise(BertModel(config, add_pooling_layer=False))
    parts = [(x.attention.self.query, x.attention.output.dense) for x in model.encoder.layer]
    return model, trace(model, IDS, parts, output_attentions=True)


def gpt2() -> tuple[nn.Module, dict]:
    config = GPT2Config(n_embd=D, n_layer=LAYERS, n_head=H, n_inner=F, n_positions=T, **TEXT)
    model = rounded(randomise(GPT2Model(config)), torch.float16)
    parts = [(block.attn.c_attn, block.attn.c_proj) for block in model.h]
    return model, trace(model, IDS, parts, output_attentions=True)


def llama() -> tuple[nn.Module, dict]:
    config = LlamaConfig(
        hidden_size=D,
        num_hidden_layers=LAYERS,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=4,
        intermediate_size=F,
        **TEXT,
    )
    model = rounded(randomise(LlamaModel(config)), torch.bfloat16)
    model.rotary_emb.forward = lambda x, position_ids: (torch.ones(1, T, 4), torch.zeros(1, T, 4))
    parts = [(layer.self_attn.q_proj, layer.self_attn.o_proj) for layer in model.layers]
    return model, trace(model, IDS, parts, output_attentions=True)


def multihead() -> tuple[nn.Module, dict]:
    layer = nn.TransformerEncoderLayer(D, H, F, batch_first=True)
    model = randomise(nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False))
    traced = {}
    for n, layer in enumerate(model.layers):
        X = torch.randn(T, D, generator=torch.Generator().manual_seed(n))
        output, weights = layer.self_attn(X, X, X, average_attn_weights=False)
        for name, array in (("X", X), ("weights", weights), ("output", output)):
            traced[f"{name}_{n}"] = array.detach()
    return model, traced


def vit() -> tuple[nn.Module, dict]:
    model = VisionTransformer(
        img_size=(4, 6),
        patch_size=2,
        in_chans=1,
        embed_dim=D,
        depth=LAYERS,
        num_heads=H,
        mlp_ratio=F / D,
        num_classes=0,
    )
    randomise(model)
    for block in model.blocks:
        block.attn.fused_attn = False
    image = torch.randn(1, 1, 4, 6, generator=torch.Generator().manual_seed(3))
    parts = [(block.attn.qkv, block.attn.proj) for block in model.blocks]
    return model, trace(model, image, parts, [block.attn.attn_drop for block in model.blocks])


def rounded(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Keep the numbers that the type can hold, in float32; they are saved in that type."""
    model.to(dtype).float()
    model.saved_dtype = dtype
    return model


@torch.no_grad()
def main() -> None:
    golden = {}
    for make, heads in ((bert, H), (gpt2, H), (llama, 6), (multihead, H), (vit, H)):
        model, traced = make()
        family = make.__name__
        dtype = getattr(model, "saved_dtype", torch.float32)
        state = {name: tensor.to(dtype) for name, tensor in model.state_dict().items()}
        save_file(state, HERE / "checkpoints" / f"{family}.safetensors")
        golden |= {f"{family}_{name}": array.numpy() for name, array in traced.items()}
        golden[f"{family}_heads"] = np.array(heads)
    versions = " ".join(
        f"{module.__name__} {module.__version__}"
        for module in (torch, transformers, timm, safetensors, np)
    )
    np.savez_compressed(HERE / "checkpoints.npz", versions=np.array(versions), **golden)


if __name__ == "__main__":
    main()
