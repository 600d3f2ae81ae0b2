"""Outputs of VASP, ``vasprun.xml`` and ``OUTCAR``: each ionic step, by ASE's readers.

The energy is VASP's free energy, of which the forces are the derivative; the energy extrapolated
to zero smearing is kept as the extra `energy_sigma0`. Forces are taken as printed, whatever the
constraints; stress has ASE's sign. The charge is what the number of electrons leaves of the
valence of the pseudopotentials. A step whose electronic loop ended before convergence is set
aside.

The level is named after functional, dispersion correction and Hubbard terms (``pbe-d3bj``,
``r2scan``, ``hse06``, ``pbe+u``), as the tags or else the pseudopotentials tell; a combination
that has no common name is ``unknown``. Cutoff, k-points and spin treatment are not in the name:
`level` gives another one.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError as XmlError

import numpy as np
from ase import Atoms
from ase.io import ParseError
from ase.io.vasp import read_vasp_xml
from ase.io.vasp_parsers.vasp_outcar_parsers import OutcarHeaderParser, outcarchunks
from ase.stress import voigt_6_to_full_3x3_stress

from ..conformers import ConformerSet
from ..errors import DataError
from ..identity import build
from ..protocols import SetAside
from ..records import Record
from .extxyz import UNNAMED_LEVEL
from .program_outputs import Broken, fault, gathered, refuse_writing, said

_UNCONVERGED = "the electronic loop did not converge"
_XML_END, _OUTCAR_END = "</modeling>", "General timing and accounting informations"
_STEP = "FREE ENERGIE OF THE ION-ELECTRON SYSTEM"

_XML_TAG = re.compile(r'<i [^>]*name="(\w+)"[^>]*>\s*([^<\s]*)\s*</i>')
_XML_TYPE = re.compile(
    r"<rc><c>\s*(\d+)\s*</c><c>[^<]*</c><c>[^<]*</c><c>\s*([\d.]+)\s*</c><c>\s*([^<]*)</c></rc>"
)
_OUTCAR_TAG = re.compile(r"^\s*([A-Z][A-Z_]*)\s*=\s*(\S+)", re.MULTILINE)
_OUTCAR_COUNTS = re.compile(r"ions per type\s*=\s*([\d ]+)")
_OUTCAR_VALENCE = re.compile(r"ZVAL\s*=\s*([\d.]+)\s+mass and valenz")
_OUTCAR_TITLE = re.compile(r"(?:TITEL\s*=|POTCAR:)\s*(.+)")

_FUNCTIONALS = {
    "PE": "pbe", "PS": "pbesol", "RP": "rpbe", "RE": "revpbe", "91": "pw91", "CA": "lda",
    "PZ": "lda", "AM": "am05", "B3": "b3lyp", "B5": "b3lyp",
}  # fmt: skip
_META = {"SCAN", "RSCAN", "R2SCAN", "TPSS", "RTPSS", "M06L"}
_DISPERSIONS = {1: "d2", 10: "d2", 11: "d3", 12: "d3bj", 13: "d4", 2: "ts", 20: "ts", 202: "mbd"}


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether a text is VASP's XML or begins with its version."""
    return b"<modeling>" in head or head.lstrip().startswith(b"vasp.")


def read(
    path: Path, *, level: str | None = None, identity: str = "auto", skip_bad: bool = False
) -> ConformerSet:
    """Read a file; see the module for what it tells."""
    text = path.read_text(encoding="utf-8", errors="replace")
    xml = "<modeling" in text[:4096]
    if not xml and _STEP not in text:
        raise DataError(f"{path} is no vasprun.xml or OUTCAR with an ionic step.")
    head = text.split("<calculation>" if xml else "Iteration", 1)[0]
    name = level or _level(head, xml)
    steps = list(_xml_steps(path, text) if xml else _outcar_steps(path, text, head))
    charge = _charge(path, head, xml)
    aside: list[SetAside] = []
    records, bad = gathered(path, steps, lambda s: _record(s, name, charge), skip_bad=skip_bad)
    end = _XML_END if xml else _OUTCAR_END
    if end not in text:
        what = f"the text ends before {end!r}: the run failed, goes on, or the file is truncated"
        fault(path, len(steps), what, aside if skip_bad else None)
    return build(records, identity=identity, source=str(path), set_aside=[*bad, *aside])


def write(conformers: ConformerSet, path: Path, *, level: str | None = None) -> None:
    """Refuse: the format is only read."""
    refuse_writing("vasp", path)


def _record(step: Atoms | str | Exception, level: str, charge: int) -> Record | str:
    if isinstance(step, Exception):
        raise step
    if isinstance(step, str):
        return step
    results = step.calc.results
    labels: dict[str, Any] = {}
    extras: dict[str, Any] = {}
    if "free_energy" in results:
        labels["energy"] = float(results["free_energy"])
        extras["energy_sigma0"] = float(results["energy"])
    if "forces" in results:
        labels["forces"] = np.asarray(results["forces"], dtype=float).reshape(len(step), 3)
    if results.get("stress") is not None:
        labels["stress"] = voigt_6_to_full_3x3_stress(results["stress"])
    if np.ndim(results.get("magmom")) == 0 and results.get("magmom") is not None:
        extras["magmom"] = float(results["magmom"])
    numbers = np.asarray(step.numbers)
    if not len(numbers) or not ((numbers > 0) & (numbers < 119)).all():
        raise Broken("it has no atoms, or an unknown element")
    return Record(
        numbers=numbers.astype(np.uint8),
        positions=np.asarray(step.positions, dtype=np.float64),
        cell=np.array(step.cell),
        pbc=np.array(step.pbc),
        charge=charge,
        levels={level: labels} if labels else {},
        frame_extras=extras,
    )


def _xml_steps(path: Path, text: str) -> Iterator[Atoms | str | Exception]:
    """Yield each step: its atoms, the reason to set it aside, or what is wrong with it."""
    parts = text.split("<calculation>")[1:]
    limit = re.search(r'name="NELM">\s*(\d+)\s*<', text)
    loops = int(limit[1]) if limit else 0
    frames = read_vasp_xml(path, index=slice(None))
    for i in range(max(len(parts), text.count("</calculation>"))):
        try:
            atoms = next(frames, None)
        except XmlError as error:
            raise DataError(
                f"{path} cannot be read as vasprun.xml: {error}. It is truncated or damaged."
            ) from error
        except Exception as error:  # ASE's reader is ended by it, and begins anew behind the step
            yield error
            frames = read_vasp_xml(path, index=slice(i + 1, None))
            continue
        if atoms is None or atoms.calc is None:
            yield Broken("the step is not complete")
        elif loops > 1 and i < len(parts) and parts[i].count("<scstep>") >= loops:
            yield _UNCONVERGED
        else:
            yield atoms


def _outcar_steps(path: Path, text: str, head: str) -> Iterator[Atoms | str | Exception]:
    counts = _OUTCAR_COUNTS.search(head)
    points = re.search(r"NKPTS\s*=\s*(\d+)", head)
    lines = text.count("\n")
    atoms = sum(map(int, counts[1].split())) if counts else 0
    if atoms > lines or (points and int(points[1]) > lines):  # or ASE takes the memory for them
        raise DataError(f"{path} is truncated or damaged: its header tells {atoms} ions.")
    with open(path, encoding="utf-8", errors="replace") as file:
        # A header parser without a folder: POSCAR and CONTCAR beside the file tell nothing here.
        chunks = outcarchunks(file, header_parser=OutcarHeaderParser())
        try:
            for chunk in chunks:
                if any("EDIFF was not reached" in line for line in chunk.lines):
                    yield _UNCONVERGED
                    continue
                try:
                    with warnings.catch_warnings():
                        # Of a stress that overflowed its columns: it counts as missing.
                        warnings.simplefilter("ignore", UserWarning)
                        atoms = chunk.build()
                    yield atoms
                except Exception as error:  # whatever ASE's parsers are led to by a broken text
                    yield error
        except (ParseError, ValueError, IndexError, KeyError, RuntimeError) as error:
            raise DataError(f"{path}: the header of the OUTCAR: {said(error)}.") from error


def _charge(path: Path, head: str, xml: bool) -> int:
    """Return the charge in e: valence of the ions less electrons, 0 where it is not told."""
    if xml:
        types = [(int(n), float(z)) for n, z, _ in _XML_TYPE.findall(head)]
        electrons = re.search(r'name="NELECT">\s*([\d.]+)\s*<', head)
    else:
        counts = _OUTCAR_COUNTS.search(head)
        valence = [float(z) for z in _OUTCAR_VALENCE.findall(head)]
        numbers = [int(n) for n in counts[1].split()] if counts else []
        types = list(zip(numbers, valence, strict=False)) if len(numbers) == len(valence) else []
        electrons = re.search(r"NELECT\s*=\s*([\d.]+)", head)
    if not types or not electrons:
        return 0
    charge = sum(n * z for n, z in types) - float(electrons[1])
    if abs(charge - round(charge)) > 0.01 or abs(charge) > 1000:
        raise DataError(
            f"{path}: NELECT = {electrons[1]} leaves the charge {charge:.3f}, which is no integer."
        )
    return round(charge)


def _level(head: str, xml: bool) -> str:
    tags = dict((_XML_TAG if xml else _OUTCAR_TAG).findall(head))
    titles = [t for *_, t in _XML_TYPE.findall(head)] if xml else _OUTCAR_TITLE.findall(head)
    code = tags.get("GGA", "--").upper()
    if code in ("--", ""):
        pseudo = {"PE" if "PBE" in t else "91" if "GGA" in t else "CA" for t in titles}
        code = pseudo.pop() if len(pseudo) == 1 else ""
    base = _FUNCTIONALS.get(code)
    meta = tags.get("METAGGA", "--").upper()
    if meta not in ("--", "", "F", ".FALSE.", "NONE"):
        base = meta.lower() if meta in _META else None
    if _true(tags, "LHFCALC"):
        base = _hybrid(base, tags)
    if base is None or _true(tags, "LUSE_VDW"):
        return UNNAMED_LEVEL
    number = tags.get("IVDW", "0")
    dispersion = _DISPERSIONS.get(int(number), f"ivdw{number}") if number.isdigit() else ""
    hubbard = "+u" if _true(tags, "LDAU") or "LDA+U is selected" in head else ""
    return base + (f"-{dispersion}" if dispersion not in ("", "ivdw0") else "") + hubbard


def _hybrid(base: str | None, tags: dict[str, str]) -> str | None:
    """Return the name of a hybrid functional, None for one without a common name."""
    if base == "b3lyp":
        return base
    try:
        share, screening = float(tags.get("AEXX", 0.25)), float(tags.get("HFSCREEN", 0))
    except ValueError:
        return None
    names = {0.0: "pbe0", 0.2: "hse06", 0.207: "hse06", 0.3: "hse03"}
    known = base == "pbe" and abs(share - 0.25) < 1e-6
    return names.get(round(screening, 3)) if known else None


def _true(tags: dict[str, str], name: str) -> bool:
    return tags.get(name, "F").strip(".").upper().startswith("T")
