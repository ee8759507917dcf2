"""What is on the disk before what: no message leaves its mailbox until it is safe elsewhere, whenever the power fails."""

from __future__ import annotations

import errno
import os
import poplib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from boxes import BOXES, MboxBox, letter, lf
from dovecot import mail_server  # noqa: F401 - the fixture

from bounceclass.app.mailboxes import Kind, MailboxError, mboxstage

if TYPE_CHECKING:
    from collections.abc import Callable

ONE, TWO, THREE = map(letter, range(1, 4))


@pytest.fixture
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list of what is done from now on to files under the mailbox of the test, and of what POP3 deletes."""
    done: list[str] = []
    root = tmp_path / "mail"

    def shown(file: int | str | Path) -> str:
        path = Path(f"/proc/self/fd/{file}").readlink() if isinstance(file, int) else Path(file)
        return str(path.relative_to(root)) if path.is_relative_to(root) else ""

    def recorded(name: str, real: Callable[..., Any], files: int) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            names = [shown(one) for one in args[:files]]
            if all(names) and not any(".lock" in one for one in names):
                done.append(" ".join([name, *names]))
            return real(*args, **options)

        return call

    def told(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            done.append(name)
            return real(*args)

        return call

    for name, files in {
        "fsync": 1,
        "pwrite": 1,
        "ftruncate": 1,
        "unlink": 1,
        "rename": 2,
        "replace": 2,
        "link": 2,
    }.items():
        monkeypatch.setattr(os, name, recorded(name, getattr(os, name), files))
    for name in ("dele", "quit"):
        monkeypatch.setattr(poplib.POP3, name, told(name, getattr(poplib.POP3, name)))
    return done


def as_listed(events: list[str]) -> list[str]:
    """Return *events* without the marks of mailboxes and the names that are made of content."""
    named = (re.sub(r"\b[0-9a-f]{40}:", "message:", event) for event in events)
    return [re.sub(r"\b[0-9a-f]{16}\.", "mark.", event) for event in named]


MAILDIR = """
fsync .Processed
fsync .
rename new/00001.x .Processed/cur/00001.x:2,
fsync .Processed/cur
fsync new
"""
DIRECTORY = """
link 00001.eml Processed/00001.eml
unlink 00001.eml
fsync Processed
fsync .
"""
MBOX = """
fsync .box.mark.filing/to Processed
fsync .box.mark.filing/kept
fsync .box.mark.filing/draft
replace .box.mark.filing/draft .box.mark.filing/journal
fsync .box.mark.filing
fsync .
pwrite box.Processed
fsync box.Processed
pwrite box
fsync box
ftruncate box
fsync box
unlink .box.mark.filing/journal
fsync .box.mark.filing
fsync .
"""
POP3 = """
fsync kept/tmp/mark.1.bounceclass
rename kept/tmp/mark.1.bounceclass kept/.Processed/cur/message:2,
fsync kept/.Processed/cur
fsync kept/.Complaints/cur
fsync kept/.Not-a-bounce/cur
fsync kept/.Unsure/cur
dele
quit
unlink kept/tmp/mark.2.bounceclass
"""


@pytest.mark.parametrize(
    ("name", "expected"), [("maildir", MAILDIR), ("directory", DIRECTORY), ("mbox", MBOX), ("pop3", POP3)]
)
def test_what_is_safe_before_a_message_leaves_its_mailbox(
    name: str, expected: str, events: list[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("server") if name == "pop3" else None
    box = BOXES[name](tmp_path, server)
    box.put(ONE, TWO)
    settings = {"security": "none", "port": server.ports.pop3} if server else {}
    with box.open(**settings) as opened:
        (handle,) = [
            one.handle for one in opened.messages() if isinstance(one.content, bytes) and lf(one.content) == ONE
        ]
        if name == "pop3":
            events.clear()  # how the Maildir was made
        opened.file([(handle, Kind.PROCESSED)])
    done = as_listed(events)
    if name == "mbox":  # what was staged is of no use once the journal is gone
        assert sorted(done[-2:]) == ["unlink .box.mark.filing/kept", "unlink .box.mark.filing/to Processed"]
        del done[-2:]
    assert done == expected.split("\n")[1:-1]


def test_mail_that_came_after_an_interruption_is_promised_before_the_mbox_is_changed(
    events: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(*_: object) -> None:
        raise OSError(errno.EIO, "killed")

    box = MboxBox(tmp_path, None)
    box.put(ONE, TWO)
    for where, step in ((mboxstage.Stage, "_shrink"), (os, "ftruncate")):
        with (
            monkeypatch.context() as patched,
            pytest.raises(MailboxError, match="killed"),
        ):
            patched.setattr(where, step, end)
            with box.open() as opened:
                one, _ = opened.messages()
                opened.file([(one.handle, Kind.PROCESSED)])
        if step == "_shrink":
            box.put(THREE)
            events.clear()
    done = as_listed(events)
    assert done[done.index("fsync box.Processed") + 1 :] == [
        "fsync .box.mark.filing/kept",
        "fsync .box.mark.filing/draft",
        "replace .box.mark.filing/draft .box.mark.filing/journal",
        "fsync .box.mark.filing",
        "fsync .",
        "pwrite box",
        "fsync box",
    ]
    with box.open() as opened:
        assert [one.content for one in opened.messages()] == [TWO, THREE]
    assert box.folders() == {"": [TWO, THREE], "Processed": [ONE]}
