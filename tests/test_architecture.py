"""The shape of the package: imports point one way, and the public names are frozen."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import caloforge

SOURCE = Path(caloforge.__file__).parent
ORDER = [
    {"errors", "files", "units", "registry", "neighbours"},
    {"geometry"},
    {"plots"},
    {"showers", "energies"},
    {"sources", "transforms", "networks", "division", "diffusion", "manifold"},
    {"lowering"},
    {"models"},
    {"simulator"},
    {"export", "evaluation", "cluster", "timing"},
    {"training"},
    {"cli"},
]
"""Lower layers first; a module may import from its own layer and from those before it."""

LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "caloforge" and len(parts) > 1:
                found.add(parts[1])
    return found - {"__version__"}


MODULES = sorted(p for p in SOURCE.rglob("*.py") if p.parent != SOURCE or not p.stem.startswith("__"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_one_way(path: Path) -> None:
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    for name in _imports(path):
        assert LEVEL[name] <= LEVEL[own], f"{own} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_every_module_opens_with_what_it_implements(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring
    assert len(docstring) > 30


def test_evaluation_needs_no_model() -> None:
    for path in (SOURCE / "evaluation").rglob("*.py"):
        assert not _imports(path) & {"models", "training", "simulator"}, path


def test_public_names() -> None:
    assert caloforge.__all__ == [
        "__version__",
        "CaloforgeError",
        "Compose",
        "Geometry",
        "Layer",
        "Report",
        "ShowerModel",
        "Showers",
        "Simulator",
        "Transform",
        "evaluate",
        "fit",
        "generate",
        "load_geometry",
    ]
    for name in caloforge.__all__:
        assert getattr(caloforge, name) is not None
