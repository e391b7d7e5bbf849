"""How numbers and words are written: numbers as printed, and tokens that mean harm."""

import html
import re
import unicodedata

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from attention.text import tokenize
from pages.shared.wording import (
    LABEL,
    distinct,
    in_markdown,
    in_plotly,
    is_plain,
    label,
    number,
    plural,
    portion,
    round_up,
    short,
    short_cells,
    turning_shown,
)

many = settings(max_examples=300, deadline=None)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
HOSTILE = (
    "<b>bold</b>",
    "<script>alert(1)</script>",
    "<img src=http://evil.example/x.png>",
    "<a href='https://evil.example'>x</a>",
    "&lt;",
    "&amp;",
    "&#65;",
    "![x](http://evil.example/y.png)",
    "[link](http://evil.example)",
    "https://evil.example",
    "www.evil.example",
    "me@evil.example",
    ":red[x]",
    ":material/home:",
    ":smile:",
    ":blue-badge[x]",
    "$\\frac{1}{2}$",
    "$$",
    "**x**",
    "__x__",
    "~~x~~",
    "`x`",
    "```",
    "# x",
    "1. x",
    "- x",
    "> x",
    "|x|",
    "---",
    "\\*",
    "x\\",
    "]",
    "[",
    "%{z}",
    "%{customdata}",
    "->",
    "<-",
    "--",
    ">=",
    "\u200b",
    "\u0007",
    "    x",
)


# ---- numbers


@pytest.mark.parametrize(
    ("weight", "printed"),
    [(1, "1.00"), (0.9996, "1.00"), (0.997, ".997"), (0.994, ".99"), (0.1, ".10"), (0, ".00")],
)
def test_a_little_less_than_one_is_not_one(weight, printed):
    assert portion(weight) == printed


@pytest.mark.parametrize(
    ("value", "decimals", "printed"),
    [
        (0.714, 2, ".71"),
        (-0.714, 2, "−.71"),
        (2, 2, "2.00"),
        (-12.5, 1, "−12.5"),
        (0, 2, ".00"),
        (-0.0, 2, ".00"),
        (-0.004, 2, ".00"),
        (0.999, 2, "1.00"),
        (-0.999, 2, "−1.00"),
        (0.4, 0, "0"),
        (-0.4, 0, "0"),
        (10, 0, "10"),
        (100, 0, "100"),
        (10.05, 1, "10.1"),
        (0.05, 1, ".1"),
        (1e6, 0, "1000000"),
        (1e-9, 9, ".000000001"),
        (np.float32(0.1), 3, ".100"),
    ],
)
def test_numbers_by_hand(value, decimals, printed):
    assert number(value, decimals) == printed


@many
@given(st.floats(-1e9, 1e9), st.integers(0, 9))
@example(-0.05, 1)
@example(-0.5, 0)
@example(0.5, 0)
def test_a_printed_number_reads_as_the_number_rounded(value, decimals):
    printed = number(value, decimals)
    assert re.fullmatch(r"−?\d*(\.\d+)?", printed) and printed != "−"
    assert len(printed.partition(".")[2]) == decimals
    assert float(printed.replace("−", "-")) == float(f"{value:.{decimals}f}")
    assert not re.fullmatch(r"−[.0]*", printed)  # no minus before nothing


@pytest.mark.parametrize(
    ("value", "printed"),
    [(26.4, "26"), (-1.72, "−1.7"), (0.42, ".4"), (9.94, "9.9"), (9.96, "10"), (-9.96, "−10")]
    + [(0, ".0"), (-0.04, ".0"), (0.96, "1.0"), (-999.4, "−999")],
)
def test_short_numbers(value, printed):
    assert short(value) == printed and len(printed) <= 4


@many
@given(st.floats(-999, 9999))
def test_short_numbers_have_at_most_four_characters(value):
    assert len(short(value)) <= 4


def test_cells_are_written_one_by_one():
    assert short_cells(np.float32([0.25, -12])) == [".2", "−12"]
    assert short_cells(np.float32([0.25, -12]), 2) == [".25", "−12.00"]


@pytest.mark.parametrize(
    ("value", "limit"),
    [(1, 1), (1.01, 1.5), (2.5, 3), (3.2, 4), (4.5, 5), (5.1, 6), (6.1, 8), (8.1, 10), (97, 100)]
    + [(0.04, 0.04), (0.041, 0.05), (123, 150), (0, 1), (-3, 1), (float("nan"), 1), (5e-324, 1)],
)
def test_the_end_of_a_colour_scale_by_hand(value, limit):
    assert round_up(value) == pytest.approx(limit)


@many
@given(st.floats(1e-29, 1e38))
@example(1e-29)
@example(float(np.finfo(np.float32).max))
def test_the_end_of_a_colour_scale_is_round_and_not_far(value):
    limit = round_up(value)
    assert value * (1 - 1e-8) <= limit <= 2 * value
    power = 10.0 ** np.floor(np.log10(limit) + 1e-9)
    assert round(limit / power, 6) in (1, 1.5, 2, 3, 4, 5, 6, 8)
    assert round_up(limit) == pytest.approx(limit)


# ---- tokens in Markdown


@many
@given(text)
@example("<b>&amp;*_`$:[]()#\\|~!-+.>{}'\"^=@%/")
def test_markdown_sees_letters_and_character_references_only(token):
    written = in_markdown(token)
    bare = re.sub(r"&#\d+;", "", written).removeprefix("\u2068").removesuffix("\u2069")
    assert all(is_plain(character) for character in bare)
    assert not set(bare) & set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ \t\n")
    assert seen(written) == turning_shown(token)


@pytest.mark.parametrize("token", HOSTILE)
def test_hostile_words_come_back_as_typed(token):
    assert seen(in_markdown(token)) == token
    for part in tokenize(token).texts:
        assert seen(in_markdown(part)) == part


def seen(written: str) -> str:
    """Character references back to characters, one by one, controls too; isolation taken off."""
    text = re.sub(r"&#(\d+);", lambda found: chr(int(found[1])), written)
    return text.removeprefix("\u2068").removesuffix("\u2069")


def test_words_of_every_script_stay_readable():
    for word in ("cat", "猫", "éa", "e\u0301", "हिन्दी", "😀", "42"):
        assert in_markdown(word) == word


@pytest.mark.parametrize("word", ["שלום", "مرحبا", "ﷺ", "a\u05d0b", "٣"])
def test_a_word_from_right_to_left_is_isolated_and_cannot_turn_the_numbers_after_it(word):
    assert in_markdown(word) == f"\u2068{word}\u2069"  # first strong isolate ... pop


@many
@given(
    st.text(
        st.sampled_from("aא<\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"), max_size=9
    )
)
@example("ab\u202ecd")
@example("\u2069\u202e")
def test_nothing_a_word_holds_turns_the_text_after_it(token):
    for written in (in_markdown(token), in_plotly(token)):
        inside = written.removeprefix("\u2068").removesuffix("\u2069")
        text = re.sub(r"&#(\d+);", lambda found: chr(int(found[1])), inside)
        assert not set(text) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert turning_shown("ab\u202ecd") == "ab⟨202E⟩cd"


def test_plain_is_letters_marks_digits_and_emoji():
    assert all(map(is_plain, "aéЖ猫א0٣😀©\u0301"))
    assert not any(map(is_plain, "!#$%&()*+-./:;<=>@[]\\^_`{|}~ \u200b\u202e\t"))
    assert not any(is_plain(chr(c)) for c in range(128) if not chr(c).isalnum())


# ---- tokens in Plotly


@many
@given(text)
def test_plotly_gets_no_tag_and_no_entity(token):
    written = in_plotly(token)
    assert "<" not in written and ">" not in written
    assert "&" not in re.sub(r"&(amp|lt|gt);", "", written)
    assert html.unescape(written) == html.unescape(html.unescape(written)) or "&" in token
    shown = written.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert shown == turning_shown(token)


@pytest.mark.parametrize("token", HOSTILE)
def test_hostile_labels_come_back_as_typed(token):
    assert html.unescape(in_plotly(token)) == token


@pytest.mark.parametrize(
    ("token", "cut"),
    [
        ("cat", "cat"),
        ("ninechars", "ninechars"),
        ("tencharact", "tenchara…"),
        ("e\u0301" * 9, "e\u0301" * 9),  # nine letters with their accents
        ("e\u0301" * 10, "e\u0301" * 8 + "…"),
        ("👩🏽‍👩🏽‍👧🏽‍👦🏽", "👩🏽‍👩🏽‍👧🏽‍👦🏽"),  # one emoji of eleven characters
        ("क्षत्रियकुलोत्पन्नसिंहासन", "क्षत्रियकुलोत्…"),
        ("", ""),
    ],
)
def test_labels_are_cut_between_letters_as_they_are_seen(token, cut):
    assert label(token) == cut


@many
@given(text)
def test_labels_are_short(token):
    cut, whole = label(token), turning_shown(token)
    assert cut == whole or (cut.endswith("…") and whole.startswith(cut[:-1]))
    seen = [c for c in cut if unicodedata.category(c) not in ("Mn", "Mc", "Me", "Cf")]
    assert len(seen) <= LABEL + 1


# ---- lists of tokens


def test_equal_words_get_their_place():
    assert distinct(("the", "cat", "the")) == ["the 1", "cat", "the 3"]
    assert distinct(()) == []


@many
@given(st.lists(st.sampled_from(["the", "cat", "3", "the 3", "the 1", "<b>"]), max_size=64))
def test_names_in_a_list_are_never_equal(texts):
    names = distinct(tuple(texts))
    assert len(names) == len(texts)
    assert all(name.startswith(given_text) for name, given_text in zip(names, texts, strict=True))
    if not any(" " in given_text for given_text in texts):  # as tokens are
        assert len(set(names)) == len(names)


def test_sixty_four_equal_words():
    assert distinct(("a",) * 64)[-1] == "a 64"


def test_plurals():
    assert [plural(n, "word") for n in (0, 1, 2, 1000)] == [
        "0 words",
        "1 word",
        "2 words",
        "1,000 words",
    ]
