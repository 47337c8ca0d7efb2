"""The compute device, and the number format it is fast in."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn


def pick_device(name: str = "auto") -> torch.device:
    """The torch device of a name.

    ``auto`` is CUDA where available, else Apple's MPS, else the CPU. With several GPUs, ``auto`` is
    the GPU of this process's ``LOCAL_RANK`` (set by torchrun).

    Raises ValueError for a device that is unknown or unavailable.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device '{name}' cannot be used here: {reason}") from error
    return device


@contextmanager
def one_cpu_thread() -> Iterator[None]:
    """Within, torch computes in this thread alone, without those that it starts for the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def default_workers(device: torch.device) -> int:
    """The default number of data-loading worker processes.

    Zero on a CPU, where workers would compete with the training for the same cores. On a GPU, the
    cores of the machine divided by the processes that torchrun started on it, at most 8.
    """
    if device.type != "cuda":
        return 0
    local_processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(8, (os.cpu_count() or 1) // local_processes)


def fast_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 (AMX or AVX-512 BF16; NVIDIA Ampere or later)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(bf16_units())


def bf16_units() -> list[str]:
    """The bfloat16 instruction sets of this processor, by name."""
    units = {
        "AMX": torch.cpu._is_amx_tile_supported(),
        "AVX-512 BF16": torch.cpu._is_avx512_bf16_supported(),
    }
    return [name for name, supported in units.items() if supported]


def autocast(device: torch.device) -> AbstractContextManager:
    """A bfloat16 autocast context where the hardware multiplies bfloat16, else an empty context."""
    if fast_bf16(device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


@contextmanager
def in_bfloat16(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Hold the module's weights in bfloat16 within the block, where ``autocast`` would use it.

    Meant for frozen weights: autocast casts them again in every step and leaves the operations
    between the matrix products (norms, sums) in float32. After the block the original float32
    weights are restored.
    """
    originals = to_bfloat16(module, device)
    try:
        yield
    finally:
        for parameter, weight in originals:
            parameter.data = weight.to(parameter.device)


def to_bfloat16(module: nn.Module, device: torch.device) -> list[tuple[nn.Parameter, torch.Tensor]]:
    """Cast the module's float32 weights to bfloat16 in place, where ``autocast`` would use it.

    Returns each parameter that was cast, with its float32 weights.
    """
    originals = []
    for parameter in module.parameters() if fast_bf16(device) else ():
        if (weight := parameter.data).dtype == torch.float32:
            originals.append((parameter, weight))
            parameter.data = weight.bfloat16()
    return originals


def flush_denormals() -> None:
    """Treat denormal floats (below 1e-38) as zero; a CPU can be a hundred times slower on them.

    Applies to this thread and the threads it starts, so call it before the first tensor operation.
    """
    torch.set_flush_denormal(True)
