"""The shape of the package: imports point one way, and a name means one thing."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest

import caloforge
from package_shape import circles, imports, out_of_order, room_of, shared_class_names, shared_module_names, sources

SOURCE = Path(caloforge.__file__).parent
ORDER = [
    "errors",
    "files",
    "documents",
    "overrides",
    "locations",
    "units",
    "allocation",
    "formatting",
    "configured",
    "registry",
    "sharing",
    "packed",
    "cluster",
    "neighbours",
    "distances",
    "geometry",
    "plots",
    "conditions",
    "showers",
    "points",
    "representation",
    "observables",
    "energies",
    "reconstruction",
    "sources",
    "viewer",
    "transforms",
    "networks",
    "classifiers",
    "division",
    "diffusion",
    "manifold",
    "analysis",
    "models",
    "inference",
    "simulator",
    "export",
    "evaluation",
    "reweighting",
    "timing",
    "training",
    "zoo",
    "cli",
]
"""The rooms of the package, lowest first: a module imports from its own room and from those before it."""

SAME_NAMES = {
    "base": "the base class of a room, and what goes with it",
    "report": "the room of reports, and the class after which it is named",
}
"""Names that several modules may have, each with the reason."""

NAMED_AFTER_OTHERS = {
    "caloforge.cli.": "a command is named after what it runs",
    "caloforge.plots.": "a plot is named after what it draws",
    "caloforge.evaluation.report.verdict.": "a part of the verdict is named after what it is about",
}
"""Rooms whose modules may have the names of others, each with the reason."""

MODULES = sources(SOURCE)
IMPORTS = imports(MODULES)
WITH_TEXT = sorted(path for name, path in MODULES.items() if name not in ("caloforge", "caloforge.__main__"))


# The rules


def test_no_import_circle() -> None:
    assert circles(IMPORTS) == []


def test_imports_point_one_way() -> None:
    rooms = {name: modules for name, modules in IMPORTS.items() if name not in ("caloforge", "caloforge.__main__")}
    assert out_of_order(rooms, ORDER) == set()


def test_order_names_the_rooms_that_exist() -> None:
    assert [room for room in ORDER if not any(room_of(name, [room]) for name in MODULES)] == []


def test_a_module_name_means_one_thing() -> None:
    found = shared_module_names(name for name in MODULES if not name.startswith(tuple(NAMED_AFTER_OTHERS)))
    assert {name: where for name, where in found.items() if name not in SAME_NAMES} == {}


def test_a_class_name_means_one_thing() -> None:
    assert shared_class_names(MODULES) == {}


# Tests of the rules, on a small package that breaks them


@pytest.fixture
def house(tmp_path: Path) -> Callable[..., dict[str, Path]]:
    """Files of a package, name → text, written and read back as its modules."""

    def build(**files: str) -> dict[str, Path]:
        for name, text in {"__init__": "", **files}.items():
            path = (tmp_path / "house" / name.replace("__in__", "/")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return sources(tmp_path / "house")

    return build


@pytest.mark.parametrize(
    "back",
    [
        "from house.low import x",
        "import house.low",
        "from house import low",
        "from . import low",
        "from .low import x",
        "def later():\n    from house.low import x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.low import x",
    ],
)
def test_a_circle_is_found(house: Callable[..., dict[str, Path]], back: str) -> None:
    straight = house(low="from house.middle import y", middle="from house.high import z", high="z = 1")
    assert circles(imports(straight)) == []
    bent = house(low="from house.middle import y", middle="from house.high import z", high=back)
    assert circles(imports(bent)) == [{"house.low", "house.middle", "house.high"}]


def test_the_version_is_no_import_of_all_rooms(house: Callable[..., dict[str, Path]]) -> None:
    public = "from house.low import x"
    assert circles(imports(house(__init__=public, low="from house import __version__"))) == []
    assert circles(imports(house(__init__=public, low="from house import x"))) == [{"house", "house.low"}]


def test_an_import_upwards_is_found(house: Callable[..., dict[str, Path]]) -> None:
    upwards = house(low="from house.high import z", high="", stranger="from house import low")
    found = out_of_order(imports(upwards), ["low", "high"])
    assert found == {("house.low", "house.high"), ("house.stranger", "house.low")}
    assert out_of_order(imports(upwards), ["high", "low", "stranger"]) == set()


def test_rooms_within_rooms_have_an_order_too(house: Callable[..., dict[str, Path]]) -> None:
    files = house(
        big__in__first="from house.big import second", big__in__second="", big__in__rest="import house.big.first"
    )
    assert out_of_order(imports(files), ["big.second", "big.first", "big"]) == set()
    assert out_of_order(imports(files), ["big.first", "big.second", "big"]) == {("house.big.first", "house.big.second")}


def test_a_name_of_two_things_is_found(house: Callable[..., dict[str, Path]]) -> None:
    files = house(
        one__in__names="class Row: ...\nclass _Own: ...", two__in__names="class Own: ...", other="class Row: ..."
    )
    assert shared_module_names(files) == {"names": ["house.one.names", "house.two.names"]}
    assert shared_class_names(files) == {"Row": ["house.one.names", "house.other"]}


# Further habits


@pytest.mark.parametrize("path", WITH_TEXT, ids=lambda p: str(p.relative_to(SOURCE)))
def test_every_module_opens_with_what_it_implements(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring
    assert len(docstring) > 30


def test_evaluation_needs_no_model() -> None:
    models = {"models", "inference", "simulator", "training"}
    for module, imported in IMPORTS.items():
        if module.startswith("caloforge.evaluation"):
            assert not {name.split(".")[1] for name in imported} & models, module


def test_mypy_is_strict_where_users_call() -> None:
    """No exception of mypy's holds for the evaluation, the training, or a module with a public name."""
    mypy = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    assert mypy["strict"] is True
    package = Path(caloforge.__file__).parent
    inside = [
        ".".join(path.with_suffix("").parts) for room in ("evaluation", "training") for path in _files(package, room)
    ]
    for module in [*inside, *caloforge._HOME.values()]:
        settings: dict[str, bool] = {}
        for override in mypy["overrides"]:  # the more specific ones come last
            if any(fnmatch(f"caloforge.{module}", pattern) for pattern in override["module"]):
                settings |= {key: value for key, value in override.items() if key != "module"}
        assert all(settings.values()), (module, settings)


def _files(package: Path, room: str) -> list[Path]:
    return [path.relative_to(package) for path in (package / room).rglob("*.py")]
