"""What universal potentials share: packages and weights that are not there, and the domain."""

import dataclasses
import sys

import numpy as np
import pytest
import torch
from ase import Atoms

from breadth.diversity import ConfigurationError, ConformerSet, DataError
from breadth.training import build_potential
from breadth.training.potentials.foundation import Domain, PretrainedPotential
from breadth.training.potentials.foundation.pretrained import trusted_load


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("so3lr", "so3krates_torch", "foundation"),
        ("sevennet-0", "sevenn.checkpoint", "foundation"),
        ("chgnet", "chgnet.model", "foundation"),
        ("mace", "mace.tools.scripts_utils", "mace"),
    ],
)
def test_without_the_package(monkeypatch, name, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    options = {"path": "some.model"} if name == "mace" else {}
    with pytest.raises(ConfigurationError, match=rf"{name}.*breadth\[{extra}\]"):
        build_potential(name, **options)


def test_weights_that_are_missing_or_damaged(tmp_path):
    with pytest.raises(ConfigurationError, match=r"missing.*so3lr\.model"):
        trusted_load(str(tmp_path / "so3lr.model"), "so3lr")
    (tmp_path / "so3lr.model").write_bytes(b"no weights")
    with pytest.raises(ConfigurationError, match=r"so3lr\.model.*another version"):
        trusted_load(str(tmp_path / "so3lr.model"), "so3lr")


def test_weights_that_packages_read_themselves(monkeypatch, tmp_path):
    model = pytest.importorskip("chgnet.model.model")
    monkeypatch.setattr(model, "module_dir", str(tmp_path / "no" / "folder"))
    with pytest.raises(ConfigurationError, match=r"weights of 'chgnet' are missing"):
        build_potential("chgnet")
    pytest.importorskip("sevenn.checkpoint")
    from breadth.training.potentials.foundation import sevennet

    monkeypatch.setattr(sevennet.resources, "files", lambda _: tmp_path)
    with pytest.raises(ConfigurationError, match=r"'sevennet-0' are missing.*sevennet_0\.pth"):
        build_potential("sevennet-0")
    place = tmp_path / "pretrained_potentials" / "SevenNet_0__11Jul2024"
    place.mkdir(parents=True)
    torch.save({"config": {}}, place / "checkpoint_sevennet_0.pth")
    with pytest.raises(ConfigurationError, match="another version"):
        build_potential("sevennet-0")


class Nothing(PretrainedPotential):
    """Gas-phase hydrogen, without any weights."""

    own_level = "nothing"
    domain = Domain(frozenset({1}), charges=(-1, 0), periodic="never")

    def __init__(self):
        super().__init__(
            cutoff=3.0, levels=("nothing",), readout=torch.nn.Identity(), n_features=1, shifts={}
        )

    def evaluate(self, batch, place):
        raise NotImplementedError


def test_the_first_conformer_outside_of_the_domain_is_named():
    frames = [Atoms("H2", np.eye(3)[:2]) for _ in range(4)]
    frames[0].info["charge"] = -1
    Nothing().check(ConformerSet.from_ase(frames))
    frames[1].info.update(charge=1, multiplicity=2)
    with pytest.raises(DataError, match=r"Conformer 1.*H2.*another charge.*-1, 0"):
        Nothing().check(ConformerSet.from_ase(frames))
    frames[1].info["charge"] = -1
    with pytest.raises(DataError, match=r"Conformer 1.*unpaired"):
        Nothing().check(ConformerSet.from_ase(frames))
    magnetic = Nothing()
    magnetic.domain = dataclasses.replace(magnetic.domain, closed_shell=False)
    magnetic.check(ConformerSet.from_ase(frames))
    frames[1].info["multiplicity"] = 1
    frames[2].set_cell([9, 9, 9])
    frames[2].pbc = [True, False, False]
    with pytest.raises(DataError, match=r"Conformer 2.*is periodic.*isolated molecules"):
        Nothing().check(ConformerSet.from_ase(frames))
    frames[0].numbers[1] = 2
    with pytest.raises(DataError, match=r"Conformer 0.*holds He.*trained on H alone"):
        Nothing().check(ConformerSet.from_ase(frames))


def test_building_draws_from_nobodys_stream():
    pytest.importorskip("chgnet")
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    build_potential("chgnet")
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_default_dtype() == torch.float32
