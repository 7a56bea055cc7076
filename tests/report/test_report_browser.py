"""The report as its reader meets it: in a browser, from a file, without a network."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.report.report_tables import SETS, Tables, study_tables
from trustmia.report.frames import frames
from trustmia.report.page import render
from trustmia.report.provenance import Provenance
from trustmia.report.summary import summarise

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.browser
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--no-first-run", "--disable-gpu", "--disable-quic"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--disable-dev-shm-usage",
)
CHARTS = 18
LARGEST = 4 * 2**20
PHONE, DESK = 390, 1280
# The smallest contrast of a text with its ground.
CONTRAST = """
    const probe = document.createElement("canvas").getContext("2d");
    const light = (colour) => {
      probe.fillStyle = colour;
      probe.fillRect(0, 0, 1, 1);
      const parts = [...probe.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => {
        const c = v / 255;
        return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
    };
    const ground = light(getComputedStyle(document.body).backgroundColor);
    const ratio = (colour) => {
      const [a, b] = [light(colour), ground].sort((x, y) => y - x);
      return (a + 0.05) / (b + 0.05);
    };
    const texts = document.querySelectorAll("main p, td, figcaption, .interval, label");
    const charts = document.querySelectorAll(".chart svg text");
    return Math.min(...[...texts].map((e) => ratio(getComputedStyle(e).color)),
                    ...[...charts].map((e) => ratio(getComputedStyle(e).fill)));
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a full study: six variants, three seeds each."""
    return written(tmp_path_factory.mktemp("report"), study_tables())


def written(folder: Path, tables: Tables) -> Path:
    summary = summarise(tables)
    provenance = Provenance({"Software": {"python": "3.11"}}, tables["experiments"])
    page = render(summary, frames(summary), provenance)
    (folder / "index.html").write_text(page, encoding="utf-8")
    return folder / "index.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    assert CHROMIUM and DRIVER, "needs Chromium and its driver: Debian's chromium-driver"
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in OPTIONS:
        options.add_argument(option)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    yield driver
    driver.quit()


@pytest.fixture
def shown(browser: webdriver.Chrome, path: Path) -> webdriver.Chrome:
    """The report just opened, in a wide window, light."""
    show(browser, path, DESK, "light")
    return browser


def show(browser: webdriver.Chrome, path: Path, width: int, theme: str) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get(path.as_uri())
    wait(browser, "document.documentElement.dataset.ready === 'true'")


def wait(browser: webdriver.Chrome, condition: str) -> None:
    WebDriverWait(browser, 30, 0.05).until(
        lambda driver: driver.execute_script(f"return {condition}"), condition
    )


def choose(browser: webdriver.Chrome, name: str, text: str) -> None:
    Select(browser.find_element(By.NAME, name)).select_by_visible_text(text)


def drawing(browser: webdriver.Chrome, chart: str) -> str:
    """What a chart shows: the shapes of its marks."""
    script = """
        const marks = document.querySelectorAll(`[data-chart="${arguments[0]}"] .mark-line path`);
        return [...marks].map((mark) => mark.getAttribute("d")).join();
    """
    found: str = browser.execute_script(script, chart)
    return found


def displayed(browser: webdriver.Chrome, selector: str) -> list[WebElement]:
    return [e for e in browser.find_elements(By.CSS_SELECTOR, selector) if e.is_displayed()]


def test_a_small_file_is_all_that_is_requested_and_nothing_complains(
    browser: webdriver.Chrome, path: Path
) -> None:
    browser.get_log("browser")
    browser.get_log("performance")
    show(browser, path, DESK, "light")
    assert browser.get_log("browser") == []
    assert path.stat().st_size < LARGEST
    events = [json.loads(e["message"])["message"] for e in browser.get_log("performance")]
    assert [e for e in events if e["method"] == "Network.loadingFailed"] == []
    sent = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
    requested = [parameters["request"]["url"] for parameters in sent]
    assert path.as_uri() in requested
    assert [u for u in requested if not u.startswith(("file:", "data:"))] == []
    # Another request would have been seen.
    browser.execute_script("const i = new Image(); i.src = 'http://127.0.0.1:9/x.png'")
    WebDriverWait(browser, 10).until(lambda driver: driver.get_log("browser"))


@pytest.mark.parametrize(("width", "theme"), [(DESK, "light"), (PHONE, "dark")])
def test_every_chart_is_drawn_and_text_stands_out_from_its_ground(
    browser: webdriver.Chrome, path: Path, width: int, theme: str
) -> None:
    show(browser, path, width, theme)
    script = """
        return [...document.querySelectorAll(".chart")].map((chart) => {
          const marks = [...chart.querySelectorAll("svg [class*='mark-'] > *")].filter((mark) => {
            const box = mark.getBBox();
            return box.width + box.height > 1;
          });
          const svg = chart.querySelector("svg").getBoundingClientRect();
          return {name: chart.dataset.chart, marks: marks.length, width: svg.width,
                  room: chart.getBoundingClientRect().width, theme: chart.dataset.drawn};
        });
    """
    charts: list[dict[str, Any]] = browser.execute_script(script)
    assert len(charts) == CHARTS
    for chart in charts:
        # Axes and legends are marks too: some twenty of them.
        assert chart["marks"] > 25, chart
        assert 0.9 * chart["room"] < chart["width"] <= chart["room"] + 1, chart
        assert chart["theme"] == theme
    assert drawing(browser, "roc")
    assert browser.execute_script(CONTRAST) >= 4.5


def test_the_chooser_changes_charts_tables_and_gallery(shown: webdriver.Chrome) -> None:
    before = [(chart, drawing(shown, chart)) for chart in ("roc", "roc_log", "reliability")]
    table = "section[aria-labelledby=called] tbody tr"
    rows = [row.text for row in displayed(shown, table)]
    pictures = [image.get_attribute("src") for image in displayed(shown, ".wall img")]
    assert len(rows) == 3 * (1 + len(SETS))
    assert len(pictures) == 8 * (len(SETS) - 1)
    choose(shown, "variant", "Label smoothing")
    wait(shown, "document.querySelector('[data-shows=variant]').textContent === 'Label smoothing'")
    WebDriverWait(shown, 10).until(lambda _: all(drawing(shown, c) != was for c, was in before))
    others = [row.text for row in displayed(shown, table)]
    assert len(others) == len(rows)
    assert others != rows
    assert [i.get_attribute("src") for i in displayed(shown, ".wall img")] != pictures
    smoothed = drawing(shown, "roc")
    choose(shown, "attack", "RMIA")
    WebDriverWait(shown, 10).until(lambda _: drawing(shown, "roc") != smoothed)
    models = displayed(shown, "section[aria-labelledby=traded] tbody tr")
    assert len(models) == 6


def test_a_column_sorts_both_ways(shown: webdriver.Chrome) -> None:
    table = shown.find_element(By.CSS_SELECTOR, "section[aria-labelledby=called] table")
    header = table.find_elements(By.CSS_SELECTOR, "thead th")[2]

    def values() -> list[float]:
        cells = table.find_elements(By.CSS_SELECTOR, "tr td:nth-child(3)")
        return [float(str(c.get_attribute("data-value"))) for c in cells if c.is_displayed()]

    unsorted = values()
    assert header.get_attribute("aria-sort") == "none"
    header.find_element(By.TAG_NAME, "button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert values() == sorted(unsorted) != unsorted
    header.find_element(By.TAG_NAME, "button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert values() == sorted(unsorted, reverse=True)
    # Numbers that are missing come last.
    table = shown.find_element(By.CSS_SELECTOR, "section[aria-labelledby=ranked] table")
    table.find_elements(By.CSS_SELECTOR, "thead button")[5].click()
    cells = table.find_elements(By.CSS_SELECTOR, "tbody:not([hidden]) td:nth-child(6)")
    texts = [cell.text for cell in cells if cell.is_displayed()]
    assert texts[-3:] == ["–"] * 3
    assert "–" not in texts[:-3]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_does_not_scroll_sideways(
    browser: webdriver.Chrome, path: Path, theme: str
) -> None:
    show(browser, path, PHONE, theme)
    browser.execute_script("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    assert browser.execute_script("return document.documentElement.scrollWidth") == PHONE
    browser.execute_script("window.scrollTo(200, 0)")
    assert browser.execute_script("return window.scrollX") == 0
    script = """
        const inBox = (e) => e.closest(".scroll") || e.closest(".skip");
        return [...document.querySelectorAll("body *")].filter((e) => !inBox(e) &&
          e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 120));
    """
    assert browser.execute_script(script) == []


def test_it_is_read_with_a_keyboard_alone(shown: webdriver.Chrome) -> None:
    ActionChains(shown).send_keys(Keys.TAB).perform()
    skip = shown.switch_to.active_element
    assert skip.text == "Skip to the report"
    assert skip.rect["x"] >= 0
    ActionChains(shown).send_keys(Keys.TAB, Keys.TAB).perform()
    assert shown.switch_to.active_element.get_attribute("name") == "variant"
    before = drawing(shown, "roc")
    ActionChains(shown).send_keys(Keys.ARROW_DOWN).perform()
    WebDriverWait(shown, 10).until(lambda _: drawing(shown, "roc") != before)
    ActionChains(shown).send_keys(Keys.TAB, Keys.TAB, Keys.TAB, Keys.ENTER).perform()
    button = shown.switch_to.active_element
    outline = button.value_of_css_property("outline-style")
    assert (button.tag_name, outline) == ("button", "solid")
    header = button.find_element(By.XPATH, "..")
    assert header.get_attribute("aria-sort") == "ascending"


def test_the_theme_button_draws_the_charts_anew(shown: webdriver.Chrome) -> None:
    shown.find_element(By.ID, "theme").click()
    wait(shown, "[...document.querySelectorAll('.chart')].every((c) => c.dataset.drawn === 'dark')")
    ground = shown.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
    assert ground == "rgba(21, 23, 27, 1)"


def test_a_single_run_has_no_chooser_of_variants(browser: webdriver.Chrome, tmp_path: Path) -> None:
    tables = study_tables(variants=1, seeds=1)
    tables["experiments"] = tables["experiments"].head(0)
    browser.get_log("browser")
    show(browser, written(tmp_path, tables), PHONE, "light")
    assert browser.get_log("browser") == []
    assert [e.get_attribute("name") for e in displayed(browser, "#chooser select")] == ["attack"]
    assert displayed(browser, "section[aria-labelledby=called] tbody tr")
