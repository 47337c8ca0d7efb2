"""Options of commands that train several models themselves and write one page."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from entrypoints.options import listed, user_path
from supervision.experiment.spec import Experiment
from supervision.models.setup import MakeSetup
from supervision.runtime.options import option
from tracking.ensemble.members import DEFAULT_MEMBERS, check_members, untrained_member


@dataclass(frozen=True)
class UntrainedOptions:
    """Which models are trained. Raises ValueError for a value that is refused."""

    models: str = option(DEFAULT_MEMBERS, "models, separated by commas")
    weights: str = option("auto", "pretrained weights of networks: auto, none, a name, name:file")
    device: str = option("auto", "auto, cpu, cuda, ...")
    out: str = option("", "also write the page to this file (.md)")

    def __post_init__(self) -> None:
        check_members(listed(self.models), option="models")
        if self.out and not self.out.endswith(".md"):
            raise ValueError(f"out={self.out} must end in .md.")

    @property
    def page(self) -> Path | None:
        """Where the page is also written."""
        return user_path(self.out) if self.out else None

    def setups(self, experiment: Experiment, **settings: str) -> Mapping[str, MakeSetup]:
        """What makes each untrained model, by its name, with further settings.

        Raises ValueError where a model cannot learn from a source of the experiment.
        """
        return {
            name: untrained_member(name, experiment, self.weights, self.device, **settings)
            for name in listed(self.models)
        }
