"""The constant as a predictor: the training median for every crystal that can be read."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from supervision.data.crystals import Crystal, Material
from supervision.data.errors import crystal_errors
from supervision.evaluation.metrics import all_metrics, constant_median
from supervision.models.constant.config import ConstantConfig
from supervision.models.predictor import CONFIG_FILE
from supervision.training.callbacks import NO_CALLBACKS, Callbacks, EpochRecord

if TYPE_CHECKING:  # needs torch, and a constant does not
    from supervision.training.checkpoint import Checkpoints


class ConstantPredictor:
    """Answers the median Tc of its training materials: of all constants the one of lowest MAE."""

    model_family: ClassVar[str] = "constant"

    def __init__(self, config: ConstantConfig, tc: float = float("nan")) -> None:
        self.config, self.tc = config, tc
        self.size: Mapping[str, int] = {}

    def fit(
        self,
        train: Sequence[Material],
        val: Sequence[Material],
        *,
        callbacks: Callbacks = NO_CALLBACKS,
        checkpoints: "Checkpoints | None" = None,
    ) -> list[EpochRecord]:
        """Take the median over ``train``; the history is one record."""
        start = time.monotonic()
        train_tc, val_tc = (np.array([m.tc for m in part]) for part in (train, val))
        self.tc = float(constant_median(train_tc, 1)[0])
        errors = all_metrics(val_tc, constant_median(train_tc, len(val)))
        record = EpochRecord.of_single_fit(errors, time.monotonic() - start)
        callbacks.epoch(record)
        return [record]

    def predict(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """The constant for each crystal in kelvin, ``[n]``; CrystalError for an unreadable one."""
        for crystal in crystals:
            with crystal_errors(crystal.id):
                _ = crystal.composition
        return np.full(len(crystals), self.tc)

    def save(self, folder: Path) -> None:
        """Write ``config.json``, which holds the constant."""
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "model_family": self.model_family,
            "config": asdict(self.config),
            "tc_kelvin": self.tc,
        }
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1))

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """The predictor that ``save`` wrote."""
        return cls(ConstantConfig(**config["config"]), config["tc_kelvin"])
