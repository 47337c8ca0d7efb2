"""The Alexandria data set, read from a stand-in in its format."""

import json
import zipfile

import pytest
from example_structures import mgb2, nb3sn
from pymatgen.io.jarvis import JarvisAtomsAdaptor

from supervision.data.datasets import load_dataset
from supervision.data.datasets.sources import load_source
from supervision.data.errors import DatasetError


def public_row(name, structure, tc):
    """A row with the keys of alex_supercon.json; la is lambda, wlog and debye are in K."""
    atoms = JarvisAtomsAdaptor.get_atoms(structure).to_dict()
    return {"id": name, "Tc": tc, "atoms": atoms, "la": 0.9, "wlog": 210, "debye": 300, "dosef": 2}


ROWS = [public_row("agm002", nb3sn(), 11.2), public_row("agm003", mgb2(), 22.5)]


class Server:
    """What jarvis-tools asks for the release: it answers with ``body``."""

    def __init__(self):
        self.asked, self.body = 0, b""
        self.headers = {}

    def get(self, url, **options):
        self.asked += 1
        return self

    def iter_content(self, size):
        yield self.body


@pytest.fixture
def server(own_cache, tmp_path, monkeypatch):
    """A server with the release; the cache is empty."""
    with zipfile.ZipFile(tmp_path / "served.zip", "w") as archive:
        archive.writestr("alex_supercon.json", json.dumps(ROWS))
    server = Server()
    server.body = (tmp_path / "served.zip").read_bytes()
    monkeypatch.setattr("requests.get", server.get)
    return server


def test_rows_become_crystals_with_structures(tmp_path):
    (tmp_path / "alex.json").write_text(json.dumps(ROWS))
    dataset = load_dataset("alex_supercon", str(tmp_path / "alex.json"))
    assert dataset.name == "alex_supercon"
    assert [(c.id, c.formula, c.tc) for c in dataset.crystals] == [
        ("agm002", "Nb3Sn", 11.2),
        ("agm003", "MgB2", 22.5),
    ]
    assert dataset.crystals[1].structure.matches(mgb2())


def test_the_same_rows_are_a_source(tmp_path):
    (tmp_path / "alex.json").write_text(json.dumps(ROWS))
    path = str(tmp_path / "alex.json")
    assert load_source("alex_supercon", path).hash == load_dataset("alex_supercon", path).hash


@pytest.mark.parametrize("tc", [None, float("nan"), -0.1, "na"])
def test_row_without_a_temperature_is_rejected(tmp_path, tc):
    (tmp_path / "alex.json").write_text(json.dumps([ROWS[0] | {"Tc": tc}, ROWS[1]]))
    dataset = load_dataset("alex_supercon", str(tmp_path / "alex.json"))
    assert [c.id for c in dataset.crystals] == ["agm003"]
    assert [reject.name for reject in dataset.rejects] == ["agm002"]


def test_release_is_downloaded_once(server, own_cache):
    first = load_dataset("alex_supercon")
    assert [c.id for c in first.crystals] == ["agm002", "agm003"]
    assert load_dataset("alex_supercon").hash == first.hash
    assert server.asked == 1
    assert [path.name for path in own_cache.iterdir()] == ["alex_supercon.json.zip"]


@pytest.mark.parametrize("what", ["web page", "broken off"])
def test_incomplete_or_wrong_download_is_refused_and_not_kept(server, own_cache, what):
    whole = server.body
    server.body = b"<html>Sign in</html>" if what == "web page" else whole[:-100]
    with pytest.raises(DatasetError, match=r"alex_supercon .*cannot be downloaded .*data=PATH"):
        load_dataset("alex_supercon")
    assert list(own_cache.iterdir()) == []
    server.body = whole
    assert len(load_dataset("alex_supercon").crystals) == 2  # a later download can succeed
