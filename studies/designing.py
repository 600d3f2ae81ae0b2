"""One training set and its hold-outs from a set of conformers: what `breadth design` does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..diversity import ConfigurationError, ConformerSet, DataError, concat, write
from ..sampling.designs import Design, FixedBudget, FixedMolecules
from ..sampling.disjoint import KEYS, check_disjoint
from ..sampling.given import known_molecules
from ..sampling.splits import MOLECULE_POOLS, HoldOuts
from .registry import featurizer, selector
from .specs import RANDOM
from .store import check_folder, replace_file

SUFFIXES = {"native": "", "extxyz": ".xyz", "ase": ".db"}


def choose_design(
    *,
    n_molecules: int,
    budget: int | None,
    n_conformers: int | None,
    n_validation: int,
    random_state: int,
    molecules_by: str = RANDOM,
    conformers_by: str = RANDOM,
    descriptor: str = "compact",
    prior_level: str | None = None,
    charge_labels: bool = False,
) -> FixedBudget | FixedMolecules:
    """Return the design that the options ask for.

    Parameters
    ----------
    n_molecules, budget, n_conformers, n_validation, random_state, prior_level, charge_labels
        See `FixedBudget` and `FixedMolecules`.
    molecules_by, conformers_by : str, optional
        Names of the selectors along each axis.
    descriptor : str, optional
        Name of the featurizer, for selectors that take features.

    Raises
    ------
    ConfigurationError
        Unless exactly one of budget and conformers per molecule is given, or if a name is unknown.
    """
    if (budget is None) == (n_conformers is None):
        raise ConfigurationError(
            "Give either --budget (conformers in all) or --n-conformers (per molecule)."
        )
    options: dict[str, Any] = {
        "n_molecules": n_molecules,
        "n_validation": n_validation,
        "random_state": random_state,
        "prior_level": prior_level,
        "charge_labels": charge_labels,
    }
    for axis, name in (("molecule", molecules_by), ("conformer", conformers_by)):
        chooser = None if name == RANDOM else selector(name)
        options[f"{axis}_selector"] = chooser
        if chooser is not None and chooser.takes == "features":
            options["featurizer"] = featurizer(descriptor)
    if budget is not None:
        return FixedBudget(budget=budget, **options)
    assert n_conformers is not None
    return FixedMolecules(n_conformers=n_conformers, **options)


def design_set(
    conformers: ConformerSet,
    design: FixedBudget | FixedMolecules,
    hold_outs: HoldOuts | None,
    given: ConformerSet | None = None,
    grow: str = "both",
) -> tuple[dict[str, np.ndarray], Design]:
    """Choose a training set, and hold-outs that share nothing with it.

    Parameters
    ----------
    conformers : ConformerSet
    design : FixedBudget or FixedMolecules
    hold_outs : HoldOuts or None
    given : ConformerSet, optional
        A training set that the design adds to; hold-outs share nothing with it either.
    grow : {'both', 'molecules', 'conformers'}
        See `FixedBudget.design`.

    Returns
    -------
    dict of str to array of int64
        Indices by name: ``train``, ``validation`` and the hold-outs, empty ones left out.
    Design
    """
    partition = None if hold_outs is None else hold_outs.partition(conformers, given)
    available = None if partition is None else partition.available
    chosen = design.design(conformers, available, given=given, grow=grow)
    rows = {"train": chosen.train, "validation": chosen.validation}
    if partition is not None:
        for name in ("own_conformers", "unseen_minima"):
            rows[name] = partition.test_set(name, chosen.molecules)
        rows |= {name: partition.test_set(name) for name in MOLECULE_POOLS}
        known = np.concatenate([chosen.train, chosen.validation])
        for name in rows.keys() - {"train", "validation"}:
            check_disjoint(conformers, known, rows[name], by=KEYS[name], given=given)
    return {name: index for name, index in rows.items() if len(index)}, chosen


def growth(conformers: ConformerSet, train: np.ndarray, given: ConformerSet) -> dict[str, Any]:
    """Count what is given, what a design adds to it, and both together.

    Parameters
    ----------
    conformers : ConformerSet
    train : array of int
        Training conformers of the design.
    given : ConformerSet

    Returns
    -------
    dict
        ``n_molecules`` and ``n_conformers`` of ``before`` and ``after``; ``new_molecules``, and
        ``new_conformers`` of them and ``more_conformers`` of molecules that are given.
    """
    rows = conformers.molecule[train]
    new = ~known_molecules(conformers, given)[rows]
    n_new, n_before = len(np.unique(rows[new])), len(np.unique(given.id))
    return {
        "before": {"n_molecules": given.n_molecules, "n_conformers": n_before},
        "after": {
            "n_molecules": given.n_molecules + n_new,
            "n_conformers": n_before + len(train),
        },
        "new_molecules": n_new,
        "new_conformers": int(new.sum()),
        "more_conformers": int((~new).sum()),
    }


def with_given(
    conformers: ConformerSet, rows: dict[str, np.ndarray], given: ConformerSet
) -> tuple[ConformerSet, dict[str, np.ndarray]]:
    """Return one set of a design and what is given, and the parts' rows: given ones train first.

    Raises
    ------
    DataError
        If the two sets contradict each other, as `breadth.diversity.concat` says.
    """
    wanted = np.unique(np.concatenate(list(rows.values())))
    joined = concat([given, conformers.select(wanted)])
    parts = {name: len(given) + np.searchsorted(wanted, index) for name, index in rows.items()}
    parts["train"] = np.concatenate([np.arange(len(given)), parts["train"]])
    return joined, parts


def write_design(
    conformers: ConformerSet,
    rows: dict[str, np.ndarray],
    out: Path,
    *,
    format: str,
    given: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write each part as a data set, and ``design.json`` with the ids of all, last.

    What `growth` says of a set that the design adds to stands there too, as ``given``.

    Raises
    ------
    DataError
        If the folder exists and is not empty.
    """
    check_folder(out)
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} is not empty. Remove it, or name another folder.")
    out.mkdir(parents=True, exist_ok=True)
    described: dict[str, Any] = {}
    for name, index in rows.items():
        part = conformers.select(index)
        path = out / f"{name}{SUFFIXES[format]}"
        write(part, path, format=format)
        described[name] = {
            "file": path.name,
            "n_conformers": len(part),
            "n_molecules": part.n_molecules,
        }
    ids = {name: conformers.id[index].astype("U32").tolist() for name, index in rows.items()}
    told = {"parts": described, "ids": ids, **({} if given is None else {"given": given})}
    replace_file(out / "design.json", json.dumps(told))
    return described


def parts_of(path: Path) -> list[Path]:
    """Return the data sets of a design's folder; of anything else, the path itself.

    Raises
    ------
    DataError
        If the folder's ``design.json`` cannot be read.
    """
    manifest = path / "design.json"
    if not manifest.is_file():
        return [path]
    try:
        parts = json.loads(manifest.read_text())["parts"].values()
        return [path / part["file"] for part in parts]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{manifest} is damaged ({error!r}). Name the files themselves.") from error
