"""What the page draws of a crystal: its atoms and bonds in three dimensions, and its images.

Atoms and bonds are those of the images that the vision model reads.
"""

import base64
from collections import Counter
from typing import TYPE_CHECKING, Any

from ase.data.colors import jmol_colors

from supervision.answer.known import KnownMaterials
from supervision.data.composition_distance import atomic_fractions
from supervision.data.crystals import Crystal
from supervision.data.elements import element
from supervision.data.errors import crystal_errors
from supervision.data.formulas import crystal_formula
from supervision.data.substitution import dopant_fraction, mixed_pairs, site_elements
from supervision.models.structure.descriptors.symmetry import space_group
from supervision.models.vision.render import draw, tile_supercell
from supervision.models.vision.scene import build_scene, structure_sites
from supervision.models.vision.views import VIEWS, select_views
from supervision.runtime.images import encode_png

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from supervision.models.vision.scene import Scene

VIEWS_SHOWN = 6  # of 18
LENGTH_DECIMALS, OCCUPANCY_DECIMALS = 4, 6
VACANCY = 1e-3  # a site with less missing is full: occupancies are rounded


def crystal_view(crystal: Crystal, known: KnownMaterials | None) -> dict[str, Any]:
    """Formula, cell, atoms, bonds, sites, images, substitutions, and known materials of the family.

    Lengths are in angstrom, temperatures in kelvin; docs/app.md lists the fields. Raises
    CrystalError with one sentence for a crystal that cannot be drawn.
    """
    structure = crystal.structure
    with crystal_errors():
        scene = build_scene(structure)
    return {
        "formula": crystal_formula(crystal),
        "space_group": space_group(structure),
        "cell": scene.lattice.round(LENGTH_DECIMALS).tolist(),
        **_atoms_and_bonds(structure, scene),
        "sites": _distinct_sites(structure),
        "views": _views(scene),
        "known": known_family(crystal, known),
        "substitutions": [
            {"host": host, "dopant": dopant,
             "fraction": dopant_fraction(structure, host, dopant)}
            for host, dopant in mixed_pairs(structure)
        ],
    }  # fmt: skip


def known_family(crystal: Crystal, known: KnownMaterials | None) -> list[dict[str, Any]]:
    """The known materials of the family of a crystal or formula, the nearest first.

    Raises CrystalError for a formula that cannot be read.
    """
    if known is None:
        return []
    return [n._asdict() for n in known.family(atomic_fractions(crystal.composition))]


def _atoms_and_bonds(structure: "Structure", scene: "Scene") -> dict[str, Any]:
    """The atoms in the closed box of the cell, and the bonds among them as pairs of these."""
    site, cell, bonds = tile_supercell(scene, (1, 1, 1))
    position = (scene.frac[site] + cell) @ scene.lattice
    of_structure = structure_sites(scene, structure)
    species = [_species(site_elements(structure[i])) for i in of_structure]
    atoms = [
        {
            "position": xyz.round(LENGTH_DECIMALS).tolist(),
            "radius": round(float(scene.radius[s]), LENGTH_DECIMALS),
            "site": int(of_structure[s]),
            "is_image": bool(image.any()),
            **species[s],
        }
        for s, xyz, image in zip(site, position, cell, strict=True)
    ]
    return {"atoms": atoms, "bonds": bonds.tolist()}


def _species(amounts: dict[str, float]) -> dict[str, Any]:
    """Elements of a site with occupancy and colour, the largest first, and what is vacant."""
    vacancy = 1 - sum(amounts.values())
    return {
        "species": [
            {"symbol": symbol, "occupancy": round(x, OCCUPANCY_DECIMALS), "colour": _colour(symbol)}
            for symbol, x in sorted(amounts.items(), key=lambda item: -item[1])
        ],
        "vacancy": round(vacancy, OCCUPANCY_DECIMALS) if vacancy > VACANCY else 0.0,
    }


def _colour(symbol: str) -> str:
    """The colour of an element in Jmol, as ``#rrggbb``."""
    rgb = jmol_colors[element(symbol).number]
    return "#" + "".join(f"{round(255 * level):02x}" for level in rgb)


def _distinct_sites(structure: "Structure") -> list[dict[str, Any]]:
    """Each occupation with the number of its sites, in the order of the structure."""
    count = Counter(site.species_string for site in structure)
    first = {site.species_string: site for site in reversed(list(structure))}
    return [
        {"label": _label(site_elements(first[name])), "count": number,
         **_species(site_elements(first[name]))}
        for name, number in count.items()
    ]  # fmt: skip


def _label(amounts: dict[str, float]) -> str:
    """The elements of a site with their share, the largest first, such as ``La0.925Sr0.075``."""
    ordered = sorted(amounts.items(), key=lambda item: -item[1])
    return "".join(f"{symbol}{x:.3g}" if x != 1 else symbol for symbol, x in ordered)


def _views(scene: "Scene") -> list[dict[str, str]]:
    views = [VIEWS[index] for index in select_views(VIEWS_SHOWN)]
    return [
        {"name": view.name, "image": _data_uri(encode_png(draw(scene, view)))} for view in views
    ]


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
