"""Figures of what shift could foresee, where it is supported and where it is not."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from breadth.analysis.figures.refinement import applicability, draw_refinement, foresight


def _texts(figure) -> str:
    found = [t.get_text() for axes in figure.axes for t in axes.texts]
    return " ".join(found).replace("\n", " ")


def test_measures_stand_in_the_order_of_what_they_foretell(relation: xr.Dataset) -> None:
    figure = foresight(relation, column="double")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    rho = relation["relation_rho"].sel(target="error")
    assert labels[0] == "Distance to nearest neighbours"
    assert len(labels) == relation.sizes["measure"]
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["error", "gain, test-time training", "error, foretold", "failures, detected"]
    marks = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    at = [float(np.ravel(line.get_xdata())[0]) for line in marks]
    np.testing.assert_allclose(at, np.sort(rho.values)[::-1])
    filled = [line.get_markerfacecolor() != "white" for line in marks]
    order = np.argsort(-rho.values)
    holm = relation["relation_p_holm"].sel(target="error").values[order]
    assert filled == (holm < 0.05).tolist()
    other = foresight(relation, method="radius").axes[1].get_title()
    assert other == "gain, radius"


@pytest.mark.parametrize("column", ["single", "double"])
def test_what_is_not_supported_says_so(relation: xr.Dataset, column: str) -> None:
    few = relation.copy(deep=True)
    for name in few.data_vars:
        if few[name].dtype.kind == "f" and "coverage" not in str(name):
            few[name].values[...] = np.nan
    few["relation_reason"] = few["relation_reason"].astype("U60")
    few["relation_reason"].values[...] = "7 systems support none"
    assert "7 systems support none" in _texts(foresight(few, column=column))
    assert "not supported" in _texts(applicability(few, column=column))


def test_risk_and_coverage_are_those_of_the_table(relation: xr.Dataset) -> None:
    figure = applicability(relation, alpha=0.1, column="double")
    risk, coverage = figure.axes
    drawn = {line.get_label(): np.asarray(line.get_ydata()) for line in risk.lines}
    knn = relation["relation_risk"].sel(measure="knn").values * 1000
    np.testing.assert_allclose(drawn["Distance to nearest neighbours"], knn)
    assert (drawn["by the error itself"] <= knn + 1e-9).all()
    of = relation["relation_coverage"].sel(scaling="none").sel(alpha=0.1, method="nearest")
    line = next(one for one in coverage.lines if one.get_label() == "one bound for all")
    np.testing.assert_allclose(line.get_xdata(), of.values)
    without = relation.drop_vars([n for n in relation if "coverage" in str(n)])
    assert len(applicability(without).axes) == 1


def test_of_several_experiments_each_has_its_own(
    relation: xr.Dataset, scored: xr.Dataset, tmp_path: Path
) -> None:
    both = xr.concat([relation, relation.isel(measure=[0])], dim="experiment", join="outer")
    both = both.assign_coords(experiment=["pools", "rmd17"])
    bare = scored.isel(system=slice(0, 0))  # nothing but the relation to draw
    bare = bare.isel(structure=slice(0, 0), group=slice(0, 0))
    stems = {p.stem for p in draw_refinement(bare, tmp_path, relation=both)}
    expected = {f"{k}_{e}" for k in ("foresight", "applicability") for e in ("pools", "rmd17")}
    assert stems == expected
