"""One Markdown table of several reports of `caloforge evaluate`, a column per report (docs/evaluation.md).

    python benchmarks/judged.py flagship=fl-report CaloFlow=cf-report …

Values are those at the baseline's sample size. The last column is the baseline of the first report, Geant4 against
Geant4. Under the table are the verdicts' headlines and main deviations.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from caloforge.formatting import with_error

Metrics = list[dict[str, Any]]


def found(metrics: Metrics, section: str, name: str) -> dict[str, Any]:
    """The number of a section for all energies together."""
    return next(m for m in metrics if m["section"] == section and m["name"] == name and not m.get("at"))


def at_energies(metrics: Metrics, section: str, name: str) -> Metrics:
    return [m for m in metrics if m["section"] == section and m["name"] == name and m.get("at")]


def number(section: str, name: str, scale: float = 1) -> Callable[[Metrics, str], str]:
    """Writes a number of a section with its error, or its baseline's."""

    def written(metrics: Metrics, which: str) -> str:
        metric = found(metrics, section, name)
        error = metric.get("error" if which == "value" else f"{which}_error")
        value = metric.get("value_at_n", metric["value"]) if which == "value" else metric.get(which)
        if value is None:
            return ""
        return with_error(scale * value, None if error is None else scale * error)

    return written


def worst_auc(metrics: Metrics, which: str) -> str:
    """The AUC at the incident energy where the generated sample has the largest."""
    worst = max(at_energies(metrics, "auc", "trees"), key=lambda m: m["value"])
    return f"{worst[which]:.3f} at {worst['at']}"


def worst_response(name: str) -> Callable[[Metrics, str], str]:
    """The difference of the response at the incident energy where it is most significant, in per cent."""

    def written(metrics: Metrics, which: str) -> str:
        worst = max(at_energies(metrics, "response", name), key=lambda m: abs(m["pull"]))
        return f"{100 * worst['value']:+.2f} ± {100 * worst['error']:.2f} at {worst['at']}" if which == "value" else ""

    return written


def least_worth(metrics: Metrics, which: str) -> str:
    """The observable, over all energies, with the least worth."""
    all_energies = [m for m in metrics if m["section"] == "worth_of_observables" and not m.get("at")]
    worst = min(all_energies, key=lambda m: m["value"])
    return f"{worst['value']:.0f} ({worst['label']})" if which == "value" else ""


def rejected(metrics: Metrics, which: str) -> str:
    """How many of the seven two-sample tests have p ≤ 0.05; which of them do not."""
    tests = [m for m in metrics if m["section"] == "two_sample" and m["name"] != "combined"]
    missing = [m["name"] for m in tests if m["extra"]["p"] > 0.05]
    return f"{len(tests) - len(missing)} of {len(tests)}" if which == "value" else ""


ROWS: tuple[tuple[str, Callable[[Metrics, str], str]], ...] = (
    ("**1** AUC of the trees", number("auc", "trees")),
    ("at the worst energy", worst_auc),
    ("**2** worth in Geant4 showers, by KS", number("worth", "kolmogorov_smirnov")),
    ("by W₁", number("worth", "wasserstein")),
    ("least, of one observable", least_worth),
    ("**3** two-sample tests with p ≤ 0.05", rejected),
    ("sliced Wasserstein distance × 10³", number("two_sample", "sliced_wasserstein", 1e3)),
    ("MMD × 10⁶", number("two_sample", "mmd", 1e6)),
    ("likelihood ratio (NPLM)", number("two_sample", "likelihood_ratio")),
    ("**4** FPD × 10³, plain", number("fpd", "fpd")),
    ("trimmed", number("fpd", "fpd_trimmed")),
    ("**5** effective sample size per shower", number("weights", "ess_trees")),
    ("expected calibration error", number("weights", "calibration_trees")),
    ("three times too frequent, %", number("weights", "tail_low_trees", 100)),
    ("three times too rare, %", number("weights", "tail_high_trees", 100)),
    ("**6** mean response at the worst energy, %", worst_response("mean")),
    ("its spread, %", worst_response("spread")),
    ("mean separation power", number("mean_separation_power", "all")),
    ("precision", number("prdc", "precision")),
    ("coverage", number("prdc", "coverage")),
)


def table(reports: Sequence[tuple[str, Metrics]]) -> Iterable[str]:
    """Lines of the Markdown table."""
    yield "| " + " | ".join(["", *(title for title, _ in reports), "baseline"]) + " |"
    yield "|---" * (len(reports) + 2) + "|"
    for title, write in ROWS:
        cells = [write(metrics, "value") for _, metrics in reports] + [write(reports[0][1], "baseline")]
        yield f"| {title} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="+", metavar="TITLE=FOLDER")
    titled = [each.split("=", 1) for each in parser.parse_args().reports]
    read = [(title, json.loads((Path(folder) / "report.json").read_text())) for title, folder in titled]
    print("\n".join(table([(title, report["metrics"]) for title, report in read])))
    for title, report in read:
        print(f"\n{title}: {report['verdict']['headline']} {report['verdict']['where']}")


if __name__ == "__main__":
    main()
