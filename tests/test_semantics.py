"""The cases that must be right: each is a mistake that other classifiers are known for."""

from __future__ import annotations

import pytest

import bounceclass

DSN = """\
From: MAILER-DAEMON@mail.example.org
To: list-bounces@example.org
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

Your message could not be delivered.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; {reporting}

Final-Recipient: rfc822; fred@example.com
Action: {action}
Status: {status}
Remote-MTA: dns; {remote}
Diagnostic-Code: smtp; {diagnostic}

--b--
"""


def verdict(
    diagnostic: str,
    status: str = "5.0.0",
    remote: str = "mx.example.com",
    reporting: str = "mail.example.org",
    action: str = "failed",
    domain: str = "example.com",
) -> bounceclass.Failure:
    raw = DSN.format(diagnostic=diagnostic, status=status, remote=remote, reporting=reporting, action=action)
    raw = raw.replace("rfc822; fred@example.com", f"rfc822; fred@{domain}").replace("Remote-MTA: dns; \n", "")
    (failure,) = bounceclass.classify(raw.encode()).failures
    return failure


OUTLOOK = "example-com.mail.protection.outlook.com"
GMAIL = "gmail-smtp-in.l.google.com"

CASES = [
    # 5.7.x: policy, never the address
    ("550 5.7.1 Service unavailable, Client host [192.0.2.1] blocked using Spamhaus", {}, "blocked_reputation", "hard", False),
    ("554 5.7.1 Message rejected as spam by Content Filtering", {}, "spam_content", "hard", False),
    ("550 5.7.26 Unauthenticated email from example.org is not accepted due to domain's DMARC policy. - gsmtp", {"remote": GMAIL}, "auth_failure", "hard", False),
    # ... but the words beat the code
    ("550 5.7.1 <fred@example.com>: Recipient address rejected: User unknown in relay recipient table", {}, "user_unknown", "hard", True),
    ("550 5.7.1 No such user", {}, "user_unknown", "hard", True),
    # restricted recipients exist
    ("550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required", {"remote": OUTLOOK}, "recipient_restricted", "hard", False),
    ("550 5.7.124 Sender not in allowed-senders list", {"remote": OUTLOOK}, "recipient_restricted", "hard", False),
    # a full mailbox is soft, whatever the code
    ("552 5.2.2 Mailbox full", {"status": "5.2.2"}, "mailbox_full", "soft", False),
    ("552-5.2.2 The recipient's inbox is out of storage space and inactive. 552 5.2.2 https://support.google.com/mail/?p=OverQuotaPerm a1 - gsmtp", {"remote": GMAIL}, "mailbox_full", "soft", False),
    ("554 delivery error: dd Sorry your message to fred@example.com cannot be delivered. This account has been disabled or discontinued [#102].", {}, "mailbox_disabled", "hard", False),
    # too many at a time is not a dead address
    ("450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages from being delivered. - gsmtp", {"remote": GMAIL, "status": "4.2.1"}, "rate_limited", "soft", False),
    ("550 5.1.1 This account has exceeded the number of recipients this hour", {"status": "5.1.1"}, "rate_limited", "hard", False),
    ("452 4.5.3 Too many recipients", {"status": "4.5.3"}, "too_many_recipients", "soft", False),
    ("552 5.5.3 Too many recipients", {"status": "5.5.3"}, "too_many_recipients", "soft", False),
    # size
    ("552 5.3.4 Message size exceeds fixed maximum message size", {"status": "5.3.4"}, "message_too_large", "hard", False),
    # codes that providers use for something else
    ("550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", {"remote": OUTLOOK, "status": "5.1.10"}, "user_unknown", "hard", True),
    ("556 5.1.10 Recipient address has a null MX", {"status": "5.1.10"}, "domain_no_mail", "hard", True),
    ("550 5.4.1 Recipient address rejected: Access denied. [AM1.eop-EUR01.prod.protection.outlook.com]", {"remote": OUTLOOK, "status": "5.4.1"}, "user_unknown", "hard", True),
    ("550 5.4.1 Relay Access Denied", {"remote": OUTLOOK, "status": "5.4.1"}, "relay_denied", "hard", False),
    ("554 5.7.1 <fred@example.com>: Recipient address rejected: Access denied", {"status": "5.7.1"}, "recipient_rejected", "hard", False),
    ("550 5.2.2 Submission quota exceeded", {"remote": OUTLOOK, "status": "5.2.2"}, "rate_limited", "hard", False),
    # the sender, not the recipient
    ("550 5.1.0 <list@example.org> sender rejected : AUP#1310", {"status": "5.1.0"}, "sender_rejected", "hard", False),
    ("550 5.1.8 <list@example.org>: Sender address rejected: Domain not found (in reply to MAIL FROM command)", {}, "sender_rejected", "hard", False),
    ("553 neko.example.org does not exist (in reply to MAIL FROM command)", {}, "sender_rejected", "hard", False),
    ("550 5.7.27 Sender address has null MX", {"status": "5.7.27"}, "sender_rejected", "hard", False),
    # an address code beside words that speak of the sender: not safe to act on
    ("550 5.1.1 Message blocked", {"status": "5.1.1"}, "user_unknown", "hard", False),
    ("550 5.1.1 spam", {"status": "5.1.1"}, "user_unknown", "hard", False),
    ("550 5.1.1 Recipient temporarily unavailable, System error", {"status": "5.1.1"}, None, "hard", False),
    # a status that only repeats the reply code says nothing (Sendmail)
    ("550 Rejected", {"status": "5.1.1"}, None, "hard", False),
    ("550 Mailbox unavailable", {"status": "5.1.1"}, "recipient_rejected", "hard", False),
    ("551 Please contact the postmaster", {"status": "5.1.6"}, None, "hard", False),
    ("553 Mail rejected", {"status": "5.1.3"}, None, "hard", False),
    ("550 No such user here", {"status": "5.1.1"}, "user_unknown", "hard", True),
    # what is said of the sender beside what would kill the recipient
    ("550 Sender callout verification failed: 550 5.1.1 user unknown", {"status": "5.1.1"}, "sender_rejected", "hard", False),
    ("550 User bob@example.org does not exist, sender rejected", {}, "sender_rejected", "hard", False),
    # Exchange Online sums up the next server's reply, and often wrongly
    ("550 5.1.351 Remote server returned unknown recipient or mailbox unavailable -> 550 Message rejected as spam", {"remote": OUTLOOK, "status": "5.1.351"}, "spam_content", "hard", False),
    ("550 5.1.351 Remote server returned unknown recipient or mailbox unavailable -> 550 Sender verify failed", {"remote": OUTLOOK, "status": "5.1.351"}, "sender_rejected", "hard", False),
    ("550 5.1.351 Remote server returned unknown recipient or mailbox unavailable -> 550 5.1.1 No such user", {"remote": OUTLOOK, "status": "5.1.351"}, "user_unknown", "hard", True),
    ("550 5.4.300 Message expired -> 421 4.4.2 Connection dropped due to SocketError", {"remote": OUTLOOK, "status": "5.4.300"}, "network_error", "soft", False),
    ("550 5.4.300 Message expired -> 550 5.1.1 User unknown", {"remote": OUTLOOK, "status": "5.4.300"}, "user_unknown", "hard", True),
    ("550 5.4.300 Message expired", {"remote": OUTLOOK, "status": "5.4.300"}, "expired", "hard", False),
    ("550 5.1.351 Remote server returned unknown recipient or mailbox unavailable", {"remote": OUTLOOK, "status": "5.1.351"}, "user_unknown", "hard", True),
    # a bare 550 says nothing
    ("550 Requested action not taken: mailbox unavailable", {}, "recipient_rejected", "hard", False),
    ("550 rejected", {}, None, "hard", False),
    # host names are no reason
    ("550 No such user fred@example.com (relay.mailspamprotection.com)", {}, "user_unknown", "hard", True),
    ("550 5.0.0 mx1.blocked-spam-filter.example.com said no", {}, None, "hard", False),
    # docomo's filter answers after DATA
    ("550 Unknown user fred@example.com (in reply to end of DATA command)", {"remote": "mfsmax.docomo.ne.jp"}, "recipient_restricted", "hard", False),
    # the reporting MTA kept trying: soft
    ("550 5.1.1 User unknown", {"status": "4.4.7"}, "user_unknown", "soft", False),
    ("5.1.1 User unknown", {"status": "4.4.7"}, "user_unknown", "soft", False),
    ("450 4.1.1 User unknown in local recipient table", {"status": "4.1.1"}, "user_unknown", "soft", False),
    # expiry: the last failure counts
    ("554 4.4.7 Message expired: unable to deliver in 840 minutes.<421 4.4.2 Connection timed out>", {"status": "4.4.7"}, "network_error", "soft", False),
    ("554 5.4.7 [internal] exceeded max time without delivery", {"status": "5.4.7"}, "expired", "hard", False),
    # domains
    ("550 5.1.2 Host unknown (Name server: example.com: host not found)", {"status": "5.1.2"}, "domain_unknown", "hard", True),
    # ... but of another name the recipient's domain is no part: our own relay, a mail host without an address
    ("550 5.1.2 Host unknown (Name server: smarthost.example.org.: host not found)", {"status": "5.1.2"}, "dns_failure", "hard", False),
    ("Host or domain name not found. Name service error for name=relay.example.org type=A: Host not found", {"status": "5.4.4"}, "dns_failure", "hard", False),
    ("Host or domain name not found. Name service error for name=example.com type=AAAA: Host not found", {"status": "5.4.4"}, "domain_unknown", "hard", True),
    ("unable to look up host dovecot: Name or service not known", {"status": "5.4.4"}, "dns_failure", "hard", False),
    ("550 5.4.310 DNS domain smarthost.example.org does not exist [Message=InfoDomainNonexistent]", {"status": "5.4.310"}, "dns_failure", "hard", False),
    ("550 5.4.310 DNS domain example.com does not exist [Message=InfoDomainNonexistent]", {"status": "5.4.310"}, "domain_unknown", "hard", True),
    ("450 4.4.3 Host or domain name not found. Name service error for name=example.com type=MX: Host not found, try again", {"status": "4.4.3"}, "dns_failure", "soft", False),
    # what a reply quotes is not what it says
    ("550 Sender callout verification failed (response: 550 5.1.1 User unknown)", {}, "sender_rejected", "hard", False),
    ("host mx.example.com[192.0.2.1] said: 550 Sender verify failed: 550 5.1.1 User unknown", {}, "sender_rejected", "hard", False),
    ("host mx.example.com[192.0.2.1] said: 450 Sender verify failed: 550 5.1.1 User unknown", {"status": "4.0.0"}, "sender_rejected", "soft", False),
    ("550 permanent failure for one or more recipients (fred@example.com:550 5.1.1 User unknown)", {}, "user_unknown", "hard", True),
    # Exchange's own status, before a reply that has none
    ("<mx.example.com #5.1.1 smtp;550 Delivery is not allowed to this address.>", {"status": "5.1.1"}, "policy_rejected", "hard", False),
    ("<mx.example.com #5.1.1 smtp;550 5.1.1 User unknown>", {"status": "5.1.1"}, "user_unknown", "hard", True),
    # who refused is not named: the recipient's provider may have
    ("550 Unknown user fred@docomo.ne.jp", {"remote": "", "reporting": "a1.smtp-out.amazonses.com", "domain": "docomo.ne.jp"}, "recipient_rejected", "hard", False),
    # a frame about the client
    ("554 5.7.1 <mail.example.org[192.0.2.1]>: Client host rejected: Access denied", {}, "blocked_reputation", "hard", False),
    # greylisting
    ("450 4.2.0 <fred@example.com>: Recipient address rejected: Greylisted, see http://postgrey.example/", {"status": "4.2.0"}, "greylisted", "soft", False),
    # Original words, other reasons
    ("550 5.7.1 Delivery not authorized, message refused", {}, "policy_rejected", "hard", False),
    ("550 5.7.25 [192.0.2.1] The IP address sending this message does not have a PTR record setup", {}, "ptr_missing", "hard", False),
    ("550 5.6.7 SMTPUTF8 is required, but was not offered by host", {"status": "5.6.7"}, "eai_unsupported", "hard", False),
    ("554 5.4.6 Too many hops", {"status": "5.4.6"}, "routing_loop", "hard", False),
    ("554 Virus found in message", {}, "virus_detected", "hard", False),
    ("530 5.7.0 Must issue a STARTTLS command first", {}, "tls_failure", "hard", False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("diagnostic", "more", "reason", "severity", "suppress"), CASES, ids=[case[0][:60] for case in CASES]
)
def test_case(diagnostic: str, more: dict[str, str], reason: str | None, severity: str, suppress: bool) -> None:
    failure = verdict(diagnostic, **more)
    if reason is not None:
        assert failure.reason == reason
    assert (failure.severity, failure.suppress) == (severity, suppress)


def test_delayed_is_soft_and_counts_for_nothing() -> None:
    failure = verdict("550 5.1.1 User unknown", status="5.1.1", action="delayed")
    assert (failure.action, failure.severity, failure.suppress) == ("delayed", "soft", False)


def test_evidence_names_the_winner_and_what_lost() -> None:
    failure = verdict("550 5.7.1 No such user", status="5.7.1")
    assert failure.evidence[0].text == "no such user"
    assert failure.evidence[0].source == "dsn.diagnostic"
    assert [(one.rule, one.effect) for one in failure.evidence[1:]] == [
        ("status:5.7.1", "policy_rejected: lost, weaker evidence")
    ]


def test_original_recipient_is_the_one_to_act_on() -> None:
    raw = DSN.replace("Final-Recipient:", "Original-Recipient: rfc822; wife@example.net\nFinal-Recipient:")
    raw = raw.format(
        diagnostic="550 5.1.1 User unknown", status="5.1.1", remote="mx.example.com", reporting="x", action="failed"
    )
    (failure,) = bounceclass.classify(raw).failures
    assert (failure.recipient, failure.final_recipient) == ("wife@example.net", "fred@example.com")


@pytest.mark.parametrize(
    ("diagnostic", "reason"),
    [
        ("550 <list@sender.example>: No such user", "sender_rejected"),
        ("550 5.1.0 <list@sender.example> user unknown", "sender_rejected"),
        ("550 Your address owner-list@sender.example does not exist", "sender_rejected"),  # the envelope sender
        ("550 sender.example has no MX or A record", "sender_rejected"),
        ("550 Domain sender.example does not exist", "sender_rejected"),
        ("550 <desk@example.com> user unknown", "sender_rejected"),  # in the recipient's domain
        ("550 Domain example.com does not exist", "domain_unknown"),
        ("550 <fred@example.com>: No such user; list@sender.example wrote", "user_unknown"),
        ("550 <other@forwarded.example>: No such user", "user_unknown"),
        ("550 no such user (mx.sender.example)", "user_unknown"),
    ],
)
def test_a_reply_that_names_the_sender_is_not_about_the_recipient(diagnostic: str, reason: str) -> None:
    raw = DSN.replace("list-bounces@example.org", "owner-list@sender.example").format(
        diagnostic=diagnostic, status="5.0.0", remote="mx.example.com", reporting="mail.sender.example", action="failed"
    )
    returned = "--b\nContent-Type: text/rfc822-headers\n\nReturn-Path: <desk@example.com>\nFrom: List <list@sender.example>\nTo: fred@example.com\n\n--b--\n"
    (failure,) = bounceclass.classify(raw.replace("--b--\n", returned)).failures
    assert (failure.reason, failure.suppress) == (reason, reason != "sender_rejected")
    if reason == "sender_rejected":
        assert failure.evidence[0].effect in (
            "sender_rejected",
            f"{failure.evidence[0].effect.partition(',')[0]}, read as sender_rejected: said of the sender",
        )


def test_a_code_in_the_human_part_is_soft_beside_a_transient_status() -> None:
    raw = DSN.format(
        diagnostic="access denied", status="4.4.7", remote="mx.example.com", reporting="x", action="failed"
    ).replace("could not be delivered.", "could not be delivered.\n\n<fred@example.com>: 550 5.0.0 go away")
    (failure,) = bounceclass.classify(raw).failures
    assert (failure.reply_code, failure.severity) == (550, "soft")


def test_the_providers_advice_is_not_given_for_what_was_read_otherwise() -> None:
    words = "550 5.7.124 Sender not in allowed-senders list"
    at_rcpt, at_mail = (
        verdict(words + f" (in reply to {stage} command)", remote=OUTLOOK) for stage in ("RCPT TO", "MAIL FROM")
    )
    assert (at_rcpt.reason, at_mail.reason) == ("recipient_restricted", "sender_rejected")
    assert at_mail.suggestion == bounceclass.explain("550 sender rejected").suggestion != at_rcpt.suggestion


def test_a_refusal_of_nobody_in_particular_is_not_read_as_one_of_the_sender_it_names() -> None:
    failure = verdict("550 Domain example.org: recipient rejected")
    assert (failure.reason, failure.scope) == ("recipient_rejected", "unknown")


@pytest.mark.parametrize(
    ("diagnostic", "reason"),
    [
        ("550 <my-list-bounces@example.org>: No such user", "user_unknown"),
        ("550 <list-bounces@example.org.example>: No such user", "user_unknown"),
        ("550 Domain mail.example.org does not exist", "domain_unknown"),
    ],
)
def test_the_sender_is_not_named_by_a_longer_name(diagnostic: str, reason: str) -> None:
    assert verdict(diagnostic).reason == reason


def test_a_sender_without_a_domain_is_named_by_no_reply() -> None:
    raw = DSN.replace("list-bounces@example.org", "news").format(
        diagnostic="550 <other@forwarded.example>: No such user, said news",
        status="5.0.0", remote="mx.example.com", reporting="mail.example.org", action="failed",
    )  # fmt: skip
    (failure,) = bounceclass.classify(raw.encode()).failures
    assert failure.reason == "user_unknown"


def test_the_sender_is_named_in_whatever_case() -> None:
    raw = DSN.replace("list-bounces@example.org", "List-Bounces@Example.ORG").format(
        diagnostic="550 <List-Bounces@example.org>: No such user",
        status="5.0.0", remote="mx.example.com", reporting="mail.example.org", action="failed",
    )  # fmt: skip
    (failure,) = bounceclass.classify(raw.encode()).failures
    assert (failure.reason, failure.suppress) == ("sender_rejected", False)
