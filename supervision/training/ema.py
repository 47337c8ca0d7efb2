"""A running mean of the weights: what is validated and kept in place of the last step's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from supervision.runtime.signals import defer_signals


class ExponentialMovingAverage:
    """Exponential moving average of the parameters that train.

    Batches of eight materials whose Tc span two orders of magnitude push the weights about; their
    mean over some hundred steps errs less than any of them (Polyak and Juditsky, SIAM J. Control
    Optim. 30, 838, 1992). Over the first steps the mean is shorter, so that it does not stay where
    it began: after n updates a weight of at most ``(1 + n) / (10 + n)`` is left to the past.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.updates, self.is_in_place = decay, 0, False
        self.live = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.mean = {name: p.detach().clone() for name, p in self.live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are after a step."""
        self.updates += 1
        share = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(list(self.mean.values()), list(self.live.values()), share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model with the mean for its weights, within the block."""
        try:
            self._exchange(True)
            yield
        finally:
            self._exchange(False)

    def _exchange(self, in_place: bool) -> None:
        with defer_signals():  # half of them exchanged would be no model at all
            if self.is_in_place != in_place:
                for name, parameter in self.live.items():
                    parameter.data, self.mean[name] = self.mean[name], parameter.data
                self.is_in_place = in_place

    def state(self) -> dict[str, object]:
        """What ``load`` needs to go on exactly."""
        return {"updates": self.updates, "mean": {n: t.cpu() for n, t in self.mean.items()}}

    def load(self, state: Mapping[str, object]) -> None:
        """Put back what ``state`` gave; raises KeyError where it is of another model."""
        mean, self.updates = state["mean"], state["updates"]  # type: ignore[assignment]
        assert isinstance(mean, dict)
        for name, tensor in self.mean.items():
            tensor.copy_(mean[name])
