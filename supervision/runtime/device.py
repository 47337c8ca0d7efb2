"""What the machine offers: device and number format."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn


def pick_device(name: str = "auto") -> torch.device:
    """``auto`` takes CUDA, then Apple's MPS, then the CPU; anything else is taken at its word.

    Of several GPUs each process that torchrun starts takes its own.

    Raises ValueError when the named device is not there.
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


def default_workers(device: torch.device) -> int:
    """Processes that make batches ahead of time: a GPU would wait, a CPU has to do both anyway."""
    if device.type != "cuda":
        return 0
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # as many processes share the machine
    return min(8, (os.cpu_count() or 1) // beside)


def fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 products are done by the hardware (AMX or AVX-512 BF16, Ampere or later)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(bf16_units())


def bf16_units() -> list[str]:
    """What in this processor multiplies bfloat16."""
    units = {
        "AMX": torch.cpu._is_amx_tile_supported(),
        "AVX-512 BF16": torch.cpu._is_avx512_bf16_supported(),
    }
    return [name for name, there in units.items() if there]


def autocast(device: torch.device) -> AbstractContextManager:
    """bfloat16 autocast where the hardware is good at it, else plain float32."""
    if fast_bf16(device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


@contextmanager
def in_bfloat16(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Within the block the module's weights are bfloat16, where ``autocast`` would use it.

    For weights that stay frozen: autocast copies each anew in every step, and what lies between
    the matrices (norms, sums) it leaves in float32. After the block the weights are those from
    before it, in full.
    """
    full = to_bfloat16(module, device)
    try:
        yield
    finally:
        for parameter, weight in full:
            parameter.data = weight.to(parameter.device)


def to_bfloat16(module: nn.Module, device: torch.device) -> list[tuple[nn.Parameter, torch.Tensor]]:
    """Make the module's weights bfloat16, where ``autocast`` would use it.

    Returns each parameter that was float32 with the weights it had.
    """
    full = []
    for parameter in module.parameters() if fast_bf16(device) else ():
        if (weight := parameter.data).dtype == torch.float32:
            full.append((parameter, weight))
            parameter.data = weight.bfloat16()
    return full


def flush_denormals() -> None:
    """Take floats below 1e-38 as zero: a processor may need a hundred times as long for them.

    Holds for this thread and those that it starts, so it belongs before the first tensor.
    """
    torch.set_flush_denormal(True)
