"""From the tensors of a model's file to the `Projections` of one of its layers, or of one head.

    with open("model.safetensors", "rb") as file:
        tensors = safetensors_header(file)          # names, shapes, places: nothing else is read
        layers = find_layers(tensors)               # those whose names and shapes are known
        heads = likely_heads(layers[3])             # a guess: heads leave no trace in the shapes
        head = read_projections(file, tensors, layers[3], heads, head=1)

Every framework stores the same four matrices in its own way: one tensor each or packed into one,
inputs by outputs or, as `nn.Linear` does, transposed. `find_layers` knows the families below by
their names and checks the shapes; for any other file `pick_layer` takes the names from a person.
What comes out acts on rows, Q = X @ W_q. (Matrices in another format can be given to
`write_matrices(".safetensors", ...)` first.) Layers and heads count from 0.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import BinaryIO, NamedTuple

import numpy as np

from attention.files import FileProblem, Tensor, read_tensor
from attention.projections import Projections

MAX_LAYER_ELEMENTS = 16_000_000  # of one layer's four matrices: 64 MB in float32
MAX_CONFIG_BYTES = 100_000  # of a config.json

PRE_NORM = "The layer normalises its input first: X is the output of that layer norm."
ROTARY = "The model then rotates queries and keys by their position; W_q and W_k come before that."
QK_NORM = "The model then normalises queries and keys; W_q and W_k come before that."


class Family(NamedTuple):
    """How one kind of model names the tensors of a layer, after the layer's own prefix."""

    name: str
    qkv: tuple[str, ...]  # three names, or the one that packs q, k and v in this order
    out: str
    turned: bool = True  # stored (outputs, inputs), as nn.Linear does
    notes: tuple[str, ...] = ()


def _three(pattern: str, *words: str) -> tuple[str, ...]:
    return tuple(pattern.format(word) for word in words)


FAMILIES = (
    Family("BERT", _three("attention.self.{}", "query", "key", "value"), "attention.output.dense"),
    Family("DistilBERT", _three("attention.{}_lin", *"qkv"), "attention.out_lin"),
    Family(
        "ViT of Transformers",
        _three("attention.attention.{}", "query", "key", "value"),
        "attention.output.dense",
        notes=(PRE_NORM,),
    ),
    Family(
        "Llama",
        _three("self_attn.{}_proj", *"qkv"),
        "self_attn.o_proj",
        notes=(PRE_NORM, ROTARY),
    ),
    Family("BART, OPT or CLIP", _three("self_attn.{}_proj", *"qkv"), "self_attn.out_proj"),
    Family("nn.MultiheadAttention", ("in_proj",), "out_proj"),
    Family("GPT-2", ("attn.c_attn",), "attn.c_proj", turned=False, notes=(PRE_NORM,)),
    Family("timm ViT", ("attn.qkv",), "attn.proj", notes=(PRE_NORM,)),
)
PICKED = "picked by hand"
MATRICES = ("W_q", "W_k", "W_v", "W_o")
BIASES = ("b_q", "b_k", "b_v", "b_o")


class Part(NamedTuple):
    """Where one matrix or bias stands: the outputs start:stop of a tensor (of W_o: the inputs)."""

    tensor: str
    start: int
    stop: int
    turned: bool  # the tensor is (outputs, inputs)

    @property
    def width(self) -> int:
        """H·d_k, H_kv·d_k, H_kv·d_v or, of W_o, H·d_v."""
        return self.stop - self.start


@dataclass(frozen=True)
class AttentionLayer:
    """One attention layer of a file: where its matrices stand. Nothing of it has been read."""

    name: str  # the prefix of its tensors, such as "encoder.layer.3"
    family: str
    d_model: int
    parts: Mapping[str, Part]  # by the names of `Projections`: W_q, W_k, W_v, perhaps W_o, b_q, ...
    head_width: int | None = None  # d_k, where a tensor of the layer tells it
    notes: tuple[str, ...] = ()  # what the model does besides, in sentences


def find_layers(tensors: Mapping[str, Tensor]) -> tuple[AttentionLayer, ...]:
    """Return the attention layers whose names and shapes are known, in the model's order.

    `tensors` is what `safetensors_header` returns. Recognised are BERT (and RoBERTa, ELECTRA,
    MiniLM), DistilBERT, ViT, Llama (and Mistral, Qwen, SmolLM), BART, OPT, CLIP,
    `nn.MultiheadAttention`, GPT-2 (and nanoGPT, which turns the matrices) and timm's ViT. Empty
    for a file of another layout.
    """
    found: dict[str, AttentionLayer] = {}
    for tensor in tensors:
        for family in FAMILIES:
            ending = _weight(family.qkv[0])
            if tensor == ending or tensor.endswith("." + ending):
                prefix = tensor[: -len(ending)]
                layer = _recognise(prefix, family, tensors)
                if layer:
                    found[prefix] = layer
    return tuple(found[prefix] for prefix in sorted(found, key=_natural))


def pick_layer(
    tensors: Mapping[str, Tensor], names: Mapping[str, str], *, turned: bool
) -> AttentionLayer:
    """Build a layer from the names of its tensors, for a file of an unknown layout.

    `names` maps W_q, W_k and W_v, and where there are such W_o, b_q, b_k, b_v and b_o, to names in
    `tensors`. One name for W_q, W_k and W_v means that they are packed in this order. `turned` is
    True where the matrices are stored (outputs, inputs), as by `nn.Linear`. Raises FileProblem
    where a name is missing or shapes do not fit, saying which.
    """
    return _layer("", PICKED, tensors, names, turned)


def possible_heads(layer: AttentionLayer) -> tuple[int, ...]:
    """Return the numbers of query heads that the layer's shapes allow, smallest first."""
    q, k, v = (layer.parts[name].width for name in ("W_q", "W_k", "W_v"))
    divisors = {d for n in range(1, math.isqrt(k) + 1) if k % n == 0 for d in (n, k // n)}
    widths = [d for d in sorted(divisors) if v % (k // d) == 0]  # q is a multiple of k
    if layer.head_width in widths:
        widths = [layer.head_width]
    return tuple(q // d for d in reversed(widths))


def likely_heads(layer: AttentionLayer) -> int:
    """Guess the number of query heads: a person, or the model's config.json, must confirm it.

    Where no tensor tells d_k, heads are usually 64 wide; 32 in MiniLM, 128 in large Llamas.
    """
    q = layer.parts["W_q"].width
    usual = 64
    if layer.family == "BERT" and layer.d_model == 384:
        usual = 32
    if layer.family == "Llama" and q >= 3072:
        usual = 128
    possible = possible_heads(layer)
    return next((heads for heads in possible if q // heads <= usual), possible[-1])


def heads_in_config(data: bytes) -> int:
    """Return the number of query heads from the bytes of a model's config.json.

    Raises FileProblem if it is no JSON object or names no number of heads.
    """
    if len(data) > MAX_CONFIG_BYTES:
        raise FileProblem(f"A config.json has a few kB; this file has {len(data):,} bytes.")
    try:
        config = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FileProblem("This config.json is not JSON.") from error
    names = ("num_attention_heads", "n_head", "n_heads", "num_heads")
    known = config if isinstance(config, dict) else {}
    heads = next((known[name] for name in names if name in known), None)
    if type(heads) is not int or not 1 <= heads <= 10_000:
        raise FileProblem(f"This config.json names no number of heads ({', '.join(names)}).")
    return heads


def read_projections(
    source: BinaryIO | bytes,
    tensors: Mapping[str, Tensor],
    layer: AttentionLayer,
    n_heads: int,
    head: int | None = None,
) -> Projections:
    """Read one layer, or one query head of it, as float32 `Projections` that act on rows.

    `source` is the open file (or bytes) that `tensors` are the header of; only the tensors needed
    are read, of one head only its part. A head of a grouped layer comes with the keys and values
    that it shares. One head comes with its rows of W_o and without b_o, so that the outputs of all
    heads and b_o add up to the layer's output. Raises FileProblem for a number of heads that the
    shapes do not allow, a head that is not there, a layer that is too large to be read whole, and
    numbers that are not finite.
    """
    _check_heads(layer, n_heads)
    if head is None:
        d_k = layer.parts["W_q"].width // n_heads
        n_kv_heads = layer.parts["W_k"].width // d_k
        parts, heads = layer.parts, {"n_heads": n_heads, "n_kv_heads": n_kv_heads}
    else:
        parts, heads = head_parts(layer, n_heads, head), {}
    _check_size(layer, parts)
    arrays = {name: _read(source, tensors, name, part) for name, part in parts.items()}
    return Projections(**arrays, **heads)


def head_parts(layer: AttentionLayer, n_heads: int, head: int) -> dict[str, Part]:
    """Return where one query head's matrices and biases stand, counting heads from 0.

    b_o, which belongs to all heads, is left out. Raises FileProblem for a number of heads that the
    shapes do not allow, and for a head that is not there.
    """
    _check_heads(layer, n_heads)
    if not 0 <= head < n_heads:
        raise FileProblem(f"There is no head {head}; the heads are 0 to {n_heads - 1}.")
    d_k = layer.parts["W_q"].width // n_heads
    n_kv_heads = layer.parts["W_k"].width // d_k
    d_v = layer.parts["W_v"].width // n_kv_heads
    kv_head = head // (n_heads // n_kv_heads)
    windows = {"q": (head, d_k), "k": (kv_head, d_k), "v": (kv_head, d_v), "o": (head, d_v)}
    return {
        name: _window(part, *windows[name[-1]])
        for name, part in layer.parts.items()
        if name != "b_o"
    }


def stands_in(name: str, part: Part) -> str:
    """Return "rows" or "columns": along which side of its tensor a matrix's part is counted."""
    # Outputs are rows of a turned tensor and columns of another; of W_o the inputs are taken.
    return "rows" if part.turned != (name == "W_o") else "columns"


def _check_heads(layer: AttentionLayer, n_heads: int) -> None:
    if n_heads not in possible_heads(layer):
        raise FileProblem(
            f"{layer.name or 'This layer'} cannot have {n_heads} heads: W_q has "
            f"{layer.parts['W_q'].width} columns and W_k {layer.parts['W_k'].width}. Possible are "
            f"{', '.join(map(str, possible_heads(layer)))}."
        )


def _window(part: Part, head: int, width: int) -> Part:
    start = part.start + head * width
    return part._replace(start=start, stop=start + width)


def _read(
    source: BinaryIO | bytes, tensors: Mapping[str, Tensor], name: str, part: Part
) -> np.ndarray:
    tensor = tensors[part.tensor]
    window = slice(part.start, part.stop)
    if name in BIASES:
        return read_tensor(source, part.tensor, tensor, rows=window)
    array = read_tensor(source, part.tensor, tensor, **{stands_in(name, part): window})
    return np.ascontiguousarray(array.T) if part.turned else array


def _check_size(layer: AttentionLayer, parts: Mapping[str, Part]) -> None:
    elements = layer.d_model * sum(parts[name].width for name in MATRICES if name in parts)
    if elements > MAX_LAYER_ELEMENTS:
        raise FileProblem(
            f"{layer.name or 'This layer'} has {elements:,} numbers to read; at most "
            f"{MAX_LAYER_ELEMENTS:,} are read at once. Take one head of it, and check how many "
            f"heads it has."
        )


# --- recognising ------------------------------------------------------------------------------


def _weight(stem: str) -> str:
    return f"{stem}_weight" if stem == "in_proj" else f"{stem}.weight"


def _bias(stem: str) -> str:
    return _weight(stem).replace("weight", "bias")


def _recognise(prefix: str, family: Family, tensors: Mapping[str, Tensor]) -> AttentionLayer | None:
    stems = dict(zip("qkvo", (*(family.qkv * 3)[:3], family.out), strict=True))
    names = {f"W_{letter}": prefix + _weight(stem) for letter, stem in stems.items()}
    biases = {f"b_{letter}": prefix + _bias(stem) for letter, stem in stems.items()}
    names |= {name: bias for name, bias in biases.items() if bias in tensors}
    # add_bias_kv gives `nn.MultiheadAttention` one more key, which no `Projections` can hold.
    if prefix + "bias_k" in tensors:
        return None
    # Of packed matrices the shapes tell which way round they are; GPT-2's exist both ways.
    for turned in (family.turned, not family.turned)[: 2 if len(family.qkv) == 1 else 1]:
        try:
            layer = _layer(prefix, family.name, tensors, names, turned)
        except FileProblem:
            continue
        return _with_traces(layer, family, tensors, prefix + family.qkv[0])
    return None


def _with_traces(
    layer: AttentionLayer, family: Family, tensors: Mapping[str, Tensor], first: str
) -> AttentionLayer:
    """Add the family's notes, and what other tensors of the layer tell: d_k, a norm of q and k."""
    beside = first.rpartition(".")[0]  # "model.layers.0.self_attn"
    norm, rotary = (
        tensors.get(f"{beside}.{name}") for name in ("q_norm.weight", "rotary_emb.inv_freq")
    )
    width = norm.shape[0] if norm and len(norm.shape) == 1 else None
    if width == layer.parts["W_q"].width:  # one norm over all heads tells nothing
        width = None
    if rotary and len(rotary.shape) == 1:
        width = 2 * rotary.shape[0]
    notes = family.notes + ((QK_NORM,) if norm else ())
    return replace(layer, head_width=width, notes=notes)


def _layer(
    prefix: str, family: str, tensors: Mapping[str, Tensor], names: Mapping[str, str], turned: bool
) -> AttentionLayer:
    """Lay out a layer, having checked every shape; raise FileProblem where one does not fit."""
    for name in ("W_q", "W_k", "W_v"):
        if name not in names:
            raise FileProblem(f"W_q, W_k and W_v are needed; {name} is missing.")
    for name, tensor in names.items():
        if name not in MATRICES + BIASES:
            raise FileProblem(f"{name} is none of {', '.join(MATRICES + BIASES)}.")
        if tensor not in tensors:
            raise FileProblem(f"There is no tensor {tensor} for {name} in this file.")
    packed = names["W_q"] == names["W_k"] == names["W_v"]
    parts, d_model = {}, _sides(names["W_q"], tensors, turned)[0]
    for place, name in enumerate(("W_q", "W_k", "W_v")):
        inputs, outputs = _sides(names[name], tensors, turned)
        if inputs != d_model:
            raise FileProblem(
                f"{names[name]} takes {inputs} numbers in and {names['W_q']} takes {d_model}: "
                f"they belong to different layers, or are stored the other way round."
            )
        width = _third_of(outputs, names[name]) if packed else outputs
        start = place * width if packed else 0
        parts[name] = Part(names[name], start, start + width, turned)
    _check_groups(parts)
    if "W_o" in names:
        parts["W_o"] = _output_part(names["W_o"], tensors, turned, d_model, parts)
    for name in BIASES:
        if name in names:
            parts[name] = _bias_part(name, names, tensors, d_model, parts)
    return AttentionLayer(prefix.strip("."), family, d_model, parts)


def _sides(name: str, tensors: Mapping[str, Tensor], turned: bool) -> tuple[int, int]:
    """Return the inputs and outputs of a matrix."""
    shape = tensors[name].shape
    if len(shape) != 2 or 0 in shape:
        raise FileProblem(f"{name} is {shape}; a matrix of rows and columns is needed.")
    return (shape[1], shape[0]) if turned else shape


def _third_of(outputs: int, name: str) -> int:
    if outputs % 3:
        raise FileProblem(f"{name} has {outputs} outputs, which are not q, k and v of one width.")
    return outputs // 3


def _check_groups(parts: Mapping[str, Part]) -> None:
    q, k = parts["W_q"].width, parts["W_k"].width
    if q % k:
        raise FileProblem(
            f"W_q has {q} columns and W_k {k}. The queries of all heads must be as wide as the "
            f"keys, or a multiple of that where heads share keys."
        )


def _output_part(
    name: str,
    tensors: Mapping[str, Tensor],
    turned: bool,
    d_model: int,
    parts: Mapping[str, Part],
) -> Part:
    inputs, outputs = _sides(name, tensors, turned)
    needed = parts["W_q"].width // parts["W_k"].width * parts["W_v"].width
    if (inputs, outputs) != (needed, d_model):
        raise FileProblem(
            f"{name} turns {inputs} numbers into {outputs}; as W_o it must turn the {needed} of "
            f"all heads into {d_model}."
        )
    return Part(name, 0, inputs, turned)


def _bias_part(
    name: str,
    names: Mapping[str, str],
    tensors: Mapping[str, Tensor],
    d_model: int,
    parts: Mapping[str, Part],
) -> Part:
    matrix = parts.get(name.replace("b", "W"))
    if matrix is None:
        raise FileProblem("b_o was given without W_o; give both or neither.")
    length, place = (d_model if name == "b_o" else matrix.width), 0
    shape, needed = tensors[names[name]].shape, length
    if names.get("b_q") == names.get("b_k") == names[name]:  # packed
        place, needed = length * BIASES.index(name), 3 * length
    if shape != (needed,):
        raise FileProblem(f"{names[name]} is {shape}; as {name} it must be ({needed},).")
    return Part(names[name], place, place + length, False)


def _natural(prefix: str) -> list[str | int]:
    """Order layer.2 before layer.10."""
    return [int(p) if i % 2 else p for i, p in enumerate(re.split(r"(\d+)", prefix))]
