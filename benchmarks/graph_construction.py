"""How much the predictions of published graph models change with this project's graphs.

    python -m benchmarks.graph_construction --data 3DSC_MP.tar.xz

Each model predicts random ordered crystals of 3DSC twice: on graphs that alignn builds with the
options that the weights were trained with, and on this project's graphs (neighbours at equal
distance kept, a bond to an atom's own image once). The spread of the predictions is printed for
comparison. Unavailable weights are listed with the reason.
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
from supervision.models.graph.backbone import forward_states
from supervision.models.graph.batch import collate
from supervision.models.graph.featurize import build_crystal_graph
from supervision.models.graph.model import pool
from supervision.models.graph.predictor import neighbourhood_of
from supervision.models.graph.published import PublishedModel
from supervision.models.weights import Fetched, WeightsError, get_weights
from supervision.models.weights.catalogue import WEIGHTS


def main() -> None:
    """Print a row for every graph model in the catalogue."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="the 3DSC archive or folder")
    parser.add_argument("--structures", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    crystals = choose(load_dataset("3dsc", options.data).crystals, options.structures, options.seed)
    print(f"\n{len(crystals)} ordered structures.\n")
    print("| weights | crystals | spread of predictions | median change | 95% | maximum | rank |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for entry in WEIGHTS.values():
        if entry.model_family != "graph":
            continue
        try:
            fetched = get_weights(entry.name, "graph")
        except WeightsError as error:
            print(f"| {entry.name} | unavailable: {str(error)[:120]} | | | | | |")
            continue
        alignn, ours = predictions(fetched, crystals)
        change = np.abs(alignn - ours)
        print(
            f"| {entry.name} | {len(alignn)} | {alignn.std():.3f} | {np.median(change):.4f} "
            f"| {np.quantile(change, 0.95):.4f} | {change.max():.3f} "
            f"| {spearmanr(alignn, ours).statistic:.4f} |"
        )


def choose(crystals: Sequence[Crystal], count: int, seed: int) -> list[Crystal]:
    """Random ordered crystals. Raises ValueError if there are fewer than ``count``."""
    chosen: list[Crystal] = []
    for index in np.random.default_rng(seed).permutation(len(crystals)):
        if crystals[index].structure.is_ordered:
            chosen.append(crystals[index])
        if len(chosen) == count:
            return chosen
    raise ValueError(f"The data set has only {len(chosen)} ordered structures, not {count}.")


def predictions(fetched: Fetched, crystals: Sequence[Crystal]) -> tuple[np.ndarray, np.ndarray]:
    """Predictions on alignn's graphs and on this project's, ``[n]`` each."""
    model = PublishedModel(fetched)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a warning of numpy for each structure
        alignn = model.predict(crystals)
    neighbourhood = neighbourhood_of(fetched)
    ours = []
    with torch.inference_mode():
        for crystal in tqdm(crystals, desc="ours", leave=False):
            batch = collate([build_crystal_graph(crystal, neighbourhood, folded=True)])
            mean, _ = pool(forward_states(model.net, batch)[-1], batch)
            ours.append(float(model.net.link(model.net.fc(mean))))
    return alignn, np.array(ours)


if __name__ == "__main__":
    main()
