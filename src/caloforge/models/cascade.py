"""Cascade: the energy of a shower divided level by level, each level by a model of its own.

E_inc → E_dep → layers → rings → voxels (`caloforge.division`). At each level the parts are described by numbers z
that are N(0, 1) for each part by itself, so that its model has to learn only how parts depend on each other, given
the energies of the level above; any registered model will do, conditional flow matching by default. The deposited
energy needs no model: its distribution given E_inc is in the table.

A sample draws z level by level. What the levels above have fixed stays exact: layers sum to the deposited energy,
rings to their layers, voxels to their rings, up to what a readout threshold removes. Between rings and voxels, the
multipole moments of the layers can be a level of their own, which the voxels are then given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from caloforge.division.copula import GaussianCopula
from caloforge.division.hierarchy import CountedSplit, Hierarchy, Split
from caloforge.division.multipoles import SHIFT, Multipoles
from caloforge.division.scaling import ConditionScaling
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.models.base import LatentModel
from caloforge.models.cascade_stages import MOMENTS, LevelStage, MomentsStage
from caloforge.models.dataset import Pair, ShowerDataset
from caloforge.models.inner import inner_model
from caloforge.models.stages import Stage

HITS_KEPT = 0.999
"""Fraction of the voxels with energy that are not taken for empty where no threshold is given."""

COPULA_MOST = 2000
"""Numbers z of a level with a copula: its weights are as many, squared."""


class Cascade(LatentModel):
    """Layer energies, then rings, then voxels.

    Features are the voxels in MeV, the first condition is the incident energy in MeV: use no transform but a threshold.
    With further conditions, such as an angle, every level is told of them, E_dep has a model like that of the layers,
    and sectors are told where they are, since showers need not be alike all around the axis.

    Args:
        features: V, the geometry's number of voxels.
        conditions: 1, the incident energy, and the number of further ones.
        geometry: supplies layers, rings and sectors.
        layers: the model of the layers' energies, given E_inc and E_dep: `kind` and its settings; also that of E_dep
            where there are further conditions.
        rings: the model of the rings' energies, given E_inc and the layers' energies.
        voxels: the model of the voxels, given E_inc and the rings' energies.
        least: e₀ in MeV, voxels below it count as empty; 0 takes the geometry's readout threshold, and where that is 0,
            a training takes the energy that all but 0.1 % of the voxels with energy exceed.
        knots: energies at which the marginal distributions are tabulated, at most.
        hits: whether the numbers of rings hit in each layer are drawn with the layers' energies, and the numbers of
            voxels hit in each ring with the rings' energies (`caloforge.division.hits`).
        multipoles: the model of the layers' multipole moments, given what the voxels are given, which then are given
            the moments too (`caloforge.division.multipoles`); null for none. Needs `hits`. A geometry without
            alpha bins, such as a Cartesian one, has no moments.
        order: highest order of the moments.
        corrections: how many times the voxels' numbers z are shifted towards the moments drawn.
        copula: whether numbers z that a training shower leaves open, such as those of empty voxels, are drawn given the
            others (`caloforge.division.copula`), at levels of `COPULA_MOST` numbers or fewer; else independently.

    Example:
        >>> from caloforge.geometry import load_geometry
        >>> small = {"kind": "flow_matching", "width": 16, "blocks": 1, "steps": 2}
        >>> model = Cascade(368, 1, geometry=load_geometry("ds1-photons"), layers=small, rings=small, voxels=small)
        >>> model.sample(torch.full((2, 1), 4096.0)).shape
        torch.Size([2, 368])
    """

    directions: Tensor

    def __init__(
        self,
        features: int,
        conditions: int,
        *,
        geometry: Geometry,
        layers: dict[str, Any] = {"kind": "flow_matching"},  # noqa: B006 (never changed)
        rings: dict[str, Any] = {"kind": "flow_matching"},  # noqa: B006
        voxels: dict[str, Any] = {"kind": "flow_matching", "network": "sectors"},  # noqa: B006
        least: float = 0.0,
        knots: int = 24,
        hits: bool = False,
        multipoles: dict[str, Any] | None = None,
        order: int = 2,
        corrections: int = 2,
        copula: bool = False,
    ) -> None:
        super().__init__()
        if features != geometry.n_voxels or conditions < 1:
            raise CaloforgeError(
                f"cascade takes the {geometry.n_voxels} voxels and the incident energy in MeV, not {features} features "
                f"and {conditions} conditions; leave only readout_threshold in the recipe's transforms"
            )
        least = least or geometry.threshold
        if not least > 0 or knots < 2:
            raise CaloforgeError(
                f"cascade needs least ({least:g} MeV) above 0 and knots ({knots}) of 2 or more; the geometry "
                f"'{geometry.name}' has the threshold {geometry.threshold:g} MeV"
            )
        if corrections < 0:
            raise CaloforgeError(f"cascade needs corrections ({corrections}) of 0 or more")
        if multipoles is not None and not hits:
            raise CaloforgeError("multipoles need the numbers of hits: set hits to true, or multipoles to null")
        self.hierarchy = Hierarchy(geometry, least, knots, hits=hits)
        self.corrections = corrections
        if self.hierarchy.sectors == 1:
            multipoles = None
        self.moments = None if multipoles is None else Multipoles(geometry, order, conditions - 1)
        # The numbers z of a level: those of its parts, and of the hits in them where those are counted.
        splits = [*self.hierarchy]
        self._sizes = {s.name: s.size + t.n_counted for s, t in pairwise(splits)}
        self._sizes[splits[-1].name] = splits[-1].size
        self.models, self.scalings, self.copulas = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        self.copula = copula
        self.further = conditions - 1
        angle = 2 * math.pi * torch.arange(self.hierarchy.sectors) / self.hierarchy.sectors
        self.register_buffer("directions", torch.stack([angle.cos(), angle.sin()], dim=1), persistent=False)
        for split, wanted in zip(splits, (layers, layers, rings, voxels), strict=True):
            if self._sizes[split.name] and (self.further or split is not splits[0]):
                self._add_level(split.name, wanted, split, least, multipoles if split is splits[-1] else None)
        self.latent_dim = sum(self._latent_dims())

    @classmethod
    def settings_from_data(cls, settings: dict[str, Any], data: ShowerDataset, geometry: Geometry) -> dict[str, Any]:
        """Replace `least: 0` in a geometry without threshold by the 0.1 % quantile of the voxels with energy."""
        if settings["least"] or geometry.threshold:
            return settings
        x, _ = data.sample()
        hit = x[x > 0].double().numpy()
        if not len(hit):
            raise CaloforgeError("no training shower deposits any energy")
        return {**settings, "least": float(np.quantile(hit, 1 - HITS_KEPT))}

    def _add_level(
        self, name: str, wanted: dict[str, Any], split: Split, least: float, multipoles: dict[str, Any] | None
    ) -> None:
        """The model of a level, and before it that of the moments, if they are wanted."""
        conditions = 1 + split.n_wholes + split.n_counted + self.further
        own = 2 if self.further and split.sectors > 1 else 0  # where the sector is
        if multipoles is not None:
            assert self.moments is not None
            size, sectors = self.moments.sectors * self.moments.n_layers, self.moments.sectors
            settings: dict[str, Any] = {"sectors": sectors, "sector_conditions": own}
            self.models[MOMENTS] = inner_model(
                multipoles, size, conditions + sectors * own, f"model.{MOMENTS}", **settings
            )
            self.scalings[MOMENTS] = ConditionScaling(1 + split.n_wholes, least)
            own += self.moments.n_conditions
        if self.copula and self._sizes[name] <= COPULA_MOST:
            directions = self.directions.numel() if self.further and split.sectors > 1 else 0
            self.copulas[name] = GaussianCopula(self._sizes[name], conditions + directions)
        settings = {"sectors": split.sectors, "sector_conditions": own}
        if split.name != [*self.hierarchy][-1].name:
            settings |= self._layers_of(split)
        conditions += split.sectors * own
        self.models[name] = inner_model(wanted, self._sizes[name], conditions, f"model.{name}", **settings)
        self.scalings[name] = ConditionScaling(1 + split.n_wholes, least)

    def _layers_of(self, split: Split) -> dict[str, list[int]]:
        """Layer of each number z and of each condition of a level above the voxels (see `FlowMatching`)."""
        deposited, layers, rings, voxels = self.hierarchy
        further = [-1] * self.further
        if split is deposited:
            return {"layer_of_feature": [0] * deposited.size, "layer_of_condition": [-1, -1, *further]}
        if split is layers:
            features, conditions, further = layers.drawn.index.tolist(), [-1, -1], [-2] * self.further
            following, layer_of_whole = rings, list(range(rings.n_wholes))
        else:
            layer_of_whole = rings.whole_of_part.index.tolist()
            features, conditions = rings.whole_of_drawn.index.tolist(), [-1, *range(rings.n_wholes)]
            conditions += rings.counted.index.tolist() if isinstance(rings, CountedSplit) and rings.size else []
            following = voxels
        if isinstance(following, CountedSplit) and following.size:
            features += [layer_of_whole[k] for k in following.counted.index.tolist()]
        return {"layer_of_feature": features, "layer_of_condition": [*conditions, *further]}

    def _latent_dims(self) -> list[int]:
        """Of each level: its model's, or one number per part where there is none; moments are part of the voxels'."""
        dims = {name: model.latent_dim for name, model in self.level_models()}
        own = [dims.get(split.name, self._sizes[split.name]) for split in self.hierarchy]
        own[-1] += dims.get(MOMENTS, 0)
        return own

    def level_models(self) -> Iterator[tuple[str, LatentModel]]:
        """Name and model of each level that has one."""
        for name, model in self.models.items():
            assert isinstance(model, LatentModel)
            yield name, model

    def sampling_settings(self) -> frozenset[str]:
        """Those of each level's model: `voxels.sampler` …, and `corrections` where there are moments."""
        own = set() if self.moments is None else {"corrections"}
        return frozenset(own).union(
            f"{name}.{setting}" for name, model in self.level_models() for setting in model.sampling_settings()
        )

    def training_only(self) -> frozenset[str]:
        """Those of each level's model, and the copulas."""
        of_models = (f"models.{name}.{path}" for name, model in self.level_models() for path in model.training_only())
        return frozenset(of_models).union(f"copulas.{name}" for name in self.copulas)

    # ---- training ----------------------------------------------------------------------------------------------

    def stages(self) -> Sequence[Stage]:
        """Those of each level's model, named after level and stage: `layers_velocity`, `voxels_student` …"""
        numbers = {split.name: number for number, split in enumerate(self.hierarchy)}
        return [
            MomentsStage(self, inner, first=k == 0)
            if name == MOMENTS
            else LevelStage(self, numbers[name], inner, first=k == 0)
            for name, model in self.level_models()
            for k, inner in enumerate(model.stages())
        ]

    def absent_stages(self) -> frozenset[str]:
        """Those of levels that there are not: of the moments, and of levels that need no model in this geometry."""
        names = (*(split.name for split in self.hierarchy), MOMENTS)
        kinds = {stage.name for model in self.models.values() for stage in model.stages()}  # type: ignore[operator]
        return frozenset(f"{name}_{kind}" for name in names if name not in self.models for kind in kinds)

    def fit_tables(self, data: ShowerDataset, number: int) -> None:
        """The tables of the level, and of those before it that have no model, from all showers or a sample of many."""
        splits = [*self.hierarchy]
        wanted = [k for k in range(number + 1) if k == number or splits[k].name not in self.models]
        counted = {k: following for k, following in enumerate(splits[1:]) if isinstance(following, CountedSplit)}

        def energies_and_hits(x: Tensor, c: Tensor) -> Pair:
            energies = self.hierarchy.energies(x, c)
            hits = [counted[k].numbers(energies[k + 2]) for k in wanted if k in counted and counted[k].size]
            return torch.cat([*energies[1 : number + 2], *hits], dim=1), c[:, :1]

        found, c = data.map(energies_and_hits).sample()
        widths = [len(split.whole_of_part.index) for split in splits[: number + 1]]
        *energies, hits = found.split([*widths, found.shape[1] - sum(widths)], dim=1)
        energies = [c, *energies]
        for k in wanted:
            splits[k].fit(energies[k + 1], energies[k])
            if k in counted and counted[k].size:
                n, hits = hits[:, : counted[k].n_counted], hits[:, counted[k].n_counted :]
                counted[k].fit_hits(n, energies[k + 1])
        self.scalings[splits[number].name].fit(energies[0], energies[number])  # type: ignore[operator]

    def fit_moments(self, x: Tensor, c: Tensor) -> None:
        """Width of the moments, and scaling of what their model is given."""
        assert self.moments is not None
        energies = self.hierarchy.energies(x, c)
        self.scalings[MOMENTS].fit(energies[0], energies[-2])  # type: ignore[operator]
        self.moments.fit(*self.for_moments(energies), self.expecting(c, energies[-2]))

    def expecting(self, c: Tensor, rings: Tensor) -> Tensor | None:
        """(B, 1 + further) what the mean of the moments depends on: log E_inc, scaled, and the further conditions."""
        if not self.further:
            return None
        energies: Tensor = self.scalings[MOMENTS](self._incident(c), rings)
        return torch.cat([energies[:, :1], c[:, 1:]], dim=1)

    def for_moments(self, energies: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Energies at all levels in MeV → what `Multipoles.moments` takes."""
        voxels = [*self.hierarchy][-1]
        assert isinstance(voxels, CountedSplit)
        return energies[-1], voxels.counted(energies[-2]), voxels.numbers(energies[-1])

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) the losses of all stages together."""
        total, data = x.new_zeros(len(x)), ShowerDataset.of(x, c).to(x.device)
        for stage in self.stages():
            total = total + stage.loss(*stage.prepare(data).take(slice(None)))
        return total

    # ---- sampling ----------------------------------------------------------------------------------------------

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        """z (B, D) from N(0, 1), c (B, C), incident energies in MeV first → voxels (B, V) in MeV."""
        return self.decode_with(z, c, {name: model.decode for name, model in self.level_models()})

    def decode_with(self, z: Tensor, c: Tensor, decoders: Mapping[str, Callable[[Tensor, Tensor], Tensor]]) -> Tensor:
        """`decode` with other functions, by level, in place of the models' `decode`."""
        energies, n = self._incident(c), None
        splits = [*self.hierarchy]
        levels = zip(splits, [*splits[1:], None], z.split(self._latent_dims(), dim=1), strict=True)
        for split, following, numbers in levels:
            if following is None and self.moments is not None:
                assert n is not None
                return self._voxels_with_moments(numbers, c, energies, n, decoders)
            if split.name in decoders:
                numbers = decoders[split.name](numbers, self.given(split, c, energies, n))
            if isinstance(following, CountedSplit) and following.size:
                numbers, of_hits = numbers.split([split.size, following.n_counted], dim=1)
                energies = split.energies(numbers, energies, n)
                n = following.hits.numbers(of_hits, following.counted(energies))
            else:
                energies = split.energies(numbers, energies, n)
        return energies

    def _voxels_with_moments(
        self,
        z: Tensor,
        c: Tensor,
        rings: Tensor,
        n: Tensor,
        decoders: Mapping[str, Callable[[Tensor, Tensor], Tensor]],
    ) -> Tensor:
        """z (B, ·) of moments and voxels, c (B, C), rings (B, R) in MeV, hits n (B, n_counted) → voxels (B, V)."""
        voxels, moments = [*self.hierarchy][-1], self.moments
        assert moments is not None
        assert isinstance(voxels, CountedSplit)
        of_field = moments.sectors * moments.n_layers
        field = decoders[MOMENTS](z[:, :of_field], self.given(voxels, c, rings, n, MOMENTS))
        wanted, counted = moments.modes(field), voxels.counted(rings)
        if (given := self.expecting(c, rings)) is not None:
            wanted = wanted + moments.expected(given)
        conditions = self.with_moments(
            self.given(voxels, c, rings, n), moments.conditions(wanted, moments.shares(counted, n))
        )
        numbers = decoders[voxels.name](z[:, of_field:], conditions)
        energies = voxels.energies(numbers, rings, n)
        ring_of_number = voxels.count_of_drawn.index[: voxels.size // moments.sectors]  # in each sector the same
        for k in range(self.corrections):
            shift = moments.shift(wanted, energies, counted, n, SHIFT / 2**k)
            numbers = numbers + shift.index_select(2, ring_of_number).flatten(1)
            energies = voxels.energies(numbers, rings, n)
        return energies

    def given(self, split: Split, c: Tensor, wholes: Tensor, n: Tensor | None, name: str = "") -> Tensor:
        """What the model of a level is given: c (B, C), wholes (B, W) in MeV, hits n (B, n_counted) if counted."""
        conditions: Tensor = self.scalings[name or split.name](self._incident(c), wholes)
        if n is not None and isinstance(split, CountedSplit):
            conditions = torch.cat([conditions, split.scaled(n)], dim=1)
        if self.further:
            conditions = torch.cat([conditions, c[:, 1:]], dim=1)
            if split.sectors > 1:
                everywhere = torch.ones_like(c[:, :1]) * self.directions.flatten()  # traced for any number of rows
                conditions = torch.cat([conditions, everywhere], dim=1)
        return conditions

    def _incident(self, c: Tensor) -> Tensor:
        """(B, 1) the incident energies, without an operation in a graph where there is nothing else."""
        return c[:, :1] if self.further else c

    def with_moments(self, conditions: Tensor, of_moments: Tensor) -> Tensor:
        """What the voxels' model is given, and what each sector is told of the moments (B, S · n_conditions)."""
        assert self.moments is not None
        if not self.further:
            return torch.cat([conditions, of_moments], dim=1)
        sectors = self.moments.sectors
        common, where = conditions[:, : -2 * sectors], conditions[:, -2 * sectors :]
        parts = [(where, 2), (of_moments, self.moments.n_conditions)]
        by_sector = torch.cat([part.reshape(-1, sectors, size) for part, size in parts], dim=2)
        return torch.cat([common, by_sector.flatten(1)], dim=1)
