"""What all types of mailboxes have in common: fetching, filing by kind, and leaving things alone."""

from __future__ import annotations

import errno
import os
import pickle
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from boxes import BOXES, Box, DirectoryBox, ImapBox, MaildirBox, letter, lf
from dovecot import mail_server  # noqa: F401 - the fixture

from bounceclass.app import mailboxes
from bounceclass.app.mailboxes import Kind, MailboxError, Secret

if TYPE_CHECKING:
    from pathlib import Path

ONE, TWO, THREE, FOUR = map(letter, range(1, 5))
KINDS = dict(zip((ONE, TWO, THREE, FOUR), Kind, strict=True))


@pytest.fixture(params=BOXES)
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Box:
    make = BOXES[request.param]
    server = request.getfixturevalue("server") if request.param in ("imap", "pop3") else None
    return make(tmp_path, server)


def test_messages_are_moved_by_kind(box: Box) -> None:
    box.put(*KINDS)
    assert box.run(KINDS) == [ONE, TWO, THREE, FOUR]
    assert box.folders() == {kind: [content] for content, kind in KINDS.items()}
    assert box.run(KINDS) == []


def test_folders_can_have_other_names(box: Box) -> None:
    box.put(ONE)
    box.run({}, folders={Kind.PROCESSED: "Unsure"})
    assert box.folders() == {"Unsure": [ONE]}


def test_what_is_left_stays_as_it_is(box: Box) -> None:
    box.put(*KINDS)
    before = box.folders()
    assert box.run(KINDS, after="leave") == [ONE, TWO, THREE, FOUR]
    assert box.folders() == before == {"": [ONE, TWO, THREE, FOUR]}


def test_what_is_deleted_is_gone(box: Box) -> None:
    box.put(*KINDS)
    assert box.run(dict.fromkeys(KINDS, Kind.COMPLAINTS), after="delete") == [ONE, TWO, THREE, FOUR]
    assert box.folders() == {}


def test_what_is_no_bounce_or_unsure_is_never_deleted(box: Box) -> None:
    box.put(*KINDS)
    assert box.run(KINDS, after="delete") == [ONE, TWO, THREE, FOUR]
    assert box.folders() == {"": [THREE, FOUR]}
    assert box.run(KINDS, after="delete") == ([] if isinstance(box, ImapBox) else [THREE, FOUR])
    assert box.folders() == {"": [THREE, FOUR]}
    assert box.run(KINDS) == [THREE, FOUR]
    assert box.folders() == {Kind.NOT_A_BOUNCE: [THREE], Kind.UNSURE: [FOUR]}


@pytest.mark.parametrize("after", ["move", "leave", "delete"])
def test_a_dry_run_changes_nothing(after: str, box: Box) -> None:
    box.put(*KINDS)
    before = box.snapshot()
    assert box.run(KINDS, dry_run=True, after=after) == [ONE, TWO, THREE, FOUR]
    assert box.snapshot() == before


def test_what_is_not_filed_stays(box: Box) -> None:
    box.put(*KINDS)
    with box.open() as opened:
        for _, content, handle in opened.messages():
            if isinstance(content, bytes) and lf(content) in (TWO, FOUR):
                opened.file([(handle, Kind.PROCESSED)])
    assert box.folders() == {"": [ONE, THREE], "Processed": [TWO, FOUR]}
    assert box.run({}) == [ONE, THREE]
    assert box.folders() == {"Processed": [ONE, TWO, THREE, FOUR]}


def test_an_error_of_the_caller_loses_nothing(box: Box) -> None:
    box.put(*KINDS)
    with pytest.raises(ZeroDivisionError), box.open() as opened:
        first, *_ = opened.messages()
        opened.file([(first.handle, Kind.PROCESSED)])
        raise ZeroDivisionError
    found = box.folders()
    assert sorted(content for contents in found.values() for content in contents) == [ONE, TWO, THREE, FOUR]
    assert len(found["Processed"]) == 1
    assert len(box.run({})) == 3


def test_mail_that_arrives_during_the_run_is_for_the_next(box: Box) -> None:
    box.put(ONE, TWO)
    with box.open() as opened:
        fetched = list(opened.messages())
        box.put(THREE)
        opened.file([(one.handle, Kind.PROCESSED) for one in fetched])
        if not isinstance(box, ImapBox):
            box.put(FOUR)
    assert box.folders()["Processed"] == [ONE, TWO]
    assert THREE in box.folders()[""]
    assert THREE in box.run({})
    assert "" not in box.folders()


def test_of_a_long_message_the_beginning_is_fetched_and_all_is_moved(box: Box) -> None:
    long = letter(1, b"x" * 70 + b"\n" + b"y\n" * 5000 + b"z" * 150_000 + b"\n.\n..\n")
    box.put(long, TWO)
    with box.open(max_bytes=100) as opened:
        fetched = list(opened.messages())
        contents = sorted((one.content for one in fetched if isinstance(one.content, bytes)), key=len)
        assert [lf(contents[0]), len(contents[1])] == [TWO, 101]
        assert long.startswith(lf(contents[1]))
        opened.file([(one.handle, Kind.UNSURE) for one in fetched])
    assert box.folders() == {"Unsure": [long, TWO]}


def test_many_messages_in_batches(box: Box) -> None:
    many = [letter(number) for number in range(1000, 1250)]
    box.put(*many)
    with box.open() as opened:
        batch = []
        for one in opened.messages():
            assert isinstance(one.content, bytes)
            odd = lf(one.content) in many[1::2]
            batch.append((one.handle, Kind.PROCESSED if odd else Kind.UNSURE))
            if len(batch) == 70:
                opened.file(batch)
                batch = []
        opened.file(batch)
    assert box.folders() == {"Unsure": many[::2], "Processed": many[1::2]}


def test_an_empty_mailbox(box: Box) -> None:
    assert box.run({}) == []
    assert box.folders() == {}


def test_a_name_shows_where_the_message_is_and_no_secret(box: Box) -> None:
    box.put(ONE)
    with box.open() as opened:
        (one,) = opened.messages()
    assert any(word in one.name for word in (str(box.root), "imap://127.0.0.1/INBOX;UID=1", "pop3://127.0.0.1/user"))
    assert repr(Secret("geheim")) == "Secret(...)"
    assert "battery" not in repr(box.settings())
    with pytest.raises(TypeError):
        pickle.dumps(Secret("geheim"))


# --- Maildirs and directories -----------------------------------------------------


def test_one_message_that_cannot_be_read_does_not_stop_the_others(tmp_path: Path) -> None:
    for name, make in {"maildir": MaildirBox, "directory": DirectoryBox}.items():
        (tmp_path / name).mkdir()
        box = make(tmp_path / name, None)
        box.put(ONE, TWO)
        where = box.root / "cur" if name == "maildir" else box.root
        (where / "00000.eml").symlink_to("00000.eml")
        with box.open() as opened:
            fetched = list(opened.messages())
            assert [type(one.content) for one in fetched] == [OSError, bytes, bytes]
            opened.file([(one.handle, Kind.UNSURE) for one in fetched])
        assert box.folders() == {"Unsure": [ONE, TWO]}


def test_flags_of_a_maildir_are_kept(tmp_path: Path) -> None:
    box = MaildirBox(tmp_path, None)
    for name in ("new/1.a", "cur/2.a:2,FS", "cur/3.a", "tmp/4.a"):
        (box.root / name).write_bytes(ONE)
    with box.open() as opened:
        fetched = list(opened.messages())
        (box.root / "new/1.a").rename(box.root / "cur/1.a:2,T")  # another program sees and marks it
        (box.root / "cur/3.a").unlink()
        opened.file([(one.handle, Kind.PROCESSED) for one in fetched])
    assert sorted(path.name for path in (box.root / ".Processed/cur").iterdir()) == ["1.a:2,T", "2.a:2,FS"]
    assert (box.root / "tmp/4.a").exists()


def test_the_folders_of_a_subfolder_stand_beside_it(tmp_path: Path) -> None:
    box = MaildirBox(tmp_path, None)
    sub = box.root / ".Bounces"
    for part in ("cur", "new", "tmp"):
        (sub / part).mkdir(parents=True)
    (sub / "maildirfolder").touch()
    (sub / "new/1.a").write_bytes(ONE)
    with mailboxes.open(mailboxes.Maildir(path=str(sub), folders={Kind.UNSURE: "Perché"})) as opened:
        opened.file([(one.handle, Kind.UNSURE) for one in opened.messages()])
    assert (box.root / ".Bounces.Perch&AOk-/cur/1.a:2,").read_bytes() == ONE


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    for name, make in {"maildir": MaildirBox, "directory": DirectoryBox}.items():
        (tmp_path / name).mkdir()
        box = make(tmp_path / name, None)
        for content in (ONE, TWO, THREE):
            box.number = 0
            box.put(content)
            box.run({})
        assert box.folders() == {"Processed": [ONE, TWO, THREE]}


def test_a_file_that_a_crash_left_in_two_places_ends_in_one(tmp_path: Path) -> None:
    box = DirectoryBox(tmp_path, None)
    box.put(ONE)
    (box.root / "Processed").mkdir()
    (box.root / "Processed/00001.eml").hardlink_to(box.root / "00001.eml")
    box.run({ONE: Kind.UNSURE})
    assert box.folders() == {"Unsure": [ONE]}


def test_what_in_a_directory_is_no_single_message(tmp_path: Path) -> None:
    box = DirectoryBox(tmp_path, None)
    box.put(ONE)
    (box.root / "README").write_bytes(b"no mail at all\n")
    (box.root / ".hidden.eml").write_bytes(ONE)
    (box.root / "archive").mkdir()
    (box.root / "archive/1.eml").write_bytes(ONE)
    separator = b"From a@example.com Sun Mar  1 12:00:00 2026\n"
    (box.root / "box").write_bytes(separator + ONE + b"\n" + separator + TWO)
    with box.open() as opened:
        first, second = opened.messages()
    assert first.content == ONE
    assert str(second.content) == f"{box.root}/box holds several messages: make it a source of type mbox"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (mailboxes.Maildir(path="{}/nowhere"), "{}/nowhere is not a Maildir: it has no new, cur and tmp"),
        (mailboxes.Directory(path="{}/nowhere"), "{}/nowhere is not a directory"),
        (mailboxes.Mbox(path="{}/nowhere"), "{}/nowhere: No such file or directory"),
        (mailboxes.Mbox(path="{}"), "{} is no file: a Maildir or a directory is a source of another type"),
        (mailboxes.Mbox(path="{}/letter"), "{}/letter is not an mbox: it does not begin with From"),
    ],
)
def test_what_is_not_there(settings: Any, problem: str, tmp_path: Path) -> None:
    (tmp_path / "letter").write_bytes(ONE)
    settings = msgspec.structs.replace(settings, path=settings.path.format(tmp_path))
    with pytest.raises(MailboxError) as found, mailboxes.open(settings):
        pass
    assert str(found.value) == problem.format(tmp_path)
    assert not found.value.temporary
    assert [path.name for path in tmp_path.iterdir()] == ["letter"]


# --- settings ---------------------------------------------------------------------


def test_settings_are_read_from_a_table() -> None:
    table = {"type": "imap", "host": "imap.example.com", "user": "bounces", "password": lambda: "geheim"}
    made = mailboxes.settings({**table, "folders": {"Unsure": "To read"}, "timeout": 5})
    assert isinstance(made, mailboxes.Imap)
    assert (made.service, made.folder, made.after, made.timeout) == (993, "INBOX", "move", 5.0)
    assert [made.folder_name(kind) for kind in Kind] == ["Processed", "Complaints", "Not-a-bounce", "To read"]
    assert made.password is not None
    assert made.password() == "geheim"
    assert {name: made.__struct_config__.tag for name, made in mailboxes.TYPES.items()} == {
        name: name for name in mailboxes.TYPES
    }


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"type": "imap4"}, "Invalid value 'imap4' - at `$.type`"),
        ({"type": "mbox"}, "Object missing required field `path`"),
        ({"type": "mbox", "path": "x", "user": "y"}, "Object contains unknown field `user`"),
        ({"type": "mbox", "path": ""}, "Expected `str` of length >= 1 - at `$.path`"),
        ({"type": "mbox", "path": "x", "after": "burn"}, "Invalid enum value 'burn' - at `$.after`"),
        (
            {"type": "mbox", "path": "x", "folders": {"Spam": "x"}},
            "Invalid enum value 'Spam' - at `key` in `$.folders`",
        ),
        (
            {"type": "mbox", "path": "x", "folders": {"Unsure": "../x"}},
            "folders: '../x' is not the name of a folder: leave out / and the dot before it",
        ),
        (
            {"type": "imap", "host": "x", "user": "y"},
            "neither a password nor a token: set one, or the command that prints it",
        ),
        (
            {"type": "imap", "host": "x", "user": "y", "password": "z", "folder": "Unsure"},
            "folders: messages cannot be moved to 'Unsure', which they come from",
        ),
        ({"type": "pop3", "host": "x", "user": "y"}, "no password: set one, or the command that prints it"),
        (
            {"type": "pop3", "host": "x", "user": "y", "password": "z", "after": "move"},
            "POP3 has no folders to move messages to: set keep to a Maildir of your own",
        ),
        ({"type": "imap", "host": "x", "user": "y", "password": 5}, "at `$.password`"),
    ],
)
def test_settings_that_are_wrong(table: dict[str, Any], problem: str) -> None:
    with pytest.raises(msgspec.ValidationError) as found:
        mailboxes.settings(table)
    assert problem in str(found.value)


def test_what_a_run_locks_on(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "box")
    mbox = mailboxes.Mbox(path=str(tmp_path / "link"))
    assert mailboxes.lock_name(mbox) == f"file:{tmp_path}/box"
    assert mailboxes.lock_name(mailboxes.Maildir(path=str(tmp_path / "box"), after="delete")) == f"file:{tmp_path}/box"
    imap = mailboxes.Imap(host="Imap.Example.COM", user="Fred", password=Secret("x"))
    assert mailboxes.lock_name(imap) == "imap://Fred@imap.example.com:993/INBOX"
    pop3 = mailboxes.Pop3(host="pop.example.com", user="fred", password=Secret("y"), security="starttls")
    assert mailboxes.lock_name(pop3) == "pop3://fred@pop.example.com:110/"


@pytest.mark.parametrize("error", [errno.EPERM, errno.EIO])
def test_a_file_system_without_links(error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error), "link")

    box = DirectoryBox(tmp_path, None)
    box.put(ONE)
    monkeypatch.setattr(os, "link", refuse)
    if error == errno.EPERM:
        assert box.run({}) == [ONE]
        assert box.folders() == {"Processed": [ONE]}
    else:
        with pytest.raises(MailboxError, match=r"link: Input/output error") as found:
            box.run({})
        assert found.value.temporary
        assert box.folders() == {"": [ONE]}
