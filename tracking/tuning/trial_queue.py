"""A queue of Optuna trials that several processes, on one machine or several, share.

All trials of a study wait in its storage from the start. A worker claims a waiting trial. Every
storage lets exactly one worker claim it, so no trial runs twice and the number of trials is kept.
While a worker runs a trial, it writes heartbeats. A trial whose worker is gone is marked as lost
and enqueued again, at the same position in the queue under a new number. (Optuna's own heartbeats
exist for relational storages only.)
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from tracking.processes import Worker

HEARTBEAT_SECONDS = 5.0  # between two heartbeats
LOST_AFTER_SECONDS = 60.0  # without a heartbeat, a worker of another machine counts as gone
ELECTION_SECONDS = 2.0  # a candidate waits this long for other candidates
MAX_ATTEMPTS = 3  # a trial that lost so many workers is not run again

# Names of attributes in the storage. Their texts must not change: stored studies have them.
HEARTBEAT, RUN = "pulse", "run"  # of a trial, and of a study
WORKER, LOST, STOPPED, FAILURE = "worker", "lost", "stopped", "failure"  # of a trial
RETRY_OF, POSITION, ATTEMPTS = "again", "place", "attempts"  # of a trial that is a retry
LEADER, TARGET_COUNT = "leader", "wanted"  # of a study
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class LostTrial:
    """The number of a trial whose worker is gone, and whether it is enqueued again."""

    number: int
    retried: bool


def is_lost(trial: FrozenTrial) -> bool:
    """Whether the trial lost its worker and another trial runs in its place."""
    return trial.state == TrialState.FAIL and LOST in trial.user_attrs


@dataclass
class TrialQueue:
    """The trials of a study: waiting, running and ended.

    Attributes:
        sampler: returns the sampler of a trial, given the number of the trial.
        write_lock: serializes changes of the storage, if the storage does not do so itself.
        heartbeats: by trial number, the last heartbeat seen and the ``time.monotonic`` of its
            first sight.
    """

    study: optuna.Study
    storage: BaseStorage
    sampler: Callable[[int], BaseSampler]
    write_lock: AbstractContextManager = field(default_factory=nullcontext)
    heartbeats: dict[int, tuple[int, float]] = field(default_factory=dict)

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """The trials in these states, or all trials if no state is given."""
        return self.study.get_trials(deepcopy=False, states=states or None)

    def ended(self) -> list[FrozenTrial]:
        """The trials that have ended, without lost ones that are run again."""
        return [trial for trial in self.trials(*ENDED) if not is_lost(trial)]

    def target_count(self) -> int:
        """How many trials the study is to have."""
        return int(self.study.user_attrs.get(TARGET_COUNT, 0))

    def remaining(self) -> int:
        """How many of the waiting trials are to be run: fewer if the target was lowered."""
        taken = len(self.ended()) + len(self.trials(TrialState.RUNNING))
        return max(0, min(len(self.trials(TrialState.WAITING)), self.target_count() - taken))

    def enqueue(self, count: int, first: Sequence[Mapping[str, Any]] = ()) -> None:
        """Enqueue trials until the study has ``count``; ``first`` are the values of the first."""
        with self.write_lock:
            self._enqueue_lost()
        self.study.set_user_attr(TARGET_COUNT, count)
        existing = len([trial for trial in self.trials() if not is_lost(trial)])
        for number in range(existing, count):
            values = dict(first[number]) if number < len(first) else {}
            self.study.enqueue_trial(values)

    def claim(self) -> Trial | None:
        """Claim the first waiting trial for this process; None if there is none."""
        waiting = sorted(self.trials(TrialState.WAITING), key=_position)
        for frozen in waiting if self.remaining() else ():
            trial_id = self._storage_id(frozen)
            with self.write_lock, suppress(UpdateFinishedTrialError):  # another worker ended it
                if self.storage.set_trial_state_values(trial_id, TrialState.RUNNING):
                    self.study.sampler = self.sampler(frozen.number)
                    trial = Trial(self.study, trial_id)
                    trial.set_user_attr(WORKER, vars(Worker.current()))
                    return trial
        return None

    def release(self, trial: Trial) -> None:
        """Let another worker run the trial, because this one is stopped. Counts as no attempt."""
        with suppress(UpdateFinishedTrialError):
            trial.set_user_attr(STOPPED, True)
            trial.set_user_attr(LOST, "its worker was stopped")
            self.study.tell(trial, state=TrialState.FAIL)

    @contextmanager
    def heartbeat(self, trial: Trial) -> Iterator[None]:
        """Write heartbeats of the trial during the block."""

        def write(count: int) -> None:
            with suppress(UpdateFinishedTrialError):
                trial.set_user_attr(HEARTBEAT, count)

        with _heartbeats(write):
            yield

    @property
    def run(self) -> str:
        """The id of the study's MLflow run; empty if the study had no leader yet."""
        return str(self.study.user_attrs.get(RUN, ""))

    def elect_leader(self) -> Worker | None:
        """Become the leader if the study has none; returns the leader if it is another process.

        Of several candidates at the same time, the last to register becomes the leader.
        """
        if leader := self.leader():
            return leader
        self.study.set_user_attr(LEADER, vars(Worker.current()))
        time.sleep(ELECTION_SECONDS)
        elected = Worker(**self.study.user_attrs[LEADER])
        return None if elected == Worker.current() else elected

    @contextmanager
    def lead(self, run: str) -> Iterator[None]:
        """Write the leader's heartbeats during the block. ``run`` is the study's MLflow run."""
        self.study.set_user_attr(RUN, run)
        try:
            with _heartbeats(lambda count: self.study.set_user_attr(HEARTBEAT, count)):
                yield
        finally:
            self.study.set_user_attr(LEADER, None)

    def leader(self) -> Worker | None:
        """The process that leads the study; None if there is none.

        For a leader on another machine this waits for a heartbeat, up to LOST_AFTER_SECONDS.
        """
        before = self.study.user_attrs
        if not before.get(LEADER):
            return None
        worker = Worker(**before[LEADER])
        if worker.is_local:
            return worker if worker.is_alive() else None
        print(f"Waiting for a heartbeat of {worker}, which leads this study.", flush=True)
        deadline = time.monotonic() + LOST_AFTER_SECONDS
        while time.monotonic() < deadline:
            time.sleep(1)
            now = self.study.user_attrs
            if now[LEADER] != before[LEADER]:  # it has ended, or another process leads now
                return Worker(**now[LEADER]) if now[LEADER] else None
            if now.get(HEARTBEAT) != before.get(HEARTBEAT):
                return worker
        return None

    def recover(self) -> list[LostTrial]:
        """Mark trials as lost whose workers are gone, and enqueue them again; returns them."""
        gone = [trial for trial in self.trials(TrialState.RUNNING) if self._worker_is_gone(trial)]
        with self.write_lock:
            lost = [self._mark_lost(trial) for trial in gone]
            self._enqueue_lost()
        return [trial for trial in lost if trial]

    def _worker_is_gone(self, trial: FrozenTrial) -> bool:
        attributes = trial.user_attrs
        worker = Worker(**attributes[WORKER]) if WORKER in attributes else None
        if worker and worker.is_local:
            return not worker.is_alive()
        heartbeat, now = int(attributes.get(HEARTBEAT, 0)), time.monotonic()
        if self.heartbeats.get(trial.number, (-1, 0.0))[0] != heartbeat:
            self.heartbeats[trial.number] = (heartbeat, now)
        return now - self.heartbeats[trial.number][1] > LOST_AFTER_SECONDS

    def _mark_lost(self, trial: FrozenTrial) -> LostTrial | None:
        """Mark a trial as lost; None if it has ended in the meantime."""
        trial_id, attributes = self._storage_id(trial), trial.user_attrs
        worker = Worker(**attributes[WORKER]) if WORKER in attributes else "an unknown worker"
        retried = _attempts(trial) < MAX_ATTEMPTS
        reason = (
            f"{worker} is gone"
            if retried
            else f"it has lost {MAX_ATTEMPTS} workers, the last one {worker}"
        )
        with suppress(UpdateFinishedTrialError):
            self.storage.set_trial_user_attr(trial_id, LOST if retried else FAILURE, reason)
            self.storage.set_trial_state_values(trial_id, TrialState.FAIL)
            return LostTrial(trial.number, retried)
        return None

    def _storage_id(self, trial: FrozenTrial) -> int:
        study = self.storage.get_study_id_from_name(self.study.study_name)
        return self.storage.get_trial_id_from_study_id_trial_number(study, trial.number)

    def _enqueue_lost(self) -> None:
        """Enqueue every lost trial that has no retry yet.

        This includes trials that a process marked as lost just before it was killed.
        """
        retried = {trial.user_attrs.get(RETRY_OF) for trial in self.trials()}
        for trial in filter(is_lost, self.trials(TrialState.FAIL)):
            if trial.number not in retried:
                values = trial.system_attrs.get("fixed_params", {}) | trial.params
                attributes = {
                    RETRY_OF: trial.number,
                    ATTEMPTS: _attempts(trial),
                    POSITION: _position(trial),
                }
                self.study.enqueue_trial(values, user_attrs=attributes)


def _position(trial: FrozenTrial) -> int:
    """The position in the queue: a retry has that of the lost trial, so the default stays first."""
    return int(trial.user_attrs.get(POSITION, trial.number))


def _attempts(trial: FrozenTrial) -> int:
    """How many workers began the trial, without workers that were stopped."""
    return int(trial.user_attrs.get(ATTEMPTS, 0)) + (STOPPED not in trial.user_attrs)


@contextmanager
def _heartbeats(write: Callable[[int], None]) -> Iterator[None]:
    """Call ``write`` with 1, 2, ... in a background thread during the block."""
    stop = threading.Event()

    def write_until_stopped() -> None:
        for count in itertools.count(1):
            try:
                write(count)
            except Exception as error:  # without heartbeats the trial would count as lost
                print(f"The study's storage does not answer: {error}. Retrying.", flush=True)
            if stop.wait(HEARTBEAT_SECONDS):
                return

    thread = threading.Thread(target=write_until_stopped, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def sample(trial: Trial, space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """Values for all parameters of the search space, chosen by the study's sampler."""
    return {name: _suggest(trial, name, distribution) for name, distribution in space.items()}


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        low, high, step = distribution.low, distribution.high, distribution.step
        return trial.suggest_int(name, low, high, step=step, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(
        name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
    )
