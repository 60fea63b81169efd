"""Can the samples be distinguished by two-sample tests of known false-positive rate, and by which?"""

from __future__ import annotations

from collections.abc import Iterator

from caloforge.evaluation.metrics.two_sample import COMBINED, p_in_words
from caloforge.evaluation.report.records import BAD, Records
from caloforge.evaluation.report.verdict.point import Point
from caloforge.formatting import number

LARGEST = 0.01
"""p-value of all tests together up to which the samples differ."""


def two_sample(records: Records) -> Iterator[Point]:
    """The p-value of all tests together, which test sees most, and where the worst observable is."""
    section = {metric.name: metric for metric in records.section("two_sample", at="")}
    together = section.pop(COMBINED, None)
    if together is None or together.estimate is None:
        return
    p, permutations = together.estimate.value, together.extra.get("permutations")
    words = p_in_words(p, permutations) if isinstance(permutations, int) else f"p = {p:.2g}"
    found = [f"{words} for {len(section)} tests together"]
    if p > LARGEST:
        yield Point("good", "two_sample", "Two-sample tests", tuple(found))
        return
    most = max(section.values(), key=lambda metric: metric.pull or 0.0)
    found.append(f"most by {most.label} ({number(most.pull, 2)} σ)")
    worst = section.get("worst_ks")
    if worst is not None and isinstance(at := worst.extra.get("p"), float) and at <= LARGEST:
        name, energy = (str(worst.extra.get(key)) for key in ("worst", "worst_at"))
        found.append(f"worst for {records.observable_in_words(name)} at {energy}")
    level = "bad" if (most.pull or 0.0) > BAD else "note"
    yield Point(level, "two_sample", "Two-sample tests", tuple(found), most.pull or 0.0)
