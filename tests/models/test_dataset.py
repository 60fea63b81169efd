"""`ShowerDataset`: rows, maps, subsets, and passes over what does not fit in memory."""

from __future__ import annotations

import torch
from torch import Tensor

from caloforge.models.dataset import MemoryRows, Pair, ShowerDataset
from caloforge.training.prepared import kept


def _data(n: int = 10) -> tuple[Tensor, Tensor]:
    return torch.arange(3.0 * n).view(n, 3), torch.arange(float(n))[:, None]


def _double(x: Tensor, c: Tensor) -> Pair:
    return 2 * x, c + 1


def _noise(x: Tensor, c: Tensor) -> Pair:
    return torch.rand(len(x), 2), c


class Scarce(MemoryRows):
    """Rows of which four may be in memory at a time."""

    limit = 4  # type: ignore[assignment]


def test_rows_are_mapped_when_they_are_taken() -> None:
    x, c = _data()
    data = ShowerDataset.of(x, c).map(_double)
    found = data.take(torch.tensor([4, 0]))
    torch.testing.assert_close(found, (2 * x[[4, 0]], c[[4, 0]] + 1))
    batches = list(data.batches(torch.tensor([3, 1, 2]), 2))
    assert [len(part) for part, _ in batches] == [2, 1]
    torch.testing.assert_close(torch.cat([part for part, _ in batches]), 2 * x[[3, 1, 2]])


def test_subsets_are_evenly_spread() -> None:
    x, c = _data(11)
    data = ShowerDataset.of(x, c).subset(4)
    assert len(data) == 6
    assert torch.equal(data.take(slice(None))[0], x[::2])
    assert torch.equal(data.subset(3).take(torch.tensor([1]))[0], x[[4]])


def test_statistics_of_what_does_not_fit_in_memory() -> None:
    x, c = _data()
    data = ShowerDataset(Scarce(x, c))
    assert torch.equal(torch.cat([part for part, _ in data.chunks()]), x)
    assert max(len(part) for part, _ in data.chunks()) == 4
    sample, _ = data.sample()
    assert sample.shape == (4, 3)
    assert len(set(sample[:, 0].tolist())) == 4
    assert torch.equal(data.subset(4).take(slice(None))[0], x[::2])
    (whole,) = ShowerDataset.of(x, c).chunks()
    assert torch.equal(whole[0], x)


def test_what_is_kept_and_what_is_drawn_anew() -> None:
    """A map that draws `once` is evaluated once, one `each batch` again and again, also before a deterministic one."""
    x, c = _data()
    rows = torch.arange(10)
    for when, anew in (("once", False), ("each batch", True)):
        data = kept(ShowerDataset.of(x, c).map(_double).map(_noise, when))  # type: ignore[arg-type]
        assert torch.equal(data.take(rows)[0], data.take(rows)[0]) != anew
        assert torch.equal(data.take(rows)[1], c + 1)
    assert torch.equal(kept(ShowerDataset.of(x, c).map(_double)).rows.read(rows)[0], 2 * x)  # nothing left to evaluate


def test_maps_have_no_gradient() -> None:
    x, c = _data()
    weight = torch.ones((), requires_grad=True)
    found, _ = ShowerDataset.of(x, c).map(lambda x, c: (weight * x, c)).take(slice(0, 2))
    assert not found.requires_grad
