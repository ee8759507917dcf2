"""What each row of a table of provider codes states, against what the rules say of its words.

The table, made of public sources, is no part of the project: the comparison runs where
it lies beside it.  A row is a text or a pattern, the codes it was seen with, and a
category.  Where the rules knowingly say something else, the row stands in ``JUDGED``.
"""

from __future__ import annotations

import csv
import itertools
import re
from pathlib import Path
from re import _compiler, _parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any

import pytest

import bounceclass
from bounceclass.model import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TABLE = Path(__file__).parent.parent.parent / "shared" / "facts" / "provider_codes.csv"
SHARE = 0.97
"""Rows that must read as they state, of all."""

REASONS: Mapping[str, str] = {
    "recipient-unknown": "user_unknown bad_address_syntax",
    "mailbox-full": "mailbox_full",
    "mailbox-disabled": "mailbox_disabled",
    "suspended": "mailbox_disabled sender_rejected blocked_reputation",  # the recipient's account, or the sender's own
    "moved": "address_moved",
    "domain-unknown": "domain_unknown domain_no_mail dns_failure",
    "policy": "policy_rejected recipient_rejected content_rejected sender_rejected blocked_reputation"
    " recipient_restricted",
    "spam-reputation": "blocked_reputation spam_content",
    "auth": "auth_failure",
    "rate-limit": "rate_limited too_many_recipients",
    "network-dns": "network_error dns_failure domain_unknown",
    "rdns": "ptr_missing",
    "too-large": "message_too_large",
    "content-virus": "virus_detected attachment_prohibited content_rejected spam_content non_compliant",
    "relay-denied": "relay_denied",
    "tls-required": "tls_failure",
    "expired": "expired",
    "system": "system_error system_full mailer_error",
    "greylist": "greylisted",
    "protocol": "protocol_error non_compliant eai_unsupported",
    "sender-rejected": "sender_rejected",
    "recipient-restricted": "recipient_restricted",
    "submission-auth": "sender_rejected relay_denied policy_rejected",
    "loop": "routing_loop",
    "suppressed": "suppressed",
}
"""Reasons that say what a category of the table says (SEMANTICS)."""

PROVIDERS: Mapping[str, str | None] = {
    "AOL (before 2018 merge)": "yahoo",
    "AT&T / sbcglobal": "att",
    "Amazon SES": "amazon-ses",
    "Apple iCloud": "apple",
    "Aruba.it": "aruba",
    "Barracuda": "barracuda",
    "Biglobe": "biglobe",
    "CBL (Abuseat)": "blocklists",
    "Cloudflare Email Routing": "cloudflare",
    "Cloudmark": "cloudmark",
    "Comcast": "comcast",
    "Cox": "cox",
    "Earthlink-style": "earthlink",
    "Facebook": "facebook",
    "FireEye/Trellix ETP": "fireeye",
    "Free.fr": "free",
    "GoDaddy / secureserver": "godaddy",
    "Google": "google",
    "Google Groups": "google",
    "HostKarma/JunkEmailFilter": "blocklists",
    "Hostpoint": "hostpoint",
    "IBM Cobion": "blocklists",
    "ImprovMX": "improvmx",
    "Infomaniak": "infomaniak",
    "Invaluement": "blocklists",
    "KDDI": "kddi",
    "KDDI au (ezweb)": "kddi",
    "Libero/Virgilio/IOL": "libero",
    "Mail.ru": "mailru",
    "Mailgun API": "mailgun",
    "Microsoft Exchange Online": "microsoft",
    "Microsoft Outlook.com": "microsoft",
    "Mimecast": "mimecast",
    "NTT docomo": "docomo",
    "NetEase 163/126/yeah": "netease",
    "NiX Spam (manitu)": "blocklists",
    "Orange": "orange",
    "Orange (OFR) / La Poste (LPN)": "orange",
    "Proofpoint": "proofpoint",
    "ProtonMail": "protonmail",
    "Rackspace": "rackspace",
    "Rambler": "rambler",
    "SORBS": "blocklists",
    "SpamCop": "blocklists",
    "SpamRL": "blocklists",
    "Spamhaus": "blocklists",
    "Spectrum/Charter": "spectrum",
    "Symantec/Broadcom Email Security.cloud (MessageLabs)": "messagelabs",
    "T-Online": "t-online",
    "Tencent QQ / exmail": "tencent",
    "Tin.it (old)": "tin-it",
    "Trend Micro": "trend-micro",
    "URIBL": "blocklists",
    "United Internet (GMX, web.de, 1&1/IONOS, mail.com)": "united-internet",
    "Verizon/Compuserve style": "verizon",
    "Yahoo/AOL": "yahoo",
    "Yandex": "yandex",
    "ZeroSpam/Hornetsecurity": "zerospam",
    "Zoho": "zoho",
    "Zoho (bounce body)": "zoho",
    "bmail.ru": "bmail-ru",
    "email.it": "email-it",
    "forwardemail.net": "forwardemail",
    "goneo / Postfix SASL": "goneo",
    "hot.ee": "hot-ee",
    "i.ua / bigmir.net": "iua",
    "mail.ee": "mail-ee",
    "qmail clones (Postini)": "postini",
    "web.de (older)": "united-internet",
    "wp.pl": "wp-pl",
}
"""Whose words a row quotes; what is not here is software, whose words are general."""

JUDGED: Mapping[tuple[str, str], str] = {
    # words that are no reason
    ("Microsoft Exchange Online", r"\(AS\(?\d{2,12}\)?\)|\bAS\(\d+\)"): (
        "the number of a filter rule stands beside spam, throttling and unknown recipients alike"
    ),
    ("Libero/Virgilio/IOL", r"\bLIB_\d+"): "the number of a rule stands in every refusal of this provider",
    ("AOL (before 2018 merge)", "mail to the following recipients could not be delivered"): "opens every notice",
    ("Zoho (bounce body)", "Invalid Address, ERROR_CODE :550"): "opens the notice of any 550",
    # who refused, not why: the address may live
    ("Exim", "Callout verification failed"): "of the recipient or of the sender; no cause is given",
    ("qmail / netqmail / notqmail", "does not like recipient"): "opens any refusal after RCPT; the cause follows",
    ("Symantec/Broadcom Email Security.cloud (MessageLabs)", r"\b542[ -]"): (
        "refused or unknown: the code alone must not make an address dead"
    ),
    ("NTT docomo", r"550 Unknown user \S*docomo\S*"): "after DATA it is the recipient's filter: the stage is needed",
    # the domain exists and is not set up at the service: nothing to suppress
    ("Trend Micro", "NO-DOMAIN"): "refused with the scope domain; domain_unknown would make the address dead",
    ("ImprovMX", "Domain not found (#id-5.9.2)"): "refused with the scope domain; as NO-DOMAIN above",
    # the words or the code say otherwise
    ("Google", "Too many login attempts"): "a rate, whatever it is a rate of: rate_limited",
    (
        "Google",
        "an unusual rate of",
    ): "beside 421 the reply goes on with 'temporarily rate limited'; 550 reads as stated",
    ("Apple iCloud", "Relay not permitted"): "one web page says that an alias is switched off; the words say relay",
    ("Postfix", "Helo command rejected"): "the name that the sender gives itself is refused: sender_rejected",
    (
        "Postfix",
        "maildir delivery failed",
    ): "beside 5.2.2 it reads as stated; 4.2.0 is Postfix's code for any other fault",
    ("Sendmail", "local configuration error"): "its text for any faulty set-up; a loop is only the most frequent",
    ("qmail / netqmail / notqmail", "qq trouble in home directory"): "a fault of the queue; one host uses it for quota",
}
"""Rows that the rules contradict, or say less than, and why."""

FILLERS = (" <fred@example.com> ", "fred@example.com", "example.net", "192.0.2.1")
"""What stands where a pattern takes nearly anything: the first of these that fits."""


# --- texts of a row ---------------------------------------------------------------


def samples(pattern: str) -> list[str]:
    """Return texts that *pattern* matches, with each of its alternatives in one of them at least."""
    texts = [re.sub(" {2,}", " ", text) for text in dict.fromkeys(_sequence(_parser.parse(pattern)))]
    assert all(re.search(pattern, text) for text in texts), pattern
    return texts


def _sequence(nodes: Iterable[tuple[Any, Any]]) -> list[str]:
    """Put the alternatives of all nodes side by side: the first of each, the second of each, and so on."""
    parts = [_alternatives(operation, argument) for operation, argument in nodes]
    turns = max(map(len, parts), default=1)
    return ["".join(part[turn % len(part)] for part in parts) for turn in range(turns)]


def _alternatives(operation: Any, argument: Any) -> list[str]:
    match str(operation):
        case "LITERAL":
            return [chr(argument)]
        case "AT":
            return [""]
        case "CATEGORY":
            return ["1", "9"] if argument is _parser.CATEGORY_DIGIT else ["w"]
        case "RANGE":
            return [chr(end) for end in argument]
        case "IN":
            return [text for member in argument for text in _alternatives(*member)]
        case "SUBPATTERN":
            return _sequence(argument[-1])
        case "BRANCH":
            return [text for branch in argument[1] for text in _sequence(branch)]
        case "MAX_REPEAT":
            return _repeated(*argument)
    raise NotImplementedError(f"no row had {operation}")


def _repeated(low: int, high: int, body: Any) -> list[str]:
    """Return *body* repeated as little and as much as sensible; what may be left out is written."""
    one = _parser.SubPattern(body.state, [(_parser.MAX_REPEAT, (low, high, body))])
    takes = _compiler.compile(one).fullmatch
    if filler := next(filter(takes, FILLERS), None):
        return [filler]
    counts = dict.fromkeys((max(low, 1), min(high, low + 3)))
    return [text * count for count in counts for text in _sequence(body)]


def codes(column: str) -> list[str]:
    """Return the codes of a column, the first of a range: ``421/550``, ``45x``, ``4.7.500-699``; none for ``any``."""
    firsts = [code.partition("-")[0].replace("x", "0") for code in column.split("/")]
    return [code for code in firsts if re.fullmatch(r"\d{3}|\d\.\d{1,3}\.\d{1,3}", code)]


def replies(row: Mapping[str, str]) -> list[str]:
    """Return the replies that *row* is about: its texts with each of its codes that they do not bring themselves."""
    pairs = list(itertools.product(codes(row["reply"]) or [""], codes(row["status"]) or [""]))
    agreeing = [(code, status) for code, status in pairs if not (code and status) or code[0] == status[0]]
    texts = samples(row["match"]) if row["match_type"] == "regex" else [row["match"]]
    return [_reply(*pair, text) for pair, text in itertools.product(agreeing or pairs, texts)]


def _reply(code: str, status: str, text: str) -> str:
    own = re.match(r"(?:([245]\d\d)(?:[ -]|$))?(?:([245]\.\d{1,3}\.\d{1,3})\b)? ?", text)
    assert own is not None
    return " ".join(filter(None, (own[1] or code, own[2] or status, text[own.end() :])))


# --- the comparison ---------------------------------------------------------------


def misreadings(row: Mapping[str, str]) -> list[str]:
    """Return the replies of *row* that do not read as it states, with what they read as."""
    provider = PROVIDERS.get(row["provider"])
    if row["category"] == "system" and row["meaning"].startswith("marker"):  # says who refused, and no reason
        return [text for text in replies(row) if bounceclass.explain(text).provider != provider]
    accepted = [Reason(name) for name in REASONS[row["category"]].split()]
    read = {text: bounceclass.explain(text, provider=provider).reason for text in replies(row)}
    return [f"{text!r} reads as {reason}" for text, reason in read.items() if reason not in accepted]


@pytest.mark.skipif(not TABLE.is_file(), reason="there is no shared/facts/provider_codes.csv beside the project")
def test_the_rules_say_what_the_table_says() -> None:
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wrong = {(row["provider"], row["match"]): found for row in rows if (found := misreadings(row))}
    assert {row: found for row, found in wrong.items() if row not in JUDGED} == {}
    assert [row for row in JUDGED if row not in wrong] == [], "these read as stated now: take them off the list"
    assert 1 - len(wrong) / len(rows) >= SHARE


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"\bRP-00[1-4]\b", ["RP-001", "RP-004"]),
        (r"AUP#[IO]-?1(?:10\d|20)", ["AUP#I-1101", "AUP#O-1109", "AUP#I-120"]),
        (r"<[^>]+> (full|gone)", ["<fred@example.com> full", "<fred@example.com> gone"]),
        (r"mail for .{1,255} loops", ["mail for <fred@example.com> loops"]),
        (r"err/1(/|\b)", ["err/1/", "err/1"]),
        (r"[01]{4,5}", ["0000", "1111", "00000", "11111"]),
        (r"\([\d.]+\)", ["(192.0.2.1)"]),
    ],
)
def test_samples(pattern: str, expected: list[str]) -> None:
    assert samples(pattern) == expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"reply": "421/550", "status": "4.7.28/5.7.28"}, ["421 4.7.28 Slow", "550 5.7.28 Slow"]),
        ({"reply": "45x", "status": "any"}, ["450 Slow"]),
        ({"reply": "550", "status": "4.4.7"}, ["550 4.4.7 Slow"]),
        ({"reply": "", "status": "4.7.500-699"}, ["4.7.500 Slow"]),
        ({"reply": "550", "status": "5.1.1", "match": "551 Slow"}, ["551 5.1.1 Slow"]),
    ],
)
def test_replies(row: dict[str, str], expected: list[str]) -> None:
    assert replies({"match": "Slow", "match_type": "literal", **row}) == expected
