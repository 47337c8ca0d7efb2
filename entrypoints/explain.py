"""Why a model predicts the Tc of a structure: one HTML file, and its figure as PNG beside it.

mlflow run . -e explain --experiment-name SuperVision --env-manager local -P path=a.cif
python -m entrypoints.explain a.cif --out explanation.html
python -m entrypoints.explain a.cif --model FOLDER --graph runs:/RUN_ID/model --vision MODEL
python -m entrypoints.explain --formula MgB2
"""

from pathlib import Path
from typing import Annotated

import typer

from entrypoints.options import MODEL_HELP, output_path, run_cli
from supervision.answer.text import answers_text
from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError
from supervision.data.structure_inputs import one_crystal
from supervision.explain.explanation import explain
from supervision.explain.page import PAGE_FILE, write_page
from tracking.explanation import log_explanation, run_if_given
from tracking.serving.models import load_answerer, load_explaining

app = typer.Typer(add_completion=False)


@app.command()
def main(
    path: Annotated[str, typer.Argument(help="a structure file")] = "",
    formula: Annotated[str, typer.Option(help="a formula instead of a structure")] = "",
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "",
    trees: Annotated[str, typer.Option(help="boosted trees that explain the features")] = "",
    graph: Annotated[str, typer.Option(help="a graph model that explains the sites")] = "",
    vision: Annotated[str, typer.Option(help="a vision model that explains the views")] = "",
    out: Annotated[
        str, typer.Option(help=f"the HTML file; empty: {PAGE_FILE}, in an MLflow run its artifact")
    ] = "",
) -> None:
    """Write why a model predicts the Tc of a crystal: features, sites, views, doping series."""

    def run() -> None:
        with run_if_given(f"explain · {formula or Path(path).name}") as logged:
            page = output_path(out or ("" if logged else PAGE_FILE), "out", (".html",))
            crystal = _crystal(path, formula)
            others = {"trees": trees, "graph": graph, "vision": vision}
            found = explain(load_answerer(model), crystal, **load_explaining(others))
            print("\n".join([answers_text([found.answer]), *found.left_out(" (--{})")]))
            if page:
                print(f"Wrote {page} and {write_page(found, page)}")
            if logged:
                log_explanation(found)

    run_cli(run)


def _crystal(path: str, formula: str) -> Crystal:
    """The one structure of a file, or a formula. Raises CrystalError where there is none."""
    if bool(path) == bool(formula):
        raise CrystalError("Name one structure file, or give --formula MgB2.")
    if formula:
        return Crystal(formula, formula, "")
    return one_crystal(Path(path).expanduser())


if __name__ == "__main__":
    app()
