"""Input folders for calculations of the crystals of highest predicted Tc: QE and VASP.

supervision-tc hand-over a.cif folder/ --to espresso,vasp --out calculations
mlflow run . -e hand_over --experiment-name SuperVision --env-manager local -P paths=folder
"""

from dataclasses import dataclass

import supervision
from entrypoints.options import (
    MODEL_HELP,
    Given,
    make_app,
    output_folder,
    parse,
    run_cli,
    user_path,
)
from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError, DatasetError
from supervision.data.structure_files import find_structure_files
from supervision.data.structure_inputs import file_inputs
from supervision.design.theory.hand_over import HandOverOptions, hand_over, hand_over_text
from supervision.runtime.options import option, options_of
from tracking.design import log_hand_over
from tracking.explanation import run_if_given

OUT = "calculations"


@dataclass(frozen=True)
class InputOptions:
    """Which crystals, which model predicts, and where the folders are written."""

    paths: tuple[str, ...] = option((), "structure files, folders of them, CSV tables")
    model: str = option("", MODEL_HELP)
    out: str = option(
        "", f"a new or empty folder; empty: {OUT}, in an MLflow run its artifacts alone"
    )


def main(given: Given) -> None:
    """Predict, rank, and write the folders."""

    def run() -> None:
        options, inputs = parse(HandOverOptions, given), parse(InputOptions, given)
        if not inputs.paths:
            raise DatasetError("Nothing to hand over: name structure files, or folders of them.")
        files = find_structure_files([user_path(path) for path in inputs.paths]).files
        crystals_in = file_inputs(files)
        with (
            run_if_given("hand-over") as logged,
            output_folder(inputs.out or ("" if logged else OUT)) as folder,
        ):
            model = supervision.load(inputs.model)
            model.quantity.require_tc("hand_over")
            print(model.summary(), flush=True)
            answers = [answer for batch in model.predict_inputs(crystals_in) for answer in batch]
            crystals = [Crystal(one.name, one.formula, one.cif) for one in crystals_in]
            done = hand_over(crystals, answers, folder, options)
            print(hand_over_text(done))
            if logged:
                log_hand_over(done, folder, options)
            if all(one.problem for one in done):
                raise CrystalError("No crystal was handed over; the lines above say why.")

    run_cli(run)


app = make_app(
    main,
    [("Input and output", options_of(InputOptions)), ("Hand-over", options_of(HandOverOptions))],
    "Write input for VASP and Quantum ESPRESSO for the crystals of highest predicted Tc.",
    argument="paths",
)

if __name__ == "__main__":
    app()
