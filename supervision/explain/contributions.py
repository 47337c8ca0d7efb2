"""What each feature contributes to the prediction of boosted trees: exact Shapley values.

LightGBM computes them by TreeSHAP (Lundberg et al., Nat. Mach. Intell. 2, 56, 2020): the base value
is the mean prediction over the training rows of the trees, and base + contributions = prediction.
That holds in target space, where the trees are fitted: in the square root of Tc, not in kelvin.

A model of the family structure is a sum of two stages, ``first + novelty * correction``, and so are
its contributions: those of the first, and those of the second times the novelty of the composition.
The second stage also reads what the first one predicts. That is a feature of its own here
(``FIRST_STAGE``): to divide it among the features of the composition would need an assumption.

The calibration multiplies kelvin, so it is no contribution but a factor on the result.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import lightgbm
import numpy as np

from supervision.data.crystals import Crystal
from supervision.explain.feature_groups import CLIPPED, FIRST_STAGE, group_of
from supervision.models.composition.features import feature_names
from supervision.models.composition.predictor import CompositionPredictor
from supervision.models.structure.features import structure_feature_names
from supervision.models.structure.predictor import StructurePredictor
from supervision.models.trees.regression import Trees
from supervision.training.target import TargetTransform

UNITS = {"sqrt": "√K", "log1p": "ln(1 + K)", "identity": "K", "rank": "rank"}  # of target space
TreeModel = CompositionPredictor | StructurePredictor


@dataclass(frozen=True)
class Contributions:
    """What features add to the base value, in the units of the target curve (``unit``).

    Attributes:
        base: the mean prediction over what the trees were fitted to.
        features: the contribution of each feature by name.
        values: the features themselves; NaN for one that does not apply, such as the valence of Cu
            without Cu.
        factor: of the calibration, on kelvin.
        target: from kelvin to target space.
    """

    base: float
    features: Mapping[str, float]
    values: Mapping[str, float]
    factor: float
    target: TargetTransform

    @property
    def unit(self) -> str:
        """The unit of base, contributions and prediction."""
        return UNITS[self.target.kind]

    @property
    def prediction(self) -> float:
        """Base and contributions; below 0, it is read as 0 K."""
        return self.base + sum(self.features.values())

    @property
    def tc_kelvin(self) -> float:
        """The predicted Tc, with the factor of the calibration."""
        return self.kelvin(self.prediction) * self.factor

    @property
    def groups(self) -> dict[str, float]:
        """The contribution of each group of features, the largest in magnitude first."""
        found: dict[str, float] = {}
        for name, value in self.features.items():
            found[group_of()[name]] = found.get(group_of()[name], 0.0) + value
        return dict(sorted(found.items(), key=lambda item: -abs(item[1])))

    def largest(self, group: str, count: int) -> list[str]:
        """The features of a group that contribute most, by name; none that contribute nothing."""
        own = [name for name, value in self.features.items() if group_of()[name] == group and value]
        return sorted(own, key=lambda name: -abs(self.features[name]))[:count]

    def described(self, name: str) -> str:
        """A feature with its value, such as ``valence Cu 2.15``, or ``no valence Cu``."""
        if name not in self.values:
            return name
        value = self.values[name]
        return f"no {name}" if math.isnan(value) else f"{name} {value:.4g}"

    def position(self, tc_kelvin: float) -> float:
        """Kelvin -> where they are on the axis of the contributions."""
        return float(self.target.encode([tc_kelvin])[0]) * self.target.scale + self.target.centre

    def kelvin(self, position: float) -> float:
        """The inverse of ``position``."""
        encoded = (position - self.target.centre) / self.target.scale
        return float(self.target.decode(np.array([encoded]))[0])


def contributions(predictor: TreeModel, crystal: Crystal) -> Contributions:
    """The contributions to the prediction for a crystal.

    Raises CrystalError, naming the crystal, for one that cannot be read, and ValueError for trees
    that are not boosted.
    """
    if isinstance(predictor, StructurePredictor):
        return _of_two_stages(predictor, crystal)
    given = predictor.features.of([crystal])
    base, added = _shapley_values(predictor.trees, given)
    names, factor = feature_names(), float(predictor.factor(given)[0])
    return _scaled(base, _named(names, added), _named(names, given[0]), factor, predictor.target)


def _of_two_stages(predictor: StructurePredictor, crystal: Crystal) -> Contributions:
    given = predictor.inputs([crystal])
    novelty, first = float(given.novelty[0]), float(given.first[0])
    base, added = _shapley_values(predictor.composition.trees, given.composition)
    second_base, corrected = _shapley_values(predictor.correction, given.corrected)
    names, second_names = feature_names(), [*structure_feature_names(), FIRST_STAGE]
    features = _named(names, added) | _named(second_names, novelty * corrected)
    features[CLIPPED] = first - (base + float(added.sum()))
    return _scaled(
        base + novelty * second_base,
        features,
        _named(names, given.composition[0]) | _named(second_names, given.corrected[0]),
        float(predictor.factor(given.novelty)[0]),
        predictor.composition.target,
    )


def _shapley_values(trees: Trees, features: np.ndarray) -> tuple[float, np.ndarray]:
    """The base value and the contributions ``[f]`` to the prediction for features ``[1, f]``."""
    if not isinstance(trees, lightgbm.Booster):
        raise ValueError(
            "The contributions of extra trees cannot be computed: explain a model that was trained "
            "with model=boosting."
        )
    (row,) = np.asarray(trees.predict(features, pred_contrib=True, num_threads=1))
    return float(row[-1]), row[:-1]


def _named(names: list[str], values: np.ndarray) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))


def _scaled(
    base: float,
    features: Mapping[str, float],
    values: Mapping[str, float],
    factor: float,
    target: TargetTransform,
) -> Contributions:
    """From the standardised target to the units of its curve, such as the root of kelvin."""
    added = {name: value * target.scale for name, value in features.items()}
    return Contributions(base * target.scale + target.centre, added, values, factor, target)
