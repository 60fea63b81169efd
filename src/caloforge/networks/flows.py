"""Normalising flows: invertible maps between data and N(0, 1) noise with a tractable Jacobian.

log p(x | c) = log N(f(x; c); 0, 1) + log |det ∂f/∂x|, where f is a chain of steps: couplings with rational-quadratic
splines (arXiv:1906.04032), random permutations, and LU-decomposed linear maps. Both directions take the conditions c.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.networks.residual import ConditionalResidualNet, mlp
from caloforge.networks.spline import n_spline_parameters, rational_quadratic_spline


class FlowStep(nn.Module, ABC):
    """One invertible step, from data towards noise."""

    @abstractmethod
    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, F), c (B, C) → z (B, F) and log |det ∂z/∂x| (B,)."""

    @abstractmethod
    def inverse(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """z (B, F), c (B, C) → x (B, F) and log |det ∂x/∂z| (B,)."""


class SplineCoupling(FlowStep):
    """Transforms half of the features by splines whose parameters depend on the other half and on c.

    Args:
        features: F, at least 2.
        conditions: C.
        even: whether the features with even indices are transformed.
        bins: K, number of bins per spline.
        bound: splines act on [-bound, bound] and are the identity outside.
        width, blocks: size of the residual network.
    """

    transformed: Tensor
    unchanged: Tensor
    order: Tensor

    def __init__(
        self, features: int, conditions: int, even: bool, bins: int, bound: float, width: int, blocks: int
    ) -> None:
        super().__init__()
        index = torch.arange(features)
        transformed, unchanged = index[index % 2 == (0 if even else 1)], index[index % 2 == (1 if even else 0)]
        self.register_buffer("transformed", transformed, persistent=False)
        self.register_buffer("unchanged", unchanged, persistent=False)
        # Position of each feature in (transformed, unchanged), to restore the order with one index_select.
        self.register_buffer("order", torch.argsort(torch.cat([transformed, unchanged])), persistent=False)
        self.bound = bound
        self.network = ConditionalResidualNet(
            len(unchanged), len(transformed) * n_spline_parameters(bins), conditions, width, blocks
        )
        # The last layer sums over `width` features; without this scale untrained splines are too steep.
        self.scale = 1 / math.sqrt(width)

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return self._apply_spline(x, c, inverse=False)

    def inverse(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return self._apply_spline(z, c, inverse=True)

    def _apply_spline(self, x: Tensor, c: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        y, unchanged = x.index_select(1, self.transformed), x.index_select(1, self.unchanged)
        parameters = self.network(unchanged, c).view(x.shape[0], y.shape[1], -1) * self.scale
        y, log_slope = rational_quadratic_spline(y, parameters, self.bound, inverse)
        return torch.cat([y, unchanged], dim=1).index_select(1, self.order), log_slope.sum(dim=1)


class Permutation(FlowStep):
    """A fixed permutation of the features, random if none is given.

    Args:
        features: F.
        order: (F,) for each output, the index of its input.
    """

    order: Tensor

    def __init__(self, features: int, order: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("order", torch.randperm(features) if order is None else order)

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return x.index_select(1, self.order), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return z.index_select(1, torch.argsort(self.order)), z.new_zeros(z.shape[0])


class LULinear(FlowStep):
    """x → L U x + b with unit lower-triangular L and upper-triangular U with positive diagonal; initially the identity.

    Args:
        features: F.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.lower = nn.Parameter(torch.zeros(features, features))
        self.upper = nn.Parameter(torch.zeros(features, features))
        self.diagonal = nn.Parameter(torch.full((features,), math.log(math.e - 1)))  # softplus gives 1
        self.bias = nn.Parameter(torch.zeros(features))

    @torch.no_grad()
    def set_affine(self, slope: Tensor, offset: Tensor) -> None:
        """Set the map to x → slope · x + offset, feature by feature; slopes (F,) above 0.001."""
        self.lower.zero_()
        self.upper.zero_()
        # The inverse of softplus, in a form that does not overflow for large slopes.
        target = (slope - 1e-3).clamp_min(1e-6)
        self.diagonal.copy_(target + torch.log(-torch.expm1(-target)))
        self.bias.copy_(offset)

    def _factors(self) -> tuple[Tensor, Tensor, Tensor]:
        diagonal = functional.softplus(self.diagonal) + 1e-3
        lower = torch.tril(self.lower, diagonal=-1) + torch.eye(len(diagonal), device=diagonal.device).to(diagonal)
        return lower, torch.triu(self.upper, diagonal=1) + torch.diag(diagonal), diagonal

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        lower, upper, diagonal = self._factors()
        return x @ (lower @ upper).T + self.bias, torch.log(diagonal).sum().expand(x.shape[0])

    def inverse(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        lower, upper, diagonal = self._factors()
        y = torch.linalg.solve_triangular(lower, (z - self.bias).T, upper=False, unitriangular=True)
        x = torch.linalg.solve_triangular(upper, y, upper=True).T
        return x, -torch.log(diagonal).sum().expand(z.shape[0])


class ConditionalStandardise(FlowStep):
    """x → (x − S c − o) / w: the residual of a linear regression on the conditions, scaled to standard deviation 1.

    It is the identity until `fit`; its constants are not learned by gradient descent.

    Args:
        features: F. conditions: C.
    """

    slope: Tensor
    offset: Tensor
    width: Tensor

    def __init__(self, features: int, conditions: int) -> None:
        super().__init__()
        self.register_buffer("slope", torch.zeros(conditions, features))
        self.register_buffer("offset", torch.zeros(features))
        self.register_buffer("width", torch.ones(features))

    @torch.no_grad()
    def fit(self, x: Tensor, c: Tensor) -> None:
        """Regress x (N, F) on c (N, C); a feature determined by the conditions keeps its scale."""
        rows = torch.cat([c, torch.ones_like(c[:, :1])], dim=1).double()
        # A ridge much smaller than the conditions, in case they are linearly dependent.
        gram = rows.T @ rows + 1e-6 * len(rows) * torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device)
        solution = torch.linalg.solve(gram, rows.T @ x.double())
        rest = (x.double() - rows @ solution).std(dim=0)
        self.slope.copy_(solution[:-1])
        self.offset.copy_(solution[-1])
        self.width.copy_(torch.where(rest > 1e-4, rest, torch.ones_like(rest)))

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return (x - c @ self.slope - self.offset) / self.width, -torch.log(self.width).sum().expand(x.shape[0])

    def inverse(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return z * self.width + c @ self.slope + self.offset, torch.log(self.width).sum().expand(z.shape[0])


class ConditionalSplines(FlowStep):
    """Transforms each feature by its own spline, whose parameters depend only on the conditions.

    It learns the marginal densities of the features and leaves the dependence between features to other steps.

    Args:
        features: F. conditions: C.
        bins: K, number of bins per spline.
        bound: splines act on [-bound, bound] and are the identity outside.
        width: units in each of the network's two hidden layers.
    """

    def __init__(self, features: int, conditions: int, bins: int, bound: float, width: int) -> None:
        super().__init__()
        self.bound = bound
        self.network = mlp([conditions, width, width, n_spline_parameters(bins) * features])
        with torch.no_grad():  # nearly the identity at the start
            for parameter in self.network[-1].parameters():
                parameter.mul_(0.1)

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return self._transform(x, c, inverse=False)

    def inverse(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return self._transform(z, c, inverse=True)

    def _transform(self, x: Tensor, c: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        parameters = self.network(c).view(x.shape[0], -1, x.shape[1])
        y, log_slope = rational_quadratic_spline(x, parameters, self.bound, inverse, dim=-2)
        return y, log_slope.sum(dim=1)


class Flow(nn.Module):
    """A chain of steps from data to N(0, 1).

    Args:
        steps: data side first.
    """

    def __init__(self, steps: Sequence[FlowStep]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, F), c (B, C) → noise z (B, F) and log |det ∂z/∂x| (B,)."""
        log_det = x.new_zeros(x.shape[0])
        for step in self.steps:
            x, change = step(x, c)
            log_det = log_det + change
        return x, log_det

    def inverse(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Noise z (B, F), c (B, C) → x (B, F) and log |det ∂x/∂z| (B,)."""
        log_det = z.new_zeros(z.shape[0])
        for step in reversed(self.steps):
            assert isinstance(step, FlowStep)
            z, change = step.inverse(z, c)
            log_det = log_det + change
        return z, log_det

    def log_prob(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) natural logarithm of the density of x given c."""
        z, log_det = self(x, c)
        return log_det - 0.5 * (z**2).sum(dim=1) - 0.5 * z.shape[1] * math.log(2 * math.pi)

    @torch.no_grad()
    def fit_outer_maps(self, x: Tensor, spread: float) -> None:
        """Initialise the first and last LU maps so that data and noise agree in mean and standard deviation.

        The first maps each feature of x (N, F) to mean 0 and standard deviation `spread`, the last from `spread` to 1.
        Otherwise the maps need hundreds of training steps to adapt to the scale of the data.
        """
        permutation, first, last = self.steps[0], self.steps[1], self.steps[-1]
        assert isinstance(permutation, Permutation)
        assert isinstance(first, LULinear)
        assert isinstance(last, LULinear)
        mean, std = x.mean(dim=0)[permutation.order], x.std(dim=0).clamp_min(1e-6)[permutation.order]
        first.set_affine(spread / std, -spread * mean / std)
        last.set_affine(torch.full_like(std, 1 / spread), torch.zeros_like(std))


def spline_coupling_flow(
    features: int,
    conditions: int,
    *,
    layers: int,
    bins: int,
    bound: float,
    width: int,
    blocks: int,
) -> Flow:
    """The neural spline flow of CaloMan: spline couplings with alternating masks, with a random permutation and an LU
    map before, between and after them.

    The outer LU maps are needed because splines act only on [-bound, bound], while the base distribution is N(0, 1).
    """
    if features < 2:
        raise ValueError(f"a coupling flow needs at least 2 features, not {features}")
    steps: list[FlowStep] = []
    for k in range(layers):
        steps += [Permutation(features), LULinear(features)]
        steps.append(SplineCoupling(features, conditions, k % 2 == 0, bins, bound, width, blocks))
    return Flow([*steps, Permutation(features), LULinear(features)])
