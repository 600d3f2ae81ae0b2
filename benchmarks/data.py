"""Reading, comparing and labelling conformers, each against the tool that people use for it."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before any library asks

import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ase.db
import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from rdkit import Chem
from rdkit.Chem import rdMolAlign
from rdkit.Geometry import Point3D
from rows import alternate, emit
from tblite.ase import TBLite
from threadpoolctl import threadpool_limits

from breadth.diversity import ConformerSet, Labels, concat, read, write
from breadth.diversity.formats.native import open_native
from breadth.diversity.formats.streaming import convert_to_native
from breadth.diversity.rmsd import automorphisms, symmetry_rmsd
from breadth.sampling.engines import Gfn2, Mmff94
from breadth.sampling.geometries import sample_geometries
from breadth.sampling.labels import label_chunk
from breadth.sampling.molecules import Molecule, bundled_molecules

SHARED = Path(__file__).resolve().parents[1] / "../shared/data"
#: Nine heavy atoms with the symmetries of an isopropyl and of a trifluoromethyl group.
SYMMETRIC = "CC(C)OCC(F)(F)F"


def extxyz_read(folder: Path) -> None:
    """Read 500 labelled frames of 27 atoms from extended XYZ, against `ase.io.read`."""
    path = SHARED / "3bpa/train_300K.xyz"
    if not path.exists():
        path = folder / "frames.xyz"
        write(_labelled(500), path)
    ours, theirs = read(path), ase.io.read(path, ":")
    labels = ours.labels()
    equal = (
        np.array_equal(ours.positions, np.concatenate([a.positions for a in theirs]))
        and np.array_equal(labels.energy, [a.get_potential_energy() for a in theirs])
        and np.array_equal(labels.forces, np.concatenate([a.get_forces() for a in theirs]))
    )
    seconds = alternate(lambda: read(path), lambda: ase.io.read(path, ":"))
    emit(
        "extxyz_read",
        ours=seconds[0],
        peer=seconds[1],
        peer_name="ase.io.read",
        unit="s",
        equal=equal,
        packages=("ase",),
        frames=len(ours),
        file=path.name,
    )


def extxyz(folder: Path, copies: int = 12) -> None:
    """Convert 6,000 labelled frames of 27 atoms to the native form, against `ase.io.read` alone.

    Seconds are of the processor, and include writing, which the peer is spared.
    """
    path, one = folder / "frames.xyz", SHARED / "3bpa/train_300K.xyz"
    if one.exists():
        path.write_bytes(one.read_bytes() * copies)
    else:
        write(_labelled(500), path)
        path.write_bytes(path.read_bytes() * copies)
    megabytes = path.stat().st_size / 1e6

    def ours() -> None:
        shutil.rmtree(folder / "native", ignore_errors=True)
        convert_to_native(path, folder / "native")

    def peer() -> None:
        ase.io.read(path, ":")

    def seconds(function: Callable[[], None]) -> float:
        start = time.process_time()
        function()
        return time.process_time() - start

    ours()  # compiles
    taken = [(seconds(ours), seconds(peer)) for _ in range(3)]
    mine, others = (statistics.median(column) for column in zip(*taken, strict=True))
    back, theirs = read(folder / "native"), ase.io.read(path, ":")
    labels = back.labels()
    equal = (
        np.array_equal(back.positions, np.concatenate([a.positions for a in theirs]))
        and np.array_equal(labels.energy, [a.get_potential_energy() for a in theirs])
        and np.array_equal(labels.forces, np.concatenate([a.get_forces() for a in theirs]))
    )
    emit(
        "extxyz",
        ours=megabytes / mine,
        peer=megabytes / others,
        peer_name="ase.io.read",
        unit="MB/s",
        higher_is_better=True,
        equal=equal,
        packages=("ase", "numba"),
        frames=len(back),
        megabytes=round(megabytes, 1),
    )


def native_random_batches(folder: Path, batches: int = 20, size: int = 32) -> None:
    """Open 2,000 frames and read random batches of them, against a database of ASE.

    The database is as a user of ASE writes it: atoms with energy and forces, nothing else.
    """
    files = [SHARED / f"rmd17/rmd17_aspirin_{part}_01.npz" for part in ("train", "test")]
    there = all(file.exists() for file in files)
    full = concat([read(file) for file in files]) if there else _labelled(2000)
    native, database = folder / "native", folder / "frames.db"
    write(full, native)
    labels = full.labels()
    with ase.db.connect(database) as writer:
        for i in range(len(full)):
            at = full.atoms_slice(i)
            atoms = Atoms(numbers=full.numbers[at], positions=full.positions[at])
            results = {"energy": labels.energy[i], "forces": labels.forces[at]}
            atoms.calc = SinglePointCalculator(atoms, **results)
            writer.write(atoms)
    random = np.random.default_rng(0)
    picks = [random.choice(len(full), size, replace=False) for _ in range(batches)]

    def ours() -> list[tuple[np.ndarray, ...]]:
        (shard,) = open_native(native)
        read_back = []
        for pick in picks:
            batch = shard.select(pick)
            told = batch.labels()
            read_back.append((batch.numbers, batch.positions, told.energy, told.forces))
        return read_back

    def peer() -> list[tuple[np.ndarray, ...]]:
        read_back = []
        with ase.db.connect(database) as reader:
            for pick in picks:
                found = [reader.get(int(i) + 1) for i in pick]
                read_back.append(
                    (
                        np.concatenate([row.numbers for row in found]),
                        np.concatenate([row.positions for row in found]),
                        np.array([row.energy for row in found]),
                        np.concatenate([row.forces for row in found]),
                    )
                )
        return read_back

    equal = all(
        np.array_equal(mine, other)
        for batch in zip(ours(), peer(), strict=True)
        for mine, other in zip(*batch, strict=True)
    )
    seconds = alternate(ours, peer)
    read_in_all = batches * size
    emit(
        "native_random_batches",
        ours=read_in_all / seconds[0],
        peer=read_in_all / seconds[1],
        peer_name="ase.db (SQLite)",
        unit="conformers/s",
        higher_is_better=True,
        equal=equal,
        packages=("ase", "safetensors"),
        batch=size,
        frames=len(full),
    )


def symmetry_rmsds(folder: Path) -> None:
    """Compare 20 conformers with each other over all symmetries, against RDKit's two ways."""
    molecule = Molecule("symmetric", SYMMETRIC)
    frames, _ = sample_geometries([molecule], n_conformers=20, seed=0)
    numbers, bonds = molecule.numbers, frames.molecules.bond_table(0)
    positions = frames.positions.reshape(len(frames), -1, 3)
    heavy = Chem.MolFromSmiles(molecule.canonical)  # atoms in the order of the geometries
    for k, geometry in enumerate(positions):
        conformer = Chem.Conformer(heavy.GetNumAtoms())
        conformer.SetId(k)
        for i, place in enumerate(geometry[: heavy.GetNumAtoms()].tolist()):
            conformer.SetAtomPosition(i, Point3D(*place))
        heavy.AddConformer(conformer)
    pairs = [(i, j) for i in range(len(frames)) for j in range(i)]

    def ours() -> np.ndarray:
        return symmetry_rmsd(numbers, bonds, positions)

    def one_by_one() -> list[float]:
        return [rdMolAlign.GetBestRMS(heavy, heavy, prbId=i, refId=j) for i, j in pairs]

    def at_once() -> list[float]:
        return list(rdMolAlign.GetAllConformerBestRMS(heavy, numThreads=1))

    mine = np.array([ours()[i, j] for i, j in pairs])
    for row, name, peer in (
        ("symmetry_rmsd", "RDKit GetBestRMS", one_by_one),
        ("symmetry_rmsd_matrix", "RDKit GetAllConformerBestRMS", at_once),
    ):
        equal = bool(np.abs(mine - np.array(peer())).max() < 1e-4)
        seconds = alternate(ours, peer)
        emit(
            row,
            ours=seconds[0],
            peer=seconds[1],
            peer_name=name,
            unit="s",
            equal=equal,
            packages=("rdkit",),
            conformers=len(frames),
            symmetries=len(automorphisms(numbers, bonds)[1]),
            smiles=SYMMETRIC,
        )


def gfn2_labels(folder: Path) -> None:
    """Label 100 conformers of ten molecules, against tblite's own calculator for ASE.

    The calculator is kept for all conformers of one molecule and reset between them, so that both
    sides start each calculation from the same guess.
    """
    molecules = bundled_molecules()[::200]
    frames, _ = sample_geometries(molecules, n_conformers=10, seed=0)
    engine = Gfn2()

    def ours() -> Labels:
        return label_chunk(frames, engine)

    def peer() -> tuple[np.ndarray, np.ndarray]:
        energies, forces = [], []
        with threadpool_limits(1):
            for row in range(frames.n_molecules):
                calculator = TBLite(method="GFN2-xTB", verbosity=0)
                for i in np.flatnonzero(frames.molecule == row).tolist():
                    at = frames.atoms_slice(i)
                    atoms = Atoms(numbers=frames.numbers[at], positions=frames.positions[at])
                    calculator.reset()
                    atoms.calc = calculator
                    energies.append(atoms.get_potential_energy())
                    forces.append(atoms.get_forces())
        return np.array(energies), np.concatenate(forces)

    labels, (energies, forces) = ours(), peer()
    off_energy = float(np.abs(labels.energy - energies).max())
    off_forces = float(np.abs(labels.forces - forces).max())
    seconds = alternate(ours, peer, runs=3)
    emit(
        "gfn2_labels",
        ours=len(frames) / seconds[0],
        peer=len(frames) / seconds[1],
        peer_name="tblite.ase.TBLite",
        unit="conformers/s",
        higher_is_better=True,
        equal=bool(labels.has_forces.all() and off_energy < 1e-6 and off_forces < 1e-5),
        packages=("tblite", "ase"),
        conformers=len(frames),
        atoms=frames.n_atoms,
        largest_difference={"energy_ev": off_energy, "forces_ev_per_angstrom": off_forces},
    )


def _labelled(n: int) -> ConformerSet:
    """Return conformers of one bundled molecule with force-field labels, where data are absent."""
    frames, _ = sample_geometries([Molecule("symmetric", SYMMETRIC)], n_conformers=n, seed=0)
    return replace(frames, levels={"mmff94": label_chunk(frames, Mmff94())})


def main() -> int:
    """Print all rows; return 1 if one failed."""
    failed = 0
    for row in (extxyz_read, extxyz, native_random_batches, symmetry_rmsds, gfn2_labels):
        try:
            with tempfile.TemporaryDirectory() as folder:
                row(Path(folder))
        except Exception as error:  # the other rows are worth having
            failed = 1
            print(json.dumps({"row": row.__name__, "error": f"{type(error).__name__}: {error}"}))
    return failed


if __name__ == "__main__":
    sys.exit(main())
