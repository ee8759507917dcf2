"""The whole line over every fixture pair: fixtures/<dialect>/<case>.eml with its <case>.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

import bounceclass
from bounceclass.app.fixture import TO_REVIEW

FIXTURES = Path(__file__).parent.parent / "fixtures"
CASES = sorted(FIXTURES.rglob("*.eml"))


def differences(expected: Any, got: Any, where: str = "") -> list[str]:
    """Name every place where *got* is not what *expected* says; keys it does not name are free."""
    if isinstance(expected, dict) and isinstance(got, dict):
        return [line for key, value in expected.items() for line in differences(value, got.get(key), f"{where}.{key}")]
    if isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            return [f"{where}: {len(expected)} expected, got {len(got)}: {got}"]
        return [line for i, value in enumerate(expected) for line in differences(value, got[i], f"{where}[{i}]")]
    return [] if expected == got else [f"{where}: expected {expected!r}, got {got!r}"]


@pytest.mark.parametrize("path", CASES, ids=lambda path: str(path.relative_to(FIXTURES)))
def test_fixture(path: Path) -> None:
    expected = tomllib.loads(path.with_suffix(".toml").read_text())
    assert not expected.pop("about").startswith(TO_REVIEW)
    kinds = expected.pop("kinds", [expected.get("kind")])
    got = bounceclass.classify(path.read_bytes()).to_dict()
    assert got["kind"] in kinds
    assert differences(expected, got) == []


def test_there_are_enough() -> None:
    dialects = {path.parent.name for path in CASES}
    assert len(CASES) >= 60
    assert len(dialects) >= 25
    assert {path.with_suffix(".toml").exists() for path in CASES} == {True}
