"""Geometries by engines' modes, dynamics, torsions and stretched bonds."""

from __future__ import annotations

import numpy as np
import pytest

from breadth.diversity.bonds import bond_changes, pair_distances
from breadth.diversity.errors import ConfigurationError
from breadth.sampling.engines import Mmff94
from breadth.sampling.molecules import Molecule
from breadth.sampling.sources import BY_ENGINE, SourceSettings, minima_of, sample_source

MOLECULES = [Molecule("propanol", "CCCO"), Molecule("ether", "CCOC")]
METHODS = ["engine_modes", "langevin", "nve", "torsions", "stretched"]


def drawn(method, molecules=MOLECULES, n_conformers=5, first=0, engine=None, **options):
    settings = SourceSettings(
        method=method,
        surface="mmff94",
        max_minima=2,
        equilibration=10.0,
        interval=5.0,
        **options,
    )
    return sample_source(
        molecules,
        n_conformers=n_conformers,
        settings=settings,
        engine=engine or (Mmff94() if method in BY_ENGINE else None),
        seed=3,
        first=first,
    )


@pytest.fixture(scope="module", params=METHODS)
def sample(request):
    return request.param, *drawn(request.param)


def test_counts_molecules_and_bonds_are_right(sample) -> None:
    _, conformers, aside = sample
    assert np.bincount(conformers.molecule).tolist() == [5, 5]
    assert conformers.molecules.key.tolist() == ["CCCO", "CCOC"]
    assert len(set(conformers.id.tolist())) == len(conformers)
    assert not [a for a in aside if a.reason.startswith("fewer")]
    for i in range(len(conformers)):
        at = conformers.atoms_slice(i)
        bonds = conformers.molecules.bond_table(int(conformers.molecule[i]))
        assert bond_changes(conformers.numbers[at], conformers.positions[at], bonds)[0] is None


def test_a_molecule_does_not_depend_on_its_company(sample) -> None:
    method, conformers, _ = sample
    alone, _ = drawn(method, MOLECULES[1:], first=1)
    same = conformers.select(conformers.molecule == 1)
    assert alone.id.tolist() == same.id.tolist()
    assert alone.trajectory.tolist() == same.trajectory.tolist()


def test_frames_of_dynamics_tell_run_time_and_temperature() -> None:
    for method in ("langevin", "nve"):
        frames, _ = drawn(method)
        assert set(frames.source.tolist()) == {f"{method} dynamics"}
        assert set(frames.temperature.tolist()) == {500.0}
        # Two runs of each molecule, numbered apart; the equilibration is not there.
        runs = [set(frames.trajectory[frames.molecule == m].tolist()) for m in (0, 1)]
        assert not runs[0] & runs[1]
        assert frames.time.min() == 10.0
        for run in set(frames.trajectory.tolist()):
            times = np.sort(frames.time[frames.trajectory == run])
            assert np.allclose(np.diff(times), 5.0)


def test_torsions_keep_bond_lengths_and_stretching_changes_one() -> None:
    rest = minima_of(MOLECULES[:1], seed=3, max_minima=2)
    bonds = rest.molecules.bond_table(0)
    lengths = pair_distances(rest.positions.reshape(len(rest), -1, 3), bonds)
    for method, changed in (("torsions", 0), ("stretched", 1)):
        made, _ = drawn(method, MOLECULES[:1])
        found = pair_distances(made.positions.reshape(len(made), -1, 3), bonds)
        moved = np.abs(found - lengths[made.minimum]) > 1e-4
        assert (moved.sum(axis=1) == changed).all(), method


def test_what_cannot_be_drawn_is_told() -> None:
    found, aside = drawn("torsions", [Molecule("methane", "C"), Molecule("ethane", "CC")])
    assert found is None
    assert "methane" in {a.record.split(",")[0] for a in aside}
    found, aside = drawn("torsions", [Molecule("ether", "CCOC")], 500)
    assert len(found) < 500
    assert any(a.reason.startswith("fewer geometries than asked") for a in aside)
    found, aside = drawn("stretched", [Molecule("boron", "[B]")])
    assert found is None
    assert aside[0].reason.startswith("molecule cannot be sampled: ")


def test_an_engine_that_fails_ends_runs_and_is_told() -> None:
    class Broken:
        name = "broken"

        def __call__(self, conformers):
            from breadth.diversity.tables import Labels

            return Labels.empty(len(conformers), conformers.n_atoms)

    found, aside = drawn("langevin", MOLECULES[:1], engine=Broken())
    assert found is None
    assert "run ended early: calculator failed" in aside[0].reason


@pytest.mark.parametrize(
    "options",
    [
        {"method": "umbrella"},
        {"method": "nve", "interval": 0.1},
        {"method": "nve", "temperature": 0.0},
        {"method": "torsions", "n_angles": 1},
        {"method": "stretched", "smallest": 0.5, "largest": 0.2},
    ],
)
def test_settings_that_mean_nothing_are_errors(options) -> None:
    with pytest.raises(ConfigurationError):
        SourceSettings(**options)
