"""SMTP replies (RFC 5321 4.2) in the words that reports quote them with.

``dissect`` is the one way in: a diagnostic in, the reply's code, status, text, host
and command out.
"""

from __future__ import annotations

import itertools
import re

from msgspec import Struct

from bounceclass import status as statuses

__all__ = ["MAX_DIAGNOSTIC", "Reply", "command_refused", "dissect"]

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
    host: str | None = None
    command: str | None = None
    """The command refused: CONN, EHLO, STARTTLS, AUTH, MAIL, RCPT or DATA."""
    transcript: bool = False
    """The reply is the remote's own line in a session transcript."""


# Reply-code followed by an enhanced status code (RFC 2034 4); some write "550 #5.1.1" or "550-5.1.1".
_CODE_AND_STATUS = re.compile(r"(?<![\w.])([45]\d\d)[ \-:,]{1,3}[('\"]?#?([245]\.\d{1,3}\.\d{1,3})(?![\w]|\.\d)")
# Reply-code where a reply begins: after the words that introduce one, or at the start of a line.
_CODE_AFTER_MARK = re.compile(
    r"(?:^[ \t]{0,20}|\b(?:said|says|replied|reply|response|responded|returned|answered|error|reason|code|codes|received|result|status|server|smtp|was|with)\b"
    r"[ \t:;=>'\"(#]{0,6}|<<<[ \t]*|>>>[ \t]+|[:;#('\"\]>][ \t]{0,4}|ERROR_CODE :)[\"'(\[]?([45]\d\d)(?=[ \-:;,.)'\"\]\n]|$)(?!\.\d)(?![ ]*(?:bytes|kb|mb|seconds|secs|minutes|hours|days)\b)",
    re.M | re.I,
)
# Reply-code anywhere, where what follows can only be a reply's text
_CODE_BARE = re.compile(r"(?<![\w.,:/-])([45]\d\d)(?=-[A-Z<'\"]| [A-Z<'\"][^\n]{4})(?! (?:KB|MB|GB)\b)")
# QUIRK: Sendmail 5 quotes the resolver's answer behind its own: "554 <a@b>... 550 Host unknown"
_CODE_INNER = re.compile(r"^[ \t]{0,20}[45]\d\d [^\n]{1,330}?\.\.\. ([45]\d\d)(?= )", re.M)
# The remote's lines in a session transcript: Sendmail, Courier, ezweb; InterScan turns the arrows round.
_TRANSCRIPT = re.compile(r"^[ \t]*(?:<<<|Received >>>|Remote server replied:)[ \t]*([245]\d\d)([ -])(.*)$", re.M)
# Where a report says which command was refused; commands are in capitals, or ordinary words would be taken for them
_COMMAND = re.compile(
    r"""(?:in\ reply\ to(?:\ the)?|\bafter|\bfor|did\ not\ like\ our|rejected\ command|\bsent(?::|\ <<<)|>>>|-->|\bSMTP:|\bcommand:?|\bduring|\bat|\bto)
        [ ]{1,3}['"]?(?:(?:final|pipelined|sending|the|a|my)[ ]{1,3}){0,2}
        ((?-i:RCPT|MAIL|DATA|BDAT|EHLO|HELO|STARTTLS|AUTH|TEXT)\b|end[ ]of[ ]data|end[ ]of[ ]message|initial[ ]connection|data[ ]block|
           message[ ]body|connection[ ]establishment)
      | \[(RCPT_TO|MAIL_FROM|DATA|BODY|CONNECT|EHLO|HELO|END_OF_DATA)\]
      | \b(?-i:(RCPT|DATA|MAIL|TEXT|EHLO|HELO)(?:[ ](?:TO|FROM))?)[ ](?:command|response|generated[ ]following[ ]response)
      | (does[ ]not[ ]like[ ]recipient|sender[ ]was[ ]rejected|greeting[ ]failed|name[ ]was[ ]rejected|failed[ ]after[ ]I[ ]sent[ ]the[ ]message|refused[ ]to[ ]talk[ ]to[ ]me)
      | \bSMTP:(RCPT|MAIL|DATA|CONNECT|HELO)\b
      | ^[ \t]{0,8}(?-i:(RCPT|MAIL|DATA|EHLO|HELO))(?:[ ](?:TO|FROM):[^\n]{0,330})?$""",
    re.I | re.X | re.M,
)
_STAGES = {
    "rcpt": "RCPT", "rcpt_to": "RCPT", "does not like recipient": "RCPT",
    "mail": "MAIL", "mail_from": "MAIL", "sender was rejected": "MAIL",
    "data": "DATA", "bdat": "DATA", "text": "DATA", "body": "DATA", "end of data": "DATA", "end_of_data": "DATA", "end of message": "DATA",
    "data block": "DATA", "message body": "DATA", "failed after i sent the message": "DATA",
    "ehlo": "EHLO", "helo": "EHLO", "name was rejected": "EHLO", "starttls": "STARTTLS", "auth": "AUTH",
    "initial connection": "CONN", "connect": "CONN", "connection establishment": "CONN", "greeting failed": "CONN",
    "refused to talk to me": "CONN",
}  # fmt: skip
# Where a report names the host that answered, in lower-case text: the words that all begin with letters are
# found fast, those after a name only where a hint of them stands
_HOST = re.compile(
    r"""\bhost[: ]{1,3}'?([\w-][\w.-]{1,250})[ ]{0,2}(?:\[[^\]\n]{1,60}\]|\([^)\n]{1,60}\)|')
      | while[ ]talking[ ]to[ ]\[?([\w-][\w.-]{1,250})
      | connected[ ]to[ ]([\w-][\w.-]{1,250})[ ]but
      | \bhost:[ ]{1,3}([\w-][\w.-]{1,250})
      | remote[ ]system:[ ]dns;([\w-][\w.-]{1,250})
      | remote[ ]host[ ]([\w-][\w.-]{1,250})[ ]said
      | \bby[ ]([\w-]+(?:\.[\w-]+)+)\.?[ ]\[[^\]\n]{1,60}\]
      | connect[ ]to[ ]([\w-][\w.-]{1,250})\[[^\]\n]{1,60}\]""",
    re.X | re.M,
)
_HOST_BEFORE = re.compile(
    r"""([\w-][\w.-]{1,250})[ ]{0,2}\[[^\]\n]{1,60}\][ ](?:said|refused|did[ ]not[ ]like)
      | ([\w-][\w.-]{1,250})[ ]does[ ]not[ ]like[ ]recipient
      | ^([\w-]+(?:\.[\w-]+)+)[ ](?:gave[ ]this[ ]error|rejected[ ]your[ ]message|\#<?)""",
    re.X | re.M,
)
_HOST_BEFORE_HINTS = ("] said", "] refused", "] did not like", "does not like recipient", "gave this error", "rejected your message", " #")  # fmt: skip
# One of these stands in all that _COMMAND finds; most diagnostics have none, and need no search
_COMMAND_HINTS = (
    "RCPT", "MAIL", "DATA", "BDAT", "HELO", "EHLO", "STARTTLS", "AUTH", "TEXT", "BODY", "CONNECT", "connection", "end of",
    "data block", "message body", "like recipient", "was rejected", "greeting failed", "talk to me", "I sent the message",
)  # fmt: skip
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
    host = _host(text)
    transcript = _transcript(text, host)
    if transcript is not None:
        return transcript
    command = command_refused(text)
    code, status, start = _codes(text)
    words = text[start:]
    return Reply(code=code, status=status, text=_joined(words, code), before=text[:start], host=host, command=command)


def command_refused(text: str) -> str | None:
    """Return the command that *text* says was refused: CONN, EHLO, STARTTLS, AUTH, MAIL, RCPT or DATA."""
    text = text[:MAX_DIAGNOSTIC]
    found = _COMMAND.search(text) if any(hint in text for hint in _COMMAND_HINTS) else None
    return _STAGES[next(filter(None, found.groups())).lower()] if found else None


def _host(text: str) -> str | None:
    lower = text.lower()
    found = _HOST.search(lower)
    if any(hint in lower for hint in _HOST_BEFORE_HINTS):
        before = _HOST_BEFORE.search(lower)
        if before and (found is None or before.start() < found.start()):
            found = before
    if found is None:
        return None
    name = found[found.lastindex or 0].rstrip(".")
    return name if "." in name or name == "localhost" else None


def _codes(text: str) -> tuple[int | None, str | None, int]:
    """Return the reply code, the status and where the reply begins."""
    found = list(itertools.islice(_CODE_AND_STATUS.finditer(text), MAX_REPLIES))
    if found:
        # on expiry the last failure may be quoted behind the MTA's own words
        both = next((one for one in found if not statuses.is_expiry(_plain(one[2]))), found[0])
        return int(both[1]), _plain(both[2]), both.start()
    alone = _CODE_INNER.search(text) or _CODE_AFTER_MARK.search(text) or _CODE_BARE.search(text)
    if alone:
        return int(alone[1]), statuses.find(text), alone.start(1)
    return None, statuses.find(text), 0


def _plain(status: str) -> str:
    return ".".join(str(int(number)) for number in status.split("."))


def _transcript(text: str, host: str | None) -> Reply | None:
    """Return the remote's refusal in a transcript, and the command before it.

    A ``503`` after another refusal is the remote's complaint that a command came out of
    order, and never the reason.
    """
    refusals = [found for found in _TRANSCRIPT.finditer(text) if found[1][0] in "45"]
    if not refusals:
        return None
    first = next((found for found in refusals if found[1] != "503"), refusals[0])
    words = " ".join(f"{found[1]} {found[3].strip()}" for found in refusals if found[1] == first[1])
    commands = _COMMAND.findall(text[: first.start()])
    return Reply(
        code=int(first[1]),
        status=statuses.find(words),
        text=_joined(words, int(first[1])),
        host=host,
        command=_STAGES[next(filter(None, commands[-1])).lower()] if commands else None,
        transcript=True,
    )


def _joined(words: str, code: int | None) -> str:
    """Return the words of a reply on one line, without codes and the reporter's frames."""
    words = " ".join(words.split())
    if code:
        prefix = re.compile(rf"(?:(?<=\s)|^){code}[ \-](?:\(?#?[245]\.\d{{1,3}}\.\d{{1,3}}\)?[ :]{{0,2}})?")
        words = prefix.sub("", words)
    return _TAIL.sub("", words).strip()
