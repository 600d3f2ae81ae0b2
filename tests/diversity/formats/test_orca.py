"""Outputs of ORCA: units, steps, states, levels, ASE's own reading, and broken texts."""

import io

import ase.io
import numpy as np
import pytest

from breadth.diversity import ConfigurationError, DataError
from breadth.diversity.formats import read, write

HARTREE, BOHR = 27.211386, 0.52917721
POSITIONS = np.array([[0, 0, 0.1], [0, 0.76, -0.48], [0, -0.76, -0.48]])
GRADIENT = np.array([[0, 0, -0.05], [0, -0.04, 0.025], [0, 0.04, 0.025]])
SYMBOLS = ("O", "H", "H")
BANNER = """
                                 *****************
                                 * O   R   C   A *
                                 *****************

================================================================================
                                       INPUT FILE
================================================================================
NAME = water.inp
|  1> {}
|  2> * xyz 0 1
|  3> *
|  4>
|  5>                          ****END OF INPUT****
================================================================================
"""
END = "                             ****ORCA TERMINATED NORMALLY****\n"
RELAX = """
                           -------------------------------
                           ORCA GEOMETRY RELAXATION STEP
                           -------------------------------
"""


def step(energy=-76.0, shift=0.0, gradient=GRADIENT, charge=0, multiplicity=1):
    rows = "\n".join(
        f"  {s:2s} {x:15.6f}{y:14.6f}{z:14.6f}"
        for s, (x, y, z) in zip(SYMBOLS, POSITIONS + shift, strict=True)
    )
    text = f"""
---------------------------------
CARTESIAN COORDINATES (ANGSTROEM)
---------------------------------
{rows}

----------------------------
CARTESIAN COORDINATES (A.U.)
----------------------------
  NO LB      ZA    FRAG     MASS         X           Y           Z
   0 O     8.0000    0    15.999    0.000000    0.000000    0.188973

Number of atoms                             ...      3
 Total Charge           Charge          ....    {charge}
 Multiplicity           Mult            ....    {multiplicity}

-------------------------   --------------------
FINAL SINGLE POINT ENERGY     {energy:18.12f}
-------------------------   --------------------
"""
    if gradient is None:
        return text
    rows = "\n".join(
        f"{i + 1:4d}{s:>4s}   : {x:14.9f}{y:14.9f}{z:14.9f}"
        for i, (s, (x, y, z)) in enumerate(zip(SYMBOLS, gradient, strict=True))
    )
    return f"""{text}
                        *   ORCA SCF GRADIENT CALCULATION     *

------------------
CARTESIAN GRADIENT
------------------

{rows}

Difference to translation invariance:
           :    0.0000000000    0.0000000000    0.0000000000

"""


def output(*parts, keywords="! B3LYP D3BJ def2-TZVP EnGrad TightSCF"):
    return BANNER.format(keywords) + "".join(parts) + END


def written(folder, text, name="water.out"):
    path = folder / name
    path.write_text(text)
    return path


def test_a_single_point_is_read_in_electronvolts(tmp_path):
    made = read(written(tmp_path, output(step()), "nameless"))
    assert made.metadata["format"] == "orca"
    labels = made.labels("b3lyp-d3bj/def2-tzvp")
    np.testing.assert_allclose(labels.energy, [-76 * HARTREE], rtol=1e-7)
    np.testing.assert_allclose(labels.forces, -GRADIENT * HARTREE / BOHR, rtol=1e-7)
    assert labels.forces[0, 2] > 0  # a gradient is the negative of the force
    np.testing.assert_allclose(made.positions, POSITIONS)
    assert made.numbers.tolist() == [8, 1, 1]
    assert (made.charge[0], made.multiplicity[0]) == (0, 1)
    assert set(read(written(tmp_path, output(step())), level="mine").levels) == {"mine"}


def test_every_step_of_an_optimisation_is_a_record(tmp_path):
    last = step(-76.2, 0.02, None, charge=1, multiplicity=2)
    first = step(charge=1, multiplicity=2)
    # Charge and multiplicity hold until others are told.
    second = step(-76.1, 0.01).replace("Total Charge", "").replace("Multiplicity", "")
    text = output(first, RELAX, second, RELAX, last, keywords="! PBE Opt")
    made = read(written(tmp_path, text))
    labels = made.labels("pbe")
    np.testing.assert_allclose(labels.energy / HARTREE, [-76, -76.1, -76.2], rtol=1e-7)
    assert labels.has_forces.tolist() == [True, True, False]
    np.testing.assert_allclose(made.positions[6:], POSITIONS + 0.02)
    assert made.charge.tolist() == [1, 1, 1]
    assert made.multiplicity.tolist() == [2, 2, 2]
    assert made.n_molecules == 1


def test_ase_reads_the_same(tmp_path):
    text = output(step(), RELAX, step(-76.1, 0.01), RELAX, step(-76.2, 0.02, None))
    text = text.replace("*\n\n---", "*\n          *** THE OPTIMIZATION HAS CONVERGED ***\n---")
    made = read(written(tmp_path, text))
    frames = ase.io.read(io.StringIO(text), ":", format="orca-output")
    assert len(frames) == len(made)
    for i, atoms in enumerate(frames):
        rows = made.atoms_slice(i)
        np.testing.assert_array_equal(atoms.positions, made.positions[rows])
        assert atoms.get_potential_energy() == made.labels().energy[i]
        if made.labels().has_forces[i]:
            np.testing.assert_allclose(atoms.get_forces(), made.labels().forces[rows], rtol=1e-12)


@pytest.mark.parametrize(
    ("keywords", "level"),
    [
        ("! wB97X-D3BJ def2-TZVPD RIJCOSX def2/J Opt", "wb97x-d3bj/def2-tzvpd"),
        ("! r2SCAN-3c TightSCF", "r2scan-3c"),
        ("! PBE0 D4 6-31+G(d,p) CPCM(Water) # a remark", "pbe0-d4-cpcm(water)/6-31+g(d,p)"),
        ("! DLPNO-CCSD(T) cc-pVTZ cc-pVTZ/C", "dlpno-ccsd(t)/cc-pvtz"),
        ("! ZORA B3LYP D3 ZORA-def2-SVP", "b3lyp-d3bj-zora/zora-def2-svp"),
        ("! XTB2 EnGrad", "xtb2"),
        ("! Opt TightSCF", "unknown"),
        ("! B3LYP PBE def2-SVP", "unknown"),
        ("! B3LYP\n|  2> %basis NewGTO end end", "unknown"),
    ],
)
def test_the_level_is_that_of_the_echoed_input_or_unknown(tmp_path, keywords, level):
    made = read(written(tmp_path, output(step(), keywords=keywords)))
    assert set(made.levels) == {level}


def test_a_step_that_did_not_converge_is_set_aside(tmp_path):
    bad = step(-76.1, 0.01).replace(
        "-76.100000000000", "-76.100000000000 (Wavefunction not fully converged!)"
    )
    made = read(written(tmp_path, output(step(), RELAX, bad)))
    assert len(made) == 1
    assert "not finite" in made.metadata["set_aside"][0]["reason"]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("   3   H", "   3   C", "not one row for each of 3 atoms"),
        ("...      3", "...      4", "3 rows of coordinates for 4 atoms"),
        ("  O         0.0", "  Xx        0.0", "coordinates is damaged"),
        ("\nDifference", "\nCARTESIAN GRADIENT\n\nDifference", "several gradients"),
        ("-76.100000000000", "low", "ValueError"),
    ],
)
def test_a_fault_names_the_record_or_is_skipped(tmp_path, old, new, what):
    bad = step(-76.1, 0.01)
    assert old in bad
    path = written(tmp_path, output(step(), RELAX, bad.replace(old, new)))
    with pytest.raises(DataError, match=rf"water\.out: record 1: .*{what}"):
        read(path)
    made = read(path, skip_bad=True)
    assert len(made) == 1
    assert what in made.metadata["set_aside"][0]["reason"]


def test_a_text_without_its_end_is_a_fault(tmp_path):
    text = output(step(), RELAX, step(-76.1, 0.01)).replace(END, "")
    path = written(tmp_path, text)
    with pytest.raises(DataError, match="the text ends before 'ORCA TERMINATED NORMALLY'"):
        read(path)
    made = read(path, skip_bad=True)
    assert made.labels().energy[0] == pytest.approx(-76 * HARTREE, rel=1e-7)
    assert len(made.metadata["set_aside"]) == 1


def test_several_jobs_and_writing_are_refused(tmp_path):
    text = output("\n$$$$$$$  JOB NUMBER  1 \n", step(), "\n$$$$$$$  JOB NUMBER  2 \n", step())
    with pytest.raises(DataError, match="several jobs"):
        read(written(tmp_path, text))
    with pytest.raises(ConfigurationError, match="'orca' is only read"):
        write(read(written(tmp_path, output(step()))), tmp_path / "a.out")


def test_damage_is_an_answer_or_a_clear_error(survives_damage):
    survives_damage(output(step(), RELAX, step(-76.1, 0.01)), "orca", range(500))
