"""YAML, JSON and XML of unknown origin: a key given twice, marks, depth, aliases without end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from caloforge.documents import parse_json, parse_yaml, read_document
from caloforge.errors import CaloforgeError
from caloforge.evaluation.report.saving import read_json
from caloforge.geometry import read_geometry
from caloforge.overrides import overridden
from caloforge.simulator.stored import read_description
from caloforge.sources.geant4.detector import load_detector
from caloforge.sources.public.catalog import find
from caloforge.training.recipe import load_recipe

GEOMETRY = {"name": "toy", "layers": [{"id": 0, "r_edges": [0, 1]}]}


def refused(call: Callable[[], Any], *facts: str) -> None:
    with pytest.raises(CaloforgeError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for fact in facts:
        assert fact in message


def test_a_key_given_twice_is_named() -> None:
    refused(lambda: parse_yaml("a: 1\nb:\n  c: 1\n  c: 2\n", "x.yaml"), "x.yaml", "'c'", "line 4")
    refused(lambda: parse_json('{"a": {"b": 1, "b": 2}}', "x.json"), "x.json", "'b'")


@pytest.mark.parametrize(
    ("read", "name"),
    [
        (load_recipe, "x.yaml"),
        (load_detector, "x.yaml"),
        (find, "x.yaml"),
        (read_geometry, "x.yaml"),
        (read_geometry, "x.json"),
        (lambda path: read_json(path), "report.json"),
        (lambda path: read_description(path.parent), "simulator.json"),
    ],
)
def test_in_every_file_that_is_read(read: Callable[[Path], Any], name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text('{"name": 1, "name": 2}')
    refused(lambda: read(path), str(path), "'name'")


def test_an_override_with_a_key_given_twice() -> None:
    refused(lambda: overridden({"model": {}}, ["model.x={a: 1, a: 2}"]), "the override", "'a'")


def test_merged_and_repeated_mappings_are_no_duplicates() -> None:
    text = "base: &b {x: 1, y: 2}\none: {<<: *b, x: 3}\ntwo: *b\n"
    assert parse_yaml(text, "") == {"base": {"x": 1, "y": 2}, "one": {"x": 3, "y": 2}, "two": {"x": 1, "y": 2}}


@pytest.mark.parametrize("name", ["g.json", "g.yaml"])
def test_a_byte_order_mark_is_skipped(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(json.dumps(GEOMETRY), encoding="utf-8-sig")
    assert read_geometry(tmp_path / name).name == "toy"


BOMBS = {
    "aliases": "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    + "".join(
        f"{b}: &{b} [{', '.join(f'*{a}' for _ in range(10))}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ),
    "itself": "a: &a [*a]\n",
    "deep": "[" * 5000 + "]" * 5000,
    "python": "!!python/object/apply:os.system ['true']",
    "date": "2001-13-45",
    "key": "{[1]: 2}",
    "long": "a" * 5_000_000,
}


@pytest.mark.parametrize("case", BOMBS)
def test_yaml_that_is_meant_to_harm(case: str) -> None:
    refused(lambda: parse_yaml(BOMBS[case], "x.yaml"), "x.yaml")


def test_json_that_is_meant_to_harm() -> None:
    for text in ("[" * 100_000, '{"a": 1' + "0" * 5000 + "}", b"\xff\xfe\xfd", ""):
        refused(lambda text=text: parse_json(text, "x.json"), "x.json")


def test_an_entity_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.xml"
    entities = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    path.write_text(f'<!DOCTYPE Bins [<!ENTITY a "x">{entities}]><Bins><Bin name="p">&i;</Bin></Bins>')
    refused(lambda: read_geometry(path), str(path), "DOCTYPE")


def test_what_cannot_be_read(tmp_path: Path) -> None:
    refused(lambda: read_document(tmp_path / "absent.yaml", "recipe"), "absent.yaml", "no such recipe")
    refused(lambda: read_document(tmp_path, "recipe"), str(tmp_path))
    (tmp_path / "latin.yaml").write_bytes("name: Grün".encode("latin-1"))
    refused(lambda: read_document(tmp_path / "latin.yaml", "recipe"), "UTF-8")
