"""The closed loop, as docs/postfix.md and docs/exim.md set it up, on the real servers (tests/lab/loop.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lab.loop import BLOCKED, DEAD, EVERYBODY, FOR_NOW, FULL, HOLIDAY, LATE, PACKAGES
from machines import on_machine

if TYPE_CHECKING:
    from pathlib import Path

REFUSAL = {
    "postfix": "554 5.7.1 <fred@shop.example.com>: Recipient address rejected: suppressed: user_unknown since",
    "exim": "550 suppressed: user_unknown since",
}


@pytest.mark.parametrize("server", sorted(PACKAGES))
def test_the_dead_are_refused_and_nobody_else(server: str, tmp_path: Path) -> None:
    found = on_machine("lab.loop", PACKAGES[server], tmp_path, server)
    # the first mailing, whose bounces come to the pipe: one strike suppresses nobody
    assert found["refused yesterday"] == {}
    assert found["suppressed yesterday"] == []
    # the second, a day later, whose bounces come to the Maildir
    assert found["refused today"] == {}
    assert found["folders"] == {".Processed": 1, ".Not-a-bounce": 1}
    assert f"newly suppressed {len(DEAD):>6}" in found["processed"]
    assert found["suppressed"] == sorted(DEAD)
    assert found["why"].count("user_unknown (certain)") == 2
    assert found["holiday"].startswith(f"{HOLIDAY}: healthy\n")
    assert found["holiday"].count("  life  ") == 2
    assert found["for now"].startswith(f"{min(FOR_NOW)}: healthy\n")
    # the third goes to the living, and to them only
    assert set(found["refused"]) == DEAD
    assert found["refused"]["fred@shop.example.com"].startswith(REFUSAL[server])
    living = set(EVERYBODY) - DEAD
    assert {HOLIDAY, FULL, *BLOCKED, *FOR_NOW} < living
    assert set(found["delivered"]["third"]) == living
    # and one comes back
    assert set(found["refused after the release"]) == DEAD - {"fred@shop.example.com"}
    assert found["delivered"]["fourth"] == ["fred@shop.example.com"]
    # what comes while bounceclass is broken is not lost
    assert found["while it was broken"].startswith(f"{LATE}: suspect ")
    # after a month the dead are tried again, and the next bounce counts at once
    assert found["suppressed after a month"] == []
    assert found["refused after a month"] == {}
    assert found["suppressed again"] == sorted(DEAD - {"fred@shop.example.com"})
