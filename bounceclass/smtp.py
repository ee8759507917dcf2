"""SMTP replies (RFC 5321 4.2) in the words that reports quote them with.

``dissect`` is the one way in: a diagnostic in, the reply's code, status, text, host
and command out.
"""

from __future__ import annotations

import itertools
import re
from functools import cache

from msgspec import Struct

from bounceclass import phrasing, words
from bounceclass import status as statuses

__all__ = ["MAX_DIAGNOSTIC", "Reply", "command_refused", "dissect", "is_cut"]

MAX_DIAGNOSTIC = 8192
"""Characters of a diagnostic that are read."""
MAX_REPLIES = 20
"""Replies in one diagnostic that are looked at."""


class Reply(Struct, frozen=True, kw_only=True):
    """What a remote server answered, as far as it was quoted."""

    code: int | None = None
    status: str | None = None
    text: str = ""
    """The words of the reply: lines joined, codes and frames of the reporter taken off."""
    before: str = ""
    """What stands before the reply."""
    field: str | None = None
    """The Status field, where it stands before the reply and in no field."""
    host: str | None = None
    command: str | None = None
    """The command refused: CONN, EHLO, STARTTLS, AUTH, MAIL, RCPT or DATA."""
    transcript: bool = False
    """The reply is the remote's own line in a session transcript."""


# What is looked for in a whole text begins with what is rare in it and looks behind from there: so it is found fast.

# Reply-code followed by an enhanced status code (RFC 2034 4); some write "550 #5.1.1" or "550-5.1.1".
_CODE_AND_STATUS = re.compile(r"([45](?<![\w.].)\d\d)[ \-:,]{1,3}[('\"]?#?([245]\.\d{1,3}\.\d{1,3})(?![\w]|\.\d)")
# Three digits that may be a reply-code, and no size or time
_CODE = re.compile(
    r"[45]\d\d(?=[ \-:;,.)'\"\]\n]|$)(?!\.\d)(?![ ]*(?:bytes|kb|mb|seconds|secs|minutes|hours|days)\b)", re.M | re.I
)
# A reply-code where a reply begins: after the words that introduce one, or at the start of a line
_MARKED_CODE = re.compile(
    r"(?:^[ \t]{0,20}|\b(?:said|says|replied|reply|response|responded|returned|answered|error|reason|code|codes|received|result|status|server|smtp|was|with)\b"
    r"[ \t:;=>'\"(#]{0,6}|<<<[ \t]*|>>>[ \t]+|[:;#('\"\]>][ \t]{0,4}|ERROR_CODE :)[\"'(\[]?[45]\d\d\Z",
    re.M | re.I,
)
MAX_MARK = 32
"""Characters before a reply-code in which the words that introduce it stand."""
# Reply-code anywhere, where what follows can only be a reply's text
_CODE_BARE = re.compile(r"([45](?<![\w.,:/-].)\d\d)(?=-[A-Z<'\"]| [A-Z<'\"][^\n]{4})(?! (?:KB|MB|GB)\b)")
# QUIRK: Sendmail 5 quotes the resolver's answer behind its own: "554 <a@b>... 550 Host unknown"
_CODE_INNER = re.compile(r"^[ \t]{0,20}[45]\d\d [^\n]{1,330}?\.\.\. ([45]\d\d)(?= )", re.M)
# The remote's lines in a session transcript: Sendmail, Courier, ezweb
_TRANSCRIPT = re.compile(r"^[ \t]*(?:<<<|Received >>>|Remote server replied:)[ \t]*([245]\d\d)([ -])(.*)$", re.M)
# Where a report says which command was refused; commands are in capitals, or ordinary words would be taken for them
_COMMAND = re.compile(
    r"""(?:\b(?=\w)|(?=[>\[-])|^)  # tried at the beginnings of words only: there are many alternatives
      (?:
        (?:in\ reply\ to(?:\ the)?|after|for|did\ not\ like\ our|rejected\ command|sent(?::|\ <<<)|>>>|-->|SMTP:|command:?|during|at|to)
        [ ]{1,3}['"]?(?:(?:final|pipelined|sending|the|a|my)[ ]{1,3}){0,2}
        ((?-i:RCPT|MAIL|DATA|BDAT|EHLO|HELO|STARTTLS|AUTH|TEXT)\b|end[ ]of[ ]data|end[ ]of[ ]message|initial[ ]connection|data[ ]block|
           message[ ]body|connection[ ]establishment)
      | \[(RCPT_TO|MAIL_FROM|DATA|BODY|CONNECT|EHLO|HELO|END_OF_DATA)\]
      | (?-i:(RCPT|DATA|MAIL|TEXT|EHLO|HELO)(?:[ ](?:TO|FROM))?)[ ](?:command|response|generated[ ]following[ ]response)
      | (does[ ]not[ ]like[ ]recipient|sender[ ]was[ ]rejected|greeting[ ]failed|name[ ]was[ ]rejected|failed[ ]after[ ]I[ ]sent[ ]the[ ]message|refused[ ]to[ ]talk[ ]to[ ]me|did[ ]not[ ]like[ ]our[ ]connect)
      | SMTP:(RCPT|MAIL|DATA|CONNECT|HELO)\b
      | (while[ ]talking[ ]to)[ ][^\s]{1,255}\n<<<(?!(?s:.*)while[ ]talking)  # Sendmail: the last host's greeting
      | >>>[ ]\((initial[ ]greeting)\)  # Courier
      | (error[ ]creating[ ]client|error[ ]saying[ ]hello):[ ]  # chasquid
      | (?-i:(DATA))(?:[ ]closing)?[ ][45]\d\d[ ]  # chasquid
      | ^[ \t]{0,8}(?-i:(RCPT|MAIL|DATA|EHLO|HELO))(?:[ ](?:TO|FROM):[^\n]{0,330})?$
      )""",
    re.I | re.X | re.M,
)
_REPLIED_TO = re.compile(r"(?:RCPT|MAIL|DATA|BDAT|EHLO|HELO|STARTTLS|AUTH)\b|end of DATA\b")
_STAGES = {
    "rcpt": "RCPT", "rcpt_to": "RCPT", "does not like recipient": "RCPT",
    "mail": "MAIL", "mail_from": "MAIL", "sender was rejected": "MAIL",
    "data": "DATA", "bdat": "DATA", "text": "DATA", "body": "DATA", "end of data": "DATA", "end_of_data": "DATA", "end of message": "DATA",
    "data block": "DATA", "message body": "DATA", "failed after i sent the message": "DATA",
    "ehlo": "EHLO", "helo": "EHLO", "name was rejected": "EHLO", "starttls": "STARTTLS", "auth": "AUTH",
    "initial connection": "CONN", "connect": "CONN", "connection establishment": "CONN", "greeting failed": "CONN",
    "refused to talk to me": "CONN", "while talking to": "CONN",
    "did not like our connect": "CONN", "initial greeting": "CONN",
    "error creating client": "CONN", "error saying hello": "EHLO",
}  # fmt: skip
# Where a report names the host that answered, in lower-case text: the words that all begin with letters are
# found fast, those after a name only where a hint of them stands
_HOST = re.compile(
    r"""h(?<!\w.)ost[: ]{1,3}'?([\w-][\w.-]{1,250})[ ]{0,2}(?:\[[^\]\n]{1,60}\]|\([^)\n]{1,60}\)|')
      | while[ ]talking[ ]to[ ]\[?([\w-][\w.-]{1,250})
      | connected[ ]to[ ]([\w-][\w.-]{1,250})[ ]but
      | h(?<!\w.)ost:[ ]{1,3}([\w-][\w.-]{1,250})
      | remote[ ]system:[ ]dns;([\w-][\w.-]{1,250})
      | remote[ ]host[ ]([\w-][\w.-]{1,250})[ ]said
      | b(?<!\w.)y[ ]([\w-]+(?:\.[\w-]+)+)\.?[ ]\[[^\]\n]{1,60}\]
      | connect[ ]to[ ]([\w-][\w.-]{1,250})\[[^\]\n]{1,60}\]""",
    re.X | re.M,
)
_HOST_BEFORE = re.compile(
    r"""(?<![\w.-])([\w-][\w.-]{1,250})[ ]{0,2}\[[^\]\n]{1,60}\][ ](?:said|refused|did[ ]not[ ]like)
      | (?<![\w.-])([\w-][\w.-]{1,250})[ ]does[ ]not[ ]like[ ]recipient
      | ^([\w-]+(?:\.[\w-]+)+)[ ](?:gave[ ]this[ ]error|rejected[ ]your[ ]message|\#<?)""",
    re.X | re.M,
)
# One of these stands in all that _HOST finds, at its beginning but for "remote"; and in all that _HOST_BEFORE does
_HOST_HINTS = ("host", "while talking to", "connected to", "remote system", "connect to", "by ")
_HOST_BEFORE_HINTS = ("] said", "] refused", "] did not like", "does not like recipient", "gave this error", "rejected your message", " #")  # fmt: skip
# One of these stands in all that _COMMAND finds, no further from its beginning than MAX_LEAD
_COMMAND_HINTS = (
    "RCPT", "MAIL", "DATA", "BDAT", "HELO", "EHLO", "STARTTLS", "AUTH", "TEXT", "BODY", "CONNECT", "connection", "end of",
    "data block", "message body", "like recipient", "was rejected", "greeting failed", "talk to me", "I sent the message",
    "while talking to", "like our connect", "initial greeting", "creating client", "saying hello",
)  # fmt: skip
MAX_LEAD = 64
# QUIRK: Postfix ends its lines anywhere: "(in reply\nto RCPT TO command)", "refused to talk\nto me"
_WRAPPED_HINTS = ("reply", "refused")
# One of these stands in all that _TRANSCRIPT finds
_TRANSCRIPT_HINTS = ("<<<", "Received >>>", "Remote server replied:")


def _spellings(hints: tuple[str, ...]) -> set[str]:
    return {spelled for hint in hints for spelled in (hint, hint.capitalize(), hint.title(), hint.upper())}


# All of them are looked for at once, those of hosts as mailers spell them: "Host", "HOST", but not "hOST"
_KINDS = {
    "host": sorted(_spellings(_HOST_HINTS)),
    "before": sorted(_spellings(_HOST_BEFORE_HINTS)),
    "command": _COMMAND_HINTS,
    "transcript": _TRANSCRIPT_HINTS,
    "wrapped": _WRAPPED_HINTS,
}
_HINT_KINDS = [kind for kind, hints in _KINDS.items() for _ in hints]
_ALL_HINTS = words.automaton(hint for hints in _KINDS.values() for hint in hints)
# QUIRK: Exchange Online sums up the reply of the next server before it quotes it, and often not by what it says
_SUMMARY = re.compile(r"remote server returned [^\n>]{1,200} -> (?=[45]\d\d)", re.I)
# QUIRK: Exchange's own status, that it writes before a reply which has none: "<host #5.1.1 smtp;550 Rejected>"
_TRANSLATED = re.compile(r"#([245]\.\d{1,3}\.\d{1,3}) smtp; ?\Z")
# QUIRK: qmail's own sentence behind the last reply, which says what failed
_GIVEN_UP = "I'm not going to try again; this message has been in the queue too long."
# What frames a quoted reply, up to the reply itself
_TAIL = re.compile(
    r"""\s*(?:\((?:in[ ]reply[ ]to[ ][^()]{1,60}|state[ ]\d{1,3})\)|\[(?:RCPT_TO|MAIL_FROM|DATA|BODY|CONNECT)\]|\#\#(?:rfc822;[^\s]{0,320})?)\s*$""",
    re.I | re.X,
)


def dissect(diagnostic: str) -> Reply:
    """Return the reply that *diagnostic* quotes.

    Where it quotes none, ``code`` and ``status`` are None and ``text`` is the whole of
    it.  No more than MAX_DIAGNOSTIC characters are read.
    """
    text = diagnostic[:MAX_DIAGNOSTIC]
    host = command = None
    if hints := _hints(text):
        host = _host(text, hints)
        if "transcript" in hints and (transcript := _transcript(text, host)):
            return transcript
        command = _command(text, hints)
    begin = summary.end() if " -> " in text and (summary := _SUMMARY.search(text)) else 0
    code, status, start = _codes(text[begin:] if begin else text)
    start += begin
    said = _joined(text[start:], code)
    before, field = text[:start], None
    if before.endswith((";", "; ")) and (own := _TRANSLATED.search(before, max(start - MAX_MARK, 0))):
        field, status = own[1], statuses.find(text[start:])
    return Reply(code=code, status=status, text=said, before=before, field=field, host=host, command=command)


def is_cut(words: str) -> bool:
    """Tell whether a reply of several lines lacks its last (QUIRK: Sendmail quotes the first only)."""
    return words[3:4] == "-" and words[:1] in ("4", "5") and words[:3].isdecimal() and f"{words[:3]} " not in words


def command_refused(text: str) -> str | None:
    """Return the command that *text* says was refused: CONN, EHLO, STARTTLS, AUTH, MAIL, RCPT or DATA."""
    text = text[:MAX_DIAGNOSTIC]
    hints = _hints(text)
    command = _command(text, hints)
    if command is None and "wrapped" in hints and "\n" in text:
        text = phrasing.on_one_line(text)
        command = _command(text, _hints(text))
    return command


def _hints(text: str) -> dict[str, int]:
    """Return where the first hint of each kind stands; most diagnostics have none."""
    found: dict[str, int] = {}
    for index, start, end in _ALL_HINTS.find_matches_as_indexes(text, overlapping=True):
        kind = _HINT_KINDS[index]
        if kind not in found and not (kind == "command" and _within_word(text, start, end)):
            found[kind] = start
    return found


def _within_word(text: str, start: int, end: int) -> bool:
    """Tell whether a command's name is part of a longer word: EMAIL, MAILER-DAEMON."""
    return text[start:end].isupper() and (text[end : end + 1].isalnum() or (start > 0 and text[start - 1].isalnum()))


def _command(text: str, hints: dict[str, int]) -> str | None:
    if "command" not in hints:
        return None
    at = hints["command"]
    if text.endswith("in reply to ", 0, at) and (found := _REPLIED_TO.match(text, at)):  # as Postfix writes
        return _STAGES[found[0].lower()]
    found = _COMMAND.search(text, max(at - MAX_LEAD, 0))
    return _STAGES[found[found.lastindex or 0].lower()] if found else None


def _host(text: str, hints: dict[str, int]) -> str | None:
    lower = text.lower() if "host" in hints or "before" in hints else ""
    found = _HOST.search(lower, max(hints["host"] - len("remote "), 0)) if "host" in hints else None
    before = _HOST_BEFORE.search(lower) if "before" in hints else None
    if before and (found is None or before.start() < found.start()):
        found = before
    if found is None:
        return None
    name = found[found.lastindex or 0].rstrip(".")
    return name if "." in name or name == "localhost" else None


def _codes(text: str) -> tuple[int | None, str | None, int]:
    """Return the reply code, the status and where the reply begins."""
    if not ("5" in text or "4" in text):
        return None, statuses.find(text), 0
    both = _CODE_AND_STATUS.search(text)
    if both:
        status = statuses.plain(both[2])
        if statuses.is_expiry(status):
            both = _behind(both, text)
            status = statuses.plain(both[2])
        elif both.start() and (outer := _outer(text, both)) is not None:
            return int(text[outer : outer + 3]), status, outer
        return int(both[1]), status, both.start()
    start = _code_alone(text)
    return None if start is None else int(text[start : start + 3]), statuses.find(text), start or 0


def _outer(text: str, inner: re.Match[str]) -> int | None:
    """Return where the reply begins that *inner* is a line of, or quoted in: "550 Callout failed: 550 5.1.1 unknown"."""
    line = text.rfind("\n", 0, inner.start()) + 1
    for code in _CODE.finditer(text, 0, inner.start()):
        same = code[0] == inner[1] and text[code.end()] == "-"
        if (same or code.start() >= line) and _MARKED_CODE.search(text, max(code.start() - MAX_MARK, 0), code.end()):
            return code.start()
    return None


def _behind(first: re.Match[str], text: str) -> re.Match[str]:
    """Return the last failure: on expiry it may be quoted behind the MTA's own words."""
    others = itertools.islice(_CODE_AND_STATUS.finditer(text, first.end()), MAX_REPLIES)
    return next((one for one in others if not statuses.is_expiry(statuses.plain(one[2]))), first)


def _code_alone(text: str) -> int | None:
    """Return where a reply code stands that has no status behind it."""
    if "... " in text and (inner := _CODE_INNER.search(text)):
        return inner.start(1)
    for code in _CODE.finditer(text):
        if _MARKED_CODE.search(text, max(code.start() - MAX_MARK, 0), code.end()):
            return code.start()
    bare = _CODE_BARE.search(text)
    return bare.start() if bare else None


def _transcript(text: str, host: str | None) -> Reply | None:
    """Return the remote's refusal in a transcript, and the command before it.

    A ``503`` after another refusal is the remote's complaint that a command came out of
    order, and never the reason.
    """
    refusals = [found for found in _TRANSCRIPT.finditer(text) if found[1][0] in "45"]
    if not refusals:
        return None
    first = next((found for found in refusals if found[1] != "503"), refusals[0])
    said = " ".join(f"{found[1]} {found[3].strip()}" for found in refusals if found[1] == first[1])
    commands = _COMMAND.findall(text[: first.start(1)])
    return Reply(
        code=int(first[1]),
        status=statuses.find(said),
        text=_joined(said, int(first[1])),
        host=host,
        command=_STAGES[next(filter(None, commands[-1])).lower()] if commands else None,
        transcript=True,
    )


def _joined(said: str, code: int | None) -> str:
    """Return the words of a reply on one line, without codes and the reporter's frames."""
    said = phrasing.on_one_line(said)
    if code:
        digits = said[:3]
        if digits in said[3:]:
            said = _prefix(code).sub("", said)
        elif first := _PREFIX.match(said):
            said = said[first.end() :]
        said = said.removesuffix(_GIVEN_UP)
    return _TAIL.sub("", said).strip() if said.endswith((")", "]")) or "##" in said else said


# What follows a reply code where a reply begins: the status, if there is one
_AFTER_CODE = r"[ \-](?:\(?#?[245]\.\d{1,3}\.\d{1,3}\)?[ :]{0,2})?"
_PREFIX = re.compile(r"\d{3}" + _AFTER_CODE)


@cache
def _prefix(code: int) -> re.Pattern[str]:
    """Return what finds a reply code, and the status behind it, where a line of a reply begins."""
    return re.compile(rf"{code}(?<![^\s]...)" + _AFTER_CODE)
