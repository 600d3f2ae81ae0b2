"""Every format keeps the contract."""

from breadth.diversity.testing import FormatContract


class TestExtxyz(FormatContract):
    format = "extxyz"
    suffix = ".xyz"


class TestAseDatabase(FormatContract):
    format = "ase"
    suffix = ".db"


class TestAseJson(FormatContract):
    format = "ase"
    suffix = ".json"


class TestNative(FormatContract):
    format = "native"
    suffix = ""


class TestRmd17(FormatContract):
    format = "rmd17"
    suffix = ".npz"
    one_molecule = True
