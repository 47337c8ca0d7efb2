"""The predictor of every family of trees; a family says which features they read."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np

from supervision.data.crystals import Crystal, Material, Reject
from supervision.data.families import families
from supervision.data.featurize import Featurizer
from supervision.evaluation.metrics import all_metrics
from supervision.evaluation.prediction import predict_materials
from supervision.models.predictor import CONFIG_FILE, Predictor
from supervision.models.setup import ModelSetup, WeightsInfo, no_images
from supervision.models.trees.config import TreeConfig
from supervision.models.trees.features import FeatureVector
from supervision.models.trees.known import KnownCompositions, calibration_factor
from supervision.models.trees.out_of_fold import calibration_scale, family_folds, out_of_fold
from supervision.models.trees.prepared import PreparedFeatures
from supervision.models.trees.regression import (
    Trees,
    fit_trees,
    load_trees,
    predict_trees,
    save_trees,
)
from supervision.training.callbacks import NO_CALLBACKS, Callbacks, EpochRecord
from supervision.training.target import TargetTransform

if TYPE_CHECKING:  # trees are trained without torch
    from supervision.training.checkpoint import Checkpoints


class TreePredictor:
    """Featurises crystals and reads them with an ensemble of trees, in kelvin.

    Attributes:
        trees: set by ``fit`` and by ``load``.
        scale: on predictions of new compositions; 1 without ``calibrate``.
        known: the compositions that were learned from, with ``calibrate``.
        features: those of the crystals of a training.
    """

    model_family: ClassVar[str]
    config_class: ClassVar[type[TreeConfig]]
    featurizer: ClassVar[Featurizer[FeatureVector]]
    fractions: ClassVar[slice]  # the features that are atomic fractions
    trees: Trees

    def __init__(self, config: TreeConfig, *, quiet: bool = False) -> None:
        self.config, self.quiet = config, quiet
        self.target, self.scale = TargetTransform(config.target), 1.0
        self.known = KnownCompositions()
        self.size: Mapping[str, int] = {}
        self.features = PreparedFeatures(self.featurizer, quiet=quiet)

    def prepare(self, crystals: Sequence[Crystal]) -> list[Reject]:
        """Compute, cache and keep features; returns the crystals that have none, and why."""
        return self.features.prepare(crystals)

    def fit(
        self,
        train: Sequence[Material],
        val: Sequence[Material],
        *,
        callbacks: Callbacks = NO_CALLBACKS,
        checkpoints: "Checkpoints | None" = None,
    ) -> list[EpochRecord]:
        """Fit the trees to all structures of ``train``, each with its weight times the material's.

        The history is one record; there is nothing to resume.
        """
        start = time.monotonic()
        self.prepare([c for m in (*train, *val) for c in m.crystals])
        self._fit_trees(train)
        self.size = {"trees": self.config.trees}
        self.scale = 1.0
        if self.config.calibrate:
            self._calibrate(train)
        record = record_of_fit(self, val, start)
        callbacks.epoch(record)
        return [record]

    def _fit_trees(self, train: Sequence[Material]) -> None:
        rows = [(m.tc, c.weight * self.weight(m)) for m in train for c in m.crystals]
        tc, weight = np.array(rows).T
        features = self.features.of([c for m in train for c in m.crystals])
        self.target = TargetTransform.fit(np.array([m.tc for m in train]), self.config.target)
        self.trees = fit_trees(self.config, features, self.target.encode(tc), weight)

    def _calibrate(self, train: Sequence[Material]) -> None:
        own = [m for m in train if not m.source]
        folds = family_folds(own, self.config.seed)
        if folds:
            predicted = out_of_fold(self.fit_another, train, own, folds)
            self.scale = self.scale_of(own, predicted)
        self.known = KnownCompositions.of(self.fractions_of([c for m in train for c in m.crystals]))

    def scale_of(self, materials: Sequence[Material], predicted: np.ndarray) -> float:
        """The scale that out-of-fold predictions [n] of these materials ask for."""
        tc, weight = np.array([(m.tc, self.weight(m)) for m in materials]).T
        return calibration_scale(tc, predicted, weight, len(set(families(materials).values())))

    def fractions_of(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Atomic fractions of crystals, ``[n, elements]``."""
        return self.features.of(crystals)[:, self.fractions]

    def fit_another(self, materials: Sequence[Material]) -> Self:
        """A model of the same settings, not calibrated, fitted to prepared materials."""
        other = type(self)(replace(self.config, calibrate=False), quiet=self.quiet)
        other.features = self.features
        other._fit_trees(materials)
        return other

    def predict(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Tc of each crystal in kelvin, ``[n]``; raises CrystalError, naming the crystal."""
        return self.tc_of(self.features.of(crystals))

    def tc_of(self, features: np.ndarray) -> np.ndarray:
        """Tc in kelvin, ``[n]``, from the features of crystals, ``[n, f]``."""
        return self.target.decode(predict_trees(self.trees, features)) * self.factor(features)

    def factor(self, features: np.ndarray) -> np.ndarray:
        """What the calibration multiplies the Tc of features ``[n, f]`` by, ``[n]``."""
        if self.scale == 1:
            return np.ones(len(features))
        return calibration_factor(self.scale, self.known.novelty(features[:, self.fractions]))

    def weight(self, material: Material) -> float:
        """The weight of a material in the training."""
        return material.weight * (self.config.unreported_weight if material.is_unreported else 1.0)

    def save(self, folder: Path) -> None:
        """Write ``config.json`` and the trees, which load without unpickling."""
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "model_family": self.model_family,
            "config": asdict(self.config),
            "target": self.target.to_dict(),
            "scale": self.scale,
            "feature_version": self.featurizer.version,
        }
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1))
        save_trees(self.trees, folder)
        if self.config.calibrate:
            self.known.save(folder)

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """The predictor that ``save`` wrote; ValueError for features of another version."""
        cls.featurizer.require_version(config["feature_version"])
        predictor = cls(cls.config_class(**config["config"]))
        predictor.trees = load_trees(folder, predictor.config.model)
        predictor.target = TargetTransform(**config["target"])
        if predictor.config.calibrate:
            predictor.scale = config["scale"]
            predictor.known = KnownCompositions.load(folder)
        return predictor


def record_of_fit(predictor: Predictor, val: Sequence[Material], start: float) -> EpochRecord:
    """The record of a fit that began at ``start`` (monotonic seconds), with its ``val`` errors."""
    rows = predict_materials(predictor, {"val": val})
    errors = all_metrics(np.array([r.tc for r in rows]), np.array([r.tc_pred for r in rows]))
    return EpochRecord.of_single_fit(errors, time.monotonic() - start)


class PreparingPredictor(Predictor, Protocol):
    """A predictor of trees whose features are kept from the preparation to the prediction."""

    @property
    def config(self) -> TreeConfig:
        """Everything that shapes its trees."""

    def prepare(self, crystals: Sequence[Crystal]) -> list[Reject]:
        """Compute, cache and keep features; returns the crystals that have none, and why."""


def tree_setup(predictor: PreparingPredictor, feature_version: str) -> ModelSetup:
    """An untrained model of a family of trees, ready to be trained."""
    return ModelSetup(
        model_family=predictor.model_family,
        predictor=predictor,
        settings=asdict(predictor.config) | {"feature_version": feature_version},
        featurize=predictor.prepare,
        images=no_images,
        variant=predictor.config.model,
        weights=WeightsInfo(choice="Trees have no weights to begin from."),
    )
