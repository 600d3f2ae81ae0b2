"""How far every system lies from every training set, and spectra before and after refinement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from safetensors.numpy import load_file, save_file

from ...analysis.shift.between import MEASURES, hold_out_quantile, system_scores
from ...analysis.shift.composition import composition_score
from ...analysis.shift.structure_rows import StructureRows
from ...diversity import ConformerSet
from ...diversity.descriptors import bound
from ...diversity.spectra import spectra_at
from ...sampling.high_forces import force_norms
from ...training import load_potential, predict
from ...training.features import PotentialFeaturizer
from ..pool import by_id, read_set, selected
from ..registry import featurizer
from ..shifting import describe_structures
from ..store import Store
from ..units import Unit
from .fits import trained_cutoff
from .methods import Work
from .question import RefinementConfiguration
from .refining import read_refinements, read_told
from .systems import IN_DISTRIBUTION, Experiment

#: Numbers of single structures that are kept beside scores of systems.
OF_STRUCTURES = ("force_norm", "predicted_force_norm", "connectivity")
#: What partial correlations hold fixed beside the size: means over a system's structures.
COVARIATES = ("composition", "force_norm")
#: Bins of eigenvalues, which lie in [0, 2].
EIGENVALUES = np.linspace(0.0, 2.0, 81)


def score_units(
    asked: RefinementConfiguration, experiments: Sequence[Experiment], work: Work
) -> dict[tuple[str, int, int], Unit]:
    """Return the unit of every training set's scores, by experiment, design and replicate."""
    units = {}
    for experiment in experiments:
        for one in experiment.sets:
            fit, train = work.fit(experiment, one, "none")
            inputs = {"fit": fit.key, "data": experiment.data.key, "train": train.key}
            for done in work.refined:
                other = done.one
                alike = other.design == one.design and other.systems == one.systems
                of_none = done.unit.parameters["method"] == "none"
                if done.experiment.name == experiment.name and alike and of_none:
                    inputs[f"none/{other.replicate}"] = done.unit.key
            parameters = {
                "systems": {s.name: list(s.ids) for s in experiment.tested(one)},
                "level": experiment.level,
                "replicate": one.replicate,
                "cutoff": trained_cutoff(experiment.potential or asked.potential),
                "features": asked.shift.features,
                "measures": list(asked.shift.measures),
                "threads": asked.threads,
            }
            unit = Unit("shift_scores", 1, parameters, inputs, one.seed)
            units[experiment.name, one.design, one.replicate] = unit
            work.costs[unit.key] = 5.0
    return units


def run_scores(unit: Unit, store: Store, folder: Path) -> None:
    """Score systems by their distance from a training set."""
    asked = unit.parameters
    torch.set_num_threads(asked["threads"])
    data = read_set(store, unit.inputs["data"])
    train = by_id(data, selected(store, unit.inputs["train"]))
    names = list(asked["systems"])
    tested = by_id(data, [i for ids in asked["systems"].values() for i in ids])
    system = np.repeat(np.arange(len(names)), [len(asked["systems"][n]) for n in names])
    potential, _ = load_potential(store.folder(unit.inputs["fit"]) / "potential")
    made: Any = (
        PotentialFeaturizer(potential)
        if asked["features"] == "model"
        else bound(featurizer(asked["features"]), train, tested)
    )
    members = _committee(store, unit, names)
    own = members[sorted(int(r.split("/")[1]) for r in unit.inputs if r.startswith("none/")).index(
        asked["replicate"]
    )]  # fmt: skip
    trained = predict(potential, train, level=asked["level"]).forces
    reference, new = (
        describe_structures(part, featurizer=made, cutoff=asked["cutoff"], predicted=[forces])
        for part, forces in ((train, trained), (tested, own))
    )
    if len(members) > 1:
        # Of the reference it is not read: members on their own training sets agree too well.
        spread = new.mean_of_atoms(np.linalg.norm(members.std(0).astype(np.float64), axis=1))
        reference = _with(reference, "committee_variance", np.zeros(len(train)))
        new = _with(new, "committee_variance", spread)
    wanted = [m for m in asked["measures"] or MEASURES if m != "force_norm"]
    there = [m for m in wanted if m != "committee_variance" or len(members) > 1]
    scores = system_scores(reference, new, system, measures=there)
    norms = {
        "train": force_norms(train, asked["level"]),
        "test": force_norms(tested, asked["level"]),
    }
    scores["force_norm"] = _force_norm_scores(norms["train"], norms["test"], system)
    arrays = {f"score/{name}": np.asarray(values, float) for name, values in scores.items()}
    arrays["covariate/force_norm"] = _means(norms["test"], system)
    arrays["covariate/composition"] = _means(composition_score(reference, new), system)
    for which, one in (("train", reference), ("test", new)):
        arrays[f"{which}/force_norm"] = norms[which]
        for name in OF_STRUCTURES[1:]:
            arrays[f"{which}/{name}"] = one.scalars[name]
    save_file(arrays, folder / "scores.safetensors")


def gather_scores(
    store: Store,
    experiments: Sequence[Experiment],
    units: Mapping[tuple[str, int, int], Unit],
    predictions: xr.Dataset,
) -> xr.Dataset:
    """Return all scores as `shift.nc`; see `breadth.analysis.refinement.scores`."""
    systems = predictions["system"].values.astype(str).tolist()
    n_replicates = predictions.sizes["replicate"]
    n_designs = predictions.sizes.get("design", 1)
    found = {key: load_file(store.folder(u.key) / "scores.safetensors") for key, u in units.items()}
    measures = [m for m in MEASURES if any(f"score/{m}" in arrays for arrays in found.values())]
    shape = (n_designs, len(systems), len(measures), n_replicates)
    score, place = np.full(shape, np.nan), np.full(shape, np.nan)
    of = predictions["system_of"].values
    covariate = np.full((len(COVARIATES), n_designs, n_replicates, len(systems)), np.nan)
    structure = np.full((len(OF_STRUCTURES), n_replicates, len(of)), np.nan)
    training: list[np.ndarray] = []
    of_training: list[str] = []
    for experiment in experiments:
        shifts = {s.name: s.shift for s in experiment.systems}
        for one in experiment.sets:
            arrays = found[experiment.name, one.design, one.replicate]
            names = list(units[experiment.name, one.design, one.replicate].parameters["systems"])
            rows = [systems.index(name) for name in names]
            inside = np.array([shifts[name] == IN_DISTRIBUTION for name in names])
            for m, measure in enumerate(measures):
                values = arrays.get(f"score/{measure}")
                if values is None:
                    continue
                score[one.design, rows, m, one.replicate] = values
                known = np.isfinite(values)
                if (inside & known).any():
                    quantile = np.full(len(values), np.nan)
                    quantile[known] = hold_out_quantile(values[known], values[inside & known])
                    place[one.design, rows, m, one.replicate] = quantile
            for k, name in enumerate(COVARIATES):
                covariate[k, one.design, one.replicate, rows] = arrays[f"covariate/{name}"]
            if one.design == 0:
                at = np.concatenate([np.flatnonzero(of == row) for row in rows])
                for k, name in enumerate(OF_STRUCTURES):
                    structure[k, one.replicate, at] = arrays[f"test/{name}"]
            if one is experiment.sets[0]:
                training.append(np.stack([arrays[f"train/{name}"] for name in OF_STRUCTURES]))
                of_training += [experiment.name] * training[-1].shape[1]
    dims: tuple[str, ...] = ("design", "system", "measure", "replicate")
    if "design" not in predictions.dims:
        dims, score, place, covariate = dims[1:], score[0], place[0], covariate[:, 0]
    fixed = ("covariate_name", *(d for d in dims if d == "design"), "replicate", "system")
    said = "NaN: the measure has no score there, such as of forces that are not known"
    return xr.Dataset(
        {
            "shift_score": (dims, score, {"long_name": "distance from the training set; higher is "
                            "farther", "missing": said}),
            "shift_quantile": (dims, place, {"long_name": "place among the in-distribution systems "
                               "of the experiment, 0 … 1", "missing": said}),
            "covariate": (fixed, covariate, {"long_name": "what partial correlations hold fixed"}),
            "structure_score": (("structure_measure", "replicate", "structure"), structure),
            "training_score": (("structure_measure", "training_structure"),
                               np.concatenate(training, axis=1)),
            "training_experiment": ("training_structure", np.array(of_training)),
        },
        coords={
            "system": systems,
            "measure": measures,
            "covariate_name": list(COVARIATES),
            "structure_measure": list(OF_STRUCTURES),
        },
    )  # fmt: skip


def spectra_units(
    asked: RefinementConfiguration, experiments: Sequence[Experiment], work: Work
) -> dict[str, Unit]:
    """Return the unit of each experiment's spectra, of its first training set."""
    units = {}
    for experiment in experiments:
        one = experiment.sets[0]
        inputs = {"data": experiment.data.key}
        for done in work.refined:
            method = done.unit.parameters["method"]
            if done.experiment.name == experiment.name and done.one == one and method == "radius":
                inputs[f"radius/{len(inputs)}"] = done.unit.key
        if len(inputs) == 1:
            continue
        _, train = work.fit(experiment, one, "none")
        shifted = [s for s in experiment.tested(one) if s.shift != IN_DISTRIBUTION]
        parameters = {
            "systems": {s.name: list(s.held) for s in shifted},
            "cutoff": trained_cutoff(experiment.potential or asked.potential),
        }
        unit = Unit("spectra", 1, parameters, {**inputs, "train": train.key})
        units[experiment.name] = unit
        work.costs[unit.key] = 2.0
    return units


def run_spectra(unit: Unit, store: Store, folder: Path) -> None:
    """Take densities of eigenvalues in training, and tested before and after refinement."""
    cutoff = unit.parameters["cutoff"]
    data = read_set(store, unit.inputs["data"])
    radius: dict[str, float] = {}
    for role, key in unit.inputs.items():
        if role.startswith("radius/"):
            told = read_told(store, store.unit(key))
            radius |= {name: one["radius"] for name, one in told.items()}
    train = by_id(data, selected(store, unit.inputs["train"]))
    at: dict[str, list[np.ndarray]] = {"train": [_eigenvalues(train, cutoff)]}
    at["test"], at["refined"] = [], []
    for name, ids in unit.parameters["systems"].items():
        system = by_id(data, ids)
        at["test"].append(_eigenvalues(system, cutoff))
        at["refined"].append(_eigenvalues(system, radius[name]))
    edges = np.concatenate([[-0.0125], 0.5 * (EIGENVALUES[1:] + EIGENVALUES[:-1]), [2.0125]])
    arrays = {
        kind: np.histogram(np.concatenate(values), edges, density=True)[0]
        for kind, values in at.items()
    }
    save_file(arrays, folder / "spectra.safetensors")


def gather_spectra(store: Store, units: Mapping[str, Unit]) -> xr.Dataset:
    """Return all densities; the layout is that of `figures.refinement.spectra`."""
    kinds = ["train", "test", "refined"]
    found = [load_file(store.folder(u.key) / "spectra.safetensors") for u in units.values()]
    density = np.stack([[arrays[kind] for kind in kinds] for arrays in found])
    return xr.Dataset(
        {"density": (("experiment", "kind", "eigenvalue"), density, {"units": "1"})},
        coords={"experiment": list(units), "kind": kinds, "eigenvalue": EIGENVALUES},
    )


def _eigenvalues(conformers: ConformerSet, radius: float) -> np.ndarray:
    """Return all eigenvalues of all conformers at one radius, without padding."""
    spectra = spectra_at(conformers, np.array([radius]))[:, 0]
    return spectra[np.arange(spectra.shape[1]) < conformers.counts[:, None]]


def _committee(store: Store, unit: Unit, names: Sequence[str]) -> np.ndarray:
    """Return the forces of each replicate's model on all systems, (members, A, 3)."""
    members: dict[int, dict[str, np.ndarray]] = {}
    for role, key in unit.inputs.items():
        if role.startswith("none/"):
            table = members.setdefault(int(role.split("/")[1]), {})
            for _, system, _, _, forces in read_refinements(store, store.unit(key)):
                table[system] = forces
    return np.stack([np.concatenate([members[r][name] for name in names]) for r in sorted(members)])


def _with(rows: StructureRows, name: str, values: np.ndarray) -> StructureRows:
    return replace(rows, scalars={**rows.scalars, name: values})


def _means(values: np.ndarray, system: np.ndarray) -> np.ndarray:
    """Return the mean of each system's structures, NaN where one is unknown."""
    return np.bincount(system, weights=values) / np.bincount(system)


def _force_norm_scores(train: np.ndarray, test: np.ndarray, system: np.ndarray) -> np.ndarray:
    """Return distances from the training mean in standard deviations, 10 meV/Å at least."""
    known = train[np.isfinite(train)]
    away = np.abs(test - known.mean()) / max(float(known.std()), 0.01)
    return _means(away, system)
