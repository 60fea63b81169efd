"""`ShowerDataset`: rows, maps, subsets, and passes over what does not fit in memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from caloforge.models import dataset
from caloforge.models.dataset import Pair, ShowerDataset
from caloforge.training.store import Store


def _data(n: int = 10) -> tuple[Tensor, Tensor]:
    return torch.arange(3.0 * n).view(n, 3), torch.arange(float(n))[:, None]


def _double(x: Tensor, c: Tensor) -> Pair:
    return 2 * x, c + 1


def _noise(x: Tensor, c: Tensor) -> Pair:
    return torch.rand(len(x), 2), c


def test_rows_are_mapped_when_they_are_taken() -> None:
    x, c = _data()
    data = ShowerDataset.of(x, c).map(_double)
    found = data.take(torch.tensor([4, 0]))
    torch.testing.assert_close(found, (2 * x[[4, 0]], c[[4, 0]] + 1))
    batches = [data.mapped(rows) for rows in data.stream(torch.tensor([3, 1, 2]).split(2))]
    assert [len(part) for part, _ in batches] == [2, 1]
    torch.testing.assert_close(torch.cat([part for part, _ in batches]), 2 * x[[3, 1, 2]])


def test_subsets_are_evenly_spread() -> None:
    x, c = _data(11)
    data = ShowerDataset.of(x, c).subset(4)
    assert len(data) == 6
    assert torch.equal(data.take(slice(None))[0], x[::2])
    assert torch.equal(data.subset(3).take(torch.tensor([1]))[0], x[[4]])


def test_statistics_of_large_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of rows with three features and a condition, of which four at most are handed on at a time."""
    x, c = _data()
    data = ShowerDataset.of(x, c)
    (whole,) = data.chunks()
    assert torch.equal(whole[0], x)
    assert torch.equal(data.sample()[0], x)
    monkeypatch.setattr(dataset, "STATISTIC_VALUES", 16)
    monkeypatch.setattr(dataset, "PIECE_VALUES", 6)
    assert torch.equal(torch.cat([part for part, _ in data.chunks()]), x)
    assert max(len(part) for part, _ in data.chunks()) == 2
    sample, _ = data.sample()
    assert sample.shape == (4, 3)
    assert len(set(sample[:, 0].tolist())) == 4
    assert torch.equal(data.subset(4).take(slice(None))[0], x[::2])
    # What counts is the size of the result; and a look at a row uses up no random numbers.
    torch.manual_seed(0)
    small, _ = data.map(lambda x, c: (x[:, :1] + torch.rand(len(x), 1), c)).sample()
    torch.manual_seed(0)
    rows = torch.randperm(10)[:8].sort().values
    assert torch.equal(small, x[rows, :1] + torch.rand(8, 1))


def test_what_is_kept_and_what_is_drawn_anew() -> None:
    """A map that draws `once` is evaluated once, one `each batch` again and again, also before a deterministic one."""
    x, c = _data()
    rows = torch.arange(10)
    for when, anew in (("once", False), ("each batch", True)):
        data = Store().kept(ShowerDataset.of(x, c).map(_double).map(_noise, when), "data")  # type: ignore[arg-type]
        assert torch.equal(data.take(rows)[0], data.take(rows)[0]) != anew
        assert torch.equal(data.take(rows)[1], c + 1)
    assert torch.equal(
        Store().kept(ShowerDataset.of(x, c).map(_double), "data").rows.read(rows)[0], 2 * x
    )  # nothing left to evaluate


def test_maps_have_no_gradient() -> None:
    x, c = _data()
    weight = torch.ones((), requires_grad=True)
    found, _ = ShowerDataset.of(x, c).map(lambda x, c: (weight * x, c)).take(slice(0, 2))
    assert not found.requires_grad
