"""Pages in a headless browser: a script of a test runs within the page, and what it reports comes back."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

REPORT = """
function report(found) { parent.postMessage(JSON.stringify(found), "*"); }
"""

FRAME = """<!doctype html>
<body style="margin: 0"><iframe src="page.html" style="width: {width}px; height: 900px; border: 0"></iframe>
<script>
addEventListener("message", (event) => {{
  const result = document.createElement("pre");
  result.id = "found-by-test"; result.textContent = event.data;
  document.body.append(result);
}});
</script></body>
"""
"""A browser's window cannot be as narrow as a phone, but a frame can."""


def browser() -> str:
    """The program; skips the test where there is none."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    pytest.skip(f"needs a browser: none of {', '.join(BROWSERS)} is installed")


def run_in_browser(
    page: str, script: str, folder: Path, *, width: int = 1200, dark: bool = False, seconds: float = 5
) -> Any:
    """What a script within the page hands to `report`, as plain data.

    Args:
        page: HTML.
        script: JavaScript at the end of its body.
        folder: for the page and the browser's profile.
        width: of the page, in pixels.
        dark: whether the reader prefers a dark page.
        seconds: how long the page may take by its own clock.
    """
    program, frame = browser(), folder / "frame.html"
    assert "</body>" in page
    script = (REPORT + script).replace("</script", "<\\/script")
    text = page.replace("</body>", f"<script>{script}</script></body>")
    (folder / "page.html").write_text(text, encoding="utf-8")
    frame.write_text(FRAME.format(width=width), encoding="utf-8")
    options = ["--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    options += [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    options += [f"--user-data-dir={folder / 'profile'}", f"--window-size={max(width, 600)},900", "--dump-dom"]
    for longer in (1, 10):  # on a busy machine the page's clock can run out before it is drawn
        command = [program, *options, f"--virtual-time-budget={1000 * longer * seconds:.0f}", frame.as_uri()]
        dom = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=200).stdout
        if found := re.search(r'<pre id="found-by-test">(.*?)</pre>', dom, re.DOTALL):
            return json.loads(html.unescape(found[1]))
    pytest.fail(dom[-2000:])
