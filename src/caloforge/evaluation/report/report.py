"""`Report`: what `evaluate` returns, and what it reads again from a folder.

report["separation_power", "ec_eta_1"].estimate.value
report["separation_power", "ec_eta_1", "512 MeV"].pull
report.section("wasserstein")
report.save("report"); Report.load("report")
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caloforge.errors import CaloforgeError, CannotWrite, missing_extra
from caloforge.evaluation.report.page import notebook, render
from caloforge.evaluation.report.records import Records
from caloforge.evaluation.report.saving import metric_to_plain, read_json, records_from, write_records
from caloforge.evaluation.report.tables import flat, pairs, write_csv
from caloforge.evaluation.report.verdict import Verdict, verdict
from caloforge.files import atomic_folder

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes


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
        """Write report.json, charts.json, CSV tables, figures and the page; an existing folder is replaced at the end.

        If a figure cannot be drawn, all but figures and page is written before the error is raised: the numbers may
        have taken hours.

        Returns:
            the folder.

        Raises:
            CaloforgeError: the folder cannot be written.
        """
        failed: Exception | None = None
        with atomic_folder(folder) as partial:
            write_records(self, self.verdict.plain(), partial)
            (partial / "tables").mkdir()
            for name in self.sections:
                if found := self.section(name):
                    write_csv(flat(found), partial / "tables" / f"{name}.csv")
            for chart in self.charts:
                if chart.kind == "matrix":
                    write_csv(pairs(chart), partial / "tables" / f"{chart.name}.csv")
            try:
                render(self, partial)
            except CannotWrite:
                raise
            except Exception as error:
                shutil.rmtree(partial / "figures", ignore_errors=True)
                failed = error
        if failed is not None:
            raise failed
        return Path(folder)

    @property
    def verdict(self) -> Verdict:
        """How good the generated showers are, where they fail, and by how much."""
        return verdict(self)

    def plot(self, name: str, ax: Axes | None = None) -> Axes:
        """Draw an observable's histogram, a chart, or a figure of the page, as "ec_eta_1", "roc_caloman", "centres".

        Args:
            name: of the observable, the chart or the figure (see `figures`).
            ax: axes of your own to draw on; None makes a figure, which a notebook shows.

        Returns:
            the axes; where there are several panels, these are their `child_axes`.

        Raises:
            CaloforgeError: there is none of this name.
        """
        from caloforge.evaluation.report.figures import plot

        return plot(self, name, ax)

    def figures(self) -> list[str]:
        """Names of everything that `plot` draws: figures of the page, then single charts and observables."""
        from caloforge.evaluation.report.figures import figures

        charts = [chart.name for chart in self.charts]
        return list(dict.fromkeys([*(figure.name for figure in figures(self)), *charts, *self.hists]))

    def __repr__(self) -> str:
        samples = f"{self.about.generated.n:,} generated and {self.about.reference.n:,} reference showers"
        return f"Report({samples}, {len(self.metrics)} metrics: {self.verdict.headline.rstrip('.')})"

    def _repr_html_(self) -> str:
        return notebook(self)

    def to_dicts(self, section: str | None = None) -> list[dict[str, Any]]:
        """The metrics as plain mappings: section, name, at, label, value, error, baseline, … pull; what is not known is
        left out. Of a single section with its extras.

        Raises:
            CaloforgeError: there is no such section.
        """
        if section is not None and section not in self.sections:
            raise CaloforgeError(f"the report has no section '{section}'; it has {', '.join(self.sections)}")
        rows = []
        for metric in self.metrics if section is None else self.section(section):
            row = {"at": "", **metric_to_plain(metric)}
            extra = row.pop("extra", {})
            rows.append({**row, **extra} if section is not None else row)
        return rows

    def to_frame(self, section: str | None = None) -> pandas.DataFrame:
        """The same as a data frame, indexed by section, name and at.

        Raises:
            CaloforgeError: pandas is not installed, or there is no such section.
        """
        rows = self.to_dicts(section)
        try:
            import pandas
        except ImportError:
            raise missing_extra("pandas", "notebook", "a data frame") from None
        index = ["section", "name", "at"]
        if not rows:
            return pandas.DataFrame(columns=[*index, "value"]).set_index(index)
        return pandas.DataFrame(rows).set_index(index)
