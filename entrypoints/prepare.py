"""Write a data set with all that is to be prepared of it into one file, to be trained on elsewhere.

python -m entrypoints.prepare --dataset 3dsc --pipeline vision --out 3dsc-vision.zip
python -m entrypoints.prepare --dataset 3dsc --pipeline graph --weights auto --out 3dsc-graph.zip
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from entrypoints.options import DataOption, DatasetOption, LimitOption, LossOption, speak, truth
from supervision.data.archive import Archive, Made, write_archive
from supervision.data.crystals import Crystal, Reject
from supervision.data.featurize import Preparation, Recipe, prepare
from supervision.data.splits import KINDS, make_split
from supervision.experiment.spec import Experiment, load_materials
from supervision.models.graph.predictor import graphs_for
from supervision.models.vision.config import VisionConfig
from supervision.models.vision.featurize import scene_recipe
from supervision.models.weights import Fetched, get_weights

app = typer.Typer(add_completion=False)
TRAINED_BY = {"vision": "train_dino", "graph": "train_alignn"}


@app.command()
def main(
    dataset: DatasetOption = "classics",
    data: DataOption = "",
    pipeline: Annotated[str, typer.Option(help="vision or graph")] = "vision",
    split: Annotated[str, typer.Option(help="kinds of splits, commas between")] = ",".join(KINDS),
    weights: Annotated[str, typer.Option(help="put these beside it: auto, a name, none")] = "none",
    limit: LimitOption = 0,
    seed: Annotated[int, typer.Option(help="of the splits and of the training")] = 42,
    allow_loss: LossOption = "false",
    out: Annotated[str, typer.Option(help="the file to write (.zip)")] = "",
) -> None:
    """Prepare a data set here, to train on it there."""

    def run() -> None:
        made = Made(dataset, data, limit, seed, truth(allow_loss, "allow_loss"))
        if pipeline not in TRAINED_BY:
            raise ValueError(f"pipeline '{pipeline}' is not one of {', '.join(TRAINED_BY)}.")
        path = Path(out or f"{pipeline}.zip").expanduser()
        if path.suffix != ".zip":
            raise ValueError(f"out={out} must end in .zip.")
        fetched = get_weights(weights, pipeline)
        _write(path, made, pipeline, [kind.strip() for kind in split.split(",")], fetched)

    speak(run)


def _write(path: Path, made: Made, pipeline: str, kinds: Sequence[str], fetched: Fetched) -> None:
    recipe: Recipe[Any] = (
        graphs_for(fetched) if pipeline == "graph" else scene_recipe(VisionConfig().bonding)
    )
    results: dict[str, Preparation] = {}

    def prepare_them(crystals: Sequence[Crystal]) -> Sequence[Reject]:
        found, rejects = prepare(recipe, crystals)
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
    print(f"Train on it: {_command(path, made, pipeline, kinds[0], fetched)}")


def _command(path: Path, made: Made, pipeline: str, split: str, fetched: Fetched) -> str:
    """What to run where it is to be trained on; the weights are put beside the archive."""
    weights = "none"
    if fetched.path is not None:
        beside = path.with_name(f"{fetched.name}.safetensors")
        shutil.copyfile(fetched.path, beside)
        weights = f"{fetched.name}:{beside.name}"
    seed = "" if made.seed == Made.seed else f" --seed {made.seed}"
    return (
        f"python -m entrypoints.{TRAINED_BY[pipeline]} --dataset {path.name} --split {split} "
        f"--weights {weights}{seed} --out FOLDER"
    )


if __name__ == "__main__":
    app()
