"""Where numbers stand among others."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...diversity.errors import DataError


def hold_out_quantile(scores: Any, hold_out_scores: Any) -> np.ndarray:
    """Return where scores stand among those of an in-distribution hold-out, from 0 to 1.

    Scores of different measures and models have no common scale; these quantiles have.

    Parameters
    ----------
    scores : array of any shape
    hold_out_scores : array, shape (m,)

    Returns
    -------
    array of the shape of `scores`
        Share of hold-out scores below, with half of those equal. Its mean over samples is the
        area under the receiver operating characteristic.

    Raises
    ------
    DataError
        If there is no hold-out score, or a score is NaN.

    Examples
    --------
    >>> hold_out_quantile([0.0, 2.0, 9.0], [1.0, 2.0, 3.0, 4.0])
    array([0.   , 0.375, 1.   ])
    """
    held = np.sort(np.asarray(hold_out_scores, dtype=float).ravel())
    values = np.asarray(scores, dtype=float)
    if not len(held) or np.isnan(held).any() or np.isnan(values).any():
        raise DataError("Quantiles need scores, and hold-out scores, that are numbers.")
    below, upto = (np.searchsorted(held, values, side=side) for side in ("left", "right"))
    quantile: np.ndarray = (below + upto) / (2 * len(held))
    return quantile
