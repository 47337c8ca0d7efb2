"""The command ``supervision-tc``: the entry points as its subcommands.

supervision-tc predict crystal.cif
supervision-tc train composition --dataset 3dsc
"""

import sys
from collections.abc import Sequence
from importlib import import_module

import typer

from entrypoints.options import add_command

COMMANDS = {
    "predict": "Tc of crystals, by your best model, a released one or one of your choice.",
    "app": "The page: Tc of your crystals in a browser, and /predict for any client.",
    "screen": "Rank many candidates by Tc: a folder, an archive, a table, a database.",
    "explain": "Why a model predicts this Tc: features, sites, views and the doping series.",
    "hand-over": "Write input for VASP and Quantum ESPRESSO for the highest predicted Tc.",
    "ladder": "Say how many hits a search is expected to have, and what it costs.",
    "dope": "Tc against the fraction of a dopant, or over those of two.",
    "substitute": "Search replacements of elements for a Tc that is likely above one.",
    "invert": "Search replacements of elements for a predicted Tc near to a target.",
    "train": "Train a model of one family.",
    "tune": "Search a family's settings with Optuna.",
    "ensemble": "Combine several models into one.",
    "rediscover": "Ask models where they rank a class of superconductors that they never saw.",
    "compare": "Write one report of several runs.",
    "release": "Register the models that come with the package.",
    "render": "Draw a data set.",
    "eval-zero-shot": "Test a model on a data set that it was not trained on.",
    "cross": "Test models on the materials of other sources, each at its distance.",
    "prepare": "Featurise a data set here, to train on it elsewhere.",
    "import-run": "Import a training that ran elsewhere into MLflow.",
    "doctor": "Check what works on this machine, and say how to fix the rest.",
}


def main() -> None:
    """The console script."""
    make_group(sys.argv[1:])(prog_name="supervision-tc")


def make_group(arguments: Sequence[str]) -> typer.Typer:
    """The command group. Of its commands only the named one is imported: imports take seconds."""
    group = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        help="Critical temperatures of superconductors from their crystal structures.",
    )
    for name, text in COMMANDS.items():
        if name not in arguments[:1]:
            group.command(name=name, help=text)(_not_imported)
        elif name == "train":
            from entrypoints.train import all_families

            group.add_typer(all_families(), name=name, help=text)
        else:
            module = import_module(f"entrypoints.{name.replace('-', '_')}")
            add_command(group, name, module.app)
    return group


def _not_imported() -> None:
    """Stands in the list of commands for one that this process does not run."""


if __name__ == "__main__":
    main()
