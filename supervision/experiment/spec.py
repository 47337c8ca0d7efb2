"""What a model is trained and evaluated on: the data set, read, cleaned and split."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from supervision.data.archive import read_archive, read_dataset_spec
from supervision.data.crystals import Dataset, Material, Reject, group_materials, sample_materials
from supervision.data.splits import PARTS, SPLIT_KINDS, Split, make_split
from supervision.models.setup import Featurize
from supervision.runtime.options import option
from supervision.training.resuming import AUTO, NEVER

SHOWN_REJECTS = 5  # printed; rejects.csv has all
OnRejects = Callable[[Sequence[Reject]], None]


@dataclass(frozen=True)
class Experiment:
    """What a model is trained and evaluated on, and how the training is run.

    Attributes:
        archive: the file that the materials are read from, where ``dataset`` was given as one.

    Raises ValueError, naming the field, for a value that is refused.
    """

    dataset: str = option(
        "classics", "classics, 3dsc, jarvis_supercon, a folder, a CSV table, or an archive"
    )
    data: str = option("", "3dsc, jarvis_supercon: a local copy; empty: download")
    split: str = option("random", "random, chemsys or family")
    limit: int = option(0, "the first N materials after a seeded shuffle; 0: all")
    seed: int = option(42, "seed of split, sampling and initial weights")
    register: bool = option(True, "register the model")
    allow_loss: bool = option(False, "continue when over 5% of the rows are rejected")
    checkpoint_dir: str = option("", "folder of the checkpoints; empty: in the cache")
    resume: str = option(AUTO, "auto, never, or the checkpoint folder of a training")
    parallel: bool = option(False, "train beside another training on this machine")
    archive: str = ""

    def __post_init__(self) -> None:
        if self.split not in SPLIT_KINDS:
            raise ValueError(f"split '{self.split}' is not one of {', '.join(SPLIT_KINDS)}.")
        for name in ("limit", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}.")
        if self.resume not in (AUTO, NEVER) and self.checkpoint_dir not in ("", self.resume):
            raise ValueError(
                f"resume={self.resume} resumes in its own folder: leave checkpoint_dir out, "
                f"got {self.checkpoint_dir}."
            )

    def settings(self) -> dict[str, Any]:
        """The options, to be logged; equal for a data set and for an archive of it."""
        return {name: value for name, value in asdict(self).items() if name != "archive"}

    @classmethod
    def of(cls, *, dataset: str, data: str, limit: int, seed: int, **others: Any) -> "Experiment":
        """The experiment with these options; an archive (.zip) as ``dataset`` names its data set.

        Raises ValueError where an archive was written with other options.
        """
        if not dataset.endswith(".zip"):
            return cls(dataset=dataset, data=data, limit=limit, seed=seed, **others)
        spec = read_dataset_spec(Path(dataset).expanduser())
        if data:
            raise ValueError(f"{dataset} is an archive and needs no data={data}: leave it out.")
        for name, asked, default in (("limit", limit, 0), ("seed", seed, spec.seed)):
            if asked not in (default, getattr(spec, name)):
                raise ValueError(
                    f"{name}={asked}, but {dataset} was written with {name}="
                    f"{getattr(spec, name)}: write one with python -m entrypoints.prepare."
                )
        return cls(**(others | asdict(spec)), archive=dataset)


@dataclass(frozen=True)
class DataSplits:
    """A data set without what cannot be read, its materials, and their split."""

    dataset: Dataset
    materials: Sequence[Material]
    split: Split

    def part(self, name: str) -> list[Material]:
        """The materials of ``train``, ``val`` or ``test``."""
        return self.split.select(self.materials, name)


def split_materials(
    experiment: Experiment, featurize: Featurize, on_rejects: OnRejects
) -> DataSplits:
    """The data set's usable materials, split as the experiment says; prints a summary.

    Raises DatasetError where there is no such data set, or where too much of it is rejected.
    """
    if experiment.archive:
        splits = _from_archive(experiment, featurize, on_rejects)
    else:
        dataset, materials = load_materials(experiment, featurize, on_rejects)
        split = make_split(materials, experiment.split, seed=experiment.seed)
        splits = DataSplits(dataset, materials, split)
    dataset, split = splits.dataset, splits.split
    for reject in dataset.rejects[:SHOWN_REJECTS]:
        print(f"Rejected: {reject.name}: {reject.reason}", flush=True)
    counts = ", ".join(f"{part} {len(splits.part(part))}" for part in PARTS)
    print(
        f"{dataset.name}: {len(splits.materials)} materials, {len(dataset.crystals)} "
        f"structures, {len(dataset.rejects)} rejected. Split {split.kind} by {split.grouped_by}: "
        f"{counts}.",
        flush=True,
    )
    return splits


def load_materials(
    experiment: Experiment, featurize: Featurize, on_rejects: OnRejects
) -> tuple[Dataset, list[Material]]:
    """Load, limit and featurise a data set; returns it without its rejects, and its materials.

    Raises DatasetError where too much is rejected. Without a limit, the rejected fraction is that
    of all rows; with a limit, those of the table and of the chosen materials count separately.
    """
    from supervision.data.datasets import load_dataset  # reading an archive needs no pandas

    whole = load_dataset(experiment.dataset, experiment.data)
    on_rejects(whole.rejects)
    whole.check_loss(allow_loss=experiment.allow_loss)
    materials = sample_materials(group_materials(whole.crystals), experiment.limit, experiment.seed)
    known = () if experiment.limit else whole.rejects
    chosen = Dataset(whole.name, tuple(c for m in materials for c in m.crystals), known)
    usable = chosen.without(featurize(chosen.crystals))
    rejects = whole.rejects + usable.rejects[len(known) :]
    on_rejects(rejects)
    usable.check_loss(allow_loss=experiment.allow_loss)
    return replace(usable, rejects=rejects), group_materials(usable.crystals)


def _from_archive(
    experiment: Experiment, featurize: Featurize, on_rejects: OnRejects
) -> DataSplits:
    """Raises DatasetError where the archive was not written for this model or split."""
    archive = read_archive(Path(experiment.archive).expanduser())
    on_rejects(archive.dataset.rejects)
    featurize(archive.dataset.crystals)
    return DataSplits(archive.dataset, archive.materials, archive.split(experiment.split))
