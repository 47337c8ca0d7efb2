"""Write a data set with all its features into one file, to train on it elsewhere.

python -m entrypoints.prepare --dataset 3dsc --model-family vision --out 3dsc-vision.zip
python -m entrypoints.prepare --dataset 3dsc --model-family graph --weights auto --out graph.zip
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entrypoints.experiment_options import experiment_of, experiment_options
from entrypoints.options import Given, make_app, parse, run_cli, user_path
from supervision.data.archive import Archive, DatasetSpec, write_archive
from supervision.data.crystals import Crystal, Reject
from supervision.data.featurize import Features, Featurizer, featurize
from supervision.data.splits import SPLIT_KINDS, make_split
from supervision.experiment.spec import Experiment, load_materials
from supervision.models.families import get_family
from supervision.models.graph.predictor import graph_featurizer_for
from supervision.models.vision.config import VisionConfig
from supervision.models.vision.featurize import scene_featurizer
from supervision.models.weights import Fetched, get_weights
from supervision.runtime.options import option, options_of

DATA = ("dataset", "data", "limit", "seed", "allow_loss")
FAMILIES = ("vision", "graph")


@dataclass(frozen=True)
class PrepareOptions:
    """What is written besides the data set. Raises ValueError for a value that is refused."""

    model_family: str = option("vision", "vision or graph")
    split: str = option(",".join(SPLIT_KINDS), "kinds of splits, separated by commas")
    weights: str = option("none", "pretrained weights to copy beside it: auto, a name, none")
    out: str = option("", "the file to write (.zip)")

    def __post_init__(self) -> None:
        if self.model_family not in FAMILIES:
            raise ValueError(
                f"model_family '{self.model_family}' is not one of {', '.join(FAMILIES)}."
            )
        if self.path.suffix != ".zip":
            raise ValueError(f"out={self.out} must end in .zip.")

    @property
    def path(self) -> Path:
        """The file to write."""
        return user_path(self.out or f"{self.model_family}.zip")

    @property
    def split_kinds(self) -> list[str]:
        """The kinds of splits, as a list."""
        return [kind.strip() for kind in self.split.split(",")]


def main(given: Given) -> None:
    """Featurise a data set here, to train on it elsewhere."""

    def run() -> None:
        options = parse(PrepareOptions, given)
        data = {name: given[name] for name in DATA}
        experiments = [experiment_of(data, split=kind) for kind in options.split_kinds]
        prepare(experiments, options, get_weights(options.weights, options.model_family))

    run_cli(run)


def prepare(experiments: Sequence[Experiment], options: PrepareOptions, fetched: Fetched) -> None:
    """Write a data set with the split of each experiment; prints the command to train on it."""
    featurizer: Featurizer[Any] = (
        graph_featurizer_for(fetched)
        if options.model_family == "graph"
        else scene_featurizer(VisionConfig().bonding)
    )
    results: dict[str, Features] = {}

    def featurize_and_collect(crystals: Sequence[Crystal]) -> Sequence[Reject]:
        found, rejects = featurize(featurizer, crystals)
        results.update(found)
        return rejects

    first = experiments[0]
    dataset, materials = load_materials(first, featurize_and_collect, lambda rejects: None)
    splits = {e.split: make_split(materials, e.split, seed=e.seed) for e in experiments}
    spec = DatasetSpec(first.dataset, first.data, first.limit, first.seed, first.allow_loss)
    path = options.path
    write_archive(path, Archive(spec, dataset, materials, splits), featurizer.name, results)
    print(
        f"{path}: {path.stat().st_size / 1e6:.1f} MB, {dataset.name}, {len(materials)} materials, "
        f"{len(dataset.crystals)} structures, {len(dataset.rejects)} rejected, {featurizer.name}, "
        f"split(s) {', '.join(splits)}."
    )
    for reject in dataset.rejects:
        print(f"Rejected: {reject.name}: {reject.reason}")
    print(f"Train on it: {_train_command(path, first, options, fetched)}")


def _train_command(
    path: Path, experiment: Experiment, options: PrepareOptions, fetched: Fetched
) -> str:
    """The command to run elsewhere; copies the weights beside the archive."""
    weights = "none"
    if fetched.path is not None:
        copy = path.with_name(f"{fetched.name}.safetensors")
        shutil.copyfile(fetched.path, copy)
        weights = f"{fetched.name}:{copy.name}"
    seed = "" if experiment.seed == DatasetSpec.seed else f" --seed {experiment.seed}"
    return (
        f"python -m entrypoints.{get_family(options.model_family).entry_point} "
        f"--dataset {path.name} --split {experiment.split} --weights {weights}{seed} --out FOLDER"
    )


app = make_app(
    main,
    [("Data", experiment_options(*DATA)), ("Archive", options_of(PrepareOptions))],
    "Featurise a data set here, to train on it elsewhere.",
)

if __name__ == "__main__":
    app()
