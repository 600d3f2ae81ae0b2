"""`ConformerSet`, its flat and labelled forms, and joining."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.diversity import ConformerSet, DataError, Extra, Labels, Molecules, concat


def example(keys=("water", "ammonia"), seed=0, level="gfn2", references=None):
    """Two conformers of a molecule of three atoms and one of a molecule of four."""
    rng = np.random.default_rng(seed)
    return ConformerSet(
        molecules=Molecules(
            key=np.array(keys),
            bonds=np.array([[0, 1, 2], [0, 2, 2], [0, 1, 2]]),
            bond_offsets=np.array([0, 2, 3]),
            has_bonds=np.array([True, True]),
        ),
        molecule=np.array([0, 0, 1]),
        numbers=np.array([8, 1, 1, 8, 1, 1, 7, 1, 1, 1]),
        positions=rng.normal(size=(10, 3)),
        offsets=np.array([0, 3, 6, 10]),
        source=np.array(["a.xyz", "a.xyz", "b.xyz"]),
        time=np.array([0.5, np.nan, 2.0]),
        levels={
            level: Labels(
                energy=rng.normal(size=3),
                forces=rng.normal(size=(10, 3)),
                has_forces=np.array([True, False, True]),
                reference_energies=references or {1: -10.7, 8: -103.5},
            )
        },
        frame_extras={"note": Extra(np.array(["x", "", "long"]), np.array([True, False, True]))},
        atom_extras={"charge": Extra(rng.normal(size=10), np.ones(3, dtype=bool))},
        metadata={"identity_rule": "identifier"},
    )


def assert_same(one, two):
    ours, ours_meta = one.to_arrays()
    theirs, theirs_meta = two.to_arrays()
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert ours[name].dtype == theirs[name].dtype, name
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    assert ours_meta == theirs_meta


def test_sizes():
    conformers = example()
    assert (len(conformers), conformers.n_molecules, conformers.n_atoms) == (3, 2, 10)
    assert conformers.counts.tolist() == [3, 3, 4]
    assert conformers.atom_conformer.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert conformers.formula(2) == "H3N"


def test_arrays_cannot_be_changed_and_do_not_follow_the_callers():
    positions = np.zeros((3, 3))
    conformers = ConformerSet(
        molecules=Molecules(key=np.array(["w"])),
        molecule=[0],
        numbers=[8, 1, 1],
        positions=positions,
        offsets=[0, 3],
    )
    positions[0] = 7.0
    assert conformers.positions[0, 0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        conformers.positions[0] = 1.0


def test_id_is_of_the_content():
    conformers = example()
    nudged = replace(conformers, positions=conformers.positions + 2e-7)
    moved = replace(conformers, positions=conformers.positions + 2e-6)
    charged = replace(conformers, molecules=replace(conformers.molecules, charge=np.array([1, 0])))
    framed = replace(conformers, cell=np.ones((3, 3, 3)))
    assert (moved.id != conformers.id).all()
    assert (charged.id != conformers.id).tolist() == [True, True, False]
    assert (framed.id == conformers.id).all(), "a cell without periodicity is only a box"
    periodic = replace(framed, pbc=np.ones((3, 3), dtype=bool))
    assert (periodic.id != conformers.id).all()
    # Rounding may fall either way for a nudge: what does not cross a boundary keeps its id.
    same = (np.rint(nudged.positions * 1e6) == np.rint(conformers.positions * 1e6)).all(1)
    kept = np.logical_and.reduceat(same, conformers.offsets[:-1])
    assert ((nudged.id == conformers.id) == kept).all()


def test_ids_do_not_depend_on_how_many_are_computed_at_once(monkeypatch):
    whole = example().id.tolist()
    assert len(set(whole)) == 3
    monkeypatch.setattr("breadth.diversity.conformers._AT_ONCE", 2)
    assert example().id.tolist() == whole
    assert example().select([2, 0]).id.tolist() == [whole[2], whole[0]]


def test_select_keeps_order_and_drops_molecules():
    conformers = example()
    picked = conformers.select([2, 0])
    assert picked.molecules.key[picked.molecule].tolist() == ["ammonia", "water"]
    np.testing.assert_array_equal(picked.positions[:4], conformers.positions[6:])
    np.testing.assert_array_equal(picked.labels().forces[4:], conformers.labels().forces[:3])
    only = conformers.select(np.array([False, False, True]))
    assert only.molecules.key.tolist() == ["ammonia"]
    assert only.molecules.bond_table(0).tolist() == [[0, 1, 2]]
    with pytest.raises(IndexError, match="mask of shape"):
        conformers.select(np.array([True]))


@given(st.lists(st.integers(0, 2), min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_select_composes(rows):
    conformers = example()
    picked = conformers.select(rows)
    assert picked.id.tolist() == conformers.id[rows].tolist()
    assert_same(picked.select(np.arange(len(rows))), picked)


def test_flat_xarray_and_netcdf_round_trips(tmp_path):
    conformers = concat([example(), example(("water", "other"), seed=1, level="pbe")])
    assert_same(ConformerSet.from_arrays(*conformers.to_arrays()), conformers)
    dataset = conformers.to_xarray()
    assert dataset["n_atoms"].attrs["sample_dimension"] == "atom"
    assert dataset["labels.gfn2.forces"].attrs["units"] == "eV/angstrom"
    assert_same(ConformerSet.from_xarray(dataset), conformers)
    dataset.to_netcdf(tmp_path / "set.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "set.nc", engine="h5netcdf") as read:
        assert_same(ConformerSet.from_xarray(read), conformers)
    with pytest.raises(DataError, match="to_xarray did not write"):
        ConformerSet.from_xarray(xr.Dataset())


def test_pickle_for_worker_processes():
    conformers = example()
    assert_same(pickle.loads(pickle.dumps(conformers)), conformers)


def test_labels_tell_missing_by_mask():
    with pytest.raises(ValueError, match="missing label is told by its mask"):
        Labels(energy=np.array([np.nan]), forces=np.zeros((1, 3)))
    with pytest.raises(DataError, match="no level of theory 'pbe'; this set has 'gfn2'"):
        example().labels("pbe")
    both = example().with_level("pbe", Labels.empty(3, 10))
    with pytest.raises(DataError, match="name a level of theory"):
        both.labels()
    assert list(both.without_level("gfn2").levels) == ["pbe"]


def test_concat_merges_molecules_and_keeps_levels_apart():
    joined = concat([example(), example(("water", "other"), seed=1, level="pbe")])
    assert joined.molecules.key.tolist() == ["water", "ammonia", "other"]
    assert joined.molecule.tolist() == [0, 0, 1, 0, 0, 2]
    assert joined.molecules.bond_table(2).tolist() == [[0, 1, 2]]
    assert joined.labels("gfn2").has_energy.tolist() == [True] * 3 + [False] * 3
    assert joined.labels("pbe").has_forces.tolist() == [False] * 3 + [True, False, True]


def test_concat_of_the_same_set_keeps_both_copies():
    assert len(concat([example(), example()])) == 6


def test_concat_refuses_contradictions():
    first = example()
    labels = first.labels()
    other = replace(labels, energy=labels.energy + 1e-3)
    with pytest.raises(DataError, match="two different labels at level 'gfn2': record -1 of a"):
        concat([first, first.with_level("gfn2", other)])
    with pytest.raises(DataError, match="two energies of the isolated atom with Z = 1"):
        concat([first, example(seed=1, references={1: -13.6})])
    charged = replace(first, molecules=replace(first.molecules, charge=np.array([1, 0])))
    with pytest.raises(DataError, match="molecule 'water' has charge '0' in one set and '1'"):
        concat([first, charged])
    reshaped = replace(
        first, frame_extras={"note": Extra(np.zeros((3, 2)), np.ones(3, dtype=bool))}
    )
    with pytest.raises(DataError, match="'note' is of shape"):
        concat([first, reshaped])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offsets": [0, 3, 3, 10]}, "offsets must rise"),
        ({"numbers": np.zeros(10)}, "outside 1 … 118"),
        ({"molecule": [0, 0, 2]}, "outside the table"),
        ({"positions": np.full((10, 3), np.nan)}, "Conformer 0 has a position"),
        ({"positions": np.zeros((9, 3))}, "positions: an array of shape"),
    ],
)
def test_what_no_set_can_be_raises(change, message):
    with pytest.raises((ValueError, DataError), match=message):
        replace(example(), **change)
