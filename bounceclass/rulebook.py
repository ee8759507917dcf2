"""The rules of ``data/``: loaded, indexed, and matched by specificity.

docs/rules.md says what a row is.  Nothing here knows what a bounce looks like; it
is given the words of one refusal and returns every row that fits, the most specific
first.
"""

from __future__ import annotations

import re
import string
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

from bounceclass.model import Reason
from bounceclass.once import once
from bounceclass.phrasing import SENDER_FRAMES, blanked, normalised, unframed
from bounceclass.rows import (
    BrokenRules,
    GeneralFile,
    Provider,
    ProviderFile,
    ReasonRow,
    ReplyFile,
    ReplyRow,
    Rule,
    StatusFile,
    StatusRow,
    built_in,
    parse_table,
)
from bounceclass.words import automaton

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.resources.abc import Traversable
    from pathlib import Path

__all__ = ["Match", "OwnedRule", "Rulebook", "Said", "load"]

MAX_GAP = 120
"""Characters that a ``*`` in a phrase may stand for."""

_ALPHANUMERIC = frozenset(string.ascii_letters + string.digits)


class Said(Struct, frozen=True, kw_only=True):
    """The words of one refusal, as rules see them."""

    raw: str
    """Normalised, for the rules of providers."""
    blanked: str
    """Without addresses, hosts, URLs and frames, for general rules."""
    about_sender: bool = False
    """A frame says that the sender, its host or its HELO was refused."""
    frame: str = ""
    code: int | None = None
    status: str | None = None
    command: str | None = None
    dialect: str | None = None
    providers: frozenset[str] = frozenset()


class Match(Struct, frozen=True, kw_only=True):
    """A rule that fits, how specific it is, and the words it found."""

    rule: Rule
    rank: tuple[bool, bool, bool, bool, bool, int, int]
    """Not generic, the provider's own, bound to a command, about the sender, bound to a code, literal characters,
    precedence of its folder."""
    text: str


# --- the index ------------------------------------------------------------------


class _Entry:
    """A rule, where it stands, and what is known of its rank before any words are."""

    def __init__(self, owned: OwnedRule) -> None:
        rule = owned.rule
        self.rule = rule
        self.provider = owned.provider
        self.precedence = owned.precedence
        bound = bool(rule.status or rule.reply or rule.dialect)
        of_sender = rule.reason is Reason.SENDER_REJECTED
        self.rank = (not rule.generic, owned.provider is not None, bool(rule.command), of_sender, bound)
        self.always = not (bound or rule.command or rule.pattern)
        """Nothing but its phrases has to fit."""

    @once
    def pattern(self) -> re.Pattern[str] | None:
        """What has to stand in the words besides; compiled when it is first needed.  Raises BrokenRules."""
        return _compiled(self.rule)

    def fits(self, said: Said, words: str) -> bool:
        """Tell whether all but its phrases fits."""
        rule = self.rule
        return not (
            (rule.status and not _bound_to(rule.status, said.status))
            or (rule.reply and said.code not in rule.reply)
            or (rule.command and said.command not in rule.command)
            or (rule.dialect and said.dialect not in rule.dialect)
            or (self.pattern and not self.pattern.search(words))
        )

    def match(self, text: str, chars: int) -> Match:
        """Return that the rule fits, by *text*, in which *chars* literal characters are."""
        return Match(rule=self.rule, rank=(*self.rank, chars, self.precedence), text=text)


class _Phrases:
    """Finds every phrase of many rules in one pass over a text."""

    def __init__(self, entries: list[_Entry]) -> None:
        self._phrases: list[tuple[_Entry, tuple[str, ...] | None, int]] = []
        """Rule, the pieces of a phrase that has gaps, and its literal characters."""
        anchors: list[str] = []
        for entry in entries:
            for phrase in entry.rule.phrases:
                pieces = tuple(piece for piece in normalised(phrase).split("*") if piece.strip())
                if not pieces:
                    raise BrokenRules(f"{entry.rule.id}: the phrase {phrase!r} has no words")
                self._phrases.append((entry, pieces if len(pieces) > 1 else None, sum(map(len, pieces))))
                anchors.append(max(pieces, key=len))
        self._automaton = automaton(anchors)

    def find(self, text: str, said: Said) -> list[Match]:
        """Return the rules that fit *said*, by the longest of their phrases in *text*; each once."""
        best: dict[_Entry, tuple[int, str]] = {}
        tried: set[int] = set()
        refused: set[_Entry] = set()
        for index, start, end in self._automaton.find_matches_as_indexes(text, overlapping=True):
            entry, pieces, chars = self._phrases[index]
            if entry in refused or (entry in best and chars <= best[entry][0]):
                continue
            if entry.provider and entry.provider not in said.providers:
                continue
            if pieces is None:
                words = text[start:end] if _whole(text, start, end) else ""
            else:
                words = "" if index in tried else _gapped(text, pieces)
                tried.add(index)
            if not words:
                continue
            if entry.always or entry in best or entry.fits(said, text):
                best[entry] = (chars, words)
            else:
                refused.add(entry)
        return [entry.match(words, chars) for entry, (chars, words) in best.items()]


def _whole(text: str, start: int, end: int) -> bool:
    """A phrase begins at the beginning of a word, and its number ends where it ends."""
    if start and text[start - 1] in _ALPHANUMERIC and text[start] in _ALPHANUMERIC:
        return False
    return not (text[end - 1].isdigit() and text[end : end + 1].isdigit())


def _gapped(text: str, pieces: tuple[str, ...]) -> str:
    """Return what *pieces* begin and end, in order and no more than MAX_GAP characters apart; empty where they do not stand."""
    start = -1
    for _ in range(16):  # a bound on how often a first piece is tried
        start = text.find(pieces[0], start + 1)
        if start < 0:
            return ""
        end = start + len(pieces[0])
        if not _whole(text, start, end):
            continue
        for piece in pieces[1:]:
            at = text.find(piece, end, end + MAX_GAP + len(piece))
            if at < 0:
                break
            end = at + len(piece)
        else:
            return text[start:end]
    return ""


class OwnedRule(NamedTuple):
    """A rule, and where it stands."""

    provider: str | None
    rule: Rule
    precedence: int = 0
    """Of the folder it was read from: the built-in ones come before all others."""


class Rulebook:
    """Every row of the rule data, ready to be asked."""

    def __init__(
        self,
        *,
        reasons: dict[Reason, ReasonRow],
        statuses: dict[str, StatusRow],
        replies: dict[str, ReplyRow],
        providers: dict[str, Provider],
        rules: Sequence[OwnedRule],
        version: str,
    ) -> None:
        self.reasons = reasons
        self.statuses = statuses
        self.replies = replies
        self.providers = providers
        self.version = version
        self.rules = tuple(owned.rule for owned in rules)
        self.owner = {owned.rule.id: owned.provider for owned in rules}
        self.precedence = {owned.rule.id: owned.precedence for owned in rules}
        self._check()
        self._entries = entries = [_Entry(owned) for owned in rules]
        self._general = _Phrases([entry for entry in entries if entry.provider is None])
        self._owned = _Phrases([entry for entry in entries if entry.provider is not None])
        self._bare: dict[str, list[_Entry]] = {}
        for entry in entries:
            if not entry.rule.phrases:
                self._bare.setdefault(entry.provider or "", []).append(entry)
        self._families: dict[str, list[StatusRow]] = {}
        for row in statuses.values():
            if row.range:
                self._families.setdefault(row.code.split(".")[1], []).append(row)
        self._hosts = {end: name for name, provider in providers.items() for end in provider.hosts}
        self._domains = {end: name for name, provider in providers.items() for end in provider.domains}
        self._mark_owner = [name for name, provider in providers.items() for _ in provider.marks]
        marks = [normalised(mark) for provider in providers.values() for mark in provider.marks]
        self._marks = automaton(marks)

    def compile(self) -> None:
        """Compile every pattern now; raises BrokenRules."""
        for entry in self._entries:
            _ = entry.pattern

    def _check(self) -> None:
        """Refuse what would make a verdict depend on luck."""
        seen: set[str] = set()
        for rule in self.rules:
            if rule.id in seen:
                raise BrokenRules(f"{rule.id}: this id stands twice")
            seen.add(rule.id)
            if not (rule.phrases or rule.status or rule.reply or rule.dialect):
                raise BrokenRules(f"{rule.id}: needs phrases, or a status, reply or dialect to be bound to")
            if not rule.examples:
                raise BrokenRules(f"{rule.id}: has no example to prove itself with")
        if missing := [reason for reason in Reason if reason not in self.reasons]:
            raise BrokenRules(f"reasons.toml: lacks {', '.join(missing)}")

    # -- who refused

    def provider_of_host(self, name: str | None) -> str | None:
        """Return the provider whose servers *name* is one of, or None."""
        return _by_suffix(self._hosts, name)

    def provider_of_domain(self, domain: str) -> str | None:
        """Return the provider that keeps the mailboxes of *domain*, or None."""
        return _by_suffix(self._domains, domain)

    def providers_marked(self, raw: str) -> list[str]:
        """Return the providers whose marks stand in a normalised reply, in order."""
        found: list[str] = []
        for index, start, _ in self._marks.find_matches_as_indexes(raw, overlapping=True):
            name = self._mark_owner[index]
            if name not in found and not (start and raw[start - 1].isalnum()):
                found.append(name)
        return found

    # -- what was said

    def said(
        self,
        text: str,
        *,
        before: str = "",
        code: int | None,
        status: str | None,
        command: str | None,
        dialect: str | None = None,
        providers: frozenset[str],
    ) -> Said:
        """Return the words of a refusal as rules see them; only a provider's see what stands *before* the reply."""
        raw = normalised(text)
        general = blanked(raw)
        if before and providers:
            raw = f"{normalised(before)} {raw}"
        frame = ""
        if " rejected" in general:
            general, frame = unframed(general)
        return Said(
            raw=raw,
            blanked=general,
            about_sender=frame in SENDER_FRAMES,
            frame=frame,
            code=code,
            status=status,
            command=command,
            dialect=dialect,
            providers=providers,
        )

    def match(self, said: Said) -> list[Match]:
        """Return every rule that fits *said*, the most specific first.

        Of several phrases of one rule the longest counts.  Rules of equal rank keep no
        particular order: a test holds every pair of them to the same reason.
        """
        found = self._general.find(said.blanked, said) if said.blanked else []
        if said.providers and said.raw:
            found += self._owned.find(said.raw, said)
        for name in ("", *said.providers):
            for entry in self._bare.get(name, ()):
                if entry.fits(said, said.raw):
                    rule = entry.rule
                    text = said.status if rule.status else said.code if rule.reply else said.dialect
                    found.append(entry.match(str(text), 0))
        if len(found) > 1:
            found.sort(key=lambda match: match.rank, reverse=True)
        return found

    # -- what codes say

    def status_row(self, status: str) -> StatusRow | None:
        """Return what the registry says of the detail of *status*, whatever its class."""
        row = self.statuses.get("X" + status[1:]) or self.statuses.get(status)
        if row is None:
            subject, _, detail = status[2:].partition(".")
            for row in self._families.get(subject, ()):
                if row.range and row.range[0] <= int(detail) <= row.range[1]:
                    return row
            return None
        return row

    def reply_row(self, code: int) -> ReplyRow | None:
        """Return what is known of a reply code."""
        return self.replies.get(str(code))


def _by_suffix(table: dict[str, str], name: str | None) -> str | None:
    while name:
        if name in table:
            return table[name]
        name = name.partition(".")[2]
    return None


def _bound_to(wanted: tuple[str, ...], status: str | None) -> bool:
    return status is not None and (status in wanted or "X" + status[1:] in wanted)


_ESCAPE = re.compile(r"\\.")


def _compiled(rule: Rule) -> re.Pattern[str] | None:
    if rule.pattern is None:
        return None
    literal = _ESCAPE.sub("", rule.pattern)
    try:  # the words are in lower case, and what is so too is found without the flag in half the time
        return re.compile(rule.pattern, 0 if literal == literal.lower() else re.IGNORECASE)
    except re.error as error:
        raise BrokenRules(f"{rule.id}: pattern: {error}") from None


# --- the files --------------------------------------------------------------------


@cache
def load(*folders: Path) -> Rulebook:
    """Return the built-in rules and those of *folders*; they are read once per process.

    A folder is laid out like ``bounceclass/data``, with any of ``general.toml`` and
    ``providers/``; a provider's file without ``[provider]`` adds to the built-in one of its
    name.  Where two rules fit equally well, the one of the later folder wins.

    Raises BrokenRules, naming the file and what is wrong with it.
    """
    reader, data = _Reader(), built_in()
    reasons = reader.table(data / "reasons.toml", dict[Reason, ReasonRow])
    statuses = reader.table(data / "status.toml", StatusFile)
    replies = reader.table(data / "smtp.toml", ReplyFile)
    for precedence, folder in enumerate((data, *folders)):
        reader.rules_of(folder, precedence)
    made = Rulebook(
        reasons=reasons,
        statuses={row.code: row for row in statuses.status},
        replies={row.code: row for row in replies.reply},
        providers=reader.providers,
        rules=reader.rules,
        version=f"{reader.digest:08x}",
    )
    if folders:  # the built-in ones were proved before they were shipped
        made.compile()
    return made


class _Reader:
    """Reads rule files, and keeps what they say."""

    def __init__(self) -> None:
        self.providers: dict[str, Provider] = {}
        self.rules: list[OwnedRule] = []
        self.digest = 0

    def table(self, file: Traversable | Path, kind: Any) -> Any:
        data = file.read_bytes()
        self.digest = zlib.crc32(data, self.digest)
        return parse_table(data, kind, str(file))

    def rules_of(self, folder: Traversable | Path, precedence: int) -> None:
        general, providers = folder / "general.toml", folder / "providers"
        if general.is_file():
            rows = self.table(general, GeneralFile).rule
            self.rules.extend(OwnedRule(None, row, precedence) for row in rows)
        if providers.is_dir():
            for file in sorted(providers.iterdir(), key=lambda file: file.name):
                if file.name.endswith(".toml"):
                    self._provider(file, precedence)

    def _provider(self, file: Traversable | Path, precedence: int) -> None:
        content = self.table(file, ProviderFile)
        name = content.provider.name if content.provider else file.name.removesuffix(".toml")
        if content.provider and name in self.providers:
            raise BrokenRules(f"{file}: the provider {name} is known; leave out [provider] to add rules to it")
        if content.provider:
            self.providers[name] = content.provider
        elif name not in self.providers:
            raise BrokenRules(f"{file}: there is no provider {name}; say in [provider] how it is recognised")
        self.rules.extend(OwnedRule(name, row, precedence) for row in content.rule)
