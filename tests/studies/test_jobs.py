"""Calculations that run elsewhere: written, run by a real program, collected, run again."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from ase.units import Bohr

from breadth.diversity import ConfigurationError, DataError, concat, read, write
from breadth.sampling.engines import Uff
from breadth.sampling.geometries import sample_geometries
from breadth.sampling.molecules import Molecule
from breadth.studies.jobs import collect_jobs, reopen_jobs, write_jobs

pytest.importorskip("qcengine", reason="needs QCEngine, which runs the calculations")


@pytest.fixture(scope="module")
def conformers():
    found, _ = sample_geometries(
        [Molecule("ethanol", "CCO"), Molecule("formamide", "NC=O")], n_conformers=2, seed=0
    )
    return found


def run(folder, *arguments):
    """Run the calculations as a user does, with QCEngine of this environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([folder / "run.sh", *arguments], check=True, env={**os.environ, "PATH": path})


#: QCEngine 0.52 takes RDKit's energies, kcal/mol, for kJ/mol, and multiplies gradients by bohr/Å
#: where it should divide: these put its numbers right.
ENERGY, GRADIENT = 4.184, 4.184 * Bohr**2


def test_from_inputs_to_labels(conformers, tmp_path):
    """UFF through QCEngine is UFF by our own engine: conformers, units and signs are matched."""
    folder = tmp_path / "jobs"
    made = write_jobs(conformers, folder, by="qcengine:rdkit", level="uff", atoms=False)
    assert made["n_conformers"] == 4
    assert collect_jobs(folder).waiting == conformers.id.astype("U32").tolist()

    run(folder, "2")  # one of them, as a job array does
    found = collect_jobs(folder)
    assert found.conformers.id.tolist() == [conformers.id[1]]

    run(folder)
    found = collect_jobs(folder)
    assert not found.waiting
    assert not found.failed
    ours = Uff()(conformers)
    theirs = found.conformers.labels("uff")
    assert found.conformers.id.tolist() == conformers.id.tolist()
    np.testing.assert_allclose(theirs.energy * ENERGY, ours.energy, atol=1e-5)
    np.testing.assert_allclose(theirs.forces * GRADIENT, ours.forces, atol=1e-4)


def test_failures_are_told_and_run_again(conformers, tmp_path):
    folder = tmp_path / "jobs"
    write_jobs(conformers, folder, by="qcengine:rdkit", level="nonsense", atoms=False)
    run(folder, "1")
    found = collect_jobs(folder)
    assert [name for name, _ in found.failed] == [conformers.id[0].decode()]
    assert "failed" in found.failed[0].reason
    assert reopen_jobs(folder, found) == 4
    after = collect_jobs(folder)
    assert not after.failed
    assert len(after.waiting) == 4
    kept = folder / "calculations" / found.failed[0].record / "output.json.failed-1"
    assert json.loads(kept.read_text())["success"] is False


def test_a_program_that_reads_its_input_leaves_the_others_theirs(conformers, tmp_path):
    folder, greedy = tmp_path / "jobs", tmp_path / "greedy"
    greedy.write_text("#!/bin/sh\nwc -c\n")
    greedy.chmod(0o755)
    write_jobs(conformers, folder, by="orca", level="pbe/def2-svp", atoms=False)
    subprocess.run([folder / "run.sh"], check=True, env={**os.environ, "ORCA": str(greedy)})
    assert [path.read_text().strip() for path in folder.rglob("orca.out")] == ["0"] * 4


def test_only_what_lacks_labels_is_calculated(conformers, tmp_path):
    labels = Uff()(conformers.select([0, 1]))
    half = conformers.select([0, 1]).with_level("uff", labels)
    both = concat([half, conformers.select([2, 3])])
    made = write_jobs(both, tmp_path / "jobs", by="qcengine:rdkit", level="uff")
    assert (made["n_conformers"], made["n_labelled"]) == (2, 2)
    waiting = collect_jobs(tmp_path / "jobs").waiting
    assert waiting[:2] == conformers.id[2:].astype("U32").tolist()
    with pytest.raises(DataError, match="nothing to calculate"):
        write_jobs(half, tmp_path / "none", by="qcengine:rdkit", level="uff")
    made = write_jobs(half, tmp_path / "more", by="qcengine:rdkit", level="uff", again=True)
    assert (made["n_conformers"], made["n_labelled"]) == (2, 0)


def test_from_a_design_to_labels_by_commands(conformers, tmp_path, run_breadth):
    """The parts of a design are calculated, collected as they finish, and then need no more."""
    breadth = partial(run_breadth, cwd=tmp_path, check=False)
    write(conformers, tmp_path / "set.xyz")
    design = ["--n-molecules", "2", "--budget", "3", "--n-validation", "1"]
    assert breadth("design", "set.xyz", *design, "--out", "next").returncode == 0
    asked = ["--program", "qcengine:rdkit", "--level", "uff", "--no-atoms", "--json"]
    done = breadth("jobs", "write", "next", *asked, "--out", "jobs")
    assert json.loads(done.stdout)["n_conformers"] == 3
    run(tmp_path / "jobs", "1")
    done = breadth("jobs", "collect", "jobs", "--out", "some.xyz", "--json")
    assert json.loads(done.stdout)["n_waiting"] == 2
    done = breadth("jobs", "write", "next", "some.xyz", *asked, "--out", "rest")
    assert json.loads(done.stdout)["n_conformers"] == 2
    run(tmp_path / "jobs")
    done = breadth("jobs", "collect", "jobs", "--out", "all.xyz")
    assert "3 conformers labelled at uff; 0 calculations not run, 0 failed" in done.stdout
    assert read(tmp_path / "all.xyz").labels("uff").has_forces.all()
    done = breadth("jobs", "write", "all.xyz", *asked, "--out", "none")
    assert "nothing to calculate" in done.stderr
    with pytest.raises(subprocess.CalledProcessError):
        run(tmp_path / "jobs", "9")  # of three


def swap(folder, names, change):
    """Change what a calculation wrote."""
    path = folder / "calculations" / names[0] / "output.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda c: c["molecule"]["geometry"].__setitem__(0, 9.0), "Å off"),
        (lambda c: c["molecule"].update(symbols=c["molecule"]["symbols"][::-1]), "same order"),
        (lambda c: c["molecule"].update(molecular_charge=1.0), "charge or multiplicity"),
        (lambda c: c["properties"].update(return_gradient=None) or c.update(return_result=None),
         "no forces"),
        (lambda c: c["properties"].update(return_energy=float("nan")), "not finite"),
    ],
)  # fmt: skip
def test_a_result_of_something_else_is_no_label(change, why, conformers, tmp_path):
    folder = tmp_path / "jobs"
    one = conformers.select([0])
    write_jobs(one, folder, by="qcengine:rdkit", level="uff", atoms=False)
    run(folder)
    swap(folder, one.id.astype("U32").tolist(), change)
    found = collect_jobs(folder)
    assert not len(found.conformers)
    assert why in found.failed[0].reason


def test_orca_inputs_and_outputs(conformers, tmp_path):
    """The input says method, dispersion, basis and task; an output that was cut is a failure."""
    folder = tmp_path / "jobs"
    write_jobs(*(conformers, folder), by="orca", level="b3lyp-d3bj/def2-svp", keywords="TightSCF")
    names = (folder / "open.txt").read_text().split()
    assert names[-4:] == ["atom-1", "atom-6", "atom-7", "atom-8"]
    text = (folder / "calculations" / names[0] / "orca.inp").read_text()
    assert text.startswith("! b3lyp d3bj def2-svp EnGrad TightSCF\n\n* xyz 0 1\n")
    rows = [line.split() for line in text.splitlines() if len(line.split()) == 4][1:]
    at = conformers.atoms_slice(0)
    np.testing.assert_allclose(np.array([r[1:] for r in rows], float), conformers.positions[at])
    oxygen = (folder / "calculations" / "atom-8" / "orca.inp").read_text()
    assert "def2-svp SP" in oxygen
    assert "* xyz 0 3" in oxygen
    cut = folder / "calculations" / names[0] / "orca.out"
    cut.write_text("* O   R   C   A *\nCARTESIAN COORDINATES (ANGSTROEM)\n")
    assert [name for name, _ in collect_jobs(folder).failed] == [names[0]]


@pytest.mark.parametrize(
    ("level", "words"),
    [
        ("wb97m-d3bj/def2-tzvppd", "wb97m-d3bj def2-tzvppd"),  # of SPICE
        ("b97-d3/def2-svp", "b97-d3 def2-svp"),
        ("cam-b3lyp-d4/def2-svp", "cam-b3lyp d4 def2-svp"),
        ("r2scan-3c", "r2scan-3c"),
    ],
)
def test_orca_is_told_dispersion_as_it_names_it(level, words, conformers, tmp_path):
    write_jobs(conformers.select([0]), tmp_path / "jobs", by="orca", level=level, atoms=False)
    (text,) = [path.read_text() for path in (tmp_path / "jobs").rglob("orca.inp")]
    assert text.startswith(f"! {words} EnGrad\n")


def test_bad_input(conformers, tmp_path):
    with pytest.raises(ConfigurationError, match="no program 'gaussian'"):
        write_jobs(conformers, tmp_path / "x", by="gaussian", level="pbe/def2-svp")
    with pytest.raises(ConfigurationError, match="without 'df-'"):
        write_jobs(conformers, tmp_path / "x", by="orca", level="df-pbe/def2-svp")
    with pytest.raises(ConfigurationError, match="JSON object"):
        write_jobs(conformers, tmp_path / "x", by="qcengine:psi4", level="hf/x", keywords="a b")
    assert not (tmp_path / "x").exists()
    with pytest.raises(DataError, match="no folder of calculations"):
        collect_jobs(tmp_path)
    (tmp_path / "x").mkdir()
    with pytest.raises(ConfigurationError, match="exists already"):
        write_jobs(conformers, tmp_path / "x", by="orca", level="pbe/def2-svp")
