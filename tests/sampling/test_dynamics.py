"""Dynamics against closed forms, and how runs end."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
from ase.calculators.emt import EMT
from tblite.ase import TBLite

from breadth.diversity import read, write
from breadth.diversity.conformers import ConformerSet
from breadth.diversity.errors import ConfigurationError, DataError
from breadth.diversity.protocols import Verdict
from breadth.diversity.testing import assert_equal_sets
from breadth.sampling.calculators import EngineCalculator, bare_atoms
from breadth.sampling.dynamics import Dynamics, DynamicsSettings, run_dynamics, run_many
from breadth.sampling.engines import Gfn2, Mmff94
from breadth.sampling.geometries import sample_geometries
from breadth.sampling.molecules import Molecule
from breadth.sampling.observers import BondStretched, LimitCrossed, stops_where_bonds_break

SHORT = DynamicsSettings(n_steps=60, record_every=20)


class Springs(Calculator):
    """Each atom on a spring of its own: every coordinate is a harmonic oscillator."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, rest: np.ndarray, constant: float, *, fails_after: int = 10**9) -> None:
        super().__init__()
        self.rest, self.constant, self.left = rest, constant, fails_after

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.left -= 1
        if self.left < 0:
            raise CalculationFailed("the spring snapped")
        moved = self.atoms.positions - self.rest
        self.results = {
            "energy": 0.5 * self.constant * (moved**2).sum(),
            "forces": -self.constant * moved,
        }


@pytest.fixture(scope="module")
def methanol() -> ConformerSet:
    return sample_geometries([Molecule("methanol", "CO")], n_conformers=3, seed=0)[0]


@pytest.fixture(scope="module")
def start(methanol: ConformerSet) -> ConformerSet:
    return methanol.select([0])


def mmff(start: ConformerSet) -> EngineCalculator:
    return EngineCalculator(Mmff94(), start)


def same(a: Dynamics, b: Dynamics) -> None:
    assert_equal_sets(a.trajectory, b.trajectory)
    np.testing.assert_array_equal(a.temperature, b.temperature)
    np.testing.assert_array_equal(a.potential_energy, b.potential_energy)
    assert (a.stopped, a.time) == (b.stopped, b.time)


def test_an_oscillator_swings_as_it_should() -> None:
    rest = np.array([[0.0, 0, 0], [0, 5, 0]])
    pair = ConformerSet.from_ase([Atoms("C2", rest + np.array([0.3, 0, 0]))])
    settings = DynamicsSettings(ensemble="nve", temperature=1e-9, n_steps=400, record_every=1)
    run = run_dynamics(pair, Springs(rest, 5.0), settings, seed=0)
    frequency = np.sqrt(5.0 / 12.011)
    np.testing.assert_allclose(
        run.trajectory.positions[::2, 0],
        0.3 * np.cos(frequency * run.trajectory.time * units.fs),
        atol=2e-4,
    )


def test_langevin_reaches_its_temperature_in_motion_and_in_place() -> None:
    rest = np.random.default_rng(0).uniform(-8, 8, (60, 3))
    lattice = ConformerSet.from_ase([Atoms("C60", rest)])
    settings = DynamicsSettings(
        temperature=400.0, timestep=2.0, friction=0.05, n_steps=4000, record_every=20
    )
    run = run_dynamics(lattice, Springs(rest, 2.0), settings, seed=3)
    late = slice(20, None)
    assert run.temperature[late].mean() == pytest.approx(400.0, rel=0.03)
    # Equipartition: k_B T / 2 in each of 180 springs.
    expected = 0.5 * units.kB * 400.0 * 180
    assert run.potential_energy[late].mean() == pytest.approx(expected, rel=0.03)


def test_nve_keeps_its_energy_and_neither_moves_nor_turns(start: ConformerSet) -> None:
    drift = []
    for timestep in (0.5, 0.25):
        settings = DynamicsSettings(
            ensemble="nve", temperature=300.0, timestep=timestep, n_steps=400, record_every=4
        )
        run = run_dynamics(start, mmff(start), settings, seed=0)
        total = run.potential_energy + run.kinetic_energy
        drift.append(total.std())
        x = run.trajectory.positions.reshape(-1, 6, 3)
        masses = bare_atoms(start).get_masses()
        centre = np.einsum("tnx,n->tx", x, masses) / masses.sum()
        assert np.abs(centre - centre[0]).max() < 1e-9
        freedom = 2 * run.kinetic_energy / (units.kB * run.temperature)
        np.testing.assert_allclose(freedom, 12)
    # Velocity Verlet is of second order.
    assert drift[1] < drift[0] / 3


def test_a_diatomic_has_one_degree_of_freedom() -> None:
    pair = ConformerSet.from_ase([Atoms("N2", [[0, 0, 0], [0, 0, 1.1]])])
    settings = DynamicsSettings(ensemble="nve", n_steps=1, record_every=1)
    run = run_dynamics(pair, EMT(), settings, seed=0)
    np.testing.assert_allclose(2 * run.kinetic_energy / (units.kB * run.temperature), 1)


def test_frames_carry_provenance_and_labels(start: ConformerSet) -> None:
    run = run_dynamics(start, mmff(start), SHORT, seed=0, trajectory=7, level="mmff94")
    frames = run.trajectory
    assert len(frames) == 4
    assert frames.time.tolist() == [0.0, 10.0, 20.0, 30.0]
    assert set(frames.trajectory) == {7}
    assert set(frames.temperature) == {500.0}
    assert set(frames.source) == {"langevin dynamics"}
    np.testing.assert_array_equal(frames.positions[:6], start.positions)
    labels, again = frames.labels("mmff94"), Mmff94()(frames)
    np.testing.assert_allclose(labels.energy, again.energy, atol=1e-9)
    np.testing.assert_allclose(labels.forces, again.forces, atol=1e-9)
    np.testing.assert_array_equal(labels.energy, run.potential_energy)
    assert not run_dynamics(start, mmff(start), SHORT, seed=0).trajectory.levels


def test_runs_repeat_and_seeds_starts_and_numbers_tell_them_apart(methanol: ConformerSet) -> None:
    start = methanol.select([0])
    first = run_dynamics(start, mmff(start), SHORT, seed=0)
    same(first, run_dynamics(start, mmff(start), SHORT, seed=0))
    for other in (
        run_dynamics(start, mmff(start), SHORT, seed=1),
        run_dynamics(start, mmff(start), SHORT, seed=0, trajectory=1),
    ):
        assert not set(other.trajectory.id[1:]) & set(first.trajectory.id[1:])
    # A longer run begins as the shorter one.
    longer = DynamicsSettings(n_steps=100, record_every=20)
    whole = run_dynamics(start, mmff(start), longer, seed=0)
    np.testing.assert_array_equal(whole.trajectory.id[:4], first.trajectory.id)
    with ThreadPoolExecutor(2) as executor:
        many = run_many(methanol, mmff, SHORT, seed=0, executor=executor)
    for run, alone in zip(many, run_many(methanol, mmff, SHORT, seed=0), strict=True):
        same(run, alone)
    same(many[0], first)
    assert [set(run.trajectory.trajectory) for run in many] == [{0}, {1}, {2}]


def test_gfn2_runs_by_tblite_and_by_the_engine_agree(start: ConformerSet) -> None:
    # Chaos parts them late; tblite's calculator starts from the last density.
    settings = DynamicsSettings(n_steps=20, record_every=10)
    ours = run_dynamics(start, EngineCalculator(Gfn2(), start), settings, seed=0)
    theirs = run_dynamics(start, TBLite(method="GFN2-xTB", verbosity=0), settings, seed=0)
    np.testing.assert_allclose(ours.trajectory.positions, theirs.trajectory.positions, atol=1e-4)


def test_a_broken_bond_stops_a_run_that_is_kept(start: ConformerSet) -> None:
    hot = DynamicsSettings(temperature=20_000.0, n_steps=2000, record_every=5)
    run = run_dynamics(start, mmff(start), hot, seed=0, observers=stops_where_bonds_break(start))
    assert run.stopped is not None
    assert run.stopped.startswith("bond broken: ")
    assert run.time == run.trajectory.time[-1] < 1000.0
    watch = BondStretched.of(start)
    verdicts = [watch(bare_atoms(run.trajectory, i)) for i in range(len(run.trajectory))]
    assert verdicts[-1] is Verdict.STOP
    assert set(verdicts[:-1]) == {Verdict.CONTINUE}
    assert run.stopped == watch.reason


def test_the_limit_of_a_stretched_bond() -> None:
    watch = BondStretched(np.array([[0, 1], [1, 2]]), np.ones(2))
    inside = Atoms("H3", [[0, 0, 0], [1.49, 0, 0], [2.98, 0, 0]])
    assert watch(inside) is Verdict.CONTINUE
    outside = Atoms("H3", [[0, 0, 0], [1.0, 0, 0], [2.51, 0, 0]])
    assert watch(outside) is Verdict.STOP
    assert watch.reason == "bond broken: H1–H2 at 1.51 Å"
    outside.positions[2, 0] = 1.51
    assert watch(outside) is Verdict.CONTINUE
    outside.positions[2, 0] = 1.49
    assert watch(outside) is Verdict.STOP
    assert watch.reason == "bond collapsed: H1–H2 at 0.49 Å"
    outside.positions[2] = np.nan
    assert watch(outside) is Verdict.STOP
    # Through the wall of a cell of 3 Å, the third atom is 1.49 Å from the second.
    outside.positions[2] = [-0.51, 0, 0]
    assert watch(outside) is Verdict.STOP
    outside.set_cell(np.eye(3) * 3)
    outside.pbc = True
    assert watch(outside) is Verdict.CONTINUE


def test_explosions_and_failures_end_a_run_and_are_told(start: ConformerSet) -> None:
    wild = DynamicsSettings(timestep=20.0, n_steps=2000, record_every=50)
    run = run_dynamics(start, mmff(start), wild, seed=0, level="mmff94")
    assert run.stopped is not None
    assert run.stopped.startswith("exploded: temperature ")
    assert run.time < 2000 * 20.0
    assert np.isfinite(run.trajectory.positions).all()
    failing = Springs(start.positions, 1.0, fails_after=31)
    run = run_dynamics(start, failing, SHORT, seed=0, level="springs")
    assert run.stopped == "calculator failed: CalculationFailed: the spring snapped"
    assert run.time == 31 * 0.5
    assert run.trajectory.time.tolist() == [0.0, 10.0]
    run = run_dynamics(
        start, Springs(start.positions, 1.0, fails_after=0), SHORT, seed=0, level="springs"
    )
    assert len(run.trajectory) == len(run.temperature) == 0
    assert run.time == 0.0


def test_non_finite_forces_end_a_run(start: ConformerSet) -> None:
    run = run_dynamics(start, Springs(start.positions, np.nan), SHORT, seed=0)
    assert run.stopped == "exploded: forces are not finite"
    assert len(run.trajectory) == 0


def test_observers_ask_and_stop(start: ConformerSet) -> None:
    def curious(frame: Atoms) -> Verdict:
        return Verdict.ASK if 0 < frame.get_distance(0, 1) < 9 else Verdict.CONTINUE

    seen = []

    def third_frame(frame: Atoms) -> Verdict:
        seen.append(frame.positions.copy())
        return Verdict.STOP if len(seen) == 3 else Verdict.CONTINUE

    run = run_dynamics(start, mmff(start), SHORT, seed=0, observers=[curious, curious, third_frame])
    assert run.stopped == "third_frame"
    assert run.time == 20.0
    assert run.asked.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(np.concatenate(seen), run.trajectory.positions)


def test_bad_settings_and_starts_are_refused(methanol: ConformerSet) -> None:
    with pytest.raises(ConfigurationError, match="'nvt'"):
        DynamicsSettings(ensemble="nvt")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="timestep = 0"):
        DynamicsSettings(timestep=0)
    with pytest.raises(DataError, match="the set holds 3"):
        run_dynamics(methanol, EMT(), SHORT, seed=0)


def test_an_engine_calculator_says_what_its_engine_says(start: ConformerSet) -> None:
    atoms = bare_atoms(start)
    atoms.calc = EngineCalculator(Gfn2(), start)
    labels = Gfn2()(start)
    assert atoms.get_potential_energy() == pytest.approx(labels.energy[0], abs=1e-9)
    np.testing.assert_allclose(atoms.get_forces(), labels.forces, atol=1e-9)
    with pytest.raises(NotImplementedError):
        atoms.get_stress()
    stuck = EngineCalculator(Gfn2(max_iterations=1), start)
    with pytest.raises(CalculationFailed, match="GFN2-xTB failed"):
        stuck.get_potential_energy(atoms)


def test_an_engine_calculator_gives_stress_of_crystals() -> None:
    box = Atoms("HF", [[0, 0, 0], [0, 0, 0.95]], cell=np.diag([3.0, 3.1, 3.2]), pbc=True)
    crystal = ConformerSet.from_ase([box])
    calculator = EngineCalculator(Gfn2(), crystal)
    box.calc = calculator
    np.testing.assert_allclose(box.get_stress(voigt=False), Gfn2()(crystal).stress[0], atol=1e-9)


def test_a_limit_is_crossed_after_so_many_frames_in_a_row() -> None:
    scores = iter([0.5, 2.0, 0.5, 2.0, np.nan, 2.0, 2.0, 2.0])
    atoms = Atoms("H2", [[0, 0, 0], [0.74, 0, 0]])
    watch = LimitCrossed(lambda _: next(scores), 1.0, verdict=Verdict.ASK, patience=2)
    said = [watch(atoms) for _ in range(8)]
    assert [k for k, verdict in enumerate(said) if verdict is Verdict.ASK] == [4, 6]
    assert set(said) == {Verdict.ASK, Verdict.CONTINUE}
    assert watch.reason == "limit crossed: 2 above 1 for 2 frames in a row"
    stops = LimitCrossed(lambda frame: frame.get_distance(0, 1), 0.7)
    assert stops(atoms) is Verdict.STOP
    assert stops.reason == "limit crossed: 0.74 above 0.7"
    lost = LimitCrossed(lambda _: np.inf, np.inf)
    assert lost(atoms) is Verdict.STOP
    with pytest.raises(ConfigurationError, match="stops or asks"):
        LimitCrossed(lambda _: 0.0, 1.0, verdict=Verdict.CONTINUE)
    with pytest.raises(ConfigurationError, match="patience = 0"):
        LimitCrossed(lambda _: 0.0, 1.0, patience=0)


def test_a_run_stops_or_asks_where_a_limit_is_crossed(start: ConformerSet) -> None:
    rest = start.positions.astype(float)

    def moved(frame: Atoms) -> float:
        return float(np.abs(frame.positions - rest).max())

    settings = DynamicsSettings(n_steps=60, record_every=5)
    asking = LimitCrossed(moved, 0.05, verdict=Verdict.ASK)
    run = run_dynamics(start, mmff(start), settings, seed=0, observers=[asking])
    assert run.stopped is None
    far = np.abs(run.trajectory.positions.reshape(13, -1, 3) - rest).max(axis=(1, 2)) > 0.05
    assert run.asked.tolist() == np.flatnonzero(far).tolist()
    assert len(run.asked)
    stopped = run_dynamics(
        start, mmff(start), settings, seed=0, observers=[LimitCrossed(moved, 0.05)]
    )
    assert stopped.stopped is not None
    assert stopped.stopped.startswith("limit crossed")
    assert len(stopped.trajectory) == run.asked[0] + 1


def test_a_recorded_run_carries_its_kinetic_energies(start: ConformerSet, tmp_path) -> None:
    run = run_dynamics(start, mmff(start), SHORT, seed=0, level="mmff94")
    write(run.recorded, tmp_path / "run.xyz")
    back = read(tmp_path / "run.xyz")
    np.testing.assert_allclose(back.frame_extras["kinetic_energy"].values, run.kinetic_energy)
    np.testing.assert_allclose(back.frame_extras["kinetic_temperature"].values, run.temperature)
    assert back.time.tolist() == [0.0, 10.0, 20.0, 30.0]
    assert_equal_sets(back, run.recorded)
