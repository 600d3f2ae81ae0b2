"""Fits that diverged: the loss, the weights or what they predict is NaN or infinite."""

from __future__ import annotations

from ..diversity.errors import BreadthError
from .configuration import TrainingConfig


class DivergedError(BreadthError):
    """Loss, weights or predictions became NaN or infinite; a fit with equal options does so too."""


def divergence(config: TrainingConfig, update: int, loss: float | None = None) -> str:
    """Return what to tell of a fit that diverged.

    Parameters
    ----------
    config : TrainingConfig
    update : int
        Counted from 1.
    loss : float, optional
        Its loss, NaN or infinite; None where the weights after it are.
    """
    what = "weights are not finite after" if loss is None else f"the loss is {loss} at"
    return (
        f"Training diverged: {what} update {update} of {config.n_updates}. Lower `learning_rate` "
        f"(now {config.learning_rate}), or look for absurd labels in the training set."
    )
