"""The names, signatures and fields that checks outside this repository rely on."""

import dataclasses
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import attention
from attention import (
    AttentionTrace,
    ForwardPass,
    Projections,
    Scenario,
    forward,
    memory_efficient_attention,
    multi_head_attention,
    random_projections,
    scaled_dot_product_attention,
    softmax,
)

NAMES = {
    "softmax",
    "scaled_dot_product_attention",
    "memory_efficient_attention",
    "multi_head_attention",
    "causal_mask",
    "sliding_window_mask",
    "Projections",
    "random_projections",
    "AttentionTrace",
    "Scenario",
    "ForwardPass",
    "forward",
    "tokenize",
}
ROOT = Path(__file__).parents[1]
REQUIRED = inspect.Parameter.empty
ATTENTION = (
    ["Q", "K", "V"],
    {"mask": None, "is_causal": False, "scale": None, "softcap": None, "window": None},
)
SIGNATURES = {  # positional names, keyword-only names with their defaults
    "softmax": (["x", "axis"], None),
    "scaled_dot_product_attention": ATTENTION,
    "memory_efficient_attention": ATTENTION,
    "multi_head_attention": (
        ["X", "projections"],
        {"mask": None, "is_causal": False, "scale": None},
    ),
    "causal_mask": (["T", "S"], {}),
    "sliding_window_mask": (["T", "S"], {"left": REQUIRED, "right": REQUIRED}),
    "random_projections": (["d_model", "d_k", "d_v"], None),
    "tokenize": (["sentence"], {}),
    "forward": (["scenario"], None),
}


def test_exactly_these_names_are_public():
    assert set(attention.__all__) == NAMES
    starred: dict[str, object] = {}
    exec("from attention import *", starred)  # noqa: S102
    assert starred.keys() >= NAMES


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name):
    parameters = inspect.signature(getattr(attention, name)).parameters.values()
    positional, keyword_only = SIGNATURES[name]
    assert [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD] == positional
    assert not [p for p in parameters if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    found = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    if keyword_only is not None:
        assert found == keyword_only
    assert REQUIRED not in found.values() or name == "sliding_window_mask"


def test_softmax_works_on_the_last_axis_unless_told_otherwise():
    assert inspect.signature(softmax).parameters["axis"].default == -1


def test_the_fields_of_a_trace_in_the_order_they_happen():
    names = [field.name for field in dataclasses.fields(AttentionTrace)]
    assert names == "Q K V scores scaled mask weights heads output".split()  # noqa: SIM905


def test_the_fields_of_a_forward_pass():
    names = {field.name for field in dataclasses.fields(ForwardPass)}
    assert {"tokens", "embeddings", "X", "projections", "attention"} <= names


def test_the_matrices_of_projections():
    names = [field.name for field in dataclasses.fields(Projections)]
    assert names[:4] == ["W_q", "W_k", "W_v", "W_o"]


@pytest.mark.parametrize("record", [AttentionTrace, ForwardPass, Projections, Scenario])
def test_records_are_frozen(record):
    assert dataclasses.is_dataclass(record) and record.__dataclass_params__.frozen


def test_a_scenario_has_the_fields_that_links_and_widgets_are_named_by():
    defaults = {field.name: field.default for field in dataclasses.fields(Scenario)}
    assert defaults["sentence"] == "The cat sat on the mat. It is eating now."
    named = {"seed", "d_model", "d_k", "d_v", "positions", "scaling", "causal", "embedding"}
    assert named <= defaults.keys()


def test_results_have_the_promised_shapes():
    rng = np.random.default_rng(0)
    Q, K, V = (
        rng.normal(size=s).astype(np.float32) for s in ((2, 6, 5, 3), (2, 2, 7, 3), (2, 2, 7, 11))
    )
    trace = scaled_dot_product_attention(Q, K, V, window=(-1, 2), softcap=5.0, scale=0.5)
    assert isinstance(trace, AttentionTrace)
    assert trace.scores.shape == trace.scaled.shape == trace.weights.shape == (2, 6, 5, 7)
    assert trace.heads.shape == trace.output.shape == (2, 6, 5, 11)
    assert not trace.weights.flags.writeable
    output = memory_efficient_attention(Q, K, V, window=(-1, 2), softcap=5.0, scale=0.5)
    assert isinstance(output, np.ndarray)
    np.testing.assert_allclose(output, trace.output, rtol=1e-4, atol=1e-6)
    projections = random_projections(11, 3, 5, n_heads=2, with_output=True)
    assert isinstance(multi_head_attention(rng.normal(size=(7, 11)), projections), AttentionTrace)


def test_forward_gives_tokens_and_weights_by_head():
    result = forward(Scenario(matrices="random"))
    T = len(result.tokens.texts)
    assert T == 12 and result.attention.weights[0].shape == (T, T)
    assert result.X.shape == (T, 50)
    assert isinstance(result.projections, Projections)


def test_importing_the_package_brings_neither_streamlit_nor_plotly_nor_pandas():
    code = (
        "import sys, attention; "
        "print(*({'streamlit', 'plotly', 'pandas', 'torch', 'scipy'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert ran.stdout.strip() == ""
