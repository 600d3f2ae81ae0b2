"""The study of structural against conformational diversity: what it is asked and how it runs.

Protocol after Shenoy et al., arXiv:2311.00862, as far as that paper tells it; what it leaves open
is decided here: fixed budget N = M·C with M varied, fixed molecules with C varied, equal numbers
of updates in every cell, replicates that each draw their own molecules, conformers, initial
weights and order of data, and hold-outs along both axes that are drawn once.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ...training.trainer import TrainingConfig
from ..configuration import Section
from ..pooling import PoolSection
from ..specs import RANDOM, DesignSpec


class HoldOutSection(Section):
    """Sizes of the hold-outs, which are drawn once."""

    n_molecules: int = Field(40, ge=2)
    """Molecules in each of unseen_molecules, unseen_scaffolds and larger_molecules."""
    n_conformers: int = Field(10, ge=10)
    """Test conformers of every test molecule; conformational energies need 10."""
    n_own: int = Field(40, ge=2)
    """Most molecules of its own that a design is tested on, evenly along its order."""
    largest_trained: int = Field(8, ge=1)
    """Heavy atoms of the largest molecules that are trained on; larger ones are held out."""
    unseen_elements: tuple[str, ...] = ()
    """Elements that no training molecule has; their molecules become a hold-out."""
    high_forces: bool = True
    """Test also on those conformers of unseen molecules whose mean force norm lies more than one
    standard deviation above the mean of all training conformers."""


class FixedBudgetSection(Section):
    """N = M·C with M varied."""

    budget: int = Field(600, ge=2)
    """Labelled conformers of every design."""
    n_molecules: tuple[int, ...] = (20, 60, 150, 300)
    """Numbers of molecules M; C follows, differing by one where M does not divide the budget."""


class FixedMoleculesSection(Section):
    """The molecules stay, C varies."""

    n_molecules: int = Field(60, ge=1)
    """Molecules of every design."""
    n_conformers: tuple[int, ...] = (1, 2, 5, 10)
    """Conformers per molecule C."""


class GridSection(Section):
    """Every number of molecules with every number of conformers: what advice is fitted on."""

    n_molecules: tuple[int, ...] = (10, 20, 40, 80)
    """Numbers of molecules M."""
    n_conformers: tuple[int, ...] = (1, 2, 4, 8)
    """Conformers per molecule C."""


class SelectorSection(Section):
    """Selectors against random choice along each axis, at the same counts."""

    n_molecules: int = Field(60, ge=2)
    """Molecules of every design."""
    n_conformers: int = Field(5, ge=1)
    """Conformers of each molecule."""
    molecules: tuple[str, ...] = (
        *("random", "scaffold", "butina", "maxmin"),
        *("fps", "kmedoids", "direct"),
    )
    """Selectors of molecules, of which conformers are drawn at random; random is always there."""
    conformers: tuple[str, ...] = ("random", "fps", "kmedoids", "minima", "boltzmann")
    """Selectors of each molecule's conformers; the molecules are drawn at random."""
    descriptor: str = "compact"
    """What selectors compare geometries by: compact, soap or model:PATH."""
    charge_labels: bool = False
    """Let selectors read reference labels of all that they choose from; these are then computed
    and counted as labels that the design costs. Otherwise they read the prior's."""


class TradeoffConfiguration(Section):
    """All that a study of structural against conformational diversity is asked."""

    seed: int = Field(0, ge=0)
    """Root of every random stream."""
    replicates: int = Field(3, ge=2)
    """Independent repeats of every design; intervals need two."""
    pool: PoolSection = PoolSection()
    hold_outs: HoldOutSection = HoldOutSection()
    fixed_budget: FixedBudgetSection | None = FixedBudgetSection()
    fixed_molecules: FixedMoleculesSection | None = FixedMoleculesSection()
    grid: GridSection | None = None
    selectors: SelectorSection | None = None
    potential: dict[str, Any] = Field(default_factory=lambda: {"name": "factorised_painn"})
    """Name and hyper-parameters of the potential."""
    training: TrainingConfig = TrainingConfig()
    """The same number of updates in every cell; a quarter of it for the check."""
    stack: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Models of equal shape that are trained at once; part of the plan, since it can change last
    bits. 'auto' is one on a CPU, where more win nothing, and what fits into the memory of a GPU
    where there is one when the plan is made."""
    n_monitor: int = Field(64, ge=1)
    """Hold-out conformers on which the training curves are drawn; they choose nothing."""
    threads: int = Field(1, ge=1)
    """Threads of each worker process; part of the plan, since it can change last bits."""

    @model_validator(mode="after")
    def _feasible(self) -> TradeoffConfiguration:
        if not any((self.fixed_budget, self.fixed_molecules, self.grid, self.selectors)):
            raise ValueError("one of fixed_budget, fixed_molecules, grid and selectors is needed")
        if self.training.patience:
            raise ValueError(
                "training.patience: early stopping would give designs unequal numbers of updates"
            )
        for experiment, section, sizes in (
            ("fixed_budget", self.fixed_budget, getattr(self.fixed_budget, "n_molecules", ())),
            (
                "fixed_molecules",
                self.fixed_molecules,
                getattr(self.fixed_molecules, "n_conformers", ()),
            ),
        ):
            if section is not None and len(set(sizes)) < 2:
                raise ValueError(f"{experiment} needs at least two different designs")
        if self.grid is not None:
            for axis in ("n_molecules", "n_conformers"):
                sizes = getattr(self.grid, axis)
                if len(set(sizes)) < 2 or min(sizes) < 1:
                    raise ValueError(f"grid.{axis} needs at least two different numbers from 1 on")
        if self.selectors is not None and not self._selected():
            raise ValueError("selectors: name a selector of molecules or conformers beside random")
        if self.fixed_budget is not None:
            budget = self.fixed_budget.budget
            shared = {spec.cell for spec in self.designs() if spec.experiment != "fixed_budget"}
            for spec in self.designs():
                m, c = spec.n_molecules, spec.n_conformers
                if spec.experiment == "fixed_budget" and budget % m and spec.cell in shared:
                    raise ValueError(
                        f"{m} molecules do not divide the budget of {budget}, so two designs of "
                        f"{m} × {c} would differ; change one of the numbers"
                    )
        return self

    @property
    def models_at_once(self) -> int:
        """Models of equal shape that are trained at once; in a plan 'auto' is one."""
        return 1 if self.stack == "auto" else self.stack

    def designs(self) -> list[DesignSpec]:
        """Return every design, experiment by experiment."""
        rows: list[DesignSpec] = []
        if self.fixed_budget is not None:
            budget = self.fixed_budget.budget
            sizes = sorted(set(self.fixed_budget.n_molecules))
            rows += [DesignSpec("fixed_budget", m, max(1, round(budget / m))) for m in sizes]
        if self.fixed_molecules is not None:
            m = self.fixed_molecules.n_molecules
            rows += [
                DesignSpec("fixed_molecules", m, c)
                for c in sorted(set(self.fixed_molecules.n_conformers))
            ]
        if self.grid is not None:
            rows += [
                DesignSpec("grid", m, c)
                for m in sorted(set(self.grid.n_molecules))
                for c in sorted(set(self.grid.n_conformers))
            ]
        return rows + self._selected()

    def _selected(self) -> list[DesignSpec]:
        """Return the designs that compare selectors, random first; an axis without any has none."""
        asked = self.selectors
        if asked is None:
            return []
        counts = asked.n_molecules, asked.n_conformers
        by_molecule = list(dict.fromkeys((RANDOM, *asked.molecules)))
        by_conformer = list(dict.fromkeys((RANDOM, *asked.conformers)))
        rows: list[DesignSpec] = []
        if len(by_molecule) > 1:
            rows += [DesignSpec("molecule_selectors", *counts, name) for name in by_molecule]
        if len(by_conformer) > 1:
            rows += [
                DesignSpec("conformer_selectors", *counts, RANDOM, name) for name in by_conformer
            ]
        return rows
