"""What a model is trained and evaluated on: the data set, read, cleaned and split."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from supervision.data.archive import read_archive, read_dataset_spec
from supervision.data.crystals import Dataset, Material, Reject, group_materials, sample_materials
from supervision.data.leaks import KNOWN, check_sources, source_parts
from supervision.data.quantity import TC, Quantity
from supervision.data.splits import APART, NEAR, PARTS, SPLIT_KINDS, Split, make_split
from supervision.experiment.sources import SourceSpec, load_rows, parse_sources
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
        "classics",
        "classics, 3dsc, jarvis_supercon, alex_supercon, a folder, a CSV table, or an archive",
    )
    data: str = option("", "a local copy of a data set that is named; empty: download")
    quantity: str = option(
        "tc", "the column that is learned; another one than tc needs a folder or a CSV table"
    )
    unit: str = option("", "its unit; empty: that of a known quantity, such as eV of band_gap")
    split: str = option("random", "random, chemsys, family or novel")
    apart: float = option(APART, "novel: distance in composition of training and test materials")
    folds: int = option(1, "folds, each of which is tested once; 1: a single split")
    fold: int = option(0, "with folds: train this one alone, from 1; 0: all")
    extra: str = option(
        "",
        "sources to train on, too: supercon, jarvis_supercon, alex_supercon, separated by commas",
    )
    extra_data: str = option("", "their local copies: NAME=PATH,NAME=PATH; empty: download")
    extra_weights: str = option("", "weights of their rows: NAME=NUMBER,...; empty: 1")
    refit: bool = option(True, "train again with the validation materials before the test")
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
        if not 0 <= self.apart < 2:
            raise ValueError(f"apart must be 0 or more and below 2, got {self.apart}.")
        if self.folds < 1:
            raise ValueError(f"folds must be 1 or more, got {self.folds}.")
        if not 0 <= self.fold <= self.folds or (self.fold and self.folds == 1):
            known = f"0 (all) to {self.folds}" if self.folds > 1 else "0 without folds"
            raise ValueError(f"fold must be {known}, got {self.fold}.")
        parse_sources(self.extra, self.extra_data, self.extra_weights)
        if not self.learned.is_tc and self.sources:
            raise ValueError(f"extra={self.extra} has Tc alone, not {self.quantity}: leave it out.")
        for name in ("limit", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}.")
        if self.resume not in (AUTO, NEVER) and self.checkpoint_dir not in ("", self.resume):
            raise ValueError(
                f"resume={self.resume} resumes in its own folder: leave checkpoint_dir out, "
                f"got {self.checkpoint_dir}."
            )

    def settings(self) -> dict[str, Any]:
        """The options, to be logged; equal for a data set and for an archive of it.

        For Tc, ``quantity`` and ``unit`` are left out: runs before these options have none.
        """
        settings = {name: value for name, value in asdict(self).items() if name != "archive"}
        if self.learned.is_tc:
            del settings["quantity"], settings["unit"]
            return settings
        return settings | {"unit": self.learned.unit}

    @property
    def learned(self) -> Quantity:
        """The quantity that is learned."""
        return Quantity.of(self.quantity, self.unit)

    @property
    def sources(self) -> list[SourceSpec]:
        """The sources that are trained on beside the data set."""
        return parse_sources(self.extra, self.extra_data, self.extra_weights)

    @property
    def split_label(self) -> str:
        """The split in names, such as ``novel``, ``novel, 5 folds`` or ``novel, fold 2 of 5``."""
        if self.folds == 1:
            return self.split
        return f"{self.split}, " + (
            f"fold {self.fold} of {self.folds}" if self.fold else f"{self.folds} folds"
        )

    @classmethod
    def of(cls, *, dataset: str, data: str, limit: int, seed: int, **others: Any) -> "Experiment":
        """The experiment with these options; an archive (.zip) as ``dataset`` names its data set.

        Raises ValueError where an archive was written with other options.
        """
        if not dataset.endswith(".zip"):
            return cls(dataset=dataset, data=data, limit=limit, seed=seed, **others)
        spec = read_dataset_spec(Path(dataset).expanduser())
        if others.get("quantity", TC.name) != TC.name:
            raise ValueError(
                f"{dataset} is an archive of Tc: to learn {others['quantity']}, give dataset= of "
                "the data set itself."
            )
        if others.get("folds", 1) > 1 or others.get("extra"):
            raise ValueError(
                f"{dataset} is an archive, which has neither folds nor other sources: give "
                "dataset= and data= of the data set itself, or leave folds and extra out."
            )
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
    """A data set without what cannot be read, its materials, and their split.

    Attributes:
        extra: the rows of other sources; ``extra_parts`` says which may be trained on, by their id
            (``supervision.data.leaks.source_parts``).
    """

    dataset: Dataset
    materials: Sequence[Material]
    split: Split
    extra: Sequence[Material] = ()
    extra_parts: Mapping[str, str] = field(default_factory=dict)

    def part(self, name: str) -> list[Material]:
        """The materials of ``train``, ``val`` or ``test``, without other sources."""
        return self.split.select(self.materials, name)

    def training(self) -> list[Material]:
        """All that is trained on while the validation materials are held out."""
        return [*self.part("train"), *self.extra_of("train")]

    def training_after_validation(self) -> list[Material]:
        """All that may be trained on when only the test materials are held out."""
        return [*self.split.apart_from_test(self.materials), *self.extra_of("train", NEAR["val"])]

    @property
    def extra_hash(self) -> str:
        """sha256 over id, weight and part of the rows of other sources; empty without any."""
        rows = sorted((m.id, m.weight, m.tc, self.extra_parts[m.id]) for m in self.extra)
        return sha256(json.dumps(rows).encode()).hexdigest() if rows else ""

    def extra_of(self, *parts: str) -> list[Material]:
        """The rows of other sources in any of these parts."""
        return [row for row in self.extra if self.extra_parts[row.id] in parts]


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
        splits = DataSplits(dataset, materials, split_of(materials, experiment))
        if experiment.sources:
            splits = _with_sources(splits, experiment, featurize, on_rejects)
    dataset, split = splits.dataset, splits.split
    for reject in dataset.rejects[:SHOWN_REJECTS]:
        print(f"Rejected: {reject.name}: {reject.reason}", flush=True)
    counts = {part: len(splits.part(part)) for part in (*PARTS, *NEAR.values())}
    shown = ", ".join(f"{part} {n}" for part, n in counts.items() if n or part in PARTS)
    print(
        f"{dataset.name}: {len(splits.materials)} materials, {len(dataset.crystals)} "
        f"structures, {len(dataset.rejects)} rejected. Split {experiment.split_label} by "
        f"{split.grouped_by}: {shown}.",
        flush=True,
    )
    return splits


def split_of(materials: Sequence[Material], experiment: Experiment) -> Split:
    """The split that an experiment asks for."""
    return make_split(
        materials,
        experiment.split,
        seed=experiment.seed,
        apart=experiment.apart,
        folds=experiment.folds,
        fold=experiment.fold or 1,
    )


def _with_sources(
    splits: DataSplits, experiment: Experiment, featurize: Featurize, on_rejects: OnRejects
) -> DataSplits:
    """Add the rows of other sources; prints how many of each may be trained on."""
    rows, rejects = list[Material](), list(splits.dataset.rejects)
    for source in experiment.sources:
        found, rejected = load_rows(source, featurize)
        rows += found
        rejects += rejected
        print(f"{source.name}: {len(found)} materials, {len(rejected)} rejected.", flush=True)
    on_rejects(rejects)
    parts = source_parts(rows, splits.materials, splits.split)
    splits = replace(splits, extra=rows, extra_parts=parts)
    check_sources(splits.extra_of("train"), splits.materials, splits.split)
    counts = Counter(parts.values())
    print(
        f"Trained on too: {counts['train']}. Left out: {counts[KNOWN]} with the composition of a "
        f"material of the data set, {counts[NEAR['test']]} near to a test material, "
        f"{counts[NEAR['val']]} near to a validation material.",
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

    quantity = experiment.learned
    whole = load_dataset(experiment.dataset, experiment.data, quantity)
    on_rejects(whole.rejects)
    whole.check_loss(allow_loss=experiment.allow_loss)
    materials = group_materials(whole.crystals, quantity=quantity)
    materials = sample_materials(materials, experiment.limit, experiment.seed)
    known = () if experiment.limit else whole.rejects
    chosen = Dataset(whole.name, tuple(c for m in materials for c in m.crystals), known)
    usable = chosen.without(featurize(chosen.crystals))
    rejects = whole.rejects + usable.rejects[len(known) :]
    on_rejects(rejects)
    usable.check_loss(allow_loss=experiment.allow_loss)
    return replace(usable, rejects=rejects), group_materials(usable.crystals, quantity=quantity)


def _from_archive(
    experiment: Experiment, featurize: Featurize, on_rejects: OnRejects
) -> DataSplits:
    """Raises DatasetError where the archive was not written for this model or split."""
    archive = read_archive(Path(experiment.archive).expanduser())
    on_rejects(archive.dataset.rejects)
    featurize(archive.dataset.crystals)
    return DataSplits(archive.dataset, archive.materials, archive.split(experiment.split))
