"""The fast model: taught by the ensemble, and evaluated in folds as the ensemble is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import pandas as pd

from supervision.data.crystals import Crystal, Material, Reject
from supervision.data.leaks import source_parts
from supervision.data.splits import NEAR, Split
from supervision.evaluation.prediction import predict_materials
from supervision.experiment.sources import SourceSpec, load_rows
from supervision.experiment.spec import split_of
from supervision.models.composition.predictor import CompositionPredictor
from supervision.models.distilled.distil import distil
from supervision.models.distilled.predictor import DistilledPredictor
from supervision.models.distilled.variants import variants
from supervision.models.ensemble.predictor import EnsemblePredictor
from supervision.models.ensemble.stacking import Stack
from supervision.models.families import load_predictor
from supervision.models.predictor import SavedPredictor
from supervision.models.trees.predictor import PreparingPredictor
from supervision.release.training import Trained
from tracking.comparison.results import predictor_folder
from tracking.release.fold_runs import FoldRuns, Tables

BASE = "composition"  # the member whose trees are the first stage


@dataclass(frozen=True)
class Teaching:
    """What a fast model is taught on; Tc is not used.

    Attributes:
        materials: of the data set.
        others: of other sources, and made-up variants of both.
    """

    materials: Sequence[Material]
    others: Sequence[Material]

    @classmethod
    def of(cls, combined: Sequence[Trained], sources: Sequence[SourceSpec]) -> "Teaching":
        """What all members of an ensemble read."""

        def featurize(crystals: Sequence[Crystal]) -> list[Reject]:
            return [reject for model in combined for reject in model.setup.featurize(crystals)]

        of_each = [{m.id for m in model.splits.materials} for model in combined]
        shared = set.intersection(*of_each)
        materials = [m for m in combined[0].splits.materials if m.id in shared]
        others = [row for s in sources for row in load_rows(s, featurize)[0]]
        made = variants([c for m in (*materials, *others) for c in m.crystals])
        rejected = {reject.name for reject in featurize(made)}
        others += [
            Material(c.id, c.composition.formula.replace(" ", ""), 0.0, (c,))
            for c in made
            if c.id not in rejected
        ]
        return cls(materials, others)

    def in_fold(self, split: Split) -> list[Material]:
        """What the models of a fold may have learned from, and others not near to its test part."""
        parts = source_parts(self.others, self.materials, split)
        allowed = [row for row in self.others if parts[row.id] in ("train", NEAR["val"])]
        return [*split.apart_from_test(self.materials), *allowed]


def teach_fast(combined: Sequence[Trained], teaching: Teaching) -> DistilledPredictor:
    """The fast model of a release, taught by the members of its ensemble."""
    predictors = {model.setup.model_family: model.setup.predictor for model in combined}
    return _distil(predictors, [*teaching.materials, *teaching.others])


def fast_in_folds(combined: Sequence[FoldRuns], tables: Tables, teaching: Teaching) -> Tables:
    """Predictions of the test materials of every fold by fast models, by split.

    The fast model of a fold is taught by the members of that fold.

    Args:
        tables: the ensemble's predictions by split, with the same test materials.
    """
    return {split: _of_split(combined, split, table, teaching) for split, table in tables.items()}


def _of_split(
    combined: Sequence[FoldRuns], kind: str, table: pd.DataFrame, teaching: Teaching
) -> pd.DataFrame:
    children = zip(*(own.results[kind].fold_runs.split(",") for own in combined), strict=True)
    parts = []
    for fold, runs in enumerate(children, start=1):
        split = split_of(teaching.materials, combined[0].experiment(kind, fold))
        taught = {
            own.family: load_predictor(predictor_folder(run))
            for own, run in zip(combined, runs, strict=True)
        }
        fast = _distil(taught, teaching.in_fold(split))
        tested = predict_materials(fast, {"test": split.select(teaching.materials, "test")})
        tc_pred = {row.material_id: row.tc_pred for row in tested}
        rows = table[(table["split"] == "test") & (table["fold"] == fold)]
        parts.append(rows.assign(tc_pred=rows["material_id"].map(tc_pred)))
        print(f"The fast model of fold {fold} of {kind} is tested.", flush=True)
    return pd.concat(parts, ignore_index=True)


def _distil(
    predictors: Mapping[str, SavedPredictor], materials: Sequence[Material]
) -> DistilledPredictor:
    crystals = [c for m in materials for c in m.crystals]
    for predictor in predictors.values():
        cast(PreparingPredictor, predictor).prepare(crystals)
    base = cast(CompositionPredictor, predictors[BASE])
    teacher = EnsemblePredictor(predictors, Stack((1 / len(predictors),) * len(predictors)))
    return distil(teacher, base, crystals)
