"""What the two neural model families share: a model that is fitted, asked, saved and loaded one way."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from tqdm.auto import tqdm

from supervision.data.crystals import Crystal, Material
from supervision.data.errors import crystal_errors
from supervision.models.predictor import CONFIG_FILE
from supervision.models.setup import Featurize, ModelSetup, WeightsInfo
from supervision.models.weights import Fetched, row_of
from supervision.runtime.device import default_workers, fast_bf16, flush_denormals, pick_device
from supervision.runtime.version import source_hash
from supervision.training.callbacks import NO_CALLBACKS, Callbacks, EpochRecord
from supervision.training.checkpoint import Checkpoints
from supervision.training.distributed import ProcessGroup
from supervision.training.feature_cache import FeatureCache
from supervision.training.state import FitConfig
from supervision.training.target import TargetTransform

if TYPE_CHECKING:  # a model predicts without the trainer, and without psutil, which that needs
    from supervision.training.two_stage import HeadFitConfig, Samples

MODEL_FILE = "model.safetensors"


def full_precision() -> AbstractContextManager:
    """Keep CUDA's convolutions from the short floats that it takes them in by itself."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


class NeuralPredictor(ABC):
    """Prepares crystals, reads them with a network, answers in kelvin.

    A paradigm says what its configuration is, how its network is built and adapted, what it reads
    in training (``samples``) and how it reads one crystal (``read``).
    """

    model_family: ClassVar[str]
    config_class: ClassVar[Any]
    recipe: ClassVar[tuple[str, int]]  # what crystals are made into, and in which version

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
        self.weights = {
            "name": fetched.name,
            "sha256": fetched.sha256,
            "config": dict(fetched.config),
        }
        self.model: Any = self.build(fetched)
        self.target = TargetTransform(config.target)
        self.size: Mapping[str, int] = {}
        self.shared: Path | None = None
        self.lock = Lock()

    def share(self, folder: Path) -> None:
        """Take features of the frozen backbone from a folder, and leave them there for others."""
        self.shared = folder

    def settings(self) -> dict[str, Any]:
        """All that this predictor was told, to be logged."""
        noun, version = self.recipe
        told = asdict(self.config) | asdict(self.fit_config)
        return told | {"device": str(self.device), f"{noun}_version": version}

    @abstractmethod
    def build(self, fetched: Fetched) -> nn.Module:
        """The network (``training.two_stage.Regressor``), with the weights if there are."""

    @abstractmethod
    def samples(self, train: Sequence[Material], val: Sequence[Material]) -> "Samples":
        """What it learns from and is chosen by; the target is fitted by then."""

    @abstractmethod
    def read(self, crystal: Crystal) -> np.ndarray:
        """Target-space outputs for one crystal, one a view; CrystalError where there are none."""

    def frozen(self) -> tuple[Any, ...]:
        """What features hang on before anything is trained, beside the samples."""
        made = (self.model_family, self.weights, self.config.seed, *self.recipe)
        return (*made, self.device.type, fast_bf16(self.device), torch.__version__)

    def _frozen(self, materials: Sequence[Material]) -> FeatureCache | None:
        """Where features are shared; they hang on the crystals and on this code, too."""
        if self.shared is None:
            return None
        crystals = sorted((c.id, c.content_hash) for m in materials for c in m.crystals)
        told = json.dumps([self.frozen(), crystals, source_hash()], sort_keys=True)
        return FeatureCache(self.shared, {"made of": hashlib.sha256(told.encode()).hexdigest()})

    def adapt(self) -> None:
        """Choose what of the backbone trains: by default all of it."""
        self.model.backbone.requires_grad_(True)

    def fit(
        self,
        train: Sequence[Material],
        val: Sequence[Material],
        *,
        listener: Callbacks = NO_CALLBACKS,
        checkpoints: Checkpoints | None = None,
    ) -> list[EpochRecord]:
        """Fit the head on frozen features, then train the backbone with it; keep the best epoch.

        Called by every process of a team; the first one's ``checkpoints`` matter.
        """
        from supervision.training.two_stage import TwoStageTrainer

        config, model, group = self.config, self.model.to(self.device), ProcessGroup.current()
        self.target = TargetTransform.fit(np.array([m.tc for m in train]), config.target)
        fitting = TwoStageTrainer(
            model, self.samples(train, val), self.target, train, val,
            self.device, config.seed, group, self.workers, self.quiet or not group.is_main,
            self._frozen((*train, *val)),
        )  # fmt: skip
        if checkpoints:
            checkpoints.begin()
        model.backbone.requires_grad_(False)
        self.size = count_parameters(model)
        if config.adapt == "linear":
            rate = self.fit_config.head_rate or self.fit_config.learning_rate
            return fitting.head(
                replace(self.fit_config, learning_rate=rate, head_rate=0.0),
                batch_size=config.batch_size,
                listener=listener,
                checkpoints=checkpoints,
                keep=checkpoints,
                quiet=fitting.quiet,
            )
        resuming = group.broadcast(checkpoints is not None and checkpoints.descending)
        before = None if resuming else fitting.start(self._head_fit(), checkpoints)
        self.adapt()
        model.to(self.device)
        self.size = count_parameters(model)
        return fitting.backbone(
            self.fit_config, before=before, listener=listener, checkpoints=checkpoints
        )

    def _head_fit(self) -> "HeadFitConfig":
        from supervision.training.two_stage import HeadFitConfig

        config = self.config
        return HeadFitConfig(
            config.head_epochs,
            config.head_learning_rate,
            config.head_batch_size,
            self.fit_config.weight_decay,
            self.fit_config.beta,
        )

    def predict(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Tc in kelvin, ``[n]``, in float32: the mean over what is read of a crystal.

        Each crystal is read by itself, so its number does not depend on its company. Of several
        threads one reads at a time, so that memory is that of one crystal. Raises CrystalError,
        naming the crystal, for one that cannot be read.
        """
        flush_denormals()  # a server asks from threads of its own
        predicted = []
        for crystal in tqdm(crystals, desc="prediction", leave=False, disable=self.quiet or None):
            with self.lock, crystal_errors(crystal.id), torch.inference_mode(), full_precision():
                self.model.to(self.device).eval()
                outputs = self.read(crystal)
            predicted.append(self.target.decode(outputs).mean())
        return np.array(predicted)

    def save(self, folder: Path) -> None:
        """Write ``config.json`` and ``model.safetensors``."""
        folder.mkdir(parents=True, exist_ok=True)
        noun, version = self.recipe
        config: dict[str, Any] = {
            "model_family": self.model_family,
            "config": asdict(self.config),
            "weights": self.weights,
            "target": self.target.to_dict(),
            f"{noun}_version": version,
        }
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1))
        state = {k: v.detach().cpu().contiguous() for k, v in self.model.state_dict().items()}
        save_file(state, folder / MODEL_FILE)

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """The predictor that ``save`` wrote.

        Raises ValueError where it reads crystals prepared by another recipe than this code's.
        """
        noun, version = cls.recipe
        theirs = config[f"{noun}_version"]
        if theirs != version:
            raise ValueError(
                f"The model was trained on {noun}s of recipe {theirs}; this code makes recipe "
                f"{version}."
            )
        made_of = config["weights"]
        row = row_of(made_of["name"], cls.model_family)
        empty = Fetched(row, None, "", "saved model", "", made_of["config"])
        predictor = cls(cls.config_class(**config["config"]), empty, FitConfig(), quiet=True)
        predictor.weights = dict(made_of)
        predictor.model.load_state_dict(load_file(folder / MODEL_FILE), strict=True)
        predictor.target = TargetTransform(**config["target"])
        return predictor


def count_parameters(model: nn.Module) -> dict[str, int]:
    """All parameters and those that train."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return {
        "parameters": sum(size for size, _ in sizes),
        "trained_parameters": sum(size for size, trains in sizes if trains),
    }


def neural_setup(
    predictor: NeuralPredictor,
    fetched: Fetched,
    featurize: Featurize,
    pictures: Callable[[Sequence[Material]], Mapping[str, np.ndarray]],
) -> ModelSetup:
    """That of a network that starts from these weights."""
    return ModelSetup(
        model_family=predictor.model_family,
        predictor=predictor,
        settings=predictor.settings() | {"processes": ProcessGroup.current().size},
        featurize=featurize,
        pictures=pictures,
        variant=predictor.config.adapt,
        origin=WeightsInfo.of(fetched),
    )
