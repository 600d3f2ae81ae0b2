"""Figures look as they did when somebody last looked: pictures of made-up data, kept here.

A picture that is to change is deleted and made again by running these tests; look at it, and
commit it.
"""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread, imsave
from scipy.ndimage import gaussian_filter, uniform_filter

from breadth.analysis import figures
from breadth.analysis.figures.style import styled

PICTURES = Path(__file__).with_name("pictures")
DPI = 100
TILE = 8
"""Pixels: about the height of a line of type."""
MOST = 0.07
"""Mean difference of a tile, of 1: smoothing gives half of it, a label moved by a pixel more."""


def picture_of(figure: Figure, dpi: int = DPI) -> np.ndarray:
    """Return a figure's pixels, (height, width, 3) from 0 to 1."""
    with styled():
        figure.set_dpi(dpi)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3] / 255.0


def difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the mean difference in each tile, blurred so that edges may be smoothed otherwise."""
    blurred = [uniform_filter(p, size=(3, 3, 1), mode="nearest") for p in (one, other)]
    off = np.abs(blurred[0] - blurred[1]).max(axis=2)
    rows, columns = (n // TILE for n in off.shape)
    tiles = off[: rows * TILE, : columns * TILE].reshape(rows, TILE, columns, TILE)
    return tiles.mean(axis=(1, 3))


def compare(figure: Figure, name: str, folder: Path, dpi: int = DPI) -> None:
    """Compare a figure with its kept picture; say where the difference is drawn."""
    drawn, kept = picture_of(figure, dpi), PICTURES / f"{name}.png"
    if not kept.exists():
        PICTURES.mkdir(exist_ok=True)
        imsave(kept, drawn)
        pytest.fail(f"{kept} was not there and is now: look at it, and commit it.")
    expected = imread(kept)[..., :3]
    imsave(folder / f"{name}.png", drawn)
    assert drawn.shape == expected.shape, f"another size: {folder / f'{name}.png'}"
    off = difference(drawn, expected)
    if off.max() > MOST:
        marked = folder / f"{name}_difference.png"
        imsave(marked, np.clip(np.abs(drawn - expected) * 2.0, 0.0, 1.0))
        row, column = (TILE * i for i in np.unravel_index(off.argmax(), off.shape))
        pytest.fail(
            f"{name} differs by {off.max():.2f} about pixel ({column}, {row}). See {marked}, the "
            f"new {folder / f'{name}.png'} and the kept {kept}; if the new one is right, delete "
            "the kept one and run again."
        )


@pytest.fixture(scope="module")
def drawn(results: xr.Dataset, by_selector: xr.Dataset, pool: xr.Dataset) -> dict[str, Figure]:
    return {
        "error_against_molecules": figures.error_against_molecules(results),
        "error_surface": figures.error_surface(results),
        "selectors": figures.selectors(by_selector),
        "pool": figures.pool(pool),
    }


@pytest.mark.parametrize("name", ["error_against_molecules", "error_surface", "selectors", "pool"])
def test_a_figure_looks_as_it_did(name: str, drawn: dict[str, Figure], tmp_path: Path) -> None:
    compare(drawn[name], name, tmp_path)


def test_a_slide_looks_as_it_did(results: xr.Dataset, tmp_path: Path) -> None:
    with figures.using("talk"):
        slide = figures.error_against_conformers(results)
    compare(slide, "slide", tmp_path, dpi=40)


def test_moved_labels_are_seen_and_smoothing_is_not(results: xr.Dataset) -> None:
    figure = figures.error_surface(results)
    plain = picture_of(figure)
    smoother = gaussian_filter(plain, (0.5, 0.5, 0.0))  # as other fonts' libraries smooth edges
    assert 0.01 < difference(plain, smoother).max() < MOST
    label = figure.axes[0].texts[0]
    x, y = label.get_position()
    label.set_position((x + 2.0, y))  # pt; about two pixels
    assert difference(plain, picture_of(figure)).max() > MOST
    label.set_position((x, y))
    figure.axes[0].patches[0].set_facecolor("#440154")
    assert difference(plain, picture_of(figure)).max() > MOST
