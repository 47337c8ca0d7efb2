"""FinishedRun runs, read back from the tracking store to be compared."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from supervision.evaluation.metrics import band_table
from supervision.models.predictor import CONFIG_FILE
from supervision.runtime.errors import one_line
from tracking.serving.downloads import download

ADAPTED = {"lora": "LoRA", "linear": "head alone", "full": "fine-tuned"}
COLUMNS = ("material_id", "split", "tc", "tc_pred")


@dataclass(frozen=True)
class Result:
    """A finished run, or a table of predictions from elsewhere.

    Attributes:
        name: what kind of model it is, the same for every run of that kind.
        curve: validation MAE by epoch; empty where nothing was trained by gradients.
        comparison: the model and the nulls on test; empty for predictions from elsewhere.
        test: tc and tc_pred of the test materials, by material_id in order.
    """

    id: str
    name: str
    model_family: str
    split: str
    split_hash: str
    params: dict[str, str]
    metrics: dict[str, float]
    curve: dict[int, float]
    comparison: pd.DataFrame
    bands: pd.DataFrame
    test: pd.DataFrame

    @classmethod
    def read(cls, run_id: str) -> "Result":
        """Raises ValueError for a run that is not there, not finished, or was not judged."""
        client = mlflow.MlflowClient()
        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            raise ValueError(f"Run '{run_id}' is not in {mlflow.get_tracking_uri()}.") from error
        if not _judged(run):
            raise ValueError(f"Run {run_id} is no finished model of this project, judged on test.")
        history = client.get_metric_history(run_id, "val_mae")
        return cls(
            id=run_id,
            name=name_of(run),
            model_family=run.data.tags["model_family"],
            split=run.data.tags["split"],
            split_hash=run.data.params["split_hash"],
            params=run.data.params,
            metrics=run.data.metrics,
            curve={m.step: m.value for m in history} if len(history) > 1 else {},
            comparison=_table(run_id, "comparison.csv"),
            bands=_table(run_id, "bands.csv"),
            test=test_part(_table(run_id, "predictions.csv")),
        )

    @property
    def best_epoch(self) -> int:
        """The epoch that validation chose."""
        return min(self.curve, key=lambda epoch: self.curve[epoch])


def _judged(run: Run) -> bool:
    data = run.data
    return (
        run.info.status == "FINISHED"
        and run.info.lifecycle_stage == "active"
        and "test_mae" in data.metrics
        and {"model_family", "split", "dataset"} <= data.tags.keys()
        and {"dataset_hash", "split_hash"} <= data.params.keys()
    )


def name_of(run: Run) -> str:
    """The kind of model that a run made, in words."""
    tags, params = run.data.tags, run.data.params
    model_family = tags["model_family"]
    if model_family == "zero_shot":
        return f"zero-shot: {tags['source']}"
    if model_family == "composition":
        return f"composition: {params['model'].replace('_', ' ')}"
    if tags["pretrained"] == "true":
        return f"{model_family}: {tags['weights']}, {ADAPTED[params['adapt']]}"
    alone = ", head alone" if params["adapt"] == "linear" else ""
    return f"{model_family}: from scratch{alone}"


def latest(dataset: str, splits: Iterable[str]) -> list[Result]:
    """The newest run of each kind, all on the same data, those of a split on the same split.

    Full runs go before those with a ``limit``; of several versions of the data or of a split, the
    one that more kinds of models were made on is taken, and what was left out is said. Raises
    ValueError where there is nothing.
    """
    found = mlflow.search_runs(
        filter_string="attributes.status = 'FINISHED' and metrics.test_mae >= 0",
        order_by=["attributes.start_time DESC"],
        output_format="list",
        search_all_experiments=True,
    )
    found = [run for run in found if _judged(run) and run.data.tags["dataset"] == dataset]
    if not found:
        raise ValueError(f"No finished run on dataset={dataset} to compare; train one first.")
    same_data = _largest(found, "dataset_hash")
    results: list[Result] = []
    for split in splits:
        of_split = [run for run in same_data if run.data.tags["split"] == split]
        newest: dict[str, Run] = {}
        for run in _largest(of_split, "split_hash") if of_split else []:
            newest.setdefault(name_of(run), run)
        results += [Result.read(run.info.run_id) for run in newest.values()]
        left = {name_of(run) for run in found if run.data.tags["split"] == split} - newest.keys()
        if left:
            print(f"On other data or another '{split}' split, so left out: {', '.join(left)}.")
    return results


def _largest(runs: Sequence[Run], key: str) -> list[Run]:
    """Of runs in groups of one hash, newest first, the group with the most kinds of models."""
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.data.params[key]].append(run)

    def worth(group: Sequence[Run]) -> tuple[bool, int]:
        full = any(run.data.params.get("limit", "0") in ("0", "0.0") for run in group)
        return full, len({name_of(run) for run in group})

    return max(groups.values(), key=worth)


def from_file(path: Path, among: Sequence[Result]) -> Result:
    """Predictions from elsewhere (columns COLUMNS), named after their file.

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
    for result in among:
        if test.index.equals(result.test.index):
            if not np.allclose(test["tc"], result.test["tc"]):
                raise ValueError(f"{path} gives its materials another measured Tc than the runs.")
            params = {"dataset_hash": result.params["dataset_hash"]}
            bands = band_table(test["tc"].to_numpy(), test["tc_pred"].to_numpy())
            return Result(
                "", path.stem.replace("_", " "), "file", result.split, result.split_hash, params,
                {}, {}, pd.DataFrame(), bands, test,
            )  # fmt: skip
    raise ValueError(f"{path} is not of the test materials of any of these runs.")


def require_comparable(results: Sequence[Result]) -> None:
    """Raise ValueError for runs on different data, or on different splits of one kind."""
    first: dict[str, Result] = {}
    for result in results:
        other = first.setdefault(result.split, result)
        pairs = {
            "the data differ": (result.params["dataset_hash"], results[0].params["dataset_hash"]),
            f"their '{result.split}' splits differ": (result.split_hash, other.split_hash),
        }
        for what, (ours, theirs) in pairs.items():
            if ours != theirs:
                raise ValueError(
                    f"Runs {results[0].id if 'data' in what else other.id} and {result.id} cannot "
                    f"be compared: {what}."
                )
        if not result.test.index.equals(other.test.index):
            raise ValueError(f"Runs {other.id} and {result.id} have other test materials.")


def disambiguate(results: Sequence[Result]) -> list[Result]:
    """The same results, each once; of those with one name on one split, with their run's id."""
    unique = list({(r.id, r.name, r.split): r for r in results}.values())
    named = defaultdict(list)
    for result in unique:
        named[result.name, result.split].append(result)
    twice = {name for (name, _), group in named.items() if len(group) > 1}
    if any(result.name in twice and not result.id for result in unique):
        raise ValueError(f"Two tables of predictions have one name: {', '.join(sorted(twice))}.")
    return [replace(r, name=f"{r.name} ({r.id[:8]})") if r.name in twice else r for r in unique]


def model_place(result: Result) -> str:
    """The run's logged model, by its URI, or the folder of the predictor that it kept instead."""
    if any(item.path == "predictor" for item in mlflow.MlflowClient().list_artifacts(result.id)):
        return str(predictor_folder(result))
    return f"runs:/{result.id}/model"


def predictor_folder(result: Result) -> Path:
    """Where the run's predictor lies, downloaded. Raises ValueError where it has none."""
    failures = []
    for place in (f"runs:/{result.id}/model", f"runs:/{result.id}/predictor"):
        try:
            root = download(place)
        except (MlflowException, OSError) as error:
            failures.append(one_line(error))  # perhaps only that it is not under this name
            continue
        for config in sorted(root.rglob(CONFIG_FILE)):
            if "predictor" in (config.parent.name, root.name):
                return config.parent
    why = f" ({'; '.join(failures)})" if failures else ""
    raise ValueError(f"Run {result.id} has no predictor that can be had{why}.")


def _table(run_id: str, name: str) -> pd.DataFrame:
    try:
        return pd.read_csv(StringIO(mlflow.artifacts.load_text(f"runs:/{run_id}/{name}")))
    except (MlflowException, OSError, ValueError) as error:
        raise ValueError(f"Run {run_id} has no {name} that can be read.") from error


def test_part(predictions: pd.DataFrame) -> pd.DataFrame:
    """The test rows, by material_id in order."""
    return predictions[predictions["split"] == "test"].set_index("material_id").sort_index()
