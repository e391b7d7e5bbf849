"""The page on what one layer cannot do: its claims hold for the shipped head."""

from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from attention.embeddings import word_embeddings
from attention.forward import forward
from attention.scenario import Scenario
from attention.text import tokenize
from attention.two_layers import shipped_shares
from pages.shared.parts import fails
from pages.shared.wording import number, portion

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("pair", fails.PAIRS, ids=lambda pair: pair.nouns[0])
def test_the_last_word_cannot_turn_the_ratio(pair):
    first, second = (fails.ratio(pair, word) for word in pair.endings)
    assert first == pytest.approx(second, rel=1e-4)


def test_the_ratio_is_a_matter_of_three_vectors():
    """w(it→animal) / w(it→street) = exp(q·(k_a − k_b)/√d_k), whatever else is in the sentence."""
    pair = fails.PAIRS[0]
    result = fails.read(pair.sentence.format("tired"))
    Q, K = result.attention.Q[0], result.attention.K[0]
    q = Q[fails.place(result, "it")].astype(np.float64)
    k_a, k_b = (K[fails.place(result, noun)].astype(np.float64) for noun in pair.nouns)
    expected = np.exp(q @ (k_a - k_b) / np.sqrt(Q.shape[-1]))
    assert fails.ratio(pair, "tired") == pytest.approx(expected, rel=1e-3)


def test_weight_takes_the_last_pronoun_and_the_first_noun():
    result = forward(Scenario(sentence="It ran. The dog saw it near the dog"))
    row = result.attention.weights[0, 6]
    assert fails.weight(result, "it", "dog") == pytest.approx(float(row[4]))


def test_the_page_opens_and_the_prediction_is_judged():
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    app.switch_page("pages/fails.py").run()
    app.run()
    assert not app.exception
    text = " ".join(element.value for element in app.markdown)
    assert "2.73" in text and "Predict first" in text
    table = app.table[0].value
    assert list(table["in the post"]) == [".01", ".87", ".52", ".03", ".32", ".98", "2.73"]


def test_two_layers_stand_below_the_answer():
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    app.switch_page("pages/fails.py").run()
    app.run()
    assert "second layer" not in " ".join(element.value for element in app.markdown)
    app.get("button_group")[0].set_value("the same").run()
    assert not app.exception
    text = " ".join(element.value for element in app.markdown)
    assert "A second layer turns" in text
    pair = fails.PAIRS[0]
    for ending, noun in zip(pair.endings, pair.nouns, strict=True):
        tokens, first, second = fails.two_rows(pair.sentence.format(ending), "it")
        assert tokens.words[first.argmax()] == ending and tokens.words[second.argmax()] == noun
        assert f"Layer 2: it means “{noun}”: **{portion(second.max())}**, right." in text
    shares = shipped_shares()
    known, _, new = shares["content and container"]
    assert f"{shares['animal and place'][2]:.0%} come out right" in text
    assert f"{known:.1%} of pairs" in text and f"{new:.0%} of those with new words" in text
    large, small = word_embeddings(tokenize("large small")).X
    assert f"cosine of {number(fails.cosine(large, small))}" in text
