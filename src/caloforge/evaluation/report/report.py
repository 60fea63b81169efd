"""`Report`: what `evaluate` returns, and what it reads again from a folder.

report["separation_power", "ec_eta_1"].estimate.value
report["separation_power", "ec_eta_1", "512 MeV"].pull
report.section("wasserstein")
report.save("report"); Report.load("report")
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from caloforge.errors import CaloforgeError, missing_extra
from caloforge.evaluation.report.page import notebook, render
from caloforge.evaluation.report.records import Records
from caloforge.evaluation.report.saving import metric_to_plain, read_json, records_from, write_records
from caloforge.evaluation.report.tables import flat, pairs, write_csv
from caloforge.evaluation.report.verdict import Verdict, verdict
from caloforge.files import atomic_folder

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(repr=False)
class Report(Records):
    """Every number of an evaluation with the data of its figures (see `Records`).

    >>> from caloforge import evaluate, sample
    >>> report = evaluate(sample("test", stop=200), sample("train", stop=200), quick=True)
    >>> report["separation_power", "n_hits"].pull < 5
    True
    """

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Report:
        """Read a report from the folder that `save` wrote, or from its `report.json`, of any format.

        Raises:
            CaloforgeError: it is not a report, or a damaged one.
        """
        from caloforge.evaluation.report.legacy import is_format_1, records_from_format_1

        file, document = read_json(path)
        if is_format_1(document):
            records = records_from_format_1(document, str(file))
        else:
            charts_file = file.with_name("charts.json")
            charts = read_json(charts_file)[1] if charts_file.exists() else {}
            records = records_from(document, charts, str(file))
        return cls(records.about, records.metrics, records.hists, records.charts, records.sections)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write report.json, charts.json, CSV tables, then figures and the page; an existing folder is replaced.

        Returns:
            the folder.

        Raises:
            CaloforgeError: the folder cannot be written.
        """
        with atomic_folder(folder) as partial:
            write_records(self, self.verdict.plain(), partial)
            (partial / "tables").mkdir()
            for name in self.sections:
                if found := self.section(name):
                    write_csv(flat(found), partial / "tables" / f"{name}.csv")
            for chart in self.charts:
                if chart.kind == "matrix":
                    write_csv(pairs(chart), partial / "tables" / f"{chart.name}.csv")
        render(self, Path(folder))
        return Path(folder)

    @property
    def verdict(self) -> Verdict:
        """How good the generated showers are, where they fail, and by how much."""
        return verdict(self)

    def plot(self, name: str, ax: Axes | None = None) -> Figure:
        """Draw an observable's histogram, a chart, or a figure of the page, as "ec_eta_1", "roc_caloman", "centres".

        Args:
            name: of the observable, the chart or the figure.
            ax: axes of your own, for figures of one panel; None makes a figure.

        Raises:
            CaloforgeError: there is none of this name, or it has several panels and `ax` is given.
        """
        from caloforge.evaluation.report.figures import plot

        return plot(self, name, ax)

    def __repr__(self) -> str:
        samples = f"{self.about.generated.n:,} generated and {self.about.reference.n:,} reference showers"
        return f"Report({samples}, {len(self.metrics)} metrics: {self.verdict.headline.rstrip('.')})"

    def _repr_html_(self) -> str:
        return notebook(self)

    def to_frame(self, section: str | None = None) -> pandas.DataFrame:
        """The metrics as a data frame, indexed by section, name and at; with their extras for a single section.

        Raises:
            CaloforgeError: pandas is not installed, or there is no such section.
        """
        if section is not None and section not in self.sections:
            raise CaloforgeError(f"the report has no section '{section}'; it has {', '.join(self.sections)}")
        try:
            import pandas
        except ImportError:
            raise missing_extra("pandas", "notebook", "a data frame") from None
        rows = []
        for metric in self.metrics if section is None else self.section(section):
            row = {"at": "", **metric_to_plain(metric)}
            extra = row.pop("extra", {})
            rows.append({**row, **extra} if section is not None else row)
        index = ["section", "name", "at"]
        if not rows:
            return pandas.DataFrame(columns=[*index, "value"]).set_index(index)
        return pandas.DataFrame(rows).set_index(index)
