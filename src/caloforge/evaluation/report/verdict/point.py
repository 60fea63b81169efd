"""One finding of a verdict: what is wrong, where, and by how much."""

from __future__ import annotations

from dataclasses import dataclass

LEVELS = ("bad", "note", "good")

ORDER = (
    "empty",
    "empty_voxels",
    "duplicates",
    "response",
    "observables",
    "correlations",
    "prdc",
    "auc",
    "two_sample",
    "weights",
    "fpd",
    "kpd",
)
"""Topics, causes before what follows from them; others come after these."""

MOST = 6
"""Layers spelled out one by one; with more, each kind of observable is summed up over the layers."""


@dataclass(frozen=True)
class Point:
    """A finding.

    Args:
        level: bad, note or good.
        topic: what it is about (see `ORDER`), else a section's name.
        place: where, as "Layer 13".
        findings: what and by how much, the most important first, as ("14 % too narrow in phi",).
        size: of the effect; orders points of one topic.
    """

    level: str
    topic: str
    place: str
    findings: tuple[str, ...]
    size: float = 0.0

    @property
    def rank(self) -> tuple[int, int, float]:
        """What points are sorted by."""
        topic = ORDER.index(self.topic) if self.topic in ORDER else len(ORDER)
        return LEVELS.index(self.level), topic, -self.size

    @property
    def text(self) -> str:
        """The whole finding."""
        return f"{self.place}: {', '.join(self.findings)}"

    @property
    def short(self) -> str:
        """Its most important part."""
        return f"{self.place}: {self.findings[0]}"
