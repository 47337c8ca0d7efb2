"""Why a model predicts the Tc of a structure: one HTML file, and its figure as PNG beside it.

python -m entrypoints.explain a.cif --out explanation.html
python -m entrypoints.explain a.cif --model FOLDER --graph runs:/RUN_ID/model --vision MODEL
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from entrypoints.options import run_cli
from supervision.answer.loaded import ModelError
from supervision.answer.text import answers_text
from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError, DatasetError
from supervision.data.structure_inputs import structure_inputs
from supervision.explain.explanation import explain, models_by_family
from supervision.explain.page import write_page
from tracking.serving.models import load_answerer

app = typer.Typer(add_completion=False)


@app.command()
def main(
    path: Annotated[Path, typer.Argument(help="a structure file")],
    model: Annotated[
        str,
        typer.Option(
            help="registered name, model URI, folder or released:NAME; empty: the best champion, "
            "or else the released default"
        ),
    ] = "",
    graph: Annotated[str, typer.Option(help="a graph model that explains the sites")] = "",
    vision: Annotated[str, typer.Option(help="a vision model that explains the views")] = "",
    out: Annotated[Path, typer.Option(help="the HTML file")] = Path("explanation.html"),
) -> None:
    """Write why a model predicts the Tc of a crystal: features, sites, views, doping series."""
    run_cli(lambda: _explain(path, model, {"graph": graph, "vision": vision}, out))


def _explain(path: Path, model: str, others: dict[str, str], out: Path) -> None:
    crystal = _crystal(path)
    _check_out(out)
    further = {family: _of_family(name, family) for family, name in others.items() if name}
    found = explain(load_answerer(model), crystal, **further)
    image = write_page(found, out)
    print(f"{answers_text([found.answer])}\n\nWrote {out} and {image}")


def _crystal(path: Path) -> Crystal:
    """The one structure of a file. Raises CrystalError where there is none, or several."""
    found = structure_inputs(path)
    if len(found) != 1:
        raise CrystalError(f"{path} holds {len(found)} structures; explain takes one.")
    (given,) = found
    if given.error:
        raise CrystalError(given.error)
    return Crystal(given.name, given.formula, given.cif)


def _check_out(out: Path) -> None:
    """Raise DatasetError, before anything is computed, where the page cannot be written."""
    if out.suffix != ".html":
        raise DatasetError(f"--out must be the name of an .html file, got {out.name}.")
    if not out.parent.is_dir():
        raise DatasetError(f"There is no folder {out.parent} to write {out.name} to.")


def _of_family(name: str, family: str) -> Any:
    """The predictor of a family that a model is, or has as a member."""
    found = models_by_family(load_answerer(name).predictor)
    if family not in found:
        raise ModelError(
            f"The model {name} is of the family {', '.join(found)}, but --{family} needs a model "
            f"of the family {family}."
        )
    return found[family]


if __name__ == "__main__":
    app()
