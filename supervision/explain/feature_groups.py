"""The features of the tree families in a few groups, each a few words of physics."""

from functools import cache

from supervision.models.composition.charge import charge_feature_names
from supervision.models.composition.features import FRACTIONS, STATISTICS, feature_names
from supervision.models.structure.descriptors.contacts import CONTACTS
from supervision.models.structure.descriptors.density import DENSITY, DISORDER
from supervision.models.structure.descriptors.layers import LAYERS
from supervision.models.structure.descriptors.network import NETWORK
from supervision.models.structure.descriptors.shell import SHELL
from supervision.models.structure.descriptors.symmetry import SYMMETRY

FIRST_STAGE = "prediction from the composition"  # what the second stage reads of the first
CLIPPED = "at least 0 K"  # what the first stage gains where it would be below 0 K
PROPERTIES = {  # Magpie's, by group
    "valence electrons": "NsValence NpValence NdValence NfValence NValence NsUnfilled NpUnfilled "
    "NdUnfilled NfUnfilled NUnfilled",
    "atomic mass and size": "AtomicWeight CovalentRadius GSvolume_pa",
    "electronegativity": "Electronegativity",
    "place in the periodic table": "Number MendeleevNumber Column Row",
    "elements as solids": "MeltingT GSbandgap GSmagmom SpaceGroupNumber",
}


def features_by_group() -> dict[str, list[str]]:
    """The names of all features of compositions and structures, by group; each is in one."""
    statistics = {
        group: [f"{statistic} {name}" for statistic in STATISTICS for name in names.split()]
        for group, names in PROPERTIES.items()
    }
    return statistics | {
        "which elements": feature_names()[FRACTIONS],
        "ionic charge and doping": charge_feature_names(),
        "layers": list(LAYERS),
        "bonds and coordination": [*SHELL, *NETWORK, *CONTACTS],
        "disorder and vacancies": list(DISORDER),
        "density": list(DENSITY),
        "symmetry": list(SYMMETRY),
        "how the stages join": [FIRST_STAGE, CLIPPED],
    }


@cache
def group_of() -> dict[str, str]:
    """The group of each feature by its name."""
    return {name: group for group, names in features_by_group().items() for name in names}
