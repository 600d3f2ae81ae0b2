"""The study of distribution shift and test-time refinement: what it is asked.

Protocol after Kreiman & Krishnapriyan, arXiv:2503.08674, with the controls that its claim needs:
the same model without test-time steps, a prior that says the opposite, the prior itself, a model
of what the prior lacks, fine-tuning on labels, and plain regularisation. Every method is compared
with the model that knows no prior, and reported on structures that were adapted on and on others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from ...training import TrainingConfig
from ...training.refinement import TestTimeConfig
from ..configuration import Section
from ..pooling import PoolSection

#: Every method, in the order of tables and figures. `fine_tune` becomes one for each number.
METHODS = (
    *("none", "weight_decay", "early_stopping", "joint", "pretrain_freeze"),
    *("radius", "radius_fraction", "radius_wasserstein", "radius_random_cutoff"),
    *("test_time", "test_time_frozen", "test_time_noisy_prior", "test_time_wrong_prior", "both"),
    *("delta", "prior", "fine_tune"),
)
#: What adds to each method: the method that it is without its step at test time.
BASES = {
    "radius": "none",
    "radius_fraction": "none",
    "radius_wasserstein": "none",
    "radius_random_cutoff": "random_cutoff",
    "test_time": "joint",
    "test_time_frozen": "pretrain_freeze",
    "test_time_noisy_prior": "joint",
    "test_time_wrong_prior": "joint",
    "both": "joint",
    "fine_tune": "none",
}


class ExperimentSection(Section):
    """What every experiment is asked beside its own."""

    methods: tuple[str, ...] | None = None
    """Methods of this experiment; those of the study by default."""
    training: dict[str, Any] = Field(default_factory=dict)
    """Keys of `training` that differ here."""
    n_structures: int = Field(20, ge=2)
    """Structures of each tested system: half are adapted on, half are not."""


class PoolsSection(ExperimentSection):
    """(i) Trained on small molecules of few elements, labels by the engine; one shift at a time."""

    pool: PoolSection = PoolSection()
    """Molecules, geometries and engine; its `n_molecules` are those that training draws from, and
    all that is tested comes on top."""
    priors: tuple[str, ...] = ("mmff94", "uff")
    """Cheap levels; the first is the prior of every method, the others are compared with it as
    joint_NAME and test_time_NAME."""
    n_trained: int = Field(60, ge=2)
    """Molecules that each replicate trains on."""
    n_conformers: int = Field(6, ge=1)
    """Conformers of each."""
    n_tested: int = Field(8, ge=2)
    """Tested molecules of each shift."""
    n_in_distribution: int = Field(20, ge=2)
    """Tested molecules of the kind trained on, by which failures and bounds are judged: a 95th
    percentile needs 20."""
    largest_trained: int = Field(8, ge=1)
    """Heavy atoms of the largest molecules trained on; larger ones are a shift."""
    new_elements: tuple[str, ...] = ("F",)
    """Elements of the shift `new_element`, which no training molecule has."""
    high_temperature: float = Field(1500.0, gt=0)
    """In K: displacements of the shift `high_force`, of which those are kept whose mean force norm
    lies more than one standard deviation above the training mean."""
    stretch: tuple[float, float] = (0.15, 0.45)
    """In Å: range by which one bond is stretched in every structure of the shift `stretched`."""


class Rmd17Section(ExperimentSection):
    """(ii) Trained on three molecules of revised MD17, tested on the other seven."""

    path: Path = Path("../shared/data/rmd17")
    """Folder of the files ``rmd17_NAME_train_01.npz`` and ``…_test_01.npz``."""
    prior: str = "gfn1"
    """Cheap level, computed here."""
    trained: tuple[str, ...] = ("benzene", "uracil", "aspirin")
    """Molecules of the first training set."""
    n_triples: int = Field(0, ge=0)
    """Training sets of three of the ten molecules, each with its own weights, in the place of
    replicates; the first is `trained`, the others are drawn by the seed. 0: `trained` alone, in
    replicates that differ in frames and weights."""
    tested: tuple[str, ...] = ("naphthalene", "toluene", "salicylic")
    """Tested molecules; with triples, and when empty, all that are not trained on."""
    n_trained: int = Field(200, ge=1, le=1000)
    """Frames of each training molecule, at most 1,000 as its owners ask."""
    level: str = "pbe-def2svp"
    """Name of the labels' level."""


class AcacSection(ExperimentSection):
    """(iii) Acetylacetone: trained at 300 K, tested at 600 K and on scans of energies alone."""

    path: Path = Path("../shared/data/acac")
    """Folder of ``train_300K.xyz``, ``test_MD_300K.xyz``, ``test_MD_600K.xyz`` and the scans."""
    prior: str = "gfn1"
    """Cheap level, computed here."""
    n_trained: int = Field(300, ge=1)
    """Frames trained on."""
    level: str = "pbe-d3-def2svp-uhf"
    """Name of the labels' level."""


class ModelsSection(ExperimentSection):
    """(iv) Every design and replicate of a finished trade-off study, scored and refined."""

    run: Path
    """Folder of the study."""
    n_tested: int = Field(6, ge=2)
    """Tested molecules of each of its hold-outs."""
    methods: tuple[str, ...] | None = ("none", "radius", "joint", "test_time", "both", "prior")
    n_structures: int = Field(10, ge=2)


class RadiusSection(Section):
    """Radius refinement."""

    form: Literal["padded", "fraction", "wasserstein"] = "padded"
    """Distance between spectra: the released form, the first one, or Wasserstein-1. The methods
    radius_fraction and radius_wasserstein have their own."""
    per: Literal["structure", "molecule"] = "molecule"
    """Whether each structure has its radius, or each molecule."""
    reach: tuple[float, float] = (0.9, 1.1)
    """Range of candidates in trained cutoffs; 0.6 to 1.8 are the released 3 … 9 Å at 5 Å. Those of
    the model of random cutoffs reach as far as it was trained."""
    n_radii: int = Field(10, ge=2)
    """Candidate radii beside the trained cutoff."""


class FineTuneSection(Section):
    """Fine-tuning on labelled structures of the tested system."""

    n: tuple[int, ...] = (1, 5, 20)
    """Numbers of labelled structures; those that the adapted half does not have are left out."""
    training: dict[str, Any] = Field(default_factory=dict)
    """Keys of the training that differ from the defaults of fine-tuning."""
    experiments: tuple[str, ...] = ("rmd17",)
    """Where it is done: it costs a fit for each system, number and replicate."""


class RegularisationSection(Section):
    """The arms that regularise without any prior."""

    weight_decay: float = Field(0.1, gt=0)
    """Weight decay of the arm of that name."""
    validation: float = Field(0.15, gt=0, lt=1)
    """Share of the training set that early stopping watches and does not train on."""
    patience: int = Field(3, ge=1)
    """Validation losses without a better one."""
    validate_every: int = Field(50, ge=1)
    """Updates between validation losses."""


class ShiftSection(Section):
    """Scores of shift, of every system from every training set."""

    features: str = "model"
    """What detectors and distances compare: the features of the model `none` of the same training
    set, or compact, soap or model:PATH."""
    measures: tuple[str, ...] = ()
    """All measures that can be had by default."""


class DynamicsSection(Section):
    """Langevin or NVE runs with the potentials."""

    systems: tuple[str, ...] = ("toluene", "naphthalene")
    """Names of tested systems."""
    methods: tuple[str, ...] = ("none", "joint", "test_time")
    """Of the methods that have a potential of their own."""
    ensemble: Literal["langevin", "nve"] = "langevin"
    temperature: float = Field(500.0, gt=0)
    """In K."""
    timestep: float = Field(0.5, gt=0)
    """In fs."""
    friction: float = Field(0.01, gt=0)
    """In 1/fs."""
    n_steps: int = Field(1000, ge=10)
    record_every: int = Field(10, ge=1)


class SurfacesSection(Section):
    """Energies over two eigenvectors of the Hessian at the labels' level."""

    n_systems: int = Field(2, ge=1)
    """Tested molecules of the pools, one of each shift in turn."""
    methods: tuple[str, ...] = ("none", "joint", "test_time")
    n_points: int = Field(11, ge=3)
    """Points along each axis."""
    extent: float = Field(0.6, gt=0)
    """In Å: largest displacement along each eigenvector."""


class RefinementConfiguration(Section):
    """All that a study of shift and refinement is asked."""

    seed: int = Field(0, ge=0)
    """Root of every random stream."""
    replicates: int = Field(3, ge=2)
    """Training sets of every experiment, each with its own weights; intervals need two."""
    pools: PoolsSection | None = PoolsSection()
    rmd17: Rmd17Section | None = None
    acac: AcacSection | None = None
    models: ModelsSection | None = None
    """With it, the other experiments are left out."""
    methods: tuple[str, ...] = METHODS
    """Methods that are compared; `none` is always there, and so is what a method builds on."""
    potential: dict[str, Any] = Field(default_factory=lambda: {"name": "factorised_painn"})
    """Name and hyper-parameters of the potential."""
    training: TrainingConfig = TrainingConfig()
    """How every model is fitted."""
    random_cutoff: tuple[float, float] | None = None
    """In Å: range of cutoffs of the model of random cutoffs; 0.5 Å about the cutoff by default."""
    prior_weight: float = Field(1.0, gt=0)
    """Weight of the prior's loss in joint training."""
    test_time: TestTimeConfig = TestTimeConfig()
    """Steps at test time; chosen outside the systems that are tested here."""
    noise: float = Field(1.0, ge=0)
    """Noise of the noisy prior, in root mean square forces."""
    radius: RadiusSection = RadiusSection()
    fine_tune: FineTuneSection = FineTuneSection()
    regularisation: RegularisationSection = RegularisationSection()
    shift: ShiftSection = ShiftSection()
    dynamics: DynamicsSection | None = None
    surfaces: SurfacesSection | None = None
    threads: int = Field(1, ge=1)
    """Threads of each worker process; part of the plan, since it can change last bits."""

    @model_validator(mode="after")
    def _feasible(self) -> RefinementConfiguration:
        if self.models is None and not (self.pools or self.rmd17 or self.acac):
            raise ValueError("one of pools, rmd17, acac and models is needed")
        for where, names in (
            ("methods", self.methods),
            *((f"{n}.methods", s.methods or ()) for n, s in self.experiments().items()),
        ):
            for name in names:
                if name not in METHODS:
                    raise ValueError(f"{where}: no method {name!r}; there are {', '.join(METHODS)}")
        return self

    def experiments(self) -> dict[str, ExperimentSection]:
        """Return the sections of the experiments that run, by name."""
        if self.models is not None:
            return {"models": self.models}
        sections = {"pools": self.pools, "rmd17": self.rmd17, "acac": self.acac}
        return {name: section for name, section in sections.items() if section is not None}

    def methods_of(self, experiment: str) -> tuple[str, ...]:
        """Return the methods of an experiment in their order, with what they build on."""
        asked = set(self.experiments()[experiment].methods or self.methods)
        if experiment not in self.fine_tune.experiments:
            asked.discard("fine_tune")
        asked |= {"none"} | {BASES[name] for name in asked if name in BASES}
        return tuple(name for name in ALL_METHODS if name in asked)

    def training_of(self, experiment: str) -> TrainingConfig:
        """Return how the models of an experiment are fitted."""
        changed = self.experiments()[experiment].training
        return TrainingConfig(**(self.training.model_dump() | changed))


#: With the models that are only built upon.
ALL_METHODS = (*METHODS[:5], "random_cutoff", *METHODS[5:])
