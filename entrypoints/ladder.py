"""How many hits a search has on each rung, and what it costs: predict, calculate, make.

mlflow run . -e ladder --experiment-name SuperVision --env-manager local
python -m entrypoints.ladder --candidates 1000000 --shortlist 1000 --final 10 --base-rate 0.001
"""

from dataclasses import dataclass

from entrypoints.options import FIGURES, Given, make_app, output_path, parse, run_cli
from supervision.answer.released import PREFIX, default_name, find_released
from supervision.design.theory.ladder import LadderOptions, ladder
from supervision.design.theory.ladder_report import ladder_figure, ladder_text
from supervision.release.out_of_fold import OutOfFold
from supervision.runtime.options import option, options_of
from tracking.design import log_ladder
from tracking.explanation import run_if_given


@dataclass(frozen=True)
class Output:
    """Whose predictions out of fold are used, and where the figure is written."""

    model: str = option("", "a released model; empty: the default one")
    plot: str = option("", "also write the figure there (.png, .pdf, .svg)")


def main(given: Given) -> None:
    """Print the ladder of a released model."""

    def run() -> None:
        output, options = parse(Output, given), parse(LadderOptions, given)
        with run_if_given("ladder") as logged:
            plot = output_path(output.plot, "plot", FIGURES)
            model = find_released(output.model.removeprefix(PREFIX) or default_name())
            found = ladder(OutOfFold.load(model.folder), options)
            print(f"Model {model.location}\n{ladder_text(found)}")
            if plot:
                ladder_figure(found).savefig(plot)
                print(f"\nWrote {plot}")
            if logged:
                log_ladder(found)

    run_cli(run)


app = make_app(
    main,
    [("Search", options_of(LadderOptions)), ("Output", options_of(Output))],
    "Say how many hits a search is expected to have on each rung, and what it costs.",
)

if __name__ == "__main__":
    app()
