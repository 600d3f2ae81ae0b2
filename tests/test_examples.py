"""Every example in a docstring prints what it says."""

import doctest
import importlib
import pkgutil

import pytest

import breadth

MODULES = sorted(m.name for m in pkgutil.walk_packages(breadth.__path__, "breadth."))


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    if name == "breadth.sampling.data.select_molecules":
        pytest.skip("a script, not a module of the package")
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0
