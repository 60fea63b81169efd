"""Heat maps of numbers in parts: which cells are worse, and by how many standard errors."""

from __future__ import annotations

from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Metric, Section
from caloforge.evaluation.report.about import About, BaselineSample, Sample
from caloforge.evaluation.report.figures import figures
from caloforge.evaluation.report.heat_maps import heat_maps
from caloforge.evaluation.report.records import Records


def number(name: str, at: str, pull: float, by: str = "") -> Metric:
    extra: dict[str, float | str | None] = {"by": by} if by else {}
    return Metric("mine", name, f"my {name}", Estimate(1.0 + pull, 1.0, 1.0, 0.0), at=at, extra=extra)


def records(metrics: list[Metric], direction: str = "lower") -> Records:
    about = About(Sample("g.h5", 9, 0), Sample("r.h5", 9, 0), None, "own", 0.5, BaselineSample(n=77))
    return Records(about, metrics, sections={"mine": Section("mine", "My numbers", direction=direction)})  # type: ignore[arg-type]


def test_cells_hold_the_pull_towards_worse() -> None:
    metrics = [number(name, at, 2.0 * k) for k, name in enumerate("abc") for at in ("1 GeV", "2 GeV")][:-1]
    [(name, section, title, data)] = heat_maps(records(metrics))
    assert (name, section, title) == ("mine_map", "mine", "My numbers, at each incident energy")
    assert data["rows"] == ["my a", "my b", "my c"]
    assert data["columns"] == ["1 GeV", "2 GeV"]
    assert data["values"] == [[0.0, 0.0], [2.0, 2.0], [4.0, None]]
    assert data["texts"][2] == ["+4.0", ""]
    [(*_, data)] = heat_maps(records(metrics, "higher"))
    assert data["values"][1] == [-2.0, -2.0]


def test_conditions_have_maps_of_their_own() -> None:
    metrics = [number(name, at, 1.0, "theta") for name in "abc" for at in ("0 … 10 deg", "10 … 20 deg")]
    names = [figure.name for figure in figures(records(metrics))]
    assert names == ["mine_map_theta"]
    [figure] = figures(records(metrics))
    assert len(figure.draw().child_axes) == 2


def test_few_numbers_have_none() -> None:
    assert not list(heat_maps(records([number("a", "1 GeV", 1.0), number("a", "2 GeV", 1.0)])))
    assert not list(heat_maps(records([number(name, "1 GeV", 1.0) for name in "abcd"])))
