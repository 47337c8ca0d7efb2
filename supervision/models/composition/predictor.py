"""The predictor of the composition family: trees on features of the formula.

It trains in seconds and is the baseline of every other model.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
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
from supervision.models.composition.config import CompositionConfig
from supervision.models.composition.featurize import COMPOSITION_FEATURIZER, FEATURE_VERSION
from supervision.models.predictor import CONFIG_FILE
from supervision.training.callbacks import NO_CALLBACKS, Callbacks, EpochRecord
from supervision.training.target import TargetTransform

if TYPE_CHECKING:  # trees are trained without torch
    from supervision.training.checkpoint import Checkpoints

MODEL_FILE = "model.skops"
TRUSTED = [  # types in the file, besides scikit-learn's plain classes and arrays
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
]


class CompositionPredictor:
    """Featurises compositions and reads them with an ensemble of trees, in kelvin."""

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
        callbacks: Callbacks = NO_CALLBACKS,
        checkpoints: "Checkpoints | None" = None,
    ) -> list[EpochRecord]:
        """Fit the trees to all structures of ``train``, each with its weight.

        The history is one record; there is nothing to resume.
        """
        start = time.monotonic()
        crystals = [(c, m.tc, c.weight) for m in train for c in m.crystals]
        self.target = TargetTransform.fit(np.array([m.tc for m in train]), self.config.target)
        tc, weight = np.array([(tc, weight) for _, tc, weight in crystals]).T
        found = featurize_all(COMPOSITION_FEATURIZER, [c for c, _, _ in crystals], quiet=self.quiet)
        features = np.stack([found[c.id].features for c, _, _ in crystals])
        encoded = self.target.encode(tc)
        self.model.fit(features, encoded, sample_weight=weight)
        if self.config.model == "extra_trees":
            self.model.set_params(n_jobs=1)  # threads would sum the trees in varying order
        self.size = {"trees": self.config.trees}
        rows = predict_materials(self, {"val": val})
        errors = all_metrics(
            np.array([row.tc for row in rows]), np.array([row.tc_pred for row in rows])
        )
        train_loss = float(np.mean(np.abs(self.model.predict(features) - encoded)))
        record = EpochRecord.of_single_fit(train_loss, errors, time.monotonic() - start)
        callbacks.epoch(record)
        return [record]

    def predict(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Tc of each crystal in kelvin, ``[n]``; raises CrystalError, naming the crystal."""
        rows = []
        for crystal in crystals:
            with crystal_errors(crystal.id):
                rows.append(COMPOSITION_FEATURIZER.featurize(crystal).features)
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
        """The predictor that ``save`` wrote; ValueError for features of another version."""
        if config["feature_version"] != FEATURE_VERSION:
            raise ValueError(
                f"The model was trained on features of version {config['feature_version']}; this "
                f"code makes version {FEATURE_VERSION}. Load it with the code that trained it, or "
                "train it again."
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
            early_stopping=False,  # it would validate on structures of training materials
            random_state=config.seed,
        )
    return ExtraTreesRegressor(
        config.trees,
        max_features=config.max_features,
        min_samples_leaf=config.leaf,
        n_jobs=-1,
        random_state=config.seed,
    )
