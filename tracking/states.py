"""How far the states of a trained graph model go with another reader than its own head.

    python -m tracking.states RUN_ID --data 3DSC_MP.tar.xz --out FOLDER

RUN_ID is a finished run of train_alignn on 3DSC. Its network reads every structure; extra trees and
a Gaussian process then learn Tc from the same features that its head reads, on the same training
materials. What they could be set to was left as it is here; validation is printed, not used.
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

from supervision.crystals import Material, group_materials
from supervision.datasets import load_dataset
from supervision.graph.data import GraphSamples
from supervision.graph.predictor import GraphPredictor
from supervision.metrics import bootstrap_intervals, mae, paired_bootstrap
from supervision.predictor import load_predictor
from supervision.prepared import prepare
from supervision.splits import make_split
from tracking.results import Result, predictor_folder

ANGLES = 40_000  # read at once
COMPONENTS = 48  # of the features, for the Gaussian process: distances in more say little
FITTED = 1200  # materials that its kernel is fitted on; all of them are then used
Reader = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def main() -> None:
    """Read the features, fit each reader, print and write what they predict."""
    options = _options()
    result = Result.read(options.run)
    folder = predictor_folder(result)
    if folder is None:
        raise SystemExit(f"Run {options.run} kept no predictor.")
    predictor = load_predictor(folder)
    if not isinstance(predictor, GraphPredictor):
        raise SystemExit(f"Run {options.run} is of the {predictor.pipeline} path, not the graph's.")
    dataset = load_dataset("3dsc", options.data)
    graphs, rejects = prepare(predictor.graphs, dataset.crystals)
    materials = group_materials(dataset.without(rejects).crystals)
    split = make_split(materials, result.split, seed=int(result.params["seed"]))
    if split.hash != result.split_hash:
        raise SystemExit(f"Run {options.run} was made on other materials than {options.data}.")
    samples = GraphSamples(materials, [], np.zeros(len(materials)), graphs, 1, ANGLES, 0)
    features, own = read(predictor, samples)
    parts = np.array([split.parts[m.id] for m in materials])
    report(result, materials, parts, features, own, options.out)


def read(predictor: GraphPredictor, samples: GraphSamples) -> tuple[np.ndarray, np.ndarray]:
    """Standardised features of every material, ``[n, f]``, and its own head's Tc, ``[n]``.

    Both are means over the material's structures.
    """
    structures, owners = samples.of_training()
    features, tc = [], []
    model = predictor.model.eval()
    with torch.inference_mode():
        for batch in samples.read(structures, "states"):
            found = model.features(batch)
            features.append(((found - model.feature_mean) / model.feature_std).numpy())
            tc.append(predictor.target.decode(model.regress(found).numpy()))
    joined, count = np.concatenate(features), np.bincount(owners)
    mean = np.stack([np.bincount(owners, column) / count for column in joined.T], axis=1)
    return mean, np.bincount(owners, np.concatenate(tc)) / count


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


READERS: dict[str, Reader] = {"extra trees": extra_trees, "Gaussian process": gaussian_process}


def report(
    result: Result,
    materials: Sequence[Material],
    parts: np.ndarray,
    features: np.ndarray,
    own: np.ndarray,
    out: Path | None,
) -> None:
    """Errors of each reader on validation and test, the paired difference to the head's."""
    tc = np.array([m.tc for m in materials])
    train, val, test = (parts == part for part in ("train", "val", "test"))
    print(f"\n{result.name}, {result.split} (`{result.id[:8]}`)\n")
    print("| read by | validation MAE (K) | test MAE (K) | less the head's, paired |")
    print("|---|---:|---:|---:|")
    predicted = {"its own head": own} | {
        name: np.maximum(reader(features[train], np.sqrt(tc[train]), features), 0) ** 2
        for name, reader in READERS.items()
    }
    for name, tc_pred in predicted.items():
        low, high = bootstrap_intervals(tc[test], tc_pred[test])["mae"]
        paired = paired_bootstrap(tc[test], tc_pred[test], own[test])
        said = f"{paired['difference']:+.2f} ({paired['low']:+.2f} to {paired['high']:+.2f})"
        print(
            f"| {name} | {mae(tc[val], tc_pred[val]):.2f} | {mae(tc[test], tc_pred[test]):.2f} "
            f"({low:.2f} to {high:.2f}) | {said if name in READERS else ''} |"
        )
        if out and name in READERS:
            out.mkdir(parents=True, exist_ok=True)
            table = pd.DataFrame({"material_id": [m.id for m in materials], "split": parts})
            path = out / f"{name.replace(' ', '_')}_on_graph_states_{result.split}.csv"
            table.assign(tc=tc, tc_pred=tc_pred).to_csv(path, index=False)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", help="id of a finished run of train_alignn on 3DSC")
    parser.add_argument("--data", required=True, help="the 3DSC archive or folder")
    parser.add_argument("--out", type=Path, help="folder for the predictions as CSV")
    return parser.parse_args()


if __name__ == "__main__":
    main()
