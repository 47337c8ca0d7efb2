"""One shard of candidates to one file of answers; a bad row costs no other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from supervision.answer.answer import Answer
from supervision.answer.answerer import Answerer
from supervision.answer.known import KnownMaterials
from supervision.answer.loaded import quiet
from supervision.data.composition_distance import atomic_fractions
from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError, crystal_errors
from supervision.runtime.files import atomic_write
from supervision.runtime.heap import limit_malloc_arenas, trim_heap
from supervision.runtime.text import printable
from supervision.screening.filters import StructureFilters

ROWS_AT_ONCE = 64  # that the model answers, and after which progress is reported
KEPT_COLUMNS = ("row", "id", "energy_above_hull", "content_hash")
READ_COLUMNS = [*KEPT_COLUMNS, "cif", "formula", "error"]
NOTHING_SAID = {"filtered": "", "error": ""}
ANSWER_FIELDS = [
    ("formula", pa.string()),
    ("atoms", pa.int32()),
    ("is_disordered", pa.bool_()),
    *((name, pa.float64()) for name in (
        "tc_kelvin", "tc_lower", "tc_upper", "p_superconducting", "p_above_10", "p_above_20",
        "p_above_40",
    )),
    ("domain", pa.string()),
    ("domain_error", pa.float64()),
    ("nearest", pa.list_(pa.struct(
        [("formula", pa.string()), ("tc_kelvin", pa.float64()), ("distance", pa.float64())]
    ))),
    ("members", pa.map_(pa.string(), pa.float64())),
    ("remarks", pa.list_(pa.string())),
    ("model_version", pa.string()),
]  # fmt: skip
SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("id", pa.string()),
        *ANSWER_FIELDS,
        ("novelty", pa.float64()),  # distance in composition to the nearest known superconductor
        ("energy_above_hull", pa.float64()),  # eV per atom
        ("content_hash", pa.string()),
        ("filtered", pa.string()),  # the filter of the structure that left it out
        ("error", pa.string()),  # why there is no answer
    ]
)
# The environment of workers: there is one for every core, so each computes in one thread; numbers
# then do not depend on the cores of a machine.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
Row = dict[str, Any]


@dataclass(frozen=True)
class ShardTask:
    """A shard that is to be screened; what another process or machine is given.

    Attributes:
        shard: its Parquet file.
        result: the Parquet file of its answers, which appears when it is complete.
        rows: the number of its candidates.
        model: the folder of the saved model.
    """

    shard: Path
    result: Path
    rows: int
    model: Path
    filters: StructureFilters


def screen_shard(task: ShardTask, report: Callable[[int], None] = lambda rows: None) -> None:
    """Write the answers to a shard, unless they are there.

    Args:
        report: is called with the number of rows that were answered since the last call.
    """
    if task.result.is_file():
        return
    screener = load_screener(task.model)
    with (
        pq.ParquetFile(task.shard) as shard,
        atomic_write(task.result) as file,
        pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer,
    ):
        for batch in shard.iter_batches(ROWS_AT_ONCE, columns=READ_COLUMNS):
            with quiet():
                found = screener.answer(batch.to_pylist(), task.filters)
            writer.write_table(pa.Table.from_pylist(found, schema=SCHEMA))
            trim_heap()
            report(len(found))


@lru_cache(maxsize=1)
def load_screener(model: Path) -> "Screener":
    """The model in a folder, loaded once in a process. Raises as ``Answerer.load`` does."""
    limit_malloc_arenas()
    with quiet():
        return Screener(Answerer.load(model))


@dataclass(frozen=True)
class Screener:
    """A model that answers rows of a shard."""

    answerer: Answerer

    def answer(self, rows: Sequence[Row], filters: StructureFilters) -> list[Row]:
        """The rows of the result, one for each row of the shard in its order."""
        crystals = {}
        found = [{name: row[name] for name in KEPT_COLUMNS} | NOTHING_SAID for row in rows]
        for number, (given, result) in enumerate(zip(rows, found, strict=True)):
            crystal = Crystal(given["id"], given["formula"], given["cif"])
            try:
                result["filtered"] = _refusal(given, crystal, filters)
            except CrystalError as error:
                result["error"] = printable(str(error))
                continue
            if not result["filtered"]:
                crystals[number] = crystal
        novelty = self._novelty(list(crystals.values()))
        for number, answer in zip(crystals, self._answers(list(crystals.values())), strict=True):
            found[number] |= _columns(answer) | {"novelty": next(novelty)}
        return found

    def _answers(self, crystals: Sequence[Crystal]) -> list[Answer]:
        """The answers; where the model fails on one, that one has an error."""
        try:
            with crystal_errors():
                return self.answerer.answer(crystals)
        except CrystalError as error:
            if len(crystals) > 1:
                return [answer for crystal in crystals for answer in self._answers([crystal])]
            return [Answer(crystals[0].id, error=printable(str(error)))]

    def _novelty(self, crystals: Sequence[Crystal]) -> Iterator[float | None]:
        for crystal in crystals:
            fractions = atomic_fractions(crystal.composition)
            known = self._superconductors
            yield float(known.distance(fractions[None])[0]) if known else None

    @cached_property
    def _superconductors(self) -> KnownMaterials | None:
        """The measured superconductors that the model has learned from; None without any."""
        found = self.answerer.known.superconductors() if self.answerer.known else None
        return found if found and found.formulas else None


def _refusal(given: Row, crystal: Crystal, filters: StructureFilters) -> str:
    """The filter that leaves a row out. Raises CrystalError for a row that cannot be read."""
    if given["error"]:
        raise CrystalError(given["error"])
    with crystal_errors():
        by_energy = filters.refusal_by_energy(given["energy_above_hull"])
        return by_energy or filters.refusal(crystal)


def _columns(answer: Answer) -> Row:
    """An answer as columns of the result."""
    row = answer.to_row()
    row["members"] = list(row["members"].items())
    del row["name"]  # the id
    return row
