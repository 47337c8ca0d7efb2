"""Finished runs, read back from the tracking store to be compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from supervision.predictor import CONFIG_FILE

SAME = ("dataset_hash", "split_hash")  # what runs must share to be judged side by side
ADAPTED = {"lora": "LoRA", "linear": "head alone", "full": "fine-tuned"}


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
    pipeline: str
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
        """Raises ValueError for a run that is not finished, or was not judged."""
        client = mlflow.MlflowClient()
        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            raise ValueError(f"Run '{run_id}' is not in {mlflow.get_tracking_uri()}.") from error
        if run.info.status != "FINISHED" or "test_mae" not in run.data.metrics:
            raise ValueError(f"Run {run_id} is {run.info.status} and not a model judged on test.")
        history = client.get_metric_history(run_id, "val_mae")
        return cls(
            id=run_id,
            name=name_of(run),
            pipeline=run.data.tags["pipeline"],
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
    def adapt(self) -> str:
        """What of the backbone was trained; empty where there is none."""
        return self.params.get("adapt", "")

    @property
    def best_epoch(self) -> int:
        """The epoch that validation chose."""
        return min(self.curve, key=lambda epoch: self.curve[epoch])


def name_of(run: Run) -> str:
    """The kind of model that a run made, in words."""
    tags, params = run.data.tags, run.data.params
    pipeline = tags["pipeline"]
    if pipeline == "zero_shot":
        return f"zero-shot: {tags['source']}"
    if pipeline == "composition":
        return f"composition: {params['model'].replace('_', ' ')}"
    if tags["pretrained"] != "true":
        return f"{pipeline}: from scratch"
    return f"{pipeline}: {tags['weights']}, {ADAPTED[params['adapt']]}"


def latest(dataset: str, splits: Iterable[str]) -> list[Result]:
    """The newest finished run of each kind, on the data and the split of the newest of all.

    Raises ValueError where there is none.
    """
    results: list[Result] = []
    for split in splits:
        found = mlflow.search_runs(
            filter_string=f"tags.dataset = '{dataset}' and tags.split = '{split}' "
            "and attributes.status = 'FINISHED' and metrics.test_mae > 0",
            order_by=["attributes.start_time DESC"],
            output_format="list",
            search_all_experiments=True,
        )
        newest: dict[str, Run] = {}
        for run in found:
            if all(run.data.params.get(k) == found[0].data.params[k] for k in SAME):
                newest.setdefault(name_of(run), run)
        results += [Result.read(run.info.run_id) for run in newest.values()]
    if not results:
        raise ValueError(f"No finished run on dataset={dataset} to compare; train one first.")
    return results


def from_file(path: Path, among: Sequence[Result]) -> Result:
    """Predictions from elsewhere (``material_id, split, tc, tc_pred``), named after their file.

    Raises ValueError where they are not of the test materials of any of the runs.
    """
    test = test_part(pd.read_csv(path))
    for result in among:
        if test.index.equals(result.test.index):
            nothing = pd.DataFrame()
            return Result(
                "", path.stem.replace("_", " "), "file", result.split, result.split_hash,
                {}, {}, {}, nothing, nothing, test.assign(tc=result.test["tc"]),
            )  # fmt: skip
    raise ValueError(f"{path} is not of the test materials of any of these runs.")


def refuse_mixed(results: Sequence[Result]) -> None:
    """Raise ValueError where runs that go by one split were judged on different materials."""
    first: dict[str, Result] = {}
    for result in results:
        other = first.setdefault(result.split, result)
        for key in SAME:
            if result.params.get(key, other.params[key]) != other.params[key]:
                raise ValueError(
                    f"Runs {other.id} and {result.id} cannot be compared: their {key} differ on "
                    f"the split '{result.split}'."
                )
        if not result.test.index.equals(other.test.index):
            raise ValueError(f"Runs {other.id} and {result.id} have other test materials.")


def predictor_folder(result: Result) -> Path | None:
    """Where the run's predictor lies, downloaded; None where it kept none."""
    for place in (f"runs:/{result.id}/model", f"runs:/{result.id}/predictor"):
        try:
            root = Path(mlflow.artifacts.download_artifacts(place))
        except (MlflowException, OSError):
            continue
        for config in sorted(root.rglob(CONFIG_FILE)):
            if "predictor" in (config.parent.name, root.name):
                return config.parent
    return None


def _table(run_id: str, name: str) -> pd.DataFrame:
    return pd.read_csv(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=name))


def test_part(predictions: pd.DataFrame) -> pd.DataFrame:
    """The test rows, by material_id in order."""
    return predictions[predictions["split"] == "test"].set_index("material_id").sort_index()
