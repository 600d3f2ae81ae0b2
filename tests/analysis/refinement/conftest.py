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
