"""At which bond length a periodic network connects chains, layers, and space.

Bonds are added by length to a union-find structure (Tarjan, J. ACM 22, 215, 1975) whose nodes also
store their lattice translation relative to the root. A bond that closes a ring with a translation
connects a component to its own image. The number of independent translations is the dimensionality
of the component (Larsen et al., Phys. Rev. Mater. 3, 034003, 2019).
"""

import numpy as np

Translation = tuple[int, int, int]


def percolation_thresholds(
    i: np.ndarray, j: np.ndarray, image: np.ndarray, length: np.ndarray
) -> np.ndarray:
    """The bond lengths [3] at which the first component is connected in 1, 2 and 3 dimensions.

    Args:
        i, j: [m] the sites of each bond; every bond is listed in both directions.
        image: [m, 3] lattice translation of site j.
        length: [m] of each bond.

    NaN for a dimension that the bonds do not reach.
    """
    thresholds = np.full(3, np.nan)
    components = Components()
    once = np.flatnonzero(i <= j)
    order = once[np.argsort(length[once], kind="stable")]
    rows = (x[order].tolist() for x in (i, j, image, length))
    for a, b, (x, y, z), bond in zip(*rows, strict=True):
        reached = components.join(a, b, (x, y, z))
        missing = np.isnan(thresholds[:reached])
        if missing.any():
            thresholds[:reached][missing] = bond
        if reached == 3:
            break
    return thresholds


class Components:
    """The connected components of a periodic network, and their independent translations."""

    def __init__(self) -> None:
        # By site: its parent, and the cell of the site that the parent in cell 0 is connected to.
        self._parents: dict[int, tuple[int, Translation]] = {}
        self._sizes: dict[int, int] = {}  # by root; 1 if missing
        self._translations: dict[int, list[Translation]] = {}  # by root

    def join(self, a: int, b: int, image: Translation) -> int:
        """Add a bond from site a to site b in the cell ``image``.

        Returns the dimensionality of their component.
        """
        (root, cell_a), (other, cell_b) = self._find(a), self._find(b)
        apart = _subtract(_add(cell_a, image), cell_b)  # of the root of b from the root of a
        if root == other:
            found = [apart]
        else:
            if self._sizes.get(root, 1) < self._sizes.get(other, 1):
                root, other, apart = other, root, _subtract((0, 0, 0), apart)
            self._parents[other] = root, apart
            self._sizes[root] = self._sizes.get(root, 1) + self._sizes.get(other, 1)
            found = self._translations.pop(other, [])
        known = self._translations.setdefault(root, [])
        for translation in found:
            if _is_independent(known, translation):
                known.append(translation)
        return len(known)

    def _find(self, site: int) -> tuple[int, Translation]:
        """The root of a site, and the cell of the site that the root in cell 0 is connected to."""
        cell = (0, 0, 0)
        while site in self._parents:  # few steps: the smaller component joins the larger one
            site, step = self._parents[site]
            cell = _add(cell, step)
        return site, cell


def _is_independent(known: list[Translation], new: Translation) -> bool:
    """Whether a translation is linearly independent of up to three independent ones."""
    if len(known) < 2:
        normal = _cross(known[0], new) if known else new
        return any(normal)
    x, y, z = _cross(known[0], known[1])
    return len(known) == 2 and x * new[0] + y * new[1] + z * new[2] != 0


def _add(a: Translation, b: Translation) -> Translation:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def _subtract(a: Translation, b: Translation) -> Translation:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def _cross(a: Translation, b: Translation) -> Translation:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
