"""Tc of CIF files without a server, from the champion or a model of your choice.

python -m entrypoints.predict a.cif b.cif folder/
python -m entrypoints.predict a.cif --model runs:/RUN_ID/model --out tc.csv
"""

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from entrypoints.options import speak
from supervision.crystals import CrystalError, DatasetError
from supervision.datasets.table import load_cif
from supervision.paths import shown
from tracking.models import open_model, predict_tc

app = typer.Typer(add_completion=False)
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
    loaded = open_model(model)
    table = pd.DataFrame([_row(loaded, file) for file in files])
    print(table.to_string(index=False, float_format=lambda x: f"{x:.2f}", na_rep="-"))
    if out is not None:
        table.to_csv(out, index=False)


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


def _row(model: Any, file: Path) -> dict[str, str | float | None]:
    try:
        tc = predict_tc(model, load_cif(file))
    except (CrystalError, OSError) as error:
        return {"file": shown(file), "tc_kelvin": None, "problem": str(error)}
    return {"file": shown(file), "tc_kelvin": tc, "problem": ""}


if __name__ == "__main__":
    app()
