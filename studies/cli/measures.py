"""`breadth measure`, `breadth compare` and `breadth select`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from .counts import Count, Natural


def measure(
    *files: Path,
    descriptor: str = "compact",
    bandwidth: float | None = None,
    exact: Annotated[bool, Parameter(negative="")] = False,
    level: str | None = None,
    identity: str = "auto",
    skip_bad: Annotated[bool, Parameter(negative="")] = False,
    random_state: Natural = 0,
    out: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Say how broad (which molecules) and how deep (which geometries of each) a data set is.

    Parameters
    ----------
    files
        Data sets in any format that breadth reads; several are measured as one.
    descriptor
        Of atomic environments: compact, soap or model:NAME_OR_FOLDER.
    bandwidth
        Of the kernel on environments, in the descriptor's units; the descriptor's own by default.
        Whole structures keep their own.
    exact
        Compute entropies from all pairs of environments, however many; the cost grows with the
        square of the set. By default they are sampled above 20,000 environments.
    level
        Level of theory whose energies and forces are measured, of several; and the name of the
        file's main labels, where the file does not say.
    identity
        How records are told to be of one molecule: auto, identifier, ordered, graph or formula.
    skip_bad
        Leave records out that cannot be read, and count them, instead of stopping.
    random_state
        Seed of what is sampled.
    out
        Folder for measures.json and figures.
    json
        Print one JSON object.
    """
    from ...diversity import ConfigurationError
    from ...diversity.measures.measure import measure as measure_set
    from ..comparing import announce, draw_partitions, read_as_one, set_name
    from ..registry import featurizer
    from ..store import check_folder
    from .console import emit_json, messages, progress_bar, tell_left_out
    from .measured import print_measures

    if not files:
        raise ConfigurationError("Name at least one file: breadth measure FILE …")
    conformers = read_as_one(files, level=level, identity=identity, skip_bad=skip_bad)
    tell_left_out(conformers)
    if out is not None:
        check_folder(out)
    said = announce(conformers, exact=exact or None)
    if said:
        messages().print(said)
    parts = ("structural", "conformational", "environments", "partition")
    with progress_bar() as show:
        content: dict[str, Any] = measure_set(
            conformers,
            featurizer=featurizer(descriptor),
            bandwidth=bandwidth,
            exact=exact or None,
            level=level,
            seed=random_state,
            progress=lambda part: show(f"measures: {part}", parts.index(part), len(parts)),
        )
    content = {"files": [str(path) for path in files], **content}
    if out is not None:
        content["figures"] = draw_partitions(
            {set_name(files): content["partition"]}, out / "measures.json", content
        )
    if json:
        emit_json(content)
        return
    print_measures(content)


def compare(
    *files: Path,
    descriptor: str = "compact",
    bandwidth: float | None = None,
    n_molecules: Count | None = None,
    n_conformers: Count | None = None,
    repeats: Count = 5,
    level: str | None = None,
    identity: str = "auto",
    skip_bad: Annotated[bool, Parameter(negative="")] = False,
    random_state: Natural = 0,
    out: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Compare data sets: what they share, and how diverse equally large parts of them are.

    Parameters
    ----------
    files
        Two or more data sets.
    descriptor
        Of atomic environments: compact, soap or model:NAME_OR_FOLDER.
    bandwidth
        Of the kernel, one for all sets; the descriptor's own by default.
    n_molecules
        Molecules that each set is cut to at random; by default as many as all sets have with so
        many conformers.
    n_conformers
        Conformers of each of them; by default the smallest of the sets' medians.
    repeats
        Random parts of each set, whose mean is given.
    level
        Level of theory whose energies and forces are measured, of several; and the name of the
        files' main labels, where they do not say.
    identity
        How records are told to be of one molecule: auto, identifier, ordered, graph or formula.
    skip_bad
        Leave records out that cannot be read, and count them, instead of stopping.
    random_state
        Seed of what is sampled.
    out
        Folder for comparison.json and figures.
    json
        Print one JSON object.
    """
    from ...diversity import ConfigurationError
    from ...diversity.measures.measure import compare as compare_sets
    from ..comparing import draw_partitions, read_set, set_names
    from ..registry import featurizer
    from ..store import check_folder
    from .console import emit_json, progress_bar, tell_left_out
    from .measured import print_comparison

    if len(files) < 2:
        raise ConfigurationError("Name at least two files: breadth compare A B …")
    sets = {
        name: read_set(path, level=level, identity=identity, skip_bad=skip_bad)
        for name, path in set_names(files).items()
    }
    tell_left_out(*sets.values())
    if out is not None:
        check_folder(out)
    done = 0

    with progress_bar() as show:

        def tell(part: str) -> None:
            nonlocal done
            show(part, done, len(sets) * (len(sets) + 1) / 2)
            done += 1

        content: dict[str, Any] = compare_sets(
            sets,
            featurizer=featurizer(descriptor),
            bandwidth=bandwidth,
            level=level,
            n_molecules=n_molecules,
            n_conformers=n_conformers,
            repeats=repeats,
            seed=random_state,
            progress=tell,
        )
    content = {"files": {name: str(path) for name, path in set_names(files).items()}, **content}
    if out is not None:
        size = content["rarefied_to"]
        words = f"{size['n_molecules']} molecules × {size['n_conformers']} conformers"
        partitions = {name: one["partition"] for name, one in content["sets"].items()}
        content["figures"] = draw_partitions(
            partitions, out / "comparison.json", content, size=words
        )
    if json:
        emit_json(content)
        return
    print_comparison(content)


def select(
    data: Path,
    /,
    *,
    by: str,
    level: Literal["molecules", "conformers", "structures"],
    budget: Count,
    out: Path,
    given: Path | None = None,
    descriptor: str = "compact",
    label_level: str | None = None,
    random_state: Natural = 0,
    set: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    isolated_atoms: Annotated[bool, Parameter(negative="")] = False,
    format: str | None = None,
    identity: str = "auto",
    skip_bad: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Choose molecules, conformers of each, or structures of a data set on purpose.

    Parameters
    ----------
    data
        A data set in any format that breadth reads.
    by
        Selector.
    level
        molecules: so many molecules with all their conformers; conformers: so many of each
        molecule; structures: so many of the whole set.
    budget
        How many, met exactly; what is given does not count.
    out
        What to write; its ending tells the format, as in `breadth convert`.
    given
        A data set that exists already: nothing of it is chosen again, and the choice complements
        it.
    descriptor
        Features for selectors that need some: compact, soap or model:NAME_OR_FOLDER.
    label_level
        Level of theory that selectors by energy or force read, where the set has several.
    random_state
        Where a method starts, or the random order.
    set
        Options of the selector as KEY=VALUE, several after one --set.
    isolated_atoms
        Write reference energies of isolated atoms too, as frames of one atom beside the budget.
        Native folders hold them in any case.
    format
        Format of the target, where its ending does not tell: native, extxyz, rmd17, ase.
    identity
        How records are told to be of one molecule: auto, identifier, ordered, graph or formula.
    skip_bad
        Leave records out that cannot be read, and count them, instead of stopping.
    json
        Print one JSON object.
    """
    from ...diversity import ConfigurationError, write
    from ...diversity.formats import target_format
    from ...sampling.selecting import select as choose
    from ..comparing import announce_selection, read_set
    from ..configuration import options
    from ..registry import featurizer, selector
    from ..store import check_folder
    from .console import emit_json, messages, output, tell_left_out

    chooser = selector(by, **{"random_state": random_state, **options(set or ())})
    if out.exists():
        raise ConfigurationError(f"{out} exists already. Remove it, or name another file.")
    if not out.parent.is_dir():
        raise ConfigurationError(f"There is no folder {out.parent}. Make it, or name another file.")
    check_folder(out.parent)
    written = target_format(out, format)
    reading: dict[str, Any] = {"identity": identity, "skip_bad": skip_bad}
    conformers = read_set(data, **reading)
    before = None if given is None else read_set(given, **reading)
    tell_left_out(conformers, *([] if before is None else [before]))
    said = announce_selection(conformers, chooser, level)
    if said:
        messages().print(said)
    rows = choose(
        conformers,
        chooser,
        level=level,
        budget=budget,
        given=before,
        featurizer=featurizer(descriptor) if chooser.takes == "features" else None,
        label_level=label_level,
    )
    chosen = conformers.select(rows)
    if not isolated_atoms and written != "native":
        bare = {k: replace(v, reference_energies={}) for k, v in chosen.levels.items()}
        chosen = replace(chosen, levels=bare)
    write(chosen, out, format=written)
    if json:
        emit_json(
            {
                "data": str(data),
                "out": str(out),
                "by": by,
                "level": level,
                "budget": budget,
                "reads": sorted(chooser.reads),
                "n_conformers": len(chosen),
                "n_molecules": chosen.n_molecules,
                "ids": chosen.id.astype("U32").tolist(),
            }
        )
        return
    output().print(f"{out}: {len(chosen)} conformers of {chosen.n_molecules} molecules, by {by}")
