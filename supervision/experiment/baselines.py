"""The trivial predictions that every model is compared with, as columns beside its own."""

import numpy as np

from supervision.data.composition_distance import fraction_matrix, nearest_index
from supervision.data.families import families
from supervision.evaluation.metrics import constant_median, family_mean
from supervision.experiment.spec import DataSplits


def baseline_predictions(splits: DataSplits, part: str) -> dict[str, np.ndarray]:
    """Tc in kelvin by each baseline for ``val`` or ``test`` materials, in their order, [n].

    For validation they learn from the training materials of the data set, for the test from all
    its materials that are apart from the test.

    - constant median: the median Tc.
    - family mean: the mean Tc of the family; the median where nothing of it is learned from.
    - nearest composition: the Tc of the material that is nearest in composition.
    """
    test = part == "test"
    known = splits.split.apart_from_test(splits.materials) if test else splits.part("train")
    materials = splits.part(part)
    family = families(splits.materials)
    tc = np.array([m.tc for m in known])
    fractions, known_fractions = (
        fraction_matrix([m.formula for m in group]) for group in (materials, known)
    )
    return {
        "constant median": constant_median(tc, len(materials)),
        "family mean": family_mean(
            tc, [family[m.id] for m in known], [family[m.id] for m in materials]
        ),
        "nearest composition": tc[nearest_index(fractions, known_fractions)],
    }
