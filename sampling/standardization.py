"""Rules by which a SMILES as people write it becomes one molecule that can be sampled.

1. Counterions, solvents and all other fragments but the largest organic one are left out; a line
   with several fragments and none organic is an error. Alkali and alkaline earth metals that are
   drawn with bonds to N, O or F count as ions.
2. An ion that lost its counterion takes up or gives off protons until it is neutral, where it can;
   a quaternary ammonium ion keeps its charge. Ions and zwitterions written alone stay as they are.
3. Isotope labels and atom-map numbers are dropped: a potential energy surface knows neither.
4. Stereochemistry that is written is kept; what is left open is settled as one embedding with a
   fixed seed has it, see `molecules.Molecule.canonical`.
5. Radicals are kept; all unpaired electrons are parallel.
6. Wildcards, empty SMILES and what RDKit cannot read are errors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from rdkit import Chem, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize

from ..diversity.errors import DataError

#: Metals whose bonds to N, O and F are drawn for convenience.
#: Characters of the longest SMILES that is read: RDKit takes hours for a few hundred thousand.
LONGEST = 5_000
_SALT_FORMERS = "[Li,Na,K,Rb,Cs,Mg,Ca,Sr,Ba]~[#7,#8,F]"


class Standard(NamedTuple):
    """A molecule and what was done to get it.

    Attributes
    ----------
    smiles : str
        As written, where nothing but open stereochemistry had to be settled.
    changes : tuple of str
        Short fixed phrases, so that they can be counted; details follow a colon.
    """

    smiles: str
    changes: tuple[str, ...]


def standardize(name: str, smiles: str) -> Standard:
    """Make one molecule out of a SMILES by the rules of this module.

    Parameters
    ----------
    name : str
        What errors call it.
    smiles : str

    Raises
    ------
    DataError
        If it cannot be read, is empty, holds a wildcard, or holds several fragments and none with
        carbon.

    Examples
    --------
    >>> standardize("acetate", "CC(=O)[O-].[Na+]")
    Standard(smiles='CC(=O)O', changes=('salt or solvate: [Na+] left out', 'neutralised'))
    """
    molecule = parse(name, smiles)
    changes: list[str] = []
    if any(atom.GetAtomicNum() == 0 for atom in molecule.GetAtoms()):
        raise DataError(
            f"{name}: {smiles!r} holds a wildcard (*), which is no element. Replace it."
        )
    if any(atom.GetAtomMapNum() for atom in molecule.GetAtoms()):
        for atom in molecule.GetAtoms():
            atom.SetAtomMapNum(0)
        changes.append("atom-map numbers dropped")
    with rdBase.BlockLogs():
        molecule, split = _split_salts(molecule)
        molecule, of_fragments = _largest_fragment(name, smiles, molecule, split=split)
        changes += of_fragments
        if any(atom.GetIsotope() for atom in molecule.GetAtoms()):
            for atom in molecule.GetAtoms():
                atom.SetIsotope(0)
            molecule = Chem.RemoveHs(molecule)
            changes.append("isotope labels dropped")
        # A copy: perception of stereochemistry leaves traces on the molecule.
        is_open = any(
            center.specified == Chem.StereoSpecified.Unspecified
            for center in Chem.FindPotentialStereo(Chem.Mol(molecule))
        )
        kept = Chem.CanonSmiles(Chem.MolToSmiles(molecule)) if changes else smiles
    return Standard(kept, (*changes, *["stereochemistry settled"] * is_open))


def parse(name: str, smiles: str) -> Any:
    """Return the RDKit molecule of a SMILES; raise `DataError` if there is none."""
    if len(smiles) > LONGEST:
        raise DataError(
            f"{name}: a SMILES of {len(smiles):,} characters is no molecule to be labelled; "
            f"at most {LONGEST:,} are read."
        )
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        raise DataError(f"{name}: {smiles!r} is no SMILES that RDKit can read. Correct it.")
    if not molecule.GetNumAtoms():
        raise DataError(f"{name}: the SMILES is empty. Give one molecule.")
    return molecule


def _split_salts(molecule: Any) -> tuple[Any, bool]:
    """Cut bonds of salts that are drawn as covalent; tell whether there were some."""
    pattern = Chem.MolFromSmarts(_SALT_FORMERS)
    if not molecule.HasSubstructMatch(pattern):
        return molecule, False
    cutter = rdMolStandardize.MetalDisconnector()
    cutter.SetMetalNof(pattern)
    cutter.SetMetalNon(Chem.MolFromSmarts("[#0]~[#0]"))  # organometallic bonds stay
    return cutter.Disconnect(molecule), True


def _largest_fragment(
    name: str, smiles: str, molecule: Any, *, split: bool
) -> tuple[Any, list[str]]:
    """Keep the largest organic fragment, and neutralise it if its counterion goes."""
    fragments = Chem.GetMolFrags(molecule, asMols=True)
    if len(fragments) == 1:
        return molecule, ["salt split"] if split else []
    chosen = rdMolStandardize.LargestFragmentChooser(preferOrganic=True).choose(molecule)
    if not _organic(chosen):
        raise DataError(
            f"{name}: {smiles!r} holds several molecules or ions and none with carbon. Give one "
            "connected molecule; embedding places fragments at random, which is no sample of a "
            "complex."
        )
    kept = Chem.MolToSmiles(chosen)
    others = sorted(Chem.MolToSmiles(fragment) for fragment in fragments)
    others.remove(kept)
    beside = sorted({other for other in others if other != kept})
    organic = [other for other in beside if _organic(Chem.MolFromSmiles(other))]
    inorganic = [other for other in beside if other not in organic]
    changes = [
        f"{what}: {'.'.join(those)} left out"
        for what, those in (("salt or solvate", inorganic), ("mixture", organic))
        if those
    ]
    if not beside:
        changes.append("repeats of one molecule left out")
    charge = Chem.GetFormalCharge(chosen)
    if charge:
        chosen = rdMolStandardize.Uncharger().uncharge(chosen)
        left = Chem.GetFormalCharge(chosen)
        changes.append(f"charge kept: {left:+d}" if left else "neutralised")
    return chosen, changes


def _organic(molecule: Any) -> bool:
    return molecule is not None and any(a.GetAtomicNum() == 6 for a in molecule.GetAtoms())
