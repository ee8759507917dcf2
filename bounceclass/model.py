"""The values that travel down the line: frozen, and without logic of their own.

``Notice`` and ``Outcome`` are what a report *says*; ``Report``, ``Failure`` and
``Delivery`` are what it *means*.  The keys of the second group are the public
contract (``Report.to_dict()``), in the order in which they are shown.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct, field

from bounceclass.phrasing import on_one_line

SCHEMA = "bounceclass/1"
MAX_VALUE = 16 * 1024
"""Characters of a header field that are read."""


class Kind(StrEnum):
    """What a message is, as a report about other mail."""

    BOUNCE = "bounce"
    """A delivery failed for good."""
    DELAY = "delay"
    """Not delivered yet, still being tried."""
    SUCCESS = "success"
    """Delivered, relayed or expanded (RFC 3464 2.3.3)."""
    FEEDBACK = "feedback"
    """A complaint (RFC 5965 and its forerunners)."""
    AUTO_REPLY = "auto_reply"
    """A vacation note or another automatic reply (RFC 3834)."""
    RECEIPT = "receipt"
    """A message disposition notification (RFC 8098)."""
    CHALLENGE = "challenge"
    """A request to prove that the sender is a person."""
    NONE = "none"
    """None of these."""


class Action(StrEnum):
    """The Action field of RFC 3464 2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


class Severity(StrEnum):
    """Whether the same attempt may succeed later."""

    HARD = "hard"
    SOFT = "soft"


class Scope(StrEnum):
    """What a refusal is about."""

    ADDRESS = "address"
    DOMAIN = "domain"
    SENDER = "sender"
    MESSAGE = "message"
    SYSTEM = "system"
    UNKNOWN = "unknown"


class Confidence(StrEnum):
    """How far a verdict can be trusted."""

    CERTAIN = "certain"
    PROBABLE = "probable"
    GUESS = "guess"


class Reason(StrEnum):
    """Why a delivery failed; docs/reasons.md says what follows from each."""

    USER_UNKNOWN = "user_unknown"
    BAD_ADDRESS_SYNTAX = "bad_address_syntax"
    ADDRESS_MOVED = "address_moved"
    MAILBOX_DISABLED = "mailbox_disabled"
    MAILBOX_FULL = "mailbox_full"
    RECIPIENT_REJECTED = "recipient_rejected"
    RECIPIENT_RESTRICTED = "recipient_restricted"
    DOMAIN_UNKNOWN = "domain_unknown"
    DOMAIN_NO_MAIL = "domain_no_mail"
    DNS_FAILURE = "dns_failure"
    NETWORK_ERROR = "network_error"
    ROUTING_LOOP = "routing_loop"
    SYSTEM_FULL = "system_full"
    SYSTEM_ERROR = "system_error"
    MAILER_ERROR = "mailer_error"
    EXPIRED = "expired"
    GREYLISTED = "greylisted"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_RECIPIENTS = "too_many_recipients"
    BLOCKED_REPUTATION = "blocked_reputation"
    AUTH_FAILURE = "auth_failure"
    PTR_MISSING = "ptr_missing"
    TLS_FAILURE = "tls_failure"
    SENDER_REJECTED = "sender_rejected"
    RELAY_DENIED = "relay_denied"
    POLICY_REJECTED = "policy_rejected"
    SPAM_CONTENT = "spam_content"
    VIRUS_DETECTED = "virus_detected"
    CONTENT_REJECTED = "content_rejected"
    ATTACHMENT_PROHIBITED = "attachment_prohibited"
    MESSAGE_TOO_LARGE = "message_too_large"
    NON_COMPLIANT = "non_compliant"
    EAI_UNSUPPORTED = "eai_unsupported"
    PROTOCOL_ERROR = "protocol_error"
    SUPPRESSED = "suppressed"
    UNDETERMINED = "undetermined"


class SuggestedAction(StrEnum):
    """What to do about a failure, in one word."""

    SUPPRESS = "suppress"
    SUPPRESS_IF_REPEATED = "suppress_if_repeated"
    RETRY = "retry"
    SLOW_DOWN = "slow_down"
    FIX_MESSAGE = "fix_message"
    FIX_SENDER = "fix_sender"
    FIX_AUTHENTICATION = "fix_authentication"
    REQUEST_DELISTING = "request_delisting"
    CHECK_ADDRESS = "check_address"
    UPDATE_ADDRESS = "update_address"
    CONTACT_POSTMASTER = "contact_postmaster"
    UNSUBSCRIBE = "unsubscribe"
    REVIEW = "review"
    NONE = "none"


# --- a message ----------------------------------------------------------------


class Mail(Struct, frozen=True, kw_only=True):
    """A message taken apart, knowing nothing of bounces."""

    headers: dict[str, list[str]]
    """Field names in lower case; values unfolded, RFC 2047 words decoded.  ``get`` gives them with white space put right."""
    content_type: str = "text/plain"
    report_type: str = ""
    """The report-type of a multipart/report (RFC 6522 3), in lower case."""
    text: str = ""
    """The plain text of the notice, the returned message left out."""
    html: tuple[str, ...] = ()
    """Its HTML where there is no plain text; ``mime.readable`` makes text of it."""
    machine: tuple[tuple[str, str], ...] = ()
    """The machine-readable parts, as (content type, text), in order."""
    returned: dict[str, list[str]] | None = None
    """The fields of the first returned message, like *headers*."""
    defects: tuple[str, ...] = ()

    def get(self, name: str) -> str:
        """Return the first value of the field *name* (lower case), white space as one space, or an empty string."""
        if name not in self.headers:
            return ""
        return on_one_line(self.headers[name][0][:MAX_VALUE])


# --- what a report says -------------------------------------------------------


class Outcome(Struct, frozen=True, kw_only=True):
    """What a report says about one recipient, unjudged (RFC 3464 2.3)."""

    recipient: str | None = None
    """The address that a free-form notice names; null where fields name it."""
    original_recipient: str | None = None
    final_recipient: str | None = None
    generated_from: str | None = None
    """The address that the notice says this one was expanded or generated from."""
    guessed: bool = False
    """The address was taken from the returned message, for the notice names none; or another may be meant."""
    action: Action | None = None
    status: str | None = None
    """The Status field: the reporting MTA's translation."""
    diagnostic: str = ""
    """The remote's words, or else the reporting MTA's, without the type prefix."""
    source: str = "text"
    """Where *diagnostic* stood: ``dsn.diagnostic``, ``dsn.status`` or ``text``."""
    notes: str = ""
    """What else the notice says about this recipient, read where *diagnostic* says nothing."""
    remote_mta: str | None = None
    command: str | None = None
    last_attempt: str | None = None
    will_retry_until: str | None = None


class FeedbackReport(Struct, frozen=True, kw_only=True):
    """The fields of a feedback report (RFC 5965 3, RFC 6591 3)."""

    type: str | None = None
    user_agent: str | None = None
    version: str | None = None
    source_ip: str | None = None
    original_mail_from: str | None = None
    original_rcpt_to: tuple[str, ...] = ()
    arrival_date: str | None = None
    reporting_mta: str | None = None
    reported_domain: tuple[str, ...] = ()
    reported_uri: tuple[str, ...] = ()
    incidents: int | None = None
    auth_failure: str | None = None
    delivery_result: str | None = None


class Notice(Struct, frozen=True, kw_only=True):
    """What a reader made of a message: its fields and outcomes, unjudged."""

    kind: Kind
    dialect: str | None = None
    reporting_mta: str | None = None
    arrival_date: str | None = None
    envelope_id: str | None = None
    outcomes: tuple[Outcome, ...] = ()
    feedback: FeedbackReport | None = None
    confidence: Confidence = Confidence.CERTAIN
    """The most that a verdict drawn from this notice can claim."""
    returned: str = ""
    """The head of the returned message where it stood inside the text."""
    defects: tuple[str, ...] = ()


# --- what it means ------------------------------------------------------------


class Evidence(Struct, frozen=True, kw_only=True):
    """One thing that spoke for or against a verdict."""

    rule: str
    """The id of the rule, or the code: ``status:5.1.1``, ``reply:550``."""
    source: str
    """Where the words stood: ``dsn.diagnostic``, ``dsn.status``, ``text``, ..."""
    text: str
    """The words that matched."""
    effect: str
    """What it argued for, and for a loser why it lost."""


class Failure(Struct, frozen=True, kw_only=True):
    """The verdict on one recipient whose delivery failed or is delayed."""

    recipient: str | None = None
    original_recipient: str | None = None
    final_recipient: str | None = None
    action: Action = Action.FAILED
    severity: Severity = Severity.SOFT
    reason: Reason = Reason.UNDETERMINED
    scope: Scope = Scope.UNKNOWN
    suppress: bool = False
    """True only where the evidence says that the address itself is dead."""
    suggested_action: SuggestedAction = SuggestedAction.REVIEW
    suggestion: str = ""
    reply_code: int | None = None
    status: str | None = None
    status_source: str | None = None
    diagnostic: str | None = None
    remote_mta: str | None = None
    command: str | None = None
    provider: str | None = None
    last_attempt: str | None = None
    will_retry_until: str | None = None
    confidence: Confidence = Confidence.GUESS
    evidence: tuple[Evidence, ...] = ()


class Delivery(Struct, frozen=True, kw_only=True):
    """A recipient that a report calls delivered, relayed or expanded."""

    recipient: str | None = None
    original_recipient: str | None = None
    final_recipient: str | None = None
    action: Action = Action.DELIVERED
    status: str | None = None
    diagnostic: str | None = None
    remote_mta: str | None = None


class Original(Struct, frozen=True, kw_only=True):
    """The returned message, as far as the report shows it."""

    message_id: str | None = None
    from_: str | None = field(name="from", default=None)
    to: str | None = None
    subject: str | None = None
    date: str | None = None
    list_id: str | None = None
    return_path: str | None = None


class Hop(Struct, frozen=True, kw_only=True):
    """One Received field of the returned message, nearest to its origin first."""

    from_: str | None = field(name="from", default=None)
    by: str | None = None
    with_: str | None = field(name="with", default=None)
    id: str | None = None
    for_: str | None = field(name="for", default=None)
    date: str | None = None
    delay: float | None = None
    """Seconds since the hop before."""


class Report(Struct, frozen=True, kw_only=True, dict=True):
    """Everything that one message says about other mail; docs/json.md has every key."""

    schema: str = SCHEMA
    kind: Kind = Kind.NONE
    dialect: str | None = None
    reporting_mta: str | None = None
    arrival_date: str | None = None
    envelope_id: str | None = None
    message_id: str | None = None
    date: str | None = None
    from_: str | None = field(name="from", default=None)
    subject: str | None = None
    original: Original = Original()
    feedback: FeedbackReport | None = None
    failures: tuple[Failure, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    defects: tuple[str, ...] = ()
    rules_version: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain dicts, lists, strings, numbers and None."""
        plain: dict[str, Any] = msgspec.json.decode(self.to_json())
        return plain

    def to_json(self) -> bytes:
        """Return the report as one line of JSON in UTF-8."""
        return msgspec.json.encode(self)

    def hops(self) -> tuple[Hop, ...]:
        """Return the Received chain of the returned message, nearest to its origin first.

        mail-parser reads it; that costs about a millisecond, and 80 more the first time.
        Empty where no header came back, and for a report that was copied or unpickled.
        """
        received: tuple[str, ...] = self.__dict__.get("_received", ())
        if not received:
            return ()
        import mailparser

        parsed: list[dict[str, Any]] = mailparser.parse_from_string(
            "".join(f"Received: {' '.join(value.split())}\n" for value in received) + "\n"
        ).received
        return tuple(msgspec.convert(hop, Hop, strict=False) for hop in parsed)


class Explanation(Struct, frozen=True, kw_only=True):
    """What a code or a reply means, who must act and what to do."""

    query: str
    reply_code: int | None = None
    status: str | None = None
    provider: str | None = None
    severity: Severity | None = None
    reason: Reason = Reason.UNDETERMINED
    scope: Scope = Scope.UNKNOWN
    suppress: bool = False
    suggested_action: SuggestedAction = SuggestedAction.REVIEW
    suggestion: str = ""
    who: str = ""
    url: str | None = None
    meanings: tuple[Meaning, ...] = ()
    """What each code in it means by the registries, the reply code first."""
    evidence: tuple[Evidence, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as plain dicts, lists, strings, numbers and None."""
        plain: dict[str, Any] = msgspec.json.decode(self.to_json())
        return plain

    def to_json(self) -> bytes:
        """Return the explanation as one line of JSON in UTF-8."""
        return msgspec.json.encode(self)


class Meaning(Struct, frozen=True, kw_only=True):
    """One code of a registry: what it means and what to do."""

    code: str
    meaning: str
    action: str = ""
    source: str = ""
    vendor: str = ""
    """Whose code it is where no standard defines it so; empty for a standard's own."""
