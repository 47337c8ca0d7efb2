"""The runs in folds that a released model is made from: its settings and its predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from supervision.answer.domain import DOMAINS
from supervision.data.splits import SPLIT_KINDS
from supervision.experiment.spec import Experiment
from supervision.models.families import default_configs, get_family
from supervision.models.setup import ModelSetup
from supervision.release.out_of_fold import CALIBRATED_ON, OutOfFold
from supervision.runtime.options import options_of
from tracking.comparison.results import Result
from tracking.runs import read_table

CONSTANT = "constant median"  # a column of the predictions
Tables = Mapping[str, pd.DataFrame]  # of predictions, by split
SHARED = ("dataset", "data", "extra", "extra_data", "extra_weights", "limit", "seed", "apart")


@dataclass(frozen=True)
class FoldRuns:
    """The runs of one model family by their kind of split, all with the same settings."""

    family: str
    results: Mapping[str, Result]

    @classmethod
    def read(cls, run_ids: Sequence[str]) -> "dict[str, FoldRuns]":
        """The runs of each model family.

        Raises ValueError for a run without folds, for two runs of one family and split, for runs
        of one family whose settings differ, and where a split of ``CALIBRATED_ON`` is missing from
        a family: at least ``novel`` is needed.
        """
        found: dict[str, dict[str, Result]] = {}
        for result in map(Result.read, run_ids):
            if not result.has_folds:
                raise ValueError(f"Run {result.id} has no folds: train with folds=5.")
            of_family = found.setdefault(result.kind.model_family, {})
            split = result.split.partition(",")[0]
            if split in of_family:
                raise ValueError(f"Runs {of_family[split].id} and {result.id} are of one split.")
            of_family[split] = result
        runs = {name: cls(name, results) for name, results in found.items()}
        for own in runs.values():
            own.check()
        return runs

    def check(self) -> None:
        """Raise ValueError where ``novel`` is missing, or the settings differ between the runs."""
        if CALIBRATED_ON[-1] not in self.results:
            raise ValueError(f"The family {self.family} has no run on {CALIBRATED_ON[-1]}.")
        first, *others = self.results.values()
        names = [n for n in first.params if n in SHARED or n in self._options()]
        for other in others:
            for name in names:
                if other.params.get(name) != first.params[name]:
                    raise ValueError(
                        f"Runs {first.id} and {other.id} differ in {name}: "
                        f"{first.params[name]} and {other.params.get(name)}."
                    )

    @property
    def first(self) -> Result:
        """One of the runs, whose settings are those of all."""
        return next(iter(self.results.values()))

    def experiment(self, split: str, fold: int = 0) -> Experiment:
        """The data and sources of the runs, in one fold of a kind of split; 0: a single split."""
        params = self.first.params
        return Experiment(
            dataset=params["dataset"], data=params.get("data", ""), split=split,
            extra=params.get("extra", ""), extra_data=params.get("extra_data", ""),
            extra_weights=params.get("extra_weights", ""), limit=int(params["limit"]),
            seed=int(params["seed"]), apart=float(params["apart"]), register=False,
            folds=int(params["folds"]) if fold else 1, fold=fold,
        )  # fmt: skip

    def setup(self) -> ModelSetup:
        """An untrained model with the settings of the runs."""
        family, params = get_family(self.family), self.first.params
        given = {name: params[name] for name in self._options() if name in params}
        configs = default_configs(family, params["dataset"], int(params["seed"]), given)
        kind = self.first.kind
        return family.setup(kind.variant if kind.pretrained else "none", "auto", *configs)

    def tables(self) -> Tables:
        """The predictions of every split."""
        return {s: read_table(r.id, "predictions.csv") for s, r in self.results.items()}

    def _options(self) -> list[str]:
        """The options of the family's configs."""
        return [o.name for config in get_family(self.family).configs for o in options_of(config)]


def out_of_fold(tables: Tables, classes: Mapping[str, int]) -> OutOfFold:
    """Test predictions of several splits, from their tables of predictions.

    Raises ValueError for a table of a version of this code that did not log domains.
    """
    parts = []
    for split, table in tables.items():
        if "domain" not in table:
            raise ValueError(f"The run on {split} logged no domains: train it again.")
        test = table[table["split"] == "test"].sort_values("material_id")
        parts.append(test.assign(kind=SPLIT_KINDS.index(split)))
    rows = pd.concat(parts, ignore_index=True).sort_values(["kind", "material_id"])
    return OutOfFold(
        split=rows["kind"].to_numpy(dtype=np.uint8),
        fold=rows["fold"].to_numpy(dtype=np.uint8),
        family=pd.factorize(rows["family"], sort=True)[0].astype(np.int32),
        classes=rows["material_id"].map(classes).to_numpy(dtype=np.uint16),
        domain=rows["domain"].map(DOMAINS.index).to_numpy(dtype=np.uint8),
        tc=rows["tc"].to_numpy(),
        tc_pred=rows["tc_pred"].to_numpy(),
        constant=rows[CONSTANT].to_numpy(),
    )
