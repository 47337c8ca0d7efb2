"""Sources that are trained on beside the data set: their options, and their rows as materials."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from supervision.data.crystals import Material, Reject, group_materials
from supervision.data.sources import SOURCES
from supervision.models.setup import Featurize


@dataclass(frozen=True)
class SourceSpec:
    """A source, where its local copy is (empty: download), and the weight of its rows."""

    name: str
    data: str = ""
    weight: float = 1.0


def parse_sources(
    names: str, data: str, weights: str = "", *, option: str = "extra"
) -> list[SourceSpec]:
    """The sources that an option and those for their data and weights ask for.

    Raises ValueError, naming the option, for what it does not understand.
    """
    known = [name.strip() for name in names.split(",") if name.strip()]
    for name in known:
        if name not in SOURCES:
            raise ValueError(f"{option} '{name}' is not one of {', '.join(SOURCES)}.")
        if known.count(name) > 1:
            raise ValueError(f"{option} names {name} twice.")
    paths = _by_name(f"{option}_data", data, known, option)
    of_weights = f"{option}_weights"
    numbers = {
        name: _weight(of_weights, name, text)
        for name, text in _by_name(of_weights, weights, known, option).items()
    }
    return [SourceSpec(name, paths.get(name, ""), numbers.get(name, 1.0)) for name in known]


def load_rows(source: SourceSpec, featurize: Featurize) -> tuple[list[Material], list[Reject]]:
    """The materials of a source, and its rejects; ids begin with the name of the source.

    Raises DatasetError where the source cannot be read.
    """
    from supervision.data.datasets.sources import load_source  # an archive is read without pandas

    dataset = load_source(source.name, source.data)
    own = tuple(replace(c, id=f"{source.name}/{c.id}") for c in dataset.crystals)
    usable = replace(dataset, crystals=own, rejects=()).without(featurize(own))
    rejects = [Reject(f"{source.name}/{r.name}", r.reason) for r in dataset.rejects]
    materials = [
        replace(
            material,
            id=f"{source.name}/{material.id}",
            source=source.name,
            weight=source.weight,
            is_computed=SOURCES[source.name].is_computed,
        )
        for material in group_materials(usable.crystals)
    ]
    return materials, [*rejects, *usable.rejects]


def require_structures(sources: Sequence[SourceSpec], model_family: str) -> None:
    """Raise ValueError for a source of formulas, for a model family that reads structures."""
    for source in sources:
        if not SOURCES[source.name].has_structures:
            raise ValueError(
                f"extra={source.name} has formulas without structures, which the model family "
                f"{model_family} does not read: leave it out."
            )


def require_equal_weights(sources: Sequence[SourceSpec], model_family: str) -> None:
    """Raise ValueError for a weight, for a model family that counts every material once."""
    for source in sources:
        if source.weight != 1:
            raise ValueError(
                f"extra_weights={source.name}={source.weight:g} is for models of trees; the model "
                f"family {model_family} counts every material once: leave it out."
            )


def _by_name(option: str, text: str, names: Sequence[str], listed_in: str) -> dict[str, str]:
    """``NAME=VALUE,NAME=VALUE`` as a dictionary."""
    found = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not value:
            raise ValueError(f"{option} must be NAME=VALUE,NAME=VALUE, got '{pair}'.")
        if name not in names:
            raise ValueError(f"{option} names {name}, which is not in {listed_in}.")
        found[name] = value
    return found


def _weight(option: str, name: str, text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise ValueError(f"{option}: the weight of {name} must be above 0, got '{text}'.")
    return weight
