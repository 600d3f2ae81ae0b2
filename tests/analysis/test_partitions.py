"""Partitions side by side, and the figures drawn from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from breadth.analysis.figures.diversity import bandwidth_curves, diversity_plane
from breadth.analysis.figures.files import save
from breadth.analysis.partitions import gather_partitions
from breadth.diversity.measures.chain_rule import TERMS


def _one(values: tuple[float, float, float], *, at_ceiling: bool = False) -> dict[str, Any]:
    numbers = dict(zip(TERMS, (*values, sum(values)), strict=True))
    told: dict[str, Any] = {
        name: {
            "value": value,
            "interval": None if value == 0 else (value - 0.2, value + 0.3),
            "ceiling": value + 1.0,
            "at_ceiling": at_ceiling and name == "conformational",
        }
        for name, value in numbers.items()
    }
    curve = {name: [2 * value, value, 0.5 * value] for name, value in numbers.items()}
    return {
        **told,
        "curve": {"bandwidth": [0.2, 0.4, 0.8], **curve},
        "level": "environments",
        "descriptor": "compact",
        "bandwidth": 0.4,
    }


@pytest.fixture
def gathered() -> xr.Dataset:
    sets = {"one": _one((2.0, 1.5, 0.0)), "two": _one((0.5, 2.5, 3.0), at_ceiling=True)}
    return gather_partitions(sets, size="10 molecules × 15 conformers")


def test_gathering_keeps_values_intervals_and_curves(gathered: xr.Dataset) -> None:
    assert gathered["value"].sel(set="two", term="structural") == 3.0
    assert gathered["interval"].sel(set="one", term="conformational").values.tolist() == [1.8, 2.3]
    assert np.isnan(gathered["interval"].sel(set="one", term="structural")).all()
    assert bool(gathered["at_ceiling"].sel(set="two", term="conformational"))
    assert gathered["curve"].sel(set="one", term="total").values.tolist() == [7.0, 3.5, 1.75]
    assert gathered.attrs["bandwidth"] == 0.4


@pytest.mark.parametrize("column", ["single", "double"])
def test_plane_places_each_set_with_its_interval(gathered: xr.Dataset, column: Any) -> None:
    figure = diversity_plane(gathered, column=column)
    axes = figure.axes[0]
    assert axes.get_xlabel().startswith("Structural")
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "one" in names
    assert "two (at a ceiling)" in names
    points = [c[0].get_xydata()[0].tolist() for c in axes.containers]
    assert points == [[0.0, 2.0], [3.0, 0.5]]
    assert "10 molecules × 15 conformers" in axes.texts[0].get_text()


@pytest.mark.parametrize("column", ["single", "double"])
def test_curves_stack_the_terms_to_their_sum(
    gathered: xr.Dataset, column: Any, tmp_path: Any
) -> None:
    figure = bandwidth_curves(gathered, column=column)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == ["one", "two"]
    top = max(path.vertices[:, 1].max() for c in shown[0].collections for path in c.get_paths())
    assert top == pytest.approx(7.0)
    assert {p.suffix for p in save(figure, tmp_path / "curves")} == {".pdf", ".png", ".csv"}


def test_equal_figures_have_equal_bytes(gathered: xr.Dataset, tmp_path: Any) -> None:
    one = save(diversity_plane(gathered), tmp_path / "a")
    two = save(diversity_plane(gathered), tmp_path / "b")
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]
