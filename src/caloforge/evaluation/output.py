"""Where a report is written: which folders may be replaced, and which may not."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

from caloforge.errors import CaloforgeError, either, option
from caloforge.files import real

REPORT = frozenset({"report.json", "charts.json", "report.html", "tables", "figures"})
"""What an evaluation writes into its folder."""

COMPARISON = frozenset({"compare.json", "compare.html", "tables", "figures"})
"""What a comparison writes into its folder."""


def check_target(folder: Path, inputs: Iterable[Path], overwrite: bool) -> Path:
    """Make sure that `folder` may be written to, before hours are spent on what is to be written there.

    A new or empty folder may, and one that holds an earlier report (or comparison) and nothing else. Any other is
    replaced as a whole with `overwrite`, but never one that holds an input.

    Returns:
        the folder's absolute path.

    Raises:
        CaloforgeError: it may not.
    """
    target = real(folder)
    for path in inputs:
        if real(path) == target:
            raise CaloforgeError(f"{folder} is an input: {_elsewhere()}")
        if real(path).is_relative_to(target):
            raise CaloforgeError(f"{folder} holds {path}, which is an input: {_elsewhere()}")
    if target.exists() and not target.is_dir():
        raise CaloforgeError(f"{folder} is a file; {_elsewhere()}")
    check_writable(target)
    if not target.exists():
        return target
    found = sorted(entry.name for entry in target.iterdir())
    if not found or overwrite or _is_ours(target, set(found)):
        return target
    foreign = next((name for name in found if name not in REPORT | COMPARISON), found[0])
    raise CaloforgeError(
        f"{folder} is not an earlier report (it holds '{foreign}'): {_elsewhere()}, or add {option('overwrite', True)} "
        "to replace everything in it"
    )


def check_writable(target: Path) -> None:
    """Make sure that `target` can be created, or replaced, next to what is there.

    Raises:
        CaloforgeError: something on its path is a file, or the folder that it goes into cannot be written to.
    """
    above = target.absolute().parent
    try:
        while not above.exists():
            above = above.parent
        if not above.is_dir():
            raise CaloforgeError(f"cannot write {target}: {above} is a file; {_elsewhere()}")
        with tempfile.TemporaryDirectory(dir=above):  # permission bits alone do not tell (read-only file systems, root)
            pass
    except OSError as error:
        raise CaloforgeError(f"cannot write into {above}: {error.strerror}; {_elsewhere()}") from None


def _elsewhere() -> str:
    return either("give another path with -o", "give another path")


def _is_ours(folder: Path, found: set[str]) -> bool:
    for marker, names in (("report.json", REPORT), ("compare.json", COMPARISON)):
        if marker in found and found <= names:
            try:
                data = json.loads((folder / marker).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                return False
            return isinstance(data, dict) and "caloforge_version" in data
    return False
