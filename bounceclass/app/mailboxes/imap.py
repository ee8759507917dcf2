"""A folder of an IMAP account (RFC 3501 and 9051), read by UID.

Nothing is marked as seen by reading (``BODY.PEEK``); a dry run opens the folder with
EXAMINE.  Messages are moved with MOVE (RFC 6851).  Without it they are copied, marked
``\\Deleted`` and expunged by UID (RFC 4315); a keyword set before the copy tells the next
run which messages an interrupted one may have copied already.  A plain EXPUNGE, which
would remove what others marked, is never sent: without UIDPLUS messages stay marked.

Messages that are to be left get a keyword too, by which the next run passes them over;
where bounces are deleted, what is no bounce gets another one.
Where the server keeps no keywords each run reads them all again, which is harmless to
whoever knows messages by their content.
"""

from __future__ import annotations

import difflib
import hashlib
import time
from collections import defaultdict
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientAbortError, IMAPClientError

from bounceclass.app.mailboxes.base import Fetched, Kind, MailboxError
from bounceclass.app.mailboxes.network import Refused, Server, tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from bounceclass.app.mailboxes.settings import Imap

__all__ = ["ImapMailbox"]

FILING = b"$BounceclassFiling"
"""The keyword of a message that is being copied."""
DONE = b"$BounceclassDone"
"""The keyword of a message that is left where it is."""
SPARED = b"$BounceclassSpared"
"""The keyword of a message that is left where others are deleted."""
REMOVED = b"$BounceclassRemoved"
"""The keyword of a message that we, and nobody else, marked as deleted."""
_LEFT = {"leave": DONE, "delete": SPARED}
"""The keyword of what is left, by what is set; another setting looks at it again."""
DELETED = rb"\Deleted"
BATCH = 200
"""Messages that a command names at most."""
CHUNK = 8 * 1024 * 1024
"""Bytes that are fetched at once at most, but for a single message."""
MAX_TRIPS = 10
"""Connections that may be lost while messages are fetched."""
RENEW = 300.0
"""Seconds after which IDLE is renewed: RFC 2177 allows 29 minutes, but routers forget a silent connection sooner."""
POLL = 60.0
"""Seconds between two looks where the server does not offer IDLE."""


class _Handle(NamedTuple):
    """A message: its UID means that one for as long as the UIDVALIDITY stays the same."""

    uidvalidity: int
    uid: int


class _Copy(NamedTuple):
    folder: str
    uidvalidity: int
    uid: int


class ImapMailbox:
    """The undeleted messages of a folder; each has a ``_Handle``."""

    def __init__(self, source: Imap, *, dry_run: bool) -> None:
        self._source = source
        self._dry = dry_run
        self._server = Server(source, source.service, IMAPClientError, _is_lost)
        self._connection: IMAPClient | None = None
        self._uidvalidity = 0
        self._keywords = False
        self._read = 0  # the highest UID that was fetched over this connection
        self._trips = 0  # over messages that a server cannot read
        self._targets: dict[str, str] = {}  # the folders that are known to be there, by their names in the settings
        self._begun: dict[int, _Copy] | None = None  # what interrupted runs copied, once that is looked up

    # --- the connection -----------------------------------------------------------

    def __enter__(self) -> Self:
        source = self._source
        context = tls(source) if source.security != "none" else None
        self._connection = self._server.ask(
            "a connection",
            IMAPClient,
            source.host,
            source.service,
            ssl=source.security == "tls",
            ssl_context=context,
            timeout=source.timeout,
        )
        try:
            if source.security == "starttls":
                self._server.ask("STARTTLS (correct port, or set security)", self._client.starttls, context)
            self._server.connected = True
            self._log_in()
            self._select()
            self._finish_removal()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is None:
            return
        client, self._connection = self._connection, None
        with suppress(MailboxError):  # all that was asked for is done, and the connection is gone
            # never CLOSE, which expunges
            self._ask("to log out", client.logout if self._server.connected else client.shutdown)
        self._server.connected = False

    @property
    def _client(self) -> IMAPClient:
        if self._connection is None:
            raise ValueError("the mailbox is not open")
        return self._connection

    def _log_in(self) -> None:
        source, client = self._source, self._client
        if source.token:
            token = self._server.secret(source.token)
            log_in = client.oauth2_login if self._has("AUTH=XOAUTH2") else client.oauthbearer_login
            self._ask(f"the token for {source.user}", log_in, source.user, token)
        elif source.password:
            password = self._server.secret(source.password)
            # LOGIN takes nothing but ASCII
            log_in = client.plain_login if self._has("AUTH=PLAIN") else client.login
            self._ask(f"the password for {source.user}", log_in, source.user, password)

    def _select(self) -> None:
        folder = self._source.folder
        try:
            self._uidvalidity, self._keywords = self._ask("a folder", _selected, self._client, folder, self._dry)
        except Refused as refused:
            raise self._missing(refused) from None

    def _select_again(self) -> None:
        """Come back from another folder; where ours was made anew meanwhile, its UIDs mean other messages."""
        before = self._uidvalidity
        self._select()
        if self._uidvalidity != before:
            raise MailboxError(
                f"{self._source.host} has made the folder {self._source.folder} anew: run again", temporary=True
            )

    def _missing(self, refused: Refused) -> MailboxError:
        """Return what to say of a folder that cannot be opened, with the names that are most like it."""
        wanted = self._source.folder
        names = [str(name) for _, _, name in self._ask("the list of folders", self._client.list_folders)]
        if wanted in names:
            return refused
        near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5) or sorted(names)[:5]
        return MailboxError(f"no folder {wanted} for {self._source.user} at {self._source.host}; try {', '.join(near)}")

    def _ask(self, what: str, do: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return self._server.ask(what, do, *args, **options)

    # --- fetching -----------------------------------------------------------------

    def messages(self) -> Iterator[Fetched]:
        for batch in _batches(self._fresh()):
            for chunk in _chunks(self._ask("the sizes", _sizes, self._client, batch), self._source.max_bytes):
                yield from self._fetch(chunk)
            self._read = batch[-1]

    def wait(self, timeout: float) -> bool:
        """Wait for new messages, at most *timeout* seconds; return whether there are any.

        It may be asked once ``messages`` has come to its end, which it can then be called for again.
        """
        until = time.monotonic() + timeout
        idle = self._ask("its capabilities", self._client.has_capability, "IDLE")
        while True:
            if self._fresh():
                return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            if idle:
                self._ask("IDLE", _idle, self._client, min(left, RENEW))
            else:
                time.sleep(min(left, POLL))
                self._ask("NOOP", self._client.noop)

    def _fresh(self) -> list[int]:
        """Return the UIDs of the messages that this connection has not fetched, in their order."""
        criteria = ["UNDELETED"]
        if self._keywords and self._source.after in _LEFT:
            criteria += ["UNKEYWORD", _text(_LEFT[self._source.after])]
        if self._read:
            criteria += ["UID", f"{self._read + 1}:*"]
        # the range always has the last message, however low its UID
        return sorted(uid for uid in self._ask("a search", self._client.search, criteria) if uid > self._read)

    def _fetch(self, uids: Sequence[int]) -> Iterator[Fetched]:
        """Yield the messages of these UIDs; where the server trips over one, the others all the same."""
        section = f"BODY.PEEK[]<0.{self._source.max_bytes + 1}>"
        try:
            found = self._ask("a message", self._client.fetch, uids, [section])
        except MailboxError as error:
            if not isinstance(error, Refused):
                self._reconnect(error)
            if len(uids) > 1:
                for uid in uids:
                    yield from self._fetch([uid])
            else:
                yield Fetched(self._name(uids[0]), error, _Handle(self._uidvalidity, uids[0]))
            return
        for uid in uids:
            if uid in found:  # else somebody deleted it meanwhile
                yield Fetched(self._name(uid), self._content(found[uid]), _Handle(self._uidvalidity, uid))

    def _reconnect(self, error: MailboxError) -> None:
        """Connect again: a server may break off over one message, which must not keep us from all after it.

        QUIRK: Dovecot says BYE when it cannot read the file of a message.
        """
        uidvalidity = self._uidvalidity
        if self._trips == MAX_TRIPS:
            raise error
        self._trips += 1
        self.__exit__()
        self.__enter__()
        if uidvalidity != self._uidvalidity:
            raise error

    def _content(self, answer: dict[bytes, Any]) -> bytes | MailboxError:
        content = answer.get(b"BODY[]<0>")
        if isinstance(content, bytes):
            return content[: self._source.max_bytes + 1]
        return MailboxError(f"{self._source.host} has the message but sent nothing of it")

    def _name(self, uid: int) -> str:
        return f"imap://{self._source.host}/{self._source.folder};UID={uid}"

    # --- filing -------------------------------------------------------------------

    def file(self, filed: Sequence[tuple[Any, Kind]]) -> None:
        if self._dry:
            return
        # a handle of another UIDVALIDITY means nothing here: its message is fetched again
        valid = [(handle.uid, kind) for handle, kind in filed if handle.uidvalidity == self._uidvalidity]
        groups: dict[tuple[str, str], list[int]] = defaultdict(list)
        for uid, kind in valid:
            groups[self._source.fate(kind), self._source.folder_name(kind)].append(uid)
        for (fate, name), group in groups.items():
            for uids in _batches(sorted(group)):
                self._file(uids, fate, name)

    def _file(self, uids: list[int], fate: str, name: str) -> None:
        if fate == "leave":
            if self._keywords:
                self._mark(uids, _LEFT[self._source.after])
        elif fate == "delete":
            self._remove(uids)
        elif self._has("MOVE"):
            target = self._target(name)
            self._ask("the move to a folder", self._client.move, uids, target)
        else:
            self._copy(uids, self._target(name))
            self._remove(uids)

    def _has(self, capability: str) -> bool:
        return bool(self._ask("its capabilities", self._client.has_capability, capability))

    def _mark(self, uids: list[int], *flags: bytes) -> None:
        self._ask("a flag", self._client.add_flags, uids, flags, silent=True)

    def _remove(self, uids: list[int]) -> None:
        self._mark(uids, DELETED, *([REMOVED] if self._keywords else []))
        if self._has("UIDPLUS"):
            self._ask("the removal of messages", self._client.uid_expunge, uids)

    def _finish_removal(self) -> None:
        """Expunge what an interrupted run marked."""
        if self._keywords and not self._dry and self._has("UIDPLUS"):
            marked = self._ask("a search", self._client.search, ["DELETED", "KEYWORD", _text(REMOVED)])
            for uids in _batches(marked):
                self._ask("the removal of messages", self._client.uid_expunge, uids)

    def _copy(self, uids: list[int], target: str) -> None:
        """Copy messages, but for those that an interrupted run has copied there already."""
        if self._begun is None:
            self._begun = self._copies() if self._keywords else {}
        wanted = []
        for uid in uids:
            copy = self._begun.pop(uid, None)
            if copy is None or copy.folder != target:
                wanted.append(uid)
            if copy and copy.folder != target:  # the verdict is another one now
                uidvalidity, _ = self._ask("a folder", _selected, self._client, copy.folder)
                if uidvalidity == copy.uidvalidity:
                    self._remove([copy.uid])
                self._select_again()
        if wanted:
            if self._keywords:
                self._mark(wanted, FILING)
            self._ask("the copy to a folder", self._client.copy, wanted, target)

    def _copies(self) -> dict[int, _Copy]:
        """Return the copies that interrupted runs made of messages which are still here.

        A copy has the keyword, as the message has, and the same bytes.
        """
        begun = self._ask("a search", self._client.search, ["KEYWORD", _text(FILING), "UNDELETED"])
        contents = {uid: self._ask("a message", self._content_of, uid) for uid in begun}
        found: dict[int, _Copy] = {}
        for folder in {self._full_name(self._source.folder_name(kind)) for kind in Kind} if begun else ():
            if not self._ask("a folder", self._client.folder_exists, folder):
                continue
            uidvalidity, _ = self._ask("a folder", _selected, self._client, folder)
            copies = {
                copy: self._ask("a message", self._content_of, copy)
                for size in {size for size, _ in contents.values()}
                for copy in self._alike(size)
            }
            for uid in contents.keys() - found.keys():
                copy = next((copy for copy, content in copies.items() if content == contents[uid]), None)
                if copy is not None:
                    del copies[copy]
                    found[uid] = _Copy(folder, uidvalidity, copy)
        if begun:
            self._select_again()
        return found

    def _alike(self, size: int) -> list[int]:
        """Return the messages of the selected folder that were copied there and have this size."""
        criteria = ["KEYWORD", _text(FILING), "UNDELETED", "LARGER", size - 1, "SMALLER", size + 1]
        return list(self._ask("a search", self._client.search, criteria))

    def _content_of(self, uid: int) -> tuple[int, bytes]:
        """Return the size of a message and the digest of all of it."""
        about = self._ask("a message", self._client.fetch, [uid], ["RFC822.SIZE", "BODY.PEEK[]"]).get(uid, {})
        return int(about.get(b"RFC822.SIZE", 0)), hashlib.sha256(about.get(b"BODY[]") or b"").digest()

    # --- folders ------------------------------------------------------------------

    def _target(self, name: str) -> str:
        """Return the folder *name* as the server calls it, made and subscribed to where there is none."""
        if name not in self._targets:
            folder = self._full_name(name)
            if not self._ask("a folder", self._client.folder_exists, folder):
                self._ask(f"a new folder {folder}", self._client.create_folder, folder)
                self._ask(f"the subscription to {folder}", self._client.subscribe_folder, folder)
            self._targets[name] = folder
        return self._targets[name]

    def _full_name(self, name: str) -> str:
        """Return the name of a folder with the prefix and the delimiter of the server; in the settings that is /."""
        prefix, delimiter = self._ask("its namespaces", self._namespace)
        full = name.replace("/", delimiter) if delimiter else name
        return full if full.startswith(prefix) else prefix + full

    def _namespace(self) -> tuple[str, str]:
        if self._has("NAMESPACE"):
            personal = self._ask("its namespaces", self._client.namespace).personal
            if personal:
                return personal[0][0] or "", personal[0][1] or ""
        listed = self._ask("the list of folders", self._client.list_folders, pattern="")
        return "", (listed[0][1] or b"").decode("ascii") if listed else ""


def _is_lost(error: Exception) -> bool:
    """Return whether an error says that the connection is gone; of a login it hides the error behind it."""
    return isinstance(error, IMAPClientAbortError) or isinstance(error.__context__, IMAPClientAbortError)


def _selected(client: IMAPClient, folder: str, readonly: bool = False) -> tuple[int, bool]:
    """Return the UIDVALIDITY of a folder, which is selected, and whether it takes keywords."""
    about = client.select_folder(folder, readonly=readonly)
    return int(about.get(b"UIDVALIDITY", 0)), rb"\*" in about.get(b"PERMANENTFLAGS", ())


def _sizes(client: IMAPClient, uids: list[int]) -> dict[int, int]:
    return {uid: int(about.get(b"RFC822.SIZE", 0)) for uid, about in client.fetch(uids, ["RFC822.SIZE"]).items()}


def _idle(client: IMAPClient, seconds: float) -> None:
    """Return when the server has something to say, or after these seconds."""
    client.idle()
    client.idle_check(timeout=seconds)
    client.idle_done()


def _text(keyword: bytes) -> str:
    return keyword.decode("ascii")


def _batches(uids: Iterable[int]) -> Iterator[list[int]]:
    left = iter(uids)
    while batch := list(islice(left, BATCH)):
        yield batch


def _chunks(sizes: dict[int, int], max_bytes: int) -> Iterator[list[int]]:
    """Yield the UIDs in groups that take no more than ``CHUNK`` bytes of memory, or are one message."""
    group: list[int] = []
    total = 0
    for uid, size in sorted(sizes.items()):
        wanted = min(size, max_bytes + 1)
        if group and total + wanted > CHUNK:
            yield group
            group, total = [], 0
        group.append(uid)
        total += wanted
    if group:
        yield group
