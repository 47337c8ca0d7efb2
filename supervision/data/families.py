"""Families: materials that share an element set or a parent structure, directly or by others."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePosixPath

import numpy as np

from supervision.data.crystals import Material, material_key
from supervision.data.errors import CrystalError


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
