"""`caloforge compare`: several reports side by side."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path

import typer

WORST = 8
"""Observables whose pulls are listed in the terminal."""


class Published(StrEnum):
    """A CaloChallenge data set, or none."""

    DS1_PHOTONS = "ds1-photons"
    DS1_PIONS = "ds1-pions"
    DS2 = "ds2"
    DS3 = "ds3"
    NONE = "none"


def compare(
    reports: list[Path] = typer.Argument(
        ...,
        metavar="REPORT",
        help="Folders that `caloforge evaluate` wrote, or their report.json; or folders of such folders.",
    ),
    out: Path | None = typer.Option(None, "--out", "-o", help="Folder for compare.html, compare.json and CSV tables."),
    published: Published | None = typer.Option(
        None,
        "--published",
        help="Published CaloChallenge results to show separately; by default those for the reports' geometry.",
    ),
    overwrite: bool = typer.Option(
        False, "--overwrite", help="Replace everything in the folder, even if it is not an earlier comparison."
    ),
) -> None:
    """Compare reports: print a table and, with -o, write a page.

    For each report the table gives the value with N showers per sample and the
    baseline (Geant4 vs Geant4) at the same N. The best report (*) is the one
    nearest to a perfect generator, that is, to the baseline, by more than twice
    the errors; reports that agree within them are marked together, and where all
    agree, none is.

    A folder that holds reports, of several trainings of one generator (caloforge
    train --seeds), is one entry: the mean of each number and its spread over the
    trainings, next to the statistical error of one. Does the spread cover the
    difference to Geant4? The pulls of every observable's histogram say so.

    CaloChallenge submissions are listed separately: their numbers come from the
    official data and other machines.

    Example: caloforge compare caloman-report flow-report -o comparison
    for one report each; caloforge compare flagship-reports -o comparison for the
    folder of the reports flagship-reports/seed-1, flagship-reports/seed-2, …
    """
    from caloforge.cli.console import stderr, stdout
    from caloforge.evaluation.output import check_target
    from caloforge.evaluation.report.compare import (
        comparison_tables,
        ensembles,
        findings,
        load_reports,
        remarks,
        sections_of_key_numbers,
        spread_tables,
        write_comparison,
    )
    from caloforge.evaluation.report.published import choose_published
    from caloforge.evaluation.report.terminal import comparison_table, rich_table

    entries = load_reports(reports)
    wanted = None if published is None else published.value
    shown = choose_published({entry.records.about.geometry_name for entry in entries}, wanted)
    folder = check_target(out, reports, overwrite) if out is not None else None
    for table in comparison_tables(entries)[:1]:
        stdout.print(comparison_table(table, entries))
    pulls = ensembles(entries)
    for table in spread_tables(entries, sections_of_key_numbers(entries)):
        stdout.print()
        stdout.print(rich_table(table, stdout.width))
    for each in pulls:
        stdout.print()
        table = each.table()
        stdout.print(rich_table(replace(table, rows=table.rows[:WORST]), stdout.width))
    for line in findings(entries, pulls):
        stdout.print(line, markup=False)
    for remark in remarks(entries):
        stderr.print(f"note: {remark}", markup=False)
    if shown is not None and published is not None:
        stdout.print()
        stdout.print(rich_table(shown, stdout.width))
        stdout.print(shown.note, markup=False)
    if out is not None and folder is not None:
        write_comparison(entries, shown, folder)
        stdout.print(f"comparison: {out / 'compare.html'}", markup=False)
