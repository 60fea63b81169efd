"""Times of a generator whose cost is known, and their bookkeeping next to Geant4's."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from caloforge.conditions import KNOWN
from caloforge.conditions.kinds import condition
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.inference import Batch
from caloforge.models.base import ShowerModel
from caloforge.models.caloman import CaloMan
from caloforge.simulator import Simulator
from caloforge.sources.geant4.datasets import find_data
from caloforge.sources.geant4.detector import Detector, detector_from_plain
from caloforge.sources.geant4.incidence import FRAMES
from caloforge.sources.geant4.journal import encode
from caloforge.sources.geant4.request import SimulationRequest
from caloforge.sources.geant4.workers import Block, Finished, Setup
from caloforge.timing import EnergyTiming, Geant4Timing, GeneratorTiming, Spread, against_geant4, time_simulator
from caloforge.timing import geant4_comparison as benchmark
from caloforge.timing.defaults import geant4_request
from caloforge.timing.generator import timed
from caloforge.timing.lower_bound import bare_products, gigaflop, matrix_products
from caloforge.timing.reference_implementations import nflows_caloman
from caloforge.timing.scan import scan
from caloforge.transforms import Compose, TrainedConditions, build_transforms
from caloforge.transforms.trained_conditions import TrainedCondition

TURN = 0.02
"""Seconds of a turn in these tests."""


@pytest.fixture(autouse=True)
def _short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caloforge.timing.generator.TURN_SECONDS", TURN)


def spin(seconds: float) -> None:
    """Use that much CPU time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


class Costly(ShowerModel):
    """Uniform noise that takes `busy` seconds of CPU and `idle` seconds of waiting per call, whatever the batch."""

    def __init__(self, features: int, conditions: int, *, busy: float = 0.0, idle: float = 0.0) -> None:
        super().__init__()
        self.features, self.busy, self.idle = features, busy, idle
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.seen: list[tuple[int, torch.Tensor]] = []

    def loss(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return (x - self.scale).square().sum(1)

    def sample(self, c: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        self.seen.append((torch.get_num_threads(), c))
        spin(self.busy)
        time.sleep(self.idle)
        return self.scale * torch.rand((len(c), self.features), generator=generator)


def simulator(geometry: Geometry, **cost: float) -> Simulator:
    transforms = build_transforms([{"kind": "readout_threshold"}], geometry)
    return Simulator(geometry, transforms, Costly(geometry.n_voxels, 1, **cost))


def detector(geometry: Geometry) -> Detector:
    """Six pairs of lead and argon, two for each of the small geometry's layers."""
    lead, argon = {"material": "G4_Pb", "thickness": 4}, {"material": "G4_lAr", "thickness": 5, "active": True}
    slabs = [{"repeat": 2, "layer": layer, "slabs": [lead, argon]} for layer in geometry.layer_ids]
    plain = {"name": "toy", "geometry": geometry.to_dict(), "sampling_fraction": 0.2, "slabs": slabs}
    return detector_from_plain(plain, "toy")


def test_spread_by_hand() -> None:
    assert Spread.of(np.array([4.0, 1.0, 3.0, 100.0, 2.0])) == Spread(3.0, 2.0, 4.0)


def test_cpu_time_per_shower_of_a_known_cost(small_geometry: Geometry) -> None:
    one, ten = time_simulator(simulator(small_geometry, busy=4e-3), np.array([100.0]), [1, 10], seconds=0)
    assert (one.batch, ten.batch, one.threads, one.calls) == (1, 10, 1, 7)
    for timing, expected in ((one, 4.0), (ten, 0.4)):
        assert expected <= timing.model_cpu.median < 1.3 * expected
        assert timing.model_cpu.median < timing.cpu.median < 1.7 * expected
        assert timing.cpu.lower <= timing.cpu.median <= timing.cpu.upper
        assert timing.wall.median > 0.99 * timing.cpu.median


def test_waiting_costs_wall_but_no_cpu_time(small_geometry: Geometry) -> None:
    (timing,) = time_simulator(simulator(small_geometry, idle=20e-3), np.array([100.0]), [1], repeats=3, seconds=0)
    assert timing.wall.median > 20
    assert timing.model_wall.median > 20
    assert timing.cpu.median < 10


def test_undoing_the_preprocessing_is_counted(small_geometry: Geometry, monkeypatch: pytest.MonkeyPatch) -> None:
    undo = Compose.inverse

    def slow(transforms: Compose, x: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        spin(5e-3)
        return undo(transforms, x, c)

    monkeypatch.setattr(Compose, "inverse", slow)
    (timing,) = time_simulator(simulator(small_geometry), np.array([100.0]), [1], seconds=0)
    assert timing.cpu.median - timing.model_cpu.median >= 4.9
    assert timing.model_cpu.median < 1


def test_calls_go_on_for_the_time_asked(small_geometry: Geometry) -> None:
    begun = time.perf_counter()
    (timing,) = time_simulator(simulator(small_geometry, busy=1e-3), np.array([100.0]), [1], repeats=1, seconds=0.2)
    assert time.perf_counter() - begun >= 0.2
    assert timing.calls > 1


def test_threads_and_energies_reach_the_model(small_geometry: Geometry) -> None:
    subject, before = simulator(small_geometry), torch.get_num_threads()
    time_simulator(subject, np.array([100.0, 300.0]), [5], threads=before + 1, repeats=1, seconds=0)
    assert torch.get_num_threads() == before
    for threads, c in subject.model.seen:
        assert threads == before + 1
        assert c.flatten().tolist() == [100, 300, 100, 300, 100]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batches": [1, 0]}, "a batch must be at least 1, not 0"),
        ({"threads": 0}, "number of threads must be at least 1, not 0"),
        ({"repeats": 0}, "of repeats must be at least 1, not 0"),
    ],
)
def test_bad_settings(small_geometry: Geometry, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(CaloforgeError, match=message):
        time_simulator(simulator(small_geometry), np.array([100.0]), **{"batches": [1], **settings})


def test_speed_up_is_the_ratio_of_cpu_times() -> None:
    def timing(batch: int, cpu: float) -> GeneratorTiming:
        other = Spread(99.0, 99.0, 99.0)
        return GeneratorTiming(batch, 1, 7, Spread(cpu, 0.0, 99.0), other, other, other)

    row = EnergyTiming(512.0, Geant4Timing(20, 12.0, 0.5), (timing(1, 3.0), timing(1000, 0.05)))
    assert row.speed_up == {1: pytest.approx(4), 1000: pytest.approx(240)}


class _NoTables:
    """What `SimulationRequest` and the benchmark ask of Geant4's data sets, for a Geant4 that is made up."""

    elements: frozenset[int] = frozenset()

    def require(self, physics_list: str) -> None: ...

    def environment(self, empty: str) -> dict[str, str]:
        return {}

    def em_commands(self) -> tuple[str, ...]:
        return ()

    def describe(self) -> str:
        return "none"


def made_up(geometry: Geometry, energies: str = "list:300,100,300") -> SimulationRequest:
    return SimulationRequest(detector(geometry), "gamma", energies, None, 5, _NoTables())  # type: ignore[arg-type]


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, float]]]:
    """Geant4 replaced by one that takes 10 or 30 µs per MeV by turns, and a second in warm-up; who worked, in order."""
    order: list[tuple[str, float]] = []

    def run_blocks(setup: Setup, blocks: Iterable[Block], n_workers: int, logs: Path) -> Iterator[Finished]:
        assert n_workers == 1
        for block in blocks:
            n, energy = len(block.energies), float(block.energies[0])
            order.append(("Geant4", energy))
            numbers = block.start + np.arange(n)
            cpu = np.where(numbers % 2, 30e-6, 10e-6) * energy if block.start < 8 else np.ones(n)
            yield Finished(block.start, n, encode(np.zeros((n, 13)), cpu))

    timing = benchmark.time_simulator

    def time_simulator(subject: Simulator, energies: np.ndarray, *rest: Any, **options: Any) -> Any:
        order.append(("generator", *energies.tolist()))
        return timing(subject, energies, *rest, **options)

    monkeypatch.setattr(benchmark, "run_blocks", run_blocks)
    monkeypatch.setattr(benchmark, "time_simulator", time_simulator)
    monkeypatch.setattr(benchmark, "geant4_version", lambda environment: "11.4.1")
    monkeypatch.setattr(benchmark, "binding_version", lambda: "0")
    monkeypatch.setattr(benchmark, "BLOCK_EVENTS", 3)
    return order


def test_the_two_take_turns_and_the_warm_up_does_not_count(
    small_geometry: Geometry, played: list[tuple[str, float]]
) -> None:
    done: list[int] = []
    subject = simulator(small_geometry, busy=2e-3)
    compared = against_geant4(subject, made_up(small_geometry), 4, [1, 2], seconds=0, progress=done.append)
    # Each energy once, in rising order; four events make a block of three and one of one.
    expected = [("Geant4", 100), ("Geant4", 100), ("Geant4", 100), ("generator", 100)]
    expected += [("Geant4", 300), ("Geant4", 300), ("generator", 300)]
    assert played == expected
    assert done == [3, 1, 3, 1]
    assert [row.energy for row in compared.rows] == [100, 300]
    for row in compared.rows:
        # Values 1, 3, 1, 3 times E/100: mean 2, standard deviation sqrt(4/3), over sqrt(4).
        assert row.geant4.cpu == pytest.approx(2 * row.energy / 100)
        assert row.geant4.error == pytest.approx((1 / 3) ** 0.5 * row.energy / 100)
        assert [timing.batch for timing in row.generator] == [1, 2]
        assert row.speed_up[2] == pytest.approx(row.geant4.cpu / row.generator[1].cpu.median)
    assert compared.geant4["version"] == "11.4.1"
    assert compared.geant4["particle"] == "gamma"


def test_both_have_the_angles_of_the_run(
    small_geometry: Geometry, played: list[tuple[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn evenly from the trained range, azimuths from all sides; what Geant4 does not take is refused."""
    blocks: list[Block] = []
    run_blocks = benchmark.run_blocks

    def watched(setup: Setup, todo: Iterable[Block], *rest: Any) -> Iterator[Finished]:
        def seen() -> Iterator[Block]:
            for block in todo:
                blocks.append(block)
                yield block

        return run_blocks(setup, seen(), *rest)

    monkeypatch.setattr(benchmark, "run_blocks", watched)
    subject = simulator(small_geometry)
    subject.conditions = TrainedConditions((TrainedCondition(KNOWN["theta"], 0.1, 0.7),))
    compared = against_geant4(subject, made_up(small_geometry), 40, [1], seconds=0)
    columns = [block.conditions for block in blocks if block.start < 80]
    theta, phi = (np.concatenate([c[name] for c in columns if c is not None]) for name in ("theta", "phi"))
    assert len(theta) == 80
    assert 0.1 <= theta.min() < 0.15
    assert 0.65 < theta.max() <= 0.7
    assert np.ptp(phi) > 5
    assert sum(len(block.energies) for block in blocks if block.conditions is not None) == 85  # with the warm-up
    assert set(compared.geant4["conditions"]) == {"theta", "phi"}
    subject.conditions = TrainedConditions((TrainedCondition(condition("material"), 0.0, 1.0),))
    with pytest.raises(
        CaloforgeError, match="needs the condition material, which is not simulated; Geant4 takes theta"
    ):
        against_geant4(subject, made_up(small_geometry), 4, [1])


def test_the_request_has_the_angle_and_the_mesh_of_the_run(small_geometry: Geometry, geant4_tables: Path) -> None:
    subject = simulator(small_geometry)
    subject.provenance |= {"particle": "e-", "frame": FRAMES["particle"]}
    request = geant4_request(subject, "list:100", detector="w-si", data=geant4_tables)
    assert (request.frame, request.angle) == ("particle", 0.0)
    subject.provenance |= {"frame": FRAMES["detector"], "training_angle_rad": 0.3}
    request = geant4_request(subject, "list:100", detector="w-si", data=geant4_tables)
    assert (request.frame, request.angle) == ("detector", 0.3)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system binds no process to a core")
def test_one_core_is_held_and_let_go(small_geometry: Geometry, played: list, monkeypatch: pytest.MonkeyPatch) -> None:
    before, during = os.sched_getaffinity(0), []
    monkeypatch.setattr(benchmark, "geant4_version", lambda environment: during.append(os.sched_getaffinity(0)))
    assert against_geant4(simulator(small_geometry), made_up(small_geometry), 4, [1], seconds=0).pinned
    assert len(during[0]) == 1
    assert os.sched_getaffinity(0) == before


def test_other_voxels_and_too_few_showers(small_geometry: Geometry, played: list) -> None:
    ds1 = SimpleNamespace(geometry=Geometry("other", small_geometry.layers[:2]))
    with pytest.raises(CaloforgeError, match="'toy' has the voxels of small, the run those of other"):
        against_geant4(ds1, made_up(small_geometry), 4, [1])  # type: ignore[arg-type]
    with pytest.raises(CaloforgeError, match="showers per energy must be at least 2, not 1"):
        against_geant4(simulator(small_geometry), made_up(small_geometry), 1, [1])
    assert played == []


def test_geant4_itself(small_geometry: Geometry, geant4_tables: Path) -> None:
    request = SimulationRequest(detector(small_geometry), "gamma", "list:50,4000", None, 5, find_data(geant4_tables))
    compared = against_geant4(simulator(small_geometry, busy=1e-3), request, 40, [1, 100], seconds=0)
    low, high = (row.geant4 for row in compared.rows)
    # A shower's work grows with its energy: by a factor of 80 here, of which the thin stack keeps some 12; 40 showers
    # tell that to 11 %.
    assert high.cpu > 4 * low.cpu > 0
    assert 0 < high.cpu < 1000
    assert compared.geant4["version"].startswith("11.")
    for row in compared.rows:
        assert row.speed_up[100] > 20 * row.speed_up[1]


def test_matrix_products_of_a_network_by_hand(small_geometry: Geometry) -> None:
    model = CaloMan(13, 1, latent_dim=4, hidden=[6, 7], flow_layers=1, flow_width=5, flow_blocks=1, flow_bins=3).eval()
    shapes = matrix_products(model, torch.rand(9, 1))
    # Coupling: (2 kept + 1 condition → 5), (1 → 5), two of (5 → 5), (5 → 2·8); decoder: 4 → 7 → 6 → 14.
    wanted = [(9, 3, 5), (9, 5, 5), (9, 5, 5), (9, 1, 5), (9, 5, 16), (9, 4, 7), (9, 7, 6), (9, 6, 14)]
    assert sorted(shapes) == sorted(wanted)
    assert gigaflop([(2, 3, 4), (1, 1, 1)]) == pytest.approx(50e-9)
    bare_products(shapes)()


def test_scan_times_all_in_turn(small_geometry: Geometry) -> None:
    subject, order = simulator(small_geometry, busy=2e-3), []

    def others(threads: int) -> Any:
        def call(batch: Batch) -> None:
            order.append((threads, len(batch.energies)))
            spin(4e-3)

        return {"other": call}

    subject.model.sample = _with_product(subject.model.sample)  # type: ignore[method-assign]
    rows = list(scan(subject, np.array([100.0]), [1, 4], [1], others, repeats=3, seconds=0))
    assert [(row.batch, row.threads, row.clock) for row in rows] == [(1, 1, "cpu"), (4, 1, "cpu")]
    for row in rows:
        assert set(row.ms) == {"torch", "model", "other", "lower_bound"}
        assert row.ms["other"].median * row.batch >= 4
        assert row.ratio("other", "torch") == pytest.approx(row.ms["other"].median / row.ms["torch"].median)
        assert row.ratio("nflows", "torch") is None
        assert 0 <= row.postprocessing < 0.5
    assert set(order) == {(1, 1), (1, 4)}


def _with_product(sample: Any) -> Any:
    def both(c: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        torch.mm(c, torch.ones(1, 2))
        return sample(c, generator)

    return both


def test_short_calls_are_made_in_a_row_and_long_ones_once() -> None:
    order: list[str] = []

    def call(name: str, busy: float) -> Any:
        def one() -> None:
            order.append(name)
            spin(busy)

        return one

    times = timed([call("a", 1e-3), call("b", TURN)], 1, 2, 0.0)
    assert times.shape == (2, 2, 2)
    *_, last = "".join(order).strip("b").split("b")
    assert 2 <= len(last) <= TURN / 1e-3
    assert order[-1] == "b"
    assert order[-2] == "a"
    for column, busy in ((0, 1e-3), (1, TURN)):
        assert (times[:, column, 0] >= busy).all()
        assert (times[:, column, 0] < 1.5 * busy).all()


def test_calls_too_short_for_the_clock_are_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "thread_time", lambda: 1.0)
    with pytest.raises(CaloforgeError, match="too short for this machine's clock: time larger batches"):
        timed([lambda: None], 1, 3, 0.0)


def test_a_reference_implementation_that_is_not_there(small_geometry: Geometry, tmp_path: Path) -> None:
    with pytest.raises(CaloforgeError, match="nflows has no counterpart of Costly"):
        nflows_caloman(simulator(small_geometry))
    model = CaloMan(13, 1, latent_dim=3, hidden=[4])
    subject = Simulator(small_geometry, build_transforms([], small_geometry), model)
    with pytest.raises(CaloforgeError, match=r"none is not a directory"):
        nflows_caloman(subject, tmp_path / "none")
    (tmp_path / "nflows").mkdir()
    (tmp_path / "nflows" / "__init__.py").write_text("")  # a package of that name without its parts
    with pytest.raises(CaloforgeError, match=r"nflows cannot be imported .*pip install"):
        nflows_caloman(subject, tmp_path)
