"""`breadth measure`, `breadth compare` and `breadth select`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter


def measure(
    *files: Path,
    descriptor: str = "compact",
    bandwidth: float | None = None,
    exact: Annotated[bool, Parameter(negative="")] = False,
    level: str | None = None,
    identity: str = "auto",
    skip_bad: Annotated[bool, Parameter(negative="")] = False,
    random_state: int = 0,
    out: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Say how broad (which molecules) and how deep (which geometries of each) a data set is.

    Parameters
    ----------
    files
        Data sets in any format that breadth reads; several are measured as one.
    descriptor
        Of atomic environments: compact, soap or model:FOLDER.
    bandwidth
        Of the kernel, in the descriptor's units; the descriptor's own by default.
    exact
        Compute entropies from all pairs of environments, however many; the cost grows with the
        square of the set. By default they are sampled above 20,000 environments.
    level
        Name of the level of theory of the file's main labels, where the file does not say.
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
    from ...diversity.measure import measure as measure_set
    from ..comparing import announce, draw_partitions, read_as_one
    from ..registry import featurizer
    from .console import emit_json, messages, progress_bar

    if not files:
        raise ConfigurationError("Name at least one file: breadth measure FILE …")
    conformers = read_as_one(files, level=level, identity=identity, skip_bad=skip_bad)
    said = announce(conformers, exact=exact or None)
    if said:
        messages().print(said)
    parts = ("structural", "conformational", "environments", "partition")
    with progress_bar() as show:
        content = measure_set(
            conformers,
            featurizer=featurizer(descriptor),
            bandwidth=bandwidth,
            exact=exact or None,
            seed=random_state,
            progress=lambda part: show(f"measures: {part}", parts.index(part), len(parts)),
        )
    content = {"files": [str(path) for path in files], **content}
    if out is not None:
        content["figures"] = draw_partitions({_name(files): content["partition"]}, out, content)
    if json:
        emit_json(content)
        return
    _print_measures(content)


def compare(
    *files: Path,
    descriptor: str = "compact",
    bandwidth: float | None = None,
    n_molecules: int | None = None,
    n_conformers: int | None = None,
    repeats: int = 5,
    level: str | None = None,
    identity: str = "auto",
    skip_bad: Annotated[bool, Parameter(negative="")] = False,
    random_state: int = 0,
    out: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Compare data sets: what they share, and how diverse equally large parts of them are.

    Parameters
    ----------
    files
        Two or more data sets.
    descriptor
        Of atomic environments: compact, soap or model:FOLDER.
    bandwidth
        Of the kernel, one for all sets; the descriptor's own by default.
    n_molecules, n_conformers
        The size that all are cut to at random; as large as all sets allow by default.
    repeats
        Random parts of each set, whose mean is given.
    level
        Name of the level of theory of the files' main labels, where they do not say.
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
    from ...diversity import ConfigurationError, read
    from ...diversity.measure import compare as compare_sets
    from ..comparing import draw_partitions
    from ..registry import featurizer
    from .console import emit_json, progress_bar

    if len(files) < 2:
        raise ConfigurationError("Name at least two files: breadth compare A B …")
    sets = {
        name: read(path, level=level, identity=identity, skip_bad=skip_bad)
        for name, path in zip(_names(files), files, strict=True)
    }
    done = 0

    with progress_bar() as show:

        def tell(part: str) -> None:
            nonlocal done
            show(part, done, len(sets) * (len(sets) + 1) / 2)
            done += 1

        content = compare_sets(
            sets,
            featurizer=featurizer(descriptor),
            bandwidth=bandwidth,
            n_molecules=n_molecules,
            n_conformers=n_conformers,
            repeats=repeats,
            seed=random_state,
            progress=tell,
        )
    content = {"files": dict(zip(sets, map(str, files), strict=True)), **content}
    if out is not None:
        size = content["rarefied_to"]
        words = f"{size['n_molecules']} molecules × {size['n_conformers']} conformers"
        partitions = {name: one["partition"] for name, one in content["sets"].items()}
        content["figures"] = draw_partitions(partitions, out, content, size=words)
    if json:
        emit_json(content)
        return
    _print_comparison(content)


def select(
    data: Path,
    /,
    *,
    by: str,
    level: Literal["molecules", "conformers", "structures"],
    budget: int,
    out: Path,
    given: Path | None = None,
    descriptor: str = "compact",
    label_level: str | None = None,
    random_state: int = 0,
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
        Features for selectors that need some: compact, soap or model:FOLDER.
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
    from ...diversity import ConfigurationError, read, write
    from ...sampling.selecting import select as choose
    from ..configuration import options
    from ..registry import featurizer, selector
    from .console import emit_json, output

    chooser = selector(by, random_state=random_state, **options(set or ()))
    if out.exists():
        raise ConfigurationError(f"{out} exists already. Remove it, or name another file.")
    reading: dict[str, Any] = {"identity": identity, "skip_bad": skip_bad}
    conformers = read(data, **reading)
    rows = choose(
        conformers,
        chooser,
        level=level,
        budget=budget,
        given=None if given is None else read(given, **reading),
        featurizer=featurizer(descriptor) if chooser.takes == "features" else None,
        label_level=label_level,
    )
    chosen = conformers.select(rows)
    if not isolated_atoms and (format or out.suffix) not in ("", "native"):
        bare = {k: replace(v, reference_energies={}) for k, v in chosen.levels.items()}
        chosen = replace(chosen, levels=bare)
    write(chosen, out, format=format)
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


def _name(files: tuple[Path, ...]) -> str:
    return files[0].stem if len(files) == 1 else f"{files[0].stem} and {len(files) - 1} more"


def _names(files: tuple[Path, ...]) -> list[str]:
    """Name sets by their files, with as many folders as tell them apart."""
    from ...diversity import ConfigurationError

    paths = [path.resolve().with_suffix("") for path in files]
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len({*names}) == len(names):
            return names
    raise ConfigurationError("A file is named twice. Name each set once.")


def _print_measures(content: dict[str, Any]) -> None:
    from .console import output, table

    output().print(
        f"[bold]{content['n_molecules']:,} molecules, {content['n_conformers']:,} conformers, "
        f"{content['n_environments']:,} environments of atoms[/]\n"
    )
    _print_structural(content["structural"])
    _print_conformational(content["conformational"])
    found = content["environments"]
    entropy, diversity = found["entropy"], found["diversity"]
    table(
        ["", "nats"],
        [
            ["entropy", f"{entropy['value']:.3f}{_error(entropy)}"],
            ["diversity (logarithm)", f"{diversity['value']:.3f}{_error(diversity)}"],
            ["ceiling of both, ln n", f"{found['ceiling']:.3f}"],
        ],
        title=f"Environments ({found['descriptor']}, bandwidth {found['bandwidth']:.3g})",
    )
    for part in (content["partition"], content["partition"]["structures"]):
        _print_partition({part["level"]: part}, part)
    for path in content.get("figures", ()):
        output().print(f"  {path}", soft_wrap=True)


def _print_structural(found: dict[str, Any], title: str = "Structural: between molecules") -> None:
    from .console import table

    kinds = found["fingerprints"] or {}
    if kinds:
        rows = [
            ["mean Tanimoto distance", *(_value(k["internal_diversity"]) for k in kinds.values())],
            [
                "molecules farther apart than 0.75, at least",
                *(f"{k['circles']['value']:g}" for k in kinds.values()),
            ],
            ["Vendi score, order 1", *(_value(k["vendi"]["q1"]) for k in kinds.values())],
        ]
        table(["", *(name.replace("_", " ") for name in kinds)], rows, title=title)
    else:
        table(["", ""], [["fingerprints", f"none: {found['reason']}"]], title=title)
    rows = []
    for name, one in found["richness"].items():
        if isinstance(one, dict) and one.get("q0") is not None:
            rows.append([name.replace("_", " "), *(f"{one[q]:.4g}" for q in ("q0", "q1", "q2"))])
    table(
        ["effective number of", "q = 0", "q = 1", "q = 2"],
        rows,
        title="Richness (Hill numbers: q = 0 counts all kinds, q = 2 the common ones)",
    )


#: Where each line of the conformational table stands in the report, and its unit.
_CONFORMATIONAL = (
    ("heavy-atom RMSD within a torsional basin", ("rmsd", "within_basin"), "Å"),
    ("heavy-atom RMSD across basins", ("rmsd", "across_basins"), "Å"),
    ("torsional basins, effective number (q = 1)", ("basins", "q1"), ""),
    ("torsion entropy", ("torsions", "entropy"), "nats"),
    ("torsions: 30° bins visited", ("torsions", "coverage"), "of 1"),
    ("bond lengths, SD", ("bonds", "sd"), "Å"),
    ("angles, SD", ("angles", "sd"), "°"),
    ("relative energies, SD", ("energies", "sd"), "eV"),
    ("mean force norm", ("forces", "mean_norm"), "eV/Å"),
)


def _print_conformational(found: dict[str, Any]) -> None:
    from .console import table

    rows = []
    for label, (group, key), unit in _CONFORMATIONAL:
        one = (found.get(group) or {}).get(key) or {}
        if one.get("mean") is None:
            rows.append([label, "–", "", unit])
        else:
            spread = f"{one['q25']:.3g} … {one['q75']:.3g}" if one["n_molecules"] > 1 else ""
            rows.append([label, f"{one['mean']:.3g}", spread, unit])
    table(
        ["mean over molecules", "", "quartiles", ""],
        rows,
        title="Conformational: within molecules",
    )


def _print_partition(
    partitions: dict[str, dict[str, Any]], first: dict[str, Any], size: str = ""
) -> None:
    from ...diversity.chain_rule import TERMS
    from .console import output, table

    flagged = False
    rows = []
    for name, one in partitions.items():
        shown = []
        for term in TERMS:
            if term == "intramolecular" and first["level"] == "structures":
                continue
            mark = "*" if one[term]["at_ceiling"] else ""
            flagged |= bool(mark)
            low, high = one[term]["interval"] or (None, None)
            spread = "" if low is None else f" [{low:.2f}, {high:.2f}]"
            shown.append(f"{one[term]['value']:.2f}{mark}{spread}")
        rows.append([name, *shown])
    terms = [t for t in TERMS if not (t == "intramolecular" and first["level"] == "structures")]
    table(
        [f"nats [95 %]{size}", *terms],
        rows,
        title=f"Partition of {first['level']} ({first['descriptor']}, bandwidth "
        f"{first['bandwidth']:.3g})",
    )
    if flagged:
        output().print("* near its ceiling: more samples of the same kind would raise it.\n")


def _print_comparison(content: dict[str, Any]) -> None:
    from .console import output, table

    size = content["rarefied_to"]
    partitions = {name: one["partition"] for name, one in content["sets"].items()}
    output().print(
        f"All sets cut to {size['n_molecules']} molecules × {size['n_conformers']} conformers, "
        f"mean of {size['repeats']} random parts.\n"
    )
    _print_partition(partitions, next(iter(partitions.values())))
    rows = []
    for name, one in content["sets"].items():
        morgan = (one["structural"]["fingerprints"] or {}).get("morgan")
        inside = (one["conformational"].get("rmsd") or {}).get("all") or {}
        torsion = (one["conformational"].get("torsions") or {}).get("coverage") or {}
        rows.append(
            [
                name,
                f"{one['n_molecules']:,}",
                f"{one['n_conformers']:,}",
                _value(morgan["internal_diversity"]) if morgan else "–",
                _value(morgan["vendi"]["q1"]) if morgan else "–",
                _value({"value": inside.get("mean")}),
                _value({"value": torsion.get("mean")}),
            ]
        )
    table(
        [
            "",
            "molecules",
            "conformers",
            "Tanimoto distance",
            "Vendi score",
            "RMSD, Å",
            "torsion bins",
        ],
        rows,
        title="Whole sizes; measures of the parts",
    )
    rows = []
    for shared, found in zip(content["shared"], content["environments"], strict=True):
        a, b = shared["sets"]
        rows.append(
            [
                f"{a}, {b}",
                f"{shared['conformers']:,}",
                f"{shared['molecules']:,}",
                "–" if shared["scaffolds"] is None else f"{shared['scaffolds']:,}",
                *(_share(found[way]) for way in ("b_in_a", "a_in_b")),
            ]
        )
    table(
        ["sets", "conformers", "molecules", "scaffolds", "2nd known in 1st", "1st known in 2nd"],
        rows,
        title="Shared by two sets, and share of the environments of one that the other has",
    )
    for path in content.get("figures", ()):
        output().print(f"  {path}", soft_wrap=True)


def _value(one: dict[str, Any] | None) -> str:
    if not one or one.get("value") is None:
        return "–"
    return f"{one['value']:.3g}{_error(one)}"


def _error(one: dict[str, Any]) -> str:
    return f" ± {one['standard_error']:.2g}" if one.get("standard_error") else ""


def _share(found: dict[str, Any]) -> str:
    return f"{100 * found['pooled']['overlap']['value']:.1f} %"
