"""Radius refinement: cases of known answer, its three forms by other routes, and what it costs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from breadth.diversity.conformers import ConformerSet
from breadth.diversity.errors import ConfigurationError, DataError
from breadth.diversity.spectra import laplacian_spectra
from breadth.diversity.tables import Molecules
from breadth.training import build_potential, predict
from breadth.training.refinement.radius import (
    SpectrumReference,
    candidate_radii,
    choose_radii,
    force_jumps,
    predict_at_radii,
)

FORMS = ["padded", "fraction", "wasserstein"]


def hydrogens(*frames, molecule=None):
    """Return a set of structures of hydrogen atoms; each is a molecule unless told."""
    sizes = [len(frame) for frame in frames]
    molecule = np.arange(len(frames)) if molecule is None else np.array(molecule)
    return ConformerSet(
        molecules=Molecules(key=np.array([f"m{i}" for i in range(molecule.max() + 1)])),
        molecule=molecule,
        numbers=np.ones(sum(sizes), dtype=np.uint8),
        positions=np.concatenate([np.asarray(frame, dtype=float) for frame in frames]),
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
    )


def chain(n, distance):
    return np.arange(n)[:, None] * np.array([distance, 0.0, 0.0])


def cloud(n, seed, spread=6.0):
    return np.random.default_rng(seed).uniform(0, spread, (n, 3))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("per", ["structure", "molecule"])
def test_a_stretched_chain_is_a_chain_at_a_longer_radius(form, per):
    reference = SpectrumReference.of(hydrogens(chain(7, 1.0)), 1.5)  # λ = 1 − cos πk/6: one is 1
    stretched = hydrogens(chain(7, 2.0))
    choice = choose_radii(stretched, reference, form=form, radii=[1.0, 2.5, 5.0, 20.0], per=per)
    assert choice.radius == [2.5]
    assert choice.distance == pytest.approx([0.0], abs=1e-9)
    assert choice.changed.all()
    # It is one between 2 and 4 Å: half-way.
    exact = choose_radii(
        stretched, reference, form=form, radii="exact", between=(0.5, 9.0), per=per
    )
    assert exact.radius == pytest.approx([3.0])
    assert exact.distance == pytest.approx([0.0], abs=1e-9)
    assert exact.distance_at_trained == pytest.approx(choice.distance_at_trained)


@pytest.mark.parametrize("per", ["structure", "molecule"])
def test_exact_radii_stay_in_the_range_that_was_asked_for_beside_the_trained(per):
    reference = SpectrumReference.of(hydrogens(chain(7, 1.0)), 1.5)
    stretched = hydrogens(chain(7, 2.0))  # the training set's path from 2 to 4 Å

    def radius(low, high):
        choice = choose_radii(stretched, reference, radii="exact", between=(low, high), per=per)
        return choice.radius[0]

    assert radius(3.5, 9.0) == pytest.approx(3.75)
    assert radius(2.0, 2.5) == pytest.approx(2.25)
    assert radius(0.5, 1.9) == 1.5  # no pair is so near: nothing to choose


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("radii", [None, "exact"])
def test_nothing_changes_where_the_graph_is_that_of_training(form, radii):
    train = hydrogens(chain(5, 1.0))
    same = hydrogens(chain(5, 1.1), chain(5, 0.9), np.zeros((1, 3)))
    reference = SpectrumReference.of(train, 1.5)
    choice = choose_radii(same, reference, form=form, radii=radii, per="structure")
    np.testing.assert_array_equal(choice.radius, 1.5)
    assert not choice.changed.any()
    np.testing.assert_array_equal(choice.distance, choice.distance_at_trained)
    assert choice.distance[:2] == pytest.approx([0.0, 0.0], abs=1e-9)


def test_the_three_forms_on_one_pair_and_two():
    reference = SpectrumReference.of(hydrogens(chain(2, 1.0)), 1.5)  # 0, 2
    np.testing.assert_allclose(reference.padded, [0, 2], atol=1e-12)
    two = hydrogens(np.concatenate([chain(2, 1.0), chain(2, 1.0) + 50]))  # 0, 0, 2, 2
    spectra = laplacian_spectra(two.positions, two.offsets, np.array([1.5]))
    found = {f: float(reference.distances(spectra, two.counts, f)[0, 0]) for f in FORMS}
    # Padding says (0, 2, 0, 0) against (0, 0, 2, 2); the distributions are the same.
    assert found == pytest.approx({"padded": 12.0, "fraction": 0.0, "wasserstein": 0.0}, abs=1e-9)


def test_fraction_of_complete_graphs_of_eleven_atoms_counts_the_end_of_the_interval():
    reference = SpectrumReference.of(hydrogens(cloud(11, 0, 1.0)), 5.0)
    assert reference.fraction == pytest.approx(10 / 11)
    assert SpectrumReference.of(hydrogens(cloud(10, 0, 1.0)), 5.0).fraction == 0.0


def test_reference_is_a_mean_over_structures():
    frames = [cloud(n, n) for n in (3, 8, 8, 14)]
    one = [SpectrumReference.of(hydrogens(frame), 3.0) for frame in frames]
    all_of_them = SpectrumReference.of(hydrogens(*frames), 3.0)
    padded = np.zeros((4, 14))
    for row, single in zip(padded, one, strict=True):
        row[: len(single.padded)] = single.padded
    np.testing.assert_allclose(all_of_them.padded, padded.mean(0))
    assert all_of_them.fraction == pytest.approx(np.mean([s.fraction for s in one]))
    assert all_of_them.weights.sum() == pytest.approx(1.0)


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 20), min_size=1, max_size=6), seed=st.integers(0, 2**31))
def test_wasserstein_is_that_of_scipy(sizes, seed):
    train = hydrogens(*(cloud(n, seed + k) for k, n in enumerate(sizes)))
    test = hydrogens(cloud(13, seed + 99), cloud(4, seed + 98))
    reference = SpectrumReference.of(train, 3.0)
    radii = np.array([2.0, 3.0, 4.5])
    spectra = laplacian_spectra(test.positions, test.offsets, radii)
    found = reference.distances(spectra, test.counts, "wasserstein")
    for i, n in enumerate(test.counts):
        for k in range(3):
            expected = wasserstein_distance(
                spectra[i, k, :n], reference.values, None, reference.weights
            )
            assert found[i, k] == pytest.approx(expected, abs=1e-7)


@settings(max_examples=25, deadline=None)
@given(form=st.sampled_from(FORMS), seed=st.integers(0, 2**31))
def test_a_choice_is_never_farther_and_the_exact_one_is_nearest(form, seed):
    reference = SpectrumReference.of(hydrogens(cloud(9, seed), cloud(7, seed + 1)), 3.0)
    test = hydrogens(*(cloud(10, seed + 2 + i) for i in range(6)), molecule=[0, 0, 1, 1, 1, 2])
    grid = np.linspace(1.9, 5.3, 7)
    for per in ("structure", "molecule"):
        offered = choose_radii(test, reference, form=form, radii=grid, per=per)
        exact = choose_radii(test, reference, form=form, radii="exact", per=per)
        mean = [offered.distance_at_trained, offered.distance, exact.distance]
        if per == "molecule":
            mean = [np.bincount(test.molecule, d) / np.bincount(test.molecule) for d in mean]
            for choice in (offered, exact):
                for m in range(3):
                    assert len(np.unique(choice.radius[test.molecule == m])) == 1
        assert (mean[1] <= mean[0] + 1e-8).all()
        assert (mean[2] <= mean[1] + 1e-8).all()
        # What it says of its radius is so.
        spectra = np.array([
            laplacian_spectra(test.positions[test.atoms_slice(i)], np.array([0, 10]), [[r]])[0]
            for i, r in enumerate(exact.radius)
        ])  # fmt: skip
        np.testing.assert_allclose(
            reference.distances(spectra, test.counts, form)[:, 0], exact.distance, atol=1e-8
        )


def test_order_and_rotation_of_structures_change_no_choice():
    test = [cloud(12, seed) for seed in range(8)]
    reference = SpectrumReference.of(hydrogens(*(cloud(9, 50 + i) for i in range(4))), 3.0)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    first = choose_radii(hydrogens(*test), reference, per="structure")
    turned = choose_radii(
        hydrogens(*(x[::-1] @ turn + 3 for x in test[::-1])), reference, per="structure"
    )
    np.testing.assert_array_equal(first.radius, turned.radius[::-1])


def test_candidates_are_those_that_the_potential_knows():
    potential = build_potential("factorised_painn", n_features=16, cutoff=5.0)
    np.testing.assert_allclose(candidate_radii(potential), np.linspace(3.0, 9.0, 10))
    potential.set_cutoff_range(4.0, 6.0)
    np.testing.assert_allclose(candidate_radii(potential, 5), [4.0, 4.5, 5.0, 5.5, 6.0])


@pytest.fixture(scope="module")
def potential():
    torch.manual_seed(0)
    return build_potential("factorised_painn", n_features=16, cutoff=4.0).double()


def test_predictions_at_radii_are_those_of_each_alone(potential):
    data = hydrogens(*(cloud(n, n) for n in (5, 9, 9, 1, 12)))
    radii = np.array([4.0, 3.0, 5.5, 3.0, 4.0])
    found = predict_at_radii(potential, data, radii)
    for i, radius in enumerate(radii):
        alone = predict(potential, data.select([i]), cutoff=radius)
        assert found.energy[i] == pytest.approx(alone.energy[0], abs=1e-9)
        np.testing.assert_allclose(found.forces[data.atoms_slice(i)], alone.forces, atol=1e-9)
    one = predict_at_radii(potential, data, 5.5)
    np.testing.assert_array_equal(one.forces, predict(potential, data, cutoff=5.5).forces)


def test_jumps_are_differences_at_the_frames_where_the_radius_changes(potential):
    start = cloud(8, 3)
    path = hydrogens(*(start * (1 + 0.01 * t) for t in range(5)), cloud(8, 4),
                     molecule=[0, 0, 0, 0, 0, 1])  # fmt: skip
    jumps = force_jumps(potential, path, np.array([4.0, 4.0, 5.0, 5.0, 3.5, 6.0]))
    np.testing.assert_array_equal(jumps.frame, [2, 4])
    assert jumps.n_steps == 4
    for k, (frame, before, after) in enumerate([(2, 4.0, 5.0), (4, 5.0, 3.5)]):
        part = path.select([frame])
        a, b = (predict(potential, part, cutoff=r) for r in (before, after))
        norms = np.linalg.norm(b.forces - a.forces, axis=1)
        assert jumps.jump[k] == pytest.approx(norms.mean())
        assert jumps.largest[k] == pytest.approx(norms.max())
        assert jumps.energy[k] == pytest.approx(b.energy[0] - a.energy[0])
    none = force_jumps(potential, path, np.full(6, 4.0))
    assert len(none.frame) == len(none.jump) == 0


def test_no_jump_where_no_pair_lies_between_the_radii_nor_feels_the_envelope(potential):
    far = hydrogens(*(chain(2, 50.0 + t) for t in range(3)), molecule=[0, 0, 0])
    jumps = force_jumps(potential, far, np.array([4.0, 5.0, 3.0]))
    np.testing.assert_array_equal(jumps.largest, 0.0)


def test_bad_input(potential):
    data = hydrogens(cloud(4, 0))
    reference = SpectrumReference.of(data, 3.0)
    with pytest.raises(DataError, match="empty"):
        SpectrumReference.of(data.select([]), 3.0)
    with pytest.raises(ConfigurationError, match="knows the forms padded"):
        choose_radii(data, reference, form="released")
    with pytest.raises(ConfigurationError, match="numbers or 'exact'"):
        choose_radii(data, reference, radii="all")
    with pytest.raises(ConfigurationError, match="above 0"):
        choose_radii(data, reference, radii=[-1.0, 2.0])
    with pytest.raises(ConfigurationError, match="no range"):
        choose_radii(data, reference, radii="exact", between=(5.0, 3.0))
    for radii in ([3.0, 4.0], [0.0], [np.nan]):
        with pytest.raises(ConfigurationError, match="a radius each"):
            predict_at_radii(potential, data, radii)
    empty = choose_radii(data.select([]), reference)
    assert len(empty.radius) == len(empty.changed) == 0
