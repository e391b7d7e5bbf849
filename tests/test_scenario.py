"""The scenario: what it refuses, its way into a link and back, and links that mean harm."""

import base64
import dataclasses
import math
import time
from urllib.parse import parse_qsl, urlencode

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention import scenario as module
from attention.scenario import (
    CONVENTIONS,
    EMBEDDINGS,
    FIELDS,
    HIDEABLE,
    MATRICES,
    MATRIX_NAMES,
    MAX_EDIT,
    MAX_EDITS,
    MAX_HEAD,
    MAX_LINK,
    MAX_SEED,
    MAX_SENTENCE,
    MAX_WIDTH,
    NONE_SELECTED,
    NUMBERS_VERSION,
    POSITIONS,
    PRESETS,
    VECTOR_STAGES,
    Edit,
    Matrix,
    Scenario,
    from_link,
    locked,
    selection,
    settle,
    to_link,
)
from attention.text import tokenize

some = settings(max_examples=60, deadline=None)
many = settings(max_examples=200, deadline=None)

# ---- scenarios of every kind

cells = st.floats(-MAX_EDIT, MAX_EDIT, width=32)
UPLOADED = (*MATRIX_NAMES, "X")
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
edits = st.lists(
    st.builds(
        Edit,
        st.sampled_from(MATRIX_NAMES),
        st.integers(0, MAX_WIDTH - 1),
        st.integers(0, MAX_HEAD - 1),
        cells,
    ),
    max_size=6,
).map(tuple)


def matrices(rows: int, columns: int) -> st.SearchStrategy[Matrix]:
    return st.lists(cells, min_size=rows * columns, max_size=rows * columns).map(
        lambda numbers: Matrix.of(np.array(numbers, np.float32).reshape(rows, columns))
    )


@st.composite
def uploads(draw) -> dict[str, Matrix]:
    """Some of W_q, W_k, W_v and X, in widths that go together."""
    d_model, d_k, d_v, T = (draw(st.integers(1, 5)) for _ in range(4))
    shapes = {"W_q": (d_model, d_k), "W_k": (d_model, d_k), "W_v": (d_model, d_v)}
    shapes["X"] = (T, d_model)
    return {name: draw(matrices(*shape)) for name, shape in shapes.items() if draw(st.booleans())}


def of_any_value(kind) -> st.SearchStrategy:
    """Every value that a field of this kind may have."""
    match kind:
        case module.Choice():
            return st.sampled_from(kind.options)
        case module.Whole():
            return st.integers(kind.low, kind.high) | (st.none() if kind.optional else st.nothing())
        case module.Number():
            return st.floats(kind.low, kind.high)
        case module.Switch():
            return st.booleans()
        case module.Names():
            return st.lists(st.sampled_from(kind.options)).map(tuple)
        case module.Places():
            return st.sets(st.integers(0, kind.high), max_size=9).map(sorted).map(tuple)
        case module.OpenCell():
            cell = st.builds("{}.{}".format, st.sampled_from(VECTOR_STAGES), st.integers(0, 9999))
            return st.just("") | cell
        case module.Edits():
            return edits
        case module.Text():
            return text.map(lambda value: value[: kind.longest])
    raise AssertionError(f"give {kind} a strategy")


@st.composite
def scenarios(draw, settled: bool = True) -> Scenario:
    """Any scenario that the app can reach."""
    given_matrices = draw(uploads()) if draw(st.integers(0, 3)) == 0 else {}
    fields = {
        name: draw(of_any_value(kind))
        for name, kind in FIELDS.items()
        if name not in (*UPLOADED, "version")
    }
    if given_matrices and fields["matrices"] in PRESETS:
        fields["matrices"] = "random"
    scenario = Scenario(**fields | given_matrices)
    return settle(scenario) if settled else scenario


# ---- the first screen, and the record


def test_the_first_screen():
    first = Scenario()
    assert first.sentence == "The cat sat on the mat. It is eating now."
    assert first.matrices == "coreference" and first.preset == "coreference"
    assert (first.d_model, first.d_k, first.d_v) == (50, 32, 32)
    assert first.scaling and not first.causal and first.convention == "rows"
    assert to_link(first) == ({}, ())
    assert from_link({}) == (first, ())
    assert settle(first) == first


def test_every_field_has_its_type_and_stands_in_the_same_order():
    assert list(FIELDS) == [field.name for field in dataclasses.fields(Scenario)]


def test_a_scenario_is_frozen_hashable_and_equal_by_value():
    W = np.arange(6, dtype=np.float32).reshape(2, 3)
    a, b = (Scenario(matrices="random", W_q=Matrix.of(W)) for _ in range(2))
    assert a == b and hash(a) == hash(b) and len({a, b}) == 1
    assert a != Scenario(matrices="random", W_q=Matrix.of(W + 1))
    with pytest.raises(dataclasses.FrozenInstanceError):
        a.seed = 3


@some
@given(scenarios())
def test_every_scenario_is_hashable(scenario):
    assert {scenario: 1}[dataclasses.replace(scenario)] == 1


def test_a_matrix_is_a_read_only_copy():
    W = np.arange(6.0).reshape(2, 3)
    matrix = Matrix.of(W)
    W[0, 0] = 9
    assert matrix.shape == (2, 3) and matrix.array.dtype == np.float32
    np.testing.assert_array_equal(matrix.array, [[0, 1, 2], [3, 4, 5]])
    with pytest.raises(ValueError, match="read-only"):
        matrix.array[0, 0] = 1
    np.testing.assert_array_equal(Matrix.of(W.T).array, W.T)  # whatever lies in memory


@pytest.mark.parametrize(
    "array",
    [np.zeros(3), np.zeros((0, 3)), np.zeros((2, 0)), np.zeros((1, 2, 3)), [[np.nan]], [[np.inf]]],
)
def test_what_is_no_matrix_is_refused(array):
    with pytest.raises(ValueError, match="expected"):
        Matrix.of(np.asarray(array))


@pytest.mark.parametrize("value", [1.01 * MAX_EDIT, -2e4, 1e39, -1e300])
def test_uploads_and_links_have_the_same_limit(value):
    with pytest.raises(ValueError, match="from -10000 to 10000"):
        Matrix.of(np.array([[value]]))


def test_a_matrix_whose_bytes_do_not_fill_its_shape_is_refused():
    with pytest.raises(ValueError, match="expected 24 bytes for 2 x 3 numbers, found 5"):
        Matrix((2, 3), b"12345")


def test_an_edit_keeps_the_float32_that_the_matrix_will_hold_and_the_last_one_wins():
    scenario = Scenario(
        edits=(Edit("W_q", 0, 1, 0.1), Edit("W_v", 2, 3, 5), Edit("W_q", 0, 1, 0.7))
    )
    assert scenario.edits == (Edit("W_q", 0, 1, float(np.float32(0.7))), Edit("W_v", 2, 3, 5.0))


# ---- what the constructor refuses, by field


WRONG = {
    "sentence": (None, 3, b"x", "x" * (MAX_SENTENCE + 1), "half \ud800"),
    "matrices": ("Random", "", None, 3, "random\n"),
    "unlocked": (0, 1, "1", None),
    "seed": (-1, MAX_SEED + 1, 1.0, True, "1", None, 10**400, math.nan),
    "seed_q": (-1, MAX_SEED + 1, 1.5, False, "1"),
    "seed_k": (-1, MAX_SEED + 1, 1.5, False, "1"),
    "seed_v": (-1, MAX_SEED + 1, 1.5, False, "1"),
    "distribution": ("gauss", None, 0),
    "spread": (-0.1, 10.1, math.nan, math.inf, -math.inf, "1", None, True, 10**400),
    "embedding": ("glove", None, 0),
    "embedding_seed": (-1, MAX_SEED + 1, 1.0, None),
    "positions": ("rotary", None),
    "d_model": (0, MAX_WIDTH + 1, 8.0, None, True),
    "d_k": (0, MAX_HEAD + 1, -3, None),
    "d_v": (0, MAX_HEAD + 1, -3, None),
    "scaling": (1, None, "0"),
    "causal": (1, None, "0"),
    "convention": ("row", None),
    "query": (-1, 10_001, 1.0, "2"),
    "key": (-2, 10_001, 1.0, "2"),
    "cell": ("Q", "Q.", "Q.x", "Q.01", "scores.1", "Q.10000", "Q.-1", None, 3, "Q.1\n", "Q.١"),
    "edits": (
        None,
        [],
        "W_q.0.0.1",
        (1,),
        (("W_q", 0, 0, 1.0),),
        (Edit("W_o", 0, 0, 1.0),),
        (Edit("W_q", -1, 0, 1.0),),
        (Edit("W_q", MAX_WIDTH, 0, 1.0),),
        (Edit("W_q", 0, MAX_HEAD, 1.0),),
        (Edit("W_q", 0, 0, math.nan),),
        (Edit("W_q", 0, 0, math.inf),),
        (Edit("W_q", 0, 0, 1.1 * MAX_EDIT),),
        (Edit("W_q", 0.5, 0, 1.0),),
        (Edit("W_q", "0", 0, 1.0),),
        (Edit("W_q", 0, 0, "1"),),
        (Edit("W_q", 0, 0, None),),
        tuple(Edit("W_q", i, 0, 1.0) for i in range(MAX_EDITS + 1)),
    ),
    "W_q": (np.ones((2, 2)), "2x2", Matrix.of(np.ones((MAX_WIDTH + 1, 1)))),
    "W_k": (np.ones((2, 2)), Matrix.of(np.ones((1, MAX_HEAD + 1)))),
    "W_v": (np.ones((2, 2)), Matrix.of(np.ones((1, MAX_HEAD + 1)))),
    "X": (np.ones((2, 2)), Matrix.of(np.ones((MAX_SENTENCE + 1, 1)))),
    "hide": (("header",), "share", None, (3,), (["share"],)),
    "looking": (None, [1], "1~2", (-1,), (1.0,), (True,), (10_001,), tuple(range(65))),
    "version": (0, 10_000, "1", None),
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_wrong_value_is_refused_by_name_with_what_was_expected(name, value):
    with pytest.raises(ValueError, match="expected") as refused:
        Scenario(**{name: value})
    sentence = str(refused.value)
    assert sentence.startswith(f"{name}=") and len(sentence) < 300


@pytest.mark.parametrize("name", FIELDS)
def test_no_field_takes_what_is_of_another_kind(name):
    for value in (object(), [], {}, b"x", "\ud800", complex(1)):
        with pytest.raises(ValueError, match=f"^{name}=.*expected"):
            Scenario(**{name: value})


def test_numpy_numbers_are_taken_as_plain_ones():
    scenario = Scenario(seed=np.int64(4), scaling=np.bool_(False), spread=np.float32(0.5))
    assert (type(scenario.seed), type(scenario.scaling), type(scenario.spread)) == (
        int,
        bool,
        float,
    )


def test_hidden_controls_keep_one_order():
    assert Scenario(hide=("share", "sentence", "share")).hide == ("sentence", "share")


def test_places_keep_one_order_and_have_a_short_way_into_a_link():
    scenario = Scenario(looking=(9, 2, 9))
    assert scenario.looking == (2, 9)
    assert to_link(scenario)[0]["looking"] == "2~9"
    assert from_link({"looking": "9~2"})[0] == scenario


@pytest.mark.parametrize(
    ("shapes", "says"),
    [
        ({"W_q": (2, 3), "W_k": (2, 5)}, "d_k must be one number.*3 by W_q, 5 by W_k"),
        ({"W_q": (2, 3), "W_v": (7, 3)}, "d_model must be one number.*2 by W_q, 7 by W_v"),
        ({"W_q": (2, 3), "X": (5, 7)}, "d_model must be one number.*2 by W_q, 7 by X"),
    ],
)
def test_uploads_that_cannot_stand_together_are_refused(shapes, says):
    given_matrices = {name: Matrix.of(np.ones(shape)) for name, shape in shapes.items()}
    with pytest.raises(ValueError, match=says):
        Scenario(matrices="random", **given_matrices)


def test_an_upload_that_trained_weights_cannot_take_is_refused():
    with pytest.raises(ValueError, match="8 by W_q, 50 by the coreference weights"):
        Scenario(W_q=Matrix.of(np.ones((8, 32))))
    everything = {n: Matrix.of(np.ones((8, 4))) for n in MATRIX_NAMES}
    assert Scenario(**everything).preset is None  # nothing of the trained weights is left


# ---- locked and settled


@many
@given(scenarios(settled=False))
def test_settling_twice_changes_nothing_more_and_leaves_no_contradiction(scenario):
    settled = settle(scenario)
    assert settle(settled) == settled
    assert all(getattr(settled, name) == value for name, value in locked(settled).items())
    assert settled.embedding != "words" or settled.d_model <= 50
    assert settled.embedding != "uploaded" or settled.X is not None
    kept = ("sentence", "matrices", "seed", "spread", "scaling", "causal", "edits", *MATRIX_NAMES)
    assert all(getattr(settled, name) == getattr(scenario, name) for name in kept)


@pytest.mark.parametrize("preset", PRESETS)
def test_trained_weights_lock_what_they_were_trained_for(preset):
    asked = {"matrices": preset, "d_model": 8, "d_k": 4, "d_v": 3, "embedding": "random"}
    scenario = settle(Scenario(**asked))
    assert {name: getattr(scenario, name) for name in PRESETS[preset]} == PRESETS[preset]
    free = settle(Scenario(**asked, unlocked=True, positions="none"))
    assert (free.embedding, free.positions) == ("random", "none")
    assert (free.d_model, free.d_k, free.d_v) == (50, 32, 32)  # the widths are the matrices' own


@pytest.mark.parametrize(
    ("asked", "d_model", "d_k"),
    [
        ({"d_model": 8}, 8, 8),
        ({"d_model": 64}, 50, 50),  # word vectors are 50 wide
        ({"d_model": 200, "embedding": "random"}, 200, MAX_HEAD),  # a head can be 128 wide
        ({"X": Matrix.of(np.ones((2, 300)))}, 300, MAX_HEAD),
    ],
)
def test_identity_matrices_are_as_wide_as_the_vectors(asked, d_model, d_k):
    scenario = settle(Scenario(matrices="identity", **asked))
    assert (scenario.d_model, scenario.d_k, scenario.d_v) == (d_model, d_k, d_k)


def test_uploads_fix_the_widths():
    W = {"W_q": Matrix.of(np.ones((60, 7))), "W_v": Matrix.of(np.ones((60, 5)))}
    scenario = Scenario().replace(matrices="random", **W)
    assert (scenario.d_model, scenario.d_k, scenario.d_v) == (60, 7, 5)
    assert scenario.embedding == "random"  # word vectors are not so wide


def test_replace_is_settled():
    assert Scenario().replace(matrices="identity", d_model=11).d_k == 11
    assert Scenario().replace(d_model=8).d_model == 50  # the trained weights stay


# ---- which cell is selected


def selected(sentence: str, **fields) -> tuple[int, int | None]:
    tokens = tokenize(sentence)
    T = len(tokens)
    weights = np.full((T, T), 0.1)
    weights[:, 1 % T] = 0.9
    return selection(Scenario(sentence=sentence, **fields), tokens, weights)


def test_selection_by_hand():
    assert selected("The cat sat . IT is eating .") == (4, 1)  # the first pronoun
    assert selected("The cat sat .") == (3, 1)  # else the last token
    assert selected("The cat sat .", query=2) == (2, 1)
    assert selected("The cat sat .", query=2, key=0) == (2, 0)
    assert selected("The cat sat .", query=4, key=9) == (3, 1)  # beyond the sentence
    assert selected("The cat sat .", key=NONE_SELECTED) == (3, None)
    assert selected("cat") == (0, 0)


# ---- links


@many
@given(scenarios())
def test_a_link_restores_the_scenario(scenario):
    params, left_out = to_link(scenario)
    assert left_out == ()
    assert all(isinstance(text, str) for text in params.values())
    query = urlencode(params)
    received = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    restored, notes = from_link(received)
    assert notes == ()
    assert restored == scenario
    assert to_link(restored) == (params, ())


@pytest.mark.parametrize(
    ("scenario", "link"),
    [
        (Scenario(sentence=""), "sentence=&version=2"),
        (Scenario(matrices="random", d_k=8), "matrices=random&d_k=8&version=2"),
        (Scenario(matrices="random", seed_q=0), "matrices=random&seed_q=0&version=2"),
        (Scenario(spread=2.0), "spread=2&version=2"),
        (Scenario(spread=0.1 + 0.2), "spread=0.30000000000000004&version=2"),
        (Scenario(scaling=False, causal=True), "scaling=0&causal=1&version=2"),
        (Scenario(query=0, key=-1), "query=0&key=-1&version=2"),
        (Scenario(edits=(Edit("W_q", 0, 2, 1.5),)), "edits=W_q.0.2.1.5&version=2"),
        (
            Scenario(edits=(Edit("W_q", 0, 2, 0.1), Edit("W_v", 3, 1, -1e-5))),
            "edits=W_q.0.2.0.1~W_v.3.1.-1e-05&version=2",
        ),
        (Scenario(hide=("settings", "share")), "hide=settings.share&version=2"),
        (Scenario(cell="Q.3"), "cell=Q.3&version=2"),
        (Scenario(convention="columns"), "convention=columns&version=2"),
    ],
)
def test_links_are_readable_and_keep_their_meaning_for_years(scenario, link):
    assert urlencode(to_link(scenario)[0], safe="~") == link
    assert from_link(dict(parse_qsl(link, keep_blank_values=True))) == (scenario, ())


def test_an_uploaded_matrix_in_a_link_is_little_endian_float32_row_by_row():
    W = Matrix.of(np.array([[1, -2, 0.5], [0, 1e4, -1e-3]]))
    params, _ = to_link(settle(Scenario(matrices="random", W_q=W)))
    shape, _, packed = params["W_q"].partition(".")
    assert shape == "2x3"
    numbers = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
    np.testing.assert_array_equal(
        np.frombuffer(numbers, "<f4"), np.float32([1, -2, 0.5, 0, 1e4, -1e-3])
    )
    assert from_link(params)[0].W_q == W


def test_what_is_too_large_for_a_link_is_named_and_the_rest_stays():
    big = Matrix.of(np.ones((50, 40)))
    scenario = Scenario(matrices="random", seed=7).replace(W_q=big, W_k=big, W_v=big)
    params, left_out = to_link(scenario)
    assert left_out == ("W_q", "W_k", "W_v") and params["seed"] == "7"
    opened, notes = from_link(params)
    assert notes == (
        "Too large for a link, so not in it: W_q, W_k, W_v. What the other settings make stands in "
        "until the file is uploaded.",
    )
    assert to_link(opened)[0].keys().isdisjoint({"without"}) and opened.seed == 7
    small = Matrix.of(np.ones((5, 4)))
    params, left_out = to_link(Scenario(matrices="random", W_q=small, W_k=small))
    assert left_out == () and {"W_q", "W_k"} <= params.keys()
    lots = tuple(Edit("W_q", i, 0, 0.12345678) for i in range(MAX_EDITS))
    params, left_out = to_link(Scenario(edits=lots))
    assert left_out == ("edits",) and from_link(params)[1][0].endswith("make stands in.")


def test_a_link_that_claims_to_lack_what_no_link_carries_is_believed_in_nothing():
    assert from_link({"without": "<b>.seed."}) == (Scenario(), ())


@pytest.mark.parametrize("sentence", ["x" * 1000, "猫" * 1000, "😀" * 1000, "& " * 500])
def test_a_link_never_grows_beyond_what_proxies_take(sentence):
    lots = tuple(Edit("W_q", i, 0, 0.12345678) for i in range(MAX_EDITS))
    W, X = Matrix.of(np.ones((50, 60))), Matrix.of(np.ones((60, 50)))
    scenario = Scenario(sentence=sentence, edits=lots, matrices="random", W_v=W, X=X)
    assert len(urlencode(to_link(scenario)[0])) <= MAX_LINK + 100


# ---- links that mean harm

JUNK = (
    "",
    " ",
    "None",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "1e999",
    "-1e999",
    "1e308",
    "9" * 400,
    "-1",
    "0x10",
    "1_000",
    "１２",  # full-width digits
    "١٢",  # Arabic digits
    "+3",
    " 3",
    "3\n",
    "3.0.0",
    "true",
    "%",
    "%00",
    "%zz",
    "\x00",
    "\ud800",
    "\udfff",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "{}",
    "[1]",
    "x" * 2000,
)


GOOD = {("key", "-1"), ("looked_at", "-1"), ("shift", "-1"), ("cell", "")}


@pytest.mark.parametrize(
    "name", [name for name, kind in FIELDS.items() if not isinstance(kind, module.Text)]
)
def test_junk_falls_back_to_the_default_and_is_named(name):
    for junk in JUNK:
        if (name, junk) in GOOD:
            continue
        scenario, notes = from_link({name: junk})
        assert scenario == Scenario()
        assert len(notes) == 1 and notes[0].startswith(f"{name}=“")
        assert "ignored: expected" in notes[0] and len(notes[0]) < 300
        notes[0].encode("utf-8")  # can be shown


@pytest.mark.parametrize("sentence", ["\ud800", "x" * 1001, "a \udc00 b"])
def test_a_sentence_that_cannot_be_is_ignored(sentence):
    scenario, (note,) = from_link({"sentence": sentence})
    assert scenario == Scenario() and note.startswith("sentence=“")
    note.encode("utf-8")


def test_any_other_text_may_be_the_sentence():
    for junk in JUNK:
        if len(junk) <= MAX_SENTENCE and not any("\ud800" <= c <= "\udfff" for c in junk):
            assert from_link({"sentence": junk}) == (Scenario(sentence=junk), ())


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("seed", "1000000000", "whole number"),
        ("d_k", "129", "from 1 to 128"),
        ("d_model", "0", "from 1 to 1024"),
        ("spread", "10.01", "from 0 to 10"),
        ("edits", "W_q.0.0.1e5", "from -10000 to 10000"),
        ("edits", "W_o.0.0.1", "cells such as W_q.0.2.1.5"),
        ("edits", "W_q.0.0.", "cells such as"),
        ("edits", "W_q.0.0.nan", "a number such as"),
        ("edits", "W_q.0.0.1~", "cells such as"),
        ("edits", "W_q.2000.0.1", "from 0 to 1023"),
        ("edits", "~".join(["W_q.0.0.1"] * 501), "at most 500"),
        ("W_q", "2x2.AAAA", "expected 16 bytes for 2 x 2 numbers, found 3"),
        ("W_q", "1x1.AAAAA", "base64"),
        ("W_q", "0x0.AAAA", "expected 0 bytes"),
        ("W_q", "1x1.AADAfw", "finite"),  # NaN
        ("W_q", "1x1.AACAfw", "finite"),  # infinity
        ("W_q", "9999x9999.AAAA", "399920004 bytes"),
        ("W_q", "1x129." + "A" * 688, "at most 1024 rows and 128 columns"),
        ("version", "0", "from 1 to 9999"),
        ("hide", "sentence,share", "names out of"),
        ("hide", "share..", "names out of"),
        ("cell", "weights.1", "a stage and a column such as Q.3"),
    ],
)
def test_the_sentence_says_what_was_expected(name, text, says):
    scenario, (note,) = from_link({name: text})
    assert scenario == Scenario()
    assert name in note and says in note


def test_one_bad_parameter_leaves_the_others_alone():
    scenario, notes = from_link({"matrices": "random", "seed": "x", "d_k": "8", "causal": "1"})
    assert scenario == Scenario(matrices="random", d_k=8, causal=True)
    assert len(notes) == 1 and "seed" in notes[0]


def test_unknown_names_are_named_in_one_sentence():
    assert from_link({"utm_source": "x"})[1] == (
        "“utm_source” in the link is not a setting of this app.",
    )
    scenario, (note,) = from_link({f"a{i}": "" for i in range(2000)} | {"seed": "3"})
    assert "“a0”, “a1”" in note and "1,995 more" in note and scenario.seed == 3
    (note,) = from_link({"\ud800" * 999: "x"})[1]
    assert len(note.encode("utf-8")) < 300


def test_contradictions_are_settled_and_said():
    scenario, notes = from_link({"d_model": "8", "d_k": "4"})  # the trained weights have others
    assert scenario == Scenario()
    assert [note.split("=")[0] for note in notes] == ["d_model", "d_k"]
    assert all("the other settings need" in note for note in notes)
    scenario, notes = from_link({"matrices": "identity", "d_model": "64"})
    assert (scenario.d_model, scenario.d_k) == (50, 50) and "d_model=64" in notes[0]
    scenario, notes = from_link({"embedding": "uploaded"})
    assert scenario.embedding == "tuned" and "embedding" in notes[0]


def test_uploads_that_disagree_are_ignored_together():
    W = {"W_q": Matrix.of(np.ones((2, 3))), "W_k": Matrix.of(np.ones((2, 5)))}
    params = {name: FIELDS[name].write(matrix) for name, matrix in W.items()}
    scenario, (note,) = from_link({"matrices": "random", **params})
    assert scenario == Scenario(matrices="random")
    assert note.startswith("W_q, W_k in the link were ignored: d_k must be one number")
    scenario, (note,) = from_link({"W_q": params["W_q"]})
    assert scenario == Scenario() and note.startswith("W_q in the link was ignored: d_model must")


def test_a_link_of_another_version_is_read_and_says_so():
    scenario, (note,) = from_link({"matrices": "random", "seed": "5", "version": "3"})
    assert scenario == Scenario(matrices="random", seed=5)
    assert "version 3" in note and "may differ" in note
    assert scenario.version == NUMBERS_VERSION == 2


def test_links_of_version_1_keep_the_vectors_they_had():
    scenario, (note,) = from_link({"matrices": "random", "seed": "5", "version": "1"})
    assert scenario == Scenario(matrices="random", seed=5, embedding="words")
    assert "version 1" in note
    scenario, _ = from_link({"matrices": "random", "embedding": "one-hot", "version": "1"})
    assert scenario.embedding == "one-hot"
    scenario, (note,) = from_link({"sentence": "a b", "version": "1"})
    assert scenario == Scenario(sentence="a b") and "version 1" in note


values = st.one_of(
    st.text(max_size=40),
    st.sampled_from(JUNK),
    st.from_regex(r"-?[0-9]{1,12}(\.[0-9]+)?(e-?[0-9]{1,4})?", fullmatch=True),
    st.from_regex(r"(W_[qkvo]\.[0-9]{1,5}\.[0-9]{1,4}\.-?[0-9.e]{1,6}~?){1,3}", fullmatch=True),
    st.builds(
        lambda r, c, data: f"{r}x{c}.{base64.urlsafe_b64encode(data).decode().rstrip('=')}",
        st.integers(0, 4),
        st.integers(0, 4),
        st.binary(max_size=64),
    ),
    st.builds(  # as many bytes as the shape needs, whatever they mean
        lambda data: (
            f"1x{len(data) // 4}."
            + base64.urlsafe_b64encode(data[: len(data) // 4 * 4]).decode().rstrip("=")
        ),
        st.binary(min_size=4, max_size=64),
    ),
    *(st.sampled_from(c) for c in (MATRICES, EMBEDDINGS, POSITIONS, CONVENTIONS, HIDEABLE)),
    st.sampled_from(["0", "1", "8", "64", "128", "200", "1024", "Q.3", "output.0", "W_q.0.0.1"]),
)
links = st.dictionaries(
    st.sampled_from([*FIELDS, "utm", "__class__"]) | st.text(max_size=9), values
)


@settings(max_examples=400, deadline=None)
@given(links)
def test_no_link_raises_and_what_it_gives_can_be_linked_again(params):
    scenario, notes = from_link(params)
    "\n".join(notes).encode("utf-8")
    assert all(len(note) < 700 for note in notes)
    assert settle(scenario) == scenario
    again, left_out = to_link(scenario)
    assert not left_out
    assert from_link(again) == (scenario, ())


LONG = 100_000
HEAVY = {
    "digits": "1" * LONG,
    "digits and a letter": "1" * LONG + "x",
    "points": "." * LONG,
    "minus signs": "-" * LONG,
    "a cell without end": "W_q.0.0." + "1" * LONG,
    "many cells": "~".join(["W_q.0.0.1"] * (LONG // 10)),
    "tildes": "~" * LONG,
    "base64": "2x2." + "A" * LONG,
    "a matrix": "128x128." + "A" * 87_382,
    "letters": "x" * LONG,
    "emoji": "😀" * LONG,
    "e": "1e" * (LONG // 2),
}


@pytest.mark.parametrize("text", HEAVY.values(), ids=HEAVY)
def test_reading_a_hostile_parameter_is_cheap(text):
    for name in FIELDS:
        seconds = min(_seconds_to_read({name: text}) for _ in range(3))
        assert seconds < 0.05, f"{name}: {seconds * 1e3:.0f} ms"


def test_reading_many_hostile_parameters_is_cheap():
    params = {f"p{i}": "1" for i in range(LONG // 6)}
    assert min(_seconds_to_read(params) for _ in range(3)) < 0.05


def test_writing_a_link_beside_large_uploads_is_cheap():
    """It is done in every run of a page."""
    W, X = (Matrix.of(np.ones(shape)) for shape in ((MAX_WIDTH, MAX_HEAD), (64, MAX_WIDTH)))
    scenario = Scenario(matrices="random").replace(W_q=W, W_k=W, W_v=W, X=X)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        assert to_link(scenario)[1] == ("W_q", "W_k", "W_v", "X")
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.05


def _seconds_to_read(params: dict[str, str]) -> float:
    start = time.perf_counter()
    from_link(params)
    return time.perf_counter() - start


def test_the_module_has_no_loose_ends():
    """Every choice that the docs promise is a choice of the table."""
    assert set(module.STAGES) == {*VECTOR_STAGES, "scores", "scaled", "weights"}
    assert set(PRESETS) < set(MATRICES)
    for needs in PRESETS.values():
        assert settle(Scenario(**needs)).d_k == needs["d_k"]
