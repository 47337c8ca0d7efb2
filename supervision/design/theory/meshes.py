"""Meshes of k and q by density, one within the other, as electron-phonon calculations need them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from supervision.runtime.options import option

if TYPE_CHECKING:
    from pymatgen.core import Structure

Mesh = tuple[int, int, int]  # points along each reciprocal vector; all meshes contain Gamma
REFINEMENT = 2  # the mesh of electron-phonon coefficients over that of the potential


@dataclass(frozen=True)
class MeshOptions:
    """Densities of meshes, points per cubic reciprocal angstrom. Raises ValueError for others."""

    k_density: int = option(
        200, "k points per cubic reciprocal angstrom, with 2 pi; as in MPMetalRelaxSet"
    )
    q_density: int = option(12, "q points of phonons, in the same unit")

    def __post_init__(self) -> None:
        for name in ("k_density", "q_density"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}.")


@dataclass(frozen=True)
class Meshes:
    """Meshes of a cell.

    Attributes:
        q: of phonons.
        k: of their potential, a multiple of ``q``.
        dense: of the electron-phonon coefficients, a multiple of ``k``: it has to contain all k and
            k + q (user's guide of PHonon, "Calculation of electron-phonon interaction
            coefficients").
    """

    q: Mesh
    k: Mesh
    dense: Mesh

    @classmethod
    def of(cls, structure: "Structure", options: MeshOptions) -> "Meshes":
        """The meshes of a cell: q as pymatgen rounds it, k rounded up to a multiple of q."""
        q = density_mesh(structure, options.q_density)
        wanted = density_mesh(structure, options.k_density)
        k = [few * -(-many // few) for few, many in zip(q, wanted, strict=True)]
        dense = [REFINEMENT * number for number in k]
        return cls(q, (k[0], k[1], k[2]), (dense[0], dense[1], dense[2]))


def density_mesh(structure: "Structure", density: int) -> Mesh:
    """A mesh of about so many points per cubic reciprocal angstrom, by the lengths of the cell."""
    from pymatgen.io.vasp.inputs import Kpoints

    ((a, b, c),) = Kpoints.automatic_density_by_vol(structure, density).kpts
    return int(a), int(b), int(c)
