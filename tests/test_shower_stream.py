"""Generated showers as a PyTorch data set: what workers give, passes, and what is refused."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import caloforge as cf
from caloforge.conditions import Columns
from caloforge.errors import CaloforgeError
from caloforge.simulator import ShowerStream, Simulator
from caloforge.transforms import TrainedConditions
from own_model import GaussianPerFeature


@pytest.fixture(scope="module")
def run() -> Simulator:
    return cf.load("flagship-atlas-like")


def rows(batches: Iterable[dict[str, torch.Tensor]]) -> np.ndarray:
    """(N, 1 + V) energies and voxels, in the order of the energies."""
    parts = [torch.cat([batch["energies"][:, None], batch["voxels"]], dim=1) for batch in batches]
    table = torch.cat(parts).numpy()
    return np.asarray(table[np.argsort(table[:, 0])])


def test_two_workers_have_the_showers_of_one_process(run: Simulator) -> None:
    stream = ShowerStream(run, "uniform:1GeV:16GeV", n=23, seed=3, block=4)
    alone = rows(DataLoader(stream, batch_size=5))
    together = rows(DataLoader(stream, batch_size=5, num_workers=2, multiprocessing_context="fork"))
    assert alone.shape == (23, 1 + run.geometry.n_voxels)
    assert len(np.unique(alone[:, 0])) == 23
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_each_pass_is_the_same_and_each_epoch_another(run: Simulator) -> None:
    stream = ShowerStream(run, "loguniform:1GeV:16GeV", n=6, seed=3)
    first = rows(DataLoader(stream, batch_size=6))
    assert (rows(DataLoader(stream, batch_size=6)) == first).all()
    stream.set_epoch(1)
    second = rows(DataLoader(stream, batch_size=6))
    assert not np.isin(second[:, 0], first[:, 0]).any()
    other_seed = rows(DataLoader(ShowerStream(run, "loguniform:1GeV:16GeV", n=6, seed=4), batch_size=6))
    assert not np.isin(other_seed[:, 0], first[:, 0]).any()
    stream.set_epoch(0)
    assert (rows(DataLoader(stream, batch_size=6)) == first).all()


def test_the_epoch_reaches_workers_that_live_on(run: Simulator) -> None:
    stream = ShowerStream(run, "uniform:1GeV:16GeV", n=4, seed=3, block=2)
    loader = DataLoader(
        stream, batch_size=2, num_workers=1, persistent_workers=True, multiprocessing_context="fork", prefetch_factor=1
    )
    first = rows(loader)
    stream.set_epoch(1)
    assert not np.isin(rows(loader)[:, 0], first[:, 0]).any()


def test_without_n_there_is_no_end(run: Simulator) -> None:
    stream = ShowerStream(run, "discrete:1GeV,4GeV", seed=1, block=3)
    found = [shower for shower, _ in zip(stream, range(10), strict=False)]
    assert {float(shower["energies"]) for shower in found} == {1000.0, 4000.0}
    assert "no end" in repr(stream)


def test_given_energies_come_in_their_order(run: Simulator) -> None:
    energies = np.linspace(1000, 9000, 7)
    stream = ShowerStream(run, energies, seed=1, block=3)
    assert [float(shower["energies"]) for shower in stream] == pytest.approx(energies)
    assert [len(block) for block in stream.blocks()] == [3, 3, 1]
    assert all(block.geometry == run.geometry for block in stream.blocks())


def test_its_showers_follow_their_energies(run: Simulator) -> None:
    (batch,) = DataLoader(ShowerStream(run, [1000.0, 16_000.0], seed=1), batch_size=2)
    low, high = batch["voxels"].sum(dim=1)
    assert 0 < low < high
    assert batch["voxels"].dtype == torch.float32


def test_conditions_are_drawn_by_law() -> None:
    geometry = cf.Geometry("small", (cf.Layer(0, (0, 1, 2)),))
    known = TrainedConditions.of(Columns.of({"theta": [0.0, 1.0]}, 2))
    run = Simulator(geometry, cf.Compose([]), GaussianPerFeature(2, 2), conditions=known)
    stream = ShowerStream(run, "uniform:1GeV:16GeV", angles="uniform:0:30deg", n=8, seed=1)
    (batch,) = DataLoader(stream, batch_size=8)
    assert batch["theta"].shape == (8,)
    assert 0 <= batch["theta"].min() < batch["theta"].max() < 0.5236
    again = pickle.loads(pickle.dumps(stream))  # as it is sent to workers of another start method
    (sent,) = DataLoader(again, batch_size=8)
    assert torch.equal(sent["voxels"], batch["voxels"])
    with pytest.raises(CaloforgeError, match="needs the condition theta"):
        ShowerStream(run, "uniform:1GeV:16GeV")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"run": "flagship-w-si"}, "run must be a Simulator.*not str"),
        ({"energies": "flat"}, "'flat' is not a valid energy spectrum"),
        ({"energies": []}, r"shape \(N,\)"),
        ({"n": 0}, "n must be at least 1, not 0"),
        ({"n": "many"}, "n must be an integer, not 'many'"),
        ({"energies": [512.0], "n": 3}, "n=3.*leave it out"),
        ({"block": 0}, "block must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"conditions": {"theta": 0.5}}, "does not know the condition theta"),
        ({"conditions": [0.5]}, "conditions must be a mapping"),
    ],
)
def test_mistakes_are_found_before_there_are_workers(arguments: dict[str, Any], message: str, run: Simulator) -> None:
    with pytest.raises(CaloforgeError, match=message):
        ShowerStream(**{"run": run, "energies": "uniform:1GeV:16GeV", **arguments})
