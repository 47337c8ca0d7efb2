"""The classes of superconductors that once surprised the field.

Each has two rules. What is ``related`` to the class, by its composition, must not be learned from
by a model that is to find the class anew. What belongs to it, by composition and structure, counts
as found.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from supervision.data import class_rules as rules
from supervision.data import structure_types as types
from supervision.data.class_rules import Fractions, atomic_fractions
from supervision.data.crystals import Crystal, Material
from supervision.data.errors import crystal_errors

if TYPE_CHECKING:
    from pymatgen.core import Structure


@dataclass(frozen=True)
class MaterialClass:
    """One class.

    Attributes:
        title: its name in tables.
        related: the wide rule, by composition.
        typical: what the narrow rule demands of the composition.
        structure: what it demands of the structure.
    """

    title: str
    related: Callable[[Fractions], bool]
    typical: Callable[[Fractions], bool]
    structure: Callable[["Structure"], bool] = lambda _: True


def members(materials: Sequence[Material], name: str) -> np.ndarray:
    """Whether each material belongs to the class of this name in ``CLASSES``, [n].

    A material with several structures belongs to it if one of them does, since the one that was
    measured is not known. Without a structure its composition decides. Every member is ``related``.
    Raises ValueError for an unknown name, CrystalError for a structure that cannot be read.
    """
    found = _named(name)
    return np.array([_is_member(material, found) for material in materials], dtype=bool)


def related(materials: Sequence[Material], name: str) -> np.ndarray:
    """Whether the composition of each material is related to the class of this name, [n].

    Raises ValueError for an unknown name.
    """
    found = _named(name)
    return np.array([found.related(atomic_fractions(m.formula)) for m in materials], dtype=bool)


def material_class(material: Material) -> frozenset[str]:
    """The names of all classes that the material belongs to."""
    return frozenset(name for name, found in CLASSES.items() if _is_member(material, found))


def _named(name: str) -> MaterialClass:
    if name not in CLASSES:
        raise ValueError(f"class '{name[:60]}' is not one of {', '.join(CLASSES)}.")
    return CLASSES[name]


def _is_member(material: Material, material_class: MaterialClass) -> bool:
    fractions = atomic_fractions(material.formula)
    if not (material_class.related(fractions) and material_class.typical(fractions)):
        return False
    crystals = [crystal for crystal in material.crystals if crystal.cif]
    return not crystals or any(_has_structure(crystal, material_class) for crystal in crystals)


def _has_structure(crystal: Crystal, material_class: MaterialClass) -> bool:
    with crystal_errors(crystal.id):
        return material_class.structure(crystal.structure)


def _iron(structure: "Structure") -> bool:
    return types.has_iron_net(structure, rules.LATE_METALS, rules.IRON_ANIONS)


def _diboride(structure: "Structure") -> bool:
    return types.has_prototype(structure, {"B", "C"}, {types.ALB2})


def _a15(structure: "Structure") -> bool:
    return types.has_prototype(structure, rules.EARLY_METALS, {types.CR3SI})


def _chevrel(structure: "Structure") -> bool:
    return types.has_octahedral_clusters(structure, rules.CLUSTER_METALS)


def _carbide(structure: "Structure") -> bool:
    return types.has_prototype(structure, rules.CARBIDE_METALS, {types.NACL})


def _laves(structure: "Structure") -> bool:
    larger = rules.larger_third(atomic_fractions(structure.composition.formula))
    return types.has_prototype(structure, larger, {types.MGCU2, types.MGZN2, types.MGNI2})


CLASSES: dict[str, MaterialClass] = {
    "cuprate": MaterialClass(
        "Cuprates", rules.cuprate_related, rules.cuprate, types.has_copper_oxide_plane
    ),
    "iron": MaterialClass(
        "Iron pnictides and chalcogenides", rules.iron_related, rules.iron, _iron
    ),
    "diboride": MaterialClass(
        "Diborides like MgB2", rules.diboride_related, rules.diboride, _diboride
    ),
    "a15": MaterialClass("A15 compounds", rules.a15_related, rules.a15, _a15),
    "chevrel": MaterialClass("Chevrel phases", rules.chevrel_related, rules.chevrel, _chevrel),
    "borocarbide": MaterialClass("Borocarbides", rules.borocarbide_related, rules.borocarbide),
    "bismuthate": MaterialClass(
        "Bismuthates", rules.bismuthate_related, rules.bismuthate, types.has_bismuth_oxide_network
    ),
    "carbide_nitride": MaterialClass(
        "Carbides and nitrides", rules.carbide_related, rules.carbide, _carbide
    ),
    "heavy_fermion": MaterialClass(
        "Heavy fermions", rules.heavy_fermion_related, rules.heavy_fermion
    ),
    "laves": MaterialClass("Laves phases", rules.laves, rules.laves, _laves),
}
