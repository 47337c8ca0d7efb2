"""The model registry: how a predictor is logged, registered, and becomes a champion."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from supervision.models.predictor import CONFIG_FILE
from supervision.runtime.version import ROOT

NETWORKS_NEED = (
    "filelock", "gemmi", "mlflow", "numpy", "pandas", "pymatgen", "safetensors", "torch", "tqdm",
)  # fmt: skip
SERVING_NEEDS = {  # all that is imported from the opening of a model to its answer
    "vision": (*NETWORKS_NEED, "opencv-python-headless", "timm"),
    "graph": (*NETWORKS_NEED, "jarvis-tools"),
    "composition": (
        "gemmi",
        "jarvis-tools",
        "mlflow",
        "numpy",
        "pandas",
        "pymatgen",
        "scikit-learn",
        "skops",
        "tqdm",
    ),
}
DGL_NEEDS = ("alignn", "dgl")  # a graph model that reads with alignn's own layers
SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.string, "cif")]),
    outputs=Schema([ColSpec(DataType.double, "tc_kelvin")]),
)
CHAMPION = "champion"
REFERENCE = "champion-3dsc-random"
ENOUGH = 30  # validation materials; by fewer, the share of the constant's error is luck


@dataclass(frozen=True)
class Candidate:
    """What the champion rule needs to know of a model version.

    ``val_mae`` and ``null_mae`` are of the validation materials, ``judged_on`` so many, as the
    served model predicts them.
    """

    dataset: str
    split: str
    split_hash: str
    val_mae: float
    null_mae: float
    limit: int
    judged_on: int

    @property
    def full(self) -> bool:
        """DatasetSpec from all materials of its data set."""
        return self.limit == 0

    @property
    def few(self) -> bool:
        """Judged on too few materials to be held against a model of another data set."""
        return self.judged_on < ENOUGH

    @property
    def alias(self) -> str:
        """The alias that this candidate runs for."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.dataset.lower()).strip("-")
        if not self.dataset.isascii():  # what an alias cannot hold must still tell names apart
            slug = f"{slug}-{sha256(self.dataset.encode()).hexdigest()[:8]}".strip("-")
        return f"champion-{slug}-{self.split}"

    @property
    def skill(self) -> float:
        """Validation MAE as a share of the constant's: comparable between data sets."""
        if self.null_mae == 0:  # every validation Tc is the median: a constant cannot be beaten
            return 1.0 if self.val_mae == 0 else math.inf
        return self.val_mae / self.null_mae

    def tags(self) -> dict[str, str]:
        """The fields as tags of a model version; ``of`` reads them back."""
        return {name: str(value) for name, value in vars(self).items()}

    @classmethod
    def of(cls, found: ModelVersion) -> "Candidate | None":
        """What a version's tags say, or None for one that was not registered by this project."""
        t = found.tags
        try:
            return cls(
                t["dataset"], t["split"], t["split_hash"],
                float(t["val_mae"]), float(t["null_mae"]), int(t["limit"]),
                int(t.get("judged_on", ENOUGH)),  # those of before it was written down
            )  # fmt: skip
        except (KeyError, ValueError):
            return None


def log_predictor(folder: Path, model_family: str, example_cif: str, license: str) -> str:
    """Log a saved predictor as a pyfunc with its own code and weights; returns the model's URI."""
    config = json.loads((folder / CONFIG_FILE).read_text())["config"]
    names = SERVING_NEEDS[model_family] + DGL_NEEDS * (config.get("backend") == "dgl")
    needs = [f"{name}=={version(name)}" for name in names]
    info = mlflow.pyfunc.log_model(
        name="model",
        python_model=str(ROOT / "tracking" / "serving" / "pyfunc.py"),
        artifacts={"predictor": str(folder)},
        code_paths=[str(ROOT / "supervision")],
        signature=SIGNATURE,
        input_example=pd.DataFrame({"cif": [example_cif]}),
        pip_requirements=needs,
        metadata={"weights_license": license, "model_family": model_family},
    )
    return info.model_uri


def register(
    model_uri: str, name: str, candidate: Candidate, tags: Mapping[str, str], description: str
) -> list[str]:
    """Register a version, move the aliases it has earned, and say in sentences what moved.

    A model (tag ``model_uri``) that is registered already is not registered again.
    """
    client = MlflowClient()
    known = client.search_model_versions(f"name = '{name}' and tag.model_uri = '{model_uri}'")
    created = (
        known[0]
        if known
        else mlflow.register_model(model_uri, name, tags=candidate.tags() | dict(tags))
    )
    client.update_model_version(name, created.version, description=description)
    client.update_registered_model(name, description=describe(name))
    said = [f"Registered {name} version {created.version}."]
    return said + move_aliases(client, name, str(created.version), candidate)


def move_aliases(client: MlflowClient, name: str, number: str, candidate: Candidate) -> list[str]:
    """The champion rule.

    ``champion-<dataset>-<split>`` moves to a version with a lower validation MAE on the same
    split; a full run takes it from a limited one and never the other way. ``champion`` is the
    champion of 3dsc-random once there is a full one; before that, of all champions, the one
    with the best validation MAE against its constant null, those that were judged on enough
    materials before the others and, among equals in that, full runs before limited ones.
    """
    holder = holder_of(client, name, candidate.alias)
    earned, why = True, "there was none"
    held = Candidate.of(holder) if holder is not None else None
    if holder is not None and held is None:
        why = f"version {holder.version} does not say how it was judged"
    if held is not None:
        earned, why = beats(candidate, held)
    if not earned:
        assert holder is not None
        return [f"{candidate.alias} stays with version {holder.version}: {why}."]
    client.set_registered_model_alias(name, candidate.alias, number)
    said = [f"{candidate.alias} is now version {number}: {why}."]
    if candidate.few:
        said.append(
            f"It was judged on {candidate.judged_on} validation materials, fewer than {ENOUGH}: "
            "too few to be compared with other data sets. "
            f"Served it is as models:/{name}@{candidate.alias}."
        )
    return [*said, _crown(client, name)]


def beats(new: Candidate, old: Candidate) -> tuple[bool, str]:
    """Whether ``new`` takes the alias of ``old``, and why or why not."""
    if new.full and not old.full:
        return True, f"a full run replaces one limited to {old.limit} materials"
    if old.full and not new.full:
        return False, "a run with limit never replaces a full one"
    if new.split_hash != old.split_hash:
        return False, "its split is another one, so the two cannot be compared"
    text = f"validation MAE {new.val_mae:.3f} K against {old.val_mae:.3f} K on the same split"
    return new.val_mae < old.val_mae, text


def _crown(client: MlflowClient, name: str) -> str:
    """Point ``champion`` at the version that people should be served, and say which it is."""
    aliases = client.get_registered_model(name).aliases
    rivals = {a: str(v) for a, v in aliases.items() if a.startswith("champion-")}
    found = {a: Candidate.of(client.get_model_version(name, v)) for a, v in rivals.items()}
    known = {a: candidate for a, candidate in found.items() if candidate is not None}
    reference = known.get(REFERENCE)
    if reference is not None and reference.full:
        best = REFERENCE
    else:
        best = min(known, key=lambda a: (known[a].few, not known[a].full, known[a].skill, a))
    if str(aliases.get(CHAMPION)) == rivals[best]:
        return f"{CHAMPION} stays with version {rivals[best]} ({best})."
    client.set_registered_model_alias(name, CHAMPION, rivals[best])
    return f"{CHAMPION} is now version {rivals[best]} ({best})."


def holder_of(client: MlflowClient, name: str, alias: str) -> ModelVersion | None:
    """The version that holds an alias, or None where nobody does."""
    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


BY = {
    "supervision-vision": "pictures of the crystal and a DINO vision transformer",
    "supervision-graph": "the crystal's graph and ALIGNN",
    "supervision-composition": "its composition alone and an ensemble of trees",
}


def describe(name: str) -> str:
    """What a registered model is, for who finds it in the registry."""
    return (
        "Critical temperature (K) of a superconductor from its crystal structure, by "
        f"{BY[name]}. Input: a table with a `cif` column (CIF text, partial occupancies welcome). "
        f"Output: `tc_kelvin`. Serve it with `mlflow models serve -m models:/{name}@champion "
        "--env-manager local`. Use it to rank candidates: in its training data a Tc of 0 means "
        "that none was reported, not that none is there."
    )
