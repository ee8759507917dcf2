"""The documents say what the code does."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from pages import page_steps

import bounceclass
from bounceclass import advice, rulebook, wire
from bounceclass.app import config, mailboxes, policyfile
from bounceclass.app.cli import cli
from bounceclass.app.fixture import TO_REVIEW
from bounceclass.model import Reason

if TYPE_CHECKING:
    import msgspec

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
EXAMPLES = sorted(path for path in (ROOT / "examples").rglob("*") if path.is_file())
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


@pytest.mark.parametrize(
    ("code", "said"),
    list(
        zip(
            re.findall(r"```python\n(.*?)```", README, re.DOTALL),
            ("user_unknown", "bounce postfix", "user_unknown", "fred@example.com\nann@example.com\n"),
            strict=True,
        )
    ),
)
def test_readme_python(code: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


def test_the_pages_show_the_examples() -> None:
    """Every file of the examples stands in a page as it is; the whole configuration is for itself."""
    shown = {
        example: step.text
        for page in (ROOT / "docs").glob("*.md")
        for step in page_steps(f"docs/{page.name}")
        for example, _, target in [step.mark.partition(" to ")]
        if target
    }
    whole = ROOT / "examples" / "config.toml"
    assert shown == {str(path.relative_to(ROOT)): path.read_text() for path in EXAMPLES if path != whole}


def command_lines() -> list[str]:
    """Every command line of ours in the documents and the examples."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *EXAMPLES]
    lines = []
    for page in pages:
        text = page.read_text().replace("<!--", "")
        lines += re.findall(r"(?:^|[ =/])(?:\.venv/bin/)?(bounceclass (?:[a-z]+)\b[^\n`]*)", text, re.MULTILINE)
    known = "|".join(cli.commands)
    return [line for line in lines if re.match(rf"bounceclass (?:{known})\b", line)]


@pytest.mark.parametrize("line", sorted(set(command_lines())))
def test_command_lines_parse(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command, option and argument that the documents name is one."""
    words = shlex.split(
        line.split(" # ", maxsplit=1)[0]
        .split("|", maxsplit=1)[0]
        .split(" <", maxsplit=1)[0]
        .split(" >", maxsplit=1)[0]
        .rstrip(",;."),
        comments=True,
    )[1:]
    command: click.Command = cli
    context = click.Context(cli, **cli.context_settings)  # click remembers by it which options ask for help
    while isinstance(command, click.Group) and words:
        found = command.get_command(context, words[0])
        if found is None:
            break
        command, words = found, words[1:]
    if not isinstance(command, click.Group):
        for parameter in command.params:
            if isinstance(parameter.type, (click.Path, click.File)):
                monkeypatch.setattr(parameter, "type", click.STRING)  # whether a file exists is not the question
        command.make_context("x", words, parent=context, resilient_parsing=False)


def configuration_keys() -> set[str]:
    """Every key that a configuration may have."""
    kinds: list[type[msgspec.Struct]] = [
        config.Config,
        *config.TABLES.values(),
        config.Export,
        *mailboxes.TYPES.values(),
    ]
    return {key for kind in kinds for key in config._names(kind)} - {"source", "export", *config.TABLES} | {"type"}


def test_configuration_page_names_every_key() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    rows = re.findall(r"^\| (`[^|]+`) \|", page, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)} - {"key"}
    named |= set(re.findall(r"`(\w+_(?:file|command))`", page))
    assert named == configuration_keys()
    for table in config.TABLES:
        assert f"## `[{table}]`" in page


@pytest.mark.parametrize("page", ["docs/configuration.md", "docs/ledger.md", "examples/config.toml"])
def test_toml_of_the_pages_loads(page: str, tmp_path: Path) -> None:
    text = (ROOT / page).read_text()
    for block in [text] if page.endswith(".toml") else re.findall(r"```toml\n(.*?)```", text, re.DOTALL):
        if "[reasons." in block:
            assert policyfile.parse(block.encode()).reasons
        else:
            (tmp_path / "config.toml").write_text(block)
            assert config.load(tmp_path / "config.toml", {}).source


def test_every_commented_key_of_the_example_is_one(tmp_path: Path) -> None:
    text = (ROOT / "examples" / "config.toml").read_text()
    keys = set(re.findall(r"^# (\w+) = ", text, re.MULTILINE))
    assert keys <= configuration_keys()


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
