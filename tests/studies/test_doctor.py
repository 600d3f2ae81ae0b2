"""The doctor: what it tells of this machine, what it finds wrong, and what it keeps to itself."""

import json
from importlib import metadata

import pytest

from breadth.studies import doctor, self_check
from breadth.studies.cli.doctor import doctor as command


def test_what_is_installed_is_told(monkeypatch):
    monkeypatch.setenv("REGISTRY_TOKEN", "hunter2")
    found = doctor.examine()
    assert found["problems"] == []
    assert found["packages"]["numpy"] == metadata.version("numpy")
    assert found["packages"].keys() >= {"torch", "rdkit", "tblite", "pydantic", "matplotlib"}
    assert found["extras"].keys() == set(metadata.metadata("breadth").get_all("Provides-Extra"))
    assert found["device"]["cores"] >= 1
    assert bool(found["device"]["cuda"]) == (found["device"]["cuda_reason"] is None)
    assert "hunter2" not in json.dumps(found)


def test_what_is_wrong_is_told_with_what_to_do(monkeypatch):
    real = metadata.version

    def version(name):
        if name == "tblite":
            raise metadata.PackageNotFoundError(name)
        return "0.1" if name in ("rdkit", "pyscf") else real(name)

    monkeypatch.setattr(doctor.metadata, "version", version)
    monkeypatch.setattr(doctor, "ENOUGH_DISK", 1e9)
    monkeypatch.setattr(doctor, "ENOUGH_MEMORY", 1e9)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    found = doctor.examine()
    assert found["packages"]["tblite"] is None
    missing, old = sorted(found["problems"], key=lambda text: "rdkit" in text)
    assert "tblite is not installed" in missing
    assert "pip install 'tblite>=" in missing
    assert "rdkit is 0.1" in old
    assert not found["extras"]["dft"]["installed"]
    assert "pyscf" in found["extras"]["dft"]["lacks"]
    told = " ".join(found["advice"])
    for word in ("OMP_NUM_THREADS is 7", "Unset it", "GB left", "GiB of memory"):
        assert word in told


def test_the_self_check_does_everything_here():
    done = {one["step"]: one for one in self_check.self_check()}
    assert done.keys() == self_check.STEPS.keys()
    assert [one for one in done.values() if one["passed"] is False] == []
    assert "-137.96" in done["labelling"]["told"]


def test_a_failed_step_stops_what_needs_it_and_nothing_else(monkeypatch, tmp_path):
    monkeypatch.setattr(self_check, "WATER_ENERGY", -137.0)
    monkeypatch.setattr(self_check.tempfile, "tempdir", str(tmp_path))
    wanted = ("geometries", "labelling", "files", "fit")
    monkeypatch.setattr(self_check, "STEPS", {name: self_check.STEPS[name] for name in wanted})
    done = {one["step"]: one for one in self_check.self_check()}
    assert [done[name]["passed"] for name in wanted] == [True, False, None, None]
    assert "instead of -137.0" in done["labelling"]["told"]
    assert "tblite" in done["labelling"]["do"]
    assert "labelling failed" in done["fit"]["told"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("passed", [True, False])
def test_the_command_ends_with_what_it_found(monkeypatch, capsys, passed):
    step = {"step": "fit", "passed": passed, "seconds": 1.0, "told": "it [bold]is so", "do": None}
    step["do"] = None if passed else "install torch"
    monkeypatch.setattr(self_check, "self_check", lambda show: [step])

    def run(**options):
        if passed:
            command(**options)
            return
        with pytest.raises(SystemExit) as ended:
            command(**options)
        assert ended.value.code == 1

    run(json=True)
    assert json.loads(capsys.readouterr().out)["passed"] is passed
    run()
    shown = capsys.readouterr().out
    assert "it [bold]is so" in shown
    assert ("All is well" in shown) is passed
    assert ("install torch" in shown) is not passed
