"""The graph family: graphs of crystals and ALIGNN."""

from collections.abc import Sequence

from supervision.data.crystals import Crystal, Reject
from supervision.models.families import ModelFamily
from supervision.models.graph.config import GraphConfig, GraphFitConfig
from supervision.models.setup import ModelSetup, no_images


def graph_setup(
    weights: str, device: str, config: GraphConfig, fit_config: GraphFitConfig
) -> ModelSetup:
    """A graph model that starts from these weights; prints which they are.

    Raises WeightsError where they are unavailable, ValueError for a device that is.
    """
    from supervision.data.featurize import featurize
    from supervision.models.graph.predictor import GraphPredictor
    from supervision.models.neural import neural_setup
    from supervision.models.weights import get_weights

    fetched = get_weights(weights, "graph")
    print(fetched.message, flush=True)
    predictor = GraphPredictor(config, fetched, fit_config, device=device)

    def featurize_graphs(crystals: Sequence[Crystal]) -> Sequence[Reject]:
        return featurize(predictor.graphs, crystals)[1]

    return neural_setup(predictor, fetched, featurize_graphs, no_images)


FAMILY = ModelFamily(
    name="graph",
    reads="the crystal's graph with ALIGNN",
    entry_point="train_alignn",
    configs=(GraphConfig, GraphFitConfig),
    setup=graph_setup,
    predictor="supervision.models.graph.predictor:GraphPredictor",
    serving_packages=(
        "filelock", "gemmi", "jarvis-tools", "mlflow", "numpy", "pandas", "pymatgen",
        "safetensors", "torch", "tqdm",
    ),
)  # fmt: skip
