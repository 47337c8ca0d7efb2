"""The folder of a release: a saved predictor for each model, its answer data, its card."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from supervision.answer.answerer import ANSWER_FOLDER
from supervision.answer.known import KnownMaterials
from supervision.evaluation.metrics import bootstrap_intervals, mae
from supervision.models.predictor import PROVENANCE_FILE
from supervision.release.card import CardInfo, model_card
from supervision.release.manifest import hashes, write_manifest
from supervision.release.out_of_fold import OutOfFold

CARD_FILE = "README.md"
REFERENCE = "novel"  # the split whose error describes a model


@dataclass(frozen=True)
class ReleaseFolder:
    """A release that is being written.

    Attributes:
        version: of the package.
        models: what was added: path in the folder, card and predictions, by name.
    """

    root: Path
    version: str
    models: dict[str, tuple[str, CardInfo, OutOfFold]] = field(default_factory=dict)

    def add(
        self,
        path: str,
        info: CardInfo,
        known: KnownMaterials,
        predictions: OutOfFold,
        provenance: Mapping[str, Any],
    ) -> None:
        """Add a model whose predictor is saved at a path, with what its answers need.

        Args:
            known: the materials that it has learned from.
            predictions: out of fold, of models with the same settings.
            provenance: what it was made from; ``run_id``, which becomes the version that its
                answers name, is added.
        """
        folder = self.root / path
        own = folder / ANSWER_FOLDER
        own.mkdir(exist_ok=True)
        known.save(own)
        predictions.calibration().save(own)
        predictions.save(folder)
        origin = {"run_id": f"released-{self.version}/{info.name}", **provenance}
        (folder / PROVENANCE_FILE).write_text(json.dumps(origin, indent=1))
        self.models[info.name] = path, info, predictions

    def finish(self, *, default: str, fast: str) -> None:
        """Write the cards and the manifest.

        Args:
            default, fast: the models that answer where none is named.
        """
        listed = {}
        for name, (path, info, predictions) in self.models.items():
            folder = self.root / path
            card = model_card(replace(info, hashes=hashes(folder)), predictions)
            (folder / CARD_FILE).write_text(card)
            listed[name] = {"path": path, "description": _description(info, predictions)}
        write_manifest(self.root, self.version, default, fast, listed)


def _description(info: CardInfo, predictions: OutOfFold) -> str:
    """What it reads, and its error in new families, in one line."""
    of = predictions.of([REFERENCE])
    low, high = bootstrap_intervals(of.tc, of.tc_pred, groups=of.family.astype(str))["mae"]
    return (
        f"It reads {info.reads}; in families that it has not seen, it has "
        f"MAE {mae(of.tc, of.tc_pred):.2f} K (95% {low:.2f} to {high:.2f})."
    )
