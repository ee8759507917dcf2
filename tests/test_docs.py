"""The documents say what the code does."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import bounceclass
from bounceclass import advice, rulebook, wire
from bounceclass.app.fixture import TO_REVIEW
from bounceclass.model import Reason

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "docs" / "contributing.md").read_text()


def reason_rows() -> list[str]:
    """The table of docs/reasons.md, made of the rule data."""
    rules, words = rulebook.load(), advice.phrasebook("en")
    rows = []
    for reason in Reason:
        row = rules.reasons[reason]
        severity = f"{row.always}, whatever the code" if row.always else f"by code; without: {row.no_code}"
        suppress = "yes" if row.suppress else "no"
        meaning = words.reason[reason].meaning
        rows.append(f"| `{reason}` | {meaning} | {severity} | {row.scope} | {suppress} | `{row.action}` |")
    return rows


def tool_rows() -> list[str]:
    """The map to the words of other tools in docs/reasons.md."""
    rows = []
    for reason in Reason:
        row = rulebook.load().reasons[reason]
        sparkpost = ", ".join(map(str, row.sparkpost))
        words = (row.sisimai, row.kumomta, row.powermta, sparkpost, row.ses, row.postmark, row.anymail)
        rows.append(f"| `{reason}` | {' | '.join(words)} |")
    return rows


def test_reasons_page() -> None:
    lines = (ROOT / "docs" / "reasons.md").read_text().splitlines()
    assert [line for line in lines if line.startswith("| `")] == reason_rows() + tool_rows()


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_readme_python(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "user_unknown" in done.stdout


def test_readme_commands_exist() -> None:
    commands = re.findall(
        r"^bounceclass (\w+) ", "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL)), re.MULTILINE
    )
    assert sorted(set(commands)) == ["anonymise", "classify", "explain", "fixture", "rules"]
    for line in commands:
        done = subprocess.run(
            [sys.executable, "-m", "bounceclass", line, "--help"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, line
        assert done.stdout.startswith("Usage: ")


def test_contributing_commands_work(tmp_path: Path) -> None:
    """Every command line of the page ends with 0, in a folder with a bounce, the rules and the fixtures."""
    (tmp_path / "bounce.eml").write_bytes((ROOT / "fixtures" / "postfix" / "user-unknown.eml").read_bytes())
    (tmp_path / "fixtures").mkdir()
    lines = re.findall(r"^(?:\.venv/bin/)?bounceclass (.+)$", CONTRIBUTING, re.MULTILINE)
    assert {line.split()[0] for line in lines} == {"anonymise", "classify", "explain", "fixture", "rules"}
    script = "\n".join(f"{shlex.quote(sys.executable)} -m bounceclass {line} || exit 1" for line in lines)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["sh"], input=script, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in (tmp_path / "fixtures" / "postfix").iterdir()} == {
        "mailbox-full.eml",
        "mailbox-full.toml",
    }


def test_contributing_names_what_there_is() -> None:
    named = re.findall(r"(?:docs|bounceclass/data)/[\w./-]*\w", CONTRIBUTING)
    assert [path for path in named if not (ROOT / path).exists()] == []
    assert TO_REVIEW in CONTRIBUTING


def test_readme_counts() -> None:
    assert f"one of {len(Reason)}" in README
    assert bounceclass.__version__ in (ROOT / "CHANGELOG.md").read_text()


def test_ci_runs_the_readme() -> None:
    command = re.search(r"<!-- tests -->\n```sh\n(.+)\n```", README)
    assert command is not None
    assert command[1].endswith(".venv-tox/bin/tox")
    assert "<!-- tests -->" in (ROOT / ".ci" / "run").read_text()


def test_json_page_names_every_key() -> None:
    page = (ROOT / "docs" / "json.md").read_text()
    schema = wire.json_schema()
    keys = {key for kind in schema["$defs"].values() for key in kind.get("properties", ())}
    assert {key for key in keys if f"`{key}`" not in page} == set()
