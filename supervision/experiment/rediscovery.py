"""Trains models that know nothing of a class of superconductors, and asks them where it ranks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from supervision.data.crystals import Material
from supervision.data.families import families
from supervision.data.material_classes import members, related
from supervision.evaluation.prediction import predict_materials
from supervision.evaluation.rediscovery import Rediscovery, rediscovery
from supervision.experiment.spec import DataSplits
from supervision.models.families import get_family
from supervision.models.setup import MakeSetup, ModelSetup
from supervision.training.callbacks import NO_CALLBACKS

TOP_SHARE_OF_FAMILIES = 0.05


@dataclass(frozen=True)
class ClassPredictions:
    """Predictions of a class and of all materials that are not related to it, out of fold.

    Attributes:
        materials: the ranked materials, [n].
        is_member: which of them belong to the class, [n].
        families: the family of each, [n].
        tc_pred: in kelvin, [n].
    """

    materials: Sequence[Material]
    is_member: np.ndarray
    families: np.ndarray
    tc_pred: np.ndarray

    @property
    def tc(self) -> np.ndarray:
        """The measured Tc in kelvin, [n]; ranked in place of predictions it is a perfect model."""
        return np.array([m.tc for m in self.materials])

    def rank(self, tc: np.ndarray) -> Rediscovery:
        """Where predictions ``[n]`` rank the members among all materials."""
        return rediscovery(tc, self.is_member)

    def rank_families(self, tc: np.ndarray) -> Rediscovery:
        """Where predictions ``[n]`` rank the members' families; a doping series counts once."""
        return rediscovery(tc, self.is_member, self.families, top_share=TOP_SHARE_OF_FAMILIES)


def predict_class(
    make_setup: MakeSetup, folds: Sequence[DataSplits], name: str
) -> ClassPredictions:
    """Predict every material in the fold that tests it, by models without the class.

    Args:
        make_setup: an untrained model.
        folds: all folds of one split.
        name: a key of ``CLASSES``.
    """
    ranked: list[Material] = []
    predicted: list[float] = []
    for splits in folds:
        test = splits.part("test")
        known = members(test, name) | ~related(test, name)
        tested = [m for m, keep in zip(test, known, strict=True) if keep]
        ranked += tested
        predicted += _predict_fold(make_setup(), splits, name, tested)
    family = families(folds[0].materials)
    return ClassPredictions(
        ranked,
        members(ranked, name),
        np.array([family[m.id] for m in ranked]),
        np.array(predicted),
    )


def _predict_fold(
    setup: ModelSetup, splits: DataSplits, name: str, tested: Sequence[Material]
) -> list[float]:
    """Predictions by a model that has learned nothing that is related to the class, in kelvin."""
    has_epochs = get_family(setup.model_family).has_epochs
    learned = splits.training() if has_epochs else splits.training_after_validation()
    setup.predictor.fit(
        unrelated(learned, name),
        unrelated(splits.part("val"), name),
        callbacks=NO_CALLBACKS,
        checkpoints=None,
    )
    return [row.tc_pred for row in predict_materials(setup.predictor, {"test": tested})]


def unrelated(materials: Sequence[Material], name: str) -> list[Material]:
    """The materials that are not related to a class."""
    return [m for m, leaks in zip(materials, related(materials, name), strict=True) if not leaks]
