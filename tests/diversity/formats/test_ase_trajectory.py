"""ASE's trajectories as its dynamics leave them, whole and cut short."""

import numpy as np
import pytest
from ase import units
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.io import Trajectory
from ase.md.verlet import VelocityVerlet

from breadth.diversity import DataError, read, write
from breadth.diversity.errors import ConfigurationError


@pytest.fixture
def path(tmp_path):
    atoms = molecule("CH3CH2OH")
    atoms.calc = EMT()
    atoms.set_constraint(FixAtoms([0]))
    atoms.set_momenta(np.random.default_rng(0).normal(size=(9, 3)))
    with Trajectory(tmp_path / "md.traj", "w", atoms) as out:
        dynamics = VelocityVerlet(atoms, 0.5 * units.fs)
        dynamics.attach(out.write, interval=2)
        dynamics.run(10)
    return tmp_path / "md.traj"


def test_frames_labels_and_momenta_are_read(path) -> None:
    found = read(path, level="emt")
    frames = Trajectory(path)
    assert (len(found), found.n_molecules, found.metadata["format"]) == (len(frames), 1, "traj")
    assert found.record.tolist() == list(range(6))
    for k, atoms in enumerate(frames):
        at = found.atoms_slice(k)
        np.testing.assert_array_equal(found.positions[at], atoms.positions)
        np.testing.assert_array_equal(found.atom_extras["momenta"].values[at], atoms.get_momenta())
        assert found.levels["emt"].energy[k] == atoms.get_potential_energy()
        # Forces are what the calculator found, also on atoms that are held.
        forces = atoms.get_forces(apply_constraint=False)
        np.testing.assert_array_equal(found.levels["emt"].forces[at], forces)
    assert np.abs(found.levels["emt"].forces[0]).max() > 0.01
    assert list(read(path).levels) == ["unknown"]


def test_a_file_that_was_cut_says_where(path) -> None:
    whole = path.read_bytes()
    frames = Trajectory(path)
    begin = [int(frames.backend._offsets[k]) for k in range(6)]
    cut = path.with_name("cut.traj")
    cut.write_bytes(whole[: begin[5] - 40])
    with pytest.raises(DataError, match=r"cut\.traj: record \d.*--skip-bad"):
        read(cut)
    kept = read(cut, skip_bad=True)
    assert 0 < len(kept) < 6
    assert len(kept) + len(kept.metadata["set_aside"]) == 6
    cut.write_bytes(whole[:40])
    with pytest.raises(DataError, match=r"cut\.traj"):
        read(cut)


def test_it_is_only_read(path) -> None:
    with pytest.raises(ConfigurationError, match="only read"):
        write(read(path), path.with_name("other.traj"))
