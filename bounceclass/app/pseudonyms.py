"""Stand-ins for whatever tells who wrote to whom: the same original always gets the same one.

Addresses, hosts, IP addresses and ids are recognised by their form.  Names and single
words are learnt where a field shows what they are, and replaced wherever they stand.
What the rule data names (providers' hosts, words of the rules) is kept: verdicts rest on it.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from ipaddress import ip_address

from bounceclass import phrasing, rulebook
from bounceclass.reports import dialects, origin

__all__ = ["Pseudonyms", "marks"]

MAX_SUBJECTS = 50
"""Subjects that are looked for in running text."""

_TOKEN = re.compile(
    r"""(?P<url>(?:https?|ftp)://[^\s<>"'\\]{1,2000})
      | (?P<address>(?:(?<![\w.+=&*!\#$%/?^{}|~-])[\w.+=&*!\#$%/?^{}|~'-]{1,128}|"[^"\n@]{1,64}")
          (?:@|%40)(?:\[[\w:.]{2,60}\]|[\w-]{1,63}(?:\.[\w-]{1,63}){0,10}))
      | (?P<code>(?<![\w.-])[245]\d\d-(?=[A-Za-z]|\d\.\d{1,3}\.\d))
      | (?P<ip>(?<![\w:])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:[0-9.]{7,15})?(?![\w:]))
      | (?P<dotted>\w[\w-]{0,63}(?:\.[\w-]{1,64}){1,20})
      | (?P<word>\w[\w-]{0,99})""",
    re.X,
)
# A word, or what stands without a space beside it in another script
_PIECE = re.compile(r"[0-9A-Za-z\u00c0-\u024f]+|[^\W_0-9A-Za-z\u00c0-\u024f]+")
# Where running text says what a word is: a host (RFC 3464 2.1.2, Received), the id of a queue
_HOST = re.compile(r"(?:\bdns;|\b(?:helo|ehlo)[ =]|^from )[ \t]{0,9}\[?(\w[\w.-]{1,254})", re.I)
_QUEUED = re.compile(r"\b(?:id|queued as)[ \t\n:=]{1,9}(?=[\w-]*\d)([\w-]{6,64})(?![\w.])", re.I)
# Long words of letters and digits that no one chose; not times, charsets and error numbers
_OPAQUE = re.compile(
    r"(?=(?:\D*\d){3})(?=(?:[^A-Za-z]*[A-Za-z]){2}|\d{12})(?!\d{4}-\d\d-\d\dT|iso-|windows-|0x)[\w-]{12,}", re.I
)
# Local parts that only mail systems and their offices have
_ROLE = re.compile(
    r"mail(?:er)?[-_]?daemon|post_?master|abuse|(?:no|do-?not)[-_]?reply|root|nobody|m?daemon|feedback(?:loop)?|complaints?|staff"
    r"|scomp|imss|interscan|microsoftexchange[0-9a-f]{32}|undeliver\w{0,10}|mailsystem|content-filter|mail\.delivery\.system",
    re.I,
)
# What stands before an address without a space: "to=fred@example.com", "'fred@example.com'"
_LEAD = re.compile(r"(?:(?:to|from|rcpt|user|smtp|email)=)?['./=|]{0,9}", re.I)
_X400 = re.compile(r"(/(?:o|ou|cn|s|g|i|q)=)[^/;,\n\"'<>]{1,200}", re.I)
# Domains under which registrars sell others: "co.uk", "ne.jp"
_SECOND_LEVEL = re.compile(r"(?:ac|ad|co|com|edu|gob?|gov|gr|lg|mil|net?|nom|org?)\.[a-z]{2}")
_PUBLIC = frozenset(
    (
        "localdomain",
        "w3.org",
        "ietf.org",
        "rfc-editor.org",
        "iana.org",
        "openspf.org",
        "aka.ms",
        "microsoft.com",
        "amazonaws.com",
    )
)
# A customer's name in a provider's host name, and an IP address
_TENANT = re.compile(r"(.+)\.((?:mail\.protection\.outlook|onmicrosoft|mx\.microsoft)(?:\.com)?)", re.I)
_QUAD = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\d)")
_FOUR = re.compile(r"\d{1,3}([-.])\d{1,3}\1\d{1,3}\1\d{1,3}")


class Pseudonyms:
    """The stand-ins of one message; what is met first is counted first."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], str] = {}
        self._count: Counter[str] = Counter()
        self._words: dict[str, str] = {}
        self._subjects: dict[str, str] = {}
        self._subject: re.Pattern[str] | None = None

    @property
    def knows_subject(self) -> bool:
        """The message has shown the subject of the one that it returns."""
        return bool(self._subjects)

    def _stand_in(self, form: str, original: str) -> str:
        key = (form, original.lower())
        if key not in self._made:
            self._count[form] += 1
            self._made[key] = form.format(self._count[form])
        return self._made[key]

    def _learn(self, word: str, stand_in: str) -> None:
        """Replace *word* from now on wherever it stands, unless it is a word of the rules."""
        if len(word) > 2 and not word.isdigit() and word.lower() not in _vocabulary():
            self._words.setdefault(word.lower(), stand_in)

    # -- running text

    def text(self, text: str) -> str:
        """Return running text with stand-ins."""
        for found in _HOST.finditer(text):
            self.host(found[1])
        for found in _QUEUED.finditer(text):
            self.identifier(found[1])
        if self._subject is not None:
            text = self._subject.sub(lambda found: self._subjects[" ".join(found[0].lower().split())], text)
        return _TOKEN.sub(self._token, _X400.sub(r"\1removed", text))

    def _token(self, found: re.Match[str]) -> str:
        match found.lastgroup:
            case "url":
                return self._url(found[0])
            case "address":
                return self.address(found[0])
            case "ip":
                return self._ip(found[0])
            case "dotted":
                return self._dotted(found[0])
            case "word":
                return self._word(found[0])
        return found[0]

    def _word(self, word: str) -> str:
        low = word.lower()
        if low in self._words:
            return self._words[low]
        if _OPAQUE.fullmatch(word) and low not in _vocabulary():
            return self.identifier(word)
        return _PIECE.sub(lambda found: self._words.get(found[0].lower(), found[0]), word)

    def _dotted(self, token: str) -> str:
        low = token.lower()
        if low in self._words:
            return self._words[low]
        if low.replace(".", "").isdigit():
            return self._ip(token)
        if low in _vocabulary() or low.startswith(_codes()):
            return token
        if phrasing.blanked(low) == "~" or ("domain{}.example", _registered(low)) in self._made:
            return self.host(token)
        token = _QUAD.sub(lambda found: self._ip(found[0]), token)
        return ".".join(map(self._word, token.split(".")))

    def _ip(self, token: str) -> str:
        try:
            address = ip_address(re.sub(r"\b0+(?=\d+\.|\d+$)", "", token) if ":" not in token else token)
        except ValueError:
            return token
        if address.is_loopback or address.is_unspecified:
            return token
        if address.version == 6:
            return self._stand_in("2001:db8::{:x}", str(address))
        number = int(self._stand_in("{}", str(address))) - 1
        return f"{('192.0.2', '198.51.100', '203.0.113')[number // 254 % 3]}.{number % 254 + 1}"

    def _url(self, url: str) -> str:
        """Return a provider's URL with its path, of any other only the host."""
        scheme, _, rest = url.partition("://")
        authority, slash, path = rest.partition("/")
        name, colon, port = authority.rpartition("@")[2].partition(":")
        end = f"{colon}{port}" if port.isdigit() else ""
        return f"{scheme}://{self.host(name)}{end}{slash}{self.text(path) if _is_kept(name) else ''}"

    # -- what a field shows to be one

    def address(self, address: str) -> str:
        """Return the stand-in of an address; a local part that only mail systems have is kept."""
        at = "@" if "@" in address else "%40"  # as URLs have it
        local, _, domain = address.rpartition(at)
        lead = _LEAD.match(local)
        before = lead[0] if lead else ""
        return f"{before}{self.user(local[len(before) :])}{at}{self.host(domain)}"

    def user(self, local: str) -> str:
        """Return the stand-in of a local part; that of a Message-ID has one already."""
        local = local.strip('"')
        if not local or _ROLE.fullmatch(local):
            return local
        if known := self._made.get(("id{}", local.lower())):
            return known
        new = self._stand_in("user{}", local)
        for word in (local, *re.split(r"[._]", local)):
            self._learn(word, new)
        return new

    def host(self, name: str) -> str:
        """Return the stand-in of a host, a domain or an address literal; providers' names are kept."""
        low = name.lower().rstrip(".")
        if low.startswith("["):
            inner = low.strip("[]")
            tag = "ipv6:" if inner.startswith("ipv6:") else ""
            return f"[{tag}{self._ip(inner.removeprefix(tag))}]"
        if low in ("", "localhost") or low.replace(".", "").isdigit():
            return self._ip(name)
        if _is_kept(low):
            if found := _TENANT.fullmatch(name):
                return f"{self._stand_in('tenant{}', found[1])}.{found[2]}"
            return _FOUR.sub(r"192\g<1>0\g<1>2\g<1>1", name)
        if "." not in low:
            new = self._stand_in("host{}", low)
            self._learn(low, new)
            return new
        base = _registered(low)
        domain = self._stand_in("domain{}.example", base)
        return domain if low == base else f"{self._stand_in('host{}', low)}.{domain}"

    def identifier(self, token: str) -> str:
        """Return the stand-in of the id of a message, a queue or a part."""
        new = self._stand_in("id{}", token)
        self._learn(token, new)
        return new

    def name(self, phrase: str) -> str:
        """Return the stand-in of a display name; a mail system's keeps the words that the rules know."""
        if "@" in phrase:
            return self.text(phrase)
        is_daemon = origin.names_daemon(phrase) or origin.names_daemon("-".join(phrase.split()))
        kept = _vocabulary() if is_daemon else frozenset[str]()

        def word(found: re.Match[str]) -> str:
            if found[0].lower() in kept:
                return found[0]
            new = self._stand_in("Name{}", found[0])
            self._learn(found[0], new)
            return new

        return _PIECE.sub(word, phrase)

    def subject(self, subject: str) -> str:
        """Return the stand-in of a returned message's subject."""
        words = subject.lower().split()
        if len(words) == 1 and "@" in subject:
            return self.text(subject)
        new = self._stand_in("Subject{}", " ".join(words))
        if (
            not _vocabulary().issuperset(words)
            and len(self._subjects) < MAX_SUBJECTS
            and " ".join(words) not in self._subjects
        ):
            self._subjects[" ".join(words)] = new
            longest = sorted(self._subjects, key=len, reverse=True)
            spaced = "|".join(r"\s{1,9}".join(map(re.escape, one.split())) for one in longest)
            self._subject = re.compile(rf"(?<!\w)(?:{spaced})(?!\w)", re.I)
        return new


@cache
def marks() -> tuple[str, ...]:
    """Return every literal text that a dialect or a provider is recognised by, in lower case."""
    found = [mark for provider in rulebook.load().providers.values() for mark in provider.marks]
    for dialect in dialects.load().rows:
        found += dialect.end
        for row in dialect.layout:
            found += (*row.marks, *row.needs, *row.begin, *row.stop, *row.transcript, *row.delay)
    return tuple(mark.lower() for mark in found)


@cache
def _vocabulary() -> frozenset[str]:
    """Return every word of the rule data: none of them tells a person."""
    texts = [phrase.lower() for rule in rulebook.load().rules for phrase in rule.phrases] + [*marks()]
    return frozenset(word for text in texts for form in (r"[\w.-]+", _PIECE) for word in re.findall(form, text))


@cache
def _codes() -> tuple[str, ...]:
    """Return the beginnings of error names that look like hosts: "RESOLVER.ADR."."""
    return tuple(mark for mark in marks() if re.fullmatch(r"[\w.-]+\.", mark))


@cache
def _kept_hosts() -> frozenset[str]:
    named = {word for word in _vocabulary() if "." in word and phrasing.blanked(word) == "~"}
    return _PUBLIC.union(named)


def _is_kept(name: str) -> bool:
    """Tell whether *name* is a provider's, or ends in a host name that stands in the rule data."""
    rules, low = rulebook.load(), name.lower().rstrip(".")
    if rules.provider_of_host(low) or rules.provider_of_domain(low):
        return True
    labels = low.split(".")
    return any(".".join(labels[i:]) in _kept_hosts() for i in range(len(labels)))


def _registered(name: str) -> str:
    """Return the domain that *name* stands under, as far as its form tells."""
    labels = name.split(".")
    return ".".join(labels[-3 if _SECOND_LEVEL.fullmatch(".".join(labels[-2:])) else -2 :])
