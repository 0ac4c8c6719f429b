"""Reports in a real browser: they fit their window, ask nobody for anything, and hide nothing from anyone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, sync_playwright

from environments.labspec import load_lab
from environments.tests.tier import some
from graders.report import write_report
from graders.tests.report_class import class_of

pytestmark = pytest.mark.slow
SPEC = load_lab(Path(__file__).parents[2], "zero-trust")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PAGES = ("index.html", "feedback/learner-008.html", "feedback/learner-003.html")
LONG = "feedback/a-learner.with@a-very-long-name.of.sixty-four.characters.example.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on PATH (chromium, chromium-browser or google-chrome)")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    results, extras = class_of(SPEC, 60)
    write_report(out, SPEC, results, extras, datetime(2026, 3, 4, 9, 5, tzinfo=UTC))
    return out


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    width: int
    scheme: Literal["light", "dark"]
    width, scheme = getattr(request, "param", (1280, "light"))
    opened = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    yield opened
    opened.close()


@pytest.mark.parametrize("path", [*PAGES, LONG])
@pytest.mark.parametrize(
    "page",
    some(
        [
            (1280, "light"),
            (1280, "dark"),
            (375, "dark"),
            (375, "light"),
            (800, "light"),
            (1250, "light"),
            (1000, "light"),
        ],
        2,
    ),
    indirect=True,
)
def test_page_fits_loads_nothing_and_is_readable_to_all(page: Page, report: Path, path: str) -> None:
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto((report / path).as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("document.scrollingElement.scrollWidth <= window.innerWidth")
    violations = Axe().run(page).response["violations"]
    assert [one["id"] for one in violations if one["impact"] in {"serious", "critical"}] == []
    assert asked == [(report / path).as_uri()]
    assert complaints == []  # such as a script that the content security policy refused


def test_table_can_be_sorted_and_filtered(page: Page, report: Path) -> None:
    page.goto((report / "index.html").as_uri())
    score = page.get_by_role("columnheader", name="Score")
    shown = page.locator("#table tbody tr:visible")
    for order in ("ascending", "descending"):
        score.get_by_role("button").click()
        assert score.get_attribute("aria-sort") == order
        cells = [
            int(text.split()[0].replace("–", "-1")) for text in shown.locator("td:nth-last-child(2)").all_inner_texts()
        ]
        assert cells == sorted(cells, reverse=order == "descending")
    page.get_by_role("searchbox").fill("tampered")
    assert shown.count() == 3
    assert page.locator("#tools output").inner_text() == "3 of 60"


def test_index_is_complete_without_its_script(browser: Browser, report: Path) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto((report / "index.html").as_uri())
    assert page.locator("#table tbody tr").count() == 60
    assert page.get_by_role("button").count() == 0
    page.close()
