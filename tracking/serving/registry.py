"""The model registry: how a predictor is logged and registered, and which version is served."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import pandas as pd
from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import Array, Map, Object, Property

from supervision.answer.columns import named
from supervision.data.quantity import TC, Quantity
from supervision.models.families import ModelFamily, family_names, get_family
from supervision.models.predictor import CONFIG_FILE
from supervision.runtime.lock import LOCK_FILE_MODE, BusyError, machine_lock_folder
from supervision.runtime.version import ROOT
from tracking.serving.champion import CHAMPION, MIN_VALIDATION_MATERIALS, Candidate, takes_alias
from tracking.serving.model_page import model_page, version_page

DGL_PACKAGES = ("alignn", "dgl")  # of a graph model with alignn's own layers (backend=dgl)
NEIGHBOUR = {
    "formula": DataType.string, **dict.fromkeys(("tc_kelvin", "distance"), DataType.double),
}  # fmt: skip
OUTPUTS: dict[str, Any] = {  # the fields of supervision.answer.answer.Answer
    **dict.fromkeys(("name", "formula"), DataType.string),
    "atoms": DataType.long,
    "is_disordered": DataType.boolean,
    **dict.fromkeys(
        ("tc_kelvin", "tc_lower", "tc_upper", "p_superconducting", "p_above_10", "p_above_20",
         "p_above_40"), DataType.double,
    ),
    "domain": DataType.string,
    "domain_error": DataType.double,
    "nearest": NEIGHBOUR,  # a list of these
    "members": Map(DataType.double),
    "remarks": Array(DataType.string),
    **dict.fromkeys(("model_version", "error"), DataType.string),
}  # fmt: skip
LOCK_TIMEOUT_SECONDS = 600
RACE_WINDOW_MS = 10 * 60 * 1000  # longer than a registration takes, clock differences included
MAX_ALIAS_UPDATES = 10  # of one registration, while other machines move the same alias


def signature(quantity: Quantity = TC) -> ModelSignature:
    """What a served model of a quantity takes and answers."""
    outputs = named(OUTPUTS, quantity)
    neighbour = named(NEIGHBOUR, quantity).items()
    outputs["nearest"] = Array(Object([Property(name, kind) for name, kind in neighbour]))
    if not quantity.is_tc:
        outputs |= dict.fromkeys(("quantity", "unit"), DataType.string)
    return ModelSignature(
        inputs=Schema(
            [ColSpec(DataType.string, name, required=False) for name in ("cif", "formula", "id")]
        ),
        outputs=Schema([ColSpec(kind, name) for name, kind in outputs.items()]),
        params=ParamSchema([ParamSpec("strict", DataType.boolean, False)]),
    )


def log_predictor(
    folder: Path, model_family: str, example_cif: str, license: str, quantity: Quantity = TC
) -> str:
    """Log a saved predictor as a pyfunc with its own code and weights; returns the model's URI.

    Raises ValueError for a predictor that could not be loaded again by its model family.
    """
    saved = json.loads((folder / CONFIG_FILE).read_text())
    if saved.get("model_family") != model_family:
        raise ValueError(
            f"{CONFIG_FILE} of the saved predictor has model_family={saved.get('model_family')}, "
            f"not {model_family}: its save() must write it."
        )
    config = saved["config"]
    packages = get_family(model_family).serving_packages
    packages += DGL_PACKAGES * (config.get("backend") == "dgl")
    info = mlflow.pyfunc.log_model(
        name="model",
        python_model=str(ROOT / "tracking" / "serving" / "pyfunc.py"),
        artifacts={"predictor": str(folder)},
        code_paths=[str(ROOT / "supervision")],
        signature=signature(quantity),
        input_example=pd.DataFrame({"cif": [example_cif]}),
        pip_requirements=[f"{package}=={version(package)}" for package in packages],
        metadata={"weights_license": license, "model_family": model_family},
    )
    return info.model_uri


def register(
    model_uri: str,
    model_family: str,
    candidate: Candidate,
    tags: Mapping[str, str],
    card: str,
) -> list[str]:
    """Register a version and apply the champion rule; returns sentences that say what happened.

    ``card`` is that of the version; the registered model shows the card of the version which it
    serves. A model (tag ``model_uri``) that is registered already keeps its version. Raises
    BusyError where another process of this machine does not finish its registration.
    """
    client, family = MlflowClient(), get_family(model_family)
    name = family.model_name_of(candidate.quantity)
    with _registration_lock(name):
        known = client.search_model_versions(f"name = '{name}' and tag.model_uri = '{model_uri}'")
        created = (
            known[0]
            if known
            else mlflow.register_model(model_uri, name, tags=candidate.tags() | dict(tags))
        )
        describe_version(client, created, card, candidate.quantity)
        messages = move_aliases(client, name, str(created.version), candidate)
        alias = CHAMPION if CHAMPION in _aliases(client, name) else candidate.alias
        describe_model(client, alias, family, candidate.quantity)
    return [f"Registered {name} version {created.version}.", *messages]


def describe_version(
    client: MlflowClient, version: ModelVersion, card: str, quantity: Quantity = TC
) -> None:
    """Give a version its page, with this card."""
    uri = f"models:/{version.name}/{version.version}"
    page = version_page(card, uri, quantity)
    client.update_model_version(version.name, version.version, description=page)


def describe_model(
    client: MlflowClient, alias: str, family: ModelFamily, quantity: Quantity = TC
) -> None:
    """Give a registered model the page of the version that ``alias`` names."""
    name = family.model_name_of(quantity)
    served = client.get_model_version_by_alias(name, alias)
    page = model_page(family, alias, str(served.version), served.description or "", quantity)
    client.update_registered_model(name, description=page)


@contextmanager
def _registration_lock(name: str) -> Iterator[None]:
    """One registration at a time on this machine, per registry and registered model."""
    key = sha256(f"{mlflow.get_registry_uri()} {name}".encode()).hexdigest()[:16]
    path = machine_lock_folder() / f"registry-{key}"
    try:
        with FileLock(path, timeout=LOCK_TIMEOUT_SECONDS, mode=LOCK_FILE_MODE):
            yield
    except Timeout:
        raise BusyError(
            f"Another process has been registering a version of {name} for over "
            f"{LOCK_TIMEOUT_SECONDS // 60} minutes ({path} is locked). End it, and run the same "
            "command again."
        ) from None


def move_aliases(client: MlflowClient, name: str, number: str, candidate: Candidate) -> list[str]:
    """Apply the champion rule to version ``number``; returns sentences that say what happened."""
    return [
        _update_split_alias(client, name, number, candidate),
        _update_champion(client, name, candidate.alias),
    ]


def _update_split_alias(client: MlflowClient, name: str, number: str, candidate: Candidate) -> str:
    """Let the best version hold ``champion-<dataset>-<split>``; returns what happened.

    Another machine may register at the same time, and both read the alias before either sets it.
    Each creates its version first, then sets the alias, and then decides again with all versions
    of the last minutes: whichever sets the alias last sees the other's version.
    """
    alias = candidate.alias
    before = alias_holder(client, name, alias)
    for _ in range(MAX_ALIAS_UPDATES):
        holder = alias_holder(client, name, alias)
        best, best_candidate = _best_of_split(client, name, number, candidate, holder)
        if holder is not None and str(holder.version) == best:
            break
        client.set_registered_model_alias(name, alias, best)
    if best != number:
        verb = "stays with" if before is not None and str(before.version) == best else "is now"
        return f"{alias} {verb} version {best}: {takes_alias(candidate, best_candidate)[1]}."
    if before is None:
        return f"{alias} is now version {number}: no version held it."
    if str(before.version) == number:
        return f"{alias} stays with version {number}."
    beaten = Candidate.of(before)
    why = f"version {before.version} does not say how it was evaluated"
    return (
        f"{alias} is now version {number}: {takes_alias(candidate, beaten)[1] if beaten else why}."
    )


def _best_of_split(
    client: MlflowClient, name: str, number: str, candidate: Candidate, holder: ModelVersion | None
) -> tuple[str, Candidate]:
    """The version to hold the alias: the holder, version ``number``, or one registered with it."""
    found = {int(v.version): v for v in client.search_model_versions(f"name = '{name}'")}
    created = client.get_model_version(name, number).creation_timestamp
    rivals = {
        str(other): rival
        for other, version in sorted(found.items())
        if abs(version.creation_timestamp - created) <= RACE_WINDOW_MS
        and (rival := Candidate.of(version)) is not None
        and rival.alias == candidate.alias
    } | {number: candidate}
    held = None if holder is None else Candidate.of(holder)
    best = None if holder is None or held is None else (str(holder.version), held)
    for other, rival in rivals.items():
        if best is None or takes_alias(rival, best[1])[0]:
            best = (other, rival)
    assert best is not None
    return best


def _update_champion(client: MlflowClient, name: str, alias: str) -> str:
    """Let ``champion`` be the preferred version that beats the constant; returns what happened.

    It decides again after it has set the alias, as another machine may have moved one meanwhile.
    """
    verb = "stays with"
    for _ in range(MAX_ALIAS_UPDATES):
        versions = _aliases(client, name)
        held = {a: Candidate.of(client.get_model_version(name, v)) for a, v in versions.items()}
        shown = {
            a: candidate
            for a, candidate in held.items()
            if a.startswith(f"{CHAMPION}-") and candidate is not None and candidate.beats_constant
        }
        if not shown:
            return _no_champion(name, alias, versions, held[alias])
        best = min(shown, key=lambda a: (shown[a].preference, a))
        if versions.get(CHAMPION) == versions[best]:
            break
        client.set_registered_model_alias(name, CHAMPION, versions[best])
        verb = "is now"
    return f"{CHAMPION} {verb} version {versions[best]} ({best})."


def _no_champion(
    name: str, alias: str, versions: Mapping[str, str], candidate: Candidate | None
) -> str:
    """Why no version becomes ``champion``, and how to address the model."""
    if CHAMPION in versions:
        status = f"stays with version {versions[CHAMPION]}: no other version"
    else:
        status = "is not set: no version"
    details = f" ({alias}: {candidate.describe()})" if candidate else ""
    return (
        f"{CHAMPION} {status} is shown to be better than the constant median on "
        f"at least {MIN_VALIDATION_MATERIALS} validation materials{details}. "
        f"Use models:/{name}@{alias} or models:/{name}/{versions[alias]}."
    )


class BestVersion(NamedTuple):
    """The version that answers where none is asked for.

    Attributes:
        dataset: the data set that it is trained on; empty where its tags do not say so.
        why: a sentence.
    """

    name: str
    version: str
    dataset: str
    why: str


def best_version(client: MlflowClient) -> BestVersion | None:
    """The best registered version of all model families that predict Tc.

    Versions that are shown to be better than the constant median come first: a full one of the
    ``random`` split of 3dsc before all others, then the one of the lowest validation MAE relative
    to the constant's. Without any, the same order holds among the rest. Of each family its
    ``champion`` is considered or, without one, all holders of ``champion-<dataset>-<split>``.
    None where no version of this project is registered.
    """
    found: list[tuple[tuple[object, ...], BestVersion]] = []
    for order, name in enumerate(get_family(family).model_name for family in family_names()):
        versions = _aliases(client, name)
        aliases = [CHAMPION] if CHAMPION in versions else sorted(versions)
        for alias in (a for a in aliases if a == CHAMPION or a.startswith(f"{CHAMPION}-")):
            candidate = Candidate.of(client.get_model_version(name, versions[alias]))
            tier, preference, why = _standing(candidate)
            rank = (tier, preference, order, alias)
            dataset = candidate.dataset if candidate else ""
            found.append((rank, BestVersion(name, versions[alias], dataset, why)))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def _standing(candidate: Candidate | None) -> tuple[int, tuple[object, ...], str]:
    """Sort keys of a version, and the sentence that goes with it."""
    if candidate is None:  # somebody made it champion by hand
        return 1, (), "It is the champion; its version does not say how it was evaluated."
    origin = f"the {candidate.split} split of {candidate.dataset}"
    if candidate.beats_constant:
        # Its error is that on test, which its run states.
        return 0, candidate.preference, f"The best model so far, of {origin}."
    return 2, candidate.preference, (
        f"No model is shown to be better than the constant median yet; this is the closest, of "
        f"{origin}: {candidate.describe()}."
    )  # fmt: skip


def alias_holder(client: MlflowClient, name: str, alias: str) -> ModelVersion | None:
    """The version that holds an alias; None where no version does."""
    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _aliases(client: MlflowClient, name: str) -> dict[str, str]:
    """Alias -> version number; empty for a model that is not registered."""
    try:
        model = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise
    return {alias: str(number) for alias, number in model.aliases.items()}
