"""Terminal output shared by the commands: consoles and one style of progress bar."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

stdout = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
"""Results, which may be piped into another program. Brackets and colons in names are text, never markup."""

stderr = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
"""Progress and remarks."""


LINE_EVERY = 30.0
"""Minimum interval between progress lines in a log file, in seconds."""

WIDE, MIDDLING = 110, 80
"""Terminal widths, in columns, from which all fields are shown, and from which the bar itself is shown."""


class RateColumn(ProgressColumn):
    """Items per second, in the task's own unit (field `unit`)."""

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        return Text("" if rate is None else f"{rate:,.4g} {task.fields.get('unit', 'it')}/s")


class RemarkColumn(ProgressColumn):
    """The task's field `remark`, truncated at the end of the line."""

    def render(self, task: Task) -> Text:
        # The text must not wrap but the column may shrink, which `no_wrap` on the column would not allow.
        return Text(str(task.fields.get("remark", "")), no_wrap=True, overflow="ellipsis")


class LogProgress(Progress):
    """Progress for log files: a plain line every `LINE_EVERY` seconds, and one when a task is done."""

    def __init__(self) -> None:
        super().__init__(console=stderr, disable=True)
        self._told_at = time.monotonic()
        self._finished: set[TaskID] = set()

    def stop(self) -> None:
        """There is no display to end: Rich before version 15 prints an empty line instead of none."""

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """See `rich.progress.Progress.update`."""
        super().update(task_id, **changes)
        self._tell(self._tasks[task_id])

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """See `rich.progress.Progress.advance`."""
        super().advance(task_id, advance)
        self._tell(self._tasks[task_id])

    def _tell(self, task: Task) -> None:
        done = task.finished and task.id not in self._finished
        if not done and (task.finished or time.monotonic() - self._told_at < LINE_EVERY):
            return
        self._told_at = time.monotonic()
        if done:
            self._finished.add(task.id)
        left = "" if task.time_remaining is None or done else f", {task.time_remaining:.0f} s left"
        of = "" if task.total is None else f" of {task.total:g}"
        remark = str(task.fields.get("remark", "")).strip()
        line = f"{task.description}: {task.completed:g}{of}{left}" + (f", {remark}" if remark else "")
        stderr.print(line, markup=False)


def is_watched() -> bool:
    """Whether stderr is a terminal."""
    return stderr.is_terminal


def progress_bar() -> Progress:
    """A progress bar on stderr: description, done/total, rate, elapsed and remaining time, and the field `remark`.

    On a narrow terminal the rate and elapsed time are dropped first, then the bar itself, then the end of the remark,
    so that a task always fits on one line. If stderr is not a terminal, plain lines are printed (`LogProgress`).
    """

    if not is_watched():
        return LogProgress()

    def fixed() -> Column:
        return Column(no_wrap=True)

    columns: list[ProgressColumn] = [TextColumn("{task.description}", markup=False, table_column=fixed())]
    if stderr.width >= MIDDLING:
        columns.append(BarColumn(28 if stderr.width >= WIDE else 10, table_column=fixed()))
    columns.append(MofNCompleteColumn(table_column=fixed()))
    if stderr.width >= WIDE:
        columns += [RateColumn(table_column=fixed()), TimeElapsedColumn(table_column=fixed())]
    columns += [TextColumn("left", table_column=fixed()), TimeRemainingColumn(table_column=fixed()), RemarkColumn()]
    return Progress(*columns, console=stderr, transient=False)
