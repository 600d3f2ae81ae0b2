"""The audit of files: what `breadth describe` adds to their contents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..diversity import ConformerSet
from ..diversity.audit import audit, leakage, torsional_regions
from ..diversity.audit.distributions import distributions
from .comparing import set_names
from .store import check_folder


def audit_set(conformers: ConformerSet, progress: Callable[[str], None]) -> dict[str, Any]:
    """Return the ``audit`` and the ``torsional_regions`` of a set."""
    entries = audit(conformers, progress=progress)
    progress("torsional regions")
    return {"audit": entries, "torsional_regions": torsional_regions(conformers)}


def draw_figures(
    sets: Mapping[str, ConformerSet],
    described: Sequence[Mapping[str, Any]],
    shared: Sequence[Mapping[str, Any]],
    directory: Path,
    progress: Callable[[str], None],
) -> list[Path]:
    """Draw the figures of an audit.

    Parameters
    ----------
    sets : mapping of str to ConformerSet
        By file.
    described : sequence of mapping
        What `breadth describe` says of each, with ``audit`` and ``torsional_regions``.
    shared : sequence of mapping
        Of `breadth.diversity.audit.leakage`.
    directory : Path
    progress : callable
        Called with what is drawn.
    """
    from ..analysis.figures.audit import draw_audit  # imports matplotlib

    check_folder(directory)
    short = dict(zip(sets, set_names([Path(name) for name in sets]), strict=True))
    shown, torsions, sizes = {}, {}, {}
    for content in described:
        name = short[content["file"]]
        progress(f"figures of {name}")
        shown[name] = distributions(sets[content["file"]], content["audit"])
        torsions[name] = content["torsional_regions"]
        sizes[name] = (content["n_conformers"], content["n_constitutions"])
    pairs = [{**pair, "files": [short[name] for name in pair["files"]]} for pair in shared]
    return draw_audit(shown, torsions, pairs, sizes, directory)


__all__ = ["audit_set", "draw_figures", "leakage"]
