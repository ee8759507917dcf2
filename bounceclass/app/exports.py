"""Suppressed addresses in the forms that other software reads.

An address that a form cannot express is left out and named: a map with a line that
means something else would refuse the wrong mail.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import Struct

from bounceclass.recipients import is_plain_address
from bounceclass.wire import as_json, cell, csv_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["COMPLAINT", "Format", "Line", "List", "rendered"]


COMPLAINT = "complaint"
"""The reason of those who complained."""


class Format(StrEnum):
    """The forms of an export."""

    LIST = "list"
    """One address a line."""
    CSV = "csv"
    JSONL = "jsonl"
    POSTFIX = "postfix"
    """A map for ``check_recipient_access`` (access(5)); ``texthash:`` reads it as it is."""
    EXIM = "exim"
    """A file for ``lsearch``."""
    SENDMAIL = "sendmail"
    """Lines of an access map, by ``To:``."""
    RSPAMD = "rspamd"
    """A map for the multimap module, of recipients."""
    SES = "ses"
    """For a bulk import into the account's suppression list."""


class List(StrEnum):
    """What may be exported."""

    SUPPRESSED = "suppressed"
    COMPLAINTS = "complaints"
    UNMAILABLE = "unmailable"
    """Both, each address once: for whatever reads one list only, such as a mail server."""


class Line(Struct, frozen=True, kw_only=True):
    """An address on a list, and why it stands there."""

    address: str
    key: str = ""
    """The address as mail servers are asked for it, where it is another: in small letters, its domain in ASCII."""
    reason: str
    """A reason of bounceclass, ``manual`` or ``complaint``."""
    since: datetime | None = None
    until: datetime | None = None
    """When it is mailed again; None is never."""


class _Form(NamedTuple):
    line: Callable[[Line], str]
    refused: str = ""
    """Characters that an address cannot have in this form, besides white space and control characters."""
    head: str = ""
    is_map: bool = False
    """A mail server looks addresses up in it: in small letters, and under both forms of their domains (RFC 6531 3.2)."""


_COLUMNS = ("address", "reason", "since", "until")


def _csv_line(*cells: object) -> str:
    return csv_lines([map(cell, cells)])


def _moment(moment: datetime | None) -> str:
    """Return *moment* as it stands in JSON too (RFC 3339)."""
    return moment.isoformat().replace("+00:00", "Z") if moment else ""


# With X.7.1, delivery not authorized (RFC 3463 section 3.8): what is refused here says nothing new of the address,
# and must not be read as a bounce of it where it comes back as one
def _refusal(one: Line) -> str:
    since = f" since {one.since:%Y-%m-%d}" if one.since else ""
    return f"suppressed: {one.reason}{since}"


def _ses_reason(one: Line) -> str:
    return "COMPLAINT" if one.reason == COMPLAINT else "BOUNCE"


_FORMS = {
    Format.LIST: _Form(lambda one: f"{one.address}\n", refused="#"),
    Format.CSV: _Form(
        lambda one: _csv_line(one.address, one.reason, _moment(one.since), _moment(one.until)),
        head=_csv_line(*_COLUMNS),
    ),
    Format.JSONL: _Form(lambda one: as_json({name: getattr(one, name) for name in _COLUMNS}).decode() + "\n"),
    Format.POSTFIX: _Form(lambda one: f"{one.address} REJECT 5.7.1 {_refusal(one)}\n", refused='#"\\', is_map=True),
    Format.EXIM: _Form(lambda one: f"{one.address}: {_refusal(one)}\n", refused='#":\\', is_map=True),
    Format.SENDMAIL: _Form(
        lambda one: f'To:{one.address}\tERROR:5.7.1:"550 {_refusal(one)}"\n', refused='#"\\', is_map=True
    ),
    Format.RSPAMD: _Form(lambda one: f"{one.address}\n", refused='#"\\/', is_map=True),
    Format.SES: _Form(lambda one: f"{one.address},{_ses_reason(one)}\n", refused=',"'),
}


def rendered(form: Format, listed: Iterable[Line], left_out: Callable[[str], None]) -> bytes:
    """Return *listed* in the form asked for, in the order given; *left_out* is told the addresses that it cannot have.

    CSV and JSON lines can have any.
    """
    how = _FORMS[form]
    anything = form in (Format.CSV, Format.JSONL)
    lines = [how.head] if how.head else []
    for one in listed:
        if anything or _fits(one.address, how.refused):
            lines += map(how.line, _looked_up(one) if how.is_map else [one])
        else:
            left_out(one.address)
    return "".join(lines).encode("utf-8", "surrogateescape")


def _looked_up(one: Line) -> list[Line]:
    """Return *one* under each form that a mail server may be asked for."""
    forms = {one.key or one.address.lower(): None, one.address.lower(): None}
    return [msgspec.structs.replace(one, address=form) for form in forms]


def _fits(address: str, refused: str) -> bool:
    return is_plain_address(address) and not any(mark in address for mark in refused)
