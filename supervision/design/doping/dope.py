"""Tc against the fraction of a dopant, or over those of two, by any model.

found = dope(supervision.load(), "La2CuO4.cif", DopeOptions("La:Sr", max_fraction="0.5"))
print(found)
found.highest.answer.tc_kelvin
found.plot().savefig("dope.png")
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from supervision.answer.answer import Answer
from supervision.answer.loaded import LoadedModel
from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError
from supervision.data.structure_inputs import StructureInput, one_crystal
from supervision.data.substitution import Substitution
from supervision.design.doping.curve import CURVE_POINTS, Doping, doping, fractions_to
from supervision.design.doping.figure import doping_figure
from supervision.design.doping.report import doping_text
from supervision.runtime.options import option

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAP_POINTS = 21  # of each dopant
MAX_DOPANTS = 2


@dataclass(frozen=True)
class DopeOptions:
    """Which elements are replaced, and how far."""

    replace: str = option("", "HOST:DOPANT, such as La:Sr; two by a comma for a map: La:Sr,Cu:Zn")
    max_fraction: str = option(
        "", "the highest fraction of the dopant on the sites of the host, or one each by commas; "
        "empty: 1"
    )  # fmt: skip
    points: int = option(0, f"fractions of each dopant; 0: {CURVE_POINTS}, on a map {MAP_POINTS}")

    def __post_init__(self) -> None:
        if self.points and self.points < 2:
            raise ValueError(f"points must be 2 or more, got {self.points}.")
        _ = self.substitutions, self.axes

    @property
    def substitutions(self) -> tuple[Substitution, ...]:
        """One substitution or, for a map, two. Raises ValueError for what is neither."""
        if not self.replace.strip():
            raise ValueError("Nothing to replace: name host and dopant, as in --replace La:Sr.")
        pairs = [tuple(map(str.strip, pair.split(":"))) for pair in self.replace.split(",")]
        if len(pairs) > MAX_DOPANTS or not all(len(pair) == 2 and all(pair) for pair in pairs):
            raise ValueError(
                "replace must be HOST:DOPANT, such as La:Sr, or two of them as in La:Sr,Cu:Zn; "
                f"got '{self.replace[:40]}'."
            )
        names = [name for pair in pairs for name in pair]
        if len(pairs) == MAX_DOPANTS and len({*names}) < len(names):
            raise ValueError(
                f"The two substitutions of a map have four different elements; {self.replace} "
                "names one of them twice."
            )
        return tuple(Substitution(*pair) for pair in pairs)

    @property
    def axes(self) -> tuple[np.ndarray, ...]:
        """The fractions of each dopant. Raises ValueError for a highest one that is none."""
        count = len(self.substitutions)
        texts = [text.strip() for text in (str(self.max_fraction).strip() or "1").split(",")]
        highest = [_highest(text) for text in (texts * count if len(texts) == 1 else texts)]
        if len(highest) != count:
            raise ValueError(
                f"max_fraction has {len(highest)} values and replace {count} substitutions; give "
                "one value for each."
            )
        points = self.points or (CURVE_POINTS if count == 1 else MAP_POINTS)
        return tuple(fractions_to(x, points) for x in highest)


class DopingResult(Doping):
    """A doping that prints as text of at most 100 columns, and draws itself."""

    def __repr__(self) -> str:
        return doping_text(self)

    def plot(self) -> "Figure":
        """The curve with its interval, or a heat map: domains, measured materials, support."""
        return doping_figure(self)


def dope(model: LoadedModel, structure: Any, options: DopeOptions) -> DopingResult:
    """The Tc that a model predicts as dopants replace elements of a crystal.

    Every site of a host takes part alike; positions and cell stay those of the crystal.

    Args:
        structure: one structure, as for ``LoadedModel.predict``.

    Raises CrystalError with one sentence for a structure that cannot be read, a host that it lacks,
    and where no point can be predicted.
    """

    def ask(crystals: Sequence[Crystal]) -> list[Answer]:
        inputs = [StructureInput(c.id, c.cif) for c in crystals]
        return [answer for batch in model.predict_inputs(inputs) for answer in batch]

    model.quantity.require_tc("dope")
    crystal = one_crystal(structure)
    if not crystal.cif:
        raise CrystalError(f"{crystal.id} is a formula; sites to dope are those of a structure.")
    found = doping(ask, model.known, crystal, options.substitutions, options.axes)
    return DopingResult(**vars(found))


def _highest(text: str) -> float:
    """The highest fraction of an axis. Raises ValueError for what is none."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found <= 1:
        raise ValueError(f"max_fraction must be over 0 and at most 1, got '{text[:20]}'.")
    return found
