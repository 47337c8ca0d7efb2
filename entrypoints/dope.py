"""Tc against the fraction of a dopant: a curve with its interval, or a map of two dopants.

supervision-tc dope La2CuO4.cif --replace La:Sr --max-fraction 0.5 --plot dope.png --out dope.csv
python -m entrypoints.dope MgB2.cif --replace Mg:Al,B:C --max-fraction 0.5,0.2 --plot map.png
mlflow run . -e dope --experiment-name SuperVision -P path=La2CuO4.cif -P replace=La:Sr
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

import supervision
from entrypoints.options import (
    FIGURES,
    MODEL_HELP,
    Given,
    make_app,
    output_path,
    parse,
    run_cli,
    user_path,
)
from supervision.data.errors import DatasetError
from supervision.design.doping.dope import DopeOptions, dope
from supervision.design.doping.report import doping_rows
from supervision.runtime.options import option, options_of
from tracking.design import log_doping
from tracking.explanation import run_if_given


@dataclass(frozen=True)
class InputOptions:
    """Which crystal, which model predicts, and what is written."""

    path: str = option("", "a structure file of the undoped or doped crystal")
    model: str = option("", MODEL_HELP)
    plot: str = option("", "also write the figure there (.png, .pdf, .svg)")
    out: str = option("", "also write points and measured materials there (.csv)")


def main(given: Given) -> None:
    """Predict the doped crystals, and print, draw and write what is found."""

    def run() -> None:
        options, inputs = parse(DopeOptions, given), parse(InputOptions, given)
        if not inputs.path:
            raise DatasetError("Nothing to dope: name a structure file.")
        plot = output_path(inputs.plot, "plot", FIGURES)
        out = output_path(inputs.out, "out", (".csv",))
        with run_if_given(f"dope · {Path(inputs.path).name}") as logged:
            model = supervision.load(inputs.model)
            print(model.summary(), flush=True)
            found = dope(model, user_path(inputs.path), options)
            print(f"\n{found}")
            if plot:
                found.plot().savefig(plot)
            if out:
                pd.DataFrame(doping_rows(found)).to_csv(out, index=False)
            for written in filter(None, (plot, out)):
                print(f"Wrote {written}")
            if logged:
                log_doping(found, options)

    run_cli(run)


app = make_app(
    main,
    [("Input and output", options_of(InputOptions)), ("Doping", options_of(DopeOptions))],
    "Predict Tc against the fraction of a dopant, or over those of two.",
    argument="path",
)

if __name__ == "__main__":
    app()
