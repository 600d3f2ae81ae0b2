"""What one wing needs another to do, as types; only ``studies.registry`` fills them."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np

    from .conformers import ConformerSet, Labels


class SetAside(NamedTuple):
    """A record that was left out, and why.

    Attributes
    ----------
    record : str
        Names the record: a conformer id, a molecule's name, or file and frame.
    reason : str
        A short fixed phrase, so that reasons can be counted; details follow a colon.
    """

    record: str
    reason: str


@runtime_checkable
class LabelEngine(Protocol):
    """Computes labels at one level of theory.

    A conformer that fails is no error: its mask is False and ``Labels.faults`` says why.
    """

    @property
    def name(self) -> str:
        """The level of theory."""
        ...

    def __call__(self, conformers: ConformerSet) -> Labels:
        """Return the labels of all conformers, in their order."""
        ...


@runtime_checkable
class Featurizer(Protocol):
    """Turns conformers into per-atom or per-structure feature rows, a chunk at a time."""

    def iter_features(
        self, conformers: ConformerSet, chunk: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield ``(X, offsets)``: rows of features and where each conformer's begin."""
        ...


class Verdict(Enum):
    """What an observer tells a running simulation."""

    CONTINUE = "continue"
    STOP = "stop"
    ASK = "ask"


class Observer(Protocol):
    """Watches the frames of a running simulation (an ``ase.Atoms`` each)."""

    def __call__(self, frame: Any) -> Verdict:
        """Judge one frame."""
        ...
