"""Which elements to replace in known crystals so that a Tc above one is likely.

supervision-tc substitute parent.cif --above 20 --out substitutes
python -m entrypoints.substitute --dataset 3dsc --model released:fast --trials 20000
mlflow run . -e substitute --experiment-name SuperVision --env-manager local -P paths=parents/
"""

from dataclasses import dataclass

from entrypoints.options import Given, make_app, parse, run_cli
from entrypoints.substitution_search import InputOptions, run_search
from supervision.design.substitutions.goals import HighTc
from supervision.design.substitutions.search import SearchOptions
from supervision.runtime.options import option, options_of


@dataclass(frozen=True)
class SubstituteOptions(SearchOptions):
    """What is searched for. Raises ValueError, naming the option, for a wrong value."""

    above: float = option(20.0, "the Tc in kelvin of the probability P(Tc > above)")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.above < float("inf"):
            raise ValueError(f"above must be 0 K or more, got {self.above:g}.")


def main(given: Given) -> None:
    """Search, and print the ranking."""

    def run() -> None:
        options = parse(SubstituteOptions, given)
        run_search("substitute", parse(InputOptions, given), HighTc(options.above), options)

    run_cli(run)


app = make_app(
    main,
    [("Input and output", options_of(InputOptions)), ("Search", options_of(SubstituteOptions))],
    "Search replacements of elements for a Tc that is likely above one.",
    argument="paths",
)

if __name__ == "__main__":
    app()
