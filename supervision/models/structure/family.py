"""The structure family: trees on the composition and on descriptors of the structure."""

from supervision.models.families import ModelFamily
from supervision.models.setup import ModelSetup
from supervision.models.structure.config import StructureConfig


def structure_setup(_weights: str, _device: str, config: StructureConfig) -> ModelSetup:
    """Untrained trees."""
    from supervision.models.structure.featurize import STRUCTURE_FEATURIZER
    from supervision.models.structure.predictor import StructurePredictor
    from supervision.models.trees.predictor import tree_setup

    return tree_setup(StructurePredictor(config), STRUCTURE_FEATURIZER.version)


FAMILY = ModelFamily(
    name="structure",
    reads="composition and structural descriptors with an ensemble of trees",
    entry_point="train structure",
    configs=(StructureConfig,),
    setup=structure_setup,
    predictor="supervision.models.structure.predictor:StructurePredictor",
    serving_packages=(
        "gemmi", "jarvis-tools", "lightgbm", "mlflow", "numpy", "pandas", "pymatgen",
        "safetensors", "scikit-learn", "scipy", "skops", "spglib", "tqdm",
    ),
    learns_from_formulas=True,
)  # fmt: skip
