"""The card of a model: what it was trained on, the ranges it holds for, how good it is, and how to cite it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from caloforge.documents import parse_json, read_text
from caloforge.evaluation.report.page import key_metrics
from caloforge.evaluation.report.report import Report
from caloforge.evaluation.report.tables import label_of
from caloforge.formatting import pull, with_error
from caloforge.geometry.entries import checked_entry
from caloforge.simulator import Simulator
from caloforge.units import format_energy

CARD = "card.json"
"""File of a packed run."""


def without_folders(command: str) -> str:
    """A command with the names of its files alone: cards are public, folders of users are not.

    >>> without_folders("caloforge train flagship --train /home/me/train.h5 -o ./run --set=a=b/c")
    'caloforge train flagship --train train.h5 -o run --set=a=c'
    """
    return re.sub(r"[^\s:=,'\"]*/", "", command)


class Number(BaseModel):
    """A metric of an evaluation; value and baseline (Geant4 vs Geant4) at equal sample size."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str
    value: float
    error: float | None = None
    baseline: float | None = None
    baseline_error: float | None = None
    pull: float | None = None


class Evaluation(BaseModel):
    """What an evaluation found.

    Attributes:
        command: how it was called.
        reference: name of the file of Geant4 showers.
        showers: generated and reference showers compared.
        numbers: its key numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: str
    reference: str
    showers: tuple[int, int]
    numbers: tuple[Number, ...]

    @classmethod
    def of(cls, report: Report) -> Evaluation:
        """The key numbers of a report."""
        found = []
        for metric in key_metrics(report):
            estimate = metric.estimate
            assert estimate is not None
            found.append(
                Number(
                    label=label_of(metric, report.sections[metric.section]),
                    value=estimate.compared,
                    error=estimate.error,
                    baseline=estimate.baseline,
                    baseline_error=estimate.baseline_error,
                    pull=metric.pull,
                )
            )
        about = report.about
        showers = about.generated.n, about.reference.n
        return cls(
            command=without_folders(about.command),
            reference=about.reference.name,
            showers=showers,
            numbers=tuple(found),
        )


class Card(BaseModel):
    """What a user of a model needs to know.

    Attributes:
        name: of the model; of a run, that of its recipe.
        description: in one sentence.
        particle, detector: of the training showers.
        geometry: name. voxels, layers: their numbers.
        energy_range_mev: lowest and highest incident energy of the training; None if unknown.
        conditions: further conditions in words, as {"theta": "0 … 60 deg"}.
        training: recipe, file, showers, source, epochs and command.
        parameters: number of weights of the networks.
        weights_sha256: of the file of weights, which is in every file of generated showers.
        packed_from_sha256: the same of the run it was packed from.
        weights: how they are stored, and what that costs.
        licence, citation: of the model.
        evaluation: against Geant4.
        caloforge_version: that trained it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    description: str = ""
    particle: str = "unknown"
    detector: str = "unknown"
    geometry: str
    voxels: int
    layers: int
    energy_range_mev: tuple[float, float] | None = None
    conditions: dict[str, str] = {}
    training: dict[str, str] = {}
    parameters: int
    weights_sha256: str
    packed_from_sha256: str = ""
    weights: str = "float32"
    licence: str = ""
    citation: str = ""
    evaluation: Evaluation | None = None
    caloforge_version: str = ""

    @classmethod
    def of(cls, simulator: Simulator, **facts: Any) -> Card:
        """From a loaded run; `facts` are fields that it does not tell."""
        known, geometry = simulator.provenance, simulator.geometry
        names = {
            "recipe": "recipe",
            "training_file": "file",
            "training_showers": "showers",
            "training_source": "source",
            "n_epochs": "epochs, all stages",
            "training_command": "command",
        }
        own: dict[str, Any] = {
            "name": str(known.get("recipe", "run")),
            "particle": str(known.get("particle", "unknown")),
            "detector": str(known.get("detector", "unknown")),
            "geometry": geometry.name,
            "voxels": geometry.n_voxels,
            "layers": geometry.n_layers,
            "energy_range_mev": simulator.energy_range,
            "conditions": {entry.kind.name: entry.span for entry in simulator.conditions.entries},
            "training": {word: str(known[key]) for key, word in names.items() if key in known},
            "parameters": simulator.n_parameters,
            "weights_sha256": str(known.get("weights_sha256", "")),
            "packed_from_sha256": str(known.get("packed_from_sha256", "")),
            "caloforge_version": str(known.get("caloforge_version", "")),
        }
        return cls(**{**own, **facts})

    @classmethod
    def read(cls, folder: Path, trusted: Collection[str] = ()) -> Card:
        """The card of a packed run, or one made from a run that has none, which may import the classes `trusted`.

        Raises:
            CaloforgeError: it is damaged, or there is no run.
        """
        path = folder / CARD
        if not path.exists():
            return cls.of(Simulator.load(folder, trusted))
        return checked_entry(cls, parse_json(read_text(path, "card"), str(path)), str(path))

    def __repr__(self) -> str:
        return f"Card('{self.name}', {self.headline})"

    __str__ = __repr__

    @property
    def energies(self) -> str:
        """The range of incident energies in words."""
        if self.energy_range_mev is None:
            return "energies unknown"
        low, high = (format_energy(energy) for energy in self.energy_range_mev)
        return low if low == high else f"{low} … {high}"

    @property
    def headline(self) -> str:
        """Particle, detector, geometry and ranges in one line."""
        where = "" if self.detector == "unknown" else f" in {self.detector}"
        particle = "" if self.particle == "unknown" else f"{self.particle}{where}, "
        ranges = "".join(f", {name} {span}" for name, span in self.conditions.items())
        return f"{particle}{self.energies}{ranges}; {self.geometry}: {self.voxels} voxels in {self.layers} layers"

    def lines(self) -> Iterator[tuple[str, str]]:
        """The card as (what, text), for a terminal."""
        if self.description:
            yield "description", self.description
        yield "particle", self.particle
        yield "detector", self.detector
        yield "geometry", f"{self.geometry}: {self.voxels} voxels in {self.layers} layers"
        yield "energies", self.energies
        yield from self.conditions.items()
        for key, text in self.training.items():
            more = " (without those held out for validation)" if key == "showers" else ""
            yield key if key == "recipe" else f"training {key}", text + more
        yield "parameters", f"{self.parameters:,}"
        yield "weights", f"{self.weights}, sha256 {self.weights_sha256}"
        yield "licence", self.licence or "not stated"
        yield "citation", self.citation or "not stated"
        if self.evaluation is None:
            yield "evaluation", "none"
            return
        generated, reference = self.evaluation.showers
        compared = f"{generated:,} showers against {reference:,} of {self.evaluation.reference}"
        yield "evaluation", compared + (f" ({self.evaluation.command})" if self.evaluation.command else "")

    def numbers(self) -> Iterator[tuple[str, str, str, str]]:
        """Label, value, baseline and pull of each number, as text."""
        for number in self.evaluation.numbers if self.evaluation else ():
            baseline = "" if number.baseline is None else with_error(number.baseline, number.baseline_error)
            yield number.label, with_error(number.value, number.error), baseline, pull(number.pull)
