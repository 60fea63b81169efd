"""The sources of the documentation site fit together; `make docs` builds it, with warnings as errors."""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import caloforge as cf
from caloforge.models import MODELS
from documented import DOCS, PAGES, ROOT, blocks, prose

sys.path.append(str(DOCS / "_ext"))
sys.path.append(str(DOCS))
sys.path.append(str(ROOT / "benchmarks"))
from check_links import problems
from short_trainings import EPOCHS

from result_tables import rows_below

SITE = [page for page in PAGES if page.is_relative_to(DOCS)]
NOTEBOOKS = [page for page in SITE if any(block.is_cell for block in blocks(page))]
MODEL_PAGES = sorted((DOCS / "models").glob("*.md"))
SHORT = json.loads((DOCS / "models" / "short.json").read_text(encoding="utf-8"))


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_every_page_is_in_one_table_of_contents() -> None:
    listed: list[Path] = []
    for page in SITE:
        for block in blocks(page):
            if block.info.startswith("{toctree}"):
                entries = [line for line in block.text.splitlines() if line and not line.startswith(":")]
                listed += [(page.parent / f"{entry}.md").resolve() for entry in entries]
    assert sorted(listed) == sorted(page.resolve() for page in SITE if page.name != "index.md" or page.parent != DOCS)


def slug(heading: str) -> str:
    """The anchor of a heading on GitHub, and on the site."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(re.sub(r"[`$\\]", "", title)) for title in re.findall(r"^#+ (.*)$", prose(page), re.M)}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", prose(page))):
        if re.match(r"\w+:", link):
            assert urlsplit(link).scheme in ("http", "https"), link
            assert "." in urlsplit(link).netloc, link
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


def test_links_of_a_page_that_the_site_includes_begin_as_the_directive_says() -> None:
    """`relative-docs` names one beginning; Sphinx looks for any other link next to the page that includes."""
    for page in SITE:
        for block in blocks(page):
            if block.info.startswith("{include}") and ":relative-docs:" in block.text:
                included = (page.parent / block.info.split()[1]).resolve()
                beginning = re.findall(r":relative-docs: (\S+)", block.text)[0]
                links = re.findall(r"\]\((?!https?:|#)([^)\s]+)\)", re.sub(r"`[^`]*`", "", prose(included)))
                assert links
                assert all(link.startswith(beginning) for link in links)


@pytest.mark.parametrize("page", NOTEBOOKS, ids=name)
def test_notebooks_can_be_opened_and_their_cells_are_python(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith("---\njupytext:\n")
    assert "\nkernelspec:\n" in text.split("---\n")[1]
    for block in blocks(page):
        if block.is_cell and not block.text.startswith("%%writefile"):
            ast.parse(block.code)


def test_there_is_a_tutorial_for_each_purpose() -> None:
    assert {page.stem for page in NOTEBOOKS} >= {
        "first-generator",
        "own-detector",
        "strangers-file",
        "own-model",
        "export-cpp",
        "cluster",
    }


def test_the_reference_has_every_public_name() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    targets = re.findall(r"^\.\. auto\w+:: ([\w.]+)$", text, re.M)
    for target in targets:
        module, _, attribute = target.rpartition(".")
        try:
            importlib.import_module(target)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), attribute), target
    missing = {name for name in cf.__all__ if f"caloforge.{name}" not in targets} - {"__version__"}
    assert missing == set()


def test_every_model_has_a_page() -> None:
    overview = (DOCS / "models.md").read_text(encoding="utf-8")
    assert [kind for kind in MODELS if f"`{kind}`" not in overview] == []
    assert len(MODEL_PAGES) >= 11
    for page in MODEL_PAGES:
        text = page.read_text(encoding="utf-8")
        for part in ("```{schematic}", "## Mathematics", "## Recipe", "## Numbers", "## Paper", "```{literalinclude}"):
            assert part in text, f"{page.name}: {part}"


@pytest.mark.parametrize("page", MODEL_PAGES, ids=name)
def test_rows_and_numbers_of_a_model_exist(page: Path) -> None:
    found = 0
    for block in blocks(page):
        if block.info.startswith("{result-rows}"):
            file, _, heading = block.info.removeprefix("{result-rows} ").partition(" ")
            rows = rows_below((page.parent / file).read_text(encoding="utf-8"), heading, block.text.splitlines())
            found += len(rows) > 2
        elif block.info.startswith("{short-training}"):
            found += block.info.split()[1] in EPOCHS
        elif block.info.startswith("{literalinclude}"):
            assert (page.parent / block.info.split()[1]).exists()
    assert found == 1


@pytest.mark.parametrize("kind", SHORT)
def test_short_trainings_are_of_the_present_recipes(kind: str) -> None:
    """If a recipe changes, its numbers are stale: repeat `python benchmarks/short_trainings.py KIND`."""
    recipe = (ROOT / "recipes" / f"{SHORT[kind]['recipe']}.yaml").read_text(encoding="utf-8")
    decisive = re.sub(r"(?<=\n)expected:\n.*", "", recipe, flags=re.DOTALL)  # what it reached changes nothing
    assert hashlib.sha256(decisive.encode()).hexdigest()[:16] == SHORT[kind]["recipe_sha256"]


def test_the_link_check_finds_what_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<p id="top"></p><a href="#top"></a><a href="b.html#there"></a><a href="b.html#gone"></a><a href="c.html"></a>'
        '<a href="https://example.org/x"></a><a href="https://nowhere"></a><script src="https://example.org/s.js"></script>'
    )
    (tmp_path / "b.html").write_text('<p id="there"></p><img src="data:image/png;base64,AA">')
    assert problems(tmp_path) == [
        "a.html: no anchor b.html#gone",
        "a.html: no file c.html",
        "a.html: https://nowhere is not a valid address",
        "a.html loads https://example.org/s.js",
    ]
