"""Units of work: what a study is made of, each named by its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Unit:
    """One resumable piece of work: a pure function of what stands here.

    A label chunk, one model, one evaluation is a unit each. Two units with equal content have one
    key and are run once.

    Parameters
    ----------
    kind : str
        Names the function that runs it; see `executor.KINDS`.
    version : int
        Raised when the function's results change.
    parameters : mapping
        What JSON can hold.
    inputs : mapping of str to str
        Keys of the units whose results it reads, by role.
    seed : int
        Root of its random streams.

    Examples
    --------
    >>> Unit("fit", 1, {"updates": 10}).key == Unit("fit", 1, {"updates": 10}).key
    True
    >>> Unit("fit", 1, {"updates": 10}).key == Unit("fit", 1, {"updates": 11}).key
    False
    """

    kind: str
    version: int
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0

    @cached_property
    def key(self) -> str:
        """The content key: kind and 32 hexadecimal digits."""
        digest = hashlib.sha256(canonical(asdict(self)).encode()).hexdigest()
        return f"{self.kind}-{digest[:32]}"


def canonical(content: Any) -> str:
    """Return JSON that is equal for equal content: sorted keys, shortest exact floats."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
