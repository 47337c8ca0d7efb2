"""Train the baseline: trees on the composition alone, in seconds.

mlflow run . -e train_composition --env-manager local
python -m entrypoints.train_composition --dataset 3dsc --data 3DSC_MP.tar.xz --split family
"""

from typing import Annotated

import typer

from entrypoints.options import (
    ConfigOption,
    DataOption,
    DatasetOption,
    LimitOption,
    LossOption,
    RegisterOption,
    SplitOption,
    TargetOption,
    chosen,
    experiment_of,
    train_where,
)
from supervision.experiment.spec import Experiment
from supervision.models.composition.family import composition_setup
from supervision.models.composition.predictor import CompositionConfig
from supervision.models.setup import ModelSetup

app = typer.Typer(add_completion=False)


@app.command()
def main(
    dataset: DatasetOption = "classics",
    data: DataOption = "",
    split: SplitOption = "random",
    model: Annotated[str, typer.Option(help="extra_trees or boosting")] = "extra_trees",
    trees: Annotated[int, typer.Option(help="trees, or rounds of boosting")] = 300,
    max_features: Annotated[float, typer.Option(help="share that a split chooses from")] = 0.3,
    leaf: Annotated[int, typer.Option(help="least structures in a leaf")] = 1,
    target: TargetOption = "sqrt",
    config: ConfigOption = "",
    limit: LimitOption = 0,
    seed: Annotated[int, typer.Option(help="of split and trees")] = 42,
    register: RegisterOption = "true",
    allow_loss: LossOption = "false",
) -> None:
    """Train on compositions and log, judge and register the result."""

    def make() -> tuple[ModelSetup, Experiment]:
        experiment = experiment_of(
            register,
            allow_loss,
            dataset=dataset,
            data=data,
            split=split,
            limit=limit,
            seed=seed,
        )
        shape = CompositionConfig(
            model=model,
            trees=trees,
            max_features=max_features,
            leaf=leaf,
            target=target,
            seed=seed,
        )
        return composition_setup(*chosen(config, "composition", shape)), experiment

    train_where("", f"composition · {dataset}", make)


if __name__ == "__main__":
    app()
