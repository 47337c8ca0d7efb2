"""An archive gives back what was put in, bit for bit, or says in a sentence why it does not."""

import dataclasses
import itertools
import json
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch

from supervision.data.archive import Archive, DatasetSpec, read_archive, write_archive
from supervision.data.crystals import Reject, group_materials
from supervision.data.datasets import load_dataset
from supervision.data.errors import DatasetError
from supervision.data.featurize import featurize, featurize_all
from supervision.data.splits import make_split
from supervision.experiment.spec import Experiment, split_materials
from supervision.models.graph.data import GraphSamples
from supervision.models.graph.featurize import graphs
from supervision.models.vision.data import TrainingViews, ViewSamples
from supervision.models.vision.featurize import scene_featurizer
from supervision.training.batches import RankShard

RECIPES = {"scenes": scene_featurizer("fast"), "graphs": graphs()}


@pytest.fixture(scope="module")
def dataset():
    """Some of the classics, disordered ones and ones with a parent among them, and a reject."""
    found = load_dataset("classics")
    rejects = (Reject("broken.cif", "It is broken."),)
    return dataclasses.replace(found, crystals=found.crystals[::6], rejects=rejects)


@pytest.fixture(scope="module", params=list(RECIPES))
def written(request, dataset, tmp_path_factory):
    """The recipe, what went in, and the file."""
    recipe = RECIPES[request.param]
    materials = group_materials(dataset.crystals)
    splits = {kind: make_split(materials, kind) for kind in ("random", "family")}
    archive = Archive(DatasetSpec("classics"), dataset, materials, splits)
    path = tmp_path_factory.mktemp("archive") / "classics.zip"
    write_archive(path, archive, recipe.name, featurize_all(recipe, dataset.crystals, quiet=True))
    return recipe, archive, path


def test_materials_splits_and_rejects_come_back(written):
    _, archive, path = written
    again = read_archive(path)
    assert again == archive
    assert again.dataset.hash == archive.dataset.hash
    assert {k: s.hash for k, s in again.splits.items()} == {
        k: s.hash for k, s in archive.splits.items()
    }
    assert any(m.parents for m in again.materials)


def test_arrays_are_those_that_were_prepared(written, monkeypatch):
    recipe, archive, path = written
    built = featurize_all(recipe, archive.dataset.crystals, quiet=True)
    monkeypatch.setattr("supervision.data.featurize._read_entry", None)  # neither cache nor CIF
    found, rejects = featurize(recipe, read_archive(path).dataset.crystals)
    assert found.keys() == built.keys() and not rejects
    for id, result in found.items():
        ours, theirs = result.to_arrays(), built[id].to_arrays()
        for name in theirs:
            assert ours[name].dtype == theirs[name].dtype, name
            assert np.array_equal(ours[name], theirs[name]), name


def samples_of(materials, recipe):
    """What a network is trained on, of each paradigm."""
    targets = np.array([m.tc for m in materials])
    prepared = featurize_all(recipe, [c for m in materials for c in m.crystals], quiet=True)
    if recipe.noun == "graphs":
        return GraphSamples(materials, materials, targets, prepared, 8, 40_000, 42)
    return ViewSamples(
        TrainingViews(materials, targets, prepared, (0, 7), 8, 42), materials, prepared, 2, 2
    )


def tensors(inputs):
    if torch.is_tensor(inputs):
        return [inputs]
    return [value for value in vars(inputs).values() if torch.is_tensor(value)]


def test_batches_from_an_archive_are_those_from_cif_files(written):
    recipe, archive, path = written
    ours, theirs = (
        samples_of(materials, recipe)
        for materials in (read_archive(path).materials, archive.materials)
    )
    steps = zip(ours.epoch(1, RankShard()), theirs.epoch(1, RankShard()), strict=True)
    for step, other in itertools.islice(steps, 2):
        for (inputs, targets, ids), (others, their_targets, their_ids) in zip(
            step, other, strict=True
        ):
            assert ids == their_ids and torch.equal(targets, their_targets)
            for one, two in zip(tensors(inputs), tensors(others), strict=True):
                assert torch.equal(one, two)


def test_the_split_that_is_asked_for_is_taken(written, capsys):
    recipe, archive, path = written
    asked = {"dataset": str(path), "data": "", "limit": 0, "seed": 42}
    for kind in archive.splits:
        experiment = Experiment.of(split=kind, **asked)
        prepared = split_materials(
            experiment, lambda c: featurize(recipe, c)[1], lambda rejects: None
        )
        assert prepared.split == archive.splits[kind]
        assert experiment.settings() == Experiment(split=kind).settings()
    with pytest.raises(DatasetError, match=r"holds the split\(s\) random, family, not chemsys"):
        split_materials(Experiment.of(split="chemsys", **asked), lambda c: (), lambda rejects: None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 7}, "seed=7, but .* was written with seed=42"),
        ({"limit": 5}, "limit=5, but .* was written with limit=0"),
        ({"data": "3DSC.tar.xz"}, r"is an archive and needs no data=3DSC\.tar\.xz"),
    ],
    ids=["seed", "limit", "data"],
)
def test_what_was_settled_when_it_was_written_cannot_be_asked_otherwise(written, change, message):
    asked = {"dataset": str(written[2]), "data": "", "limit": 0, "seed": 42} | change
    with pytest.raises(ValueError, match=message):
        Experiment.of(**asked)


def test_an_archive_of_another_recipe_is_refused(written):
    recipe, _, path = written
    other = dataclasses.replace(recipe, version="v999")
    with pytest.raises(
        DatasetError, match=rf"holds {recipe.name} and this reads {recipe.noun}/v999"
    ):
        featurize(other, read_archive(path).dataset.crystals)


def changed(path, folder, member, change):
    """A copy whose member is changed, with checksums that fit."""
    copy = folder / "changed.zip"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content) if name == member else content)
    return copy


def test_a_damaged_one_is_refused(written, tmp_path):
    path = written[2]
    torn = tmp_path / "torn.zip"
    torn.write_bytes(path.read_bytes()[:-200])
    flipped = bytearray(path.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    (tmp_path / "flipped.zip").write_bytes(flipped)
    for damaged in (torn, tmp_path / "flipped.zip"):
        with pytest.raises(DatasetError, match="is damaged, or no archive"):
            read_archive(damaged)
    with pytest.raises(DatasetError, match="There is no archive"):
        read_archive(tmp_path / "nowhere.zip")


@pytest.mark.parametrize(
    ("member", "old", "new", "message"),
    [
        ("crystals.json", b'"weight": 1.0', b'"weight": 0.5', "its crystals are not those"),
        ("splits.json", b'"train"', b'"val"', "its split is not the one"),
        ("archive.json", b'"format": 1', b'"format": 99', "is an archive of format 99"),
    ],
    ids=["crystals", "split", "format"],
)
def test_one_that_was_changed_is_refused(written, tmp_path, member, old, new, message):
    def change(content):
        assert old in content
        return content.replace(old, new, 1)

    with pytest.raises(DatasetError, match=message):
        read_archive(changed(written[2], tmp_path, member, change))


def test_it_is_plain_json_and_arrays(written):
    with zipfile.ZipFile(written[2]) as members:
        assert {name.rpartition(".")[2] for name in members.namelist()} == {"json", "npy"}
        assert json.loads(members.read("archive.json"))["made"]["dataset"] == "classics"


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    """Two megabytes that would be two gigabytes."""
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("archive.json", "{}")
        with members.open("crystals.json", "w", force_zip64=True) as file:
            for _ in range(2000):
                file.write(bytes(10**6))
    assert path.stat().st_size < 3 * 10**6
    tracemalloc.start()
    with pytest.raises(DatasetError, match="its content would be 2,000,000,002 bytes"):
        read_archive(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * 10**6
