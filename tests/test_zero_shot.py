"""Zero-shot evaluation: published models, sources trained here, and no leak of test materials."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from described import description_of
from example_structures import la2cuo4, mgb2, nb3sn, niobium
from pymatgen.io.vasp import Poscar
from typer.testing import CliRunner

from entrypoints import eval_zero_shot
from supervision.data.crystals import Crystal, group_materials
from supervision.data.datasets import load_dataset
from supervision.data.splits import make_split
from supervision.experiment.spec import DataSplits
from supervision.models.graph.backbone import create_backbone
from supervision.models.graph.predictor import neighbourhood_of
from supervision.models.graph.published import PublishedModel
from supervision.models.weights import WeightsError, get_weights
from tracking.serving.downloads import download
from tracking.zero_shot import published_training, require_unseen, train_source

ROOT = Path(__file__).resolve().parents[1]
SHAPE = {"alignn_layers": 1, "gcn_layers": 1, "hidden_features": 16}
MODELS = {  # name: class of alignn, and the options with which alignn builds its graphs
    "jv_supercon_tc_alignn": ("alignn", {"cutoff": 8.0, "use_canonize": True}),
    "alex_supercon_Tc": ("alignn_atomwise", {"cutoff": 5.0, "neighbor_strategy": "radius_graph"}),
    "alignn_ff": ("alignn_atomwise", {"cutoff": 8.0, "use_canonize": False}),
}


def crystal(structure, name="x"):
    return Crystal(name, structure.formula, structure.to(fmt="cif"))


def checkpoint(folder, name, **config):
    """Write a checkpoint in the format of alignn; returns its weights option and its network."""
    torch.manual_seed(0)
    config = config | {"model": {"name": MODELS[name][0]} | SHAPE}
    net = create_backbone(MODELS[name][0], "dgl", config).eval()
    torch.save({"model": net.state_dict()}, folder / "best_model.pt")
    (folder / "config.json").write_text(json.dumps(config))
    return f"{name}:{folder / 'best_model.pt'}", net


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("make", [nb3sn, mgb2, niobium], ids=lambda f: f.__name__)
def test_a_prediction_for_an_ordered_crystal_equals_that_of_alignn(own_cache, tmp_path, name, make):
    from alignn.graphs import Graph
    from jarvis.core.atoms import pmg_to_atoms

    source, net = checkpoint(tmp_path, name)
    model = PublishedModel(get_weights(source, "graph"))
    atoms = pmg_to_atoms(crystal(make()).structure)
    graphs = [*Graph.atom_dgl_multigraph(atoms, **MODELS[name][1]), torch.eye(3)]
    with torch.no_grad():
        expected = net(graphs)
    expected = float(expected["out"] if isinstance(expected, dict) else expected)
    assert model.predict([crystal(make())])[0] == pytest.approx(expected, abs=1e-5)


def test_graphs_are_built_as_the_published_configuration_says(own_cache, tmp_path):
    source, _ = checkpoint(tmp_path, "alignn_ff")
    near = PublishedModel(get_weights(source, "graph")).predict([crystal(nb3sn())])
    source, _ = checkpoint(tmp_path, "alignn_ff", neighbor_strategy="radius_graph", cutoff=4.0)
    within = PublishedModel(get_weights(source, "graph")).predict([crystal(nb3sn())])
    assert abs(near - within) > 1e-4


def test_predictions_depend_on_dopants_and_vacancies(own_cache, tmp_path):
    source, _ = checkpoint(tmp_path, "jv_supercon_tc_alignn")
    cells = [la2cuo4(), la2cuo4(strontium=0.05), la2cuo4(strontium=0.1, oxygen=0.95)]
    predicted = PublishedModel(get_weights(source, "graph")).predict([crystal(c) for c in cells])
    assert len(set(np.round(predicted, 6))) == 3


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "config.json").write_text("{broken"), "config.json cannot be read"),
        (lambda f: (f / "config.json").write_text("[1]"), "config.json is not a configuration"),
        (
            lambda f: torch.save(torch.zeros(3), f / "best_model.pt"),
            "best_model.pt: the checkpoint",
        ),
        (
            lambda f: (f / "best_model.pt").write_bytes(b"no"),
            "best_model.pt: the checkpoint is dam",
        ),
    ],
    ids=["broken config", "no config", "a tensor", "no checkpoint"],
)
def test_a_damaged_checkpoint_is_named(own_cache, tmp_path, damage, message):
    source, _ = checkpoint(tmp_path, "alignn_ff")
    damage(tmp_path)
    for _ in range(2):  # the failure must not leave a file in the cache
        with pytest.raises(WeightsError, match=message):
            get_weights(source, "graph")


def test_fine_tuning_uses_the_neighbourhood_of_the_checkpoint(own_cache, tmp_path):
    for config, within in (({}, 0.0), ({"neighbor_strategy": "radius_graph", "cutoff": 4.0}, 4.0)):
        source, _ = checkpoint(tmp_path, "alignn_ff", **config)
        assert neighbourhood_of(get_weights(source, "graph")).within == within
    source, _ = checkpoint(tmp_path, "alex_supercon_Tc")
    assert neighbourhood_of(get_weights(source, "graph")).within == 5.0


def test_random_weights_are_not_a_published_model():
    with pytest.raises(WeightsError, match="none is not a published graph model"):
        PublishedModel(get_weights("none", "graph"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none", "source=none predicts nothing yet"),
        ("dinov2_vits14", "'dinov2_vits14' is not one of auto, none, alignn_ff"),
        ("energy", "predicts energy; a source must predict Tc"),
        ("no_such_thing", "'no_such_thing' is not one of"),
    ],
)
def test_weights_that_do_not_predict_tc_are_refused(
    own_cache, own_store, tmp_path, source, message
):
    if source == "energy":
        source, _ = checkpoint(tmp_path, "alignn_ff")
    done = CliRunner().invoke(eval_zero_shot.app, ["--dataset", "classics", "--source", source])
    assert done.exit_code == 2
    assert message in done.output


def jarvis_rows():
    """Ordered crystals of ``classics`` in the format of the JARVIS data set."""
    chosen = [c for c in load_dataset("classics").crystals if c.structure.is_ordered]
    return [
        {"jid": f"JVASP-{i}", "tc_kelvin": c.tc / 2, "poscar": Poscar(c.structure).get_str()}
        for i, c in enumerate(chosen[:120])
    ]


@pytest.fixture
def jarvis(tmp_path):
    path = tmp_path / "jarvis.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in jarvis_rows()))
    return path


@pytest.mark.long
def test_a_source_trained_here_does_not_train_on_the_tested_data_set(own_store, tmp_path, jarvis):
    mlflow.get_experiment(
        "0"
    )  # the store puts artifacts into the folder in which it is first opened
    settings = {"source_data": jarvis, "dataset": "classics", "limit": 60, "epochs": 1}
    command = [sys.executable, "-m", "mlflow", "run", str(ROOT), "-e", "eval_zero_shot"]
    command += ["--env-manager", "local"]
    command += [part for key, value in settings.items() for part in ("-P", f"{key}={value}")]
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri(),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    metrics, tags = run.data.metrics, run.data.tags
    assert run.info.status == "FINISHED" and tags["model_family"] == "zero_shot"
    tested = artifact(run, "split.csv")["material_id"]
    learnable = {Crystal("", composition(row), "").material_id for row in jarvis_rows()}
    assert metrics["source_shared_removed"] == len(learnable & set(tested)) > 0
    assert metrics["source_materials"] == len(learnable)
    assert metrics["source_val_mae"] > 0 and "val_mae" not in metrics
    predictions = artifact(run, "predictions.csv")
    assert set(predictions["split"]) == {"val", "test"}
    for name in ("variance_ratio", "pred_above_20", "share_of_known_elements"):
        assert np.isfinite(metrics[f"transfer_{name}"])
    sentence = f"{metrics['source_shared_removed']:.0f} whose composition is in this data set"
    description_of(run.info.run_id, sentence, "on which it was not trained", "Test MAE")
    listed = {item.path for item in mlflow.MlflowClient().list_artifacts(run.info.run_id, "plots")}
    assert {"plots/distributions.png", "plots/source_training_curve.png"} <= listed
    evaluate_saved_source(run, jarvis)


def evaluate_saved_source(run, jarvis):
    """The saved source is evaluated again, and refused on the data set that it was trained on."""
    saved = str(download(f"runs:/{run.info.run_id}/predictor"))
    options = ["--source", saved, "--limit", "60", "--dataset"]
    done = CliRunner().invoke(eval_zero_shot.app, [*options, "classics"])
    assert done.exit_code == 0, done.output
    assert "Its training materials are unknown" in done.output
    again = mlflow.search_runs(search_all_experiments=True, output_format="list", max_results=1)[0]
    assert again.data.metrics["test_mae"] == pytest.approx(run.data.metrics["test_mae"], abs=1e-4)
    assert again.data.tags["source"] == f"graph {run.info.run_id[:8]}"
    done = CliRunner().invoke(
        eval_zero_shot.app, [*options, "jarvis_supercon", "--data", str(jarvis)]
    )
    assert done.exit_code == 2
    assert "was trained on the tested data set jarvis_supercon" in done.output


def splits_of_classics(kind, seed=0):
    """Half of the materials of ``classics``, split."""
    found = load_dataset("classics")
    materials = group_materials(found.crystals)[::2]
    return DataSplits(found, materials, make_split(materials, kind, seed=seed))


class Recorder:
    """A predictor that records its training and validation materials."""

    def fit(self, train, val, **_):
        self.seen = [*train, *val]
        return []

    def predict(self, crystals):
        return np.zeros(len(crystals))

    def save(self, folder):
        folder.mkdir()


@pytest.mark.parametrize("kind", ["random", "family"])
def test_materials_that_could_leak_a_test_material_are_removed(own_store, tmp_path, jarvis, kind):
    tested, recorder = splits_of_classics(kind), Recorder()
    get_training = train_source(
        recorder, "jarvis_supercon", str(jarvis), lambda crystals: [], seed=1
    )
    with mlflow.start_run():
        training = get_training(tested)
    assert not {m.id for m in recorder.seen} & {m.id for m in tested.materials}
    if kind == "family":
        chemsys = {m.chemsys for m in tested.part("test")}
        assert not {m.chemsys for m in recorder.seen} & chemsys
    assert training.metrics["source_train"] == len(training.materials)


@pytest.mark.parametrize(
    "provenance",
    [{"dataset": "classics"}, {"dataset": "other", "dataset_hash": "same"}, {"materials": "test"}],
    ids=["name", "hash", "materials"],
)
def test_a_predictor_trained_on_the_tested_data_set_is_refused(provenance):
    tested = splits_of_classics("random")
    if "dataset_hash" in provenance:
        provenance["dataset_hash"] = tested.dataset.hash
    if "materials" in provenance:
        provenance["materials"] = [tested.part("test")[0].id]
    message = (
        "1 of the test materials" if "materials" in provenance else "the tested data set classics"
    )
    with pytest.raises(ValueError, match=f"source=x was trained on {message}"):
        require_unseen(provenance, "x")(tested)
    assert require_unseen({"dataset": "other"}, "x")(tested).metrics == {}


def test_training_materials_of_a_published_model_are_counted(jarvis):
    tested = splits_of_classics("random")
    training = published_training("jarvis_supercon", str(jarvis), lambda crystals: [])(tested)
    learned = {m.id for m in training.materials}
    assert training.metrics["source_shared_kept"] == len(
        learned & {m.id for m in tested.part("test")}
    )
    with pytest.raises(ValueError, match="trained on the tested data set classics"):
        published_training("classics", "", lambda crystals: [])(tested)
    with pytest.raises(ValueError, match="omit source_data"):
        published_training("", str(jarvis), lambda crystals: [])(tested)


def composition(row):
    return Poscar.from_str(row["poscar"]).structure.composition.formula.replace(" ", "")


def artifact(run, name):
    return pd.read_csv(download(f"runs:/{run.info.run_id}/{name}"))
