"""Fixtures of the ground's tests."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from ase import Atoms

from breadth.diversity import ConformerSet, Molecules


@pytest.fixture(scope="session")
def as_set() -> Callable[[Sequence[Atoms]], ConformerSet]:
    """Return what makes a set of any structures, each a molecule, lone atoms too."""

    def make(structures: Sequence[Atoms]) -> ConformerSet:
        return ConformerSet(
            molecules=Molecules([f"molecule {i}" for i in range(len(structures))]),
            molecule=np.arange(len(structures)),
            numbers=np.concatenate([a.numbers for a in structures]),
            positions=np.concatenate([a.positions for a in structures]),
            offsets=np.cumsum([0, *map(len, structures)]),
            cell=np.array([np.array(a.cell) for a in structures]),
            pbc=np.array([a.pbc for a in structures]),
        )

    return make
