"""The verdict names what is wrong, and only that."""

from typing import Any

import pytest

from caloforge.evaluation.verdict import verdict


def entry(pull: float, **more: Any) -> dict[str, Any]:
    return {"value": 0.1, "value_at_n": 0.1, "error": 0.01, "floor": 0.0, "floor_error": 0.01, "pull": pull, **more}


def power(pull: float) -> dict[str, Any]:
    return entry(pull, outside={"generated": 0.0, "reference": 0.0})


MEANS = {"all": {"value": 0.01, "value_at_n": 0.012, "floor": 0.011}}


def points(data: dict[str, Any], level: str) -> list[str]:
    return [point["text"] for point in verdict(data)["points"] if point["level"] == level]


@pytest.mark.parametrize(("pull", "level"), [(2.9, "good"), (3.1, "note"), (5.1, "bad")])
def test_pull_decides_the_level(pull: float, level: str) -> None:
    data = {"separation_power": {"ec_r_2": power(pull), "e_layer_1": power(0.0)}, "mean_separation_power": MEANS}
    found = verdict({**data, "floor": {"n": 77}})
    assert [point["level"] for point in found["points"]] == [level]
    assert "0.0120 against a floor of 0.0110 (N = 77 showers a side)" in found["headline"]
    start = {"good": "At the floor", "note": "Close to the reference", "bad": "Told apart"}[level]
    assert found["headline"].startswith(start)


def test_many_layers_are_counted_not_listed() -> None:
    data = {"separation_power": {f"ec_r_{k}": power(6.0 + k) for k in range(45)}}
    texts = points(data, "bad")
    assert len(texts) == 7
    assert "layer 44" in texts[0]
    assert "39 more layers" in texts[-1]


@pytest.mark.parametrize(("auc", "said"), [(0.5, False), (0.52, False), (0.8, True)])
def test_classifier_speaks_by_its_error(auc: float, said: bool) -> None:
    data = {"classifier": {"caloman": {"auc": auc, "auc_std": 0.01, "floor_auc": 0.5, "floor_auc_std": 0.01}}}
    assert bool(points(data, "bad")) == said


def test_losing_precision_is_bad_and_gaining_is_not() -> None:
    assert points({"prdc": {"precision": entry(-6.0)}}, "bad") == ["precision 0.100, floor 0.000"]
    assert not points({"prdc": {"precision": entry(6.0)}}, "bad")


def test_what_could_not_be_had_is_said_with_its_reason() -> None:
    data = {"fpd": {"unavailable": "needs at least 1000 showers a side, there are 40"}}
    assert points(data, "note") == ["fpd: needs at least 1000 showers a side, there are 40"]
    assert not points({"fpd": {"unavailable": "left out by --quick"}}, "note")


def test_nothing_at_all_is_no_praise() -> None:
    assert verdict({})["headline"].startswith("No verdict")
