"""Partitions of several sets as one labelled Dataset, which figures are drawn from."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from ..diversity.measures.chain_rule import TERMS


def gather_partitions(partitions: Mapping[str, Mapping[str, Any]], *, size: str = "") -> xr.Dataset:
    """Return the partitions of several sets side by side.

    Parameters
    ----------
    partitions : mapping of str to mapping
        `Partition.as_dict` by name of the set, at one level, descriptor and bandwidth; with
        ``curve`` (see `bandwidth_curve`) or without.
    size : str, optional
        What the sets were brought to, in words.

    Returns
    -------
    xarray.Dataset
        ``value`` and ``ceiling`` (set, term), ``interval`` (set, term, bound; NaN: none) in nats,
        ``at_ceiling`` (set, term); with curves ``curve`` (set, term, step) and
        ``curve_bandwidth`` (step). Attributes ``level``, ``descriptor``, ``bandwidth``, ``size``.
    """
    rows = list(partitions.values())

    def each(key: str) -> np.ndarray:
        return np.array([[row[term][key] for term in TERMS] for row in rows])

    nothing = (np.nan, np.nan)
    interval = np.array([[row[term]["interval"] or nothing for term in TERMS] for row in rows])
    nats = {"units": "nat"}
    dataset = xr.Dataset(
        {
            "value": (("set", "term"), each("value"), nats),
            "interval": (("set", "term", "bound"), interval, nats),
            "ceiling": (("set", "term"), each("ceiling"), nats),
            "at_ceiling": (("set", "term"), each("at_ceiling")),
        },
        coords={"set": list(partitions), "term": list(TERMS), "bound": ["lower", "upper"]},
        attrs={**{k: rows[0][k] for k in ("level", "descriptor", "bandwidth")}, "size": size},
    )
    if all("curve" in row for row in rows):
        dataset["curve_bandwidth"] = ("step", np.array(rows[0]["curve"]["bandwidth"]))
        dataset["curve"] = (
            ("set", "term", "step"),
            np.array([[row["curve"][term] for term in TERMS] for row in rows]),
            nats,
        )
    return dataset
