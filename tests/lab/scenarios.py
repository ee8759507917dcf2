"""What the world answers, and what follows from it: a table."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SCENARIOS", "Fate", "Scenario"]


class Fate(NamedTuple):
    """What a recipient's server answers, and what that means."""

    at: str
    """The command that is answered so: CONN, EHLO, MAIL, RCPT, DATA, or END, the end of the data."""
    reply: str
    """Lines separated by newlines, each with its code."""
    reason: str
    severity: str
    suppress: bool = False


class Scenario(NamedTuple):
    name: str
    fates: dict[str, Fate | None]
    """By the local part of a recipient; None is delivered."""

    @property
    def domain(self) -> str:
        return f"{self.name}.example.com"


def _refused(
    name: str, at: str, reply: str, reason: str, severity: str = "hard", *, suppress: bool = False
) -> Scenario:
    return Scenario(name, {"fred": Fate(at, reply, reason, severity, suppress)})


_UNKNOWN = Fate("RCPT", "550 5.1.1 User unknown", "user_unknown", "hard", suppress=True)
_FULL = Fate("RCPT", "552 5.2.2 Mailbox full", "mailbox_full", "soft")

SCENARIOS = (
    # RCPT, for good
    _refused("user-unknown", "RCPT", "550 5.1.1 User unknown", "user_unknown", suppress=True),
    _refused("no-such-user", "RCPT", "550 5.1.1 No such user here", "user_unknown", suppress=True),
    _refused("without-status", "RCPT", "550 No such user here", "user_unknown", suppress=True),
    _refused(
        "several-lines",
        "RCPT",
        "550-5.1.1 The email account that you tried to reach does not exist.\n550-5.1.1 Please check the address.\n550 5.1.1 Sincerely, the postmaster",
        "user_unknown",
        suppress=True,
    ),
    _refused("disabled", "RCPT", "550 5.2.1 Mailbox disabled", "mailbox_disabled"),
    _refused("moved", "RCPT", "551 5.1.6 User has moved", "address_moved", suppress=True),
    _refused("full", "RCPT", "552 5.2.2 Mailbox full", "mailbox_full", "soft"),
    _refused("over-quota", "RCPT", "552 5.2.2 User is over quota", "mailbox_full", "soft"),
    _refused(
        "dnsbl",
        "RCPT",
        "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using dnsbl.example.net",
        "blocked_reputation",
    ),
    _refused("relaying", "RCPT", "554 5.7.1 Relay access denied", "relay_denied"),
    _refused("sender-domain", "RCPT", "550 5.1.8 Sender address rejected: Domain not found", "sender_rejected"),
    _refused(
        "members-only",
        "RCPT",
        "550 5.7.1 You are not allowed to send to this list: only members may post",
        "recipient_restricted",
    ),
    # RCPT, for now
    _refused("greylisted", "RCPT", "450 4.2.0 Greylisted, please try again later", "greylisted", "soft"),
    _refused("full-for-now", "RCPT", "452 4.2.2 Mailbox full", "mailbox_full", "soft"),
    _refused("too-fast", "RCPT", "450 4.7.1 Rate limit exceeded, please slow down", "rate_limited", "soft"),
    # before the recipient
    _refused("banner", "CONN", "554 5.7.1 Your IP address is blocked for its bad reputation", "blocked_reputation"),
    _refused(
        "greeting", "EHLO", "550 5.7.1 Helo command rejected: need a fully qualified host name", "sender_rejected"
    ),
    _refused("mail-from", "MAIL", "550 5.7.1 Sender rejected", "sender_rejected"),
    _refused("size", "MAIL", "552 5.3.4 Message size exceeds fixed limit", "message_too_large"),
    # after it
    _refused("data", "DATA", "554 5.7.1 Message refused: it is considered spam", "spam_content"),
    _refused("spam", "END", "550 5.7.1 Message rejected as spam", "spam_content"),
    _refused("virus", "END", "554 5.7.1 Message infected with a virus", "virus_detected"),
    _refused("too-large", "END", "552 5.3.4 Message too large", "message_too_large"),
    _refused(
        "dmarc",
        "END",
        "550 5.7.26 Unauthenticated email is not accepted due to the domain's DMARC policy",
        "auth_failure",
    ),
    # several recipients
    Scenario("one-of-three", {"ann": None, "fred": _UNKNOWN, "joan": None}),
    Scenario("mixed", {"ann": None, "fred": _UNKNOWN, "gus": _FULL}),
    Scenario("both", {"fred": _UNKNOWN, "gus": _UNKNOWN}),
)
