"""How far the answers of published graph models move when they read our graphs, not alignn's.

    python -m benchmarks.recipes --data 3DSC_MP.tar.xz

Ordered crystals of 3DSC, drawn at random, each read twice by the same weights under the same class:
on the graph that alignn builds by the recipe the weights learned from, and on ours (ties kept, a
bond to an atom's own image once). Beside it how far the model's answers lie apart from each other,
which says how much the move is. Weights that cannot be had are listed with the reason.
"""

import argparse
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from scipy.stats import spearmanr
from tqdm.auto import tqdm

from supervision.data.crystals import Crystal
from supervision.data.datasets import load_dataset
from supervision.models.graph.backbone import walk
from supervision.models.graph.batch import collate
from supervision.models.graph.featurize import graph_of
from supervision.models.graph.model import pool
from supervision.models.graph.predictor import neighbourhood_of
from supervision.models.graph.published import PublishedModel
from supervision.models.weights import Fetched, WeightsError, get_weights
from supervision.models.weights.catalogue import WEIGHTS


def main() -> None:
    """Print a row for every graph model of the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="the 3DSC archive or folder")
    parser.add_argument("--structures", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    crystals = choose(load_dataset("3dsc", options.data).crystals, options.structures, options.seed)
    print(f"\n{len(crystals)} ordered structures.\n")
    print("| weights | answers | spread of its answers | moved by, median | 95% | most | rank |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for row in WEIGHTS.values():
        if row.model_family != "graph":
            continue
        try:
            fetched = get_weights(row.name, "graph")
        except WeightsError as error:
            print(f"| {row.name} | cannot be had: {str(error)[:120]} | | | | | |")
            continue
        theirs, ours = answers(fetched, crystals)
        moved = np.abs(theirs - ours)
        print(
            f"| {row.name} | {len(theirs)} | {theirs.std():.3f} | {np.median(moved):.4f} "
            f"| {np.quantile(moved, 0.95):.4f} | {moved.max():.3f} "
            f"| {spearmanr(theirs, ours).statistic:.4f} |"
        )


def choose(crystals: Sequence[Crystal], count: int, seed: int) -> list[Crystal]:
    """Ordered crystals at random. Raises ValueError where there are not as many."""
    chosen: list[Crystal] = []
    for index in np.random.default_rng(seed).permutation(len(crystals)):
        if crystals[index].structure.is_ordered:
            chosen.append(crystals[index])
        if len(chosen) == count:
            return chosen
    raise ValueError(f"The data set has {len(chosen)} ordered structures, not {count}.")


def answers(fetched: Fetched, crystals: Sequence[Crystal]) -> tuple[np.ndarray, np.ndarray]:
    """The same model on alignn's graphs and on ours, ``[n]`` each."""
    model = PublishedModel(fetched)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numpy's, one a structure
        theirs = model.predict(crystals)
    around = neighbourhood_of(fetched)
    ours = []
    with torch.inference_mode():
        for crystal in tqdm(crystals, desc="ours", leave=False):
            batch = collate([graph_of(crystal, around, folded=True)])
            mean, _ = pool(walk(model.net, batch)[-1], batch)
            ours.append(float(model.net.link(model.net.fc(mean))))
    return theirs, np.array(ours)


if __name__ == "__main__":
    main()
