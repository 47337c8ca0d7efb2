"""Engines of a screening: the same function answers each shard, so all give the same bytes."""

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from multiprocessing import Pipe
from types import SimpleNamespace

import pytest

from supervision.answer.released import find_released
from supervision.data.datasets import load_dataset
from supervision.runtime.errors import ExpectedError
from supervision.screening import screen as screening
from supervision.screening.engines import finished, local, slurm
from supervision.screening.filters import AnswerFilters, StructureFilters
from supervision.screening.screen import ScreenOptions, screen
from supervision.screening.worker import ShardTask

FILES = ("ranked.parquet", "ranked.csv", "rejects.csv")
SETTINGS = {"local": "", "spark": "master=local[2]", "slurm": "cluster=local"}
PACKAGES = {"spark": "pyspark", "slurm": "submitit"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    for crystal in load_dataset("classics").crystals[::6]:
        (folder / f"{crystal.id}.cif").write_text(crystal.cif)
    (folder / "broken.cif").write_text("data_x\n")
    return folder


def run(engine, source, out):
    options = ScreenOptions(engine=engine, engine_options=SETTINGS[engine], shard_rows=20, top=1)
    model, filters = find_released("fast"), StructureFilters(without="Hg")
    found = screen(str(source), out, model, options, filters, AnswerFilters(p_above_10=0.1))
    return found.candidates, found.ranked, [(out / name).read_bytes() for name in FILES]


@pytest.fixture(scope="module")
def expected(source, tmp_path_factory):
    """What processes of this machine answer."""
    found = run("local", source, tmp_path_factory.mktemp("local"))
    assert 0 < found[1] < found[0]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("engine", list(PACKAGES))
def test_all_engines_give_the_same_bytes(engine, source, expected, tmp_path):
    is_there = find_spec(PACKAGES[engine]) and (engine != "spark" or shutil.which("java"))
    if not is_there and "CI" not in os.environ:
        pytest.skip(f"pip install -r requirements-{engine}.txt, and Java for Spark")
    assert run(engine, source, tmp_path / "out") == expected


def test_the_local_engine_has_no_settings():
    with pytest.raises(ValueError, match="the local engine has none"):
        list(local.run([], 1, "a=b"))


class EndedProcess:
    """A process that a signal has ended."""

    exitcode = -9

    def join(self):
        pass


def test_a_shard_of_an_ended_process_waits_for_one_that_still_loads_the_model(tmp_path):
    (ours, theirs), (loading, of_loading) = Pipe(), Pipe()
    task = ShardTask(tmp_path / "s", tmp_path / "r", 5, tmp_path, StructureFilters())
    pool = local._Pool([task], 2)
    pool._start = lambda number: pool.workers.extend(
        [local.Worker(EndedProcess(), ours), local.Worker(EndedProcess(), loading)]
    )
    answered = []

    def work():
        of_ended = theirs
        of_ended.send(local.Ready(1))
        assert of_ended.recv() == task
        of_ended.close()
        time.sleep(0.2)  # the shard waits meanwhile
        of_loading.send(local.Ready(1))
        assert of_loading.recv() == task
        time.sleep(0.2)
        answered.append(task)
        of_loading.send(local.Done())

    with ThreadPoolExecutor(1) as thread:
        working = thread.submit(work)
        list(pool.run())
        assert answered == [task]
        working.result()


def test_shards_without_answers_are_an_error(source, tmp_path, monkeypatch):
    monkeypatch.setattr(screening, "engine_named", lambda name: lambda *given: iter(()))
    with pytest.raises(ExpectedError, match=r"^\d of \d shards have no answers; give the same"):
        run("local", source, tmp_path / "out")


def test_settings_are_names_and_values():
    assert finished.settings_of("master=local[2], spark.a=b=c") == {
        "master": "local[2]", "spark.a": "b=c",
    }  # fmt: skip
    with pytest.raises(ValueError, match="'partition' is not NAME=VALUE"):
        finished.settings_of("time=60,partition")


def test_a_package_that_is_missing_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "submitit", None)
    task = SimpleNamespace(result=tmp_path / "results" / "0.parquet")
    with pytest.raises(ExpectedError, match=r"submitit is not installed; pip install 'supervision"):
        list(slurm.run([task], 0, ""))


def test_results_that_appear_are_counted_until_nothing_runs(monkeypatch, tmp_path):
    tasks = [SimpleNamespace(result=tmp_path / str(n), rows=n + 1) for n in range(3)]
    running = iter([True, True, False])

    def is_running():
        for task in tasks:
            if not task.result.exists():
                task.result.touch()
                break
        return next(running)

    monkeypatch.setattr(finished, "LOOK_SECONDS", 0)
    assert list(finished.rows_of_finished(tasks, is_running)) == [1, 2, 3]


@pytest.mark.parametrize(
    ("free_gib", "more"), [(0.0, 0), (3.0, 1), (10.0, 6)], ids=["none", "one", "six"]
)
def test_as_many_processes_are_started_as_fit_into_memory(free_gib, more, monkeypatch):
    """Each has 1 GiB and half a GiB for crystals; 5% of the machine and a crystal stay free."""
    memory = SimpleNamespace(total=8 << 30, free=int(free_gib * 2**30))
    monkeypatch.setattr(local, "available_memory", lambda: memory)
    assert local._affordable(1 << 30) == more


def test_the_environment_of_workers_is_left_as_it_was(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with local.one_thread():
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ
