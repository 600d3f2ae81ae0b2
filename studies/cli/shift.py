"""`breadth shift`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from .counts import Natural


def shift(
    a: Path,
    b: Path,
    /,
    *,
    features: str = "compact",
    model: Annotated[list[Path] | None, Parameter(consume_multiple=True, negative="")] = None,
    cutoff: float = 5.0,
    level: str | None = None,
    identity: str = "auto",
    skip_bad: Annotated[bool, Parameter(negative="")] = False,
    random_state: Natural = 0,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Say how far one data set is from another.

    Parameters
    ----------
    a
        The reference, such as a training set, in any format that breadth reads.
    b
        The set whose distance from it is asked.
    features
        Of atoms: compact, soap or model:NAME_OR_FOLDER of a potential.
    model
        Folders or names of potentials, which predict force norms; two or more, or the folder of
        `breadth train --committee`, are a committee whose disagreement is measured.
    cutoff
        Radius within which atoms are neighbours in the graph of connectivity, Å.
    level
        Level of theory of the true forces, where the sets have several; and the name of the files'
        main labels, where they do not say.
    identity
        How records are told to be of one molecule: auto, identifier, ordered, graph or formula.
    skip_bad
        Leave records out that cannot be read, and count them, instead of stopping.
    random_state
        Seed of the halves that debias distances and give intervals.
    json
        Print one JSON object.
    """
    from ..comparing import read_set
    from ..shifting import shift_sets
    from .console import emit_json, messages, progress_bar, tell_left_out

    sets = [read_set(p, level=level, identity=identity, skip_bad=skip_bad) for p in (a, b)]
    tell_left_out(*sets)
    with progress_bar() as show:
        found = shift_sets(
            *sets,
            features=features,
            models=model or (),
            cutoff=cutoff,
            level=level,
            random_state=random_state,
            progress=show,
        )
    content = {"files": [str(a), str(b)], **found}
    shared = content["shared"]["conformers"]
    if shared and a.resolve() != b.resolve():
        messages().print(
            f"warning: {shared:,} conformers are in both sets. If one trains and the other tests, "
            "errors on them promise nothing for new structures.",
            markup=False,
        )
    if json:
        emit_json(content)
        return
    _print(content)


def _print(content: dict[str, Any]) -> None:
    from ...analysis.shift.report import HEADS, ShiftReport
    from .console import output, table

    for name, path, one in zip("AB", content["files"], content["sets"], strict=True):
        cut = (
            ""
            if one["n_compared"] == one["n_conformers"]
            else f"; {one['n_compared']:,} compared, evenly taken"
        )
        output().print(
            f"{name}  {path}: {one['n_conformers']:,} conformers of {one['n_molecules']:,} "
            f"molecule{'' if one['n_molecules'] == 1 else 's'}{cut}",
            soft_wrap=True,
            markup=False,
        )
    shared = content["shared"]
    output().print(
        f"In both sets: conformers {shared['conformers']:,}, molecules {shared['molecules']:,}\n"
    )
    told = ShiftReport(content)
    table(list(HEADS), told.rows(), title=f"Shift from A to B ({content['features']} features)")
    output().print(
        f"Intervals from {told.units()} drawn independently. B's median: where it "
        "stands among held-out structures of A (50 % is the middle, 100 % beyond all).",
        soft_wrap=True,
    )
    for name, reason in content["left_out"].items():
        output().print(f"– {name.replace('_', ' ')} left out: {reason}", soft_wrap=True)
    output().print(f"\n[bold]{content['verdict']}[/]", soft_wrap=True)
