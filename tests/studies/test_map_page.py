"""The interactive page in a real browser whose network is cut: points, structure, a click."""

import shutil

import numpy as np
import pytest
from PIL import Image

from breadth.studies.maps import draw_map

from .browser import browser
from .test_maps import make_set

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs the browser chromium")

#: Where a point is in the window: Plotly's own conversion from data to pixels.
WHERE = """(() => {
    const plot = visualizer.map._plot, box = plot.getBoundingClientRect();
    const {xaxis, yaxis} = plot._fullLayout, data = plot._fullData[0];
    return [box.left + xaxis._offset + xaxis.l2p(data.x[%d]),
            box.top + yaxis._offset + yaxis.l2p(data.y[%d])];
})()"""
STRUCTURE = "visualizer.saveSettings().pinned[0]"


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """The page of a map, opened; and the folder of screenshots."""
    pytest.importorskip("chemiscope")
    folder = tmp_path_factory.mktemp("page")
    sets = {"one.xyz": make_set(seed=0), "two.xyz": make_set(seed=1, labels=False)}
    draw_map(sets, folder, method="pca", page=True)
    with browser(CHROMIUM, folder / "profile") as page:
        page.open((folder / "map.html").as_uri())
        page.wait_for("document.documentElement?.dataset.state", timeout=90)
        yield page, folder


def colours(picture: np.ndarray) -> int:
    """Return how many pixels have a colour, grey left out."""
    rgb = picture[..., :3].astype(int)
    return int((np.ptp(rgb, axis=-1) > 40).sum())


def shot(page, path) -> np.ndarray:
    page.screenshot(path)
    return np.asarray(Image.open(path))


def test_points_and_structure_are_drawn(opened) -> None:
    page, folder = opened
    assert page.evaluate("document.documentElement.dataset.state") == "drawn"
    assert page.evaluate("visualizer.map._plot._fullData[0].x.length") == 48
    picture = shot(page, folder / "map.png")
    middle = picture.shape[1] // 2
    points, structure = picture[80:, :middle], picture[80:, middle:]
    assert colours(points) > 1000, "no points"
    # Atoms are shaded: carbon and hydrogen are many greys, which an empty window has not.
    assert len(np.unique(structure.reshape(-1, picture.shape[2]), axis=0)) > 200, "no structure"
    assert "WebGL is not supported" not in page.evaluate("document.body.innerText")
    assert page.evaluate("document.getElementById('message').textContent") == ""


def test_a_click_on_a_point_shows_its_structure(opened) -> None:
    page, folder = opened
    before = shot(page, folder / "before.png")
    x, y = page.evaluate(WHERE % (17, 17))
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        page.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    page.wait_for(f"{STRUCTURE} === 17", timeout=10)
    after = shot(page, folder / "after.png")
    middle = before.shape[1] // 2
    assert (before[80:, middle:] != after[80:, middle:]).any(axis=-1).sum() > 1000


def test_no_error_and_no_request(opened) -> None:
    page, _ = opened
    assert page.complaints("error") == []
    assert [url.rpartition("/")[2] for url in page.requests()] == ["map.html"]
    # What the network's being cut hides, the page's own policy forbids.
    asked = page.evaluate("fetch('https://example.org').then(() => 'sent', () => 'refused')")
    assert asked == "refused"
    assert any("Content Security Policy" in text for text in page.complaints("error"))
