"""Low-rank changes of linear maps: what is learnt of W is W + B A, merged at the end.

E. Hu et al., LoRA, arXiv:2106.09685. A file that holds the result has plain weights.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..diversity.errors import ConfigurationError
from ..diversity.randomness import generator
from .potentials import Potential


class _Change(nn.Module):
    """W ↦ W + B A, with B = 0 in the beginning."""

    def __init__(self, down: Tensor, outward: int) -> None:
        super().__init__()
        self.down = nn.Parameter(down)
        self.up = nn.Parameter(down.new_zeros(outward, len(down)))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def linear_maps(potential: Potential) -> list[str]:
    """Return the names of the matrices of the representation; a table of elements is none."""
    tables = {
        id(m.weight) for m in potential.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)
    }
    found = []
    for name in potential.depth():
        weight = potential.get_parameter(name)
        if not name.startswith("heads.") and weight.ndim == 2 and id(weight) not in tables:
            found.append(name)
    return found


def attach(potential: Potential, rank: int, frozen: Collection[str], *, seed: int) -> set[str]:
    """Let linear maps of the representation move by a low rank, in place.

    Parameters
    ----------
    potential : Potential
    rank : int
        R ≥ 1; less for maps that are smaller.
    frozen : collection of str
        Names of parameters that stay as they are; among them, maps that get no change.
    seed : int
        Of A, which is drawn from a normal distribution of variance 1 / inputs.

    Returns
    -------
    set of str
        Names, as they are then, of all parameters but the changes and the heads that are not
        in `frozen`: what is frozen.

    Raises
    ------
    ConfigurationError
        If the rank is below 1, or there is no map to change.
    """
    if rank < 1:
        raise ConfigurationError(f"The rank of a change must be 1 or more, not {rank}.")
    maps = [name for name in linear_maps(potential) if name not in frozen]
    if not maps:
        raise ConfigurationError(
            f"{type(potential).__name__} has no linear map that a low rank could change: "
            "fine-tune all weights, the heads or the last layers."
        )
    changes = set()
    for name in maps:
        place, _, parameter = name.rpartition(".")
        module, weight = potential.get_submodule(place), potential.get_parameter(name)
        outward, inward = weight.shape
        size = (min(rank, inward, outward), inward)
        drawn = generator(seed, "low_rank", name).normal(scale=inward**-0.5, size=size)
        change = _Change(torch.as_tensor(drawn, dtype=weight.dtype, device=weight.device), outward)
        parametrize.register_parametrization(module, parameter, change)
        begin = f"{place}.parametrizations.{parameter}.0."
        changes |= {f"{begin}down", f"{begin}up"}
    names = {name for name, _ in potential.named_parameters() if not name.startswith("heads.")}
    return (names - changes) | set(frozen)


@torch.no_grad()
def merge(potential: Potential) -> None:
    """Add the changes to the maps, in place: the names are plain again."""
    for module in list(potential.modules()):
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
