"""Check the links of the built site: `python docs/check_links.py docs/_build/html` (`make docs-links`).

Every link to a page, an anchor or a file of the site must lead there, and nothing that a page loads (scripts, style
sheets, images) may come from elsewhere, so that the site works offline. Links to other hosts are not followed: only
their form is checked.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """Anchors, links, and what the page loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        self.anchors.update(given[key] for key in ("id", "name") if key in given)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if LOADED.get(tag, "") in given:
            self.loaded.append(given[LOADED[tag]])


def problems(root: Path) -> list[str]:
    """One line per link that leads nowhere."""
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in sorted(root.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        for link in [*page.links, *page.loaded]:
            target = urlsplit(link)
            if target.scheme in ("mailto", "data", "javascript"):
                continue
            if target.scheme or target.netloc:
                if link in page.loaded:
                    found.append(f"{path.name} loads {link}")
                if target.scheme not in ("http", "https") or "." not in target.netloc or " " in link:
                    found.append(f"{path.name}: {link} is not a valid address")
                continue
            file = (path.parent / unquote(target.path)).resolve() if target.path else path
            if not file.exists():
                found.append(f"{path.name}: no file {link}")
            elif target.fragment and file in pages and unquote(target.fragment) not in pages[file].anchors:
                found.append(f"{path.name}: no anchor {link}")
    return found


def main() -> None:
    root = Path(sys.argv[1])
    found = problems(root)
    print(*found, sep="\n")
    print(f"{len(list(root.rglob('*.html')))} pages, {len(found)} links that lead nowhere")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
