"""Outputs of Psi4: units, steps, states, levels, and broken texts."""

import numpy as np
import pytest
from ase.units import Bohr, Hartree

from breadth.diversity import ConfigurationError, DataError
from breadth.diversity.formats import read, recognise, write

POSITIONS = np.array([[0, 0, 0.1], [0, 0.76, -0.48], [0, -0.76, -0.48]])
GRADIENT = np.array([[0, 0, -0.05], [0, -0.04, 0.025], [0, 0.04, 0.025]])
SYMBOLS = ("O", "H", "H")
BANNER = """
    -----------------------------------------------------------------------
          Psi4: An Open-Source Ab Initio Electronic Structure Package
                               Psi4 1.7 release

  ==> Input File <==

--------------------------------------------------------------------------
optimize('b3lyp')
{}
--------------------------------------------------------------------------

Scratch directory: /tmp/
gradient() will perform analytic gradient computation.

"""
END = "    Psi4 stopped on: Sunday\n\n*** Psi4 exiting successfully. Buy a developer a beer!\n"
START, STOP = (
    "*** tstart() called on host\n*** at Sunday\n",
    "*** tstop() called on host at Sunday\n",
)


def geometry(shift=0.0, charge=0, multiplicity=1, unit="Angstrom", symbols=SYMBOLS):
    places = (POSITIONS + shift) / (Bohr if unit == "Bohr" else 1.0)
    rows = "".join(
        f"         {s:2} {x:24.12f} {y:17.12f} {z:17.12f} {1.0:17.12f}\n"
        for s, (x, y, z) in zip(symbols, places, strict=True)
    )
    return f"""
  ==> Geometry <==

    Molecular point group: c1
    Full point group: C2v

    Geometry (in {unit}), charge = {charge}, multiplicity = {multiplicity}:

       Center              X                  Y                   Z               Mass       
    ------------   -----------------  -----------------  -----------------  -----------------
{rows}
"""  # noqa: W291


def field(energy=-76.0, reference="RKS", functional="B3LYP-D3BJ", basis="def2-SVP", blend=None,
          dispersion=0.0, converged="Energy and wave function converged.", **how):  # fmt: skip
    method = f"   => Composite Functional: {functional} <= \n" if functional else ""
    return f"""{START}
         ---------------------------------------------------------
                                   SCF
               by Justin Turney, Rob Parrish, Andy Simmonett
                              {reference} Reference
         ---------------------------------------------------------
{geometry(**how)}
  ==> Primary Basis <==

  Basis Set: {basis}
    Blend: {blend or basis}
    Number of shells: 5

{method}
   @DF-{reference} iter   1:   -74.91155100978654   -7.68575e-01   5.53247e-02 DIIS
  {converged}

  @DF-{reference} Final Energy:  {energy:.14f}

   => Energetics <=

    Nuclear Repulsion Energy =              8.8870062608098763
    Empirical Dispersion Energy =  {dispersion:.16f}
    Total Energy =  {energy:.16f}

Computation Completed

{STOP}
"""


def slope(gradient=GRADIENT, **how):
    rows = "".join(
        f"    {i:4d}  {x:18.12f} {y:18.12f} {z:18.12f}\n" for i, (x, y, z) in enumerate(gradient, 1)
    )
    return f"""{START}
         ------------------------------------------------------------
                                   SCF GRAD                          
                          Rob Parrish, Justin Turney,                
         ------------------------------------------------------------
{geometry(**how)}
  -Total Gradient:
     Atom            X                  Y                   Z
    ------   -----------------  -----------------  -----------------
{rows}

{STOP}
"""  # noqa: W291


MP2 = f"""{START}
                              DF-MP2
     Correlation Energy        =      -0.0380385584857143 [Eh]
     Total Energy              =     -75.0024556907484765 [Eh]
{STOP}"""


def output(*steps, end=END, words=""):
    return BANNER.format(words) + "".join(steps) + end


@pytest.fixture
def written(tmp_path):
    def write_text(text):
        path = tmp_path / "output.dat"
        path.write_text(text)
        return path

    return write_text


@pytest.mark.parametrize("unit", ["Angstrom", "Bohr"])
def test_units_signs_and_steps(written, unit):
    path = written(
        output(
            field(-76.0, unit=unit), slope(unit=unit),
            field(-76.1, shift=0.01, unit=unit), slope(GRADIENT / 2, shift=0.01, unit=unit),
            field(-76.2, shift=0.02, unit=unit),
        )
    )  # fmt: skip
    assert recognise(path) == "psi4"
    made = read(path)
    labels = made.levels["b3lyp-d3bj/def2-svp"]
    np.testing.assert_allclose(labels.energy, np.array([-76.0, -76.1, -76.2]) * Hartree, rtol=1e-14)
    assert labels.has_forces.tolist() == [True, True, False]
    np.testing.assert_allclose(labels.forces[:3], -GRADIENT * Hartree / Bohr, atol=1e-10)
    np.testing.assert_allclose(labels.forces[3:6], -GRADIENT / 2 * Hartree / Bohr, atol=1e-10)
    np.testing.assert_allclose(made.positions[3:6], POSITIONS + 0.01, atol=1e-11)
    assert made.numbers[:3].tolist() == [8, 1, 1]
    assert made.record.tolist() == [0, 1, 2]


def test_states_are_read_and_old_files_have_capital_symbols(written):
    symbols = ("CL", "H", "H")
    text = output(field(charge=-1, multiplicity=2, reference="UKS", symbols=symbols))
    made = read(written(text.replace("Psi4: An", "PSI4: An")))
    assert (made.charge.tolist(), made.multiplicity.tolist()) == ([-1], [2])
    assert made.numbers.tolist() == [17, 1, 1]


@pytest.mark.parametrize(
    ("how", "words", "level"),
    [
        ({}, "", "b3lyp-d3bj/def2-svp"),
        ({"reference": "RHF", "functional": ""}, "", "hf/def2-svp"),
        ({"reference": "ROHF", "functional": ""}, "", "hf/def2-svp"),
        ({"reference": "RHF", "functional": "", "dispersion": -0.001}, "", "unknown"),
        ({"blend": "6-31G* + CC-PVDZ"}, "", "unknown"),
        ({}, "set pcm true", "unknown"),
        ({}, "set relativistic x2c", "unknown"),
    ],
)
def test_levels(written, how, words, level):
    path = written(output(field(**how), words=words))
    assert list(read(path).levels) == [level]
    assert list(read(path, level="mine").levels) == ["mine"]


def test_what_did_not_converge_is_set_aside(written):
    failed = field(converged="Failed to converge.", shift=0.1)
    made = read(written(output(field(), failed)))
    assert len(made) == 1
    assert "did not converge" in made.metadata["set_aside"][0]["reason"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (output(field(), slope(shift=0.01)), "another geometry than its energy"),
        (output(field(), slope(), slope()), "several gradients"),
        (output(field(), slope(GRADIENT[:2])), "one row for each of 3 atoms"),
        (output(field(symbols=("Gh(O)", "H", "H"))), "ghost atoms"),
        (output(field().replace("  @DF", "  #DF")), "ends before its energy"),
        (output(field().replace("Final Energy:  -76.0", "Final Energy:  -76.5")), "two energies"),
        (output(field(), end=""), "truncated"),
        (output(field())[:1500], "damaged|no geometry|before its energy"),
    ],
)
def test_faults_name_file_and_record(written, text, what):
    path = written(text)
    with pytest.raises(DataError, match=what) as raised:
        read(path)
    assert f"{path}: record " in str(raised.value)


def test_a_good_step_is_kept_beside_a_bad_one(written):
    path = written(output(field(), field(shift=0.1).replace("  @DF", "  #DF"), field(shift=0.2)))
    made = read(path, skip_bad=True)
    assert made.record.tolist() == [0, 2]
    assert len(made.metadata["set_aside"]) == 1


def test_correlated_methods_are_refused(written):
    with pytest.raises(DataError, match=r"correlated method.*QCSchema"):
        read(written(output(field(functional="", reference="RHF"), MP2)))


def test_other_texts_are_no_output(written, tmp_path):
    with pytest.raises(DataError, match="no output of Psi4"):
        read(written(output()))
    good = read(written(output(field())))
    with pytest.raises(ConfigurationError, match="only read"):
        write(good, tmp_path / "a.dat", format="psi4")


def test_altered_texts_are_read_or_refused_in_words(survives_damage):
    text = output(field(), slope(), field(-76.1, shift=0.1), slope(shift=0.1))
    survives_damage(text, "psi4", range(500))
