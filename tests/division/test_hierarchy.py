"""The division of energy: exact sums, thresholds kept, and a geometry's symmetry."""

from __future__ import annotations

import math

import pytest
import scipy.stats
import torch

from caloforge.division.hierarchy import CountedSplit, Hierarchy
from caloforge.division.marginals import drawn
from caloforge.export.tracing import to_onnx
from caloforge.geometry import Geometry, load_geometry
from caloforge.showers import Showers

LEAST = 0.5


def _tensors(showers: Showers) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(showers.voxels), torch.from_numpy(showers.energies).float()[:, None]


@pytest.fixture
def fitted(small_geometry: Geometry, small_showers: Showers) -> tuple[Hierarchy, list[torch.Tensor]]:
    hierarchy = Hierarchy(small_geometry, LEAST, 4)
    energies = hierarchy.energies(*_tensors(small_showers))
    for k, split in enumerate(hierarchy):
        split.fit(energies[k + 1], energies[k])
    return hierarchy, energies


@pytest.mark.parametrize(
    ("name", "sizes", "sectors"),
    [
        ("ds1-photons", [1, 5, 53, 350], 10),
        ("ds1-pions", [1, 7, 74, 510], 10),
        ("ds2", [1, 45, 405, 6480], 16),
        ("calogan", [1, 3, 27, 504], 1),
    ],
)
def test_numbers_to_draw(name: str, sizes: list[int], sectors: int) -> None:
    """By hand from the geometries' edges; ds1-photons has 18 of its 368 voxels in rings of one voxel."""
    hierarchy = Hierarchy(load_geometry(name), LEAST, 4)
    assert [split.size for split in hierarchy] == sizes
    assert hierarchy.sectors == sectors


def test_energies_of_all_levels(small_geometry: Geometry) -> None:
    """Layer 1 has the voxels 3 … 10, in four bins of alpha with two of r each, r fastest."""
    x = torch.zeros(1, 13)
    x[0, 3], x[0, 5], x[0, 6], x[0, 12], x[0, 0] = 1, 2, 4, 8, 0.4  # the last is below the least
    incident, deposited, layers, rings, voxels = Hierarchy(small_geometry, LEAST, 4).energies(x, torch.tensor([[20.0]]))
    assert incident.tolist() == [[20]]
    assert deposited.tolist() == [[15]]
    assert layers.tolist() == [[0, 7, 8]]
    assert rings.tolist() == [[0, 0, 0, 3, 4, 0, 8]]
    assert voxels[0, 0] == 0


def test_parts_sum_to_their_wholes_and_respect_the_least(fitted: tuple[Hierarchy, list[torch.Tensor]]) -> None:
    hierarchy, energies = fitted
    torch.manual_seed(1)
    for k, split in enumerate(hierarchy):
        wholes = energies[k]
        parts = split.energies(1.5 * torch.randn(len(wholes), split.size), wholes)
        assert (parts >= 0).all()
        if split.exact:
            sums = torch.zeros_like(wholes).index_add_(1, split.whole_of_part.index, parts)
            torch.testing.assert_close(sums, wholes, atol=1e-4, rtol=1e-5)
            assert ((parts == 0) | (parts > LEAST * (1 - 1e-5))).all()


def test_a_whole_too_small_for_its_parts_is_still_exact(fitted: tuple[Hierarchy, list[torch.Tensor]]) -> None:
    split = [*fitted[0]][3]
    wholes = torch.full((10, 7), 0.7)
    parts = split.energies(torch.full((10, split.size), 3.0), wholes)
    sums = torch.zeros_like(wholes).index_add_(1, split.whole_of_part.index, parts)
    torch.testing.assert_close(sums, wholes)


def test_no_energy_gives_no_parts(fitted: tuple[Hierarchy, list[torch.Tensor]]) -> None:
    for split in fitted[0]:
        if split.exact:
            assert not split.energies(torch.randn(4, split.size), torch.zeros(4, split.n_wholes)).any()


def test_there_and_back_again(fitted: tuple[Hierarchy, list[torch.Tensor]]) -> None:
    hierarchy, energies = fitted
    torch.manual_seed(2)
    for k, split in enumerate(hierarchy):
        parts = split.energies(drawn(split.intervals(energies[k + 1], energies[k])), energies[k])
        off = (parts - energies[k + 1]).abs() / (energies[k + 1] + LEAST)
        assert off.quantile(0.99) < 0.01
        assert torch.equal(parts > 0, energies[k + 1] > 0)


def test_turning_a_shower_turns_its_sectors(fitted: tuple[Hierarchy, list[torch.Tensor]]) -> None:
    hierarchy, energies = fitted
    split = [*hierarchy][3]
    voxels, rings = energies[4], energies[3]
    turned = voxels.clone()
    turned[:, 3:11] = voxels[:, 3:11].view(-1, 4, 2).roll(1, dims=1).flatten(1)
    before, after = split.intervals(voxels, rings), split.intervals(turned, rings)
    torch.testing.assert_close(after, before.view(2, -1, 4, 2).roll(1, dims=2).flatten(2))


@pytest.fixture
def counted(small_geometry: Geometry, small_showers: Showers) -> tuple[Hierarchy, list[torch.Tensor]]:
    """As `fitted`, hits being settled first, and half of all voxels below 20 MeV emptied."""
    hierarchy = Hierarchy(small_geometry, LEAST, 4, hits=True)
    x, c = _tensors(small_showers)
    x = torch.where((x < 20) & (torch.arange(x.numel()).view_as(x) % 2 == 0), 0, x)
    energies = hierarchy.energies(x, c)
    for k, split in enumerate(hierarchy):
        split.fit(energies[k + 1], energies[k])
        if isinstance(split, CountedSplit):
            split.fit_hits(split.numbers(energies[k + 1]), energies[k])
    return hierarchy, energies


@pytest.mark.parametrize(
    ("name", "numbers"), [("ds1-photons", [5, 35]), ("ds2", [45, 405]), ("calogan", [3, 27]), ("ds1-pions", [7, 51])]
)
def test_wholes_whose_hits_are_counted(name: str, numbers: list[int]) -> None:
    """All layers, and the rings with several voxels: 16 + 19 for photons, 10 + 10 + 15 + 16 for pions, by the edges."""
    hierarchy = Hierarchy(load_geometry(name), LEAST, 4, hits=True)
    assert [split.n_counted for split in hierarchy] == [0, 0, *numbers]


def test_so_many_parts_are_hit_as_were_asked_for(counted: tuple[Hierarchy, list[torch.Tensor]]) -> None:
    hierarchy, energies = counted
    torch.manual_seed(1)
    for k, split in enumerate(hierarchy):
        if isinstance(split, CountedSplit):
            n = split.numbers(energies[k + 1])
            parts = split.energies(1.5 * torch.randn(len(n), split.size), energies[k], n)
            assert torch.equal(split.numbers(parts), n)
            sums = torch.zeros_like(energies[k]).index_add_(1, split.whole_of_part.index, parts)
            torch.testing.assert_close(sums, energies[k], atol=1e-4, rtol=1e-5)
            assert ((parts == 0) | (parts > LEAST * (1 - 1e-5))).all()


def test_there_and_back_again_with_hits(counted: tuple[Hierarchy, list[torch.Tensor]]) -> None:
    hierarchy, energies = counted
    torch.manual_seed(2)
    for k, split in enumerate(hierarchy):
        n = split.numbers(energies[k + 1]) if isinstance(split, CountedSplit) else None
        z = drawn(split.intervals(energies[k + 1], energies[k]))
        assert z.mean(dim=0).abs().max() < 5 / math.sqrt(600)
        parts = split.energies(z, energies[k], n)
        off = (parts - energies[k + 1]).abs() / (energies[k + 1] + LEAST)
        assert off.quantile(0.99) < 0.01
        assert torch.equal(parts > 0, energies[k + 1] > 0)


def test_turning_numbers_turns_the_shower(counted: tuple[Hierarchy, list[torch.Tensor]]) -> None:
    """Both ways: parts that are alike have the same tables, whatever their number of hits."""
    hierarchy, energies = counted
    split = [*hierarchy][3]
    assert isinstance(split, CountedSplit)
    n = split.numbers(energies[4])
    z = torch.randn(len(n), split.size, generator=torch.Generator().manual_seed(1))
    for change in (lambda x: x.roll(1, dims=1), lambda x: x.flip(1)):
        before = split.energies(z, energies[3], n)
        after = split.energies(change(z.view(-1, 4, 2)).flatten(1), energies[3], n)
        torch.testing.assert_close(after[:, 3:11], change(before[:, 3:11].view(-1, 4, 2)).flatten(1))


def test_no_energy_is_lost_below_the_threshold(counted: tuple[Hierarchy, list[torch.Tensor]]) -> None:
    """Layers that are too weak for all their rings, and showers for all their layers, give to fewer of them."""
    hierarchy, _ = counted
    torch.manual_seed(3)
    for split in [*hierarchy][1:]:
        wholes = torch.linspace(LEAST, 3, 40)[:, None].repeat(1, split.n_wholes)
        n = None
        if isinstance(split, CountedSplit):
            n = split.hits.numbers(torch.full((40, split.n_counted), 3.0), split.counted(wholes))
        parts = split.energies(3 + 0.1 * torch.randn(40, split.size), wholes, n)
        assert ((parts == 0) | (parts > LEAST * (1 - 2e-5))).all()


def test_numbers_of_real_showers_are_normal_part_by_part(real) -> None:  # type: ignore[no-untyped-def]
    from caloforge.showers import ShowerFile

    geometry = load_geometry("ds1-photons")
    with ShowerFile(real("photons-atlas-like/train.h5"), geometry) as file:
        x, c = _tensors(file.read()[:3000])
    hierarchy = Hierarchy(geometry, 1.0, 16)
    energies = hierarchy.energies(x, c)
    torch.manual_seed(1)
    for k, split in enumerate(hierarchy):
        split.fit(energies[k + 1], energies[k])
        z = drawn(split.intervals(energies[k + 1], energies[k]))
        assert z.mean(dim=0).abs().max() < 5 / math.sqrt(3000)
        assert (z.std(dim=0) - 1).abs().max() < 0.08


def test_parts_hit_have_the_energies_of_their_tables(counted: tuple[Hierarchy, list[torch.Tensor]]) -> None:
    """Whatever the numbers asked for: F is uniform among parts that are hit, if their z are independent.

    Without a threshold that follows the numbers asked for, parts that must be hit although u < p₀ have F = 0.
    """
    hierarchy, energies = counted
    split, whole = [*hierarchy][3], energies[3]
    assert isinstance(split, CountedSplit)
    torch.manual_seed(2)
    n = split.numbers(energies[4]).roll(1, dims=0)  # of another shower
    draws = split.marginals.draws(torch.randn(len(n), split.size), split.whole_of_type(whole), *split._given(n))
    hit = split._before(draws.u) < split.count_of_drawn(n)
    place = split._place(draws, hit, n)
    assert (hit & (draws.u <= draws.p_zero)).any()
    assert (~hit & (draws.u > draws.p_zero)).any()
    assert (place[hit] >= 0).all()
    assert scipy.stats.kstest(place[hit].numpy(), "uniform").pvalue > 1e-3


def test_the_brightest_voxel_of_a_ring_keeps_its_energy(counted: tuple[Hierarchy, list[torch.Tensor]]) -> None:
    voxels = [*counted[0]][-1]
    ring = int(voxels.whole_of_drawn.index[0])
    of_ring = torch.nonzero(voxels.whole_of_drawn.index == ring)[:, 0]
    e = torch.zeros(3, voxels.size)
    e[:, of_ring[:3]] = voxels.least + torch.tensor([6.0, 2.0, 1.0])
    wholes = torch.zeros(3, voxels.n_wholes)
    # The others are scaled by 4/3; by less than λ/2 = 1/3, and more than 2 λ = 10, they are not.
    wholes[:, ring] = 3 * voxels.least + torch.tensor([10.0, 6.0, 45.0])
    found = voxels._conserved(e, (e > 0).float(), wholes)[:, of_ring[:3]] - voxels.least
    expected = torch.tensor([[6.0, 8 / 3, 4 / 3], [5.0, 2 / 3, 1 / 3], [15.0, 20.0, 10.0]])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


class _Energies(torch.nn.Module):
    """z, wholes in MeV and hits → parts in MeV."""

    def __init__(self, split: CountedSplit) -> None:
        super().__init__()
        self.split = split

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.split.energies(*inputs),)


@pytest.mark.parametrize("name", ["rings", "voxels"])
def test_a_graph_asks_for_no_shape(name: str, small_geometry: Geometry) -> None:
    """For one shower an operation costs about as much whatever it does, and each question for a shape is four."""
    split = next(split for split in Hierarchy(small_geometry, LEAST, 4, hits=True) if split.name == name)
    assert isinstance(split, CountedSplit)
    example = torch.zeros(3, split.size), torch.full((3, split.n_wholes), 9.0), torch.ones(3, split.n_counted)
    graph = to_onnx(_Energies(split), example, ["z", "wholes", "n"], ["parts"], "legacy", None)
    assert "Shape" not in {node.op_type for node in graph.graph.node}
