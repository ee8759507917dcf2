"""Tests on a machine that is thrown away (tests/lab/machine.py)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from lab import machine, servers

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["on_machine"]


def on_machine(inside: str, packages: tuple[str, ...], folder: Path, *arguments: str) -> Any:
    """Return what the module *inside* finds, where *packages* can be installed; skip the test where there is none."""
    try:
        servers.check()
        machine.fetch(packages, folder)
    except servers.Unavailable as error:
        pytest.skip(f"{error}: what needs {', '.join(packages)} is NOT tested")
    return json.loads(servers.enter([*arguments, str(folder)], inside))
