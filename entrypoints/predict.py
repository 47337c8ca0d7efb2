"""Tc of CIF files without a server, from the champion or a model of your choice.

python -m entrypoints.predict a.cif b.cif folder/
python -m entrypoints.predict a.cif --model runs:/RUN_ID/model --out predictions.csv
"""

import math
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from entrypoints.options import speak
from supervision.crystals import CrystalError, DatasetError
from supervision.datasets.table import load_cif
from supervision.paths import shown
from tracking.models import open_model, predict_tc, story

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
    speak(lambda: _predict(paths, model, out))


def _predict(paths: list[Path], model: str, out: Path | None) -> None:
    files = find_cifs(paths)
    if out is not None:
        check_free(out)
    loaded = open_model(model)
    print(story(loaded) or f"Model {model}", flush=True)
    table = pd.DataFrame([_row(loaded, file) for file in files], columns=COLUMNS)
    print(table.to_string(index=False, **SHOWN))
    if out is not None:
        table.to_csv(out, index=False)
    if table["tc_kelvin"].isna().all():
        raise CrystalError("No file could be read; the last column says why.")


def check_free(out: Path) -> None:
    """Before an hour of predicting: the table can be written, and not over one that is no such."""
    if not out.parent.is_dir():
        raise DatasetError(f"There is no folder {out.parent} to write {out.name} to.")
    if out.exists() and not out.read_bytes().startswith(",".join(COLUMNS).encode()):
        raise DatasetError(f"{out} is not a table of predictions; name another file to write to.")


def find_cifs(paths: list[Path]) -> list[Path]:
    """The files named, and every .cif (or .CIF) file below the folders named, in order."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = [p for p in path.rglob("*") if p.suffix.lower() == ".cif" and not p.is_dir()]
            if not below:
                raise DatasetError(f"The folder {path} holds no .cif file.")
            found += sorted(below)
        elif path.is_file():
            found.append(path)
        else:
            raise DatasetError(f"{path} is neither a file nor a folder.")
    return found


def _row(model: Any, file: Path) -> dict[str, str | float]:
    try:
        tc = predict_tc(model, load_cif(file))
    except (CrystalError, OSError) as error:
        return {"file": shown(file), "tc_kelvin": math.nan, "problem": str(error)}
    return {"file": shown(file), "tc_kelvin": tc, "problem": ""}


if __name__ == "__main__":
    app()
