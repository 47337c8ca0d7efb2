"""The composition paradigm: trees on what the formula says, blind to where the atoms are.

It trains in seconds and is the bar that every other model is held to.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import skops.io
from sklearn.base import RegressorMixin
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor

from supervision.data.crystals import Crystal, Material
from supervision.data.errors import crystal_errors
from supervision.data.featurize import featurize_all
from supervision.evaluation.metrics import all_metrics
from supervision.evaluation.prediction import predict_materials
from supervision.models.composition.featurize import COMPOSITION_FEATURIZER, FEATURE_VERSION
from supervision.models.predictor import CONFIG_FILE
from supervision.training.callbacks import NO_CALLBACKS, Callbacks, EpochRecord
from supervision.training.target import TargetTransform

if TYPE_CHECKING:  # trees are trained without torch
    from supervision.training.checkpoint import Checkpoints

MODEL_FILE = "model.skops"
KINDS = ("extra_trees", "boosting")
TRUSTED = [  # all that such a file may hold beside scikit-learn's plain classes and arrays
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
]


@dataclass(frozen=True)
class CompositionConfig:
    """Everything that shapes a model of compositions.

    Attributes:
        model: ``extra_trees`` or ``boosting`` (histogram gradient boosting).
        trees: how many, or how many rounds of boosting.
        max_features: share of the features that a split may choose from.
        leaf: least number of structures in a leaf.
    """

    model: str = "extra_trees"
    trees: int = 300
    max_features: float = 0.3
    leaf: int = 1
    target: str = "sqrt"
    seed: int = 42

    def __post_init__(self) -> None:
        if self.model not in KINDS:
            raise ValueError(f"model '{self.model}' is not one of {', '.join(KINDS)}.")
        for name in ("trees", "leaf"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}.")
        if not 0 < self.max_features <= 1:
            raise ValueError(f"max_features is a share above 0, got {self.max_features}.")
        TargetTransform(self.target)


class CompositionPredictor:
    """Features of compositions and an ensemble of trees, in kelvin."""

    model_family: ClassVar[str] = "composition"

    def __init__(self, config: CompositionConfig, *, quiet: bool = False) -> None:
        self.config, self.quiet = config, quiet
        self.target = TargetTransform(config.target)
        self.model: RegressorMixin = _untrained(config)
        self.size: Mapping[str, int] = {}

    def fit(
        self,
        train: Sequence[Material],
        val: Sequence[Material],
        *,
        listener: Callbacks = NO_CALLBACKS,
        checkpoints: "Checkpoints | None" = None,
    ) -> list[EpochRecord]:
        """Grow the trees on all structures of ``train``, each with its weight.

        The history is one record; there is nothing to resume.
        """
        began = time.monotonic()
        crystals = [(c, m.tc, c.weight) for m in train for c in m.crystals]
        self.target = TargetTransform.fit(np.array([m.tc for m in train]), self.config.target)
        tc, weight = np.array([(tc, weight) for _, tc, weight in crystals]).T
        prepared = featurize_all(
            COMPOSITION_FEATURIZER, [c for c, _, _ in crystals], quiet=self.quiet
        )
        features = np.stack([prepared[c.id].features for c, _, _ in crystals])
        encoded = self.target.encode(tc)
        self.model.fit(features, encoded, sample_weight=weight)
        if self.config.model == "extra_trees":
            self.model.set_params(n_jobs=1)  # several add up the trees in the order they finish
        self.size = {"trees": self.config.trees}
        judged = predict_materials(self, {"val": val})
        errors = all_metrics(
            np.array([row.tc for row in judged]), np.array([row.tc_pred for row in judged])
        )
        record = EpochRecord(
            epoch=1,
            train_loss=float(np.mean(np.abs(self.model.predict(features) - encoded))),
            val_mae=errors["mae"],
            val_rmse=errors["rmse"],
            val_r2=errors["r2"],
            learning_rate=0.0,
            seconds=time.monotonic() - began,
            best=True,
        )
        listener.epoch(record)
        return [record]

    def predict(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Tc of each crystal in kelvin, ``[n]``; raises CrystalError, naming the crystal."""
        rows = []
        for crystal in crystals:
            with crystal_errors(crystal.id):
                rows.append(COMPOSITION_FEATURIZER.of(crystal).features)
        return self.target.decode(self.model.predict(np.stack(rows)))

    def save(self, folder: Path) -> None:
        """Write ``config.json`` and ``model.skops``, which loads without unpickling."""
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "model_family": self.model_family,
            "config": asdict(self.config),
            "target": self.target.to_dict(),
            "feature_version": FEATURE_VERSION,
        }
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1))
        skops.io.dump(self.model, folder / MODEL_FILE)

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """The predictor that ``save`` wrote. Raises ValueError for features of another recipe."""
        if config["feature_version"] != FEATURE_VERSION:
            raise ValueError(
                f"The model was trained on features of recipe {config['feature_version']}; "
                f"this code makes recipe {FEATURE_VERSION}."
            )
        predictor = cls(CompositionConfig(**config["config"]))
        predictor.model = skops.io.load(folder / MODEL_FILE, trusted=TRUSTED)
        predictor.target = TargetTransform(**config["target"])
        return predictor


def _untrained(config: CompositionConfig) -> RegressorMixin:
    if config.model == "boosting":
        return HistGradientBoostingRegressor(
            loss="absolute_error",
            max_iter=config.trees,
            max_features=config.max_features,
            min_samples_leaf=config.leaf,
            early_stopping=False,  # it would judge by structures of materials it learns from
            random_state=config.seed,
        )
    return ExtraTreesRegressor(
        config.trees,
        max_features=config.max_features,
        min_samples_leaf=config.leaf,
        n_jobs=-1,
        random_state=config.seed,
    )
