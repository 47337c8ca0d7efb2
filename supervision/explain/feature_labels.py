"""Features as readers name them: words instead of Magpie's abbreviations, and units."""

from functools import cache
from math import isnan

from supervision.explain.feature_groups import FIRST_STAGE
from supervision.models.composition.features import STATISTICS
from supervision.models.structure.features import DESCRIPTORS

PROPERTIES = {  # Magpie's: what it is, and its unit
    "AtomicWeight": ("atomic mass", "u"),
    "Column": ("periodic group", ""),
    "CovalentRadius": ("covalent radius", "pm"),
    "Electronegativity": ("electronegativity", ""),
    "GSbandgap": ("elemental band gap", "eV"),
    "GSmagmom": ("elemental moment", "μB"),
    "GSvolume_pa": ("elemental volume per atom", "Å³"),
    "MeltingT": ("melting point", "K"),
    "MendeleevNumber": ("Mendeleev number", ""),
    "NUnfilled": ("empty valence states", ""),
    "NdUnfilled": ("empty d states", ""),
    "NdValence": ("d electrons", ""),
    "NfUnfilled": ("empty f states", ""),
    "NfValence": ("f electrons", ""),
    "NpUnfilled": ("empty p states", ""),
    "NpValence": ("p electrons", ""),
    "NsUnfilled": ("empty s states", ""),
    "NsValence": ("s electrons", ""),
    "Number": ("atomic number", ""),
    "Row": ("period", ""),
    "SpaceGroupNumber": ("elemental space group", ""),
    "NValence": ("valence electrons", ""),
}
LARGE = 1000  # such a value is written without an exponent
UNITS = {  # in the meanings of descriptors; the first that is found counts
    "dalton per cubic angstrom": "u/Å³",
    "per cubic angstrom": "/Å³",
    "cubic angstrom": "Å³",
    "angstrom": "Å",
    "electronvolt": "eV",
}


def label_of(name: str) -> str:
    """What a reader calls a feature, such as ``mean melting point`` for ``mean MeltingT``."""
    return _labels().get(name, (name, ""))[0]


def with_value(name: str, value: float) -> str:
    """A feature with its value and unit: ``range melting point 1520 K``, or ``no holes per Cu``."""
    label, unit = _labels().get(name, (name, ""))
    if isnan(value):
        return f"no {label}"
    return f"{label} {value:{'.0f' if abs(value) >= LARGE else '.3g'}} {unit}".rstrip()


@cache
def _labels() -> dict[str, tuple[str, str]]:
    """Label and unit by the name of a feature; others are called by their name, and have none."""
    properties = {
        f"{statistic} {name}": (f"{statistic} {label}", unit)
        for statistic in STATISTICS
        for name, (label, unit) in PROPERTIES.items()
    }
    descriptors = {name: (name, _unit(meaning)) for name, meaning in DESCRIPTORS.items()}
    return properties | descriptors | {FIRST_STAGE: (FIRST_STAGE, "K")}


def _unit(meaning: str) -> str:
    return next((unit for phrase, unit in UNITS.items() if phrase in meaning), "")
