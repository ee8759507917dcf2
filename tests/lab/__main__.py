"""Make ``fixtures/generated`` anew, or that of some servers: ``cd tests && python -m lab [MTA...]``."""

from __future__ import annotations

import importlib
import re
import sys
import tempfile
from email import message_from_bytes
from pathlib import Path

from lab import servers
from lab.scenarios import SCENARIOS, Scenario

SERVERS = ("exim", "postfix")
GENERATED = servers.ROOT / "fixtures" / "generated"
# What differs from run to run, and what stands in its place
_DATE = re.compile(rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), +\d{1,2} (?:[A-Z][a-z]{2}) \d{4} \d\d:\d\d:\d\d [+-]\d{4}")
_TOKENS = (
    (
        re.compile(rb"(?<![0-9A-DF-Za-z])1[0-9A-Za-z]{5}-[0-9A-Za-z]{6}(?:[0-9A-Za-z]{5})?-[0-9A-Za-z]{2,4}\b"),
        b"1vNvAA-0000%02d-00",
    ),  # Exim's queue
    (re.compile(rb"\b\d{10,}-eximdsn-\d+\b"), b"1764000000-eximdsn-%d"),
)
_LOCAL = re.compile(rb"\b127\.0\.1\.(\d{1,3})\b")


def main(names: list[str]) -> None:
    for name in names or SERVERS:
        server = importlib.import_module(f"lab.{name}")
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            folder.chmod(0o755)
            unpacked = servers.unpack(server.PACKAGES, server.LIBRARIES, folder / "packages")
            servers.enter([name, str(unpacked), str(folder)])
            bounces = [path.read_bytes() for path in sorted((folder / "bounces").iterdir())]
        _write(GENERATED / name, bounces)


def _write(target: Path, bounces: list[bytes]) -> None:
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
        path.with_suffix(".toml").write_text(expectation(by_name[name], bounce, target.name))
    for missing in sorted(set(by_name) - set(numbers)):
        print(f"{target.name}: no bounce for {missing}", file=sys.stderr)


def normalised(bounce: bytes) -> bytes:
    """Return *bounce* as it would be in any other run."""
    bounce = _LOCAL.sub(rb"192.0.2.\1", _DATE.sub(b"Mon, 23 Nov 2026 10:00:00 +0000", bounce))
    for pattern, stand_in in _TOKENS:
        known: dict[bytes, bytes] = {}
        bounce = pattern.sub(lambda found: known.setdefault(found[0], stand_in % (len(known) + 1)), bounce)  # noqa: B023
    return bounce


def expectation(scenario: Scenario, bounce: bytes, server: str) -> str:
    """Return what is to be made of a bounce, by the script; *bounce* is looked at for whom it is about only."""
    lines = [f'about = "{server}: {scenario.name}"', 'kind = "bounce"']
    for local, fate in scenario.fates.items():
        address = f"{local}@{scenario.domain}"
        if fate and re.search(rb"(?im)^final-recipient:.*" + re.escape(address.encode()), bounce):
            code, _, words = fate.reply.rpartition("\n")[2].partition(" ")
            status = words.split(" ")[0]
            lines += ["", "[[failures]]", f'recipient = "{address}"', 'action = "failed"', f"reply_code = {code}"]
            lines += [f'status = "{status}"'] if status[1:2] == "." else []
            lines += [
                f'command = "{"DATA" if fate.at == "END" else fate.at}"',
                f'severity = "{fate.severity}"',
                f'reason = "{fate.reason}"',
                f"suppress = {str(fate.suppress).lower()}",
            ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
