"""The SuperCon list: formulas without structures, its doubtful rows, its download."""

import pytest

from supervision.data.crystals import group_materials
from supervision.data.datasets import load_dataset, supercon
from supervision.data.datasets.sources import load_source
from supervision.data.errors import DatasetError

ROWS = "name,Tc\nBa0.4K0.6Fe2As2,31.2\nNb3Sn0.85Tl0.15,18.2\nCo1,0\n"


def write_rows(folder, text):
    path = folder / "supercon.csv"
    path.write_text(text)
    return str(path)


def load_rows(folder, *rows):
    return load_source("supercon", write_rows(folder, "\n".join(["name,Tc", *rows]) + "\n"))


def test_rows_become_crystals_without_a_structure(tmp_path):
    dataset = load_source("supercon", write_rows(tmp_path, ROWS))
    assert [(c.id, c.formula, c.cif, c.tc) for c in dataset.crystals] == [
        ("supercon row 1", "Ba0.4K0.6Fe2As2", "", 31.2),
        ("supercon row 2", "Nb3Sn0.85Tl0.15", "", 18.2),
        ("supercon row 3", "Co1", "", 0.0),
    ]
    assert (dataset.name, dataset.rejects) == ("supercon", ())
    assert dataset.crystals[0].composition["As"] == 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Hg1Sr2Cu2O6=z", "'Hg1Sr2Cu2O6=z' is not a chemical formula."),
        ("Hg0.3La0.25Cu1O4+2", "'Hg0.3La0.25Cu1O4+2' is not a chemical formula."),
        ("Sm1Ba-1Cu3O6.94", "'Sm1Ba-1Cu3O6.94' is not a chemical formula."),
        ("Y2C2Br0.5!1.5", "'Y2C2Br0.5!1.5' is not a chemical formula."),
        ("Ga1Sr2Ca3Cu4O11.", "'Ga1Sr2Ca3Cu4O11.' is not a chemical formula."),
        ("Xx1O2", "'Xx1O2' is not a chemical formula."),
        ("", "'' is not a chemical formula."),
        ("Bi4Sr3Ca2Cu4OY", "'Bi4Sr3Ca2Cu4OY' does not say how much O it has."),
        ("Bi2Sr2Ca1Cu2O", "'Bi2Sr2Ca1Cu2O' does not say how much O it has."),
        ("Nd1Ba2Cu3OO7", "'Nd1Ba2Cu3OO7' does not say how much O it has."),
        ("Ba1V0.8TI0.2S3", "'Ba1V0.8TI0.2S3' does not say how much T it has."),
        (
            "La2Sr0Cu0.8Zn0.2O4",
            "'La2Sr0Cu0.8Zn0.2O4' has 0 Sr; an amount must be above 0 and at most 150.",
        ),
        (
            "Y1Ba2Cu3O6050",
            "'Y1Ba2Cu3O6050' has 6050 O; an amount must be above 0 and at most 150.",
        ),
        ("Am1Pd5Al2", "There are no features for Am; they cover H to Pu."),
    ],
)
def test_doubtful_formula_is_rejected_and_not_guessed(tmp_path, name, reason):
    dataset = load_rows(tmp_path, f"{name},5", "Nb3Sn1,18")
    assert [c.id for c in dataset.crystals] == ["supercon row 2"]
    (reject,) = dataset.rejects
    assert (reject.name, reject.reason) == ("supercon row 1", reason)


@pytest.mark.parametrize(
    "name", ["Cu1O", "Nb1N", "C", "Pd1T0.81", "La2Cu1O4", "OsB2", "Ca24Al28O66"]
)
def test_clear_formula_is_kept_as_written(tmp_path, name):
    dataset = load_rows(tmp_path, f"{name},1.5")
    assert [c.formula for c in dataset.crystals] == [name]


@pytest.mark.parametrize("tc", ["", "na", "-1", "nan", "inf"])
def test_row_without_a_temperature_is_rejected(tmp_path, tc):
    (reject,) = load_rows(tmp_path, f"Nb3Sn1,{tc}").rejects
    assert reject.reason == f"Its Tc '{tc}' is not a temperature in kelvin (0 or more)."


@pytest.mark.parametrize(
    ("text", "message"),
    [("formula,tc\nNb,9\n", "lacks the column"), ("", "is not a CSV table")],
)
def test_other_table_is_refused(tmp_path, text, message):
    with pytest.raises(DatasetError, match=message):
        load_source("supercon", write_rows(tmp_path, text))


def test_missing_file_is_refused():
    with pytest.raises(DatasetError, match=r"gone\.csv is not a file\. Give a local copy"):
        load_source("supercon", "gone.csv")


def test_formulas_are_a_source_and_no_data_set():
    with pytest.raises(DatasetError, match=r"formulas without structures.*extra=supercon\."):
        load_dataset("supercon")


@pytest.mark.parametrize("name", ["classics", "3dsc", "nothing"])
def test_what_is_no_source_is_refused(name):
    with pytest.raises(DatasetError, match=f"'{name}' is unknown: give supercon, jarvis_supercon"):
        load_source(name)


@pytest.fixture
def public_list(own_cache, tmp_path, monkeypatch):
    """A file that replaces the public one; the cache is empty."""
    path = tmp_path / "public.csv"
    path.write_text(ROWS)
    monkeypatch.setattr(supercon, "URL", path.as_uri())
    monkeypatch.setattr(supercon, "SIZE_BYTES", len(ROWS))
    return path


def test_list_is_downloaded_once(public_list, own_cache):
    first = load_source("supercon")
    public_list.unlink()
    assert load_source("supercon").hash == first.hash
    assert [path.suffix for path in own_cache.iterdir()] == [".csv"]


@pytest.mark.parametrize("text", [ROWS[:-4], ROWS + "Nb1,9\n", "<html>Sign in</html>"])
def test_incomplete_or_wrong_download_is_refused_and_not_kept(public_list, own_cache, text):
    public_list.write_text(text)
    with pytest.raises(DatasetError, match=r"cannot be downloaded \(it is not .*\)\. Give a local"):
        load_source("supercon")
    assert list(own_cache.iterdir()) == []


def test_unreachable_server_says_how_to_give_a_local_copy(public_list, own_cache):
    public_list.unlink()
    with pytest.raises(DatasetError, match=r"cannot be downloaded .*extra_data=supercon=PATH"):
        load_source("supercon")
    assert list(own_cache.iterdir()) == []


@pytest.mark.shared
def test_local_copy_is_complete(shared_data):
    path = shared_data / "supercon" / "Supercon_data_by_2018_Stanev.csv"
    assert path.stat().st_size == supercon.SIZE_BYTES
    dataset = load_source("supercon", str(path))
    assert (len(dataset.crystals), len(dataset.rejects)) == (16_279, 135)
    dataset.check_loss()
    materials = group_materials(dataset.crystals)
    assert len(materials) == 15_776
    assert max(m.tc for m in materials) == 143.0
