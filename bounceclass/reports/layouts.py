"""Reads free-form notices by the layouts of their dialects."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bounceclass import fields
from bounceclass.model import Action, Confidence, Kind, Notice, Outcome
from bounceclass.reports import origin

if TYPE_CHECKING:
    from bounceclass.reports.dialects import Entry, Found
    from bounceclass.reports.page import Page

__all__ = ["MANY", "MAX_REASON", "MAX_REASON_OF_MANY", "author", "passages", "read"]

MAX_REASON = 16 * 1024
"""Characters that are read of what a notice says about one recipient."""
MANY = 100
"""Recipients up to which so much is read."""
MAX_REASON_OF_MANY = 1024
"""Characters of each reason there."""

# "(generated from a@b)", "(ultimately generated from a@b)" (Exim), "(expanded from: <a@b>)" (Sendmail, Postfix)
_GENERATED = re.compile(
    r"\(?\b(?:ultimately generated from|generated from|expanded from:?)\s{1,20}<?([^\s<>()]{1,320}@[^\s<>()]{1,255})>?\)?",
    re.I,
)
# "##rfc822;a@b" (Exchange 2007)
_HASHED = re.compile(r"##(?:rfc822;(\S{1,320}@[^\s#]{1,255}))?", re.I)


def read(page: Page) -> Notice | None:
    """Return what the first layout with recipients finds; see the contract in ``reports``."""
    is_notice = page.may_be_notice
    if page.is_forwarded or not (is_notice or page.may_concern_letters):
        return None
    otherwise = None
    for found in page.candidates:
        layout = found.entry.layout
        if not found.entry.tells_of_failure:
            if found.at > page.end():
                continue  # it stands in what this notice returns
            notice = Notice(kind=layout.kind, dialect=found.entry.dialect, confidence=Confidence.PROBABLE)
            if not _follows_failure(page, found):
                return notice
            otherwise = otherwise or notice
            continue
        outcomes, returned = _outcomes(page, found) if is_notice else ([], "")
        if outcomes:
            kind = Kind.DELAY if all(outcome.action is Action.DELAYED for outcome in outcomes) else Kind.BOUNCE
            return Notice(
                kind=kind,
                dialect=found.entry.dialect,
                outcomes=tuple(outcomes),
                confidence=Confidence.PROBABLE,
                returned=returned,
            )
    return otherwise


def _follows_failure(page: Page, found: Found) -> bool:
    """Tell whether a mark stands behind that of a failure, so perhaps in the message that it returns."""
    return any(other.at < found.at and other.entry.tells_of_failure for other in page.candidates)


def author(page: Page) -> tuple[str | None, Kind]:
    """Return who wrote a notice, by the longest mark, and what that layout is for."""
    if not page.candidates:
        return None, Kind.BOUNCE
    entry = page.candidates[0].entry
    return entry.dialect, entry.layout.kind


def passages(page: Page) -> list[Outcome]:
    """Return what a notice's text says of each recipient, by the first layout that finds one."""
    for found in page.candidates:
        outcomes, _ = _outcomes(page, found)
        if outcomes:
            return outcomes
    return []


def _outcomes(page: Page, found: Found) -> tuple[list[Outcome], str]:
    """Return the outcomes of one layout, and the text after the notice."""
    layout, pattern = found.entry.layout, found.entry.recipient
    if pattern is None:
        return [], ""
    region, transcript, end = _region(page, found)
    matches: list[re.Match[str]] = []
    addresses: list[str] = []
    for match in pattern.finditer(region):
        address = fields.clean(match["address"] if found.entry.names_address else match[1])
        if address and "@" not in address:
            address = f"{address}@{layout.domain}" if layout.domain else None
        # an address that a reply repeats at the beginning of a line is no new recipient
        if address and (not addresses or address != addresses[-1]):
            matches.append(match)
            addresses.append(address)
    if not matches:
        return [], ""
    delayed = layout.kind is Kind.DELAY or (layout.delay and _says_any(found.entry.delay, page, end))
    reasons = _reasons(found.entry, region, matches)
    parts = _parts(transcript) if len(matches) > 1 else {}
    outcomes: dict[str, Outcome] = {}
    for address, reason in zip(addresses, reasons, strict=True):
        key = address.lower()
        known = outcomes.get(key)
        if known is not None and (known.diagnostic or not reason):
            continue
        words, source = _source_of(reason)
        part = parts.get(key, "") if parts else transcript
        outcomes[key] = Outcome(
            recipient=known.recipient if known else address,
            generated_from=fields.clean(source) if source else None,
            action=Action.DELAYED if delayed else Action.FAILED,
            diagnostic=f"{words}\n{part[:MAX_REASON].strip()}".strip(),
            source="text",
        )
    return list(outcomes.values()), page.words[end:]


def _region(page: Page, found: Found) -> tuple[str, str, int]:
    """Return where a layout looks for recipients, the session transcript below it, and where the notice ends."""
    text, lower, entry = page.words, page.text, found.entry
    start = _after(lower, entry.begin, max(found.at, 0))
    start = lower.rfind("\n", 0, start) + 1
    stop = end = page.end(start)
    for title in entry.stop:
        at = lower.find(title, start, stop)
        stop = at if at >= 0 else stop
    for title in entry.transcript:
        at = lower.find(title, start, stop)
        if at >= 0:
            return text[start:at], text[at + len(title) : stop], end
    return text[start:stop], "", end


def _says_any(words: tuple[str, ...], page: Page, end: int) -> bool:
    subject = page.subject
    return any(page.text.find(word, 0, end) >= 0 or word in subject for word in words)


def _reasons(entry: Entry, region: str, matches: list[re.Match[str]]) -> list[str]:
    """Return the words about each recipient: on its line, after it, or where the row says."""
    limit = MAX_REASON if len(matches) <= MANY else MAX_REASON_OF_MANY
    reason = entry.reason
    anywhere = reason.search(region) if reason is not None else None
    shared = region[matches[-1].end() :][:limit] if entry.layout.shared else ""
    reasons = []
    for index, match in enumerate(matches):
        if entry.layout.shared:
            chunk = shared
        else:
            end = matches[index + 1].start() if index + 1 < len(matches) else len(region)
            chunk = region[match.end() : end][:limit]
        if reason is not None:
            found = reason.search(chunk) or anywhere
            chunk = (found[1] or "") if found else ""
        on_line = match["reason"] if entry.names_reason else None
        reasons.append(f"{on_line.strip()}\n{chunk.strip()}".strip() if on_line else chunk.strip())
    return reasons


def _after(lower: str, marks: tuple[str, ...], start: int) -> int:
    """Return where the line after the first of *marks* begins, or *start*."""
    for mark in marks:
        at = lower.find(mark, start)
        if at >= 0:
            line = lower.find("\n", at)
            return at if line < 0 else line + 1
    return start


def _parts(transcript: str) -> dict[str, str]:
    """Return what a session transcript says of each address that it names.

    A part ends with the mailer's own line, which follows the remote's refusal ("550 <a@b>... User
    unknown": Sendmail), or begins with rule lines, one for each address that it is about
    ("------ a@b ------": Exim).
    """
    parts: list[list[str]] = [[]]
    said: dict[str, str] = {}
    for line in transcript.split("\n"):
        if line.startswith("------ ") and not (parts[-1] and parts[-1][-1].endswith(" ------")):
            parts.append([])
        parts[-1].append(line)
        if line[:1].isdigit():
            parts.append([])
    for lines in parts:
        part = "".join(f"{line}\n" for line in lines)
        for address in {match[0].lower() for match in origin.ADDRESS.finditer(part[:MAX_REASON])}:
            said[address] = (said.get(address, "") + part)[:MAX_REASON]
    return said


def _source_of(words: str) -> tuple[str, str | None]:
    """Take off what says where an address came from, and return it."""
    if "ed from" in words.lower() and (found := _GENERATED.search(words)):
        return (words[: found.start()] + words[found.end() :]).strip(" \n\t:"), found[1]
    if "##" in words and (found := _HASHED.search(words)):
        return (words[: found.start()] + words[found.end() :]).strip(), found[1]
    return words, None
