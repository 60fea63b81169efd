"""U-Nets: shapes with remainders, turning a cylinder, what reaches what, the published sizes, and memory."""

from __future__ import annotations

import pytest
import torch

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, Layer, load_geometry
from caloforge.networks.unet import FourierFeatures, Grid, UNet, grid_of_showers

E = 8


def _unet(
    shape: tuple[int, ...],
    pooling: list[list[int]],
    circular: bool = False,
    positional_bias: bool = False,
    kernel: int = 3,
) -> UNet:
    torch.manual_seed(0)
    return UNet(Grid(shape, pooling, circular), [4, 6, 8][: len(pooling) + 1], kernel, E, positional_bias).double()


@pytest.mark.parametrize(
    ("shape", "pooling", "circular"),
    [
        ((369,), [[4], [4]], False),
        ((13,), [[4], [4]], False),
        ((45, 16, 9), [[3, 2, 2], [3, 2, 2]], True),
        ((5, 7, 3), [[3, 2, 2]], True),
        ((4, 12, 12), [[3, 2, 2], [1, 3, 3]], False),
    ],
)
@pytest.mark.parametrize("positional_bias", [False, True])
def test_any_shape_comes_back(
    shape: tuple[int, ...], pooling: list[list[int]], circular: bool, positional_bias: bool
) -> None:
    unet = _unet(shape, pooling, circular, positional_bias)
    x = torch.randn(2, unet.grid.sizes[0]).double()
    assert unet(x, torch.randn(2, E).double()).shape == x.shape
    assert unet(x, torch.randn(1, E).double()).shape == x.shape


def test_unpooling_gives_each_point_its_bin() -> None:
    """Seven points in bins of three: 0 1 2 | 3 4 5 | 6."""
    grid = Grid((7,), [[3]])
    h = torch.arange(7.0).reshape(1, 1, 1, 7)
    torch.testing.assert_close(grid.pooled(h, 0).flatten(), torch.tensor([1.0, 4.0, 6.0]))
    torch.testing.assert_close(grid.unpooled(grid.pooled(h, 0), 0).flatten(), torch.tensor([1.0, 1, 1, 4, 4, 4, 6]))


@pytest.mark.parametrize("positional_bias", [False, True])
def test_turning_a_cylinder_turns_the_answer(positional_bias: bool) -> None:
    """By 4 bins of alpha, which are whole pooled bins of both levels; and not by 1, where pooling sees the turn."""
    shape = (6, 16, 5)
    unet = _unet(shape, [[3, 2, 2], [2, 2, 1]], circular=True, positional_bias=positional_bias)
    x, e = torch.randn(3, *shape).double(), torch.randn(3, E).double()

    def turned(x: torch.Tensor, bins: int) -> torch.Tensor:
        return x.roll(bins, dims=2)

    def answer(x: torch.Tensor) -> torch.Tensor:
        return unet(x.flatten(1), e).view(x.shape)

    torch.testing.assert_close(answer(turned(x, 4)), turned(answer(x), 4))
    assert not torch.allclose(answer(turned(x, 1)), turned(answer(x), 1))
    box = _unet(shape, [[3, 2, 2], [2, 2, 1]], positional_bias=positional_bias)
    assert not torch.allclose(
        box(turned(x, 4).flatten(1), e).view(x.shape), turned(box(x.flatten(1), e).view(x.shape), 4)
    )


def test_around_a_ring_that_is_narrower_than_the_kernel() -> None:
    """Two bins of alpha, a kernel of 5: neighbours two away are the bin itself."""
    unet = _unet((2, 2, 2), [], circular=True, kernel=5)
    x, e = torch.randn(1, 2, 2, 2).double(), torch.randn(1, E).double()
    flipped = unet(x.flip(2).flatten(1), e).view(x.shape).flip(2)
    torch.testing.assert_close(flipped, unet(x.flatten(1), e).view(x.shape))


def test_positional_bias_distinguishes_points() -> None:
    """Far from the edges and with equal inputs, convolutions alone cannot."""
    torch.manual_seed(4)
    x, e = torch.zeros(1, 64).double(), torch.randn(1, E).double()
    plain, placed = (_unet((64,), [[4]], positional_bias=p)(x, e)[0] for p in (False, True))
    assert plain[24:40:4].std() < 1e-12
    assert placed[24:40:4].std() > 1e-4


@pytest.mark.parametrize(
    ("shape", "channels", "kernel", "pooling", "embedding", "published"),
    [
        ((45, 12, 12), [32, 64, 128], 3, [[3, 2, 2], [3, 2, 2]], 128, 1.4e6),
        ((45, 32, 32), [64, 64, 128], 3, [[3, 2, 2], [3, 2, 2]], 128, 1.7e6),
    ],
)
def test_published_sizes(
    shape: tuple[int, ...], channels: list[int], kernel: int, pooling: list[list[int]], embedding: int, published: float
) -> None:
    """Within 12 %: the paper's description leaves some details open."""
    unet = UNet(Grid(shape, pooling), channels, kernel, embedding)
    assert sum(p.numel() for p in unet.parameters()) == pytest.approx(published, rel=0.12)


def test_fourier_features_tell_times_apart() -> None:
    torch.manual_seed(0)
    features = FourierFeatures(1, 64)
    t = torch.tensor([[0.5], [0.501], [0.9]])
    assert features(t).shape == (3, 64)
    waves = torch.cat([(t @ features.frequencies).sin(), (t @ features.frequencies).cos()], dim=1)
    near, far = float(waves[0] @ waves[1]) / 32, float(waves[0] @ waves[2]) / 32
    assert near > 0.99
    assert abs(far) < 0.5


def test_grids_by_name(small_geometry: Geometry) -> None:
    ds2 = load_geometry("ds2")
    assert grid_of_showers("line", 369, small_geometry) == (369,)
    assert grid_of_showers("cylinder", 6480, ds2) == (45, 16, 9)
    assert grid_of_showers([45, 12, 12], 6480, ds2) == (45, 12, 12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda g: grid_of_showers("cylinder", 13, g), "grid 'cylinder' needs the same r and alpha bins"),
        (lambda g: grid_of_showers([3, 2, 2], 13, g), "the grid 3 × 2 × 2 does not fit the 13 features"),
        (lambda g: Grid((3, 4), []), r"1 or 3 axes, not 2: \[3, 4\]"),
        (lambda g: Grid((3, 4, 5), [[2]]), r"pooling needs 3 factors per step here, not \[2\]"),
        (lambda g: UNet(Grid((8,), [[2]]), [4], 3, E), r"with 1 levels \(channels\) needs 0 pooling steps, not 1"),
        (lambda g: UNet(Grid((8,), [[2]]), [4, 4], 4, E), "must be odd, not 4"),
        (lambda g: UNet(Grid((8,), [[2]]), [4, 4], 19, E), "kernel of 19 is wider than a grid of 8 points"),
        (lambda g: UNet(Grid((8,), [[9]]), [4, 4], 3, E), "pooling .*9. needs more points"),
        (lambda g: UNet(Grid((2, 2, 2), [[1, 2, 1]], True), [4, 4], 5, E), "5 is too wide for a ring of 1 alpha bins"),
    ],
)
def test_bad_settings(make: object, message: str, small_geometry: Geometry) -> None:
    with pytest.raises(CaloforgeError, match=message):
        make(small_geometry)  # type: ignore[operator]


def test_a_cylinder_needs_all_voxels() -> None:
    geometry = Geometry("ring", (Layer(0, (0, 1, 2), 4), Layer(1, (0, 1, 2), 4)))
    with pytest.raises(CaloforgeError, match="the grid 2 × 4 × 2 does not fit the 17 features"):
        grid_of_showers("cylinder", 17, geometry)
