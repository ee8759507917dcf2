"""Imports point one way, and what is public is named once.

``app`` -> ``classify`` -> ``judge``, ``reports`` -> ``mime``, ``rulebook``, ... -> ``model``: a module imports
only from the layers below its own.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import bounceclass

PACKAGE = Path(bounceclass.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

LAYERS = [
    {"status", "fields", "misfit", "phrasing", "words", "once", "parallel"},
    {"model"},
    {"rows"},
    {"smtp", "recipients", "_stdlib_mime", "mime", "rulebook"},
    {"advice", "wire"},
    {"judge"},
    {"reports.origin", "reports.dialects"},
    {"reports.page"},
    {"reports.layouts"},
    {"reports.automatic", "reports.receipts", "reports.feedback", "reports.freeform"},
    {"reports.dsn", "reports.last_resort"},
    {"reports.ses_json"},
    {"reports"},
    {"rules"},
    {"classify", "explain", "rulecheck"},
    {""},
    {"app", "mailman"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
# within a layer, in this order
SIDEWAYS = {("mime", "_stdlib_mime")}

# Who may open a file, and what for: package data, and a path that ``classify`` is given.
OPENS = {
    "rulebook": {"read_bytes", "iterdir"},
    "advice": {"read_bytes"},
    "reports.dialects": {"read_bytes", "iterdir"},
    "classify": {"open"},
}
FILE_CALLS = {
    "open",
    "read_bytes",
    "read_text",
    "write_bytes",
    "write_text",
    "iterdir",
    "glob",
    "rglob",
    "unlink",
    "mkdir",
}
CLOCKS = {"now", "utcnow", "today", "localtime", "monotonic", "perf_counter"}
# No log, no clock, no network, no other process, no chance
# (last_resort silences what flufl.bounce logs)
SILENCES = {"reports.last_resort": {"logging"}}
FORBIDDEN = {"logging", "time", "socket", "http", "urllib", "subprocess", "threading", "random", "secrets"}


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(name: str) -> str:
    return "app" if name.startswith("app") else name


def below_app() -> list[Path]:
    return [path for path in MODULES if layer_of(name_of(path)) not in ("app", "mailman", "__main__")]


def imports(path: Path) -> set[str]:
    """Return every module that *path* imports, the package's own without its name in front."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            module = node.module or ""
            for alias in node.names:
                whole = f"{module}.{alias.name}"
                is_module = module.split(".")[0] == "bounceclass" and whole.removeprefix("bounceclass.") in {
                    *LEVEL,
                    *APP,
                }
                found.add(whole if is_module else module)
    return found


APP = {name_of(path) for path in MODULES if name_of(path).startswith("app")}


def own(names: set[str]) -> set[str]:
    return {name.removeprefix("bounceclass").lstrip(".") for name in names if name.split(".")[0] == "bounceclass"}


def test_every_module_has_a_layer() -> None:
    assert {layer_of(name_of(path)) for path in MODULES} - set(LEVEL) == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    name = layer_of(name_of(path))
    wrong = {
        other
        for other in map(layer_of, own(imports(path)))
        if LEVEL[other] >= LEVEL[name] and (name, other) not in SIDEWAYS and not (name == other == "app")
    }
    assert wrong == set()


@pytest.mark.parametrize("path", below_app(), ids=name_of)
def test_nothing_below_app_meets_the_world(path: Path) -> None:
    assert {module.split(".")[0] for module in imports(path)} & FORBIDDEN == SILENCES.get(name_of(path), set())
    called = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called.add(node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", ""))
    assert called & FILE_CALLS == OPENS.get(name_of(path), set())
    assert called & {"print", *CLOCKS} == set()


def literal_all(path: Path) -> list[str] | None:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return names
    return None


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_all_is_literal_sorted_and_honest(path: Path) -> None:
    names = literal_all(path)
    if names is None:
        return
    defined = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined.add(node.name)
        elif isinstance(node, ast.Assign):
            defined.update(getattr(target, "id", "") for target in node.targets)
        elif isinstance(node, ast.AnnAssign):
            defined.add(getattr(node.target, "id", ""))
        elif isinstance(node, ast.ImportFrom) and path.name == "__init__.py":
            defined.update(alias.asname or alias.name for alias in node.names)
    assert names == sorted(set(names), key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert set(names) <= defined


def test_the_package_exports_what_it_says() -> None:
    assert all(hasattr(bounceclass, name) for name in bounceclass.__all__)
    public = {
        name for name, value in vars(bounceclass).items() if getattr(value, "__module__", "").startswith("bounceclass")
    }
    assert {name for name in public if not name.startswith("_")} <= set(bounceclass.__all__)
    assert literal_all(PACKAGE / "__init__.py") == bounceclass.__all__
