"""Write a data set with all that is to be prepared of it into one file, to be trained on elsewhere.

python -m entrypoints.prepare --dataset 3dsc --model_family vision --out 3dsc-vision.zip
python -m entrypoints.prepare --dataset 3dsc --model_family graph --weights auto --out 3dsc-graph.zip
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from entrypoints.options import (
    DataOption,
    DatasetOption,
    LimitOption,
    LossOption,
    parse_bool,
    run_cli,
)
from supervision.data.archive import Archive, DatasetSpec, write_archive
from supervision.data.crystals import Crystal, Reject
from supervision.data.featurize import Featurised, Featurizer, featurize
from supervision.data.splits import KINDS, make_split
from supervision.experiment.spec import Experiment, load_materials
from supervision.models.graph.predictor import graph_featurizer_for
from supervision.models.vision.config import VisionConfig
from supervision.models.vision.featurize import scene_featurizer
from supervision.models.weights import Fetched, get_weights

app = typer.Typer(add_completion=False)
TRAINED_BY = {"vision": "train_dino", "graph": "train_alignn"}


@app.command()
def main(
    dataset: DatasetOption = "classics",
    data: DataOption = "",
    model_family: Annotated[str, typer.Option(help="vision or graph")] = "vision",
    split: Annotated[str, typer.Option(help="kinds of splits, commas between")] = ",".join(KINDS),
    weights: Annotated[str, typer.Option(help="put these beside it: auto, a name, none")] = "none",
    limit: LimitOption = 0,
    seed: Annotated[int, typer.Option(help="of the splits and of the training")] = 42,
    allow_loss: LossOption = "false",
    out: Annotated[str, typer.Option(help="the file to write (.zip)")] = "",
) -> None:
    """Featurize a data set here, to train on it there."""

    def run() -> None:
        made = DatasetSpec(dataset, data, limit, seed, parse_bool(allow_loss, "allow_loss"))
        if model_family not in TRAINED_BY:
            raise ValueError(
                f"model_family '{model_family}' is not one of {', '.join(TRAINED_BY)}."
            )
        path = Path(out or f"{model_family}.zip").expanduser()
        if path.suffix != ".zip":
            raise ValueError(f"out={out} must end in .zip.")
        fetched = get_weights(weights, model_family)
        _write(path, made, model_family, [kind.strip() for kind in split.split(",")], fetched)

    run_cli(run)


def _write(
    path: Path, made: DatasetSpec, model_family: str, kinds: Sequence[str], fetched: Fetched
) -> None:
    recipe: Featurizer[Any] = (
        graph_featurizer_for(fetched)
        if model_family == "graph"
        else scene_featurizer(VisionConfig().bonding)
    )
    results: dict[str, Featurised] = {}

    def prepare_them(crystals: Sequence[Crystal]) -> Sequence[Reject]:
        found, rejects = featurize(recipe, crystals)
        results.update(found)
        return rejects

    experiments = [Experiment(**vars(made), split=kind) for kind in kinds]
    found, materials = load_materials(experiments[0], prepare_them, lambda rejects: None)
    splits = {kind: make_split(materials, kind, seed=made.seed) for kind in kinds}
    write_archive(path, Archive(made, found, materials, splits), recipe.name, results)
    print(
        f"{path}: {path.stat().st_size / 1e6:.1f} MB, {found.name}, {len(materials)} materials, "
        f"{len(found.crystals)} structures, {len(found.rejects)} rejected, {recipe.name}, "
        f"split(s) {', '.join(splits)}."
    )
    for reject in found.rejects:
        print(f"Rejected: {reject.name}: {reject.reason}")
    print(f"Train on it: {_command(path, made, model_family, kinds[0], fetched)}")


def _command(path: Path, made: DatasetSpec, model_family: str, split: str, fetched: Fetched) -> str:
    """What to run where it is to be trained on; the weights are put beside the archive."""
    weights = "none"
    if fetched.path is not None:
        beside = path.with_name(f"{fetched.name}.safetensors")
        shutil.copyfile(fetched.path, beside)
        weights = f"{fetched.name}:{beside.name}"
    seed = "" if made.seed == DatasetSpec.seed else f" --seed {made.seed}"
    return (
        f"python -m entrypoints.{TRAINED_BY[model_family]} --dataset {path.name} --split {split} "
        f"--weights {weights}{seed} --out FOLDER"
    )


if __name__ == "__main__":
    app()
