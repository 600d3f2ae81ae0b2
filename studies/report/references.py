"""What to cite: breadth, and the methods, data and potentials that a run used, as BibTeX."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any

from .blocks import Code, Section, Text
from .opening import Run

#: Whose protocol each study follows.
_STUDIES = {"tradeoff": "shenoy2023", "refinement": "kreiman2025", "finetuning": "wong2026"}
#: What a name in a configuration stands for.
_NAMES = {
    "gfn2": ("bannwarth2019", "tblite"),
    "gfn1": ("grimme2017", "tblite"),
    "mmff94": ("halgren1996", "rdkit"),
    "uff": ("rappe1992", "rdkit"),
    "orca": ("neese2022",),
    "psi4": ("smith2020",),
    "painn": ("schutt2021",),
    "factorised_painn": ("schutt2021",),
    "schnet": ("schutt2018",),
    "tensornet": ("simeon2023",),
    "so3lr": ("kabylda2025",),
    "sevennet-0": ("park2024",),
    "chgnet": ("deng2023",),
    "soap": ("bartok2013", "himanen2020"),
    "scaffold": ("bemis1996",),
    "butina": ("butina1999",),
    "maxmin": ("ashton2002",),
    "direct": ("qi2023",),
    "entropy_greedy": ("schwalbe2024",),
}
#: Keys that name levels of theory; in others a slash is that of a path.
_LEVELS = ("engine", "prior", "priors", "surface")


def references_section(runs: Sequence[Run]) -> Section:
    """Return the BibTeX of all that runs used, in the order of the bundled file."""
    wanted = {key for run in runs for key in cited(run)}
    entries = [text for key, text in entries_by_key().items() if key in wanted]
    told = [run.sessions[-1]["versions"]["breadth"] for run in runs if run.sessions]
    version = told[-1] if told else None
    text = "\n\n".join(entries)
    line = "  version = {VERSION},\n"
    text = text.replace(line, line.replace("VERSION", version) if version else "")
    return Section(
        "What to cite",
        [
            Text("breadth, the protocol, the data, the levels of theory, the potentials and the "
                 "software behind them, as far as breadth knows them:"),
            Code(text, "BibTeX", long=True),
        ],
    )  # fmt: skip


def entries_by_key() -> dict[str, str]:
    """Return the bundled BibTeX entries by key."""
    text = (resources.files(__package__) / "references.bib").read_text(encoding="utf-8")
    entries = [entry.strip() for entry in re.split(r"\n(?=@)", text)]
    return {re.match(r"@\w+\{([^,]+),", entry)[1]: entry for entry in entries}  # type: ignore[index]


def cited(run: Run) -> Iterator[str]:
    """Yield the keys of what a run used; some more than once."""
    asked = run.plan["configuration"]
    yield from ("breadth", _STUDIES[run.study.name], "larsen2017", "paszke2019", "rdkit")
    for key, name in _used(asked):
        level = name.rpartition(":")[0] or name
        for part in (name, level):
            yield from _NAMES.get(part.lower(), ())
        if key in _LEVELS and "/" in name and ":" not in name:
            yield "sun2020"  # density functional theory that is computed here
        if name.lower().startswith("mace"):
            yield "batatia2022mace"
        if name.startswith("low_rank"):
            yield "hu2021"
    yield from _data(asked)
    if run.study.name == "tradeoff" and run.units.get("measures"):
        yield "schwalbe2024"
    if run.study.name == "finetuning":
        yield from ("jackson1979", "bigi2024")


def _used(content: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every word of a configuration after its key."""
    if isinstance(content, str):
        yield key, content
    elif isinstance(content, dict):
        for name, inner in content.items():
            yield from _used(inner, name)
    elif isinstance(content, list):
        for inner in content:
            yield from _used(inner, key)


def _data(asked: dict[str, Any]) -> Iterator[str]:
    if asked.get("rmd17"):
        yield "christensen2020"
    if asked.get("acac"):
        yield "batatia2022design"
    pools = [
        asked.get("pool"),
        (asked.get("pools") or {}).get("pool"),
        asked.get("original_domain"),
    ]
    for pool in filter(None, pools):
        if pool.get("molecules") in (None, "qm9"):
            yield "ramakrishnan2014"
        yield "riniker2015"  # where minima come from
