"""Train the baseline: trees on the composition alone, in seconds.

mlflow run . -e train_composition --env-manager local
python -m entrypoints.train_composition --dataset 3dsc --data 3DSC_MP.tar.xz --split family
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated

import numpy as np
import typer

from entrypoints.options import (
    DataOption,
    DatasetOption,
    LimitOption,
    LossOption,
    RegisterOption,
    SplitOption,
    TargetOption,
    experiment_of,
    train_where,
)
from supervision.composition.predictor import (
    CompositionConfig,
    CompositionPredictor,
)
from supervision.composition.prepare import COMPOSITIONS, FEATURE_VERSION
from supervision.crystals import Crystal, Material, Reject
from supervision.experiment import Experiment, Origin
from supervision.prepared import prepare
from supervision.road import Pipeline

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
    limit: LimitOption = 0,
    seed: Annotated[int, typer.Option(help="of split and trees")] = 42,
    register: RegisterOption = "true",
    allow_loss: LossOption = "false",
) -> None:
    """Train on compositions and log, judge and register the result."""

    def make() -> tuple[Pipeline, Experiment]:
        experiment = experiment_of(
            register,
            allow_loss,
            dataset=dataset,
            data=data,
            split=split,
            limit=limit,
            seed=seed,
        )
        config = CompositionConfig(
            model=model,
            trees=trees,
            max_features=max_features,
            leaf=leaf,
            target=target,
            seed=seed,
        )
        return _pipeline(config), experiment

    train_where("", f"composition · {dataset}", make)


def _pipeline(config: CompositionConfig) -> Pipeline:
    predictor = CompositionPredictor(config)

    def prepare_compositions(crystals: Sequence[Crystal]) -> Sequence[Reject]:
        return prepare(COMPOSITIONS, crystals)[1]

    def pictures(_materials: Sequence[Material]) -> Mapping[str, np.ndarray]:
        return {}

    return Pipeline(
        name=predictor.pipeline,
        predictor=predictor,
        settings=asdict(config) | {"feature_version": FEATURE_VERSION},
        prepare=prepare_compositions,
        pictures=pictures,
        variant=config.model,
        origin=Origin(choice="Trees have no weights to begin from."),
        resumable=False,
    )


if __name__ == "__main__":
    app()
