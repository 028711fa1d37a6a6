"""The exported pages as a browser and a screen reader meet them: axe finds nothing, and at 200 % zoom all is read."""

import html
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(ROOT.glob("notebooks/[0-9]*.ipynb"))
PATIENCE = 120_000  # milliseconds
WIDE = {"width": 1280, "height": 900}
ZOOMED = {"width": 640, "height": 450}  # what is left of it at 200 %


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the exported pages, made as `make export` makes them."""
    folder = tmp_path_factory.mktemp("site")
    options = ["--template-file", str(ROOT / "scripts/export.html.j2"), "--output-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "nbconvert", "--to", "html", *options, *map(str, NOTEBOOKS)], check=True)
    return folder


@pytest.fixture
def page(browser: Browser, site: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The exported page of a notebook, with no network to fetch anything from."""
    context = browser.new_context(offline=True, viewport=WIDE)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto((site / f"{request.param.stem}.html").as_uri(), wait_until="domcontentloaded")
    yield page
    context.close()


every_page = pytest.mark.parametrize("page", NOTEBOOKS, ids=lambda path: path.stem, indirect=True)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_picture_carries_the_description_of_its_output(notebook: Path, site: Path) -> None:
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    page = (site / f"{notebook.stem}.html").read_text("utf-8")
    pictures = [tag for tag in re.findall(r"<img [^>]*>", page) if "data:image/png" in tag]
    found = [re.search(r'alt="([^"]*)"', tag)[1] for tag in pictures]
    assert [html.unescape(alt) for alt in found] == [output["metadata"]["image/png"]["alt"] for output in outputs]


@every_page
def test_axe_finds_nothing(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    assert [f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}" for one in found] == []


@every_page
def test_on_a_zoomed_page_nothing_is_cut_off(page: Page) -> None:
    page.set_viewport_size(ZOOMED)
    assert page.evaluate("document.documentElement.scrollWidth") <= ZOOMED["width"]
    beyond = "[...document.querySelectorAll('main img, main pre, main p, main h2')].filter(part => {CUT})"
    cut = "part.getBoundingClientRect().right > innerWidth || part.scrollWidth > part.clientWidth + 1"
    assert page.evaluate(beyond.replace("{CUT}", cut) + ".map(part => part.outerHTML.slice(0, 200))") == []
