"""What the world answers, and what follows from it: a table."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SCENARIOS", "SILENCE", "Fate", "Scenario"]

SILENCE = "never"
"""In the place of a reply: none ever comes."""
_LARGE = "\n" + "Nothing happened.\n" * 200


class Fate(NamedTuple):
    """What a recipient's server answers, and what that means."""

    at: str
    """The command that is answered so: CONN, EHLO, MAIL, RCPT, DATA, or END, the end of the data; before a
    connection: NAME, the domain does not exist; MX, it takes no mail (RFC 7505); TCP, nobody listens.  OURS is what
    no server should send, by what the world's server offers."""
    reply: str
    """Lines separated by newlines, each with its code; nothing where there is none: the connection is closed."""
    reason: str
    severity: str
    suppress: bool = False

    @property
    def passes(self) -> bool:
        """Tell whether a server may try again (RFC 5321 section 4.2.1): it was told so, or nothing."""
        return self.reply[:1] == "4" or (self.reply in ("", SILENCE) and self.at not in ("NAME", "MX", "OURS"))


class Scenario(NamedTuple):
    name: str
    fates: dict[str, Fate | None]
    """By the local part of a recipient; None is delivered."""
    offers: tuple[str, ...] = ("8BITMIME", "ENHANCEDSTATUSCODES", "SIZE 10000000")
    """The extensions of the world's server."""
    alias: str = ""
    """The server's own address that is expanded to the recipients, and that the message is addressed to."""
    mail: tuple[str, ...] = ()
    """Parameters of the MAIL command that the message is submitted with."""
    rcpt: tuple[str, ...] = ()
    """Parameters of each RCPT command; ``{}`` is the recipient."""
    content: str = "\nNothing happened.\n"
    """Of the message: more fields, an empty line and the text."""

    @property
    def domain(self) -> str:
        return f"{self.name}.example.com"

    @property
    def recipients(self) -> dict[str, Fate | None]:
        return {f"{local}@{self.domain}": fate for local, fate in self.fates.items()}

    @property
    def addressed(self) -> list[str]:
        """Return whom the message is addressed to."""
        return [self.alias] if self.alias else list(self.recipients)

    @property
    def hears_of_delays(self) -> bool:
        """Tell whether the sender asked for that, or for nothing (RFC 3461 section 4.1)."""
        notify = next((option for option in self.rcpt if option.startswith("NOTIFY=")), "NOTIFY=DELAY")
        return "DELAY" in notify

    @property
    def hears_nothing(self) -> bool:
        return "NOTIFY=NEVER" in self.rcpt

    def fate(self, at: str) -> Fate | None:
        """Return what happens at *at*, where that is the same for every recipient."""
        return next((fate for fate in self.fates.values() if fate and fate.at == at), None)


def _refused(
    name: str, at: str, reply: str, reason: str, severity: str = "hard", *, suppress: bool = False
) -> Scenario:
    return Scenario(name, {"fred": Fate(at, reply, reason, severity, suppress)})


_UNKNOWN = Fate("RCPT", "550 5.1.1 User unknown", "user_unknown", "hard", suppress=True)
_FULL = Fate("RCPT", "552 5.2.2 Mailbox full", "mailbox_full", "soft")
_GREYLISTED = Fate("RCPT", "450 4.2.0 Greylisted, please try again later", "greylisted", "soft")
_SPAM = Fate("END", "550 5.7.1 Message rejected as spam", "spam_content", "hard")
_DISABLED = Fate("RCPT", "550 5.2.1 Mailbox disabled", "mailbox_disabled", "hard")

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
    _refused(
        "umlaut", "RCPT", "550 5.1.1 Empfänger unbekannt: dieses Postfach gibt es nicht", "user_unknown", suppress=True
    ),
    _refused(
        "with-address",
        "RCPT",
        "550 5.1.1 <fred@with-address.example.com>: Recipient address rejected: User unknown in virtual mailbox table",
        "user_unknown",
        suppress=True,
    ),
    _refused(
        "long",
        "RCPT",
        "550-5.1.1 The email account that you tried to reach does not exist. Please try\n"
        "550-5.1.1 double-checking the recipient's email address for typos or\n"
        "550-5.1.1 unnecessary spaces. Whoever wrote to this address before and got an answer\n"
        "550-5.1.1 may want to ask the postmaster of the domain, by telephone, what became of it,\n"
        "550 5.1.1 and otherwise not to write again: https://support.example.com/mail/?p=unknown",
        "user_unknown",
        suppress=True,
    ),
    _refused("syntax", "RCPT", "501 5.1.3 Bad recipient address syntax", "bad_address_syntax", suppress=True),
    _refused("disabled", "RCPT", "550 5.2.1 Mailbox disabled", "mailbox_disabled"),
    _refused("moved", "RCPT", "551 5.1.6 User has moved", "address_moved", suppress=True),
    _refused(
        "takes-no-mail", "RCPT", "556 5.1.10 Domain does not accept mail (nullMX)", "domain_no_mail", suppress=True
    ),
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
    _refused("no-reverse", "RCPT", "550 5.7.25 The client's address has no reverse DNS name", "ptr_missing"),
    _refused("no-cause", "RCPT", "550 5.0.0 Go away", "undetermined"),
    # RCPT, for now
    _refused("greylisted", "RCPT", "450 4.2.0 Greylisted, please try again later", "greylisted", "soft"),
    _refused("full-for-now", "RCPT", "452 4.2.2 Mailbox full", "mailbox_full", "soft"),
    _refused("too-fast", "RCPT", "450 4.7.1 Rate limit exceeded, please slow down", "rate_limited", "soft"),
    _refused("too-many", "RCPT", "452 4.5.3 Too many recipients", "too_many_recipients", "soft"),
    # before a connection
    _refused("no-such-domain", "NAME", "", "domain_unknown", suppress=True),
    _refused("null-mx", "MX", "", "domain_no_mail", suppress=True),
    _refused("nobody-listens", "TCP", "", "network_error", "soft"),
    # before the recipient
    _refused("busy", "CONN", "421 4.3.2 Too many connections, try again later", "rate_limited", "soft"),
    _refused("banner", "CONN", "554 5.7.1 Your IP address is blocked for its bad reputation", "blocked_reputation"),
    _refused("greeting-for-now", "EHLO", "450 4.7.1 Too many connections, try again later", "rate_limited", "soft"),
    _refused(
        "greeting", "EHLO", "550 5.7.1 Helo command rejected: need a fully qualified host name", "sender_rejected"
    ),
    _refused(
        "sender-for-now", "MAIL", "450 4.1.8 Sender address rejected: Domain not found", "sender_rejected", "soft"
    ),
    _refused("mail-from", "MAIL", "550 5.7.1 Sender rejected", "sender_rejected"),
    _refused("size", "MAIL", "552 5.3.4 Message size exceeds fixed limit", "message_too_large"),
    _refused("spf", "MAIL", "550 5.7.23 SPF validation failed", "auth_failure"),
    _refused("tls", "MAIL", "530 5.7.0 Must issue a STARTTLS command first", "tls_failure"),
    # after it
    _refused("no-space", "DATA", "452 4.3.1 Insufficient system storage", "system_full", "soft"),
    _refused("data", "DATA", "554 5.7.1 Message refused: it is considered spam", "spam_content"),
    _refused("greylisted-at-the-end", "END", "451 4.7.1 Greylisted, please try again later", "greylisted", "soft"),
    _refused("unknown-at-the-end", "END", "550 5.1.1 User unknown", "user_unknown", suppress=True),
    _refused("spam", "END", "550 5.7.1 Message rejected as spam", "spam_content"),
    _refused(
        "umlaut-at-the-end",
        "END",
        "550-5.7.1 Nachricht abgelehnt: sie gilt als unerwünschte Werbung.\n550 5.7.1 Message rejected as spam",
        "spam_content",
    ),
    _refused("virus", "END", "554 5.7.1 Message infected with a virus", "virus_detected"),
    _refused(
        "attachment",
        "END",
        "552 5.7.0 This message was blocked because its attachment is of a prohibited type",
        "attachment_prohibited",
    ),
    _refused("too-large", "END", "552 5.3.4 Message too large", "message_too_large"),
    _refused("loop", "END", "554 5.4.6 Too many hops", "routing_loop"),
    _refused(
        "dmarc",
        "END",
        "550 5.7.26 Unauthenticated email is not accepted due to the domain's DMARC policy",
        "auth_failure",
    ),
    # never
    _refused("hangs-up-at-once", "CONN", "", "network_error", "soft"),
    _refused("hangs-up", "RCPT", "", "network_error", "soft"),
    _refused("hangs-up-at-the-end", "END", "", "network_error", "soft"),
    _refused("silent", "CONN", SILENCE, "network_error", "soft"),
    _refused("silent-at-the-end", "END", SILENCE, "network_error", "soft"),
    # what the world's server does not offer
    _refused("size-offered", "MAIL", "552 5.3.4 Message too big for system", "message_too_large")._replace(
        offers=("8BITMIME", "ENHANCEDSTATUSCODES", "SIZE 2000"), content=_LARGE
    ),
    _refused(
        "eight-bit", "END", "554 5.6.3 Conversion to 7 bit required but not supported", "content_rejected"
    )._replace(
        offers=("ENHANCEDSTATUSCODES",),
        mail=("BODY=8BITMIME",),
        content="MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nGrüße.\n",
    ),
    _refused("no-smtputf8", "OURS", "", "eai_unsupported")._replace(
        mail=("SMTPUTF8", "BODY=8BITMIME"), content="Comments: Grüße\n\nNothing happened.\n"
    ),
    Scenario(
        "smtputf8",
        {"jörg": Fate("RCPT", "550 5.1.1 Unbekannter Empfänger: User unknown", "user_unknown", "hard", suppress=True)},
        offers=("8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8"),
        mail=("SMTPUTF8", "BODY=8BITMIME"),
    ),
    # several recipients
    Scenario("one-of-three", {"ann": None, "fred": _UNKNOWN, "joan": None}),
    Scenario("mixed", {"ann": None, "fred": _UNKNOWN, "gus": _FULL}),
    Scenario("both", {"fred": _UNKNOWN, "gus": _UNKNOWN}),
    Scenario("both-at-the-end", {"fred": _SPAM, "gus": _SPAM}),
    Scenario("three-ways", {"fred": _UNKNOWN, "gus": _DISABLED, "joan": _GREYLISTED}),
    # aliases
    Scenario("alias", {"fred": _UNKNOWN}, alias="team@mail.example.org"),
    Scenario("alias-of-three", {"ann": None, "fred": _UNKNOWN, "gus": _FULL}, alias="all@mail.example.org"),
    # RFC 3461
    Scenario(
        "asked-for",
        {"fred": _UNKNOWN},
        mail=("RET=HDRS", "ENVID=QQ314159"),
        rcpt=("NOTIFY=FAILURE", "ORCPT=rfc822;list+2B{}"),
    ),
    Scenario("whole", {"fred": _DISABLED}, mail=("RET=FULL",), rcpt=("NOTIFY=FAILURE,DELAY",)),
    Scenario("no-delay", {"fred": _GREYLISTED}, rcpt=("NOTIFY=FAILURE",)),
    Scenario("never", {"fred": _UNKNOWN}, rcpt=("NOTIFY=NEVER",)),
    Scenario("success", {"fred": None}, mail=("ENVID=QQ271828",), rcpt=("NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;{}")),
    Scenario(
        "success-of-alias", {"ann": None, "joan": None}, alias="both@mail.example.org", rcpt=("NOTIFY=SUCCESS,FAILURE",)
    ),
    Scenario("success-and-failure", {"ann": None, "fred": _UNKNOWN}, rcpt=("NOTIFY=SUCCESS,FAILURE",)),
)
