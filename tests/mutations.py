"""Strategies of hypothesis: real CIF files with a few things broken, and texts by CIF's grammar."""

import re

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
    """The text with one to six cuts, insertions, repetitions or other words."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at = rng.randint(0, len(text))
        to = min(len(text), at + rng.choice((0, 1, 3, 40, 400)))
        kind = rng.choice(("replace", "insert", "repeat", "line", "word", "word", "word"))
        if kind == "line":
            lines = text.split("\n")
            place = rng.randrange(len(lines))
            lines[place : place + 1] = rng.choice(([], [lines[place]] * 2, [""]))
            text = "\n".join(lines)
        elif kind == "word":
            words = list(re.finditer(r"(?<=\s)[^\s_]\S*", text))
            if words:
                start, stop = rng.choice(words).span()
                text = text[:start] + rng.choice(NUMBERS + SYMBOLS) + text[stop:]
        elif kind == "repeat":
            text = text[:to] + text[at:to] * rng.choice((1, 5, 200)) + text[to:]
        else:
            text = text[:at] + rng.choice(PIECES) + text[to if kind == "replace" else at :]
        text = text[:200_000]
    return text


def mutants(sources):
    """Mutations of any of the sources."""
    return st.builds(mutate, st.sampled_from(sources), st.randoms(use_true_random=False))


def mostly(good, odd):
    """One of the first six times as often as one of the others."""
    return st.integers(0, 6).flatmap(lambda die: st.sampled_from(good if die else odd))


@st.composite
def texts(draw):
    """A file by the grammar: cell, symmetry and atoms, mostly right, and mostly in order."""
    cell = [f"{tag} {draw(mostly(('3.3', '5', '9.1'), NUMBERS))}" for tag in HEADER[:3]]
    cell += [f"{tag} {draw(mostly(('90', '90', '110'), NUMBERS))}" for tag in HEADER[3:]]
    listed = draw(st.lists(mostly(OPERATIONS[:2], OPERATIONS), max_size=4))
    symmetry = ["loop_", "_symmetry_equiv_pos_as_xyz", *(f"'{x}'" for x in listed)]
    named = [f"_symmetry_space_group_name_H-M '{draw(st.sampled_from(GROUPS))}'"]
    columns = list(draw(mostly((COLUMNS, COLUMNS[::-1]), (COLUMNS[1:], COLUMNS[:5], COLUMNS[:4]))))
    kinds = {
        "_atom_site_label": st.sampled_from(("Nb1", "Sn2", "O3")),
        "_atom_site_type_symbol": mostly(("Nb", "Sn", "O2-"), SYMBOLS),
        "_atom_site_occupancy": mostly(("1", "0.5", ".3", "0"), ("-1", ".", "?", "1.04", "nan")),
    }
    place = mostly(("0", "0.5", "0.25", "0.3333", "0.6667(2)", "0.1"), NUMBERS)
    rows = [
        " ".join(draw(kinds.get(column, place)) for column in columns)
        for _ in range(draw(st.integers(1, 3)))
    ]
    parts = [cell, named * (draw(st.integers(0, 6)) == 0), symmetry * bool(listed)]
    parts.append(["loop_", *columns, *rows])
    order = draw(mostly(((0, 1, 2, 3),), ((3, 2, 1, 0), (2, 3, 0, 1), (0, 0, 3), (3,), (0, 1, 2))))
    ends = mostly(("\n", "\r\n"), ("\n\n", "\n# x\n", "\r", " "))
    return "data_x\n" + draw(ends).join(line for part in order for line in parts[part]) + "\n"
