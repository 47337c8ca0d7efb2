"""Processes of this machine, as many as its cores and its memory allow.

The first process loads the model and reports its memory; it decides how many others are started. A
process that the system ends, as it does when memory runs out, costs its part of a shard: the others
screen it again.
"""

import multiprocessing as mp
import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from supervision.runtime.errors import ExpectedError, one_line
from supervision.runtime.memory import MIN_FREE_FRACTION, available_memory, resident_bytes
from supervision.screening.worker import ONE_THREAD, ShardTask, load_screener, screen_shard

CRYSTAL_BYTES = 512 << 20  # that the largest crystals take beside the model
ATTEMPTS = 2  # at a shard whose process was ended


@dataclass(frozen=True)
class Ready:
    """A process has loaded the model, and takes so much memory."""

    resident_bytes: int


@dataclass(frozen=True)
class Done:
    """A process has finished its shard."""


@dataclass
class Worker:
    """A process, and the shard that it screens.

    Attributes:
        rows: of the shard, answered so far.
        is_idle: whether it has loaded the model and waits for a shard.
    """

    process: BaseProcess
    connection: Connection
    task: ShardTask | None = None
    rows: int = 0
    is_idle: bool = False


def run(tasks: Sequence[ShardTask], workers: int, settings: str) -> Iterator[int]:
    """Screen shards; yields numbers of rows as they are answered (negative: to be done again).

    Args:
        workers: the number of processes; 0 for as many as cores and memory allow.
        settings: none are known.

    Raises ExpectedError with one sentence where a shard ends its processes twice, and what a
    process raised.
    """
    if settings:
        raise ValueError("engine_options: the local engine has none; leave it out.")
    pool = _Pool(tasks, workers)
    try:
        yield from pool.run()
    finally:
        pool.stop()


class _Pool:
    def __init__(self, tasks: Sequence[ShardTask], workers: int) -> None:
        self.waiting = deque(tasks)
        self.most = min(workers or cores(), len(tasks))
        self.is_limited_by_memory = not workers
        self.ended: Counter[ShardTask] = Counter()
        self.model = tasks[0].model
        self.workers: list[Worker] = []

    def run(self) -> Iterator[int]:
        """Screen all shards."""
        self._start(1 if self.is_limited_by_memory else self.most)
        while any(worker.task for worker in self.workers) or self.waiting:
            connections = {worker.connection: worker for worker in self.workers}
            for connection in wait(list(connections)):
                assert isinstance(connection, Connection)
                worker = connections[connection]
                try:
                    message = connection.recv()
                except (EOFError, OSError):
                    yield -worker.rows
                    self._was_ended(worker)
                    continue
                if isinstance(message, BaseException):
                    raise message
                if isinstance(message, int):
                    worker.rows += message
                    yield message
                    continue
                if isinstance(message, Ready) and self.is_limited_by_memory:
                    self.is_limited_by_memory = False
                    self._start(min(self.most - 1, _affordable(message.resident_bytes)))
                self._give(worker)

    def _start(self, number: int) -> None:
        context = mp.get_context("spawn")  # threads of libraries do not survive a fork
        for _ in range(number):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, self.model), daemon=True)
            with one_thread():
                process.start()
            theirs.close()
            self.workers.append(Worker(process, ours))

    def _give(self, worker: Worker) -> None:
        worker.task, worker.rows = (self.waiting.popleft() if self.waiting else None), 0
        worker.is_idle = worker.task is None
        if worker.task:
            worker.connection.send(worker.task)

    def _was_ended(self, worker: Worker) -> None:
        """Let others do its shard."""
        self.workers.remove(worker)
        worker.process.join()
        code = worker.process.exitcode or 0
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        if worker.task:
            self.ended[worker.task] += 1
            self.waiting.appendleft(worker.task)
        if not self.workers or max(self.ended.values(), default=0) >= ATTEMPTS:
            raise ExpectedError(
                f"A worker process was ended from outside ({how}), as when memory runs out; give "
                "the same command again with fewer --workers: it goes on from here."
            )
        print(
            f"A worker process was ended from outside ({how}); {len(self.workers)} go on.",
            file=sys.stderr, flush=True,
        )  # fmt: skip
        idle = next((w for w in self.workers if w.is_idle), None)
        if idle:
            self._give(idle)

    def stop(self) -> None:
        """End all processes, whatever they do: unfinished shards leave nothing."""
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.process.join()
            worker.connection.close()


def _work(connection: Connection, model: "os.PathLike[str]") -> None:
    """What a process does: shards as they are given, until it is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the first process, which ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        load_screener(model)  # type: ignore[arg-type]
        connection.send(Ready(resident_bytes()))
        while True:
            screen_shard(connection.recv(), connection.send)
            connection.send(Done())
    except EOFError:  # the first process has ended
        return
    except Exception as error:
        with suppress(OSError):
            connection.send(_sendable(error))


def _sendable(error: Exception) -> Exception:
    """An error that can be pickled and says what it was."""
    if isinstance(error, OSError | ValueError | ExpectedError):
        return error
    return RuntimeError(f"A worker process failed ({type(error).__name__}: {one_line(error)}).")


def _end_with_parent() -> None:
    """End this process when the first one ends for any reason, SIGKILL too."""
    parent = mp.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Within, processes are started with libraries that compute in one thread."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _affordable(resident: int) -> int:
    """How many more processes fit into the free memory."""
    memory = available_memory()
    reserve = MIN_FREE_FRACTION * memory.total + CRYSTAL_BYTES  # for the first process
    return max(0, int((memory.free - reserve) // (resident + CRYSTAL_BYTES)))
