"""Tc of CIF files without a server, from the champion or a model of your choice.

python -m entrypoints.predict a.cif b.cif folder/
python -m entrypoints.predict a.cif --model runs:/RUN_ID/model --out predictions.csv
"""

import io
import math
import tempfile
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from entrypoints.options import run_cli
from supervision.data.datasets.table import load_cif
from supervision.data.errors import CrystalError, DatasetError
from supervision.runtime.errors import reason
from supervision.runtime.files import atomic_write, shown
from supervision.runtime.text import cell, printable
from tracking.serving.models import open_model, predict_tc, story

app = typer.Typer(add_completion=False)
COLUMNS = ["file", "tc_kelvin", "problem"]
SHOWN: Any = {"float_format": lambda x: f"{x:.2f}", "na_rep": "-"}
CHAMPION = "models:/supervision-vision@champion"


@app.command()
def main(
    paths: Annotated[list[Path], typer.Argument(help="CIF files and folders of them")],
    model: Annotated[str, typer.Option(help="model URI or folder")] = CHAMPION,
    out: Annotated[Path | None, typer.Option(help="also write the table as CSV")] = None,
) -> None:
    """Print a table of critical temperatures; a file that cannot be read says why in its row."""
    run_cli(lambda: _predict(paths, model, out))


def _predict(paths: list[Path], model: str, out: Path | None) -> None:
    files = find_cifs(paths)
    if out is not None:
        check_free(out)
    loaded = open_model(model)
    print(story(loaded) or f"Model {model}", flush=True)
    table = pd.DataFrame([_row(loaded, file) for file in files], columns=COLUMNS)
    print(table.to_string(index=False, **SHOWN))
    if out is not None:
        texts = {name: table[name].map(cell) for name in ("file", "problem")}
        with atomic_write(out) as file:
            file.write(table.assign(**texts).to_csv(index=False).encode())
    if table["tc_kelvin"].isna().all():
        raise CrystalError("No file could be read; the last column says why.")


def check_free(out: Path) -> None:
    """Before an hour of predicting: the table can be written, and not over one that is no such."""
    if not out.parent.is_dir():
        raise DatasetError(f"There is no folder {out.parent} to write {out.name} to.")
    if out.exists():
        header = ",".join(COLUMNS).encode()
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
            f"{out.name} cannot be written to {out.parent} ({reason(error)}); name another folder."
        ) from error


def find_cifs(paths: list[Path]) -> list[Path]:
    """What is named, and all that ends in .cif (or .CIF) below the folders named, in order."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = [p for p in path.rglob("*") if p.suffix.lower() == ".cif" and not p.is_dir()]
            if not below:
                raise DatasetError(f"The folder {path} holds no .cif file.")
            found += sorted(below)
        elif path.exists():
            found.append(path)
        else:
            raise DatasetError(f"{path} is neither a file nor a folder.")
    return found


def _row(model: Any, file: Path) -> dict[str, str | float]:
    row: dict[str, str | float] = {"file": shown(file), "tc_kelvin": math.nan, "problem": ""}
    try:
        row["tc_kelvin"] = predict_tc(model, load_cif(file))
    except CrystalError as error:
        row["problem"] = printable(str(error))
    except OSError as error:
        row["problem"] = printable(reason(error))
    return row


if __name__ == "__main__":
    app()
