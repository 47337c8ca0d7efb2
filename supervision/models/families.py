"""The model families by name. A family is a folder beside this file with a ``family.py`` in it.

    family = get_family("vision")
    configs = default_configs(family, "classics", seed=42)
    setup = family.setup("auto", "cpu", *configs)

ARCHITECTURE.md says how to add one.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from supervision.data.quantity import TC, Quantity
from supervision.models.predictor import CONFIG_FILE, SavedPredictor
from supervision.models.setup import ModelSetup
from supervision.runtime.options import AUTO, configure
from supervision.training.target import IDENTITY, LINEAR, SQRT

ORDER = ("vision", "graph", "structure", "composition")  # of display; other families follow by name


@dataclass(frozen=True)
class ModelFamily:
    """What the rest of the project needs to know of a model family.

    Attributes:
        reads: what a model reads and with what, to be put after "a model that reads", such as
            "the crystal's graph with ALIGNN".
        entry_point: the words after ``python -m entrypoints.`` that train it: ``train NAME``. (The
            three oldest families have modules of their own.) MLproject has it with ``_``.
        configs: the config dataclasses, whose options are those of the entry point. With a second
            one, a FitConfig, the family learns epoch by epoch from pretrained weights.
        setup: ``(weights, device, *configs)`` -> a model ready to be trained. It imports the
            family's heavy packages itself.
        predictor: ``module:class`` of its predictor.
        serving_packages: all distributions that are imported from the loading of a saved model to
            its answer; they become the requirements of the served model.
        learns_from_formulas: whether it can be trained on formulas without structures, too.
        predicts_formulas: whether it can predict them.
        is_trained: whether its models are trained on materials, not made from other models.
        registered_as: the name under which its models are registered; empty: supervision-NAME.
    """

    name: str
    reads: str
    entry_point: str
    configs: tuple[type, ...]
    setup: Callable[..., ModelSetup]
    predictor: str
    serving_packages: tuple[str, ...]
    learns_from_formulas: bool = False
    predicts_formulas: bool = False
    is_trained: bool = True
    registered_as: str = ""

    @property
    def has_epochs(self) -> bool:
        """Whether it learns epoch by epoch, and so has weights, a device and checkpoints."""
        return len(self.configs) > 1

    @property
    def model_name(self) -> str:
        """The name under which its models of Tc are registered."""
        return self.registered_as or f"supervision-{self.name}"

    def model_name_of(self, quantity: Quantity) -> str:
        """The name under which its models of a quantity are registered."""
        return self.model_name if quantity.is_tc else f"{self.model_name}-{quantity.name}"


def trained_families() -> list[ModelFamily]:
    """The families with a training command, in the order of display."""
    return [family for family in map(get_family, family_names()) if family.is_trained]


@cache
def family_names() -> tuple[str, ...]:
    """The names of all model families, in the order of display."""
    found = sorted(path.parent.name for path in Path(__file__).parent.glob("*/family.py"))
    return (*ORDER, *(name for name in found if name not in ORDER))


def get_family(name: str) -> ModelFamily:
    """A model family by name. Raises ValueError, naming those that there are."""
    if name not in family_names():
        raise ValueError(f"model family '{name}' is not one of {', '.join(family_names())}.")
    module = import_module(f"{__package__}.{name}.family")
    family = getattr(module, "FAMILY", None)
    if not isinstance(family, ModelFamily) or family.name != name:
        raise ValueError(f"{module.__file__} must define FAMILY, a ModelFamily named '{name}'.")
    return family


def default_configs(
    family: ModelFamily,
    dataset: str,
    seed: int,
    given: Mapping[str, Any] | None = None,
    quantity: Quantity = TC,
) -> list[Any]:
    """The configs of a family for a data set, with the options that are given.

    The default transform is that of Tc. Another quantity is learned as it is and, where it may be
    negative, without a calibration factor, which is relative to 0.

    Raises ValueError, naming the option, for a value that is refused.
    """
    given = dict(given or {})
    if not quantity.is_tc and given.get("target", SQRT) == SQRT:
        given["target"] = LINEAR if quantity.minimum is None else IDENTITY
    if quantity.minimum is None and given.get("calibrate", AUTO) == AUTO:
        given["calibrate"] = "false"
    return configure(family.configs, given, {"dataset": dataset}, seed=seed)


def load_predictor(folder: Path) -> SavedPredictor:
    """A saved predictor of any family.

    Raises FileNotFoundError or ValueError where there is none that this code can read, WeightsError
    where it was saved without pretrained weights that are unavailable.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no saved predictor: there is no {CONFIG_FILE}.")
    config = json.loads(path.read_text())
    name = config.get("model_family", config.get("pipeline"))  # the key of earlier versions
    if name not in family_names():
        raise ValueError(f"{path} names the unknown model family '{name}'.")
    module, _, predictor = get_family(name).predictor.partition(":")
    loaded: SavedPredictor = getattr(import_module(module), predictor).load(folder, config)
    return loaded
