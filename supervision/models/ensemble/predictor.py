"""The predictor of the ensemble family: saved predictors of other families, and their stack."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError
from supervision.models.ensemble.stacking import Stack
from supervision.models.families import get_family, load_predictor
from supervision.models.predictor import CONFIG_FILE, SavedPredictor
from supervision.runtime.text import printable

MEMBERS_FOLDER = "members"


class EnsemblePredictor:
    """Asks every member, and combines their answers in kelvin.

    Attributes:
        members: by name, in the order of the stack.
    """

    model_family: ClassVar[str] = "ensemble"

    def __init__(self, members: Mapping[str, SavedPredictor], stack: Stack) -> None:
        self.members, self.stack = members, stack
        self.size: Mapping[str, int] = {"members": len(members)}

    def predict(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Tc of each crystal in kelvin, ``[n]``.

        Raises CrystalError, naming the crystal, for one that a member cannot read. For a formula
        without a structure, the mean of the members that read formulas answers.
        """
        return self.combine(self.predict_members(crystals))

    def predict_members(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Tc of each crystal by each member in kelvin, ``[n, m]``; NaN where it needs a structure.

        Raises CrystalError, naming the crystal, for one that no member can read, too.
        """
        found = np.full((len(crystals), len(self.members)), np.nan)
        has_structure = np.array([bool(c.cif) for c in crystals])
        for column, member in enumerate(self.members.values()):
            reads_all = get_family(member.model_family).predicts_formulas
            rows = np.flatnonzero(has_structure | reads_all).tolist()
            if rows:
                found[rows, column] = member.predict([crystals[row] for row in rows])
        if unread := [c for c, row in zip(crystals, found, strict=True) if np.isnan(row).all()]:
            name = printable(unread[0].id)
            reason = "There is no structure, and no model here reads a formula alone."
            raise CrystalError(f"{name}: {reason}")
        return found

    def combine(self, tc: np.ndarray) -> np.ndarray:
        """One Tc of those of the members, ``[n, m]`` -> ``[n]``; of those that are known."""
        whole = ~np.isnan(tc).any(axis=1)
        combined = np.empty(len(tc))
        combined[whole] = self.stack.predict(tc[whole])
        combined[~whole] = [row[~np.isnan(row)].mean() for row in tc[~whole]]
        return combined

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """The predictor in a folder that ``write_ensemble`` wrote."""
        names = config["config"]["members"]
        members = {name: load_predictor(folder / MEMBERS_FOLDER / name) for name in names}
        return cls(members, Stack.load(folder))


def write_ensemble(folder: Path, members: Mapping[str, Path], stack: Stack) -> None:
    """Write the folder of an ensemble: ``config.json``, the stack, and a copy of each member.

    Args:
        members: the folders of saved predictors, in the order of the stack; the names become those
            of folders.
    """
    for name, saved in members.items():
        shutil.copytree(saved, folder / MEMBERS_FOLDER / name)
    write_stack(folder, list(members), stack)


def write_stack(folder: Path, members: Sequence[str], stack: Stack) -> None:
    """Write the files of an ensemble beside its members, which are in ``MEMBERS_FOLDER``."""
    config = {
        "model_family": EnsemblePredictor.model_family,
        "config": {"members": list(members)},
    }
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1))
    stack.save(folder)
