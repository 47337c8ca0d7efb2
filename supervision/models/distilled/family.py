"""The distilled family: made from other models, not trained on materials."""

from supervision.models.families import ModelFamily
from supervision.models.setup import ModelSetup


def distilled_setup(*_: object) -> ModelSetup:
    """Raises ValueError: a distilled model is taught by another one."""
    raise ValueError(
        "A distilled model is not trained on materials: it comes with the release, which is built "
        "with python -m entrypoints.build_release."
    )


FAMILY = ModelFamily(
    name="distilled",
    reads="the composition and quick descriptors, taught by an ensemble",
    entry_point="build_release",
    configs=(),
    setup=distilled_setup,
    predictor="supervision.models.distilled.predictor:DistilledPredictor",
    serving_packages=(
        "gemmi", "jarvis-tools", "mlflow", "numpy", "pandas", "pymatgen", "safetensors", "scipy",
        "tqdm",
    ),
    learns_from_formulas=True,
    predicts_formulas=True,
    is_trained=False,
)  # fmt: skip
