"""Train a reconstruction on showers that are generated meanwhile: the incident energy from the layer energies.

    python examples/reconstruction.py

The network has never seen a Geant4 shower; it is tested on those of the package.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import caloforge as cf


class EnergyRegression(nn.Module):
    """log E_inc from the logarithms of the energies (B, L) of L layers, all in MeV."""

    def __init__(self, layers: int, width: int = 64) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(layers, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.last = nn.Linear(width, 1)

    def forward(self, layer_energies: Tensor) -> Tensor:
        x = torch.log1p(layer_energies)
        # A correction to the deposited energy is easier to learn than the energy itself.
        start = torch.log(layer_energies.sum(dim=1) + 1)
        return start + torch.Tensor(self.last(self.network(x))).squeeze(1)


def main(epochs: int = 5, n: int = 4000, workers: int = 0) -> float:
    """Train on n new showers per epoch; return the relative error on Geant4 showers of 1 GeV and more."""
    torch.manual_seed(1)
    run = cf.load("flagship-atlas-like")
    stream = cf.ShowerStream(run, "loguniform:256MeV:16GeV", n=n, seed=1)
    model = EnergyRegression(run.geometry.n_layers)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for epoch in range(epochs):
        stream.set_epoch(epoch)
        for batch in DataLoader(stream, batch_size=200, num_workers=workers):
            layers = torch.stack([batch["voxels"][:, part].sum(dim=1) for part in run.geometry.slices], dim=1)
            loss = ((model(layers) - torch.log(batch["energies"])) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: {loss.item():.4g}")
    test = cf.sample("test")
    test = test[test.energies > 1000]
    with torch.no_grad():
        found = torch.exp(model(torch.as_tensor(test.layer_energies, dtype=torch.float32)))
    error = float((found / torch.as_tensor(test.energies) - 1).square().mean().sqrt())
    print(f"relative error on {len(test):,} Geant4 showers: {100 * error:.1f} %")
    return error


if __name__ == "__main__":
    main()
