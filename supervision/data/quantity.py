"""The quantity that a model learns: Tc or, of a user's data set, the number in another column."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,49}")
RESERVED = {
    "atoms", "cif", "distance", "domain", "domain_error", "error", "file", "formula", "id",
    "is_disordered", "material_id_2", "members", "model_version", "name", "nearest", "parent_id",
    "path", "problem", "quantity", "remarks", "unit", "weight",
}  # columns of data sets and of answers  # fmt: skip


@dataclass(frozen=True)
class Quantity:
    """A quantity of a material.

    Attributes:
        name: of the column that it is read from.
        unit: empty for a number without unit.
        minimum: the least value that it can have; None where it may have any.
    """

    name: str
    unit: str = ""
    minimum: float | None = None

    @classmethod
    def of(cls, name: str, unit: str = "") -> "Quantity":
        """The quantity of a column; without a unit, that of ``KNOWN``.

        Raises ValueError, naming the option, for what cannot be a column of numbers, and for
        another unit of Tc.
        """
        if not NAME.fullmatch(name) or name in RESERVED or (name.lower() == "tc" and name != "tc"):
            raise ValueError(
                f"quantity '{name[:60]}' is no name of a column to learn: give tc, or letters, "
                "digits and _ that name no other column of a data set or of an answer."
            )
        known = KNOWN.get(name, cls(name))
        if name == TC.name and unit not in ("", TC.unit):
            raise ValueError(f"unit={unit}, but tc is in {TC.unit}: leave unit out.")
        return known if unit in ("", known.unit) else cls(name, unit, known.minimum)

    @property
    def is_tc(self) -> bool:
        """Whether it is the critical temperature, for which some tools alone are made."""
        return self.name == TC.name

    @property
    def symbol(self) -> str:
        """Its name in text: ``Tc``, ``band gap``."""
        return "Tc" if self.is_tc else self.name.replace("_", " ")

    @property
    def label(self) -> str:
        """Its name with the unit, as axes and columns have it: ``Tc (K)``, ``band gap (eV)``."""
        return f"{self.symbol} ({self.unit})" if self.unit else self.symbol

    @property
    def heading(self) -> str:
        """The label as a heading: ``Tc (K)``, ``Band gap (eV)``."""
        return self.label[0].upper() + self.label[1:]

    def with_unit(self, number: str) -> str:
        """A number with its unit."""
        return f"{number} {self.unit}" if self.unit else number

    def number(self, value: float, sign: str = "") -> str:
        """An error in text without unit; ``sign`` is that of a format, such as ``+``."""
        return f"{value:{sign}.{2 if self.is_tc else 3}f}"

    def error(self, value: float, sign: str = "") -> str:
        """An error in text with its unit."""
        return self.with_unit(self.number(value, sign))

    def require_tc(self, what: str) -> None:
        """Raise ValueError, naming the tool ``what``, for a model of another quantity."""
        if not self.is_tc:
            raise ValueError(
                f"{what} is made for Tc, and this model predicts {self.symbol}: name a model of Tc."
            )

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, as they are saved with a model."""
        return asdict(self)

    @classmethod
    def of_model(cls, provenance: Mapping[str, Any]) -> "Quantity":
        """The quantity that is saved with a model; Tc where there is none."""
        return cls(**provenance["quantity"]) if "quantity" in provenance else TC


TC = Quantity("tc", "K", 0)
KNOWN = {
    quantity.name: quantity
    for quantity in (
        TC,
        Quantity("band_gap", "eV", 0),
        Quantity("formation_energy", "eV/atom"),
        Quantity("energy_above_hull", "eV/atom", 0),
        Quantity("bulk_modulus", "GPa", 0),
        Quantity("shear_modulus", "GPa", 0),
        Quantity("debye_temperature", "K", 0),
        Quantity("density", "g/cm3", 0),
    )
}
