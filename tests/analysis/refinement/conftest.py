"""SYNTHETIC data in the layouts of a study of refinement, with the gains put in by hand."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

#: What a method makes of a model's error, in distribution and far out of it.
EFFECTS = {
    "none": (1.0, 1.0),
    "joint": (1.02, 0.9),
    "pretrain_freeze": (1.3, 1.1),
    "radius": (1.0, 0.97),
    "radius_random_cutoff": (1.05, 0.98),
    "test_time": (1.0, 0.72),
    "test_time_wrong_prior": (1.2, 1.25),
    "both": (1.0, 0.7),
    "delta": (0.9, 0.75),
    "prior": (4.0, 1.2),
    "weight_decay": (1.05, 0.99),
    "early_stopping": (1.1, 1.02),
    **{
        f"fine_tune_{n}": (1 / (1 + 0.02 * n**0.6), 1 / (1 + 0.25 * n**0.6))
        for n in (1, 5, 20, 100)
    },
}
#: Experiment, shift, systems, structures of each, how far out.
SYSTEMS = (
    ("pools", "in_distribution", 6, 12, 0.0),
    ("pools", "new_element", 5, 12, 1.0),
    ("pools", "larger", 5, 12, 0.35),
    ("pools", "high_force", 5, 12, 0.6),
    ("pools", "new_scaffold", 5, 12, 0.2),
    ("pools", "stretched", 5, 12, 0.8),
    ("rmd17", "in_distribution", 3, 24, 0.0),
    ("rmd17", "new_molecule", 3, 24, 0.7),
    ("acac", "in_distribution", 1, 20, 0.0),
    ("acac", "hotter", 1, 20, 0.4),
)
RMD17 = ("benzene", "uracil", "aspirin", "naphthalene", "toluene", "salicylic acid")
DESIGNS = (25, 50, 100, 200)
BUDGET = 1000


def synthetic_refinement(
    *,
    methods: tuple[str, ...] = tuple(EFFECTS),
    systems: tuple[tuple[str, str, int, int, float], ...] = SYSTEMS,
    n_replicates: int = 3,
    designs: tuple[int, ...] = (),
    seed: int = 0,
) -> xr.Dataset:
    """Predictions of every method: reference plus noise whose width `EFFECTS` gives."""
    rng = np.random.default_rng(seed)
    experiment, shift, out, count = (
        np.array([row[k] for row in systems for _ in range(row[2])]) for k in (0, 1, 4, 3)
    )
    n_systems = len(experiment)
    molecules = iter(RMD17)
    names = [
        next(molecules, "") if e == "rmd17" else f"{e} molecule {i}"
        for i, e in enumerate(experiment)
    ]
    size = rng.integers(9, 16, n_systems) + (5 * (shift == "larger"))
    of = np.repeat(np.arange(n_systems), count)
    n_atoms, n_structures = size[of], int(count.sum())
    n_rows = int(n_atoms.sum())
    within = np.concatenate([np.arange(c) for c in count])
    heat = np.exp(rng.normal(0.0, 0.25, n_structures)) * (1 + (shift == "high_force"))[of]
    forces = np.repeat(heat, n_atoms)[:, None] * rng.laplace(scale=0.7, size=(n_rows, 3))
    energy = rng.normal(-900.0, 200.0, n_systems)[of] + rng.normal(0.0, 0.35, n_structures)
    hardness = np.exp(rng.normal(0.0, 0.25, n_systems))
    luck = np.exp(rng.normal(0.0, 0.1, n_replicates))
    sizes = designs or (100,)
    shape = (len(sizes), len(methods), n_replicates)
    predicted = np.empty((*shape, n_rows, 3), dtype=np.float32)
    energies = np.empty((*shape, n_structures))
    for d, m, r in np.ndindex(shape):
        near, far = EFFECTS[methods[m]]
        broad = (100 / sizes[d]) ** 0.5
        width = 0.06 * (1 + 2 * out * broad) * hardness * luck[r] * (near + (far - near) * out)
        noise = rng.laplace(size=(n_rows, 3))
        predicted[d, m, r] = forces + np.repeat((width[of] * heat), n_atoms)[:, None] * noise
        energies[d, m, r] = energy + width[of] * rng.normal(0.0, 0.6, n_structures)
    forces[np.repeat(experiment[of] == "acac", n_atoms)] = np.nan  # scans have energies alone
    dims = ("design", "method", "replicate")
    found = xr.Dataset(
        {
            "conformer_id": ("structure", np.array([f"{i:032x}" for i in range(n_structures)])),
            "system_of": ("structure", of),
            "adapted": ("structure", within % 2 == 0),
            "n_atoms": ("structure", n_atoms, {"sample_dimension": "atom"}),
            "energy_reference": ("structure", energy),
            "energy_prior": ("structure", 0.8 * energy + rng.normal(0.0, 0.25, n_structures)),
            "forces_reference": (("atom", "xyz"), forces),
            "forces_prior": (("atom", "xyz"), 0.9 * forces + rng.laplace(0, 0.3, forces.shape)),
            "energy": ((*dims, "structure"), energies),
            "forces": ((*dims, "atom", "xyz"), predicted),
        },
        coords={
            "system": names,
            "experiment": ("system", experiment),
            "shift": ("system", shift),
            "n_atoms_system": ("system", size),
            "method": list(methods),
            "replicate": np.arange(n_replicates),
        },
        attrs={"prior": "MMFF94", "level": "gfn2", "synthetic": "yes"},
    )
    if not designs:
        return found.isel(design=0)
    return found.assign_coords(
        n_molecules=("design", np.array(designs)),
        n_conformers=("design", BUDGET // np.array(designs)),
        design_experiment=("design", np.array(["fixed_budget"] * len(designs))),
    )


@pytest.fixture(scope="session")
def make() -> Callable[..., xr.Dataset]:
    """The maker of SYNTHETIC predictions."""
    return synthetic_refinement


@pytest.fixture(scope="session")
def refined() -> xr.Dataset:
    """SYNTHETIC predictions of a whole study of refinement."""
    return synthetic_refinement()


@pytest.fixture(scope="session")
def refinement_results(refined: xr.Dataset) -> xr.Dataset:
    """Errors and gains of the synthetic predictions."""
    from breadth.analysis.refinement import refinement_errors

    return refinement_errors(refined, n_resamples=200)


def synthetic_shift(predictions: xr.Dataset, seed: int = 1) -> xr.Dataset:
    """Made-up columns of ``shift.nc``."""
    rng = np.random.default_rng(seed)
    out = np.array([next(s[4] for s in SYSTEMS if s[:2] == pair) for pair in _pairs(predictions)])
    of = predictions["system_of"].values
    n_replicates, n_structures = predictions.sizes["replicate"], predictions.sizes["structure"]
    designs = predictions.sizes.get("design", 0)
    broad = (100 / predictions["n_molecules"].values) ** 0.3 if designs else np.ones(1)
    measures = ["knn", "mahalanobis", "composition"]
    shape = (len(broad), len(out), len(measures), n_replicates)
    score = (0.4 + out[:, None, None]) * broad[:, None, None, None]
    score = score * np.exp(rng.normal(0.0, 0.1, shape))
    dims = ("design", "system", "measure", "replicate")
    table = xr.DataArray(score, dims=dims)
    quantile = xr.DataArray(np.clip(score - 0.1, 0.02, 1.0), dims=dims)
    experiments = np.repeat(["pools", "rmd17", "acac"], 300)
    hot, mixed = rng.gamma(12.0, 0.1, 900), rng.beta(8, 8, 900)
    norms = np.add.reduceat(
        np.linalg.norm(predictions["forces_reference"].values, axis=-1),
        np.cumsum(predictions["n_atoms"].values) - predictions["n_atoms"].values,
    )
    norms = norms / predictions["n_atoms"].values
    fraction = np.clip(0.5 - 0.25 * out[of] + rng.normal(0.0, 0.05, n_structures), 0, 1)
    return xr.Dataset(
        {
            "shift_score": table if designs else table.isel(design=0),
            "shift_quantile": quantile if designs else quantile.isel(design=0),
            "structure_score": (("structure_measure", "structure"), np.array([norms, fraction])),
            "training_score": (("structure_measure", "training_structure"), np.array([hot, mixed])),
            "training_experiment": ("training_structure", experiments),
        },
        coords={
            "system": predictions["system"].values,
            "measure": measures,
            "structure_measure": ["force_norm", "connectivity"],
        },
    )


def _pairs(predictions: xr.Dataset) -> list[tuple[str, str]]:
    names = (predictions[n].values.astype(str).tolist() for n in ("experiment", "shift"))
    return list(zip(*names, strict=True))


def synthetic_spectra() -> xr.Dataset:
    """Made-up columns of ``spectra.nc``."""
    eigenvalue = np.linspace(0.0, 2.0, 81)
    centres = {"pools": (1.0, 1.25, 1.05), "rmd17": (1.02, 1.1, 1.03)}
    density = np.array(
        [
            [
                np.exp(-(((eigenvalue - c) / 0.14) ** 2))
                + 0.15 * np.exp(-((eigenvalue / 0.03) ** 2))
                for c in cs
            ]
            for cs in centres.values()
        ]
    )
    return xr.Dataset(
        {"density": (("experiment", "kind", "eigenvalue"), density * 4)},
        coords={
            "experiment": list(centres),
            "kind": ["train", "test", "refined"],
            "eigenvalue": eigenvalue,
        },
    )


def synthetic_surface() -> xr.Dataset:
    """Made-up columns of ``surface.nc``."""
    x = np.linspace(-0.4, 0.4, 21)
    bowl = 6 * x[:, None] ** 2 + 3 * x[None] ** 2
    rough = 0.06 * np.sin(25 * x[:, None]) * np.cos(22 * x[None])
    methods, sizes = ["none", "joint", "test_time", "prior"], (1.0, 0.7, 0.25, 0.0)
    energy = np.stack([bowl * (0.8 + 0.05 * i) + s * rough for i, s in enumerate(sizes)])
    return xr.Dataset(
        {
            "energy": (("system", "method", "x", "y"), np.stack([energy, energy * 1.3])),
            "energy_reference": (("system", "x", "y"), np.stack([bowl, 1.3 * bowl])),
            "roughness": (("system", "method"), np.array([[0.31, 0.2, 0.08, 0.01]] * 2)),
        },
        coords={"system": ["naphthalene", "toluene"], "method": methods, "x": x, "y": x},
    )


def synthetic_dynamics(seed: int = 2) -> xr.Dataset:
    """Made-up columns of ``dynamics.nc``."""
    rng = np.random.default_rng(seed)
    systems, methods = ["naphthalene", "toluene", "salicylic acid"], ["none", "joint", "test_time"]
    time = np.linspace(0.0, 5.0, 101)
    last = np.array([[0.8, 1.5, 5.0], [1.2, 2.6, 5.0], [0.5, 0.9, 3.4]])
    stability = np.minimum(last[..., None] * np.exp(rng.normal(0.0, 0.2, (3, 3, 3))), 5.0)
    temperature = 500 + 60 * rng.normal(size=(3, 3, 3, len(time)))
    temperature *= 1 + 2 * np.clip(time - 0.8 * stability[..., None], 0, 0.5)
    temperature[time > stability[..., None]] = np.nan
    r = np.linspace(0.8, 6.0, 131)
    peaks = (1.1, 1.4, 2.45, 2.8, 3.7, 4.3)
    reference = sum(np.exp(-(((r - p) / (0.04 + 0.03 * p)) ** 2)) for p in peaks)
    width = np.array([3.0, 2.0, 1.15])
    blurred = np.stack(
        [sum(np.exp(-(((r - p) / (w * (0.04 + 0.03 * p))) ** 2)) / w for p in peaks) for w in width]
    )
    h = np.broadcast_to(blurred[None, :, None], (3, 3, 3, len(r))).copy()
    return xr.Dataset(
        {
            "temperature": (("system", "method", "replicate", "time"), temperature),
            "stability_time": (("system", "method", "replicate"), stability),
            "h": (("system", "method", "replicate", "r"), h),
            "h_reference": (("system", "r"), np.broadcast_to(reference, (3, len(r))).copy()),
            "hr_error": (("system", "method", "replicate"), np.abs(h - reference).mean(axis=-1)),
        },
        coords={"system": systems, "method": methods, "time": time, "r": r},
        attrs={"target_temperature": 500.0, "duration": 5.0, "ensemble": "langevin"},
    )


@pytest.fixture(scope="session")
def scored(refined: xr.Dataset, refinement_results: xr.Dataset) -> xr.Dataset:
    """Synthetic results with made-up scores of shift."""
    from breadth.analysis.refinement import with_scores

    return with_scores(refinement_results, synthetic_shift(refined), n_resamples=200)


@pytest.fixture(scope="session")
def scored_designs() -> xr.Dataset:
    """Synthetic results of every design of a trade-off study, with scores of shift."""
    from breadth.analysis.refinement import refinement_errors, with_scores

    systems = tuple(s for s in SYSTEMS if s[0] == "pools")
    predictions = synthetic_refinement(
        methods=("none", "joint", "radius", "test_time"), systems=systems, designs=DESIGNS
    )
    results = refinement_errors(predictions, n_resamples=200)
    return with_scores(results, synthetic_shift(predictions), n_resamples=200)


@pytest.fixture(scope="session")
def spectra() -> xr.Dataset:
    """SYNTHETIC densities of Laplacian eigenvalues."""
    return synthetic_spectra()


@pytest.fixture(scope="session")
def surface() -> xr.Dataset:
    """SYNTHETIC potential-energy surfaces."""
    return synthetic_surface()


@pytest.fixture(scope="session")
def dynamics() -> xr.Dataset:
    """SYNTHETIC trajectories, summarised."""
    return synthetic_dynamics()


def synthetic_relation(n_systems: int = 36, seed: int = 3) -> xr.Dataset:
    """The relation of made-up scores, errors and gains: `knn` foretells best."""
    from breadth.analysis.relation import relation_table

    rng = np.random.default_rng(seed)
    kinds = ["larger", "high_force", "new_scaffold", "stretched"]
    out = np.resize([0.35, 0.6, 0.2, 0.8], n_systems)
    shape, held = (3, n_systems), (3, 40)
    error = 0.06 * (1 + 2 * out) * np.exp(rng.normal(0.0, 0.2, shape))
    noise = {"knn": 0.05, "mahalanobis": 0.2, "composition": 0.5, "force_norm": 2.0}
    score = {name: np.exp(out + rng.normal(0.0, width, shape)) for name, width in noise.items()}
    return relation_table(
        error,
        {name: np.clip(values / 4, 0, 1) for name, values in score.items()},
        gain={"radius": rng.normal(size=shape), "test_time": error * (0.4 * out - 0.05)},
        covariates={"size": rng.integers(9, 20, n_systems).astype(float)},
        group=np.resize(kinds, n_systems).tolist(),
        score=score,
        hold_out_error=0.06 * np.exp(rng.normal(0.0, 0.2, held)),
        hold_out_score={name: np.exp(rng.normal(0.0, w, held)) for name, w in noise.items()},
        n_resamples=100,
    )


@pytest.fixture(scope="session")
def relation() -> xr.Dataset:
    """A SYNTHETIC relation of shift, error and gain."""
    return synthetic_relation()
