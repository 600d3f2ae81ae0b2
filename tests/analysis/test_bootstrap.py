"""Intervals: exact small cases, and how often they hold the truth on made-up data."""

import numpy as np
import pytest

from breadth.analysis.bootstrap import CrossedBootstrap, mean_over_replicates


def test_mean_is_over_molecules_then_replicates() -> None:
    table = np.array([[1.0, 2.0, 3.0], [10.0, np.nan, np.nan]])
    assert mean_over_replicates(table) == 6.0
    assert np.isnan(mean_over_replicates(np.full((2, 3), np.nan)))


def test_one_replicate_or_one_molecule_has_no_interval() -> None:
    bootstrap = CrossedBootstrap()
    assert np.isnan(bootstrap.interval(np.ones((1, 5)), positive=True)).all()
    assert np.isnan(bootstrap.interval(np.ones((5, 1)), positive=True)).all()


def test_equal_values_have_no_width() -> None:
    bootstrap = CrossedBootstrap()
    assert bootstrap.interval(np.full((3, 9), 2.0), positive=True) == (2.0, 2.0)
    assert bootstrap.interval(np.zeros((3, 9)), positive=False) == (0.0, 0.0)
    assert bootstrap.interval(np.zeros((3, 9)), positive=True) == (0.0, 0.0)


def test_seed_and_empty_rows_and_columns() -> None:
    table = np.random.default_rng(0).gamma(3.0, size=(3, 20))
    padded = np.full((5, 24), np.nan)
    padded[np.ix_([0, 2, 4], np.arange(2, 22))] = table
    one = CrossedBootstrap(random_state=1).interval(table, positive=True)
    assert one == CrossedBootstrap(random_state=1).interval(padded, positive=True)
    assert one != CrossedBootstrap(random_state=2).interval(table, positive=True)
    assert 0 < one[0] < table.mean() < one[1]


@pytest.mark.parametrize(
    ("of_replicates", "of_molecules", "of_cells"),
    [(0.02, 0.4, 0.1), (0.15, 0.3, 0.1), (0.3, 0.1, 0.1), (0.05, 0.1, 0.5)],
)
@pytest.mark.parametrize("positive", [True, False])
def test_coverage(
    of_replicates: float, of_molecules: float, of_cells: float, positive: bool
) -> None:
    """Three replicates × 30 molecules: about 95 % of the intervals hold the population's mean."""
    rng = np.random.default_rng(7)
    bootstrap, hits, n = CrossedBootstrap(n_resamples=300), 0, 400
    variance = of_replicates**2 + of_molecules**2 + of_cells**2
    truth = np.exp(variance / 2) if positive else 0.0
    for _ in range(n):
        table = (
            rng.normal(0, of_replicates, (3, 1))
            + rng.normal(0, of_molecules, (1, 30))
            + rng.normal(0, of_cells, (3, 30))
        )
        lower, upper = bootstrap.interval(np.exp(table) if positive else table, positive=positive)
        hits += lower <= truth <= upper
    print(of_replicates, of_molecules, of_cells, positive, hits / n)
    assert 0.91 < hits / n <= 1.0
