"""Baseline of the vision family: extra trees on colour statistics, without a transformer.

    python -m benchmarks.colour_statistics    # a few minutes: 3DSC, random and family split

Reads ../shared/data/3dsc/3DSC_MP.tar.xz, or the file given with --data. Each image of a training
material is a sample for extra trees. The prediction for a material is the mean in kelvin over its
images. The difference to the vision model shows what the transformer contributes.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.ensemble import ExtraTreesRegressor
from tqdm.auto import tqdm

from supervision.data.crystals import Material, group_materials
from supervision.data.datasets.load import load_dataset
from supervision.data.splits import make_split
from supervision.evaluation.metrics import bootstrap_intervals, constant_median, mae
from supervision.models.vision.colour_statistics import colour_statistics
from supervision.models.vision.data import fixed_views, image_batches
from supervision.models.vision.featurize import featurize_scenes
from supervision.models.vision.views import select_views

ARCHIVE = "../shared/data/3dsc/3DSC_MP.tar.xz"


def main() -> None:
    """Read the data, draw the images, fit and evaluate on each split."""
    options = _options()
    dataset = load_dataset("3dsc", options.data)
    scenes, rejects = featurize_scenes(dataset.crystals)
    materials = group_materials(dataset.without(rejects).crystals)
    images, owners = fixed_views(materials, select_views(options.views))
    batches = tqdm(image_batches(images, scenes, 64), desc="colour statistics", leave=False)
    statistics = torch.cat([colour_statistics(batch) for batch in batches]).numpy()
    print(f"{len(materials)} materials, {options.views} views each")
    print("split    part  materials  extra trees: MAE (95% interval)        constant median")
    for kind in ("random", "family"):
        predictions = evaluate(materials, statistics, np.array(owners), kind)
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)
            predictions.to_csv(options.out / f"colour_statistics_{kind}.csv", index=False)


def evaluate(
    materials: Sequence[Material], statistics: np.ndarray, owners: np.ndarray, kind: str
) -> pd.DataFrame:
    """Fit on the images of training materials; print validation and test errors.

    Returns a table with material_id, split, tc and tc_pred (in kelvin) of every material.
    """
    split = make_split(materials, kind)
    part = np.array([split.parts[m.id] for m in materials])
    tc = np.array([m.tc for m in materials])
    rows = part[owners] == "train"
    trees = ExtraTreesRegressor(300, max_features=0.5, n_jobs=-1, random_state=42)
    trees.fit(statistics[rows], np.sqrt(tc[owners[rows]]))
    kelvin = trees.predict(statistics) ** 2
    tc_pred = np.bincount(owners, weights=kelvin) / np.bincount(owners)
    for name in ("val", "test"):
        chosen = part == name
        low, high = bootstrap_intervals(tc[chosen], tc_pred[chosen])["mae"]
        baseline = mae(tc[chosen], constant_median(tc[part == "train"], int(chosen.sum())))
        print(
            f"{kind:8} {name:5} {chosen.sum():9}  {mae(tc[chosen], tc_pred[chosen]):6.2f} K "
            f"({low:.2f} to {high:.2f}) {baseline:28.2f} K"
        )
    ids = [m.id for m in materials]
    return pd.DataFrame({"material_id": ids, "split": part, "tc": tc, "tc_pred": tc_pred})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default=ARCHIVE, help="3DSC: archive or unpacked folder")
    parser.add_argument("--out", type=Path, help="folder for the predictions as CSV")
    parser.add_argument("--views", type=int, default=6, help="views per material, 1 to 18")
    return parser.parse_args()


if __name__ == "__main__":
    main()
