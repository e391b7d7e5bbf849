"""The playground in a real Chromium: what is on screen is computed again and compared."""

import io
import json

import numpy as np
import pytest

from attention.files import read_matrices, write_matrices
from attention.functions import softmax
from attention.scenario import STAGES

pytestmark = pytest.mark.browser

Z = """(key) => {
  const chart = document.querySelector(`.st-key-${key} .js-plotly-plot`);
  return Array.from(chart._fullData[0].z, (row) => Array.from(row));
}"""
TICKS = """([key, axis]) => Array.from(
  document.querySelectorAll(`.st-key-${key} .${axis}tick text`), (tick) => tick.textContent)"""


def settle(page) -> None:
    """Wait until the script has run and the charts stand."""
    page.wait_for_timeout(400)
    page.wait_for_function(
        """() => document.querySelector('[data-testid="stApp"]')
               ?.getAttribute('data-test-script-state') === 'notRunning'""",
        timeout=30_000,
    )
    page.wait_for_timeout(300)


def open_page(page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector(".st-key-output .js-plotly-plot", timeout=60_000)
    settle(page)


def numbers(page, stage: str) -> np.ndarray:
    return np.array(page.evaluate(Z, stage))


def shown(page) -> dict[str, np.ndarray]:
    return {stage: numbers(page, stage) for stage in STAGES}


def type_sentence(page, text: str) -> None:
    box = page.get_by_label("Sentence")
    box.fill(text)
    box.press("Enter")
    settle(page)


def click_cell(page, stage: str, row: int, column: int) -> None:
    rows, columns = numbers(page, stage).shape
    chart = page.locator(f".st-key-{stage} .nsewdrag").first
    box = chart.bounding_box()
    place = {
        "x": box["width"] * (column + 0.5) / columns,
        "y": box["height"] * (row + 0.5) / rows,
    }
    chart.click(position=place)
    settle(page)


def arithmetic(page) -> str:
    return page.locator(".st-key-arithmetic").inner_text()


def value(text: str) -> float:
    return float(text.replace("−", "-"))


def check_stages(page, causal: bool = False) -> dict[str, np.ndarray]:
    """Compute every later stage from the earlier ones on screen."""
    stage = shown(page)
    close = {"rtol": 1e-4, "atol": 1e-4}
    T, d_k = stage["K"].shape
    np.testing.assert_allclose(stage["scores"], stage["Q"] @ stage["K"].T, **close)
    np.testing.assert_allclose(stage["scaled"], stage["scores"] / np.sqrt(d_k), **close)
    allowed = np.tril(np.ones((T, T), bool)) if causal else np.ones((T, T), bool)
    weights = softmax(np.where(allowed, stage["scaled"], -np.inf))
    np.testing.assert_allclose(stage["weights"], weights, **close)
    np.testing.assert_allclose(stage["weights"].sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(stage["output"], stage["weights"] @ stage["V"], **close)
    return stage


def test_every_stage_follows_from_the_one_before_on_screen(page, server):
    open_page(page, f"{server}/?matrices=random&d_model=8&d_k=4&d_v=3")
    before = check_stages(page)
    type_sentence(page, "My sister bought a piano. She is happy.")
    after = check_stages(page)
    assert after["weights"].shape == (10, 10) and before["weights"].shape == (12, 12)
    labels = page.evaluate(TICKS, ["weights", "y"])
    assert labels == ["My", "sister", "bought", "a", "piano", ".", "She", "is", "happy", "."]
    assert page.evaluate(TICKS, ["weights", "x"]) == labels
    tops = page.evaluate(
        """() => Array.from(document.querySelectorAll('.st-key-weights .ytick text'),
                            (tick) => tick.getBoundingClientRect().top)"""
    )
    assert tops == sorted(tops)  # row 0 at the top


def test_causal_mask_and_columns(page, server):
    open_page(page, f"{server}/?matrices=random&d_model=8&d_k=4&d_v=3&causal=1")
    rows = check_stages(page, causal=True)
    open_page(page, f"{server}/?matrices=random&d_model=8&d_k=4&d_v=3&causal=1&convention=columns")
    columns = shown(page)
    for stage in ("embeddings", "Q", "K", "V", "output"):
        np.testing.assert_array_equal(columns[stage], rows[stage].T)
    for stage in ("scores", "scaled", "weights"):
        np.testing.assert_array_equal(columns[stage], rows[stage])


def test_everything_follows_while_one_types(page, server):
    open_page(page, server)
    box = page.get_by_label("Sentence")
    box.click()
    box.press("End")
    box.press_sequentially(" The bird sings", delay=25)
    page.wait_for_function("() => document.querySelectorAll('.st-key-row .xtick').length === 15")
    settle(page)
    assert box.input_value().endswith("The bird sings")  # nothing typed was lost
    check_stages(page)


def test_a_clicked_score_opens_arithmetic_that_adds_up_and_a_second_click_lets_go(page, server):
    open_page(page, f"{server}/?matrices=random&d_model=8&d_k=4&d_v=3&seed=5")
    click_cell(page, "scores", 4, 2)
    stage, text = shown(page), arithmetic(page)
    head, _, rest = text.partition("=")
    result = value(rest.split()[0])
    assert result == pytest.approx(stage["scores"][4, 2], abs=0.0051)
    products = [value(part.split()[0]) for part in rest.split("÷")[0].split("=")[1:]]
    assert len(products) == 4 and sum(products) == pytest.approx(result, abs=0.0051)
    assert "query=4" in page.url and "key=2" in page.url
    outlined = page.evaluate(
        """() => ['Q', 'K', 'V', 'output'].map((key) =>
          document.querySelector(`.st-key-${key} .js-plotly-plot`).layout.shapes.length)"""
    )
    assert outlined == [2, 2, 2, 2]  # the row that feeds the cell, with its halo
    click_cell(page, "scores", 4, 2)
    assert "Nothing is open" in arithmetic(page)


def test_clicked_vector_cells_open_their_row_times_column(page, server):
    open_page(page, f"{server}/?matrices=random&d_model=8&d_k=4&d_v=3&seed=5")
    for stage in ("Q", "K", "V"):
        click_cell(page, stage, 3, 1)
        text = arithmetic(page)
        assert f"{stage.lower()} “on”, column 1 = x “on” · column 1 of" in text
        cell = numbers(page, stage)[3, 1]
        lines = text.split("All terms")[-1]
        terms = [value(part.split()[0]) for part in lines.split("=")[1:]]
        assert len(terms) == 8
        assert sum(terms) == pytest.approx(cell, abs=0.0051)
    click_cell(page, "embeddings", 3, 1)
    assert "the word’s vector" in arithmetic(page)
    click_cell(page, "output", 3, 1)
    assert "column 1" in arithmetic(page)


def test_selectors_do_what_clicks_do(page, server):
    open_page(page, f"{server}/?matrices=random&d_model=8&d_k=4&d_v=3&seed=5")
    box = page.get_by_role("combobox", name="Key: the word that is looked at")
    box.click()
    box.fill("mat")
    box.press("Enter")
    settle(page)
    assert "key=5" in page.url
    assert "k “mat”" in arithmetic(page)


def test_an_edited_cell_changes_the_charts_and_the_link_restores_it(page, server, browser):
    open_page(page, f"{server}/?matrices=random&d_model=8&d_k=4&d_v=3&seed=5")
    before = shown(page)
    page.locator(".st-key-edit_Q button").click()
    page.wait_for_selector("[data-testid=stDialog] canvas")
    settle(page)
    canvas = page.locator("[data-testid=stDialog] [data-testid=stDataFrameResizable]")
    box = canvas.bounding_box()
    page.mouse.click(box["x"] + 85, box["y"] + 55)  # row 0, column 0
    grid = "document.activeElement.matches('[data-testid=stDataFrameResizable] *')"
    page.wait_for_function(f"() => {grid}")
    for key, text in zip("7.25", ("7", "7.", "7.2", "7.25"), strict=True):  # the first opens it
        page.keyboard.press(key)
        page.wait_for_function("t => document.activeElement.value === t", arg=text)
    page.wait_for_timeout(200)  # the grid keeps what was typed a moment after it shows it
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Take back 1 edit").first.wait_for()
    settle(page)
    page.get_by_role("button", name="Done").click()
    settle(page)
    after = check_stages(page)
    assert "edits=W_q.0.0.7.25" in page.url
    np.testing.assert_array_equal(after["K"], before["K"])
    W = np.linalg.lstsq(after["embeddings"], after["Q"], rcond=None)[0]
    assert W[0, 0] == pytest.approx(7.25, abs=1e-3)
    other = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    open_page(other, page.url)
    np.testing.assert_array_equal(numbers(other, "weights"), after["weights"])
    other.context.close()
    page.go_back()
    settle(page)
    np.testing.assert_array_equal(numbers(page, "Q"), before["Q"])


@pytest.mark.parametrize("extension", [".npz", ".npy", ".csv", ".json", ".safetensors"])
def test_upload_and_download_of_each_format(page, server, extension, tmp_path):
    open_page(page, f"{server}/?matrices=random&d_model=8&d_k=4&d_v=3&seed=5")
    page.locator(".st-key-edit_Q button").click()
    page.wait_for_selector("[data-testid=stDialog] canvas")
    W = np.arange(32, dtype=np.float32).reshape(8, 4) / 100 - 0.15
    data = write_matrices(extension, {"W_q": W})
    page.locator("[data-testid=stDialog] input[type=file]").set_input_files(
        {"name": f"W_q{extension}", "mimeType": "application/octet-stream", "buffer": data}
    )
    page.get_by_text("Loaded W_q (8 × 4).").wait_for()
    settle(page)
    page.get_by_role("radio", name=extension, exact=True).or_(
        page.get_by_role("button", name=extension, exact=True)
    ).first.click()
    settle(page)
    with page.expect_download() as waiting:
        page.locator(".st-key-download_matrices button").first.click()
    file = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(file)
    found = read_matrices(file.name, file.read_bytes())
    np.testing.assert_array_equal(found["W_q"], W, err_msg=file.name)
    page.keyboard.press("Escape")
    settle(page)
    stage = check_stages(page)
    np.testing.assert_allclose(stage["Q"], stage["embeddings"] @ W, rtol=1e-4, atol=1e-4)
    assert "W_q=8x4." in page.url


def test_a_transposed_upload_is_explained_and_turned_on_request(page, server):
    open_page(page, f"{server}/?matrices=random&d_model=8&d_k=4&d_v=3&seed=5")
    before = shown(page)
    page.locator(".st-key-edit_Q button").click()
    page.wait_for_selector("[data-testid=stDialog] canvas")
    W = np.arange(32, dtype=np.float32).reshape(4, 8) / 100
    data = io.BytesIO()
    np.save(data, W)
    page.locator("[data-testid=stDialog] input[type=file]").set_input_files(
        {"name": "W.npy", "mimeType": "application/octet-stream", "buffer": data.getvalue()}
    )
    page.get_by_text("It looks transposed").wait_for()
    settle(page)
    page.get_by_role("button", name="Transpose and use it").click()
    settle(page)
    page.keyboard.press("Escape")
    settle(page)
    after = shown(page)
    np.testing.assert_array_equal(after["K"], before["K"])
    np.testing.assert_allclose(after["Q"], after["embeddings"] @ W.T, rtol=1e-4, atol=1e-4)


def test_a_bad_upload_says_what_is_wrong_and_changes_nothing(page, server):
    open_page(page, f"{server}/?matrices=random&d_model=8&d_k=4&d_v=3&seed=5")
    before, address = shown(page), page.url
    page.locator(".st-key-edit_Q button").click()
    page.wait_for_selector("[data-testid=stDialog] canvas")
    bad = json.dumps({"W_q": [[1, 2, 3, 4]] * 7 + [[1, 2, 3, float("nan")]]})
    page.locator("[data-testid=stDialog] input[type=file]").set_input_files(
        {"name": "bad.json", "mimeType": "application/json", "buffer": bad.encode()}
    )
    page.get_by_text("nan", exact=False).first.wait_for()
    settle(page)
    page.keyboard.press("Escape")
    settle(page)
    np.testing.assert_array_equal(shown(page)["Q"], before["Q"])
    assert page.url == address


def test_a_deep_link_is_the_first_thing_a_fresh_server_sees(page, cold_server):
    link = "sentence=The+dog+slept.+It+is+tired.&matrices=random&seed=77&d_model=8&d_k=4&d_v=3"
    open_page(page, f"{cold_server}/?{link}")
    check_stages(page)
    assert page.get_by_label("Sentence").input_value() == "The dog slept. It is tired."
    assert "seed 77" in page.locator("[data-testid=stMain]").inner_text()


def test_back_forward_and_reload(page, server):
    open_page(page, server)
    first = shown(page)
    assert "?" not in page.url  # the defaults stay out of the link
    type_sentence(page, "A bird sings. It is small.")
    page.locator(".st-key-randomize button").first.click()
    settle(page)
    last, address = shown(page), page.url
    page.reload()
    page.wait_for_selector(".st-key-output .js-plotly-plot")
    settle(page)
    assert page.url == address
    np.testing.assert_array_equal(shown(page)["weights"], last["weights"])
    page.go_back()
    settle(page)
    page.go_back()
    settle(page)
    assert page.get_by_label("Sentence").input_value().startswith("The cat sat")
    np.testing.assert_array_equal(shown(page)["weights"], first["weights"])
    page.go_forward()
    settle(page)
    page.go_forward()
    settle(page)
    np.testing.assert_array_equal(shown(page)["weights"], last["weights"])
    assert page.url == address


HOSTILE = (
    "<b>bold</b> <img src=http://evil.example/x.png> <script>alert(1)</script>",
    "![x](http://evil.example/y.png) [link](http://evil.example) http://evil.example/z",
    ":red[danger] :material/home: :smile: $\\frac{1}{2}$ **bold** _it_ `code` ~~gone~~ # head",
    "&lt; &amp; &#65; <a href='http://evil.example'>x</a> www.evil.example javascript:alert(1)",
)


@pytest.mark.parametrize("sentence", HOSTILE)
def test_a_hostile_sentence_is_shown_as_typed_and_starts_no_request(page, server, sentence):
    from attention.text import tokenize

    open_page(page, f"{server}/?matrices=random&d_model=8&d_k=4&d_v=3")
    type_sentence(page, sentence)
    check_stages(page)
    texts = tokenize(sentence).texts
    labels = page.evaluate(TICKS, ["scores", "y"])
    for text, label in zip(texts, labels, strict=True):
        cut = text if len(text) <= 9 else text[:8] + "…"
        assert label in (cut, f"{cut}*")  # with the mark of an unknown word
    size = len(texts)
    for place in range(0, size, max(1, size // 6)):
        click_cell(page, "scores", place, (place + 1) % size)
        opened = arithmetic(page)
        assert f"q “{texts[place]}”" in opened
        assert f"k “{texts[(place + 1) % size]}”" in opened
    assert page.locator("[data-testid=stMain] a, [data-testid=stMain] img").count() == 0


def test_a_phone_has_no_sideways_scroll(browser, server):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    open_page(page, server)
    width = page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollWidth")
    assert width <= 390
    context.close()


def test_one_screen_tells_the_story_at_1440_by_900(page, server):
    open_page(page, server)
    tall = page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollHeight")
    assert tall <= 900


def test_a_changed_sentence_leaves_no_stale_word_in_the_selectors(page, server):
    """Streamlit sends a selectbox's old label when its labels change under it."""
    open_page(page, f"{server}/?matrices=random&d_model=8&d_k=4&d_v=3")
    type_sentence(page, "The dog sat on the mat. She is eating now.")
    page.locator(".st-key-randomize button").first.click()
    settle(page)
    assert "Nothing was changed" not in page.locator("[data-testid=stMain]").inner_text()
    assert "seed=" in page.url
    check_stages(page)


def test_back_returns_to_the_first_screen_and_forward_to_what_was_drawn(page, server):
    open_page(page, server)
    seen = [(page.url, numbers(page, "weights"))]
    for _ in range(2):
        page.locator(".st-key-randomize button").first.click()
        page.wait_for_url(lambda url: url != seen[-1][0])
        settle(page)
        seen.append((page.url, numbers(page, "weights")))
    for step, (url, weights) in zip("BBFF", (seen[1], seen[0], seen[1], seen[2]), strict=True):
        page.go_back() if step == "B" else page.go_forward()
        settle(page)
        assert page.url == url
        np.testing.assert_array_equal(numbers(page, "weights"), weights)


def test_changed_sentences_leave_no_stale_word_pieces_on_the_page_about_bert(page, server):
    page.goto(f"{server}/bert?masked=2")
    page.wait_for_selector(".st-key-bert_mosaic .js-plotly-plot", timeout=60_000)
    settle(page)
    sentences = (  # the pronoun stands at the same place
        "The dog slept on the old rug in the hall. It is tired.",
        "The girl sang in the old car on the road. She is happy.",
    )
    for sentence in sentences * 3:
        box = page.get_by_label("Sentence")
        box.fill(sentence)
        box.press("Enter")
        page.wait_for_url(f"**sentence={sentence.split('.')[0].replace(' ', '+')}*")
        settle(page)
        assert page.locator("[data-testid=stException]").count() == 0


def test_the_sentence_goes_along_from_page_to_page_and_back(page, server):
    def box() -> str:
        return page.get_by_label("Sentence").input_value()

    def menu(group: str, title: str, path: str) -> None:
        page.locator("[data-testid=stTopNavSection]", has_text=group).click()
        page.locator("[data-testid=stTopNavDropdownLink]", has_text=title).first.click()
        page.wait_for_url(f"{server}/{path}?*")
        settle(page)

    open_page(page, f"{server}/?matrices=random&d_model=8&d_k=4&d_v=3")
    type_sentence(page, "A bird sings. It is small.")
    menu("Understand", "Softmax", "softmax")
    assert box() == "A bird sings. It is small." and "sentence=A+bird" in page.url
    type_sentence(page, "A dog sings. It is small.")
    menu("See", "Playground", "")
    page.wait_for_selector(".st-key-output .js-plotly-plot")
    settle(page)
    assert box() == "A dog sings. It is small."
    check_stages(page)
    seen = [("/", "A dog sings. It is small.")]
    while not seen[-1][1].startswith("The cat") and len(seen) < 10:
        page.go_back()
        settle(page)
        here = page.evaluate("location.pathname"), box()
        if (
            here != seen[-1]
        ):  # a click in the menu may leave a place without a link, which is passed
            seen.append(here)
    assert [(path, sentence[:6]) for path, sentence in seen[1:]] == [
        ("/softmax", "A dog "),
        ("/softmax", "A bird"),
        ("/", "A bird"),
        ("/", "The ca"),
    ]
    assert page.url.startswith(f"{server}/?matrices=random")


def test_the_word_looked_at_is_one_of_the_sentence_typed_last(page, server):
    open_page(page, server)
    chosen = page.locator(".st-key-key input")
    assert chosen.input_value() == "cat"
    type_sentence(page, "My brother bought a drum because he was hungry.")
    settle(page)
    weights = numbers(page, "weights")[6]  # he
    assert weights.argmax() == 1 and chosen.input_value() == "brother"
