"""What a code or a reply means, who must act and what to do, without a message to read it in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bounceclass import advice, judge, rulebook
from bounceclass.misfit import nearest
from bounceclass.model import Explanation, Meaning, SuggestedAction

if TYPE_CHECKING:
    from bounceclass.rows import ReplyRow
    from bounceclass.rulebook import Rulebook
    from bounceclass.rules import Rules

__all__ = ["explain"]

# A reply code or a class of them, alone or before something
_CODE = re.compile(r"([1-6]\d\d|[1-5]yz)(?![\w.])", re.I)


def explain(
    query: str,
    *,
    provider: str | None = None,
    dialect: str | None = None,
    lang: str = "en",
    rules: Rules | None = None,
) -> Explanation:
    """Return what a code or a whole reply means, who must act and what to do.

    *query* is ``550``, ``5.1.1``, ``5yz`` or a reply as a server gave it.  *provider* is a
    name of ``data/providers``, in whatever letters, and *dialect* one of ``data/dialects``: who refused, and who
    wrote the notice that quotes it.  What is no refusal, ``250`` or ``2.1.5``, has no severity, and there is nothing to
    do.  *rules*, from ``load_rules``, are the built-in ones
    unless given.  Raises ValueError for a provider or a language that is not known.
    """
    book = rules.book if rules else rulebook.load()
    words = advice.phrasebook(lang)
    if not isinstance(query, str):
        raise TypeError(f"a code or a reply is text, not {type(query).__name__}")
    if provider is not None and provider.lower() not in book.providers:
        raise ValueError(f"no provider {provider!r}{nearest(provider.lower(), sorted(book.providers))}")
    provider = provider and provider.lower()
    query = query.encode("utf-8", "replace").decode("utf-8").strip()
    reading = judge.read_words(query, book, dialect=dialect, provider=provider)
    verdict = judge.weigh(reading, book)
    ruling = judge.conclude(reading, verdict, book, lang)
    code = reading.code or _leading_code(query)
    accepts = reading.status[0] == "2" if reading.status else code is not None and code < 400
    refuses = bool(verdict.evidence) or not accepts
    return Explanation(
        query=query,
        reply_code=code,
        status=reading.status,
        provider=reading.provider,
        severity=ruling.severity if refuses and (code or reading.status or verdict.evidence) else None,
        reason=verdict.reason,
        scope=verdict.scope,
        suppress=ruling.suppress,
        suggested_action=ruling.action if refuses else SuggestedAction.NONE,
        suggestion=ruling.suggestion if refuses else "",
        who=words.who[book.reasons[verdict.reason].who] if refuses else "",
        url=verdict.advice.url if verdict.advice else None,
        meanings=tuple(_meanings(query, code, reading.status, book, lang)),
        evidence=verdict.evidence,
    )


def _leading_code(query: str) -> int | None:
    """Return a code that is no refusal: 250, 354, ..."""
    found = _CODE.match(query)
    return int(found[1]) if found and found[1].isdecimal() else None


def _meanings(query: str, code: int | None, status: str | None, rules: Rulebook, lang: str) -> list[Meaning]:
    """Return what the registries say of each code, the reply code first."""
    found = _CODE.match(query)
    key = str(code) if code is not None else found[1].lower() if found else ""
    meanings = [_of_reply(rules.replies[key], lang)] if key in rules.replies else []
    if status is not None:
        subject = f"X.{status.split('.')[1]}.X"
        rows = (rules.statuses.get(f"{status[0]}.X.X"), rules.status_row(status) or rules.statuses.get(subject))
        meanings += [Meaning(code=row.code, meaning=row.meaning[lang], source=row.source) for row in rows if row]
    return meanings


def _of_reply(row: ReplyRow, lang: str) -> Meaning:
    return Meaning(
        code=row.code,
        meaning=row.meaning[lang],
        action=row.action[lang],
        source=row.source,
        vendor=row.vendor.get(lang, ""),
    )
