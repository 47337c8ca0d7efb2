"""CIF texts that froze, felled or misled what read them before, and why they are refused."""

import random

from pymatgen.core import Composition

HEAD = """data_x
_cell_length_a {a}
_cell_length_b {b}
_cell_length_c {c}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma {gamma}
{symmetry}loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
"""


def crystal(
    rows: str, *, a: float = 3.3, c: float | None = None, gamma: float = 90, symmetry: str = ""
) -> str:
    """A file with these rows ``label symbol x y z occupancy``."""
    return HEAD.format(a=a, b=a, c=c or a, gamma=gamma, symmetry=symmetry) + rows


def operations(*triplets: str) -> str:
    """A list of symmetry operations."""
    return "loop_\n_symmetry_equiv_pos_as_xyz\n" + "".join(f"'{text}'\n" for text in triplets)


def atoms(count: int, seed: int = 0) -> str:
    """Rows of niobium anywhere."""
    rng = random.Random(seed)
    places = ((rng.random(), rng.random(), rng.random()) for _ in range(count))
    return "".join(f"Nb{i} Nb {x:.5f} {y:.5f} {z:.5f} 1\n" for i, (x, y, z) in enumerate(places))


ONE = "Nb1 Nb 0 0 0 1\n"
CRYSTAL = crystal(ONE)
FM3M = "_symmetry_space_group_name_H-M 'F m -3 m'\n"
NAMED = "_symmetry_space_group_name_H-M '{}'\n"

HOSTILE = {
    "20,000 quotes": (CRYSTAL + "'" * 20_000, "line 16 is longer than 2,048"),
    "20,000 lines of a quote": (CRYSTAL + "'\n" * 20_000, "unterminated 'string'"),
    "40,000 newlines and no atoms": (crystal("") + "\n" * 40_000, "no atoms"),
    "an operation of 2,000 digits": (
        crystal(ONE, symmetry=operations("x,y,z+" + "1" * 2000)),
        "is no symmetry operation",
    ),
    "an operation of 400 terms": (
        crystal(ONE, symmetry=operations("x" + "+1/2" * 400 + ",y,z")),
        "is no symmetry operation",
    ),
    "100 atoms under Fm-3m": (
        crystal(atoms(100), a=60, symmetry=FM3M),
        "100 rows of atoms times 192 symmetry operations",
    ),
    "20 atoms under Fm-3m": (crystal(atoms(20), a=60, symmetry=FM3M), "more than 1,000 atoms"),
    "5,000 atoms in P1": (crystal(atoms(5000), a=60), "5,000 rows of atoms, more than 2,000"),
    "an edge of 3,000 angstrom": (
        crystal(ONE, a=3000),
        "the cell length a is '3000', and must be above 0 and no more than 500",
    ),
    "two atoms in 500 angstrom": (
        crystal(atoms(2), a=499),
        "6.21e.07 cubic angstrom for a site",
    ),
    "a thousand atoms in a thimble": (crystal(atoms(1000), a=9), "0.729 cubic angstrom"),
    "a cell length in a loop": (
        CRYSTAL.replace("_cell_length_a 3.3\n", "loop_\n_cell_length_a\n3.3\n3.4\n"),
        "_cell_length_a has 2 values",
    ),
    "labels in a shorter loop": (
        crystal("Nb 0 0 0 1\nNb .5 .5 .5 1\n").replace("_atom_site_label\n", "")
        + "loop_\n_atom_site_label\nNb1\n",
        "_atom_site_label is not in the loop of _atom_site_fract_x",
    ),
    "symbols in another loop": (
        crystal("Nb1 0 0 0 1\n").replace("_atom_site_type_symbol\n", "")
        + "loop_\n_atom_site_type_symbol\nNb\n",
        "_atom_site_type_symbol is not in the loop",
    ),
    "80,000 data blocks": ("".join(f"data_{i}\n" for i in range(80_000)), "80,000 data blocks"),
    "5,000 operations": (
        crystal(ONE, symmetry=operations(*(f"x,y,z+{i}/5000" for i in range(5000)))),
        "5,000 symmetry operations",
    ),
    "a division by zero": (
        crystal(ONE, symmetry=operations("x,y,z+1/0")),
        "is no symmetry operation",
    ),
}

MISREAD = {
    "occupancy .": (crystal("Nb1 Nb 0 0 0 .\n"), Composition("Nb")),
    "occupancy ?": (crystal("Nb1 Nb 0 0 0 ?\n"), Composition("Nb")),
    "symbol OH": (crystal(ONE + "O1 OH .5 .5 .5 1\n"), "symbol 'OH', which is no element"),
    "symbol OH2": (crystal(ONE + "O1 OH2 .5 .5 .5 1\n"), "symbol 'OH2'"),
    "symbol OH-": (crystal(ONE + "O1 OH- .5 .5 .5 1\n"), "symbol 'OH-'"),
    "symbol 0": (crystal(ONE + "O1 0 .5 .5 .5 1\n"), "symbol '0'"),
    "symbol e": (crystal(ONE + "e1 e .5 .5 .5 1\n"), "symbol 'e'"),
    "symbol H2O": (crystal(ONE + "O1 H2O .5 .5 .5 1\n"), "symbol 'H2O'"),
    "symbol NO3": (crystal(ONE + "N1 NO3 .5 .5 .5 1\n"), "symbol 'NO3'"),
    "symbol RE": (crystal(ONE + "RE1 RE .5 .5 .5 1\n"), "symbol 'RE'"),
    "symbol Uue": (crystal(ONE + "U1 Uue .5 .5 .5 1\n"), "symbol 'Uue'"),
    "an empty symbol": (crystal(ONE + "Nb2 '' .5 .5 .5 1\n"), "symbol ''"),
    "a label that is no element": (
        crystal("OW1 0 0 0 1\n").replace("_atom_site_type_symbol\n", ""),
        "label 'OW1'",
    ),
    "coordinate .": (crystal("Nb1 Nb . 0 0 1\n"), r"coordinate x '\.'"),
    "coordinate 1e308": (crystal("Nb1 Nb 0 1e308 0 1\n"), "coordinate y '1e308'"),
    "a minus sign of another alphabet": (crystal("Nb1 Nb 0 0 −0.25 1\n"), r"coordinate z '\?0.25'"),
    "an expression": (
        crystal(ONE, symmetry=operations("x,y,z", "lambda:0,foo,z")),
        "'lambda:0,foo,z' is no symmetry operation",
    ),
    "a projection": (
        crystal(ONE, symmetry=operations("x,y,z", "x,x,x")),
        "'x,x,x' is no symmetry operation",
    ),
    "a shear": (
        crystal(ONE, symmetry=operations("x,y,z", "x+y,y,z")),
        r"'x\+y,y,z' does not fit the cell",
    ),
    "half a cell": (
        crystal(ONE, symmetry=operations("x,y,z", "x/2,2y,z")),
        "is no symmetry operation",
    ),
    "operations of another space group": (
        crystal(ONE, symmetry=FM3M + operations("x,y,z", "-x,-y,-z")),
        "its 2 symmetry operations are not those of the space group Fm-3m",
    ),
    "P1 in name, cubic in its operations": (
        crystal(ONE, symmetry=NAMED.format("P 1") + operations("x,y,z", "y,z,x", "z,x,y")),
        "its 3 symmetry operations are not those of the space group P1",
    ),
    "a space group of two origins": (
        crystal(ONE, symmetry=NAMED.format("F d -3 m")),
        "two origins",
    ),
    "a space group that is unknown": (
        crystal(ONE, symmetry=NAMED.format("P 7/m")),
        "the space group 'P 7/m' that it names is unknown",
    ),
    "hydrogen atoms attached": (
        crystal("O1 O 0 0 0 1 2\n").replace(
            "_atom_site_occupancy\n", "_atom_site_occupancy\n_atom_site_attached_hydrogens\n"
        ),
        "site O1 has hydrogen atoms attached",
    ),
    "magnetic symmetry": (
        crystal(ONE, symmetry="_space_group_magn.number_BNS 62.441\n"),
        "magnetic symmetry in the place of a space group",
    ),
    "a modulated structure": (
        crystal(ONE, symmetry="_cell_modulation_dimension 1\n"),
        "a modulated structure",
    ),
    "a first block that is broken": (
        crystal("Nb1 Nb ? 0 0 1\n") + crystal("V1 V 0 0 0 1\n").replace("data_x", "data_y"),
        r"coordinate x '\?'",
    ),
    "one atom without a loop": (
        CRYSTAL[: CRYSTAL.index("loop_")]
        + "_atom_site_label Nb1\n"
        + "".join(f"_atom_site_fract_{axis} 0\n" for axis in "xyz"),
        Composition("Nb"),
    ),
}
