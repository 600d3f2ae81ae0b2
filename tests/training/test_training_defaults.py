"""The comparison that the defaults of training are judged by."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

_PATH = Path(__file__).parents[2] / "benchmarks/choices/training_defaults.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("training_defaults", _PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_two_settings_have_the_interval_of_the_paired_t_test(script):
    table = np.exp(np.random.default_rng(0).normal(size=(2, 5)))
    ratios, factor = script.against(table, 0)
    found = stats.ttest_rel(np.log(table[1]), np.log(table[0])).confidence_interval()
    assert ratios[0] == 1
    np.testing.assert_allclose([ratios[1] / factor, ratios[1] * factor], np.exp(found))


def test_what_all_settings_of_a_seed_share_is_no_scatter(script):
    table = np.outer([1.0, 2.0, 4.0], [1.0, 3.0])
    ratios, factor = script.against(table, 1)
    np.testing.assert_allclose(ratios, [0.5, 1, 2])
    assert factor == pytest.approx(1)


def test_a_setting_that_diverged_is_infinitely_worse_and_moves_no_interval(script):
    table = np.exp(np.random.default_rng(0).normal(size=(3, 4)))
    ratios, factor = script.against(np.vstack([table, [1, 1, np.inf, 1]]), 0)
    assert ratios[3] == np.inf
    assert factor == script.against(table, 0)[1]


def test_one_seed_tells_no_difference(script):
    assert script.against(np.array([[1.0], [2.0]]), 0)[1] == np.inf


def test_settings_of_equal_time_see_more_structures_in_large_batches(script):
    cells = [script.at_equal_time(6e-3, batch, 500, "muon") for batch in (4, 16, 64)]
    assert [cell.n_updates for cell in cells] == [1000, 500, 167]
