"""Sentence -> `Tokens`: words and punctuation, for display as typed and for look-up.

The cuts are those of the text that GloVe was trained on (Penn Treebank style), so that pieces have
word vectors of their own:

- "don't" is "do" "n't", "cat's" is "cat" "'s" (either apostrophe), "o'clock" stays whole;
- "U.S.", "e.g." and "Mr." keep their full stops; elsewhere "." is a token, and so is "...";
- 3.5, 1,000, 8:30 and 1/2 are one token each, "10th" and "h1n1" too;
- hyphens are tokens: of the hyphenated words in GloVe's list, weighted by 1/rank, 3 % are among the
  20,000 most frequent, but 81 % consist of such words ("self-attention" -> "self" "-" "attention");
- Chinese characters and Japanese kana are one token each (they are written without spaces);
- an emoji is one token, with its skin tone, its joined parts, or both letters of a flag;
- a combining or invisible character belongs to the character before it.

The cuts are decided on the sentence's skeleton, which writes one character for each of the
sentence's characters: ASCII letters in lower case, punctuation as it is, "0" for any digit, "'"
for any apostrophe, a capital letter for each other kind. Unicode Standard Annex 29 draws the same
kinds of boundaries with more rules.
"""

import re
import unicodedata
from dataclasses import dataclass

DEFAULT_SENTENCE = "The cat sat on the mat. It is eating now."  # the first screen's

APOSTROPHES = "'\u2019\u02bc\uff07"  # typewriter, typographic, modifier letter, full width
TO_TYPEWRITER_APOSTROPHE = str.maketrans(dict.fromkeys(APOSTROPHES, "'"))
UNSPACED_SCRIPTS = (
    "CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA", "BOPOMOFO",
)  # fmt: skip

# The skeleton's letters: a-z as they are; L other letter, 0 digit, C character of an unspaced
# script, S symbol, R half a flag, T skin tone, J joiner, K keycap, M mark or invisible,
# Z invisible that ends a word.
CLITIC = r"'(?:s|m|d|re|ve|ll)(?![a-zL0])"
NOT = r"n't(?![a-zL0])"
SYMBOL = r"[ST][MK]*T?[MK]*"
TOKEN = re.compile(
    rf"""
    [MJKZ]*                                           # what has nothing before it to join
    (?:
        RR                                            # flag
      | [0#*] M? K                                    # keycap
      | {SYMBOL} (?: J+ {SYMBOL} )*                   # emoji, joined emoji, other symbol
      | [a-zL] M* (?: \. [a-zL] M* )+ (?: \.(?!\.) | (?![a-zL0MJ]) )    # U.S., e.g.
      | (?: mr | mrs | ms | dr | prof | st | jr | sr | vs | etc ) \. (?!\.)
      | 0{{1,3}} (?: ,000 )+ (?!0) (?: \.0+ )?        # 1,000 and 1,000.50
      | 0+ (?: [.:/] 0+ )+                            # 3.5, 8:30, 1/2
      | {NOT}                                         # n't
      | (?<=[a-zL0MJ]) {CLITIC}                       # 's, 'll, ... after a word
      | {CLITIC} (?!')                                # or alone, but not the quotation 's'
      | [a-zL0] (?: (?!{NOT}|0M?K) [a-zL0MJ] | (?!{CLITIC}) ' (?=[a-zL0]) )*    # word
      | \.+ | -+ | _+                                 # ... and --
      | [^\ MJKZ]                                     # any other character
    )
    [MJK]* Z*
    | [MJKZ]+                                         # nothing visible between two spaces
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Tokens:
    """The tokens of one sentence, in order.

    `texts` are the tokens exactly as typed, for display: together they are the sentence without
    its white space. `words` are the same tokens for look-up: composed (NFC), case-folded, with
    typewriter apostrophes and without invisible characters.
    """

    texts: tuple[str, ...]
    words: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)


def tokenize(sentence: str) -> Tokens:
    """Cut `sentence` into words and punctuation; blank gives no tokens, and no text is an error.

    Takes time proportional to the sentence's length. The rules stand at the top of this module.
    """
    skeleton = sentence.translate({ord(char): kind(char) for char in set(sentence)})
    texts = tuple(sentence[slice(*match.span())] for match in TOKEN.finditer(skeleton))
    return Tokens(texts, words=tuple(look_up_form(text) for text in texts))


def kind(char: str) -> str:
    """Return the skeleton's one character for `char`."""
    if char.isspace():
        return " "
    if char in APOSTROPHES:
        return "'"
    if char.isdecimal():
        return "0"
    if char.isascii():
        return char.lower() if char.isprintable() else "Z"
    code, category = ord(char), unicodedata.category(char)
    if code == 0x200D:  # ZERO WIDTH JOINER
        return "J"
    if code == 0x20E3:  # COMBINING ENCLOSING KEYCAP
        return "K"
    if category == "Cc" or code == 0x200B:  # ZERO WIDTH SPACE
        return "Z"
    if category in ("Mn", "Mc", "Me", "Cf") or code in (0xFF9E, 0xFF9F):  # half-width kana marks
        return "M"
    if 0x1F1E6 <= code <= 0x1F1FF:  # regional indicators
        return "R"
    if 0x1F3FB <= code <= 0x1F3FF:
        return "T"
    if not char.isalnum() or unicodedata.decomposition(char).startswith("<fraction>"):
        return "S"
    return "C" if unicodedata.name(char, "").startswith(UNSPACED_SCRIPTS) else "L"


def look_up_form(text: str) -> str:
    """Return the form of one token under which its vector is looked up.

    The same word gives the same form however its accents, capitals and apostrophes are typed.
    A token of invisible characters alone keeps them, so that no form is empty.
    """
    if text.isascii() and text.isprintable():
        return text.lower()
    visible = "".join(char for char in text if not is_ignorable(char)) or text
    folded = unicodedata.normalize("NFC", visible).casefold().translate(TO_TYPEWRITER_APOSTROPHE)
    whole = folded.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # no half pairs
    return unicodedata.normalize("NFC", whole)


def is_ignorable(char: str) -> bool:
    """Say whether `char` is a control, formatting or variation character that names no word."""
    if 0xE0020 <= ord(char) <= 0xE007F:  # tag letters tell the flag of England from Scotland's
        return False
    if unicodedata.category(char) in ("Cc", "Cf"):
        return True
    return unicodedata.name(char, "").startswith("VARIATION SELECTOR")
