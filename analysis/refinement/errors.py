"""Errors and gains of refinement, with intervals: ``predictions.nc`` → ``results.nc``."""

import numpy as np
import xarray as xr

from ...diversity.errors import ConfigurationError
from ..bootstrap import CrossedBootstrap
from ..errors import MINIMUM_CONFORMERS, force_mae_by_structure, mean_by_molecule, structure_starts
from .groups import group_means, groups_of
from .layout import PLAIN, bases, cells, check_refinement

_ERRORS = ("force_mae", "conformational_energy_mae")
_GAINS = {
    "gain": ("force_mae", PLAIN),
    "gain_steps": ("force_mae", "base"),
    "conformational_energy_gain": ("conformational_energy_mae", PLAIN),
    "conformational_energy_gain_steps": ("conformational_energy_mae", "base"),
}


def refinement_errors(
    predictions: xr.Dataset,
    *,
    n_resamples: int = 1000,
    random_state: int = 0,
    minimum_conformers: int = MINIMUM_CONFORMERS,
) -> xr.Dataset:
    """Compute every error and gain of a study of refinement from its predictions.

    All methods are compared on the same structures: the half of each system that no method was
    given (``force_mae``, ``gain``, …). The other half, whose geometries were adapted on, stands
    beside it with the ending ``_adapted``. A gain is a paired difference, structure by structure:
    positive where the method's error is smaller.

    Parameters
    ----------
    predictions : xarray.Dataset
        See :mod:`breadth.analysis.refinement.layout`.
    n_resamples, random_state : int
        The crossed bootstrap at 95 %: over replicates × structures for one system, over
        replicates × systems for a group, that is one kind of shift in one experiment.
    minimum_conformers : int
        Structures of a half that a conformational-energy error needs, ≥ 2.

    Returns
    -------
    xarray.Dataset
        ``force_mae``, ``conformational_energy_mae`` and their ``_adapted`` ([design,] system,
        method, replicate); ``gain`` (against `none`), ``gain_steps`` (against ``base_of_method``:
        the same model without test-time steps) and ``conformational_energy_gain``,
        ``…_gain_steps`` likewise; ``relative_gain`` = gain ÷ error of `none`; intervals
        ``NAME_interval`` (…, system, method, bound); ``prior_force_mae``, ``zero_force_mae``,
        ``…_conformational_energy_mae`` (system); means over groups with a ``group_`` before them;
        ``structure_force_mae`` ([design,] method, replicate, structure) and ``force_norm``
        (structure), which figures bin.

    Raises
    ------
    DataError
        The predictions are incomplete or not in the agreed layout.
    ConfigurationError
        ``minimum_conformers`` is below 2.
    """
    check_refinement(predictions)
    if minimum_conformers < 2:
        raise ConfigurationError(
            f"minimum_conformers is {minimum_conformers}: a mean is removed, so 2 are needed"
        )
    bootstrap = CrossedBootstrap(n_resamples=n_resamples, random_state=random_state)
    tables = _Structures(predictions, minimum_conformers)
    with_design = "design" in predictions["energy"].dims
    dims = (*(("design",) if with_design else ()), "system", "method", "replicate")
    found = predictions.variables
    results = xr.Dataset(
        coords={
            **{
                str(name): predictions[name]
                for name in found
                if predictions[name].dims in (("system",), ("design",), ("method",), ("replicate",))
            },
            **{name: predictions[name] for name in ("system_of", "adapted")},
            **groups_of(predictions),
            "bound": ["lower", "upper"],
        },
        attrs={
            **{k: v for k, v in predictions.attrs.items() if k in ("prior", "level", "synthetic")},
            "interval": "95 % crossed bootstrap over replicates × structures of a system, and "
            "over replicates × systems of a group",
            "n_resamples": n_resamples,
            "random_state": random_state,
        },
    )
    base = bases(predictions)
    methods = predictions["method"].values.astype(str).tolist()
    results["base_of_method"] = ("method", np.array([base.get(m, "") for m in methods]))
    rows = {
        PLAIN: [methods.index(PLAIN)] * len(methods),
        "base": [methods.index(base[m]) if m in base else -1 for m in methods],
    }

    def add(name: str, half: str, table: np.ndarray, *, positive: bool) -> None:
        values = tables.by_system(table, half)
        results[name] = (dims, values if with_design else values[0])
        if half == "held":
            bounds = tables.intervals(table, bootstrap, positive=positive)
            of = (*dims[:-1], "bound")
            results[f"{name}_interval"] = (of, bounds if with_design else bounds[0])

    for half, ending in (("held", ""), ("adapted", "_adapted")):
        for name in _ERRORS:
            add(f"{name}{ending}", half, tables.tables[name, half], positive=True)
        for name, (error, against) in _GAINS.items():
            table = tables.tables[error, half]
            other = table[:, rows[against]]
            other[:, [row < 0 for row in rows[against]]] = np.nan
            add(f"{name}{ending}", half, other - table, positive=False)
    for name, values in tables.baselines().items():
        results[name] = (("system",), values)
    # The error without refinement on the structures that the method predicts, which may be fewer.
    results["relative_gain"] = results["gain"] / (results["force_mae"] + results["gain"])
    results["relative_force_mae"] = results["force_mae"] / results["zero_force_mae"]
    names = (*_ERRORS, *_GAINS, "relative_gain", "zero_force_mae", "prior_force_mae")
    for name in names:
        results = group_means(results, name, bootstrap, positive=name.endswith("_mae"))
    of_group = results["group_of"].values[:, None] == np.arange(results.sizes["group"])
    members = xr.DataArray(of_group.astype(int), dims=("system", "group"))
    for name in _ERRORS:
        known = results[name].notnull().any("replicate").astype(int)
        results[f"group_{name}_n_systems"] = known.dot(members).transpose(..., "group", "method")
    by_structure = tables.force_mae if with_design else tables.force_mae[0]
    of = (*(d for d in dims if d != "system"), "structure")
    results["structure_force_mae"] = (of, by_structure)
    results["force_norm"] = (("structure",), tables.force_norm)
    results["n_structures"] = (("system",), np.bincount(tables.of, minlength=tables.n_systems))
    for key in results.data_vars:
        name = str(key)
        results[name].attrs = _attributes(name)
    return results


class _Structures:
    """Errors of every structure, ([1 or] design, method, replicate, structure), by half."""

    def __init__(self, predictions: xr.Dataset, minimum: int) -> None:
        self.of = predictions["system_of"].values
        self.n_systems = predictions.sizes["system"]
        adapted = predictions["adapted"].values
        self.rows = {"held": ~adapted, "adapted": adapted}
        self.minimum = minimum
        self.reference = predictions["energy_reference"].values
        forces, self.n_atoms = predictions["forces_reference"].values, predictions["n_atoms"].values
        starts = structure_starts(self.n_atoms)
        norms = np.linalg.norm(forces.astype(np.float64), axis=-1)
        self.force_norm = np.add.reduceat(norms, starts) / self.n_atoms
        self.zero = force_mae_by_structure(np.zeros_like(forces), forces, self.n_atoms)
        nothing = np.full(len(self.of), np.nan)
        self.prior, self.prior_energy = nothing, nothing
        if "forces_prior" in predictions:
            prior = predictions["forces_prior"].values
            self.prior = force_mae_by_structure(prior, forces, self.n_atoms)
        if "energy_prior" in predictions:
            self.prior_energy = predictions["energy_prior"].values

        sizes = predictions.sizes
        n_designs = sizes["design"] if "design" in predictions["energy"].dims else 1
        shape = (n_designs, sizes["method"], sizes["replicate"], sizes["structure"])
        self.force_mae = np.full(shape, np.nan)
        halves = {half: np.full(shape, np.nan) for half in self.rows}
        for cell in cells(predictions):
            index = (cell.get("design", 0), cell["method"], cell["replicate"])
            self.force_mae[index] = force_mae_by_structure(
                predictions["forces"].isel(cell).values, forces, self.n_atoms
            )
            energy = predictions["energy"].isel(cell).values
            for half, table in halves.items():
                table[index] = self.conformational(energy, half)
        self.tables = {
            (name, half): table
            for half in self.rows
            for name, table in zip(_ERRORS, (self.force_mae, halves[half]), strict=True)
        }

    def conformational(self, energy: np.ndarray, half: str) -> np.ndarray:
        """Return each structure's share of the error of energies about the system's mean, (S,).

        The mean is that of the half; the root makes up for the spread that removing it takes away.
        """
        residual = energy - self.reference
        use = np.flatnonzero(self.rows[half] & np.isfinite(residual))
        of, n = self.of[use], np.bincount(self.of[use], minlength=self.n_systems)
        centred = residual[use] - mean_by_molecule(residual[use], of, self.n_systems)[of]
        enough = n[of] >= self.minimum
        result = np.full(len(energy), np.nan)
        count = n[of][enough]
        result[use[enough]] = np.abs(centred[enough]) * np.sqrt(count / (count - 1))
        return result

    def by_system(self, table: np.ndarray, half: str) -> np.ndarray:
        """Average (design, method, replicate, structure) to (design, system, method, replicate)."""
        means = np.empty((*table.shape[:-1], self.n_systems))
        for index in np.ndindex(table.shape[:-1]):
            means[index] = self._mean(table[index], half)
        return np.moveaxis(means, -1, 1)

    def _mean(self, values: np.ndarray, half: str) -> np.ndarray:
        use = self.rows[half] & np.isfinite(values)
        return mean_by_molecule(values[use], self.of[use], self.n_systems)

    def intervals(
        self, table: np.ndarray, bootstrap: CrossedBootstrap, *, positive: bool
    ) -> np.ndarray:
        """Return bounds (design, system, method, 2) for means over replicates × held structures."""
        n_designs, n_methods = table.shape[:2]
        bounds = np.empty((n_designs, self.n_systems, n_methods, 2))
        for system in range(self.n_systems):
            rows = np.flatnonzero(self.rows["held"] & (self.of == system))
            for design, method in np.ndindex(n_designs, n_methods):
                bounds[design, system, method] = bootstrap.interval(
                    table[design, method][:, rows], positive=positive
                )
        return bounds

    def baselines(self) -> dict[str, np.ndarray]:
        """Return what no model at all reaches on the half held back, (system,)."""
        return {
            "zero_force_mae": self._mean(self.zero, "held"),
            "prior_force_mae": self._mean(self.prior, "held"),
            "zero_conformational_energy_mae": self._mean(
                self.conformational(np.zeros_like(self.reference), "held"), "held"
            ),
            "prior_conformational_energy_mae": self._mean(
                self.conformational(self.prior_energy, "held"), "held"
            ),
        }


_LONG_NAMES = {
    "force_mae": "force MAE over Cartesian components, averaged over structures",
    "conformational_energy_mae": "energy MAE with the system's mean removed, times sqrt(n/(n-1))",
    "gain": "force MAE of 'none' minus that of the method",
    "gain_steps": "force MAE of the same model without test-time steps minus that of the method",
    "relative_gain": "gain ÷ force MAE of 'none'",
    "relative_force_mae": "force MAE ÷ mean |F component|",
    "zero_force_mae": "force MAE of predicting zero: mean |F component|",
    "prior_force_mae": "force MAE of the prior itself",
    "zero_conformational_energy_mae": "conformational-energy MAE of one energy per system",
    "prior_conformational_energy_mae": "conformational-energy MAE of the prior itself",
    "conformational_energy_gain": "conformational-energy MAE of 'none' minus that of the method",
    "conformational_energy_gain_steps": "conformational-energy MAE of the same model without "
    "test-time steps minus that of the method",
    "structure_force_mae": "force MAE of one structure",
    "force_norm": "mean over atoms of the norm of the reference force",
}
_COUNTS = {
    "n_structures": "structures of the system, both halves",
    "group_n_systems": "systems of the group",
    **{f"group_{n}_n_systems": f"systems of the group whose {n} is known" for n in _ERRORS},
    "base_of_method": "the same model without test-time steps; empty: none",
}


def _attributes(name: str) -> dict[str, str]:
    if name in _COUNTS:
        return {"units": "1", "long_name": _COUNTS[name], "missing": "none"}
    core = name.removeprefix("group_").removesuffix("_interval").removesuffix("_adapted")
    units = "eV" if "energy" in core else "eV/angstrom"
    if core.startswith("relative"):
        units = "1"
    said = _LONG_NAMES[core]
    if name.startswith("group_"):
        said = f"mean over the systems of a group: {said}"
    if name.endswith("_adapted"):
        said += ", on the half that was adapted on"
    missing = "NaN: the method does not predict it here, or there is no such label or prior"
    if name.endswith("_interval"):
        said = f"95 % interval of the mean over replicates: {said}"
        missing = "NaN: fewer than two replicates, structures or systems"
    elif "conformational" in core:
        missing += ", or too few structures"
    return {"units": units, "long_name": said, "missing": missing}
