"""Element properties for the images: the three colour channels and the radius of a disk.

One row per element from H to Pu, and D and T, which differ from hydrogen in mass only. Columns:

``d_electrons``: d electrons of the free atom's open d shell, 0-10, for groups 3-12 and the
    f block; 0 elsewhere (from Ga on the filled d shell counts as core). Ground-state configurations
    of the free neutral atom, NIST Atomic Spectra Database: Cr 5, Nb 4, Pd 10; La, Ce, Gd, Lu 1 and
    the other lanthanides 0, because their 5d shell is empty.
``valence_electrons``: electrons outside the noble-gas core in the same configuration, without
    closed d shells (d10 where a p electron follows) and closed f shells (f14); at most 12.
    s block: the group (K 1, Ca 2; He 2). d block: the group (Nb 5, Cu 11, Zn 12). p block:
    s + p (Al 3, O 6, Bi 5, noble gases 8). f block: the open f shell counts (La 3, Ce 4, Nd 6,
    U 6), capped at 12 for Dy-Tm, while closed-shell Yb is 2 and Lu 3, like Ca and Y.
``mass``: standard atomic weight in daltons (IUPAC; for radioactive elements the mass number of a
    long-lived isotope; for D and T the isotopic mass).
``radius``: empirical atomic radius in angstrom (Slater, J. Chem. Phys. 41, 3199, 1964). Where
    Slater has no value: for noble gases and At the calculated radius of Clementi, Raimondi and
    Reinhardt (J. Chem. Phys. 47, 1300, 1967); for Fr the covalent radius of Cordero et al. (Dalton
    Trans. 2832, 2008).
"""

from typing import NamedTuple

D_SCALE = 10.0
VALENCE_SCALE = 12.0
MASS_SCALE = 238.0


class Element(NamedTuple):
    """One row of the table; the module docstring gives the units."""

    number: int
    d_electrons: int
    valence_electrons: int
    mass: float
    radius: float


ELEMENTS: dict[str, Element] = {
    "H": Element(1, 0, 1, 1.00794, 0.25),
    "D": Element(1, 0, 1, 2.014102, 0.25),
    "T": Element(1, 0, 1, 3.016049, 0.25),
    "He": Element(2, 0, 2, 4.002602, 0.31),
    "Li": Element(3, 0, 1, 6.941, 1.45),
    "Be": Element(4, 0, 2, 9.012182, 1.05),
    "B": Element(5, 0, 3, 10.811, 0.85),
    "C": Element(6, 0, 4, 12.0107, 0.70),
    "N": Element(7, 0, 5, 14.0067, 0.65),
    "O": Element(8, 0, 6, 15.9994, 0.60),
    "F": Element(9, 0, 7, 18.9984, 0.50),
    "Ne": Element(10, 0, 8, 20.1797, 0.38),
    "Na": Element(11, 0, 1, 22.98977, 1.80),
    "Mg": Element(12, 0, 2, 24.305, 1.50),
    "Al": Element(13, 0, 3, 26.98154, 1.25),
    "Si": Element(14, 0, 4, 28.0855, 1.10),
    "P": Element(15, 0, 5, 30.97376, 1.00),
    "S": Element(16, 0, 6, 32.065, 1.00),
    "Cl": Element(17, 0, 7, 35.453, 1.00),
    "Ar": Element(18, 0, 8, 39.948, 0.71),
    "K": Element(19, 0, 1, 39.0983, 2.20),
    "Ca": Element(20, 0, 2, 40.078, 1.80),
    "Sc": Element(21, 1, 3, 44.95591, 1.60),
    "Ti": Element(22, 2, 4, 47.867, 1.40),
    "V": Element(23, 3, 5, 50.9415, 1.35),
    "Cr": Element(24, 5, 6, 51.9961, 1.40),
    "Mn": Element(25, 5, 7, 54.93805, 1.40),
    "Fe": Element(26, 6, 8, 55.845, 1.40),
    "Co": Element(27, 7, 9, 58.93319, 1.35),
    "Ni": Element(28, 8, 10, 58.6934, 1.35),
    "Cu": Element(29, 10, 11, 63.546, 1.35),
    "Zn": Element(30, 10, 12, 65.409, 1.35),
    "Ga": Element(31, 0, 3, 69.723, 1.30),
    "Ge": Element(32, 0, 4, 72.64, 1.25),
    "As": Element(33, 0, 5, 74.9216, 1.15),
    "Se": Element(34, 0, 6, 78.96, 1.15),
    "Br": Element(35, 0, 7, 79.904, 1.15),
    "Kr": Element(36, 0, 8, 83.798, 0.88),
    "Rb": Element(37, 0, 1, 85.4678, 2.35),
    "Sr": Element(38, 0, 2, 87.62, 2.00),
    "Y": Element(39, 1, 3, 88.90585, 1.80),
    "Zr": Element(40, 2, 4, 91.224, 1.55),
    "Nb": Element(41, 4, 5, 92.90638, 1.45),
    "Mo": Element(42, 5, 6, 95.94, 1.45),
    "Tc": Element(43, 5, 7, 98, 1.35),
    "Ru": Element(44, 7, 8, 101.07, 1.30),
    "Rh": Element(45, 8, 9, 102.9055, 1.35),
    "Pd": Element(46, 10, 10, 106.42, 1.40),
    "Ag": Element(47, 10, 11, 107.8682, 1.60),
    "Cd": Element(48, 10, 12, 112.411, 1.55),
    "In": Element(49, 0, 3, 114.818, 1.55),
    "Sn": Element(50, 0, 4, 118.71, 1.45),
    "Sb": Element(51, 0, 5, 121.76, 1.45),
    "Te": Element(52, 0, 6, 127.6, 1.40),
    "I": Element(53, 0, 7, 126.9045, 1.40),
    "Xe": Element(54, 0, 8, 131.293, 1.08),
    "Cs": Element(55, 0, 1, 132.9055, 2.60),
    "Ba": Element(56, 0, 2, 137.327, 2.15),
    "La": Element(57, 1, 3, 138.9055, 1.95),
    "Ce": Element(58, 1, 4, 140.116, 1.85),
    "Pr": Element(59, 0, 5, 140.9076, 1.85),
    "Nd": Element(60, 0, 6, 144.242, 1.85),
    "Pm": Element(61, 0, 7, 145, 1.85),
    "Sm": Element(62, 0, 8, 150.36, 1.85),
    "Eu": Element(63, 0, 9, 151.964, 1.85),
    "Gd": Element(64, 1, 10, 157.25, 1.80),
    "Tb": Element(65, 0, 11, 158.9254, 1.75),
    "Dy": Element(66, 0, 12, 162.5, 1.75),
    "Ho": Element(67, 0, 12, 164.9303, 1.75),
    "Er": Element(68, 0, 12, 167.259, 1.75),
    "Tm": Element(69, 0, 12, 168.9342, 1.75),
    "Yb": Element(70, 0, 2, 173.04, 1.75),
    "Lu": Element(71, 1, 3, 174.967, 1.75),
    "Hf": Element(72, 2, 4, 178.49, 1.55),
    "Ta": Element(73, 3, 5, 180.9479, 1.45),
    "W": Element(74, 4, 6, 183.84, 1.35),
    "Re": Element(75, 5, 7, 186.207, 1.35),
    "Os": Element(76, 6, 8, 190.23, 1.30),
    "Ir": Element(77, 7, 9, 192.217, 1.35),
    "Pt": Element(78, 9, 10, 195.084, 1.35),
    "Au": Element(79, 10, 11, 196.9666, 1.35),
    "Hg": Element(80, 10, 12, 200.59, 1.50),
    "Tl": Element(81, 0, 3, 204.3833, 1.90),
    "Pb": Element(82, 0, 4, 207.2, 1.80),
    "Bi": Element(83, 0, 5, 208.9804, 1.60),
    "Po": Element(84, 0, 6, 210, 1.90),
    "At": Element(85, 0, 7, 210, 1.27),
    "Rn": Element(86, 0, 8, 220, 1.20),
    "Fr": Element(87, 0, 1, 223, 2.60),
    "Ra": Element(88, 0, 2, 226, 2.15),
    "Ac": Element(89, 1, 3, 227, 1.95),
    "Th": Element(90, 2, 4, 232.0381, 1.80),
    "Pa": Element(91, 1, 5, 231.0359, 1.80),
    "U": Element(92, 1, 6, 238.0289, 1.75),
    "Np": Element(93, 1, 7, 237, 1.75),
    "Pu": Element(94, 0, 8, 244, 1.75),
}

D_ELECTRONS: dict[str, int] = {s: e.d_electrons for s, e in ELEMENTS.items()}
VALENCE_ELECTRONS: dict[str, int] = {s: e.valence_electrons for s, e in ELEMENTS.items()}
ATOMIC_MASS: dict[str, float] = {s: e.mass for s, e in ELEMENTS.items()}
ATOMIC_RADIUS: dict[str, float] = {s: e.radius for s, e in ELEMENTS.items()}


def element(symbol: str) -> Element:
    """The table row of an element symbol such as ``Nb`` or ``D``.

    Raises ValueError for a symbol that is not in the table.
    """
    try:
        return ELEMENTS[symbol]
    except KeyError:
        raise ValueError(
            f"'{symbol}' is not an element from H to Pu, so it has no colour channels."
        ) from None


def channels(symbol: str) -> tuple[float, float, float]:
    """The red, green and blue values of a fully occupied site, each 0 to 255, not rounded.

    Scaled to 255: red is d electrons / 10, green is valence electrons / 12, blue is
    max(0, 1 - mass / 238). Raises ValueError for a symbol that is not in the table.
    """
    row = element(symbol)
    return (
        255.0 * row.d_electrons / D_SCALE,
        255.0 * row.valence_electrons / VALENCE_SCALE,
        255.0 * max(0.0, 1.0 - row.mass / MASS_SCALE),
    )
