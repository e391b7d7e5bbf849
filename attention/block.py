"""The Transformer block: attention and feed-forward, each added to what it was given.

Two orders are in use, and both are here:

    norm last (Vaswani et al. 2017, section 3.1)     norm first (Xiong et al. 2020)
    X → attention → + X → norm                       X → norm → attention → + X
      → feed-forward → + → norm                        → norm → feed-forward → +

BERT puts the norm last; GPT-2 and its successors put it first, so that a plain path of additions
leads from the first block to the last.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from attention.dot_product import AttentionTrace
from attention.functions import as_floats, gelu, layer_norm, read_only
from attention.multi_head import affine, multi_head_attention
from attention.projections import Projections, random_matrix, random_projections


def relu(x: np.ndarray) -> np.ndarray:
    """Return max(x, 0)."""
    return np.maximum(x, 0)


ACTIVATIONS = {"relu": relu, "gelu": gelu}


@dataclass(frozen=True, eq=False)
class BlockWeights:
    """The weights of one block; the arrays are read-only.

    attention: projections with a W_o, so that their output is (T, D) again.
    W_in (D, F), b_in (F,), W_out (F, D), b_out (D,): the feed-forward, with `activation` between.
    gain_1, bias_1, gain_2, bias_2 (D,): the two layer norms, with `eps` added to the variance.
    norm_first: whether each part sees a normalised copy, or the sum is normalised after it.

    Raises ValueError where shapes do not fit.
    """

    attention: Projections
    W_in: np.ndarray
    b_in: np.ndarray
    W_out: np.ndarray
    b_out: np.ndarray
    gain_1: np.ndarray
    bias_1: np.ndarray
    gain_2: np.ndarray
    bias_2: np.ndarray
    activation: str = "gelu"
    norm_first: bool = True
    eps: float = 1e-5

    def __post_init__(self) -> None:
        arrays = as_floats(*(getattr(self, name) for name in _ARRAYS))
        for name, array in zip(_ARRAYS, arrays, strict=True):
            object.__setattr__(self, name, read_only(array))
        _check(self)

    @property
    def d_model(self) -> int:
        """D, the width of what goes in and comes out."""
        return self.attention.d_model

    @property
    def d_ff(self) -> int:
        """F, the width inside the feed-forward."""
        return self.W_in.shape[-1]


_ARRAYS = ("W_in", "b_in", "W_out", "b_out", "gain_1", "bias_1", "gain_2", "bias_2")


@dataclass(frozen=True, eq=False)
class BlockTrace:
    """Every step through one block, each (..., T, D) unless said otherwise; read-only.

    X: what came in. attention: the trace of all heads. attended: its output, through W_o.
    residual_1: X + attended. inner (..., T, F): the feed-forward before its activation;
    active (..., T, F): after it. fed: what the feed-forward returns. output: what goes out.

    Norm first: normed_1 = norm(X) goes into the attention, normed_2 = norm(residual_1) into the
    feed-forward, and residual_2 = residual_1 + fed is the output.
    Norm last: X goes into the attention, normed_1 = norm(residual_1) into the feed-forward, and
    normed_2 = norm(residual_2), residual_2 = normed_1 + fed, is the output.
    """

    weights: BlockWeights
    X: np.ndarray
    attention: AttentionTrace
    attended: np.ndarray
    residual_1: np.ndarray
    normed_1: np.ndarray
    inner: np.ndarray
    active: np.ndarray
    fed: np.ndarray
    residual_2: np.ndarray
    normed_2: np.ndarray
    output: np.ndarray

    def __post_init__(self) -> None:
        for name in _STEPS:
            object.__setattr__(self, name, read_only(getattr(self, name)))


_STEPS = tuple(f.name for f in fields(BlockTrace) if f.name not in ("weights", "attention"))


def block(X, weights: BlockWeights, *, mask=None, is_causal: bool = False) -> BlockTrace:
    """Pass the tokens X (..., T, D) through one block and keep every step.

    mask and is_causal are those of `multi_head_attention`. float32 and float64 are kept; where
    they meet the result is float64. Raises ValueError if X is not (..., T, D) or a step has
    numbers too large for the norms (beyond about 1e18 in float32).
    """
    w = weights
    X = as_floats(X, w.attention.W_q, w.W_in)[0]
    _check_input(X, w)
    with np.errstate(all="ignore"):  # a number that leaves its range is named below
        if w.norm_first:
            normed_1 = layer_norm(X, w.gain_1, w.bias_1, w.eps)
            attention = multi_head_attention(normed_1, w.attention, mask=mask, is_causal=is_causal)
            residual_1 = X + attention.output
            normed_2 = layer_norm(residual_1, w.gain_2, w.bias_2, w.eps)
            inner, active, fed = feed_forward(normed_2, w)
            output = residual_2 = residual_1 + fed
        else:
            attention = multi_head_attention(X, w.attention, mask=mask, is_causal=is_causal)
            residual_1 = X + attention.output
            normed_1 = layer_norm(residual_1, w.gain_1, w.bias_1, w.eps)
            inner, active, fed = feed_forward(normed_1, w)
            residual_2 = normed_1 + fed
            output = normed_2 = layer_norm(residual_2, w.gain_2, w.bias_2, w.eps)
    trace = BlockTrace(
        weights=w,
        X=X,
        attention=attention,
        attended=attention.output,
        residual_1=residual_1,
        normed_1=normed_1,
        inner=inner,
        active=active,
        fed=fed,
        residual_2=residual_2,
        normed_2=normed_2,
        output=output,
    )
    _check_range(trace)
    return trace


def stack(
    X, blocks: Sequence[BlockWeights], *, mask=None, is_causal: bool = False
) -> tuple[BlockTrace, ...]:
    """Pass X (..., T, D) through the blocks one after the other; one trace a block.

    Each block's output is the next one's X. No blocks, no traces.
    """
    traces = []
    for weights in blocks:
        traces.append(block(X, weights, mask=mask, is_causal=is_causal))
        X = traces[-1].output
    return tuple(traces)


def feed_forward(x: np.ndarray, w: BlockWeights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inner = x·W_in + b_in (..., F), active = activation(inner), active·W_out + b_out.

    Every token passes alone: here no token sees another. Vaswani et al. 2017, eq. 2.
    """
    inner = affine(x, w.W_in, w.b_in)  # (..., T, F)
    active = ACTIVATIONS[w.activation](inner)
    return inner, active, affine(active, w.W_out, w.b_out)  # (..., T, D)


def additions(trace: BlockTrace) -> dict[str, np.ndarray]:
    """Return what each part adds to the tokens' vectors, by name, each (..., T, D).

    They sum to output - X. Where the norms come last, each counts as a part: what it changes. Where
    they come first, they change nothing on the way from X to the output.
    """
    if trace.weights.norm_first:
        return {"attention": trace.attended, "feed-forward": trace.fed}
    return {
        "attention": trace.attended,
        "norm 1": trace.normed_1 - trace.residual_1,
        "feed-forward": trace.fed,
        "norm 2": trace.normed_2 - trace.residual_2,
    }


def lengths(vectors) -> np.ndarray:
    """Return the length √(Σ v²) of each vector (..., D), (...)."""
    (vectors,) = as_floats(vectors)
    return np.sqrt(np.square(vectors).sum(axis=-1))


def cosines(a, b) -> np.ndarray:
    """Return the cosine of the angle between the vectors a and b (..., D), (...).

    1 = same direction, 0 = at right angles, -1 = opposite; 0 where either vector is all zeros.
    """
    a, b = as_floats(a, b)
    length = lengths(a) * lengths(b)
    return (a * b).sum(axis=-1) / np.where(length > 0, length, 1)


def random_block(
    d_model: int,
    n_heads: int = 1,
    d_ff: int | None = None,
    *,
    n_kv_heads: int | None = None,
    activation: str = "gelu",
    norm_first: bool = True,
    seed: int = 0,
) -> BlockWeights:
    """Draw an untrained block, float32: normal matrices, biases 0, gains 1.

    Entries have deviation 1/√(number of rows), so that every product keeps its size, and W_in √2
    times that, as the activation halves the mean square (He et al. 2015). d_ff defaults to
    4·d_model, each head is d_model/n_heads wide. The matrices have streams of their own, named
    "W_q" to "W_out", so blocks of a stack need different seeds.
    """
    d_ff = 4 * d_model if d_ff is None else d_ff
    if n_heads < 1 or d_model % n_heads:
        raise ValueError(
            f"d_model is {d_model}, which n_heads = {n_heads} heads cannot share evenly; "
            f"d_model must be a multiple of n_heads."
        )
    attention = random_projections(
        d_model,
        d_model // n_heads,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        seed=seed,
        spread=1,
        with_output=True,
    )
    ones, zeros = np.ones(d_model, np.float32), np.zeros(d_model, np.float32)
    return BlockWeights(
        attention=attention,
        W_in=random_matrix("W_in", d_model, d_ff, seed=seed, spread=2**0.5),
        b_in=np.zeros(d_ff, np.float32),
        W_out=random_matrix("W_out", d_ff, d_model, seed=seed, spread=1),
        b_out=zeros,
        gain_1=ones,
        bias_1=zeros,
        gain_2=ones,
        bias_2=zeros,
        activation=activation,
        norm_first=norm_first,
    )


def _check(w: BlockWeights) -> None:
    """Raise ValueError with what was given, what was expected and what to do."""
    D, F = w.d_model, w.d_ff
    if w.activation not in ACTIVATIONS:
        names = " or ".join(f'"{name}"' for name in ACTIVATIONS)
        raise ValueError(f"activation must be {names}; got {w.activation!r}.")
    if not (np.isfinite(w.eps) and w.eps >= 0):
        raise ValueError(f"eps must be a finite number, 0 or more; got {w.eps}.")
    if w.attention.W_o is None:
        raise ValueError(
            "The attention has no W_o; a block adds its output to X, so it needs one that leads "
            f"back to d_model = {D}."
        )
    shapes = {"W_in": (D, F), "b_in": (F,), "W_out": (F, D), "b_out": (D,)}
    shapes |= dict.fromkeys(("gain_1", "bias_1", "gain_2", "bias_2"), (D,))
    for name, shape in shapes.items():
        array = getattr(w, name)
        if array.shape != shape:
            transposed = array.ndim == 2 and array.T.shape == shape
            raise ValueError(
                f"{name} is {array.shape}; with d_model = {D} and {F} inside the feed-forward it "
                f"must be {shape}.{' It looks transposed: transpose it?' if transposed else ''}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has a number that is not finite; every number must be.")


def _check_input(X: np.ndarray, w: BlockWeights) -> None:
    D = w.d_model
    if X.ndim < 2 or X.shape[-1] != D:
        raise ValueError(f"X is {X.shape}; the block is {D} wide, so X must be (T, {D}).")
    if not np.isfinite(X).all():
        raise ValueError("X has a number that is not finite; every number must be.")


def _check_range(trace: BlockTrace) -> None:
    """Raise ValueError where numbers are so large that a norm's sum of squares would overflow."""
    limit = (np.finfo(trace.X.dtype).max / trace.weights.d_model) ** 0.5
    for name in _STEPS:
        if not (np.abs(getattr(trace, name)) <= limit).all():  # nan fails too
            raise ValueError(
                f"{name} has a number beyond {limit:.0e}, which is too large for the norms in "
                f"{trace.X.dtype}; make X or the weights smaller."
            )
