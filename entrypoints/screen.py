"""Rank many candidates by the Tc that a model predicts; an interrupted screening goes on.

mlflow run . -e screen --experiment-name SuperVision --env-manager local -P source=candidates/
python -m entrypoints.screen candidates.tar.xz --model released:fast --out screening
python -m entrypoints.screen "generate:parents/?fractions=0.25,1"
python -m entrypoints.screen structures.parquet --domain "series,new family" --max-hull 0.05
"""

from dataclasses import dataclass

from entrypoints.options import MODEL_HELP, Given, make_app, parse, run_cli, user_path
from supervision.data.errors import DatasetError
from supervision.runtime.options import option, options_of
from supervision.screening.screen import CONFIGS, screen
from tracking import runs
from tracking.screening import log_screening
from tracking.serving.models import find_model


@dataclass(frozen=True)
class InputOptions:
    """What is screened, by which model, and where the answers are written."""

    source: str = option(
        "",
        "a folder, tar or zip archive, Parquet table, extxyz file, ASE database, OPTIMADE JSONL "
        "file or address; generate:PARENTS for the substitutions of one of these",
    )
    model: str = option("", MODEL_HELP)
    out: str = option("screening", "the folder of the screening; the same one to go on with it")


def main(given: Given) -> None:
    """Screen a source, and log the ranking and its report."""

    def run() -> None:
        inputs = parse(InputOptions, given)
        options, structure, answer = (parse(config, given) for config in CONFIGS)
        if not inputs.source:
            raise DatasetError("Nothing to screen: name a folder or a file of structures.")
        model = find_model(inputs.model)
        out = user_path(inputs.out)
        found = screen(inputs.source, out, model, options, structure, answer)
        log_screening(found, given)
        print(found)

    run_cli(runs.tracked_run("screen")(run))


HEADINGS = ("Input and output", "Screening", "Filters of structures", "Filters of answers")
app = make_app(
    main,
    [
        (heading, options_of(c))
        for heading, c in zip(HEADINGS, (InputOptions, *CONFIGS), strict=True)
    ],
    "Rank many candidates by the Tc that a model predicts.",
    argument="source",
)

if __name__ == "__main__":
    app()
