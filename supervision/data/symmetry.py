"""Symmetry operations, as a CIF file lists them or as the space group that it names has them."""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache

import gemmi
import numpy as np
from pymatgen.core import Lattice

from supervision.data.cif_tags import Tags
from supervision.runtime.text import printable

MAX_OPERATIONS = 192  # the most that a space group has in its conventional cell
MAX_CENTRINGS = 16  # translations of one rotation; an F lattice has 4, a doubled P cell 8
MAX_OPERATION = 64  # characters; 'x-y+333/1000, x+667/1000, z+1/2' has 31
MAX_TRANSLATION = 100.0  # cells
LARGEST_ENTRY = 9  # of a rotation, in a very oblique cell
MISFIT = 0.1  # of an entry of the metric tensor: distortion by an operation, up to 0.06 in 3DSC
CLOSED = 0.01  # cells: 0.333 three times is one
DEN = gemmi.Op.DEN

LISTS = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz")
NAMES = (
    "_symmetry_space_group_name_h-m", "_space_group_name_h-m_alt", "_space_group_name_h-m_full",
    "_space_group_name_h-m", "_symmetry_space_group_name_h-m_alt", "_symmetry_space_group_name_h_m",
)  # fmt: skip
HALLS = ("_symmetry_space_group_name_hall", "_space_group_name_hall")
NUMBERS = ("_space_group_it_number", "_symmetry_int_tables_number")
SYSTEMS = ("_symmetry_cell_setting", "_space_group_crystal_system")
SAYS_NOTHING = (*SYSTEMS, "_symmetry_equiv_pos_site_id", "_space_group_symop_id", "_space_group_id")
SETTING = re.compile(r"\s+([SZHR])$")  # ICSD's S and Z are origins 1 and 2
ORIGIN = re.compile(r"(:\s*[12]|\s[SZ])$")

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

    @cached_property
    def operations(self) -> frozenset[tuple[int, ...]]:
        """Each as twelve integers, translations in 24ths of a cell."""
        steps = (self.translations * DEN).round().astype(int) % DEN
        rows = np.concatenate([self.rotations.reshape(-1, 9), steps], axis=1)
        return frozenset(map(tuple, rows.tolist()))

    def images(self, places: np.ndarray) -> np.ndarray:
        """[k, n, 3] where each of n operations brings each of k places."""
        return np.einsum("nij,kj->kni", self.rotations, places) + self.translations


def read_symmetry(tags: Tags, lattice: Lattice) -> Symmetry:
    """The operations that are listed, or those of the space group by its name.

    Without either the file is P1: all atoms are listed. Raises ValueError where it is not certain
    which operations are meant.
    """
    lists = [tuple(found) for tag in LISTS if (found := tags.texts(tag))]
    if len({frozenset("".join(text.lower().split()) for text in one) for one in lists}) > 1:
        raise ValueError("it has two lists of symmetry operations, which differ")
    texts: tuple[str, ...] = lists[0] if lists else ()
    if len(texts) > MAX_OPERATIONS:
        raise ValueError(
            f"it lists {len(texts):,} symmetry operations; no space group has more than "
            f"{MAX_OPERATIONS}"
        )
    group = _named(tags, lattice)
    if not texts:
        _check_certain(tags, group)
    symmetry = listed(texts) if texts else of_group(group.xhm() if group else "P 1")
    if texts and group:
        _check_agreement(symmetry, group)
    misfit = _misfit(symmetry, lattice)
    if misfit.max() > MISFIT:
        worst = int(misfit.argmax())
        name = f"'{printable(texts[worst])}'" if texts else f"number {worst + 1}"
        raise ValueError(f"the symmetry operation {name} does not fit the cell")
    return symmetry


def _misfit(symmetry: Symmetry, lattice: Lattice) -> np.ndarray:
    """[n] by how much each operation changes an entry of the metric tensor, as a share."""
    metric = lattice.metric_tensor
    turned = symmetry.rotations.transpose(0, 2, 1) @ metric @ symmetry.rotations
    edges = np.sqrt(np.diag(metric))
    return np.abs((turned - metric) / np.outer(edges, edges)).max(axis=(1, 2))


# --- the named space group


def _named(tags: Tags, lattice: Lattice) -> gemmi.SpaceGroup | None:
    """The space group that a file names; None where it names none that is known.

    A Hall symbol, which tells the setting too, goes before a name, that before a number. Raises
    ValueError where they are several.
    """
    found = [_by_hall(text) for tag in HALLS if (text := tags.value(tag))]
    found += [_by_name(text, lattice) for tag in NAMES if (text := tags.value(tag))]
    known = [group for group in found if group]
    numbers = {group.number for group in known}
    numbers |= {int(n) for tag in NUMBERS if (n := tags.value(tag)) and n.isdecimal()}
    if len(numbers) > 1:
        raise ValueError(
            f"it names several space groups, of the numbers {', '.join(map(str, sorted(numbers)))}"
        )
    if not found and numbers and 1 <= min(numbers) <= 230:
        return _by_name(gemmi.find_spacegroup_by_number(min(numbers)).hm, lattice)
    return known[0] if known else None


def _by_hall(text: str) -> gemmi.SpaceGroup | None:
    try:
        return gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(text))
    except (RuntimeError, ValueError):
        return None


def _by_name(text: str, lattice: Lattice) -> gemmi.SpaceGroup | None:
    """A group by its Hermann-Mauguin name, its setting by the name's end or by the cell."""
    plain = re.sub(r"\s+\(\d+\)$", "", text.strip())
    plain = re.sub(r"[_()]", "", plain)
    plain = SETTING.sub(lambda end: f":{end[1].replace('S', '1').replace('Z', '2')}", plain)
    # Only the axes of an R lattice depend on the cell.
    alpha, _, gamma = lattice.angles if plain.startswith(("R", "r")) else (0.0, 0.0, 0.0)
    return gemmi.find_spacegroup_by_name(plain, alpha, gamma)


def _check_certain(tags: Tags, group: gemmi.SpaceGroup | None) -> None:
    """Where no operations are listed: refuse a group that is unknown, or has two origins."""
    names = [text for tag in NAMES if (text := tags.value(tag))]
    if group is None:
        said = [
            tag
            for tag in tags.known
            if tag.startswith(("_symmetry_", "_space_group_"))
            and tag not in SAYS_NOTHING
            and tags.texts(tag)
        ]
        if said:
            what = f"'{printable(tags.texts(said[0])[0][:40])}'"
            raise ValueError(
                f"it lists no symmetry operations, and the space group {what} that it names by "
                f"{said[0][:60]} is unknown"
            )
        return
    by_hall = any(_by_hall(text) for tag in HALLS if (text := tags.value(tag)))
    told = by_hall or any(ORIGIN.search(text) for text in names)
    if group.ext in ("1", "2") and not told:
        raise ValueError(
            f"it lists no symmetry operations, and the space group {group.short_name()} has two "
            f"origins; list them, or name it {group.hm}:1 or {group.hm}:2"
        )


def _check_agreement(found: Symmetry, group: gemmi.SpaceGroup) -> None:
    """Refuse operations of another crystal class than the named group's, or a part of its own."""
    named = of_group(group.xhm())
    if found.crystal_class == named.crystal_class and not found.operations < named.operations:
        return
    raise ValueError(
        f"its {len(found.rotations)} symmetry operations are not those of the space group "
        f"{group.short_name()} that it names; correct one of them (P1 where all atoms are listed)"
    )


# --- operations


@lru_cache(maxsize=600)
def of_group(name: str) -> Symmetry:
    """The operations of a space group by its name, setting included."""
    operations = list(gemmi.find_spacegroup_by_name(name).operations())
    return Symmetry(
        np.array([op.rot for op in operations]) // DEN,
        np.array([op.tran for op in operations]) / DEN,
    )


@lru_cache(maxsize=256)
def listed(texts: tuple[str, ...]) -> Symmetry:
    """The operations that a file lists; files share few lists.

    Raises ValueError for a wrong one, and where they are no group.
    """
    found = [operation(text) for text in texts]
    rotations, translations = (np.array(part) for part in zip(*found, strict=True))
    missing = np.argwhere(~_closed(rotations, translations))
    if len(missing):
        one, other = (printable(texts[i]) for i in missing[0])
        raise ValueError(
            f"its symmetry operations are no group: '{one}' after '{other}' is not among them"
        )
    return Symmetry(rotations, translations)


def _closed(rotations: np.ndarray, translations: np.ndarray) -> np.ndarray:
    """[n, n] whether the first operation after the second is one of them, up to whole cells."""
    products = np.einsum("iab,jbc->ijac", rotations, rotations)
    shifts = np.einsum("iab,jb->ija", rotations, translations) + translations[:, None]
    place = (2 * LARGEST_ENTRY + 1) ** np.arange(9)
    codes = rotations.reshape(-1, 9) @ place
    made = products.reshape(*products.shape[:2], 9) @ place
    inside = np.zeros(made.shape, dtype=bool)
    distinct, count = np.unique(codes, return_counts=True)
    if count.max() > MAX_CENTRINGS:
        raise ValueError(
            f"it lists {count.max()} symmetry operations of one rotation, more than {MAX_CENTRINGS}"
        )
    for code in distinct:
        mine = made == code
        apart = shifts[mine][:, None] - translations[codes == code]
        apart -= np.rint(apart)
        inside[mine] = (np.abs(apart) < CLOSED).all(axis=2).any(axis=1)
    return inside


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
    good = (whole == rotation).all() and np.abs(whole).max() <= LARGEST_ENTRY
    good = good and len(parts) == 3 and abs(round(np.linalg.det(whole))) == 1
    if not good or np.abs(translation).max() > MAX_TRANSLATION:
        raise ValueError(f"'{printable(text[:40])}' is no symmetry operation")
    return whole.astype(int), translation
