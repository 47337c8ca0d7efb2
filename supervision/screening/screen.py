"""Screening from a source to a ranking, in a folder where an interrupted one goes on.

    found = screen("candidates.tar.xz", Path("screening"), model, ScreenOptions(), ...)

Sharding, answers and ranking follow each other. Each step writes its files to temporary names and
renames them, so that a process killed anywhere leaves a folder that the same command completes.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from supervision.answer.loaded import SavedModel, quantity_of
from supervision.data.errors import DatasetError
from supervision.runtime.errors import ExpectedError
from supervision.runtime.files import printable_path
from supervision.runtime.lock import BusyError
from supervision.runtime.options import option, options_of
from supervision.runtime.progress import track
from supervision.screening.engines import ENGINES, engine_named
from supervision.screening.filters import AnswerFilters, StructureFilters
from supervision.screening.folder import ScreeningFolder, model_hash, source_hash
from supervision.screening.outcome import Screening
from supervision.screening.ranking import ORDERS, rank
from supervision.screening.report import write_report
from supervision.screening.shards import Manifest, read_manifest, write_shards
from supervision.screening.sources.candidates import candidates
from supervision.screening.structures import ranked_crystals, write_structures
from supervision.screening.worker import ShardTask

SHARD_ROWS = 5_000


@dataclass(frozen=True)
class ScreenOptions:
    """How a source is screened. Raises ValueError, naming the option, for a wrong value."""

    engine: str = option("local", f"what answers: {', '.join(ENGINES)}")
    workers: int = option(
        0, "processes of the local engine, or jobs at once of slurm; 0: as many as fit"
    )
    engine_options: str = option(
        "", "NAME=VALUE,NAME=VALUE; spark: master=local[2]; slurm: partition=cpu,time=60"
    )
    shard_rows: int = option(
        SHARD_ROWS, "the fewest candidates of a shard, which has at most 4 times as many"
    )
    by: str = option("tc_kelvin", f"what is ranked by: {', '.join(ORDERS)}")
    top: int = option(20, "the candidates that the report shows, and whose CIF files are written")

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ValueError(f"engine '{self.engine}' is not one of {', '.join(ENGINES)}.")
        if self.by not in ORDERS:
            raise ValueError(f"by '{self.by}' is not one of {', '.join(ORDERS)}.")
        for name, least in (("workers", 0), ("shard_rows", 1), ("top", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more, got {getattr(self, name)}.")


CONFIGS = (ScreenOptions, StructureFilters, AnswerFilters)


def screen(
    source: str,
    out: Path,
    model: SavedModel,
    options: ScreenOptions,
    structure: StructureFilters,
    answer: AnswerFilters,
) -> Screening:
    """Screen a source, or go on with what is in the folder ``out``.

    Another source, model, size of shards or filter of structures is refused there; filters of
    answers and the order may change, as they need no new answers.

    Raises ValueError, DatasetError, BusyError or ExpectedError with one sentence.
    """
    quantity_of(model.folder).require_tc("screen")
    with _locked(out) as folder:
        folder.open(
            {
                "source": source_hash(source),
                "model": model_hash(model.folder),
                "shard_rows": str(options.shard_rows),
                **{name: str(value) for name, value in asdict(structure).items()},
            }
        )
        folder.delete_partial()
        manifest = read_manifest(folder) or _shard(source, folder, options.shard_rows)
        results = _answer(folder, manifest, model, options, structure)
        print("Ranking the answers.", flush=True)
        ranking = rank(results, folder.path, answer, options.by, options.top)
        found = Screening(
            source=source, folder=folder.path, model=model.location, candidates=manifest.rows,
            skipped=manifest.skipped, rejected=ranking.rejected, filtered=dict(ranking.filtered),
            ranked=ranking.summary.count,
        )  # fmt: skip
        first = ranked_crystals(ranking.top, folder, manifest)
        write_structures(first, folder.top)
        write_report(found, ranking, first, model.description)
        return found


def configs_of(
    settings: Mapping[str, Any],
) -> tuple[ScreenOptions, StructureFilters, AnswerFilters]:
    """The options and filters with these values. Raises ValueError for an unknown name."""
    known = [o.name for config in CONFIGS for o in options_of(config)]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(f"'{unknown[0]}' is not a setting of a screening ({', '.join(known)}).")
    own = [{o.name for o in options_of(config)} & set(settings) for config in CONFIGS]
    screening, structure, answer = ({name: settings[name] for name in names} for names in own)
    return ScreenOptions(**screening), StructureFilters(**structure), AnswerFilters(**answer)


@contextmanager
def _locked(out: Path) -> Iterator[ScreeningFolder]:
    """The folder of a screening, for this process alone."""
    folder = ScreeningFolder(out)
    if out.exists() and not out.is_dir():
        raise DatasetError(f"{printable_path(out)} is a file; name a folder with --out.")
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder.lock, blocking=False):
            yield folder
    except Timeout as error:
        raise BusyError(
            f"Another process screens into {printable_path(out)}; wait until it ends, or name "
            "another folder with --out."
        ) from error


def _shard(source: str, folder: ScreeningFolder, fewest_rows: int) -> Manifest:
    """Write the shards, with progress on standard error."""
    seen = 0

    def new_rows(so_far: Manifest) -> int:
        nonlocal seen
        new, seen = so_far.rows - seen, so_far.rows
        return new

    written = write_shards(candidates(source), folder, fewest_rows)
    for _ in track(written, total=None, desc="reading", unit="structure", size=new_rows):
        pass
    manifest = read_manifest(folder)
    assert manifest is not None
    return manifest


def _answer(
    folder: ScreeningFolder,
    manifest: Manifest,
    model: SavedModel,
    options: ScreenOptions,
    filters: StructureFilters,
) -> Sequence[Path]:
    """Let the engine answer the shards that are not done; returns all results in order."""
    _copy_model(model.folder, folder.model)
    folder.results.mkdir(exist_ok=True)
    tasks = [
        ShardTask(
            folder.shards / f"{shard.name}.parquet", folder.results / f"{shard.name}.parquet",
            shard.rows, folder.model, filters,
        )
        for shard in manifest.shards
    ]  # fmt: skip
    waiting = [task for task in tasks if not task.result.is_file()]
    rows = sum(task.rows for task in waiting)
    if len(waiting) < len(tasks):
        print(
            f"{manifest.rows - rows:,} of {manifest.rows:,} candidates were answered by an earlier "
            "start.",
            flush=True,
        )
    if waiting:
        answered = engine_named(options.engine)(waiting, options.workers, options.engine_options)
        for _ in track(answered, total=rows, desc="screening", unit="crystal", size=int):
            pass
    missing = sum(not task.result.is_file() for task in tasks)
    if missing:
        raise ExpectedError(
            f"{missing} of {len(tasks)} shards have no answers; give the same command again: it "
            "goes on from here."
        )
    return [task.result for task in tasks]


def _copy_model(model: Path, copy: Path) -> None:
    if not copy.is_dir():
        partial = copy.with_suffix(".part")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(model, partial)
        partial.replace(copy)
