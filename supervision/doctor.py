"""Checks of everything a training needs on a machine; every failed check says how to fix it.

The checks import packages inside functions, because a missing or broken package is a finding.
"""

import os
import platform
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from supervision.runtime.errors import one_line
from supervision.runtime.version import ROOT

OK, WARN, BROKEN = "ok", "warn", "broken"
PYTHON_VERSION = (3, 11)
REQUIREMENTS = ROOT / "requirements.txt"
FIX_PACKAGES = "python -m pip install -r requirements.txt"
WARN_BELOW_BYTES, BROKEN_BELOW_BYTES = 2 << 30, 1 << 30  # training on classics needs 1.9 GiB
GPU_DEVICE_FILE = Path("/dev/nvidia0")
SMALL_ALIGNN = {"model": {"alignn_layers": 1, "gcn_layers": 1, "hidden_features": 16}}


@dataclass(frozen=True)
class Finding:
    """The result of a check.

    Attributes:
        state: ``ok``, ``warn`` or ``broken``.
        found: what was found, as text.
        fix: what to do about it; empty if nothing.
    """

    state: str
    found: str
    fix: str = ""


@dataclass(frozen=True)
class Check:
    """A named check.

    Attributes:
        check: returns the finding.
        fix: what to do if ``check`` raises an error.
    """

    name: str
    check: Callable[[], Finding]
    fix: str = FIX_PACKAGES

    def finding(self) -> Finding:
        """Run the check; an error that it raises is a finding with the state broken."""
        try:
            return self.check()
        except Exception as error:  # every error of a broken package or machine is a finding
            fix = FIX_PACKAGES if isinstance(error, ImportError) else self.fix
            return Finding(BROKEN, f"{type(error).__name__}: {one_line(error)}", fix)


def check_python() -> Finding:
    """The version of Python is the one that the pinned packages need."""
    found = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info[:2] == PYTHON_VERSION:
        return Finding(OK, found)
    wanted = ".".join(map(str, PYTHON_VERSION))
    return Finding(BROKEN, found, f"Create the environment with Python {wanted}.")


def check_packages() -> Finding:
    """Every pinned package is installed, in that version (torch's +cpu aside).

    Those of requirements-dev.txt are needed to change this project, not to use it.
    """
    from importlib.metadata import PackageNotFoundError, version

    needed, development = map(parse_pins, required_packages())
    missing, differences = [], []
    for name, pinned in needed + development:
        try:
            found = version(name).partition("+")[0]
        except PackageNotFoundError:
            missing.append(name)
            differences.append(f"{name} is missing")
        else:
            differences += [f"{name} is {found}, not {pinned}"] if found != pinned else []
    if not differences:
        return Finding(OK, "all versions as in requirements.txt")
    broken = any(name in missing for name, _ in needed)
    return Finding(BROKEN if broken else WARN, "; ".join(differences), FIX_PACKAGES)


def required_packages() -> tuple[str, str]:
    """Lines of pins at run time and for development; an installed package has the first only."""
    from importlib.metadata import requires

    if REQUIREMENTS.is_file():
        development = REQUIREMENTS.with_name("requirements-dev.txt")
        return REQUIREMENTS.read_text(), development.read_text()
    return "\n".join(line for line in requires("supervision-tc") or () if ";" not in line), ""


def parse_pins(text: str) -> list[tuple[str, str]]:
    """Name and version of each line ``name==version  # comment``."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [(name, pinned) for name, _, pinned in (x.partition("==") for x in lines if x)]


def check_torch() -> Finding:
    """torch computes a known gradient correctly."""
    import torch

    layer = torch.nn.Linear(4, 1)
    layer(torch.ones(2, 4)).sum().backward()
    if layer.weight.grad is None or (layer.weight.grad != 2).any():
        return Finding(BROKEN, f"{torch.__version__}: a gradient is wrong", FIX_PACKAGES)
    return Finding(OK, f"{torch.__version__}, forward and backward pass")


def check_timm() -> Finding:
    """A vision transformer with one block and LoRA processes an image."""
    import timm
    import torch
    from peft import LoraConfig, inject_adapter_in_model

    shape: Any = {"img_size": 28, "depth": 1, "embed_dim": 48, "num_heads": 3, "num_classes": 0}
    net = timm.create_model("vit_small_patch14_dinov2", **shape).eval()
    inject_adapter_in_model(LoraConfig(r=2, target_modules=["qkv"]), net)
    with torch.inference_mode():
        tokens = net(torch.ones(1, 3, 28, 28))
    if not tokens.isfinite().all():
        return Finding(BROKEN, f"timm {timm.__version__}: the output is not finite", FIX_PACKAGES)
    return Finding(OK, f"timm {timm.__version__}, an image through a small transformer with LoRA")


def check_alignn(backend: str) -> Finding:
    """Two implementations of a small ALIGNN agree on the graph of a crystal.

    The reference is our implementation on the full graph. With ``pure`` it is compared with the
    graph folded by symmetry, with ``dgl`` with alignn's own layers.
    """
    import torch
    from pymatgen.core import Lattice, Structure

    from supervision.models.graph.backbone import (
        create_backbone,
        forward_states,
        forward_states_dgl,
    )
    from supervision.models.graph.batch import collate
    from supervision.models.graph.build import build_graph
    from supervision.models.graph.symmetry_folding import fold_graph, unfolded_graph

    lattice, corners = Lattice.cubic(3.3), [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]
    graph = build_graph(Structure(lattice, ["Nb", "Nb"], corners))
    net = create_backbone("alignn_atomwise", backend, SMALL_ALIGNN).eval()
    way, form = (
        (forward_states_dgl, unfolded_graph) if backend == "dgl" else (forward_states, fold_graph)
    )
    with torch.inference_mode():
        expected = forward_states(net, collate([unfolded_graph(graph)]))[-1].mean(dim=0)
        found = way(net, collate([form(graph)]))[-1].mean(dim=0)
    if not torch.allclose(found, expected, atol=1e-4):  # False for NaN, too
        return Finding(BROKEN, "two implementations give different results", FIX_PACKAGES)
    return Finding(OK, "a crystal through a small network")


def check_device() -> Finding:
    """The device that ``auto`` selects; warns about a GPU that torch cannot use."""
    import torch

    from supervision.runtime.device import pick_device

    chosen = pick_device()
    torch.ones(8, 8, device=chosen).matmul(torch.ones(8, 8, device=chosen)).sum().item()
    if chosen.type == "cuda":
        return Finding(OK, f"{torch.cuda.get_device_name(chosen)}, CUDA {torch.version.cuda}")
    if not GPU_DEVICE_FILE.exists():
        return Finding(OK, chosen.type)
    if torch.version.cuda is None:
        fix = "Install the pinned version of torch built for CUDA: pytorch.org."
        return Finding(WARN, "there is an NVIDIA GPU, but this torch is built without CUDA", fix)
    fix = "Check that nvidia-smi lists it, that its driver is new enough, and CUDA_VISIBLE_DEVICES."
    found = f"there is an NVIDIA GPU, but torch cannot use it with its CUDA {torch.version.cuda}"
    return Finding(WARN, found, fix)


def check_processor() -> Finding:
    """The number format that the CPU trains in: bfloat16 where its hardware multiplies it."""
    from supervision.runtime.device import bf16_units

    units = " and ".join(bf16_units())
    found = f"bfloat16 by {units}" if units else "float32: it has neither AMX nor AVX-512 BF16"
    return Finding(OK, f"{platform.machine()}, trains in {found}")


def check_threads() -> Finding:
    """The number of torch's threads fits the available cores, and waiting threads sleep."""
    import joblib
    import torch

    cores, used = joblib.cpu_count(), torch.get_num_threads()
    policy = os.environ.get("OMP_WAIT_POLICY", "not set")
    found = f"{used} torch threads for {cores} cores, OMP_WAIT_POLICY {policy}"
    if used > cores or 2 * used < cores:
        return Finding(WARN, found, f"export OMP_NUM_THREADS={cores}")
    if policy.upper() != "PASSIVE":
        return Finding(WARN, found, "export OMP_WAIT_POLICY=PASSIVE")
    return Finding(OK, found)


def check_memory() -> Finding:
    """The free memory of the machine or the container."""
    from supervision.runtime.memory import available_memory

    found = available_memory()
    fix = "Close other programs, or raise the container's limit."
    return check_free_bytes(found.free, str(found), fix)


def check_free_bytes(free: int, found: str, fix: str) -> Finding:
    """The free bytes of memory or disk are enough for a training."""
    if free >= WARN_BELOW_BYTES:
        return Finding(OK, found)
    return Finding(WARN if free >= BROKEN_BELOW_BYTES else BROKEN, found, fix)


def check_folder(folder: Path, fix: str) -> Finding:
    """An existing folder is writable and has enough free space."""
    import psutil

    from supervision.runtime.memory import format_gib

    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(BROKEN, f"{folder} cannot be written to: {error.strerror}", fix)
    free = psutil.disk_usage(str(folder)).free
    return check_free_bytes(free, f"{folder}, {format_gib(free)} free", fix)


def check_cache() -> Finding:
    """The cache folder is writable and has enough free space."""
    from supervision.runtime.files import cache_dir

    return check_folder(cache_dir(), FIX_CACHE)


def check_temporary_folder() -> Finding:
    """The folder for temporary files is writable and has enough free space."""
    return check_folder(Path(tempfile.gettempdir()), FIX_TEMPORARY)


def check_weights(model_family: str) -> Finding:
    """The pretrained weights that are available; at least one must be."""
    from concurrent.futures import ThreadPoolExecutor

    from supervision.models.weights.availability import check_availability
    from supervision.models.weights.catalogue import AUTO_ORDER, WEIGHTS

    names = [name for name, row in WEIGHTS.items() if row.model_family == model_family]
    with ThreadPoolExecutor(len(names)) as pool:
        answers = dict(
            zip(names, pool.map(lambda name: check_availability(WEIGHTS[name]), names), strict=True)
        )
    found = "\n".join(f"{name}: {text}" for name, (_, text) in answers.items())
    available = [name for name in (*AUTO_ORDER[model_family], *names) if answers[name][0]]
    copy = "give a copy from another machine with weights=NAME:FILE."
    if not available:
        return Finding(BROKEN, found, f"Give this machine access to a source, or {copy}")
    if not all(there for there, _ in answers.values()):
        return Finding(WARN, found, f"weights={available[0]} is available. For the others, {copy}")
    return Finding(OK, found)


def check_sleep() -> Finding:
    """A training can prevent sleep."""
    from supervision.runtime.keep_awake import SleepError, prevent_sleep

    try:
        with prevent_sleep() as method:
            return Finding(OK, f"can be prevented by {method}")
    except SleepError as error:
        fix = "On a laptop or desktop, turn off sleep in the system settings."
        return Finding(WARN, f"cannot be prevented ({error})", fix)


def check_other_trainings() -> Finding:
    """Other trainings on this machine."""
    from supervision.runtime.lock import running_trainings

    found = running_trainings()
    if not found:
        return Finding(OK, "none")
    fix = "Wait, stop it, or start with parallel=true, which slows down both."
    return Finding(WARN, "\n".join(map(str, found)), fix)


def check_unfinished() -> Finding:
    """Unfinished trainings in the cache, and their size on disk."""
    from supervision.runtime.memory import format_gib
    from supervision.training.checkpoint import is_unfinished
    from supervision.training.resuming import checkpoints_dir

    unfinished = [path for path in checkpoints_dir().glob("*") if is_unfinished(path)]
    if not unfinished:
        return Finding(OK, "none")
    size = 0
    for path in unfinished:
        with suppress(FileNotFoundError):  # a running training replaced a file
            size += sum(file.stat().st_size for file in path.iterdir())
    fix = "Run the same command again to resume one; delete the folders of those not needed."
    return Finding(OK, f"{len(unfinished)} in {checkpoints_dir()}, {format_gib(size)}", fix)


FIX_CACHE = "export SUPERVISION_CACHE=FOLDER with a writable folder that has free space."
FIX_TEMPORARY = "export TMPDIR=FOLDER with a writable folder that has free space."
CHECKS = (
    Check("Python", check_python),
    Check("packages", check_packages),
    Check("torch", check_torch),
    Check("timm and peft", check_timm),
    Check("ALIGNN", partial(check_alignn, "pure")),
    Check("ALIGNN on DGL", partial(check_alignn, "dgl")),
    Check("device", check_device, "Choose another with device=cpu."),
    Check("processor", check_processor),
    Check("threads", check_threads),
    Check("memory", check_memory),
    Check("cache", check_cache, FIX_CACHE),
    Check("temporary files", check_temporary_folder, FIX_TEMPORARY),
    Check("weights: vision", partial(check_weights, "vision")),
    Check("weights: graph", partial(check_weights, "graph")),
    Check("sleep", check_sleep),
    Check("other trainings", check_other_trainings, FIX_TEMPORARY),
    Check("unfinished runs", check_unfinished, FIX_CACHE),
)
