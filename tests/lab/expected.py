"""What is to be made of the notices that a server wrote, by the script of their scenarios."""

from __future__ import annotations

import json
import re
from email import message_from_bytes
from typing import TYPE_CHECKING, NamedTuple

from lab.normal import normalised
from lab.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.scenarios import Fate, Scenario

__all__ = ["Notice", "Told", "notices"]

Told = dict[str, dict[str, object]]
"""What a server itself makes of what it was answered, where that is not what was scripted, in the order in which they
are heard:

- ``""``: of whatever it does not repeat the words of; ``late``: of such while it tries again;
- a command, as in ``Fate.at``;
- the name of a scenario, and that with ``-delay`` while it tries again;
- ``several``: of several recipients, where it says of all what the first was refused for;
- ``delivered``: of what it delivered; ``expanded``: of what it delivered to an alias.

The values are those of a failure or delivery; None is left out.  ``passes`` says whether it tries again, ``warned``
whether it says so to who did not ask for that.
"""
_DIALECTS = {"dma": "dragonfly"}
_RETURNED = re.compile(rb"\n(?:From|Received|Return-Path): ", re.I)
_SCENARIOS = {one.name: one for one in SCENARIOS}


class Notice(NamedTuple):
    name: str
    content: bytes
    """As it would be in any other run."""
    expected: dict[str, object]

    @property
    def toml(self) -> str:
        """What is expected, as fixtures have it."""
        lines = [f"{key} = {json.dumps(value)}" for key, value in self.expected.items() if not isinstance(value, list)]
        for key, tables in self.expected.items():
            for table in tables if isinstance(tables, list) else ():
                lines += ["", f"[[{key}]]", *(f"{name} = {json.dumps(value)}" for name, value in table.items())]
        return "\n".join(lines) + "\n"


def notices(server: str, told: Told, bounces: Iterable[bytes], *, warns: bool) -> list[Notice]:
    """Return what *server* wrote, each notice named after its scenario.

    They are in the order in which they came: of what may pass, a server that *warns* sends a delay before it gives up.
    """
    warned: set[str] = set()
    found: dict[str, list[Notice]] = {}
    for bounce in (normalised(server, bounce) for bounce in bounces):
        scenario = _SCENARIOS[str(message_from_bytes(bounce)["to"]).strip("<>").partition("@")[0]]
        expected = _expected(_DIALECTS.get(server, server), scenario, bounce, told, warned if warns else None)
        name = scenario.name if expected["kind"] == "bounce" else f"{scenario.name}-{expected['kind']}"
        found.setdefault(name, []).append(Notice(name, bounce, {"about": f"{server}: {scenario.name}"} | expected))
    return [
        one._replace(name=f"{name}-{number}") if number > 1 else one
        for name, several in found.items()
        for number, one in enumerate(sorted(several, key=_recipients), 1)
    ]


def _recipients(notice: Notice) -> list[object]:
    failures = notice.expected.get("failures")
    return [one["recipient"] for one in failures] if isinstance(failures, list) else []


def _expected(
    dialect: str, scenario: Scenario, bounce: bytes, told: Told, warned: set[str] | None
) -> dict[str, object]:
    """Return what is to be made of *bounce*; it is looked at for whom it tells of, and whether in the world's words.

    *warned* are who had a warning, to which those are added who have one now; None where there are no warnings.
    """
    text = " ".join(_text(bounce).split())
    report = max(text.find("Reporting-MTA:"), 0)
    failures: list[dict[str, object]] = []
    deliveries: list[dict[str, object]] = []
    for address, fate in sorted(_fates(scenario, told).items(), key=lambda one: text.find(one[0], report)):
        if address not in text[report:] and not (scenario.alias and address in text):
            continue  # what stands in a transcript alone is nothing that is reported
        says: dict[str, object] = {"recipient": _named(scenario, address, text)}
        says |= {"final_recipient": address} if report else {}
        if fate:
            late = warned is not None and address not in warned and _is_tried_again(scenario, fate, told)
            if late and warned is not None:
                warned.add(address)
            failures.append(_pruned(says | _failure(scenario, fate, text, told, late=late), report=bool(report)))
        else:
            deliveries.append(says | {"action": "relayed"} | told.get("delivered", {}))
    if not failures and not deliveries:
        deliveries.append({"recipient": scenario.alias, "action": "expanded"} | told.get("expanded", {}))
    actions = {one["action"] for one in failures}
    kind = "bounce" if "failed" in actions else "delay" if actions else "success"
    expected: dict[str, object] = {"kind": kind, "dialect": dialect}
    for option in scenario.mail:
        if option.startswith("ENVID=") and "Original-Envelope-I" in text:
            expected["envelope_id"] = option.removeprefix("ENVID=")
    return expected | {key: value for key, value in (("failures", failures), ("deliveries", deliveries)) if value}


def _fates(scenario: Scenario, told: Told) -> dict[str, Fate | None]:
    """Return how the recipients fare, as far as the server knows."""
    fates = scenario.recipients
    if len(fates) > 1 and "several" in told:
        return dict.fromkeys(fates, next(filter(None, fates.values()), None))
    return fates


def _is_tried_again(scenario: Scenario, fate: Fate, told: Told) -> bool:
    """Tell whether the server tries again, and the sender is told so."""
    says = told.get(fate.at, {}) | told.get(scenario.name, {})
    return bool(says.get("passes", fate.passes) and says.get("warned", scenario.hears_of_delays))


def _pruned(says: dict[str, object], *, report: bool) -> dict[str, object]:
    """Return *says* without what is for this module only, and without what only a *report* has."""
    left_out = {"passes", "warned"} | (set() if report else {"final_recipient"})
    return {key: value for key, value in says.items() if value is not None and key not in left_out}


def _text(bounce: bytes) -> str:
    """Return what the server says: all before the returned message."""
    return _RETURNED.split(bounce.partition(b"\n\n")[2])[0].decode("utf-8", "replace")


def _named(scenario: Scenario, address: str, text: str) -> str:
    """Return whom the message was for, as far as *text* says so: whom the sender named (RFC 3461 section 4.2)."""
    option = next((option for option in scenario.rcpt if option.startswith("ORCPT=rfc822;")), "")
    xtext = option.removeprefix("ORCPT=rfc822;").format(address)
    original = xtext.replace("+2B", "+")
    if original and (original in text or xtext in text):
        return original
    return scenario.alias if scenario.alias and scenario.alias in text else address


def _failure(scenario: Scenario, fate: Fate, text: str, told: Told, *, late: bool) -> dict[str, object]:
    """Return what is to be made of one refusal, in a notice that says *text*; *late* if the server tries again."""
    says: dict[str, object] = {"action": "delayed" if late else "failed"}
    says |= {"severity": fate.severity, "reason": fate.reason, "suppress": fate.suppress}
    code, _, words = fate.reply.rpartition("\n")[2].partition(" ")
    status, _, rest = words.partition(" ") if words[1:2] == "." else ("", "", words)
    if rest and rest.encode("ascii", "replace").split(b"?")[0].decode() in text:  # what is beyond that, servers escape
        says |= {"reply_code": int(code), "command": "DATA" if fate.at == "END" else fate.at}
        says |= {"status": status} if status else {}
    else:
        says |= told.get("late" if late else "", {})
    says |= told.get(fate.at, {}) | told.get(scenario.name, {})
    says |= told.get(f"{scenario.name}-delay", {}) if late else {}
    says |= told.get("several", {}) if len(scenario.fates) > 1 else {}
    return says | ({"severity": "soft", "suppress": False} if late else {})
