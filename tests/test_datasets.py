"""Data sets: named ones, files and folders of users, and malformed or hostile files."""

import hashlib
import io
import os
import tarfile
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pymatgen.core import Composition, Lattice, Structure

from supervision.data.crystals import Crystal, Reject, group_materials
from supervision.data.datasets import Dataset, load_dataset, threedsc
from supervision.data.errors import CrystalError, DatasetError
from supervision.data.table import parse_table

TABLE = "data/final/MP/3DSC_MP.csv"
CIFS = "data/final/MP/cifs"


def cif_of(element, a=3.3):
    return Structure(Lattice.cubic(a), [element], [[0, 0, 0]]).to(fmt="cif")


NB, V, SN = cif_of("Nb"), cif_of("V", 3.0), cif_of("Sn", 3.2)


def message_of(caught):
    """The message, which must be one line and end like a sentence."""
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith((".", ")"))
    return text


# --- folders of CIF files, and tables


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(folder)


def test_folder_of_cif_files(tmp_path):
    folder = write(
        tmp_path / "mine",
        {"nb.cif": NB, "sub/v.cif": V, "tc.csv": "cif,tc,formula\nnb.cif,9.2,\nsub/v.cif,5.4,V\n"},
    )
    dataset = load_dataset(folder)
    assert dataset.name == "mine"
    assert dataset.rejects == ()
    found = {c.id: (c.formula, c.tc, c.cif, c.weight) for c in dataset.crystals}
    assert found == {"nb.cif": ("Nb1", 9.2, NB, 1.0), "v.cif": ("V", 5.4, V, 1.0)}


def test_unlisted_cif_files_are_rejects(tmp_path):
    folder = write(
        tmp_path, {"nb.cif": NB, "deep/more/v.cif": V, "tc.csv": "cif,tc\n./nb.cif,9.2\n"}
    )
    dataset = load_dataset(folder)
    assert [c.id for c in dataset.crystals] == ["nb.cif"]
    assert dataset.rejects == (Reject("deep/more/v.cif", "The file has no row in tc.csv."),)


def test_file_names_that_are_not_utf8_can_be_reported(tmp_path):
    folder = write(tmp_path, {"nb.cif": NB, "tc.csv": "cif,tc\nnb.cif,9.2\n"})
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.cif")).write_text(V)
    (reject,) = load_dataset(folder).rejects
    reject.name.encode()


def test_folder_without_tc_csv_says_what_to_add(tmp_path):
    with pytest.raises(DatasetError, match=r"no tc.csv: add one with the columns cif .* and tc"):
        load_dataset(write(tmp_path, {"nb.cif": NB}))


def test_table_with_paths(tmp_path):
    rows = "formula,tc,cif,parent_id,weight\nNb,9.2,cifs/nb.cif,mp-75,0.5\n V , 5.4 , v.cif ,,\n"
    write(tmp_path, {"cifs/nb.cif": NB, "v.cif": V, "metals.csv": rows})
    dataset = load_dataset(str(tmp_path / "metals.csv"))
    assert dataset.name == "metals"
    assert dataset.crystals == (
        Crystal("nb.cif", "Nb", NB, 9.2, "mp-75", 0.5),
        Crystal("v.cif", "V", V, 5.4),
    )


def test_table_with_cif_text(tmp_path):
    rows = f'formula,tc,cif\nNb,9.2,"{NB}"\nV,5.4,"\n# by hand\n{V}"\n'
    write(tmp_path, {"text.csv": rows})
    dataset = load_dataset(str(tmp_path / "text.csv"))
    assert [c.id for c in dataset.crystals] == ["row 1", "row 2"]
    assert [c.structure.composition for c in dataset.crystals] == [
        Composition("Nb"),
        Composition("V"),
    ]


def test_file_name_may_look_like_cif_text(tmp_path):
    write(tmp_path, {"data_1.cif": NB, "#2.cif": V, "t.csv": "formula,tc,cif\nNb,9,data_1.cif\n"})
    assert load_dataset(str(tmp_path / "t.csv")).crystals[0].cif == NB


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"# from the lab\n#\nformula,tc,cif\nNb,9.2,nb.cif\n", id="comments"),
        pytest.param(b"\xef\xbb\xbf# lab\nformula,tc,cif\nNb,9.2,nb.cif\n", id="mark, comment"),
        pytest.param(b"\xef\xbb\xbfformula,tc,cif\nNb,9.2,nb.cif\n", id="byte order mark"),
        pytest.param(b"formula,tc,cif\r\nNb,9.2,nb.cif\r\n", id="CRLF"),
        pytest.param(b"# lab\rformula,tc,cif\rNb,9.2,nb.cif\r", id="CR"),
        pytest.param(b"formula, tc, cif\nNb, 9.2, nb.cif\n", id="blanks"),
        pytest.param(b'"formula","tc","cif"\n"Nb","9.2","nb.cif"\n', id="quotes"),
        pytest.param(b"tc,note,cif,formula\n9.2,so,nb.cif,Nb\n", id="order and extra columns"),
        pytest.param(b"formula,tc,cif\n\n\nNb,9.2,nb.cif\n\n", id="empty lines"),
        pytest.param(b"formula,tc,cif\nNb,9.2,nb.cif", id="no last line end"),
    ],
)
def test_harmless_variants_of_a_table_are_read(tmp_path, raw):
    write(tmp_path, {"nb.cif": NB, "t.csv": raw})
    dataset = load_dataset(str(tmp_path / "t.csv"))
    assert dataset.crystals == (Crystal("nb.cif", "Nb", NB, 9.2),)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(b"", "is not a CSV table", id="empty"),
        pytest.param(b"# only a comment", "is not a CSV table", id="only a comment"),
        pytest.param(b"formula,tc\nNb,9.2\n", r"lacks the column\(s\) cif", id="no cif"),
        pytest.param(b"formula,tc, tc,cif\nNb,9,77,a\n", "more than one column tc", id="twice"),
        pytest.param(b"cif,formula,tc,cif\na,Nb,9,a\n", "than one column cif", id="two cif"),
        pytest.param(b"formula;tc;cif\nNb;9;a\n", r"column\(s\) cif, formula, tc", id="semicolons"),
        pytest.param(b"formula,tc,cif\nNb\xfc,9,a\n", "is not a CSV table in UTF-8", id="latin-1"),
        pytest.param("formula,tc,cif\n".encode("utf-16"), "not a CSV table in UTF-8", id="utf-16"),
        pytest.param(b'formula,tc,cif\n"Nb,9,a\n', "is not a CSV table", id="open quote"),
        pytest.param(b"formula,tc,cif\nNb,9,a\nV,5,b,6\n", "line 3", id="one row too long"),
        pytest.param(b"formula,tc,cif\nNb,9,a,1\n", "is not a CSV table", id="all rows too long"),
        pytest.param(b"\x00" * 99, "lacks the column", id="zeros"),
        pytest.param(bytes(range(256)), "CSV table|lacks the column", id="binary"),
        pytest.param(b"PK\x03\x04\x00\x00\n\x00", "CSV table|lacks the column", id="a spreadsheet"),
    ],
)
def test_invalid_table_is_refused(tmp_path, raw, reason):
    write(tmp_path, {"t.csv": raw})
    with pytest.raises(DatasetError, match=reason) as caught:
        load_dataset(str(tmp_path / "t.csv"))
    assert "t.csv" in message_of(caught)


def test_many_comment_lines_are_read_in_linear_time():
    raw = b"#\n" * 300_000 + b"tc\n1\n"  # quadratic copying would take minutes
    assert parse_table(raw, "t", {"tc"})["tc"].tolist() == ["1"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("Xy3,9.2,nb.cif,1", "'Xy3' is not a chemical formula"),
        ("Nb-Ti alloy,9.2,nb.cif,1", "is not a chemical formula"),
        ("Nb,,nb.cif,1", "Tc '' is not a temperature"),
        ("Nb,nine,nb.cif,1", "Tc 'nine' is not a temperature"),
        ("Nb,-1,nb.cif,1", "Tc '-1' is not a temperature"),
        ("Nb,nan,nb.cif,1", "Tc 'nan' is not a temperature"),
        ("Nb,inf,nb.cif,1", "Tc 'inf' is not a temperature"),
        ('Nb,"9,2",nb.cif,1', "Tc '9,2' is not a temperature"),
        ("Nb,9.2,,1", "There is no file ''"),
        ("Nb,9.2,gone.cif,1", "There is no file 'gone.cif'"),
        ("Nb,9.2,cifs,1", "There is no file 'cifs'"),
        (f"Nb,9.2,{'x' * 5000}.cif,1", "cannot be read"),
        ("Nb,9.2,a\x00b.cif,1", "cannot be read"),
        ("Nb,9.2,../secret.cif,1", "outside the folder"),
        ("Nb,9.2,cifs/../../secret.cif,1", "outside the folder"),
        ("Nb,9.2,/etc/passwd,1", "outside the folder"),
        ("Nb,9.2,link.cif,1", "outside the folder"),
        ("Nb,9.2,pipe.cif,1", "There is no file 'pipe.cif'"),
        ("Nb,9.2,/dev/zero,1", "outside the folder"),
        ("Nb,9.2,big.cif,1", "larger than 2 MB"),
        ("Nb,9.2,nb.cif,half", "weight 'half' is not a positive number"),
        ("Nb,9.2,nb.cif,0", "weight '0'"),
        ("Nb,9.2,nb.cif,-1", "weight '-1'"),
        ("Nb,9.2,nb.cif,nan", "weight 'nan'"),
        (",9.2,broken.cif,1", "The CIF could not be read"),
    ],
    ids=lambda value: value[:30],
)
def test_invalid_row_is_a_reject_with_its_reason(tmp_path, row, reason):
    folder = tmp_path / "inside"
    write(tmp_path, {"secret.cif": SN})
    write(folder, {"nb.cif": NB, "cifs/v.cif": V, "broken.cif": "data_x\n_cell_length_a 3\n"})
    write(folder, {"big.cif": b"#" * 5_000_001})
    (folder / "link.cif").symlink_to(tmp_path / "secret.cif")
    os.mkfifo(folder / "pipe.cif")
    write(folder, {"t.csv": f"formula,tc,cif,weight\n{row}\nV,5.4,cifs/v.cif,\n"})
    dataset = load_dataset(str(folder / "t.csv"))
    assert [c.id for c in dataset.crystals] == ["v.cif"]
    (reject,) = dataset.rejects
    assert reason in reject.reason
    assert reject.reason.endswith(".")
    assert reject.name


def test_symbolic_link_to_a_folder_is_read(tmp_path):
    write(tmp_path / "real", {"nb.cif": NB, "tc.csv": "cif,tc\nnb.cif,9.2\n"})
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert load_dataset(str(tmp_path / "link")).rejects == ()


def test_bytes_that_are_not_utf8_are_ignored_in_comments(tmp_path):
    write(tmp_path, {"nb.cif": "# Schrödinger\n".encode("latin-1") + NB.encode()})
    write(tmp_path, {"tc.csv": "cif,tc\nnb.cif,9.2\n"})
    assert load_dataset(str(tmp_path)).crystals[0].structure.composition == Composition("Nb")


def test_line_ends_and_byte_order_marks_do_not_change_the_hash(tmp_path):
    table = "cif,tc\nnb.cif,9.2\n"
    plain = load_dataset(write(tmp_path / "a", {"nb.cif": NB, "tc.csv": table}))
    windows = b"\xef\xbb\xbf" + NB.replace("\n", "\r\n").encode()
    other = load_dataset(write(tmp_path / "b", {"nb.cif": windows, "tc.csv": table}))
    assert other.hash == plain.hash


def test_ids_are_unique_and_do_not_depend_on_the_order_of_rows(tmp_path):
    write(tmp_path, {"a/x.cif": NB, "b/x.cif": V, "y.cif": SN})
    rows = ["Nb,9.2,a/x.cif", "V,5.4,b/x.cif", "Sn,3.7,y.cif"]
    hashes = []
    for order in (rows, rows[::-1]):
        write(tmp_path, {"t.csv": "\n".join(["formula,tc,cif", *order])})
        dataset = load_dataset(str(tmp_path / "t.csv"))
        assert {c.id for c in dataset.crystals} == {"a/x.cif", "b/x.cif", "y.cif"}
        hashes.append(dataset.hash)
    assert hashes[0] == hashes[1]


def test_one_structure_in_two_rows_gives_two_ids(tmp_path):
    rows = "formula,tc,cif\nNb,9.2,nb.cif\nNb0.9Ti0.1,9.5,nb.cif\n"
    write(tmp_path, {"nb.cif": NB, "t.csv": rows})
    dataset = load_dataset(str(tmp_path / "t.csv"))
    assert [c.id for c in dataset.crystals] == ["nb.cif (row 1)", "nb.cif (row 2)"]


def test_user_data_do_not_get_the_name_of_a_known_data_set(tmp_path):
    for name in ("3dsc", "Classics", "3DSC"):
        folder = write(tmp_path / name, {"nb.cif": NB, "tc.csv": "cif,tc\nnb.cif,9.2\n"})
        assert load_dataset(folder).name == f"own-{name}"


@pytest.mark.parametrize(
    "name",
    ["nonsense", "", "no/such/folder", "~nobody-has-this-name/x", "x" * 5000, "a\x00b"],
    ids=["word", "empty", "path", "public_server", "long", "NUL"],
)
def test_unknown_data_sets_are_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        DatasetError,
        match="is unknown: give classics, 3dsc, jarvis_supercon, alex_supercon, or the path",
    ) as caught:
        load_dataset(name)
    assert len(message_of(caught)) < 400


# --- properties of data sets


CRYSTALS = tuple(Crystal(f"{i}", f"Nb{i + 1}Sn", f"data_{i}", float(i)) for i in range(20))


def test_hash_does_not_depend_on_order():
    assert Dataset("a", CRYSTALS).hash == Dataset("b", CRYSTALS[::-1]).hash


@pytest.mark.parametrize(
    "change",
    [
        {"id": "other"},
        {"tc": 1.5},
        {"cif": "data_other"},
        {"formula": "Nb9Ge"},
        {"parent_id": "mp-1"},
        {"weight": 0.5},
    ],
    ids=lambda change: next(iter(change)),
)
def test_hash_depends_on_every_field(change):
    changed = (replace(CRYSTALS[0], **change), *CRYSTALS[1:])
    assert Dataset("a", changed).hash != Dataset("a", CRYSTALS).hash


def test_hash_is_sha256_of_one_line_per_crystal():
    (crystal,) = one = (Crystal("a", "Nb", "data_a", 9.2, None, 1.0),)
    line = f"a|Nb|9.2|None|1.0|{crystal.content_hash}\n"
    assert Dataset("x", one).hash == hashlib.sha256(line.encode()).hexdigest()


def rejects(count):
    return tuple(Reject(f"r{i}", "It is torn.") for i in range(count))


def test_more_than_five_percent_rejects_are_refused_unless_allowed():
    Dataset("a", CRYSTALS[:19], rejects(1)).check_loss()  # exactly 5%
    lossy = Dataset("a", CRYSTALS[:18], rejects(1))
    with pytest.raises(DatasetError, match=r"1 of 19 rows of a .* r0: It is torn\.") as caught:
        lossy.check_loss()
    assert "allow_loss=true" in message_of(caught)
    lossy.check_loss(allow_loss=True)


def test_data_set_without_crystals_is_always_refused():
    with pytest.raises(DatasetError, match="No crystal of a can be used"):
        Dataset("a", (), rejects(3)).check_loss(allow_loss=True)
    with pytest.raises(DatasetError, match="No crystal of a can be used"):
        Dataset("a", ()).check_loss()


def test_without_moves_crystals_to_the_rejects():
    dataset = Dataset("a", CRYSTALS, rejects(1)).without([Reject("3", "It cannot be drawn.")])
    assert [c.id for c in dataset.crystals if c.id == "3"] == []
    assert len(dataset.crystals) == 19
    assert [r.name for r in dataset.rejects] == ["r0", "3"]


# --- 3DSC from an archive


RELEASE = {
    TABLE: "# a comment\nformula_sc,tc,cif,material_id_2,weight,crystal_temp_2,synth_doped\n"
    f"Nb1,9.2,{CIFS}/Nb1-MP-mp-75.cif,mp-75,1.0,nan,False\n"
    f"Sn1V1,3.1,{CIFS}/V.cif,mp-2,0.5,1.5,True\n",
    f"{CIFS}/Nb1-MP-mp-75.cif": NB,
    f"{CIFS}/V.cif": V,
}


def member(name, content=b"", **attributes):
    info = tarfile.TarInfo(name)
    content = content.encode() if isinstance(content, str) else content
    info.size = len(content)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, content


def archive(path, files, *extra, prefix=""):
    """A tar file of ``files`` (name -> content) and ``extra`` members; suffix sets compression."""
    mode = {".gz": "w:gz", ".xz": "w:xz", ".tar": "w"}[path.suffix]
    with tarfile.open(path, mode) as tar:
        for info, content in [*(member(prefix + n, c) for n, c in files.items()), *extra]:
            tar.addfile(info, io.BytesIO(content))
    return str(path)


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.xz", ".tar"])
@pytest.mark.parametrize(
    "prefix",
    ["", "./", "3DSC-cd71d3a/superconductors_3D/", "./3DSC-cd71d3a/superconductors_3D/"],
    ids=["plain", "dot", "public", "dot public"],
)
def test_release_in_an_archive(tmp_path, suffix, prefix):
    path = archive(tmp_path / f"release{suffix}", RELEASE, prefix=prefix)
    dataset = load_dataset("3dsc", path)
    assert dataset.name == "3dsc"
    assert dataset.rejects == ()
    assert dataset.crystals == (
        Crystal("Nb1-MP-mp-75.cif", "Nb1", NB, 9.2, "mp-75", 1.0),
        Crystal("V.cif", "Sn1V1", V, 3.1, "mp-2", 0.5),
    )


@pytest.mark.parametrize("inside", ["", "3DSC-cd71d3a/superconductors_3D"], ids=["plain", "public"])
def test_release_in_a_folder_is_the_same_data_set(tmp_path, inside):
    packed = load_dataset("3dsc", archive(tmp_path / "r.tar.gz", RELEASE))
    write(tmp_path / "unpacked" / inside, RELEASE)
    unpacked = load_dataset("3dsc", str(tmp_path / "unpacked"))
    assert unpacked.hash == packed.hash
    assert unpacked.crystals == packed.crystals


def test_cif_files_may_precede_the_table_in_an_archive(tmp_path):
    turned = dict(reversed(RELEASE.items()))
    assert len(load_dataset("3dsc", archive(tmp_path / "r.tar.gz", turned)).crystals) == 2


def reason_for_v(tmp_path, *extra):
    """The reason for which V.cif is rejected in a release without it, with ``extra`` members."""
    files = {name: text for name, text in RELEASE.items() if not name.endswith("V.cif")}
    before = set(tmp_path.rglob("*"))
    path = archive(tmp_path / "r.tar.gz", files, *extra)
    dataset = load_dataset("3dsc", path)
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "r.tar.gz"}  # nothing was unpacked
    assert [c.id for c in dataset.crystals] == ["Nb1-MP-mp-75.cif"]
    (reject,) = dataset.rejects
    assert reject.name == "V.cif"
    return reject.reason


V_MEMBER = f"{CIFS}/V.cif"


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, id="symbolic link"),
        pytest.param({"type": tarfile.LNKTYPE, "linkname": TABLE}, id="hard link"),
        pytest.param({"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5}, id="/dev/zero"),
        pytest.param({"type": tarfile.BLKTYPE}, id="block device"),
        pytest.param({"type": tarfile.FIFOTYPE}, id="pipe"),
        pytest.param({"type": tarfile.DIRTYPE}, id="folder"),
    ],
)
def test_links_and_devices_in_an_archive_are_not_read(tmp_path, hostile):
    assert "no file" in reason_for_v(tmp_path, member(V_MEMBER, **hostile))


def test_a_large_cif_in_an_archive_is_not_read(tmp_path):
    big = member(V_MEMBER, b"#" * (threedsc.MAX_CIF_BYTES + 1))
    assert "larger than 2 MB" in reason_for_v(tmp_path, big)


def test_path_traversal_in_an_archive_writes_nothing(tmp_path):
    (tmp_path / "in").mkdir()
    reason = reason_for_v(
        tmp_path / "in",
        member("../data/final/MP/evil.cif", NB),
        member(str(tmp_path / "data/final/MP/evil.cif"), NB),
    )
    assert "no file" in reason
    assert not list(tmp_path.rglob("evil.cif"))


def test_table_in_an_archive_cannot_read_outside_files(tmp_path):
    secret = write(tmp_path, {"secret.cif": SN}) + "/secret.cif"
    rows = f"formula_sc,tc,cif\nNb,9.2,{CIFS}/V.cif\nSn,1,{secret}\nSn,1,../../secret.cif\n"
    dataset = load_dataset("3dsc", archive(tmp_path / "r.tar.gz", RELEASE | {TABLE: rows}))
    assert len(dataset.crystals) == 1
    assert len(dataset.rejects) == 2


def test_table_in_a_folder_cannot_read_outside_files(tmp_path):
    secret = write(tmp_path, {"secret.cif": SN}) + "/secret.cif"
    rows = f"formula_sc,tc,cif\nNb,9.2,{CIFS}/V.cif\nSn,1,{secret}\nSn,1,../secret.cif\n"
    write(tmp_path / "release", RELEASE | {TABLE: rows})
    dataset = load_dataset("3dsc", str(tmp_path / "release"))
    assert len(dataset.crystals) == 1
    assert all("outside" in reject.reason for reject in dataset.rejects)


def test_archive_with_too_much_content_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(threedsc, "MAX_RELEASE_BYTES", 1_000_000)
    bomb = {f"{CIFS}/{i}.cif": b"#" * 400_000 for i in range(3)}
    path = archive(tmp_path / "r.tar.gz", RELEASE | bomb)
    assert Path(path).stat().st_size < 10_000
    with pytest.raises(DatasetError, match="holds more than"):
        load_dataset("3dsc", path)


def test_a_table_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(threedsc, "MAX_TABLE_BYTES", 100)
    with pytest.raises(DatasetError, match=f"holds too large a {TABLE}"):
        load_dataset("3dsc", archive(tmp_path / "r.tar.gz", RELEASE))


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.xz"])
@pytest.mark.parametrize("place", [0.3, 0.6, 0.9, 0.999], ids=str)
@pytest.mark.parametrize("damage", ["flipped", "broken off"])
def test_damaged_archive_is_refused(tmp_path, suffix, place, damage):
    noise = {f"{CIFS}/noise.cif": hashlib.shake_256(b"noise").digest(20_000)}
    path = Path(archive(tmp_path / f"r{suffix}", RELEASE | noise))
    raw = bytearray(path.read_bytes())
    at = int(place * len(raw))
    path.write_bytes(raw[:at] if damage == "broken off" else flipped(raw, at))
    with pytest.raises(DatasetError, match="is not a readable archive") as caught:
        load_dataset("3dsc", str(path))
    assert "data=PATH" in message_of(caught)


def flipped(raw, at):
    raw[at] ^= 0x55
    return raw


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not a readable archive"),
        (b"<html>404</html>", "is not a readable archive"),
        (b"PK\x03\x04" + bytes(2000), "is not a readable archive"),
        (None, "does not exist"),
    ],
    ids=["empty", "web page", "zip", "missing"],
)
def test_file_that_is_not_an_archive_is_refused(tmp_path, content, reason):
    path = tmp_path / "r.tar.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatasetError, match=reason) as caught:
        load_dataset("3dsc", str(path))
    assert "data=PATH" in message_of(caught)


def test_a_release_without_its_table_is_refused(tmp_path):
    files = {name: text for name, text in RELEASE.items() if name != TABLE}
    with pytest.raises(DatasetError, match=f"holds no {TABLE}"):
        load_dataset("3dsc", archive(tmp_path / "r.tar.gz", files))
    with pytest.raises(DatasetError, match=f"holds no {TABLE}"):
        load_dataset("3dsc", write(tmp_path / "unpacked", files))


def test_a_release_with_another_table_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"lacks the column\(s\) formula_sc"):
        load_dataset("3dsc", archive(tmp_path / "r.tar.gz", RELEASE | {TABLE: "tc,cif\n1,a\n"}))


# --- download of 3DSC


class Server(ThreadingHTTPServer):
    """Answers every request with ``body`` under ``headers``, then closes the connection."""

    daemon_threads = True
    body, headers = b"", {}
    asked = 0


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked += 1
        self.send_response(200)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_):
        pass


@pytest.fixture
def public_server(own_cache, monkeypatch):
    """A local server that replaces the public one; the cache is empty."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    monkeypatch.setattr(threedsc, "URL", f"http://127.0.0.1:{server.server_port}/r.tar.gz")
    yield server
    server.shutdown()
    server.server_close()


def test_release_is_downloaded_once(public_server, tmp_path):
    public_server.body = Path(archive(tmp_path / "r.tar.gz", RELEASE)).read_bytes()
    public_server.headers = {"Content-Length": len(public_server.body)}
    assert len(load_dataset("3dsc").crystals) == 2
    assert len(load_dataset("3dsc").crystals) == 2
    assert public_server.asked == 1


def test_download_without_content_length_works(public_server, tmp_path):
    public_server.body = Path(archive(tmp_path / "r.tar.gz", RELEASE)).read_bytes()
    assert len(load_dataset("3dsc").crystals) == 2


@pytest.mark.parametrize(
    "how",
    ["shorter than promised", "broken off without a promise", "chunk broken off", "web page"],
)
def test_incomplete_or_wrong_download_is_refused_and_deleted(
    public_server, own_cache, tmp_path, how
):
    whole = Path(archive(tmp_path / "r.tar.gz", RELEASE)).read_bytes()
    half = whole[: len(whole) // 2]
    public_server.body, public_server.headers = {
        "shorter than promised": (half, {"Content-Length": len(whole)}),
        "broken off without a promise": (half, {}),
        "chunk broken off": (b"ffff\r\n" + half, {"Transfer-Encoding": "chunked"}),
        "web page": (b"<html>Sign in</html>", {"Content-Length": 20}),
    }[how]
    with pytest.raises(DatasetError, match="cannot be downloaded") as caught:
        load_dataset("3dsc")
    assert "data=PATH" in message_of(caught)
    assert list(own_cache.rglob("*")) == []
    public_server.body, public_server.headers = whole, {"Content-Length": len(whole)}
    assert len(load_dataset("3dsc").crystals) == 2  # a later download can succeed


def test_unreachable_server_says_how_to_give_a_local_copy(public_server, own_cache):
    public_server.shutdown()
    public_server.server_close()
    with pytest.raises(DatasetError, match=r"cannot be downloaded .*refused") as caught:
        load_dataset("3dsc")
    assert "Give a local copy with data=PATH" in message_of(caught)
    assert list(own_cache.rglob("*")) == []


# --- the real release


@pytest.fixture(scope="module")
def release(shared_data):
    return load_dataset("3dsc", str(shared_data / "3dsc/3DSC_MP.tar.xz"))


@pytest.mark.shared
def test_threedsc_is_complete(release):
    assert (len(release.crystals), len(release.rejects)) == (10_901, 0)
    assert release.hash == "f1ff03e4efa83530ca36c941e250687282fa3a60522eabf675e0d3f410d37183"
    materials = group_materials(release.crystals)
    assert len({c.formula for c in release.crystals}) == 5_823
    assert len(materials) == 5_813  # ten compositions are written in two ways
    assert sum(m.tc == 0 for m in materials) / len(materials) == pytest.approx(0.32, abs=0.02)
    assert max(m.tc for m in materials) == pytest.approx(132.9, abs=0.05)
    assert len({p for m in materials for p in m.parents}) == 5_021


@pytest.mark.shared
def test_threedsc_weights_add_up_to_its_5822_reported_compositions(release):
    assert sum(c.weight for c in release.crystals) == pytest.approx(5_822)


@pytest.mark.shared
def test_threedsc_structures_have_the_composition_of_their_formulas(release):
    """Every 200th structure has its reported composition, doping and vacancies included."""
    disordered = 0
    for crystal in release.crystals[::200]:
        found = crystal.structure.composition.fractional_composition
        assert found.almost_equals(Composition(crystal.formula).fractional_composition, atol=0.02)
        disordered += not crystal.structure.is_ordered
    assert disordered > 20


def test_file_missing_from_the_release_is_refused(tmp_path):
    _, read = threedsc.open_threedsc(archive(tmp_path / "r.tar.gz", RELEASE))
    with pytest.raises(CrystalError, match=r"The release has no file gone\.cif"):
        read("gone.cif")
