"""Molecules drawn for notebooks."""

from __future__ import annotations

from typing import Any

from rdkit import Chem, rdBase
from rdkit.Chem.Draw import rdMolDraw2D

from .html import escape
from .tables import Molecules

#: Molecules that are drawn, at most: a notebook keeps every drawing.
MOST = 12
_SIZE = (150, 110)
#: On white in any theme, since elements have colours of their own.
_FRAME = (
    "display:inline-block;margin:3px;padding:3px;background:#fff;color:#222;border-radius:6px;"
    "text-align:center;font-size:11px;line-height:1.3"
)


def molecules_html(molecules: Molecules) -> str:
    """Return drawings of the first molecules with a SMILES, and how many there are in all."""
    drawn: list[str] = []
    for smiles in map(str, molecules.smiles):
        if len(drawn) == MOST:
            break
        if svg := _drawn(smiles):
            drawn.append(f'<div style="{_FRAME}">{svg}<br/>{escape(smiles)}</div>')
    more = f", {len(drawn)} drawn" if len(drawn) < len(molecules) else ""
    return f"<p><b>{len(molecules):,} molecules</b>{more}</p><div>{''.join(drawn)}</div>"


def _drawn(smiles: str) -> str:
    """Return a drawing as SVG; '' of what RDKit cannot read."""
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles) if smiles else None
    if molecule is None:
        return ""
    canvas = rdMolDraw2D.MolDraw2DSVG(*_SIZE)
    options: Any = canvas.drawOptions()  # its stubs have no types of options
    options.clearBackground, options.fixedBondLength = False, 22
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, molecule)
    canvas.FinishDrawing()
    svg: str = canvas.GetDrawingText()
    return svg[svg.index("<svg") :]
