"""Train the graph path: crystals as graphs, ALIGNN, a head.

mlflow run . -e train_alignn --env-manager local
python -m entrypoints.train_alignn --dataset 3dsc --data 3DSC_MP.tar.xz --split family
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer

from entrypoints.options import (
    CheckpointsOption,
    DataOption,
    DatasetOption,
    DeviceOption,
    EpochsOption,
    LimitOption,
    LossOption,
    OutOption,
    ParallelOption,
    PatienceOption,
    RegisterOption,
    ResumeOption,
    SplitOption,
    TargetOption,
    TorchrunOption,
    experiment_of,
    given,
    train_where,
)
from supervision.crystals import Crystal, Material, Reject
from supervision.descent import FitConfig
from supervision.experiment import Experiment
from supervision.graph.config import GraphConfig
from supervision.graph.predictor import GraphPredictor
from supervision.prepared import prepare
from supervision.road import Pipeline
from supervision.weights import get_weights

app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Preset:
    """The values behind ``auto``."""

    epochs: int = 200
    patience: int = 20


PRESETS = {"classics": Preset(epochs=40, patience=10)}


@app.command()
def main(
    dataset: DatasetOption = "classics",
    data: DataOption = "",
    split: SplitOption = "random",
    weights: Annotated[str, typer.Option(help="auto, none, a name, or name:file")] = "auto",
    epochs: EpochsOption = "auto",
    batch_size: Annotated[int, typer.Option(help="materials a step")] = 32,
    learning_rate: Annotated[float, typer.Option(help="of ALIGNN")] = 1e-5,
    head_rate: Annotated[float, typer.Option(help="of the head; 0: the same")] = 1e-3,
    schedule: Annotated[str, typer.Option(help="plateau or cosine")] = "plateau",
    adapt: Annotated[str, typer.Option(help="full, or linear (head only)")] = "full",
    backend: Annotated[str, typer.Option(help="pure, or dgl (alignn's reference, slow)")] = "pure",
    angle_budget: Annotated[int, typer.Option(help="angles in memory at once")] = 40_000,
    patience: PatienceOption = "auto",
    target: TargetOption = "sqrt",
    limit: LimitOption = 0,
    seed: Annotated[int, typer.Option(help="of split, order and weights")] = 42,
    device: DeviceOption = "auto",
    register: RegisterOption = "true",
    allow_loss: LossOption = "false",
    checkpoint_dir: CheckpointsOption = "",
    resume: ResumeOption = "auto",
    parallel: ParallelOption = "false",
    torchrun: TorchrunOption = "",
    out: OutOption = "",
) -> None:
    """Train on graphs of crystals and log, judge and register the result."""

    def make() -> tuple[Pipeline, Experiment]:
        experiment = experiment_of(
            register,
            allow_loss,
            parallel,
            dataset=dataset,
            data=data,
            split=split,
            limit=limit,
            seed=seed,
            checkpoint_dir=checkpoint_dir,
            resume=resume,
        )
        preset = PRESETS.get(experiment.dataset, Preset())
        config = GraphConfig(
            adapt=adapt,
            backend=backend,
            batch_size=batch_size,
            angle_budget=angle_budget,
            target=target,
            seed=seed,
        )
        fit_config = FitConfig(
            epochs=given(epochs, preset.epochs, "epochs"),
            learning_rate=learning_rate,
            head_rate=head_rate,
            schedule=schedule,
            patience=given(patience, preset.patience, "patience"),
        )
        return _pipeline(config, fit_config, weights, device), experiment

    train_where(out, f"graph · {dataset}", make, torchrun=torchrun)


def _pipeline(config: GraphConfig, fit_config: FitConfig, weights: str, device: str) -> Pipeline:
    fetched = get_weights(weights, "graph")
    print(fetched.message, flush=True)
    predictor = GraphPredictor(config, fetched, fit_config, device=device)

    def prepare_graphs(crystals: Sequence[Crystal]) -> Sequence[Reject]:
        return prepare(predictor.graphs, crystals)[1]

    def pictures(_materials: Sequence[Material]) -> Mapping[str, np.ndarray]:
        return {}

    return Pipeline.of_network(predictor, fetched, prepare_graphs, pictures)


if __name__ == "__main__":
    app()
