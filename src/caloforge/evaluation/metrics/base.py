"""`Metric`, `Chart` and the registry of metrics: what one file in this package (or outside it) has to provide.

A metric is a function of the two samples that yields `Metric`s, and `Chart`s or histograms for its figures:

    @metric(Section("mean_ratio", "Ratio of means", "Generated over reference, minus 1.", direction="nearer"))
    def mean_ratio(samples: SamplePair) -> Iterator[Found]:
        ...
        yield Metric("mean_ratio", "n_hits", "number of hits", Estimate(value, error, expected=0.0))

Report, page, tables, terminal and comparison read these records and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from hist import Hist

from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.samples.pair import SamplePair

Extra: TypeAlias = "dict[str, float | str | None]"
"""Further plain values of a metric."""

Direction = Literal["lower", "higher", "nearer"]
"""Which values are better: lower (distances), higher (precision, recall), nearer to the baseline or expected value."""


@dataclass(frozen=True)
class Metric:
    """One number of a report.

    >>> Metric("separation_power", "n_hits", "number of hits", Estimate(0.02, 0.001, 0.01, 0.0)).key
    ('separation_power', 'n_hits', '')
    >>> print(Metric("wasserstein", "mean_x", "mean x", Estimate(2.1, 0.3), unit="mm", at="1 GeV"))
    mean x at 1 GeV [mm]: 2.10 ± 0.30

    Args:
        section: the section it is listed in (`Section.name`).
        name: within the section, as `ec_eta_1`; (section, name, at) identifies a metric.
        label: in words, as "centre of energy in eta, layer 1".
        estimate: the number; None where it is not available, with the `reason`.
        unit: of the value, empty for pure numbers.
        reason: why the number is not available.
        at: the part of the samples it was taken on, as "512 MeV" (one incident energy); empty for all showers.
        extra: further plain values that belong to it, as the fraction outside the histogram.
        direction: which values are better, where it differs from the section's.
    """

    section: str
    name: str
    label: str
    estimate: Estimate | None
    unit: str = ""
    reason: str = ""
    at: str = ""
    extra: Mapping[str, float | str | None] = field(default_factory=dict)
    direction: Direction | None = None

    def __repr__(self) -> str:
        return f"Metric({self.section}, {self.name}: {self})"

    def __str__(self) -> str:
        where = f" at {self.at}" if self.at else ""
        unit = f" [{self.unit}]" if self.unit else ""
        return (
            f"{self.label}{where}{unit}: {self.reason or 'not available' if self.estimate is None else self.estimate}"
        )

    @property
    def key(self) -> tuple[str, str, str]:
        """(section, name, at)."""
        return self.section, self.name, self.at

    @property
    def pull(self) -> float | None:
        """The estimate's pull, None without one."""
        return None if self.estimate is None else self.estimate.pull


@dataclass(frozen=True)
class Chart:
    """The data of a figure, drawn by the function that `plots` registers under `kind`.

    >>> matrix = {"names": ["a", "b"], "generated": [[1, 0], [0, 1]], "reference": [[1, 0], [0, 1]]}
    >>> Chart("mine", "matrix", "correlations", "My matrix", "The same in both.", matrix).kind
    'matrix'

    Args:
        name: file stem, unique in a report, as `correlations_layers`.
        kind: which function draws it, as `matrix`.
        section: section of the page that it belongs to.
        title: of the figure.
        caption: what to look for.
        data: arrays as nested lists or numpy arrays, numbers and text; JSON can hold it.
    """

    name: str
    kind: str
    section: str
    title: str
    caption: str
    data: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Chart('{self.name}', {self.title or 'untitled'}, kind {self.kind})"


@dataclass(frozen=True)
class Section:
    """A section of the report: a table, and how its numbers are to be read.

    >>> Section("mean_hits", "Mean number of hits", direction="nearer").page
    'distances'

    Args:
        name: key of its metrics.
        title: heading.
        note: what the numbers are and how they are defined, one or two sentences.
        direction: which values are better.
        extra: keys of `Metric.extra` that the page's table shows, with their column titles; with "%" in its title a
            number is shown as a percentage.
        page: part of the page it appears in (`separation`, `distances`, `classifiers`, `correlations`, `further`).
    """

    name: str
    title: str
    note: str = ""
    direction: Direction = "lower"
    extra: Mapping[str, str] = field(default_factory=dict)
    page: str = "distances"

    def __repr__(self) -> str:
        better = "nearer to the baseline" if self.direction == "nearer" else self.direction
        return f"Section('{self.name}', {self.title}, better: {better})"

    def __post_init__(self) -> None:
        if self.direction not in get_args(Direction):
            raise ValueError(f"direction '{self.direction}' of section '{self.name}' is not lower, higher or nearer")


Found: TypeAlias = "Metric | Chart | Hist[Any]"
"""What a metric yields: numbers, data of figures, and histograms of observables (see `caloforge.plots.charts`)."""

MetricFunction = Callable[[SamplePair], Iterable[Found]]


@dataclass(frozen=True)
class RegisteredMetric:
    """A metric function with the sections that it fills; `quick` ones are part of `--quick`."""

    name: str
    function: MetricFunction
    sections: tuple[Section, ...]
    quick: bool
    title: str


REGISTRY: dict[str, RegisteredMetric] = {}
"""Name → metric, in the order in which they are computed and listed."""


def metric(*sections: Section, quick: bool = False, title: str = "") -> Callable[[MetricFunction], MetricFunction]:
    """Register a function (samples) → metrics and charts under its own name.

    >>> @metric(Section("nothing", "Nothing"))
    ... def nothing(samples: object) -> list[Metric]:
    ...     return [Metric("nothing", "zero", "zero", Estimate(0.0, 1.0, expected=0.0))]
    >>> REGISTRY.pop("nothing").sections[0].title
    'Nothing'

    Args:
        sections: what it fills.
        quick: whether `evaluate --quick` computes it too.
        title: what progress bars call it; by default the first section's title.

    Raises:
        ValueError: the name or one of the sections is taken by another function.
    """

    def register(function: MetricFunction) -> MetricFunction:
        name = function.__name__
        known = {section.name for entry in REGISTRY.values() for section in entry.sections}
        taken = known & {section.name for section in sections}
        if name in REGISTRY or taken:
            raise ValueError(f"metric '{name}' or its sections {sorted(taken)} exist already; choose another name")
        REGISTRY[name] = RegisteredMetric(name, function, sections, quick, title or sections[0].title)
        return function

    return register
