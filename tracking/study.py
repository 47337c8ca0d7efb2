"""An Optuna study that processes on one machine or several work off together.

Every trial that is wanted waits in the storage from the start. A worker claims one, which any
storage lets one worker alone do: so none is tried twice, and no budget is overdrawn. While it
works on a trial its pulse goes on; a trial whose worker is gone is marked as lost and waits again
under another number. (Optuna's own heartbeats are of relational storages alone.)
"""

import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

import optuna
import psutil
from filelock import FileLock
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

BEAT = 5.0  # seconds between two beats of a pulse
SILENT = 60.0  # seconds without a beat, after which a worker on another machine is taken for gone
ATTEMPTS = 3  # a trial that was lost so often is not tried again
PULSE, WORKER, LOST, AGAIN = "pulse", "worker", "lost", "again"  # attributes of a trial
RUN, LEADER = "run", "leader"  # of a study
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def open_storage(place: str) -> BaseStorage:
    """A journal (a file's path), or a database (an SQLAlchemy URL).

    Raises ValueError where it cannot be reached.
    """
    try:
        if "://" in place:
            return RDBStorage(place, engine_kwargs={"pool_pre_ping": True})
        return JournalStorage(JournalFileBackend(place))
    except (SQLAlchemyError, OSError, ImportError) as error:
        reason = str(error).splitlines()[0]
        said = re.sub(r":[^:@/]+@", ":***@", place)  # a password
        raise ValueError(f"The storage {said} cannot be used: {reason}") from error


def guard_of(place: str) -> AbstractContextManager:
    """What makes changes of a storage one at a time, where it does not do so by itself.

    SQLite has no locks on rows: there, Optuna lets two processes take the same trial.
    """
    if not place.startswith("sqlite:///"):
        return nullcontext()
    return FileLock(place.removeprefix("sqlite:///") + ".lock")


@dataclass(frozen=True)
class Worker:
    """A process that works on trials."""

    machine: str
    pid: int
    since: float

    @classmethod
    def this(cls) -> "Worker":
        """This process."""
        process = psutil.Process()
        return cls(machine(), process.pid, process.create_time())

    @property
    def here(self) -> bool:
        """Whether it is, or was, a process of this machine."""
        return self.machine == machine()

    def lives(self) -> bool:
        """Whether a process of this machine still is."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            return process.create_time() == self.since and process.status() != "zombie"
        return False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.machine.partition('/')[0]}"


def machine() -> str:
    """A name that no other machine has."""
    return f"{socket.gethostname()}/{uuid.getnode():x}"


@dataclass
class Board:
    """The trials of a study: those that wait, those that run, those that have ended.

    ``sampler`` is asked for that of each trial, by its number; ``guard`` is the storage's.
    """

    study: optuna.Study
    storage: BaseStorage
    sampler: Callable[[int], BaseSampler]
    guard: AbstractContextManager = field(default_factory=nullcontext)
    heard: dict[int, tuple[int, float]] = field(default_factory=dict)

    @property
    def id(self) -> int:
        """The study's, in its storage."""
        return self.storage.get_study_id_from_name(self.study.study_name)

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Those in these states; all of them where none is named."""
        return self.study.get_trials(deepcopy=False, states=states or None)

    def counted(self) -> list[FrozenTrial]:
        """Those that have ended and are not tried again."""
        return [trial for trial in self.trials(*ENDED) if LOST not in trial.user_attrs]

    def wanted(self) -> int:
        """How many trials the study is to have."""
        return len([t for t in self.trials() if LOST not in t.user_attrs])

    def want(self, count: int, first: Sequence[Mapping[str, Any]] = ()) -> None:
        """Let trials wait until there are ``count`` of them, those with known values first."""
        there = self.wanted()
        for number in range(there, count):
            values = dict(first[number]) if number < len(first) else {}
            self.study.enqueue_trial(values)

    def claim(self) -> Trial | None:
        """One of those that wait, which is this process's from now on."""
        for waiting in self.trials(TrialState.WAITING):
            number = self.storage.get_trial_id_from_study_id_trial_number(self.id, waiting.number)
            with self.guard, suppress(UpdateFinishedTrialError):  # another one has done it
                if self.storage.set_trial_state_values(number, TrialState.RUNNING):
                    self.study.sampler = self.sampler(waiting.number)
                    trial = Trial(self.study, number)
                    trial.set_user_attr(WORKER, vars(Worker.this()))
                    return trial
        return None

    @contextmanager
    def pulse(self, trial: Trial) -> Iterator[None]:
        """Show, until the end of the block, that somebody works on a trial."""

        def beat(count: int) -> None:
            with suppress(UpdateFinishedTrialError):
                trial.set_user_attr(PULSE, count)

        with _beating(beat):
            yield

    @property
    def run(self) -> str:
        """The run that this study is known by; empty for one that nobody has led yet."""
        return str(self.study.user_attrs.get(RUN, ""))

    @contextmanager
    def lead(self, run: str) -> Iterator[None]:
        """Be the one who waits for all trials and sums them up, until the end of the block."""
        self.study.set_user_attr(RUN, run)
        self.study.set_user_attr(LEADER, vars(Worker.this()))
        with _beating(lambda count: self.study.set_user_attr(PULSE, count)):
            yield
        self.study.set_user_attr(LEADER, None)

    def leader(self) -> Worker | None:
        """Who leads it now: of one on another machine it takes a while to hear."""
        found = self.study.user_attrs.get(LEADER)
        if not found:
            return None
        worker = Worker(**found)
        if worker.here:
            return worker if worker.lives() else None
        print(f"Listening whether {worker} still leads this study.", flush=True)
        before, until = self.study.user_attrs.get(PULSE), time.monotonic() + SILENT
        while time.monotonic() < until:
            time.sleep(1)
            if self.study.user_attrs.get(PULSE) != before:
                return worker
        return None

    def recover(self) -> list[FrozenTrial]:
        """Let trials wait again whose workers are gone; returns those that were lost just now."""
        lost = [trial for trial in self.trials(TrialState.RUNNING) if self._is_gone(trial)]
        with self.guard:
            taken = [trial for trial in lost if self._mark(trial)]
            self._want_again()
        return taken

    def _is_gone(self, trial: FrozenTrial) -> bool:
        attributes = trial.user_attrs
        worker = Worker(**attributes[WORKER]) if WORKER in attributes else None
        if worker and worker.here:
            return not worker.lives()
        beat, now = int(attributes.get(PULSE, 0)), time.monotonic()
        if self.heard.get(trial.number, (-1, 0.0))[0] != beat:
            self.heard[trial.number] = (beat, now)
        return now - self.heard[trial.number][1] > SILENT

    def _mark(self, trial: FrozenTrial) -> bool:
        """Whether it was still to be marked as lost."""
        number = self.storage.get_trial_id_from_study_id_trial_number(self.id, trial.number)
        by = Worker(**trial.user_attrs[WORKER]) if WORKER in trial.user_attrs else "somebody"
        with suppress(UpdateFinishedTrialError):
            if self._attempts(trial) < ATTEMPTS:
                self.storage.set_trial_user_attr(number, LOST, f"{by} is gone")
            return self.storage.set_trial_state_values(number, TrialState.FAIL)
        return False

    def _attempts(self, trial: FrozenTrial) -> int:
        return 1 + int(trial.user_attrs.get("attempts", 0))

    def _want_again(self) -> None:
        """Every lost trial waits again once, also where who lost it had no time to say so."""
        again = {trial.user_attrs.get(AGAIN) for trial in self.trials()}
        for trial in self.trials(TrialState.FAIL):
            if LOST in trial.user_attrs and trial.number not in again:
                kept = {AGAIN: trial.number, "attempts": self._attempts(trial)}
                self.study.enqueue_trial(trial.params, user_attrs=kept)


@contextmanager
def _beating(beat: Callable[[int], None]) -> Iterator[None]:
    """Count in the background, until the end of the block."""
    over = threading.Event()

    def go_on() -> None:
        count = 0
        while not over.wait(BEAT):
            count += 1
            beat(count)

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def sample(trial: Trial, space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """A value for every name, as the study's sampler chooses."""
    return {name: _suggest(trial, name, kind) for name, kind in space.items()}


def _suggest(trial: Trial, name: str, kind: BaseDistribution) -> Any:
    if isinstance(kind, CategoricalDistribution):
        return trial.suggest_categorical(name, kind.choices)
    if isinstance(kind, IntDistribution):
        return trial.suggest_int(name, kind.low, kind.high, step=kind.step, log=kind.log)
    assert isinstance(kind, FloatDistribution)
    return trial.suggest_float(name, kind.low, kind.high, step=kind.step, log=kind.log)
