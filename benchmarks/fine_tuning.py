"""What training a pretrained backbone adds to the head on its frozen features.

    python -m benchmarks.fine_tuning --family graph --split family --data 3DSC_MP.tar.xz \
        --jarvis jarvis_supercon_3d.jsonl

Every variant begins with the same head, fitted to frozen features, and trains for as many epochs on
the same batches; the control leaves the backbone frozen, so that it says what the further epochs of
the head alone are worth. Errors are those on the validation materials after the last epoch: the
best of several epochs would be chosen by the materials that evaluate it, as is that of the head
before. Differences are paired and their intervals are bootstraps over what the split keeps
together. No test material is learned from or predicted.

With ``--jarvis``, one variant trains the backbone on the theory Tc of JARVIS first, without what is
near to a validation or test material; its head is fitted to the features that this gives.

A second table has the heads of several seeds after their last epoch, and the mean of their
predictions. Prints both, and writes them to ``--out`` (.md) if given. The first variant takes
longer, because it computes the frozen features.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from supervision.data.crystals import Material
from supervision.data.leaks import source_parts
from supervision.data.splits import groups_of, make_split
from supervision.evaluation.metrics import mae, paired_bootstrap
from supervision.experiment.sources import SourceSpec, load_rows
from supervision.experiment.spec import DataSplits, Experiment, split_materials
from supervision.models.families import default_configs, get_family
from supervision.models.neural import NeuralPredictor
from supervision.training.callbacks import NO_CALLBACKS
from supervision.training.distributed import ProcessGroup
from supervision.training.feature_cache import FeatureCache
from supervision.training.target import TargetTransform
from supervision.training.two_stage import TwoStageTrainer

SEEDS = (42, 43, 44, 45, 46)
FROZEN_RATE = 1e-12  # of a head that does not train; 0 means the backbone's rate


@dataclass(frozen=True)
class Variant:
    """One way to go on from the head that was fitted to frozen features.

    Attributes:
        backbone: whether the backbone trains.
        theory: whether the backbone is trained on theory Tc before the head is fitted.
        config: changes to the model's default settings.
        fit: changes to the settings of the training.
    """

    name: str
    backbone: bool = True
    theory: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)
    fit: Mapping[str, Any] = field(default_factory=dict)


def rates(backbone: float, head: float, **others: Any) -> dict[str, Any]:
    """Peak learning rates."""
    return {"learning_rate": backbone, "head_rate": head, **others}


THEORY_EPOCHS, THEORY_RATE = 12, 3e-4
CONTROL = Variant("head alone, 1e-4 (control)", backbone=False, fit=rates(1e-4, 1e-4))
VARIANTS = {
    "graph": (
        CONTROL,
        Variant("head alone, 1e-3", backbone=False, fit=rates(1e-3, 1e-3)),
        Variant("ALIGNN 1e-5, head 1e-3", fit=rates(1e-5, 1e-3)),
        Variant("ALIGNN 1e-4, head 1e-4", fit=rates(1e-4, 1e-4)),
        Variant("ALIGNN 1e-3, head 1e-4", fit=rates(1e-3, 1e-4)),
        Variant("last 4 layers 1e-3, head 1e-4", config={"trained_layers": 4},
                fit=rates(1e-3, 1e-4)),
        Variant("ALIGNN 1e-4, head frozen", fit=rates(1e-4, FROZEN_RATE)),
        Variant("ALIGNN 1e-4, head 1e-4, no average of weights",
                fit=rates(1e-4, 1e-4, average=0.0)),
    ),
    "vision": (
        CONTROL,
        Variant("head alone, 1e-3", backbone=False, fit=rates(1e-3, 1e-3)),
        Variant("LoRA 1e-4, head 1e-4", fit=rates(1e-4, 1e-4)),
        Variant("LoRA 1e-3, head 1e-4", fit=rates(1e-3, 1e-4)),
        Variant("LoRA 1e-4, head frozen", fit=rates(1e-4, FROZEN_RATE)),
    ),
}  # fmt: skip


def main() -> None:
    """Train every variant, and print the table."""
    options = _options()
    experiment = Experiment(
        dataset="3dsc", data=options.data, split=options.split, limit=options.limit
    )
    make = partial(_untrained, options.family, options.weights, experiment, options.epochs)
    splits = split_materials(experiment, make(CONTROL)[1], lambda rejects: None)
    variants = list(VARIANTS[options.family])
    if options.jarvis:
        name = "theory Tc first, then the head alone, 1e-4"
        variants.append(replace(CONTROL, name=name, theory=True))
    with tempfile.TemporaryDirectory() as folder:
        caches = {theory: FeatureCache(Path(folder), {"theory": str(theory)}) for theory in (0, 1)}
        found = []
        for variant in variants:
            predictor, _ = make(variant)
            if variant.theory:
                _learn_theory(predictor, make, options.jarvis, splits)
            found.append(_train(variant, predictor, splits, caches[variant.theory]))
        heads = {
            seed: _fit_head(make(replace(CONTROL, config={"seed": seed}))[0], splits, caches[False])
            for seed in SEEDS
        }
    counts = {part: len(splits.part(part)) for part in ("train", "val")}
    text = "\n\n".join(
        [
            f"{options.family}, {options.split}: {counts['train']} training and {counts['val']} "
            f"validation materials, {options.epochs} epochs after those of the head",
            _table(found, splits).to_markdown(index=False, disable_numparse=True),
            _heads_table(heads, splits).to_markdown(index=False, disable_numparse=True),
        ]
    )
    print(text)
    if options.out:
        Path(options.out).write_text(text + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--family", choices=VARIANTS, default="graph")
    parser.add_argument("--weights", default="auto", help="pretrained weights")
    parser.add_argument("--split", default="family", help="random, chemsys, family or novel")
    parser.add_argument("--data", default="", help="the 3DSC archive or folder; empty: download")
    parser.add_argument("--jarvis", default="", help="the JARVIS list, to train on theory Tc first")
    parser.add_argument("--limit", type=int, default=0, help="the first N materials; 0: all")
    parser.add_argument("--epochs", type=int, default=3, help="epochs after the head's own")
    parser.add_argument("--out", default="", help="also write the table to this file (.md)")
    return parser.parse_args()


@dataclass(frozen=True)
class Trained:
    """What a variant predicts for the validation materials before and after, in kelvin, [n]."""

    variant: Variant
    before: np.ndarray
    after: np.ndarray
    minutes: float


@dataclass(frozen=True)
class RecordingTrainer(TwoStageTrainer):
    """Keeps the predictions of every validation, in kelvin, [n]."""

    predictions: list[np.ndarray] = field(default_factory=list)

    def _errors(self, owners: Sequence[int], outputs: torch.Tensor) -> dict[str, float]:
        kelvin = self.target.decode(outputs.numpy())
        tc_pred = np.bincount(owners, weights=kelvin) / np.bincount(owners)
        self.predictions.append(tc_pred)
        return super()._errors(owners, outputs)


def _untrained(
    family_name: str, weights: str, experiment: Experiment, epochs: int, variant: Variant
) -> tuple[NeuralPredictor, Any]:
    """The model of a variant, and what featurises its crystals."""
    family = get_family(family_name)
    config, fit_config = default_configs(family, experiment.dataset, experiment.seed)
    config = replace(config, **variant.config)
    changes = {"schedule": "cosine", "epochs": epochs, "patience": epochs}
    fit_config = replace(fit_config, **(changes | dict(variant.fit)))
    setup = family.setup(weights, "auto", config, fit_config)
    assert isinstance(setup.predictor, NeuralPredictor)
    return setup.predictor, setup.featurize


def _learn_theory(
    predictor: NeuralPredictor, make: Callable[[Variant], Any], data: str, splits: DataSplits
) -> None:
    """Give a model the backbone that has learned the theory Tc of JARVIS."""
    fit = rates(THEORY_RATE, THEORY_RATE, epochs=THEORY_EPOCHS, patience=THEORY_EPOCHS)
    other, featurize = make(Variant("theory Tc", fit=fit))
    rows, _ = load_rows(SourceSpec("jarvis_supercon", data), featurize)
    parts = source_parts(rows, splits.materials, splits.split)
    kept = [row for row in rows if parts[row.id] == "train"]
    split = make_split(kept, "random")
    train = [*split.select(kept, "train"), *split.select(kept, "test")]
    history = other.fit(train, split.select(kept, "val"))
    best = min(record.val_mae for record in history)
    print(f"Theory Tc of {len(kept)} materials: validation MAE {best:.2f} K.", flush=True)
    predictor.model.backbone.load_state_dict(other.model.backbone.state_dict())


def _train(
    variant: Variant, predictor: NeuralPredictor, splits: DataSplits, cache: FeatureCache
) -> Trained:
    """As ``NeuralPredictor.fit``, but to the last epoch, and with a frozen backbone if asked."""
    start = time.monotonic()
    val, trainer = splits.part("val"), _trainer(predictor, splits, cache)
    initial = trainer.warm_start_head(predictor.head_config(), None)
    if variant.backbone:
        predictor.adapt()
    trainer.fit_backbone(
        predictor.fit_config, initial=initial, callbacks=NO_CALLBACKS, checkpoints=None
    )
    before = min(trainer.predictions[: predictor.config.head_epochs], key=partial(_error, val))
    minutes = (time.monotonic() - start) / 60
    print(f"{variant.name}: {_error(val, trainer.predictions[-1]):.3f} K", flush=True)
    return Trained(variant, before, trainer.predictions[-1], minutes)


def _fit_head(predictor: NeuralPredictor, splits: DataSplits, cache: FeatureCache) -> np.ndarray:
    """What the head on frozen features predicts after its last epoch, in kelvin, [n]."""
    trainer = _trainer(predictor, splits, cache)
    trainer.warm_start_head(predictor.head_config(), None)
    return trainer.predictions[-1]


def _trainer(
    predictor: NeuralPredictor, splits: DataSplits, cache: FeatureCache
) -> RecordingTrainer:
    train, val, config = splits.part("train"), splits.part("val"), predictor.config
    model = predictor.model.to(predictor.device)
    model.backbone.requires_grad_(False)
    predictor.target = TargetTransform.fit(np.array([m.tc for m in train]), config.target)
    return RecordingTrainer(
        model, predictor.samples(train, val), predictor.target, train, val, predictor.device,
        config.seed, ProcessGroup.current(), predictor.workers, quiet=True, feature_cache=cache,
    )  # fmt: skip


def _error(materials: Sequence[Material], tc_pred: np.ndarray) -> float:
    return mae(np.array([m.tc for m in materials]), tc_pred)


def _table(found: Sequence[Trained], splits: DataSplits) -> pd.DataFrame:
    tc = np.array([m.tc for m in splits.part("val")])
    control, rows = found[0], []
    for trained in found:
        difference = _difference(trained.after, control.after, splits)
        rows.append(
            {
                "variant": trained.variant.name,
                "the head before (K)": f"{mae(tc, trained.before):.3f}",
                "after (K)": f"{mae(tc, trained.after):.3f}",
                "minus the control (K)": "–" if trained is control else difference,
                "minutes": f"{trained.minutes:.1f}",
            }
        )
    return pd.DataFrame(rows)


def _heads_table(heads: Mapping[int, np.ndarray], splits: DataSplits) -> pd.DataFrame:
    tc, first = np.array([m.tc for m in splits.part("val")]), next(iter(heads.values()))
    named = {f"head, seed {seed}": tc_pred for seed, tc_pred in heads.items()}
    named |= {f"mean of {len(heads)} heads": np.mean(list(heads.values()), axis=0)}
    return pd.DataFrame(
        {
            "model": name,
            "MAE (K)": f"{mae(tc, tc_pred):.3f}",
            "minus the first (K)": "–" if tc_pred is first else _difference(tc_pred, first, splits),
        }
        for name, tc_pred in named.items()
    )


def _difference(one: np.ndarray, other: np.ndarray, splits: DataSplits) -> str:
    val = splits.part("val")
    group_of = groups_of(splits.materials, splits.split.kind)
    groups = np.array([group_of[m.id] for m in val])
    paired = paired_bootstrap(np.array([m.tc for m in val]), one, other, groups=groups)
    return f"{paired['difference']:+.3f} ({paired['low']:+.3f} to {paired['high']:+.3f})"


if __name__ == "__main__":
    main()
