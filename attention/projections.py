"""The weight matrices W_q, W_k, W_v and W_o: random, identity, or learned and stored as a preset.

They act on rows: Q = X @ W_q. Head h owns columns h·d_k to (h+1)·d_k, as in `nn.MultiheadAttention`
(where they are transposed).
"""

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np

from attention.functions import as_floats, read_only
from attention.randomness import stable_rng

PRESETS = Path(__file__).parent / "presets"

# Scaled scores then spread by about 1.5 within a row of a real sentence (50 wide, with sinusoidal
# positions), and by about 3 if the vectors are cut to 8: maps are neither flat nor saturated.
SPREAD = 1.8


@dataclass(frozen=True, eq=False)
class Projections:
    """The weight matrices of one attention layer, checked against each other, read-only.

    W_q (D, H·d_k), W_k (D, H_kv·d_k), W_v (D, H_kv·d_v), W_o (H·d_v, D) or None, and their biases
    (one number a column) or None. `n_heads` is H and `n_kv_heads` H_kv, which must divide H and is
    H unless given; fewer make grouped-query attention. Raises ValueError where shapes do not fit or
    a number is not finite.
    """

    W_q: np.ndarray
    W_k: np.ndarray
    W_v: np.ndarray
    W_o: np.ndarray | None = None
    b_q: np.ndarray | None = None
    b_k: np.ndarray | None = None
    b_v: np.ndarray | None = None
    b_o: np.ndarray | None = None
    n_heads: int = 1
    n_kv_heads: int | None = None

    def __post_init__(self) -> None:
        if self.n_kv_heads is None:
            object.__setattr__(self, "n_kv_heads", self.n_heads)
        _check_heads(self.n_heads, self.n_kv_heads)
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name[:2] in ("W_", "b_") and value is not None:
                (array,) = as_floats(value)
                _check_numbers(field.name, array)
                object.__setattr__(self, field.name, read_only(array))
        _check_shapes(self)

    @property
    def d_model(self) -> int:
        """D, the width of the embeddings."""
        return self.W_q.shape[0]

    @property
    def d_k(self) -> int:
        """The width of one head's queries and keys."""
        return self.W_q.shape[1] // self.n_heads

    @property
    def d_v(self) -> int:
        """The width of one head's values."""
        return self.W_v.shape[1] // self.n_kv_heads


def random_projections(
    d_model: int,
    d_k: int,
    d_v: int | None = None,
    *,
    n_heads: int = 1,
    n_kv_heads: int | None = None,
    seed: int = 0,
    distribution: str = "normal",
    spread: float = SPREAD,
    with_output: bool = False,
) -> Projections:
    """Draw W_q, W_k, W_v and, on request, W_o, each by `random_matrix` under its own name.

    d_v defaults to d_k and n_kv_heads to n_heads. The numbers are float32 and depend on nothing but
    the arguments.
    """
    d_v = d_k if d_v is None else d_v
    n_kv_heads = n_heads if n_kv_heads is None else n_kv_heads
    _check_heads(n_heads, n_kv_heads)
    shapes = {
        "W_q": (d_model, n_heads * d_k),
        "W_k": (d_model, n_kv_heads * d_k),
        "W_v": (d_model, n_kv_heads * d_v),
    }
    if with_output:
        shapes["W_o"] = (n_heads * d_v, d_model)
    matrices = {
        name: random_matrix(name, *shape, seed=seed, distribution=distribution, spread=spread)
        for name, shape in shapes.items()
    }
    return Projections(**matrices, n_heads=n_heads, n_kv_heads=n_kv_heads)


def random_matrix(
    name: str,
    d_in: int,
    d_out: int,
    *,
    seed: int = 0,
    distribution: str = "normal",
    spread: float = SPREAD,
) -> np.ndarray:
    """Draw one matrix (d_in, d_out), float32, of independent entries around 0.

    Their standard deviation is spread/√d_in, so that the products keep their size as d_in grows.
    `distribution` is "normal" or "uniform". The stream depends on `name` and `seed` alone and runs
    along the rows, so a larger d_in adds rows and keeps the direction of the earlier ones.
    """
    for size_name, size in (("d_in", d_in), ("d_out", d_out)):
        if size < 1:
            raise ValueError(f"{name}: {size_name} must be 1 or more; got {size}.")
    if not (np.isfinite(spread) and spread >= 0):
        raise ValueError(f"{name}: spread must be a finite number, 0 or more; got {spread}.")
    rng = stable_rng(name, seed)
    if distribution == "normal":
        entries = rng.standard_normal((d_in, d_out))
    elif distribution == "uniform":
        entries = rng.uniform(-(3**0.5), 3**0.5, (d_in, d_out))  # standard deviation 1
    else:
        raise ValueError(f'distribution must be "normal" or "uniform"; got {distribution!r}.')
    return (entries * (spread / d_in**0.5)).astype(np.float32)


def identity_projections(
    d_model: int, d_k: int | None = None, d_v: int | None = None
) -> Projections:
    """Return projections that keep the embeddings as they are: Q = K = V = X.

    Where d_k or d_v (both default to d_model) is smaller, the first columns are kept; where it is
    larger, zeros are added.
    """
    d_k = d_model if d_k is None else d_k
    d_v = d_model if d_v is None else d_v
    W_qk = np.eye(d_model, d_k, dtype=np.float32)
    return Projections(W_q=W_qk, W_k=W_qk, W_v=np.eye(d_model, d_v, dtype=np.float32))


def load_preset(name: str) -> Projections:
    """Return the learned projections stored as presets/<name>.npz beside this module.

    Raises ValueError, naming the presets there are, if there is none of this name.
    """
    names = preset_names()
    if name not in names:
        raise ValueError(
            f"There is no preset {name!r}; the presets are: {', '.join(names) or 'none yet'}."
        )
    return _read_preset(PRESETS / f"{name}.npz")


@cache  # a preset never changes, nor can the arrays of a `Projections`
def _read_preset(path: Path) -> Projections:
    names = [field.name for field in fields(Projections)]
    with np.load(path, allow_pickle=False) as stored:
        found = {name: stored[name] for name in names if name in stored}
    heads = {name: int(found.pop(name)) for name in ("n_heads", "n_kv_heads") if name in found}
    return Projections(**found, **heads)


def preset_names() -> list[str]:
    """Return the names that `load_preset` knows, in alphabetical order."""
    return sorted(path.stem for path in PRESETS.glob("*.npz"))


def _check_heads(n_heads: int, n_kv_heads: int) -> None:
    for name, count in (("n_heads", n_heads), ("n_kv_heads", n_kv_heads)):
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
            raise ValueError(f"{name} must be a whole number, 1 or more; got {count!r}.")
    if n_heads % n_kv_heads:
        raise ValueError(
            f"{n_heads} query heads cannot share {n_kv_heads} key and value heads evenly: "
            f"n_heads must be a multiple of n_kv_heads."
        )


def _check_numbers(name: str, array: np.ndarray) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        cell = tuple(int(index) for index in np.argwhere(~finite)[0])
        place = f"row {cell[0]}, column {cell[1]}" if len(cell) == 2 else f"index {cell}"
        raise ValueError(f"{name} has {array[cell]} at {place}; every number must be finite.")


def _check_shapes(p: Projections) -> None:
    """Raise ValueError with what was given, what was expected and what to do."""
    for name in ("W_q", "W_k", "W_v", "W_o"):
        W = getattr(p, name)
        if W is not None and (W.ndim != 2 or 0 in W.shape):
            raise ValueError(f"{name} must be a matrix of rows and columns; it is {W.shape}.")
    # Two that agree outvote the third, so that the one to blame is named.
    rows = len(p.W_k) if len(p.W_k) == len(p.W_v) else len(p.W_q)
    for name, width in (("W_q", "H·d_k"), ("W_k", "H_kv·d_k"), ("W_v", "H_kv·d_v")):
        W = getattr(p, name)
        if len(W) != rows:
            raise ValueError(
                f"{name} is {W.shape}; the others have {rows} rows (d_model), so {name} must be "
                f"({rows}, {width}).{_transposed(W, rows)}"
            )
    _check_columns("W_q", p.W_q, "n_heads", p.n_heads)
    _check_columns("W_v", p.W_v, "n_kv_heads", p.n_kv_heads)
    widths = {"W_q": p.n_heads * p.d_k, "W_k": p.n_kv_heads * p.d_k, "W_v": p.n_kv_heads * p.d_v}
    if p.W_k.shape[1] != widths["W_k"]:
        raise ValueError(
            f"W_k is {p.W_k.shape} and W_q {p.W_q.shape}, {p.n_heads} head(s) of d_k = {p.d_k}; "
            f"queries and keys need the same d_k, so W_k with {p.n_kv_heads} head(s) must be "
            f"({p.d_model}, {widths['W_k']})."
        )
    if p.W_o is not None and p.W_o.shape != (p.n_heads * p.d_v, p.d_model):
        hint = _transposed(p.W_o, p.n_heads * p.d_v) if p.W_o.shape[0] == p.d_model else ""
        raise ValueError(
            f"W_o is {p.W_o.shape}; it takes {p.n_heads} head(s) of d_v = {p.d_v} back to "
            f"d_model = {p.d_model}, so it must be ({p.n_heads * p.d_v}, {p.d_model}).{hint}"
        )
    if p.b_o is not None and p.W_o is None:
        raise ValueError("b_o was given without W_o; give both or neither.")
    widths["W_o"] = p.d_model
    for W_name, width in widths.items():
        name = W_name.replace("W", "b")
        bias = getattr(p, name)
        if bias is not None and bias.shape != (width,):
            raise ValueError(
                f"{name} is {bias.shape}; {W_name} has {width} columns, so it must be ({width},)."
            )


def _check_columns(name: str, W: np.ndarray, heads_name: str, n_heads: int) -> None:
    if W.shape[1] % n_heads:
        raise ValueError(
            f"{name} has {W.shape[1]} columns, which {heads_name} = {n_heads} heads cannot share "
            f"evenly: the columns must be a multiple of {n_heads}."
        )


def _transposed(W: np.ndarray, rows: int) -> str:
    return " It looks transposed: transpose it?" if W.shape[1] == rows else ""
