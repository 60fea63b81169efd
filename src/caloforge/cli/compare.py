"""`caloforge compare`: several reports side by side."""

from __future__ import annotations

from pathlib import Path

import typer


def compare(
    reports: list[Path] = typer.Argument(..., help="Folders that `caloforge evaluate` wrote, or their report.json."),
    out: Path | None = typer.Option(None, "--out", "-o", help="Folder for compare.html, compare.json and CSV tables."),
    published: str | None = typer.Option(
        None,
        "--published",
        metavar="GEOMETRY",
        help="Published challenge numbers to show apart: ds1-photons, ds1-pions, ds2, ds3 or none. By default those "
        "of the reports' geometry.",
    ),
    overwrite: bool = typer.Option(
        False, "--overwrite", help="Replace everything in the folder, even if it is no earlier comparison."
    ),
) -> None:
    """Put reports side by side: a table here, and a page with -o.

    Like stands beside like: each report's value at N showers a side, beside the
    floor at the same N. Best is what lies least above its floor, by more than
    twice the errors; reports that are alike within them are marked together.

    Numbers of the CaloChallenge's submissions stand in a block of their own:
    they were taken on the official data and on other machines.

    Example: caloforge compare caloman-report flow-report -o comparison
    """
    from caloforge.cli.console import stderr, stdout
    from caloforge.evaluation.compare import (
        choose_published,
        comparison_tables,
        load_reports,
        remarks,
        write_comparison,
    )
    from caloforge.evaluation.output import check_target
    from caloforge.evaluation.terminal import comparison_table, rich_table

    entries = load_reports(reports)
    beside = choose_published(entries, published)
    folder = check_target(out, reports, overwrite) if out is not None else None
    for table in comparison_tables(entries)[:1]:
        stdout.print(comparison_table(table, [entry.name for entry in entries]))
    for remark in remarks(entries):
        stderr.print(f"note: {remark}", markup=False)
    if beside is not None and published is not None:
        few = ("submission", "mean_separation", "auc_low", "auc_high", "fpd_e3", "auc_resnet", "kpd_e3")
        stdout.print()
        stdout.print(rich_table(beside, few, stdout.width))
        stdout.print(beside.note, markup=False)
    if out is not None and folder is not None:
        write_comparison(entries, beside, folder)
        stdout.print(f"comparison: {out / 'compare.html'}", markup=False)
