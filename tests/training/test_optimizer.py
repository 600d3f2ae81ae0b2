"""What a gradient does to the weights, against torch's own optimizers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from breadth.training import TrainingConfig, build_potential, fit
from breadth.training.configuration import learning_rate
from breadth.training.optimizer import Descent, StepState, matrices_of, orthogonal, rates
from breadth.training.state import TrainingState

SMALL = {"name": "painn", "n_features": 16, "n_layers": 1, "n_basis": 6}
CONFIGS = {
    name: TrainingConfig(
        optimizer=name, n_updates=12, learning_rate=0.02, weight_decay=0.1, device="cpu"
    )
    for name in ("adamw", "muon")
}


def gradients(n: int, updates: int) -> list[torch.Tensor]:
    """Return gradients of which some are clipped."""
    drawn = torch.Generator().manual_seed(1)
    return [u * torch.randn(n, generator=drawn) / n**0.5 for u in range(1, updates + 1)]


@pytest.mark.parametrize("shape", [(16, 16), (48, 16), (6, 40), (3, 20, 8)])
def test_singular_values_come_near_one_and_directions_stay(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, _, v = torch.linalg.svd(x, full_matrices=False)
    found = u.mT @ orthogonal(x) @ v.mT
    sizes = found.diagonal(dim1=-2, dim2=-1)
    assert 0.6 < sizes.min()
    assert sizes.max() < 1.3
    assert (found - torch.diag_embed(sizes)).abs().max() < 1e-10
    assert torch.equal(orthogonal(torch.zeros(shape)), torch.zeros(shape))


def test_muon_moves_maps_between_features_and_nothing_else():
    potential = build_potential(**SMALL)
    names = matrices_of(potential)
    assert {"heads.0.0.weight", "messages.0.filters.weight", "updates.0.mix.weight"} <= names
    others = {n for n, _ in potential.named_parameters()} - names
    assert {"embedding.weight", "heads.0.2.weight", "heads.0.0.bias"} <= others
    plain = Descent(potential, CONFIGS["adamw"])
    assert plain.names == tuple(n for n, _ in potential.named_parameters())
    assert plain.n_adamw == sum(p.numel() for p in potential.parameters())


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_updates_are_those_of_torch(name):
    config, frozen = CONFIGS[name], ("embedding.weight",)
    state = TrainingState(build_potential(**SMALL), config, frozen)
    peer = build_potential(**SMALL)
    peer.load_state_dict(state.potential.state_dict())
    matrices = matrices_of(peer) if name == "muon" else frozenset()
    moving = {n: p for n, p in peer.named_parameters() if n not in frozen}
    optimizers = [torch.optim.AdamW([p for n, p in moving.items() if n not in matrices])]
    if matrices:
        optimizers.append(
            torch.optim.Muon(
                [moving[n] for n in matrices], momentum=0.95, adjust_lr_fn="match_rms_adamw"
            )
        )
    before = {n: p.detach().clone() for n, p in moving.items()}
    descent = Descent(peer, config, frozen)
    for update, gradient in enumerate(gradients(len(state.mean), config.n_updates)):
        for n, own in descent.named(gradient.clone()).items():
            moving[n].grad = own
        torch.nn.utils.clip_grad_norm_(moving.values(), config.clip)
        for optimizer in optimizers:
            (group,) = optimizer.param_groups
            group.update(lr=learning_rate(config, update), weight_decay=config.weight_decay)
            optimizer.step()
        state.apply(gradient)
    for n, theirs in moving.items():
        moved = (theirs - before[n]).norm()
        # Torch orthogonalises in bfloat16.
        bound = 0.03 if n in matrices else 1e-5
        assert moved > 0
        assert (state.potential.get_parameter(n) - theirs).norm() < bound * moved
    assert torch.equal(state.potential.embedding.weight, peer.embedding.weight)


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_the_pure_update_is_the_one_in_place(name):
    potential, config = build_potential(**SMALL).double(), CONFIGS[name]
    descent = Descent(potential, config, ("embedding.weight",))
    weights = descent.flat(potential)
    pure = StepState(weights, weights.clone(), *torch.zeros(2, len(weights)).to(weights).unbind())
    changed = StepState(*(x.clone() for x in pure))
    for update, gradient in enumerate(gradients(len(weights), config.n_updates)):
        pure = descent(pure, gradient.double(), rates(config, update))
        descent.change(changed, gradient.double(), update)
    for one, other in zip(pure, changed, strict=True):
        # Rates are single precision in the pure form.
        assert torch.allclose(one, other, rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_a_fit_resumes_to_the_same_bits(toy, tmp_path, name):
    config = CONFIGS[name].model_copy(update={"checkpoint_every": 5})
    options = {"level": "springs", "train": np.arange(12), "seed": 3}

    def stop(update: int, n_updates: int, loss: float) -> None:
        if update == 7:
            raise KeyboardInterrupt

    whole = fit(SMALL, toy, config=config, **options)
    with pytest.raises(KeyboardInterrupt):
        fit(SMALL, toy, config=config, directory=tmp_path, progress=stop, **options)
    again = fit(SMALL, toy, config=config, directory=tmp_path, **options)
    assert np.array_equal(whole.history["loss"], again.history["loss"])
    for one, other in zip(whole.potential.parameters(), again.potential.parameters(), strict=True):
        assert torch.equal(one, other)
