"""Tokens: by hand, against NLTK's Penn Treebank tokenizer, and by their laws."""

import json
import time
import unicodedata
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from attention.text import tokenize

GOLDEN = json.loads((Path(__file__).parent / "golden" / "tokens.json").read_text("utf-8"))["tokens"]


def cut(sentence):
    """Return the tokens of `sentence`, a blank between them, as easy to read as to write."""
    return " ".join(tokenize(sentence).texts)


# By hand


def test_the_first_sentence():
    tokens = tokenize("The cat sat on the mat. It is eating now.")
    assert " ".join(tokens.texts) == "The cat sat on the mat . It is eating now ."
    assert " ".join(tokens.words) == "the cat sat on the mat . it is eating now ."
    assert len(tokens) == 12


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        # Contractions, possessives and other apostrophes
        ("don't", "do n't"),
        ("don’t", "do n’t"),
        ("Cat's cats' CAT’S", "Cat 's cats ' CAT ’S"),
        ("I'm he'd they're we've it'll", "I 'm he 'd they 're we 've it 'll"),
        ("they'd've can't won't cannot", "they 'd 've ca n't wo n't cannot"),
        ("o'clock O'Brien rock'n'roll l'homme", "o'clock O'Brien rock'n'roll l'homme"),
        ("'cat' ‘cat’ \"cat\" “cat”", "' cat ' ‘ cat ’ \" cat \" “ cat ”"),
        ("the letter 's', 'it is', 'don't'", "the letter ' s ' , ' it is ' , ' do n't '"),
        ("the cat 's name is n't", "the cat 's name is n't"),
        ("n'ta mustn'ta", "n'ta mustn'ta"),
        # Full stops
        ("Mr. Smith, Dr. No etc.", "Mr. Smith , Dr. No etc."),
        ("the U.S. at 5 p.m., e.g. here", "the U.S. at 5 p.m. , e.g. here"),
        ("U.S.A and a.b.cat", "U.S.A and a.b. cat"),
        ("Wait... no.. etc...", "Wait ... no .. etc ..."),
        ("mat.It I.am", "mat . It I . am"),
        # Numbers
        ("3.5 1,000 1,000,000.50 0.5", "3.5 1,000 1,000,000.50 0.5"),
        ("1,2,3 1,0000 1000,000", "1 , 2 , 3 1 , 0000 1000 , 000"),
        ("8:30am 1/2 24/7 1.2.3.4", "8:30 am 1/2 24/7 1.2.3.4"),
        ("It has 9. $5 50% #1 -3 3½", "It has 9 . $ 5 50 % # 1 - 3 3 ½"),
        ("10th 1990s h1n1 3D x²", "10th 1990s h1n1 3D x²"),
        ("٣٫٥ १२", "٣ ٫ ٥ १२"),
        # Hyphens, dashes, underscores
        ("well-known self-attention", "well - known self - attention"),
        ("a -- b --- c — d – e", "a -- b --- c — d – e"),
        ("snake_case __init__", "snake _ case __ init __"),
        # Other scripts
        ("Ωμέγα Привет naïve", "Ωμέγα Привет naïve"),
        ("我爱猫。", "我 爱 猫 。"),
        ("ねこはカナ、ｶﾞｯ々", "ね こ は カ ナ 、 ｶﾞ ｯ 々"),
        ("か\u3099 𠮷野家", "か\u3099 𠮷 野 家"),
        ("고양이가 앉았다.", "고양이가 앉았다 ."),
        ("החתול ישב, נכון?", "החתול ישב , נכון ?"),
        ("مَرْحَبًا، نمی\u200cخواهم", "مَرْحَبًا ، نمی\u200cخواهم"),
        ("हिन्दी क्षि।", "हिन्दी क्षि ।"),
        ("cat和dog", "cat 和 dog"),
        # Emoji
        ("hi😀😀!", "hi 😀 😀 !"),
        ("👍🏽👍 ❤️☃", "👍🏽 👍 ❤️ ☃"),
        ("👨‍👩‍👧‍👦👩🏽‍🚀🏳️‍🌈🏴‍☠️🙂‍↔️", "👨‍👩‍👧‍👦 👩🏽‍🚀 🏳️‍🌈 🏴‍☠️ 🙂‍↔️"),
        ("🇫🇷🇩🇪 🇫", "🇫🇷 🇩🇪 🇫"),
        ("🏴󠁧󠁢󠁥󠁮󠁧󠁿🏴󠁧󠁢󠁳󠁣󠁴󠁿", "🏴󠁧󠁢󠁥󠁮󠁧󠁿 🏴󠁧󠁢󠁳󠁣󠁴󠁿"),
        ("1️⃣2️⃣#️⃣ cat1️⃣ 12", "1️⃣ 2️⃣ #️⃣ cat 1️⃣ 12"),
        # Invisible, control and stray combining characters stay with a neighbour
        ("\ufeffThe soft\u00adhyphen\u200f.", "\ufeffThe soft\u00adhyphen\u200f ."),
        ("a\u200bb \u200bc\x00d\x07", "a\u200b b \u200bc\x00 d\x07"),
        ("\u0301 x\u0301\u0323y", "\u0301 x\u0301\u0323y"),
        ("a \u200b b", "a \u200b b"),
        # Nothing but tokens
        ("<b onclick=x>&amp;</b>", "< b onclick = x > & amp ; < / b >"),
        ("[a](https://e.com/x) **b** `c`", "[ a ] ( https : / / e . com / x ) * * b * * ` c `"),
        (":red[x] $\\frac{1}{2}$", ": red [ x ] $ \\ frac { 1 } { 2 } $"),
        ("{{x}} %s \\n '; DROP", "{ { x } } % s \\ n ' ; DROP"),
    ],
)
def test_cuts(sentence, expected):
    assert cut(sentence) == expected


@pytest.mark.parametrize("sentence", ["", " ", "\n\t \r\n", "\u00a0\u2003\u3000\u2028\x1c"])
def test_a_blank_sentence_has_no_tokens(sentence):
    tokens = tokenize(sentence)
    assert (tokens.texts, tokens.words, len(tokens)) == ((), (), 0)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("CAT", "cat"),
        ("Café", "café"),
        ("cafe\u0301", "caf\u00e9"),
        ("각", "\u1100\u1161\u11a8"),  # decomposed, composed below
        ("STRASSE", "strasse"),
        ("straße", "strasse"),
        ("ΟΔΟΣ", "οδοσ"),
        ("α\u0345\u0301", "ά\u03b9"),  # marks in another order than Unicode's
        ("O’Clock", "o'clock"),
        ("OʼCLOCK", "o'clock"),
        ("’", "'"),
        ("soft\u00adhy\u200dphen\ufeff\x00", "softhyphen"),
        ("❤\ufe0f", "❤"),
        ("\u200b", "\u200b"),
        ("\x00", "\x00"),
        ("x\ud800", "x\ufffd"),
        ("🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"),
    ],
)
def test_words_are_ready_for_look_up(text, word):
    tokens = tokenize(text)
    folded = tuple(
        found.rstrip("\ufffd") + "\ufffd" * ("\ufffd" in found) for found in tokens.words
    )
    assert "".join(folded) == unicodedata.normalize("NFC", word)


def test_contractions_are_found_with_either_apostrophe():
    assert tokenize("DON’T Cat’s").words == tokenize("don't cat's").words


def test_tokens_are_frozen_and_compare_by_content():
    tokens = tokenize("A cat")
    assert tokens == tokenize(" A  cat ") and hash(tokens) == hash(tokenize("A cat"))
    assert tokens != tokenize("a cat")
    with pytest.raises(FrozenInstanceError):
        tokens.texts = ()


# Against NLTK


@pytest.mark.parametrize("sentence", GOLDEN)
def test_agrees_with_nltk(sentence):
    assert list(tokenize(sentence).texts) == GOLDEN[sentence]


# Laws

TRICKY = (
    "aZ é\u0301'’n't s.,:/-_0 9½#*\u200d\u200b\u200c\ufe0f\u20e3👍🏽👩🇫🇷"
    "我カ\u3099각ß\u00ad\x00\n\ud800Σİ"
)
SENTENCES = st.one_of(
    st.text(max_size=40),
    st.text(alphabet=TRICKY, max_size=30),
    st.lists(st.sampled_from(["don't", "U.S.", "1,000", "Mr.", "cat", "...", "'s", " ", "a"])).map(
        "".join
    ),
)


def visible(sentence):
    return "".join(char for char in sentence if not char.isspace())


@settings(max_examples=300, deadline=None)
@given(SENTENCES)
@example("a\u200bb")
@example("\x1fa\u2028b\u0085")
@example("\ud800")
def test_together_the_tokens_are_the_sentence_without_its_white_space(sentence):
    tokens = tokenize(sentence)
    assert "".join(tokens.texts) == visible(sentence)
    assert all(tokens.texts) and all(tokens.words)
    assert len(tokens.texts) == len(tokens.words) == len(tokens)


@settings(max_examples=200, deadline=None)
@given(SENTENCES)
def test_white_space_always_ends_a_token(sentence):
    assert not any(char.isspace() for text in tokenize(sentence).texts for char in text)


@settings(max_examples=200, deadline=None)
@given(SENTENCES, SENTENCES)
def test_two_sentences_apart_are_cut_like_each_alone(first, second):
    both = tokenize(f"{first}\n{second}")
    assert both.texts == tokenize(first).texts + tokenize(second).texts
    assert both.words == tokenize(first).words + tokenize(second).words


@pytest.mark.parametrize(
    "sentence",
    [
        *GOLDEN,
        "they'd've can't 'cat' 1,0000 U.S... etc... a.b.cat 我爱👍🏽🇫🇷🇩🇪 a\u200bb snake__case",
    ],
)
def test_cutting_again_changes_nothing(sentence):
    tokens = tokenize(sentence)
    assert tokenize(" ".join(tokens.texts)) == tokens


@settings(max_examples=200, deadline=None)
@given(SENTENCES)
def test_words_do_not_depend_on_how_accents_are_typed(sentence):
    composed, decomposed = (unicodedata.normalize(form, sentence) for form in ("NFC", "NFD"))
    if unicodedata.normalize("NFC", decomposed) == composed:
        assert "".join(tokenize(composed).words) == "".join(tokenize(decomposed).words)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="abcXYZéÉñΩωЖж .,!", max_size=30))
def test_words_do_not_depend_on_capitals(sentence):
    assert tokenize(sentence.upper()).words == tokenize(sentence.lower()).words


@settings(max_examples=200, deadline=None)
@given(SENTENCES)
def test_words_are_composed_folded_and_encodable(sentence):
    for word in tokenize(sentence).words:
        assert word == unicodedata.normalize("NFC", word)
        word.encode("utf-8")


@pytest.mark.parametrize(
    "pattern",
    ["The cat's mat, isn't it? ", "a", "'", "a'", "a.", "0,000", "0,0000", "0", "0.", "n't", "'s'",
     "\u200d", "😀\u200d", "\u0301", "a.a\u0301", "\u200b", "\u0301 ", "我", "🇫", "1\ufe0f", "."],
)  # fmt: skip
def test_a_hundred_thousand_characters_take_no_time(pattern):
    sentence = pattern * (100_000 // len(pattern))
    start = time.perf_counter()
    tokens = tokenize(sentence)
    assert time.perf_counter() - start < 3  # about 0.1 s; anything quadratic takes minutes
    assert "".join(tokens.texts) == visible(sentence)
