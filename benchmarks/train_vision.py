"""How fast the vision path trains and predicts, beside the plain way, on the same pictures.

    python -m benchmarks.train_vision --data 3DSC_MP.tar.xz            # half an hour
    python -m benchmarks.train_vision --data 3DSC_MP.tar.xz --quick    # a few minutes

The plain way: timm's transformer in float32, peft's LoRA on its qkv, all patches, eight pictures at
a time, which a DataLoader decodes from PNG files. It has the same head on the same features, the
same published weights and, in every round, the same pictures. Ours is the project's own way, from
``ViewSamples.epoch`` to ``TrainState.step`` in training and ``VisionPredictor.predict`` in prediction,
which begins at the CIF text: preparing and drawing are in its time, and so is the plain way's
decoding, but not the writing of its files. The sides take turns; medians are over rounds.

A floating-point operation is counted where the transformer's blocks multiply matrices on the
patches that are read, and, in training, carry gradients back through frozen weights, as far back
as there is something to adapt. The peak is the best that torch.matmul of two large bfloat16
matrices gave in any round. What the levers do to the error is measured on heads fitted to frozen
features.
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

from supervision.data.crystals import Crystal, Material, group_materials, take
from supervision.data.datasets import load_dataset
from supervision.data.featurize import featurize
from supervision.data.splits import make_split
from supervision.evaluation.metrics import mae, paired_bootstrap
from supervision.models.vision.colour_statistics import palette
from supervision.models.vision.config import VisionConfig
from supervision.models.vision.data import ViewSamples, to_tensor
from supervision.models.vision.featurize import scene_featurizer, scenes_of
from supervision.models.vision.model import IMAGE_SIZE, VisionRegressor, adapt_backbone, pool
from supervision.models.vision.predictor import VisionPredictor
from supervision.models.vision.render import draw
from supervision.models.vision.views import VIEWS, select_views
from supervision.models.weights import Fetched, ImageWeights, get_weights
from supervision.runtime.device import autocast, fast_bf16, in_bfloat16
from supervision.runtime.images import save_png
from supervision.training.batches import RankShard
from supervision.training.state import FitConfig, TrainState
from supervision.training.target import TargetTransform
from supervision.training.trainer import gradients

CPU = torch.device("cpu")
FIT = FitConfig(learning_rate=3e-4)
HALF = VisionConfig().lora_blocks
FEWER = 9  # views
VIEW_COUNTS = (18, FEWER, 6, 2)
BATCH = VisionConfig().batch_size


class PlainRegressor(VisionRegressor):
    """The same features and head, on timm's backbone as it comes.

    Plainly, background is left out by a mask: the patches are all there, but none attends to them.
    """

    def __init__(self, row: ImageWeights, *, background: bool) -> None:
        super().__init__(row, background=background)
        self.backbone = timm.create_model(row.architecture, img_size=IMAGE_SIZE, num_classes=0)

    def train(self, mode: bool = True) -> "PlainRegressor":
        """As usual; attention stays as timm chose it."""
        nn.Module.train(self, mode)
        return self

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """As of a ``VisionRegressor``."""
        shown = self.shown(images)
        prefix = self.backbone.num_prefix_tokens
        seen = nn.functional.pad(shown, (prefix, 0), value=True)[:, None, None]  # [b, 1, 1, tokens]
        levels = self.backbone.forward_intermediates(
            self.normalise(images),
            indices=self.levels,
            output_fmt="NLC",
            intermediates_only=True,
            attn_mask=None if self.background else seen,
        )
        tokens = [level.flatten(0, 1) for level in levels]
        return torch.cat([palette(images), *pool(tokens, shown, torch.ones_like(shown))], dim=1)


@dataclass(frozen=True)
class PngFiles(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """PNG files and a number for each."""

    paths: Sequence[Path]
    targets: torch.Tensor

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = decode_image(str(self.paths[index]), ImageReadMode.RGB)
        return image, self.targets[index]

    @classmethod
    def write(cls, folder: Path, pictures: torch.Tensor, targets: torch.Tensor) -> "PngFiles":
        """Pictures ``[n, 3, h, w]`` as files."""
        folder.mkdir()
        paths = [folder / f"{i:06}.png" for i in range(len(pictures))]
        for path, picture in zip(paths, pictures, strict=True):
            save_png(path, picture.permute(1, 2, 0).numpy())
        return cls(paths, targets)


class PlainTraining:
    """The loop as one would write it down, on a copy of a model that is not adapted yet."""

    def __init__(self, model: VisionRegressor, fetched: Fetched, files: PngFiles) -> None:
        config = VisionConfig()
        self.model = plain_copy(model, fetched).train()
        adapt_backbone(
            self.model, "lora",
            rank=config.lora_rank, alpha=config.lora_alpha, dropout=config.lora_dropout,
        )  # fmt: skip
        for block in self.model.backbone.blocks:
            block.attn.qkv.lora_dropout["default"] = nn.Dropout(config.lora_dropout)
        moving = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(moving, FIT.learning_rate)
        self.batches = iter(DataLoader(files, batch_size=BATCH))

    def step(self) -> None:
        """One batch."""
        images, targets = next(self.batches)
        self.optimizer.zero_grad()
        nn.functional.smooth_l1_loss(self.model(images), targets, beta=FIT.beta).backward()
        self.optimizer.step()


class OurTraining:
    """As train_dino takes its steps."""

    def __init__(self, predictor: VisionPredictor, samples: ViewSamples) -> None:
        predictor.adapt()
        steps = samples.epoch(1, RankShard())
        self.descent = TrainState.start(predictor.model.train(), FIT, len(steps), CPU)
        self.steps = iter(steps)

    def step(self) -> None:
        """One batch."""
        _, pictures = gradients(self.descent, next(self.steps), FIT, CPU)
        self.descent.step(FIT.clip, pictures)


@dataclass
class PlainPrediction:
    """Every PNG file of every crystal through a float32 model, and the mean of a crystal's."""

    model: PlainRegressor
    files: PngFiles
    target: TargetTransform
    views: int

    @torch.inference_mode()
    def predict(self) -> np.ndarray:
        """Tc of each crystal in kelvin."""
        outputs = [self.model(images) for images, _ in DataLoader(self.files, batch_size=BATCH)]
        return self.target.decode(torch.cat(outputs).numpy()).reshape(-1, self.views).mean(axis=1)


@dataclass
class Side:
    """One way to do it: what it does over and over, how often in a turn, and what came of it."""

    name: str
    act: Callable[[], np.ndarray | None]
    repeats: int
    operations: float  # in a turn
    seconds: list[float] = field(default_factory=list)
    answer: np.ndarray | None = None

    def go(self) -> None:
        """Take a turn."""
        start = time.perf_counter()
        for _ in range(self.repeats):
            self.answer = self.act()
        self.seconds.append(time.perf_counter() - start)


def main() -> None:
    """Measure training, prediction, and what leaving out the background does to the error."""
    options = _options()
    bf16 = "yes" if fast_bf16(CPU) else "no"
    print(f"Threads: {torch.get_num_threads()}. bfloat16 in the processor, and used: {bf16}.")
    train, val = draw_materials(options.data, options.materials)
    fetched = get_weights("dinov2_vits14_imgfocus")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        sides = training_sides(train, fetched, options, Path(folder) / "train", stack)
        compare("Training", sides, options.rounds, options.steps * BATCH)
    kinds = [
        fit_head(train, val, fetched, background, options.seed) for background in (True, False)
    ]
    crystals = [m.crystals[0] for m in take(val, options.crystals, options.seed)]
    with tempfile.TemporaryDirectory() as folder:
        sides = prediction_sides(crystals, kinds, fetched, Path(folder) / "predict")
        compare("Prediction", sides, options.rounds, len(crystals) * len(VIEWS))
    report_outputs(sides[:4])
    report_error(take(val, options.judged, options.seed), kinds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="the 3DSC archive or folder")
    parser.add_argument(
        "--rounds", type=int, default=8, help="turns of a side, the first not timed"
    )
    parser.add_argument("--steps", type=int, default=4, help="training steps in a turn")
    parser.add_argument("--crystals", type=int, default=8, help="crystals predicted in a turn")
    parser.add_argument("--materials", type=int, default=0, help="of a split's part; 0: all")
    parser.add_argument("--judged", type=int, default=400, help="materials in the errors")
    parser.add_argument("--seed", type=int, default=0, help="of heads, order and crystals")
    parser.add_argument("--quick", action="store_true", help="few rounds, few materials")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.steps, options.crystals = 4, 2, 3
        options.materials = options.judged = 100
    return options


def draw_materials(data: str, count: int) -> tuple[list[Material], list[Material]]:
    """Training and validation materials of 3DSC's random split, all or ``count`` of each."""
    dataset = load_dataset("3dsc", data)
    rejects = featurize(scene_featurizer("fast"), dataset.crystals)[1]
    usable = group_materials(dataset.without(rejects).crystals)
    split = make_split(usable, "random")
    train, val = (take(split.select(usable, part), count, 0) for part in ("train", "val"))
    return train, val


def create(fetched: Fetched, fit_config: FitConfig = FIT, **settings: Any) -> VisionPredictor:
    """A predictor on the CPU."""
    config = VisionConfig(**settings)
    return VisionPredictor(config, fetched, fit_config, device="cpu", quiet=True)


def plain_copy(model: VisionRegressor, fetched: Fetched) -> PlainRegressor:
    """The same weights on timm's own backbone."""
    assert isinstance(fetched.row, ImageWeights)
    plain = PlainRegressor(fetched.row, background=model.background)
    plain.load_state_dict(model.state_dict(), strict=True)
    return plain.eval()


def training_sides(
    train: Sequence[Material],
    fetched: Fetched,
    options: argparse.Namespace,
    folder: Path,
    stack: ExitStack,
) -> list[Side]:
    """The plain way first, then ours, step by step nearer to what train_dino runs."""
    drawn = take(train, options.rounds * options.steps * BATCH, options.seed)
    plan = {  # all patches, weights in bfloat16, blocks adapted
        "ours": (True, False, 0),
        "and frozen weights in bfloat16": (True, True, 0),
        "and background left out": (False, True, 0),
        f"and the last {HALF} of 12 blocks adapted: as trained": (False, True, HALF),
    }
    sides: list[Side] = []
    for name, (background, short, last) in plan.items():
        predictor = create(fetched, background=background, lora_blocks=last, seed=options.seed)
        samples = predictor.samples(drawn, ())
        batches = [batch for step in samples.epoch(1, RankShard()) for batch in step]
        pictures = torch.cat([images for images, _, _ in batches])
        back = (last or len(predictor.model.backbone.blocks)) / len(predictor.model.backbone.blocks)
        work = operations(predictor.model, pictures, back=back) / options.rounds
        if not sides:
            targets = torch.cat([targets for _, targets, _ in batches])
            files = PngFiles.write(folder, pictures, targets)
            plain = PlainTraining(predictor.model, fetched, files)
            sides.append(Side("plain", plain.step, options.steps, work))
        if short:
            stack.enter_context(in_bfloat16(predictor.model.backbone, CPU))
        sides.append(Side(name, OurTraining(predictor, samples).step, options.steps, work))
    return sides


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


def prediction_sides(
    crystals: Sequence[Crystal], kinds: Sequence[VisionPredictor], fetched: Fetched, folder: Path
) -> list[Side]:
    """Of each kind of model the plain way and then ours, which gives the same but for rounding."""
    views, scenes = select_views(len(VIEWS)), scenes_of(crystals, quiet=True)
    pictures = to_tensor([draw(scenes[c.id], view) for c in crystals for view in views])
    files = PngFiles.write(folder, pictures, torch.zeros(len(pictures)))
    everything, sides = operations(kinds[0].model, pictures), []
    for name, kind in zip(("all patches", "background left out"), kinds, strict=True):
        kind.config = replace(kind.config, views=len(views))
        plain = PlainPrediction(plain_copy(kind.model, fetched), files, kind.target, len(views))
        sides.append(Side(f"plain, {name}", plain.predict, 1, everything))
        work = operations(kind.model, pictures)
        sides.append(Side(f"ours, {name}", partial(kind.predict, crystals), 1, work))
    fewer = copy(kinds[-1])
    fewer.config = replace(fewer.config, views=FEWER)
    share = FEWER / len(views)
    some = partial(fewer.predict, crystals)
    sides.append(Side(f"{sides[-1].name}, {FEWER} of {len(views)} views", some, 1, work * share))
    return sides


@torch.inference_mode()
def operations(model: VisionRegressor, pictures: torch.Tensor, *, back: float = 0.0) -> float:
    """What the blocks multiply and add for these pictures, with a backbone not adapted yet.

    Training carries gradients back through this share of the blocks: their frozen layers (as much
    again) and their attention (twice as much).
    """
    blocks = model.backbone.blocks
    weights = sum(m.weight.numel() for m in blocks.modules() if isinstance(m, nn.Linear))
    prefix = model.backbone.num_prefix_tokens
    shown = model.shown(pictures) | model.background
    tokens = prefix + shown.sum(dim=1).double()
    layers = float(2 * weights * tokens.sum())
    attention = float(4 * len(blocks) * model.backbone.num_features * tokens.square().sum())
    return (1 + back) * layers + (1 + 2 * back) * attention


def compare(what: str, sides: Sequence[Side], rounds: int, pictures: int) -> None:
    """Let the sides take turns, and print what they came to, in pictures of the first side's."""
    peak = 0.0
    for turn in tqdm(range(rounds), desc=what, leave=False):
        peak = max(peak, bf16_peak())
        first = turn % len(sides)  # pays for what oneDNN makes anew for a new shape
        for side in (*sides[first:], *sides[:first]):
            side.go()
    medians = [float(np.median(side.seconds[1:])) for side in sides]
    print(
        f"\n{what}: {rounds - 1} rounds of {pictures} pictures. Peak {peak / 1e12:.2f} TFLOP/s.\n"
    )
    print(f"| | pictures/s | slowest and fastest round | times {sides[0].name} | of the peak |")
    print("|---|---:|---:|---:|---:|")
    for side, seconds in zip(sides, medians, strict=True):
        slowest, fastest = max(side.seconds[1:]), min(side.seconds[1:])
        print(
            f"| {side.name} | {pictures / seconds:.1f} "
            f"| {pictures / slowest:.1f} to {pictures / fastest:.1f} | {medians[0] / seconds:.2f} "
            f"| {side.operations / seconds / peak:.1%} |"
        )


def bf16_peak(size: int = 4096, repeats: int = 4) -> float:
    """Operations a second of torch.matmul on two square bfloat16 matrices, the best of a few."""
    one, other = (torch.randn(size, size, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        torch.matmul(one, other)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def report_outputs(sides: Sequence[Side]) -> None:
    """How far ours is from the plain way to compute the same model."""
    print()
    for plain, ours in zip(sides[::2], sides[1::2], strict=True):
        assert plain.answer is not None
        assert ours.answer is not None
        away = np.abs(ours.answer - plain.answer)
        print(
            f"{ours.name}: {len(away)} crystals, {plain.answer.min():.1f} to "
            f"{plain.answer.max():.1f} K plainly, move by {away.mean():.3f} K on average, "
            f"{away.max():.3f} K at most."
        )


@torch.inference_mode()
def read(predictor: VisionPredictor, crystals: Sequence[Crystal]) -> np.ndarray:
    """Outputs of each crystal's views in target space, ``[crystals, views]``."""
    with autocast(CPU):
        return np.array([predictor.read(crystal) for crystal in crystals])


def report_error(judged: Sequence[Material], kinds: Sequence[VisionPredictor]) -> None:
    """Validation MAE without background and by number of views, against all of both, paired."""
    tc, found = np.array([m.tc for m in judged]), {}
    for name, kind in zip(("all patches", "background left out"), kinds, strict=True):
        kind.config = replace(kind.config, views=len(VIEWS))
        kind.model.eval()
        with in_bfloat16(kind.model.backbone, CPU):
            kelvin = [kind.target.decode(read(kind, m.crystals)) for m in judged]
        for views in VIEW_COUNTS:
            found[name, views] = np.array([k[:, :views].mean() for k in kelvin])
    print(f"\nHeads on frozen features, {len(tc)} validation materials:\n")
    print("| | views | MAE (K) | paired with all of both (K) |\n|---|---:|---:|---:|")
    base = found["all patches", len(VIEWS)]
    for (name, views), tc_pred in found.items():
        paired = paired_bootstrap(tc, tc_pred, base)
        beside = "{difference:+.3f} ({low:+.3f} to {high:+.3f})".format(**paired)
        print(f"| {name} | {views} | {mae(tc, tc_pred):.3f} | {beside} |")


if __name__ == "__main__":
    main()
