"""The page in a real browser without network: light, dark, narrow, wide and printed."""

import base64
import shutil

import pytest

from breadth.studies.report import write_report

from ..browser import browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs the browser chromium")

#: Contrast of every element that holds text with what is painted behind it, after WCAG 2.
CONTRAST = """(() => {
    const parts = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (one) => {
        for (let e = one; e; e = e.parentElement) {
            const colour = parts(getComputedStyle(e).backgroundColor);
            if (colour.length < 4 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    const poor = [];
    for (const one of document.querySelectorAll("body *")) {
        const own = [...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
        if (!own || !one.checkVisibility()) continue;
        const [a, b] = [parts(getComputedStyle(one).color), behind(one)].map(light);
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) poor.push(`${one.tagName} ${one.className} ${ratio.toFixed(2)}`);
    }
    return [...new Set(poor)];
})()"""
#: What reaches beyond the page and is not within something that scrolls by itself.
BEYOND = """(() => [...document.querySelectorAll("body *")]
    .filter((e) => e.checkVisibility() && !e.matches(".skip"))
    .filter((e) => !e.parentElement.closest(%s))
    .filter((e) => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map((e) => `${e.tagName} ${e.className}`))()"""
SCROLLING = "'.scroll, pre'"
NOTHING = "'no-such-element'"


@pytest.fixture(scope="module")
def opened(made, tmp_path_factory):
    """The page of a finished study, opened with the network cut."""
    folder = tmp_path_factory.mktemp("browser")
    path = write_report(made, folder / "report.html")
    with browser(CHROMIUM, folder / "profile") as page:
        page.open(path.as_uri())
        page.wait_for("document.readyState === 'complete' && document.images.length === 2")
        yield page, folder


def look(page, *, width, scheme="light", media="screen"):
    page.ask(
        "Emulation.setEmulatedMedia",
        media=media,
        features=[{"name": "prefers-color-scheme", "value": scheme}],
    )
    page.ask(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=900, deviceScaleFactor=1, mobile=False,
    )  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_everything_is_read_in_every_window(opened, scheme, width):
    page, folder = opened
    look(page, width=width, scheme=scheme)
    assert page.evaluate(BEYOND % SCROLLING) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 300) is (scheme == "dark")
    page.screenshot(folder / f"{scheme}-{width}.png")
    loaded = "[...document.images].every((i) => i.complete && i.naturalWidth > 0)"
    assert page.evaluate(loaded)


def test_a_printed_page_cuts_no_table(opened):
    page, _ = opened
    look(page, width=688, media="print")  # A4 within the page's margins
    assert page.evaluate(BEYOND % NOTHING) == []
    assert page.evaluate(CONTRAST) == []
    hidden = "[...document.querySelectorAll('nav')].every((e) => !e.checkVisibility())"
    assert page.evaluate(hidden)
    printed = page.ask("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")


def test_the_keyboard_reaches_what_scrolls_and_skips_to_the_content(opened):
    page, _ = opened
    look(page, width=360)
    page.evaluate("document.activeElement.blur()")
    for kind in ("keyDown", "keyUp"):
        page.ask("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab",
                 windowsVirtualKeyCode=9)  # fmt: skip
    assert page.evaluate("document.activeElement.className") == "skip"
    target = "document.querySelector(document.activeElement.getAttribute('href')).tagName"
    assert page.evaluate(target) == "MAIN"
    closed = """[...document.querySelectorAll("*")]
        .filter((e) => ["auto", "scroll"].includes(getComputedStyle(e).overflowX)
                       && e.scrollWidth > e.clientWidth)
        .filter((e) => e.tabIndex < 0 || !e.getAttribute("aria-label")).length"""
    assert page.evaluate(closed) == 0
    links = """[...document.querySelectorAll("nav a")]
        .every((a) => document.querySelector(a.getAttribute("href")))"""
    assert page.evaluate(links)


def test_no_error_and_no_request(opened):
    page, _ = opened
    assert page.complaints("error", "warning") == []
    assert [url.rpartition("/")[2] for url in page.requests()] == ["report.html"]
    # What the network's being cut hides, the page's own policy forbids.
    asked = page.evaluate("fetch('https://example.org').then(() => 'sent', () => 'refused')")
    assert asked == "refused"
    assert any("Content Security Policy" in text for text in page.complaints("error"))
