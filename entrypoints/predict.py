"""Tc of structure files without a server, by your best model, a released one or another one.

A model of another quantity predicts that one.

python -m entrypoints.predict a.cif POSCAR folder/
python -m entrypoints.predict a.cif --fast
python -m entrypoints.predict a.cif --model runs:/RUN_ID/model --out predictions.csv
python -m entrypoints.predict --formula MgB2 --formula Nb3Sn
cat a.cif | python -m entrypoints.predict - --json
"""

import io
import json
import math
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, TextIO

import typer

import supervision
from entrypoints.options import MODEL_HELP, run_cli
from supervision.answer.answer import Answer
from supervision.answer.csv_table import csv_lines, prediction_cells, prediction_columns
from supervision.answer.loaded import LoadedModel
from supervision.answer.text import answers_text
from supervision.data.errors import CrystalError, DatasetError
from supervision.data.quantity import Quantity
from supervision.data.structure_files import find_structure_files
from supervision.data.structure_inputs import StructureInput, file_inputs, text_input
from supervision.runtime.errors import error_reason

app = typer.Typer(add_completion=False)
STDIN = Path("-")
TABLE_START = re.compile(rb"file,[A-Za-z]\w*,problem")  # of a CSV file that this command wrote


@app.command()
def main(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="structure files, folders of them, CSV tables; - reads a text"),
    ] = None,
    formula: Annotated[
        list[str] | None, typer.Option(help="a formula without a structure; may be repeated")
    ] = None,
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "",
    fast: Annotated[
        bool, typer.Option("--fast", help="the released model that answers soonest")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="also write the table as CSV")] = None,
    rank: Annotated[bool, typer.Option("--rank", help="the highest value first")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="print the answers as JSON, and nothing else")
    ] = False,
) -> None:
    """Print critical temperatures, how sure they are, and what is known of near materials."""
    load = partial(supervision.load, model, fast=fast)
    run_cli(lambda: _predict(paths or [], formula or [], load, out, rank=rank, as_json=as_json))


def _predict(
    paths: list[Path], formulas: list[str], load: Callable[[], LoadedModel], out: Path | None, *,
    rank: bool, as_json: bool,
) -> None:  # fmt: skip
    inputs, skipped = _inputs(paths, formulas)
    if out is not None:
        check_out(out)
    loaded = load()
    for text in filter(None, (skipped, loaded.summary())):
        print(text, file=sys.stderr if as_json else sys.stdout, flush=True)
    answers: list[Answer] = []
    with _csv_writer(out, loaded.quantity) as write:
        for batch in loaded.predict_inputs(inputs):
            write(batch)
            answers += batch
    if rank:
        answers.sort(key=lambda a: math.inf if math.isnan(a.tc_kelvin) else -a.tc_kelvin)
    shown = (
        json.dumps([a.to_row() for a in answers], indent=1) if as_json else answers_text(answers)
    )
    print(shown)
    if all(answer.error for answer in answers):
        raise CrystalError("No structure could be predicted; the lines above say why.")


def _inputs(paths: list[Path], formulas: list[str]) -> tuple[list[StructureInput], str]:
    """What is to be predicted, and a line on what was skipped."""
    given = [
        StructureInput(formula or "an empty formula", "", formula=formula) for formula in formulas
    ]
    if STDIN in paths:
        given.insert(0, text_input("stdin", sys.stdin.read()))
    files = [path for path in paths if path != STDIN]
    if not files:
        if not given:
            raise DatasetError("Nothing to predict: name structure files, or --formula MgB2.")
        return given, ""
    found = find_structure_files(files)
    return [*given, *file_inputs(found.files)], found.skipped_line() if found.skipped else ""


def check_out(out: Path) -> None:
    """Check, before anything is predicted, that the table can be written.

    Raises DatasetError where the folder is missing or read-only, and where ``out`` is a file that
    is not a table of predictions.
    """
    if not out.parent.is_dir():
        raise DatasetError(f"There is no folder {out.parent} to write {out.name} to.")
    if out.exists():
        with out.open("rb") if out.is_file() else io.BytesIO() as file:
            known = TABLE_START.match(file.read(100))
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
def _csv_writer(
    out: Path | None, quantity: Quantity
) -> Iterator[Callable[[Iterable[Answer]], None]]:
    """A function that adds rows to the CSV file, if there is one, at once and as whole lines."""
    if out is None:
        yield lambda answers: None
        return
    with out.open("w", newline="", encoding="utf-8") as file:
        _write_lines(file, [prediction_columns(quantity)])
        yield lambda answers: _write_lines(file, map(prediction_cells, answers))


def _write_lines(file: TextIO, lines: Iterable[Sequence[object]]) -> None:
    """Write lines in one piece, so that a killed process leaves no half of one."""
    file.write(csv_lines(lines))
    file.flush()


if __name__ == "__main__":
    app()
