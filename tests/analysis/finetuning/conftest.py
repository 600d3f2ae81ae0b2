"""SYNTHETIC predictions of a study of fine-tuning, with the errors put in by hand."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

ARMS = ("naive", "periodic", "nonperiodic", "chosen")
#: Force error of an arm's model, by iterations done, against the universal model's.
LEARNED = {"naive": 0.8, "periodic": 0.55, "nonperiodic": 0.6, "chosen": 0.45}
#: How well a detector's score goes with the error of an atom.
DETECTORS = {
    "q": 0.5,
    "t2": 0.2,
    "mahalanobis": 0.45,
    "knn": 0.6,
    "density": 0.4,
    "last_layer": -0.05,
}
NUMBERS = np.array([6, 6, 6, 8, 7, 1, 1, 1, 1, 1, 1, 1])  # an amide of twelve atoms
SOFTNESS = {1: 0.6, 6: 1.4, 7: 1.6, 8: 1.2}
N_FRAMES = 30
N_LABELLED = 8
N_COMPONENTS = 5
UNIVERSAL_ERROR = 0.15


def _correlated(rng: np.random.Generator, n: int, memory: float = 0.8) -> np.ndarray:
    noise = rng.normal(size=n)
    for i in range(1, n):
        noise[i] = memory * noise[i - 1] + (1 - memory**2) ** 0.5 * noise[i]
    return noise


def synthetic_finetuning(
    *,
    arms: tuple[str, ...] = ARMS,
    n_iterations: int = 3,
    n_replicates: int = 3,
    n_original: int = 24,
    seed: int = 0,
) -> xr.Dataset:
    """Predictions in the layout of `breadth.analysis.finetuning.layout`."""
    rng = np.random.default_rng(seed)
    models = [("universal", 0, -1)] + [
        (arm, i, r) for arm in arms for i in range(1, n_iterations + 1) for r in range(n_replicates)
    ]
    runs = [("independent", -1, -1), *(("universal", 0, r) for r in range(n_replicates))]
    runs += models[1:]
    sizes = [N_FRAMES] * len(runs)
    if n_original:
        runs.append(("original_domain", -1, -1))
        sizes.append(n_original)
    of = np.repeat(np.arange(len(runs)), sizes)
    frame = np.concatenate([np.arange(n) for n in sizes])
    n_structures, n = len(of), len(NUMBERS)
    numbers = np.tile(NUMBERS, n_structures)
    heat = np.concatenate([1.0 + 0.3 * _correlated(rng, size) ** 2 for size in sizes])
    soft = np.array([SOFTNESS[z] for z in numbers.tolist()])
    reference = rng.normal(scale=soft[:, None], size=(len(numbers), 3))
    energy_reference = -9000.0 + n * 0.02 * heat + 0.05 * rng.normal(size=n_structures)
    # What makes an atom hard, and slowly changes along a run.
    hard = np.exp(0.7 * (rng.normal(size=len(numbers)) + np.repeat(heat, n) - 1.0))
    shape = (len(models), n_structures)
    energy, forces = np.full(shape, np.nan), np.full((*shape, n, 3), np.nan, dtype=np.float32)
    score = np.full((len(models), len(DETECTORS), n_structures, n), np.nan, dtype=np.float32)
    elements = np.unique(NUMBERS)
    limit = np.full((len(models), len(DETECTORS), len(elements)), np.nan)
    luck = np.exp(rng.normal(0.0, 0.12, n_replicates))
    for m, (arm, iteration, replicate) in enumerate(models):
        for k, (run, run_iteration, run_replicate) in enumerate(runs):
            last = run_iteration == n_iterations and run_replicate == replicate
            universal = run == "universal" and replicate in (-1, run_replicate)
            own = (arm, iteration, replicate) == (run, run_iteration, run_replicate)
            common = run_replicate == -1
            if not (
                common
                or own
                or last
                or universal
                or (replicate < 0 and run_iteration == n_iterations)
            ):
                continue
            rows = np.flatnonzero(of == k)
            gain = LEARNED[arm] ** iteration * luck[replicate] if iteration else 1.0
            away = 1.0 + 0.5 * (run != arm) / (1 + iteration) if iteration else 1.0
            error = UNIVERSAL_ERROR * gain * away
            if run == "original_domain":
                error = 0.02 * iteration**0.5 if iteration else 0.0
            difficulty = hard.reshape(n_structures, n)[rows]
            noise = rng.laplace(size=(len(rows), n, 3)) * difficulty[..., None]
            noise *= soft.reshape(n_structures, n)[rows][..., None]
            forces[m, rows] = reference.reshape(n_structures, n, 3)[rows] + error * noise
            wrong = 0.1 * error * _correlated(rng, len(rows)) + 0.02 * error * (iteration == 0)
            energy[m, rows] = energy_reference[rows] + n * wrong
            if not iteration or run == "original_domain":
                continue
            for d, rho in enumerate(DETECTORS.values()):
                seen = rho * np.log(difficulty) / 0.7 + (1 - rho**2) ** 0.5 * rng.normal(
                    size=(len(rows), n)
                )
                score[m, d, rows] = np.exp(seen + np.log(away))
                limit[m, d] = np.exp(1.64) * (0.7 + 0.3 * iteration / n_iterations)
    names = {
        name: np.array([row[k] for row in rows])
        for rows, columns in ((models, ("arm", "iteration", "replicate")),)
        for k, name in enumerate(columns)
    }
    run_names = [np.array([run[k] for run in runs])[of] for k in range(3)]
    molecule = np.where(
        run_names[0] == "original_domain", np.char.add("molecule ", frame.astype(str)), "amide"
    )
    flat = len(numbers)
    return xr.Dataset(
        {
            "energy": (("model", "structure"), energy),
            "forces": (("model", "atom", "xyz"), forces.reshape(len(models), flat, 3)),
            "score": (("model", "detector", "atom"), score.reshape(len(models), -1, flat)),
            "limit": (("model", "detector", "element"), limit),
            "energy_reference": ("structure", energy_reference),
            "forces_reference": (("atom", "xyz"), reference),
            "n_atoms": ("structure", np.full(n_structures, n), {"sample_dimension": "atom"}),
            "atomic_number": ("atom", numbers),
            "conformer_id": ("structure", [f"{i:032x}" for i in range(n_structures)]),
            "n_frames": ("model", N_LABELLED * names["iteration"]),
        },
        coords={
            **{name: ("model", values) for name, values in names.items()},
            "test_run": ("structure", run_names[0]),
            "test_iteration": ("structure", run_names[1]),
            "test_replicate": ("structure", run_names[2]),
            "frame": ("structure", frame),
            "time": ("structure", 20.0 * frame),
            "molecule": ("structure", molecule),
            "detector": list(DETECTORS),
            "element": elements,
        },
        attrs={"level": "gfn2", "synthetic": "yes"},
    )


def synthetic_training(
    *, arms: tuple[str, ...] = ARMS, n_iterations: int = 3, n_replicates: int = 3, seed: int = 1
) -> xr.Dataset:
    """Labelled frames in the layout of ``training.nc``: arms that spread the more, the later."""
    rng = np.random.default_rng(seed)
    wide = dict(zip(arms, (0.6, 0.8, 1.0, 1.6), strict=False))
    rows = [
        (arm, i, r)
        for arm in arms
        for r in range(n_replicates)
        for i in range(1, n_iterations + 1)
        for _ in range(N_LABELLED)
    ]
    n, k = len(rows), len(NUMBERS)
    size = np.array([wide[arm] * (1 + 0.4 * (i - 1)) if i > 1 else 0.5 for arm, i, _ in rows])
    of_frame = rng.normal(size=(n, N_COMPONENTS)) * size[:, None] * [2.0, 1.2, 0.8, 0.5, 0.3]
    of_atom = 0.6 * rng.normal(size=(n, k, N_COMPONENTS)) + of_frame[:, None]
    of_atom[..., 0] += np.where(NUMBERS == 1, -3.0, 3.0)
    energy = -9000.0 + 0.5 * rng.normal(size=n)
    return xr.Dataset(
        {
            "energy_reference": ("frame", energy),
            "energy_universal": ("frame", energy + k * 0.01 * rng.normal(size=n)),
            "n_atoms": ("frame", np.full(n, k), {"sample_dimension": "atom"}),
            "atomic_number": ("atom", np.tile(NUMBERS, n)),
            "component": (("atom", "component"), of_atom.reshape(n * k, -1).astype(np.float32)),
            "explained_variance": ("component", [0.41, 0.2, 0.11, 0.06, 0.03]),
        },
        coords={
            "arm": ("frame", [row[0] for row in rows]),
            "iteration": ("frame", [row[1] for row in rows]),
            "replicate": ("frame", [row[2] for row in rows]),
            "time": ("frame", np.tile(50.0 * np.arange(N_LABELLED), n // N_LABELLED)),
        },
    )


def synthetic_runs(predictions: xr.Dataset, *, seed: int = 2) -> xr.Dataset:
    """How every run went, in the layout of ``runs.nc``: some of the universal model's broke."""
    rng = np.random.default_rng(seed)
    columns = [predictions[name].values for name in ("arm", "iteration", "replicate")]
    rows = [row for row in zip(*columns, strict=True) if row[2] >= 0]
    rows += [("universal", 0, r) for r in range(1 + max(r for *_, r in rows))]
    rows.append(("independent", -1, -1))
    stable = np.minimum(rng.exponential(0.8, len(rows)) + 0.2, 1.0)
    return xr.Dataset(
        {
            "stability_time": ("run", stable),
            "simulated_time": ("run", np.ones(len(rows))),
            "stopped": ("run", np.where(stable < 1, "a bond broke", "")),
            "n_bond_events": ("run", (stable < 1).astype(int)),
        },
        coords={
            "arm": ("run", [r[0] for r in rows]),
            "iteration": ("run", [r[1] for r in rows]),
            "replicate": ("run", [r[2] for r in rows]),
        },
    )


@pytest.fixture(scope="session")
def make_predictions() -> Callable[..., xr.Dataset]:
    return synthetic_finetuning


@pytest.fixture(scope="session")
def predictions() -> xr.Dataset:
    return synthetic_finetuning()


@pytest.fixture(scope="session")
def training() -> xr.Dataset:
    return synthetic_training()


@pytest.fixture(scope="session")
def runs(predictions: xr.Dataset) -> xr.Dataset:
    return synthetic_runs(predictions)


@pytest.fixture(scope="session")
def results(predictions: xr.Dataset, runs: xr.Dataset) -> xr.Dataset:
    from breadth.analysis.finetuning import finetuning_errors

    return finetuning_errors(predictions, runs=runs, n_resamples=200)
