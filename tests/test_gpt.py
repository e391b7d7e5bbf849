import hashlib
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from attention.gpt import (
    decode,
    encode,
    forward,
    generate,
    joined_weights,
    likeliest,
    load_gpt,
    next_probabilities,
)

TINY = Path(__file__).parents[1] / "attention" / "data" / "tiny_gpt"
FIRST_SCREEN = "The cat sat on the mat. It is eating now."


@pytest.fixture(scope="module")
def tiny():
    return load_gpt()


def written(prompt: str, model, **options) -> str:
    ids = encode(prompt, model)
    return decode([*ids, *(step.id for step in generate(ids, model, **options))], model)


# ---- writing on


def test_each_step_adds_one_row_and_the_maps_are_those_of_the_full_pass(tiny):
    ids = encode("The girl had a", tiny)
    steps = list(generate(ids, tiny, max_new=20, seed=4))
    assert [len(step.trace.tokens) for step in steps] == [4] + 19 * [1]
    assert [len(step.trace.context) for step in steps] == list(range(4, 24))
    whole = forward([*ids, *(step.id for step in steps[:-1])], tiny)
    for i, layer in enumerate(whole.layers):
        for n in (1, 7, 20):
            joined = joined_weights([step.trace for step in steps[:n]], i)
            seen = layer.attention.weights[:, : n + 3, : n + 3]
            np.testing.assert_allclose(joined, seen, atol=1e-5)
    for step, logits in zip(steps, whole.logits[3:], strict=True):
        np.testing.assert_allclose(step.trace.logits[-1], logits, atol=1e-4)


def test_a_step_says_what_it_was_drawn_from(tiny):
    options = {"temperature": 0.8, "top_k": 9, "top_p": 0.9}
    for step in generate(encode("Once there was a", tiny), tiny, max_new=9, **options):
        expected = next_probabilities(step.trace.logits[-1], **options)
        np.testing.assert_array_equal(step.probabilities, expected)
        assert step.probability == pytest.approx(expected[step.id])
        assert step.probability > 0
        assert step.text == decode([step.id], tiny).lower()
        with pytest.raises(ValueError, match="read-only"):
            step.probabilities[0] = 1


def test_words_come_one_at_a_time(tiny):
    """Nothing is computed before it is asked for, so that a page can show each word as it comes."""
    steps = generate(encode("The", tiny), tiny, max_new=10**9, seed=2)
    assert len(list(islice(steps, 5))) == 5


def test_a_seed_gives_these_words_for_years(tiny):
    """And every draw is another one: with all words equally likely, they differ."""
    assert written("The cat sat on the mat.", tiny, seed=3, max_new=9) == (
        "The cat sat on the mat. It was quiet. The grandfather saw the cat"
    )
    even = [step.id for step in generate([2], tiny, max_new=9, temperature=1e9, seed=1)]
    assert len(set(even)) > 5


def test_a_seed_repeats_and_another_differs(tiny):
    texts = [written("The", tiny, seed=seed, max_new=30) for seed in (1, 1, 2, 3)]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


def test_going_on_from_any_word_gives_the_same_words(tiny):
    """The draw depends on seed and position, so a page may be computed again from where it is."""
    ids = encode("The king", tiny)
    steps = list(generate(ids, tiny, max_new=12, seed=5))
    new = [step.id for step in steps]
    again = list(generate([*ids, *new[:5]], tiny, max_new=7, seed=5))
    assert [step.id for step in again] == new[5:]
    cache = steps[5].trace.cache  # holds the prompt and five words
    cached = list(generate([new[5]], tiny, max_new=6, seed=5, cache=cache))
    assert [step.id for step in cached] == new[6:]


def test_temperature_zero_takes_the_likeliest(tiny):
    ids = encode(FIRST_SCREEN, tiny)
    for step in generate(ids, tiny, max_new=8, temperature=0):
        assert step.id == step.trace.logits[-1].argmax()
        assert step.probability == 1


def test_writing_ends_with_the_text(tiny):
    steps = list(generate(encode(FIRST_SCREEN, tiny), tiny, max_new=100, seed=0))
    assert [step.is_end for step in steps] == (len(steps) - 1) * [False] + [True]
    assert steps[-1].text == "<end>"


def test_writing_ends_with_the_last_position(tiny):
    steps = list(generate(encode("the cat " * 31, tiny), tiny, max_new=50, temperature=0))
    assert len(steps) == 3  # after 62, 63 and 64 words
    assert not any(step.is_end for step in steps)
    assert len(list(generate(encode("cat " * 64, tiny), tiny))) == 1
    with pytest.raises(ValueError, match="65 tokens; tiny GPT takes at most 64. Shorten it"):
        next(generate(encode("cat " * 65, tiny), tiny))


def test_no_word_asked_for_gives_none(tiny):
    assert list(generate([2], tiny, max_new=0)) == []


def test_traces_that_do_not_go_on_from_one_another(tiny):
    ids = encode("The king", tiny)
    traces = [step.trace for step in generate(ids, tiny, max_new=4)]
    others = [step.trace for step in generate(encode("A queen", tiny), tiny, max_new=4)]
    for wrong in (traces[1:], traces[::2], [traces[0], others[1]], traces[::-1]):
        with pytest.raises(ValueError, match="does not go on from"):
            joined_weights(wrong, 0)
    assert joined_weights(traces[:1], 0).shape == (tiny.n_heads, 2, 2)


def test_settings_out_of_range_are_named(tiny):
    with pytest.raises(ValueError, match="top_k must be"):
        next(generate([2], tiny, top_k=0))
    with pytest.raises(ValueError, match="at least one token id"):
        next(generate(encode(" ", tiny), tiny))


# ---- what the README beside the model says of it


def test_the_files_are_those_that_the_readme_describes():
    text = (TINY / "README.md").read_text(encoding="utf-8")
    for name in ("model.safetensors", "words.txt"):
        assert f"{hashlib.sha256((TINY / name).read_bytes()).hexdigest()}  {name}" in text
    assert (TINY / "model.safetensors").stat().st_size < 1_000_000


def test_the_tiny_model_says_what_it_is(tiny):
    assert tiny.name == "tiny GPT"
    assert tiny.trained_on == "our own little stories, which have 171 different words"
    assert (len(tiny.layers), tiny.n_heads, tiny.max_tokens) == (3, 4, 64)
    vocabulary = set(tiny.tokenizer.words) - {"<unknown>", "<end>"}
    assert len(vocabulary) == 171
    assert len(encode(FIRST_SCREEN, tiny)) == 12
    assert tiny.tokenizer.words.index("<unknown>") not in encode(FIRST_SCREEN, tiny)


FACTS = "The cat ate the fish. The dog ate the bread. The king ate the soup."


@pytest.mark.parametrize(
    ("question", "answer"),
    [("Who ate the fish? The", "cat"), ("Who ate the bread? The", "dog"),
     ("Who ate the soup? The", "king")],
)  # fmt: skip
def test_it_answers_from_what_was_said(tiny, question, answer):
    trace = forward(encode(f"{FACTS} {question}", tiny), tiny)
    probabilities = next_probabilities(trace.logits[-1])
    (first,) = likeliest(probabilities, 1)
    assert decode([first], tiny).lower() == answer
    assert probabilities[first] > 0.95


@pytest.mark.parametrize(
    ("who", "pronoun"), [("cat", "it"), ("queen", "she"), ("king", "he"), ("wolf", "it")]
)
def test_its_pronouns_agree(tiny, who, pronoun):
    trace = forward(encode(f"The {who} sat on the mat.", tiny), tiny)
    assert tiny.tokenizer.words[trace.logits[-1].argmax()] == pronoun


def test_the_heads_that_the_readme_names(tiny):
    trace = forward(encode(f"{FACTS} Who ate the bread? The", tiny), tiny)
    words = trace.tokens.texts
    stop = words.index("bread") + 1
    gather = trace.layers[0].attention.weights[:, stop]
    assert gather[1, words.index("dog")] == pytest.approx(0.99, abs=0.005)
    assert gather[2, words.index("bread")] == pytest.approx(0.92, abs=0.005)
    fetch = trace.layers[1].attention.weights[1, -1]
    assert fetch[stop] == pytest.approx(0.83, abs=0.005)
