"""Settings for faster steps: bfloat16, pieces of a batch, torch.compile."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from caloforge.errors import CaloforgeError
from caloforge.models.base import ShowerModel
from caloforge.models.realnvp import RealNVP
from caloforge.training import TrainingSettings, fit, load_recipe
from test_training_distributed import RECIPE


def _trained(model: ShowerModel, **changes: Any) -> tuple[list[dict[str, Any]], ShowerModel]:
    settings = TrainingSettings(epochs=2, batch_size=32, learning_rate=1e-3, clip_norm=1.0, device="cpu", **changes)
    generator = torch.Generator().manual_seed(2)
    x, c = torch.rand(98, 3, generator=generator), torch.rand(98, 1, generator=generator)
    return fit(model, (x[:77], c[:77]), (x[77:], c[77:]), settings), model


def _realnvp() -> RealNVP:
    torch.manual_seed(1)
    return RealNVP(3, 1, layers=3, width=16, blocks=1)


@pytest.mark.parametrize("pieces", [2, 3, 100])
def test_a_batch_in_pieces_is_the_same_step(pieces: int) -> None:
    """... where nothing is random and no shower is compared with others."""
    (whole, one), (divided, other) = _trained(_realnvp()), _trained(_realnvp(), accumulate=pieces)
    for a, b in zip(whole, divided, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-5)
        assert b["validation_loss"] == pytest.approx(a["validation_loss"], rel=1e-5)
    for name, value in one.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_bfloat16_is_for_steps_alone() -> None:
    (whole, _), (rounded, model) = _trained(_realnvp()), _trained(_realnvp(), precision="bf16")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert rounded[-1]["loss"] != whole[-1]["loss"]
    assert rounded[-1]["loss"] == pytest.approx(whole[-1]["loss"], rel=0.02)


class _Unfit(RealNVP):
    """Takes nothing but float32."""

    def loss(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return super().loss(x, c) + torch.lerp(c, (c @ c.T)[:, :1], c)[:, 0]


def test_what_bfloat16_cannot_do_is_one_line() -> None:
    with pytest.raises(CaloforgeError, match=r"'model'.*training\.precision"):
        _trained(_Unfit(3, 1, layers=3, width=16, blocks=1), precision="bf16")


def test_settings_at_their_defaults_are_not_saved() -> None:
    """... because runs of earlier versions, which do not have them, can be resumed."""
    plain = {**RECIPE, "geometry": "ds1-photons"}
    assert not {"accumulate", "precision", "compile"} & {
        line.split(":")[0].strip() for line in load_recipe(plain).to_yaml().splitlines()
    }
    assert "precision: bf16" in load_recipe(plain, ["training.precision=bf16"]).to_yaml()
    for wrong in ("training.compile=1", "training.accumulate=0", "training.precision=fp16"):
        with pytest.raises(CaloforgeError, match=wrong):
            load_recipe(plain, [wrong])


@pytest.mark.slow
def test_compiled_networks_learn_the_same(recwarn: pytest.WarningsRecorder) -> None:
    from caloforge.models.vae import VAE

    def model() -> VAE:
        torch.manual_seed(1)
        return VAE(3, 1, code_dim=2, hidden=[8])

    (whole, _), (compiled, after) = _trained(model()), _trained(model(), compile=True)
    assert compiled[-1]["loss"] == pytest.approx(whole[-1]["loss"], rel=1e-4)
    assert all(module._compiled_call_impl is None for module in after.modules())
