"""How numbers and words are written on every page.

Numbers lose their leading zero and take a true minus sign (−.71), as in the heatmaps. Words that a
person typed never reach Markdown or Plotly's HTML as they are: `in_markdown` and `in_plotly` make
them show letter by letter.
"""

import unicodedata

import numpy as np

TURNING = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))
LABEL = 9  # letters of a token, as they are seen, that a chart shows


def number(value: float, decimals: int = 2) -> str:
    """Write a number with fixed decimals: −.71, 2.00, .00."""
    text = f"{value:.{decimals}f}"
    if not text.strip("-0."):
        text = text.lstrip("-")
    text = text.replace("-0.", "-.", 1) if text.startswith("-0.") else text
    text = text[1:] if text.startswith("0.") else text
    return text.replace("-", "−")


def portion(weight: float) -> str:
    """Write a weight: with three decimals where two would call a little less than one 1.00."""
    return number(weight, 3 if 0.995 <= weight < 0.9995 else 2)


def short(value: float) -> str:
    """Write a number in at most four characters where it can be: 26, −1.7, .4."""
    return number(value, 0 if abs(value) >= 9.95 else 1)


def short_cells(values: np.ndarray, decimals: int | None = None) -> list[str]:
    """Write an array's numbers for the cells of a heatmap."""
    if decimals is None:
        return [short(value) for value in values.tolist()]
    return [number(value, decimals) for value in values.tolist()]


def round_up(value: float) -> float:
    """Round a positive number up to 1, 1.5, 2, 3, 4, 5, 6 or 8 times a power of ten.

    1 for what is not positive, or so small that a colour scale cannot end there.
    """
    if not value > 1e-30:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    step = next((s for s in (1, 1.5, 2, 3, 4, 5, 6, 8) if s * power >= value * (1 - 1e-9)), 10)
    return float(step * power)


def is_plain(character: str) -> bool:
    """True for letters, marks, digits, emoji and the like: what no markup language reads."""
    return unicodedata.category(character)[0] in "LMN" or unicodedata.category(character) == "So"


def in_markdown(token: str) -> str:
    """Write a token so that Streamlit's Markdown shows it letter by letter.

    Every character that could start markup becomes a character reference, which Markdown never
    reads as markup. A token that could be a whole address or directive by itself does not exist:
    the tokenizer splits at every such sign; should one come, each sign in it is a reference too.
    A word that is written from right to left is isolated, or it would turn the numbers after it.
    """
    letters = turning_shown(token)
    return isolated("".join(c if is_plain(c) else f"&#{ord(c)};" for c in letters))


def isolated(text: str) -> str:
    """Keep a right-to-left word from pulling the numbers after it into its own order."""
    if any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in text):
        return f"\u2068{text}\u2069"  # first strong isolate, pop directional isolate
    return text


def in_plotly(token: str) -> str:
    """Write a token so that Plotly's labels and hover text show it letter by letter."""
    letters = turning_shown(token)
    return letters.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def turning_shown(token: str) -> str:
    """Write invisible characters that turn the text after them by their number: ⟨202E⟩."""
    return "".join(f"⟨{ord(c):X}⟩" if c in TURNING else c for c in token)


def label(token: str) -> str:
    """Cut a token to what fits beside a chart, between two letters as they are seen."""
    token = turning_shown(token)
    if len(token) <= LABEL:
        return token
    starts = [place for place in range(len(token)) if not _joins(token, place)]
    return token if len(starts) <= LABEL else token[: starts[LABEL - 1]] + "…"


def _joins(token: str, place: int) -> bool:
    """True where a character belongs to the one before: an accent, a skin tone, a joined emoji."""
    if place == 0:
        return False
    character = token[place]
    joins = unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf")
    return joins or "\U0001f3fb" <= character <= "\U0001f3ff" or token[place - 1] == "\u200d"


def distinct(texts: tuple[str, ...]) -> list[str]:
    """Write tokens for a list to choose from; those that occur twice get their place: the 5."""
    return [
        f"{text} {place + 1}" if texts.count(text) > 1 else text for place, text in enumerate(texts)
    ]


def plural(count: int, thing: str) -> str:
    """Write a count with its thing: 1 word, 3 words."""
    return f"{count:,} {thing}" + ("" if count == 1 else "s")
