"""Tc of structure files without a server, by the best registered model or another one.

python -m entrypoints.predict a.cif POSCAR folder/
python -m entrypoints.predict a.cif --model runs:/RUN_ID/model --out predictions.csv
"""

import csv
import io
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import pandas as pd
import typer

from entrypoints.options import run_cli
from supervision.data.errors import CrystalError, DatasetError
from supervision.data.structure_files import find_structure_files
from supervision.data.structure_inputs import file_inputs
from supervision.runtime.errors import error_reason
from supervision.runtime.text import csv_cell, printable
from tracking.serving.models import PredictionRow, load_model

app = typer.Typer(add_completion=False)
COLUMNS = ["file", "tc_kelvin", "problem", "formula"]  # of the CSV file; old ones lack the last
SHOWN_COLUMNS = ["file", "formula", "tc_kelvin", "problem"]
TABLE_FORMAT: Any = {"float_format": lambda x: f"{x:.2f}", "na_rep": "-"}


@app.command()
def main(
    paths: Annotated[
        list[Path], typer.Argument(help="structure files, folders of them, CSV tables")
    ],
    model: Annotated[
        str, typer.Option(help="registered name, model URI or folder; empty: the best champion")
    ] = "",
    out: Annotated[Path | None, typer.Option(help="also write the table as CSV")] = None,
) -> None:
    """Print a table of critical temperatures; a file that cannot be read has its reason there."""
    run_cli(lambda: _predict(paths, model, out))


def _predict(paths: list[Path], model: str, out: Path | None) -> None:
    found = find_structure_files(paths)
    if found.skipped:
        print(found.skipped_line(), flush=True)
    if out is not None:
        check_out(out)
    loaded = load_model(model)
    print(loaded.summary(), flush=True)
    rows: list[PredictionRow] = []
    with _csv_writer(out) as write:
        for batch in loaded.predict_inputs(file_inputs(found.files)):
            write(batch)
            rows += batch
    table = pd.DataFrame(map(_cells, rows), columns=COLUMNS)
    print(table[SHOWN_COLUMNS].to_string(index=False, **TABLE_FORMAT))
    if table["tc_kelvin"].isna().all():
        raise CrystalError("No structure could be predicted; the last column says why.")


def check_out(out: Path) -> None:
    """Check, before anything is predicted, that the table can be written.

    Raises DatasetError where the folder is missing or read-only, and where ``out`` is a file that
    is not a table of predictions.
    """
    if not out.parent.is_dir():
        raise DatasetError(f"There is no folder {out.parent} to write {out.name} to.")
    if out.exists():
        header = ",".join(COLUMNS[:3]).encode()
        with out.open("rb") if out.is_file() else io.BytesIO() as file:
            known = file.read(len(header)) == header
        if not known:
            raise DatasetError(
                f"{out} is not a table of predictions; name another file to write to."
            )
    try:
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise DatasetError(
            f"{out.name} cannot be written to {out.parent} ({error_reason(error)}); "
            "name another folder."
        ) from error


@contextmanager
def _csv_writer(out: Path | None) -> Iterator[Callable[[Iterable[PredictionRow]], None]]:
    """A function that adds rows to the CSV file, if there is one, at once and as whole lines."""
    if out is None:
        yield lambda rows: None
        return
    with out.open("w", newline="", encoding="utf-8") as file:
        _write_lines(file, [COLUMNS])
        yield lambda rows: _write_lines(file, map(_csv_cells, rows))


def _write_lines(file: TextIO, lines: Iterable[Sequence[object]]) -> None:
    """Write lines in one piece, so that a killed process leaves no half of one."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(lines)
    file.write(text.getvalue())
    file.flush()


def _cells(row: PredictionRow) -> tuple[str, float, str, str]:
    return row.name, row.tc_kelvin, printable(row.error), row.formula


def _csv_cells(row: PredictionRow) -> tuple[str, float | str, str, str]:
    tc = "" if math.isnan(row.tc_kelvin) else row.tc_kelvin
    return csv_cell(row.name), tc, csv_cell(row.error), csv_cell(row.formula)


if __name__ == "__main__":
    app()
