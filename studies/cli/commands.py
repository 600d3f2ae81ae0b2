"""Every command of `breadth`: the module that holds it, and its help."""

#: Module and help of each command, and the function where it has another name. The help stands
#: here and not in the functions' docstrings, so that the list of commands needs none of their
#: modules; its first line is what the list shows.
COMMANDS: dict[str, tuple[str, str]] = {
    "pool": (
        "pool",
        """Sample molecules and label their geometries.

        Killed and started again, it goes on from where it was. Keys of --set and their defaults:
        molecules (a SMILES file, salts and mixtures allowed; qm9 with the package qm9pack; moses
        with molsets; 2,000 molecules of QM9), n_molecules 200, n_conformers 30, method
        normal_modes (gaussian with sigma 0.05 Å; engine_modes, langevin and nve on surface gfn2,
        with dynamics.interval 25 fs and more; torsions; stretched), temperature 500 K,
        max_minima 5, min_rotatable_bonds 0, elements (all), engine gfn2 (gfn1, mmff94, uff; a level
        of density functional theory such as b3lyp-d3bj/6-31g*, with the extra dft; or
        orca:METHOD/BASIS, psi4:METHOD/BASIS, xtb:gfn2 where these are installed), prior mmff94 (or
        null), seed 0.

        Example: `breadth pool --out runs/mine --set molecules=mine.smi n_molecules=50`

        Example: `breadth pool --out runs/hot --set method=langevin temperature=800 --dry-run`""",
    ),
    "label": (
        "label",
        """Label a data set, or a subset of it, at one more level of theory.

        The set keeps its levels; of a subset, the others have no label at the new one. Engines are
        those of `breadth pool`. Killed and started again, it goes on from where it was; failures
        are told and left without a label.

        Example: `breadth label runs/mine/pool --engine gfn1 --out runs/two-levels`

        Example: `breadth label runs/mine/pool --engine b3lyp-d3bj/6-31g* --subset 100 --by fps
        --out runs/accurate --dry-run`""",
    ),
    "convert": (
        "data",
        """Convert a data set from one format to another.

        Units become eV and Å, and nothing that the file carries is lost.

        Example: `breadth convert aspirin.npz aspirin.xyz --level pbe-def2svp`""",
    ),
    "describe": (
        "data",
        """Say what is in data sets, what is wrong with them, and what they share.

        Molecules, conformers, elements, labels by level of theory; an audit of labels, geometries
        and states that names the worst records; minima of torsions that no conformer visits; of
        several files, the conformers, molecules and scaffolds in both of each pair.

        Example: `breadth describe aspirin.npz --json`

        Example: `breadth describe train.xyz test.xyz --figures audit`""",
    ),
    "map": (
        "maps",
        """Draw where the conformers of data sets stand in the space of a descriptor.

        By UMAP or PCA, as PDF and PNG, with the coordinates beside them; and with --page as one
        HTML file in which points are clicked and structures turned.

        Example: `breadth map runs/mine/pool --out maps/mine --color energy`

        Example: `breadth map train.xyz test.xyz --out maps/both --method pca --page`""",
    ),
    "measure": (
        "measures",
        """Say how broad and how deep a data set is.

        Between molecules: fingerprints, scaffolds, functional groups. Within: torsions, RMSD,
        energies. Environments of atoms: entropy, and its partition into structural, intramolecular
        and conformational. Several files are measured as one set.

        Example: `breadth measure aspirin.npz benzene.npz --out measures/both`""",
    ),
    "compare": (
        "measures",
        """Compare data sets at equal size.

        Each set is cut to the same number of molecules with the same number of conformers, since
        larger sets look more diverse; what two sets share is counted on the whole.

        Example: `breadth compare mine.xyz theirs.xyz --out measures/compared`""",
    ),
    "shift": (
        "shift",
        """Say how far one data set is from another, such as a test set from a training set.

        By composition, size, forces, connectivity and the features of atoms; each with an interval
        and with the place of B's structures among held-out ones of A.

        Example: `breadth shift train_300K.xyz train_600K.xyz`

        Example: `breadth shift train.xyz test.xyz --features model:models/mine --model
        models/mine --json`""",
    ),
    "monitor": (
        "monitor",
        """Watch a run of dynamics: its bonds, temperature and energy, and how far it leaves a set.

        Q-residuals and Hotelling's T² of atomic environments against held-out limits of the
        reference, bonds that broke or formed, temperature, volume, drift, distributions of
        distances, over time.

        Example: `breadth monitor run.xyz --reference train.xyz --interval 10 --out watched`

        Example: `breadth monitor md.traj --reference train.xyz more.xyz --descriptor
        model:models/mine --json`""",
    ),
    "extrapolation": (
        "extrapolation",
        """Say how far environments of data sets lie outside those of a reference.

        By Q-residuals and Hotelling's T² of principal components, with limits for each element
        from held-out frames of the reference, and the false alarms that they would have raised.

        Example: `breadth extrapolation --reference train.xyz --evaluation run.xyz`

        Example: `breadth extrapolation --reference a.xyz b.xyz --evaluation run.xyz --descriptor
        model:so3lr --components 8 --json`""",
    ),
    "select": (
        "measures",
        """Choose molecules, conformers of each, or structures on purpose.

        Selectors: random, scaffold, butina, maxmin, fps, kmedoids, direct, kennard_stone, cur,
        entropy_greedy, force_fps, energy_strata, force_strata, boltzmann, minima. The choice does
        not depend on the order of records.

        Example: `breadth select mine.xyz --by fps --level structures --budget 100 --out sub.xyz`

        Example: `breadth select mine.xyz --by scaffold --level molecules --budget 50 --given
        labelled.xyz --out next.xyz`""",
    ),
    "design": (
        "pool",
        """Choose a training set of exact size, molecules × conformers, and hold-outs beside it.

        Molecules and conformers are prefixes of orders that --random-state fixes, so that a larger
        design holds a smaller one. Nothing stands in training and in a hold-out.

        Example: `breadth design runs/mine/pool --budget 600 --n-molecules 60 --out designs/60x10`

        Example: `breadth design runs/mine/pool --n-molecules 60 --n-conformers 10 --molecules-by
        maxmin --conformers-by fps --out designs/chosen`

        Example: `breadth design runs/mine/pool --n-molecules 20 --n-conformers 10
        --unseen-molecules 10 --test-conformers 10 --out designs/held`

        Example: `breadth design runs/mine/pool --budget 600 --n-molecules 60 --n-validation 60
        --export-level gfn2 --export for-mace`

        Example: `breadth design runs/mine/pool --given labelled.xyz --grow molecules --budget 100
        --n-molecules 50 --molecules-by maxmin --out designs/next`""",
    ),
    "train": (
        "potentials",
        """Fit a potential to a data set.

        Killed and started again, it goes on and ends with the same numbers.

        Example: `breadth train aspirin.npz --out models/aspirin --set n_validation=50`

        Example: `breadth train aspirin.npz --out models/aspirin --profile`

        Example: `breadth train aspirin.npz --out models/four --committee 4`

        Example: `breadth train runs/mine/pool --level gfn2 --out models/mine --set
        potential.n_features=32 training.n_updates=500`""",
    ),
    "evaluate": (
        "potentials",
        """Measure a potential's errors on data sets.

        The force MAE is over Cartesian components, averaged within a molecule, then over molecules.

        Example: `breadth evaluate models/aspirin rmd17_aspirin_test_01.npz`

        Example: `breadth evaluate test.xyz --predictions mace.xyz --energy-key MACE_energy
        --forces-key MACE_forces`""",
    ),
    "finetune": (
        "finetune",
        """Go on training a universal potential, or one of your own, on a few labelled structures.

        A level of theory that it does not know takes over the head of its own, and reference
        energies move to it before any update. Errors before and after are those of structures
        held out: molecules, or the last frames where molecules are few. With --replay, structures
        of the original domain are learnt beside, and what was forgotten of others is told. Keys
        of --set: seed, held_out 0.2, like, replay_weight 1, training.KEY (n_updates, batch_size,
        learning_rate and more).

        Example: `breadth finetune so3lr mine.xyz --out models/mine`

        Example: `breadth finetune so3lr mine.xyz --replay qm9.xyz --what low_rank:4 --set
        training.n_updates=300`""",
    ),
    "test-time": (
        "refine:at_test_time",
        """Adapt a potential to each molecule of a set by a cheap prior's labels.

        The potential must have learnt the prior's labels beside its own, by `breadth train --set
        prior=gfn1` (or mmff94, uff, or any level of the data). Half of each molecule's structures
        are adapted on, and errors reported on both halves where there are reference labels.

        Example: `breadth refine test-time models/mine toluene.npz --out models/toluene`

        Example: `breadth refine test-time models/mine test.xyz --train train.xyz --set share=1`""",
    ),
    "radius": (
        "refine:radius",
        """Choose the cutoff at which structures look most like those of the training set.

        The spectrum of a structure's radius graph is brought near to those of the training set.
        Says how often the choice changes anything, by how much forces change, and errors before
        and after where there are reference labels. Potentials that are to be used at other radii
        are trained for it: `breadth train --set training.random_cutoff=[4,6]`.

        Example: `breadth refine radius models/mine toluene.npz --train aspirin.npz`

        Example: `breadth refine radius models/mine run.xyz --train train.xyz --path --set
        per=structure form=wasserstein`""",
    ),
    "write": (
        "jobs:write",
        """Write a calculation for each conformer of a set that has no labels at a level yet.

        Inputs for ORCA, or for any program that QCEngine runs; the script run.sh starts all that
        wait, or the N-th alone, as job arrays do.

        Example: `breadth jobs write next.xyz --program orca --level b3lyp-d3bj/def2-svp --out jobs`

        Example: `breadth jobs write next.xyz --program qcengine:psi4 --level hf/sto-3g --out jobs`
        """,
    ),
    "collect": (
        "jobs:collect",
        """Read the results of calculations and match them to their conformers.

        What is not finished, or failed, is told with its reason and can run again.

        Example: `breadth jobs collect jobs --out labelled.xyz`

        Example: `breadth jobs collect jobs --resubmit`""",
    ),
    "figures": (
        "figures",
        """Draw the figures of finished studies again, for a paper or for a talk.

        The numbers that each shows stand beside it as CSV. Equal results give equal files.
        Predictions of another model for a study's test structures stand in its figures beside
        ours.

        Example: `breadth figures runs/demo --column double --format pdf,svg --out paper/figures`

        Example: `breadth figures runs/demo runs/refinement --style talk --out slides`

        Example: `breadth figures runs/demo --predictions mace.xyz --name MACE --energy-key
        MACE_energy --forces-key MACE_forces`""",
    ),
    "doctor": (
        "doctor",
        """Say what is installed, on what machine, and whether it works.

        Versions, processor, threads, memory, CUDA, extras and free disk; and a self-check that
        samples, labels, writes, fits, draws and starts workers, in some 10 seconds. Ends with
        status 1 if something fails, and says what to do.

        Example: `breadth doctor`

        Example: `breadth doctor --json`""",
    ),
    "advise": (
        "advise",
        """Say how to spend labels: how many molecules, and how many conformers of each.

        Reads a grid of molecules × conformers (`breadth study tradeoff --preset pilot`), fits
        response surfaces, and tells the division of a budget with the least expected loss, its
        interval, what other divisions lose, and whether the advice is supported. With --have and
        --add: which molecules, or more conformers of which, to label next.

        Example: `breadth advise runs/pilot --budget 2000 --figure advice.png`

        Example: `breadth advise runs/demo/results.nc --budget 10000 --json`

        Example: `breadth advise runs/pilot --have mine.xyz --add 500 --from geometries.xyz
        --out next.xyz`""",
    ),
    "report": (
        "report",
        """Write what a study was asked, found and cost as one HTML page that needs no network.

        The configuration and the command that repeats it, the data and their audit, the designs,
        results with intervals, figures, warnings, versions, machine, seeds, time, and BibTeX; and
        advice, if `breadth advise` wrote it to advice.json in the folder. Of a study that is not
        finished: how far it is.

        Example: `breadth report runs/demo`

        Example: `breadth report runs/demo --out paper/supplement.html`""",
    ),
    "tradeoff": (
        "study",
        """Structural against conformational diversity, at fixed budget and at fixed molecules.

        Fits potentials on training sets that trade molecules for conformations, in replicates, and
        measures them on hold-outs along both axes. Labels are computed here. Started again on the
        same folder, the command goes on from where it was.

        Example: `breadth study tradeoff --preset smoke --out runs/smoke`

        Example: `breadth study tradeoff --preset demo --set fixed_budget.budget=900 --out runs/900`
        """,
    ),
    "refinement": (
        "refinement",
        """Distribution shift, and what refinement at test time wins back.

        Fits potentials, tests each on systems unlike those that it was trained on, and compares
        radius refinement and test-time training by a cheap prior with what else could help: the
        prior alone, learning what it lacks, a few labels, regularisation. What the measures of
        shift could foresee stands beside. With --models, for every model of a finished study of
        `breadth study tradeoff`. Started again on the same folder, it goes on from where it was.

        Example: `breadth study refinement --preset smoke --out runs/refinement-smoke`

        Example: `breadth study refinement --preset demo --models runs/demo --out runs/refined`""",
    ),
    "finetuning": (
        "finetuning",
        """Fine-tune a universal potential on frames of its dynamics, sampled in different ways.

        Naive, periodic, nonperiodic and chosen frames, at equal numbers of frames, labels and
        simulated time, in replicates of the dynamics; each model is tested on its own run, on
        those of the others and on runs at the level of the labels. Killed and started again, it
        goes on from where it was.

        Example: `breadth study finetuning --preset smoke --out runs/finetuning-smoke`

        Example: `breadth study finetuning --preset demo --out runs/finetuning --dry-run`""",
    ),
    "sweep": (
        "sweep",
        """Run a study over many configurations, on this machine or on a cluster.

        The plan, a YAML file, names a study, the keys that vary and where units run: processes, a
        Dask cluster (with the extra cluster) or jobs of SLURM, PBS or LSF. Points share what they
        have in common. A dead worker loses the unit in hand; a unit that fails three times is set
        aside, and the rest goes on. Killed and started again, it goes on from where it was.

        Example: `breadth sweep rates.yaml --out runs/rates --dry-run`

        Example: `breadth sweep rates.yaml --out runs/rates`

        Example: `breadth sweep --out runs/rates --status --json`""",
    ),
}

#: Commands that keep what they have finished, and go on from it.
RESUMED = frozenset(
    ("pool", "label", "train", "finetune", "tradeoff", "refinement", "finetuning", "sweep")
)
