"""What tests of single metrics share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from caloforge.evaluation.metrics.base import REGISTRY


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`only("worth")` leaves nothing but that metric in evaluations, which saves the time of all others."""

    def keep(*names: str) -> None:
        monkeypatch.setattr("caloforge.evaluation.evaluate.REGISTRY", {name: REGISTRY[name] for name in names})

    return keep
