"""A learner's day in JupyterLab, in a real browser: each notebook with the reference's answers, and the widgets.

With `MOD209_PICTURES=FOLDER` the pages are photographed, for people to look at.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as NotYet

from environments.labspec import TaskSpec, load_lab
from graders.variants import load_variants, write_submission

pytestmark = [pytest.mark.slow, pytest.mark.servers]
COURSE = Path(__file__).parents[2]
SPEC = load_lab(COURSE, "zero-trust")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE_MS = 120_000  # other tests may run beside us
URL = re.compile(r"http://127\.0\.0\.1:\d+/lab\S*token=\S+")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on PATH (chromium, chromium-browser or google-chrome)")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where JupyterLab is, on a work folder with the reference's notebooks in it and a footprint of its own."""
    home = tmp_path_factory.mktemp("lab")
    work = home / "work"
    write_submission(COURSE, SPEC, load_variants(COURSE, SPEC)[:1], work)
    argv = [sys.executable, "-m", "assessment", "lab", SPEC.slug, "--work", str(work), "--no-replay"]
    env = os.environ | {"MOD209_STATE": str(home / "state"), "MOD209_COURSE": str(COURSE)}
    with (home / "errors").open("wb") as errors:
        process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdout
    with process.stdout as lines:
        found = next((match for line in lines if (match := URL.search(line))), None)
        try:
            assert found, (home / "errors").read_text()
            yield found.group()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


@contextmanager
def window(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1280, "height": 1000})
    opened.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    yield opened
    opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with window(browser) as opened:
        yield opened


def open_notebook(page: Page, url: str, name: str) -> None:
    """Open a notebook by its address, in a workspace of its own so that no tab of another test comes back."""
    parts = urlsplit(url)
    page.goto(f"{parts.scheme}://{parts.netloc}/lab/workspaces/{Path(name).stem}/tree/{name}?{parts.query}")
    expect(page.locator(".jp-Notebook:visible")).to_be_visible()
    expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]:visible")).to_be_visible(timeout=PATIENCE_MS)


def run_all(page: Page) -> None:
    """Run all cells; a notebook that has only just been opened may not heed the first click."""
    begun = page.locator(".jp-InputPrompt", has_text=re.compile(r"\[(\*|\d+)\]")).first
    for _ in range(5):
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        try:
            begun.wait_for(state="attached", timeout=15_000)
        except NotYet:
            continue
        return


def photograph(page: Page, what: Locator | None, name: str) -> None:
    folder = os.environ.get("MOD209_PICTURES")
    if folder:
        (what or page).screenshot(path=Path(folder) / f"{name}.png")


def serious(page: Page, inside: str) -> list[str]:
    """Rules of accessibility that what is `inside` breaks."""
    found = Axe().run(page, context=inside).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in {"serious", "critical"}
    ]


# The first, and the one with the largest figures; cages run all of them in the kill matrix.
@pytest.mark.parametrize("task", [SPEC.task(name) for name in ("ZT-1", "ZT-4")], ids=lambda task: task.id)
def test_the_reference_gets_full_marks_of_the_self_check(page: Page, url: str, task: TaskSpec) -> None:
    open_notebook(page, url, task.notebook)
    run_all(page)
    summary = page.get_by_text(re.compile(rf"{task.id} .*: \d+ of \d+ checks pass"))
    summary.scroll_into_view_if_needed()
    expect(summary).to_have_text(re.compile(r": (\d+) of \1 checks pass"))
    expect(page.get_by_text("✗ fails")).to_have_count(0)
    photograph(page, None, task.id.lower())


@pytest.fixture(scope="module")
def desk(browser: Browser, url: str) -> Iterator[Page]:
    """The desk, with all its widgets filled: they ask every cloud, so that one desk has to do for all tests."""
    with window(browser) as opened:
        open_notebook(opened, url, "desk.ipynb")
        run_all(opened)
        expect(opened.get_by_role("status").filter(has_text="All asked in")).to_have_count(2)
        yield opened


def test_the_panel_shows_every_server_and_its_log(desk: Page) -> None:
    panel = desk.locator(".widget-vbox", has=desk.get_by_role("button", name="Reset rbac"))
    expect(panel).to_contain_text("11 of 11 servers run")
    panel.get_by_label("Log of").select_option("vault")
    expect(panel.locator("pre")).to_contain_text("Vault server started")
    photograph(desk, panel, "panel")
    expect(panel.get_by_role("button", name="Start")).to_be_disabled()


def test_the_panel_resets_a_part_and_asks_before_it_resets_all(desk: Page) -> None:
    panel = desk.locator(".widget-vbox", has=desk.get_by_role("button", name="Reset rbac"))
    panel.get_by_role("button", name="Reset rbac").click()
    expect(panel.get_by_role("status")).to_contain_text("Reset of rbac: clean after")
    panel.get_by_role("button", name="Reset all").click()
    expect(panel.get_by_role("button", name="Sure? Reset all")).to_be_visible()
    panel.get_by_role("button", name="Refresh").click()
    expect(panel.get_by_role("button", name="Sure?")).to_have_count(0)


def test_the_matrix_tells_by_click_and_by_key_what_was_asked(desk: Page) -> None:
    matrix = desk.locator(".widget-vbox", has=desk.locator(".widget-gridbox"))
    fields = matrix.locator(".widget-gridbox").get_by_role("button")
    assert fields.count() == len(SPEC.tasks) * 3
    fields.first.click()
    expect(matrix).to_contain_text("ZT-1 on aws")
    fields.nth(7).focus()
    desk.keyboard.press("Enter")
    expect(matrix).to_contain_text("ZT-3 on azure")
    matrix.get_by_text(re.compile(r"^\d+ right$")).click()
    expect(matrix.locator("details[open] li").first).to_contain_text("expected")
    photograph(desk, matrix, "matrix")


def test_progress_counts_points_and_minutes(desk: Page) -> None:
    progress = desk.locator(".widget-vbox", has=desk.get_by_role("columnheader", name="Minutes"))
    expect(progress).to_contain_text("points pass all that you can see")
    for task in SPEC.tasks:
        expect(progress).to_contain_text(f"{task.id} {task.title}")
    photograph(desk, progress, "progress")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_widgets_are_readable_to_all(desk: Page, theme: str) -> None:
    desk.get_by_role("menuitem", name="Settings", exact=True).click()
    desk.locator(".lm-Menu-itemLabel", has_text=re.compile("^Theme$")).hover()
    desk.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^JupyterLab {theme.title()}$")).first.click()
    expect(desk.locator("body")).to_have_attribute("data-jp-theme-light", "true" if theme == "light" else "false")
    desk.locator(".widget-gridbox").get_by_role("button").first.click()
    assert serious(desk, ".jp-OutputArea-output .widget-vbox") == []
    photograph(desk, None, f"desk-{theme}")
