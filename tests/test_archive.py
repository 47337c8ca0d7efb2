"""An archive returns what was written, bit for bit, or is refused with one sentence."""

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
from supervision.models.graph.featurize import graph_featurizer
from supervision.models.vision.data import TrainingViews, ViewSamples
from supervision.models.vision.featurize import scene_featurizer
from supervision.training.batches import RankShard

FEATURIZERS = {"scenes": scene_featurizer("fast"), "graphs": graph_featurizer()}


@pytest.fixture(scope="module")
def dataset():
    """Part of the classics, with disordered crystals and parents, and a reject."""
    found = load_dataset("classics")
    rejects = (Reject("broken.cif", "It is broken."),)
    return dataclasses.replace(found, crystals=found.crystals[::6], rejects=rejects)


@pytest.fixture(scope="module", params=list(FEATURIZERS))
def written(request, dataset, tmp_path_factory):
    """The featurizer, the archive and its file."""
    featurizer = FEATURIZERS[request.param]
    materials = group_materials(dataset.crystals)
    splits = {kind: make_split(materials, kind) for kind in ("random", "family")}
    archive = Archive(DatasetSpec("classics"), dataset, materials, splits)
    path = tmp_path_factory.mktemp("archive") / "classics.zip"
    write_archive(
        path, archive, featurizer.name, featurize_all(featurizer, dataset.crystals, quiet=True)
    )
    return featurizer, archive, path


def test_materials_splits_and_rejects_are_read_back(written):
    _, archive, path = written
    again = read_archive(path)
    assert again == archive
    assert again.dataset.hash == archive.dataset.hash
    assert {k: s.hash for k, s in again.splits.items()} == {
        k: s.hash for k, s in archive.splits.items()
    }
    assert any(m.parents for m in again.materials)


def test_features_are_read_bit_for_bit(written, monkeypatch):
    featurizer, archive, path = written
    built = featurize_all(featurizer, archive.dataset.crystals, quiet=True)
    monkeypatch.setattr("supervision.data.featurize._read_entry", None)  # neither cache nor CIF
    found, rejects = featurize(featurizer, read_archive(path).dataset.crystals)
    assert found.keys() == built.keys() and not rejects
    for id, result in found.items():
        ours, theirs = result.to_arrays(), built[id].to_arrays()
        for name in theirs:
            assert ours[name].dtype == theirs[name].dtype, name
            assert np.array_equal(ours[name], theirs[name]), name


def samples_of(materials, featurizer):
    """What a network is trained on, of each model family."""
    targets = np.array([m.tc for m in materials])
    prepared = featurize_all(featurizer, [c for m in materials for c in m.crystals], quiet=True)
    if featurizer.kind == "graphs":
        return GraphSamples(materials, materials, targets, prepared, 8, 40_000, 42)
    return ViewSamples(
        TrainingViews(materials, targets, prepared, (0, 7), 8, 42), materials, prepared, 2, 2
    )


def tensors(inputs):
    if torch.is_tensor(inputs):
        return [inputs]
    return [value for value in vars(inputs).values() if torch.is_tensor(value)]


def test_batches_from_an_archive_equal_those_from_cif_files(written):
    featurizer, archive, path = written
    ours, theirs = (
        samples_of(materials, featurizer)
        for materials in (read_archive(path).materials, archive.materials)
    )
    steps = zip(ours.epoch_steps(1, RankShard()), theirs.epoch_steps(1, RankShard()), strict=True)
    for step, other in itertools.islice(steps, 2):
        for (inputs, targets, ids), (others, their_targets, their_ids) in zip(
            step, other, strict=True
        ):
            assert ids == their_ids and torch.equal(targets, their_targets)
            for one, two in zip(tensors(inputs), tensors(others), strict=True):
                assert torch.equal(one, two)


def test_requested_split_is_used(written, capsys):
    featurizer, archive, path = written
    asked = {"dataset": str(path), "data": "", "limit": 0, "seed": 42}
    for kind in archive.splits:
        experiment = Experiment.of(split=kind, **asked)
        prepared = split_materials(
            experiment, lambda c: featurize(featurizer, c)[1], lambda rejects: None
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
def test_options_that_contradict_the_archive_are_refused(written, change, message):
    asked = {"dataset": str(written[2]), "data": "", "limit": 0, "seed": 42} | change
    with pytest.raises(ValueError, match=message):
        Experiment.of(**asked)


def test_archive_of_another_featurizer_is_refused(written):
    featurizer, _, path = written
    other = dataclasses.replace(featurizer, version="v999")
    with pytest.raises(
        DatasetError, match=rf"holds {featurizer.name}, but {featurizer.kind}/v999 is needed"
    ):
        featurize(other, read_archive(path).dataset.crystals)


def changed(path, folder, member, change):
    """A copy with one changed file and valid zip checksums."""
    copy = folder / "changed.zip"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content) if name == member else content)
    return copy


def test_damaged_archive_is_refused(written, tmp_path):
    path = written[2]
    truncated = tmp_path / "truncated.zip"
    truncated.write_bytes(path.read_bytes()[:-200])
    flipped = bytearray(path.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    (tmp_path / "flipped.zip").write_bytes(flipped)
    for damaged in (truncated, tmp_path / "flipped.zip"):
        with pytest.raises(DatasetError, match="is damaged or not an archive"):
            read_archive(damaged)
    with pytest.raises(DatasetError, match="There is no archive"):
        read_archive(tmp_path / "nowhere.zip")


@pytest.mark.parametrize(
    ("member", "old", "new", "message"),
    [
        ("crystals.json", b'"weight": 1.0', b'"weight": 0.5', "the hash of its crystals is wrong"),
        ("splits.json", b'"train"', b'"val"', "the hash of a split is wrong"),
        ("archive.json", b'"format": 1', b'"format": 99', "is an archive of format 99"),
    ],
    ids=["crystals", "split", "format"],
)
def test_changed_archive_is_refused(written, tmp_path, member, old, new, message):
    def change(content):
        assert old in content
        return content.replace(old, new, 1)

    with pytest.raises(DatasetError, match=message):
        read_archive(changed(written[2], tmp_path, member, change))


def test_archive_holds_only_json_and_arrays(written):
    with zipfile.ZipFile(written[2]) as members:
        assert {name.rpartition(".")[2] for name in members.namelist()} == {"json", "npy"}
        assert json.loads(members.read("archive.json"))["made"]["dataset"] == "classics"


@pytest.mark.slow
def test_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    """A file of two megabytes whose content is two gigabytes."""
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
