"""The report page in a real browser, headless Chromium, as a reader meets it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from icl_contrastive.config import Experiment
from icl_contrastive.report.page import render
from icl_contrastive.report.provenance import trace

from ..unit.results import CLAIMS, ROOT, TEXTS, write_results
from ..unit.universes import write_universes

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="needs Chromium and its driver: apt-get install chromium chromium-driver",
)

DESKTOP, PHONE = (1280, 900), (360, 740)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    assert CHROMIUM is not None
    assert DRIVER is not None
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    service = webdriver.ChromeService(DRIVER, log_output=os.devnull)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a page made from synthetic tables."""
    folder = tmp_path_factory.mktemp("a page") / "results"
    results = write_results(folder)
    config = dict(results.experiment.config)
    config["multiverse"] |= {"size": 3}
    write_universes(Experiment(config), folder / "tables")
    provenance = trace(
        sorted(folder.rglob("*.*")), folder / "benchmarks", ROOT, results.experiment.config
    )
    page = folder / "report.html"
    statistics = {"level": 0.05, "confidence": 0.95, "resamples": 99}
    page.write_text(render(results, TEXTS, statistics, provenance, []), encoding="utf-8")
    return page.as_uri()


class Page:
    """The page at a width and in a color scheme, freshly loaded."""

    def __init__(self, browser: webdriver.Chrome, address: str) -> None:
        self.browser = browser
        self.address = address

    def load(self, size: tuple[int, int] = DESKTOP, scheme: str = "light") -> Page:
        width, height = size
        self.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE},
        )
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},  # no click while it scrolls
        ]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.browser.get("about:blank")
        for kind in ("performance", "browser"):
            self.browser.get_log(kind)  # type: ignore[no-untyped-call]  # forget what was before
        self.browser.get(self.address)
        return self

    def run(self, script: str, *arguments: Any) -> Any:
        return self.browser.execute_script(script, *arguments)

    def find(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def find_all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def press(self, *keys: str) -> None:
        ActionChains(self.browser).send_keys(*keys).perform()

    @property
    def focused(self) -> WebElement:
        return self.browser.switch_to.active_element

    def shown_claims(self) -> list[str]:
        rows = self.find_all("#scorecard tbody tr")
        return [(row.get_attribute("id") or "") for row in rows if row.is_displayed()]


@pytest.fixture
def page(browser: webdriver.Chrome, address: str) -> Page:
    return Page(browser, address)


def test_it_loads_from_disk_and_asks_for_nothing(page: Page) -> None:
    page.load()
    log = page.browser.get_log("performance")  # type: ignore[no-untyped-call]
    messages = [json.loads(entry["message"])["message"] for entry in log]
    requests = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert page.address in requests
    assert [url[:60] for url in requests if not url.startswith((page.address, "data:"))] == []


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_console_stays_empty(page: Page, size: tuple[int, int]) -> None:
    page.load(size)
    page.find("button.zoom").click()
    page.press(Keys.ESCAPE)
    page.find("#scorecard details").find_element(By.CSS_SELECTOR, "summary").click()
    assert page.browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_all_images_are_there(page: Page) -> None:
    page.load()
    sizes = page.run(
        "return [...document.images].map(i => [i.complete, i.naturalWidth, i.alt.length])"
    )
    assert len(sizes) >= 12
    assert all(complete and width > 0 and alt > 0 for complete, width, alt in sizes)


@pytest.mark.parametrize("size", [PHONE, (768, 900), DESKTOP])
def test_nothing_sticks_out(page: Page, size: tuple[int, int]) -> None:
    page.load(size)
    page.run("for (const one of document.querySelectorAll('details')) one.open = true")
    width = page.run("return document.documentElement.scrollWidth")
    assert width <= size[0]
    wide = page.run(
        """
        const scrolls = (one) => one.closest(".scroll, pre, dialog, nav, .skip, .hidden, .bar");
        return [...document.querySelectorAll("body *")]
            .filter((one) => !scrolls(one) && one.getBoundingClientRect().right > innerWidth + 1)
            .map((one) => one.outerHTML.slice(0, 80));
        """
    )
    assert wide == []


def test_the_keyboard_reaches_everything(page: Page) -> None:
    page.load()
    wanted = page.run(
        """
        const own = "a[href], button, input, select, summary, [tabindex='0']";
        window.wanted = [...document.querySelectorAll(own)].filter(
            (one) => one.checkVisibility() && !(one.type === "radio" && !one.checked)
        );
        return window.wanted.length;
        """
    )
    reached = set()
    for _ in range(wanted + 5):
        page.press(Keys.TAB)
        place, outline = page.run(
            """
            const one = document.activeElement;
            const ring = one.type === "radio" ? one.nextElementSibling : one;
            return [window.wanted.indexOf(one), getComputedStyle(ring).outlineStyle];
            """
        )
        if place >= 0:
            reached.add(place)
            assert outline != "none"
    assert len(reached) == wanted > 50


def test_the_first_stop_skips_to_the_results(page: Page) -> None:
    page.load()
    page.press(Keys.TAB)
    assert page.focused.text == "Skip to the results"
    assert page.focused.rect["x"] >= 0
    page.press(Keys.ENTER)
    assert page.focused.tag_name == "main"


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_a_figure_is_enlarged_by_keyboard(page: Page, size: tuple[int, int]) -> None:
    page.load(size)
    button = page.find("#figure_3 button.zoom")
    page.run("arguments[0].focus()", button)
    page.press(Keys.ENTER)
    dialog = page.find("dialog")
    assert dialog.is_displayed()
    assert dialog.accessible_name.startswith("Figure 3.")
    assert page.focused.text == "Close"
    image = page.find("dialog img")
    assert image.get_attribute("alt") == button.find_element(By.TAG_NAME, "img").get_attribute(
        "alt"
    )
    for _ in range(8):  # the focus stays in the dialog
        page.press(Keys.TAB)
        assert page.run(
            "return document.activeElement === document.body"
            " || document.querySelector('dialog').contains(document.activeElement)"
        )
    page.press(Keys.ESCAPE)
    assert not dialog.is_displayed()
    assert page.focused == button


def test_an_enlarged_figure_has_its_full_size_at_a_click(page: Page) -> None:
    page.load()
    page.find("#figure_3 button.zoom").click()
    size, image = page.find("#viewer-size"), page.find("dialog img")
    assert image.rect["width"] <= DESKTOP[0]
    size.click()
    assert size.get_attribute("aria-pressed") == "true"
    assert image.rect["width"] == 2100
    page.find("#viewer-close").click()
    assert not page.find("dialog").is_displayed()


def test_claims_are_filtered_and_sorted(page: Page) -> None:
    page.load()
    everything = [f"claim-{claim['id']}" for claim in CLAIMS]
    assert page.shown_claims() == everything
    page.run("arguments[0].click()", page.find("input[value='contradicted']"))
    assert page.shown_claims() == ["claim-close"]
    assert page.find(".count").text == f"1 of {len(CLAIMS)} claims shown"
    # A link to a claim that is filtered out shows it.
    page.find("#figure_1 .chip").click()
    assert page.shown_claims() == everything
    page.find("input[type='search']").send_keys("negatives FASTER")
    assert page.shown_claims() == ["claim-faster"]
    page.find("input[type='search']").send_keys(Keys.CONTROL, "a", Keys.BACKSPACE)
    by_verdict = page.find("th button[data-sort='verdict']")
    by_verdict.click()
    assert page.shown_claims() == everything
    by_verdict.click()
    assert page.shown_claims() == everything[::-1]
    assert page.find("th[aria-sort]").get_attribute("aria-sort") == "descending"


def test_all_reasons_open_at_once(page: Page) -> None:
    page.load()
    page.find("input[name='open']").click()
    assert all(one.get_attribute("open") for one in page.find_all("#scorecard details"))


CONTRAST = """
const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map((c) => {
    c /= 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const behind = (one) => {
  for (; one; one = one.parentElement) {
    const color = rgb(getComputedStyle(one).backgroundColor);
    if (color.length === 3 || color[3] === 1) return color;
  }
  return [255, 255, 255];
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const one = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || one.closest("script, style, svg")) continue;
  if (!one.checkVisibility({opacityProperty: true})) continue;
  const pair = [light(rgb(getComputedStyle(one).color)), light(behind(one))].sort((a, b) => b - a);
  found.push([(pair[0] + 0.05) / (pair[1] + 0.05), one.outerHTML.slice(0, 100)]);
}
return found;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_background(page: Page, scheme: str) -> None:
    page.load(scheme=scheme)
    page.run("for (const one of document.querySelectorAll('details')) one.open = true")
    contrasts = page.run(CONTRAST)
    assert len(contrasts) > 300
    assert [text for contrast, text in contrasts if contrast < 4.5] == []
    background = page.run("return getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(22, 24, 27)") == (scheme == "dark")
    # Figures are drawn for white paper.
    card = page.run("return getComputedStyle(document.querySelector('.zoom')).backgroundColor")
    assert card == "rgb(255, 255, 255)"


def test_landmarks_and_headings_are_in_order(page: Page) -> None:
    page.load()
    assert [len(page.find_all(name)) for name in ("main", "h1")] == [1, 1]
    levels = page.run(
        "return [...document.querySelectorAll('body > :not(dialog) :is(h1, h2, h3, h4),"
        " body > :is(h1, h2, h3, h4)')].map((one) => Number(one.tagName[1]))"
    )
    assert levels[0] == 1
    assert all(later <= before + 1 for before, later in pairwise(levels))
    # Cells remain cells for screen readers where the table is shown as cards.
    page.load(PHONE)
    assert page.find("#scorecard").aria_role == "table"
    assert page.find("#scorecard tbody tr").aria_role == "row"


def test_on_paper_all_reasons_are_open_and_nothing_is_to_be_pressed(page: Page) -> None:
    page.load()
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    page.run("dispatchEvent(new Event('beforeprint'))")
    try:
        assert all(one.get_attribute("open") for one in page.find_all("#scorecard details"))
        assert not page.find("nav").is_displayed()
        assert not page.find("#filter").is_displayed()
        assert page.find("#figure_1 img").is_displayed()
        assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    finally:
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_universes_are_chosen_by_statement_verdict_and_decision(page: Page) -> None:
    page.load()
    rows = page.find_all("#universes tbody tr")
    assert len(rows) == 48
    assert all(row.find_element(By.TAG_NAME, "td").text.endswith(" hold") for row in rows[:3])

    def choose(name: str, text: str) -> None:
        Select(page.find(f"#universe-filter select[name={name}]")).select_by_visible_text(text)

    def shown() -> list[str]:
        cells = "[...row.cells].map((cell) => cell.textContent).join(' | ')"
        visible = "rows.filter((row) => !row.hidden)"
        rows = "[...document.querySelectorAll('#universes tbody tr')]"
        return list(page.run(f"const rows = {rows}; return {visible}.map((row) => {cells});"))

    choose("claim", "g1_poorer")
    choose("normalization", "unit")
    of_unit = shown()
    assert len(of_unit) == 16
    assert all(" | unit | " in row for row in of_unit)
    choose("verdict", "reproduced")
    held = shown()
    assert all(row.startswith("reproduced | unit") for row in held)
    assert len(held) == sum(row.startswith("reproduced") for row in of_unit)
    count = page.find("#universe-filter .count").text
    assert count == f"{len(held)} of 48 universes shown, it holds in {len(held)}"
    assert "snakemake --cores 2 results/multiverse/" in of_unit[0]
    choose("claim", "how many hold")
    assert len(shown()) == 16
