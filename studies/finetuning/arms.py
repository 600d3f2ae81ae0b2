"""The arms of a study as units: runs, labelled frames, fits, test runs and evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ...sampling.dynamics import DynamicsSettings
from ..units import Unit
from .evaluating import evaluated_unit
from .exploring import INDEPENDENT, TEST, exploration_unit
from .fits import fit_unit
from .question import FinetuningConfiguration
from .starting import original_unit, replicate_seed, start_unit, tuning_of, universal_of
from .visited import visited_unit

#: Seconds of one core, measured on 13 atoms: a step with SO3LR and with GFN2-xTB, an update of
#: fine-tuning per structure of a batch, an evaluation, a label.
SECONDS = {"step": 0.013, "reference": 0.005, "update": 0.012, "evaluated": 5.0, "label": 0.005}
#: Name of the model before any iteration, and of the runs at the level of the labels.
UNIVERSAL, REFERENCE = "universal", "independent"


class Place(NamedTuple):
    """What a model or a run is of: an arm, an iteration from 1 on, a replicate."""

    arm: str
    iteration: int
    replicate: int


@dataclass
class Work:
    """All units of a study.

    Parameters
    ----------
    start, others : Unit
        Start geometries; molecules of the original domain.
    added : dict of Place to Unit
        Frames that an iteration adds to the set of its arm, labelled. The first are those of all
        arms.
    fits, evaluated : dict of Place to Unit
        Models and evaluations; the universal model's is of `Place("universal", 0, -1)`.
    runs, tests : dict of Place to Unit
        Every model's own run, and its labelled frames; the universal model has one run in each
        replicate; runs at the level of the labels are of `Place("independent", run, -1)`.
    explored : list of Unit
        Runs from which training frames come.
    costs : dict of str to float
        Estimated seconds of one core, by key.
    """

    start: Unit
    others: Unit
    added: dict[Place, Unit] = field(default_factory=dict)
    fits: dict[Place, Unit] = field(default_factory=dict)
    runs: dict[Place, Unit] = field(default_factory=dict)
    tests: dict[Place, Unit] = field(default_factory=dict)
    evaluated: dict[Place, Unit] = field(default_factory=dict)
    explored: list[Unit] = field(default_factory=list)
    costs: dict[str, float] = field(default_factory=dict)

    def units(self) -> list[Unit]:
        """Return all units, each once."""
        tables = (self.added, self.fits, self.runs, self.tests, self.evaluated)
        every = [self.start, self.others, *self.explored]
        every += [unit for table in tables for unit in table.values()]
        return list({unit.key: unit for unit in every}.values())

    def training(self, place: Place) -> list[Unit]:
        """Return the units of the cumulative set of a model."""
        return [self.added[place._replace(iteration=i)] for i in range(1, place.iteration + 1)]


def plan_arms(asked: FinetuningConfiguration) -> Work:
    """Return every unit of a study; nothing is run."""
    work = Work(start_unit(asked), original_unit(asked))
    for replicate in range(asked.replicates):
        _train(asked, work, replicate)
    _test(asked, work)
    return work


def _train(asked: FinetuningConfiguration, work: Work, replicate: int) -> None:
    """Plan runs, frames and fits of all arms of one replicate.

    The first run is the same for all arms: that of number 0 of the universal model, which
    nonperiodic goes on with.
    """
    seed = replicate_seed(asked.seed, replicate)
    settings = asked.dynamics.settings()
    duration = settings.n_steps * settings.timestep
    spacing = duration / 2 / max(asked.added())
    universal, training = universal_of(asked), tuning_of(asked)

    def run(stream: int, n_steps: int = settings.n_steps, fit: Unit | None = None) -> Unit:
        unit = exploration_unit(
            work.start, asked.dynamics.settings(n_steps=n_steps), seed=seed, stream=stream,
            threads=asked.threads, universal=universal, fit=fit,
        )  # fmt: skip
        work.explored.append(unit)
        work.costs[unit.key] = n_steps * SECONDS["step"]
        return unit

    n_iterations = len(asked.n_frames)
    long = "nonperiodic" in asked.arms
    first = run(0, settings.n_steps * (n_iterations if long else 1))
    parallel = [first]
    if not {"naive", "chosen"}.isdisjoint(asked.arms):
        parallel += [run(stream) for stream in range(1, n_iterations)]
    for arm in asked.arms:
        for iteration, n in enumerate(asked.added(), 1):
            place = Place(arm, iteration, replicate)
            window = (0.0, duration)
            if iteration == 1:
                frames = visited_unit({"0": first}, {"0": window}, n=n, engine=asked.engine)
            elif arm == "naive":
                source = {"0": parallel[iteration - 1]}
                frames = visited_unit(source, {"0": window}, n=n, engine=asked.engine)
            elif arm == "nonperiodic":
                part = (duration * (iteration - 1), duration * iteration)
                frames = visited_unit({"0": first}, {"0": part}, n=n, engine=asked.engine)
            elif arm == "periodic":
                own = run(iteration - 1, fit=work.fits[place._replace(iteration=iteration - 1)])
                frames = visited_unit({"0": own}, {"0": window}, n=n, engine=asked.engine)
            else:
                seen = {f"{i:03d}": unit for i, unit in enumerate(parallel[:iteration])}
                frames = visited_unit(
                    seen, dict.fromkeys(seen, window), n=n, engine=asked.engine,
                    known=work.training(place._replace(iteration=iteration - 1)),
                    apart=spacing / 2, descriptor=asked.descriptor,
                    n_components=asked.n_components,
                )  # fmt: skip
            work.added[place] = frames
            work.costs[frames.key] = n * SECONDS["label"] + 1.0
            fit = fit_unit(asked, work.training(place), work.others, training=training, seed=seed)
            work.fits[place] = fit
            batch = min(training.batch_size, asked.n_frames[iteration - 1])
            batch += min(training.batch_size, asked.fine_tuning.replay)
            work.costs[fit.key] = 2.0 + training.n_updates * batch * SECONDS["update"]


def _test(asked: FinetuningConfiguration, work: Work) -> None:
    """Plan every model's own run, the runs at the level of the labels, and all evaluations."""
    own = asked.dynamics.settings(n_steps=asked.test.n_steps)

    def test(place: Place, run: Unit, settings: DynamicsSettings, seconds: float) -> None:
        window = (0.0, settings.n_steps * settings.timestep)
        frames = visited_unit({"0": run}, {"0": window}, n=asked.test.n_frames, engine=asked.engine)
        work.runs[place], work.tests[place] = run, frames
        work.costs[run.key] = settings.n_steps * seconds
        work.costs[frames.key] = asked.test.n_frames * SECONDS["label"]

    places = [Place(UNIVERSAL, 0, r) for r in range(asked.replicates)] + list(work.fits)
    for place in places:
        run = exploration_unit(
            work.start, own, seed=replicate_seed(asked.seed, place.replicate), stream=TEST,
            threads=asked.threads, universal=universal_of(asked), fit=work.fits.get(place),
        )  # fmt: skip
        test(place, run, own, SECONDS["step"])
    reference = asked.dynamics.settings(
        n_steps=asked.test.independent_steps, temperature=asked.test.independent_temperature
    )
    for number in range(asked.test.independent_runs):
        run = exploration_unit(
            work.start, reference, seed=asked.seed, stream=INDEPENDENT + number,
            threads=asked.threads, engine=asked.engine,
        )  # fmt: skip
        test(Place(REFERENCE, number, -1), run, reference, SECONDS["reference"])
    last = len(asked.n_frames)
    for place in [Place(UNIVERSAL, 0, -1), *work.fits]:
        sets = [
            unit
            for one, unit in work.tests.items()
            if one.arm == REFERENCE
            or place.arm == UNIVERSAL
            or (
                one.replicate == place.replicate
                and (one == place or one.arm == UNIVERSAL or one.iteration == last)
            )
        ]
        train = (
            [work.added[p] for p in work.added if p.iteration == 1 and p.arm == asked.arms[0]]
            if place.arm == UNIVERSAL
            else work.training(place)
        )
        unit = evaluated_unit(asked, sets, train, work.others, work.fits.get(place))
        work.evaluated[place] = unit
        work.costs[unit.key] = SECONDS["evaluated"]


def unit_counts(work: Work) -> dict[str, int]:
    """Return how many units of each kind there are."""
    kinds: Sequence[str] = [unit.kind for unit in work.units()]
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
