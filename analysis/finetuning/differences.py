"""Arms against each other: differences of an error, paired by replicate, on the same frames."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..bootstrap import CrossedBootstrap
from .intervals import Ratio, interval
from .runs import OWN, Tested, TestRuns


def paired_differences(
    tests: TestRuns, make: Callable[[Tested, np.ndarray], Ratio], bootstrap: CrossedBootstrap
) -> tuple[np.ndarray, np.ndarray]:
    """Return by how much each arm's number exceeds that of every other.

    Both models of a replicate are asked on the frames that both were tested on: of the other arms'
    runs, those of third arms are left. On their own runs each has its own frames.

    Parameters
    ----------
    tests : TestRuns
    make : callable
        From a model with its test structures, and the blocks of these, to the number.
    bootstrap : CrossedBootstrap

    Returns
    -------
    difference : ndarray, shape (arm, arm, iteration, test_run)
        Mean over replicates; NaN where two models have no frame in common.
    bounds : ndarray, shape (arm, arm, iteration, test_run, 2)
        95 %; see :mod:`.intervals`.
    """
    n = len(tests.arms)
    shape = n, n, len(tests.iterations), len(tests.names)
    values, bounds = np.full(shape, np.nan), np.full((*shape, 2), np.nan)
    for a, b, i, t in np.ndindex(shape):
        if b <= a:
            continue
        test_run = tests.names[t]
        pairs = []
        found = [
            {
                one.replicate: one
                for one in tests.tested(tests.arms[k], tests.iterations[i], test_run)
            }
            for k in (a, b)
        ]
        for replicate in sorted(set(found[0]) & set(found[1])):
            both = [of[replicate] for of in found]
            if test_run != OWN:
                common = np.intersect1d(both[0].structures, both[1].structures)
                both = [replace(one, structures=common) for one in both]
            if all(len(one.structures) for one in both):
                blocks = [tests.blocks(one.structures, test_run) for one in both]
                pairs.append([make(one, of) for one, of in zip(both, blocks, strict=True)])
        if not pairs:
            continue
        ours, theirs = ([pair[k] for pair in pairs] for k in (0, 1))
        low, high = interval(
            ours,
            shared=tests.shared(test_run),
            positive=False,
            bootstrap=bootstrap,
            against=theirs,
        )
        values[a, b, i, t] = np.mean([x.value() - y.value() for x, y in pairs])
        bounds[a, b, i, t] = low, high
        values[b, a, i, t] = -values[a, b, i, t]
        bounds[b, a, i, t] = -high, -low
    return values, bounds
