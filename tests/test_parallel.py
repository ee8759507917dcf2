"""Several processes give what one gives: in order, in bounded memory, whatever becomes of a process."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from messages import bounce

import bounceclass
from bounceclass import parallel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIXTURES = Path(__file__).parent.parent / "fixtures"
DEAD = bounce("fred@example.com")
COMMAND = (sys.executable, "-m", "bounceclass")


def weigh(item: object) -> int:
    del item
    return 1


def many(
    work: Callable[[int], object], items: Iterator[int] | range, jobs: int = 2, weigh: Callable[[int], int] = weigh
) -> Iterator[object]:
    return parallel.ordered(work, items, jobs=jobs, weigh=weigh, given_up=lambda item: f"gave {item} up")


def square(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def eventually(holds: Callable[[], bool]) -> bool:
    for _ in range(200):
        if holds():
            return True
        time.sleep(0.05)
    return False


# --- one function over many items ---------------------------------------------------


@pytest.mark.parametrize("jobs", [1, 2, 5])
@pytest.mark.parametrize("number", [0, 1, parallel.MAX_ITEMS, parallel.MAX_ITEMS + 1, 1000])
def test_results_come_in_the_order_of_the_items(jobs: int, number: int) -> None:
    results = list(many(square, range(number), jobs))
    assert [result[0] for result in results] == [item * item for item in range(number)]  # type: ignore[index]
    workers = {result[1] for result in results} - {os.getpid()}  # type: ignore[index]
    assert len(workers) <= jobs
    assert bool(workers) is (jobs > 1 and number > parallel.MAX_ITEMS)
    assert multiprocessing.active_children() == []


def slow_first(number: int) -> int:
    if number == 0:
        time.sleep(0.3)
    return number


def test_a_slow_item_holds_its_place_and_bounds_what_is_read() -> None:
    read = []

    def items() -> Iterator[int]:
        for number in count():
            read.append(number)
            yield number

    with closing(many(slow_first, items())) as results:  # type: ignore[type-var]
        assert list(islice(results, 3)) == [0, 1, 2]
    assert len(read) <= (parallel.AHEAD * 2 + 1) * parallel.MAX_ITEMS
    assert multiprocessing.active_children() == []


def test_heavy_items_make_small_batches() -> None:
    read = []

    def items() -> Iterator[int]:
        for number in count():
            read.append(number)
            yield number

    with closing(many(slow_first, items(), weigh=lambda _: parallel.MAX_WEIGHT)) as results:  # type: ignore[type-var]
        assert next(results) == 0
    assert len(read) <= parallel.AHEAD * 2 * parallel.MAX_ITEMS


def deadly(number: int) -> int:
    if number == 70:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_an_item_that_kills_its_workers_is_given_up_and_no_other() -> None:
    expected: list[object] = list(range(500))
    expected[70] = "gave 70 up"
    assert list(many(deadly, range(500))) == expected


def patient(number: int, *, folder: Path) -> int:
    """Return *number*; of the first that a worker is given after the others only when told to go on."""
    if number >= parallel.MAX_ITEMS:
        (folder / "begun").touch()
        while not (folder / "go on").exists():
            time.sleep(0.01)
    return number


def test_a_worker_that_is_killed_at_work_loses_nothing(tmp_path: Path) -> None:
    results = many(partial(patient, folder=tmp_path), range(500))
    found = [next(results)]
    assert eventually((tmp_path / "begun").exists)
    kill_children()
    (tmp_path / "go on").touch()
    assert [*found, *results] == list(range(500))


def heavy(number: int, *, folder: Path) -> bytes:
    (folder / str(number)).touch()
    return bytes([number]) * 4_000_000


def test_a_worker_that_is_killed_while_it_sends_loses_nothing(tmp_path: Path) -> None:
    results = many(partial(heavy, folder=tmp_path), range(8), weigh=lambda _: parallel.MAX_WEIGHT)
    found = [next(results)]
    assert eventually((tmp_path / "1").exists)
    time.sleep(0.2)  # it sends more than a pipe holds, and nobody reads
    kill_children()
    found += results
    assert [(len(one), set(one)) for one in found] == [(4_000_000, {number}) for number in range(8)]  # type: ignore[arg-type, call-overload]


def kill_children() -> None:
    for child in multiprocessing.active_children():
        os.kill(child.pid or 0, signal.SIGKILL)


def in_two_jobs(number: int) -> list[object]:
    return list(many(square, range(number)))


def test_a_process_that_may_have_no_children_does_all_itself() -> None:
    with multiprocessing.Pool(1) as pool:
        (worker,) = multiprocessing.active_children()
        assert pool.apply(in_two_jobs, (1000,)) == [(number * number, worker.pid) for number in range(1000)]


def broken(number: int) -> Iterator[int]:
    yield from range(number)
    raise OSError("the disk is gone")


@pytest.mark.parametrize("number", [3, 100, parallel.MAX_ITEMS, 1000])
def test_what_the_items_raise_comes_after_the_results_before_it(number: int) -> None:
    results = many(slow_first, broken(number))
    assert list(islice(results, number)) == list(range(number))
    with pytest.raises(OSError, match="the disk is gone"):
        next(results)


# --- messages -----------------------------------------------------------------------


def test_every_fixture_is_judged_as_by_one_process() -> None:
    contents = [path.read_bytes() for path in sorted(FIXTURES.rglob("*.eml"))]
    alone = [bounceclass.classify(content) for content in contents]
    together = list(bounceclass.classify_many(iter(contents), jobs=2))
    assert together == alone
    assert [report.hops() for report in together[:50]] == [report.hops() for report in alone[:50]]
    assert list(bounceclass.classify_many(contents, jobs=1)) == alone


def test_whatever_classify_takes(tmp_path: Path) -> None:
    path = tmp_path / "a.eml"
    path.write_bytes(DEAD)
    expected = bounceclass.classify(path, lang="it")
    with path.open("rb") as file:
        found = list(bounceclass.classify_many([path, DEAD.decode(), file, *[DEAD] * 100], jobs=2, lang="it"))
    assert found == [expected] * 103


def test_rules_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "general.toml").write_text(
        '[[rule]]\nid = "mine"\nreason = "greylisted"\nsource = "me"\nphrases = ["no such user here"]\n'
        'examples = ["no such user here"]\n'
    )
    rules = bounceclass.load_rules(tmp_path)
    for jobs in (1, 2):
        (report, *_) = bounceclass.classify_many(
            [bounce("a@example.com", "550 5.1.1 No such user here, at all")] * 100, jobs=jobs, rules=rules
        )
        assert report == bounceclass.classify(
            bounce("a@example.com", "550 5.1.1 No such user here, at all"), rules=rules
        )
    import pickle

    assert pickle.loads(pickle.dumps(rules)) is rules


def test_mistakes_of_the_caller() -> None:
    with pytest.raises(ValueError, match="jobs must be 1 or more, not 0"):
        bounceclass.classify_many([], jobs=0)
    with pytest.raises(ValueError, match="no suggestions in 'xx'"):
        bounceclass.classify_many([], lang="xx")
    found = bounceclass.classify_many([b"a", 3], jobs=2)  # type: ignore[list-item]
    assert next(found).kind == "none"
    with pytest.raises(TypeError):
        next(found)


def test_a_bug_costs_one_message_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from bounceclass import judge

    def bug(*args: object) -> NoReturn:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(judge, "judge", bug)
    letter = b"From: a@example.com\n\nHello"
    first, second, third = bounceclass.classify_many([letter, DEAD, letter])
    assert first == third == bounceclass.classify(letter)
    assert (second.kind, second.defects) == ("none", ("not judged: ZeroDivisionError: by zero",))


# --- the command --------------------------------------------------------------------


def mbox(path: Path, number: int) -> Path:
    one = b"From a@example.com Mon Nov 23 10:00:00 2026\n" + DEAD + b"\n"
    path.write_bytes(one * number)
    return path


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv", "sisimai"])
def test_the_output_is_the_same_for_any_number_of_jobs(form: str, tmp_path: Path) -> None:
    fixtures = [str(path) for path in sorted(FIXTURES.rglob("*.eml"))][:90]
    outputs = [
        subprocess.run(
            [*COMMAND, "classify", "--format", form, "--jobs", jobs, *fixtures, "missing"],
            capture_output=True,
            check=False,
        )
        for jobs in ("1", "3")
    ]
    assert outputs[0].stdout
    assert outputs[0].stderr == b"missing: No such file or directory\n"
    assert (outputs[1].stdout, outputs[1].stderr, outputs[1].returncode) == (
        outputs[0].stdout,
        outputs[0].stderr,
        1,
    )


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(sys.platform != "linux", reason="finds a process's children in /proc")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9), (signal.SIGTERM, -15)])
def test_no_process_outlives_the_command(number: int, code: int, tmp_path: Path) -> None:
    box = mbox(tmp_path / "box", 20_000)
    running = subprocess.Popen(
        [*COMMAND, "classify", "--format", "jsonl", "--jobs", "2", str(box)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert running.stdout and running.stderr
    assert json.loads(running.stdout.readline())["kind"] == "bounce"
    workers = children(running.pid)
    assert len(workers) == 2
    if number == signal.SIGINT:
        os.killpg(running.pid, number)  # as a terminal does it
    else:
        running.send_signal(number)
    assert running.wait(10) == code  # though nobody reads what it says
    assert running.stderr.read() == b""
    running.stdout.close()
    running.stderr.close()
    assert eventually(lambda: not any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers))


def test_jobs_are_one_or_more() -> None:
    done = subprocess.run([*COMMAND, "classify", "--jobs", "0", "x"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "0 is not in the range x>=1" in done.stderr
