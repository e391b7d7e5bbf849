"""Your own model: files opened and refused, heads chosen, and what reaches the playground.

The heads themselves are compared with their frameworks in test_checkpoints.py; here, what the page
makes of the same golden files is.
"""

import base64
import gc
import io
import json
from pathlib import Path

import numpy as np
import pytest
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest
from test_browser import settle

from attention.checkpoints import find_layers, pick_layer, read_projections
from attention.files import (
    FileProblem,
    read_matrices,
    read_tensor,
    safetensors_header,
    write_matrices,
)
from attention.forward import forward
from attention.scenario import Matrix, Scenario
from pages.shared import frame, stages
from pages.shared.colours import LIGHT
from pages.shared.parts import yours, yours_figures, yours_model
from pages.shared.parts.yours_carry import carried
from pages.shared.settings import drop_matrices

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tests" / "golden"
GOLDEN = np.load(FOLDER / "checkpoints.npz")
FAMILIES = ("bert", "gpt2", "llama", "multihead", "vit")
SENTENCES = {
    "one token": "a",
    "64 tokens": "The cat sat on the mat and it saw the dog . " * 6,
    "right to left": "القطة جلست على الحصير. هي تأكل الآن.",
    "emoji": "👩\u200d👩\u200d👧 love 🍕🏽",
    "hostile": ":red[a] $x$ **b** <b>c</b> [d](https://e.org) `f` :material/home: a\u202eb",
    "empty": "",
}
HOSTILE_NAME = ":red[a] $x$ |**b**| <b>c</b> [d](https://e.org)"


@pytest.fixture(autouse=True)
def warm_server(monkeypatch):
    """As on a server that has shown a page: AppTest makes each run the first of its server, which
    `frame.begin` answers with a second run, and that would swallow a button's click."""
    create = PagesManager.__init__

    def create_warm(self, *args, **kwargs):
        create(self, *args, **kwargs)
        PagesManager.uses_pages_directory = False

    monkeypatch.setattr(PagesManager, "__init__", create_warm)


def golden_file(family: str) -> bytes:
    return (FOLDER / "checkpoints" / f"{family}.safetensors").read_bytes()


def opened(data: bytes, name: str = "model.safetensors", **known) -> yours_model.Model:
    return yours_model.open_model(name, len(data), lambda: io_of(data), **known)


def io_of(data: bytes):
    return yours_model.nullcontext(io.BytesIO(data))


def open_page(**link: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for name, text in link.items():
        app.query_params[name] = text
    app.switch_page("pages/yours.py")
    return run(app)


def run(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception, app.exception[0].message + app.exception[0].stack_trace[-1]
    return app


def upload(app: AppTest, *files: tuple[str, bytes]) -> AppTest:
    for file in files:
        app.file_uploader[0].upload(*file)
    return run(app)


def click(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click()
    return run(app)


def charts(app: AppTest) -> dict[str, dict]:
    return {
        chart.key.removesuffix("_chart"): json.loads(chart.proto.spec)
        for chart in app.get("plotly_chart")
    }


def drawn(app: AppTest, name: str) -> np.ndarray:
    z = charts(app)[f"yours_{name}"]["data"][0]["z"]
    shape = tuple(map(int, z["shape"].split(",")))
    return np.frombuffer(base64.b64decode(z["bdata"]), z["dtype"]).reshape(shape)


def said(app: AppTest) -> str:
    return "\n".join(element.value for element in (*app.markdown, *app.text))


def scenario(app: AppTest) -> Scenario:
    return app.session_state[frame.SCENARIO]


# ---- opening


@pytest.mark.parametrize("checkpoint", ["minilm", "gpt", "llama", "multihead"])
def test_every_example_opens_and_shows_its_own_numbers(checkpoint):
    app = open_page(checkpoint=checkpoint, layer="1", head="2")
    model = yours_model.example(checkpoint)
    head = yours_model.read_head(model, model.layers[1], model.n_heads, 2)
    for name in ("W_q", "W_k", "W_v", "W_o"):
        np.testing.assert_array_equal(drawn(app, name), getattr(head.projections, name))
    assert f"of {model.n_heads} heads" in said(app)
    assert f"**{len(model.layers)} layers**" in said(app)


def test_random_examples_say_so_and_trained_ones_too():
    for name in ("llama", "multihead", "unknown"):
        assert "Random numbers" in yours_model.example(name).about
    for name in ("minilm", "gpt"):
        assert yours_model.example(name).about.startswith("Trained")


def test_a_place_beyond_the_model_shows_its_last():
    app = open_page(checkpoint="llama", layer="99", head="199")
    assert app.selectbox(key="layer").value == 2
    assert app.selectbox(key="head").value == 5
    assert "Heads 3 to 5 share these keys and values." in said(app)


def test_convention_turns_the_matrices():
    app = open_page(checkpoint="llama", layer="0", head="0", convention="columns")
    assert drawn(app, "W_q").shape == (8, 30)
    assert drawn(app, "W_o").shape == (30, 8)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_upload_with_its_config_shows_the_head(family):
    heads = int(GOLDEN[f"{family}_heads"])
    app = upload(
        open_page(),
        ("model.safetensors", golden_file(family)),
        ("config.json", json.dumps({"num_attention_heads": heads}).encode()),
    )
    app.selectbox(key="layer").set_value(1)
    app.selectbox(key="head").set_value(2)
    run(app)
    assert scenario(app).checkpoint == "own"
    data = golden_file(family)
    tensors = safetensors_header(data)
    p = read_projections(data, tensors, find_layers(tensors)[1], heads, 2)
    for name in ("W_q", "W_k", "W_v", "W_o"):
        np.testing.assert_array_equal(drawn(app, name), getattr(p, name))


def test_without_config_the_heads_are_asked_for_and_never_guessed():
    app = upload(open_page(), ("model.safetensors", golden_file("gpt2")))
    assert "How many heads has it?" in said(app)
    assert not charts(app)
    (box,) = (box for box in app.selectbox if box.key.startswith("n_heads_"))
    assert box.options == [
        f"{n} head{'s' * (n > 1)}, each {12 // n} wide" for n in (1, 2, 3, 4, 6, 12)
    ]
    box.set_value(3).run()
    click(app, "confirm_heads")
    assert "of 3 heads, each 4 wide" in said(app)
    assert drawn(app, "W_q").shape == (12, 4)


def test_a_config_may_come_later_and_one_that_does_not_fit_is_named():
    app = upload(open_page(), ("model.safetensors", golden_file("gpt2")))
    app = upload(app, ("config.json", b'{"n_head": 5}'))
    assert "5 heads, which do not fit" in said(app)
    assert not charts(app)
    app = upload(app, ("config.json", b'{"n_head": 3}'))
    assert "do not fit" not in said(app)
    assert "of 3 heads" in said(app)
    app = upload(open_page(), ("config.json", b'{"n_head": 3}'))
    assert "Open the model of this config.json first" in said(app)


BAD = {
    "not a model": b"hello, this is text",
    "a lying header": (1 << 40).to_bytes(8, "little") + b"{}" + bytes(40),
    "cut short": golden_file("bert")[:-9],
    "empty": b"",
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_and_what_was_there_stays(data):
    app = upload(
        open_page(),
        ("good.safetensors", golden_file("bert")),
        ("config.json", b'{"num_attention_heads": 3}'),
    )
    before = drawn(app, "W_q")
    app = upload(app, (f"{HOSTILE_NAME}.safetensors", data))
    assert any("safetensors" in text.value for text in app.text)
    np.testing.assert_array_equal(drawn(app, "W_q"), before)
    click(app, "dismiss_refused")
    assert not any(button.key == "dismiss_refused" for button in app.button)


def test_numbers_that_are_not_finite_are_named_and_another_head_still_opens():
    arrays = read_matrices("x.safetensors", yours_model_bytes("multihead"))
    data = bytearray(write_matrices(".safetensors", arrays))
    tensor = safetensors_header(bytes(data))["layers.0.self_attn.in_proj_weight"]
    data[tensor.start : tensor.start + 4] = np.float32(np.nan).tobytes()
    app = upload(open_page(), ("m.safetensors", bytes(data)), ("config.json", b'{"num_heads": 5}'))
    assert "has nan in row 1, column 1" in said(app)
    app.selectbox(key="head").set_value(1)
    assert drawn(run(app), "W_q").shape == (40, 8)


def yours_model_bytes(name: str) -> bytes:
    with yours_model.example(name).source() as data:
        return data


def test_the_upload_leaves_the_server_and_its_copy_goes_with_the_model(monkeypatch):
    files = []
    make = yours_model.tempfile.TemporaryFile
    monkeypatch.setattr(
        yours_model.tempfile, "TemporaryFile", lambda: files.append(make()) or files[-1]
    )
    model = yours_model.open_stream("m.safetensors", io.BytesIO(golden_file("bert")))
    assert model.size == len(golden_file("bert"))
    head = yours_model.read_head(model, model.layers[0], 3, 1)
    assert head.projections.W_q.shape == (12, 4) and not files[0].closed
    del model
    gc.collect()
    assert files[0].closed
    with pytest.raises(FileProblem):
        yours_model.open_stream("m.safetensors", io.BytesIO(b"no"))
    gc.collect()
    assert files[1].closed


def test_a_full_disk_is_said(monkeypatch):
    def full():
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(yours_model.tempfile, "TemporaryFile", full)
    with pytest.raises(FileProblem, match="No space left on device"):
        yours_model.open_stream("m.safetensors", io.BytesIO(b""))


def test_letting_go_returns_to_the_example():
    app = upload(open_page(), ("model.safetensors", golden_file("bert")))
    click(app, "let_go")
    assert scenario(app) == Scenario()
    assert "MiniLM" in said(app)


def test_a_missing_example_is_said(monkeypatch):
    yours.example.clear()
    monkeypatch.setattr(yours_model, "DATA", ROOT / "nowhere")
    app = open_page()
    assert [text.value for text in app.text] == [
        "The file cannot be read: No such file or directory."
    ]
    app.selectbox(key="checkpoint").set_value("llama")
    assert charts(run(app))


def test_a_link_to_a_file_of_someone_else_says_so():
    app = open_page(checkpoint="own")
    assert [info.value[:24] for info in app.info] == ["The file of this link is"]
    assert not charts(app)


@pytest.mark.parametrize("sentence", SENTENCES.values(), ids=SENTENCES)
def test_every_sentence_opens(sentence):
    app = open_page(sentence=sentence, checkpoint="llama", layer="0", head="0")
    assert app.button(key="take_yours").disabled == (sentence == "")
    assert ("Type a sentence" in said(app)) == (sentence == "")


def test_names_in_a_file_never_become_markup():
    arrays = {
        f"{HOSTILE_NAME}.attn.{name}": np.ones(shape)
        for name, shape in (("qkv.weight", (12, 4)), ("proj.weight", (4, 4)))
    }
    app = upload(
        open_page(),
        (f"{HOSTILE_NAME}.safetensors", write_matrices(".safetensors", arrays)),
        ("config.json", b'{"n_head": 2}'),
    )
    assert charts(app)
    text = "\n".join(element.value for element in app.markdown)
    for markup in (":red[a", "**b**", "<b>", "](https://e.org", "$x$", "|**"):
        assert markup not in text


# ---- paths


LOCAL = {"ATTENTION_LOCAL_FILES": "1"}
HERE = {"Host": "localhost:8501"}


def test_paths_are_allowed_only_on_ones_own_machine():
    def allowed(environment=LOCAL, ip=None, url="http://localhost:8501/yours", headers=HERE):
        return yours_model.paths_allowed(environment, ip, url, headers)

    assert allowed()
    assert allowed(url="http://127.0.0.1:8501", headers={"Host": "127.0.0.1:8501"})
    assert allowed(url="http://[::1]:8501", headers={"Host": "[::1]:8501"})
    assert not allowed(environment={})
    assert not allowed(environment={"ATTENTION_LOCAL_FILES": "0"})
    assert not allowed(ip="192.168.1.7")
    assert not allowed(url="https://app.example.org")
    assert not allowed(url=None)
    assert not allowed(headers={})
    assert not allowed(headers={"Host": "evil.example.org"})  # a name made to mean 127.0.0.1
    assert not allowed(headers={"Host": "localhost.example.org"})
    assert not allowed(headers=HERE | {"X-Forwarded-For": "10.0.0.1"})


def test_without_leave_no_path_is_offered():
    app = open_page()
    assert not any(box.key == "model_path" for box in app.text_input)
    assert not yours._paths_allowed()


def test_a_file_by_its_path(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(golden_file("bert"))
    model = yours_model.open_path(f' "{tmp_path}" ')
    assert (model.name, model.n_heads) == ("model.safetensors", None)
    (tmp_path / "config.json").write_text('{"num_attention_heads": 3}')
    model = yours_model.open_path(str(tmp_path / "model.safetensors"))
    assert model.n_heads == 3
    head = yours_model.read_head(model, model.layers[1], 3, 2)
    assert head.projections.W_q.shape == (12, 4)
    (tmp_path / "model.safetensors").write_bytes(golden_file("gpt2"))
    with pytest.raises(FileProblem, match="has changed: open it again"):
        yours_model.read_head(model, model.layers[1], 3, 2)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileProblem, match="cannot be read: No such file"):
        yours_model.read_head(model, model.layers[1], 3, 2)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "Type the path"),
        ("/no/such/model.safetensors", "There is no file model.safetensors"),
        ("/etc/passwd", "passwd does not end in .safetensors"),
        ("a\0b.safetensors", "path"),
        ("/" + "x" * 5000 + ".safetensors", "path"),
        ("~nobody-of-this-name/x.safetensors", "path"),
    ],
)
def test_a_path_that_is_none_is_refused(path, message):
    with pytest.raises(FileProblem, match=message):
        yours_model.open_path(path)


# ---- an unknown layout


def picker(app: AppTest, matrix: str):
    return next(b for b in app.selectbox if b.key.startswith("pick_") and b.key.endswith(matrix))


def pick(app: AppTest, **names: str) -> AppTest:
    for matrix, name in names.items():
        picker(app, matrix).set_value(name)
    return run(app)


def switch(app: AppTest):
    return next(toggle for toggle in app.toggle if toggle.key.startswith("turned_"))


def search(app: AppTest, text: str) -> AppTest:
    next(box for box in app.text_input if box.key.startswith("filter_")).set_value(text)
    return run(app)


def test_an_unknown_layout_is_listed_and_picked():
    app = open_page(checkpoint="unknown", layer="0", head="0")
    table = app.dataframe[0].value
    assert list(table["name"])[:2] == ["net.0.look", "net.0.show"]
    assert list(table["shape"])[:2] == ["24 × 28", "24 × 28"]
    app = pick(app, W_q="net.1.look", W_k="net.1.show", W_v="net.1.carry", W_o="net.1.gather")
    app = pick(app, b_q="net.1.look_shift")
    assert "How many heads has it?" in said(app) and not charts(app)
    (box,) = (box for box in app.selectbox if box.key.startswith("n_heads_"))
    box.set_value(3).run()
    click(app, "confirm_heads")
    app.selectbox(key="head").set_value(2)
    run(app)
    arrays = read_matrices("x.safetensors", yours_model_bytes("unknown"))
    np.testing.assert_array_equal(drawn(app, "W_q"), arrays["net.1.look"][16:].T)
    np.testing.assert_array_equal(drawn(app, "W_o"), arrays["net.1.gather"][:, 16:].T)
    switch(app).set_value(False)
    assert not charts(run(app))
    assert "Stored the other way round they fit: use the switch." in said(app)
    switch(app).set_value(True)
    run(app)
    pick(app, W_k="net.1.gather")
    assert "net.1.gather takes 24 numbers in" in said(app)
    assert "use the switch" not in said(app)


def test_many_tensors_are_filtered_and_a_choice_is_kept():
    arrays = {f"t{n:03d}": np.ones((3, 2)) for n in range(150)}
    app = upload(open_page(), ("many.safetensors", write_matrices(".safetensors", arrays)))
    assert len(picker(app, "W_q").options) == yours.MAX_CHOICES
    search(app, "T14")
    assert [o[:4] for o in picker(app, "W_q").options] == [f"t14{n}" for n in range(10)]
    pick(app, W_q="t149")
    search(app, "t000")
    assert [o[:4] for o in picker(app, "W_q").options] == ["t149", "t000"]
    assert picker(app, "W_q").value == "t149"


# ---- into the playground


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("family", FAMILIES)
def test_with_X_the_playground_computes_what_the_framework_computes(family, layer):
    X = GOLDEN[f"{family}_X_{layer}"]
    T = len(X)
    heads = int(GOLDEN[f"{family}_heads"])
    model = opened(golden_file(family))
    before = Scenario(sentence=" ".join("abcdefghij"[:T]), causal=family == "multihead")
    for place in range(heads):
        head = yours_model.read_head(model, model.layers[layer], heads, place)
        going = carried(head, before, T, Matrix.of(X))
        causal = {"gpt2": True, "llama": True, "multihead": True}.get(family, False)
        assert going.fields["causal"] == causal
        fields = going.fields | {"causal": causal and family != "multihead"}
        result = forward(before.replace(**drop_matrices() | fields))
        np.testing.assert_allclose(
            result.attention.weights[0], GOLDEN[f"{family}_weights_{layer}"][place], atol=2e-6
        )
        folded = head.projections.b_q is not None
        assert result.X.shape == (T, X.shape[1] + folded)


def biased_head(D: int = 12, d_k: int = 4, **wrong) -> yours_model.Head:
    rng = np.random.default_rng(1)
    arrays = {
        "in_proj_weight": rng.standard_normal((3 * d_k, D)),
        "in_proj_bias": rng.standard_normal(3 * d_k),
        "out_proj.weight": rng.standard_normal((D, d_k)),
    }
    model = opened(write_matrices(".safetensors", arrays | wrong))
    return yours_model.read_head(model, model.layers[0], 1, 0)


def test_what_is_said_of_the_biases_is_so():
    """b_k changes no weight, b_v is added to every output, b_q changes the weights."""
    head = biased_head()
    p = head.projections
    X = np.random.default_rng(2).standard_normal((5, 12)).astype(np.float32)

    def attend(b_q, b_k, b_v):
        Q, K, V = X @ p.W_q + b_q, X @ p.W_k + b_k, X @ p.W_v + b_v
        weights = np.exp(Q @ K.T / 2)
        weights /= weights.sum(1, keepdims=True)
        return weights, weights @ V

    weights, output = attend(0, 0, 0)
    np.testing.assert_allclose(attend(0, p.b_k, 0)[0], weights, rtol=1e-4)
    np.testing.assert_allclose(attend(0, 0, p.b_v)[1], output + p.b_v, rtol=1e-4, atol=1e-5)
    assert np.abs(attend(p.b_q, 0, 0)[0] - weights).max() > 0.01


def test_without_X_the_words_get_vectors_and_biases_stay():
    head, before = biased_head(), Scenario()
    going = carried(head, before, 12, None)
    after = before.replace(**drop_matrices() | going.fields)
    assert (after.embedding, after.d_model, after.positions) == ("words", 12, "sinusoidal")
    np.testing.assert_array_equal(forward(after).projections.W_q, head.projections.W_q)
    assert any("biases stay behind" in sentence for sentence in going.sentences)
    wide = carried(biased_head(D=60), before, 12, None)
    after = before.replace(**drop_matrices() | wide.fields)
    assert (after.embedding, after.d_model) == ("random", 60)
    assert any("a random vector" in sentence for sentence in wide.sentences)


def test_an_X_of_other_rows_is_not_used_and_said():
    X = Matrix.of(np.ones((5, 12)))
    going = carried(biased_head(), Scenario(), 12, X)
    assert going.fields["X"] is None
    assert "Your X, 5 × 12, does not fit this sentence and layer." in going.sentences


def test_limits_of_the_playground():
    at_limit = carried(biased_head(D=1024), Scenario(), 2, Matrix.of(np.ones((2, 1024))))
    assert at_limit.fields["X"].shape == (2, 1024)
    assert any("takes 1,024" in sentence for sentence in at_limit.sentences)
    for D, d_k in ((1025, 4), (12, 129)):
        assert "Download it instead" in carried(biased_head(D, d_k), Scenario(), 2, None).problem
    huge = biased_head(in_proj_weight=np.full((12, 12), 2e4))
    assert carried(huge, Scenario(), 2, None).problem.startswith("W_q cannot go")
    assert carried(biased_head(), Scenario(), 0, None).problem.startswith("Type a sentence")


def test_the_button_takes_the_head_along():
    app = open_page(checkpoint="llama", layer="1", head="4", edits="W_q.0.0.3", seed_v="7")
    model = yours_model.example("llama")
    p = yours_model.read_head(model, model.layers[1], 6, 4).projections
    click(app, "take_yours")
    after = scenario(app)
    np.testing.assert_array_equal(forward(after).projections.W_v, p.W_v)
    assert (after.edits, after.seed_v, after.causal) == ((), None, True)
    assert any("head 4, layer model.layers.1, of random-llama" in text.value for text in app.text)
    assert "weights" in charts(app) or any("weights" in key for key in charts(app))


def test_X_is_given_turned_and_taken_back():
    app = open_page(checkpoint="llama", layer="0", head="0", sentence="a b c")
    session = app.session_state[frame.THINGS]["yours"]
    X = np.arange(90, dtype=np.float32).reshape(3, 30) / 90

    class File:
        name, file_id = "X.npy", "none"

        def __init__(self, array):
            self.getvalue = lambda: write_matrices(".npy", {"X": array})

    def give(array):
        offer = yours.read_upload("X.npy", File(array).getvalue(), "X", {"X": (3, 30)})
        return offer.changes or offer.transposed

    assert give(X)["X"] == give(X.T)["X"] == Matrix.of(X)
    assert not give(X[:2])
    session.X = Matrix.of(X)
    assert "X is yours." in said(run(app))
    click(app, "take_yours")
    assert Matrix.of(X) == scenario(app).X  # Llama has no biases
    assert scenario(app).positions == "none"


def test_the_download_holds_the_head():
    head = biased_head()
    found = read_matrices("head.npz", yours.download(head))
    assert list(found) == ["W_q", "W_k", "W_v", "W_o", "b_q", "b_k", "b_v"]
    np.testing.assert_array_equal(found["W_k"], head.projections.W_k)


# ---- what is said and drawn


@pytest.mark.parametrize("family", FAMILIES)
def test_the_answer_to_the_prediction_is_where_the_numbers_stand(family):
    data, heads = golden_file(family), int(GOLDEN[f"{family}_heads"])
    model = opened(data)
    for layer in model.layers:
        for place in range(heads):
            head = yours_model.read_head(model, layer, heads, place)
            _, options, answer = yours.place_question(model, head)
            assert answer in options and len(set(options)) == len(options) >= 2
            side, _, span = answer.partition(" ")
            first, last = map(int, span.split("–"))
            name = head.parts["W_k"].tensor
            stored = read_tensor(data, name, model.tensors[name])
            cut = stored[first : last + 1].T if side == "rows" else stored[:, first : last + 1]
            np.testing.assert_array_equal(cut, head.projections.W_k)


def test_the_prediction_reveals_the_drawing():
    app = open_page(checkpoint="multihead", layer="0", head="3")
    assert "yours_place" not in charts(app)
    group = next(g for g in app.get("button_group") if g.key.startswith("predict_yours"))
    group.set_value("rows 64–71").run()
    assert "**Right.**" in said(app) and "the keys begin at 40" in said(app)
    boxes = [s for s in charts(app)["yours_place"]["layout"]["shapes"] if s["type"] == "rect"]
    windows = [(s["y0"], s["y1"]) for s in boxes if s["fillcolor"] == LIGHT.key]
    assert windows == [(64, 72)]
    values = [(s["y0"], s["y1"]) for s in boxes if s["fillcolor"] == LIGHT.value]
    assert values == [(104, 112)]


def test_large_matrices_are_shortened_by_their_largest_numbers():
    W = np.random.default_rng(3).standard_normal((7, 5))
    Z, step = yours_figures.pooled(W, most=12)
    assert step == 3 and Z.shape == (3, 5)
    for row, block in enumerate((W[:3], W[3:6], W[6:])):
        largest = np.abs(block).argmax(0)
        np.testing.assert_array_equal(Z[row], block[largest, range(5)])
    turned, step = yours_figures.pooled(W.T, most=12)
    np.testing.assert_array_equal(turned, Z.T)
    assert yours_figures.pooled(W)[1] == 1
    assert yours_figures.pooled(np.ones((4096, 128)))[0].size <= yours_figures.MAX_CELLS
    assert ", drawn: the largest of 32" in yours.matrix_title("W_q", np.ones((4096, 128)), 1.0)


def test_how_many_directions_hold_half():
    assert yours_figures.half_of(np.array([3.0, 0, 0])) == 1
    assert yours_figures.half_of(np.array([1.0, 1, 1, 1])) == 2
    random = yours_figures.random_strengths(30, 8)
    np.testing.assert_allclose(np.square(random).sum(), 1, rtol=1e-5)
    assert (np.diff(random) <= 0).all()
    assert yours.strengths_said(np.zeros(3), np.zeros(3)) == "All are 0: every score is 0."


def test_the_strengths_on_the_page_are_the_singular_values():
    app = open_page(checkpoint="multihead", layer="1", head="0")
    y = charts(app)["yours_strengths"]["data"][0]["y"]
    bars = np.frombuffer(base64.b64decode(y["bdata"]), y["dtype"])
    W_q, W_k = drawn(app, "W_q"), drawn(app, "W_k")
    whole = np.linalg.svd(W_q @ W_k.T, compute_uv=False)[:8]
    np.testing.assert_allclose(bars, whole, rtol=1e-4)
    half = int(np.searchsorted(np.cumsum(whole**2), (whole**2).sum() / 2)) + 1
    assert f"**{half} of 8** hold half" in said(app)


def test_strengths_that_would_take_long_are_left_out():
    arrays = {
        "in_proj_weight": np.ones((3 * 640, 640), np.float32),
        "out_proj.weight": np.ones((640, 640), np.float32),
    }
    model = opened(write_matrices(".safetensors", arrays))
    assert yours_model.read_head(model, model.layers[0], 1, 0).strengths is None
    assert yours_model.read_head(model, model.layers[0], 10, 9).strengths.shape == (64,)


def test_the_misconception_counts_what_fits():
    model = yours_model.example("multihead")
    head = yours_model.read_head(model, model.layers[0], 5, 0)
    text = yours.about_heads(head)
    assert "40 × 40: 5 heads of 8 would fit, and so would 4 of 10; 8 numbers are possible" in text


def test_a_picked_layer_without_a_name_reads_well():
    data = yours_model_bytes("unknown")
    names = dict(
        zip(("W_q", "W_k", "W_v"), ("net.0.look", "net.0.show", "net.0.carry"), strict=True)
    )
    model = opened(data)
    head = yours_model.read_head(model, pick_layer(model.tensors, names, turned=True), 3, 0)
    assert "The file gives no W_o for it." in yours.notes(head)
    figure = yours_figures.storage_figure(head.layer, head.parts, model.tensors, LIGHT)
    assert [note.text for note in figure.layout.annotations][::2] == [
        "net.0.look",
        "net.0.show",
        "net.0.carry",
    ]


def test_limits_agree():
    config = (ROOT / ".streamlit" / "config.toml").read_text()
    assert f"maxUploadSize = {yours.MAX_MODEL} " in config
    assert stages.legend("W_q", 0.4) == ":blue[■] −.4 :red[■] .4"


def test_the_formula_has_the_biases_of_the_file():
    for family, n_heads, biases in (("bert", 2, 4), ("llama", 3, 0)):
        model = opened(golden_file(family))
        head = yours_model.read_head(model, model.layers[0], n_heads, 0)
        formula, symbols = yours.formula(head)
        assert formula.count("+b_") == biases and ("b" in symbols) == bool(biases)


def test_a_refused_file_leaves_nothing_but_its_own_sentence(page, server):
    """The label “Yours: …” changes with the file, and the browser may send the one of before."""
    page.goto(f"{server}/yours")
    page.wait_for_selector(".st-key-foot", timeout=60_000)
    settle(page)

    def give(name: str, data: bytes) -> None:
        file = {"name": name, "mimeType": "application/octet-stream", "buffer": data}
        page.locator("input[type=file]").set_input_files(file)
        settle(page)

    for name in ("one", "two"):
        give(f"{name}.safetensors", golden_file("bert"))
        page.get_by_text(f"{name}.safetensors").first.wait_for()
    give("broken.safetensors", b"nothing")
    page.locator(".st-key-refused").wait_for()
    text = page.locator("[data-testid=stMain]").inner_text()
    assert "broken.safetensors" in text and "Nothing was changed" not in text
    assert page.locator("[data-testid=stException]").count() == 0
