# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own data, your own potential
#
# Everything here is replaceable: the file, the level of theory, the potential, the program that
# predicts. This notebook brings one of each from outside and compares them on equal terms.
#
# ## Your data
#
# Here is a file such as other programs write, extended XYZ by ASE. We make one: ten molecules,
# some geometries, energies and forces by GFN2-xTB.

# %%
import tempfile
from pathlib import Path

import ase.io

from breadth.diversity import read
from breadth.sampling import GeometrySettings, Gfn2, bundled_molecules, label, sample_geometries
from breadth.studies import progress_bar

folder = Path(tempfile.mkdtemp())
with progress_bar() as show:
    made, _ = sample_geometries(
        bundled_molecules()[3:300:30],
        n_conformers=24,
        seed=1,
        settings=GeometrySettings(temperature=300),
    )
    labels, _ = label(made, Gfn2(), progress=show.of("GFN2-xTB"))
frames = made.with_level("gfn2", labels).to_ase("gfn2")
for atoms in frames:
    atoms.info.clear()  # as a file that knows nothing but energies and forces
ase.io.write(folder / "mydata.xyz", frames)

# %%
mydata = read(folder / "mydata.xyz", level="gfn2")
mydata

# %% [markdown]
# Nobody told it which records are of one molecule, so the graph of bonds did. Frames of one atom
# are read as isolated atoms at the same level: they are no conformers, and become the reference
# energies that let energies of different molecules be compared.
#
# A training set and a test set, by molecules:

# %%
from breadth.sampling import FixedBudget, HoldOuts

partition = HoldOuts(n_unseen_molecules=3, n_test_conformers=10).partition(mydata)
design = FixedBudget(budget=84, n_molecules=7, n_validation=14).design(mydata, partition.available)
test = mydata.select(partition.test_set("unseen_molecules"))
design

# %% [markdown]
# ## Your potential
#
# A potential is a class that turns a batch and its neighbours into invariant features of each
# atom. Heads, reference energies, forces, training, files and dynamics come with the base class.
# This one sees how much of each element stands at which distance, and no angles.

# %%
import torch
from torch import nn

from breadth.training import POTENTIALS, Potential
from breadth.training.potentials.base import N_ELEMENTS
from breadth.training.potentials.radial import envelope, pair_distances


class Densities(Potential):
    """Densities of elements at distances."""

    def __init__(self, *, cutoff=4.0, n_features=32, n_basis=16, levels=("default",)):
        super().__init__(cutoff=cutoff, levels=levels, n_features=n_features)
        self._hyper = {
            "cutoff": cutoff,
            "n_features": n_features,
            "n_basis": n_basis,
            "levels": tuple(levels),
        }
        self.register_buffer("centres", torch.linspace(0.6, cutoff, n_basis), persistent=False)
        self.width = (cutoff - 0.6) / n_basis
        self.embedding = nn.Embedding(N_ELEMENTS, n_features)
        self.filters = nn.Linear(n_basis, n_features, bias=False)
        self.mix = nn.Sequential(
            nn.Linear(2 * n_features, n_features), nn.SiLU(), nn.Linear(n_features, n_features)
        )

    def depth(self):
        names = [name for name, _ in self.named_parameters()]
        blocks = ("embedding.", "filters.", "mix.", "heads.")
        return [name for block in blocks for name in names if name.startswith(block)]

    def represent(self, batch, pairs, cutoff):
        squared, inverse = pair_distances(pairs, cutoff)
        distance = (squared * inverse)[..., None]
        bumps = torch.exp(-0.5 * ((distance - self.centres) / self.width) ** 2)
        bumps = bumps * envelope(squared, cutoff)[..., None]  # smooth to zero at the cutoff
        kinds = self.embedding(batch.numbers)
        near = kinds[:, None] if pairs.index is None else pairs.gather(kinds)
        return self.mix(torch.cat([kinds, (self.filters(bumps) * near).sum(2)], dim=-1))


POTENTIALS["densities"] = Densities

# %% [markdown]
# One line registers it. Is it right? The contract that every potential here passes is there for
# yours too; in a file of tests it is a class of two lines, and pytest runs all of it.

# %%
from breadth.training.testing import PotentialContract


class Contract(PotentialContract):
    def build(self, levels=("default",)):
        return Densities(n_features=8, levels=levels)


checks = (
    "test_translation",
    "test_permutation",
    "test_smooth_at_the_cutoff",
    "test_extensive",
    "test_batched_equals_single",
    "test_depth_lists_every_parameter_once",
)
for name in checks:
    getattr(Contract(), name)()
    print(f"{name.removeprefix('test_').replace('_', ' ')}: ok")

# %% [markdown]
# Now fit it, beside one that sees directions too.

# %%
from breadth.training import TrainingConfig, fit

questions = {
    "densities": {"name": "densities"},
    "factorised_painn": {
        "name": "factorised_painn",
        "n_features": 32,
        "n_layers": 2,
        "cutoff": 4.0,
    },
}
config = TrainingConfig(n_updates=300, batch_size=8)
fits = {}
with progress_bar() as show:
    for name, question in questions.items():
        fits[name] = fit(
            question,
            mydata,
            level="gfn2",
            train=design.train,
            validation=design.validation,
            config=config,
            progress=show.of(name),
        )
fits["densities"]

# %% [markdown]
# ## Your level of theory
#
# Any ASE calculator labels a set. Here GFN1-xTB through its own ASE interface: what its forces
# miss of GFN2-xTB is a yardstick for the potentials.

# %%
from tblite.ase import TBLite

from breadth.sampling import AseEngine

engine = AseEngine("gfn1", lambda: TBLite(method="GFN1-xTB", verbosity=0))
gfn1, failed = label(test, engine)
failed

# %% [markdown]
# ## Predictions of another program
#
# A model that lives elsewhere needs no adapter: give it the structures as a file, and read its
# predictions back. Frames find their structures by their atoms' positions, in any order. We let
# the calculator stand for the other program.

# %%
from breadth.studies import evaluate_predictions

frames = test.to_ase()
for atoms in frames[::-1]:
    atoms.calc = TBLite(method="GFN1-xTB", verbosity=0)
    atoms.get_forces()
ase.io.write(folder / "predicted.xyz", frames[::-1])

evaluate_predictions(folder / "predicted.xyz", test, level="gfn2")

# %% [markdown]
# Four of the predictions are of the isolated atoms, which the file holds too, and match no
# conformer.
#
# ## Side by side
#
# Errors are computed in one place, so that they compare: force MAE over components, averaged
# within a molecule, then over molecules. Zero forces are the error of knowing nothing.

# %%
from breadth.diversity.html import Report
from breadth.studies import measure_errors
from breadth.training import predict

truth = test.labels("gfn2")
predicted = {name: predict(one.potential, test) for name, one in fits.items()}
predicted["GFN1-xTB"] = gfn1
errors = {name: measure_errors(test, truth, labels) for name, labels in predicted.items()}
told = {f"{name}, meV/Å": 1e3 * error["force_mae"] for name, error in errors.items()}
Report(told | {"zero forces, meV/Å": 1e3 * errors["GFN1-xTB"]["zero_force_mae"]})

# %% [markdown]
# Seven molecules and a few seconds of training teach neither potential the forces of new
# molecules, and which of the two is ahead may be chance: replicates and intervals are what
# studies are for. A semi-empirical method is far nearer. To keep your potential, put the class in
# a file, add its line to `POTENTIALS`, and let its test inherit the contract:
# [CONTRIBUTING.md](../CONTRIBUTING.md) has the table of what goes where.
#
# On the command line:
#
# ```bash
# breadth design mydata.xyz --n-molecules 7 --budget 84 --out designs/mine --export exports/mine
# breadth evaluate --predictions predicted.xyz designs/mine/unseen_molecules.xyz
# ```
