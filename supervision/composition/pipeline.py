"""The composition paradigm on the common road, from its settings."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from supervision.composition.predictor import CompositionConfig, CompositionPredictor
from supervision.composition.prepare import COMPOSITIONS, FEATURE_VERSION
from supervision.crystals import Crystal, Material, Reject
from supervision.experiment import Origin
from supervision.prepared import prepare
from supervision.road import Pipeline


def composition_pipeline(config: CompositionConfig) -> Pipeline:
    """What grows trees on compositions."""
    predictor = CompositionPredictor(config)

    def prepare_compositions(crystals: Sequence[Crystal]) -> Sequence[Reject]:
        return prepare(COMPOSITIONS, crystals)[1]

    def pictures(_materials: Sequence[Material]) -> Mapping[str, np.ndarray]:
        return {}

    return Pipeline(
        name=predictor.pipeline,
        predictor=predictor,
        settings=asdict(config) | {"feature_version": FEATURE_VERSION},
        prepare=prepare_compositions,
        pictures=pictures,
        variant=config.model,
        origin=Origin(choice="Trees have no weights to begin from."),
        resumable=False,
    )
