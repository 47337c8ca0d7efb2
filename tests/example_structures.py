"""Example structures for tests, each with a different difficulty."""

from pymatgen.core import Lattice, Structure


def nb3sn() -> Structure:
    """A15: cubic, atoms on corners, chains of Nb on the faces."""
    return Structure.from_spacegroup(
        "Pm-3n", Lattice.cubic(5.29), ["Sn", "Nb"], [[0, 0, 0], [0.25, 0, 0.5]]
    )


def mgb2() -> Structure:
    """Hexagonal with honeycomb layers."""
    return Structure.from_spacegroup(
        "P6/mmm", Lattice.hexagonal(3.086, 3.524), ["Mg", "B"], [[0, 0, 0], [1 / 3, 2 / 3, 0.5]]
    )


def la2cuo4(strontium: float = 0.0, oxygen: float = 1.0) -> Structure:
    """Tetragonal with a long c axis; strontium per La site, oxygen occupancy in the plane."""
    lanthanum = {"La": 1 - strontium, "Sr": strontium} if strontium else "La"
    return Structure.from_spacegroup(
        "I4/mmm",
        Lattice.tetragonal(3.78, 13.2),
        [lanthanum, "Cu", {"O": oxygen}, "O"],
        [[0, 0, 0.3606], [0, 0, 0], [0, 0.5, 0], [0, 0, 0.1828]],
    )


def niobium() -> Structure:
    """bcc in its primitive cell: one atom, bonded only to its own images."""
    half = 3.3 / 2
    return Structure(
        Lattice([[-half, half, half], [half, -half, half], [half, half, -half]]),
        ["Nb"],
        [[0, 0, 0]],
    )


def triclinic() -> Structure:
    """Triclinic and disordered, with a vacancy and atoms near faces and outside the cell."""
    return Structure(
        Lattice.from_parameters(4.1, 5.7, 7.3, 76, 98, 113),
        ["Fe", {"Fe": 0.6, "Co": 0.3}, "Se", {"Se": 0.5, "Te": 0.5}, "O"],
        [[0.9996, 0.2, 0.0], [0.5, 0.68, 0.4], [-0.3, 0.4, 0.75], [1.2, 0.9, 0.0004], [0, 0, 0.2]],
    )


ALL = {f.__name__: f for f in (nb3sn, mgb2, la2cuo4, niobium, triclinic)}
