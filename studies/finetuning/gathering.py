"""Gather what a study of fine-tuning found into its files.

``predictions.nc`` has the layout of `breadth.analysis.finetuning.layout`. The first training set of
a replicate is the same for every arm, and so is the model of iteration 1: its rows, and its run,
stand there once for each arm. ``independent`` is a run at the level of the labels, common to all
replicates (``test_replicate`` −1); the universal model's own runs are ``test_run`` ``universal``,
one for each replicate. Each model is evaluated on its own run, on the runs of the last model of
every arm and of the universal one (same replicate), and on the sets that are common to all. The
universal model's energies carry the constant by which labels of the first training frames differ
from them on average, and its scores are NaN: it has no training set here. Detectors: ``q``, ``t2``
(of the descriptor asked for), ``mahalanobis``, ``knn``, ``density``, ``last_layer`` (of the
model's own features). Beside the layout:

=======================  =====================  ===================================================
``component``            (atom, component)      projection on the principal components of all
                                                training frames together, those of ``training.nc``
``explained_variance``   (component)            their shares of the variance
=======================  =====================  ===================================================

``training.nc``: the frames that were labelled and trained on, one row for each arm.

=======================  =====================  ===================================================
``arm``, ``replicate``   (frame)                whose set it is in
``iteration``            (frame)                first iteration whose set holds it; sets are
                                                cumulative
``time``                 (frame)                of the run that it is from, fs
``conformer_id``,        (frame)
``n_atoms``
``energy_reference``     (frame)                label, eV
``energy_universal``     (frame)                of the universal model at its own level, eV
``atomic_number``        (atom)
``component``            (atom, component)      as above
=======================  =====================  ===================================================

``runs.nc``: how every test run went.

=======================  =====================  ===================================================
``arm``, ``iteration``,  (run)                  of the model whose run it is; ``universal``;
``replicate``                                   ``independent``, −1, −1
``stability_time``       (run)                  until a bond is stretched by more than 0.5 Å or
                                                shrunk below half its length, ps; of a run that
                                                was stable to its end its length, a lower bound
``simulated_time``       (run)                  ps
``stopped``              (run)                  why it ended early, text; empty: it did not
``n_bond_events``        (run)                  bonds that broke or formed
``temperature``          (run, time)            K; NaN after the end
=======================  =====================  ===================================================

``results.nc``: `breadth.analysis.finetuning.finetuning_errors`; ``foresight.nc``:
`breadth.analysis.finetuning.foresee_arms`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from ...analysis.detectors.principal import PrincipalComponents
from ...diversity import ConformerSet, concat
from ...diversity.descriptors import atomic_features, bound
from ...training import predict
from ..pool import read_set
from ..registry import featurizer, potential
from ..store import Store
from .arms import REFERENCE, UNIVERSAL, Place, Work
from .evaluating import read_evaluated
from .exploring import read_exploration
from .fits import joined
from .outside import DETECTORS
from .question import FinetuningConfiguration
from .starting import name_of

#: Principal components of training frames that figures show.
SHOWN = 2


def gather(
    asked: FinetuningConfiguration, store: Store, work: Work
) -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
    """Return predictions, training frames and runs of a finished study."""
    tests = [
        (place, unit.key)
        for place, unit in work.tests.items()
        if (store.folder(unit.key) / "set").exists()
    ]
    sets = [read_set(store, key) for _, key in tests]
    original = read_set(store, work.others.key)
    training, rows = _training(store, work)
    tested = concat([*sets, original])
    described: Any = bound(featurizer(asked.descriptor), training, tested)
    shown = PrincipalComponents(n_components=SHOWN).fit([atomic_features(training, described)])
    predictions = _predictions(asked, store, work, tests, sets, original)
    predictions["component"] = _components(shown, tested, described)
    predictions["explained_variance"] = ("component", shown.explained_variance_ratio_)
    frames = _frames(asked, training, rows)
    frames["component"] = _components(shown, training, described)
    frames["explained_variance"] = ("component", shown.explained_variance_ratio_)
    return predictions, frames, _runs(store, work)


def _predictions(
    asked: FinetuningConfiguration,
    store: Store,
    work: Work,
    tests: Sequence[tuple[Place, str]],
    sets: Sequence[ConformerSet],
    original: ConformerSet,
) -> xr.Dataset:
    """Return the structures that models are tested on, and what they predict for them."""
    structures = np.cumsum([0, *map(len, sets), len(original)])
    atoms = np.cumsum([0, *(one.n_atoms for one in sets), original.n_atoms])
    whole = concat([*sets, original])
    models = list(work.evaluated)
    n_models = len(models)
    energy = np.full((n_models, len(whole)), np.nan)
    forces = np.full((n_models, whole.n_atoms, 3), np.nan, dtype=np.float32)
    score = np.full((n_models, len(DETECTORS), whole.n_atoms), np.nan, dtype=np.float32)
    elements = np.unique(concat(sets).numbers) if sets else np.empty(0, dtype=np.uint8)
    limit = np.full((n_models, len(DETECTORS), len(elements)), np.nan)
    for row, place in enumerate(models):
        found = read_evaluated(store, work.evaluated[place])
        if "limit" in found:
            limit[row] = found["limit"][:, elements]
        for k, (_, key) in enumerate([*tests, (place, "original")]):
            if f"energy/{key}" not in found:
                continue
            at = slice(*atoms[k : k + 2])
            energy[row, slice(*structures[k : k + 2])] = found[f"energy/{key}"]
            forces[row, at] = found[f"forces/{key}"]
            if f"score/{key}" in found:
                score[row, :, at] = found[f"score/{key}"]
    places = [place for place, _ in tests] + [Place("original_domain", -1, -1)]
    counts = np.diff(structures)
    labels = [one.labels(asked.engine) for one in sets]
    # Of the original domain the untouched universal model is the reference.
    universal = models.index(Place(UNIVERSAL, 0, -1))
    reference = [*(one.energy for one in labels), energy[universal, structures[-2] :]]
    forces_reference = [*(one.forces for one in labels), forces[universal, atoms[-2] :]]
    run_iteration = [-1 if p.arm == REFERENCE else p.iteration for p in places]
    return xr.Dataset(
        {
            "test_run": ("structure", np.repeat([p.arm for p in places], counts)),
            "test_iteration": ("structure", np.repeat(run_iteration, counts)),
            "test_replicate": ("structure", np.repeat([p.replicate for p in places], counts)),
            "frame": ("structure", np.concatenate([np.arange(n) for n in counts])),
            "time": ("structure", whole.time, {"units": "fs"}),
            "conformer_id": ("structure", whole.id.astype("U32")),
            "molecule": ("structure", whole.molecules.key[whole.molecule]),
            "n_atoms": ("structure", whole.counts, {"sample_dimension": "atom"}),
            "atomic_number": ("atom", whole.numbers.astype(np.int64)),
            "energy_reference": ("structure", np.concatenate(reference), {"units": "eV"}),
            "forces_reference": (
                ("atom", "xyz"), np.concatenate(forces_reference), {"units": "eV/angstrom"}
            ),
            "energy": (("model", "structure"), energy, {"units": "eV"}),
            "forces": (("model", "atom", "xyz"), forces, {"units": "eV/angstrom"}),
            "score": (("model", "detector", "atom"), score),
            "limit": (("model", "detector", "element"), limit),
            "n_frames": ("model", [_n_frames(store, work, place) for place in models]),
        },
        coords={
            "arm": ("model", [place.arm for place in models]),
            "iteration": ("model", [place.iteration for place in models]),
            "replicate": ("model", [place.replicate for place in models]),
            "detector": list(DETECTORS),
            "element": elements.astype(np.int64),
        },
        attrs={
            "level": asked.engine,
            "universal": asked.potential,
            "system": name_of(asked),
            "descriptor": asked.descriptor,
        },
    )  # fmt: skip


def _training(store: Store, work: Work) -> tuple[ConformerSet, list[tuple[Place, int]]]:
    """Return all training frames, arm after arm, and how many each iteration added."""
    parts, rows = [], []
    for place, unit in work.added.items():
        found = joined(store, [unit.key])
        if found is not None:
            parts.append(found)
            rows.append((place, len(found)))
    return concat(parts), rows


def _frames(
    asked: FinetuningConfiguration, training: ConformerSet, rows: Sequence[tuple[Place, int]]
) -> xr.Dataset:
    counts = [n for _, n in rows]
    of = {name: np.repeat([getattr(p, name) for p, _ in rows], counts) for name in Place._fields}
    universal = predict(potential(asked.potential), training).energy
    reference = training.labels(asked.engine).energy
    return xr.Dataset(
        {
            **{name: ("frame", values) for name, values in of.items()},
            "time": ("frame", training.time, {"units": "fs"}),
            "conformer_id": ("frame", training.id.astype("U32")),
            "n_atoms": ("frame", training.counts, {"sample_dimension": "atom"}),
            "atomic_number": ("atom", training.numbers.astype(np.int64)),
            "energy_reference": ("frame", reference, {"units": "eV"}),
            "energy_universal": ("frame", universal, {"units": "eV"}),
        }
    )


def _runs(store: Store, work: Work) -> xr.Dataset:
    """Return how every test run went."""
    places = list(work.runs)
    found = [read_exploration(store, work.runs[place].key) for place in places]
    longest = max(found, key=lambda one: len(one.time))
    temperature = np.full((len(found), len(longest.time)), np.nan)
    for row, one in enumerate(found):
        temperature[row, : len(one.time)] = one.temperature
    told = [one.told for one in found]
    here = [-1 if place.arm == REFERENCE else place.iteration for place in places]
    return xr.Dataset(
        {
            "stability_time": ("run", [t["stability_time"] / 1000 for t in told], {"units": "ps"}),
            "simulated_time": ("run", [t["simulated_time"] / 1000 for t in told], {"units": "ps"}),
            "stopped": ("run", np.array([t["stopped"] for t in told], dtype=np.str_)),
            "n_bond_events": ("run", [t["n_bond_events"] for t in told]),
            "temperature": (("run", "time"), temperature, {"units": "K"}),
        },
        coords={
            "arm": ("run", [place.arm for place in places]),
            "iteration": ("run", here),
            "replicate": ("run", [place.replicate for place in places]),
            "time": ("time", longest.time / 1000, {"units": "ps"}),
        },
    )


def _n_frames(store: Store, work: Work, place: Place) -> int:
    """Return how many frames a model learnt from."""
    if place.arm == UNIVERSAL:
        return 0
    frames = joined(store, [unit.key for unit in work.training(place)])
    return 0 if frames is None else len(frames)


def _components(
    shown: PrincipalComponents, conformers: ConformerSet, described: Any
) -> tuple[tuple[str, str], np.ndarray]:
    scores, _, _ = shown.statistics(atomic_features(conformers, described))
    return ("atom", "component"), scores.astype(np.float32)
