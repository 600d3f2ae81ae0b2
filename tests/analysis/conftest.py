"""SYNTHETIC data in the layouts of a study: made up, with a trade-off put in by hand."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from breadth.analysis.figures.table import table
from breadth.analysis.tradeoff.predictions import CELL

TEST_SETS = (
    "unseen_conformers",
    "own_conformers",
    "unseen_minima",
    "unseen_molecules",
    "unseen_scaffolds",
    "larger_molecules",
)
BUDGET = 600
BOTH_RANDOM = ("random", "random")
DESIGNS = [("fixed_budget", m, BUDGET // m, *BOTH_RANDOM) for m in (20, 40, 60, 100, 150, 300)]
DESIGNS += [("fixed_molecules", 60, c, *BOTH_RANDOM) for c in (1, 2, 5, 10, 20)]
#: What a selector makes of the error, by axis; random comes first.
EFFECTS = {"random": 1.0, "fps": 0.8, "kmedoids": 0.9, "butina": 0.95, "direct": 1.02}
SELECTORS = [("molecule_selectors", 60, 5, name, "random") for name in EFFECTS]
SELECTORS += [("conformer_selectors", 60, 5, "random", name) for name in EFFECTS]
N_REPLICATES = 3


def synthetic_predictions(
    n_test_molecules: int = 20, n_conformers: int = 12, seed: int = 0, designs=DESIGNS
) -> xr.Dataset:
    """Predictions whose error is a + b·M^−½ + c·C^−½ of the reference forces, by test set."""
    rng = np.random.default_rng(seed)
    cells = sorted({design[1:] for design in designs})
    models = [(*cell, r, q) for q in (1.0, 0.25) for cell in cells for r in range(N_REPLICATES)]
    # structures: one block of molecules per test set; own conformers: random picks from the first
    block = n_test_molecules
    molecule = np.repeat(np.arange(5 * block), n_conformers)
    n_atoms = np.repeat(rng.integers(9, 16, 5 * block), n_conformers)
    n_structures, n_rows = len(molecule), int(n_atoms.sum())
    forces = rng.laplace(scale=1.0, size=(n_rows, 3))
    offset = rng.normal(-900.0, 200.0, 5 * block)[molecule]
    energy = offset + rng.normal(0.0, 0.35, n_structures)
    sets = np.repeat([0, 2, 3, 4, 5], block)[molecule]
    member = np.zeros((len(models), len(TEST_SETS), n_structures), dtype=bool)
    predicted_energy = np.empty((len(models), n_structures))
    predicted_forces = np.empty((len(models), n_rows, 3), dtype=np.float32)
    hardness = np.exp(rng.normal(0.0, 0.3, 5 * block))[molecule]
    breadth_matters = np.array([0.4, 0.4, 0.6, 2.2, 2.8, 3.4])
    depth_matters = np.array([0.55, 0.5, 0.6, 0.15, 0.15, 0.15])
    luck = np.exp(rng.normal(0.0, 0.1, N_REPLICATES))
    for i, (m, c, by, within, r, q) in enumerate(models):
        member[i] = sets == np.arange(len(TEST_SETS))[:, None]
        own = rng.choice(block, size=min(block, m) // 2, replace=False)
        member[i, 1] = np.isin(molecule, own)
        scale = 0.08 + breadth_matters[sets] / m**0.6 + depth_matters[sets] / c**0.6
        scale = scale * EFFECTS[by] * EFFECTS[within]
        scale = scale * luck[r] * hardness * (1.0 if q == 1.0 else 1.5 + 0.4 * rng.random())
        noise = np.repeat(scale, n_atoms)[:, None] * rng.laplace(size=(n_rows, 3))
        predicted_forces[i] = 0.97 * forces + noise
        predicted_energy[i] = energy + scale * rng.normal(0.0, 0.4, n_structures)
        predicted_energy[i] += (0.2 * rng.normal(size=5 * block))[molecule]
    index = {model: i for i, model in enumerate(models)}
    of, quarter = (
        np.array([[index[(*d[1:], r, q)] for r in range(N_REPLICATES)] for d in designs])
        for q in (1.0, 0.25)
    )
    return xr.Dataset(
        {
            "conformer_id": ("structure", np.array([f"{i:032x}" for i in range(n_structures)])),
            "molecule": ("structure", np.array([f"molecule {i}" for i in molecule])),
            "n_atoms": ("structure", n_atoms, {"sample_dimension": "atom"}),
            "energy_reference": ("structure", energy),
            "energy_prior": ("structure", 0.8 * energy + rng.normal(0.0, 0.25, n_structures)),
            "atomic_number": ("atom", rng.choice([1, 6, 7, 8], n_rows)),
            "forces_reference": (("atom", "xyz"), forces),
            "forces_prior": (("atom", "xyz"), 0.9 * forces + rng.laplace(0, 0.5, forces.shape)),
            "energy": (("model", "structure"), predicted_energy),
            "forces": (("model", "atom", "xyz"), predicted_forces),
            "member": (("model", "test_set", "structure"), member),
            "model_of": (("design", "replicate"), of),
            "model_of_quarter": (("design", "replicate"), quarter),
        },
        coords={
            **{
                name: ("design", np.array([d[i] for d in designs]))
                for i, name in enumerate(("experiment", *CELL))
            },
            "test_set": list(TEST_SETS),
        },
        attrs={"prior": "MMFF94", "level": "gfn2", "synthetic": "yes"},
    )


def synthetic_pool(seed: int = 0) -> xr.Dataset:
    """Made-up columns of ``pool.nc``."""
    rng = np.random.default_rng(seed)
    n = 400
    rotatable = rng.poisson(2.0, n)
    minima = 1 + rng.poisson(1.5 * rotatable)
    torsion = np.where(minima > 1, rng.gamma(6.0, 0.15, n), np.nan)
    return xr.Dataset(
        {
            "n_atoms": ("molecule", rng.integers(9, 24, n)),
            "n_rotatable_bonds": ("molecule", rotatable),
            "n_minima": ("molecule", minima),
            "rmsd_vibration": ("molecule", rng.gamma(20.0, 0.006, n)),
            "rmsd_torsion": ("molecule", torsion),
            "force_norm": ("conformer", rng.gamma(12.0, 0.12, 20 * n)),
            "n_molecules_with": ("element", np.array([400, 398, 220, 260, 25])),
            "n_atoms_of": ("element", np.array([3600, 2500, 420, 500, 40])),
        },
        coords={"element": ["H", "C", "N", "O", "F"]},
        attrs={"synthetic": "yes"},
    )


def synthetic_curves(seed: int = 0, designs=DESIGNS) -> xr.Dataset:
    """Made-up columns of ``curves.nc``."""
    rng = np.random.default_rng(seed)
    models = [
        (*design[1:], r, q) for q in (1.0, 0.25) for design in designs for r in range(N_REPLICATES)
    ]
    updates = np.arange(1, 25) * 100.0
    rows, losses, steps = [], [], []
    for m, c, *_, q in models:
        floor = 0.08 + 2.2 / m**0.6 + 0.15 / c**0.6
        curve = floor + 0.6 * np.exp(-updates / (500.0 * q + 200.0))
        curve = curve * np.exp(rng.normal(0.0, 0.02, len(updates)))
        keep = updates <= updates[-1] * q
        rows.append(np.where(keep, curve, np.nan))
        losses.append(np.where(keep, curve * 0.6, np.nan))
        steps.append(np.where(keep, updates, np.nan))
    return xr.Dataset(
        {
            "updates": (("model", "checkpoint"), np.array(steps)),
            "monitor_force_mae": (("model", "checkpoint"), np.array(rows)),
            "train_loss": (("model", "checkpoint"), np.array(losses)),
        },
        coords={
            name: ("model", np.array([m[i] for m in models]))
            for i, name in enumerate((*CELL, "replicate", "updates_fraction"))
        },
        attrs={"synthetic": "yes", "monitor": "unseen_molecules"},
    )


@pytest.fixture(scope="session")
def predictions() -> xr.Dataset:
    """SYNTHETIC predictions of a whole study."""
    return synthetic_predictions()


@pytest.fixture(scope="session")
def results(predictions: xr.Dataset) -> xr.Dataset:
    """Errors of the synthetic predictions."""
    from breadth.analysis import measure_errors

    return measure_errors(predictions, n_resamples=200)


@pytest.fixture(scope="session")
def pool() -> xr.Dataset:
    """SYNTHETIC contents of a pool."""
    return synthetic_pool()


@pytest.fixture(scope="session")
def curves() -> xr.Dataset:
    """SYNTHETIC training curves."""
    return synthetic_curves()


@pytest.fixture(scope="session")
def by_selector() -> xr.Dataset:
    """Errors of a SYNTHETIC study of selectors alone."""
    from breadth.analysis import measure_errors

    return measure_errors(synthetic_predictions(designs=SELECTORS), n_resamples=200)


def _drawn(figure: Figure) -> np.ndarray:
    """All numbers of the marks, lines, bars, cells and annotated texts of a figure."""
    found: list[np.ndarray] = []
    for axes in figure.axes:
        found += [np.ravel(line.get_xydata()) for line in axes.lines]
        for collection in axes.collections:
            found += [np.ravel(path.vertices) for path in collection.get_paths()]
            found.append(np.ravel(np.ma.filled(collection.get_offsets(), np.nan)))
            if collection.get_array() is not None:
                found.append(np.ravel(np.ma.filled(collection.get_array(), np.nan)))
        for patch in axes.patches:
            path = patch.get_patch_transform().transform_path(patch.get_path())
            found.append(np.ravel(path.vertices))
            if isinstance(patch, StepPatch):
                found += [np.ravel(patch.get_data().values), np.ravel(patch.get_data().edges)]
        found += [np.ravel(image.get_array()) for image in axes.images]
    return np.unique(np.concatenate([np.asarray(f, dtype=float) for f in found]))


def _marks(figure: Figure) -> np.ndarray:
    """Points (x, y) of all marks that stand in data units within their panels."""
    marked = [
        np.asarray(line.get_xydata(), dtype=float)
        for axes in figure.axes
        for line in axes.lines
        if line.get_marker() not in ("None", "", None, "|") and line.get_clip_on()
        if line.get_transform() == axes.transData
    ]
    points = np.concatenate(marked or [np.empty((0, 2))])
    return points[np.isfinite(points).all(axis=1)]


def _among(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Say of each value whether it is among those known, but for rounding."""
    place = np.searchsorted(known, values).clip(1, len(known) - 1)
    off = np.minimum(np.abs(known[place] - values), np.abs(known[place - 1] - values))
    return off <= 1e-6 * np.maximum(np.abs(values), 1e-3)


@pytest.fixture(scope="session")
def tells_what_it_draws() -> Callable[[Figure], None]:
    """Check that the numbers of a figure's table are drawn, and that all marks are in the table."""

    def check(figure: Figure) -> None:
        rows = table(figure)
        told = {
            axis: np.array([r[axis] for r in rows if not isinstance(r.get(axis, ""), str)], float)
            for axis in ("x", "y", "value")
        }
        named = any(isinstance(r["y"], str) and r["y"] for r in rows)  # then x is what is measured
        drawn = _drawn(figure)
        low = min(axes.get_ylim()[0] for axes in figure.axes)  # below, an arrow stands at the edge
        assert _among(told["y"][told["y"] > low], drawn).all()
        assert not named or _among(told["x"], drawn).all()
        known = np.unique(np.concatenate(list(told.values())))
        assert known.size
        # Marks are set apart along the other axis, so that one of both numbers is the table's.
        assert np.array([_among(x, known) for x in _marks(figure).T]).any(axis=0).all()

    return check
