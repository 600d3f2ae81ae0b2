"""`breadth label`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from .counts import Count, Natural


def label(
    data: Path,
    /,
    *,
    engine: str,
    out: Path,
    subset: Count | None = None,
    by: str = "random",
    of: Literal["structures", "molecules"] = "structures",
    descriptor: str = "compact",
    label_level: str | None = None,
    random_state: Natural = 0,
    workers: Count | None = None,
    identity: str = "auto",
    skip_bad: Annotated[bool, Parameter(negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Label a data set, or a subset of it, at one more level of theory.

    Parameters
    ----------
    data
        A data set in any format that breadth reads; its levels are kept.
    engine
        Level of theory, as in `breadth pool`.
    out
        Folder; its labelled/ is the whole set with the level added.
    subset
        Label so many, chosen by a selector; all by default. The others have no label there.
    by
        Selector of the subset; see breadth select.
    of
        What the subset counts: structures, or molecules with all their structures.
    descriptor
        Features for selectors that need some: compact, soap or model:NAME_OR_FOLDER.
    label_level
        Level of theory that selectors by energy or force read, where the set has several.
    random_state
        Where a selector starts, or its random order.
    workers
        Worker processes, one per core by default. They change no number.
    identity
        How records are told to be of one molecule: auto, identifier, ordered, graph or formula.
    skip_bad
        Leave records out that cannot be read, and count them, instead of stopping.
    dry_run
        Print how many labels, what each costs and about how long it takes, and stop. A few small
        molecules are labelled to know.
    json
        Print one JSON object.
    """
    from ..comparing import read_set
    from ..labelling import LabelConfiguration, label_set, plan_labels
    from .console import emit_json, listing, progress_bar, tell_left_out, worker_count

    asked = LabelConfiguration(
        engine=engine,
        subset=subset,
        by=by,
        of=of,
        descriptor=descriptor,
        label_level=label_level,
        seed=random_state,
    )
    conformers = read_set(data, identity=identity, skip_bad=skip_bad)
    tell_left_out(conformers)
    count = workers or worker_count(1)
    if dry_run:
        made = plan_labels(conformers, asked, workers=count)
    else:
        with progress_bar() as show:
            made = label_set(conformers, asked, out, workers=count, progress=show)
    if json:
        emit_json(made)
    else:
        listing(made)
