"""Which materials a model may learn from, be chosen by, and be judged on.

A split is an assignment of every material to train, val or test. Its order of choice comes from
sha256, not from a random number generator, so that it is the same on every machine and with
every version of numpy.
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

KINDS = ("random", "chemsys", "family")
PARTS = ("train", "val", "test")
DEALS = 500
NEAR = 0.01  # of an atomic fraction
SHARES = {"train": 0.70, "val": 0.15, "test": 0.15}


class LeakError(ValueError):
    """A split that puts on two sides what it promised to keep together."""


@dataclass(frozen=True)
class Split:
    """An assignment of material ids to ``train``, ``val`` and ``test``."""

    kind: str
    seed: int
    parts: Mapping[str, str]
    grouped_by: str

    @property
    def hash(self) -> str:
        """sha256 over the sorted ``material_id,part`` lines: equal hash, equal split."""
        lines = "\n".join(f"{m},{part}" for m, part in sorted(self.parts.items()))
        return sha256(lines.encode()).hexdigest()

    def select(self, materials: Sequence[Material], part: str) -> list[Material]:
        """The materials of one part, in their given order."""
        return [m for m in materials if self.parts[m.id] == part]

    def save(self, path: Path) -> None:
        """Write ``material_id,part`` as CSV."""
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["material_id", "part"])
            writer.writerows(sorted(self.parts.items()))


def make_split(materials: Sequence[Material], kind: str, *, seed: int = 42) -> Split:
    """Split 70/15/15 by materials (``random``) or by groups of them (``chemsys``, ``family``).

    All are balanced over Tc bands as far as their groups allow. random: single materials.
    chemsys: whole element sets on one side. family: whole connected components of 'shares an
    element set or shares a parent structure'.
    Raises ValueError for another kind, or when a part would be empty.
    """
    if kind not in KINDS:
        raise ValueError(f"split '{kind}' is not one of {', '.join(KINDS)}.")
    if kind == "random":
        groups = {m.id: m.id for m in materials}
        parts, grouped_by = _stratified(materials, seed), "material"
    elif kind == "chemsys":
        groups, grouped_by = {m.id: m.chemsys for m in materials}, "element set"
        parts = _grouped(materials, groups, seed)
    else:
        groups = families(materials)
        parts = _grouped(materials, groups, seed)
        parented = any(m.parents for m in materials)
        grouped_by = "element set or parent structure" if parented else "element set (no parents)"
    split = Split(kind, seed, parts, grouped_by)
    for part in PARTS:
        if part not in split.parts.values():
            raise ValueError(
                f"{len(materials)} materials in {len(set(groups.values()))} groups are too few "
                f"for a {kind} split: {part} is empty. More of them will do, and a higher limit "
                "where one is set."
            )
    check_disjoint(split, materials)
    return split


def families(materials: Sequence[Material]) -> dict[str, str]:
    """Material id -> family: materials linked by an element set or by a parent structure.

    The family's name is the smallest material id in it, so it does not depend on order.
    """
    from scipy.sparse import coo_array  # a split that an archive brings needs no scipy
    from scipy.sparse.csgraph import connected_components

    keys: dict[str, int] = {}
    rows, columns = [], []
    parents = parents_of(materials)
    for row, material in enumerate(materials):
        marks = [f"set:{material.chemsys}"] + [f"parent:{p}" for p in sorted(parents[material.id])]
        for mark in marks:
            rows.append(row)
            columns.append(len(materials) + keys.setdefault(mark, len(keys)))
    size = len(materials) + len(keys)
    links = coo_array((np.ones(len(rows)), (rows, columns)), shape=(size, size))
    labels = connected_components(links, directed=False)[1][: len(materials)]
    names: dict[int, str] = {}
    for label, material in zip(labels, materials, strict=True):
        names[label] = min(names.get(label, material.id), material.id)
    return {m.id: names[label] for label, m in zip(labels, materials, strict=True)}


def parents_of(materials: Sequence[Material]) -> dict[str, frozenset[str]]:
    """Material id -> ids of the parent structures that it belongs to.

    Those it was derived from; and itself, where another names it as parent: by the id or the file
    name of one of its crystals, with or without ``.cif``, or by its formula.
    """
    named = frozenset[str]().union(*(m.parents for m in materials))
    compositions: dict[str, set[str]] = defaultdict(set)
    for parent in named:
        with suppress(CrystalError):  # most are ids, not formulas
            compositions[material_key(parent)].add(parent)
    belongs = {}
    for material in materials:
        ids = {name for c in material.crystals for name in (c.id, PurePosixPath(c.id).name)}
        ids |= {id[:-4] for id in ids if id.lower().endswith(".cif")}
        belongs[material.id] = material.parents | (named & ids) | compositions[material.id]
    return belongs


def check_disjoint(split: Split, materials: Sequence[Material]) -> None:
    """Raise LeakError if anything the split's kind keeps together stands on two sides."""
    promises = {"random": (), "chemsys": ("chemsys",), "family": ("chemsys", "parents")}
    sides: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    parents = parents_of(materials)
    for material in materials:
        part = split.parts[material.id]
        marks = [("material", material_key(material.formula))]
        if "chemsys" in promises[split.kind]:
            marks.append(("element set", material.chemsys))
        if "parents" in promises[split.kind]:
            marks += [("parent", parent) for parent in parents[material.id]]
        for mark in marks:
            sides[mark].setdefault(part, material.formula)
    for (what, name), found in sides.items():
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
        parts |= _cut(dict.fromkeys(ids, 1), seed, deal=0)
    return parts


def _grouped(
    materials: Sequence[Material], group_of: Mapping[str, str], seed: int
) -> dict[str, str]:
    """Whole groups, 70/15/15 by materials: of DEALS shuffles the one most even over Tc bands.

    A few families hold most of the high Tc; one blind shuffle leaves validation and test as
    different as 7.6 and 13.5 K in their mean distance from the median.
    """
    sizes = Counter(group_of[m.id] for m in materials)
    names, group = np.unique([group_of[m.id] for m in materials], return_inverse=True)
    bands, band = np.unique(_strata(materials), return_inverse=True)
    held = np.zeros((len(names), len(bands)))
    np.add.at(held, (group, band), 1)
    due = np.array([SHARES[part] for part in PARTS])[:, None]

    def unevenness(parts: Mapping[str, str]) -> float:
        side = np.array([PARTS.index(parts[name]) for name in names])
        found = np.array([held[side == i].sum(axis=0) for i in range(len(PARTS))])
        return float((np.abs(found / held.sum(axis=0) - due) / due).sum())

    deals = (_cut(sizes, seed, deal=deal) for deal in range(DEALS))
    best = min(deals, key=lambda parts: round(unevenness(parts), 9))
    return {m.id: best[group_of[m.id]] for m in materials}


def _cut(sizes: Mapping[str, int], seed: int, *, deal: int) -> dict[str, str]:
    """Names in a seeded order, cut where their sizes add up to each part's share."""
    order = sorted(sizes, key=lambda n: sha256(f"{seed}:{deal}:{n}".encode()).digest())
    total, before = sum(sizes.values()), 0
    bounds = np.cumsum([SHARES[part] for part in PARTS])
    parts = {}
    for name in order:
        middle = (before + sizes[name] / 2) / total
        parts[name] = PARTS[int(np.searchsorted(bounds[:-1], middle, side="right"))]
        before += sizes[name]
    return parts


def _strata(materials: Sequence[Material]) -> list[str]:
    tc = np.array([m.tc for m in materials])
    return ["none" if t == 0 else band for t, band in zip(tc, band_labels(tc), strict=True)]


def akin(materials: Sequence[Material], to: Sequence[Material], *, chemsys: bool) -> list[str]:
    """Ids of the materials that others give away: their composition is that of one of ``to``, or
    differs by no more than NEAR in any atomic fraction; with ``chemsys``, their element set is one.
    """
    fractions: dict[str, list[np.ndarray]] = defaultdict(list)
    for m in to:
        fractions[m.chemsys].append(_fractions(m))

    def near(m: Material) -> bool:
        return bool((np.abs(np.stack(fractions[m.chemsys]) - _fractions(m)).max(1) <= NEAR).any())

    return [m.id for m in materials if m.chemsys in fractions and (chemsys or near(m))]


def _fractions(material: Material) -> np.ndarray:
    """Atomic fractions in the order of the element set's symbols."""
    from pymatgen.core import Composition

    composition = Composition(material.formula).get_el_amt_dict()
    amounts = np.array([composition[symbol] for symbol in material.chemsys.split("-")])
    return amounts / amounts.sum()
