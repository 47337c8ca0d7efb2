"""Tc of CIF files without a server, from the champion or a model of your choice.

python -m entrypoints.predict a.cif b.cif folder/
python -m entrypoints.predict a.cif --model runs:/RUN_ID/model --out tc.csv
"""

from pathlib import Path
from typing import Annotated, Any

import mlflow
import pandas as pd
import typer
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel

from entrypoints.options import speak
from supervision.crystals import CrystalError, DatasetError

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
    try:
        loaded = mlflow.pyfunc.load_model(model)
    except (MlflowException, OSError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise DatasetError(
            f"The model {model} cannot be loaded ({reason}); train one first, or name another "
            "with --model."
        ) from error
    table = pd.DataFrame([_row(loaded, file) for file in files])
    print(table.to_string(index=False, float_format=lambda x: f"{x:.2f}", na_rep="-"))
    if out is not None:
        table.to_csv(out, index=False)


def find_cifs(paths: list[Path]) -> list[Path]:
    """The files named, and every .cif below the folders named, in order."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = sorted(path.rglob("*.cif"))
            if not below:
                raise DatasetError(f"The folder {path} holds no .cif file.")
            found += below
        elif path.is_file():
            found.append(path)
        else:
            raise DatasetError(f"{path} is neither a file nor a folder.")
    return found


def _row(model: PyFuncModel, file: Path) -> dict[str, str | float | None]:
    text = file.read_bytes().decode(errors="replace")
    try:
        predicted: Any = model.predict(pd.DataFrame({"cif": [text]}))
        tc = float(predicted["tc_kelvin"][0])
    except (MlflowException, CrystalError) as error:
        return {"file": str(file), "tc_kelvin": None, "problem": str(error).removeprefix("Row 0: ")}
    return {"file": str(file), "tc_kelvin": tc, "problem": ""}


if __name__ == "__main__":
    app()
