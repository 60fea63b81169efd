"""Classifier tests of a comparison: each beside its floor, and where asked for against the number of showers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from caloforge.errors import CaloforgeError
from caloforge.evaluation.comparison import Comparison, unavailable
from caloforge.evaluation.reading import Opened
from caloforge.showers import Showers

if TYPE_CHECKING:
    from caloforge.evaluation.classifiers import Epoch

CURVE_WORK = 1 / 8 + 1 / 4 + 1 / 2
"""Trainings that a learning curve adds, in units of the one on all showers."""


def classifiers(c: Comparison, opened: Opened, tests: Sequence[str], repeats: int, curve: bool) -> dict[str, Any]:
    """{test: `run_test`'s result with floor_auc, floor_auc_std, floor_jsd, floor_jsd_std and floor_n}.

    Args:
        c, opened: what is compared, and the files for its voxels.
        tests: names of `classifiers.TESTS`.
        repeats: trainings of each.
        curve: also `learning_curve`: columns n, auc, auc_std, … at an eighth, a quarter, a half and all showers.
    """
    if not tests:
        return {}
    if c.darkness:
        return dict.fromkeys(tests, c.darkness)
    generated, reference = opened.load("generated"), opened.load("reference")
    first, second = c.plan.floor[0]
    if c.floor is None:
        halves = reference[first], reference[second]
    else:
        halves = reference[first], opened.load("floor")[second - c.plan.n_reference]
    return {name: _beside_floor(c, name, (generated, reference), halves, repeats, curve) for name in tests}


def _beside_floor(
    c: Comparison,
    name: str,
    samples: tuple[Showers, Showers],
    halves: tuple[Showers, Showers],
    repeats: int,
    curve: bool,
) -> dict[str, Any]:
    from caloforge.evaluation.classifiers import run_test

    try:
        found = run_test(name, *samples, repeats=repeats, seed=c.seed, progress=_epochs(c, name, "", repeats))
    except CaloforgeError as error:
        return unavailable(str(error))
    try:
        tell = _epochs(c, name, " (floor)", repeats)
        floor = run_test(name, *halves, repeats=repeats, seed=c.seed, progress=tell)
        found |= {f"floor_{key}": floor[key] for key in ("auc", "auc_std", "jsd", "jsd_std", "n")}
    except CaloforgeError as error:
        found["floor_unavailable"] = str(error)
    if curve:
        found["learning_curve"] = _learning_curve(c, name, samples, repeats, found)
    return found


def _learning_curve(
    c: Comparison, name: str, samples: tuple[Showers, Showers], repeats: int, whole: dict[str, Any]
) -> dict[str, list[Any]]:
    """The curve whose last point is the test on all showers, which needs no second training."""
    from caloforge.evaluation.classifiers import learning_curve
    from caloforge.evaluation.classifiers.curve import COLUMNS, default_sizes

    curve: dict[str, list[Any]] = {key: [] for key in COLUMNS}
    for size in default_sizes(whole["n"])[:-1]:
        tell = _epochs(c, name, f" ({size} showers)", repeats)
        point = learning_curve(name, *samples, sizes=[size], repeats=repeats, seed=c.seed, progress=tell)
        for key, column in curve.items():
            column += point[key]
    for key, column in curve.items():
        column.append(whole[key])
    return curve


def _epochs(c: Comparison, name: str, label: str, repeats: int) -> Callable[[Epoch], None]:
    """Turns epochs into progress, announced before the first one is over."""
    from caloforge.evaluation.classifiers import get_test

    total = get_test(name).settings.epochs * repeats
    c.tell(f"classifier {name}{label}", 0, total)

    def tell(entry: Epoch) -> None:
        c.tell(f"classifier {name}{label}", (entry.repeat - 1) * entry.epochs + entry.epoch, total)

    return tell
