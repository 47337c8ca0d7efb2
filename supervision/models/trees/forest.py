"""Boosted trees as arrays, read by numpy: a model that answers a moment after Python has started.

Importing LightGBM takes longer than reading a hundred crystals. The trees and their numbers are
LightGBM's own.
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load_file, save_file

if TYPE_CHECKING:
    from lightgbm import Booster

FOREST_FILE = "forest.safetensors"
BLOCK_ROWS = 256  # bounds the memory


@dataclass(frozen=True, eq=False)
class Forest:
    """The nodes of all trees. A child that is negative is a leaf: ``-1 - index`` of ``value``.

    Attributes:
        root: of each tree, [t].
        feature: that a node asks for, [n].
        threshold: a feature that is not greater goes left, [n].
        left, right: children, [n].
        nan_left: where an unknown feature goes, [n].
        value: of the leaves, [l].
    """

    root: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    nan_left: np.ndarray
    value: np.ndarray

    @classmethod
    def of(cls, booster: "Booster") -> "Forest":
        """The trees of a LightGBM model.

        Raises ValueError for categorical splits, and where zeros count as missing.
        """
        builder = _Builder()
        roots = [builder.add(t["tree_structure"]) for t in booster.dump_model()["tree_info"]]
        columns = list(zip(*builder.nodes, strict=True)) or [()] * 5
        return cls(
            np.array(roots, dtype=np.int32),
            np.array(columns[0], dtype=np.int16),
            np.array(columns[1], dtype=np.float64),
            np.array(columns[2], dtype=np.int32),
            np.array(columns[3], dtype=np.int32),
            np.array(columns[4], dtype=bool),
            np.array(builder.values),
        )

    def predict(self, features: np.ndarray) -> np.ndarray:
        """The sum over trees for features ``[n, f]``, which may be NaN, as ``[n]``."""
        blocks = range(0, len(features), BLOCK_ROWS)
        found = [self._predict(features[start : start + BLOCK_ROWS]) for start in blocks]
        return np.concatenate([np.empty(0), *found])

    def _predict(self, features: np.ndarray) -> np.ndarray:
        unknown = np.isnan(features)
        asked = [np.where(unknown, np.inf, features), np.where(unknown, -np.inf, features)]
        values = np.stack(asked, axis=2).ravel()  # see ``_asked``
        leaf = np.tile(self.root, len(features))
        at = np.flatnonzero(leaf >= 0)  # pairs of a row and a tree that have not reached a leaf
        start = at // max(len(self.root), 1) * (2 * features.shape[1])  # of the row in ``values``
        while len(at):
            node = leaf[at]
            goes_left = values[start + self._asked[node]] <= self.threshold[node]
            leaf[at] = child = self._children[2 * node + goes_left]
            at, start = at[child >= 0], start[child >= 0]
        return self.value[-1 - leaf].reshape(len(features), -1).sum(axis=1)

    @cached_property
    def _asked(self) -> np.ndarray:
        """Where the feature of each node is among two copies of each, [n].

        An unknown feature is infinity in the first copy and goes right, and its opposite in the
        second and goes left.
        """
        return 2 * self.feature.astype(np.int32) + self.nan_left

    @cached_property
    def _children(self) -> np.ndarray:
        """The right and the left child of each node, [2 n]."""
        return np.column_stack([self.right, self.left]).ravel()

    def save(self, folder: Path) -> None:
        """Write the file that ``load`` reads."""
        save_file(asdict(self), folder / FOREST_FILE)

    @classmethod
    def load(cls, folder: Path) -> "Forest":
        """What ``save`` wrote; it gives the same numbers."""
        return cls(**load_file(folder / FOREST_FILE))


class _Builder:
    """Collects the nodes of LightGBM's nested dictionaries."""

    def __init__(self) -> None:
        self.nodes: list[tuple[int, float, int, int, bool]] = []
        self.values: list[float] = []

    def add(self, tree: dict[str, Any]) -> int:
        """Add a node and all below it; returns its number, negative for a leaf."""
        if "leaf_value" in tree:
            self.values.append(tree["leaf_value"])
            return -len(self.values)
        if tree["decision_type"] != "<=" or tree["missing_type"] == "Zero":
            raise ValueError("Only numeric splits are read, and zeros must not count as missing.")
        index = len(self.nodes)
        self.nodes.append((0, 0.0, 0, 0, False))  # its children come after it
        threshold = float(tree["threshold"])
        nan_left = tree["default_left"] if tree["missing_type"] == "NaN" else threshold >= 0
        left, right = self.add(tree["left_child"]), self.add(tree["right_child"])
        self.nodes[index] = (tree["split_feature"], threshold, left, right, nan_left)
        return index
