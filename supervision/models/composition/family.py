"""The composition family: trees on the composition alone, the baseline of all other models."""

from supervision.models.composition.config import CompositionConfig
from supervision.models.families import ModelFamily
from supervision.models.setup import ModelSetup


def composition_setup(_weights: str, _device: str, config: CompositionConfig) -> ModelSetup:
    """Untrained trees."""
    from supervision.models.composition.featurize import COMPOSITION_FEATURIZER
    from supervision.models.composition.predictor import CompositionPredictor
    from supervision.models.trees.predictor import tree_setup

    return tree_setup(CompositionPredictor(config), COMPOSITION_FEATURIZER.version)


FAMILY = ModelFamily(
    name="composition",
    reads="the composition alone with an ensemble of trees",
    entry_point="train_composition",
    configs=(CompositionConfig,),
    setup=composition_setup,
    predictor="supervision.models.composition.predictor:CompositionPredictor",
    serving_packages=(
        "gemmi", "jarvis-tools", "lightgbm", "mlflow", "numpy", "pandas", "pymatgen",
        "safetensors", "scikit-learn", "scipy", "skops", "tqdm",
    ),
    learns_from_formulas=True,
    predicts_formulas=True,
)  # fmt: skip
