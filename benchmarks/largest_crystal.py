"""Time and memory for the largest supported crystals, for each model family.

    python -m benchmarks.largest_crystal

A crystal of 1,000 atoms at random positions (one per box of a grid) has no symmetry that would
reduce its graph. A close-packed crystal of 864 atoms with small displacements has the most bonds.
Each family predicts them with random weights in a separate process, after a small crystal. Memory
is the increase of the peak memory of the process.
"""

import resource
import time
from multiprocessing import get_context

import numpy as np
from pymatgen.core import Lattice, Structure

from supervision.data.cell_checks import MAX_ATOMS
from supervision.data.crystals import Crystal, group_materials
from supervision.data.datasets import load_dataset
from supervision.models.composition.config import CompositionConfig
from supervision.models.composition.predictor import CompositionPredictor
from supervision.models.predictor import Predictor
from supervision.training.config import FitConfig

MODEL_FAMILIES = ("vision", "graph", "composition")


def crystals() -> dict[str, Crystal]:
    """The largest crystals by description."""
    rng = np.random.default_rng(0)
    boxes = np.stack(np.meshgrid(*[np.arange(10)] * 3), axis=-1).reshape(-1, 3)
    positions = (boxes + 0.6 * rng.random((MAX_ATOMS, 3))) / 10
    random = Structure(Lattice.cubic(25), ["Nb"] * MAX_ATOMS, positions)
    corners: list[list[float]] = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    packed = Structure(Lattice.cubic(4), ["Cu"] * 4, corners) * (6, 6, 6)
    packed.perturb(0.02)
    found = {f"{len(random):,} random atoms": random, f"{len(packed)} close-packed atoms": packed}
    return {name: Crystal(name, "", s.to(fmt="cif")) for name, s in found.items()}


def untrained(model_family: str) -> Predictor:
    """A predictor with random weights, or with trees fitted to a few crystals."""
    if model_family == "vision":
        from supervision.models.vision.config import VisionConfig
        from supervision.models.vision.predictor import VisionPredictor
        from supervision.models.weights import get_weights

        return VisionPredictor(VisionConfig(), get_weights("none", "vision"), FitConfig())
    if model_family == "graph":
        from supervision.models.graph.config import GraphConfig
        from supervision.models.graph.predictor import GraphPredictor
        from supervision.models.weights import get_weights

        return GraphPredictor(GraphConfig(), get_weights("none", "graph"), FitConfig())
    predictor = CompositionPredictor(CompositionConfig())
    materials = group_materials(load_dataset("classics").crystals[:40])
    predictor.fit(materials[:30], materials[30:])
    return predictor


def measure(model_family: str) -> None:
    """Print a table row for each crystal."""
    predictor = untrained(model_family)
    predictor.predict(load_dataset("classics").crystals[:1])
    for name, crystal in crystals().items():
        before, start = _peak_mib(), time.perf_counter()
        predictor.predict([crystal])
        seconds, increase = time.perf_counter() - start, _peak_mib() - before
        print(f"| {model_family} | {name} | {seconds:.1f} | {increase} |", flush=True)


def _peak_mib() -> int:
    """Peak resident memory of the process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def main() -> None:
    """Print the table."""
    print("| model family | crystal | seconds | MiB |\n|---|---|---:|---:|")
    for model_family in MODEL_FAMILIES:
        process = get_context("spawn").Process(target=measure, args=(model_family,))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
