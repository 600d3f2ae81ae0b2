"""ORCA, Psi4 and xTB, played by stand-ins that compute GFN2-xTB and speak the programs' languages.

The programs themselves are not run here. What stands in reads what ASE's writers wrote: elements,
positions, charge and multiplicity, so that labels equal those of `Gfn2` only if all arrive.
"""

from __future__ import annotations

import pickle
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from breadth.diversity import ConformerSet, Molecules
from breadth.diversity.errors import ConfigurationError
from breadth.sampling.engines import Gfn2
from breadth.sampling.labels import isolated_atom_energies
from breadth.sampling.programs import Orca
from breadth.studies.registry import label_engine

SOLVE = '''
import sys
import numpy as np
from tblite.interface import Calculator

def solve(symbols, positions, charge, multiplicity):
    """Return energy and gradient in hartree and bohr, of positions in angstrom."""
    from ase.data import atomic_numbers
    from ase.units import Bohr
    numbers = np.array([atomic_numbers[s] for s in symbols])
    it = Calculator("GFN2-xTB", numbers, np.array(positions) / Bohr, charge, multiplicity - 1)
    it.set("verbosity", 0)
    it.set("max-iter", 250)
    found = it.singlepoint()
    return float(found.get("energy")), found.get("gradient")
'''
ORCA = (
    SOLVE
    + """
lines = open(sys.argv[1]).read().splitlines()
assert lines[0].split() == ["!", "b3lyp", "d3bj", "def2-svp", "TightSCF", *lines[0].split()[-1:]]
start = next(i for i, line in enumerate(lines) if line.startswith("*xyz"))
charge, multiplicity = map(int, lines[start].split()[1:])
rows = [line.split() for line in lines[start + 1 : lines.index("*", start)]]
symbols, positions = [r[0] for r in rows], [[float(x) for x in r[1:]] for r in rows]
if symbols[0] == "He":
    print("SCF NOT CONVERGED")
    sys.exit(2)
energy, gradient = solve(symbols, positions, charge, multiplicity)
print("---------------------------------\\nCARTESIAN COORDINATES (ANGSTROEM)\\n" + "-" * 33)
for s, x in zip(symbols, positions):
    print(" ", s, *("%.12f" % v for v in x))
print()
print("Total Charge           Charge          ....    %d" % charge)
print("Number of atoms                         ....  %d" % len(symbols))
print("FINAL SINGLE POINT ENERGY     %.14f" % energy)
print("                             ****ORCA TERMINATED NORMALLY****")
if "EnGrad" in lines[0]:
    with open("orca.engrad", "w") as file:
        file.write("#\\n# Number of atoms\\n#\\n %d\\n" % len(symbols))
        file.write("#\\n# The current total energy in Eh\\n#\\n %.14f\\n" % energy)
        file.write("#\\n# The current gradient in Eh/bohr\\n#\\n")
        file.writelines("  %.16f\\n" % g for g in gradient.ravel())
        file.write("#\\n# The at")
"""
)
XTB = (
    SOLVE
    + """
words = sys.argv[1:]
assert words[:4] == ["molecule.xyz", "--grad", "--gfn", "2"], words
rows = [line.split() for line in open("molecule.xyz").read().splitlines()[2:]]
symbols, positions = [r[0] for r in rows], [[float(x) for x in r[1:]] for r in rows]
if symbols[0] == "He":
    sys.exit("abnormal termination of xtb")
charge, unpaired = int(words[words.index("--chrg") + 1]), int(words[words.index("--uhf") + 1])
energy, gradient = solve(symbols, positions, charge, unpaired + 1)
with open("gradient", "w") as file:
    norm = np.linalg.norm(gradient)
    file.write("$grad\\n  cycle =  1    SCF energy = %.14f   |dE/dxyz| = %.6f\\n" % (energy, norm))
    for s, x in zip(symbols, positions):
        file.write("%.14f %.14f %.14f %s\\n" % (*(v / 0.529177 for v in x), s.lower()))
    for g in gradient:
        file.write(("%.16E %.16E %.16E\\n" % tuple(g)).replace("E", "D"))
    file.write("$end\\n")
"""
)


def structures(*what: tuple[str, list, int, int]) -> ConformerSet:
    """Return a set of (formula, positions, charge, multiplicity)."""
    numbers = [Atoms(formula).numbers for formula, *_ in what]
    return ConformerSet(
        molecules=Molecules(
            key=np.array([f"{i} {formula}" for i, (formula, *_) in enumerate(what)]),
            charge=np.array([charge for *_, charge, _ in what]),
            multiplicity=np.array([multiplicity for *_, multiplicity in what]),
        ),
        molecule=np.arange(len(what)),
        numbers=np.concatenate(numbers),
        positions=np.concatenate([np.array(x, dtype=float) for _, x, *_ in what]),
        offsets=np.concatenate([[0], np.cumsum([len(n) for n in numbers])]),
    )


WATER = [[0.0, 0.0, 0.117], [0.01, 0.757, -0.471], [0.0, -0.777, -0.471]]
#: A neutral molecule, an anion, a radical cation and one that fails.
SET = structures(
    ("OH2", WATER, 0, 1),
    ("OH", [[0, 0, 0], [0.02, 0.0, 0.97]], -1, 1),
    ("OH2", WATER, 1, 2),
    ("HeH", [[0, 0, 0], [0, 0, 0.8]], 1, 1),
)


class StandIn(types.ModuleType):
    """What ASE's calculator of Psi4 asks of the module psi4."""

    def __init__(self) -> None:
        super().__init__("psi4")
        self.__spec__ = types.SimpleNamespace(origin="psi4")
        scope: dict = {}
        exec(SOLVE, scope)
        self.solve, self.options = scope["solve"], {}
        self.core = types.SimpleNamespace(set_output_file=print, print_out=lambda text: None)
        self.driver = types.SimpleNamespace(gradient=self._gradient)

    def set_options(self, options):
        self.options.update(options)

    def set_num_threads(self, n):
        assert n == 1

    def geometry(self, text):
        self.lines = text.splitlines()
        return self

    def energy(self, level, molecule):
        return self._run(level)[0]

    def _gradient(self, level, return_wfn):
        energy, gradient = self._run(level)
        return gradient, types.SimpleNamespace(energy=lambda: energy)

    def _run(self, level):
        assert level == "b3lyp-d3bj/def2-svp"
        assert "no_reorient" in self.lines
        at = self.lines.index("units angstrom")
        charge, multiplicity = map(int, self.lines[at + 1].split())
        assert self.options["reference"] == ("rhf" if multiplicity == 1 else "uhf")
        rows = [line.split() for line in self.lines[: at - 1]]
        if rows[0][0] == "He":
            raise RuntimeError("Could not converge SCF iterations")
        positions = [[float(x) for x in row[1:]] for row in rows]
        return self.solve([row[0] for row in rows], positions, charge, multiplicity)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins of all three."""
    for name, text in (("orca", ORCA), ("xtb", XTB)):
        path = tmp_path / name
        path.write_text(f"#!{sys.executable}\n{text}")
        path.chmod(0o755)
        monkeypatch.setenv(name.upper(), str(path))
    monkeypatch.setitem(sys.modules, "psi4", StandIn())


@pytest.mark.parametrize(
    "name", ["orca:b3lyp-d3bj/def2-svp", "xtb:gfn2", "psi4:b3lyp-d3bj/def2-svp"]
)
def test_labels_of_a_program_are_read_with_charge_and_spin(name, programs, capsys) -> None:
    engine = label_engine(name)
    assert engine.name == name
    made, expected = engine(SET), Gfn2()(SET.select([0, 1, 2]))
    assert made.has_forces.tolist() == [True, True, True, False]
    assert np.allclose(made.energy[:3], expected.energy, atol=1e-6)
    assert np.allclose(made.forces[: len(expected.forces)], expected.forces, atol=1e-6)
    assert set(made.faults) == {3}
    assert made.faults[3].startswith(f"{name} failed: ")
    found = isolated_atom_energies([1, 8], engine)
    assert found == pytest.approx(isolated_atom_energies([1, 8], Gfn2()), abs=1e-6)
    assert capsys.readouterr().out == ""


def test_engines_go_to_other_processes(programs) -> None:
    engine = label_engine("orca:b3lyp-d3bj/def2-svp")
    assert pickle.loads(pickle.dumps(engine)) == engine


def test_orcas_input_is_what_its_manual_asks_for(programs, tmp_path: Path) -> None:
    calculator = Orca("wb97x-d3/def2-tzvp").calculator(
        tmp_path, charge=-1, multiplicity=2, single=False
    )
    atoms = Atoms("OH", positions=[[0, 0, 0], [0, 0, 0.97]])
    calculator.write_inputfiles(atoms, ["energy", "forces"])
    assert [line.strip() for line in (tmp_path / "orca.inp").read_text().splitlines()] == [
        "! wb97x d3 def2-tzvp TightSCF EnGrad",
        "%pal nprocs 1 end",
        "*xyz -1 2",
        "O   0.0 0.0 0.0",
        "H   0.0 0.0 0.97",
        "*",
    ]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("orca:b3lyp/def2-svp", "needs the program 'orca'.*variable ORCA"),
        ("xtb:gfn2", "needs the program 'xtb'.*variable XTB"),
        ("psi4:b3lyp/def2-svp", "needs Psi4's Python module"),
        ("orca:b3lyp", "write orca:METHOD/BASIS"),
        ("xtb:gfn7", "xTB has no level 'gfn7'"),
        ("gaussian:b3lyp", "no label engine.*psi4:METHOD/BASIS"),
    ],
)
def test_what_is_not_there_is_named(name, why, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for variable in ("ORCA", "XTB"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    with pytest.raises(ConfigurationError, match=why):
        label_engine(name)


def test_periodic_structures_are_told(programs) -> None:
    water = SET.select([0])
    periodic = replace(water, cell=10.0 * np.eye(3)[None], pbc=np.ones((1, 3), dtype=bool))
    assert "periodic" in label_engine("xtb:gfn2")(periodic).faults[0]
