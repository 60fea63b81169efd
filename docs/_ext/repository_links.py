"""Links that leave docs/ for other files of the repository, which the site does not contain.

Pages link to recipes, tests and sources as they would on GitHub. On the site such a link offers the file for download;
a link to a folder, or to a page of Markdown outside docs/, becomes its path in the repository.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import download_reference, pending_xref
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).parents[2]


class RepositoryLinks(SphinxTransform):
    """Replace links to folders and to Markdown outside docs/ by the path."""

    default_priority = 5  # before links are resolved

    def apply(self, **_: Any) -> None:
        page = Path(self.env.doc2path(self.env.docname)).parent
        for node in [*self.document.findall(pending_xref), *self.document.findall(download_reference)]:
            target = str(node.get("reftarget", "")).partition("#")[0]
            file = (page / target).resolve()
            if node.get("refdomain") == "doc":  # myst has found a page, and dropped its suffix
                file = file.with_suffix(".md")
            outside = bool(target) and file.is_relative_to(ROOT) and not file.is_relative_to(ROOT / "docs")
            if outside and (file.is_dir() or file.suffix == ".md"):
                path = nodes.literal("", str(file.relative_to(ROOT)))
                node.replace_self([*node.children, nodes.Text(" ("), path, nodes.Text(")")])


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_transform(RepositoryLinks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
