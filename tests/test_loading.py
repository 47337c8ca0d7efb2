"""Rejected rows, failures and interrupts of a run, on a real tracking store."""

import os
import signal
import time

import mlflow
import numpy as np
import pandas as pd
import pytest

from supervision.data.datasets import load_dataset
from supervision.data.errors import DatasetError
from supervision.experiment.spec import Experiment, load_materials
from supervision.models.vision.featurize import featurize_scenes
from tracking import runs
from tracking.serving.downloads import download

pytestmark = pytest.mark.usefixtures("own_store")


def table(folder, *, bad_tc=0, broken=0, rows=100):
    """A table of one crystal with many formulas; some rows have no Tc or a truncated CIF."""
    cif = load_dataset("classics").crystals[0].cif
    lines = [(f"Nb{100 + i}Sn100", float(i), cif) for i in range(rows)]
    for i in range(bad_tc):
        lines[i] = (lines[i][0], "hot", cif)
    for i in range(bad_tc, bad_tc + broken):
        lines[i] = (*lines[i][:2], cif[: len(cif) // 2])
    path = folder / "own.csv"
    pd.DataFrame(lines, columns=["formula", "tc", "cif"]).to_csv(path, index=False)
    return str(path)


def load(**options):
    experiment = Experiment(**options)
    with runs.tracked_run("loading"):
        return load_materials(
            experiment, lambda crystals: featurize_scenes(crystals, quiet=True)[1], runs.log_rejects
        )


def last_run():
    return mlflow.search_runs(search_all_experiments=True, output_format="list", max_results=1)[0]


def artifact(name):
    return download(f"runs:/{last_run().info.run_id}/{name}")


@pytest.mark.parametrize(("bad_tc", "broken"), [(6, 0), (0, 6), (3, 3)])
def test_a_run_with_more_than_five_percent_rejects_stops(tmp_path, bad_tc, broken):
    with pytest.raises(DatasetError, match="6 of 100 rows"):
        load(dataset=table(tmp_path, bad_tc=bad_tc, broken=broken))
    assert last_run().info.status == "FAILED"
    assert len(pd.read_csv(artifact("rejects.csv"))) == 6, "the rejected rows must be logged"


def test_five_percent_rejects_are_accepted_and_logged(tmp_path):
    dataset, materials = load(dataset=table(tmp_path, bad_tc=2, broken=3))
    assert (len(materials), len(dataset.rejects)) == (95, 5)
    listed = pd.read_csv(artifact("rejects.csv"))
    assert len(listed) == 5
    assert listed["reason"].str.endswith(".").all()


def test_the_share_of_rejects_is_correct_with_a_limit(tmp_path):
    path = table(tmp_path, bad_tc=5)
    dataset, materials = load(dataset=path, limit=20)
    assert (len(materials), len(dataset.rejects)) == (20, 5)
    with pytest.raises(DatasetError, match="of 20 rows"):
        load(dataset=table(tmp_path, broken=30, rows=100), limit=20)


def test_a_failed_run_logs_its_error(tmp_path):
    with pytest.raises(ZeroDivisionError), runs.tracked_run("broken"):
        raise ZeroDivisionError("by nothing")
    assert last_run().info.status == "FAILED"
    assert last_run().data.tags["failure"] == "ZeroDivisionError: by nothing"
    assert "test_loading.py" in artifact("failure.txt").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_an_interrupt_that_other_code_converts_to_an_error_is_an_interrupt(number):
    """For example, numpy turns a Ctrl-C during a comparison into a TypeError."""

    @runs.tracked_run("interrupted")
    def compare():
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        except KeyboardInterrupt as interrupt:
            raise TypeError("cannot compare") from interrupt

    with pytest.raises(KeyboardInterrupt):
        compare()
    assert last_run().info.status == "KILLED"
    assert "failure" not in last_run().data.tags


def test_an_error_in_a_process_group_is_logged_despite_a_later_interrupt(monkeypatch):
    def fail():
        with runs.tracked_run("group"):
            try:
                raise RuntimeError("another process has ended")
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert last_run().info.status == "KILLED"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "here")
    with pytest.raises(KeyboardInterrupt):
        fail()
    assert last_run().info.status == "FAILED"
    assert last_run().data.tags["failure"] == "RuntimeError: another process has ended"


def test_a_run_that_resumes_itself_is_not_changed():
    with runs.tracked_run("again"):
        runs.resume_run(runs.run_id())
    assert last_run().info.status == "FINISHED"
    assert "resumes" not in last_run().data.tags


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 and no more"], ids=["empty", "truncated"])
def test_a_damaged_cache_entry_is_computed_again(own_cache, damage):
    crystals = load_dataset("classics").crystals[:2]
    built, _ = featurize_scenes(crystals, quiet=True)
    entries = list(own_cache.rglob("*.npz"))
    assert len(entries) == 2
    entries[0].write_bytes(damage)
    again, rejects = featurize_scenes(crystals, quiet=True)
    assert not rejects
    for id in built:
        for one, other in zip(
            built[id].to_arrays().items(), again[id].to_arrays().items(), strict=True
        ):
            assert one[0] == other[0]
            assert np.array_equal(one[1], other[1])


def test_a_structure_on_which_crystalnn_fails_is_rejected(monkeypatch, own_cache):
    def fails(self, structure):
        raise RuntimeError("Pathological structure")

    monkeypatch.setattr("pymatgen.analysis.local_env.CrystalNN.get_all_nn_info", fails)
    crystals = load_dataset("classics").crystals[:2]
    scenes, rejects = featurize_scenes(crystals, bonding="crystalnn", quiet=True)
    assert not scenes
    assert [r.name for r in rejects] == [c.id for c in crystals]
    assert "CrystalNN fails on this structure: Pathological structure." in rejects[0].reason
