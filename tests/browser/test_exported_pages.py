"""The exported pages as a browser and a screen reader meet them: axe finds nothing, and at 200 % zoom all is read."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from companion.course.export import export

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(ROOT.glob("notebooks/[0-9]*.ipynb"))
PATIENCE = 120_000  # milliseconds
WIDE = {"width": 1280, "height": 900}
ZOOMED = {"width": 640, "height": 450}  # what is left of it at 200 %


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the exported pages."""
    return export(NOTEBOOKS, tmp_path_factory.mktemp("site"))[0].parent


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
