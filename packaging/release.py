"""Is this version ready? Then build it and try the wheel: `make release`.

The tree must be clean; pyproject.toml, the package, CITATION.cff, CHANGELOG.md and the conda recipe must agree on the
version, its section of the changelog must have a date and entries, and its tag must not exist. Then sdist and wheel
are built and checked with twine, and the wheel is installed in a clean environment. Nothing is tagged or published:
the commands for that are printed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

VERSIONS = {
    "pyproject.toml": r'^version = "(.+)"$',
    "src/caloforge/__init__.py": r'^__version__ = "(.+)"$',
    "CITATION.cff": r"^version: (.+)$",
    "CHANGELOG.md": r"^## (\S+)",
    "packaging/conda/recipe.yaml": r"^  version: (.+)$",
}
"""File → pattern of its version; the first match counts."""


def version_in(root: Path, file: str) -> str:
    """The version that a file gives, or 'none'."""
    found = re.search(VERSIONS[file], (root / file).read_text(encoding="utf-8"), re.M)
    return found[1] if found else "none"


def problems(root: Path) -> list[str]:
    """What must be done before the version of pyproject.toml is released; empty if nothing."""
    version = version_in(root, "pyproject.toml")
    found = [
        f"{file} has version {other}, pyproject.toml {version}: make them equal"
        for file in VERSIONS
        if (other := version_in(root, file)) != version
    ]
    if git(root, "status", "--porcelain"):
        found.append("there are uncommitted changes: commit or remove them (git status)")
    if git(root, "tag", "--list", f"v{version}"):
        found.append(f"the tag v{version} exists: raise the version")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {re.escape(version)}(.*)\n((?:(?!## ).*\n?)*)", changelog, re.M)
    if section and not re.fullmatch(r" \(\d{4}-\d\d-\d\d\)", section[1]):
        found.append(f"CHANGELOG.md: give the section of {version} its date, '## {version} (YYYY-MM-DD)'")
    if section and not re.search(r"^- ", section[2], re.M):
        found.append(f"CHANGELOG.md: the section of {version} is empty")
    return found


def git(root: Path, *words: str) -> str:
    """What a git command prints."""
    return subprocess.run(["git", "-C", root, *words], check=True, capture_output=True, text=True).stdout.strip()


def build(root: Path, out: Path, version: str, torch: str) -> None:
    """Build sdist and wheel into `out`, check them, and run the wheel's command line in a clean environment."""
    run = subprocess.check_call
    run([sys.executable, "-m", "build", "--outdir", out, root])
    sdist, wheel = out / f"caloforge-{version}.tar.gz", out / f"caloforge-{version}-py3-none-any.whl"
    run([sys.executable, "-m", "twine", "check", "--strict", sdist, wheel])
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "bin" / "python"
        run([sys.executable, "-m", "venv", folder])
        run([python, "-m", "pip", "install", "--quiet", torch, wheel], cwd=folder)
        said = subprocess.check_output([python, "-m", "caloforge", "--version"], cwd=folder, text=True).strip()
    if said != f"caloforge {version}":
        sys.exit(f"the installed wheel says '{said}', not 'caloforge {version}'")


def main() -> None:
    """Exit status 1 and one line per problem, or the files and the commands that publish them."""
    parser = argparse.ArgumentParser(description="Check and build the version in pyproject.toml; publishes nothing.")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help="the source tree")
    parser.add_argument("--torch", default="torch", help="PyTorch for the clean environment, e.g. torch==2.13.0")
    given = parser.parse_args()
    version, out = version_in(given.root, "pyproject.toml"), given.root / "dist"
    if found := problems(given.root):
        sys.exit("\n".join(f"not ready: {problem}" for problem in found))
    build(given.root, out, version, given.torch)
    print(f"{out} has caloforge {version}. To release it:")
    print(f"  git tag -a v{version} -m 'caloforge {version}' && git push origin v{version}")
    print(f"  python -m twine upload dist/caloforge-{version}*")


if __name__ == "__main__":
    main()
