"""The public names are frozen: whoever changes them has to say so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import caloforge
from public_names import STORED, public_names


def test_public_names_are_those_that_are_stored() -> None:
    stored, now = STORED.read_text(encoding="utf-8").split(), public_names()
    added, removed = sorted({*now} - {*stored}), sorted({*stored} - {*now})
    assert now == stored, (
        f"public names were added: {', '.join(added) or 'none'}; removed: {', '.join(removed) or 'none'}. If that is "
        "meant, say so in CHANGELOG.md and run: python tests/public_names.py"
    )


def test_every_public_name_is_there_and_listed() -> None:
    assert dir(caloforge) == sorted(caloforge.__all__)
    for name in caloforge.__all__:
        assert getattr(caloforge, name) is not None


def test_type_checkers_see_the_same_names() -> None:
    """Names are imported on first use; for type checkers they are listed a second time."""
    text = Path(caloforge.__file__).read_text(encoding="utf-8")
    block = text.partition("if TYPE_CHECKING:\n")[2].partition("\n_HOME")[0]
    listed = [line.split(" as ")[-1] for line in block.splitlines() if " as " in line]
    assert sorted(listed) == sorted(name for name in caloforge.__all__ if name != "__version__")
    homes = {
        line.split(" as ")[-1]: line.split()[1].removeprefix("caloforge").lstrip(".")
        for line in block.splitlines()
        if " as " in line
    }
    assert {name: home for name, home in homes.items() if home} == caloforge._HOME


def test_nothing_is_imported_with_the_package() -> None:
    """`import caloforge` is instant: it imports no other module of the package and no library."""
    program = (
        "import sys; before = {*sys.modules}; import caloforge; new = {*sys.modules} - before; "
        "print(*(name for name in new if name.split('.')[0] not in sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["caloforge"]
