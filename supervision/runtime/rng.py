"""States of the random number generators of Python, numpy, torch and every CUDA device."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def rng_states() -> dict[str, Any]:
    """The states of all generators, as numbers, strings and tensors that a checkpoint can hold."""
    numpy = np.random.get_state(legacy=False)
    assert isinstance(numpy, dict)
    return {
        "python": random.getstate(),
        "numpy": numpy | {"state": numpy["state"] | {"key": _as_tensor(numpy["state"]["key"])}},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all(),
    }


def restore_rng_states(states: Mapping[str, Any]) -> None:
    """Restore the states from ``rng_states``; CUDA states only if the device count is equal."""
    random.setstate(states["python"])
    numpy = states["numpy"]
    key = numpy["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state(numpy | {"state": numpy["state"] | {"key": key}})
    torch.set_rng_state(states["torch"])
    if len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])


def _as_tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.int64))
