"""Commands, options, recipes, scripts, targets and names that the documentation shows exist."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import caloforge as cf
from caloforge.locations import list_recipes
from caloforge.models import MODELS
from caloforge.training.settings import StageSettings, TrainingSettings
from documented import DOCS, PAGES, ROOT, blocks, command_lines, prose, words

sys.path.append(str(DOCS / "_ext"))
from command_options import Option, commands, options

COMMANDS = {path: options(function) for path, function in commands()}
GROUPS = {path[:k] for path in COMMANDS for k in range(1, len(path))}
STANDS_FOR = re.compile(r"[A-Z…<{$]|\.\.\.")
"""How a word begins that stands for something else."""

IDS = [str(page.relative_to(ROOT)) for page in PAGES]


def shown(page: Path) -> Iterator[tuple[list[str], str]]:
    """Commands of caloforge as words, with the line."""
    for line in command_lines(page):
        if found := words(line, "caloforge"):
            yield found, line


def fault(found: list[str]) -> str:
    """What is wrong with a command; empty if nothing is."""
    path: tuple[str, ...] = ("caloforge",)
    rest = found[1:]
    while rest and path in GROUPS and not rest[0].startswith("-"):
        if STANDS_FOR.match(rest[0]):
            return ""
        path, rest = (*path, rest[0]), rest[1:]
    if path in GROUPS:
        unknown = [word for word in rest if word not in ("--help", "-h", "--version", "--install-completion", "…")]
        return f"{' '.join(path)} has no {unknown}" if unknown else ""
    if path not in COMMANDS:
        return f"no command {' '.join(path)}"
    by_flag = {flag: option for option in COMMANDS[path] for flag in option.flags}
    positional, problems = [], []
    expected: Option | None = None
    for word in rest:
        if expected is not None:
            problems.append(wrong_value(expected, word))
            expected = None
        elif re.match(r"--?[A-Za-z]", word):
            flag, equals, value = word.partition("=")
            if flag in ("--help", "-h"):
                continue
            if flag not in by_flag:
                problems.append(f"{' '.join(path)} has no option {flag}")
            elif equals:
                problems.append(wrong_value(by_flag[flag], value))
            elif by_flag[flag].metavar:
                expected = by_flag[flag]
        else:
            positional.append(word)
    if path[1] == "train" and positional:
        problems.append(wrong_recipe(positional[0]))
    return "; ".join(filter(None, problems))


def wrong_value(option: Option, value: str) -> str:
    if STANDS_FOR.match(value):
        return ""
    if option.choices and value not in option.choices:
        return f"{option.flags[0]} has no choice {value}"
    if option.flags[0] == "--recipe":
        return wrong_recipe(value)
    if option.flags[0] == "--detector" and not value.endswith(".yaml"):
        detectors = [path.stem for path in (ROOT / "src/caloforge/sources/geant4/detectors").glob("*.yaml")]
        return "" if value in detectors else f"no detector {value}"
    return wrong_key(value) if option.flags[0] == "--set" else ""


def wrong_recipe(name: str) -> str:
    own = STANDS_FOR.search(name) or name.endswith(".yaml")
    return "" if own or name in list_recipes() else f"no recipe {name}"


def wrong_key(assignment: str) -> str:
    """Of `training.KEY=…` and `model.KEY=…`; other keys are few and their errors name them."""
    room, _, key = assignment.partition("=")[0].partition(".")
    if room == "training":
        key = re.sub(r"^stages\.[\w…]+(\.|$)", "", key)
        known = {*StageSettings.model_fields, *TrainingSettings.model_fields, ""}
        return "" if STANDS_FOR.search(key) or key in known else f"no setting training.{key}"
    if room == "model":
        key = key.partition(".")[0]
        known = {name for kind in MODELS for name in MODELS.resolve(kind).__init__.__annotations__}
        return "" if STANDS_FOR.search(key) or key in known else f"no setting model.{key}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_exist_with_their_options(page: Path) -> None:
    faults = [f"{line}: {wrong}" for found, line in shown(page) if (wrong := fault(found))]
    assert faults == []


def test_the_documentation_shows_most_commands() -> None:
    used = {tuple(found[: len(path)]) for page in PAGES for found, _ in shown(page) for path in COMMANDS}
    assert [path for path in COMMANDS if path not in used] == []


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("caloforge generate run --energies like:x.h5 -o y.h5", ""),
        ("caloforge models get 10.5281/zenodo.1", ""),
        ("caloforge train flagship --train a.h5 -o run --set training.epochs=3", ""),
        ("OMP_NUM_THREADS=1 caloforge train RECIPE --train FILE -o RUN && ls", ""),
        ("caloforge generates run", "no command caloforge generates"),
        ("caloforge generate run --energy 3", "caloforge generate has no option --energy"),
        ("caloforge train flagship2 --train a.h5 -o run", "no recipe flagship2"),
        ("caloforge train flagship --train a.h5 -o run --set training.epoch=3", "no setting training.epoch"),
        ("caloforge train flagship --train a.h5 -o run --set model.widht=3", "no setting model.widht"),
        ("caloforge export run --format ddml -o x", "--format has no choice ddml"),
        ("caloforge simulate geant4 --detector atlas", "no detector atlas"),
    ],
)
def test_faults_are_found(line: str, wrong: str) -> None:
    assert fault(words(line, "caloforge")) == wrong


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_scripts_and_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for line in command_lines(page):
        for found in (words(line, "python"), words(line, "python3")):
            if len(found) > 1 and found[1].endswith(".py") and "/" in found[1]:
                script = ROOT / found[1]
                assert script.exists(), line
                text = script.read_text(encoding="utf-8")
                flags = [word.partition("=")[0] for word in found[2:] if re.match(r"--?[A-Za-z]", word)]
                assert [flag for flag in flags if f'"{flag}"' not in text] == [], line
        if line.startswith("make "):
            assert [
                word
                for word in line.split("#")[0].split()[1:]
                if re.fullmatch(r"[a-z-]+", word) and word not in targets
            ] == []
        for names in re.findall(r"caloforge\[([\w,]+)\]", line):
            assert set(names.split(",")) <= extras.keys(), line


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_python_names_exist(page: Path) -> None:
    for block in blocks(page):
        if block.language != "python":
            continue
        if re.match(r"%%writefile \S+(?<!\.py)\n", block.text):
            continue
        for node in ast.walk(ast.parse(block.code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("caloforge"):
                module = importlib.import_module(str(node.module))
                for name in node.names:
                    assert hasattr(module, name.name), f"{node.module}.{name.name}"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "cf":
                assert hasattr(cf, node.attr), f"cf.{node.attr}"
    for name in re.findall(r"`(caloforge\.[a-z_]+(?:\.\w+)*)`", prose(page)):
        assert _exists(name), name


def _exists(name: str) -> bool:
    """Whether a dotted path leads to a module, or to something in one."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False
