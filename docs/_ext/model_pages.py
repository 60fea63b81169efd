"""Directives for numbers that are written in one place only.

    ```{result-rows} ../results.md All models at equal sample size
    Geant4 (baseline)
    CaloMan
    ```

repeats the rows that begin with these words from the first table below that heading of another page.

    ```{short-training} vae
    ```

shows what `benchmarks/short_trainings.py` measured, and `benchmark-scripts` lists the scripts in benchmarks/.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from result_tables import rows_below

ROOT = Path(__file__).parents[2]
SHORT = ROOT / "docs" / "models" / "short.json"
COMMAND = "python benchmarks/short_trainings.py"


class ResultRows(SphinxDirective):
    """Rows of another page's table."""

    required_arguments = 2
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        _, file = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(file)
        try:
            rows = rows_below(Path(file).read_text(encoding="utf-8"), self.arguments[1], list(self.content))
        except ValueError as error:
            raise self.error(f"{self.arguments[0]}: {error}") from None
        return self.parse_text_to_nodes("\n".join(rows))


def _number(value: float, error: float | None) -> str:
    """As 0.0123 ± 0.0004: two digits of the error, or four of the value."""
    if not error:
        return f"{value:.3g}"
    decimals = max(0, -int(f"{error:.0e}".split("e")[1]) + 1)
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def short_table(result: dict[str, Any]) -> list[str]:
    """Markdown of one short training."""
    parameters = f"{result['parameters']:,}".replace(",", " ")
    lines = ["| | generated | baseline |", "|---|---|---|"]
    for label, (value, error, baseline, baseline_error) in result["metrics"].items():
        lines.append(f"| {label} | {_number(value, error)} | {_number(baseline, baseline_error)} |")
    return [
        f"`{COMMAND}`: `{result['recipe']}` for {result['epochs']} epochs on the 8 000 Geant4 photons in the package, "
        f"{result['training_cpu_seconds']} s of CPU time; 2 000 showers generated, compared with 2 000 others. "
        "It shows what minutes give, not what the model can reach.",
        "",
        *lines,
        "",
        f"{parameters} parameters; {result['cpu_ms_per_shower']:.2g} ms of CPU time per shower in one batch.",
    ]


class ShortTraining(SphinxDirective):
    """The numbers of one small recipe."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(SHORT))
        results = json.loads(SHORT.read_text(encoding="utf-8"))
        kind = self.arguments[0]
        lines = short_table(results[kind]) if kind in results else [f"Not measured; `{COMMAND} {kind}` measures it."]
        return self.parse_text_to_nodes("\n".join(lines))


class BenchmarkScripts(SphinxDirective):
    """Each script with its docstring."""

    def run(self) -> list[nodes.Node]:
        lines: list[str] = []
        for script in sorted((ROOT / "benchmarks").glob("*.py")):
            self.env.note_dependency(str(script))
            text = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
            title, _, rest = text.partition("\n")
            lines += [f"**`{script.name}`**: {title}", "", "```text", rest.strip("\n") or title, "```", ""]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("result-rows", ResultRows)
    app.add_directive("short-training", ShortTraining)
    app.add_directive("benchmark-scripts", BenchmarkScripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
