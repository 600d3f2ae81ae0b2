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
# # Shift, and what refinement wins back
#
# A potential is trained on some molecules and used on others. Three questions:
#
# 1. How far are the new molecules from the training set?
# 2. How wrong is the potential there?
# 3. Can it be made less wrong **without a new reference label**?
#
# We train on small molecules and test on larger ones. Labels are GFN2-xTB; MMFF94, a force field
# that costs nothing, is the *prior* that refinement may ask at any time.

# %%
import numpy as np
from rdkit import Chem

from breadth.sampling import Gfn2, Mmff94, bundled_molecules, label, sample_geometries
from breadth.studies import progress_bar


def heavy_atoms(molecule):
    return Chem.MolFromSmiles(molecule.smiles).GetNumHeavyAtoms()


listed = [m for m in bundled_molecules() if "F" not in m.smiles]
small = [m for m in listed if heavy_atoms(m) <= 7][::14][:32]
large = [m for m in listed if heavy_atoms(m) == 9][::50][:8]

with progress_bar() as show:
    geometries, _ = sample_geometries(
        small + large, n_conformers=8, seed=0, progress=show.of("geometries")
    )
    data = geometries
    for engine in (Gfn2(), Mmff94()):
        labels, _ = label(geometries, engine, progress=show.of(engine.name))
        data = data.with_level(engine.name, labels)

# Molecules come in the order in which they were given: the last 4 small ones are held out too.
rows = {
    "train": np.flatnonzero(data.molecule < len(small) - 4),
    "unseen small": np.flatnonzero(
        (len(small) - 4 <= data.molecule) & (data.molecule < len(small))
    ),
    "larger": np.flatnonzero(data.molecule >= len(small)),
}
data

# %% [markdown]
# ## How far?
#
# `shift_sets` compares the new set with the old by many measures at once: what structures are
# made of, how large they are, how hard their atoms are pulled, how their neighbours are
# connected, and how far the environments of their atoms lie from those that were trained on.

# %%
from breadth.studies import shift_sets

train, larger = data.select(rows["train"]), data.select(rows["larger"])
shift_sets(train, larger, level="gfn2")

# %% [markdown]
# A distance whose interval leaves zero out is a shift that chance does not explain. The last
# column is the plainest: the share of new structures that lie beyond 95 % of what the training
# set holds.
#
# ## How wrong?
#
# Two potentials on the same labels: a plain one, and one that learns the prior's labels beside,
# with a head of its own (*joint*). 200 updates are few: real fits take thousands.

# %%
from breadth.training import PriorTask, TrainingConfig, fit

question = {"name": "factorised_painn", "n_features": 32, "n_layers": 2, "cutoff": 4.0}
options = {
    "level": "gfn2",
    "train": rows["train"],
    "config": TrainingConfig(n_updates=200, batch_size=8),
}
prior = PriorTask(level="mmff94", train=rows["train"])
with progress_bar() as show:
    plain = fit(question, data, **options, progress=show.of("plain"))
    joint = fit(question, data, **options, prior=prior, progress=show.of("joint"))
joint

# %% [markdown]
# ## Test-time training
#
# On the larger molecules the prior can be computed, and how badly the joint potential predicts
# *it* is known without any reference label. Test-time training takes gradient steps on that, in
# the early layers alone, so that the untouched main head reads a representation that suits the
# new molecule.
#
# Each molecule is adapted to by itself, on half of its structures; errors are those of the other
# half.

# %%
from breadth.training.refinement import adapt, prior_loss

each = [np.flatnonzero(data.molecule == m) for m in np.unique(data.molecule[rows["larger"]])]
others = [data.select(own[1::2]) for own in each]

owed = prior_loss(joint.potential, data, prior_level="mmff94", index=rows["train"])
adapted = [
    adapt(joint.potential, data, prior_level="mmff94", index=own[::2], owed=owed) for own in each
]
[(f"{a.steps} steps", a.stopped) for a in adapted]

# %% [markdown]
# It says by itself when to stop: `familiar` where the prior is predicted as well as on the
# training set, so that nothing is left to adapt to, `held_back` where structures held back gain
# no more.
#
# ## Radius refinement
#
# The other idea: choose, for each molecule, the cutoff at which its graph of neighbours looks
# most like those of the training set.

# %%
from breadth.training.refinement import SpectrumReference, choose_radii, predict_at_radii

reference = SpectrumReference.of(train, plain.potential.cutoff)
radii = [choose_radii(part, reference, radii=np.linspace(3.6, 4.4, 9)).radius for part in others]
[float(radius[0]) for radius in radii]

# %% [markdown]
# ## What was won?

# %%
import matplotlib.pyplot as plt

from breadth.studies import measure_errors
from breadth.training import predict


def error(part, predicted):
    """Force MAE in meV/Å."""
    return 1e3 * measure_errors(part, part.labels("gfn2"), predicted)["force_mae"]


errors = {
    "plain": [error(part, predict(plain.potential, part)) for part in others],
    "plain, other radius": [
        error(part, predict_at_radii(plain.potential, part, radius))
        for part, radius in zip(others, radii, strict=True)
    ],
    "joint": [error(part, predict(joint.potential, part)) for part in others],
    "joint, then steps": [
        error(part, predict(one.potential, part)) for part, one in zip(others, adapted, strict=True)
    ],
    "the prior itself": [error(part, part.labels("mmff94")) for part in others],
}
known = data.select(rows["unseen small"])
inside = error(known, predict(plain.potential, known))

figure, axes = plt.subplots(figsize=(7, 3))
for place, values in enumerate(errors.values()):
    axes.plot(values, [place] * len(values), "o", color="#0072B2", alpha=0.6)
    axes.plot(np.mean(values), place, "|", color="black", markersize=18)
axes.axvline(inside, color="#666666", linestyle=":")
axes.set_title("dotted: the plain potential on unseen small molecules", loc="left", size=9)
axes.set_yticks(range(len(errors)), list(errors))
axes.set_xlabel("force MAE on larger molecules, meV/Å")
axes.invert_yaxis()

# %% [markdown]
# A point is a molecule, a bar their mean. Compare *joint* with *joint, then steps* for what the
# steps themselves win: learning a prior beside is another effect. With eight molecules and one
# fit, the order of the rows may well be chance; the study repeats all of it, on many shifts, and
# gives intervals.
#
# ## What a real run found
#
# If you have run `breadth study refinement --preset demo --out runs/refinement` (7 minutes), this
# is your gain by shift. Ours stands in [docs/refinement.md](../docs/refinement.md).

# %%
from pathlib import Path

import xarray as xr

from breadth.analysis.figures.refinement.gain import gain_against_shift

run = Path("../runs/refinement/results.nc")
shown = None
if run.exists():
    shown = gain_against_shift(xr.load_dataset(run, engine="h5netcdf"), column="double")
shown
