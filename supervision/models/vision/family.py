"""The vision family: images of crystals and a DINO vision transformer."""

from collections.abc import Mapping, Sequence

import numpy as np

from supervision.data.crystals import Crystal, Material, Reject
from supervision.models.families import ModelFamily
from supervision.models.setup import ModelSetup
from supervision.models.vision.config import VisionConfig, VisionFitConfig


def vision_setup(
    weights: str, device: str, config: VisionConfig, fit_config: VisionFitConfig
) -> ModelSetup:
    """A vision model that starts from these weights; prints which they are.

    Raises WeightsError where they are unavailable, ValueError for a device that is.
    """
    from supervision.models.neural import neural_setup
    from supervision.models.vision.contact_sheet import draw_contact_sheet
    from supervision.models.vision.featurize import featurize_scenes
    from supervision.models.vision.predictor import VisionPredictor
    from supervision.models.weights import get_weights

    fetched = get_weights(weights)
    print(fetched.message, flush=True)

    def featurize(crystals: Sequence[Crystal]) -> Sequence[Reject]:
        return featurize_scenes(crystals, bonding=config.bonding)[1]

    def images(materials: Sequence[Material]) -> Mapping[str, np.ndarray]:
        return {"contact_sheet": draw_contact_sheet(materials, seed=config.seed)}

    predictor = VisionPredictor(config, fetched, fit_config, device=device)
    return neural_setup(predictor, fetched, featurize, images)


FAMILY = ModelFamily(
    name="vision",
    reads="images of the crystal with a DINO vision transformer",
    entry_point="train_dino",
    configs=(VisionConfig, VisionFitConfig),
    setup=vision_setup,
    predictor="supervision.models.vision.predictor:VisionPredictor",
    serving_packages=(
        "filelock", "gemmi", "mlflow", "numpy", "opencv-python-headless", "pandas", "pymatgen",
        "safetensors", "timm", "torch", "tqdm",
    ),
)  # fmt: skip
