"""The worker processes of a study on this machine: as many as fit into its memory."""

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

from supervision.runtime.memory import MIN_FREE_FRACTION, available_memory, format_gib
from supervision.runtime.subprocesses import child_environment

# arguments: the file of the plan, the process id of the parent
WORKER_COMMAND = (sys.executable, "-m", "tracking.tuning.trials")
FREE_PER_WORKER = 1.2  # free memory that a further worker needs, in units of the largest worker
STOP_TIMEOUT_SECONDS = 30
MAX_FAILED_STARTS = 3  # consecutive workers that fail before they begin a trial


class WorkerPool(ExitStack):
    """Processes of ``tracking.tuning.trials``; leaving the block stops them.

    Args:
        plan: the file of the study's plan. Log files of the workers are written beside it.
        size: the number of workers that is wanted.
        tags: MLflow tags of the runs that the workers create.
        note: called with a message when memory does not allow ``size`` workers.

    Attributes:
        running: the processes that have not been seen to end.
        largest_bytes: the most memory that one worker has used.
        began: when the pool was created, in seconds since 1970.
    """

    def __init__(
        self, plan: Path, size: int, tags: dict[str, str], note: Callable[[str], None]
    ) -> None:
        super().__init__()
        self.plan, self.size, self.note = plan, size, note
        self.running: list[subprocess.Popen[bytes]] = []
        self.largest_bytes = 0
        self.began = time.time()
        self.label = time.strftime("%Y%m%d-%H%M%S")
        self.started = 0
        self.failed_starts = 0
        cores = max(1, joblib.cpu_count() // size)  # more threads than cores slow each other down
        threads = min(cores, int(os.environ.get("OMP_NUM_THREADS") or cores))
        self.environment = child_environment(
            {
                "OMP_NUM_THREADS": str(threads),
                "LOKY_MAX_CPU_COUNT": str(cores),  # limits joblib, which trains tree ensembles
                "MLFLOW_RUN_CONTEXT": json.dumps(tags),
            }
        )
        self.environment.pop("MLFLOW_RUN_ID", None)  # a worker would join the study's run

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Any:
        self.stop(self.running)
        return super().__exit__(kind, error, trace)

    def update(self, *, waiting: int, begun: Set[int], measured: Set[int]) -> None:
        """Start a worker if one is needed and fits; stop the newest if memory runs out.

        Args:
            waiting: how many trials wait.
            begun: ids of the processes that have begun a trial.
            measured: ids of the processes that have finished an epoch, after which their memory
                use is known. The next worker starts only when all have.

        Raises ChildProcessError if MAX_FAILED_STARTS workers in a row fail before they begin a
        trial.
        """
        for worker in [w for w in self.running if w.poll() is not None]:
            self.running.remove(worker)
            failed_start = worker.returncode > 0 and worker.pid not in begun
            self.failed_starts = self.failed_starts + 1 if failed_start else 0
        if self.failed_starts == MAX_FAILED_STARTS:
            raise ChildProcessError(
                f"{MAX_FAILED_STARTS} workers failed before they began a trial: "
                f"{self._last_log_line()}"
            )
        for worker in self.running:
            with suppress(psutil.Error):
                used = _resident_bytes(psutil.Process(worker.pid))
                self.largest_bytes = max(self.largest_bytes, used)
        memory = available_memory()
        if len(self.running) > 1 and memory.free < MIN_FREE_FRACTION * memory.total:
            self.note(f"Memory: {memory}; reduced to {len(self.running) - 1} workers.")
            self.stop(self.running[-1:])
            self.size = len(self.running)
        elif (
            waiting
            and len(self.running) < self.size
            and {worker.pid for worker in self.running} <= measured
        ):
            self._start()

    def stop(self, workers: list[subprocess.Popen[bytes]]) -> None:
        """Stop workers. Their trials are enqueued again."""
        workers = list(workers)
        for worker in workers:
            worker.terminate()
        for worker in workers:
            try:
                worker.wait(STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
            self.running.remove(worker)

    def _start(self) -> None:
        memory = available_memory()
        if self.running and memory.free < FREE_PER_WORKER * self.largest_bytes:
            self.note(
                f"Memory: {memory}, and a worker uses {format_gib(self.largest_bytes)}; "
                f"{len(self.running)} of {self.size} workers run."
            )
            self.size = len(self.running)
            return
        self.started += 1
        with self._log(self.started).open("wb") as log:
            worker = subprocess.Popen(
                [*WORKER_COMMAND, str(self.plan), str(os.getpid())],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.running.append(worker)

    def _log(self, number: int) -> Path:
        return self.plan.with_name(f"worker-{self.label}-{number}.txt")

    def _last_log_line(self) -> str:
        lines = self._log(self.started).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "the log is empty"


def _resident_bytes(process: psutil.Process) -> int:
    """The memory of a process and its children, which prepare its batches."""
    processes = [process, *process.children(recursive=True)]
    return sum(member.memory_info().rss for member in processes)
