"""Symmetry operations of a CIF file: its list of operations, or those of its space group."""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache

import gemmi
import numpy as np
from pymatgen.core import Lattice

from supervision.data.cif_tags import Tags
from supervision.runtime.text import printable

MAX_OPERATIONS = 192  # of a space group in its conventional cell
MAX_TRANSLATIONS_PER_ROTATION = 16  # an F lattice has 4, a P cell doubled along each axis 8
MAX_OPERATION_CHARACTERS = 64  # 'x-y+333/1000, x+667/1000, z+1/2' has 31
MAX_TRANSLATION_CELLS = 100.0
MAX_ROTATION_ENTRY = 9  # matrix entry, reached in a very oblique cell
MAX_METRIC_CHANGE = 0.1  # relative, by one operation; up to 0.06 in 3DSC
CLOSURE_TOLERANCE_CELLS = 0.01  # three times 0.333 must be equal to 1
TRANSLATION_DENOMINATOR = gemmi.Op.DEN

OPERATION_TAGS = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz")
HERMANN_MAUGUIN_TAGS = (
    "_symmetry_space_group_name_h-m", "_space_group_name_h-m_alt", "_space_group_name_h-m_full",
    "_space_group_name_h-m", "_symmetry_space_group_name_h-m_alt", "_symmetry_space_group_name_h_m",
)  # fmt: skip
HALL_TAGS = ("_symmetry_space_group_name_hall", "_space_group_name_hall")
NUMBER_TAGS = ("_space_group_it_number", "_symmetry_int_tables_number")
CRYSTAL_SYSTEM_TAGS = ("_symmetry_cell_setting", "_space_group_crystal_system")
UNINFORMATIVE_TAGS = (
    *CRYSTAL_SYSTEM_TAGS,
    "_symmetry_equiv_pos_site_id",
    "_space_group_symop_id",
    "_space_group_id",
)
SETTING_PATTERN = re.compile(r"\s+([SZHR])$")  # S and Z are origin choices 1 and 2 in the ICSD
ORIGIN_PATTERN = re.compile(r"(:\s*[12]|\s[SZ])$")

NUMBER_PATTERN = r"\d+/0*[1-9]\d*|\d+\.?\d*|\.\d+"
TERM_PATTERN = re.compile(rf"([+-])({NUMBER_PATTERN})?\*?([xyz])?")
SUM_PATTERN = re.compile(rf"(?:[+-](?:(?:{NUMBER_PATTERN})\*?[xyz]?|[xyz]))+")


@dataclass(frozen=True, eq=False)
class Symmetry:
    """Operations on fractional coordinates: rotations [n, 3, 3] and translations [n, 3]."""

    rotations: np.ndarray
    translations: np.ndarray

    @cached_property
    def crystal_class(self) -> tuple[tuple[int, ...], ...]:
        """The number of rotations of each type, where determinant and trace define a type.

        This identifies the 32 crystal classes in any cell (Grosse-Kunstleve, Acta Cryst. A55, 383,
        1999).
        """
        distinct = np.unique(self.rotations.reshape(-1, 9), axis=0).reshape(-1, 3, 3)
        determinant = np.linalg.det(distinct).round().astype(int)
        kinds = np.stack([determinant, np.trace(distinct, axis1=1, axis2=2)])
        found, count = np.unique(kinds, axis=1, return_counts=True)
        return tuple(map(tuple, np.vstack([found, count]).tolist()))

    @cached_property
    def operations(self) -> frozenset[tuple[int, ...]]:
        """Each operation as twelve integers: rotation, and translation in 24ths of a cell."""
        steps = (self.translations * TRANSLATION_DENOMINATOR).round().astype(
            int
        ) % TRANSLATION_DENOMINATOR
        rows = np.concatenate([self.rotations.reshape(-1, 9), steps], axis=1)
        return frozenset(map(tuple, rows.tolist()))

    def images(self, positions: np.ndarray) -> np.ndarray:
        """The images [k, n, 3] of k fractional positions [k, 3] under the n operations."""
        return np.einsum("nij,kj->kni", self.rotations, positions) + self.translations


def read_symmetry(tags: Tags, lattice: Lattice) -> Symmetry:
    """The operations that the file lists, or those of the space group that it names.

    A file without either is P1, with all atoms listed. Raises ValueError if the symmetry is
    ambiguous, contradictory or does not fit the cell.
    """
    lists = [tuple(found) for tag in OPERATION_TAGS if (found := tags.known_values(tag))]
    if len({frozenset("".join(text.lower().split()) for text in one) for one in lists}) > 1:
        raise ValueError("it has two different lists of symmetry operations")
    texts: tuple[str, ...] = lists[0] if lists else ()
    if len(texts) > MAX_OPERATIONS:
        raise ValueError(
            f"it lists {len(texts):,} symmetry operations; no space group has more than "
            f"{MAX_OPERATIONS}"
        )
    group = _named_space_group(tags, lattice)
    if not texts:
        _check_unambiguous(tags, group)
    if texts:
        symmetry = symmetry_from_list(texts)
    else:
        symmetry = symmetry_of_group(group.xhm() if group else "P 1")
    if texts and group:
        _check_agreement(symmetry, group)
    changes = _metric_changes(symmetry, lattice)
    if changes.max() > MAX_METRIC_CHANGE:
        worst = int(changes.argmax())
        name = f"'{printable(texts[worst])}'" if texts else f"number {worst + 1}"
        raise ValueError(f"the symmetry operation {name} does not fit the cell")
    return symmetry


def _metric_changes(symmetry: Symmetry, lattice: Lattice) -> np.ndarray:
    """The largest relative change of the metric tensor by each operation, [n]."""
    metric = lattice.metric_tensor
    transformed = symmetry.rotations.transpose(0, 2, 1) @ metric @ symmetry.rotations
    edges = np.sqrt(np.diag(metric))
    return np.abs((transformed - metric) / np.outer(edges, edges)).max(axis=(1, 2))


# --- the named space group


def _named_space_group(tags: Tags, lattice: Lattice) -> gemmi.SpaceGroup | None:
    """The space group that a file names; None if it names no known one.

    A Hall symbol, which includes the setting, has priority over a Hermann-Mauguin symbol, and that
    over a number. Raises ValueError if the file names several groups.
    """
    found = [_find_by_hall(text) for tag in HALL_TAGS if (text := tags.value(tag))]
    found += [
        _find_by_name(text, lattice) for tag in HERMANN_MAUGUIN_TAGS if (text := tags.value(tag))
    ]
    known = [group for group in found if group]
    numbers = {group.number for group in known}
    numbers |= {int(n) for tag in NUMBER_TAGS if (n := tags.value(tag)) and n.isdecimal()}
    if len(numbers) > 1:
        raise ValueError(
            f"it names several space groups, with numbers {', '.join(map(str, sorted(numbers)))}"
        )
    if not found and numbers and 1 <= min(numbers) <= 230:
        return _find_by_name(gemmi.find_spacegroup_by_number(min(numbers)).hm, lattice)
    return known[0] if known else None


def _find_by_hall(text: str) -> gemmi.SpaceGroup | None:
    try:
        return gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(text))
    except (RuntimeError, ValueError):
        return None


def _find_by_name(text: str, lattice: Lattice) -> gemmi.SpaceGroup | None:
    """A group by its Hermann-Mauguin symbol; the symbol's suffix or the cell gives the setting."""
    plain = re.sub(r"\s+\(\d+\)$", "", text.strip())
    plain = re.sub(r"[_()]", "", plain)
    plain = SETTING_PATTERN.sub(lambda end: f":{end[1].replace('S', '1').replace('Z', '2')}", plain)
    # The cell decides between hexagonal and rhombohedral axes of an R lattice only.
    alpha, _, gamma = lattice.angles if plain.startswith(("R", "r")) else (0.0, 0.0, 0.0)
    return gemmi.find_spacegroup_by_name(plain, alpha, gamma)


def _check_unambiguous(tags: Tags, group: gemmi.SpaceGroup | None) -> None:
    """Raise ValueError if a group without listed operations is unknown or has two origins."""
    names = [text for tag in HERMANN_MAUGUIN_TAGS if (text := tags.value(tag))]
    if group is None:
        given = [
            tag
            for tag in tags.names
            if tag.startswith(("_symmetry_", "_space_group_"))
            and tag not in UNINFORMATIVE_TAGS
            and tags.known_values(tag)
        ]
        if given:
            value = printable(tags.known_values(given[0])[0][:40])
            raise ValueError(
                f"it lists no symmetry operations, and the space group '{value}' that "
                f"{given[0][:60]} names is unknown"
            )
        return
    by_hall = any(_find_by_hall(text) for tag in HALL_TAGS if (text := tags.value(tag)))
    has_origin = by_hall or any(ORIGIN_PATTERN.search(text) for text in names)
    if group.ext in ("1", "2") and not has_origin:
        raise ValueError(
            f"it lists no symmetry operations, and the space group {group.short_name()} has two "
            f"origins; list the operations, or write {group.hm}:1 or {group.hm}:2"
        )


def _check_agreement(found: Symmetry, group: gemmi.SpaceGroup) -> None:
    """Raise ValueError if the operations do not belong to the named group or are incomplete."""
    named = symmetry_of_group(group.xhm())
    if found.crystal_class == named.crystal_class and not found.operations < named.operations:
        return
    raise ValueError(
        f"its {len(found.rotations)} symmetry operations are not those of the space group "
        f"{group.short_name()} that it names; correct one of them (P1 where all atoms are listed)"
    )


# --- operations


@lru_cache(maxsize=600)
def symmetry_of_group(name: str) -> Symmetry:
    """The operations of a space group by its name, which includes the setting."""
    operations = list(gemmi.find_spacegroup_by_name(name).operations())
    return Symmetry(
        np.array([op.rot for op in operations]) // TRANSLATION_DENOMINATOR,
        np.array([op.tran for op in operations]) / TRANSLATION_DENOMINATOR,
    )


@lru_cache(maxsize=256)
def symmetry_from_list(texts: tuple[str, ...]) -> Symmetry:
    """The operations of a list of texts; cached, because few different lists occur.

    Raises ValueError if an operation is invalid or if they do not form a group.
    """
    found = [parse_operation(text) for text in texts]
    rotations, translations = (np.array(part) for part in zip(*found, strict=True))
    missing = np.argwhere(~_closed(rotations, translations))
    if len(missing):
        one, other = (printable(texts[i]) for i in missing[0])
        raise ValueError(
            f"its symmetry operations do not form a group: '{one}' after '{other}' is missing"
        )
    return Symmetry(rotations, translations)


def _closed(rotations: np.ndarray, translations: np.ndarray) -> np.ndarray:
    """Whether the product of each two operations is in the list, up to lattice translations.

    Returns bool [n, n]; entry i, j is for operation i after operation j.
    """
    products = np.einsum("iab,jbc->ijac", rotations, rotations)
    shifts = np.einsum("iab,jb->ija", rotations, translations) + translations[:, None]
    digits = (2 * MAX_ROTATION_ENTRY + 1) ** np.arange(9)  # one integer per rotation matrix
    codes = rotations.reshape(-1, 9) @ digits
    product_codes = products.reshape(*products.shape[:2], 9) @ digits
    closed = np.zeros(product_codes.shape, dtype=bool)
    distinct, count = np.unique(codes, return_counts=True)
    if count.max() > MAX_TRANSLATIONS_PER_ROTATION:
        raise ValueError(
            f"it lists {count.max()} symmetry operations of one rotation, more than "
            f"{MAX_TRANSLATIONS_PER_ROTATION}"
        )
    for code in distinct:
        same = product_codes == code
        apart = shifts[same][:, None] - translations[codes == code]
        apart -= np.rint(apart)
        closed[same] = (np.abs(apart) < CLOSURE_TOLERANCE_CELLS).all(axis=2).any(axis=1)
    return closed


@lru_cache(maxsize=10_000)
def parse_operation(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Parse a text such as ``-y, x-y, z+1/3``.

    Returns an integer rotation matrix [3, 3] with determinant 1 or -1 and a translation [3].
    Raises ValueError for a text that is not a symmetry operation.
    """
    rotation, translation = np.zeros((3, 3)), np.zeros(3)
    short_enough = len(text) <= MAX_OPERATION_CHARACTERS
    parts = "".join(text.split()).lower().split(",") if short_enough else []
    for axis, part in enumerate(parts[:3]):
        signed = part if part.startswith(("+", "-")) else f"+{part}"
        terms = TERM_PATTERN.findall(signed) if SUM_PATTERN.fullmatch(signed) else ()
        for sign, number, variable in terms:
            size = float(f"{sign}1") * float(Fraction(number or 1))
            if variable:
                rotation[axis, "xyz".index(variable)] += size
            else:
                translation[axis] += size
    whole = rotation.round()
    valid = (whole == rotation).all() and np.abs(whole).max() <= MAX_ROTATION_ENTRY
    valid = valid and len(parts) == 3 and abs(round(np.linalg.det(whole))) == 1
    if not valid or np.abs(translation).max() > MAX_TRANSLATION_CELLS:
        raise ValueError(f"'{printable(text[:40])}' is not a symmetry operation")
    return whole.astype(int), translation
