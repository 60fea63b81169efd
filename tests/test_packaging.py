"""Versions and requirements agree wherever they are written, and an unready version is not released."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import caloforge

sys.path.append(str(Path(__file__).parents[1] / "packaging"))
from bounds import lower_bounds
from release import VERSIONS, problems, version_in

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IN_CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
"""Packages with another name in conda-forge."""


@pytest.mark.parametrize("file", VERSIONS)
def test_every_file_has_the_version_of_the_package(file: str) -> None:
    assert version_in(ROOT, file) == caloforge.__version__


def test_the_citation_file_has_what_its_format_requires() -> None:
    """Required by the Citation File Format 1.2.0: cff-version, message, title, and authors with a name each."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert all(citation[key] for key in ("message", "title", "abstract", "authors"))
    assert all(author.get("name") or author.get("family-names") for author in citation["authors"])
    assert citation["license"] == PROJECT["license"]
    assert str(citation["version"]) == PROJECT["version"]


def test_the_conda_recipe_requires_what_pyproject_does() -> None:
    recipe = yaml.safe_load((ROOT / "packaging" / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    wanted = {f"python {PROJECT['requires-python']}"}
    for requirement in PROJECT["dependencies"]:
        name, bound = requirement.split(">=")
        wanted.add(f"{IN_CONDA.get(name, name.lower())} >={bound}")
    assert set(recipe["requirements"]["run"]) == wanted
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    assert {each.replace(">=", " >=") for each in build} <= set(recipe["requirements"]["host"])
    assert recipe["build"]["python"]["entry_points"] == [f"caloforge = {PROJECT['scripts']['caloforge']}"]


def test_bounds_become_constraints_and_a_missing_one_is_an_error() -> None:
    bounds = lower_bounds(PROJECT)
    assert {requirement.split(">=")[0] for requirement in PROJECT["dependencies"]} < bounds.keys()
    assert not any(name.startswith("caloforge") for name in bounds)
    extras: dict[str, list[str]] = {"a": ["caloforge[b]", "x[y]>=2.1", "types-x"], "b": ["z"]}
    with pytest.raises(ValueError, match=r"z in .* has no lower bound"):
        lower_bounds({"dependencies": [], "optional-dependencies": extras})
    del extras["b"]
    assert lower_bounds({"dependencies": ["w >= 1"], "optional-dependencies": extras}) == {"w": "1", "x": "2.1"}


@pytest.mark.parametrize(("file", "form"), [("Dockerfile", "USER 1000"), ("caloforge.def", "%runscript")])
def test_images_are_short_and_start_from_an_old_enough_python(file: str, form: str) -> None:
    text = (ROOT / "packaging" / file).read_text(encoding="utf-8")
    assert len(text.splitlines()) < 40
    assert form in text
    for version in re.findall(r"python:(3\.\d+)-slim", text):
        assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]


# Releases


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository that is ready: the files with versions, dated and committed."""
    for file in VERSIONS:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text((ROOT / file).read_text(encoding="utf-8"), encoding="utf-8")
    text = "# Changelog\n\n## 0.8.0 (2026-11-01)\n\n- News.\n\n## 0.7.0 (2026-10-01)\n\n- Olds.\n"
    (tmp_path / "CHANGELOG.md").write_text(text, encoding="utf-8")
    for file in VERSIONS:
        change(tmp_path, file, version_in(tmp_path, file), "0.8.0")
    run(tmp_path, "init", "--quiet")
    commit(tmp_path)
    assert problems(tmp_path) == []
    return tmp_path


def run(tree: Path, *words: str) -> None:
    identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    subprocess.run(["git", "-C", tree, *identity, *words], check=True)


def commit(tree: Path) -> None:
    run(tree, "add", "--all")
    run(tree, "commit", "--quiet", "--message", "All of it")


def change(tree: Path, file: str, old: str, new: str) -> None:
    text = (tree / file).read_text(encoding="utf-8")
    assert old in text
    (tree / file).write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize("file", [file for file in VERSIONS if file != "pyproject.toml"])
def test_another_version_in_one_file(tree: Path, file: str) -> None:
    change(tree, file, "0.8.0", "0.9.0")
    commit(tree)
    assert problems(tree)[0] == f"{file} has version 0.9.0, pyproject.toml 0.8.0: make them equal"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (" (2026-11-01)", " (unreleased)", "give the section of 0.8.0 its date, '## 0.8.0 (YYYY-MM-DD)'"),
        (" (2026-11-01)", "", "give the section of 0.8.0 its date, '## 0.8.0 (YYYY-MM-DD)'"),
        ("- News.\n", "", "the section of 0.8.0 is empty"),
    ],
)
def test_a_changelog_that_is_not_finished(tree: Path, old: str, new: str, problem: str) -> None:
    change(tree, "CHANGELOG.md", old, new)
    commit(tree)
    assert problems(tree) == [f"CHANGELOG.md: {problem}"]


def test_a_changed_tree_and_an_old_tag(tree: Path) -> None:
    run(tree, "tag", "v0.8.0")
    (tree / "forgotten.py").touch()
    script = [sys.executable, ROOT / "packaging" / "release.py", "--root", tree]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "not ready: there are uncommitted changes: commit or remove them (git status)",
        "not ready: the tag v0.8.0 exists: raise the version",
    ]
    assert not (tree / "dist").exists()
