"""``suppress``, ``policy``, ``incidents``, ``runs`` and ``config``, and the forms of an export."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import random
import re
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from messages import bounce, complaint

import bounceclass
from bounceclass.app import exports, publish
from bounceclass.app.cli import cli
from bounceclass.app.exports import Format, Line
from bounceclass.app.ledger import Ledger
from bounceclass.app.policyfile import load

pytestmark = pytest.mark.usefixtures("home")

EXAMPLES = Path(__file__).parent.parent / "examples"
DAY = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
LINES = [
    Line(address="Fred@example.com", reason="user_unknown", since=DAY),
    Line(address="angry@example.com", reason="complaint", since=DAY),
]
ODD = [
    Line(address=address, reason="manual")
    for address in ('"a b"@example.com', "#x@example.com", "a:b@example.com", "a,b@example.com", "=1+1@example.com", "a\nb@example.com", "fred@", "@example.com")
]  # fmt: skip


def rendered(form: Format, lines: list[Line]) -> tuple[list[str], list[str]]:
    left_out: list[str] = []
    return exports.rendered(form, lines, left_out.append).decode().splitlines(), left_out


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (Format.LIST, ["Fred@example.com", "angry@example.com"]),
        (Format.CSV, ["address,reason,since,until", "Fred@example.com,user_unknown,2026-02-03T04:05:06Z,", "angry@example.com,complaint,2026-02-03T04:05:06Z,"]),
        (Format.POSTFIX, ["fred@example.com REJECT 5.7.1 suppressed: user_unknown since 2026-02-03", "angry@example.com REJECT 5.7.1 suppressed: complaint since 2026-02-03"]),
        (Format.EXIM, ["fred@example.com: suppressed: user_unknown since 2026-02-03", "angry@example.com: suppressed: complaint since 2026-02-03"]),
        (Format.SENDMAIL, ['To:fred@example.com\tERROR:5.7.1:"550 suppressed: user_unknown since 2026-02-03"', 'To:angry@example.com\tERROR:5.7.1:"550 suppressed: complaint since 2026-02-03"']),
        (Format.RSPAMD, ["fred@example.com", "angry@example.com"]),
        (Format.SES, ["Fred@example.com,BOUNCE", "angry@example.com,COMPLAINT"]),
    ],
)  # fmt: skip
def test_the_forms_of_an_export(form: Format, expected: list[str]) -> None:
    assert rendered(form, LINES) == (expected, [])


def test_json_lines() -> None:
    (first, _), _ = rendered(Format.JSONL, LINES)
    assert json.loads(first) == {"address": "Fred@example.com", "reason": "user_unknown", "since": "2026-02-03T04:05:06Z", "until": None}  # fmt: skip


@pytest.mark.parametrize(
    ("form", "left_out"),
    [
        (Format.LIST, [0, 1, 5, 6, 7]),
        (Format.CSV, []),
        (Format.JSONL, []),
        (Format.POSTFIX, [0, 1, 5, 6, 7]),
        (Format.EXIM, [0, 1, 2, 5, 6, 7]),
        (Format.SENDMAIL, [0, 1, 5, 6, 7]),
        (Format.RSPAMD, [0, 1, 5, 6, 7]),
        (Format.SES, [0, 3, 5, 6, 7]),
    ],
)
def test_an_address_that_a_form_cannot_have_is_left_out_and_named(form: Format, left_out: list[int]) -> None:
    lines, named = rendered(form, ODD)
    assert named == [ODD[index].address for index in left_out]
    assert len(lines) == len(ODD) - len(left_out) + (form is Format.CSV)


@pytest.mark.parametrize(
    ("form", "expected"),
    [(Format.CSV, "a b@example.com,manual,,"), (Format.JSONL, r'{"address":"a\u202e\u200bb@example.com","reason":"manual","since":null,"until":null}')],
)  # fmt: skip
def test_what_cannot_be_seen_is_shown(form: Format, expected: str) -> None:
    lines, _ = rendered(form, [Line(address="a\u202e\u200bb@example.com", reason="manual")])
    assert lines[-1] == expected


def test_no_cell_is_a_formula() -> None:
    text = exports.rendered(Format.CSV, ODD, print).decode()
    cells = [row[0] for row in csv.reader(io.StringIO(text))]
    assert "'=1+1@example.com" in cells
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)


@pytest.mark.parametrize("reason", [*load("strict").reasons, "manual", "complaint"])
@pytest.mark.parametrize("form", [Format.POSTFIX, Format.EXIM, Format.SENDMAIL])
def test_our_own_refusal_says_nothing_of_the_address(form: Format, reason: str) -> None:
    """Else its bounce, from a server before ours, would count against somebody who was suppressed by hand."""
    ((line,), _) = rendered(form, [Line(address="fred@example.com", reason=reason, since=DAY)])
    status = re.search(r"\d\.\d\.\d", line)
    words = line[line.index("suppressed: ") :].rstrip('"')
    told = bounceclass.explain(f"550 {status[0] + ' ' if status else ''}{words}")
    assert told.reason not in load("strict").reasons


# --- the commands -------------------------------------------------------------------


@pytest.fixture
def book(home: Path) -> Ledger:
    """A ledger in which fred is dead and ann's mailbox is full."""
    ledger = Ledger.open(home / "data" / "bounceclass" / "ledger.db")
    for number, (address, words, days) in enumerate(
        [
            ("fred@example.com", "550 5.1.1 User unknown", 9),
            ("fred@example.com", "550 5.1.1 User unknown", 3),
            ("ann@example.com", "452 4.2.2 Mailbox full", 3),
        ]
    ):
        raw = bounce(address, words, number=number, days_ago=days)
        ledger.record(bounceclass.classify(raw), raw=raw, source="inbox")
    return ledger


def run(*args: str | Path, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(cli, list(map(str, args)), input=stdin, prog_name="bounceclass")


def test_list_and_check(book: Ledger) -> None:
    lines = run("suppress", "list").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["address", "reason"], ["fred@example.com", "user_unknown"]]
    assert run("suppress", "check", "ann@example.com", "new@example.com").exit_code == 0
    result = run("suppress", "check", "ann@example.com", "FRED@example.com")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("FRED@example.com: suppressed until ")


def test_check_filters_a_list(book: Ledger) -> None:
    result = run("suppress", "check", "-", stdin=b"# ours\nann@example.com\r\nfred@example.com\n\nnew@example.com\n")
    assert (result.exit_code, result.stdout) == (3, "ann@example.com\nnew@example.com\n")
    assert run("suppress", "check", "-", stdin=b"new@example.com\n").exit_code == 0


def test_check_filters_what_other_programs_write(book: Ledger) -> None:
    listed = (
        b'\xef\xbb\xbfE-Mail;name\r\nann@example.com;"Ann; or\r\nAnna"\r\n"FRED@example.com";Fred\r\n'
        b"Fred <fred@example.com>;\r\nBob <bob@example.com>;caf\xe9\r\n"
    )
    result = run("suppress", "check", "-", stdin=listed)
    assert (result.exit_code, result.stderr) == (3, "")
    assert result.stdout_bytes == (b'E-Mail;name\nann@example.com;"Ann; or\nAnna"\nBob <bob@example.com>;caf\xe9\n')


def test_check_leaves_out_what_it_does_not_understand(book: Ledger) -> None:
    result = run("suppress", "check", "-", stdin=b"Oduya, fred@example.com\nann@example.com\nfred\x1b\n")
    assert (result.exit_code, result.stdout) == (1, "ann@example.com\n")
    assert result.stderr == "no address: Oduya, fred@example.com\nno address: fred\\x1b\n"


@pytest.mark.parametrize("given", ["", "fred", "fred@", "a@b.cc, d@e.ff"])
def test_check_asks_for_an_address(book: Ledger, given: str) -> None:
    result = run("suppress", "check", given)
    assert (result.exit_code, f"no address: {given!r}" in result.stderr) == (2, True)


def test_an_address_may_have_a_display_name(book: Ledger) -> None:
    assert run("suppress", "check", "Fred Oduya <FRED@example.com>").exit_code == 3
    assert run("suppress", "add", '"Oduya, Zoe" <Zoe@example.com>').exit_code == 0
    assert "Zoe@example.com" in run("suppress", "list").stdout.split()
    assert run("suppress", "release", "<zoe@example.com>").stdout == "1 released, 0 were not known\n"


def test_why(book: Ledger) -> None:
    page = run("suppress", "why", "fred@example.com").stdout
    assert page.startswith("fred@example.com: suppressed until ")
    assert page.count("550 5.1.1  general.user-unknown") == 2
    assert "(user_unknown: 2 strikes from " in page
    assert run("suppress", "why", "new@example.com").stdout == "new@example.com: healthy\n\nNothing is known of it.\n"


def test_release_and_add(book: Ledger) -> None:
    result = run("suppress", "release", "fred@example.com", "new@example.com", "--note", "wrote to us")
    assert result.stdout == "1 released, 1 were not known\n"
    assert run("suppress", "check", "fred@example.com").exit_code == 0
    assert run("suppress", "add", "new@example.com", "--note", "asked").stdout == "1 added, 0 were on the list\n"
    assert "suppressed by hand: asked" in run("suppress", "why", "new@example.com").stdout
    assert run("suppress", "add", "--complaints", "new@example.com").stdout == "1 added, 0 were on the list\n"
    assert "new@example.com" in run("suppress", "list", "--complaints").stdout
    for nobody in ("nobody", "nobody@", "@example.com"):
        result = run("suppress", "add", nobody)
        assert (result.exit_code, f"no address: '{nobody}' (it takes a local" in result.stderr) == (2, True)


def test_what_is_no_address_can_be_released(book: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before:
        before.setattr("bounceclass.app.ledger.book.is_address", lambda name: "@" in name)
        book.add("fred@")
    assert run("suppress", "check", "fred@").exit_code == 3
    assert run("suppress", "release", "fred@", "nobody").stdout == "1 released, 1 were not known\n"
    assert run("suppress", "check", "fred@").exit_code == 2


def test_import(book: Ledger, tmp_path: Path) -> None:
    listed = tmp_path / "old.csv"
    listed.write_text(
        'address,reason\none@example.com,manual\n"two@example.com",x\n\'=3@example.com,x\nnobody,x\nnobody@\n'
    )
    result = run("suppress", "import", listed, "--note", "from the old system")
    assert (result.exit_code, result.stderr) == (1, "no address: nobody,x\nno address: nobody@\n")
    assert result.stdout == "3 added, 0 were on the list, 2 lines without an address\n"
    assert book.is_suppressed("=3@example.com")


@pytest.mark.parametrize(
    ("content", "addresses", "wrong"),
    [
        (b"a@b.cc\nd@e.ff\n", ["a@b.cc", "d@e.ff"], 0),
        (b"a@b.cc;bounced\r\nd@e.ff;x\r\n", ["a@b.cc", "d@e.ff"], 0),
        (b"email\twhy\r\na@b.cc\tbounced, twice\r\n\tno@first.cell\r\n", ["a@b.cc"], 1),
        (b"\xef\xbb\xbf\"E-Mail\";\"why\"\r\n\"a@b.cc\";\"x;y\"\r\n", ["a@b.cc"], 0),
        (b'"a,b@example.com",manual,2026\na@b.cc,"said ""no"""\n', ["a,b@example.com", "a@b.cc"], 0),
        (b'a@b.cc,"a note\nof@two.lines"\nd@e.ff,x\n', ["a@b.cc", "d@e.ff"], 0),
        (b"# ours\n\n  a@b.cc  , x\n", ["a@b.cc"], 0),
        (b'"john"@example.com\n', ['"john"@example.com'], 0),
        (b'Fred <a@b.cc>\n<d@e.ff>, x\n"Fred, Oduya" <g@h.ii>\nj@k.ll <j@k.ll>\n', ["a@b.cc", "d@e.ff", "g@h.ii", "j@k.ll"], 0),
        (b"'=1+1@b.cc,x\n'tis@b.cc,x\n", ["=1+1@b.cc", "'tis@b.cc"], 0),
        ("j\u00f6rg@b\u00fccher.example\n".encode(), ["j\u00f6rg@b\u00fccher.example"], 0),
        # what is none: nothing of it is guessed
        (b"a@b.cc,x\nd@e.ff;x\n", ["a@b.cc"], 1),
        (b"a@b.cc, Fred <d@e.ff>\nOduya, Fred <g@h.ii>\nj@k.ll <>\n", [], 3),
        (b"email,by\na@b.cc,d@e.ff\nx,address\ng@h.ii,j@k.ll\n", ["a@b.cc", "g@h.ii"], 1),
        (b"two words@example.com\na\x1b[31m@b.cc\na\x00@b.cc\n", [], 3),
        ("a\u202e@b.cc\na\u200b@b.cc\na\u00a0@b.cc\n".encode(), [], 3),
        (b"a\xff@b.cc\n", [], 1),
        (b'a@b.cc,"no end\nd@e.ff\ng@h.ii\n', [], 3),
        (b'a@b.cc,x\n"d@e.ff"x,y\ng@h.ii,x\n', ["a@b.cc", "g@h.ii"], 1),
        (b"a@b.cc\rd@e.ff\r", ["a@b.cc", "d@e.ff"], 0),
        ("a@b.cc\r\nd@e.ff".encode("utf-16"), ["a@b.cc", "d@e.ff"], 0),
        (b"name,Email\nFred,a@b.cc\nAnn\nrecipient,d@e.ff\nno@email.cc,\n", ["a@b.cc", "d@e.ff"], 2),
        (b"a@b.cc,recipient\nmailto:d@e.ff,\n", ["a@b.cc", "d@e.ff"], 0),
        (random.Random(1).randbytes(100_000), [], None),
    ],
)  # fmt: skip
def test_what_an_import_understands(content: bytes, addresses: list[str], wrong: int | None, book: Ledger) -> None:
    book.release("fred@example.com")
    result = run("suppress", "import", "-", stdin=content)
    assert sorted(one.address or "" for one in book.suppressed()) == sorted(addresses)
    counted = re.fullmatch(r"(\d+) added, 0 were on the list, (\d+) lines without an address\n", result.stdout)
    assert counted and int(counted[1]) == len(addresses)
    assert int(counted[2]) == wrong if wrong is not None else int(counted[2]) > 300
    assert result.exit_code == (1 if wrong != 0 else 0)


def test_an_import_names_the_first_few_it_does_not_understand(book: Ledger) -> None:
    lines = [b"nobody\x1b[31m"] * 12 + [b"x" * 100_000]
    result = run("suppress", "import", "-", stdin=b"\n".join(lines))
    assert result.stderr == "no address: nobody\\x1b[31m\n" * 10 + "... and 3 more\n"
    result = run("suppress", "import", "-", stdin=lines[-1])
    assert result.stderr == f"no address: {'x' * 200}...\n"


@pytest.mark.parametrize("address", ["two words@example.com", "a\u202e@b.cc", "a@b.cc;bounced", "a@b.cc,bounced", "<a@b.cc", "a@b.cc, d <e@f.gg>", "a@b@d.ee", "a@b\t.cc"])  # fmt: skip
def test_only_an_address_can_be_suppressed_by_hand(address: str, book: Ledger) -> None:
    result = run("suppress", "add", address)
    assert (result.exit_code, "no address: " in result.stderr) == (2, True)


def test_what_is_exported_can_be_imported(book: Ledger, tmp_path: Path) -> None:
    for form in ("list", "csv"):
        content = run("suppress", "export", "--format", form).stdout
        result = run("suppress", "import", "-", stdin=content.encode())
        assert (result.exit_code, "0 lines without" in result.stdout) == (0, True), form


def test_export(book: Ledger, home: Path) -> None:
    target = home / "suppressed"
    args = ("suppress", "export", "--format", "list", "--output", target)
    assert run(*args).stdout == f"{target}: written\n"
    assert target.read_text() == "fred@example.com\n"
    assert run(*args).stdout == f"{target}: unchanged\n"
    assert run("suppress", "export", "--format", "list", "--complaints").stdout == ""
    assert "Name a --format" in run("suppress", "export").stderr
    assert "--unmailable need a --format" in run("suppress", "export", "--output", "x").stderr


def test_who_complained_stays_on_the_list(book: Ledger) -> None:
    run("suppress", "add", "byhand@example.com")
    for number, address in enumerate(("fred@example.com", "byhand@example.com", "living@example.com")):
        assert run("pipe", stdin=complaint(number, address)).exit_code == 0
    listed = [line.split()[:2] for line in run("suppress", "list").stdout.splitlines()[1:]]
    assert sorted(listed) == [["byhand@example.com", "manual"], ["fred@example.com", "user_unknown"]]
    lists = {
        (): ["byhand@example.com", "fred@example.com"],
        ("--complaints",): ["byhand@example.com", "fred@example.com", "living@example.com"],
        ("--unmailable",): ["byhand@example.com", "fred@example.com", "living@example.com"],
    }
    for options, expected in lists.items():
        exported = run("suppress", "export", "--format", "list", *options).stdout.splitlines()
        assert sorted(exported) == expected, options


def test_a_list_of_both_says_of_everybody_what_holds_longest(book: Ledger) -> None:
    book.add("byhand@example.com")
    book.complain(["fred@example.com", "living@example.com"])
    rows = csv.DictReader(io.StringIO(run("suppress", "export", "--format", "csv", "--unmailable").stdout, newline=""))
    assert {row["address"]: (row["reason"], row["until"]) for row in rows} == {
        "byhand@example.com": ("manual", ""),
        "fred@example.com": ("complaint", ""),
        "living@example.com": ("complaint", ""),
    }
    result = run("suppress", "export", "--format", "list", "--unmailable", "--complaints")
    assert (result.exit_code, "one list" in result.stderr) == (2, True)


@pytest.mark.parametrize("server", ["postfix", "exim"])
def test_the_example_keeps_complainers_out_too(server: str, book: Ledger, home: Path) -> None:
    text = (EXAMPLES / server / "config.toml").read_text().replace("/var/lib/bounceclass", str(home))
    config = home / "c.toml"
    config.write_text(re.sub("(?m)^(url|then) = .*\n", "", text))
    book.complain("living@example.com")
    assert run("suppress", "export", "--config", config).stdout == f"{server}: written\n"
    mapped = (home / "suppressed").read_text().splitlines()
    assert sorted(re.split("[ :]", line)[0] for line in mapped) == ["fred@example.com", "living@example.com"]


def test_exports_of_the_configuration(book: Ledger, home: Path) -> None:
    config = home / "c.toml"
    config.write_text(f'[export.a]\nformat = "list"\npath = "{home}/a"\nthen = "touch {home}/ran"\n')
    assert run("suppress", "export", "--config", config).stdout == "a: written\n"
    assert (home / "ran").exists()
    (home / "ran").unlink()
    assert run("suppress", "export", "--config", config).stdout == "a: unchanged\n"
    assert not (home / "ran").exists()
    run("suppress", "add", "--config", config, "new@example.com")
    assert (home / "a").read_text() == "fred@example.com\nnew@example.com\n"
    config.write_text(config.read_text().replace("touch", "/nowhere/touch").replace("/a", "/b"))
    result = run("suppress", "export", "--config", config)
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: [export.a]: then: /nowhere/touch: No such file or directory\n",
    )


def test_what_is_to_follow_an_export_is_run_until_it_has_succeeded(book: Ledger, home: Path) -> None:
    config, ran, script = home / "c.toml", home / "ran", home / "script"
    script.write_text(f"cat {home}/a >> {ran}; test -e {home}/fixed\n")
    config.write_text(f'[export.a]\nformat = "list"\npath = "{home}/a"\nthen = "sh {script}"\n')
    failed = (1, "", "Error: [export.a]: then: ended with 1\n")
    for _ in range(2):
        result = run("suppress", "export", "--config", config)
        assert (result.exit_code, result.stdout, result.stderr) == failed
    (home / "fixed").touch()
    for _ in range(2):
        assert run("suppress", "export", "--config", config).stdout == "a: unchanged\n"
    assert ran.read_text() == "fred@example.com\n" * 3
    assert [one.name for one in home.iterdir() if one.name.startswith(".")] == []


def test_a_crash_before_what_is_to_follow_an_export(book: Ledger, home: Path) -> None:
    config = home / "c.toml"
    table = f'[export.a]\nformat = "list"\npath = "{home}/a"\nthen = '
    config.write_text(table + """'sh -c "kill -9 $PPID"'\n""")
    command = [sys.executable, "-m", "bounceclass", "suppress", "export", "--config", str(config)]
    assert subprocess.run(command, check=False, timeout=60).returncode == -signal.SIGKILL
    assert (home / "a").read_text() == "fred@example.com\n"
    config.write_text(table + f'"touch {home}/ran"\n')
    assert run("suppress", "export", "--config", config).stdout == "a: unchanged\n"
    assert (home / "ran").exists()


def test_an_export_that_fails_does_not_keep_the_others_from_being_written(book: Ledger, home: Path) -> None:
    config = home / "c.toml"
    config.write_text(
        f'[export.a]\nformat = "list"\npath = "{home}/gone/a"\n[export.b]\nformat = "list"\npath = "{home}/b"\n'
        f'then = "false"\n[export.c]\nformat = "list"\npath = "{home}/c"\n'
    )
    result = run("suppress", "add", "--config", config, "new@example.com")
    assert (result.exit_code, result.stdout) == (1, "1 added, 0 were on the list\n")
    assert result.stderr == (
        f"Error: [export.a]: cannot write {home}/gone/a: No such file or directory; [export.b]: then: ended with 1\n"
    )
    assert (home / "c").read_text() == "fred@example.com\nnew@example.com\n"


def test_what_another_process_changed_while_an_export_was_written_is_in_it(tmp_path: Path) -> None:
    target, made = tmp_path / "a", [b"old", b"new", b"new"]
    assert publish.replaced(target, lambda: made.pop(0), then=f"cp {target} {target}.seen")
    assert (target.read_bytes(), (tmp_path / "a.seen").read_bytes(), made) == (b"new", b"new", [])
    assert not publish.replaced(target, lambda: b"new")


def test_an_export_that_changes_all_the_time_is_written_all_the_same(tmp_path: Path) -> None:
    target, made = tmp_path / "a", itertools.count()
    assert publish.replaced(target, lambda: str(next(made)).encode())
    assert int(target.read_bytes()) == publish.MOST_TIMES - 1


def test_a_ledger_that_knows_nothing_empties_no_file(book: Ledger, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    args = ("suppress", "export", "--format", "postfix", "--output", home / "map")
    assert run(*args).exit_code == 0
    before = (home / "map").read_bytes()
    monkeypatch.setenv("BOUNCECLASS_LEDGER_URL", str(home / "typo.db"))
    result = run(*args)
    assert (result.exit_code, (home / "map").read_bytes()) == (1, before)
    assert f"map is left as it is, for nothing was ever recorded in {home}/typo.db: name the right" in result.stderr
    (home / "map").unlink()
    assert (run(*args).exit_code, run(*args).exit_code, (home / "map").read_bytes()) == (0, 0, b"")


def test_a_map_has_an_address_as_mail_servers_are_asked_for_it(book: Ledger) -> None:
    book.add(["Dot@example.com.", "a@straße.example"])
    assert run("suppress", "check", "dot@example.com", "a@xn--strae-oqa.example").exit_code == 3
    for form, lines in (
        ("rspamd", ["a@straße.example", "a@xn--strae-oqa.example", "dot@example.com", "fred@example.com"]),
        ("list", ["Dot@example.com", "a@straße.example", "fred@example.com"]),
    ):
        assert sorted(run("suppress", "export", "--format", form).stdout.splitlines()) == lines
    row = json.loads(run("suppress", "export", "--format", "jsonl").stdout.splitlines()[0])
    assert sorted(row) == ["address", "reason", "since", "until"]


def test_a_private_export_is_never_open_to_others(book: Ledger, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, modes = home / "a", []
    target.touch(0o600)
    monkeypatch.setattr(os, "fsync", lambda file: modes.append(stat.S_IMODE(os.fstat(file).st_mode)))
    assert run("suppress", "export", "--format", "list", "--output", target).exit_code == 0
    assert (modes, stat.S_IMODE(target.stat().st_mode)) == ([0o600], 0o600)


def test_nothing_is_written_into_a_ledger_that_would_empty_an_export(home: Path, tmp_path: Path) -> None:
    config = home / "c.toml"
    config.write_text(
        f'[export.a]\nformat = "list"\npath = "{home}/a"\n[source.s]\ntype = "mbox"\npath = "{home}/box"\n'
    )
    (home / "a").write_text("ann@example.com\n")
    (home / "box").write_bytes(b"From x Mon Jan  5 10:00:00 2026\n" + bounce("fred@example.com") + b"\n")
    for command in (("process",), ("suppress", "add", "x@example.com")):
        result = run(*command, "--config", config)
        assert (result.exit_code, "[export.a]: " in result.stderr, "name the right ledger" in result.stderr) == (
            1,
            True,
            True,
        )
    assert ((home / "a").read_text(), bool((home / "box").read_bytes())) == ("ann@example.com\n", True)
    assert run("suppress", "import", "--config", config, home / "a").exit_code == 0
    assert run("process", "--config", config).exit_code == 0
    assert ((home / "a").read_text(), (home / "box").read_bytes()) == ("ann@example.com\n", b"")


def test_what_is_to_follow_an_export_may_not_take_for_ever(
    book: Ledger, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "PATIENCE", 0.2)
    with pytest.raises(publish.ExportError, match=r"then: sleep: took longer than 0\.2 seconds"):
        publish.replaced(home / "a", lambda: b"x", then="sleep 60")
    assert (home / ".a.then").exists()


def test_who_is_left_out_of_an_export_is_named_once(book: Ledger, home: Path) -> None:
    book.add(['"#"@example.com'])
    result = run("suppress", "export", "--format", "list", "--output", home / "a")
    assert result.stderr == 'left out, for this form cannot have it: "#"@example.com\n'


def test_a_device_is_written_to_once(book: Ledger) -> None:
    book.add(["fred@example.com"])
    command = [sys.executable, "-m", "bounceclass", "suppress", "export", "--format", "list", "--output", "/dev/stdout"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "fred@example.com\n/dev/stdout: written\n"


def test_hashed_addresses_cannot_be_exported(home: Path) -> None:
    config = home / "c.toml"
    config.touch(0o600)
    config.write_text('[privacy]\nhash_key = "0123456789abcdef"\n')
    assert run("suppress", "add", "--config", config, "fred@example.com").exit_code == 0
    assert run("suppress", "check", "--config", config, "fred@example.com").exit_code == 3
    result = run("suppress", "export", "--config", config, "--format", "list")
    assert (result.exit_code, "keeps hashes instead of addresses" in result.stderr) == (1, True)
    assert "fred" not in run("suppress", "list", "--config", config).stdout


def test_policy(book: Ledger) -> None:
    page = run("policy", "show", "strict").stdout
    assert page.startswith("strict: ")
    assert run("policy", "show").stdout.startswith("cautious: ")
    changed = run("policy", "diff", "strict").stdout
    assert changed == "0 would be suppressed\n0 would be released\n"
    assert (
        run("policy", "show", "strickt").stderr == "Error: strickt: there is no such policy; did you mean 'strict'?\n"
    )


MINE = 'name = "mine"\nprobation = "30d"\n[reasons.mailbox_full]\nstrikes = 1\nwindow = "60d"\nttl = ["forever"]\n'
"""A policy that suppresses ann and nobody else."""


def test_another_policy(book: Ledger, home: Path) -> None:
    mine = home / "mine.toml"
    mine.write_text(MINE)
    assert run("policy", "diff", mine).stdout.splitlines()[0] == "1 would be suppressed"
    assert "1 would be released\n  fred@example.com" in run("policy", "diff", mine).stdout
    assert not book.is_suppressed("ann@example.com")


@pytest.fixture
def config(home: Path) -> Path:
    """A configuration whose policy is not the ledger's."""
    (home / "mine.toml").write_text(MINE)
    (home / "box").mkdir()
    config = home / "c.toml"
    config.write_text(
        'policy = "mine.toml"\n[source.box]\ntype = "directory"\npath = "box"\n'
        '[export.a]\nformat = "list"\npath = "a"\n'
    )
    return config


def dumped(home: Path) -> list[str]:
    with closing(sqlite3.connect(home / "data" / "bounceclass" / "ledger.db")) as database:
        return list(database.iterdump())


ASKING = [
    (("suppress", "list"), 0, "fred@example.com"),
    (("suppress", "check", "ann@example.com"), 0, ""),
    (("suppress", "check", "fred@example.com"), 3, "fred@example.com: suppressed"),
    (("suppress", "why", "ann@example.com"), 0, "ann@example.com: suspect"),
    (("policy", "diff", "strict"), 0, "0 would be suppressed"),
    (("policy", "diff"), 0, "1 would be suppressed\n  ann@example.com"),
    (("incidents",), 0, ""),
    (("runs",), 0, ""),
]
MAKING = [
    (("suppress", "export"), "a: written"),
    (("suppress", "export", "--format", "list"), ""),
    (("suppress", "add", "new@example.com"), "1 added"),
    (("suppress", "import", "-"), "0 added"),
]


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [*ASKING, (("policy", "show"), 0, "mine: "), (("config", "check"), 0, "mine: "), (("config", "check", "--connect"), 0, "ledger.db: reached")],
)  # fmt: skip
def test_who_asks_changes_nothing(
    book: Ledger, home: Path, config: Path, command: tuple[str, ...], code: int, said: str
) -> None:
    before = dumped(home)
    result = run(*command, "--config", config)
    assert (result.exit_code, said in result.output) == (code, True), result.output
    assert dumped(home) == before
    assert book.policy == load("cautious")


@pytest.mark.parametrize(
    ("command", "said"),
    [*MAKING, (("suppress", "release", "fred@example.com"), "1 released")],
)
def test_what_is_done_by_hand_leaves_the_policy(
    book: Ledger, home: Path, config: Path, command: tuple[str, ...], said: str
) -> None:
    result = run(*command, "--config", config)
    assert (result.exit_code, said in result.output) == (0, True), result.output
    assert not book.is_suppressed("ann@example.com")
    with Ledger.open(home / "data" / "bounceclass" / "ledger.db") as ledger:
        assert ledger.policy == load("cautious")


@pytest.mark.parametrize("command", ["process", "pipe"])
def test_what_records_verdicts_brings_in_the_policy(book: Ledger, home: Path, config: Path, command: str) -> None:
    differs = "goes by another policy, cautious, until process or pipe adopts mine"
    assert differs in run("config", "check", "--connect", "--config", config).stdout
    result = run(command, "--config", config, stdin=b"Subject: x\n\n")
    said = "the ledger goes by the policy mine now, no longer by cautious: 1 address suppressed by that, 1 released\n"
    assert (result.exit_code, result.stderr) == (0, said)
    again = run(command, "--config", config, stdin=b"Subject: x\n\n")
    assert (again.exit_code, again.stderr) == (0, "")
    assert [book.is_suppressed(f"{name}@example.com") for name in ("ann", "fred")] == [True, False]
    assert differs not in run("config", "check", "--connect", "--config", config).stdout
    assert run("policy", "diff", "--config", config).stdout == "0 would be suppressed\n0 would be released\n"


def test_the_change_of_the_policy_stands_in_the_log(book: Ledger, home: Path, config: Path) -> None:
    book.complain("ann@example.com")  # is not mailed under either policy, and so no change
    logged, told, *_ = run("process", "-q", "--log", "json", "--config", config).stderr.splitlines()
    event = json.loads(told if told.startswith("{") else logged)
    about = {"before": "cautious", "after": "mine", "suppressed": 0, "released": 1}
    assert (event["message"], {name: event[name] for name in about}) == ("policy adopted", about)
    assert "0 addresses suppressed by that, 1 released" in logged + told


def test_a_policy_of_the_same_name_is_another(book: Ledger, home: Path, config: Path) -> None:
    assert run("process", "--config", config).exit_code == 0
    (home / "mine.toml").write_text(MINE.replace("[reasons.mailbox_full]", "[reasons.user_unknown]"))
    said = (
        "the ledger goes by the policy mine now, no longer by another mine: 1 address suppressed by that, 1 released\n"
    )
    assert run("process", "--config", config).stderr == said


def test_the_policy_that_a_ledger_begins_with_is_no_change(home: Path, config: Path) -> None:
    assert run("process", "--config", config).stderr == ""


@pytest.mark.parametrize("command", [("process",), ("suppress", "list"), ("suppress", "add", "x@example.com")])
def test_a_ledger_of_a_newer_version_is_not_tried_again(home: Path, config: Path, command: tuple[str, ...]) -> None:
    """It ends with 2 and not with 75, as no other try can help."""
    assert run("process", "--config", config).exit_code == 0
    place = home / "data" / "bounceclass" / "ledger.db"
    with closing(sqlite3.connect(place)) as connection, connection:
        connection.execute("UPDATE bounceclass_version SET version_num = '9999'")
    result = run(*command, "--config", config)
    newer = f"Error: {place}: was written by a newer version of bounceclass; upgrade bounceclass\n"
    assert (result.exit_code, result.stderr) == (2, newer)


@pytest.mark.parametrize("command", [one[0] for one in ASKING] + [("suppress", "release", "x@example.com"), ("config", "check", "--connect")])  # fmt: skip
def test_who_asks_begins_no_ledger(home: Path, config: Path, command: tuple[str, ...]) -> None:
    place = home / "data" / "bounceclass" / "ledger.db"
    before = sorted(home.rglob("*"))
    result = run(*command, "--config", config)
    none = f"{place}: there is no ledger yet; bounceclass process begins one\n"
    if command[0] == "config":
        assert (result.exit_code, none in result.stdout) == (0, True)
    else:
        assert (result.exit_code, result.output) == (75, f"Error: {none}")
    assert sorted(home.rglob("*")) == before


@pytest.mark.parametrize(("command", "said"), MAKING)
def test_what_is_done_by_hand_can_begin_the_ledger(
    home: Path, config: Path, command: tuple[str, ...], said: str
) -> None:
    result = run(*command, "--config", config)
    assert (result.exit_code, said in result.output) == (0, True), result.output
    assert run("suppress", "list", "--config", config).exit_code == 0


def test_incidents_and_runs(book: Ledger, home: Path) -> None:
    assert run("incidents").stdout == ""
    result = run("incidents", "void", "google/2020-12-14T21")
    assert (result.exit_code, "there is no incident 'google/2020-12-14T21'" in result.stderr) == (2, True)
    assert run("runs").stdout == ""
    book.end_run(book.begin_run("list"))
    assert run("runs").stdout.splitlines()[1].split()[:2] == ["1", "list"]


def test_config_check(home: Path) -> None:
    (home / "Maildir").mkdir()
    config = home / "c.toml"
    config.touch(0o600)
    config.write_text(
        f'policy = "strict"\n[source.list]\ntype = "maildir"\npath = "{home}/Maildir"\n'
        '[ledger]\nurl = "postgresql://me:geheim@db.example.com/b"\n[export.p]\nformat = "postfix"\npath = "/etc/x"\n'
    )
    result = run("config", "check", "--config", config)
    assert result.exit_code == 0
    assert "geheim" not in result.output
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["configuration", "ledger", "policy", "source", "export"]  # fmt: skip
    assert f"list: file:{home}/Maildir, then move to a folder by kind" in result.stdout
    config.write_text(config.read_text().replace("postgresql://me:geheim@db.example.com/b", f"{home}/l.db"))
    result = run("config", "check", "--connect", "--config", config)
    assert (result.exit_code, result.stderr) == (
        1,
        f"list: {home}/Maildir is not a Maildir: it has no new, cur and tmp\n",
    )
    assert f"{home}/l.db: there is no ledger yet" in result.stdout
    assert not (home / "l.db").exists()


@pytest.mark.parametrize(
    ("url", "expected", "code"),
    [
        ("postgresql://me:geheim@db.example.com/b?sslpassword=geheim", "ledger         postgresql://me:***@db.example.com/b\n", 0),
        ("postgres://db.example.com/b", "ledger         postgresql://db.example.com/b\n", 0),
        ("/srv/ledger.db", "ledger         /srv/ledger.db\n", 0),
        ("mysql://db.example.com/b", "Error: [ledger]: url: mysql: no ledger there; use SQLite (a path) or postgresql://\n", 2),
        ("post gres://x", "Error: [ledger]: url: the ledger's URL cannot be read; write postgresql://user@host/database or a path\n", 2),
    ],
)  # fmt: skip
def test_config_check_shows_the_ledger_as_its_errors_do(home: Path, url: str, expected: str, code: int) -> None:
    config = home / "c.toml"
    config.touch(0o600)
    config.write_text(f'[ledger]\nurl = "{url}"\n')
    result = run("config", "check", "--config", config)
    assert result.exit_code == code
    assert expected in result.output
    assert "geheim" not in result.output


SHORT = "[privacy]: hash_key: the hash key has 15 bytes; give at least 16 random ones"
NO_RAW = "[privacy]: hash_key: a ledger with hashed addresses keeps no raw mail; leave one of the two off"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[privacy]\nhash_key = '123456789012345'", SHORT),
        ("[privacy]\nhash_key = '1234567890123456'\n[ledger]\nkeep_raw = true", NO_RAW),
        ("[privacy]\nhash_key_command = 'cat key'\n[ledger]\nkeep_raw = true", NO_RAW),
        ("[ledger]\nurl = 'l.db'\npassword = 'x'", "[ledger]: url: a password needs postgresql://user@host/name"),
        ("[ledger]\nwait = inf", "{config}: ledger.wait: Expected `float` <= 604800.0"),
    ],
)
def test_config_check_refuses_what_the_first_use_refuses(home: Path, text: str, problem: str) -> None:
    config = home / "c.toml"
    config.touch(0o600)
    config.write_text(text)
    result = run("config", "check", "--config", config)
    assert (result.exit_code, result.output) == (2, f"Error: {problem.format(config=config)}\n")


def test_config_check_refuses_a_short_hash_key_of_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOUNCECLASS_PRIVACY_HASH_KEY", "123456789012345")
    result = run("config", "check")
    assert (result.exit_code, result.output) == (2, f"Error: {SHORT}\n")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[privacy]\nhash_key = '123456789012345'", "the hash key has 15 bytes; give at least 16 random ones"),
        ("[privacy]\nhash_key = '1234567890123456'", "ledger.db: addresses in it are not hashed; open it without a hash key, or begin another ledger"),
        ("[ledger]\nurl = 'mysql://x'", "mysql: no ledger there; use SQLite (a path) or postgresql://"),
        ("[ledger]\nurl = 'sqlite://'", "a ledger must be kept somewhere; name a file"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", [("process", "box"), ("suppress", "list"), ("config", "check", "--connect")])
def test_a_ledger_that_the_configuration_makes_impossible_is_not_tried_again(
    book: Ledger, home: Path, monkeypatch: pytest.MonkeyPatch, text: str, problem: str, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(home)
    (home / "box").mkdir()
    config = home / "c.toml"
    config.touch(0o600)
    config.write_text(text)
    result = run(*command, "--config", config)
    assert (result.exit_code, result.stderr.endswith(f"{problem}\n"), result.stderr.count("\n")) == (2, True, 1)


def test_every_command_has_examples() -> None:
    for args in ([], ["suppress"], ["policy"], ["incidents"], ["config"]):
        assert run(*args, "--help").exit_code == 0
    for args in (["process"], ["pipe"], ["suppress", "check"], ["suppress", "export"], ["policy", "diff"], ["config", "check"]):  # fmt: skip
        assert "Example" in run(*args, "--help").stdout, args


def test_a_policy_is_shown_with_its_rows(home: Path) -> None:
    _, _, header, *rows = run("policy", "show", "cautious").stdout.splitlines()
    assert header.split() == ["reason", "strikes", "on", "days", "within", "suppressed", "for", "confidence"]
    (row,) = [row for row in rows if row.startswith("user_unknown ")]
    assert " ".join(row.split()) == "user_unknown 2 2 120 days 30 days, then 180 days, then for ever probable"


def test_a_policy_is_shown_in_hours_where_it_has_them(home: Path) -> None:
    (home / "mine.toml").write_text(MINE.replace('"60d"', '"36h"').replace('"forever"', '"12h", "48h"'))
    row = run("policy", "show", home / "mine.toml").stdout.splitlines()[-1]
    assert " ".join(row.split()) == "mailbox_full 1 1 36 hours 12 hours, then 2 days probable"


def test_a_policy_diff_says_why(book: Ledger, home: Path) -> None:
    (home / "mine.toml").write_text(MINE)
    assert "  fred@example.com  user_unknown: 2 strikes from " in run("policy", "diff", home / "mine.toml").stdout


def test_config_check_names_the_file_and_what_becomes_of_messages(home: Path) -> None:
    assert run("config", "check").stdout.splitlines()[0] == "configuration  none; these are the defaults"
    found = home / "config" / "bounceclass" / "config.toml"
    found.parent.mkdir(parents=True)
    found.write_text(f'[source.a]\ntype = "directory"\npath = "{home}"\nafter = "leave"\n')
    lines = run("config", "check").stdout.splitlines()
    assert (lines[0], lines[-1].endswith(", then leave")) == (f"configuration  {found}", True)


def test_the_list_shows_addresses_as_they_were_given_and_a_pipe_only_those(book: Ledger) -> None:
    assert run("suppress", "add", "Wilma@Example.com").exit_code == 0
    assert "Wilma@Example.com  manual" in run("suppress", "list").stdout
    run("suppress", "release", "wilma@example.com", "fred@example.com")
    empty = run("suppress", "list")
    assert (empty.stdout, empty.stderr) == ("", "")
