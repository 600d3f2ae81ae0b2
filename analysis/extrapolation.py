"""How far environments lie outside a reference set: Q and T² by element, with held-out limits.

Principal components of all environments of the reference, elements pooled (Wong and Yang,
arXiv:2603.10159). A mixture of elements has no limit of its own, so limits are per element. Those
by which environments are judged come from held-out frames: frames are cut into contiguous blocks,
since neighbours in time are nearly equal, and each block is scored by components of the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ..diversity.errors import ConfigurationError, DataError, ShortageError
from .blocks import blocks_of_frames
from .detectors.principal import RANK, PrincipalComponents, sketch_rows
from .held_out import ElementLimits, held_out_limits

_FORMAT = 1


@dataclass(frozen=True)
class AtomScores:
    """Statistics of n environments."""

    q: np.ndarray
    """(n,), squared residuals, in squared units of the features."""
    t2: np.ndarray
    """(n,)"""
    scores: np.ndarray
    """(n, K), coordinates along the components."""

    @classmethod
    def joined(cls, parts: Sequence[AtomScores]) -> AtomScores:
        """Return the statistics of one part after another."""
        return cls(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("q", "t2", "scores")))


@dataclass(frozen=True, kw_only=True)
class ExtrapolationModel:
    """Principal components of a reference set and the limits of each of its elements.

    Made by `fit`; `load` reads what `save` wrote.
    """

    components: PrincipalComponents
    limits: Mapping[int, ElementLimits]
    """By atomic number."""
    level: float
    """Share of held-out environments that a limit is meant to hold."""
    n_frames: int
    n_folds: int
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What JSON can hold: the descriptor by which rows were made."""
    reference: AtomScores | None = None
    """Of the fitted rows, in their order; not saved."""
    held_out: AtomScores | None = None
    """Of the same rows, each by the components of the other blocks; not saved. The scores are along
    the components of its fold."""

    @classmethod
    def fit(
        cls,
        stream: Iterable[np.ndarray],
        elements: np.ndarray,
        frame: np.ndarray,
        *,
        n_components: int = 5,
        level: float = 0.95,
        n_folds: int = 5,
        metadata: Mapping[str, Any] | None = None,
    ) -> ExtrapolationModel:
        """Fit components and limits to chunks of rows, which are read once.

        Parameters
        ----------
        stream : iterable of array, shape (n_i, d)
            Rows of environments.
        elements : array of int, shape (n,)
            Atomic number of each row.
        frame : array of int, shape (n,)
            Frame of each row. Frames stand in the order of their rows; blocks that are held out
            are runs of frames in that order.
        n_components : int
            K.
        level : float
            In (0, 1).
        n_folds : int
            Blocks of frames.
        metadata : mapping, optional

        Raises
        ------
        ShortageError
            If there are fewer frames than components or blocks, or rows vary along too few
            directions.
        DataError
            If elements, frames and rows are not as many.
        """
        if not 0 < level < 1:
            raise ConfigurationError(f"A level of {level}: it is a share between 0 and 1.")
        if n_components < 1 or n_folds < 2:
            raise ConfigurationError(
                f"{n_components} components and {n_folds} folds: there must be one component or "
                "more, and two folds or more."
            )
        elements, frame = np.asarray(elements, dtype=np.int64), np.asarray(frame)
        block = blocks_of_frames(frame, n_folds)
        n_frames = len(np.unique(frame))
        if n_frames < max(n_components, n_folds):
            raise ShortageError(
                f"The reference has {n_frames} frames, too few for {n_components} components and "
                f"{n_folds} blocks of frames to hold out: add frames, or ask for fewer of both."
            )
        sketch = sketch_rows(stream, rank=max(RANK, 2 * n_components))
        if not len(sketch.coordinates) == len(elements) == len(frame):
            raise DataError(
                f"{len(sketch.coordinates)} rows with {len(elements)} elements and {len(frame)} "
                "frames: there must be one of each for every row."
            )
        components = PrincipalComponents(n_components=n_components).fit_sketch(sketch)
        limits, own, held = held_out_limits(
            sketch, elements, block, n_components=n_components, level=level
        )
        return cls(
            components=components,
            limits=limits,
            level=level,
            n_frames=n_frames,
            n_folds=n_folds,
            metadata=dict(metadata or {}),
            reference=AtomScores(*own),
            held_out=AtomScores(*held),
        )

    def score(self, X: np.ndarray, elements: np.ndarray, *, unknown: str = "error") -> AtomScores:
        """Return the statistics of environments.

        Parameters
        ----------
        X : array, shape (n, d)
        elements : array of int, shape (n,)
        unknown : {'error', 'outside'}
            What to do with elements that the reference lacks: refuse them, or score them all the
            same; they are then beyond every limit, see `beyond`.

        Raises
        ------
        DataError
            If an element is unknown, or columns are not those of the reference.
        """
        if unknown not in ("error", "outside"):
            raise ConfigurationError(f"unknown = {unknown!r}: it is 'error' or 'outside'.")
        X = np.asarray(X)
        n_columns = len(self.components.mean_)
        if X.ndim != 2 or X.shape[1] != n_columns:
            raise DataError(
                f"Rows of shape {X.shape} for a model of {n_columns} features: describe them as "
                "the reference was described, with the same elements."
            )
        if len(elements) != len(X):
            raise DataError(f"{len(X)} rows with {len(elements)} elements.")
        new = np.setdiff1d(elements, list(self.limits))
        if len(new) and unknown == "error":
            names = ", ".join(chemical_symbols[z] for z in new)
            have = ", ".join(chemical_symbols[z] for z in sorted(self.limits))
            raise DataError(
                f"The evaluation has atoms of {names}, and the reference only {have}: no limit is "
                "known for them. Leave those structures out, add such atoms to the reference, or "
                "count them as outside."
            )
        scores, q, t2 = self.components.statistics(X)
        return AtomScores(q, t2, scores)

    def limit_of(
        self, elements: np.ndarray, statistic: str = "q", *, method: str = "quantile"
    ) -> np.ndarray:
        """Return the limit of each row, (n,); −∞ for elements that the reference lacks.

        Parameters
        ----------
        elements : array of int, shape (n,)
        statistic : {'q', 't2'}
        method : str
            'quantile' of held-out environments, 'chi2', and 'jackson_mudholkar' for Q, 'f' for T².
        """
        known = {z: getattr(one, f"{statistic}_limits") for z, one in self.limits.items()}
        methods = next(iter(known.values()))
        if method not in methods:
            raise ConfigurationError(
                f"No limit of {statistic} by {method!r}: choose one of {', '.join(methods)}."
            )
        kinds, of = np.unique(elements, return_inverse=True)
        table = [known[z][method] if z in known else -np.inf for z in kinds.tolist()]
        return np.array(table, dtype=np.float64)[of]

    def beyond(
        self,
        scores: AtomScores,
        elements: np.ndarray,
        statistic: str = "q",
        *,
        method: str = "quantile",
    ) -> np.ndarray:
        """Return which environments exceed the limit of their element, (n,) bool.

        The share that does not is the coverage of the environments by the reference.
        """
        return getattr(scores, statistic) > self.limit_of(elements, statistic, method=method)

    def save(self, folder: str | Path) -> None:
        """Write components and limits to a folder: `extrapolation.{safetensors,json}`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        fitted = self.components
        arrays = {
            "mean": fitted.mean_,
            "components": fitted.components_,
            "variance": fitted.explained_variance_,
            "variance_ratio": fitted.explained_variance_ratio_,
        }
        save_file(
            # The file takes an array's memory as it lies, strides or not.
            {name: np.ascontiguousarray(array) for name, array in arrays.items()},
            folder / "extrapolation.safetensors",
        )
        content = {
            "format": _FORMAT,
            "level": self.level,
            "n_samples": fitted.n_samples_,
            "n_frames": self.n_frames,
            "n_folds": self.n_folds,
            "metadata": dict(self.metadata),
            "limits": {str(z): asdict(one) for z, one in self.limits.items()},
        }
        (folder / "extrapolation.json").write_text(json.dumps(content, indent=1) + "\n")

    @classmethod
    def load(cls, folder: str | Path) -> ExtrapolationModel:
        """Read what `save` wrote.

        Raises
        ------
        DataError
            If the folder holds no such model, or one of another format.
        """
        folder = Path(folder)
        try:
            content = json.loads((folder / "extrapolation.json").read_text())
            arrays = load_file(folder / "extrapolation.safetensors")
            if content["format"] != _FORMAT:
                raise DataError(
                    f"{folder} holds a model of format {content['format']}, not {_FORMAT}: fit it "
                    "again."
                )
            limits = {int(z): ElementLimits(**one) for z, one in content["limits"].items()}
            fitted = PrincipalComponents(n_components=len(arrays["components"]))
            fitted.mean_, fitted.components_ = arrays["mean"], arrays["components"]
            fitted.explained_variance_ = arrays["variance"]
            fitted.explained_variance_ratio_ = arrays["variance_ratio"]
            fitted.n_samples_ = content["n_samples"]
            told = {name: content[name] for name in ("level", "n_frames", "n_folds", "metadata")}
        except (
            *(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError),
            *(OverflowError, SafetensorError),
        ) as error:
            raise DataError(f"{folder} holds no extrapolation model: {error}.") from error
        return cls(components=fitted, limits=limits, **told)
