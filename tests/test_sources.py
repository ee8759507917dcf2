"""Files, directories, mbox files, Maildirs and standard input as one stream of messages."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import threading
import tracemalloc
from collections import deque
from pathlib import Path
from typing import IO

import pytest

from bounceclass.app import sources
from bounceclass.app.sources import Item

FROM = b"From bounces@example.net Sun Mar  1 12:00:00 2026\n"
ONE = b"Subject: one\n\nFirst.\n"
TWO = b"Subject: two\n\nSecond.\n"


def read(
    *paths: Path | str, stdin: IO[bytes] | None = None, max_bytes: int = 1000
) -> list[tuple[str, bytes | OSError]]:
    return [(name, content) for name, content, _ in sources.read(map(str, paths), stdin, max_bytes=max_bytes)]


def tree(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        pytest.param(FROM + ONE, [("box", ONE)], id="one message keeps the name of the file"),
        pytest.param(FROM + ONE + b"\n" + FROM + TWO, [("box:1", ONE), ("box:2", TWO)], id="two"),
        pytest.param(
            (FROM + ONE + b"\n" + FROM + TWO).replace(b"\n", b"\r\n"),
            [("box:1", ONE.replace(b"\n", b"\r\n")), ("box:2", TWO.replace(b"\n", b"\r\n"))],
            id="lines end in CRLF",
        ),
        pytest.param(
            FROM + ONE + FROM + TWO, [("box", ONE + FROM + TWO)], id="a From_ line needs an empty line before it"
        ),
        pytest.param(
            FROM + ONE + b"\nFrom now on we write less.\n",
            [("box", ONE + b"\nFrom now on we write less.\n")],
            id="and a time",
        ),
        pytest.param(
            FROM + ONE + b">From here\n>>From there\n> From x\nx >From y\n",
            [("box", ONE + b"From here\n>From there\n> From x\nx >From y\n")],
            id="mboxrd quoting",
        ),
        pytest.param(
            FROM + ONE + b"\n" + FROM + TWO + b"\n",
            [("box:1", ONE), ("box:2", TWO)],
            id="the empty line at the end is no part of the last message",
        ),
        pytest.param(FROM + b"\n" + FROM + TWO, [("box:1", b"\n"), ("box:2", TWO)], id="an empty message"),
        pytest.param(FROM + ONE.rstrip(), [("box", ONE.rstrip())], id="no newline at the end"),
        pytest.param(FROM.rstrip(), [("box", b"")], id="a separator alone"),
        pytest.param(ONE + b"\n" + FROM + TWO, [("box", ONE + b"\n" + FROM + TWO)], id="not an mbox"),
        pytest.param(b"", [], id="empty"),
    ],
)
def test_mbox(box: bytes, expected: list[tuple[str, bytes]], tmp_path: Path) -> None:
    tree(tmp_path, {"box": box})
    assert read(tmp_path / "box") == [(str(tmp_path / name), content) for name, content in expected]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (gzip.compress(FROM + ONE), "is packed with gzip: unpack it first (zcat)"),
        (bz2.compress(FROM + ONE), "is packed with bzip2: unpack it first (bzcat)"),
        (lzma.compress(FROM + ONE), "is packed with xz: unpack it first (xzcat)"),
        (b"PK\x03\x04\x14\x00", "is packed with zip: unpack it first"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is in a format of Outlook's own: save the message as .eml"),
    ],
)
def test_what_is_packed_is_no_message(content: bytes, problem: str, tmp_path: Path) -> None:
    tree(tmp_path, {"box": content})
    (item,) = sources.read([str(tmp_path / "box")])
    assert (item.name, str(item.content)) == (str(tmp_path / "box"), problem)


def test_an_mbox_on_standard_input() -> None:
    assert read("-", stdin=io.BytesIO(FROM + ONE + b"\n" + FROM + TWO)) == [("-:1", ONE), ("-:2", TWO)]


def test_a_message_on_standard_input() -> None:
    assert read("-", stdin=io.BytesIO(ONE)) == [("-", ONE)]


def test_standard_input_that_is_closed() -> None:
    ((name, content),) = read("-")
    assert (name, str(content)) == ("-", "[Errno 9] standard input is closed")


def test_an_eml_is_one_message(tmp_path: Path) -> None:
    content = FROM + ONE + b"\n" + FROM + TWO
    tree(tmp_path, {"a.eml": content})
    assert read(tmp_path / "a.eml") == [(f"{tmp_path}/a.eml", content)]


@pytest.mark.parametrize("name", ["a.eml", "box", "plain"])
def test_a_message_is_cut_one_byte_after_the_cap_and_the_rest_passed_over(name: str, tmp_path: Path) -> None:
    body = b"Subject: long\n\n" + b"x" * 200_000 + b"\n" + b"y\n" * 5000
    content = {"a.eml": body, "plain": body, "box": FROM + body + b"\n" + FROM + TWO}[name]
    tree(tmp_path, {name: content})
    first, *rest = sources.read([str(tmp_path / name)], max_bytes=100)
    assert first.content == body[:101]
    assert [item.content for item in rest] == ([TWO] if name == "box" else [])
    assert first.size + sum(item.size for item in rest) == len(content)


def test_a_pipe_is_read_to_its_end() -> None:
    stdin = io.BytesIO(ONE + b"x" * 300_000)
    assert read("-", stdin=stdin, max_bytes=10) == [("-", ONE[:11])]
    assert stdin.read() == b""


def test_a_directory_is_read_in_order_without_what_is_hidden(tmp_path: Path) -> None:
    names = ["b.eml", "a/2.eml", "a/1.eml", ".hidden.eml", ".git/x.eml", "c.eml"]
    tree(tmp_path, dict.fromkeys(names, ONE))
    assert [name for name, _ in read(tmp_path)] == [
        f"{tmp_path}/{name}" for name in ("a/1.eml", "a/2.eml", "b.eml", "c.eml")
    ]


def test_a_maildir_gives_its_messages_and_not_those_being_written(tmp_path: Path) -> None:
    tree(tmp_path, {"cur/1:2,S": ONE, "new/2": TWO, "tmp/3": b"half", "dovecot.index": b"junk"})
    assert read(tmp_path) == [(f"{tmp_path}/cur/1:2,S", ONE), (f"{tmp_path}/new/2", TWO)]


def test_a_directory_named_new_alone_is_no_maildir(tmp_path: Path) -> None:
    tree(tmp_path, {"new/1": ONE, "other": TWO})
    assert [content for _, content in read(tmp_path)] == [ONE, TWO]


def test_links(tmp_path: Path) -> None:
    tree(tmp_path, {"in/1.eml": ONE, "outside": TWO})
    (tmp_path / "in/loop").symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "in/file").symlink_to(tmp_path / "outside")
    (tmp_path / "named").symlink_to(tmp_path / "in", target_is_directory=True)
    assert [content for _, content in read(tmp_path / "in")] == [ONE, TWO]
    assert [content for _, content in read(tmp_path / "named")] == [ONE, TWO]


def test_what_cannot_be_read_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    tree(tmp_path, {"1.eml": ONE})
    (tmp_path / "0.eml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "self").symlink_to("self")
    found = read(tmp_path / "missing", tmp_path)
    assert [name for name, _ in found] == [f"{tmp_path}/{name}" for name in ("missing", "0.eml", "1.eml", "self")]
    assert [type(content) for _, content in found] == [FileNotFoundError, FileNotFoundError, bytes, OSError]


class Broken(io.RawIOBase):
    def readline(self, size: int | None = -1, /) -> bytes:
        raise OSError(5, "Input/output error")


def test_an_error_while_reading_is_named() -> None:
    ((name, content),) = read("-", stdin=Broken())  # type: ignore[arg-type]
    assert name == "-"
    assert str(content) == "[Errno 5] Input/output error"


def test_a_fifo_is_read_where_it_is_named_and_skipped_in_a_directory(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    tree(tmp_path, {"1.eml": ONE})
    assert read(tmp_path) == [(f"{tmp_path}/1.eml", ONE)]
    writer = threading.Thread(target=fifo.write_bytes, args=(TWO,))
    writer.start()
    assert read(fifo) == [(str(fifo), TWO)]
    writer.join()


def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9"
    Path(os.fsdecode(path)).write_bytes(ONE)
    assert read(tmp_path) == [(f"{tmp_path}/caf\ufffd", ONE)]


def test_size(tmp_path: Path) -> None:
    tree(tmp_path, {"a/1.eml": ONE, "a/.x": TWO, "box": FROM + ONE})
    assert sources.size([str(tmp_path)]) == 2 * len(ONE) + len(FROM)
    assert sources.size([str(tmp_path), "-"]) is None
    assert sources.size([str(tmp_path / "missing")]) == 0
    os.mkfifo(tmp_path / "fifo")
    assert sources.size([str(tmp_path / "fifo")]) is None


def test_memory_does_not_grow_with_an_mbox(tmp_path: Path) -> None:
    box = tmp_path / "box"
    with box.open("wb") as file:
        for _ in range(500):
            file.write(FROM + ONE + b"z" * 10_000 + b"\n\n")
        file.write(FROM + ONE + b"z" * 15_000_000 + b"\n\n" + FROM + TWO)
    tracemalloc.start()
    (last,) = deque(sources.read([str(box)], max_bytes=100_000), maxlen=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert last == Item(f"{box}:502", TWO, len(FROM + TWO))
    assert peak < 1_000_000


class Trickle(io.BytesIO):
    """A pipe that gives a few bytes at a time."""

    def __init__(self, content: bytes, portion: int) -> None:
        super().__init__(content)
        self._portion = portion

    def read1(self, size: int | None = -1, /) -> bytes:
        return self.read(self._portion if size is None or size < 0 else min(size, self._portion))


@pytest.mark.parametrize("portion", [1, 2, 3, 7, 40, sources.CHUNK])
def test_an_mbox_is_the_same_however_its_bytes_arrive(portion: int) -> None:
    box = (
        b"From a@b Mon Nov 23 10:00:00 2026\nSubject: 1\n\n>From the start\n>>From x\nFrom here on\n\n"
        b"From c@d Mon Nov 23 10:01:00 2026\r\nSubject: 2\r\n\r\nx\r\n\r\nFrom nobody\r\n\r\n"
        b"From e@f Mon Nov 23 10:02:00 2026\n\nFrom g@h Mon Nov 23 10:03:00 2026\nSubject: 4\n\n" + b"y" * 5000
    )
    file = Trickle(box, portion)
    found = list(sources.mbox(file, file.readline(), "box", 3000))
    assert [(item.name, item.content) for item in found] == [
        ("box:1", b"Subject: 1\n\nFrom the start\n>From x\nFrom here on\n"),
        ("box:2", b"Subject: 2\r\n\r\nx\r\n\r\nFrom nobody\r\n"),
        ("box:3", b"\n"),
        ("box:4", b"Subject: 4\n\n" + b"y" * 2989),
    ]
    assert sum(item.size for item in found) == len(box)


def test_a_line_without_an_end_is_not_held() -> None:
    file = io.BytesIO(
        b"From a@b Mon Nov 23 10:00:00 2026\n" + b"z" * 10 * sources.CHUNK + b"\n\nFrom b 1:00\nSubject: 2\n"
    )
    first, second = sources.mbox(file, file.readline(), "box", 100)
    assert (first.content, second.content) == (b"z" * 101, b"Subject: 2\n")
    assert first.size + second.size == len(file.getvalue())
