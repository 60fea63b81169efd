"""`About`: what an evaluation compared, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from caloforge.formatting import Plain
from caloforge.geometry import Geometry
from caloforge.units import count

SPLIT = "split"
"""`BaselineSample.source` where the reference is split in two."""


@dataclass(frozen=True)
class Sample:
    """One of the two samples.

    Args:
        path: the file; "showers" for showers in memory.
        n: showers compared.
        without_energy: how many of them have no energy above the readout threshold.
        attributes: of the file. Values that JSON cannot hold are kept as text.
        copies: how many of its showers are in the reference too.
    """

    path: str
    n: int
    without_energy: int = 0
    attributes: Mapping[str, Plain] = field(default_factory=dict)
    copies: int = 0

    def __repr__(self) -> str:
        return f"Sample('{self.name}', {count(self.n, 'shower')})"

    @property
    def name(self) -> str:
        """File name with its folder, which tells one `train.h5` from another."""
        return "/".join(PurePath(self.path).parts[-2:]).lstrip("/")

    @property
    def is_empty(self) -> bool:
        """Whether no shower has energy above the readout threshold."""
        return self.without_energy == self.n


@dataclass(frozen=True)
class BaselineSample:
    """What the baselines (Geant4 vs Geant4) were taken from.

    Args:
        source: path of the independent reference file, or `SPLIT`.
        n: showers per sample in each baseline.
        stratified: whether subsets follow the incident-energy spectrum exactly.
    """

    source: str = SPLIT
    n: int = 0
    stratified: bool = False

    @property
    def is_split(self) -> bool:
        """Whether the reference was split in two."""
        return self.source == SPLIT


@dataclass(frozen=True)
class Spectrum:
    """How the incident-energy spectra of the two samples agree.

    Args:
        matched: whether showers were left out until they did.
        distance: largest distance of the two cumulative distributions (Kolmogorov–Smirnov), in [0, 1].
        probability: of a distance at least as large between samples of one spectrum.
        kept: showers that were compared, by sample (`generated`, `reference`, `baseline`).
    """

    matched: bool = False
    distance: float | None = None
    probability: float | None = None
    kept: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class About:
    """What was compared.

    Args:
        generated, reference: the samples.
        geometry: of both; None for a report of format 1 whose geometry is not a built-in one.
        geometry_name: of the geometry.
        threshold_mev: readout threshold in MeV, below which voxels count as zero.
        baseline: where the baselines come from.
        spectrum: of incident energies.
        seed: of everything random.
        command: how the evaluation was called, empty from Python.
        created: ISO 8601, UTC.
        caloforge_version: that computed the numbers.
        remark: what the reader must know of the samples: shared showers, a geometry not the files' own, doubtful units.
        timing: seconds by step.
    """

    generated: Sample
    reference: Sample
    geometry: Geometry | None
    geometry_name: str
    threshold_mev: float
    baseline: BaselineSample = BaselineSample()
    spectrum: Spectrum = Spectrum()
    seed: int = 1
    command: str = ""
    created: str = ""
    caloforge_version: str = ""
    remark: str = ""
    timing: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"About({self.generated!r} against {self.reference!r}, '{self.geometry_name}')"
