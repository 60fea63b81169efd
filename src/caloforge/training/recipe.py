"""Recipes: one YAML file says how a generator is built and trained.

    name, description    what it is called and what it is
    conditions           what a model is told besides the energy (`given_conditions`): auto (default), none or names
    geometry             built-in name, geometry file, the geometry itself as a mapping, or `file`: that which the
                         training file names; for point clouds `{columns: [x, y, layer, energy]}`, or `file` for all
                         columns that there are
    transforms           list of preprocessing steps, the one nearest to physics first
    model                `kind` (registered name or dotted path of a class of your own) and the model's settings
    training             epochs, batch_size, learning_rate …, and per stage what differs (`stages`)
    expected             what trainings of it reached (`caloforge.training.expected`); changes nothing in a training

An unknown or missing key is an error that names the key and the file. Any key can be overridden with
`--set dotted.key=value`; an error that would not be there without an override names that override instead.
"""

from __future__ import annotations

import copy
import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError, field_validator, model_validator

from caloforge.configured import checked_settings, constructor_parameters, validation_error
from caloforge.documents import parse_yaml, read_text
from caloforge.errors import CaloforgeError, either
from caloforge.files import as_path
from caloforge.formatting import listed
from caloforge.geometry import AnyGeometry, Geometry, PointGeometry, load_geometry
from caloforge.geometry.point_geometry import MOST
from caloforge.locations import RECIPES, list_recipes
from caloforge.models import MODELS
from caloforge.models.base import ShowerModel
from caloforge.overrides import overridden
from caloforge.registry import importable, trusting
from caloforge.training.expected import Expected
from caloforge.training.settings import TrainingSettings
from caloforge.transforms import build_transforms

FROM_FILE = "file"
"""In place of a geometry: the one that the training file names."""

RENAMED = {"flagship-ds1-photons": "flagship-fast", "flagship-multipoles-ds1-photons": "flagship"}
"""Names of recipes in earlier versions → their names now."""

LATER_SETTINGS = ("accumulate", "precision", "compile", "carried_rate")
"""Of the training, and not in the recipes that the first versions saved."""


class Recipe(BaseModel):
    """A checked recipe; the module's docstring lists its keys.

    >>> load_recipe("flagship-demo")
    Recipe('flagship-demo', cascade, geometry 'ds1-photons')

    Attributes:
        folder: where the recipe file lies; classes of the user's own are looked for there too.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    description: str = ""
    geometry: str | dict[str, Any]
    conditions: str | list[str] = "auto"
    transforms: list[dict[str, Any]]
    model: dict[str, Any]
    training: TrainingSettings
    expected: Expected | None = None
    _folder: Path = PrivateAttr(default_factory=Path)

    @model_validator(mode="before")
    @classmethod
    def _without_published(cls, plain: Any) -> Any:
        # Recipes saved by earlier versions carry this key, which nothing read.
        return {k: v for k, v in plain.items() if k != "published"} if isinstance(plain, dict) else plain

    @field_validator("geometry", mode="before")
    @classmethod
    def _name_or_mapping(cls, value: Any) -> Any:
        if not isinstance(value, str | dict):
            raise ValueError("give a name, a file, or a mapping")
        return value

    def __repr__(self) -> str:
        geometry = self.geometry if isinstance(self.geometry, str) else self.geometry.get("name", "of its own")
        return f"Recipe('{self.name}', {self.model.get('kind')}, geometry '{geometry}')"

    __str__ = __repr__

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def trusted(self) -> list[str]:
        """Dotted paths of the classes that this recipe, being the user's own, may import."""
        return list(dict.fromkeys(_dotted_paths([self.model, self.transforms])))

    def to_yaml(self) -> str:
        """The resolved recipe as YAML, less what does not change the result (`training.memory_gb`, `expected`).

        Settings that earlier versions did not have are left out where they have their defaults, so that runs of those
        can be resumed.
        """
        plain = self.model_dump(exclude={"training": {"memory_gb"}, "expected": True})
        for name in LATER_SETTINGS:
            if plain["training"][name] == TrainingSettings.model_fields[name].default:
                del plain["training"][name]
        if plain["conditions"] == "auto":
            del plain["conditions"]
        return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)

    @property
    def is_open(self) -> bool:
        """Whether it is for the geometry of the training file, or for as many points as a cloud there has."""
        return self.geometry == FROM_FILE or PointGeometry.is_open(self.geometry)

    def load_geometry(self) -> AnyGeometry:
        """The geometry that the recipe names or holds.

        Raises:
            CaloforgeError: it is unknown or invalid, or that of the file, which only a training knows.
        """
        if self.is_open:
            raise CaloforgeError(f"recipe {self.name}: the geometry is that of the training file")
        if isinstance(self.geometry, str):
            return load_geometry(self.geometry)
        if PointGeometry.is_in(self.geometry):
            return PointGeometry.from_dict(self.geometry, origin="geometry")
        return Geometry.from_dict(self.geometry, origin="geometry")

    def with_geometry(self, geometry: str | dict[str, Any]) -> Recipe:
        """The same recipe for a geometry, checked with it.

        Raises:
            CaloforgeError: the geometry is invalid, or the transforms do not suit it.
        """
        return _check({**self.model_dump(), "geometry": geometry}, self._folder)

    def model_class(self) -> type[ShowerModel]:
        """The model's class; a user's own is looked for in the recipe's folder and the current one too."""
        with importable(Path.cwd(), self.folder):
            return MODELS.resolve(str(self.model["kind"]), self.trusted)


def _dotted_paths(value: Any) -> Iterator[str]:
    """All texts in plain data that may be dotted paths of classes: `kind`, but also `sampler` and the like."""
    if isinstance(value, str):
        parts = value.split(".")
        if len(parts) > 1 and all(part.isidentifier() for part in parts):
            yield value
    elif isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _dotted_paths(entry)


def find_recipe(name: str | os.PathLike[str]) -> Path:
    """The file of a recipe: a path, or the name of a shipped one.

    Raises:
        CaloforgeError: neither.
    """
    path = as_path(name, "recipe")
    if path.is_file():
        return path
    for folder in RECIPES:
        if (shipped := folder / f"{path}.yaml").is_file():
            return shipped
    if (now := RENAMED.get(str(name))) is not None:
        raise CaloforgeError(f"the recipe {name} is now called {now}, and is for any geometry")
    near = difflib.get_close_matches(str(name), list_recipes(), 1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise CaloforgeError(f"no such recipe: {name}; {hint}give a file, or one of {', '.join(list_recipes())}")


def load_recipe(
    source: str | os.PathLike[str] | Mapping[str, Any],
    overrides: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
) -> Recipe:
    """Read and check a recipe.

    >>> load_recipe("caloman-demo", changes={"training": {"epochs": 5}}).training.epochs
    5

    Args:
        source: path of a YAML file, name of a shipped recipe, or the recipe itself as a mapping.
        overrides: `dotted.key=value` each; the value is YAML.
        changes: what differs, as nested mappings: `{"training": {"epochs": 5}}`.

    Raises:
        CaloforgeError: the recipe is absent or cannot be parsed, or a key is unknown, missing or of the wrong type.
    """
    if isinstance(source, Mapping):
        plain, folder, origin = copy.deepcopy(dict(source)), Path.cwd(), ""
    else:
        path = find_recipe(source)
        plain, folder, origin = _read(path), path.parent, str(path)
    plain = merged(plain, changes or {})
    resolved = overridden(plain, overrides)
    try:
        return _check(resolved, folder)
    except CaloforgeError as error:
        guilty = _guilty_overrides(plain, overrides, folder)
        where = origin
        if guilty:
            in_python = listed([f"'{text}'" for text in guilty])
            where = either(" ".join(f"--set {text}" for text in guilty), f"the override {in_python}")
        raise CaloforgeError(f"{where}: {error}" if where else str(error)) from None


def merged(plain: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`plain` with `changes` in place of the values they name, level by level."""
    result = dict(plain)
    for key, value in changes.items():
        before = result.get(key)
        result[key] = merged(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return result


def _read(path: Path) -> dict[str, Any]:
    plain = parse_yaml(read_text(path, "recipe"), str(path))
    if not isinstance(plain, dict):
        raise CaloforgeError(f"{path}: expected a mapping with name, geometry, transforms, model and training")
    return plain


def _check(plain: dict[str, Any], folder: Path) -> Recipe:
    try:
        recipe = Recipe(**plain)
    except ValidationError as error:
        raise validation_error(error, "", Recipe) from None
    except TypeError as error:  # a key that is not text
        raise CaloforgeError(str(error)) from None
    recipe._folder = folder
    faults: list[str] = []
    checked: dict[str, Any] = {}
    geometry: AnyGeometry | None = None
    try:
        geometry = _known_geometry(recipe)
        if geometry is not None:
            with importable(Path.cwd(), folder):
                build_transforms(recipe.transforms, geometry, recipe.trusted)
    except CaloforgeError as error:
        faults.append(str(error))
    try:
        checked = _checked_model(recipe, geometry)
    except CaloforgeError as error:
        faults.append(str(error))
    for stage in recipe.training.stages:
        try:
            recipe.training.for_stage(stage)
        except CaloforgeError as error:
            faults.append(str(error))
    if faults:
        raise CaloforgeError("; ".join(faults))
    return recipe.model_copy(update={"model": checked})


def _known_geometry(recipe: Recipe) -> AnyGeometry | None:
    """The geometry to check the recipe with, if it has one; of points, whatever the room for them is."""
    if recipe.geometry == FROM_FILE:
        return None
    if isinstance(recipe.geometry, dict) and recipe.is_open:
        return PointGeometry.from_dict({**recipe.geometry, MOST: 1}, origin="geometry")
    return recipe.load_geometry()


def _checked_model(recipe: Recipe, geometry: AnyGeometry | None) -> dict[str, Any]:
    """`model:` with its defaults filled in."""
    if "kind" not in recipe.model:
        raise CaloforgeError(f"model: missing key 'kind' (known are {', '.join(MODELS)}, or a dotted path)")
    model_class = recipe.model_class()
    if geometry is not None and model_class.takes_clouds != isinstance(geometry, PointGeometry):
        own, other = ("point clouds", "voxels") if model_class.takes_clouds else ("voxels", "point clouds")
        raise CaloforgeError(f"model: {recipe.model['kind']} is a model of {own}, but the geometry is one of {other}")
    settings = {k: v for k, v in recipe.model.items() if k != "kind"}
    with importable(Path.cwd(), recipe.folder), trusting(*recipe.trusted):
        checked = checked_settings(model_class, settings, "model")
    if lacking := [name for name in model_class.sizes if name not in constructor_parameters(model_class)]:
        raise CaloforgeError(
            f"model: the constructor of {model_class.__name__} must take features and conditions, the numbers of "
            f"columns of x and c; it does not take {' and '.join(lacking)}"
        )
    return {"kind": recipe.model["kind"], **checked}


def _guilty_overrides(plain: dict[str, Any], overrides: Sequence[str], folder: Path) -> list[str]:
    """The override without which the recipe is valid; all of them where only the bare file is; else none."""

    def good(chosen: Sequence[str]) -> bool:
        try:
            _check(overridden(plain, chosen), folder)
        except CaloforgeError:
            return False
        return True

    for k, text in enumerate(overrides):
        if good([*overrides[:k], *overrides[k + 1 :]]):
            return [text]
    return list(overrides) if good([]) else []
