from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list
from hypothesis import given
from hypothesis import strategies as st

from breadth.diversity.errors import DataError
from breadth.training import TrainingConfig, build_potential, fit, predict
from breadth.training.batches import DENSE_ATOMS, Batch, FrameStore, neighbours
from breadth.training.features import PotentialFeaturizer
from breadth.training.prediction import batches_by_size
from breadth.training.testing import make_batch, random_structure


def pairs_of(batch, found):
    b, i, k = found.mask.nonzero(as_tuple=True)
    j = k if found.index is None else found.index[b, i, k]
    rows = np.column_stack([b, i, j, found.vectors[b, i, k].numpy().round(6)])
    return rows[np.lexsort(rows.T[::-1])]


@pytest.mark.parametrize("pbc", [(True,) * 3, (True, False, True), (False,) * 3])
@pytest.mark.parametrize("cutoff", [2.0, 5.0])
def test_neighbours_are_those_of_ase(pbc, cutoff):
    rng = np.random.default_rng(1)
    atoms = Atoms(
        "H7",
        rng.uniform(-6, 6, (7, 3)),
        cell=[[3.1, 0, 0], [0.9, 4.0, 0], [-1.2, 0.7, 5.3]],
        pbc=pbc,
    )
    batch = Batch(
        numbers=torch.tensor(atoms.numbers)[None],
        positions=torch.tensor(atoms.positions)[None],
        mask=torch.ones(1, 7, dtype=torch.bool),
        cell=torch.tensor(atoms.cell.array)[None],
        pbc=torch.tensor(atoms.pbc)[None],
        charge=torch.zeros(1),
        periodic=any(pbc),
    )
    found = pairs_of(batch, neighbours(batch, cutoff, "list"))
    i, j, d = neighbor_list("ijD", atoms, cutoff)
    wanted = np.column_stack([np.zeros(len(i)), i, j, d.round(6)])
    wanted = wanted[np.lexsort(wanted.T[::-1])]
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_mixed_batches_keep_images_apart():
    structures = [random_structure(5, seed=1), random_structure(3, seed=2)]
    cells = [torch.eye(3, dtype=torch.float64) * 3.0, torch.eye(3, dtype=torch.float64) * 9.0]
    both = make_batch(structures, cells=cells)
    both.pbc[1] = False
    alone = make_batch([structures[1]])
    found = neighbours(both, 4.0)
    assert int(found.mask[1].sum()) == int(neighbours(alone, 4.0, "list").mask.sum())
    assert not found.mask[1, 3:].any()


def test_layout_follows_size_and_periodicity():
    small = make_batch([random_structure(4)])
    assert neighbours(small, 4.0).index is None
    large = make_batch([random_structure(4)], padding=DENSE_ATOMS)
    assert neighbours(large, 4.0).index is not None
    solid = make_batch([random_structure(4)], cells=[torch.eye(3, dtype=torch.float64) * 5])
    with pytest.raises(ValueError, match="list"):
        neighbours(solid, 4.0, "dense")


def test_vectors_follow_positions():
    z, x = random_structure(4)
    batch = make_batch([(z, x)], cells=[torch.eye(3, dtype=torch.float64) * 3.5])
    moving = batch.positions.clone().requires_grad_()
    found = neighbours(batch.with_positions(moving), 4.0)
    found.vectors[found.mask][:, 0].sum().backward()
    # Every pair is there both ways: the gradients cancel.
    torch.testing.assert_close(moving.grad, torch.zeros_like(moving))


def test_store_cuts_padded_batches(toy):
    store = FrameStore(toy, np.array([30, 2]), level="springs", dtype=torch.float64)
    batch, targets = store.labelled(np.array([1, 0]))
    assert batch.numbers.tolist() == [[6, 8, 1, 0, 0], [6, 8, 1, 1, 6]]
    np.testing.assert_array_equal(batch.positions[0, :3], toy.positions[toy.atoms_slice(2)])
    np.testing.assert_array_equal(targets.forces[1], toy.labels().forces[toy.atoms_slice(30)])
    assert targets.forces[0, 3:].abs().max() == 0
    assert targets.energy.dtype == torch.float64
    assert targets.energy.tolist() == toy.labels().energy[[2, 30]].tolist()


def test_missing_labels_are_refused(toy):
    from breadth.diversity.tables import Labels

    bare = toy.with_level("none", Labels.empty(len(toy), toy.n_atoms))
    with pytest.raises(DataError, match="neither energy nor forces"):
        FrameStore(bare, level="none")


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(1, 8), st.integers(1, 99))
def test_batches_of_predictions_are_bounded(sizes, batch_size, most_atoms):
    counts = np.array(sizes)
    found = list(batches_by_size(counts, batch_size, most_atoms))
    assert sorted(np.concatenate(found)) == list(range(len(counts)))
    for rows in found:
        assert len(rows) <= batch_size
        assert len(rows) == 1 or len(rows) * counts[rows].max() <= most_atoms


def test_what_is_no_number_in_the_precision_at_work_is_refused(toy):
    far = toy.positions.astype(float)
    far[toy.atoms_slice(14)] *= 1e39  # a number, and infinite in single precision
    far = replace(toy, positions=far)
    cell = np.zeros((len(toy), 3, 3))
    cell[7, 1] = np.nan
    open_cell = replace(toy, cell=cell, pbc=np.ones((len(toy), 3), bool))
    small = {"name": "schnet", "n_features": 4, "n_layers": 1, "n_basis": 2}
    potential = build_potential(**small, levels=["springs"])
    config = TrainingConfig(n_updates=1, batch_size=4, device="cpu")
    for message, data in (("14 has a position", far), ("7 has a cell vector", open_cell)):
        told = f"Conformer {message} that is NaN or infinite in float32"
        with pytest.raises(DataError, match=told):
            predict(potential, data)
        with pytest.raises(DataError, match=told):
            list(PotentialFeaturizer(potential).iter_features(data, 99))
        with pytest.raises(DataError, match=told):
            fit(small, data, level="springs", train=np.arange(5, 20), config=config)
    # What is not learnt from does no harm.
    fit(small, far, level="springs", train=np.arange(14), config=config)
