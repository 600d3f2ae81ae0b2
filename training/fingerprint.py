"""What decides the result of a fit, as a digest, and in parts that tell one fit from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..diversity.conformers import ConformerSet
from ..diversity.errors import ConfigurationError

#: Parts whose digests would tell nobody anything.
_DIGESTS = {
    "train": "training conformers or their labels",
    "validation": "validation conformers or their labels",
    "prior": "conformers, labels or weights of the prior",
    "replay": "conformers, labels or weight of the replay",
    "start": "weights to start from",
}


def data_digest(data: ConformerSet, level: str, *indices: np.ndarray, **options: Any) -> str:
    """Return a digest of conformers with their labels of a level, and of options."""
    digest = hashlib.blake2b(json.dumps(options, sort_keys=True, default=str).encode())
    for index in indices:
        part = data.select(index)
        labels = part.labels(level)
        for array in (part.id, labels.energy, labels.forces, labels.has_energy, labels.has_forces):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(json.dumps(sorted(labels.reference_energies.items())).encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class Fingerprint:
    """All that decides the result of a fit.

    Parameters
    ----------
    digest : str
        Of everything.
    parts : dict
        The same in parts: values that JSON holds, digests of what is large.
    """

    digest: str
    parts: dict[str, Any]

    @classmethod
    def of(
        cls,
        data: ConformerSet,
        level: str,
        train: np.ndarray,
        validation: np.ndarray | None,
        **options: Any,
    ) -> Fingerprint:
        """Return that of a fit to conformers with these options."""
        held = [] if validation is None else [validation]
        parts = {**options, "train": data_digest(data, level, train)}
        if validation is not None:
            parts["validation"] = data_digest(data, level, validation)
        return cls(
            data_digest(data, level, train, *held, **options),
            json.loads(json.dumps(parts, default=str)),
        )

    def check(self, directory: Path, facts: Mapping[str, Any]) -> None:
        """Raise where a checkpoint's facts are of another fit.

        Raises
        ------
        ConfigurationError
            It says what differs.
        """
        if facts.get("fingerprint") != self.digest:
            raise ConfigurationError(
                f"{directory} holds the checkpoint of another fit "
                f"({self.differences(facts.get('parts'))}): choose another folder, or remove it."
            )

    def differences(self, other: Mapping[str, Any] | None) -> str:
        """Say in words what of another fit differs from this one, by the other's parts.

        None is of a checkpoint that an older version wrote, which held the digest alone.
        """
        if other is None:
            return "other data, seed or options"
        told = list(_differences(dict(other), self.parts))
        return "; ".join(told) if told else "written by another version of breadth"


def _differences(there: Any, here: Any, name: str = "") -> Iterator[str]:
    if isinstance(there, dict) and isinstance(here, dict):
        for key in dict.fromkeys((*here, *there)):
            if there.get(key) == here.get(key):
                continue
            if not name and key in _DIGESTS:
                yield f"other {_DIGESTS[key]}"
            else:
                yield from _differences(
                    there.get(key), here.get(key), f"{name}.{key}" if name else key
                )
    else:
        yield f"{name} {_shown(there)} there and {_shown(here)} here"


def _shown(value: Any) -> str:
    return "not set" if value is None else json.dumps(value)
