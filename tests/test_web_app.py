"""The routes of the page's server, asked over HTTP in this process."""

import csv
import json
import re
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import uvicorn

import supervision
from entrypoints import predict
from supervision.data.datasets.classics import load_classics
from supervision.runtime.version import code_version
from supervision.web import app as web
from supervision.web import page as web_page
from supervision.web.page import EXAMPLES as PAGE_EXAMPLES
from tracking.serving.site import load_site

EXAMPLES = {crystal.id: crystal for crystal in load_classics()}
LSCO = {"name": "lsco", "text": EXAMPLES["lsco0.15"].cif}
PAIR = {"host": "La", "dopant": "Sr"}
TOO_LONG = (
    "This took longer than 0.2 s and was given up; give a smaller cell of the crystal, or try "
    "again when the server is less busy."
)


@pytest.fixture(scope="module")
def url():
    site = load_site("released:fast", {"graph": "", "vision": ""})
    server = uvicorn.Server(uvicorn.Config(web.create_app(site), port=0, log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def get(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read().decode(), answer.headers


def post(url, body):
    """Status and content of the answer to a JSON body."""
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read().decode()
            return answer.status, json.loads(text) if text.startswith("{") else text
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


# --- predictions


def test_predictions_are_those_of_the_model(url):
    body = {"dataframe_records": [{"id": "a", "cif": LSCO["text"]}, {"id": "b", "formula": "MgB2"}]}
    status, answer = post(f"{url}/predict", body)
    model = supervision.load(fast=True)
    assert status == 200
    assert [row["name"] for row in answer["predictions"]] == ["a", "b"]
    assert answer["predictions"][0]["tc_kelvin"] == model.answer(LSCO["text"]).tc_kelvin
    assert answer["predictions"][1]["tc_kelvin"] > 30


def test_both_forms_of_a_table_give_the_same_answer(url):
    split = {"columns": ["id", "cif"], "data": [["a", LSCO["text"]]]}
    answers = [
        post(f"{url}/predict", {"dataframe_split": split}),
        post(f"{url}/predict", {"dataframe_records": [{"id": "a", "cif": LSCO["text"]}]}),
    ]
    assert answers[0] == answers[1]


def test_a_bad_row_is_an_answer_with_nulls_and_strict_refuses_it(url):
    rows = [{"id": "good", "cif": LSCO["text"]}, {"id": "bad", "cif": "data_x"}]
    status, answer = post(f"{url}/predict", {"dataframe_records": rows})
    good, bad = answer["predictions"]
    assert (status, good["error"]) == (200, "")
    assert bad["error"].endswith(".")
    assert bad["tc_kelvin"] is None
    status, answer = post(f"{url}/predict", {"dataframe_records": rows, "params": {"strict": True}})
    assert (status, answer) == (400, {"error": f"bad: {bad['error']}"})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "either 'dataframe_split' or 'dataframe_records'"),
        ({"dataframe_split": [], "dataframe_records": []}, "either 'dataframe_split'"),
        ({"dataframe_split": []}, "must have 'columns', a list of names, and 'data', a list"),
        ({"dataframe_split": {"columns": [1], "data": []}}, "a list of names"),
        ({"dataframe_split": {"columns": ["cif"], "data": [["a", "b"]]}}, "one value for each"),
        ({"dataframe_split": {"columns": ["cif"], "data": ["ab"]}}, "one value for each"),
        ({"dataframe_records": {"cif": "a"}}, "must be a list of objects"),
        ({"dataframe_records": ["a"]}, "must be a list of objects"),
        ({"dataframe_records": []}, "The input has no rows."),
        ({"dataframe_records": [{"id": "a"}]}, "neither a column 'cif' nor 'formula'"),
        ({"dataframe_records": [{"cif": "a"}], "params": {"strict": 1}}, "'strict' true or false"),
        ({"dataframe_records": [{"cif": "a"}], "params": {"stric": True}}, "unknown 'stric'; it"),
        ({"dataframe_records": [{"cif": "a"}], "params": [1]}, "'params' must be an object"),
    ],
)
def test_a_wrong_table_gets_one_sentence(url, body, message):
    status, answer = post(f"{url}/predict", body)
    assert status == 400
    assert message in answer["error"]
    assert answer["error"].endswith(".")


# --- what the page asks


def test_an_edited_crystal_is_predicted_as_on_its_curve(url):
    _, curve = post(f"{url}/series", LSCO | PAIR)
    status, edited = post(f"{url}/substitute", LSCO | PAIR | {"fraction": 0.1})
    assert status == 200
    row = {"cif": edited["text"]}
    _, answer = post(f"{url}/predict", {"dataframe_records": [row]})
    (point,) = [p for p in curve["points"] if p["fraction"] == 0.1]
    assert answer["predictions"][0]["tc_kelvin"] == pytest.approx(point["tc_kelvin"])


def test_a_formula_has_the_family_of_a_crystal_of_the_same_composition(url):
    crystal = {"name": "Nb3Sn", "text": EXAMPLES["nb3sn"].cif}
    status, found = post(f"{url}/family", {"formula": "Nb3Sn"})
    assert status == 200 and len(found["known"]) > 3
    assert found["known"] == post(f"{url}/crystal", crystal)[1]["known"]


def test_the_csv_table_is_that_of_the_command(url, tmp_path):
    for name in ("mgb2", "lsco0.15"):
        (tmp_path / f"{name}.cif").write_text(EXAMPLES[name].cif)
    (tmp_path / "bad.cif").write_text("data_x")
    out = tmp_path / "table.csv"
    with suppress(SystemExit):  # 1, because of the bad file
        predict.main([tmp_path], fast=True, out=out)
    rows = csv.DictReader(out.open(newline=""))
    records = [{"id": row["file"], "cif": Path(row["file"]).read_text()} for row in rows]
    _, answer = post(f"{url}/predict", {"dataframe_records": records})
    assert post(f"{url}/csv", {"rows": answer["predictions"]}) == (200, out.read_text())


@pytest.mark.parametrize(
    ("path", "change", "message"),
    [
        ("family", {"formula": "xyz"}, "is not a chemical formula"),
        ("csv", {"rows": 1}, "must have 'rows'"),
        ("csv", {"rows": [{"name": "a", "tc_kelvin": "b"}]}, "must have 'rows'"),
        ("crystal", {"text": ""}, "is empty"),
        ("crystal", {"text": 1}, "must have a text 'text'"),
        ("crystal", {"text": "data_x"}, "so no atoms"),
        ("series", {"host": "Fe"}, "The crystal has no 'Fe' to replace"),
        ("substitute", {"fraction": True}, "must have a number 'fraction'"),
        ("substitute", {"fraction": 2}, "must be 0 to 1"),
        ("explain", {"text": "data_x"}, "so no atoms"),
    ],
)
def test_a_wrong_request_of_the_page_gets_one_sentence(url, path, change, message):
    status, answer = post(f"{url}/{path}", LSCO | PAIR | {"fraction": 0.1} | change)
    assert status == 400
    assert message in answer["error"]
    assert answer["error"].endswith(".")


def test_the_reasons_are_a_page_without_scripts(url):
    status, page = post(f"{url}/explain", LSCO)
    assert status == 200
    assert "Doping series" in page
    assert "<script" not in page


def test_the_name_of_a_file_is_text_on_the_page_of_reasons(url):
    _, page = post(f"{url}/explain", LSCO | {"name": "<img src=x onerror=alert(1)>"})
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


def test_all_examples_of_the_page_can_be_drawn(url):
    page, _ = get(url)
    for name in PAGE_EXAMPLES:
        assert name in page
        example = json.loads(get(f"{url}/examples/{name}")[0])
        status, drawing = post(f"{url}/crystal", example)
        assert status == 200
        assert drawing["views"]


def test_the_page_names_the_version_and_says_that_its_views_are_not_used_for_this_tc(
    url, monkeypatch
):
    assert "not used for this Tc" in get(url)[0]
    assert f'<span title="{code_version()}">' in get(url)[0]
    site = load_site("released:fast", {})
    monkeypatch.setattr(web_page, "package_version", lambda: "9.8.7")
    assert f'title="{code_version()}">9.8.7</span>' in web_page.render_page(site)
    member = SimpleNamespace(model_family="vision")
    answerer = replace(site.model.answerer, predictor=member)
    seeing = replace(site, model=replace(site.model, answerer=answerer))
    assert "not used for this Tc" not in web_page.render_page(seeing)


def test_the_page_refers_to_nothing_elsewhere(url):
    page, headers = get(url)
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert links
    assert all(link.startswith(("/", "#", "data:")) for link in links), links
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    for link in filter(lambda link: link.startswith("/static"), links):
        get(url + link)


@pytest.mark.parametrize(
    "path", ["docs", "redoc", "openapi.json", "static/../app.py", "examples/x"]
)
def test_what_is_not_there_gets_one_sentence(url, path):
    with pytest.raises(urllib.error.HTTPError) as found:
        get(f"{url}/{path}")
    assert found.value.code == 404
    assert json.loads(found.value.read())["error"].endswith(".")


# --- failures


def test_what_takes_too_long_is_given_up_and_stops(url, monkeypatch):
    turns = []

    def endless(*_):
        while True:
            turns.append(0)
            time.sleep(0.01)

    monkeypatch.setattr(web, "crystal_view", endless)
    monkeypatch.setattr(web, "MAX_SECONDS", 0.2)
    status, answer = post(f"{url}/crystal", LSCO)
    assert (status, answer["error"]) == (400, TOO_LONG)
    count = len(turns)
    time.sleep(0.1)
    assert len(turns) == count


def test_an_unexpected_error_is_logged_and_not_sent(url, monkeypatch, caplog):
    def fail(*_):
        raise KeyError("secret")

    monkeypatch.setattr(web, "crystal_view", fail)
    status, answer = post(f"{url}/crystal", LSCO)
    assert status == 500
    assert answer == {"error": "The server failed to answer; its log says why."}
    assert "secret" in caplog.text
