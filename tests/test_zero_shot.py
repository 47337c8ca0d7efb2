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
from supervision.crystals import Crystal
from supervision.datasets import load_dataset
from supervision.graph.backbone import create_backbone
from supervision.graph.published import PublishedModel
from supervision.weights import WeightsError, get_weights

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
    assert run.info.status == "FINISHED" and tags["pipeline"] == "zero_shot"
    tested = artifact(run, "split.csv")["material_id"]
    learnable = {Crystal("", composition(row), "").material_id for row in jarvis_rows()}
    assert metrics["source_shared_removed"] == len(learnable & set(tested)) > 0
    assert metrics["source_materials"] == len(learnable)
    assert metrics["source_val_mae"] > 0 and "val_mae" not in metrics
    predictions = artifact(run, "predictions.csv")
    assert set(predictions["split"]) == {"val", "test"}
    for name in ("variance_ratio", "pred_above_20", "share_of_known_elements"):
        assert np.isfinite(metrics[f"transfer_{name}"])
    assert f"{metrics['source_shared_removed']:.0f} of the" in tags["mlflow.note.content"]
    listed = {item.path for item in mlflow.MlflowClient().list_artifacts(run.info.run_id, "plots")}
    assert {"plots/distributions.png", "plots/source_training_curve.png"} <= listed
    judged_again(run, jarvis)


def judged_again(run, jarvis):
    """The predictor that was taught is a source by itself, but not on its own kind."""
    saved = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="predictor")
    options = ["--source", saved, "--dataset", "classics", "--limit", "60"]
    done = CliRunner().invoke(eval_zero_shot.app, options)
    assert done.exit_code == 0, done.output
    assert "What it learned from is not known" in done.output
    again = mlflow.search_runs(output_format="list", max_results=1)[0]
    assert again.data.metrics["test_mae"] == pytest.approx(run.data.metrics["test_mae"], abs=1e-4)


def composition(row):
    return Poscar.from_str(row["poscar"]).structure.composition.formula.replace(" ", "")


def artifact(run, name):
    path = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=name)
    return pd.read_csv(path)
