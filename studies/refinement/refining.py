"""What each method does with a fit and a system: predict, choose a radius, adapt, fine-tune."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from ...diversity import ConformerSet, DataError, Labels
from ...sampling.priors import inverted, noisy
from ...training import TrainingConfig, load_potential, predict, save_potential
from ...training.configuration import choose_device
from ...training.potentials import Potential
from ...training.refinement import (
    FINE_TUNING,
    TestTimeConfig,
    adapt,
    add_prior,
    difference_level,
    fine_tune,
    prior_loss,
)
from ...training.refinement.radius import SpectrumReference, choose_radii, predict_at_radii
from ..pool import by_id, read_set, selected
from ..store import Store
from ..units import Unit
from .fits import cutoff_range, trained_cutoff
from .question import RefinementConfiguration
from .systems import Experiment, TrainingSet

#: Systems that one unit refines: few, so that workers share them; each reads the data once.
SYSTEMS_PER_UNIT = 8
#: Methods that name their form of radius refinement.
_FORMS = ("radius_fraction", "radius_wasserstein")
#: Names of wrong labels within a set; no file has such a level.
_WRONG = {"test_time_wrong_prior": "inverted prior", "test_time_noisy_prior": "noisy prior"}


def refinement_units(
    asked: RefinementConfiguration,
    experiment: Experiment,
    one: TrainingSet,
    method: str,
    fit: Unit,
    train: Unit,
    *,
    with_radius: bool = False,
    kept: Sequence[str] = (),
) -> list[Unit]:
    """Return the units that carry out one method with one fit.

    Parameters
    ----------
    asked : RefinementConfiguration
    experiment : Experiment
    one : TrainingSet
    method : str
        Any but ``prior`` and ``both``.
    fit, train : Unit
        The fit, and the selection that it was trained on.
    with_radius : bool
        Predict with the adapted potential at the chosen radius too: the method ``both``.
    kept : sequence of str
        Names of systems whose adapted potential is kept for what follows.
    """
    step = kind_of(method)
    parameters: dict[str, Any] = {
        "method": method,
        "step": step,
        "level": experiment.level,
        "threads": asked.threads,
        "device": asked.training.device,
    }
    if step in ("test_time", "delta"):
        parameters["prior"] = fit.parameters["prior"]
    if step == "test_time":
        parameters["test_time"] = asked.test_time.model_dump(mode="json")
        parameters["noise"] = asked.noise if method in _WRONG else None
    if step == "radius" or with_radius:
        potential = experiment.potential or asked.potential
        low, high = (reach * trained_cutoff(potential) for reach in asked.radius.reach)
        if method == "radius_random_cutoff":
            low, high = cutoff_range(asked, potential)
        parameters["radius"] = {
            "form": method.removeprefix("radius_") if method in _FORMS else asked.radius.form,
            "per": asked.radius.per,
            "radii": np.linspace(low, high, asked.radius.n_radii).tolist(),
        }
    if step == "fine_tune":
        parameters["n"] = sorted(asked.fine_tune.n)
        tuning = FINE_TUNING.model_dump() | asked.fine_tune.training
        parameters["training"] = TrainingConfig(**tuning).model_dump(mode="json")
    inputs = {"fit": fit.key, "data": experiment.data.key, "train": train.key}
    tested = experiment.tested(one)
    size = len(tested) if step in ("plain", "delta") else SYSTEMS_PER_UNIT
    return [
        Unit(
            "refinement",
            1,
            {
                **parameters,
                "systems": {s.name: [list(s.adapted), list(s.held)] for s in group},
                "kept": sorted({s.name for s in group} & set(kept)) if step == "test_time" else [],
            },
            inputs,
            one.seed,
        )
        for group in (tested[i : i + size] for i in range(0, len(tested), size))
    ]


def kind_of(method: str) -> str:
    """Return what a method does at test time: plain, delta, radius, test_time or fine_tune."""
    for kind in ("radius", "test_time", "fine_tune", "delta"):
        if method.startswith(kind):
            return kind
    return "plain"


def run_refinement_unit(unit: Unit, store: Store, folder: Path) -> None:
    """Carry out one method on some systems, and keep predictions and what was done."""
    asked = unit.parameters
    torch.set_num_threads(asked["threads"])
    potential, _ = load_potential(
        store.folder(unit.inputs["fit"]) / "potential", device=choose_device(asked["device"])
    )
    data = read_set(store, unit.inputs["data"])
    spectra, owed = None, None
    train = by_id(data, selected(store, unit.inputs["train"]))
    if "radius" in asked:
        spectra = SpectrumReference.of(train, potential.cutoff)
    if asked["step"] == "test_time":
        weights = TestTimeConfig(**asked["test_time"])
        owed = prior_loss(potential, train, prior_level=asked["prior"], config=weights)
    arrays: dict[str, np.ndarray] = {}
    told: dict[str, Any] = {}
    for place, (name, (adapted, held)) in enumerate(asked["systems"].items()):
        system = by_id(data, [*adapted, *held])
        done, told[name], refined = _refine(
            asked, potential, system, len(adapted), spectra, owed, unit.seed
        )
        for method, labels in done.items():
            arrays[f"{place}/{method}/energy"] = np.where(labels.has_energy, labels.energy, np.nan)
            there = labels.has_forces[system.atom_conformer, None]
            forces = np.where(there, labels.forces, np.nan).astype(np.float32)
            arrays[f"{place}/{method}/forces"] = forces
        if name in asked["kept"]:
            save_potential(folder / "potentials" / str(place), refined, {"system": name})
    save_file(arrays, folder / "predictions.safetensors")
    (folder / "told.json").write_text(json.dumps(told))


def read_refinements(
    store: Store, unit: Unit
) -> list[tuple[str, str, list[str], np.ndarray, np.ndarray]]:
    """Return (method, system, ids, energy, forces) for everything that a unit predicted."""
    arrays = load_file(store.folder(unit.key) / "predictions.safetensors")
    found = []
    for place, (name, (adapted, held)) in enumerate(unit.parameters["systems"].items()):
        methods = {key.split("/")[1] for key in arrays if key.startswith(f"{place}/")}
        for method in sorted(methods):
            energy, forces = (arrays[f"{place}/{method}/{q}"] for q in ("energy", "forces"))
            found.append((method, name, [*adapted, *held], energy, forces))
    return found


def read_told(store: Store, unit: Unit) -> dict[str, dict[str, Any]]:
    """Return what a unit did, by system: radii, steps, why they ended, labels left out."""
    told: dict[str, dict[str, Any]] = json.loads((store.folder(unit.key) / "told.json").read_text())
    return told


def kept_potential(store: Store, unit: Unit, system: str) -> Path:
    """Return the folder of the adapted potential of a system."""
    place = list(unit.parameters["systems"]).index(system)
    return store.folder(unit.key) / "potentials" / str(place)


def _refine(
    asked: Mapping[str, Any],
    potential: Potential,
    system: ConformerSet,
    n_adapted: int,
    spectra: SpectrumReference | None,
    owed: float | None,
    seed: int,
) -> tuple[dict[str, Labels], dict[str, Any], Potential]:
    """Return labels by method, what was done, and the potential that did it."""
    method, level, index = asked["method"], asked["level"], np.arange(n_adapted)
    if asked["step"] == "plain":
        return {method: predict(potential, system, level=level)}, {}, potential
    if asked["step"] == "delta":
        learnt = predict(potential, system, level=difference_level(level, asked["prior"]))
        return {method: add_prior(learnt, system, prior_level=asked["prior"])}, {}, potential
    if asked["step"] == "radius":
        labels, told = _at_chosen_radii(asked, potential, system, index, spectra)
        return {method: labels}, told, potential
    if asked["step"] == "fine_tune":
        done, config = {}, TrainingConfig(**asked["training"])
        for n in asked["n"]:
            if n <= n_adapted:
                tuned = fine_tune(
                    potential, system, level=level, index=index[:n], config=config, seed=seed
                )
                done[f"fine_tune_{n}"] = predict(tuned.potential, system, level=level)
        return done, {}, potential
    source = asked["prior"]
    if method in _WRONG:
        source = _WRONG[method]
        wrong = (
            inverted(system.labels(asked["prior"]))
            if method == "test_time_wrong_prior"
            else noisy(system, asked["prior"], share=asked["noise"], seed=seed)
        )
        system = system.with_level(source, wrong)
    try:
        found = adapt(
            potential,
            system,
            prior_level=asked["prior"],
            index=index,
            config=TestTimeConfig(**asked["test_time"]),
            seed=seed,
            labels=source,
            owed=owed,
        )
    except DataError as error:  # the prior can treat none of these structures
        nothing = Labels.empty(len(system), system.n_atoms)
        methods = [method, *(["both"] if "radius" in asked else [])]
        return dict.fromkeys(methods, nothing), {"failed": str(error)}, potential
    looks, watched = found.history["check_step"], found.history["watched_loss"]
    told = {
        "steps": found.steps,
        "stopped": found.stopped,
        "left_out": found.left_out,
        "watched_loss": [float(watched[0]), float(watched[looks == found.steps][0])],
    }
    done = {method: predict(found.potential, system, level=level)}
    if "radius" in asked:
        done["both"], radius = _at_chosen_radii(asked, found.potential, system, index, spectra)
        told |= radius
    return done, told, found.potential


def _at_chosen_radii(
    asked: Mapping[str, Any],
    potential: Potential,
    system: ConformerSet,
    index: np.ndarray,
    spectra: SpectrumReference | None,
) -> tuple[Labels, dict[str, Any]]:
    """Predict at the radii whose spectra are nearest to those of the training set.

    A molecule's radius is chosen on the half that may be adapted on.
    """
    assert spectra is not None
    options, radii = asked["radius"], np.array(asked["radius"]["radii"])
    one = options["per"] == "molecule"
    choice = choose_radii(
        system.select(index) if one else system,
        spectra,
        form=options["form"],
        radii=radii,
        per=options["per"],
    )
    chosen = np.full(len(system), choice.radius[0]) if one else choice.radius
    labels = predict_at_radii(potential, system, chosen, level=asked["level"])
    return labels, {"radius": float(chosen.mean()), "changed": float(choice.changed.mean())}
