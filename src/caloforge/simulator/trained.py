"""`TrainedGenerator`: what all trained generators have in common: transforms and model, saved and loaded as one unit.

A saved generator is a folder with `simulator.json` (geometry, transforms, model, provenance) and
`weights.safetensors` (all weights and fitted constants). Both contain data only: loading never runs code from the
folder, and a class from outside the package is imported only if the caller names it. `caloforge.simulator.packing`
writes smaller ones.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import save as pack

from caloforge.errors import CaloforgeError
from caloforge.files import as_path, atomic_path, write_json
from caloforge.geometry import AnyGeometry
from caloforge.inference import Engine, TorchEngine
from caloforge.locations import DESCRIPTION
from caloforge.models import MODELS
from caloforge.models.base import ShowerModel, n_parameters
from caloforge.registry import importable_for, own_code_fault
from caloforge.representation import Representation, S, representation_of
from caloforge.simulator.absent import leave_out, left_out
from caloforge.simulator.batches import batches
from caloforge.simulator.incoming import Incoming
from caloforge.simulator.stored import (
    FORMAT,
    WEIGHTS,
    load_weights,
    no_larger_than,
    read_description,
    read_weights,
    sampling_with,
)
from caloforge.transforms import Compose, TrainedConditions, build_transforms, specification_of
from caloforge.transforms.trained_conditions import TrainedCondition
from caloforge.units import format_energy

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

CHANGED = "model_settings_changed"
"""Provenance key: model settings that differ from the training, as JSON; absent if there are none."""


@dataclass(repr=False)
class TrainedGenerator(ABC, Generic[S]):
    """Transforms and model with their provenance.

    Args:
        geometry: of what is generated.
        transforms: fitted preprocessing.
        model: the generator in transformed space.
        provenance: plain data (recipe, seeds, training file, …), stored and passed on to outputs.
        energy_range: lowest and highest incident energy of the training set, in MeV; None if unknown.
        conditions: what the run knows of further conditions, such as angles.
    """

    geometry: AnyGeometry
    transforms: Compose
    model: ShowerModel
    provenance: dict[str, Any] = field(default_factory=dict)
    energy_range: tuple[float, float] | None = None
    conditions: TrainedConditions = field(default_factory=TrainedConditions)

    def __post_init__(self) -> None:
        # Runs of earlier versions have the range in their provenance.
        known = dict(self.provenance)
        stored = known.pop("energy_range_mev", None)
        if self.energy_range is None and stored is not None:
            low, high = stored
            self.energy_range = (float(low), float(high))
        self.provenance = known

    def __repr__(self) -> str:
        parts = [f"{type(self.model).__name__} of {self.n_parameters:,} parameters", f"'{self.geometry.name}'"]
        if self.energy_range is not None:
            parts.append(" … ".join(format_energy(e) for e in self.energy_range))
        parts += [f"{entry.kind.name} {entry.span}" for entry in self.conditions.entries]
        return f"{type(self).__name__}({', '.join(parts)})"

    def to(self, where: torch.device | torch.dtype | str) -> Self:
        """Move the weights to a device, or to a precision."""
        self.transforms.to(where)
        self.model.to(where)
        return self

    @property
    def n_parameters(self) -> int:
        """Number of trainable parameters of the model."""
        return n_parameters([self.model])

    def stream(
        self,
        energies: ArrayLike,
        seed: int = 1,
        batch_size: int = 10_000,
        engine: Engine | None = None,
        conditions: Mapping[str, ArrayLike] | None = None,
        *,
        angles: ArrayLike | None = None,
        n: int | None = None,
    ) -> Iterator[S]:
        """Showers for `energies`, batch by batch.

        Each batch has its own random stream, seeded by (seed, batch number): the same seed, batch size, engine and
        machine give the same showers.

        Args:
            energies: (N,) incident energies in MeV, finite and above 0; or a spectrum in words, as
                "uniform:1GeV:16GeV" (`caloforge.energies.spectra`).
            seed: at least 0.
            batch_size: showers per pass through the model, at least 1.
            engine: inference engine; by default PyTorch, with the current weights.
            conditions: further conditions by name, (N,) values or one for all showers, as in {"theta": 0.5}, angles in
                rad; or a law in words, as {"theta": "uniform:0:60deg"} (`caloforge.conditions.laws`).
            angles: of incidence; the same as the condition theta.
            n: number of showers drawn from a spectrum in words.

        Raises:
            CaloforgeError: an argument is out of range, or a condition is missing, unknown or outside the range of the
                training.
        """
        engine = TorchEngine(self) if engine is None else engine
        asked = Incoming.of(self.conditions, energies, conditions, angles).draw(n, seed)
        columns = asked.conditions
        todo = batches(asked.energies, seed, batch_size, conditions=self.conditions.values(columns))
        attributes, start = self.attributes(seed, batch_size, engine.name), 0
        representation: Representation[S] = representation_of(self.geometry)
        for batch in todo:
            rows = slice(start, start + len(batch.energies))
            found = engine.generate(batch).rows
            yield representation.showers(found, batch.energies, attributes, columns.take(rows))
            start = rows.stop

    def generate(
        self,
        energies: ArrayLike,
        seed: int = 1,
        batch_size: int = 10_000,
        engine: Engine | None = None,
        conditions: Mapping[str, ArrayLike] | None = None,
        *,
        angles: ArrayLike | None = None,
        n: int | None = None,
    ) -> S:
        """(N,) incident energies in MeV, or a spectrum in words and N → N showers in memory (see `stream`)."""
        parts = list(self.stream(energies, seed, batch_size, engine, conditions, angles=angles, n=n))
        representation: Representation[S] = representation_of(self.geometry)
        return representation.joined(parts)

    def attributes(self, seed: int, batch_size: int, engine: str) -> dict[str, str | int | float]:
        """Attributes of generated showers, in memory and in files: provenance and generation settings.

        Args:
            seed: seed of the generation.
            batch_size: showers per pass through the model.
            engine: name of the inference engine.
        """
        known: dict[str, Any] = {"weights_sha256": self.weights_sha256(), **self.provenance}
        if self.energy_range is not None:
            known["energy_range_mev"] = list(self.energy_range)
        plain = {k: v if isinstance(v, str | int | float) else json.dumps(v) for k, v in known.items()}
        return plain | {"source": "caloforge", "seed": seed, "batch_size": batch_size, "engine": engine}

    def weights_sha256(self) -> str:
        """Hash of the weights file: as stored for a loaded simulator, otherwise of the file that `save` would write."""
        return self.provenance.get("weights_sha256") or hashlib.sha256(self._packed_weights()).hexdigest()

    def _packed_weights(self) -> bytes:
        return pack(self.weights())

    def weights(self) -> dict[str, torch.Tensor]:
        """All weights and fitted constants by name, as `save` stores them."""
        found = {f"model.{k}": v.contiguous() for k, v in self.model.state_dict().items()}
        return found | {f"transforms.{k}": v.contiguous() for k, v in self.transforms.state_dict().items()}

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the simulator into `folder`, which is created if needed."""
        self.write(Path(folder), WEIGHTS, self._packed_weights())

    def write(self, folder: Path, name: str, packed: bytes) -> None:
        """Write `simulator.json` beside a given file of weights.

        Args:
            folder: created if needed.
            name: of the file of weights.
            packed: its content.
        """
        with atomic_path(folder / name) as partial:
            partial.write_bytes(packed)
        description = {
            "format": FORMAT,
            "geometry": self.geometry.to_dict(),
            "transforms": specification_of(self.transforms),
            "model": MODELS.to_config(self.model),
            "n_parameters": self.n_parameters,
            "weights_sha256": hashlib.sha256(packed).hexdigest(),
            "energy_range_mev": self.energy_range,
            "provenance": self.provenance,
        }
        if name != WEIGHTS:
            description["weights_file"] = name
        if absent := left_out(self.model):
            description["absent"] = absent
        if self.conditions.entries or self.conditions.superfluous:
            description["conditions"] = self.conditions.to_list()
            description["superfluous_conditions"] = list(self.conditions.superfluous)
        write_json(folder / DESCRIPTION, description)

    @classmethod
    @abstractmethod
    def _geometry(cls, plain: Any) -> AnyGeometry:
        """The geometry, from plain data.

        Raises:
            CaloforgeError: it is damaged, or that of a run of another sort.
        """

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        trusted: Collection[str] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> Self:
        """Read a saved simulator.

        Args:
            folder: folder of a run.
            trusted: dotted paths of classes from outside the package that may be imported.
            settings: model settings to change after training, such as a sampler or its steps
                (`ShowerModel.sampling_settings`).

        Raises:
            CaloforgeError: the folder contains no simulator, a damaged one, or one that needs a class that is not
                trusted; a setting is unknown, fixed by the training, or not used in sampling.
        """
        folder = as_path(folder, "folder of a run")
        description = read_description(folder)
        try:
            geometry = cls._geometry(description["geometry"])
            weights = read_weights(folder, description)
            with importable_for(folder, trusted):
                transforms = build_transforms(description["transforms"], geometry)
                with no_larger_than(weights):
                    model = MODELS.build(description["model"], origin="model", geometry=geometry)
                if settings:
                    model = sampling_with(model, description["model"], settings, geometry)
                leave_out(model, description.get("absent", []))
            load_weights(model, weights, "model.")
            load_weights(transforms, weights, "transforms.")
            provenance = {**description["provenance"], "weights_sha256": description["weights_sha256"]}
            if settings:
                provenance[CHANGED] = json.dumps(dict(settings))
            loaded = cls(geometry, transforms, model, provenance, _energy_range(description), _conditions(description))
        except CaloforgeError as error:
            where = folder if settings else folder / DESCRIPTION
            raise CaloforgeError(f"{where}: {error}") from error.__cause__
        except Exception as error:
            if (fault := own_code_fault(error)) is not None:
                raise CaloforgeError(f"{folder}: {fault}") from error
            if not isinstance(error, KeyError | TypeError | ValueError | RuntimeError | SafetensorError):
                raise
            reason = " ".join(str(error).splitlines()[:1])
            raise CaloforgeError(
                f"the simulator in {folder} is damaged ({reason}): train it or copy it again"
            ) from None
        model.eval()
        return loaded


def _energy_range(description: Mapping[str, Any]) -> tuple[float, float] | None:
    """Lowest and highest incident energy of the training in MeV, if they are recorded."""
    found = description.get("energy_range_mev")
    if found is None:
        return None
    low, high = (float(value) for value in found)
    if not 0 < low <= high < float("inf"):
        raise CaloforgeError(f"energy_range_mev: {found} is not a valid range of energies")
    return low, high


def _conditions(description: Mapping[str, Any]) -> TrainedConditions:
    """The further conditions that are recorded."""
    entries = [TrainedCondition.from_dict(plain) for plain in description.get("conditions", [])]
    return TrainedConditions(tuple(entries), tuple(str(name) for name in description.get("superfluous_conditions", [])))
