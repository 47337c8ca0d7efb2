"""A search as a ladder: many candidates are predicted, few of them calculated, fewer made.

How many hits are expected on each rung follows from the predictions out of fold on ``novel``, where
no model has learned from anything near: each family of the data stands for a candidate.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv

from supervision.data.material_classes import CLASSES
from supervision.evaluation.bootstrap import BOOTSTRAP_SAMPLES, interval, resampled_counts
from supervision.evaluation.discovery import THRESHOLDS_KELVIN
from supervision.evaluation.ranking import top_precision
from supervision.release.out_of_fold import OutOfFold
from supervision.runtime.options import option

SPLIT = "novel"
LEVEL = 0.95
SEED = 0
RESOLVED_FAMILIES = 10  # at the top; of fewer ones a precision says nothing
TOP_FAMILIES = (10, 20, 50, 100)  # of which the measured precision is shown
BASE_RATES = (1e-2, 1e-3, 1e-4)  # shown beside that of the ladder
CURVE_BASE_RATES = 13  # of the figure
LOWEST_BASE_RATE = 1e-5
SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class LadderOptions:
    """The numbers of a search. Raises ValueError for a value that is refused."""

    candidates: int = option(1_000_000, "crystals that are predicted")
    shortlist: int = option(1_000, "crystals of the highest predicted Tc, which are calculated")
    final: int = option(10, "crystals that the calculations choose, which are made")
    tc: float = option(20.0, "kelvin that the Tc of a hit exceeds")
    base_rate: float = option(
        0.0, "share of hits among the candidates; 0: that among the families of the data, which "
        "is far too high for candidates that nobody has chosen"
    )  # fmt: skip
    without: str = option(
        "cuprate,iron", "classes that candidates and hits are not of, as no theory of phonons "
        "confirms them; empty: all are counted"
    )  # fmt: skip
    predict_seconds: float = option(
        0.016, "processor seconds of a prediction; the default is the mean of the released ensemble"
    )
    theory_hours: float = option(
        1000.0, "core hours of a calculation of electron-phonon coupling; an assumption, not "
        "measured"
    )  # fmt: skip
    theory_recall: float = option(0.8, "share of hits that theory confirms; an assumption")
    theory_false: float = option(0.1, "share of others that theory takes for hits; an assumption")

    def __post_init__(self) -> None:
        if not 1 <= self.final < self.shortlist < self.candidates:
            raise ValueError(
                "each rung must be smaller than the one before: candidates > shortlist > final >= "
                f"1, got {self.candidates}, {self.shortlist}, {self.final}."
            )
        if self.tc < 0:
            raise ValueError(f"tc must be 0 or more, got {self.tc:g}.")
        for name in ("base_rate", "theory_recall", "theory_false"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be 0 to 1, got {getattr(self, name):g}.")
        for name in ("predict_seconds", "theory_hours"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name):g}.")
        for name in self.classes:
            if name not in CLASSES:
                raise ValueError(f"class '{name[:60]}' is not one of {', '.join(CLASSES)}.")

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that are left out."""
        return tuple(part.strip() for part in self.without.split(",") if part.strip())


class Estimate(NamedTuple):
    """A value with its 95% interval: the wider, on each side, of two.

    One is the bootstrap over families; it has no width where all or none of the top are hits. The
    other is the exact binomial one of as many families.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Rung:
    """A step of the search.

    Attributes:
        name: what is done.
        given, kept: the number of candidates before and after it.
        hits: the expected number of hits among those that are kept.
        core_hours: what it costs.
    """

    name: str
    given: int
    kept: int
    hits: Estimate
    core_hours: float


@dataclass(frozen=True, eq=False)
class Families:
    """What the precision is measured on.

    Attributes:
        tc, score: the highest Tc and the highest prediction of each family in kelvin, [families].
    """

    tc: np.ndarray
    score: np.ndarray

    @classmethod
    def of(cls, predictions: OutOfFold, without: tuple[str, ...] = ()) -> "Families":
        """The families of the split ``novel`` without those that have a member of a class."""
        found = predictions.of([SPLIT])
        bits = sum(1 << list(CLASSES).index(name) for name in without)
        family = np.unique(found.family, return_inverse=True)[1]
        left_out = np.isin(family, family[found.classes & bits > 0])
        family = np.unique(family[~left_out], return_inverse=True)[1]
        tc, score = (np.full(family.max() + 1, -np.inf) for _ in range(2))
        np.maximum.at(tc, family, found.tc[~left_out])
        np.maximum.at(score, family, found.tc_pred[~left_out])
        return cls(tc, score)

    def precision_at(self, k: int, threshold: float) -> Estimate:
        """The share of hits among the ``k`` families of highest prediction."""
        hits = self.tc > threshold
        once, drawn = self._counts
        value = top_precision(hits, self.score, once, k)[0]
        draws = top_precision(hits, self.score, drawn, k)
        return _estimate(value, draws, exact_interval(k * value, k * (1 - value)))

    def precision(self, share: float, threshold: float, base_rate: float) -> Estimate:
        """The share of hits in the top of candidates of which ``base_rate`` are hits.

        Hits and others are weighted to have these shares; their predictions are those of the data.
        Where the top is less than ``RESOLVED_FAMILIES``, it is the precision of so many.

        Args:
            share: of the candidates that are kept.
        """
        hits = self.tc > threshold
        once, drawn = (_weighted(counts, hits, base_rate) for counts in self._counts)
        first = np.argsort(-self.score, kind="stable")[:RESOLVED_FAMILIES]
        depth = max(share, float(once[0, first].sum()))
        value = top_precision(hits, self.score, once, depth)[0]
        draws = top_precision(hits, self.score, drawn, depth)
        of_hit, of_other = once[0, hits][0], once[0, ~hits][0]
        exact = exact_interval(value * depth / of_hit, (1 - value) * depth / of_other)
        bounds = [p * of_hit / (p * of_hit + (1 - p) * of_other) for p in exact]
        return _estimate(value, draws, bounds)

    @cached_property
    def _counts(self) -> tuple[np.ndarray, np.ndarray]:
        """How often each family counts: once ``[1, families]``, and in each of the resamples."""
        size = self.tc.size
        return np.ones((1, size)), resampled_counts(size, BOOTSTRAP_SAMPLES, SEED)


@dataclass(frozen=True, eq=False)
class Ladder:
    """A search with its expected hits.

    Attributes:
        base_rate: the share of hits among the candidates.
        families: what the precision is measured on.
        rungs: prediction and calculation.
        by_base_rate: the precision of the shortlist and the hits at the end, by base rate.
    """

    options: LadderOptions
    base_rate: float
    families: Families
    rungs: tuple[Rung, ...]
    by_base_rate: dict[float, tuple[Estimate, Estimate]]

    @property
    def data_rate(self) -> float:
        """The share of hits among the families."""
        return float((self.families.tc > self.options.tc).mean())

    def measured(self) -> Iterator[tuple[float, dict[int, Estimate]]]:
        """The measured precision by the number of families at the top, for each threshold."""
        for threshold in sorted({*THRESHOLDS_KELVIN, self.options.tc}):
            yield (
                threshold,
                {k: self.families.precision_at(k, threshold) for k in TOP_FAMILIES},
            )

    def curve(self) -> dict[float, Estimate]:
        """The precision of the shortlist by base rate, from ``LOWEST_BASE_RATE``."""
        rates = np.geomspace(
            LOWEST_BASE_RATE, max(self.data_rate, self.base_rate), CURVE_BASE_RATES
        )
        return {float(rate): _shortlist(self.families, self.options, float(rate)) for rate in rates}


def ladder(predictions: OutOfFold, options: LadderOptions) -> Ladder:
    """The ladder of a model, by its predictions out of fold.

    Raises ValueError where no family, or every family, is a hit.
    """
    families = Families.of(predictions, options.classes)
    found = (families.tc > options.tc).sum()
    if not 0 < found < families.tc.size or families.tc.size < max(TOP_FAMILIES):
        raise ValueError(
            f"{found} of the {families.tc.size} families have a Tc over {options.tc:g} K; choose "
            "another tc, or leave out fewer classes."
        )
    rate = options.base_rate or float(found / families.tc.size)
    rates = sorted({rate, *BASE_RATES}, reverse=True)
    precisions = {one: _shortlist(families, options, one) for one in rates}
    ends = {one: _each(precisions[one], lambda p: _final(p, options)) for one in rates}
    predicted = _each(precisions[rate], lambda p: p * options.shortlist)
    predict_hours = options.candidates * options.predict_seconds / SECONDS_PER_HOUR
    theory_hours = options.shortlist * options.theory_hours
    rungs = (
        Rung("predict", options.candidates, options.shortlist, predicted, predict_hours),
        Rung("calculate", options.shortlist, options.final, ends[rate], theory_hours),
    )
    return Ladder(options, rate, families, rungs, {r: (precisions[r], ends[r]) for r in rates})


def _shortlist(families: Families, options: LadderOptions, base_rate: float) -> Estimate:
    """The precision of the shortlist, which has no more hits than there are."""
    most = base_rate * options.candidates / options.shortlist
    share = options.shortlist / options.candidates
    found = families.precision(share, options.tc, base_rate)
    return _each(found, lambda precision: min(precision, most))


def _final(precision: float, options: LadderOptions) -> float:
    """The expected hits among what theory chooses of a shortlist with this precision.

    Of those that theory takes for hits, which are all alike to it, at most ``final`` are chosen.
    """
    hits = options.theory_recall * precision * options.shortlist
    taken = hits + options.theory_false * (1 - precision) * options.shortlist
    return hits * min(1.0, options.final / taken) if taken else 0.0


def exact_interval(hits: float, others: float) -> tuple[float, float]:
    """The 95% interval of a share by Clopper and Pearson (Biometrika 26, 404, 1934)."""
    tail = (1 - LEVEL) / 2
    low = betaincinv(hits, others + 1, tail) if hits > 0 else 0.0
    high = betaincinv(hits + 1, others, 1 - tail) if others > 0 else 1.0
    return float(low), float(high)


def _estimate(value: float, draws: np.ndarray, exact: Sequence[float]) -> Estimate:
    low, high = interval(draws, LEVEL)
    return Estimate(float(value), float(min(low, exact[0])), float(max(high, exact[1])))


def _each(estimate: Estimate, convert: Callable[[float], float]) -> Estimate:
    return Estimate(*map(convert, estimate))


def _weighted(counts: np.ndarray, hits: np.ndarray, base_rate: float) -> np.ndarray:
    """Counts ``[samples, families]`` scaled so that hits have the base rate, and all add up to 1.

    A resample without hits has none, and its others add up to 1 - base rate.
    """
    weighted = counts.copy()
    for group, share in ((hits, base_rate), (~hits, 1 - base_rate)):
        total = weighted[:, group].sum(axis=1, keepdims=True)
        weighted[:, group] *= np.divide(share, total, out=np.zeros_like(total), where=total > 0)
    return weighted
