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


def sample(n: int, dark: int) -> dict[str, Any]:
    return {"n": n, "without_energy": dark}


@pytest.mark.parametrize(
    ("generated", "reference", "start"),
    [
        (9, 9, "No verdict: neither file has a shower with energy above the readout threshold (0.5 MeV)"),
        (0, 9, "No verdict: no reference shower has energy"),
        (9, 0, "Told apart from the reference by showers without energy"),
        (8, 0, "At the floor"),
    ],
)
def test_without_energy_there_is_nothing_to_judge(generated: int, reference: int, start: str) -> None:
    powers = {"ec_eta_1": power(0.0)}
    data = {"separation_power": powers, "mean_separation_power": MEANS, "threshold_mev": 0.5}
    found = verdict({**data, "generated": sample(9, generated), "reference": sample(9, reference)})
    assert found["headline"].startswith(start)
    if reference == 9:
        assert not [point for point in found["points"] if point["level"] == "good"]


def response(value: float, error: float, probability: float = 0.5, largest: float = 0.0) -> dict[str, Any]:
    at = {"at": "512 MeV", "value": largest or value, "error": error}
    return {"value": value, "error": error, "pull": value / error, "chi2": 61.2, "energies": 7} | {
        "probability": probability,
        "largest": at,
    }


@pytest.mark.parametrize(
    ("mean", "level", "words"),
    [
        (response(0.01, 0.001), "bad", "mean of E_dep/E_inc is 1.00 % too high (± 0.10 %, 10.0 σ on all showers)"),
        (response(-0.004, 0.001), "note", "0.40 % too low"),
        (response(0.002, 0.001), "", ""),  # 2 σ
        (response(0.0008, 0.0001), "", ""),  # 8 σ of nothing that matters
        (
            response(0.0002, 0.001, 1e-9, 0.03),
            "bad",
            "off at single energies (χ² 61 for 7); most at 512 MeV: +3.00 ± 0.10 %",
        ),
        (response(0.0002, 0.001, 1e-3, 0.03), "", ""),  # 3.3 σ once in a while
    ],
)
def test_response_speaks_by_its_own_error_and_size(mean: dict[str, Any], level: str, words: str) -> None:
    found = [p for p in verdict({"response": {"mean": mean}})["points"] if p["metric"] == "response"]
    assert [point["level"] for point in found] == ([level] if level else [])
    assert all(words in point["text"] for point in found)


def test_metrics_that_are_missing_are_no_fault_of_the_showers() -> None:
    powers = {"e_layer_1": power(0.0), "e_layer_12": {"unavailable": "no energy"}}
    headline = verdict({"separation_power": powers, "mean_separation_power": MEANS})["headline"]
    assert headline.startswith("At the floor: no metric here tells the generated showers from the reference; look at")


def test_the_worst_classifier_stands_first() -> None:
    def tests(*aucs: float) -> dict[str, Any]:
        return {f"t{k}": {"auc": a, "auc_std": 0.01, "floor_auc": 0.5, "floor_auc_std": 0} for k, a in enumerate(aucs)}

    assert [text.split()[2] for text in points({"classifier": tests(0.7, 0.99, 0.8)}, "bad")] == ["t1", "t2", "t0"]


def test_nothing_at_all_is_no_praise() -> None:
    assert verdict({})["headline"].startswith("No verdict")


def test_digits_follow_the_error() -> None:
    mean = response(4.5544, 0.016, largest=1.3) | {"largest": {"at": "1 GeV", "value": 1.3, "error": 0.04}}
    [text] = points({"response": {"mean": mean}}, "bad")
    assert text.endswith("is 455.4 % too high (± 1.6 %, 284.7 σ on all showers); most at 1 GeV: +130 ± 4 %")


def test_causes_stand_before_symptoms_and_the_rest_by_size() -> None:
    lost = {"certain": 1, "empty_layers": [12], "layers": {"12": 1}, "energy_share": 0.1}
    data = {
        "fpd": entry(30.0),
        "separation_power": {"ec_r_2": power(90.0)},
        "wasserstein": {"l_d": entry(60.0)},
        "response": {"mean": response(0.1, 0.01)},
        "duplicates": {"within": entry(7.0), "empty": {"unavailable": "…"}},
        "always_zero_voxels": {"only_generated": lost},
    }
    found = verdict({**data, "mean_separation_power": MEANS})
    metrics = [point["metric"] for point in found["points"]]
    causes = ["always_zero_voxels", "always_zero_voxels", "duplicates", "response"]
    assert metrics == [*causes, "separation_power", "wasserstein", "fpd"]
    assert found["points"][1]["text"].startswith(
        "1 voxel is always empty in the generated showers (1 in layer 12); 10 %"
    )
    named = "voxels that are always empty, duplicates, the energy response, separation powers, Wasserstein distances"
    assert found["headline"].startswith(f"Told apart from the reference by {named} and FPD")


@pytest.mark.parametrize(
    ("tests", "words"),
    [
        ({}, "reference; no classifier was asked."),
        ({"caloman": {"unavailable": "no energy"}}, "reference; no classifier could be had."),
        ({"caloman": {"auc": 0.5, "auc_std": 0.01, "floor_auc": 0.5, "floor_auc_std": 0.01}}, "reference."),
    ],
)
def test_at_the_floor_says_that_no_classifier_was_asked(tests: dict[str, Any], words: str) -> None:
    data = {"separation_power": {"ec_r_2": power(0.0)}, "mean_separation_power": MEANS, "classifier": tests}
    assert f"the generated showers from the {words}" in verdict(data)["headline"]
