"""An mbox: its locks, and a run that is killed at each step of changing it."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import signal
import socket
import tempfile
import threading
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from boxes import FROM, MboxBox, letter

from bounceclass.app import mailboxes, sources
from bounceclass.app.mailboxes import Kind, MailboxError, mboxlock, mboxstage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ONE, TWO, THREE, FOUR = (letter(number, b"x" * 3000 + b"\n") for number in range(1, 5))
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def box(tmp_path: Path) -> MboxBox:
    return MboxBox(tmp_path, None)


def stage(box: MboxBox, shelf: Path | None = None) -> Path:
    """Return where messages of *box* are staged."""
    return (shelf or box.root) / f".box.{mailboxes.mark(box.settings())}.filing"


def names(box: MboxBox) -> list[str]:
    return sorted(path.name for path in box.root.iterdir())


# --- killed at each step ----------------------------------------------------------

STEPS = ("fsync", "pwrite", "ftruncate", "rename", "replace", "unlink", "rmdir", "open")


def killed_at(step: int, run: Callable[[], object]) -> bool:
    """Run in a process that is killed at the *step*th change of the disk; return whether it came that far."""

    def child() -> None:
        left = step

        def counted(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **options: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    if real is pwrite:  # half of it is written
                        real(args[0], args[1][: len(args[1]) // 2], *args[2:])
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **options)

            return call

        pwrite = os.pwrite
        for name in STEPS:
            setattr(os, name, counted(getattr(os, name)))
        run()
        os._exit(0)

    process = FORK.Process(target=child)
    process.start()
    process.join(30)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


@pytest.mark.parametrize("arriving", [b"", THREE], ids=["", "mail arrives meanwhile"])
@pytest.mark.parametrize("after", ["move", "delete"])
def test_killed_at_any_step_nothing_is_lost_or_doubled(after: str, arriving: bytes, tmp_path: Path) -> None:
    def first(box: MboxBox) -> None:
        with box.open(after=after) as opened:
            handles = [one.handle for one in opened.messages()]
            opened.file([(handles[0], Kind.PROCESSED), (handles[2], Kind.UNSURE)])

    step = -1 if arriving else 0  # the two cases share the steps
    while True:
        step += 2
        (tmp_path / str(step)).mkdir()
        box = MboxBox(tmp_path / str(step), None)
        box.put(ONE, TWO, FOUR)
        killed = killed_at(step, lambda box=box: first(box))  # type: ignore[misc]
        if arriving:
            box.put(arriving)
        box.run({FOUR: Kind.UNSURE, TWO: Kind.COMPLAINTS}, after=after)
        rest = [THREE] if arriving else []
        moved = {"Processed": [ONE, *rest], "Complaints": [TWO], "Unsure": [FOUR]}
        assert box.folders() == (moved if after == "move" else {"": [FOUR]}), step
        assert names(box) == ["box", *(f"box.{name}" for name in sorted(moved) if after == "move")]
        if not killed:
            break
    assert step > (25 if after == "move" else 15)


def test_a_recovery_that_is_killed_too(tmp_path: Path) -> None:
    def run(box: MboxBox) -> None:
        box.run({TWO: Kind.UNSURE})

    for step in range(10, 200, 7):
        (tmp_path / str(step)).mkdir()
        box = MboxBox(tmp_path / str(step), None)
        box.put(ONE, TWO, FOUR)
        if not killed_at(step, lambda box=box: run(box)):  # type: ignore[misc]
            break
        for again in (3, 9, 11, 14, 17, 20):
            killed_at(again, lambda box=box: run(box))  # type: ignore[misc]
        run(box)
        assert box.folders() == {"Processed": [ONE, FOUR], "Unsure": [TWO]}, step
    else:
        pytest.fail("it never came to its end")


# --- other programs ---------------------------------------------------------------


def test_it_is_locked_while_it_is_changed_and_not_while_it_is_read(box: MboxBox) -> None:
    box.put(ONE, TWO)
    with box.open() as opened:
        messages = opened.messages()
        one = next(messages)
        with box.path.open("r+b") as other:
            fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.lockf(other, fcntl.LOCK_UN)
        assert not box.path.with_name("box.lock").exists()
        opened.file([(one.handle, Kind.PROCESSED)])
    assert box.folders() == {"": [TWO], "Processed": [ONE]}


def held(path: Path, release: float) -> Iterator[None]:
    """Hold the fcntl lock in another process for a time."""

    def hold() -> None:
        with path.open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            ready.set()
            time.sleep(release)

    ready = FORK.Event()
    process = FORK.Process(target=hold)
    process.start()
    assert ready.wait(10)
    yield
    process.kill()
    process.join()


@pytest.mark.parametrize("lock", ["fcntl", "dotlock"])
def test_who_holds_a_lock_is_waited_for(lock: str, box: MboxBox) -> None:
    box.put(ONE)
    dotlock = box.path.with_name("box.lock")
    if lock == "fcntl":
        holding = held(box.path, 60)
        next(holding)
    else:
        dotlock.write_text("1\n")
    with pytest.raises(MailboxError) as found, box.open(timeout=0.5):
        pass
    assert str(found.value) == f"{box.path} is locked by another program: try again later"
    assert found.value.temporary
    assert box.folders() == {"": [ONE]}
    timer = threading.Timer(0.5, dotlock.unlink if lock == "dotlock" else lambda: next(holding, None))
    timer.start()
    assert box.run({}, timeout=20) == [ONE]
    timer.join()
    assert names(box) == ["box", "box.Processed"]


@pytest.mark.parametrize("settings", [{"after": "leave"}, {"dry_run": True}], ids=["leave", "dry run"])
@pytest.mark.parametrize("lock", ["fcntl", "dotlock"])
def test_half_a_delivery_is_not_read(lock: str, settings: dict[str, Any], box: MboxBox) -> None:
    box.put(ONE)
    dotlock = box.path.with_name("box.lock")
    half = len(FROM) + 1000
    with box.path.open("ab") as file:
        file.write((FROM + TWO)[:half])

    def deliver() -> None:
        """Write the other half, and take the lock away."""
        with box.path.open("ab") as file:  # which drops a lock of fcntl that this process has
            file.write((FROM + TWO)[half:] + b"\n")
        dotlock.unlink() if lock == "dotlock" else next(holding, None)

    if lock == "fcntl":
        holding = held(box.path, 60)
        next(holding)
    else:
        dotlock.write_text("1\n")
    with pytest.raises(MailboxError, match="is locked by another program: try again later") as found:
        box.run({}, timeout=0.5, **settings)
    assert found.value.temporary
    timer = threading.Timer(0.5, deliver)
    timer.start()
    assert box.run({}, timeout=20, **settings) == [ONE, TWO]
    timer.join()
    assert names(box) == ["box"]


def test_a_forgotten_dotlock_keeps_nobody_from_reading(box: MboxBox) -> None:
    box.put(ONE)
    dotlock = box.path.with_name("box.lock")
    dotlock.write_text(f"999999999 {socket.gethostname()}\n")
    assert box.run({}, after="leave", timeout=2) == [ONE]
    assert dotlock.exists()


@pytest.mark.parametrize(
    ("content", "age", "forgotten"),
    [
        ("1\n", 0, False),
        ("1\n", mboxlock.STALE + 5, True),
        ("", mboxlock.STALE + 5, True),
        ("{pid} {host}\n", 0, False),
        ("999999999 {host}\n", 0, True),
        ("999999999 another.example\n", 0, False),
    ],
)
def test_a_dotlock_that_was_forgotten(content: str, age: int, forgotten: bool, box: MboxBox) -> None:
    box.put(ONE)
    dotlock = box.path.with_name("box.lock")
    content = content.format(pid=os.getpid(), host=socket.gethostname())
    dotlock.write_text(content)
    os.utime(dotlock, (time.time() - age,) * 2)
    if forgotten:
        assert box.run({}, timeout=2) == [ONE]
        assert not dotlock.exists()
    else:
        with pytest.raises(MailboxError), box.open(timeout=0.3):
            pass
        assert dotlock.read_text() == content


@pytest.mark.parametrize("when", ["before filing", "after filing"])
def test_what_another_program_changed_is_left_to_the_next_run(when: str, box: MboxBox) -> None:
    box.put(ONE, TWO)
    changed = box.path.read_bytes().replace(b"Subject: 1", b"Status: RO\nSubject: 1")
    with pytest.raises(MailboxError, match="was changed by another program") as found, box.open() as opened:
        handles = [one.handle for one in opened.messages()]
        if when == "before filing":
            box.path.write_bytes(changed)
        opened.file([(handle, Kind.PROCESSED) for handle in handles])
        box.path.write_bytes(changed)
    assert found.value.temporary
    assert box.folders() == {"": [b"Status: RO\n" + ONE, TWO]}
    assert names(box) == ["box"]


def test_an_mbox_that_another_program_replaced_is_left_to_the_next_run(box: MboxBox) -> None:
    """As mail readers do that write a new file and rename it: the one that we have open has no name any more."""
    box.put(ONE, TWO)
    with pytest.raises(MailboxError, match="was changed by another program"), box.open() as opened:
        opened.file([(one.handle, Kind.PROCESSED) for one in opened.messages()])
        (box.root / "new").write_bytes(box.path.read_bytes())
        (box.root / "new").replace(box.path)
    assert box.folders() == {"": [ONE, TWO]}
    assert names(box) == ["box"]


def test_the_file_itself_stays(box: MboxBox) -> None:
    """Who has it open and waits for the lock must not deliver into a file without a name."""
    box.put(ONE)
    box.path.chmod(0o640)
    before = box.path.stat()
    with box.path.open("ab") as deliverer:
        box.run({})
        deliverer.write(FROM + TWO + b"\n")
    after = box.path.stat()
    assert (after.st_ino, after.st_mode, after.st_uid) == (before.st_ino, before.st_mode, before.st_uid)
    assert box.run({}) == [TWO]


def test_other_places_for_what_is_moved(box: MboxBox) -> None:
    box.put(ONE)
    into = box.root / "sorted"
    into.mkdir()
    box.run({}, into=str(into))
    assert [path.name for path in into.iterdir()] == ["box.Processed"]
    assert names(box) == ["box", "sorted"]
    box.put(TWO)
    with pytest.raises(MailboxError, match=r"nowhere.*No such file or directory"), box.open(into=str(into / "nowhere")):
        pass


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user can reach, as that of pytest is not."""
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        yield Path(root)


def test_a_spool_that_cannot_be_written_in(public: Path) -> None:
    """As /var/mail: the mbox can be written, its directory cannot."""
    box = MboxBox(public, None)
    box.put(ONE)
    into = public / "own"
    into.mkdir()
    box.root.chmod(0o555)
    is_root = os.geteuid() == 0
    for path in (box.path, into) if is_root else ():
        os.chown(path, 65534, 65534)

    def run() -> None:
        if is_root:  # who may write anywhere
            os.setgid(65534)
            os.setuid(65534)
        with pytest.raises(MailboxError, match="cannot be filed here: set into to a directory that you may write in"):
            box.run({})
        box.run({}, into=str(into))

    process = FORK.Process(target=run)
    process.start()
    process.join(30)
    box.root.chmod(0o755)
    assert process.exitcode == 0
    assert (into / "box.Processed").read_bytes() == FROM + ONE + b"\n"
    assert box.path.read_bytes() == b""


def test_an_mbox_that_can_only_be_read(public: Path) -> None:
    box = MboxBox(public, None)
    box.put(ONE)
    dotlock = box.path.with_name("box.lock")
    dotlock.touch(0o600)  # a forgotten one of somebody else, that nobody may read
    os.utime(dotlock, (time.time() - mboxlock.STALE - 5,) * 2)
    box.path.chmod(0o444)
    box.root.chmod(0o555)
    is_root = os.geteuid() == 0

    def run() -> None:
        if is_root:  # who may write anywhere
            os.setgid(65534)
            os.setuid(65534)
        assert box.run({}, after="leave", timeout=1) == [ONE]

    process = FORK.Process(target=run)
    process.start()
    process.join(30)
    box.root.chmod(0o755)
    assert process.exitcode == 0


def test_a_stage_of_somebody_else_is_not_touched(box: MboxBox) -> None:
    box.put(ONE)
    (box.root / "elsewhere").mkdir()
    for name in (stage(box).name, ".box.filing"):
        (box.root / name).symlink_to("elsewhere")
        with pytest.raises(MailboxError, match="belongs to somebody else"), box.open():
            pass
        (box.root / name).unlink()


def test_an_interrupted_run_is_not_finished_by_one_that_only_looks(box: MboxBox) -> None:
    box.put(ONE)
    for name in (stage(box).name, ".box.filing"):
        (box.root / name).mkdir()
        (box.root / name / "journal").touch()
        for settings in ({"dry_run": True}, {"after": "leave"}):
            with pytest.raises(MailboxError, match="a run was interrupted and must be finished"), box.open(**settings):
                pass
        with pytest.raises(MailboxError, match=r"journal is damaged: see what the files beside it have"), box.open():
            pass
        (box.root / name / "journal").unlink()


# --- several mboxes of one name ---------------------------------------------------


@pytest.fixture
def pair(tmp_path: Path) -> tuple[MboxBox, MboxBox, Path]:
    """Two mboxes of one name, and where both are filed into."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "into").mkdir()
    first, second = MboxBox(tmp_path / "a", None), MboxBox(tmp_path / "b", None)
    first.put(ONE, THREE)
    second.put(TWO)
    return first, second, tmp_path / "into"


def test_two_of_one_name_at_once(pair: tuple[MboxBox, MboxBox, Path]) -> None:
    first, second, into = pair
    with first.open(into=str(into)) as one:
        one.file([(fetched.handle, Kind.PROCESSED) for fetched in one.messages()])
        second.run({}, into=str(into))
    assert (first.folders(), second.folders()) == ({}, {})
    assert [path.name for path in into.iterdir()] == ["box.Processed"]
    assert (into / "box.Processed").read_bytes() == b"".join(FROM + one + b"\n" for one in (TWO, ONE, THREE))


def test_threads_wait_for_each_other(box: MboxBox) -> None:
    """The lock of fcntl would be given to both, and be gone for both when one is done."""
    inside, order = threading.Event(), list[str]()

    def other() -> None:
        with box.path.open("r+b") as file, mboxlock.locked(box.path, file.fileno(), 20):
            order.append("other")

    thread = threading.Thread(target=other)
    with box.path.open("r+b") as file, mboxlock.locked(box.path, file.fileno(), 5):
        box.path.with_name("box.lock").unlink()  # as where no dotlock can be made
        thread.start()
        assert not inside.wait(0.5)
        order.append("first")
    thread.join()
    assert order == ["first", "other"]


def interrupted(box: MboxBox, step: str, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
    """File all of a mbox as processed in a run that ends where *step* of the stage begins."""

    def end(*_: object) -> None:
        raise OSError(errno.EIO, "killed")

    with monkeypatch.context() as patched:
        patched.setattr(mboxstage.Stage, step, end)
        with pytest.raises(MailboxError, match="killed"):
            box.run({}, **settings)


def test_what_an_interrupted_run_left_is_finished_against_its_own_mbox(
    pair: tuple[MboxBox, MboxBox, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, into = pair
    interrupted(first, "_append", monkeypatch, into=str(into))
    assert second.run({}, into=str(into)) == [TWO]
    assert first.run({}, into=str(into)) == []
    assert (into / "box.Processed").read_bytes() == b"".join(FROM + one + b"\n" for one in (TWO, ONE, THREE))
    interrupted_again = stage(first, into)
    first.put(ONE)
    interrupted(first, "_append", monkeypatch, into=str(into))
    interrupted_again.rename(stage(second, into))
    with pytest.raises(MailboxError, match=rf"an interrupted run on {first.path} left: process that"):
        second.run({}, into=str(into))


@pytest.mark.parametrize("left", [b"", FROM + TWO + b"\n", FROM + TWO], ids=["nothing", "a message", "no empty line"])
def test_a_target_that_shrank_after_the_interruption(
    left: bytes, box: MboxBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = box.root / "box.Processed"
    box.put(ONE)
    target.write_bytes(FROM + TWO + b"\n" + FROM + THREE + b"\n")
    interrupted(box, "_append", monkeypatch)
    target.write_bytes(left)  # somebody deletes messages there
    assert box.run({}) == []
    assert target.read_bytes() == (FROM + TWO + b"\n" if left else b"") + FROM + ONE + b"\n"
    assert box.folders()["Processed"] == ([ONE, TWO] if left else [ONE])


def test_what_a_run_of_an_earlier_version_left(
    pair: tuple[MboxBox, MboxBox, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, into = pair

    def as_before(box: MboxBox, shelf: Path) -> None:
        """Give what is staged the name that it had, and take the source out of the journal."""
        folder = stage(box, shelf).rename(shelf / ".box.filing")
        journal = json.loads((folder / "journal").read_bytes())
        del journal["source"]
        (folder / "journal").write_text(json.dumps(journal))

    interrupted(first, "_append", monkeypatch, into=str(into))
    as_before(first, into)
    with pytest.raises(MailboxError, match=r"of another source of this name, it seems: process that one first"):
        second.run({}, into=str(into))
    assert first.run({}, into=str(into)) == []
    assert second.run({}, into=str(into)) == [TWO]
    assert (into / "box.Processed").read_bytes() == b"".join(FROM + one + b"\n" for one in (ONE, THREE, TWO))

    first.put(ONE)  # beside the source it can be no other's, however far it was
    interrupted(first, "_shrink", monkeypatch)
    first.path.write_bytes(b"")
    as_before(first, first.root)
    assert first.run({}) == []
    assert first.folders() == {"Processed": [ONE]}
    (first.root / ".box.filing").mkdir()
    (first.root / ".box.filing/kept").touch()  # staged, and not promised
    assert first.run({}) == []
    assert names(first) == ["box", "box.Processed"]


@pytest.mark.parametrize("what", ["symlink", "symlink to nothing", "fifo", "somebody else's"])
def test_nothing_is_appended_to_what_is_no_mbox_of_ours(what: str, box: MboxBox) -> None:
    box.put(ONE)
    victim, target = box.root / "authorized_keys", box.root / "box.Processed"
    victim.write_bytes(b"a key\n")
    if what == "fifo":
        os.mkfifo(target)
    elif what == "somebody else's":
        if os.geteuid():
            pytest.skip("only root can give a file away")
        target.touch()
        os.chown(target, 65534, 65534)
    else:
        target.symlink_to(victim if what == "symlink" else box.root / "new_keys")
    with pytest.raises(MailboxError, match=r"box.Processed is no file of yours or of the owner of .*: nothing"):
        box.run({})
    assert victim.read_bytes() == b"a key\n"
    assert names(box) == ["authorized_keys", "box", "box.Processed"]
    assert box.path.read_bytes() == FROM + ONE + b"\n"
    target.unlink()
    assert box.run({}) == [ONE]


def test_root_appends_to_mboxes_of_the_owner(box: MboxBox) -> None:
    if os.geteuid():
        pytest.skip("only root can give a file away")
    box.put(ONE)
    target = box.root / "box.Processed"
    target.touch()
    for path in (box.path, target):
        os.chown(path, 65534, 65534)
    box.run({})
    assert target.read_bytes() == FROM + ONE + b"\n"
    assert target.stat().st_uid == 65534


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\r\n\r\n"])
def test_targets_stay_mboxes(end: bytes, box: MboxBox) -> None:
    box.path.write_bytes(FROM + b"Subject: 1\n\nOne" + end)
    (box.root / "box.Processed").write_bytes(FROM + b"Subject: 0\n\nZero" + end)
    box.run({})
    box.put(TWO)
    box.run({})
    items = [item.content for item in sources.read([str(box.root / "box.Processed")])]
    assert [item.split(b"\n")[0] if isinstance(item, bytes) else item for item in items] == [
        b"Subject: 0",
        b"Subject: 1",
        b"Subject: 2",
    ]


def test_memory_does_not_grow_with_the_mbox(box: MboxBox) -> None:
    box.put(*(letter(number, b"z" * 2000 + b"\n") for number in range(5000)))
    tracemalloc.start()
    with box.open() as opened:
        for one in opened.messages():
            opened.file([(one.handle, Kind.PROCESSED if one.handle.start % 2 else Kind.UNSURE)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert box.path.stat().st_size == 0
    assert peak < 1_000_000


def test_settings_of_the_mbox() -> None:
    assert mailboxes.Mbox(path="/var/mail/box").shelf == Path("/var/mail")
    assert mailboxes.Mbox(path="/var/mail/box", into="~").shelf == Path(
        "~"
    )  # the shell, or the configuration, puts in the home
