"""Test a model on a data set that it was not trained on, and diagnose the difference.

mlflow run . -e eval_zero_shot --env-manager local -P source=jarvis_supercon
python -m entrypoints.eval_zero_shot --source jv_supercon_tc_alignn --split family
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from entrypoints.experiment_options import experiment_of, experiment_options
from entrypoints.options import Given, make_app, parse, run_cli
from supervision.data.crystals import Crystal, Reject
from supervision.data.featurize import featurize
from supervision.data.quantity import Quantity
from supervision.models.families import load_predictor
from supervision.models.graph.config import GraphConfig
from supervision.models.graph.featurize import graph_featurizer
from supervision.models.graph.predictor import GraphPredictor
from supervision.models.graph.published import PublishedModel
from supervision.models.neural import MODEL_FILE, NeuralPredictor, count_parameters
from supervision.models.predictor import PROVENANCE_FILE
from supervision.models.setup import WeightsInfo
from supervision.models.weights import GraphWeights, WeightsError, catalogue_entry, get_weights
from supervision.runtime.device import pick_device
from supervision.runtime.files import sha256_of
from supervision.runtime.options import Option, option, options_of
from supervision.training.config import FitConfig
from tracking.runs import tracked_run
from tracking.zero_shot import Source, evaluate, published_training, require_unseen, train_source

TRAINED_HERE = "jarvis_supercon"
DATA = ("dataset", "data", "split", "limit", "seed", "allow_loss")


@dataclass(frozen=True)
class SourceOptions:
    """The model that is tested."""

    source: str = option(
        TRAINED_HERE, f"{TRAINED_HERE}, published weights, name:file, or a saved predictor"
    )
    source_data: str = option("", "a local copy of the source's training data")
    epochs: int = option(60, "epochs of a source that is trained here")
    learning_rate: float = option(1e-3, "learning rate of a source that is trained here")
    device: str = option("auto", "auto, cpu, cuda, ...")


def main(given: Given) -> None:
    """Evaluate a model on the test materials of a data set that it was not trained on."""

    def run() -> None:
        options = parse(SourceOptions, given)
        experiment = experiment_of(given, register=False)
        folder = Path(options.source).expanduser()
        if options.source == TRAINED_HERE:
            source = _trained_here(options, experiment.seed)
        elif folder.is_dir():
            source = _saved(folder, options.device)
        else:
            source = _published(options)
        evaluate(source, experiment, featurize_graphs)

    run_cli(tracked_run("zero-shot")(run))


def featurize_graphs(crystals: Sequence[Crystal]) -> Sequence[Reject]:
    """What has no graph, and why: the same materials are evaluated whatever the source."""
    return featurize(graph_featurizer(), crystals)[1]


def _trained_here(options: SourceOptions, seed: int) -> Source:
    """ALIGNN on random weights, trained on the JARVIS materials and nothing else."""
    epochs, rate = options.epochs, options.learning_rate
    fit_config = FitConfig(epochs=epochs, learning_rate=rate, patience=epochs)
    fetched = get_weights("none", "graph")
    predictor = GraphPredictor(GraphConfig(seed=seed), fetched, fit_config, device=options.device)
    training = train_source(predictor, TRAINED_HERE, options.source_data, featurize_graphs, seed)
    return Source(TRAINED_HERE, predictor, predictor.settings(), WeightsInfo.of(fetched), training)


def _published(options: SourceOptions) -> Source:
    """Published weights, or a checkpoint of their class, as they are."""
    name = options.source
    fetched = get_weights(name, "graph")
    row = fetched.entry
    if not fetched.pretrained or not isinstance(row, GraphWeights) or row.predicts != "Tc":
        predicts = getattr(row, "predicts", "nothing") if fetched.pretrained else "nothing yet"
        raise WeightsError(f"source={name} predicts {predicts}; a source must predict Tc.")
    if options.device not in ("auto", "cpu"):
        raise ValueError(f"device={options.device}: published models run in DGL on the CPU.")
    print(fetched.message, flush=True)
    row_name, _, file = name.partition(":")
    shown = f"{row_name} ({Path(file).name})" if file else row_name
    training = published_training(row.trained_on_dataset, options.source_data, featurize_graphs)
    return Source(shown, PublishedModel(fetched), {}, WeightsInfo.of(fetched), training)


def _saved(folder: Path, device: str) -> Source:
    """A predictor that this project saved, trained on another data set."""
    predictor = load_predictor(folder)
    path = folder / PROVENANCE_FILE
    provenance = json.loads(path.read_text()) if path.is_file() else {}
    Quantity.of_model(provenance).require_tc("eval_zero_shot")
    shown = folder.name
    if provenance:
        shown = f"{predictor.model_family} {provenance['run_id'][:8]}"
    weights = WeightsInfo(source=str(folder), choice="A saved predictor.")
    if isinstance(predictor, NeuralPredictor):
        predictor.device = pick_device(device)
        predictor.size = count_parameters(predictor.model)
        row = catalogue_entry(str(predictor.weights["name"]), predictor.model_family)
        weights = replace(
            weights,
            name=shown,
            hash=sha256_of(folder / MODEL_FILE),
            license=row.license if predictor.weights["sha256"] else "none",
            pretrained=True,
        )
    return Source(shown, predictor, {}, weights, require_unseen(provenance, shown))


def _options_of_data() -> list[Option]:
    found = experiment_options(*DATA)
    return [replace(o, default="3dsc") if o.name == "dataset" else o for o in found]


app = make_app(
    main,
    [("Source", options_of(SourceOptions)), ("Data", _options_of_data())],
    "Evaluate a model on the test materials of a data set that it was not trained on.",
)

if __name__ == "__main__":
    app()
