"""What a run of dynamics showed, in few numbers and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr


def run_summary(found: xr.Dataset) -> dict[str, Any]:
    """Return what a run showed, in numbers that JSON can hold; what is not known is None or absent.

    Parameters
    ----------
    found : xarray.Dataset
        Of `monitor`, with the attributes ``descriptor``, ``limit_level`` and, where it is known,
        ``frame_limit`` if it holds scores ``q`` and ``t2``.
    """
    time = found["time"].values
    content: dict[str, Any] = {
        "n_frames": int(found.attrs["n_frames"]),
        "time": {"unit": found.attrs["time_unit"], "first": time[0], "last": time[-1]},
    }
    if "coverage" in found:
        content |= _outside(found)
    events = [
        {
            "time": float(one["event_time"]),
            "kind": str(one["event_kind"].values),
            "atoms": [int(one["event_first"]), int(one["event_second"])],
            "distance": float(one["event_distance"]),
            "lasting": bool(one["event_lasting"]),
            "n_frames": int(one["event_frames"]),
            "elements": str(one["event_pair"].values),
            "coordination": bool(one["event_coordination"]),
        }
        for one in (found.isel(event=k) for k in range(found.sizes.get("event", 0)))
    ]
    reason = found.attrs.get("no_events")
    content["bond_events"] = None if reason else [e for e in events if not e["coordination"]]
    content["coordination_events"] = None if reason else sum(e["coordination"] for e in events)
    if reason:
        content["no_bond_events"] = reason
    ever = found["n_bonds"].max("time").values > 0
    content["n_bonds"] = {
        str(pair): {"first": int(n[0]), "least": int(n.min()), "most": int(n.max())}
        for pair, n in zip(found["pair"].values[ever], found["n_bonds"].values[ever], strict=True)
    }
    for name in ("temperature", "potential_energy", "total_energy", "volume"):
        if name in found:
            values = found[name].values
            content[name] = {"first": values[0], "last": values[-1]}
            content[name] |= {"least": values.min(), "most": values.max()}
    for name in (
        *("mean_temperature", "mean_temperature_error", "drift", "fluctuation", "hr_error"),
        "exploded",
    ):
        if name in found.attrs:
            content[name] = found.attrs[name]
    return _plain({**content, "verdict": verdict(found)})


def verdict(found: xr.Dataset) -> str:
    """Say in one or two sentences how the run went."""
    unit = "" if found.attrs["time_unit"] == "frame" else f" {found.attrs['time_unit']}"
    frame = "frame " if not unit else ""
    said = []
    if "exploded" in found.attrs:
        said.append(f"The run exploded at {frame}{found.attrs['exploded']:g}{unit}.")
    if "coverage" in found:
        level, limit = found.attrs["limit_level"], found.attrs.get("frame_limit")
        said.append(
            f"{found.attrs['mean_coverage']:.0%} of the run's environments lie within the limits "
            f"that hold {level:.0%} of the reference's held-out ones."
        )
        new = found["element"].values[np.isnan(found["q_limit"].values)].tolist()
        if new:
            said.append(f"The reference has no {', no '.join(new)}, which counts as outside.")
        if limit is not None:
            above = found["frame_score"].values > limit
            first = found["time"].values[above.argmax()]
            said.append(
                f"{above.mean():.0%} of its frames lie outside, the first at {frame}{first:g}"
                f"{unit}; of the reference's held-out frames {1 - level:.0%} do."
                if above.any()
                else "None of its frames lies outside."
            )
    if "no_events" not in found.attrs:
        kept = ~found["event_coordination"].values
        n, lasting = int(kept.sum()), int((kept & found["event_lasting"].values).sum())
        said.append(
            f"{n} bond{'s' if n != 1 else ''} broke or formed, {lasting} of them to the end."
            if n
            else "No bond broke or formed."
        )
    return " ".join(said)


def _outside(found: xr.Dataset) -> dict[str, Any]:
    """Return how far outside the reference the run is, by element and by frame."""
    elements: dict[str, Any] = {}
    for symbol in found["element"].values.tolist():
        of = found.sel(element=symbol)
        elements[symbol] = {
            name: {
                "mean": of[f"{name}_mean"].mean(),
                "max": of[f"{name}_max"].max(),
                "limit": of[f"{name}_limit"],
                "outside": of[f"{name}_outside"].mean(),
            }
            for name in ("q", "t2")
        }
    score, limit = found["frame_score"].values, found.attrs.get("frame_limit")
    above = score > limit if limit is not None else np.zeros(len(score), dtype=bool)
    return {
        "descriptor": found.attrs["descriptor"],
        "level": found.attrs["limit_level"],
        "elements": elements,
        "coverage": found.attrs["mean_coverage"],
        "frames_outside": {
            "limit": limit,
            "share": above.mean() if limit is not None else None,
            "first": found["time"].values[above.argmax()] if above.any() else None,
        },
    }


def _plain(value: Any) -> Any:
    """Return what JSON can hold: numbers that are not finite as None."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, xr.DataArray | np.generic | float):
        number = value.item() if not isinstance(value, float) else value
        return None if isinstance(number, float) and not np.isfinite(number) else number
    return value
