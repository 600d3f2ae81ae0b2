"""The figure of a map: axes, legend, colour bar, points without a label, equal files."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from breadth.analysis.figures.feature_map import feature_map
from breadth.analysis.figures.files import save


@pytest.fixture
def points() -> xr.Dataset:
    """Three sets with twelve molecules; every tenth point has no energy, one force is huge."""
    random = np.random.default_rng(0)
    n = 300
    energy = random.normal(-4.8, 0.05, n)
    energy[::10] = np.nan
    force = random.gamma(2.0, 1.0, n)
    force[5] = 1000.0
    return xr.Dataset(
        {
            "coordinate": (("point", "axis"), random.normal(size=(n, 2)) * [5.0, 1.0]),
            "set": ("point", [f"set-{i % 3}.xyz" for i in range(n)]),
            "molecule": ("point", [f"C{i % 12}" for i in range(n)]),
            "energy": ("point", energy, {"long_name": "Energy per atom", "units": "eV"}),
            "relative": ("point", 0.01 * force, {"long_name": "Energy", "units": "eV"}),
            "force_norm": ("point", force, {"long_name": "Force norm", "units": "eV/Å"}),
        },
        attrs={"method": "pca", "explained_variance": [0.412, 0.2], "caption": "300 structures"},
    )


def legend_texts(figure) -> list[str]:
    return [t.get_text() for legend in figure.legends for t in legend.get_texts()]


@pytest.mark.parametrize(("column", "width"), [("single", 3.35), ("double", 7.0)])
def test_axes_of_pca_tell_the_variance(points, column, width) -> None:
    figure = feature_map(points, color="set", column=column)
    assert figure.get_size_inches()[0] == width
    axes = figure.axes[0]
    assert axes.get_xlabel() == "PC 1 (41 % of variance)"
    assert axes.get_ylabel() == "PC 2 (20 % of variance)"
    assert axes.get_aspect() == 1.0, "distances are what the map shows"
    assert legend_texts(figure) == ["set-0.xyz", "set-1.xyz", "set-2.xyz"]
    drawn = np.concatenate([np.asarray(c.get_offsets()) for c in axes.collections])
    np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(points["coordinate"], axis=0))


def test_axes_of_umap_have_no_ticks(points) -> None:
    points.attrs = {"method": "umap"}
    axes = feature_map(points).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("UMAP 1", "UMAP 2")
    assert not len(axes.get_xticks())
    assert not len(axes.get_yticks())


def test_of_many_categories_the_rarest_are_others(points) -> None:
    texts = legend_texts(feature_map(points, color="molecule"))
    assert len(texts) == 8
    assert texts[-1] == "5 others"
    long = points.assign(set=("point", ["a" * 40 + str(i % 2) for i in range(300)]))
    shown = legend_texts(feature_map(long, color="set"))
    assert len(set(shown)) == 2
    assert all("…" in text for text in shown)


def test_numbers_have_a_bar_that_outliers_do_not_stretch(points) -> None:
    figure = feature_map(points, color="force_norm")
    panel, bar = figure.axes
    assert bar.get_ylabel() == "Force norm (eV/Å)"
    assert panel.collections[-1].get_clim()[1] < 15.0
    assert feature_map(points.isel(point=slice(10, 99)), color="relative").axes[1].get_ylabel() == (
        "Energy (meV)"
    )


def test_points_without_a_label_are_counted(points) -> None:
    figure = feature_map(points, color="energy")
    assert legend_texts(figure) == ["no label (30)"]
    none = points.assign(energy=points["energy"] * np.nan)
    assert len(feature_map(none, color="energy").axes) == 1


def test_one_point_and_equal_files(points, tmp_path: Path) -> None:
    feature_map(points.isel(point=slice(0, 1)), color="set").draw_without_rendering()
    one, two = (save(feature_map(points, color="set"), tmp_path / x / "map") for x in "ab")
    for a, b in zip(one, two, strict=True):
        assert a.read_bytes() == b.read_bytes()
    assert b"/Type3" not in one[0].read_bytes()
