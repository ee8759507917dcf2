"""Make ``fixtures/generated`` anew, or that of some servers: ``cd tests && python -m lab [MTA...]``."""

from __future__ import annotations

import importlib
import re
import sys
import tempfile
from collections.abc import Mapping
from email import message_from_bytes
from pathlib import Path

from lab import servers
from lab.scenarios import SCENARIOS, Scenario

Told = Mapping[str, Mapping[str, str]]
SERVERS = ("exim", "postfix")
GENERATED = servers.ROOT / "fixtures" / "generated"
# What differs from run to run, and what stands in its place
_FIXED = (
    (
        re.compile(rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), +\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}"),
        b"Mon, 23 Nov 2026 10:00:00 +0000",
    ),
    (re.compile(rb"<20\d{12}(?=\.)"), b"<20261123100000"),
    (re.compile(rb"(?<=[0-9A-F]\.)\d{10}(?=/)"), b"1795428000"),
    (re.compile(rb"\b127\.0\.1\.(\d{1,3})\b"), rb"192.0.2.\1"),
)
_TOKENS = (
    (
        re.compile(rb"(?<![0-9A-DF-Za-z])1[0-9A-Za-z]{5}-[0-9A-Za-z]{6}(?:[0-9A-Za-z]{5})?-[0-9A-Za-z]{2,4}\b"),
        b"1vNvAA-0000%02d-00",
    ),  # Exim's queue
    (re.compile(rb"\b(?=[0-9A-F]*[A-F])(?=[0-9A-F]*\d)[0-9A-F]{10,12}\b"), b"4F1A0000%02X"),  # Postfix's queue
    (re.compile(rb"\b\d{10,}-eximdsn-\d+\b"), b"1764000000-eximdsn-%d"),
)


def main(names: list[str]) -> None:
    for name in names or SERVERS:
        server = importlib.import_module(f"lab.{name}")
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            folder.chmod(0o755)
            unpacked = servers.unpack(server.PACKAGES, server.LIBRARIES, folder / "packages")
            servers.enter([name, str(unpacked), str(folder)])
            bounces = [path.read_bytes() for path in sorted((folder / "bounces").iterdir())]
        _write(GENERATED / name, bounces, server.TOLD)


def _write(target: Path, bounces: list[bytes], told: Told) -> None:
    by_name = {one.name: one for one in SCENARIOS}
    target.mkdir(parents=True, exist_ok=True)
    for old in target.iterdir():
        old.unlink()
    numbers: dict[str, int] = {}
    for bounce in bounces:
        name = str(message_from_bytes(bounce)["to"]).strip("<>").partition("@")[0]
        numbers[name] = number = numbers.get(name, 0) + 1
        path = target / f"{name}{f'-{number}' if number > 1 else ''}.eml"
        path.write_bytes(normalised(bounce))
        path.with_suffix(".toml").write_text(expectation(by_name[name], bounce, target.name, told))
    for missing in sorted(set(by_name) - set(numbers)):
        print(f"{target.name}: no bounce for {missing}", file=sys.stderr)


def normalised(bounce: bytes) -> bytes:
    """Return *bounce* as it would be in any other run."""
    for pattern, stand_in in _FIXED:
        bounce = pattern.sub(stand_in, bounce)
    for pattern, stand_in in _TOKENS:
        known: dict[bytes, bytes] = {}
        bounce = pattern.sub(lambda found: known.setdefault(found[0], stand_in % (len(known) + 1)), bounce)  # noqa: B023
    return bounce


def expectation(scenario: Scenario, bounce: bytes, server: str, told: Told) -> str:
    """Return what is to be made of a bounce, by the script; *bounce* is looked at for whom it is about only.

    *told* is what the server itself makes of a refusal at a command, where that is not what was scripted.
    """
    lines = [f'about = "{server}: {scenario.name}"', 'kind = "bounce"']
    for local, fate in scenario.fates.items():
        address = f"{local}@{scenario.domain}"
        if fate and re.search(rb"(?im)^final-recipient:.*" + re.escape(address.encode()), bounce):
            code, _, words = fate.reply.rpartition("\n")[2].partition(" ")
            status = words.split(" ")[0]
            scripted = {"command": "DATA" if fate.at == "END" else fate.at, "severity": fate.severity}
            said = {**scripted, **told.get(fate.at, {})}
            lines += ["", "[[failures]]", f'recipient = "{address}"', 'action = "failed"', f"reply_code = {code}"]
            lines += [f'status = "{status}"'] if status[1:2] == "." else []
            lines += [f'{key} = "{value}"' for key, value in said.items()]
            lines += [f'reason = "{fate.reason}"', f"suppress = {str(fate.suppress).lower()}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
