"""Workers of a study on this machine: as many as its memory lets, each a process of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Set
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import joblib
import psutil

from supervision.runtime.memory import RESERVE, gigabytes, memory
from supervision.runtime.version import ROOT

COMMAND = (sys.executable, "-m", "tracking.tuning.trials")  # and the plan, and who starts them
AGAIN = 1.2  # times what the largest worker has taken must be free before another one comes
PATIENCE = 30  # seconds for a worker to stop
FUTILE = 3  # workers in a row that ended in an error before they had a trial


class WorkerPool(ExitStack):
    """Processes of ``tracking.tuning.trials``; they are gone when the block is left.

    Args:
        plan: the file of the plan.
        size: how many workers are wanted.
        tags: of the runs that they make.
        note: told what was done for want of memory, and why.
    """

    def __init__(
        self, plan: Path, size: int, tags: dict[str, str], note: Callable[[str], None]
    ) -> None:
        super().__init__()
        self.plan, self.size, self.note = plan, size, note
        self.working: list[subprocess.Popen[bytes]] = []
        self.largest = 0
        self.began = time.time()
        self.label = time.strftime("%Y%m%d-%H%M%S")
        self.started = 0
        self.futile = 0
        self.environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_RUN_ID"}
        share = max(1, joblib.cpu_count() // size)  # more threads than cores wait for each other
        threads = min(share, int(os.environ.get("OMP_NUM_THREADS") or share))
        self.environment |= {
            "OMP_NUM_THREADS": str(threads),
            "LOKY_MAX_CPU_COUNT": str(share),  # joblib's, by which trees are grown
            "MLFLOW_RUN_CONTEXT": json.dumps(tags),
        }

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Any:
        self.stop(self.working)
        return super().__exit__(kind, error, trace)

    def __enter__(self) -> Self:
        return self

    def tend(self, *, waiting: int, begun: Set[int], settled: Set[int]) -> None:
        """Start a worker where one is wanted and has room, stop the last where memory runs out.

        ``waiting`` trials wait; by process id, workers have ``begun`` a trial, or have an epoch
        behind them: what one takes can be seen by then, and not before (``settled``).
        Raises ChildProcessError where one after the other fails before it has begun any.
        """
        for worker in [w for w in self.working if w.poll() is not None]:
            self.working.remove(worker)
            idle = worker.returncode > 0 and worker.pid not in begun
            self.futile = self.futile + 1 if idle else 0
        if self.futile == FUTILE:
            raise ChildProcessError(
                f"Workers end before they have done anything: {self._last_words()}"
            )
        for worker in self.working:
            with suppress(psutil.Error):
                self.largest = max(self.largest, _resident(psutil.Process(worker.pid)))
        found = memory()
        if len(self.working) > 1 and found.free < RESERVE * found.total:
            self.note(f"Memory: {found}; {len(self.working) - 1} workers go on.")
            self.stop(self.working[-1:])
            self.size = len(self.working)
        elif waiting and len(self.working) < self.size and {w.pid for w in self.working} <= settled:
            self._start()

    def _start(self) -> None:
        found = memory()
        if self.working and found.free < AGAIN * self.largest:
            self.note(
                f"Memory: {found}, and a worker takes {gigabytes(self.largest)}; "
                f"{len(self.working)} of {self.size} workers go on."
            )
            self.size = len(self.working)
            return
        self.started += 1
        with self._log(self.started).open("wb") as log:
            worker = subprocess.Popen(
                [*COMMAND, str(self.plan), str(os.getpid())],
                cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.working.append(worker)

    def stop(self, workers: list[subprocess.Popen[bytes]]) -> None:
        """Let workers end; their trials are others' to take up."""
        workers = list(workers)
        for worker in workers:
            worker.terminate()
        for worker in workers:
            try:
                worker.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
            self.working.remove(worker)

    def _log(self, number: int) -> Path:
        return self.plan.with_name(f"worker-{self.label}-{number}.txt")

    def _last_words(self) -> str:
        lines = self._log(self.started).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def _resident(process: psutil.Process) -> int:
    """Bytes in memory, with those of the processes that make its batches."""
    family = [process, *process.children(recursive=True)]
    return sum(member.memory_info().rss for member in family)
