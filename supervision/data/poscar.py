"""POSCAR text, of VASP 5 and later, as CIF text. https://www.vasp.at/wiki/POSCAR

A text is read completely or refused with one sentence. pymatgen's reader makes elements up where
none are named, ignores atoms that are not counted, and takes a second to import.
"""

import re
from collections.abc import Sequence

import numpy as np
from pymatgen.core import Element, Lattice, Structure

from supervision.data.cell_checks import MAX_ATOMS, MIN_SITE_VOLUME
from supervision.data.cif import ELEMENTS_BY_SYMBOL, plain_text
from supervision.data.cif_writer import structure_to_cif
from supervision.data.errors import CrystalError
from supervision.runtime.text import printable

SYMBOLS_LINE, MIN_LINES = 5, 8  # counted from 0; atoms follow after the eighth line
MAX_LINES = 2 * MAX_ATOMS  # that are looked at; velocities may follow
COUNT = re.compile("[0-9]{1,9}")
MAX_NUMBER = 1e9  # angstrom, or cubic angstrom of a volume; products of three stay finite


def is_poscar(text: str) -> bool:
    """Whether a text begins as a POSCAR does: a comment, a scale and three lattice vectors."""
    _, *lines = _lines(text, SYMBOLS_LINE)
    found = [len(_numbers(line)) for line in lines]
    return len(found) == SYMBOLS_LINE - 1 and found[0] > 0 and min(found[1:]) == 3


def poscar_to_cif(text: str) -> str:
    """The structure of a POSCAR or CONTCAR as CIF text. Raises CrystalError with one sentence."""
    lines = _lines(text, MAX_LINES)
    if len(lines) < MIN_LINES:
        raise CrystalError("The POSCAR is incomplete: it has no atoms.")
    vectors = np.array([_vector(lines, row) for row in (2, 3, 4)])
    scale = _scale(lines[1], abs(np.linalg.det(vectors)))
    volume = abs(np.linalg.det(vectors * scale))
    if volume < MIN_SITE_VOLUME:
        raise CrystalError(
            f"The cell has {volume:.3g} cubic angstrom, and must have {MIN_SITE_VOLUME:g} or more."
        )
    elements, row = _elements(lines)
    if _first_letter(lines, row) == "s":  # selective dynamics
        row += 1
    mode = _first_letter(lines, row)
    if not mode.isalpha():
        raise _damaged(row, "must say Direct or Cartesian")
    positions = np.array([_vector(lines, row + n) for n, _ in enumerate(elements, start=1)])
    after = row + 1 + len(elements)
    if after < len(lines) and len(_numbers(lines[after])) == 3:
        raise _damaged(after, f"has an atom, but only {len(elements)} are counted above")
    is_cartesian = mode in "ck"
    return structure_to_cif(
        Structure(
            Lattice(vectors * scale),
            elements,
            positions * scale if is_cartesian else positions,
            coords_are_cartesian=is_cartesian,
        )
    )


def _lines(text: str, most: int) -> list[str]:
    """The first lines of a text; empty ones at its end are left out."""
    return plain_text(text).rstrip().split("\n", most)[:most]


def _first_letter(lines: Sequence[str], row: int) -> str:
    """The first character of a line in lower case; empty where there is none."""
    return lines[row].strip()[:1].lower() if row < len(lines) else ""


def _numbers(line: str) -> list[float]:
    """The numbers that a line begins with, at most three; flags and comments may follow them."""
    found: list[float] = []
    for word in line.split(maxsplit=3)[:3]:
        try:
            found.append(float(word))
        except ValueError:
            break
    return found


def _vector(lines: Sequence[str], row: int) -> list[float]:
    found = _numbers(lines[row]) if row < len(lines) else []
    if len(found) < 3 or not all(abs(x) < MAX_NUMBER for x in found):
        raise _damaged(row, "must begin with three numbers")
    return found


def _scale(line: str, volume: float) -> np.ndarray:
    """What vectors and Cartesian positions are multiplied by, ``[1]`` or one per axis, ``[3]``.

    A negative number in the text is the volume that the cell is scaled to.
    """
    found = np.array(_numbers(line))
    if len(found) == 1 and -MAX_NUMBER < found < 0:
        flat = volume < 1 / MAX_NUMBER  # and refused, whatever the scale is
        found = -found if flat else (-found / volume) ** (1 / 3)
    if len(found) not in (1, 3) or not all(0 < x < MAX_NUMBER for x in found):
        raise _damaged(1, "must be the scale: a positive number, or the volume with a minus sign")
    return found


def _elements(lines: Sequence[str]) -> tuple[list[Element], int]:
    """The element of each atom, and the index of the line after the counts.

    VASP writes more than 20 symbols, and then as many counts, on several lines.
    """
    row, symbols, counts = SYMBOLS_LINE, list[str](), list[str]()
    while _first_letter(lines, row).isalpha():
        symbols += lines[row].split()
        row += 1
    if not symbols:
        raise CrystalError(
            "The POSCAR does not name its elements; add a line of symbols above their counts."
        )
    while len(counts) < len(symbols) and row < len(lines):
        counts += lines[row].split()
        row += 1
    if len(counts) != len(symbols) or not all(COUNT.fullmatch(count) for count in counts):
        raise _damaged(row - 1, "must have a count of atoms for each symbol above it")
    total = sum(map(int, counts))
    if not total:
        raise CrystalError("The structure has no atoms.")
    if total > MAX_ATOMS:
        raise CrystalError(f"The cell holds {total:,} atoms, more than {MAX_ATOMS:,}.")
    pairs = zip(symbols, counts, strict=True)
    return [element for s, n in pairs for element in [_element(s)] * int(n)], row


def _element(symbol: str) -> Element:
    """The element of a symbol, after which VASP may write a pseudopotential: ``Mg_pv/f474ac0d``."""
    found = ELEMENTS_BY_SYMBOL.get(re.split("[_/]", symbol)[0])
    if found is None:
        raise CrystalError(f"The species '{printable(symbol[:40])}' is not an element.")
    return found


def _damaged(row: int, reason: str) -> CrystalError:
    return CrystalError(f"The POSCAR is damaged: line {row + 1} {reason}.")
