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
# # A first look at a data set
#
# You have structures with energies and forces. Before you train on them, four questions:
#
# 1. What is in the set?
# 2. What is wrong with it?
# 3. How *broad* is it (which molecules), and how *deep* (which geometries of each)?
# 4. Which of its molecules look alike to a model?
#
# With no file at hand, we make a set first: small molecules that come with `breadth`, a few
# geometries of each, labelled by GFN2-xTB.

# %%
import tempfile
from dataclasses import replace
from pathlib import Path

from breadth.diversity import read, write
from breadth.sampling import GeometrySettings, Gfn2, bundled_molecules, label, sample_geometries
from breadth.studies import progress_bar

molecules = bundled_molecules()[::100]  # 20 of 2,000

with progress_bar() as show:
    geometries, aside = sample_geometries(
        molecules, n_conformers=16, seed=0, progress=show.of("geometries")
    )
    labels, failed = label(geometries, Gfn2(), progress=show.of("GFN2-xTB"))
pool = geometries.with_level("gfn2", labels)
pool

# %% [markdown]
# A set keeps what identifies its molecules, here SMILES, so that they can be drawn. It holds the
# energies of isolated atoms at the same level too: a potential needs them to compare energies
# between molecules.

# %%
pool.molecules

# %% [markdown]
# ## What is in it?
#
# Your own file is read by the same function, whatever its format: extended XYZ, ASE databases,
# rMD17, SPICE, ANI, outputs of programs. We write ours and read it back. `describe` then counts,
# and gives the ranges of the labels in eV and eV/Å; click a line to open it.

# %%
from breadth.diversity.describe import describe

folder = Path(tempfile.mkdtemp())
write(pool, folder / "mydata.xyz")
mydata = read(folder / "mydata.xyz")
describe(mydata)

# %% [markdown]
# ## What is wrong with it?
#
# Nothing, since we have just made it. So we break it, as real sets are broken: one energy that is
# a Hartree too high, as of an excited state; the forces of another record with the wrong sign;
# and one record twice.

# %%
import numpy as np

from breadth.diversity.audit import audit

energy, forces = labels.energy.copy(), labels.forces.copy()
energy[40] += 27.2
forces[pool.atoms_slice(100)] *= -1
broken = pool.with_level("gfn2", replace(labels, energy=energy, forces=forces))
broken = broken.select(np.r_[np.arange(len(broken)), 7])
# A file that does not say where its records come from, as most.
write(replace(broken, source=None, record=None), folder / "broken.xyz")

broken = read(folder / "broken.xyz")
entries = audit(broken)
entries

# %% [markdown]
# The audit names the worst records of each check by their place in the file, from 0. The sign of
# the forces shows because forces must explain how energies change between geometries of one
# molecule. The figure marks both: the energy stands apart, and the forces look like any others,
# so that only a check finds them.

# %%
from breadth.analysis.figures.audit import labels as draw_labels
from breadth.diversity.audit.distributions import distributions

draw_labels({"broken.xyz": distributions(broken, entries)})

# %% [markdown]
# ## How broad, how deep?
#
# Take the environment of every atom as a point. The entropy of these points divides exactly into
# what comes from different molecules (*structural*), from different atoms of a molecule
# (*intramolecular*), and from different geometries of one atom's surroundings (*conformational*).

# %%
from breadth.diversity.measures.partition import partition

divided = partition(pool)
divided

# %% [markdown]
# Numbers of one set say little. Beside it we put the same molecules sampled hotter, and half as
# many molecules with twice the geometries. All have 320 structures.

# %%
from breadth.analysis.figures.diversity import diversity_plane
from breadth.analysis.partitions import gather_partitions

hot, _ = sample_geometries(
    molecules, n_conformers=16, seed=0, settings=GeometrySettings(temperature=1500)
)
deep, _ = sample_geometries(molecules[::2], n_conformers=32, seed=0)
sets = {"20 × 16": pool, "20 × 16, 1500 K": hot, "10 × 32": deep}
partitions = {name: partition(one).as_dict() for name, one in sets.items()}
diversity_plane(gather_partitions(partitions))

# %% [markdown]
# Heat moves a set up: more conformational diversity, and no more structural. Fewer molecules move
# it to the left. A hollow point is at its ceiling: more samples would move it. Where a set should
# stand depends on what it is for, which is what [the trade-off study](02_trade_off.ipynb)
# measures.
#
# ## Which molecules look alike?
#
# A map of the three sets by the mean descriptor of each structure. PCA keeps distances, so what
# stands close is alike to a model; heat spreads each molecule's cloud.

# %%
from breadth.analysis.figures.feature_map import feature_map
from breadth.studies import featurizer
from breadth.studies.maps.mapping import map_sets

points, _ = map_sets(
    sets, features_of=featurizer("compact"), descriptor="compact", level="structures", method="pca"
)
feature_map(points, color="set")

# %% [markdown]
# ## On the command line
#
# ```bash
# breadth describe mydata.xyz --figures audit
# breadth measure mydata.xyz --out measures/mine
# breadth map mydata.xyz --page --out maps/mine      # a page to turn and click structures
# ```
