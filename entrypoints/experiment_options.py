"""The options of an experiment on a command line."""

from typing import Any

from entrypoints.options import Given
from supervision.experiment.spec import Experiment
from supervision.runtime.options import Option, options_of


def experiment_options(*names: str) -> list[Option]:
    """Options of an experiment by name; all of them where none is named."""
    found = options_of(Experiment)
    return [option for option in found if option.name in names or not names]


def experiment_of(given: Given, **fixed: Any) -> Experiment:
    """The experiment that options describe. Raises ValueError, naming the option at fault."""
    values = {
        option.name: option.resolve(given[option.name], {})
        for option in options_of(Experiment)
        if option.name in given
    }
    return Experiment.of(**values | fixed)
