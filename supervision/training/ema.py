"""Exponential moving average of the weights: validated and saved in place of the last step's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from supervision.runtime.signals import defer_signals


class ExponentialMovingAverage:
    """Exponential moving average of the parameters that train.

    Batches of eight materials whose Tc spans two orders of magnitude make the weights fluctuate;
    their mean over some hundred steps has a lower error than any of them (Polyak and Juditsky, SIAM
    J. Control Optim. 30, 838, 1992). The average starts short, so that it forgets the initial
    weights: after n updates the past has a weight of at most ``(1 + n) / (10 + n)``.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.updates, self.is_in_place = decay, 0, False
        self.live = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.mean = {name: p.detach().clone() for name, p in self.live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Include the weights after a step."""
        self.updates += 1
        share = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(list(self.mean.values()), list(self.live.values()), share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the averaged weights within the block."""
        try:
            self._exchange(True)
            yield
        finally:
            self._exchange(False)

    def _exchange(self, in_place: bool) -> None:
        with defer_signals():  # a signal must not leave half of the weights exchanged
            if self.is_in_place != in_place:
                for name, parameter in self.live.items():
                    parameter.data, self.mean[name] = self.mean[name], parameter.data
                self.is_in_place = in_place

    def state(self) -> dict[str, object]:
        """What ``load`` needs to continue exactly."""
        return {"updates": self.updates, "mean": {n: t.cpu() for n, t in self.mean.items()}}

    def load(self, state: Mapping[str, object]) -> None:
        """Restore what ``state`` returned; raises KeyError where it belongs to another model."""
        mean, self.updates = state["mean"], state["updates"]  # type: ignore[assignment]
        assert isinstance(mean, dict)
        for name, tensor in self.mean.items():
            tensor.copy_(mean[name])
