"""Softmax, layer norm and GELU, and the floats they compute in.

float32 and float64 are kept as given. float16 is computed and returned in float32, as NumPy has no
fast float16 arithmetic; integers and booleans become float64, or take the type of the floats they
stand beside.
"""

import numpy as np
from numpy.polynomial.chebyshev import chebval

_SINGLE, _DOUBLE = {np.dtype(np.float32)}, {np.dtype(np.float64)}


def as_floats(*arrays) -> list[np.ndarray]:
    """Return the arrays in one common floating type: float32 or float64.

    Where float32 meets float64 the result is float64. Raises TypeError for anything that is not a
    real number.
    """
    arrays = [np.asarray(array) for array in arrays]
    dtypes = {array.dtype for array in arrays}
    if dtypes in (_SINGLE, _DOUBLE):
        return arrays
    if any(dtype.kind not in "fiub" for dtype in dtypes):
        given = ", ".join(sorted(str(dtype) for dtype in dtypes))
        raise TypeError(f"Expected arrays of real numbers, float32 or float64; got {given}.")
    sizes = {dtype.itemsize for dtype in dtypes if dtype.kind == "f"}
    dtype = np.float32 if sizes and max(sizes) <= 4 else np.float64
    return [array.astype(dtype, copy=False) for array in arrays]


def read_only(array: np.ndarray) -> np.ndarray:
    """Return a view that cannot be written to; the array itself stays as it was."""
    view = array.view()
    view.flags.writeable = False
    return view


def softmax(x, axis: int = -1, *, where=None) -> np.ndarray:
    """Turn scores into positive weights that sum to 1 along `axis`: e^x / Σ e^x.

    Each row is shifted by its largest score first, which changes nothing but keeps e^x in range.
    `where` (bool, broadcastable to x) leaves out the scores where it is False: their weight is 0,
    as is that of a score of -inf. A row with nothing left gets zeros.
    """
    (x,) = as_floats(x)
    masked = x if where is None else np.where(where, x, -np.inf)
    lowest = np.finfo(x.dtype).min  # so that a row of -inf has a finite peak: e^(-inf - lowest) = 0
    peak = np.maximum.reduce(masked, axis=axis, keepdims=True, initial=lowest)
    with np.errstate(all="ignore"):
        weights = np.subtract(masked, peak, out=None if masked is x else masked)
        np.exp(weights, out=weights)
    total = weights.sum(axis=axis, keepdims=True)
    # The largest score adds e^0 = 1, so a total below 1 is that of a row without any: leave it 0.
    weights /= np.maximum(total, 1)
    return weights


def layer_norm(x, gain, bias, eps: float = 1e-5) -> np.ndarray:
    """Shift and stretch each row to mean 0 and variance 1, then apply gain and bias.

    x (..., D), gain and bias (D,). The variance is that of the population (divided by D), and
    `eps` is added to it. Ba, Kiros and Hinton 2016, eq. 4.
    """
    x, gain, bias = as_floats(x, gain, bias)
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + x.dtype.type(eps)) * gain + bias


def gelu(x) -> np.ndarray:
    """Return x·Φ(x), with Φ the normal distribution function: the exact GELU, not the tanh one.

    Hendrycks and Gimpel 2016. Computed as max(x, 0) - |x|·Φ(-|x|), where Φ(-z) = erfc(z/√2) / 2
    keeps its relative precision far into the tail.
    """
    (x,) = as_floats(x)
    size = np.abs(x)
    tail = erfc(size * x.dtype.type(0.5**0.5)) / 2  # Φ(-|x|)
    return np.maximum(x, 0) - size * tail


# Chebyshev series of erfc(z)·exp(z²)/t over t = 1/(1 + 0.4z), 0 < t <= 1, that is for all z >= 0;
# fitted in 40-digit arithmetic. 25 terms are good for float64, 11 for float32.
_ERFC = np.array(
    [
        *(0.516114665942908669, 0.371225063853147632, 0.095658600500948878),
        *(0.0161278402271369572, 0.00110914215541970078, -0.000192988229808750499),
        *(-4.59513113752927102e-5, 2.20724339307190749e-6, 1.51215777041011994e-6),
        *(-4.21986403435045213e-8, -5.48126009224214296e-8, 2.60041969379456012e-9),
        *(2.1572867903990476e-9, -2.21153447072969021e-10, -8.33377079444689969e-11),
        *(1.70272570005640737e-11, 2.54197520412613058e-12, -1.13324053759999434e-12),
        *(-3.77173692020881265e-15, 6.22896418492123358e-14, -8.28198028421474734e-15),
        *(-2.38900841601380599e-15, 8.6307876403283602e-16, 3.31517332193331339e-18),
        -5.43407676973875769e-17,
    ]
)


def erfc(z: np.ndarray) -> np.ndarray:
    """Return the complementary error function of z >= 0, to about the precision of z's type."""
    series = _ERFC[:11].astype(np.float32) if z.dtype == np.float32 else _ERFC
    z = np.minimum(z, z.dtype.type(40))  # erfc(40) is 0 in float64, and z² stays in range
    t = 1 / (1 + z.dtype.type(0.4) * z)
    return t * np.exp(-z * z) * chebval(2 * t - 1, series)
