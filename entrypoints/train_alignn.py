"""Train the graph path: crystals as graphs, ALIGNN, a head.

mlflow run . -e train_alignn --env-manager local
python -m entrypoints.train_alignn --dataset 3dsc --data 3DSC_MP.tar.xz --split family
"""

from typing import Annotated

import typer

from entrypoints.options import (
    CheckpointsOption,
    ConfigOption,
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
    chosen,
    experiment_of,
    parse_auto,
    train_where,
)
from supervision.experiment.spec import Experiment
from supervision.models.graph.config import GraphConfig
from supervision.models.graph.family import PRESETS, Preset, graph_setup
from supervision.models.setup import ModelSetup
from supervision.training.state import FitConfig

app = typer.Typer(add_completion=False)


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
    trained_layers: Annotated[int, typer.Option(help="the last ones, by full; 0: all")] = 0,
    neighbours: Annotated[int, typer.Option(help="an atom has; 0: as the weights learned")] = 0,
    angle_budget: Annotated[int, typer.Option(help="angles in memory at once")] = 40_000,
    patience: PatienceOption = "auto",
    target: TargetOption = "sqrt",
    config: ConfigOption = "",
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

    def make() -> tuple[ModelSetup, Experiment]:
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
        shape = GraphConfig(
            adapt=adapt,
            backend=backend,
            trained_layers=trained_layers,
            neighbours=neighbours,
            batch_size=batch_size,
            angle_budget=angle_budget,
            target=target,
            seed=seed,
        )
        way = FitConfig(
            epochs=parse_auto(epochs, preset.epochs, "epochs"),
            learning_rate=learning_rate,
            head_rate=head_rate,
            schedule=schedule,
            patience=parse_auto(patience, preset.patience, "patience"),
        )
        configs = chosen(config, "graph", shape, way)
        return graph_setup(weights, device, *configs), experiment

    train_where(out, f"graph · {dataset}", make, torchrun=torchrun)


if __name__ == "__main__":
    app()
