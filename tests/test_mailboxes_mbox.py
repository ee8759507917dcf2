"""An mbox: its locks, and a run that is killed at each step of changing it."""

from __future__ import annotations

import fcntl
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
from bounceclass.app.mailboxes import Kind, MailboxError, mboxlock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ONE, TWO, THREE, FOUR = (letter(number, b"x" * 3000 + b"\n") for number in range(1, 5))
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def box(tmp_path: Path) -> MboxBox:
    return MboxBox(tmp_path, None)


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
        assert box.folders() == (moved if after == "move" else {}), step
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


def test_a_stage_of_somebody_else_is_not_touched(box: MboxBox) -> None:
    box.put(ONE)
    (box.root / "elsewhere").mkdir()
    (box.root / ".box.filing").symlink_to("elsewhere")
    with pytest.raises(MailboxError, match="belongs to somebody else"), box.open():
        pass


def test_an_interrupted_run_is_not_finished_by_one_that_only_looks(box: MboxBox) -> None:
    box.put(ONE)
    (box.root / ".box.filing").mkdir()
    (box.root / ".box.filing/journal").touch()
    for settings in ({"dry_run": True}, {"after": "leave"}):
        with pytest.raises(MailboxError, match="a run was interrupted and must be finished"), box.open(**settings):
            pass


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
