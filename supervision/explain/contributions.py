"""What each feature contributes to the prediction of boosted trees: exact Shapley values.

LightGBM computes them by TreeSHAP (Lundberg et al., Nat. Mach. Intell. 2, 56, 2020): the base value
is the mean prediction over the training rows of the trees, and base + contributions = prediction.
That holds in target space, where the trees are fitted: in the square root of Tc, not in kelvin.
(The square of a mean root is less than the mean Tc.) The values are those of the path-dependent
TreeSHAP: a feature that is left out follows both branches, as many training rows as each has.

A model of the family structure is a sum of two stages, ``first + novelty * correction``, and so are
its contributions: those of the first, and those of the second times the novelty of the composition.
The second stage also reads what the first one predicts. That is a feature of its own here
(``FIRST_STAGE``): to divide it among the features of the composition would need an assumption.

The calibration multiplies kelvin, so it is no contribution but a factor on the result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import lightgbm
import numpy as np

from supervision.data.crystals import Crystal
from supervision.explain.feature_groups import CLIPPED, FIRST_STAGE, group_of
from supervision.explain.feature_labels import with_value
from supervision.models.composition.features import feature_names
from supervision.models.composition.predictor import CompositionPredictor
from supervision.models.structure.features import structure_feature_names
from supervision.models.structure.predictor import StructurePredictor
from supervision.models.trees.regression import Trees
from supervision.training.target import TargetTransform

UNITS = {"sqrt": "√K", "log1p": "ln(1 + K)", "identity": "K", "rank": "rank"}  # of target space
DECIMALS = 9  # of what is clipped: else every prediction would have a rounding error there
TreeModel = CompositionPredictor | StructurePredictor


@dataclass(frozen=True)
class Contributions:
    """What features add to the base value, in the units of the target curve (``unit``).

    Attributes:
        base: the mean prediction over what the trees were fitted to.
        features: the contribution of each feature by name.
        values: the features themselves; NaN for one that does not apply, such as the valence of Cu
            without Cu. ``FIRST_STAGE`` is in kelvin.
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
        """A feature with its value if it has one, such as ``valence Cu 2.15``."""
        return with_value(name, self.values[name]) if name in self.values else name

    def position(self, tc_kelvin: float) -> float:
        """Kelvin -> where they are on the axis of the contributions."""
        return float(self.target.encode([tc_kelvin])[0]) * self.target.scale + self.target.centre

    def kelvin(self, position: float) -> float:
        """The inverse of ``position``."""
        encoded = (position - self.target.centre) / self.target.scale
        return float(self.target.decode(np.array([encoded]))[0])


@dataclass(frozen=True, eq=False)
class ShapleyValues:
    """The contributions to the predictions for n crystals, in the units of the target curve.

    Attributes:
        names: of the f features.
        base: what they are added to, [n].
        added: contributions, ``[n, f]``.
        values: the features, ``[n, f]``, as in ``Contributions``; NaN for ``CLIPPED``.
        factor: of the calibration, on kelvin, [n].
        target: from kelvin to target space.
    """

    names: list[str]
    base: np.ndarray
    added: np.ndarray
    values: np.ndarray
    factor: np.ndarray
    target: TargetTransform


def contributions(predictor: TreeModel, crystal: Crystal) -> Contributions:
    """The contributions to the prediction for a crystal; raises as ``shapley_values``."""
    found = shapley_values(predictor, [crystal])
    added, values = (
        dict(zip(found.names, row[0].tolist(), strict=True)) for row in (found.added, found.values)
    )
    values.pop(CLIPPED, None)
    base, factor = float(found.base[0]), float(found.factor[0])
    return Contributions(base, added, values, factor, found.target)


def shapley_values(predictor: TreeModel, crystals: Sequence[Crystal]) -> ShapleyValues:
    """The contributions to the predictions for crystals.

    Raises CrystalError, naming the crystal, for one that cannot be read, and ValueError for trees
    that are not boosted.
    """
    if isinstance(predictor, StructurePredictor):
        return _of_two_stages(predictor, crystals)
    given, target = predictor.features.of(crystals), predictor.target
    base, added = _tree_shap(predictor.trees, given)
    base, added = base * target.scale + target.centre, added * target.scale
    return ShapleyValues(feature_names(), base, added, given, predictor.factor(given), target)


def _of_two_stages(predictor: StructurePredictor, crystals: Sequence[Crystal]) -> ShapleyValues:
    given, target = predictor.inputs(crystals), predictor.composition.target
    base, added = _tree_shap(predictor.composition.trees, given.composition)
    second_base, corrected = _tree_shap(predictor.correction, given.corrected)
    clipped = (given.first - base - added.sum(axis=1)).round(DECIMALS)
    read = np.column_stack([given.corrected[:, :-1], target.decode(given.first)])
    return ShapleyValues(
        [*feature_names(), *structure_feature_names(), FIRST_STAGE, CLIPPED],
        (base + given.novelty * second_base) * target.scale + target.centre,
        np.column_stack([added, given.novelty[:, None] * corrected, clipped]) * target.scale,
        np.column_stack([given.composition, read, np.full(len(crystals), np.nan)]),
        predictor.factor(given.novelty),
        target,
    )


def _tree_shap(trees: Trees, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The base values ``[n]`` and the contributions ``[n, f]`` for features ``[n, f]``."""
    if not isinstance(trees, lightgbm.Booster):
        raise ValueError(
            "The contributions of extra trees cannot be computed: explain a model that was trained "
            "with model=boosting."
        )
    found = np.asarray(trees.predict(features, pred_contrib=True, num_threads=1))
    return found[:, -1], found[:, :-1]
