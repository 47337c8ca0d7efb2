"""The page, as its users have it: a real Chromium shows what the real server answers."""

import csv
import os
import re
from pathlib import Path

import numpy as np
import pytest
from browser import chromium, eventually, opened, picture, upload
from servers import serving

from supervision.data.datasets.classics import load_classics

pytestmark = pytest.mark.slow

CIFS = {crystal.id: crystal.cif.encode() for crystal in load_classics()}
LSCO, DRAWN = "[data-example='lsco0.15']", "#answer:not([hidden])[aria-busy=false]"
HOSTILE = "<img src=x onerror=document.title='run'>.cif"
DIFFERENT, SAME = 2.0, 0.1  # of 255, mean over pixels: a turned crystal, and the same one


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    log = tmp_path_factory.mktemp("app") / "log"
    with serving("released:ensemble", os.environ, log, kind="app") as server:
        yield server.url


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser, url):
    with opened(browser, url) as found:
        yield found


def answer(page, example=LSCO):
    """Choose an example and wait until its crystal is drawn."""
    page.click(example)
    page.wait_for_selector(DRAWN)
    page.wait_for_selector("#series:not([hidden])")


def give_many(page, *files):
    """Upload files and wait until each is in the table or among the rejects."""
    upload(page, *files)
    page.locator("#many-table tbody tr, #rejects-list li").nth(len(files) - 1).wait_for()


def is_drawn(canvas):
    return len(np.unique(picture(canvas).reshape(-1, 3), axis=0)) > 100


def difference(canvas, first):
    """The mean difference of what a canvas shows from a picture, of 255."""
    return np.abs(picture(canvas) - first).mean()


def column(page, number):
    return page.locator(f"#many-table tbody td:nth-child({number})").all_inner_texts()


# --- one crystal


def test_an_example_gets_its_tc_and_a_crystal_that_keys_turn(page):
    answer(page)
    tc = float(page.inner_text("#tc").removesuffix(" K"))
    low, high = map(float, re.findall(r"[\d.]+", page.inner_text("#interval")))
    assert 20 < tc < 45 and low <= tc <= high
    assert page.inner_text("#answer-title").replace("\n", "") == "La1.85Sr0.15CuO4"
    assert page.locator("#scale circle.known").count() > 50
    assert page.locator("#views-list img").count() == 6
    canvas = page.locator("#crystal-canvas")
    canvas.press("Home")  # the frame of the focus is in all pictures
    assert eventually(page, lambda: is_drawn(canvas))
    first = picture(canvas)
    page.keyboard.press("ArrowLeft")
    assert eventually(page, lambda: difference(canvas, first) > DIFFERENT)
    page.keyboard.press("Home")
    assert eventually(page, lambda: difference(canvas, first) < SAME)


def test_the_keyboard_alone_reaches_an_answer_and_names_known_materials(page):
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "formula":
            break
    page.keyboard.type("Nb3Sn")
    page.keyboard.press("Enter")
    page.wait_for_selector("#answer:not([hidden])")
    assert page.evaluate("document.activeElement.id") == "answer-title"
    assert page.is_hidden("#crystal-canvas") and page.is_visible("#formula-only")
    page.locator("#scale circle").nth(50).wait_for()
    page.keyboard.press("Tab")  # the nearest dot
    named = {page.inner_text(".readout")}
    for key in ("ArrowLeft", "ArrowLeft", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
        named.add(page.inner_text(".readout"))
    assert len(named) > 1 and "Nb3Sn: measured" in " ".join(named)
    assert page.locator("#scale circle.known").count() > 50  # its family
    assert "needs a structure" in page.inner_text("#members-list")
    assert page.inner_text("#members-list").count(" K") == 1


@pytest.mark.long
def test_the_reasons_are_shown_in_a_frame_without_scripts(page):
    answer(page)
    page.click("#explain")
    frame = page.frame_locator("#reasons-page iframe")
    frame.locator("h1").wait_for()
    assert frame.locator("h1").inner_text().startswith("Why")
    assert page.get_attribute("#reasons-page iframe", "sandbox") == ""


def test_without_webgl_one_sentence_stands_in_place_of_the_crystal(browser, url):
    script = "HTMLCanvasElement.prototype.getContext = () => null"
    with opened(browser, url, expected=["THREE."], script=script) as page:
        answer(page)
        page.locator("#crystal-stage", has_text="no WebGL").wait_for()
        assert page.locator("#sites li").count() == 3


# --- what cannot be answered


BAD_FILES = {
    "binary.cif": (bytes(range(256)) * 20, "not a text file"),
    "empty.cif": (b"", "empty"),
    "cut.cif": (CIFS["lsco0.15"][:300], "could not be read"),
    "large.cif": (b"#" * 3_000_000, "3,000,000 bytes"),
    HOSTILE: (b"no crystal", "not a CIF file"),
}


def test_a_bad_file_gets_one_sentence_that_names_it_and_does_no_harm(page):
    for name, (content, reason) in BAD_FILES.items():
        upload(page, (name, content))
        page.locator("#alert", has_text=name).wait_for()
        said = page.inner_text("#alert")
        assert said.startswith(f"{name}: ") and reason in said
        assert said.endswith(".") and "\n" not in said
        assert page.locator("#alert *").count() == 0 and page.title() != "run"
    assert page.is_hidden("#before")
    page.click(LSCO)  # the page still works
    page.wait_for_selector(DRAWN)
    assert page.inner_text("#alert") == ""
    upload(page, ("empty.cif", b""))
    page.locator("#alert", has_text="empty.cif").wait_for()
    assert page.is_visible("#before") and page.is_visible("#answer")


@pytest.mark.long
def test_a_server_that_is_busy_is_asked_again_and_one_that_is_gone_is_named(browser, url):
    with opened(browser, url, expected=["503", "ERR_"]) as page:
        asked = []

        def busy_once(route):
            asked.append(route)
            if len(asked) > 1:
                route.fallback()
            else:
                route.fulfill(status=503, headers={"Retry-After": "1"}, json={"error": "Busy."})

        page.route("**/predict", busy_once)
        answer(page)
        assert len(asked) == 2
        page.route("**/predict", lambda route: route.abort())
        page.click(LSCO)
        page.wait_for_selector("#alert:not(:empty)")
        assert "The server does not answer" in page.inner_text("#alert")


# --- substitution


def test_the_slider_changes_tc_and_the_new_crystal_can_be_saved_and_used(page, tmp_path):
    from pymatgen.core import Structure

    answer(page)
    before = page.inner_text("#point-tc")
    page.locator("#fraction").focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    assert page.inner_text("#point-fraction") == "0.225"
    assert page.inner_text("#point-tc") != before
    with page.expect_download() as download:
        page.click("#download-cif")
    download.value.save_as(tmp_path / "new.cif")
    found = Structure.from_file(tmp_path / "new.cif").composition
    assert found["Sr"] / (found["Sr"] + found["La"]) == pytest.approx(0.225)
    formula = page.inner_text("#point-formula")
    page.click("#use-crystal")
    page.locator("#answer-title", has_text=formula).wait_for()
    page.wait_for_selector(DRAWN)


def test_any_element_can_be_the_dopant_of_an_ordered_crystal(page):
    page.click("[data-example='mgb2']")
    page.wait_for_selector(DRAWN)
    assert page.is_hidden("#series")
    page.select_option("#host", "Mg")
    page.select_option("#dopant", "Al")
    page.wait_for_selector("#series:not([hidden])")
    assert page.inner_text("#point-fraction") == "0.000"
    page.locator("#fraction").press("End")
    assert page.inner_text("#point-formula").replace("\n", "") == "AlB2"


# --- many crystals


def test_many_files_are_a_table_that_is_sorted_filtered_opened_and_saved(page, tmp_path):
    names = ["nb", "mgb2", "lsco0.15", "nb3sn"]
    files = [(f"{name}.cif", CIFS[name]) for name in names]
    give_many(page, *files, (HOSTILE, b"no crystal"), ("=1+1.cif", CIFS["nb"]))
    tc = [float(text) for text in column(page, 3)]
    assert len(tc) == 5 and tc == sorted(tc, reverse=True)
    assert HOSTILE in page.inner_text("#rejects-list") and page.title() != "run"
    page.get_by_role("button", name="name", exact=True).click()
    assert column(page, 1) == sorted(column(page, 1))

    with page.expect_download() as download:
        page.click("#many-csv")
    download.value.save_as(tmp_path / "predictions.csv")
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert set(rows) == {*(name for name, _ in files), HOSTILE, "'=1+1.cif"}  # no formula runs
    assert rows[HOSTILE]["problem"] and not rows[HOSTILE]["tc_kelvin"]
    assert 20 < float(rows["mgb2.cif"]["tc_kelvin"]) < 45
    assert " K (0.0" in rows["mgb2.cif"]["nearest"]
    frame = page.locator("#many .wide")
    assert frame.evaluate("e => e.scrollWidth - e.clientWidth") == 0  # no column is cut off

    page.fill("#filter-formula", "Nb Sn")
    assert column(page, 1) == ["nb3sn.cif"]
    page.fill("#filter-formula", "")
    page.fill("#filter-tc", "25")
    assert column(page, 1) == ["lsco0.15.cif", "mgb2.cif"]
    page.get_by_role("button", name="mgb2.cif").press("Enter")
    page.wait_for_selector(DRAWN)
    assert page.inner_text("#answer-name") == "mgb2.cif"
    page.click("#back")
    assert column(page, 1) == ["lsco0.15.cif", "mgb2.cif"]


def test_back_returns_to_the_table_and_to_the_start_and_forward_to_an_answer(page):
    give_many(page, ("nb.cif", CIFS["nb"]), ("mgb2.cif", CIFS["mgb2"]))
    answer(page)
    assert page.get_attribute(LSCO, "aria-pressed") == "true"
    page.click("nav [href='#model']")
    page.go_back()
    assert page.is_visible("#answer")
    page.go_back()
    assert column(page, 1) == ["mgb2.cif", "nb.cif"] and page.is_hidden("#answer")
    assert page.get_attribute(LSCO, "aria-pressed") is None
    page.go_back()
    assert page.is_visible("#welcome") and page.is_hidden("#many")
    page.go_forward()
    page.go_forward()
    page.wait_for_selector(DRAWN)
    assert page.inner_text("#answer-title") == "La1.85Sr0.15CuO4"


def test_where_no_file_has_an_answer_the_rejects_stand_alone(page):
    upload(page, ("a.cif", b"no crystal"), ("b.cif", b"\0"))
    page.locator("#rejects-list li").nth(1).wait_for()
    page.wait_for_selector("#many-answers", state="hidden")
    assert page.is_hidden("#many-csv") and page.is_hidden("#many-running")


def test_many_files_are_asked_sixteen_at_a_time_and_can_be_cancelled(page):
    sizes = []

    def count(route):
        sizes.append(len(route.request.post_data_json["dataframe_records"]))
        if len(sizes) < 2:  # the second request has no answer until it is cancelled
            route.fallback()

    page.route("**/predict", count)
    upload(page, *[(f"{i}.cif", CIFS["nb"]) for i in range(40)])
    page.get_by_text("16 of 40 structures predicted").wait_for()
    page.click("#many-cancel")
    page.wait_for_selector("#many-running", state="hidden")
    assert sizes == [16, 16]
    assert page.inner_text("#many-count") == "16 of 16 answers; 24 not asked."


# --- who and what it is shown to


def test_a_finger_turns_the_crystal_and_the_phone_has_no_sideways_scrolling(browser, url):
    with opened(browser, url, size="phone") as page:
        page.tap(LSCO)
        page.wait_for_selector(DRAWN)
        page.wait_for_selector("#series:not([hidden])")
        top = page.locator("#answer-title").bounding_box()["y"]
        assert 0 <= top < 100  # the answer is in view, from its title on
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        canvas = page.locator("#crystal-canvas")
        canvas.scroll_into_view_if_needed()
        assert eventually(page, lambda: is_drawn(canvas))
        first, box = picture(canvas), canvas.bounding_box()
        x, y = box["x"] + 80, box["y"] + box["height"] / 2
        touch = page.context.new_cdp_session(page)
        for kind, at in [
            ("touchStart", 0),
            ("touchMove", 30),
            ("touchMove", 90),
            ("touchEnd", None),
        ]:
            points = [] if at is None else [{"x": x + at, "y": y}]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        assert eventually(page, lambda: difference(canvas, first) > DIFFERENT)
        give_many(page, ("nb.cif", CIFS["nb"]), ("mgb2.cif", CIFS["mgb2"]))
        background = "e => getComputedStyle(e).backgroundColor"
        assert page.locator(LSCO).evaluate(background) == "rgba(0, 0, 0, 0)"  # no longer chosen
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize(
    ("size", "scheme"),
    [
        ("laptop", "light"),
        pytest.param("laptop", "dark", marks=pytest.mark.long),
        pytest.param("phone", "light", marks=pytest.mark.long),
    ],
)
def test_axe_finds_nothing_serious(browser, url, size, scheme):
    import axe_playwright_python

    axe = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()
    options = {"color_scheme": scheme, "bypass_csp": True, "reduced_motion": "reduce"}
    with opened(browser, url, size=size, **options) as page:
        page.evaluate(axe)
        assert serious(page) == []
        answer(page)
        page.click("#model summary")
        page.locator("#scale circle[tabindex='0']").focus()
        assert serious(page) == []
        give_many(page, ("nb.cif", CIFS["nb"]), ("bad.cif", b"no crystal"))
        upload(page, ("bad.cif", b"no crystal"))
        page.wait_for_selector("#alert:not(:empty)")
        assert serious(page) == []


def serious(page):
    """What axe finds of the highest two grades, with the elements."""
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [
        (violation["id"], [node["target"] for node in violation["nodes"]])
        for violation in found
        if violation["impact"] in ("serious", "critical")
    ]
