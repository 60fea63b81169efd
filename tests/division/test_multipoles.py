"""Multipole moments: showers whose moments are known, fields that turn with the shower, and what blurring keeps."""

from __future__ import annotations

import math

import pytest
import torch

from caloforge.division.multipoles import BLUR, Multipoles
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, load_geometry

RINGS = 35  # of layers 1 (16) and 2 (19), which have 10 alpha bins each


@pytest.fixture
def geometry() -> Geometry:
    return load_geometry("ds1-photons")


def _shower(geometry: Geometry, hits: list[tuple[int, int, int, float]]) -> tuple[torch.Tensor, ...]:
    """Voxels, rings and numbers of hits (each (1, ·)) of energies in (layer with alpha bins, alpha bin, ring)."""
    voxels, rings, n = torch.zeros(1, geometry.n_voxels), torch.zeros(1, RINGS), torch.zeros(1, RINGS)
    for layer, alpha, ring, energy in hits:
        position = (1, 2)[layer]
        voxels[0, geometry.slices[position].start + alpha * geometry.layers[position].shape[1] + ring] += energy
        rings[0, (0, 16)[layer] + ring] += energy
        n[0, (0, 16)[layer] + ring] += 1
    return voxels, rings, n


def test_one_hit_has_moments_of_modulus_sqrt_2_in_its_direction(geometry: Geometry) -> None:
    """|Q_m| = E r^m and s_m² = ½ (E r^m)², whatever energy and ring."""
    multipoles = Multipoles(geometry, 2)
    moments, present = multipoles.moments(*_shower(geometry, [(1, 3, 7, 5.0)]))
    angle = 2 * math.pi * 3 / 10
    expected = [f(m * angle) * math.sqrt(2) for m in (1, 2) for f in (math.cos, math.sin)]
    torch.testing.assert_close(moments, torch.tensor([[[0.0] * 4, expected]]), atol=1e-5, rtol=0)
    assert present.tolist() == [[False, True]]


def test_two_opposite_hits_have_no_dipole(geometry: Geometry) -> None:
    """Q_2 = E r² of a ring of E MeV with n = 2, so that Q_2/s_2 = 1/√(½ · ½) = 2."""
    multipoles = Multipoles(geometry, 2)
    moments, _ = multipoles.moments(*_shower(geometry, [(0, 1, 2, 3.0), (0, 6, 2, 3.0)]))
    angle = 2 * 2 * math.pi / 10
    expected = torch.tensor([0.0, 0.0, 2 * math.cos(angle), 2 * math.sin(angle)])
    torch.testing.assert_close(moments[0, 0], expected, atol=1e-5, rtol=0)


def test_the_dipole_is_the_centre_of_energy(geometry: Geometry) -> None:
    """Up to the scale and the direction of the first sector: 3 MeV at r₁ and 1 MeV at r₂ of layer 1."""
    multipoles = Multipoles(geometry, 1)
    moments, _ = multipoles.moments(*_shower(geometry, [(0, 2, 4, 3.0), (0, 5, 9, 1.0)]))
    layer = geometry.layers[1]
    r, first = (layer.r[ring] for ring in (4, 9)), -math.pi + math.pi / 10
    near, far = (float(x) for x in r)
    alpha = [first + 2 * math.pi * k / 10 for k in (2, 5)]
    eta, phi = (3 * near * f(alpha[0]) + far * f(alpha[1]) for f in (math.cos, math.sin))
    scale = math.sqrt(0.5 * ((3 * near) ** 2 + far**2))
    q = complex(eta, phi) * complex(math.cos(first), -math.sin(first)) / scale
    torch.testing.assert_close(moments[0, 0], torch.tensor([q.real, q.imag]), atol=1e-5, rtol=1e-5)


def _random(geometry: Geometry, n: int) -> tuple[torch.Tensor, ...]:
    """Showers with 3 hits in each of 4 rings of layer 2, of unequal energy, at independent random angles."""
    generator = torch.Generator().manual_seed(1)
    start, (n_alpha, n_r) = geometry.slices[2].start, geometry.layers[2].shape
    voxels, rings, hits = torch.zeros(n, geometry.n_voxels), torch.zeros(n, RINGS), torch.zeros(n, RINGS)
    for ring in (1, 4, 8, 12):
        hits[:, 16 + ring] = 3
        for _ in range(3):
            alpha = torch.randint(n_alpha, (n,), generator=generator)
            voxels[torch.arange(n), start + alpha * n_r + ring] += 10.0 / ring
        rings[:, 16 + ring] = 30.0 / ring
    return voxels, rings, hits


def test_components_have_width_1_for_random_angles_and_after_a_fit(geometry: Geometry) -> None:
    multipoles = Multipoles(geometry, 2)
    showers = _random(geometry, 20_000)
    moments, _ = multipoles.moments(*showers)
    torch.testing.assert_close(moments[:, 1].std(dim=0), torch.ones(4), atol=0.02, rtol=0)
    voxels, rings, n = showers
    multipoles.fit(voxels, rings, 9 * n)
    torch.testing.assert_close(multipoles.width, torch.tensor([[1.0, 1], [3, 3]]), atol=0.06, rtol=0)
    packed = multipoles.packed(voxels, rings, 9 * n)
    torch.manual_seed(1)
    blurred, shares = multipoles.drawn(packed)
    torch.testing.assert_close(shares, multipoles.shares(rings, n))
    torch.testing.assert_close(blurred.std(dim=0), torch.ones(2, 4), atol=0.03, rtol=0)  # of the empty layer 1 too
    assert torch.corrcoef(torch.stack([blurred[:, 1, 0], packed[:, 5]]))[0, 1] > 0.97


def test_fields_there_and_back_again(geometry: Geometry) -> None:
    multipoles = Multipoles(geometry, 2)
    torch.manual_seed(1)
    moments = torch.randn(20_000, 2, 4)
    field = multipoles.noisy_field(moments)
    torch.testing.assert_close(multipoles.modes(field), moments, atol=1e-5, rtol=0)
    torch.testing.assert_close(multipoles.modes(multipoles.field(moments)), moments, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.cov(field.T), torch.eye(20), atol=0.05, rtol=0)


@pytest.mark.parametrize("change", ["turned", "mirrored"])
def test_the_field_turns_and_is_mirrored_with_the_shower(geometry: Geometry, change: str) -> None:
    def changed(sectors: torch.Tensor) -> torch.Tensor:
        return sectors.roll(3, dims=1) if change == "turned" else sectors.flip(1)

    multipoles = Multipoles(geometry, 2)
    voxels, rings, n = _random(geometry, 20)
    field = multipoles.field(multipoles.moments(voxels, rings, n)[0])
    for position in (1, 2):
        part = geometry.slices[position]
        voxels[:, part] = changed(voxels[:, part].view(20, 10, -1)).flatten(1)
    after = multipoles.field(multipoles.moments(voxels, rings, n)[0])
    torch.testing.assert_close(after, changed(field.view(20, 10, 2)).flatten(1), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("name", "order"), [("calogan", 1), ("ds1-photons", 5), ("ds1-photons", 0)])
def test_needs_enough_sectors(name: str, order: int) -> None:
    with pytest.raises(CaloforgeError, match=f"order {order}.*{name}"):
        Multipoles(load_geometry(name), order)


def test_the_mean_follows_a_further_condition(geometry: Geometry) -> None:
    """Hits at alpha 0 with probability (1 + f²)/2, else opposite: the mean of the real part of Q_1 is √2 f²."""
    multipoles, n = Multipoles(geometry, 2, further=1), 4000
    generator = torch.Generator().manual_seed(0)
    f = 2 * torch.rand(n, 1, generator=generator) - 1
    ahead = torch.rand(n, 1, generator=generator) < (1 + f.square()) / 2
    sides = [_shower(geometry, [(1, alpha, 7, 5.0)]) for alpha in (5, 0)]
    showers = [torch.where(ahead, a, b) for b, a in zip(*sides, strict=True)]
    given = torch.cat([torch.zeros(n, 1), f], dim=1)
    multipoles.fit(*showers, given)
    mean = multipoles.expected(torch.tensor([[0.0, 0.0], [0.0, 0.8]]))[:, 1]
    wanted = torch.tensor([0.0, 0.64]) / math.sqrt(1 + BLUR**2) * math.sqrt(2) / multipoles.width[1, 0]
    torch.testing.assert_close(mean[:, 0], wanted, atol=0.1, rtol=0)  # 4 standard errors
    torch.testing.assert_close(mean[:, 1], torch.zeros(2), atol=1e-3, rtol=0)
    assert multipoles.expected(given)[:, 0].abs().max() < 1e-6  # an empty layer
