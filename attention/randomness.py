"""Random numbers that stay the same everywhere and for years.

A shared link carries a seed, so the seed must give the same numbers on every machine and in every
process. `hash()` is salted per process, and NumPy's `Generator` may change its streams between
releases; `RandomState` is frozen (NumPy Enhancement Proposal 19), so it is what we use.
"""

import hashlib

import numpy as np


def stable_rng(*key: int | str) -> np.random.RandomState:
    """Return a generator that depends on `key` alone, e.g. `stable_rng("W_q", 7)`.

    The key is digested with BLAKE2b, so neighbouring seeds give unrelated streams and every
    matrix, word or experiment has a stream of its own.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in key)
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=32).digest()
    return np.random.RandomState(np.frombuffer(digest, dtype="<u4"))
