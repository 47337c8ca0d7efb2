"""What the neural model families share: how they are fitted, predict, are saved and loaded."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from supervision.data.crystals import Crystal, Material
from supervision.data.errors import crystal_errors
from supervision.models.predictor import CONFIG_FILE
from supervision.models.setup import Featurize, Images, ModelSetup, WeightsInfo
from supervision.models.weights import Fetched, StateDict, catalogue_entry, get_same_weights
from supervision.runtime.device import default_workers, fast_bf16, flush_denormals, pick_device
from supervision.runtime.progress import track
from supervision.runtime.version import source_hash
from supervision.training.callbacks import NO_CALLBACKS, Callbacks, EpochRecord
from supervision.training.checkpoint import Checkpoints
from supervision.training.config import FitConfig
from supervision.training.distributed import ProcessGroup
from supervision.training.feature_cache import FeatureCache
from supervision.training.target import TargetTransform

if TYPE_CHECKING:  # a model predicts without the trainer, and without psutil, which it needs
    from supervision.training.two_stage import HeadFitConfig, Samples

MODEL_FILE = "model.safetensors"
BACKBONE = "backbone"  # prefix of its tensors; key in config.json: where those not saved are


class NeuralPredictor(ABC):
    """Featurises crystals, runs a network on them, answers in kelvin.

    A family defines its config, how its network is built and adapted, what the network reads in
    training (``samples``) and how it reads one crystal (``forward_crystal``).

    Attributes:
        features_version: what crystals are made into (a noun), and the version of these features.
    """

    model_family: ClassVar[str]
    config_class: ClassVar[Any]
    features_version: ClassVar[tuple[str, int]]

    def __init__(
        self,
        config: Any,
        fetched: Fetched,
        fit_config: FitConfig,
        *,
        device: str = "auto",
        workers: int | None = None,
        quiet: bool = False,
    ) -> None:
        flush_denormals()
        torch.manual_seed(config.seed)
        self.config, self.fit_config, self.quiet = config, fit_config, quiet
        self.device = pick_device(device)
        self.workers = default_workers(self.device) if workers is None else workers
        self.weights: dict[str, Any] = {
            "name": fetched.name,
            "sha256": fetched.sha256,
            "config": dict(fetched.config),
        }
        self.model: Any = self.build(fetched).to(self.device)
        self.target = TargetTransform(config.target)
        self.size: Mapping[str, int] = {}
        self.feature_cache_dir: Path | None = None
        self.lock = Lock()

    def use_feature_cache(self, folder: Path) -> None:
        """Share the features of the frozen backbone with other trainings, in a folder."""
        self.feature_cache_dir = folder

    def settings(self) -> dict[str, Any]:
        """Everything that this predictor was configured with, to be logged."""
        noun, version = self.features_version
        settings = asdict(self.config) | asdict(self.fit_config)
        return settings | {"device": str(self.device), f"{noun}_version": version}

    @abstractmethod
    def build(self, fetched: Fetched) -> nn.Module:
        """The network (``training.two_stage.Regressor``), with the pretrained weights if any."""

    @abstractmethod
    def samples(self, train: Sequence[Material], val: Sequence[Material]) -> "Samples":
        """What the network reads in training and validation; the target is fitted by then."""

    @abstractmethod
    def forward_crystal(self, crystal: Crystal) -> np.ndarray:
        """Outputs for one crystal in target space, ``[views]``. Raises CrystalError."""

    def cache_key(self) -> tuple[Any, ...]:
        """What the backbone's features depend on before it trains, besides the samples."""
        made = (self.model_family, self.weights, self.config.seed, *self.features_version)
        return (*made, self.device.type, fast_bf16(self.device), torch.__version__)

    def adapt(self) -> None:
        """Choose what of the backbone trains: by default all of it."""
        self.model.backbone.requires_grad_(True)

    def fit(
        self,
        train: Sequence[Material],
        val: Sequence[Material],
        *,
        callbacks: Callbacks = NO_CALLBACKS,
        checkpoints: Checkpoints | None = None,
    ) -> list[EpochRecord]:
        """Fit the head on frozen features, then train the backbone with it; keep the best epoch.

        Every process of a group calls this; the main process's ``checkpoints`` count.
        """
        from supervision.training.two_stage import TwoStageTrainer

        config, model, group = self.config, self.model.to(self.device), ProcessGroup.current()
        self.target = TargetTransform.fit(np.array([m.tc for m in train]), config.target)
        trainer = TwoStageTrainer(
            model, self.samples(train, val), self.target, train, val,
            self.device, config.seed, group, self.workers, self.quiet or not group.is_main,
            self._feature_cache((*train, *val)),
        )  # fmt: skip
        if checkpoints:
            checkpoints.begin()
        model.backbone.requires_grad_(False)
        self.size = count_parameters(model)
        if config.adapt == "linear":
            rate = self.fit_config.head_rate or self.fit_config.learning_rate
            return trainer.fit_head(
                replace(self.fit_config, learning_rate=rate, head_rate=0.0),
                batch_size=config.batch_size,
                callbacks=callbacks,
                checkpoints=checkpoints,
                feature_checkpoints=checkpoints,
                quiet=trainer.quiet,
            )
        resuming = group.broadcast(checkpoints is not None and checkpoints.has_train_state)
        initial = None if resuming else trainer.warm_start_head(self.head_config(), checkpoints)
        self.adapt()
        model.to(self.device)
        self.size = count_parameters(model)
        return trainer.fit_backbone(
            self.fit_config, initial=initial, callbacks=callbacks, checkpoints=checkpoints
        )

    def predict(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Tc in kelvin, ``[n]``, in float32: the mean over a crystal's views.

        Each crystal is read by itself, so its Tc does not depend on the others. Of several threads
        one predicts at a time: the memory in use is that of one crystal. Raises CrystalError,
        naming the crystal, for one that cannot be read.
        """
        flush_denormals()  # a server predicts in threads that it starts later
        predicted = []
        for crystal in track(
            crystals, total=len(crystals), desc="prediction", unit="crystal", quiet=self.quiet
        ):
            with self.reading(crystal), torch.inference_mode():
                outputs = self.forward_crystal(crystal)
            predicted.append(self.target.decode(outputs).mean())
        return np.array(predicted)

    @contextmanager
    def reading(self, crystal: Crystal) -> Iterator[Any]:
        """The network in evaluation mode, for this thread alone; errors name the crystal."""
        with self.lock, crystal_errors(crystal.id), full_precision():
            if self.model.training:  # to set the mode of every module takes a millisecond
                self.model.eval()
            yield self.model

    def save(self, folder: Path, *, without_pretrained: bool = False) -> None:
        """Write ``config.json`` and ``model.safetensors``.

        ``without_pretrained`` leaves out the tensors of the backbone that training did not change;
        ``load`` gets them from the pretrained weights. Raises ValueError where the model did not
        start from any, WeightsError where they are unavailable.
        """
        noun, version = self.features_version
        config: dict[str, Any] = {
            "model_family": self.model_family,
            "config": asdict(self.config),
            "weights": self.weights,
            "target": self.target.to_dict(),
            f"{noun}_version": version,
        }
        state = {k: v.detach().cpu().contiguous() for k, v in self.model.state_dict().items()}
        if without_pretrained:
            config[BACKBONE] = "pretrained"
            state = self._without_pretrained(state)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1))
        save_file(state, folder / MODEL_FILE)

    def _without_pretrained(self, state: StateDict) -> StateDict:
        """The tensors of a state dict that are not those of the pretrained backbone."""
        name, sha256 = self.weights["name"], self.weights["sha256"]
        if name == "none":
            raise ValueError(
                "weights=none: the backbone started from random weights, which are nowhere else; "
                "save the model with them."
            )
        pretrained = _backbone_state(self.build(get_same_weights(name, sha256, self.model_family)))
        return {
            name: tensor
            for name, tensor in state.items()
            if name not in pretrained
            # a loaded backbone may be in bfloat16
            or not torch.equal(tensor, pretrained[name].to(tensor.dtype))
        }

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """The predictor that ``save`` wrote.

        Raises ValueError where it was trained on features of another version than this code's,
        WeightsError where it was saved without pretrained weights that are unavailable.
        """
        noun, version = cls.features_version
        theirs = config[f"{noun}_version"]
        if theirs != version:
            raise ValueError(
                f"The model was trained on {noun}s of version {theirs}; this code makes version "
                f"{version}. Load it with the code that trained it, or train it again."
            )
        weights, has_all = config["weights"], BACKBONE not in config
        if has_all:
            row = catalogue_entry(weights["name"], cls.model_family)
            fetched = Fetched(row, None, "", "saved model", "", weights["config"])
        else:
            fetched = get_same_weights(weights["name"], weights["sha256"], cls.model_family)
        predictor = cls(cls.config_class(**config["config"]), fetched, FitConfig(), quiet=True)
        predictor.weights = dict(weights)
        pretrained = {} if has_all else _backbone_state(predictor.model)
        state = pretrained | load_file(folder / MODEL_FILE)
        predictor.model.load_state_dict(state, strict=True)
        predictor.target = TargetTransform(**config["target"])
        return predictor

    def _feature_cache(self, materials: Sequence[Material]) -> FeatureCache | None:
        """The shared features; they depend on the crystals and on this code, too."""
        if self.feature_cache_dir is None:
            return None
        crystals = sorted((c.id, c.content_hash) for m in materials for c in m.crystals)
        key = json.dumps([self.cache_key(), crystals, source_hash()], sort_keys=True)
        digest = hashlib.sha256(key.encode()).hexdigest()
        return FeatureCache(self.feature_cache_dir, {"made of": digest})

    def head_config(self) -> "HeadFitConfig":
        """How the head is fitted before the backbone trains."""
        from supervision.training.two_stage import HeadFitConfig

        config = self.config
        return HeadFitConfig(
            config.head_epochs,
            config.head_learning_rate,
            config.head_batch_size,
            self.fit_config.weight_decay,
            self.fit_config.beta,
        )


def neural_setup(
    predictor: NeuralPredictor, fetched: Fetched, featurize: Featurize, images: Images
) -> ModelSetup:
    """A neural model that starts from these weights, ready to be trained."""
    return ModelSetup(
        model_family=predictor.model_family,
        predictor=predictor,
        settings=predictor.settings() | {"processes": ProcessGroup.current().size},
        featurize=featurize,
        images=images,
        variant=predictor.config.adapt,
        weights=WeightsInfo.of(fetched),
    )


def _backbone_state(model: nn.Module) -> StateDict:
    """The tensors of a network's backbone, by their names in the network."""
    state = model.state_dict()
    return {name: state[name] for name in state if name.startswith(f"{BACKBONE}.")}


def full_precision() -> AbstractContextManager:
    """Keep CUDA's convolutions from TF32, which they use by default."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


def count_parameters(model: nn.Module) -> dict[str, int]:
    """The numbers of all parameters and of those that train."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return {
        "parameters": sum(size for size, _ in sizes),
        "trained_parameters": sum(size for size, trains in sizes if trains),
    }
