"""Recipes: one YAML file says how a generator is built and trained.

    name, description    what it is called and what it is
    geometry             built-in name or geometry file
    transforms           list of preprocessing steps, the one nearest to physics first
    model                `kind` (registered name or dotted path of a class of your own) and the model's settings
    training             epochs, batch_size, learning_rate …, and per stage what differs (`stages`)
    published            optional: numbers that the source reports, for company

An unknown or missing key is an error that names the key and the file. Any key can be overridden with
`--set dotted.key=value`; an error that would not be there without an override names that override instead.
"""

from __future__ import annotations

import copy
import difflib
import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from caloforge.errors import CaloforgeError
from caloforge.geometry import load_geometry
from caloforge.models import MODELS
from caloforge.models.base import ShowerModel
from caloforge.registry import CONTEXT, checked_settings, importable, validation_error, wants_geometry
from caloforge.training import TrainingSettings
from caloforge.transforms import build_transforms

FOLDERS = (Path(__file__).parent / "_recipes", Path(__file__).parents[2] / "recipes")
"""Where shipped recipes lie: in an installed package, and in a source checkout."""


class Recipe(BaseModel):
    """A checked recipe (see the module's opening)."""

    model_config = ConfigDict(extra="forbid")

    name: str
    description: str = ""
    geometry: str
    transforms: list[dict[str, Any]]
    model: dict[str, Any]
    training: TrainingSettings
    published: dict[str, Any] = {}

    @property
    def trusted(self) -> list[str]:
        """Dotted paths of the classes that this recipe, being the user's own, may import."""
        kinds = [self.model.get("kind"), *(entry.get("kind") for entry in self.transforms)]
        return [kind for kind in kinds if isinstance(kind, str) and "." in kind]

    def to_yaml(self) -> str:
        """The resolved recipe as YAML."""
        return yaml.safe_dump(self.model_dump(), sort_keys=False, allow_unicode=True)

    def model_class(self, folder: Path) -> type[ShowerModel]:
        """The model's class; a user's own is looked for in `folder` and the current one too."""
        with importable(Path.cwd(), folder):
            return MODELS.resolve(str(self.model["kind"]), self.trusted)


def list_recipes() -> list[str]:
    """Names of the shipped recipes."""
    return sorted({path.stem for folder in FOLDERS for path in folder.glob("*.yaml")})


def find_recipe(name: str | os.PathLike[str]) -> Path:
    """The file of a recipe: a path, or the name of a shipped one.

    Raises:
        CaloforgeError: neither.
    """
    path = Path(name)
    if path.is_file():
        return path
    for folder in FOLDERS:
        if (shipped := folder / f"{path}.yaml").is_file():
            return shipped
    near = difflib.get_close_matches(str(name), list_recipes(), 1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise CaloforgeError(f"no such recipe: {name}; {hint}give a file, or one of {', '.join(list_recipes())}")


def load_recipe(name: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        name: path of a YAML file or name of a shipped recipe.
        overrides: `dotted.key=value` each; the value is YAML.

    Raises:
        CaloforgeError: the recipe is absent or no YAML, or a key is unknown, missing or of the wrong type.
    """
    path = find_recipe(name)
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CaloforgeError(f"{path} is no readable YAML: {' '.join(str(error).split())}") from None
    if not isinstance(plain, dict):
        raise CaloforgeError(f"{path}: expected a mapping with name, geometry, transforms, model and training")
    resolved = _overridden(plain, overrides)
    try:
        return _check(resolved, path.parent)
    except CaloforgeError as error:
        guilty = _guilty_overrides(plain, overrides, path.parent)
        raise CaloforgeError(f"{' '.join(f'--set {text}' for text in guilty) or path}: {error}") from None


def check_recipe(plain: dict[str, Any], path: Path) -> Recipe:
    """A recipe from plain data; `path` names it in errors and tells where its own classes may lie.

    Raises:
        CaloforgeError: something is wrong; names every fault that was found.
    """
    try:
        return _check(plain, path.parent)
    except CaloforgeError as error:
        raise CaloforgeError(f"{path}: {error}") from None


def _check(plain: dict[str, Any], folder: Path) -> Recipe:
    try:
        recipe = Recipe(**plain)
    except ValidationError as error:
        raise validation_error(error, "", Recipe) from None
    except TypeError as error:  # a key that is no string
        raise CaloforgeError(str(error)) from None
    faults: list[str] = []
    checked: dict[str, Any] = {}
    try:
        geometry = load_geometry(recipe.geometry)
        with importable(Path.cwd(), folder):
            build_transforms(recipe.transforms, geometry, recipe.trusted)
    except CaloforgeError as error:
        faults.append(str(error))
    try:
        checked = _checked_model(recipe, folder)
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


def _checked_model(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """`model:` with its defaults filled in."""
    if "kind" not in recipe.model:
        raise CaloforgeError(f"model: missing key 'kind' (known are {', '.join(MODELS)}, or a dotted path)")
    model_class = recipe.model_class(folder)
    settings = {k: v for k, v in recipe.model.items() if k != "kind"}
    checked = checked_settings(model_class, settings, "model")
    try:
        context = dict.fromkeys(CONTEXT) if wants_geometry(model_class) else {}
        inspect.signature(model_class).bind(1, 1, **checked, **context)
    except TypeError as error:
        raise CaloforgeError(
            f"model: the constructor of {model_class.__name__} must take features, conditions, and settings as "
            f"keyword-only arguments: {error}"
        ) from None
    return {"kind": recipe.model["kind"], **checked}


def _overridden(plain: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    result = copy.deepcopy(plain)
    for override in overrides:
        _override(result, override)
    return result


def _guilty_overrides(plain: dict[str, Any], overrides: Sequence[str], folder: Path) -> list[str]:
    """The override without which all is well; all of them where only the bare file is; none where not even that."""

    def good(chosen: Sequence[str]) -> bool:
        try:
            _check(_overridden(plain, chosen), folder)
        except CaloforgeError:
            return False
        return True

    for k, text in enumerate(overrides):
        if good([*overrides[:k], *overrides[k + 1 :]]):
            return [text]
    return list(overrides) if good([]) else []


def model_settings(overrides: Sequence[str]) -> dict[str, Any]:
    """Settings of a model from words such as `model.sampler=teacher`, for a run that is trained already.

    Raises:
        CaloforgeError: a word is no `model.KEY=VALUE`.
    """
    plain: dict[str, Any] = {"model": {}}
    for override in overrides:
        if not override.startswith("model."):
            raise CaloforgeError(f"--set {override}: a trained run takes settings of its model, as in model.KEY=VALUE")
        _override(plain, override)
    return plain["model"]


def _override(plain: dict[str, Any], text: str) -> None:
    dotted, equals, value = text.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        raise CaloforgeError(f"--set takes dotted.key=value, as in training.epochs=10, not '{text}'")
    place: Any = plain
    for key in keys[:-1]:
        place = _step_into(place, key, text)
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        raise CaloforgeError(f"--set {text}: the value is no YAML") from None
    if isinstance(place, list):
        place[_list_index(place, keys[-1], text)] = parsed
    else:
        place[keys[-1]] = parsed


def _step_into(place: Any, key: str, text: str) -> Any:
    inner = place[_list_index(place, key, text)] if isinstance(place, list) else place.setdefault(key, {})
    if not isinstance(inner, dict | list):
        raise CaloforgeError(f"--set {text}: '{key}' is a single value and has no keys below it")
    return inner


def _list_index(place: list[Any], key: str, text: str) -> int:
    if not (key.isdecimal() and int(key) < len(place)):
        raise CaloforgeError(f"--set {text}: '{key}' must be a place in a list of {len(place)}, counted from 0")
    return int(key)
