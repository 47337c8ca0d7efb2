"""Finished runs, read from the tracking store to be compared."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from supervision.data.splits import SPLIT_KINDS
from supervision.evaluation.metrics import band_table
from supervision.models.predictor import CONFIG_FILE
from supervision.runtime.errors import one_line
from tracking.folds import CHILDREN_TAG, FOLD_TAG
from tracking.runs import read_table, used_params
from tracking.serving.downloads import download

ADAPT_NAMES = {"lora": "LoRA", "linear": "head alone", "full": "fine-tuned"}
COLUMNS = ("material_id", "split", "tc", "tc_pred")
QUANTITY_TAG = "quantity"  # of runs that learn another one than Tc
ZERO_SHOT, FROM_FILE = "zero_shot", "file"  # in place of a model family


@dataclass(frozen=True)
class ModelKind:
    """What kind of model a run made: runs of one kind differ in settings and seeds only.

    Attributes:
        model_family: its model family, ``ZERO_SHOT`` or ``FROM_FILE``.
        variant: the name of its weights, of its trees and what they learn, or of the zero-shot
            source.
        pretrained: whether it started from pretrained weights.
        adapt: what of it was trained: ``lora``, ``linear``, ``full``; empty for other models.
        extra: the sources that it was trained on beside the data set.
    """

    model_family: str
    variant: str = ""
    pretrained: bool = False
    adapt: str = ""
    extra: str = ""

    @classmethod
    def of(cls, tags: Mapping[str, str], params: Mapping[str, str]) -> "ModelKind":
        """The kind of model of a run with these tags and params."""
        model_family = model_family_of(tags)
        if model_family == ZERO_SHOT:
            return cls(model_family, tags.get("source", ""))
        pretrained, adapt = tags.get("pretrained") == "true", params.get("adapt", "")
        extra = ", ".join(sorted(filter(None, params.get("extra", "").replace(" ", "").split(","))))
        if adapt:
            variant = tags["weights"] if pretrained else ""
            return cls(model_family, variant, pretrained, adapt, extra)
        parts = [params.get("model", "")]
        parts += ["calibrated"] if params.get("calibrate") == "True" else []
        parts += ["ranks"] if params.get("target") == "rank" else []
        return cls(model_family, ", ".join(parts), extra=extra)

    @property
    def label(self) -> str:
        """Its name in tables and figures."""
        return self._name + (f" + {self.extra}" if self.extra else "")

    @property
    def _name(self) -> str:
        if self.model_family == FROM_FILE:
            return self.variant.replace("_", " ")
        if self.model_family == ZERO_SHOT:
            return f"zero-shot: {self.variant}"
        if not self.adapt:
            return f"{self.model_family}: {self.variant}".replace("_", " ").removesuffix(": ")
        if self.pretrained:
            return f"{self.model_family}: {self.variant}, {ADAPT_NAMES.get(self.adapt, self.adapt)}"
        part = "" if self.adapt == "full" else f", {ADAPT_NAMES.get(self.adapt, self.adapt)}"
        return f"{self.model_family}: from scratch{part}"


@dataclass(frozen=True)
class Result:
    """A finished run, or a table of predictions from elsewhere.

    Attributes:
        id: of the run; empty for predictions from elsewhere.
        name: for display only; ``kind`` decides.
        curve: validation MAE by epoch; empty where nothing was trained by gradients.
        split: its kind, and the number of folds if it has several.
        comparison: the model and its trivial baselines on test; empty for predictions from
            elsewhere.
        bands: errors by band of measured Tc.
        fold_runs: the ids of the runs of its folds, separated by commas; empty for other runs.
        test: tc and tc_pred of the test materials, sorted by material_id; except in runs of earlier
            code, the group and the family of each.
    """

    id: str
    name: str
    kind: ModelKind
    dataset: str
    split: str
    split_hash: str
    params: dict[str, str]
    metrics: dict[str, float]
    curve: dict[int, float]
    comparison: pd.DataFrame
    bands: pd.DataFrame
    test: pd.DataFrame
    fold_runs: str = ""

    @classmethod
    def read(cls, run_id: str) -> "Result":
        """Raises ValueError for a run that is missing, unfinished, or was not evaluated on test."""
        client = mlflow.MlflowClient()
        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            raise ValueError(f"Run '{run_id}' is not in {mlflow.get_tracking_uri()}.") from error
        if not _is_evaluated(run):
            raise ValueError(
                f"Run {run_id} is not a finished run of this project that was evaluated on test "
                "materials."
            )
        if quantity := run.data.tags.get(QUANTITY_TAG):
            raise ValueError(
                f"Run {run_id} is of {quantity}, and only runs of Tc are compared or combined."
            )
        history = client.get_metric_history(run_id, "val_mae")
        kind = _kind(run)
        return cls(
            id=run_id,
            name=kind.label,
            kind=kind,
            dataset=run.data.tags["dataset"],
            split=_split_label(run),
            split_hash=run.data.params["split_hash"],
            params=used_params(run),
            metrics=run.data.metrics,
            curve={m.step: m.value for m in history} if len(history) > 1 else {},
            comparison=read_table(run_id, "comparison.csv"),
            bands=read_table(run_id, "bands.csv"),
            test=test_part(read_table(run_id, "predictions.csv")),
            fold_runs=run.data.tags.get(CHILDREN_TAG, ""),
        )

    @property
    def groups(self) -> np.ndarray | None:
        """What the split keeps together, of each test material; None in runs of earlier code."""
        return self.test["group"].to_numpy() if "group" in self.test else None

    @property
    def families(self) -> np.ndarray | None:
        """The family of each test material; None in runs of earlier code."""
        return self.test["family"].to_numpy() if "family" in self.test else None

    @property
    def has_folds(self) -> bool:
        """Whether every material was tested, each by the model of another fold."""
        return self.params.get("folds", "1") != "1"

    @property
    def split_slug(self) -> str:
        """``split`` as a part of file names and of params."""
        return self.split.replace(", ", "_").replace(" ", "_")

    @property
    def best_epoch(self) -> int:
        """The epoch of lowest validation MAE."""
        return min(self.curve, key=lambda epoch: self.curve[epoch])


def model_family_of(tags: Mapping[str, str]) -> str:
    """The model family in a run's tags, which earlier code called ``pipeline``; empty if none."""
    return tags.get("model_family", tags.get("pipeline", ""))


def newest_of_each_kind(dataset: str) -> list[Result]:
    """The newest run of each kind of model, all on the same data and the same split of each kind.

    Without a name, the data set is that of the newest run. Full runs come before those with a
    ``limit``; of several versions of the data or of a split, the one with the most kinds of models
    is taken, and what is left out is printed. Raises ValueError where there is no run.
    """
    evaluated = _evaluated_runs()
    if not evaluated:
        raise ValueError("There is no finished run to compare. Train a model first.")
    dataset = dataset or evaluated[0].data.tags["dataset"]
    found = [run for run in evaluated if run.data.tags["dataset"] == dataset]
    if not found:
        counts = Counter(run.data.tags["dataset"] for run in evaluated)
        known = ", ".join(f"{name} ({count})" for name, count in counts.most_common())
        raise ValueError(
            f"No finished run on dataset={dataset} to compare. Data sets with finished runs: "
            f"{known}."
        )
    same_data = _group_with_most_kinds(found, "dataset_hash")
    results: list[Result] = []
    for split in sorted({_split_label(run) for run in found}, key=_split_order):
        of_split = [run for run in same_data if _split_label(run) == split]
        newest: dict[ModelKind, Run] = {}
        for run in _group_with_most_kinds(of_split, "split_hash") if of_split else []:
            newest.setdefault(_kind(run), run)
        results += [Result.read(run.info.run_id) for run in newest.values()]
        kinds = {_kind(run) for run in found if _split_label(run) == split}
        if left_out := sorted(kind.label for kind in kinds - newest.keys()):
            print(
                f"Left out, on other data or another '{split}' split: {', '.join(left_out)}.",
                flush=True,
            )
    return results


def from_file(path: Path, runs: Sequence[Result]) -> Result:
    """Predictions from elsewhere, a CSV file with ``COLUMNS``, named after the file.

    Raises ValueError, naming the file, where they are not of the test materials of one of the runs.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a table: {error}.") from error
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(missing)}.")
    test = test_part(table)
    if not np.isfinite(test["tc_pred"].to_numpy(dtype=float)).all():
        raise ValueError(f"{path} has predictions that are not numbers.")
    run = next((run for run in runs if test.index.equals(run.test.index)), None)
    if run is None:
        raise ValueError(f"{path} is not of the test materials of any of these runs.")
    if not np.allclose(test["tc"], run.test["tc"]):
        raise ValueError(f"{path} gives its materials another measured Tc than the runs.")
    known = [name for name in ("group", "family") if name in run.test]
    test = test.drop(columns=known, errors="ignore").join(run.test[known])
    kind = ModelKind(FROM_FILE, path.stem)
    return Result(
        id="",
        name=kind.label,
        kind=kind,
        dataset=run.dataset,
        split=run.split,
        split_hash=run.split_hash,
        params={"dataset_hash": run.params["dataset_hash"]},
        metrics={},
        curve={},
        comparison=pd.DataFrame(),
        bands=band_table(test["tc"].to_numpy(), test["tc_pred"].to_numpy()),
        test=test,
    )


def check_comparable(results: Sequence[Result]) -> None:
    """Raise ValueError for runs on different data, or on different splits of one kind."""
    first: dict[str, Result] = {}
    for result in results:
        other = first.setdefault(result.split, result)
        if result.params["dataset_hash"] != results[0].params["dataset_hash"]:
            raise ValueError(
                f"Runs {results[0].id} and {result.id} cannot be compared: the data differ."
            )
        if result.split_hash != other.split_hash:
            raise ValueError(
                f"Runs {other.id} and {result.id} cannot be compared: their '{result.split}' "
                "splits differ."
            )
        if not result.test.index.equals(other.test.index):
            raise ValueError(f"Runs {other.id} and {result.id} have different test materials.")


def with_unique_names(results: Sequence[Result]) -> list[Result]:
    """The same results, each once; those of one name on one split get their run's id appended.

    Raises ValueError for two tables of predictions of one name.
    """
    unique = list({(r.id, r.name, r.split): r for r in results}.values())
    counts = Counter((r.name, r.split) for r in unique)
    repeated = {name for (name, _), count in counts.items() if count > 1}
    if any(r.name in repeated and not r.id for r in unique):
        raise ValueError(f"Two tables of predictions have one name: {', '.join(sorted(repeated))}.")
    return [replace(r, name=f"{r.name} ({r.id[:8]})") if r.name in repeated else r for r in unique]


def model_location(result: Result) -> str:
    """The URI of the run's logged model, or the folder of the predictor that it logged instead.

    Of a run with folds, the model of the first fold. Raises ValueError where there is none, as in
    ensembles of folds.
    """
    if result.has_folds:
        first, _, _ = result.fold_runs.partition(",")
        if not first:
            raise ValueError("its folds made no model")
        return f"runs:/{first}/model"
    if any(item.path == "predictor" for item in mlflow.MlflowClient().list_artifacts(result.id)):
        return str(predictor_folder(result.id))
    return f"runs:/{result.id}/model"


def predictor_folder(run_id: str) -> Path:
    """The folder of a run's predictor, downloaded. Raises ValueError where it has none."""
    failures = []
    for uri in (f"runs:/{run_id}/model", f"runs:/{run_id}/predictor"):
        try:
            root = download(uri)
        except (MlflowException, OSError) as error:
            failures.append(one_line(error))  # a run has only one of the two
            continue
        for config in sorted(root.rglob(CONFIG_FILE)):
            if "predictor" in (config.parent.name, root.name):
                return config.parent
    reasons = f" ({'; '.join(failures)})" if failures else ""
    raise ValueError(f"Run {run_id} has no predictor that can be downloaded{reasons}.")


def test_part(predictions: pd.DataFrame) -> pd.DataFrame:
    """The test rows, sorted by material_id."""
    return predictions[predictions["split"] == "test"].set_index("material_id").sort_index()


def _evaluated_runs() -> list[Run]:
    """All runs of Tc that can be compared, the newest first."""
    found = mlflow.search_runs(
        filter_string="attributes.status = 'FINISHED' and metrics.test_mae >= 0",
        order_by=["attributes.start_time DESC"],
        output_format="list",
        search_all_experiments=True,
    )
    return [run for run in found if _is_evaluated(run) and QUANTITY_TAG not in run.data.tags]


def _is_evaluated(run: Run) -> bool:
    data = run.data
    return (
        run.info.status == "FINISHED"
        and run.info.lifecycle_stage == "active"
        and "test_mae" in data.metrics
        and bool(model_family_of(data.tags))
        and FOLD_TAG not in data.tags
        and {"split", "dataset"} <= data.tags.keys()
        and {"dataset_hash", "split_hash"} <= data.params.keys()
    )


def _kind(run: Run) -> ModelKind:
    return ModelKind.of(run.data.tags, used_params(run))


def _split_label(run: Run) -> str:
    """The kind of a run's split, and the number of its folds: ``novel``, ``novel, 5 folds``."""
    split, folds = run.data.tags["split"], used_params(run).get("folds", "1")
    return split if folds == "1" else f"{split}, {folds} folds"


def _split_order(label: str) -> tuple[int, str]:
    kind = label.partition(",")[0]
    return SPLIT_KINDS.index(kind) if kind in SPLIT_KINDS else len(SPLIT_KINDS), label


def _group_with_most_kinds(runs: Sequence[Run], hash_param: str) -> list[Run]:
    """Of runs in groups of one hash, newest first, the group with the most kinds of models.

    A group with a full run comes before one where all have a ``limit``.
    """
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.data.params[hash_param]].append(run)

    def key(group: Sequence[Run]) -> tuple[bool, int]:
        full = any(used_params(run).get("limit", "0") in ("0", "0.0") for run in group)
        return full, len({_kind(run) for run in group})

    return max(groups.values(), key=key)
