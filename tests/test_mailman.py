"""bounceclass.mailman: in itself, and in a real Mailman 3 with a real list."""

from __future__ import annotations

import email
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from messages import bounce

import bounceclass
from bounceclass.mailman import all_failures

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "mailman.md").read_text()
BLOCK = (
    "550 5.7.1 [192.0.2.1] Our system has detected that this message is likely unsolicited mail. "
    "To reduce the amount of spam sent to Gmail, this message has been blocked."
)
FULL = "552 5.2.2 Mailbox full"
LETTER = b"From: ann@example.com\nTo: news-bounces@example.org\nSubject: Hello\n\nHow are you?\n"


# --- all_failures -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "temporary", "permanent"),
    [
        (bounce("fred@example.com"), set(), {b"fred@example.com"}),
        (bounce("fred@example.com", BLOCK), {b"fred@example.com"}, set()),
        (bounce("fred@example.com", FULL), {b"fred@example.com"}, set()),
        (bounce("fred@example.com", "550 5.2.1 Mailbox disabled"), {b"fred@example.com"}, set()),
        (bounce("fred@example.com", "550 5.1.2 Domain not found"), set(), {b"fred@example.com"}),
        (bounce("fred@example.com", "451 4.3.0 Try later", action="delayed"), {b"fred@example.com"}, set()),
        (bounce("fred@example.com", "250 2.0.0 Ok", action="delivered"), set(), set()),
        (bounce("frédéric@example.com"), set(), {"frédéric@example.com".encode()}),
        (LETTER, set(), set()),
    ],
)
def test_only_dead_addresses_are_permanent(raw: bytes, temporary: set[bytes], permanent: set[bytes]) -> None:
    assert all_failures(email.message_from_bytes(raw)) == (temporary, permanent)


def test_permanent_is_what_suppress_says() -> None:
    for path in sorted((ROOT / "fixtures").rglob("*.eml")):
        failures = bounceclass.classify(path).failures
        temporary, permanent = all_failures(email.message_from_bytes(path.read_bytes()))
        assert permanent == {one.recipient.encode() for one in failures if one.recipient and one.suppress}, path
        assert temporary | permanent == {one.recipient.encode() for one in failures if one.recipient}, path
        assert not temporary & permanent, path


# --- Mailman ------------------------------------------------------------------------


needs_mailman = pytest.mark.skipif(
    find_spec("mailman") is None, reason="GNU Mailman is not installed: tox -e integrations has it"
)
MEMBERS = ("dead", "block", "full", "verp-dead", "verp-block", "fred.oduya")


class Mailman:
    """A Mailman of its own, with the list news@example.org that stops delivery at the first point."""

    def __init__(self, folder: Path, plugin: str) -> None:
        self.var = folder / "var"
        self.config = folder / "mailman.cfg"
        self.config.write_text(
            "[mailman]\nlayout: here\nsite_owner: owner@example.org\n"
            f"[paths.here]\nvar_dir: {self.var}\n[mta]\nincoming: mailman.mta.null.NullMTA\n{plugin}"
        )
        bin_ = folder / "bin"
        bin_.mkdir()
        command = bin_ / "mailman"  # the tests may be run by root, which Mailman refuses unless it is told
        command.write_text(f'#!/bin/sh\nexec {Path(sys.executable).parent}/mailman --run-as-root "$@"\n')
        command.chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{bin_}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "MAILMAN_CONFIG_FILE": str(self.config),
        }
        self.run("mailman create news@example.org")
        members = folder / "members"
        members.write_text("".join(f"{name}@example.com\n" for name in MEMBERS))
        self.run(f"mailman addmembers {members} news@example.org")
        with sqlite3.connect(self.var / "data" / "mailman.db") as database:
            database.execute("UPDATE mailinglist SET bounce_score_threshold = 1")

    def run(self, command: str) -> None:
        subprocess.run(["sh", "-ec", command], check=True, env=self.environment, cwd=ROOT, capture_output=True)

    def put(self, raw: bytes, to: str = "news-bounces@example.org") -> None:
        file = self.var / "message.eml"
        file.write_bytes(raw.replace(b"To: news@example.org", f"To: {to}".encode(), 1))
        self.run(f"mailman inject --queue bounces --filename {file} news@example.org")

    def work(self) -> None:
        """Let Mailman's bounce runner do all that is in its queue, and count."""
        runner = subprocess.Popen(
            [str(Path(sys.executable).parent / "runner"), "--runner", "bounces"], env=self.environment
        )
        try:
            deadline, quiet = time.monotonic() + 60, 0
            while quiet < 10:  # a message leaves the queue a moment before its event is kept
                assert runner.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
                waits = [*(self.var / "queue" / "bounces").iterdir()]
                quiet = 0 if waits or self.asked("SELECT 1 FROM bounceevent WHERE NOT processed") else quiet + 1
        finally:
            runner.send_signal(signal.SIGTERM)
            runner.wait(20)
        assert list((self.var / "queue" / "shunt").iterdir()) == [], (self.var / "logs" / "mailman.log").read_text()

    def asked(self, question: str) -> list[tuple[str, ...]]:
        with sqlite3.connect(self.var / "data" / "mailman.db", timeout=30) as database:
            return database.execute(question).fetchall()

    def stopped(self) -> set[str]:
        """Return the members that get no mail any more."""
        return {
            row[0].removesuffix("@example.com")
            for row in self.asked(
                "SELECT address.email FROM member JOIN address ON address.id = member.address_id "
                "JOIN preferences ON preferences.id = member.preferences_id WHERE preferences.delivery_status > 1"  # 1 is enabled
            )
        }

    def log(self) -> str:
        return (self.var / "logs" / "bounce.log").read_text()


def some_bounces(mailman: Mailman) -> None:
    mailman.put(bounce("dead@example.com", number=1))
    mailman.put(bounce("block@example.com", BLOCK, number=2))
    mailman.put(bounce("full@example.com", FULL, number=3))
    mailman.put(bounce("away@example.net", number=4), to="news-bounces+verp-dead=example.com@example.org")
    mailman.put(bounce("away@example.net", BLOCK, number=5), to="news-bounces+verp-block=example.com@example.org")
    mailman.put(LETTER)


@needs_mailman
def test_a_list_loses_its_dead_members_only(tmp_path: Path) -> None:
    (plugin,) = re.findall(r"```ini\n(.*?)```", PAGE, re.DOTALL)
    mailman = Mailman(tmp_path, plugin)
    some_bounces(mailman)
    mailman.work()
    assert mailman.stopped() == {"dead", "verp-dead"}
    assert "bounceclass: dead@example.com dead: user_unknown (certain): 550 5.1.1 User unknown" in mailman.log()
    assert "bounceclass: block@example.com not scored: spam_content" in mailman.log()


@needs_mailman
def test_with_flufl_bounce_it_lost_the_living_too(tmp_path: Path) -> None:
    mailman = Mailman(tmp_path, plugin="")
    some_bounces(mailman)
    mailman.work()
    assert mailman.stopped() == {"dead", "block", "full", "verp-dead", "verp-block"}


@needs_mailman
def test_the_page(tmp_path: Path) -> None:
    (plugin,) = re.findall(r"```ini\n(.*?)```", PAGE, re.DOTALL)
    (attempt,) = re.findall(r"<!-- try -->\n```sh\n(.*?)```", PAGE, re.DOTALL)
    mailman = Mailman(tmp_path, plugin)
    mailman.run(attempt)
    mailman.work()
    (line,) = re.findall(r"^(bounceclass: .*?)\.\.\.$", PAGE, re.MULTILINE)
    assert line in mailman.log()
    assert mailman.stopped() == {"fred.oduya"}


# --- docs/integrating.md ------------------------------------------------------------


def block(name: str) -> str:
    page = (ROOT / "docs" / "integrating.md").read_text()
    (code,) = re.findall(rf"<!-- {name} -->\n```python\n(.*?)```", page, re.DOTALL)
    return str(code)


def test_five_lines() -> None:
    names: dict[str, object] = {}
    exec(block("five lines"), names)
    said: dict[str, list[str]] = {"unsubscribe": [], "review": []}
    for address, diagnostic in (("dead", "550 5.1.1 User unknown"), ("block", BLOCK), ("full", FULL)):
        names["bounced"](  # type: ignore[operator]
            bounce(f"{address}@example.com", diagnostic),
            lambda address, _: said["unsubscribe"].append(address),
            lambda address, _: said["review"].append(address),
        )
    assert said["unsubscribe"] == ["dead@example.com"]
    assert "block@example.com" in said["review"]


@pytest.mark.skipif(find_spec("anymail") is None, reason="anymail is not installed: tox -e integrations has it")
def test_anymail() -> None:
    from anymail.inbound import AnymailInboundMessage
    from anymail.signals import AnymailInboundEvent, inbound
    from django.conf import settings

    settings.configure()
    names: dict[str, object] = {}
    exec(block("anymail"), names)
    dead: list[Mapping[str, object]] = []

    def told(sender: object, **facts: object) -> None:
        dead.append(facts)

    names["address_is_dead"].connect(told)  # type: ignore[attr-defined]
    for address, diagnostic in (("dead", "550 5.1.1 User unknown"), ("block", BLOCK)):
        message = AnymailInboundMessage.parse_raw_mime_bytes(bounce(f"{address}@example.com", diagnostic))
        event = AnymailInboundEvent(event_type="inbound", message=message)
        inbound.send(sender=object(), event=event, esp_name="none")
    assert [facts["address"] for facts in dead] == ["dead@example.com"]
