"""The features of the crystals of a training, computed once and kept in memory."""

from collections.abc import Sequence

import numpy as np

from supervision.data.crystals import Crystal, Reject
from supervision.data.errors import crystal_errors
from supervision.data.featurize import Featurizer, featurize
from supervision.models.trees.features import FeatureVector


class PreparedFeatures:
    """Feature vectors by content hash; what is not prepared is computed when it is asked for."""

    def __init__(self, featurizer: Featurizer[FeatureVector], *, quiet: bool) -> None:
        self.featurizer, self.quiet = featurizer, quiet
        self.known: dict[str, FeatureVector] = {}

    def prepare(self, crystals: Sequence[Crystal]) -> list[Reject]:
        """Compute, cache and keep features; returns the crystals that have none, and why."""
        new = [c for c in crystals if c.content_hash not in self.known]
        found, rejects = featurize(self.featurizer, new, quiet=self.quiet)
        self.known |= {c.content_hash: found[c.id] for c in new if c.id in found}
        return rejects

    def of(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """The features of crystals, ``[n, f]``; raises CrystalError, naming the crystal."""
        rows = []
        for crystal in crystals:
            with crystal_errors(crystal.id):
                known = self.known and self.known.get(crystal.content_hash)
                rows.append(known if known else self.featurizer.featurize(crystal))
        return np.stack([row.features for row in rows])
