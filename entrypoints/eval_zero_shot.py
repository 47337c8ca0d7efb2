"""Test a model that never saw the data set, and say why it transfers or not.

mlflow run . -e eval_zero_shot --env-manager local -P source=jarvis_supercon
python -m entrypoints.eval_zero_shot --source jv_supercon_tc_alignn --split family
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from entrypoints.options import (
    DataOption,
    DatasetOption,
    DeviceOption,
    LimitOption,
    LossOption,
    SplitOption,
    experiment_of,
    speak,
)
from supervision.crystals import Crystal, Material, Reject
from supervision.graph.config import GraphConfig
from supervision.graph.predictor import GraphPredictor
from supervision.graph.prepare import graphs
from supervision.graph.published import PublishedModel
from supervision.predictor import CONFIG_FILE, load_predictor
from supervision.prepared import prepare
from supervision.training import FitConfig
from supervision.weights import GraphWeights, WeightsError, get_weights
from tracking import runs
from tracking.experiment import Origin
from tracking.zero_shot import Lesson, Source, evaluate, taught_by

app = typer.Typer(add_completion=False)

TAUGHT = "jarvis_supercon"
MADE_FROM = "made_from.json"


@app.command()
def main(
    source: Annotated[
        str, typer.Option(help=f"{TAUGHT}, published weights, name:file, or a saved predictor")
    ] = TAUGHT,
    source_data: Annotated[str, typer.Option(help="jarvis_supercon: a local copy")] = "",
    dataset: DatasetOption = "3dsc",
    data: DataOption = "",
    split: SplitOption = "random",
    epochs: Annotated[int, typer.Option(help="of a source that is trained here")] = 60,
    learning_rate: Annotated[float, typer.Option(help="of a source that is trained here")] = 1e-3,
    limit: LimitOption = 0,
    seed: Annotated[int, typer.Option(help="of splits, order and weights")] = 42,
    device: DeviceOption = "auto",
    allow_loss: LossOption = "false",
) -> None:
    """Judge a model from elsewhere on the test materials of a data set."""

    def run() -> None:
        experiment = experiment_of(
            "false", allow_loss, dataset=dataset, data=data, split=split, limit=limit, seed=seed
        )
        if source == TAUGHT:
            fit_config = FitConfig(epochs=epochs, learning_rate=learning_rate, patience=epochs)
            opened = _taught(source_data, fit_config, seed, device)
        elif Path(source).expanduser().is_dir():
            opened = _saved(Path(source).expanduser(), dataset)
        else:
            opened = _published(source)
        evaluate(opened, experiment, prepare_graphs)

    speak(runs.tracked_run(f"zero-shot · {source}")(run))


def prepare_graphs(crystals: Sequence[Crystal]) -> Sequence[Reject]:
    """What has no graph, and why: the same materials are judged whatever the source."""
    return prepare(graphs(), crystals)[1]


def _taught(data: str, fit_config: FitConfig, seed: int, device: str) -> Source:
    """ALIGNN on fresh weights, taught the JARVIS materials and nothing else."""
    fetched = get_weights("none", "graph")
    predictor = GraphPredictor(GraphConfig(seed=seed), fetched, fit_config, device=device)
    teach = taught_by(predictor, TAUGHT, data, prepare_graphs, seed)
    return Source(TAUGHT, predictor, predictor.settings(), Origin.of(fetched), teach)


def _published(name: str) -> Source:
    """Weights that others published, or a checkpoint of their class, as they are."""
    fetched = get_weights(name, "graph")
    row = fetched.row
    if not fetched.pretrained or not isinstance(row, GraphWeights) or row.predicts != "Tc":
        what = getattr(row, "predicts", "nothing") if fetched.pretrained else "nothing yet"
        raise WeightsError(f"source={name} predicts {what}; a source must predict Tc.")
    print(fetched.message, flush=True)
    return Source(name, PublishedModel(fetched), {}, Origin.of(fetched), _not_known)


def _saved(folder: Path, dataset: str) -> Source:
    """A predictor that this project saved, made from another data set."""
    predictor = load_predictor(folder)
    made_from = _read(folder / MADE_FROM)
    if made_from.get("dataset") == dataset:
        raise ValueError(f"source={folder} was trained on {dataset} itself.")
    weights = _read(folder / CONFIG_FILE).get("weights", {})
    origin = Origin(weights=folder.name, source=str(folder), hash=str(weights.get("sha256", "")))
    return Source(folder.name, predictor, {}, origin, _not_known)


def _read(path: Path) -> dict:
    return json.loads(path.read_text()) if path.is_file() else {}


def _not_known(_tested: Sequence[Material]) -> Lesson:
    return Lesson()


if __name__ == "__main__":
    app()
