"""What a refusal means: codes reconciled, rules weighed, evidence kept.

``read_words`` turns the words of one refusal into codes and matching rules,
``weigh`` decides between them, ``conclude`` says what follows, and ``judge`` makes a failure of an outcome.
"""

from __future__ import annotations

import re
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from bounceclass import advice, fields, phrasing, recipients, smtp
from bounceclass import status as statuses
from bounceclass.model import (
    Action,
    Confidence,
    Evidence,
    Failure,
    Notice,
    Outcome,
    Reason,
    Scope,
    Severity,
    SuggestedAction,
)
from bounceclass.rulebook import Match, Said

if TYPE_CHECKING:
    from bounceclass.rows import Advice, ReasonRow
    from bounceclass.rulebook import Rulebook

__all__ = ["MAX_EVIDENCE", "Reading", "Ruling", "Verdict", "conclude", "judge", "read_words", "weigh"]

MAX_EVIDENCE = 6
"""Pieces of evidence that are kept with a verdict, the winner first."""

_STEPS = (Confidence.GUESS, Confidence.PROBABLE, Confidence.CERTAIN)
# What is refused here is never about the recipient: its name has not been said yet.
_BEFORE_RECIPIENT = frozenset(("CONN", "EHLO", "STARTTLS", "AUTH", "MAIL"))
# Where a status quoted in the words of an outcome stood
_STATUS_SOURCES = {"dsn.diagnostic": "diagnostic", "dsn.status": "status_field", "text": "text"}
# What "550 5.1.1" may stand beside while the address lives
_ADDRESS_LIVES = frozenset(
    (
        Reason.SYSTEM_ERROR,
        Reason.NETWORK_ERROR,
        Reason.GREYLISTED,
        Reason.BLOCKED_REPUTATION,
        Reason.SPAM_CONTENT,
        Reason.AUTH_FAILURE,
        Reason.PTR_MISSING,
        Reason.RATE_LIMITED,
        Reason.SENDER_REJECTED,
        Reason.RELAY_DENIED,
        Reason.VIRUS_DETECTED,
        Reason.CONTENT_REJECTED,
    )
)
# QUIRK: what Sendmail makes of any such reply, whatever its words
_TRANSLATIONS = frozenset(((550, "5.1.1"), (551, "5.1.6"), (553, "5.1.3")))
# What a dead address or domain is about; and what a refusal of the sender may be taken for
_OF_RECIPIENT = (Scope.ADDRESS, Scope.DOMAIN)
_NOT_OF_SENDER = (*_OF_RECIPIENT, Scope.UNKNOWN)
# Why a server gives up what might still have passed
_RUNS_OUT = (Reason.EXPIRED, Reason.NETWORK_ERROR)
# Which name had no address (Postfix, Sendmail, Exim, Exchange)
_LOOKED_UP = re.compile(
    r"name service error for name=(\S{1,255}) type=|\(name server: ([^\s:]{1,255}):|look up host ([^\s:]{1,255}):"
    r"|dns domain (\S{1,255}) does not exist"
)
# A reason that a frame alone gives (Postfix: "Sender address rejected: Access denied")
_FRAME_REASONS = {
    "recipient address": Reason.RECIPIENT_REJECTED,
    "sender address": Reason.SENDER_REJECTED,
    "helo command": Reason.SENDER_REJECTED,
    "ehlo command": Reason.SENDER_REJECTED,
    "client host": Reason.BLOCKED_REPUTATION,
    "client": Reason.BLOCKED_REPUTATION,
}


class Reading(Struct):
    """The codes and words of one refusal, reconciled."""

    said: Said
    reply: smtp.Reply
    source: str
    code: int | None
    status: str | None
    status_source: str | None
    field: str | None
    """The Status field, where there was one."""
    provider: str | None
    matches: list[Match]

    @property
    def soft_by_field(self) -> bool:
        """The reporting MTA kept retrying, whatever the remote said: a 5yz greeting, soft_bounce, expiry."""
        return self.field is not None and self.field[0] == "4"

    @property
    def is_specific(self) -> bool:
        """The status says more than its class and subject, and more than the reply code."""
        return self.status is not None and not statuses.is_generic(self.status) and not self.is_translated

    @property
    def is_translated(self) -> bool:
        """The remote gave no status; that of the field only repeats its reply code."""
        return self.status_source == "status_field" and (self.code, self.status) in _TRANSLATIONS

    @property
    def disagrees(self) -> bool:
        """Reply, quoted status and Status field are not all of one class."""
        quoted = self.status[0] if self.status else ""
        field = self.field[0] if self.field else quoted
        reply = str(self.code)[0] if self.code else field
        return (quoted or field) != field or field not in ("", reply)


class Verdict(Struct, frozen=True):
    """The reason, and what it rests on."""

    reason: Reason
    scope: Scope
    rule: Match | None
    """The rule that won; None where a code did."""
    evidence: tuple[Evidence, ...]

    @property
    def advice(self) -> Advice | None:
        """What the provider says to do, where the reason is still the rule's."""
        rule = self.rule.rule if self.rule else None
        return rule.advice if rule and rule.reason is self.reason else None


class Ruling(Struct, frozen=True, kw_only=True):
    """What follows from a verdict."""

    severity: Severity
    confidence: Confidence
    suppress: bool
    action: SuggestedAction
    suggestion: str


class Instead(NamedTuple):
    """Another reason than that which the words give, and why."""

    reason: Reason
    why: str


_REFUSED_EARLY = Instead(Reason.SENDER_REJECTED, "refused before the recipient was named")
_SAID_OF_SENDER = Instead(Reason.SENDER_REJECTED, "said of the sender")
_OTHER_HOST = Instead(Reason.DNS_FAILURE, "another name than the recipient's domain was looked up")

_STANDING = attrgetter("standing")


class _Candidate(Struct, frozen=True):
    """What speaks for a reason, and how much it counts."""

    standing: int
    """4 a rule, 3 a specific code, 2 a generic rule or a frame about the sender, 1 a generic status or another frame,
    0 a generic reply."""
    name: str
    source: str
    text: str
    reason: Reason
    match: Match | None = None


def judge(outcome: Outcome, notice: Notice, traffic: recipients.Traffic, rules: Rulebook, lang: str = "en") -> Failure:
    """Return the verdict on one outcome whose action is failed or delayed."""
    recipient = recipients.mailed(outcome, traffic)
    reading = _read(outcome, notice, recipient, rules)
    verdict = weigh(reading, rules)
    if verdict.scope in _OF_RECIPIENT and _names_sender(reading, verdict.scope, recipient, traffic):
        verdict = weigh(reading, rules, instead=_SAID_OF_SENDER)
    elif verdict.reason is Reason.DOMAIN_UNKNOWN and _names_other_host(reading, recipient, outcome.final_recipient):
        verdict = weigh(reading, rules, instead=_OTHER_HOST)
    ruling = conclude(
        reading,
        verdict,
        rules,
        lang,
        delayed=outcome.action is Action.DELAYED,
        named=recipients.is_address(recipient),
        most=Confidence.GUESS if outcome.guessed else notice.confidence,
    )
    return Failure(
        recipient=recipient,
        original_recipient=outcome.original_recipient,
        final_recipient=outcome.final_recipient or (outcome.recipient if outcome.generated_from else None),
        action=outcome.action or Action.FAILED,
        severity=ruling.severity,
        reason=verdict.reason,
        scope=verdict.scope,
        suppress=ruling.suppress,
        suggested_action=ruling.action,
        suggestion=ruling.suggestion,
        reply_code=reading.code,
        status=reading.status,
        status_source=reading.status_source,
        diagnostic=outcome.diagnostic or outcome.notes or None,
        remote_mta=outcome.remote_mta or reading.reply.host,
        command=reading.said.command,
        provider=reading.provider,
        last_attempt=outcome.last_attempt,
        will_retry_until=outcome.will_retry_until,
        confidence=ruling.confidence,
        evidence=verdict.evidence,
    )


# --- reading ----------------------------------------------------------------------


def _read(outcome: Outcome, notice: Notice, recipient: str | None, rules: Rulebook) -> Reading:
    """Read the diagnostic, and the notes where it does not say enough."""

    def read(words: str, source: str) -> Reading:
        return read_words(
            words,
            rules,
            source=source,
            field=outcome.status,
            command=outcome.command,
            remote=outcome.remote_mta,
            reporting=notice.reporting_mta,
            domain=fields.domain(recipient),
            dialect=notice.dialect,
        )

    reading = read(outcome.diagnostic, outcome.source)
    cut = smtp.is_cut(outcome.diagnostic)
    if not outcome.notes or (not cut and reading.matches and reading.matches[0].rank[0]):
        return reading
    other = read(outcome.notes, "text")
    if cut and other.matches and other.code == reading.code:
        if other.status == reading.status:
            other.status_source = reading.status_source
        return other  # all that the first line says, and more
    better = other.matches and (not reading.matches or other.matches[0].rank > reading.matches[0].rank)
    if not better and (reading.code is not None or other.code is None):
        return reading
    quoted = reading.code is not None or reading.status_source == "diagnostic"
    coded = reading if quoted and not (reading.status and statuses.is_expiry(reading.status)) else other
    worded = reading if reading.matches and not better else other
    worded.code, worded.status, worded.status_source = coded.code, coded.status, coded.status_source
    return worded


def read_words(
    words: str,
    rules: Rulebook,
    *,
    source: str = "text",
    field: str | None = None,
    command: str | None = None,
    remote: str | None = None,
    reporting: str | None = None,
    domain: str = "",
    dialect: str | None = None,
    provider: str | None = None,
) -> Reading:
    """Return the codes in the *words* of a refusal and the rules that fit them.

    *field* is the Status field beside them, *remote* and *reporting* the hosts that refused
    and that wrote the report, *domain* the recipient's.  The provider is recognised by
    these, in order of trust: the remote host, the reporting MTA where no remote is named,
    the reply's own marks, the recipient's domain; unless *provider* says who it is.
    """
    reply = smtp.dissect(words)
    field = field or reply.field
    status, status_source = statuses.prefer(reply.status, field)
    if status_source == "diagnostic":
        status_source = _STATUS_SOURCES[source]
    marked = rules.providers_marked(phrasing.normalised(words[: smtp.MAX_DIAGNOSTIC]))
    if provider is None:
        by_host = rules.provider_of_host(remote or reply.host or reporting)
        provider = by_host or (marked[0] if marked else None) or rules.provider_of_domain(domain)
    providers = frozenset([*marked, provider] if provider else marked)
    if reply.code is not None and not (remote or reply.host) and (theirs := rules.provider_of_domain(domain)):
        providers |= {theirs}  # who refused is not named, and *reporting* only tells of it
    said = rules.said(
        reply.text or words,
        before=reply.before,
        code=reply.code,
        status=status,
        command=reply.command or command,
        dialect=dialect,
        providers=providers,
    )
    return Reading(
        said=said,
        reply=reply,
        source=source,
        code=reply.code,
        status=status,
        status_source=status_source,
        field=field,
        provider=provider,
        matches=rules.match(said),
    )


# --- weighing ---------------------------------------------------------------------


def weigh(reading: Reading, rules: Rulebook, *, instead: Instead | None = None) -> Verdict:
    """Return the reason that the strongest evidence speaks for, and what lost to it.

    *instead* is what the words come to, where they are not about the recipient whom they seem to be about.
    """
    candidates = _candidates(reading, rules)
    if not candidates:
        return Verdict(Reason.UNDETERMINED, Scope.UNKNOWN, None, ())
    if len(candidates) > 1:  # stable: rules of one standing keep the order of their specificity
        candidates.sort(key=_STANDING, reverse=True)
    winner = candidates[0]
    reason = winner.reason
    scope = (winner.match.rule.scope if winner.match else None) or rules.reasons[reason].scope
    effect = str(reason)
    if scope in _NOT_OF_SENDER:
        if reading.said.command in _BEFORE_RECIPIENT:
            instead = _REFUSED_EARLY
        elif reading.said.about_sender:
            instead = _SAID_OF_SENDER._replace(reason=_FRAME_REASONS[reading.said.frame])
    if instead:
        reason = instead.reason
        scope = rules.reasons[reason].scope
        effect += f", read as {reason}: {instead.why}"
    evidence = [Evidence(rule=winner.name, source=winner.source, text=winner.text, effect=effect)]
    for loser in candidates[1:MAX_EVIDENCE]:
        why = "less specific" if loser.standing == winner.standing else "weaker evidence"
        effect = f"{loser.reason}: lost, {why}"
        evidence.append(Evidence(rule=loser.name, source=loser.source, text=loser.text, effect=effect))
    return Verdict(reason, scope, winner.match, tuple(evidence))


def _candidates(reading: Reading, rules: Rulebook) -> list[_Candidate]:
    source = reading.source
    found = []
    for match in reading.matches:
        rule = match.rule
        found.append(_Candidate(2 if rule.generic else 4, rule.id, source, match.text, rule.reason, match))
    status = rules.status_row(reading.status) if reading.status else None
    if status is not None and status.reason is not None:
        stood = "dsn.status" if reading.status_source == "status_field" else source
        code = str(reading.status)
        generic = status.generic or reading.is_translated
        found.append(_Candidate(1 if generic else 3, f"status:{code}", stood, code, status.reason))
    frame = reading.said.frame
    if frame in _FRAME_REASONS:
        standing = 2 if reading.said.about_sender else 1
        found.append(_Candidate(standing, "frame", source, f"{frame} rejected", _FRAME_REASONS[frame]))
    reply = rules.reply_row(reading.code) if reading.code else None
    if reply is not None and reply.reason is not None:
        code = str(reading.code)
        found.append(_Candidate(0 if reply.generic else 3, f"reply:{code}", source, code, reply.reason))
    return found


def _names_sender(reading: Reading, scope: Scope, recipient: str | None, traffic: recipients.Traffic) -> bool:
    """Tell whether the words name the sender, and not the recipient whom they seem to call dead."""
    words = reading.said.raw
    if scope is Scope.ADDRESS and "@" not in words:
        return False
    theirs = fields.domain(recipient)
    if not theirs or (recipient and recipient.lower() in words):
        return False
    for sender in traffic.senders:
        domain = fields.domain(sender)
        name = sender if scope is Scope.ADDRESS else domain if domain != theirs else ""
        if domain and name and name in words and _stands_alone(name, words):
            return True
    return False


def _names_other_host(reading: Reading, *recipients: str | None) -> bool:
    """Tell whether what was looked up in vain is not the domain of a recipient: our own relay, or one of its mail hosts."""
    theirs = [domain for domain in map(fields.domain, recipients) if domain]
    found = _LOOKED_UP.search(reading.said.raw) if theirs else None
    return found is not None and found[found.lastindex or 0].rstrip(".") not in theirs


def _stands_alone(name: str, words: str) -> bool:
    """Tell whether *name* stands in *words* as it is, and not as part of a longer one."""
    return bool(re.search(rf"(?<![\w.@+-]){re.escape(name)}(?![\w@-]|\.\w)", words))


# --- concluding -------------------------------------------------------------------


def conclude(
    reading: Reading,
    verdict: Verdict,
    rules: Rulebook,
    lang: str = "en",
    *,
    delayed: bool = False,
    named: bool = True,
    most: Confidence = Confidence.CERTAIN,
) -> Ruling:
    """Return what follows from *verdict*: never to suppress what is not certain to be a dead address.

    *delayed* says that the server still tries, *named* that the recipient is an address, and *most* how much can be
    claimed at all.
    """
    row = rules.reasons[verdict.reason]
    severity = _severity(reading, row, may_pass=delayed or _ran_out(reading, verdict))
    confidence = _confidence(reading, verdict, most)
    suppress = (
        row.suppress
        and named
        and severity is Severity.HARD
        and verdict.scope in _OF_RECIPIENT
        and confidence is not Confidence.GUESS
    )
    action, suggestion = row.action, advice.suggest(verdict.reason, verdict.advice, lang)
    if action is SuggestedAction.SUPPRESS and not suppress:
        action = SuggestedAction.SUPPRESS_IF_REPEATED
        suggestion = advice.suggest(Reason.RECIPIENT_REJECTED, None, lang)
    return Ruling(severity=severity, confidence=confidence, suppress=suppress, action=action, suggestion=suggestion)


def _severity(reading: Reading, row: ReasonRow, *, may_pass: bool) -> Severity:
    """By the reconciled codes; by the reason where there is none (RFC 5321 4.2.1, RFC 3463 2)."""
    if row.always is not None:
        return row.always
    if may_pass or reading.soft_by_field:
        return Severity.SOFT
    if reading.code is not None:
        return Severity.SOFT if reading.code < 500 else Severity.HARD
    if reading.status is not None:
        return Severity.SOFT if reading.status[0] == "4" else Severity.HARD
    return row.no_code


def _ran_out(reading: Reading, verdict: Verdict) -> bool:
    """Tell whether a server gave up what might still have passed; Exim and Courier do it with 5.0.0, whatever the cause."""
    return verdict.reason in _RUNS_OUT and reading.code is None and not reading.is_specific


def _confidence(reading: Reading, verdict: Verdict, most: Confidence) -> Confidence:
    specific = reading.is_specific
    by_code = verdict.rule is None
    if verdict.reason is Reason.UNDETERMINED or (by_code and not specific):
        return Confidence.GUESS
    if by_code and verdict.scope in _OF_RECIPIENT and _may_live(reading):
        return Confidence.GUESS
    level = 2 if specific and not by_code else 1
    level = min(level, _STEPS.index(most)) - reading.disagrees
    return _STEPS[max(level, 0)]


def _may_live(reading: Reading) -> bool:
    """Tell whether words speak of a block, of spam or of a fault where the code alone says that the address is dead."""
    return any(match.rule.reason in _ADDRESS_LIVES for match in reading.matches)
