"""Complaints: feedback reports (RFC 5965, RFC 6591) and the forms that came before them."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from bounceclass import fields, mime
from bounceclass.model import Confidence, FeedbackReport, Kind, Mail, Notice
from bounceclass.reports import origin
from bounceclass.words import Words

if TYPE_CHECKING:
    from bounceclass.reports.page import Page

__all__ = ["read"]

_UNSUBSCRIBE = re.compile(r"\s*unsubscribe(?:[ :]{1,2}\S{0,200})?\s*")
_COMPLAINT_SUBJECT = Words(
    "e(-|)mail feedback report", "email abuse report", "client tos notification",
    patterns={"complaint": r"complaint about message from \S"},
)  # fmt: skip
# Who sent complaints before there was a format: Microsoft JMRP, AOL, and DMARC reports without a report part
_COMPLAINT_SENDER = Words(
    "staff@hotmail.com", "scomp@aol.net", "feedback@", "feedbackloop@", "abuse@", "complaints@", "jmrp"
)
_DMARC_SUBJECT = Words("dmarc (failure|forensic) report")
# How a report begins (RFC 5965 3.1)
_BEGINNINGS = ("feedback-type:", "user-agent:", "version:")
# What only lists write, whose own address the To is then (RFC 2369 3.4)
_LIST_FIELDS = ("list-post", "x-beenthere", "mailing-list")
# What a subject has at least of one of these
_SUBJECT = Words("unsubscribe", "report", "complaint", "notification")


def read(page: Page) -> Notice | None:
    """Return the feedback report in *mail*; see the contract in ``reports``."""
    mail = page.mail
    part = next((text for kind, text in mail.machine if kind in mime.FEEDBACK_PARTS), None)
    if part is not None:
        return Notice(kind=Kind.FEEDBACK, dialect="arf", feedback=_report(part, mail))
    if mail.report_type == "delivery-status":
        return None
    if mail.report_type == "feedback-report":
        return Notice(kind=Kind.FEEDBACK, dialect="arf", feedback=_report(page.words, mail))
    head = page.glance[:4096].lstrip()
    # without a part of its own: the text is nothing else, for people quote such reports
    if head.startswith(_BEGINNINGS) and "feedback-type:" in head and "user-agent:" in head and not page.is_forwarded:
        return Notice(kind=Kind.FEEDBACK, dialect="arf", feedback=_report(page.words[:65536], mail))
    return _before_arf(page)


def _before_arf(page: Page) -> Notice | None:
    mail = page.mail
    subject = page.subject
    if not _SUBJECT.stand_in(subject):
        return None
    dmarc = _DMARC_SUBJECT.stand_in(subject)
    if (dmarc or _COMPLAINT_SUBJECT.stand_in(subject)) and _COMPLAINT_SENDER.stand_in(mail.get("from").lower()):
        source = re.search(r"from \[?([0-9a-f.:]{7,45})\]?", subject)
        rcpt = _hotmail_recipient(mail)
        return Notice(
            kind=Kind.FEEDBACK,
            feedback=FeedbackReport(
                type="auth-failure" if dmarc else "abuse",
                source_ip=source[1] if source else None,
                original_rcpt_to=rcpt,
            ),
            confidence=Confidence.PROBABLE,
        )
    if dmarc and mail.content_type == "multipart/report":
        return Notice(kind=Kind.FEEDBACK, feedback=FeedbackReport(type="auth-failure"), confidence=Confidence.PROBABLE)
    # a list-unsubscribe by mail (RFC 2369 3.2): an empty message whose subject is the command
    if _UNSUBSCRIBE.fullmatch(subject) and len(page.words.strip()) < 2000 and not page.written_by_mailer:
        return Notice(kind=Kind.FEEDBACK, feedback=FeedbackReport(type="opt-out"), confidence=Confidence.PROBABLE)
    return None


def _hotmail_recipient(mail: Mail) -> tuple[str, ...]:
    """QUIRK: Microsoft's JMRP names the complainer in X-HmXmrOriginalRecipient of the returned message."""
    values = (mail.returned or {}).get("x-hmxmroriginalrecipient", ())
    return tuple(one for one in map(fields.clean, values) if one)


def _report(text: str, mail: Mail) -> FeedbackReport:
    repeated = mime.parse_header(text)
    get = Mail(headers=repeated).get

    def many(name: str) -> tuple[str, ...]:
        return tuple(one for one in map(fields.clean, repeated.get(name, ())) if one)

    incidents = get("incidents")
    return FeedbackReport(
        type=get("feedback-type").strip().lower() or None,
        user_agent=get("user-agent") or None,
        version=get("version") or None,
        source_ip=get("source-ip") or None,
        original_mail_from=fields.clean(get("original-mail-from")),
        original_rcpt_to=many("original-rcpt-to") or _redacted(mail),
        arrival_date=fields.date(get("arrival-date") or get("received-date")),
        reporting_mta=fields.host(get("reporting-mta")),
        reported_domain=many("reported-domain"),
        reported_uri=tuple(repeated.get("reported-uri", ())),
        incidents=int(incidents) if incidents.isdecimal() and len(incidents) < 10 else None,
        auth_failure=get("auth-failure").strip().lower() or None,
        delivery_result=get("delivery-result").strip().lower() or None,
    )


def _redacted(mail: Mail) -> tuple[str, ...]:
    """Return the To of the returned message, for Original-Rcpt-To is optional (RFC 5965 3.2); never its list or sender."""
    returned = mail.returned or {}
    if any(name in returned for name in _LIST_FIELDS):
        return ()
    own = _own(returned)
    return tuple(one for one in _addresses(returned, "to") if one.lower() not in own and not _is_list(one, returned))


def _is_list(address: str, returned: dict[str, list[str]]) -> bool:
    """Tell whether List-Id (RFC 2919 3) or the envelope sender is made of *address*: ``news-bounces`` of ``news``."""
    local, _, domain = address.lower().rpartition("@")
    if any(f"<{local}.{domain}>" in value.lower() for value in returned.get("list-id", ())):
        return True
    senders = (one.lower().rpartition("@") for one in _addresses(returned, "return-path"))
    return any(
        host == domain and (name.startswith(f"{local}-") or name == f"owner-{local}") for name, _, host in senders
    )


def _own(returned: dict[str, list[str]]) -> set[str]:
    return {one.lower() for name in ("from", "sender", "reply-to") for one in _addresses(returned, name)}


def _addresses(returned: dict[str, list[str]], name: str) -> list[str]:
    return list(itertools.islice(origin.addresses(returned.get(name, ())[:1], 2000), 10))
