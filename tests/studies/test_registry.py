"""Names to selectors and featurizers."""

from pathlib import Path

import pytest

from breadth.diversity import ConfigurationError, DataError, Featurizer
from breadth.sampling.selectors import LEVELS, Selector
from breadth.studies.registry import FEATURIZERS, SELECTORS, featurizer, selector


@pytest.mark.parametrize("name", SELECTORS)
def test_selectors_are_made_by_name(name: str) -> None:
    made = selector(name, random_state=4, n_to_select=2)
    assert isinstance(made, Selector)
    assert (made.random_state, made.n_to_select) == (4, 2)
    assert set(made.levels) <= set(LEVELS)


@pytest.mark.parametrize("name", FEATURIZERS)
def test_featurizers_are_made_by_name(name: str) -> None:
    assert isinstance(featurizer(name), Featurizer)


def test_names_that_do_not_exist_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no selector 'best'. Selectors: random"):
        selector("best")
    with pytest.raises(ConfigurationError, match=r"no featurizer 'spoa'. Featurizers: compact"):
        featurizer("spoa")
    with pytest.raises(DataError, match="holds no potential"):
        featurizer(f"model:{tmp_path}")
