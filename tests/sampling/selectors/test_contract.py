"""Every selector keeps the contract of selectors."""

from breadth.sampling import selectors
from breadth.sampling.testing import SelectorContract


class TestRandom(SelectorContract):
    selector = selectors.Random


class TestFarthestPoint(SelectorContract):
    selector = selectors.FarthestPoint


class TestForceFarthestPoint(SelectorContract):
    selector = selectors.ForceFarthestPoint


class TestKennardStone(SelectorContract):
    selector = selectors.KennardStone


class TestKMedoids(SelectorContract):
    selector = selectors.KMedoids


class TestDirect(SelectorContract):
    selector = selectors.Direct


class TestDirectOfThreePerCluster(SelectorContract):
    selector = selectors.Direct
    options = {"per_cluster": 3}  # noqa: RUF012


class TestCur(SelectorContract):
    selector = selectors.Cur


class TestEntropyGreedy(SelectorContract):
    selector = selectors.EntropyGreedy


class TestScaffold(SelectorContract):
    selector = selectors.Scaffold


class TestEnergyStrata(SelectorContract):
    selector = selectors.EnergyStrata


class TestForceStrata(SelectorContract):
    selector = selectors.ForceStrata


class TestBoltzmann(SelectorContract):
    selector = selectors.Boltzmann


class TestDiverseMinima(SelectorContract):
    selector = selectors.DiverseMinima


class TestMaxMin(SelectorContract):
    selector = selectors.MaxMin


class TestButina(SelectorContract):
    selector = selectors.Butina
