"""Values of the wrong type in the Python API: one error that names the argument and the type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import caloforge as cf
from caloforge.errors import CaloforgeError

SHOWERS = cf.sample("test", stop=40)
RUN = cf.train("caloman-demo", cf.sample("train", stop=60), training={"epochs": 1})

Call = Callable[[], Any]
WRONG: dict[str, tuple[Call, str]] = {
    "an array instead of showers": (lambda: cf.evaluate(SHOWERS.voxels, SHOWERS), "ndarray"),
    "None instead of showers": (lambda: cf.evaluate(SHOWERS, None), "NoneType"),
    "a number instead of a training set": (lambda: cf.train("caloman-demo", 3), "int"),
    "an array instead of a training set": (lambda: cf.train("caloman-demo", SHOWERS.voxels), "ndarray"),
    "numbers instead of files": (lambda: cf.train("caloman-demo", [3]), "int"),
    "None instead of a recipe": (lambda: cf.train(None, SHOWERS), "recipe.*NoneType"),
    "a number instead of a folder": (lambda: cf.Simulator.load(3), "folder of a run.*int"),
    "a number instead of a geometry": (lambda: cf.load_geometry(368), "geometry.*int"),
    "a number instead of a shower file": (lambda: cf.Showers.read(3), "shower file.*int"),
    "text instead of energies": (lambda: RUN.generate("like:reference.h5", seed=1), "incident energies"),
    "no energies": (lambda: RUN.generate([], seed=1), r"incident energies.*\(0,\)"),
    "a matrix of energies": (lambda: RUN.generate(np.ones((3, 2)), seed=1), r"incident energies.*\(3, 2\)"),
    "text instead of a seed": (lambda: RUN.generate([512.0], seed="a"), "seed.*integer.*'a'"),
    "a fraction instead of a seed": (lambda: RUN.generate([512.0], seed=1.5), "seed.*integer.*1.5"),
    "energies and voxels interchanged": (
        lambda: cf.Showers(SHOWERS.voxels, SHOWERS.energies, SHOWERS.geometry),
        r"incident_energies, voxels, geometry.*\(40, 368\)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_is_one_error_that_names_it(case: str) -> None:
    call, message = WRONG[case]
    with pytest.raises(CaloforgeError, match=message):
        call()


def test_a_geometry_by_name() -> None:
    assert cf.Showers(SHOWERS.energies, SHOWERS.voxels, "ds1-photons") == SHOWERS


def test_energies_of_shape_n_by_one_as_in_files() -> None:
    column = RUN.generate(np.array([[512.0], [1024.0]]), seed=1)
    assert column == RUN.generate([512.0, 1024.0], seed=1)


def test_an_incomplete_axis() -> None:
    with pytest.raises(ValueError, match="bins, low, high"):
        cf.observable("incomplete_axis", axis=(20, 0))(lambda view: view.energies)  # type: ignore[arg-type]
