"""What README, CONTRIBUTING and docs/ show: their code blocks, and the commands in these and in running text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(p for p in DOCS.rglob("*.md") if "_build" not in p.parts)]
)
"""CHANGELOG tells of commands of earlier versions, too."""

FENCE = re.compile(r"^(`{3,})([^\n]*)\n(.*?)^\1\s*$", re.M | re.S)
SHELL = ("", "sh", "bash")


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, what is behind the fence, and its lines."""

    page: Path
    info: str
    text: str

    @property
    def language(self) -> str:
        """`python` for cells of notebooks, too."""
        return self.info.removeprefix("{code-cell}").strip()

    @property
    def is_cell(self) -> bool:
        """Whether it is run when the site is built."""
        return self.info.startswith("{code-cell}")

    @property
    def code(self) -> str:
        """Python without the settings of a cell and without the commands of IPython."""
        if not self.is_cell:
            return self.text
        return re.sub(r"^(\s*)[!%].*$", r"\1pass", re.sub(r"^:.*\n", "", self.text, flags=re.M), flags=re.M)


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    return [Block(page, info.strip(), text) for _, info, text in FENCE.findall(page.read_text(encoding="utf-8"))]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def command_lines(page: Path) -> Iterator[str]:
    """Lines of shell: of shell blocks, of cells that begin with `!`, and code in running text."""
    for block in blocks(page):
        text = re.sub(r"\\\n", " ", block.text)
        if block.language == "python":
            yield from (line.strip()[1:] for line in text.splitlines() if re.match(r"\s*!\w", line))
        elif block.language in SHELL:
            yield from (line.strip().removeprefix("$ ") for line in text.splitlines())
    yield from (re.sub(r"\s+", " ", code) for code in re.findall(r"`([^`]+)`", prose(page)))


def words(line: str, program: str) -> list[str]:
    """The words of a command from `program` on, without what the shell does with it; empty if it does not run it."""
    at = re.search(rf"(?:^|[\s;&|(])(?:-m )?({re.escape(program)})(?=\s|$)", line)
    if at is None:
        return []
    try:
        found = shlex.split(line[at.start(1) :].split(" #")[0])
    except ValueError:  # not shell at all
        return []
    for end in ("&&", "||", "|", ";", ">", "&", "2>"):
        found = found[: found.index(end)] if end in found else found
    return [word.rstrip(";") for word in found]
