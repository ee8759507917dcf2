"""The field grammar of delivery status notifications (RFC 3464 2.1, RFC 6533).

``groups`` splits the text of a machine-readable part into fields; the other
functions each read one kind of value.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

__all__ = ["address", "clean", "date", "domain", "groups", "host", "typed"]

Fields = dict[str, str]

# Of these at most one stands in a group, and each belongs to a recipient (RFC 3464 2.3).
PER_RECIPIENT = frozenset(
    (
        "original-recipient",
        "final-recipient",
        "action",
        "status",
        "diagnostic-code",
        "remote-mta",
        "last-attempt-date",
        "will-retry-until",
        "final-log-id",
        "x-actual-recipient",
    )
)

# How nearly all reports spell the names of fields, and the names in lower case
_SPELLED = {
    name: name.lower()
    for name in (
        "Original-Envelope-Id", "Reporting-MTA", "DSN-Gateway", "Received-From-MTA", "Arrival-Date", "Original-Recipient", "Final-Recipient",
        "Action", "Status", "Remote-MTA", "Diagnostic-Code", "Last-Attempt-Date", "Will-Retry-Until", "Final-Log-ID", "X-Actual-Recipient",
        "X-Postfix-Queue-ID", "X-Postfix-Sender", "X-Supplementary-Info", "X-Display-Name",
    )
}  # fmt: skip
# field-name of RFC 5322 2.2, as far as reports use it
_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9_.-]{0,60})[ \t]{0,9}:(?!//)[ \t]{0,9}(.*)")
# xtext (RFC 3461 4)
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
# EmbeddedUnicodeChar (RFC 6533 3)
_UNICODE_CHAR = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")
# A local part and a domain that need no cleaning, as nearly all are
_LOCAL = r"[\w.+=&*!#$%/?^{}|~-]+"
_DOMAIN = r"[a-z0-9.-]*[a-z0-9-]"
# The address, alone, before a comment or between angle brackets
_PLAIN_ADDRESS = re.compile(rf"({_LOCAL}@{_DOMAIN})(?: \([^()<>]{{0,500}}\))?|[^<>]*<({_LOCAL}@{_DOMAIN})>")
# The values of address and host fields; one with a plus sign may be xtext
_TYPED_ADDRESS = re.compile(rf"[Rr][Ff][Cc]822; ?((?!.*\+){_LOCAL}@{_DOMAIN})")
_TYPED_HOST = re.compile(rf"[Dd][Nn][Ss]; ?({_DOMAIN})")
_COMMENT = re.compile(r"\([^()]{0,500}\)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# The name of a host, before its IP address in brackets or a comment
_BEFORE_ADDRESS = re.compile(r"[^ (\[]*")
# date-time (RFC 5322 3.3), with the two-digit years and bare zones of older mailers
_DATE = re.compile(
    r"([0-9]{1,2})[ -]([A-Za-z]{3})[a-z]{0,6}[ -]([0-9]{2,4}),?[ ]{1,4}([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?(?:\.[0-9]{1,6})?"
    r"[ ]{0,4}(?:\(?([+-](?:[01][0-9]|2[0-3])[0-5][0-9]|[A-Za-z]{1,5})\b)?"
)
# The same as nearly everybody writes it, every number in its range
_USUAL_DATE = re.compile(
    r"(?:[A-Za-z]{3},  ?)?(0?[1-9]|[12][0-9]|3[01]) ([A-Za-z]{3}) ([1-9][0-9]{3}) ([01][0-9]|2[0-3]):([0-5][0-9]:(?:[0-5][0-9]|60)) ([+-](?:[01][0-9]|2[0-3]))([0-5][0-9])(?!\w)"
)
_MONTHS = {
    "jan": "01", "feb": "02", "mar": "03", "apr": "04", "may": "05", "jun": "06",
    "jul": "07", "aug": "08", "sep": "09", "oct": "10", "nov": "11", "dec": "12",
}  # fmt: skip
# obs-zone (RFC 5322 4.3)
_ZONES = {
    "UT": "Z", "UTC": "Z", "GMT": "Z", "Z": "Z", "EST": "-05:00", "EDT": "-04:00", "CST": "-06:00",
    "CDT": "-05:00", "MST": "-07:00", "MDT": "-06:00", "PST": "-08:00", "PDT": "-07:00",
}  # fmt: skip


def groups(text: str) -> tuple[Fields, list[Fields]]:
    """Return the per-message fields and the per-recipient groups of a status part.

    Names are in lower case, values unfolded; of a repeated field the first value
    counts.  Groups are told apart by their fields and not by blank lines alone:
    a new recipient begins where a per-recipient field comes that the current
    group has already.
    """
    message: Fields = {}
    recipients: list[Fields] = []
    folded: list[tuple[Fields, str, list[str]]] = []
    group = message
    blank = True
    value: list[str] | None = None
    for line in text.split("\n"):
        name, colon, rest = line.partition(":")
        if name in _SPELLED and colon and rest[:2] != "//":
            name = _SPELLED[name]
        else:
            if not line or line.isspace():
                blank, value = True, None
                continue
            # QUIRK: IceWarp indents the first field of a group, which no field can then be a part of.
            found = None if line[0] in " \t" and value is not None else _FIELD.match(line.strip() if blank else line)
            if not found:
                if value is not None:  # QUIRK: some folded lines have lost their indent (KumoMTA, James)
                    value.append(line.strip())
                continue
            name, rest = found[1].lower(), found[2]
        if name in PER_RECIPIENT:
            if group is message or ((blank or name in group) and _begins_group(name, group, after_blank=blank)):
                group = {}
                recipients.append(group)
        elif blank and name in ("reporting-mta", "arrival-date"):
            group = message
        blank = False
        value = []
        if name not in group:
            group[name] = rest.strip()
            folded.append((group, name, value))
    for group, name, value in folded:
        if value:
            group[name] = " ".join(filter(None, (group[name], *value)))
    return message, recipients


def _begins_group(name: str, group: Container[str], *, after_blank: bool) -> bool:
    """Tell whether a per-recipient field is the first of another recipient.

    QUIRK: IceWarp and MimeKit#253 put blank lines inside a group, so one alone decides nothing.
    """
    names_recipient = name in ("original-recipient", "final-recipient")
    if name in group:
        return after_blank or names_recipient
    return after_blank and names_recipient and ("final-recipient" in group or "action" in group)


def typed(value: str) -> tuple[str, str]:
    """Return the type in lower case and the rest of a ``type; value`` field."""
    kind, semicolon, rest = value.partition(";")
    kind = kind.strip()
    if not semicolon or not kind or len(kind) > 40 or " " in kind or "@" in kind:
        return "", value.strip()
    return kind.lower(), rest.strip()


def address(value: str) -> str | None:
    """Return the address of an Original- or Final-Recipient field, or None.

    xtext (RFC 3461 4) and utf-8-addr-xtext (RFC 6533 3) are decoded, angle brackets
    and comments taken off, the domain put in lower case.
    """
    if not value:
        return None
    if found := _TYPED_ADDRESS.fullmatch(value):
        return found[1][:320]
    kind, rest = typed(value)
    if "+" in rest and kind != "utf-8":
        rest = _from_xtext(rest)
    if kind == "utf-8" and "\\x{" in rest:
        rest = _UNICODE_CHAR.sub(lambda found: _char(int(found[1], 16)), rest)
    return clean(rest)


def _from_xtext(text: str) -> str:
    """Decode xtext where *text* can only be that.

    ``+`` is also an ordinary character of local parts, and most reporters decode before
    they write.  Of printable characters only ``+`` and ``=`` are ever encoded, by some also
    ``@``; any other code is a tag: ``fred+2024@example.com``.
    """
    encoded = "+=" if "@" in text else "+=@"
    if all(chr(int(code, 16)) in encoded for code in _XTEXT.findall(text)):
        return _XTEXT.sub(lambda found: chr(int(found[1], 16)), text)
    return text


def clean(text: str) -> str | None:
    """Return an address without brackets, quotes, comments and control characters, or None."""
    if found := _PLAIN_ADDRESS.fullmatch(text):
        return found[found.lastindex or 0][:320]
    if not text.isprintable():
        text = _CONTROL.sub("", text)
    text = text.strip()
    if not text:
        return None
    if "<" in text and ">" in text:
        inner = text[text.rfind("<") + 1 :].partition(">")[0]
        if inner.strip() or text.startswith("<>"):
            text = inner
    elif "(" in text and not text.startswith('"'):
        text = _COMMENT.sub("", text)
    text = text.strip(" \t,;:<>'").removeprefix("mailto:").removeprefix("SMTP:").removeprefix("smtp:")
    if text.startswith('"') and text.endswith('"') and text.count('"') == 2:
        text = text[1:-1]
    local, at, host_part = text.rpartition("@")
    if at:
        text = f"{local}@{host_part.strip().rstrip('.').lower()}"
    return text[:320] or None


def domain(text: str | None) -> str:
    """Return the domain of an address in lower case, or an empty string."""
    return text.rpartition("@")[2].lower() if text and "@" in text else ""


def host(value: str) -> str | None:
    """Return the name of a Reporting-MTA or Remote-MTA field, or None.

    Postfix and others add the IP address in brackets or a comment; it is left out
    unless there is nothing else.
    """
    if not value:
        return None
    if found := _TYPED_HOST.fullmatch(value):
        return found[1][:255]
    _, rest = typed(value)
    rest = rest if rest.isprintable() else _CONTROL.sub("", rest)
    found = _BEFORE_ADDRESS.match(rest.lstrip("[ "))
    name = found[0].strip(")]<>;,'\"").rstrip(".") if found else ""
    return name[:255].lower() or None


def date(value: str) -> str | None:
    """Return a date-time of RFC 5322 3.3 in the form of RFC 3339, or None.

    An unknown zone becomes ``-00:00`` (RFC 3339 4.3).
    """
    if not value:
        return None
    usual = _USUAL_DATE.match(value)
    if usual:
        day, name, year, hour, rest, hours, minutes = usual.groups()
        month = _MONTHS.get(name.lower())
        written = f"{year}-{month}-{day:0>2}T{hour}:{rest}{hours}:{minutes}"
        return written if month and (day < "29" or _in_calendar(written)) else None
    found = _DATE.search(value, 0, 200)
    if not found:
        return None
    day, name, year, hour, minute, second, zone = found.groups()
    month = _MONTHS.get(name.lower())
    day, hour, second = day.zfill(2), hour.zfill(2), second or "00"
    if month is None or not (hour < "24" and minute < "60" and second < "61"):
        return None
    if len(year) < 4:
        # obs-year (RFC 5322 4.3), with the usual pivot
        year = str(int(year) + (2000 if len(year) == 2 and int(year) < 70 else 1900))
    if not zone:
        offset = "-00:00"
    elif zone[0] in "+-":
        offset = f"{zone[:3]}:{zone[3:]}"
    else:
        offset = _ZONES.get(zone.upper(), "-00:00")
    written = f"{year}-{month}-{day}T{hour}:{minute}:{second}{offset}"
    return written if _in_calendar(written) else None


def _in_calendar(written: str) -> bool:
    """Tell whether there is such a day and such an offset; a leap second, which datetime does not know, is one."""
    try:
        datetime.fromisoformat(written.replace(":60", ":59"))
    except ValueError:
        return False
    return True


def _char(code: int) -> str:
    return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
