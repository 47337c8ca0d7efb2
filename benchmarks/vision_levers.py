"""Effect of each optimisation on the speed of the vision family, by leaving out one at a time.

    python -m benchmarks.vision_levers --data 3DSC_MP.tar.xz    # a quarter of an hour

Training and prediction are as in ``benchmarks.train_vision``, on the same images. The variants
alternate, and each differs from the first in one setting. ``torch.compile`` needs a C++ compiler
and compiles in the first round, which is not timed.
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
    ADAPTED_BLOCKS,
    BATCH_SIZE,
    CPU,
    ProjectTraining,
    TimedMethod,
    compare,
    create,
    draw_materials,
    operations,
    outputs_of_views,
)
from supervision.data.crystals import Crystal, Material, sample_materials
from supervision.models.vision import fused_mlp, packed_attention
from supervision.models.vision.data import to_tensor
from supervision.models.vision.featurize import featurize_all_scenes
from supervision.models.vision.model import VisionRegressor
from supervision.models.vision.packed_attention import PackedAttention
from supervision.models.vision.render import draw
from supervision.models.vision.views import VIEWS, select_views
from supervision.models.weights import Fetched, get_weights
from supervision.runtime.device import in_bfloat16
from supervision.training.batches import RankShard


@dataclass(frozen=True)
class Variant:
    """A variant that differs in a setting, in the prepared model, or by a patch while it runs."""

    name: str
    background: bool = False
    bfloat16: bool = True  # frozen weights in bfloat16
    adapted_blocks: int = ADAPTED_BLOCKS
    change: Callable[[VisionRegressor], None] = lambda _model: None
    patch: Callable[[], AbstractContextManager] = nullcontext


def use_fused_attention(model: VisionRegressor) -> None:
    """Use torch's fused attention also in blocks with gradients."""
    for block in model.backbone.blocks:
        block.attn.fused_attn = True


def attend_by_products(
    _attention: PackedAttention, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor
) -> torch.Tensor:
    """Attention by matrix products."""
    return (q * q.shape[-1] ** -0.5 @ k.mT).softmax(dim=-1) @ v


def use_torch_dropout(model: VisionRegressor) -> None:
    """Use torch's dropout before the adapters."""
    for block in model.backbone.blocks[-ADAPTED_BLOCKS:]:
        adapters = block.attn.qkv.lora_dropout
        adapters["default"] = nn.Dropout(adapters["default"].p)


def compile_tokenwise(model: VisionRegressor) -> None:
    """Apply torch.compile to the layers that process tokens independently: norms and MLP."""
    for block in model.backbone.blocks:
        for part in (block.norm1, block.norm2, block.mlp):
            part.compile(dynamic=True)


def use_channels_last(model: VisionRegressor) -> None:
    """Use the channels-last memory format in the patch embedding."""
    model.backbone.patch_embed.to(memory_format=torch.channels_last)


def variants(training: bool) -> list[Variant]:
    """All variants; the first has all optimisations."""
    training_variants = [
        Variant("without: adapting only the last half of the blocks", adapted_blocks=12),
        Variant("without: dropout with four elements per random number", change=use_torch_dropout),
        Variant("with fused attention in all blocks", change=use_fused_attention),
    ]
    no_fusion = partial(mock.patch.object, fused_mlp, "_can_fuse", lambda _x, _weight: False)
    return [
        Variant("all optimisations"),
        Variant("without: skipping background patches", background=True),
        Variant("without: frozen weights in bfloat16 (autocast instead)", bfloat16=False),
        Variant(
            "without: padding sequences to a multiple of 64",
            patch=partial(mock.patch.object, packed_attention, "SEQUENCE_LENGTH_MULTIPLE", 1),
        ),
        Variant(
            "without: fused attention in blocks without gradients",
            patch=partial(mock.patch.object, PackedAttention, "attend", attend_by_products),
        ),
        Variant("without: fused linear layers", patch=no_fusion),
        *(training_variants if training else []),
        Variant(
            "with torch.compile instead of fused linear layers",
            change=compile_tokenwise,
            patch=no_fusion,
        ),
        Variant("with a channels-last patch embedding", change=use_channels_last),
    ]


def main() -> None:
    """Measure all variants in training and in prediction."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="the 3DSC archive or folder")
    parser.add_argument("--rounds", type=int, default=23, help="rounds; the first is not timed")
    parser.add_argument("--steps", type=int, default=4, help="training steps per round")
    parser.add_argument("--crystals", type=int, default=8, help="crystals predicted per round")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"Threads: {torch.get_num_threads()}.")
    train, val = draw_materials(options.data, 0)
    fetched = get_weights("dinov2_vits14_imgfocus")
    with ExitStack() as stack:
        methods = training_methods(train, fetched, options, stack)
        compare("Training", methods, options.rounds, options.steps * BATCH_SIZE)
    crystals = [m.crystals[0] for m in sample_materials(val, options.crystals, options.seed)]
    with ExitStack() as stack:
        methods = prediction_methods(crystals, fetched, stack)
        compare("Prediction", methods, options.rounds, len(crystals) * len(VIEWS))


def training_methods(
    train: Sequence[Material], fetched: Fetched, options: argparse.Namespace, stack: ExitStack
) -> list[TimedMethod]:
    """Training steps as in train_dino, on the same materials for each variant."""
    count = options.rounds * options.steps * BATCH_SIZE
    drawn, methods = sample_materials(train, count, options.seed), []
    for variant in variants(training=True):
        predictor = create(
            fetched,
            background=variant.background,
            lora_blocks=variant.adapted_blocks,
            seed=options.seed,
        )
        samples = predictor.samples(drawn, ())
        images = torch.cat([b[0] for step in samples.epoch_steps(1, RankShard()) for b in step])
        backward = variant.adapted_blocks / len(predictor.model.backbone.blocks)
        work = operations(predictor.model, images, backward=backward) / options.rounds
        if variant.bfloat16:
            stack.enter_context(in_bfloat16(predictor.model.backbone, CPU))
        training = ProjectTraining(predictor, samples)
        variant.change(predictor.model)
        methods.append(
            TimedMethod(
                variant.name, partial(run_variant, variant, training.step), options.steps, work
            )
        )
    return methods


def prediction_methods(
    crystals: Sequence[Crystal], fetched: Fetched, stack: ExitStack
) -> list[TimedMethod]:
    """All views of each crystal, drawn and predicted one crystal at a time as in serving."""
    scenes = featurize_all_scenes(crystals, quiet=True)
    images = to_tensor(
        [draw(scenes[c.id], view) for c in crystals for view in select_views(len(VIEWS))]
    )
    methods = []
    for variant in variants(training=False):
        predictor = create(fetched, background=variant.background, views=len(VIEWS))
        predictor.model.eval()
        variant.change(predictor.model)
        if variant.bfloat16:
            stack.enter_context(in_bfloat16(predictor.model.backbone, CPU))
        work = operations(predictor.model, images)
        methods.append(
            TimedMethod(
                variant.name,
                partial(run_variant, variant, partial(outputs_of_views, predictor, crystals)),
                1,
                work,
            )
        )
    return methods


def run_variant(variant: Variant, function: Callable[[], Any]) -> None:
    """Call the function with the variant's patch applied."""
    with variant.patch():
        function()


if __name__ == "__main__":
    main()
