"""What the figures of an audit show, against values computed one by one."""

from dataclasses import replace

import numpy as np
import pytest

from breadth.diversity import ConformerSet, Labels, Molecules, concat
from breadth.diversity.audit import audit
from breadth.diversity.audit.distributions import distributions


def dimers(lengths, *, molecule="argon", energies=None) -> ConformerSet:
    """Return two argon atoms at each distance: the RMSD of two frames is half of their gap."""
    n = len(lengths)
    positions = np.zeros((2 * n, 3))
    positions[1::2, 0] = lengths
    along = np.tile([[1.0, 0, 0], [-1.0, 0, 0]], (n, 1))
    labels = Labels(
        energy=np.arange(n, dtype=float) if energies is None else np.array(energies),
        forces=np.repeat(np.arange(n, dtype=float), 2)[:, None] * along,
    )
    return ConformerSet(
        molecules=Molecules(key=np.array([molecule])),
        molecule=np.zeros(n, dtype=int),
        numbers=np.full(2 * n, 18),
        positions=positions,
        offsets=2 * np.arange(n + 1),
        levels={"made": labels},
    )


def test_values():
    conformers = dimers([3.0, 3.2, 3.6, 3.6, 5.0])
    shown = distributions(conformers, [])
    np.testing.assert_allclose(shown.energy, np.array([-2, -1, 0, 1, 2]) / 2)
    np.testing.assert_allclose(np.sort(shown.force_norm), np.repeat(np.arange(5.0), 2))
    np.testing.assert_allclose(shown.nearest, [0.1, 0.1, 0.0, 0.0, 0.7], atol=1e-6)
    assert shown.level == "made"
    assert all(not len(values) for values in shown.named.values())


def test_records_that_the_audit_names_are_shown():
    conformers = dimers([3.0, 3.2, 3.6, 3.6, 5.0])
    entries = audit(conformers)
    assert next(e for e in entries if e["check"] == "exact_duplicates")["count"] == 1
    shown = distributions(conformers, entries)
    np.testing.assert_allclose(shown.named["nearest"], [0.0])
    # One geometry with two energies: the later record is the one blamed.
    assert shown.named["energy"] == pytest.approx([0.5])
    assert shown.named["force_norm"] == pytest.approx([3.0])


def test_molecules_of_one_conformer_are_compared_by_composition():
    sets = [dimers([3.0 + k], molecule=f"m{k}", energies=[2.0 + (k == 4)]) for k in range(9)]
    shown = distributions(concat(sets), [])
    assert shown.relative_to == "what the composition gives"
    np.testing.assert_allclose(np.sort(shown.energy), [*np.zeros(8), 0.5], atol=1e-6)


def test_what_is_not_there_is_not_shown():
    bare = replace(dimers([3.0, 4.0]), levels={})
    shown = distributions(bare, [])
    assert (shown.level, len(shown.energy), len(shown.force_norm)) == ("", 0, 0)
    np.testing.assert_allclose(shown.nearest, [0.5, 0.5])
    assert not len(distributions(dimers([3.0]), []).nearest)
    half = dimers([3.0, 4.0, 5.0])
    labels = half.levels["made"]
    lacking = replace(labels, has_energy=np.array([True, False, True]), has_forces=None)
    assert len(distributions(half.with_level("made", lacking), []).energy) == 2
