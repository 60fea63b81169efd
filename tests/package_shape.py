"""Reads a package's sources: which module imports which, and where that breaks the rules of the house.

Imports inside functions and under TYPE_CHECKING count like all others. `import package` and `from package import
__version__` do not, for its version and its folder: the package itself re-exports names of all rooms.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

Imports = Mapping[str, Collection[str]]
"""Dotted name of a module → those of the modules that it imports."""


def sources(package: Path) -> dict[str, Path]:
    """Dotted name → file of each module below the folder `package`; a package's name stands for its __init__.py."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(modules: Mapping[str, Path]) -> dict[str, set[str]]:
    """For each of `modules`, those among them that it imports."""
    return {name: _imported(name, path, modules) for name, path in modules.items()}


def _imported(name: str, path: Path, known: Collection[str]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if "." in alias.name}
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(name, path, node)
            wanted = [alias.name for alias in node.names if (base, alias.name) != (name.split(".")[0], "__version__")]
            found |= {f"{base}.{word}" if f"{base}.{word}" in known else base for word in wanted}
    return {module for module in found if module in known} - {name}


def _absolute(name: str, path: Path, node: ast.ImportFrom) -> str:
    """The module that `from … import` names, in full."""
    if node.level == 0:
        return node.module or ""
    parents = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    parents = parents[: len(parents) - node.level + 1]
    return ".".join([*parents, *([node.module] if node.module else [])])


def circles(graph: Imports) -> list[set[str]]:
    """The sets of modules that import each other, directly or by way of others."""
    reached = {name: _reachable(name, graph) for name in graph}
    found: list[set[str]] = []
    for name in graph:
        circle = {other for other in reached[name] if name in reached[other]}
        if circle and circle not in found:
            found.append(circle)
    return found


def _reachable(start: str, graph: Imports) -> set[str]:
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += graph[name]
    return found


def room_of(module: str, rooms: Iterable[str]) -> str | None:
    """The innermost of `rooms` (dotted names below the package) that holds `module`; None if there is none."""
    inside = module.partition(".")[2]
    holding = [room for room in rooms if f"{inside}.".startswith(f"{room}.")]
    return max(holding, key=len, default=None)


def out_of_order(graph: Imports, order: Sequence[str]) -> set[tuple[str, str]]:
    """(module, imported module) where the imported one lies in a later room, or in none.

    Args:
        graph: see `imports`.
        order: rooms, lowest first. A room within a room, as `evaluation.samples`, may be anywhere before the outer one.
    """
    place = {room: number for number, room in enumerate(order)}
    wrong = set()
    for module, imported in graph.items():
        own = room_of(module, order)
        for other in imported:
            theirs = room_of(other, order)
            if own is None or theirs is None or place[theirs] > place[own]:
                wrong.add((module, other))
    return wrong


def shared_module_names(modules: Iterable[str]) -> dict[str, list[str]]:
    """Last names that several of `modules` (dotted names) have, with these."""
    found = defaultdict(list)
    for module in modules:
        found[module.rpartition(".")[2]].append(module)
    return {name: where for name, where in found.items() if len(where) > 1}


def shared_class_names(modules: Mapping[str, Path]) -> dict[str, list[str]]:
    """Names of public classes that several modules define, with these."""
    found = defaultdict(list)
    for module, path in modules.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(module)
    return {name: where for name, where in found.items() if len(where) > 1}
