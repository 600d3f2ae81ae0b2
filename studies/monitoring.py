"""A run of dynamics beside a reference set: `breadth monitor`, and observers that know the set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from ase import Atoms

from ..analysis.extrapolation import ExtrapolationModel
from ..analysis.limits import held_out_quantile
from ..analysis.monitor import monitor, worst_element
from ..diversity import ConfigurationError, ConformerSet, DataError, Featurizer
from ..diversity.descriptors import bound
from ..diversity.protocols import Verdict
from ..diversity.tables import Molecules
from ..sampling.observers import LimitCrossed
from .comparing import read_set
from .extrapolating import Progress, fit_reference, score_sets
from .registry import featurizer as named_featurizer
from .results import save

if TYPE_CHECKING:
    from ..analysis.figures.style import Column


@dataclass(frozen=True)
class Watched:
    """What a set's environments look like, and the descriptor by which that is known.

    Parameters
    ----------
    model : ExtrapolationModel
    featurizer : Featurizer
        Bound to the elements of the set and of the runs.
    frame_limit : float
        Of `worst_element`: the least held-out frame score that leaves at most the share of frames
        above it that the model's level allows; infinite where there are too few frames to say.
    """

    model: ExtrapolationModel
    featurizer: Featurizer
    frame_limit: float

    @classmethod
    def fit(
        cls,
        reference: ConformerSet,
        *others: ConformerSet,
        descriptor: str = "soap",
        n_components: int = 5,
        level: float = 0.95,
        progress: Progress | None = None,
    ) -> Watched:
        """Describe a set and fit to its environments.

        Parameters
        ----------
        reference : ConformerSet
        *others : ConformerSet
            Runs that will be watched: their elements are described too.
        descriptor : str
            soap or model:FOLDER.
        n_components : int
        level : float
            Share of held-out environments, and of held-out frames, within the limits.
        progress : callable, optional

        Raises
        ------
        ShortageError
            If the set has too few frames.
        """
        featurizer = bound(named_featurizer(descriptor), reference, *others)
        model = fit_reference(
            [reference],
            featurizer,
            n_components=n_components,
            level=level,
            metadata={"descriptor": descriptor},
            progress=progress,
        )
        assert model.held_out is not None
        own = worst_element(
            reference.numbers, reference.offsets, model.held_out.q, limits_of(model)["q"]
        )
        enough = (len(own) + 1) * (1 - level) >= 1 - 1e-9
        limit = held_out_quantile(own, level) if enough else float("inf")
        return cls(model, featurizer, limit)

    def scores(self, run: ConformerSet, progress: Progress | None = None) -> dict[str, np.ndarray]:
        """Return ``q`` and ``t2`` of each atom of a run, (A,); unknown elements are scored too."""
        found = score_sets(self.model, [run], self.featurizer, unknown="outside", progress=progress)
        return {"q": found.q, "t2": found.t2}

    def frame_score(self, atoms: Atoms) -> float:
        """Return `worst_element` of one frame, by Q; infinite where a position is not finite."""
        if not np.isfinite(atoms.positions).all():
            return float("inf")
        # Not by `from_ase`, which looks for bonds and refuses atoms that overlap.
        frame = ConformerSet(
            molecules=Molecules(
                np.array(["frame"]),
                charge=np.array([atoms.info.get("charge", 0)]),
                multiplicity=np.array([atoms.info.get("spin", 1)]),
            ),
            molecule=np.zeros(1),
            numbers=atoms.numbers,
            positions=atoms.positions,
            offsets=np.array([0, len(atoms)]),
            cell=atoms.cell.array[None],
            pbc=atoms.pbc[None],
        )
        q = self.scores(frame)["q"]
        return float(worst_element(frame.numbers, frame.offsets, q, limits_of(self.model)["q"])[0])

    def observer(
        self, *, verdict: Verdict = Verdict.STOP, patience: int = 1, limit: float | None = None
    ) -> LimitCrossed:
        """Return an observer of `run_dynamics` that stops a run, or asks, where it leaves the set.

        Parameters
        ----------
        verdict, patience
            As of :class:`breadth.sampling.observers.LimitCrossed`.
        limit : float, optional
            Of the frame score; `frame_limit` by default.

        Raises
        ------
        ConfigurationError
            If the reference has too few frames for a limit, and none is given.
        """
        limit = self.frame_limit if limit is None else limit
        if not np.isfinite(limit):
            raise ConfigurationError(
                f"{self.model.n_frames} frames are too few to tell which frame scores are beyond "
                f"{self.model.level:.0%} of the set's: give a limit, a lower level, or more frames."
            )
        return LimitCrossed(self.frame_score, limit, verdict=verdict, patience=patience)


def limits_of(model: ExtrapolationModel) -> dict[str, dict[int, float]]:
    """Return the held-out limits of Q and T² by atomic number."""
    return {
        "q": {z: one.q_limits["quantile"] for z, one in model.limits.items()},
        "t2": {z: one.t2_limits["quantile"] for z, one in model.limits.items()},
    }


def read_run(
    path: Path,
    *,
    run: int | None = None,
    every: int = 1,
    level: str | None = None,
    skip_bad: bool = False,
) -> ConformerSet:
    """Read the frames of one run.

    Parameters
    ----------
    path : Path
    run : int, optional
        Of several in the file, by the `trajectory` of their frames.
    every : int, optional
        Take every so-manieth frame, the first among them.
    level, skip_bad
        As in :func:`breadth.diversity.read`.

    Raises
    ------
    DataError
        If the file cannot be read, ends within a frame, or has no such run; the message names
        file and frame.
    """
    frames = read_set(path, level=level, skip_bad=skip_bad)
    numbers = np.unique(frames.trajectory).tolist()
    if run is not None:
        if run not in numbers:
            known = ", ".join(str(n) for n in numbers if n >= 0) or "without numbers"
            raise DataError(f"{path} has no run {run}; its runs are {known}.")
        frames = frames.select(frames.trajectory == run)
    elif len(numbers) > 1:
        known = f"{', '.join(map(str, numbers[:8]))}{', …' if len(numbers) > 8 else ''}"
        raise DataError(f"{path} holds {len(numbers)} runs ({known}). Choose one with --run.")
    return frames if every == 1 else frames.select(np.arange(0, len(frames), every))


def monitor_run(
    run: ConformerSet,
    reference: ConformerSet | None = None,
    *,
    descriptor: str = "soap",
    n_components: int = 5,
    level: str | None = None,
    limit_level: float = 0.95,
    interval: float | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Watch a run that is finished, beside a reference set; see :func:`analysis.monitor.monitor`.

    Parameters
    ----------
    run : ConformerSet
    reference : ConformerSet, optional
        Without it, nothing is said of how far outside the run is.
    descriptor, n_components, limit_level, progress
        As of `Watched.fit`.
    level, interval
        As of :func:`breadth.analysis.monitor.monitor`.

    Returns
    -------
    xarray.Dataset
        With the attributes ``descriptor``, ``frame_limit`` and ``limit_level`` where there is a
        reference.
    """
    show = progress or (lambda phase, done, total: None)
    scores: dict[str, np.ndarray] = {}
    limits: dict[str, dict[int, float]] = {}
    told: dict[str, Any] = {}
    if reference is not None:
        watched = Watched.fit(
            reference,
            run,
            descriptor=descriptor,
            n_components=n_components,
            level=limit_level,
            progress=progress,
        )
        scores, limits = watched.scores(run, progress), limits_of(watched.model)
        told = {"descriptor": descriptor, "limit_level": limit_level}
        if np.isfinite(watched.frame_limit):
            told["frame_limit"] = watched.frame_limit
    show("distances", 0, 1)
    found = monitor(
        run, scores=scores, limits=limits, reference=reference, level=level, interval=interval
    )
    show("distances", 1, 1)
    return found.assign_attrs(told)


def keep(found: xr.Dataset, out: Path, *, column: Column = "single") -> list[Path]:
    """Write ``monitor.nc`` and the figures to a folder, and return the figures' paths."""
    from ..analysis.figures.finetuning.trajectory import draw_trajectory  # imports matplotlib

    out.mkdir(parents=True, exist_ok=True)
    save(found, out / "monitor.nc")
    return draw_trajectory(found, out, column=column)
