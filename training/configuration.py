"""How a potential is fitted: the options, and what follows from them alone."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from ..diversity.errors import ConfigurationError


class TrainingConfig(BaseModel):
    """How a potential is fitted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_updates: int = Field(8000, ge=1, description="Gradient updates; not epochs.")
    batch_size: int = Field(16, ge=1, description="Structures per update.")
    optimizer: Literal["adamw", "muon"] = Field(
        "muon",
        description="'muon' moves weight matrices by orthogonalised momentum and all else by "
        "AdamW; 'adamw' moves everything by it.",
    )
    learning_rate: float = Field(6e-3, gt=0, description="Highest learning rate.")
    weight_decay: float = Field(1e-4, ge=0, description="Decoupled weight decay.")
    warmup: float = Field(
        0.05, ge=0, le=1, description="Share of the updates in which the learning rate rises."
    )
    schedule: Literal["cosine", "constant"] = Field(
        "cosine",
        description="'cosine' falls to zero after the warm-up; 'constant' holds the rate and "
        "falls linearly to zero in the last share `decay` of the updates.",
    )
    decay: float = Field(
        0.3, ge=0, le=1, description="Share of the updates in which 'constant' falls."
    )
    energy_weight: float = Field(
        0.3,
        ge=0,
        description="Weight of the mean over structures of |ΔE| / (√N σ); σ is the root mean "
        "square force component of the training set (times 1 Å), N the number of atoms.",
    )
    force_weight: float = Field(1.0, ge=0, description="Weight of the mean over atoms of ‖ΔF‖ / σ.")
    ema_decay: float = Field(
        0.995, ge=0, lt=1, description="Decay of the running mean of weights that is kept."
    )
    clip: float = Field(5.0, gt=0, description="Largest norm of the gradient.")
    relative_energies: bool = Field(
        False,
        description="Accept compositions that do not determine reference energies; only forces "
        "and conformational energies mean anything then.",
    )
    shrinkage: float = Field(
        1.0, gt=0, description="Pull of reference energies towards isolated atoms."
    )
    validate_every: int = Field(
        200, ge=1, description="Updates between validation losses, where there is validation data."
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="Stop after so many validation losses without a better one and keep the best "
        "weights; None never stops early.",
    )
    random_cutoff: tuple[float, float] | None = Field(
        None,
        description="Range in Å from which each update draws its cutoff (arXiv:2603.10205), so "
        "that the potential can be used at any radius in it; None trains at its own cutoff alone.",
    )
    checkpoint_every: int = Field(
        1000, ge=1, description="Updates between checkpoints, where there is a folder for them."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="'auto' is CUDA where there is one."
    )
    compile: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Whether an update is compiled as one graph. 'auto' is where that is expected "
        "to pay back within the fit: on CUDA for long fits, on a CPU not. The numbers of both "
        "forms agree to rounding.",
    )

    @field_validator("random_cutoff")
    @classmethod
    def _is_range(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not 0 < value[0] <= value[1] < math.inf:
            raise ValueError(f"the lower end comes first and is above 0 Å, unlike {value}")
        return value

    @model_serializer(mode="wrap")
    def _as_ever(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Fits without these options keep the keys and fingerprints that they had before them.
        content = write(self)
        if self.random_cutoff is None:
            content.pop("random_cutoff", None)
        if self.compile == "auto":
            content.pop("compile", None)
        return content


def choose_device(name: str) -> torch.device:
    """Return the device of a name; 'auto' is CUDA where there is one."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("The device 'cuda' was asked for, but there is no CUDA device.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def learning_rate(config: TrainingConfig, update: int) -> float:
    """Return the learning rate of an update, counted from 0."""
    rising = max(1, round(config.warmup * config.n_updates))
    if update < rising:
        return config.learning_rate * (update + 1) / rising
    if config.schedule == "cosine":
        done = (update - rising) / max(1, config.n_updates - rising)
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
    falling = max(1, round(config.decay * config.n_updates))
    return config.learning_rate * min(1.0, (config.n_updates - update) / falling)
