"""An Optuna study that processes on one machine or several work off together.

Every trial that is wanted waits in the storage from the start. A worker claims one, which any
storage lets one worker alone do: so none is tried twice, and no budget is overdrawn. While it
works on a trial its pulse goes on; a trial whose worker is gone is marked as lost and waits again,
in its place but under another number. (Optuna's own heartbeats are of relational storages alone.)
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

BEAT = 5.0  # seconds between two beats of a pulse
SILENT = 60.0  # seconds without a beat, after which a worker on another machine is taken for gone
MOMENT = 2.0  # seconds within which two that start at once see each other
ATTEMPTS = 3  # a trial that was lost so often is not tried again
PULSE, RUN = "pulse", "run"  # attributes of a trial, and of a study
WORKER, LOST, STOPPED = "worker", "lost", "stopped"  # of a trial
AGAIN, PLACE, FAILURE = "again", "place", "failure"
LEADER, WANTED = "leader", "wanted"  # of a study
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class LostTrial:
    """A trial whose worker is gone: its number, and whether it waits again."""

    number: int
    again: bool


def is_lost(trial: FrozenTrial) -> bool:
    """Whether it came to nothing, and another one is tried in its place."""
    return trial.state == TrialState.FAIL and LOST in trial.user_attrs


@dataclass
class TrialQueue:
    """The trials of a study: those that wait, those that run, those that have ended.

    ``sampler`` is asked for that of each trial, by its number; ``guard`` is the storage's.
    """

    study: optuna.Study
    storage: BaseStorage
    sampler: Callable[[int], BaseSampler]
    guard: AbstractContextManager = field(default_factory=nullcontext)
    heard: dict[int, tuple[int, float]] = field(default_factory=dict)

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Those in these states; all of them where none is named."""
        return self.study.get_trials(deepcopy=False, states=states or None)

    def counted(self) -> list[FrozenTrial]:
        """Those that have ended and are not tried again."""
        return [trial for trial in self.trials(*ENDED) if not is_lost(trial)]

    def wanted(self) -> int:
        """How many trials the study is to have."""
        return int(self.study.user_attrs.get(WANTED, 0))

    def left(self) -> int:
        """How many of those that wait are to be tried: fewer, where fewer are wanted by now."""
        taken = len(self.counted()) + len(self.trials(TrialState.RUNNING))
        return max(0, min(len(self.trials(TrialState.WAITING)), self.wanted() - taken))

    def want(self, count: int, first: Sequence[Mapping[str, Any]] = ()) -> None:
        """Let trials wait until there are ``count`` of them, those with known values first."""
        with self.guard:
            self._want_again()
        self.study.set_user_attr(WANTED, count)
        there = len([trial for trial in self.trials() if not is_lost(trial)])
        for number in range(there, count):
            values = dict(first[number]) if number < len(first) else {}
            self.study.enqueue_trial(values)

    def claim(self) -> Trial | None:
        """The first that waits, which is this process's from now on."""
        queue = sorted(self.trials(TrialState.WAITING), key=_place)
        for waiting in queue if self.left() else ():
            number = self._id(waiting)
            with self.guard, suppress(UpdateFinishedTrialError):  # another one has done it
                if self.storage.set_trial_state_values(number, TrialState.RUNNING):
                    self.study.sampler = self.sampler(waiting.number)
                    trial = Trial(self.study, number)
                    trial.set_user_attr(WORKER, vars(Worker.this()))
                    return trial
        return None

    def give_back(self, trial: Trial) -> None:
        """This process is stopped: another is to try it, as if it had not been begun."""
        with suppress(UpdateFinishedTrialError):
            trial.set_user_attr(STOPPED, True)
            trial.set_user_attr(LOST, "its worker was stopped")
            self.study.tell(trial, state=TrialState.FAIL)

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

    def stand(self) -> Worker | None:
        """Offer to lead the study, where nobody does; returns who leads it if that is another.

        Of two that offer it at the same moment, the last one does.
        """
        if leader := self.leader():
            return leader
        self.study.set_user_attr(LEADER, vars(Worker.this()))
        time.sleep(MOMENT)
        chosen = Worker(**self.study.user_attrs[LEADER])
        return None if chosen == Worker.this() else chosen

    @contextmanager
    def lead(self, run: str) -> Iterator[None]:
        """Be the one who waits for all trials and sums them up, until the end of the block."""
        self.study.set_user_attr(RUN, run)
        try:
            with _beating(lambda count: self.study.set_user_attr(PULSE, count)):
                yield
        finally:
            self.study.set_user_attr(LEADER, None)

    def leader(self) -> Worker | None:
        """Who leads it now: of one on another machine it takes a while to hear."""
        before = self.study.user_attrs
        if not before.get(LEADER):
            return None
        worker = Worker(**before[LEADER])
        if worker.here:
            return worker if worker.lives() else None
        print(f"Listening whether {worker} still leads this study.", flush=True)
        until = time.monotonic() + SILENT
        while time.monotonic() < until:
            time.sleep(1)
            now = self.study.user_attrs
            if now[LEADER] != before[LEADER]:  # it has ended, or another one leads by now
                return Worker(**now[LEADER]) if now[LEADER] else None
            if now.get(PULSE) != before.get(PULSE):
                return worker
        return None

    def recover(self) -> list[LostTrial]:
        """Let trials wait again whose workers are gone; returns those that were lost just now."""
        gone = [trial for trial in self.trials(TrialState.RUNNING) if self._is_gone(trial)]
        with self.guard:
            lost = [self._mark(trial) for trial in gone]
            self._want_again()
        return [one for one in lost if one]

    def _is_gone(self, trial: FrozenTrial) -> bool:
        attributes = trial.user_attrs
        worker = Worker(**attributes[WORKER]) if WORKER in attributes else None
        if worker and worker.here:
            return not worker.lives()
        beat, now = int(attributes.get(PULSE, 0)), time.monotonic()
        if self.heard.get(trial.number, (-1, 0.0))[0] != beat:
            self.heard[trial.number] = (beat, now)
        return now - self.heard[trial.number][1] > SILENT

    def _mark(self, trial: FrozenTrial) -> LostTrial | None:
        """Mark a trial as lost; None where it has come to its end after all."""
        number, told = self._id(trial), trial.user_attrs
        by = Worker(**told[WORKER]) if WORKER in told else "somebody"
        again = _attempts(trial) < ATTEMPTS
        why = f"{by} is gone" if again else f"it has lost {ATTEMPTS} workers, the last one {by}"
        with suppress(UpdateFinishedTrialError):
            self.storage.set_trial_user_attr(number, LOST if again else FAILURE, why)
            self.storage.set_trial_state_values(number, TrialState.FAIL)
            return LostTrial(trial.number, again)
        return None

    def _id(self, trial: FrozenTrial) -> int:
        """The trial's, in the storage."""
        study = self.storage.get_study_id_from_name(self.study.study_name)
        return self.storage.get_trial_id_from_study_id_trial_number(study, trial.number)

    def _want_again(self) -> None:
        """Every lost trial waits again once, also where who lost it had no time to say so."""
        again = {trial.user_attrs.get(AGAIN) for trial in self.trials()}
        for trial in filter(is_lost, self.trials(TrialState.FAIL)):
            if trial.number not in again:
                values = trial.system_attrs.get("fixed_params", {}) | trial.params
                kept = {AGAIN: trial.number, "attempts": _attempts(trial), PLACE: _place(trial)}
                self.study.enqueue_trial(values, user_attrs=kept)


def _place(trial: FrozenTrial) -> int:
    """Where it stands among those that wait: the default first, also where it has been lost."""
    return int(trial.user_attrs.get(PLACE, trial.number))


def _attempts(trial: FrozenTrial) -> int:
    """How often it was begun by a worker that nobody stopped."""
    return int(trial.user_attrs.get("attempts", 0)) + (STOPPED not in trial.user_attrs)


@contextmanager
def _beating(beat: Callable[[int], None]) -> Iterator[None]:
    """Count in the background, until the end of the block."""
    over = threading.Event()

    def go_on() -> None:
        for count in itertools.count(1):
            try:
                beat(count)
            except Exception as error:  # a pulse that stops for good would cost the trial
                print(f"The study's storage does not answer, trying on: {error}", flush=True)
            if over.wait(BEAT):
                return

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
