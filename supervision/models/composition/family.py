"""The composition paradigm on the common road, from its settings."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from supervision.data.crystals import Crystal, Material, Reject
from supervision.data.featurize import featurize
from supervision.models.composition.featurize import COMPOSITION_FEATURIZER, FEATURE_VERSION
from supervision.models.composition.predictor import CompositionConfig, CompositionPredictor
from supervision.models.setup import ModelSetup, WeightsInfo


def composition_setup(config: CompositionConfig) -> ModelSetup:
    """What grows trees on compositions."""
    predictor = CompositionPredictor(config)

    def prepare_compositions(crystals: Sequence[Crystal]) -> Sequence[Reject]:
        return featurize(COMPOSITION_FEATURIZER, crystals)[1]

    def pictures(_materials: Sequence[Material]) -> Mapping[str, np.ndarray]:
        return {}

    return ModelSetup(
        model_family=predictor.model_family,
        predictor=predictor,
        settings=asdict(config) | {"feature_version": FEATURE_VERSION},
        featurize=prepare_compositions,
        pictures=pictures,
        variant=config.model,
        origin=WeightsInfo(choice="Trees have no weights to begin from."),
        resumable=False,
    )
