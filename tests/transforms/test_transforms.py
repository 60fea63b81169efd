"""Transforms: round trips, hand-computed values, what is fitted, and that it is saved with the weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.showers import Showers
from caloforge.transforms import (
    TRANSFORMS,
    AppendDepositedEnergy,
    Compose,
    IncidentEnergyFraction,
    Transform,
    build_transforms,
    specification_of,
)

CALOMAN = [
    {"kind": "readout_threshold"},
    {"kind": "incident_energy_fraction"},
    {"kind": "append_deposited_energy"},
    {"kind": "linear_condition"},
]
COMPOSITIONS: dict[str, list[dict[str, Any]]] = {
    "caloman": CALOMAN,
    "caloman, rescaled": [*CALOMAN[:2], {"kind": "append_deposited_energy", "rescale": True}, CALOMAN[3]],
    "caloscore": [
        {"kind": "incident_energy_fraction"},
        {"kind": "deposited_energy_shares"},
        {"kind": "linear_condition"},
    ],
    "logit": [{"kind": "incident_energy_fraction", "maximum": 1.5}, {"kind": "logit"}],
    **{kind: [{"kind": kind}] for kind in ("readout_threshold", "incident_energy_fraction", "linear_condition")},
}


def _tensors(showers: Showers) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(showers.voxels).double(), torch.from_numpy(showers.energies)[:, None]


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_round_trip(name: str, small_showers: Showers) -> None:
    x, c = _tensors(small_showers)
    x = torch.where(x < 0.5, 0, x)  # the readout threshold is no bijection below it
    transforms = build_transforms(COMPOSITIONS[name], small_showers.geometry).double().fit(x, c)
    u, d = transforms(x, c)
    x_back, c_back = transforms.inverse(u, d)
    torch.testing.assert_close(x_back, x, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(c_back, c)
    torch.testing.assert_close(transforms.condition(c), d)


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_fitting_and_mapping_in_one_pass_gives_the_same_bits(name: str, small_showers: Showers) -> None:
    x, c = (part.float() for part in _tensors(small_showers))
    apart, together = (build_transforms(COMPOSITIONS[name], small_showers.geometry) for _ in range(2))
    expected = apart.fit(x, c)(x, c)
    found = together.fit_forward(x, c)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(together.buffers(), apart.buffers(), strict=True))


def test_fit_forward_maps_the_data_once(small_showers: Showers) -> None:
    calls = []

    class Counting(IncidentEnergyFraction):
        def forward(self, x: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            calls.append(len(x))
            return super().forward(x, c)

    Compose([Counting(), Counting()]).fit_forward(*_tensors(small_showers))
    assert calls == [len(small_showers)] * 2


def test_caloman_preprocessing_by_hand() -> None:
    geometry = Geometry.from_dict({"name": "g", "layers": [{"id": 0, "r_edges": [0, 1, 2]}]})
    x, c = torch.tensor([[30.0, 10], [100, 50], [90, 210]]), torch.tensor([[100.0], [100], [200]])
    transforms = build_transforms(CALOMAN, geometry).fit(x, c)
    u, d = transforms(x, c)
    # E_dep / E_inc = 0.4, 1.5, 1.5: r_max = 1.5
    torch.testing.assert_close(u[0], torch.tensor([30 / 150, 10 / 150, 40 / 150]))
    torch.testing.assert_close(u[2], torch.tensor([90 / 300, 210 / 300, 1.0]))
    torch.testing.assert_close(d[:, 0], torch.tensor([0.0, 0, 1]))
    assert u.min() >= 0
    assert u.max() <= 1


def test_threshold_cuts_on_the_way_back_only(small_geometry: Geometry) -> None:
    threshold = build_transforms([{"kind": "readout_threshold"}], small_geometry)
    x = torch.tensor([[-1.0, 0.0, 0.49, 0.5, 2.0]])
    assert torch.equal(threshold(x, x)[0], x)
    assert torch.equal(threshold.inverse(x, x)[0], torch.tensor([[0, 0, 0, 0.5, 2.0]]))


def test_threshold_of_zero_leaves_showers_as_they_are(small_showers: Showers) -> None:
    x, c = _tensors(small_showers)
    x[:, ::3] = 0
    x[0, :2] = torch.tensor([1e-300, 1e-6])  # however little, it is energy
    threshold = build_transforms([{"kind": "readout_threshold", "value": 0}], small_showers.geometry)
    assert torch.equal(threshold.inverse(x, c)[0], x)
    assert torch.equal(threshold.inverse(x.float(), c)[0], x.float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0, 0.5])
def test_threshold_does_not_hide_what_is_not_a_number(
    value: float, dtype: torch.dtype, small_geometry: Geometry
) -> None:
    """It stays for a check to find; 37 voxels, for what works on eight at a time and what is left over."""
    x = torch.full((37,), torch.nan, dtype=dtype)
    x[::5] = 2.0
    threshold = build_transforms([{"kind": "readout_threshold", "value": value}], small_geometry)
    made, _ = threshold.inverse(x[None], torch.ones(1, 1))
    torch.testing.assert_close(made[0], x, equal_nan=True, rtol=0, atol=0)


def test_rescaling_gives_the_decoded_deposited_energy() -> None:
    x = torch.tensor([[0.2, -0.1, 0.2, 0.8]])
    voxels, _ = AppendDepositedEnergy(rescale=True).inverse(x, torch.ones(1, 1))
    torch.testing.assert_close(voxels, torch.tensor([[0.4, 0.0, 0.4]]))
    voxels, _ = AppendDepositedEnergy(rescale=False).inverse(x, torch.ones(1, 1))
    torch.testing.assert_close(voxels, x[:, :3])


def test_one_energy_only_is_no_division_by_zero(small_showers: Showers) -> None:
    x, _ = _tensors(small_showers)
    c = torch.full((len(x), 1), 512.0)
    _, d = build_transforms([{"kind": "linear_condition"}], small_showers.geometry).fit(x, c)(x, c)
    assert torch.equal(d, torch.zeros_like(d))


def test_fitted_constants_travel_in_the_state(small_showers: Showers) -> None:
    x, c = _tensors(small_showers)
    fitted = build_transforms(CALOMAN, small_showers.geometry).fit(x.float(), c.float())
    fresh = build_transforms(specification_of(fitted), small_showers.geometry)
    fresh.load_state_dict(fitted.state_dict())
    for a, b in zip(fitted(x, c), fresh(x, c), strict=True):
        assert torch.equal(a, b)


def test_every_registered_transform_is_tested_here() -> None:
    tried = {entry["kind"] for entries in COMPOSITIONS.values() for entry in entries}
    elsewhere = {"cartesian_cells"} | {f"point_{name}" for name in ("cells", "centre", "deposit", "layers", "log")}
    assert tried | elsewhere == set(TRANSFORMS)


def test_no_energy_at_all_is_refused() -> None:
    with pytest.raises(CaloforgeError, match="no training shower deposits any energy"):
        IncidentEnergyFraction().fit(torch.zeros(3, 2), torch.ones(3, 1))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "logit", "alhpa": 1}, r"transforms\[0\]: unknown key 'alhpa'"),
        ({"kind": "logit", "alpha": 0.7}, "between 0 and 0.5"),
        ({"kind": "logt"}, "unknown transform 'logt'"),
        ({"alpha": 1}, "missing key 'kind'"),
        ({"kind": "os.system"}, "is not part of caloforge"),
        ({"kind": "readout_threshold", "value": "half"}, "a number in MeV or 'geometry'"),
        ({"kind": "readout_threshold", "value": -1}, "must not be negative"),
    ],
)
def test_bad_entries_are_named(entry: dict[str, Any], message: str, small_geometry: Geometry) -> None:
    with pytest.raises(CaloforgeError, match=message):
        build_transforms([entry], small_geometry)


def test_a_transform_must_have_both_directions() -> None:
    class OneWay(Transform):
        def forward(self, x: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x, c

    with pytest.raises(TypeError, match="inverse"):
        OneWay()  # type: ignore[abstract]


def test_scale_symmetry(small_showers: Showers) -> None:
    """Twice the energies, in the shower and in the beam, is the same shower to a model."""
    x, c = _tensors(small_showers)
    transforms = build_transforms([{"kind": "incident_energy_fraction"}], small_showers.geometry).fit(x, c)
    np.testing.assert_allclose(transforms(2 * x, 2 * c)[0], transforms(x, c)[0], rtol=1e-6)
