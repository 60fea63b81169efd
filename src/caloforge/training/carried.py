"""Weights of another run to start a training from.

A weight is carried over where the new model has one of the same name and shape; all others start afresh. Constants that
are measured (tables, scalings, transforms) are not weights: they are those of the new training showers. Models of
detectors with the same voxels have the same shapes; with other voxels, those inside the networks are often the same,
and those of the first and last layers are not.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from caloforge.errors import CaloforgeError, either
from caloforge.files import as_path, printable
from caloforge.models import MODELS
from caloforge.models.base import ShowerModel
from caloforge.models.stages import Stage, StageSettings
from caloforge.simulator import AnySimulator
from caloforge.simulator.absent import left_out
from caloforge.simulator.stored import read_description, read_weights

INITIAL = "initial_weights_sha256"
"""Key of a run's identity and provenance: hash of the weights that it was started from; absent if there are none."""

FACTS = ("recipe", "training_file", "detector", "particle")
"""Of the provenance of that run, kept in that of the next."""

MOST_NAMED = 4
"""Modules that start afresh and are named in a line."""


def _check_complete(name: str, absent: Sequence[str]) -> None:
    """Refuse a packed run, which lacks the very parts that a training begins with."""
    if absent:
        raise CaloforgeError(
            f"{name} is a packed run without '{absent[0]}', which training needs: start from the run it was packed from"
        )


@dataclass(frozen=True)
class InitialRun:
    """The run that a training starts from.

    Args:
        name: for messages.
        kind: of its model.
        weights: of its model, by name; parameters and constants.
        facts: of the run, for the provenance of the next.
    """

    name: str
    kind: str
    weights: Mapping[str, Tensor]
    facts: Mapping[str, str]

    @classmethod
    def of(cls, source: str | os.PathLike[str] | AnySimulator) -> InitialRun:
        """From the folder of a finished run, of which no code is executed, or from a simulator in memory.

        Raises:
            CaloforgeError: the folder contains no finished run, or a damaged one.
        """
        if isinstance(source, AnySimulator):
            _check_complete("the run in memory", left_out(source.model))
            weights = {name: value.detach().cpu() for name, value in source.model.state_dict().items()}
            facts = _facts(source.weights_sha256(), source.provenance)
            return cls("the run in memory", MODELS.name_of(type(source.model)), weights, facts)
        folder = as_path(source, "folder of a run")
        description = read_description(folder)
        try:
            kind, sha256 = str(description["model"]["kind"]), str(description["weights_sha256"])
            provenance = dict(description["provenance"])
        except (KeyError, TypeError, ValueError):
            raise CaloforgeError(f"the simulator in {folder} is damaged: train it or copy it again") from None
        _check_complete(str(folder), description.get("absent", []))
        try:
            stored = read_weights(folder, description)
        except CaloforgeError as error:
            raise CaloforgeError(f"{folder}: {error}") from None
        weights = {k.removeprefix("model."): v for k, v in stored.items() if k.startswith("model.")}
        return cls(str(folder), kind, weights, _facts(sha256, provenance))

    @torch.no_grad()
    def carry_over(self, model: ShowerModel) -> CarriedOver:
        """Copy the weights that fit into a model.

        Raises:
            CaloforgeError: it is a model of another kind, or nothing fits.
        """
        kind = MODELS.name_of(type(model))
        if kind != self.kind:
            raise CaloforgeError(
                f"{self.name} has a model of kind {self.kind}, but the recipe's is {kind}: weights are carried over "
                "between models of one kind"
            )
        names = set()
        for name, parameter in model.named_parameters():
            stored = self.weights.get(name)
            if stored is not None and stored.shape == parameter.shape:
                parameter.copy_(stored)
                names.add(name)
        if not any(self.weights[name].ndim > 1 for name in names):  # biases alone are no start
            raise CaloforgeError(
                f"no weight of {self.name} fits the model of the recipe: their sizes differ; give the model the "
                "settings of that run"
            )
        return CarriedOver(self.name, frozenset(names), self.facts)


def _facts(sha256: str, provenance: Mapping[str, Any]) -> dict[str, str]:
    known = {key: str(provenance[key]) for key in FACTS if key in provenance}
    return {INITIAL: sha256, **{f"initial_{key}": printable(value) for key, value in known.items()}}


@dataclass(frozen=True)
class CarriedOver:
    """What a training was started from.

    Args:
        origin: the run, for messages.
        names: of the model's parameters that were carried over.
        facts: of the run, for the provenance.
    """

    origin: str = ""
    names: frozenset[str] = frozenset()
    facts: Mapping[str, str] = field(default_factory=dict)

    def parameters(self, model: nn.Module) -> set[int]:
        """`id` of each parameter that was carried over."""
        return {id(parameter) for name, parameter in model.named_parameters() if name in self.names}

    def lines(self, model: nn.Module, stages: Sequence[Stage]) -> Iterator[str]:
        """One line per stage: how many of its weights were carried over, and which modules start afresh."""
        name_of = {id(parameter): name for name, parameter in model.named_parameters()}
        for stage in stages:
            names = {name_of[id(p)]: p.numel() for p in stage.parameters if id(p) in name_of}
            total, fresh = sum(names.values()), [name for name in names if name not in self.names]
            carried = total - sum(names[name] for name in fresh)
            if carried == total:
                yield f"{stage.name}: all {total:,} weights carried over"
            elif carried == 0:
                yield f"{stage.name}: nothing carried over, all {total:,} weights start afresh"
            else:
                afresh = _modules(fresh, [*names])
                yield f"{stage.name}: {carried:,} of {total:,} weights carried over; afresh: {afresh}"


def _modules(names: Sequence[str], among: Sequence[str]) -> str:
    """Names of weights without what all of a stage have in common."""
    split = [name.split(".")[:-1] for name in among]
    common = 0
    while all(len(path) > common and path[common] == split[0][common] for path in split):
        common += 1
    words = [name.split(".")[common:] for name in names]
    own = [word[:-1] if word[-1] in ("weight", "bias") and len(word) > 1 else word for word in words]
    parts = list(dict.fromkeys(".".join(word) for word in own))
    more = f" and {len(parts) - MOST_NAMED} more" if len(parts) > MOST_NAMED else ""
    return ", ".join(parts[:MOST_NAMED]) + more


def with_carried_rate(optimizer: torch.optim.Optimizer, carried: Container[int], factor: float) -> None:
    """Give the parameters whose `id` is in `carried` groups of their own, with learning rates times `factor`."""
    for group in list(optimizer.param_groups) if factor != 1 else []:
        own = [p for p in group["params"] if id(p) in carried]
        if own:
            group["params"] = [p for p in group["params"] if id(p) not in carried]
            optimizer.add_param_group({**group, "params": own, "lr": factor * group["lr"]})


def check_rates(stages: Sequence[Stage], settings: Sequence[StageSettings], carried: CarriedOver) -> None:
    """Check that rates of carried weights are set only where there are some.

    Args:
        stages: of the model, with the settings of each. carried: what was carried over.

    Raises:
        CaloforgeError: a rate has nothing to act on.
    """
    if carried.names:
        return
    for stage, own in zip(stages, settings, strict=True):
        if own.carried_rate != 1:
            raise CaloforgeError(
                f"stage '{stage.name}' has the carried_rate {own.carried_rate:g}, but no weights are carried over: "
                f"give a run to start from with {either('--from RUN', 'initial=…')}"
            )
