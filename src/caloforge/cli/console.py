"""What the commands share of the terminal: one console for messages, one style of progress bar."""

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

stdout = Console(highlight=False, soft_wrap=True)
"""Results: what a user may pipe into another program."""

stderr = Console(stderr=True, highlight=False, soft_wrap=True)
"""Progress and remarks."""


LINE_EVERY = 30.0
"""Least seconds between two lines of progress in a log file."""

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


class LogProgress(Progress):
    """Progress for log files, where a bar is unreadable: a plain line now and then, and one when a task is done."""

    def __init__(self) -> None:
        super().__init__(console=stderr, disable=True)
        self._told_at = time.monotonic()
        self._finished: set[TaskID] = set()

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """As of a bar (see `rich.progress.Progress.update`)."""
        super().update(task_id, **changes)
        self._tell(self._tasks[task_id])

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """As of a bar."""
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
    """Whether somebody may be looking: stderr is a terminal, not a file."""
    return stderr.is_terminal


def progress_bar() -> Progress:
    """A progress bar on stderr: description, done/total, rate, elapsed and left, and the field `remark`.

    On a narrow terminal rate and elapsed time give way, then the bar itself, then the end of the remark: a task always
    takes one line. Where stderr is no terminal, there is a line now and then instead (`LogProgress`).
    """

    if not is_watched():
        return LogProgress()

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
