"""The field grammar of delivery status notifications (RFC 3464 2.1, RFC 6533).

``groups`` splits the text of a machine-readable part into fields; the other
functions each read one kind of value.
"""

from __future__ import annotations

import re

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

# field-name of RFC 5322 2.2, as far as reports use it
_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9_.-]{0,60})[ \t]{0,9}:(?!//)[ \t]{0,9}(.*)")
# xtext (RFC 3461 4)
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
# EmbeddedUnicodeChar (RFC 6533 3)
_UNICODE_CHAR = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")
_COMMENT = re.compile(r"\([^()]{0,500}\)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# date-time (RFC 5322 3.3), with the two-digit years and bare zones of older mailers
_DATE = re.compile(
    r"(\d{1,2})[ -]([A-Za-z]{3})[a-z]{0,6}[ -](\d{2,4}),?[ ]{1,4}(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\.\d{1,6})?"
    r"[ ]{0,4}(?:\(?([+-]\d{4}|[A-Za-z]{1,5})\b)?"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
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
    group = message
    blank = True
    value: list[str] | None = None
    pending: list[tuple[str, list[str]]] = []

    for line in text.split("\n"):
        if not line.strip():
            blank, value = True, None
            continue
        if line[0] in " \t" and value is not None:
            value.append(line.strip())
            continue
        # QUIRK: IceWarp indents the first field of a group, which no field can then be a part of.
        found = _FIELD.match(line.strip() if blank else line)
        if not found:
            if value is not None and not blank:
                value.append(line.strip())  # QUIRK: folded lines that lost their indent (KumoMTA, James)
            continue
        value = [found[2].strip()]
        pending.append((("\n" if blank else "") + found[1].lower(), value))
        blank = False

    for marked, parts in pending:
        name = marked.lstrip("\n")
        if name in PER_RECIPIENT:
            if group is message or _begins_group(name, group, after_blank=marked != name):
                group = {}
                recipients.append(group)
        elif marked != name and name in ("reporting-mta", "arrival-date"):
            group = message
        group.setdefault(name, " ".join(part for part in parts if part))
    return message, recipients


def _begins_group(name: str, group: Fields, *, after_blank: bool) -> bool:
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
    text = _CONTROL.sub("", text).strip()
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
    _, rest = typed(value)
    rest = _CONTROL.sub("", rest).strip()
    name = re.split(r"[ (\[]", rest.lstrip("[ "), maxsplit=1)[0].strip(" ()[]<>;,'\"").rstrip(".")
    return name[:255].lower() or None


def date(value: str) -> str | None:
    """Return a date-time of RFC 5322 3.3 in the form of RFC 3339, or None.

    An unknown zone becomes ``-00:00`` (RFC 3339 4.3).
    """
    found = _DATE.search(value[:200])
    if not found or found[2].lower() not in _MONTHS:
        return None
    day, month, year = int(found[1]), _MONTHS.index(found[2].lower()) + 1, int(found[3])
    if len(found[3]) < 4:
        year += 2000 if year < 70 else 1900  # obs-year (RFC 5322 4.3), with the usual pivot
    hour, minute, second = int(found[4]), int(found[5]), int(found[6] or 0)
    if not (1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        return None
    zone = found[7] or ""
    offset = f"{zone[:3]}:{zone[3:]}" if zone[:1] in "+-" and zone else _ZONES.get(zone.upper(), "-00:00")
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{offset}"


def _char(code: int) -> str:
    return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
