"""SMILES as people write them, by rule, and whole libraries from packages."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem

from breadth.diversity.errors import ConfigurationError, DataError
from breadth.diversity.randomness import generator
from breadth.sampling.libraries import LIBRARIES, library_molecules
from breadth.sampling.molecules import Molecule, bundled_molecules, read_smiles
from breadth.sampling.standardization import standardize

#: What is written, what becomes of it, and what is told.
ODD = {
    "CC(=O)[O-].[Na+]": ("CC(=O)O", ["salt or solvate: [Na+] left out", "neutralised"]),
    "CC(=O)O[Na]": ("CC(=O)O", ["salt or solvate: [Na+] left out", "neutralised"]),
    "C[N+](C)(C)C.[Cl-]": ("C[N+](C)(C)C", ["salt or solvate: [Cl-] left out", "charge kept: +1"]),
    "CC[NH3+].[Cl-]": ("CCN", ["salt or solvate: [Cl-] left out", "neutralised"]),
    "CCN.Cl": ("CCN", ["salt or solvate: Cl left out"]),
    "O.O.CCO": ("CCO", ["salt or solvate: O left out"]),
    "CCCO.CCN": ("CCCO", ["mixture: CCN left out"]),
    "CC(=O)O.CC(=O)O": ("CC(=O)O", ["repeats of one molecule left out"]),
    "[K+].[K+].[O-]C(=O)C(=O)[O-]": (
        "O=C(O)C(=O)O",
        ["salt or solvate: [K+] left out", "neutralised"],
    ),
    "F[P-](F)(F)(F)(F)F.CCCC[N+]1=CN(C)C=C1": (
        "CCCC[n+]1ccn(C)c1",
        ["salt or solvate: F[P-](F)(F)(F)(F)F left out", "charge kept: +1"],
    ),
    "[2H]C([2H])O": ("CO", ["isotope labels dropped"]),
    "[13CH4]": ("C", ["isotope labels dropped"]),
    "C[C@H]([2H])O": ("CCO", ["isotope labels dropped"]),
    "[CH3:1][OH:2]": ("CO", ["atom-map numbers dropped"]),
    "C[C@H](F)[15NH2].Cl": (
        "C[C@@H](N)F",
        ["salt or solvate: Cl left out", "isotope labels dropped"],
    ),
    "CC=CC": ("CC=CC", ["stereochemistry settled"]),
    "CC(O)F": ("CC(O)F", ["stereochemistry settled"]),
}
#: Written so, left so: as written, charge, multiplicity.
KEPT = {
    "OCC": (0, 1),
    "C/C=C/C": (0, 1),
    "CC(=O)[O-]": (-1, 1),
    "[NH3+]CC(=O)[O-]": (0, 1),
    "[CH3]": (0, 2),
    "[O][O]": (0, 3),
    "C[NH2+]C": (1, 1),
    "C[Mg]Br": (0, 1),
}


@pytest.mark.parametrize("smiles", ODD)
def test_odd_smiles_become_one_molecule_and_it_is_told(smiles: str) -> None:
    expected, told = ODD[smiles]
    assert standardize("it", smiles) == (expected, tuple(told))


@pytest.mark.parametrize("smiles", KEPT)
def test_what_is_whole_stays_as_it_was_written(smiles: str) -> None:
    assert standardize("it", smiles) == (smiles, ())
    molecule = Molecule("it", smiles)
    assert (molecule.charge, molecule.multiplicity) == KEPT[smiles]


@pytest.mark.parametrize(
    ("smiles", "why"),
    [
        ("[Na+].[Cl-]", "several molecules or ions and none with carbon"),
        ("[Na+].[Na+].[O-]S(=O)(=O)[O-]", "none with carbon"),
        ("C*", "wildcard"),
        ("C1CC", "no SMILES"),
        ("CC(C)(C)(C)C", "no SMILES"),
        ("", "empty"),
    ],
)
def test_what_no_rule_can_tell_is_an_error(smiles: str, why: str) -> None:
    with pytest.raises(DataError, match=f"it: .*{why}"):
        standardize("it", smiles)


@given(
    st.sampled_from([m.smiles for m in bundled_molecules()[::20]]),
    st.sampled_from(["[Na+]", "Cl", "O", "[Br-]", "[K+].[I-]"]),
    st.booleans(),
)
def test_company_changes_no_molecule_and_a_second_time_nothing(
    smiles: str, company: str, first: bool
) -> None:
    written = f"{company}.{smiles}" if first else f"{smiles}.{company}"
    standard = standardize("it", written)
    assert standard.smiles == Chem.CanonSmiles(smiles)
    assert standard.changes[0].startswith("salt or solvate: ")
    again = standardize("it", standard.smiles)
    assert again.smiles == standard.smiles
    assert set(again.changes) <= {"stereochemistry settled"}


def test_damaged_smiles_are_read_or_named() -> None:
    stream = generator(0, "damaged smiles")
    letters = np.array(list("CNOHFclnos[]()=#@+-.123%/\\*:$~ \x00é"))
    n_read, refused = 0, []
    sources = [*ODD, *KEPT]
    for _ in range(500):
        text = list(sources[int(stream.integers(len(sources)))])
        for _ in range(int(stream.integers(1, 4))):
            at = int(stream.integers(len(text)))
            text[at] = str(stream.choice(letters)) * int(stream.integers(3))
            text = list("".join(text)) or ["C"]
        try:
            smiles, _ = standardize("it", "".join(text))
        except DataError as error:
            refused.append(str(error))
        else:
            assert len(Chem.GetMolFrags(Chem.MolFromSmiles(smiles))) == 1
            n_read += 1
    assert min(n_read, len(refused)) > 50
    assert all(message.startswith("it: ") for message in refused)


def test_a_file_tells_what_became_of_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "mine.smi"
    file.write_text("CCO plain\nCC(=O)[O-].[Na+] acetate\nCC=CC\n", encoding="utf-8")
    plain, acetate, butene = read_smiles(file)
    assert (plain.written, plain.changes) == ("", ())
    assert (acetate.smiles, acetate.written) == ("CC(=O)O", "CC(=O)[O-].[Na+]")
    assert butene.changes == ("stereochemistry settled",)
    assert butene.canonical in ("C/C=C/C", r"C/C=C\C")
    file.write_text("CCO\n[Na+].[Cl-] salt\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"mine\.smi, line 2: .*none with carbon"):
        read_smiles(file)


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Packages with the layout of `qm9pack` and `molsets`, a few molecules in each."""
    data = tmp_path / "qm9pack" / "data"
    data.mkdir(parents=True)
    (tmp_path / "qm9pack" / "__init__.py").write_text("raise ImportError('not to be run')")
    for part, row in enumerate(("1,C", "2,N", '3,"[NH2+]=C"'), 1):
        (data / f"qm9_part{part}.csv").write_text(f"Index,SMILES\n{row}\n")
    data = tmp_path / "moses" / "dataset" / "data"
    data.mkdir(parents=True)
    (tmp_path / "moses" / "__init__.py").write_text("raise ImportError('not to be run')")
    for part in ("train", "test", "test_scaffolds"):
        with gzip.open(data / f"{part}.csv.gz", "wt") as file:
            file.write("SMILES\nCCO\nCCN\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("qm9pack", "moses"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_libraries_are_read_from_their_packages_without_running_them(packages: Path) -> None:
    assert [(m.name, m.smiles) for m in library_molecules("qm9")] == [
        ("QM9 1", "C"),
        ("QM9 2", "N"),
        ("QM9 3", "[NH2+]=C"),
    ]
    moses = library_molecules("moses")
    assert len(moses) == 6
    assert (moses[0].name, moses[5].name) == ("MOSES train 1", "MOSES test_scaffolds 2")
    (packages / "qm9pack" / "data" / "qm9_part2.csv").write_text("Index,InChI\n2,x\n")
    with pytest.raises(DataError, match=r"qm9pack does not hold .*SMILES"):
        library_molecules("qm9")


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_missing_package_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    with pytest.raises(
        ConfigurationError, match=f"pip install --no-deps {LIBRARIES[name].package}"
    ):
        library_molecules(name)
