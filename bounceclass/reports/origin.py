"""Whether a mail system wrote a message, and words that notices have in common."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bounceclass.words import Words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bounceclass.model import Mail

__all__ = [
    "ADDRESS",
    "addresses",
    "has_notice_subject",
    "is_forwarded",
    "names_daemon",
    "own_addresses",
    "sent_by_daemon",
    "sent_to",
    "subject_tells",
    "tells",
    "written_by_mailer",
]

MAX_VALUES = 100
"""Fields of one name in which addresses are looked for."""
# addr-spec (RFC 5322 3.4.1) as it stands in running text; bounded on both sides
ADDRESS = re.compile(
    r"(?<![\w.+=&*!#$%/?^{}|~-])[\w.+=&*!#$%/?^{}|~'-]{1,128}@(?:[\w-]{1,63}\.){0,10}[\w-]{1,63}", re.UNICODE
)

# local parts and display names that only mail systems send from
_DAEMON = Words(
    "mailer(-|)(_|)daemon", "mail(-|)daemon", "post(_|)master", "mail administrator", "mail(-|)system", "delivery system",
    "delivery subsystem", "system administrator", "microsoft (outlook|exchange)", "internet mail", "mdaemon", "imss@", "interscan",
    "content-filter", "mail deliver", "daemon@", "email-bounces", "delivery-status", "undeliver", "mail( |)server",
    "mta(-|)daemon",
)  # fmt: skip
# What notices have in their subjects
_SUBJECT = Words(
    "undeliver", "returned mail", "mail( delivery|) fail", "delivery (status|fail|problem|report|error|notification|delay|has failed|warning)",
    "failure notice", "failed mail", "delivery (to|of)", "could( |)n(o|')t (be |)(send|deliver)", "non(-| |)deliver", "mail system error",
    "not delivered", "message status", "failed delivery", "failure delivery", "メールエラー通知", "unzustellbar", "non remis",
    "non recapit", "olevererbart", "onbestelbaar", "no se (puede|pudo) entregar", "mail error",
    "mailbox (is |)(full|over|quota|un|not|does|disab|inactive|exceed)", "mancata consegna", "unknown (user|address)",
    patterns={"bounce": r"bounced?\b", "entregue": "n[ãa]o.entregue"},
)  # fmt: skip

# Subjects that begin so are a mail system's, whoever the author says he is
_NOTICE_SUBJECT = re.compile(
    r"\W{0,3}(?:undeliver|non-?delivery|returned mail|mail delivery fail|delivery (?:status|failure|notification|problem|report)|failure notice|failed mail"
    r"|mail system error|message status|メールエラー|配信(?:不能|エラー)|送信エラー|エラーメール|mail could not be|message (?:could not|undeliverable)|メールエラー通知|unzustellbar|non remis|non recapitabile|avviso di mancata consegna|onbestelbaar|olevererbart)",
    re.I,
)
# What messages of people and lists have
_CONVERSATION = ("list-id", "list-post", "x-beenthere", "in-reply-to", "references")


def written_by_mailer(mail: Mail) -> bool:
    """Tell whether a mail system wrote *mail*: a null sender, a daemon's name, X-Failed-Recipients."""
    return_path = mail.get("return-path").lower()
    return (
        "x-failed-recipients" in mail.headers
        or return_path == "<>"
        or "mailer-daemon" in return_path
        or sent_by_daemon(mail)
    )


def sent_by_daemon(mail: Mail) -> bool:
    """Tell whether the author has a mail system's name, or none at all."""
    sender = mail.get("from") or mail.get("sender") or mail.get("resent-from")
    # QUIRK: Barracuda, DragonFly, McAfee, SurfControl write an empty From, WebShield one without an address.
    return "@" not in sender or names_daemon(sender)


def names_daemon(sender: str) -> bool:
    """Tell whether an address or a display name is a mail system's."""
    return _DAEMON.stand_in(sender.lower())


def has_notice_subject(mail: Mail) -> bool:
    """Tell whether *mail* may be a notice by its subject, and is no message of a person or a list that quotes one."""
    return bool(_NOTICE_SUBJECT.match(mail.get("subject"))) and not any(name in mail.headers for name in _CONVERSATION)


def subject_tells(mail: Mail) -> bool:
    """Tell whether the subject is one that notices have."""
    return tells(mail.get("subject"))


def tells(subject: str) -> bool:
    """Tell whether notices have such a *subject*."""
    return _SUBJECT.stand_in(subject.lower())


def is_forwarded(mail: Mail) -> bool:
    """Tell whether a person sends the message on or answers it."""
    subject = mail.get("subject").lower()
    if re.match(r"re:\S", subject) and sent_by_daemon(mail):
        return False  # QUIRK: James answers the message that it could not deliver
    return subject.startswith(("fw:", "fwd:", "re:", "wg:", "tr:", "rv:", "aw:")) and (
        "in-reply-to" in mail.headers or "references" in mail.headers or not written_by_mailer(mail)
    )


def addresses(values: Iterable[str], most: int) -> Iterator[str]:
    """Yield the addresses in the first *most* characters of each of *values*."""
    for value in values:
        for found in ADDRESS.finditer(value[:most]):
            yield found[0]


def sent_to(mail: Mail) -> frozenset[str]:
    """Return the addresses, in lower case, that the returned message was sent to by its fields."""
    names = ("to", "cc", "x-original-to", "envelope-to")
    return frozenset(map(str.lower, addresses(_values(mail.returned or {}, names), 4000)))


def own_addresses(mail: Mail) -> set[str]:
    """Return the addresses that a notice names without meaning them: its own sender and reader."""
    names = ("from", "to", "delivered-to", "x-original-to", "reply-to", "return-path", "sender", "errors-to")
    return set(map(str.lower, addresses(_values(mail.headers, names), 2000)))


def _values(fields: dict[str, list[str]], names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield from fields.get(name, ())[:MAX_VALUES]
