"""The constant family: the trivial baseline, which every model must beat."""

from collections.abc import Sequence
from dataclasses import asdict

from supervision.data.crystals import Crystal, Reject
from supervision.data.errors import CrystalError
from supervision.models.constant.config import ConstantConfig
from supervision.models.constant.predictor import ConstantPredictor
from supervision.models.families import ModelFamily
from supervision.models.setup import ModelSetup, WeightsInfo, no_images


def constant_setup(_weights: str, _device: str, config: ConstantConfig) -> ModelSetup:
    """A constant that is not known yet."""
    return ModelSetup(
        model_family="constant",
        predictor=ConstantPredictor(config),
        settings=asdict(config),
        featurize=unreadable,
        images=no_images,
        variant="median",
        weights=WeightsInfo(choice="A constant has no weights."),
    )


def unreadable(crystals: Sequence[Crystal]) -> list[Reject]:
    """The crystals without a composition, and why: no other model can read them either."""
    rejects = []
    for crystal in crystals:
        try:
            _ = crystal.composition
        except CrystalError as error:
            rejects.append(Reject(crystal.id, str(error)))
    return rejects


FAMILY = ModelFamily(
    name="constant",
    reads="nothing: it answers the median Tc of its training materials",
    entry_point="train constant",
    configs=(ConstantConfig,),
    setup=constant_setup,
    predictor="supervision.models.constant.predictor:ConstantPredictor",
    serving_packages=("gemmi", "mlflow", "numpy", "pandas", "pymatgen"),
    learns_from_formulas=True,
    predicts_formulas=True,
)
