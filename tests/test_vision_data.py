"""Views, training batches, cached scenes and exported images."""

from collections import Counter

import numpy as np
import pytest
import torch

from supervision.data.crystals import Crystal, group_materials
from supervision.data.datasets import load_dataset
from supervision.models.vision.data import TrainingViews, fixed_views, image_batches
from supervision.models.vision.export import export_views
from supervision.models.vision.featurize import featurize_scenes
from supervision.models.vision.render import draw
from supervision.models.vision.views import VIEWS, select_views
from supervision.training.batches import RankShard


@pytest.fixture(scope="module")
def materials():
    return group_materials(load_dataset("classics").crystals[:12])


@pytest.fixture(scope="module")
def scenes(materials):
    found, rejects = featurize_scenes([c for m in materials for c in m.crystals], quiet=True)
    assert not rejects
    return found


def training_views(materials, scenes, **changes):
    settings = {"views": tuple(range(18)), "batch_size": 5, "seed": 1} | changes
    return TrainingViews(materials, np.arange(len(materials)), scenes, **settings)


@pytest.mark.parametrize("count", [1, 2, 6, 18])
def test_selected_views_are_distinct(count):
    assert len(set(select_views(count))) == count


@pytest.mark.parametrize("count", [0, 19])
def test_invalid_view_counts_are_refused(count):
    with pytest.raises(ValueError, match=f"got {count}"):
        select_views(count)


def test_the_first_two_views_are_an_axis_and_a_rotation():
    assert [VIEWS[v].name for v in select_views(2)] == ["1x1x1-c", "2x2x1-r1"]


@pytest.mark.parametrize("count", range(1, 19))
def test_the_first_views_are_balanced_over_directions_and_supercells(count):
    chosen = [VIEWS[v] for v in select_views(count)]
    for n_values, counts in (
        (6, Counter(view.direction for view in chosen)),
        (3, Counter(view.repeats for view in chosen)),
    ):
        assert len(counts) == min(n_values, count)
        assert max(counts.values()) - min(counts.values()) <= 1 or len(counts) < n_values


def test_an_epoch_has_every_material_once_with_its_target(materials, scenes):
    seen = {}
    for ((images, targets, ids),) in training_views(materials, scenes).epoch_steps(1, RankShard()):
        assert images.dtype == torch.uint8
        assert images.shape[1:] == (3, 224, 224)
        assert len(images) == len(targets) == len(ids)
        seen |= dict(zip(ids, targets.tolist(), strict=True))
    assert seen == {m.id: i for i, m in enumerate(materials)}


def test_an_epoch_is_reproducible_and_differs_from_the_next(materials, scenes):
    batches = training_views(materials, scenes)
    first = [images for ((images, _, _),) in batches.epoch_steps(1, RankShard())]
    same = training_views(materials, scenes)
    again = [images for ((images, _, _),) in same.epoch_steps(1, RankShard())]
    other = [images for ((images, _, _),) in batches.epoch_steps(2, RankShard())]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_structures_are_drawn_by_weight():
    crystals = [Crystal("a", "Nb", "", 1.0, weight=0.0), Crystal("b", "Nb", "", 1.0, weight=1.0)]
    views = training_views(group_materials(crystals), {})
    assert {views.choose(epoch)[0][0].id for epoch in range(50)} == {"b"}


def test_all_views_and_structures_are_drawn_over_many_epochs():
    crystals = [Crystal(name, "Nb", "", 1.0, weight=1 / 3) for name in "abc"]
    views = training_views(group_materials(crystals), {})
    chosen = [views.choose(epoch)[0] for epoch in range(600)]
    assert {c.id for c, _ in chosen} == set("abc")
    assert {v for _, v in chosen} == set(range(18))


def test_fixed_views_cycle_through_the_structures():
    crystals = [Crystal(name, "Nb", "", 1.0) for name in "ab"]
    images, owners = fixed_views(group_materials(crystals), (0, 9, 17))
    assert images == [("a", 0), ("b", 9), ("a", 17)]
    assert owners == [0, 0, 0]


def test_batches_contain_the_drawn_images(materials, scenes):
    images, _ = fixed_views(materials, (0, 9))
    batches = torch.cat(list(image_batches(images, scenes, 7)))
    assert len(batches) == len(images)
    for image, (id, view) in zip(batches, images, strict=True):
        assert np.array_equal(image.permute(1, 2, 0).numpy(), draw(scenes[id], view))


def test_a_crystal_that_cannot_be_drawn_is_a_reject_with_a_reason(materials):
    good = materials[0].crystals[0]
    bad = [Crystal("prose.cif", "Nb", "not a crystal", 1.0), Crystal("empty.cif", "Nb", "", 1.0)]
    found, rejects = featurize_scenes([bad[0], good, bad[1]], quiet=True)
    assert set(found) == {good.id}
    assert [r.name for r in rejects] == ["prose.cif", "empty.cif"]
    assert all(r.reason.endswith(".") and "\n" not in r.reason for r in rejects)


def test_scenes_from_the_cache_equal_computed_scenes(materials, tmp_path, monkeypatch):
    monkeypatch.setenv("SUPERVISION_CACHE", str(tmp_path))
    crystals = [m.crystals[0] for m in materials[:3]]
    built, _ = featurize_scenes(crystals, quiet=True)
    cached, _ = featurize_scenes(crystals, quiet=True)
    assert len(list(tmp_path.rglob("*.npz"))) == 3
    for id, scene in built.items():
        for name, array in scene.to_arrays().items():
            assert np.array_equal(array, cached[id].to_arrays()[name])


def test_exported_files_contain_the_drawn_images_and_are_in_the_manifest(materials, tmp_path):
    import cv2
    import pandas as pd

    crystals = [materials[0].crystals[0]]
    manifest = pd.read_csv(export_views(crystals, (0, 9), tmp_path, quiet=True))
    scene = featurize_scenes(crystals, quiet=True)[0][crystals[0].id]
    assert list(manifest["view"]) == ["1x1x1-a", "2x2x1-r1"]
    for file, view in zip(manifest["file"], (0, 9), strict=True):
        rgb = cv2.imread(str(tmp_path / file))[..., ::-1]
        assert np.array_equal(rgb, draw(scene, view))
