"""`Configured`: whatever a class does with its constructor's arguments, they are remembered, checked and saved."""

from __future__ import annotations

import copy
import json
import pickle
import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from caloforge.configured import Configured, constructor_parameters, settings_schema, wants_geometry
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.models.caloman import CaloMan
from caloforge.showers import Showers
from caloforge.simulator import Simulator
from caloforge.training import train
from caloforge.transforms import TRANSFORMS, Compose, Logit, Transform, specification_of


class Plain(Transform):
    """The identity, to be derived from."""

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return x, c

    inverse = forward


class Positional(Plain):
    def __init__(self, factor: float = 1000.0) -> None:
        super().__init__()
        self.doubled = 2 * factor  # the argument itself is not kept


class Child(Positional):
    def __init__(self, *, power: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class Forwarding(Positional):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class Fixing(Positional):
    def __init__(self, *, offset: float = 0.0, **kwargs: Any) -> None:
        super().__init__(factor=5.0, **kwargs)


class Options(Plain):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options


class WithoutConstructor(Positional):
    pass


class Late(Plain):
    """Calls nn.Module's constructor last, and changes its list."""

    def __init__(self, *, edges: list[float] = [1.0]) -> None:  # noqa: B006
        edges.append(7.0)
        super().__init__()


@dataclass(frozen=True)
class Steps(Configured):
    steps: int
    r: Annotated[float, Field(ge=0)] = 0.2


class Colour(Enum):
    RED = "red"


MADE: dict[str, tuple[Callable[[], Configured], dict[str, Any]]] = {
    "default": (lambda: Positional(), {"factor": 1000.0}),
    "by position": (lambda: Positional(3.0), {"factor": 3.0}),
    "by name": (lambda: Positional(factor=3.0), {"factor": 3.0}),
    "inherited constructor": (lambda: WithoutConstructor(3.0), {"factor": 3.0}),
    "passed on by name": (lambda: Child(power=3, factor=4.0), {"power": 3, "factor": 4.0}),
    "passed on by position": (lambda: Forwarding(4.0), {"factor": 4.0}),
    "a base's argument fixed": (lambda: Fixing(offset=1.0), {"offset": 1.0}),
    "any keyword": (lambda: Options(a=1, b=[2]), {"a": 1, "b": [2]}),
    "changed by the constructor": (lambda: Late(edges=[2.0]), {"edges": [2.0]}),
    "frozen dataclass": (lambda: Steps(3), {"steps": 3, "r": 0.2}),
    "replaced dataclass": (lambda: replace(Steps(3), steps=5), {"steps": 5, "r": 0.2}),
}


@pytest.mark.parametrize("name", MADE)
def test_arguments_survive_copies_and_files(name: str) -> None:
    construct, config = MADE[name]
    thing = construct()
    assert thing.to_config() == config
    for again in (copy.copy(thing), copy.deepcopy(thing), pickle.loads(pickle.dumps(thing))):
        assert again.to_config() == config
    loaded = type(thing).from_config(json.loads(json.dumps(config)))
    assert type(loaded) is type(thing)
    assert loaded.to_config() == config


def test_values_are_written_as_plain_data() -> None:
    values = {
        "a": np.float64(0.5),
        "b": np.arange(2),
        "c": torch.tensor([1.5]),
        "d": (1, {"e": Path("x/y")}),
        "f": Colour.RED,
        "g": None,
    }
    expected = {"a": 0.5, "b": [0, 1], "c": [1.5], "d": [1, {"e": "x/y"}], "f": "red", "g": None}
    assert json.loads(json.dumps(Options(**values).to_config())) == expected


@pytest.mark.parametrize("value", [nn.ReLU(), lambda x: x, [object()]])
def test_what_cannot_be_saved_says_so(value: Any) -> None:
    with pytest.raises(CaloforgeError, match="Options cannot be saved: its argument 'function'"):
        Options(function=value).to_config()
    with pytest.raises(CaloforgeError, match=r"Bare cannot be saved.*\*args"):
        Bare(1, 2).to_config()


class Bare(Plain):
    def __init__(self, *args: float) -> None:
        super().__init__()


@pytest.mark.parametrize(
    ("construct", "key"),
    [
        (lambda: Steps(3, r=-1.0), "r"),
        (lambda: Steps("many"), "steps"),  # type: ignore[arg-type]
        (lambda: Child(factor="large"), "factor"),
        (lambda: Steps.from_config({"steps": 3, "r": "x"}), "r"),
        (lambda: Steps.from_config({}, origin="sampler"), "steps"),
        (lambda: Child.from_config({"pover": 3}), "power"),
        (lambda: CaloMan(369, 1, latent_dim=4, flow_bins=1), "flow_bins"),
    ],
)
def test_wrong_arguments_are_named_however_they_are_given(construct: Callable[[], Any], key: str) -> None:
    with pytest.raises(CaloforgeError, match=f"'{key}'"):
        construct()


def test_python_names_unknown_and_missing_arguments_itself() -> None:
    with pytest.raises(TypeError, match="power"):
        Positional(power=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="latent_dim"):
        CaloMan(369, 1)  # type: ignore[call-arg]


def test_sizes_and_geometry_are_no_settings(small_geometry: Geometry) -> None:
    model = CaloMan(13, 1, latent_dim=3, hidden=[4])
    config = model.to_config()
    assert (config["features"], config["conditions"]) == (13, 1)
    assert not {"features", "conditions"} & set(settings_schema(CaloMan).model_fields)
    assert type(CaloMan.from_config(config, geometry=small_geometry)) is CaloMan
    threshold = TRANSFORMS.build({"kind": "readout_threshold"}, origin="t", geometry=small_geometry)
    assert threshold.to_config() == {"value": "geometry"}
    assert wants_geometry(type(threshold))
    assert list(constructor_parameters(Child)) == ["power", "factor"]


def test_nested_compositions_are_one_list() -> None:
    chain = Compose([Compose([Logit(alpha=0.1), Compose([Positional(2.0)])]), Logit()])
    kinds = [entry["kind"].rpartition(".")[2] for entry in specification_of(chain)]
    assert kinds == ["logit", "Positional", "logit"]


class Forgetful(Plain):
    def fit(self, x: Tensor, c: Tensor) -> Forgetful:
        self.mean = x.mean()
        return self


def test_constants_that_a_saved_run_would_lose_are_refused() -> None:
    with pytest.raises(CaloforgeError, match=r"Forgetful.fit sets 'mean'.*buffer"):
        Compose([Forgetful()]).fit(torch.ones(2, 3), torch.ones(2, 1))


def test_a_transform_of_the_users_own_is_saved_with_its_settings(small_showers: Showers, tmp_path: Path) -> None:
    from own_transform import LogScale

    x, c = torch.from_numpy(small_showers.voxels), torch.from_numpy(small_showers.energies).float()[:, None]
    transforms = Compose([LogScale(factor=1000)]).fit(x, c)
    saved = Simulator(small_showers.geometry, transforms, CaloMan(13, 1, latent_dim=3, hidden=[4]))
    saved.save(tmp_path / "run")
    loaded = Simulator.load(tmp_path / "run", trusted=["own_transform.LogScale"])
    (transform,) = loaded.transforms
    assert isinstance(transform, LogScale)
    assert transform.factor == 1000
    energies = np.full(5, 100.0)
    np.testing.assert_array_equal(loaded.generate(energies, 1).voxels, saved.generate(energies, 1).voxels)


NOTEBOOK = """
from caloforge import ShowerModel, Transform
import torch

class Scale(Transform):
    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = factor
        if factor == 13:
            raise TypeError("thirteen")
    def forward(self, x, c):
        return x * self.factor, c
    def inverse(self, x, c):
        return x / self.factor, c

class Mean(ShowerModel):
    def __init__(self, features, conditions, start=2.0):
        super().__init__()
        self.mean = torch.nn.Parameter(torch.full((features,), start))
    def loss(self, x, c):
        return ((x - self.mean) ** 2).sum(dim=1)
    def sample(self, c, generator=None):
        return self.mean.expand(len(c), -1)
"""


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A `__main__` whose classes were typed in, as in a notebook."""
    main = types.ModuleType("__main__")
    main.__spec__ = None
    monkeypatch.setitem(__import__("sys").modules, "__main__", main)
    exec(compile(NOTEBOOK, "<cell 1>", "exec"), main.__dict__)
    return main


def test_classes_of_a_notebook_are_saved_and_loaded(
    notebook: types.ModuleType, small_geometry: Geometry, tmp_path: Path
) -> None:
    """In the session that defines them without trust; elsewhere from a module that has them."""
    run, energies = tmp_path / "run", np.full(3, 100.0)
    transforms = Compose([notebook.Scale(1000.0)])
    Simulator(small_geometry, transforms, notebook.Mean(13, 1, 5.0)).save(run)
    loaded = Simulator.load(run)
    assert type(loaded.model) is notebook.Mean
    np.testing.assert_allclose(loaded.generate(energies, 1).voxels, 0.005)

    (tmp_path / "moved_here.py").write_text(NOTEBOOK)
    del notebook.Scale, notebook.Mean
    with pytest.raises(CaloforgeError, match=r"'__main__.Scale' was defined in a notebook.*trusted=.*my_module.Scale"):
        Simulator.load(run)
    import sys

    sys.path.insert(0, str(tmp_path))
    try:
        again = Simulator.load(run, trusted=["moved_here.Scale", "moved_here.Mean"])
    finally:
        sys.path.remove(str(tmp_path))
    np.testing.assert_array_equal(again.generate(energies, 1).voxels, loaded.generate(energies, 1).voxels)


def test_a_class_of_a_notebook_trains(
    notebook: types.ModuleType, small_showers: Showers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    training = {"epochs": 1, "batch_size": 100, "learning_rate": 0.1, "device": "cpu"}
    transforms = [notebook.Scale(1000.0)]
    trained = train(notebook.Mean, small_showers, "run", transforms=transforms, model={"start": 3.0}, training=training)
    energies = np.full(3, 100.0)
    expected = trained.generate(energies, 1)
    found = Simulator.load("run").generate(energies, 1)
    np.testing.assert_array_equal(found.voxels, expected.voxels)
    assert found.attributes == expected.attributes


def test_a_users_own_type_error_is_no_damaged_simulator(
    notebook: types.ModuleType, small_geometry: Geometry, tmp_path: Path
) -> None:
    Simulator(small_geometry, Compose([notebook.Scale(12.0)]), notebook.Mean(13, 1)).save(tmp_path)
    path = tmp_path / "simulator.json"
    path.write_text(path.read_text().replace("12.0", "13"))
    with pytest.raises(CaloforgeError, match=r"your own code failed: TypeError: thirteen \(<cell 1>, line \d+\)") as e:
        Simulator.load(tmp_path)
    assert "damaged" not in str(e.value)
    assert isinstance(e.value.__cause__, TypeError)


def test_a_class_inside_a_function_says_where_to_put_it(small_geometry: Geometry, tmp_path: Path) -> None:
    class Local(Plain):
        pass

    Simulator(small_geometry, Compose([Local()]), CaloMan(13, 1, latent_dim=3, hidden=[4])).save(tmp_path)
    with pytest.raises(CaloforgeError, match=r"Local' is defined inside a function"):
        Simulator.load(tmp_path)


def test_a_former_name_of_a_setting_is_still_read() -> None:
    """And saved under the present one; both together are a mistake."""

    class Renamed(Configured):
        renamed = {"old": "new"}  # noqa: RUF012

        def __init__(self, *, new: int = 1) -> None:
            self.new = new

    assert Renamed.from_config({"old": 5}).to_config() == {"new": 5}
    assert Renamed.from_config({"new": 6}).new == 6
    with pytest.raises(CaloforgeError, match="old"):
        Renamed.from_config({"old": 5, "new": 6})


def test_weights_of_a_class_that_changed_since_do_not_fit(
    notebook: types.ModuleType, small_geometry: Geometry, tmp_path: Path
) -> None:
    Simulator(small_geometry, Compose(), notebook.Mean(13, 1)).save(tmp_path)
    exec(compile(NOTEBOOK.replace("mean", "average"), "<cell 2>", "exec"), notebook.__dict__)
    with pytest.raises(CaloforgeError, match=r"weights do not fit the model .*average.*train it again"):
        Simulator.load(tmp_path)
