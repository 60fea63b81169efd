"""`Records`: what an evaluation found, as records that page, tables, terminal, comparison and verdict read."""

from __future__ import annotations

import difflib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hist import Hist

from caloforge.errors import CaloforgeError
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Chart, Metric, Section
from caloforge.evaluation.report.about import About
from caloforge.observables import find

NOTE, BAD = 3.0, 5.0
"""Pulls towards worse values from which a metric is noted, and from which it is bad."""


def level_of(excess: float | None) -> str:
    """`good` up to 3 standard errors worse than the baseline, `note` up to 5, else `bad`; empty without a pull."""
    if excess is None:
        return ""
    return "bad" if excess > BAD else "note" if excess > NOTE else "good"


@dataclass(frozen=True)
class Judged:
    """A metric on all showers with its estimate, and how many standard errors it is worse than its baseline."""

    metric: Metric
    estimate: Estimate
    excess: float

    @property
    def level(self) -> str:
        """good, note or bad."""
        return level_of(self.excess)


@dataclass
class Records:
    """The numbers of an evaluation and the data of its figures.

    Args:
        about: what was compared.
        metrics: every number; (section, name, at) is unique.
        hists: observable → histogram of both samples: axis 0 a `StrCategory` of "generated" and "reference", axis 1
            the observable, with what lies outside in its flow bins. `hist.metadata` as in `caloforge.plots.charts`.
        charts: data of the other figures.
        sections: name → section, in the order in which they are listed.
    """

    about: About
    metrics: list[Metric]
    hists: dict[str, Hist[Any]] = field(default_factory=dict)
    charts: list[Chart] = field(default_factory=list)
    sections: dict[str, Section] = field(default_factory=dict)

    def __getitem__(self, key: tuple[str, str] | tuple[str, str, str]) -> Metric:
        """The metric of (section, name) on all showers, or of (section, name, at).

        Raises:
            KeyError: there is none; the message names similar ones.
        """
        if isinstance(key, str) or len(key) not in (2, 3):
            raise KeyError(f"give (section, name) or (section, name, at), not {key!r}")
        section, name, at = (*key, "")[:3]
        wanted = (section, name, at)
        for metric in self.metrics:
            if metric.key == wanted:
                return metric
        near = difflib.get_close_matches(" ".join(wanted), [" ".join(m.key) for m in self.metrics])
        hint = f"; similar: {', '.join(near)}" if near else f"; sections are {', '.join(self.sections)}"
        raise KeyError(f"no metric {wanted}{hint}")

    def section(self, name: str, at: str | None = None) -> list[Metric]:
        """The metrics of a section; of all showers only with `at=""`, at one incident energy with `at="512 MeV"`."""
        return [m for m in self.metrics if m.section == name and (at is None or m.at == at)]

    def observable_in_words(self, name: str) -> str:
        """As "centre of energy in eta of layer 1" for `ec_eta_1`; a name that is not an observable's as it is."""
        labels = (m.label for m in self.metrics if m.name == name and m.section in ("separation_power", "wasserstein"))
        label = next(labels, "")
        if not label and self.about.geometry is not None:
            with suppress(CaloforgeError):
                label = find(self.about.geometry, name).label
        return label.replace(", layer ", " of layer ") or name

    def direction(self, metric: Metric) -> str:
        """Which values of a metric are better: lower, higher or nearer (to the baseline or expected value)."""
        section = self.sections.get(metric.section)
        return metric.direction or ("lower" if section is None else section.direction)

    def excess(self, metric: Metric) -> float | None:
        """The pull towards worse values: positive where the metric is worse than its baseline. None without a pull."""
        pull = metric.pull
        if pull is None:
            return None
        return {"lower": pull, "higher": -pull}.get(self.direction(metric), abs(pull))

    def judged(self, name: str) -> list[Judged]:
        """The numbers of a section that have a pull, the worst first."""
        found = []
        for metric in self.section(name, at=""):
            excess = self.excess(metric)
            if metric.estimate is not None and excess is not None:
                found.append(Judged(metric, metric.estimate, excess))
        return sorted(found, key=lambda each: -each.excess)

    def worse(self, name: str) -> list[Judged]:
        """Those that are not good."""
        return [each for each in self.judged(name) if each.level != "good"]
