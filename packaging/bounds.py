"""The lower bounds of pyproject.toml as constraints for pip: `python packaging/bounds.py > minimums.txt`.

Each `name>=version` of the dependencies and of all extras becomes `name==version`, so that pip fails where a
bound contradicts another package's, instead of choosing a newer version. A requirement without a lower bound is an
error, unless it only brings types.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def lower_bounds(project: dict[str, object]) -> dict[str, str]:
    """Lowest version by name; raises ValueError where a requirement has none."""
    dependencies, extras = project["dependencies"], project["optional-dependencies"]
    assert isinstance(dependencies, list)
    assert isinstance(extras, dict)
    found: dict[str, str] = {}
    for requirement in [*dependencies, *(each for extra in extras.values() for each in extra)]:
        name = re.split(r"[\[<>=!~; ]", requirement)[0]
        bound = re.search(r">=\s*([\w.]+)", requirement)
        if bound:
            found[name] = bound[1]
        elif name != "caloforge" and not name.startswith("types-"):
            raise ValueError(f"{requirement} in pyproject.toml has no lower bound: write {requirement}>=VERSION")
    return found


if __name__ == "__main__":
    bounds = lower_bounds(tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"])
    print(*(f"{name}=={version}" for name, version in bounds.items() if name not in sys.argv[1:]), sep="\n")
