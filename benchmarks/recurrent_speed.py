"""How long the recurrent networks take, and how fast each forgets.

200 standard normal words, d = 50, N = 32, untrained; float32, one BLAS thread. Run from the
project's root: OPENBLAS_NUM_THREADS=1 PYTHONPATH=. python benchmarks/recurrent_speed.py
"""

from time import perf_counter

import numpy as np

from attention.projections import random_projections
from attention.randomness import stable_rng
from attention.recurrent import (
    INITIALISATIONS,
    attention_influence,
    half_life,
    influence,
    recurrent,
    recurrent_weights,
    share,
)

T, D, N, DRAWS = 200, 50, 32, 20


def words(seed: int) -> np.ndarray:
    return stable_rng("words", seed).standard_normal((T, D)).astype(np.float32)


def milliseconds(function, repeats: int = 11) -> float:
    times = []
    for _ in range(repeats):
        start = perf_counter()
        function()
        times.append(perf_counter() - start)
    return 1e3 * float(np.median(times))


def main() -> None:
    print("network  start           read  derivative   half-life (min-max)     left 100 back")
    for kind, inits in INITIALISATIONS.items():
        for init in inits:
            traces = [
                recurrent(words(seed), recurrent_weights(kind, D, N, init=init, seed=seed))
                for seed in range(DRAWS)
            ]
            felt = np.array([influence(trace) for trace in traces])  # (draws, T)
            lives = [half_life(row) for row in felt]
            reading = milliseconds(lambda trace=traces[0]: recurrent(trace.X, trace.weights))
            deriving = milliseconds(lambda trace=traces[0]: influence(trace))
            print(
                f"{kind:8} {init:14} {reading:4.1f} ms {deriving:5.1f} ms  "
                f"{np.median(lives):7.2f} ({min(lives):.2f}-{max(lives):.2f})  "
                f"{np.mean(felt[:, -101] / felt[:, -1]):12.1e}"
            )
    projections = random_projections(D, N)
    shares = share(attention_influence(words(0), projections))
    deriving = milliseconds(lambda: attention_influence(words(0), projections))
    print(
        f"attention {deriving:23.1f} ms   share of a word {shares[:-1].mean():.4f} "
        f"(1/T = {1 / T:.4f}), of the query's own {shares[-1]:.2f}"
    )


if __name__ == "__main__":
    main()
