"""The relation table: its layout, what it cannot support, and what it finds in made-up systems."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from breadth.analysis.relation import best_foresight, relation_table
from breadth.analysis.relation.correlation import relate
from breadth.analysis.relation.regression import foretell
from breadth.diversity.errors import DataError

GROUPS = ["in_distribution", "larger", "new_element", "stretched"]
FEW = {"n_resamples": 50}


def study(n_per_group: int = 10, n_hold_out: int = 40, seed: int = 0) -> dict:
    """SYNTHETIC: `near` tells the error, `noise` nothing; adaptation wins most far out."""
    rng = np.random.default_rng(seed)
    n_replicates, n = 3, 4 * n_per_group
    far = np.repeat([0.0, 1.0, 2.0, 3.0], n_per_group) + 0.5 * rng.normal(size=n)
    size = rng.integers(5, 30, n).astype(float)

    def hard(far: np.ndarray) -> np.ndarray:
        return 0.05 * np.exp(0.6 * far + 0.2 * rng.normal(size=(n_replicates, len(far))))

    far_held = 0.5 * rng.normal(size=n_hold_out)
    held = {"near": np.exp(far_held), "noise": rng.random(n_hold_out)}
    score = {"near": np.exp(far), "noise": rng.random((n_replicates, n))}
    return {
        "error": hard(far),
        "shift": {k: (held[k] <= np.asarray(v)[..., None]).mean(-1) for k, v in score.items()},
        "gain": {"test_time": 0.01 * far + 0.02 * rng.normal(size=(3, n)), "radius": 0 * hard(far)},
        "covariates": {"size": size, "force_norm": rng.random((n_replicates, n))},
        "group": np.repeat(GROUPS, n_per_group).tolist(),
        "score": score,
        "hold_out_error": hard(far_held),
        "hold_out_score": held,
    }


@pytest.fixture(scope="module")
def table() -> xr.Dataset:
    return relation_table(**study(), **FEW)


def test_layout(table: xr.Dataset, tmp_path: Path) -> None:
    assert table["measure"].values.tolist() == ["near", "noise"]
    assert table["target"].values.tolist() == ["error", "gain test_time", "gain radius"]
    assert table["target_kind"].values.tolist() == ["error", "gain", "gain"]
    assert table["target_method"].values.tolist() == ["", "test_time", "radius"]
    assert table["scaling"].values.tolist() == ["none", "near", "noise"]
    assert table["group"].values.tolist() == GROUPS
    for name in ("", "_partial", "_within"):
        rho, bounds = table[f"relation{name}_rho"], table[f"relation{name}_rho_interval"]
        assert rho.dims == ("measure", "target")
        assert bounds.dims == ("measure", "target", "bound")
        known = rho.notnull()
        assert ((bounds.sel(bound="lower") <= rho) | ~known).all()
        assert ((bounds.sel(bound="upper") >= rho) | ~known).all()
        p = table[f"relation{name}_p_value"]
        for method in ("holm", "benjamini_hochberg"):
            assert ((table[f"relation{name}_p_{method}"] >= p) | ~known).all()
    for name, variable in table.data_vars.items():
        assert str(name).startswith("relation_")
        if variable.dtype == float:
            assert {"long_name", "units", "missing"} <= set(variable.attrs), name
    assert table["relation_mae"].attrs["units"] == "eV/Å"
    table.to_netcdf(tmp_path / "relation.nc", engine="h5netcdf")
    again = xr.load_dataset(tmp_path / "relation.nc", engine="h5netcdf")
    xr.testing.assert_equal(again, table)


def test_what_was_put_in_is_found(table: xr.Dataset) -> None:
    near, noise = (table.sel(measure=name) for name in ("near", "noise"))
    for name in ("", "_partial"):
        rho = near[f"relation{name}_rho"].sel(target="error")
        assert rho > 0.8
        assert near[f"relation{name}_p_holm"].sel(target="error") < 0.01
        assert abs(noise[f"relation{name}_rho"].sel(target="error")) < 0.35
    assert near["relation_within_rho"].sel(target="error") > 0.4  # not the groups alone
    assert near["relation_r2"].sel(target="error") > 0.2 > noise["relation_r2"].sel(target="error")
    assert near["relation_auroc"] > 0.9
    assert near["relation_aurc_won"] > 0.8 > noise["relation_aurc_won"]
    assert near["relation_rho"].sel(target="gain test_time") > 0.1
    assert np.isnan(near["relation_rho"].sel(target="gain radius"))  # it won nothing anywhere
    assert (np.diff(table["relation_risk_oracle"].sel(measure="near")) >= 0).all()
    assert table["relation_risk"].isel(kept=-1).values == pytest.approx(study()["error"].mean())


def test_bounds_hold_in_distribution_and_fail_under_shift_unless_scaled(table: xr.Dataset) -> None:
    coverage = table["relation_coverage"].sel(alpha=0.2)
    assert coverage.sel(scaling="none", group="in_distribution") > 0.6
    assert coverage.sel(scaling="none", group="stretched") < 0.2
    assert coverage.sel(scaling="near", group="stretched") > 0.5
    assert table["relation_n_calibration"].values.tolist() == [40, 20, 20]
    bound = table["relation_bound"].sel(scaling="none", group="larger").values
    assert (np.diff(bound) <= 0).all()  # the more may lie above, the lower
    interval = table["relation_coverage_interval"]
    assert (interval.sel(bound="lower") <= table["relation_coverage"]).all()
    assert (interval.sel(bound="upper") >= table["relation_coverage"]).all()


def test_parts_are_those_of_their_own_modules(table: xr.Dataset) -> None:
    given = study()
    score = np.broadcast_to(given["score"]["near"], given["error"].shape)
    alone = relate(score, given["error"], **FEW)
    np.testing.assert_allclose(table["relation_rho_interval"].values[0, 0], alone.interval[0, 0])
    quantile = np.broadcast_to(given["shift"]["near"], given["error"].shape)
    skill = foretell(quantile[..., None], given["error"], **FEW)
    assert float(table["relation_r2"][0, 0]) == pytest.approx(skill.r2)


def test_few_systems_support_nothing_and_say_so() -> None:
    table = relation_table(**study(n_per_group=4, n_hold_out=8), **FEW)
    assert not table["relation_supported"].any()
    assert set(table["relation_reason"].values.ravel()) == {
        "known for 16 systems; fewer than 20 support no relation"
    }
    for name in ("rho", "partial_rho", "r2", "mae_won", "r2_all", "auroc", "aurc", "risk"):
        assert table[f"relation_{name}"].isnull().all(), name
    assert table["relation_failure_threshold"].isnull().all()
    assert table["relation_n_failures"].isnull().all()
    assert np.isinf(table["relation_bound"].sel(alpha=0.05)).all()  # 19 would be needed
    assert (table["relation_coverage"].sel(alpha=0.05) == 1).all()
    assert np.isfinite(table["relation_bound"].sel(scaling="none", alpha=0.2)).all()


def test_the_best_measure_is_told_with_the_chance_of_the_best(table: xr.Dataset) -> None:
    error, _, radius = best_foresight(table)
    assert (error.target, error.measure, error.reason) == ("error", "near", "")
    assert error.interval[0] < error.rho < error.interval[1]
    assert error.p_value < 0.001
    assert error.n_systems == 40
    assert (radius.measure, radius.reason) == ("", "constant over systems")
    few = best_foresight(relation_table(**study(n_per_group=4), **FEW))[0]
    assert few.reason == "known for 16 systems; fewer than 20 support no relation"
    assert np.isnan([few.rho, *few.interval, few.p_value]).all()


def test_only_errors_and_shift_are_needed_and_unknown_systems_are_left_out() -> None:
    given = study()
    given["error"][:, :3] = np.nan
    given["shift"]["noise"] = np.where(np.arange(40) < 25, np.nan, given["shift"]["noise"])
    table = relation_table(given["error"], given["shift"], **FEW)
    assert table["relation_n_systems"].values[:, 0].tolist() == [37, 15]
    assert table["relation_supported"].values[:, 0].tolist() == [True, False]
    assert "relation_partial_rho" not in table
    assert "relation_bound" not in table
    assert table["relation_r2_all"].notnull().all()  # of the measure that is known
    # beyond all of the hold-out quantiles tie; scores do not
    assert table["relation_tied_share"].sel(measure="near") > 0.2
    near = given["shift"]["near"]
    given["shift"]["near"] = np.where(np.arange(40) < 20, np.nan, near)  # half is not known
    share = relation_table(given["error"], given["shift"], **FEW)["relation_tied_share"]
    expected = (near[20:] == near[20:].max()).mean()
    assert float(share.sel(measure="near")) == pytest.approx(expected)


def test_systems_without_a_covariate_are_counted_out() -> None:
    given = study()
    given["covariates"]["size"][:7] = np.nan
    table = relation_table(**given, **FEW)
    assert (table["relation_n_systems"].sel(target="error") == 40).all()
    assert (table["relation_partial_n_systems"].sel(target="error") == 33).all()
    assert (table["relation_within_n_systems"].sel(target="error") == 40).all()


def test_bad_input_is_told() -> None:
    given = study()
    with pytest.raises(DataError, match="'near' has shape"):
        relation_table(given["error"][:, :-1], given["shift"])
    with pytest.raises(DataError, match="lack noise"):
        relation_table(given["error"], given["shift"], score={"near": given["score"]["near"]})
    with pytest.raises(DataError, match="39 groups"):
        relation_table(given["error"], given["shift"], group=given["group"][:-1])
    with pytest.raises(DataError, match="2 replicates, errors of 3"):
        relation_table(given["error"], given["shift"], hold_out_error=given["hold_out_error"][:2])


def test_a_target_that_a_joined_table_lacks_is_passed_over():
    """One experiment has methods that the other has not."""
    one, other = (relation_table(**study(), **FEW) for _ in range(2))
    other = other.isel(target=[0])
    joined = xr.concat([one, other], dim="experiment", join="outer")
    assert [f.target for f in best_foresight(joined.isel(experiment=1))] == ["error"]
    assert len(best_foresight(joined.isel(experiment=0))) == one.sizes["target"]
