"""The JARVIS data set, read from files in its formats."""

import json
import zipfile

import pytest
from example_structures import mgb2, nb3sn
from pymatgen.io.jarvis import JarvisAtomsAdaptor
from pymatgen.io.vasp import Poscar

from supervision.data.crystals import group_materials
from supervision.data.datasets import load_dataset
from supervision.data.errors import DatasetError


def public_row(name, structure, tc):
    """A row in the format of jarvis-tools."""
    return {"jid": name, "Tc": tc, "atoms": JarvisAtomsAdaptor.get_atoms(structure).to_dict()}


def poscar_row(name, structure, tc):
    return {
        "jid": name,
        "tc_kelvin": tc,
        "poscar": Poscar(structure).get_str(significant_figures=12),
    }


ROWS = [public_row("JVASP-1", nb3sn(), 17.5), public_row("JVASP-2", mgb2(), 33.1)]


def write_file(folder, suffix, rows):
    path = folder / f"data.{suffix}"
    if suffix == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    elif suffix == "json":
        path.write_text(json.dumps(rows))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("jarvis_epc_data_figshare_1058.json", json.dumps(rows))
    return str(path)


@pytest.mark.parametrize("suffix", ["jsonl", "json", "zip"])
def test_rows_become_crystals(tmp_path, suffix):
    dataset = load_dataset("jarvis_supercon", write_file(tmp_path, suffix, ROWS))
    assert [(c.id, c.formula, c.tc) for c in dataset.crystals] == [
        ("JVASP-1", "Nb3Sn", 17.5),
        ("JVASP-2", "MgB2", 33.1),
    ]
    for crystal, structure in zip(dataset.crystals, (nb3sn(), mgb2()), strict=True):
        assert crystal.structure.matches(structure)
        assert crystal.structure.volume == pytest.approx(structure.volume, rel=1e-6)


def test_both_row_formats_give_the_same_crystal(tmp_path):
    one, other = (
        load_dataset("jarvis_supercon", write_file(tmp_path, suffix, [make("a", nb3sn(), 1.0)]))
        for suffix, make in (("json", public_row), ("jsonl", poscar_row))
    )
    assert one.crystals[0].structure.matches(other.crystals[0].structure)


@pytest.mark.parametrize(
    "change",
    [{"Tc": None}, {"Tc": "na"}, {"Tc": -1.0}, {"atoms": {}}, {"atoms": "na"}],
    ids=["none", "na", "negative", "empty", "text"],
)
def test_invalid_row_is_a_reject_and_the_other_rows_are_read(tmp_path, change):
    dataset = load_dataset(
        "jarvis_supercon", write_file(tmp_path, "json", [ROWS[0] | change, ROWS[1]])
    )
    assert [c.id for c in dataset.crystals] == ["JVASP-2"]
    (reject,) = dataset.rejects
    assert reject.name == "JVASP-1"
    assert reject.reason.startswith("The row cannot be read (") and reject.reason.endswith(").")


@pytest.mark.parametrize("content", ["", "{", "{}", "[1]"])
def test_file_that_is_not_a_list_of_materials_is_refused(tmp_path, content):
    (tmp_path / "data.json").write_text(content)
    with pytest.raises(DatasetError, match=r"data\.json .*data=PATH"):
        load_dataset("jarvis_supercon", str(tmp_path / "data.json"))


def test_missing_file_is_refused():
    with pytest.raises(DatasetError, match=r"gone\.json is not a file\. Give a local copy"):
        load_dataset("jarvis_supercon", "gone.json")


def test_failed_download_says_how_to_give_a_local_copy(own_cache, monkeypatch):
    monkeypatch.setattr(
        "requests.get", lambda *_args, **_options: (_ for _ in ()).throw(OSError("no route"))
    )
    with pytest.raises(DatasetError, match=r"cannot be downloaded \(.*no route.*\)\. Give a local"):
        load_dataset("jarvis_supercon")


@pytest.mark.shared
def test_local_copy_is_complete(shared_data):
    path = shared_data / "jarvis_supercon" / "jarvis_supercon_3d.jsonl"
    dataset = load_dataset("jarvis_supercon", str(path))
    assert (len(dataset.crystals), len(dataset.rejects)) == (1056, 0)
    assert max(c.tc for c in dataset.crystals) == pytest.approx(33.47, abs=0.01)
    assert len(group_materials(dataset.crystals)) < 1056  # polymorphs are one material
