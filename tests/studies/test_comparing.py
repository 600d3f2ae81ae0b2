"""What is said before quadratic work, and files read as one set."""

from dataclasses import replace

import numpy as np
import pytest

from breadth.diversity import ConfigurationError, ConformerSet, Molecules, write
from breadth.studies.comparing import announce, announce_selection, read_as_one, set_names
from breadth.studies.registry import SELECTORS, selector


def _many(n_molecules: int, n_conformers: int) -> ConformerSet:
    n = n_molecules * n_conformers
    return ConformerSet(
        molecules=Molecules(key=np.array([f"m{i}" for i in range(n_molecules)])),
        molecule=np.repeat(np.arange(n_molecules), n_conformers),
        numbers=np.full(n, 6),
        positions=np.arange(3.0 * n).reshape(n, 3),
        offsets=np.arange(n + 1),
    )


def test_small_sets_are_measured_without_a_word():
    assert announce(_many(10, 10), exact=None) == ""
    assert announce(_many(10, 10), exact=True) == ""


def test_what_is_sampled_and_what_is_quadratic_is_said_beforehand():
    assert "sampled" in announce(_many(10, 3_000), exact=None)
    assert "4.5e+08 pairs" in announce(_many(10, 3_000), exact=True)
    assert "11,000 molecules" in announce(_many(11_000, 1), exact=None)


@pytest.mark.parametrize("name", SELECTORS)
def test_quadratic_selectors_say_so(name):
    said = announce_selection(_many(10, 3_000), selector(name), "structures")
    assert bool(said) == (name in ("kennard_stone", "kmedoids", "butina"))
    assert announce_selection(_many(10, 3_000), selector(name), "molecules") == ""


def test_trajectories_of_two_files_stay_apart(tmp_path):
    for name, shift in (("a", 0.0), ("b", 1000.0)):
        one = _many(2, 3)
        moved = replace(one, positions=one.positions + shift, trajectory=np.repeat([0, 1], 3))
        write(moved, tmp_path / name)
    both = read_as_one([tmp_path / "a", tmp_path / "b"])
    assert len(both) == 12
    assert both.trajectory.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3


def test_a_file_named_twice_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match="named twice"):
        set_names([tmp_path / "a", tmp_path / "a"])
