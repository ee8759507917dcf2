"""Suggestions, in every language there is."""

from __future__ import annotations

import pytest

from bounceclass import advice, rulebook
from bounceclass.model import Confidence, Kind, Reason, Scope, Severity, SuggestedAction
from bounceclass.rows import Advice


@pytest.mark.parametrize("language", advice.LANGUAGES)
def test_every_term_has_words(language: str) -> None:
    book = advice.phrasebook(language)
    assert book.language == language
    assert set(book.reason) == set(Reason)
    assert set(book.action) == set(SuggestedAction)
    assert set(book.severity) == set(Severity)
    assert set(book.scope) == set(Scope)
    assert set(book.confidence) == set(Confidence)
    assert set(book.kind) == set(Kind)
    assert {row.who for row in rulebook.load().reasons.values()} <= set(book.who)
    words = [*(text for row in book.reason.values() for text in (row.meaning, row.suggestion)), *book.action.values()]
    assert all(one == one.strip() and one for one in words)


def test_languages_say_the_same_things_in_other_words() -> None:
    en, it = advice.phrasebook("en"), advice.phrasebook("it")
    for table in ("action", "severity", "scope", "confidence", "who", "kind", "command", "reply_class", "code_kind"):
        assert getattr(en, table).keys() == getattr(it, table).keys()
    assert [reason for reason in Reason if en.reason[reason].suggestion == it.reason[reason].suggestion] == []


@pytest.mark.parametrize("language", ["de", "", "EN", "../en"])
def test_unknown_languages(language: str) -> None:
    with pytest.raises(ValueError, match="there are en, it"):
        advice.phrasebook(language)


OWN = Advice(en="Ask us.", it="Chiedi a noi.")
LINKED = Advice(en="Ask us.", it="Chiedi a noi.", url="https://example.com/ask")
QUOTED = Advice(en="Ask https://example.com/ask.", it="Vedi https://example.com/ask.", url="https://example.com/ask")


@pytest.mark.parametrize(
    ("own", "language", "expected"),
    [
        (OWN, "en", "Ask us."),
        (OWN, "it", "Chiedi a noi."),
        (LINKED, "en", "Ask us. https://example.com/ask"),
        (LINKED, "it", "Chiedi a noi. https://example.com/ask"),
        (QUOTED, "en", "Ask https://example.com/ask."),
    ],
)
def test_the_providers_advice_comes_first(own: Advice, language: str, expected: str) -> None:
    assert advice.suggest(Reason.RATE_LIMITED, own, language) == expected


@pytest.mark.parametrize("language", advice.LANGUAGES)
def test_the_reasons_advice_otherwise(language: str) -> None:
    expected = advice.phrasebook(language).reason[Reason.MAILBOX_FULL].suggestion
    assert advice.suggest(Reason.MAILBOX_FULL, None, language) == expected
