"""Strategies of hypothesis: real CIF files with a few things broken, and texts by CIF's grammar."""

from hypothesis import strategies as st

PIECES = (
    "", "'", '"', ";", "\n;", "\n", "\r", "#", "_", "loop_\n", "data_", "save_", "stop_", "global_",
    "?", ".", "-", "+", "0", "1e308", "-1e308", "nan", "inf", "1e-300", "9" * 40, "(", ")", "0.5(",
    "/", "x,y,z", "'x,x,x'", "\x00", "\x1b[31m", "\ufeff", "−", "é", "\ud800", "\u2028", " ", "\t",
    "_cell_length_a", "_atom_site_label", "_atom_site_occupancy", "OH", "D", "Uue", "RE", "Nb",
)  # fmt: skip
SYMBOLS = ("Nb", "Sn", "O2-", "Cu2+", "D", "OH", "H2O", "RE", "?", ".", "0", "Nb1", "'Nb '", "Pu")
NUMBERS = (
    "0", "0.5", "1/3", ".3333", "0.6667(2)", "-0.25", "1e308", "1e-320", "nan", "?", ".", "9" * 30,
    "3.3", "90", "120", "180", "0.0001", "500", "-3", "2.5(",
)  # fmt: skip
OPERATIONS = (
    "x,y,z", "-x,-y,-z", "y,x,-z", "-y,x-y,z", "x+1/2,y+1/2,z", "x,x,x", "z,x,y", "x,y", "x,y,z,t",
    "x/2,y,z", "2x,y,z", "x,y,z+1/0", "lambda:0,foo,z", "-x+.5,y,z", "x+333/1000,y,z", "",
)  # fmt: skip
GROUPS = ("P 1", "Fm-3m", "P6_3/mmc", "R-3m", "F d -3 m", "P 7", "?", "X" * 50)
HEADER = (
    "_cell_length_a", "_cell_length_b", "_cell_length_c",
    "_cell_angle_alpha", "_cell_angle_beta", "_cell_angle_gamma",
)  # fmt: skip
COLUMNS = (
    "_atom_site_label", "_atom_site_type_symbol", "_atom_site_fract_x", "_atom_site_fract_y",
    "_atom_site_fract_z", "_atom_site_occupancy",
)  # fmt: skip


def mutate(text, rng):
    """The text with up to six cuts, insertions, repetitions or swaps."""
    for _ in range(rng.randint(1, 6)):
        at = rng.randint(0, len(text))
        to = min(len(text), at + rng.choice((0, 1, 3, 40, 400)))
        kind = rng.choice(("replace", "insert", "repeat", "line", "number", "number"))
        if kind == "line":
            lines = text.split("\n")
            place = rng.randrange(len(lines))
            lines[place : place + 1] = rng.choice(([], [lines[place]] * 2, [""]))
            text = "\n".join(lines)
        elif kind == "number":
            words = text.split(" ")
            words[rng.randrange(len(words))] = rng.choice(NUMBERS + SYMBOLS)
            text = " ".join(words)
        elif kind == "repeat":
            text = text[:to] + text[at:to] * rng.choice((1, 5, 200)) + text[to:]
        else:
            text = text[:at] + rng.choice(PIECES) + text[to if kind == "replace" else at :]
        text = text[:200_000]
    return text


def mutants(sources):
    """Mutations of any of the sources."""
    return st.builds(mutate, st.sampled_from(sources), st.randoms(use_true_random=False))


@st.composite
def texts(draw):
    """A file by the grammar: cell, symmetry and atoms, each right or wrong, in any order."""
    number = st.sampled_from(NUMBERS)
    size = st.sampled_from(("3.3", "5", "9.1"))
    cell = [f"{tag} {draw(size)}" for tag in HEADER[:3]]
    cell += [f"{tag} {draw(st.sampled_from(('90', '90', '60', '120')))}" for tag in HEADER[3:]]
    if draw(st.booleans()):
        cell[draw(st.integers(0, 5))] = f"{draw(st.sampled_from(HEADER))} {draw(number)}"
    listed = draw(st.lists(st.sampled_from(OPERATIONS), max_size=6))
    symmetry = ["loop_", "_symmetry_equiv_pos_as_xyz", *(f"'{x}'" for x in listed)]
    named = [f"_symmetry_space_group_name_H-M '{draw(st.sampled_from(GROUPS))}'"]
    columns = draw(st.permutations(COLUMNS)) if draw(st.booleans()) else list(COLUMNS)
    columns = columns[: draw(st.sampled_from((6, 6, 6, 5, 4)))]
    kinds = {
        "_atom_site_label": st.sampled_from(("Nb1", "Sn2", "O3", "X")),
        "_atom_site_type_symbol": st.sampled_from(SYMBOLS),
        "_atom_site_occupancy": st.sampled_from(("1", "0.5", "0", "-1", ".", "?", "1.04", "nan")),
    }
    place = st.sampled_from(("0", "0.5", "0.25", "0.3333", "0.6667(2)")) | number
    rows = [
        " ".join(draw(kinds.get(column, place)) for column in columns)
        for _ in range(draw(st.integers(0, 5)))
    ]
    parts = [cell, named * draw(st.integers(0, 1)), symmetry * bool(listed)]
    parts.append(["loop_", *columns, *rows])
    if draw(st.booleans()):
        parts = draw(st.permutations(parts))
    ends = st.sampled_from(("\n", "\r\n", "\n\n", "\n# x\n"))
    return "data_x\n" + draw(ends).join(line for part in parts for line in part) + "\n"
