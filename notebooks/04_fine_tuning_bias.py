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
# # The bias of fine-tuning data
#
# A universal potential is fine-tuned on frames of your system. But who chose the frames? Usually
# the potential itself: you let it run, label what it visited, and train on that. Where its
# dynamics are wrong, it visits the wrong places, and where it does not go it learns nothing.
#
# The study compares ways to generate frames, at equal numbers of labels:
#
# - *naive*: several runs of the universal potential;
# - *periodic*: a run, labels, fine-tuning, then a run of the new model, and so on;
# - *nonperiodic*: one long run of the universal potential;
# - *chosen*: of the naive runs, the frames that lie farthest outside of what is known.
#
# This notebook runs two of them at smoke size: SO3LR (whose weights come with its package) on
# aminoethanol, labels by GFN2-xTB, 20 fs of dynamics. It shows every step, and is **too short to
# tell ways apart**.

# %%
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from breadth.studies import progress_bar, study_named

study = study_named("finetuning")
asked = study.load(preset="smoke", overrides=["arms=[naive, periodic]", "dynamics.n_steps=40"])
out = Path(tempfile.mkdtemp()) / "smoke"
with ThreadPoolExecutor(1) as here, progress_bar() as show:
    results = study.run(asked, out, executor=here, progress=show, figures=False)
study.show(results)

# %% [markdown]
# ## Whose run is a model tested on?
#
# A model that is tested on its own run is tested where it likes to go. So each model is tested on
# its own run, on the others', and on *independent* runs at the level of the labels, which no
# model chose.

# %%
from breadth.analysis.figures.finetuning.cross_tests import cross_tests

cross_tests(results, column="double")

# %% [markdown]
# Rows are models, columns are runs; on the frame of the diagonal a model meets its own run. The
# first row is the universal potential as it came. What to look for: does the error fall on the
# independent set as much as on a model's own run?
#
# ## What is forgotten?
#
# Fine-tuning on one molecule moves forces on all others. Without replay of other structures, that
# is damage that the errors above do not show.

# %%
from breadth.analysis.figures.finetuning.forgetting import forgetting

forgetting(results, column="double")

# %% [markdown]
# ## By hand
#
# The steps of an arm are plain functions: a potential by its name, a level that it does not know
# yet, and a few updates.

# %%
from breadth.sampling import Gfn2, Molecule, label, sample_geometries
from breadth.studies import measure_errors, potential
from breadth.training import TrainingConfig, predict
from breadth.training.refinement import adopt_level, fine_tune

frames, _ = sample_geometries([Molecule("2-aminoethanol", "NCCO")], n_conformers=16, seed=0)
labels, _ = label(frames, Gfn2())
frames = frames.with_level("gfn2", labels)
train, test = frames.select(range(8)), frames.select(range(8, 16))

so3lr = potential("so3lr")
before = adopt_level(so3lr, train, level="gfn2")
after = fine_tune(
    so3lr,
    train,
    level="gfn2",
    index=range(8),
    config=TrainingConfig(n_updates=20, batch_size=4, learning_rate=5e-4),
)
for name, model in (("as it came", before), ("after 20 updates on 8 labels", after.potential)):
    error = measure_errors(test, test.labels("gfn2"), predict(model, test, level="gfn2"))
    print(f"{name}: force MAE {1e3 * error['force_mae']:.0f} meV/Å")

# %% [markdown]
# ## What a real run found
#
# If you have run `breadth study finetuning --preset demo --out runs/finetuning` (5 minutes), this
# is your comparison; ours stands in [docs/finetuning.md](../docs/finetuning.md). There, how the
# frames were generated made no difference at half a picosecond, and forgetting did.

# %%
import xarray as xr

run = Path("../runs/finetuning")
shown = None
if run.exists():
    shown = cross_tests(xr.load_dataset(run / "results.nc", engine="h5netcdf"), column="double")
shown

# %% [markdown]
# When the fine-tuned model runs, no labels say where it is wrong. Detectors score each atom by
# how unlike the training frames its surroundings are; whether a score goes with the error is a
# rank correlation, within each element, with an interval over blocks of frames. Marks whose bar
# crosses the grey line foresee nothing that chance would not.

# %%
from breadth.analysis.figures.finetuning.foresight import foresight

if run.exists():
    shown = foresight(xr.load_dataset(run / "foresight.nc", engine="h5netcdf"), column="double")
shown
