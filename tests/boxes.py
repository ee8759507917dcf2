"""One way to fill and to look into mailboxes of every type."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from dovecot import HOST, PASSWORD, Dovecot

from bounceclass.app import mailboxes, sources
from bounceclass.app.mailboxes import Kind, Secret, Settings

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BOXES", "FROM", "Box", "DirectoryBox", "ImapBox", "MaildirBox", "MboxBox", "Pop3Box", "letter", "lf"]

FROM = b"From MAILER-DAEMON Sun Mar  1 12:00:00 2026\n"

Tree = dict[str, tuple[bytes, float]]


def letter(number: int, body: bytes = b"Hello.\n") -> bytes:
    return b"Subject: %d\n\n" % number + body


def lf(content: bytes) -> bytes:
    return content.replace(b"\r\n", b"\n")


def tree(root: Path) -> Tree:
    """Return every file under *root*: what is in it, and when it was changed."""
    paths = [path for path in root.rglob("*") if not path.is_dir() or not any(path.iterdir())]
    return {
        str(path): (path.read_bytes() if path.is_file() else b"", path.lstat().st_mtime_ns) for path in sorted(paths)
    }


class Box(ABC):
    """A mailbox with what it is filed into."""

    number = 0
    """Messages that were put into files of their own."""

    def __init__(self, tmp_path: Path, server: Dovecot | None) -> None:
        self.root = tmp_path / "mail"
        self.root.mkdir(exist_ok=True)
        self.server = server

    @abstractmethod
    def put(self, *contents: bytes) -> None:
        """Deliver messages, as somebody else."""

    @abstractmethod
    def settings(self, **other: Any) -> Settings: ...

    @abstractmethod
    def folders(self) -> dict[str, list[bytes]]:
        """Return the messages of the source ("") and of each folder that has any, sorted, with LF."""

    def snapshot(self) -> object:
        """Return everything that a dry run must not change."""
        return tree(self.root)

    def open(self, *, dry_run: bool = False, **other: Any) -> mailboxes.Mailbox:
        return mailboxes.open(self.settings(**other), dry_run=dry_run)

    def run(self, kinds: dict[bytes, Kind], **other: Any) -> list[bytes]:
        """File each message by the kind of its content, or as processed; return what was fetched."""
        seen = []
        with self.open(**other) as box:
            for name, content, handle in box.messages():
                assert isinstance(content, bytes), name
                seen.append(lf(content))
                box.file([(handle, kinds.get(lf(content), Kind.PROCESSED))])
        return sorted(seen)


def _files(folder: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def _named(found: dict[str, list[bytes]]) -> dict[str, list[bytes]]:
    return {name: sorted(map(lf, contents)) for name, contents in found.items() if contents}


class MaildirBox(Box):
    def __init__(self, tmp_path: Path, server: Dovecot | None) -> None:
        super().__init__(tmp_path, server)
        for part in sources.MAILDIR:
            (self.root / part).mkdir()

    def put(self, *contents: bytes) -> None:
        for content in contents:
            self.number += 1
            name, flags = (f"new/{self.number:05}.x", "") if self.number % 2 else (f"cur/{self.number:05}.x", ":2,S")
            (self.root / f"{name}{flags}").write_bytes(content)

    def settings(self, **other: Any) -> Settings:
        return mailboxes.Maildir(path=str(self.root), **other)

    def folders(self) -> dict[str, list[bytes]]:
        found = {"": _files(self.root / "new") + _files(self.root / "cur")}
        for kind in Kind:
            folder = self.root / f".{kind}"
            found[kind] = _files(folder / "cur")
            assert not found[kind] or (folder / "maildirfolder").exists()
        return _named(found)


class DirectoryBox(Box):
    def put(self, *contents: bytes) -> None:
        for content in contents:
            self.number += 1
            (self.root / f"{self.number:05}.eml").write_bytes(content)

    def settings(self, **other: Any) -> Settings:
        return mailboxes.Directory(path=str(self.root), **other)

    def folders(self) -> dict[str, list[bytes]]:
        return _named({"": _files(self.root), **{str(kind): _files(self.root / kind) for kind in Kind}})


class MboxBox(Box):
    def __init__(self, tmp_path: Path, server: Dovecot | None) -> None:
        super().__init__(tmp_path, server)
        self.path = self.root / "box"
        self.path.touch()

    def put(self, *contents: bytes) -> None:
        with self.path.open("ab") as file:
            for content in contents:
                file.write(FROM + content + b"\n")

    def settings(self, **other: Any) -> Settings:
        return mailboxes.Mbox(path=str(self.path), **{"timeout": 5.0, **other})

    def folders(self) -> dict[str, list[bytes]]:
        found = {}
        for name in ("", *Kind):
            path = self.root / (f"box.{name}" if name else "box")
            items = sources.read([str(path)]) if path.exists() and path.stat().st_size else ()
            found[name] = [item.content for item in items if isinstance(item.content, bytes)]
        return _named(found)


class ServerBox(Box):
    def __init__(self, tmp_path: Path, server: Dovecot | None) -> None:
        super().__init__(tmp_path, server)
        assert server is not None
        self.account = server.account()
        self.common = {
            "host": HOST,
            "user": self.account.user,
            "password": Secret(PASSWORD),
            "ca_file": server.ca_file,
            "timeout": 10.0,
        }
        self.ports = server.ports

    def put(self, *contents: bytes) -> None:
        self.account.deliver(*(content.replace(b"\n", b"\r\n") for content in contents))

    def snapshot(self) -> object:
        return self.account.snapshot(), tree(self.root)


class ImapBox(ServerBox):
    def settings(self, **other: Any) -> Settings:
        return mailboxes.Imap(**{"port": self.ports.imaps, **self.common, **other})

    def folders(self) -> dict[str, list[bytes]]:
        return _named(
            {name.removeprefix("INBOX").removeprefix("."): found for name, found in self.account.folders().items()}
        )


class Pop3Box(ServerBox):
    def settings(self, **other: Any) -> Settings:
        keep = str(self.root / "kept")
        return mailboxes.Pop3(**{"port": self.ports.pop3s, "after": "move", "keep": keep, **self.common, **other})

    def folders(self) -> dict[str, list[bytes]]:
        kept = {str(kind): _files(self.root / "kept" / f".{kind}" / "cur") for kind in Kind}
        return _named({"": self.account.folders()["INBOX"], **kept})


BOXES: dict[str, type[Box]] = {
    "maildir": MaildirBox,
    "directory": DirectoryBox,
    "mbox": MboxBox,
    "imap": ImapBox,
    "pop3": Pop3Box,
}
