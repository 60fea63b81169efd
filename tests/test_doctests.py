"""The examples in docstrings run, and every public name has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

import caloforge

SKIPPED = (
    "caloforge.__main__",
    *(f"caloforge.sources.geant4.{name}" for name in ("application", "catching", "scoring")),
)
"""Modules that run a program, or need Geant4 to be imported."""

MODULES = [m.name for m in pkgutil.walk_packages(caloforge.__path__, "caloforge.") if m.name not in SKIPPED]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name: str) -> None:
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0, f"{result.failed} of {result.attempted} examples failed; see the output"


@pytest.mark.parametrize("name", [name for name in caloforge.__all__ if not name.startswith("__")])
def test_every_public_name_has_an_example(name: str) -> None:
    assert ">>>" in (inspect.getdoc(getattr(caloforge, name)) or "")
