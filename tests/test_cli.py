"""The command line, as a person, a pipe and a mail server meet it."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import bounceclass
from bounceclass import advice, wire
from bounceclass.app import outputs, show, unmatched
from bounceclass.app.cli import cli
from bounceclass.app.sources import Item
from bounceclass.model import Delivery, Kind, Report


def dsn(*recipients: tuple[str, str], action: str = "failed") -> bytes:
    """Return a delivery status notification on (address, diagnostic) pairs."""
    groups = "".join(
        f"\nFinal-Recipient: rfc822; {address}\nAction: {action}\nStatus: {diagnostic.split()[1]}\n"
        f"Diagnostic-Code: smtp; {diagnostic}\n"
        for address, diagnostic in recipients
    )
    return f"""From: MAILER-DAEMON@mail.example.net
Subject: Undelivered
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

It could not be delivered.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.example.net
{groups}
--b--
""".encode()


DEAD = ("fred@example.com", "550 5.1.1 User unknown")
FULL = ("ann@example.com", "452 4.2.2 Mailbox full")
LETTER = b"From: ann@example.com\nSubject: Hello\n\nHow are you?\n"
FROM = b"From MAILER-DAEMON Sun Mar  1 12:00:00 2026\n"


def run(*args: str | Path, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(cli, list(map(str, args)), input=stdin, prog_name="bounceclass")


@pytest.fixture
def bounce(tmp_path: Path) -> Path:
    path = tmp_path / "bounce.eml"
    path.write_bytes(dsn(DEAD, FULL))
    return path


# --- classify -----------------------------------------------------------------------


def test_the_table_has_a_line_for_each_failure_and_each_message_without(bounce: Path, tmp_path: Path) -> None:
    (tmp_path / "letter").write_bytes(LETTER)
    result = run("classify", tmp_path)
    assert result.exit_code == 0
    assert [re.split(r" {2,}", line) for line in result.stdout.splitlines()] == [
        ["source", "recipient", "verdict", "reason", "code", "suppress", "action"],
        [str(bounce), "fred@example.com", "hard", "user_unknown", "550 5.1.1", "yes", "stop mailing"],
        [str(bounce), "ann@example.com", "soft", "mailbox_full", "452 4.2.2", "no", "stop if repeated"],
        [f"{tmp_path}/letter", "-", "none", "-", "-", "no", "-"],
        [""],
        ["2 messages: 1 bounce, 1 none"],
        ["2 failures: 1 user_unknown, 1 mailbox_full"],
        ["1 to suppress"],
    ]


def test_the_columns_stand_below_each_other(bounce: Path) -> None:
    header, first, second, *_ = run("classify", bounce).stdout.splitlines()
    for title in ("verdict", "reason", "code", "suppress", "action"):
        at = header.index(title)
        assert {line[at - 2 : at] for line in (first, second)} == {"  "}
        assert " " not in {first[at], second[at]}


def test_why_shows_the_evidence(bounce: Path) -> None:
    page = run("classify", "--why", bounce).stdout
    assert re.findall(r"^because +(\S+) \"(.+)\" in (\S+): (\w+)$", page, re.M) == [
        ("general.user-unknown", "user unknown", "dsn.diagnostic", "user_unknown"),
        ("general.mailbox-full", "mailbox full", "dsn.diagnostic", "mailbox_full"),
    ]
    assert "\n\n1 message: 1 bounce\n" in page


def test_why_belongs_to_the_table(bounce: Path) -> None:
    result = run("classify", "--why", "--format", "csv", bounce)
    assert (result.exit_code, "--why belongs to the table" in result.stderr) == (2, True)


def test_the_action_comes_in_the_language_asked_for(bounce: Path) -> None:
    page = run("classify", "--lang", "it", bounce).stdout
    assert advice.phrasebook("it").action["suppress"] in page


def test_json_is_an_array_of_reports(bounce: Path) -> None:
    (found,) = json.loads(run("classify", "--format", "json", bounce).stdout)
    assert found == {"source": str(bounce), **bounceclass.classify(bounce).to_dict()}
    assert json.loads(run("classify", "--format", "json", bounce.parent / "missing").stdout) == []


def test_jsonl_has_a_line_for_each_message(bounce: Path, tmp_path: Path) -> None:
    box = tmp_path / "box"
    box.write_bytes(FROM + dsn(DEAD) + b"\n" + FROM + LETTER)
    lines = run("classify", "--format", "jsonl", bounce, box, "-", stdin=LETTER).stdout.splitlines()
    assert [(found["source"], found["kind"]) for found in map(json.loads, lines)] == [
        (str(bounce), "bounce"),
        (f"{box}:1", "bounce"),
        (f"{box}:2", "none"),
        ("-", "none"),
    ]


def test_csv_has_a_row_for_each_failure(bounce: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run("classify", "--format", "csv", bounce).stdout, newline="")))
    assert [(row["recipient"], row["reason"], row["suppress"]) for row in rows] == [
        ("fred@example.com", "user_unknown", "true"),
        ("ann@example.com", "mailbox_full", "false"),
    ]
    assert tuple(rows[0]) == wire.CSV_HEADER


def test_sisimai_is_one_array_of_items(bounce: Path, tmp_path: Path) -> None:
    (tmp_path / "a-letter").write_bytes(LETTER)
    items = json.loads(run("classify", "--format", "sisimai", tmp_path, bounce).stdout)
    assert [(item["recipient"], item["reason"], item["hardbounce"]) for item in items] == 2 * [
        ("fred@example.com", "userunknown", True),
        ("ann@example.com", "mailboxfull", False),
    ]


def test_standard_input_is_read_where_no_path_is_given() -> None:
    lines = run("classify", "--format", "jsonl", stdin=dsn(DEAD)).stdout.splitlines()
    assert [json.loads(line)["failures"][0]["recipient"] for line in lines] == ["fred@example.com"]


def test_an_unreadable_input_is_named_and_the_rest_is_done(bounce: Path, tmp_path: Path) -> None:
    result = run("classify", "--format", "jsonl", tmp_path / "missing", bounce)
    assert result.exit_code == 1
    assert result.stderr == f"{tmp_path}/missing: No such file or directory\n"
    assert [json.loads(line)["source"] for line in result.stdout.splitlines()] == [str(bounce)]


def test_a_bug_costs_one_message_only(bounce: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a-letter").write_bytes(LETTER)
    real = bounceclass.classify

    def buggy(content: bytes, **options: Any) -> Report:
        if content == LETTER:
            raise ZeroDivisionError("division\nby zero")
        return real(content, **options)

    monkeypatch.setattr(bounceclass, "classify", buggy)
    result = run("classify", "--format", "jsonl", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.endswith(r"ZeroDivisionError: division\nby zero" + "\n")
    assert [json.loads(line)["source"] for line in result.stdout.splitlines()] == [str(bounce)]


def test_nothing_of_a_stranger_reaches_the_terminal_unescaped(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[2J.eml"
    path.write_bytes(dsn(("fr\u202eed@example.com", "550 5.1.1 User unknown \x1b]0;owned\x07")))
    result = run("classify", "--why", path, tmp_path / "b\x1b[2J")
    assert not {"\x1b", "\x07", "\u202e"} & set(result.output)
    assert r"a\x1b[2J.eml" in result.stdout
    assert r"b\x1b[2J: No such" in result.stderr


def test_output_is_written_when_all_is_done(bounce: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("old")
    target.chmod(0o640)
    result = run("classify", "--format", "jsonl", "--output", target, bounce)
    assert (result.exit_code, result.stdout) == (0, "")
    assert json.loads(target.read_text())["source"] == str(bounce)
    assert target.stat().st_mode & 0o777 == 0o640


def test_what_stood_in_the_output_stays_where_the_run_fails(
    bounce: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    target.write_text("old")

    def full(self: object, source: str, report: Report) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(show.VerdictTable, "add", full)
    result = run("classify", "--output", target, bounce)
    assert (result.exit_code, result.stderr) == (1, f"Error: cannot write {target}: No space left on device\n")
    assert target.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bounce.eml", "out"]


def test_an_output_that_cannot_be_written(bounce: Path, tmp_path: Path) -> None:
    result = run("classify", "--output", tmp_path / "no" / "out", bounce)
    assert (result.exit_code, result.stderr) == (
        1,
        f"Error: cannot write {tmp_path}/no/out: No such file or directory\n",
    )


def test_a_device_is_written_to_as_it_is(bounce: Path) -> None:
    assert run("classify", "--output", os.devnull, bounce).exit_code == 0
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize(
    ("report", "row"),
    [
        (
            Report(kind=Kind.SUCCESS, deliveries=tuple(Delivery(recipient=f"{name}@example.com") for name in "abcde")),
            "a  a@example.com, b@example.com, c@example.com and 2 more  success  -  -  no  -",
        ),
        (Report(kind=Kind.AUTO_REPLY), "a  -  auto_reply  -  -  no  -"),
    ],
)
def test_a_message_without_failures_has_its_kind(report: Report, row: str) -> None:
    out = io.BytesIO()
    table = show.VerdictTable(out, terminal=False, lang="en", why=False)
    table.add("a", report)
    table.close()
    assert re.sub(" {2,}", "  ", out.getvalue().decode().splitlines()[1]) == row


def test_a_long_table_has_one_header() -> None:
    out = io.BytesIO()
    table = show.VerdictTable(out, terminal=False, lang="en", why=False)
    for number in range(3 * show.BATCH):
        table.add(str(number), Report())
    table.close()
    lines = out.getvalue().decode().splitlines()
    assert len(lines) == 1 + 3 * show.BATCH + 2
    assert [number for number, line in enumerate(lines) if line.startswith("source")] == [0]


def test_a_terminal_gets_colours_and_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    out = io.BytesIO()
    show.table(("a", "b"), [("[red]x[/red]", "hard"), ("\x1b[2J", "soft")], out, terminal=True)
    page = out.getvalue().decode()
    assert "[red]x[/red]" in page
    assert r"\x1b[2J" in page
    assert "\x1b[31mhard" in page


def test_the_progress_bar_waits_and_passes_everything_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    items = [Item(str(number), b"", 10) for number in range(3)]
    assert list(outputs.with_progress(iter(items), 30)) == items
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(outputs, "PATIENCE", -1.0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert list(outputs.with_progress(iter(items), None)) == items
    assert "classifying" in capsys.readouterr().err


# --- classify --unmatched -----------------------------------------------------------


def unmatched_lines(*paths: Path) -> list[list[str]]:
    return [line.split("\t") for line in run("classify", "--unmatched", *paths).stdout.splitlines()]


def test_unmatched_groups_by_shape_the_most_frequent_first(tmp_path: Path) -> None:
    for name, first, second in (
        ("a.eml", "550 5.0.0 No thanks, fred@example.com (id 4F3a9c12bd)", "550 5.0.0 Come back with 12 roses"),
        ("b.eml", "554 5.0.0 No thanks, ann@example.net (id 7E1b0c88aa)", "550 5.1.1 User unknown"),
        ("c.eml", "554 5.0.0 No thanks, [192.0.2.7] (id 0000aaaa1111)", "450 4.0.0 See https://example.org/x?y=1"),
    ):
        (tmp_path / name).write_bytes(dsn(("fred@example.com", first), ("ann@example.com", second)))
    assert unmatched_lines(tmp_path) == [
        ["3", "554 5.0.0, 550 5.0.0", "-", "no thanks, ~ (id #)", f"{tmp_path}/a.eml"],
        ["1", "550 5.0.0", "-", "come back with # roses", f"{tmp_path}/a.eml"],
        ["1", "450 4.0.0", "-", "see ~", f"{tmp_path}/c.eml"],
    ]


@pytest.mark.parametrize(
    ("diagnostic", "listed"),
    [
        ("550 5.7.1 Go away", True),  # a generic status
        ("550 5.3.4 Go away", False),  # a status that says what it means
        ("550 5.0.0 <fred@example.com>: Recipient address rejected:", True),  # a frame
        ("556 5.0.0 Go away", False),  # a reply that says what it means
        ("500 5.0.0 Go away", True),  # a generic reply
        ("550 5.7.1 Rejected", False),  # a rule, though its words say little
        ("550 5.1.1 User unknown", False),
    ],
)
def test_unmatched_is_what_no_rule_and_no_specific_code_judged(diagnostic: str, listed: bool, tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(dsn(("fred@example.com", diagnostic)))
    assert len(unmatched_lines(tmp_path)) == listed


def test_unmatched_passes_over_what_has_no_diagnostic(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(
        dsn(("fred@example.com", "x 5.0.0")).replace(b"Diagnostic-Code: smtp; x 5.0.0\n", b"")
    )
    report = bounceclass.classify(tmp_path / "a.eml")
    assert [(failure.reason, failure.diagnostic) for failure in report.failures] == [("undetermined", None)]
    assert unmatched_lines(tmp_path) == []


def test_unmatched_names_the_provider_or_else_the_host(tmp_path: Path) -> None:
    raw = dsn(("fred@example.com", "550 5.0.0 Go away"))
    for name, host in (
        ("a.eml", b"gmail-smtp-in.l.google.com"),
        ("b.eml", b"mx.example.com"),
        ("c.eml", b"mx.example.com"),
    ):
        (tmp_path / name).write_bytes(raw.replace(b"Diagnostic-Code", b"Remote-MTA: dns; %s\nDiagnostic-Code" % host))
    assert [line[2] for line in unmatched_lines(tmp_path)] == ["mx.example.com"]
    assert [line[2] for line in unmatched_lines(tmp_path / "a.eml")] == ["google"]


def test_unmatched_is_safe_and_short(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[2J.eml").write_bytes(
        dsn(("fred@example.com", "550 5.0.0 \x1b]0;owned\x07\u202eb\tc " + "long " * 999))
    )
    ((_, _, _, words, example),) = unmatched_lines(tmp_path)
    assert example == rf"{tmp_path}/a\x1b[2J.eml"
    assert words.startswith(r"\x1b]#;owned\x07\u202eb c long long")
    assert words.endswith("...")
    assert len(words) < unmatched.MAX_SHAPE + 40


def test_unmatched_is_a_table_on_a_terminal(bounce: Path, tmp_path: Path) -> None:
    page = io.BytesIO()
    table = unmatched.UnmatchedTable(page, terminal=True)
    for raw in (dsn(DEAD), dsn(FULL, ("fred@example.com", "550 5.0.0 Go \u202e away"))):
        table.add("a.eml", bounceclass.classify(raw))
    table.close()
    header, row, summary = re.sub(r"\x1b\[[0-9;]*m", "", page.getvalue().decode()).splitlines()
    assert re.split(r" {2,}", header.strip()) == list(unmatched.HEADER)
    assert re.split(r" {2,}", row.strip()) == ["1", "550 5.0.0", "-", r"go \u202e away", "a.eml"]
    assert summary == "no rule matched 1 of 3 diagnostics"


@pytest.mark.parametrize("other", [["--why"], ["--format", "csv"]])
def test_unmatched_is_a_list_of_its_own(other: list[str], bounce: Path) -> None:
    result = run("classify", "--unmatched", *other, bounce)
    assert (result.exit_code, "--unmatched is a list of its own" in result.stderr) == (2, True)


def test_unmatched_can_be_written_to_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(dsn(("fred@example.com", "550 5.0.0 Go away")))
    result = run("classify", "--unmatched", "--output", tmp_path / "list.tsv", tmp_path / "a.eml")
    assert (result.exit_code, result.stdout) == (0, "")
    assert (tmp_path / "list.tsv").read_text() == f"1\t550 5.0.0\t-\tgo away\t{tmp_path}/a.eml\n"


# --- explain, rules, schema ---------------------------------------------------------


def test_explain() -> None:
    page = run("explain", "550", "5.1.1", "User", "unknown").stdout
    rows = dict(re.findall(r"^(\S.*?)  +(.*)$", page, re.M))
    assert rows["query"] == "550 5.1.1 User unknown"
    assert rows["reason"].startswith("user_unknown: ")
    assert (rows["verdict"], rows["suppress"]) == ("hard (permanent), about the address", "yes")
    assert rows["because"] == 'general.user-unknown "user unknown" in text: user_unknown'


def test_explain_as_json_and_for_a_provider() -> None:
    query = "550 5.4.1 Recipient address rejected: Access denied"
    found = json.loads(run("explain", query, "--provider", "microsoft", "--lang", "it", "--format", "json").stdout)
    assert found == bounceclass.explain(query, provider="microsoft", lang="it").to_dict()


def test_schema() -> None:
    assert json.loads(run("schema").stdout) == json.loads(json.dumps(wire.json_schema()))


MADE_UP = """\
[[rule]]
id = "mine.frobnicated"
reason = "mailbox_full"
phrases = ["frobnicated"]
examples = ["550 5.2.0 Frobnicated"]
source = "made up"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of rules of one's own."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "general.toml").write_text(MADE_UP)
    return tmp_path / "mine"


def test_rules_of_ones_own(folder: Path, tmp_path: Path) -> None:
    known = len(bounceclass.load_rules().book.rules)
    result = run("rules", "check", folder)
    assert (result.exit_code, result.stdout.split(" rules", 1)[0]) == (0, str(known + 1))
    message = tmp_path / "bounce.eml"
    message.write_bytes(dsn(("fred@example.com", "550 5.2.0 Frobnicated")))
    for args, expected in (((), "recipient_rejected"), (("--rules", folder), "mailbox_full")):
        (line,) = run("classify", "--format", "jsonl", *args, message).stdout.splitlines()
        assert json.loads(line)["failures"][0]["reason"] == expected, args
    assert json.loads(run("explain", "550 frobnicated", "--rules", folder, "--format", "json").stdout)["reason"] == (
        "mailbox_full"
    )
    page = run("rules", "coverage", "--rules", folder, message.parent).stdout
    assert "mine.frobnicated" in page.partition("never")[0]


def test_rules_check_fails_on_a_row_that_does_not_prove_itself(folder: Path) -> None:
    (folder / "general.toml").write_text(MADE_UP.replace("550 5.2.0 Frobnicated", "550 Nothing"))
    result = run("rules", "check", folder)
    assert result.exit_code == 1
    assert "mine.frobnicated: nothing wins its example '550 Nothing'\n" in result.stdout


def test_rules_check_names_what_ones_own_overrule(folder: Path) -> None:
    (folder / "general.toml").write_text(
        MADE_UP.replace("550 5.2.0 Frobnicated", "550 User unknown").replace("frobnicated", "user unknown")
    )
    result = run("rules", "check", folder)
    assert result.exit_code == 0
    assert result.stdout.startswith("mine.user unknown (mailbox_full) of yours wins an example of general.user-unknown")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[[rule]]\nid = 1\n", "general.toml: "),
        (None, "mine: holds none of general.toml, providers/ and dialects/"),
    ],
)
def test_rules_check_names_what_is_broken(folder: Path, content: str | None, problem: str) -> None:
    if content is None:
        (folder / "general.toml").unlink()
    else:
        (folder / "general.toml").write_text(content)
    result = run("rules", "check", folder)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: the rules are broken: ")
    assert problem in result.stderr


def test_rules_coverage(bounce: Path) -> None:
    bounce.with_suffix(".toml").write_text("about = 'an expectation, not a message'")
    page = run("rules", "coverage", bounce.parent).stdout
    assert re.findall(r"^(\d+) +(\S+)$", page, re.M) == [
        ("1", "general.user-unknown"),
        ("1", "general.mailbox-full"),
        ("1", "rfc3464"),
    ]
    assert re.search(r"^\d+ of \d+ never:$", page, re.M)
    assert "  general.greylisted\n" in page


# --- usage --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["classify", "--format", "xml"], "'xml' is not one of"),
        (["classify", "--lang", "fr"], "'fr' is not one of"),
        (["explain"], "Missing argument"),
        (["explain", "550", "--provider", "nobody"], "no provider 'nobody'; there are amazon-ses,"),
        (["rules", "check", "/nonexistent"], "does not exist"),
        (["frobnicate"], "No such command"),
    ],
)
def test_usage(args: list[str], message: str) -> None:
    result = run(*args)
    assert (result.exit_code, message in result.stderr) == (2, True)


def test_a_terminal_has_nothing_to_classify(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    runner = CliRunner()
    with runner.isolation():
        monkeypatch.setattr(sys, "stdin", Terminal())
        with pytest.raises(Exception, match="Nothing to read: name a file"):
            cli.main(["classify"], standalone_mode=False)


def test_coverage_needs_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("rules", "coverage")
    assert (result.exit_code, "name a directory of messages" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    "args", [[], ["classify"], ["explain"], ["rules"], ["rules", "check"], ["rules", "coverage"], ["schema"]]
)
def test_every_command_has_help(args: list[str]) -> None:
    short, long = run(*args, "-h"), run(*args, "--help")
    assert (short.exit_code, short.stdout) == (0, long.stdout)
    assert long.stdout.startswith(f"Usage: {' '.join(['bounceclass', *args])} ")


@pytest.mark.parametrize("args", [[], ["suppress"], ["policy"], ["rules"], ["fixture"]])
def test_a_group_without_a_command_shows_its_help(args: list[str]) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert result.output == run(*args, "--help").output


def test_version() -> None:
    assert run("--version").stdout == f"bounceclass, version {bounceclass.__version__}\n"


# --- a real process -----------------------------------------------------------------


COMMAND = [sys.executable, "-m", "bounceclass"]


def process(*args: str | Path) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen([*COMMAND, *map(str, args)], stdin=pipe, stdout=pipe, stderr=pipe)


def mbox(path: Path, size: int) -> Path:
    """Write an mbox of about *size* bytes, of bounces of about 5 KB."""
    message = FROM + dsn(DEAD) + b"x" * 4500 + b"\n\n"
    with path.open("wb") as file:
        for _ in range(size // len(message) + 1):
            file.write(message)
    return path


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    with process("classify", "--format", "jsonl", mbox(tmp_path / "box", 2_000_000)) as running:
        assert running.stdout and running.stderr
        assert json.loads(running.stdout.readline())["kind"] == "bounce"
        running.stdout.close()
        assert (running.wait(20), running.stderr.read()) == (141, b"")


def test_ctrl_c_ends_it_quietly() -> None:
    with process("classify", "--format", "jsonl", "-") as running:
        assert running.stdin and running.stdout and running.stderr
        running.stdin.write((FROM + dsn(DEAD) + b"\n") * 100)
        running.stdin.flush()
        assert json.loads(running.stdout.readline())["kind"] == "bounce"
        running.send_signal(signal.SIGINT)
        assert (running.wait(20), running.stderr.read()) == (130, b"")


def test_memory_does_not_grow_with_an_mbox(tmp_path: Path) -> None:
    peaks = []
    for size in (1, 20_000_000):
        box = mbox(tmp_path / str(size), size)
        with process("classify", "--format", "csv", "--output", tmp_path / "out.csv", box) as running:
            _, status, usage = os.wait4(running.pid, 0)
            running.returncode = os.waitstatus_to_exitcode(status)
        assert running.returncode == 0
        peaks.append(usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
    assert len((tmp_path / "out.csv").read_text().splitlines()) > 3500
    assert peaks[1] - peaks[0] < 8_000_000


def test_a_limit_on_memory_is_enough_for_any_mbox(tmp_path: Path) -> None:
    """A message of 100 MB in an mbox is read within an address space of 400 MB."""
    box = tmp_path / "box"
    with box.open("wb") as file:
        file.write(FROM + dsn(DEAD))
        for _ in range(100):
            file.write(b"y" * 1_000_000 + b"\n")
        file.write(b"\n" + FROM + LETTER)
    limit = 400 * 1024 * 1024
    done = subprocess.run(
        [*COMMAND, "classify", "--format", "jsonl", str(box)],
        capture_output=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["kind"], second["kind"]) == ("bounce", "none")
    assert first["defects"][0].startswith("size: only the first")


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "sisimai"])
def test_what_cannot_be_seen_reaches_no_format(form: str, tmp_path: Path) -> None:
    words = "550 5.1.1 user unknown \x9b31m\u202e\x7f\u200b\u2028"
    message = tmp_path / "bounce.eml"
    text = f"From: MAILER-DAEMON@x\nSubject: Undelivered \x9b31m \u202egnp\nContent-Type: text/plain; charset=utf-8\n\n<a@b.cc>: {words}\n"
    message.write_bytes(text.encode())
    shown = run("classify", "--format", form, message).stdout
    assert "user unknown" in shown
    assert not set(shown) & set("\x9b\u202e\x7f\u200b\u2028")


# --- streams that are closed or full ------------------------------------------------

CLOSED = "Error: standard input or output is closed\n"
FULL_DISK = "Error: No space left on device\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("classify bounce.eml >&-", 1, CLOSED),
        ("classify --format jsonl bounce.eml >&-", 1, CLOSED),
        ("classify --output out.csv --format csv bounce.eml >&-", 0, ""),
        ("explain 550 >&-", 1, CLOSED),
        ("schema >&-", 1, CLOSED),
        ("anonymise bounce.eml >&-", 1, CLOSED),
        ("suppress list >&-", 1, CLOSED),
        ("--help >&-", 1, CLOSED),
        ("classify bounce.eml >&- 2>&-", 1, ""),
        ("classify - <&-", 1, "-: Bad file descriptor\n"),
        ("classify <&-", 1, "-: Bad file descriptor\n"),
        ("suppress check - <&-", 1, CLOSED),
        ("suppress import - <&-", 1, CLOSED),
        ("pipe <&-", 75, CLOSED),
        ("pipe < bounce.eml >&-", 0, ""),
        ("--help > /dev/full", 1, FULL_DISK),
        ("classify bounce.eml > /dev/full", 1, FULL_DISK),
        ("suppress list > /dev/full", 1, FULL_DISK),
        ("suppress check - < addresses > /dev/full", 1, FULL_DISK),
    ],
)
def test_what_the_machine_does_is_told_in_one_line(words: str, code: int, said: str, bounce: Path, home: Path) -> None:
    run("suppress", "add", "fred@example.com")
    (home / "addresses").write_text("ann@example.com\n")
    line = f'exec "{sys.executable}" -m bounceclass {words}'
    done = subprocess.run(["/bin/sh", "-c", line], cwd=home, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr.decode()) == (code, said)


@pytest.mark.parametrize(
    "args",
    [
        ("process", "x\x1b[31m\u202e.eml"),
        ("anonymise", "x\x1b[31m\u202e.eml"),
        ("fixture", "add", "--dialect", "postfix", "--name", "x", "x\x1b[31m\u202e.eml"),
        ("suppress", "import", "x\x1b[31m\u202e.eml"),
        ("suppress", "add", "x\x1b[31m\u202e.eml"),
        ("suppress", "export", "--format", "list", "--output", "no/x\x1b[31m\u202e.eml"),
        ("classify", "--output", "no/x\x1b[31m\u202e.eml", "bounce.eml"),
        ("classify", "--rules", "x\x1b[31m\u202e.eml", "bounce.eml"),
        ("classify", "--x\x1b[31m\u202e.eml"),
        ("x\x1b[31m\u202e.eml",),
        ("--x\x1b[31m\u202e.eml",),
        ("config", "check", "--config", "x\x1b[31m\u202e.eml"),
        ("rules", "check", "x\x1b[31m\u202e.eml"),
    ],
)
def test_no_name_reaches_the_terminal_unescaped(args: tuple[str, ...], bounce: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(home)
    result = run(*args)
    assert result.exit_code in (1, 2)
    assert r"x\x1b[31m\u202e.eml" in result.stderr
    assert not {"\x1b", "\u202e"} & set(result.output)


def test_a_name_that_can_be_written_to_is_escaped_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    assert run("suppress", "export", "--format", "list", "--output", "a\x1b[31m").stdout == "a\\x1b[31m: written\n"


@pytest.mark.parametrize(
    "args",
    [
        ("classify", "--rules", "mine", "bounce.eml"),
        ("explain", "550", "--rules", "mine"),
        ("rules", "check", "mine"),
        ("rules", "coverage", "--rules", "mine", "mine"),
        ("config", "check", "--config", "c.toml"),
        ("process", "--config", "c.toml", "bounces"),
    ],
)
def test_broken_rules_are_a_matter_of_configuration(
    args: tuple[str, ...], folder: Path, bounce: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "general.toml").write_text("[[rule]]\nid = 1\n")
    (home / "bounces").mkdir()
    (home / "c.toml").write_text('rules = ["mine"]\n')
    monkeypatch.chdir(home)
    result = run(*args)
    assert (result.exit_code, result.stderr.startswith("Error: the rules are broken: ")) == (2, True)
