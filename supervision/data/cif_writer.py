"""Structures of pymatgen and ASE as CIF text, without loss of digits or occupancies.

Every structure takes the same path through the CIF reader, whatever form it is given in, so the
same crystal gives the same prediction.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from supervision.data.errors import CrystalError
from supervision.runtime.text import printable

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import IStructure, Lattice, PeriodicSite

HEADER = """data_crystal
_cell_length_a {}
_cell_length_b {}
_cell_length_c {}
_cell_angle_alpha {}
_cell_angle_beta {}
_cell_angle_gamma {}
_space_group_name_H-M_alt 'P 1'
loop_
_space_group_symop_operation_xyz
'x, y, z'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
"""


def structure_to_cif(structure: "IStructure") -> str:
    """A pymatgen Structure as CIF text in P1: every site is a row per element.

    Charges are left out, as no model reads them. Raises CrystalError for a dummy species.
    """
    return _cif(structure.lattice, structure.frac_coords, [_elements(site) for site in structure])


def atoms_to_cif(atoms: "Atoms") -> str:
    """ASE Atoms as CIF text in P1, with the occupancies that ASE reads from a CIF file.

    Raises CrystalError for atoms that are not periodic in three directions, and for the element X.
    """
    from pymatgen.core import Lattice

    if not len(atoms):
        raise CrystalError("The structure has no atoms.")
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        raise CrystalError(
            "The atoms are not periodic in three directions, so they are no crystal; give all "
            "three cell vectors and pbc=True."
        )
    return _cif(
        Lattice(atoms.cell.array), atoms.get_scaled_positions(wrap=False), _atoms_elements(atoms)
    )


def _cif(lattice: "Lattice", coordinates: np.ndarray, sites: Sequence[Mapping[str, float]]) -> str:
    if not sites:
        raise CrystalError("The structure has no atoms.")
    if np.linalg.det(lattice.matrix) < 0:  # CIF cells are right-handed: invert all three vectors
        coordinates = -coordinates
    rows = [
        f"{symbol}{number} {symbol} {x!r} {y!r} {z!r} {occupancy!r}"
        for number, ((x, y, z), site) in enumerate(zip(coordinates.tolist(), sites, strict=True), 1)
        for symbol, occupancy in site.items()
    ]
    return HEADER.format(*map(repr, map(float, lattice.parameters))) + "\n".join(rows) + "\n"


def _elements(site: "PeriodicSite") -> dict[str, float]:
    """Occupancies of a pymatgen site by element symbol."""
    from pymatgen.core import DummySpecies, Element

    found: dict[str, float] = {}
    for species, occupancy in site.species.items():
        if isinstance(species, DummySpecies):
            raise CrystalError(f"The species '{printable(str(species)[:40])}' is not an element.")
        symbol = (species if isinstance(species, Element) else species.element).name
        found[symbol] = found.get(symbol, 0.0) + float(occupancy)
    return found


def _atoms_elements(atoms: "Atoms") -> list[dict[str, float]]:
    """Occupancies of each atom by element symbol; ASE keeps those of a CIF file in ``info``."""
    symbols = atoms.get_chemical_symbols()
    if "X" in symbols:
        raise CrystalError("The species 'X' is not an element.")
    shares = atoms.info.get("occupancy")
    kinds = atoms.arrays.get("spacegroup_kinds")
    if shares is None or kinds is None:
        return [{symbol: 1.0} for symbol in symbols]
    by_kind = {str(kind): {s: float(x) for s, x in site.items()} for kind, site in shares.items()}
    return [
        by_kind.get(str(kind), {symbol: 1.0})
        for kind, symbol in zip(kinds.tolist(), symbols, strict=True)
    ]
