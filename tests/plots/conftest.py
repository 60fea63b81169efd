"""Axes of the package's style to draw on."""

from collections.abc import Callable, Iterator

import pytest
from matplotlib.axes import Axes

from caloforge.plots.style import new_figure, style


@pytest.fixture
def panels() -> Iterator[Callable[[int], list[Axes]]]:
    """(n) → n axes of a new figure."""

    def make(n: int) -> list[Axes]:
        figure = new_figure(4.0 * n, 3.0)
        return [figure.add_subplot(1, n, k + 1) for k in range(n)]

    with style():
        yield make
