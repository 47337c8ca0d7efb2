"""Train the vision path: pictures of crystals, a DINO vision transformer, LoRA.

mlflow run . -e train_dino --env-manager local
python -m entrypoints.train_dino --dataset 3dsc --data 3DSC_MP.tar.xz --split family
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
    parse_bool,
    train_where,
)
from supervision.experiment.spec import Experiment
from supervision.models.setup import ModelSetup
from supervision.models.vision.config import VisionConfig
from supervision.models.vision.family import PRESETS, Preset, vision_setup
from supervision.training.state import FitConfig

app = typer.Typer(add_completion=False)


@app.command()
def main(
    dataset: DatasetOption = "classics",
    data: DataOption = "",
    split: SplitOption = "random",
    weights: Annotated[str, typer.Option(help="auto, none, a name, or name:file")] = "auto",
    epochs: EpochsOption = "auto",
    batch_size: Annotated[str, typer.Option(help="pictures a step, or auto")] = "auto",
    learning_rate: Annotated[str, typer.Option(help="peak learning rate, or auto")] = "auto",
    lora_rank: Annotated[int, typer.Option(help="rank of the LoRA matrices")] = 16,
    lora_blocks: Annotated[int, typer.Option(help="last blocks that LoRA adapts; 0: all")] = 6,
    adapt: Annotated[str, typer.Option(help="lora, linear (head only) or full")] = "lora",
    views: Annotated[str, typer.Option(help="views a structure, 1 to 18, or auto")] = "auto",
    background: Annotated[str, typer.Option(help="read patches that show nothing, too")] = "false",
    patience: PatienceOption = "auto",
    target: TargetOption = "sqrt",
    config: ConfigOption = "",
    limit: LimitOption = 0,
    seed: Annotated[int, typer.Option(help="of split, views, order and weights")] = 42,
    device: DeviceOption = "auto",
    register: RegisterOption = "true",
    allow_loss: LossOption = "false",
    checkpoint_dir: CheckpointsOption = "",
    resume: ResumeOption = "auto",
    parallel: ParallelOption = "false",
    torchrun: TorchrunOption = "",
    out: OutOption = "",
) -> None:
    """Train on pictures of crystals and log, judge and register the result."""

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
        shape = VisionConfig(
            adapt=adapt,
            lora_rank=lora_rank,
            lora_alpha=2 * lora_rank,
            lora_blocks=lora_blocks,
            batch_size=parse_auto(batch_size, 64 if adapt == "linear" else 8, "batch_size"),
            views=parse_auto(views, preset.views, "views"),
            background=parse_bool(background, "background"),
            target=target,
            seed=seed,
        )
        # A head alone does not put a backbone at risk: it trains at the rate it is begun with.
        rate = shape.head_learning_rate if adapt == "linear" else preset.learning_rate
        way = FitConfig(
            epochs=parse_auto(epochs, preset.epochs, "epochs"),
            learning_rate=parse_auto(learning_rate, rate, "learning_rate"),
            patience=parse_auto(patience, preset.patience, "patience"),
        )
        configs = chosen(config, "vision", shape, way)
        return vision_setup(weights, device, *configs), experiment

    train_where(out, f"vision · {dataset}", make, torchrun=torchrun)


if __name__ == "__main__":
    app()
