"""Names to selectors and featurizers."""

import re
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


def test_the_table_of_selectors_in_the_docs_is_true() -> None:
    page = (Path(__file__).parents[2] / "docs" / "measures.md").read_text()
    table = re.findall(r"^\| `(\w+)` \| .* \| (.+) \| (yes|no) \|$", page, re.MULTILINE)
    assert [name for name, _, _ in table] == list(SELECTORS)
    for name, reads, nests in table:
        found = selector(name)
        said = {"labels": {"prior_labels", "reference_labels"}, "–": set()}
        told = set().union(*(said.get(word, {word}) for word in reads.split(", ")))
        assert told == found.reads, name
        assert (nests == "yes") == found.prefix, name
