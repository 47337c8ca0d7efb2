"""The answers of all shards in one order: the highest first, equal ones by their ids.

Each shard is filtered and sorted by itself; the sorted files are merged row by row, so that memory
does not grow with their number.
"""

import csv
import heapq
import io
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from supervision.answer.answer import Answer
from supervision.answer.csv_table import answer_cells, answer_columns, csv_number
from supervision.runtime.files import atomic_write
from supervision.runtime.text import csv_cell
from supervision.screening.filters import AnswerFilters
from supervision.screening.summary import Summary
from supervision.screening.worker import SCHEMA, Row

ORDERS = ("tc_kelvin", "tc_lower", "p_above_10", "p_above_20", "p_above_40")
RANKED_SCHEMA = pa.schema(
    [("rank", pa.int64()), *(f for f in SCHEMA if f.name not in ("filtered", "error"))]
)
CSV_COLUMNS = [
    "rank", "id", "tc_kelvin", *answer_columns(), "atoms", "is_disordered", "members", "novelty",
    "energy_above_hull", "content_hash", "row",
]  # fmt: skip
REJECT_COLUMNS = ["row", "id", "reason"]
OPEN_FILES = 64  # that are merged at once
BATCH_ROWS = 50  # of a sorted file; a batch of each open file is in memory
WRITTEN_ROWS = 4_000  # at once; fewer would grow the footer of the Parquet file


@dataclass
class Ranking:
    """What the ranking has found.

    Attributes:
        rejected: the number of candidates without an answer.
        filtered: the number that each filter left out, the first that did.
        summary: of all that are ranked.
        top: the rows of the highest.
    """

    rejected: int = 0
    filtered: Counter[str] = field(default_factory=Counter)
    summary: Summary = field(default_factory=Summary)
    top: list[Row] = field(default_factory=list)


def rank(results: Iterable[Path], out: Path, filters: AnswerFilters, by: str, top: int) -> Ranking:
    """Write ranked.parquet, ranked.csv and rejects.csv into a folder.

    Args:
        results: the files of ``screen_shard``, in the order of their shards.
        by: one of ``ORDERS``; what lacks it comes last.
        top: how many rows to return.

    The same answers give the same files, byte for byte.
    """
    runs, found = out / "sorted", Ranking()
    shutil.rmtree(runs, ignore_errors=True)
    runs.mkdir()
    try:
        with _CsvFile(out / "rejects.csv", REJECT_COLUMNS) as rejects:
            files = [
                _sorted_run(result, runs / f"{number:06d}", filters, by, rejects, found)
                for number, result in enumerate(results)
            ]
        with _RankedFiles(out) as ranked:
            for number, row in enumerate(_merged(files, by), start=1):
                ranked.add(row | {"rank": number})
                found.summary.add(row)
                if number <= top:
                    found.top.append(row)
    finally:
        shutil.rmtree(runs, ignore_errors=True)
    return found


def _sorted_run(
    result: Path, run: Path, filters: AnswerFilters, by: str, rejects: "_CsvFile", found: Ranking
) -> Path:
    """Write what is ranked of a shard in its order; the rejects go to their file.

    Sorted files are Arrow streams: an open Parquet file would keep its footer in memory.
    """
    table = pq.read_table(result)
    is_reject = pc.not_equal(table["error"], "")
    rejected = table.filter(is_reject).select(["row", "id", "error"]).to_pylist()
    rejects.write([row["row"], csv_cell(row["id"]), csv_cell(row["error"])] for row in rejected)
    found.rejected += len(rejected)
    table = table.filter(pc.invert(is_reject))
    found.filtered.update(name for name in table["filtered"].to_pylist() if name)
    table = table.filter(pc.equal(table["filtered"], ""))
    for name in filters.given:
        kept = table.filter(filters.mask(name, table))
        found.filtered[name] += len(table) - len(kept)
        table = kept
    order = table.sort_by([(by, "descending"), ("id", "ascending"), ("row", "ascending")])
    with pa.OSFile(str(run), "wb") as file, pa.ipc.new_stream(file, SCHEMA) as writer:
        writer.write_table(order, max_chunksize=BATCH_ROWS)
    return run


def _merged(runs: Sequence[Path], by: str) -> Iterator[Row]:
    """The rows of sorted files in their order."""
    numbers = count()
    while len(runs) > OPEN_FILES:
        first, runs = runs[:OPEN_FILES], runs[OPEN_FILES:]
        merged = first[0].with_name(f"merged-{next(numbers)}")
        rows = _merged(first, by)
        with pa.OSFile(str(merged), "wb") as file, pa.ipc.new_stream(file, SCHEMA) as writer:
            while chunk := list(islice(rows, BATCH_ROWS)):
                writer.write_batch(pa.RecordBatch.from_pylist(chunk, schema=SCHEMA))
        runs = [*runs, merged]

    def key(row: Row) -> tuple[bool, float, str, int]:
        value = row[by]
        return value is None, -(value or 0.0), row["id"], row["row"]

    return heapq.merge(*map(_rows, runs), key=key)


def _rows(run: Path) -> Iterator[Row]:
    with pa.OSFile(str(run)) as file, pa.ipc.open_stream(file) as reader:
        for batch in reader:
            yield from batch.to_pylist()


class _CsvFile(ExitStack):
    """A CSV file that appears when it is complete."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        super().__init__()
        file: IO[bytes] = self.enter_context(atomic_write(path))
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        self.callback(text.detach)  # flushes; atomic_write closes the file
        self.writer = csv.writer(text, lineterminator="\n")
        self.writer.writerow(columns)

    def write(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows."""
        self.writer.writerows(rows)


class _RankedFiles(ExitStack):
    """The ranking as Parquet and as CSV, which appear when they are complete."""

    def __init__(self, out: Path) -> None:
        super().__init__()
        self.rows: list[Row] = []
        file = self.enter_context(atomic_write(out / "ranked.parquet"))
        self.parquet = self.enter_context(pq.ParquetWriter(file, RANKED_SCHEMA, compression="zstd"))
        self.csv = self.enter_context(_CsvFile(out / "ranked.csv", CSV_COLUMNS))
        self.callback(self._write)

    def add(self, row: Row) -> None:
        """Add the next row."""
        self.rows.append(row)
        if len(self.rows) == WRITTEN_ROWS:
            self._write()

    def _write(self) -> None:
        self.parquet.write_table(pa.Table.from_pylist(self.rows, schema=RANKED_SCHEMA))
        self.csv.write(map(_csv_cells, self.rows))
        self.rows = []


def answer_of(row: Row) -> Answer:
    """The answer in a row of a result."""
    return Answer.of_row({**row, "name": row["id"], "members": dict(row["members"] or ())})


def _csv_cells(row: Row) -> list[Any]:
    answer = answer_of(row)
    members = "; ".join(f"{name} {tc:.4g} K" for name, tc in answer.members.items())
    return [
        row["rank"], csv_cell(row["id"]), csv_number(answer.tc_kelvin), *answer_cells(answer),
        answer.atoms, str(answer.is_disordered).lower(), csv_cell(members), row["novelty"],
        row["energy_above_hull"], row["content_hash"], row["row"],
    ]  # fmt: skip
