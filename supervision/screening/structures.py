"""The structures of the first candidates of a ranking: from the shards, and as CIF files."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from supervision.data.crystals import Crystal
from supervision.runtime.files import PARTIAL_SUFFIX
from supervision.runtime.text import ranked_file_name
from supervision.screening.folder import ScreeningFolder
from supervision.screening.shards import Manifest
from supervision.screening.worker import Row


def ranked_crystals(
    rows: Sequence[Row], folder: ScreeningFolder, manifest: Manifest
) -> list[Crystal]:
    """The crystals of rows of the ranking, in their order."""
    return list(_crystals(rows, folder, manifest))


def write_structures(crystals: Sequence[Crystal], folder: Path) -> None:
    """Write a CIF file for each crystal that has a structure, named by its rank and id.

    Args:
        folder: what was there before is replaced.
    """
    partial = folder.with_name(f"{folder.name}{PARTIAL_SUFFIX}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for rank, crystal in enumerate(crystals, start=1):
        if crystal.cif:
            (partial / ranked_file_name(rank, crystal.id, ".cif")).write_text(crystal.cif)
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


def _crystals(
    rows: Sequence[Row], folder: ScreeningFolder, manifest: Manifest
) -> Iterator[Crystal]:
    for row in rows:
        first = 0
        for shard in manifest.shards:
            if row["row"] < first + shard.rows:
                break
            first += shard.rows
        path = folder.shards / f"{shard.name}.parquet"
        columns, chosen = ["id", "formula", "cif"], [("row", "==", row["row"])]
        (given,) = pq.read_table(path, columns=columns, filters=chosen).to_pylist()
        yield Crystal(given["id"], given["formula"], given["cif"])
