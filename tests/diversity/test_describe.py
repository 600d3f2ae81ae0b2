"""Numbers about a set."""

import json

import numpy as np
import pytest

from breadth.diversity import ConformerSet, Labels, Molecules
from breadth.diversity.describe import describe


def small():
    return ConformerSet(
        molecules=Molecules(key=np.array(["a", "b"]), charge=np.array([0, -1])),
        molecule=np.array([0, 0, 1]),
        numbers=np.array([1, 1, 1, 1, 8, 1]),
        positions=np.arange(18.0).reshape(6, 3),
        offsets=np.array([0, 2, 4, 6]),
        levels={
            "l": Labels(
                energy=np.array([-2.0, -4.0, 0.0]),
                forces=np.array([[3.0, 4.0, 0.0]] * 4 + [[0.0, 0.0, 0.0]] * 2),
                has_energy=np.array([True, True, False]),
                has_forces=np.array([True, True, False]),
                reference_energies={1: -13.6, 8: -2000.0, 6: -1000.0},
            )
        },
        metadata={
            "identity_rule": "identifier",
            "set_aside": [
                {"record": "r1", "reason": "atoms overlap: 0.01 Å"},
                {"record": "r2", "reason": "atoms overlap: 0.02 Å"},
            ],
        },
    )


def test_counts_ranges_and_missing_labels():
    told = describe(small())
    json.dumps(told)
    assert (told["n_conformers"], told["n_molecules"], told["n_atoms"]) == (3, 2, 6)
    assert told["n_reference_atoms"] == 3
    assert told["elements"] == ["H", "O"]
    assert told["identity_rule"] == "identifier"
    assert told["conformers_per_molecule"] == {"min": 1, "median": 1.5, "max": 2}
    assert told["charges"] == {"0": 2, "-1": 1}
    assert told["energy_range"] == [-4.0, -2.0]
    assert told["force_range"] == [0.0, 4.0]
    assert told["force_norm_range"] == [5.0, 5.0]
    level = told["levels"]["l"]
    assert level["missing"] == {"energy": 1, "forces": 1, "stress": 3}
    assert level["mean_force_norm"] == pytest.approx(5.0)
    assert level["energy_per_atom_range"] == [-2.0, -1.0]
    assert level["reference_energies"] == {"H": -13.6, "C": -1000.0, "O": -2000.0}
    assert told["set_aside"] == {"count": 2, "reasons": {"atoms overlap": 2}}


def test_a_set_of_no_conformers_can_be_described():
    told = describe(small().select([]))
    json.dumps(told)
    assert told["n_conformers"] == 0
    assert told["n_reference_atoms"] == 3
    assert told["energy_range"] is None
