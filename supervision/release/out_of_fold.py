"""What a model predicted in folds, each material by a model that has not learned from it.

A released model is trained on everything; these are its figures and its calibration.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from supervision.answer.answerer import THRESHOLDS
from supervision.answer.calibration import REPORTED, Calibration
from supervision.answer.domain import KNOWN, SERIES
from supervision.data.splits import SPLIT_KINDS

OUT_OF_FOLD_FILE = "out_of_fold.safetensors"
CALIBRATED_ON = ("random", "novel")  # the splits whose predictions a calibration is made of
PARTS = 20  # of the families; each is answered by a calibration that has 95% of them


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Test predictions of several splits, one row per material and split.

    Attributes:
        split: index of ``SPLIT_KINDS``, [n].
        fold: whose test material it is, from 1, [n].
        family: a number for each family, [n].
        classes: bits of the classes it belongs to, in the order of ``CLASSES``, [n].
        domain: index of ``DOMAINS``, relative to what the model of the fold has learned from, [n].
        tc, tc_pred: in kelvin, [n].
        constant: the median Tc of what the model of the fold has learned from, in kelvin, [n].
    """

    split: np.ndarray
    fold: np.ndarray
    family: np.ndarray
    classes: np.ndarray
    domain: np.ndarray
    tc: np.ndarray
    tc_pred: np.ndarray
    constant: np.ndarray

    @property
    def splits(self) -> list[str]:
        """The kinds of splits, in the order of ``SPLIT_KINDS``."""
        return [SPLIT_KINDS[index] for index in np.unique(self.split)]

    def of(self, splits: Iterable[str]) -> "OutOfFold":
        """The rows of some kinds of splits."""
        return self.rows(np.isin(self.split, [SPLIT_KINDS.index(split) for split in splits]))

    def rows(self, chosen: np.ndarray) -> "OutOfFold":
        """The rows of a mask ``[n]``."""
        return OutOfFold(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})

    def calibration(self) -> Calibration:
        """Of new families by ``novel``, of known ones and series by ``random``.

        What is far from all others on ``random`` still has relatives that were learned from, so its
        errors are smaller than those in families that nothing was learned of.
        """
        is_near = np.isin(self.domain, (KNOWN, SERIES))
        chosen = self.rows(self.split == SPLIT_KINDS.index("novel"))
        near = self.rows((self.split == SPLIT_KINDS.index("random")) & is_near)
        columns = ("tc", "tc_pred", "domain")
        return Calibration(
            *(np.concatenate([getattr(chosen, name), getattr(near, name)]) for name in columns)
        )

    def save(self, folder: Path) -> None:
        """Write the file that ``load`` reads."""
        arrays = {f.name: np.ascontiguousarray(getattr(self, f.name)) for f in fields(self)}
        save_file(arrays, folder / OUT_OF_FOLD_FILE)

    @classmethod
    def load(cls, folder: Path) -> "OutOfFold":
        """What ``save`` wrote."""
        return cls(**load_file(folder / OUT_OF_FOLD_FILE))


@dataclass(frozen=True, eq=False)
class HeldOutAnswers:
    """What a calibration says of materials whose families it has not seen.

    Attributes:
        of: the materials.
        interval: in kelvin, ``[n, 2]``.
        reported: the probability that a Tc is reported, [n].
        above: the probability of a Tc above each of ``THRESHOLDS``, by its field, [n].
    """

    of: OutOfFold
    interval: np.ndarray
    reported: np.ndarray
    above: dict[str, np.ndarray]

    @classmethod
    def cross_fit(cls, predictions: OutOfFold) -> "HeldOutAnswers":
        """Calibrate on all families but those of one part, and answer for these, part by part."""
        given = predictions.of(CALIBRATED_ON)
        count = int(given.family.max()) + 1
        part = np.random.default_rng(0).permutation(count)[given.family] % PARTS
        size = len(given.tc)
        found = cls(
            given, np.empty((size, 2)), np.empty(size), {n: np.empty(size) for n in THRESHOLDS}
        )
        for held_out in range(PARTS):
            rows = part == held_out
            calibration = given.rows(~rows).calibration()
            asked = given.tc_pred[rows], given.domain[rows]
            found.interval[rows] = calibration.interval(*asked)
            found.reported[rows] = calibration.probability_reported(*asked)
            for name, threshold in THRESHOLDS.items():
                found.above[name][rows] = calibration.probability_above(threshold, *asked)
        return found

    def events(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """For each probability, what happened ``[n]``, and the probability ``[n]``."""
        found = {"a Tc is reported": (self.of.tc > REPORTED, self.reported)}
        for name, threshold in THRESHOLDS.items():
            found[f"Tc > {threshold:g} K"] = (self.of.tc > threshold, self.above[name])
        return found
