"""Every table of results and every figure in docs/ names its command, and is noticed when its sources have changed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

from documented import DOCS, ROOT

sys.path.append(str(DOCS))
import provenance

REGISTRY = provenance.Registry()
TABLES = {
    table.at: table
    for page in sorted(DOCS.rglob("*.md"))
    if "_build" not in page.parts
    for table in provenance.tables(page.relative_to(DOCS).as_posix(), page.read_text(encoding="utf-8"))
}
IMAGES = sorted(path.relative_to(DOCS).as_posix() for path in (DOCS / "images").iterdir())


def test_nothing_is_stale() -> None:
    """The message says what to repeat; CONTRIBUTING explains."""
    found = REGISTRY.stale()
    assert not found, "\n".join(found)


def test_every_table_with_errors_and_every_figure_is_listed() -> None:
    with_errors = [at for at, table in TABLES.items() if any("±" in row for row in table.rows)]
    assert len(with_errors) > 15
    assert [at for at in [*with_errors, *IMAGES] if at not in REGISTRY.entries] == []


def test_what_is_listed_exists() -> None:
    assert [at for at in REGISTRY.entries if at not in (*TABLES, *IMAGES)] == []
    files = {file for at in REGISTRY.entries for file in REGISTRY.sources(at)}
    assert [file for file in sorted(files) if not (ROOT / file).is_file()] == []


@pytest.mark.parametrize("at", REGISTRY.entries)
def test_the_page_names_the_command(at: str) -> None:
    """Its program or script: a reader finds there how the numbers were made."""
    command = REGISTRY.entries[at]["command"]
    words = re.findall(r"caloforge [\w-]+|(?:benchmarks|docs)/\w+\.py|make \w+|tests/[\w/]+\.py", command)
    assert words, command
    page = DOCS / at.partition("#")[0]
    pages = [page] if page.suffix == ".md" else [p for p in DOCS.rglob("*.md") if at in p.read_text(encoding="utf-8")]
    text = "\n".join(each.read_text(encoding="utf-8") for each in pages)
    assert any(word in text for word in words), f"{at}: {page.name} names none of {', '.join(words)}"
    for script in re.findall(r"(?:benchmarks|docs|tests)/[\w/]+\.py", command):
        assert (ROOT / script).exists(), script


SOURCE = b'''"""Docstring."""

def f(x):
    """Another."""
    return x + 1  # a comment
'''


@pytest.mark.parametrize(
    ("path", "before", "after", "same"),
    [
        ("a.py", SOURCE, b"def f(x):\n    return x  +  1\n", True),
        ("a.py", SOURCE, SOURCE.replace(b"+ 1", b"+ 2"), False),
        ("a.py", b'x = "# text"\n', b'x = "# other"\n', False),
        ("recipes/a.yaml", b"name: a\nmodel: {width: 3}\n", b"# b\nname: b\nmodel:\n  width: 3\n", True),
        ("recipes/a.yaml", b"model: {width: 3}\n", b"model: {width: 4}\n", False),
        ("a.css", b"a {}", b"b {}", False),
    ],
)
def test_only_what_matters_counts(path: str, before: bytes, after: bytes, same: bool) -> None:
    assert (provenance.digest(path, before) == provenance.digest(path, after)) == same


def test_a_change_is_noticed_until_the_table_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("width = 1\n")
    (tmp_path / "metric.py").write_text("bins = 10\n")
    entry = {"at": "p.md#t", "command": "caloforge evaluate", "sources": ["all"], "digests": ""}
    plain = {"groups": {"all": ["model.py", "metric.py"]}, "made": [entry]}
    (tmp_path / "p.yaml").write_text("# head\n" + yaml.safe_dump(plain))

    def read() -> provenance.Registry:
        return provenance.Registry(tmp_path / "p.yaml", tmp_path)

    assert "the list of sources" in read().stale()[0]
    read().renew("p.md#t")
    assert read().stale() == []
    (tmp_path / "metric.py").write_text("bins = 20\n")
    (message,) = read().stale()
    assert message.startswith("p.md#t was made before metric.py changed. Repeat it (caloforge evaluate)")
    read().renew("p.md#t", "the bins are not used there")
    assert read().stale() == []
    assert read().entries["p.md#t"]["holds"] == "the bins are not used there"
    (tmp_path / "model.py").write_text("width = 2\n")
    assert read().changed("p.md#t") == ["model.py"]
    read().renew("p.md#t")
    assert "holds" not in read().entries["p.md#t"]
    assert (tmp_path / "p.yaml").read_text().startswith("# head\n")


def test_tables_are_numbered_below_their_heading() -> None:
    text = "# A\n| x |\n|---|\n\n| y |\n\n```\n# no heading\n| no table |\n```\n## B `c` (d)\n| z |\n| w |\n"
    found = [(table.at, table.line, len(table.rows)) for table in provenance.tables("p.md", text)]
    assert found == [("p.md#a", 2, 2), ("p.md#a/2", 5, 1), ("p.md#b-c-d", 12, 2)]
