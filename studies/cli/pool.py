"""`breadth pool` and `breadth design`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from .counts import Count, Natural


def pool(
    *,
    out: Path,
    config: Path | None = None,
    set: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    workers: Count | None = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Sample molecules and label them; killed and started again, it goes on from where it was.

    Parameters
    ----------
    out
        Folder; its pool/ is the labelled set.
    config
        YAML file with any of the keys.
    set
        KEY=VALUE, several after one --set.
    workers
        Worker processes, one per core by default. They change no number.
    dry_run
        Print what would be made, what a label and a molecule cost, and about how long it all
        takes, and stop. A few small molecules are labelled to know.
    json
        Print one JSON object.
    """
    from ..configuration import load
    from ..pooling import PoolConfiguration, make_pool, plan_pool
    from .console import emit_json, listing, progress_bar, worker_count

    asked = load(PoolConfiguration, path=config, overrides=set or ())
    count = workers or worker_count(asked.threads)
    if dry_run:
        made = plan_pool(asked, workers=count)
    else:
        with progress_bar() as show:
            made = make_pool(asked, out, workers=count, progress=show)
    if json:
        emit_json(made)
        return
    changed = made.pop("changed_molecules", [])
    listing(made)
    if changed:
        _tell_changed(changed, out)


def _tell_changed(changed: list[dict[str, Any]], out: Path) -> None:
    """Say which molecules are not as they were written; a file holds what is too much to print."""
    from collections import Counter

    from ..store import replace_file
    from .console import output, table

    kinds = Counter(change.split(":")[0] for one in changed for change in one["changes"])
    counted = ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common())
    rows = [
        [one["name"], one["written"], one["sampled"], "; ".join(one["changes"])] for one in changed
    ]
    title = f"{len(changed)} molecules are not as they were written: {counted}"
    table(["name", "written", "sampled", "changes"], rows[:20], title, left=4)
    if len(rows) > 20:
        path = out / "changed_molecules.tsv"
        replace_file(path, "".join("\t".join(row) + "\n" for row in rows))
        output().print(f"All of them: {path}")


def design(
    data: Path,
    /,
    *,
    out: Path | None = None,
    given: Path | None = None,
    grow: Literal["molecules", "conformers", "both"] | None = None,
    export: Path | None = None,
    export_level: str | None = None,
    n_molecules: Count,
    budget: Count | None = None,
    n_conformers: Count | None = None,
    n_validation: Natural = 0,
    unseen_molecules: Natural = 0,
    unseen_scaffolds: Natural = 0,
    larger_than: Natural | None = None,
    larger_molecules: Natural = 0,
    test_conformers: Natural = 0,
    random_state: Natural = 0,
    molecules_by: str = "random",
    conformers_by: str = "random",
    descriptor: str = "compact",
    prior_level: str | None = None,
    charge_labels: Annotated[bool, Parameter(negative="")] = False,
    format: Literal["native", "extxyz", "ase"] = "extxyz",
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Choose a training set of exact size, molecules × conformers, with hold-outs beside it.

    Parameters
    ----------
    data
        A data set in any format that breadth reads.
    out
        Folder for train, validation and hold-outs, and design.json with the conformer ids.
    given
        A labelled data set that the design adds to: it counts in no budget, selectors complement
        it, and hold-outs share nothing with it.
    grow
        Add only molecules that are not given, only conformers of molecules that are, or both
        (the default).
    export
        Folder for the same as MACE, NequIP and SchNetPack read it, with a configuration for each;
        what is given stands in its training set.
    export_level
        Level of theory to export, where the data have several.
    n_molecules
        Molecules.
    budget
        Conformers in all, validation included; met exactly.
    n_conformers
        Conformers of each molecule, validation included.
    n_validation
        Conformers of the budget that are set apart for validation.
    unseen_molecules
        Molecules held out.
    unseen_scaffolds
        Molecules held out with their whole scaffolds.
    larger_than
        Molecules with more heavy atoms are kept from training …
    larger_molecules
        … and so many of them held out.
    test_conformers
        Conformers held out of each test molecule, and of each training molecule.
    random_state
        The replicate.
    molecules_by
        Selector of the molecules; see breadth select.
    conformers_by
        Selector of the conformers of each.
    descriptor
        Features for selectors that need some: compact, soap or model:NAME_OR_FOLDER.
    prior_level
        Level of theory whose labels selectors by energy or force may read.
    charge_labels
        Let them read the reference labels of what is not chosen; those labels count as cost.
    format
        Of the files written.
    dry_run
        Print the counts and stop.
    json
        Print one JSON object.
    """
    from ...diversity import ConfigurationError, read
    from ...sampling.splits import HoldOuts
    from ..comparing import read_set
    from ..designing import choose_design, design_set, growth, with_given, write_design
    from ..export import export_design
    from ..store import check_folder
    from .console import emit_json, output, table, tell_left_out

    if out is None and export is None:
        raise ConfigurationError("Name a folder: --out, --export for other packages, or both.")
    if export_level is not None and export is None:
        raise ConfigurationError("A level is exported to a folder: name it by --export.")
    if grow is not None and given is None:
        raise ConfigurationError(f"--grow {grow} of what? Name the set to add to by --given.")
    if export is not None and not dry_run:
        check_folder(export)
    asked = choose_design(
        n_molecules=n_molecules,
        budget=budget,
        n_conformers=n_conformers,
        n_validation=n_validation,
        random_state=random_state,
        molecules_by=molecules_by,
        conformers_by=conformers_by,
        descriptor=descriptor,
        prior_level=prior_level,
        charge_labels=charge_labels,
    )
    hold_outs = None
    if unseen_molecules or unseen_scaffolds or larger_molecules or larger_than or test_conformers:
        if not test_conformers:
            raise ConfigurationError("Hold-outs need --test-conformers, such as 10.")
        per_molecule = n_conformers or -(-(budget or 1) // n_molecules)
        hold_outs = HoldOuts(
            n_unseen_molecules=unseen_molecules,
            n_unseen_scaffolds=unseen_scaffolds,
            n_larger=larger_molecules,
            largest_trained=larger_than,
            n_test_conformers=test_conformers,
            n_available=per_molecule,
            random_state=random_state,
        )
    conformers = read(data)
    before = None if given is None else read_set(given)
    tell_left_out(conformers, *([] if before is None else [before]))
    rows, chosen = design_set(conformers, asked, hold_outs, before, grow or "both")
    grown = None if before is None else growth(conformers, rows["train"], before)
    parts: dict[str, Any] = {
        name: {
            "n_conformers": len(index),
            "n_molecules": conformers.select(index).n_molecules,
        }
        for name, index in rows.items()
    }
    if export is not None and not dry_run:
        joined = (conformers, rows) if before is None else with_given(conformers, rows, before)
        export_design(*joined, export, level=export_level)
    if out is not None and not dry_run:
        told = None if grown is None else {"file": str(given), **grown}
        parts = write_design(conformers, rows, out, format=format, given=told)
    if json:
        emit_json(
            {
                "out": None if out is None else str(out),
                "export": None if export is None else str(export),
                "parts": parts,
                "n_labels_read": chosen.n_labels_read,
                **({} if grown is None else {"given": {"file": str(given), **grown}}),
            }
        )
        return
    table(
        ["part", "molecules", "conformers", "file"],
        [
            [name, str(p["n_molecules"]), str(p["n_conformers"]), str(p.get("file", "–"))]
            for name, p in parts.items()
        ],
        title="planned" if dry_run else str(out or export),
    )
    if grown is not None:
        was, now = grown["before"], grown["after"]
        output().print(
            f"With {given}: {was['n_molecules']:,} molecules and {was['n_conformers']:,} "
            f"conformers become {now['n_molecules']:,} and {now['n_conformers']:,}, by "
            f"{grown['new_conformers']:,} conformers of {grown['new_molecules']:,} new molecules "
            f"and {grown['more_conformers']:,} more of known ones.",
            markup=False,
            soft_wrap=True,
        )
    if export is not None and not dry_run:
        output().print(f"{export}: how to train stands at the top of each configuration.")
    if chosen.n_labels_read:
        output().print(f"{chosen.n_labels_read} reference labels were read to choose.")
