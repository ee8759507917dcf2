"""The rules of ``data/``: how words are prepared, indexed and weighed, on rows made up for the purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bounceclass import rulebook
from bounceclass.model import Reason
from bounceclass.rows import BrokenRules, Provider, Rule
from bounceclass.rulebook import OwnedRule, Rulebook

if TYPE_CHECKING:
    from pathlib import Path

BUILT_IN = rulebook.load()


def rule(name: str, reason: str = "user_unknown", **keys: Any) -> Rule:
    return Rule(id=name, reason=Reason(reason), source="made up", examples=("x",), **keys)


def book(*rules: Rule, **providers: dict[str, Any]) -> Rulebook:
    """A rulebook of *rules*; one whose id begins with a provider's name and a dot is that provider's."""
    return Rulebook(
        reasons=BUILT_IN.reasons,
        statuses=BUILT_IN.statuses,
        replies=BUILT_IN.replies,
        providers={name: Provider(name=name, title=name, **keys) for name, keys in providers.items()},
        rules=[OwnedRule(owner if (owner := one.id.partition(".")[0]) in providers else None, one) for one in rules],
        version="0",
    )


def winners(
    rules: Rulebook,
    text: str,
    code: int | None = None,
    status: str | None = None,
    command: str | None = None,
    dialect: str | None = None,
    providers: tuple[str, ...] = (),
    before: str = "",
) -> list[str]:
    said = rules.said(
        text,
        before=before,
        code=code,
        status=status,
        command=command,
        dialect=dialect,
        providers=frozenset(providers),
    )
    return [match.rule.id for match in rules.match(said)]


# --- words --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "general", "about_sender", "frame"),
    [
        ("<fred@example.com>: Recipient address rejected: User unknown", "~: user unknown", False, "recipient address"),
        ("<a@example.org>: Sender address rejected: not found", "~: not found", True, "sender address"),
        ("<mx.example.org[192.0.2.1]>: Client host rejected: no", "~: no", True, "client host"),
        ("<x>: Helo command rejected: bad", "<x>: bad", True, "helo command"),
        ("message rejected: spam", "message rejected: spam", False, ""),
        ("unknown", "unknown", False, ""),
    ],
)
def test_frames_are_taken_off(text: str, general: str, about_sender: bool, frame: str) -> None:
    said = book().said(text, code=None, status=None, command=None, providers=frozenset())
    assert (said.blanked, said.about_sender, said.frame) == (general, about_sender, frame)


# --- matching -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("phrase", "text", "fits"),
    [
        ("user unknown", "550 USER\n  Unknown here", True),
        ("mailbox full", "mailbox fullness", True),
        # a phrase begins at the beginning of a word
        ("full", "awful", False),
        ("full", "beautiful, and full", True),
        ("full", "手full", True),
        # its number ends where it ends
        ("error 55", "error 550", False),
        ("error 55", "error 55.", True),
        # a gap
        ("mailbox * full", "mailbox ~ is quite full", True),
        ("mailbox * full", "full mailbox", False),
        ("mailbox * full", f"mailbox {'x' * (rulebook.MAX_GAP + 1)} full", False),
        ("mailbox * full", f"mailbox {'x' * rulebook.MAX_GAP} full", True),
        ("mailbox * full", f"mailbox {'x' * (rulebook.MAX_GAP + 1)} mailbox is full", True),
        # no more than 16 beginnings are tried
        ("mailbox * full", "mailbox " * 40 + "is full", False),
        ("user * unknown", "superuser is unknown", False),
        ("a * b * c", "a x b y c", True),
        ("a * b * c", "a " * 40 + "c b", False),
        # what is blanked
        ("no such user ~", "No such user fred@example.com here", True),
        ("spam", "host mail.spam.example.com said no", False),
    ],
)
def test_phrases(phrase: str, text: str, fits: bool) -> None:
    assert winners(book(rule("one", phrases=(phrase,))), text) == (["one"] if fits else [])


@pytest.mark.parametrize(
    ("keys", "said", "fits"),
    [
        ({"status": ("5.7.1",)}, {"status": "5.7.1"}, True),
        ({"status": ("5.7.1",)}, {"status": "4.7.1"}, False),
        ({"status": ("5.7.1",)}, {}, False),
        ({"status": ("X.7.1",)}, {"status": "4.7.1"}, True),
        ({"reply": (550, 554)}, {"code": 554}, True),
        ({"reply": (550, 554)}, {"code": 552}, False),
        ({"reply": (550, 554)}, {}, False),
        ({"command": ("RCPT",)}, {"command": "RCPT"}, True),
        ({"command": ("RCPT",)}, {"command": "DATA"}, False),
        ({"command": ("RCPT",)}, {}, False),
        ({"dialect": ("qmail",)}, {"dialect": "qmail"}, True),
        ({"dialect": ("qmail",)}, {"dialect": "exim"}, False),
        ({"pattern": r"no \w+ here"}, {}, True),
        ({"pattern": r"NO \w+ HERE"}, {}, True),
        ({"pattern": r"no \d+ here"}, {}, False),
    ],
)
def test_what_binds_a_rule(keys: dict[str, Any], said: dict[str, Any], fits: bool) -> None:
    assert winners(book(rule("one", phrases=("no",), **keys)), "no user here", **said) == (["one"] if fits else [])


@pytest.mark.parametrize(
    ("stronger", "weaker"),
    [
        # in this order: not generic; the provider's own; bound to a command; to a code; literal characters
        (rule("a", phrases=("no",)), rule("example.b", phrases=("no user here",), generic=True)),
        (rule("example.a", phrases=("no",)), rule("b", phrases=("no user here",), command=("RCPT",))),
        (rule("a", phrases=("no",), command=("RCPT",)), rule("b", phrases=("no user here",), reply=(550,))),
        (rule("a", phrases=("no",), reply=(550,)), rule("b", phrases=("no user here",))),
        (rule("a", phrases=("no",), status=("5.1.1",)), rule("b", phrases=("no user here",))),
        (rule("a", phrases=("no user",)), rule("b", phrases=("user",))),
        # stars do not count
        (rule("a", phrases=("no user",)), rule("b", phrases=("no * h",))),
    ],
)
def test_the_more_specific_rule_wins(stronger: Rule, weaker: Rule) -> None:
    for rules in (book(stronger, weaker, example={}), book(weaker, stronger, example={})):
        got = winners(rules, "no user here", code=550, status="5.1.1", command="RCPT", providers=("example",))
        assert got == [stronger.id, weaker.id]


def test_the_longest_phrase_of_a_rule_counts() -> None:
    rules = book(
        rule("a", phrases=("no", "no user here")), rule("b", phrases=("no user",)), rule("c", phrases=("user", "no"))
    )
    assert winners(rules, "no user here") == ["a", "b", "c"]


def test_rules_without_phrases() -> None:
    rules = book(
        rule("a", status=("5.9.9",)),
        rule("b", reply=(521,)),
        rule("d", dialect=("qmail",)),
        rule("example.c", reply=(521,)),
        example={},
    )
    assert winners(rules, "x", status="5.9.9") == ["a"]
    assert winners(rules, "x", code=521) == ["b"]
    assert winners(rules, "x", dialect="qmail") == ["d"]
    assert winners(rules, "x", code=521, providers=("example",)) == ["example.c", "b"]
    said = rules.said("x", code=521, status="5.9.9", command=None, providers=frozenset())
    assert {match.rule.id: match.text for match in rules.match(said)} == {"a": "5.9.9", "b": "521"}


def test_a_providers_rule_sees_the_reply_as_it_is_and_only_its_own() -> None:
    rules = book(
        rule("example.a", phrases=("p=nosuchuser",)), rule("other.b", phrases=("p=nosuchuser",)), example={}, other={}
    )
    reply = "see https://support.example.com/?p=NoSuchUser"
    assert winners(rules, reply, providers=("example",)) == ["example.a"]
    assert winners(rules, reply) == []
    assert winners(rules, "no", before=reply, providers=("other",)) == ["other.b"]
    assert winners(rules, "no", before=reply) == []


def test_the_words_that_matched_are_kept() -> None:
    rules = book(rule("a", phrases=("no * here",)))
    said = rules.said(
        "Sorry, no user fred@example.com here.", code=None, status=None, command=None, providers=frozenset()
    )
    assert [match.text for match in rules.match(said)] == ["no user ~ here"]


# --- who refused ----------------------------------------------------------------

PROVIDERS = book(
    example={"hosts": ("mx.example.com",), "domains": ("example.com",), "marks": ("- exmark",)},
    other={"hosts": ("example.net",), "marks": ("Othermark", "- Exmark two")},
)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("mx.example.com", "example"),
        ("a.b.mx.example.com", "example"),
        ("notmx.example.com", None),
        ("example.com", None),
        ("example.net", "other"),
        ("", None),
        (None, None),
    ],
)
def test_provider_of_host(host: str | None, expected: str | None) -> None:
    assert PROVIDERS.provider_of_host(host) == expected


@pytest.mark.parametrize(("domain", "expected"), [("example.com", "example"), ("example.net", None), ("", None)])
def test_provider_of_domain(domain: str, expected: str | None) -> None:
    assert PROVIDERS.provider_of_domain(domain) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("550 no abc - exmark", ["example"]),
        ("othermark and - exmark and othermark", ["other", "example"]),
        ("- exmark two", ["example", "other"]),
        ("anothermark", []),
        ("", []),
    ],
)
def test_providers_marked(reply: str, expected: list[str]) -> None:
    assert PROVIDERS.providers_marked(reply) == expected


# --- codes --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("5.1.1", "X.1.1"),
        ("4.1.1", "X.1.1"),
        ("5.7.512", "X.7.5XX"),
        ("5.7.606", "X.7.606-649"),
        ("4.7.860", "X.7.850-899"),
        ("5.7.300", None),
        ("5.9.9", None),
    ],
)
def test_status_row(status: str, expected: str | None) -> None:
    row = BUILT_IN.status_row(status)
    assert (row.code if row else None) == expected


@pytest.mark.parametrize(("code", "expected"), [(550, "550"), (599, None)])
def test_reply_row(code: int, expected: str | None) -> None:
    row = BUILT_IN.reply_row(code)
    assert (row.code if row else None) == expected


# --- the files ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ([rule("a", phrases=("x",)), rule("a", phrases=("y",))], "a: this id stands twice"),
        ([rule("a")], "a: needs phrases, or a status, reply or dialect"),
        ([rule("a", phrases=(" * ",))], "a: the phrase ' \\* ' has no words"),
        ([rule("a", phrases=("x",), pattern="(")], "a: pattern: missing \\)"),
        ([Rule(id="a", reason=Reason.EXPIRED, source="s", examples=(), phrases=("x",))], "a: has no example"),
    ],
)
def test_rows_that_make_no_sense(rules: list[Rule], problem: str) -> None:
    with pytest.raises(BrokenRules, match=problem):
        book(*rules).compile()


def test_every_reason_has_a_row() -> None:
    with pytest.raises(BrokenRules, match=r"reasons\.toml: lacks user_unknown, "):
        Rulebook(reasons={}, statuses={}, replies={}, providers={}, rules=[], version="0")


PROVIDER = """\
[provider]
name = "example"
title = "Example"
hosts = ["mx.example.com"]

[[rule]]
id = "example.no"
reason = "user_unknown"
phrases = ["no"]
examples = ["550 no"]
source = "made up"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of rules of one's own, which as yet has none."""
    (tmp_path / "mine" / "providers").mkdir(parents=True)
    return tmp_path / "mine"


def test_a_folder_of_rules(folder: Path) -> None:
    (folder / "providers" / "README").write_text("no rules")
    (folder / "providers" / "example.toml").write_text(PROVIDER)
    mine = rulebook.load(folder)
    assert mine.version != BUILT_IN.version
    assert mine.owner["example.no"] == "example"
    assert mine.provider_of_host("mx.example.com") == "example"
    assert len(mine.rules) == len(BUILT_IN.rules) + 1


def test_a_rule_more_for_a_known_provider(folder: Path) -> None:
    row = PROVIDER[PROVIDER.index("[[rule]]") :]
    (folder / "providers" / "google.toml").write_text(row.replace("example.no", "mine.no"))
    mine = rulebook.load(folder)
    assert mine.owner["mine.no"] == "google"
    assert mine.providers == BUILT_IN.providers


def test_of_two_rules_that_fit_equally_the_later_folder_wins(folder: Path) -> None:
    row = PROVIDER[PROVIDER.index("[[rule]]") :].replace("example.no", "mine.no")
    (folder / "general.toml").write_text(row.replace('"no"', '"user unknown"').replace("user_unknown", "mailbox_full"))
    assert winners(BUILT_IN, "user unknown")[0] == "general.user-unknown"
    assert winners(rulebook.load(folder), "user unknown")[:2] == ["mine.no", "general.user-unknown"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (PROVIDER.replace("phrases", "phrase"), "providers/example.toml: .*phrase"),
        (
            PROVIDER.replace("user_unknown", "user_unkown"),
            "providers/example.toml: .*user_unkown'; did you mean 'user_unknown'",
        ),
        (PROVIDER.replace('source = "made up"', ""), "providers/example.toml: .*source"),
        (PROVIDER + 'scope = "adress"\n', "rule\\[0\\].scope: Invalid enum value 'adress'; did you mean 'address'"),
        ("[[rule", "providers/example.toml: "),
        ('x = "\xff"', "providers/example.toml: is not written in UTF-8"),
        (PROVIDER.replace('"example"', '"google"'), r"the provider google is known; leave out \[provider\]"),
        (PROVIDER[PROVIDER.index("[[rule]]") :], r"there is no provider example; say in \[provider\]"),
        (PROVIDER.replace("example.no", "general.user-unknown"), "general.user-unknown: this id stands twice"),
    ],
)
def test_broken_files_are_named(folder: Path, content: str, problem: str) -> None:
    (folder / "providers" / "example.toml").write_bytes(content.encode("latin-1"))
    with pytest.raises(BrokenRules, match=problem):
        rulebook.load(folder)


# --- the built-in data ------------------------------------------------------------


def test_only_these_reasons_may_suppress() -> None:
    dead = {reason for reason, row in BUILT_IN.reasons.items() if row.suppress}
    assert dead == {
        "user_unknown",
        "bad_address_syntax",
        "address_moved",
        "domain_unknown",
        "domain_no_mail",
        "suppressed",
    }
    assert {BUILT_IN.reasons[reason].scope for reason in dead} == {"address", "domain"}


def test_what_is_soft_whatever_the_code() -> None:
    assert {reason: row.always for reason, row in BUILT_IN.reasons.items() if row.always} == {
        "mailbox_full": "soft",
        "too_many_recipients": "soft",
    }


def test_few_reply_codes_alone_speak_of_a_dead_address() -> None:
    """RFC 7504's 556, and the replies with which Mailgun names its own suppression list."""
    telling = {code for code, row in BUILT_IN.replies.items() if row.reason and not row.generic}
    dead = {code for code in telling if (reason := BUILT_IN.replies[code].reason) and BUILT_IN.reasons[reason].suppress}
    assert dead == {"556", "605", "606", "607"}


def test_rules_are_loaded_once() -> None:
    assert rulebook.load() is BUILT_IN


@pytest.mark.parametrize(
    ("frame", "about_sender"),
    [
        ("recipient address", False), ("sender address", True), ("client host", True), ("client", True), ("helo command", True),
        ("ehlo command", True), ("end-of-data", False), ("data command", False), ("relay", False),
    ],
)  # fmt: skip
def test_every_frame_is_taken_off(frame: str, about_sender: bool) -> None:
    said = BUILT_IN.said(
        f"<x.example>: {frame.title()} rejected: no", code=None, status=None, command=None, providers=frozenset()
    )
    assert (said.blanked, said.frame, said.about_sender) == ("~: no", frame, about_sender)
