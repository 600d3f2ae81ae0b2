"""The contract of potentials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ..batches import half_list, neighbours
from ..checkpoints import load_potential, save_potential
from ..potentials import energy_and_forces, energy_forces_stress
from .forms import FormsContract
from .structures import make_batch, random_structure


def _rotation(seed: int) -> Tensor:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return torch.tensor(q * np.sign(np.linalg.det(q)))


class PotentialContract(FormsContract):
    """Inherit, and say in `build` how a small potential with random weights is made."""

    # -- symmetries ------------------------------------------------------------------------------

    @pytest.mark.parametrize("reflect", [False, True])
    def test_rotation_and_reflection(self, reflect: bool) -> None:
        potential = self.make()
        z, x = random_structure(9)
        turn = _rotation(1) * (-1 if reflect else 1)
        e, f = energy_and_forces(potential, make_batch([(z, x)]))
        e2, f2 = energy_and_forces(potential, make_batch([(z, x @ turn.T)]))
        assert f.abs().max() > 1e-3, "forces are all zero: nothing is tested"
        torch.testing.assert_close(e, e2, rtol=0, atol=1e-9)
        torch.testing.assert_close(f @ turn.T, f2, rtol=0, atol=1e-9)

    def test_translation(self) -> None:
        potential = self.make()
        z, x = random_structure(9)
        shift = torch.tensor([7.0, -11.0, 3.0], dtype=x.dtype)
        e, f = energy_and_forces(potential, make_batch([(z, x)]))
        e2, f2 = energy_and_forces(potential, make_batch([(z, x + shift)]))
        torch.testing.assert_close(e, e2, rtol=0, atol=1e-9)
        torch.testing.assert_close(f, f2, rtol=0, atol=1e-9)
        assert f.sum(1).abs().max() < 1e-9

    def test_permutation(self) -> None:
        potential = self.make()
        z, x = random_structure(9)
        order = torch.tensor(np.random.default_rng(2).permutation(9))
        e, f = energy_and_forces(potential, make_batch([(z, x)]))
        e2, f2 = energy_and_forces(potential, make_batch([(z[order], x[order])]))
        torch.testing.assert_close(e, e2, rtol=0, atol=1e-9)
        torch.testing.assert_close(f[:, order], f2, rtol=0, atol=1e-9)

    # -- derivatives -----------------------------------------------------------------------------

    @pytest.mark.parametrize("periodic", [False, True])
    def test_forces_are_the_derivative(self, periodic: bool) -> None:
        potential = self.make()
        z, x = random_structure(6)
        cells = [torch.eye(3, dtype=x.dtype) * 4.0] if periodic else None
        batch = make_batch([(z, x)], cells=cells)
        _, forces = energy_and_forces(potential, batch)
        h = 1e-4
        for atom in range(6):
            for axis in range(3):
                steps = []
                for weight, step in ((8, h), (-8, -h), (-1, 2 * h), (1, -2 * h)):
                    moved = batch.positions.clone()
                    moved[0, atom, axis] += step
                    with torch.no_grad():
                        e = potential.atomic(batch.with_positions(moved)).energies.sum()
                    steps.append(weight * float(e))
                numeric = -sum(steps) / (12 * h)
                assert abs(numeric - float(forces[0, atom, axis])) < 1e-6

    def test_stress_is_the_derivative(self) -> None:
        potential = self.make()
        z, x = random_structure(5, seed=3)
        cell = torch.eye(3, dtype=x.dtype) * 4.2 + 0.2
        batch = make_batch([(z, x)], cells=[cell])
        _, _, stress = energy_forces_stress(potential, batch)
        volume, h = float(torch.linalg.det(cell)), 1e-4
        for a, b in ((0, 0), (0, 1), (1, 2)):
            slope = 0.0
            for weight, step in ((8, h), (-8, -h), (-1, 2 * h), (1, -2 * h)):
                strain = torch.zeros(3, 3, dtype=x.dtype)
                strain[a, b] += 0.5 * step
                strain[b, a] += 0.5 * step
                bent = batch.with_positions(
                    x[None] + x[None] @ strain, (cell + cell @ strain)[None]
                )
                with torch.no_grad():
                    slope += weight * float(potential.atomic(bent).energies.sum()) / (12 * h)
            assert abs(slope / volume - float(stress[0, a, b])) < 1e-6

    def test_smooth_at_the_cutoff(self) -> None:
        potential = self.make()
        c = potential.cutoff

        def at(distance: float) -> tuple[float, float]:
            x = torch.tensor(
                [[0.0, 0, 0], [1.1, 0, 0], [1.1 + distance, 0, 0]], dtype=torch.float64
            )
            z = torch.tensor([8, 6, 1])
            e, f = energy_and_forces(potential, make_batch([(z, x)]), references=False)
            return float(e), float(f[0, 2, 0])

        inside, edge, outside = at(c - 1e-3), at(c), at(c + 1e-3)
        assert abs(inside[0] - outside[0]) < 1e-6
        assert abs(inside[1] - edge[1]) < 1e-4
        assert abs(edge[1]) < 1e-12
        assert abs(outside[1]) < 1e-12

    def test_a_smaller_cutoff_is_smooth_too(self) -> None:
        potential = self.make()
        z, x = random_structure(9)
        batch = make_batch([(z, x)])
        radii = [2.0 + 0.001 * i for i in range(3)]
        energies = [float(energy_and_forces(potential, batch, r)[0]) for r in radii]
        assert energies[0] != energies[1]
        assert abs(energies[0] - 2 * energies[1] + energies[2]) < 1e-3
        full = energy_and_forces(potential, batch)
        again = energy_and_forces(potential, batch, potential.cutoff)
        torch.testing.assert_close(full, again, rtol=0, atol=0)

    # -- batches ---------------------------------------------------------------------------------

    def test_batched_equals_single(self) -> None:
        potential = self.make()
        structures = [random_structure(n, seed=n) for n in (9, 4, 6, 1)]
        energies, forces = energy_and_forces(potential, make_batch(structures, padding=3))
        for row, (z, x) in enumerate(structures):
            e, f = energy_and_forces(potential, make_batch([(z, x)]))
            torch.testing.assert_close(energies[row], e[0], rtol=0, atol=1e-9)
            torch.testing.assert_close(forces[row, : len(z)], f[0], rtol=0, atol=1e-9)
        assert forces[1, 4:].abs().max() == 0.0

    def test_layouts_agree(self) -> None:
        potential = self.make()
        batch = make_batch([random_structure(n, seed=n) for n in (9, 5)])
        radius = potential.cutoff
        pairs: list[Any] = [neighbours(batch, radius, layout) for layout in ("dense", "list")]
        if potential.half_lists:
            pairs.append(half_list(batch, radius))
        dense, *others = (potential.represent(batch, one, radius) for one in pairs)
        for other in others:
            torch.testing.assert_close(dense[batch.mask], other[batch.mask], rtol=0, atol=1e-9)

    def test_extensive(self) -> None:
        potential = self.make()
        z, x = random_structure(7)
        far = torch.tensor([60.0, 0, 0], dtype=x.dtype)
        both = (torch.cat([z, z]), torch.cat([x, x + far]))
        e, f = energy_and_forces(potential, make_batch([(z, x)]))
        e2, f2 = energy_and_forces(potential, make_batch([both]))
        torch.testing.assert_close(2 * e, e2, rtol=0, atol=1e-8)
        torch.testing.assert_close(torch.cat([f, f], 1), f2, rtol=0, atol=1e-9)

    def test_supercell(self) -> None:
        potential = self.make()
        z, x = random_structure(5, seed=4)
        cell = torch.tensor([[4.0, 0, 0], [0.5, 4.2, 0], [0.3, 0.4, 3.9]], dtype=x.dtype)
        e, f = energy_and_forces(potential, make_batch([(z, x)], cells=[cell]))
        double = cell * torch.tensor([[2.0], [1.0], [1.0]], dtype=x.dtype)
        twice = (torch.cat([z, z]), torch.cat([x, x + cell[0]]))
        e2, f2 = energy_and_forces(potential, make_batch([twice], cells=[double]))
        torch.testing.assert_close(2 * e, e2, rtol=0, atol=1e-8)
        torch.testing.assert_close(torch.cat([f, f], 1), f2, rtol=0, atol=1e-9)
        # Which cell an atom is written in makes no difference.
        moved = x + torch.tensor([[3.0, -2, 1]], dtype=x.dtype) @ cell * (z == z[0])[:, None]
        e3, f3 = energy_and_forces(potential, make_batch([(z, moved)], cells=[cell]))
        torch.testing.assert_close(e, e3, rtol=0, atol=1e-8)
        torch.testing.assert_close(f, f3, rtol=0, atol=1e-9)

    # -- parameters ------------------------------------------------------------------------------

    def test_round_trip(self, tmp_path: Path) -> None:
        potential = self.make(levels=("cheap", "pbe-def2svp"))
        save_potential(tmp_path / "potential", potential, {"seed": 3})
        loaded, meta = load_potential(tmp_path / "potential")
        assert meta == {"seed": 3}
        assert loaded.levels == ("cheap", "pbe-def2svp")
        batch = make_batch([random_structure(9)])
        for level in potential.levels:
            e, f = energy_and_forces(potential, batch, level=level)
            e2, f2 = energy_and_forces(loaded, batch, level=level)
            assert torch.equal(e, e2)
            assert torch.equal(f, f2)

    def test_levels_have_their_own_heads(self) -> None:
        potential = self.make(levels=("a", "b"))
        batch = make_batch([random_structure(5)])
        e = [float(energy_and_forces(potential, batch, level=level)[0]) for level in "ab"]
        assert e[0] != e[1]
        assert float(energy_and_forces(potential, batch)[0]) == e[0]

    def test_depth_lists_every_parameter_once(self) -> None:
        potential = self.make()
        names = potential.depth()
        assert sorted(names) == sorted(name for name, _ in potential.named_parameters())
        assert names[0].startswith("embedding")
        assert names[-1].startswith("heads")

    def test_single_precision_keeps_total_energies(self) -> None:
        potential = self.make()
        structure = random_structure(9)
        batch = make_batch([structure])
        exact, _ = energy_and_forces(potential, batch)
        single = make_batch([(structure[0], structure[1].float())])
        rounded, _ = energy_and_forces(potential.float(), single)
        assert rounded.dtype == torch.float64
        assert abs(float(exact) - float(rounded)) < 1e-4
        assert potential.references.dtype == torch.float64
