"""One function over many items in several processes: in order, in constant memory, whatever becomes of a process.

The parent reads the items, gives each idle worker a batch of them and takes the batch's results
back; it holds no more than a few batches a worker.  A worker that dies takes nothing with it:
its items are given out again one by one, and only one that kills a second worker is given up.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.context import BaseContext
    from multiprocessing.process import BaseProcess

__all__ = ["cores", "ordered"]

MAX_ITEMS = 64
"""Items that a worker is given at once."""
MAX_WEIGHT = 1024 * 1024
"""Bytes of them, beyond which no item is added."""
AHEAD = 4
"""Batches for each worker that are read before the results of the first have been taken."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ordered(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    jobs: int,
    weigh: Callable[[Item], int],
    given_up: Callable[[Item], Result],
) -> Generator[Result]:
    """Yield ``work(item)`` for each of *items*, in their order.

    With one job, where one batch holds them all, or in a process that may have no children (a
    worker of ``multiprocessing.Pool``), this process does the work itself.
    Otherwise *jobs* workers do; items and results must then be such as pickle takes, and so
    must *work* where processes are not forked.  *work* must not raise.  *weigh* tells an item's
    bytes, *given_up* the result of one that killed two workers.

    What *items* raises is raised when the results before it have been yielded.
    """
    if jobs < 2:
        yield from map(work, items)
        return
    batches = _batches(iter(items), weigh)
    first, second = next(batches, None), next(batches, None)
    batches = chain(filter(None, (first, second)), batches)
    if second is None or _is_daemon():
        for batch in batches:
            yield from map(work, batch.items)
            if batch.error:
                raise batch.error
        return
    pool: _Pool[Item, Result] = _Pool(work, jobs, given_up)
    try:
        yield from pool.run(batches)
    finally:
        pool.end()


def _is_daemon() -> bool:
    import multiprocessing  # 20 ms, and few need it

    return multiprocessing.current_process().daemon


class _Batch(NamedTuple, Generic[Item]):
    """Items that follow one another, and what ended them before their time."""

    start: int
    items: list[Item]
    error: Exception | None = None
    again: bool = False
    """A worker has died of it."""


def _batches(items: Iterator[Item], weigh: Callable[[Item], int]) -> Iterator[_Batch[Item]]:
    start = 0
    while True:
        batch: list[Item] = []
        weight = 0
        try:
            while len(batch) < MAX_ITEMS and weight < MAX_WEIGHT:
                item = next(items)
                batch.append(item)
                weight += weigh(item)
        except StopIteration:
            if batch:
                yield _Batch(start, batch)
            return
        except Exception as error:  # noqa: BLE001 - it is raised in its turn
            yield _Batch(start, batch, error)
            return
        yield _Batch(start, batch)
        start += len(batch)


# --- workers ----------------------------------------------------------------------


class _Worker(Generic[Item]):
    """A process, the way to it, and what it has been given."""

    def __init__(self, context: BaseContext, work: Callable[[Item], Any]) -> None:
        self.connection, other = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(other, self.connection, work), daemon=True)  # type: ignore[attr-defined]
        self.process.start()
        other.close()  # so that the death of the process is the end of the pipe
        self.batch: _Batch[Item] | None = None

    def end(self) -> None:
        """End the process at once."""
        self.process.kill()
        self.process.join()
        self.connection.close()


class _Pool(Generic[Item, Result]):
    """The workers, and the results that wait for their turn."""

    def __init__(self, work: Callable[[Item], Result], jobs: int, given_up: Callable[[Item], Result]) -> None:
        import multiprocessing

        self._context = multiprocessing.get_context()
        self._work = work
        self._given_up = given_up
        self._workers: list[_Worker[Item]] = []
        self._jobs = jobs
        self._again: deque[_Batch[Item]] = deque()
        self._results: dict[int, Result] = {}

    def run(self, batches: Iterator[_Batch[Item]]) -> Iterator[Result]:
        """Yield the results of *batches* in their order."""
        error: Exception | None = None
        turn, read, more = 0, 0, True
        while True:
            while turn not in self._results:
                while self._again and (idle := self._idle()):
                    self._give(idle, self._again.popleft())
                while more and read - turn < AHEAD * self._jobs * MAX_ITEMS and (idle := self._idle()):
                    batch = next(batches, None)
                    more = batch is not None and batch.error is None
                    if batch is not None:
                        error = batch.error
                        read += len(batch.items)
                        self._give(idle, batch)
                if turn == read and not more:
                    if error:
                        raise error
                    return
                self._take()
            yield self._results.pop(turn)
            turn += 1

    def end(self) -> None:
        """End every worker at once."""
        for worker in self._workers:
            worker.end()

    def _idle(self) -> _Worker[Item] | None:
        """Return a worker that has nothing to do, a new one while there may be more of them."""
        idle = next((worker for worker in self._workers if worker.batch is None), None)
        if idle is None and len(self._workers) < self._jobs:
            idle = _Worker(self._context, self._work)
            self._workers.append(idle)
        return idle

    def _give(self, worker: _Worker[Item], batch: _Batch[Item]) -> None:
        worker.batch = batch
        with suppress(BrokenPipeError, ConnectionResetError):  # it is dead, as _take will see
            worker.connection.send(batch.items)

    def _take(self) -> None:
        """Wait for a worker, and keep its results; what a dead one had is to be done again."""
        from multiprocessing.connection import wait

        busy: dict[Any, _Worker[Item]] = {worker.connection: worker for worker in self._workers if worker.batch}
        for connection in wait(list(busy)):
            worker = busy[connection]
            batch, worker.batch = worker.batch, None
            assert batch is not None
            try:
                results = worker.connection.recv()
            except (EOFError, OSError):  # at its end, or in the middle of what it sent
                self._workers.remove(worker)
                worker.end()
                self._bury(batch)
                continue
            for index, result in enumerate(results, batch.start):
                self._results[index] = result

    def _bury(self, batch: _Batch[Item]) -> None:
        if batch.again:
            self._results[batch.start] = self._given_up(batch.items[0])
            return
        for index, item in enumerate(batch.items, batch.start):
            self._again.append(_Batch(index, [item], again=True))


def _serve(  # pragma: no cover - in processes that tests see by their results
    connection: Connection, parents: Connection, work: Callable[[Item], Result]
) -> None:
    """Do what the parent sends, until it is gone."""
    import signal

    parents.close()  # or the pipe would not end with the parent, for this process would hold both ends
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    try:
        while True:
            connection.send([work(item) for item in connection.recv()])
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    finally:
        os._exit(0)  # what the parent had not yet written when it forked is the parent's to write
