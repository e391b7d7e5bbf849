"""Who may import whom: the order of the house, read off the imports themselves."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the ground up: a module imports only modules above it. A new module gets a line here.
ORDER = """
    randomness
    functions
    text
    embeddings
    positions
    masks
    projections
    dot_product
    multi_head
    heads
    scaling_lab
    exercises
    recurrent
    block
    cache_size
    corpus
    training
    two_layers
    files
    hub
    checkpoints
    scenario
    forward
    encoder
    bert_files
    bert
    sampling
    gguf
    decoder
    gpt_tokens
    gpt_files
    gpt
    export
""".split()  # noqa: SIM905

# Beside the standard library and NumPy; all but the last only imported where they are used.
READERS = {"safetensors", "tokenizers", "gguf", "huggingface_hub", "threadpoolctl"}
OPTIONAL = {"tokenizers", "gguf", "huggingface_hub"}  # for models that are not shipped
# Pages are built from these, which must run without a server.
WITHOUT_STREAMLIT = ("figures", "arithmetic", "wording", "colours", "uploads")
# The packages by the names that requirements.txt gives them.
PACKAGE_OF = {"PIL": "pillow", "yaml": "pyyaml"}

PACKAGE = sorted((ROOT / "attention").glob("*.py"))
MODULES = [path for path in PACKAGE if path.stem != "__init__"]
APP = [ROOT / "app.py", *sorted((ROOT / "pages").rglob("*.py"))]


def imports(path: Path, *, at_the_top: bool = False) -> set[str]:
    """The full names of what a file imports: `a.b` for `from a import b` too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if at_the_top else ast.walk(tree)
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import; write `from attention.x`"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def modules_of_the_package(path: Path) -> set[str]:
    """The attention modules that a file imports."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("attention.")}


def foreign(path: Path, **options) -> set[str]:
    """The packages that a file imports beside the standard library and this project."""
    tops = {name.split(".")[0] for name in imports(path, **options)}
    return tops - set(sys.stdlib_module_names) - {"attention", "pages"}


def required() -> set[str]:
    """The packages that requirements.txt names, in its spelling."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = (re.match(r"[A-Za-z0-9._-]+", line) for line in lines)
    return {name[0].lower() for name in names if name}


def test_the_order_names_every_module_once():
    assert len(ORDER) == len(set(ORDER))
    unnamed = {path.stem for path in MODULES} - set(ORDER)
    assert not unnamed, f"give {', '.join(sorted(unnamed))} a line in ORDER, tests/test_layers.py"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_imports_only_modules_above_it(path):
    above = ORDER[: ORDER.index(path.stem)]
    below = modules_of_the_package(path) - set(above)
    assert not below, f"{path.name} imports {', '.join(sorted(below))}, which stand below it"


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: path.stem)
def test_the_package_is_numpy(path):
    assert foreign(path) <= {"numpy"} | READERS
    assert foreign(path, at_the_top=True) <= {"numpy", "threadpoolctl"}


def test_the_public_face_imports_nothing_but_the_package():
    assert all(name.startswith("attention.") for name in imports(ROOT / "attention/__init__.py"))


@pytest.mark.parametrize("name", WITHOUT_STREAMLIT)
def test_what_pages_are_built_from_needs_no_server(name):
    seen, todo = set(), [ROOT / f"pages/shared/{name}.py"]
    while todo:  # and what they import themselves
        path = todo.pop()
        seen.add(path)
        assert "streamlit" not in foreign(path), f"{path.name} imports Streamlit"
        shared = {n.split(".")[2] for n in imports(path) if n.startswith("pages.shared.")}
        todo += {ROOT / f"pages/shared/{n}.py" for n in shared} - seen


@pytest.mark.parametrize("path", [*PACKAGE, *APP], ids=lambda p: str(p.relative_to(ROOT)))
def test_requirements_list_what_the_app_imports(path):
    needed = {PACKAGE_OF.get(name, name).lower() for name in foreign(path)} - OPTIONAL
    assert needed <= required()
    assert not {name.lower() for name in foreign(path, at_the_top=True)} - required()


def test_requirements_list_nothing_else():
    used = set().union(*(foreign(path) for path in [*PACKAGE, *APP]))
    assert required() <= {PACKAGE_OF.get(name, name).lower() for name in used}


@pytest.mark.parametrize("path", [*PACKAGE, *APP], ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_unsafe_or_unstable_is_called(path):
    """No global seed, no `hash()` of text, no pickle, no `eval`, no HTML."""
    banned_names = {"hash", "eval", "exec"}
    banned_attributes = {("random", "seed"), ("random", "default_rng"), ("st", "html")}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in banned_names, f"{path.name}:{node.lineno}"
        if isinstance(node, ast.Attribute):
            owner = getattr(node.value, "id", getattr(node.value, "attr", ""))
            assert (owner, node.attr) not in banned_attributes, f"{path.name}:{node.lineno}"
        if isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "unsafe_allow_html"):
            assert getattr(node.value, "value", None) is False, f"{path.name}:{node.value.lineno}"
    assert not imports(path) & {"pickle", "marshal", "shelve"}
