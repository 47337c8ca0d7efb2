"""A tiny release: trees on the composition of a few materials, and a model distilled from them."""

import json

from supervision.answer.answerer import ANSWER_FOLDER
from supervision.answer.known import KnownMaterials
from supervision.data.crystals import group_materials
from supervision.data.datasets import load_dataset
from supervision.models.composition.config import CompositionConfig
from supervision.models.composition.predictor import CompositionPredictor
from supervision.models.distilled.distil import distil
from supervision.models.predictor import PROVENANCE_FILE
from supervision.runtime.files import sha256_of

VERSION = "0.0.1"
DESCRIPTIONS = {"ensemble": "MAE 1 K on novel", "fast": "MAE 2 K on novel"}


def write_release(package):
    """Write the package ``released`` with the models ``ensemble``, the default, and ``fast``."""
    crystals = load_dataset("classics").crystals
    materials = group_materials(crystals[:40])
    trees = CompositionPredictor(
        CompositionConfig(model="boosting", trees=10, calibrate=True), quiet=True
    )
    trees.fit(materials, materials[:5])
    fast = distil(trees, trees, crystals[40:100])
    for name, predictor in {"ensemble": trees, "fast": fast}.items():
        folder = package / name
        (folder / ANSWER_FOLDER).mkdir(parents=True)
        predictor.save(folder)
        KnownMaterials.of(materials).save(folder / ANSWER_FOLDER)
        provenance = {"run_id": f"released-{VERSION}/{name}", "dataset": "3dsc"}
        (folder / PROVENANCE_FILE).write_text(json.dumps(provenance))
    files = sorted(path for path in package.rglob("*") if path.is_file())
    manifest = {
        "version": VERSION,
        "default": "ensemble",
        "fast": "fast",
        "models": {n: {"path": n, "description": text} for n, text in DESCRIPTIONS.items()},
        "files": {path.relative_to(package).as_posix(): sha256_of(path) for path in files},
    }
    (package / "__init__.py").touch()
    (package / "manifest.json").write_text(json.dumps(manifest))
    return package
