"""The mailbox hooks of docs/integrating.md, in procmail and maildrop (tests/lab/hooks.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.hooks import PACKAGES
from machines import on_machine

if TYPE_CHECKING:
    from pathlib import Path

STAYS = ["Hello", "News of a list", "The minutes", "Out of office", "Not read: Vote on Friday", "failure notice"]


def test_bounces_are_recorded_and_the_rest_stays(tmp_path: Path) -> None:
    found = on_machine("lab.hooks", PACKAGES, tmp_path)
    assert set(found) == set(PACKAGES)
    for one in found.values():
        assert set(one["ended"]) == {0}
        assert one["mailbox"] == STAYS
        assert one["ledger"].count("user_unknown (certain)") == 1
        # a bounce that cannot be recorded is for the mail server to try again, and stands nowhere
        assert one["broken"] == 75
        assert one["mailbox after"] == one["mailbox"]
