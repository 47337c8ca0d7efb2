"""The composition family: trees on the composition alone, the baseline of all other models."""

from collections.abc import Sequence
from dataclasses import asdict

from supervision.data.crystals import Crystal, Reject
from supervision.models.composition.config import CompositionConfig
from supervision.models.families import ModelFamily
from supervision.models.setup import ModelSetup, WeightsInfo, no_images


def composition_setup(_weights: str, _device: str, config: CompositionConfig) -> ModelSetup:
    """Untrained trees."""
    from supervision.data.featurize import featurize
    from supervision.models.composition.featurize import COMPOSITION_FEATURIZER, FEATURE_VERSION
    from supervision.models.composition.predictor import CompositionPredictor

    def featurize_compositions(crystals: Sequence[Crystal]) -> Sequence[Reject]:
        return featurize(COMPOSITION_FEATURIZER, crystals)[1]

    return ModelSetup(
        model_family="composition",
        predictor=CompositionPredictor(config),
        settings=asdict(config) | {"feature_version": FEATURE_VERSION},
        featurize=featurize_compositions,
        images=no_images,
        variant=config.model,
        weights=WeightsInfo(choice="Trees have no weights to begin from."),
    )


FAMILY = ModelFamily(
    name="composition",
    reads="the composition alone with an ensemble of trees",
    entry_point="train_composition",
    configs=(CompositionConfig,),
    setup=composition_setup,
    predictor="supervision.models.composition.predictor:CompositionPredictor",
    serving_packages=(
        "gemmi", "jarvis-tools", "mlflow", "numpy", "pandas", "pymatgen", "scikit-learn", "skops",
        "tqdm",
    ),
)  # fmt: skip
