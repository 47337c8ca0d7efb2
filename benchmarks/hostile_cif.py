"""CIF texts that the former reader did not finish, crashed on or misread, and what to expect.

``POSCARS`` are texts of another format, some of them hostile.
"""

import random
from itertools import islice, product

import gemmi
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
    """A CIF file with the given rows ``label symbol x y z occupancy``."""
    return HEAD.format(a=a, b=a, c=c or a, gamma=gamma, symmetry=symmetry) + rows


def operations(*triplets: str) -> str:
    """A CIF list of symmetry operations."""
    return "loop_\n_symmetry_equiv_pos_as_xyz\n" + "".join(f"'{text}'\n" for text in triplets)


def atoms(count: int, seed: int = 0) -> str:
    """Rows of niobium at random positions, one atom per box of a grid."""
    rng, boxes = random.Random(seed), 1
    while boxes**3 < count:
        boxes += 1
    rows = []
    for i, box in enumerate(islice(product(range(boxes), repeat=3), count)):
        x, y, z = ((place + 0.6 * rng.random()) / boxes for place in box)
        rows.append(f"Nb{i} Nb {x:.5f} {y:.5f} {z:.5f} 1\n")
    return "".join(rows)


ONE = "Nb1 Nb 0 0 0 1\n"
CRYSTAL = crystal(ONE)
FM3M = "_symmetry_space_group_name_H-M 'F m -3 m'\n"
PM3M = tuple(op.triplet() for op in gemmi.find_spacegroup_by_name("P m -3 m").operations())
NAMED = "_symmetry_space_group_name_H-M '{}'\n"

HOSTILE = {
    "20,000 quotes": (CRYSTAL + "'" * 20_000, "line 16 is longer than 10,000"),
    "20,000 lines of a quote": (CRYSTAL + "'\n" * 20_000, "unterminated 'string'"),
    "40,000 newlines and no atoms": (crystal("") + "\n" * 40_000, "no atoms"),
    "an operation of 2,000 digits": (
        crystal(ONE, symmetry=operations("x,y,z+" + "1" * 2000)),
        "is not a symmetry operation",
    ),
    "an operation of 400 terms": (
        crystal(ONE, symmetry=operations("x" + "+1/2" * 400 + ",y,z")),
        "is not a symmetry operation",
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
        "6.21e.07 cubic angstrom per site",
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
    "192 translations": (
        crystal(atoms(52), a=60, symmetry=operations(*(f"x,y,z+{i}/192" for i in range(192)))),
        "192 symmetry operations of one rotation",
    ),
    "90,000 tags": (CRYSTAL + "".join(f"_t{i} 1\n" for i in range(90_000)), "tags, more than"),
    "a division by zero": (
        crystal(ONE, symmetry=operations("x,y,z+1/0")),
        "is not a symmetry operation",
    ),
    "an import as an operation": (
        crystal(ONE, symmetry=operations("x,y,z", "__import__('os').abort(),y,z")),
        "is not a symmetry operation",
    ),
    "an edge that is no number": (crystal(ONE, a=float("nan")), "the cell length a is 'nan'"),
    "an edge of 1e308 angstrom": (crystal(ONE, a=1e308), r"the cell length a is '1e\+308'"),
    "an angle of 1e308 degrees": (crystal(ONE, gamma=1e308), "the cell angle gamma is"),
    "100,000 loops in each other": (CRYSTAL + "loop_\n" * 100_000, "line 17: parse error"),
    "a null character": (CRYSTAL.replace("Nb1", "Nb\x00"), "The text is not a CIF file"),
    "three megabytes": (CRYSTAL + "# comment\n" * 300_000, "longer than 2 MB"),
}

MISREAD = {
    "occupancy .": (crystal("Nb1 Nb 0 0 0 .\n"), Composition("Nb")),
    "occupancy ?": (crystal("Nb1 Nb 0 0 0 ?\n"), Composition("Nb")),
    "symbol OH": (crystal(ONE + "O1 OH .5 .5 .5 1\n"), "symbol 'OH', which is not an element"),
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
    "a minus sign of another alphabet": (
        crystal("Nb1 Nb 0 0 −0.25 1\n"),
        r"coordinate z '.u22120.25'",
    ),
    "an expression": (
        crystal(ONE, symmetry=operations("x,y,z", "lambda:0,foo,z")),
        "'lambda:0,foo,z' is not a symmetry operation",
    ),
    "a projection": (
        crystal(ONE, symmetry=operations("x,y,z", "x,x,x")),
        "'x,x,x' is not a symmetry operation",
    ),
    "a shear": (
        crystal(ONE, symmetry=operations("x,y,z", "x+y,y,z")),
        r"'x\+y,y,z' after 'x\+y,y,z' is missing",
    ),
    "half a cell": (
        crystal(ONE, symmetry=operations("x,y,z", "x/2,2y,z")),
        "is not a symmetry operation",
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
        "the space group 'P 7/m' that .* names is unknown",
    ),
    "hydrogen atoms attached": (
        crystal("O1 O 0 0 0 1 2\n").replace(
            "_atom_site_occupancy\n", "_atom_site_occupancy\n_atom_site_attached_hydrogens\n"
        ),
        "site O1 has hydrogen atoms attached",
    ),
    "magnetic symmetry": (
        crystal(ONE, symmetry="_space_group_magn.number_BNS 62.441\n"),
        "magnetic symmetry instead of a space group",
    ),
    "a modulated structure": (
        crystal(ONE, symmetry="_cell_modulation_dimension 1\n"),
        "a modulated structure",
    ),
    "half of a group": (
        crystal("Nb1 Nb .1 .2 0 1\n", symmetry=operations("x,y,z", "-y,x,z")),
        "'-y,x,z' after '-y,x,z' is missing",
    ),
    "a face-centred group without its centring": (
        crystal(ONE, symmetry=FM3M + operations(*PM3M)),
        "its 48 symmetry operations are not those of the space group Fm-3m",
    ),
    "a name and a number of two groups": (
        crystal(ONE, symmetry=FM3M + "_space_group_IT_number 221\n"),
        "several space groups, with numbers 221, 225",
    ),
    "a group by its Hall symbol": (
        crystal(ONE, a=4, symmetry="_space_group_name_Hall '-F 4 2 3'\n"),
        Composition("Nb4"),
    ),
    "a group by a tag with a dot": (
        crystal(ONE, a=4, symmetry="_space_group.name_H-M_alt 'F m -3 m'\n"),
        Composition("Nb4"),
    ),
    "a group by a tag that is not known": (
        crystal(ONE, a=4, symmetry="_space_group_name_Schoenflies 'Oh5'\n"),
        "'Oh5' that _space_group_name_schoenflies names is unknown",
    ),
    "symmetry in another block": (
        "data_global\n" + FM3M + CRYSTAL,
        "its symmetry is in another data block",
    ),
    "a list of operations that is not known": (
        crystal(ONE, a=4, symmetry=FM3M + "_symmetry_equiv_pos_as_xyz ?\n"),
        Composition("Nb4"),
    ),
    "an origin in ICSD's way": (
        crystal("C1 C .125 .125 .125 1\n", a=3.57, symmetry=NAMED.format("F d -3 m Z")),
        Composition("C8"),
    ),
    "a special position of three digits": (
        crystal(
            "Mg1 Mg 0 0 0 1\nB1 B 0.333 0.667 0.5 1\n",
            a=3.08,
            c=3.52,
            gamma=120,
            symmetry=NAMED.format("P 6/m m m"),
        ),
        "angstrom apart; give coordinates with more digits",
    ),
    "two full atoms at one place": (
        crystal("Nb1 Nb 0 0 0 1\nNb2 Nb .005 0 0 1\n"),
        "0.0165|0.017 angstrom apart",
    ),
    "one atom in two rows": (
        crystal("Nb1 Nb 0 0 0 .5\nNb2 Nb 0 0 0 .5\n"),
        "two rows of Nb are at symmetry-equivalent positions",
    ),
    "a dummy atom": (
        crystal("Nb1 Nb 0 0 0 1 d\nCg1 C .5 .5 .5 1 dum\n").replace(
            "_atom_site_occupancy\n", "_atom_site_occupancy\n_atom_site_calc_flag\n"
        ),
        "dummy atoms",
    ),
    "a formula as a label": (
        crystal("La0.5Sr0.5 0 0 0 1\n").replace("_atom_site_type_symbol\n", ""),
        "label 'La0.5Sr0.5'",
    ),
    "a cell in which the operations do not fit": (
        crystal(ONE, a=4, c=20, symmetry=NAMED.format("P 6/m m m")),
        "does not fit the cell",
    ),
    "a valence of two decimals": (crystal("Cu1 Cu2.33+ 0 0 0 1\n"), Composition("Cu")),
    "two valences on one site": (
        crystal("Fe1 Fe2+ 0 0 0 .5\nFe2 Fe3+ 0 0 0 .5\n"),
        Composition("Fe"),
    ),
    "an occupancy of one half as a letter": (crystal("Nb1 Nb 0 0 0 ½\n"), "has the occupancy"),
    "a first block that is broken": (
        crystal("Nb1 Nb ? 0 0 1\n") + crystal("V1 V 0 0 0 1\n").replace("data_x", "data_y"),
        r"coordinate x '\?'",
    ),
    "half of a character": (crystal("Nb\ud800 Nb 0 0 0 1\n"), Composition("Nb")),
    "one atom without a loop": (
        CRYSTAL[: CRYSTAL.index("loop_")]
        + "_atom_site_label Nb1\n"
        + "".join(f"_atom_site_fract_{axis} 0\n" for axis in "xyz"),
        Composition("Nb"),
    ),
}

POSCAR = """{title}
{scale}
{a} 0 0
0 3.3 0
0 0 3.3
{symbols}
{counts}
Direct
{rows}
"""


def poscar(
    title: str = "Nb", scale: str = "1.0", a: str = "3.3", symbols: str = "Nb", counts: str = "1",
    rows: str = "0 0 0",
) -> str:  # fmt: skip
    """A POSCAR file with these lines."""
    return POSCAR.format(title=title, scale=scale, a=a, symbols=symbols, counts=counts, rows=rows)


POSCARS = {
    "a POSCAR": poscar(),
    "a POSCAR without symbols": poscar().replace("Nb\n1\n", "1\n"),
    "a POSCAR with an edge that is no number": poscar(a="nan"),
    "a POSCAR with an edge of 1e308": poscar(a="1e308"),
    "a POSCAR with a scale of 0": poscar(scale="0"),
    "a POSCAR of a billion atoms": poscar(counts="1000000000"),
    "a POSCAR of -1 atoms": poscar(counts="-1"),
    "a POSCAR of 5,000 atoms": poscar(counts="5000", rows="0.1 0.2 0.3\n" * 5000),
    "a POSCAR with a coordinate that is no number": poscar(rows="0 inf nan"),
    "a POSCAR of an unknown element": poscar(symbols="Uue"),
    "a POSCAR with an import": poscar(rows="__import__('os').abort() 0 0"),
    "a POSCAR with a null character": poscar(symbols="N\x00b"),
    "half a POSCAR": poscar()[:20],
}
