"""The predictor of the structure family: what the structure adds to trees on the composition.

The first stage is the composition family's predictor, which learns from formulas, too. The second
one reads the descriptors of the structure and corrects the first: small trees that are fitted to
what it leaves in families that it has not seen, and weighted by the novelty of a composition. In
one stage, the descriptors of the few materials that have a structure make new families worse.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np

from supervision.data.crystals import Crystal, Material, Reject
from supervision.models.composition.config import CompositionConfig
from supervision.models.composition.predictor import CompositionPredictor
from supervision.models.predictor import CONFIG_FILE
from supervision.models.structure.config import StructureConfig
from supervision.models.structure.featurize import STRUCTURE_FEATURIZER
from supervision.models.trees.config import TreeConfig
from supervision.models.trees.known import KnownCompositions, calibration_factor
from supervision.models.trees.out_of_fold import family_folds, out_of_fold
from supervision.models.trees.predictor import record_of_fit
from supervision.models.trees.prepared import PreparedFeatures
from supervision.models.trees.regression import (
    Trees,
    fit_trees,
    load_trees,
    predict_trees,
    save_trees,
)
from supervision.training.callbacks import NO_CALLBACKS, Callbacks, EpochRecord

if TYPE_CHECKING:  # trees are trained without torch
    from supervision.training.checkpoint import Checkpoints

CORRECTION = TreeConfig(
    model="boosting", trees=60, max_features=0.5, leaf=40, leaves=8, learning_rate=0.03
)
COMPOSITION_FOLDER = "composition"


class StageInputs(NamedTuple):
    """What the two stages read of n crystals.

    Attributes:
        composition: the features of the first stage, ``[n, f]``.
        first: what the first stage predicts, in target space, ``[n]``.
        corrected: the features of the second stage: the descriptors, and ``first``, ``[n, d + 1]``.
        novelty: the weight of the second stage, 0 to 1, ``[n]``.
    """

    composition: np.ndarray
    first: np.ndarray
    corrected: np.ndarray
    novelty: np.ndarray


class StructurePredictor:
    """Reads the composition with trees, and corrects the result by the structure, in kelvin.

    Attributes:
        composition: the first stage.
        correction: the trees of the second stage; set by ``fit`` and by ``load``.
        scale: on predictions of new compositions; 1 without ``calibrate``.
        known: the compositions that were learned from.
    """

    model_family: ClassVar[str] = "structure"
    correction: Trees

    def __init__(self, config: StructureConfig, *, quiet: bool = False) -> None:
        self.config, self.quiet = config, quiet
        self.composition, self.scale = self._first_stage(), 1.0
        self.known = KnownCompositions()
        self.features = PreparedFeatures(STRUCTURE_FEATURIZER, quiet=quiet)
        self.size: Mapping[str, int] = {}

    def prepare(self, crystals: Sequence[Crystal]) -> list[Reject]:
        """Compute, cache and keep the features of both stages; returns what has none, and why."""
        rejects = self.composition.prepare(crystals)
        rejected = {reject.name for reject in rejects}
        structures = [c for c in crystals if c.cif and c.id not in rejected]
        return [*rejects, *self.features.prepare(structures)]

    def fit(
        self,
        train: Sequence[Material],
        val: Sequence[Material],
        *,
        callbacks: Callbacks = NO_CALLBACKS,
        checkpoints: "Checkpoints | None" = None,
    ) -> list[EpochRecord]:
        """Fit both stages; the second one to the data set's own materials that have structures.

        The history is one record; there is nothing to resume.
        """
        start = time.monotonic()
        self.prepare([c for m in (*train, *val) for c in m.crystals])
        self.composition.fit(train, val)
        self.known = KnownCompositions.of(
            self.composition.fractions_of([c for m in train for c in m.crystals])
        )
        own = [m for m in train if not m.source and all(c.cif for c in m.crystals)]
        self._fit_correction(train, own)
        self.size = {"trees": self.config.trees, "correction_trees": CORRECTION.trees}
        record = record_of_fit(self, val, start)
        callbacks.epoch(record)
        return [record]

    def _fit_correction(self, train: Sequence[Material], own: Sequence[Material]) -> None:
        """Fit the second stage to own materials.

        Raises ValueError where there is no family to leave out.
        """
        folds = family_folds(own, self.config.seed)
        if not folds:
            raise ValueError(
                "Models of the family structure need structures of 2 families or more: train on "
                "more materials, or train the family composition."
            )
        owner = np.repeat(np.arange(len(own)), [len(m.crystals) for m in own])  # of each crystal
        target = self.composition.target
        first = target.encode(out_of_fold(self.composition.fit_another, train, own, folds))[owner]
        residual = target.encode(np.array([m.tc for m in own]))[owner] - first
        weight = np.array([c.weight * self.composition.weight(m) for m in own for c in m.crystals])
        features = self._features([c for m in own for c in m.crystals], first)
        self.correction = _correction(features, residual, weight)
        if self.config.calibrate:
            corrected = np.empty(len(owner))
            for split in folds:
                parts = np.array([split.parts[m.id] for m in own])[owner]
                learned, left_out = parts == "train", parts == "test"
                trees = _correction(features[learned], residual[learned], weight[learned])
                corrected[left_out] = first[left_out] + predict_trees(trees, features[left_out])
            tc_pred = np.bincount(owner, target.decode(corrected)) / np.bincount(owner)
            self.scale = self.composition.scale_of(own, tc_pred)

    def predict(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Tc of each crystal in kelvin, ``[n]``.

        Raises CrystalError, naming the crystal, for one that has no structure or cannot be read.
        """
        return self.tc_of(self.inputs(crystals))

    def tc_of(self, given: StageInputs) -> np.ndarray:
        """Tc in kelvin, ``[n]``, from what the stages read."""
        correction = predict_trees(self.correction, given.corrected)
        tc = self.composition.target.decode(given.first + given.novelty * correction)
        return tc * self.factor(given.novelty)

    def inputs(self, crystals: Sequence[Crystal]) -> StageInputs:
        """What the stages read of crystals. Raises CrystalError, naming the crystal."""
        composition = self.composition.features.of(crystals)
        first = self.composition.target.encode(self.composition.tc_of(composition))
        novelty = self.known.novelty(composition[:, self.composition.fractions])
        return StageInputs(composition, first, self._features(crystals, first), novelty)

    def factor(self, novelty: np.ndarray) -> np.ndarray:
        """What the calibration multiplies Tc by, for crystals of this novelty ``[n]``, ``[n]``."""
        return calibration_factor(self.scale, novelty)

    def _first_stage(self) -> CompositionPredictor:
        config = CompositionConfig(**asdict(replace(self.config, calibrate=False)))
        return CompositionPredictor(config, quiet=self.quiet)

    def _features(self, crystals: Iterable[Crystal], first: np.ndarray) -> np.ndarray:
        """The descriptors of crystals and what the first stage says, ``[n, f + 1]``."""
        return np.column_stack([self.features.of(list(crystals)), first])

    def save(self, folder: Path) -> None:
        """Write ``config.json``, the first stage in a folder, and the second one."""
        self.composition.save(folder / COMPOSITION_FOLDER)
        config = {
            "model_family": self.model_family,
            "config": asdict(self.config),
            "scale": self.scale,
            "feature_version": STRUCTURE_FEATURIZER.version,
        }
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1))
        save_trees(self.correction, folder)
        self.known.save(folder)

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """The predictor that ``save`` wrote; ValueError for features of another version."""
        STRUCTURE_FEATURIZER.require_version(config["feature_version"])
        if "scale" not in config:
            raise ValueError(
                "The model was trained by an earlier version of this code, without a scale. Load "
                "it with the code that trained it, or train it again."
            )
        predictor = cls(StructureConfig(**config["config"]))
        saved = folder / COMPOSITION_FOLDER
        first = json.loads((saved / CONFIG_FILE).read_text())
        predictor.composition = CompositionPredictor.load(saved, first)
        predictor.correction = load_trees(folder, CORRECTION.model)
        predictor.scale = config["scale"]
        predictor.known = KnownCompositions.load(folder)
        return predictor


def _correction(features: np.ndarray, residual: np.ndarray, weight: np.ndarray) -> Trees:
    """The second stage, fitted to what the first one leaves, ``[n]`` in target space."""
    leaf = min(CORRECTION.leaf, max(1, len(residual) // 100))  # small data sets have smaller ones
    return fit_trees(replace(CORRECTION, leaf=leaf), features, residual, weight)
