"""Models from elsewhere: read as their authors meant it, judged on what they never saw."""

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
from example_structures import la2cuo4, mgb2, nb3sn, niobium
from pymatgen.io.vasp import Poscar
from typer.testing import CliRunner

from entrypoints import eval_zero_shot
from supervision.data.crystals import Crystal, Material, group_materials, material_key
from supervision.data.datasets import load_dataset
from supervision.data.splits import akin, make_split
from supervision.experiment.spec import DataSplits
from supervision.models.graph.backbone import create_backbone
from supervision.models.graph.predictor import neighbourhood_of
from supervision.models.graph.published import PublishedModel
from supervision.models.weights import WeightsError, get_weights
from tracking.serving.downloads import download
from tracking.zero_shot import known_from, not_trained_on, taught_by

ROOT = Path(__file__).resolve().parents[1]
SHAPE = {"alignn_layers": 1, "gcn_layers": 1, "hidden_features": 16}
MODELS = {  # name: alignn's class, and how alignn itself is asked for its graphs
    "jv_supercon_tc_alignn": ("alignn", {"cutoff": 8.0, "use_canonize": True}),
    "alex_supercon_Tc": ("alignn_atomwise", {"cutoff": 5.0, "neighbor_strategy": "radius_graph"}),
    "alignn_ff": ("alignn_atomwise", {"cutoff": 8.0, "use_canonize": False}),
}


def crystal(structure, name="x"):
    return Crystal(name, structure.formula, structure.to(fmt="cif"))


def checkpoint(folder, name, **config):
    """A checkpoint of that row as alignn leaves it; returns its name and its network."""
    torch.manual_seed(0)
    config = config | {"model": {"name": MODELS[name][0]} | SHAPE}
    net = create_backbone(MODELS[name][0], "dgl", config).eval()
    torch.save({"model": net.state_dict()}, folder / "best_model.pt")
    (folder / "config.json").write_text(json.dumps(config))
    return f"{name}:{folder / 'best_model.pt'}", net


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("make", [nb3sn, mgb2, niobium], ids=lambda f: f.__name__)
def test_an_ordered_crystal_gets_the_number_that_alignn_gives(own_cache, tmp_path, name, make):
    from alignn.graphs import Graph
    from jarvis.core.atoms import pmg_to_atoms

    source, net = checkpoint(tmp_path, name)
    model = PublishedModel(get_weights(source, "graph"))
    atoms = pmg_to_atoms(crystal(make()).structure)
    theirs = [*Graph.atom_dgl_multigraph(atoms, **MODELS[name][1]), torch.eye(3)]
    with torch.no_grad():
        expected = net(theirs)
    expected = float(expected["out"] if isinstance(expected, dict) else expected)
    assert model.predict([crystal(make())])[0] == pytest.approx(expected, abs=1e-5)


def test_what_was_published_with_the_weights_says_how_graphs_are_built(own_cache, tmp_path):
    source, _ = checkpoint(tmp_path, "alignn_ff")
    near = PublishedModel(get_weights(source, "graph")).predict([crystal(nb3sn())])
    source, _ = checkpoint(tmp_path, "alignn_ff", neighbor_strategy="radius_graph", cutoff=4.0)
    within = PublishedModel(get_weights(source, "graph")).predict([crystal(nb3sn())])
    assert abs(near - within) > 1e-4


def test_dopants_and_vacancies_are_seen(own_cache, tmp_path):
    source, _ = checkpoint(tmp_path, "jv_supercon_tc_alignn")
    cells = [la2cuo4(), la2cuo4(strontium=0.05), la2cuo4(strontium=0.1, oxygen=0.95)]
    answers = PublishedModel(get_weights(source, "graph")).predict([crystal(c) for c in cells])
    assert len(set(np.round(answers, 6))) == 3


@pytest.mark.parametrize(
    ("spoil", "said"),
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
def test_a_checkpoint_that_is_none_is_named(own_cache, tmp_path, spoil, said):
    source, _ = checkpoint(tmp_path, "alignn_ff")
    spoil(tmp_path)
    for _ in range(2):  # nothing of it is kept
        with pytest.raises(WeightsError, match=said):
            get_weights(source, "graph")


def test_a_checkpoint_is_fine_tuned_on_the_graphs_it_learned_from(own_cache, tmp_path):
    for config, within in (({}, 0.0), ({"neighbor_strategy": "radius_graph", "cutoff": 4.0}, 4.0)):
        source, _ = checkpoint(tmp_path, "alignn_ff", **config)
        assert neighbourhood_of(get_weights(source, "graph")).within == within
    source, _ = checkpoint(tmp_path, "alex_supercon_Tc")
    assert neighbourhood_of(get_weights(source, "graph")).within == 5.0


def test_random_weights_are_not_a_published_model():
    with pytest.raises(WeightsError, match="none is not a published graph model"):
        PublishedModel(get_weights("none", "graph"))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("none", "source=none predicts nothing yet"),
        ("dinov2_vits14", "'dinov2_vits14' is not one of auto, none, alignn_ff"),
        ("energy", "predicts energy; a source must predict Tc"),
        ("no_such_thing", "'no_such_thing' is not one of"),
    ],
)
def test_what_cannot_be_a_source_is_refused(own_cache, own_store, tmp_path, source, said):
    if source == "energy":
        source, _ = checkpoint(tmp_path, "alignn_ff")
    done = CliRunner().invoke(eval_zero_shot.app, ["--dataset", "classics", "--source", source])
    assert done.exit_code == 2
    assert said in done.output


def jarvis_rows():
    """Ordered classics as rows of the JARVIS data set: half of them are tested on as well."""
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


def test_a_source_taught_here_never_sees_what_it_is_tested_on(own_store, tmp_path, jarvis):
    mlflow.get_experiment("0")  # the store keeps artifacts beside where it is first opened
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
    (run,) = mlflow.search_runs(output_format="list")
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
    said = f"{metrics['source_shared_removed']:.0f} whose composition is in this data set"
    assert said in tags["mlflow.note.content"]
    listed = {item.path for item in mlflow.MlflowClient().list_artifacts(run.info.run_id, "plots")}
    assert {"plots/distributions.png", "plots/source_training_curve.png"} <= listed
    judged_again(run, jarvis)


def judged_again(run, jarvis):
    """What was taught is a source by itself, but not where it has been."""
    saved = str(download(f"runs:/{run.info.run_id}/predictor"))
    options = ["--source", saved, "--limit", "60", "--dataset"]
    done = CliRunner().invoke(eval_zero_shot.app, [*options, "classics"])
    assert done.exit_code == 0, done.output
    assert "What it learned from is not known" in done.output
    again = mlflow.search_runs(output_format="list", max_results=1)[0]
    assert again.data.metrics["test_mae"] == pytest.approx(run.data.metrics["test_mae"], abs=1e-4)
    assert again.data.tags["source"] == f"graph {run.info.run_id[:8]}"
    done = CliRunner().invoke(
        eval_zero_shot.app, [*options, "jarvis_supercon", "--data", str(jarvis)]
    )
    assert done.exit_code == 2
    assert "was trained on jarvis_supercon itself" in done.output


def prepared(kind, seed=0):
    """Half of the classics, split."""
    found = load_dataset("classics")
    materials = group_materials(found.crystals)[::2]
    return DataSplits(found, materials, make_split(materials, kind, seed=seed))


class Recorder:
    """Learns nothing and remembers from what."""

    def fit(self, train, val, **_):
        self.seen = [*train, *val]
        return []

    def predict(self, crystals):
        return np.zeros(len(crystals))

    def save(self, folder):
        folder.mkdir()


@pytest.mark.parametrize("kind", ["random", "family"])
def test_nothing_that_gives_a_test_material_away_is_learned(own_store, tmp_path, jarvis, kind):
    tested, recorder = prepared(kind), Recorder()
    teach = taught_by(recorder, "jarvis_supercon", str(jarvis), lambda crystals: [], seed=1)
    with mlflow.start_run():
        lesson = teach(tested)
    assert not {m.id for m in recorder.seen} & {m.id for m in tested.materials}
    if kind == "family":
        chemsys = {m.chemsys for m in tested.part("test")}
        assert not {m.chemsys for m in recorder.seen} & chemsys
    assert lesson.numbers["source_train"] == len(lesson.learned)


def test_compositions_that_all_but_agree_are_akin():
    def material(formula):
        return Material(material_key(formula), formula, 1.0, ())

    learned = [material(f) for f in ("MgB2", "NbN", "Nb3Sn", "Nb4Sn", "YBa2Cu3O7")]
    tested = [material(f) for f in ("Mg0.98B2", "NbSn", "Y1Ba2Cu3O6.95")]
    found = akin(learned, tested, chemsys=False)
    assert found == [material("MgB2").id, material("YBa2Cu3O7").id]
    found = akin(learned, tested, chemsys=True)
    assert found == [material(f).id for f in ("MgB2", "Nb3Sn", "Nb4Sn", "YBa2Cu3O7")]


@pytest.mark.parametrize(
    "made_from",
    [{"dataset": "classics"}, {"dataset": "other", "dataset_hash": "same"}, {"materials": "test"}],
    ids=["name", "hash", "materials"],
)
def test_a_predictor_that_has_seen_the_test_is_refused(made_from):
    tested = prepared("random")
    if "dataset_hash" in made_from:
        made_from["dataset_hash"] = tested.dataset.hash
    if "materials" in made_from:
        made_from["materials"] = [tested.part("test")[0].id]
    said = "1 of the test materials" if "materials" in made_from else "classics itself"
    with pytest.raises(ValueError, match=f"source=x was trained on {said}"):
        not_trained_on(made_from, "x")(tested)
    assert not_trained_on({"dataset": "other"}, "x")(tested).numbers == {}


def test_what_published_models_learned_from_is_counted_and_never_tested_on(jarvis):
    tested = prepared("random")
    lesson = known_from("jarvis_supercon", str(jarvis), lambda crystals: [])(tested)
    learned = {m.id for m in lesson.learned}
    assert lesson.numbers["source_shared_kept"] == len(
        learned & {m.id for m in tested.part("test")}
    )
    with pytest.raises(ValueError, match="trained on classics itself"):
        known_from("classics", "", lambda crystals: [])(tested)
    with pytest.raises(ValueError, match="leave source_data out"):
        known_from("", str(jarvis), lambda crystals: [])(tested)


def composition(row):
    return Poscar.from_str(row["poscar"]).structure.composition.formula.replace(" ", "")


def artifact(run, name):
    return pd.read_csv(download(f"runs:/{run.info.run_id}/{name}"))
