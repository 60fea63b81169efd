"""Reference implementations: the same architecture in other libraries, to compare times.

`nflows` is the library used by the published CaloMan. The flow from nflows has the sizes of the run's flow; decoder and
preprocessing are the run's own. The weights of the flow are random, which does not affect the time.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from caloforge.errors import CaloforgeError, either
from caloforge.files import real
from caloforge.models.caloman import CaloMan
from caloforge.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caloforge.inference import Batch


def nflows_caloman(simulator: Simulator, folder: Path | None = None) -> Callable[[Batch], Tensor]:
    """A call that generates the voxels (B, V) of a batch, in MeV, with the flow from nflows.

    Args:
        simulator: a simulator with a CaloMan.
        folder: folder of nflows, if it is not installed (`pip install --target FOLDER --no-deps nflows`).

    Raises:
        CaloforgeError: the model is not a CaloMan, or nflows cannot be imported.
    """
    model = simulator.model
    if not isinstance(model, CaloMan):
        raise CaloforgeError(f"nflows has no counterpart of {type(model).__name__}: omit the reference")
    with _importable(folder):
        try:
            flow = _flow(model.to_config())
        except ImportError as error:
            raise CaloforgeError(
                f"nflows cannot be imported ({error}): pip install --no-deps --target FOLDER nflows, and add "
                f"{either('--reference-path FOLDER', 'that folder')}"
            ) from None
    flow.eval()
    noise_dim = model.latent_dim
    parameter = next(model.parameters())

    def call(batch: Batch) -> Tensor:
        with torch.inference_mode():
            energies = torch.as_tensor(batch.energies, dtype=parameter.dtype)[:, None]
            further = None if batch.conditions is None else torch.as_tensor(batch.conditions, dtype=parameter.dtype)
            c = simulator.transforms.condition(simulator.conditions.inputs(energies, further))
            generator = torch.Generator().manual_seed(batch.seed)
            noise = torch.randn(len(c), noise_dim, generator=generator)
            codes, _ = flow.inverse(noise, c)
            given = c if model.conditional_autoencoder else c[:, :0]
            x, _ = model.autoencoder.decode(codes * model.scale, given)
            return simulator.transforms.inverse(x, c)[0]

    return call


def _flow(sizes: dict[str, Any]) -> Any:
    transforms = importlib.import_module("nflows.transforms")
    nets = importlib.import_module("nflows.nn.nets")
    torchutils = importlib.import_module("nflows.utils.torchutils")
    features = sizes["latent_dim"]

    def network(n_in: int, n_out: int) -> torch.nn.Module:
        return nets.ResidualNet(
            n_in,
            n_out,
            hidden_features=sizes["flow_width"],
            context_features=sizes["conditions"],
            num_blocks=sizes["flow_blocks"],
        )

    def linear() -> list[Any]:
        return [transforms.RandomPermutation(features), transforms.LULinear(features, identity_init=True)]

    chain: list[Any] = []
    for k in range(sizes["flow_layers"]):
        chain += linear()
        chain.append(
            transforms.PiecewiseRationalQuadraticCouplingTransform(
                mask=torchutils.create_alternating_binary_mask(features, even=k % 2 == 0),
                transform_net_create_fn=network,
                num_bins=sizes["flow_bins"],
                tails="linear",
                tail_bound=sizes["flow_bound"],
            )
        )
    return transforms.CompositeTransform([*chain, *linear()])


@contextmanager
def _importable(folder: Path | None) -> Iterator[None]:
    # After all installed packages: the folder may contain other versions of nflows' dependencies.
    if folder is None:
        yield
        return
    if not folder.is_dir():
        raise CaloforgeError(f"{folder} is not a directory")
    sys.path.append(str(real(folder)))
    try:
        yield
    finally:
        sys.path.remove(str(real(folder)))
