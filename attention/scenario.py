"""Everything a person can set, in one frozen record, and its way into a link and back.

`Scenario()` is the first screen. A person changes a `Scenario`; all else is derived from it by
`attention.forward.forward`. Each field stands in one table of types (`FIELDS`), which reads a link,
writes a link and checks values, so a value from a link meets the same limits as one from a form.
"""

import base64
import binascii
import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import numpy as np

from attention.embeddings import MAX_WORD_WIDTH
from attention.projections import SPREAD
from attention.text import DEFAULT_SENTENCE, Tokens

MAX_SENTENCE = 1_000  # characters
MAX_WIDTH = 1_024  # d_model; the page offers up to 64, an uploaded head may be wider
MAX_HEAD = 128  # d_k and d_v
MAX_SEED = 999_999_999
MAX_EDITS = 500
MAX_EDIT = 1e4  # absolute value of an edited or uploaded cell
MAX_LINK = 6_000  # bytes of a query string; some proxies stop at 8 kB
MAX_FIND = 40  # characters that the glossary is searched for
MAX_PLACES = 64  # tokens that can be chosen together
MAX_WRITTEN = 64  # words that a GPT writes
MAX_NAMED = 5  # unknown names that a sentence about a link lists
NONE_SELECTED = -1
NUMBERS_VERSION = 2  # raised when a seed or a preset comes to mean other numbers

EMBEDDINGS = ("tuned", "words", "random", "one-hot", "uploaded")
OF_WORDS = ("tuned", "words")  # those that know what words mean
POSITIONS = ("none", "sinusoidal")
CONVENTIONS = ("rows", "columns")
ENCODINGS = ("none", "sinusoidal", "rotary", "alibi")  # on the page about order
BEGINNINGS = ("default", "orthogonal", "bias-1", "keep")  # on the page about memory
SPECIALS = ("shown", "hidden", "renormalised")  # [CLS] and [SEP], on the page about BERT
GPTS = ("tiny", "smollm2", "gpt2", "own")  # models on the page about GPT
CHECKPOINTS = ("minilm", "gpt", "llama", "multihead", "unknown", "own")  # on "Your own model"
DISTRIBUTIONS = ("normal", "uniform")
MATRIX_NAMES = ("W_q", "W_k", "W_v")
STAGES = ("embeddings", "Q", "K", "V", "scores", "scaled", "weights", "output")
VECTOR_STAGES = ("embeddings", "Q", "K", "V", "output")
HIDEABLE = ("sentence", "examples", "matrices", "randomize", "settings", "share", "arithmetic")

_TRAINED = {"embedding": "tuned", "d_model": 50, "d_k": 32, "d_v": 32, "positions": "sinusoidal"}
PRESETS: dict[str, dict[str, object]] = {  # trained weights -> the settings they were trained for
    "coreference": _TRAINED,
    "coreference-no-positions": _TRAINED | {"positions": "none"},
    "grammar": _TRAINED,
}
MATRICES = (*PRESETS, "random", "identity")
PRONOUNS = frozenset(
    "it he she they him her them his hers its their theirs i me you we us".split()  # noqa: SIM905
)


@dataclass(frozen=True, repr=False)
class Matrix:
    """A float32 matrix that can be hashed and compared, as a frozen `Scenario` needs.

    Its cells lie between -MAX_EDIT and MAX_EDIT, ValueError otherwise.
    """

    shape: tuple[int, int]
    data: bytes  # little-endian float32, row by row

    def __post_init__(self):
        rows, columns = self.shape
        if len(self.data) != 4 * rows * columns:
            raise ValueError(
                f"expected {4 * rows * columns} bytes for {rows} x {columns} numbers, "
                f"found {len(self.data)}"
            )
        fits = np.abs(self.array) <= MAX_EDIT  # also false for NaN
        if not fits.all():
            row, column = np.argwhere(~fits)[0]
            raise ValueError(
                f"expected finite numbers from {-MAX_EDIT:g} to {MAX_EDIT:g}, "
                f"found {self.array[row, column]:g} in row {row}, column {column}"
            )

    def __repr__(self):
        return f"<a {self.shape[0]} x {self.shape[1]} matrix>"

    @classmethod
    def of(cls, array: np.ndarray) -> "Matrix":
        """Keep a float32 copy of a (rows, columns) array."""
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
            array = np.asarray(array).astype("<f4")
        if array.ndim != 2 or not array.size:
            raise ValueError(
                f"expected a matrix with rows and columns, found the shape {array.shape}"
            )
        return cls(array.shape, array.tobytes())

    @property
    def array(self) -> np.ndarray:
        """The matrix as a read-only float32 array of shape `shape`."""
        return (
            np.frombuffer(self.data, dtype="<f4").reshape(self.shape).astype(np.float32, copy=False)
        )


@dataclass(frozen=True)
class Edit:
    """One cell of a weight matrix that a person set by hand; row and column count from 0."""

    matrix: str
    row: int
    column: int
    value: float


# ---- the types a field can have: check(value) -> value, read(text) -> value, write(value) -> text


@dataclass(frozen=True)
class Choice:
    options: tuple[str, ...]

    def check(self, value):
        if value not in self.options:
            raise ValueError(f"expected one of {', '.join(self.options)}")
        return value

    def read(self, text: str):
        return self.check(text)

    write = staticmethod(str)


@dataclass(frozen=True)
class Whole:
    low: int
    high: int
    optional: bool = False

    def check(self, value):
        if value is None and self.optional:
            return None
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise ValueError("expected a whole number")
        if not self.low <= value <= self.high:
            raise ValueError(f"expected a whole number from {self.low} to {self.high}")
        return int(value)

    def read(self, text: str):
        if not re.fullmatch(r"-?[0-9]{1,9}", text):
            raise ValueError(f"expected a whole number from {self.low} to {self.high}")
        return self.check(int(text))

    write = staticmethod(str)


@dataclass(frozen=True)
class Number:
    low: float
    high: float

    def check(self, value):
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise ValueError("expected a number")
        if not self.low <= value <= self.high:  # also false for NaN
            raise ValueError(f"expected a number from {self.low:g} to {self.high:g}")
        return float(value)

    def read(self, text: str):
        return self.check(_read_number(text))

    @staticmethod
    def write(value: float) -> str:
        short = f"{value:g}"
        return short if float(short) == value else repr(value)


@dataclass(frozen=True)
class Switch:
    def check(self, value):
        if not isinstance(value, bool | np.bool_):
            raise ValueError("expected true or false")
        return bool(value)

    def read(self, text: str):
        if text not in ("0", "1"):
            raise ValueError("expected 0 or 1")
        return text == "1"

    write = staticmethod(lambda value: "1" if value else "0")


@dataclass(frozen=True)
class Text:
    longest: int

    def check(self, value):
        if not isinstance(value, str):
            raise ValueError("expected text")
        if len(value) > self.longest:
            raise ValueError(f"expected at most {self.longest} characters, found {len(value)}")
        if any(0xD800 <= ord(character) <= 0xDFFF for character in value):
            raise ValueError("expected text, found half a character (a lone surrogate)")
        return value

    def read(self, text: str):
        return self.check(text)

    write = staticmethod(str)


@dataclass(frozen=True)
class Names:
    options: tuple[str, ...]

    def check(self, value):
        if not isinstance(value, tuple) or not all(name in self.options for name in value):
            raise ValueError(f"expected names out of {', '.join(self.options)}")
        return tuple(name for name in self.options if name in value)

    def read(self, text: str):
        return self.check(tuple(text.split(".")))

    write = staticmethod(".".join)


@dataclass(frozen=True)
class Places:
    """Some tokens by their places, counting from 0, in order; in a link joined by `~`: 2~9."""

    high: int = 10_000

    def check(self, value):
        if not isinstance(value, tuple):
            raise ValueError("expected a tuple of whole numbers")
        if len(value) > MAX_PLACES:
            raise ValueError(f"expected at most {MAX_PLACES} places")
        return tuple(sorted(set(map(Whole(0, self.high).check, value))))

    def read(self, text: str):
        if not re.fullmatch(r"[0-9]{1,5}(~[0-9]{1,5}){0,199}", text):
            raise ValueError("expected places such as 2~9")
        return self.check(tuple(map(int, text.split("~"))))

    @staticmethod
    def write(value: tuple[int, ...]) -> str:
        return "~".join(map(str, value))


@dataclass(frozen=True)
class OpenCell:
    """A stage and a column, e.g. "Q.3": the vector cell whose arithmetic is open; "" is none."""

    def check(self, value):
        stages = "|".join(VECTOR_STAGES)
        cell = rf"(({stages})\.(0|[1-9][0-9]{{0,3}}))?"
        if not isinstance(value, str) or not re.fullmatch(cell, value):
            raise ValueError(f"expected a stage and a column such as Q.3, stages {stages}")
        return value

    def read(self, text: str):
        return self.check(text)

    write = staticmethod(str)


@dataclass(frozen=True)
class Edits:
    """Edited cells, in a link as `W_q.row.column.value`, joined by `~`; counting from 0. Of two
    edits of one cell the last counts."""

    def check(self, value):
        if not isinstance(value, tuple) or not all(isinstance(edit, Edit) for edit in value):
            raise ValueError("expected a tuple of Edit")
        if len(value) > MAX_EDITS:
            raise ValueError(f"expected at most {MAX_EDITS} edited cells")
        return tuple({edit[:3]: Edit(*edit) for edit in map(self._check_one, value)}.values())

    def _check_one(self, edit: Edit) -> tuple[str, int, int, float]:
        value = Number(-MAX_EDIT, MAX_EDIT).check(edit.value)
        return (
            Choice(MATRIX_NAMES).check(edit.matrix),
            Whole(0, MAX_WIDTH - 1).check(edit.row),
            Whole(0, MAX_HEAD - 1).check(edit.column),
            float(np.float32(value)),  # as the matrix holds it
        )

    def read(self, text: str):
        return self.check(tuple(self._read_one(item) for item in text.split("~")[: MAX_EDITS + 1]))

    def _read_one(self, item: str) -> Edit:
        found = re.fullmatch(r"(W_[qkv])\.([0-9]{1,4})\.([0-9]{1,3})\.(.{1,24})", item)
        if not found:
            raise ValueError("expected cells such as W_q.0.2.1.5, joined by ~")
        matrix, row, column, value = found.groups()
        return Edit(matrix, int(row), int(column), _read_number(value))

    def write(self, value):
        # str, as an f-string would write a float32 with the seventeen digits of a float64
        return "~".join(f"{e.matrix}.{e.row}.{e.column}.{str(np.float32(e.value))}" for e in value)


@dataclass(frozen=True)
class Uploaded:
    """A whole matrix, in a link as `ROWSxCOLUMNS.` and base64 of little-endian float32."""

    highest: tuple[int, int] = (MAX_WIDTH, MAX_HEAD)

    def check(self, value):
        if value is None:
            return None
        if not isinstance(value, Matrix):
            raise ValueError("expected a Matrix: use Matrix.of(array)")
        if not all(1 <= n <= most for n, most in zip(value.shape, self.highest, strict=True)):
            raise ValueError(
                f"expected at most {self.highest[0]} rows and {self.highest[1]} columns, "
                f"found {value.shape[0]} x {value.shape[1]}"
            )
        return value

    def read(self, text: str):
        found = re.fullmatch(r"([0-9]{1,4})x([0-9]{1,4})\.([A-Za-z0-9_-]+)", text)
        if not found:
            raise ValueError("expected ROWSxCOLUMNS. and base64 text")
        rows, columns = int(found[1]), int(found[2])
        try:
            data = base64.urlsafe_b64decode(found[3] + "=" * (-len(found[3]) % 4))
        except (binascii.Error, ValueError):
            raise ValueError("expected base64 text") from None
        return self.check(Matrix((rows, columns), data))

    def write(self, value: Matrix):
        text = base64.urlsafe_b64encode(value.data).decode("ascii").rstrip("=")
        return f"{value.shape[0]}x{value.shape[1]}.{text}"


def _read_number(text: str) -> float:
    if len(text) > 24 or not re.fullmatch(r"-?[0-9]*\.?[0-9]+(e-?[0-9]{1,3})?", text):
        raise ValueError("expected a number such as -1.5")
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("expected a finite number")
    return number


FIELDS = {
    "sentence": Text(MAX_SENTENCE),
    "matrices": Choice(MATRICES),
    "unlocked": Switch(),
    "seed": Whole(0, MAX_SEED),
    "seed_q": Whole(0, MAX_SEED, optional=True),
    "seed_k": Whole(0, MAX_SEED, optional=True),
    "seed_v": Whole(0, MAX_SEED, optional=True),
    "distribution": Choice(DISTRIBUTIONS),
    "spread": Number(0.0, 10.0),
    "embedding": Choice(EMBEDDINGS),
    "embedding_seed": Whole(0, MAX_SEED),
    "positions": Choice(POSITIONS),
    "d_model": Whole(1, MAX_WIDTH),
    "d_k": Whole(1, MAX_HEAD),
    "d_v": Whole(1, MAX_HEAD),
    "scaling": Switch(),
    "causal": Switch(),
    "convention": Choice(CONVENTIONS),
    "query": Whole(0, 10_000, optional=True),
    "key": Whole(NONE_SELECTED, 10_000, optional=True),
    "cell": OpenCell(),
    "edits": Edits(),
    "W_q": Uploaded(),
    "W_k": Uploaded(),
    "W_v": Uploaded(),
    "X": Uploaded((MAX_SENTENCE, MAX_WIDTH)),
    "hide": Names(HIDEABLE),
    # -- the lessons' own controls, one group a page
    "step": Whole(1, 8),
    "sharing": Choice(("separate", "one", "swapped")),
    "lab_d": Whole(1, 1_024),
    "lab_seed": Whole(1, MAX_SEED),
    "temperature": Number(0.05, 20.0),
    "shift": Number(-100.0, 100.0),
    "n_heads": Whole(1, 8),
    "n_kv_heads": Whole(1, 8),
    "silenced": Whole(0, 7, optional=True),
    "mask": Choice(("none", "causal", "padding", "window")),
    "window": Whole(0, 63),
    "padding": Whole(0, 63),
    "shuffle": Whole(1, MAX_SEED),
    "encoding": Choice(ENCODINGS),
    "initial": Choice(BEGINNINGS),
    "length": Whole(2, 200),
    "n_layers": Whole(1, 6),
    "norm_first": Switch(),
    "sheet": Whole(1, MAX_SEED),
    "find": Text(MAX_FIND),
    "exercise": Whole(0, 30),  # 0: the whole sheet
    "layer": Whole(0, 99),
    "head": Whole(0, 199),
    "specials": Choice(SPECIALS),
    "by_word": Switch(),
    "looking": Places(),  # word pieces, as are the next two
    "looked_at": Whole(NONE_SELECTED, 10_000, optional=True),
    "masked": Places(),
    "component": Whole(0, MAX_HEAD - 1, optional=True),
    "link_share": Number(0.05, 1.0),
    "gpt": Choice(GPTS),
    "gpt_layer": Whole(0, 199),
    "gpt_head": Whole(0, 199),
    "gpt_row": Whole(0, 10_000, optional=True),  # the token that looks; None: the last
    "written": Whole(0, MAX_WRITTEN),
    "gpt_temperature": Number(0.0, 2.0),
    "top_k": Whole(0, 1_000),  # 0: all words
    "top_p": Number(0.05, 1.0),
    "gpt_seed": Whole(0, MAX_SEED),
    "checkpoint": Choice(CHECKPOINTS),
    # -- end of the lessons' controls
    "version": Whole(1, 9_999),
}


@dataclass(frozen=True)
class Scenario:
    """All settings of the playground; the defaults are the first screen.

    matrices: which weight matrices, one of `MATRICES`; the names in `PRESETS` were trained and need
        the settings listed there unless `unlocked`.
    seed, seed_q, seed_k, seed_v: of random matrices; the last three redraw one matrix alone.
    spread: of random matrices, their standard deviation times the root of d_model.
    embedding: one of `EMBEDDINGS`; "words" are GloVe's vectors, "tuned" the same after training
        with the shipped heads; "one-hot" is as wide as there are different words.
    query, key: the selected row and column of the maps, counting from 0; None chooses
        (`selection`), a key of -1 selects nothing.
    cell: stage and column of an opened vector cell, e.g. "Q.3".
    W_q, W_k, W_v (d_model, d_k or d_v) and X (T, d_model): uploaded matrices, as `Matrix`.
    hide: controls that a teacher's link leaves out, out of `HIDEABLE`.
    step and what follows: controls of the lesson pages, described there.
    Raises ValueError that names the field, the value and what was expected.
    """

    sentence: str = DEFAULT_SENTENCE
    matrices: str = "coreference"
    unlocked: bool = False
    seed: int = 1
    seed_q: int | None = None
    seed_k: int | None = None
    seed_v: int | None = None
    distribution: str = "normal"
    spread: float = SPREAD
    embedding: str = "tuned"
    embedding_seed: int = 1
    positions: str = "sinusoidal"
    d_model: int = 50
    d_k: int = 32
    d_v: int = 32
    scaling: bool = True
    causal: bool = False
    convention: str = "rows"
    query: int | None = None
    key: int | None = None
    cell: str = ""
    edits: tuple[Edit, ...] = ()
    W_q: Matrix | None = None
    W_k: Matrix | None = None
    W_v: Matrix | None = None
    X: Matrix | None = None
    hide: tuple[str, ...] = ()
    # -- the lessons' own controls, one group a page
    step: int = 1
    sharing: str = "separate"
    lab_d: int = 64
    lab_seed: int = 1
    temperature: float = 1.0
    shift: float = 0.0
    n_heads: int = 4
    n_kv_heads: int = 4
    silenced: int | None = None
    mask: str = "window"
    window: int = 2
    padding: int = 2
    shuffle: int = 1
    encoding: str = "none"
    initial: str = "default"
    length: int = 40
    n_layers: int = 2
    norm_first: bool = True
    sheet: int = 1
    find: str = ""
    exercise: int = 1
    layer: int = 3
    head: int = 1
    specials: str = "shown"
    by_word: bool = False
    looking: tuple[int, ...] = ()
    looked_at: int | None = None
    masked: tuple[int, ...] = ()
    component: int | None = None
    link_share: float = 0.7
    gpt: str = "tiny"
    gpt_layer: int = 1
    gpt_head: int = 1
    gpt_row: int | None = None
    written: int = 0
    gpt_temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    gpt_seed: int = 1
    checkpoint: str = "minilm"
    # -- end of the lessons' controls
    version: int = NUMBERS_VERSION

    def __post_init__(self):
        for name, kind in FIELDS.items():
            try:
                object.__setattr__(self, name, kind.check(getattr(self, name)))
            except ValueError as problem:
                raise ValueError(f"{name}={getattr(self, name)!r:.60}: {problem}") from None
        if problem := _misfit(self):
            raise ValueError(problem)

    @property
    def uploads(self) -> dict[str, Matrix]:
        """The uploaded matrices by name, out of W_q, W_k, W_v and X."""
        given = {name: getattr(self, name) for name in (*MATRIX_NAMES, "X")}
        return {name: matrix for name, matrix in given.items() if matrix is not None}

    @property
    def preset(self) -> str | None:
        """The trained weights in use, unless all three matrices were replaced."""
        replaced = all(name in self.uploads for name in MATRIX_NAMES)
        return self.matrices if self.matrices in PRESETS and not replaced else None

    def replace(self, **changes) -> "Scenario":
        """Return a copy with some fields changed, brought in line by `settle`."""
        return settle(dataclasses.replace(self, **changes))


def _misfit(scenario: Scenario) -> str | None:
    """Say which uploaded matrices cannot stand together, with each other or with trained ones."""
    shapes = {name: matrix.shape for name, matrix in scenario.uploads.items()}
    trained = PRESETS.get(scenario.preset, {})
    d_model = {name: shape[1 if name == "X" else 0] for name, shape in shapes.items()}
    d_k = {name: shapes[name][1] for name in ("W_q", "W_k") if name in shapes}
    d_v = {"W_v": shapes["W_v"][1]} if "W_v" in shapes else {}
    for width, found in (("d_model", d_model), ("d_k", d_k), ("d_v", d_v)):
        if width in trained and found:
            found = found | {f"the {scenario.preset} weights": trained[width]}
        if len(set(found.values())) > 1:
            listed = ", ".join(f"{n} by {name}" for name, n in found.items())
            return f"{width} must be one number, but it is given as {listed}"
    return None


def locked(scenario: Scenario) -> dict[str, object]:
    """Return the fields that the chosen matrices fix, with the value each must have.

    Trained weights fix what they were trained for; uploaded matrices and one-hot vectors fix
    widths; identity matrices need d_k = d_v = d_model, as far as a head can be as wide.
    """
    fixed: dict[str, object] = {}
    if scenario.preset:
        needs = PRESETS[scenario.preset]
        fixed |= (
            needs if not scenario.unlocked else {n: needs[n] for n in ("d_model", "d_k", "d_v")}
        )
    if scenario.X is not None:
        fixed |= {"embedding": "uploaded", "d_model": scenario.X.shape[1]}
    for name, width in (("W_q", "d_k"), ("W_k", "d_k"), ("W_v", "d_v")):
        matrix = getattr(scenario, name)
        if matrix is not None:
            fixed |= {"d_model": matrix.shape[0], width: matrix.shape[1]}
    if scenario.matrices == "identity" and not scenario.uploads.keys() & set(MATRIX_NAMES):
        width = min(fixed.get("d_model", scenario.d_model), MAX_HEAD)
        fixed |= {"d_k": width, "d_v": width}
    return fixed


def settle(scenario: Scenario) -> Scenario:
    """Bring fields in line that contradict the chosen matrices (see `locked`)."""
    if scenario.embedding == "uploaded" and scenario.X is None:
        scenario = dataclasses.replace(scenario, embedding="tuned")
    if scenario.matrices not in PRESETS and scenario.unlocked:
        scenario = dataclasses.replace(scenario, unlocked=False)
    fixed = locked(scenario)
    scenario = dataclasses.replace(scenario, **fixed)
    if scenario.embedding in OF_WORDS and scenario.d_model > MAX_WORD_WIDTH:
        change = {"embedding": "random"} if "d_model" in fixed else {"d_model": MAX_WORD_WIDTH}
        scenario = dataclasses.replace(scenario, **change)
        scenario = dataclasses.replace(scenario, **locked(scenario))
    return scenario


def selection(scenario: Scenario, tokens: Tokens, weights: np.ndarray) -> tuple[int, int | None]:
    """Return the selected (query, key), choosing where the scenario leaves it open.

    The query is the first pronoun, else the last token; the key is where the query puts its
    largest weight. weights: (T, T). A selection beyond the sentence counts as open; the key is
    None when nothing is selected.
    """
    T = len(tokens)
    query = scenario.query
    if query is None or query >= T:
        pronouns = (i for i, word in enumerate(tokens.words) if word in PRONOUNS)
        query = next(pronouns, T - 1)
    key = scenario.key
    if key == NONE_SELECTED:
        return query, None
    if key is None or key >= T:
        key = int(np.argmax(weights[query]))
    return query, key


# ---- link

# What may leave a link, least telling first.
LARGE = ("X", "W_v", "W_k", "W_q", "edits", "sentence")
WITHOUT = "without"  # names what left it


def to_link(scenario: Scenario) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the parameters that restore a scenario, and what was too large for a link.

    Values that equal the defaults stay out; anything else brings the version along. What was too
    large is named under `without`, so that whoever opens the link is told.
    """
    default = Scenario()
    params = {
        name: kind.write(getattr(scenario, name))
        for name, kind in FIELDS.items()
        if name != "version" and getattr(scenario, name) != getattr(default, name)
    }
    params = {name: text for name, text in params.items() if text or name in ("sentence",)}
    left_out = []
    for name in LARGE:
        if _length(params) > MAX_LINK and params.pop(name, None) is not None:
            left_out.append(name)
    if left_out:
        params[WITHOUT] = ".".join(reversed(left_out))
    if params:
        params["version"] = str(scenario.version)
    return params, tuple(reversed(left_out))


def _length(params: Mapping[str, str]) -> int:
    """The bytes of a query string; of one that is much too long, some number beyond the limit."""
    letters = sum(map(len, params.values()))
    return letters if letters > MAX_LINK else len(urlencode(params))


def from_link(params: Mapping[str, str]) -> tuple[Scenario, tuple[str, ...]]:
    """Return the scenario that a link describes, and a sentence for each setting that was ignored.

    Everything in a link is hostile until checked: an unknown name, a wrong type, a value out of
    range or too long falls back to the default, and is named.
    """
    values: dict[str, object] = {}
    notes: list[str] = []
    unknown = [name for name in params if name not in FIELDS and name != WITHOUT]
    if unknown:
        notes.append(_unknown(unknown))
    if missing := [name for name in params.get(WITHOUT, "").split(".") if name in LARGE]:
        until = " until the file is uploaded" if {*missing} - {"edits", "sentence"} else ""
        notes.append(
            f"Too large for a link, so not in it: {', '.join(missing)}. "
            f"What the other settings make stands in{until}."
        )
    for name in filter(params.__contains__, FIELDS):
        text = params[name]
        try:
            values[name] = FIELDS[name].read(text)
        except ValueError as problem:
            notes.append(f"{name}=“{_short(text)}” in the link was ignored: {problem}.")
    if values.get("version", NUMBERS_VERSION) != NUMBERS_VERSION:
        notes.append(
            f"The link was made by version {values['version']} of the numbers; this is version "
            f"{NUMBERS_VERSION}, so some numbers may differ."
        )
    if values.get("version") == 1 and values.get("matrices") not in (None, *PRESETS):
        values.setdefault("embedding", "words")  # which were the default then
    values["version"] = NUMBERS_VERSION
    try:
        given = Scenario(**values)
    except ValueError as problem:
        uploads = [name for name in (*MATRIX_NAMES, "X") if values.pop(name, None) is not None]
        were = "was" if len(uploads) == 1 else "were"
        notes.append(f"{', '.join(uploads)} in the link {were} ignored: {problem}.")
        given = Scenario(**values)
    scenario = settle(given)
    for name in values:
        if getattr(scenario, name) != getattr(given, name):
            notes.append(
                f"{name}={getattr(given, name)} in the link was ignored: the other settings need "
                f"{getattr(scenario, name)}."
            )
    return scenario, tuple(notes)


def _unknown(names: list[str]) -> str:
    listed = [f"“{_short(name)}”" for name in names[:MAX_NAMED]]
    if len(names) > MAX_NAMED:
        listed.append(f"{len(names) - MAX_NAMED:,} more")
    *most, last = listed
    if not most:
        return f"{last} in the link is not a setting of this app."
    return f"{', '.join(most)} and {last} in the link are not settings of this app."


def _short(text: str) -> str:
    whole = text[:40].encode("utf-8", "replace").decode("utf-8")  # no lone surrogates
    return whole if len(text) <= 40 else whole[:39] + "…"
