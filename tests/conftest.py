"""What several tests need."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# for ``benchmarks``; at the end, so that the package is the one that is installed
sys.path.append(str(Path(__file__).parent.parent))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a user who has nothing yet: no ledger, no configuration."""
    for name in ("DATA", "STATE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    return tmp_path
