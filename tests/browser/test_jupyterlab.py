"""What a learner does, in a real JupyterLab: open a notebook, run all cells, move a control, see the picture change."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
LESSONS = sorted(ROOT.glob("notebooks/0[1-9]_*.ipynb"))[:1]  # one stands for all: they share their machinery
PATIENCE = 180_000  # milliseconds; machines are shared, and a busy one is no defect

SMALL = """
from ipywidgets import Image, IntSlider, VBox
from matplotlib.figure import Figure
import io

def draw(count):
    figure, buffer = Figure(figsize=(2, 1)), io.BytesIO()
    figure.subplots().plot(range(count))
    figure.savefig(buffer)
    return buffer.getvalue()

slider, picture = IntSlider(value=3, min=2, max=9), Image(value=draw(3))
slider.observe(lambda change: setattr(picture, "value", draw(change["new"])), names="value")
VBox([slider, picture])
"""


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page that must not break, and of which build/browser/ keeps the last sight."""
    page, broken = browser.new_page(), list[str]()
    page.on("pageerror", lambda error: broken.append(str(error)))
    yield page
    page.screenshot(path=ROOT / f"build/browser/{request.node.name}.png")
    page.close()
    assert broken == []


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A JupyterLab of its own, with no settings of this user's: the folder it serves, and its address."""
    from companion.data import cache_dir

    home = tmp_path_factory.mktemp("home")
    (home / "work").mkdir()
    settings = home / ".jupyter/lab/user-settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"windowingMode": "none"}')  # else only the cells in view are in the page
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--no-browser", f"--port={port}", "--port-retries=0", "--IdentityProvider.token=open", "--allow-root"]
    command = [sys.executable, "-m", "jupyterlab", *options, f"--ServerApp.root_dir={home / 'work'}"]
    ours = {"HOME": str(home), "COMPANION_DATA": str(cache_dir()), "JUPYTER_PREFER_ENV_PATH": "1"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "XDG"))}
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=inherited | ours, stdout=log, stderr=log, cwd=home)
        try:
            wait_until_it_answers(f"http://127.0.0.1:{port}/api/status?token=open", server)
            yield home / "work", f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(timeout=60)


def wait_until_it_answers(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(240):
        assert server.poll() is None, "JupyterLab ended before it answered"
        try:
            urllib.request.urlopen(url, timeout=10).close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("JupyterLab did not answer within two minutes")


def small_notebook(target: Path) -> None:
    """Write a notebook that holds the bare minimum of an interactive lesson."""
    cells = [new_code_cell("1 + 1"), new_code_cell(SMALL)]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), target)


def lesson_at_ci_scale(lesson: Path, target: Path) -> None:
    """Write a copy of a lesson that will run at ci scale, with the outputs that it is committed with left out."""
    papermill = [sys.executable, "-m", "papermill", "--prepare-only", "-p", "scale", "ci"]
    subprocess.run([*papermill, lesson, target], check=True, capture_output=True, timeout=120)
    notebook = nbformat.read(target, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, target)


def run_all(page: Page, url: str) -> None:
    """Open a notebook, wait for its kernel, run its cells."""
    page.goto(url)
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()


def outcome(page: Page, saved: Path) -> tuple[int, list[str]]:
    """Save until every code cell has run or one has failed: how many did not run, and the errors."""
    deadline = time.monotonic() + PATIENCE / 1000
    while True:
        page.keyboard.press("Control+s")
        page.wait_for_timeout(500)
        try:
            notebook = json.loads(saved.read_text("utf-8"))
        except json.JSONDecodeError:  # read while it was being written
            continue
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        waiting = sum(cell["execution_count"] is None for cell in cells)
        errors = [f"{one['ename']}: {one['evalue']}" for cell in cells for one in cell["outputs"] if "ename" in one]
        if errors or not waiting or time.monotonic() > deadline:
            return waiting, errors


def move(control: Locator) -> None:
    """Take a slider to its other end, or a dropdown to its last option."""
    if control.evaluate("control => control.tagName") == "SELECT":
        control.select_option(index=control.locator("option").count() - 1)
    else:
        at_the_end = control.get_attribute("aria-valuenow") == control.get_attribute("aria-valuemax")
        control.press("Home" if at_the_end else "End")


@pytest.mark.parametrize("lesson", [None, *LESSONS], ids=lambda path: path.stem if path else "small")
def test_run_all_then_move_a_control(lesson: Path | None, lab: tuple[Path, str], page: Page) -> None:
    folder, address = lab
    notebook = folder / (lesson.name if lesson else "small.ipynb")
    small_notebook(notebook) if lesson is None else lesson_at_ci_scale(lesson, notebook)
    run_all(page, f"{address}/lab/tree/{notebook.name}?token=open&reset")
    assert outcome(page, notebook) == (0, [])

    picture = page.locator("img.widget-image").first
    picture.scroll_into_view_if_needed(timeout=PATIENCE)
    before, seen = picture.get_attribute("src") or "", picture.screenshot()
    move(page.locator(".widget-slider .noUi-handle, .widget-dropdown select").first)
    expect(picture).not_to_have_attribute("src", before, timeout=PATIENCE)
    assert picture.screenshot() != seen, "the control moved and the picture stayed as it was"
