"""Torsional regions that a set lacks: molecules turned to known angles, and published sets."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem
from rdkit.Chem.rdMolTransforms import SetDihedralDeg
from scipy.spatial.transform import Rotation

from breadth.diversity import ConformerSet, Molecules, concat, read
from breadth.diversity.audit import torsional_regions

SHARED = Path(__file__).parents[4] / "shared" / "data"


def turned(smiles: str, quartet: tuple[int, int, int, int], angles: list[float]) -> ConformerSet:
    """Return conformers of a molecule that differ by one torsion, each turned in space."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(mol, randomSeed=1)
    AllChem.MMFFOptimizeMolecule(mol)
    frames = []
    for k, angle in enumerate(angles):
        SetDihedralDeg(mol.GetConformer(), *quartet, float(angle))
        turn = Rotation.random(random_state=k)
        frames.append(turn.apply(mol.GetConformer().GetPositions()))
    n = mol.GetNumAtoms()
    return ConformerSet(
        molecules=Molecules(key=np.array([smiles]), smiles=np.array([smiles])),
        molecule=np.zeros(len(angles), dtype=int),
        numbers=np.tile([a.GetAtomicNum() for a in mol.GetAtoms()], len(angles)),
        positions=np.concatenate(frames),
        offsets=n * np.arange(len(angles) + 1),
        metadata={"identity_rule": "smiles"},
    )


def near(*middles: float) -> list[float]:
    """Return ten angles within 8° of each."""
    return [m + d for m in middles for d in np.linspace(-8, 8, 10)]


@pytest.mark.parametrize(
    ("angles", "missing"),
    [
        (near(180), [60.0]),
        (near(60), [180.0]),
        (near(60, 180), []),
        (near(-60, 180), []),  # the mirror image of the case above
        (near(0, 120), [60.0, 180.0]),  # eclipsed: near no minimum
    ],
)
def test_minima_of_butane(angles, missing):
    found = torsional_regions(turned("CCCC", (0, 1, 2, 3), angles))
    assert (found["n_torsions"], found["n_known"], found["n_judged"]) == (1, 1, 1)
    assert [one["missing"] for one in found["worst"]] == ([missing] if missing else [])
    assert found["n_missing"] == bool(missing)
    assert found["patterns"]["n_missing"] == bool(missing)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_mirror_does_not_serve_molecules_with_stereocentres():
    chiral = "CC[C@H](F)Cl"
    found = torsional_regions(turned(chiral, (0, 1, 2, 3), near(60, 180)))
    (one,) = found["worst"]
    assert len(one["missing"]) == 1
    assert "none of 20 conformers near " in one["what"]
    assert torsional_regions(turned(chiral, (0, 1, 2, 3), near(-60, 60, 180)))["n_missing"] == 0
    # Of all molecules together, a torsion and its mirror image teach the same.
    assert found["patterns"]["n_missing"] == 0


def test_like_neighbours_count_as_one():
    """A tert-butyl group turned anyhow has a methyl group in each of its minima."""
    assert torsional_regions(turned("CC(C)(C)CC", (0, 1, 4, 5), near(180)))["n_missing"] == 0


def test_few_conformers_are_not_judged_alone_but_together():
    """One conformer says nothing of its molecule; of six molecules none is ever gauche."""
    ends = ("F", "Cl", "Br", "I", "C", "S")
    sets = [turned(f"{end}CCC#N", (0, 1, 2, 3), [180.0]) for end in ends]
    found = torsional_regions(concat(sets))
    assert found["n_judged"] == 0
    assert found["coverage"] is None
    (pattern,) = found["patterns"]["worst"]
    assert (pattern["missing"], pattern["counts"]) == ([60.0], [0, 0, 0, 0, 0, 6])
    assert (pattern["n_molecules"], pattern["n_conformers"]) == (6, 6)
    assert torsional_regions(turned("CCCC", (0, 1, 2, 3), near(180)[:4]))["n_judged"] == 0
    assert torsional_regions(turned("CCCC", (0, 1, 2, 3), near(180)[:5]))["n_judged"] == 1


def test_order_of_records_and_what_cannot_be_judged():
    butane = turned("CCCC", (0, 1, 2, 3), near(180))
    there = torsional_regions(butane)
    back = torsional_regions(butane.select(np.arange(len(butane))[::-1]))
    assert back == there
    cell = np.broadcast_to(np.eye(3) * 20, (len(butane), 3, 3))
    crystal = replace(butane, cell=cell, pbc=np.ones((len(butane), 3), dtype=bool))
    assert torsional_regions(crystal)["n_torsions"] == 0
    assert torsional_regions(butane.select([]))["n_torsions"] == 0
    assert torsional_regions(turned("CCO", (3, 0, 1, 2), [0.0, 60.0]))["n_torsions"] == 0


@pytest.mark.skipif(not SHARED.exists(), reason="needs the data sets in ../shared/data")
def test_the_dynamics_of_acetylacetone_lack_what_its_scan_tests():
    """Published as a test of extrapolation: the scan passes where no training frame is."""
    for name in ("train_300K", "train_600K"):
        (one,) = torsional_regions(read(SHARED / "acac" / f"{name}.xyz"))["worst"]
        assert (one["missing"], one["n_conformers"]) == ([180.0], 500)
    assert torsional_regions(read(SHARED / "acac" / "test_dihedral.xyz"))["n_missing"] == 0
