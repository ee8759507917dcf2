"""IMAP and POP3 against a real server: what it lacks, what goes wrong, and what no error may show."""

from __future__ import annotations

import base64
import logging
import os
import re
import socket
import threading
import time
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from boxes import ImapBox, Pop3Box, ServerBox, letter, lf
from dovecot import HOST, PASSWORD, TOKEN, Dovecot, free_ports, mail_server  # noqa: F401 - the fixture
from proxy import Proxy, proxy

from bounceclass.app import mailboxes
from bounceclass.app.mailboxes import Fetched, Kind, MailboxError, Secret, imap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE, TWO, THREE = map(letter, range(1, 4))


@pytest.fixture
def box(server: Dovecot, tmp_path: Path) -> ImapBox:
    return ImapBox(tmp_path, server)


@pytest.fixture
def pop3(server: Dovecot, tmp_path: Path) -> Pop3Box:
    return Pop3Box(tmp_path, server)


@pytest.fixture
def between(server: Dovecot) -> Iterator[Proxy]:
    """A proxy before the port for plain IMAP."""
    with proxy((HOST, server.ports.imap)) as running:
        yield running


def plain(port: int, **other: Any) -> dict[str, Any]:
    return {"security": "none", "port": port, **other}


# --- logging in -------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_starttls(host: str, box: ImapBox, pop3: Pop3Box) -> None:
    for one, port in ((box, box.ports.imap), (pop3, pop3.ports.pop3)):
        one.put(ONE)
        assert one.run({}, host=host, port=port, security="starttls") == [ONE]


def test_a_token(box: ImapBox, between: Proxy) -> None:
    box.put(ONE)
    token = Secret(lambda: f"{TOKEN}-{box.account.user}")
    assert box.run({}, password=None, token=token, after="leave") == [ONE]
    between.hidden = (b"AUTH=XOAUTH2",)
    between.replaced = {b" AUTH=XOAUTH2": b""}
    assert box.run({}, password=None, token=token, **plain(between.port)) == [ONE]
    assert any(b"AUTHENTICATE OAUTHBEARER" in command for command in between.commands)


def test_a_password_outside_ascii_is_no_crash(box: ImapBox, between: Proxy) -> None:
    between.replaced = {b" AUTH=PLAIN": b"", b"AUTH=LOGIN": b""}
    secret = Secret("pässwörd")  # on a line of its own, as tracebacks show the lines that were run
    with (
        pytest.raises(MailboxError, match="does not take the password") as found,
        box.open(**plain(between.port, password=secret)),
    ):
        pass
    assert "pässwörd" not in "".join(traceback.format_exception(found.value))


def everything_said(error: BaseException) -> str:
    """Return all that an error and what it hangs together with can show."""
    said, waiting = "", [error]
    while waiting:
        one = waiting.pop()
        said += repr(one) + str(one) + repr(one.args) + repr(vars(one)) + "".join(traceback.format_exception(one))
        waiting += [other for other in (one.__cause__, one.__context__) if other is not None]
    return said


@pytest.mark.parametrize("security", ["tls", "starttls", "none"])
@pytest.mark.parametrize("kind", ["imap", "pop3", "token"])
def test_no_error_and_no_log_shows_a_secret(
    kind: str, security: str, box: ImapBox, pop3: Pop3Box, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    one: ServerBox = pop3 if kind == "pop3" else box
    ports = {"pop3": (pop3.ports.pop3s, pop3.ports.pop3)}.get(kind, (box.ports.imaps, box.ports.imap))
    wrong = 'geheim-"42"\\ x'
    secret = {"password": None, "token": Secret(wrong)} if kind == "token" else {"password": Secret(wrong)}
    settings: dict[str, Any] = {"security": security, "port": ports[0] if security == "tls" else ports[1], **secret}
    with pytest.raises(MailboxError) as found, one.open(**settings):
        pass
    what = "token" if kind == "token" else "password"
    assert f"refused the {what} for {one.account.user}: " in str(found.value)
    assert not found.value.temporary
    said = everything_said(found.value) + caplog.text + repr(one.settings(**settings))
    for sign in ("geheim", base64.b64encode(b"geheim")[:8].decode(), base64.b64encode(f"\0{wrong}".encode()).decode()):
        assert sign not in said


def test_a_server_that_repeats_the_password(box: ImapBox, between: Proxy) -> None:
    between.replaced = {b"Authentication failed.": b"You said geheim, and \x1b[31m that is wrong."}
    password = Secret("geheim")
    with pytest.raises(MailboxError) as found, box.open(**plain(between.port, password=password)):
        pass
    assert "You said ***, and \\x1b[31m that is wrong." in str(found.value)
    assert "geheim" not in everything_said(found.value)


@pytest.mark.parametrize("value", ["", "a\r\nb"])
def test_a_secret_that_is_none(value: str, box: ImapBox) -> None:
    with (
        pytest.raises(MailboxError, match=r"the password or token for user.* is empty or has a control character"),
        box.open(password=Secret(value)),
    ):
        pass


# --- no connection ----------------------------------------------------------------


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port that answers nothing."""
    with socket.create_server((HOST, 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("kind", ["imap", "pop3"])
@pytest.mark.parametrize(
    ("settings", "problem", "temporary"),
    [
        ({"ca_file": None}, r"the certificate of 127.0.0.1:\d+ is not trusted: .*set ca_file", False),
        ({"ca_file": "/nowhere"}, r"ca_file /nowhere cannot be used: No such file or directory", False),
        ({"ca_file": "/dev/null"}, r"ca_file /dev/null cannot be used: it holds no certificate", False),
        (
            {"host": "127.0.0.2"},
            r"the certificate of 127.0.0.2:\d+ is not trusted: .*correct host|Connection refused",
            None,
        ),
        ({"host": "no-such-host.invalid"}, r"the host no-such-host.invalid is not known: correct host", None),
        ({"port": "free"}, r"no connection to 127.0.0.1:\d+: Connection refused: correct host and port", True),
        ({"port": "plain"}, r"127.0.0.1:\d+ does not speak TLS: correct port, or set security", False),
        ({"port": "deaf", "timeout": 0.3}, r"127.0.0.1:\d+ did not answer within 0.3 seconds: try again later", True),
    ],
)
def test_no_connection(
    settings: dict[str, Any],
    problem: str,
    temporary: bool | None,
    kind: str,
    box: ImapBox,
    pop3: Pop3Box,
    deaf: int,
) -> None:
    one: ServerBox = pop3 if kind == "pop3" else box
    ports = {"free": free_ports(1)[0], "plain": one.ports.pop3 if kind == "pop3" else one.ports.imap, "deaf": deaf}
    if isinstance(settings.get("port"), str):
        settings = {**settings, "port": ports[settings["port"]]}
    with pytest.raises(MailboxError) as found, one.open(**settings):
        pass
    assert re.search(problem, str(found.value)), str(found.value)
    assert "\n" not in str(found.value)
    assert temporary is None or found.value.temporary is temporary


def test_a_folder_that_is_missing(box: ImapBox) -> None:
    with box.account.client() as client:
        client.create_folder("INBOX.Bounces")
        client.create_folder("INBOX.Letters")
    with pytest.raises(MailboxError) as found, box.open(folder="INBOX.Bounce"):
        pass
    expected = f"no folder INBOX.Bounce for {box.account.user} at 127.0.0.1; try INBOX.Bounces, "
    assert str(found.value).startswith(expected)


# --- answers that make no sense ---------------------------------------------------


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        (b"UIDVALIDITY ", b"UIDVALIDITY x"),
        (b"[UIDVALIDITY ", b"[UIDVALIDITY (1) "),
        (b"[PERMANENTFLAGS (", b"[PERMANENTFLAGS 5 ("),
        (b"* SEARCH ", b"* SEARCH x "),
        (b"RFC822.SIZE ", b"RFC822.SIZE x"),
        (b"RFC822.SIZE ", b"RFC822.SIZE NIL "),
        (b"RFC822.SIZE ", b"RFC822.SIZE (1) "),
        (b"(UID ", b"(UID x"),
        (b"* 1 FETCH ", b"* 1 FETCH )("),
        (b"* 1 FETCH ", b"* x FETCH "),
        (b"* 1 FETCH ", b"* 1 FETCH " + b"(" * 5000),
        (b"BODY[]<0> {", b"BODY[]<0> {9999999999999999999999"),
        (b"BODY[]<0> {", b"BODY[]<0> {999999999999999"),
        (b"* BYE ", b"* x ("),
        (b"OK Logout", b"\xff ("),
        (b'(("INBOX." ".")) ', b"((NIL NIL)) "),
        (b'(("INBOX." ".")) ', b"(5) "),
        (b'(("INBOX." ".")) ', b'(("&" "\xff")) '),
        (b"* CAPABILITY ", b"* CAPABILITY \xff "),
        (b"* OK ", b"* \xff "),
    ],
)
def test_an_imap_server_that_makes_no_sense(said: bytes, instead: bytes, box: ImapBox, between: Proxy) -> None:
    box.put(ONE, TWO)
    between.hidden = (b"MOVE",)
    between.replaced = {said: instead}
    # some of it is understood, or does not matter
    with suppress(MailboxError), box.open(**plain(between.port, timeout=1.0)) as opened:
        fetched = list(opened.messages())
        opened.file([(one.handle, Kind.PROCESSED) for one in fetched if isinstance(one.content, bytes)])
    between.replaced = {}
    box.run({}, **plain(between.port))
    assert sorted(content for contents in box.folders().values() for content in contents) == [ONE, TWO]


@pytest.mark.parametrize(
    ("said", "instead", "problem"),
    [
        (b"\r\n1 ", b"\r\nx ", r"pop3 gave an answer to the list of messages that makes no sense: ask who runs it"),
        (b"\r\n1 ", b"\r\n \r\n1 ", r"pop3 gave an answer to the list of messages that makes no sense"),
        (b"+OK 2 messages", b"+OK\r\n\xff \xff", r"pop3 gave an answer to the list of messages that makes no sense"),
        (b"+OK 2 messages", b"\xff", r"pop3 refused the list of messages"),
    ],
)
def test_a_pop3_server_that_makes_no_sense(said: bytes, instead: bytes, problem: str, pop3: Pop3Box) -> None:
    pop3.put(ONE, TWO)
    with proxy((HOST, pop3.ports.pop3)) as between:
        between.replaced = {said: instead}
        with pytest.raises(MailboxError) as found:
            pop3.run({}, **plain(between.port))
    assert re.search(problem.replace("pop3", f"{HOST}:{between.port}"), str(found.value)), str(found.value)
    assert pop3.folders() == {"": [ONE, TWO]}


# --- filing -----------------------------------------------------------------------


def test_a_folder_of_its_own_and_targets_below_others(box: ImapBox) -> None:
    with box.account.client() as client:
        client.create_folder("INBOX.Bounces")
    box.account.deliver(ONE, folder="INBOX.Bounces")
    assert box.run({}, folder="INBOX.Bounces", folders={Kind.PROCESSED: "Bounces/Gelöst"}) == [ONE]
    assert box.folders() == {"Bounces.Gelöst": [ONE]}
    with box.account.client() as client:
        assert [name for _, _, name in client.list_sub_folders()] == ["INBOX.Bounces.Gelöst"]


def test_without_move_nothing_but_our_messages_is_expunged(box: ImapBox, between: Proxy) -> None:
    between.hidden = (b"MOVE",)
    box.put(ONE, TWO, THREE)
    with box.account.client() as client:
        client.select_folder("INBOX")
        client.delete_messages([3])  # somebody else's mark
    assert box.run({TWO: Kind.UNSURE}, **plain(between.port)) == [ONE, TWO]
    assert box.folders() == {"": [THREE], "Processed": [ONE], "Unsure": [TWO]}
    sent = b"".join(between.commands)
    assert b" MOVE " not in sent
    assert not re.search(rb"^\w+ EXPUNGE", sent, re.MULTILINE)


def test_without_uidplus_messages_stay_marked_and_are_not_fetched_again(box: ImapBox, between: Proxy) -> None:
    between.hidden = (b"MOVE", b"UIDPLUS")
    box.put(ONE, TWO)
    assert box.run({}, **plain(between.port)) == [ONE, TWO]
    assert box.folders() == {"": [ONE, TWO], "Processed": [ONE, TWO]}
    assert box.run({}, **plain(between.port)) == []
    assert b"EXPUNGE" not in b"".join(between.commands)


def test_what_is_left_is_not_fetched_again(box: ImapBox) -> None:
    box.put(ONE)
    assert box.run({}, after="leave") == [ONE]
    box.put(TWO)
    assert box.run({}, after="leave") == [TWO]
    assert box.folders() == {"": [ONE, TWO]}


def test_without_keywords_what_is_left_is_fetched_by_every_run(box: ImapBox, between: Proxy) -> None:
    between.replaced = {rb" \*)]": b")]"}
    box.put(ONE, TWO)
    for expected in ([ONE, TWO], [ONE, TWO], [ONE, TWO, THREE]):
        if THREE in expected:
            box.put(THREE)
        assert box.run({}, **plain(between.port, after="leave")) == expected
    assert box.folders() == {"": [ONE, TWO, THREE]}


def test_handles_of_another_time_are_passed_over(box: ImapBox) -> None:
    box.put(ONE)
    with box.open() as opened:
        (one,) = opened.messages()
        opened.file([(one.handle._replace(uidvalidity=1), Kind.PROCESSED)])
    assert box.folders() == {"": [ONE]}


def test_one_message_that_the_server_trips_over(box: ImapBox, pop3: Pop3Box, server: Dovecot) -> None:
    for one in (box, pop3):
        one.put(ONE, TWO, THREE)
        inbox = server.root / "mail" / one.account.user
        next(path for path in inbox.rglob("*.*,S=*") if TWO in lf(path.read_bytes())).chmod(0)
        with one.open() as opened:
            fetched = list(opened.messages())
            contents = [lf(each.content) if isinstance(each.content, bytes) else None for each in fetched]
            assert contents == [ONE, None, THREE]
            assert isinstance(fetched[1].content, MailboxError)
            opened.file([(each.handle, Kind.UNSURE) for each in fetched if isinstance(each.content, bytes)])


def test_two_accounts_that_are_kept_in_one_maildir(server: Dovecot, tmp_path: Path) -> None:
    first, second = Pop3Box(tmp_path, server), Pop3Box(tmp_path, server)
    first.put(ONE)
    second.put(TWO)
    with first.open() as one:
        (fetched,) = one.messages()
        with second.open() as two:  # another thread of --watch
            two.file([(other.handle, Kind.PROCESSED) for other in two.messages()])
            one.file([(fetched.handle, Kind.PROCESSED)])
    assert first.folders() == second.folders() == {"Processed": [ONE, TWO]}
    assert list((first.root / "kept/tmp").iterdir()) == []


def test_drafts_of_runs_that_were_killed(pop3: Pop3Box) -> None:
    drafts = pop3.root / "kept/tmp"
    drafts.mkdir(parents=True)
    mine = drafts / f"{mailboxes.mark(pop3.settings())}.1.bounceclass"
    old, other, no_draft = drafts / "123.1.bounceclass", drafts / "456.1.bounceclass", drafts / "789.example"
    for path in (mine, old, other, no_draft):
        path.touch()
    for path in (old, no_draft):
        os.utime(path, (time.time() - 37 * 3600,) * 2)
    with pop3.open():
        assert sorted(drafts.iterdir()) == [other, no_draft]


def test_a_folder_that_is_made_anew_while_it_is_read(box: ImapBox, between: Proxy, server: Dovecot) -> None:
    box.put(ONE, TWO)
    inbox = server.root / "mail" / box.account.user
    next(path for path in inbox.rglob("*.*,S=*") if ONE in lf(path.read_bytes())).chmod(0)  # the server says BYE
    with (
        box.open(**plain(between.port)) as opened,
        pytest.raises(MailboxError, match=r"the connection to .* was lost"),
    ):
        between.replaced = {b"UIDVALIDITY ": b"UIDVALIDITY 1"}
        next(opened.messages())


def test_a_full_disk_is_no_lost_connection(pop3: Pop3Box) -> None:
    pop3.put(ONE, TWO)
    with pytest.raises(MailboxError) as found, pop3.open() as opened:
        mark = mailboxes.mark(pop3.settings())
        (pop3.root / f"kept/tmp/{mark}.2.bounceclass").symlink_to("/dev/full")
        list(opened.messages())
    assert (str(found.value), found.value.temporary) == ("No space left on device", True)
    assert pop3.folders() == {"": [ONE, TWO]}
    assert pop3.run({}) == [ONE, TWO]


# --- a connection that is lost ----------------------------------------------------


def begin(box: ServerBox, **settings: Any) -> list[Fetched]:
    """Fetch everything, file it, and return what was fetched; the connection is lost on the way."""
    fetched = []
    with box.open(**settings) as opened:
        for one in opened.messages():
            fetched.append(one)
        opened.file([(one.handle, Kind.PROCESSED) for one in fetched])
    return fetched


@pytest.mark.parametrize("hidden", [(), (b"MOVE",)], ids=["move", "copy"])
@pytest.mark.parametrize("forward", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("command", [rb"SELECT", rb"SEARCH", rb"FETCH", rb"UID MOVE|UID COPY", rb"STORE", rb"EXPUNGE"])
def test_a_connection_that_is_lost_at_a_command(
    command: bytes, forward: bool, hidden: tuple[bytes, ...], box: ImapBox, between: Proxy
) -> None:
    box.put(ONE, TWO, ONE)
    between.hidden, between.cut_command, between.forward = hidden, command, forward
    settings = plain(between.port)
    if command in (b"STORE", b"EXPUNGE") and not hidden:
        begin(box, **settings)  # MOVE needs neither
    else:
        with pytest.raises(MailboxError) as found:
            begin(box, **settings)
        message = f"the connection to 127.0.0.1:{between.port} was lost: run again, nothing is lost with it"
        assert (str(found.value), found.value.temporary) == (message, True)
        assert PASSWORD not in everything_said(found.value)
    between.cut_command = None
    box.run({}, **settings)
    assert box.folders() == {"Processed": [ONE, ONE, TWO]}


@pytest.mark.parametrize("kind", [Kind.PROCESSED, Kind.UNSURE])
def test_a_copy_that_was_begun_is_finished_whatever_the_verdict_is_now(
    kind: Kind, box: ImapBox, between: Proxy
) -> None:
    box.put(ONE, TWO)
    between.hidden, between.cut_command, between.forward = (b"MOVE",), rb"UID COPY", True
    with pytest.raises(MailboxError):
        begin(box, **plain(between.port))
    assert box.folders() == {"": [ONE, TWO], "Processed": [ONE, TWO]}
    between.cut_command = None
    assert box.run({ONE: kind}, **plain(between.port)) == [ONE, TWO]
    assert box.folders() == ({kind: [ONE], "Processed": [TWO]} if kind == Kind.UNSURE else {"Processed": [ONE, TWO]})


@pytest.mark.parametrize("filed", [0, 1], ids=["at once", "between two batches"])
def test_a_folder_that_is_made_anew_while_it_is_filed(filed: int, box: ImapBox, between: Proxy) -> None:
    """UIDs of the folder that was are neither copied nor expunged in the new one."""
    box.put(ONE, TWO)
    between.hidden, between.cut_command, between.forward = (b"MOVE",), rb"UID COPY", True
    with pytest.raises(MailboxError):
        begin(box, **plain(between.port))
    between.cut_command = None
    with (
        pytest.raises(MailboxError, match=r"127.0.0.1 has made the folder INBOX anew: run again") as found,
        box.open(**plain(between.port)) as opened,
    ):
        handles = [one.handle for one in opened.messages()]
        opened.file([(handle, Kind.PROCESSED) for handle in handles[:filed]])
        between.replaced = {b"UIDVALIDITY ": b"UIDVALIDITY 1"}
        opened.file([(handle, Kind.UNSURE) for handle in handles[filed:]])
    assert found.value.temporary
    assert box.folders() == {"": [ONE, TWO][filed:], "Processed": [ONE, TWO]}


@pytest.mark.parametrize("security", ["tls", "none"])
def test_a_connection_that_is_lost_at_any_byte(security: str, box: ImapBox, server: Dovecot) -> None:
    box.put(*(letter(number, b"x" * 2000) for number in range(3)))
    with proxy((HOST, server.ports.imap if security == "none" else server.ports.imaps)) as between:
        lost = 0
        for between.cut_after in range(0, 12_000, 700):
            try:
                begin(box, after="leave", security=security, port=between.port)
            except MailboxError as error:
                lost += 1
                assert error.temporary
                assert PASSWORD not in everything_said(error)
            else:
                break
        assert lost > 2
    assert len(box.folders()[""]) == 3


@pytest.mark.parametrize("command", [rb"UIDL", rb"RETR 2", rb"DELE 2", rb"QUIT"])
@pytest.mark.parametrize("forward", [False, True], ids=["before", "after"])
def test_a_pop3_connection_that_is_lost(command: bytes, forward: bool, pop3: Pop3Box) -> None:
    pop3.put(ONE, TWO, THREE)
    with proxy((HOST, pop3.ports.pop3)) as between:
        between.cut_command, between.forward = command, forward
        with pytest.raises(MailboxError, match=r"the connection to .* was lost") as found:
            begin(pop3, **plain(between.port))
        assert found.value.temporary
        between.cut_command = None
        time.sleep(0.2)  # Dovecot holds the lock of the session that is gone
        pop3.run({THREE: Kind.UNSURE} if not forward else {}, **plain(between.port))
    folders = pop3.folders()
    assert sorted(content for contents in folders.values() for content in contents) == [ONE, TWO, THREE]
    assert "" not in folders
    assert list((pop3.root / "kept/tmp").iterdir()) == []


def test_a_server_that_falls_silent(box: ImapBox, between: Proxy) -> None:
    box.put(ONE)
    between.cut_command, between.silent = rb"FETCH", True
    with pytest.raises(MailboxError, match=r"did not answer within 0.5 seconds") as found:
        begin(box, **plain(between.port, timeout=0.5))
    assert found.value.temporary


# --- waiting ----------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [(), (b"IDLE",)], ids=["idle", "poll"])
def test_waiting_for_mail(
    hidden: tuple[bytes, ...], box: ImapBox, between: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap, "POLL", 0.1)
    between.hidden = hidden
    box.put(ONE)
    with box.open(**plain(between.port)) as opened:
        assert isinstance(opened, imap.ImapMailbox)
        assert len(list(opened.messages())) == 1  # and is not filed
        assert opened.wait(0.3) is False
        timer = threading.Timer(0.5, box.put, [TWO])
        timer.start()
        begun = time.monotonic()
        assert opened.wait(20) is True
        assert time.monotonic() - begun < 10
        timer.join()
        (second,) = opened.messages()
        assert isinstance(second.content, bytes)
        assert lf(second.content) == TWO
        opened.file([(second.handle, Kind.PROCESSED)])
    assert box.folders() == {"": [ONE], "Processed": [TWO]}
    assert (b"IDLE" in b"".join(between.commands)) is not bool(hidden)


def test_idle_is_renewed(box: ImapBox, between: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap, "RENEW", 0.2)
    with box.open(**plain(between.port)) as opened:
        assert isinstance(opened, imap.ImapMailbox)
        assert opened.wait(1.0) is False
    assert b"".join(between.commands).count(b"DONE") >= 3


def test_waiting_when_the_connection_is_lost(box: ImapBox, between: Proxy) -> None:
    between.cut_command = b"IDLE"
    with box.open(**plain(between.port)) as opened:
        assert isinstance(opened, imap.ImapMailbox)
        with pytest.raises(MailboxError, match="was lost"):
            opened.wait(5)


def test_a_server_without_namespaces_still_tells_its_delimiter(box: ImapBox, between: Proxy) -> None:
    between.hidden = (b"NAMESPACE",)
    box.put(ONE)
    with pytest.raises(MailboxError, match=r"refused a new folder Processed: "):
        box.run({}, **plain(between.port))
    assert box.run({}, folders={Kind.PROCESSED: "INBOX/Done"}, **plain(between.port)) == [ONE]
    assert box.folders() == {"Done": [ONE]}


def test_a_server_that_trips_over_and_over(box: ImapBox, between: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap, "MAX_TRIPS", 3)
    box.put(ONE, TWO, THREE)
    between.cut_command = rb"BODY"
    with pytest.raises(MailboxError, match=r"the connection to .* was lost"), box.open(**plain(between.port)) as opened:
        list(opened.messages())
    assert box.folders() == {"": [ONE, TWO, THREE]}
