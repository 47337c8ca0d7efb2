"""Test a model that never saw the data set, and say why it transfers or not.

mlflow run . -e eval_zero_shot --env-manager local -P source=jarvis_supercon
python -m entrypoints.eval_zero_shot --source jv_supercon_tc_alignn --split family
"""

import json
from collections.abc import Sequence
from dataclasses import replace
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
    run_cli,
)
from supervision.data.crystals import Crystal, Reject
from supervision.data.featurize import featurize
from supervision.models.graph.config import GraphConfig
from supervision.models.graph.featurize import graphs
from supervision.models.graph.predictor import GraphPredictor
from supervision.models.graph.published import PublishedModel
from supervision.models.neural import MODEL_FILE, NeuralPredictor, count_parameters
from supervision.models.predictor import MADE_FROM, load_predictor
from supervision.models.setup import WeightsInfo
from supervision.models.weights import GraphWeights, WeightsError, get_weights, row_of
from supervision.models.weights.sources import sha256_of
from supervision.runtime.device import pick_device
from supervision.training.state import FitConfig
from tracking import runs
from tracking.zero_shot import (
    Source,
    evaluate,
    known_from,
    not_trained_on,
    taught_by,
)

app = typer.Typer(add_completion=False)

TAUGHT = "jarvis_supercon"


@app.command()
def main(
    source: Annotated[
        str, typer.Option(help=f"{TAUGHT}, published weights, name:file, or a saved predictor")
    ] = TAUGHT,
    source_data: Annotated[
        str, typer.Option(help="a local copy of what the source learned from")
    ] = "",
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
            opened = _saved(Path(source).expanduser(), device)
        else:
            opened = _published(source, source_data, device)
        evaluate(opened, experiment, prepare_graphs)

    run_cli(runs.tracked_run("zero-shot")(run))


def prepare_graphs(crystals: Sequence[Crystal]) -> Sequence[Reject]:
    """What has no graph, and why: the same materials are judged whatever the source."""
    return featurize(graphs(), crystals)[1]


def _taught(data: str, fit_config: FitConfig, seed: int, device: str) -> Source:
    """ALIGNN on fresh weights, taught the JARVIS materials and nothing else."""
    fetched = get_weights("none", "graph")
    predictor = GraphPredictor(GraphConfig(seed=seed), fetched, fit_config, device=device)
    teach = taught_by(predictor, TAUGHT, data, prepare_graphs, seed)
    return Source(TAUGHT, predictor, predictor.settings(), WeightsInfo.of(fetched), teach)


def _published(name: str, data: str, device: str) -> Source:
    """Weights that others published, or a checkpoint of their class, as they are."""
    fetched = get_weights(name, "graph")
    row = fetched.row
    if not fetched.pretrained or not isinstance(row, GraphWeights) or row.predicts != "Tc":
        what = getattr(row, "predicts", "nothing") if fetched.pretrained else "nothing yet"
        raise WeightsError(f"source={name} predicts {what}; a source must predict Tc.")
    if device not in ("auto", "cpu"):
        raise ValueError(f"device={device}: published models are read by DGL on the CPU.")
    print(fetched.message, flush=True)
    row_name, _, file = name.partition(":")
    shown = f"{row_name} ({Path(file).name})" if file else row_name
    teach = known_from(row.learned_from, data, prepare_graphs)
    return Source(shown, PublishedModel(fetched), {}, WeightsInfo.of(fetched), teach)


def _saved(folder: Path, device: str) -> Source:
    """A predictor that this project saved, made from another data set."""
    predictor = load_predictor(folder)
    made_from = _read(folder / MADE_FROM)
    shown = f"{predictor.model_family} {made_from['run_id'][:8]}" if made_from else folder.name
    origin = WeightsInfo(source=str(folder), choice="A predictor that was saved.")
    if isinstance(predictor, NeuralPredictor):
        predictor.device = pick_device(device)
        predictor.size = count_parameters(predictor.model)
        row = row_of(str(predictor.weights["name"]), predictor.model_family)
        origin = replace(
            origin,
            weights=shown,
            hash=sha256_of(folder / MODEL_FILE),
            license=row.license if predictor.weights["sha256"] else "none",
            pretrained=True,
        )
    return Source(shown, predictor, {}, origin, not_trained_on(made_from, shown))


def _read(path: Path) -> dict:
    return json.loads(path.read_text()) if path.is_file() else {}


if __name__ == "__main__":
    app()
