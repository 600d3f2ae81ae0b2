"""Advice: the optimum in closed form, costs, and when it is not supported."""

import json

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from breadth.analysis.advice import Cost, advise, candidates, read_cells
from breadth.diversity import ConfigurationError

from .conftest import CONFORMERS, MOLECULES, grid_results, law


@pytest.fixture(scope="module")
def advice(pilot):
    return advise(pilot, budget=2560, n_draws=60)


def test_the_optimum_is_that_of_the_law(advice):
    found = minimize_scalar(
        lambda m: law(np.exp(m), 2560 / np.exp(m)), bounds=np.log([10, 320]), method="bounded"
    )
    assert advice.supported, advice.reason
    assert advice.reason is None
    # The law is flat there: within a hundredth of the best error.
    assert law(advice.n_molecules, advice.n_conformers) < 1.01 * found.fun
    assert advice.interval[0] < found.fun < advice.interval[1]
    low, high = advice.n_molecules_interval
    assert low <= advice.n_molecules <= high
    assert advice.n_molecules * advice.n_conformers <= 2560


def test_alternatives_lose_against_it(advice):
    assert len(advice.alternatives) >= 4
    assert all(other.loss >= -0.01 * advice.force_mae for other in advice.alternatives)
    worst = max(advice.alternatives, key=lambda other: other.loss)
    expected = law(worst.n_molecules, worst.n_conformers) - law(
        advice.n_molecules, advice.n_conformers
    )
    assert worst.loss == pytest.approx(expected, rel=0.3)


def test_it_is_json_without_nan(advice):
    told = json.loads(json.dumps(advice.as_dict(), allow_nan=False))
    assert told["supported"] is True
    assert told["reason"] is None
    assert told["errors"][0]["test_set"] == "unseen_molecules"
    assert told["updates_gain"] == pytest.approx(1.5)
    assert "supported" in advice._repr_html_()


def test_dear_molecules_are_bought_less(pilot, advice):
    dear = Cost(per_molecule=30.0)
    other = advise(pilot, budget=2560, cost=dear, n_draws=20)
    assert other.n_molecules < advice.n_molecules
    assert other.cost == dear.of(other.n_molecules, other.n_conformers) <= 2560
    found = minimize_scalar(
        lambda m: law(np.exp(m), dear.conformers(np.exp(m), 2560)),
        bounds=np.log([10, 2560 / 31]),
        method="bounded",
    )
    assert law(other.n_molecules, other.n_conformers) < 1.02 * found.fun


def test_candidates_spend_the_budget_and_no_more(pilot):
    cells = read_cells(pilot)
    m, c = candidates(cells, 2560, Cost())
    assert (m * c <= 2560).all()
    assert (m * c > 2560 - m).all() or (m * (c + 1) > 2560).all()
    assert (np.diff(m) > 0).all()
    assert m.max() <= 320
    assert c.max() <= 32
    # Many conformers of few molecules: one candidate for each number of molecules, the fullest.
    m, c = candidates(cells, 320, Cost())
    assert (np.diff(m) > 0).all()
    assert (m[0], c[0]) == (10, 32)
    m, c = candidates(cells, 2560, Cost(), most_molecules=100)
    assert (m.max(), c[m.argmax()]) == (100, 25)


def test_cost_by_size_is_the_mean_of_a_power():
    cost = Cost.by_size([10, 20], factor=2.0, power=2.0, start=1.0, per_molecule=4.0)
    assert cost.per_label == pytest.approx(501.0)
    assert cost.of(3, 2) == pytest.approx(3 * (4 + 2 * 501))
    np.testing.assert_allclose(cost.conformers(np.array([3]), cost.of(3, 2)), [2.0])


def test_a_mixture_stands_between_its_parts():
    many = 0.05 + 3.0 / MOLECULES + 0.02 / CONFORMERS
    deep = 0.05 + 0.05 / MOLECULES + 0.3 * CONFORMERS**-0.8
    results = grid_results(many, deep)
    found = {
        name: advise(results, budget=1280, weights=weights, n_draws=10).n_molecules
        for name, weights in {
            "broad": "unseen_molecules",
            "both": None,
            "deep": {"own_conformers": 2.0},
        }.items()
    }
    assert found["broad"] > found["both"] > found["deep"]


@pytest.mark.parametrize(
    ("results", "budget", "reason"),
    [
        (grid_results(law(MOLECULES, CONFORMERS)), 2561, "The budget is 4 times"),
        (grid_results(np.full(16, 0.2)), 2560, "much better than a constant"),
        (grid_results(0.05 + 3.0 / MOLECULES), 2560, "at an end"),
        (
            grid_results(
                law(MOLECULES, CONFORMERS), quarter=0.1 + 0.5 * CONFORMERS**-0.5 + MOLECULES / 800
            ),
            2560,
            "pairs",
        ),
        (
            grid_results(law(MOLECULES, CONFORMERS)).isel(design=[0, 1, 4, 5, 8, 9, 12, 13]),
            300,
            "Too few cells",
        ),
        (grid_results(law(MOLECULES, CONFORMERS)).isel(replicate=[0]), 2560, "One replicate"),
    ],
    ids=["too far", "constant", "corner", "undertrained", "too few", "one replicate"],
)
def test_it_says_why_it_is_not_supported(results, budget, reason):
    advice = advise(results, budget=budget, n_draws=10)
    assert not advice.supported
    assert any(reason in text for text in advice.reasons), advice.reasons


def test_all_molecules_that_there_are_is_no_corner():
    results = grid_results(0.05 + 3.0 / MOLECULES + 0.02 / CONFORMERS)
    advice = advise(results, budget=2560, most_molecules=200, n_draws=10)
    assert advice.n_molecules == 200
    assert advice.supported, advice.reason


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"budget": 0}, "more than 0"),
        ({"budget": float("nan")}, "more than 0"),
        ({"budget": 5}, "smallest numbers"),
        ({"budget": 99, "weights": "unseen_molecule"}, "did you mean 'unseen_molecules'"),
        ({"budget": 99, "weights": {"unseen_molecules": -1}}, "0 or more"),
        ({"budget": 99, "weights": {"unseen_molecules": 0}}, "All weights are 0"),
    ],
)
def test_faults_are_named(pilot, options, text):
    with pytest.raises(ConfigurationError, match=text):
        advise(pilot, **options, n_draws=2)


@pytest.mark.parametrize("options", [{"per_label": 0.0}, {"per_molecule": -1.0}])
def test_costs_are_checked(options):
    with pytest.raises(ConfigurationError):
        Cost(**options)
