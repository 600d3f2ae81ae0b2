"""Outputs of VASP: labels, states, levels, ASE's own reading, and broken texts."""

import ase.io
import numpy as np
import pytest
from ase.units import GPa

from breadth.diversity import ConfigurationError, DataError
from breadth.diversity.formats import read, write

CELL = np.diag([8.0, 9.0, 10.0])
POSITIONS = np.array([[0, 0, 0.1], [0, 0.76, -0.48], [0, -0.76, -0.48]]) + 4
FORCES = np.array([[0, 0, -0.5], [0, 0.4, 0.25], [0, -0.4, 0.25]])
KBAR = np.array([[1.0, 0.1, 0.2], [0.1, 2.0, 0.3], [0.2, 0.3, 3.0]])


def rows(values, tag="v"):
    return "\n".join(f"   <{tag}> {x:16.8f} {y:16.8f} {z:16.8f} </{tag}>" for x, y, z in values)


def structure(name, positions):
    name = f' name="{name}"' if name else ""
    return f""" <structure{name} >
  <crystal>
   <varray name="basis" >
{rows(CELL)}
   </varray>
  </crystal>
  <varray name="positions" >
{rows(positions @ np.linalg.inv(CELL))}
  </varray>
 </structure>
"""


def xml_step(energy=-14.0, shift=0.0, loops=2):
    energies = f"""<energy>
   <i name="e_fr_energy"> {energy:16.8f} </i>
   <i name="e_wo_entrp"> {energy + 0.1:16.8f} </i>
   <i name="e_0_energy"> {energy + 0.05:16.8f} </i>
  </energy>"""
    scf = f"<scstep>\n  {energies}\n </scstep>\n" * loops
    return f""" <calculation>
 {scf}{structure("", POSITIONS + shift)} <varray name="forces" >
{rows(FORCES)}
 </varray>
 <varray name="stress" >
{rows(KBAR)}
 </varray>
 {energies}
 </calculation>
"""


def vasprun(*steps, tags="", electrons=8, pseudo="PAW_PBE"):
    types = "\n".join(
        f"    <rc><c>{n:4d}</c><c>{s:2s}</c><c>     16.00000000</c><c>{z:16.8f}</c>"
        f"<c>  {pseudo} {s} 08Apr2002                   </c></rc>"
        for n, s, z in [(1, "O", 6), (2, "H", 1)]
    )
    return f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
 <generator>
  <i name="program" type="string">vasp </i>
 </generator>
 <incar>
  <i name="ENCUT">    400.00000000</i>
 </incar>
 <kpoints>
  <varray name="kpointlist" >
   <v>       0.00000000       0.00000000       0.00000000 </v>
  </varray>
  <varray name="weights" >
   <v>       1.00000000 </v>
  </varray>
 </kpoints>
 <parameters>
  <separator name="electronic" >
   <i name="NELECT"> {electrons:16.8f}</i>
   <i type="int" name="NELM">    60</i>
   <i type="int" name="ISPIN">     1</i>
   <i type="string" name="GGA">--</i>
   <i type="logical" name="LHFCALC"> F  </i>
   {tags}
  </separator>
 </parameters>
 <atominfo>
  <atoms>       3 </atoms>
  <types>       2 </types>
  <array name="atoms" >
   <set>
    <rc><c>O </c><c>   1</c></rc>
    <rc><c>H </c><c>   2</c></rc>
    <rc><c>H </c><c>   2</c></rc>
   </set>
  </array>
  <array name="atomtypes" >
   <set>
{types}
   </set>
  </array>
 </atominfo>
{structure("initialpos", POSITIONS)}{"".join(steps)}{structure("finalpos", POSITIONS)}</modeling>
"""


def outcar_step(energy=-14.0, shift=0.0, converged=True):
    told = "because EDIFF is reached" if converged else "EDIFF was not reached (unconverged)"
    table = "\n".join(
        "".join(f"{v:13.5f}" for v in [*p, *f])
        for p, f in zip(POSITIONS + shift, FORCES, strict=True)
    )
    xx, yy, zz, xy, yz, zx = KBAR[[0, 1, 2, 0, 1, 2], [0, 1, 2, 1, 2, 0]]
    cell = "\n".join("  ".join(f"{v:13.9f}" for v in [*a, *(0.1, 0, 0)]) for a in CELL)
    return f"""
--------------------------------------- Iteration      1(   1)  ------------------------------
------------------------ aborting loop {told} ----------------------------------------

  in kB  {xx:10.5f} {yy:10.5f} {zz:10.5f} {xy:10.5f} {yz:10.5f} {zx:10.5f}

      direct lattice vectors                 reciprocal lattice vectors
{cell}

 POSITION                                       TOTAL-FORCE (eV/Angst)
 -----------------------------------------------------------------------------------
{table}
 -----------------------------------------------------------------------------------

  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)
  ---------------------------------------------------
  free  energy   TOTEN  =       {energy:14.8f} eV

  energy  without entropy=      {energy + 0.1:14.8f}  energy(sigma->0) =  {energy + 0.05:14.8f}

"""


def outcar(*steps, tags="", electrons=8, pseudo="PAW_PBE"):
    pots = "\n".join(f" POTCAR:    {pseudo} {s} 08Apr2002" for s in "OHOH")
    titles = "\n".join(
        f"   TITEL  = {pseudo} {s} 08Apr2002\n"
        f"   POMASS =   16.000; ZVAL   =    {z:5.3f}    mass and valenz"
        for s, z in [("O", 6), ("H", 1)]
    )
    return f""" vasp.6.3.2 27Jun22 (build Jan 03 2023) complex
 INCAR:
{pots}
{titles}
   k-points           NKPTS =      1   k-points in BZ     NKDIM =      1   NBANDS=     8
 k-points in reciprocal lattice and weights: Automatic mesh
   0.00000000  0.00000000  0.00000000       1.000
   ions per type =               1   2
   ISPIN  =      1    spin polarized calculation?
   NELECT =  {electrons:11.4f}    total number of electrons
   GGA     =    --    GGA type
   LHFCALC =     F    Hartree Fock is set to
{tags}
{"".join(steps)}
 General timing and accounting informations for this job:
 ========================================================
"""


KINDS = {"xml": (vasprun, xml_step, "vasprun.xml"), "outcar": (outcar, outcar_step, "OUTCAR")}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def written(folder, text, name):
    path = folder / name
    path.write_text(text)
    return path


def test_labels_are_those_that_vasp_prints(tmp_path, kind):
    whole, step, name = kind
    made = read(written(tmp_path, whole(step(), step(-13.5, 0.01)), name))
    assert made.metadata["format"] == "vasp"
    labels = made.labels("pbe")
    np.testing.assert_allclose(labels.energy, [-14, -13.5])  # the energy that the forces are of
    np.testing.assert_allclose(made.frame_extras["energy_sigma0"].values, [-13.95, -13.45])
    np.testing.assert_allclose(labels.forces, np.tile(FORCES, (2, 1)))
    np.testing.assert_allclose(labels.stress[0], -0.1 * GPa * KBAR)
    np.testing.assert_allclose(made.positions[3:], POSITIONS + 0.01, atol=1e-6)
    np.testing.assert_allclose(made.cell[0], CELL)
    assert made.pbc.all()
    assert made.numbers[:3].tolist() == [8, 1, 1]
    assert made.charge.tolist() == [0, 0]
    assert set(read(tmp_path / name, level="mine").levels) == {"mine"}


def test_ase_reads_the_same(tmp_path, kind):
    whole, step, name = kind
    path = written(tmp_path, whole(step(), step(-13.5, 0.01)), name)
    made = read(path)
    frames = ase.io.read(path, ":")
    assert len(frames) == 2
    for i, atoms in enumerate(frames):
        rows_of = made.atoms_slice(i)
        np.testing.assert_array_equal(atoms.positions, made.positions[rows_of])
        np.testing.assert_array_equal(atoms.get_forces(), made.labels().forces[rows_of])
        assert atoms.get_potential_energy(force_consistent=True) == made.labels().energy[i]
        assert atoms.get_potential_energy() == made.frame_extras["energy_sigma0"].values[i]


def test_the_charge_is_what_electrons_leave(tmp_path, kind):
    whole, step, name = kind
    assert read(written(tmp_path, whole(step(), electrons=9), name)).charge.tolist() == [-1]
    with pytest.raises(DataError, match=r"charge 0\.500, which is no integer"):
        read(written(tmp_path, whole(step(), electrons=7.5), name))


@pytest.mark.parametrize(
    ("tags", "pseudo", "level"),
    [
        ({}, "PAW_PBE", "pbe"),
        ({}, "PAW", "lda"),
        ({"GGA": "RP"}, "PAW_PBE", "rpbe"),
        ({"GGA": "PE", "IVDW": "12"}, "PAW_PBE", "pbe-d3bj"),
        ({"METAGGA": "R2SCAN", "IVDW": "13"}, "PAW_PBE", "r2scan-d4"),
        ({"LHFCALC": "T", "HFSCREEN": "0.2", "AEXX": "0.25"}, "PAW_PBE", "hse06"),
        ({"LHFCALC": "T", "HFSCREEN": "0.0", "AEXX": "0.25"}, "PAW_PBE", "pbe0"),
        ({"LHFCALC": "T", "AEXX": "0.40"}, "PAW_PBE", "unknown"),
        ({"LDAU": "T"}, "PAW_PBE", "pbe+u"),
        ({"GGA": "ZZ"}, "PAW_PBE", "unknown"),
        ({"GGA": "RE", "LUSE_VDW": "T"}, "PAW_PBE", "unknown"),
    ],
)
def test_the_level_is_named_by_tags_or_unknown(tmp_path, kind, tags, pseudo, level):
    whole, step, name = kind
    line = '<i name="{}">  {} </i>' if name.endswith("xml") else "   {} =  {}   what it is"
    told = "\n".join(line.format(*pair) for pair in tags.items())
    path = written(tmp_path, whole(step(), tags=told, pseudo=pseudo), name)
    assert set(read(path).levels) == {level}


def test_a_step_that_did_not_converge_is_set_aside(tmp_path, kind):
    whole, step, name = kind
    bad = step(loops=60) if name.endswith("xml") else step(converged=False)
    made = read(written(tmp_path, whole(step(), bad, step(-13.5)), name))
    np.testing.assert_allclose(made.labels().energy, [-14, -13.5])
    (told,) = made.metadata["set_aside"]
    assert told["record"].endswith("record 1")
    assert told["reason"] == "the electronic loop did not converge"


def test_a_fault_names_the_record_or_is_skipped(tmp_path, kind):
    whole, step, name = kind
    bad = step().replace("-0.50", "what")
    path = written(tmp_path, whole(step(), bad, step(-13.5)), name)
    with pytest.raises(DataError, match=rf"{name}: record 1: .*ValueError"):
        read(path)
    made = read(path, skip_bad=True)
    np.testing.assert_allclose(made.labels().energy, [-14, -13.5])
    assert len(made.metadata["set_aside"]) == 1


def test_a_truncated_file_is_a_fault(tmp_path, kind):
    whole, step, name = kind
    text = whole(step(), step(-13.5))
    last = text.rindex("forces" if name.endswith("xml") else "POSITION")
    path = written(tmp_path, text[:last], name)
    with pytest.raises(DataError, match=rf"{name}: record \d"):
        read(path)
    made = read(path, skip_bad=True)
    np.testing.assert_allclose(made.labels().energy, [-14])


def test_files_beside_an_outcar_are_not_read(tmp_path):
    (tmp_path / "POSCAR").write_text("no structure at all\n")
    assert len(read(written(tmp_path, outcar(outcar_step()), "OUTCAR"))) == 1


def test_a_header_that_tells_more_ions_than_the_file_holds_takes_no_memory(tmp_path):
    text = outcar(outcar_step()).replace("1   2\n", "1   99999999999\n")
    with pytest.raises(DataError, match="its header tells 100000000000 ions"):
        read(written(tmp_path, text, "OUTCAR"))


def test_writing_is_refused(tmp_path):
    made = read(written(tmp_path, vasprun(xml_step()), "vasprun.xml"))
    with pytest.raises(ConfigurationError, match="'vasp' is only read"):
        write(made, tmp_path / "a.xml")


def test_damage_is_an_answer_or_a_clear_error(survives_damage, kind):
    whole, step, _ = kind
    survives_damage(whole(step(), step(-13.5, 0.01)), "vasp", range(500))
