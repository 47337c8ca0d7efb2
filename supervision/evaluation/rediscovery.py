"""Where a model that never saw a class of superconductors ranks the members of the class.

Members are compared only with materials that are as new to the model. Training materials are not:
their predictions are near their measured Tc, while those of an unseen class tend to the mean, so
among training materials every new class looks poor. So all predictions are out of fold:

1. Members and all other materials are dealt to the folds of one split, ``novel``, which keeps every
   test material at a distance from what is trained on.
2. In no fold is anything trained on that is related to the class (``material_classes.related``), of
   whatever source.
3. Each material is predicted once, by the model of the fold in which it is tested.

Materials that are related to the class but no members are left out of the ranking. Ranked by the
measured Tc in place of the prediction, the result is that of a perfect model; it belongs beside
every other, because cuprates alone fill the top 1% of 3DSC.
"""

from dataclasses import dataclass

import numpy as np

from supervision.evaluation.bootstrap import Groups, group_indices
from supervision.evaluation.ranking import top_precision


@dataclass(frozen=True)
class Rediscovery:
    """How high the members rank; all values depend on the order of the predictions only.

    Attributes:
        members: the number of members that are ranked, or of families with a member.
        others: the number of materials outside the class, or of families with one.
        best: the index of the material that is the member of highest prediction; the first of
            several.
        best_percentile: the percentage of the others that is predicted lower than the best member.
        median_percentile: the median over members of that percentage; 50 by chance.
        best_by_chance: the mean ``best_percentile`` of a random order, near 100 for many members.
        enrichment: the fraction of members at the top over that among all; 1 by chance.
        highest_enrichment: the enrichment if members alone were at the top.
    """

    members: int
    others: int
    best: int
    best_percentile: float
    median_percentile: float
    best_by_chance: float
    enrichment: float
    highest_enrichment: float


def rediscovery(
    tc_pred: np.ndarray,
    is_member: np.ndarray,
    groups: Groups | None = None,
    *,
    top_share: float = 0.01,
) -> Rediscovery:
    """The ranks of the members among what is outside the class.

    Others of equal prediction count half in a percentile. Where they compete for the last places at
    the top, the enrichment is the mean over all orders of them.

    Args:
        tc_pred: predicted Tc of each material in kelvin, [n].
        is_member: whether each material belongs to the class, [n].
        groups: the family of each material, [n]. Families are ranked by their highest prediction,
            once with their members and once with their other materials: a doping series is one
            discovery. None ranks the materials.
        top_share: the fraction of what is ranked that is the top; at least one.

    Raises ValueError if the shapes differ, a prediction is not finite, or there is no member or no
    other material.
    """
    tc_pred, is_member = _checked(tc_pred, is_member)
    best = int(np.argmax(np.where(is_member, tc_pred, -np.inf)))
    score, member = _highest(tc_pred, is_member, groups)
    members, others = int(member.sum()), int((~member).sum())
    percentiles = _percentiles(score[member], score[~member])
    top = max(1, round(top_share * score.size))
    in_top = float(top_precision(member, score, np.ones((1, score.size)), top)[0])
    return Rediscovery(
        members=members,
        others=others,
        best=best,
        best_percentile=float(percentiles.max()),
        median_percentile=float(np.median(percentiles)),
        best_by_chance=100 * members / (members + 1),
        enrichment=in_top * score.size / members,
        highest_enrichment=min(1.0, members / top) * score.size / members,
    )


def _checked(tc_pred: np.ndarray, is_member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    tc_pred, is_member = np.asarray(tc_pred, dtype=float), np.asarray(is_member, dtype=bool)
    if tc_pred.ndim != 1 or tc_pred.shape != is_member.shape:
        raise ValueError(
            f"Need two vectors of equal length, got {tc_pred.shape} and {is_member.shape}."
        )
    if not np.isfinite(tc_pred).all():
        raise ValueError(f"tc_pred has {int((~np.isfinite(tc_pred)).sum())} non-finite values.")
    members = int(is_member.sum())
    if not 0 < members < is_member.size:
        raise ValueError(
            f"Need members and others to rank, got {members} and {is_member.size - members}."
        )
    return tc_pred, is_member


def _highest(
    tc_pred: np.ndarray, is_member: np.ndarray, groups: Groups | None
) -> tuple[np.ndarray, np.ndarray]:
    """The highest prediction of each family's members and of its others, and which it is, [k]."""
    parts = 2 * group_indices(groups, tc_pred.size) + is_member
    found, part = np.unique(parts, return_inverse=True)
    score = np.full(found.size, -np.inf)
    np.maximum.at(score, part, tc_pred)
    return score, found % 2 == 1


def _percentiles(score: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The percentage of the others [m] with a lower score, equal ones half, of each score [n]."""
    ordered = np.sort(others)
    lower = np.searchsorted(ordered, score, side="left")
    not_higher = np.searchsorted(ordered, score, side="right")
    return 50 * (lower + not_higher) / others.size
