"""The study of universal potentials, fine-tuned in dynamics: what it is asked.

Protocol after Wong & Yang, arXiv:2603.10159, whose arms differ in how frames are generated, with
what its comparison needs: equal frames, labels, simulated time and spacing in every arm, several
replicates of the dynamics itself, and an arm whose frames are chosen by how far outside they lie.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from ...sampling.dynamics import DynamicsSettings
from ..configuration import Section
from .released_frames import ReleasedSection

#: How frames are generated.
Arm = Literal["naive", "periodic", "nonperiodic", "chosen"]
#: Every arm, in the order of tables and figures.
ARMS: tuple[Arm, ...] = ("naive", "periodic", "nonperiodic", "chosen")


class SystemSection(Section):
    """What is simulated."""

    smiles: str = "CC(N)C(=O)O"
    """One flexible molecule; its charge and spin as written."""
    path: Path | None = None
    """A file of structures instead, such as one cell of a liquid; the first one is the start."""
    name: str = ""
    """What tables and figures call it; the SMILES or the file by default."""


class RunSection(Section):
    """Langevin dynamics of one iteration."""

    temperature: float = Field(300.0, gt=0)
    """In K."""
    timestep: float = Field(0.5, gt=0)
    """In fs."""
    friction: float = Field(0.01, gt=0)
    """In 1/fs."""
    n_steps: int = Field(4000, ge=4)
    """Steps of an iteration, in every arm; frames are taken from its second half."""
    record_every: int = Field(20, ge=1)
    """Steps between frames that are kept, and of which frames are taken."""

    def settings(self, **changed: Any) -> DynamicsSettings:
        """Return these settings, with changes."""
        return DynamicsSettings(ensemble="langevin", **(self.model_dump() | changed))


class TestSection(Section):
    """What every model is tested on; nothing of it is ever trained on."""

    n_steps: int = Field(2000, ge=4)
    """Steps of every model's own run."""
    n_frames: int = Field(20, ge=2)
    """Frames of a run that are labelled, evenly from its second half."""
    independent_steps: int = Field(2000, ge=4)
    """Steps of each run at the level of the labels."""
    independent_runs: int = Field(2, ge=1)
    """Such runs, each with its own velocities, from one minimum after another."""
    independent_temperature: float = Field(500.0, gt=0)
    """In K."""


class OriginalDomainSection(Section):
    """Other molecules, on which the untouched universal model is the reference."""

    n_molecules: int = Field(20, ge=2)
    """Drawn by the seed."""
    n_conformers: int = Field(2, ge=1)
    """Minima displaced along normal modes, of each."""
    molecules: Path | None = None
    """As of the other studies: a SMILES file; the bundled 2,000 of QM9 when empty."""


class FineTuningSection(Section):
    """How every model is fine-tuned, always from the universal one, on the cumulative set."""

    what: str = "all"
    """Which weights learn: all, heads, last:N, low_rank:R."""
    training: dict[str, Any] = Field(default_factory=dict)
    """Keys of the training that differ from the defaults of fine-tuning."""
    replay: int = Field(0, ge=0)
    """Structures of the original distribution that are learnt beside, with the universal model's
    own predictions as labels; other molecules than those that forgetting is measured on. 0: none.
    """


class FinetuningConfiguration(Section):
    """All that a study of fine-tuning in dynamics is asked."""

    seed: int = Field(0, ge=0)
    """Root of every random stream."""
    replicates: int = Field(3, ge=1)
    """Of the dynamics: velocities and noise of all runs, and the order of data. Intervals need two.
    """
    arms: tuple[Arm, ...] = ARMS
    """How frames are generated. naive: parallel runs of the universal model, one more in each
    iteration. periodic: a run of the model of the last iteration. nonperiodic: one long run of the
    universal model. chosen: the frames that lie farthest outside, by Q, of those that the naive
    runs visited."""
    potential: str = "so3lr"
    """The universal model: its name, or the folder of a potential."""
    engine: str = "gfn2"
    """Level of theory of the labels; or model:NAME_OR_FOLDER, another potential as the teacher."""
    n_frames: tuple[int, ...] = (10, 20, 30)
    """Frames of the cumulative set in each iteration."""
    system: SystemSection = SystemSection()
    dynamics: RunSection = RunSection()
    test: TestSection = TestSection()
    original_domain: OriginalDomainSection = OriginalDomainSection()
    fine_tuning: FineTuningSection = FineTuningSection()
    released: ReleasedSection | None = None
    """With it, arms are released files: no dynamics is run, and what it needs is not read."""
    descriptor: str = "soap"
    """Features of which Q-residuals are taken: soap, compact or model:NAME_OR_FOLDER."""
    n_components: int = Field(5, ge=1)
    """Principal components of the Q-residuals."""
    threads: int = Field(1, ge=1)
    """Threads of each worker process; part of the plan, since it can change last bits."""

    @model_validator(mode="after")
    def _feasible(self) -> FinetuningConfiguration:
        if not self.arms or len(set(self.arms)) < len(self.arms):
            raise ValueError(f"arms: {self.arms}: one or more, each once")
        if self.released is not None and self.fine_tuning.replay:
            raise ValueError("fine_tuning.replay: none with released sets")
        if not self.n_frames or any(n < 1 for n in self.added()):
            raise ValueError(f"n_frames: {self.n_frames}: sizes of sets that grow are needed")
        half = self.dynamics.n_steps // (2 * self.dynamics.record_every)
        if half < max(self.added()):
            raise ValueError(
                f"n_frames: {max(self.added())} frames of one iteration, whose second half has "
                f"{half}; raise dynamics.n_steps or lower dynamics.record_every"
            )
        if self.test.n_steps // (2 * self.dynamics.record_every) < self.test.n_frames:
            raise ValueError("test.n_frames: more than the second half of test.n_steps has")
        return self

    def added(self) -> list[int]:
        """Return how many frames each iteration adds."""
        return [b - a for a, b in zip((0, *self.n_frames), self.n_frames, strict=False)]
