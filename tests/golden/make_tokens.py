"""Make tokens.json: English sentences as NLTK's Penn Treebank tokenizer cuts them.

    pip install nltk
    python tests/golden/make_tokens.py

Left out is what GloVe's vocabulary or this project does otherwise, on purpose: hyphens, quotation
marks (NLTK rewrites them), "cannot" and "gonna" (one word in GloVe's list), "and/or".
"""

import json
from importlib.metadata import version
from pathlib import Path

from nltk.tokenize import NLTKWordTokenizer

SENTENCES = [
    "The cat sat on the mat.",
    "It is eating now.",
    "The animal didn't cross the street because it was too tired.",
    "I can't, I won't, and you shouldn't.",
    "She's sure they're late; we've waited, and I'm cold.",
    "He'd go if you'll go.",
    "The dogs' owner isn't here, is he?",
    "The cat's name (a long one) is Mr. Whiskers!",
    "Dr. Who met Mrs. Jones at 8:30 p.m. in the U.S. capital.",
    "It rose 3.5% to 1,000 points, i.e. 1,234,567.89 in all...",
    "Wait... what?",
    "Pay $5 & keep #1 @ home.",
    "The O'Brien brothers left at nine o'clock.",
    "In the 1990s, on the 10th, H1N1 spread: badly.",
    "A café in São Paulo, naïve as ever.",
]


def main() -> None:
    """Cut and save."""
    tokenizer = NLTKWordTokenizer()
    golden = {sentence: tokenizer.tokenize(sentence) for sentence in SENTENCES}
    content = {"made_by": f"nltk {version('nltk')}", "tokens": golden}
    path = Path(__file__).with_name("tokens.json")
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
