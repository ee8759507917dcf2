"""The whole line, from bytes to advice."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec

from bounceclass import advice, fields, judge, mime, parallel, recipients, reports
from bounceclass.model import Action, Confidence, Delivery, Mail, Notice, Original, Outcome, Report
from bounceclass.rules import Rules, load_rules

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from email.message import Message

    from bounceclass.rulebook import Rulebook

__all__ = ["classify", "classify_many"]


@runtime_checkable
class _MailParser(Protocol):
    """What mail-parser's ``MailParser`` is recognised by."""

    @property
    def message(self) -> Message: ...
    @property
    def message_as_string(self) -> str: ...


def classify(
    message: bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes] | Message | _MailParser,
    *,
    lang: str = "en",
    rules: Rules | None = None,
    max_bytes: int = mime.MAX_BYTES,
    max_recipients: int = reports.MAX_RECIPIENTS,
) -> Report:
    """Return what *message* says about other mail, judged.

    *message* is a whole message as bytes or text, an ``email`` or mail-parser object, a
    path (``os.PathLike``) or a binary file.  Suggestions come in *lang*, ``en`` or ``it``.
    *rules*, from ``load_rules``, are the built-in ones unless given.
    Never raises on what a message says: damage and caps are named in ``defects``.

    Raises TypeError for what is no message, OSError for a path that cannot be read, and
    ValueError for a language that there is no advice in and for no bytes at all.
    """
    advice.phrasebook(lang)
    if max_bytes < 1:
        raise ValueError(f"max_bytes must be 1 or more, not {max_bytes}")
    mail = mime.parse(_raw(message, max_bytes), max_bytes=max_bytes)
    rules = rules or load_rules()
    notice = reports.read(mail, rules.dialects, max_recipients=max_recipients)
    return _report(mail, notice, rules.book, lang)


def classify_many(
    messages: Iterable[bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes] | Message | _MailParser],
    *,
    jobs: int | None = None,
    lang: str = "en",
    rules: Rules | None = None,
    max_bytes: int = mime.MAX_BYTES,
    max_recipients: int = reports.MAX_RECIPIENTS,
) -> Generator[Report]:
    """Yield what ``classify`` returns for each of *messages*, in their order.

    *jobs* processes judge them, as many as there are processors unless it is given; a few
    hundred messages are read ahead, and no more are held.  The first hundred or so are judged
    by this process alone where there are no more of them, and all where *jobs* is 1 or where it
    may have no children, as a worker of ``multiprocessing.Pool`` may not.  Where processes are
    not forked (macOS, Windows, from Python 3.14 on also Linux) a script must call this under
    ``if __name__ == "__main__":``.

    A message that cannot be judged, for it kills two processes or meets a bug, is a report of
    kind ``none`` with a defect that begins with ``not judged``; it costs no other its verdict.

    Raises ValueError for a language that there is no advice in and for less than one job; in
    the place of a message TypeError for what is none, and OSError for a path that cannot be read.
    """
    advice.phrasebook(lang)
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs must be 1 or more, not {jobs}")
    work = partial(_packed, lang=lang, rules=rules or load_rules(), max_bytes=max_bytes, max_recipients=max_recipients)
    found = parallel.ordered(
        work,
        (_raw(message, max_bytes) for message in messages),
        jobs=jobs or parallel.cores(),
        weigh=len,
        given_up=lambda _: _pack(_not_judged("two processes died of it")),
    )
    return _reports(found)


def _reports(found: Generator[bytes]) -> Generator[Report]:
    with contextlib.closing(found):  # whoever closes this ends the processes
        yield from map(_unpacked, found)


def _packed(raw: bytes, **settings: Any) -> bytes:
    """Return the verdicts on *raw* as they travel between processes."""
    try:
        return _pack(classify(raw, **settings))
    except Exception as error:  # noqa: BLE001 - a bug must not cost the messages after it
        return _pack(_not_judged(f"{type(error).__name__}: {error}"))


def _not_judged(why: str) -> Report:
    return Report(defects=(f"not judged: {why}",))


def _pack(report: Report) -> bytes:
    return msgspec.msgpack.encode((report, report.__dict__.get("_received", ())))


def _unpacked(packed: bytes) -> Report:
    report, received = _UNPACK.decode(packed)
    report.__dict__["_received"] = received
    return report


_UNPACK = msgspec.msgpack.Decoder(tuple[Report, tuple[str, ...]])


def _raw(message: object, max_bytes: int) -> bytes:
    if isinstance(message, bytes):
        return message
    if isinstance(message, (bytearray, memoryview)):
        return bytes(message)
    if isinstance(message, str):
        return _encoded(message)
    if isinstance(message, os.PathLike):
        with Path(message).open("rb") as file:
            return file.read(max_bytes + 1)
    if isinstance(message, _MailParser):  # first: it answers to every name
        return _flattened(message.message)
    if hasattr(message, "as_bytes"):
        return _flattened(message)
    if hasattr(message, "read"):
        content = message.read(max_bytes + 1)
        if isinstance(content, bytes):
            return content
        raise TypeError("the file must be opened in binary mode")
    raise TypeError(f"not a message: {type(message).__name__}")


def _encoded(text: str) -> bytes:
    """Return *text* in UTF-8, with the bytes that it escapes; other halves of surrogate pairs become question marks."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def _flattened(message: Any) -> bytes:
    """Return an ``email`` object as bytes, its lines as they are."""
    from email.generator import BytesGenerator
    from email.policy import Compat32
    from io import BytesIO

    class AsItIs(Compat32):
        """Folds nothing anew: that raises on broken fields."""

        def fold_binary(self, name: str, value: str) -> bytes:
            return _encoded(f"{name}: {value}\n")

    class Flattener(BytesGenerator):
        def write(self, text: str) -> None:
            self._fp.write(_encoded(text))  # type: ignore[attr-defined]  # the message may have been parsed from text

    raw = BytesIO()
    try:  # and not as_bytes: subclasses have their own, as Mailman's Message
        Flattener(raw, mangle_from_=False, policy=AsItIs()).flatten(message)
        return raw.getvalue()
    except (TypeError, ValueError, LookupError, AttributeError):  # what its parser takes, its generator may not
        header = "".join(f"{name}: {value}\n" for name, value in message.items())
        texts = [part._payload for part in message.walk()]  # get_payload raises where the generator does
        return _encoded(header + "\n" + "\n\n".join(text for text in texts if isinstance(text, str)))


def _report(mail: Mail, notice: Notice, rules: Rulebook, lang: str) -> Report:
    returned = mail.returned or (mime.parse_header(notice.returned) if notice.returned else {})
    if mime.NO_HEADER in mail.defects:  # nothing tells who wrote it, nor that it is a notice at all
        notice = msgspec.structs.replace(notice, confidence=Confidence.GUESS)
    traffic = recipients.Traffic(mail, returned)
    failures = []
    deliveries = []
    for outcome in notice.outcomes:
        if outcome.action in (Action.FAILED, Action.DELAYED):
            failures.append(judge.judge(outcome, notice, traffic, rules, lang))
        else:
            deliveries.append(_delivery(outcome, traffic))
    report = Report(
        kind=notice.kind,
        dialect=notice.dialect,
        reporting_mta=notice.reporting_mta,
        arrival_date=notice.arrival_date,
        envelope_id=notice.envelope_id,
        message_id=mail.get("message-id") or None,
        date=fields.date(mail.get("date")),
        from_=fields.clean(mail.get("from")),
        subject=mail.get("subject") or None,
        original=_original(returned),
        feedback=notice.feedback,
        failures=tuple(failures),
        deliveries=tuple(deliveries),
        defects=mail.defects + notice.defects,
        rules_version=rules.version,
    )
    report.__dict__["_received"] = tuple(returned.get("received", ()))
    return report


def _original(returned: dict[str, list[str]]) -> Original:
    if not returned:
        return Original()
    get = Mail(headers=returned).get
    return Original(
        message_id=get("message-id") or None,
        from_=fields.clean(get("from")),
        to=get("to") or None,
        subject=get("subject") or None,
        date=fields.date(get("date")),
        list_id=get("list-id") or None,
        return_path=fields.clean(get("return-path")),
    )


def _delivery(outcome: Outcome, traffic: recipients.Traffic) -> Delivery:
    return Delivery(
        recipient=recipients.mailed(outcome, traffic),
        original_recipient=outcome.original_recipient,
        final_recipient=outcome.final_recipient,
        action=outcome.action or Action.DELIVERED,
        status=outcome.status,
        diagnostic=outcome.diagnostic or None,
        remote_mta=outcome.remote_mta,
    )
