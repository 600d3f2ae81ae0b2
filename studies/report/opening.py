"""A run's folder, opened: its plan, its configuration, its results; what is damaged is named."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import xarray as xr
from pydantic import BaseModel, ValidationError

from ...diversity import DataError
from ..catalogue import Study, study_in
from ..plan import FINISHED, PLAN
from ..record import RECORD, sessions
from ..results import load


@dataclass(frozen=True)
class Run:
    """The folder of a study, finished or not.

    Parameters
    ----------
    root : Path
    study : Study
    plan : dict
        ``plan.json``.
    finished : dict or None
        ``finished.json``; None while the study is not finished.
    sessions : list of dict
        What each run of it told; empty of versions that told nothing.
    """

    root: Path
    study: Study
    plan: dict[str, Any]
    finished: dict[str, Any] | None
    sessions: list[dict[str, Any]]

    @property
    def name(self) -> str:
        """Return the folder's name."""
        return self.root.resolve().name

    @cached_property
    def asked(self) -> Any:
        """Return the study's configuration, with defaults for keys that came later.

        Raises
        ------
        DataError
            If this version cannot read it.
        """
        model: type[BaseModel] = self.study.configuration
        try:
            return model.model_validate(self.plan["configuration"])
        except (ValidationError, KeyError, TypeError) as error:
            first = str(error).splitlines()[0]
            raise DataError(
                f"{self.root / PLAN} holds no configuration that this version of breadth can use "
                f"({first}). Was it written by another version?"
            ) from None

    def results(self, name: str = "results") -> xr.Dataset:
        """Return one of the study's NetCDF files, read whole.

        Raises
        ------
        DataError
            If it is missing or damaged.
        """
        path = self.root / f"{name}.nc"
        if not path.exists():
            raise DataError(
                f"{path} is missing, though {self.root / FINISHED} says that the study is "
                "finished. Remove that file and run the study's command again: it is gathered "
                "anew from what is finished."
            )
        return load(path)

    def maybe(self, name: str) -> xr.Dataset | None:
        """Return one of the files that not every study has."""
        return self.results(name) if (self.root / f"{name}.nc").exists() else None

    @cached_property
    def units(self) -> dict[str, list[Path]]:
        """Return the folders of finished units by kind, kinds by name."""
        found: dict[str, list[Path]] = {}
        for folder in sorted((self.root / "units").glob("*-*")):
            found.setdefault(folder.name.rpartition("-")[0], []).append(folder)
        return found

    def set_aside(self) -> dict[str, int]:
        """Return how many records units set aside, by reason."""
        reasons: Counter[str] = Counter()
        for folders in self.units.values():
            for folder in folders:
                path = folder / "aside.json"
                if path.exists():
                    with self.reading(path):
                        reasons.update(str(why).split(":")[0] for _, why in read_json(path, list))
        return dict(reasons.most_common())

    @cached_property
    def unit_records(self) -> dict[str, list[dict[str, Any]]]:
        """Return what the finished units of each kind told of their making, those that did."""
        found: dict[str, list[dict[str, Any]]] = {}
        for kind, folders in self.units.items():
            found[kind] = []
            for path in (folder / RECORD for folder in folders):
                if path.exists():
                    with self.reading(path):
                        told = read_json(path, dict)
                        named = ("seconds", "processor", "accelerator")
                        found[kind].append({name: told[name] for name in named})
        return found

    def seconds(self) -> dict[str, float | None]:
        """Return the seconds that finished units took by kind; None where one did not tell."""
        return {
            kind: sum(one["seconds"] for one in told)
            if len(told) == len(self.units[kind])
            else None
            for kind, told in self.unit_records.items()
        }

    def devices(self) -> list[str]:
        """Return the processors and accelerators that units ran on."""
        told = [one for records in self.unit_records.values() for one in records]
        names = [one[name] for name in ("processor", "accelerator") for one in told]
        return list(dict.fromkeys(filter(None, names)))

    def json_of(self, path: Path) -> dict[str, Any]:
        """Return what a JSON file of the run holds, nothing where there is none."""
        return read_json(path, dict) if path.exists() else {}

    @contextmanager
    def reading(self, path: Path) -> Iterator[None]:
        """Name a file whose content is not what it should be."""
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{path} is damaged, or of another version of breadth ({type(error).__name__}: "
                f"{error})."
            ) from None

    def unit_parameters(self, kind: str) -> list[dict[str, Any]]:
        """Return the parameters of the finished units of a kind."""
        found = []
        for path in (folder / "unit.json" for folder in self.units.get(kind, [])):
            with self.reading(path):
                found.append(dict(read_json(path, dict)["parameters"]))
        return found


def open_run(root: Path) -> Run:
    """Open the folder of a study.

    Raises
    ------
    ConfigurationError
        If it holds no study.
    DataError
        If a file of it is damaged.
    """
    study = study_in(root)
    finished = root / FINISHED
    return Run(
        root=root,
        study=study,
        plan=read_json(root / PLAN, dict),
        finished=read_json(finished, dict) if finished.exists() else None,
        sessions=sessions(root),
    )


def read_json(path: Path, kind: type) -> Any:
    """Return what a JSON file of a run holds.

    Raises
    ------
    DataError
        If it is damaged, or holds something else than that kind.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}).") from None
    if not isinstance(content, kind):
        raise DataError(f"{path} is damaged: it holds a {type(content).__name__}.")
    return content
