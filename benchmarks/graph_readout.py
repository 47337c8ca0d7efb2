"""Other regressors than the head on the features of a trained graph model.

    python -m benchmarks.graph_readout RUN_ID --data 3DSC_MP.tar.xz --out FOLDER

RUN_ID is a finished run of train_alignn on 3DSC. Extra trees and a Gaussian process are fitted to
the same training materials, on the features of the head (composition and pooled states) or on its
last hidden layer. The regressor should be selected by its validation error.
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
from supervision.models.families import load_predictor
from supervision.models.graph.data import GraphSamples
from supervision.models.graph.predictor import GraphPredictor
from tracking.comparison.results import Result, predictor_folder

ANGLE_BUDGET = 40_000  # angles per batch
PCA_COMPONENTS = 48  # for the Gaussian process; distances in more dimensions are uninformative
KERNEL_FIT_MATERIALS = 1200  # for fitting the kernel; the process then uses all materials
FitPredict = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def main() -> None:
    """Compute the features, fit each regressor, print errors and write predictions."""
    options = _options()
    result = Result.read(options.run)
    predictor = load_predictor(predictor_folder(result.id))
    if not isinstance(predictor, GraphPredictor):
        raise SystemExit(
            f"Run {options.run} is of the {predictor.model_family} family, not the graph family."
        )
    dataset = load_dataset("3dsc", options.data)
    graphs, rejects = featurize(predictor.graphs, dataset.crystals)
    materials = group_materials(dataset.without(rejects).crystals)
    split = make_split(materials, result.split, seed=int(result.params["seed"]))
    if split.hash != result.split_hash:
        raise SystemExit(f"Run {options.run} was trained on other materials than {options.data}.")
    samples = GraphSamples(materials, [], np.zeros(len(materials)), graphs, 1, ANGLE_BUDGET, 0)
    parts = np.array([split.parts[m.id] for m in materials])
    report(result, materials, parts, compute_features(predictor, samples), options.out)


def compute_features(predictor: GraphPredictor, samples: GraphSamples) -> dict[str, np.ndarray]:
    """``features`` ``[n, f]``, last hidden ``layer`` ``[n, h]`` and predicted ``tc`` ``[n]``.

    Each is the mean over the structures of a material; features are standardised.
    """
    structures, owners = samples.training_samples()
    found: dict[str, list[np.ndarray]] = {"features": [], "layer": [], "tc": []}
    model = predictor.model.eval()
    hidden, last = model.head.perceptron[:-1], model.head.perceptron[-1]
    with torch.inference_mode():
        for batch in tqdm(samples.batches(structures), desc="features", leave=False):
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


def extra_trees(features: np.ndarray, target: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Predictions of extra trees; each split chooses from 30% of the features."""
    trees = ExtraTreesRegressor(300, max_features=0.3, n_jobs=-1, random_state=42)
    return trees.fit(features, target).predict(queries)


def gaussian_process(features: np.ndarray, target: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Predictions of a Gaussian process (Matern kernel, nu = 0.5) on principal components."""
    components = PCA(PCA_COMPONENTS, random_state=42).fit(features)
    scale = np.sqrt(components.explained_variance_[0])
    train, query = (components.transform(x) / scale for x in (features, queries))
    mean, deviation = target.mean(), target.std()
    subset = np.random.default_rng(42).permutation(len(train))[:KERNEL_FIT_MATERIALS]
    kernel = ConstantKernel() * Matern(nu=0.5) + WhiteKernel(0.1)
    kernel_fit = GaussianProcessRegressor(kernel).fit(
        train[subset], (target[subset] - mean) / deviation
    )
    process = GaussianProcessRegressor(kernel_fit.kernel_, optimizer=None)
    return process.fit(train, (target - mean) / deviation).predict(query) * deviation + mean


REGRESSORS: dict[str, tuple[FitPredict, str]] = {
    "extra trees on features": (extra_trees, "features"),
    "extra trees on last layer": (extra_trees, "layer"),
    "Gaussian process on last layer": (gaussian_process, "layer"),
}


def report(
    result: Result,
    materials: Sequence[Material],
    parts: np.ndarray,
    states: dict[str, np.ndarray],
    out: Path | None,
) -> None:
    """Print validation and test errors, and paired differences to the head; write predictions."""
    tc = np.array([m.tc for m in materials])
    train, val, test = (parts == part for part in ("train", "val", "test"))
    print(f"\n{result.name}, {result.split} (`{result.id[:8]}`)\n")
    print("| regressor | validation MAE (K) | test MAE (K) | paired difference to the head (K) |")
    print("|---|---:|---:|---:|")
    predicted = {"head": states["tc"]}
    for name, (fit_predict, source) in REGRESSORS.items():
        root = fit_predict(states[source][train], np.sqrt(tc[train]), states[source])
        predicted[name] = np.maximum(root, 0) ** 2
    for name, tc_pred in predicted.items():
        low, high = bootstrap_intervals(tc[test], tc_pred[test])["mae"]
        paired = paired_bootstrap(tc[test], tc_pred[test], states["tc"][test])
        difference = f"{paired['difference']:+.2f} ({paired['low']:+.2f} to {paired['high']:+.2f})"
        print(
            f"| {name} | {mae(tc[val], tc_pred[val]):.2f} | {mae(tc[test], tc_pred[test]):.2f} "
            f"({low:.2f} to {high:.2f}) | {difference if name in REGRESSORS else ''} |"
        )
        if out and name in REGRESSORS:
            folder = out / result.split
            folder.mkdir(parents=True, exist_ok=True)
            table = pd.DataFrame({"material_id": [m.id for m in materials], "split": parts})
            stem = f"graph states read by {name.replace(' on ', ' on the ')}".replace(" ", "_")
            table.assign(tc=tc, tc_pred=tc_pred).to_csv(folder / f"{stem}.csv", index=False)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", help="id of a finished run of train_alignn on 3DSC")
    parser.add_argument("--data", required=True, help="the 3DSC archive or folder")
    parser.add_argument("--out", type=Path, help="folder for the predictions as CSV")
    return parser.parse_args()


if __name__ == "__main__":
    main()
