"""Which kinds of shower are generated far too often or too seldom: tails of a classifier's weights, in words."""

from __future__ import annotations

from collections.abc import Iterator

from caloforge.evaluation.report.records import Records
from caloforge.evaluation.report.verdict.point import Point
from caloforge.formatting import share

WORDS = {
    "low": "{} of the generated showers are of a kind that is three times too frequent",
    "high": "{} of the reference showers are of a kind that is three times too rare",
}


def weights(records: Records) -> Iterator[Point]:
    """The tails that hold more showers than those of the baseline, each with its largest cluster."""
    for each in records.worse("weights"):
        side = each.metric.name.removeprefix("tail_").partition("_")[0]
        if not each.metric.name.startswith("tail_") or side not in WORDS:
            continue
        test = each.metric.name.removeprefix(f"tail_{side}_")
        level = f" (baseline {share(each.estimate.baseline)})" if each.estimate.baseline is not None else ""
        found = [WORDS[side].format(share(each.estimate.value)) + level]
        for cluster in records.section("weight_tails", at=""):
            if cluster.name == f"{side}_1_{test}" and cluster.estimate is not None:
                at, what = cluster.extra.get("energies"), cluster.extra.get("observables")
                where = "at all energies" if at == "all" else f"mostly at {at}"
                part = "" if cluster.estimate.value == 1 else f"{share(cluster.estimate.value)} of them "
                found.append(f"{part}{where}: {what}")
        yield Point(each.level, "weights", "Weights", tuple(found), each.excess)
