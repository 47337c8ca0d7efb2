"""Which elements to replace in known crystals so that the predicted Tc is near to a target.

supervision-tc invert parents/ --tc 40 --out inverted
python -m entrypoints.invert --dataset 3dsc --tc 77 --model released:fast --trials 20000
mlflow run . -e invert --experiment-name SuperVision --env-manager local -P paths=parents/ -P tc=40
"""

from dataclasses import dataclass

from entrypoints.options import Given, make_app, parse, run_cli
from entrypoints.substitution_search import InputOptions, run_search
from supervision.design.substitutions.goals import TargetTc
from supervision.design.substitutions.search import SearchOptions
from supervision.runtime.options import option, options_of


@dataclass(frozen=True)
class InvertOptions(SearchOptions):
    """What is searched for. Raises ValueError, naming the option, for a wrong value."""

    tc: float = option(40.0, "the target: a Tc in kelvin")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.tc < float("inf"):
            raise ValueError(f"tc must be over 0 K, got {self.tc:g}.")


def main(given: Given) -> None:
    """Search, and print the ranking."""

    def run() -> None:
        options = parse(InvertOptions, given)
        run_search("invert", parse(InputOptions, given), TargetTc(options.tc), options)

    run_cli(run)


app = make_app(
    main,
    [("Input and output", options_of(InputOptions)), ("Search", options_of(InvertOptions))],
    "Search replacements of elements for a predicted Tc near to a target.",
    argument="paths",
)

if __name__ == "__main__":
    app()
