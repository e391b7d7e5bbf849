import builtins
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention.files import FileProblem
from attention.gpt_tokens import (
    BytePairTokenizer,
    WordTokenizer,
    byte_letters,
    byte_pairs,
    read_tokenizer_json,
    read_vocab_and_merges,
    read_words,
)

FOLDER = Path(__file__).parent / "golden" / "gpt2_random"
GOLDEN = np.load(FOLDER.parent / "gpt.npz")
TEXTS = [str(text) for text in GOLDEN["texts"]]
VOCAB, MERGES, JSON = (
    (FOLDER / name).read_text("utf-8") for name in ("vocab.json", "merges.txt", "tokenizer.json")
)
BYTES = tuple(sorted(byte_letters(), key=byte_letters().get))

# ---- whole words

WORDS = WordTokenizer(["<unknown>", "<end>", ".", "cat", "it", "n't", "sat", "the"])


def test_words_have_ids_and_unknown_ones_share_one():
    assert WORDS.encode("The cat sat. It didn't!") == (7, 3, 6, 2, 4, 0, 5, 0)
    assert WORDS.encode("  ") == ()
    assert WORDS.texts([7, 3, 1]) == ("the", "cat", "<end>")
    assert (len(WORDS), WORDS.end_ids) == (8, {1})


def test_words_are_joined_to_sentences():
    assert WORDS.decode([7, 3, 6, 2, 4, 6, 2]) == "The cat sat. It sat."
    assert WORDS.decode([3, 2, 1, 7, 3]) == "Cat. <end> The cat"
    assert WORDS.decode([]) == ""


def test_lists_of_words_that_cannot_be():
    with pytest.raises(FileProblem, match="<unknown> in it and no word twice; this one has 3 "):
        WordTokenizer(["<unknown>", "a", "a"])
    with pytest.raises(FileProblem, match="must have <unknown> in it"):
        read_words("a\nb\n")
    with pytest.raises(FileProblem, match="3 lines; needed is one word a line"):
        read_words("<unknown>\n\na\n")
    assert read_words("<unknown>\na\n").end_ids == frozenset()


# ---- byte-level pairs


@pytest.fixture(scope="module", params=["tokenizer.json", "vocab.json and merges.txt"])
def gpt2(request) -> BytePairTokenizer:
    if request.param == "tokenizer.json":
        return read_tokenizer_json(JSON, [0])
    return read_vocab_and_merges(VOCAB, MERGES, [0])


@pytest.mark.parametrize("i", range(len(TEXTS)))
def test_ids_are_those_of_transformers(gpt2, i):
    assert list(gpt2.encode(TEXTS[i])) == list(GOLDEN[f"gpt2_text_{i}"])


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_comes_back(gpt2, text):
    ids = gpt2.encode(text)
    assert gpt2.decode(ids) == text
    assert len(gpt2.texts(ids)) == len(ids)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30))
def test_every_text_comes_back(text):
    tokenizer = read_vocab_and_merges(VOCAB, MERGES)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_half_a_character_typed_is_replaced():
    tokenizer = read_vocab_and_merges(VOCAB, MERGES)
    assert tokenizer.decode(tokenizer.encode("a\ud800")) == "a\ufffd"


def test_pieces_are_shown_as_they_stand_in_the_text(gpt2):
    assert gpt2.texts(gpt2.encode(" cat")) == (" cat",)
    assert gpt2.texts(gpt2.encode("é日")) == ("<C3>", "<A9>", "<E6>", "<97>", "<A5>")
    assert gpt2.texts([0]) == ("<|endoftext|>",)
    assert (len(gpt2), gpt2.end_ids) == (291, {0})


def test_every_byte_has_a_letter_of_its_own():
    letters = byte_letters()
    assert sorted(letters.values()) == list(range(256))
    assert (letters["A"], letters["Ġ"], letters["Ċ"], letters["ÿ"]) == (65, 32, 10, 255)


def test_merges_by_hand():
    """The lower rank goes first: "abc" is "ab" "c", though "bc" could be joined as well."""
    words = (*BYTES, "ab", "bc", "<stop>")
    tokenizer = byte_pairs(words, [("a", "b"), ("b", "c")], special=["<stop>", "<absent>"])
    assert tokenizer.texts(tokenizer.encode("abcbc<stop>")) == ("ab", "c", "bc", "<stop>")


def test_numbers_are_cut_into_digits_on_request():
    words, merges = (*BYTES, "12", "Ġ12"), [("1", "2"), ("Ġ", "12")]
    together, apart = (byte_pairs(words, merges, single_digits=alone) for alone in (False, True))
    assert together.texts(together.encode("12 12")) == ("12", " 12")
    assert apart.texts(apart.encode("12 12")) == ("1", "2", " ", "1", "2")


# ---- errors


def test_vocabularies_that_cannot_be():
    for vocab in ('{"a": 1}', '{"a": 0, "b": 0}', "[]", "nonsense", '{"a": "b"}', "[" * 100_000):
        with pytest.raises(FileProblem, match="vocab.json must give every word one id"):
            read_vocab_and_merges(vocab, MERGES)
    for merges in ("a b c", "a", "a  b", "a zzz"):
        with pytest.raises(FileProblem, match="does not join two of its pieces"):
            read_vocab_and_merges(VOCAB, f"#version: 0.2\n{merges}\n")
    with pytest.raises(FileProblem, match="makes a piece that is not in it"):
        read_vocab_and_merges(json.dumps({"a": 0, "b": 1}), "a b\n")
    with pytest.raises(FileProblem, match="has 2 words, 1 of them different"):
        byte_pairs(["a", "a"], [])


@pytest.mark.parametrize("text", ["{}", JSON[:-50], "", "[]", "[" * 100_000, "3"])
def test_a_damaged_tokenizer_json(text):
    with pytest.raises(FileProblem, match="tokenizer.json is damaged"):
        read_tokenizer_json(text)


def changed(**parts) -> str:
    """Return tokenizer.json with some entries replaced; a dict is merged into the old one."""
    whole = json.loads(JSON)
    for name, value in parts.items():
        whole[name] = (whole[name] or {}) | value if isinstance(value, dict) else value
    return json.dumps(whole)


def test_tokenizers_of_another_kind():
    for text in (
        changed(model={"type": "WordPiece"}),
        changed(pre_tokenizer={"type": "Metaspace"}),
        changed(pre_tokenizer={"add_prefix_space": True}),
        changed(pre_tokenizer={"use_regex": False}),
        changed(normalizer={"type": "NFC"}),
    ):
        with pytest.raises(FileProblem, match="only byte-level BPE is read here"):
            read_tokenizer_json(text)
    for text in (
        changed(model={"vocab": {"a": 5}}),
        changed(model={"merges": 7}),
        changed(added_tokens=[{"id": 10**6, "content": "far"}]),
        changed(added_tokens=None),
    ):
        with pytest.raises(FileProblem, match="tokenizer.json is damaged"):
            read_tokenizer_json(text)
    with pytest.raises(FileProblem, match="does not join two"):
        read_tokenizer_json(changed(model={"merges": [["a", 7]]}))


def test_an_older_tokenizer_json_and_one_that_cuts_digits():
    pairs = [" ".join(pair) for pair in json.loads(JSON)["model"]["merges"]]
    old = read_tokenizer_json(changed(model={"merges": pairs}))
    assert list(old.encode(TEXTS[1])) == list(GOLDEN["gpt2_text_1"])
    steps = [{"type": "Digits", "individual_digits": True}, {"type": "ByteLevel"}]
    digits = read_tokenizer_json(
        changed(pre_tokenizer={"type": "Sequence", "pretokenizers": steps})
    )
    assert digits.texts(digits.encode("12")) == ("1", "2")
    assert old.texts(old.encode("12")) == ("12",)
    more = read_tokenizer_json(changed(added_tokens=[{"id": 291, "content": "<new>"}]))
    assert more.encode("a<new>")[-1] == 291


def test_without_the_package_the_message_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def absent(name, *args, **options):
        if name == "tokenizers":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(FileProblem, match="pip install tokenizers"):
        byte_pairs(BYTES, [])
    with pytest.raises(FileProblem, match="pip install tokenizers"):
        read_tokenizer_json(JSON)
