import numpy as np
import pytest

from breadth.diversity.errors import DataError
from breadth.diversity.tables import Labels
from breadth.training import TrainingConfig, fit, predict
from breadth.training.refinement import add_prior, difference, difference_level

NAME = difference_level("springs", "soft")


def test_there_and_back_again(with_prior):
    data = difference(with_prior(), level="springs", prior_level="soft")
    back = add_prior(data.labels(NAME), data, prior_level="soft")
    truth = data.labels("springs")
    np.testing.assert_allclose(back.energy, truth.energy, rtol=1e-14)
    np.testing.assert_allclose(back.forces, truth.forces, atol=1e-14)
    # The prior has no isolated atoms: the difference cannot have them either.
    assert data.labels(NAME).reference_energies == {}


def test_isolated_atoms_of_both_levels(with_prior):
    data = with_prior()
    soft = data.labels("soft")
    data = data.with_level("soft", Labels(
        energy=soft.energy, forces=soft.forces, reference_energies={1: -10.0, 9: -5.0}
    ))  # fmt: skip
    found = difference(data, level="springs", prior_level="soft").labels(NAME)
    assert found.reference_energies == {1: pytest.approx(-3.6)}


def test_labels_that_one_level_lacks(with_prior):
    data = with_prior()
    soft, n = data.labels("soft"), len(data)
    bad = np.arange(n) == 3
    lame = data.with_level("soft", Labels(
        energy=soft.energy, forces=soft.forces, has_energy=~bad, has_forces=np.arange(n) != 4
    ))  # fmt: skip
    found = difference(lame, level="springs", prior_level="soft").labels(NAME)
    assert np.flatnonzero(~found.has_energy).tolist() == [3]
    assert np.flatnonzero(~found.has_forces).tolist() == [4]
    assert found.energy[3] == 0.0
    assert not found.forces[data.atoms_slice(4)].any()
    predicted = Labels(energy=np.zeros(n), forces=np.zeros((data.n_atoms, 3)))
    back = add_prior(predicted, lame, prior_level="soft")
    assert np.flatnonzero(~back.has_energy).tolist() == [3]
    assert np.flatnonzero(~back.has_forces).tolist() == [4]
    none = Labels.empty(n, data.n_atoms)
    with pytest.raises(DataError, match="no difference"):
        difference(data.with_level("soft", none), level="springs", prior_level="soft")


def test_a_good_prior_leaves_little_to_learn(with_prior):
    data = difference(with_prior(), level="springs", prior_level="soft")
    config = TrainingConfig(n_updates=60, batch_size=6, relative_energies=True, device="cpu")
    potential = {"name": "painn", "n_features": 16, "n_layers": 2, "n_basis": 4, "cutoff": 8.0}
    truth = data.labels("springs").forces
    errors = {}
    for level in ("springs", NAME):
        options = {"level": level, "train": np.arange(0, len(data), 2), "config": config}
        found = predict(fit(potential, data, **options).potential, data)
        if level == NAME:
            found = add_prior(found, data, prior_level="soft")
        errors[level] = np.abs(found.forces - truth).mean()
    # What is left is a fifth as large.
    assert errors[NAME] < 0.4 * errors["springs"]
