"""The predictor of the ensemble family: saved predictors of other families, and their stack."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from supervision.data.crystals import Crystal
from supervision.evaluation.prediction import SupportsPredict
from supervision.models.ensemble.stacking import Stack
from supervision.models.families import load_predictor
from supervision.models.predictor import CONFIG_FILE

MEMBERS_FOLDER = "members"


class EnsemblePredictor:
    """Asks every member, and combines their answers in kelvin."""

    model_family: ClassVar[str] = "ensemble"

    def __init__(self, members: Sequence[SupportsPredict], stack: Stack) -> None:
        self.members, self.stack = members, stack
        self.size: Mapping[str, int] = {"members": len(members)}

    def predict(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Tc of each crystal in kelvin, ``[n]``.

        Raises CrystalError, naming the crystal, for one that a member cannot read.
        """
        return self.stack.predict(np.stack([m.predict(crystals) for m in self.members], axis=1))

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """The predictor in a folder that ``write_ensemble`` wrote."""
        names = config["config"]["members"]
        members = [load_predictor(folder / MEMBERS_FOLDER / name) for name in names]
        return cls(members, Stack.load(folder))


def write_ensemble(folder: Path, members: Mapping[str, Path], stack: Stack) -> None:
    """Write the folder of an ensemble: ``config.json``, the stack, and a copy of each member.

    Args:
        members: the folders of saved predictors, in the order of the stack; the names become those
            of folders.
    """
    for name, saved in members.items():
        shutil.copytree(saved, folder / MEMBERS_FOLDER / name)
    config = {
        "model_family": EnsemblePredictor.model_family,
        "config": {"members": list(members)},
    }
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1))
    stack.save(folder)
