"""Which structures test which model: its own run, the runs of the other arms, and common sets."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from .layout import INDEPENDENT, ORIGINAL_DOMAIN, UNIVERSAL

OWN, OTHER_ARMS = "own", "other_arms"
#: Parts of a set of frames that are resampled whole: frames beside each other are alike.
N_BLOCKS = 10


@dataclass(frozen=True)
class Tested:
    """A model on its test structures.

    Attributes
    ----------
    replicate, model : int
    structures : ndarray of int
        Rows.
    """

    replicate: int
    model: int
    structures: np.ndarray


class TestRuns:
    """Find models, and the structures that they are tested on.

    Parameters
    ----------
    predictions : xarray.Dataset
        See :mod:`.layout`.
    """

    def __init__(self, predictions: xr.Dataset) -> None:
        self.predictions = predictions
        arm, iteration, replicate = (
            predictions[name].values for name in ("arm", "iteration", "replicate")
        )
        self._model = {
            (str(a), int(i), int(r)): row
            for row, (a, i, r) in enumerate(zip(arm, iteration, replicate, strict=True))
        }
        self.arms = [a for a in dict.fromkeys(arm.astype(str).tolist()) if a != UNIVERSAL]
        self.iterations = np.unique(iteration).tolist()
        self.replicates = np.unique(replicate[replicate >= 0]).tolist()
        self._run = predictions["test_run"].values.astype(str)
        self._run_iteration = predictions["test_iteration"].values
        # Of an arm's models the last one's run tests the others.
        last = {a: self._run_iteration[self._run == a].max(initial=-1) for a in self.arms}
        self._of_last = self._run_iteration == np.array([last.get(r, 0) for r in self._run])
        self._run_replicate = predictions["test_replicate"].values
        self._found: dict[tuple[str, int, str], list[Tested]] = {}
        self._predicted = np.isfinite(predictions["energy"].values)

    @cached_property
    def names(self) -> list[str]:
        """Test runs that there are: the three kinds, then the run of each arm's last model."""
        runs = [r for r in (UNIVERSAL, *self.arms) if (self._run == r).any()]
        kinds = [OWN] if (np.isin(self._run, runs) & (self._run_iteration >= 0)).any() else []
        if set(runs) & set(self.arms) and len(self.arms) > 1:
            kinds.append(OTHER_ARMS)
        return [*kinds, *([INDEPENDENT] if (self._run == INDEPENDENT).any() else []), *runs]

    @cached_property
    def _common(self) -> set[str]:
        replicates = {
            run: self._run_replicate[self._whole(run)]
            for run in (*self.names, INDEPENDENT, ORIGINAL_DOMAIN)
            if run != OWN
        }
        return {run for run, of in replicates.items() if (of < 0).all()}

    def model(self, arm: str, iteration: int, replicate: int) -> int | None:
        """Return the row of a model; the universal one stands before every arm's first."""
        wanted = (arm, iteration, replicate) if iteration else (UNIVERSAL, 0, -1)
        return self._model.get(wanted)

    def tested(self, arm: str, iteration: int, test_run: str) -> list[Tested]:
        """Return the models of an arm's iteration with the structures that test them."""
        if (arm, iteration, test_run) in self._found:
            return self._found[arm, iteration, test_run]
        found = self._found.setdefault((arm, iteration, test_run), [])
        for place, replicate in enumerate(self.replicates):
            model = self.model(arm, iteration, replicate)
            if model is None:
                continue
            chosen = self._structures(arm, iteration, replicate, test_run)
            rows = np.flatnonzero(chosen & self._predicted[model])
            if len(rows):
                found.append(Tested(place, model, rows))
        return found

    def shared(self, test_run: str) -> bool:
        """Tell whether all replicates are tested on the same structures."""
        return test_run in self._common

    def blocks(self, rows: np.ndarray, test_run: str) -> np.ndarray:
        """Return the part of its set that each structure belongs to, (n,) of int.

        Of a set that replicates share: molecules where there are several, else contiguous frames.
        """
        if not self.shared(test_run):
            return np.zeros(len(rows), dtype=np.int64)
        if "molecule" in self.predictions.variables:
            names = self.predictions["molecule"].values[rows].astype(str)
            if len(set(names.tolist())) > 1:
                return np.unique(names, return_inverse=True)[1]
        whole = np.flatnonzero(self._whole(test_run))
        place = np.searchsorted(whole, rows)
        return place * min(N_BLOCKS, len(whole)) // len(whole)

    def _whole(self, test_run: str) -> np.ndarray:
        """Return the structures, of all replicates, among which those of a test run are."""
        return np.isin(self._run, self.arms if test_run == OTHER_ARMS else [test_run])

    def _structures(self, arm: str, iteration: int, replicate: int, test_run: str) -> np.ndarray:
        if test_run in (INDEPENDENT, ORIGINAL_DOMAIN):
            return self._whole(test_run)
        of_replicate = (self._run_replicate == replicate) | (self._run_replicate < 0)
        if test_run == OWN:
            mine = self._run == (arm if iteration else UNIVERSAL)
            return of_replicate & mine & (self._run_iteration == iteration)
        if test_run == OTHER_ARMS:
            others = [other for other in self.arms if other != arm]
            return of_replicate & self._of_last & np.isin(self._run, others)
        return of_replicate & self._of_last & (self._run == test_run)
