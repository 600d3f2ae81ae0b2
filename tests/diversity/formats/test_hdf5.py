"""SPICE, ANI and QM7-X: values by hand, faults, damage, and conversion a chunk at a time.

The files are made here after the public layouts; the real ones have gigabytes.
"""

import json

import h5py
import numpy as np
import pytest

from breadth.diversity import BreadthError, ConfigurationError, DataError, read, write
from breadth.diversity.formats import grouped, native
from breadth.diversity.formats.streaming import convert_to_native, streams
from breadth.diversity.testing import assert_equal_sets

# CODATA 2018; ase.units keeps to 2014, which differs by 8e-9 of a hartree.
HARTREE, BOHR = 27.211386245988, 0.529177210903
WATER = np.array([[0, 0, 0], [0, 0, 0.96], [0.93, 0, -0.24]])
ETHANE = np.array(
    [[-0.76, 0, 0], [0.76, 0, 0],
     [-1.16, 1.02, 0], [-1.16, -0.51, 0.88], [-1.16, -0.51, -0.88],
     [1.16, -1.02, 0], [1.16, 0.51, 0.88], [1.16, 0.51, -0.88]]
)  # fmt: skip
# Dimethyl ether and ethanol: one formula, two graphs, in one order of atoms.
ETHER = np.array(
    [[-1.17, -0.19, 0], [1.17, -0.19, 0], [0, 0.59, 0],
     [-2.02, 0.49, 0], [-1.22, -0.83, 0.89], [-1.22, -0.83, -0.89],
     [2.02, 0.49, 0], [1.22, -0.83, 0.89], [1.22, -0.83, -0.89]]
)  # fmt: skip
ETHANOL = np.array(
    [[1.17, -0.40, 0], [0, 0.56, 0], [-1.20, -0.22, 0],
     [2.10, 0.16, 0], [1.14, -1.04, 0.88], [1.14, -1.04, -0.88],
     [0.03, 1.20, 0.89], [0.03, 1.20, -0.89], [-1.94, 0.38, 0]]
)  # fmt: skip
C2H6O = np.array([6, 6, 8, 1, 1, 1, 1, 1, 1])


def shaken(geometry, n, seed=0, scale=0.02):
    random = np.random.default_rng(seed)
    return geometry + random.normal(scale=scale, size=(n, *geometry.shape))


def put(group, **values):
    for name, value in values.items():
        group.create_dataset(name, data=value)


def put_spice(file, name, smiles, numbers, geometries, seed=0):
    n, atoms = len(geometries), len(numbers)
    random = np.random.default_rng(seed)
    group = file.create_group(name)
    put(
        group,
        atomic_numbers=np.array(numbers, np.int16),
        smiles=np.array([smiles], dtype=object),
        subset=np.array(["SPICE Made Up v1.0"], dtype=object),
        conformations=(geometries / BOHR).astype(np.float32),
        formation_energy=random.normal(size=n) - 0.3,
        dft_total_energy=random.normal(size=n) - 76.0,
        dft_total_gradient=random.normal(scale=0.01, size=(n, atoms, 3)).astype(np.float32),
        mbis_charges=random.normal(size=(n, atoms, 1)).astype(np.float32),
        scf_dipole=random.normal(size=(n, 3)).astype(np.float32),
        mayer_indices=random.normal(size=(n, atoms, atoms)).astype(np.float32),
    )
    for key, unit in (
        ("conformations", "bohr"),
        ("dft_total_energy", "hartree"),
        ("formation_energy", "hartree"),
        ("dft_total_gradient", "hartree/bohr"),
    ):
        group[key].attrs["units"] = unit
    return group


def spice_file(path):
    with h5py.File(path, "w") as file:
        put_spice(file, "water", "[O:1]([H:2])[H:3]", [8, 1, 1], shaken(WATER, 3))
        hydroxide = WATER[:2]
        put_spice(file, "hydroxide", "[O-:1][H:2]", [8, 1], shaken(hydroxide, 2))
        ethane = "[C:1]([C:2]([H:6])([H:7])[H:8])([H:3])([H:4])[H:5]"
        put_spice(file, "ethane", ethane, [6, 6, *[1] * 6], shaken(ETHANE, 4))
        # An ion of one atom, last in the order of names, as in SPICE.
        put_spice(file, "zz", "[Na+:1]", [11], np.zeros((1, 1, 3)))
    return path


def ani1x_file(path):
    random = np.random.default_rng(1)
    geometries = np.concatenate([shaken(ETHER, 2), shaken(ETHANOL, 3)]).astype(np.float32)
    energies, forces = random.normal(size=5) - 155.0, random.normal(size=(5, 9, 3)) * 0.01
    coupled = np.array([-154.9, np.nan, -154.8, np.nan, np.nan])
    with h5py.File(path, "w") as file:
        put(
            file.create_group("C2H6O"),
            **{
                "atomic_numbers": C2H6O.astype(np.uint8),
                "coordinates": geometries,
                "wb97x_dz.energy": energies,
                "wb97x_dz.forces": forces.astype(np.float32),
                "ccsd(t)_cbs.energy": coupled,
                "wb97x_dz.dipole": random.normal(size=(5, 3)).astype(np.float32),
                "wb97x_dz.cm5_charges": random.normal(size=(5, 9)).astype(np.float32),
            },
        )
        water = file.create_group("H2O1")
        put(
            water,
            **{
                "atomic_numbers": np.array([8, 1, 1], np.uint8),
                "coordinates": shaken(WATER, 2).astype(np.float32),
                "wb97x_dz.energy": np.array([-76.1, -76.2]),
                "wb97x_dz.forces": np.full((2, 3, 3), 0.01, np.float32),
                "wb97x_dz.dipole": np.ones((2, 3), np.float32),
            },
        )
    return path


def ani2x_file(path):
    with h5py.File(path, "w") as file:
        put(
            file.create_group("9"),
            species=np.stack([C2H6O, C2H6O[[0, 2, 1, *range(3, 9)]]]),
            coordinates=np.stack([ETHER, ETHER[[0, 2, 1, *range(3, 9)]]]).astype(np.float32),
            energies=np.array([-154.0, -154.5]),
            forces=np.full((2, 9, 3), 0.01),
        )
    return path


def ani1_file(path):
    with h5py.File(path, "w") as file:
        put(
            file.create_group("gdb11_s01/gdb11_s01-2"),
            species=np.array([b"O", b"H", b"H"]),
            smiles=np.array([c.encode() for c in "[H]O[H]"]),
            coordinates=shaken(WATER, 3).astype(np.float32),
            energies=np.array([-76.1, -76.2, -76.3]),
            coordinatesHE=shaken(WATER, 2, seed=5).astype(np.float32),
            energiesHE=np.array([-75.1, -75.2]),
        )
    return path


def qm7x_file(path):
    random = np.random.default_rng(2)
    with h5py.File(path, "w") as file:
        for molecule, numbers, geometry in (("1", [8, 1, 1], WATER), ("2", C2H6O, ETHANOL)):
            for k, kind in enumerate(("opt", "1", "2")):
                n = len(numbers)
                forces = random.normal(scale=0.1, size=(n, 3))
                put(
                    file.create_group(f"{molecule}/Geom-m{molecule}-i1-c1-{kind}"),
                    **{
                        "atNUM": np.array(numbers, np.int64),
                        "atXYZ": shaken(geometry, 1, seed=k)[0],
                        "ePBE0+MBD": np.array([-2000.0 - k]),
                        "totFOR": forces,
                        "ePBE0": np.array([-1999.0 - k]),
                        "pbe0FOR": forces + 0.5,
                        "eDFTB+MBD": np.array([-110.0 - k]),
                        "HLgap": np.array([7.0]),
                        "mPOL": np.array([12.0]),
                    },
                )
    return path


MAKERS = {
    "spice": spice_file,
    "ani": ani1x_file,
    "qm7x": qm7x_file,
}


@pytest.fixture(params=[spice_file, ani1x_file, ani2x_file, ani1_file, qm7x_file])
def any_file(request, tmp_path):
    return request.param(tmp_path / "set.h5")


# -- values --------------------------------------------------------------------------------------


def test_spice_is_read_in_electronvolts_and_its_gradient_becomes_a_force(tmp_path):
    path = spice_file(tmp_path / "SPICE-2.0.1.hdf5")
    made = read(path)
    with h5py.File(path) as file:
        raw = {k: v[()] for k, v in file["water"].items() if v.dtype.kind == "f"}
    assert made.metadata["format"] == "spice"
    assert made.metadata["identity_rule"] == "identifier"
    rows = np.flatnonzero(made.frame_extras["group"].values == "water")
    assert len(rows) == 3
    labels = made.labels("wb97m-d3bj-def2tzvppd")
    np.testing.assert_allclose(labels.energy[rows], raw["dft_total_energy"] * HARTREE, rtol=1e-8)
    for i, row in enumerate(rows):
        atoms = made.atoms_slice(row)
        np.testing.assert_allclose(made.positions[atoms], raw["conformations"][i] * BOHR, rtol=1e-6)
        forces = -raw["dft_total_gradient"][i] * HARTREE / BOHR
        np.testing.assert_allclose(labels.forces[atoms], forces, rtol=1e-6)
    # By hand: a gradient of 0.01 hartree/bohr is a force of −0.514220674763 eV/Å.
    assert HARTREE / BOHR * 0.01 == pytest.approx(0.514220674763, rel=1e-11)
    extras = made.frame_extras
    np.testing.assert_allclose(
        extras["formation_energy"].values[rows], raw["formation_energy"] * HARTREE
    )
    assert (extras["scf_dipole"].values[rows] == raw["scf_dipole"]).all()
    assert set(extras["subset"].values) == {"SPICE Made Up v1.0"}
    assert made.atom_extras["mbis_charges"].values.shape == (made.n_atoms,)
    assert "mayer_indices" not in {*extras, *made.atom_extras}
    assert "bond orders" in made.metadata["left_out"]


def test_spice_molecules_are_named_by_smiles_with_their_charge(tmp_path):
    made = read(spice_file(tmp_path / "a.hdf5"))
    told = dict(zip(made.molecules.smiles.tolist(), made.molecules.charge.tolist(), strict=True))
    assert told == {"[H]O[H]": 0, "[H][O-]": -1, "CC": 0} or told == {"O": 0, "[OH-]": -1, "CC": 0}
    assert [entry["reason"] for entry in made.metadata["set_aside"]] == ["an isolated ion"]
    # One constitution with the same molecules of a plain file.
    assert len(set(made.molecules.constitution.tolist())) == 3


def test_spice_takes_units_from_its_attributes_and_refuses_unknown_ones(tmp_path):
    path = spice_file(tmp_path / "a.hdf5")
    before = read(path)
    with h5py.File(path, "r+") as file:
        for group in file.values():
            group["conformations"][...] *= BOHR
            group["conformations"].attrs["units"] = "angstrom"
            group["dft_total_gradient"][...] *= HARTREE / BOHR
            group["dft_total_gradient"].attrs["units"] = np.bytes_("eV/angstrom")
    after = read(path)
    np.testing.assert_allclose(after.positions, before.positions, atol=1e-6)
    level = "wb97m-d3bj-def2tzvppd"
    np.testing.assert_allclose(after.labels(level).forces, before.labels(level).forces, rtol=1e-5)
    with h5py.File(path, "r+") as file:
        file["water/dft_total_energy"].attrs["units"] = "furlong"
    with pytest.raises(DataError, match=r"group water: .*furlong"):
        read(path)


def test_a_smiles_of_other_atoms_is_a_fault_of_its_group(tmp_path):
    path = spice_file(tmp_path / "a.hdf5")
    with h5py.File(path, "r+") as file:
        file["water/smiles"][0] = "[C:1]([H:2])([H:3])([H:4])[H:5]"
    with pytest.raises(DataError, match=r"group water: .*is not of its 3 atoms"):
        read(path)
    made = read(path, skip_bad=True)
    assert len(made) == 6
    reasons = [entry["reason"] for entry in made.metadata["set_aside"]]
    assert any("not of its 3 atoms" in reason for reason in reasons)


def test_ani1x_keeps_its_levels_and_what_was_not_computed_is_missing(tmp_path):
    path = ani1x_file(tmp_path / "ani1x-release.h5")
    made = read(path)
    with h5py.File(path) as file:
        raw = {k: v[()] for k, v in file["C2H6O"].items()}
    assert made.metadata["format"] == "ani"
    assert set(made.levels) == {"wb97x_dz", "ccsd(t)_cbs"}
    double = made.labels("wb97x_dz")
    np.testing.assert_allclose(double.energy[:5], raw["wb97x_dz.energy"] * HARTREE, rtol=1e-8)
    np.testing.assert_allclose(
        double.forces[:45], raw["wb97x_dz.forces"].reshape(-1, 3) * HARTREE, rtol=1e-6
    )
    assert double.has_forces.all()
    coupled = made.labels("ccsd(t)_cbs")
    assert coupled.has_energy.tolist() == [True, False, True] + [False] * 4
    assert coupled.energy[0] == pytest.approx(-154.9 * HARTREE)
    assert not coupled.has_forces.any()
    assert (made.positions[:45] == raw["coordinates"].reshape(-1, 3)).all()
    assert made.positions.dtype == np.float32
    # Three atoms: the dipole (3,) of water is of the frame all the same.
    assert made.frame_extras["wb97x_dz.dipole"].present.all()
    assert made.atom_extras["wb97x_dz.cm5_charges"].present.tolist() == [True] * 5 + [False] * 2


def test_isomers_in_one_group_of_ani_are_two_molecules(tmp_path):
    made = read(ani1x_file(tmp_path / "a.h5"))
    assert made.metadata["identity_rule"] == "graph"
    assert made.molecule.tolist() == [0, 0, 1, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("ANI-2x-wB97X-631Gd.h5", "wb97x-631gd"),
        ("ANI-2x-B973c-def2mTZVP.h5", "b97-3c"),
        ("mine.h5", "unknown"),
    ],
)
def test_ani2x_has_species_by_row_and_a_level_by_its_name(tmp_path, name, level):
    made = read(ani2x_file(tmp_path / name))
    assert list(made.levels) == [level]
    assert made.numbers[:3].tolist() == [6, 6, 8]
    assert made.numbers[9:12].tolist() == [6, 8, 6]
    np.testing.assert_allclose(made.labels(level).energy, [-154.0 * HARTREE, -154.5 * HARTREE])
    np.testing.assert_allclose(made.labels(level).forces, 0.01 * HARTREE)
    assert made.n_molecules == 1
    assert list(read(tmp_path / name, level="mine").levels) == ["mine"]


def test_ani1_joins_its_smiles_and_marks_high_energies(tmp_path):
    made = read(ani1_file(tmp_path / "ani_gdb_s01.h5"))
    assert made.n_molecules == 1
    assert made.molecules.smiles.tolist() == ["O"]
    assert made.frame_extras["high_energy"].values.tolist() == [False] * 3 + [True] * 2
    np.testing.assert_allclose(
        made.labels("wb97x-631gd").energy, np.array([-76.1, -76.2, -76.3, -75.1, -75.2]) * HARTREE
    )


def test_qm7x_has_three_levels_and_its_minima(tmp_path):
    path = qm7x_file(tmp_path / "1000.hdf5")
    made = read(path)
    assert made.metadata["format"] == "qm7x"
    assert set(made.levels) == {"pbe0-mbd", "pbe0", "dftb-mbd"}
    assert made.molecules.key.tolist() == ["qm7x-m1-i1", "qm7x-m2-i1"]
    assert (made.minimum == 1).all()
    for i, name in enumerate(made.frame_extras["group"].values):
        with h5py.File(path) as file:
            raw = {k: v[()] for k, v in file[name].items()}
        atoms = made.atoms_slice(i)
        assert (made.positions[atoms] == raw["atXYZ"]).all()
        assert made.labels("pbe0-mbd").energy[i] == raw["ePBE0+MBD"][0]
        assert (made.labels("pbe0-mbd").forces[atoms] == raw["totFOR"]).all()
        assert (made.labels("pbe0").forces[atoms] == raw["pbe0FOR"]).all()
        assert made.labels("dftb-mbd").energy[i] == raw["eDFTB+MBD"][0]
    assert not made.labels("dftb-mbd").has_forces.any()
    assert "other than energies" in made.metadata["left_out"]
    assert "mine" in read(path, level="mine").levels


# -- faults --------------------------------------------------------------------------------------


def test_these_formats_are_recognised_by_content_and_not_written(tmp_path):
    for name, make in MAKERS.items():
        made = read(make(tmp_path / f"nameless-{name}"))
        assert made.metadata["format"] == name
        with pytest.raises(ConfigurationError, match=r"read and not written.*native"):
            write(made, tmp_path / "a.hdf5", format=name)


def test_an_hdf5_file_of_another_kind_is_an_error_that_lists_those_known(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        put(file.create_group("a/b"), x=np.zeros(3))
    with pytest.raises(DataError, match=r"other\.h5.*SPICE, ANI and QM7-X"):
        read(path)


@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_link_to_another_file_is_not_followed(tmp_path, skip_bad):
    spice_file(tmp_path / "secret.h5")
    path = spice_file(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file["linked"] = h5py.ExternalLink("secret.h5", "/water")
    if skip_bad:
        assert len(read(path, skip_bad=True)) == 9
    else:
        with pytest.raises(DataError, match=r"group linked: .*not followed"):
            read(path)


def test_a_data_set_that_lies_elsewhere_or_is_too_long_is_a_fault(tmp_path):
    path = spice_file(tmp_path / "a.h5")
    (tmp_path / "secret").write_bytes(bytes(72))
    with h5py.File(path, "r+") as file:
        del file["water/dft_total_energy"]
        energies = [(str(tmp_path / "secret"), 0, 24)]
        file["water"].create_dataset("dft_total_energy", (3,), "f8", external=energies)
        # A length in a damaged header: nothing is stored, and a terabyte would be read.
        del file["ethane/conformations"]
        vast = (10**10, 8, 3)
        file["ethane"].create_dataset("conformations", vast, "f4", chunks=(100, 8, 3))
    with pytest.raises(DataError, match=r"group ethane: .*larger than the file"):
        read(path)
    reasons = [e["reason"] for e in read(path, skip_bad=True).metadata["set_aside"]]
    assert [r for r in reasons if "lies in another file" in r]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("conformations", np.zeros((3, 2, 3)), "shape"),
        ("dft_total_energy", np.zeros(2), "shape"),
        ("dft_total_energy", np.array([b"a", b"b", b"c"]), "type"),
        ("atomic_numbers", np.array([8, 1, 200]), "unknown element"),
        ("atomic_numbers", np.array([], int), "unknown element"),
        ("smiles", np.array([1.0]), "not a text"),
        ("smiles", np.array([b"C(C(((C"]), "cannot be read"),
    ],
)
def test_a_fault_names_its_group_and_can_be_skipped(tmp_path, name, values, message):
    path = spice_file(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        del file["water"][name]
        file["water"].create_dataset(name, data=values)
    with pytest.raises(DataError, match=rf"a\.h5: group water: .*{message}"):
        read(path)
    assert len(read(path, skip_bad=True)) == 6


def test_not_a_finite_position_is_set_aside(any_file):
    names = []

    def find(name, found):
        if name.endswith(("conformations", "coordinates", "atXYZ")):
            names.append(name)

    with h5py.File(any_file, "r+") as file:
        file.visititems(find)
        data = file[names[0]][()]
        data[0] = np.nan
        file[names[0]][...] = data
    assert len(read(any_file).metadata["set_aside"]) >= 1


def damaged(content, k):
    """Return a file with bytes changed, lost or cut off."""
    random = np.random.default_rng(k)
    changed = bytearray(content)
    place = int(random.integers(len(content)))
    if k % 4 == 0:
        del changed[place : place + int(random.integers(1, 40))]
    elif k % 4 == 1:
        del changed[place:]
    else:
        for _ in range(k % 4 * 3):
            changed[int(random.integers(len(changed)))] = int(random.integers(256))
    return bytes(changed)


@pytest.mark.parametrize("make", [spice_file, ani1x_file, ani2x_file, ani1_file, qm7x_file])
def test_damaged_files_are_read_or_refused_in_words(make, tmp_path):
    path = make(tmp_path / "fuzzed.h5")
    content = path.read_bytes()
    refusals = []
    for k in range(500):
        path.write_bytes(damaged(content, k))
        try:
            read(path, skip_bad=bool(k // 4 % 2))
        except BreadthError as error:
            refusals.append(str(error))
    assert refusals
    assert not [text for text in refusals if "\n\n" in text or "fuzzed.h5" not in text]


# -- chunks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_chunk", [1, 2, 100])
def test_a_file_converted_in_chunks_is_the_file_read_at_once(
    any_file, tmp_path, monkeypatch, per_chunk
):
    whole = read(any_file)
    monkeypatch.setattr(grouped, "CHUNK_CONFORMERS", per_chunk)
    monkeypatch.setattr(grouped, "ROWS", 2)
    shares = []
    assert streams(any_file)
    done = convert_to_native(any_file, tmp_path / "out", progress=shares.append)
    assert done.n_conformers == len(whole)
    assert done.n_set_aside == len(whole.metadata.get("set_aside", []))
    assert_equal_sets(whole, read(tmp_path / "out"))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    if per_chunk == 1:
        assert len(native.open_native(tmp_path / "out")) > 1 or len(whole) < 6
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "set.h5"]


@pytest.mark.parametrize("identity", ["graph", "formula"])
def test_stereoisomers_in_two_chunks_are_joined_by_their_graph(tmp_path, monkeypatch, identity):
    from rdkit import Chem
    from rdkit.Chem import AllChem

    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name, smiles in (("E", "F/C=C/F"), ("Z", "F/C=C\\F")):
            molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
            AllChem.EmbedMolecule(molecule, randomSeed=1)
            numbers = [a.GetAtomicNum() for a in molecule.GetAtoms()]
            geometry = molecule.GetConformer().GetPositions()
            put_spice(file, name, smiles, numbers, shaken(geometry, 3, scale=0.01))
    assert read(path).n_molecules == 2
    whole = read(path, identity=identity)
    assert whole.n_molecules == 1
    monkeypatch.setattr(grouped, "CHUNK_CONFORMERS", 1)
    convert_to_native(path, tmp_path / "out", identity=identity)
    assert_equal_sets(whole, read(tmp_path / "out"))


@pytest.mark.parametrize("name", ["a", "zzz"])
def test_isolated_atoms_become_reference_energies_in_whichever_chunk(tmp_path, monkeypatch, name):
    path = ani1x_file(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        atom = {"atomic_numbers": [1], "coordinates": np.zeros((1, 1, 3), np.float32)}
        put(file.create_group(name), **atom, **{"wb97x_dz.energy": np.array([-0.5])})
    monkeypatch.setattr(grouped, "CHUNK_CONFORMERS", 1)
    assert convert_to_native(path, tmp_path / "out").n_conformers == 7
    references = read(tmp_path / "out").labels("wb97x_dz").reference_energies
    assert dict(references) == {1: pytest.approx(-0.5 * HARTREE)}


def test_a_conversion_that_fails_leaves_nothing(tmp_path, monkeypatch):
    path = spice_file(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        del file["water/conformations"]
    monkeypatch.setattr(grouped, "CHUNK_CONFORMERS", 1)
    with pytest.raises(DataError, match="group water"):
        convert_to_native(path, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]
    assert convert_to_native(path, tmp_path / "out", skip_bad=True).n_conformers == 6
    with pytest.raises(BreadthError, match="exists already"):
        convert_to_native(path, tmp_path / "out")


def test_the_rule_that_compares_all_records_does_not_stream(tmp_path):
    assert not streams(spice_file(tmp_path / "a.h5"), identity="ordered")


def test_the_command_converts(tmp_path, capsys):
    from breadth.studies.cli.data import convert

    convert(spice_file(tmp_path / "a.h5"), tmp_path / "out", json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["n_conformers"], told["n_set_aside"]) == (9, 1)
    convert(tmp_path / "a.h5", tmp_path / "out.xyz")
    # Text has no precision of its own: it comes back in what was written.
    assert len(read(tmp_path / "out.xyz")) == 9
