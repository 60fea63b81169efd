"""`dotted.key=value`: overrides of single keys of a recipe.

A key is a path through nested mappings and lists (`transforms.0.maximum`), a value is YAML.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from caloforge.documents import parse_yaml
from caloforge.errors import CaloforgeError, either


def overridden(plain: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of `plain` with each of `overrides` applied.

    Raises:
        CaloforgeError: an override is not KEY=VALUE, its value cannot be parsed, or its key leads nowhere.
    """
    result = copy.deepcopy(plain)
    for override in overrides:
        _override(result, override)
    return result


def model_settings(overrides: Sequence[str]) -> dict[str, Any]:
    """Settings of a model from words such as `model.sampler=teacher`, for a run that is trained already.

    Raises:
        CaloforgeError: a word is not of the form `model.KEY=VALUE`.
    """
    plain: dict[str, Any] = {"model": {}}
    for override in overrides:
        if not override.startswith("model."):
            raise CaloforgeError(
                f"{_named(override)}: a trained run takes settings of its model, as in model.KEY=VALUE"
            )
        _override(plain, override)
    return dict(plain["model"])


def _override(plain: dict[str, Any], text: str) -> None:
    dotted, equals, value = text.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        raise CaloforgeError(
            f"{either('--set takes', 'an override is')} dotted.key=value, as in training.epochs=10, not '{text}'"
        )
    inner: Any = plain
    for key in keys[:-1]:
        inner = _step_into(inner, key, text)
    parsed = parse_yaml(value, f"{_named(text)}: the value")
    if isinstance(inner, list):
        inner[_list_index(inner, keys[-1], text)] = parsed
    else:
        inner[keys[-1]] = parsed


def _named(text: str) -> str:
    return either(f"--set {text}", f"the override '{text}'")


def _step_into(above: Any, key: str, text: str) -> Any:
    inner = above[_list_index(above, key, text)] if isinstance(above, list) else above.setdefault(key, {})
    if not isinstance(inner, dict | list):
        raise CaloforgeError(f"{_named(text)}: '{key}' is a single value and has no keys below it")
    return inner


def _list_index(entries: list[Any], key: str, text: str) -> int:
    if not (key.isdecimal() and int(key) < len(entries)):
        raise CaloforgeError(f"{_named(text)}: '{key}' must be an index of a list of {len(entries)}, counted from 0")
    return int(key)
