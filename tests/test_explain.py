"""explain: what a code or a reply means, who must act and what to do."""

from __future__ import annotations

from typing import Any

import pytest

import bounceclass
from bounceclass import judge, recipients, rulebook
from bounceclass.model import Action, Kind, Mail, Notice, Outcome

# The reply codes that guides for mail users list
GUIDE = [
    "211",
    "214",
    "220",
    "221",
    "250",
    "251",
    "252",
    "354",
    "420",
    "421",
    "432",
    "449",
    "450",
    "451",
    "452",
    "455",
    "500",
    "501",
    "502",
    "503",
    "504",
    "550",
    "551",
    "552",
    "553",
    "554",
    "555",
]
CLASSES = ("2yz", "3yz", "4yz", "5yz")


@pytest.mark.parametrize("lang", ["en", "it"])
@pytest.mark.parametrize("code", [*GUIDE, *CLASSES])
def test_guide(code: str, lang: str) -> None:
    meaning = bounceclass.explain(code, lang=lang).meanings[0]
    assert meaning.code == code
    assert len(meaning.meaning) > 15
    assert len(meaning.action) > 10


@pytest.mark.parametrize("code", ["420", "432", "449", "555"])
def test_what_one_vendor_means_is_said_to_be_its_own(code: str) -> None:
    assert bounceclass.explain(code).meanings[0].vendor != ""


def test_every_code_is_explained_in_both_languages() -> None:
    rules = rulebook.load()
    assert len([row for row in rules.replies.values() if row.code.isdecimal()]) == 85
    assert sum(row.kind == "detail" and row.registered for row in rules.statuses.values()) >= 81
    meanings = [row.meaning for row in rules.replies.values()] + [row.meaning for row in rules.statuses.values()]
    assert [meaning for meaning in meanings if meaning["en"] == meaning["it"]] == []
    assert min(len(text) for meaning in meanings for text in meaning.values()) > 10


@pytest.mark.parametrize(
    ("query", "provider", "reply", "status", "reason", "severity", "action"),
    [
        ("550", None, 550, None, "undetermined", "hard", "review"),
        ("5.1.1", None, None, "5.1.1", "user_unknown", "hard", "suppress"),
        ("550 5.1.1", None, 550, "5.1.1", "user_unknown", "hard", "suppress"),
        ("450 4.1.1 user unknown", None, 450, "4.1.1", "user_unknown", "soft", "suppress_if_repeated"),
        ("550 5.1.1 Blocked", None, 550, "5.1.1", "user_unknown", "hard", "suppress_if_repeated"),
        ("450 4.2.2 over quota", None, 450, "4.2.2", "mailbox_full", "soft", "suppress_if_repeated"),
        (
            "550 5.4.1 Recipient address rejected: Access denied",
            "microsoft",
            550,
            "5.4.1",
            "user_unknown",
            "hard",
            "suppress",
        ),
        ("552", None, 552, None, "mailbox_full", "soft", "suppress_if_repeated"),
        ("556", None, 556, None, "domain_no_mail", "hard", "suppress_if_repeated"),
        # what is no refusal
        ("250", None, 250, None, "undetermined", None, "none"),
        ("2.1.5", None, None, "2.1.5", "undetermined", None, "none"),
        ("250 2.1.5 ok", None, 250, "2.1.5", "undetermined", None, "none"),
        ("hello", None, None, None, "undetermined", None, "review"),
    ],
)
def test_verdict(
    query: str,
    provider: str | None,
    reply: int | None,
    status: str | None,
    reason: str,
    severity: str | None,
    action: str,
) -> None:
    got = bounceclass.explain(query, provider=provider)
    assert (got.reply_code, got.status, got.reason, got.severity, got.suggested_action) == (
        reply,
        status,
        reason,
        severity,
        action,
    )


def test_a_reply_is_judged_as_in_a_report() -> None:
    book = rulebook.load()
    notice, nobodys = Notice(kind=Kind.BOUNCE), recipients.Traffic(Mail(headers={}), {})
    differ = []
    for rule in book.rules:
        provider = book.owner[rule.id]
        if provider is not None or rule.dialect:
            continue
        for words in rule.examples:
            outcome = Outcome(
                final_recipient="x@example.invalid", action=Action.FAILED, diagnostic=words, source="text"
            )
            failure, explained = judge.judge(outcome, notice, nobodys, book), bounceclass.explain(words)
            keys = ("reason", "scope", "severity", "suppress", "suggested_action", "suggestion", "status", "reply_code")
            differ += [(words, key) for key in keys if getattr(failure, key) != getattr(explained, key)]
    assert differ == []


def test_in_italian() -> None:
    got = bounceclass.explain("5.1.1", lang="it")
    assert got.suggestion.startswith("Smetti")
    assert got.who == "chi gestisce la lista"


@pytest.mark.parametrize("more", [{"provider": "nobody"}, {"lang": "tlh"}])
def test_what_is_not_known_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="there are"):
        bounceclass.explain("550", **more)


def test_what_is_no_refusal_needs_nothing() -> None:
    got = bounceclass.explain("250 2.0.0 queued")
    assert (got.suggestion, got.who, [one.code for one in got.meanings]) == ("", "", ["250", "2.X.X", "X.0.0"])


def test_a_provider_may_be_written_in_capitals() -> None:
    assert bounceclass.explain("5.7.1", provider="GOOGLE").provider == "google"
    with pytest.raises(ValueError, match=r"no provider 'gogle'; did you mean 'google'\?"):
        bounceclass.explain("5.7.1", provider="gogle")


def test_only_text_is_explained() -> None:
    with pytest.raises(TypeError, match="text, not int"):
        bounceclass.explain(550)  # type: ignore[arg-type]
