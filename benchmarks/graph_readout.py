"""How far the states of a trained graph model go with another reader than its own head.

    python -m benchmarks.graph_readout RUN_ID --data 3DSC_MP.tar.xz --out FOLDER

RUN_ID is a finished run of train_alignn on 3DSC. Its network reads every structure; extra trees and
a Gaussian process then learn Tc of the same training materials, from the features that the head
reads (composition and pooled states) or from what its last hidden layer makes of them. What is best
on validation is the one to believe.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from tqdm.auto import tqdm

from supervision.data.crystals import Material, group_materials
from supervision.data.datasets import load_dataset
from supervision.data.featurize import featurize
from supervision.data.splits import make_split
from supervision.evaluation.metrics import bootstrap_intervals, mae, paired_bootstrap
from supervision.models.graph.data import GraphSamples
from supervision.models.graph.predictor import GraphPredictor
from supervision.models.predictor import load_predictor
from tracking.comparison.results import Result, predictor_folder

ANGLES = 40_000  # read at once
COMPONENTS = 48  # of the features, for the Gaussian process: distances in more say little
FITTED = 1200  # materials that its kernel is fitted on; all of them are then used
SupportsPredict = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def main() -> None:
    """Read the features, fit each reader, print and write what they predict."""
    options = _options()
    result = Result.read(options.run)
    predictor = load_predictor(predictor_folder(result))
    if not isinstance(predictor, GraphPredictor):
        raise SystemExit(
            f"Run {options.run} is of the {predictor.model_family} path, not the graph's."
        )
    dataset = load_dataset("3dsc", options.data)
    graphs, rejects = featurize(predictor.graphs, dataset.crystals)
    materials = group_materials(dataset.without(rejects).crystals)
    split = make_split(materials, result.split, seed=int(result.params["seed"]))
    if split.hash != result.split_hash:
        raise SystemExit(f"Run {options.run} was made on other materials than {options.data}.")
    samples = GraphSamples(materials, [], np.zeros(len(materials)), graphs, 1, ANGLES, 0)
    parts = np.array([split.parts[m.id] for m in materials])
    report(result, materials, parts, read(predictor, samples), options.out)


def read(predictor: GraphPredictor, samples: GraphSamples) -> dict[str, np.ndarray]:
    """``features`` ``[n, f]``, ``layer`` ``[n, h]`` and the head's ``tc`` ``[n]`` of all materials.

    Each is the mean over the material's structures; features are standardised.
    """
    structures, owners = samples.of_training()
    found: dict[str, list[np.ndarray]] = {"features": [], "layer": [], "tc": []}
    model = predictor.model.eval()
    hidden, last = model.head.perceptron[:-1], model.head.perceptron[-1]
    with torch.inference_mode():
        for batch in tqdm(samples.batches(structures), desc="states", leave=False):
            features = (model.features(batch) - model.feature_mean) / model.feature_std
            layer = hidden(model.head.embed(features))
            found["features"].append(features.numpy())
            found["layer"].append(layer.numpy())
            found["tc"].append(predictor.target.decode(last(layer).numpy()))
    count = np.bincount(owners)
    joined = {name: np.concatenate(parts).reshape(len(owners), -1) for name, parts in found.items()}
    mean = {
        name: np.stack([np.bincount(owners, column) / count for column in rows.T], axis=1)
        for name, rows in joined.items()
    }
    return mean | {"tc": mean["tc"][:, 0]}


def extra_trees(features: np.ndarray, target: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Trees of which each split chooses from three in ten of the features."""
    trees = ExtraTreesRegressor(300, max_features=0.3, n_jobs=-1, random_state=42)
    return trees.fit(features, target).predict(asked)


def gaussian_process(features: np.ndarray, target: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Matern's rough kernel on the leading components of the features."""
    components = PCA(COMPONENTS, random_state=42).fit(features)
    scale = np.sqrt(components.explained_variance_[0])
    near, far = (components.transform(x) / scale for x in (features, asked))
    mean, deviation = target.mean(), target.std()
    some = np.random.default_rng(42).permutation(len(near))[:FITTED]
    kernel = ConstantKernel() * Matern(nu=0.5) + WhiteKernel(0.1)
    sketch = GaussianProcessRegressor(kernel).fit(near[some], (target[some] - mean) / deviation)
    process = GaussianProcessRegressor(sketch.kernel_, optimizer=None)
    return process.fit(near, (target - mean) / deviation).predict(far) * deviation + mean


READERS: dict[str, tuple[SupportsPredict, str]] = {
    "extra trees on its features": (extra_trees, "features"),
    "extra trees on its last layer": (extra_trees, "layer"),
    "Gaussian process on its last layer": (gaussian_process, "layer"),
}


def report(
    result: Result,
    materials: Sequence[Material],
    parts: np.ndarray,
    states: dict[str, np.ndarray],
    out: Path | None,
) -> None:
    """Errors of each reader on validation and test, the paired difference to the head's."""
    tc = np.array([m.tc for m in materials])
    train, val, test = (parts == part for part in ("train", "val", "test"))
    print(f"\n{result.name}, {result.split} (`{result.id[:8]}`)\n")
    print("| read by | validation MAE (K) | test MAE (K) | less the head's, paired |")
    print("|---|---:|---:|---:|")
    predicted = {"its own head": states["tc"]}
    for name, (reader, source) in READERS.items():
        root = reader(states[source][train], np.sqrt(tc[train]), states[source])
        predicted[name] = np.maximum(root, 0) ** 2
    for name, tc_pred in predicted.items():
        low, high = bootstrap_intervals(tc[test], tc_pred[test])["mae"]
        paired = paired_bootstrap(tc[test], tc_pred[test], states["tc"][test])
        said = f"{paired['difference']:+.2f} ({paired['low']:+.2f} to {paired['high']:+.2f})"
        print(
            f"| {name} | {mae(tc[val], tc_pred[val]):.2f} | {mae(tc[test], tc_pred[test]):.2f} "
            f"({low:.2f} to {high:.2f}) | {said if name in READERS else ''} |"
        )
        if out and name in READERS:
            folder = out / result.split  # a table is named after its file, whatever the split
            folder.mkdir(parents=True, exist_ok=True)
            table = pd.DataFrame({"material_id": [m.id for m in materials], "split": parts})
            stem = f"graph states read by {name.replace('its', 'the')}".replace(" ", "_")
            table.assign(tc=tc, tc_pred=tc_pred).to_csv(folder / f"{stem}.csv", index=False)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", help="id of a finished run of train_alignn on 3DSC")
    parser.add_argument("--data", required=True, help="the 3DSC archive or folder")
    parser.add_argument("--out", type=Path, help="folder for the predictions as CSV")
    return parser.parse_args()


if __name__ == "__main__":
    main()
