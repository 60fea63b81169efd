"""What the commands share of the terminal: one console for messages, one style of progress bar."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

stdout = Console(highlight=False, soft_wrap=True)
"""Results: what a user may pipe into another program."""

stderr = Console(stderr=True, highlight=False, soft_wrap=True)
"""Progress and remarks."""


WIDE, MIDDLING = 110, 80
"""Widths in columns from which a progress bar shows all it has, and from which it shows a bar at all."""


class RateColumn(ProgressColumn):
    """Items per second, in the task's own unit (field `unit`)."""

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        return Text("" if rate is None else f"{rate:,.4g} {task.fields.get('unit', 'it')}/s")


class RemarkColumn(ProgressColumn):
    """The task's field `remark`, cut off where the line ends."""

    def render(self, task: Task) -> Text:
        # The text must not wrap, but the column may shrink: the opposite of a column with `no_wrap`.
        return Text(str(task.fields.get("remark", "")), no_wrap=True, overflow="ellipsis")


def progress_bar() -> Progress:
    """A progress bar on stderr: description, done/total, rate, elapsed and left, and the field `remark`.

    On a narrow terminal rate and elapsed time give way, then the bar itself, then the end of the remark: a task always
    takes one line.
    """

    def fixed() -> Column:
        return Column(no_wrap=True)

    columns: list[ProgressColumn] = [TextColumn("{task.description}", table_column=fixed())]
    if stderr.width >= MIDDLING:
        columns.append(BarColumn(28 if stderr.width >= WIDE else 10, table_column=fixed()))
    columns.append(MofNCompleteColumn(table_column=fixed()))
    if stderr.width >= WIDE:
        columns += [RateColumn(table_column=fixed()), TimeElapsedColumn(table_column=fixed())]
    columns += [TextColumn("left", table_column=fixed()), TimeRemainingColumn(table_column=fixed()), RemarkColumn()]
    return Progress(*columns, console=stderr, transient=False)
