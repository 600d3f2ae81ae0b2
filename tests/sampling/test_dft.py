"""Density functional theory by PySCF, against a direct script and finite differences."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule

from breadth.diversity import ConfigurationError, read, write
from breadth.diversity.ase_atoms import from_ase
from breadth.sampling.labels import isolated_atom_energies, label, label_chunk
from breadth.studies.registry import label_engine

pytest.importorskip("pyscf", reason="needs the extra dft")

LEVEL = "b3lyp-d3bj/6-31g*"


def rattled(name):
    atoms = molecule(name)
    atoms.rattle(0.05, seed=1)
    return atoms


def direct(atoms):
    """The energy (eV) and forces (eV/Å) as a short script of PySCF's manual computes them."""
    from pyscf import dft, gto

    mol = gto.M(
        atom=list(zip(atoms.get_chemical_symbols(), atoms.positions.tolist(), strict=True)),
        basis="6-31g*",
        verbose=0,
    )
    field = dft.RKS(mol, xc="b3lyp")
    field.disp = "d3bj"
    field.conv_tol = 1e-9
    energy = field.kernel()
    gradient = field.nuc_grad_method()
    gradient.grid_response = True
    return energy * units.Hartree, -gradient.kernel() * units.Hartree / units.Bohr


@pytest.fixture(scope="module", params=["H2O", "CH4", "CH3CH2OH"])
def labelled(request):
    """A molecule off its minimum, and its labels."""
    atoms = rattled(request.param)
    return atoms, label_engine(LEVEL)(from_ase([atoms]))


def test_labels_are_those_of_pyscf_itself(labelled):
    atoms, labels = labelled
    energy, forces = direct(atoms)
    assert labels.energy[0] == pytest.approx(energy, abs=1e-8)
    np.testing.assert_allclose(labels.forces, forces, atol=1e-8, rtol=0)


def test_forces_are_the_slope_of_the_energy(labelled):
    """The grid's response is in the forces: without it ethanol is off by 4e-4 eV/Å here."""
    (atoms, labels), step = labelled, 2e-3
    engine = label_engine(LEVEL)
    moved = [atoms.copy(), atoms.copy()]
    moved[0].positions[0, 0] += step
    moved[1].positions[0, 0] -= step
    high, low = engine(from_ase(moved)).energy
    assert -(high - low) / (2 * step) == pytest.approx(labels.forces[0, 0], abs=1e-4)


def test_density_fitting_and_dispersion_are_other_levels():
    water = from_ase([rattled("H2O")])
    energies = {
        name: label_engine(name)(water).energy[0]
        for name in ("pbe/def2-svp", "df-pbe/def2-svp", "pbe-d3bj/def2-svp", "pbe-d4/def2-svp")
    }
    plain = energies.pop("pbe/def2-svp")
    assert abs(energies["df-pbe/def2-svp"] - plain) < 5e-3  # the fit's error, eV
    assert len({plain, *energies.values()}) == 4


def test_spin_states_and_atoms():
    radical = Atoms("OH", positions=[[0, 0, 0], [0, 0, 0.97]])
    radical.info["spin"] = 2
    labels = label_engine("pbe/def2-svp")(from_ase([radical]))
    assert labels.has_energy.all()
    atoms = isolated_atom_energies([1, 8], label_engine("pbe/def2-svp"))
    # OH binds by 4.4 eV (experiment); PBE in a small basis stays within an electronvolt.
    assert 3.4 < atoms[1] + atoms[8] - labels.energy[0] < 5.4


def test_what_cannot_be_computed_is_said(tmp_path):
    lone = Atoms("OH", positions=[[0, 0, 0], [0, 0, 0.97]])
    lone.info["spin"] = 1
    crystal = Atoms("He", cell=[4, 4, 4], pbc=True)
    heavy = Atoms("U2", positions=[[0, 0, 0], [0, 0, 2.4]])
    faults = [
        label_chunk(from_ase([atoms]), label_engine("pbe/6-31g*")).faults[0]
        for atoms in (lone, crystal, heavy)
    ]
    assert "multiplicity 1" in faults[0]
    assert "periodic" in faults[1]
    assert "asis" in faults[2]
    unconverged = type(label_engine("pbe/6-31g*"))("pbe/6-31g*", max_gradient=1e-12)
    assert "orbital gradient" in unconverged(from_ase([rattled("H2O")])).faults[0]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("b3lyq/6-31g*", "no functional 'b3lyq'"),
        ("pbe/none", "no basis set 'none'"),
        ("/def2-svp", "no level of density functional theory"),
        ("df-/x", "no level of density functional theory"),
    ],
)
def test_names_are_checked_before_anything_is_computed(name, why):
    with pytest.raises(ConfigurationError, match=why.replace("(", r"\(")):
        label_engine(name)


def test_a_level_of_theory_keeps_its_name_on_disk(tmp_path):
    water = from_ase([rattled("H2O")])
    labels, aside = label(water, label_engine("pbe/def2-svp"))
    assert not aside
    assert labels.reference_energies.keys() == {1, 8}
    for suffix in ("set", "set.xyz"):
        write(water.with_level("pbe/def2-svp", labels), tmp_path / suffix)
        found = read(tmp_path / suffix).labels("pbe/def2-svp")
        assert found.energy[0] == pytest.approx(labels.energy[0], abs=1e-9)
