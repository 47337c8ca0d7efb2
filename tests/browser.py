"""A real Chromium that shows the page."""

import io
import os
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

ARGUMENTS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"]
SIZES = {"laptop": {"width": 1280, "height": 800}, "phone": {"width": 360, "height": 740}}


@contextmanager
def chromium():
    """A headless Chromium that draws WebGL without a GPU.

    Where none is installed, the tests are skipped, and in CI they fail.
    """
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    if not path:
        missing = "neither chromium nor google-chrome is installed"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(browser, url, *, size="laptop", expected=(), script="", **options):
    """The page in a context of its own. Afterwards it must have asked no other host for anything,
    and its console must have no error but those that contain a text of ``expected``.
    """
    is_phone = size == "phone"
    context = browser.new_context(
        viewport=SIZES[size], has_touch=is_phone, is_mobile=is_phone, **options
    )
    context.set_default_timeout(20_000)
    page = context.new_page()
    errors, asked = [], []
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    if script:
        page.add_init_script(script)
    page.goto(url)
    yield page
    context.close()
    assert [e for e in errors if not any(text in e for text in expected)] == []
    assert [u for u in asked if not u.startswith((url, "data:", "blob:", "about:"))] == []


def picture(locator):
    """The pixels of an element as it is shown, ``[height, width, 3]``."""
    png = Image.open(io.BytesIO(locator.screenshot(animations="disabled"))).convert("RGB")
    return np.asarray(png).astype(int)


def upload(page, *files):
    """Give files to the page, each a name with its content."""
    page.set_input_files("#files", [
        {"name": name, "mimeType": "text/plain", "buffer": content} for name, content in files
    ])  # fmt: skip


def eventually(page, check, tries=50):
    """Whether a check holds now or soon: a drawing appears some frames after its cause."""
    for _ in range(tries):
        if check():
            return True
        page.wait_for_timeout(100)
    return False
