"""The laboratory: each server writes its notices anew, and each is judged as the script says (docs/laboratory.md)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from lab import scenarios, servers
from lab.laboratory import GENERATED, SERVERS, module, written
from lab.scenarios import SCENARIOS
from test_fixtures import differences

import bounceclass

if TYPE_CHECKING:
    from lab.expected import Notice

_BOOKWORM = "VERSION_CODENAME=bookworm"


def _codes_of_nobody(notice: Notice) -> list[str]:
    """Name what we say of commands and codes that neither the world nor the server said."""
    expected: Any = notice.expected.get("failures", [])
    got = bounceclass.classify(notice.content).to_dict()["failures"]
    return [
        f"{key} {ours[key]}"
        for theirs, ours in zip(expected, got, strict=True)
        for key in ("command", "reply_code", "status")
        if key not in theirs and ours[key] is not None
    ]


@pytest.mark.parametrize("name", SERVERS)
def test_server(name: str) -> None:
    try:
        servers.check()
        notices = written(name)
    except servers.Unavailable as error:
        pytest.skip(f"no {name}: {error}")
    wrong = [
        f"{notice.name}{line}"
        for notice in notices
        for line in differences(
            {key: value for key, value in notice.expected.items() if key != "about"},
            bounceclass.classify(notice.content).to_dict(),
        )
    ]
    wrong += [f"{notice.name}: {code}" for notice in notices for code in _codes_of_nobody(notice)]
    assert wrong == []
    silent = {one.name for one in SCENARIOS if one.hears_nothing}
    written_of = {str(notice.expected["about"]).split(": ")[1] for notice in notices}
    assert written_of == {one.name for one in SCENARIOS} - silent - set(module(name).WITHOUT)
    if _BOOKWORM in Path("/etc/os-release").read_text():  # what other versions write may differ
        stored = {path.stem: path.read_bytes() for path in (GENERATED / name).glob("*.eml")}
        assert {notice.name: notice.content for notice in notices} == stored


def test_the_table_of_servers() -> None:
    page = (servers.ROOT / "docs" / "laboratory.md").read_text()
    rows = re.findall(r"^\| `([a-z]+)` \| ([a-z0-9, -]+) \| (\d+) \|", page, re.M)
    assert [(name, packages.split(", "), int(notices)) for name, packages, notices in rows] == [
        (name, list(module(name).PACKAGES), len([*(GENERATED / name).glob("*.eml")])) for name in SERVERS
    ]
    assert {folder.name for folder in GENERATED.iterdir()} == set(SERVERS)


def test_the_rows_of_scenarios() -> None:
    page = (servers.ROOT / "docs" / "laboratory.md").read_text()
    rows = re.findall(r"^(?=.*\b(?:_refused|Scenario)\().*\n", page.partition("## Add a scenario")[2], re.M)
    table = Path(scenarios.__file__).read_text()
    assert len(rows) == 2
    assert [row for row in rows if row not in table] == []


def test_the_list_of_packages() -> None:
    """It is printed by Python alone, before anything is installed."""
    command = [sys.executable, "-S", "-m", "lab.packages"]
    listed = subprocess.run(command, cwd=servers.ROOT / "tests", check=True, capture_output=True, text=True)
    page = (servers.ROOT / "docs" / "laboratory.md").read_text()
    rows = re.findall(r"^\| (?:`[a-z]+`|docs/[a-z]+\.md) \|(?: `[a-z]+\.py` \|)? ([a-z0-9, -]+) \|", page, re.M)
    assert len(rows) == len(SERVERS) + 4
    assert {name for row in rows for name in row.split(", ")} <= set(listed.stdout.split())


@pytest.mark.parametrize("name", SERVERS)
def test_what_a_server_cannot_have(name: str) -> None:
    assert set(module(name).WITHOUT) <= {one.name for one in SCENARIOS}
