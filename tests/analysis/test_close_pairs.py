"""Distances and bonds along runs, against ASE, closed forms and the search over all pairs."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.geometry.rdf import get_rdf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from breadth.analysis.close_pairs import close_pairs
from breadth.analysis.trajectories import bond_events, distance_histogram
from breadth.diversity import ConformerSet
from breadth.diversity.bonds import covalent_bonds
from breadth.diversity.errors import DataError


def jostled(atoms: Atoms, n_frames: int, size: float, seed: int) -> ConformerSet:
    random = np.random.default_rng(seed)
    frames = [atoms.copy() for _ in range(n_frames)]
    for frame in frames[1:]:
        frame.positions += random.normal(size=frame.positions.shape) * size
    return ConformerSet.from_ase(frames)


def test_radial_distributions_of_crystals_are_those_of_ase() -> None:
    salt = bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(3)
    frames = jostled(salt, 2, 0.15, seed=0)
    found = close_pairs(frames, reach=6.0)
    assert found.names == ["Na–Na", "Cl–Na", "Cl–Cl"]
    for row, pair in enumerate(found.pairs.tolist()):
        theirs = np.mean(
            [get_rdf(atoms, 6.0, 120, elements=pair, no_dists=True) for atoms in frames.to_ase()],
            axis=0,
        )
        np.testing.assert_allclose(found.radial[row], theirs, atol=1e-8)


def test_atoms_strewn_at_random_have_a_radial_distribution_of_one() -> None:
    random = np.random.default_rng(1)
    frames = [
        Atoms("He30Ne20", scaled_positions=random.random((50, 3)), cell=[9, 10, 11], pbc=True)
        for _ in range(12)
    ]
    found = close_pairs(ConformerSet.from_ase(frames), reach=4.0)
    volumes = np.diff(found.edges**3)
    # Counts are Poisson's; an atom is no neighbour of itself, hence the share of one in n.
    for row, (expected, n) in enumerate([(29 / 30, 435), (1.0, 600), (19 / 20, 190)]):
        error = expected / np.sqrt(12 * n * 4 / 3 * np.pi * volumes.sum() / 990)
        assert abs(np.average(found.radial[row], weights=volumes) - expected) < 3 * error


def test_distances_of_a_molecule_add_up_to_its_distance_histogram() -> None:
    frames = jostled(molecule("CH3CH2OH"), 4, 0.05, seed=2)
    found = close_pairs(frames, reach=6.0)
    h = distance_histogram(frames.positions.reshape(4, 9, 3), found.edges)
    n = {1: 6, 6: 2, 8: 1}
    weights = [n[a] * (n[a] - 1) / 2 if a == b else n[a] * n[b] for a, b in found.pairs.tolist()]
    np.testing.assert_allclose(np.array(weights) @ found.radial / 36, h, atol=1e-12)
    assert not found.periodic
    assert dict(zip(found.names, found.n_bonds[:, 0], strict=True))["C–H"] == 5
    lengths = dict(zip(found.names, found.bond_lengths, strict=True))
    assert (lengths["C–H"] * np.diff(found.bond_edges)).sum() == pytest.approx(1.0)
    assert not lengths["H–H"].any()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
@example(3046, False)
def test_events_are_those_of_the_search_over_all_pairs(seed: int, periodic: bool) -> None:
    random = np.random.default_rng(seed)
    atoms = molecule("CH3CH2OH")
    if periodic:
        atoms.set_cell(random.uniform(5.5, 8.0, 3))
        atoms.pbc = True
    frames = jostled(atoms, 5, 0.3, seed)
    time = np.arange(len(frames)) * 2.0  # frames whose atoms met are set aside
    found = close_pairs(frames, time=time)
    positions = frames.positions.reshape(-1, 9, 3)
    box = (atoms.cell.array, atoms.pbc) if periodic else (None, None)
    bonds = covalent_bonds(atoms.numbers, positions[0], *box)
    wanted = bond_events(atoms.numbers, time, positions, bonds, positions[0], *box)

    def plain(events):
        return sorted(
            (e.time, e.change.kind, e.change.first, e.change.second, round(e.change.distance, 9),
             e.lasting) for e in events
        )  # fmt: skip

    if found.no_events is None:
        assert plain(one.event for one in found.events) == plain(wanted)
    else:
        assert len(wanted) >= len(bonds) * 0.2


def test_a_metal_that_changes_its_neighbours_is_told_apart_from_a_broken_bond() -> None:
    first = Atoms("LiOHClH", [[0, 0, 0], [1.9, 0, 0], [2.8, 0, 0], [6.5, 0, 0], [12, 0, 0]])
    second = first.copy()
    second.positions[0, 0] = -1.0  # Li leaves O
    second.positions[2, 0] = 5.2  # and H goes over to Cl
    found = close_pairs(ConformerSet.from_ase([first, first, first, second]))
    told = [(e.event.time, e.event.change.describe(first.numbers), e.coordination, e.n_frames)
            for e in found.events]  # fmt: skip
    assert told == [
        (3.0, "bond broken: Li0–O1 at 2.90 Å", True, 1),
        (3.0, "bond broken: O1–H2 at 3.30 Å", False, 1),
        (3.0, "bond formed: H2–Cl3 at 1.30 Å", False, 1),
    ]
    assert all(e.event.lasting for e in found.events)


def test_frames_that_do_not_follow_one_another_have_no_events() -> None:
    atoms = molecule("CH3CH2OH")
    random = np.random.default_rng(0)
    frames = []
    for _ in range(6):  # atoms of one element change places
        order = np.arange(9)
        order[atoms.numbers == 1] = random.permutation(order[atoms.numbers == 1])
        frames.append(atoms[order])
        frames[-1].numbers = atoms.numbers
    found = close_pairs(ConformerSet.from_ase(frames, identity="formula"))
    assert found.events == []
    assert "do not follow one another" in str(found.no_events)
    # What does not depend on the order is there all the same.
    assert (found.n_bonds[found.names.index("C–H")] == 5).all()
    whole = [atoms, atoms[::-1]]
    reversed_order = close_pairs(ConformerSet.from_ase(whole, identity="formula"))
    assert "order of elements" in str(reversed_order.no_events)


def test_frames_of_two_systems_are_refused() -> None:
    mixed = ConformerSet.from_ase([molecule("H2O"), molecule("NH3")])
    with pytest.raises(DataError, match="Frame 1 has other atoms"):
        close_pairs(mixed)
    boxed = molecule("H2O", vacuum=4.0)
    boxed.pbc = True
    with pytest.raises(DataError, match="Frame 1 is periodic"):
        close_pairs(ConformerSet.from_ase([molecule("H2O"), boxed], identity="formula"))
    with pytest.raises(DataError, match="no frame"):
        close_pairs(mixed.select([]))
