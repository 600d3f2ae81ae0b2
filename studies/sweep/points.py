"""The points of a sweep: each a whole study with values of its own."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from ...diversity import ConfigurationError
from ..catalogue import study_named
from ..units import canonical
from .question import SweepPlan

#: Characters that need no care in names of folders.
_PLAIN = re.compile(r"[A-Za-z0-9.+-]{1,24}")
_LONGEST = 100


@dataclass(frozen=True)
class Point:
    """One configuration of a sweep.

    Parameters
    ----------
    name : str
        Of its folder.
    values : dict
        Of the keys that vary.
    place : tuple of int
        Where it stands along each dimension.
    asked : pydantic.BaseModel
        The configuration of the study.
    """

    name: str
    values: dict[str, Any]
    place: tuple[int, ...]
    asked: BaseModel


def dimensions(plan: SweepPlan) -> dict[str, dict[str, list[Any]]]:
    """Return the dimensions of a sweep, and the keys with their values along each.

    A key of ``over`` is a dimension of its own; keys of ``zip`` share ``zipped``, those of
    ``points`` share ``point``.
    """
    if plan.points:
        return {"point": {key: [point[key] for point in plan.points] for key in plan.points[0]}}
    found = {key: {key: values} for key, values in plan.over.items()}
    return found | ({"zipped": plan.zip} if plan.zip else {})


def sweep_points(plan: SweepPlan, *, check: bool = True) -> list[Point]:
    """Return all points of a sweep, validated.

    Parameters
    ----------
    plan : SweepPlan
    check : bool
        Check also what hangs on this machine, such as packages and files that must be there to
        run the points, and not only to read them.

    Raises
    ------
    ConfigurationError
        If a key is misspelt or a value does not fit, a name in it is unknown or a file not there,
        or two points are one.
    """
    study = study_named(plan.study)
    along = dimensions(plan)
    sizes = [len(next(iter(keys.values()))) for keys in along.values()]
    base = [_override(key, value) for key, value in plan.set.items()]
    points: list[Point] = []
    seen: dict[str, str] = {}
    for place in itertools.product(*map(range, sizes)):
        values = {
            key: choices[i]
            for keys, i in zip(along.values(), place, strict=True)
            for key, choices in keys.items()
        }
        overrides = [*base, *(_override(key, value) for key, value in values.items())]
        asked = study.load(preset=plan.preset, overrides=overrides)
        name = _name(values, along, place)
        content = canonical(asked.model_dump(mode="json"))
        if content in seen:
            raise ConfigurationError(
                f"The points {seen[content]} and {name} ask for the same study. Leave one of them "
                "out."
            )
        seen[content] = name
        points.append(Point(name, values, place, asked))
    if len({point.name for point in points}) < len(points):
        points = [Point(f"point-{i:04d}", p.values, p.place, p.asked) for i, p in enumerate(points)]
    if any(threads_of([point]) != threads_of(points) for point in points):
        raise ConfigurationError(
            "threads differs between points, and all of them share their workers. Put it under "
            "set, and run a sweep for each number."
        )
    if not check:
        return points
    checked: set[str] = set()
    for point in points:
        # What a check looks at rarely varies: names, files and hyper-parameters.
        content = canonical(point.asked.model_dump(mode="json", exclude={"seed", "training"}))
        if content not in checked:
            study.check(point.asked)
            checked.add(content)
    return points


def threads_of(points: Sequence[Point]) -> int:
    """Return the threads of each worker, which all points share."""
    return int(getattr(points[0].asked, "threads", 1))


def _override(key: str, value: Any) -> str:
    """Return ``KEY=VALUE``; what JSON writes, YAML reads, and dates are texts."""
    return f"{key}={json.dumps(value, default=str)}"


def _name(
    values: Mapping[str, Any], along: Mapping[str, Mapping[str, list[Any]]], place: tuple[int, ...]
) -> str:
    """Return a folder's name: keys without their sections, and values or else their numbers."""
    tails = [key.rsplit(".", 1)[-1] for key in values]
    where = {key: i for keys, i in zip(along.values(), place, strict=True) for key in keys}
    parts = []
    for key, value in values.items():
        tail = key.rsplit(".", 1)[-1]
        shown = value if isinstance(value, str) else json.dumps(value)
        if not _PLAIN.fullmatch(shown):
            shown = f"no{where[key]}"
        parts.append(f"{tail if tails.count(tail) == 1 else key}={shown}")
    name = ",".join(parts)
    return name if len(name) <= _LONGEST else "-".join(["point", *(f"{i:03d}" for i in place)])
