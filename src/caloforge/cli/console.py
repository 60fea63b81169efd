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
from rich.text import Text

stdout = Console(highlight=False, soft_wrap=True)
"""Results: what a user may pipe into another program."""

stderr = Console(stderr=True, highlight=False, soft_wrap=True)
"""Progress and remarks."""


class RateColumn(ProgressColumn):
    """Items per second, in the task's own unit (field `unit`)."""

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        return Text("" if rate is None else f"{rate:,.4g} {task.fields.get('unit', 'it')}/s")


def progress_bar() -> Progress:
    """A progress bar on stderr: description, done/total, rate, elapsed and left, and the field `remark`."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}"),
        console=stderr,
        transient=False,
    )
