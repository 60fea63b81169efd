"""Configuration of the documentation site: `make docs` builds it into docs/_build/html, without network access."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # `!caloforge`
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ |= {"TTY_COMPATIBLE": "0", "NO_COLOR": "1", "COLUMNS": "100"}  # no progress bars in the pages
IPYTHON = HERE / "_build" / "ipython"  # settings of the kernels: none of the user's
(IPYTHON / "profile_default").mkdir(parents=True, exist_ok=True)
(IPYTHON / "profile_default" / "ipython_kernel_config.py").write_text("c.IPKernelApp.log_level = 40\n")
os.environ["IPYTHONDIR"] = str(IPYTHON)

import caloforge  # noqa: E402

project = "caloforge"
author = "the caloforge authors"
copyright = author
release = version = caloforge.__version__
html_title = f"caloforge {release}"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "command_reference",
    "docstrings",
    "mathml",
    "model_pages",
    "repository_links",
    "schematic",
]
exclude_patterns = ["_build", "_ext", "_static"]
nitpicky = False
highlight_language = "none"
default_role = "py:obj"  # docstrings write names in single backticks

# Markdown: the pages are read on GitHub too, so links to headings follow its rules
myst_enable_extensions = ["amsmath", "attrs_block", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

# Tutorials run at build time, each in a folder of its own
nb_execution_mode = os.environ.get("CALOFORGE_DOCS_EXECUTE", "force")  # `off` while writing
if nb_execution_mode == "off":
    suppress_warnings = ["myst-nb.lexer"]  # which language it is, is known from the execution
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_execution_show_tb = True  # a cell that fails is a warning, and so an error of `make docs`
nb_merge_streams = True
nb_mime_priority_overrides = [("html", "text/html", 0)]

# Docstrings
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_use_rtype = False
napoleon_use_ivar = True

copybutton_exclude = ".linenos, .gp, .go"
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("accessibility.js", {"defer": "defer"})]
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "mathml"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1f5f99", "color-brand-content": "#1f5f99"},
    "dark_css_variables": {"color-brand-primary": "#7fb8ea", "color-brand-content": "#7fb8ea"},
}

linkcheck_ignore = [r"https?://.*"]  # `make docs-links` works offline: it checks the links inside the site
