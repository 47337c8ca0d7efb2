"""What a search has found as files: the ranking, the figure, and the best candidates as CIF."""

import csv
from pathlib import Path
from typing import Any

from supervision.answer.csv_table import answer_cells, answer_columns, csv_number
from supervision.data.cif_writer import structure_to_cif
from supervision.design.substitutions.figure import search_figure
from supervision.design.substitutions.found import Found
from supervision.design.substitutions.goals import Hit
from supervision.runtime.text import csv_cell, ranked_file_name

TABLE_FILE, FIGURE_FILE, TEXT_FILE = "ranked.csv", "front.png", "ranked.txt"
COLUMNS = (
    "rank", "id", "parent", "replacements", "plausibility", "source", "front", "tc_kelvin",
    "above_kelvin", "p_above", *answer_columns(), "nearest_distance", "file",
)  # fmt: skip


def write_found(found: Found, folder: Path) -> None:
    """Write ``ranked.csv``, ``ranked.txt``, ``front.png``, and the hits that are shown as CIF.

    The CIF files are named by rank and id. The same search gives the same bytes.

    Args:
        folder: an existing one.
    """
    files = [
        ranked_file_name(rank, hit.variant.id, ".cif")
        for rank, hit in enumerate(found.shown, start=1)
    ]
    for hit, name in zip(found.shown, files, strict=True):
        (folder / name).write_text(structure_to_cif(hit.variant.structure))
    names = [*files, *[""] * (len(found.hits) - len(files))]
    with (folder / TABLE_FILE).open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for rank, row in enumerate(zip(found.hits, found.front, names, strict=True), start=1):
            writer.writerow(_cells(rank, found.goal.above, *row))
    (folder / TEXT_FILE).write_text(f"{found}\n")
    search_figure(found).savefig(folder / FIGURE_FILE)


def _cells(rank: int, above: float, hit: Hit, is_front: bool, file: str) -> list[Any]:
    variant, answer = hit.variant, hit.answer
    distance = answer.nearest[0].distance if answer.nearest else ""
    return [
        rank, csv_cell(variant.id), csv_cell(variant.parent.id), variant.description,
        variant.plausibility, variant.source, str(is_front).lower(), answer.tc_kelvin, above,
        csv_number(hit.p_above), *answer_cells(answer), distance, file,
    ]  # fmt: skip
