"""Splits of the materials into training, validation and test sets.

A split assigns every material to train, val or test. Its shuffles use sha256 instead of a random
number generator, so that they are the same on every machine and with every version of numpy.
"""

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

import numpy as np

from supervision.data.crystals import Material, material_key
from supervision.data.errors import CrystalError
from supervision.data.tc_bands import band_labels

SPLIT_KINDS = ("random", "chemsys", "family")
PARTS = ("train", "val", "test")
SHUFFLES = 500  # from which a split of groups takes the one most even over Tc bands
NEAR_DUPLICATE_TOLERANCE = 0.01  # difference in an atomic fraction
PART_FRACTIONS = {"train": 0.70, "val": 0.15, "test": 0.15}


class LeakError(ValueError):
    """A split has related materials, which its kind must keep together, in different parts."""


@dataclass(frozen=True)
class Split:
    """An assignment of materials to ``train``, ``val`` and ``test``.

    Attributes:
        kind: ``random``, ``chemsys`` or ``family``.
        parts: the part of each material, by material id.
        grouped_by: what is kept together, in words.
    """

    kind: str
    seed: int
    parts: Mapping[str, str]
    grouped_by: str

    @property
    def hash(self) -> str:
        """sha256 over the sorted ``material_id,part`` lines: equal splits have equal hashes."""
        lines = "\n".join(f"{m},{part}" for m, part in sorted(self.parts.items()))
        return sha256(lines.encode()).hexdigest()

    def select(self, materials: Sequence[Material], part: str) -> list[Material]:
        """The materials of one part, in the given order."""
        return [m for m in materials if self.parts[m.id] == part]

    def save(self, path: Path) -> None:
        """Write ``material_id,part`` as CSV."""
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["material_id", "part"])
            writer.writerows(sorted(self.parts.items()))


def make_split(materials: Sequence[Material], kind: str, *, seed: int = 42) -> Split:
    """Split 70/15/15 by materials (``random``) or by groups of them (``chemsys``, ``family``).

    Every kind is balanced over Tc bands as far as its groups allow.

    - random: assigns single materials.
    - chemsys: keeps materials of one element set together.
    - family: keeps families together (see ``families``).

    Raises ValueError for another kind, or if a part would be empty.
    """
    if kind not in SPLIT_KINDS:
        raise ValueError(f"split '{kind}' is not one of {', '.join(SPLIT_KINDS)}.")
    if kind == "random":
        groups = {m.id: m.id for m in materials}
        parts, grouped_by = _stratified(materials, seed), "material"
    elif kind == "chemsys":
        groups, grouped_by = {m.id: m.chemsys for m in materials}, "element set"
        parts = _grouped(materials, groups, seed)
    else:
        groups = families(materials)
        parts = _grouped(materials, groups, seed)
        has_parents = any(m.parents for m in materials)
        grouped_by = (
            "element set or parent structure" if has_parents else "element set (no parents)"
        )
    split = Split(kind, seed, parts, grouped_by)
    for part in PARTS:
        if part not in split.parts.values():
            raise ValueError(
                f"{len(materials)} materials in {len(set(groups.values()))} groups are too few "
                f"for a {kind} split: {part} is empty. Use more materials, or a higher limit."
            )
    check_disjoint(split, materials)
    return split


def families(materials: Sequence[Material]) -> dict[str, str]:
    """The family of each material, by material id.

    Families are the connected components of materials that share an element set or a parent
    structure. A family's name is its smallest material id, so it does not depend on the order.
    """
    from scipy.sparse import coo_array  # a split from an archive is read without scipy
    from scipy.sparse.csgraph import connected_components

    nodes: dict[str, int] = {}  # element sets and parents
    rows, columns = [], []
    parents = parents_of(materials)
    for row, material in enumerate(materials):
        shared = [f"set:{material.chemsys}"] + [f"parent:{p}" for p in sorted(parents[material.id])]
        for key in shared:
            rows.append(row)
            columns.append(len(materials) + nodes.setdefault(key, len(nodes)))
    size = len(materials) + len(nodes)
    links = coo_array((np.ones(len(rows)), (rows, columns)), shape=(size, size))
    labels = connected_components(links, directed=False)[1][: len(materials)]
    names: dict[int, str] = {}
    for label, material in zip(labels, materials, strict=True):
        names[label] = min(names.get(label, material.id), material.id)
    return {m.id: names[label] for label, m in zip(labels, materials, strict=True)}


def parents_of(materials: Sequence[Material]) -> dict[str, frozenset[str]]:
    """The parent structures of each material, by material id.

    These are the structures it was derived from, and the material itself if another one names it as
    parent: by the id or file name of one of its crystals, with or without ``.cif``, or by its
    formula.
    """
    named = frozenset[str]().union(*(m.parents for m in materials))
    compositions: dict[str, set[str]] = defaultdict(set)
    for parent in named:
        with suppress(CrystalError):  # most are ids, not formulas
            compositions[material_key(parent)].add(parent)
    found = {}
    for material in materials:
        ids = {name for c in material.crystals for name in (c.id, PurePosixPath(c.id).name)}
        ids |= {id[:-4] for id in ids if id.lower().endswith(".cif")}
        found[material.id] = material.parents | (named & ids) | compositions[material.id]
    return found


def check_disjoint(split: Split, materials: Sequence[Material]) -> None:
    """Raise LeakError if materials that the kind keeps together are in different parts."""
    kept_together = {"random": (), "chemsys": ("chemsys",), "family": ("chemsys", "parents")}
    parts_by_key: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    parents = parents_of(materials)
    for material in materials:
        part = split.parts[material.id]
        keys = [("material", material_key(material.formula))]
        if "chemsys" in kept_together[split.kind]:
            keys.append(("element set", material.chemsys))
        if "parents" in kept_together[split.kind]:
            keys += [("parent", parent) for parent in parents[material.id]]
        for key in keys:
            parts_by_key[key].setdefault(part, material.formula)
    for (what, name), found in parts_by_key.items():
        if len(found) > 1:
            where = " and ".join(f"{part} ({formula})" for part, formula in sorted(found.items()))
            raise LeakError(f"The {split.kind} split leaks: {what} {name} is in {where}.")


def _stratified(materials: Sequence[Material], seed: int) -> dict[str, str]:
    """Single materials, 70/15/15 within Tc = 0 and within each Tc band."""
    members: dict[str, list[str]] = defaultdict(list)
    for material, stratum in zip(materials, _strata(materials), strict=True):
        members[stratum].append(material.id)
    parts: dict[str, str] = {}
    for ids in members.values():
        parts |= _partition(dict.fromkeys(ids, 1), seed, shuffle=0)
    return parts


def _grouped(
    materials: Sequence[Material], group_of: Mapping[str, str], seed: int
) -> dict[str, str]:
    """Whole groups, 70/15/15 by materials; the one of SHUFFLES shuffles most even over Tc bands.

    A few families hold most of the materials of high Tc. With a single shuffle, the mean distance
    from the median Tc can be 7.6 K in validation and 13.5 K in test.
    """
    sizes = Counter(group_of[m.id] for m in materials)
    names, group = np.unique([group_of[m.id] for m in materials], return_inverse=True)
    bands, band = np.unique(_strata(materials), return_inverse=True)
    counts = np.zeros((len(names), len(bands)))
    np.add.at(counts, (group, band), 1)
    targets = np.array([PART_FRACTIONS[part] for part in PARTS])[:, None]

    def unevenness(parts: Mapping[str, str]) -> float:
        part = np.array([PARTS.index(parts[name]) for name in names])
        found = np.array([counts[part == i].sum(axis=0) for i in range(len(PARTS))])
        return float((np.abs(found / counts.sum(axis=0) - targets) / targets).sum())

    candidates = (_partition(sizes, seed, shuffle=shuffle) for shuffle in range(SHUFFLES))
    best = min(candidates, key=lambda parts: round(unevenness(parts), 9))
    return {m.id: best[group_of[m.id]] for m in materials}


def _partition(sizes: Mapping[str, int], seed: int, *, shuffle: int) -> dict[str, str]:
    """Shuffle the names and divide them where their cumulative size reaches each part's share."""
    order = sorted(sizes, key=lambda n: sha256(f"{seed}:{shuffle}:{n}".encode()).digest())
    total, before = sum(sizes.values()), 0
    bounds = np.cumsum([PART_FRACTIONS[part] for part in PARTS])
    parts = {}
    for name in order:
        middle = (before + sizes[name] / 2) / total
        parts[name] = PARTS[int(np.searchsorted(bounds[:-1], middle, side="right"))]
        before += sizes[name]
    return parts


def _strata(materials: Sequence[Material]) -> list[str]:
    tc = np.array([m.tc for m in materials])
    return ["none" if t == 0 else band for t, band in zip(tc, band_labels(tc), strict=True)]


def near_duplicates(
    materials: Sequence[Material], to: Sequence[Material], *, chemsys: bool
) -> list[str]:
    """Ids of the materials whose composition is nearly that of a material in ``to``.

    Nearly: the same element set, and atomic fractions that differ by at most
    NEAR_DUPLICATE_TOLERANCE. With ``chemsys``, the same element set is enough.
    """
    fractions: dict[str, list[np.ndarray]] = defaultdict(list)
    for m in to:
        fractions[m.chemsys].append(_fractions(m))

    def near(m: Material) -> bool:
        differences = np.abs(np.stack(fractions[m.chemsys]) - _fractions(m)).max(1)
        return bool((differences <= NEAR_DUPLICATE_TOLERANCE).any())

    return [m.id for m in materials if m.chemsys in fractions and (chemsys or near(m))]


def _fractions(material: Material) -> np.ndarray:
    """Atomic fractions in the order of the symbols in ``chemsys``."""
    from pymatgen.core import Composition

    composition = Composition(material.formula).get_el_amt_dict()
    amounts = np.array([composition[symbol] for symbol in material.chemsys.split("-")])
    return amounts / amounts.sum()
