"""The ensemble family: models of other families that are combined, not trained."""

from supervision.models.families import ModelFamily
from supervision.models.setup import ModelSetup


def ensemble_setup(*_: object) -> ModelSetup:
    """Raises ValueError: an ensemble is made of finished runs."""
    raise ValueError(
        "An ensemble is not trained: combine runs with python -m entrypoints.ensemble."
    )


FAMILY = ModelFamily(
    name="ensemble",
    reads="the crystal in several ways",
    entry_point="ensemble",
    configs=(),
    setup=ensemble_setup,
    predictor="supervision.models.ensemble.predictor:EnsemblePredictor",
    serving_packages=("mlflow", "numpy", "pandas"),
    learns_from_formulas=True,
    is_trained=False,
    registered_as="supervision",
)
