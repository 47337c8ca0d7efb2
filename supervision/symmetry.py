"""Symmetry operations, as a CIF file lists them or as a space group has them."""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache

import gemmi
import numpy as np

from supervision.text import printable

MAX_OPERATION = 64  # characters; 'x-y+333/1000, x+667/1000, z+1/2' has 31
MAX_TRANSLATION = 100.0  # cells

NUMBER = r"\d+/0*[1-9]\d*|\d+\.?\d*|\.\d+"
TERM = re.compile(rf"([+-])({NUMBER})?\*?([xyz])?")
SUM = re.compile(rf"(?:[+-](?:(?:{NUMBER})\*?[xyz]?|[xyz]))+")


@dataclass(frozen=True, eq=False)
class Symmetry:
    """Operations on fractional coordinates: rotations [n, 3, 3] and translations [n, 3]."""

    rotations: np.ndarray
    translations: np.ndarray

    @cached_property
    def crystal_class(self) -> tuple[tuple[int, ...], ...]:
        """How many rotations there are of each type, by determinant and trace.

        That tells the 32 crystal classes apart whatever the cell (Grosse-Kunstleve, Acta Cryst.
        A55, 383, 1999).
        """
        distinct = np.unique(self.rotations.reshape(-1, 9), axis=0).reshape(-1, 3, 3)
        determinant = np.linalg.det(distinct).round().astype(int)
        kinds = np.stack([determinant, np.trace(distinct, axis1=1, axis2=2)])
        found, count = np.unique(kinds, axis=1, return_counts=True)
        return tuple(map(tuple, np.vstack([found, count]).tolist()))

    def images(self, places: np.ndarray) -> np.ndarray:
        """[k, n, 3] where each of n operations brings each of k places."""
        return np.einsum("nij,kj->kni", self.rotations, places) + self.translations


@lru_cache(maxsize=256)
def listed(texts: tuple[str, ...]) -> Symmetry:
    """The operations that a file lists; files share few lists.

    Raises ValueError for a wrong one.
    """
    found = [operation(text) for text in texts]
    rotations, translations = zip(*found, strict=True)
    return Symmetry(np.array(rotations), np.array(translations))


@lru_cache(maxsize=600)
def of_group(name: str) -> Symmetry:
    """The operations of a space group by its name, setting included."""
    operations = list(gemmi.find_spacegroup_by_name(name).operations())
    return Symmetry(
        np.array([op.rot for op in operations]) // gemmi.Op.DEN,
        np.array([op.tran for op in operations]) / gemmi.Op.DEN,
    )


@lru_cache(maxsize=10_000)
def operation(text: str) -> tuple[np.ndarray, np.ndarray]:
    """``-y, x-y, z+1/3`` as a rotation [3, 3], one of a lattice, and a translation [3].

    Raises ValueError for what is none.
    """
    rotation, translation = np.zeros((3, 3)), np.zeros(3)
    parts = "".join(text.split()).lower().split(",") if len(text) <= MAX_OPERATION else []
    for axis, part in enumerate(parts[:3]):
        signed = part if part.startswith(("+", "-")) else f"+{part}"
        for sign, number, variable in TERM.findall(signed) if SUM.fullmatch(signed) else ():
            size = float(f"{sign}1") * float(Fraction(number or 1))
            if variable:
                rotation[axis, "xyz".index(variable)] += size
            else:
                translation[axis] += size
    whole = rotation.round()
    good = (whole == rotation).all() and abs(round(np.linalg.det(whole))) == 1
    if len(parts) != 3 or not good or np.abs(translation).max() > MAX_TRANSLATION:
        raise ValueError(f"'{printable(text[:40])}' is no symmetry operation")
    return whole.astype(int), translation
