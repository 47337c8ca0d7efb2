"""On what a model is trained and judged: the data set read, cleaned, split and written down."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from supervision.data.archive import read_archive, read_dataset_spec
from supervision.data.crystals import Dataset, Material, Reject, group_materials, take
from supervision.data.splits import KINDS as SPLITS
from supervision.data.splits import PARTS, Split, make_split
from supervision.models.setup import Featurize
from supervision.training.resuming import AUTO, NEVER

SHOWN = 5  # of what was rejected; all of it is in rejects.csv
OnRejects = Callable[[Sequence[Reject]], None]


@dataclass(frozen=True)
class Experiment:
    """On what a model is trained and judged, and what becomes of it.

    ``archive`` is the file that the materials are read from, where it is not the data set itself.
    """

    dataset: str = "classics"
    data: str = ""
    split: str = "random"
    limit: int = 0
    seed: int = 42
    register: bool = True
    allow_loss: bool = False
    checkpoint_dir: str = ""
    resume: str = AUTO
    parallel: bool = False
    archive: str = ""

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"split '{self.split}' is not one of {', '.join(SPLITS)}.")
        for name in ("limit", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}.")
        if self.resume not in (AUTO, NEVER) and self.checkpoint_dir not in ("", self.resume):
            raise ValueError(
                f"resume={self.resume} goes on in its own folder: leave checkpoint_dir out, "
                f"got {self.checkpoint_dir}."
            )

    def settings(self) -> dict[str, Any]:
        """All that was asked for, to be logged; the same for a data set and an archive of it."""
        return {name: value for name, value in asdict(self).items() if name != "archive"}

    @classmethod
    def of(cls, *, dataset: str, data: str, limit: int, seed: int, **others: Any) -> "Experiment":
        """The experiment that was asked for; an archive (.zip) as ``dataset`` says on what.

        Raises ValueError where an archive and what is asked for do not go together.
        """
        if not dataset.endswith(".zip"):
            return cls(dataset=dataset, data=data, limit=limit, seed=seed, **others)
        made = read_dataset_spec(Path(dataset).expanduser())
        if data:
            raise ValueError(f"{dataset} is an archive and needs no data={data}: leave it out.")
        for name, asked, free in (("limit", limit, 0), ("seed", seed, made.seed)):
            if asked not in (free, getattr(made, name)):
                raise ValueError(
                    f"{name}={asked}, but {dataset} was written with {name}="
                    f"{getattr(made, name)}: write one with python -m entrypoints.prepare."
                )
        return cls(**(others | asdict(made)), archive=dataset)


@dataclass(frozen=True)
class DataSplits:
    """Materials that can be read, what could not, and the split."""

    dataset: Dataset
    materials: Sequence[Material]
    split: Split

    def part(self, name: str) -> list[Material]:
        """The materials of ``train``, ``val`` or ``test``."""
        return self.split.select(self.materials, name)


def load_materials(
    experiment: Experiment, featurize: Featurize, on_rejects: OnRejects
) -> tuple[Dataset, list[Material]]:
    """Load, limit, prepare and say what was rejected; DatasetError where that is too much.

    Without a limit the share lost is of all rows; with one, that of the table and that of the
    chosen materials are looked at each by itself.
    """
    from supervision.data.datasets import load_dataset  # an archive is read without what this needs

    whole = load_dataset(experiment.dataset, experiment.data)
    on_rejects(whole.rejects)
    whole.check_loss(allow_loss=experiment.allow_loss)
    materials = take(group_materials(whole.crystals), experiment.limit, experiment.seed)
    known = () if experiment.limit else whole.rejects
    chosen = Dataset(whole.name, tuple(c for m in materials for c in m.crystals), known)
    usable = chosen.without(featurize(chosen.crystals))
    rejects = whole.rejects + usable.rejects[len(known) :]
    on_rejects(rejects)
    usable.check_loss(allow_loss=experiment.allow_loss)
    return replace(usable, rejects=rejects), group_materials(usable.crystals)


def split_materials(
    experiment: Experiment, featurize: Featurize, on_rejects: OnRejects
) -> DataSplits:
    """The data set's usable materials, split as the experiment says."""
    if experiment.archive:
        prepared = _unpacked(experiment, featurize, on_rejects)
    else:
        dataset, materials = load_materials(experiment, featurize, on_rejects)
        split = make_split(materials, experiment.split, seed=experiment.seed)
        prepared = DataSplits(dataset, materials, split)
    dataset, split = prepared.dataset, prepared.split
    for reject in dataset.rejects[:SHOWN]:
        print(f"Rejected: {reject.name}: {reject.reason}", flush=True)
    print(
        f"{dataset.name}: {len(prepared.materials)} materials, {len(dataset.crystals)} "
        f"structures, {len(dataset.rejects)} rejected. Split {split.kind} by {split.grouped_by}: "
        + ", ".join(f"{part} {len(prepared.part(part))}" for part in PARTS)
        + ".",
        flush=True,
    )
    return prepared


def _unpacked(experiment: Experiment, featurize: Featurize, on_rejects: OnRejects) -> DataSplits:
    """What an archive brings; DatasetError where it was not written for what is to read it."""
    archive = read_archive(Path(experiment.archive).expanduser())
    on_rejects(archive.dataset.rejects)
    featurize(archive.dataset.crystals)
    return DataSplits(archive.dataset, archive.materials, archive.split(experiment.split))
