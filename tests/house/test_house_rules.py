"""How the tree is kept: layers, file names, file sizes and loose ends."""

import ast
import re
from pathlib import Path

import pytest

from tests.house.purity import imported_modules

ROOT = Path(__file__).parents[2]
PACKAGES = ("consumers", "engine", "schemas", "tests")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LINES_MAX = 600
DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc"}
LOOSE_ENDS = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")

# Who may import whom: data moves one way, and nothing depends on a shell.
LAYERS = {
    "schemas": {"schemas"},
    "engine": {"engine", "schemas"},
    "consumers": {"consumers", "engine", "schemas"},
    "tests": set(PACKAGES),
}


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_imports_go_one_way(path: Path) -> None:
    """schemas ← engine ← consumers; nothing but tests imports a shell, nothing imports the tests."""
    package = path.relative_to(ROOT).parts[0]
    imported = {module.partition(".")[0] for _, module in imported_modules(ast.parse(path.read_text("utf-8")))}
    assert imported & set(PACKAGES) <= LAYERS[package]


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_no_module_is_a_drawer_for_leftovers(path: Path) -> None:
    """A module is called after the one thing it is about."""
    assert path.stem not in DRAWERS
    assert path.parent.name not in DRAWERS


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_every_file_is_short_enough_to_read_in_one_sitting(path: Path) -> None:
    """Above 600 lines a file has more than one subject."""
    assert len(path.read_text("utf-8").splitlines()) <= LINES_MAX


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_no_loose_ends_are_left_in_the_source(path: Path) -> None:
    """What is left to do stands in the issue tracker; a silenced type error names what it silences."""
    text = path.read_text("utf-8")
    assert [word for word in LOOSE_ENDS if re.search(rf"\b{word}\b", text)] == []
    assert re.findall(r"#\s*type:\s*ignore(?!\[)", text) == []
