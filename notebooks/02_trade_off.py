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
# # The trade-off study: molecules or conformations?
#
# With a budget of N quantum-chemistry calculations, should you calculate many molecules once, or
# few molecules often? The study answers by doing both: it builds training sets with exactly the
# same number of labels, fits a potential on each, and measures errors on structures that it held
# out.
#
# This notebook runs it at smoke size, which shows every step and is **too small to learn anything
# from**. The last section shows what a real run found.
#
# ## What is asked
#
# A study is asked by a configuration. Presets are bundled; any key can be changed, and a misspelt
# one is an error that names the nearest.

# %%
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from breadth.studies import progress_bar, study_named

study = study_named("tradeoff")
asked = study.load(preset="smoke", overrides=["training.n_updates=100"])
study.estimate(asked, workers=2)

# %% [markdown]
# `fixed_budget` keeps M × C and varies the number of molecules M; `fixed_molecules` keeps M and
# varies the conformations C of each. Every training set is drawn twice, with another order of
# molecules, other weights and another order of batches: two replicates. Each is also fitted with
# a quarter of the updates, to see whether longer fits would change who wins.
#
# ## Run it
#
# The run makes geometries, labels them by GFN2-xTB, fits the potentials and measures them. All
# that is finished is kept in the folder: stopped at any moment and run again, it goes on. These
# pieces of work are so small that a thread of this notebook does them; for real ones give
# `workers=4`, which are processes, or any other executor, such as that of a Dask cluster. Numbers
# do not depend on it.

# %%
out = Path(tempfile.mkdtemp()) / "smoke"
with ThreadPoolExecutor(1) as here, progress_bar() as show:
    results = study.run(asked, out, executor=here, progress=show, figures=False)
results["force_mae"]

# %% [markdown]
# `results` is an `xarray.Dataset`, of which this is one variable: the force error in eV/Å by
# design, replicate and test set. Others hold intervals, from a bootstrap over replicates and test
# molecules, and what the training sets measure. The same table that the command line prints:

# %%
study.show(results)

# %% [markdown]
# Each row is a way to be wrong. `seen conformers` are new geometries of molecules that every
# design trained on; `unseen molecules`, `unseen scaffolds` and `larger molecules` were in no
# training set. The last column compares the ends of the grid, paired by replicate; *undecided*
# means that its interval holds zero.
#
# ## Designs by hand
#
# Behind the study stand two small objects. `HoldOuts` divides a pool once; a design then takes
# prefixes of one random order, so that a smaller set is inside a larger one.

# %%
from breadth.diversity import read
from breadth.sampling import FixedBudget, HoldOuts

pool = read(out / "pool")
partition = HoldOuts(n_unseen_molecules=4, n_larger=4, largest_trained=8).partition(pool)
partition

# %%
design = FixedBudget(budget=10, n_molecules=5).design(pool, partition.available)
design

# %% [markdown]
# `design.train` are rows of the pool: `pool.select(design.train)` is the training set, to be
# written for any program.
#
# ## Figures
#
# Every figure is a function from results to a matplotlib `Figure`.

# %%
from breadth.analysis.figures import error_against_conformers, error_against_molecules

error_against_molecules(results, column="double")

# %% [markdown]
# ## What a real run found
#
# The preset `demo` takes minutes: 600 labels, spent on 20 molecules × 30 conformations up to 300
# × 2. If you have run it (`make study`), these are your own numbers; else look at [the figures of
# ours](../README.md).

# %%
import xarray as xr

demo = Path("../runs/demo/results.nc")
found = xr.load_dataset(demo, engine="h5netcdf") if demo.exists() else results
error_against_molecules(found, column="double")

# %%
error_against_conformers(found, column="double")

# %% [markdown]
# In the demo, left to right in the first figure, the same number of labels on ever more
# molecules: the error falls where molecules are new, and rises a little where they are known.
#
# ## What would you do with more labels?
#
# `advise` fits how errors fall with molecules and with conformations, and tells what to do with a
# budget. It also says when it cannot know: these runs have too few cells for it. The preset
# `pilot` is made for it.

# %%
from breadth.analysis.advice import advise

advise(found, budget=2400)

# %% [markdown]
# On the command line, for your molecules:
#
# ```bash
# breadth study tradeoff --preset pilot --out runs/pilot --set pool.molecules=mine.smi
# breadth advise runs/pilot/results.nc --budget 10000
# breadth report runs/pilot                            # all of it on one page
# ```
