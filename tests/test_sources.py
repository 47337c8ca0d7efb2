"""Sources beside the data set: their options, their rows, and what of them is trained on."""

import pytest

from supervision.data.errors import DatasetError
from supervision.data.sources import SOURCES
from supervision.data.splits import NEAR
from supervision.experiment.sources import (
    SourceSpec,
    load_rows,
    parse_sources,
    require_equal_weights,
    require_structures,
)
from supervision.experiment.spec import Experiment, split_materials

LIST = """name,Tc
Mg1B2,39
Mg2B4,37
Mg0.9Sc0.1B2,30
Zr1Zn4,0
Nb3Sn1=z,18
"""


def no_rejects(crystals):
    return []


@pytest.fixture
def supercon(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text(LIST)
    return str(path)


def test_sources_have_a_local_copy_and_a_weight_each():
    found = parse_sources(
        "supercon, jarvis_supercon", "supercon=a b.csv", "jarvis_supercon=0.5,supercon=2"
    )
    assert found == [SourceSpec("supercon", "a b.csv", 2.0), SourceSpec("jarvis_supercon", "", 0.5)]
    assert parse_sources("", "", "") == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("icsd", "", ""), "extra 'icsd' is not one of supercon, jarvis_supercon, alex_supercon"),
        (("supercon,supercon", "", ""), "extra names supercon twice"),
        (("supercon", "list.csv", ""), "extra_data must be NAME=VALUE,NAME=VALUE, got 'list.csv'"),
        (("supercon", "jarvis_supercon=x", ""), "names jarvis_supercon, which is not in extra"),
        (("supercon", "", "supercon=0"), "the weight of supercon must be above 0, got '0'"),
        (("supercon", "", "supercon=much"), "the weight of supercon must be above 0, got 'much'"),
        (("supercon", "", "supercon=nan"), "the weight of supercon must be above 0, got 'nan'"),
    ],
)
def test_options_that_are_not_understood_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Experiment(**dict(zip(("extra", "extra_data", "extra_weights"), options, strict=True)))


def test_rows_become_materials_of_their_source(supercon):
    rows, rejects = load_rows(SourceSpec("supercon", supercon, 0.5), no_rejects)
    found = {row.formula: row for row in rows}
    assert set(found) == {"Mg1B2", "Mg0.9Sc0.1B2", "Zr1Zn4"}
    assert found["Mg1B2"].tc == 38  # the mean of two rows
    for row in rows:
        assert row.source == "supercon" and row.id.startswith("supercon/")
        assert row.weight == 0.5 and not row.is_computed
    assert [r.name for r in rejects] == ["supercon/supercon row 5"]


@pytest.mark.shared
def test_theory_rows_are_marked_as_computed(shared_data):
    path = shared_data / "jarvis_supercon/jarvis_supercon_3d.jsonl"
    rows, _ = load_rows(SourceSpec("jarvis_supercon", str(path)), no_rejects)
    assert len(rows) > 900 and all(row.is_computed for row in rows)
    assert all(crystal.cif for row in rows for crystal in row.crystals)


def test_a_missing_source_is_one_sentence(tmp_path):
    with pytest.raises(DatasetError, match="is not a file"):
        load_rows(SourceSpec("supercon", str(tmp_path / "nothing.csv")), no_rejects)


def test_a_family_that_reads_structures_refuses_formulas():
    require_structures([SourceSpec("jarvis_supercon")], "graph")
    with pytest.raises(ValueError, match="extra=supercon has formulas without structures"):
        require_structures([SourceSpec("supercon")], "graph")
    assert not SOURCES["supercon"].has_structures


def test_a_family_that_counts_every_material_once_refuses_weights():
    require_equal_weights([SourceSpec("jarvis_supercon")], "graph")
    with pytest.raises(ValueError, match=r"jarvis_supercon=0\.25 is for models of trees"):
        require_equal_weights([SourceSpec("jarvis_supercon", weight=0.25)], "graph")


@pytest.mark.parametrize("split", ["random", "family", "novel"])
def test_rows_near_to_held_out_materials_are_not_trained_on(supercon, split):
    """MgB2 is in the data set; its doped sister is near to it, wherever MgB2 is."""
    experiment = Experiment(split=split, extra="supercon", extra_data=f"supercon={supercon}")
    rejected = []
    splits = split_materials(experiment, no_rejects, rejected.extend)
    part = next(p for id, p in splits.split.parts.items() if id == "B0.6667-Mg0.3333")
    parts = {row.formula: splits.extra_parts[row.id] for row in splits.extra}
    assert parts["Mg1B2"] == "known" and parts["Zr1Zn4"] == "train"
    near = part in NEAR and split == "novel"
    assert parts["Mg0.9Sc0.1B2"] == (NEAR[part] if near else "train")
    formulas = [m.formula for m in splits.training()]
    assert "Zr1Zn4" in formulas and len(formulas) == len(splits.part("train")) + 1 + (not near)
    assert "supercon/supercon row 5" in [reject.name for reject in rejected]
    assert splits.extra_hash


def test_rows_near_to_validation_materials_may_be_trained_on_before_the_test(supercon):
    experiment = Experiment(split="novel", extra="supercon", extra_data=f"supercon={supercon}")
    splits = split_materials(experiment, no_rejects, lambda rejects: None)
    after = splits.training_after_validation()
    assert {m.id for m in splits.training()} < {m.id for m in after}
    assert not {m.id for m in after} & {m.id for m in splits.part("test")}
    assert {m.id for m in splits.part("val")} <= {m.id for m in after}
