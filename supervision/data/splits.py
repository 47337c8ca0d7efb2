"""Splits of the materials into training, validation and test sets.

A split assigns every material to train, val or test, or leaves it out. Its shuffles use sha256
instead of a random number generator, so that they are the same on every machine and with every
version of numpy. docs/protocol.md describes the kinds.
"""

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from supervision.data.composition_distance import fraction_matrix, nearest_distance
from supervision.data.crystals import Material, material_key
from supervision.data.families import families, parents_of
from supervision.data.tc_bands import band_labels, fifths

SPLIT_KINDS = ("random", "chemsys", "family", "novel")
PARTS = ("train", "val", "test")
NEAR = {"test": "near test", "val": "near val"}  # left out: too near to a material of this part
APART = 0.2  # of a novel split, see Split
HELD_APART = (("test", ("train", "val")), ("val", ("train",)))  # a part, and what is kept from it
SHUFFLES = 500  # from which a split of groups takes the one most even over Tc bands
PART_SHARES = {"train": 0.70, "val": 0.15, "test": 0.15}
FOLD_SHARES = {"train": 0.85, "val": 0.15}  # of what is not in the test fold


class LeakError(ValueError):
    """A split has related materials, which its kind must keep together, in different parts."""


@dataclass(frozen=True)
class Split:
    """An assignment of materials to ``PARTS`` or, too near to a material of one, to ``NEAR``.

    Attributes:
        kind: ``random``, ``chemsys``, ``family`` or ``novel``.
        parts: the part of each material, by material id.
        grouped_by: what is kept together, in words.
        apart: no training or validation material is within this distance of a test material, and
            no training material within it of a validation material (``composition_distance``).
        folds: number of folds; 1 for a single split.
        fold: which fold is the test set, from 1.
    """

    kind: str
    seed: int
    parts: Mapping[str, str]
    grouped_by: str
    apart: float = 0.0
    folds: int = 1
    fold: int = 1

    @property
    def hash(self) -> str:
        """sha256 over the sorted ``material_id,part`` lines: equal splits have equal hashes."""
        lines = "\n".join(f"{m},{part}" for m, part in sorted(self.parts.items()))
        return sha256(lines.encode()).hexdigest()

    def select(self, materials: Sequence[Material], part: str) -> list[Material]:
        """The materials of one part, in the given order."""
        return [m for m in materials if self.parts[m.id] == part]

    def apart_from_test(self, materials: Sequence[Material]) -> list[Material]:
        """All materials that may be learned from once validation is over, in the given order."""
        return [m for m in materials if self.parts[m.id] not in ("test", NEAR["test"])]

    def save(self, path: Path) -> None:
        """Write ``material_id,part`` as CSV."""
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["material_id", "part"])
            writer.writerows(sorted(self.parts.items()))


def make_split(
    materials: Sequence[Material],
    kind: str,
    *,
    seed: int = 42,
    apart: float = APART,
    folds: int = 1,
    fold: int = 1,
) -> Split:
    """Split by materials (``random``) or by groups of them (``groups_of``), 70/15/15.

    Every kind is balanced over Tc bands, or fifths of another quantity, as far as its groups allow.
    With several folds, every material is in the test set of one of them, and the rest is divided
    85/15.

    Args:
        apart: of a ``novel`` split, see ``Split``; it is 0 for the other kinds.

    Raises ValueError for another kind, or if a part would be empty.
    """
    if kind not in SPLIT_KINDS:
        raise ValueError(f"split '{kind}' is not one of {', '.join(SPLIT_KINDS)}.")
    if not 1 <= fold <= folds:
        raise ValueError(f"fold must be 1 to {folds}, got {fold}.")
    apart = apart if kind == "novel" else 0.0
    group_of = groups_of(materials, kind)
    if folds == 1:
        parts = _deal(materials, kind, group_of, PART_SHARES, seed)
    else:
        parts = _fold_parts(materials, kind, group_of, seed, folds, fold)
    if apart:
        parts = _leave_out_near(materials, parts, apart)
    split = Split(kind, seed, parts, _grouped_by(materials, kind), apart, folds, fold)
    for part in PARTS:
        if part not in split.parts.values():
            raise ValueError(
                f"{len(materials)} materials in {len(set(group_of.values()))} groups are too few "
                f"for a {kind} split: {part} is empty. Use more materials, or a higher limit."
            )
    check_disjoint(split, materials)
    return split


def leave_out_families(
    materials: Sequence[Material], *, folds: int, seed: int, apart: float = APART
) -> list[Split]:
    """Splits of kind ``novel`` without validation materials: each family is once in the test part.

    There are fewer where there are fewer families, and none where a single family, or one and what
    is near to it, are all materials.
    """
    group_of = groups_of(materials, "novel")
    folds = min(folds, len(set(group_of.values())))
    if folds < 2:
        return []
    fold_of = _fold_of(materials, "novel", group_of, seed, folds)
    splits = []
    for fold in sorted(set(fold_of.values())):
        parts = {id: "test" if part == fold else "train" for id, part in fold_of.items()}
        parts = _leave_out_near(materials, parts, apart)
        splits.append(Split("novel", seed, parts, "family", apart, folds, int(fold)))
    return splits if all("train" in split.parts.values() for split in splits) else []


def groups_of(materials: Sequence[Material], kind: str) -> dict[str, str]:
    """What a split keeps together, by material id; intervals are bootstraps over these groups.

    - random: the material itself.
    - chemsys: its element set.
    - family, novel: its family (see ``families``).
    """
    if kind == "random":
        return {m.id: m.id for m in materials}
    if kind == "chemsys":
        return {m.id: m.chemsys for m in materials}
    return families(materials)


def check_disjoint(split: Split, materials: Sequence[Material]) -> None:
    """Raise LeakError if materials that the kind keeps together are in different parts, or if two
    that it keeps apart are near to each other.
    """
    used = [m for m in materials if split.parts[m.id] in PARTS]
    parts_by_key: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    parents = parents_of(materials)
    for material in used:
        part = split.parts[material.id]
        keys = [("material", material_key(material.formula))]
        if split.kind != "random":
            keys.append(("element set", material.chemsys))
        if split.kind in ("family", "novel"):
            keys += [("parent", parent) for parent in parents[material.id]]
        for key in keys:
            parts_by_key[key].setdefault(part, material.formula)
    for (what, name), found in parts_by_key.items():
        if len(found) > 1:
            where = " and ".join(f"{part} ({formula})" for part, formula in sorted(found.items()))
            raise LeakError(f"The {split.kind} split leaks: {what} {name} is in {where}.")
    for part, others in HELD_APART if split.apart else ():
        rest = [m for m in used if split.parts[m.id] in others]
        near = distances_to(rest, split.select(used, part)) <= split.apart
        if near.any():
            leak = rest[int(near.argmax())]
            raise LeakError(
                f"The {split.kind} split leaks: {leak.formula} ({split.parts[leak.id]}) is within "
                f"{split.apart:g} of the composition of a {part} material."
            )


def distances_to(materials: Sequence[Material], others: Sequence[Material]) -> np.ndarray:
    """The distance in composition of each material to the nearest of the others, [n]."""
    one, other = (fraction_matrix([m.formula for m in part]) for part in (materials, others))
    return nearest_distance(one, other)


def _grouped_by(materials: Sequence[Material], kind: str) -> str:
    if kind in ("random", "chemsys"):
        return "material" if kind == "random" else "element set"
    has_parents = any(m.parents for m in materials)
    return "element set or parent structure" if has_parents else "element set (no parents)"


def _fold_parts(
    materials: Sequence[Material],
    kind: str,
    group_of: Mapping[str, str],
    seed: int,
    folds: int,
    fold: int,
) -> dict[str, str]:
    """One fold is the test set; the rest is divided into training and validation."""
    fold_of = _fold_of(materials, kind, group_of, seed, folds)
    rest = [m for m in materials if fold_of[m.id] != str(fold)]
    tested = {m.id: "test" for m in materials if fold_of[m.id] == str(fold)}
    return tested | _deal(rest, kind, group_of, FOLD_SHARES, seed)


def _fold_of(
    materials: Sequence[Material], kind: str, group_of: Mapping[str, str], seed: int, folds: int
) -> dict[str, str]:
    """The fold that tests each material, from "1", by material id."""
    return _deal(materials, kind, group_of, {str(k + 1): 1 / folds for k in range(folds)}, seed)


def _leave_out_near(
    materials: Sequence[Material], parts: Mapping[str, str], apart: float
) -> dict[str, str]:
    """Leave out what is near to a test material, then what is near to a validation material."""
    parts = dict(parts)
    for part, others in HELD_APART:
        held_out = [m for m in materials if parts[m.id] == part]
        rest = [m for m in materials if parts[m.id] in others]
        for material, distance in zip(rest, distances_to(rest, held_out), strict=True):
            if distance <= apart:
                parts[material.id] = NEAR[part]
    return parts


def _deal(
    materials: Sequence[Material],
    kind: str,
    group_of: Mapping[str, str],
    shares: Mapping[str, float],
    seed: int,
) -> dict[str, str]:
    """Deal the materials, or their groups, to parts of these shares, by material id."""
    if kind == "random":
        return _stratified(materials, shares, seed)
    return _grouped(materials, group_of, shares, seed)


def _stratified(
    materials: Sequence[Material], shares: Mapping[str, float], seed: int
) -> dict[str, str]:
    """Single materials, by the shares within Tc = 0 and within each Tc band."""
    members: dict[str, list[str]] = defaultdict(list)
    for material, stratum in zip(materials, _strata(materials), strict=True):
        members[stratum].append(material.id)
    parts: dict[str, str] = {}
    for ids in members.values():
        parts |= _partition(dict.fromkeys(ids, 1), shares, seed, shuffle=0)
    return parts


def _grouped(
    materials: Sequence[Material],
    group_of: Mapping[str, str],
    shares: Mapping[str, float],
    seed: int,
) -> dict[str, str]:
    """Whole groups, by the shares; the one of SHUFFLES shuffles most even over Tc bands.

    A few families hold most of the materials of high Tc. With a single shuffle, the mean distance
    from the median Tc can be 7.6 K in validation and 13.5 K in test.
    """
    sizes = Counter(group_of[m.id] for m in materials)
    names, group = np.unique([group_of[m.id] for m in materials], return_inverse=True)
    bands, band = np.unique(_strata(materials), return_inverse=True)
    counts = np.zeros((len(names), len(bands)))
    np.add.at(counts, (group, band), 1)
    targets = np.array(list(shares.values()))[:, None]
    index = {part: i for i, part in enumerate(shares)}

    def unevenness(parts: Mapping[str, str]) -> float:
        part = np.array([index[parts[name]] for name in names])
        found = np.array([counts[part == i].sum(axis=0) for i in range(len(shares))])
        return float((np.abs(found / counts.sum(axis=0) - targets) / targets).sum())

    candidates = (_partition(sizes, shares, seed, shuffle=shuffle) for shuffle in range(SHUFFLES))
    best = min(candidates, key=lambda parts: round(unevenness(parts), 9))
    return {m.id: best[group_of[m.id]] for m in materials}


def _partition(
    sizes: Mapping[str, int], shares: Mapping[str, float], seed: int, *, shuffle: int
) -> dict[str, str]:
    """Shuffle the names and divide them where their cumulative size reaches each part's share."""
    order = sorted(sizes, key=lambda n: sha256(f"{seed}:{shuffle}:{n}".encode()).digest())
    total, before = sum(sizes.values()), 0
    names, bounds = list(shares), np.cumsum(list(shares.values()))
    parts = {}
    for name in order:
        middle = (before + sizes[name] / 2) / total
        parts[name] = names[int(np.searchsorted(bounds[:-1], middle, side="right"))]
        before += sizes[name]
    return parts


def _strata(materials: Sequence[Material]) -> list[str]:
    """What a split is balanced over: Tc = 0 and Tc bands, or fifths of another quantity."""
    tc = np.array([m.tc for m in materials])
    if not all(m.quantity.is_tc for m in materials):
        return fifths(tc)
    return ["none" if t == 0 else band for t, band in zip(tc, band_labels(tc), strict=True)]
