"""On what a model is trained and judged: the data set read, cleaned, split and written down."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import mlflow

from supervision.crystals import Crystal, Material, Reject, group_materials, take
from supervision.datasets import Dataset, load_dataset
from supervision.resuming import AUTO, NEVER
from supervision.splits import KINDS as SPLITS
from supervision.splits import PARTS, Split, make_split
from supervision.weights import Fetched
from tracking import runs

Prepare = Callable[[Sequence[Crystal]], Sequence[Reject]]


@dataclass(frozen=True)
class Experiment:
    """On what a model is trained and judged, and what becomes of it."""

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


@dataclass(frozen=True)
class Origin:
    """The weights that a model began from; nothing, where it began from none."""

    weights: str = "none"
    source: str = "none"
    choice: str = ""
    hash: str = ""
    license: str = "none"
    pretrained: bool = False

    @classmethod
    def of(cls, fetched: Fetched) -> "Origin":
        """That of fetched weights."""
        return cls(
            weights=fetched.name,
            source=fetched.source,
            choice=fetched.message,
            hash=fetched.sha256,
            license=fetched.license,
            pretrained=fetched.pretrained,
        )


@dataclass(frozen=True)
class Prepared:
    """Materials that can be read, what could not, and the split."""

    dataset: Dataset
    materials: Sequence[Material]
    split: Split

    def part(self, name: str) -> list[Material]:
        """The materials of ``train``, ``val`` or ``test``."""
        return self.split.select(self.materials, name)


def tags_of(experiment: Experiment, origin: Origin, pipeline: str) -> dict[str, str]:
    """What a run is found again by."""
    return {
        "dataset": experiment.dataset,
        "split": experiment.split,
        "weights": origin.weights,
        "weights_source": origin.source,
        "weights_choice": origin.choice,
        "weights_license": origin.license,
        "pretrained": str(origin.pretrained).lower(),
        "pipeline": pipeline,
        "code_version": runs.code_version(),
    }


def load_materials(experiment: Experiment, prepare: Prepare) -> tuple[Dataset, list[Material]]:
    """Load, limit, prepare and log what was rejected; DatasetError where that is too much.

    Without a limit the share lost is of all rows; with one, that of the table and that of the
    chosen materials are looked at each by itself.
    """
    whole = load_dataset(experiment.dataset, experiment.data)
    runs.log_rejects(whole.rejects)
    whole.check_loss(allow_loss=experiment.allow_loss)
    materials = take(group_materials(whole.crystals), experiment.limit, experiment.seed)
    known = () if experiment.limit else whole.rejects
    chosen = Dataset(whole.name, tuple(c for m in materials for c in m.crystals), known)
    usable = chosen.without(prepare(chosen.crystals))
    rejects = whole.rejects + usable.rejects[len(known) :]
    runs.log_rejects(rejects)
    usable.check_loss(allow_loss=experiment.allow_loss)
    return replace(usable, rejects=rejects), group_materials(usable.crystals)


def split_materials(experiment: Experiment, prepare: Prepare) -> Prepared:
    """The data set's usable materials, split as the experiment says."""
    dataset, materials = load_materials(experiment, prepare)
    split = make_split(materials, experiment.split, seed=experiment.seed)
    print(
        f"{dataset.name}: {len(materials)} materials, {len(dataset.crystals)} structures, "
        f"{len(dataset.rejects)} rejected. Split {split.kind} by {split.grouped_by}: "
        + ", ".join(f"{part} {len(split.select(materials, part))}" for part in PARTS)
        + ".",
        flush=True,
    )
    return Prepared(dataset, materials, split)


def log_inputs(prepared: Prepared, origin: Origin) -> None:
    """Hashes, counts, the materials and the split file."""
    runs.log_params(
        {
            "dataset_hash": prepared.dataset.hash,
            "split_hash": prepared.split.hash,
            "split_grouped_by": prepared.split.grouped_by,
            "weights_hash": origin.hash,
            "materials": len(prepared.materials),
            "structures": len(prepared.dataset.crystals),
            "rejected": len(prepared.dataset.rejects),
        }
    )
    runs.log_dataset(prepared.materials, prepared.dataset.name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "split.csv"
        prepared.split.save(path)
        mlflow.log_artifact(str(path))
