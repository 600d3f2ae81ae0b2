"""What every potential must keep, as a test class to inherit.

    class TestMine(PotentialContract):
        def build(self, levels):
            return Mine(cutoff=4.0, n_features=16, levels=levels)

All checks run in double precision on small random molecules, unless they are about precision.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ..diversity.errors import ConfigurationError
from .batches import Batch, Targets, half_list, neighbours
from .checkpoints import load_potential, save_potential
from .configuration import TrainingConfig
from .potentials import Potential, energy_and_forces, energy_forces_stress
from .stacks.state import StackTensors
from .stacks.updates import stacked_step
from .updates.compilation import one_graph
from .updates.step import StepState, pure_step, rates, rest_of


def random_structure(n_atoms: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return numbers (n,) and positions (n, 3) of a blob of H, C, N, O, no two nearer than 0.9 Å.

    Examples
    --------
    >>> numbers, positions = random_structure(5)
    >>> tuple(positions.shape)
    (5, 3)
    """
    rng = np.random.default_rng(seed)
    places: list[np.ndarray] = []
    while len(places) < n_atoms:
        place = rng.normal(scale=0.9 * n_atoms ** (1 / 3), size=3)
        if all(np.linalg.norm(place - other) > 0.9 for other in places):
            places.append(place)
    numbers = rng.choice([1, 6, 7, 8], size=n_atoms)
    return torch.tensor(numbers), torch.tensor(np.array(places))


def make_batch(
    structures: Sequence[tuple[Tensor, Tensor]],
    *,
    cells: Sequence[Tensor] | None = None,
    padding: int = 0,
) -> Batch:
    """Return a batch of structures, periodic in three directions where cells are given."""
    b, n = len(structures), max(len(z) for z, _ in structures) + padding
    dtype = structures[0][1].dtype
    numbers = torch.zeros(b, n, dtype=torch.int64)
    positions = torch.zeros(b, n, 3, dtype=dtype)
    for row, (z, x) in enumerate(structures):
        numbers[row, : len(z)] = z
        positions[row, : len(z)] = x
    periodic = cells is not None
    return Batch(
        numbers=numbers,
        positions=positions,
        mask=numbers > 0,
        cell=torch.stack(list(cells)) if cells else torch.zeros(b, 3, 3, dtype=dtype),
        pbc=torch.full((b, 3), periodic),
        charge=torch.zeros(b, dtype=dtype),
        periodic=periodic,
    )


def _rotation(seed: int) -> Tensor:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return torch.tensor(q * np.sign(np.linalg.det(q)))


class PotentialContract(ABC):
    """Inherit, and say in `build` how a small potential with random weights is made."""

    @abstractmethod
    def build(self, levels: Sequence[str] = ("default",)) -> Potential:
        """Return a fresh potential; the random state is set before."""

    def make(self, seed: int = 0, levels: Sequence[str] = ("default",)) -> Potential:
        """Return a potential in double precision with scale and reference energies that count."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            potential = self.build(levels).double().eval()
        for i, level in enumerate(levels):
            potential.set_level(
                level,
                references={1: -13.6 - i, 6: -1028.0, 7: -1483.0, 8: -2041.0},
                scale=1.5 + i,
                anchored=[1, 6, 7, 8],
            )
        return potential

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

    def test_a_loss_on_forces_has_one_gradient(self) -> None:
        """By what is fastest here, and by tensor operations alone."""
        potential = self.make()
        batch = make_batch([random_structure(n, seed=n) for n in (9, 1, 5)], padding=2)
        own = dict(potential.named_parameters())
        rest = dict(potential.named_buffers())

        def loss(energies: Tensor, forces: Tensor) -> Tensor:
            return energies.square().sum() + forces.square().sum()

        found = torch.autograd.grad(
            loss(*energy_and_forces(potential, batch, differentiable=True)),
            list(own.values()),
            materialize_grads=True,
        )

        def pure(parameters: dict[str, Tensor]) -> Tensor:
            return loss(*energy_and_forces(potential, batch, parameters={**rest, **parameters}))

        expected = torch.func.grad(pure)({k: v.detach() for k, v in own.items()})
        for gradient, other in zip(found, expected.values(), strict=True):
            torch.testing.assert_close(gradient, other, rtol=1e-8, atol=1e-9)

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

    def test_stacked_equals_alone(self) -> None:
        potentials = [self.make(seed) for seed in (0, 1)]
        stacked = {
            name: torch.stack([dict(_tensors(p))[name] for p in potentials])
            for name, _ in _tensors(potentials[0])
        }
        batch = make_batch([random_structure(n, seed=n) for n in (8, 5)])
        energies, forces = torch.func.vmap(
            lambda parameters: energy_and_forces(potentials[0], batch, parameters=parameters)
        )(stacked)
        for row, potential in enumerate(potentials):
            e, f = energy_and_forces(potential, batch)
            torch.testing.assert_close(energies[row], e, rtol=0, atol=1e-8)
            torch.testing.assert_close(forces[row], f, rtol=0, atol=1e-9)

    def test_stacked_updates_equal_those_alone(self) -> None:
        potentials = [self.make(seed) for seed in (0, 1)]
        potentials[1].set_level(
            "default", references={1: -13.0, 6: -1020.0, 7: -1480.0, 8: -2040.0}, scale=0.7,
            anchored=[1, 6],
        )  # fmt: skip
        sizes = ((7, 5), (4, 6))
        config = TrainingConfig(learning_rate=1e-3, weight_decay=0.1, ema_decay=0.5, device="cpu")
        step = pure_step(potentials[0], "default", config)
        states = [_first_state(potential) for potential in potentials]
        # A member that does not move stays as it is, whatever the others do.
        still = _first_state(self.make(2))
        parts = [torch.stack(own) for own in zip(*states, still, strict=True)]
        moving = torch.tensor([True, True, False])
        stack = StackTensors(*parts, moving, torch.zeros(3, dtype=torch.int64))  # type: ignore[call-arg]
        rests = [rest_of(potential) for potential in (*potentials, potentials[0])]
        rest = {name: torch.stack([own[name] for own in rests]) for name in rests[0]}
        structures = [[random_structure(n, seed=n) for n in own] for own in (*sizes, sizes[0])]
        together = make_batch([one for own in structures for one in own])
        for update in range(3):
            now = rates(config, update)
            stack, losses = stacked_step(step)(stack, rest, together, _targets(together), now)
            for row, (state, own) in enumerate(zip(states, structures[:-1], strict=True)):
                batch = make_batch(own)
                targets = _targets(batch)
                states[row], loss = step(state, rest_of(potentials[row]), batch, targets, now)
                torch.testing.assert_close(losses[row], loss, rtol=1e-10, atol=0)
        for row, (state, potential) in enumerate(zip(states, potentials, strict=True)):
            assert not torch.equal(state.weights, _first_state(potential).weights)
            for mine, alone in zip(stack, state, strict=False):
                torch.testing.assert_close(mine[row], alone, rtol=0, atol=1e-8)
        for mine, before in zip(stack, still, strict=False):
            assert torch.equal(mine[-1], before)
        assert stack.done.tolist() == [3, 3, 0]

    def test_an_update_is_one_graph(self) -> None:
        potential = self.make()
        config = TrainingConfig(device="cpu")
        step = pure_step(potential, "default", config)
        batch = make_batch([random_structure(n, seed=n) for n in (7, 4)])
        given = (rest_of(potential), batch, _targets(batch), rates(config, 0))
        captured = one_graph(step, "eager")(_first_state(potential), *given)
        plain = step(_first_state(potential), *given)
        torch.testing.assert_close(captured, plain, rtol=1e-9, atol=1e-9)

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


class PretrainedContract(PotentialContract):
    """What of the contract applies to universal potentials, whose cutoff and weights are given.

    Their long-range terms reach beyond the cutoff, and they can neither be stacked nor compiled:
    neighbours are lists whose lengths hang on the data.
    """

    test_smooth_at_the_cutoff = None  # type: ignore[assignment]
    test_layouts_agree = None  # type: ignore[assignment]
    test_stacked_equals_alone = None  # type: ignore[assignment]
    test_stacked_updates_equal_those_alone = None  # type: ignore[assignment]
    test_an_update_is_one_graph = None  # type: ignore[assignment]
    test_a_smaller_cutoff_is_smooth_too = None  # type: ignore[assignment]

    def test_only_its_own_cutoff(self) -> None:
        potential = self.make()
        batch = make_batch([random_structure(3)])
        same = energy_and_forces(potential, batch, potential.cutoff)
        torch.testing.assert_close(same, energy_and_forces(potential, batch), rtol=0, atol=0)
        with pytest.raises(ConfigurationError, match="cutoff"):
            potential.atomic(batch, potential.cutoff - 0.5)

    def test_levels_begin_with_the_pretrained_readout(self) -> None:
        with torch.random.fork_rng(devices=[]):
            own = self.build().__class__.own_level  # type: ignore[attr-defined]
            potential = self.build((own, "another")).double().eval()
        assert not potential.seen[1].any()
        batch = make_batch([random_structure(6)])
        e, f = energy_and_forces(potential, batch, level=own, references=False)
        e2, f2 = energy_and_forces(potential, batch, level="another", references=False)
        torch.testing.assert_close((e, f), (e2, f2), rtol=0, atol=0)
        heads = [[p for _, p in head.named_parameters()] for head in potential.heads]
        assert all(a.data_ptr() != b.data_ptr() for a, b in zip(*heads, strict=True))

    def test_forces_are_differentiable_in_the_weights(self) -> None:
        potential = self.make()
        batch = make_batch([random_structure(6), random_structure(4, seed=1)])
        weight = next(p for n, p in potential.named_parameters() if n.startswith("heads.0."))
        direction = torch.randn_like(weight, generator=torch.Generator().manual_seed(0))

        def loss() -> Tensor:
            e, f = energy_and_forces(potential, batch, references=False, differentiable=True)
            return f.square().sum() + e.square().sum()

        def moved(step: float) -> float:
            with torch.no_grad():
                weight.add_(direction, alpha=step)
            return float(loss().detach())

        (gradient,) = torch.autograd.grad(loss(), weight)
        h = 1e-5
        numeric = (moved(h) - moved(-2 * h)) / (2 * h)
        exact = float((gradient * direction).sum())
        assert abs(exact) > 1e-3
        assert abs(exact - numeric) < 1e-4 * abs(exact)


def _tensors(potential: Potential) -> list[tuple[str, Tensor]]:
    return [*potential.named_parameters(), *potential.named_buffers()]


def _first_state(potential: Potential) -> StepState:
    weights = torch.cat([p.detach().flatten() for p in potential.parameters()])
    return StepState(weights, weights.clone(), *torch.zeros(2, len(weights)).to(weights).unbind())


def _targets(batch: Batch) -> Targets:
    """Return labels that a potential must learn: of springs to the origin, E = Σ x²/2 − 1000 eV."""
    n = len(batch.numbers)
    there = batch.mask[..., None]
    return Targets(
        energy=(batch.positions.square() * there).sum((1, 2)).double() / 2 - 1000.0,
        forces=-batch.positions * there,
        has_energy=torch.ones(n, dtype=torch.bool),
        has_forces=torch.ones(n, dtype=torch.bool),
        molecule=torch.zeros(n, dtype=torch.int64),
    )
