"""A model's file as the page has it open: an upload, a file by its path, or an example.

Of a file only the header is read when it is opened, and one head when one is shown. The only error
is `FileProblem`, whose message is written for a person. No Streamlit here.
"""

import ipaddress
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import numpy as np

import attention
from attention.checkpoints import (
    MAX_CONFIG_BYTES,
    AttentionLayer,
    Part,
    find_layers,
    head_parts,
    heads_in_config,
    possible_heads,
    read_projections,
)
from attention.files import FileProblem, Tensor, safetensors_header, write_matrices
from attention.heads import score_strengths
from attention.projections import Projections
from attention.randomness import stable_rng

LOCAL_FILES = "ATTENTION_LOCAL_FILES"  # set to 1 on one's own machine: files may be named by path
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip")
DATA = Path(attention.__file__).parent / "data"
MAX_NAME = 60
MAX_WORK = 1e8  # d_model times the square of d_k

Source = Callable[[], AbstractContextManager[BinaryIO | bytes]]


@dataclass(frozen=True, eq=False)
class Model:
    """An opened file: what its header says, and how to open it again to read one head."""

    name: str
    size: int  # bytes
    tensors: Mapping[str, Tensor]
    layers: tuple[AttentionLayer, ...]  # those of a known layout
    source: Source
    n_heads: int | None = None
    told_by: str = "config.json"  # where n_heads comes from
    about: str = ""  # a sentence on where it comes from


@dataclass(frozen=True, eq=False)
class Head:
    """One head of a layer, read: its matrices act on rows, Q = X W_q + b_q."""

    layer: AttentionLayer
    n_heads: int
    head: int
    parts: Mapping[str, Part]  # where it stands in the file
    projections: Projections

    @cached_property
    def strengths(self) -> np.ndarray | None:
        """The singular values of W_q W_kᵀ, largest first; None where they would take long."""
        W_q = self.projections.W_q
        if W_q.size * W_q.shape[1] > MAX_WORK:
            return None
        return score_strengths(W_q, self.projections.W_k)

    @property
    def shared_by(self) -> range:
        """The query heads that use the same keys and values; itself alone unless grouped."""
        d_k = self.layer.parts["W_q"].width // self.n_heads
        group = self.n_heads * d_k // self.layer.parts["W_k"].width
        first = self.head // group * group
        return range(first, first + group)


# ---- opening


def open_model(name: str, size: int, source: Source, **known) -> Model:
    """Read and check a file's header, and find the attention layers in it.

    known: further fields of the `Model`.
    """
    with _plainly(), source() as stream:
        tensors = safetensors_header(stream)
    return Model(shown_name(name), size, tensors, find_layers(tensors), source, **known)


def open_stream(name: str, stream: BinaryIO) -> Model:
    """Open an upload; it is copied to a file without a name, so that memory need not hold it.

    The copy vanishes with the last `Model` that uses it.
    """
    with _plainly():
        store = _Store()
        shutil.copyfileobj(stream, store.file, 1 << 20)
        return open_model(name, store.file.tell(), lambda: nullcontext(store.file))


class _Store:
    """A file that closes, and so vanishes, with the last reference to this object."""

    def __init__(self):
        self.file = tempfile.TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, self.file.close)


def open_path(text: str) -> Model:
    """Open a file of this machine, or the model.safetensors of a folder; see `paths_allowed`.

    A config.json beside it gives the number of heads.
    """
    text = text.strip().strip("\"'")
    if not text:
        raise FileProblem("Type the path of a .safetensors file, or of the folder it is in.")
    try:
        path = Path(text).expanduser()
        path = path / "model.safetensors" if path.is_dir() else path
        found = path.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise FileProblem("This is not a path that can be opened.") from error
    if path.suffix != ".safetensors":
        raise FileProblem(f"{shown_name(path.name)} does not end in .safetensors.")
    if not found:
        raise FileProblem(f"There is no file {shown_name(path.name)} at this path.")
    with _plainly():
        stamp = _stamp(path)
    source = partial(_unchanged, path, stamp)
    return open_model(path.name, stamp[0], source, n_heads=_heads_beside(path))


@contextmanager
def _unchanged(path: Path, stamp: tuple[int, int]) -> Iterator[BinaryIO]:
    with path.open("rb") as file:
        if _stamp(path) != stamp:
            raise FileProblem(f"{shown_name(path.name)} has changed: open it again.")
        yield file


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _heads_beside(path: Path) -> int | None:
    try:
        with path.with_name("config.json").open("rb") as file:
            return heads_in_config(file.read(MAX_CONFIG_BYTES + 1))
    except (OSError, FileProblem):  # none, or none that says it: the page asks
        return None


@contextmanager
def _plainly() -> Iterator[None]:
    """Turn an error of the disk into a sentence."""
    try:
        yield
    except OSError as error:
        raise FileProblem(f"The file cannot be read: {error.strerror or error}.") from error


def shown_name(name: str) -> str:
    """A file's name, fit to be shown."""
    plain = "".join(letter for letter in name.replace("\\", "/") if letter.isprintable())
    plain = plain.rpartition("/")[2] or "The file"
    return plain if len(plain) <= MAX_NAME else "…" + plain[1 - MAX_NAME :]


def paths_allowed(
    environment: Mapping[str, str], ip: str | None, url: str | None, headers: Mapping[str, str]
) -> bool:
    """True where a reader may name files of this machine: it is theirs, and they said so.

    The variable ATTENTION_LOCAL_FILES must be 1, which no host sets; the connection must come from
    this machine (Streamlit then gives no `ip`), to an address that names it, through no proxy.
    """
    if environment.get(LOCAL_FILES) != "1" or ip is not None:
        return False
    if any(headers.get(name) for name in FORWARDED):
        return False
    hosts = (urlsplit(url or "").hostname, urlsplit(f"//{headers.get('Host') or ''}").hostname)
    return all(map(_is_here, hosts))


def _is_here(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


# ---- one head


def known_heads(model: Model, layer: AttentionLayer, confirmed: int | None) -> int | None:
    """The layer's number of heads: what the reader confirmed, else what config.json says.

    None where neither fits the layer's shapes.
    """
    possible = possible_heads(layer)
    return next((n for n in (confirmed, model.n_heads) if n in possible), None)


def widths(layer: AttentionLayer) -> tuple[int, ...]:
    """The columns of W_q, W_k and W_v: layers that share them have one number of heads."""
    return tuple(layer.parts[name].width for name in ("W_q", "W_k", "W_v"))


def read_head(model: Model, layer: AttentionLayer, n_heads: int, head: int) -> Head:
    """Read one head, and nothing else, from the file."""
    parts = head_parts(layer, n_heads, head)
    with _plainly(), model.source() as stream:
        projections = read_projections(stream, model.tensors, layer, n_heads, head)
    return Head(layer, n_heads, head, parts, projections)


def layout(parts: Mapping[str, Part]) -> str:
    """How the file keeps q, k and v: "packed" in one tensor, or in "three"."""
    return "packed" if len({parts[name].tensor for name in ("W_q", "W_k", "W_v")}) == 1 else "three"


# ---- examples


def example(name: str) -> Model:
    """Open one of the files that come with the project, or a random one that is written here."""
    if name in PUBLISHED:
        return _published(*PUBLISHED[name])
    write, n_heads, about = EXAMPLES[name]
    data = write_matrices(".safetensors", dict(write(stable_rng("checkpoint", name))))
    return open_model(
        f"random-{name}.safetensors",
        len(data),
        lambda: nullcontext(data),
        n_heads=n_heads,
        told_by="this page",
        about=f"Random numbers, which this page wrote under such a model’s names. {about}".strip(),
    )


PUBLISHED = {
    "minilm": ("minilm", "MiniLM-L6", "Trained (Wang et al. 2020), kept here in float16."),
    "gpt": ("tiny_gpt", "Tiny GPT", "Trained by this project on its own little stories."),
}


def _published(folder: str, title: str, about: str) -> Model:
    path = DATA / folder / "model.safetensors"
    with _plainly():
        size = path.stat().st_size
    source = partial(path.open, "rb")
    return open_model(title, size, source, n_heads=_heads_beside(path), about=about)


Tensors = Iterator[tuple[str, np.ndarray]]


def _random(rng: np.random.RandomState, *shape: int) -> np.ndarray:
    return (rng.standard_normal(shape) * 1.8 / np.sqrt(shape[-1])).astype(np.float32)


def _llama(rng: np.random.RandomState) -> Tensors:
    """Three layers, 30 wide: 6 query heads of 8 on 2 key heads."""
    yield "model.embed_tokens.weight", _random(rng, 20, 30)
    for layer in range(3):
        beside = f"model.layers.{layer}.self_attn."
        for name, outputs in (("q", 48), ("k", 16), ("v", 16)):
            yield f"{beside}{name}_proj.weight", _random(rng, outputs, 30)
        yield f"{beside}o_proj.weight", _random(rng, 30, 48)
        yield f"model.layers.{layer}.input_layernorm.weight", np.ones(30, np.float32)


def _multihead(rng: np.random.RandomState) -> Tensors:
    """Two layers, 40 wide: 5 heads of 8, packed."""
    for layer in range(2):
        beside = f"layers.{layer}.self_attn."
        yield f"{beside}in_proj_weight", _random(rng, 120, 40)
        yield f"{beside}in_proj_bias", _random(rng, 120)
        yield f"{beside}out_proj.weight", _random(rng, 40, 40)
        yield f"{beside}out_proj.bias", _random(rng, 40)


def _unknown(rng: np.random.RandomState) -> Tensors:
    """Two layers, 28 wide: 3 heads of 8, under names that nobody else uses."""
    for layer in range(2):
        for name in ("look", "show", "carry"):
            yield f"net.{layer}.{name}", _random(rng, 24, 28)
        yield f"net.{layer}.look_shift", _random(rng, 24)
        yield f"net.{layer}.gather", _random(rng, 28, 24)
    yield "net.embeddings", _random(rng, 20, 28)


EXAMPLES = {
    "llama": (_llama, 6, ""),
    "multihead": (_multihead, 5, ""),
    "unknown": (
        _unknown,
        None,
        "In it “look” is W_q, “show” is W_k, “carry” W_v and “gather” W_o, with 3 heads.",
    ),
}
