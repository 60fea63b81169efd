"""One sentence of a verdict, and from which pull on a metric speaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NOTE, BAD = 3.0, 5.0
"""Pulls from which a metric is noted, and from which it counts as bad."""

CAUSES = ("empty", "always_zero_voxels", "duplicates", "response")
"""Metrics that explain others, and so stand before them."""

LEVELS = ("bad", "note", "good")

MOST = 6
"""Layers spelled out before the rest is counted."""


@dataclass(frozen=True)
class Point:
    """One sentence of the verdict; `size` is the pull behind it."""

    level: str
    metric: str
    text: str
    size: float = 0.0

    @property
    def rank(self) -> tuple[int, int, float]:
        cause = CAUSES.index(self.metric) if self.metric in CAUSES else len(CAUSES)
        return LEVELS.index(self.level), cause, -self.size

    def plain(self) -> dict[str, str]:
        return {"level": self.level, "metric": self.metric, "text": self.text}


def level_of(pull: float) -> str | None:
    """What a metric that far above its floor is: bad, a note, or nothing to speak of."""
    return "bad" if pull > BAD else "note" if pull > NOTE else None


def is_dark(data: dict[str, Any], side: str) -> bool:
    """Whether no shower of a side, `generated` or `reference`, has energy."""
    sample = data.get(side, {})
    return "without_energy" in sample and sample["without_energy"] == sample["n"]
