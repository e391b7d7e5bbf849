"""What an uploaded file means for the scenario: fields to change, or a sentence that says why not.

Files hold matrices for rows, Q = X W_q: W_q and W_k (d_model, d_k), W_v (d_model, d_v). PyTorch's
`nn.Linear` stores them transposed; where only the transpose fits, it is offered.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from attention.files import FileProblem, fit_matrix, read_matrices
from attention.scenario import FIELDS, MATRIX_NAMES, Matrix

MAX_BYTES = 4_000_000
ALIASES = {  # in lower case
    alias.lower(): name
    for name in MATRIX_NAMES
    for alias in (name, name.replace("_", ""), name[-1])
} | {"x": "X"}
Shapes = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Offer:
    """What a file gives: `changes` to the scenario, or those after a transpose, and a sentence."""

    sentence: str
    changes: dict[str, Matrix] = field(default_factory=dict)
    transposed: dict[str, Matrix] = field(default_factory=dict)


def read_upload(file_name: str, data: bytes, wanted: str, shapes: Shapes) -> Offer:
    """Compare a file with the shapes that the matrices have now.

    wanted: the matrix whose dialog is open; a file with a single matrix is for it. A file with all
    of W_q, W_k and W_v may bring widths of its own.
    """
    try:
        found = read_matrices(file_name, data, max_bytes=MAX_BYTES)
    except FileProblem as problem:
        return Offer(str(problem))
    called = {name: ALIASES.get(name.lower()) for name in found}
    called = {name: ours for name, ours in called.items() if ours in shapes}
    if not called and len(found) == 1:
        called = {next(iter(found)): wanted}
    if not called:
        listed = ", ".join(f"{name} {_shape(array)}" for name, array in found.items())
        return Offer(f"The file holds {listed:.300}; none of them is called {_or(shapes)}.")
    if len(set(called.values())) < len(called):
        return Offer(f"The file holds {', '.join(called)}: two of them for the same matrix.")
    named = {ours: found[name] for name, ours in called.items()}
    named = {name: array for name, array in named.items() if array.ndim == 2}
    if not named:
        return Offer("The file holds rows of numbers, and matrices with two dimensions are needed.")
    unused = ", ".join(name for name in found if name not in called)
    try:
        return _offer(named, shapes, f" Not used: {unused:.200}." if unused else "")
    except ValueError as problem:
        return Offer(f"{problem}.")


def _offer(named: dict[str, np.ndarray], shapes: Shapes, unused: str) -> Offer:
    fits = {name: fit_matrix(name, array, shapes[name]) for name, array in named.items()}
    if all(fit.array is not None for fit in fits.values()):
        return Offer(f"Loaded {_listed(named)}.{unused}", _matrices(named))
    turned = {
        name: fit.array if fit.transposed is None else fit.transposed for name, fit in fits.items()
    }
    problems = " ".join(fit.problem for fit in fits.values() if fit.problem)
    if all(array is not None for array in turned.values()):
        return Offer(problems, transposed=_matrices(turned))
    if _consistent(named, shapes):
        d_model, d_k = named["W_q"].shape
        d_v = named["W_v"].shape[1]
        widths = f"the widths are now d_model {d_model}, d_k {d_k}, d_v {d_v}"
        return Offer(f"Loaded {_listed(named)}; {widths}.{unused}", _matrices(named))
    turned = {name: array if name == "X" else array.T for name, array in named.items()}
    if _consistent(turned, shapes):
        return Offer(
            f"{_listed(named)} do not go together as they are, but do when turned: transpose them?",
            transposed=_matrices(turned),
        )
    return Offer(problems)


def _consistent(named: Mapping[str, np.ndarray], shapes: Shapes) -> bool:
    """True where W_q, W_k and W_v, all three, make a head of their own widths."""
    if not set(MATRIX_NAMES) <= set(named):
        return False
    widths = {array.shape[1 if name == "X" else 0] for name, array in named.items()}
    rows_fit = "X" not in named or len(named["X"]) == shapes["X"][0]
    return len(widths) == 1 and named["W_q"].shape == named["W_k"].shape and rows_fit


def _matrices(arrays: Mapping[str, np.ndarray]) -> dict[str, Matrix]:
    return {name: _matrix(name, array) for name, array in arrays.items()}


def _matrix(name: str, array: np.ndarray) -> Matrix:
    try:
        return FIELDS[name].check(Matrix.of(array))
    except ValueError as problem:
        raise ValueError(f"{name} cannot be used: {problem}") from None


def _or(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def _listed(arrays: Mapping[str, np.ndarray]) -> str:
    return ", ".join(f"{name} ({_shape(array)})" for name, array in arrays.items())


def _shape(array: np.ndarray) -> str:
    return " × ".join(str(n) for n in array.shape)
