"""What the machine offers: device and number format."""

import os
from contextlib import AbstractContextManager, nullcontext

import torch


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


def flush_denormals() -> None:
    """Take floats below 1e-38 as zero: a processor may need a hundred times as long for them.

    Holds for this thread and those that it starts, so it belongs before the first tensor.
    """
    torch.set_flush_denormal(True)
