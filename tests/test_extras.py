"""Without an extra, what needs it says in one line which one to install."""

from __future__ import annotations

import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from caloforge.cli.watching import TensorBoard
from caloforge.cluster.where import parse_where
from caloforge.errors import CaloforgeError
from caloforge.evaluation.report.report import Report
from caloforge.export.tracing import require_onnx
from caloforge.points import read_points
from caloforge.sources.geant4.request import binding_version

ROOT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
FOR_DEVELOPERS = {"dev", "docs", "release", "test"}


def _root_file() -> Path:
    path = Path(tempfile.mkdtemp()) / "events.root"
    path.write_bytes(b"root")
    return path


FEATURES: dict[str, Callable[[], Any]] = {
    "cluster": lambda: parse_where("local:2"),
    "geant4": binding_version,
    "notebook": lambda: Report.to_frame(SimpleNamespace(to_dicts=lambda section: [])),  # type: ignore[arg-type]
    "onnx": require_onnx,
    "root": lambda: read_points(_root_file()),
    "tensorboard": lambda: TensorBoard(Path("logs")),
}
"""Extra → something that needs it."""

OPTIONAL = {"bokeh"}
"""Of an extra, and not needed: without it, Dask has no dashboard."""


def packages(extra: str) -> list[str]:
    """Names under which the packages of an extra are imported."""
    return [each.partition(">=")[0].replace("-", "_") for each in EXTRAS[extra]]


def test_every_extra_has_a_feature_here_and_is_in_the_makefile() -> None:
    assert FEATURES.keys() == EXTRAS.keys() - FOR_DEVELOPERS
    assert f"EXTRAS := {','.join(sorted(FEATURES))}\n" in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("extra", "package"),
    [(extra, package) for extra in FEATURES for package in packages(extra) if package not in OPTIONAL],
)
def test_the_message_names_package_and_extra(extra: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] == package or name.startswith(f"torch.utils.{package}"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)  # importing it fails as if it were not installed
    with pytest.raises(CaloforgeError) as raised:
        FEATURES[extra]()
    message = str(raised.value)
    assert f"pip install 'caloforge[{extra}]'" in message
    assert package in message.replace("-", "_")
    assert "\n" not in message
