"""The composition paradigm on the common road, from its settings."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from supervision.data.crystals import Crystal, Material, Reject
from supervision.data.featurize import prepare
from supervision.models.composition.featurize import COMPOSITIONS, FEATURE_VERSION
from supervision.models.composition.predictor import CompositionConfig, CompositionPredictor
from supervision.models.setup import Origin, Pipeline


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
