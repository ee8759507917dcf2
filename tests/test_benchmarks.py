"""The benchmarks measure what they say; what they measured stands in docs/speed.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import bounceclass
from benchmarks import hostile, messages, scaling
from benchmarks.__main__ import cli
from bounceclass.app import sources

FIXTURES = Path(__file__).parent.parent / "fixtures"
LETTER = b"From: ann@example.com\nSubject: Hello\n\nHow are you?\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mail"
    folder.mkdir()
    for name in ("postfix/user-unknown.eml", "qmail/user-unknown.eml"):
        (folder / name.replace("/", "-")).write_bytes((FIXTURES / name).read_bytes())
    (folder / "letter.eml").write_bytes(LETTER)
    return folder


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli, ["messages", *map(str, arguments), "--rounds", "1"], catch_exceptions=False)


def test_every_method_reads_every_kind_of_message(folder: Path, tmp_path: Path) -> None:
    result = run(folder, "--json", tmp_path / "now.json")
    assert result.exit_code == 0
    found = json.loads((tmp_path / "now.json").read_bytes())
    assert found["messages"] == {"all": 3, "DSN": 1, "free-form": 1, "not a bounce": 1}
    assert list(found["methods"]) == list(messages.METHODS)
    for costs in found["methods"].values():
        assert list(costs) == list(messages.KINDS)
        assert all(cost["us"] > 0 and cost["ratio"] > 0 for cost in costs.values())
    assert found["methods"][messages.BASE]["all"]["ratio"] == 1
    (slowest,) = found["slowest"]
    assert slowest["name"] in {path.name for path in folder.iterdir()}
    assert str(tmp_path) not in json.dumps(found)
    assert f"| {messages.BASE} " in result.stdout


def stored(path: Path, ratio: float) -> Path:
    costs = {"all": {"us": 1.0, "ratio": ratio}}
    path.write_text(json.dumps({"methods": {"classify": costs, messages.BASE: {"all": {"us": 1.0, "ratio": 1.0}}}}))
    return path


def test_two_runs_are_compared_by_their_ratios(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    then, now = (json.loads(stored(tmp_path / "run", ratio).read_bytes()) for ratio in (0.5, 0.6))
    assert messages.compare(then, now) == pytest.approx(20)
    assert "| classify, all                 |  0.5 | 0.6 | +20.0% |" in capsys.readouterr().out


@pytest.mark.parametrize(("then", "code"), [(1e-9, 1), (1e9, 0)])
def test_a_run_fails_where_classify_became_dearer(then: float, code: int, folder: Path, tmp_path: Path) -> None:
    result = run(folder, "--compare", stored(tmp_path / "then.json", then), "--fail-above", 5)
    assert result.exit_code == code
    assert ("more than it did" in result.stderr) is bool(code)


def test_what_raises_is_counted(folder: Path) -> None:
    def fails(raw: bytes) -> None:
        if raw != LETTER:
            raise ValueError

    methods = {messages.BASE: len, "classify": len, "fails": fails}
    assert messages.figures(folder, 2, methods)["raised"] == {"fails": 2}


def test_the_messages_that_scaling_makes(tmp_path: Path) -> None:
    found = bounceclass.classify(scaling.report(3, 5_000_000))
    assert [failure.recipient for failure in found.failures] == [f"user{number}@example.com" for number in range(3)]
    assert found.defects == ("size: only the first 2097152 bytes were read",)
    assert len(scaling.report(1, 5_000_000)) == pytest.approx(5_000_000, rel=0.01)
    scaling.mbox(tmp_path / "box.mbox", 500)
    read = [item.content for item in sources.read([str(tmp_path / "box.mbox")])]
    assert len(read) == len(set(read)) == 500


def test_growth_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    found = scaling.figures(messages=200, megabytes=(1,), recipients=(1, 2))
    scaling.print_figures(found)
    printed = capsys.readouterr().out
    assert [one["recipients"] for one in found["recipients"]] == [1, 2]
    assert found["mbox"]["runs"][0]["jobs"] == 1
    assert "over an mbox of 200 messages" in printed
    assert "| 1  | " in printed


def test_what_grows_with_the_square_is_told() -> None:
    assert hostile.Growth("square", 0.01, 0.04).ratio == pytest.approx(4)
    assert hostile.Growth("nothing to measure by", 1e-6, 1e-4).ratio < hostile.MOST
    found = hostile.figures(every=10_000)
    assert {one.name for one in found} > set(hostile.SHAPES)
    assert [one.ratio for one in found] == sorted((one.ratio for one in found), reverse=True)
