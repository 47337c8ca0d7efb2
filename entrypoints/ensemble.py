"""Combine several models into one; those that are not trained yet are trained first.

mlflow run . -e ensemble --experiment-name SuperVision --env-manager local -P dataset=classics
python -m entrypoints.ensemble --dataset 3dsc --split novel --folds 5 --members composition,graph
"""

from dataclasses import dataclass

from entrypoints.experiment_options import experiment_of, experiment_options
from entrypoints.options import Given, listed, make_app, parse, run_cli
from supervision.models.ensemble.stacking import METHODS
from supervision.runtime.options import option, options_of
from tracking.comparison.results import Result
from tracking.ensemble.members import DEFAULT_MEMBERS, MEMBERS, check_members, train_member
from tracking.ensemble.publish import AUTO, publish
from tracking.runs import tracked_run

DATA = (
    "dataset", "data", "split", "apart", "folds", "extra", "extra_data", "extra_weights", "limit",
    "seed", "allow_loss", "parallel",
)  # fmt: skip


@dataclass(frozen=True)
class EnsembleOptions:
    """What is combined, and how. Raises ValueError for a value that is refused."""

    members: str = option(
        DEFAULT_MEMBERS, f"models to combine, separated by commas: {', '.join(MEMBERS)}"
    )
    runs: str = option("", "instead of members: ids of finished runs, separated by commas")
    stacking: str = option(
        AUTO, "mean, nnls, levels, or auto: mean, unless validation shows another to be better"
    )
    register: bool = option(True, "register the model")

    def __post_init__(self) -> None:
        if self.stacking not in (AUTO, *METHODS):
            raise ValueError(
                f"stacking '{self.stacking}' is not one of {', '.join((AUTO, *METHODS))}."
            )
        if not self.run_ids:
            check_members(self.names)

    @property
    def names(self) -> list[str]:
        """The members by name."""
        return listed(self.members)

    @property
    def run_ids(self) -> list[str]:
        """The runs that are given."""
        return listed(self.runs)


def main(given: Given) -> None:
    """Train the members where necessary, stack them, evaluate and register the result."""

    def run() -> None:
        options, experiment = parse(EnsembleOptions, given), experiment_of(given)
        if options.run_ids:
            found = [Result.read(id) for id in options.run_ids]
            members = {_folder_name(result): result for result in found}
        else:
            members = {n: Result.read(train_member(n, experiment)) for n in options.names}
        publish(members, options.stacking, register=options.register)

    run_cli(tracked_run(f"ensemble · {given['dataset']}")(run))


def _folder_name(result: Result) -> str:
    """A name for a member that is given as a run; it names a folder of the model, too."""
    return f"{result.kind.model_family}-{result.id[:8]}"


app = make_app(
    main,
    [("Data", experiment_options(*DATA)), ("Ensemble", options_of(EnsembleOptions))],
    "Combine several models into one.",
)

if __name__ == "__main__":
    app()
