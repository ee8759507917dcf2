"""docs/cron.md, as Debian's cron runs it and as systemd sees it (tests/lab/cron.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lab.cron import PACKAGES
from machines import on_machine

if TYPE_CHECKING:
    from pathlib import Path


def test_the_page(tmp_path: Path) -> None:
    found = on_machine("lab.cron", PACKAGES, tmp_path)
    assert found["folders"] == {".Processed": 2, ".Unsure": 1}
    # the first run left something to a person, and the second had nothing to say
    ((to, subject, text),) = found["mail"]
    assert to.startswith("postmaster")
    assert "bounceclass process -q" in subject
    assert text == "for a person to look at, in the folder Unsure: 1\n"
    assert list(found["lines"].values()) == ["", ""]
    if found["units"] is None:
        pytest.skip("there is no systemd-analyze: the units are NOT tested, the rest is")
    assert found["units"] == ""
