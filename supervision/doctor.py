"""What a training needs of a machine, checked one by one; each failure with how to mend it.

Every check imports what it needs inside itself: what is missing or broken is what it is to say.
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
PYTHON = (3, 11)
REQUIREMENTS = ROOT / "requirements.txt"
INSTALL = "python -m pip install -r requirements.txt"
LITTLE, TOO_LITTLE = 2 << 30, 1 << 30  # bytes; a training of the demonstration set takes 1.9 GiB
GPU = Path("/dev/nvidia0")
SMALL = {"model": {"alignn_layers": 1, "gcn_layers": 1, "hidden_features": 16}}


@dataclass(frozen=True)
class Finding:
    """What a check found: ``ok``, ``warn`` or ``broken``, in words, and how to mend it."""

    state: str
    found: str
    mend: str = ""


@dataclass(frozen=True)
class Check:
    """A name, a look, and how to mend it where the look itself fails."""

    name: str
    look: Callable[[], Finding]
    mend: str = INSTALL

    def finding(self) -> Finding:
        """What the look finds; what it raises is broken."""
        try:
            return self.look()
        except Exception as error:  # whatever a broken package or machine throws is the finding
            mend = INSTALL if isinstance(error, ImportError) else self.mend
            return Finding(BROKEN, f"{type(error).__name__}: {one_line(error)}", mend)


def python() -> Finding:
    """The version of Python, of which there is one that all pins are made for."""
    found = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info[:2] == PYTHON:
        return Finding(OK, found)
    wanted = ".".join(map(str, PYTHON))
    return Finding(BROKEN, found, f"Make the environment with Python {wanted}.")


def packages() -> Finding:
    """Every pin of requirements.txt: there, and of that version (torch's +cpu aside).

    Those below "checks" are for changing this project, not for using it.
    """
    from importlib.metadata import PackageNotFoundError, version

    needed, _, rest = REQUIREMENTS.read_text().partition("\n# checks")
    missing, said = [], []
    for name, pinned in pins(needed) + pins(rest):
        try:
            found = version(name).partition("+")[0]
        except PackageNotFoundError:
            missing.append(name)
            said.append(f"{name} is missing")
        else:
            said += [f"{name} is {found}, not {pinned}"] if found != pinned else []
    if not said:
        return Finding(OK, "all of the versions in requirements.txt")
    useless = any(name in missing for name, _ in pins(needed))
    return Finding(BROKEN if useless else WARN, "; ".join(said), INSTALL)


def pins(text: str) -> list[tuple[str, str]]:
    """Names and versions in lines of ``name==version  # reason``."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [(name, pinned) for name, _, pinned in (x.partition("==") for x in lines if x)]


def torch_learns() -> Finding:
    """A step forward and back whose gradient is known."""
    import torch

    layer = torch.nn.Linear(4, 1)
    layer(torch.ones(2, 4)).sum().backward()
    if layer.weight.grad is None or (layer.weight.grad != 2).any():
        return Finding(BROKEN, f"{torch.__version__}: a gradient is wrong", INSTALL)
    return Finding(OK, f"{torch.__version__}, forward and back")


def timm_sees() -> Finding:
    """A picture through one block of the vision transformer, with LoRA on it."""
    import timm
    import torch
    from peft import LoraConfig, inject_adapter_in_model

    shape: Any = {"img_size": 28, "depth": 1, "embed_dim": 48, "num_heads": 3, "num_classes": 0}
    net = timm.create_model("vit_small_patch14_dinov2", **shape).eval()
    inject_adapter_in_model(LoraConfig(r=2, target_modules=["qkv"]), net)
    with torch.inference_mode():
        tokens = net(torch.ones(1, 3, 28, 28))
    if not tokens.isfinite().all():
        return Finding(BROKEN, f"timm {timm.__version__}: the answer is no number", INSTALL)
    return Finding(OK, f"timm {timm.__version__}, a picture through a small transformer with LoRA")


def alignn_reads(backend: str) -> Finding:
    """A crystal's graph through a small ALIGNN gives what it should.

    That of ``pure`` is folded, and must answer as the whole one does; ``dgl`` takes alignn's own
    layers, and must answer as ours do.
    """
    import torch
    from pymatgen.core import Lattice, Structure

    from supervision.models.graph.backbone import create_backbone, walk, walk_dgl
    from supervision.models.graph.batch import collate
    from supervision.models.graph.build import build_graph
    from supervision.models.graph.symmetry_folding import fold, unfolded

    lattice, corners = Lattice.cubic(3.3), [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]
    graph = build_graph(Structure(lattice, ["Nb", "Nb"], corners))
    net = create_backbone("alignn_atomwise", backend, SMALL).eval()
    way, form = (walk_dgl, unfolded) if backend == "dgl" else (walk, fold)
    with torch.inference_mode():
        expected = walk(net, collate([unfolded(graph)]))[-1].mean(dim=0)
        found = way(net, collate([form(graph)]))[-1].mean(dim=0)
    if not torch.allclose(found, expected, atol=1e-4):  # not either where it is no number
        return Finding(BROKEN, "two ways through it give two answers", INSTALL)
    return Finding(OK, "a crystal through a small network")


def device() -> Finding:
    """What auto trains on, and a GPU that it cannot."""
    import torch

    from supervision.runtime.device import pick_device

    chosen = pick_device()
    torch.ones(8, 8, device=chosen).matmul(torch.ones(8, 8, device=chosen)).sum().item()
    if chosen.type == "cuda":
        return Finding(OK, f"{torch.cuda.get_device_name(chosen)}, CUDA {torch.version.cuda}")
    if not GPU.exists():
        return Finding(OK, chosen.type)
    if torch.version.cuda is None:
        mend = "Install the torch of the pinned version that is built for CUDA: pytorch.org."
        return Finding(WARN, "there is an NVIDIA GPU, but this torch is built without CUDA", mend)
    mend = "Look whether nvidia-smi sees it, that its driver is as new, and CUDA_VISIBLE_DEVICES."
    found = f"there is an NVIDIA GPU, but torch cannot use it with its CUDA {torch.version.cuda}"
    return Finding(WARN, found, mend)


def processor() -> Finding:
    """Whether a CPU multiplies bfloat16, in which it then trains."""
    from supervision.runtime.device import bf16_units

    units = " and ".join(bf16_units())
    found = f"bfloat16 by {units}" if units else "float32: it has neither AMX nor AVX-512 BF16"
    return Finding(OK, f"{platform.machine()}, trains in {found}")


def threads() -> Finding:
    """torch's threads against the cores that this process may use, and how threads wait."""
    import joblib
    import torch

    cores, used = joblib.cpu_count(), torch.get_num_threads()
    policy = os.environ.get("OMP_WAIT_POLICY", "not set")
    found = f"{used} of torch for {cores} cores, OMP_WAIT_POLICY {policy}"
    if used > cores or 2 * used < cores:
        return Finding(WARN, found, f"export OMP_NUM_THREADS={cores}")
    if policy.upper() != "PASSIVE":
        return Finding(WARN, found, "export OMP_WAIT_POLICY=PASSIVE")
    return Finding(OK, found)


def enough_memory() -> Finding:
    """The memory that is free, by the machine or by the limit of a container."""
    from supervision.runtime.memory import memory

    found = memory()
    mend = "Close other programs, or raise the container's limit."
    return enough(found.free, str(found), mend)


def enough(free: int, found: str, mend: str) -> Finding:
    """Whether so many bytes of memory or disk will do for a training."""
    if free >= LITTLE:
        return Finding(OK, found)
    return Finding(WARN if free >= TOO_LITTLE else BROKEN, found, mend)


def writable(folder: Path, mend: str) -> Finding:
    """A folder that exists: whether it can be written to, and how much."""
    import psutil

    from supervision.runtime.memory import gigabytes

    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(BROKEN, f"{folder} cannot be written to: {error.strerror}", mend)
    free = psutil.disk_usage(str(folder)).free
    return enough(free, f"{folder}, {gigabytes(free)} free", mend)


def cache() -> Finding:
    """The folder of what can be made again."""
    from supervision.runtime.files import cache_dir

    return writable(cache_dir(), CACHE)


def temporary() -> Finding:
    """The folder of temporary files."""
    return writable(Path(tempfile.gettempdir()), TEMPORARY)


def weights(model_family: str) -> Finding:
    """Which pretrained weights can be had; one is enough."""
    from concurrent.futures import ThreadPoolExecutor

    from supervision.models.weights.availability import reach
    from supervision.models.weights.catalogue import AUTO, WEIGHTS

    names = [name for name, row in WEIGHTS.items() if row.model_family == model_family]
    with ThreadPoolExecutor(len(names)) as pool:
        answers = dict(zip(names, pool.map(lambda name: reach(WEIGHTS[name]), names), strict=True))
    found = "\n".join(f"{name}: {said}" for name, (_, said) in answers.items())
    had = [name for name in (*AUTO[model_family], *names) if answers[name][0]]
    copy = "a copy from another machine is taken as weights=NAME:FILE."
    if not had:
        return Finding(BROKEN, found, f"Let this machine reach a source, or {copy}")
    if not all(there for there, _ in answers.values()):
        return Finding(WARN, found, f"weights={had[0]} can be had. For the others, {copy}")
    return Finding(OK, found)


def sleep() -> Finding:
    """Whether a training can hold off sleep."""
    from supervision.runtime.keep_awake import SleepError, prevent_sleep

    try:
        with prevent_sleep() as by:
            return Finding(OK, f"can be held off by {by}")
    except SleepError as error:
        mend = "Matters on a laptop or desktop only: turn off sleep in its settings."
        return Finding(WARN, f"cannot be held off ({error})", mend)


def others() -> Finding:
    """Other running_trainings on this machine."""
    from supervision.runtime.lock import running_trainings

    found = running_trainings()
    if not found:
        return Finding(OK, "none")
    mend = "Wait, stop it, or start with parallel=true: both are slower then."
    return Finding(WARN, "\n".join(map(str, found)), mend)


def unfinished() -> Finding:
    """Trainings that wait in the cache to be carried on, and what they take up there."""
    from supervision.runtime.memory import gigabytes
    from supervision.training.checkpoint import is_unfinished
    from supervision.training.resuming import own_folder

    waiting = [path for path in own_folder().glob("*") if is_unfinished(path)]
    if not waiting:
        return Finding(OK, "none")
    size = 0
    for path in waiting:
        with suppress(FileNotFoundError):  # one that is written down just now, or ended
            size += sum(file.stat().st_size for file in path.iterdir())
    mend = "Their own commands carry them on. Those that no one wants can be deleted there."
    return Finding(OK, f"{len(waiting)} in {own_folder()}, {gigabytes(size)}", mend)


CACHE = "export SUPERVISION_CACHE=FOLDER with one that can be written to and has room."
TEMPORARY = "export TMPDIR=FOLDER with one that can be written to and has room."
CHECKS = (
    Check("Python", python),
    Check("packages", packages),
    Check("torch", torch_learns),
    Check("timm and peft", timm_sees),
    Check("ALIGNN", partial(alignn_reads, "pure")),
    Check("ALIGNN on DGL", partial(alignn_reads, "dgl")),
    Check("device", device, "Choose another by device=cpu."),
    Check("processor", processor),
    Check("threads", threads),
    Check("memory", enough_memory),
    Check("cache", cache, CACHE),
    Check("temporary files", temporary, TEMPORARY),
    Check("weights: vision", partial(weights, "vision")),
    Check("weights: graph", partial(weights, "graph")),
    Check("sleep", sleep),
    Check("other running_trainings", others, TEMPORARY),
    Check("begun, not ended", unfinished, CACHE),
)
