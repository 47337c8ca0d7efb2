"""Sources of a screening: every kind gives the same candidates, and a bad row costs no other."""

import gzip
import io
import json
import os
import tarfile
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import ase.db
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.io import write
from example_structures import ALL, la2cuo4, mgb2, nb3sn, niobium
from pymatgen.io.optimade import OptimadeStructureAdapter

from supervision.data.cif import parse_cif
from supervision.data.cif_writer import structure_to_cif
from supervision.data.errors import DatasetError
from supervision.data.structure_files import walk_files
from supervision.screening.sources import archives
from supervision.screening.sources.candidate import Candidate, Skipped, hull_energy
from supervision.screening.sources.candidates import candidates

CIFS = {f"{name}.cif": structure_to_cif(make()) for name, make in ALL.items()}
ORDERED = {"la2cuo4": la2cuo4, "mgb2": mgb2, "nb3sn": nb3sn, "niobium": niobium}
HULL = {"la2cuo4": 0.0, "mgb2": 0.01, "nb3sn": 0.02, "niobium": 0.03}  # eV per atom


def read(path):
    found = list(candidates(str(path)))
    return sorted(c for c in found if isinstance(c, Candidate)), [
        c.id for c in found if isinstance(c, Skipped)
    ]


# --- texts of CIF files


def folder(path):
    (path / "sub").mkdir(parents=True)
    for name, text in CIFS.items():
        (path / name).write_text(text)
    return path


def tar(path, kind):
    with tarfile.open(path, f"w:{kind}") as archive:
        for name, text in CIFS.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def zipped(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in CIFS.items():
            archive.writestr(name, text)
    return path


def parquet(path):
    columns = {"material_id": list(CIFS), "cif": list(CIFS.values())}
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


TEXTS = {
    "folder": lambda path: folder(path / "cifs"),
    "tar": lambda path: tar(path / "a.tar", ""),
    "tar.gz": lambda path: tar(path / "a.tar.gz", "gz"),
    "tar.xz": lambda path: tar(path / "a.txz", "xz"),
    "zip": lambda path: zipped(path / "a.zip"),
    "parquet": lambda path: parquet(path / "a.parquet"),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_every_kind_with_cif_texts_gives_the_same_candidates(kind, tmp_path):
    found, skipped = read(TEXTS[kind](tmp_path))
    assert found == sorted(Candidate(name, text) for name, text in CIFS.items())
    assert skipped == []


def test_tables_and_archives_in_a_folder_are_read_too(tmp_path):
    parquet(tmp_path / "b.parquet")
    zipped(tmp_path / "a.zip")
    (tmp_path / "damaged.tar").write_bytes(b"no archive")
    (tmp_path / "README.md").write_text("text")
    found, skipped = read(tmp_path)
    good = {c.id for c in found if not c.error}
    assert good == {*CIFS, *(f"a.zip/{name}" for name in CIFS)}
    (damaged,) = [c for c in found if c.error]
    assert damaged.id == "damaged.tar"
    assert "is damaged or not an archive" in damaged.error
    assert skipped == ["README.md"]


def test_files_come_in_the_order_of_their_paths(tmp_path):
    for name in ("b/2", "b/10", "a", "b.cif", "B", "a-b/c/d", "a-b/c.x"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "link").symlink_to(tmp_path / "b")
    expected = sorted(p for p in tmp_path.rglob("*") if not p.is_dir())
    assert list(walk_files(tmp_path)) == expected


# --- structures in other forms


def atoms_of(name):
    return ORDERED[name]().to_ase_atoms()


def extxyz(path):
    frames = [atoms_of(name) for name in ORDERED]
    for frame, name in zip(frames, ORDERED, strict=True):
        frame.info |= {"material_id": name, "e_above_hull": HULL[name]}
    write(path, frames, format="extxyz")
    return path


def database(path):
    with ase.db.connect(path) as found:
        for name in ORDERED:
            found.write(atoms_of(name), material_id=name, ehull=HULL[name])
    return path


def entry(name):
    resource = OptimadeStructureAdapter.get_optimade_structure(ORDERED[name]())
    attributes = resource["attributes"] | {"_alexandria_hull_distance": HULL[name]}
    return {"id": name, "type": "structures", "attributes": attributes}


def jsonl(path):
    lines = [{"x-optimade": {"meta": {"api_version": "1.1.0"}}}, {"type": "info", "id": "x"}]
    text = "\n".join(json.dumps(line) for line in [*lines, *map(entry, ORDERED)]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture
def optimade():
    """The address of a database that answers in two pages, and fails once in between."""
    entries, failures = list(map(entry, ORDERED)), [1]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            second = "page=2" in self.path
            if second and failures and failures.pop():
                self.send_error(503)
                return
            page = {"data": entries[2:] if second else entries[:2], "links": {"next": None}}
            if not second:
                page["links"]["next"] = {"href": "/v1/structures?page=2"}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(page).encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/structures"
    server.shutdown()
    server.server_close()


def assert_the_ordered_crystals(found):
    assert [c.id for c in found] == sorted(ORDERED)
    for given in found:
        structure, expected = parse_cif(given.cif), ORDERED[given.id]()
        assert structure.composition == expected.composition
        np.testing.assert_allclose(
            np.sort(structure.distance_matrix, axis=None),
            np.sort(expected.distance_matrix, axis=None),
            atol=1e-5,
        )
        assert given.energy_above_hull == HULL[given.id]


KINDS = {"a.extxyz": extxyz, "a.db": database, "a.jsonl": jsonl, "a.jsonl.gz": jsonl}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_structures_gives_the_same_crystals(name, tmp_path):
    found, _ = read(KINDS[name](tmp_path / name))
    assert_the_ordered_crystals(found)


def test_an_optimade_address_is_read_page_by_page(optimade, monkeypatch):
    monkeypatch.setattr("supervision.screening.sources.optimade.PAUSE_SECONDS", 0)
    assert_the_ordered_crystals(read(optimade)[0])


def test_an_address_that_is_no_database_is_one_sentence(optimade, monkeypatch):
    monkeypatch.setattr("supervision.screening.sources.optimade.PAUSE_SECONDS", 0)
    with pytest.raises(DatasetError, match="does not answer as OPTIMADE"):
        read(optimade.replace("http:", "https:"))


def test_frames_in_an_archive_are_read_and_other_structure_files_too(tmp_path):
    nb3sn().to(filename=str(tmp_path / "POSCAR"), fmt="poscar")
    nb3sn().to(filename=str(tmp_path / "a.json"), fmt="json")
    (tmp_path / "settings.json").write_text("{}")
    extxyz(tmp_path / "a.extxyz")
    with tarfile.open(tmp_path / "all.tar", "w") as archive:
        for name in ("POSCAR", "a.json", "settings.json", "a.extxyz"):
            archive.add(tmp_path / name, f"set/{name}")
    found, skipped = read(tmp_path / "all.tar")
    assert [c.id for c in found] == sorted([*ORDERED, "set/POSCAR", "set/a.json"])
    assert not any(c.error for c in found)
    assert skipped == ["set/settings.json"]


def test_optimade_species_that_share_a_site_keep_their_shares(tmp_path):
    shared = entry("niobium")
    shared["attributes"]["species"] = [
        {
            "name": "Nb",
            "chemical_symbols": ["Nb", "Ti", "vacancy"],
            "concentration": [0.7, 0.2, 0.1],
        }
    ]
    (tmp_path / "a.jsonl").write_text(json.dumps(shared))
    ((found,), _) = read(tmp_path / "a.jsonl")
    (site,) = parse_cif(found.cif)
    assert site.species.as_dict() == pytest.approx({"Nb": 0.7, "Ti": 0.2})


def test_formulas_are_candidates_without_a_structure(tmp_path):
    pq.write_table(pa.table({"formula": ["MgB2", None]}), tmp_path / "a.parquet")
    good, bad = read(tmp_path / "a.parquet")[0]
    assert good == Candidate("a.parquet row 1", formula="MgB2")
    assert bad.error == "The row has no structure."
    (tmp_path / "a.csv").write_text("formula\nNb3Sn\n")
    ((row,), _) = read(tmp_path / "a.csv")
    assert row.formula == "Nb3Sn"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"energy_above_hull": 0.1, "ehull": 0.2}, 0.1),
        ({"_oqmd_stability": -0.01}, -0.01),
        ({"e_above_hull": float("nan")}, None),
        ({"_mp_stability": {"gga": 0.1}}, None),
        ({}, None),
    ],
)
def test_the_energy_above_the_hull_has_several_names(values, expected):
    assert hull_energy(values) == expected


# --- variants of the structures in another source


def generated(path, query="?fractions=1&plausibility=0.04"):
    return [c for c in candidates(f"generate:{path}{query}") if isinstance(c, Candidate)]


@pytest.mark.parametrize("kind", TEXTS)
def test_the_variants_of_every_kind_of_source_are_the_same(kind, tmp_path):
    expected = {c.id for c in generated(folder(tmp_path / "expected"))}
    assert {c.id for c in generated(TEXTS[kind](tmp_path))} == expected
    assert {"mgb2_Mg-Ca", "nb3sn_Nb-Ta"} < expected


def test_variants_are_the_same_every_time_and_of_the_composition_that_their_id_states(tmp_path):
    (tmp_path / "mgb2.cif").write_text(CIFS["mgb2.cif"])
    found = generated(tmp_path, "?fractions=0.25,1")
    assert found == generated(tmp_path, "?fractions=0.25,1")
    assert len({c.id for c in found}) == len(found)
    by_id = {c.id: parse_cif(c.cif).composition.as_dict() for c in found}
    assert by_id["mgb2_Mg-Ca"] == {"Ca": 1, "B": 2}
    assert by_id["mgb2_B-Al0.25"] == pytest.approx({"Mg": 1, "B": 1.5, "Al": 0.5})


def test_two_cells_of_a_parent_give_each_variant_once(tmp_path):
    (tmp_path / "a.cif").write_text(CIFS["mgb2.cif"])
    once = generated(tmp_path)
    (tmp_path / "b.cif").write_text(structure_to_cif(mgb2() * (1, 1, 2)))
    assert generated(tmp_path) == once


def test_a_parent_that_cannot_be_read_costs_no_other(tmp_path):
    (tmp_path / "a.cif").write_text("data_x\n_cell_length_a 1\n")
    (tmp_path / "b.csv").write_text("formula\nMgB2\n")
    (tmp_path / "c.cif").write_text(CIFS["mgb2.cif"])
    bad, *good = generated(tmp_path)
    assert bad.id == "a.cif" and bad.error and not any(c.error for c in good)
    ((formula,), _) = read(f"generate:{tmp_path / 'b.csv'}")
    assert formula.error == "It is a formula without a structure; give a structure."


def test_the_parents_of_a_data_set_have_variants():
    found = candidates("generate:classics?fractions=1&plausibility=0.3")
    assert next(found).cif.startswith("data_")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("generate:", "names no parents"),
        ("generate:missing", "missing is neither a file nor a folder."),
        ("generate:a?fractions=2", "fractions must be numbers over 0 up to 1, got '2'; give"),
        ("generate:a?colour=red", "'colour' is not one of fractions, replacements"),
        ("generate:a?fractions", "The source generate:a"),
    ],
)
def test_a_wrong_spelling_of_variants_is_one_sentence(source, message):
    with pytest.raises(DatasetError, match=message) as refused:
        list(candidates(source))
    assert str(refused.value).count("\n") == 0


# --- what cannot be read


def errors(path):
    return {c.id: c.error for c in read(path)[0]}


def test_a_bad_frame_costs_no_other(tmp_path):
    frames = [atoms_of("nb3sn"), Atoms("H2", [[0, 0, 0], [0, 0, 1]]), atoms_of("mgb2")]
    write(tmp_path / "a.extxyz", frames, format="extxyz")
    text = (tmp_path / "a.extxyz").read_text().replace("Mg ", "Qq ", 1)
    (tmp_path / "a.extxyz").write_text(text + "three\nlines\n")
    found = errors(tmp_path / "a.extxyz")
    assert list(found) == [f"a.extxyz ({n})" for n in (1, 2, 3, 4)]
    first, molecule, unknown, rest = found.values()
    assert first == ""
    assert "not periodic in three directions" in molecule
    assert "could not be read" in unknown
    assert rest == (
        "A line that must give a number of atoms is 'three'. The rest of the file is not read."
    )


def test_a_frame_with_too_many_atoms_is_dropped_as_it_is_read(tmp_path):
    rows = "Nb 0 0 0\n" * 1001
    (tmp_path / "a.xyz").write_text(f'1001\nLattice="9 0 0 0 9 0 0 0 9"\n{rows}')
    assert errors(tmp_path / "a.xyz") == {"a.xyz (1)": "The cell holds more than 1,000 atoms."}
    (tmp_path / "b.xyz").write_text('3\nLattice="9 0 0 0 9 0 0 0 9"\nNb 0 0 0\n')
    (error,) = errors(tmp_path / "b.xyz").values()
    assert error.startswith("The file ends after 1 of the 3 atoms of a frame.")


def test_a_bad_row_of_a_table_costs_no_other(tmp_path):
    texts = pa.array([b"data_a", b"\xff\xfe", b""]).cast(pa.binary())
    cif = pa.Array.from_buffers(pa.string(), 3, texts.buffers())  # as other writers may leave it
    pq.write_table(pa.table({"id": [7, 8, 9], "cif": cif}), tmp_path / "a.parquet")
    found = errors(tmp_path / "a.parquet")
    assert found == {
        "7": "",
        "a.parquet row 2": "The row is not text in UTF-8.",
        "9": "The row has no structure.",
    }


def test_a_bad_line_of_optimade_costs_no_other(tmp_path):
    broken = entry("mgb2")
    del broken["attributes"]["lattice_vectors"]
    flat = entry("nb3sn")
    flat["attributes"]["nperiodic_dimensions"] = 2
    lines = ["{", json.dumps(broken), json.dumps(flat), json.dumps(entry("niobium")), "[]"]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    found = errors(tmp_path / "a.jsonl")
    assert found["a.jsonl line 1"] == "The line is not JSON."
    assert "KeyError: 'lattice_vectors'" in found["mgb2"]
    assert found["nb3sn"] == "The structure is not periodic in three directions."
    assert found["niobium"] == ""
    assert found["a.jsonl line 5"] == "The line is not an entry of OPTIMADE."


def test_a_bad_row_of_a_database_costs_no_other(tmp_path):
    with ase.db.connect(tmp_path / "a.db") as found:
        found.write(Atoms("H2", [[0, 0, 0], [0, 0, 1]]))
        found.write(atoms_of("nb3sn"))
    bad, good = errors(tmp_path / "a.db").values()
    assert "not periodic in three directions" in bad
    assert good == ""


def test_a_damaged_member_of_a_zip_archive_costs_no_other(tmp_path):
    path = zipped(tmp_path / "a.zip")
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("mgb2.cif").header_offset + 60
    raw[start : start + 20] = bytes(20)
    path.write_bytes(raw)
    found = errors(path)
    assert "The member cannot be read" in found.pop("mgb2.cif")
    assert set(found.values()) == {""}


def test_a_member_that_is_too_large_is_not_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.cif", " " * 3_000_000)
    assert errors(tmp_path / "a.zip") == {"a.cif": "The file is larger than 2 MB."}


@pytest.mark.parametrize("name", ["a.zip", "a.tar.xz"])
def test_an_archive_that_would_be_far_larger_than_its_file_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "UNCHECKED_CONTENT_BYTES", 1_000)
    monkeypatch.setattr(archives, "MAX_COMPRESSION_RATIO", 100)
    zeros = bytes(1_000_000)
    if name == "a.zip":
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.cif", zeros)
    else:
        with tarfile.open(tmp_path / name, "w:xz") as archive:
            member = tarfile.TarInfo("a.cif")
            member.size = len(zeros)
            archive.addfile(member, io.BytesIO(zeros))
    with pytest.raises(DatasetError, match="is refused: it would hold over 1 MB, more than 100"):
        read(tmp_path / name)


def test_links_in_an_archive_are_not_followed(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("a.cif")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert read(tmp_path / "a.tar") == ([], [])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.parquet", "is damaged or not a Parquet table"),
        ("a.db", "is damaged or not an ASE database"),
        ("a.tar.gz", "is damaged or not an archive"),
        ("a.zip", "is damaged or not an archive"),
        ("a.jsonl.gz", "cannot be read"),
        ("missing", "is neither a file nor a folder"),
    ],
)
def test_a_damaged_source_is_one_sentence(name, message, tmp_path):
    if name != "missing":
        (tmp_path / name).write_bytes(b"no such file " * 100)
    with pytest.raises(DatasetError, match=message) as refused:
        read(tmp_path / name)
    assert str(refused.value).count("\n") == 0


def test_a_table_without_structures_says_what_it_has(tmp_path):
    pq.write_table(pa.table({"tc": [1.0], "a": ["b"]}), tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match="has neither a column cif nor formula; it has tc, a"):
        read(tmp_path / "a.parquet")


def test_pipes_devices_and_loops_cost_no_good_file(tmp_path):
    (tmp_path / "good.cif").write_text(CIFS["mgb2.cif"])
    (tmp_path / "loop.cif").symlink_to(tmp_path / "loop.cif")
    (tmp_path / "loop.zip").symlink_to(tmp_path / "loop.zip")
    (tmp_path / "zero.extxyz").symlink_to("/dev/zero")
    for name in ("a.cif", "a.parquet", "a.tar", "a.jsonl", "a.db"):
        os.mkfifo(tmp_path / name)
    found = errors(tmp_path)
    assert found.pop("good.cif") == ""
    assert "not a regular file" in found["a.cif"]
    assert found["a.parquet"] == "a.parquet is not a regular file."
    assert len(found) == 8 and all(found.values())
    with pytest.raises(DatasetError, match="is a pipe, a device or a socket"):
        read(tmp_path / "a.parquet")


def test_names_are_printable(tmp_path):
    (tmp_path / "a\x1b[2J.cif").write_text(CIFS["mgb2.cif"])
    pq.write_table(pa.table({"id": ["\x1b[2J"], "cif": ["data_a"]}), tmp_path / "b.parquet")
    assert all(c.id.isprintable() for c in read(tmp_path)[0])
    assert Path(tmp_path / "a\x1b[2J.cif").is_file()
